// Evaluation against a real PostgreSQL: one case from delivery to recommendation and back, constraints, two
// at once, replay.
#include "check/check.h"
#include "evaluation.h"

#include <string.h>

#define KR       INT64_C(100)
#define DEADLINE INT64_C(1718402400000000)

static db_t *db;

// ------------------------------------------------------------------------------------- given

static int open_database(void **state)
{
    (void)state;
    db = check_db_open(&evaluation_service);
    return 0;
}

static int close_database(void **state)
{
    (void)state;
    check_db_close(&db);
    return 0;
}

static void hears(const void *event)
{
    struct message message = check_message(DEADLINE + 1, "intake", BUS__V1__ACTOR__ROLE__SERVICE, "");
    message.db = db;
    if (check_heard(&evaluation_service, &message, event) != OK)
        fail_msg("not heard: %s", message.reason);
}

static status_t tries(db_t *on, const char *person, Bus__V1__Actor__Role role, const void *command,
                      const char **ret_reason)
{
    struct message message = check_message(DEADLINE + 2, person, role, "");
    message.db = on;
    status_t status = check_command(&evaluation_service, &message, command);
    if (ret_reason)
        *ret_reason = message.reason;
    return status;
}

static void does(const char *person, Bus__V1__Actor__Role role, const void *command)
{
    const char *reason;
    if (tries(db, person, role, command, &reason) != OK)
        fail_msg("%s could not: %s", person, reason);
}
#define DOES(person, role, command) does(person, BUS__V1__ACTOR__ROLE__##role, command)

static void refused(const char *person, Bus__V1__Actor__Role role, const void *command, const char *why)
{
    const char *reason = "";
    assert_int_equal(REFUSED, tries(db, person, role, command, &reason));
    if (!strstr(reason, why))
        fail_msg("refused because \"%s\", not because of \"%s\"", reason, why);
}
#define REFUSED_TO(person, role, command, why) refused(person, BUS__V1__ACTOR__ROLE__##role, command, why)

// A case as the service itself would answer it.
static Case *sees(const char *person, Bus__V1__Actor__Role role)
{
    struct message message = check_message(DEADLINE + 3, person, role, "");
    GetCase query = EVALUATION__V1__GET_CASE__INIT;
    Case *view = NULL;
    size_t size;

    query.application_id = "a-1";
    message.db = db;
    message.type = query.base.descriptor->name;
    const uint8_t *bytes = message_encode(message.arena, &query, &size);
    assert_int_equal(OK, db_begin(&message));
    if (service_read(&evaluation_service, &message, bytes, size) != OK)
        fail_msg("%s does not see it: %s", person, message.reason);
    db_rollback(&message);
    assert_int_equal(OK, message_decode(&message, &evaluation__v1__case__descriptor, message.answer,
                                        message.answer_size, &view));
    return view;
}

static void hears_call(void)
{
    Criterion purpose = TYPES__V1__CRITERION__INIT, transfer = TYPES__V1__CRITERION__INIT;
    Criterion *criteria[] = {&purpose, &transfer};
    Types__V1__Text no_appeal = TYPES__V1__TEXT__INIT;
    CallDefinition call = TYPES__V1__CALL_DEFINITION__INIT;
    CallPublished published = INTAKE__V1__CALL_PUBLISHED__INIT;

    purpose.id = "F";
    transfer.id = "O";
    purpose.highest = transfer.highest = 6;
    purpose.weight = transfer.weight = 1;
    no_appeal.nb = "Kan ikke påklages.";
    no_appeal.nn = "Kan ikkje klagast på.";
    call.call_id = published.call_id = "c-1";
    call.deadline_at_us = DEADLINE;
    call.granularity_ore = 1000 * KR;
    call.max_disagreement = 1;
    call.n_criteria = 2;
    call.criteria = criteria;
    call.no_appeal = &no_appeal;
    published.definition = &call;
    hears(&published);
}

static void hears_organisation(char *language)
{
    Intake__V1__Organisation organisation = INTAKE__V1__ORGANISATION__INIT;
    OrganisationRegistered registered = INTAKE__V1__ORGANISATION_REGISTERED__INIT;

    organisation.organisation_number = registered.organisation_number = "974683520";
    organisation.language = language;
    registered.organisation = &organisation;
    hears(&registered);
}

static void hears_closed(int64_t deadline_at_us)
{
    CallClosed closed = INTAKE__V1__CALL_CLOSED__INIT;
    closed.call_id = "c-1";
    closed.deadline_at_us = deadline_at_us;
    hears(&closed);
}

