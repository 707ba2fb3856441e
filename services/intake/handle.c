// handle: what happens to each message that reaches intake: load, rule, under each other. The tables stand at
// the end.
#include "intake.h"

#include "intake_store.sql.h"

// ------------------------------------------------------------------------------------------------- commands

static status_t on_import(struct message *message, const void *body)
{
    const ImportOrganisations *command = body;
    size_t count = command->n_organisations;
    const char **numbers = arena_alloc(message->arena, (count + 1) * sizeof *numbers);
    struct organisations known;

    for (size_t i = 0; i < count; i++)
        numbers[i] = command->organisations[i]->organisation_number;
    status_t status = store_load_organisations(message, numbers, (int)count, LOCK_UPDATE, &known);
    if (status == OK)
        status = rule_import(message, &known, command);
    return status;
}

static status_t on_publish(struct message *message, const void *body)
{
    const PublishCall *command = body;
    struct opening opening;

    status_t status = store_load_opening(message, command->definition, &opening);
    if (status == OK)
        status = rule_publish(message, &opening.call, command);
    return status;
}

static status_t on_open_extra(struct message *message, const void *body)
{
    const OpenExtraCall *command = body;
    struct opening opening;

    status_t status = store_load_opening(message, command->definition, &opening);
    if (status == OK)
        status = rule_open_extra(message, &opening, command);
    return status;
}

static status_t on_extend(struct message *message, const void *body)
{
    const ExtendDeadline *command = body;
    struct extension extension;

    status_t status = store_load_extension(message, command, &extension);
    if (status == OK)
        status = rule_extend(message, &extension, command);
    return status;
}

static status_t on_close(struct message *message, const void *body)
{
    const CloseCall *command = body;
    struct call call;

    status_t status = store_load_call(message, command->call_id, LOCK_UPDATE, &call);
    if (status == OK)
        status = rule_close(message, &call, command);
    return status;
}

static status_t on_start(struct message *message, const void *body)
{
    const StartDraft *command = body;
    const char *own = message->actor->organisation;
    struct dossier dossier;

    status_t status = store_load_application(message, command->application_id, LOCK_NONE, LOCK_UPDATE,
                                             &dossier);
    if (status == OK)
        status = store_load_call(message, command->call_id, LOCK_NONE, &dossier.call);
    if (status == OK)
        status = store_load_organisations(message, &own, 1, LOCK_NONE, &dossier.organisations);
    if (status == OK)
        status = rule_start(message, &dossier, command);
    return status;
}

static status_t on_save(struct message *message, const void *body)
{
    const SaveDraft *command = body;
    struct dossier dossier;

    status_t status = store_load_application(message, command->application_id, LOCK_NONE, LOCK_UPDATE,
                                             &dossier);
    if (status == OK)
        status = rule_save(message, &dossier, command);
    return status;
}

static status_t on_confirm(struct message *message, const void *body)
{
    const ConfirmParticipation *command = body;
    struct dossier dossier;

    status_t status = store_load_application(message, command->application_id, LOCK_NONE, LOCK_UPDATE,
                                             &dossier);
    if (status == OK)
        status = store_load_surroundings(message, &dossier);
    if (status == OK)
        status = rule_confirm(message, &dossier, command);
    return status;
}

static status_t on_request(struct message *message, const void *body)
{
    const RequestApproval *command = body;
    struct dossier dossier;

    status_t status = store_load_application(message, command->application_id, LOCK_NONE, LOCK_UPDATE,
                                             &dossier);
    if (status == OK)
        status = store_load_surroundings(message, &dossier);
    if (status == OK)
        status = rule_request(message, &dossier, command);
    return status;
}

static status_t on_withdraw(struct message *message, const void *body)
{
    const Withdraw *command = body;
    struct dossier dossier;

    status_t status = store_load_application(message, command->application_id, LOCK_NONE, LOCK_UPDATE,
                                             &dossier);
    if (status == OK)
        status = store_load_decision(message, &dossier);
    if (status == OK)
        status = rule_withdraw(message, &dossier, command);
    return status;
}

static status_t on_expire(struct message *message, const void *body)
{
    const ExpireDraft *command = body;
    struct dossier dossier;

    status_t status = store_load_application(message, command->application_id, LOCK_SHARE, LOCK_UPDATE,
                                             &dossier);
    if (status == OK)
        status = rule_expire(message, &dossier, command);
    return status;
}

// ------------------------------------------------------------------------------------------------ reactions

static status_t on_signed_off(struct message *message, const void *body)
{
    const SignedOff *event = body;
    struct dossier dossier;

    status_t status = store_load_application(message, event->application_id, LOCK_SHARE, LOCK_UPDATE,
                                             &dossier);
    if (status == OK)
        status = rule_signed_off(message, &dossier, event);
    return status;
}

static status_t on_returned(struct message *message, const void *body)
{
    const SignOffReturned *event = body;
    struct dossier dossier;

    status_t status = store_load_application(message, event->application_id, LOCK_NONE, LOCK_UPDATE,
                                             &dossier);
    if (status == OK)
        status = rule_returned(message, &dossier, event);
    return status;
}

// -------------------------------------------------------------------------------------------------- queries

static status_t on_get_application(struct message *message, const void *body)
{
    const GetApplication *query = body;
    struct dossier dossier;

    status_t status = store_load_application(message, query->application_id, LOCK_NONE, LOCK_NONE, &dossier);
    if (status == OK)
        status = rule_see(message, &dossier.application, query->application_id);
    if (status == OK)
        status = store_load_surroundings(message, &dossier);
    if (status == OK)
        status = private_erasure(message, query->application_id, &dossier.erasure);
    if (status == OK && dossier.application.content != NULL)
        status = private_open(message, query->application_id, dossier.application.content);
    if (status == OK)
        status = rule_show(message, &dossier);
    return status;
}

