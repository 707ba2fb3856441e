// The calendar follows the broker; the stopwatch follows nobody.
#include "clock/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define SECOND INT64_C(1000000)

// First, while nobody has set it.
static void the_calendar_is_the_real_clock_until_it_is_set(void **state)
{
    (void)state;
    int64_t before = clock_real_us(), calendar = clock_calendar_us(), after = clock_real_us();
    assert_true(before <= calendar && calendar <= after);
    assert_false(clock_told());
    assert_true(before / SECOND - time(NULL) <= 1 && time(NULL) - before / SECOND <= 1);
}

static void a_calendar_that_runs_runs_on_from_where_it_was_set(void **state)
{
    (void)state;
    clock_set(1718402399 * SECOND, false);
    assert_true(clock_told());
    usleep(20000);
    int64_t now = clock_calendar_us();
    assert_true(now >= 1718402399 * SECOND + 20000);
    assert_true(now < 1718402399 * SECOND + 10 * SECOND);
}

static void a_calendar_that_stands_still_stands_until_it_is_set_again(void **state)
{
    (void)state;
    clock_set(1718402400 * SECOND, true);
    usleep(5000);
    assert_true(clock_calendar_us() == 1718402400 * SECOND);
    clock_set(7 * SECOND, true);
    assert_true(clock_calendar_us() == 7 * SECOND);
}

static void the_stopwatch_counts_milliseconds_whatever_the_calendar_does(void **state)
{
    (void)state;
    int64_t from = clock_stopwatch_ms();
    clock_set(0, true);
    usleep(20000);
    int64_t passed = clock_stopwatch_ms() - from;
    assert_true(passed >= 19 && passed < 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_calendar_is_the_real_clock_until_it_is_set),
        cmocka_unit_test(a_calendar_that_runs_runs_on_from_where_it_was_set),
        cmocka_unit_test(a_calendar_that_stands_still_stands_until_it_is_set_again),
        cmocka_unit_test(the_stopwatch_counts_milliseconds_whatever_the_calendar_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
