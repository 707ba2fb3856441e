// store_test: reporting's statements against a real PostgreSQL, its constraints, its timers, the read model,
// and apply = replay.
#include "reporting.h"
#include "check/check.h"
#include "reporting_store.sql.h"
#include "values/values.h"

#include <stdlib.h>
#include <string.h>

#define APPLICATION   "0190aaaa-0000-7000-8000-000000000001"
#define LEAD          "974683520"
#define KRONER        100LL
#define OPENS         INT64_C(1735686000000000)  // 2025-01-01 00:00 in Oslo
#define DUE           INT64_C(1743458400000000)  // 2025-04-01 00:00 in Oslo
#define JANUARY       INT64_C(1737360000000000)  // 2025-01-20 08:00 UTC
#define ROLE_OF(name) BUS__V1__ACTOR__ROLE__##name

struct world {
    db_t *db;
};

static int open_world(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    assert_non_null(world);
    world->db = check_db_open(&reporting_service);
    *state = world;
    return 0;
}

static int close_world(void **state)
{
    struct world *world = *state;

    check_db_close(&world->db);
    free(world);
    return 0;
}

static struct message as(struct world *world, int64_t at_us, const char *subject, Bus__V1__Actor__Role role,
                         const char *organisation)
{
    struct message message = check_message(at_us, subject, role, organisation);

    message.db = world->db;
    return message;
}

static struct message gives(struct world *world, status_t expected, const char *subject,
                            Bus__V1__Actor__Role role, const void *command)
{
    struct message message = as(world, JANUARY, subject, role, role < ROLE_OF(CASE_OFFICER) ? LEAD : "");
    status_t status = check_command(&reporting_service, &message, command);

    if (status != expected)
        fail_msg("status %d, not %d: %s", status, expected, message.reason != NULL ? message.reason : "");
    return message;
}

// Another service's event, or an own one as the log hands it back.
static void hears(struct world *world, const void *event)
{
    const ProtobufCMessage *body = event;
    struct message message = as(world, JANUARY, "someone", ROLE_OF(CASE_OFFICER), "");

    message.subject = *message_field(body, "application_id") != '\0' ? message_field(body, "application_id")
                                                                     : message_field(body, "call_id");
    if (check_heard(&reporting_service, &message, event) != OK)
        fail_msg("%s not heard: %s", body->descriptor->name, message.reason);
}

// A clock's command at an instant.
static void ticks(struct world *world, int64_t at_us, const void *command)
{
    struct message message = as(world, at_us, "reporting", ROLE_OF(CLOCK), "");

    assert_int_equal(OK, check_command(&reporting_service, &message, command));
}

// What a timer finds due at an instant.
static int due_at(struct world *world, const struct sql *due, int64_t at_us)
{
    struct message own = as(world, at_us, "reporting", ROLE_OF(CLOCK), ""), *message = &own;
    struct rows rows;

    assert_int_equal(OK, db_run(message, due, (const struct arg[]){INT(at_us)}, 1, &rows));
    return rows.count;
}

static struct duty load(struct world *world)
{
    struct message message = as(world, JANUARY, "bodil", ROLE_OF(BUDGET_HOLDER), "");
    struct duty duty;

    assert_int_equal(OK, store_read_duty(&message, APPLICATION, &duty));
    return duty;
}

// ------------------------------------------------------------------------------------------- what others say

static void call_is_published(struct world *world)
{
    CallPublished event = INTAKE__V1__CALL_PUBLISHED__INIT;
    Types__V1__CallDefinition definition = TYPES__V1__CALL_DEFINITION__INIT;

    event.call_id = (char *)"call";
    event.definition = &definition;
    definition.year = 2024;
    definition.frame_ore = 7000000 * KRONER;
    definition.deadline_at_us = INT64_C(1718402400000000);
    definition.auditor_threshold_kroner = 400000;
    hears(world, &event);
}

