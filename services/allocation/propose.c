// How a proposal is computed: who could get what, from scores, amounts and the frame. It decides nothing; a
// budget holder does.
//
// Candidates are ranked by total, then by their scores on the criteria that decide ties, in order. When they
// came in plays no part, and there is no chance in it: those who are equal have equal rank, and where the
// frame ends among them a person decides.
#include "allocation.h"

#include <stdlib.h>
#include <string.h>

#define KRONE INT64_C(100)

// A candidate on its way to a line.
struct entry {
    const Candidate *candidate;
    int64_t want;  // what it could get at most
    ProposalLine *line;
};

static int64_t floor_to(int64_t ore, int64_t unit)
{
    return ore - ore % unit;
}

// ------------------------------------------------------------------------------------- ranking

static int64_t tie_score(const Candidate *candidate, size_t n)
{
    return n < candidate->n_tie_scores ? candidate->tie_scores[n] : 0;
}

// Below zero: a is better.
static int compare_merit(const Candidate *a, const Candidate *b)
{
    if (a->total != b->total)
        return a->total > b->total ? -1 : 1;
    for (size_t i = 0; i < a->n_tie_scores || i < b->n_tie_scores; i++)
        if (tie_score(a, i) != tie_score(b, i))
            return tie_score(a, i) > tie_score(b, i) ? -1 : 1;
    return 0;
}

static int compare_entries(const void *left, const void *right)
{
    const Candidate *a = ((const struct entry *)left)->candidate,
                    *b = ((const struct entry *)right)->candidate;
    int merit = compare_merit(a, b);
    return merit ? merit : strcmp(a->application_id, b->application_id);
}

// What the method lets a candidate have at most; nothing below the threshold.
static int64_t want_of(const ProposalInput *input, const Candidate *candidate)
{
    int64_t want = candidate->requested_ore;
    if (candidate->total < input->threshold)
        return 0;
    if (input->method == ALLOCATION__V1__METHOD__RANK_CAP && want > input->cap_ore)
        want = input->cap_ore;
    return floor_to(want, input->granularity_ore);
}

static struct entry *rank_candidates(arena_t *arena, const ProposalInput *input)
{
    size_t count = input->n_candidates;
    struct entry *entries = arena_alloc(arena, sizeof *entries * (count + 1));
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct entry){.candidate = input->candidates[i],
                                    .want = want_of(input, input->candidates[i])};
    qsort(entries, count, sizeof *entries, compare_entries);

    for (size_t i = 0; i < count; i++) {
        entries[i].line = arena_alloc(arena, sizeof *entries[i].line);
        allocation__v1__proposal_line__init(entries[i].line);
        entries[i].line->application_id = entries[i].candidate->application_id;
        bool equal = i > 0 && compare_merit(entries[i - 1].candidate, entries[i].candidate) == 0;
        entries[i].line->rank = equal ? entries[i - 1].line->rank : (uint32_t)i + 1;
    }
    return entries;
}

// ----------------------------------------------------------------------------- spreading the frame

static void give(struct entry *entry, int64_t amount_ore)
{
    entry->line->amount_ore = amount_ore;
    entry->line->outcome = amount_ore == 0 ? ALLOCATION__V1__PROPOSAL_LINE__OUTCOME__RESERVE
                           : amount_ore == entry->candidate->requested_ore
                               ? ALLOCATION__V1__PROPOSAL_LINE__OUTCOME__FULL
                               : ALLOCATION__V1__PROPOSAL_LINE__OUTCOME__PARTIAL;
}

// Those of equal rank, begin to end, for whom not enough is left: one alone gets the rest if the method says
// so.
static int64_t end_frame(const ProposalInput *input, struct entry *begin, struct entry *end, int64_t left)
{
    if (end - begin > 1) {
        for (struct entry *entry = begin; entry < end; entry++)
            entry->line->outcome = ALLOCATION__V1__PROPOSAL_LINE__OUTCOME__TIED;
        return 0;
    }
    bool partly = input->method != ALLOCATION__V1__METHOD__DISCRETION;
    give(begin, partly ? floor_to(left, input->granularity_ore) : 0);
    return begin->line->amount_ore;
}

