// Allocation against a real PostgreSQL: the ledger from frame to repayment, two decisions at once,
// constraints, replay.
#include "check/check.h"
#include "allocation.h"

#include <string.h>

#define KR    INT64_C(100)
#define NOW   INT64_C(1720432800000000)
#define LEAD  "974683520"
#define ROUND "01890000-0000-7000-8000-000000000001"

static db_t *db;

static int open_database(void **state)
{
    (void)state;
    db = check_db_open(&allocation_service);
    return 0;
}

static int close_database(void **state)
{
    (void)state;
    check_db_close(&db);
    return 0;
}

// ------------------------------------------------------------------------------------- given

static void hears(const void *event)
{
    struct message message = check_message(NOW, "another", BUS__V1__ACTOR__ROLE__SERVICE, "");
    message.db = db;
    if (check_heard(&allocation_service, &message, event) != OK)
        fail_msg("not heard: %s", message.reason);
}

static struct message from(const char *person, Bus__V1__Actor__Role role)
{
    struct message message = check_message(NOW, person, role,
                                           role < BUS__V1__ACTOR__ROLE__CASE_OFFICER ? LEAD : "");
    message.db = db;
    return message;
}
#define FROM(person, role) from(person, BUS__V1__ACTOR__ROLE__##role)

static void does(struct message message, const void *command)
{
    if (check_command(&allocation_service, &message, command) != OK)
        fail_msg("%s could not: %s", message.actor->subject, message.reason);
}

static void refused(struct message message, const void *command, const char *why)
{
    check_refused(&message, check_command(&allocation_service, &message, command), why);
}

// What the service answers a query with.
static void *asks(struct message message, const void *query, const ProtobufCMessageDescriptor *answer)
{
    void *body = NULL;
    size_t size;
    message.type = ((const ProtobufCMessage *)query)->descriptor->name;
    const uint8_t *bytes = message_encode(message.arena, query, &size);
    assert_int_equal(OK, db_begin(&message));
    if (service_read(&allocation_service, &message, bytes, size) != OK)
        fail_msg("not answered: %s", message.reason);
    db_rollback(&message);
    assert_int_equal(OK, message_decode(&message, answer, message.answer, message.answer_size, &body));
    return body;
}

static Text in_both(char *words)
{
    Text text = TYPES__V1__TEXT__INIT;
    text.nb = text.nn = words;
    return text;
}

static void hears_call(char *call_id, int64_t frame_ore)
{
    CallPublished published = INTAKE__V1__CALL_PUBLISHED__INIT;
    CallDefinition call = TYPES__V1__CALL_DEFINITION__INIT;
    Types__V1__Condition condition = TYPES__V1__CONDITION__INIT, *conditions[] = {&condition};
    Types__V1__Goal goal = TYPES__V1__GOAL__INIT, *goals[] = {&goal};
    Text words = in_both("ord");

    condition.id = "BRUK";
    goal.id = "M1";
    condition
        .text = goal.text = call.purpose = call.no_appeal = call.control_right = call.reservation = &words;
    call.call_id = published.call_id = call_id;
    call.year = 2024;
    call.chapter_post = "671.62";
    call.frame_ore = frame_ore;
    call.instalments = 1;
    call.granularity_ore = 1000 * KR;
    call.accept_days = 14;
    call.n_conditions = call.n_goals = 1;
    call.conditions = conditions;
    call.goals = goals;
    call.contact = "tuki@imdi.no";
    published.definition = &call;
    hears(&published);
}

static void hears_submitted(char *id, int64_t applied_ore)
{
    ApplicationSubmitted submitted = INTAKE__V1__APPLICATION_SUBMITTED__INIT;
    Content content = INTAKE__V1__CONTENT__INIT;
    YearBudget year = INTAKE__V1__YEAR_BUDGET__INIT, *years[] = {&year};
    Intake__V1__BudgetLine line = INTAKE__V1__BUDGET_LINE__INIT, *lines[] = {&line};

    line.code = TYPES__V1__LINE_CODE__SALARY;
    line.cost_ore = year.grant_ore = applied_ore;
    year.year = 2024;
    year.n_lines = 1;
    year.lines = lines;
    content.title = "Mangfold";
    content.n_budget = 1;
    content.budget = years;
    submitted.application_id = id;
    submitted.call_id = "c-1";
    submitted.organisation_number = LEAD;
    submitted.name = "Oslo kommune";
    submitted.applied_ore = applied_ore;
    submitted.content = &content;
    hears(&submitted);
}