static void application_is_delivered(struct world *world)
{
    Intake__V1__ApplicationDrafted drafted = INTAKE__V1__APPLICATION_DRAFTED__INIT;
    Intake__V1__ApprovalRequested requested = INTAKE__V1__APPROVAL_REQUESTED__INIT;
    Intake__V1__ApplicationSubmitted submitted = INTAKE__V1__APPLICATION_SUBMITTED__INIT;

    drafted.application_id = requested.application_id = submitted.application_id = (char *)APPLICATION;
    drafted.call_id = requested.call_id = submitted.call_id = (char *)"call";
    drafted.organisation_number = (char *)LEAD;
    drafted.name = (char *)"Kommunen";
    requested.applied_ore = 700000 * KRONER;
    submitted.signed_by = (char *)"dina";
    hears(world, &drafted);
    hears(world, &requested);
    hears(world, &submitted);
}

static void is_recommended(struct world *world)
{
    Evaluation__V1__EvaluationCompleted evaluated = EVALUATION__V1__EVALUATION_COMPLETED__INIT;
    RecommendationMade recommended = EVALUATION__V1__RECOMMENDATION_MADE__INIT;

    evaluated.application_id = recommended.application_id = (char *)APPLICATION;
    evaluated.call_id = recommended.call_id = (char *)"call";
    evaluated.total = 1850;
    recommended.amount_ore = 600000 * KRONER;
    recommended.applied_ore = 700000 * KRONER;
    recommended.recommended_by = (char *)"rune";
    hears(world, &evaluated);
    hears(world, &recommended);
}

static void is_awarded(struct world *world)
{
    Allocation__V1__AwardDecided awarded = ALLOCATION__V1__AWARD_DECIDED__INIT;

    awarded.application_id = (char *)APPLICATION;
    awarded.call_id = (char *)"call";
    awarded.year = 2024;
    awarded.amount_ore = 600000 * KRONER;
    awarded.applied_ore = 700000 * KRONER;
    hears(world, &awarded);
}

static void letter_is_issued(struct world *world, uint32_t version)
{
    GrantLetterIssued issued = ALLOCATION__V1__GRANT_LETTER_ISSUED__INIT;
    GrantLetter letter = ALLOCATION__V1__GRANT_LETTER__INIT;
    Allocation__V1__LetterItem goal = ALLOCATION__V1__LETTER_ITEM__INIT, *goals[] = {&goal};
    Allocation__V1__LetterLine line = ALLOCATION__V1__LETTER_LINE__INIT, *lines[] = {&line};

    issued.application_id = (char *)APPLICATION;
    issued.call_id = (char *)"call";
    issued.letter = &letter;
    letter.letter_version = version;
    letter.year = 2024;
    letter.amount_ore = 600000 * KRONER;
    letter.accept_by_at_us = JANUARY;
    letter.own_ore = 200000 * KRONER;
    letter.report_opens_at_us = OPENS;
    letter.report_due_at_us = DUE;
    letter.repayment_rule = TYPES__V1__REPAYMENT_RULE__RESIDUAL;
    letter.repayment_days = 30;
    letter.n_goals = letter.n_lines = 1;
    letter.goals = goals;
    letter.lines = lines;
    goal.id = (char *)"M1";
    line.code = TYPES__V1__LINE_CODE__SALARY;
    line.amount_ore = 800000 * KRONER;
    letter.deviation_explained_ore = 200000 * KRONER;
    hears(world, &issued);
}

static void is_accepted(struct world *world, uint32_t version)
{
    GrantAccepted accepted = ALLOCATION__V1__GRANT_ACCEPTED__INIT;

    accepted.application_id = (char *)APPLICATION;
    accepted.call_id = (char *)"call";
    accepted.organisation_number = (char *)LEAD;
    accepted.year = 2024;
    accepted.amount_ore = 600000 * KRONER;
    accepted.letter_version = version;
    hears(world, &accepted);
}

