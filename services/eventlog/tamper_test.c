// tamper: a superuser's hand at random in the tables of the log, a thousand times: each time verification finds it, and
// names the first position that is wrong. Two writers in every order: never a fork. A log that grows: no fault.
#include "eventlog.h"

#include "check/check.h"
#include "db/connection.h"
#include "eventlog_store.sql.h"
#include "limits/limits.h"
#include "values/values.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ring_of(key) (&(const struct note_ring){.keys = {*(key)}, .count = 1})

#define EVENTS 600
#define TRIES  1000

static const struct service schema = {
    .name = "eventlog", .statements = sql_eventlog_all, .migrations = migrations_eventlog};

static uint64_t seed = 1;

static uint64_t below(uint64_t limit)
{
    uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % limit;
}

static bool execute(db_t *db, const char *text)
{
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    struct message message = message_new(arena);

    message.db = db;
    bool well = db_settle(&message, "do mischief", PQexec(db->connection, text), NULL) == OK;
    if (!well)
        print_error("%s: %s\n", text, message.reason);
    arena_destroy(&arena);
    return well;
}

// Append `count` events to a stream, from a version on, as the service "intake"; what the first became.
static status_t append(struct eventlog *log, arena_t *arena, const char *stream, uint64_t version, int count,
                       Eventlog__V1__Appended__One ***ret)
{
    Append *wished = arena_alloc(arena, sizeof *wished);
    Bus__V1__Request *request = arena_alloc(arena, sizeof *request);
    struct message message = message_new(arena);
    struct wish wish = {.request = request, .append = wished};
    Entry **entries;
    size_t added;

    message.db = log->db;
    eventlog__v1__append__init(wished);
    bus__v1__request__init(request);
    request->sender = (char *)"intake";
    wished->n_events = (size_t)count;
    wished->events = arena_alloc(arena, (size_t)count * sizeof *wished->events);
    for (int i = 0; i < count; i++) {
        Event event = EVENTLOG__V1__EVENT__INIT;
        event.id = uuid_from(
            arena, arena_printf(arena, "%s %llu", stream, (unsigned long long)version + (unsigned)i));
        event.source = (char *)"intake";
        event.type = (char *)"intake.v1.CallClosed";
        event.stream = (char *)stream;
        event.version = version + (unsigned)i;
        event.subject = (char *)"call";
        event.time_us = 1;
        wished->events[i].data = message_encode(arena, &event, &wished->events[i].len);
    }
    status_t status = log_append(log, &message, &wish, 1, &entries, &added);
    *ret = wish.results;
    return status;
}

// ------------------------------------------------------------------------------------------- random mischief

#define BATCH 50  // events in each append: as often is a root recorded, and here a checkpoint signed

// What position verification must name.
enum names { ITSELF, IN_BATCH, END_OF_BATCH, END_OF_TILE, LAST, CUT };

