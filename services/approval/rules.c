// rules: what is allowed with sign-offs: who signs what, and that two signatures are two people's. Pure: the
// time is message->at_us, the state is given, what comes out is emitted. Who may sign for whom stands in
// signatories.c.
#include "approval.h"

#include "values/values.h"

#include <string.h>

#define DIRECTORS (BIT(DIRECTOR) | BIT(DISTRICT_DIRECTOR) | BIT(MANDATE))

// Who signs what: acting in this role, registered in one of these capacities.
static const struct hand {
    Types__V1__SignOffKind kind;
    Bus__V1__Actor__Role role;
    unsigned capacities;
    const char *who;
} hands[] = {
    {APPLICATION, BUS__V1__ACTOR__ROLE__APPROVER, DIRECTORS,
     "a director, a district director or one with a mandate"},
    {ACCEPTANCE, BUS__V1__ACTOR__ROLE__APPROVER, DIRECTORS,
     "a director, a district director or one with a mandate"},
    {REPORT, BUS__V1__ACTOR__ROLE__PROJECT_OWNER, BIT(PROJECT_OWNER), "the project owner"},
    {REPORT, BUS__V1__ACTOR__ROLE__SUPERIOR_LEADER, BIT(SUPERIOR_LEADER), "a superior leader"},
};

// What each kind is called, and how many different people sign it. In the order of their numbers.
static const struct {
    const char *name;
    size_t signatures;
} kinds[] = {
    [APPLICATION] = {"application", 1},
    [ACCEPTANCE] = {"acceptance", 1},
    [REPORT] = {"report", 2},
};

char *sign_off_id(arena_t *arena, const char *application_id, Types__V1__SignOffKind kind)
{
    return arena_printf(arena, "%s:%s", application_id, kinds[kind].name);
}

// ------------------------------------------------------------------------------------------------ sign-offs

static status_t check_kind(struct message *message, Types__V1__SignOffKind kind, const char *application_id)
{
    if (kind != TYPES__V1__SIGN_OFF_KIND__SIGN_OFF_KIND_UNSPECIFIED)
        return OK;
    return fail(message, REFUSED,
                "kind is missing for application %.80s; it must be APPLICATION, ACCEPTANCE or REPORT",
                application_id);
}

// Is there something open, and is it this organisation's?
static status_t check_waiting(struct message *message, const struct sign_off *sign_off,
                              Types__V1__SignOffKind kind, const char *application_id)
{
    static const char *const became[] = {
        [SIGNED] = "is signed already", [RETURNED] = "was returned for editing", [VOIDED] = "is void"};
    const SignOffOpened *opened = &sign_off->opened;

    status_t status = check_kind(message, kind, application_id);
    if (status != OK)
        return status;
    if (!sign_off->known)
        return fail(message, REFUSED, "no %s of application %.80s waits for a signature", kinds[kind].name,
                    application_id);
    if (strcmp(message->actor->organisation, opened->organisation_number) != 0)
        return fail(message, REFUSED,
                    "organisation %.20s is a partner or a stranger; only the lead %s may sign the %s of %s",
                    message->actor->organisation, opened->organisation_number, kinds[kind].name,
                    application_id);
    if (sign_off->state != OPEN)
        return fail(message, REFUSED,
                    "version %u of the %s of application %s %s; no version waits for a signature",
                    opened->version, kinds[kind].name, application_id, became[sign_off->state]);
    return OK;
}

// What the signer has seen must be what waits.
static status_t check_seen(struct message *message, const SignOffOpened *opened, const Approve *command)
{
    if (command->version != opened->version)
        return fail(message, REFUSED,
                    "version %u of the %s of application %s was seen, but version %u waits for a signature",
                    command->version, kinds[opened->kind].name, opened->application_id, opened->version);
    if (strcmp(command->content_sha256, opened->content_sha256) != 0)
        return fail(message, REFUSED,
                    "content %.64s was seen, but content %s of application %s waits for a signature",
                    command->content_sha256, opened->content_sha256, opened->application_id);
    return OK;
}

// The row for this kind and the actor's role.
static status_t find_hand(struct message *message, const SignOffOpened *opened, const struct hand **ret)
{
    const char *who = "";

    for (size_t i = 0; i < sizeof hands / sizeof hands[0]; i++) {
        if (hands[i].kind != opened->kind)
            continue;
        if (hands[i].role == message->actor->role) {
            *ret = &hands[i];
            return OK;
        }
        who = arena_printf(message->arena, "%s%s%s", who, *who == '\0' ? "" : " and ", hands[i].who);
    }
    return fail(
        message, REFUSED, "%s acts as %s; the %s of application %s is signed by %s", message->actor->subject,
        protobuf_c_enum_descriptor_get_value(&bus__v1__actor__role__descriptor, (int)message->actor->role)
            ->name,
        kinds[opened->kind].name, opened->application_id, who);
}

