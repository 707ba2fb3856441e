// clock: the calendar that rules and timers see, and the stopwatch that timeouts use.
//
// There is one calendar in a stack: the broker's. It stamps every command with it and tells it to all others
// once a second. In production it is the real clock; in a rehearsal it may be moved. Rules never call this
// module: their time comes with the message.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// The stopwatch, milliseconds; never goes back (CLOCK_MONOTONIC). For timeouts only.
int64_t clock_stopwatch_ms(void);

// The real clock, UTC microseconds.
int64_t clock_real_us(void);

// The calendar, UTC microseconds: the real clock until clock_set was called.
int64_t clock_calendar_us(void);

// Has the broker told the calendar yet? Until then nothing may be held to be due: a process of a rehearsal that was just
// started would take the real clock for the calendar.
bool clock_told(void);

// Follow the broker: it is now_us, and from here the calendar runs on, or stands still.
void clock_set(int64_t now_us, bool stands_still);
