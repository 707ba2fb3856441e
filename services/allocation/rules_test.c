// What is allowed with a frame and with a grant, and how a letter is written: given, when, then. Every
// refusal once.
#include "check/check.h"
#include "allocation.h"
#include "values/values.h"

#include <stdlib.h>
#include <string.h>

#define KR     INT64_C(100)
#define LEAD   "974683520"
#define ROUND  "01890000-0000-7000-8000-000000000001"
#define NOW    INT64_C(1720432800000000)  // 8 July 2024, 12:00 in Oslo
#define DAY_US INT64_C(86400000000)

// ------------------------------------------------------------------------------------- given

// A call with everything that a letter needs.
struct a_call {
    CallDefinition definition;
    Text purpose, no_appeal, control_right, reservation, condition_text, other_text, goal_text;
    Types__V1__Condition condition, other;
    Types__V1__Condition *conditions[2];
    Types__V1__Goal goal;
    Types__V1__Goal *goals[1];
    struct frame frames[2];
};

static struct a_call given_call;

static Text in_both(char *nb, char *nn)
{
    Text text = TYPES__V1__TEXT__INIT;
    text.nb = nb;
    text.nn = nn;
    return text;
}

static void make_texts(struct a_call *made)
{
    made->purpose = in_both("Fremme mangfold.", "Fremje mangfald.");
    made->no_appeal = in_both("Kan ikke påklages.", "Kan ikkje klagast på.");
    made->control_right = in_both("Kan kontrolleres.", "Kan kontrollerast.");
    made->reservation = in_both("Med forbehold.", "Med atterhald.");
    made->condition_text = in_both("Bare til prosjektet.", "Berre til prosjektet.");
    made->other_text = in_both("Deles.", "Blir delt.");
    made->goal_text = in_both("Ny kunnskap.", "Ny kunnskap.");
    types__v1__condition__init(&made->condition);
    types__v1__condition__init(&made->other);
    types__v1__goal__init(&made->goal);
    made->condition.id = "BRUK";
    made->condition.text = &made->condition_text;
    made->other.id = "DELING";
    made->other.text = &made->other_text;
    made->goal.id = "M1";
    made->goal.text = &made->goal_text;
    made->conditions[0] = &made->condition;
    made->conditions[1] = &made->other;
    made->goals[0] = &made->goal;
}

static void make_call(struct a_call *made)
{
    CallDefinition *definition = &made->definition;
    make_texts(made);
    types__v1__call_definition__init(definition);
    definition->call_id = "c-1";
    definition->year = 2024;
    definition->chapter_post = "671.62";
    definition->frame_ore = 7000000 * KR;
    definition->instalments = 1;
    definition->purpose = &made->purpose;
    definition->no_appeal = &made->no_appeal;
    definition->control_right = &made->control_right;
    definition->reservation = &made->reservation;
    definition->n_conditions = 2;
    definition->conditions = made->conditions;
    definition->n_goals = 1;
    definition->goals = made->goals;
    definition->granularity_ore = 1000 * KR;
    definition->accept_days = 14;
    definition->report_opens_at_us = NOW + 100 * DAY_US;
    definition->report_due_at_us = NOW + 200 * DAY_US;
    definition->repayment_rule = TYPES__V1__REPAYMENT_RULE__RESIDUAL;
    definition->repayment_days = 30;
    definition->contact = "tuki@imdi.no";
    made->frames[0] = (struct frame){"FRAME", 1500000 * KR, 3};
    made->frames[1] = (struct frame){"FRAME:2025", 900000 * KR, 1};
}

// Call c-1 with 1 500 000 kr left of its frame, and 900 000 kr appropriated for 2025.
static struct call a_call(void)
{
    make_call(&given_call);
    return (struct call){.known = true,
                         .id = "c-1",
                         .definition = &given_call.definition,
                         .n_frames = 2,
                         .frames = given_call.frames};
}

// A content with a budget of two years: 600 000 kr of 1 000 000 in 2024, 300 000 kr in 2025.
struct a_content {
    Content content;
    YearBudget years[2];
    YearBudget *year_pointers[2];
    Intake__V1__BudgetLine lines[2];
    Intake__V1__BudgetLine *line_pointers[2];
    Intake__V1__OwnShare own;
    Intake__V1__OwnShare *own_pointers[1];
    Intake__V1__OtherFunding other;
    Intake__V1__OtherFunding *other_pointers[1];
};

static struct a_content given_content;

static void make_budget(struct a_content *made)
{
    for (int i = 0; i < 2; i++) {
        intake__v1__year_budget__init(&made->years[i]);
        intake__v1__budget_line__init(&made->lines[i]);
        made->years[i].year = 2024 + i;
        made->year_pointers[i] = &made->years[i];
        made->line_pointers[i] = &made->lines[i];
    }
    intake__v1__own_share__init(&made->own);
    intake__v1__other_funding__init(&made->other);
    made->own.cash_ore = 200000 * KR;
    made->own.work_ore = 100000 * KR;
    made->other.amount_ore = 100000 * KR;
    made->own_pointers[0] = &made->own;
    made->other_pointers[0] = &made->other;
    made->lines[0].code = TYPES__V1__LINE_CODE__SALARY;
    made->lines[0].cost_ore = 700000 * KR;
    made->lines[1].code = TYPES__V1__LINE_CODE__TRAVEL;
    made->lines[1].cost_ore = 300000 * KR;
    made->years[0].grant_ore = 600000 * KR;
    made->years[0].n_lines = 2;
    made->years[0].lines = made->line_pointers;
    made->years[0].n_own = made->years[0].n_other = 1;
    made->years[0].own = made->own_pointers;
    made->years[0].other = made->other_pointers;
    made->years[1].grant_ore = 300000 * KR;
}

static const Content *a_content(void)
{
    make_budget(&given_content);
    intake__v1__content__init(&given_content.content);
    given_content.content.title = "Mangfold i barnehagen";
    given_content.content.n_budget = 2;
    given_content.content.budget = given_content.year_pointers;
    return &given_content.content;
}

static const char *const hands[] = {"first", "second"};

// Application a-1, read, recommended and not decided; 600 000 kr are applied for.
static struct grant an_application(void)
{
    return (struct grant){
        .known = true,
        .id = "a-1",
        .call = a_call(),
        .organisation_number = LEAD,
        .name = "Oslo kommune",
        .content = a_content(),
        .applied_ore = 600000 * KR,
        .evaluation_version = 2,
        .recommendation = {.version = 1,
                           .evaluation_version = 2,
                           .amount_ore = 500000 * KR,
                           .cuts = "reisene"},
        .handler = "first",
        .n_hands = 2,
        .hands = hands,
        .letter_sha256 = "",
    };
}

static AwardDecided given_award;
static PlannedYear given_planned;
static PlannedYear *given_planned_pointers[] = {&given_planned};

// The same, awarded 500 000 kr for 2024.
static struct grant an_award(void)
{
    struct grant grant = an_application();
    allocation__v1__award_decided__init(&given_award);
    allocation__v1__planned_year__init(&given_planned);
    given_planned.year = 2025;
    given_planned.amount_ore = 300000 * KR;
    given_award.year = 2024;
    given_award.amount_ore = 500000 * KR;
    given_award.reason = "F og O er gode.";
    given_award.decided_by = "holder";
    given_award.n_planned = 1;
    given_award.planned = given_planned_pointers;
    grant.state = GRANT_AWARDED;
    grant.award = &given_award;
    grant.committed_ore = 500000 * KR;
    return grant;
}

static GrantLetter given_letter;
static LetterItem given_items[2];
static LetterItem *given_item_pointers[] = {&given_items[0], &given_items[1]};

// The same, with a second letter that can be accepted for another day.
static struct grant an_offer(void)
{
    struct grant grant = an_award();
    allocation__v1__grant_letter__init(&given_letter);
    for (int i = 0; i < 2; i++)
        allocation__v1__letter_item__init(&given_items[i]);
    given_items[0].id = "BRUK";
    given_items[1].id = "DELING";
    given_letter.n_conditions = 2;
    given_letter.conditions = given_item_pointers;
    given_letter.instalments = 1;
    grant.state = GRANT_OFFERED;
    grant.letter_version = 2;
    grant.letter = &given_letter;
    grant.letter_sha256 = "aa";
    grant.accept_by_at_us = NOW + DAY_US;
    return grant;
}

