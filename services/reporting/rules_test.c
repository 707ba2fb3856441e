// rules_test: when a report may be made, what must stand in it, what is unspent and when a grant can close.
#include "reporting.h"
#include "check/check.h"
#include "limits/limits.h"
#include "values/values.h"

#include <string.h>

#define APPLICATION   "0190aaaa-0000-7000-8000-000000000001"
#define LEAD          "974683520"
#define KRONER        100LL
#define OPENS         INT64_C(1735686000000000)  // 2025-01-01 00:00 in Oslo
#define DUE           INT64_C(1743458400000000)  // 2025-04-01 00:00 in Oslo
#define JANUARY       INT64_C(1737360000000000)  // 2025-01-20 08:00 UTC
#define ROLE_OF(name) BUS__V1__ACTOR__ROLE__##name

// A letter of 600 000 kr with costs of 800 000 kr and 200 000 kr of its own, and a report that fits it. The
// vector of the rules of money (M11): 680 000 kr were spent.
struct world {
    Allocation__V1__LetterItem goal_items[2];
    Allocation__V1__LetterItem *goals[2];
    Allocation__V1__LetterLine line_items[2];
    Allocation__V1__LetterLine *lines[2];
    GrantLetter letter;
    GoalAnswer answer_items[3];
    GoalAnswer *answers[3];
    AccountLine account_items[3];
    AccountLine *accounts[3];
    Reporting__V1__Product product;
    Reporting__V1__Product *products[1];
    char *dates[3];
    Report report;
    struct duty duty;
};

static void make_letter(struct world *world)
{
    static char *const ids[] = {(char *)"M1", (char *)"M2"};
    static const Types__V1__LineCode codes[] = {TYPES__V1__LINE_CODE__SALARY, TYPES__V1__LINE_CODE__TRAVEL};
    static const int64_t amounts[] = {700000 * KRONER, 100000 * KRONER};

    world->letter = (GrantLetter)ALLOCATION__V1__GRANT_LETTER__INIT;
    for (int i = 0; i < 2; i++) {
        world->goal_items[i] = (Allocation__V1__LetterItem)ALLOCATION__V1__LETTER_ITEM__INIT;
        world->goal_items[i].id = ids[i];
        world->goals[i] = &world->goal_items[i];
        world->line_items[i] = (Allocation__V1__LetterLine)ALLOCATION__V1__LETTER_LINE__INIT;
        world->line_items[i].code = codes[i];
        world->line_items[i].amount_ore = amounts[i];
        world->lines[i] = &world->line_items[i];
    }
    world->letter.n_goals = world->letter.n_lines = 2;
    world->letter.goals = world->goals;
    world->letter.lines = world->lines;
    world->letter.letter_version = 1;
    world->letter.year = 2024;
    world->letter.amount_ore = 600000 * KRONER;
    world->letter.own_ore = 200000 * KRONER;
    world->letter.report_opens_at_us = OPENS;
    world->letter.report_due_at_us = DUE;
    world->letter.repayment_rule = TYPES__V1__REPAYMENT_RULE__RESIDUAL;
    world->letter.repayment_minimum_ore = 1000 * KRONER;
    world->letter.repayment_days = 30;
    world->letter.deviation_explained_ore = 50000 * KRONER;
}

static void make_report(struct world *world)
{
    static char *const ids[] = {(char *)"M1", (char *)"M2", (char *)"M3"};
    static const Types__V1__LineCode codes[] = {TYPES__V1__LINE_CODE__SALARY, TYPES__V1__LINE_CODE__TRAVEL,
                                                TYPES__V1__LINE_CODE__MATERIAL};
    static const int64_t booked[] = {580000 * KRONER, 100000 * KRONER, 10000 * KRONER};

    world->report = (Report)REPORTING__V1__REPORT__INIT;
    for (int i = 0; i < 3; i++) {
        world->answer_items[i] = (GoalAnswer)REPORTING__V1__GOAL_ANSWER__INIT;
        world->answer_items[i].goal = ids[i];
        world->answer_items[i].degree = REPORTING__V1__GOAL_ANSWER__DEGREE__REACHED;
        world->answer_items[i].evidence = (char *)"chapter 3";
        world->answers[i] = &world->answer_items[i];
        world->account_items[i] = (AccountLine)REPORTING__V1__ACCOUNT_LINE__INIT;
        world->account_items[i].code = codes[i];
        world->account_items[i].booked_ore = booked[i];
        world->accounts[i] = &world->account_items[i];
    }
    world->account_items[0].explanation = (char *)"hired later than planned";
    world->product = (Reporting__V1__Product)REPORTING__V1__PRODUCT__INIT;
    world->product.title = (char *)"a guide";
    world->products[0] = &world->product;
    world->dates[0] = (char *)"2024-08-20";
    world->dates[1] = (char *)"2024-12-31";
    world->dates[2] = (char *)"2024-12-31";
    world->report.n_goals = world->report.n_lines = world->report.n_voucher_dates = 2;
    world->report.goals = world->answers;
    world->report.lines = world->accounts;
    world->report.voucher_dates = world->dates;
    world->report.n_products = 1;
    world->report.products = world->products;
    world->report.activities = (char *)"workshops";
    world->report.use_of_grant = (char *)"salaries";
    world->report.own_delivered_ore = 200000 * KRONER;
    world->report.year = 2024;
}

