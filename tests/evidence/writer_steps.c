// writer_steps: a writer of the log that appends and signs, step by step, so that it can be killed at every system call.
//
//     writer_steps SCHEMA make     makes the log in this schema of CHECK_DATABASE_URL
//     writer_steps SCHEMA run      takes it over, says "ready", appends three times four events: "stored N" after each
//     writer_steps SCHEMA check    takes it over and verifies it: prints what log_verify says
#include "eventlog.h"

#include "eventlog_store.sql.h"
#include "limits/limits.h"
#include "values/values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STEPS 3
#define STEP  4

static void fail_unless(bool well, const char *why)
{
    if (well)
        return;
    fprintf(stderr, "%s\n", why != NULL ? why : "?");
    exit(1);
}

static void tell(const char *what, uint64_t number)
{
    char line[64];
    int length = snprintf(line, sizeof line, "%s %llu\n", what, (unsigned long long)number);

    fail_unless(write(STDOUT_FILENO, line, (size_t)length) == length, "standard output cannot be written");
}

static db_t *open_database(const char *schema, bool prepare)
{
    static const struct sql *const *const statements[] = {sql_eventlog_all, NULL};
    struct db_config config = {.url = getenv("CHECK_DATABASE_URL"),
                               .schema = schema,
                               .statements = prepare ? statements : NULL,
                               .application_name = "writer_steps"};

    return db_new(&config);
}

static void make(struct message *message, const char *schema)
{
    static const struct migration *const lists[] = {migrations_eventlog, NULL};

    message->db = open_database(schema, false);
    status_t status = db_migrate(message, NULL, lists);
    fail_unless(status == OK, message->reason);
    db_destroy(&message->db);
}

// The database may still hold the connection of one that was killed.
static void take_over(struct eventlog *log, arena_t *arena)
{
    for (int tries = 0; tries < 500; tries++) {
        struct message message = message_new(arena);
        message.db = log->db;
        status_t status = log_take_over(log, &message);
        if (status == OK)
            return;
        fail_unless(status == RETRY, message.reason);
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    fail_unless(false, "the log could not be taken over");
}

// The same events in every run: what stands already is acknowledged again.
static void append(struct eventlog *log, arena_t *arena, int number)
{
    Append wished = EVENTLOG__V1__APPEND__INIT;
    Bus__V1__Request request = BUS__V1__REQUEST__INIT;
    struct message message = message_new(arena);
    struct wish wish = {.request = &request, .append = &wished};
    ProtobufCBinaryData events[STEP];
    Entry **entries;
    size_t added;

    message.db = log->db;
    request.sender = (char *)"intake";
    wished.events = events;
    wished.n_events = STEP;
    for (int i = 0; i < STEP; i++) {
        Event event = EVENTLOG__V1__EVENT__INIT;
        event.version = (uint64_t)(number * STEP + i + 1);
        event.id = uuid_from(arena, arena_printf(arena, "%d", (int)event.version));
        event.source = (char *)"intake";
        event.type = (char *)"intake.v1.CallClosed";
        event.stream = (char *)"intake/call/a";
        events[i].data = message_encode(arena, &event, &events[i].len);
    }
    log->signed_ms = 0;  // a checkpoint is due at once: its path is walked too
    status_t status = log_append(log, &message, &wish, 1, &entries, &added);
    fail_unless(status == OK, message.reason);
    for (int i = 0; i < STEP; i++)
        fail_unless(wish.results[i]->result == EVENTLOG__V1__APPENDED__RESULT__STORED,
                    wish.results[i]->reason);
    tell("stored", wish.results[STEP - 1]->position);
    tell("signed", log->signed_size);
}

int main(int argc, char **argv)
{
    arena_t *arena = arena_new(64 * 1024 * 1024);
    struct message message = message_new(arena);
    struct eventlog log = {0};
    int code = 0;

    fail_unless(argc == 3, "usage: writer_steps SCHEMA make|run|check");
    if (strcmp(argv[2], "make") == 0) {
        make(&message, argv[1]);
        return 0;
    }
    note_signer_make("log.example/k", NOTE_PLAIN, (const uint8_t *)"0123456789abcdef0123456789abcdef",
                     &log.signer);
    log.db = message.db = open_database(argv[1], true);
    take_over(&log, arena);
    tell("ready", log.tree.size);
    tell("signed", log.signed_size);
    for (int i = 0; strcmp(argv[2], "run") == 0 && i < STEPS; i++)
        append(&log, arena, i);
    if (strcmp(argv[2], "check") == 0)
        code = log_verify(&message, &(struct note_ring){.keys = {log.signer.key}, .count = 1}, false);
    db_destroy(&log.db);
    arena_destroy(&arena);
    return code;
}
