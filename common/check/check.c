// check: given, when, then, for tests.
#include "check/check.h"
#include "clock/clock.h"
#include "limits/limits.h"
#include "service/loop.h"
#include "values/values.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_SKIPPED 77  // what Meson and Automake take as "could not be tested here"

// An arena that lives until the process ends, and a test's database with the arena of what was said to it last.
struct kept {
    arena_t *arena;
    struct kept *next;
};

static struct kept *kept_arenas;

static const struct sql sql_check_drop = {
    .name = "check_drop",
    .text = "DO $$ BEGIN EXECUTE format('DROP SCHEMA %I CASCADE', current_schema()); END $$",
};
static const struct sql sql_check_schema = {.name = "check_schema", .text = "SELECT current_schema()"};
static const struct sql sql_check_events = {
    .name = "check_events",
    .text = "SELECT bytes FROM loop_outbox ORDER BY stream, version",
};
// Every own table as text: its name, and its rows in order.
static const struct sql sql_check_tables = {
    .name = "check_tables",
    .text = "SELECT coalesce(string_agg(table_name || E':\\n' || query_to_xml(format("
            "'SELECT own::text AS r FROM %I.%I AS own ORDER BY 1', table_schema, table_name), false, true, '')::text,"
            " '' ORDER BY table_name), '')"
            "  FROM information_schema.tables"
            " WHERE table_schema = current_schema() AND table_name !~ '^(loop_|heard_|view_|schema_step$)'",
};
static const struct sql *const sql_check_all[] = {&sql_check_drop, &sql_check_schema, &sql_check_events,
                                                  &sql_check_tables, NULL};

static void forget_all(void)
{
    while (kept_arenas != NULL) {
        struct kept *gone = kept_arenas;
        kept_arenas = gone->next;
        arena_destroy(&gone->arena);
        free(gone);
    }
}

static arena_t *keep_arena(void)
{
    struct kept *kept = malloc(sizeof *kept);
    assert_non_null(kept);
    if (kept_arenas == NULL)
        assert_int_equal(0, atexit(forget_all));
    *kept = (struct kept){.arena = arena_new(LIMIT_ARENA_BYTES), .next = kept_arenas};
    kept_arenas = kept;
    return kept->arena;
}

static void give_up(const char *what, const struct message *message)
{
    fail_msg("%s: %s", what, message->reason != NULL ? message->reason : "no reason was given");
}

static const char *database_url(void)
{
    const char *url = getenv("CHECK_DATABASE_URL");

    if (url == NULL || url[0] == '\0') {
        fprintf(stderr, "skipped: CHECK_DATABASE_URL names no PostgreSQL for tests\n");
        exit(EXIT_SKIPPED);
    }
    return url;
}

static void make_schema(const struct db_config *config, const struct service_sql *sql)
{
    struct db_config owner = {.url = config->url, .schema = config->schema, .application_name = "check"};
    db_t *db = db_new(&owner);
    struct message message = check_message(0, "check", BUS__V1__ACTOR__ROLE__OPERATOR, "");

    message.db = db;
    if (db_migrate(&message, NULL, sql->migrations) != OK)
        give_up("the schema for this test could not be made", &message);
    db_destroy(&db);
}

// One transaction, kept when all went well. dispatch is service_decide or service_hear.
static status_t in_transaction(const struct service *service, struct message *message, const void *body,
                               status_t dispatch(const struct service *, struct message *, const uint8_t *,
                                                 size_t))
{
    size_t size;

    assert_non_null(message->db);
    message->type = ((const ProtobufCMessage *)body)->descriptor->name;
    const uint8_t *bytes = message_encode(message->arena, body, &size);
    status_t status = db_begin(message);
    if (status == OK)
        status = dispatch(service, message, bytes, size);
    if (status == OK)
        status = db_commit(message);
    if (status != OK)
        db_rollback(message);
    return status;
}

struct message check_message(int64_t at_us, const char *subject, Bus__V1__Actor__Role role,
                             const char *organisation)
{
    struct message message = message_new(keep_arena());
    actor_t *actor = arena_alloc(message.arena, sizeof *actor);

    bus__v1__actor__init(actor);
    actor->subject = arena_text(message.arena, subject);
    actor->role = role;
    actor->organisation = arena_text(message.arena, organisation);
    message.id = uuid_new(message.arena, clock_real_us());
    message.at_us = at_us;
    message.actor = actor;
    message.sender = "check";
    message.correlation = message.id;
    message.rehearsal = true;
    return message;
}

void check_refused(const struct message *message, status_t status, const char *reason_part)
{
    assert_int_equal(REFUSED, status);
    assert_non_null(message->reason);
    if (strstr(message->reason, reason_part) == NULL)
        fail_msg("refused because \"%s\", not because of \"%s\"", message->reason, reason_part);
    assert_null(message->emitted);
}

const void *check_emitted(struct message *message, int count, int n, const ProtobufCMessageDescriptor *type)
{
    const struct emitted *wanted = NULL;
    const void *event = NULL;
    int emitted = 0;

    for (const struct emitted *one = message->emitted; one != NULL; one = one->next)
        if (emitted++ == n)
            wanted = one;
    if (emitted != count)
        fail_msg("%d events were emitted, not %d (%s)", emitted, count,
                 message->reason != NULL ? message->reason : "nothing failed");
    assert_non_null(wanted);
    assert_string_equal(type->name, wanted->descriptor->name);
    if (message_decode(message, type, wanted->data, wanted->size, &event) != OK)
        give_up("an emitted event cannot be read", message);
    return event;
}

