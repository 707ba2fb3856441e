// How proposals are computed: known vectors, every outcome, and what must hold of any proposal, over a
// thousand random ones.
#include "check/check.h"
#include "allocation.h"

#include <stdio.h>
#include <string.h>

#define KR   INT64_C(100)
#define MOST 12  // candidates in a random case

// ------------------------------------------------------------------------------------- given

struct spread {
    ProposalInput input;
    Candidate candidates[MOST];
    Candidate *pointers[MOST];
    int64_t ties[MOST][2];
    char ids[MOST][8];
};

static void a_frame(struct spread *spread, Allocation__V1__Method method, int64_t frame_ore,
                    int64_t granularity_ore)
{
    *spread = (struct spread){.input = ALLOCATION__V1__PROPOSAL_INPUT__INIT};
    spread->input.method = method;
    spread->input.frame_ore = frame_ore;
    spread->input.granularity_ore = granularity_ore;
    spread->input.candidates = spread->pointers;
}

static Candidate *add(struct spread *spread, int64_t requested_ore, int64_t total, int64_t first_tie,
                      int64_t second_tie)
{
    size_t n = spread->input.n_candidates++;
    Candidate *candidate = spread->pointers[n] = &spread->candidates[n];
    allocation__v1__proposal_input__candidate__init(candidate);
    snprintf(spread->ids[n], sizeof spread->ids[n], "a-%02zu", n + 1);
    spread->ties[n][0] = first_tie;
    spread->ties[n][1] = second_tie;
    candidate->application_id = spread->ids[n];
    candidate->requested_ore = requested_ore;
    candidate->total = total;
    candidate->tie_scores = spread->ties[n];
    candidate->n_tie_scores = 2;
    return candidate;
}

static const ProposalLine *line_of(const struct proposal *proposal, const char *id)
{
    for (size_t i = 0; i < proposal->n_lines; i++)
        if (strcmp(proposal->lines[i]->application_id, id) == 0)
            return proposal->lines[i];
    fail_msg("no line for %s", id);
    return NULL;
}

