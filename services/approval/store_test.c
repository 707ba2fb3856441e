// store_test: approval's statements against a real PostgreSQL, its constraints, two at once, what others'
// events open and void, and apply = replay.
#include "approval.h"
#include "approval_store.sql.h"
#include "check/check.h"

#include <stdlib.h>
#include <string.h>

#define DIRECTOR_ID    "0190bbbb-0000-7000-8000-000000000001"
#define OWNER_ID       "0190bbbb-0000-7000-8000-000000000002"
#define LEADER_ID      "0190bbbb-0000-7000-8000-000000000003"
#define MANDATE_ID     "0190bbbb-0000-7000-8000-000000000004"
#define APPLICATION_ID "0190aaaa-0000-7000-8000-000000000001"
#define CALL           "tuki8-2024-extra"
#define LEAD           "958935420"
#define SHA            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
#define OTHER_SHA      "c0ffeeb522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
#define JUNE_1         INT64_C(1717192800000000)  // 2024-06-01 00:00 in Oslo
#define DAY            INT64_C(86400000000)
#define ROLE_OF(name)  BUS__V1__ACTOR__ROLE__##name

// A database of its own.
struct world {
    db_t *db;
};

static int open_world(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    assert_non_null(world);
    world->db = check_db_open(&approval_service);
    *state = world;
    return 0;
}

static int close_world(void **state)
{
    struct world *world = *state;

    check_db_close(&world->db);
    free(world);
    return 0;
}

static struct message as(struct world *world, const char *person, Bus__V1__Actor__Role role)
{
    struct message message = check_message(JUNE_1, person, role, LEAD);

    message.db = world->db;
    return message;
}

// Give a command; it must come to this status.
static struct message gives(status_t expected, struct message message, const void *command)
{
    status_t status = check_command(&approval_service, &message, command);

    if (status != expected)
        fail_msg("status %d, not %d: %s", status, expected, message.reason != NULL ? message.reason : "");
    return message;
}

static struct message hears(struct world *world, const void *event)
{
    struct message message = as(world, "log", ROLE_OF(SERVICE));

    message.subject = APPLICATION_ID;
    if (check_heard(&approval_service, &message, event) != OK)
        fail_msg("not heard: %s", message.reason);
    return message;
}

// What waits for signatures of the lead.
static const SignOffs *open_now(struct world *world)
{
    struct message message = as(world, "editor.1", ROLE_OF(EDITOR));
    ListSignOffs query = APPROVAL__V1__LIST_SIGN_OFFS__INIT;
    const SignOffs *sign_offs = NULL;
    size_t size;
    const uint8_t *bytes = message_encode(message.arena, &query, &size);

    message.type = query.base.descriptor->name;
    assert_int_equal(OK, service_read(&approval_service, &message, bytes, size));
    assert_int_equal(OK, message_decode(&message, &approval__v1__sign_offs__descriptor, message.answer,
                                        message.answer_size, &sign_offs));
    return sign_offs;
}

static size_t signatories_at(struct world *world, int64_t at_us)
{
    struct message message = as(world, "officer.1", ROLE_OF(CASE_OFFICER));
    ListSignatories query = APPROVAL__V1__LIST_SIGNATORIES__INIT;
    const Signatories *signatories = NULL;
    size_t size;

    query.organisation_number = (char *)LEAD;
    query.at_us = at_us;
    const uint8_t *bytes = message_encode(message.arena, &query, &size);
    message.type = query.base.descriptor->name;
    assert_int_equal(OK, service_read(&approval_service, &message, bytes, size));
    assert_int_equal(OK, message_decode(&message, &approval__v1__signatories__descriptor, message.answer,
                                        message.answer_size, &signatories));
    return signatories->n_signatories;
}

// ------------------------------------------------------------------------------------------------- given

static void given_organisation(struct world *world)
{
    Intake__V1__Organisation organisation = INTAKE__V1__ORGANISATION__INIT;
    OrganisationRegistered event = INTAKE__V1__ORGANISATION_REGISTERED__INIT;

    organisation.organisation_number = event.organisation_number = (char *)LEAD;
    organisation.name = (char *)"Oslo kommune";
    organisation.form = (char *)"KOMM";
    event.organisation = &organisation;
    hears(world, &event);
}

