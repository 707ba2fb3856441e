// eventlog: what may stand in the log and what may not, against a real PostgreSQL.
#include "eventlog.h"

#include "check/check.h"
#include "eventlog_store.sql.h"
#include "limits/limits.h"
#include "values/values.h"

#include <stdlib.h>
#include <string.h>

static const struct service schema = {
    .name = "eventlog", .statements = sql_eventlog_all, .migrations = migrations_eventlog};

// A log of our own and a message to say things with.
struct fixture {
    struct eventlog log;
    arena_t *arena;
    struct message message;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    fixture->arena = arena_new(LIMIT_ARENA_BYTES);
    fixture->message = message_new(fixture->arena);
    fixture->log.db = check_db_open(&schema);
    fixture->message.db = fixture->log.db;
    assert_int_equal(OK, log_take_over(&fixture->log, &fixture->message));
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    check_db_close(&fixture->log.db);
    arena_destroy(&fixture->arena);
    free(fixture);
    return 0;
}

static Event an_event(struct fixture *fixture, const char *stream, uint64_t version)
{
    Event event = EVENTLOG__V1__EVENT__INIT;

    event.id = uuid_from(fixture->arena, arena_printf(fixture->arena, "%s %d", stream, (int)version));
    event.source = (char *)"intake";
    event.type = (char *)"intake.v1.CallClosed";
    event.stream = (char *)stream;
    event.version = version;
    event.subject = (char *)"call";
    event.time_us = 1;
    event.data = (ProtobufCBinaryData){.len = 3, .data = (uint8_t *)"\x0a\x01x"};
    return event;
}

// Append these events as one request of "intake"; the results come back.
static Eventlog__V1__Appended__One **append(struct fixture *fixture, const Event *events, int count,
                                            size_t *ret_added)
{
    arena_t *arena = fixture->arena;
    Append *append = arena_alloc(arena, sizeof *append);
    Bus__V1__Request *request = arena_alloc(arena, sizeof *request);
    Entry **entries;
    size_t added = 0;

    eventlog__v1__append__init(append);
    bus__v1__request__init(request);
    request->sender = (char *)"intake";
    append->n_events = (size_t)count;
    append->events = arena_alloc(arena, (size_t)count * sizeof *append->events);
    for (int i = 0; i < count; i++)
        append->events[i].data = message_encode(arena, &events[i], &append->events[i].len);
    struct wish wish = {.request = request, .append = append};
    assert_int_equal(OK, log_append(&fixture->log, &fixture->message, &wish, 1, &entries, &added));
    if (ret_added)
        *ret_added = added;
    return wish.results;
}

#define STORED    EVENTLOG__V1__APPENDED__RESULT__STORED
#define HELD_BACK EVENTLOG__V1__APPENDED__RESULT__HELD_BACK
#define NOT_TAKEN EVENTLOG__V1__APPENDED__RESULT__REFUSED

static void events_get_positions_in_a_row(void **state)
{
    struct fixture *fixture = *state;  // given
    Event events[] = {an_event(fixture, "intake/call/a", 1), an_event(fixture, "intake/call/b", 1),
                      an_event(fixture, "intake/call/a", 2)};

    Eventlog__V1__Appended__One **results = append(fixture, events, 3, NULL);  // when
    for (int i = 0; i < 3; i++) {                                              // then
        assert_int_equal(STORED, results[i]->result);
        assert_int_equal(i + 1, results[i]->position);
    }
}

static void a_repeat_is_acknowledged_with_its_first_position(void **state)
{
    struct fixture *fixture = *state;  // given
    Event event = an_event(fixture, "intake/call/a", 1), other = an_event(fixture, "intake/call/b", 1);
    Event twice[] = {event, event};
    size_t added;

    append(fixture, &other, 1, NULL);
    append(fixture, twice, 2, &added);                                         // when: twice in one batch
    assert_int_equal(1, added);                                                // then
    Eventlog__V1__Appended__One **again = append(fixture, &event, 1, &added);  // when: later
    assert_int_equal(0, added);                                                // then
    assert_int_equal(STORED, again[0]->result);
    assert_int_equal(2, again[0]->position);
    assert_int_equal(2, fixture->log.tree.size);
}

static void a_gap_in_a_stream_is_held_back(void **state)
{
    struct fixture *fixture = *state;  // given
    Event early = an_event(fixture, "intake/call/a", 2), first = an_event(fixture, "intake/call/a", 1);

    assert_int_equal(HELD_BACK, append(fixture, &early, 1, NULL)[0]->result);  // when, then
    append(fixture, &first, 1, NULL);
    assert_int_equal(STORED, append(fixture, &early, 1, NULL)[0]->result);
}