static Accept given_accept;
static AcceptancePrepared given_acceptance;
static char *given_conditions[] = {"DELING", "BRUK"};

static Accept an_acceptance(void)
{
    Accept command = ALLOCATION__V1__ACCEPT__INIT;
    command.application_id = "a-1";
    command.letter_version = 2;
    command.letter_sha256 = "aa";
    command.n_conditions = 2;
    command.conditions = given_conditions;
    command.account_number = "12345678903";
    command.kid = "12344";
    return command;
}

// The same, with an acceptance that waits for its signature.
static struct grant a_prepared_acceptance(void)
{
    struct grant grant = an_offer();
    given_accept = an_acceptance();
    allocation__v1__acceptance_prepared__init(&given_acceptance);
    given_acceptance.acceptance = &given_accept;
    given_acceptance.acceptance_version = 3;
    given_acceptance.acceptance_sha256 = "bb";
    given_acceptance.letter_version = 2;
    grant.acceptance = &given_acceptance;
    return grant;
}

static struct grant an_accepted_grant(void)
{
    struct grant grant = a_prepared_acceptance();
    grant.state = GRANT_ACCEPTED;
    return grant;
}

static struct message by(const char *person, Bus__V1__Actor__Role role, const char *organisation)
{
    return check_message(NOW, person, role, organisation);
}
#define BY(person, role) by(person, BUS__V1__ACTOR__ROLE__##role, "")
#define OF_LEAD(role)    by("someone", BUS__V1__ACTOR__ROLE__##role, LEAD)

static void moves(Posting *posting, const char *from, const char *to, int64_t amount_ore)
{
    assert_string_equal(from, posting->from);
    assert_string_equal(to, posting->to);
    assert_int_equal(amount_ore, posting->amount_ore);
}

static void moves_frame(Posting *posting, const char *from, const char *to, int64_t amount_ore,
                        uint64_t number, int64_t residual_ore)
{
    moves(posting, from, to, amount_ore);
    assert_int_equal(number, posting->frame_number);
    assert_int_equal(residual_ore, posting->residual_ore);
}

// ------------------------------------------------------------------------------------- the frame

static void a_published_call_gets_its_frame_once(void **state)
{
    (void)state;
    struct message message = BY("intake", SERVICE);
    struct call call = a_call();
    call.n_frames = 0;
    rule_open_frame(&message, &call);
    const FrameOpened *event = check_emitted(&message, 1, 0, &allocation__v1__frame_opened__descriptor);
    moves_frame(event->postings[0], "APPROPRIATION", "FRAME", 7000000 * KR, 1, 7000000 * KR);

    struct message again = BY("intake", SERVICE);
    call.n_frames = 1;
    rule_open_frame(&again, &call);
    assert_null(again.emitted);
}

static ReserveFrame a_reservation(int64_t amount_ore)
{
    ReserveFrame command = ALLOCATION__V1__RESERVE_FRAME__INIT;
    command.call_id = "c-1";
    command.extra_call_id = "c-1-extra";
    command.amount_ore = amount_ore;
    command.reason = "for få søknader";
    return command;
}

static void the_whole_residual_can_be_reserved(void **state)
{
    (void)state;
    struct message message = BY("holder", BUDGET_HOLDER);
    struct call call = a_call();
    ReserveFrame command = a_reservation(1500000 * KR);
    assert_int_equal(OK, rule_reserve_frame(&message, &call, false, &command));
    const FrameReserved *event = check_emitted(&message, 1, 0, &allocation__v1__frame_reserved__descriptor);
    assert_int_equal(0, event->residual_ore);
    moves_frame(event->postings[0], "FRAME", "RESERVED", 1500000 * KR, 4, 0);
}

static void reservations_outside_the_rules_are_refused(void **state)
{
    (void)state;
    struct call call = a_call();

    struct message above = BY("holder", BUDGET_HOLDER);
    ReserveFrame command = a_reservation(1500001 * KR);
    check_refused(&above, rule_reserve_frame(&above, &call, false, &command),
                  "1 500 001 kr for call c-1-extra is more than the residual of 1 500 000 kr");

    struct message taken = BY("holder", BUDGET_HOLDER);
    command = a_reservation(1 * KR);
    check_refused(&taken, rule_reserve_frame(&taken, &call, true, &command), "c-1-extra is taken");

    struct message named = BY("holder", BUDGET_HOLDER);
    command.extra_call_id = "Ekstra";
    check_refused(&named, rule_reserve_frame(&named, &call, false, &command),
                  "extra_call_id Ekstra is no id");

    struct message zero = BY("holder", BUDGET_HOLDER);
    command = a_reservation(0);
    check_refused(&zero, rule_reserve_frame(&zero, &call, false, &command), "whole kroner above zero");

    struct message silent = BY("holder", BUDGET_HOLDER);
    command = a_reservation(1 * KR);
    command.reason = "";
    check_refused(&silent, rule_reserve_frame(&silent, &call, false, &command), "reason is missing");

    struct message unknown = BY("holder", BUDGET_HOLDER);
    struct call none = {.id = "c-9"};
    check_refused(&unknown, rule_reserve_frame(&unknown, &none, false, &command),
                  "c-9 is not the id of a published call");
}

static RecordAppropriation an_appropriation(int32_t year, int64_t amount_ore)
{
    RecordAppropriation command = ALLOCATION__V1__RECORD_APPROPRIATION__INIT;
    command.call_id = "c-1";
    command.year = year;
    command.chapter_post = "671.62";
    command.amount_ore = amount_ore;
    command.letter_reference = "tildelingsbrev 2026";
    return command;
}

static void a_later_year_gets_a_frame_of_its_own(void **state)
{
    (void)state;
    struct message message = BY("holder", BUDGET_HOLDER);
    struct call call = a_call();
    RecordAppropriation command = an_appropriation(2026, 800000 * KR);
    assert_int_equal(OK, rule_record_appropriation(&message, &call, &command));
    const AppropriationRecorded *event = check_emitted(&message, 1, 0,
                                                       &allocation__v1__appropriation_recorded__descriptor);
    moves_frame(event->postings[0], "APPROPRIATION:2026", "FRAME:2026", 800000 * KR, 1, 800000 * KR);
}

