// What is allowed with rights and with sign-offs: given, when, then. Every refusal once, and every event.
#include "approval.h"
#include "check/check.h"
#include "values/values.h"

#include <string.h>

#define APPLICATION_ID                   "0190aaaa-0000-7000-8000-000000000001"
#define SIGNATORY_ID                     "0190bbbb-0000-7000-8000-000000000001"
#define OSLO                             "958935420"
#define BERGEN                           "964338531"
#define HASH                             "c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ff"
#define DAY_US                           INT64_C(86400000000)
#define AUGUST                           INT64_C(1722844800000000)  // 2024-08-05 08:00 UTC
#define KR                               INT64_C(100)
#define ROLE_OF(name)                    BUS__V1__ACTOR__ROLE__##name

#define EMITTED(message, count, n, type) check_emitted(message, count, n, &approval__v1__##type##__descriptor)

// ---------------------------------------------------------------------------------------------------- given

static struct message by(const char *subject, Bus__V1__Actor__Role role, const char *organisation)
{
    return check_message(AUGUST, subject, role, organisation);
}

static struct signatory a_signatory(const char *person, Approval__V1__Capacity capacity)
{
    struct signatory signatory = {.known = true, .registered = APPROVAL__V1__SIGNATORY_REGISTERED__INIT};

    signatory.registered.signatory_id = (char *)SIGNATORY_ID;
    signatory.registered.organisation_number = (char *)OSLO;
    signatory.registered.person = (char *)person;
    signatory.registered.capacity = capacity;
    signatory.registered.from_at_us = AUGUST - DAY_US;
    return signatory;
}

// Good for one call, up to 500 000 kr, from yesterday to tomorrow.
static struct signatory a_mandate(void)
{
    struct signatory mandate = a_signatory("mari", MANDATE);

    mandate.registered.giver = (char *)"dina";
    mandate.registered.call_id = (char *)"skole-2024";
    mandate.registered.most_ore = 500000 * KR;
    mandate.registered.to_at_us = AUGUST + DAY_US;
    return mandate;
}

static struct sign_off a_sign_off(Types__V1__SignOffKind kind, enum sign_off_state state)
{
    struct sign_off sign_off = {.known = true, .state = state, .opened = APPROVAL__V1__SIGN_OFF_OPENED__INIT};

    sign_off.opened.sign_off_id = (char *)"a:kind";
    sign_off.opened.application_id = (char *)APPLICATION_ID;
    sign_off.opened.kind = kind;
    sign_off.opened.version = 3;
    sign_off.opened.content_sha256 = (char *)HASH;
    sign_off.opened.organisation_number = (char *)OSLO;
    sign_off.opened.call_id = (char *)"skole-2024";
    sign_off.opened.amount_ore = 400000 * KR;
    return sign_off;
}

// What waits, and the one registration of the person who signs; NULL for none.
static struct signing a_signing(Types__V1__SignOffKind kind, struct signatory *own)
{
    return (struct signing){.sign_off = a_sign_off(kind, OPEN),
                            .own = {.count = own != NULL ? 1 : 0, .all = own}};
}

static Approve an_approval(Types__V1__SignOffKind kind)
{
    Approve command = APPROVAL__V1__APPROVE__INIT;

    command.application_id = (char *)APPLICATION_ID;
    command.kind = kind;
    command.version = 3;
    command.content_sha256 = (char *)HASH;
    return command;
}

// The project owner has signed.
static Signature *owners_signature(void)
{
    static Signature signature = APPROVAL__V1__SIGNATURE__INIT;

    signature.person = (char *)"petra";
    signature.capacity = PROJECT_OWNER;
    signature.signatory_id = (char *)"0190bbbb-0000-7000-8000-000000000004";
    signature.signed_at_us = AUGUST - 1;
    return &signature;
}

static struct registration a_registration(struct signatory *own)
{
    return (struct registration){.organisation = {.known = true, .name = "Oslo kommune", .form = "KOMM"},
                                 .own = {.count = own != NULL ? 1 : 0, .all = own}};
}

static RegisterSignatory a_registering(void)
{
    RegisterSignatory command = APPROVAL__V1__REGISTER_SIGNATORY__INIT;

    command.signatory_id = (char *)SIGNATORY_ID;
    command.organisation_number = (char *)OSLO;
    command.person = (char *)"dina";
    command.capacity = DIRECTOR;
    command.from_at_us = AUGUST;
    return command;
}

static RegisterMandate a_giving(void)
{
    RegisterMandate command = APPROVAL__V1__REGISTER_MANDATE__INIT;

    command.signatory_id = (char *)SIGNATORY_ID;
    command.organisation_number = (char *)OSLO;
    command.person = (char *)"mari";
    command.call_id = (char *)"skole-2024";
    command.most_ore = 500000 * KR;
    command.from_at_us = AUGUST;
    command.to_at_us = AUGUST + DAY_US;
    command.document_sha256 = (char *)HASH;
    return command;
}

