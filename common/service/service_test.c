// The loop of all services, against a real PostgreSQL, with a service of our own that counts. The bus is not
// there: what the loop says to it is caught by the linker (--wrap) and looked at here.
//
// The service speaks what is in the contract anyway: it is told to count by bus.v1.Ready, has counted by
// bus.v1.Peers.Worker, hears bus.v1.Peers.Queue of another service, and is due by bus.v1.Disconnect.
#include "service/loop.h"

#include "check/trace.h"

#include "clock/clock.h"
#include "intake_v1.pb-c.h"
#include "service_store.sql.h"
#include "service_v1.pb-c.h"
#include "values/values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#undef fail  // cmocka's; a rule's fail is meant

// What went wrong is shown by comparing.
#define assert_well(status, message) assert_string_equal((status) == OK ? "" : (message)->reason, "")

#define AT_US                        INT64_C(1718402400000000)
#define REFUSED_CREDIT               12
#define POISON_CREDIT                13
#define RETRY_CREDIT                 14
#define FULL_CREDIT                  16
#define CUT_CREDIT                   15  // the database's connection is cut, once
#define ASKING_CREDIT                77
#define DUE_TOTAL                    1000

// ------------------------------------------------------------------------------------- a service that counts

static const struct migration trial_migrations[] = {
    {1, "CREATE TABLE counter (id text PRIMARY KEY, total bigint NOT NULL, version bigint NOT NULL, at_us "
        "bigint NOT NULL);"
        "CREATE TABLE heard_queue (position bigint PRIMARY KEY, name text NOT NULL, waiting bigint NOT NULL);"
        "CREATE TABLE view_all (position bigint PRIMARY KEY, type text NOT NULL)"},
    {0, NULL},
};

static const struct sql sql_load_total = {
    .name = "load_total",
    .params = 1,
    .text = "SELECT coalesce((SELECT total FROM counter WHERE id = $1 FOR UPDATE), 0)"};
static const struct sql sql_count = {
    .name = "count",
    .params = 4,
    .text = "INSERT INTO counter (id, total, version, at_us) VALUES ($1, $2::bigint, $3::bigint, $4::bigint)"
            "    ON CONFLICT (id) DO UPDATE SET total = counter.total + excluded.total, version = "
            "excluded.version,"
            "                                   at_us = excluded.at_us"};
static const struct sql sql_hear_queue = {
    .name = "hear_queue",
    .params = 3,
    .text = "INSERT INTO heard_queue (position, name, waiting) VALUES ($1::bigint, $2, $3::bigint)"};
static const struct sql sql_view = {
    .name = "view", .params = 2, .text = "INSERT INTO view_all (position, type) VALUES ($1::bigint, $2)"};
static const struct sql sql_due = {
    .name = "due", .params = 1, .text = "SELECT id FROM counter WHERE total >= 1000 AND $1::bigint > at_us"};
static const struct sql sql_cut = {
    .name = "cut", .params = 0, .text = "SELECT pg_terminate_backend(pg_backend_pid())"};
static const struct sql sql_disk_full = {
    .name = "disk_full", .params = 0, .text = "DO $$ BEGIN RAISE disk_full; END $$"};
static const struct sql sql_number = {
    .name = "number",
    .params = 0,
    .text = "SELECT (SELECT count(*) FROM counter), (SELECT coalesce(sum(total), 0) FROM counter),"
            "       (SELECT count(*) FROM loop_answered), (SELECT count(*) FROM loop_outbox),"
            "       (SELECT count(*) FROM heard_queue), (SELECT count(*) FROM loop_parked),"
            "       (SELECT count(*) FROM loop_incident), (SELECT count(*) FROM loop_asked),"
            "       (SELECT position FROM loop_cursor), (SELECT coalesce(max(version), 0) FROM loop_stream),"
            "       (SELECT count(*) FROM view_all)"};
static const struct sql sql_tables = {
    .name = "tables",
    .params = 0,
    .text = "SELECT (SELECT string_agg(c::text, ' ' ORDER BY id) FROM counter c),"
            "       (SELECT string_agg(q::text, ' ' ORDER BY position) FROM heard_queue q)"};
static const struct sql sql_outbox = {
    .name = "outbox",
    .params = 0,
    .text = "SELECT id, bytes FROM loop_outbox ORDER BY made_at, stream, version"};
static const struct sql sql_age = {
    .name = "age", .params = 0, .text = "UPDATE loop_outbox SET made_at = made_at - interval '1 minute'"};
static const struct sql sql_backdate = {
    .name = "backdate",
    .params = 1,
    .text = "UPDATE loop_outbox SET id = $1::uuid, made_at = made_at - interval '1 minute'"};
static const struct sql sql_ask_now = {
    .name = "ask_now", .params = 0, .text = "UPDATE loop_asked SET next_try_at = clock_timestamp()"};
static const struct sql sql_steal_cursor = {
    .name = "steal_cursor", .params = 0, .text = "UPDATE loop_cursor SET position = position + 1"};
static const struct sql sql_drop = {
    .name = "drop",
    .params = 0,
    .text = "DO $$ BEGIN EXECUTE format('DROP SCHEMA %I CASCADE', current_schema()); END $$"};
static const struct sql sql_digest = {
    .name = "digest",
    .params = 1,
    .text = "SELECT octet_length(digest) FROM loop_answered WHERE id = $1::uuid"};
static const struct sql sql_free_streams = {
    .name = "free_streams",
    .params = 1,
    .text = "SELECT FROM loop_stream WHERE id = $1 FOR UPDATE SKIP LOCKED"};
static const struct sql sql_told = {
    .name = "told",
    .params = 1,
    .text = "SELECT count(*) FROM loop_answered WHERE position(convert_to($1, 'UTF8') IN body) > 0"};
static const struct sql *const trial_statements[] = {&sql_load_total,
                                                     &sql_count,
                                                     &sql_disk_full,
                                                     &sql_hear_queue,
                                                     &sql_view,
                                                     &sql_due,
                                                     &sql_cut,
                                                     &sql_number,
                                                     &sql_tables,
                                                     &sql_outbox,
                                                     &sql_age,
                                                     &sql_ask_now,
                                                     &sql_steal_cursor,
                                                     &sql_backdate,
                                                     &sql_drop,
                                                     &sql_digest,
                                                     &sql_told,
                                                     &sql_free_streams,
                                                     NULL};

static int cuts;     // how often the connection may still be cut
static bool mended;  // what made counting 13 impossible has been mended
static bool full;    // the database has no room for sixteen

static void emit_counted(struct message *message, const char *id, uint32_t credit)
{
    Bus__V1__Peers__Worker event = BUS__V1__PEERS__WORKER__INIT;
    event.service = (char *)id;
    event.credit = credit;
    emit(message, &event);
}

static status_t on_ready(struct message *message, const void *body)
{
    const Bus__V1__Ready *ready = body;
    struct rows rows;

    status_t status = RUN(message, load_total, &rows, TEXT(ready->service));
    if (status != OK)
        return status;
    if (ready->credit == REFUSED_CREDIT)
        return fail(message, REFUSED, "credit: %s does not count a dozen", ready->service);
    if (ready->credit == POISON_CREDIT)
        return fail(message, POISON, "nobody can count to thirteen");
    if (ready->credit == RETRY_CREDIT)
        return fail(message, RETRY, "not now");
    if (ready->credit == CUT_CREDIT && cuts-- > 0)
        return RUN0(message, cut, NULL);
    if (ready->credit == ASKING_CREDIT) {
        Bus__V1__MoveCalendar request = BUS__V1__MOVE_CALENDAR__INIT;
        request.to_us = 77;
        ask(message, "finance", ready->service, &request);
    }
    emit_counted(message, ready->service, ready->credit);
    Bus__V1__Ready answered = *ready;
    answered.credit += (uint32_t)row_int(&rows, 0, 0);
    answer(message, &answered);
    return OK;
}

static status_t ahead_ready(struct message *message, const void *body)
{
    const char *id = ((const Bus__V1__Ready *)body)->service;

    will_add(message, "counter", id);
    return AHEAD(message, load_total, TEXT(id));
}

// Counts to a hundred at once, and asks for nothing ahead.
static status_t on_withdraw(struct message *message, const void *body)
{
    emit_counted(message, ((const Intake__V1__Withdraw *)body)->application_id, 100);
    return OK;
}

static status_t on_save(struct message *message, const void *body)
{
    const Intake__V1__SaveDraft *command = body;
    Intake__V1__Application answered = INTAKE__V1__APPLICATION__INIT;

    answered.content = command->content;
    answer(message, &answered);
    return OK;
}

static status_t on_due(struct message *message, const void *body)
{
    const Bus__V1__Disconnect *due = body;
    emit_counted(message, due->reason, 1);
    return OK;
}

static status_t on_counted(struct message *message, const void *body)
{
    const Bus__V1__Peers__Worker *event = body;
    return RUN(message, count, NULL, TEXT(event->service), INT(event->credit), INT((int64_t)message->version),
               INT(message->at_us));
}

static status_t hear_queue(struct message *message, const void *body)
{
    const Bus__V1__Peers__Queue *event = body;
    return RUN(message, hear_queue, NULL, INT((int64_t)message->position), TEXT(event->service),
               INT(event->waiting));
}

static status_t on_queue(struct message *message, const void *body)
{
    const Bus__V1__Peers__Queue *event = body;
    if (event->waiting == POISON_CREDIT && !mended)
        return fail(message, POISON, "nobody can wait thirteen times");
    if (event->waiting == RETRY_CREDIT && !mended)
        return fail(message, RETRY, "not now");
    if (event->waiting == FULL_CREDIT && full)
        return RUN0(message, disk_full, NULL);
    emit_counted(message, event->service, event->waiting);
    return OK;
}