// The statements; p() is a position from BATCH + 1 to EVENTS, n() any number.
static const struct mischief {
    const char *what, *text;
    enum names names;
} mischiefs[] = {
    {"a bit of an event flips",
     "UPDATE log SET bytes = set_bit(bytes, n() % (8 * octet_length(bytes)), 1 - get_bit(bytes, n() % (8 * "
     "octet_length(bytes)))) WHERE position = p()",
     ITSELF},
    {"an event is rewritten with its leaf",
     "UPDATE log SET bytes = set_bit(bytes, n() % 400, 1 - get_bit(bytes, n() % 400)), leaf = "
     "sha256('\\x00'::bytea || "
     "set_bit(bytes, n() % 400, 1 - get_bit(bytes, n() % 400))) WHERE position = p()",
     IN_BATCH},
    {"an event is rewritten with its leaf and its place",
     "UPDATE log SET bytes = set_bit(bytes, n() % 400, 1 - get_bit(bytes, n() % 400)), leaf = "
     "sha256('\\x00'::bytea || "
     "set_bit(bytes, n() % 400, 1 - get_bit(bytes, n() % 400))) WHERE position = p();"
     "UPDATE place SET leaf = (SELECT leaf FROM log WHERE position = p()) WHERE position = p()",
     IN_BATCH},
    {"an event is cut short, with its leaf and its place",
     "UPDATE log SET bytes = substr(bytes, 1, octet_length(bytes) - 1), leaf = sha256('\\x00'::bytea || "
     "substr(bytes, 1, "
     "octet_length(bytes) - 1)) WHERE position = p();"
     "UPDATE place SET leaf = (SELECT leaf FROM log WHERE position = p()) WHERE position = p()",
     ITSELF},
    {"a leaf changes",
     "UPDATE log SET leaf = set_byte(leaf, n() % 32, get_byte(leaf, n() % 32) # 1) WHERE position = p()",
     ITSELF},
    {"an event is deleted", "DELETE FROM log WHERE position = p() - 1", CUT},
    {"the end is cut off", "DELETE FROM log WHERE position >= p()", CUT},
    {"two neighbours change places",
     "UPDATE log SET position = 999999 WHERE position = p(); UPDATE log SET position = p() WHERE position = "
     "p() - 1;"
     "UPDATE log SET position = p() - 1 WHERE position = 999999",
     CUT},
    {"a version changes", "UPDATE log SET version = version + 1 WHERE position = p()", ITSELF},
    {"a stream changes", "UPDATE log SET stream = stream || 'x' WHERE position = p()", ITSELF},
    {"an event is stored again at the end",
     "INSERT INTO log SELECT 601, stream, version, type, bytes, leaf, appended_at_us, epoch FROM log WHERE "
     "position = p()",
     LAST},
    {"a place is forgotten", "DELETE FROM place WHERE position = p()", ITSELF},
    {"a place moves", "UPDATE place SET position = position - 1 WHERE position = p()", ITSELF},
    {"a place's leaf changes",
     "UPDATE place SET leaf = set_byte(leaf, n() % 32, get_byte(leaf, n() % 32) # 1) WHERE position = p()",
     ITSELF},
    {"a place's leaf is cut short", "UPDATE place SET leaf = substr(leaf, 1, n() % 32) WHERE position = p()",
     ITSELF},
    {"a place is of another version", "UPDATE place SET version = version + 10000 WHERE position = p()",
     ITSELF},
    {"a place is of another stream", "UPDATE place SET stream = stream || 'x' WHERE position = p()", ITSELF},
    {"a place is made up",
     "INSERT INTO place SELECT stream || n(), version, position, leaf FROM place WHERE position = p()", LAST},
    {"a recorded root changes",
     "UPDATE root SET root = set_byte(root, n() % 32, get_byte(root, n() % 32) # 1) WHERE position = (SELECT "
     "min(position) FROM "
     "root WHERE position >= p())",
     END_OF_BATCH},
    {"a tile changes",
     "UPDATE tile SET root = set_byte(root, n() % 32, get_byte(root, n() % 32) # 1) WHERE level = 0 AND "
     "index = least((p() - "
     "1) / 256, 1)",
     END_OF_TILE},
    {"a tile is deleted", "DELETE FROM tile WHERE level = 0 AND index = least((p() - 1) / 256, 1)",
     END_OF_TILE},
    {"a tile is made up", "INSERT INTO tile SELECT 0, 2 + n() % 5, root FROM tile LIMIT 1", LAST},
    {"a checkpoint changes",
     "UPDATE checkpoint SET note = overlay(note PLACING chr(ascii(substr(note, 1 + n() % 180, 1)) # 1) FROM "
     "1 + n() % 180 FOR "
     "1) WHERE size = (SELECT min(size) FROM checkpoint WHERE size >= p())",
     END_OF_BATCH},
    {"a checkpoint is replaced by an earlier one",
     "UPDATE checkpoint c SET note = o.note FROM checkpoint o WHERE c.size = (SELECT min(size) FROM "
     "checkpoint WHERE size >= "
     "p()) AND o.size = (SELECT max(size) FROM checkpoint WHERE size < p())",
     END_OF_BATCH},
    {"a checkpoint is made up",
     "INSERT INTO checkpoint SELECT 601 + n() % 9, note, 1 FROM checkpoint LIMIT 1", LAST},
    {"the head goes back", "UPDATE head SET position = p() - 1", LAST},
    {"the head's root changes",
     "UPDATE head SET root = set_byte(root, n() % 32, get_byte(root, n() % 32) # 1)", LAST},
    {"the end is cut off at an append, with its roots, its places and its head",
     "DELETE FROM log WHERE position > (p() - 1) / 50 * 50; DELETE FROM root WHERE position > (p() - 1) / 50 "
     "* 50;"
     "DELETE FROM place WHERE position > (p() - 1) / 50 * 50; UPDATE head SET position = r.position, root = "
     "r.root, frontier = "
     "r.frontier FROM (SELECT * FROM root ORDER BY position DESC LIMIT 1) r",
     CUT},
};
#define MISCHIEFS (sizeof mischiefs / sizeof mischiefs[0])