static RevokeSignatory a_revocation(void)
{
    RevokeSignatory command = APPROVAL__V1__REVOKE_SIGNATORY__INIT;

    command.signatory_id = (char *)SIGNATORY_ID;
    command.reason = (char *)"has left";
    return command;
}

static ReturnForEdit a_return(Types__V1__SignOffKind kind)
{
    ReturnForEdit command = APPROVAL__V1__RETURN_FOR_EDIT__INIT;

    command.application_id = (char *)APPLICATION_ID;
    command.kind = kind;
    command.note = (char *)"the budget lacks travel";
    return command;
}

// ----------------------------------------------------------------------------------------------- registering

static void a_director_is_registered_as_asked(void **state)
{
    struct message message = by("carl", ROLE_OF(CASE_OFFICER), "");
    struct registration registration = a_registration(NULL);
    RegisterSignatory command = a_registering();

    (void)state;
    assert_int_equal(OK, rule_register(&message, &registration, &command));
    const SignatoryRegistered *event = EMITTED(&message, 1, 0, signatory_registered);
    assert_string_equal(SIGNATORY_ID, event->signatory_id);
    assert_string_equal(OSLO, event->organisation_number);
    assert_string_equal("dina", event->person);
    assert_int_equal(DIRECTOR, event->capacity);
    assert_int_equal(AUGUST, event->from_at_us);
    assert_int_equal(0, event->to_at_us);
    assert_string_equal("", event->giver);
}

static void register_is_refused(const struct registration *registration, const RegisterSignatory *command,
                                const char *reason)
{
    struct message message = by("carl", ROLE_OF(CASE_OFFICER), "");

    check_refused(&message, rule_register(&message, registration, command), reason);
}

static void a_registration_needs_a_free_id_and_a_person(void **state)
{
    static const char *const nobodies[] = {
        "", "dina olsen", "dina@oslo", "ærlig",
        "12345678901234567890123456789012345678901234567890123456789012345" /* 65 */};
    struct registration registration = a_registration(NULL), taken = a_registration(NULL);
    RegisterSignatory command = a_registering();

    (void)state;
    taken.taken = a_signatory("dina", DIRECTOR);
    register_is_refused(&taken, &command, "signatory " SIGNATORY_ID " exists already");
    command.signatory_id = (char *)"1";
    register_is_refused(&registration, &command, "signatory_id is \"1\"; it must be a UUID");
    command = a_registering();
    for (size_t i = 0; i < sizeof nobodies / sizeof nobodies[0]; i++) {
        command.person = (char *)nobodies[i];
        register_is_refused(&registration, &command, "it must be a subject, 1 to 64");
    }
}

static void only_a_registered_municipality_has_signatories(void **state)
{
    struct registration unknown = a_registration(NULL), county = a_registration(NULL);
    RegisterSignatory command = a_registering();

    (void)state;
    unknown.organisation.known = false;
    register_is_refused(&unknown, &command, "organisation " OSLO " is not in the register");
    county.organisation.form = "FYLK";
    register_is_refused(&county, &command, "has the form FYLK; only municipalities (KOMM)");
    command.organisation_number = (char *)"958935421";
    register_is_refused(&unknown, &command, "organisation_number is \"958935421\"; it must be 9 digits");
}

static void a_registration_needs_a_capacity_that_comes_by_office(void **state)
{
    struct registration registration = a_registration(NULL);
    RegisterSignatory command = a_registering();

    (void)state;
    command.capacity = APPROVAL__V1__CAPACITY__CAPACITY_UNSPECIFIED;
    register_is_refused(&registration, &command, "capacity of signatory " SIGNATORY_ID " is missing");
    command.capacity = MANDATE;
    register_is_refused(&registration, &command, "is MANDATE; a mandate is given by the director");
}

static void a_registration_ends_after_it_begins_or_never(void **state)
{
    static const struct {
        int64_t from_at_us, to_at_us;
    } wrongs[] = {{-1, 0}, {AUGUST, AUGUST}, {AUGUST, AUGUST - 1}};
    struct message message = by("carl", ROLE_OF(CASE_OFFICER), "");
    struct registration registration = a_registration(NULL);
    RegisterSignatory command = a_registering();

    (void)state;
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        command.from_at_us = wrongs[i].from_at_us;
        command.to_at_us = wrongs[i].to_at_us;
        register_is_refused(&registration, &command, "must be after from_at_us, or 0 for until revoked");
    }
    command.from_at_us = AUGUST;
    command.to_at_us = AUGUST + 1;
    assert_int_equal(OK, rule_register(&message, &registration, &command));
}