static void hears_evaluated(char *id, int64_t total)
{
    ReaderAssigned reader = EVALUATION__V1__READER_ASSIGNED__INIT;
    EvaluationCompleted completed = EVALUATION__V1__EVALUATION_COMPLETED__INIT;
    Evaluation__V1__CriterionResult first = EVALUATION__V1__CRITERION_RESULT__INIT;
    Evaluation__V1__CriterionResult second = EVALUATION__V1__CRITERION_RESULT__INIT;
    Evaluation__V1__CriterionResult *results[] = {&first, &second};

    first.tie_order = 2;
    first.hundredths = 350;
    second.tie_order = 1;
    second.hundredths = 400;
    reader.application_id = completed.application_id = id;
    reader.place = 1;
    reader.person = "first";
    completed.evaluation_version = 1;
    completed.total = total;
    completed.n_results = 2;
    completed.results = results;
    hears(&reader);
    hears(&completed);
}

static void hears_recommended(char *id, int64_t amount_ore)
{
    RecommendationMade made = EVALUATION__V1__RECOMMENDATION_MADE__INIT;
    made.application_id = id;
    made.recommendation_version = made.evaluation_version = 1;
    made.award = true;
    made.amount_ore = amount_ore;
    made.recommended_by = "recommender";
    hears(&made);
}

static void a_recommended_application(char *id, int64_t amount_ore, int64_t total)
{
    hears_submitted(id, amount_ore);
    hears_evaluated(id, total);
    hears_recommended(id, amount_ore);
}

static DecideAward a_decision(char *id, int64_t amount_ore)
{
    DecideAward command = ALLOCATION__V1__DECIDE_AWARD__INIT;
    command.application_id = id;
    command.amount_ore = amount_ore;
    command.reason = "god";
    command.evaluation_version = 1;
    command.legal_basis = command.budget_cover = command.financially_sound = true;
    command.year = 2024;
    return command;
}

static void awards(char *id, int64_t amount_ore)
{
    DecideAward decision = a_decision(id, amount_ore);
    does(FROM("holder", BUDGET_HOLDER), &decision);
}

static void issues(char *id)
{
    IssueLetter command = ALLOCATION__V1__ISSUE_LETTER__INIT;
    command.application_id = id;
    does(FROM("officer", CASE_OFFICER), &command);
}

static Letter *letter_of(char *id)
{
    GetLetter query = ALLOCATION__V1__GET_LETTER__INIT;
    query.application_id = id;
    return asks(FROM("editor", EDITOR), &query, &allocation__v1__letter__descriptor);
}

static void prepares_acceptance(char *id)
{
    static char *conditions[] = {"BRUK"};
    const Letter *letter = letter_of(id);
    Accept command = ALLOCATION__V1__ACCEPT__INIT;
    command.application_id = id;
    command.letter_version = letter->letter->letter_version;
    command.letter_sha256 = letter->letter_sha256;
    command.n_conditions = 1;
    command.conditions = conditions;
    command.account_number = "12345678903";
    does(FROM("editor", EDITOR), &command);
}

static void hears_signed(char *id)
{
    const Letter *letter = letter_of(id);
    SignedOff event = APPROVAL__V1__SIGNED_OFF__INIT;
    Approval__V1__Signature signature = APPROVAL__V1__SIGNATURE__INIT, *signatures[] = {&signature};

    signature.person = "director";
    event.application_id = id;
    event.kind = TYPES__V1__SIGN_OFF_KIND__ACCEPTANCE;
    event.version = letter->acceptance_version;
    event.content_sha256 = letter->acceptance_sha256;
    event.signed_at_us = NOW + 1;
    event.n_signatures = 1;
    event.signatures = signatures;
    hears(&event);
}

