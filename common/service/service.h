// service: the one loop that all six services share.
//
// A service is tables of rows. Commands go to decide functions, which look at state and emit events or
// refuse. Each emitted event is written into the service's own tables by its apply function, in the same
// transaction, and by the same function when the log is replayed. Others' events are heard in log order:
// first an apply into tables of their own, then a react function that may emit own events. A TABLE IS FED
// EITHER BY OWN EVENTS OR BY HEARD ONES, NEVER BY BOTH; replay is exact because of it.
//
// The loop takes what has arrived into one transaction: known ids get their stored answer, the rest is
// decided and applied; events go to the outbox, answers are stored, COMMIT, and only then everyone is
// answered. If anything in the batch must be tried again or is poison, the batch is rolled back and taken one
// by one.
//
// One instance at a time (an advisory lock in the service's own database) hears events, fires due timers and
// sends what killed instances left in the outbox; all instances answer commands and send the events they
// made.
#pragma once

#include "db/db.h"
#include "message/message.h"

// Roles allowed to give a command: ROLE(CASE_OFFICER) | ROLE(UNIT_HEAD). The loop refuses others with a
// sentence naming the roles that may.
#define ROLE(name)         (UINT64_C(1) << BUS__V1__ACTOR__ROLE__##name)
#define ROLES_MUNICIPALITY (ROLE(EDITOR) | ROLE(APPROVER) | ROLE(PROJECT_OWNER) | ROLE(SUPERIOR_LEADER))
#define ROLES_DIRECTORATE                                                                                    \
    (ROLE(CASE_OFFICER) | ROLE(READER) | ROLE(UNIT_HEAD) | ROLE(BUDGET_HOLDER) | ROLE(PAYMENT_OFFICER) |     \
     ROLE(ATTESTANT) | ROLE(AUTHORISER))
#define ROLES_CLOCK ROLE(CLOCK)

// All four kinds of functions look alike: the message in hand and the decoded body.
//   decide / react: load state, look, emit or fail. They write nothing. message->at_us is the only time.
//   apply:  write one event into the service's own tables, from the event's content, message->at_us, ->actor,
//           ->stream and ->version alone; never number rows, never look at other streams' rows or heard tables.
//   read:   load and answer() a query.
typedef status_t handle_f(struct message *message, const void *body);

// A command this service obeys. The store takes the row locks (SELECT ... FOR UPDATE) itself.
//
// ahead is for commands that come in thousands, and may be left out. It asks, by db_ahead, for what decide will load, and
// says by will_add which stream its events will go to, so that a batch waits once for all of its commands. It may ask only
// for what no command with an ahead changes, but those about the same case (the command's first field); the loop asks for
// the first command of each case, and for none that comes behind a command without an ahead.
struct command_row {
    const ProtobufCMessageDescriptor *on;
    uint64_t roles;
    handle_f *decide;
    handle_f *ahead;
};
void will_add(struct message *message, const char *kind, const char *id);

// An event this service emits. kind is the middle of its stream, "service/kind/id"; id is the event's first
// field.
struct event_row {
    const ProtobufCMessageDescriptor *on;
    const char *kind;
    handle_f *apply;
};

// Another service's event that this one hears. hear writes it to tables of heard facts; react decides. Either
// may be NULL.
//
// ahead is for reactions to events that come in thousands, as for commands: what it asks for may be changed only by
// reactions with an ahead to events about the same subject; nothing is asked behind an event that is heard without one.
struct heard_row {
    const ProtobufCMessageDescriptor *on;
    handle_f *hear;
    handle_f *react;
    handle_f *ahead;
};

// The answer to an ask(). body is the request as it was sent; message->answer/answer_size hold the reply's
// body and reply its outcome. It decides like a command. on is the descriptor of the REQUEST.
typedef status_t answer_f(struct message *message, const void *request, const Bus__V1__Reply *reply,
                          const uint8_t *body, size_t body_size);
struct answer_row {
    const ProtobufCMessageDescriptor *on;
    answer_f *decide;
};

