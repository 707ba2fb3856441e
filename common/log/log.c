// log: one JSON object a line on stderr.
//
// A line is put together on the stack and written by one write of at most PIPE_BUF bytes, so that lines of several
// processes on one pipe never mix. What does not fit is cut inside its string; the line stays valid JSON.
#include "log/log.h"
#include "clock/clock.h"
#include "values/text.h"

#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES    PIPE_BUF
#define CLOSING_BYTES 4  // room kept for `"}` and the line feed
#define NUMBERS       8

static const char *service_name = "";

struct line {
    char text[LINE_BYTES];
    size_t used;
    bool full;
};

// Put a piece whole or not at all; after the first that does not fit, nothing more is put.
static bool put(struct line *line, const char *piece, size_t size)
{
    if (line->full || size > sizeof line->text - CLOSING_BYTES - line->used) {
        line->full = true;
        return false;
    }
    memcpy(line->text + line->used, piece, size);
    line->used += size;
    return true;
}

static void put_character(struct line *line, const char **at)
{
    unsigned char first = (unsigned char)**at;
    size_t size = text_character(*at, strnlen(*at, 4));
    char escaped[8];

    if (first == '"' || first == '\\') {
        snprintf(escaped, sizeof escaped, "\\%c", first);
        put(line, escaped, 2);
    } else if (first < 0x20 || first == 0x7F) {
        snprintf(escaped, sizeof escaped, "\\u%04x", first);
        put(line, escaped, 6);
    } else if (size == 0) {
        put(line, "\\ufffd", 6);
    } else {
        put(line, *at, size);
    }
    *at += size > 0 ? size : 1;
}

static void put_string(struct line *line, const char *text)
{
    while (*text != '\0' && !line->full)
        put_character(line, &text);
}

// One field. Its opening is put whole or not at all, so that a cut always falls inside an open string.
static void put_field(struct line *line, const char *name, const char *value)
{
    char opening[64];
    int length = snprintf(opening, sizeof opening, "%s\"%.40s\":\"", line->used == 0 ? "{" : "\",", name);
    assert(length > 0 && (size_t)length < sizeof opening);
    if (put(line, opening, (size_t)length))
        put_string(line, value != NULL ? value : "");
}

static void put_time(struct line *line)
{
    int64_t now_us = clock_real_us();
    time_t seconds = (time_t)(now_us / 1000000);
    struct tm parts;
    char text[100];

    // Not by strftime: it looks at the zone's file for every line, whether the zone is asked for or not.
    gmtime_r(&seconds, &parts);
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", parts.tm_year + 1900, parts.tm_mon + 1,
             parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, (int)(now_us % 1000000));
    put_field(line, "time", text);
}

static void write_line(const char *level, const char *what, va_list fields)
{
    struct line line = {.used = 0};

    put_time(&line);
    put_field(&line, "level", level);
    put_field(&line, "service", service_name);
    put_field(&line, "pid", log_number(getpid()));
    put_field(&line, "what", what);
    for (const char *name = va_arg(fields, const char *); name != NULL; name = va_arg(fields, const char *))
        put_field(&line, name, va_arg(fields, const char *));
    memcpy(line.text + line.used, "\"}\n", 3);
    line.used += 3;
    // Whether anyone reads the log is not this process's concern.
    ssize_t written = write(STDERR_FILENO, line.text, line.used);
    (void)written;
}

void log_start(const char *service)
{
    assert(service != NULL);
    service_name = service;
}

#define LOG_LEVEL(level)                                                                                     \
    void log_##level(const char *what, ...)                                                                  \
    {                                                                                                        \
        va_list fields;                                                                                      \
        va_start(fields, what);                                                                              \
        write_line(#level, what, fields);                                                                    \
        va_end(fields);                                                                                      \
    }

LOG_LEVEL(info)
LOG_LEVEL(warn)
LOG_LEVEL(alarm)

const char *log_number(int64_t number)
{
    static char texts[NUMBERS + 1][24];
    static unsigned next;

    char *text = texts[next++ % (NUMBERS + 1)];
    snprintf(text, sizeof texts[0], "%lld", (long long)number);
    return text;
}