static void given_signatory(struct world *world, const char *id, const char *person,
                            Approval__V1__Capacity capacity)
{
    RegisterSignatory command = APPROVAL__V1__REGISTER_SIGNATORY__INIT;

    command.signatory_id = (char *)id;
    command.organisation_number = (char *)LEAD;
    command.person = (char *)person;
    command.capacity = capacity;
    gives(OK, as(world, "officer.1", ROLE_OF(CASE_OFFICER)), &command);
}

static void given_people(struct world *world)
{
    given_organisation(world);
    given_signatory(world, DIRECTOR_ID, "director.1", DIRECTOR);
    given_signatory(world, OWNER_ID, "owner.1", PROJECT_OWNER);
    given_signatory(world, LEADER_ID, "leader.1", SUPERIOR_LEADER);
}

static struct message hears_request(struct world *world, uint32_t version, const char *sha)
{
    ApprovalRequested event = INTAKE__V1__APPROVAL_REQUESTED__INIT;

    event.application_id = (char *)APPLICATION_ID;
    event.call_id = (char *)CALL;
    event.organisation_number = (char *)LEAD;
    event.content_version = version;
    event.content_sha256 = (char *)sha;
    event.applied_ore = 100;
    return hears(world, &event);
}

static struct message hears_acceptance(struct world *world, uint32_t version)
{
    AcceptancePrepared event = ALLOCATION__V1__ACCEPTANCE_PREPARED__INIT;
    Allocation__V1__Accept acceptance = ALLOCATION__V1__ACCEPT__INIT;

    event.acceptance = &acceptance;
    event.application_id = (char *)APPLICATION_ID;
    event.call_id = (char *)CALL;
    event.organisation_number = (char *)LEAD;
    event.acceptance_version = version;
    event.acceptance_sha256 = (char *)SHA;
    event.amount_ore = 100;
    return hears(world, &event);
}

static struct message hears_report(struct world *world, uint32_t version)
{
    ReportPrepared event = REPORTING__V1__REPORT_PREPARED__INIT;
    Reporting__V1__Report report = REPORTING__V1__REPORT__INIT;

    event.report = &report;
    event.application_id = (char *)APPLICATION_ID;
    event.call_id = (char *)CALL;
    event.organisation_number = (char *)LEAD;
    event.report_version = version;
    event.report_sha256 = (char *)SHA;
    return hears(world, &event);
}

static Approve an_approval(Types__V1__SignOffKind kind, uint32_t version)
{
    Approve command = APPROVAL__V1__APPROVE__INIT;

    command.application_id = (char *)APPLICATION_ID;
    command.kind = kind;
    command.version = version;
    command.content_sha256 = (char *)SHA;
    return command;
}

// --------------------------------------------------------------------------------------------------- tests

static void a_request_is_signed_off_by_the_director_and_replays_equal(void **state)
{
    struct world *world = *state;

    given_people(world);  // given
    struct message heard = hears_request(world, 1, SHA);
    const SignOffOpened *opened = check_emitted(&heard, 1, 0, &approval__v1__sign_off_opened__descriptor);
    assert_string_equal(APPLICATION_ID ":application", opened->sign_off_id);
    assert_int_equal(1, open_now(world)->n_open);
    Approve command = an_approval(APPLICATION, 1);  // when
    struct message message = gives(OK, as(world, "director.1", ROLE_OF(APPROVER)), &command);
    const SignedOff *event = check_emitted(&message, 1, 0, &approval__v1__signed_off__descriptor);
    assert_string_equal(DIRECTOR_ID, event->signatures[0]->signatory_id);  // then
    assert_int_equal(0, open_now(world)->n_open);
    gives(REFUSED, as(world, "director.1", ROLE_OF(APPROVER)), &command);
    check_replay(&approval_service, world->db);
}

