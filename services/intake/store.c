// store: what intake fetches and keeps. Loads for the rules, one apply for each of its events, one hear for
// each event of others that it remembers. No decisions.
#include "intake.h"

#include "intake_store.sql.h"
#include "values/values.h"

#include <string.h>

#define HOUR_US (INT64_C(3600) * 1000 * 1000)

// --------------------------------------------------------------------------------------------------- loads

static status_t run_text(struct message *message, const struct sql *sql, const char *text, struct rows *ret)
{
    struct arg arg = TEXT(text);

    return db_run(message, sql, &arg, 1, ret);
}

static const char *keep_text(struct message *message, const struct rows *rows, int row, int column)
{
    return arena_text(message->arena, row_text(rows, row, column));
}

// As it was published; nothing changes it.
static status_t load_definition(struct message *message, struct call *call)
{
    struct rows rows;

    status_t status = run_text(message, &sql_find_definition, call->id, &rows);
    if (status != OK || rows.count == 0)
        return status;
    ProtobufCBinaryData bytes = row_bytes(&rows, 0, 0);
    return message_decode(message, &types__v1__call_definition__descriptor, bytes.data, bytes.len,
                          &call->definition);
}

// What a call says now, from three columns that stand side by side.
static void read_call_state(const struct rows *rows, int column, struct call *ret)
{
    ret->deadline_at_us = row_int(rows, 0, column);
    ret->expires_at_us = ret->deadline_at_us + row_int(rows, 0, column + 1) * HOUR_US;
    ret->late_filing = row_int(rows, 0, column + 2) != 0;
}

status_t store_load_call(struct message *message, const char *id, enum lock lock, struct call *ret)
{
    struct rows rows;

    *ret = (struct call){.id = id};
    status_t status = run_text(message, lock == LOCK_UPDATE ? &sql_load_call : &sql_find_call, id, &rows);
    if (status != OK || rows.count == 0)
        return status;
    ret->known = true;
    ret->id = keep_text(message, &rows, 0, 0);
    read_call_state(&rows, 1, ret);
    ret->closed = row_int(&rows, 0, 4) != 0;
    return load_definition(message, ret);
}

status_t store_load_opening(struct message *message, const CallDefinition *definition, struct opening *ret)
{
    struct rows rows;

    *ret = (struct opening){0};
    if (definition == NULL)
        return OK;
    status_t status = store_load_call(message, definition->call_id, LOCK_UPDATE, &ret->call);
    if (status == OK)
        status = store_load_call(message, definition->parent_call_id, LOCK_NONE, &ret->parent);
    if (status == OK)
        status = RUN(message, find_reservation, &rows, TEXT(definition->call_id),
                     TEXT(definition->parent_call_id));
    if (status == OK && rows.count > 0)
        ret->reserved_ore = row_int(&rows, 0, 0);
    return status;
}

status_t store_load_extension(struct message *message, const ExtendDeadline *command, struct extension *ret)
{
    struct rows rows;

    *ret = (struct extension){0};
    status_t status = store_load_call(message, command->call_id, LOCK_UPDATE, &ret->call);
    if (status == OK)
        status = RUN(message, load_late, &rows, TEXT(command->call_id), INT(command->deadline_at_us));
    if (status != OK)
        return status;
    ret->count = rows.count;
    ret->late = arena_alloc(message->arena, ((size_t)rows.count + 1) * sizeof *ret->late);
    for (int i = 0; i < rows.count; i++)
        ret->late[i] = keep_text(message, &rows, i, 0);
    return OK;
}

status_t store_list_calls(struct message *message, Calls *ret)
{
    struct rows rows;

    status_t status = RUN0(message, list_calls, &rows);
    if (status != OK)
        return status;
    ret->call_ids = arena_alloc(message->arena, ((size_t)rows.count + 1) * sizeof *ret->call_ids);
    for (int i = 0; i < rows.count; i++)
        ret->call_ids[ret->n_call_ids++] = arena_text(message->arena, row_text(&rows, i, 0));
    return OK;
}