// -------------------------------------------------------------------------------------------------- mandates

static void a_director_gives_a_mandate(void **state)
{
    struct message message = by("dina", ROLE_OF(APPROVER), OSLO);
    struct signatory director = a_signatory("dina", DIRECTOR);
    struct registration registration = a_registration(&director);
    RegisterMandate command = a_giving();

    (void)state;
    assert_int_equal(OK, rule_mandate(&message, &registration, &command));
    const SignatoryRegistered *event = EMITTED(&message, 1, 0, signatory_registered);
    assert_string_equal("mari", event->person);
    assert_int_equal(MANDATE, event->capacity);
    assert_string_equal("dina", event->giver);
    assert_string_equal("skole-2024", event->call_id);
    assert_int_equal(500000 * KR, event->most_ore);
    assert_int_equal(AUGUST, event->from_at_us);
    assert_int_equal(AUGUST + DAY_US, event->to_at_us);
    assert_string_equal(HASH, event->document_sha256);
}

// The giver's registration is this one, NULL for none.
static void mandate_is_refused(struct signatory *own, const RegisterMandate *command,
                               const char *organisation, const char *reason)
{
    struct message message = by("dina", ROLE_OF(APPROVER), organisation);
    struct registration registration = a_registration(own);

    check_refused(&message, rule_mandate(&message, &registration, command), reason);
}

static void only_who_is_director_now_gives_a_mandate(void **state)
{
    struct signatory district = a_signatory("dina", DISTRICT_DIRECTOR),
                     revoked = a_signatory("dina", DIRECTOR), other_place = a_signatory("dina", DIRECTOR),
                     mandate = a_mandate();
    RegisterMandate command = a_giving();

    (void)state;
    mandate_is_refused(NULL, &command, OSLO,
                       "only a registered director gives mandates: dina is not registered");
    mandate_is_refused(&district, &command, OSLO, "gives mandates: dina is registered as DISTRICT_DIRECTOR");
    mandate_is_refused(&mandate, &command, OSLO, "gives mandates: mari is registered as MANDATE");
    other_place.registered.organisation_number = (char *)BERGEN;
    mandate_is_refused(&other_place, &command, OSLO, "registered for organisation " BERGEN ", not for " OSLO);
    revoked.revoked = true;
    revoked.revoked_at_us = AUGUST;
    mandate_is_refused(&revoked, &command, OSLO, "gives mandates: registration " SIGNATORY_ID);
}

static void a_mandate_is_given_at_home_and_never_to_oneself(void **state)
{
    struct signatory director = a_signatory("dina", DIRECTOR);
    RegisterMandate command = a_giving();

    (void)state;
    mandate_is_refused(&director, &command, BERGEN, "organisation " BERGEN " gives no mandates for " OSLO);
    command.person = (char *)"dina";
    mandate_is_refused(&director, &command, OSLO, "nobody gives a mandate to oneself");
}

static void a_mandate_has_a_call_a_sum_and_a_document_that_can_be_right(void **state)
{
    struct signatory director = a_signatory("dina", DIRECTOR);
    RegisterMandate call = a_giving(), sum = a_giving(), document = a_giving(), short_call = a_giving();

    (void)state;
    call.call_id = (char *)"Skole 2024";
    mandate_is_refused(&director, &call, OSLO, "is \"Skole 2024\"; it must be a call's id, or empty");
    short_call.call_id = (char *)"ab";
    mandate_is_refused(&director, &short_call, OSLO, "is \"ab\"; it must be a call's id, or empty");
    sum.most_ore = -1;
    mandate_is_refused(&director, &sum, OSLO, "is -1; it must be 0 (any) to 10000000000000");
    document.document_sha256 = (char *)"C0FFEE";
    mandate_is_refused(&director, &document, OSLO, "is \"C0FFEE\"; it must be 64 lower-case hex digits");
}

static void a_mandate_ends_some_day_that_has_not_passed(void **state)
{
    struct signatory director = a_signatory("dina", DIRECTOR);
    RegisterMandate command = a_giving();

    (void)state;
    command.to_at_us = 0;
    mandate_is_refused(&director, &command, OSLO, "must be after from_at_us; a mandate ends some day");
    command.to_at_us = command.from_at_us;
    mandate_is_refused(&director, &command, OSLO, "must be after from_at_us; a mandate ends some day");
    command = a_giving();
    command.from_at_us = -1;
    mandate_is_refused(&director, &command, OSLO, "must be after from_at_us; a mandate ends some day");
    command.from_at_us = AUGUST - DAY_US;
    command.to_at_us = AUGUST;
    mandate_is_refused(&director, &command, OSLO, "has passed; a mandate is not given backwards");
}

