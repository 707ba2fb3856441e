// What is allowed with what was awarded: the letter, its acceptance, and giving it back.
#include "rules.h"

#include "values/values.h"

#include <assert.h>
#include <string.h>

// --------------------------------------------------------------------------- letter and acceptance

// Nothing has been paid, and nothing is on its way to be.
static status_t is_unpaid(struct message *message, const struct grant *grant, const char *what)
{
    if (grant->paid_ore > 0 || grant->claimed_ore > 0)
        return fail(message, REFUSED, "the grant of application %s is paid, so it can not be %s", grant->id,
                    what);
    if (grant->payment_under_way)
        return fail(message, REFUSED,
                    "a payment of the grant of application %s is under way, so it can not be %s: wait for "
                    "what the bank says",
                    grant->id, what);
    return OK;
}

status_t rule_issue_letter(struct message *message, const struct grant *grant, const IssueLetter *command)
{
    GrantLetter letter = ALLOCATION__V1__GRANT_LETTER__INIT;
    status_t status = grant_is_in(message, grant, LIVE, "given a letter");
    if (status == OK)
        status = is_unpaid(message, grant, "given a new letter");
    if (status == OK && grant->letter_version > 0)
        status = needs_text(message, "reason", command->reason, grant->id);
    if (status == OK)
        status = text_fits(message, "reason", command->reason, LIMIT_TEXT_BYTES, grant->id);
    if (status == OK)
        status = letter_write(message, grant, &letter);
    if (status != OK)
        return status;

    size_t size;
    uint8_t *bytes = message_encode(message->arena, &letter, &size);
    GrantLetterIssued event = ALLOCATION__V1__GRANT_LETTER_ISSUED__INIT;
    event.application_id = command->application_id;
    event.call_id = (char *)grant->call.id;
    event.letter = &letter;
    event.letter_sha256 = sha256_text(message->arena, bytes, size);
    event.reason = command->reason;
    status = event_fits(message, &event.base, "the letter", grant->id);
    if (status == OK)
        emit(message, &event);
    return status;
}

static bool is_among(char *const texts[], size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(texts[i], text) == 0)
            return true;
    return false;
}

// Every condition of the letter, each once, and no other.
static status_t conditions_fit(struct message *message, const struct grant *grant, const Accept *command)
{
    const GrantLetter *letter = grant->letter;
    for (size_t i = 0; i < letter->n_conditions; i++)
        if (!is_among(command->conditions, command->n_conditions, letter->conditions[i]->id))
            return fail(message, REFUSED,
                        "condition %s of the letter of application %s is not accepted, and every one must "
                        "be",
                        letter->conditions[i]->id, grant->id);
    if (command->n_conditions != letter->n_conditions)
        return fail(message, REFUSED,
                    "conditions of application %s are %zu, and the letter has %zu: accept each once",
                    grant->id, command->n_conditions, letter->n_conditions);
    return OK;
}

static status_t letter_fits(struct message *message, const struct grant *grant, const Accept *command)
{
    if (message->at_us >= grant->accept_by_at_us)
        return fail(message, REFUSED, "the grant of application %s had to be accepted before %s", grant->id,
                    oslo_text(message->arena, grant->accept_by_at_us));
    if (command->letter_version != grant->letter_version)
        return fail(message, REFUSED,
                    "letter_version %u of application %s is not the current one, which is %u",
                    command->letter_version, grant->id, grant->letter_version);
    if (strcmp(command->letter_sha256, grant->letter_sha256) != 0)
        return fail(message, REFUSED, "letter_sha256 is not that of letter %u of application %s, which is %s",
                    grant->letter_version, grant->id, grant->letter_sha256);
    return conditions_fit(message, grant, command);
}

static status_t account_fits(struct message *message, const struct grant *grant, const Accept *command)
{
    if (!account_number_valid(command->account_number))
        return fail(message, REFUSED,
                    "account_number %s for application %s is none: 11 digits with a right check digit",
                    command->account_number, grant->id);
    if (*command->kid && !kid_valid(command->kid))
        return fail(message, REFUSED,
                    "kid %s for application %s is none: 2 to 25 digits with a right check digit, or empty",
                    command->kid, grant->id);
    if (!text_is_blank(command->remark))
        return fail(message, REFUSED,
                    "remark on application %s must be empty: a remark that changes a condition is not an "
                    "acceptance",
                    grant->id);
    return text_fits(message, "project_number", command->project_number, LIMIT_LINE_BYTES, grant->id);
}

