// rules_test: who may register, give, revoke, sign and return what, and in which words it is refused.
#include "approval.h"
#include "check/check.h"

#include <string.h>

#define SIGNATORY      "0190bbbb-0000-7000-8000-000000000001"
#define APPLICATION_ID "0190aaaa-0000-7000-8000-000000000001"
#define CALL           "tuki8-2024-extra"
#define LEAD           "958935420"
#define OTHER          "964965226"
#define SHA            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
#define JUNE_1         INT64_C(1717192800000000)  // 2024-06-01 00:00 in Oslo
#define JUNE_8         INT64_C(1717797600000000)
#define ROLE_OF(name)  BUS__V1__ACTOR__ROLE__##name

// ------------------------------------------------------------------------------------------------- given

static struct message by(const char *person, Bus__V1__Actor__Role role, const char *organisation)
{
    return check_message(JUNE_1, person, role, organisation);
}

// A registration for the lead that has always been valid.
static struct signatory a_signatory(const char *person, Approval__V1__Capacity capacity)
{
    struct signatory signatory = {.known = true, .registered = APPROVAL__V1__SIGNATORY_REGISTERED__INIT};

    signatory.registered.signatory_id = (char *)SIGNATORY;
    signatory.registered.organisation_number = (char *)LEAD;
    signatory.registered.person = (char *)person;
    signatory.registered.capacity = capacity;
    return signatory;
}

static struct signatory a_mandate(const char *person)
{
    struct signatory signatory = a_signatory(person, MANDATE);

    signatory.registered.giver = (char *)"director.1";
    signatory.registered.call_id = (char *)CALL;
    signatory.registered.most_ore = 50000000;
    signatory.registered.from_at_us = JUNE_1;
    signatory.registered.to_at_us = JUNE_8;
    return signatory;
}

static struct sign_off a_sign_off(Types__V1__SignOffKind kind)
{
    struct sign_off sign_off = {.known = true, .opened = APPROVAL__V1__SIGN_OFF_OPENED__INIT, .state = OPEN};

    sign_off.opened.sign_off_id = (char *)APPLICATION_ID ":application";
    sign_off.opened.application_id = (char *)APPLICATION_ID;
    sign_off.opened.kind = kind;
    sign_off.opened.version = 3;
    sign_off.opened.content_sha256 = (char *)SHA;
    sign_off.opened.organisation_number = (char *)LEAD;
    sign_off.opened.call_id = (char *)CALL;
    sign_off.opened.amount_ore = 50000000;
    return sign_off;
}

static Signature a_signature(const char *person, Approval__V1__Capacity capacity)
{
    Signature signature = APPROVAL__V1__SIGNATURE__INIT;

    signature.person = (char *)person;
    signature.capacity = capacity;
    signature.signatory_id = (char *)SIGNATORY;
    signature.signed_at_us = JUNE_1 - 1;
    return signature;
}

static Approve an_approval(Types__V1__SignOffKind kind)
{
    Approve command = APPROVAL__V1__APPROVE__INIT;

    command.application_id = (char *)APPLICATION_ID;
    command.kind = kind;
    command.version = 3;
    command.content_sha256 = (char *)SHA;
    return command;
}

// --------------------------------------------------------------------------------------------- registering

#define REGISTERING(change)                                                                                  \
    struct message message = by("officer.1", ROLE_OF(CASE_OFFICER), "");                                     \
    struct registration registration = {.organisation = {true, "Oslo kommune", "KOMM"}};                     \
    RegisterSignatory command = APPROVAL__V1__REGISTER_SIGNATORY__INIT;                                      \
    command.signatory_id = (char *)SIGNATORY;                                                                \
    command.organisation_number = (char *)LEAD;                                                              \
    command.person = (char *)"director.1";                                                                   \
    command.capacity = DIRECTOR;                                                                             \
    change

#define WRONG_REGISTRATION(change, part)                                                                     \
    do {                                                                                                     \
        REGISTERING(change);                                                                                 \
        check_refused(&message, rule_register(&message, &registration, &command), part);                     \
    } while (0)

