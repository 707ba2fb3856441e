// signatories: who may sign for whom: registrations, mandates, and whether one of them carries a claim. Pure,
// as rules.c, which has the sign-offs.
#include "approval.h"

#include "values/values.h"

#include <string.h>

#define SUBJECT_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-"
#define CALL_CHARACTERS    "abcdefghijklmnopqrstuvwxyz0123456789-"

static bool made_of(const char *text, const char *characters, size_t least, size_t most)
{
    size_t size = strlen(text);

    return size >= least && size <= most && strspn(text, characters) == size;
}

const char *capacity_name(Approval__V1__Capacity capacity)
{
    return protobuf_c_enum_descriptor_get_value(&approval__v1__capacity__descriptor, (int)capacity)->name;
}

status_t check_prose(struct message *message, const char *field, const char *text)
{
    if (text[strspn(text, " \t\n")] == '\0')
        return fail(message, REFUSED, "%s is missing; say why, for those who read it later", field);
    if (strlen(text) > LIMIT_TEXT_BYTES)
        return fail(message, REFUSED, "%s is %zu bytes; at most %d are kept", field, strlen(text),
                    LIMIT_TEXT_BYTES);
    return OK;
}

// -------------------------------------------------------------------------------------------------- rights

// oslo_text shows a midnight as the last minute of the day that ends; here something begins or happens.
static const char *begin_text(struct message *message, int64_t at_us)
{
    return oslo_text(message->arena, at_us + 1);
}

static const char *registration_text(struct message *message, const SignatoryRegistered *registered)
{
    if (registered->capacity == MANDATE)
        return arena_printf(message->arena, "mandate %s of %s", registered->signatory_id, registered->person);
    return arena_printf(message->arena, "registration %s of %s as %s", registered->signatory_id,
                        registered->person, capacity_name(registered->capacity));
}

static const char *bar_organisation(struct message *message, const struct signatory *signatory,
                                    const struct claim *claim)
{
    const SignatoryRegistered *registered = &signatory->registered;

    if (strcmp(registered->organisation_number, claim->organisation_number) == 0)
        return NULL;
    return arena_printf(message->arena, "%s is registered for organisation %s, not for %s",
                        registered->person, registered->organisation_number, claim->organisation_number);
}

static const char *bar_capacity(struct message *message, const struct signatory *signatory,
                                const struct claim *claim)
{
    if ((claim->capacities & BIT(signatory->registered.capacity)) != 0)
        return NULL;
    return arena_printf(message->arena, "%s is registered as %s, which does not sign this",
                        signatory->registered.person, capacity_name(signatory->registered.capacity));
}

static const char *bar_call(struct message *message, const struct signatory *signatory,
                            const struct claim *claim)
{
    const SignatoryRegistered *registered = &signatory->registered;

    if (*registered->call_id == '\0' || strcmp(registered->call_id, claim->call_id) == 0)
        return NULL;
    return arena_printf(message->arena, "%s is for call %s; this is call %s",
                        registration_text(message, registered), registered->call_id, claim->call_id);
}

static const char *bar_amount(struct message *message, const struct signatory *signatory,
                              const struct claim *claim)
{
    const SignatoryRegistered *registered = &signatory->registered;

    if (registered->most_ore == 0 || claim->amount_ore <= registered->most_ore)
        return NULL;
    return arena_printf(
        message->arena, "%s reaches to %s; this is %s", registration_text(message, registered),
        money_text(message->arena, registered->most_ore), money_text(message->arena, claim->amount_ore));
}

static const char *bar_not_yet(struct message *message, const struct signatory *signatory,
                               const struct claim *claim)
{
    const SignatoryRegistered *registered = &signatory->registered;

    (void)claim;
    if (message->at_us >= registered->from_at_us)
        return NULL;
    return arena_printf(message->arena, "%s is not valid yet; it begins %s",
                        registration_text(message, registered), begin_text(message, registered->from_at_us));
}

static const char *bar_expired(struct message *message, const struct signatory *signatory,
                               const struct claim *claim)
{
    const SignatoryRegistered *registered = &signatory->registered;

    (void)claim;
    if (registered->to_at_us == 0 || message->at_us < registered->to_at_us)
        return NULL;
    return arena_printf(message->arena, "%s expired %s", registration_text(message, registered),
                        oslo_text(message->arena, registered->to_at_us));
}