static void hears_authorised(char *id)
{
    PaymentAuthorised event = PAYMENT__V1__PAYMENT_AUTHORISED__INIT;
    event.payment_key = "k";
    event.application_id = id;
    hears(&event);
}

static void hears_confirmed(char *id, int64_t amount_ore)
{
    PaymentConfirmed event = PAYMENT__V1__PAYMENT_CONFIRMED__INIT;
    event.payment_key = "k";
    event.application_id = id;
    event.amount_ore = amount_ore;
    hears(&event);
}

static Frame *frame_of(char *call_id)
{
    GetFrame query = ALLOCATION__V1__GET_FRAME__INIT;
    query.call_id = call_id;
    return asks(FROM("auditor", AUDITOR), &query, &allocation__v1__frame__descriptor);
}

// Every krone of the frame is in exactly one place.
static void frame_is(int64_t residual_ore, int64_t reserved_ore, int64_t committed_ore, int64_t paid_ore,
                     int64_t claimed_ore, int64_t repaid_ore)
{
    const Frame *frame = frame_of("c-1");
    int64_t sum = 0;
    assert_int_equal(residual_ore, frame->residual_ore);
    assert_int_equal(reserved_ore, frame->reserved_ore);
    assert_int_equal(committed_ore, frame->committed_ore);
    assert_int_equal(paid_ore, frame->paid_ore);
    assert_int_equal(claimed_ore, frame->claimed_ore);
    assert_int_equal(repaid_ore, frame->repaid_ore);
    assert_int_equal(frame->frame_ore,
                     residual_ore + reserved_ore + committed_ore + paid_ore + claimed_ore + repaid_ore);
    for (size_t i = 0; i < frame->n_balances; i++)
        sum += frame->balances[i]->amount_ore;
    assert_int_equal(0, sum);
}

static enum grant_state state_of(const char *id)
{
    struct message message = FROM("auditor", AUDITOR);
    struct grant grant;
    assert_int_equal(OK, db_begin(&message));
    assert_int_equal(OK, store_read_grant(&message, id, &grant));
    db_rollback(&message);
    return grant.state;
}

// ------------------------------------------------------------------------------------- the ledger

static void a_grant_goes_from_frame_to_repayment_to_the_krone(void **state)
{
    (void)state;
    hears_call("c-1", 7000000 * KR);
    a_recommended_application("a-1", 600000 * KR, 900);
    frame_is(7000000 * KR, 0, 0, 0, 0, 0);
    awards("a-1", 600000 * KR);
    frame_is(6400000 * KR, 0, 600000 * KR, 0, 0, 0);
    issues("a-1");
    prepares_acceptance("a-1");
    hears_signed("a-1");
    assert_int_equal(GRANT_ACCEPTED, state_of("a-1"));
    hears_authorised("a-1");
    hears_confirmed("a-1", 600000 * KR);
    frame_is(6400000 * KR, 0, 0, 600000 * KR, 0, 0);

    PaymentReturned returned = PAYMENT__V1__PAYMENT_RETURNED__INIT;
    returned.payment_key = "k";
    returned.application_id = "a-1";
    returned.amount_ore = 600000 * KR;
    hears(&returned);
    frame_is(6400000 * KR, 0, 600000 * KR, 0, 0, 0);
    hears_confirmed("a-1", 600000 * KR);

    ClaimIssued claim = PAYMENT__V1__CLAIM_ISSUED__INIT;
    claim.claim_id = "claim";
    claim.application_id = "a-1";
    claim.amount_ore = 120000 * KR;
    hears(&claim);
    frame_is(6400000 * KR, 0, 0, 480000 * KR, 120000 * KR, 0);
    RepaymentReceived receipt = PAYMENT__V1__REPAYMENT_RECEIVED__INIT;
    receipt.claim_id = "claim";
    receipt.application_id = "a-1";
    receipt.amount_ore = 50000 * KR;
    hears(&receipt);
    frame_is(6400000 * KR, 0, 0, 480000 * KR, 70000 * KR, 50000 * KR);
    check_replay(&allocation_service, db);
}

