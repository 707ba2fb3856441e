// layout: an exported log as files.
#include "layout.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

// A number in groups of three digits, each but the last behind an x: 1234067 is x001/x234/067.
static void put_index(uint64_t index, char *to, size_t room)
{
    unsigned groups[7];  // 1000^7 is more than 2^64
    int count = 0;
    size_t used = 0;

    do
        groups[count++] = (unsigned)(index % 1000);
    while ((index /= 1000) > 0);
    for (; count > 0; count--)
        used += (size_t)snprintf(to + used, room - used, count > 1 ? "x%03u/" : "%03u", groups[count - 1]);
}

void layout_path(enum layout_kind kind, int level, uint64_t index, int width, char ret[LAYOUT_PATH])
{
    char number[40], part[16] = "";

    put_index(index, number, sizeof number);
    if (width < TILE)
        snprintf(part, sizeof part, ".p/%d", width);
    if (kind == LAYOUT_HASHES)
        snprintf(ret, LAYOUT_PATH, "tile/%d/%s%s", level, number, part);
    else
        snprintf(ret, LAYOUT_PATH, "%s/%s%s", kind == LAYOUT_ENTRIES ? "tile/entries" : "beside", number,
                 part);
}

void layout_large_path(uint64_t position, char ret[LAYOUT_PATH])
{
    snprintf(ret, LAYOUT_PATH, "large/%" PRIu64, position);
}

// ------------------------------------------------------------------------------------------------- tiles that fill

// Put a hash into the tile of its level that is not full.
static void fill(struct growing_tile *tile, const uint8_t hash[TREE_HASH])
{
    memcpy(tile->hashes[tile->width++], hash, TREE_HASH);
}

bool tiling_add(struct tiling *tiling, const uint8_t leaf[TREE_HASH], tile_f *take, void *context)
{
    uint8_t roots[TREE_TILES][TREE_HASH];
    int full = tree_add_tiles(&tiling->tree, leaf, roots);
    bool well = true;

    // As many tiles are full as the leaf has completed; the root of each goes into the level above it.
    fill(&tiling->tiles[0], leaf);
    for (int level = 0; level < full; level++) {
        struct growing_tile *tile = &tiling->tiles[level];
        well = take(context, level, tile) && well;
        tile->width = 0;
        tile->index++;
        if (level + 1 < TREE_TILES)
            fill(&tiling->tiles[level + 1], roots[level]);
    }
    return well;
}

bool tiling_rest(const struct tiling *tiling, tile_f *take, void *context)
{
    bool well = true;

    for (int level = 0; well && level < TREE_TILES; level++)
        if (tiling->tiles[level].width > 0)
            well = take(context, level, &tiling->tiles[level]);
    return well;
}