static void an_edit_voids_and_a_new_request_opens_again(void **state)
{
    struct world *world = *state;
    DraftSaved saved = INTAKE__V1__DRAFT_SAVED__INIT;
    Intake__V1__Content content = INTAKE__V1__CONTENT__INIT;

    given_people(world);
    hears_request(world, 1, OTHER_SHA);
    saved.application_id = (char *)APPLICATION_ID;
    saved.content = &content;
    struct message untouched = hears(world, &saved);
    assert_null(untouched.emitted);
    saved.voided_request = true;
    struct message heard = hears(world, &saved);
    const SignOffVoided *voided = check_emitted(&heard, 1, 0, &approval__v1__sign_off_voided__descriptor);
    assert_string_equal("the application was edited", voided->reason);
    Approve command = an_approval(APPLICATION, 1);
    struct message message = gives(REFUSED, as(world, "director.1", ROLE_OF(APPROVER)), &command);
    assert_non_null(strstr(message.reason, "is void; no version waits"));
    hears_request(world, 2, SHA);
    command.version = 2;
    gives(OK, as(world, "director.1", ROLE_OF(APPROVER)), &command);
    check_replay(&approval_service, world->db);
}

static void withdrawal_and_expiry_void_what_waits(void **state)
{
    struct world *world = *state;
    ApplicationWithdrawn withdrawn = INTAKE__V1__APPLICATION_WITHDRAWN__INIT;
    DraftExpired expired = INTAKE__V1__DRAFT_EXPIRED__INIT;

    given_people(world);
    withdrawn.application_id = expired.application_id = (char *)APPLICATION_ID;
    struct message nothing = hears(world, &withdrawn);
    assert_null(nothing.emitted);
    hears_request(world, 1, SHA);
    struct message message = hears(world, &withdrawn);
    check_emitted(&message, 1, 0, &approval__v1__sign_off_voided__descriptor);
    hears_request(world, 1, SHA);
    message = hears(world, &expired);
    check_emitted(&message, 1, 0, &approval__v1__sign_off_voided__descriptor);
    assert_int_equal(0, open_now(world)->n_open);
    check_replay(&approval_service, world->db);
}

static void a_new_letter_a_lapse_and_a_refusal_of_it_void_an_acceptance(void **state)
{
    struct world *world = *state;
    GrantLetterIssued issued = ALLOCATION__V1__GRANT_LETTER_ISSUED__INIT;
    Allocation__V1__GrantLetter letter = ALLOCATION__V1__GRANT_LETTER__INIT;
    GrantLapsed lapsed = ALLOCATION__V1__GRANT_LAPSED__INIT;
    GrantDeclined declined = ALLOCATION__V1__GRANT_DECLINED__INIT;
    const void *events[] = {&issued, &lapsed, &declined};

    given_people(world);
    issued.application_id = lapsed.application_id = declined.application_id = (char *)APPLICATION_ID;
    issued.letter = &letter;
    for (uint32_t i = 0; i < 3; i++) {
        hears_acceptance(world, i + 1);
        struct message message = hears(world, events[i]);
        const SignOffVoided *event = check_emitted(&message, 1, 0,
                                                   &approval__v1__sign_off_voided__descriptor);
        assert_int_equal(ACCEPTANCE, event->kind);
        assert_int_equal(i + 1, event->version);
    }
    check_replay(&approval_service, world->db);
}

static void an_acceptance_prepared_again_takes_the_earlier_ones_place(void **state)
{
    struct world *world = *state;

    given_people(world);
    hears_acceptance(world, 1);
    struct message heard = hears_acceptance(world, 2);
    check_emitted(&heard, 2, 0, &approval__v1__sign_off_voided__descriptor);
    Approve command = an_approval(ACCEPTANCE, 1);
    gives(REFUSED, as(world, "director.1", ROLE_OF(APPROVER)), &command);
    command.version = 2;
    gives(OK, as(world, "director.1", ROLE_OF(APPROVER)), &command);
    check_replay(&approval_service, world->db);
}