static void another_event_under_a_taken_version_is_refused(void **state)
{
    struct fixture *fixture = *state;  // given
    Event event = an_event(fixture, "intake/call/a", 1), forged = event;

    append(fixture, &event, 1, NULL);
    forged.subject = (char *)"something else";
    Eventlog__V1__Appended__One **results = append(fixture, &forged, 1, NULL);  // when
    assert_int_equal(NOT_TAKEN, results[0]->result);                            // then
    assert_non_null(strstr(results[0]->reason, "with other content"));
}

static void an_event_of_another_source_is_refused(void **state)
{
    struct fixture *fixture = *state;
    Event source = an_event(fixture, "intake/call/a", 1), stream = source, type = source, version = source,
          rehearsal = source;

    source.source = (char *)"payment";
    stream.stream = (char *)"payment/instalment/x";
    type.type = (char *)"payment.v1.PaymentConfirmed";
    version.version = 0;
    rehearsal.rehearsal = true;
    Event events[] = {source, stream, type, version, rehearsal};
    const char *reasons[] = {"sender is 'intake'", "must begin with 'intake/'", "must belong to the package",
                             "must be 1 or more", "this log is real"};
    Eventlog__V1__Appended__One **results = append(fixture, events, 5, NULL);  // when
    for (int i = 0; i < 5; i++) {                                              // then
        assert_int_equal(NOT_TAKEN, results[i]->result);
        assert_non_null(strstr(results[i]->reason, reasons[i]));
    }
    assert_int_equal(0, fixture->log.tree.size);
}

static void what_all_services_have_in_common_is_taken_from_each_in_its_place(void **state)
{
    struct fixture *fixture = *state;
    Event incident = an_event(fixture, "intake/incident/x", 1),
          elsewhere = an_event(fixture, "intake/call/x", 1);

    incident.type = elsewhere.type = (char *)"service.v1.IncidentRedriven";
    Event events[] = {incident, elsewhere};
    Eventlog__V1__Appended__One **results = append(fixture, events, 2, NULL);      // when
    assert_int_equal(EVENTLOG__V1__APPENDED__RESULT__STORED, results[0]->result);  // then
    assert_int_equal(NOT_TAKEN, results[1]->result);
}

static void a_writer_that_was_taken_over_stops(void **state)
{
    struct fixture *fixture = *state;
    Event event = an_event(fixture, "intake/call/a", 1);
    Append append = EVENTLOG__V1__APPEND__INIT;
    Bus__V1__Request request = BUS__V1__REQUEST__INIT;
    struct wish wish = {.request = &request, .append = &append};
    Entry **entries;
    size_t added, size;

    fixture->log.epoch--;  // given: someone else has raised the epoch since
    request.sender = (char *)"intake";
    ProtobufCBinaryData bytes = {.data = message_encode(fixture->arena, &event, &size)};
    bytes.len = size;
    append.n_events = 1;
    append.events = &bytes;
    assert_int_equal(REFUSED,
                     log_append(&fixture->log, &fixture->message, &wish, 1, &entries, &added));  // when, then
    assert_non_null(strstr(fixture->message.reason, "taken the log over"));
}

static void the_tree_is_the_same_after_a_restart(void **state)
{
    struct fixture *fixture = *state;  // given
    struct eventlog again = {.db = fixture->log.db};

    for (uint64_t version = 1; version <= 37; version++) {
        Event event = an_event(fixture, "intake/call/a", version);
        append(fixture, &event, 1, NULL);
    }
    assert_int_equal(OK, log_take_over(&again, &fixture->message));  // when
    assert_int_equal(37, again.tree.size);                           // then
    assert_memory_equal(fixture->log.tree.hashes, again.tree.hashes, (size_t)again.tree.count * TREE_HASH);
    assert_true(again.epoch > fixture->log.epoch);
    assert_int_equal(0, log_verify(&fixture->message, false));
}

static void a_log_of_the_other_mode_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct eventlog rehearsal = {.db = fixture->log.db, .rehearsal = true};  // given

    assert_int_equal(REFUSED, log_take_over(&rehearsal, &fixture->message));  // when, then
    assert_non_null(strstr(fixture->message.reason, "made by a real stack"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(events_get_positions_in_a_row, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_repeat_is_acknowledged_with_its_first_position, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_gap_in_a_stream_is_held_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_event_under_a_taken_version_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_event_of_another_source_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_all_services_have_in_common_is_taken_from_each_in_its_place,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_writer_that_was_taken_over_stops, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_tree_is_the_same_after_a_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_log_of_the_other_mode_is_refused, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
