// eventlog: what may stand in the log and what may not, against a real PostgreSQL.
#include "eventlog.h"

#include "check/trace.h"

#include "check/check.h"
#include "clock/clock.h"
#include "db/connection.h"
#include "eventlog_store.sql.h"
#include "limits/limits.h"
#include "values/values.h"

#include <stdlib.h>
#include <string.h>

#define SEED "0123456789abcdef0123456789abcdef"

#define ring_of(key) (&(const struct note_ring){.keys = {*(key)}, .count = 1})

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
    note_signer_make("log.example/test", NOTE_PLAIN, (const uint8_t *)SEED, &fixture->log.signer);
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
          erasure = an_event(fixture, "intake/erasure/x", 1),
          elsewhere = an_event(fixture, "intake/call/x", 1),
          misplaced = an_event(fixture, "intake/incident/y", 1);

    incident.type = elsewhere.type = (char *)"service.v1.IncidentRedriven";
    erasure.type = misplaced.type = (char *)"service.v1.CaseErased";
    Event events[] = {incident, erasure, elsewhere, misplaced};
    Eventlog__V1__Appended__One **results = append(fixture, events, 4, NULL);      // when
    assert_int_equal(EVENTLOG__V1__APPENDED__RESULT__STORED, results[0]->result);  // then
    assert_int_equal(EVENTLOG__V1__APPENDED__RESULT__STORED, results[1]->result);
    assert_int_equal(NOT_TAKEN, results[2]->result);
    assert_int_equal(NOT_TAKEN, results[3]->result);
}

// How often the database is waited for while this event is appended.
static int waits_to_append(struct fixture *fixture, const char *stream, uint64_t version)
{
    Event event = an_event(fixture, stream, version);
    FILE *trace = trace_begin(fixture->log.db);
    size_t added;

    append(fixture, &event, 1, &added);
    assert_int_equal(1, added);
    int count = trace_count(trace, TRACE_WAIT, NULL);
    trace_end(fixture->log.db, trace);
    return count;
}

static void an_event_that_goes_on_where_its_stream_ended_lately_needs_no_look(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(1, waits_to_append(fixture, "intake/call/a", 1));  // the first of a stream neither
    assert_int_equal(1, waits_to_append(fixture, "intake/call/a", 2));
    recent_forget(&fixture->log.recent);
    assert_int_equal(2, waits_to_append(fixture, "intake/call/a", 3));
    // What stands already is still found, and what is missing still missed.
    Event repeat = an_event(fixture, "intake/call/a", 2), other = repeat,
          early = an_event(fixture, "intake/call/a", 5);
    size_t added;
    assert_int_equal(EVENTLOG__V1__APPENDED__RESULT__STORED, append(fixture, &repeat, 1, &added)[0]->result);
    assert_int_equal(0, added);
    other.time_us++;
    assert_int_equal(EVENTLOG__V1__APPENDED__RESULT__REFUSED, append(fixture, &other, 1, &added)[0]->result);
    assert_int_equal(EVENTLOG__V1__APPENDED__RESULT__HELD_BACK,
                     append(fixture, &early, 1, &added)[0]->result);
}

static void a_first_event_that_stands_already_is_found_though_nothing_is_known_of_its_stream(void **state)
{
    struct fixture *fixture = *state;
    Event stands = an_event(fixture, "intake/call/a", 1), other = stands;
    other.time_us++;
    Event events[] = {an_event(fixture, "intake/call/b", 1), stands, other,
                      an_event(fixture, "intake/call/c", 2), an_event(fixture, "intake/call/a", 2)};
    size_t added;

    append(fixture, &stands, 1, NULL);  // given
    recent_forget(&fixture->log.recent);
    Eventlog__V1__Appended__One **results = append(fixture, events, 5, &added);  // when
    assert_int_equal(2, added);                                                  // then
    assert_int_equal(STORED, results[0]->result);
    assert_int_equal(2, results[0]->position);
    assert_int_equal(STORED, results[1]->result);
    assert_int_equal(1, results[1]->position);
    assert_int_equal(NOT_TAKEN, results[2]->result);
    assert_int_equal(HELD_BACK, results[3]->result);
    assert_int_equal(STORED, results[4]->result);
    assert_int_equal(3, results[4]->position);
    recent_forget(&fixture->log.recent);
    results = append(fixture, &other, 1, &added);  // when: by itself
    assert_int_equal(0, added);                    // then
    assert_int_equal(NOT_TAKEN, results[0]->result);
    assert_int_equal(0, results[0]->position);
    assert_int_equal(3, fixture->log.tree.size);
    assert_int_equal(OK, log_take_over(&fixture->log, &fixture->message));
}