static void an_extra_call_has_its_own_frame_and_the_parent_keeps_the_reservation(void **state)
{
    (void)state;
    ReserveFrame command = ALLOCATION__V1__RESERVE_FRAME__INIT;
    hears_call("c-1", 10000000 * KR);
    command.call_id = "c-1";
    command.extra_call_id = "c-2";
    command.amount_ore = 7000000 * KR;
    command.reason = "for få søknader";
    does(FROM("holder", BUDGET_HOLDER), &command);
    refused(FROM("holder", BUDGET_HOLDER), &command, "extra_call_id c-2 is taken");
    command.extra_call_id = "c-3";
    refused(FROM("holder", BUDGET_HOLDER), &command, "more than the residual of 3 000 000 kr");
    hears_call("c-2", 7000000 * KR);
    frame_is(3000000 * KR, 7000000 * KR, 0, 0, 0, 0);
    assert_int_equal(7000000 * KR, frame_of("c-2")->residual_ore);
    command.extra_call_id = "c-2";
    command.amount_ore = 1 * KR;
    refused(FROM("holder", BUDGET_HOLDER), &command, "extra_call_id c-2 is taken");
    check_replay(&allocation_service, db);
}

static void declined_lapsed_and_renounced_grants_come_back_and_the_reserve_gets_in(void **state)
{
    (void)state;
    hears_call("c-1", 1000000 * KR);
    a_recommended_application("a-1", 600000 * KR, 900);
    a_recommended_application("a-2", 400000 * KR, 800);
    a_recommended_application("a-3", 500000 * KR, 700);
    awards("a-1", 600000 * KR);
    awards("a-2", 400000 * KR);
    DecideAward third = a_decision("a-3", 500000 * KR);
    refused(FROM("holder", BUDGET_HOLDER), &third, "500 000 kr more than the residual of 0 kr");
    PutOnReserve reserve = ALLOCATION__V1__PUT_ON_RESERVE__INIT;
    reserve.application_id = "a-3";
    reserve.rank = 1;
    reserve.reason = "god";
    does(FROM("holder", BUDGET_HOLDER), &reserve);

    issues("a-1");  // one declines, the other renounces
    issues("a-2");
    Decline decline = ALLOCATION__V1__DECLINE__INIT;
    decline.application_id = "a-1";
    decline.reason = "nei";
    does(FROM("director", APPROVER), &decline);
    frame_is(600000 * KR, 0, 400000 * KR, 0, 0, 0);
    prepares_acceptance("a-2");
    hears_signed("a-2");
    hears_authorised("a-2");
    Renounce renounce = ALLOCATION__V1__RENOUNCE__INIT;
    renounce.application_id = "a-2";
    renounce.reason = "utgår";
    refused(FROM("director", APPROVER), &renounce, "is under way");
    PaymentFailed failed = PAYMENT__V1__PAYMENT_FAILED__INIT;
    failed.payment_key = "k";
    failed.application_id = "a-2";
    hears(&failed);
    does(FROM("director", APPROVER), &renounce);

    does(FROM("holder", BUDGET_HOLDER), &third);
    frame_is(500000 * KR, 0, 500000 * KR, 0, 0, 0);
    assert_int_equal(GRANT_AWARDED, state_of("a-3"));
    check_replay(&allocation_service, db);
}

static void an_offer_that_nobody_accepts_is_missed_by_the_clock_and_lapsed_by_a_person(void **state)
{
    (void)state;
    hears_call("c-1", 1000000 * KR);
    a_recommended_application("a-1", 600000 * KR, 900);
    awards("a-1", 600000 * KR);
    issues("a-1");
    int64_t accept_by_at_us = letter_of("a-1")->letter->accept_by_at_us;

    struct message timer = FROM("clock", CLOCK);  // due at the very instant, not before
    struct rows rows;
    assert_int_equal(OK, db_connect(&timer));
    struct arg before = db_int(&timer, accept_by_at_us - 1), at = db_int(&timer, accept_by_at_us);
    assert_int_equal(OK, db_run(&timer, allocation_service.timers[0].due, &before, 1, &rows));
    assert_int_equal(0, rows.count);
    assert_int_equal(OK, db_run(&timer, allocation_service.timers[0].due, &at, 1, &rows));
    assert_int_equal(1, rows.count);
    assert_string_equal("a-1", row_text(&rows, 0, 0));

    MissAcceptance miss = ALLOCATION__V1__MISS_ACCEPTANCE__INIT;
    miss.application_id = "a-1";
    timer.at_us = accept_by_at_us;
    does(timer, &miss);
    assert_int_equal(OK, db_run(&timer, allocation_service.timers[0].due, &at, 1, &rows));
    assert_int_equal(0, rows.count);
    frame_is(400000 * KR, 0, 600000 * KR, 0, 0, 0);
    ConfirmLapse lapse = ALLOCATION__V1__CONFIRM_LAPSE__INIT;
    lapse.application_id = "a-1";
    lapse.reason = "ingen svarte";
    does(FROM("officer", CASE_OFFICER), &lapse);
    frame_is(1000000 * KR, 0, 0, 0, 0, 0);
    check_replay(&allocation_service, db);
}

