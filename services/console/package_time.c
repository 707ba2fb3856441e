// package_time: when an auditor's package can have been made.
#include "package.h"

#include "clock/clock.h"
#include "note/note.h"
#include "values/values.h"

#include <string.h>

#define SKEW_US 60000000  // by so much clocks may differ

// RFC 9562: the first 48 bits of a UUIDv7 are milliseconds since 1970. 0: it is none.
static int64_t id_made_us(const char *id)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t bits = 0;

    if (!uuid_valid(id) || id[14] != '7')
        return 0;
    for (const char *c = id; c < id + 13; c++)
        if (*c != '-')
            bits = bits << 4 | (uint64_t)(strchr(digits, *c) - digits);
    return (int64_t)bits * 1000;
}

void package_time_event(struct package_time *time, const Eventlog__V1__Event *event, uint64_t position)
{
    int64_t id_us = id_made_us(event->id);
    int64_t made_us = event->rehearsal || event->time_us < id_us ? id_us : event->time_us;

    if (made_us <= time->event_us)
        return;
    time->event_us = made_us;
    time->event_position = position;
}

void package_time_checkpoint(struct package_time *time, arena_t *arena, const void *note, size_t size,
                             const char *witness)
{
    const char *line = arena_printf(arena, "%.*s", (int)strcspn(witness, "\n"), witness), *why;
    struct note_key key;
    struct note parsed;
    int64_t at_s = 0;

    if (note_key_parse(arena, line, &key, &why) && note_parse(arena, note, size, &parsed, &why) &&
        note_verify(arena, &parsed, &key, &at_s, &why) && at_s <= INT64_MAX / 1000000)
        time->witnessed_at_us = at_s * 1000000;
}

bool package_time_allows(arena_t *arena, const struct package_time *time, int64_t made_at_us,
                         const char **ret_why)
{
    int64_t now_us = clock_real_us();

    if (made_at_us < time->event_us - SKEW_US)
        *ret_why = arena_printf(
            arena, "position %llu: this event was made at %s, after the package (made_at_us %lld)",
            (unsigned long long)time->event_position, instant_text(arena, time->event_us),
            (long long)made_at_us);
    else if (made_at_us < time->witnessed_at_us - SKEW_US)
        *ret_why = arena_printf(
            arena, "its checkpoint was cosigned at %s, after the package was made (made_at_us %lld)",
            instant_text(arena, time->witnessed_at_us), (long long)made_at_us);
    else if (made_at_us <= 0 || made_at_us > now_us + SKEW_US)
        *ret_why = arena_printf(arena, "made_at_us %lld is no instant up to now, which is %s here",
                                (long long)made_at_us, instant_text(arena, now_us));
    else
        return true;
    return false;
}