static void an_officer_registers_a_director(void **state)
{
    (void)state;
    REGISTERING(command.to_at_us = JUNE_8);
    assert_int_equal(OK, rule_register(&message, &registration, &command));
    const SignatoryRegistered *event = check_emitted(&message, 1, 0,
                                                     &approval__v1__signatory_registered__descriptor);
    assert_string_equal("director.1", event->person);
    assert_int_equal(DIRECTOR, event->capacity);
    assert_int_equal(JUNE_8, event->to_at_us);
    assert_string_equal("", event->giver);
}

static void a_wrong_registration_is_refused(void **state)
{
    (void)state;
    WRONG_REGISTRATION(command.signatory_id = (char *)"1",
                       "signatory_id is \"1\"; it must be a UUID in lower case");
    WRONG_REGISTRATION(registration.taken.known = true, "signatory " SIGNATORY " exists already");
    WRONG_REGISTRATION(
        command.organisation_number = (char *)"958935421",
        "organisation_number is \"958935421\"; it must be 9 digits with the right check digit");
    WRONG_REGISTRATION(registration.organisation.known = false,
                       "organisation " LEAD " is not in the register");
    WRONG_REGISTRATION(registration.organisation.form = "FYLK",
                       "organisation " LEAD " (Oslo kommune) has the form FYLK; only municipalities (KOMM)");
    WRONG_REGISTRATION(command.person = (char *)"Kari Nordmann",
                       "person is \"Kari Nordmann\"; it must be a subject");
    WRONG_REGISTRATION(command.person = (char *)"", "person is \"\"");
    WRONG_REGISTRATION(command.capacity = 0, "capacity of signatory " SIGNATORY " is missing");
    WRONG_REGISTRATION(command.capacity = MANDATE, "is MANDATE; a mandate is given by the director");
    WRONG_REGISTRATION((command.from_at_us = 5, command.to_at_us = 5),
                       "must be after from_at_us, or 0 for until revoked");
    WRONG_REGISTRATION(command.from_at_us = -1, "must be after from_at_us");
}

// ------------------------------------------------------------------------------------------------- mandates

#define GIVING(change)                                                                                       \
    struct message message = by("director.1", ROLE_OF(APPROVER), LEAD);                                      \
    struct signatory own = a_signatory("director.1", DIRECTOR);                                              \
    struct registration registration = {.organisation = {true, "Oslo kommune", "KOMM"}, .own = {1, &own}};   \
    RegisterMandate command = APPROVAL__V1__REGISTER_MANDATE__INIT;                                          \
    command.signatory_id = (char *)SIGNATORY;                                                                \
    command.organisation_number = (char *)LEAD;                                                              \
    command.person = (char *)"adviser.1";                                                                    \
    command.call_id = (char *)CALL;                                                                          \
    command.most_ore = 50000000;                                                                             \
    command.from_at_us = JUNE_1;                                                                             \
    command.to_at_us = JUNE_8;                                                                               \
    command.document_sha256 = (char *)SHA;                                                                   \
    change

#define WRONG_MANDATE(change, part)                                                                          \
    do {                                                                                                     \
        GIVING(change);                                                                                      \
        check_refused(&message, rule_mandate(&message, &registration, &command), part);                      \
    } while (0)

static void a_director_gives_a_mandate(void **state)
{
    (void)state;
    GIVING();
    assert_int_equal(OK, rule_mandate(&message, &registration, &command));
    const SignatoryRegistered *event = check_emitted(&message, 1, 0,
                                                     &approval__v1__signatory_registered__descriptor);
    assert_string_equal("director.1", event->giver);
    assert_string_equal("adviser.1", event->person);
    assert_int_equal(MANDATE, event->capacity);
    assert_int_equal(50000000, event->most_ore);
}

