// sums: the list of a package's hashes.
#include "sums.h"

#include "scratch.h"
#include "values/values.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES 4096
#define NAME_AT     66  // in a line: behind the hash and two spaces

struct sums {
    FILE *file;
    int64_t compared;  // bytes
    int64_t line_at;   // where the line begins in which the next of them lies
};

sums_t *sums_new(void)
{
    FILE *file = scratch_file();

    if (file == NULL)
        return NULL;
    sums_t *sums = calloc(1, sizeof *sums);
    assert(sums != NULL);
    sums->file = file;
    return sums;
}

void sums_destroy(sums_t **sums_p)
{
    if (*sums_p == NULL)
        return;
    fclose((*sums_p)->file);
    free(*sums_p);
    *sums_p = NULL;
}

bool sums_add(sums_t *sums, const char *name, const void *bytes, size_t size)
{
    uint8_t digest[32];
    char text[65];

    sha256(bytes, size, digest);
    sodium_bin2hex(text, sizeof text, digest, sizeof digest);
    return fprintf(sums->file, "%s  %s\n", text, name) > 0;
}

const char *sums_fault(arena_t *arena, const char *path)
{
    return arena_printf(arena, "the hashes of %s cannot be kept in TMPDIR or /tmp: %s", path,
                        strerror(errno));
}

bool sums_end(sums_t *sums, size_t *ret_size)
{
    if (fflush(sums->file) != 0 || ferror(sums->file))
        return false;
    *ret_size = (size_t)ftello(sums->file);
    rewind(sums->file);
    return true;
}

size_t sums_take(sums_t *sums, void *ret, size_t most)
{
    return fread(ret, 1, most, sums->file);
}

// One piece of what is compared.
static bool piece_agrees(sums_t *sums, const char *bytes, size_t size)
{
    char own[PIECE_BYTES];
    size_t there = sums_take(sums, own, size);

    for (size_t i = 0; i < size; i++, sums->compared++) {
        if (i >= there || own[i] != bytes[i])
            return false;
        if (own[i] == '\n')
            sums->line_at = sums->compared + 1;
    }
    return true;
}

bool sums_agree(sums_t *sums, const void *bytes, size_t size)
{
    for (size_t done = 0; done < size; done += PIECE_BYTES)
        if (!piece_agrees(sums, (const char *)bytes + done,
                          size - done < PIECE_BYTES ? size - done : PIECE_BYTES))
            return false;
    return true;
}

bool sums_ended(sums_t *sums)
{
    int next = getc(sums->file);

    return next == EOF || ungetc(next, sums->file) == EOF;
}

const char *sums_name(sums_t *sums, arena_t *arena)
{
    char *line = NULL;
    size_t room = 0;
    const char *name = "its end";

    if (fseeko(sums->file, sums->line_at, SEEK_SET) == 0 && getline(&line, &room, sums->file) > NAME_AT)
        name = arena_printf(arena, "%.*s", (int)strcspn(line + NAME_AT, "\n"), line + NAME_AT);
    free(line);
    return name;
}
