// replay: have every service rebuild its tables from the log, each by its own program and its own apply
// functions, side by side; once, or again and again as the log grows, comparing each time.
#include "compare.h"
#include "rebuild.h"
#include "tools.h"

#include "table.h"

#include "clock/clock.h"
#include "console_replay.sql.h"
#include "values/values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SERVICES_MAX 8
#define WATCH_MAX_S  3600
#define POLL_MS      100
#define TRIES_MS     3000  // how long a moment is waited for at which a service stands where its tables do

struct replay {
    struct console *console;
    const char *prefix;
    uint64_t until;  // position; 0: the log is empty
    struct rebuild all[SERVICES_MAX];
    size_t count;
};

// ---------------------------------------------------------------------------------------------- which, until

static int choose_services(struct replay *replay)
{
    size_t index = 0;

    for (const char *name = option_next(replay->console, "service", &index); name != NULL;
         name = option_next(replay->console, "service", &index)) {
        const char *const *known = service_names;
        while (*known != NULL && strcmp(*known, name) != 0)
            known++;
        if (*known == NULL)
            return fault(
                EXIT_USAGE,
                "there is no service %s; intake, approval, evaluation, allocation, payment and reporting "
                "are",
                name);
        for (size_t i = 0; i < replay->count; i++)
            if (strcmp(replay->all[i].service, *known) == 0)
                return fault(EXIT_USAGE, "--service %s is given twice", name);
        replay->all[replay->count++].service = *known;
    }
    for (size_t i = 0; replay->count == 0 && service_names[i] != NULL; i++)
        replay->all[i].service = service_names[i];
    while (replay->all[replay->count].service != NULL)
        replay->count++;
    for (size_t i = 0; i < replay->count; i++)
        replay->all[i].schema = tools_schema(replay->console->ground, replay->prefix, replay->all[i].service);
    return EXIT_DONE;
}

// One position for all, so that the rebuilt schemas fit each other also while the log grows.
static int choose_position(struct replay *replay)
{
    const char *text = option_text(replay->console, "until");
    const Eventlog__V1__Head *head;

    if (text != NULL)
        return position_argument(replay->console, "until", text, &replay->until);
    int code = read_head(replay->console, &head);
    if (code == EXIT_DONE)
        replay->until = head->position;
    return code;
}

// What is rebuilt, under the prefix that this option names, and the schema where that is noted.
static int begin(struct replay *replay, const char *option)
{
    int code = tools_prefix(replay->console, option, &replay->prefix);

    if (code == EXIT_DONE)
        code = choose_services(replay);
    if (code == EXIT_DONE)
        code = choose_position(replay);
    return code == EXIT_DONE ? tools_open(replay->console, replay->prefix) : code;
}

// ----------------------------------------------------------------------------------------------------- notes

// Forget what an earlier replay noted; what it made is dropped where asked to.
static status_t make_room_for(struct replay *replay, const char *service, bool again)
{
    struct message *message = &replay->console->message;
    const char *schema = tools_schema(message->arena, replay->prefix, service);
    struct rows rows;

    status_t status = RUN(message, find_schema, &rows, TEXT(schema));
    if (status == OK && rows.count > 0 && !again)
        status = fail(message, REFUSED, "%s is there already; --again drops it and begins anew", schema);
    if (status == OK)
        status = RUN(message, forget_rebuilt, NULL, TEXT(service));
    if (status == OK && again)
        status = RUN(message, drop_rebuilt, NULL, TEXT(replay->prefix), TEXT(service));
    return status;
}

static int make_room(struct replay *replay)
{
    struct message *message = &replay->console->message;
    bool again = option_text(replay->console, "again") != NULL;

    status_t status = db_begin(message);
    for (size_t i = 0; status == OK && i < replay->count; i++)
        status = make_room_for(replay, replay->all[i].service, again);
    if (status == OK)
        status = db_commit(message);
    if (status == OK)
        return EXIT_DONE;
    db_rollback(message);
    return tools_fault(replay->console);
}

static int note(struct replay *replay, const struct rebuild *rebuild)
{
    struct message *message = &replay->console->message;

    status_t status = db_begin(message);
    if (status == OK)
        status = RUN(message, keep_rebuilt, NULL, TEXT(rebuild->service), INT((int64_t)replay->until));
    if (status == OK)
        status = db_commit(message);
    if (status != OK)
        db_rollback(message);
    return status == OK ? EXIT_DONE : tools_fault(replay->console);
}

static int note_all(struct replay *replay)
{
    int code = EXIT_DONE;

    for (size_t i = 0; i < replay->count; i++)
        if (replay->all[i].well && note(replay, &replay->all[i]) != EXIT_DONE)
            code = EXIT_REFUSED;
    return code;
}

// Bring the tables to `until`, and note what came of it, also of those that went well beside one that did not.
static int rebuild(struct replay *replay, bool again)
{
    for (size_t i = 0; i < replay->count; i++) {
        replay->all[i].until = replay->until;
        replay->all[i].again = again;
    }
    int code = rebuild_all(replay->console, replay->all, replay->count);
    int noted = note_all(replay);
    return code == EXIT_DONE ? noted : code;
}

