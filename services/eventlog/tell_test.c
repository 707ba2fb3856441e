// tell: a line every other second where nobody sees a terminal, one line that changes on a terminal.
#include "eventlog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pty.h>
#include <string.h>
#include <unistd.h>

static int64_t now_ms;

int64_t __wrap_clock_stopwatch_ms(void);
int64_t __wrap_clock_stopwatch_ms(void)
{
    return now_ms;
}

// What ten seconds of reading show, a look every 700 milliseconds, on this standard error; `from` is its other end.
static void assert_shown(int from, int to, const char *expected)
{
    char shown[4096];
    int64_t told_ms = 0;
    int kept = dup(STDERR_FILENO);

    dup2(to, STDERR_FILENO);
    for (uint64_t done = 0; done <= 14; done++) {
        now_ms = 5000 + (int64_t)done * 700;
        tell_progress(&told_ms, "verified", done, 14);
    }
    tell_progress_end();
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(to);
    ssize_t got = 0, more;
    while ((more = read(from, shown + got, sizeof shown - 1 - (size_t)got)) > 0)
        got += more;
    shown[got] = '\0';
    close(from);
    assert_string_equal(expected, shown);
}

static void on_a_pipe_there_is_a_line_every_other_second(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(0, pipe(ends));
    assert_shown(ends[0], ends[1],
                 "verified: 3 of 14\nverified: 6 of 14\nverified: 9 of 14\nverified: 12 of 14\n");
}

static void on_a_terminal_one_line_changes_and_nothing_of_it_stays(void **state)
{
    int here, there;

    (void)state;
    assert_int_equal(0, openpty(&here, &there, NULL, NULL, NULL));
    fcntl(here, F_SETFL, O_NONBLOCK);
    assert_shown(
        here, there,
        "\rverified: 2 of 14\033[K\rverified: 4 of 14\033[K\rverified: 6 of 14\033[K\rverified: 8 of 14\033[K"
        "\rverified: 10 of 14\033[K\rverified: 12 of 14\033[K\rverified: 14 of 14\033[K\r\033[K");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_a_pipe_there_is_a_line_every_other_second),
        cmocka_unit_test(on_a_terminal_one_line_changes_and_nothing_of_it_stays),
    };
    return cmocka_run_group_tests_name("tell", tests, NULL, NULL);
}