static void a_mandate_obeys_what_every_registration_does(void **state)
{
    struct signatory director = a_signatory("dina", DIRECTOR);
    RegisterMandate command = a_giving();

    (void)state;
    command.signatory_id = (char *)"0190BBBB-0000-7000-8000-000000000001";
    mandate_is_refused(&director, &command, OSLO, "it must be a UUID in lower case");
}

// -------------------------------------------------------------------------------------------------- revoking

static void a_case_officer_revokes_anyone_and_a_director_what_he_gave(void **state)
{
    struct message officer = by("carl", ROLE_OF(CASE_OFFICER), ""),
                   giver = by("dina", ROLE_OF(APPROVER), OSLO);
    struct signatory director = a_signatory("dina", DIRECTOR), mandate = a_mandate();
    RevokeSignatory command = a_revocation();

    (void)state;
    assert_int_equal(OK, rule_revoke(&officer, &director, &command));
    const SignatoryRevoked *event = EMITTED(&officer, 1, 0, signatory_revoked);
    assert_string_equal(SIGNATORY_ID, event->signatory_id);
    assert_string_equal(OSLO, event->organisation_number);
    assert_string_equal("dina", event->person);
    assert_string_equal("has left", event->reason);
    assert_int_equal(OK, rule_revoke(&giver, &mandate, &command));
    EMITTED(&giver, 1, 0, signatory_revoked);
}

static void an_approver_revokes_nothing_but_what_he_gave_here(void **state)
{
    struct message other = by("didrik", ROLE_OF(APPROVER), OSLO),
                   elsewhere = by("dina", ROLE_OF(APPROVER), BERGEN),
                   himself = by("dina", ROLE_OF(APPROVER), OSLO);
    struct signatory director = a_signatory("dina", DIRECTOR), mandate = a_mandate();
    RevokeSignatory command = a_revocation();

    (void)state;
    check_refused(&other, rule_revoke(&other, &mandate, &command), "was not given by didrik");
    check_refused(&elsewhere, rule_revoke(&elsewhere, &mandate, &command), "was not given by dina");
    check_refused(&himself, rule_revoke(&himself, &director, &command),
                  "a case officer revokes it, or who gave it");
}

static void a_revocation_needs_a_standing_registration_and_a_reason(void **state)
{
    struct message nobody = by("carl", ROLE_OF(CASE_OFFICER), ""),
                   again = by("carl", ROLE_OF(CASE_OFFICER), ""),
                   silent = by("carl", ROLE_OF(CASE_OFFICER), ""),
                   wordy = by("carl", ROLE_OF(CASE_OFFICER), "");
    struct signatory unknown = {.known = false}, standing = a_mandate(), revoked = a_mandate();
    RevokeSignatory command = a_revocation();
    static char novel[LIMIT_TEXT_BYTES + 2];

    (void)state;
    revoked.revoked = true;
    revoked.revoked_at_us = AUGUST - DAY_US;
    check_refused(&nobody, rule_revoke(&nobody, &unknown, &command), SIGNATORY_ID " does not exist");
    check_refused(&again, rule_revoke(&again, &revoked, &command), "was revoked already, 4. august 2024");
    command.reason = (char *)" \t\n";
    check_refused(&silent, rule_revoke(&silent, &standing, &command), "reason is missing; say why");
    memset(novel, 'x', sizeof novel - 1);
    command.reason = novel;
    check_refused(&wordy, rule_revoke(&wordy, &standing, &command), "reason is 20001 bytes; at most 20000");
}

// --------------------------------------------------------------------------------------------------- signing

static void a_director_signs_an_application_alone(void **state)
{
    static const Types__V1__SignOffKind kinds[] = {APPLICATION, ACCEPTANCE};

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct message message = by("dina", ROLE_OF(APPROVER), OSLO);
        struct signatory director = a_signatory("dina", DIRECTOR);
        struct signing signing = a_signing(kinds[i], &director);
        Approve command = an_approval(kinds[i]);
        assert_int_equal(OK, rule_approve(&message, &signing, &command));
        const SignedOff *event = EMITTED(&message, 1, 0, signed_off);
        assert_string_equal("a:kind", event->sign_off_id);
        assert_string_equal(APPLICATION_ID, event->application_id);
        assert_int_equal(kinds[i], event->kind);
        assert_int_equal(3, event->version);
        assert_string_equal(HASH, event->content_sha256);
        assert_int_equal(AUGUST, event->signed_at_us);
        assert_int_equal(1, event->n_signatures);
        assert_string_equal("dina", event->signatures[0]->person);
        assert_int_equal(DIRECTOR, event->signatures[0]->capacity);
        assert_string_equal(SIGNATORY_ID, event->signatures[0]->signatory_id);
        assert_int_equal(AUGUST, event->signatures[0]->signed_at_us);
    }
}