// A connection to this schema of the service.
static db_t *open_schema(const struct service *service, const char *schema, bool make)
{
    struct message message = check_message(0, "check", BUS__V1__ACTOR__ROLE__OPERATOR, "");
    struct service_sql sql = service_sql(service);
    const struct sql *const *const statements[] = {sql_check_all, sql.statements[0], sql.statements[1], NULL};
    struct db_config config = {
        .url = database_url(),
        .schema = arena_text(message.arena, schema),
        .statements = statements,
        .application_name = "check",
    };

    if (make)
        make_schema(&config, &sql);
    message.db = db_new(&config);
    if (db_connect(&message) != OK)
        give_up("the database for this test could not be opened", &message);
    return message.db;
}

db_t *check_db_open(const struct service *service)
{
    static int opened;
    struct message message = check_message(0, "check", BUS__V1__ACTOR__ROLE__OPERATOR, "");

    return open_schema(service,
                       arena_printf(message.arena, "check_%s_%d_%d", service->name, (int)getpid(), ++opened), true);
}

// The one text that a statement gives.
static const char *ask_text(db_t *db, const struct sql *statement)
{
    struct message message = check_message(0, "check", BUS__V1__ACTOR__ROLE__OPERATOR, "");
    struct rows rows;

    message.db = db;
    if (db_run(&message, statement, NULL, 0, &rows) != OK)
        give_up("the database of this test does not answer", &message);
    return row_text(&rows, 0, 0);
}

db_t *check_db_again(const struct service *service, db_t *db)
{
    return open_schema(service, ask_text(db, &sql_check_schema), false);
}

static void replay_one(const struct service *service, db_t *into, ProtobufCBinaryData bytes)
{
    struct message message = check_message(0, "check", BUS__V1__ACTOR__ROLE__OPERATOR, "");
    struct harvest harvest = harvest_new(message.arena);
    static uint64_t position;

    message.db = into;
    status_t status = db_begin(&message);
    if (status == OK)
        status = follow_entry(service, &message, ++position, bytes.data, bytes.len, &harvest, REPLAYING);
    if (status == OK)
        status = db_commit(&message);
    if (status != OK)
        give_up("an own event could not be applied again", &message);
}

void check_replay(const struct service *service, db_t *db)
{
    struct message message = check_message(0, "check", BUS__V1__ACTOR__ROLE__OPERATOR, "");
    db_t *again = check_db_open(service);
    struct rows rows;

    message.db = db;
    if (db_run(&message, &sql_check_events, NULL, 0, &rows) != OK)
        give_up("the events of this test cannot be read", &message);
    for (int i = 0; i < rows.count; i++)
        replay_one(service, again, row_bytes(&rows, i, 0));
    const char *live = ask_text(db, &sql_check_tables), *replayed = ask_text(again, &sql_check_tables);
    if (strcmp(live, replayed) != 0)
        fail_msg("replayed tables differ\nlive:\n%s\nreplayed:\n%s", live, replayed);
    check_db_close(&again);
}

void check_db_close(db_t **db_p)
{
    struct message message = check_message(0, "check", BUS__V1__ACTOR__ROLE__OPERATOR, "");

    message.db = *db_p;
    if (message.db == NULL)
        return;
    db_rollback(&message);
    status_t status = db_connect(&message);
    if (status == OK)
        status = RUN0(&message, check_drop, NULL);
    db_destroy(db_p);
    if (status != OK)
        give_up("the schema of this test could not be dropped", &message);
}

status_t check_command(const struct service *service, struct message *message, const void *command)
{
    return in_transaction(service, message, command, service_decide);
}

const void *check_query(const struct service *service, struct message *message,
                        const ProtobufCMessageDescriptor *answered, const void *query)
{
    const void *body = NULL;
    size_t size;
    const uint8_t *bytes = message_encode(message->arena, query, &size);

    message->type = ((const ProtobufCMessage *)query)->descriptor->name;
    assert_int_equal(OK, db_begin(message));
    status_t status = service_read(service, message, bytes, size);
    db_rollback(message);
    assert_string_equal("", status == OK ? "" : message->reason);
    assert_int_equal(OK, message_decode(message, answered, message->answer, message->answer_size, &body));
    return body;
}

status_t check_heard(const struct service *service, struct message *message, const void *event)
{
    static uint64_t position;

    message->position = ++position;
    return in_transaction(service, message, event, service_hear);
}

struct attempt {
    const struct service *service;
    struct message *message;
    const void *command;
    status_t status;
};

static void *attempt(void *argument)
{
    struct attempt *attempt = argument;

    attempt->status = check_command(attempt->service, attempt->message, attempt->command);
    return NULL;
}

void check_race(const struct service *service, db_t *db, struct message *first, const void *first_command,
                struct message *second, const void *second_command, status_t *ret_first, status_t *ret_second)
{
    struct attempt later = {.service = service, .message = second, .command = second_command};
    db_t *other = check_db_again(service, db);
    pthread_t thread;
    size_t size;

    first->db = db;
    first->type = ((const ProtobufCMessage *)first_command)->descriptor->name;
    const uint8_t *bytes = message_encode(first->arena, first_command, &size);
    assert_int_equal(OK, db_begin(first));
    *ret_first = service_decide(service, first, bytes, size);

    second->db = other;
    assert_int_equal(0, pthread_create(&thread, NULL, attempt, &later));
    usleep(300 * 1000);  // time to get as far as it can without what the first holds
    if (*ret_first == OK)
        *ret_first = db_commit(first);
    if (*ret_first != OK)
        db_rollback(first);
    assert_int_equal(0, pthread_join(thread, NULL));
    *ret_second = later.status;
    db_destroy(&other);
}
