// run: the process of a service. Its options, and the turn in which everything happens.
#include "service/loop.h"

#include "clock/clock.h"
#include "log/log.h"
#include "env/env.h"
#include "env/settings.h"
#include "stop/stop.h"
#include "service_store.sql.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define TURN_BYTES    (4 * LIMIT_ARENA_BYTES)   // what all messages of a turn may take together
#define GATHER_BYTES  (LIMIT_ARENA_BYTES / 16)  // what may have come in when we begin to work
#define OTHERS        32                        // replies and feed messages in one turn
#define TICK_MS       1000
#define REPORT_MS     2000
#define DOWN_MS       200  // between tries to reach the database, doubled up to
#define DOWN_MAX_MS   2000
#define STOP_MS       2000  // how long acknowledgements are waited for when stopping
#define STOP_LEAST_MS 300   // and how long for requests that were already on their way

// What came in during one turn.
struct gathered {
    struct work commands[LIMIT_BATCH_MESSAGES];
    int command_count;
    struct work queries[LIMIT_BATCH_MESSAGES];
    int query_count;
    struct incoming others[OTHERS];
    int other_count;
};

// ---------------------------------------------------------------------------------------------- environment

const char *instance_name(void)
{
    static char host[256];
    const char *instance = env_or("INSTANCE", NULL);

    if (instance)
        return instance;
    return gethostname(host, sizeof host - 1) == 0 && *host ? host : "unnamed";
}

// ----------------------------------------------------------------------------------------- the loop's handle

struct message loop_message(const struct loop *loop)
{
    struct message message = message_new(loop->turn);
    message.db = loop->db;
    return message;
}

struct message loop_transaction(const struct loop *loop)
{
    arena_reset(loop->batch);
    struct message message = message_new(loop->batch);
    message.db = loop->db;
    return message;
}

const char *loop_reason(const struct loop *loop, const struct message *message)
{
    return arena_text(loop->turn, message->reason);
}

static struct loop *loop_new(const struct service *service)
{
    struct loop *loop = calloc(1, sizeof *loop);
    arena_t *turn = arena_new(TURN_BYTES);
    struct service_sql sql = service_sql(service);
    struct db_config config = {.url = env_url(turn, "DATABASE_URL"),
                               .schema = service->name,
                               .statements = sql.statements,
                               .migrations = sql.migrations,
                               .application_name = service->name};

    assert(loop);
    *loop = (struct loop){.service = service,
                          .instance = instance_name(),
                          .rehearsal = env_rehearsal(),
                          .db = db_new(&config),
                          .turn = turn,
                          .batch = arena_new(TURN_BYTES),
                          .hand = arena_new(LIMIT_ARENA_BYTES),
                          .relay = relay_new(),
                          .follow = follow_new(service),
                          .timers = timers_new(),
                          .vitals = vitals_start(service->name, service->rule_set),
                          .started_ms = clock_stopwatch_ms()};
    loop->figures = figures_new(service, loop->vitals);
    return loop;
}

static void loop_destroy(struct loop **loop_p)
{
    struct loop *loop = *loop_p;
    bus_destroy(&loop->bus);
    vitals_destroy(&loop->vitals);
    figures_destroy(&loop->figures);
    db_destroy(&loop->db);
    timers_destroy(&loop->timers);
    follow_destroy(&loop->follow);
    relay_destroy(&loop->relay);
    arena_destroy(&loop->hand);
    arena_destroy(&loop->batch);
    arena_destroy(&loop->turn);
    free(loop);
    *loop_p = NULL;
}

// Told once, and again when it is another reason.
static void tell_waiting(struct loop *loop, const char *reason)
{
    if (strcmp(loop->waits_for, reason) != 0)
        log_warn("waiting for the database", "reason", reason, NULL);
    snprintf(loop->waits_for, sizeof loop->waits_for, "%s", reason);
}

bool loop_connected(struct loop *loop)
{
    struct message message = loop_message(loop);
    int64_t now_ms = clock_stopwatch_ms();

    if (now_ms < loop->down_until_ms)
        return false;
    switch (db_connect(&message)) {
    case OK:
        if (*loop->waits_for) {
            log_info("the database is there, going on", NULL);
            loop->ticked_ms = 0;  // the lease went with the connection that was lost
        }
        *loop->waits_for = '\0';
        loop->down_tries = 0;
        return true;
    case RETRY:
        break;
    case REFUSED:
    case POISON:
        bus_end("the database does not fit this program: %s", message.reason);
    }
    tell_waiting(loop, message.reason);
    loop->leading_backend = 0;
    int64_t pause_ms = DOWN_MS << (loop->down_tries < 8 ? loop->down_tries : 8);
    loop->down_until_ms = clock_stopwatch_ms() + (pause_ms < DOWN_MAX_MS ? pause_ms : DOWN_MAX_MS);
    loop->down_tries++;
    return false;
}