static void a_report_needs_two_different_people(void **state)
{
    struct world *world = *state;
    Approve command = an_approval(REPORT, 1);

    given_people(world);
    given_signatory(world, MANDATE_ID, "owner.1", SUPERIOR_LEADER);  // one person in both capacities
    hears_report(world, 1);
    struct message first = gives(OK, as(world, "owner.1", ROLE_OF(PROJECT_OWNER)), &command);
    check_emitted(&first, 1, 0, &approval__v1__signature_given__descriptor);
    struct message twice = gives(REFUSED, as(world, "owner.1", ROLE_OF(SUPERIOR_LEADER)), &command);
    assert_non_null(strstr(twice.reason, "the other signature must be another person's"));
    struct message second = gives(OK, as(world, "leader.1", ROLE_OF(SUPERIOR_LEADER)), &command);
    const SignedOff *event = check_emitted(&second, 1, 0, &approval__v1__signed_off__descriptor);
    assert_int_equal(2, event->n_signatures);
    assert_string_equal("owner.1", event->signatures[0]->person);
    check_replay(&approval_service, world->db);
}

static void a_return_makes_the_first_signature_fall(void **state)
{
    struct world *world = *state;
    Approve command = an_approval(REPORT, 1);
    ReturnForEdit back = APPROVAL__V1__RETURN_FOR_EDIT__INIT;

    given_people(world);
    hears_report(world, 1);
    gives(OK, as(world, "owner.1", ROLE_OF(PROJECT_OWNER)), &command);
    back.application_id = (char *)APPLICATION_ID;
    back.kind = REPORT;
    back.note = (char *)"Bilag mangler.";
    gives(OK, as(world, "editor.1", ROLE_OF(EDITOR)), &back);
    hears_report(world, 1);  // the same version once more: both must sign
    struct message first = gives(OK, as(world, "leader.1", ROLE_OF(SUPERIOR_LEADER)), &command);
    check_emitted(&first, 1, 0, &approval__v1__signature_given__descriptor);
    struct message second = gives(OK, as(world, "owner.1", ROLE_OF(PROJECT_OWNER)), &command);
    check_emitted(&second, 1, 0, &approval__v1__signed_off__descriptor);
    check_replay(&approval_service, world->db);
}

static void a_duty_that_ended_needs_no_signatures(void **state)
{
    struct world *world = *state;
    DutyCancelled cancelled = REPORTING__V1__DUTY_CANCELLED__INIT;

    given_people(world);
    hears_report(world, 1);
    cancelled.application_id = (char *)APPLICATION_ID;
    struct message message = hears(world, &cancelled);
    check_emitted(&message, 1, 0, &approval__v1__sign_off_voided__descriptor);
}

static RegisterMandate a_mandate(void)
{
    RegisterMandate command = APPROVAL__V1__REGISTER_MANDATE__INIT;

    command.signatory_id = (char *)MANDATE_ID;
    command.organisation_number = (char *)LEAD;
    command.person = (char *)"adviser.1";
    command.call_id = (char *)CALL;
    command.most_ore = 100;
    command.from_at_us = JUNE_1;
    command.to_at_us = JUNE_1 + DAY;
    command.document_sha256 = (char *)SHA;
    return command;
}

static void a_mandate_signs_until_it_is_revoked_and_its_signature_stays(void **state)
{
    struct world *world = *state;
    RegisterMandate mandate = a_mandate();
    RevokeSignatory revoke = APPROVAL__V1__REVOKE_SIGNATORY__INIT;
    Approve command = an_approval(APPLICATION, 1);

    given_people(world);
    gives(REFUSED, as(world, "owner.1", ROLE_OF(APPROVER)), &mandate);
    gives(OK, as(world, "director.1", ROLE_OF(APPROVER)), &mandate);
    assert_int_equal(3, signatories_at(world, JUNE_1 - 1));
    assert_int_equal(4, signatories_at(world, 0));
    assert_int_equal(3, signatories_at(world, JUNE_1 + DAY));
    hears_request(world, 1, SHA);
    gives(OK, as(world, "adviser.1", ROLE_OF(APPROVER)), &command);
    revoke.signatory_id = (char *)MANDATE_ID;
    revoke.reason = (char *)"Har sluttet.";
    gives(OK, as(world, "director.1", ROLE_OF(APPROVER)), &revoke);
    assert_int_equal(3, signatories_at(world, 0));
    assert_int_equal(0, open_now(world)->n_open);
    hears_acceptance(world, 1);
    command = an_approval(ACCEPTANCE, 1);
    struct message message = gives(REFUSED, as(world, "adviser.1", ROLE_OF(APPROVER)), &command);
    assert_non_null(strstr(message.reason, "was revoked"));
    check_replay(&approval_service, world->db);
}

