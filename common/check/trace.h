// trace: what is said to the database over a connection, in PostgreSQL's protocol, a line for each message. For tests that
// look at how often a piece of work waits for it, and in which order it asks.
#pragma once

#include "db/connection.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define TRACE_WAIT "\tReadyForQuery"  // one each time somebody waited

// From here to trace_end, which closes the file.
static inline FILE *trace_begin(const db_t *db)
{
    FILE *trace = tmpfile();

    assert(trace != NULL);
    PQtrace(db->connection, trace);
    return trace;
}

// How many lines have this text, and, unless ret_first is NULL, where the first of them ends; -1: none has it.
static inline int trace_count(FILE *trace, const char *text, long *ret_first)
{
    char line[4096];
    long first = -1;
    int count = 0;

    rewind(trace);
    while (fgets(line, sizeof line, trace) != NULL)
        if (strstr(line, text) != NULL && ++count == 1)
            first = ftell(trace);
    if (ret_first != NULL)
        *ret_first = first;
    return count;
}

static inline void trace_end(const db_t *db, FILE *trace)
{
    PQuntrace(db->connection);
    fclose(trace);
}