static void is_paid(struct world *world)
{
    PaymentAttested attested = PAYMENT__V1__PAYMENT_ATTESTED__INIT;
    PaymentConfirmed confirmed = PAYMENT__V1__PAYMENT_CONFIRMED__INIT;

    attested.application_id = confirmed.application_id = (char *)APPLICATION;
    attested.payment_key = confirmed.payment_key = (char *)APPLICATION "#2024#1";
    attested.attested_by = (char *)"atle";
    confirmed.amount_ore = 600000 * KRONER;
    hears(world, &attested);
    hears(world, &confirmed);
}

static void comes_back(struct world *world)
{
    PaymentReturned returned = PAYMENT__V1__PAYMENT_RETURNED__INIT;

    returned.application_id = (char *)APPLICATION;
    returned.payment_key = (char *)APPLICATION "#2024#1";
    returned.amount_ore = 600000 * KRONER;
    hears(world, &returned);
}

// From the call to a paid grant.
static void is_granted(struct world *world)
{
    call_is_published(world);
    application_is_delivered(world);
    is_recommended(world);
    is_awarded(world);
    letter_is_issued(world, 1);
    is_accepted(world, 1);
    is_paid(world);
}

static void opens(struct world *world)
{
    OpenReporting command = REPORTING__V1__OPEN_REPORTING__INIT;

    command.application_id = (char *)APPLICATION;
    ticks(world, OPENS, &command);
}

// The report of M11 in the rules of money: 120 000 kr are unspent.
static struct message submits(struct world *world, uint32_t expected_version)
{
    SubmitReport command = REPORTING__V1__SUBMIT_REPORT__INIT;
    Report report = REPORTING__V1__REPORT__INIT;
    GoalAnswer goal = REPORTING__V1__GOAL_ANSWER__INIT, *goals[] = {&goal};
    AccountLine line = REPORTING__V1__ACCOUNT_LINE__INIT, *lines[] = {&line};
    char *dates[] = {(char *)"2024-08-20", (char *)"2024-12-20"};

    command.application_id = (char *)APPLICATION;
    command.expected_version = expected_version;
    command.report = &report;
    report.n_goals = report.n_lines = 1;
    report.goals = goals;
    report.lines = lines;
    goal.goal = (char *)"M1";
    goal.degree = REPORTING__V1__GOAL_ANSWER__DEGREE__REACHED;
    goal.evidence = (char *)"chapter 3";
    line.code = TYPES__V1__LINE_CODE__SALARY;
    line.booked_ore = 680000 * KRONER;
    report.activities = (char *)"workshops";
    report.use_of_grant = (char *)"salaries";
    report.own_delivered_ore = 200000 * KRONER;
    report.year = 2024;
    report.n_voucher_dates = 2;
    report.voucher_dates = dates;
    report.auditor_statement_sha256 =
        (char *)"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";
    return gives(world, OK, "eva", ROLE_OF(EDITOR), &command);
}

static void is_signed(struct world *world)
{
    SignedOff event = APPROVAL__V1__SIGNED_OFF__INIT;
    struct duty duty = load(world);

    event.sign_off_id = (char *)APPLICATION ":report";
    event.application_id = (char *)APPLICATION;
    event.kind = TYPES__V1__SIGN_OFF_KIND__REPORT;
    event.version = duty.report_version;
    event.content_sha256 = duty.report_sha256;
    event.signed_at_us = JANUARY;
    hears(world, &event);
}

static void is_approved(struct world *world)
{
    ApproveReport command = REPORTING__V1__APPROVE_REPORT__INIT;

    command.application_id = (char *)APPLICATION;
    command.report_version = load(world).report_version;
    command.note = (char *)"120 000 kr will be claimed";
    gives(world, OK, "olga", ROLE_OF(CASE_OFFICER), &command);
}

static DecideRepayment a_decision(void)
{
    DecideRepayment command = REPORTING__V1__DECIDE_REPAYMENT__INIT;

    command.application_id = (char *)APPLICATION;
    command.amount_ore = 120000 * KRONER;
    command.reason = (char *)"unspent";
    return command;
}

