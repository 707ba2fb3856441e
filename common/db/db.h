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
    bool many;    // see "Statements of many"
    bool steady;  // see "Steady statements"
    bool copy;    // see "Statements of a copy"
};

// One schema step. Made from a `-- schema: N what` block of a store.sql; applied once, in order of N.
//
// While a service is upgraded, the program before runs on against the new schema: step N must leave a program that
// knows only N - 1 working, or say otherwise: `-- schema: N what (programs from K)`, where K is the last step that a
// program must know to run after it (K = N: stop the old program before). How to write a step that keeps both well:
//   expand    add tables; add columns that may be NULL or have a constant DEFAULT; widen a CHECK (drop it, add it again
//             NOT VALID). The new program fills them and still reads what the old one writes.
//   contract  one release later, when no old program runs: VALIDATE CONSTRAINT, SET NOT NULL, drop what nobody uses.
//   never     rename or retype what the old program's statements name; give a column a volatile DEFAULT, which rewrites
//             the table; UPDATE a whole large table in the step that also takes a lock on it.
// A step waits for its locks half a second at a time and gives way in between, so that it never holds up the running
// program's queue for longer; what it does once it has them should be short. A new index locks out writers while it is
// built (CONCURRENTLY cannot stand in a transaction): make it while the table is small, or in the new table.
struct migration {
    int number;
    const char *text;  // NULL ends a list
    int oldest;        // a program must know this step to run after it
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
    const struct migration *const *migrations;  // NULL, or the lists whose steps the schema must have: see db_connect
    const char *application_name;           // shown in pg_stat_activity
};

// Make the handle. Connects at the first use; never NULL.
db_t *db_new(const struct db_config *config);
void db_destroy(db_t **db_p);

// What is wrong with a database's address, completing "DATABASE_URL ..."; NULL when nothing is. A password must have 16
// characters or more and not be the role's name or one of those that examples have. It may be missing where something
// else proves who asks: a unix socket (peer), a passfile, a client certificate. Never quotes what it was given.
const char *db_address_fault(const char *url);

// Connect (again) if the connection is down, see that the schema fits, and prepare every statement. RETRY while the
// database is away or its schema lacks a step (it is being brought up to date); REFUSED when the schema has a step that
// this program can not run with; POISON when a statement cannot be prepared. The reason says which, and what to do.
status_t db_connect(struct message *message);

// One transaction. Commit is OK only when the server said COMMIT (a failed transaction answers ROLLBACK with
// PGRES_COMMAND_OK) without a warning about synchronous replication, and all that was sent before it did well; a
// connection lost in between is RETRY and the outcome is unknown: look the command up by its id. After any other failure
// roll back.
status_t db_begin(struct message *message);
status_t db_commit(struct message *message);
void db_rollback(struct message *message);

// Run one statement. Asserts that the number of values fits. With ret: wait for what it returns. Without ret (NULL), and
// within a transaction: send it and go on; that it failed is told by whatever waits next, at the latest by db_commit.
// So a transaction waits for the server as often as it reads, and once more; what it writes costs no waiting.
status_t db_run(struct message *message, const struct sql *sql, const struct arg args[], int n_args,
                struct rows *ret);

// The same, but what it returns is asked for later: *ret, which must live until then, is filled by whatever waits next;
// rows_came tells whether that has been.
status_t db_later(struct message *message, const struct sql *sql, const struct arg args[], int n_args,
                  struct rows *ret);

#define ROWS_NOT_YET -1  // so many columns has an answer that is not here yet
static inline bool rows_came(const struct rows *rows)
{
    return rows->columns != ROWS_NOT_YET;
}

// Within a transaction: send a statement that must change exactly one row. When it does not, what waits next is POISON:
// the tables are not what the log says. It is known before anything is committed.
status_t db_change(struct message *message, const struct sql *sql, const struct arg args[], int n_args);

// Within a transaction: ask for what a db_run of the same statement with the same values will want to know when the
// message comes in hand; it takes the answer from message->ahead, once, and waits only if it is not there yet. So that
// many messages are asked for in one round trip. Lives in the message's arena, as long as the transaction. It is for who
// asks to know that nothing changes the answer in between.
status_t db_ahead(struct message *message, const struct sql *sql, const struct arg args[], int n_args);

// Statements of many: marked (many) in their store.sql. In SQL each of their values is an array; to the caller it is one
// value, and the statement is about one row. Within a transaction they are gathered, and go out as one statement for all
// rows when somebody waits or says something else to the database. So what a batch of commands does to each of its cases costs
// the server one statement for all.
//
// The first value is the key. What is said under one key goes out in the order in which it was said; what is said under
// different keys may change places. Mark only statements for which that is right, which return rows with the key as their
// first column, those of one key beside each other, and lock rows in an order of their own (ORDER BY the key).
// A db_change of many must change as many rows as were gathered.

