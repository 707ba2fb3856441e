// Tests of what a person sees of a long command on a terminal, what a script finds in a file, and that whoever asks it to stop
// is heard. The stopwatch stands in the test, so nobody waits.
#include "console.h"

#include "walk.h"

#include "limits/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#define LINE  200
#define ROOM  16384
#define PAGES 5

const struct command *const command_groups[] = {NULL};

static int64_t now_ms;

int64_t __wrap_clock_stopwatch_ms(void);

int64_t __wrap_clock_stopwatch_ms(void)
{
    return now_ms;
}

// --------------------------------------------------------------------------------------------------- standard error

// Standard error is a terminal or a pipe meanwhile; what was written to it can be read at `from`.
struct screen {
    int kept, from;
    char written[ROOM];
    size_t size;
};

static void screen_on(struct screen *screen, int from, int to)
{
    fflush(stderr);
    screen->size = 0;
    screen->from = from;
    screen->kept = dup(STDERR_FILENO);
    assert_true(screen->kept >= 0 && dup2(to, STDERR_FILENO) == STDERR_FILENO);
    close(to);
    assert_int_equal(0, fcntl(from, F_SETFL, O_NONBLOCK));
}

static void a_terminal(struct screen *screen)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);

    assert_true(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    screen_on(screen, terminal, open(ptsname(terminal), O_RDWR | O_NOCTTY));
    assert_true(isatty(STDERR_FILENO));
}

static void a_pipe(struct screen *screen)
{
    int ends[2];

    assert_int_equal(0, pipe(ends));
    screen_on(screen, ends[0], ends[1]);
}

// All that was written so far, as a text.
static const char *written(struct screen *screen)
{
    ssize_t size;

    fflush(stderr);
    while ((size = read(screen->from, screen->written + screen->size, ROOM - 1 - screen->size)) > 0)
        screen->size += (size_t)size;
    screen->written[screen->size] = '\0';
    return screen->written;
}

static void screen_off(struct screen *screen)
{
    fflush(stderr);
    assert_int_equal(STDERR_FILENO, dup2(screen->kept, STDERR_FILENO));
    close(screen->kept);
    close(screen->from);
}

// What stands in the terminal's last line after all of it; the only controls that it understands are ours.
static const char *last_line(struct screen *screen)
{
    static char line[LINE + 1];
    size_t at = 0, length = 0;

    for (const char *c = written(screen); *c != '\0'; c++) {
        if (*c == '\r' || *c == '\n') {
            length = *c == '\n' ? 0 : length;
            at = 0;
        } else if (strncmp(c, "\033[K", 3) == 0) {
            length = at;
            c += 2;
        } else {
            assert_true(*c >= ' ' && at < LINE);
            line[at++] = *c;
            length = at > length ? at : length;
        }
    }
    line[length] = '\0';
    return line;
}

// --------------------------------------------------------------------------------------------------------- the bar

static void a_terminal_shows_a_bar_that_is_gone_at_the_end(void **state)
{
    (void)state;
    struct screen screen;

    a_terminal(&screen);
    progress("reading", 0, 2000);
    assert_string_equal("reading [                                        ] 0 of 2000, 0 a second",
                        last_line(&screen));
    now_ms += 2000;
    progress("reading", 500, 2000);
    assert_string_equal("reading [##########                              ] 500 of 2000, 250 a second",
                        last_line(&screen));
    progress_end();
    assert_string_equal("", last_line(&screen));
    screen_off(&screen);
}

static void a_bar_that_becomes_shorter_leaves_nothing_of_the_longer(void **state)
{
    (void)state;
    struct screen screen;

    a_terminal(&screen);
    progress("reading a great deal", 1000000, 2000000);
    now_ms += 1000;
    progress("reading", 7, 0);
    assert_string_equal("reading 7, 0 a second", last_line(&screen));
    now_ms += 1000;
    progress("reading", 10, 0);
    assert_string_equal("reading 10, 3 a second", last_line(&screen));
    progress_end();
    assert_string_equal("", last_line(&screen));
    screen_off(&screen);
}