// Counts one more than there were; asks for them ahead.
static status_t on_expired(struct message *message, const void *body)
{
    const char *id = ((const Intake__V1__DraftExpired *)body)->application_id;
    struct rows rows;

    status_t status = RUN(message, load_total, &rows, TEXT(id));
    if (status == OK)
        emit_counted(message, id, 1 + (uint32_t)row_int(&rows, 0, 0));
    return status;
}

static status_t ahead_expired(struct message *message, const void *body)
{
    const char *id = ((const Intake__V1__DraftExpired *)body)->application_id;

    will_add(message, "counter", id);
    return AHEAD(message, load_total, TEXT(id));
}

static status_t witness(struct message *message, const void *body)
{
    assert_null(body);
    return RUN(message, view, NULL, INT((int64_t)message->position), TEXT(message->type));
}

static status_t on_moved(struct message *message, const void *request, const Bus__V1__Reply *reply,
                         const uint8_t *body, size_t body_size)
{
    const Bus__V1__MoveCalendar *moved = request;
    (void)body;
    (void)body_size;
    if (reply->status == BUS__V1__REPLY__STATUS__POISON)
        return fail(message, POISON, "the answer is poison");
    emit_counted(message, "answers", (uint32_t)moved->to_us);
    return OK;
}

static status_t on_get_peers(struct message *message, const void *body)
{
    Bus__V1__Peers peers = BUS__V1__PEERS__INIT;
    struct rows rows;
    (void)body;

    status_t status = RUN0(message, number, &rows);
    if (status == OK) {
        peers.dropped = (uint64_t)row_int(&rows, 0, 1);
        answer(message, &peers);
    }
    return status;
}

static status_t on_writing_query(struct message *message, const void *body)
{
    (void)body;
    return RUN(message, view, NULL, INT(1), TEXT("a query that writes"));
}

static const struct command_row commands[] = {
    {&bus__v1__ready__descriptor, ROLE(EDITOR) | ROLE(APPROVER), on_ready, ahead_ready},
    {&bus__v1__disconnect__descriptor, ROLES_CLOCK, on_due},
    {&intake__v1__save_draft__descriptor, ROLE(EDITOR), on_save},
    {&intake__v1__withdraw__descriptor, ROLE(EDITOR), on_withdraw},
    {NULL, 0, NULL},
};
static const struct event_row events[] = {
    {&bus__v1__peers__worker__descriptor, "counter", on_counted},
    {NULL, NULL, NULL},
};
static const struct heard_row heard[] = {
    {&bus__v1__peers__queue__descriptor, hear_queue, on_queue},
    {&intake__v1__draft_expired__descriptor, NULL, on_expired, ahead_expired},
    {NULL, NULL, NULL},
};
static const struct query_row queries[] = {
    {&bus__v1__get_peers__descriptor, ROLE(EDITOR), on_get_peers},
    {&bus__v1__heartbeat__descriptor, ROLE(EDITOR), on_writing_query},
    {NULL, 0, NULL},
};
static const struct answer_row answers[] = {
    {&bus__v1__move_calendar__descriptor, on_moved},
    {NULL, NULL},
};
static const struct timer_row timers[] = {
    {&bus__v1__disconnect__descriptor, &sql_due},
    {NULL, NULL},
};
static const struct service trial = {.name = "trial",
                                     .rule_set = "1",
                                     .commands = commands,
                                     .events = events,
                                     .heard = heard,
                                     .witness = witness,
                                     .queries = queries,
                                     .answers = answers,
                                     .timers = timers,
                                     .statements = trial_statements,
                                     .migrations = trial_migrations};

// -------------------------------------------------------------------------------------- a bus that remembers

#define SAID 512

static struct said {
    char id[UUID_SIZE];
    char service[32];
    char type[64];
    Bus__V1__Reply__Status status;
    char reason[LIMIT_REASON_BYTES];
    uint8_t body[4096];
    size_t size;
} replies[SAID], asks[SAID];
static int reply_count, ask_count;
static int64_t later_ms;  // that time has gone on by, as far as the loop can tell

int64_t __real_clock_stopwatch_ms(void);
int64_t __wrap_clock_stopwatch_ms(void);
int64_t __wrap_clock_stopwatch_ms(void)
{
    return __real_clock_stopwatch_ms() + later_ms;
}

void __wrap_bus_reply(bus_t *bus, uint64_t ticket, const char *id, Bus__V1__Reply__Status status,
                      const char *reason, const ProtobufCMessageDescriptor *type, const uint8_t *body,
                      size_t body_size);
bool __wrap_bus_ask(bus_t *bus, const char *service, const char *id, const char *type, const actor_t *actor,
                    const char *correlation, uint32_t timeout_ms, const uint8_t *body, size_t body_size);

static void say(struct said *said, const char *id, const char *type, const uint8_t *body, size_t size)
{
    snprintf(said->id, sizeof said->id, "%s", id);
    snprintf(said->type, sizeof said->type, "%s", type);
    said->size = size < sizeof said->body ? size : sizeof said->body;
    if (said->size > 0)
        memcpy(said->body, body, said->size);
}

void __wrap_bus_reply(bus_t *bus, uint64_t ticket, const char *id, Bus__V1__Reply__Status status,
                      const char *reason, const ProtobufCMessageDescriptor *type, const uint8_t *body,
                      size_t body_size)
{
    struct said *said = &replies[reply_count++ % SAID];
    assert_null(bus);
    assert_int_equal(7, ticket);
    say(said, id, type ? type->name : "", body, body_size);
    said->status = status;
    snprintf(said->reason, sizeof said->reason, "%s", reason);
}

bool __wrap_bus_ask(bus_t *bus, const char *service, const char *id, const char *type, const actor_t *actor,
                    const char *correlation, uint32_t timeout_ms, const uint8_t *body, size_t body_size)
{
    struct said *said = &asks[ask_count++ % SAID];
    (void)bus, (void)actor, (void)correlation, (void)timeout_ms;
    say(said, id, type, body, body_size);
    snprintf(said->service, sizeof said->service, "%s", service);
    return true;
}

// ------------------------------------------------------------------------------------ a loop to turn by hand

static char schema_name[64];

static struct heard_log {
    struct {
        uint8_t bytes[512];
        size_t size;
    } entries[64];
    uint64_t count;
} the_log;  // what others have told

static db_t *open_schema(const char *name)
{
    const char *url = getenv("CHECK_DATABASE_URL");
    struct service_sql sql = service_sql(&trial);
    struct db_config owner = {.url = url, .schema = name, .application_name = "service_test"};
    struct db_config config = {
        .url = url, .schema = name, .statements = sql.statements, .application_name = "service_test"};
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    struct message message = message_new(arena);

    message.db = db_new(&owner);
    assert_well(db_migrate(&message, NULL, sql.migrations), &message);
    db_destroy(&message.db);
    arena_destroy(&arena);
    return db_new(&config);
}

static void drop_schema(db_t **db_p)
{
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    struct message message = message_new(arena);

    message.db = *db_p;
    db_connect(&message);
    assert_int_equal(OK, RUN0(&message, drop, NULL));
    db_destroy(db_p);
    arena_destroy(&arena);
}

static int setup(void **state)
{
    struct loop *loop = calloc(1, sizeof *loop);

    snprintf(schema_name, sizeof schema_name, "loop_trial_%d", (int)getpid());
    *loop = (struct loop){.service = &trial,
                          .instance = "test",
                          .rehearsal = true,
                          .db = open_schema(schema_name),
                          .turn = arena_new(4 * LIMIT_ARENA_BYTES),
                          .batch = arena_new(4 * LIMIT_ARENA_BYTES),
                          .hand = arena_new(LIMIT_ARENA_BYTES),
                          .relay = relay_new(),
                          .follow = follow_new(&trial),
                          .timers = timers_new(),
                          .vitals = vitals_start("trial", "1")};
    loop->figures = figures_new(&trial, loop->vitals);
    assert_true(loop_connected(loop));
    reply_count = ask_count = cuts = 0;
    later_ms = 0;
    mended = full = false;
    the_log.count = 0;
    *state = loop;
    return 0;
}

static int teardown(void **state)
{
    struct loop *loop = *state;

    drop_schema(&loop->db);
    vitals_destroy(&loop->vitals);
    figures_destroy(&loop->figures);
    timers_destroy(&loop->timers);
    follow_destroy(&loop->follow);
    relay_destroy(&loop->relay);
    arena_destroy(&loop->hand);
    arena_destroy(&loop->batch);
    arena_destroy(&loop->turn);
    free(loop);
    return 0;
}

// Become the one that hears events, fires timers and sends what was left.
static void lead(struct loop *loop)
{
    struct message own = loop_message(loop), *message = &own;
    struct rows rows;

    assert_true(loop_connected(loop));
    assert_int_equal(OK, RUN(message, loop_lease, &rows, INT(0)));
    assert_true(row_int(&rows, 0, 1));
    loop->leading_backend = row_int(&rows, 0, 0);
    follow_lead(loop);
}

enum { COUNTERS, TOTAL, ANSWERED, UNSENT, HEARD, PARKED, INCIDENTS, ASKED, POSITION, LAST_VERSION, VIEWED };

static int64_t number_of(struct loop *loop, int what)
{
    struct message message = loop_message(loop);
    struct rows rows;

    assert_true(loop_connected(loop));
    assert_int_equal(OK, RUN0(&message, number, &rows));
    return row_int(&rows, 0, what);
}

static const char *an_id(struct loop *loop)
{
    return uuid_new(loop->turn, clock_real_us());
}

static struct work a_work(struct loop *loop, const char *id, Bus__V1__Actor__Role role, const void *body)
{
    Bus__V1__Request *request = arena_alloc(loop->turn, sizeof *request);
    actor_t *actor = arena_alloc(loop->turn, sizeof *actor);
    struct work work = {.request = request};

