// db: one connection to PostgreSQL that speaks only prepared statements. The only caller of libpq.
//
// Every statement is known by name, prepared when the connection is made (so a wrong column stops the
// service at start), and given its values with explicit lengths. SQLSTATE becomes one of the four outcomes
// here and nowhere else: lost connections, serialization failures, deadlocks, unique violations (someone was
// faster), lack of resources, lock timeouts and shutdown are RETRY; everything else is POISON.
#pragma once

#include "message/message.h"

// A prepared statement. Made from a `-- name: x` block of a store.sql by embed_sql.py; its C name is sql_x.
struct sql {
    const char *name;
    const char *text;
    int params;
};

// One schema step. Made from a `-- schema: N what` block of a store.sql; applied once, in order of N.
struct migration {
    int number;
    const char *text;
};

// A value for a statement. Made by the four functions below.
struct arg {
    const void *bytes;  // NULL is SQL NULL
    size_t size;
    bool binary;        // bytea in binary; everything else travels as text
};

// What a statement returned. Lives in the arena.
struct rows {
    int count;               // rows returned
    int affected;            // rows inserted, updated or deleted
    int columns;
    const struct arg *cells; // row by row; read with row_text, row_int, row_bytes
};

// How to reach the database and what will be said to it.
struct db_config {
    const char *url;                        // conninfo or URI; from DATABASE_URL, or the file DATABASE_URL_FILE names
    const char *schema;                     // search_path of the connection
    const struct sql *const *const *statements; // NULL-terminated list of NULL-terminated lists
    const char *application_name;           // shown in pg_stat_activity
};

// Make the handle. Connects at the first use; never NULL.
db_t *db_new(const struct db_config *config);
void db_destroy(db_t **db_p);

// Connect (again) if the connection is down, and prepare every statement. RETRY while the database is away,
// POISON when a statement cannot be prepared; the reason says which.
status_t db_connect(struct message *message);

// One transaction. Commit is OK only when the server said COMMIT (a failed transaction answers ROLLBACK with
// PGRES_COMMAND_OK) without a warning about synchronous replication; a connection lost in between is RETRY and
// the outcome is unknown: look the command up by its id.
status_t db_begin(struct message *message);
status_t db_commit(struct message *message);
void db_rollback(struct message *message);

// Run one statement. Asserts that the number of values fits. ret may be NULL.
status_t db_run(struct message *message, const struct sql *sql, const struct arg args[], int n_args,
                struct rows *ret);

// RUN(message, load_call, &rows, TEXT(id), INT(7)) runs sql_load_call.
#define RUN(message, statement, rows, ...)                                                                   \
    db_run(message, &sql_##statement, (const struct arg[]){__VA_ARGS__},                                     \
           (int)(sizeof((const struct arg[]){__VA_ARGS__}) / sizeof(struct arg)), rows)
// RUN0 for statements without parameters.
#define RUN0(message, statement, rows) db_run(message, &sql_##statement, NULL, 0, rows)

#define TEXT(text) db_text(text)
#define INT(number) db_int(message, number)   // needs a variable called message, as every handler has
#define BOOL(value) db_text((value) ? "t" : "f")
#define BYTES(pointer, size) db_bytes(pointer, size)

struct arg db_text(const char *text);  // NULL becomes SQL NULL; "" stays the empty string
struct arg db_int(struct message *message, int64_t number);
struct arg db_bytes(const void *bytes, size_t size);
// PostgreSQL arrays for unnest: text[] and bigint[] as text, bytea[] as text in hex.
struct arg db_text_array(struct message *message, const char *const texts[], int count);
struct arg db_int_array(struct message *message, const int64_t numbers[], int count);
struct arg db_bytes_array(struct message *message, const struct arg bytes[], int count);

// One cell. row and column are asserted to exist. row_text: "" for NULL. row_int: 0 for NULL; also reads
// booleans as 0 and 1. row_bytes: decoded bytea.
const char *row_text(const struct rows *rows, int row, int column);
int64_t row_int(const struct rows *rows, int row, int column);
ProtobufCBinaryData row_bytes(const struct rows *rows, int row, int column);
bool row_null(const struct rows *rows, int row, int column);

// Bring a schema up to date: make it and a table schema_step, then apply each missing step of each list in order
// under an advisory lock, one transaction each, and grant `login` (may be NULL) USAGE and SELECT, INSERT, UPDATE,
// DELETE on its tables as they are made. A step may take some away again for good: current_setting('tildel.login') is
// login ('' when NULL) while a step runs, for a DO block that REVOKEs. Runs as the owner, not as the service's own role.
// The handle has no statements. REFUSED when the database is ahead of this program.
status_t db_migrate(struct message *message, const char *login, const struct migration *const *lists);

// Text of the last server error's SQLSTATE ("" when none), for metrics.
const char *db_sqlstate(const db_t *db);

// How often the database failed us, by the class of the SQLSTATE: its first two characters, the last class is
// "other". number is 0 to DB_ERROR_CLASSES - 1.
#define DB_ERROR_CLASSES 14
const char *db_error_class(int number);
uint64_t db_errors(const db_t *db, int number);
