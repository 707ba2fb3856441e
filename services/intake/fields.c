// fields: what checks of contents and definitions have in common: a list of faults, and the checks of one
// field.
#include "intake.h"

#include "values/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FAULTS_ROOM ((int)(sizeof((struct faults){0}.texts) / sizeof((struct faults){0}.texts[0])))

// A sentence may quote the first bytes of a field and so end within a character.
static void mend(char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        size_t size = text_character(text, left);
        if (size == 0)
            *text = '?';
        text += size == 0 ? 1 : size;
        left -= size == 0 ? 1 : size;
    }
}

static void add(struct faults *faults, const char *format, va_list arguments)
{
    char text[LIMIT_REASON_BYTES];

    vsnprintf(text, sizeof text, format, arguments);
    mend(text);
    if (faults->count < FAULTS_ROOM)
        faults->texts[faults->count] = arena_text(faults->arena, text);
    faults->count++;
}

static bool blank(const char *text)
{
    return text[strspn(text, " \t\n")] == '\0';
}

static void check_size(struct faults *faults, const char *path, const char *text, size_t most)
{
    if (strlen(text) > most)
        fault(faults, "%s is %zu bytes; at most %zu are kept", path, strlen(text), most);
    if (blank(text))
        lack(faults, "%s is missing", path);
}

void fault(struct faults *faults, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    add(faults, format, arguments);
    va_end(arguments);
}

void lack(struct faults *faults, const char *format, ...)
{
    va_list arguments;

    if (!faults->complete)
        return;
    va_start(arguments, format);
    add(faults, format, arguments);
    va_end(arguments);
}

void field_line(struct faults *faults, const char *path, const char *text)
{
    check_size(faults, path, text, LIMIT_LINE_BYTES);
    if (strchr(text, '\n') != NULL)
        fault(faults, "%s has line breaks; it must be one line", path);
}

void field_prose(struct faults *faults, const char *path, const char *text)
{
    check_size(faults, path, text, LIMIT_TEXT_BYTES);
}

void field_both(struct faults *faults, const char *path, const Text *text, size_t most)
{
    if (text == NULL) {
        lack(faults, "%s is missing; both nb and nn are required", path);
        return;
    }
    check_size(faults, arena_printf(faults->arena, "%s.nb", path), text->nb, most);
    check_size(faults, arena_printf(faults->arena, "%s.nn", path), text->nn, most);
}

void field_count(struct faults *faults, const char *path, size_t count, size_t least, size_t most)
{
    if (count > most)
        fault(faults, "%s has %zu entries; at most %zu are allowed", path, count, most);
    if (count < least)
        lack(faults, "%s is empty; at least %zu is required", path, least);
}

void field_range(struct faults *faults, const char *path, int64_t value, int64_t least, int64_t most)
{
    if (value >= least && value <= most)
        return;
    if (least == most)
        fault(faults, "%s is %lld; it must be %lld", path, (long long)value, (long long)least);
    else
        fault(faults, "%s is %lld; it must be %lld to %lld", path, (long long)value, (long long)least,
              (long long)most);
}

bool field_made_of(const char *text, const char *characters, size_t least, size_t most)
{
    size_t size = strlen(text);

    return size >= least && size <= most && strspn(text, characters) == size;
}

status_t faults_refuse(struct message *message, const struct faults *faults, const char *about)
{
    const size_t room = LIMIT_REASON_BYTES - 64;  // for the count of those that are left out
    const char *reason;
    int told = 1;

    if (faults->count == 0)
        return OK;
    reason = arena_printf(message->arena, "%s: %.800s", about, faults->texts[0]);
    while (told < faults->count && told < FAULTS_ROOM &&
           strlen(reason) + strlen(faults->texts[told]) + 6 < room) {
        reason = arena_printf(message->arena, "%s; and %s", reason, faults->texts[told]);
        told++;
    }
    if (told < faults->count)
        reason = arena_printf(message->arena, "%s; and %d more", reason, faults->count - told);
    return fail(message, REFUSED, "%s", reason);
}

status_t field_reason(struct message *message, const char *reason)
{
    struct faults faults = {.arena = message->arena, .complete = true};

    field_prose(&faults, "reason", reason);
    return faults_refuse(message, &faults, "a reason is needed");
}
