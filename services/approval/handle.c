// handle: what happens to each message that reaches approval: load, rule, under each other. The tables stand
// at the end.
#include "approval.h"

#include "approval_store.sql.h"

// ------------------------------------------------------------------------------------------------- commands

static status_t load_registration(struct message *message, const char *signatory_id,
                                  const char *organisation_number, struct registration *ret)
{
    *ret = (struct registration){0};
    status_t status = store_load_signatory(message, signatory_id, &ret->taken);
    if (status == OK)
        status = store_load_organisation(message, organisation_number, &ret->organisation);
    if (status == OK)
        status = store_load_own(message, message->actor->subject, &ret->own);
    return status;
}

static status_t on_register(struct message *message, const void *body)
{
    const RegisterSignatory *command = body;
    struct registration registration;

    status_t status = load_registration(message, command->signatory_id, command->organisation_number,
                                        &registration);
    if (status == OK)
        status = rule_register(message, &registration, command);
    return status;
}

static status_t on_mandate(struct message *message, const void *body)
{
    const RegisterMandate *command = body;
    struct registration registration;

    status_t status = load_registration(message, command->signatory_id, command->organisation_number,
                                        &registration);
    if (status == OK)
        status = rule_mandate(message, &registration, command);
    return status;
}

static status_t on_revoke(struct message *message, const void *body)
{
    const RevokeSignatory *command = body;
    struct signatory signatory;

    status_t status = store_load_signatory(message, command->signatory_id, &signatory);
    if (status == OK)
        status = rule_revoke(message, &signatory, command);
    return status;
}

static status_t load_sign_off(struct message *message, const char *application_id,
                              Types__V1__SignOffKind kind, struct sign_off *ret)
{
    *ret = (struct sign_off){0};
    if (kind == TYPES__V1__SIGN_OFF_KIND__SIGN_OFF_KIND_UNSPECIFIED)
        return OK;
    return store_load_sign_off(message, sign_off_id(message->arena, application_id, kind), ret);
}

static status_t on_approve(struct message *message, const void *body)
{
    const Approve *command = body;
    struct signing signing;

    status_t status = load_sign_off(message, command->application_id, command->kind, &signing.sign_off);
    if (status == OK)
        status = store_load_own(message, message->actor->subject, &signing.own);
    if (status == OK)
        status = rule_approve(message, &signing, command);
    return status;
}

static status_t on_return(struct message *message, const void *body)
{
    const ReturnForEdit *command = body;
    struct sign_off sign_off;

    status_t status = load_sign_off(message, command->application_id, command->kind, &sign_off);
    if (status == OK)
        status = rule_return(message, &sign_off, command);
    return status;
}

// ------------------------------------------------------------------------------------------------ reactions

// Something is frozen and waits for signatures. opening is complete but for its id.
static status_t open_sign_off(struct message *message, SignOffOpened *opening)
{
    struct sign_off earlier;

    opening->sign_off_id = sign_off_id(message->arena, opening->application_id, opening->kind);
    status_t status = store_load_sign_off(message, opening->sign_off_id, &earlier);
    if (status == OK)
        status = rule_open(message, &earlier, opening);
    return status;
}

static status_t on_approval_requested(struct message *message, const void *body)
{
    const ApprovalRequested *event = body;
    SignOffOpened opening = APPROVAL__V1__SIGN_OFF_OPENED__INIT;

    opening.application_id = event->application_id;
    opening.kind = APPLICATION;
    opening.version = event->content_version;
    opening.content_sha256 = event->content_sha256;
    opening.organisation_number = event->organisation_number;
    opening.call_id = event->call_id;
    opening.amount_ore = event->applied_ore;
    return open_sign_off(message, &opening);
}

static status_t on_acceptance_prepared(struct message *message, const void *body)
{
    const AcceptancePrepared *event = body;
    SignOffOpened opening = APPROVAL__V1__SIGN_OFF_OPENED__INIT;

    opening.application_id = event->application_id;
    opening.kind = ACCEPTANCE;
    opening.version = event->acceptance_version;
    opening.content_sha256 = event->acceptance_sha256;
    opening.organisation_number = event->organisation_number;
    opening.call_id = event->call_id;
    opening.amount_ore = event->amount_ore;
    return open_sign_off(message, &opening);
}

static status_t on_report_prepared(struct message *message, const void *body)
{
    const ReportPrepared *event = body;
    SignOffOpened opening = APPROVAL__V1__SIGN_OFF_OPENED__INIT;

    opening.application_id = event->application_id;
    opening.kind = REPORT;
    opening.version = event->report_version;
    opening.content_sha256 = event->report_sha256;
    opening.organisation_number = event->organisation_number;
    opening.call_id = event->call_id;
    opening.amount_ore = event->cost_ore;
    return open_sign_off(message, &opening);
}

static status_t void_sign_off(struct message *message, const char *application_id,
                              Types__V1__SignOffKind kind, const char *reason)
{
    struct sign_off sign_off;

    status_t status = load_sign_off(message, application_id, kind, &sign_off);
    if (status == OK)
        status = rule_void(message, &sign_off, reason);
    return status;
}

static status_t on_draft_saved(struct message *message, const void *body)
{
    const DraftSaved *event = body;

    if (!event->voided_request)
        return OK;
    return void_sign_off(message, event->application_id, APPLICATION, "the application was edited");
}

