// rotate: a name gets a new key while processes with the old one run, loses its key, or may ask one more. See keys.h.
//
// The registry is text, and stays the text that people wrote: only the lines of the name in hand change.
#include "keys.h"

#include "arena/arena.h"
#include "bus/end.h"
#include "bus/registry.h"
#include "bus/seal.h"
#include "clock/clock.h"
#include "limits/limits.h"
#include "values/values.h"

#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define HOUR_US      INT64_C(3600000000)
#define SECRET_BYTES 4096

struct work {
    const char *folder;
    const char *name;
    char path[PATH_MAX];  // of the registry
    registry_t *registry;
    zconfig_t *tree;
    char *text;
    arena_t *arena;
};

static struct work work_open(const char *folder, const char *name)
{
    struct work work = {.folder = folder, .name = name, .arena = arena_new(LIMIT_ARENA_BYTES)};

    path_make(folder, "registry", "zpl", work.path);
    work.registry = registry_load(work.path, true);
    work.text = seal_read(work.path);
    if (work.text == NULL || !seal_whole(work.text))
        bus_end("%s cannot be read: %s", work.path, work.text ? "it is not whole" : strerror(errno));
    seal_open(work.text);
    work.tree = zconfig_str_load(work.text);
    if (work.tree == NULL)
        bus_end("%s cannot be read as ZPL; nothing was changed", work.path);
    return work;
}

static void work_close(struct work *work)
{
    registry_destroy(&work->registry);
    zconfig_destroy(&work->tree);
    free(work->text);
    arena_destroy(&work->arena);
}

static const char *field(const struct work *work, const char *section, const char *name)
{
    zconfig_t *found = zconfig_locate(work->tree, section);
    return found ? zconfig_get(found, name, NULL) : NULL;
}

// ------------------------------------------------------------------ lines

// A line that begins a section: not indented, no comment, not empty. *ret_size is the length of its name.
static bool begins_section(const char *line, size_t *ret_size)
{
    *ret_size = strcspn(line, " \t\r\n#");
    return *ret_size > 0;
}

static bool line_sets(const char *line, const char *field_name)
{
    size_t size = strlen(field_name);

    line += strspn(line, " \t");
    return strncmp(line, field_name, size) == 0 && strchr(" \t=", line[size]) != NULL && line[size] != '\0';
}

// Is this section to be left out?
typedef bool drop_f(const struct work *work, const char *section);

static bool drop_none(const struct work *work, const char *section)
{
    (void)work;
    (void)section;
    return false;
}

// The text again, without the sections that drop names, and with another value of one field in the name's own section
// (NULL: the same). Comments and blank lines that stand between sections stay.
static char *text_edit(const struct work *work, drop_f *drop, const char *field_name, const char *value)
{
    size_t more = value != NULL ? strlen(field_name) + strlen(value) + 16 : 0;
    char *edited = arena_alloc(work->arena, strlen(work->text) + more + 1), *end = edited;
    bool dropping = false, own = false;
    size_t size;

    for (const char *line = work->text; *line != '\0'; line += size) {
        size_t name_size;
        size = strcspn(line, "\n");
        size += line[size] == '\n';
        if (begins_section(line, &name_size)) {
            const char *section = arena_printf(work->arena, "%.*s", (int)name_size, line);
            dropping = drop(work, section);
            own = streq(section, work->name);
        }
        if (dropping && (*line == ' ' || *line == '\t' || begins_section(line, &name_size)))
            continue;
        if (own && value != NULL && line_sets(line, field_name))
            end += sprintf(end, "    %s = \"%s\"\n", field_name, value);
        else
            end = (char *)mempcpy(end, line, size);
    }
    *end = '\0';
    return edited;
}

static bool is_second_of(const struct work *work, const char *section)
{
    const char *of = field(work, section, "of");
    return of != NULL && streq(of, work->name);
}

// A second key of this name whose time is over.
static bool has_ended(const struct work *work, const char *section)
{
    return is_second_of(work, section) &&
           registry_by_key(work->registry, field(work, section, "public")) == NULL;
}

static bool is_named(const struct work *work, const char *section)
{
    return streq(section, work->name) || is_second_of(work, section);
}