    *actor = (actor_t)BUS__V1__ACTOR__INIT;
    actor->subject = "ola";
    actor->role = role;
    *request = (Bus__V1__Request)BUS__V1__REQUEST__INIT;
    request->id = (char *)id;
    request->type = (char *)((const ProtobufCMessage *)body)->descriptor->name;
    request->actor = actor;
    request->ticket = 7;
    request->received_at_us = AT_US;
    request->sender = "console";
    request->rehearsal = true;
    work.body = message_encode(loop->turn, body, &work.body_size);
    return work;
}

static struct work counting(struct loop *loop, const char *id, const char *counter, uint32_t credit)
{
    Bus__V1__Ready ready = BUS__V1__READY__INIT;
    ready.service = (char *)counter;
    ready.credit = credit;
    return a_work(loop, id, BUS__V1__ACTOR__ROLE__EDITOR, &ready);
}

static const struct said *give(struct loop *loop, struct work work)
{
    inbox_commands(loop, &work, 1);
    return &replies[(reply_count - 1) % SAID];
}

static const struct said *query(struct loop *loop, struct work work)
{
    inbox_queries(loop, &work, 1);
    return &replies[(reply_count - 1) % SAID];
}

static struct incoming a_reply(struct loop *loop, const char *id, Bus__V1__Reply__Status status,
                               const void *body)
{
    Bus__V1__Reply *reply = arena_alloc(loop->turn, sizeof *reply);
    struct incoming incoming = {.kind = INCOMING_REPLY, .reply = reply};

    *reply = (Bus__V1__Reply)BUS__V1__REPLY__INIT;
    reply->id = (char *)id;
    reply->status = status;
    if (body)
        incoming.body = message_encode(loop->turn, body, &incoming.body_size);
    return incoming;
}

// The log answers the n-th ask, an Append, with the same result for each of its events.
static void log_answers(struct loop *loop, int n, Eventlog__V1__Appended__Result result)
{
    struct message message = loop_message(loop);
    Eventlog__V1__Append *append = NULL;
    Eventlog__V1__Appended appended = EVENTLOG__V1__APPENDED__INIT;
    Eventlog__V1__Appended__One one = EVENTLOG__V1__APPENDED__ONE__INIT, *ones[LIMIT_APPEND_EVENTS];

    assert_string_equal("eventlog", asks[n].service);
    assert_int_equal(
        OK, message_decode(&message, &eventlog__v1__append__descriptor, asks[n].body, asks[n].size, &append));
    one.result = result;
    one.reason = result == EVENTLOG__V1__APPENDED__RESULT__REFUSED ? "it is not to be had" : "";
    for (size_t i = 0; i < append->n_events; i++)
        ones[i] = &one;
    appended.n_results = append->n_events;
    appended.results = ones;
    struct incoming incoming = a_reply(loop, asks[n].id, BUS__V1__REPLY__STATUS__OK, &appended);
    assert_true(relay_reply(loop, &incoming));
}

// --------------------------------------------------------------------------------------------- a log to hear

static void log_fact(struct loop *loop, const char *source, const char *stream, const char *subject,
                     const void *fact)
{
    Eventlog__V1__Event event = EVENTLOG__V1__EVENT__INIT;
    actor_t actor = BUS__V1__ACTOR__INIT;
    size_t size;

    actor.subject = "kari";
    event.id = (char *)an_id(loop);
    event.source = (char *)source;
    event.type = (char *)((const ProtobufCMessage *)fact)->descriptor->name;
    event.stream = (char *)stream;
    event.version = 1;
    event.subject = (char *)subject;
    event.time_us = AT_US;
    event.actor = &actor;
    event.causation = event.id;
    event.correlation = event.id;
    event.rehearsal = true;
    event.data.data = message_encode(loop->turn, fact, &event.data.len);
    uint8_t *bytes = message_encode(loop->turn, &event, &size);
    assert_true(size <= sizeof the_log.entries[0].bytes);
    memcpy(the_log.entries[the_log.count].bytes, bytes, size);
    the_log.entries[the_log.count++].size = size;
}

static void log_event(struct loop *loop, const char *source, const char *stream, const char *subject,
                      uint32_t waiting)
{
    Bus__V1__Peers__Queue queue = BUS__V1__PEERS__QUEUE__INIT;

    queue.service = (char *)subject;
    queue.waiting = waiting;
    log_fact(loop, source, stream, subject, &queue);
}

static void log_expired(struct loop *loop, const char *subject)
{
    Intake__V1__DraftExpired expired = INTAKE__V1__DRAFT_EXPIRED__INIT;

    expired.application_id = (char *)subject;
    log_fact(loop, "other", arena_printf(loop->turn, "other/draft/%s", subject), subject, &expired);
}

// The feed tells of the log's entries from..to (positions, from 1) and its head.
static void feed_log(struct loop *loop, uint64_t from, uint64_t to, const char *log_id, uint8_t root)
{
    Eventlog__V1__Published published = EVENTLOG__V1__PUBLISHED__INIT;
    Eventlog__V1__Head head = EVENTLOG__V1__HEAD__INIT;
    Eventlog__V1__Entry *entries[64];
    uint8_t roots[32];
    struct incoming incoming = {.kind = INCOMING_FEED};

    memset(roots, root, sizeof roots);
    head.position = to;
    head.log_id = (char *)log_id;
    head.rehearsal = true;
    head.epoch = 1;
    head.root = (ProtobufCBinaryData){.data = roots, .len = sizeof roots};
    published.head = &head;
    published.entries = entries;
    for (uint64_t position = from; position <= to; position++) {
        Eventlog__V1__Entry *entry = entries[published.n_entries++] = arena_alloc(loop->turn, sizeof *entry);
        *entry = (Eventlog__V1__Entry)EVENTLOG__V1__ENTRY__INIT;
        entry->position = position;
        entry->event.data = the_log.entries[position - 1].bytes;
        entry->event.len = the_log.entries[position - 1].size;
        entry->epoch = 1;
        entry->appended_at_us = AT_US;
    }
    incoming.body = message_encode(loop->turn, &published, &incoming.body_size);
    follow_feed(loop, &incoming);
}

#define LOG_ID       "01900000-0000-7000-8000-000000000001"
#define OTHER_LOG_ID "01900000-0000-7000-8000-000000000002"

static void feed(struct loop *loop, uint64_t from, uint64_t to)
{
    feed_log(loop, from, to, LOG_ID, (uint8_t)to);
}

// ---------------------------------------------------------------------------------------------- commands

static void a_command_is_decided_applied_kept_and_answered(void **state)
{
    struct loop *loop = *state;
    const struct said *said = give(loop, counting(loop, an_id(loop), "sheep", 5));  // when
    assert_int_equal(BUS__V1__REPLY__STATUS__OK, said->status);                     // then
    assert_string_equal("bus.v1.Ready", said->type);
    assert_int_equal(5, number_of(loop, TOTAL));
    assert_int_equal(1, number_of(loop, ANSWERED));
    assert_int_equal(1, number_of(loop, UNSENT));
    assert_int_equal(1, ask_count);
    assert_string_equal("eventlog.v1.Append", asks[0].type);
}

static void the_same_id_again_gets_the_first_answer(void **state)
{
    struct loop *loop = *state;
    const char *id = an_id(loop);
    struct said first = *give(loop, counting(loop, id, "sheep", 5));  // given
    give(loop, counting(loop, an_id(loop), "sheep", 1));
    const struct said *again = give(loop, counting(loop, id, "sheep", 5));  // when
    assert_int_equal(first.status, again->status);                          // then
    assert_string_equal(first.type, again->type);
    assert_int_equal(first.size, again->size);
    assert_memory_equal(first.body, again->body, first.size);
    assert_int_equal(6, number_of(loop, TOTAL));
}

static void the_same_id_with_another_body_is_refused(void **state)
{
    struct loop *loop = *state;
    const char *id = an_id(loop);
    give(loop, counting(loop, id, "sheep", 5));                            // given
    const struct said *said = give(loop, counting(loop, id, "sheep", 6));  // when
    assert_int_equal(BUS__V1__REPLY__STATUS__REFUSED, said->status);       // then
    assert_non_null(strstr(said->reason, "was used before"));
    assert_int_equal(5, number_of(loop, TOTAL));
    // and by another actor: when
    struct work other = counting(loop, id, "sheep", 5);
    other.request->actor->subject = "per";
    said = give(loop, other);
    assert_int_equal(BUS__V1__REPLY__STATUS__REFUSED, said->status);  // then
}

static void the_same_id_twice_in_one_batch_has_one_effect(void **state)
{
    struct loop *loop = *state;
    const char *id = an_id(loop);
    struct work works[] = {counting(loop, id, "sheep", 5), counting(loop, id, "sheep", 5),
                           counting(loop, id, "sheep", 6)};           // given
    inbox_commands(loop, works, 3);                                   // when
    assert_int_equal(BUS__V1__REPLY__STATUS__OK, replies[0].status);  // then
    assert_int_equal(BUS__V1__REPLY__STATUS__OK, replies[1].status);
    assert_int_equal(BUS__V1__REPLY__STATUS__REFUSED, replies[2].status);
    assert_int_equal(5, number_of(loop, TOTAL));
}

static void one_poison_in_a_batch_spoils_nobody_else(void **state)
{
    struct loop *loop = *state;
    struct work works[] = {counting(loop, an_id(loop), "sheep", 1),
                           counting(loop, an_id(loop), "sheep", POISON_CREDIT),
                           counting(loop, an_id(loop), "goats", 2)};  // given
    inbox_commands(loop, works, 3);                                   // when
    assert_int_equal(BUS__V1__REPLY__STATUS__OK, replies[0].status);  // then
    assert_int_equal(BUS__V1__REPLY__STATUS__POISON, replies[1].status);
    assert_string_equal("nobody can count to thirteen", replies[1].reason);
    assert_int_equal(BUS__V1__REPLY__STATUS__OK, replies[2].status);
    assert_int_equal(3, number_of(loop, TOTAL));
    assert_int_equal(2, number_of(loop, ANSWERED));
    assert_int_equal(2, number_of(loop, UNSENT));
    assert_int_equal(1, number_of(loop, LAST_VERSION));
}