static void appropriations_outside_the_rules_are_refused(void **state)
{
    (void)state;
    struct call call = a_call();
    const struct {
        RecordAppropriation command;
        const char *refusal;
    } wrong[] = {
        {an_appropriation(2024, 1 * KR), "year 2024 is not a later budget year"},
        {an_appropriation(2101, 1 * KR), "year 2101 is not a later budget year"},
        {an_appropriation(2025, 1 * KR), "year 2025 of call c-1 has its appropriation already"},
        {an_appropriation(2026, 150), "amount_ore 150 for 2026"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct message message = BY("holder", BUDGET_HOLDER);
        check_refused(&message, rule_record_appropriation(&message, &call, &wrong[i].command),
                      wrong[i].refusal);
    }
    struct message post = BY("holder", BUDGET_HOLDER);
    RecordAppropriation command = an_appropriation(2026, 1 * KR);
    command.chapter_post = "";
    check_refused(&post, rule_record_appropriation(&post, &call, &command), "chapter_post is missing");
    struct message letter = BY("holder", BUDGET_HOLDER);
    command = an_appropriation(2026, 1 * KR);
    command.letter_reference = "";
    check_refused(&letter, rule_record_appropriation(&letter, &call, &command),
                  "letter_reference is missing");
}

// ------------------------------------------------------------------------------------- proposals

static Candidate given_candidate;
static Candidate *given_candidates[] = {&given_candidate};

static struct round a_round(void)
{
    allocation__v1__proposal_input__candidate__init(&given_candidate);
    given_candidate.application_id = "a-1";
    given_candidate.requested_ore = 500000 * KR;
    return (struct round){.call = a_call(), .n_candidates = 1, .candidates = given_candidates};
}

static ProposeAllocation a_proposal(Allocation__V1__Method method, int64_t cap_ore)
{
    ProposeAllocation command = ALLOCATION__V1__PROPOSE_ALLOCATION__INIT;
    command.round_id = ROUND;
    command.call_id = "c-1";
    command.method = method;
    command.cap_ore = cap_ore;
    return command;
}

static void a_proposal_is_recorded_so_that_it_can_be_computed_again(void **state)
{
    (void)state;
    struct message message = BY("holder", BUDGET_HOLDER);
    struct round round = a_round();
    ProposeAllocation command = a_proposal(ALLOCATION__V1__METHOD__DISCRETION, 0);
    assert_int_equal(OK, rule_propose(&message, &round, &command));
    const AllocationProposed *event = check_emitted(&message, 1, 0,
                                                    &allocation__v1__allocation_proposed__descriptor);
    assert_int_equal(1500000 * KR, event->input->frame_ore);
    assert_int_equal(1000000 * KR, event->residual_ore);
    size_t size;
    uint8_t *bytes = message_encode(message.arena, event->input, &size);
    assert_string_equal(sha256_text(message.arena, bytes, size), event->input_sha256);

    Recomputed recomputed = ALLOCATION__V1__RECOMPUTED__INIT;
    rule_recompute(&message, event, &recomputed);
    assert_true(recomputed.equal);
    event->lines[0]->amount_ore += 100;
    rule_recompute(&message, event, &recomputed);
    assert_false(recomputed.equal);
}

static void proposals_outside_the_rules_are_refused(void **state)
{
    (void)state;
    const struct {
        ProposeAllocation command;
        const char *refusal;
    } wrong[] = {
        {a_proposal(ALLOCATION__V1__METHOD__METHOD_UNSPECIFIED, 0), "method is missing"},
        {a_proposal(ALLOCATION__V1__METHOD__RANK_CAP, 0), "cap_ore 0 is not a whole multiple of 1 000 kr"},
        {a_proposal(ALLOCATION__V1__METHOD__RANK_CAP, 1500 * KR), "cap_ore 150000 is not a whole multiple"},
        {a_proposal(ALLOCATION__V1__METHOD__RANK_FULL, 1000 * KR), "cap_ore must be 0"},
    };
    struct round round = a_round();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct message message = BY("holder", BUDGET_HOLDER);
        check_refused(&message, rule_propose(&message, &round, &wrong[i].command), wrong[i].refusal);
    }
    struct message named = BY("holder", BUDGET_HOLDER);
    ProposeAllocation command = a_proposal(ALLOCATION__V1__METHOD__DISCRETION, 0);
    command.round_id = "runde 1";
    check_refused(&named, rule_propose(&named, &round, &command), "round_id runde 1 is no UUID");

    struct message low = BY("holder", BUDGET_HOLDER);
    command = a_proposal(ALLOCATION__V1__METHOD__DISCRETION, 0);
    command.threshold = -1;
    check_refused(&low, rule_propose(&low, &round, &command), "threshold -1 is below zero");

    struct message again = BY("holder", BUDGET_HOLDER);
    command.threshold = 0;
    round.used = true;
    check_refused(&again, rule_propose(&again, &round, &command), "has a proposal already");

    struct message empty = BY("holder", BUDGET_HOLDER);
    round.used = false;
    round.n_candidates = 0;
    check_refused(&empty, rule_propose(&empty, &round, &command), "call c-1 has no recommended application");
}

// ------------------------------------------------------------------------------------- awards

static DecideAward a_decision(int64_t amount_ore)
{
    DecideAward command = ALLOCATION__V1__DECIDE_AWARD__INIT;
    command.application_id = "a-1";
    command.amount_ore = amount_ore;
    command.reason = "F og O er gode.";
    command.evaluation_version = 2;
    command.legal_basis = command.budget_cover = command.financially_sound = true;
    command.year = 2024;
    return command;
}

static void an_award_is_committed_with_the_decision(void **state)
{
    (void)state;
    struct message message = BY("holder", BUDGET_HOLDER);
    struct grant grant = an_application();
    DecideAward command = a_decision(600000 * KR);
    assert_int_equal(OK, rule_award(&message, &grant, &command));
    const AwardDecided *event = check_emitted(&message, 1, 0, &allocation__v1__award_decided__descriptor);
    assert_true(event->full);
    assert_false(event->from_reserve);
    assert_string_equal("holder", event->decided_by);
    assert_int_equal(2, event->n_prepared_by);
    assert_string_equal("first", event->prepared_by[0]);
    moves_frame(event->postings[0], "FRAME", "COMMITTED:a-1", 600000 * KR, 4, 900000 * KR);
    assert_int_equal(1, event->n_planned);  // 2025 is an intention: not in the ledger
    assert_int_equal(300000 * KR, event->planned[0]->amount_ore);
    assert_int_equal(1, event->n_postings);
}

static void an_award_below_what_was_applied_for_is_partial(void **state)
{
    (void)state;
    struct message message = BY("holder", BUDGET_HOLDER);
    struct grant grant = an_application();
    grant.state = GRANT_ON_RESERVE;
    DecideAward command = a_decision(500000 * KR);
    assert_int_equal(OK, rule_award(&message, &grant, &command));
    const AwardDecided *event = check_emitted(&message, 1, 0, &allocation__v1__award_decided__descriptor);
    assert_false(event->full);
    assert_true(event->from_reserve);
}

static void a_later_year_is_paid_by_its_own_appropriation(void **state)
{
    (void)state;
    struct message message = BY("holder", BUDGET_HOLDER);
    struct grant grant = an_application();
    DecideAward command = a_decision(300000 * KR);
    command.year = 2025;
    assert_int_equal(OK, rule_award(&message, &grant, &command));
    const AwardDecided *event = check_emitted(&message, 1, 0, &allocation__v1__award_decided__descriptor);
    assert_int_equal(300000 * KR, event->applied_ore);
    moves_frame(event->postings[0], "FRAME:2025", "COMMITTED:a-1", 300000 * KR, 2, 600000 * KR);
}