static void is_repaid(struct world *world)
{
    ClaimIssued issued = PAYMENT__V1__CLAIM_ISSUED__INIT;
    RepaymentReceived received = PAYMENT__V1__REPAYMENT_RECEIVED__INIT;

    issued.claim_id = received.claim_id = (char *)APPLICATION "#2024#claim";
    issued.application_id = received.application_id = (char *)APPLICATION;
    issued.amount_ore = received.amount_ore = 120000 * KRONER;
    hears(world, &issued);
    hears(world, &received);
}

static void lives(struct world *world)
{
    DecideRepayment decision = a_decision();
    CloseGrant close = REPORTING__V1__CLOSE_GRANT__INIT;

    is_granted(world);
    opens(world);
    submits(world, 0);
    is_signed(world);
    is_approved(world);
    gives(world, OK, "bodil", ROLE_OF(BUDGET_HOLDER), &decision);
    is_repaid(world);
    close.application_id = (char *)APPLICATION;
    gives(world, OK, "olga", ROLE_OF(CASE_OFFICER), &close);
}

// ---------------------------------------------------------------------------------------------------- duties

static void a_duty_lives_from_letter_to_close(void **state)
{
    struct world *world = *state;

    lives(world);
    struct duty duty = load(world);
    assert_int_equal(CLOSED, duty.state);
    assert_int_equal(120000 * KRONER, duty.unspent_ore);
    assert_int_equal(680000 * KRONER, duty.cost_ore);
    assert_string_equal("olga", duty.approved_by);
    assert_int_equal(0, duty.outstanding_ore);
    assert_int_equal(600000 * KRONER, duty.paid_ore);
    assert_int_equal(400000, duty.auditor_threshold_kroner);
}

static void timers_find_what_is_due_and_then_no_more(void **state)
{
    struct world *world = *state;
    MarkOverdue mark = REPORTING__V1__MARK_OVERDUE__INIT;

    is_granted(world);
    assert_int_equal(0, due_at(world, &sql_due_open, OPENS - 1));
    assert_int_equal(1, due_at(world, &sql_due_open, OPENS));
    assert_int_equal(0, due_at(world, &sql_due_overdue, DUE));  // not before it is open
    opens(world);
    assert_int_equal(0, due_at(world, &sql_due_open, OPENS));
    assert_int_equal(0, due_at(world, &sql_due_overdue, DUE - 1));
    assert_int_equal(1, due_at(world, &sql_due_overdue, DUE));
    mark.application_id = (char *)APPLICATION;
    ticks(world, DUE, &mark);
    assert_int_equal(0, due_at(world, &sql_due_overdue, DUE));
    assert_true(load(world).overdue);
    submits(world, 0);
    is_signed(world);
    assert_false(load(world).overdue);
}

static void a_returned_report_is_delivered_again_under_its_first_date(void **state)
{
    struct world *world = *state;
    ReturnReport back = REPORTING__V1__RETURN_REPORT__INIT;
    char *faults[] = {(char *)"chapter 3 is missing"};

    is_granted(world);
    opens(world);
    submits(world, 0);
    is_signed(world);
    back.application_id = (char *)APPLICATION;
    back.n_faults = 1;
    back.faults = faults;
    back.reply_by_at_us = JANUARY + 1;
    gives(world, OK, "olga", ROLE_OF(CASE_OFFICER), &back);
    assert_int_equal(RETURNED, load(world).state);
    submits(world, 1);
    is_signed(world);
    struct duty duty = load(world);
    assert_int_equal(DELIVERED, duty.state);
    assert_int_equal(2, duty.report_version);
    assert_int_equal(JANUARY, duty.first_delivered_at_us);
}