static const char *bar_revoked(struct message *message, const struct signatory *signatory,
                               const struct claim *claim)
{
    (void)claim;
    if (!signatory->revoked || message->at_us < signatory->revoked_at_us)
        return NULL;
    return arena_printf(message->arena, "%s was revoked %s",
                        registration_text(message, &signatory->registered),
                        begin_text(message, signatory->revoked_at_us));
}

// What can stand between a registration and a claim. The further down the list it gets, the nearer it is to
// fitting.
static const char *(*const bars[])(struct message *message, const struct signatory *signatory,
                                   const struct claim *claim) = {
    bar_organisation, bar_capacity, bar_call, bar_amount, bar_not_yet, bar_expired, bar_revoked,
};
#define BARS (sizeof bars / sizeof bars[0])

status_t right_find(struct message *message, const struct signatories *own, const struct claim *claim,
                    const SignatoryRegistered **ret)
{
    const char *nearest = arena_printf(message->arena, "%s is not registered to sign for organisation %s",
                                       message->actor->subject, claim->organisation_number);
    size_t nearest_bar = 0;

    for (int i = 0; i < own->count; i++) {
        const char *barred = NULL;
        size_t bar = 0;
        while (bar < BARS && (barred = bars[bar](message, &own->all[i], claim)) == NULL)
            bar++;
        if (bar == BARS) {
            *ret = &own->all[i].registered;
            return OK;
        }
        if (bar >= nearest_bar) {
            nearest = barred;
            nearest_bar = bar;
        }
    }
    return fail(message, REFUSED, "%s%s", claim->about, nearest);
}

// --------------------------------------------------------------------------------------------- registrations

static status_t check_person(struct message *message, const char *person)
{
    if (made_of(person, SUBJECT_CHARACTERS, 1, 64))
        return OK;
    return fail(message, REFUSED,
                "person is \"%.80s\"; it must be a subject, 1 to 64 of A-Z, a-z, 0-9 and ._:-", person);
}

static status_t check_municipality(struct message *message, const struct organisation *organisation,
                                   const char *number)
{
    if (!organisation_number_valid(number))
        return fail(message, REFUSED,
                    "organisation_number is \"%.20s\"; it must be 9 digits with the right check digit",
                    number);
    if (!organisation->known)
        return fail(message, REFUSED, "organisation %s is not in the register of organisations", number);
    if (strcmp(organisation->form, "KOMM") != 0)
        return fail(message, REFUSED,
                    "organisation %s (%.200s) has the form %s; only municipalities (KOMM) have signatories",
                    number, organisation->name, organisation->form);
    return OK;
}

static status_t check_registration(struct message *message, const struct registration *registration,
                                   const char *id, const char *organisation_number, const char *person)
{
    if (!uuid_valid(id))
        return fail(message, REFUSED, "signatory_id is \"%.80s\"; it must be a UUID in lower case", id);
    if (registration->taken.known)
        return fail(message, REFUSED, "signatory %s exists already; another one needs another signatory_id",
                    id);
    status_t status = check_municipality(message, &registration->organisation, organisation_number);
    if (status == OK)
        status = check_person(message, person);
    return status;
}

status_t rule_register(struct message *message, const struct registration *registration,
                       const RegisterSignatory *command)
{
    status_t status = check_registration(message, registration, command->signatory_id,
                                         command->organisation_number, command->person);
    if (status == OK && command->capacity == APPROVAL__V1__CAPACITY__CAPACITY_UNSPECIFIED)
        status = fail(message, REFUSED,
                      "capacity of signatory %s is missing; it must be DIRECTOR, DISTRICT_DIRECTOR, "
                      "PROJECT_OWNER or SUPERIOR_LEADER",
                      command->signatory_id);
    if (status == OK && command->capacity == MANDATE)
        status = fail(message, REFUSED,
                      "capacity of signatory %s is MANDATE; a mandate is given by the director",
                      command->signatory_id);
    if (status == OK &&
        (command->from_at_us < 0 || (command->to_at_us != 0 && command->to_at_us <= command->from_at_us)))
        status = fail(message, REFUSED,
                      "to_at_us of signatory %s must be after from_at_us, or 0 for until revoked",
                      command->signatory_id);
    if (status != OK)
        return status;

    SignatoryRegistered event = APPROVAL__V1__SIGNATORY_REGISTERED__INIT;
    event.signatory_id = command->signatory_id;
    event.organisation_number = command->organisation_number;
    event.person = command->person;
    event.capacity = command->capacity;
    event.from_at_us = command->from_at_us;
    event.to_at_us = command->to_at_us;
    emit(message, &event);
    return OK;
}

