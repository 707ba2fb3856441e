// rules: what is allowed with an application, from draft to delivery. Pure: the time is message->at_us, the
// state is given, what comes out is emitted. What is allowed with organisations and calls stands in calls.c.
#include "intake.h"

#include "values/values.h"

#include <string.h>

// What a register's form is called by people.
static const struct {
    const char *form;
    const char *one;
    const char *many;
} forms[] = {
    {"KOMM", "a municipality", "municipalities"},
    {"FYLK", "a county", "counties"},
    {"AS", "a limited company", "limited companies"},
    {"FLI", "an association", "associations"},
};

// ---------------------------------------------------------------------------------------------- applications

// Late filing keeps a call's door ajar until its drafts expire.
static status_t check_still_open(struct message *message, const struct call *call)
{
    if (message->at_us >= call->expires_at_us)
        return fail(message, REFUSED, "call %s ended %s; its drafts have expired", call->id,
                    oslo_text(message->arena, call->expires_at_us));
    if (message->at_us >= call->deadline_at_us && !call->late_filing)
        return fail(message, REFUSED, "the deadline of call %s was %s, and it takes no late applications",
                    call->id, oslo_text(message->arena, call->deadline_at_us));
    return OK;
}

// oslo_text shows a midnight as the last minute of the day that ends; here a day begins.
static const char *begin_text(struct message *message, int64_t at_us)
{
    return oslo_text(message->arena, at_us + 1);
}

static const char *form_one(struct message *message, const char *form)
{
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (strcmp(forms[i].form, form) == 0)
            return arena_printf(message->arena, "%s (%s)", forms[i].one, form);
    return arena_printf(message->arena, "of the form %s", form);
}

static const char *form_many(struct message *message, const char *form)
{
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (strcmp(forms[i].form, form) == 0)
            return arena_printf(message->arena, "%s (%s)", forms[i].many, form);
    return arena_printf(message->arena, "organisations of the form %s", form);
}

static status_t check_eligible(struct message *message, const CallDefinition *definition,
                               const Organisation *organisation)
{
    const char *who = form_many(message, definition->eligible_forms[0]);

    for (size_t i = 0; i < definition->n_eligible_forms; i++)
        if (strcmp(definition->eligible_forms[i], organisation->form) == 0)
            return OK;
    for (size_t i = 1; i < definition->n_eligible_forms; i++)
        who = arena_printf(message->arena, "%s and %s", who,
                           form_many(message, definition->eligible_forms[i]));
    return fail(message, REFUSED, "organisation %s (%.200s) is %s; only %s may apply",
                organisation->organisation_number, organisation->name, form_one(message, organisation->form),
                who);
}

static status_t check_start(struct message *message, const struct dossier *dossier, const StartDraft *command)
{
    if (!uuid_valid(command->application_id))
        return fail(message, REFUSED, "application_id is \"%.80s\"; it must be a UUID in lower case",
                    command->application_id);
    if (dossier->application.known)
        return fail(message, REFUSED,
                    "application %s exists already; another one needs another application_id",
                    command->application_id);
    if (!dossier->call.known)
        return fail(message, REFUSED, "call %.64s does not exist", command->call_id);
    if (message->at_us < dossier->call.definition->opens_at_us)
        return fail(message, REFUSED, "call %s opens %s", dossier->call.id,
                    begin_text(message, dossier->call.definition->opens_at_us));
    if (dossier->organisations.count == 0)
        return fail(message, REFUSED, "organisation %.20s is not in the register of organisations",
                    message->actor->organisation);
    return OK;
}

status_t rule_start(struct message *message, const struct dossier *dossier, const StartDraft *command)
{
    const Organisation *lead = dossier->organisations.count > 0 ? dossier->organisations.all[0] : NULL;

    status_t status = check_start(message, dossier, command);
    if (status == OK)
        status = check_still_open(message, &dossier->call);
    if (status == OK)
        status = check_eligible(message, dossier->call.definition, lead);
    if (status != OK)
        return status;

    ApplicationDrafted event = INTAKE__V1__APPLICATION_DRAFTED__INIT;
    event.application_id = command->application_id;
    event.call_id = command->call_id;
    event.organisation_number = lead->organisation_number;
    event.municipality_number = lead->municipality_number;
    event.name = lead->name;
    emit(message, &event);
    return OK;
}

static const char *state_text(enum application_state state)
{
    switch (state) {
    case DRAFT:
        return "a draft";
    case AWAITING_APPROVAL:
        return "awaiting approval";
    case SUBMITTED:
        return "delivered";
    case SUBMITTED_LATE:
        return "delivered after the deadline";
    case WITHDRAWN:
        return "withdrawn";
    case EXPIRED:
        return "an expired draft";
    }
    return "unknown";
}