// What the n-th answer says the counter has come to.
static uint32_t answered_credit(struct loop *loop, int n)
{
    struct message own = loop_message(loop), *message = &own;
    Bus__V1__Ready *answered = NULL;

    assert_well(message_decode(message, &bus__v1__ready__descriptor, replies[n].body, replies[n].size, &answered),
                message);
    return answered->credit;
}

static void a_batch_of_commands_waits_for_the_database_twice(void **state)
{
    struct loop *loop = *state;
    struct work works[20];
    for (int i = 0; i < 20; i++)
        works[i] = counting(loop, an_id(loop), arena_printf(loop->turn, "sheep %d", i), 1);  // given
    FILE *trace = trace_begin(loop->db);
    inbox_commands(loop, works, 20);                          // when
    assert_int_equal(2, trace_count(trace, TRACE_WAIT, NULL));  // then
    trace_end(loop->db, trace);
    assert_int_equal(20, number_of(loop, TOTAL));
}

static void two_commands_about_one_case_are_decided_one_after_the_other(void **state)
{
    struct loop *loop = *state;
    struct work works[] = {counting(loop, an_id(loop), "sheep", 5),
                           counting(loop, an_id(loop), "sheep", 1)};  // given
    inbox_commands(loop, works, 2);                                   // when
    assert_int_equal(1 + 5, answered_credit(loop, 1));  // then
}

static void nothing_is_asked_ahead_of_a_command_that_may_change_it(void **state)
{
    struct loop *loop = *state;
    Intake__V1__Withdraw withdraw = INTAKE__V1__WITHDRAW__INIT;
    withdraw.application_id = "sheep";
    struct work works[] = {a_work(loop, an_id(loop), BUS__V1__ACTOR__ROLE__EDITOR, &withdraw),
                           counting(loop, an_id(loop), "sheep", 1)};  // given
    inbox_commands(loop, works, 2);                                   // when
    assert_int_equal(1 + 100, answered_credit(loop, 1));  // then
}

static void cases_are_locked_in_the_order_of_their_names(void **state)
{
    struct loop *loop = *state;
    struct work works[] = {counting(loop, an_id(loop), "sheep", 5),
                           counting(loop, an_id(loop), "goats", 1)};  // given
    FILE *trace = trace_begin(loop->db);
    long goats, sheep;
    inbox_commands(loop, works, 2);  // when
    assert_true(trace_count(trace, "'goats'", &goats) > 0 && trace_count(trace, "'sheep'", &sheep) > 0);
    assert_true(goats < sheep);  // then
    trace_end(loop->db, trace);
}

static void nothing_is_asked_ahead_for_who_may_not_ask(void **state)
{
    struct loop *loop = *state;
    struct work work = counting(loop, an_id(loop), "sheep", 5);
    work.request->actor->role = BUS__V1__ACTOR__ROLE__AUDITOR;  // given
    FILE *trace = trace_begin(loop->db);
    inbox_commands(loop, &work, 1);  // when
    assert_int_equal(0, trace_count(trace, "\"load_total\"", NULL));  // then
    struct work allowed = counting(loop, an_id(loop), "sheep", 5);
    inbox_commands(loop, &allowed, 1);  // and who may, asks
    assert_int_equal(1, trace_count(trace, "\"load_total\"", NULL));
    trace_end(loop->db, trace);
}

#define SHEEP_STREAM "trial/counter/sheep"

static void a_stream_is_held_from_when_its_version_is_known(void **state)
{
    struct loop *loop = *state;
    db_t *other = open_schema(schema_name);
    struct message first = loop_transaction(loop), second = message_new(loop->turn), *message = &second;
    struct harvest harvest = harvest_new(loop->batch);
    const char *stream = SHEEP_STREAM;
    struct rows rows;
    give(loop, counting(loop, an_id(loop), "sheep", 5));
    second.db = other;
    assert_well(db_connect(message), message);
    assert_well(db_begin(&first), &first);
    assert_well(RUN(message, free_streams, &rows, TEXT(stream)), message);
    assert_int_equal(1, rows.count);                                      // given
    assert_well(streams_know(&first, &harvest, &stream, 1), &first);      // when
    assert_well(RUN(message, free_streams, &rows, TEXT(stream)), message);
    assert_int_equal(0, rows.count);                                      // then
    assert_int_equal(2, streams_next(&harvest, stream));
    assert_int_equal(3, streams_next(&harvest, stream));
    db_rollback(&first);
    db_destroy(&other);
}

static void of_two_who_begin_a_stream_the_later_tries_again(void **state)
{
    struct loop *loop = *state;
    db_t *other = open_schema(schema_name);
    struct message second = message_new(loop->turn);
    struct harvest harvest = harvest_new(loop->turn);
    const char *stream = SHEEP_STREAM;
    second.db = other;
    assert_well(db_begin(&second), &second);
    assert_well(streams_know(&second, &harvest, &stream, 1), &second);
    assert_int_equal(1, streams_next(&harvest, stream));  // given
    give(loop, counting(loop, an_id(loop), "sheep", 5));  // when
    assert_well(streams_keep(&second, &harvest), &second);
    assert_int_equal(RETRY, db_commit(&second));  // then
    db_rollback(&second);
    db_destroy(&other);
    assert_int_equal(1, number_of(loop, LAST_VERSION));
}

static void a_refusal_is_remembered(void **state)
{
    struct loop *loop = *state;
    const char *id = an_id(loop);
    const struct said *said = give(loop, counting(loop, id, "sheep", REFUSED_CREDIT));  // when
    assert_int_equal(BUS__V1__REPLY__STATUS__REFUSED, said->status);                    // then
    assert_string_equal("credit: sheep does not count a dozen", said->reason);
    assert_int_equal(1, number_of(loop, ANSWERED));
    assert_int_equal(0, number_of(loop, UNSENT));
    said = give(loop, counting(loop, id, "sheep", REFUSED_CREDIT));             // when
    assert_string_equal("credit: sheep does not count a dozen", said->reason);  // then
    assert_int_equal(1, number_of(loop, ANSWERED));
}

static void what_never_comes_to_pass_is_unavailable_and_not_remembered(void **state)
{
    struct loop *loop = *state;
    const struct said *said = give(loop, counting(loop, an_id(loop), "sheep", RETRY_CREDIT));  // when
    assert_int_equal(BUS__V1__REPLY__STATUS__UNAVAILABLE, said->status);                       // then
    assert_string_equal("not now", said->reason);
    assert_int_equal(0, number_of(loop, ANSWERED));
}

static void a_lost_connection_is_not_seen_by_the_sender(void **state)
{
    struct loop *loop = *state;
    cuts = 2;  // given
    struct work works[] = {counting(loop, an_id(loop), "sheep", 1),
                           counting(loop, an_id(loop), "sheep", CUT_CREDIT)};
    inbox_commands(loop, works, 2);                                   // when
    assert_int_equal(BUS__V1__REPLY__STATUS__OK, replies[0].status);  // then
    assert_int_equal(BUS__V1__REPLY__STATUS__OK, replies[1].status);
    assert_int_equal(16, number_of(loop, TOTAL));
}

static void a_wrong_role_is_refused_with_the_right_ones(void **state)
{
    struct loop *loop = *state;
    struct work work = counting(loop, an_id(loop), "sheep", 5);
    work.request->actor->role = BUS__V1__ACTOR__ROLE__AUDITOR;        // given
    const struct said *said = give(loop, work);                       // when
    assert_int_equal(BUS__V1__REPLY__STATUS__REFUSED, said->status);  // then
    assert_non_null(strstr(said->reason, "EDITOR or APPROVER"));
    assert_int_equal(0, number_of(loop, TOTAL));
}

static void nobody_speaks_as_the_clock(void **state)
{
    struct loop *loop = *state;
    Bus__V1__Disconnect due = BUS__V1__DISCONNECT__INIT;
    due.reason = "sheep";  // given
    const struct said *said = give(loop,
                                   a_work(loop, an_id(loop), BUS__V1__ACTOR__ROLE__CLOCK, &due));  // when
    assert_int_equal(BUS__V1__REPLY__STATUS__REFUSED, said->status);                               // then
    assert_int_equal(0, number_of(loop, COUNTERS));
}

static void a_rehearsal_is_refused_by_a_real_service_and_the_reverse(void **state)
{
    struct loop *loop = *state;
    loop->rehearsal = false;                                                        // given
    const struct said *said = give(loop, counting(loop, an_id(loop), "sheep", 5));  // when
    assert_int_equal(BUS__V1__REPLY__STATUS__REFUSED, said->status);                // then
    loop->rehearsal = true;
    struct work work = counting(loop, an_id(loop), "sheep", 5);
    ((Bus__V1__Request *)work.request)->rehearsal = false;            // given
    said = give(loop, work);                                          // when
    assert_int_equal(BUS__V1__REPLY__STATUS__REFUSED, said->status);  // then
    assert_int_equal(0, number_of(loop, TOTAL));
}