static void amounts_outside_the_rules_are_not_awarded(void **state)
{
    (void)state;
    const struct {
        int64_t residual_ore;
        int64_t amount_ore;
        const char *refusal;
    } wrong[] = {
        {1500000 * KR, 0, "amount_ore 0 for application a-1 is not an amount"},
        {1500000 * KR, -1000 * KR, "whole kroner above zero"},
        {1500000 * KR, 601000 * KR,
         "601 000 kr for application a-1 is more than the 600 000 kr that were applied for"},
        {1500000 * KR, 500500 * KR, "is no whole multiple of 1 000 kr"},
        {400000 * KR, 500000 * KR,
         "is 100 000 kr more than the residual of 400 000 kr in the frame of call c-1"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct message message = BY("holder", BUDGET_HOLDER);
        struct grant grant = an_application();
        given_call.frames[0].residual_ore = wrong[i].residual_ore;
        DecideAward command = a_decision(wrong[i].amount_ore);
        check_refused(&message, rule_award(&message, &grant, &command), wrong[i].refusal);
    }
}

static void the_three_questions_are_answered_yes(void **state)
{
    (void)state;
    static const struct {
        size_t field;
        const char *refusal;
    } questions[] = {{offsetof(DecideAward, legal_basis), "legal_basis must be confirmed"},
                     {offsetof(DecideAward, budget_cover), "budget_cover must be confirmed"},
                     {offsetof(DecideAward, financially_sound), "financially_sound must be confirmed"}};
    for (int i = 0; i < 3; i++) {
        struct message message = BY("holder", BUDGET_HOLDER);
        struct grant grant = an_application();
        DecideAward command = a_decision(1000 * KR);
        *(protobuf_c_boolean *)((char *)&command + questions[i].field) = false;
        check_refused(&message, rule_award(&message, &grant, &command), questions[i].refusal);
    }
}

static void awards_without_their_ground_are_refused(void **state)
{
    (void)state;
    struct grant grant = an_application();

    struct message old = BY("holder", BUDGET_HOLDER);
    DecideAward command = a_decision(1000 * KR);
    command.evaluation_version = 1;
    check_refused(&old, rule_award(&old, &grant, &command),
                  "evaluation_version 1 of application a-1 is not the latest");

    struct message silent = BY("holder", BUDGET_HOLDER);
    command = a_decision(1000 * KR);
    command.reason = " ";
    check_refused(&silent, rule_award(&silent, &grant, &command), "reason is missing");

    struct message returned = BY("holder", BUDGET_HOLDER);
    command = a_decision(1000 * KR);
    grant.recommendation.version = 0;
    check_refused(&returned, rule_award(&returned, &grant, &command), "no recommendation that stands");

    struct message outdated = BY("holder", BUDGET_HOLDER);
    grant = an_application();
    grant.recommendation.evaluation_version = 1;
    check_refused(&outdated, rule_award(&outdated, &grant, &command), "no recommendation that stands");
}

static void years_without_money_are_not_awarded(void **state)
{
    (void)state;
    struct grant grant = an_application();
    const struct {
        int32_t year;
        const char *refusal;
    } wrong[] = {{2023, "year 2023 is before the 2024"},
                 {2026, "year 2026 has no appropriation for call c-1"}};
    for (int i = 0; i < 2; i++) {
        struct message message = BY("holder", BUDGET_HOLDER);
        DecideAward command = a_decision(1000 * KR);
        command.year = wrong[i].year;
        check_refused(&message, rule_award(&message, &grant, &command), wrong[i].refusal);
    }
    struct message unplanned = BY("holder", BUDGET_HOLDER);
    given_content.content.n_budget = 1;
    DecideAward command = a_decision(1000 * KR);
    command.year = 2025;
    check_refused(&unplanned, rule_award(&unplanned, &grant, &command), "year 2025 is not in the budget");
}

// Awards, refusals and the reserve list ask the same of who decides and of what is decided.
typedef status_t decide_f(struct message *message, const struct grant *grant);

static status_t awards(struct message *message, const struct grant *grant)
{
    DecideAward command = a_decision(1000 * KR);
    return rule_award(message, grant, &command);
}

static status_t refuses(struct message *message, const struct grant *grant)
{
    DecideRefusal command = ALLOCATION__V1__DECIDE_REFUSAL__INIT;
    command.application_id = "a-1";
    command.ground = ALLOCATION__V1__REFUSAL_GROUND__QUALITY;
    command.rules = "rundskriv";
    command.facts = "søknaden";
    command.considerations = "F og O";
    return rule_refuse(message, grant, &command);
}

static status_t puts_on_reserve(struct message *message, const struct grant *grant)
{
    PutOnReserve command = ALLOCATION__V1__PUT_ON_RESERVE__INIT;
    command.application_id = "a-1";
    command.rank = 1;
    command.reason = "god";
    return rule_put_on_reserve(message, grant, "", &command);
}

static decide_f *const decisions[] = {awards, refuses, puts_on_reserve};

static void everyone_decides_with_other_eyes_than_those_that_prepared(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct grant grant = an_application();
        struct message holder = BY("holder", BUDGET_HOLDER);
        assert_int_equal(OK, decisions[i](&holder, &grant));
        struct message hand = BY("second", BUDGET_HOLDER);
        check_refused(&hand, decisions[i](&hand, &grant), "you have read or recommended application a-1");
        struct message partial = BY("holder", BUDGET_HOLDER);
        grant.actor_conflict = true;
        check_refused(&partial, decisions[i](&partial, &grant), "you declared a conflict of interest");
    }
}

static void only_what_is_open_is_decided(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct message withdrawn = BY("holder", BUDGET_HOLDER);
        struct grant grant = an_application();
        grant.withdrawn = true;
        check_refused(&withdrawn, decisions[i](&withdrawn, &grant), "application a-1 is withdrawn");

        struct message rejected = BY("holder", BUDGET_HOLDER);
        grant = an_application();
        grant.rejected = true;
        check_refused(&rejected, decisions[i](&rejected, &grant), "application a-1 is rejected");

        struct message unread = BY("holder", BUDGET_HOLDER);
        grant = an_application();
        grant.evaluation_version = 0;
        check_refused(&unread, decisions[i](&unread, &grant), "application a-1 is not evaluated yet");

        struct message decided = BY("holder", BUDGET_HOLDER);
        grant = an_award();
        check_refused(&decided, decisions[i](&decided, &grant),
                      "is awarded and has no letter yet, so it can not be");

        struct message unknown = BY("holder", BUDGET_HOLDER);
        grant = (struct grant){.id = "a-9"};
        check_refused(&unknown, decisions[i](&unknown, &grant),
                      "a-9 is not the id of a delivered application");
    }
}

// ------------------------------------------------------------------- refusals and the reserve list

static void a_refusal_has_three_parts_and_a_ground(void **state)
{
    (void)state;
    static const struct {
        size_t field;
        const char *refusal;
    } parts[] = {{offsetof(DecideRefusal, rules), "rules is missing"},
                 {offsetof(DecideRefusal, facts), "facts is missing"},
                 {offsetof(DecideRefusal, considerations), "considerations is missing"}};
    struct grant grant = an_application();
    for (int i = 0; i < 4; i++) {
        struct message message = BY("holder", BUDGET_HOLDER);
        DecideRefusal command = ALLOCATION__V1__DECIDE_REFUSAL__INIT;
        command.application_id = "a-1";
        command.ground = i == 3 ? ALLOCATION__V1__REFUSAL_GROUND__REFUSAL_GROUND_UNSPECIFIED
                                : ALLOCATION__V1__REFUSAL_GROUND__FRAME_EXHAUSTED;
        command.rules = command.facts = command.considerations = "ord";
        if (i < 3)
            *(char **)((char *)&command + parts[i].field) = "";
        check_refused(&message, rule_refuse(&message, &grant, &command),
                      i < 3 ? parts[i].refusal : "ground is missing");
    }
}

static void a_reserve_expires_only_for_who_is_on_it(void **state)
{
    (void)state;
    struct grant grant = an_application();
    DecideRefusal command = ALLOCATION__V1__DECIDE_REFUSAL__INIT;
    command.application_id = "a-1";
    command.ground = ALLOCATION__V1__REFUSAL_GROUND__RESERVE_EXPIRED;
    command.rules = command.facts = command.considerations = "ord";

    struct message message = BY("holder", BUDGET_HOLDER);
    check_refused(&message, rule_refuse(&message, &grant, &command), "is not on the reserve list");

    struct message listed = BY("holder", BUDGET_HOLDER);
    grant.state = GRANT_ON_RESERVE;
    grant.nynorsk = true;
    assert_int_equal(OK, rule_refuse(&listed, &grant, &command));
    const ApplicationRefused *event = check_emitted(&listed, 1, 0,
                                                    &allocation__v1__application_refused__descriptor);
    assert_string_equal("Kan ikkje klagast på.", event->no_appeal);
    assert_string_equal("tuki@imdi.no", event->contact);
    assert_int_equal(2, event->n_prepared_by);
}

static void places_on_the_reserve_list_outside_the_rules_are_refused(void **state)
{
    (void)state;
    PutOnReserve command = ALLOCATION__V1__PUT_ON_RESERVE__INIT;
    command.application_id = "a-1";
    command.reason = "god";
    struct grant grant = an_application();

    struct message unranked = BY("holder", BUDGET_HOLDER);
    check_refused(&unranked, rule_put_on_reserve(&unranked, &grant, "", &command), "rank is missing");

    struct message taken = BY("holder", BUDGET_HOLDER);
    command.rank = 1;
    check_refused(&taken, rule_put_on_reserve(&taken, &grant, "a-2", &command),
                  "rank 1 of the reserve list of call c-1 was "
                  "given to application a-2");

    struct message silent = BY("holder", BUDGET_HOLDER);
    command.reason = "";
    check_refused(&silent, rule_put_on_reserve(&silent, &grant, "", &command), "reason is missing");

    struct message listed = BY("holder", BUDGET_HOLDER);
    grant.state = GRANT_ON_RESERVE;
    check_refused(&listed, puts_on_reserve(&listed, &grant),
                  "is on the reserve list, so it can not be put on");

    struct message refusal = BY("holder", BUDGET_HOLDER);
    grant = an_application();
    grant.recommendation.version = 0;
    check_refused(&refusal, puts_on_reserve(&refusal, &grant), "no recommendation that stands");
}

