// tiles: the tree's hashes in the database, by C2SP tlog-tiles (height 8).
//
// A tile's hashes stand where they were first written: those of level 0 are the log's own leaves, those of a level
// above are the roots of the full tiles below it, one row of 32 bytes for each. So an append adds a row for
// every 256 events (and a row more for every 65 536), nothing is held twice that could differ, and a partial
// tile is simply what a tile has so far. A proof reads one tile a level on its path and one on the tree's right
// edge: at most 2 log256(n) reads.
#include "eventlog.h"

#include "eventlog_store.sql.h"
#include "limits/limits.h"
#include "log/log.h"

#include <assert.h>
#include <string.h>

#define FILL_TILES 64  // full tiles in one statement

// ---------------------------------------------------------------------------------------------------- reading

static status_t hashes_between(struct message *message, int level, uint64_t from, uint64_t to,
                               ProtobufCBinaryData *ret)
{
    struct rows rows;

    status_t status = level == 0 ? RUN(message, tile_leaves, &rows, INT((int64_t)from), INT((int64_t)to))
                                 : RUN(message, tile_roots, &rows, INT(level - 1), INT((int64_t)from),
                                       INT((int64_t)to));
    if (status == OK)
        *ret = row_bytes(&rows, 0, 0);
    return status;
}

status_t tile_hashes(struct message *message, int level, uint64_t index, ProtobufCBinaryData *ret)
{
    return hashes_between(message, level, index * TILE, (index + 1) * TILE, ret);
}

static const struct tile *find_tile(struct tiles *tiles, int level, uint64_t index)
{
    for (int i = 0; i < tiles->count; i++)
        if (tiles->tiles[i].level == level && tiles->tiles[i].index == index)
            return &tiles->tiles[i];
    struct tile *tile = &tiles->tiles[tiles->next];
    tiles->status = tile_hashes(tiles->message, level, index, &tile->hashes);
    if (tiles->status != OK)
        return NULL;
    tile->level = level;
    tile->index = index;
    int room = (int)(sizeof tiles->tiles / sizeof tiles->tiles[0]);
    tiles->next = (tiles->next + 1) % room;
    tiles->count += tiles->count < room;
    return tile;
}

// A subtree of height 8 * level + rest is made of 2^rest neighbours in one tile of that level.
static bool subtree(void *context, unsigned height, uint64_t index, uint8_t ret[TREE_HASH])
{
    struct tiles *tiles = context;
    int level = (int)(height / 8);
    uint64_t width = UINT64_C(1) << height % 8, first = index * width;
    const struct tile *tile = find_tile(tiles, level, first / TILE);
    struct tree tree = {0};

    if (tile == NULL)
        return false;
    if (tile->hashes.len < (first % TILE + width) * TREE_HASH) {
        tiles->status = fail(tiles->message, POISON, "tile %llu of level %d is not complete",
                             (unsigned long long)(first / TILE), level);
        return false;
    }
    for (uint64_t i = 0; i < width; i++)
        tree_add(&tree, tile->hashes.data + (first % TILE + i) * TREE_HASH);
    tree_root(&tree, ret);
    return true;
}

struct proof_source tiles_source(struct tiles *tiles, struct message *message)
{
    *tiles = (struct tiles){.message = message, .status = OK};
    return (struct proof_source){.hash = subtree, .context = tiles};
}

// ---------------------------------------------------------------------------------------------------- filling

// At most FILL_TILES tiles of a level from `next` on, as far as the level below is complete.
static status_t fill_some(struct message *message, int level, uint64_t next, uint64_t full)
{
    uint64_t end = full - next > FILL_TILES ? next + FILL_TILES : full;
    int count = (int)(end - next);
    int64_t *indices = arena_alloc(message->arena, FILL_TILES * sizeof *indices);
    struct arg *roots = arena_alloc(message->arena, FILL_TILES * sizeof *roots);
    uint8_t(*hashes)[TREE_HASH] = arena_alloc(message->arena, FILL_TILES * TREE_HASH);
    ProtobufCBinaryData below;

    status_t status = hashes_between(message, level, next * TILE, end * TILE, &below);
    if (status == OK && below.len != (size_t)count * TILE * TREE_HASH)
        return fail(message, POISON, "hashes are missing in tile %llu of level %d", (unsigned long long)next,
                    level);
    for (int i = 0; status == OK && i < count; i++) {
        struct tree tree = {0};
        for (size_t k = 0; k < TILE; k++)
            tree_add(&tree, below.data + ((size_t)i * TILE + k) * TREE_HASH);
        tree_root(&tree, hashes[i]);
        indices[i] = (int64_t)next + i;
        roots[i] = BYTES(hashes[i], TREE_HASH);
    }
    if (status == OK)
        status = RUN(message, add_tiles, NULL, INT(level), db_int_array(message, indices, count),
                     db_bytes_array(message, roots, count));
    return status;
}

// On an arena of its own, since there may be many.
static status_t fill_level(db_t *db, struct message *told, int level, uint64_t full)
{
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    struct message message = message_new(arena);
    struct rows rows;

    message.db = db;
    status_t status = RUN(&message, tile_next, &rows, (db_int(&message, level)));
    uint64_t next = status == OK ? (uint64_t)row_int(&rows, 0, 0) : full;
    if (status == OK && next + FILL_TILES < full)
        log_info("tiles of the log are made", "level", log_number(level), "missing",
                 log_number((int64_t)(full - next)), NULL);
    for (; status == OK && next<full; next = full - next> FILL_TILES ? next + FILL_TILES : full) {
        arena_reset(arena);
        status = fill_some(&message, level, next, full);
    }
    if (status != OK)
        fail(told, status, "%s", message.reason);
    arena_destroy(&arena);
    return status;
}

status_t tiles_fill(struct eventlog *log, struct message *message)
{
    uint8_t root[TREE_HASH], found[TREE_HASH];
    struct tiles tiles;
    struct proof_source source = tiles_source(&tiles, message);
    status_t status = OK;
    int level = 0;

    for (uint64_t full = log->tree.size / TILE; status == OK && full > 0 && level < TREE_TILES;
         full /= TILE, level++)
        status = fill_level(log->db, message, level, full);
    if (status != OK || log->tree.size == 0)
        return status;
    tree_root(&log->tree, root);
    if (!proof_root(&source, log->tree.size, found))
        return tiles.status;
    if (memcmp(root, found, TREE_HASH) != 0)
        return fail(message, POISON, "the tiles do not lead to the root of the head at position %llu",
                    (unsigned long long)log->tree.size);
    return OK;
}

status_t log_extends(struct message *message, const struct tree *tree, uint64_t size,
                     const uint8_t root[TREE_HASH], const char *who)
{
    struct tiles tiles;
    struct proof_source source = tiles_source(&tiles, message);
    uint8_t found[TREE_HASH];

    if (size > tree->size)
        return fail(message, REFUSED,
                    "%s %llu events and the database %llu: positions %llu to %llu are lost; is this an older "
                    "copy? bring the newer one, or run tildel-eventlog --repair",
                    who, (unsigned long long)size, (unsigned long long)tree->size,
                    (unsigned long long)tree->size + 1, (unsigned long long)size);
    if (!proof_root(&source, size, found))
        return tiles.status;
    if (memcmp(root, found, TREE_HASH) != 0)
        return fail(
            message, REFUSED,
            "%s %llu events, and the first %llu of the database are others: one of the two was changed; run "
            "tildel-eventlog --repair to see where",
            who, (unsigned long long)size, (unsigned long long)size);
    return OK;
}