static void a_wrong_mandate_is_refused(void **state)
{
    (void)state;
    WRONG_MANDATE(command.person = (char *)"director.1",
                  "person is director.1, the giver; nobody gives a mandate to oneself");
    WRONG_MANDATE(command.organisation_number = (char *)OTHER,
                  "organisation " LEAD " gives no mandates for " OTHER);
    WRONG_MANDATE(registration.own.count = 0, "only a registered director gives mandates: director.1 is not "
                                              "registered to sign for organisation " LEAD);
    WRONG_MANDATE(own.registered.capacity = MANDATE,
                  "only a registered director gives mandates: director.1 is registered as MANDATE");
    WRONG_MANDATE((own.revoked = true, own.revoked_at_us = JUNE_1), "was revoked 1. juni 2024 kl. 00.00");
    WRONG_MANDATE(command.call_id = (char *)"X", "is \"X\"; it must be a call's id, or empty for all calls");
    WRONG_MANDATE(command.most_ore = -1, "most_ore of mandate " SIGNATORY " is -1");
    WRONG_MANDATE(command.to_at_us = 0, "must be after from_at_us; a mandate ends some day");
    WRONG_MANDATE((command.from_at_us = 5, command.to_at_us = JUNE_1),
                  "has passed; a mandate is not given backwards");
    WRONG_MANDATE(command.document_sha256 = (char *)"", "document_sha256 of mandate " SIGNATORY " is \"\"");
    WRONG_MANDATE(registration.taken.known = true, "exists already");
}

// ------------------------------------------------------------------------------------------------- revoking

#define REVOKING(role, change)                                                                               \
    struct message message = by("director.1", ROLE_OF(role), LEAD);                                          \
    struct signatory signatory = a_mandate("adviser.1");                                                     \
    RevokeSignatory command = APPROVAL__V1__REVOKE_SIGNATORY__INIT;                                          \
    command.signatory_id = (char *)SIGNATORY;                                                                \
    command.reason = (char *)"Har sluttet.";                                                                 \
    change

#define WRONG_REVOCATION(role, change, part)                                                                 \
    do {                                                                                                     \
        REVOKING(role, change);                                                                              \
        check_refused(&message, rule_revoke(&message, &signatory, &command), part);                          \
    } while (0)

static void a_right_is_revoked_by_its_giver_or_an_officer(void **state)
{
    (void)state;
    {
        REVOKING(APPROVER, );
        assert_int_equal(OK, rule_revoke(&message, &signatory, &command));
        const SignatoryRevoked *event = check_emitted(&message, 1, 0,
                                                      &approval__v1__signatory_revoked__descriptor);
        assert_string_equal("adviser.1", event->person);
    }
    REVOKING(CASE_OFFICER, signatory = a_signatory("director.2", DIRECTOR));
    assert_int_equal(OK, rule_revoke(&message, &signatory, &command));
}

static void a_wrong_revocation_is_refused(void **state)
{
    (void)state;
    WRONG_REVOCATION(APPROVER, signatory.known = false, "signatory " SIGNATORY " does not exist");
    WRONG_REVOCATION(APPROVER, signatory.registered.giver = (char *)"director.2",
                     "was not given by director.1");
    WRONG_REVOCATION(APPROVER, signatory.registered.organisation_number = (char *)OTHER,
                     "was not given by director.1");
    WRONG_REVOCATION(APPROVER, (signatory.revoked = true, signatory.revoked_at_us = JUNE_1),
                     "was revoked already, 1. juni");
    WRONG_REVOCATION(APPROVER, command.reason = (char *)" ", "reason is missing; say why");
}

// -------------------------------------------------------------------------------------------------- signing

#define SIGNING(person, role, organisation, of_kind, right, change)                                          \
    struct message message = by(person, role, organisation);                                                 \
    struct signatory own = right;                                                                            \
    struct signing signing = {.sign_off = a_sign_off(of_kind), .own = {1, &own}};                            \
    Approve command = an_approval(of_kind);                                                                  \
    change

#define WRONG_SIGNING(person, role, organisation, of_kind, right, change, part)                              \
    do {                                                                                                     \
        SIGNING(person, role, organisation, of_kind, right, change);                                         \
        check_refused(&message, rule_approve(&message, &signing, &command), part);                           \
    } while (0)

