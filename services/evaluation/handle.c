// What happens to each message that reaches evaluation: load the case, ask the rule. The tables stand at the
// end.
#include "evaluation.h"

#include "evaluation_store.sql.h"

// ------------------------------------------------------------------------------------- commands

static status_t on_declare(struct message *message, const void *body)
{
    const DeclareInterest *command = body;
    struct case_file file;

    status_t status = store_load_case(message, command->application_id, &file);
    if (status == OK)
        status = rule_declare(message, &file, command);
    return status;
}

static status_t on_admit_late(struct message *message, const void *body)
{
    const AdmitLate *command = body;
    struct case_file file;

    status_t status = store_load_case(message, command->application_id, &file);
    if (status == OK)
        status = rule_admit_late(message, &file, command);
    return status;
}

static status_t on_reject_late(struct message *message, const void *body)
{
    const RejectLate *command = body;
    struct case_file file;

    status_t status = store_load_case(message, command->application_id, &file);
    if (status == OK)
        status = rule_reject_late(message, &file, command);
    return status;
}

static status_t on_check(struct message *message, const void *body)
{
    const AnswerFormalCheck *command = body;
    struct case_file file;

    status_t status = store_load_case(message, command->application_id, &file);
    if (status == OK)
        status = rule_check(message, &file, command);
    return status;
}

static status_t on_reject(struct message *message, const void *body)
{
    const Reject *command = body;
    struct case_file file;

    status_t status = store_load_case(message, command->application_id, &file);
    if (status == OK)
        status = rule_reject(message, &file, command);
    return status;
}

static status_t on_assign(struct message *message, const void *body)
{
    const AssignReader *command = body;
    struct case_file file;

    status_t status = store_load_case(message, command->application_id, &file);
    if (status == OK)
        status = rule_assign(message, &file, command);
    return status;
}

static status_t on_score(struct message *message, const void *body)
{
    const Score *command = body;
    struct case_file file;

    status_t status = store_load_case(message, command->application_id, &file);
    if (status == OK)
        status = rule_score(message, &file, command);
    return status;
}

static status_t on_complete(struct message *message, const void *body)
{
    const CompleteEvaluation *command = body;
    struct case_file file;

    status_t status = store_load_case(message, command->application_id, &file);
    if (status == OK)
        status = rule_complete(message, &file, command);
    return status;
}

static status_t on_recommend(struct message *message, const void *body)
{
    const Recommend *command = body;
    struct case_file file;

    status_t status = store_load_case(message, command->application_id, &file);
    if (status == OK)
        status = rule_recommend(message, &file, command);
    return status;
}

static status_t on_return(struct message *message, const void *body)
{
    const ReturnRecommendation *command = body;
    struct case_file file;

    status_t status = store_load_case(message, command->application_id, &file);
    if (status == OK)
        status = rule_return(message, &file, command);
    return status;
}

// ---------------------------------------------------------------------------------- others' events

static status_t on_submitted(struct message *message, const void *body)
{
    const ApplicationSubmitted *event = body;
    struct case_file file;

    status_t status = store_load_case(message, event->application_id, &file);
    if (status == OK)
        rule_open(message, &file, event, false);
    return status;
}

static status_t on_submitted_late(struct message *message, const void *body)
{
    const ApplicationSubmittedLate *event = body;
    struct case_file file;

    status_t status = store_load_case(message, event->application_id, &file);
    if (status == OK)
        rule_open(message, &file, event->submission, true);
    return status;
}

static status_t on_became_timely(struct message *message, const void *body)
{
    const LateBecameTimely *event = body;
    struct case_file file;

    status_t status = store_load_case(message, event->application_id, &file);
    if (status == OK)
        rule_became_timely(message, &file);
    return status;
}

static status_t on_withdrawn(struct message *message, const void *body)
{
    const ApplicationWithdrawn *event = body;
    struct case_file file;

    status_t status = store_load_case(message, event->application_id, &file);
    if (status == OK)
        rule_withdrawn(message, &file, event);
    return status;
}