static void an_unknown_type_and_a_malformed_body_are_poison(void **state)
{
    struct loop *loop = *state;
    Bus__V1__Heartbeat unknown = BUS__V1__HEARTBEAT__INIT;
    struct work work = counting(loop, an_id(loop), "sheep", 5);
    const struct said *said = give(
        loop, a_work(loop, an_id(loop), BUS__V1__ACTOR__ROLE__EDITOR, &unknown));  // when
    assert_int_equal(BUS__V1__REPLY__STATUS__POISON, said->status);                // then
    work.body = (const uint8_t *)"\xff\xff\xff";                                   // given
    work.body_size = 3;
    said = give(loop, work);                                         // when
    assert_int_equal(BUS__V1__REPLY__STATUS__POISON, said->status);  // then
    work = counting(loop, "1234", "sheep", 5);                       // given
    said = give(loop, work);                                         // when
    assert_int_equal(BUS__V1__REPLY__STATUS__POISON, said->status);  // then
    assert_non_null(strstr(said->reason, "UUID"));
}

static void a_full_batch_over_several_streams_numbers_each_without_gaps(void **state)
{
    struct loop *loop = *state;
    static const char *const counters[] = {"a", "b", "c", "d"};
    struct work works[LIMIT_BATCH_MESSAGES];
    for (int i = 0; i < LIMIT_BATCH_MESSAGES; i++)  // given
        works[i] = counting(loop, an_id(loop), counters[i % 4], 1);
    inbox_commands(loop, works, LIMIT_BATCH_MESSAGES);    // when
    assert_int_equal(LIMIT_BATCH_MESSAGES, reply_count);  // then
    assert_int_equal(LIMIT_BATCH_MESSAGES, number_of(loop, TOTAL));
    assert_int_equal(LIMIT_BATCH_MESSAGES / 4, number_of(loop, LAST_VERSION));
    assert_int_equal(1, ask_count);
}

// ---------------------------------------------------------------------------------------------- queries

static void a_query_is_read_and_not_remembered(void **state)
{
    struct loop *loop = *state;
    Bus__V1__GetPeers get = BUS__V1__GET_PEERS__INIT;
    give(loop, counting(loop, an_id(loop), "sheep", 5));  // given
    const struct said *said = query(loop,
                                    a_work(loop, an_id(loop), BUS__V1__ACTOR__ROLE__EDITOR, &get));  // when
    assert_int_equal(BUS__V1__REPLY__STATUS__OK, said->status);                                      // then
    assert_string_equal("bus.v1.Peers", said->type);
    assert_int_equal(1, number_of(loop, ANSWERED));
}

static void a_query_can_write_nothing(void **state)
{
    struct loop *loop = *state;
    Bus__V1__Heartbeat writes = BUS__V1__HEARTBEAT__INIT;
    Bus__V1__GetPeers get = BUS__V1__GET_PEERS__INIT;
    struct work works[] = {a_work(loop, an_id(loop), BUS__V1__ACTOR__ROLE__EDITOR, &writes),
                           a_work(loop, an_id(loop), BUS__V1__ACTOR__ROLE__EDITOR, &get)};  // given
    inbox_queries(loop, works, 2);                                                          // when
    assert_int_equal(BUS__V1__REPLY__STATUS__POISON, replies[0].status);                    // then
    assert_int_equal(BUS__V1__REPLY__STATUS__OK, replies[1].status);
    assert_int_equal(0, number_of(loop, VIEWED));
}

static void status_tells_what_is_unsent(void **state)
{
    struct loop *loop = *state;
    struct message message = loop_message(loop);
    Service__V1__GetStatus get = SERVICE__V1__GET_STATUS__INIT;
    Service__V1__Status *status = NULL;
    give(loop, counting(loop, an_id(loop), "sheep", 5));  // given
    const struct said *said = query(loop,
                                    a_work(loop, an_id(loop), BUS__V1__ACTOR__ROLE__OPERATOR, &get));  // when
    assert_int_equal(BUS__V1__REPLY__STATUS__OK, said->status);                                        // then
    assert_int_equal(
        OK, message_decode(&message, &service__v1__status__descriptor, said->body, said->size, &status));
    assert_int_equal(1, status->unsent);
}

// ---------------------------------------------------------------------------------------------- to the log

static void events_leave_the_outbox_when_the_log_has_them(void **state)
{
    struct loop *loop = *state;
    give(loop, counting(loop, an_id(loop), "sheep", 5));  // given
    assert_false(relay_idle(loop));
    log_answers(loop, 0, EVENTLOG__V1__APPENDED__RESULT__STORED);  // when
    give(loop, counting(loop, an_id(loop), "sheep", REFUSED_CREDIT));
    assert_int_equal(0, number_of(loop, UNSENT));  // then
    assert_true(relay_idle(loop));
}

static void what_is_held_back_is_sent_again(void **state)
{
    struct loop *loop = *state;
    give(loop, counting(loop, an_id(loop), "sheep", 5));  // given
    log_answers(loop, 0, EVENTLOG__V1__APPENDED__RESULT__HELD_BACK);
    assert_int_equal(1, ask_count);
    usleep(30000);
    relay_turn(loop);                // when
    assert_int_equal(2, ask_count);  // then
    log_answers(loop, 1, EVENTLOG__V1__APPENDED__RESULT__STORED);
    loop->stopping = true;
    relay_turn(loop);
    assert_int_equal(0, number_of(loop, UNSENT));
}

static void what_others_left_is_sent_by_the_leader(void **state)
{
    struct loop *loop = *state;
    struct message message = loop_message(loop);
    give(loop, counting(loop, an_id(loop), "sheep", 5));  // given
    relay_destroy(&loop->relay);                          // as if killed before the log's answer came
    loop->relay = relay_new();
    assert_int_equal(OK, RUN0(&message, age, NULL));
    relay_turn(loop);                // when
    assert_int_equal(1, ask_count);  // then: only the leader does
    lead(loop);                      // when
    relay_turn(loop);
    assert_int_equal(2, ask_count);  // then
    assert_int_equal(asks[0].size, asks[1].size);
    assert_memory_equal(asks[0].body, asks[1].body, asks[0].size);
}

static void what_is_left_after_the_leader_looked_is_sent_too(void **state)
{
    struct loop *loop = *state;
    struct message message = loop_message(loop);
    lead(loop);  // given
    relay_turn(loop);
    give(loop, counting(loop, an_id(loop), "sheep", 5));
    assert_int_equal(OK, RUN0(&message, age, NULL));
    relay_turn(loop);
    assert_int_equal(1, ask_count);
    later_ms += LIMIT_RESEND_MS;  // when
    relay_turn(loop);
    assert_int_equal(2, ask_count);  // then
}

// The leader has looked at the whole outbox; after that an event is left behind, with an id of long ago.
static void leave_an_old_one(struct loop *loop)
{
    struct message own = loop_message(loop), *message = &own;

    lead(loop);
    relay_turn(loop);
    give(loop, counting(loop, an_id(loop), "sheep", 5));
    assert_int_equal(OK, RUN(message, backdate, NULL, TEXT("018f0000-0000-7000-8000-000000000000")));
}

static void an_event_with_an_id_of_long_ago_is_sent_within_a_minute(void **state)
{
    struct loop *loop = *state;
    leave_an_old_one(loop);       // given
    later_ms += LIMIT_RESEND_MS;  // when
    relay_turn(loop);
    assert_int_equal(1, ask_count);  // then: the leader asks for recent ones
    later_ms += 60000;               // when
    relay_turn(loop);
    assert_int_equal(2, ask_count);  // then: and now and then for all
}

static void who_leads_anew_looks_at_the_whole_outbox(void **state)
{
    struct loop *loop = *state;
    leave_an_old_one(loop);  // given
    loop->leading_backend = 0;
    relay_turn(loop);
    lead(loop);  // when
    later_ms += LIMIT_RESEND_MS;
    relay_turn(loop);
    assert_int_equal(2, ask_count);  // then
}

static void own_events_are_counted_without_the_table_while_none_is_left(void **state)
{
    struct loop *loop = *state;
    struct message message = loop_message(loop);
    int count;
    int64_t age_ms;
    lead(loop);  // given
    assert_false(relay_knows(loop, &count, &age_ms));
    relay_turn(loop);
    give(loop, counting(loop, an_id(loop), "sheep", 5));  // when
    later_ms += 1500;
    assert_true(relay_knows(loop, &count, &age_ms));  // then
    assert_int_equal(1, count);
    assert_in_range(age_ms, 1500, 30000);
    assert_int_equal(OK, RUN0(&message, age, NULL));  // when
    later_ms += LIMIT_RESEND_MS;
    relay_turn(loop);
    assert_false(relay_knows(loop, &count, &age_ms));  // then
}

static void what_the_log_refuses_waits_for_an_operator(void **state)
{
    struct loop *loop = *state;
    Service__V1__Redrive redrive = SERVICE__V1__REDRIVE__INIT;
    lead(loop);
    give(loop, counting(loop, an_id(loop), "sheep", 5));            // given
    log_answers(loop, 0, EVENTLOG__V1__APPENDED__RESULT__REFUSED);  // when
    assert_int_equal(1, number_of(loop, INCIDENTS));                // then
    assert_int_equal(1, number_of(loop, UNSENT));
    redrive.stream = "trial/counter/sheep";
    redrive.why = "the log was mended";
    give(loop, a_work(loop, an_id(loop), BUS__V1__ACTOR__ROLE__OPERATOR, &redrive));  // when
    follow_redrive(loop);
    assert_int_equal(0, number_of(loop, INCIDENTS));  // then
}

// ---------------------------------------------------------------------------------------------- hearing

static void events_of_others_are_heard_and_reacted_to_in_order(void **state)
{
    struct loop *loop = *state;
    lead(loop);
    log_event(loop, "other", "other/queue/x", "x", 1);  // given
    log_event(loop, "trial", "trial/counter/y", "y", 2);
    log_event(loop, "other", "other/queue/z", "z", 3);
    feed(loop, 1, 3);                                // when
    assert_int_equal(3, number_of(loop, POSITION));  // then
    assert_int_equal(2, number_of(loop, HEARD));
    assert_int_equal(4, number_of(loop, TOTAL));
    assert_int_equal(3, number_of(loop, VIEWED));
    feed(loop, 1, 3);                             // when: told again
    assert_int_equal(4, number_of(loop, TOTAL));  // then
}