static void make_world(struct world *world, enum duty_state state)
{
    make_letter(world);
    make_report(world);
    world->duty = (struct duty){.known = true,
                                .application_id = (char *)APPLICATION,
                                .call_id = (char *)"call",
                                .organisation_number = (char *)LEAD,
                                .year = 2024,
                                .letter = &world->letter,
                                .opens_at_us = OPENS,
                                .due_at_us = DUE,
                                .state = state,
                                .report_version = state >= PREPARED ? 1 : 0,
                                .report_sha256 = (char *)(state >= PREPARED ? "c0ffee" : ""),
                                .report = state >= PREPARED ? &world->report : NULL,
                                .approved_by = (char *)(state == APPROVED ? "olga" : ""),
                                .paid_ore = 600000 * KRONER,
                                .actor_has = (char *)""};
    if (state >= DELIVERED)
        world->duty.first_delivered_at_us = JANUARY;
    if (state == APPROVED)
        world->duty.unspent_ore = 120000 * KRONER;
}

static struct message officer(void)
{
    return check_message(JANUARY, "olga", ROLE_OF(CASE_OFFICER), "");
}

static struct message editor(void)
{
    return check_message(JANUARY, "eva", ROLE_OF(EDITOR), LEAD);
}

static struct message heard(void)
{
    return check_message(JANUARY, "reporting", ROLE_OF(SERVICE), "");
}

// ------------------------------------------------------------------------------------------------- the money

static void unspent_follows_the_rule_of_the_letter(void **state)
{
    struct world world;
    struct accounts accounts;

    (void)state;
    make_world(&world, OPEN);                                                                  // given (M11)
    assert_true(accounts_make(&world.letter, &world.report, world.duty.paid_ore, &accounts));  // when
    assert_int_equal(680000 * KRONER, accounts.cost_ore);                                      // then
    assert_int_equal(120000 * KRONER, accounts.unspent_ore);
    assert_false(accounts.own_contribution_short);

    world.letter.repayment_rule = TYPES__V1__REPAYMENT_RULE__PROPORTIONAL;
    assert_true(accounts_make(&world.letter, &world.report, world.duty.paid_ore, &accounts));
    assert_int_equal(90000 * KRONER, accounts.unspent_ore);
}

static void too_little_of_ones_own_leaves_nothing_but_is_marked(void **state)
{
    struct world world;
    struct accounts accounts;

    (void)state;
    make_world(&world, OPEN);
    world.report.own_delivered_ore = 80000 * KRONER;
    assert_true(accounts_make(&world.letter, &world.report, world.duty.paid_ore, &accounts));
    assert_int_equal(0, accounts.unspent_ore);
    assert_true(accounts.own_contribution_short);
}

static void never_more_than_was_paid_is_unspent(void **state)
{
    struct world world;
    struct accounts accounts;

    (void)state;
    make_world(&world, OPEN);
    world.account_items[0].booked_ore = world.account_items[1].booked_ore = 0;
    assert_true(accounts_make(&world.letter, &world.report, world.duty.paid_ore, &accounts));
    assert_int_equal(600000 * KRONER, accounts.unspent_ore);
    world.letter.repayment_rule = TYPES__V1__REPAYMENT_RULE__PROPORTIONAL;
    assert_true(accounts_make(&world.letter, &world.report, world.duty.paid_ore, &accounts));
    assert_int_equal(600000 * KRONER, accounts.unspent_ore);
}

static void the_largest_amounts_do_not_overflow(void **state)
{
    struct world world;
    struct accounts accounts;

    (void)state;
    make_world(&world, OPEN);
    world.letter.repayment_rule = TYPES__V1__REPAYMENT_RULE__PROPORTIONAL;
    world.line_items[0].amount_ore = MONEY_MAX;
    world.line_items[1].amount_ore = 0;
    world.account_items[0].booked_ore = MONEY_MAX - 1;
    world.account_items[1].booked_ore = 0;
    world.report.own_delivered_ore = 0;
    assert_true(accounts_make(&world.letter, &world.report, MONEY_MAX, &accounts));
    assert_int_equal(1, accounts.unspent_ore);
    world.account_items[1].booked_ore = 2;
    assert_false(accounts_make(&world.letter, &world.report, MONEY_MAX, &accounts));
}