bool loop_same_connection(struct loop *loop)
{
    struct message message = loop_message(loop);
    struct rows rows;

    bool same = loop_connected(loop) && RUN0(&message, loop_ping, &rows) == OK &&
                row_int(&rows, 0, 0) == loop->leading_backend;
    if (!same)
        loop->leading_backend = 0;
    return same;
}

// --------------------------------------------------------------------------------------------- once a second

// Take the lease, or keep it: it is a lock of our server process, and lost with it.
static void lease(struct loop *loop)
{
    struct message own = loop_message(loop), *message = &own;
    struct rows rows;

    if (RUN(message, loop_lease, &rows, INT(loop->leading_backend)) != OK) {
        loop->leading_backend = 0;
        return;
    }
    loop->answered_ms = clock_stopwatch_ms();
    int64_t leading = row_int(&rows, 0, 1) ? row_int(&rows, 0, 0) : 0;
    bool taken = leading != 0 && leading != loop->leading_backend;
    loop->leading_backend = leading;
    if (taken) {
        log_info("this instance leads", "instance", loop->instance, NULL);
        follow_lead(loop);
    }
    if (leading != 0 && row_int(&rows, 0, 2) > 0)
        follow_redrive(loop);
}

static void tick(struct loop *loop)
{
    int64_t now_ms = clock_stopwatch_ms();

    if (loop->stopping || !loop_connected(loop) ||
        (loop->ticked_ms != 0 && now_ms - loop->ticked_ms < TICK_MS))
        return;
    loop->ticked_ms = now_ms;
    lease(loop);
    if (loop->reported_ms == 0 || now_ms - loop->reported_ms >= REPORT_MS) {
        loop->reported_ms = now_ms;
        operate_report(loop);
    }
}

// ---------------------------------------------------------------------------------------------- a turn

static int least(int one, int other)
{
    return one < other ? one : other;
}

static bool room(const struct loop *loop, const struct gathered *gathered)
{
    return gathered->command_count < LIMIT_BATCH_MESSAGES && gathered->query_count < LIMIT_BATCH_MESSAGES &&
           gathered->other_count < OTHERS && arena_used(loop->turn) < GATHER_BYTES;
}

static void sort(struct loop *loop, struct gathered *gathered, const struct incoming *incoming)
{
    struct work work = {
        .request = incoming->request, .body = incoming->body, .body_size = incoming->body_size};

    switch (incoming->kind) {
    case INCOMING_REQUEST:
        if (service_asks_query(loop->service, incoming->request->type))
            gathered->queries[gathered->query_count++] = work;
        else
            gathered->commands[gathered->command_count++] = work;
        break;
    case INCOMING_REPLY:
    case INCOMING_FEED:
        gathered->others[gathered->other_count++] = *incoming;
        break;
    case INCOMING_STOP:
        if (!loop->stopping)
            bus_drain(loop->bus);
        loop->stopping = true;
        break;
    case INCOMING_NOTHING:
        break;
    }
}

// Wait for the first thing, then take what else is there.
static void gather(struct loop *loop, int wait_ms, struct gathered *gathered)
{
    struct incoming incoming = bus_next(loop->bus, loop->turn, wait_ms);

    sort(loop, gathered, &incoming);
    while (incoming.kind != INCOMING_NOTHING && incoming.kind != INCOMING_STOP && room(loop, gathered)) {
        incoming = bus_next(loop->bus, loop->turn, 0);
        sort(loop, gathered, &incoming);
    }
}

static void other(struct loop *loop, const struct incoming *incoming)
{
    if (incoming->kind == INCOMING_FEED)
        follow_feed(loop, incoming);
    else if (!relay_reply(loop, incoming) && !follow_reply(loop, incoming))
        ask_reply(loop, incoming);
}

static void turn(struct loop *loop)
{
    struct gathered gathered = {0};
    int wait_ms = TICK_MS;

    tick(loop);
    wait_ms = least(wait_ms, figures_turn(loop));
    wait_ms = least(wait_ms, relay_turn(loop));
    if (!loop->stopping) {
        wait_ms = least(wait_ms, follow_turn(loop));
        wait_ms = least(wait_ms, timers_turn(loop));
        ask_turn(loop);
    } else {
        wait_ms = least(wait_ms, STOP_LEAST_MS / 10);
    }
    gather(loop, wait_ms, &gathered);
    if (gathered.query_count > 0)
        inbox_queries(loop, gathered.queries, gathered.query_count);
    if (gathered.command_count > 0)
        inbox_commands(loop, gathered.commands, gathered.command_count);
    for (int i = 0; i < gathered.other_count; i++)
        other(loop, &gathered.others[i]);
    arena_reset(loop->batch);
    arena_reset(loop->turn);
}

// ---------------------------------------------------------------------------------------------- serving

