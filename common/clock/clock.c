// clock: the stopwatch, the real clock, and the calendar that follows the broker.
#include "clock/clock.h"

#include <assert.h>
#include <time.h>

// One calendar in a process, as there is one in the stack: this is what "unavoidable global" means.
static struct {
    bool followed;  // clock_set was called
    bool stands_still;
    int64_t set_us;     // what the calendar showed then
    int64_t set_at_us;  // the stopwatch then
} calendar;

static int64_t read_us(clockid_t id)
{
    struct timespec now;
    int failed = clock_gettime(id, &now);
    assert(!failed);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_stopwatch_ms(void)
{
    return read_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_real_us(void)
{
    return read_us(CLOCK_REALTIME);
}

int64_t clock_calendar_us(void)
{
    if (!calendar.followed)
        return clock_real_us();
    if (calendar.stands_still)
        return calendar.set_us;
    // By the stopwatch, so that a jump of this machine's clock moves nothing.
    return calendar.set_us + read_us(CLOCK_MONOTONIC) - calendar.set_at_us;
}

bool clock_told(void)
{
    return calendar.followed;
}

void clock_set(int64_t now_us, bool stands_still)
{
    calendar.followed = true;
    calendar.stands_still = stands_still;
    calendar.set_us = now_us;
    calendar.set_at_us = read_us(CLOCK_MONOTONIC);
}