static void an_ore_that_does_not_divide_is_the_recipients(void **state)
{
    struct world world;
    struct accounts accounts;

    (void)state;
    make_world(&world, OPEN);
    world.letter.repayment_rule = TYPES__V1__REPAYMENT_RULE__PROPORTIONAL;
    world.line_items[0].amount_ore = 3;
    world.line_items[1].amount_ore = 0;
    world.account_items[0].booked_ore = 1;
    world.account_items[1].booked_ore = 0;
    assert_true(accounts_make(&world.letter, &world.report, 100, &accounts));
    assert_int_equal(66, accounts.unspent_ore);  // 100 - 33.33, rounded down
}

// ---------------------------------------------------------------------------------------------------- duties

static GrantAccepted an_acceptance(void)
{
    GrantAccepted event = ALLOCATION__V1__GRANT_ACCEPTED__INIT;

    event.application_id = (char *)APPLICATION;
    event.call_id = (char *)"call";
    event.organisation_number = (char *)LEAD;
    event.year = 2024;
    event.letter_version = 1;
    return event;
}

static void an_accepted_letter_makes_the_duty_it_names(void **state)
{
    struct world world;
    struct message message = heard();
    struct duty none = {.known = false};
    GrantAccepted event = an_acceptance();

    (void)state;
    make_world(&world, OPEN);
    assert_int_equal(OK, rule_register(&message, &none, &event, &world.letter));
    const DutyRegistered *registered = check_emitted(&message, 1, 0,
                                                     &reporting__v1__duty_registered__descriptor);
    assert_int_equal(OPENS, registered->opens_at_us);
    assert_int_equal(DUE, registered->due_at_us);
    assert_int_equal(2, registered->letter->n_goals);
}

static void a_repeat_registers_nothing_and_a_cancelled_duty_begins_anew(void **state)
{
    struct world world;
    struct message again = heard(), anew = heard(), lost = heard();
    struct duty none = {.known = false};
    GrantAccepted event = an_acceptance();

    (void)state;
    make_world(&world, OPEN);
    assert_int_equal(OK, rule_register(&again, &world.duty, &event, &world.letter));
    assert_null(again.emitted);
    world.duty.state = CANCELLED;
    assert_int_equal(OK, rule_register(&anew, &world.duty, &event, &world.letter));
    check_emitted(&anew, 1, 0, &reporting__v1__duty_registered__descriptor);
    assert_int_equal(POISON, rule_register(&lost, &none, &event, NULL));
}

static void a_newer_letter_or_a_renunciation_ends_what_is_not_approved(void **state)
{
    GrantLetterIssued issued = ALLOCATION__V1__GRANT_LETTER_ISSUED__INIT;
    GrantLetter letter = ALLOCATION__V1__GRANT_LETTER__INIT;
    GrantRenounced renounced = ALLOCATION__V1__GRANT_RENOUNCED__INIT;

    (void)state;
    letter.year = 2024;
    issued.letter = &letter;
    for (int i = NOT_OPEN; i <= CANCELLED; i++) {
        struct world world;
        struct message newer = heard(), same = heard(), given_up = heard();
        bool ends = i <= RETURNED;
        make_world(&world, (enum duty_state)i);
        letter.letter_version = 2;
        assert_int_equal(OK, rule_letter_replaced(&newer, &world.duty, &issued));
        letter.letter_version = 1;
        assert_int_equal(OK, rule_letter_replaced(&same, &world.duty, &issued));
        assert_int_equal(OK, rule_renounced(&given_up, &world.duty, &renounced));
        assert_int_equal(ends, newer.emitted != NULL);
        assert_null(same.emitted);
        assert_int_equal(ends, given_up.emitted != NULL);
    }
}

static void the_clock_opens_and_marks_only_what_is_due(void **state)
{
    struct world world;
    OpenReporting open = REPORTING__V1__OPEN_REPORTING__INIT;
    MarkOverdue mark = REPORTING__V1__MARK_OVERDUE__INIT;
    struct message early = check_message(OPENS - 1, "clock", ROLE_OF(CLOCK), ""),
                   opening = check_message(OPENS, "clock", ROLE_OF(CLOCK), ""),
                   in_time = check_message(DUE - 1, "clock", ROLE_OF(CLOCK), ""),
                   late = check_message(DUE, "clock", ROLE_OF(CLOCK), ""),
                   twice = check_message(DUE, "clock", ROLE_OF(CLOCK), ""),
                   delivered = check_message(DUE, "clock", ROLE_OF(CLOCK), "");

    (void)state;
    make_world(&world, NOT_OPEN);
    assert_int_equal(OK, rule_open(&early, &world.duty, &open));
    assert_null(early.emitted);
    assert_int_equal(OK, rule_open(&opening, &world.duty, &open));
    check_emitted(&opening, 1, 0, &reporting__v1__reporting_opened__descriptor);
    make_world(&world, PREPARED);
    assert_int_equal(OK, rule_overdue(&in_time, &world.duty, &mark));
    assert_null(in_time.emitted);
    assert_int_equal(OK, rule_overdue(&late, &world.duty, &mark));
    check_emitted(&late, 1, 0, &reporting__v1__report_overdue__descriptor);
    world.duty.overdue = true;
    assert_int_equal(OK, rule_overdue(&twice, &world.duty, &mark));
    assert_null(twice.emitted);
    make_world(&world, RETURNED);
    assert_int_equal(OK, rule_overdue(&delivered, &world.duty, &mark));
    assert_null(delivered.emitted);
}

