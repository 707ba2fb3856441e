// resume: a verification that begins where a checkpoint ends that is trusted.
//
// A whole subtree of 2^height leaves stands within one tile, as 2^(height mod 8) hashes beside each other at level height / 8
// (C2SP tlog-tiles).
#include "resume.h"

#include "layout.h"
#include "note/checkpoint.h"
#include "proof.h"
#include "receipt.h"
#include "source.h"

#include <string.h>

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

// Where the hashes of subtrees come from: the log's own tiles.
struct asking {
    struct console *console;
    int code;  // EXIT_DONE, or what was told
};

static bool subtree(void *context, unsigned height, uint64_t index, uint8_t ret[TREE_HASH])
{
    struct asking *asking = context;
    Eventlog__V1__GetTile request = EVENTLOG__V1__GET_TILE__INIT;
    const Eventlog__V1__Tile *tile;
    struct tree whole = {0};
    size_t count = (size_t)1 << height % 8;
    uint64_t first = index * count;  // at that level

    request.level = height / 8;
    request.index = first / TILE;
    request.width = (uint32_t)(first % TILE + count);
    asking->code = query(asking->console, &request, &eventlog__v1__tile__descriptor, &tile);
    if (asking->code == EXIT_DONE && tile->data.len != request.width * TREE_HASH)
        asking->code = fault(EXIT_DIFFERENT,
                             "position %llu: the log gives a tile of another width than was asked for",
                             (unsigned long long)(index << height) + 1);
    if (asking->code != EXIT_DONE)
        return false;
    for (size_t i = 0; i < count; i++)
        tree_add(&whole, tile->data.data + (first % TILE + i) * TREE_HASH);
    tree_root(&whole, ret);
    return true;
}

int resume_tree(struct console *console, const char *path, uint64_t head, struct tree *ret)
{
    struct asking asking = {.console = console};
    struct proof_source source = {.hash = subtree, .context = &asking};
    struct checkpoint checkpoint;
    uint8_t root[TREE_HASH];

    int code = open_checkpoint(console, path, &checkpoint);
    if (code != EXIT_DONE)
        return code;
    if (checkpoint.size > head)
        return fault(EXIT_DIFFERENT,
                     "position %llu: the log ends here and %s was signed over %llu events: its end was cut off",
                     (unsigned long long)head, path, (unsigned long long)checkpoint.size);
    if (!proof_tree(&source, checkpoint.size, ret))
        return asking.code;
    tree_root(ret, root);
    if (memcmp(root, checkpoint.root, TREE_HASH) != 0)
        return fault(EXIT_DIFFERENT, "position %llu: the log's tiles do not lead to the root that %s says",
                     (unsigned long long)checkpoint.size, path);
    return EXIT_DONE;
}