// Nothing is offered before the database is there: requests wait at the broker, or go to other instances.
static void wait_for_database(struct loop *loop)
{
    while (!loop_connected(loop)) {
        figures_waiting(loop);
        arena_reset(loop->turn);
        nanosleep(&(struct timespec){.tv_nsec = DOWN_MS * 1000000}, NULL);
    }
}

static void leave(struct loop *loop)
{
    struct message message = loop_message(loop);

    if (loop_connected(loop)) {
        RUN(&message, loop_leave, NULL, TEXT(loop->instance));
        if (loop_leads(loop))
            RUN0(&message, loop_release, NULL);
    }
    log_info("stopped", "messages", log_number((int64_t)(loop->commands + loop->queries)), NULL);
}

static int serve(const struct service *service)
{
    stop_at_once();
    struct loop *loop = loop_new(service);
    struct bus_config config = bus_config_from_env(service->name);
    int64_t stopping_ms = 0;

    wait_for_database(loop);
    config.serves = service->name;
    config.credit = LIMIT_BATCH_MESSAGES;
    loop->bus = bus_connect(&config);
    log_info("serving", "instance", loop->instance, "rules", service->rule_set, "rehearsal",
             loop->rehearsal ? "yes" : "no", NULL);
    for (int64_t spent_ms = 0; spent_ms < STOP_MS && (spent_ms < STOP_LEAST_MS || !relay_idle(loop));) {
        turn(loop);
        if (loop->stopping && stopping_ms == 0)
            stopping_ms = clock_stopwatch_ms();
        spent_ms = stopping_ms == 0 ? 0 : clock_stopwatch_ms() - stopping_ms;
    }
    leave(loop);
    loop_destroy(&loop);
    return 0;
}

// --------------------------------------------------------------------------------------------- other options

static int migrate(const struct service *service)
{
    struct service_sql sql = service_sql(service);
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    struct db_config config = {
        .url = env_url(arena, "MIGRATE_URL"), .schema = service->name, .application_name = service->name};
    struct message message = message_new(arena);

    message.db = db_new(&config);
    status_t status = db_migrate(&message, env_or("DATABASE_ROLE", service->name), sql.migrations);
    if (status == OK)
        log_info("the schema is up to date", "schema", service->name, NULL);
    else
        log_alarm("the schema could not be brought up to date", "schema", service->name, "reason",
                  message.reason, NULL);
    db_destroy(&message.db);
    arena_destroy(&arena);
    return status == OK ? 0 : 1;
}

static int help(const struct service *service, FILE *to, int code)
{
    fprintf(to,
            "usage: tildel-%s                        serve until SIGTERM\n"
            "       tildel-%s --migrate              bring the schema up to date as its owner\n"
            "       tildel-%s --health [live|ready]  ask the one at METRICS_BIND; exit 0: it is, 3: not\n"
            "       tildel-%s --replay INTO [UNTIL]  rebuild the tables from the log into schema INTO, up to "
            "the\n"
            "                                        position or instant (ISO 8601) UNTIL\n"
            "       tildel-%s --replay-on INTO [UNTIL]  the same, going on where an earlier replay stands\n"
            "       tildel-%s --catch-up             after an older copy of the database was restored: bring the "
            "tables up to\n"
            "                                        the log. No instance may be at work\n"
            "       tildel-%s --query FROM           answer one query from a rebuilt schema (see query.c)\n"
            "       tildel-%s --describe             the messages it speaks, as JSON\n"
            "\n"
            "exit codes: 0 well, 1 a fault told in one sentence, 2 wrong usage, 3 unhealthy\n"
            "\n",
            service->name, service->name, service->name, service->name, service->name, service->name,
            service->name, service->name);
    settings_help(to, "services");
    return code;
}

int service_main(const struct service *service, int argc, char **argv)
{
    const char *option = argc > 1 ? argv[1] : "";

    log_start(service->name);
    if (argc == 1)
        return serve(service);
    if (strcmp(option, "--migrate") == 0 && argc == 2)
        return migrate(service);
    if (strcmp(option, "--health") == 0)
        return health_main(argc - 2, argv + 2);
    if (strcmp(option, "--replay") == 0 && (argc == 3 || argc == 4))
        return replay_main(service, argv[2], argc == 4 ? argv[3] : NULL, false);
    if (strcmp(option, "--replay-on") == 0 && (argc == 3 || argc == 4))
        return replay_main(service, argv[2], argc == 4 ? argv[3] : NULL, true);
    if (strcmp(option, "--catch-up") == 0 && argc == 2)
        return catch_up_main(service);
    if (strcmp(option, "--query") == 0 && argc == 3)
        return query_main(service, argv[2]);
    if (strcmp(option, "--describe") == 0 && argc == 2)
        return describe_main(service);
    if (strcmp(option, "--help") == 0 && argc == 2)
        return help(service, stdout, 0);
    return help(service, stderr, 2);
}