static void a_director_delivers_with_one_signature(void **state)
{
    (void)state;
    const Approval__V1__Capacity capacities[] = {DIRECTOR, DISTRICT_DIRECTOR};

    for (size_t i = 0; i < 2; i++) {
        SIGNING("director.1", ROLE_OF(APPROVER), LEAD, APPLICATION,
                a_signatory("director.1", capacities[i]), );
        assert_int_equal(OK, rule_approve(&message, &signing, &command));
        const SignedOff *event = check_emitted(&message, 1, 0, &approval__v1__signed_off__descriptor);
        assert_int_equal(JUNE_1, event->signed_at_us);
        assert_string_equal(SHA, event->content_sha256);
        assert_int_equal(1, event->n_signatures);
        assert_string_equal("director.1", event->signatures[0]->person);
        assert_int_equal(capacities[i], event->signatures[0]->capacity);
        assert_string_equal(SIGNATORY, event->signatures[0]->signatory_id);
    }
}

static void a_mandate_signs_within_its_scope_and_period(void **state)
{
    (void)state;
    const int64_t valid[] = {JUNE_1, JUNE_8 - 1};

    for (size_t i = 0; i < 2; i++) {
        SIGNING("adviser.1", ROLE_OF(APPROVER), LEAD, ACCEPTANCE, a_mandate("adviser.1"),
                message.at_us = valid[i]);
        assert_int_equal(OK, rule_approve(&message, &signing, &command));
        const SignedOff *event = check_emitted(&message, 1, 0, &approval__v1__signed_off__descriptor);
        assert_int_equal(MANDATE, event->signatures[0]->capacity);
    }
}

static void a_mandate_out_of_scope_or_period_does_not_sign(void **state)
{
    (void)state;
#define BAD_MANDATE(change, part)                                                                            \
    WRONG_SIGNING("adviser.1", ROLE_OF(APPROVER), LEAD, APPLICATION, a_mandate("adviser.1"), change, part)
    BAD_MANDATE(message.at_us = JUNE_8, "mandate " SIGNATORY " of adviser.1 expired 7. juni 2024 kl. 23.59");
    BAD_MANDATE(message.at_us = JUNE_1 - 1,
                "mandate " SIGNATORY " of adviser.1 is not valid yet; it begins 1. juni 2024 kl. 00.00");
    BAD_MANDATE((own.revoked = true, own.revoked_at_us = JUNE_1),
                "mandate " SIGNATORY " of adviser.1 was revoked 1. juni 2024 kl. 00.00");
    BAD_MANDATE(signing.sign_off.opened.call_id = (char *)"another-call",
                "is for call " CALL "; this is call another-call");
    BAD_MANDATE(signing.sign_off.opened.amount_ore = 50000100, "reaches to 500 000 kr; this is 500 001 kr");
}

static void a_signature_before_the_revocation_counts(void **state)
{
    (void)state;
    SIGNING("adviser.1", ROLE_OF(APPROVER), LEAD, APPLICATION, a_mandate("adviser.1"),
            (own.revoked = true, own.revoked_at_us = JUNE_1 + 1));
    assert_int_equal(OK, rule_approve(&message, &signing, &command));
}

static void of_several_registrations_one_that_fits_is_enough_and_the_nearest_is_told(void **state)
{
    (void)state;
    SIGNING("adviser.1", ROLE_OF(APPROVER), LEAD, APPLICATION, a_mandate("adviser.1"), );
    struct signatory several[] = {a_signatory("adviser.1", PROJECT_OWNER), a_mandate("adviser.1"), own};
    several[1].registered.to_at_us = JUNE_1;
    several[2].registered.call_id = (char *)"";
    signing.own = (struct signatories){3, several};
    assert_int_equal(OK, rule_approve(&message, &signing, &command));

    struct message again = by("adviser.1", ROLE_OF(APPROVER), LEAD);
    signing.own.count = 2;
    check_refused(&again, rule_approve(&again, &signing, &command),
                  "mandate " SIGNATORY " of adviser.1 expired");
}

