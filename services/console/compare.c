// compare: the live tables beside those that were rebuilt from the log, row by row, at one moment.
#include "tools.h"

#include "table.h"

#include "clock/clock.h"
#include "console_replay.sql.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define MOST_DIFFERENCES 20  // shown for one table
#define POLL_MS          200

struct comparison {
    struct console *console;
    const char *prefix;
    struct rows rebuilt;  // service, position
    table_t *differences;
    json_t *listed;
    uint64_t tables, rows, different;  // different: tables
};

// ---------------------------------------------------------------------------------------------------- lag

// Is the live service where the rebuilt one is? EXIT_DONE, or the sentence that says what stands between (in
// *ret_why).
static status_t look_at_lag(struct comparison *at, const char *service, int64_t position,
                            const char **ret_why)
{
    struct message *message = &at->console->message;
    struct rows rows;

    *ret_why = NULL;
    status_t status = RUN(message, load_live_state, &rows, TEXT(service));
    if (status != OK)
        return status;
    int64_t heard = row_int(&rows, 0, 0), unsent = row_int(&rows, 0, 1), parked = row_int(&rows, 0, 2);
    if (unsent > 0)
        *ret_why = arena_printf(message->arena, "%s has %lld events that are not in the log yet", service,
                                (long long)unsent);
    else if (heard < position)
        *ret_why = arena_printf(
            message->arena,
            "%s has heard %lld of the %lld events that were replayed%s; wait until it has "
            "caught up",
            service, (long long)heard, (long long)position,
            parked > 0 ? ", and some are parked behind an incident" : "");
    else if (heard > position)
        *ret_why = arena_printf(message->arena,
                                "%s stands at position %lld and was rebuilt up to %lld; replay again",
                                service, (long long)heard, (long long)position);
    return OK;
}

static status_t look_at_lags(struct comparison *at, const char **ret_why)
{
    status_t status = OK;

    *ret_why = NULL;
    for (int i = 0; status == OK && *ret_why == NULL && i < at->rebuilt.count; i++)
        status = look_at_lag(at, row_text(&at->rebuilt, i, 0), row_int(&at->rebuilt, i, 1), ret_why);
    return status;
}

// Begin the one moment. A service stores how far it has heard once a second, so a small lag is waited for.
static int begin(struct comparison *at)
{
    struct message *message = &at->console->message;
    int64_t until_ms = clock_stopwatch_ms() + at->console->timeout_ms;
    const char *why;

    for (;;) {
        status_t status = db_begin(message);
        if (status == OK)
            status = RUN0(message, compare_at_one_moment, NULL);
        if (status == OK)
            status = look_at_lags(at, &why);
        if (status == OK && why == NULL)
            return EXIT_DONE;
        db_rollback(message);
        if (status != OK)
            return tools_fault(at->console);
        if (clock_stopwatch_ms() > until_ms)
            return fault(EXIT_REFUSED, "%s", why);
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
}

// ------------------------------------------------------------------------------------------------- one table

static void list_difference(struct comparison *at, const char *service, const char *table,
                            const char *const values[4])
{
    table_row(at->differences, (const char *[]){service, table, values[0], values[1], values[2], values[3]});
    json_array_append_new(at->listed, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "service", service, "table",
                                                table, "key", values[0], "column", values[1], "live",
                                                values[2], "rebuilt", values[3]));
}

static status_t compare_columns(struct comparison *at, const char *service, const char *rebuilt,
                                const char *table, bool *ret_equal)
{
    struct message *message = &at->console->message;
    struct rows rows;

    status_t status = RUN(message, compare_columns, &rows, TEXT(service), TEXT(rebuilt), TEXT(table));
    for (int i = 0; status == OK && i < rows.count; i++)
        list_difference(at, service, table,
                        (const char *[]){"(column)", row_text(&rows, i, 0), row_text(&rows, i, 1),
                                         row_text(&rows, i, 2)});
    *ret_equal = status == OK && rows.count == 0;
    return status;
}

static status_t compare_rows(struct comparison *at, const char *service, const char *rebuilt,
                             const char *table, bool *ret_equal)
{
    struct message *message = &at->console->message;
    struct rows rows;

    status_t status = RUN(message, compare_tables, &rows, TEXT(service), TEXT(rebuilt), TEXT(table),
                          INT(MOST_DIFFERENCES));
    for (int i = 0; status == OK && i < rows.count; i++)
        list_difference(at, service, table,
                        (const char *[]){row_text(&rows, i, 0), row_text(&rows, i, 1), row_text(&rows, i, 2),
                                         row_text(&rows, i, 3)});
    *ret_equal = status == OK && rows.count == 0;
    if (status == OK)
        status = RUN(message, count_rows, &rows, TEXT(service), TEXT(table));
    if (status == OK)
        at->rows += (uint64_t)row_int(&rows, 0, 0);
    return status;
}

