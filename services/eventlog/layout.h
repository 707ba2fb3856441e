// layout: an exported log as files, by C2SP tlog-tiles (https://c2sp.org/tlog-tiles), so that tools that are not ours read it
// and any web server serves it. Who writes an export and who checks one share what is here. Pure.
//
//   checkpoint              the newest that the log has signed, which says what the folder holds; written last
//   tile/L/N[.p/W]          the tree's hashes, 256 a tile, or W of one that is not full
//   tile/entries/N[.p/W]    the entries themselves, each behind its size in two bytes, big-endian
// and what tlog-tiles has no place for:
//   beside/N[.p/W]          for each entry when it was appended (8 bytes, microseconds since 1970) and by which epoch (8 bytes)
//   large/POSITION          an entry of more than 65 535 bytes, which no bundle takes; its size there is 0, which no event has
//   log.pub                 the key that has signed the checkpoint; compare it with the one that was published
#pragma once

#include "tree.h"

#include <stdbool.h>

#define TILE                256    // hashes in a full tile, entries in a full bundle
#define ENTRY_MOST          65535  // the largest entry that a bundle takes
#define LAYOUT_BESIDE_BYTES 16     // of an entry, in beside/
#define BUNDLE_BYTES        ((size_t)TILE * (2 + ENTRY_MOST))  // no bundle has more
#define LAYOUT_PATH         96                                 // the longest path and its NUL

enum layout_kind { LAYOUT_HASHES, LAYOUT_ENTRIES, LAYOUT_BESIDE };

// The path of a tile or bundle, below the folder. level counts for hashes only; width is 1 to 256.
void layout_path(enum layout_kind kind, int level, uint64_t index, int width, char ret[LAYOUT_PATH]);
void layout_large_path(uint64_t position, char ret[LAYOUT_PATH]);

// A tree that grows, and the tiles that fill with it: of each level the one that is not full yet.
struct tiling {
    struct tree tree;
    struct growing_tile {
        uint64_t index;
        int width;
        uint8_t hashes[TILE][TREE_HASH];
    } tiles[TREE_TILES];
};

// What is done with a tile: write it, compare it. False ends it.
typedef bool tile_f(void *context, int level, const struct growing_tile *tile);

// Add a leaf, and show each tile that it fills. False when one was not taken; the tree has the leaf.
bool tiling_add(struct tiling *tiling, const uint8_t leaf[TREE_HASH], tile_f *take, void *context);

// Show the tiles that are not full. False when one was not taken.
bool tiling_rest(const struct tiling *tiling, tile_f *take, void *context);