static ExtendReport an_extension(int64_t due_at_us)
{
    ExtendReport command = REPORTING__V1__EXTEND_REPORT__INIT;

    command.application_id = (char *)APPLICATION;
    command.due_at_us = due_at_us;
    command.reason = (char *)"illness";
    return command;
}

static void an_extension_is_later_in_time_and_has_a_reason(void **state)
{
    struct world world;
    struct message message = officer(), earlier = officer(), silent = officer(), delivered = officer(),
                   unknown = officer(), late = check_message(DUE, "olga", ROLE_OF(CASE_OFFICER), "");
    ExtendReport command = an_extension(DUE + 1), same = an_extension(DUE), nothing = an_extension(DUE + 1);
    struct duty none = {.known = false};

    (void)state;
    make_world(&world, OPEN);
    assert_int_equal(OK, rule_extend(&message, &world.duty, &command));
    check_emitted(&message, 1, 0, &reporting__v1__report_deadline_extended__descriptor);
    check_refused(&earlier, rule_extend(&earlier, &world.duty, &same), "is not later than");
    check_refused(&late, rule_extend(&late, &world.duty, &command), "must be asked for before that");
    nothing.reason = (char *)"";
    check_refused(&silent, rule_extend(&silent, &world.duty, &nothing), "reason is missing");
    make_world(&world, DELIVERED);
    check_refused(&delivered, rule_extend(&delivered, &world.duty, &command), "there is nothing to extend");
    check_refused(&unknown, rule_extend(&unknown, &none, &command), "a duty begins with an accepted letter");
}

// --------------------------------------------------------------------------------------- submitting a report

static SubmitReport a_submission(struct world *world)
{
    SubmitReport command = REPORTING__V1__SUBMIT_REPORT__INIT;

    command.application_id = (char *)APPLICATION;
    command.expected_version = world->duty.report_version;
    command.report = &world->report;
    return command;
}

static void a_report_is_frozen_with_its_hash_and_sums(void **state)
{
    struct world world;
    struct message message = editor();
    size_t size;

    (void)state;
    make_world(&world, OPEN);
    SubmitReport command = a_submission(&world);
    assert_int_equal(OK, rule_submit(&message, &world.duty, &command));
    const ReportPrepared *event = check_emitted(&message, 1, 0, &reporting__v1__report_prepared__descriptor);
    const uint8_t *bytes = message_encode(message.arena, &world.report, &size);
    assert_string_equal(sha256_text(message.arena, bytes, size), event->report_sha256);
    assert_int_equal(1, event->report_version);
    assert_int_equal(680000 * KRONER, event->cost_ore);
    assert_int_equal(120000 * KRONER, event->unspent_ore);
}

static void a_report_may_be_replaced_until_it_is_delivered(void **state)
{
    static const struct {
        enum duty_state state;
        const char *refused;
    } all[] = {{NOT_OPEN, "opens"},   {OPEN, NULL},
               {PREPARED, NULL},      {DELIVERED, "is DELIVERED"},
               {RETURNED, NULL},      {APPROVED, "is APPROVED"},
               {CLOSED, "is CLOSED"}, {CANCELLED, "is CANCELLED"}};

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct world world;
        struct message message = editor();
        make_world(&world, all[i].state);
        SubmitReport command = a_submission(&world);
        status_t status = rule_submit(&message, &world.duty, &command);
        if (all[i].refused != NULL)
            check_refused(&message, status, all[i].refused);
        else
            assert_int_equal(OK, status);
    }
}

static void only_the_lead_reports_on_the_version_it_has_read(void **state)
{
    struct world world;
    struct message partner = check_message(JANUARY, "pia", ROLE_OF(EDITOR), "998447356"), stale = editor(),
                   empty = editor();

    (void)state;
    make_world(&world, OPEN);
    SubmitReport command = a_submission(&world);
    check_refused(&partner, rule_submit(&partner, &world.duty, &command), "only the lead " LEAD " reports");
    command.expected_version = 3;
    check_refused(&stale, rule_submit(&stale, &world.duty, &command), "expected_version");
    command.expected_version = 0;
    command.report = NULL;
    check_refused(&empty, rule_submit(&empty, &world.duty, &command), "is missing");
}