// The log as it was before the mischief.
static const char keep[] = "CREATE TABLE kept_log AS SELECT * FROM log; CREATE TABLE kept_place AS SELECT * FROM place;"
                           "CREATE TABLE kept_root AS SELECT * FROM root; CREATE TABLE kept_head AS SELECT * FROM head;"
                           "CREATE TABLE kept_tile AS SELECT * FROM tile;"
                           "CREATE TABLE kept_checkpoint AS SELECT * FROM checkpoint";
static const char undo[] = "TRUNCATE log, place, root, head, tile, checkpoint; INSERT INTO log SELECT * FROM kept_log;"
                           "INSERT INTO place SELECT * FROM kept_place; INSERT INTO root SELECT * FROM kept_root;"
                           "INSERT INTO head SELECT * FROM kept_head; INSERT INTO tile SELECT * FROM kept_tile;"
                           "INSERT INTO checkpoint SELECT * FROM kept_checkpoint;"
                           "SET session_replication_role = origin";

// A log of 600 events in three streams, what undo needs of it, and p() and n().
static int set_up(void **state)
{
    struct eventlog *log = calloc(1, sizeof *log);
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    struct message message = message_new(arena);
    Eventlog__V1__Appended__One **results;

    log->db = message.db = check_db_open(&schema);
    note_signer_make("log.example/t", NOTE_PLAIN, (const uint8_t *)"0123456789abcdef0123456789abcdef",
                     &log->signer);
    assert_int_equal(OK, log_take_over(log, &message));
    for (int n = 0; n < EVENTS / BATCH; n++) {
        const char *stream = arena_printf(arena, "intake/call/%d", n % 3);
        assert_int_equal(OK, append(log, arena, stream, (uint64_t)(n / 3 * BATCH) + 1, BATCH, &results));
        assert_int_equal(OK, sign_head(log, &message));
    }
    assert_true(execute(
        log->db, "CREATE FUNCTION p() RETURNS int LANGUAGE sql AS $$SELECT current_setting('t.p')::int$$;"
                 "CREATE FUNCTION n() RETURNS int LANGUAGE sql AS $$SELECT current_setting('t.n')::int$$"));
    assert_true(execute(log->db, keep));
    arena_destroy(&arena);
    *state = log;
    return 0;
}

static int tear_down(void **state)
{
    struct eventlog *log = *state;

    check_db_close(&log->db);
    free(log);
    return 0;
}

static bool names_rightly(enum names names, uint64_t p, uint64_t named)
{
    uint64_t batch = (p + BATCH - 1) / BATCH * BATCH, tile = (p - 1) / 256 < 1 ? 256 : 512;

    switch (names) {
    case ITSELF:
        return named == p;
    case IN_BATCH:
        return named >= p && named <= batch;
    case END_OF_BATCH:
        return named == batch;
    case END_OF_TILE:
        return named == tile;
    case LAST:
        return named == EVENTS || named == EVENTS + 1;
    case CUT:
        return named + BATCH >= p && named <= p;
    }
    return false;
}