static bool undelivered(const struct application *application)
{
    return application->state == DRAFT || application->state == AWAITING_APPROVAL;
}

static status_t check_known(struct message *message, const struct application *application, const char *id)
{
    return application->known ? OK : fail(message, REFUSED, "application %.80s does not exist", id);
}

// Only the lead's people act for an application.
static status_t check_lead(struct message *message, const struct application *application, const char *id)
{
    const char *own = message->actor->organisation;

    status_t status = check_known(message, application, id);
    if (status != OK || strcmp(own, application->lead) == 0)
        return status;
    return fail(message, REFUSED, "organisation %.20s is %s application %s; only its lead %s may do this",
                own, content_has_partner(application->content, own) ? "a partner in" : "no part of",
                application->id, application->lead);
}

static status_t check_undelivered(struct message *message, const struct dossier *dossier)
{
    const struct application *application = &dossier->application;

    if (!undelivered(application))
        return fail(message, REFUSED, "application %s is %s; only an undelivered draft can be changed",
                    application->id, state_text(application->state));
    if (message->at_us >= dossier->call.expires_at_us)
        return fail(message, REFUSED, "application %s could be delivered until %s; the draft has expired",
                    application->id, oslo_text(message->arena, dossier->call.expires_at_us));
    return OK;
}

static status_t check_version(struct message *message, const struct application *application,
                              const char *field, uint32_t seen)
{
    if (seen == application->content_version)
        return OK;
    return fail(message, REFUSED, "%s of application %s is %u; the present version is %u, look at it first",
                field, application->id, seen, application->content_version);
}

static status_t check_shape(struct message *message, const struct dossier *dossier, const SaveDraft *command)
{
    struct faults faults = {.arena = message->arena, .complete = false};

    if (command->content == NULL)
        return fail(message, REFUSED, "content of application %s is missing; a draft is saved whole",
                    dossier->application.id);
    content_check(&faults, dossier, command->content);
    return faults_refuse(
        message, &faults,
        arena_printf(message->arena, "application %s is not saved", dossier->application.id));
}

status_t rule_save(struct message *message, const struct dossier *dossier, const SaveDraft *command)
{
    const struct application *application = &dossier->application;

    status_t status = check_lead(message, application, command->application_id);
    if (status == OK)
        status = check_undelivered(message, dossier);
    if (status == OK)
        status = check_version(message, application, "expected_version", command->expected_version);
    if (status == OK)
        status = check_shape(message, dossier, command);
    if (status != OK)
        return status;

    DraftSaved event = INTAKE__V1__DRAFT_SAVED__INIT;
    event.application_id = command->application_id;
    event.content_version = application->content_version + 1;
    event.content = command->content;
    event.voided_request = application->state == AWAITING_APPROVAL;
    emit(message, &event);
    return OK;
}

status_t rule_confirm(struct message *message, const struct dossier *dossier,
                      const ConfirmParticipation *command)
{
    const struct application *application = &dossier->application;
    const char *own = message->actor->organisation;
    int64_t share = 0;

    status_t status = check_known(message, application, command->application_id);
    if (status == OK && !content_has_partner(application->content, own))
        status = fail(message, REFUSED,
                      "organisation %.20s is not a partner in application %s; there is nothing to confirm",
                      own, application->id);
    if (status == OK)
        status = check_undelivered(message, dossier);
    if (status == OK)
        status = check_version(message, application, "content_version", command->content_version);
    if (status == OK && !content_share(application->content, own, &share))
        status = fail(
            message, REFUSED,
            "the own contribution of %.20s in application %s is no valid amount; the lead must mend it", own,
            application->id);
    if (status != OK || content_confirmed(dossier, application->content, own))
        return status;

    ParticipationConfirmed event = INTAKE__V1__PARTICIPATION_CONFIRMED__INIT;
    event.application_id = command->application_id;
    event.organisation_number = message->actor->organisation;
    event.own_ore = share;
    emit(message, &event);
    return OK;
}

static status_t check_complete(struct message *message, const struct dossier *dossier)
{
    struct faults faults = {.arena = message->arena, .complete = true};
    const struct application *application = &dossier->application;

    content_check(&faults, dossier, application->content);
    return faults_refuse(message, &faults,
                         arena_printf(message->arena, "application %s is not complete", application->id));
}

static status_t check_requestable(struct message *message, const struct application *application,
                                  const RequestApproval *command)
{
    status_t status = check_version(message, application, "expected_version", command->expected_version);
    if (status == OK && application->state == AWAITING_APPROVAL)
        status = fail(message, REFUSED, "version %u of application %s awaits approval already",
                      application->content_version, application->id);
    if (status == OK && application->content_version == 0)
        status = fail(message, REFUSED, "application %s has no content yet; save it first", application->id);
    return status;
}