static void a_new_letter_voids_what_was_accepted(void **state)
{
    (void)state;
    hears_call("c-1", 1000000 * KR);
    a_recommended_application("a-1", 600000 * KR, 900);
    awards("a-1", 600000 * KR);
    issues("a-1");
    prepares_acceptance("a-1");
    assert_int_equal(1, letter_of("a-1")->acceptance_version);
    hears_signed("a-1");
    IssueLetter again = ALLOCATION__V1__ISSUE_LETTER__INIT;
    again.application_id = "a-1";
    again.reason = "feil beløp i terminplanen";
    does(FROM("officer", CASE_OFFICER), &again);
    assert_int_equal(GRANT_OFFERED, state_of("a-1"));
    assert_int_equal(0, letter_of("a-1")->acceptance_version);
    prepares_acceptance("a-1");
    assert_int_equal(2, letter_of("a-1")->acceptance_version);
    hears_signed("a-1");
    assert_int_equal(GRANT_ACCEPTED, state_of("a-1"));
    check_replay(&allocation_service, db);
}

static void another_years_award_is_paid_by_another_years_frame(void **state)
{
    (void)state;
    RecordAppropriation command = ALLOCATION__V1__RECORD_APPROPRIATION__INIT;
    hears_call("c-1", 1000000 * KR);
    command.call_id = "c-1";
    command.year = 2025;
    command.chapter_post = "671.62";
    command.amount_ore = 300000 * KR;
    command.letter_reference = "tildelingsbrev";
    does(FROM("holder", BUDGET_HOLDER), &command);
    refused(FROM("holder", BUDGET_HOLDER), &command, "has its appropriation already");
    const Frame *frame = frame_of("c-1");
    assert_int_equal(1300000 * KR, frame->frame_ore);
    assert_int_equal(1300000 * KR, frame->residual_ore);
    a_recommended_application("a-1", 1100000 * KR, 900);
    DecideAward decision = a_decision("a-1", 1100000 * KR);  // 2025's money is not 2024's
    refused(FROM("holder", BUDGET_HOLDER), &decision, "more than the residual of 1 000 000 kr");
    check_replay(&allocation_service, db);
}

// ------------------------------------------------------------------------------------- proposals

