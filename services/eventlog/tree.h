// tree: the Merkle tree of RFC 9162 section 2.1 (RFC 6962), kept as its compact range.
//
// The compact range ("frontier") of n leaves is one hash for each one-bit of n: the roots of the perfect
// subtrees that n leaves fall into, largest first. Adding a leaf costs at most log2(n) hashes, and so does
// the root, however long the log is. Pure: no memory, no clock, no database.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TREE_HASH   32  // bytes of a SHA-256
#define TREE_LEVELS 64  // more leaves than that there are not
#define TREE_TILES  8   // levels of tiles of height 8, by C2SP tlog-tiles; as many heights as 64 bits have

// The tree over `size` leaves. A struct of zeros is the empty tree.
struct tree {
    uint64_t size;
    int count;                               // hashes in use: the one-bits of size
    uint8_t hashes[TREE_LEVELS][TREE_HASH];  // largest subtree first
};

// SHA-256(0x00 || bytes): the hash of one entry.
void tree_leaf(const void *bytes, size_t size, uint8_t ret[TREE_HASH]);

// SHA-256(0x01 || left || right): the hash of two subtrees.
void tree_node(const uint8_t left[TREE_HASH], const uint8_t right[TREE_HASH], uint8_t ret[TREE_HASH]);

// Add the next leaf.
void tree_add(struct tree *tree, const uint8_t leaf[TREE_HASH]);

// The same, and the roots of the tiles (256 hashes each) that this leaf completes: ret[0] of 256 leaves, ret[1] of 256
// such tiles, and so on. Returns how many.
int tree_add_tiles(struct tree *tree, const uint8_t leaf[TREE_HASH], uint8_t ret[TREE_TILES][TREE_HASH]);

// The root; SHA-256 of nothing for the empty tree.
void tree_root(const struct tree *tree, uint8_t ret[TREE_HASH]);

// Take a tree back from its size and its stored hashes (count times 32 bytes). 0 when they fit together, else
// -1.
int tree_load(struct tree *tree, uint64_t size, const uint8_t *hashes, size_t bytes);