// ------------------------------------------------------------------------------------- letters

static const GrantLetterIssued *issued(struct message *message, const struct grant *grant, char *reason)
{
    IssueLetter command = ALLOCATION__V1__ISSUE_LETTER__INIT;
    command.application_id = "a-1";
    command.reason = reason;
    assert_int_equal(OK, rule_issue_letter(message, grant, &command));
    return check_emitted(message, 1, 0, &allocation__v1__grant_letter_issued__descriptor);
}

static void a_letter_has_its_blocks_and_its_hash(void **state)
{
    (void)state;
    struct message message = BY("officer", CASE_OFFICER);
    struct grant grant = an_award();
    const GrantLetterIssued *event = issued(&message, &grant, "");
    const GrantLetter *letter = event->letter;

    assert_int_equal(1, letter->letter_version);
    assert_string_equal("nb", letter->language);
    assert_string_equal("Fremme mangfold.\n\nProsjekt: Mangfold i barnehagen", letter->purpose);
    assert_string_equal("F og O er gode.\n\nDette er kuttet: reisene", letter->reasons);
    assert_int_equal(oslo_days_end(NOW, 14, false), letter->accept_by_at_us);
    assert_non_null(strstr(letter->acceptance, oslo_text(message.arena, letter->accept_by_at_us)));
    assert_string_equal("Med forbehold.", letter->reservation);
    assert_string_equal("first", letter->handler);
    assert_string_equal("holder", letter->decider);
    assert_int_equal(2, letter->n_conditions);
    size_t size;
    uint8_t *bytes = message_encode(message.arena, letter, &size);
    assert_string_equal(sha256_text(message.arena, bytes, size), event->letter_sha256);
}

static void a_nynorsk_municipality_gets_a_nynorsk_letter(void **state)
{
    (void)state;
    struct message message = BY("officer", CASE_OFFICER);
    struct grant grant = an_award();
    grant.nynorsk = true;
    const GrantLetter *letter = issued(&message, &grant, "")->letter;
    assert_string_equal("nn", letter->language);
    assert_string_equal("Berre til prosjektet.", letter->conditions[0]->text);
    assert_non_null(strstr(letter->acceptance, "Tagnad er ikkje aksept"));
    assert_non_null(strstr(letter->reporting, "rekneskap"));
    assert_null(strstr(letter->repayment, "betales"));
}

static void the_approved_budget_balances_after_a_cut(void **state)
{
    (void)state;
    struct message message = BY("officer", CASE_OFFICER);
    struct grant grant = an_award();  // 500 000 of 600 000; own 300 000, other 100 000
    const GrantLetter *letter = issued(&message, &grant, "")->letter;
    assert_int_equal(300000 * KR, letter->own_ore);
    assert_int_equal(100000 * KR, letter->other_ore);
    assert_int_equal(630000 * KR, letter->lines[0]->amount_ore);
    assert_int_equal(270000 * KR, letter->lines[1]->amount_ore);

    struct message whole = BY("officer", CASE_OFFICER);
    given_award.amount_ore = 600000 * KR;
    letter = issued(&whole, &grant, "")->letter;
    assert_int_equal(700000 * KR, letter->lines[0]->amount_ore);
    assert_int_equal(300000 * KR, letter->lines[1]->amount_ore);
}

static void large_grants_need_an_auditor_where_the_call_says_so(void **state)
{
    (void)state;
    struct message small = BY("officer", CASE_OFFICER);
    struct grant grant = an_award();
    given_call.definition.auditor_threshold_kroner = 500001;
    assert_null(strstr(issued(&small, &grant, "")->letter->reporting, "revisor"));
    struct message large = BY("officer", CASE_OFFICER);
    given_call.definition.auditor_threshold_kroner = 500000;
    assert_non_null(strstr(issued(&large, &grant, "")->letter->reporting, "revisor"));
}

// Each makes one block empty; the refusal names it.
static void without_purpose(struct grant *grant)
{
    (void)grant;
    given_call.purpose.nb = "";
}
static void without_title(struct grant *grant)
{
    (void)grant;
    given_content.content.title = "";
}
static void without_appeal(struct grant *grant)
{
    (void)grant;
    given_call.no_appeal.nb = "";
}
static void without_control(struct grant *grant)
{
    (void)grant;
    given_call.control_right.nb = "";
}
static void without_reservation(struct grant *grant)
{
    (void)grant;
    given_call.reservation.nb = "";
}
static void without_condition(struct grant *grant)
{
    (void)grant;
    given_call.other_text.nb = "";
}
static void without_conditions(struct grant *grant)
{
    (void)grant;
    given_call.definition.n_conditions = 0;
}
static void without_goal(struct grant *grant)
{
    (void)grant;
    given_call.goal_text.nb = "";
}
static void without_goals(struct grant *grant)
{
    (void)grant;
    given_call.definition.n_goals = 0;
}
static void without_post(struct grant *grant)
{
    (void)grant;
    given_call.definition.chapter_post = "";
}
static void without_contact(struct grant *grant)
{
    (void)grant;
    given_call.definition.contact = "";
}
static void without_reasons(struct grant *grant)
{
    given_award.reason = "";
    given_award.full = true;
    (void)grant;
}
static void without_handler(struct grant *grant)
{
    grant->handler = "";
}
static void without_recipient(struct grant *grant)
{
    grant->name = "";
}
static void without_budget(struct grant *grant)
{
    (void)grant;
    given_content.content.n_budget = 0;
}

static void a_letter_without_a_mandatory_block_is_not_written(void **state)
{
    (void)state;
    static const struct {
        void (*spoil)(struct grant *grant);
        const char *block;
    } spoilt[] = {
        {without_purpose, "purpose"},
        {without_title, "purpose"},
        {without_appeal, "no_appeal"},
        {without_control, "control_right"},
        {without_reservation, "reservation"},
        {without_condition, "conditions"},
        {without_conditions, "conditions"},
        {without_goal, "goals"},
        {without_goals, "goals"},
        {without_post, "chapter_post"},
        {without_contact, "contact"},
        {without_reasons, "reasons"},
        {without_handler, "handler"},
        {without_recipient, "recipient"},
        {without_budget, "lines"},
    };
    for (size_t i = 0; i < sizeof spoilt / sizeof *spoilt; i++) {
        struct message message = BY("officer", CASE_OFFICER);
        struct grant grant = an_award();
        IssueLetter command = ALLOCATION__V1__ISSUE_LETTER__INIT;
        command.application_id = "a-1";
        spoilt[i].spoil(&grant);
        check_refused(&message, rule_issue_letter(&message, &grant, &command),
                      arena_printf(message.arena, "its block %s is empty", spoilt[i].block));
    }
}

static void a_letter_that_no_event_can_hold_is_refused(void **state)
{
    (void)state;
    struct message message = BY("officer", CASE_OFFICER);
    struct grant grant = an_award();
    char *text = arena_alloc(message.arena, 200001);
    memset(text, 'x', 200000);
    given_call.purpose.nb = text;
    IssueLetter command = ALLOCATION__V1__ISSUE_LETTER__INIT;
    command.application_id = "a-1";
    check_refused(&message, rule_issue_letter(&message, &grant, &command), "the letter of a-1 would be");
}

static void a_second_letter_needs_a_reason_and_nothing_paid(void **state)
{
    (void)state;
    IssueLetter command = ALLOCATION__V1__ISSUE_LETTER__INIT;
    command.application_id = "a-1";

    struct message silent = BY("officer", CASE_OFFICER);
    struct grant grant = an_accepted_grant();
    check_refused(&silent, rule_issue_letter(&silent, &grant, &command), "reason is missing");

    struct message message = BY("officer", CASE_OFFICER);
    assert_int_equal(3, issued(&message, &grant, "feil i vilkår")->letter->letter_version);

    struct message paid = BY("officer", CASE_OFFICER);
    grant.paid_ore = 1;
    check_refused(&paid, rule_issue_letter(&paid, &grant, &command),
                  "is paid, so it can not be given a new letter");

    struct message sent = BY("officer", CASE_OFFICER);
    grant.paid_ore = 0;
    grant.payment_under_way = true;
    check_refused(&sent, rule_issue_letter(&sent, &grant, &command),
                  "a payment of the grant of application a-1 is under way");

    struct message undecided = BY("officer", CASE_OFFICER);
    grant = an_application();
    check_refused(&undecided, rule_issue_letter(&undecided, &grant, &command),
                  "is not decided, so it can not be given");
}