static void only_the_leads_registered_people_sign(void **state)
{
    (void)state;
    WRONG_SIGNING("director.2", ROLE_OF(APPROVER), OTHER, APPLICATION, a_signatory("director.2", DIRECTOR), ,
                  "organisation " OTHER " is a partner or a stranger; only the lead " LEAD
                  " may sign the application");
    WRONG_SIGNING("director.1", ROLE_OF(APPROVER), LEAD, APPLICATION, a_signatory("director.1", DIRECTOR),
                  signing.own.count = 0, "director.1 is not registered to sign for organisation " LEAD);
    WRONG_SIGNING("director.1", ROLE_OF(APPROVER), LEAD, APPLICATION, a_signatory("director.1", DIRECTOR),
                  own.registered.organisation_number = (char *)OTHER,
                  "director.1 is registered for organisation " OTHER ", not for " LEAD);
    WRONG_SIGNING("owner.1", ROLE_OF(APPROVER), LEAD, APPLICATION, a_signatory("owner.1", PROJECT_OWNER), ,
                  "owner.1 is registered as PROJECT_OWNER, which does not sign this");
    WRONG_SIGNING("owner.1", ROLE_OF(PROJECT_OWNER), LEAD, APPLICATION, a_signatory("owner.1", PROJECT_OWNER),
                  ,
                  "owner.1 acts as PROJECT_OWNER; the application of application " APPLICATION_ID
                  " is signed by a director, a district director or one with a mandate");
    WRONG_SIGNING("director.1", ROLE_OF(APPROVER), LEAD, REPORT, a_signatory("director.1", DIRECTOR), ,
                  "is signed by the project owner and a superior leader");
}

static void what_is_signed_is_what_waits(void **state)
{
    (void)state;
#define BAD_APPROVAL(change, part)                                                                           \
    WRONG_SIGNING("director.1", ROLE_OF(APPROVER), LEAD, APPLICATION, a_signatory("director.1", DIRECTOR),   \
                  change, part)
    BAD_APPROVAL(command.version = 2, "version 2 of the application of application " APPLICATION_ID
                                      " was seen, but version 3 waits for a signature");
    BAD_APPROVAL(command.content_sha256 = (char *)"c0ffee",
                 "content c0ffee was seen, but content " SHA " of application");
    BAD_APPROVAL(signing.sign_off.known = false,
                 "no application of application " APPLICATION_ID " waits for a signature");
    BAD_APPROVAL(signing.sign_off.state = SIGNED,
                 "version 3 of the application of application " APPLICATION_ID " is signed already");
    BAD_APPROVAL(signing.sign_off.state = RETURNED,
                 "was returned for editing; no version waits for a signature");
    BAD_APPROVAL(signing.sign_off.state = VOIDED, "is void; no version waits for a signature");
    BAD_APPROVAL(command.kind = 0, "kind is missing for application " APPLICATION_ID);
}

// ---------------------------------------------------------------------------------------------- four eyes

static void a_report_is_signed_by_two_people_in_either_order(void **state)
{
    (void)state;
    {
        SIGNING("owner.1", ROLE_OF(PROJECT_OWNER), LEAD, REPORT, a_signatory("owner.1", PROJECT_OWNER), );
        assert_int_equal(OK, rule_approve(&message, &signing, &command));
        const SignatureGiven *event = check_emitted(&message, 1, 0,
                                                    &approval__v1__signature_given__descriptor);
        assert_string_equal("owner.1", event->signature->person);
    }
    Signature first = a_signature("owner.1", PROJECT_OWNER), *signatures[] = {&first};
    SIGNING("leader.1", ROLE_OF(SUPERIOR_LEADER), LEAD, REPORT, a_signatory("leader.1", SUPERIOR_LEADER),
            (signing.sign_off.n_signatures = 1, signing.sign_off.signatures = signatures));
    assert_int_equal(OK, rule_approve(&message, &signing, &command));
    const SignedOff *event = check_emitted(&message, 1, 0, &approval__v1__signed_off__descriptor);
    assert_int_equal(2, event->n_signatures);
    assert_string_equal("owner.1", event->signatures[0]->person);
    assert_string_equal("leader.1", event->signatures[1]->person);
    assert_int_equal(JUNE_1, event->signed_at_us);
}