static void what_was_known_of_streams_is_forgotten_when_the_log_is_taken_over(void **state)
{
    struct fixture *fixture = *state;
    struct eventlog mine = fixture->log;
    Event first = an_event(fixture, "intake/call/a", 1), second = an_event(fixture, "intake/call/a", 2),
          third = an_event(fixture, "intake/call/a", 3);
    size_t added;

    append(fixture, &first, 1, &added);
    mine = fixture->log;
    append(fixture, &second, 1, &added);  // given: by another writer, say
    fixture->log = mine;
    assert_int_equal(OK, log_take_over(&fixture->log, &fixture->message));  // when
    assert_int_equal(EVENTLOG__V1__APPENDED__RESULT__STORED,
                     append(fixture, &third, 1, &added)[0]->result);  // then
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
    struct eventlog again = {.db = fixture->log.db, .signer = fixture->log.signer};

    for (uint64_t version = 1; version <= 37; version++) {
        Event event = an_event(fixture, "intake/call/a", version);
        append(fixture, &event, 1, NULL);
    }
    assert_int_equal(OK, log_take_over(&again, &fixture->message));  // when
    assert_int_equal(37, again.tree.size);                           // then
    assert_memory_equal(fixture->log.tree.hashes, again.tree.hashes, (size_t)again.tree.count * TREE_HASH);
    assert_true(again.epoch > fixture->log.epoch);
    assert_int_equal(0, log_verify(&fixture->message, ring_of(&fixture->log.signer.key), false));
}

static void a_log_of_the_other_mode_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct eventlog rehearsal = {.db = fixture->log.db, .rehearsal = true};  // given

    assert_int_equal(REFUSED, log_take_over(&rehearsal, &fixture->message));  // when, then
    assert_non_null(strstr(fixture->message.reason, "made by a real stack"));
}

// ------------------------------------------------------------------------------- tiles, checkpoints, proofs

// What only a superuser's hand can do.
static void execute(db_t *db, const char *text)
{
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    struct message message = message_new(arena);

    message.db = db;
    if (db_settle(&message, "do mischief", PQexec(db->connection, text), NULL) != OK)
        fail_msg("%s", message.reason);
    arena_destroy(&arena);
}

// This many events, in Appends of 200; they are all of one stream.
static void append_many(struct fixture *fixture, int count)
{
    static const int at_once = 200;
    uint64_t version = fixture->log.tree.size;

    while (count > 0) {
        Event events[200];
        int n = count < at_once ? count : at_once;
        for (int i = 0; i < n; i++)
            events[i] = an_event(fixture, "intake/call/many", ++version);
        append(fixture, events, n, NULL);
        arena_reset(fixture->arena);
        count -= n;
    }
}

static const void *ask_log(struct fixture *fixture, const void *query, status_t *ret_status)
{
    const ProtobufCMessage *base = query;
    const void *answered = NULL;
    size_t size;
    const uint8_t *body = message_encode(fixture->arena, query, &size);
    struct message message = message_new(fixture->arena);

    message.db = fixture->log.db;
    *ret_status = log_query(&fixture->log, &message, base->descriptor->name, body, size);
    fixture->message.reason = message.reason;
    if (*ret_status == OK)
        assert_int_equal(OK, message_decode(&message, message.answer_descriptor, message.answer,
                                            message.answer_size, &answered));
    return answered;
}