static void a_newer_letter_cancels_and_its_acceptance_registers_anew(void **state)
{
    struct world *world = *state;

    is_granted(world);
    letter_is_issued(world, 2);
    assert_int_equal(CANCELLED, load(world).state);
    is_accepted(world, 2);
    struct duty duty = load(world);
    assert_int_equal(NOT_OPEN, duty.state);
    assert_int_equal(2, duty.letter->letter_version);
}

static void who_attested_or_recommended_does_not_decide_the_repayment(void **state)
{
    struct world *world = *state;
    DecideRepayment decision = a_decision();

    is_granted(world);
    opens(world);
    submits(world, 0);
    is_signed(world);
    is_approved(world);
    struct message attested = gives(world, REFUSED, "atle", ROLE_OF(BUDGET_HOLDER), &decision),
                   recommended = gives(world, REFUSED, "rune", ROLE_OF(BUDGET_HOLDER), &decision);
    check_refused(&attested, REFUSED, "atle has attested the payment");
    check_refused(&recommended, REFUSED, "rune has recommended the award");
    gives(world, OK, "bodil", ROLE_OF(BUDGET_HOLDER), &decision);
}

static void of_two_who_decide_at_once_one_is_refused(void **state)
{
    struct world *world = *state;
    DecideRepayment decision = a_decision();
    status_t first_status, second_status;

    is_granted(world);
    opens(world);
    submits(world, 0);
    is_signed(world);
    is_approved(world);
    struct message first = as(world, JANUARY, "bodil", ROLE_OF(BUDGET_HOLDER), ""),
                   second = as(world, JANUARY, "berit", ROLE_OF(BUDGET_HOLDER), "");
    check_race(&reporting_service, world->db, &first, &decision, &second, &decision, &first_status,
               &second_status);
    assert_int_equal(OK, first_status);
    check_refused(&second, second_status, "is decided already");
}

static void the_database_itself_keeps_approver_and_decider_apart(void **state)
{
    struct world *world = *state;

    is_granted(world);
    opens(world);
    submits(world, 0);
    is_signed(world);
    is_approved(world);
    struct message own = as(world, JANUARY, "intruder", ROLE_OF(OPERATOR), ""), *message = &own;
    assert_int_equal(OK, db_begin(message));
    struct rows rows;
    assert_int_not_equal(
        OK, RUN(message, put_repayment, &rows, TEXT(APPLICATION), INT(120000 * KRONER), TEXT("olga")));
    db_rollback(message);
    assert_int_equal(OK, db_begin(message));
    assert_int_not_equal(OK, RUN(message, put_repayment, &rows, TEXT(APPLICATION), INT(1), TEXT("bodil")));
    db_rollback(message);
}

static void replaying_the_events_makes_the_same_tables(void **state)
{
    struct world *world = *state;

    lives(world);
    check_replay(&reporting_service, world->db);
}

// -------------------------------------------------------------------------------------------- the read model

// Ask a query as someone; the answer decoded.
static const void *asks(struct world *world, const char *subject, Bus__V1__Actor__Role role,
                        const char *organisation, const void *query, status_t expected)
{
    const ProtobufCMessage *body = query;
    struct message message = as(world, JANUARY, subject, role, organisation);
    const void *shown = NULL;
    size_t size;

    message.type = body->descriptor->name;
    const uint8_t *bytes = message_encode(message.arena, query, &size);
    assert_int_equal(expected, service_read(&reporting_service, &message, bytes, size));
    if (expected == OK)
        assert_int_equal(OK, message_decode(&message, message.answer_descriptor, message.answer,
                                            message.answer_size, &shown));
    return shown;
}

static const Reporting__V1__Case *sees(struct world *world, Bus__V1__Actor__Role role,
                                       const char *organisation)
{
    GetCase query = REPORTING__V1__GET_CASE__INIT;

    query.application_id = (char *)APPLICATION;
    return asks(world, "someone", role, organisation, &query, OK);
}

