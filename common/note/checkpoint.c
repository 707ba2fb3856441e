// checkpoint: what a log signs.
#include "note/checkpoint.h"

#include <stdlib.h>
#include <string.h>

static bool wrong(const char **ret_why, const char *why)
{
    *ret_why = why;
    return false;
}

char *checkpoint_text(arena_t *arena, const char *origin, uint64_t size, const uint8_t root[CHECKPOINT_ROOT])
{
    return arena_printf(arena, "%s\n%llu\n%s\n", origin, (unsigned long long)size,
                        note_base64(arena, root, CHECKPOINT_ROOT));
}

char *checkpoint_sign(arena_t *arena, const struct note_signer *signer, uint64_t size,
                      const uint8_t root[CHECKPOINT_ROOT])
{
    const char *text = checkpoint_text(arena, signer->key.name, size, root);

    return arena_printf(arena, "%s\n%s", text, note_sign(arena, signer, text));
}

// Decimal, no leading zero, within 63 bits: what fits a position of the log.
static bool size_parse(const char *text, uint64_t *ret)
{
    size_t length = strlen(text);

    if (length == 0 || length > 18 || strspn(text, "0123456789") != length || (text[0] == '0' && length > 1))
        return false;
    *ret = strtoull(text, NULL, 10);
    return true;
}

bool checkpoint_parse(arena_t *arena, const char *text, struct checkpoint *ret, const char **ret_why)
{
    struct checkpoint checkpoint;
    char *lines[3], *rest = arena_text(arena, text);
    size_t size;

    for (int i = 0; i < 3; i++) {
        char *end = strchr(rest, '\n');
        if (end == NULL || end == rest)
            return wrong(
                ret_why,
                arena_printf(arena, "line %d is missing: a checkpoint has a name, a size and a root", i + 1));
        *end = '\0';
        lines[i] = rest;
        rest = end + 1;
    }
    if (rest[0] == '\n' || strstr(rest, "\n\n") != NULL ||
        (rest[0] != '\0' && rest[strlen(rest) - 1] != '\n'))
        return wrong(ret_why, "a checkpoint's further lines may not be empty");
    if (!size_parse(lines[1], &checkpoint.size))
        return wrong(ret_why, "line 2 must be the number of entries, in decimal");
    const uint8_t *root = note_base64_parse(arena, lines[2], strlen(lines[2]), &size);
    if (root == NULL || size != CHECKPOINT_ROOT)
        return wrong(ret_why, "line 3 must be the root, 32 bytes in base64");
    checkpoint.origin = lines[0];
    memcpy(checkpoint.root, root, CHECKPOINT_ROOT);
    *ret = checkpoint;
    return true;
}

bool checkpoint_open(arena_t *arena, const void *bytes, size_t size, const struct note_key *log,
                     struct checkpoint *ret, struct note *ret_note, const char **ret_why)
{
    struct note note;

    if (!note_parse(arena, bytes, size, &note, ret_why) || !checkpoint_parse(arena, note.text, ret, ret_why))
        return false;
    if (strcmp(ret->origin, log->name) != 0)
        return wrong(ret_why, arena_printf(arena, "line 1: this is a checkpoint of the log %s, not of %s",
                                           ret->origin, log->name));
    if (!note_verify(arena, &note, log, NULL, ret_why))
        return false;
    if (ret_note != NULL)
        *ret_note = note;
    return true;
}

bool checkpoint_open_any(arena_t *arena, const void *bytes, size_t size, const struct note_ring *log,
                         struct checkpoint *ret, struct note *ret_note, const char **ret_why)
{
    const char *why;

    for (size_t i = 0; i < log->count; i++)
        if (checkpoint_open(arena, bytes, size, &log->keys[i], ret, ret_note, i == 0 ? ret_why : &why))
            return true;
    return false;
}

bool checkpoint_read(arena_t *arena, const void *bytes, size_t size, const struct note_ring *log,
                     struct checkpoint *ret, const char **ret_why)
{
    struct note note;

    if (log != NULL && log->count > 0)
        return checkpoint_open_any(arena, bytes, size, log, ret, NULL, ret_why);
    return note_parse(arena, bytes, size, &note, ret_why) && checkpoint_parse(arena, note.text, ret, ret_why);
}