static struct checkpoint open_checkpoint(struct fixture *fixture, const char *note)
{
    struct checkpoint checkpoint;
    const char *why = "";

    if (!checkpoint_open(fixture->arena, note, strlen(note), &fixture->log.signer.key, &checkpoint, NULL,
                         &why))
        fail_msg("%s", why);
    return checkpoint;
}

static void a_checkpoint_is_signed_every_thousand_events(void **state)
{
    struct fixture *fixture = *state;
    uint8_t root[TREE_HASH];

    append_many(fixture, 1);                 // the first event waits for nothing
    fixture->log.signed_ms = INT64_MAX / 2;  // given: no time passes
    uint64_t before = fixture->log.signed_size;
    append_many(fixture, 800);
    assert_int_equal(before, fixture->log.signed_size);
    append_many(fixture, 400);                                                   // when
    struct checkpoint checkpoint = open_checkpoint(fixture, fixture->log.note);  // then
    assert_int_equal(1001, checkpoint.size);
    assert_string_equal("log.example/test", checkpoint.origin);
    append_many(fixture, 3);
    assert_int_equal(OK, sign_head(&fixture->log, &fixture->message));
    checkpoint = open_checkpoint(fixture, fixture->log.note);
    tree_root(&fixture->log.tree, root);
    assert_memory_equal(root, checkpoint.root, TREE_HASH);
    assert_int_equal(0, log_verify(&fixture->message, ring_of(&fixture->log.signer.key), false));
}

static void a_checkpoint_is_signed_when_the_last_one_is_ten_seconds_old(void **state)
{
    struct fixture *fixture = *state;

    append_many(fixture, 1);
    uint64_t before = fixture->log.signed_size;
    append_many(fixture, 3);  // given: the last one is new
    assert_int_equal(before, fixture->log.signed_size);
    assert_false(sign_waits(&fixture->log));
    fixture->log.signed_ms = clock_stopwatch_ms() - 10000;  // when
    assert_true(sign_waits(&fixture->log));                 // then: it is made although no event comes,
    append_many(fixture, 1);
    assert_int_equal(5, fixture->log.signed_size);  // and with the next that does
    assert_false(sign_waits(&fixture->log));
}

static void a_checkpoint_is_made_when_somebody_asks_for_one(void **state)
{
    struct fixture *fixture = *state;
    Eventlog__V1__GetCheckpoint query = EVENTLOG__V1__GET_CHECKPOINT__INIT;
    status_t status;

    append_many(fixture, 1);
    fixture->log.signed_ms = INT64_MAX / 2;
    append_many(fixture, 6);  // given: seven events, one signed
    query.covers = 5;
    const Eventlog__V1__Checkpoint *told = ask_log(fixture, &query, &status);  // when
    assert_int_equal(OK, status);                                              // then
    assert_int_equal(7, told->size);
    assert_int_equal(7, open_checkpoint(fixture, told->note).size);
    query.covers = 1;
    assert_int_equal(1, ((const Eventlog__V1__Checkpoint *)ask_log(fixture, &query, &status))->size);
    query.covers = 8;
    ask_log(fixture, &query, &status);
    assert_int_equal(REFUSED, status);
}

static void every_event_is_proved_to_be_in_the_log(void **state)
{
    struct fixture *fixture = *state;
    Eventlog__V1__GetInclusionProof query = EVENTLOG__V1__GET_INCLUSION_PROOF__INIT;
    uint8_t root[TREE_HASH], found[TREE_HASH], hashes[64][TREE_HASH];
    status_t status;

    append_many(fixture, 777);  // given
    tree_root(&fixture->log.tree, root);
    for (query.position = 1, query.size = 777; query.position <= 777; query.position += 7) {
        const Eventlog__V1__InclusionProof *proof = ask_log(fixture, &query, &status);  // when
        assert_int_equal(OK, status);
        for (size_t i = 0; i < proof->n_hashes; i++)
            memcpy(hashes[i], proof->hashes[i].data, TREE_HASH);
        assert_true(
            proof_inclusion_root(proof->leaf.data, query.position - 1, 777, hashes, proof->n_hashes, found));
        assert_memory_equal(root, found, TREE_HASH);  // then
        arena_reset(fixture->arena);
    }
    query.position = 778;
    ask_log(fixture, &query, &status);
    assert_int_equal(REFUSED, status);
    query.position = 0;
    ask_log(fixture, &query, &status);
    assert_int_equal(REFUSED, status);
}