// ------------------------------------------------------------------------------------- acceptance

static void an_acceptance_is_prepared_for_signature(void **state)
{
    (void)state;
    struct message message = OF_LEAD(EDITOR);
    struct grant grant = a_prepared_acceptance();
    Accept command = an_acceptance();
    assert_int_equal(OK, rule_accept(&message, &grant, &command));
    const AcceptancePrepared *event = check_emitted(&message, 1, 0,
                                                    &allocation__v1__acceptance_prepared__descriptor);
    assert_int_equal(4, event->acceptance_version);
    assert_int_equal(500000 * KR, event->amount_ore);
    size_t size;
    uint8_t *bytes = message_encode(message.arena, event->acceptance, &size);
    assert_string_equal(sha256_text(message.arena, bytes, size), event->acceptance_sha256);
}

static void acceptances_outside_the_rules_are_refused(void **state)
{
    (void)state;
    static char *twice[] = {"BRUK", "BRUK"}, *more[] = {"BRUK", "DELING", "DELING"};
    char *const long_line = calloc(1, LIMIT_LINE_BYTES + 2);
    memset(long_line, 'x', LIMIT_LINE_BYTES + 1);
    Accept wrong[9];
    for (int i = 0; i < 9; i++)
        wrong[i] = an_acceptance();
    wrong[0].letter_version = 1;
    wrong[1].letter_sha256 = "cc";
    wrong[2].n_conditions = 1;
    wrong[3].conditions = twice;
    wrong[4].conditions = more;
    wrong[4].n_conditions = 3;
    wrong[5].account_number = "12345678904";
    wrong[6].kid = "12345";
    wrong[7].remark = "Vi tar forbehold.";
    wrong[8].project_number = long_line;
    static const char *const refusals[] = {
        "letter_version 1 of application a-1 is not the current one, which is 2",
        "letter_sha256 is not that of letter 2",
        "condition BRUK of the letter of application a-1 is not accepted",
        "condition DELING of the letter of application a-1 is not accepted",
        "conditions of application a-1 are 3, and the letter has 2",
        "account_number 12345678904 for application a-1 is none",
        "kid 12345 for application a-1 is none",
        "a remark that changes a condition is not an acceptance",
        "project_number for a-1 is 501 bytes long",
    };
    for (int i = 0; i < 9; i++) {
        struct message message = OF_LEAD(APPROVER);
        struct grant grant = an_offer();
        check_refused(&message, rule_accept(&message, &grant, &wrong[i]), refusals[i]);
    }
    free(long_line);
}

static void an_offer_is_accepted_in_time_or_not_at_all(void **state)
{
    (void)state;
    Accept command = an_acceptance();
    struct message last = OF_LEAD(APPROVER);
    struct grant grant = an_offer();
    grant.accept_by_at_us = NOW + 1;
    assert_int_equal(OK, rule_accept(&last, &grant, &command));

    struct message late = OF_LEAD(APPROVER);
    grant.accept_by_at_us = NOW;
    check_refused(&late, rule_accept(&late, &grant, &command), "had to be accepted before");

    struct message again = OF_LEAD(APPROVER);
    grant = an_accepted_grant();
    check_refused(&again, rule_accept(&again, &grant, &command), "is accepted, so it can not be accepted");
}

static void a_kid_may_be_absent(void **state)
{
    (void)state;
    struct message message = OF_LEAD(APPROVER);
    struct grant grant = an_offer();
    Accept command = an_acceptance();
    command.kid = "";
    assert_int_equal(OK, rule_accept(&message, &grant, &command));
}

static void only_the_lead_accepts_declines_renounces_and_reads(void **state)
{
    (void)state;
    struct grant grant = an_offer();
    Accept accept = an_acceptance();
    Decline decline = ALLOCATION__V1__DECLINE__INIT;
    Renounce renounce = ALLOCATION__V1__RENOUNCE__INIT;
    Letter letter = ALLOCATION__V1__LETTER__INIT;
    const char *refusal = "organisation 998447356 is not the lead of application a-1";

    struct message first = by("p", BUS__V1__ACTOR__ROLE__APPROVER, "998447356");
    check_refused(&first, rule_accept(&first, &grant, &accept), refusal);
    struct message second = by("p", BUS__V1__ACTOR__ROLE__APPROVER, "998447356");
    check_refused(&second, rule_decline(&second, &grant, &decline), refusal);
    struct message third = by("p", BUS__V1__ACTOR__ROLE__APPROVER, "998447356");
    check_refused(&third, rule_renounce(&third, &grant, &renounce), refusal);
    struct message fourth = by("p", BUS__V1__ACTOR__ROLE__EDITOR, "998447356");
    check_refused(&fourth, rule_show_letter(&fourth, &grant, &letter), refusal);
    struct message officer = BY("officer", CASE_OFFICER);
    assert_int_equal(OK, rule_show_letter(&officer, &grant, &letter));
}

static void a_letter_is_shown_with_the_acceptance_that_waits(void **state)
{
    (void)state;
    struct message message = OF_LEAD(EDITOR);
    Letter letter = ALLOCATION__V1__LETTER__INIT;
    struct grant grant = a_prepared_acceptance();
    assert_int_equal(OK, rule_show_letter(&message, &grant, &letter));
    assert_true(letter.current);
    assert_int_equal(3, letter.acceptance_version);

    letter = (Letter)ALLOCATION__V1__LETTER__INIT;
    given_acceptance.letter_version = 1;
    assert_int_equal(OK, rule_show_letter(&message, &grant, &letter));
    assert_int_equal(0, letter.acceptance_version);

    letter = (Letter)ALLOCATION__V1__LETTER__INIT;
    grant.state = GRANT_LAPSED;
    assert_int_equal(OK, rule_show_letter(&message, &grant, &letter));
    assert_false(letter.current);

    grant = an_award();
    check_refused(&message, rule_show_letter(&message, &grant, &letter), "application a-1 has no letter");
}

// ------------------------------------------------------------------------------------- signatures

static Approval__V1__Signature given_signature;
static Approval__V1__Signature *given_signatures[] = {&given_signature};

static SignedOff a_signature(int64_t signed_at_us)
{
    SignedOff event = APPROVAL__V1__SIGNED_OFF__INIT;
    approval__v1__signature__init(&given_signature);
    given_signature.person = "director";
    event.application_id = "a-1";
    event.kind = TYPES__V1__SIGN_OFF_KIND__ACCEPTANCE;
    event.version = 3;
    event.content_sha256 = "bb";
    event.signed_at_us = signed_at_us;
    event.n_signatures = 1;
    event.signatures = given_signatures;
    return event;
}

static void a_directors_signature_makes_the_acceptance_count(void **state)
{
    (void)state;
    const enum grant_state states[] = {GRANT_OFFERED, GRANT_MISSED};  // the timer may have been first
    for (int i = 0; i < 2; i++) {
        struct message message = BY("approval", SERVICE);
        struct grant grant = a_prepared_acceptance();
        grant.state = states[i];
        SignedOff signature = a_signature(grant.accept_by_at_us - 1);
        rule_signed_off(&message, &grant, &signature);
        const GrantAccepted *event = check_emitted(&message, 1, 0,
                                                   &allocation__v1__grant_accepted__descriptor);
        assert_string_equal("director", event->signed_by);
        assert_string_equal("12345678903", event->account_number);
        assert_string_equal("Oslo kommune", event->name);
        assert_int_equal(2, event->letter_version);
        assert_int_equal(1, event->instalments);
        assert_int_equal(500000 * KR, event->amount_ore);
    }
}

static void disregarded(struct grant grant, SignedOff signature, const char *why)
{
    struct message message = BY("approval", SERVICE);
    rule_signed_off(&message, &grant, &signature);
    const AcceptanceDisregarded *event = check_emitted(&message, 1, 0,
                                                       &allocation__v1__acceptance_disregarded__descriptor);
    assert_non_null(strstr(event->reason, why));
}