// Two signatures are two people in two capacities.
static status_t check_four_eyes(struct message *message, const struct sign_off *sign_off,
                                const struct hand *hand)
{
    const SignOffOpened *opened = &sign_off->opened;

    for (size_t i = 0; i < sign_off->n_signatures; i++) {
        const Signature *earlier = sign_off->signatures[i];
        if (strcmp(earlier->person, message->actor->subject) == 0)
            return fail(message, REFUSED,
                        "%s has signed version %u of the %s of application %s already, as %s; the other "
                        "signature must be another person's",
                        earlier->person, opened->version, kinds[opened->kind].name, opened->application_id,
                        capacity_name(earlier->capacity));
        if ((hand->capacities & BIT(earlier->capacity)) != 0)
            return fail(message, REFUSED,
                        "version %u of the %s of application %s is signed by %s already, %s; the other "
                        "signature is missing",
                        opened->version, kinds[opened->kind].name, opened->application_id, hand->who,
                        earlier->person);
    }
    return OK;
}

static void emit_given(struct message *message, const SignOffOpened *opened, Signature *signature)
{
    SignatureGiven event = APPROVAL__V1__SIGNATURE_GIVEN__INIT;

    event.sign_off_id = opened->sign_off_id;
    event.application_id = opened->application_id;
    event.kind = opened->kind;
    event.version = opened->version;
    event.signature = signature;
    emit(message, &event);
}

static void emit_signed_off(struct message *message, const struct sign_off *sign_off, Signature *signature)
{
    const SignOffOpened *opened = &sign_off->opened;
    SignedOff event = APPROVAL__V1__SIGNED_OFF__INIT;

    event.sign_off_id = opened->sign_off_id;
    event.application_id = opened->application_id;
    event.kind = opened->kind;
    event.version = opened->version;
    event.content_sha256 = opened->content_sha256;
    event.n_signatures = sign_off->n_signatures + 1;
    event.signatures = arena_alloc(message->arena, event.n_signatures * sizeof *event.signatures);
    for (size_t i = 0; i < sign_off->n_signatures; i++)
        event.signatures[i] = sign_off->signatures[i];
    event.signatures[sign_off->n_signatures] = signature;
    event.signed_at_us = signature->signed_at_us;
    emit(message, &event);
}

status_t rule_approve(struct message *message, const struct signing *signing, const Approve *command)
{
    const struct sign_off *sign_off = &signing->sign_off;
    const SignOffOpened *opened = &sign_off->opened;
    const SignatoryRegistered *right = NULL;
    const struct hand *hand = NULL;

    status_t status = check_waiting(message, sign_off, command->kind, command->application_id);
    if (status == OK)
        status = check_seen(message, opened, command);
    if (status == OK)
        status = find_hand(message, opened, &hand);
    if (status == OK)
        status = check_four_eyes(message, sign_off, hand);
    if (status == OK) {
        const struct claim claim = {.organisation_number = opened->organisation_number,
                                    .capacities = hand->capacities,
                                    .call_id = opened->call_id,
                                    .amount_ore = opened->amount_ore,
                                    .about = ""};
        status = right_find(message, &signing->own, &claim, &right);
    }
    if (status != OK)
        return status;

    Signature signature = APPROVAL__V1__SIGNATURE__INIT;
    signature.person = message->actor->subject;
    signature.capacity = right->capacity;
    signature.signatory_id = right->signatory_id;
    signature.signed_at_us = message->at_us;
    if (sign_off->n_signatures + 1 < kinds[opened->kind].signatures)
        emit_given(message, opened, &signature);
    else
        emit_signed_off(message, sign_off, &signature);
    return OK;
}

status_t rule_return(struct message *message, const struct sign_off *sign_off, const ReturnForEdit *command)
{
    status_t status = check_waiting(message, sign_off, command->kind, command->application_id);
    if (status == OK)
        status = check_prose(message, "note", command->note);
    if (status != OK)
        return status;

    SignOffReturned event = APPROVAL__V1__SIGN_OFF_RETURNED__INIT;
    event.sign_off_id = sign_off->opened.sign_off_id;
    event.application_id = command->application_id;
    event.kind = command->kind;
    event.version = sign_off->opened.version;
    event.note = command->note;
    emit(message, &event);
    return OK;
}

status_t rule_void(struct message *message, const struct sign_off *sign_off, const char *reason)
{
    if (!sign_off->known || sign_off->state != OPEN)
        return OK;

    SignOffVoided event = APPROVAL__V1__SIGN_OFF_VOIDED__INIT;
    event.sign_off_id = sign_off->opened.sign_off_id;
    event.application_id = sign_off->opened.application_id;
    event.kind = sign_off->opened.kind;
    event.version = sign_off->opened.version;
    event.reason = arena_text(message->arena, reason);
    emit(message, &event);
    return OK;
}

status_t rule_open(struct message *message, const struct sign_off *earlier, const SignOffOpened *opening)
{
    status_t status = rule_void(message, earlier,
                                arena_printf(message->arena, "version %u takes its place", opening->version));
    if (status == OK)
        emit(message, opening);
    return status;
}

// ------------------------------------------------------------------------------------------------- queries

status_t rule_list(struct message *message, const char *asked, const char **ret_organisation)
{
    const char *own = message->actor->organisation;
    bool municipal = (ROLES_MUNICIPALITY & (UINT64_C(1) << message->actor->role)) != 0;

    if (municipal && *asked != '\0' && strcmp(asked, own) != 0)
        return fail(message, REFUSED, "organisation %.20s sees its own signatures, not those of %.20s", own,
                    asked);
    if (!municipal && !organisation_number_valid(asked))
        return fail(message, REFUSED,
                    "organisation_number is \"%.20s\"; it must be 9 digits with the right check digit",
                    asked);
    *ret_organisation = municipal ? own : asked;
    return OK;
}
