// rebuild: the services' programs at work, side by side.
#include "rebuild.h"

#include "limits/limits.h"
#include "values/values.h"

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

#define POLL_MS      200
#define PROGRAMS_MAX 8

// ---------------------------------------------------------------------------------------------- the programs

const char *rebuild_program(arena_t *arena, const char *service)
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

// Its standard input, output and error; -1: /dev/null, /dev/null and ours. A child takes signals as any program
// does, whatever we have blocked for ourselves.
static int spawn(const char *program, char *const words[], int input, int output, int error, pid_t *ret)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;

    posix_spawn_file_actions_init(&actions);
    if (input >= 0)
        posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    else
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    if (error >= 0)
        posix_spawn_file_actions_adddup2(&actions, error, STDERR_FILENO);
    posix_spawnattr_init(&attributes);
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int code = posix_spawnp(ret, program, &actions, &attributes, words, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

static bool start(struct console *console, struct rebuild *one)
{
    arena_t *arena = console->arena;
    char *program = arena_text(arena, rebuild_program(arena, one->service));
    char *until = arena_printf(arena, "%llu", (unsigned long long)one->until);
    char *words[] = {program, one->again ? "--replay-on" : "--replay", arena_text(arena, one->schema),
                     one->until > 0 ? until : NULL, NULL};
    int pipes[2];

    one->output = -1;
    one->well = false;
    one->used = 0;
    one->why[0] = '\0';
    if (pipe2(pipes, O_CLOEXEC) != 0) {
        snprintf(one->why, sizeof one->why, "no pipe can be made: %s", strerror(errno));
        return false;
    }
    int error = spawn(program, words, -1, pipes[1], pipes[1], &one->pid);
    close(pipes[1]);
    if (error != 0) {
        close(pipes[0]);
        snprintf(one->why, sizeof one->why, "%s cannot be started: %s", program, strerror(error));
        return false;
    }
    one->output = pipes[0];
    return true;
}

// A line the program wrote: how far it is, or something else, of which the last is kept.
static void take_line(struct rebuild *one, const char *line)
{
    json_t *said = json_loads(line, 0, NULL);
    const json_t *position = json_object_get(said, "position");

    if (json_is_integer(position) && json_object_get(said, "events") != NULL) {
        one->position = (uint64_t)json_integer_value(position);
        one->events = (uint64_t)json_integer_value(json_object_get(said, "events"));
        one->parked = (uint64_t)json_integer_value(json_object_get(said, "parked"));
    } else if (line[0] != '\0') {
        // Programs log JSON; of that the sentence is for people.
        const char *what = json_string_value(json_object_get(said, "what"));
        const char *reason = json_string_value(json_object_get(said, "reason"));
        snprintf(one->why, sizeof one->why, "%s%s%s", what != NULL ? what : line,
                 what != NULL && reason != NULL ? ": " : "", what != NULL && reason != NULL ? reason : "");
    }
    json_decref(said);
}

static int ended(pid_t pid)
{
    int state;

    while (waitpid(pid, &state, 0) < 0 && errno == EINTR)
        continue;
    return state;
}

static void finish(struct rebuild *one)
{
    one->line[one->used] = '\0';
    take_line(one, one->line);
    close(one->output);
    one->output = -1;
    int state = ended(one->pid);
    one->well = WIFEXITED(state) && WEXITSTATUS(state) == 0;
    if (!one->well && one->why[0] == '\0')
        snprintf(one->why, sizeof one->why, "it ended with %s %d", WIFEXITED(state) ? "code" : "signal",
                 WIFEXITED(state) ? WEXITSTATUS(state) : WTERMSIG(state));
}

static void read_output(struct rebuild *one)
{
    ssize_t size = read(one->output, one->line + one->used, sizeof one->line - 1 - one->used);

    if (size < 0 && errno == EINTR)
        return;
    if (size <= 0) {
        finish(one);
        return;
    }
    one->used += (size_t)size;
    one->line[one->used] = '\0';
    char *begin = one->line, *end;
    for (; (end = strchr(begin, '\n')) != NULL; begin = end + 1) {
        *end = '\0';
        take_line(one, begin);
    }
    one->used -= (size_t)(begin - one->line);
    memmove(one->line, begin, one->used);
    if (one->used == sizeof one->line - 1)
        one->used = 0;  // nobody writes lines that long; what does is not progress
}

static void stop_all(struct rebuild all[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (all[i].output >= 0)
            kill(all[i].pid, SIGTERM);
}

static size_t look_at_all(struct rebuild all[], size_t count, struct pollfd sockets[])
{
    uint64_t done = 0, sum = 0;
    size_t running = 0;

    for (size_t i = 0; i < count; i++) {
        sockets[i] = (struct pollfd){.fd = all[i].output, .events = POLLIN};
        running += all[i].output >= 0;
        done += all[i].output >= 0 ? all[i].position : all[i].until;
        sum += all[i].until;
    }
    progress("rebuilding", done, sum);
    return running;
}

// Until every program has ended.
static void watch(const struct console *console, struct rebuild all[], size_t count)
{
    struct pollfd sockets[PROGRAMS_MAX];
    bool stopping = false;

    while (look_at_all(all, count, sockets) > 0) {
        if (!stopping && stop_wanted(console)) {
            stop_all(all, count);
            stopping = true;
        }
        if (poll(sockets, count, POLL_MS) <= 0)
            continue;
        for (size_t i = 0; i < count; i++)
            if (sockets[i].fd >= 0 && sockets[i].revents != 0)
                read_output(&all[i]);
    }
    progress_end();
}

static int judge(const struct rebuild *one)
{
    if (!one->well)
        return fault(EXIT_REFUSED, "%s was not rebuilt: %s", one->service, one->why);
    if (one->position != one->until)
        return fault(EXIT_REFUSED, "%s was only rebuilt up to position %llu of %llu: the log has a gap",
                     one->service, (unsigned long long)one->position, (unsigned long long)one->until);
    return EXIT_DONE;
}

int rebuild_all(struct console *console, struct rebuild all[], size_t count)
{
    int code = EXIT_DONE;
    bool started = true;

    assert(count <= PROGRAMS_MAX);
    for (size_t i = 0; i < count; i++)
        all[i].output = -1;
    for (size_t i = 0; started && i < count; i++)
        started = start(console, &all[i]);
    if (!started)
        stop_all(all, count);
    watch(console, all, count);
    if (stop_wanted(console))
        return fault(EXIT_REFUSED, "stopped before all was rebuilt");
    for (size_t i = 0; i < count; i++)
        if (judge(&all[i]) != EXIT_DONE)
            code = EXIT_REFUSED;
    return code;
}

// ------------------------------------------------------------------------------------ one question, one answer

// The input is small enough for a pipe: it is written before anything is read. A program that ended meanwhile is
// a fault to tell, no signal.
static bool feed(int input, const uint8_t *bytes, size_t size)
{
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    bool well = true;

    while (well && size > 0) {
        ssize_t written = write(input, bytes, size);
        if (written > 0) {
            bytes += written;
            size -= (size_t)written;
        }
        well = written >= 0 || errno == EINTR;
    }
    signal(SIGPIPE, before);
    return well;
}

static bool take(int output, uint8_t *ret, size_t *ret_size)
{
    uint8_t beyond[4096];
    size_t used = 0, room = ret != NULL ? *ret_size : 0;
    ssize_t size;

    do {
        bool keep = used < room;
        size = read(output, keep ? ret + used : beyond, keep ? room - used : sizeof beyond);
        if (size > 0 && keep)
            used += (size_t)size;
        else if (size > 0 && ret != NULL)
            return false;
    } while (size > 0 || (size < 0 && errno == EINTR));
    if (ret != NULL)
        *ret_size = used;
    return size == 0;
}

bool rebuild_run(struct console *console, const char *service, const char *const words[],
                 const uint8_t *input, size_t size, uint8_t *ret, size_t *ret_size, const char **ret_why)
{
    arena_t *arena = console->arena;
    char *program = arena_text(arena, rebuild_program(arena, service));
    char *copies[8] = {program};
    int in[2], out[2];
    pid_t pid;

    for (size_t i = 1; words[i] != NULL; i++)
        copies[i] = arena_text(arena, words[i]);
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) {
        *ret_why = arena_printf(arena, "no pipe can be made: %s", strerror(errno));
        return false;
    }
    fcntl(in[1], F_SETPIPE_SZ, LIMIT_FRAME_BYTES);
    int error = spawn(program, copies, in[0], out[1], -1, &pid);
    close(in[0]);
    close(out[1]);
    if (error != 0) {
        close(in[1]);
        close(out[0]);
        *ret_why = arena_printf(arena, "%s cannot be started: %s", program, strerror(error));
        return false;
    }
    bool well = feed(in[1], input, size);
    close(in[1]);
    well = take(out[0], ret, ret_size) && well;
    close(out[0]);
    int state = ended(pid);
    if (well && WIFEXITED(state) && WEXITSTATUS(state) == 0)
        return true;
    *ret_why = arena_printf(arena, "%s %s gave no answer", program, words[1]);
    return false;
}

// ------------------------------------------------------------------------------------------ positions, instants

// What the walk to an instant found.
struct found {
    uint64_t position;
    int64_t first_us, last_us;
};

static int find_instant(struct console *console, int64_t at_us, uint64_t head, struct found *ret)
{
    pages_t *pages = pages_begin(console, 0, head);
    const Eventlog__V1__Page *page;
    int code = EXIT_DONE;

    *ret = (struct found){0};
    for (uint64_t after = 0; code == EXIT_DONE && after < head;) {
        code = pages_read(console, pages, &page);
        if (code == EXIT_DONE && page->n_entries == 0)
            break;
        for (size_t i = 0; code == EXIT_DONE && i < page->n_entries; i++) {
            const Eventlog__V1__Entry *entry = page->entries[i];
            after = entry->position;
            if (after == 1)
                ret->first_us = entry->appended_at_us;
            if (entry->appended_at_us > ret->last_us)
                ret->last_us = entry->appended_at_us;
            if (entry->appended_at_us <= at_us)
                ret->position = after;
        }
        progress("looking for the instant", after, head);
    }
    progress_end();
    pages_destroy(&pages);
    return code;
}

int position_argument(struct console *console, const char *option, const char *text, uint64_t *ret)
{
    const Eventlog__V1__Head *log;
    struct found found;
    int64_t at_us;

    int code = read_head(console, &log);
    if (code != EXIT_DONE)
        return code;
    uint64_t head = log->position;
    if (text[0] != '\0' && strspn(text, "0123456789") == strlen(text)) {
        *ret = strtoull(text, NULL, 10);
        if (*ret >= 1 && *ret <= head)
            return EXIT_DONE;
        return fault(EXIT_USAGE, "--%s %s is not a position of the log, which has 1..%llu", option, text,
                     (unsigned long long)head);
    }
    code = instant_argument(arena_printf(console->ground, "--%s", option), text, &at_us);
    if (code == EXIT_DONE)
        code = find_instant(console, at_us, head, &found);
    if (code != EXIT_DONE)
        return code;
    if (found.position == 0)
        return fault(EXIT_REFUSED, "the log held nothing at %s%s%s", text, head > 0 ? "; it began " : "",
                     head > 0 ? oslo_text(console->arena, found.first_us) : "");
    if (at_us > found.last_us)
        return fault(EXIT_REFUSED, "%s is after the log's head, which was stored %s: position %llu", text,
                     oslo_text(console->arena, found.last_us), (unsigned long long)head);
    *ret = found.position;
    return EXIT_DONE;
}