static status_t on_withdrawn(struct message *message, const void *body)
{
    return void_sign_off(message, ((const ApplicationWithdrawn *)body)->application_id, APPLICATION,
                         "the application was withdrawn");
}

static status_t on_expired(struct message *message, const void *body)
{
    return void_sign_off(message, ((const DraftExpired *)body)->application_id, APPLICATION,
                         "the draft expired");
}

static status_t on_letter_issued(struct message *message, const void *body)
{
    return void_sign_off(message, ((const GrantLetterIssued *)body)->application_id, ACCEPTANCE,
                         "a new letter was issued");
}

static status_t on_lapsed(struct message *message, const void *body)
{
    return void_sign_off(message, ((const GrantLapsed *)body)->application_id, ACCEPTANCE,
                         "the grant lapsed");
}

static status_t on_declined(struct message *message, const void *body)
{
    return void_sign_off(message, ((const GrantDeclined *)body)->application_id, ACCEPTANCE,
                         "the grant was declined");
}

static status_t on_duty_cancelled(struct message *message, const void *body)
{
    return void_sign_off(message, ((const DutyCancelled *)body)->application_id, REPORT,
                         "the duty to report ended");
}

// -------------------------------------------------------------------------------------------------- queries

static status_t on_list_sign_offs(struct message *message, const void *body)
{
    const char *organisation_number = "";
    SignOffs sign_offs = APPROVAL__V1__SIGN_OFFS__INIT;

    status_t status = rule_list(message, ((const ListSignOffs *)body)->organisation_number,
                                &organisation_number);
    if (status == OK)
        status = store_list_sign_offs(message, organisation_number, &sign_offs);
    if (status == OK)
        answer(message, &sign_offs);
    return status;
}

static status_t on_list_signatories(struct message *message, const void *body)
{
    const ListSignatories *query = body;
    const char *organisation_number = "";
    Signatories signatories = APPROVAL__V1__SIGNATORIES__INIT;

    status_t status = rule_list(message, query->organisation_number, &organisation_number);
    if (status == OK)
        status = store_list_signatories(message, organisation_number,
                                        query->at_us != 0 ? query->at_us : message->at_us, &signatories);
    if (status == OK)
        answer(message, &signatories);
    return status;
}

// ------------------------------------------------------------------------------------------------ the tables

#define ROLES_SIGNERS (ROLE(APPROVER) | ROLE(PROJECT_OWNER) | ROLE(SUPERIOR_LEADER))
#define ROLES_READERS (ROLES_MUNICIPALITY | ROLES_DIRECTORATE | ROLE(AUDITOR) | ROLE(OPERATOR))

static const struct command_row commands[] = {
    {&approval__v1__register_signatory__descriptor, ROLE(CASE_OFFICER), on_register},
    {&approval__v1__register_mandate__descriptor, ROLE(APPROVER), on_mandate},
    {&approval__v1__revoke_signatory__descriptor, ROLE(CASE_OFFICER) | ROLE(APPROVER), on_revoke},
    {&approval__v1__approve__descriptor, ROLES_SIGNERS, on_approve},
    {&approval__v1__return_for_edit__descriptor, ROLES_SIGNERS | ROLE(EDITOR), on_return},
    {NULL},
};

static const struct event_row events[] = {
    {&approval__v1__signatory_registered__descriptor, "signatory", store_signatory_registered},
    {&approval__v1__signatory_revoked__descriptor, "signatory", store_signatory_revoked},
    {&approval__v1__sign_off_opened__descriptor, "signoff", store_sign_off_opened},
    {&approval__v1__signature_given__descriptor, "signoff", store_signature_given},
    {&approval__v1__signed_off__descriptor, "signoff", store_signed_off},
    {&approval__v1__sign_off_returned__descriptor, "signoff", store_sign_off_returned},
    {&approval__v1__sign_off_voided__descriptor, "signoff", store_sign_off_voided},
    {NULL},
};

static const struct heard_row heard[] = {
    {&intake__v1__organisation_registered__descriptor, store_organisation_registered, NULL},
    {&intake__v1__approval_requested__descriptor, NULL, on_approval_requested, store_ahead_application},
    {&intake__v1__draft_saved__descriptor, NULL, on_draft_saved, store_ahead_saved},
    {&intake__v1__application_withdrawn__descriptor, NULL, on_withdrawn, store_ahead_application},
    {&intake__v1__draft_expired__descriptor, NULL, on_expired, store_ahead_application},
    {&allocation__v1__acceptance_prepared__descriptor, NULL, on_acceptance_prepared},
    {&allocation__v1__grant_letter_issued__descriptor, NULL, on_letter_issued},
    {&allocation__v1__grant_lapsed__descriptor, NULL, on_lapsed},
    {&allocation__v1__grant_declined__descriptor, NULL, on_declined},
    {&reporting__v1__report_prepared__descriptor, NULL, on_report_prepared},
    {&reporting__v1__duty_cancelled__descriptor, NULL, on_duty_cancelled},
    {NULL},
};

static const struct query_row queries[] = {
    {&approval__v1__list_sign_offs__descriptor, ROLES_READERS, on_list_sign_offs},
    {&approval__v1__list_signatories__descriptor, ROLES_READERS, on_list_signatories},
    {NULL},
};

const struct service approval_service = {
    .name = "approval",
    .rule_set = "2024-1",
    .commands = commands,
    .events = events,
    .heard = heard,
    .queries = queries,
    .statements = sql_approval_all,
    .migrations = migrations_approval,
};