static void gets(const struct proposal *proposal, const char *id, uint32_t rank, int64_t amount_ore,
                 Allocation__V1__ProposalLine__Outcome outcome)
{
    const ProposalLine *line = line_of(proposal, id);
    assert_int_equal(rank, line->rank);
    assert_int_equal(amount_ore, line->amount_ore);
    assert_int_equal(outcome, line->outcome);
}
#define GETS(proposal, id, rank, amount_ore, outcome)                                                        \
    gets(proposal, id, rank, amount_ore, ALLOCATION__V1__PROPOSAL_LINE__OUTCOME__##outcome)

static arena_t *arena;

static int open_arena(void **state)
{
    (void)state;
    arena = arena_new(LIMIT_ARENA_BYTES);
    return 0;
}

static int close_arena(void **state)
{
    (void)state;
    arena_destroy(&arena);
    return 0;
}

// ----------------------------------------------------------------------------------- known vectors

static void three_over_the_frame(struct spread *spread, int64_t granularity_ore)
{
    a_frame(spread, ALLOCATION__V1__METHOD__PROPORTIONAL, 7000000 * KR, granularity_ore);
    add(spread, 4200000 * KR, 900, 0, 0);
    add(spread, 2750000 * KR, 800, 0, 0);
    add(spread, 1900000 * KR, 700, 0, 0);
}

static void proportional_shares_in_kroner_sum_to_the_frame(void **state)
{
    (void)state;
    struct spread spread;
    three_over_the_frame(&spread, KR);
    struct proposal proposal = propose(arena, &spread.input);
    GETS(&proposal, "a-01", 1, 3322034 * KR, PARTIAL);
    GETS(&proposal, "a-02", 2, 2175141 * KR, PARTIAL);
    GETS(&proposal, "a-03", 3, 1502825 * KR, PARTIAL);
    assert_int_equal(0, proposal.residual_ore);
}

static void proportional_shares_in_thousands_leave_the_rest_in_the_frame(void **state)
{
    (void)state;
    struct spread spread;
    three_over_the_frame(&spread, 1000 * KR);
    struct proposal proposal = propose(arena, &spread.input);
    GETS(&proposal, "a-01", 1, 3322000 * KR, PARTIAL);
    GETS(&proposal, "a-02", 2, 2175000 * KR, PARTIAL);
    GETS(&proposal, "a-03", 3, 1502000 * KR, PARTIAL);
    assert_int_equal(1000 * KR, proposal.residual_ore);
}

static void equal_remainders_go_to_the_first_application_id(void **state)
{
    (void)state;
    struct spread spread;
    a_frame(&spread, ALLOCATION__V1__METHOD__PROPORTIONAL, 100 * KR, KR);
    for (int i = 0; i < 3; i++)
        add(&spread, 50 * KR, 300 + i, 0, 0);  // the last has the best score, and it does not count here
    struct proposal proposal = propose(arena, &spread.input);
    GETS(&proposal, "a-01", 3, 34 * KR, PARTIAL);
    GETS(&proposal, "a-02", 2, 33 * KR, PARTIAL);
    GETS(&proposal, "a-03", 1, 33 * KR, PARTIAL);
}

static void a_frame_that_reaches_gives_everyone_all(void **state)
{
    (void)state;
    struct spread spread;
    three_over_the_frame(&spread, 1000 * KR);
    spread.input.frame_ore = 9000000 * KR;
    struct proposal proposal = propose(arena, &spread.input);
    GETS(&proposal, "a-01", 1, 4200000 * KR, FULL);
    GETS(&proposal, "a-03", 3, 1900000 * KR, FULL);
    assert_int_equal(150000 * KR, proposal.residual_ore);
}

// ---------------------------------------------------------------------------------- ranked methods

static void four_ranked(struct spread *spread, Allocation__V1__Method method)
{
    a_frame(spread, method, 1000 * KR, 10 * KR);
    add(spread, 400 * KR, 900, 0, 0);
    add(spread, 400 * KR, 950, 0, 0);
    add(spread, 305 * KR, 800, 0, 0);
    add(spread, 100 * KR, 700, 0, 0);
}

static void discretion_stops_where_the_frame_does_not_reach(void **state)
{
    (void)state;
    struct spread spread;
    four_ranked(&spread, ALLOCATION__V1__METHOD__DISCRETION);
    struct proposal proposal = propose(arena, &spread.input);
    GETS(&proposal, "a-02", 1, 400 * KR, FULL);
    GETS(&proposal, "a-01", 2, 400 * KR, FULL);
    GETS(&proposal, "a-03", 3, 0, RESERVE);
    GETS(&proposal, "a-04", 4, 0, RESERVE);
    assert_int_equal(200 * KR, proposal.residual_ore);
}

static void ranking_gives_the_rest_to_the_next(void **state)
{
    (void)state;
    struct spread spread;
    four_ranked(&spread, ALLOCATION__V1__METHOD__RANK_FULL);
    spread.input.frame_ore = 1005 * KR;
    struct proposal proposal = propose(arena, &spread.input);
    GETS(&proposal, "a-03", 3, 200 * KR, PARTIAL);  // 205 are left, and it is given in tens
    GETS(&proposal, "a-04", 4, 0, RESERVE);
    assert_int_equal(5 * KR, proposal.residual_ore);
}

static void ranking_with_a_cap_reaches_more(void **state)
{
    (void)state;
    struct spread spread;
    four_ranked(&spread, ALLOCATION__V1__METHOD__RANK_CAP);
    spread.input.cap_ore = 300 * KR;
    struct proposal proposal = propose(arena, &spread.input);
    GETS(&proposal, "a-02", 1, 300 * KR, PARTIAL);
    GETS(&proposal, "a-01", 2, 300 * KR, PARTIAL);
    GETS(&proposal, "a-03", 3, 300 * KR, PARTIAL);
    GETS(&proposal, "a-04", 4, 100 * KR, FULL);
    assert_int_equal(0, proposal.residual_ore);
}

static void below_the_threshold_there_is_nothing(void **state)
{
    (void)state;
    for (int method = ALLOCATION__V1__METHOD__DISCRETION; method <= ALLOCATION__V1__METHOD__PROPORTIONAL;
         method++) {
        struct spread spread;
        four_ranked(&spread, (Allocation__V1__Method)method);
        spread.input.cap_ore = 1000 * KR;
        spread.input.threshold = 800;
        struct proposal proposal = propose(arena, &spread.input);
        GETS(&proposal, "a-04", 4, 0, BELOW_THRESHOLD);
        assert_int_not_equal(ALLOCATION__V1__PROPOSAL_LINE__OUTCOME__BELOW_THRESHOLD,
                             line_of(&proposal, "a-03")->outcome);
    }
}

static void ties_are_decided_by_the_criteria_in_their_order(void **state)
{
    (void)state;
    struct spread spread;
    a_frame(&spread, ALLOCATION__V1__METHOD__RANK_FULL, 100 * KR, KR);
    add(&spread, 100 * KR, 900, 300, 600);
    add(&spread, 100 * KR, 900, 400, 100);
    add(&spread, 100 * KR, 900, 400, 200);
    struct proposal proposal = propose(arena, &spread.input);
    GETS(&proposal, "a-03", 1, 100 * KR, FULL);
    GETS(&proposal, "a-02", 2, 0, RESERVE);
    GETS(&proposal, "a-01", 3, 0, RESERVE);
}

static void where_the_frame_ends_among_equals_a_person_decides(void **state)
{
    (void)state;
    struct spread spread;
    a_frame(&spread, ALLOCATION__V1__METHOD__RANK_FULL, 250 * KR, KR);
    add(&spread, 100 * KR, 950, 0, 0);
    add(&spread, 100 * KR, 900, 0, 0);
    add(&spread, 100 * KR, 900, 0, 0);
    add(&spread, 10 * KR, 800, 0, 0);
    struct proposal proposal = propose(arena, &spread.input);
    GETS(&proposal, "a-01", 1, 100 * KR, FULL);
    GETS(&proposal, "a-02", 2, 0, TIED);
    GETS(&proposal, "a-03", 2, 0, TIED);
    GETS(&proposal, "a-04", 4, 0, RESERVE);
    assert_int_equal(150 * KR, proposal.residual_ore);
}

static void equals_for_whom_there_is_enough_are_no_matter(void **state)
{
    (void)state;
    struct spread spread;
    a_frame(&spread, ALLOCATION__V1__METHOD__DISCRETION, 200 * KR, KR);
    add(&spread, 100 * KR, 900, 0, 0);
    add(&spread, 100 * KR, 900, 0, 0);
    struct proposal proposal = propose(arena, &spread.input);
    GETS(&proposal, "a-01", 1, 100 * KR, FULL);
    GETS(&proposal, "a-02", 1, 100 * KR, FULL);
}

// ------------------------------------------------------------------------------- what always holds

// A fixed sequence, the same on every machine.
static uint32_t seed = 2024;

static int64_t random_below(int64_t end)
{
    seed = seed * 1664525u + 1013904223u;
    return (int64_t)(seed >> 8) % end;
}

static void a_random_case(struct spread *spread)
{
    static const int64_t granularities[] = {KR, 1000 * KR, 2500 * KR};
    int64_t granularity_ore = granularities[random_below(3)];
    Allocation__V1__Method method = (Allocation__V1__Method)(1 + random_below(4));
    a_frame(spread, method, random_below(9000000) * KR, granularity_ore);
    int64_t count = random_below(MOST + 1);
    for (int64_t i = 0; i < count; i++)
        add(spread, (1 + random_below(2000000 * KR / granularity_ore)) * granularity_ore,
            100 * random_below(8), 100 * random_below(3), 100 * random_below(3));
    spread->input.threshold = 100 * random_below(4);
    if (method == ALLOCATION__V1__METHOD__RANK_CAP)
        spread->input.cap_ore = (1 + random_below(600000 * KR / granularity_ore)) * granularity_ore;
}

static void shuffle(struct spread *spread)
{
    for (size_t i = spread->input.n_candidates; i > 1; i--) {
        size_t j = (size_t)random_below((int64_t)i);
        Candidate *swapped = spread->pointers[i - 1];
        spread->pointers[i - 1] = spread->pointers[j];
        spread->pointers[j] = swapped;
    }
}

static const Candidate *candidate_of(const struct spread *spread, const char *id)
{
    for (size_t i = 0; i < spread->input.n_candidates; i++)
        if (strcmp(spread->pointers[i]->application_id, id) == 0)
            return spread->pointers[i];
    fail_msg("no candidate %s", id);
    return NULL;
}

static void stays_within_the_frame(const struct spread *spread, const struct proposal *proposal)
{
    int64_t sum = 0;
    assert_int_equal(spread->input.n_candidates, proposal->n_lines);
    for (size_t i = 0; i < proposal->n_lines; i++) {
        const ProposalLine *line = proposal->lines[i];
        const Candidate *candidate = candidate_of(spread, line->application_id);
        assert_int_equal(0, line->amount_ore % spread->input.granularity_ore);
        assert_in_range(line->amount_ore, 0, candidate->requested_ore);
        if (candidate->total < spread->input.threshold)
            assert_int_equal(0, line->amount_ore);
        sum += line->amount_ore;
    }
    assert_true(sum <= spread->input.frame_ore);
    assert_int_equal(spread->input.frame_ore - sum, proposal->residual_ore);
}

// Ranked: who comes after someone that did not get all it could, gets nothing. Proportional: who asks for
// more gets no less.
static void favours_nobody(const struct spread *spread, const struct proposal *proposal)
{
    bool proportional = spread->input.method == ALLOCATION__V1__METHOD__PROPORTIONAL;
    bool ended = false;
    for (size_t i = 0; i < proposal->n_lines; i++) {
        const ProposalLine *line = proposal->lines[i];
        const Candidate *candidate = candidate_of(spread, line->application_id);
        int64_t cap = spread->input.cap_ore ? spread->input.cap_ore : candidate->requested_ore;
        if (!proportional && ended)
            assert_int_equal(0, line->amount_ore);
        ended = ended || (line->amount_ore < candidate->requested_ore && line->amount_ore < cap);
        for (size_t j = 0; proportional && j < proposal->n_lines; j++) {
            const Candidate *other = candidate_of(spread, proposal->lines[j]->application_id);
            if (candidate->requested_ore > other->requested_ore &&
                candidate->total >= spread->input.threshold)
                assert_true(line->amount_ore >= proposal->lines[j]->amount_ore);
        }
    }
}

static void is_ranked(const struct spread *spread, const struct proposal *proposal)
{
    for (size_t i = 1; i < proposal->n_lines; i++) {
        const ProposalLine *before = proposal->lines[i - 1], *line = proposal->lines[i];
        assert_true(candidate_of(spread, before->application_id)->total >=
                    candidate_of(spread, line->application_id)->total);
        assert_true(line->rank == before->rank ? strcmp(before->application_id, line->application_id) < 0
                                               : line->rank == i + 1);
    }
}

static void is_equal(const struct proposal *proposal, const struct proposal *other)
{
    for (size_t i = 0; i < proposal->n_lines; i++) {
        assert_string_equal(proposal->lines[i]->application_id, other->lines[i]->application_id);
        gets(other, proposal->lines[i]->application_id, proposal->lines[i]->rank,
             proposal->lines[i]->amount_ore, proposal->lines[i]->outcome);
    }
    assert_int_equal(proposal->residual_ore, other->residual_ore);
}

// With ranks, a larger frame gives nobody less than before.
static void a_larger_frame_takes_from_nobody(struct spread *spread, const struct proposal *proposal)
{
    if (spread->input.method == ALLOCATION__V1__METHOD__PROPORTIONAL)
        return;
    spread->input.frame_ore += random_below(3000000) * KR;
    struct proposal larger = propose(arena, &spread->input);
    for (size_t i = 0; i < proposal->n_lines; i++)
        assert_true(line_of(&larger, proposal->lines[i]->application_id)->amount_ore >=
                    proposal->lines[i]->amount_ore);
}

static void a_thousand_random_proposals_keep_every_promise(void **state)
{
    (void)state;
    for (int round = 0; round < 1000; round++) {
        struct spread spread;
        arena_reset(arena);
        a_random_case(&spread);
        struct proposal proposal = propose(arena, &spread.input);
        stays_within_the_frame(&spread, &proposal);
        favours_nobody(&spread, &proposal);
        is_ranked(&spread, &proposal);
        shuffle(&spread);
        struct proposal shuffled = propose(arena, &spread.input);
        is_equal(&proposal, &shuffled);
        a_larger_frame_takes_from_nobody(&spread, &proposal);
    }
}

static void apportioning_the_largest_sums_does_not_wrap(void **state)
{
    (void)state;
    const int64_t weights[] = {10000000000000, 10000000000000, 1};
    int64_t shares[3];
    apportion(arena, 10000000000000, weights, 3, 1, shares);
    assert_int_equal(5000000000000, shares[0]);
    assert_int_equal(5000000000000, shares[1]);
    assert_int_equal(0, shares[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(proportional_shares_in_kroner_sum_to_the_frame),
        cmocka_unit_test(proportional_shares_in_thousands_leave_the_rest_in_the_frame),
        cmocka_unit_test(equal_remainders_go_to_the_first_application_id),
        cmocka_unit_test(a_frame_that_reaches_gives_everyone_all),
        cmocka_unit_test(discretion_stops_where_the_frame_does_not_reach),
        cmocka_unit_test(ranking_gives_the_rest_to_the_next),
        cmocka_unit_test(ranking_with_a_cap_reaches_more),
        cmocka_unit_test(below_the_threshold_there_is_nothing),
        cmocka_unit_test(ties_are_decided_by_the_criteria_in_their_order),
        cmocka_unit_test(where_the_frame_ends_among_equals_a_person_decides),
        cmocka_unit_test(equals_for_whom_there_is_enough_are_no_matter),
        cmocka_unit_test(a_thousand_random_proposals_keep_every_promise),
        cmocka_unit_test(apportioning_the_largest_sums_does_not_wrap),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
