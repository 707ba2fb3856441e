// env: settings of a process. See env.h.
#include "env/env.h"

#include "db/db.h"
#include "env/settings.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#define LINE_BYTES 4096
#define MAKE_IT    "deploy/init makes it"

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

static const char *first_line(arena_t *arena, const char *path, const char **ret_fault)
{
    char text[LINE_BYTES] = "";

    *ret_fault = env_secret_fault(arena, path);
    if (*ret_fault != NULL)
        return NULL;
    FILE *file = fopen(path, "r");
    bool well = file != NULL && fgets(text, sizeof text, file) != NULL;
    if (!well)
        *ret_fault = arena_printf(arena, "cannot be read: %s",
                                  file == NULL ? strerror(errno) : "it has no line");
    if (file != NULL)
        fclose(file);
    text[strcspn(text, "\r\n")] = '\0';
    return well ? arena_text(arena, text) : NULL;
}

const char *env_url_or(arena_t *arena, const char *name, const char **ret_why)
{
    const char *name_file = arena_printf(arena, "%s_FILE", name), *fault = NULL;
    const char *value = env_or(name, NULL), *path = env_or(name_file, NULL);

    if (value == NULL && path == NULL) {
        *ret_why = arena_printf(arena, "%s is not set, nor is %s; see --help", name, name_file);
        return NULL;
    }
    if (value == NULL) {
        value = first_line(arena, path, &fault);
        name = arena_printf(arena, "%s: %s", name_file, path);
    }
    if (fault == NULL)
        fault = db_address_fault(value);
    if (fault != NULL) {
        *ret_why = arena_printf(arena, "%s %s%s", name, fault,
                                strncmp(fault, "has ", 4) == 0 ? "; deploy/init makes good ones" : "");
        return NULL;
    }
    return arena_text(arena, value);
}

const char *env_url(arena_t *arena, const char *name)
{
    const char *why = NULL, *url = env_url_or(arena, name, &why);

    if (url == NULL)
        bus_end("%s", why);
    return url;
}

bool env_rehearsal(void)
{
    return env_or("REHEARSAL", NULL) != NULL;
}