static char long_text[LIMIT_TEXT_BYTES + 2];
static char long_line[LIMIT_LINE_BYTES + 2];

static void no_activities(struct world *world)
{
    world->report.activities = (char *)"";
}
static void no_use(struct world *world)
{
    world->report.use_of_grant = (char *)"";
}
static void long_lessons(struct world *world)
{
    world->report.lessons = long_text;
}
static void no_product_title(struct world *world)
{
    world->product.title = (char *)"";
}
static void long_product_place(struct world *world)
{
    world->product.where = long_line;
}
static void long_product_audience(struct world *world)
{
    world->product.audience = long_line;
}
static void goal_missing(struct world *world)
{
    world->report.n_goals = 1;
}
static void goal_twice(struct world *world)
{
    world->report.n_goals = 3;
    world->answer_items[2].goal = (char *)"M1";
}
static void goal_unknown(struct world *world)
{
    world->report.n_goals = 3;
}
static void no_degree(struct world *world)
{
    world->answer_items[0].degree = 0;
}
static void no_evidence(struct world *world)
{
    world->answer_items[0].evidence = (char *)"";
}
static void no_deviation(struct world *world)
{
    world->answer_items[1].degree = REPORTING__V1__GOAL_ANSWER__DEGREE__PARTLY;
}
static void line_missing(struct world *world)
{
    world->report.n_lines = 1;
}
static void line_twice(struct world *world)
{
    world->report.n_lines = 3;
    world->account_items[2].code = TYPES__V1__LINE_CODE__SALARY;
}
static void line_without_code(struct world *world)
{
    world->report.n_lines = 3;
    world->account_items[2].code = 0;
}
static void line_negative(struct world *world)
{
    world->account_items[1].booked_ore = -1;
}
static void line_unexplained(struct world *world)
{
    world->account_items[0].explanation = (char *)"";
}
static void added_line_unexplained(struct world *world)
{
    world->report.n_lines = 3;
    world->account_items[2].booked_ore = 50000 * KRONER + 1;
}
static void own_negative(struct world *world)
{
    world->report.own_delivered_ore = -1;
}
static void other_negative(struct world *world)
{
    world->report.other_received_ore = -1;
}
static void wrong_year(struct world *world)
{
    world->report.year = 2025;
}
static void one_date(struct world *world)
{
    world->report.n_voucher_dates = 1;
}
static void no_date(struct world *world)
{
    world->dates[0] = (char *)"20 August";
}
static void date_outside(struct world *world)
{
    world->dates[1] = (char *)"2025-01-02";
}
static void dates_turned(struct world *world)
{
    world->dates[0] = (char *)"2024-12-31";
    world->dates[1] = (char *)"2024-01-01";
}
static void ledger_hash(struct world *world)
{
    world->report.ledger_export_sha256 = (char *)"5a";
}
static void auditor_hash(struct world *world)
{
    world->report.auditor_statement_sha256 = (char *)"5a";
}
static void auditor_needed(struct world *world)
{
    world->duty.auditor_threshold_kroner = 600000;
}
static void sums_too_large(struct world *world)
{
    world->account_items[0].booked_ore = MONEY_MAX;
    world->account_items[1].booked_ore = MONEY_MAX;
    world->account_items[1].explanation = (char *)"inflation";
}

static void each_fault_in_a_report_is_named(void **state)
{
    static const struct {
        void (*spoil)(struct world *world);
        const char *reason;
    } wrongs[] = {
        {no_activities, "activities is missing"},
        {no_use, "use_of_grant is missing"},
        {long_lessons, "lessons is 20001 bytes"},
        {no_product_title, "products.title is missing"},
        {long_product_place, "products.where is 501 bytes"},
        {long_product_audience, "products.audience is 501 bytes"},
        {goal_missing, "goal M2 of the letter is answered 0 times"},
        {goal_twice, "goal M1 of the letter is answered 2 times"},
        {goal_unknown, "goal M3 is not in the letter"},
        {no_degree, "degree of goal M1"},
        {no_evidence, "evidence of goal M1 is missing"},
        {no_deviation, "deviation of goal M2 is missing"},
        {line_missing, "line TRAVEL of the letter's budget is missing"},
        {line_twice, "line SALARY stands in the accounts more than once"},
        {line_without_code, "code of a line is missing"},
        {line_negative, "booked_ore of line TRAVEL is -1"},
        {line_unexplained, "explanation of line SALARY is missing"},
        {added_line_unexplained, "explanation of line MATERIAL is missing"},
        {own_negative, "own_delivered_ore is -1"},
        {other_negative, "other_received_ore is -1"},
        {wrong_year, "year is 2025"},
        {one_date, "voucher_dates has 1 dates"},
        {no_date, "is not a date"},
        {date_outside, "2025-01-02 is outside 2024"},
        {dates_turned, "2024-12-31 is after 2024-01-01"},
        {ledger_hash, "ledger_export_sha256"},
        {auditor_hash, "auditor_statement_sha256 is no SHA-256"},
        {auditor_needed, "needs an auditor's statement"},
        {sums_too_large, "are above"},
    };

    (void)state;
    memset(long_text, 'x', LIMIT_TEXT_BYTES + 1);
    memset(long_line, 'x', LIMIT_LINE_BYTES + 1);
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        struct world world;
        struct message message = editor();
        make_world(&world, OPEN);
        SubmitReport command = a_submission(&world);
        wrongs[i].spoil(&world);
        check_refused(&message, rule_submit(&message, &world.duty, &command), wrongs[i].reason);
    }
}