static void a_report_takes_two_people_in_two_capacities(void **state)
{
    struct message first = by("petra", ROLE_OF(PROJECT_OWNER), OSLO),
                   second = by("sigrid", ROLE_OF(SUPERIOR_LEADER), OSLO);
    struct signatory owner = a_signatory("petra", PROJECT_OWNER),
                     leader = a_signatory("sigrid", SUPERIOR_LEADER);
    struct signing nobody = a_signing(REPORT, &owner), half = a_signing(REPORT, &leader);
    Signature *earlier[] = {owners_signature()};
    Approve command = an_approval(REPORT);

    (void)state;
    assert_int_equal(OK, rule_approve(&first, &nobody, &command));
    const SignatureGiven *given = EMITTED(&first, 1, 0, signature_given);
    assert_string_equal("a:kind", given->sign_off_id);
    assert_int_equal(REPORT, given->kind);
    assert_int_equal(3, given->version);
    assert_string_equal("petra", given->signature->person);
    assert_int_equal(PROJECT_OWNER, given->signature->capacity);

    half.sign_off.n_signatures = 1;
    half.sign_off.signatures = earlier;
    assert_int_equal(OK, rule_approve(&second, &half, &command));
    const SignedOff *event = EMITTED(&second, 1, 0, signed_off);
    assert_int_equal(2, event->n_signatures);
    assert_string_equal("petra", event->signatures[0]->person);
    assert_int_equal(AUGUST - 1, event->signatures[0]->signed_at_us);
    assert_string_equal("sigrid", event->signatures[1]->person);
    assert_int_equal(SUPERIOR_LEADER, event->signatures[1]->capacity);
    assert_int_equal(AUGUST, event->signed_at_us);
}

static void two_signatures_are_never_one_persons(void **state)
{
    struct message twice = by("petra", ROLE_OF(SUPERIOR_LEADER), OSLO),
                   other_owner = by("per", ROLE_OF(PROJECT_OWNER), OSLO);
    struct signatory also_leader = a_signatory("petra", SUPERIOR_LEADER),
                     owner = a_signatory("per", PROJECT_OWNER);
    struct signing by_petra = a_signing(REPORT, &also_leader), by_per = a_signing(REPORT, &owner);
    Signature *earlier[] = {owners_signature()};
    Approve command = an_approval(REPORT);

    (void)state;
    by_petra.sign_off.n_signatures = by_per.sign_off.n_signatures = 1;
    by_petra.sign_off.signatures = by_per.sign_off.signatures = earlier;
    check_refused(&twice, rule_approve(&twice, &by_petra, &command),
                  "already, as PROJECT_OWNER; the other signature must be another person's");
    check_refused(&other_owner, rule_approve(&other_owner, &by_per, &command),
                  "is signed by the project owner already, petra; the other signature is missing");
}

static void approve_is_refused(const struct sign_off *sign_off, const Approve *command,
                               const char *organisation, const char *reason)
{
    struct message message = by("dina", ROLE_OF(APPROVER), organisation);
    struct signatory director = a_signatory("dina", DIRECTOR);
    struct signing signing = a_signing(APPLICATION, &director);

    signing.sign_off = *sign_off;
    check_refused(&message, rule_approve(&message, &signing, command), reason);
}

static void only_what_waits_is_signed(void **state)
{
    static const struct {
        enum sign_off_state state;
        const char *reason;
    } wrongs[] = {
        {SIGNED, "version 3 of the application of application " APPLICATION_ID " is signed already"},
        {RETURNED, "was returned for editing; no version waits"},
        {VOIDED, "is void; no version waits"}};
    struct sign_off unknown = {.known = false};
    Approve command = an_approval(APPLICATION), no_kind = an_approval((Types__V1__SignOffKind)0);

    (void)state;
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        struct sign_off sign_off = a_sign_off(APPLICATION, wrongs[i].state);
        approve_is_refused(&sign_off, &command, OSLO, wrongs[i].reason);
    }
    approve_is_refused(&unknown, &command, OSLO, "no application of application " APPLICATION_ID " waits");
    approve_is_refused(&unknown, &no_kind, OSLO, "kind is missing for application " APPLICATION_ID);
}

static void only_the_lead_signs(void **state)
{
    struct sign_off sign_off = a_sign_off(APPLICATION, OPEN);
    Approve command = an_approval(APPLICATION);

    (void)state;
    approve_is_refused(&sign_off, &command, BERGEN,
                       "organisation " BERGEN " is a partner or a stranger; only the lead " OSLO);
}

