// versions: the last version of every stream, in a table with open addressing.
#include "versions.h"

#include <assert.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_MIN 1024

// A name of zeros: nothing is here.
struct slot {
    struct name name;
    int64_t last;
};

struct versions {
    uint8_t key[crypto_shorthash_siphashx24_KEYBYTES];
    struct slot *slots;
    size_t room;  // a power of two; a quarter of it or more is free, so that every search ends
    size_t count;
};

static bool is_free(const struct slot *slot)
{
    return slot->name.hash[0] == 0 && slot->name.hash[1] == 0;
}

// Where this name is, or may be put: at its own place or at the first one behind it that is free.
static struct slot *find(const versions_t *versions, struct name name)
{
    size_t mask = versions->room - 1;

    for (size_t at = name.hash[0] & mask;; at = (at + 1) & mask) {
        struct slot *slot = &versions->slots[at];
        if (is_free(slot) || memcmp(&slot->name, &name, sizeof name) == 0)
            return slot;
    }
}

static void make_room(versions_t *versions, size_t room)
{
    struct slot *old = versions->slots;
    size_t old_room = versions->room;

    versions->slots = calloc(room, sizeof *versions->slots);
    assert(versions->slots != NULL);
    versions->room = room;
    for (size_t i = 0; i < old_room; i++)
        if (!is_free(&old[i]))
            *find(versions, old[i].name) = old[i];
    free(old);
}

versions_t *versions_new(void)
{
    versions_t *versions = calloc(1, sizeof *versions);

    assert(versions != NULL);
    randombytes_buf(versions->key, sizeof versions->key);
    make_room(versions, ROOM_MIN);
    return versions;
}

void versions_destroy(versions_t **versions_p)
{
    if (*versions_p == NULL)
        return;
    free((*versions_p)->slots);
    free(*versions_p);
    *versions_p = NULL;
}

struct name versions_name(const versions_t *versions, const char *stream)
{
    struct name name;

    crypto_shorthash_siphashx24((uint8_t *)name.hash, (const uint8_t *)stream, strlen(stream), versions->key);
    return name;
}

int64_t *versions_of(versions_t *versions, struct name name)
{
    struct slot *slot = find(versions, name);

    if (!is_free(slot))
        return &slot->last;
    if (versions->count >= versions->room / 4 * 3) {
        make_room(versions, versions->room * 2);
        slot = find(versions, name);
    }
    versions->count++;
    slot->name = name;
    return &slot->last;
}

size_t versions_count(const versions_t *versions)
{
    return versions->count;
}