static Organisation *read_organisation(struct message *message, const struct rows *rows, int row)
{
    Organisation *organisation = arena_alloc(message->arena, sizeof *organisation);

    intake__v1__organisation__init(organisation);
    organisation->organisation_number = arena_text(message->arena, row_text(rows, row, 0));
    organisation->name = arena_text(message->arena, row_text(rows, row, 1));
    organisation->form = arena_text(message->arena, row_text(rows, row, 2));
    organisation->municipality_number = arena_text(message->arena, row_text(rows, row, 3));
    organisation->language = arena_text(message->arena, row_text(rows, row, 4));
    return organisation;
}

static status_t find_organisations(struct message *message, const char *const numbers[], int count,
                                   struct organisations *ret)
{
    status_t status = OK;

    // All at once, so that only the first is waited for; one by itself may have been asked ahead already.
    for (int i = 0; status == OK && count > 1 && i < count; i++)
        status = AHEAD(message, find_organisation, TEXT(numbers[i]));
    for (int i = 0; status == OK && i < count; i++) {
        struct rows rows;
        status = run_text(message, &sql_find_organisation, numbers[i], &rows);
        if (status == OK && rows.count > 0)
            ret->all[ret->count++] = read_organisation(message, &rows, 0);
    }
    return status;
}

static status_t hold_organisations(struct message *message, const char *const numbers[], int count,
                                   struct organisations *ret)
{
    struct rows rows;

    status_t status = RUN(message, load_organisations, &rows, db_text_array(message, numbers, count));
    for (int i = 0; status == OK && i < rows.count; i++)
        ret->all[ret->count++] = read_organisation(message, &rows, i);
    return status;
}

status_t store_load_organisations(struct message *message, const char *const numbers[], int count,
                                  enum lock lock, struct organisations *ret)
{
    *ret = (struct organisations){.all = arena_alloc(message->arena, ((size_t)count + 1) * sizeof *ret->all)};
    return lock == LOCK_UPDATE ? hold_organisations(message, numbers, count, ret)
                               : find_organisations(message, numbers, count, ret);
}

static status_t read_application(struct message *message, const struct rows *rows, struct dossier *ret)
{
    struct application *application = &ret->application;

    application->known = true;
    application->id = keep_text(message, rows, 0, 0);
    application->call_id = keep_text(message, rows, 0, 1);
    application->lead = keep_text(message, rows, 0, 2);
    application->municipality_number = keep_text(message, rows, 0, 3);
    application->name = keep_text(message, rows, 0, 4);
    application->state = (enum application_state)row_int(rows, 0, 5);
    application->content_version = (uint32_t)row_int(rows, 0, 6);
    application->content_sha256 = keep_text(message, rows, 0, 8);
    application->requested_version = (uint32_t)row_int(rows, 0, 9);
    application->disregarded = keep_text(message, rows, 0, 10);
    ret->call = (struct call){.known = true, .id = application->call_id};
    read_call_state(rows, 11, &ret->call);
    if (row_null(rows, 0, 7))
        return OK;
    ProtobufCBinaryData bytes = row_bytes(rows, 0, 7);
    return message_decode(message, &intake__v1__content__descriptor, bytes.data, bytes.len,
                          &application->content);
}

status_t store_load_application(struct message *message, const char *id, enum lock call_lock, enum lock lock,
                                struct dossier *ret)
{
    struct rows rows;
    status_t status = OK;

    *ret = (struct dossier){.application = {.id = id}, .decision = ""};
    if (call_lock == LOCK_SHARE)
        status = run_text(message, &sql_hold_call_of, id, &rows);
    if (status == OK)
        status = run_text(message, lock == LOCK_UPDATE ? &sql_load_application : &sql_find_application, id,
                          &rows);
    if (status == OK && rows.count > 0)
        status = read_application(message, &rows, ret);
    return status;
}

