// env: settings of a process. See env.h.
#include "env/env.h"

#include "env/settings.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#define MAKE_IT "deploy/init makes it"

const char *env_or(const char *name, const char *otherwise)
{
    assert(setting_find(name) != NULL);
    const char *value = getenv(name);

    return value != NULL && *value != '\0' ? value : otherwise;
}

const char *env_required(const char *name)
{
    const char *value = env_or(name, NULL);

    if (value == NULL)
        bus_end("%s is not set in the environment; see --help", name);
    return value;
}

const char *env_secret_fault(arena_t *arena, const char *path)
{
    struct stat file;

    if (stat(path, &file) != 0)
        return arena_printf(arena, "cannot be read: %s; " MAKE_IT, strerror(errno));
    // What docker makes in the place of a file that was not there.
    if (S_ISDIR(file.st_mode))
        return "is a folder: the secret was not there when the container was made; " MAKE_IT;
    if ((file.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return arena_printf(arena, "is open to group or others (mode %04o); make it 0600",
                            (unsigned)(file.st_mode & 07777));
    if (S_ISREG(file.st_mode) && file.st_size == 0)
        return "is empty; remove it, " MAKE_IT " again";
    return NULL;
}

bool env_rehearsal(void)
{
    return env_or("REHEARSAL", NULL) != NULL;
}
