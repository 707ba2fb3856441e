// connection: what the files of this folder share. Not for others: they see db.h.
#pragma once

#include "db/db.h"

#include <libpq-fe.h>

// Somebody who asks for rows. Of a statement of many he gets those of his key.
struct asker {
    const struct arg *key;  // NULL: all rows are his
    arena_t *arena;         // where they go
    struct rows *rows;
    struct asker *next;
};

// A statement of the transaction under way that was sent and whose result nobody has read yet.
struct sent {
    const char *name;            // of the statement
    const struct asker *askers;  // NULL: nobody asks for its rows
    int changes;                 // it must change exactly so many rows; 0: it may change any
};

// What is gathered of a statement of many: many.c.
#define MANY_GROUPS 16
struct gathering {
    const struct sql *sql;
    struct gathered *rows, **last;
    int count;
    struct asker *askers, **last_asker;
    bool changes;  // one row for each that is gathered
};

struct db {
    PGconn *connection;  // NULL: down
    bool begun;          // a transaction is under way, and the connection in pipeline mode
    struct sent *sent;   // in the order they were sent
    int n_sent, sent_room;
    bool expecting;      // one of them must change rows
    arena_t *gathered;   // lives until it is sent: what stands in groups; and until it is read: who asks
    struct gathering groups[MANY_GROUPS];
    int n_groups;
    arena_t *steady;      // what steady statements have returned
    struct known *known;  // in it, the last first
    char *url;
    char *schema;
    char *application_name;
    const struct sql *const *const *statements;
    const struct migration *const *migrations;  // NULL: the schema's steps are not looked at
    char sqlstate[6];
    bool full;  // see db_full
    uint64_t errors[DB_ERROR_CLASSES];
    bool warned;  // the server warned since this was last cleared
    bool busy;    // rows are coming: see db_each
};

// A row while it comes. "" and 0 for NULL; each value with a NUL behind it.
#define ROW_COLUMNS 16
struct row {
    int columns;
    struct row_cell {
        const char *bytes;
        int size;
        Oid type;  // InvalidOid: the server does not tell
    } cells[ROW_COLUMNS];
};

// db_each for a statement of a copy; nothing that was sent before is unsettled.
status_t copy_each(struct message *message, const char *what, const struct sql *sql, const struct arg args[],
                   each_f *each, void *context);

// Where the reading of a copy stands.
struct copying {
    struct message *message;
    each_f *each;
    void *context;
    bool begun;  // its header was read
};

// The rows of one piece of a copy, from `at` to before `end`, where a NUL stands. Each piece holds whole rows. POISON when
// these bytes are not the format's.
status_t copy_piece(struct copying *copying, uint8_t *at, uint8_t *end);

// Values in the shape libpq takes them.
struct values {
    const char **bytes;
    int *sizes;
    int *formats;
};
struct values values_of(arena_t *arena, const struct arg args[], int n_args);
const struct arg *values_copy(arena_t *arena, const struct arg args[], int n_args);
bool values_same(const struct arg *one, const struct arg *other, int n_args);

// Is the connection there, as far as libpq knows?
bool db_connected(const db_t *db);

// Give the connection up, with the transaction it was in.
void db_disconnect(db_t *db);

// A result's rows, copied into the arena, bytea decoded; with a key, those that begin with it.
struct rows rows_copy(arena_t *arena, const PGresult *result, const struct arg *key);

// Remember an error's SQLSTATE, and count it.
void db_keep_sqlstate(db_t *db, const char *sqlstate);

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

// Send a statement of the transaction under way, now.
status_t db_send(struct message *message, const struct sql *sql, const struct arg args[], int n_args,
                 const struct sent *sent);

// Gather one row of a statement of many. changes: it must change one row. ret: see db_later.
status_t many_gather(struct message *message, const struct sql *sql, const struct arg args[], int n_args,
                     bool changes, struct rows *ret);
// Send what is gathered.
status_t many_send(struct message *message);
// One row's values as arrays, for a statement of many by itself.
const struct arg *many_of_one(struct message *message, const struct arg args[], int n_args);

// What a steady statement has returned for these values, until steady_forget; NULL: not known.
const struct rows *steady_find(const db_t *db, const struct sql *sql, const struct arg args[], int n_args);
// Remember it. Rows that were found before may be forgotten for it.
void steady_keep(db_t *db, const struct sql *sql, const struct arg args[], int n_args, struct rows *rows);
void steady_forget(db_t *db);

// Run a text that was not prepared; for what is said once: set-up and migrations. Without values it may be many statements.
status_t db_execute(struct message *message, const char *what, const char *text, const struct arg args[],
                    int n_args, struct rows *ret);
