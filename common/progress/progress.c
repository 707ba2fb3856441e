// progress: how far a long command is.
#include "progress/progress.h"

#include "clock/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINES_MS 2000

// What standard error shows now. The process has one, so this is one of it.
static struct {
    const char *what;  // NULL: nothing under way
    int64_t began_ms, told_ms;
    uint64_t first;
    bool shown;
} bar;

static unsigned long long rate(uint64_t done, int64_t now_ms)
{
    if (done < bar.first || now_ms <= bar.began_ms)
        return 0;
    return (done - bar.first) * 1000 / (uint64_t)(now_ms - bar.began_ms);
}

static void draw(const char *what, uint64_t done, uint64_t all, unsigned long long per_second)
{
    static const char full[] = "########################################";
    int width = (int)sizeof full - 1;
    uint64_t part = all == 0 ? 0 : done < all ? done : all;

    bar.shown = true;
    if (all == 0)
        fprintf(stderr, "\r%s %llu, %llu a second\033[K", what, (unsigned long long)done, per_second);
    else
        fprintf(stderr, "\r%s [%-*.*s] %llu of %llu, %llu a second\033[K", what, width,
                (int)((double)part * width / (double)all), full, (unsigned long long)done,
                (unsigned long long)all, per_second);
}

void progress(const char *what, uint64_t done, uint64_t all)
{
    int64_t now_ms = clock_stopwatch_ms();

    if (bar.what == NULL || strcmp(bar.what, what) != 0) {
        bar.what = what;
        bar.began_ms = bar.told_ms = now_ms;
        bar.first = done;
    }
    if (isatty(STDERR_FILENO)) {
        draw(what, done, all, rate(done, now_ms));
    } else if (now_ms - bar.told_ms >= LINES_MS) {
        bar.told_ms = now_ms;
        fprintf(stderr, "%s: %llu of %llu, %llu a second\n", what, (unsigned long long)done,
                (unsigned long long)all, rate(done, now_ms));
    }
}

void progress_end(void)
{
    if (bar.shown)
        fputs("\r\033[K", stderr);
    bar.shown = false;
    bar.what = NULL;
}