static void a_report_that_fits_no_event_is_refused(void **state)
{
    struct world world;
    struct message message = editor();
    Reporting__V1__Product *many[1000];

    (void)state;
    make_world(&world, OPEN);
    memset(long_line, 'x', LIMIT_LINE_BYTES);
    long_line[LIMIT_LINE_BYTES] = '\0';
    world.product.where = long_line;
    for (int i = 0; i < 1000; i++)
        many[i] = &world.product;
    world.report.products = many;
    world.report.n_products = 1000;
    SubmitReport command = a_submission(&world);
    check_refused(&message, rule_submit(&message, &world.duty, &command), "shorten its texts");
}

static void an_auditors_statement_is_needed_only_from_the_threshold(void **state)
{
    struct world world;
    struct message below = editor(), with = editor();

    (void)state;
    make_world(&world, OPEN);
    SubmitReport command = a_submission(&world);
    world.duty.auditor_threshold_kroner = 600001;
    assert_int_equal(OK, rule_submit(&below, &world.duty, &command));
    world.duty.auditor_threshold_kroner = 600000;
    world.report.auditor_statement_sha256 =
        (char *)"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";
    assert_int_equal(OK, rule_submit(&with, &world.duty, &command));
}

// ----------------------------------------------------------------------------- delivered, returned, approved

static SignedOff a_sign_off(int64_t at_us)
{
    SignedOff event = APPROVAL__V1__SIGNED_OFF__INIT;

    event.application_id = (char *)APPLICATION;
    event.kind = TYPES__V1__SIGN_OFF_KIND__REPORT;
    event.version = 1;
    event.content_sha256 = (char *)"c0ffee";
    event.signed_at_us = at_us;
    return event;
}

static void two_signatures_deliver_the_version_that_waits(void **state)
{
    struct world world;
    struct message in_time = heard(), late = heard(), second_time = heard();
    SignedOff event = a_sign_off(DUE - 1), after = a_sign_off(DUE);

    (void)state;
    make_world(&world, PREPARED);
    assert_int_equal(OK, rule_signed_off(&in_time, &world.duty, &event));
    const ReportDelivered *delivered = check_emitted(&in_time, 1, 0,
                                                     &reporting__v1__report_delivered__descriptor);
    assert_false(delivered->late);
    assert_int_equal(OK, rule_signed_off(&late, &world.duty, &after));
    delivered = check_emitted(&late, 1, 0, &reporting__v1__report_delivered__descriptor);
    assert_true(delivered->late);
    world.duty.first_delivered_at_us = DUE - 1;  // the first delivery decides
    assert_int_equal(OK, rule_signed_off(&second_time, &world.duty, &after));
    delivered = check_emitted(&second_time, 1, 0, &reporting__v1__report_delivered__descriptor);
    assert_false(delivered->late);
}

static void a_sign_off_of_something_else_does_nothing(void **state)
{
    struct world world;
    struct message other_version = heard(), other_hash = heard(), not_waiting = heard();
    SignedOff version = a_sign_off(JANUARY), hash = a_sign_off(JANUARY), right = a_sign_off(JANUARY);

    (void)state;
    make_world(&world, PREPARED);
    version.version = 2;
    hash.content_sha256 = (char *)"another";
    assert_int_equal(OK, rule_signed_off(&other_version, &world.duty, &version));
    assert_int_equal(OK, rule_signed_off(&other_hash, &world.duty, &hash));
    world.duty.state = RETURNED;
    assert_int_equal(OK, rule_signed_off(&not_waiting, &world.duty, &right));
    assert_null(other_version.emitted);
    assert_null(other_hash.emitted);
    assert_null(not_waiting.emitted);
}

