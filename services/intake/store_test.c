// store_test: intake's statements against a real PostgreSQL, its constraints, two at once, what the calendar
// makes due, and apply = replay.
#include "check/check.h"

#include "example.h"
#include "intake_store.sql.h"
#include "service_v1.pb-c.h"
#include "values/values.h"

#include <stdlib.h>
#include <string.h>

#define OTHER_APPLICATION "0190aaaa-0000-7000-8000-000000000002"

// A database of its own.
struct world {
    db_t *db;
};

static int open_world(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    assert_non_null(world);
    world->db = check_db_open(&intake_service);
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

static struct message as(struct world *world, int64_t at_us, Bus__V1__Actor__Role role,
                         const char *organisation)
{
    struct message message = check_message(at_us, "someone.1", role, organisation);

    message.db = world->db;
    return message;
}

// Give a command; it must come to this status.
static struct message gives(struct world *world, status_t expected, struct message message,
                            const void *command)
{
    status_t status = check_command(&intake_service, &message, command);

    if (status != expected)
        fail_msg("status %d, not %d: %s", status, expected, message.reason != NULL ? message.reason : "");
    (void)world;
    return message;
}

static struct message hears(struct world *world, int64_t at_us, const void *event)
{
    struct message message = as(world, at_us, ROLE_OF(SERVICE), "");

    message.subject = APPLICATION;
    if (check_heard(&intake_service, &message, event) != OK)
        fail_msg("not heard: %s", message.reason);
    return message;
}

static const Application *shown(struct message *message)
{
    GetApplication query = INTAKE__V1__GET_APPLICATION__INIT;

    query.application_id = (char *)APPLICATION;
    return check_query(&intake_service, message, &intake__v1__application__descriptor, &query);
}

static const Application *now(struct world *world)
{
    struct message message = as(world, JUNE_1, ROLE_OF(EDITOR), LEAD);

    return shown(&message);
}

// ------------------------------------------------------------------------------------------------- given

static void given_organisations(struct world *world)
{
    struct message message = as(world, JANUARY, ROLE_OF(CASE_OFFICER), "");
    arena_t *arena = message.arena;
    ImportOrganisations command = INTAKE__V1__IMPORT_ORGANISATIONS__INIT;

    command.n_organisations = 3;
    command.organisations = LIST(Organisation *,
                                 example_organisation(arena, LEAD, "Oslo kommune", "KOMM", "0301"),
                                 example_organisation(arena, PARTNER, "Stavanger kommune", "KOMM", "1103"),
                                 example_organisation(arena, COUNTY, "Agder fylkeskommune", "FYLK", ""));
    gives(world, OK, message, &command);
}

static void given_call(struct world *world)
{
    struct message message = as(world, JANUARY, ROLE_OF(UNIT_HEAD), "");
    PublishCall command = INTAKE__V1__PUBLISH_CALL__INIT;

    command.definition = example_definition(message.arena);
    gives(world, OK, message, &command);
}

static void given_draft(struct world *world, int64_t at_us, const char *id)
{
    StartDraft command = INTAKE__V1__START_DRAFT__INIT;

    command.application_id = (char *)id;
    command.call_id = (char *)CALL;
    gives(world, OK, as(world, at_us, ROLE_OF(EDITOR), LEAD), &command);
}

static struct message save(struct world *world, status_t expected, int64_t at_us, uint32_t version)
{
    struct message message = as(world, at_us, ROLE_OF(EDITOR), LEAD);
    SaveDraft command = INTAKE__V1__SAVE_DRAFT__INIT;

    command.application_id = (char *)APPLICATION;
    command.expected_version = version;
    command.content = example_content(message.arena);
    return gives(world, expected, message, &command);
}

static void confirm(struct world *world, int64_t at_us, uint32_t version)
{
    ConfirmParticipation command = INTAKE__V1__CONFIRM_PARTICIPATION__INIT;

    command.application_id = (char *)APPLICATION;
    command.content_version = version;
    gives(world, OK, as(world, at_us, ROLE_OF(EDITOR), PARTNER), &command);
}

static struct message request(struct world *world, status_t expected, int64_t at_us, uint32_t version)
{
    RequestApproval command = INTAKE__V1__REQUEST_APPROVAL__INIT;

    command.application_id = (char *)APPLICATION;
    command.expected_version = version;
    return gives(world, expected, as(world, at_us, ROLE_OF(EDITOR), LEAD), &command);
}

// A draft of version 1 that awaits approval.
static void given_request(struct world *world, int64_t at_us)
{
    given_organisations(world);
    given_call(world);
    given_draft(world, at_us, APPLICATION);
    save(world, OK, at_us, 0);
    confirm(world, at_us, 1);
    request(world, OK, at_us, 1);
}

static struct message signs(struct world *world, uint32_t version, int64_t signed_at_us)
{
    const Application *application = now(world);
    Approval__V1__Signature signature = APPROVAL__V1__SIGNATURE__INIT;
    Approval__V1__Signature *signatures[] = {&signature};
    SignedOff event = APPROVAL__V1__SIGNED_OFF__INIT;

    signature.person = (char *)"director.1";
    event.sign_off_id = (char *)APPLICATION ":application";
    event.application_id = (char *)APPLICATION;
    event.kind = TYPES__V1__SIGN_OFF_KIND__APPLICATION;
    event.version = version;
    event.content_sha256 = application->content_sha256;
    event.n_signatures = 1;
    event.signatures = signatures;
    event.signed_at_us = signed_at_us;
    return hears(world, signed_at_us + 1, &event);
}

static ExtendDeadline an_extension(int64_t deadline_at_us)
{
    ExtendDeadline command = INTAKE__V1__EXTEND_DEADLINE__INIT;

    command.call_id = (char *)CALL;
    command.deadline_at_us = deadline_at_us;
    command.reason = (char *)"Portalen var nede.";
    command.outage_from_at_us = DEADLINE - HOUR;
    command.outage_to_at_us = DEADLINE;
    return command;
}

// How many ids a timer's statement finds due, and the first of them.
static int due(struct world *world, const struct sql *statement, int64_t at_us, const char **ret_first)
{
    struct message message = as(world, at_us, ROLE_OF(CLOCK), "");
    struct message *const the_message = &message;
    struct arg at = db_int(the_message, at_us);
    struct rows rows;

    assert_int_equal(OK, db_run(the_message, statement, &at, 1, &rows));
    if (rows.count > 0 && ret_first != NULL)
        *ret_first = arena_text(message.arena, row_text(&rows, 0, 0));
    return rows.count;
}

// --------------------------------------------------------------------------------------------------- tests

static void an_application_goes_from_draft_to_delivery_and_replays_equal(void **state)
{
    struct world *world = *state;

    given_request(world, JUNE_1);  // given
    assert_int_equal(AWAITING_APPROVAL, now(world)->state);
    struct message heard = signs(world, 1, DEADLINE - 1);  // when
    const ApplicationSubmitted *event = check_emitted(&heard, 1, 0,
                                                      &intake__v1__application_submitted__descriptor);
    assert_string_equal("0301", event->municipality_number);  // then
    assert_string_equal(now(world)->content_sha256, event->content_sha256);
    assert_string_equal("Veileder mot rasisme", event->content->title);
    assert_int_equal(SUBMITTED, now(world)->state);
    check_replay(&intake_service, world->db);
}

static void the_hash_is_over_the_bytes_that_were_saved_with_seals_for_texts(void **state)
{
    struct world *world = *state;
    struct message message = as(world, JUNE_1, ROLE_OF(EDITOR), LEAD);
    Content *saved = example_content(message.arena);
    size_t size;

    given_request(world, JUNE_1);                      // given
    const Application *application = shown(&message);  // when
    const Contact *told = application->content->contacts[0];
    Contact *contact = saved->contacts[0];
    contact->name->text = contact->email->text = contact->phone->text = (char *)"";
    contact->name->seal = told->name->seal;
    contact->email->seal = told->email->seal;
    contact->phone->seal = told->phone->seal;
    const uint8_t *bytes = message_encode(message.arena, saved, &size);
    assert_string_equal(sha256_text(message.arena, bytes, size), application->content_sha256);  // then
}

static void whom_to_ask_is_told_until_it_is_erased(void **state)
{
    struct world *world = *state;
    Service__V1__Erase erase = SERVICE__V1__ERASE__INIT;

    given_request(world, JUNE_1);  // given
    const Application *before = now(world);
    assert_string_equal("Åse Øvrebø", before->content->contacts[0]->name->text);
    assert_string_equal("aase.oevreboe@example.no", before->content->contacts[0]->email->text);
    assert_true(before->erased_at_us == 0);
    erase.case_id = (char *)APPLICATION;  // when
    erase.ground = (char *)"the person asks for it";
    gives(world, OK, as(world, JUNE_1 + HOUR, ROLE_OF(UNIT_HEAD), ""), &erase);
    const Application *after = now(world);  // then
    assert_string_equal("", after->content->contacts[0]->name->text);
    assert_string_equal("prosjektleder", after->content->contacts[0]->role);
    assert_string_equal(before->content_sha256, after->content_sha256);
    assert_true(after->erased_at_us == JUNE_1 + HOUR);
    assert_string_equal("the person asks for it", after->erased_ground);
    assert_int_equal(0, after->n_missing);
    signs(world, 1, DEADLINE - 1);
    assert_int_equal(SUBMITTED, now(world)->state);
    check_replay(&intake_service, world->db);
}

static void a_late_one_becomes_timely_when_the_deadline_moves_behind_it(void **state)
{
    struct world *world = *state;

    given_request(world, DEADLINE + 1);  // given one signed 10 µs after the deadline
    struct message heard = signs(world, 1, DEADLINE + 10);
    check_emitted(&heard, 1, 0, &intake__v1__application_submitted_late__descriptor);
    assert_int_equal(SUBMITTED_LATE, now(world)->state);
    ExtendDeadline command = an_extension(DEADLINE + 10);  // when the new deadline is that very instant
    struct message message = gives(world, OK, as(world, DEADLINE + HOUR, ROLE_OF(UNIT_HEAD), ""), &command);
    check_emitted(&message, 1, 0, &intake__v1__deadline_extended__descriptor);  // then it stays late
    command = an_extension(DEADLINE + 11);
    message = gives(world, OK, as(world, DEADLINE + HOUR, ROLE_OF(UNIT_HEAD), ""), &command);
    const LateBecameTimely *timely = check_emitted(&message, 2, 1,
                                                   &intake__v1__late_became_timely__descriptor);
    assert_string_equal(APPLICATION, timely->application_id);
    assert_int_equal(SUBMITTED, now(world)->state);
    check_replay(&intake_service, world->db);
}

static void an_extended_call_opens_again_and_closes_at_the_new_deadline(void **state)
{
    struct world *world = *state;
    CloseCall close = INTAKE__V1__CLOSE_CALL__INIT;
    const char *first = "";

    given_call(world);
    close.call_id = (char *)CALL;
    assert_int_equal(0, due(world, &sql_due_calls, DEADLINE - 1, NULL));
    assert_int_equal(1, due(world, &sql_due_calls, DEADLINE, &first));
    assert_string_equal(CALL, first);
    gives(world, OK, as(world, DEADLINE, ROLE_OF(CLOCK), ""), &close);
    assert_int_equal(0, due(world, &sql_due_calls, DEADLINE, NULL));

    ExtendDeadline extend = an_extension(DEADLINE + 2 * HOUR);
    gives(world, OK, as(world, DEADLINE + HOUR, ROLE_OF(UNIT_HEAD), ""), &extend);
    assert_int_equal(0, due(world, &sql_due_calls, DEADLINE + HOUR, NULL));
    assert_int_equal(1, due(world, &sql_due_calls, DEADLINE + 2 * HOUR, NULL));
    gives(world, OK, as(world, DEADLINE + 2 * HOUR, ROLE_OF(CLOCK), ""), &close);

    struct message message = as(world, DEADLINE + 3 * HOUR, ROLE_OF(EDITOR), STRANGER);
    GetCall query = INTAKE__V1__GET_CALL__INIT;
    query.call_id = (char *)CALL;
    const Call *call = check_query(&intake_service, &message, &intake__v1__call__descriptor, &query);
    assert_true(call->closed);
    assert_int_equal(DEADLINE + 2 * HOUR, call->definition->deadline_at_us);
    assert_int_equal(DEADLINE + 3 * HOUR, call->now_us);
    check_replay(&intake_service, world->db);
}

static void drafts_expire_but_not_what_was_delivered(void **state)
{
    struct world *world = *state;
    ExpireDraft command = INTAKE__V1__EXPIRE_DRAFT__INIT;
    const char *first = "";

    given_request(world, JUNE_1);
    signs(world, 1, DEADLINE - 1);
    given_draft(world, JUNE_1, OTHER_APPLICATION);
    assert_int_equal(0, due(world, &sql_due_drafts, DEADLINE + 24 * HOUR - 1, NULL));
    assert_int_equal(1, due(world, &sql_due_drafts, DEADLINE + 24 * HOUR, &first));
    assert_string_equal(OTHER_APPLICATION, first);
    command.application_id = (char *)OTHER_APPLICATION;
    gives(world, OK, as(world, DEADLINE + 24 * HOUR, ROLE_OF(CLOCK), ""), &command);
    assert_int_equal(0, due(world, &sql_due_drafts, DEADLINE + 24 * HOUR, NULL));
    check_replay(&intake_service, world->db);
}

static void an_expired_draft_that_was_signed_in_time_is_delivered(void **state)
{
    struct world *world = *state;
    ExpireDraft command = INTAKE__V1__EXPIRE_DRAFT__INIT;

    given_request(world, JUNE_1);
    command.application_id = (char *)APPLICATION;
    gives(world, OK, as(world, DEADLINE + 24 * HOUR, ROLE_OF(CLOCK), ""), &command);
    assert_int_equal(EXPIRED, now(world)->state);
    signs(world, 1, DEADLINE + 24 * HOUR - 1);
    assert_int_equal(SUBMITTED_LATE, now(world)->state);
    check_replay(&intake_service, world->db);
}

static void an_edit_voids_the_request_and_its_signature(void **state)
{
    struct world *world = *state;

    given_request(world, JUNE_1);
    struct message saved = save(world, OK, JUNE_1, 1);
    const DraftSaved *event = check_emitted(&saved, 1, 0, &intake__v1__draft_saved__descriptor);
    assert_true(event->voided_request);
    struct message heard = signs(world, 1, DEADLINE - 1);
    check_emitted(&heard, 1, 0, &intake__v1__sign_off_disregarded__descriptor);
    const Application *application = now(world);
    assert_int_equal(DRAFT, application->state);
    assert_int_equal(2, application->content_version);
    assert_int_equal(1, application->n_missing);
    assert_non_null(strstr(application->missing[0], "the last signature did not count"));
    request(world, OK, JUNE_1, 2);  // and a new request starts afresh
    assert_int_equal(0, now(world)->n_missing);
    check_replay(&intake_service, world->db);
}

static void a_returned_request_can_be_made_again_without_an_edit(void **state)
{
    struct world *world = *state;
    SignOffReturned event = APPROVAL__V1__SIGN_OFF_RETURNED__INIT;

    given_request(world, JUNE_1);
    event.application_id = (char *)APPLICATION;
    event.kind = TYPES__V1__SIGN_OFF_KIND__APPLICATION;
    event.version = 1;
    hears(world, JUNE_1, &event);
    assert_int_equal(DRAFT, now(world)->state);
    request(world, OK, JUNE_1, 1);
    check_replay(&intake_service, world->db);
}

static void what_was_decided_can_not_be_withdrawn(void **state)
{
    struct world *world = *state;
    ApplicationRejected rejected = EVALUATION__V1__APPLICATION_REJECTED__INIT;
    AwardDecided awarded = ALLOCATION__V1__AWARD_DECIDED__INIT;
    ApplicationRefused refused = ALLOCATION__V1__APPLICATION_REFUSED__INIT;
    Withdraw command = INTAKE__V1__WITHDRAW__INIT;

    given_request(world, JUNE_1);
    signs(world, 1, DEADLINE - 1);
    refused.application_id = rejected.application_id = (char *)OTHER_APPLICATION;
    hears(world, DEADLINE, &refused);
    hears(world, DEADLINE, &rejected);  // a second decision about the same changes nothing
    command.application_id = (char *)APPLICATION;
    command.reason = (char *)"Ikke aktuelt.";
    awarded.application_id = (char *)APPLICATION;
    hears(world, DEADLINE, &awarded);
    struct message message = gives(world, REFUSED, as(world, DEADLINE, ROLE_OF(APPROVER), LEAD), &command);
    assert_non_null(strstr(message.reason, "is awarded; it could be withdrawn until it was decided"));
}

static void an_extra_call_needs_the_reservation_that_was_heard(void **state)
{
    struct world *world = *state;
    FrameReserved reserved = ALLOCATION__V1__FRAME_RESERVED__INIT;
    struct message message = as(world, JUNE_1, ROLE_OF(UNIT_HEAD), "");
    OpenExtraCall command = INTAKE__V1__OPEN_EXTRA_CALL__INIT;

    given_call(world);
    command.definition = example_definition(message.arena);
    command.definition->call_id = (char *)EXTRA_CALL;
    command.definition->type = TYPES__V1__CALL_DEFINITION__TYPE__EXTRA;
    command.definition->parent_call_id = (char *)CALL;
    command.definition->frame_ore = 700000000;
    command.reason = (char *)"For få søkere.";
    gives(world, REFUSED, message, &command);

    reserved.call_id = (char *)CALL;
    reserved.extra_call_id = (char *)EXTRA_CALL;
    reserved.amount_ore = 300000000;
    hears(world, JUNE_1, &reserved);
    gives(world, REFUSED, as(world, JUNE_1, ROLE_OF(UNIT_HEAD), ""), &command);
    reserved.amount_ore = 400000000;
    hears(world, JUNE_1, &reserved);  // reservations for the same call add up
    gives(world, OK, as(world, JUNE_1, ROLE_OF(UNIT_HEAD), ""), &command);

    struct message asking = as(world, JUNE_1, ROLE_OF(AUDITOR), "");
    Intake__V1__ListCalls query = INTAKE__V1__LIST_CALLS__INIT;
    const Calls *calls = check_query(&intake_service, &asking, &intake__v1__calls__descriptor, &query);
    assert_int_equal(2, calls->n_call_ids);
    assert_string_equal(EXTRA_CALL, calls->call_ids[0]);
    check_replay(&intake_service, world->db);
}

static void an_import_again_changes_nothing_and_a_change_is_kept(void **state)
{
    struct world *world = *state;
    struct message message = as(world, JANUARY, ROLE_OF(OPERATOR), "");
    arena_t *arena = message.arena;
    ImportOrganisations command = INTAKE__V1__IMPORT_ORGANISATIONS__INIT;

    given_organisations(world);
    command.n_organisations = 2;
    command.organisations = LIST(Organisation *,
                                 example_organisation(arena, LEAD, "Oslo kommune", "KOMM", "0301"),
                                 example_organisation(arena, PARTNER, "Stavanger", "KOMM", "1103"));
    message = gives(world, OK, message, &command);
    const OrganisationRegistered *event = check_emitted(&message, 1, 0,
                                                        &intake__v1__organisation_registered__descriptor);
    assert_string_equal("Stavanger", event->organisation->name);
    check_replay(&intake_service, world->db);
}

static void an_officer_does_not_read_applications_here(void **state)
{
    struct world *world = *state;
    struct message message = as(world, JUNE_1, ROLE_OF(CASE_OFFICER), "");
    GetApplication query = INTAKE__V1__GET_APPLICATION__INIT;
    size_t size;

    given_request(world, JUNE_1);
    query.application_id = (char *)APPLICATION;
    const uint8_t *bytes = message_encode(message.arena, &query, &size);
    message.type = query.base.descriptor->name;
    assert_int_equal(REFUSED, service_read(&intake_service, &message, bytes, size));
}

static void only_the_clock_closes_and_expires(void **state)
{
    struct world *world = *state;
    CloseCall close = INTAKE__V1__CLOSE_CALL__INIT;
    ExpireDraft expire = INTAKE__V1__EXPIRE_DRAFT__INIT;

    given_call(world);
    close.call_id = (char *)CALL;
    expire.application_id = (char *)APPLICATION;
    gives(world, REFUSED, as(world, DEADLINE, ROLE_OF(UNIT_HEAD), ""), &close);
    gives(world, REFUSED, as(world, DEADLINE, ROLE_OF(OPERATOR), ""), &expire);
}

// --------------------------------------------------------------------------------------------- two at once

static void of_two_saves_over_the_same_version_one_is_refused(void **state)
{
    struct world *world = *state;
    struct message first = as(world, JUNE_1, ROLE_OF(EDITOR), LEAD);
    struct message second = as(world, JUNE_1, ROLE_OF(EDITOR), LEAD);
    SaveDraft command = INTAKE__V1__SAVE_DRAFT__INIT;
    status_t one, other;

    given_organisations(world);
    given_call(world);
    given_draft(world, JUNE_1, APPLICATION);
    command.application_id = (char *)APPLICATION;
    command.content = example_content(first.arena);
    check_race(&intake_service, world->db, &first, &command, &second, &command, &one, &other);
    assert_int_equal(OK, one);
    assert_int_equal(REFUSED, other);
    assert_non_null(strstr(second.reason, "expected_version of application"));
    check_replay(&intake_service, world->db);
}

static void of_two_drafts_with_the_same_id_one_is_tried_again_and_refused(void **state)
{
    struct world *world = *state;
    struct message first = as(world, JUNE_1, ROLE_OF(EDITOR), LEAD);
    struct message second = as(world, JUNE_1, ROLE_OF(EDITOR), PARTNER);
    StartDraft command = INTAKE__V1__START_DRAFT__INIT;
    status_t one, other;

    given_organisations(world);
    given_call(world);
    command.application_id = (char *)APPLICATION;
    command.call_id = (char *)CALL;
    check_race(&intake_service, world->db, &first, &command, &second, &command, &one, &other);
    assert_int_equal(OK, one);
    assert_int_equal(RETRY, other);
    struct message again = gives(world, REFUSED, as(world, JUNE_1, ROLE_OF(EDITOR), PARTNER), &command);
    assert_non_null(strstr(again.reason, "exists already"));
}

static void a_draft_does_not_expire_while_its_deadline_is_being_moved(void **state)
{
    struct world *world = *state;
    struct message head = as(world, DEADLINE + 24 * HOUR - 1, ROLE_OF(UNIT_HEAD), "");
    struct message clock = as(world, DEADLINE + 24 * HOUR, ROLE_OF(CLOCK), "");
    ExtendDeadline extend = an_extension(DEADLINE + HOUR);
    ExpireDraft expire = INTAKE__V1__EXPIRE_DRAFT__INIT;
    status_t one, other;

    given_request(world, JUNE_1);
    expire.application_id = (char *)APPLICATION;
    check_race(&intake_service, world->db, &head, &extend, &clock, &expire, &one, &other);
    assert_int_equal(OK, one);
    assert_int_equal(REFUSED, other);
    assert_int_equal(AWAITING_APPROVAL, now(world)->state);
}

static void of_two_extensions_to_the_same_instant_one_is_refused(void **state)
{
    struct world *world = *state;
    struct message first = as(world, JUNE_1, ROLE_OF(UNIT_HEAD), "");
    struct message second = as(world, JUNE_1, ROLE_OF(UNIT_HEAD), "");
    ExtendDeadline command = an_extension(DEADLINE + HOUR);
    status_t one, other;

    given_call(world);
    command.outage_from_at_us = command.outage_to_at_us = 0;
    check_race(&intake_service, world->db, &first, &command, &second, &command, &one, &other);
    assert_int_equal(OK, one);
    assert_int_equal(REFUSED, other);
    assert_non_null(strstr(second.reason, "must be later than the present deadline"));
}

static void what_is_being_withdrawn_does_not_become_timely(void **state)
{
    struct world *world = *state;
    struct message director = as(world, DEADLINE + HOUR, ROLE_OF(APPROVER), LEAD);
    struct message head = as(world, DEADLINE + HOUR, ROLE_OF(UNIT_HEAD), "");
    ExtendDeadline extend = an_extension(DEADLINE + HOUR);
    Withdraw withdraw = INTAKE__V1__WITHDRAW__INIT;
    status_t one, other;

    given_request(world, DEADLINE + 1);
    signs(world, 1, DEADLINE + 10);
    withdraw.application_id = (char *)APPLICATION;
    withdraw.reason = (char *)"Ikke aktuelt.";
    check_race(&intake_service, world->db, &director, &withdraw, &head, &extend, &one, &other);
    assert_int_equal(OK, one);
    assert_int_equal(OK, other);
    check_emitted(&head, 1, 0, &intake__v1__deadline_extended__descriptor);
    assert_int_equal(WITHDRAWN, now(world)->state);
}

static void of_two_imports_of_the_same_change_one_changes_nothing(void **state)
{
    struct world *world = *state;
    struct message first = as(world, JANUARY, ROLE_OF(OPERATOR), "");
    struct message second = as(world, JANUARY, ROLE_OF(OPERATOR), "");
    arena_t *arena = first.arena;
    ImportOrganisations command = INTAKE__V1__IMPORT_ORGANISATIONS__INIT;
    status_t one, other;

    given_organisations(world);
    command.n_organisations = 1;
    command.organisations = LIST(Organisation *,
                                 example_organisation(arena, LEAD, "Oslo by", "KOMM", "0301"));
    check_race(&intake_service, world->db, &first, &command, &second, &command, &one, &other);
    assert_int_equal(OK, one);
    assert_int_equal(OK, other);
    assert_null(second.emitted);
}

// --------------------------------------------------------------------------------------------- constraints

static void the_database_keeps_a_request_to_the_present_version(void **state)
{
    struct world *world = *state;
    struct message plain = as(world, JUNE_1, ROLE_OF(CLOCK), "");
    struct message *message = &plain;

    given_request(world, JUNE_1);
    assert_int_equal(POISON, RUN(message, freeze_content, NULL, TEXT(APPLICATION), INT(7)));
}

static void the_database_knows_no_other_states_and_no_unsigned_delivery(void **state)
{
    struct world *world = *state;
    struct message plain = as(world, JUNE_1, ROLE_OF(CLOCK), ""), other = plain;
    struct message *message = &plain;

    given_request(world, JUNE_1);
    assert_int_equal(POISON, RUN(message, end_application, NULL, TEXT(APPLICATION), INT(7)));
    message = &other;
    assert_int_equal(POISON, RUN(message, end_application, NULL, TEXT(APPLICATION), INT(SUBMITTED)));
}

static void the_database_takes_no_values_out_of_range(void **state)
{
    struct world *world = *state;
    struct message plain = as(world, JUNE_1, ROLE_OF(CLOCK), "");
    struct message *message = &plain;
#define BROKEN(...) assert_int_equal(POISON, RUN(message, __VA_ARGS__))
    given_request(world, JUNE_1);
    BROKEN(put_organisation, NULL, TEXT("12345678"), TEXT("A"), TEXT("AS"), TEXT(""), TEXT("nb"));
    BROKEN(put_organisation, NULL, TEXT(LEAD), TEXT("A"), TEXT("AS"), TEXT(""), TEXT("en"));
    BROKEN(put_organisation, NULL, TEXT(LEAD), TEXT("A"), TEXT("KOMM"), TEXT(""), TEXT("nb"));
    BROKEN(add_call, NULL, TEXT("x"), BYTES("", 0), INT(1), INT(0), BOOL(true));
    BROKEN(save_content, NULL, TEXT(APPLICATION), INT(0), BYTES("", 0), TEXT(""));
    BROKEN(put_confirmation, NULL, TEXT("x"), TEXT(LEAD), INT(-1));
    BROKEN(put_reservation, NULL, TEXT("x"), TEXT("y"), INT(0));
    BROKEN(put_decision, NULL, TEXT("x"), TEXT("postponed"));
}

#define IN_A_WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_WORLD(an_application_goes_from_draft_to_delivery_and_replays_equal),
        IN_A_WORLD(the_hash_is_over_the_bytes_that_were_saved_with_seals_for_texts),
        IN_A_WORLD(whom_to_ask_is_told_until_it_is_erased),
        IN_A_WORLD(a_late_one_becomes_timely_when_the_deadline_moves_behind_it),
        IN_A_WORLD(an_extended_call_opens_again_and_closes_at_the_new_deadline),
        IN_A_WORLD(drafts_expire_but_not_what_was_delivered),
        IN_A_WORLD(an_expired_draft_that_was_signed_in_time_is_delivered),
        IN_A_WORLD(an_edit_voids_the_request_and_its_signature),
        IN_A_WORLD(a_returned_request_can_be_made_again_without_an_edit),
        IN_A_WORLD(what_was_decided_can_not_be_withdrawn),
        IN_A_WORLD(an_extra_call_needs_the_reservation_that_was_heard),
        IN_A_WORLD(an_import_again_changes_nothing_and_a_change_is_kept),
        IN_A_WORLD(an_officer_does_not_read_applications_here),
        IN_A_WORLD(only_the_clock_closes_and_expires),
        IN_A_WORLD(of_two_saves_over_the_same_version_one_is_refused),
        IN_A_WORLD(of_two_drafts_with_the_same_id_one_is_tried_again_and_refused),
        IN_A_WORLD(a_draft_does_not_expire_while_its_deadline_is_being_moved),
        IN_A_WORLD(of_two_extensions_to_the_same_instant_one_is_refused),
        IN_A_WORLD(what_is_being_withdrawn_does_not_become_timely),
        IN_A_WORLD(of_two_imports_of_the_same_change_one_changes_nothing),
        IN_A_WORLD(the_database_keeps_a_request_to_the_present_version),
        IN_A_WORLD(the_database_takes_no_values_out_of_range),
        IN_A_WORLD(the_database_knows_no_other_states_and_no_unsigned_delivery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
