// replay: have every service rebuild its tables from the log, each by its own program and its own apply
// functions, side by side. The console knows nothing of what they do: it starts them, shows how far they are,
// and notes what came of it.
#include "tools.h"

#include "table.h"

#include "console_replay.sql.h"
#include "values/values.h"
#include "limits/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SERVICES_MAX 8
#define LINE_BYTES   4096
#define POLL_MS      1000

// One service's program at work.
struct rebuild {
    const char *service;
    pid_t pid;
    int output;  // its standard output and error; -1 when it has ended
    char line[LINE_BYTES];
    size_t used;
    char last[LINE_BYTES];  // the last line that was no progress: why it failed
    uint64_t position, events, parked;
    bool well;
};

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
    return EXIT_DONE;
}

// The last event that was appended at or before an instant. All are looked at: a rehearsal's calendar may
// have gone back.
static int position_at(struct console *console, int64_t at_us, uint64_t head, uint64_t *ret)
{
    const Eventlog__V1__Page *page;
    int code = EXIT_DONE;

    *ret = 0;
    for (uint64_t after = 0; code == EXIT_DONE && after < head;) {
        arena_reset(console->arena);
        code = read_page(console, after, LIMIT_PAGE_ENTRIES, &page);
        if (code == EXIT_DONE && page->n_entries == 0)
            break;
        for (size_t i = 0; code == EXIT_DONE && i < page->n_entries; i++) {
            after = page->entries[i]->position;
            if (page->entries[i]->appended_at_us <= at_us)
                *ret = after;
        }
        progress("looking for the instant", after, head);
    }
    return code;
}

// One position for all, so that the rebuilt schemas fit each other also while the log grows.
static int choose_position(struct replay *replay)
{
    const char *text = option_text(replay->console, "until");
    const Eventlog__V1__Head *head;
    int64_t at_us;
    char *end;

    int code = read_head(replay->console, &head);
    if (code != EXIT_DONE)
        return code;
    replay->until = head->position;
    if (text == NULL)
        return EXIT_DONE;
    if (text[0] != '\0' && strspn(text, "0123456789") == strlen(text)) {
        uint64_t position = strtoull(text, &end, 10);
        if (position < 1 || position > head->position)
            return fault(EXIT_USAGE, "--until %s is not a position of the log, which has 1..%llu", text,
                         (unsigned long long)head->position);
        replay->until = position;
        return EXIT_DONE;
    }
    code = instant_argument("--until", text, &at_us);
    if (code == EXIT_DONE)
        code = position_at(replay->console, at_us, head->position, &replay->until);
    progress_end();
    if (code == EXIT_DONE && replay->until == 0)
        return fault(EXIT_REFUSED, "the log held nothing at %s", text);
    return code;
}

// ---------------------------------------------------------------------------------------------- the programs

// Beside this program, one folder up as in the build tree, or wherever PATH finds it.
static const char *program_of(arena_t *arena, const char *service)
{
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);

    self[length > 0 ? length : 0] = '\0';
    const char *folder = dirname(self);
    const char *places[] = {arena_printf(arena, "%s/tildel-%s", folder, service),
                            arena_printf(arena, "%s/../tildel-%s", folder, service)};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return arena_printf(arena, "tildel-%s", service);
}

static int start(struct replay *replay, struct rebuild *rebuild)
{
    arena_t *arena = replay->console->ground;
    char *program = arena_text(arena, program_of(arena, rebuild->service));
    char *until = arena_printf(arena, "%llu", (unsigned long long)replay->until);
    char *words[] = {program, "--replay", tools_schema(arena, replay->prefix, rebuild->service),
                     replay->until > 0 ? until : NULL, NULL};
    posix_spawn_file_actions_t actions;
    int pipes[2];

    if (pipe2(pipes, O_CLOEXEC) != 0)
        return fault(EXIT_REFUSED, "no pipe can be made: %s", strerror(errno));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], STDERR_FILENO);
    int error = posix_spawnp(&rebuild->pid, program, &actions, NULL, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(pipes[1]);
    rebuild->output = pipes[0];
    if (error != 0) {
        close(pipes[0]);
        rebuild->output = -1;
        return fault(EXIT_REFUSED, "%s cannot be started: %s", program, strerror(error));
    }
    return EXIT_DONE;
}

