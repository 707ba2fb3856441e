// db steady: rows that were read once and never change (db.h).
#include "db/connection.h"
#include "limits/limits.h"

#include <string.h>

#define STEADY_BYTES (LIMIT_ARENA_BYTES / 16)  // then all of it is forgotten

struct known {
    const struct sql *sql;
    const struct arg *args;
    struct rows rows;
    struct known *next;
};

const struct rows *steady_find(const db_t *db, const struct sql *sql, const struct arg args[], int n_args)
{
    for (const struct known *known = db->known; known != NULL; known = known->next)
        if (strcmp(known->sql->name, sql->name) == 0 && values_same(known->args, args, n_args))
            return &known->rows;
    return NULL;
}

void steady_keep(db_t *db, const struct sql *sql, const struct arg args[], int n_args, struct rows *rows)
{
    if (rows->count == 0)
        return;
    if (arena_used(db->steady) > STEADY_BYTES)
        steady_forget(db);
    struct known *known = arena_alloc(db->steady, sizeof *known);
    *known = (struct known){.sql = sql,
                            .args = values_copy(db->steady, args, n_args),
                            .rows = *rows,
                            .next = db->known};
    known->rows.cells = values_copy(db->steady, rows->cells, rows->count * rows->columns);
    db->known = known;
}

void steady_forget(db_t *db)
{
    db->known = NULL;
    arena_reset(db->steady);
}
