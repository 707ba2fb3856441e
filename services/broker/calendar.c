// calendar: what day it is in this stack.
#include "broker.h"

#include "bus/end.h"
#include "clock/clock.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>

// The file is ZPL: a section "calendar" with either offset_us = "-81234567", when it runs so much before
// (here: behind) the real clock, or stands_at_us = "1718402400000000", when it stands.

static bool number_read(const char *text, int64_t *ret)
{
    char *end = NULL;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end)
        return false;
    *ret = number;
    return true;
}

struct calendar calendar_open(const char *path)
{
    struct calendar calendar = {.path = path};
    if (!path || access(path, F_OK) != 0)
        return calendar;

    zconfig_t *file = zconfig_load(path);
    const char *offset = file ? zconfig_get(file, "calendar/offset_us", NULL) : NULL;
    const char *stands = file ? zconfig_get(file, "calendar/stands_at_us", NULL) : NULL;
    calendar.stands_still = stands != NULL;
    bool valid = (stands && !offset && number_read(stands, &calendar.at_us)) ||
                 (offset && !stands && number_read(offset, &calendar.offset_us));
    zconfig_destroy(&file);
    if (!valid)
        bus_end(
            "%s: the rehearsal's calendar has neither offset_us nor stands_at_us as a whole number; mend or "
            "remove the file",
            path);
    return calendar;
}

int64_t calendar_now_us(const struct calendar *calendar)
{
    return calendar->stands_still ? calendar->at_us : clock_real_us() + calendar->offset_us;
}

// The new file is whole on disk before it takes the old one's name.
static bool file_replace(const char *path, const char *text)
{
    char fresh[PATH_MAX];
    if (snprintf(fresh, sizeof fresh, "%s.new", path) >= (int)sizeof fresh)
        return false;
    int file = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0)
        return false;
    bool written = write(file, text, strlen(text)) == (ssize_t)strlen(text) && fsync(file) == 0;
    close(file);
    return written && rename(fresh, path) == 0;
}

bool calendar_move(struct calendar *calendar, int64_t to_us, bool stand_still)
{
    struct calendar moved = {.path = calendar->path};
    char text[128];

    if (to_us != 0 && stand_still) {
        moved.stands_still = true;
        moved.at_us = to_us;
    } else if (to_us != 0) {
        moved.offset_us = to_us - clock_real_us();
    }
    snprintf(text, sizeof text, "calendar\n    %s = \"%lld\"\n",
             moved.stands_still ? "stands_at_us" : "offset_us",
             (long long)(moved.stands_still ? moved.at_us : moved.offset_us));
    if (!file_replace(calendar->path, text))
        return false;
    *calendar = moved;
    return true;
}