// ------------------------------------------------------------------ rotate

// The old key as a second one, under the first number that is free.
static const char *second_key(const struct work *work, const char *public_key, int64_t until_us)
{
    for (int number = 1;; number++) {
        const char *section = arena_printf(work->arena, "%s-%d", work->name, number);
        if (zconfig_locate(work->tree, section) == NULL)
            return arena_printf(work->arena,
                                "%s\n    public = \"%s\"\n    of = \"%s\"\n    not_after = \"%s\"\n", section,
                                public_key, work->name, instant_text(work->arena, until_us));
    }
}

// The overlap never makes a key last longer than its own date said.
static int64_t until_of(const struct work *work, long keep_hours)
{
    int64_t until_us = clock_real_us() + keep_hours * HOUR_US, own_us;
    const char *own = field(work, work->name, "not_after");

    return own != NULL && instant_parse(own, &own_us) && own_us < until_us ? own_us : until_us;
}

// The new pair over the old one, in place: a container that has the file mounted finds it at its next start.
static void secret_take(const char *new_path, const char *path)
{
    char text[SECRET_BYTES];
    int from = open(new_path, O_RDONLY | O_CLOEXEC), to = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ssize_t size = from < 0 ? -1 : read(from, text, sizeof text);

    if (size <= 0 || to < 0 || pwrite(to, text, (size_t)size, 0) != size || ftruncate(to, size) != 0 ||
        fsync(to) != 0 || close(to) != 0)
        bus_end("%s cannot be written: %s; the new key waits in %s: run this again", path, strerror(errno),
                new_path);
    close(from);
    unlink(new_path);
}

static void rotate(struct work *work, long keep_hours)
{
    char path[PATH_MAX], new_path[PATH_MAX], public_key[KEY_TEXT] = "";
    const char *old = field(work, work->name, "public");

    path_make(work->folder, work->name, "secret.zpl", path);
    path_make(work->folder, work->name, "secret.new.zpl", new_path);
    if (access(new_path, F_OK) == 0)
        public_read(new_path, public_key);
    if (!streq(public_key, old)) {
        unlink(new_path);  // of a run that was cut before anyone was told of it
        secret_make(new_path, public_key);
        const char *text = text_edit(work, keep_hours == 0 ? is_second_of : has_ended, "public", public_key);
        const char *gap = *text && text[strlen(text) - 1] != '\n' ? "\n" : "";
        const char *second = keep_hours == 0 ? "" : second_key(work, old, until_of(work, keep_hours));
        seal_write(work->path, arena_printf(work->arena, "%s%s%s", text, gap, second));
    }
    secret_take(new_path, path);
    printf("%s\n", path);
}

int key_rotate(const char *folder, const char *name, long keep_hours)
{
    struct work work = work_open(folder, name);

    if (registry_by_name(work.registry, name) == NULL)
        bus_end("%s: '%s' is no key that is valid now; nothing was changed", work.path, name);
    rotate(&work, keep_hours);
    work_close(&work);
    return 0;
}

// ------------------------------------------------------------------ revoke

int key_revoke(const char *folder, const char *name)
{
    struct work work = work_open(folder, name);
    char path[PATH_MAX], aside[PATH_MAX];

    if (zconfig_locate(work.tree, name) == NULL)
        bus_end("%s: there is no key '%s'; nothing was changed", work.path, name);
    seal_write(work.path, text_edit(&work, is_named, NULL, NULL));
    path_make(folder, name, "secret.zpl", path);
    path_make(folder, name, "revoked.zpl", aside);
    if (access(path, F_OK) == 0 && rename(path, aside) != 0)
        bus_end("%s is revoked, but its secret %s cannot be laid aside: %s", name, path, strerror(errno));
    work_close(&work);
    return 0;
}

// ------------------------------------------------------------------ one more to ask

void key_let_ask(const char *folder, const char *name, const char *service)
{
    struct work work = work_open(folder, name);
    const char *asks = field(&work, name, "asks");

    if (asks != NULL && strcmp(asks, "*") != 0 && !words_hold(asks, service))
        seal_write(work.path, text_edit(&work, drop_none, "asks", arena_printf(work.arena, "%s %s", asks, service)));
    work_close(&work);
}
