// main: the event log's process: the bus, the feed, and the turn in which everything that has arrived is
// appended at once.
#include "eventlog.h"

#include "bus/secure.h"
#include "clock/clock.h"
#include "eventlog_store.sql.h"
#include "limits/limits.h"
#include "log/log.h"
#include "env/env.h"
#include "env/settings.h"
#include "metrics/vitals.h"
#include "stop/stop.h"
#include "values/values.h"

#include <assert.h>
#include <czmq.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TURN_BYTES (64 * 1024 * 1024)  // an arena for a whole batch: its bytes, decoded, and as parameters
#define READ_BYTES (TURN_BYTES / 4)    // of it for what is read on the way: then whoever appends has his turn
#define GUARD_TELL_MS 60000            // between two words about a witness that does not answer
#define STANDBY_MS 1000                // between two tries to take the log over

static const char usage[] =
    "usage: tildel-eventlog [--migrate | --verify | --export FOLDER | --repair | --health | --help]\n"
    "\n"
    "The one log of everything that has happened: appends events in one order without gaps, serves pages of "
    "it\n"
    "under the name \"eventlog\", and publishes what it appends on a feed. A second process waits until the "
    "first is gone.\n"
    "\n"
    "  --migrate   make or update the schema as the owner, then exit\n"
    "  --verify    recompute every leaf hash, root and version from the database; prints one line of JSON\n"
    "  --export    write the log into a folder, as files by c2sp.org/tlog-tiles, up to its newest "
    "checkpoint; again into\n"
    "              the same one: what has come since. tildel verify FOLDER checks it\n"
    "  --repair    put back, byte for byte, what the witness holds and the database has lost; the log must "
    "not run\n"
    "  --health    [live|ready]: ask the one at METRICS_BIND; without a word: ready, that is, it leads\n"
    "\n"
    "Exit codes: 0 well; 1 a fault, told in one sentence; 2 wrong usage; 3 unhealthy; 4 --verify or "
    "--export found a fault.\n\n";

static const double event_bounds[] = {1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, INFINITY};
static const double seconds_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,    0.1,
                                        0.25,  0.5,    1,     2.5,  5,     INFINITY};

// What it counts.
struct figures {
    series_t *position, *epoch, *leads, *appended, *refused, *published;
    series_t *append_events, *append_seconds;
};

// The process.
struct process {
    struct eventlog log;
    bus_t *bus;
    registry_t *registry;
    secure_t *secure;
    zsock_t *feed;
    arena_t *arena;
    int64_t published_ms;
    bool leading;  // we hold the log; false after the database was away
    int64_t tried_ms;
    vitals_t *vitals;
    struct figures figures;
    int64_t answered_ms;  // the database answered a statement then
    char lost[256];       // why it could not, last
};

static const struct migration *const migrations[] = {migrations_eventlog, NULL};

static struct message turn_message(struct process *process)
{
    struct message message = message_new(process->arena);

    message.db = process->log.db;
    return message;
}

static db_t *open_database(const char *url, bool prepare)
{
    static const struct sql *const *const statements[] = {sql_eventlog_all, NULL};
    struct db_config config = {.url = url,
                               .schema = "eventlog",
                               .statements = prepare ? statements : NULL,
                               .migrations = prepare ? migrations : NULL,
                               .application_name = "tildel-eventlog"};

    return db_new(&config);
}

// -------------------------------------------------------------------------------------------------- the feed

static void publish(struct process *process, Entry **entries, size_t count)
{
    Eventlog__V1__Published published = EVENTLOG__V1__PUBLISHED__INIT;
    size_t size;

    published.n_entries = count;
    published.entries = entries;
    published.head = log_head(&process->log, process->arena);
    const uint8_t *bytes = message_encode(process->arena, &published, &size);
    zmsg_t *message = zmsg_new();
    assert(message != NULL);
    zmsg_addstr(message, "log");
    zmsg_addmem(message, bytes, size);
    zmsg_send(&message, process->feed);
    zmsg_destroy(&message);  // what could not be sent is fetched by Read
    process->published_ms = clock_stopwatch_ms();
    series_add(process->figures.published, 1);
}