static status_t load_partners(struct message *message, struct dossier *dossier)
{
    const Content *content = dossier->application.content;
    size_t count = content == NULL ? 0 : content->n_partners;
    const char **numbers = arena_alloc(message->arena, (count + 1) * sizeof *numbers);

    for (size_t i = 0; i < count; i++)
        numbers[i] = content->partners[i]->organisation_number;
    return store_load_organisations(message, numbers, (int)count, LOCK_NONE, &dossier->organisations);
}

static status_t load_confirmations(struct message *message, struct dossier *dossier)
{
    struct confirmation *confirmations;
    struct rows rows;

    status_t status = RUN(message, list_confirmations, &rows, TEXT(dossier->application.id));
    if (status != OK)
        return status;
    confirmations = arena_alloc(message->arena, ((size_t)rows.count + 1) * sizeof *confirmations);
    for (int i = 0; i < rows.count; i++)
        confirmations[i] = (struct confirmation){.organisation_number = keep_text(message, &rows, i, 1),
                                                 .own_ore = row_int(&rows, i, 2)};
    dossier->n_confirmations = rows.count;
    dossier->confirmations = confirmations;
    return OK;
}

status_t store_load_surroundings(struct message *message, struct dossier *dossier)
{
    if (!dossier->application.known)
        return OK;
    status_t status = load_definition(message, &dossier->call);
    if (status == OK)
        status = load_partners(message, dossier);
    if (status == OK)
        status = load_confirmations(message, dossier);
    return status;
}

status_t store_load_decision(struct message *message, struct dossier *dossier)
{
    struct rows rows;

    status_t status = RUN(message, find_decision, &rows, TEXT(dossier->application.id));
    if (status == OK && rows.count > 0)
        dossier->decision = keep_text(message, &rows, 0, 0);
    return status;
}

// ------------------------------------------------------------------------------------------- asked ahead of loads

status_t store_ahead_start(struct message *message, const void *body)
{
    const StartDraft *command = body;
    const char *own = message->actor->organisation;

    will_add(message, "application", command->application_id);
    status_t status = AHEAD(message, load_application, TEXT(command->application_id));
    if (status == OK)
        status = AHEAD(message, find_call, TEXT(command->call_id));
    if (status == OK)
        status = AHEAD(message, find_organisation, TEXT(own));
    return status;
}

status_t store_ahead_application(struct message *message, const void *body)
{
    const char *id = message_field(body, "application_id");

    will_add(message, "application", id);
    return AHEAD(message, load_application, TEXT(id));
}

status_t store_ahead_participation(struct message *message, const void *body)
{
    status_t status = store_ahead_application(message, body);
    if (status == OK)
        status = AHEAD(message, list_confirmations, TEXT(message_field(body, "application_id")));
    return status;
}

status_t store_ahead_signed_off(struct message *message, const void *body)
{
    const SignedOff *event = body;

    if (event->kind == TYPES__V1__SIGN_OFF_KIND__APPLICATION)
        will_add(message, "application", event->application_id);
    status_t status = AHEAD(message, hold_call_of, TEXT(event->application_id));
    return status == OK ? AHEAD(message, load_application, TEXT(event->application_id)) : status;
}

// -------------------------------------------------------------------------------------------------- applies

// An event changes exactly one row. Anything else means that the tables are not what the log says: CHANGE.

status_t store_organisation_registered(struct message *message, const void *body)
{
    const Organisation *organisation = ((const OrganisationRegistered *)body)->organisation;

    return CHANGE(message, put_organisation, TEXT(organisation->organisation_number),
                  TEXT(organisation->name), TEXT(organisation->form), TEXT(organisation->municipality_number),
                  TEXT(organisation->language));
}

status_t store_call_published(struct message *message, const void *body)
{
    const CallPublished *event = body;
    size_t size;
    const uint8_t *definition = message_encode(message->arena, event->definition, &size);

    return CHANGE(message, add_call, TEXT(event->call_id), BYTES(definition, size),
                  INT(event->definition->deadline_at_us), INT(event->definition->draft_expires_hours),
                  BOOL(event->definition->late_filing));
}