status_t rule_accept(struct message *message, const struct grant *grant, const Accept *command)
{
    status_t status = actor_is_lead(message, grant);
    if (status == OK)
        status = grant_is_in(message, grant, OFFERED, "accepted");
    if (status == OK)
        status = letter_fits(message, grant, command);
    if (status == OK)
        status = account_fits(message, grant, command);
    if (status != OK)
        return status;

    size_t size;
    uint8_t *bytes = message_encode(message->arena, command, &size);
    AcceptancePrepared event = ALLOCATION__V1__ACCEPTANCE_PREPARED__INIT;
    event.application_id = command->application_id;
    event.call_id = (char *)grant->call.id;
    event.organisation_number = (char *)grant->organisation_number;
    event.letter_version = command->letter_version;
    event.acceptance_sha256 = sha256_text(message->arena, bytes, size);
    event.acceptance = (Accept *)command;
    event.acceptance_version = (grant->acceptance ? grant->acceptance->acceptance_version : 0) + 1;
    event.amount_ore = grant->award->amount_ore;
    emit(message, &event);
    return OK;
}

// Why a signature does not make the acceptance count; NULL when it does.
static const char *why_disregarded(struct message *message, const struct grant *grant, const SignedOff *event)
{
    const AcceptancePrepared *acceptance = grant->acceptance;
    if (!(OFFERED & STATE(grant->state)))
        return arena_printf(message->arena, "the grant is %s", state_text(grant->state));
    if (!acceptance || event->version != acceptance->acceptance_version ||
        strcmp(event->content_sha256, acceptance->acceptance_sha256) != 0)
        return "another acceptance was prepared since the one that was signed";
    if (acceptance->letter_version != grant->letter_version)
        return arena_printf(message->arena, "letter %u was signed, and letter %u is the current one",
                            acceptance->letter_version, grant->letter_version);
    if (event->signed_at_us >= grant->accept_by_at_us)
        return "it was signed after the time to accept had passed";
    return NULL;
}

void rule_signed_off(struct message *message, const struct grant *grant, const SignedOff *signed_off)
{
    if (!grant->known || signed_off->kind != TYPES__V1__SIGN_OFF_KIND__ACCEPTANCE)
        return;
    const char *why = why_disregarded(message, grant, signed_off);
    if (why) {
        AcceptanceDisregarded event = ALLOCATION__V1__ACCEPTANCE_DISREGARDED__INIT;
        event.application_id = signed_off->application_id;
        event.reason = (char *)why;
        emit(message, &event);
        return;
    }
    GrantAccepted event = ALLOCATION__V1__GRANT_ACCEPTED__INIT;
    event.application_id = signed_off->application_id;
    event.call_id = (char *)grant->call.id;
    event.organisation_number = (char *)grant->organisation_number;
    event.name = (char *)grant->name;
    event.year = grant->award->year;
    event.amount_ore = grant->award->amount_ore;
    event.letter_version = grant->letter_version;
    event.account_number = grant->acceptance->acceptance->account_number;
    event.kid = grant->acceptance->acceptance->kid;
    event.signed_by = signed_off->n_signatures ? signed_off->signatures[0]->person : "";
    event.instalments = grant->letter->instalments;
    emit(message, &event);
}

static void emit_declined(struct message *message, const struct grant *grant, char *reason)
{
    GrantDeclined event = ALLOCATION__V1__GRANT_DECLINED__INIT;
    event.application_id = (char *)grant->id;
    event.call_id = (char *)grant->call.id;
    event.reason = reason;
    event.n_postings = 1;
    event.postings = post_release(message, grant);
    emit(message, &event);
}

status_t rule_decline(struct message *message, const struct grant *grant, const Decline *command)
{
    status_t status = actor_is_lead(message, grant);
    if (status == OK)
        status = grant_is_in(message, grant, OFFERED, "declined");
    if (status == OK)
        status = needs_text(message, "reason", command->reason, grant->id);
    if (status == OK)
        emit_declined(message, grant, command->reason);
    return status;
}

// Withdrawn before anyone had heard of the award: the money goes back at once.
void rule_withdrawn(struct message *message, const struct grant *grant, const ApplicationWithdrawn *event)
{
    (void)event;
    if (grant->known && ((OFFERED | STATE(GRANT_AWARDED)) & STATE(grant->state)))
        emit_declined(message, grant, "the application was withdrawn");
}