static void a_case_moves_through_its_states_with_its_figures(void **state)
{
    struct world *world = *state;

    call_is_published(world);
    application_is_delivered(world);
    assert_string_equal("SUBMITTED", sees(world, ROLE_OF(AUDITOR), "")->state);
    assert_int_equal(700000 * KRONER, sees(world, ROLE_OF(AUDITOR), "")->applied_ore);
    is_recommended(world);
    assert_string_equal("RECOMMENDED", sees(world, ROLE_OF(AUDITOR), "")->state);
    is_awarded(world);
    assert_string_equal("AWARDED", sees(world, ROLE_OF(AUDITOR), "")->state);
    letter_is_issued(world, 1);
    assert_string_equal("OFFERED", sees(world, ROLE_OF(AUDITOR), "")->state);
    is_accepted(world, 1);
    assert_string_equal("ACCEPTED", sees(world, ROLE_OF(AUDITOR), "")->state);
    is_paid(world);
    assert_string_equal("PAID", sees(world, ROLE_OF(AUDITOR), "")->state);
    comes_back(world);
    assert_string_equal("ACCEPTED", sees(world, ROLE_OF(AUDITOR), "")->state);
    is_paid(world);
    const Reporting__V1__Case *shown = sees(world, ROLE_OF(AUDITOR), "");
    assert_string_equal("PAID", shown->state);
    assert_string_equal("Kommunen", shown->applicant);
    assert_int_equal(1850, shown->total);
    assert_int_equal(600000 * KRONER, shown->recommended_ore);
    assert_int_equal(600000 * KRONER, shown->awarded_ore);
    assert_int_equal(600000 * KRONER, shown->accepted_ore);
    assert_int_equal(600000 * KRONER, shown->paid_ore);
}

static void the_timeline_says_each_event_in_one_line(void **state)
{
    struct world *world = *state;

    is_granted(world);
    const Reporting__V1__Case *shown = sees(world, ROLE_OF(AUDITOR), "");
    assert_int_equal(10, shown->n_timeline);
    assert_string_equal("Kommunen began an application", shown->timeline[0]->summary);
    assert_string_equal("evaluation 0 completed with a total of 18.50", shown->timeline[3]->summary);
    assert_string_equal("awarded 600 000 kr of 700 000 kr", shown->timeline[5]->summary);
    assert_string_equal("600 000 kr is paid", shown->timeline[9]->summary);
    assert_string_equal("payment.v1.PaymentConfirmed", shown->timeline[9]->type);
    assert_string_equal("someone", shown->timeline[9]->actor->subject);
    for (size_t i = 1; i < shown->n_timeline; i++)
        assert_true(shown->timeline[i]->position > shown->timeline[i - 1]->position);
}

static void an_applicant_sees_decisions_not_their_preparation(void **state)
{
    struct world *world = *state;
    GetCase query = REPORTING__V1__GET_CASE__INIT;

    call_is_published(world);
    application_is_delivered(world);
    is_recommended(world);
    const Reporting__V1__Case *shown = sees(world, ROLE_OF(EDITOR), LEAD);
    assert_string_equal("SUBMITTED", shown->state);
    assert_int_equal(0, shown->total);
    assert_int_equal(0, shown->recommended_ore);
    assert_int_equal(3, shown->n_timeline);
    query.application_id = (char *)APPLICATION;
    asks(world, "pia", ROLE_OF(EDITOR), "998447356", &query, REFUSED);
    query.application_id = (char *)"unknown";
    asks(world, "olga", ROLE_OF(CASE_OFFICER), "", &query, REFUSED);
}

static const Reporting__V1__Call *sees_call(struct world *world)
{
    GetCall query = REPORTING__V1__GET_CALL__INIT;

    query.call_id = (char *)"call";
    return asks(world, "olga", ROLE_OF(CASE_OFFICER), "", &query, OK);
}