static void a_bar_is_never_longer_than_full(void **state)
{
    (void)state;
    struct screen screen;

    a_terminal(&screen);
    progress("reading", 11, 10);
    assert_string_equal("reading [########################################] 11 of 10, 0 a second",
                        last_line(&screen));
    progress_end();
    screen_off(&screen);
}

static void a_fault_stands_on_a_line_of_its_own(void **state)
{
    (void)state;
    struct screen screen;

    a_terminal(&screen);
    progress("reading", 1, 2);
    assert_int_equal(EXIT_REFUSED, fault(EXIT_REFUSED, "it is %s", "raining"));
    const char *all = written(&screen), *bar = strstr(all, "\r\033[K"),
               *sentence = strstr(all, "tildel: it is raining");
    assert_true(bar != NULL && sentence == bar + strlen("\r\033[K"));
    assert_string_equal("", last_line(&screen));
    progress_end();
    assert_string_equal("", last_line(&screen));
    screen_off(&screen);
}

// ------------------------------------------------------------------------------------------------------- the lines

static void a_file_gets_a_line_every_two_seconds_and_no_controls(void **state)
{
    (void)state;
    struct screen screen;
    int64_t told_ms = now_ms;
    size_t seen = 0;
    int lines = 0;

    a_pipe(&screen);
    for (uint64_t done = 0; done <= 1000; done += 10, now_ms += 100) {
        progress("reading", done, 1000);
        const char *new = written(&screen) + seen;
        if (*new != '\0')
            told_ms = now_ms;
        assert_true(now_ms - told_ms < 2000);
        lines += *new != '\0';
        seen = screen.size;
    }
    progress_end();
    const char *all = written(&screen);
    for (const char *c = all; *c != '\0'; c++)
        assert_true(*c == '\n' || (*c >= ' ' && *c <= '~'));
    assert_int_equal(5, lines);
    assert_string_equal("reading: 200 of 1000, 100 a second\nreading: 400 of 1000, 100 a second\n"
                        "reading: 600 of 1000, 100 a second\nreading: 800 of 1000, 100 a second\n"
                        "reading: 1000 of 1000, 100 a second\n",
                        all);
    screen_off(&screen);
}

static void what_takes_less_than_two_seconds_says_nothing_to_a_file(void **state)
{
    (void)state;
    struct screen screen;

    a_pipe(&screen);
    for (int work = 0; work < 3; work++) {  // one after the other, each for itself
        progress("reading", 0, 100);
        now_ms += 1999;
        progress("reading", 100, 100);
        progress_end();
    }
    assert_string_equal("", written(&screen));
    screen_off(&screen);
}

static void another_piece_of_work_begins_anew(void **state)
{
    (void)state;
    struct screen screen;

    a_pipe(&screen);
    progress("looking", 0, 100);
    now_ms += 1500;
    progress("reading", 50, 100);
    now_ms += 1500;
    progress("reading", 60, 100);
    assert_string_equal("", written(&screen));
    now_ms += 500;
    progress("reading", 70, 100);
    assert_string_equal("reading: 70 of 100, 10 a second\n", written(&screen));
    progress_end();
    screen_off(&screen);
}

// --------------------------------------------------------------------------------------------------------- the stop

static struct {
    uint64_t given;       // positions
    unsigned stop_after;  // that many pages a stop is asked for
    int open;             // readers of pages
} log_of;

pages_t *__wrap_pages_begin(struct console *console, uint64_t after, uint64_t until);
int __wrap_pages_read(struct console *console, pages_t *pages, const Eventlog__V1__Page **ret);
void __wrap_pages_destroy(pages_t **pages_p);

pages_t *__wrap_pages_begin(struct console *console, uint64_t after, uint64_t until)
{
    (void)console, (void)after, (void)until;
    log_of.open++;
    return (pages_t *)&log_of;
}