static void every_earlier_log_is_proved_to_begin_the_later(void **state)
{
    struct fixture *fixture = *state;
    Eventlog__V1__GetConsistencyProof query = EVENTLOG__V1__GET_CONSISTENCY_PROOF__INIT;
    static uint8_t roots[601][TREE_HASH];
    uint8_t hashes[64][TREE_HASH];
    status_t status;

    for (int i = 1; i <= 600; i += 1) {
        append_many(fixture, 1);
        tree_root(&fixture->log.tree, roots[i]);
    }
    query.to = 600;
    for (query.from = 1; query.from <= 600; query.from += 13) {
        const Eventlog__V1__ConsistencyProof *proof = ask_log(fixture, &query, &status);  // when
        assert_int_equal(OK, status);
        for (size_t i = 0; i < proof->n_hashes; i++)
            memcpy(hashes[i], proof->hashes[i].data, TREE_HASH);
        assert_true(proof_consistent(query.from, roots[query.from], 600, roots[600], hashes,
                                     proof->n_hashes));  // then
        arena_reset(fixture->arena);
    }
    query.to = 601;
    ask_log(fixture, &query, &status);
    assert_int_equal(REFUSED, status);
}

static void tiles_and_bundles_hold_what_the_convention_says(void **state)
{
    struct fixture *fixture = *state;
    Eventlog__V1__GetTile query = EVENTLOG__V1__GET_TILE__INIT;
    uint8_t leaf[TREE_HASH];
    struct tree tree = {0};
    status_t status;

    append_many(fixture, 600);  // given: two full tiles of level 0, 88 hashes of a third, 2 of level 1
    query.width = 256;
    const Eventlog__V1__Tile *told = ask_log(fixture, &query, &status);  // when
    assert_int_equal(256 * TREE_HASH, told->data.len);
    for (int i = 0; i < 256; i++)
        tree_add(&tree, told->data.data + i * TREE_HASH);
    query.entries = true;
    told = ask_log(fixture, &query, &status);
    size_t first = (size_t)told->data.data[0] << 8 | told->data.data[1];
    tree_leaf(told->data.data + 2, first, leaf);
    query.entries = false;
    assert_memory_equal(leaf, ((const Eventlog__V1__Tile *)ask_log(fixture, &query, &status))->data.data,
                        TREE_HASH);
    query.level = 1;
    query.width = 2;
    told = ask_log(fixture, &query, &status);
    assert_int_equal(2 * TREE_HASH, told->data.len);
    assert_memory_equal(tree.hashes[0], told->data.data, TREE_HASH);  // then
    query.width = 3;
    ask_log(fixture, &query, &status);
    assert_int_equal(REFUSED, status);
    query = (Eventlog__V1__GetTile)EVENTLOG__V1__GET_TILE__INIT;
    query.index = 2;
    query.width = 89;
    ask_log(fixture, &query, &status);
    assert_int_equal(REFUSED, status);
    query.width = 88;
    assert_int_equal(88 * TREE_HASH,
                     ((const Eventlog__V1__Tile *)ask_log(fixture, &query, &status))->data.len);
}

static void a_stream_is_read_by_itself(void **state)
{
    struct fixture *fixture = *state;
    Eventlog__V1__ReadStream query = EVENTLOG__V1__READ_STREAM__INIT;
    Event events[] = {an_event(fixture, "intake/call/a", 1), an_event(fixture, "intake/call/b", 1),
                      an_event(fixture, "intake/call/a", 2)};
    status_t status;

    append(fixture, events, 3, NULL);  // given
    query.stream = (char *)"intake/call/a";
    query.limit = 10;
    const Page *page = ask_log(fixture, &query, &status);  // when
    assert_int_equal(2, page->n_entries);                  // then
    assert_int_equal(3, page->entries[1]->position);
    query.after = 1;
    page = ask_log(fixture, &query, &status);
    assert_int_equal(1, page->n_entries);
}