static void an_organisation_that_is_not_heard_of_has_no_signatories(void **state)
{
    struct world *world = *state;
    RegisterSignatory command = APPROVAL__V1__REGISTER_SIGNATORY__INIT;

    command.signatory_id = (char *)DIRECTOR_ID;
    command.organisation_number = (char *)LEAD;
    command.person = (char *)"director.1";
    command.capacity = DIRECTOR;
    struct message message = gives(REFUSED, as(world, "officer.1", ROLE_OF(CASE_OFFICER)), &command);
    assert_string_equal("organisation " LEAD " is not in the register of organisations", message.reason);
}

// --------------------------------------------------------------------------------------------- two at once

static void of_two_signatures_at_once_by_one_person_one_is_refused(void **state)
{
    struct world *world = *state;
    Approve command = an_approval(REPORT, 1);
    struct message first = as(world, "owner.1", ROLE_OF(PROJECT_OWNER));
    struct message second = as(world, "owner.1", ROLE_OF(SUPERIOR_LEADER));
    status_t one, other;

    given_people(world);
    given_signatory(world, MANDATE_ID, "owner.1", SUPERIOR_LEADER);
    hears_report(world, 1);
    check_race(&approval_service, world->db, &first, &command, &second, &command, &one, &other);
    assert_int_equal(OK, one);
    assert_int_equal(REFUSED, other);
    assert_non_null(strstr(second.reason, "owner.1 has signed version 1"));
}

static void a_signature_waits_for_the_revocation_of_its_right(void **state)
{
    struct world *world = *state;
    RevokeSignatory revoke = APPROVAL__V1__REVOKE_SIGNATORY__INIT;
    Approve command = an_approval(APPLICATION, 1);
    struct message officer = as(world, "officer.1", ROLE_OF(CASE_OFFICER));
    struct message director = as(world, "director.1", ROLE_OF(APPROVER));
    status_t one, other;

    given_people(world);
    hears_request(world, 1, SHA);
    revoke.signatory_id = (char *)DIRECTOR_ID;
    revoke.reason = (char *)"Har sluttet.";
    check_race(&approval_service, world->db, &officer, &revoke, &director, &command, &one, &other);
    assert_int_equal(OK, one);
    assert_int_equal(REFUSED, other);
    assert_non_null(strstr(director.reason, "was revoked"));
}

static void of_two_revocations_one_is_refused(void **state)
{
    struct world *world = *state;
    RevokeSignatory command = APPROVAL__V1__REVOKE_SIGNATORY__INIT;
    struct message first = as(world, "officer.1", ROLE_OF(CASE_OFFICER));
    struct message second = as(world, "officer.2", ROLE_OF(CASE_OFFICER));
    status_t one, other;

    given_people(world);
    command.signatory_id = (char *)DIRECTOR_ID;
    command.reason = (char *)"Har sluttet.";
    check_race(&approval_service, world->db, &first, &command, &second, &command, &one, &other);
    assert_int_equal(OK, one);
    assert_int_equal(REFUSED, other);
    assert_non_null(strstr(second.reason, "was revoked already"));
}

// --------------------------------------------------------------------------------------------- constraints

static void the_database_keeps_four_eyes_by_itself(void **state)
{
    struct world *world = *state;
    struct message plain = as(world, "owner.1", ROLE_OF(PROJECT_OWNER)), again = plain, alike = plain,
                   half = plain;
    struct message *message = &plain;
    Approve command = an_approval(REPORT, 1);
    const char *id = APPLICATION_ID ":report";

    given_people(world);
    hears_report(world, 1);
    gives(OK, as(world, "owner.1", ROLE_OF(PROJECT_OWNER)), &command);
    // the same person in the other capacity, another person in the same capacity, and half a report as signed
    message = &again;
    assert_int_equal(RETRY, RUN(message, add_signature, NULL, TEXT(id), INT(1), TEXT("owner.1"),
                                INT(SUPERIOR_LEADER), TEXT(OWNER_ID), INT(JUNE_1)));
    message = &alike;
    assert_int_equal(RETRY, RUN(message, add_signature, NULL, TEXT(id), INT(1), TEXT("owner.2"),
                                INT(PROJECT_OWNER), TEXT(OWNER_ID), INT(JUNE_1)));
    message = &half;
    assert_int_equal(POISON, RUN(message, open_sign_off, NULL, TEXT("x:report"), TEXT("x"), INT(9), INT(1),
                                 TEXT(SHA), TEXT(LEAD), TEXT(CALL), INT(0)));
}