static void what_is_signed_is_what_was_seen(void **state)
{
    struct sign_off sign_off = a_sign_off(APPLICATION, OPEN);
    Approve older = an_approval(APPLICATION), other = an_approval(APPLICATION);

    (void)state;
    older.version = 2;
    approve_is_refused(&sign_off, &older, OSLO, "was seen, but version 3 waits for a signature");
    other.content_sha256 = (char *)"beef";
    approve_is_refused(&sign_off, &other, OSLO, "content beef was seen, but content " HASH);
}

static void each_kind_is_signed_in_its_own_roles(void **state)
{
    struct message owner = by("petra", ROLE_OF(PROJECT_OWNER), OSLO),
                   director = by("dina", ROLE_OF(APPROVER), OSLO);
    struct signatory everything = a_signatory("x", DIRECTOR);
    struct signing application = a_signing(APPLICATION, &everything), report = a_signing(REPORT, &everything);
    Approve sign_application = an_approval(APPLICATION), sign_report = an_approval(REPORT);

    (void)state;
    check_refused(&owner, rule_approve(&owner, &application, &sign_application),
                  "petra acts as PROJECT_OWNER; the application of application " APPLICATION_ID
                  " is signed by "
                  "a director, a district director or one with a mandate");
    check_refused(&director, rule_approve(&director, &report, &sign_report),
                  "is signed by the project owner and a superior leader");
}

// --------------------------------------------------------------------------------------------- by which right

// Sign an application by these registrations at this instant.
static status_t sign_by(struct message *message, struct signatory *own, int count, int64_t at_us)
{
    struct signing signing = a_signing(APPLICATION, own);
    Approve command = an_approval(APPLICATION);

    *message = check_message(at_us, "mari", ROLE_OF(APPROVER), OSLO);
    signing.own.count = count;
    return rule_approve(message, &signing, &command);
}

static void right_is_refused(struct signatory *own, int64_t at_us, const char *reason)
{
    struct message message;
    status_t status = sign_by(&message, own, own != NULL ? 1 : 0, at_us);

    check_refused(&message, status, reason);
}

static void a_right_must_be_registered_for_this_organisation_and_capacity(void **state)
{
    struct signatory elsewhere = a_mandate(), owner = a_signatory("mari", PROJECT_OWNER);

    (void)state;
    right_is_refused(NULL, AUGUST, "mari is not registered to sign for organisation " OSLO);
    elsewhere.registered.organisation_number = (char *)BERGEN;
    right_is_refused(&elsewhere, AUGUST, "mari is registered for organisation " BERGEN ", not for " OSLO);
    right_is_refused(&owner, AUGUST, "mari is registered as PROJECT_OWNER, which does not sign this");
}

static void a_mandate_reaches_to_its_call_and_sum(void **state)
{
    struct signatory other_call = a_mandate(), poor = a_mandate(), just = a_mandate(), wide = a_mandate();
    struct message message;

    (void)state;
    other_call.registered.call_id = (char *)"bad-2024";
    right_is_refused(&other_call, AUGUST,
                     "mandate " SIGNATORY_ID " of mari is for call bad-2024; this is call skole-2024");
    poor.registered.most_ore = 400000 * KR - 1;
    right_is_refused(&poor, AUGUST,
                     "mandate " SIGNATORY_ID " of mari reaches to 399 999,99 kr; this is 400 000 kr");
    just.registered.most_ore = 400000 * KR;
    assert_int_equal(OK, sign_by(&message, &just, 1, AUGUST));
    wide.registered.call_id = (char *)"";
    wide.registered.most_ore = 0;
    assert_int_equal(OK, sign_by(&message, &wide, 1, AUGUST));
    const SignedOff *event = EMITTED(&message, 1, 0, signed_off);
    assert_int_equal(MANDATE, event->signatures[0]->capacity);
}

static void a_right_counts_from_its_first_instant_to_before_its_last(void **state)
{
    struct signatory mandate = a_mandate();
    struct message message;

    (void)state;
    right_is_refused(&mandate, mandate.registered.from_at_us - 1,
                     "of mari is not valid yet; it begins 4. august");
    assert_int_equal(OK, sign_by(&message, &mandate, 1, mandate.registered.from_at_us));
    assert_int_equal(OK, sign_by(&message, &mandate, 1, mandate.registered.to_at_us - 1));
    right_is_refused(&mandate, mandate.registered.to_at_us, "of mari expired 6. august 2024");
}

// The first minute of a day belongs to that day; only an end is shown as the minute before.
static void a_right_that_begins_at_midnight_begins_on_that_day(void **state)
{
    struct signatory mandate = a_mandate();

    (void)state;
    assert_true(oslo_midnight(2024, 8, 6, &mandate.registered.from_at_us));
    right_is_refused(&mandate, AUGUST, "it begins 6. august 2024");
}