// ------------------------------------------------------------------------------------- queries

static void add_readers(struct message *message, const struct case_file *file, Case *view)
{
    view->readers = arena_alloc(message->arena, READER_PLACES * sizeof *view->readers);
    for (int i = 0; i < READER_PLACES; i++) {
        if (!*file->readers[i].person)
            continue;
        ReaderAssigned *one = arena_alloc(message->arena, sizeof *one);
        evaluation__v1__reader_assigned__init(one);
        one->application_id = (char *)file->id;
        one->place = (uint32_t)i + 1;
        one->person = (char *)file->readers[i].person;
        one->reason = (char *)file->readers[i].reason;
        view->readers[view->n_readers++] = one;
    }
}

static void add_scores(struct message *message, const struct case_file *file, Case *view)
{
    view->scores = arena_alloc(message->arena, sizeof *view->scores * (size_t)(file->n_scores + 1));
    for (int i = 0; i < file->n_scores; i++) {
        const struct given_score *score = &file->scores[i];
        if (!rule_sees_score(message, file, score))
            continue;
        ScoreGiven *one = arena_alloc(message->arena, sizeof *one);
        evaluation__v1__score_given__init(one);
        one->application_id = (char *)file->id;
        one->person = (char *)score->person;
        one->place = score->place;
        one->criterion = (char *)score->criterion;
        one->value = score->value;
        one->reason = (char *)score->reason;
        view->scores[view->n_scores++] = one;
    }
}

// What somebody has to do with an applicant is for those who answer for impartiality.
static void add_declarations(struct message *message, const struct case_file *file, Case *view)
{
    int role = message->actor->role;

    if (role != BUS__V1__ACTOR__ROLE__UNIT_HEAD && role != BUS__V1__ACTOR__ROLE__AUDITOR)
        return;
    view->declarations = arena_alloc(message->arena,
                                     sizeof *view->declarations * (size_t)(file->n_interests + 1));
    for (int i = 0; i < file->n_interests; i++) {
        const struct interest *interest = &file->interests[i];
        InterestDeclared *one = arena_alloc(message->arena, sizeof *one);
        evaluation__v1__interest_declared__init(one);
        one->application_id = (char *)file->id;
        one->person = (char *)interest->person;
        one->conflict = interest->conflict;
        one->ground = (char *)interest->ground;
        if (interest->relation.len > 0) {
            one->relation = arena_alloc(message->arena, sizeof *one->relation);
            types__v1__private__init(one->relation);
            one->relation->seal = interest->relation;
        }
        view->declarations[view->n_declarations++] = one;
    }
}

static status_t on_get_case(struct message *message, const void *body)
{
    const GetCase *query = body;
    struct case_file file;
    Case view = EVALUATION__V1__CASE__INIT;

    status_t status = store_read_case(message, query->application_id, &file);
    if (status == OK)
        status = rule_see(message, &file);
    if (status == OK)
        status = store_load_content(message, query->application_id, &view.content);
    if (status != OK)
        return status;
    view.application_id = (char *)file.id;
    view.call_id = (char *)file.call_id;
    view.state = (Evaluation__V1__Case__State)file.state;
    view.criteria = file.call->criteria;
    view.n_criteria = file.call->n_criteria;
    add_readers(message, &file, &view);
    add_scores(message, &file, &view);
    add_declarations(message, &file, &view);
    status = private_open(message, file.id, &view);
    if (status == OK)
        answer(message, &view);
    return status;
}

static status_t on_list_cases(struct message *message, const void *body)
{
    const ListCases *query = body;
    Cases cases = EVALUATION__V1__CASES__INIT;

    status_t status = store_list_cases(message, query->call_id, &cases);
    if (status == OK)
        answer(message, &cases);
    return status;
}

// ------------------------------------------------------------------------------------- the tables

