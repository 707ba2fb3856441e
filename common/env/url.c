// env url: a database's address, of processes that have one. See env.h.
#include "db/db.h"
#include "env/env.h"

#include <errno.h>
#include <stdio.h>

#define LINE_BYTES 4096

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
