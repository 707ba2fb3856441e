// source: a JSON text that somebody wrote: where its syntax breaks, and on which line a value stands.
//
// Jansson finds faults of syntax, but its tree does not remember lines. source_find therefore walks the text
// once more, step by step; it is only called for texts that have parsed, so it may trust their syntax.
#include "source.h"
#include "limits/limits.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define SOURCE_BYTES (LIMIT_ARENA_BYTES / 4)
#define PIECE_BYTES  65536

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

// Past the string that begins here.
static const char *skip_string(const char *at)
{
    assert(*at == '"');
    for (at++; *at != '"' && *at != '\0'; at++)
        if (*at == '\\')
            at++;
    return *at == '"' ? at + 1 : at;
}

// Past the value that begins here.
static const char *skip_value(const char *at)
{
    int depth = 0;

    do {
        at = skip_space(at);
        if (*at == '"') {
            at = skip_string(at);
        } else if (*at == '{' || *at == '[') {
            depth++;
            at++;
        } else if (*at == '}' || *at == ']') {
            depth--;
            at++;
        } else if (*at == ',' || *at == ':') {
            at++;
        } else {
            at += strcspn(at, " \t\r\n,:]}");
        }
    } while (depth > 0 && *at != '\0');
    return at;
}

// To the key of a member, or the element of an array; NULL when it is not there.
static const char *find_step(const char *at, const struct step *step)
{
    if (*at != (step->key != NULL ? '{' : '['))
        return NULL;
    at = skip_space(at + 1);
    for (size_t index = 0; *at != '}' && *at != ']' && *at != '\0'; index++) {
        const char *start = at;
        if (step->key == NULL && index == step->index)
            return start;
        if (step->key != NULL) {
            at = skip_string(at);
            size_t length = (size_t)(at - start) - 2;
            if (strlen(step->key) == length && memcmp(start + 1, step->key, length) == 0)
                return start;
            at = skip_space(at) + 1;  // the colon
        }
        at = skip_space(skip_value(at));
        if (*at == ',')
            at = skip_space(at + 1);
    }
    return NULL;
}

// ---------------------------------------------------------------------------------------------------- public

bool source_read(arena_t *arena, const char *path, struct source *ret, const char **ret_why)
{
    bool standard = strcmp(path, "-") == 0;
    *ret = (struct source){.name = standard ? "standard input" : arena_text(arena, path)};

    FILE *file = standard ? stdin : fopen(path, "re");
    if (file == NULL) {
        *ret_why = arena_printf(arena, "cannot open %s: %s", path, strerror(errno));
        return false;
    }
    char *text = arena_alloc(arena, SOURCE_BYTES + 1);
    ret->size = fread(text, 1, SOURCE_BYTES + 1, file);
    bool failed = ferror(file) != 0;
    if (!standard)
        fclose(file);
    if (failed)
        *ret_why = arena_printf(arena, "cannot read %s: %s", path, strerror(errno));
    else if (ret->size > SOURCE_BYTES)
        *ret_why = arena_printf(arena, "%s is larger than %d bytes", ret->name, SOURCE_BYTES);
    else if (memchr(text, '\0', ret->size) != NULL)
        *ret_why = arena_printf(arena, "%s is not a text: it contains a zero byte", ret->name);
    else
        ret->text = text;
    return ret->text != NULL;
}

bool source_parse(arena_t *arena, struct source *source, const char **ret_why)
{
    json_error_t error;

    source->root = json_loadb(source->text, source->size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (source->root == NULL)
        *ret_why = arena_printf(arena, "%s%sline %d column %d is not JSON: %s", source->name,
                                source->name[0] != '\0' ? " " : "", error.line, error.column, error.text);
    return source->root != NULL;
}

void source_close(struct source *source)
{
    json_decref(source->root);
    source->root = NULL;
}

size_t source_find(const struct source *source, const struct step path[], size_t steps)
{
    const char *found = skip_space(source->text);
    const char *value = found;

    for (size_t i = 0; i < steps; i++) {
        const char *next = find_step(value, &path[i]);
        if (next == NULL)
            break;
        found = next;
        value = path[i].key != NULL ? skip_space(skip_space(skip_string(next)) + 1) : next;
    }
    return (size_t)(found - source->text);
}

size_t source_line(const struct source *source, size_t offset)
{
    size_t line = 1;

    assert(offset <= source->size);
    for (size_t i = 0; i < offset; i++)
        line += source->text[i] == '\n';
    return line;
}

const char *source_place(arena_t *arena, const struct source *source, size_t line)
{
    return arena_printf(arena, "%s%sline %zu", source->name, source->name[0] != '\0' ? " " : "", line);
}