static void the_same_person_does_not_sign_twice_whatever_capacities_it_holds(void **state)
{
    (void)state;
    Signature first = a_signature("owner.1", PROJECT_OWNER), *signatures[] = {&first};
    WRONG_SIGNING("owner.1", ROLE_OF(SUPERIOR_LEADER), LEAD, REPORT, a_signatory("owner.1", SUPERIOR_LEADER),
                  (signing.sign_off.n_signatures = 1, signing.sign_off.signatures = signatures),
                  "owner.1 has signed version 3 of the report of application " APPLICATION_ID
                  " already, as PROJECT_OWNER; the other signature must be another person's");
    WRONG_SIGNING("owner.1", ROLE_OF(PROJECT_OWNER), LEAD, REPORT, a_signatory("owner.1", PROJECT_OWNER),
                  (signing.sign_off.n_signatures = 1, signing.sign_off.signatures = signatures),
                  "owner.1 has signed version 3 of the report");
}

static void two_project_owners_are_not_an_owner_and_a_leader(void **state)
{
    (void)state;
    Signature first = a_signature("owner.1", PROJECT_OWNER), *signatures[] = {&first};
    WRONG_SIGNING("owner.2", ROLE_OF(PROJECT_OWNER), LEAD, REPORT, a_signatory("owner.2", PROJECT_OWNER),
                  (signing.sign_off.n_signatures = 1, signing.sign_off.signatures = signatures),
                  "is signed by the project owner already, owner.1; the other signature is missing");
}

// ------------------------------------------------------------------------------- opening, returning, voiding

static void a_new_version_voids_the_open_one_and_takes_its_place(void **state)
{
    (void)state;
    struct message message = by("approval", ROLE_OF(SERVICE), "");  // given
    struct sign_off earlier = a_sign_off(APPLICATION);
    SignOffOpened opening = earlier.opened;
    opening.version = 4;
    assert_int_equal(OK, rule_open(&message, &earlier, &opening));  // when
    const SignOffVoided *voided = check_emitted(&message, 2, 0, &approval__v1__sign_off_voided__descriptor);
    const SignOffOpened *opened = check_emitted(&message, 2, 1, &approval__v1__sign_off_opened__descriptor);
    assert_int_equal(3, voided->version);  // then
    assert_string_equal("version 4 takes its place", voided->reason);
    assert_int_equal(4, opened->version);
}

static void what_no_longer_waits_is_not_voided(void **state)
{
    (void)state;
    const enum sign_off_state done[] = {SIGNED, RETURNED, VOIDED};

    for (size_t i = 0; i < 3; i++) {
        struct message message = by("approval", ROLE_OF(SERVICE), "");
        struct sign_off sign_off = a_sign_off(APPLICATION);
        sign_off.state = done[i];
        assert_int_equal(OK, rule_void(&message, &sign_off, "the draft expired"));
        assert_null(message.emitted);
    }
    struct message message = by("approval", ROLE_OF(SERVICE), "");
    assert_int_equal(OK, rule_void(&message, &(struct sign_off){0}, "the draft expired"));
    assert_null(message.emitted);
}

#define RETURNING(organisation, change)                                                                      \
    struct message message = by("editor.1", ROLE_OF(EDITOR), organisation);                                  \
    struct sign_off sign_off = a_sign_off(REPORT);                                                           \
    ReturnForEdit command = APPROVAL__V1__RETURN_FOR_EDIT__INIT;                                             \
    command.application_id = (char *)APPLICATION_ID;                                                         \
    command.kind = REPORT;                                                                                   \
    command.note = (char *)"Bilag mangler.";                                                                 \
    change

