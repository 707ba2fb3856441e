// connection: what the files of this folder share. Not for others: they see db.h.
#pragma once

#include "db/db.h"

#include <libpq-fe.h>

struct db {
    PGconn *connection;  // NULL: down
    char *url;
    char *schema;
    char *application_name;
    const struct sql *const *const *statements;
    char sqlstate[6];
    uint64_t errors[DB_ERROR_CLASSES];
    bool warned;  // the server warned since this was last cleared
};

// Values in the shape libpq takes them.
struct values {
    const char **bytes;
    int *sizes;
    int *formats;
};
struct values values_of(arena_t *arena, const struct arg args[], int n_args);

// A result's rows, copied into the arena, bytea decoded.
struct rows rows_copy(arena_t *arena, const PGresult *result);

// What a failure means, by SQLSTATE. `what` completes "the database failed to ...". result may be NULL: then the
// connection tells. A connection that is no longer good is finished.
status_t db_failed(struct message *message, const char *what, const PGresult *result);

// OK with the rows, or what the failure means. Clears the result.
status_t db_settle(struct message *message, const char *what, PGresult *result, struct rows *ret);

// Run a text that was not prepared; for what is said once: set-up and migrations.
status_t db_execute(struct message *message, const char *what, const char *text, const struct arg args[],
                    int n_args, struct rows *ret);