static void a_return_names_faults_and_a_day_to_come(void **state)
{
    struct world world;
    struct message message = officer(), empty = officer(), blank = officer(), passed = officer(),
                   early = officer();
    char *faults[] = {(char *)"chapter 3 is missing"}, *nothing[] = {(char *)""};
    ReturnReport command = REPORTING__V1__RETURN_REPORT__INIT;

    (void)state;
    make_world(&world, DELIVERED);
    command.application_id = (char *)APPLICATION;
    command.reply_by_at_us = JANUARY + 1;
    check_refused(&empty, rule_return(&empty, &world.duty, &command), "name at least one fault");
    command.n_faults = 1;
    command.faults = nothing;
    check_refused(&blank, rule_return(&blank, &world.duty, &command), "a fault is missing");
    command.faults = faults;
    assert_int_equal(OK, rule_return(&message, &world.duty, &command));
    check_emitted(&message, 1, 0, &reporting__v1__report_returned__descriptor);
    command.reply_by_at_us = JANUARY;
    check_refused(&passed, rule_return(&passed, &world.duty, &command), "must be in the future");
    world.duty.state = PREPARED;
    check_refused(&early, rule_return(&early, &world.duty, &command), "is PREPARED; it must be DELIVERED");
}

static ApproveReport an_approval(const char *note)
{
    ApproveReport command = REPORTING__V1__APPROVE_REPORT__INIT;

    command.application_id = (char *)APPLICATION;
    command.report_version = 1;
    command.note = (char *)note;
    return command;
}

static void approval_computes_what_is_unspent_of_what_is_paid_now(void **state)
{
    struct world world;
    struct message message = officer();
    ApproveReport command = an_approval("will be claimed");

    (void)state;
    make_world(&world, DELIVERED);
    world.duty.paid_ore = 500000 * KRONER;
    assert_int_equal(OK, rule_approve(&message, &world.duty, &command));
    const ReportApproved *event = check_emitted(&message, 1, 0, &reporting__v1__report_approved__descriptor);
    assert_int_equal(20000 * KRONER, event->unspent_ore);
    assert_string_equal("olga", event->approved_by);
}

static void approval_needs_a_note_when_something_is_unspent_or_short(void **state)
{
    struct world world;
    struct message unspent = officer(), own_short = officer(), neither = officer(), stale = officer();
    ApproveReport silent = an_approval(""), other = an_approval("note");

    (void)state;
    make_world(&world, DELIVERED);
    check_refused(&unspent, rule_approve(&unspent, &world.duty, &silent), "note is missing");
    world.report.own_delivered_ore = 80000 * KRONER;
    check_refused(&own_short, rule_approve(&own_short, &world.duty, &silent), "is short");
    world.report.own_delivered_ore = 200000 * KRONER;
    world.account_items[0].booked_ore = 700000 * KRONER;
    assert_int_equal(OK, rule_approve(&neither, &world.duty, &silent));
    other.report_version = 2;
    check_refused(&stale, rule_approve(&stale, &world.duty, &other), "report_version");
}

// ------------------------------------------------------------------------------------------- repay and close

static DecideRepayment a_decision(int64_t amount_ore)
{
    DecideRepayment command = REPORTING__V1__DECIDE_REPAYMENT__INIT;

    command.application_id = (char *)APPLICATION;
    command.amount_ore = amount_ore;
    command.reason = (char *)"unspent";
    return command;
}

static struct message budget_holder(void)
{
    return check_message(JANUARY, "bodil", ROLE_OF(BUDGET_HOLDER), "");
}

static void repayment_is_what_is_unspent_due_after_the_letters_days(void **state)
{
    struct world world;
    struct message message = budget_holder();
    DecideRepayment command = a_decision(120000 * KRONER);

    (void)state;
    make_world(&world, APPROVED);
    assert_int_equal(OK, rule_decide_repayment(&message, &world.duty, &command));
    const RepaymentDecided *event = check_emitted(&message, 1, 0,
                                                  &reporting__v1__repayment_decided__descriptor);
    assert_int_equal(120000 * KRONER, event->amount_ore);
    assert_int_equal(oslo_days_end(JANUARY, 30, false), event->due_at_us);
}

static void repayment_is_decided_once_by_someone_who_did_nothing_else(void **state)
{
    struct world world;
    struct message self = officer(), busy = budget_holder(), twice = budget_holder(), other = budget_holder(),
                   small = budget_holder(), silent = budget_holder(), none = budget_holder(),
                   negative = budget_holder();
    DecideRepayment command = a_decision(120000 * KRONER), wrong = a_decision(1),
                    nothing = a_decision(120000 * KRONER), below = a_decision(-1);

    (void)state;
    make_world(&world, APPROVED);
    check_refused(&self, rule_decide_repayment(&self, &world.duty, &command), "olga has approved the report");
    check_refused(&other, rule_decide_repayment(&other, &world.duty, &wrong), "leave 120 000 kr unspent");
    check_refused(&negative, rule_decide_repayment(&negative, &world.duty, &below), "is no amount");
    nothing.reason = (char *)"";
    check_refused(&silent, rule_decide_repayment(&silent, &world.duty, &nothing), "reason is missing");
    world.duty.actor_has = (char *)"attested the payment";
    check_refused(&busy, rule_decide_repayment(&busy, &world.duty, &command),
                  "bodil has attested the payment");
    world.duty.actor_has = (char *)"";
    world.duty.repayment_decided_ore = 120000 * KRONER;
    check_refused(&twice, rule_decide_repayment(&twice, &world.duty, &command), "is decided already");
    world.duty.repayment_decided_ore = 0;
    world.duty.unspent_ore = 1;
    check_refused(&small, rule_decide_repayment(&small, &world.duty, &wrong), "the least that is claimed");
    world.duty.state = DELIVERED;
    check_refused(&none, rule_decide_repayment(&none, &world.duty, &command), "must be APPROVED");
}