static void publish_checkpoint(struct process *process)
{
    size_t size;
    const uint8_t *bytes = message_encode(process->arena, log_checkpoint(&process->log, process->arena), &size);
    zmsg_t *message = zmsg_new();

    assert(message != NULL);
    zmsg_addstr(message, "checkpoint");
    zmsg_addmem(message, bytes, size);
    zmsg_send(&message, process->feed);
    zmsg_destroy(&message);
}

// As many messages as the frame's limit asks for.
static void publish_all(struct process *process, Entry **entries, size_t count)
{
    size_t from = 0, bytes = 0;

    for (size_t i = 0; i < count; i++) {
        if (bytes + entries[i]->event.len + 64 > LIMIT_BATCH_BYTES) {
            publish(process, entries + from, i - from);
            from = i;
            bytes = 0;
        }
        bytes += entries[i]->event.len + 64;
    }
    if (from < count)
        publish(process, entries + from, count - from);
}

// ------------------------------------------------------------------------------------------------- appending

static void refuse(struct process *process, const Bus__V1__Request *request, Bus__V1__Reply__Status status,
                   const char *reason)
{
    bus_reply(process->bus, request->ticket, request->id, status, reason, NULL, NULL, 0);
}

static void answer_wish(struct process *process, const struct wish *wish)
{
    Appended appended = EVENTLOG__V1__APPENDED__INIT;
    size_t size;

    appended.n_results = wish->append->n_events;
    appended.results = wish->results;
    const uint8_t *body = message_encode(process->arena, &appended, &size);
    bus_reply(process->bus, wish->request->ticket, wish->request->id, BUS__V1__REPLY__STATUS__OK, "",
              &eventlog__v1__appended__descriptor, body, size);
}

// The database failed us: whether the batch stands is unknown. Take the log over again before going on; the
// senders ask again.
static void lose(struct process *process, const char *reason)
{
    log_warn("the log waits for its database", "reason", reason, NULL);
    snprintf(process->lost, sizeof process->lost, "%s", reason);
    process->leading = false;
    process->tried_ms = clock_stopwatch_ms();
}

static void count_append(struct process *process, const struct wish wishes[], int count, size_t added,
                         int64_t began_ms)
{
    const struct figures *figures = &process->figures;

    process->answered_ms = clock_stopwatch_ms();
    for (int i = 0; i < count; i++)
        for (size_t k = 0; k < wishes[i].append->n_events; k++)
            if (wishes[i].results[k]->result == EVENTLOG__V1__APPENDED__RESULT__REFUSED)
                series_add(figures->refused, 1);
    series_add(figures->appended, (double)added);
    series_observe(figures->append_events, (double)added);
    series_observe(figures->append_seconds, (double)(process->answered_ms - began_ms) / 1000);
}

// What is due once a second: the head, and a checkpoint when events have waited long enough for one.
static void heartbeat(struct process *process)
{
    struct message message = turn_message(process);

    if (sign_waits(&process->log) && sign_head(&process->log, &message) == RETRY)
        lose(process, message.reason);
    publish(process, NULL, 0);
    publish_checkpoint(process);
}

static void append(struct process *process, struct wish wishes[], int count)
{
    struct message message = turn_message(process);
    Entry **entries = NULL;
    size_t added = 0;
    int64_t began_ms = clock_stopwatch_ms();

    status_t status = log_append(&process->log, &message, wishes, count, &entries, &added);
    if (status == REFUSED) {
        log_alarm("the log was taken over", "reason", message.reason, NULL);
        exit(1);
    }
    if (status != OK) {
        lose(process, message.reason);
        for (int i = 0; i < count; i++)
            refuse(process, wishes[i].request, BUS__V1__REPLY__STATUS__UNAVAILABLE,
                   "the log waits for its database");
        return;
    }
    count_append(process, wishes, count, added, began_ms);
    for (int i = 0; i < count; i++)
        answer_wish(process, &wishes[i]);
    publish_all(process, entries, added);
    log_info("appended", "events", log_number((int64_t)added), "requests", log_number(count), "position",
             log_number((int64_t)process->log.tree.size), "ms", log_number(clock_stopwatch_ms() - began_ms),
             NULL);
}