static void a_calls_figures_add_up(void **state)
{
    struct world *world = *state;
    Allocation__V1__FrameReserved reserved = ALLOCATION__V1__FRAME_RESERVED__INIT;
    GetCall unknown = REPORTING__V1__GET_CALL__INIT;

    lives(world);
    reserved.call_id = (char *)"call";
    reserved.amount_ore = 1000000 * KRONER;
    hears(world, &reserved);
    const Reporting__V1__Call *shown = sees_call(world);
    assert_int_equal(7000000 * KRONER, shown->frame_ore);
    assert_int_equal(1000000 * KRONER, shown->reserved_ore);
    assert_int_equal(600000 * KRONER, shown->awarded_ore);
    assert_int_equal(5400000 * KRONER, shown->residual_ore);
    assert_int_equal(600000 * KRONER, shown->paid_ore);
    assert_int_equal(120000 * KRONER, shown->claimed_ore);
    assert_int_equal(120000 * KRONER, shown->repaid_ore);
    assert_int_equal(1, shown->n_cases);
    assert_true(shown->position > 0);
    unknown.call_id = (char *)"none";
    asks(world, "olga", ROLE_OF(CASE_OFFICER), "", &unknown, REFUSED);
    asks(world, "eva", ROLE_OF(EDITOR), LEAD, &unknown, REFUSED);
}

static void what_lapses_is_back_in_the_residual(void **state)
{
    struct world *world = *state;
    Allocation__V1__GrantLapsed lapsed = ALLOCATION__V1__GRANT_LAPSED__INIT;

    call_is_published(world);
    application_is_delivered(world);
    is_awarded(world);
    lapsed.application_id = (char *)APPLICATION;
    lapsed.call_id = (char *)"call";
    hears(world, &lapsed);
    const Reporting__V1__Call *shown = sees_call(world);
    assert_string_equal("LAPSED", shown->cases[0]->state);
    assert_int_equal(0, shown->awarded_ore);
    assert_int_equal(600000 * KRONER, shown->lapsed_ore);
    assert_int_equal(shown->frame_ore, shown->residual_ore);
}

static void an_event_that_no_row_knows_still_stands_in_the_timeline(void **state)
{
    struct world *world = *state;
    struct message own = as(world, JANUARY, "someone", ROLE_OF(SERVICE), ""), *message = &own;

    call_is_published(world);
    application_is_delivered(world);
    message->type = "later.v1.SomethingNew";
    message->subject = APPLICATION;
    message->position = 1000000;
    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, view_witness(message, NULL));
    assert_int_equal(OK, db_commit(message));
    assert_int_equal(4, sees(world, ROLE_OF(AUDITOR), "")->n_timeline);
    assert_string_equal("later.v1.SomethingNew", sees(world, ROLE_OF(AUDITOR), "")->timeline[3]->summary);
    assert_int_equal(3, sees(world, ROLE_OF(EDITOR), LEAD)->n_timeline);
}

