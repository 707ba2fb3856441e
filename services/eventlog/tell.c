// tell: how far a long reading of the log is, for whoever waits for it.
#include "eventlog.h"

#include "clock/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MS 1000  // on a terminal one line that changes, elsewhere a line every other second

void tell_progress(int64_t *told_ms, const char *what, uint64_t done, uint64_t all)
{
    bool terminal = isatty(STDERR_FILENO);
    int64_t now_ms = clock_stopwatch_ms();

    if (*told_ms == 0)
        *told_ms = now_ms;
    if (now_ms - *told_ms < (terminal ? LINE_MS : 2 * LINE_MS))
        return;
    *told_ms = now_ms;
    fprintf(stderr, terminal ? "\r%s: %" PRIu64 " of %" PRIu64 "\033[K" : "%s: %" PRIu64 " of %" PRIu64 "\n",
            what, done, all);
}

void tell_progress_end(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}