static void print_all(const struct replay *replay)
{
    static const struct column columns[] = {
        {"schema", false}, {"events", true}, {"parked", true}, {NULL, false}};
    arena_t *arena = replay->console->ground;
    table_t *table = table_new(arena, columns);
    json_t *list = json_array();

    for (size_t i = 0; i < replay->count; i++) {
        const struct rebuild *one = &replay->all[i];

        table_row(table,
                  (const char *[]){one->schema, arena_printf(arena, "%llu", (unsigned long long)one->events),
                                   arena_printf(arena, "%llu", (unsigned long long)one->parked)});
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I}", "service", one->service, "schema",
                                              one->schema, "events", (json_int_t)one->events, "parked",
                                              (json_int_t)one->parked));
    }
    if (replay->console->json) {
        json_t *output = json_pack("{s:I, s:o}", "position", (json_int_t)replay->until, "services", list);
        json_dumpf(output, stdout, JSON_INDENT(1));
        putchar('\n');
        json_decref(output);
        return;
    }
    json_decref(list);
    printf("rebuilt up to position %llu\n\n", (unsigned long long)replay->until);
    table_print(table, stdout);
}

// ----------------------------------------------------------------------------------------------------- watch

static int watch_argument(struct console *console, long *ret_s)
{
    const char *text = option_text(console, "watch");
    char *end;

    *ret_s = 0;
    if (text == NULL)
        return EXIT_DONE;
    *ret_s = strtol(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || *ret_s < 1 || *ret_s > WATCH_MAX_S)
        return fault(EXIT_USAGE, "--watch must be 1..%d seconds, not '%s'", WATCH_MAX_S, text);
    if (option_text(console, "until") != NULL)
        return fault(EXIT_USAGE, "--watch follows the log: it has no --until");
    return EXIT_DONE;
}

// One service, as soon as it stands where its tables stand; a busy one may not do so in time.
static int compare_one(const struct console *console, struct comparison *at, const struct rebuild *one,
                       const char **ret_why)
{
    int64_t until_ms = clock_stopwatch_ms() + TRIES_MS;
    int code;

    do {
        code = comparison_service(at, one->service, one->position, ret_why);
        if (code != EXIT_DONE || *ret_why == NULL)
            return code;
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    } while (!stop_wanted(console) && clock_stopwatch_ms() < until_ms);
    return code;
}