// Only a director who is one now, acting for this organisation, and never to himself.
static status_t check_giver(struct message *message, const struct registration *registration,
                            const RegisterMandate *command)
{
    const SignatoryRegistered *right;
    const struct claim claim = {.organisation_number = command->organisation_number,
                                .capacities = BIT(DIRECTOR),
                                .call_id = command->call_id,
                                .about = "only a registered director gives mandates: "};

    if (strcmp(message->actor->organisation, command->organisation_number) != 0)
        return fail(message, REFUSED,
                    "organisation %.20s gives no mandates for %s; only its own director does",
                    message->actor->organisation, command->organisation_number);
    if (strcmp(message->actor->subject, command->person) == 0)
        return fail(message, REFUSED, "person is %s, the giver; nobody gives a mandate to oneself",
                    command->person);
    return right_find(message, &registration->own, &claim, &right);
}

static status_t check_scope(struct message *message, const RegisterMandate *command)
{
    const char *id = command->signatory_id;

    if (*command->call_id != '\0' && !made_of(command->call_id, CALL_CHARACTERS, 3, 64))
        return fail(message, REFUSED,
                    "call_id of mandate %s is \"%.80s\"; it must be a call's id, or empty for all calls", id,
                    command->call_id);
    if (!money_valid(command->most_ore))
        return fail(message, REFUSED, "most_ore of mandate %s is %lld; it must be 0 (any) to %lld", id,
                    (long long)command->most_ore, (long long)MONEY_MAX);
    if (command->to_at_us <= command->from_at_us || command->from_at_us < 0)
        return fail(message, REFUSED,
                    "to_at_us of mandate %s must be after from_at_us; a mandate ends some day", id);
    if (command->to_at_us <= message->at_us)
        return fail(message, REFUSED, "to_at_us of mandate %s has passed; a mandate is not given backwards",
                    id);
    if (!sha256_text_valid(command->document_sha256))
        return fail(message, REFUSED,
                    "document_sha256 of mandate %s is \"%.80s\"; it must be 64 lower-case hex digits", id,
                    command->document_sha256);
    return OK;
}

status_t rule_mandate(struct message *message, const struct registration *registration,
                      const RegisterMandate *command)
{
    status_t status = check_registration(message, registration, command->signatory_id,
                                         command->organisation_number, command->person);
    if (status == OK)
        status = check_giver(message, registration, command);
    if (status == OK)
        status = check_scope(message, command);
    if (status != OK)
        return status;

    SignatoryRegistered event = APPROVAL__V1__SIGNATORY_REGISTERED__INIT;
    event.signatory_id = command->signatory_id;
    event.organisation_number = command->organisation_number;
    event.person = command->person;
    event.capacity = MANDATE;
    event.giver = message->actor->subject;
    event.call_id = command->call_id;
    event.most_ore = command->most_ore;
    event.from_at_us = command->from_at_us;
    event.to_at_us = command->to_at_us;
    event.document_sha256 = command->document_sha256;
    emit(message, &event);
    return OK;
}

status_t rule_revoke(struct message *message, const struct signatory *signatory,
                     const RevokeSignatory *command)
{
    const SignatoryRegistered *registered = &signatory->registered;

    if (!signatory->known)
        return fail(message, REFUSED, "signatory %.80s does not exist", command->signatory_id);
    if (message->actor->role == BUS__V1__ACTOR__ROLE__APPROVER &&
        (strcmp(registered->giver, message->actor->subject) != 0 ||
         strcmp(registered->organisation_number, message->actor->organisation) != 0))
        return fail(message, REFUSED,
                    "signatory %s was not given by %s; a case officer revokes it, or who gave it",
                    command->signatory_id, message->actor->subject);
    if (signatory->revoked)
        return fail(message, REFUSED, "signatory %s was revoked already, %s", command->signatory_id,
                    begin_text(message, signatory->revoked_at_us));
    status_t status = check_prose(message, "reason", command->reason);
    if (status != OK)
        return status;

    SignatoryRevoked event = APPROVAL__V1__SIGNATORY_REVOKED__INIT;
    event.signatory_id = command->signatory_id;
    event.organisation_number = registered->organisation_number;
    event.person = registered->person;
    event.reason = command->reason;
    emit(message, &event);
    return OK;
}