// A line the program wrote: how far it is, or something else, of which the last is kept.
static void take_line(struct rebuild *rebuild, const char *line)
{
    json_t *said = json_loads(line, 0, NULL);
    const json_t *position = json_object_get(said, "position");

    if (json_is_integer(position) && json_object_get(said, "events") != NULL) {
        rebuild->position = (uint64_t)json_integer_value(position);
        rebuild->events = (uint64_t)json_integer_value(json_object_get(said, "events"));
        rebuild->parked = (uint64_t)json_integer_value(json_object_get(said, "parked"));
    } else if (line[0] != '\0') {
        // Programs log JSON; of that the sentence is for people.
        const char *what = json_string_value(json_object_get(said, "what"));
        const char *reason = json_string_value(json_object_get(said, "reason"));
        snprintf(rebuild->last, sizeof rebuild->last, "%s%s%s", what != NULL ? what : line,
                 what != NULL && reason != NULL ? ": " : "", what != NULL && reason != NULL ? reason : "");
    }
    json_decref(said);
}

static void finish(struct rebuild *rebuild)
{
    int state;

    rebuild->line[rebuild->used] = '\0';
    take_line(rebuild, rebuild->line);
    close(rebuild->output);
    rebuild->output = -1;
    while (waitpid(rebuild->pid, &state, 0) < 0 && errno == EINTR)
        continue;
    rebuild->well = WIFEXITED(state) && WEXITSTATUS(state) == 0;
    if (!rebuild->well && rebuild->last[0] == '\0')
        snprintf(rebuild->last, sizeof rebuild->last, "it ended with %s %d",
                 WIFEXITED(state) ? "code" : "signal",
                 WIFEXITED(state) ? WEXITSTATUS(state) : WTERMSIG(state));
}

static void read_output(struct rebuild *rebuild)
{
    ssize_t size = read(rebuild->output, rebuild->line + rebuild->used,
                        sizeof rebuild->line - 1 - rebuild->used);

    if (size < 0 && errno == EINTR)
        return;
    if (size <= 0) {
        finish(rebuild);
        return;
    }
    rebuild->used += (size_t)size;
    rebuild->line[rebuild->used] = '\0';
    char *start = rebuild->line, *end;
    for (; (end = strchr(start, '\n')) != NULL; start = end + 1) {
        *end = '\0';
        take_line(rebuild, start);
    }
    rebuild->used -= (size_t)(start - rebuild->line);
    memmove(rebuild->line, start, rebuild->used);
    if (rebuild->used == sizeof rebuild->line - 1)
        rebuild->used = 0;  // nobody writes lines that long; what does is not progress
}

// Until every program has ended.
static void watch(struct replay *replay)
{
    struct pollfd sockets[SERVICES_MAX];
    size_t running = 1;

    while (running > 0) {
        uint64_t done = 0;
        running = 0;
        for (size_t i = 0; i < replay->count; i++) {
            sockets[i] = (struct pollfd){.fd = replay->all[i].output, .events = POLLIN};
            running += replay->all[i].output >= 0;
            done += replay->all[i].output >= 0 ? replay->all[i].position : replay->until;
        }
        progress("rebuilding", done, replay->until * replay->count);
        if (running == 0 || poll(sockets, replay->count, POLL_MS) <= 0)
            continue;
        for (size_t i = 0; i < replay->count; i++)
            if (sockets[i].fd >= 0 && sockets[i].revents != 0)
                read_output(&replay->all[i]);
    }
    progress_end();
}

// What was started is never left behind: the others are asked to stop and waited for.
static int start_all(struct replay *replay)
{
    int code = EXIT_DONE;

    for (size_t i = 0; i < replay->count; i++)
        replay->all[i].output = -1;
    for (size_t i = 0; code == EXIT_DONE && i < replay->count; i++)
        code = start(replay, &replay->all[i]);
    for (size_t i = 0; code != EXIT_DONE && i < replay->count; i++)
        if (replay->all[i].output >= 0)
            kill(replay->all[i].pid, SIGTERM);
    watch(replay);
    return code;
}