// --------------------------------------------------------------------------------------------------- queries

static void serve_query(struct process *process, const struct incoming *incoming)
{
    const Bus__V1__Request *request = incoming->request;
    struct message message = turn_message(process);
    const Eventlog__V1__Read *query;
    const Eventlog__V1__GetHead *get_head;
    status_t status;

    if (strcmp(request->type, eventlog__v1__read__descriptor.name) == 0) {
        status = message_decode(&message, &eventlog__v1__read__descriptor, incoming->body,
                                incoming->body_size, &query);
        if (status == OK)
            status = log_read(&process->log, &message, query);
    } else if (strcmp(request->type, eventlog__v1__get_head__descriptor.name) == 0) {
        status = message_decode(&message, &eventlog__v1__get_head__descriptor, incoming->body,
                                incoming->body_size, &get_head);
        if (status == OK)
            answer(&message, log_head(&process->log, process->arena));
    } else {
        status = log_query(&process->log, &message, request->type, incoming->body, incoming->body_size);
    }
    if (status == OK)
        bus_reply(process->bus, request->ticket, request->id, BUS__V1__REPLY__STATUS__OK, "",
                  message.answer_descriptor, message.answer, message.answer_size);
    else if (status == RETRY)
        refuse(process, request, BUS__V1__REPLY__STATUS__UNAVAILABLE, message.reason);
    else
        refuse(process, request,
               status == REFUSED ? BUS__V1__REPLY__STATUS__REFUSED : BUS__V1__REPLY__STATUS__POISON,
               message.reason);
    if (status == RETRY)
        lose(process, message.reason);
}

// Only the services write, and each only as itself.
static status_t take_append(struct message *message, const struct incoming *incoming, struct wish *ret)
{
    if (incoming->request->actor->role != BUS__V1__ACTOR__ROLE__SERVICE)
        return fail(message, REFUSED, "only services append to the log");
    status_t status = message_decode(message, &eventlog__v1__append__descriptor, incoming->body,
                                     incoming->body_size, &ret->append);
    if (status != OK)
        return status;
    if (ret->append->n_events < 1 || ret->append->n_events > LIMIT_APPEND_EVENTS)
        return fail(message, REFUSED, "events: %zu; it must be 1 to %d", ret->append->n_events,
                    LIMIT_APPEND_EVENTS);
    ret->request = incoming->request;
    return OK;
}

// -------------------------------------------------------------------------------------------------- the turn

// Everything that has arrived, as far as it fits: Appends go into wishes, the rest is answered on the way. Returns false
// after a stop.
static bool collect(struct process *process, struct wish wishes[], int *count, size_t *bytes, int timeout_ms)
{
    while (*count < APPEND_WISHES && *bytes < APPEND_BATCH_BYTES && arena_used(process->arena) < READ_BYTES) {
        struct incoming incoming = bus_next(process->bus, process->arena, timeout_ms);
        timeout_ms = 0;
        if (incoming.kind == INCOMING_STOP)
            return false;
        if (incoming.kind == INCOMING_NOTHING)
            return true;
        if (incoming.kind != INCOMING_REQUEST)
            continue;
        if (!process->leading) {
            refuse(process, incoming.request, BUS__V1__REPLY__STATUS__UNAVAILABLE,
                   "the log waits for its database");
            continue;
        }
        if (strcmp(incoming.request->type, eventlog__v1__append__descriptor.name) != 0) {
            serve_query(process, &incoming);
            continue;
        }
        struct message message = message_new(process->arena);
        status_t status = take_append(&message, &incoming, &wishes[*count]);
        if (status == OK) {
            (*count)++;
            *bytes += incoming.body_size;
        } else {
            refuse(process, incoming.request,
                   status == REFUSED ? BUS__V1__REPLY__STATUS__REFUSED : BUS__V1__REPLY__STATUS__POISON,
                   message.reason);
        }
    }
    return true;
}