static void tell_round(struct replay *replay, int compared, const char *why)
{
    unsigned long long position = replay->until;

    if (replay->console->json) {
        json_t *line = json_pack("{s:s, s:I, s:i, s:i, s:s*}", "watch", why == NULL ? "equal" : "busy",
                                 "position", (json_int_t)position, "compared", compared, "services",
                                 (int)replay->count, "reason", why);
        json_dumpf(line, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(line);
    } else if (why == NULL) {
        printf("equal at position %llu: %d services\n", position, compared);
    } else {
        printf("at position %llu %d of %zu services compared, equal; %s\n", position, compared, replay->count,
               why);
    }
    fflush(stdout);
}

static int alarm_of(struct replay *replay, struct comparison *at)
{
    if (!replay->console->json) {
        printf("ALARM: the live tables have drifted from the log at position %llu\n",
               (unsigned long long)replay->until);
        return comparison_tell(at);
    }
    json_t *line = comparison_json(at);
    json_object_set_new(line, "watch", json_string("alarm"));
    json_object_set_new(line, "position", json_integer((json_int_t)replay->until));
    json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(line);
    return comparison_fault(at);
}

static int compare_round(struct replay *replay)
{
    struct comparison *at = comparison_new(replay->console, replay->prefix);
    const char *why, *first = NULL;
    int code = EXIT_DONE, compared = 0;

    for (size_t i = 0; code == EXIT_DONE && !stop_wanted(replay->console) && i < replay->count; i++) {
        code = compare_one(replay->console, at, &replay->all[i], &why);
        compared += code == EXIT_DONE && why == NULL;
        if (code == EXIT_DONE && first == NULL)
            first = why;
    }
    if (code == EXIT_DONE && comparison_different(at) > 0)
        code = alarm_of(replay, at);
    else if (code == EXIT_DONE && !stop_wanted(replay->console))
        tell_round(replay, compared, first);
    comparison_destroy(&at);
    return code;
}

static void rest(const struct console *console, long seconds)
{
    int64_t until_ms = clock_stopwatch_ms() + seconds * 1000;

    while (!stop_wanted(console) && clock_stopwatch_ms() < until_ms)
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
}

// Follow the log, round after round, from where the tables stand, until they differ or we are asked to stop.
static int watch(struct replay *replay, long seconds)
{
    int code = compare_round(replay);

    while (code == EXIT_DONE && !stop_wanted(replay->console)) {
        rest(replay->console, seconds);
        if (stop_wanted(replay->console))
            break;
        arena_reset(replay->console->arena);
        code = choose_position(replay);
        if (code == EXIT_DONE)
            code = rebuild(replay, true);
        if (code == EXIT_DONE)
            code = compare_round(replay);
    }
    return stop_wanted(replay->console) && code != EXIT_DIFFERENT ? EXIT_DONE : code;
}

// ----------------------------------------------------------------------------------------------------- state

static void tell_state(const struct replay *replay)
{
    unsigned long long position = replay->until;

    if (replay->console->json)
        printf("{\"state\": \"equal\", \"position\": %llu, \"services\": %zu}\n", position, replay->count);
    else
        printf("equal: the tables of %zu services are what comes of the events up to position %llu\n",
               replay->count, position);
}

// Every service must come to a moment at which its tables stand where the rebuilt ones do.
static int compare_state(struct replay *replay)
{
    struct comparison *at = comparison_new(replay->console, replay->prefix);
    const char *why = NULL;
    int code = EXIT_DONE;

    for (size_t i = 0; code == EXIT_DONE && why == NULL && i < replay->count; i++)
        code = compare_one(replay->console, at, &replay->all[i], &why);
    if (code == EXIT_DONE && comparison_different(at) > 0)
        code = comparison_tell(at);
    else if (code == EXIT_DONE && why != NULL)
        code = fault(EXIT_REFUSED, "the state could not be compared: %s; try again when less comes in", why);
    comparison_destroy(&at);
    return code;
}

// What differs stays, to be looked at.
static int drop_state(const struct replay *replay)
{
    int code = EXIT_DONE;

    for (size_t i = 0; code == EXIT_DONE && i < replay->count; i++)
        code = tools_drop(replay->console, replay->all[i].schema);
    return code == EXIT_DONE
               ? tools_drop(replay->console, tools_schema(replay->console->ground, replay->prefix, "tools"))
               : code;
}

int verify_state(struct console *console)
{
    struct replay *replay = arena_alloc(console->ground, sizeof *replay);

    replay->console = console;
    int code = begin(replay, "state");
    if (code != EXIT_DONE)
        return code;
    code = make_room(replay);
    if (code == EXIT_DONE)
        code = rebuild(replay, false);
    if (code == EXIT_DONE)
        code = compare_state(replay);
    if (code == EXIT_DONE)
        code = drop_state(replay);
    if (code == EXIT_DONE)
        tell_state(replay);
    tools_close(console);
    return code;
}

// ---------------------------------------------------------------------------------------------------- replay

static int replay_in_tools(struct replay *replay, long watch_s)
{
    int code = make_room(replay);

    if (code == EXIT_DONE)
        code = rebuild(replay, false);
    if (code == EXIT_DONE && watch_s > 0)
        return watch(replay, watch_s);
    if (code == EXIT_DONE)
        print_all(replay);
    return code;
}

static int run_replay(struct console *console)
{
    struct replay *replay = arena_alloc(console->ground, sizeof *replay);
    long watch_s;

    replay->console = console;
    int code = watch_argument(console, &watch_s);
    if (code == EXIT_DONE)
        code = begin(replay, "into");
    if (code != EXIT_DONE)
        return code;
    code = replay_in_tools(replay, watch_s);
    tools_close(console);
    return code;
}

static const struct option_row replay_options[] = {
    {"into", "PREFIX", "the schemas to make: PREFIX_intake, PREFIX_approval ..."},
    {"until", "POSITION|INSTANT", "rebuild what the log held then; else all of it"},
    {"service", "NAME", "only this service; may be repeated"},
    {"again", NULL, "drop what an earlier replay into PREFIX made, and begin anew"},
    {"watch", "SECONDS", "follow the log and compare every so often, until the tables differ"},
    {NULL, NULL, NULL},
};
static const struct option_row compare_options[] = {
    {"with", "PREFIX", "what replay rebuilt: PREFIX_intake, PREFIX_approval ..."},
    {NULL, NULL, NULL},
};

const struct command commands_replay[] = {
    {"replay", "", 0, 0, "rebuild the services' tables from the log, in schemas of their own",
     "Each service's own program does it, through the very functions that wrote the live tables; nothing is "
     "decided again and the live tables are not touched. Needs MIGRATE_URL, the owner's database. "
     "PREFIX_tools notes what was rebuilt. Schemas that are there already are left alone: refused without "
     "--again.\n"
     "With --watch the rebuilt tables follow the log and are compared every so many seconds: a line each "
     "time (JSON with --json), until they differ (an alarm line, what differs, exit code 4) or it is stopped "
     "(exit code 0). A service that never stands still is said to be busy and compared the next time.",
     replay_options, run_replay},
    {"compare", "", 0, 0, "compare the live tables with rebuilt ones, row by row",
     "Every table of every rebuilt service, every row in order of its primary key, every column. Exit code "
     "4 with a list of what differs, at most twenty values a table, and of the last events behind the first "
     "rows that differ. Refused while a live service lags behind the rebuilt tables, or the log has grown "
     "past them. Needs MIGRATE_URL.",
     compare_options, run_compare},
    {NULL},
};