static void hears_submitted(bool late)
{
    Content content = INTAKE__V1__CONTENT__INIT;
    ApplicationSubmitted submitted = INTAKE__V1__APPLICATION_SUBMITTED__INIT;
    ApplicationSubmittedLate submitted_late = INTAKE__V1__APPLICATION_SUBMITTED_LATE__INIT;

    content.title = "Mangfold i barnehagen";
    submitted.application_id = submitted_late.application_id = "a-1";
    submitted.call_id = "c-1";
    submitted.organisation_number = "974683520";
    submitted.applied_ore = 400000 * KR;
    submitted.content = &content;
    submitted_late.submission = &submitted;
    hears(late ? (const void *)&submitted_late : &submitted);
}

// The call is closed and one application is delivered in time.
static void a_delivered_application(void)
{
    hears_call();
    hears_organisation("nn");
    hears_submitted(false);
    hears_closed(DEADLINE);
}

static void declares(char *person, Bus__V1__Actor__Role role, bool conflict)
{
    DeclareInterest command = EVALUATION__V1__DECLARE_INTEREST__INIT;
    command.application_id = "a-1";
    command.conflict = conflict;
    command.ground = conflict ? "fvl. § 6" : "";
    does(person, role, &command);
}

static AnswerFormalCheck a_check(bool passes)
{
    static FormalItem items[FORMAL_ITEMS];
    static FormalItem *pointers[FORMAL_ITEMS];
    AnswerFormalCheck command = EVALUATION__V1__ANSWER_FORMAL_CHECK__INIT;

    for (int i = 0; i < FORMAL_ITEMS; i++) {
        evaluation__v1__formal_item__init(&items[i]);
        items[i].item = (Evaluation__V1__FormalItem__Item)(i + 1);
        items[i].answer = EVALUATION__V1__FORMAL_ITEM__ANSWER__MET;
        pointers[i] = &items[i];
    }
    if (!passes) {
        items[4].answer = EVALUATION__V1__FORMAL_ITEM__ANSWER__NOT_MET;
        items[4].note = "mangler";
    }
    command.application_id = "a-1";
    command.n_items = FORMAL_ITEMS;
    command.items = pointers;
    return command;
}

static AssignReader an_assignment(uint32_t place, char *person)
{
    AssignReader command = EVALUATION__V1__ASSIGN_READER__INIT;
    command.application_id = "a-1";
    command.place = place;
    command.person = person;
    command.reason = "fordeling";
    return command;
}

static Score a_score(char *criterion, int32_t value)
{
    Score command = EVALUATION__V1__SCORE__INIT;
    command.application_id = "a-1";
    command.criterion = criterion;
    command.value = value;
    command.reason = "fordi";
    return command;
}

static CompleteEvaluation a_completion(void)
{
    CompleteEvaluation command = EVALUATION__V1__COMPLETE_EVALUATION__INIT;
    command.application_id = "a-1";
    command.ordinary_operation_note = command.earlier_project_note = command.reason = "ja";
    return command;
}

// Everyone has declared, the check has passed, two read.
static void a_case_with_two_readers(void)
{
    a_delivered_application();
    declares("head", BUS__V1__ACTOR__ROLE__UNIT_HEAD, false);
    declares("first", BUS__V1__ACTOR__ROLE__CASE_OFFICER, false);
    declares("second", BUS__V1__ACTOR__ROLE__READER, false);
    AnswerFormalCheck check = a_check(true);
    DOES("first", CASE_OFFICER, &check);
    AssignReader first = an_assignment(1, "first"), second = an_assignment(2, "second");
    DOES("head", UNIT_HEAD, &first);
    DOES("head", UNIT_HEAD, &second);
}

static void an_evaluated_case(void)
{
    a_case_with_two_readers();
    Score purpose = a_score("F", 5), transfer = a_score("O", 4);
    CompleteEvaluation completion = a_completion();
    DOES("first", CASE_OFFICER, &purpose);
    DOES("first", CASE_OFFICER, &transfer);
    DOES("second", READER, &purpose);
    DOES("second", READER, &transfer);
    DOES("first", CASE_OFFICER, &completion);
}

static Recommend a_recommendation(void)
{
    Recommend command = EVALUATION__V1__RECOMMEND__INIT;
    command.application_id = "a-1";
    command.award = true;
    command.amount_ore = 400000 * KR;
    command.reason = "F og O";
    return command;
}

// ------------------------------------------------------------------------------------- tests

