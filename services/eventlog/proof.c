// proof: inclusion and consistency proofs of RFC 9162.
#include "proof.h"

#include <assert.h>
#include <string.h>

// The largest power of two below n, for n >= 2.
static uint64_t split(uint64_t n)
{
    return UINT64_C(1) << (63 - __builtin_clzll(n - 1));
}

// ---------------------------------------------------------------------------------------------------- making

// The hash over leaves from..to-1, where from begins a subtree at least as large: whole subtrees, largest first,
// folded from the right.
static bool range_hash(const struct proof_source *source, uint64_t from, uint64_t to, uint8_t ret[TREE_HASH])
{
    uint64_t size = to - from, end = to;
    bool first = true, well = size > 0;

    // The lowest one-bit of the size is the last and smallest subtree.
    for (; well && size > 0; size &= size - 1) {
        unsigned height = (unsigned)__builtin_ctzll(size);
        uint8_t hash[TREE_HASH];
        end -= UINT64_C(1) << height;
        well = source->hash(source->context, height, end >> height, hash);
        if (well && first)
            memcpy(ret, hash, TREE_HASH);
        else if (well)
            tree_node(hash, ret, ret);
        first = false;
    }
    return well;
}

bool proof_root(const struct proof_source *source, uint64_t size, uint8_t ret[TREE_HASH])
{
    static const struct tree empty = {0};

    if (size == 0) {
        tree_root(&empty, ret);
        return true;
    }
    return range_hash(source, 0, size, ret);
}

bool proof_tree(const struct proof_source *source, uint64_t size, struct tree *ret)
{
    uint64_t before = 0;
    bool well = true;

    *ret = (struct tree){.size = size};
    // Its compact range: the root of a whole subtree for each one-bit of its size, the largest first.
    for (unsigned height = 64; well && height-- > 0;) {
        if ((size >> height & 1) == 0)
            continue;
        well = source->hash(source->context, height, before >> height, ret->hashes[ret->count++]);
        before += UINT64_C(1) << height;
    }
    return well;
}

static bool push(const struct proof_source *source, uint64_t from, uint64_t to, struct proof *proof)
{
    assert(proof->count < PROOF_HASHES);
    return range_hash(source, from, to, proof->hashes[proof->count++]);
}

// Hashes are found from the root down and told from the leaf up.
static void turn_round(struct proof *proof)
{
    for (int i = 0, k = proof->count - 1; i < k; i++, k--) {
        uint8_t hash[TREE_HASH];
        memcpy(hash, proof->hashes[i], TREE_HASH);
        memcpy(proof->hashes[i], proof->hashes[k], TREE_HASH);
        memcpy(proof->hashes[k], hash, TREE_HASH);
    }
}

bool proof_inclusion(const struct proof_source *source, uint64_t index, uint64_t size, struct proof *ret)
{
    uint64_t from = 0, to = size;
    bool well = index < size;

    ret->count = 0;
    while (well && to - from > 1) {
        uint64_t middle = from + split(to - from);
        bool left = index < middle;
        well = left ? push(source, middle, to, ret) : push(source, from, middle, ret);
        from = left ? from : middle;
        to = left ? middle : to;
    }
    turn_round(ret);
    return well;
}

bool proof_consistency(const struct proof_source *source, uint64_t from, uint64_t to, struct proof *ret)
{
    uint64_t begin = 0, end = to;
    bool well = from > 0 && from <= to;

    ret->count = 0;
    while (well && from != end) {
        uint64_t middle = begin + split(end - begin);
        bool left = from <= middle;
        well = left ? push(source, middle, end, ret) : push(source, begin, middle, ret);
        begin = left ? begin : middle;
        end = left ? middle : end;
    }
    // Where the old tree is no subtree of the new one, the part of it that ends both is told first.
    if (well && begin > 0)
        well = push(source, begin, end, ret);
    turn_round(ret);
    return well;
}

// -------------------------------------------------------------------------------------------------- checking

bool proof_inclusion_root(const uint8_t leaf[TREE_HASH], uint64_t index, uint64_t size,
                          const uint8_t (*hashes)[TREE_HASH], size_t count, uint8_t ret[TREE_HASH])
{
    uint64_t at = index, last = size - 1;
    uint8_t hash[TREE_HASH];

    if (index >= size)
        return false;
    memcpy(hash, leaf, TREE_HASH);
    for (size_t i = 0; i < count; i++) {
        if (last == 0)
            return false;
        if ((at & 1) || at == last) {
            tree_node(hashes[i], hash, hash);
            for (; !(at & 1) && at > 0; at >>= 1)
                last >>= 1;
        } else {
            tree_node(hash, hashes[i], hash);
        }
        at >>= 1;
        last >>= 1;
    }
    if (last != 0)
        return false;
    memcpy(ret, hash, TREE_HASH);
    return true;
}

// The walk of RFC 9162 2.1.4.2 from the first hash up; both roots come out of it.
static bool walk(uint64_t from, uint64_t to, const uint8_t (*hashes)[TREE_HASH], size_t count,
                 uint8_t ret_from[TREE_HASH], uint8_t ret_to[TREE_HASH])
{
    uint64_t at = from - 1, last = to - 1;

    for (; at & 1; at >>= 1)
        last >>= 1;
    memcpy(ret_from, hashes[0], TREE_HASH);
    memcpy(ret_to, hashes[0], TREE_HASH);
    for (size_t i = 1; i < count; i++) {
        if (last == 0)
            return false;
        if ((at & 1) || at == last) {
            tree_node(hashes[i], ret_from, ret_from);
            tree_node(hashes[i], ret_to, ret_to);
            for (; !(at & 1) && at > 0; at >>= 1)
                last >>= 1;
        } else {
            tree_node(ret_to, hashes[i], ret_to);
        }
        at >>= 1;
        last >>= 1;
    }
    return last == 0;
}

bool proof_consistent(uint64_t from, const uint8_t from_root[TREE_HASH], uint64_t to,
                      const uint8_t to_root[TREE_HASH], const uint8_t (*hashes)[TREE_HASH], size_t count)
{
    uint8_t path[PROOF_HASHES][TREE_HASH], first[TREE_HASH], second[TREE_HASH];
    bool whole = (from & (from - 1)) ==
                 0;  // the old root is itself a subtree of the new tree, and is not told again

    if (from == 0 || from > to || count + 1 > PROOF_HASHES)
        return false;
    if (from == to)
        return count == 0 && memcmp(from_root, to_root, TREE_HASH) == 0;
    if (count == 0)
        return false;
    memcpy(path[0], from_root, TREE_HASH);
    memcpy(path[whole ? 1 : 0], hashes, count * TREE_HASH);
    return walk(from, to, path, count + (whole ? 1 : 0), first, second) &&
           memcmp(first, from_root, TREE_HASH) == 0 && memcmp(second, to_root, TREE_HASH) == 0;
}
