// Tests of verification: a log that is right passes; whatever somebody may have changed in it is found, with
// its position.
#include "verify.h"

#include "intake_v1.pb-c.h"
#include "limits/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define EVENTS 5

struct fixture {
    struct console console;
    Eventlog__V1__Event events[EVENTS];
    Eventlog__V1__Entry entries[EVENTS];
    Eventlog__V1__Head head;
    const char *why;
};

// These tests call functions, not commands.
const struct command *const command_groups[] = {NULL};

static void encode(struct fixture *fixture, size_t index)
{
    Eventlog__V1__Entry *entry = &fixture->entries[index];

    entry->event.data = message_encode(fixture->console.ground, &fixture->events[index], &entry->event.len);
}

// The root that the head must tell for these entries as they are now.
static void set_root(struct fixture *fixture)
{
    struct tree tree = {.size = 0};
    uint8_t leaf[TREE_HASH], root[TREE_HASH];

    for (size_t i = 0; i < EVENTS; i++) {
        tree_leaf(fixture->entries[i].event.data, fixture->entries[i].event.len, leaf);
        tree_add(&tree, leaf);
    }
    tree_root(&tree, root);
    fixture->head.root = (ProtobufCBinaryData){TREE_HASH,
                                               arena_copy(fixture->console.ground, root, TREE_HASH)};
}

