// connection: what the files of this folder share. Not for others: they see db.h.
#pragma once

#include "db/db.h"

#include <libpq-fe.h>

// A statement of the transaction under way that was sent and whose result nobody has read yet.
struct sent {
    const char *name;   // of the statement
    arena_t *arena;     // where its rows go
    struct rows *rows;  // NULL: nobody asks for them
    bool changes_one;   // it must change exactly one row
};

struct db {
    PGconn *connection;  // NULL: down
    bool begun;          // a transaction is under way, and the connection in pipeline mode
    struct sent *sent;   // in the order they were sent
    int n_sent, sent_room;
    bool expecting;      // one of them must change a row
    char *url;
    char *schema;
    char *application_name;
    const struct sql *const *const *statements;
    const struct migration *const *migrations;  // NULL: the schema's steps are not looked at
    char sqlstate[6];
    uint64_t errors[DB_ERROR_CLASSES];
    bool warned;  // the server warned since this was last cleared
    bool busy;    // rows are coming: see db_each
};

// Values in the shape libpq takes them.
struct values {
    const char **bytes;
    int *sizes;
    int *formats;
};
struct values values_of(arena_t *arena, const struct arg args[], int n_args);

// Is the connection there, as far as libpq knows?
bool db_connected(const db_t *db);

// Give the connection up, with the transaction it was in.
void db_disconnect(db_t *db);

// A result's rows, copied into the arena, bytea decoded.
struct rows rows_copy(arena_t *arena, const PGresult *result);

// What a failure means, by SQLSTATE. `what` completes "the database failed to ...". result may be NULL: then the
// connection tells. A connection that is no longer good is finished.
status_t db_failed(struct message *message, const char *what, const PGresult *result);

// OK with the rows, or what the failure means. Clears the result.
status_t db_settle(struct message *message, const char *what, PGresult *result, struct rows *ret);

// Do the schema's steps fit a program that knows these lists? RETRY when steps are missing (not asked while
// migrating, which takes them), REFUSED when the schema has a step that this program can not run with. Either way
// the reason says what to do.
status_t db_fit(struct message *message, const struct migration *const *lists, bool migrating);

// The result of the oldest statement of a pipeline whose result was not read, and with it the NULL that follows it.
PGresult *db_next_result(db_t *db);

// Run a text that was not prepared; for what is said once: set-up and migrations. Without values it may be many statements.
status_t db_execute(struct message *message, const char *what, const char *text, const struct arg args[],
                    int n_args, struct rows *ret);