static void take_over_again(struct process *process)
{
    struct message message = turn_message(process);

    if (process->leading || clock_stopwatch_ms() - process->tried_ms < STANDBY_MS)
        return;
    process->tried_ms = clock_stopwatch_ms();
    status_t status = log_take_over(&process->log, &message);
    if (status == OK) {
        process->leading = true;
        process->answered_ms = clock_stopwatch_ms();
        log_info("the log is ours again", "epoch", log_number(process->log.epoch), NULL);
    } else if (status != RETRY) {
        log_alarm("the log cannot be taken over", "reason", message.reason, NULL);
        exit(1);
    } else {
        snprintf(process->lost, sizeof process->lost, "%s", message.reason);
    }
}

// ------------------------------------------------------------------------------------------- how it is doing

static struct figures figures_new(metrics_t *metrics)
{
    return (struct figures){
        .position = series_new(metrics, FAMILY_GAUGE, "tildel_log_position", "The log's last position."),
        .epoch = series_new(metrics, FAMILY_GAUGE, "tildel_log_epoch", "The epoch of this writer."),
        .leads = series_new(metrics, FAMILY_GAUGE, "tildel_leads",
                            "1 for the one process that writes the log."),
        .appended = series_new(metrics, FAMILY_COUNTER, "tildel_appended_events_total",
                               "Events added to the log."),
        .refused = series_new(metrics, FAMILY_COUNTER, "tildel_refused_events_total",
                              "Events that the log will never take."),
        .published = series_new(metrics, FAMILY_COUNTER, "tildel_feed_messages_total",
                                "Messages published on the feed, heartbeats too."),
        .append_events = family_only(family_new_histogram(
            metrics, "tildel_append_events", "Events added in one transaction.", "", event_bounds)),
        .append_seconds = family_only(family_new_histogram(metrics, "tildel_append_seconds",
                                                           "From taking Appends in hand to their COMMIT.", "",
                                                           seconds_bounds)),
    };
}

// Once a second while nothing is appended: is the database there, and are we still its writer?
static void look(struct process *process)
{
    struct message message = turn_message(process);
    struct rows rows;

    if (!process->leading || clock_stopwatch_ms() - process->answered_ms < LIMIT_HEARTBEAT_MS)
        return;
    if (RUN0(&message, read_epoch, &rows) != OK) {
        lose(process, message.reason);
        return;
    }
    if (row_int(&rows, 0, 0) != process->log.epoch) {
        log_alarm("the log was taken over", "epoch", log_number(row_int(&rows, 0, 0)), NULL);
        exit(1);
    }
    process->answered_ms = clock_stopwatch_ms();
}

static void show(struct process *process)
{
    if (vitals_due_ms(process->vitals) > 0)
        return;
    series_set(process->figures.position, (double)process->log.tree.size);
    series_set(process->figures.epoch, (double)process->log.epoch);
    series_set(process->figures.leads, process->leading);
    bool held = !process->leading && strcmp(process->lost, LOG_HELD) == 0;
    vitals_database(process->vitals, process->log.db, process->leading || held, process->lost);
    if (held)
        vitals_doubt(process->vitals, "standing by: %s", process->lost);
    if (process->bus != NULL)
        vitals_broker(process->vitals, bus_broker_alive(process->bus));
    vitals_publish(process->vitals);
}

// Until the next heartbeat, or the next look at what is missing.
static int wait_ms(const struct process *process)
{
    int64_t heartbeat_ms = process->published_ms + LIMIT_HEARTBEAT_MS - clock_stopwatch_ms();
    int due_ms = vitals_due_ms(process->vitals);

    return heartbeat_ms < 0 ? 0 : heartbeat_ms < due_ms ? (int)heartbeat_ms : due_ms;
}

static void serve(struct process *process)
{
    struct wish wishes[APPEND_WISHES];
    bool going = true;

    while (going) {
        int count = 0;
        size_t bytes = 0;
        going = collect(process, wishes, &count, &bytes, wait_ms(process));
        take_over_again(process);
        if (count > 0)
            append(process, wishes, count);
        if (process->leading && clock_stopwatch_ms() - process->published_ms >= LIMIT_HEARTBEAT_MS)
            heartbeat(process);
        else if (!process->leading)
            process->published_ms = clock_stopwatch_ms();
        look(process);
        show(process);
        registry_refresh(process->registry);
        arena_reset(process->arena);
    }
}