static void what_waits_is_returned_with_a_note(void **state)
{
    (void)state;
    RETURNING(LEAD, );
    assert_int_equal(OK, rule_return(&message, &sign_off, &command));
    const SignOffReturned *event = check_emitted(&message, 1, 0,
                                                 &approval__v1__sign_off_returned__descriptor);
    assert_int_equal(3, event->version);
    assert_string_equal("Bilag mangler.", event->note);
}

#define WRONG_RETURN(organisation, change, part)                                                             \
    do {                                                                                                     \
        RETURNING(organisation, change);                                                                     \
        check_refused(&message, rule_return(&message, &sign_off, &command), part);                           \
    } while (0)

static void a_wrong_return_is_refused(void **state)
{
    (void)state;
    WRONG_RETURN(LEAD, command.note = (char *)"", "note is missing");
    WRONG_RETURN(LEAD, sign_off.state = SIGNED,
                 "version 3 of the report of application " APPLICATION_ID " is signed already");
    WRONG_RETURN(OTHER, , "only the lead " LEAD " may sign the report");
    WRONG_RETURN(LEAD, sign_off.known = false, "no report of application " APPLICATION_ID " waits");

    char long_note[LIMIT_TEXT_BYTES + 2] = {0};
    memset(long_note, 'x', LIMIT_TEXT_BYTES + 1);
    WRONG_RETURN(LEAD, command.note = long_note, "note is 20001 bytes; at most 20000 are kept");
}

// ------------------------------------------------------------------------------------------------- queries

static void a_municipality_lists_its_own_only(void **state)
{
    (void)state;
    const char *organisation = "";
    struct message own = by("editor.1", ROLE_OF(EDITOR), LEAD), other = by("editor.1", ROLE_OF(EDITOR), LEAD);
    struct message officer = by("officer.1", ROLE_OF(CASE_OFFICER), ""), nobody = officer;

    assert_int_equal(OK, rule_list(&own, "", &organisation));
    assert_string_equal(LEAD, organisation);
    check_refused(&other, rule_list(&other, OTHER, &organisation),
                  "organisation " LEAD " sees its own signatures, not those of " OTHER);
    assert_int_equal(OK, rule_list(&officer, OTHER, &organisation));
    assert_string_equal(OTHER, organisation);
    check_refused(&nobody, rule_list(&nobody, "", &organisation), "organisation_number is \"\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_officer_registers_a_director),
        cmocka_unit_test(a_wrong_registration_is_refused),
        cmocka_unit_test(a_director_gives_a_mandate),
        cmocka_unit_test(a_wrong_mandate_is_refused),
        cmocka_unit_test(a_right_is_revoked_by_its_giver_or_an_officer),
        cmocka_unit_test(a_wrong_revocation_is_refused),
        cmocka_unit_test(a_director_delivers_with_one_signature),
        cmocka_unit_test(a_mandate_signs_within_its_scope_and_period),
        cmocka_unit_test(a_mandate_out_of_scope_or_period_does_not_sign),
        cmocka_unit_test(a_signature_before_the_revocation_counts),
        cmocka_unit_test(of_several_registrations_one_that_fits_is_enough_and_the_nearest_is_told),
        cmocka_unit_test(only_the_leads_registered_people_sign),
        cmocka_unit_test(what_is_signed_is_what_waits),
        cmocka_unit_test(a_report_is_signed_by_two_people_in_either_order),
        cmocka_unit_test(the_same_person_does_not_sign_twice_whatever_capacities_it_holds),
        cmocka_unit_test(two_project_owners_are_not_an_owner_and_a_leader),
        cmocka_unit_test(a_new_version_voids_the_open_one_and_takes_its_place),
        cmocka_unit_test(what_no_longer_waits_is_not_voided),
        cmocka_unit_test(what_waits_is_returned_with_a_note),
        cmocka_unit_test(a_wrong_return_is_refused),
        cmocka_unit_test(a_municipality_lists_its_own_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