static void a_proposal_is_made_of_what_is_recommended_and_undecided(void **state)
{
    (void)state;
    ProposeAllocation command = ALLOCATION__V1__PROPOSE_ALLOCATION__INIT;
    hears_call("c-1", 1000000 * KR);
    a_recommended_application("a-1", 300000 * KR, 900);
    a_recommended_application("a-2", 300000 * KR, 800);
    a_recommended_application("a-3", 300000 * KR, 700);
    a_recommended_application("a-4", 300000 * KR, 600);
    a_recommended_application("a-5", 300000 * KR, 500);
    awards("a-1", 300000 * KR);  // decided
    ApplicationWithdrawn withdrawn = INTAKE__V1__APPLICATION_WITHDRAWN__INIT;
    withdrawn.application_id = "a-2";
    hears(&withdrawn);
    RecommendationReturned returned = EVALUATION__V1__RECOMMENDATION_RETURNED__INIT;
    returned.application_id = "a-3";
    hears(&returned);
    PutOnReserve reserve = ALLOCATION__V1__PUT_ON_RESERVE__INIT;  // still open
    reserve.application_id = "a-5";
    reserve.rank = 1;
    reserve.reason = "god";
    does(FROM("holder", BUDGET_HOLDER), &reserve);

    command.round_id = ROUND;
    command.call_id = "c-1";
    command.method = ALLOCATION__V1__METHOD__RANK_FULL;
    does(FROM("officer", CASE_OFFICER), &command);
    refused(FROM("officer", CASE_OFFICER), &command, "has a proposal already");

    GetProposal query = ALLOCATION__V1__GET_PROPOSAL__INIT;
    query.round_id = ROUND;
    const AllocationProposed *proposed = asks(FROM("auditor", AUDITOR), &query,
                                              &allocation__v1__allocation_proposed__descriptor);
    assert_int_equal(700000 * KR, proposed->input->frame_ore);
    assert_int_equal(2, proposed->n_lines);
    assert_string_equal("a-4", proposed->lines[0]->application_id);
    assert_string_equal("a-5", proposed->lines[1]->application_id);
    assert_int_equal(2, proposed->input->candidates[0]->n_tie_scores);
    assert_int_equal(400, proposed->input->candidates[0]->tie_scores[0]);
    assert_int_equal(350, proposed->input->candidates[0]->tie_scores[1]);

    RecomputeProposal again = ALLOCATION__V1__RECOMPUTE_PROPOSAL__INIT;
    again.round_id = ROUND;
    assert_true(
        ((Recomputed *)asks(FROM("auditor", AUDITOR), &again, &allocation__v1__recomputed__descriptor))
            ->equal);
    check_replay(&allocation_service, db);
}

// -------------------------------------------------------- two at once, and the database's own word

static void two_decisions_at_once_never_exceed_the_frame(void **state)
{
    (void)state;
    hears_call("c-1", 1000000 * KR);
    a_recommended_application("a-1", 600000 * KR, 900);
    a_recommended_application("a-2", 600000 * KR, 800);
    DecideAward first = a_decision("a-1", 600000 * KR), second = a_decision("a-2", 600000 * KR);
    struct message one = FROM("holder", BUDGET_HOLDER), two = FROM("deputy", BUDGET_HOLDER);
    status_t first_status, second_status;

    check_race(&allocation_service, db, &one, &first, &two, &second, &first_status, &second_status);
    assert_int_equal(OK, first_status);
    check_refused(&two, second_status, "200 000 kr more than the residual of 400 000 kr");
    frame_is(400000 * KR, 0, 600000 * KR, 0, 0, 0);
    check_replay(&allocation_service, db);
}

static void two_decisions_at_once_about_one_application_are_one(void **state)
{
    (void)state;
    hears_call("c-1", 2000000 * KR);
    a_recommended_application("a-1", 600000 * KR, 900);
    DecideAward decision = a_decision("a-1", 600000 * KR);
    struct message one = FROM("holder", BUDGET_HOLDER), two = FROM("deputy", BUDGET_HOLDER);
    status_t first_status, second_status;

    check_race(&allocation_service, db, &one, &decision, &two, &decision, &first_status, &second_status);
    assert_int_equal(OK, first_status);
    check_refused(&two, second_status, "so it can not be awarded");
    frame_is(1400000 * KR, 0, 600000 * KR, 0, 0, 0);
}

static void two_at_once_do_not_get_the_same_rank(void **state)
{
    (void)state;
    hears_call("c-1", 2000000 * KR);
    a_recommended_application("a-1", 600000 * KR, 900);
    a_recommended_application("a-2", 600000 * KR, 800);
    PutOnReserve first = ALLOCATION__V1__PUT_ON_RESERVE__INIT;
    first.application_id = "a-1";
    first.rank = 1;
    first.reason = "god";
    PutOnReserve second = first;
    second.application_id = "a-2";
    struct message one = FROM("holder", BUDGET_HOLDER), two = FROM("deputy", BUDGET_HOLDER);
    status_t first_status, second_status;

    check_race(&allocation_service, db, &one, &first, &two, &second, &first_status, &second_status);
    assert_int_equal(OK, first_status);
    check_refused(&two, second_status, "was given to application a-1");
}