static void signatures_that_no_longer_fit_are_disregarded(void **state)
{
    (void)state;
    struct grant grant = a_prepared_acceptance();
    SignedOff signature = a_signature(grant.accept_by_at_us);
    disregarded(grant, signature, "after the time to accept had passed");

    signature = a_signature(NOW);
    signature.version = 2;
    disregarded(grant, signature, "another acceptance was prepared");

    signature = a_signature(NOW);
    signature.content_sha256 = "dd";
    disregarded(grant, signature, "another acceptance was prepared");

    signature = a_signature(NOW);
    grant.letter_version = 3;
    disregarded(grant, signature, "letter 2 was signed, and letter 3 is the current one");

    grant.state = GRANT_LAPSED;
    disregarded(grant, signature, "the grant is lapsed");
}

static void signatures_of_other_kinds_are_not_ours(void **state)
{
    (void)state;
    struct message message = BY("approval", SERVICE);
    struct grant grant = a_prepared_acceptance();
    SignedOff signature = a_signature(NOW);
    signature.kind = TYPES__V1__SIGN_OFF_KIND__APPLICATION;
    rule_signed_off(&message, &grant, &signature);
    assert_null(message.emitted);
}

// --------------------------------------------------------------------------- what gives money back

static void declining_gives_all_back_at_once(void **state)
{
    (void)state;
    struct message message = OF_LEAD(APPROVER);
    struct grant grant = an_offer();
    Decline command = ALLOCATION__V1__DECLINE__INIT;
    command.application_id = "a-1";
    command.reason = "ikke kapasitet";
    assert_int_equal(OK, rule_decline(&message, &grant, &command));
    const GrantDeclined *event = check_emitted(&message, 1, 0, &allocation__v1__grant_declined__descriptor);
    moves_frame(event->postings[0], "COMMITTED:a-1", "FRAME", 500000 * KR, 4, 2000000 * KR);

    struct message silent = OF_LEAD(APPROVER);
    command.reason = "";
    check_refused(&silent, rule_decline(&silent, &grant, &command), "reason is missing");

    struct message accepted = OF_LEAD(APPROVER);
    grant = an_accepted_grant();
    check_refused(&accepted, rule_decline(&accepted, &grant, &command),
                  "is accepted, so it can not be declined");
}

static void an_offer_lapses_only_after_it_was_missed(void **state)
{
    (void)state;
    struct grant grant = an_offer();
    ConfirmLapse command = ALLOCATION__V1__CONFIRM_LAPSE__INIT;
    command.application_id = "a-1";
    command.reason = "ingen svarte";

    struct message early = BY("officer", CASE_OFFICER);
    check_refused(&early, rule_lapse(&early, &grant, &command), "has not passed: it runs until");
    struct message timer = BY("clock", CLOCK);
    check_refused(&timer, rule_miss(&timer, &grant), "has not passed");

    grant.accept_by_at_us = NOW;
    assert_int_equal(OK, rule_miss(&timer, &grant));

    struct message message = BY("officer", CASE_OFFICER);
    grant.state = GRANT_MISSED;
    assert_int_equal(OK, rule_lapse(&message, &grant, &command));
    const GrantLapsed *event = check_emitted(&message, 1, 0, &allocation__v1__grant_lapsed__descriptor);
    moves_frame(event->postings[0], "COMMITTED:a-1", "FRAME", 500000 * KR, 4, 2000000 * KR);

    struct message silent = BY("officer", CASE_OFFICER);
    command.reason = "";
    check_refused(&silent, rule_lapse(&silent, &grant, &command), "reason is missing");

    struct message again = BY("clock", CLOCK);
    check_refused(&again, rule_miss(&again, &grant), "so it can not be missed");

    struct message declined = BY("officer", CASE_OFFICER);
    grant.state = GRANT_DECLINED;
    check_refused(&declined, rule_lapse(&declined, &grant, &command), "is declined, so it can not be lapsed");
}

static void more_time_is_asked_for_in_time_and_ends_with_the_year(void **state)
{
    (void)state;
    struct grant grant = an_offer();
    ExtendAcceptance command = ALLOCATION__V1__EXTEND_ACCEPTANCE__INIT;
    command.application_id = "a-1";
    command.reason = "ferie";
    command.accept_by_at_us = grant.accept_by_at_us + DAY_US;

    struct message message = BY("officer", CASE_OFFICER);
    assert_int_equal(OK, rule_extend(&message, &grant, &command));
    check_emitted(&message, 1, 0, &allocation__v1__acceptance_extended__descriptor);

    struct message earlier = BY("officer", CASE_OFFICER);
    command.accept_by_at_us = grant.accept_by_at_us;
    check_refused(&earlier, rule_extend(&earlier, &grant, &command), "is not later than the present one");

    struct message beyond = BY("officer", CASE_OFFICER);
    command.accept_by_at_us = NOW + 300 * DAY_US;
    check_refused(&beyond, rule_extend(&beyond, &grant, &command), "is after the end of 2024");

    struct message silent = BY("officer", CASE_OFFICER);
    command.accept_by_at_us = grant.accept_by_at_us + DAY_US;
    command.reason = "";
    check_refused(&silent, rule_extend(&silent, &grant, &command), "reason is missing");

    struct message late = BY("officer", CASE_OFFICER);
    grant.accept_by_at_us = NOW;
    check_refused(&late, rule_extend(&late, &grant, &command), "has passed, and more can not be given");

    struct message declined = BY("officer", CASE_OFFICER);
    grant.state = GRANT_DECLINED;
    check_refused(&declined, rule_extend(&declined, &grant, &command), "so it can not be given more time");
}

static void an_accepted_grant_is_renounced_before_it_is_paid(void **state)
{
    (void)state;
    struct grant grant = an_accepted_grant();
    Renounce command = ALLOCATION__V1__RENOUNCE__INIT;
    command.application_id = "a-1";
    command.reason = "prosjektet utgår";

    struct message message = OF_LEAD(APPROVER);
    assert_int_equal(OK, rule_renounce(&message, &grant, &command));
    const GrantRenounced *event = check_emitted(&message, 1, 0, &allocation__v1__grant_renounced__descriptor);
    moves_frame(event->postings[0], "COMMITTED:a-1", "FRAME", 500000 * KR, 4, 2000000 * KR);

    struct message under_way = OF_LEAD(APPROVER);
    grant.payment_under_way = true;
    check_refused(&under_way, rule_renounce(&under_way, &grant, &command),
                  "is under way, so it can not be renounced");

    struct message paid = OF_LEAD(APPROVER);
    grant.payment_under_way = false;
    grant.paid_ore = 500000 * KR;
    check_refused(&paid, rule_renounce(&paid, &grant, &command), "is paid, so it can not be renounced");

    struct message silent = OF_LEAD(APPROVER);
    grant.paid_ore = 0;
    command.reason = "";
    check_refused(&silent, rule_renounce(&silent, &grant, &command), "reason is missing");

    struct message only_offered = OF_LEAD(APPROVER);
    grant = an_offer();
    check_refused(&only_offered, rule_renounce(&only_offered, &grant, &command),
                  "is offered, so it can not be renounced");
}

static void a_withdrawal_that_crossed_an_award_gives_it_back(void **state)
{
    (void)state;
    ApplicationWithdrawn withdrawn = INTAKE__V1__APPLICATION_WITHDRAWN__INIT;
    withdrawn.application_id = "a-1";
    struct message crossed = BY("intake", SERVICE);
    struct grant grant = an_award();
    rule_withdrawn(&crossed, &grant, &withdrawn);
    const GrantDeclined *event = check_emitted(&crossed, 1, 0, &allocation__v1__grant_declined__descriptor);
    assert_string_equal("the application was withdrawn", event->reason);

    struct message undecided = BY("intake", SERVICE);
    grant = an_application();
    rule_withdrawn(&undecided, &grant, &withdrawn);
    assert_null(undecided.emitted);
}

// ----------------------------------------------------------------------------- payments and claims

static PaymentConfirmed a_confirmation(int64_t amount_ore)
{
    PaymentConfirmed event = PAYMENT__V1__PAYMENT_CONFIRMED__INIT;
    event.application_id = "a-1";
    event.payment_key = "a-1#2024#1";
    event.amount_ore = amount_ore;
    return event;
}

