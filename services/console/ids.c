// ids: finding an id that is there twice.
#include "ids.h"

#include "scratch.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEPT  65536
#define FILES 256

// Where an event's id stood.
struct seen {
    uint8_t id[ID_BYTES];
    uint64_t position;
};

struct ids {
    uint8_t key[crypto_shorthash_KEYBYTES];
    struct seen *kept;
    size_t count;
    FILE *files[FILES];  // NULL: all are kept in memory
};

ids_t *ids_new(void)
{
    ids_t *ids = calloc(1, sizeof *ids);

    assert(ids != NULL);
    ids->kept = calloc(KEPT, sizeof *ids->kept);
    assert(ids->kept != NULL);
    randombytes_buf(ids->key, sizeof ids->key);
    return ids;
}

void ids_destroy(ids_t **ids_p)
{
    ids_t *ids = *ids_p;

    if (ids == NULL)
        return;
    for (size_t i = 0; i < FILES; i++)
        if (ids->files[i] != NULL)
            fclose(ids->files[i]);
    free(ids->kept);
    free(ids);
    *ids_p = NULL;
}

// ------------------------------------------------------------------------------------------------------------- on disk

static bool open_files(ids_t *ids)
{
    for (size_t i = 0; i < FILES; i++)
        if ((ids->files[i] = scratch_file()) == NULL)
            return false;
    return true;
}

static bool put(ids_t *ids, const struct seen *seen)
{
    uint8_t hash[crypto_shorthash_BYTES];

    crypto_shorthash(hash, seen->id, ID_BYTES, ids->key);
    return fwrite(seen, sizeof *seen, 1, ids->files[hash[0]]) == 1;
}

// From memory into the files.
static bool put_kept(ids_t *ids)
{
    bool well = ids->files[0] != NULL || open_files(ids);

    for (size_t i = 0; well && i < ids->count; i++)
        well = put(ids, &ids->kept[i]);
    ids->count = 0;
    return well;
}

bool ids_add(ids_t *ids, const uint8_t id[ID_BYTES], uint64_t position)
{
    if (ids->count == KEPT && !put_kept(ids))
        return false;
    struct seen *seen = &ids->kept[ids->count++];
    memcpy(seen->id, id, ID_BYTES);
    seen->position = position;
    return true;
}

// ------------------------------------------------------------------------------------------------------------- the end

static int compare(const void *left, const void *right)
{
    const struct seen *one = left, *other = right;
    int order = memcmp(one->id, other->id, ID_BYTES);

    return order != 0 ? order : (one->position > other->position) - (one->position < other->position);
}

static void look_among(struct seen *seen, size_t count, uint64_t *ret_again, uint64_t *ret_first)
{
    if (count > 1)
        qsort(seen, count, sizeof *seen, compare);
    for (size_t i = 1; i < count; i++)
        if (memcmp(seen[i - 1].id, seen[i].id, ID_BYTES) == 0 &&
            (*ret_again == 0 || seen[i].position < *ret_again)) {
            *ret_again = seen[i].position;
            *ret_first = seen[i - 1].position;
        }
}

static bool look_in(FILE *file, uint64_t *ret_again, uint64_t *ret_first)
{
    long size = fflush(file) == 0 && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;

    if (size <= 0)
        return size == 0;
    size_t count = (size_t)size / sizeof(struct seen);
    struct seen *seen = calloc(count, sizeof *seen);
    assert(seen != NULL);
    rewind(file);
    bool well = fread(seen, sizeof *seen, count, file) == count;
    if (well)
        look_among(seen, count, ret_again, ret_first);
    free(seen);
    return well;
}

bool ids_twice(ids_t *ids, uint64_t *ret_again, uint64_t *ret_first)
{
    bool well = true;

    *ret_again = *ret_first = 0;
    if (ids->files[0] == NULL) {
        look_among(ids->kept, ids->count, ret_again, ret_first);
        return true;
    }
    well = put_kept(ids);
    for (size_t i = 0; well && i < FILES; i++)
        well = look_in(ids->files[i], ret_again, ret_first);
    return well;
}