static void a_batch_of_events_waits_for_the_database_twice(void **state)
{
    struct loop *loop = *state;
    lead(loop);
    for (int i = 0; i < 20; i++)
        log_expired(loop, arena_printf(loop->turn, "sheep %d", i));  // given
    FILE *trace = trace_begin(loop->db);
    feed(loop, 1, 20);                                          // when
    assert_int_equal(
        2, trace_count(trace, TRACE_WAIT, NULL));  // then: for the cursor and what was asked ahead; COMMIT
    trace_end(loop->db, trace);
    assert_int_equal(20, number_of(loop, TOTAL));
}

static void two_events_about_one_subject_are_reacted_to_one_after_the_other(void **state)
{
    struct loop *loop = *state;
    lead(loop);
    log_expired(loop, "sheep");  // given
    log_expired(loop, "sheep");
    feed(loop, 1, 2);                             // when
    assert_int_equal(1 + 2, number_of(loop, TOTAL));  // then
}

static void nothing_is_asked_ahead_of_an_event_that_may_change_it(void **state)
{
    struct loop *loop = *state;
    lead(loop);
    log_event(loop, "other", "other/queue/x", "sheep", 100);  // given
    log_expired(loop, "sheep");
    feed(loop, 1, 2);                                     // when
    assert_int_equal(100 + 101, number_of(loop, TOTAL));  // then
}

static void a_gap_in_the_feed_is_read_from_the_log(void **state)
{
    struct loop *loop = *state;
    lead(loop);
    log_event(loop, "other", "other/queue/x", "x", 1);  // given
    log_event(loop, "other", "other/queue/x", "x", 2);
    feed(loop, 2, 2);                                // when
    assert_int_equal(0, number_of(loop, POSITION));  // then
    follow_turn(loop);
    assert_int_equal(1, ask_count);
    assert_string_equal("eventlog.v1.Read", asks[0].type);
}

static void only_the_leader_hears(void **state)
{
    struct loop *loop = *state;
    log_event(loop, "other", "other/queue/x", "x", 1);  // given
    feed(loop, 1, 1);                                   // when
    assert_int_equal(0, number_of(loop, POSITION));     // then
}

static void two_that_believe_to_lead_hear_once(void **state)
{
    struct loop *loop = *state;
    struct message message = loop_message(loop);
    lead(loop);
    log_event(loop, "other", "other/queue/x", "x", 1);  // given
    assert_int_equal(OK, RUN0(&message, steal_cursor, NULL));
    feed(loop, 1, 1);                             // when
    assert_int_equal(0, number_of(loop, HEARD));  // then
    assert_int_equal(1, number_of(loop, POSITION));
}

static void a_poisoned_event_stops_only_its_own_case(void **state)
{
    struct loop *loop = *state;
    Service__V1__Redrive redrive = SERVICE__V1__REDRIVE__INIT;
    lead(loop);
    log_event(loop, "other", "other/queue/x", "case", POISON_CREDIT);  // given
    log_event(loop, "other", "other/queue/y", "another", 1);
    log_event(loop, "third", "third/queue/z", "case", 2);
    feed(loop, 1, 3);                                // when
    assert_int_equal(3, number_of(loop, POSITION));  // then
    assert_int_equal(1, number_of(loop, HEARD));
    assert_int_equal(1, number_of(loop, INCIDENTS));
    assert_int_equal(2, number_of(loop, PARKED));

    redrive.stream = "other/queue/x";
    redrive.why = "not mended at all";
    give(loop, a_work(loop, an_id(loop), BUS__V1__ACTOR__ROLE__OPERATOR, &redrive));  // when: in vain
    follow_redrive(loop);
    assert_int_equal(2, number_of(loop, PARKED));  // then

    mended = true;
    redrive.why = "thirteen is a number now";
    give(loop, a_work(loop, an_id(loop), BUS__V1__ACTOR__ROLE__OPERATOR, &redrive));  // when
    follow_redrive(loop);
    assert_int_equal(0, number_of(loop, INCIDENTS));  // then
    assert_int_equal(3, number_of(loop, HEARD));
    assert_int_equal(16, number_of(loop, TOTAL));
    log_event(loop, "other", "other/queue/x", "case", 4);  // and it goes on
    feed(loop, 4, 4);
    assert_int_equal(20, number_of(loop, TOTAL));
}

// Later than anything is put off.
static void feed_later(struct loop *loop, uint64_t from, uint64_t to)
{
    later_ms += 60000;
    feed(loop, from, to);
}

static void an_event_that_never_comes_to_pass_is_parked(void **state)
{
    struct loop *loop = *state;
    lead(loop);
    log_event(loop, "other", "other/queue/x", "case", RETRY_CREDIT);  // given
    for (int i = 1; i < LIMIT_TRIES; i++)
        feed_later(loop, 1, 1);
    assert_int_equal(0, number_of(loop, INCIDENTS));
    feed_later(loop, 1, 1);                           // when: once more
    assert_int_equal(1, number_of(loop, INCIDENTS));  // then
}

static void an_event_is_not_parked_for_want_of_room(void **state)
{
    struct loop *loop = *state;
    lead(loop);
    full = true;  // given
    log_event(loop, "other", "other/queue/x", "case", FULL_CREDIT);
    log_event(loop, "other", "other/queue/y", "another", 1);
    for (int i = 0; i < 3 * LIMIT_TRIES; i++)
        feed_later(loop, 1, 2);                       // when
    assert_int_equal(0, number_of(loop, INCIDENTS));  // then
    assert_int_equal(0, number_of(loop, POSITION));

    full = false;  // when: there is room again
    feed_later(loop, 1, 2);
    assert_int_equal(2, number_of(loop, HEARD));  // then
    assert_int_equal(FULL_CREDIT + 1, number_of(loop, TOTAL));
}

static struct work a_work_of(struct loop *loop, const char *subject, const void *body)
{
    struct work work = a_work(loop, an_id(loop), BUS__V1__ACTOR__ROLE__OPERATOR, body);

    ((Bus__V1__Request *)(uintptr_t)work.request)->actor->subject = (char *)subject;
    return work;
}

static void propose_skip(struct loop *loop, const char *who, bool only_failed)
{
    Service__V1__ProposeSkip propose = SERVICE__V1__PROPOSE_SKIP__INIT;

    propose.stream = "other/queue/x";
    propose.reason = "thirteen will never be a number";
    propose.only_failed = only_failed;
    assert_int_equal(BUS__V1__REPLY__STATUS__OK, give(loop, a_work_of(loop, who, &propose))->status);
}

// Thirteen, and an event of the same case behind it.
static void poison(struct loop *loop)
{
    lead(loop);
    log_event(loop, "other", "other/queue/x", "case", POISON_CREDIT);
    log_event(loop, "third", "third/queue/z", "case", 2);
    feed(loop, 1, 2);
    assert_int_equal(2, number_of(loop, PARKED));
}

static void what_one_person_proposes_and_another_confirms_is_skipped(void **state)
{
    struct loop *loop = *state;
    Service__V1__ConfirmSkip confirm = SERVICE__V1__CONFIRM_SKIP__INIT;
    confirm.stream = "other/queue/x";
    poison(loop);  // given

    propose_skip(loop, "ola", false);  // when: one alone
    follow_redrive(loop);
    assert_int_equal(2, number_of(loop, PARKED));  // then

    log_event(loop, "other", "other/queue/x", "case", 4);  // it waits behind, and was not proposed
    feed(loop, 3, 3);
    assert_int_equal(BUS__V1__REPLY__STATUS__OK,
                     give(loop, a_work_of(loop, "kari", &confirm))->status);  // when
    follow_redrive(loop);
    assert_int_equal(0, number_of(loop, INCIDENTS));  // then
    assert_int_equal(0, number_of(loop, PARKED));
    assert_int_equal(1, number_of(loop, HEARD));
    assert_int_equal(4, number_of(loop, TOTAL));
}

static void only_what_failed_is_skipped_and_the_rest_is_tried(void **state)
{
    struct loop *loop = *state;
    Service__V1__ConfirmSkip confirm = SERVICE__V1__CONFIRM_SKIP__INIT;
    confirm.stream = "other/queue/x";
    poison(loop);                     // given
    propose_skip(loop, "ola", true);  // when
    give(loop, a_work_of(loop, "kari", &confirm));
    follow_redrive(loop);
    assert_int_equal(0, number_of(loop, INCIDENTS));  // then
    assert_int_equal(2, number_of(loop, TOTAL));
}

static void nobody_confirms_a_skip_of_their_own_or_of_nobody(void **state)
{
    struct loop *loop = *state;
    Service__V1__ConfirmSkip confirm = SERVICE__V1__CONFIRM_SKIP__INIT;
    Service__V1__ProposeSkip propose = SERVICE__V1__PROPOSE_SKIP__INIT;
    confirm.stream = propose.stream = "other/queue/x";
    poison(loop);  // given

    const struct said *said = give(loop, a_work_of(loop, "kari", &confirm));  // when: nothing is proposed
    assert_int_equal(BUS__V1__REPLY__STATUS__REFUSED, said->status);          // then
    assert_non_null(strstr(said->reason, "nobody has proposed"));
    said = give(loop, a_work_of(loop, "ola", &propose));  // when: without a reason
    assert_int_equal(BUS__V1__REPLY__STATUS__REFUSED, said->status);
    assert_non_null(strstr(said->reason, "reason: must say"));
    propose_skip(loop, "ola", false);
    said = give(loop, a_work_of(loop, "ola", &confirm));  // when: the same person
    assert_int_equal(BUS__V1__REPLY__STATUS__REFUSED, said->status);
    assert_non_null(strstr(said->reason, "another person confirms it"));
    assert_int_equal(2, number_of(loop, PARKED));  // then
}

