// resume: a verification that begins where a checkpoint ends that is trusted.
//
// The compact range of n leaves has one hash for each one-bit of n: the root of a whole subtree of 2^bit leaves. Such a
// subtree stands within one tile, as 2^(bit mod 8) hashes beside each other at level bit / 8 (C2SP tlog-tiles).
#include "resume.h"

#include "note/checkpoint.h"
#include "receipt.h"
#include "source.h"

#include <string.h>

#define TILE 256

static int open_checkpoint(struct console *console, const char *path, struct checkpoint *ret)
{
    struct source source = {NULL};
    struct note_ring log;
    const char *why;

    int code = log_public_keys(console, &log);
    if (code != EXIT_DONE)
        return code;
    if (!source_read(console->ground, path, &source, &why))
        return fault(EXIT_REFUSED, "%s", why);
    if (!checkpoint_open_any(console->ground, source.text, strlen(source.text), &log, ret, NULL, &why))
        return fault(EXIT_REFUSED, "%s is no checkpoint of this log: %s", path, why);
    return ret->size > 0 ? EXIT_DONE : fault(EXIT_REFUSED, "%s is the checkpoint of an empty log", path);
}

// The root of the whole subtree of 2^bit leaves that begins after `before` leaves.
static int subtree(struct console *console, unsigned bit, uint64_t before, uint8_t ret[TREE_HASH])
{
    Eventlog__V1__GetTile request = EVENTLOG__V1__GET_TILE__INIT;
    const Eventlog__V1__Tile *tile;
    struct tree whole = {0};
    uint64_t first = before >> bit / 8 * 8;
    size_t count = (size_t)1 << bit % 8, offset = first % TILE;

    request.level = bit / 8;
    request.index = first / TILE;
    request.width = (uint32_t)(offset + count);
    int code = query(console, &request, &eventlog__v1__tile__descriptor, &tile);
    if (code != EXIT_DONE)
        return code;
    if (tile->data.len != (offset + count) * TREE_HASH)
        return fault(EXIT_DIFFERENT, "position %llu: the log gives a tile of another width than was asked for",
                     (unsigned long long)before + 1);
    for (size_t i = 0; i < count; i++)
        tree_add(&whole, tile->data.data + (offset + i) * TREE_HASH);
    tree_root(&whole, ret);
    return EXIT_DONE;
}

int resume_tree(struct console *console, const char *path, uint64_t head, struct tree *ret)
{
    struct checkpoint checkpoint;
    uint8_t hashes[TREE_LEVELS][TREE_HASH], root[TREE_HASH];
    uint64_t before = 0;
    size_t count = 0;

    int code = open_checkpoint(console, path, &checkpoint);
    if (code != EXIT_DONE)
        return code;
    if (checkpoint.size > head)
        return fault(EXIT_DIFFERENT,
                     "position %llu: the log ends here and %s was signed over %llu events: its end was cut off",
                     (unsigned long long)head, path, (unsigned long long)checkpoint.size);
    for (unsigned bit = 64; code == EXIT_DONE && bit-- > 0;) {
        if ((checkpoint.size >> bit & 1) == 0)
            continue;
        code = subtree(console, bit, before, hashes[count++]);
        before += (uint64_t)1 << bit;
    }
    if (code != EXIT_DONE)
        return code;
    if (tree_load(ret, checkpoint.size, hashes[0], count * TREE_HASH) != 0)
        return fault(EXIT_DIFFERENT, "position %llu: the log's tiles make no tree of that size",
                     (unsigned long long)checkpoint.size);
    tree_root(ret, root);
    if (memcmp(root, checkpoint.root, TREE_HASH) != 0)
        return fault(EXIT_DIFFERENT, "position %llu: the log's tiles do not lead to the root that %s says",
                     (unsigned long long)checkpoint.size, path);
    return EXIT_DONE;
}