status_t rule_request(struct message *message, const struct dossier *dossier, const RequestApproval *command)
{
    const struct application *application = &dossier->application;

    status_t status = check_lead(message, application, command->application_id);
    if (status == OK)
        status = check_undelivered(message, dossier);
    if (status == OK)
        status = check_requestable(message, application, command);
    if (status == OK)
        status = check_still_open(message, &dossier->call);
    if (status == OK)
        status = check_complete(message, dossier);
    if (status != OK)
        return status;

    ApprovalRequested event = INTAKE__V1__APPROVAL_REQUESTED__INIT;
    event.application_id = command->application_id;
    event.call_id = arena_text(message->arena, application->call_id);
    event.organisation_number = arena_text(message->arena, application->lead);
    event.content_version = application->content_version;
    event.content_sha256 = arena_text(message->arena, application->content_sha256);
    event.applied_ore = application->content->budget[0]->grant_ore;
    emit(message, &event);
    return OK;
}

status_t rule_withdraw(struct message *message, const struct dossier *dossier, const Withdraw *command)
{
    const struct application *application = &dossier->application;
    bool delivered = application->state == SUBMITTED || application->state == SUBMITTED_LATE;

    status_t status = check_lead(message, application, command->application_id);
    if (status == OK && !delivered && !undelivered(application))
        status = fail(message, REFUSED, "application %s is %s; there is nothing to withdraw", application->id,
                      state_text(application->state));
    if (status == OK && *dossier->decision != '\0')
        status = fail(message, REFUSED, "application %s is %s; it could be withdrawn until it was decided",
                      application->id, dossier->decision);
    if (status == OK)
        status = field_reason(message, command->reason);
    if (status != OK)
        return status;

    ApplicationWithdrawn event = INTAKE__V1__APPLICATION_WITHDRAWN__INIT;
    event.application_id = command->application_id;
    event.call_id = arena_text(message->arena, application->call_id);
    event.reason = command->reason;
    event.delivered = delivered;
    emit(message, &event);
    return OK;
}

status_t rule_expire(struct message *message, const struct dossier *dossier, const ExpireDraft *command)
{
    const struct application *application = &dossier->application;

    status_t status = check_known(message, application, command->application_id);
    if (status == OK && !undelivered(application))
        status = fail(message, REFUSED, "application %s is %s; only an undelivered draft expires",
                      application->id, state_text(application->state));
    if (status == OK && message->at_us < dossier->call.expires_at_us)
        status = fail(message, REFUSED, "application %s expires %s", application->id,
                      oslo_text(message->arena, dossier->call.expires_at_us));
    if (status != OK)
        return status;

    DraftExpired event = INTAKE__V1__DRAFT_EXPIRED__INIT;
    event.application_id = command->application_id;
    event.call_id = arena_text(message->arena, application->call_id);
    emit(message, &event);
    return OK;
}

// ---------------------------------------------------------------------------------------------- signatures

// Why a signature does not deliver the application; NULL when it does. A draft that the clock ended before
// the signature was heard is still delivered when it was signed before that: what counts is when the
// signature was received.
static const char *misfit(struct message *message, const struct dossier *dossier, const SignedOff *event)
{
    const struct application *application = &dossier->application;

    if (!undelivered(application) && application->state != EXPIRED)
        return arena_printf(message->arena, "the application is %s", state_text(application->state));
    if (application->requested_version == 0)
        return "the application was edited or returned after approval was requested";
    if (event->version != application->requested_version ||
        strcmp(event->content_sha256, application->content_sha256) != 0)
        return arena_printf(message->arena, "version %u was signed, but version %u awaits approval",
                            event->version, application->requested_version);
    if (event->signed_at_us >= dossier->call.expires_at_us)
        return arena_printf(message->arena, "the draft expired %s, before it was signed",
                            oslo_text(message->arena, dossier->call.expires_at_us));
    if (event->signed_at_us >= dossier->call.deadline_at_us && !dossier->call.late_filing)
        return arena_printf(message->arena,
                            "it was signed after the deadline, %s, and the call takes no late applications",
                            oslo_text(message->arena, dossier->call.deadline_at_us));
    return NULL;
}

static void emit_disregarded(struct message *message, const SignedOff *signed_off, const char *reason)
{
    SignOffDisregarded event = INTAKE__V1__SIGN_OFF_DISREGARDED__INIT;

    event.application_id = signed_off->application_id;
    event.content_version = signed_off->version;
    event.reason = arena_text(message->arena, reason);
    emit(message, &event);
}