static status_t on_get_call(struct message *message, const void *body)
{
    const GetCall *query = body;
    Call shown = INTAKE__V1__CALL__INIT;
    struct call call;

    status_t status = store_load_call(message, query->call_id, LOCK_NONE, &call);
    if (status == OK && !call.known)
        status = fail(message, REFUSED, "call %.64s does not exist", query->call_id);
    if (status != OK)
        return status;
    shown.definition = call.definition;
    shown.definition->deadline_at_us = call.deadline_at_us;
    shown.closed = call.closed;
    shown.now_us = message->at_us;
    answer(message, &shown);
    return OK;
}

static status_t on_list_calls(struct message *message, const void *body)
{
    Calls calls = INTAKE__V1__CALLS__INIT;

    (void)body;
    status_t status = store_list_calls(message, &calls);
    if (status == OK)
        answer(message, &calls);
    return status;
}

// ------------------------------------------------------------------------------------------------ the tables

#define ROLES_APPLICANT (ROLE(EDITOR) | ROLE(APPROVER))
// Calls are public. An application is for its own side only: the directorate reads it in evaluation, where
// impartiality is declared first.
#define ROLES_PUBLIC (ROLES_MUNICIPALITY | ROLES_DIRECTORATE | ROLE(AUDITOR) | ROLE(OPERATOR) | ROLE(SERVICE))
#define ROLES_OWN    (ROLES_MUNICIPALITY | ROLE(AUDITOR))

static const struct command_row commands[] = {
    {&intake__v1__import_organisations__descriptor, ROLE(CASE_OFFICER) | ROLE(OPERATOR), on_import},
    {&intake__v1__publish_call__descriptor, ROLE(UNIT_HEAD), on_publish},
    {&intake__v1__open_extra_call__descriptor, ROLE(UNIT_HEAD), on_open_extra},
    {&intake__v1__extend_deadline__descriptor, ROLE(UNIT_HEAD), on_extend},
    {&intake__v1__close_call__descriptor, ROLES_CLOCK, on_close},
    {&intake__v1__start_draft__descriptor, ROLES_APPLICANT, on_start, store_ahead_start},
    {&intake__v1__save_draft__descriptor, ROLES_APPLICANT, on_save, store_ahead_application},
    {&intake__v1__confirm_participation__descriptor, ROLES_APPLICANT, on_confirm, store_ahead_participation},
    {&intake__v1__request_approval__descriptor, ROLES_APPLICANT, on_request, store_ahead_participation},
    {&intake__v1__withdraw__descriptor, ROLE(APPROVER), on_withdraw},
    {&intake__v1__expire_draft__descriptor, ROLES_CLOCK, on_expire},
    {NULL},
};

static const struct event_row events[] = {
    {&intake__v1__organisation_registered__descriptor, "organisation", store_organisation_registered},
    {&intake__v1__call_published__descriptor, "call", store_call_published},
    {&intake__v1__deadline_extended__descriptor, "call", store_deadline_extended},
    {&intake__v1__call_closed__descriptor, "call", store_call_closed},
    {&intake__v1__application_drafted__descriptor, "application", store_application_drafted},
    {&intake__v1__draft_saved__descriptor, "application", store_draft_saved},
    {&intake__v1__participation_confirmed__descriptor, "application", store_participation_confirmed},
    {&intake__v1__approval_requested__descriptor, "application", store_approval_requested},
    {&intake__v1__approval_returned__descriptor, "application", store_approval_returned},
    {&intake__v1__application_submitted__descriptor, "application", store_application_submitted},
    {&intake__v1__application_submitted_late__descriptor, "application", store_application_submitted_late},
    {&intake__v1__late_became_timely__descriptor, "application", store_late_became_timely},
    {&intake__v1__sign_off_disregarded__descriptor, "application", store_sign_off_disregarded},
    {&intake__v1__application_withdrawn__descriptor, "application", store_application_withdrawn},
    {&intake__v1__draft_expired__descriptor, "application", store_draft_expired},
    {NULL},
};

static const struct heard_row heard[] = {
    {&approval__v1__signed_off__descriptor, NULL, on_signed_off, store_ahead_signed_off},
    {&approval__v1__sign_off_returned__descriptor, NULL, on_returned, store_ahead_application},
    {&allocation__v1__frame_reserved__descriptor, store_frame_reserved, NULL},
    {&allocation__v1__award_decided__descriptor, store_award_decided, NULL},
    {&allocation__v1__application_refused__descriptor, store_application_refused, NULL},
    {&evaluation__v1__application_rejected__descriptor, store_application_rejected, NULL},
    {NULL},
};

static const struct query_row queries[] = {
    {&intake__v1__get_application__descriptor, ROLES_OWN, on_get_application},
    {&intake__v1__get_call__descriptor, ROLES_PUBLIC, on_get_call},
    {&intake__v1__list_calls__descriptor, ROLES_PUBLIC, on_list_calls},
    {NULL},
};

static const struct timer_row timers[] = {
    {&intake__v1__close_call__descriptor, &sql_due_calls},
    {&intake__v1__expire_draft__descriptor, &sql_due_drafts},
    {NULL},
};

const struct service intake_service = {
    .name = "intake",
    .rule_set = "2024-1",
    .commands = commands,
    .events = events,
    .heard = heard,
    .queries = queries,
    .timers = timers,
    .statements = sql_intake_all,
    .migrations = migrations_intake,
};