// Pages of one event each.
int __wrap_pages_read(struct console *console, pages_t *pages, const Eventlog__V1__Page **ret)
{
    (void)pages;
    Eventlog__V1__Page *page = arena_alloc(console->arena, sizeof *page);
    Eventlog__V1__Entry *entry = arena_alloc(console->arena, sizeof *entry);

    eventlog__v1__page__init(page);
    eventlog__v1__entry__init(entry);
    entry->position = ++log_of.given;
    page->n_entries = 1;
    page->entries = arena_copy(console->arena, &entry, sizeof entry);
    *ret = page;
    if (log_of.given == log_of.stop_after)
        raise(SIGTERM);
    return EXIT_DONE;
}

void __wrap_pages_destroy(pages_t **pages_p)
{
    log_of.open--;
    *pages_p = NULL;
}

static int visit(void *context, struct console *console, const Eventlog__V1__Entry *entry,
                 const Eventlog__V1__Event *event)
{
    (void)console, (void)event;
    *(uint64_t *)context = entry->position;
    return EXIT_DONE;
}

// As it is once the bus is connected: a signal waits to be looked at.
static sigset_t signals_wait(void)
{
    sigset_t stops, before;

    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    assert_int_equal(0, sigprocmask(SIG_BLOCK, &stops, &before));
    return before;
}

static void signals_go_on(sigset_t before)
{
    sigset_t pending;
    int number;

    for (sigpending(&pending); sigismember(&pending, SIGTERM) || sigismember(&pending, SIGINT);
         sigpending(&pending))
        sigwait(&pending, &number);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static void a_walk(unsigned stop_after, int code, const char *sentence)
{
    struct console console = {.arena = arena_new(LIMIT_ARENA_BYTES), .ground = arena_new(LIMIT_ARENA_BYTES)};
    sigset_t before = signals_wait();
    struct screen screen;
    uint64_t visited = 0;

    console.message = message_new(console.arena);
    memset(&log_of, 0, sizeof log_of);
    log_of.stop_after = stop_after;
    a_terminal(&screen);
    int ended = log_walk(&console, 0, PAGES, "reading", visit, &visited);
    const char *all = written(&screen), *told = strstr(all, "tildel: ");
    const char *rest = last_line(&screen);
    screen_off(&screen);
    assert_int_equal(code, ended);
    assert_int_equal(stop_after != 0 ? stop_after : PAGES, visited);
    assert_true(strstr(all, "reading [") != NULL && rest[0] == '\0' && log_of.open == 0);
    assert_string_equal(sentence, told != NULL ? told : "");
    assert_int_equal(stop_after != 0, stop_wanted(&console));
    signals_go_on(before);
    arena_destroy(&console.arena);
    arena_destroy(&console.ground);
}

static void a_long_read_that_is_stopped_ends_with_one_sentence_and_no_bar(void **state)
{
    (void)state;
    a_walk(0, EXIT_DONE, "");
    a_walk(2, EXIT_REFUSED, "tildel: stopped at position 2\r\n");
}

static void a_stop_by_either_signal_is_wanted(void **state)
{
    (void)state;
    const int numbers[] = {SIGTERM, SIGINT};
    const struct console console = {0};

    for (size_t i = 0; i < 2; i++) {
        sigset_t before = signals_wait();
        assert_false(stop_wanted(&console));
        raise(numbers[i]);
        assert_true(stop_wanted(&console));
        signals_go_on(before);
        assert_false(stop_wanted(&console));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_terminal_shows_a_bar_that_is_gone_at_the_end),
        cmocka_unit_test(a_bar_that_becomes_shorter_leaves_nothing_of_the_longer),
        cmocka_unit_test(a_bar_is_never_longer_than_full),
        cmocka_unit_test(a_fault_stands_on_a_line_of_its_own),
        cmocka_unit_test(a_file_gets_a_line_every_two_seconds_and_no_controls),
        cmocka_unit_test(what_takes_less_than_two_seconds_says_nothing_to_a_file),
        cmocka_unit_test(another_piece_of_work_begins_anew),
        cmocka_unit_test(a_long_read_that_is_stopped_ends_with_one_sentence_and_no_bar),
        cmocka_unit_test(a_stop_by_either_signal_is_wanted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