static void a_revoked_right_ends_at_once(void **state)
{
    struct signatory mandate = a_mandate();
    struct message message;

    (void)state;
    mandate.revoked = true;
    mandate.revoked_at_us = AUGUST;
    right_is_refused(&mandate, AUGUST, "mandate " SIGNATORY_ID " of mari was revoked 5. august 2024");
    assert_int_equal(OK, sign_by(&message, &mandate, 1, AUGUST - 1));
}

static void one_right_that_carries_is_enough_and_else_the_nearest_is_named(void **state)
{
    struct signatory own[] = {a_mandate(), a_mandate(), a_signatory("mari", PROJECT_OWNER)};
    struct message nearest, carried;

    (void)state;
    own[0].registered.to_at_us = AUGUST;
    own[1].registered.most_ore = 1;
    status_t status = sign_by(&nearest, own, 3, AUGUST);
    check_refused(&nearest, status, "expired");
    own[2] = a_signatory("mari", DISTRICT_DIRECTOR);
    assert_int_equal(OK, sign_by(&carried, own, 3, AUGUST));
    const SignedOff *event = EMITTED(&carried, 1, 0, signed_off);
    assert_int_equal(DISTRICT_DIRECTOR, event->signatures[0]->capacity);
}

// ------------------------------------------------------------------------------ opening, returning, voiding

static void what_is_frozen_waits_for_signatures(void **state)
{
    struct message message = by("intake", ROLE_OF(SERVICE), "");
    struct sign_off nothing = {.known = false}, opening = a_sign_off(APPLICATION, OPEN);

    (void)state;
    assert_int_equal(OK, rule_open(&message, &nothing, &opening.opened));
    const SignOffOpened *event = EMITTED(&message, 1, 0, sign_off_opened);
    assert_string_equal(HASH, event->content_sha256);
    assert_int_equal(3, event->version);
    assert_string_equal(OSLO, event->organisation_number);
    assert_string_equal("skole-2024", event->call_id);
    assert_int_equal(400000 * KR, event->amount_ore);
}

static void a_newer_version_voids_the_one_that_still_waits(void **state)
{
    struct sign_off newer = a_sign_off(APPLICATION, OPEN);

    (void)state;
    newer.opened.version = 4;
    for (int i = OPEN; i <= VOIDED; i++) {
        struct message message = by("intake", ROLE_OF(SERVICE), "");
        struct sign_off earlier = a_sign_off(APPLICATION, (enum sign_off_state)i);
        int events = i == OPEN ? 2 : 1;
        assert_int_equal(OK, rule_open(&message, &earlier, &newer.opened));
        const SignOffOpened *opened = EMITTED(&message, events, events - 1, sign_off_opened);
        assert_int_equal(4, opened->version);
        if (i != OPEN)
            continue;
        const SignOffVoided *voided = EMITTED(&message, 2, 0, sign_off_voided);
        assert_int_equal(3, voided->version);
        assert_string_equal("version 4 takes its place", voided->reason);
    }
}

static void only_what_waits_is_voided(void **state)
{
    struct sign_off unknown = {.known = false};
    struct message nothing = by("intake", ROLE_OF(SERVICE), "");

    (void)state;
    assert_int_equal(OK, rule_void(&nothing, &unknown, "the draft expired"));
    assert_null(nothing.emitted);
    for (int i = OPEN; i <= VOIDED; i++) {
        struct message message = by("intake", ROLE_OF(SERVICE), "");
        struct sign_off sign_off = a_sign_off(APPLICATION, (enum sign_off_state)i);
        assert_int_equal(OK, rule_void(&message, &sign_off, "the draft expired"));
        assert_int_equal(i == OPEN, message.emitted != NULL);
        if (i != OPEN)
            continue;
        const SignOffVoided *event = EMITTED(&message, 1, 0, sign_off_voided);
        assert_string_equal("the draft expired", event->reason);
    }
}

static void what_waits_goes_back_with_a_note(void **state)
{
    struct message message = by("eva", ROLE_OF(EDITOR), OSLO), silent = by("eva", ROLE_OF(EDITOR), OSLO);
    struct sign_off sign_off = a_sign_off(REPORT, OPEN);
    ReturnForEdit command = a_return(REPORT);

    (void)state;
    assert_int_equal(OK, rule_return(&message, &sign_off, &command));
    const SignOffReturned *event = EMITTED(&message, 1, 0, sign_off_returned);
    assert_string_equal("a:kind", event->sign_off_id);
    assert_string_equal(APPLICATION_ID, event->application_id);
    assert_int_equal(REPORT, event->kind);
    assert_int_equal(3, event->version);
    assert_string_equal("the budget lacks travel", event->note);
    command.note = (char *)"";
    check_refused(&silent, rule_return(&silent, &sign_off, &command), "note is missing");
}