static void what_is_being_tried_is_not_skipped(void **state)
{
    struct loop *loop = *state;
    Service__V1__Redrive redrive = SERVICE__V1__REDRIVE__INIT;
    Service__V1__ConfirmSkip confirm = SERVICE__V1__CONFIRM_SKIP__INIT;
    confirm.stream = redrive.stream = "other/queue/x";
    redrive.why = "mended";
    poison(loop);  // given
    propose_skip(loop, "ola", false);
    mended = true;
    give(loop, a_work_of(loop, "kari", &redrive));
    const struct said *said = give(loop, a_work_of(loop, "kari", &confirm));  // when
    assert_int_equal(BUS__V1__REPLY__STATUS__REFUSED, said->status);          // then
    assert_non_null(strstr(said->reason, "being tried again"));
    follow_redrive(loop);
    assert_int_equal(2, number_of(loop, HEARD));
}

// ------------------------------------------------------------------------------------------------- personal text

#define PERSON "Åse Øvrebø"

static struct work saving(struct loop *loop, const char *id, Bus__V1__Actor__Role role, const char *name)
{
    Intake__V1__SaveDraft save = INTAKE__V1__SAVE_DRAFT__INIT;
    Intake__V1__Content content = INTAKE__V1__CONTENT__INIT;
    Intake__V1__Contact contact = INTAKE__V1__CONTACT__INIT, *contacts[] = {&contact};
    private_t person = TYPES__V1__PRIVATE__INIT;

    person.text = (char *)name;
    contact.name = &person;
    contact.role = (char *)"prosjektleder";
    content.n_contacts = 1;
    content.contacts = contacts;
    save.application_id = (char *)"a case";
    save.content = &content;
    return a_work(loop, id, role, &save);
}

static struct work erasing(struct loop *loop)
{
    Service__V1__Erase erase = SERVICE__V1__ERASE__INIT;

    erase.case_id = (char *)"a case";
    erase.ground = (char *)"the person asks for it";
    return a_work(loop, an_id(loop), BUS__V1__ACTOR__ROLE__UNIT_HEAD, &erase);
}

static int64_t digest_size(struct loop *loop, const char *id)
{
    struct message own = loop_message(loop), *message = &own;
    struct rows rows;

    assert_int_equal(OK, RUN(message, digest, &rows, TEXT(id)));
    assert_int_equal(1, rows.count);
    return row_int(&rows, 0, 0);
}

static void a_kept_answer_has_no_personal_text(void **state)
{
    struct loop *loop = *state;
    struct message own = loop_message(loop), *message = &own;
    struct rows rows;
    const struct said *said = give(loop, saving(loop, an_id(loop), BUS__V1__ACTOR__ROLE__EDITOR, PERSON));

    assert_int_equal(BUS__V1__REPLY__STATUS__OK, said->status);
    assert_int_equal(OK, RUN(message, told, &rows, TEXT("prosjektleder")));
    assert_int_equal(1, row_int(&rows, 0, 0));
    assert_int_equal(OK, RUN(message, told, &rows, TEXT(PERSON)));
    assert_int_equal(0, row_int(&rows, 0, 0));
}

// A digest would tell whether a guess at the text is right.
static void a_digest_over_personal_text_ends_with_the_key(void **state)
{
    struct loop *loop = *state;
    const char *kept = an_id(loop), *refused = an_id(loop);

    give(loop, saving(loop, kept, BUS__V1__ACTOR__ROLE__EDITOR, PERSON));
    give(loop, saving(loop, refused, BUS__V1__ACTOR__ROLE__READER, PERSON));
    assert_int_equal(32, digest_size(loop, kept));
    assert_int_equal(32, digest_size(loop, refused));
    assert_int_equal(BUS__V1__REPLY__STATUS__OK, give(loop, erasing(loop))->status);  // when
    assert_int_equal(0, digest_size(loop, kept));
    assert_int_equal(0, digest_size(loop, refused));
    // Asked again, whoever asks gets what was answered.
    const struct said *again = give(loop, saving(loop, kept, BUS__V1__ACTOR__ROLE__EDITOR, PERSON));
    assert_int_equal(BUS__V1__REPLY__STATUS__OK, again->status);
}

static void what_is_refused_after_an_erasure_leaves_no_digest_either(void **state)
{
    struct loop *loop = *state;
    const char *late = an_id(loop);

    give(loop, erasing(loop));
    const struct said *said = give(loop, saving(loop, late, BUS__V1__ACTOR__ROLE__EDITOR, PERSON));
    assert_int_equal(BUS__V1__REPLY__STATUS__REFUSED, said->status);
    assert_non_null(strstr(said->reason, "was erased"));
    assert_int_equal(0, digest_size(loop, late));
}

static void text_that_is_saved_and_erased_in_one_batch_leaves_no_digest(void **state)
{
    struct loop *loop = *state;
    const char *kept = an_id(loop);
    struct work works[] = {saving(loop, kept, BUS__V1__ACTOR__ROLE__EDITOR, PERSON), erasing(loop)};

    inbox_commands(loop, works, 2);
    assert_int_equal(BUS__V1__REPLY__STATUS__OK, works[1].status);
    assert_int_equal(0, digest_size(loop, kept));
}

static void only_an_operator_redrives_and_only_what_stands_still(void **state)
{
    struct loop *loop = *state;
    Service__V1__Redrive redrive = SERVICE__V1__REDRIVE__INIT;
    redrive.stream = "other/queue/x";
    redrive.why = "nothing";
    const struct said *said = give(
        loop, a_work(loop, an_id(loop), BUS__V1__ACTOR__ROLE__OPERATOR, &redrive));  // when
    assert_int_equal(BUS__V1__REPLY__STATUS__REFUSED, said->status);                 // then
    assert_non_null(strstr(said->reason, "no open incident"));
    said = give(loop, a_work(loop, an_id(loop), BUS__V1__ACTOR__ROLE__CASE_OFFICER, &redrive));  // when
    assert_int_equal(BUS__V1__REPLY__STATUS__REFUSED, said->status);                             // then
    assert_non_null(strstr(said->reason, "OPERATOR"));
}

static void another_log_is_not_followed(void **state)
{
    struct loop *loop = *state;
    lead(loop);
    log_event(loop, "other", "other/queue/x", "x", 1);
    log_event(loop, "other", "other/queue/x", "x", 1);
    feed(loop, 1, 1);                                // given
    feed_log(loop, 2, 2, OTHER_LOG_ID, 2);           // when
    assert_int_equal(1, number_of(loop, POSITION));  // then
}

static void a_rewritten_log_is_not_followed(void **state)
{
    struct loop *loop = *state;
    lead(loop);
    log_event(loop, "other", "other/queue/x", "x", 1);
    feed(loop, 1, 1);                  // given
    feed_log(loop, 2, 1, LOG_ID, 99);  // when: another root at 1
    log_event(loop, "other", "other/queue/x", "x", 1);
    loop->head = 2;
    follow_turn(loop);
    assert_int_equal(1, ask_count);  // then: only the reaction's Append
    assert_int_equal(1, number_of(loop, POSITION));
}

// ---------------------------------------------------------------------------------------------- timers

static void what_is_due_is_obeyed_once(void **state)
{
    struct loop *loop = *state;
    give(loop, counting(loop, an_id(loop), "sheep", DUE_TOTAL));  // given
    clock_set(AT_US, true);
    lead(loop);
    timers_turn(loop);                                    // when: not due yet
    assert_int_equal(DUE_TOTAL, number_of(loop, TOTAL));  // then
    clock_set(AT_US + 3600 * INT64_C(1000000), true);
    timers_turn(loop);                                        // when: the calendar jumps
    assert_int_equal(DUE_TOTAL + 1, number_of(loop, TOTAL));  // then
    timers_stir(loop);
    usleep(110000);
    timers_turn(loop);                                        // when: nothing is due any more
    assert_int_equal(DUE_TOTAL + 1, number_of(loop, TOTAL));  // then
    assert_int_equal(1, number_of(loop, ANSWERED));
}

// ---------------------------------------------------------------------------------------- requests to others

static void a_request_is_asked_until_it_is_answered_and_then_forgotten(void **state)
{
    struct loop *loop = *state;
    struct message message = loop_message(loop);
    lead(loop);
    give(loop, counting(loop, an_id(loop), "sheep", ASKING_CREDIT));  // given
    assert_int_equal(1, number_of(loop, ASKED));
    ask_turn(loop);                  // when
    assert_int_equal(2, ask_count);  // then
    assert_string_equal("finance", asks[1].service);
    struct incoming later = a_reply(loop, asks[1].id, BUS__V1__REPLY__STATUS__UNAVAILABLE, NULL);
    ask_reply(loop, &later);                      // when
    assert_int_equal(1, number_of(loop, ASKED));  // then
    assert_int_equal(OK, RUN0(&message, ask_now, NULL));
    loop->asked_ms = 0;
    ask_turn(loop);                               // when: asked again
    assert_string_equal(asks[1].id, asks[2].id);  // then: the same request
    struct incoming answered = a_reply(loop, asks[2].id, BUS__V1__REPLY__STATUS__OK, NULL);
    ask_reply(loop, &answered);                   // when
    assert_int_equal(0, number_of(loop, ASKED));  // then
    assert_int_equal(2 * ASKING_CREDIT, number_of(loop, TOTAL));
    ask_reply(loop, &answered);                                   // when: answered twice
    assert_int_equal(2 * ASKING_CREDIT, number_of(loop, TOTAL));  // then
}

