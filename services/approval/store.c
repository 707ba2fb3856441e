// store: what approval fetches and keeps. Loads for the rules, one apply for each of its events, and the
// register of organisations as it is heard. No decisions.
#include "approval.h"

#include "approval_store.sql.h"

// --------------------------------------------------------------------------------------------------- loads

static char *keep_text(struct message *message, const struct rows *rows, int row, int column)
{
    return arena_text(message->arena, row_text(rows, row, column));
}

static struct signatory read_signatory(struct message *message, const struct rows *rows, int row)
{
    struct signatory signatory = {.known = true, .registered = APPROVAL__V1__SIGNATORY_REGISTERED__INIT};

    signatory.registered.signatory_id = keep_text(message, rows, row, 0);
    signatory.registered.organisation_number = keep_text(message, rows, row, 1);
    signatory.registered.person = keep_text(message, rows, row, 2);
    signatory.registered.capacity = (Approval__V1__Capacity)row_int(rows, row, 3);
    signatory.registered.giver = keep_text(message, rows, row, 4);
    signatory.registered.call_id = keep_text(message, rows, row, 5);
    signatory.registered.most_ore = row_int(rows, row, 6);
    signatory.registered.from_at_us = row_int(rows, row, 7);
    signatory.registered.to_at_us = row_int(rows, row, 8);
    signatory.registered.document_sha256 = keep_text(message, rows, row, 9);
    signatory.revoked = !row_null(rows, row, 10);
    signatory.revoked_at_us = row_int(rows, row, 10);
    return signatory;
}

status_t store_load_signatory(struct message *message, const char *id, struct signatory *ret)
{
    struct rows rows;

    *ret = (struct signatory){0};
    status_t status = RUN(message, load_signatory, &rows, TEXT(id));
    if (status == OK && rows.count > 0)
        *ret = read_signatory(message, &rows, 0);
    return status;
}

status_t store_load_own(struct message *message, const char *person, struct signatories *ret)
{
    struct rows rows;

    *ret = (struct signatories){0};
    status_t status = RUN(message, load_own, &rows, TEXT(person));
    if (status != OK)
        return status;
    ret->all = arena_alloc(message->arena, ((size_t)rows.count + 1) * sizeof *ret->all);
    ret->count = rows.count;
    for (int i = 0; i < rows.count; i++)
        ret->all[i] = read_signatory(message, &rows, i);
    return OK;
}

status_t store_load_organisation(struct message *message, const char *number, struct organisation *ret)
{
    struct rows rows;

    *ret = (struct organisation){0};
    status_t status = RUN(message, find_organisation, &rows, TEXT(number));
    if (status == OK && rows.count > 0)
        *ret = (struct organisation){
            .known = true, .name = keep_text(message, &rows, 0, 0), .form = keep_text(message, &rows, 0, 1)};
    return status;
}

static SignOffOpened read_opened(struct message *message, const struct rows *rows, int row)
{
    SignOffOpened opened = APPROVAL__V1__SIGN_OFF_OPENED__INIT;

    opened.sign_off_id = keep_text(message, rows, row, 0);
    opened.application_id = keep_text(message, rows, row, 1);
    opened.kind = (Types__V1__SignOffKind)row_int(rows, row, 2);
    opened.version = (uint32_t)row_int(rows, row, 3);
    opened.content_sha256 = keep_text(message, rows, row, 4);
    opened.organisation_number = keep_text(message, rows, row, 5);
    opened.call_id = keep_text(message, rows, row, 6);
    opened.amount_ore = row_int(rows, row, 7);
    return opened;
}

static Signature *read_signature(struct message *message, const struct rows *rows, int row)
{
    Signature *signature = arena_alloc(message->arena, sizeof *signature);

    approval__v1__signature__init(signature);
    signature->person = keep_text(message, rows, row, 0);
    signature->capacity = (Approval__V1__Capacity)row_int(rows, row, 1);
    signature->signatory_id = keep_text(message, rows, row, 2);
    signature->signed_at_us = row_int(rows, row, 3);
    return signature;
}

static status_t load_signatures(struct message *message, struct sign_off *sign_off)
{
    struct rows rows;

    status_t status = RUN(message, list_signatures, &rows, TEXT(sign_off->opened.sign_off_id),
                          INT(sign_off->opened.version));
    if (status != OK)
        return status;
    sign_off->signatures = arena_alloc(message->arena,
                                       ((size_t)rows.count + 1) * sizeof *sign_off->signatures);
    sign_off->n_signatures = (size_t)rows.count;
    for (int i = 0; i < rows.count; i++)
        sign_off->signatures[i] = read_signature(message, &rows, i);
    return OK;
}

status_t store_load_sign_off(struct message *message, const char *id, struct sign_off *ret)
{
    struct rows rows;

    *ret = (struct sign_off){0};
    status_t status = RUN(message, load_sign_off, &rows, TEXT(id));
    if (status != OK || rows.count == 0)
        return status;
    ret->known = true;
    ret->opened = read_opened(message, &rows, 0);
    ret->state = (enum sign_off_state)row_int(&rows, 0, 8);
    return load_signatures(message, ret);
}

