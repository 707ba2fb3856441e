// env: settings of a process. The environment is the only place they come from; what is missing is named, and
// the process ends.
#pragma once

#include "arena/arena.h"
#include "bus/end.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A setting, or what holds when it is not there or empty.
static inline const char *env_or(const char *name, const char *otherwise)
{
    const char *value = getenv(name);

    return value && *value ? value : otherwise;
}

// A setting that must be there.
static inline const char *env_required(const char *name)
{
    const char *value = env_or(name, NULL);

    if (!value)
        bus_end("%s is not set in the environment; see --help", name);
    return value;
}

// A database's address: from NAME, or from the file that NAME_FILE names (a secret; ends at the first line
// feed).
static inline const char *env_url(arena_t *arena, const char *name)
{
    const char *value = getenv(name), *path = getenv(arena_printf(arena, "%s_FILE", name));
    char text[4096];

    if (value && *value)
        return arena_text(arena, value);
    if (!path || !*path)
        bus_end("%s is not set, nor is %s_FILE; see --help", name, name);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(text, sizeof text, file))
        bus_end("%s_FILE names %s, which cannot be read", name, path);
    fclose(file);
    text[strcspn(text, "\n")] = '\0';
    return arena_text(arena, text);
}

// Does this process belong to a rehearsal?
static inline bool env_rehearsal(void)
{
    return env_or("REHEARSAL", NULL) != NULL;
}