static void an_answer_that_can_not_be_handled_waits_for_an_operator(void **state)
{
    struct loop *loop = *state;
    lead(loop);
    give(loop, counting(loop, an_id(loop), "sheep", ASKING_CREDIT));  // given
    ask_turn(loop);
    struct incoming poison = a_reply(loop, asks[1].id, BUS__V1__REPLY__STATUS__POISON, NULL);
    ask_reply(loop, &poison);                     // when
    assert_int_equal(1, number_of(loop, ASKED));  // then
    assert_int_equal(1, number_of(loop, INCIDENTS));
}

// ---------------------------------------------------------------------------------------------- replay

static const char *tables_of(struct message *message)
{
    struct rows rows;
    assert_int_equal(OK, RUN0(message, tables, &rows));
    return arena_printf(message->arena, "%s | %s", row_text(&rows, 0, 0), row_text(&rows, 0, 1));
}

// The log as it will be: what was heard, then what this service has made.
static void replayed(struct loop *loop, struct message *again, const struct rows *own)
{
    struct harvest harvest = harvest_new(loop->turn);
    uint64_t position = 0;

    assert_int_equal(OK, db_begin(again));
    for (; position < the_log.count; position++)
        assert_int_equal(OK, follow_entry(&trial, again, position + 1, the_log.entries[position].bytes,
                                          the_log.entries[position].size, &harvest, REPLAYING));
    for (int row = 0; row < own->count; row++) {
        ProtobufCBinaryData bytes = row_bytes(own, row, 1);
        assert_well(follow_entry(&trial, again, ++position, bytes.data, bytes.len, &harvest, REPLAYING), again);
    }
    assert_int_equal(OK, db_commit(again));
    assert_int_equal(0, harvest.made_count);
}

// ---- the schema and the program are not always of one age

// The database as a program sees it when it connects anew after the schema's steps were changed by this statement.
static void steps_changed(struct loop *loop, const struct sql *change)
{
    const struct sql *const list[] = {change, NULL};
    const struct sql *const *const lists[] = {list, NULL};
    struct message message = message_new(loop->turn);
    struct db_config config = {
        .url = getenv("CHECK_DATABASE_URL"), .schema = schema_name, .statements = lists};

    message.db = db_new(&config);
    assert_well(db_connect(&message), &message);
    assert_well(db_run(&message, change, NULL, 0, NULL), &message);
    db_destroy(&message.db);
}

static void connect_anew(struct loop *loop)
{
    struct service_sql sql = service_sql(&trial);
    struct db_config config = {.url = getenv("CHECK_DATABASE_URL"),
                               .schema = schema_name,
                               .statements = sql.statements,
                               .migrations = sql.migrations};

    db_destroy(&loop->db);
    loop->db = db_new(&config);
    loop->down_until_ms = 0;
}

static const struct sql forget_step = {
    .name = "forget_step", .text = "UPDATE schema_step SET list = 9 WHERE list = 1 AND number = 1"};
static const struct sql take_step = {.name = "take_step",
                                     .text = "UPDATE schema_step SET list = 1 WHERE list = 9"};
static const struct sql next_step = {
    .name = "next_step", .text = "INSERT INTO schema_step (list, number, oldest) VALUES (1, 2, 1)"};
static const struct sql step_after = {
    .name = "step_after",
    .text = "INSERT INTO schema_step (list, number, oldest)"
            "SELECT 0, max(number) + 2, max(number) + 1 FROM schema_step WHERE list = 0"};

static void a_service_waits_for_a_step_and_goes_on_by_itself(void **state)
{
    struct loop *loop = *state;

    steps_changed(loop, &forget_step);  // given
    connect_anew(loop);

    assert_false(loop_connected(loop));  // when, then
    assert_non_null(strstr(loop->waits_for, "is at step 0 of list 1 and this program needs step 1"));
    steps_changed(loop, &take_step);
    loop->down_until_ms = 0;
    loop->ticked_ms = clock_stopwatch_ms();
    assert_true(loop_connected(loop));
    assert_string_equal("", loop->waits_for);
    assert_int_equal(0, loop->ticked_ms);  // it asks for the lease in its next turn
}

static void a_service_works_on_a_schema_that_is_one_step_ahead(void **state)
{
    struct loop *loop = *state;

    steps_changed(loop, &next_step);  // given
    connect_anew(loop);

    assert_true(loop_connected(loop));  // when, then
}

static void a_service_ends_on_a_schema_that_has_left_it_behind(void **state)
{
    struct loop *loop = *state;
    int status = 0;

    steps_changed(loop, &step_after);  // given
    pid_t child = fork();              // when
    if (child == 0) {
        fclose(stderr);
        loop->db = NULL;  // the connection is the parent's
        connect_anew(loop);
        loop_connected(loop);
        _exit(0);
    }

    assert_int_equal(child, waitpid(child, &status, 0));  // then
    assert_int_equal(1, WEXITSTATUS(status));
}

static void replay_makes_the_same_tables(void **state)
{
    struct loop *loop = *state;
    struct message message = loop_message(loop), again = loop_message(loop);
    char name[80];
    lead(loop);
    for (uint32_t i = 0; i < 20; i++)  // given
        give(loop, counting(loop, an_id(loop), i % 3 ? "sheep" : "goats", i % 12 + 1));
    log_event(loop, "other", "other/queue/x", "x", 1);
    log_event(loop, "other", "other/queue/y", "sheep", 3);
    feed(loop, 1, 2);
    struct rows own;
    assert_int_equal(OK, RUN0(&message, outbox, &own));
    assert_true(own.count >= 20);
    snprintf(name, sizeof name, "%s_again", schema_name);
    again.db = open_schema(name);
    assert_int_equal(OK, db_connect(&again));
    replayed(loop, &again, &own);                                 // when
    assert_string_equal(tables_of(&message), tables_of(&again));  // then
    drop_schema(&again.db);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_command_is_decided_applied_kept_and_answered),
        TEST(the_same_id_again_gets_the_first_answer),
        TEST(the_same_id_with_another_body_is_refused),
        TEST(the_same_id_twice_in_one_batch_has_one_effect),
        TEST(one_poison_in_a_batch_spoils_nobody_else),
        TEST(a_batch_of_commands_waits_for_the_database_twice),
        TEST(two_commands_about_one_case_are_decided_one_after_the_other),
        TEST(nothing_is_asked_ahead_of_a_command_that_may_change_it),
        TEST(cases_are_locked_in_the_order_of_their_names),
        TEST(nothing_is_asked_ahead_for_who_may_not_ask),
        TEST(a_stream_is_held_from_when_its_version_is_known),
        TEST(of_two_who_begin_a_stream_the_later_tries_again),
        TEST(a_refusal_is_remembered),
        TEST(what_never_comes_to_pass_is_unavailable_and_not_remembered),
        TEST(a_lost_connection_is_not_seen_by_the_sender),
        TEST(a_wrong_role_is_refused_with_the_right_ones),
        TEST(nobody_speaks_as_the_clock),
        TEST(a_rehearsal_is_refused_by_a_real_service_and_the_reverse),
        TEST(an_unknown_type_and_a_malformed_body_are_poison),
        TEST(a_full_batch_over_several_streams_numbers_each_without_gaps),
        TEST(a_query_is_read_and_not_remembered),
        TEST(a_query_can_write_nothing),
        TEST(status_tells_what_is_unsent),
        TEST(events_leave_the_outbox_when_the_log_has_them),
        TEST(what_is_held_back_is_sent_again),
        TEST(what_others_left_is_sent_by_the_leader),
        TEST(what_is_left_after_the_leader_looked_is_sent_too),
        TEST(an_event_with_an_id_of_long_ago_is_sent_within_a_minute),
        TEST(who_leads_anew_looks_at_the_whole_outbox),
        TEST(own_events_are_counted_without_the_table_while_none_is_left),
        TEST(what_the_log_refuses_waits_for_an_operator),
        TEST(events_of_others_are_heard_and_reacted_to_in_order),
        TEST(a_batch_of_events_waits_for_the_database_twice),
        TEST(two_events_about_one_subject_are_reacted_to_one_after_the_other),
        TEST(nothing_is_asked_ahead_of_an_event_that_may_change_it),
        TEST(a_gap_in_the_feed_is_read_from_the_log),
        TEST(only_the_leader_hears),
        TEST(two_that_believe_to_lead_hear_once),
        TEST(a_poisoned_event_stops_only_its_own_case),
        TEST(an_event_that_never_comes_to_pass_is_parked),
        TEST(an_event_is_not_parked_for_want_of_room),
        TEST(only_an_operator_redrives_and_only_what_stands_still),
        TEST(what_one_person_proposes_and_another_confirms_is_skipped),
        TEST(only_what_failed_is_skipped_and_the_rest_is_tried),
        TEST(nobody_confirms_a_skip_of_their_own_or_of_nobody),
        TEST(what_is_being_tried_is_not_skipped),
        TEST(a_kept_answer_has_no_personal_text),
        TEST(a_digest_over_personal_text_ends_with_the_key),
        TEST(what_is_refused_after_an_erasure_leaves_no_digest_either),
        TEST(text_that_is_saved_and_erased_in_one_batch_leaves_no_digest),
        TEST(another_log_is_not_followed),
        TEST(a_rewritten_log_is_not_followed),
        TEST(what_is_due_is_obeyed_once),
        TEST(a_request_is_asked_until_it_is_answered_and_then_forgotten),
        TEST(an_answer_that_can_not_be_handled_waits_for_an_operator),
        TEST(a_service_waits_for_a_step_and_goes_on_by_itself),
        TEST(a_service_works_on_a_schema_that_is_one_step_ahead),
        TEST(a_service_ends_on_a_schema_that_has_left_it_behind),
        TEST(replay_makes_the_same_tables),
    };

    if (!getenv("CHECK_DATABASE_URL") || !*getenv("CHECK_DATABASE_URL")) {
        fprintf(stderr, "skipped: CHECK_DATABASE_URL names no PostgreSQL for tests\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