static void a_grant_closes_when_nothing_is_left(void **state)
{
    struct world world;
    struct message unpaid = officer(), undecided = officer(), unissued = officer(), outstanding = officer(),
                   early = officer(), message = officer(), small = officer();
    CloseGrant command = REPORTING__V1__CLOSE_GRANT__INIT;

    (void)state;
    command.application_id = (char *)APPLICATION;
    make_world(&world, DELIVERED);
    check_refused(&early, rule_close(&early, &world.duty, &command), "must be APPROVED");
    make_world(&world, APPROVED);
    world.duty.paid_ore = 0;
    check_refused(&unpaid, rule_close(&unpaid, &world.duty, &command), "it closes when all is paid");
    world.duty.paid_ore = 600000 * KRONER;
    check_refused(&undecided, rule_close(&undecided, &world.duty, &command),
                  "repayment must be decided first");
    world.duty.repayment_decided_ore = 120000 * KRONER;
    check_refused(&unissued, rule_close(&unissued, &world.duty, &command), "is not issued yet");
    world.duty.claimed_ore = 120000 * KRONER;
    world.duty.outstanding_ore = 1;
    check_refused(&outstanding, rule_close(&outstanding, &world.duty, &command), "is outstanding");
    world.duty.outstanding_ore = 0;
    assert_int_equal(OK, rule_close(&message, &world.duty, &command));
    check_emitted(&message, 1, 0, &reporting__v1__grant_closed__descriptor);
    make_world(&world, APPROVED);
    world.duty.unspent_ore = 999 * KRONER;  // below the letter's minimum
    assert_int_equal(OK, rule_close(&small, &world.duty, &command));
}

static void municipalities_read_their_own(void **state)
{
    struct message own = editor(), other = check_message(JANUARY, "pia", ROLE_OF(APPROVER), "998447356"),
                   directorate = officer();

    (void)state;
    assert_int_equal(OK, rule_read(&own, APPLICATION, LEAD));
    assert_int_equal(OK, rule_read(&directorate, APPLICATION, LEAD));
    check_refused(&other, rule_read(&other, APPLICATION, LEAD), "belongs to another organisation");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unspent_follows_the_rule_of_the_letter),
        cmocka_unit_test(too_little_of_ones_own_leaves_nothing_but_is_marked),
        cmocka_unit_test(never_more_than_was_paid_is_unspent),
        cmocka_unit_test(the_largest_amounts_do_not_overflow),
        cmocka_unit_test(an_ore_that_does_not_divide_is_the_recipients),
        cmocka_unit_test(an_accepted_letter_makes_the_duty_it_names),
        cmocka_unit_test(a_repeat_registers_nothing_and_a_cancelled_duty_begins_anew),
        cmocka_unit_test(a_newer_letter_or_a_renunciation_ends_what_is_not_approved),
        cmocka_unit_test(the_clock_opens_and_marks_only_what_is_due),
        cmocka_unit_test(an_extension_is_later_in_time_and_has_a_reason),
        cmocka_unit_test(a_report_is_frozen_with_its_hash_and_sums),
        cmocka_unit_test(a_report_may_be_replaced_until_it_is_delivered),
        cmocka_unit_test(only_the_lead_reports_on_the_version_it_has_read),
        cmocka_unit_test(each_fault_in_a_report_is_named),
        cmocka_unit_test(a_report_that_fits_no_event_is_refused),
        cmocka_unit_test(an_auditors_statement_is_needed_only_from_the_threshold),
        cmocka_unit_test(two_signatures_deliver_the_version_that_waits),
        cmocka_unit_test(a_sign_off_of_something_else_does_nothing),
        cmocka_unit_test(a_return_names_faults_and_a_day_to_come),
        cmocka_unit_test(approval_computes_what_is_unspent_of_what_is_paid_now),
        cmocka_unit_test(approval_needs_a_note_when_something_is_unspent_or_short),
        cmocka_unit_test(repayment_is_what_is_unspent_due_after_the_letters_days),
        cmocka_unit_test(repayment_is_decided_once_by_someone_who_did_nothing_else),
        cmocka_unit_test(a_grant_closes_when_nothing_is_left),
        cmocka_unit_test(municipalities_read_their_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