// Every event that the tests above do not speak of.
static const ProtobufCMessageDescriptor *const others[] = {
    &intake__v1__organisation_registered__descriptor,
    &intake__v1__deadline_extended__descriptor,
    &intake__v1__call_closed__descriptor,
    &intake__v1__draft_saved__descriptor,
    &intake__v1__participation_confirmed__descriptor,
    &intake__v1__approval_returned__descriptor,
    &intake__v1__application_submitted_late__descriptor,
    &intake__v1__late_became_timely__descriptor,
    &intake__v1__sign_off_disregarded__descriptor,
    &intake__v1__application_withdrawn__descriptor,
    &intake__v1__draft_expired__descriptor,
    &approval__v1__signatory_registered__descriptor,
    &approval__v1__signatory_revoked__descriptor,
    &approval__v1__sign_off_opened__descriptor,
    &approval__v1__signature_given__descriptor,
    &approval__v1__sign_off_returned__descriptor,
    &approval__v1__sign_off_voided__descriptor,
    &evaluation__v1__case_opened__descriptor,
    &evaluation__v1__case_closed__descriptor,
    &evaluation__v1__interest_declared__descriptor,
    &evaluation__v1__late_admitted__descriptor,
    &evaluation__v1__formal_check_answered__descriptor,
    &evaluation__v1__application_rejected__descriptor,
    &evaluation__v1__reader_assigned__descriptor,
    &evaluation__v1__score_given__descriptor,
    &evaluation__v1__recommendation_returned__descriptor,
    &allocation__v1__frame_opened__descriptor,
    &allocation__v1__appropriation_recorded__descriptor,
    &allocation__v1__allocation_proposed__descriptor,
    &allocation__v1__application_refused__descriptor,
    &allocation__v1__placed_on_reserve__descriptor,
    &allocation__v1__acceptance_prepared__descriptor,
    &allocation__v1__acceptance_disregarded__descriptor,
    &allocation__v1__grant_declined__descriptor,
    &allocation__v1__acceptance_extended__descriptor,
    &allocation__v1__acceptance_missed__descriptor,
    &allocation__v1__grant_renounced__descriptor,
    &allocation__v1__payment_posted__descriptor,
    &allocation__v1__claim_posted__descriptor,
    &allocation__v1__repayment_posted__descriptor,
    &payment__v1__payment_due__descriptor,
    &payment__v1__payment_prepared__descriptor,
    &payment__v1__payment_disposed__descriptor,
    &payment__v1__payment_authorised__descriptor,
    &payment__v1__payment_sent__descriptor,
    &payment__v1__payment_refused_by_finance__descriptor,
    &payment__v1__payment_acknowledged__descriptor,
    &payment__v1__payment_failed__descriptor,
    &payment__v1__status_questioned__descriptor,
    &payment__v1__payment_retried__descriptor,
    &payment__v1__payment_stopped__descriptor,
    &payment__v1__stop_released__descriptor,
    &payment__v1__payment_voided__descriptor,
    &reporting__v1__duty_registered__descriptor,
    &reporting__v1__duty_cancelled__descriptor,
    &reporting__v1__reporting_opened__descriptor,
    &reporting__v1__report_overdue__descriptor,
    &reporting__v1__report_deadline_extended__descriptor,
    &reporting__v1__report_prepared__descriptor,
    &reporting__v1__report_delivered__descriptor,
    &reporting__v1__report_returned__descriptor,
    &reporting__v1__report_approved__descriptor,
    &reporting__v1__repayment_decided__descriptor,
    &reporting__v1__grant_closed__descriptor,
};

// Every row of the view is walked once with an empty event, so that no sentence names a field that is not
// there.
static void every_row_of_the_view_can_be_said(void **state)
{
    struct world *world = *state;

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct message message = as(world, JANUARY, "someone", ROLE_OF(SERVICE), "");
        message.type = others[i]->name;
        message.subject = "subject";
        message.position = i + 1;
        assert_int_equal(OK, db_begin(&message));
        if (view_witness(&message, NULL) != OK)
            fail_msg("%s: %s", others[i]->name, message.reason);
        assert_int_equal(OK, db_commit(&message));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_duty_lives_from_letter_to_close),
        TEST(timers_find_what_is_due_and_then_no_more),
        TEST(a_returned_report_is_delivered_again_under_its_first_date),
        TEST(a_newer_letter_cancels_and_its_acceptance_registers_anew),
        TEST(who_attested_or_recommended_does_not_decide_the_repayment),
        TEST(of_two_who_decide_at_once_one_is_refused),
        TEST(the_database_itself_keeps_approver_and_decider_apart),
        TEST(replaying_the_events_makes_the_same_tables),
        TEST(a_case_moves_through_its_states_with_its_figures),
        TEST(the_timeline_says_each_event_in_one_line),
        TEST(an_applicant_sees_decisions_not_their_preparation),
        TEST(a_calls_figures_add_up),
        TEST(what_lapses_is_back_in_the_residual),
        TEST(an_event_that_no_row_knows_still_stands_in_the_timeline),
        TEST(every_row_of_the_view_can_be_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