static void nothing_goes_back_that_does_not_wait_here(void **state)
{
    struct message late = by("eva", ROLE_OF(EDITOR), OSLO), stranger = by("eva", ROLE_OF(EDITOR), BERGEN);
    struct sign_off is_signed = a_sign_off(APPLICATION, SIGNED), open = a_sign_off(APPLICATION, OPEN);
    ReturnForEdit command = a_return(APPLICATION);

    (void)state;
    check_refused(&late, rule_return(&late, &is_signed, &command), "is signed already");
    check_refused(&stranger, rule_return(&stranger, &open, &command), "is a partner or a stranger");
}

// ----------------------------------------------------------------------------------------------------- lists

static void a_municipality_sees_its_own_lists_and_the_directorate_any(void **state)
{
    struct message municipal = by("eva", ROLE_OF(EDITOR), OSLO),
                   officer = by("carl", ROLE_OF(CASE_OFFICER), ""),
                   curious = by("eva", ROLE_OF(EDITOR), OSLO), vague = by("carl", ROLE_OF(CASE_OFFICER), "");
    const char *organisation = NULL;

    (void)state;
    assert_int_equal(OK, rule_list(&municipal, "", &organisation));
    assert_string_equal(OSLO, organisation);
    assert_int_equal(OK, rule_list(&officer, BERGEN, &organisation));
    assert_string_equal(BERGEN, organisation);
    check_refused(&curious, rule_list(&curious, BERGEN, &organisation),
                  "organisation " OSLO " sees its own signatures, not those of " BERGEN);
    check_refused(&vague, rule_list(&vague, "", &organisation),
                  "organisation_number is \"\"; it must be 9 digits");
}

static void a_sign_off_is_named_by_its_application_and_kind(void **state)
{
    struct message message = by("x", ROLE_OF(SERVICE), "");

    (void)state;
    assert_string_equal("a:application", sign_off_id(message.arena, "a", APPLICATION));
    assert_string_equal("a:acceptance", sign_off_id(message.arena, "a", ACCEPTANCE));
    assert_string_equal("a:report", sign_off_id(message.arena, "a", REPORT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_director_is_registered_as_asked),
        cmocka_unit_test(a_registration_needs_a_free_id_and_a_person),
        cmocka_unit_test(only_a_registered_municipality_has_signatories),
        cmocka_unit_test(a_registration_needs_a_capacity_that_comes_by_office),
        cmocka_unit_test(a_registration_ends_after_it_begins_or_never),
        cmocka_unit_test(a_director_gives_a_mandate),
        cmocka_unit_test(only_who_is_director_now_gives_a_mandate),
        cmocka_unit_test(a_mandate_is_given_at_home_and_never_to_oneself),
        cmocka_unit_test(a_mandate_has_a_call_a_sum_and_a_document_that_can_be_right),
        cmocka_unit_test(a_mandate_ends_some_day_that_has_not_passed),
        cmocka_unit_test(a_mandate_obeys_what_every_registration_does),
        cmocka_unit_test(a_case_officer_revokes_anyone_and_a_director_what_he_gave),
        cmocka_unit_test(an_approver_revokes_nothing_but_what_he_gave_here),
        cmocka_unit_test(a_revocation_needs_a_standing_registration_and_a_reason),
        cmocka_unit_test(a_director_signs_an_application_alone),
        cmocka_unit_test(a_report_takes_two_people_in_two_capacities),
        cmocka_unit_test(two_signatures_are_never_one_persons),
        cmocka_unit_test(only_what_waits_is_signed),
        cmocka_unit_test(only_the_lead_signs),
        cmocka_unit_test(what_is_signed_is_what_was_seen),
        cmocka_unit_test(each_kind_is_signed_in_its_own_roles),
        cmocka_unit_test(a_right_must_be_registered_for_this_organisation_and_capacity),
        cmocka_unit_test(a_mandate_reaches_to_its_call_and_sum),
        cmocka_unit_test(a_right_counts_from_its_first_instant_to_before_its_last),
        cmocka_unit_test(a_right_that_begins_at_midnight_begins_on_that_day),
        cmocka_unit_test(a_revoked_right_ends_at_once),
        cmocka_unit_test(one_right_that_carries_is_enough_and_else_the_nearest_is_named),
        cmocka_unit_test(what_is_frozen_waits_for_signatures),
        cmocka_unit_test(a_newer_version_voids_the_one_that_still_waits),
        cmocka_unit_test(only_what_waits_is_voided),
        cmocka_unit_test(what_waits_goes_back_with_a_note),
        cmocka_unit_test(nothing_goes_back_that_does_not_wait_here),
        cmocka_unit_test(a_municipality_sees_its_own_lists_and_the_directorate_any),
        cmocka_unit_test(a_sign_off_is_named_by_its_application_and_kind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