static void emit_submitted(struct message *message, const struct dossier *dossier,
                           const SignedOff *signed_off)
{
    const struct application *application = &dossier->application;
    const size_t signatures = signed_off->n_signatures;
    ApplicationSubmitted submitted = INTAKE__V1__APPLICATION_SUBMITTED__INIT;
    ApplicationSubmittedLate late = INTAKE__V1__APPLICATION_SUBMITTED_LATE__INIT;

    submitted.application_id = signed_off->application_id;
    submitted.call_id = arena_text(message->arena, application->call_id);
    submitted.organisation_number = arena_text(message->arena, application->lead);
    submitted.municipality_number = arena_text(message->arena, application->municipality_number);
    submitted.name = arena_text(message->arena, application->name);
    submitted.content_version = application->content_version;
    submitted.content_sha256 = signed_off->content_sha256;
    submitted.content = application->content;
    submitted.signed_at_us = signed_off->signed_at_us;
    submitted.deadline_at_us = dossier->call.deadline_at_us;
    submitted.signed_by = signatures > 0 ? signed_off->signatures[signatures - 1]->person
                                         : submitted.signed_by;
    submitted.applied_ore = application->content->budget[0]->grant_ore;
    late.application_id = signed_off->application_id;
    late.submission = &submitted;
    late.late_us = signed_off->signed_at_us - dossier->call.deadline_at_us;
    emit(message, late.late_us < 0 ? (const void *)&submitted : &late);
}

status_t rule_signed_off(struct message *message, const struct dossier *dossier, const SignedOff *event)
{
    const char *reason;

    if (event->kind != TYPES__V1__SIGN_OFF_KIND__APPLICATION || !dossier->application.known)
        return OK;
    reason = misfit(message, dossier, event);
    if (reason == NULL)
        emit_submitted(message, dossier, event);
    else
        emit_disregarded(message, event, reason);
    return OK;
}

status_t rule_returned(struct message *message, const struct dossier *dossier, const SignOffReturned *event)
{
    const struct application *application = &dossier->application;

    if (event->kind != TYPES__V1__SIGN_OFF_KIND__APPLICATION || !application->known ||
        application->state != AWAITING_APPROVAL || event->version != application->requested_version)
        return OK;

    ApprovalReturned returned = INTAKE__V1__APPROVAL_RETURNED__INIT;
    returned.application_id = event->application_id;
    returned.note = event->note;
    emit(message, &returned);
    return OK;
}

// ------------------------------------------------------------------------------------------------- queries

status_t rule_see(struct message *message, const struct application *application, const char *application_id)
{
    const char *own = message->actor->organisation;
    bool municipal = (ROLES_MUNICIPALITY & (UINT64_C(1) << message->actor->role)) != 0;

    status_t status = check_known(message, application, application_id);
    if (status == OK && municipal && strcmp(own, application->lead) != 0 &&
        !content_has_partner(application->content, own))
        status = fail(message, REFUSED,
                      "application %s is not organisation %.20s's; only its lead and partners see it",
                      application->id, own);
    return status;
}

static void list_missing(struct faults *faults, const struct dossier *dossier)
{
    const struct application *application = &dossier->application;

    if (*application->disregarded != '\0')
        fault(faults, "the last signature did not count: %s", application->disregarded);
    if (application->state != DRAFT)
        return;
    if (application->content == NULL)
        fault(faults, "content is missing; nothing has been saved yet");
    else
        content_check(faults, dossier, application->content);
}

static void show_partners(struct message *message, const struct dossier *dossier, Application *ret)
{
    const Content *content = dossier->application.content;
    size_t count = content == NULL ? 0 : content->n_partners;

    ret->confirmed_partners = arena_alloc(message->arena, (count + 1) * sizeof *ret->confirmed_partners);
    for (size_t i = 0; i < count; i++)
        if (content_confirmed(dossier, content, content->partners[i]->organisation_number))
            ret->confirmed_partners[ret->n_confirmed_partners++] = content->partners[i]->organisation_number;
}

status_t rule_show(struct message *message, const struct dossier *dossier)
{
    const struct application *application = &dossier->application;
    struct faults faults = {.arena = message->arena, .complete = true};
    const int room = sizeof faults.texts / sizeof faults.texts[0];
    Application shown = INTAKE__V1__APPLICATION__INIT;

    list_missing(&faults, dossier);
    shown.application_id = arena_text(message->arena, application->id);
    shown.call_id = arena_text(message->arena, application->call_id);
    shown.organisation_number = arena_text(message->arena, application->lead);
    shown.state = (Intake__V1__Application__State)application->state;
    shown.content_version = application->content_version;
    shown.content_sha256 = arena_text(message->arena, application->content_sha256);
    shown.content = application->content;
    show_partners(message, dossier, &shown);
    shown.n_missing = (size_t)(faults.count < room ? faults.count : room);
    shown.missing = (char **)faults.texts;
    shown.erased_at_us = dossier->erasure.at_us;
    if (dossier->erasure.ground != NULL)
        shown.erased_ground = arena_text(message->arena, dossier->erasure.ground);
    answer(message, &shown);
    return OK;
}