// Events of so many bytes each, one after the other.
static void append_large(struct fixture *fixture, const size_t sizes[], int count)
{
    for (int i = 0; i < count; i++) {
        Event event = an_event(fixture, "intake/call/large", (uint64_t)i + 1);
        event.data = (ProtobufCBinaryData){.len = sizes[i], .data = arena_alloc(fixture->arena, sizes[i])};
        append(fixture, &event, 1, NULL);
    }
}

static const Page *read_after(struct fixture *fixture, uint64_t after, uint32_t limit)
{
    Eventlog__V1__Read query = EVENTLOG__V1__READ__INIT;
    struct message message = message_new(fixture->arena);
    const Page *page;

    message.db = fixture->log.db;
    query.after = after;
    query.limit = limit;
    assert_int_equal(OK, log_read(&fixture->log, &message, &query));
    assert_true(message.answer_size <= LIMIT_FRAME_BYTES);
    assert_int_equal(OK, message_decode(&message, &eventlog__v1__page__descriptor, message.answer,
                                        message.answer_size, &page));
    assert_int_equal(fixture->log.tree.size, page->head);
    for (size_t i = 0; i < page->n_entries; i++)
        assert_int_equal(after + i + 1, page->entries[i]->position);
    return page;
}

static void a_page_ends_before_it_is_too_large_and_has_an_entry_at_least(void **state)
{
    struct fixture *fixture = *state;
    const size_t sizes[] = {100, 80000, 80000, 190000, 190000, 100, 100, 100};

    append_large(fixture, sizes, 8);                               // given
    assert_int_equal(3, read_after(fixture, 0, 1000)->n_entries);  // when, then: a fourth would not fit
    assert_int_equal(1, read_after(fixture, 3, 1000)->n_entries);
    assert_int_equal(0, read_after(fixture, 8, 1000)->n_entries);
    assert_int_equal(2, read_after(fixture, 5, 2)->n_entries);  // no more than was asked for
}

static void a_page_is_full_again_after_large_entries(void **state)
{
    struct fixture *fixture = *state;
    const size_t sizes[] = {190000};
    size_t entries = 0;

    append_many(fixture, 600);
    append_large(fixture, sizes, 1);
    assert_int_equal(1, read_after(fixture, 600, 1000)->n_entries);  // given: what was read last was large
    for (int pages = 0; entries < 601; pages++) {
        size_t more = read_after(fixture, entries, 1000)->n_entries;
        assert_true(more > 0 && pages < 5);
        entries += more;
    }
    assert_int_equal(601, entries);
}

// The tiles of events that an older program appended are missing until the log is taken over.
static void missing_tiles_are_made_when_the_log_is_taken_over(void **state)
{
    struct fixture *fixture = *state;
    struct eventlog again = {.db = fixture->log.db, .signer = fixture->log.signer};
    ProtobufCBinaryData hashes;

    append_many(fixture, 1100);
    execute(fixture->log.db,
            "ALTER TABLE tile DISABLE TRIGGER ALL; DELETE FROM tile WHERE index > 0");  // given
    assert_int_equal(OK, log_take_over(&again, &fixture->message));                     // when
    assert_int_equal(OK, tile_hashes(&fixture->message, 1, 0, &hashes));
    assert_int_equal(4 * TREE_HASH, hashes.len);  // then
}

static void a_changed_tile_keeps_the_log_from_being_taken_over(void **state)
{
    struct fixture *fixture = *state;
    struct eventlog again = {.db = fixture->log.db, .signer = fixture->log.signer};

    append_many(fixture, 600);
    execute(fixture->log.db, "ALTER TABLE tile DISABLE TRIGGER ALL;"
                             "UPDATE tile SET root = set_byte(root, 3, 77) WHERE index = 1");  // given
    assert_int_equal(POISON, log_take_over(&again, &fixture->message));                        // when, then
    assert_non_null(strstr(fixture->message.reason, "tiles"));
    fixture->message = message_new(fixture->arena);
    fixture->message.db = fixture->log.db;
    assert_int_equal(4, log_verify(&fixture->message, ring_of(&fixture->log.signer.key), false));
}