static void the_database_lets_nobody_give_a_mandate_to_oneself(void **state)
{
    struct world *world = *state;
    struct message plain = as(world, "director.1", ROLE_OF(APPROVER));
    struct message *message = &plain;

    assert_int_equal(POISON,
                     RUN(message, add_signatory, NULL, TEXT(MANDATE_ID), TEXT(LEAD), TEXT("director.1"),
                         INT(MANDATE), TEXT("director.1"), TEXT(""), INT(0), INT(0), INT(JUNE_1), TEXT(SHA)));
}

static void the_database_knows_no_report_signed_by_one(void **state)
{
    struct world *world = *state;
    struct message plain = as(world, "owner.1", ROLE_OF(PROJECT_OWNER));
    struct message *message = &plain;

    given_people(world);
    hears_report(world, 1);
    assert_int_equal(POISON, RUN(message, complete_sign_off, NULL, TEXT(APPLICATION_ID ":report"), INT(1)));
}

static void the_database_takes_no_values_out_of_range(void **state)
{
    struct world *world = *state;
    struct message plain = as(world, "officer.1", ROLE_OF(CASE_OFFICER));
    struct message *message = &plain;
#define BROKEN(...) assert_int_equal(POISON, RUN(message, __VA_ARGS__))
#define BROKEN_SIGNATORY(capacity, most_ore, to_at_us)                                                       \
    BROKEN(add_signatory, NULL, TEXT(MANDATE_ID), TEXT(LEAD), TEXT("adviser.1"), INT(capacity),              \
           TEXT("director.1"), TEXT(""), INT(most_ore), INT(JUNE_1), INT(to_at_us), TEXT(SHA))
    BROKEN_SIGNATORY(9, 0, JUNE_1 + 1);
    BROKEN_SIGNATORY(MANDATE, -1, JUNE_1 + 1);
    BROKEN_SIGNATORY(MANDATE, 0, JUNE_1);
    given_people(world);
    hears_report(world, 1);
    BROKEN(end_sign_off, NULL, TEXT(APPLICATION_ID ":report"), INT(1), INT(9));
}

#define IN_A_WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_WORLD(a_request_is_signed_off_by_the_director_and_replays_equal),
        IN_A_WORLD(an_edit_voids_and_a_new_request_opens_again),
        IN_A_WORLD(withdrawal_and_expiry_void_what_waits),
        IN_A_WORLD(a_new_letter_a_lapse_and_a_refusal_of_it_void_an_acceptance),
        IN_A_WORLD(an_acceptance_prepared_again_takes_the_earlier_ones_place),
        IN_A_WORLD(a_report_needs_two_different_people),
        IN_A_WORLD(a_return_makes_the_first_signature_fall),
        IN_A_WORLD(a_duty_that_ended_needs_no_signatures),
        IN_A_WORLD(a_mandate_signs_until_it_is_revoked_and_its_signature_stays),
        IN_A_WORLD(an_organisation_that_is_not_heard_of_has_no_signatories),
        IN_A_WORLD(of_two_signatures_at_once_by_one_person_one_is_refused),
        IN_A_WORLD(a_signature_waits_for_the_revocation_of_its_right),
        IN_A_WORLD(of_two_revocations_one_is_refused),
        IN_A_WORLD(the_database_keeps_four_eyes_by_itself),
        IN_A_WORLD(the_database_lets_nobody_give_a_mandate_to_oneself),
        IN_A_WORLD(the_database_knows_no_report_signed_by_one),
        IN_A_WORLD(the_database_takes_no_values_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