status_t store_ahead_application(struct message *message, const void *body)
{
    const char *id = sign_off_id(message->arena, message_field(body, "application_id"), APPLICATION);

    will_add(message, "signoff", id);
    return AHEAD(message, load_sign_off, TEXT(id));
}

status_t store_ahead_saved(struct message *message, const void *body)
{
    return ((const DraftSaved *)body)->voided_request ? store_ahead_application(message, body) : OK;
}

status_t store_list_sign_offs(struct message *message, const char *organisation_number, SignOffs *ret)
{
    struct rows rows;

    status_t status = RUN(message, list_sign_offs, &rows, TEXT(organisation_number));
    if (status != OK)
        return status;
    ret->open = arena_alloc(message->arena, ((size_t)rows.count + 1) * sizeof *ret->open);
    for (int i = 0; i < rows.count; i++) {
        SignOffOpened opened = read_opened(message, &rows, i);
        ret->open[ret->n_open++] = arena_copy(message->arena, &opened, sizeof opened);
    }
    return OK;
}

status_t store_list_signatories(struct message *message, const char *organisation_number, int64_t at_us,
                                Signatories *ret)
{
    struct rows rows;

    status_t status = RUN(message, list_signatories, &rows, TEXT(organisation_number), INT(at_us));
    if (status != OK)
        return status;
    ret->signatories = arena_alloc(message->arena, ((size_t)rows.count + 1) * sizeof *ret->signatories);
    for (int i = 0; i < rows.count; i++) {
        struct signatory signatory = read_signatory(message, &rows, i);
        ret->signatories[ret->n_signatories++] = arena_copy(message->arena, &signatory.registered,
                                                            sizeof signatory.registered);
    }
    return OK;
}

// -------------------------------------------------------------------------------------------------- applies

// An event changes exactly one row. Anything else means that the tables are not what the log says: CHANGE.

status_t store_signatory_registered(struct message *message, const void *body)
{
    const SignatoryRegistered *event = body;

    return CHANGE(message, add_signatory, TEXT(event->signatory_id), TEXT(event->organisation_number),
                  TEXT(event->person), INT(event->capacity), TEXT(event->giver), TEXT(event->call_id),
                  INT(event->most_ore), INT(event->from_at_us), INT(event->to_at_us),
                  TEXT(event->document_sha256));
}

status_t store_signatory_revoked(struct message *message, const void *body)
{
    const SignatoryRevoked *event = body;

    return CHANGE(message, revoke_signatory, TEXT(event->signatory_id), INT(message->at_us));
}

// What was signed of a version does not count any more.
static status_t drop_signatures(struct message *message, const char *sign_off_id, uint32_t version)
{
    return RUN(message, drop_signatures, NULL, TEXT(sign_off_id), INT(version));
}

status_t store_sign_off_opened(struct message *message, const void *body)
{
    const SignOffOpened *event = body;

    status_t status = drop_signatures(message, event->sign_off_id, event->version);
    if (status == OK)
        status = CHANGE(message, open_sign_off, TEXT(event->sign_off_id), TEXT(event->application_id),
                        INT(event->kind), INT(event->version), TEXT(event->content_sha256),
                        TEXT(event->organisation_number), TEXT(event->call_id), INT(event->amount_ore));
    return status;
}

static status_t add_signature(struct message *message, const char *sign_off_id, uint32_t version,
                              const Signature *signature)
{
    return RUN(message, add_signature, NULL, TEXT(sign_off_id), INT(version), TEXT(signature->person),
               INT(signature->capacity), TEXT(signature->signatory_id), INT(signature->signed_at_us));
}

status_t store_signature_given(struct message *message, const void *body)
{
    const SignatureGiven *event = body;

    status_t status = add_signature(message, event->sign_off_id, event->version, event->signature);
    if (status == OK)
        status = CHANGE(message, count_signature, TEXT(event->sign_off_id), INT(event->version));
    return status;
}

// The earlier signatures of the version are there already; the last one is new.
status_t store_signed_off(struct message *message, const void *body)
{
    const SignedOff *event = body;

    status_t status = add_signature(message, event->sign_off_id, event->version,
                                    event->signatures[event->n_signatures - 1]);
    if (status == OK)
        status = CHANGE(message, complete_sign_off, TEXT(event->sign_off_id), INT(event->version));
    return status;
}

static status_t end_sign_off(struct message *message, const char *sign_off_id, uint32_t version,
                             enum sign_off_state state)
{
    status_t status = drop_signatures(message, sign_off_id, version);
    if (status == OK)
        status = CHANGE(message, end_sign_off, TEXT(sign_off_id), INT(version), INT(state));
    return status;
}

status_t store_sign_off_returned(struct message *message, const void *body)
{
    const SignOffReturned *event = body;

    return end_sign_off(message, event->sign_off_id, event->version, RETURNED);
}

status_t store_sign_off_voided(struct message *message, const void *body)
{
    const SignOffVoided *event = body;

    return end_sign_off(message, event->sign_off_id, event->version, VOIDED);
}

// ---------------------------------------------------------------------------------------------------- hears

status_t store_organisation_registered(struct message *message, const void *body)
{
    const OrganisationRegistered *event = body;

    return RUN(message, put_organisation, NULL, TEXT(event->organisation_number),
               TEXT(event->organisation->name), TEXT(event->organisation->form));
}