static void make_event(struct fixture *fixture, size_t index)
{
    Eventlog__V1__Event *event = &fixture->events[index];
    Intake__V1__CallClosed data = INTAKE__V1__CALL_CLOSED__INIT;

    *event = (Eventlog__V1__Event)EVENTLOG__V1__EVENT__INIT;
    event->id = arena_printf(fixture->console.ground, "0190a000-0000-7000-8000-00000000000%zu", index);
    event->source = "intake";
    event->type = "intake.v1.CallClosed";
    event->stream = index % 2 == 0 ? "intake/call/even" : "intake/call/odd";
    event->version = index / 2 + 1;
    event->rehearsal = true;
    data.call_id = "c";
    event->data.data = message_encode(fixture->console.ground, &data, &event->data.len);
    fixture->entries[index] = (Eventlog__V1__Entry)EVENTLOG__V1__ENTRY__INIT;
    fixture->entries[index].position = index + 1;
    fixture->entries[index].epoch = 1 + index / 3;
    encode(fixture, index);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    fixture->console.arena = arena_new(LIMIT_ARENA_BYTES);
    fixture->console.ground = arena_new(LIMIT_ARENA_BYTES);
    fixture->console.message = message_new(fixture->console.arena);
    fixture->console.contract = protojson_open(fixture->console.ground, PROTOSET, &fixture->why);
    assert_non_null(fixture->console.contract);
    fixture->head = (Eventlog__V1__Head)EVENTLOG__V1__HEAD__INIT;
    fixture->head.position = EVENTS;
    fixture->head.rehearsal = true;
    for (size_t i = 0; i < EVENTS; i++)
        make_event(fixture, i);
    set_root(fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    protojson_close(&fixture->console.contract);
    arena_destroy(&fixture->console.arena);
    arena_destroy(&fixture->console.ground);
    arena_destroy(&fixture->console.hand);
    free(fixture);
    return 0;
}

static bool verify_all(struct fixture *fixture)
{
    verification_t *at = verification_new(&fixture->console, &fixture->head, &(struct tree){0});
    uint8_t root[TREE_HASH];
    bool well = true;

    for (size_t i = 0; well && i < EVENTS; i++)
        well = verification_entry(at, &fixture->entries[i], NULL, &fixture->why);
    well = well && verification_end(at, root, &fixture->why);
    assert_true(!well || (verification_position(at) == EVENTS && verification_streams(at) == 2));
    verification_destroy(&at);
    return well;
}

static void assert_found(struct fixture *fixture, const char *why)
{
    assert_false(verify_all(fixture));
    if (strstr(fixture->why, why) == NULL)
        fail_msg("'%s' does not say '%s'", fixture->why, why);
}

static void a_right_log_is_verified(void **state)
{
    assert_true(verify_all(*state));
}

static void an_event_changed_with_everything_else_right_changes_the_root(void **state)
{
    struct fixture *fixture = *state;
    // given another time in an event, which breaks no rule of streams
    fixture->events[2].time_us = 7;
    encode(fixture, 2);
    // then
    assert_found(fixture, "position 5: the tree's root is ");
}

static void two_events_that_changed_places_are_found(void **state)
{
    struct fixture *fixture = *state;
    ProtobufCBinaryData second = fixture->entries[1].event;

    fixture->entries[1].event = fixture->entries[2].event;
    fixture->entries[2].event = second;
    assert_found(fixture, "the tree's root is ");
}

static void a_missing_position_is_found(void **state)
{
    struct fixture *fixture = *state;

    fixture->entries[3].position = 5;
    assert_found(fixture, "position 4: missing; position 5 came instead");
}

static void a_skipped_version_is_found(void **state)
{
    struct fixture *fixture = *state;

    fixture->events[2].version = 3;
    encode(fixture, 2);
    set_root(fixture);
    assert_found(fixture, "position 3: stream intake/call/even goes from version 1 to 3");
}

static void an_event_of_another_source_is_found(void **state)
{
    struct fixture *fixture = *state;

    fixture->events[1].source = "payment";
    encode(fixture, 1);
    set_root(fixture);
    assert_found(fixture, "position 2: stream intake/call/odd is not of its source 'payment'");
    fixture->events[1].source = "intake";
    fixture->events[1].type = "payment.v1.PaymentDue";
    encode(fixture, 1);
    assert_found(fixture, "position 2: a payment.v1.PaymentDue cannot come from intake");
}

static void what_all_services_have_in_common_may_come_from_any(void **state)
{
    struct fixture *fixture = *state;

    fixture->events[1].type = "service.v1.IncidentRedriven";
    encode(fixture, 1);
    set_root(fixture);
    assert_true(verify_all(fixture));
}

static void the_same_id_twice_is_found(void **state)
{
    struct fixture *fixture = *state;

    fixture->events[4].id = fixture->events[1].id;
    encode(fixture, 4);
    set_root(fixture);
    assert_found(fixture, "position 5: its event has the id of the one at position 2");
    fixture->events[4].id = "seven";
    encode(fixture, 4);
    assert_found(fixture, "position 5: the event's id is not a UUID");
}

static void a_real_event_in_a_rehearsals_log_is_found(void **state)
{
    struct fixture *fixture = *state;

    fixture->events[0].rehearsal = false;
    encode(fixture, 0);
    set_root(fixture);
    assert_found(fixture, "position 1: a real event in a rehearsal's log");
    fixture->head.rehearsal = false;
    assert_found(fixture, "position 2: an event of a rehearsal in a real log");
}

static void data_that_is_no_message_of_the_contract_is_found(void **state)
{
    struct fixture *fixture = *state;

    fixture->events[0].data = (ProtobufCBinaryData){2, (uint8_t *)"\x0A\x05"};
    encode(fixture, 0);
    set_root(fixture);
    assert_found(fixture, "position 1: the event's data is not a intake.v1.CallClosed of this contract");
}

static void bytes_that_are_no_event_are_found(void **state)
{
    struct fixture *fixture = *state;

    fixture->entries[4].event = (ProtobufCBinaryData){3, (uint8_t *)"abc"};
    set_root(fixture);
    assert_found(fixture, "position 5: ");
}

static void an_epoch_that_goes_back_is_found(void **state)
{
    struct fixture *fixture = *state;

    fixture->entries[4].epoch = 1;
    assert_found(fixture, "position 5: its epoch is older");
}

static void another_root_in_the_head_is_found(void **state)
{
    struct fixture *fixture = *state;

    fixture->head.root.len = 31;
    assert_found(fixture, "the event log tells");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_right_log_is_verified),
        TEST(an_event_changed_with_everything_else_right_changes_the_root),
        TEST(two_events_that_changed_places_are_found),
        TEST(a_missing_position_is_found),
        TEST(a_skipped_version_is_found),
        TEST(an_event_of_another_source_is_found),
        TEST(what_all_services_have_in_common_may_come_from_any),
        TEST(the_same_id_twice_is_found),
        TEST(a_real_event_in_a_rehearsals_log_is_found),
        TEST(data_that_is_no_message_of_the_contract_is_found),
        TEST(bytes_that_are_no_event_are_found),
        TEST(an_epoch_that_goes_back_is_found),
        TEST(another_root_in_the_head_is_found),
    };
    return cmocka_run_group_tests_name("verify", tests, NULL, NULL);
}