// Steady statements: marked (steady) in their store.sql. What one of them has returned for some values it returns for ever: it
// reads what is never changed nor deleted. The connection remembers rows that it has read, and db_run gives them again
// without asking, until a transaction is rolled back, which may have added them. That there are none is not remembered.

// Wait for all that was sent. OK when nothing was, or when all of it did well.
status_t db_wait(struct message *message);

// RUN(message, load_call, &rows, TEXT(id), INT(7)) runs sql_load_call; LATER, CHANGE and AHEAD likewise.
#define RUN(message, statement, rows, ...)                                                                   \
    db_run(message, &sql_##statement, ARGS(__VA_ARGS__), N_ARGS(__VA_ARGS__), rows)
#define LATER(message, statement, rows, ...)                                                                 \
    db_later(message, &sql_##statement, ARGS(__VA_ARGS__), N_ARGS(__VA_ARGS__), rows)
#define CHANGE(message, statement, ...)                                                                      \
    db_change(message, &sql_##statement, ARGS(__VA_ARGS__), N_ARGS(__VA_ARGS__))
#define AHEAD(message, statement, ...)                                                                       \
    db_ahead(message, &sql_##statement, ARGS(__VA_ARGS__), N_ARGS(__VA_ARGS__))
#define ARGS(...)   (const struct arg[]){__VA_ARGS__}
#define N_ARGS(...) (int)(sizeof(ARGS(__VA_ARGS__)) / sizeof(struct arg))
// RUN0 for statements without parameters.
#define RUN0(message, statement, rows) db_run(message, &sql_##statement, NULL, 0, rows)

// A row while it comes: what the three readers give is gone when the function that got the row returns. column is
// asserted to exist and to be of the kind that is read: each_int a smallint, integer, bigint or boolean (0 for NULL),
// each_text a text ("" for NULL), each_bytes a bytea (no bytes for NULL).
typedef struct row row_t;
int64_t each_int(const row_t *row, int column);
const char *each_text(const row_t *row, int column);
ProtobufCBinaryData each_bytes(const row_t *row, int column);

// Take one row. Must say nothing to the database (asserted): the connection is busy with the rows.
typedef status_t each_f(void *context, const row_t *row);

// Run one statement and hand each of its rows to a function as it comes, so that a million rows need the memory of one;
// in a transaction or without. OK when the last row was taken; else what the function said first (rows that still come are
// then read and let go: ask for no more than is wanted), or as db_run when the statement fails: the rows that came before
// were handed on, the caller forgets them.
status_t db_each(struct message *message, const struct sql *sql, const struct arg args[], int n_args, each_f *each,
                 void *context);

// Statements of a copy: marked (copy) in their store.sql. db_each sends them as COPY (...) TO STDOUT in binary, which costs the
// least of all ways to read a whole table: no result is made for a row. COPY takes no values, so those must be whole
// numbers (asserted), which are written into the text; it is planned anew each time; and it does not tell of which
// kind a column is, so that of the readers' assertions only that the column exists holds. db_run runs them as any other.

// EACH_ROW(message, read_leaves, take_leaf, &at, INT(7)) hands the rows of sql_read_leaves to take_leaf(&at, row).
#define EACH_ROW(message, statement, each, context, ...)                                                     \
    db_each(message, &sql_##statement, ARGS(__VA_ARGS__), N_ARGS(__VA_ARGS__), each, context)

#define TEXT(text) db_text(text)
#define INT(number) db_int(message, number)   // needs a variable called message, as every handler has
#define BOOL(value) db_text((value) ? "t" : "f")
#define BYTES(pointer, size) db_bytes(pointer, size)

struct arg db_text(const char *text);  // NULL becomes SQL NULL; "" stays the empty string
struct arg db_int(struct message *message, int64_t number);
struct arg db_bytes(const void *bytes, size_t size);
// PostgreSQL arrays for unnest: text[] and bigint[] as text, bytea[] in binary.
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
// The handle has no statements. A step that fails leaves the schema as it was before it. Waits for the database, and for
// locks that a running service holds, at most about a minute (RETRY). A schema that is ahead stays as it is: OK when
// this program can run with it (so that an upgrade can be taken back), else REFUSED.
status_t db_migrate(struct message *message, const char *login, const struct migration *const *lists);

// Text of the last server error's SQLSTATE ("" when none), for metrics.
const char *db_sqlstate(const db_t *db);

// Did anything fail since the last db_begin because the disk is full (53100) or no connection is left (53300)? That is
// RETRY, and no fault of what was asked: all others fail the same way until somebody makes room.
bool db_full(const db_t *db);

// How often the database failed us, by the class of the SQLSTATE: its first two characters; 23505 (somebody was
// faster) is a class of its own, and the last is "other". number is 0 to DB_ERROR_CLASSES - 1.
#define DB_ERROR_CLASSES 15
const char *db_error_class(int number);
uint64_t db_errors(const db_t *db, int number);