static status_t compare_table(struct comparison *at, const char *service, const char *rebuilt,
                              const struct rows *tables, int row)
{
    const char *table = row_text(tables, row, 0);
    bool in_live = row_int(tables, row, 1) != 0, in_rebuilt = row_int(tables, row, 2) != 0;
    bool equal = false;
    status_t status = OK;

    at->tables++;
    if (!in_live || !in_rebuilt) {
        list_difference(
            at, service, table,
            (const char *[]){"(table)", "", in_live ? "there" : "absent", in_rebuilt ? "there" : "absent"});
    } else {
        status = compare_columns(at, service, rebuilt, table, &equal);
        if (status == OK && equal)
            status = compare_rows(at, service, rebuilt, table, &equal);
    }
    at->different += !equal;
    return status;
}

static status_t compare_service(struct comparison *at, const char *service)
{
    struct message *message = &at->console->message;
    const char *rebuilt = tools_schema(message->arena, at->prefix, service);
    struct rows tables;

    status_t status = RUN(message, load_tables, &tables, TEXT(service), TEXT(rebuilt));
    if (status == OK && tables.count == 0)
        return fail(message, REFUSED, "neither %s nor %s has a table", service, rebuilt);
    for (int i = 0; status == OK && i < tables.count; i++)
        status = compare_table(at, service, rebuilt, &tables, i);
    return status;
}

// ----------------------------------------------------------------------------------------------------- tell

static int tell(struct comparison *at)
{
    bool equal = at->different == 0;

    if (at->console->json) {
        json_t *output = json_pack("{s:b, s:I, s:I, s:I, s:O}", "equal", (int)equal, "tables",
                                   (json_int_t)at->tables, "rows", (json_int_t)at->rows, "different",
                                   (json_int_t)at->different, "differences", at->listed);
        json_dumpf(output, stdout, JSON_INDENT(1));
        putchar('\n');
        json_decref(output);
    } else if (!equal) {
        table_print(at->differences, stdout);
    } else {
        printf("equal: %llu tables of %d services, %llu rows\n", (unsigned long long)at->tables,
               at->rebuilt.count, (unsigned long long)at->rows);
    }
    if (equal)
        return EXIT_DONE;
    return fault(EXIT_DIFFERENT, "%llu of %llu tables differ between the live schemas and %s_*",
                 (unsigned long long)at->different, (unsigned long long)at->tables, at->prefix);
}

static int compare_all(struct comparison *at)
{
    struct message *message = &at->console->message;
    status_t status = OK;

    int code = begin(at);
    if (code != EXIT_DONE)
        return code;
    for (int i = 0; status == OK && i < at->rebuilt.count; i++) {
        progress("comparing", (uint64_t)i, (uint64_t)at->rebuilt.count);
        status = compare_service(at, row_text(&at->rebuilt, i, 0));
    }
    progress_end();
    db_rollback(message);  // nothing was written
    return status == OK ? tell(at) : tools_fault(at->console);
}

int run_compare(struct console *console)
{
    static const struct column columns[] = {{"service", false}, {"table", false}, {"key", false},
                                            {"column", false},  {"live", false},  {"rebuilt", false},
                                            {NULL, false}};
    struct comparison at = {.console = console};
    struct message *message = &console->message;

    int code = tools_prefix(console, "with", &at.prefix);
    if (code == EXIT_DONE)
        code = tools_exist(console, at.prefix);
    if (code == EXIT_DONE)
        code = tools_open(console, at.prefix);
    if (code != EXIT_DONE)
        return code;
    at.differences = table_new(console->ground, columns);
    at.listed = json_array();
    status_t status = db_begin(message);
    if (status == OK)
        status = RUN0(message, load_rebuilt, &at.rebuilt);
    db_rollback(message);
    if (status != OK)
        code = tools_fault(console);
    else if (at.rebuilt.count == 0)
        code = fault(EXIT_REFUSED, "nothing has been rebuilt under the prefix %s: tildel replay --into %s",
                     at.prefix, at.prefix);
    else
        code = compare_all(&at);
    json_decref(at.listed);
    tools_close(console);
    return code;
}