// ----------------------------------------------------------------------------------------------------- start

static bool may_follow(const struct registered *key)
{
    return key->feed;
}

static void open_feed(struct process *process, const struct bus_config *config)
{
    const char *bind = env_required("FEED_BIND");
    char path[4096];

    snprintf(path, sizeof path, "%s/registry.zpl", config->keys);
    process->registry = registry_load(path, process->log.rehearsal);
    struct key_pair own = secure_own_key(config->keys, config->name, process->registry);
    process->secure = secure_start(process->registry, may_follow);
    process->feed = secure_bind(process->secure, ZMQ_PUB, bind, own.secret_key);
    secure_self_test(process->secure, bind, own.public_key);
}

// Wait, as long as it takes, until the log is ours; a second process stands by here.
static void take_over_first(struct process *process)
{
    char told[LIMIT_REASON_BYTES] = "";

    for (;;) {
        struct message message = turn_message(process);
        status_t status = log_take_over(&process->log, &message);
        if (status == OK)
            break;
        if (status != RETRY) {
            log_alarm("the log cannot be taken over", "reason", message.reason, NULL);
            exit(1);
        }
        if (strcmp(told, message.reason) != 0)
            log_info("standing by", "reason", message.reason, NULL);
        snprintf(told, sizeof told, "%s", message.reason);
        vitals_waiting(process->vitals, "standing by: %s", message.reason);
        arena_reset(process->arena);
        zclock_sleep(STANDBY_MS);
    }
    process->leading = true;
    process->answered_ms = clock_stopwatch_ms();
    log_info("the log is ours", "epoch", log_number(process->log.epoch), "position",
             log_number((int64_t)process->log.tree.size), NULL);
}

// Nothing is appended before those who remember the log have been asked. False: asked to stop meanwhile.
static bool guarded(struct process *process)
{
    int64_t told_ms = -GUARD_TELL_MS;

    for (;;) {
        struct message message = turn_message(process);
        bool stop;
        status_t status = guard_check(&process->log, &message, process->registry, &stop);
        if (status == OK || stop)
            return !stop;
        if (status != RETRY) {
            log_alarm("the log is not what others hold of it", "reason", message.reason, NULL);
            exit(1);
        }
        if (clock_stopwatch_ms() - told_ms >= GUARD_TELL_MS) {
            log_warn("the log waits for its witness", "reason", message.reason, NULL);
            told_ms = clock_stopwatch_ms();
        }
        vitals_waiting(process->vitals, "waiting for the witness: %s", message.reason);
        registry_refresh(process->registry);
        arena_reset(process->arena);
    }
}

static void load_key(struct note_signer *signer, arena_t *arena)
{
    const char *why;

    if (!note_signer_load(arena, env_required("LOG_KEY_FILE"), signer, &why))
        bus_end("LOG_KEY_FILE: %s", why);
    if (signer->key.type != NOTE_PLAIN)
        bus_end("LOG_KEY_FILE: this is the key of a witness, not of a log");
}

static int run(void)
{
    stop_at_once();
    struct bus_config config = bus_config_from_env("eventlog");
    struct process process = {.arena = arena_new(TURN_BYTES)};

    config.serves = "eventlog";
    config.feed = NULL;
    config.credit = LIMIT_CREDIT;
    load_key(&process.log.signer, process.arena);
    process.log.rehearsal = env_rehearsal();
    process.vitals = vitals_start("eventlog", "");
    process.figures = figures_new(vitals_metrics(process.vitals));
    process.log.db = open_database(env_url(process.arena, "DATABASE_URL"), true);
    take_over_first(&process);
    open_feed(&process, &config);
    if (!guarded(&process))
        return 0;
    process.bus = bus_connect(&config);
    bus_turns(process.bus, process.secure);
    serve(&process);
    log_info("the log stops", "position", log_number((int64_t)process.log.tree.size), NULL);
    bus_destroy(&process.bus);
    vitals_destroy(&process.vitals);
    zsock_destroy(&process.feed);
    secure_destroy(&process.secure);
    registry_destroy(&process.registry);
    db_destroy(&process.log.db);
    arena_destroy(&process.arena);
    return 0;
}

