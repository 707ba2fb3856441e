// db errors: how often the database failed us. Nothing of libpq is called here: a process that only counts what it has, and
// has no database, does not carry it.
#include "db/connection.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

// Those that this house can meet, of PostgreSQL's manual, Appendix A. Of class 23, who was faster under one key is told
// apart: that is tried again, and no fault.
static const char *const error_classes[DB_ERROR_CLASSES] = {
    "08", "22", "23505", "23", "25", "28", "40", "42", "53", "54", "55", "57", "58", "XX", "other"};

static bool begins(const char *sqlstate, const char *class)
{
    return strncmp(sqlstate, class, strlen(class)) == 0;
}

void db_keep_sqlstate(db_t *db, const char *sqlstate)
{
    int number = 0;

    snprintf(db->sqlstate, sizeof db->sqlstate, "%s", sqlstate);
    while (number < DB_ERROR_CLASSES - 1 && !begins(sqlstate, error_classes[number]))
        number++;
    db->errors[number]++;
}

const char *db_sqlstate(const db_t *db)
{
    assert(db != NULL);
    return db->sqlstate;
}

const char *db_error_class(int number)
{
    assert(number >= 0 && number < DB_ERROR_CLASSES);
    return error_classes[number];
}

uint64_t db_errors(const db_t *db, int number)
{
    assert(number >= 0 && number < DB_ERROR_CLASSES);
    return db->errors[number];
}