static status_t applies(handle_f *apply, const char *stream, uint64_t version, const void *event)
{
    struct message message = FROM("holder", BUDGET_HOLDER);
    message.stream = stream;
    message.version = version;
    assert_int_equal(OK, db_begin(&message));
    status_t status = apply(&message, event);
    if (status == OK)
        status = db_wait(&message);
    db_rollback(&message);
    return status;
}

static void the_database_itself_refuses_what_the_rules_should_have(void **state)
{
    (void)state;
    static char *hands[] = {"first", "holder"};
    Posting posting = ALLOCATION__V1__POSTING__INIT, *postings[] = {&posting};
    AwardDecided award = ALLOCATION__V1__AWARD_DECIDED__INIT;
    hears_call("c-1", 1000000 * KR);
    posting.from = "FRAME";
    posting.to = "COMMITTED:a-1";
    posting.amount_ore = 600000 * KR;
    posting.frame_number = 2;
    posting.residual_ore = 400000 * KR;
    award.application_id = "a-1";
    award.call_id = "c-1";
    award.decided_by = "holder";
    award.n_postings = 1;
    award.postings = postings;
    assert_int_equal(OK, applies(store_awarded, "allocation/case/a-1", 1, &award));

    posting.frame_number = 1;  // a number that a movement of the frame has already
    assert_int_not_equal(OK, applies(store_awarded, "allocation/case/a-1", 1, &award));
    posting.frame_number = 2;
    posting.residual_ore = -1;  // more than is there
    assert_int_not_equal(OK, applies(store_awarded, "allocation/case/a-1", 1, &award));
    posting.residual_ore = 400000 * KR;
    award.n_prepared_by = 2;  // by one of those who prepared it
    award.prepared_by = hands;
    assert_int_not_equal(OK, applies(store_awarded, "allocation/case/a-1", 1, &award));

    PaymentPosted paid = ALLOCATION__V1__PAYMENT_POSTED__INIT;  // what was never committed
    posting.from = "COMMITTED:a-1";
    posting.to = "PAID:a-1";
    posting.frame_number = 0;
    paid.application_id = "a-1";
    paid.call_id = "c-1";
    paid.n_postings = 1;
    paid.postings = postings;
    assert_int_not_equal(OK, applies(store_payment, "allocation/case/a-1", 1, &paid));
}

static void who_declared_a_conflict_or_read_does_not_decide(void **state)
{
    (void)state;
    hears_call("c-1", 1000000 * KR);
    a_recommended_application("a-1", 600000 * KR, 900);
    DecideAward decision = a_decision("a-1", 600000 * KR);
    refused(FROM("first", BUDGET_HOLDER), &decision, "you have read or recommended");
    refused(FROM("recommender", BUDGET_HOLDER), &decision, "you have read or recommended");
    InterestDeclared declared = EVALUATION__V1__INTEREST_DECLARED__INIT;
    declared.application_id = "a-1";
    declared.person = "holder";
    declared.conflict = true;
    hears(&declared);
    refused(FROM("holder", BUDGET_HOLDER), &decision, "you declared a conflict");
    does(FROM("deputy", BUDGET_HOLDER), &decision);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_database, close_database)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_grant_goes_from_frame_to_repayment_to_the_krone),
        TEST(an_extra_call_has_its_own_frame_and_the_parent_keeps_the_reservation),
        TEST(declined_lapsed_and_renounced_grants_come_back_and_the_reserve_gets_in),
        TEST(an_offer_that_nobody_accepts_is_missed_by_the_clock_and_lapsed_by_a_person),
        TEST(a_new_letter_voids_what_was_accepted),
        TEST(another_years_award_is_paid_by_another_years_frame),
        TEST(a_proposal_is_made_of_what_is_recommended_and_undecided),
        TEST(two_decisions_at_once_never_exceed_the_frame),
        TEST(two_decisions_at_once_about_one_application_are_one),
        TEST(two_at_once_do_not_get_the_same_rank),
        TEST(the_database_itself_refuses_what_the_rules_should_have),
        TEST(who_declared_a_conflict_or_read_does_not_decide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