// Best first, until the frame does not reach the next.
static void spread_ranked(const ProposalInput *input, struct entry *entries, size_t count)
{
    int64_t left = input->frame_ore;
    bool ended = false;

    for (size_t first = 0, next; first < count; first = next) {
        int64_t need = 0;
        for (next = first; next < count && entries[next].line->rank == entries[first].line->rank; next++)
            need += entries[next].want;
        bool reaches = !ended && need <= left;
        if (!ended && !reaches)
            left -= end_frame(input, &entries[first], &entries[next], left);
        else
            for (size_t i = first; i < next; i++)
                give(&entries[i], reaches ? entries[i].want : 0);
        left -= reaches ? need : 0;
        ended = ended || !reaches;
    }
}

void apportion(arena_t *arena, int64_t total, const int64_t weights[], size_t count, int64_t unit,
               int64_t ret[])
{
    __int128 sum = 0, units = total / unit;
    for (size_t i = 0; i < count; i++)
        sum += weights[i];

    __int128 *remainders = arena_alloc(arena, sizeof *remainders * (count + 1));
    int64_t left = (int64_t)units;
    for (size_t i = 0; i < count; i++) {
        ret[i] = (int64_t)(units * weights[i] / sum);
        remainders[i] = units * weights[i] % sum;
        left -= ret[i];
    }
    for (; left > 0; left--) {
        size_t largest = 0;
        for (size_t i = 1; i < count; i++)
            if (remainders[i] > remainders[largest])
                largest = i;
        ret[largest]++;
        remainders[largest] = -1;
    }
    for (size_t i = 0; i < count; i++)
        ret[i] *= unit;
}

static int compare_ids(const void *left, const void *right)
{
    return strcmp((*(struct entry *const *)left)->candidate->application_id,
                  (*(struct entry *const *)right)->candidate->application_id);
}

// Shares are made in whole kroner, so that they sum to the frame; then each is floored to the granularity,
// and what that leaves stays in the frame.
static void spread_proportionally(arena_t *arena, const ProposalInput *input, struct entry *entries,
                                  size_t count)
{
    struct entry **by_id = arena_alloc(arena, sizeof(struct entry *) * (count + 1));
    for (size_t i = 0; i < count; i++)
        by_id[i] = &entries[i];
    qsort(by_id, count, sizeof *by_id, compare_ids);

    int64_t *wants = arena_alloc(arena, sizeof *wants * (count + 1));
    int64_t *shares = arena_alloc(arena, sizeof *shares * (count + 1));
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += shares[i] = wants[i] = by_id[i]->want;
    if (sum > input->frame_ore)
        apportion(arena, input->frame_ore, wants, count, KRONE, shares);
    for (size_t i = 0; i < count; i++)
        give(by_id[i], floor_to(shares[i] < wants[i] ? shares[i] : wants[i], input->granularity_ore));
}

struct proposal propose(arena_t *arena, const ProposalInput *input)
{
    size_t count = input->n_candidates, worthy = 0;
    struct entry *entries = rank_candidates(arena, input);
    while (worthy < count && entries[worthy].candidate->total >= input->threshold)
        worthy++;

    if (input->method == ALLOCATION__V1__METHOD__PROPORTIONAL)
        spread_proportionally(arena, input, entries, worthy);
    else
        spread_ranked(input, entries, worthy);

    struct proposal proposal = {.n_lines = count, .residual_ore = input->frame_ore};
    proposal.lines = arena_alloc(arena, sizeof *proposal.lines * (count + 1));
    for (size_t i = 0; i < count; i++) {
        if (i >= worthy)
            entries[i].line->outcome = ALLOCATION__V1__PROPOSAL_LINE__OUTCOME__BELOW_THRESHOLD;
        proposal.lines[i] = entries[i].line;
        proposal.residual_ore -= entries[i].line->amount_ore;
    }
    return proposal;
}
