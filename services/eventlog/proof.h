// proof: inclusion and consistency proofs of RFC 9162 section 2.1, made and checked. Pure: whoever makes one
// says where the hashes of subtrees come from.
#pragma once

#include "tree.h"

#include <stdbool.h>

#define PROOF_HASHES 128  // more than any tree of 2^64 leaves needs

struct proof {
    int count;
    uint8_t hashes[PROOF_HASHES][TREE_HASH];
};

// Where hashes come from: that of the whole subtree of 2^height leaves which begins at leaf index << height (indices
// from 0). False: it cannot be had.
struct proof_source {
    bool (*hash)(void *context, unsigned height, uint64_t index, uint8_t ret[TREE_HASH]);
    void *context;
};

// The root of the tree over the first `size` leaves. False when the source fails.
bool proof_root(const struct proof_source *source, uint64_t size, uint8_t ret[TREE_HASH]);

// The tree over the first `size` leaves, to go on from. False when the source fails.
bool proof_tree(const struct proof_source *source, uint64_t size, struct tree *ret);

// That leaf `index` (from 0) is in the tree over `size` leaves. False when index >= size, or the source fails.
bool proof_inclusion(const struct proof_source *source, uint64_t index, uint64_t size, struct proof *ret);

// That the tree over `from` leaves begins the one over `to`. False unless 0 < from <= to, or when the source
// fails. Of equal sizes it is empty.
bool proof_consistency(const struct proof_source *source, uint64_t from, uint64_t to, struct proof *ret);

// RFC 9162 2.1.3.2: the root that this leaf and proof come to. False when the proof has too few or too many
// hashes for these sizes.
bool proof_inclusion_root(const uint8_t leaf[TREE_HASH], uint64_t index, uint64_t size,
                          const uint8_t (*hashes)[TREE_HASH], size_t count, uint8_t ret[TREE_HASH]);

// RFC 9162 2.1.4.2: does the proof lead from the one root to the other?
bool proof_consistent(uint64_t from, const uint8_t from_root[TREE_HASH], uint64_t to,
                      const uint8_t to_root[TREE_HASH], const uint8_t (*hashes)[TREE_HASH], size_t count);