static void a_payment_comes_from_what_is_committed_and_goes_back_there(void **state)
{
    (void)state;
    struct grant grant = an_accepted_grant();
    PaymentConfirmed confirmed = a_confirmation(500000 * KR);
    struct message out = BY("payment", SERVICE);
    assert_int_equal(OK, rule_confirmed(&out, &grant, &confirmed));
    const PaymentPosted *event = check_emitted(&out, 1, 0, &allocation__v1__payment_posted__descriptor);
    moves_frame(event->postings[0], "COMMITTED:a-1", "PAID:a-1", 500000 * KR, 0, 0);

    PaymentReturned returned = PAYMENT__V1__PAYMENT_RETURNED__INIT;
    returned.application_id = "a-1";
    returned.payment_key = "a-1#2024#1";
    returned.amount_ore = 500000 * KR;
    struct message back = BY("payment", SERVICE);
    grant.committed_ore = 0;
    grant.paid_ore = 500000 * KR;
    assert_int_equal(OK, rule_returned(&back, &grant, &returned));
    event = check_emitted(&back, 1, 0, &allocation__v1__payment_posted__descriptor);
    moves_frame(event->postings[0], "PAID:a-1", "COMMITTED:a-1", 500000 * KR, 0, 0);
}

static void money_that_was_on_its_way_when_a_grant_was_given_up_comes_from_the_frame(void **state)
{
    (void)state;
    struct grant grant = an_accepted_grant();
    grant.state = GRANT_RENOUNCED;
    grant.committed_ore = 0;
    PaymentConfirmed confirmed = a_confirmation(500000 * KR);
    struct message message = BY("payment", SERVICE);
    assert_int_equal(OK, rule_confirmed(&message, &grant, &confirmed));
    const PaymentPosted *event = check_emitted(&message, 1, 0, &allocation__v1__payment_posted__descriptor);
    moves_frame(event->postings[0], "FRAME", "PAID:a-1", 500000 * KR, 4, 1000000 * KR);
}

static void money_that_is_not_there_is_an_incident(void **state)
{
    (void)state;
    struct grant grant = an_accepted_grant();
    PaymentConfirmed confirmed = a_confirmation(500000 * KR + 1);
    struct message message = BY("payment", SERVICE);
    assert_int_equal(POISON, rule_confirmed(&message, &grant, &confirmed));
    assert_non_null(strstr(message.reason, "moves money that is not there"));

    struct message unknown = BY("payment", SERVICE);
    grant = an_application();
    assert_int_equal(POISON, rule_confirmed(&unknown, &grant, &confirmed));

    ClaimIssued claim = PAYMENT__V1__CLAIM_ISSUED__INIT;
    claim.amount_ore = 1;
    struct message claims = BY("payment", SERVICE);
    assert_int_equal(POISON, rule_claimed(&claims, &grant, &claim));

    RepaymentReceived receipt = PAYMENT__V1__REPAYMENT_RECEIVED__INIT;
    receipt.amount_ore = 1;
    struct message receipts = BY("payment", SERVICE);
    assert_int_equal(POISON, rule_repaid(&receipts, &grant, &receipt));
}

static void a_claim_and_its_repayment_leave_the_frame_alone(void **state)
{
    (void)state;
    struct grant grant = an_accepted_grant();
    grant.paid_ore = 500000 * KR;
    ClaimIssued claim = PAYMENT__V1__CLAIM_ISSUED__INIT;
    claim.application_id = "a-1";
    claim.claim_id = "a-1#2024#claim";
    claim.amount_ore = 120000 * KR;
    struct message claims = BY("payment", SERVICE);
    assert_int_equal(OK, rule_claimed(&claims, &grant, &claim));
    const ClaimPosted *claimed = check_emitted(&claims, 1, 0, &allocation__v1__claim_posted__descriptor);
    moves_frame(claimed->postings[0], "PAID:a-1", "CLAIMED:a-1", 120000 * KR, 0, 0);

    RepaymentReceived receipt = PAYMENT__V1__REPAYMENT_RECEIVED__INIT;
    receipt.application_id = "a-1";
    receipt.claim_id = "a-1#2024#claim";
    receipt.amount_ore = 50000 * KR;
    grant.claimed_ore = 120000 * KR;
    struct message receipts = BY("payment", SERVICE);
    assert_int_equal(OK, rule_repaid(&receipts, &grant, &receipt));
    const RepaymentPosted *repaid = check_emitted(&receipts, 1, 0,
                                                  &allocation__v1__repayment_posted__descriptor);
    moves_frame(repaid->postings[0], "CLAIMED:a-1", "REPAID:a-1", 50000 * KR, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_published_call_gets_its_frame_once),
        cmocka_unit_test(the_whole_residual_can_be_reserved),
        cmocka_unit_test(reservations_outside_the_rules_are_refused),
        cmocka_unit_test(a_later_year_gets_a_frame_of_its_own),
        cmocka_unit_test(appropriations_outside_the_rules_are_refused),
        cmocka_unit_test(a_proposal_is_recorded_so_that_it_can_be_computed_again),
        cmocka_unit_test(proposals_outside_the_rules_are_refused),
        cmocka_unit_test(an_award_is_committed_with_the_decision),
        cmocka_unit_test(an_award_below_what_was_applied_for_is_partial),
        cmocka_unit_test(a_later_year_is_paid_by_its_own_appropriation),
        cmocka_unit_test(amounts_outside_the_rules_are_not_awarded),
        cmocka_unit_test(the_three_questions_are_answered_yes),
        cmocka_unit_test(awards_without_their_ground_are_refused),
        cmocka_unit_test(years_without_money_are_not_awarded),
        cmocka_unit_test(everyone_decides_with_other_eyes_than_those_that_prepared),
        cmocka_unit_test(only_what_is_open_is_decided),
        cmocka_unit_test(a_refusal_has_three_parts_and_a_ground),
        cmocka_unit_test(a_reserve_expires_only_for_who_is_on_it),
        cmocka_unit_test(places_on_the_reserve_list_outside_the_rules_are_refused),
        cmocka_unit_test(a_letter_has_its_blocks_and_its_hash),
        cmocka_unit_test(a_nynorsk_municipality_gets_a_nynorsk_letter),
        cmocka_unit_test(the_approved_budget_balances_after_a_cut),
        cmocka_unit_test(large_grants_need_an_auditor_where_the_call_says_so),
        cmocka_unit_test(a_letter_without_a_mandatory_block_is_not_written),
        cmocka_unit_test(a_letter_that_no_event_can_hold_is_refused),
        cmocka_unit_test(a_second_letter_needs_a_reason_and_nothing_paid),
        cmocka_unit_test(an_acceptance_is_prepared_for_signature),
        cmocka_unit_test(acceptances_outside_the_rules_are_refused),
        cmocka_unit_test(an_offer_is_accepted_in_time_or_not_at_all),
        cmocka_unit_test(a_kid_may_be_absent),
        cmocka_unit_test(only_the_lead_accepts_declines_renounces_and_reads),
        cmocka_unit_test(a_letter_is_shown_with_the_acceptance_that_waits),
        cmocka_unit_test(a_directors_signature_makes_the_acceptance_count),
        cmocka_unit_test(signatures_that_no_longer_fit_are_disregarded),
        cmocka_unit_test(signatures_of_other_kinds_are_not_ours),
        cmocka_unit_test(declining_gives_all_back_at_once),
        cmocka_unit_test(an_offer_lapses_only_after_it_was_missed),
        cmocka_unit_test(more_time_is_asked_for_in_time_and_ends_with_the_year),
        cmocka_unit_test(an_accepted_grant_is_renounced_before_it_is_paid),
        cmocka_unit_test(a_withdrawal_that_crossed_an_award_gives_it_back),
        cmocka_unit_test(a_payment_comes_from_what_is_committed_and_goes_back_there),
        cmocka_unit_test(money_that_was_on_its_way_when_a_grant_was_given_up_comes_from_the_frame),
        cmocka_unit_test(money_that_is_not_there_is_an_incident),
        cmocka_unit_test(a_claim_and_its_repayment_leave_the_frame_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