// ----------------------------------------------------------------------------------------------------- notes

// Forget what an earlier replay noted; what it made is dropped where asked to.
static status_t make_room_for(struct replay *replay, const char *service, bool replace)
{
    struct message *message = &replay->console->message;
    const char *schema = tools_schema(message->arena, replay->prefix, service);
    struct rows rows;

    status_t status = RUN(message, find_schema, &rows, TEXT(schema));
    if (status == OK && rows.count > 0 && !replace)
        status = fail(message, REFUSED, "%s is there already; --replace drops it", schema);
    if (status == OK)
        status = RUN(message, forget_rebuilt, NULL, TEXT(service));
    if (status == OK && replace)
        status = RUN(message, drop_rebuilt, NULL, TEXT(replay->prefix), TEXT(service));
    return status;
}

static int make_room(struct replay *replay)
{
    struct message *message = &replay->console->message;
    bool replace = option_text(replay->console, "replace") != NULL;

    status_t status = db_begin(message);
    for (size_t i = 0; status == OK && i < replay->count; i++)
        status = make_room_for(replay, replay->all[i].service, replace);
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
    int worst = EXIT_DONE;

    for (size_t i = 0; i < replay->count; i++) {
        const struct rebuild *rebuild = &replay->all[i];
        int code;
        if (!rebuild->well)
            code = fault(EXIT_REFUSED, "%s was not rebuilt: %s", rebuild->service, rebuild->last);
        else if (rebuild->position != replay->until)
            code = fault(EXIT_REFUSED, "%s was only rebuilt up to position %llu of %llu: the log has a gap",
                         rebuild->service, (unsigned long long)rebuild->position,
                         (unsigned long long)replay->until);
        else
            code = note(replay, rebuild);
        if (code != EXIT_DONE)
            worst = code;
    }
    return worst;
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
        const char *schema = tools_schema(arena, replay->prefix, one->service);
        table_row(table,
                  (const char *[]){schema, arena_printf(arena, "%llu", (unsigned long long)one->events),
                                   arena_printf(arena, "%llu", (unsigned long long)one->parked)});
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I}", "service", one->service, "schema",
                                              schema, "events", (json_int_t)one->events, "parked",
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

static int run_replay(struct console *console)
{
    struct replay *replay = arena_alloc(console->ground, sizeof *replay);

    replay->console = console;
    int code = tools_prefix(console, "into", &replay->prefix);
    if (code == EXIT_DONE)
        code = choose_services(replay);
    if (code == EXIT_DONE)
        code = choose_position(replay);
    if (code == EXIT_DONE)
        code = tools_open(console, replay->prefix);
    if (code != EXIT_DONE)
        return code;
    code = make_room(replay);
    if (code == EXIT_DONE)
        code = start_all(replay);
    if (code == EXIT_DONE)
        code = note_all(replay);
    if (code == EXIT_DONE)
        print_all(replay);
    tools_close(console);
    return code;
}

static const struct option_row replay_options[] = {
    {"into", "PREFIX", "the schemas to make: PREFIX_intake, PREFIX_approval ..."},
    {"until", "POSITION|INSTANT", "rebuild what the log held then; else all of it"},
    {"service", "NAME", "only this service; may be repeated"},
    {"replace", NULL, "drop what an earlier replay into PREFIX made"},
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
     "PREFIX_tools notes what was rebuilt.",
     replay_options, run_replay},
    {"compare", "", 0, 0, "compare the live tables with rebuilt ones, row by row",
     "Every table of every rebuilt service, every row in order of its primary key, every column. Exit code "
     "4 with a list of what differs, at most twenty values a table. Refused while a live service lags "
     "behind the rebuilt tables, or the log has grown past them. Needs MIGRATE_URL.",
     compare_options, run_compare},
    {NULL},
};
