// check: given, when, then, for tests. Links with cmocka; TAP on standard output.
#pragma once

#include "service/service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// cmocka's macro fail() would hide ours, and its fail_msg() would call ours.
#undef fail
#undef fail_msg
#define fail_msg(text, ...)                                                                                  \
    do {                                                                                                     \
        print_error("ERROR: " text "\n", ##__VA_ARGS__);                                                     \
        _fail(__FILE__, __LINE__);                                                                           \
    } while (0)

// A message on a fresh arena with a time and an actor, for tests of rules. Destroyed at exit.
struct message check_message(int64_t at_us, const char *subject, Bus__V1__Actor__Role role,
                             const char *organisation);

// The message refused with a reason that contains this text, and emitted nothing.
void check_refused(const struct message *message, status_t status, const char *reason_part);

// Exactly this many events were emitted and the n-th (from 0) is of this type; returns it decoded.
const void *check_emitted(struct message *message, int count, int n, const ProtobufCMessageDescriptor *type);

// A real PostgreSQL for tests of stores: the one that CHECK_DATABASE_URL names (tests/run starts it), in a schema of its
// own made from the service's migrations, dropped by check_db_close. Ends the process with exit code 77, which
// Meson's protocol 'exitcode' takes as skipped, without a server.
db_t *check_db_open(const struct service *service);
void check_db_close(db_t **db_p);
// Another connection to the same schema, for tests of two at once. Closed by db_destroy.
db_t *check_db_again(const struct service *service, db_t *db);
// Apply the service's own events of this database once more, into a schema of their own: stream after stream, an order the log
// may well have. Fails the test unless every own table (not loop_, heard_ or view_) ends equal, row by row.
void check_replay(const struct service *service, db_t *db);

// Pretend a command arrived: decide, apply, and keep the tables, in one transaction on this database. Returns the
// status; *message tells what was emitted or why it failed.
status_t check_command(const struct service *service, struct message *message, const void *command);
// Pretend a query arrived, which must be answered with such a message; the answer, decoded.
const void *check_query(const struct service *service, struct message *message,
                        const ProtobufCMessageDescriptor *answered, const void *query);
// Pretend an event of another service was heard.
status_t check_heard(const struct service *service, struct message *message, const void *event);
// Two commands at once: while the first is decided and not committed, the second arrives on a connection of its own; then the
// first commits. ret_first and ret_second tell how each ended; the messages tell why.
void check_race(const struct service *service, db_t *db, struct message *first, const void *first_command,
                struct message *second, const void *second_command, status_t *ret_first, status_t *ret_second);