static bool try_once(struct eventlog *log, const struct mischief *mischief)
{
    uint64_t p = BATCH + 1 + below(EVENTS - BATCH), n = below(100000);
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    struct message message = message_new(arena);
    unsigned long long named = 0;

    message.db = log->db;
    bool done = execute(log->db, arena_printf(arena,
                                              "SET session_replication_role = replica; SET t.p = %d; SET t.n = %d; %s",
                                              (int)p, (int)n, mischief->text));
    int code = done ? log_verify(&message, ring_of(&log->signer.key), false) : -1;
    bool well = code == 4 && sscanf(message.reason, "position %llu", &named) == 1 &&
                names_rightly(mischief->names, p, named);
    if (!well)
        print_error("%s (p %d, n %d): code %d, %s\n", mischief->what, (int)p, (int)n, code,
                    message.reason != NULL ? message.reason : "nothing found");
    assert_true(execute(log->db, undo));
    arena_destroy(&arena);
    return well;
}

static void a_thousand_changes_are_found_each_at_its_position(void **state)
{
    struct eventlog *log = *state;
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    struct message message = message_new(arena);
    int missed = 0;

    message.db = log->db;
    assert_int_equal(0, log_verify(&message, ring_of(&log->signer.key),
                                   false));  // given: nothing is found where nothing is
    for (int i = 0; i < TRIES; i++)
        missed += !try_once(log, &mischiefs[(size_t)i % MISCHIEFS]);
    assert_int_equal(0, missed);
    assert_int_equal(0, log_verify(&message, ring_of(&log->signer.key), false));
    arena_destroy(&arena);
}

// --------------------------------------------------------------------------------------- two writers, in every order

// One step of a writer: it is started (or takes over, the lock having been lost by the other), or it appends: it may have
// been paused for as long as one likes before.
enum step { TAKE_A, TAKE_B, APPEND_A, APPEND_B, STEPS };

#define LENGTH 5  // steps of one story; every story is told

#define ring_of(key) (&(const struct note_ring){.keys = {*(key)}, .count = 1})

// Acknowledged appends: position by version of the one stream that both write.
struct told {
    uint64_t positions[LENGTH + 1];
    uint64_t version;
};

static void take(struct eventlog *writer, struct eventlog *other, arena_t *arena)
{
    struct message message = message_new(arena);

    // The other's connection was lost, as far as the database knows; the other does not.
    execute(other->db, "SELECT pg_advisory_unlock_all()");
    message.db = writer->db;
    *writer = (struct eventlog){.db = writer->db, .signer = writer->signer};
    assert_int_equal(OK, log_take_over(writer, &message));
}

// Either writer sends the next version; an event that one could not store is sent by whoever is asked next.
static void write_next(struct eventlog *writer, arena_t *arena, struct told *told, bool *leads)
{
    Eventlog__V1__Appended__One **results = NULL;
    status_t status = append(writer, arena, "intake/call/x", told->version + 1, 1, &results);

    if (status != OK) {
        *leads = false;  // REFUSED: it ends
        assert_int_equal(REFUSED, status);
        return;
    }
    // One that was taken over remembers an end of the stream that is no longer its end: it stores nothing either.
    if (results[0]->result == EVENTLOG__V1__APPENDED__RESULT__HELD_BACK)
        return;
    assert_int_equal(EVENTLOG__V1__APPENDED__RESULT__STORED, results[0]->result);
    told->positions[++told->version] = results[0]->position;
}