status_t store_deadline_extended(struct message *message, const void *body)
{
    const DeadlineExtended *event = body;

    return CHANGE(message, move_deadline, TEXT(event->call_id), INT(event->deadline_at_us));
}

status_t store_call_closed(struct message *message, const void *body)
{
    const CallClosed *event = body;

    return CHANGE(message, close_call, TEXT(event->call_id));
}

status_t store_application_drafted(struct message *message, const void *body)
{
    const ApplicationDrafted *event = body;

    return CHANGE(message, add_application, TEXT(event->application_id), TEXT(event->call_id),
                  TEXT(event->organisation_number), TEXT(event->municipality_number), TEXT(event->name));
}

status_t store_draft_saved(struct message *message, const void *body)
{
    const DraftSaved *event = body;
    size_t size;
    const uint8_t *content = message_encode(message->arena, event->content, &size);

    return CHANGE(message, save_content, TEXT(event->application_id), INT(event->content_version),
                  BYTES(content, size), TEXT(sha256_text(message->arena, content, size)));
}

status_t store_participation_confirmed(struct message *message, const void *body)
{
    const ParticipationConfirmed *event = body;

    return CHANGE(message, put_confirmation, TEXT(event->application_id), TEXT(event->organisation_number),
                  INT(event->own_ore));
}

status_t store_approval_requested(struct message *message, const void *body)
{
    const ApprovalRequested *event = body;

    return CHANGE(message, freeze_content, TEXT(event->application_id), INT(event->content_version));
}

status_t store_approval_returned(struct message *message, const void *body)
{
    const ApprovalReturned *event = body;

    return CHANGE(message, thaw_content, TEXT(event->application_id));
}

static status_t deliver(struct message *message, const char *id, enum application_state state,
                        int64_t signed_at_us)
{

    return CHANGE(message, deliver_application, TEXT(id), INT(state), INT(signed_at_us));
}

status_t store_application_submitted(struct message *message, const void *body)
{
    const ApplicationSubmitted *event = body;

    return deliver(message, event->application_id, SUBMITTED, event->signed_at_us);
}

status_t store_application_submitted_late(struct message *message, const void *body)
{
    const ApplicationSubmittedLate *event = body;

    return deliver(message, event->application_id, SUBMITTED_LATE, event->submission->signed_at_us);
}

static status_t set_state(struct message *message, const char *id, enum application_state state)
{

    return CHANGE(message, end_application, TEXT(id), INT(state));
}

status_t store_late_became_timely(struct message *message, const void *body)
{
    return set_state(message, ((const LateBecameTimely *)body)->application_id, SUBMITTED);
}

status_t store_sign_off_disregarded(struct message *message, const void *body)
{
    const SignOffDisregarded *event = body;

    return CHANGE(message, disregard_signature, TEXT(event->application_id), TEXT(event->reason));
}

status_t store_application_withdrawn(struct message *message, const void *body)
{
    return set_state(message, ((const ApplicationWithdrawn *)body)->application_id, WITHDRAWN);
}

status_t store_draft_expired(struct message *message, const void *body)
{
    return set_state(message, ((const DraftExpired *)body)->application_id, EXPIRED);
}

// ---------------------------------------------------------------------------------------------------- hears

status_t store_frame_reserved(struct message *message, const void *body)
{
    const FrameReserved *event = body;

    return RUN(message, put_reservation, NULL, TEXT(event->extra_call_id), TEXT(event->call_id),
               INT(event->amount_ore));
}

static status_t put_decision(struct message *message, const char *application_id, const char *decision)
{
    return RUN(message, put_decision, NULL, TEXT(application_id), TEXT(decision));
}

status_t store_application_rejected(struct message *message, const void *body)
{
    return put_decision(message, ((const ApplicationRejected *)body)->application_id, "rejected");
}

status_t store_award_decided(struct message *message, const void *body)
{
    return put_decision(message, ((const AwardDecided *)body)->application_id, "awarded");
}

status_t store_application_refused(struct message *message, const void *body)
{
    return put_decision(message, ((const ApplicationRefused *)body)->application_id, "refused");
}
