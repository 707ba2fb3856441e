// compare: the live tables beside those that were rebuilt from the log, row by row, at one moment.
#include "compare.h"

#include "rebuild.h"
#include "table.h"

#include "clock/clock.h"
#include "console_replay.sql.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define MOST_DIFFERENCES 20  // shown for one table
#define MOST_ROWS        5   // of one table that the events behind are looked for
#define MOST_EVENTS      10  // behind one row
#define POLL_MS          200
#define MOST_TYPES       500  // that change one service's tables
#define DESCRIBED_BYTES  (256 * 1024)

struct comparison {
    struct console *console;
    const char *prefix;
    table_t *differences;
    table_t *touched;  // the events behind rows that differ
    json_t *listed;
    const char *service;  // whose types these are; NULL: nobody's yet
    struct arg types;
    int services;
    uint64_t tables, rows, different;  // different: tables
    uint64_t n_touched;
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

static status_t look_at_lags(struct comparison *at, const struct rows *rebuilt, const char **ret_why)
{
    status_t status = OK;

    *ret_why = NULL;
    for (int i = 0; status == OK && *ret_why == NULL && i < rebuilt->count; i++)
        status = look_at_lag(at, row_text(rebuilt, i, 0), row_int(rebuilt, i, 1), ret_why);
    return status;
}

// Begin the one moment. A service stores how far it has heard once a second, so a small lag is waited for.
static int begin(struct comparison *at, const struct rows *rebuilt)
{
    struct message *message = &at->console->message;
    int64_t until_ms = clock_stopwatch_ms() + at->console->timeout_ms;
    const char *why;

    for (;;) {
        status_t status = db_begin(message);
        if (status == OK)
            status = RUN0(message, compare_at_one_moment, NULL);
        if (status == OK)
            status = look_at_lags(at, rebuilt, &why);
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

// -------------------------------------------------------------------------------------- the events behind a row

// The types that change this service's tables, as its own program describes them; NULL of SQL: any, for a read
// model, and where the program cannot be asked.
static struct arg types_of(struct comparison *at, const char *service)
{
    static const struct {
        const char *list, *writes;
    } parts[] = {{"events", "applied"}, {"heard", "heard"}};
    struct message *message = &at->console->message;
    const char *const words[] = {"", "--describe", NULL};
    size_t size = DESCRIBED_BYTES, count = 0, index;
    uint8_t *text = arena_alloc(message->arena, size);
    const char *types[MOST_TYPES], *why;
    json_t *one;

    if (!rebuild_run(at->console, service, words, NULL, 0, text, &size, &why))
        return TEXT(NULL);
    json_t *described = json_loadb((const char *)text, size, 0, NULL);
    bool all = described == NULL || json_is_true(json_object_get(described, "witness"));
    for (size_t i = 0; !all && i < sizeof parts / sizeof parts[0]; i++)
        json_array_foreach(json_object_get(described, parts[i].list), index,
                           one) if (json_is_true(json_object_get(one, parts[i].writes)) && count < MOST_TYPES)
            types[count++] = arena_text(message->arena, json_string_value(json_object_get(one, "type")));
    json_decref(described);
    return all ? TEXT(NULL) : db_text_array(message, types, (int)count);
}

static json_t *list_event(struct comparison *at, const char *table, const char *key, const struct rows *rows,
                          int row)
{
    struct message *message = &at->console->message;
    ProtobufCBinaryData bytes = row_bytes(rows, row, 2);
    Eventlog__V1__Event *event;
    const char *id = "(no event)";

    message->reason = NULL;
    if (message_decode(message, &eventlog__v1__event__descriptor, bytes.data, bytes.len, &event) == OK)
        id = event->id;
    table_row(at->touched,
              (const char *[]){at->service, table, key, row_text(rows, row, 0), row_text(rows, row, 1), id});
    at->n_touched++;
    return json_pack("{s:I, s:s, s:s}", "position", (json_int_t)row_int(rows, row, 0), "type",
                     row_text(rows, row, 1), "id", id);
}

// The list goes with the last difference that was listed, which is of this row.
static status_t find_events(struct comparison *at, const char *service, const char *table, const char *key)
{
    struct message *message = &at->console->message;
    struct rows rows;

    if (at->service != service) {
        at->service = service;
        at->types = types_of(at, service);
    }
    status_t status = RUN(message, events_about, &rows, TEXT(key), at->types, INT(MOST_EVENTS));
    if (status != OK)
        return status;
    json_t *events = json_array();
    for (int i = 0; i < rows.count; i++)
        json_array_append_new(events, list_event(at, table, key, &rows, i));
    json_object_set_new(json_array_get(at->listed, json_array_size(at->listed) - 1), "events", events);
    return OK;
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
    const char *key = NULL;
    struct rows rows;
    int keys = 0;

    status_t status = RUN(message, compare_tables, &rows, TEXT(service), TEXT(rebuilt), TEXT(table),
                          INT(MOST_DIFFERENCES));
    for (int i = 0; status == OK && i < rows.count; i++) {
        list_difference(at, service, table,
                        (const char *[]){row_text(&rows, i, 0), row_text(&rows, i, 1), row_text(&rows, i, 2),
                                         row_text(&rows, i, 3)});
        if (key != NULL && strcmp(key, row_text(&rows, i, 0)) == 0)
            continue;
        key = row_text(&rows, i, 0);
        if (keys++ < MOST_ROWS)
            status = find_events(at, service, table, key);
    }
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

json_t *comparison_json(const struct comparison *at)
{
    return json_pack("{s:b, s:I, s:I, s:I, s:O}", "equal", (int)(at->different == 0), "tables",
                     (json_int_t)at->tables, "rows", (json_int_t)at->rows, "different",
                     (json_int_t)at->different, "differences", at->listed);
}

static void print_json(const struct comparison *at)
{
    json_t *output = comparison_json(at);

    json_dumpf(output, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(output);
}

static void print_differences(const struct comparison *at)
{
    table_print(at->differences, stdout);
    if (at->n_touched == 0)
        return;
    printf("\nthe last events behind these rows:\n\n");
    table_print(at->touched, stdout);
}

int comparison_fault(const struct comparison *at)
{
    return fault(EXIT_DIFFERENT, "%llu of %llu tables differ between the live schemas and %s_*",
                 (unsigned long long)at->different, (unsigned long long)at->tables, at->prefix);
}

int comparison_tell(struct comparison *at)
{
    bool equal = at->different == 0;

    if (at->console->json)
        print_json(at);
    else if (!equal)
        print_differences(at);
    else
        printf("equal: %llu tables of %d services, %llu rows\n", (unsigned long long)at->tables, at->services,
               (unsigned long long)at->rows);
    return equal ? EXIT_DONE : comparison_fault(at);
}

struct comparison *comparison_new(struct console *console, const char *prefix)
{
    static const struct column columns[] = {{"service", false}, {"table", false}, {"key", false},
                                            {"column", false},  {"live", false},  {"rebuilt", false},
                                            {NULL, false}};
    static const struct column events[] = {{"service", false}, {"table", false}, {"key", false},
                                           {"position", true}, {"event", false}, {"id", false},
                                           {NULL, false}};
    struct comparison *at = arena_alloc(console->arena, sizeof *at);

    *at = (struct comparison){.console = console,
                              .prefix = prefix,
                              .differences = table_new(console->arena, columns),
                              .touched = table_new(console->arena, events),
                              .listed = json_array()};
    return at;
}

void comparison_destroy(struct comparison **at_p)
{
    json_decref((*at_p)->listed);
    *at_p = NULL;
}

uint64_t comparison_different(const struct comparison *at)
{
    return at->different;
}

int comparison_service(struct comparison *at, const char *service, uint64_t position, const char **ret_why)
{
    struct message *message = &at->console->message;

    status_t status = db_begin(message);
    if (status == OK)
        status = RUN0(message, compare_at_one_moment, NULL);
    if (status == OK)
        status = look_at_lag(at, service, (int64_t)position, ret_why);
    if (status == OK && *ret_why == NULL) {
        at->services++;
        status = compare_service(at, service);
    }
    db_rollback(message);  // nothing was written
    return status == OK ? EXIT_DONE : tools_fault(at->console);
}

// --------------------------------------------------------------------------------------------------- compare

static int compare_all(struct comparison *at, const struct rows *rebuilt)
{
    struct message *message = &at->console->message;
    status_t status = OK;

    int code = begin(at, rebuilt);
    if (code != EXIT_DONE)
        return code;
    for (int i = 0; status == OK && i < rebuilt->count; i++) {
        progress("comparing", (uint64_t)i, (uint64_t)rebuilt->count);
        at->services++;
        status = compare_service(at, row_text(rebuilt, i, 0));
    }
    progress_end();
    db_rollback(message);  // nothing was written
    return status == OK ? comparison_tell(at) : tools_fault(at->console);
}

static int compare_rebuilt(struct console *console, const char *prefix)
{
    struct message *message = &console->message;
    struct rows rebuilt;

    status_t status = db_begin(message);
    if (status == OK)
        status = RUN0(message, load_rebuilt, &rebuilt);
    db_rollback(message);
    if (status != OK)
        return tools_fault(console);
    if (rebuilt.count == 0)
        return fault(EXIT_REFUSED, "nothing has been rebuilt under the prefix %s: tildel replay --into %s",
                     prefix, prefix);
    struct comparison *at = comparison_new(console, prefix);
    int code = compare_all(at, &rebuilt);
    comparison_destroy(&at);
    return code;
}

int run_compare(struct console *console)
{
    const char *prefix;

    int code = tools_prefix(console, "with", &prefix);
    if (code == EXIT_DONE)
        code = tools_exist(console, prefix);
    if (code == EXIT_DONE)
        code = tools_open(console, prefix);
    if (code != EXIT_DONE)
        return code;
    code = compare_rebuilt(console, prefix);
    tools_close(console);
    return code;
}