static void tell_story(struct eventlog writers[2], unsigned story, arena_t *arena)
{
    struct told told = {0};
    bool leads[2] = {false, false};
    int newest = -1;

    execute(writers[0].db,
            "SELECT pg_advisory_unlock_all(); TRUNCATE log, place, root, tile, checkpoint, head");
    execute(writers[1].db, "SELECT pg_advisory_unlock_all()");
    for (int i = 0; i < LENGTH; i++, story /= STEPS) {
        enum step step = story % STEPS;
        int who = step == TAKE_B || step == APPEND_B;
        if (step == TAKE_A || step == TAKE_B) {
            take(&writers[who], &writers[!who], arena);
            leads[who] = true;
            newest = who;
        } else if (leads[who]) {
            uint64_t before = told.version;
            write_next(&writers[who], arena, &told, &leads[who]);
            if (who != newest)
                assert_int_equal(before, told.version);  // taken over: nothing that it was given stands
            else
                assert_int_equal(before + 1, told.version);
        }
    }
    for (uint64_t version = 1; version <= told.version; version++)
        assert_int_equal(version,
                         told.positions[version]);  // one after the other: no position twice, none missing
}

static void two_writers_in_every_order_make_no_fork(void **state)
{
    (void)state;
    struct eventlog writers[2] = {0};
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    unsigned stories = 1;

    writers[0].db = check_db_open(&schema);
    writers[1].db = check_db_again(&schema, writers[0].db);
    for (int i = 0; i < 2; i++) {
        struct message message = message_new(arena);
        message.db = writers[i].db;
        assert_int_equal(OK, db_connect(&message));
        note_signer_make("log.example/t", NOTE_PLAIN, (const uint8_t *)"0123456789abcdef0123456789abcdef",
                         &writers[i].signer);
        execute(writers[i].db, "SET session_replication_role = replica");
    }
    for (int i = 0; i < LENGTH; i++)
        stories *= STEPS;
    for (unsigned story = 0; story < stories; story++) {
        arena_reset(arena);
        tell_story(writers, story, arena);
        struct message message = message_new(arena);
        message.db = writers[0].db;
        if (writers[0].tree.size + writers[1].tree.size > 0 && story % 16 == 0)
            assert_int_equal(0, log_verify(&message, ring_of(&writers[0].signer.key), false));
    }
    db_destroy(&writers[1].db);
    check_db_close(&writers[0].db);
    arena_destroy(&arena);
}

// --------------------------------------------------------------------------------------------- a log that grows

struct growing {
    struct eventlog *log;
    atomic_bool enough;
    int appended;
    bool well;
};

static void *grow(void *context)
{
    struct growing *growing = context;
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    Eventlog__V1__Appended__One **results;

    for (growing->well = true; growing->well && !growing->enough; growing->appended++, arena_reset(arena))
        growing->well = append(growing->log, arena, "intake/call/grows", (uint64_t)growing->appended + 1, 1,
                               &results) == OK;
    arena_destroy(&arena);
    return NULL;
}

// Whatever is appended meanwhile, what is looked at is of one instant: there is no fault where there is none.
static void a_log_that_grows_is_verified_as_it_stands(void **state)
{
    struct eventlog *log = *state;
    struct growing growing = {.log = log};
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    db_t *db = check_db_again(&schema, log->db);
    pthread_t thread;
    int faults = 0;

    assert_int_equal(0, pthread_create(&thread, NULL, grow, &growing));
    for (int i = 0; i < 30; i++) {
        struct message message = message_new(arena);
        message.db = db;
        faults += db_connect(&message) != OK || log_verify(&message, ring_of(&log->signer.key), false) != 0;
        arena_reset(arena);
    }
    growing.enough = true;
    pthread_join(thread, NULL);
    assert_true(growing.well && growing.appended > 30);
    assert_int_equal(0, faults);
    db_destroy(&db);
    arena_destroy(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_thousand_changes_are_found_each_at_its_position, set_up, tear_down),
        cmocka_unit_test(two_writers_in_every_order_make_no_fork),
        cmocka_unit_test_setup_teardown(a_log_that_grows_is_verified_as_it_stands, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