static void a_database_that_comes_back_older_is_not_taken_over(void **state)
{
    struct fixture *fixture = *state;

    append_many(fixture, 30);
    fixture->log.signer.key.name[0] = '\0';
    execute(
        fixture->log.db,
        "ALTER TABLE log DISABLE TRIGGER ALL; ALTER TABLE log_0 DISABLE TRIGGER ALL; ALTER TABLE place "
        "DISABLE TRIGGER ALL; ALTER TABLE root DISABLE TRIGGER ALL; ALTER TABLE head DISABLE TRIGGER ALL;"
        "DELETE FROM log WHERE position > 1; DELETE FROM place WHERE position > 1; DELETE FROM root;"
        "UPDATE head SET position = 1, root = l.leaf, frontier = l.leaf FROM log l WHERE l.position = 1");  // given
    assert_int_equal(REFUSED, log_take_over(&fixture->log, &fixture->message));  // when, then
    assert_non_null(strstr(fixture->message.reason, "positions 2 to 30 are lost"));
    assert_int_equal(30, fixture->log.tree.size);
}

static void a_log_of_another_name_or_with_a_forged_checkpoint_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct eventlog other = {.db = fixture->log.db},
                    again = {.db = fixture->log.db, .signer = fixture->log.signer};

    append_many(fixture, 3);
    note_signer_make("log.example/other", NOTE_PLAIN, (const uint8_t *)SEED, &other.signer);  // given
    assert_int_equal(REFUSED, log_take_over(&other, &fixture->message));                      // when, then
    assert_non_null(strstr(fixture->message.reason, "this log is called log.example/test"));
    execute(fixture->log.db, "ALTER TABLE checkpoint DISABLE TRIGGER ALL;"
                             "UPDATE checkpoint SET note = replace(note, E'test\\n', E'test\\n\\n')");
    fixture->message.reason = NULL;
    assert_int_equal(POISON, log_take_over(&again, &fixture->message));
    assert_non_null(strstr(fixture->message.reason, "is damaged"));
}

static void nothing_is_signed_by_a_writer_that_was_taken_over(void **state)
{
    struct fixture *fixture = *state;

    append_many(fixture, 1);
    fixture->log.signed_ms = INT64_MAX / 2;
    append_many(fixture, 1);
    fixture->log.epoch--;                                                  // given
    assert_int_equal(RETRY, sign_head(&fixture->log, &fixture->message));  // when, then
    assert_int_equal(1, fixture->log.signed_size);
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
        cmocka_unit_test_setup_teardown(an_event_that_goes_on_where_its_stream_ended_lately_needs_no_look,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_first_event_that_stands_already_is_found_though_nothing_is_known_of_its_stream, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(what_was_known_of_streams_is_forgotten_when_the_log_is_taken_over,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_writer_that_was_taken_over_stops, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_tree_is_the_same_after_a_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_log_of_the_other_mode_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_checkpoint_is_signed_every_thousand_events, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_checkpoint_is_signed_when_the_last_one_is_ten_seconds_old, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_checkpoint_is_made_when_somebody_asks_for_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_event_is_proved_to_be_in_the_log, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_earlier_log_is_proved_to_begin_the_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tiles_and_bundles_hold_what_the_convention_says, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stream_is_read_by_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_page_ends_before_it_is_too_large_and_has_an_entry_at_least, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_page_is_full_again_after_large_entries, set_up, tear_down),
        cmocka_unit_test_setup_teardown(missing_tiles_are_made_when_the_log_is_taken_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_changed_tile_keeps_the_log_from_being_taken_over, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_database_that_comes_back_older_is_not_taken_over, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_log_of_another_name_or_with_a_forged_checkpoint_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_signed_by_a_writer_that_was_taken_over, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