// ---------------------------------------------------------------------------------------------- other things

static int migrate(const char *unused)
{
    (void)unused;
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    struct message message = message_new(arena);
    db_t *db = open_database(env_url(arena, "MIGRATE_URL"), false);

    message.db = db;
    status_t status = db_migrate(&message, env_or("DATABASE_ROLE", NULL), migrations);
    if (status != OK)
        log_alarm("the schema could not be brought up to date", "reason", message.reason, NULL);
    else
        log_info("the schema is up to date", NULL);
    db_destroy(&db);
    arena_destroy(&arena);
    return status == OK ? 0 : 1;
}

// The log's public keys, today's and those it had: LOG_PUB, log.pub among BUS_KEYS, or that of LOG_KEY_FILE. NULL: none is
// known.
static const struct note_ring *public_keys(arena_t *arena, struct note_ring *ret)
{
    const char *said = env_or("LOG_PUB", NULL), *folder = env_or("BUS_KEYS", NULL), *why;
    const char *path = said == NULL && folder != NULL ? arena_printf(arena, "%s/log.pub", folder) : said;
    struct note_signer signer;

    if (said != NULL || (path != NULL && access(path, F_OK) == 0)) {
        if (!note_ring_load(arena, path, ret, &why))
            bus_end("LOG_PUB: %s", why);
        return ret;
    }
    if (env_or("LOG_KEY_FILE", NULL) == NULL)
        return NULL;
    load_key(&signer, arena);
    *ret = (struct note_ring){.keys = {signer.key}, .count = 1};
    note_signer_wipe(&signer);
    return ret;
}

// What reads the whole log: --verify, and with a folder --export.
static int read_all(const char *folder)
{
    arena_t *arena = arena_new(TURN_BYTES), *ground = arena_new(LIMIT_ARENA_BYTES);
    struct message message = message_new(arena);
    struct note_ring ring;
    const struct note_ring *keys = public_keys(ground, &ring);
    db_t *db = open_database(env_url(ground, "DATABASE_URL"), true);

    message.db = db;
    int code = folder != NULL ? log_export(&message, keys, folder) : log_verify(&message, keys, true);
    db_destroy(&db);
    arena_destroy(&arena);
    arena_destroy(&ground);
    return code;
}

static int repair(const char *unused)
{
    struct process process = {.arena = arena_new(TURN_BYTES)};

    (void)unused;
    process.log.rehearsal = env_rehearsal();
    process.log.db = open_database(env_url(process.arena, "DATABASE_URL"), true);
    struct message message = turn_message(&process);
    status_t status = log_take_over(&process.log, &message);
    if (status != OK)
        log_alarm("the log cannot be taken over", "reason", message.reason, NULL);
    int code = status == OK ? log_repair(&process.log, &message) : 1;
    db_destroy(&process.log.db);
    arena_destroy(&process.arena);
    return code;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *option;
        int words;  // behind it
        int (*run)(const char *word);
    } options[] = {{"--migrate", 0, migrate},
                   {"--verify", 0, read_all},
                   {"--export", 1, read_all},
                   {"--repair", 0, repair}};

    log_start("eventlog");
    if (argc == 1)
        return run();
    if (argc > 1 && strcmp(argv[1], "--health") == 0)
        return health_main(argc - 2, argv + 2);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (argc == 2 + options[i].words && strcmp(argv[1], options[i].option) == 0)
            return options[i].run(argv[2]);  // NULL without a word
    bool asked = argc == 2 && strcmp(argv[1], "--help") == 0;
    fputs(usage, asked ? stdout : stderr);
    settings_help(asked ? stdout : stderr, "eventlog");
    return asked ? 0 : 2;
}