static void a_case_goes_from_delivery_to_recommendation_and_back(void **state)
{
    (void)state;
    an_evaluated_case();  // given
    Recommend recommendation = a_recommendation();
    DOES("first", CASE_OFFICER, &recommendation);
    assert_int_equal(RECOMMENDED, sees("head", BUS__V1__ACTOR__ROLE__UNIT_HEAD)->state);

    ReturnRecommendation back =
        EVALUATION__V1__RETURN_RECOMMENDATION__INIT;  // when it is returned and scored anew
    back.application_id = "a-1";
    back.note = "O er for høy";
    DOES("head", UNIT_HEAD, &back);
    Score lower = a_score("O", 3);
    DOES("second", READER, &lower);
    REFUSED_TO("first", CASE_OFFICER, &recommendation, "is eligible");
    CompleteEvaluation completion = a_completion();
    DOES("first", CASE_OFFICER, &completion);
    DOES("first", CASE_OFFICER, &recommendation);

    Case *view = sees("auditor", BUS__V1__ACTOR__ROLE__AUDITOR);  // then it is recommended again
    assert_int_equal(RECOMMENDED, view->state);
    assert_int_equal(4, view->n_scores);
    assert_int_equal(2, view->n_criteria);
    assert_string_equal("Mangfold i barnehagen", view->content->title);
    check_replay(&evaluation_service, db);
}

static void scores_stay_hidden_until_ones_own_are_in(void **state)
{
    (void)state;
    a_case_with_two_readers();
    Score purpose = a_score("F", 5), transfer = a_score("O", 4);
    DOES("first", CASE_OFFICER, &purpose);
    DOES("first", CASE_OFFICER, &transfer);
    DOES("second", READER, &purpose);
    assert_int_equal(1, sees("second", BUS__V1__ACTOR__ROLE__READER)->n_scores);
    DOES("second", READER, &transfer);
    assert_int_equal(4, sees("second", BUS__V1__ACTOR__ROLE__READER)->n_scores);
}

static void a_conflict_found_later_blocks_and_demands_a_substitute(void **state)
{
    (void)state;
    a_case_with_two_readers();
    declares("second", BUS__V1__ACTOR__ROLE__READER, true);
    Score purpose = a_score("F", 5);
    REFUSED_TO("second", READER, &purpose, "you declared a conflict");
    CompleteEvaluation completion = a_completion();
    REFUSED_TO("first", CASE_OFFICER, &completion, "assigns another in place 2 first");
    declares("third", BUS__V1__ACTOR__ROLE__READER, false);
    AssignReader substitute = an_assignment(2, "third");
    DOES("head", UNIT_HEAD, &substitute);
    DOES("third", READER, &purpose);
    check_replay(&evaluation_service, db);
}

static void what_somebody_has_to_do_with_an_applicant_is_told_to_the_head_alone(void **state)
{
    (void)state;
    a_case_with_two_readers();
    DeclareInterest command = EVALUATION__V1__DECLARE_INTEREST__INIT;
    Types__V1__Private relation = TYPES__V1__PRIVATE__INIT;
    command.application_id = "a-1";
    command.conflict = true;
    command.ground = "fvl. § 6";
    command.relation = &relation;
    relation.text = "gift med rektor";
    DOES("third", READER, &command);
    assert_int_equal(0, sees("first", BUS__V1__ACTOR__ROLE__READER)->n_declarations);
    const Case *view = sees("head", BUS__V1__ACTOR__ROLE__UNIT_HEAD);
    int told = 0;
    for (size_t i = 0; i < view->n_declarations; i++) {
        const InterestDeclared *one = view->declarations[i];
        assert_true((one->relation != NULL) == (strcmp(one->person, "third") == 0));
        told += one->relation != NULL && strcmp(one->relation->text, "gift med rektor") == 0;
    }
    assert_int_equal(1, told);
    check_replay(&evaluation_service, db);
}

static void a_late_case_becomes_timely_by_an_extension_for_all(void **state)
{
    (void)state;
    hears_call();
    hears_organisation("nb");
    hears_submitted(true);
    hears_closed(DEADLINE);
    declares("head", BUS__V1__ACTOR__ROLE__UNIT_HEAD, false);
    declares("officer", BUS__V1__ACTOR__ROLE__CASE_OFFICER, false);
    AnswerFormalCheck check = a_check(true);
    REFUSED_TO("officer", CASE_OFFICER, &check, "late and not admitted");

    DeadlineExtended extended = INTAKE__V1__DEADLINE_EXTENDED__INIT;
    extended.call_id = "c-1";
    extended.deadline_at_us = DEADLINE + 3600 * INT64_C(1000000);
    hears(&extended);
    LateBecameTimely timely = INTAKE__V1__LATE_BECAME_TIMELY__INIT;
    timely.application_id = "a-1";
    timely.call_id = "c-1";
    hears(&timely);

    REFUSED_TO("officer", CASE_OFFICER, &check, "call c-1 has not closed");  // it is open again
    hears_closed(extended.deadline_at_us);
    DOES("officer", CASE_OFFICER, &check);
    check_replay(&evaluation_service, db);
}