// A query: reads, changes nothing, is not remembered.
struct query_row {
    const ProtobufCMessageDescriptor *on;
    uint64_t roles;
    handle_f *read;
};

// A timer. due is a statement with one parameter, the calendar in microseconds, that returns the ids (one
// text column, at most 100 rows) for which the clock command is due now. The command is sent with its first
// field set to the id, role CLOCK, and must lead to an event that makes it no longer due.
struct timer_row {
    const ProtobufCMessageDescriptor *command;
    const struct sql *due;
};

// Every list ends with a row of NULLs. A list may be NULL.
struct service {
    const char *name;  // also its schema, its streams' first word and its package ("intake" for intake.v1)
    const char *rule_set;  // version of the rules, stands in every event: "2024-1"
    const struct command_row *commands;
    const struct event_row *events;
    const struct heard_row *heard;
    handle_f *witness;  // NULL, or: called for EVERY event of the log in order, own ones too, body NULL and
                        // message->type, ->data set; for read models. Its tables are fed by nothing else
    const struct query_row *queries;
    const struct answer_row *answers;
    const struct timer_row *timers;
    const struct sql *const *statements;  // sql_NAME_all of store.sql
    const struct migration *migrations;   // migrations_NAME of store.sql, ended by {0, NULL}
};

// Run the service: reads the environment, serves until SIGTERM, drains, returns the exit code. Command line:
//   (none)            serve
//   --migrate         bring the schema up to date as the owner (MIGRATE_URL), then exit
//   --health [live|ready]   ask the process at METRICS_BIND (metrics/vitals.h); without a word: ready
//   --replay INTO [UNTIL]   rebuild the tables from the log into schema INTO (made by this), up to position UNTIL,
//                     or as they were at the instant UNTIL (ISO 8601): what the log had stored by then
//   --replay-on INTO [UNTIL]   the same, going on in the schema that an earlier replay made, from where it stands
//   --catch-up        bring the live tables of a database that came back older up to the log (replay.c)
//   --query FROM      answer one query (standard input and output; loop.h) from a schema that was rebuilt
//   --describe        print the tables of rows as JSON (for tests and docs)
//   --help
// Environment: DATABASE_URL or DATABASE_URL_FILE (its own role), MIGRATE_URL or MIGRATE_URL_FILE (the owner;
// --migrate and --replay), DATABASE_ROLE (the role that --migrate grants the tables to; the service's name),
// BUS_* (bus.h), REHEARSAL (set: this process belongs to a rehearsal), INSTANCE (this process's name; the
// host's name), METRICS_BIND (where it tells how it is). Exit codes: 0 well, 1 a fault told in one sentence, 2 wrong usage, 3 unhealthy.
int service_main(const struct service *service, int argc, char **argv);

// The pieces of the loop that tests use: run one command, or one heard event, through its table, inside the
// caller's transaction, applying what is emitted. Statuses as the loop sees them.
status_t service_decide(const struct service *service, struct message *message, const uint8_t *body,
                        size_t size);
status_t service_hear(const struct service *service, struct message *message, const uint8_t *body,
                      size_t size);
status_t service_read(const struct service *service, struct message *message, const uint8_t *body,
                      size_t size);

// Personal text (types.v1.Private; private.c says how it is kept). A decide sees text and seal of what its command brings,
// and checks the text there, for it will not be seen again: events, tables and the commands that follow have the seals.
// A read puts the texts back into what it is about to answer; those that are erased, or are not here, stay empty.
status_t private_open(struct message *message, const char *case_id, const void *body);
// Was the personal text of the case destroyed? at_us 0: it was not.
struct erasure {
    int64_t at_us;
    const char *ground;
};
status_t private_erasure(struct message *message, const char *case_id, struct erasure *ret);

// The service of the process, for `ask` and for tables walked by tests.
const struct command_row *service_command(const struct service *service, const char *type);

// Everything that is said to the database in the service's schema, the loop's own part first: for db_new and
// db_migrate.
struct service_sql {
    const struct sql *const *statements[3];
    const struct migration *migrations[3];
};
struct service_sql service_sql(const struct service *service);