status_t rule_extend(struct message *message, const struct grant *grant, const ExtendAcceptance *command)
{
    status_t status = grant_is_in(message, grant, OFFERED, "given more time");
    if (status != OK)
        return status;
    int64_t year_end_us = 0;
    bool exists = oslo_midnight(grant->award->year + 1, 1, 1, &year_end_us);
    assert(exists && "a year has an end");
    if (message->at_us >= grant->accept_by_at_us)
        return fail(message, REFUSED,
                    "the time to accept the grant of application %s has passed, and more can not be given "
                    "after that",
                    grant->id);
    if (command->accept_by_at_us <= grant->accept_by_at_us)
        return fail(message, REFUSED,
                    "accept_by_at_us of application %s is not later than the present one, %s", grant->id,
                    oslo_text(message->arena, grant->accept_by_at_us));
    if (command->accept_by_at_us > year_end_us)
        return fail(message, REFUSED,
                    "accept_by_at_us of application %s is after the end of %d, whose money it is", grant->id,
                    grant->award->year);
    status = needs_text(message, "reason", command->reason, grant->id);
    if (status != OK)
        return status;

    AcceptanceExtended event = ALLOCATION__V1__ACCEPTANCE_EXTENDED__INIT;
    event.application_id = command->application_id;
    event.accept_by_at_us = command->accept_by_at_us;
    event.reason = command->reason;
    emit(message, &event);
    return OK;
}

status_t rule_miss(struct message *message, const struct grant *grant)
{
    status_t status = grant_is_in(message, grant, STATE(GRANT_OFFERED), "missed");
    if (status == OK && message->at_us < grant->accept_by_at_us)
        status = fail(message, REFUSED, "the time to accept the grant of application %s has not passed",
                      grant->id);
    if (status != OK)
        return status;

    AcceptanceMissed event = ALLOCATION__V1__ACCEPTANCE_MISSED__INIT;
    event.application_id = (char *)grant->id;
    event.accept_by_at_us = grant->accept_by_at_us;
    emit(message, &event);
    return OK;
}

status_t rule_lapse(struct message *message, const struct grant *grant, const ConfirmLapse *command)
{
    status_t status = grant_is_known(message, grant);
    if (status == OK && grant->state == GRANT_OFFERED)
        return fail(message, REFUSED,
                    "the time to accept the grant of application %s has not passed: it runs until %s",
                    grant->id, oslo_text(message->arena, grant->accept_by_at_us));
    if (status == OK)
        status = grant_is_in(message, grant, STATE(GRANT_MISSED), "lapsed");
    if (status == OK)
        status = needs_text(message, "reason", command->reason, grant->id);
    if (status != OK)
        return status;

    GrantLapsed event = ALLOCATION__V1__GRANT_LAPSED__INIT;
    event.application_id = command->application_id;
    event.call_id = (char *)grant->call.id;
    event.reason = command->reason;
    event.n_postings = 1;
    event.postings = post_release(message, grant);
    emit(message, &event);
    return OK;
}

status_t rule_renounce(struct message *message, const struct grant *grant, const Renounce *command)
{
    status_t status = actor_is_lead(message, grant);
    if (status == OK)
        status = grant_is_in(message, grant, STATE(GRANT_ACCEPTED), "renounced");
    if (status == OK)
        status = is_unpaid(message, grant, "renounced");
    if (status == OK)
        status = needs_text(message, "reason", command->reason, grant->id);
    if (status != OK)
        return status;

    GrantRenounced event = ALLOCATION__V1__GRANT_RENOUNCED__INIT;
    event.application_id = command->application_id;
    event.call_id = (char *)grant->call.id;
    event.reason = command->reason;
    event.n_postings = 1;
    event.postings = post_release(message, grant);
    emit(message, &event);
    return OK;
}

// ----------------------------------------------------------------------------------- who sees what

static bool from_municipality(const struct message *message)
{
    return message->actor->role < 64 && (ROLES_MUNICIPALITY & (UINT64_C(1) << message->actor->role));
}

status_t rule_show_letter(struct message *message, const struct grant *grant, Letter *ret)
{
    status_t status = from_municipality(message) ? actor_is_lead(message, grant)
                                                 : grant_is_known(message, grant);
    if (status == OK && !grant->letter)
        status = fail(message, REFUSED, "application %s has no letter", grant->id);
    if (status != OK)
        return status;

    const AcceptancePrepared *acceptance = grant->acceptance;
    ret->letter = (GrantLetter *)grant->letter;
    ret->letter_sha256 = (char *)grant->letter_sha256;
    ret->current = LIVE & STATE(grant->state);
    if (acceptance && (OFFERED & STATE(grant->state)) &&
        acceptance->letter_version == grant->letter_version) {
        ret->acceptance_version = acceptance->acceptance_version;
        ret->acceptance_sha256 = acceptance->acceptance_sha256;
    }
    return OK;
}