static void a_rejection_is_by_another_and_in_the_municipalitys_written_form(void **state)
{
    (void)state;
    a_delivered_application();
    declares("officer", BUS__V1__ACTOR__ROLE__CASE_OFFICER, false);
    AnswerFormalCheck check = a_check(false);
    DOES("officer", CASE_OFFICER, &check);
    Reject reject = EVALUATION__V1__REJECT__INIT;
    reject.application_id = "a-1";
    reject.ground = EVALUATION__V1__GROUND__INCOMPLETE;
    reject.reason = "manglar budsjett";
    REFUSED_TO("officer", UNIT_HEAD, &reject, "you answered the formal check");

    declares("head", BUS__V1__ACTOR__ROLE__UNIT_HEAD, false);
    struct message message = check_message(DEADLINE + 9, "head", BUS__V1__ACTOR__ROLE__UNIT_HEAD, "");
    message.db = db;
    assert_int_equal(OK, check_command(&evaluation_service, &message, &reject));
    const ApplicationRejected *event = check_emitted(&message, 1, 0,
                                                     &evaluation__v1__application_rejected__descriptor);
    assert_string_equal("Kan ikkje klagast på.", event->no_appeal);
    check_replay(&evaluation_service, db);
}

static void the_database_itself_demands_four_eyes(void **state)
{
    (void)state;
    static const struct {
        const ProtobufCMessageDescriptor *type;
        const char *actor;
    } wrong[] = {{&evaluation__v1__application_rejected__descriptor, "first"},
                 {&evaluation__v1__recommendation_returned__descriptor, "first"},
                 {&evaluation__v1__reader_assigned__descriptor, "head"}};
    an_evaluated_case();
    Recommend recommendation = a_recommendation();
    DOES("first", CASE_OFFICER, &recommendation);

    ApplicationRejected rejected = EVALUATION__V1__APPLICATION_REJECTED__INIT;        // by who checked
    RecommendationReturned returned = EVALUATION__V1__RECOMMENDATION_RETURNED__INIT;  // by who recommended
    ReaderAssigned assigned = EVALUATION__V1__READER_ASSIGNED__INIT;  // the first reader as the second too
    rejected.application_id = returned.application_id = assigned.application_id = "a-1";
    assigned.place = 2;
    assigned.person = "first";
    const void *const bodies[] = {&rejected, &returned, &assigned};
    for (int i = 0; i < 3; i++) {
        struct message message = check_message(DEADLINE + 9, wrong[i].actor, BUS__V1__ACTOR__ROLE__UNIT_HEAD,
                                               "");
        message.db = db;
        message.stream = "evaluation/case/a-1";
        const struct event_row *row = evaluation_service.events;
        while (row->on != wrong[i].type)
            row++;
        assert_int_equal(OK, db_begin(&message));
        status_t status = row->apply(&message, bodies[i]);
        assert_int_not_equal(OK, status == OK ? db_wait(&message) : status);
        db_rollback(&message);
    }
}

static void two_heads_at_once_are_decided_one_after_the_other(void **state)
{
    (void)state;
    hears_call();
    hears_organisation("nb");
    hears_submitted(true);
    declares("head", BUS__V1__ACTOR__ROLE__UNIT_HEAD, false);
    AdmitLate admit = EVALUATION__V1__ADMIT_LATE__INIT;
    RejectLate reject = EVALUATION__V1__REJECT_LATE__INIT;
    admit.application_id = reject.application_id = "a-1";
    admit.code = EVALUATION__V1__LATE_REASON__PORTAL_FAULT;
    admit.reason = reject.reason = "nede";
    struct message first = check_message(DEADLINE + 5, "head", BUS__V1__ACTOR__ROLE__UNIT_HEAD, "");
    struct message second = check_message(DEADLINE + 5, "head", BUS__V1__ACTOR__ROLE__UNIT_HEAD, "");
    status_t first_status, second_status;

    check_race(&evaluation_service, db, &first, &admit, &second, &reject, &first_status, &second_status);
    assert_int_equal(OK, first_status);
    check_refused(&second, second_status, "is received, so it can not be rejected as late");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_case_goes_from_delivery_to_recommendation_and_back, open_database,
                                        close_database),
        cmocka_unit_test_setup_teardown(scores_stay_hidden_until_ones_own_are_in, open_database,
                                        close_database),
        cmocka_unit_test_setup_teardown(a_conflict_found_later_blocks_and_demands_a_substitute, open_database,
                                        close_database),
        cmocka_unit_test_setup_teardown(what_somebody_has_to_do_with_an_applicant_is_told_to_the_head_alone,
                                        open_database, close_database),
        cmocka_unit_test_setup_teardown(a_late_case_becomes_timely_by_an_extension_for_all, open_database,
                                        close_database),
        cmocka_unit_test_setup_teardown(a_rejection_is_by_another_and_in_the_municipalitys_written_form,
                                        open_database, close_database),
        cmocka_unit_test_setup_teardown(the_database_itself_demands_four_eyes, open_database, close_database),
        cmocka_unit_test_setup_teardown(two_heads_at_once_are_decided_one_after_the_other, open_database,
                                        close_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