static const struct command_row commands[] = {
    {&evaluation__v1__declare_interest__descriptor,
     ROLE(CASE_OFFICER) | ROLE(READER) | ROLE(UNIT_HEAD) | ROLE(BUDGET_HOLDER), on_declare},
    {&evaluation__v1__admit_late__descriptor, ROLE(UNIT_HEAD), on_admit_late},
    {&evaluation__v1__reject_late__descriptor, ROLE(UNIT_HEAD), on_reject_late},
    {&evaluation__v1__answer_formal_check__descriptor, ROLE(CASE_OFFICER), on_check},
    {&evaluation__v1__reject__descriptor, ROLE(UNIT_HEAD), on_reject},
    {&evaluation__v1__assign_reader__descriptor, ROLE(UNIT_HEAD), on_assign},
    {&evaluation__v1__score__descriptor, ROLE(CASE_OFFICER) | ROLE(READER), on_score},
    {&evaluation__v1__complete_evaluation__descriptor, ROLE(CASE_OFFICER) | ROLE(READER), on_complete},
    {&evaluation__v1__recommend__descriptor, ROLE(CASE_OFFICER) | ROLE(READER), on_recommend},
    {&evaluation__v1__return_recommendation__descriptor, ROLE(UNIT_HEAD) | ROLE(BUDGET_HOLDER), on_return},
    {NULL},
};

static const struct event_row events[] = {
    {&evaluation__v1__case_opened__descriptor, "case", store_case_opened},
    {&evaluation__v1__case_closed__descriptor, "case", store_case_closed},
    {&evaluation__v1__interest_declared__descriptor, "case", store_interest_declared},
    {&evaluation__v1__late_admitted__descriptor, "case", store_late_admitted},
    {&evaluation__v1__formal_check_answered__descriptor, "case", store_check_answered},
    {&evaluation__v1__application_rejected__descriptor, "case", store_rejected},
    {&evaluation__v1__reader_assigned__descriptor, "case", store_reader_assigned},
    {&evaluation__v1__score_given__descriptor, "case", store_score_given},
    {&evaluation__v1__evaluation_completed__descriptor, "case", store_completed},
    {&evaluation__v1__recommendation_made__descriptor, "case", store_recommended},
    {&evaluation__v1__recommendation_returned__descriptor, "case", store_returned},
    {NULL},
};

static const struct heard_row heard[] = {
    {&intake__v1__organisation_registered__descriptor, store_hear_organisation, NULL},
    {&intake__v1__call_published__descriptor, store_hear_call, NULL},
    {&intake__v1__deadline_extended__descriptor, store_hear_extension, NULL},
    {&intake__v1__call_closed__descriptor, store_hear_closed, NULL},
    {&intake__v1__application_submitted__descriptor, store_hear_submitted, on_submitted},
    {&intake__v1__application_submitted_late__descriptor, store_hear_late, on_submitted_late},
    {&intake__v1__late_became_timely__descriptor, NULL, on_became_timely},
    {&intake__v1__application_withdrawn__descriptor, NULL, on_withdrawn},
    {&allocation__v1__award_decided__descriptor, store_hear_award, NULL},
    {&allocation__v1__application_refused__descriptor, store_hear_refusal, NULL},
    {NULL},
};

static const struct query_row queries[] = {
    {&evaluation__v1__get_case__descriptor,
     ROLE(CASE_OFFICER) | ROLE(READER) | ROLE(UNIT_HEAD) | ROLE(BUDGET_HOLDER) | ROLE(AUDITOR), on_get_case},
    {&evaluation__v1__list_cases__descriptor, ROLES_DIRECTORATE | ROLE(AUDITOR), on_list_cases},
    {NULL},
};

const struct service evaluation_service = {
    .name = "evaluation",
    .rule_set = "2024-1",
    .commands = commands,
    .events = events,
    .heard = heard,
    .queries = queries,
    .statements = sql_evaluation_all,
    .migrations = migrations_evaluation,
};
