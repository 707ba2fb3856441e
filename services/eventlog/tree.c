// tree: the Merkle tree of RFC 9162, kept as its compact range.
// The hash functions of OpenSSL before its EVP: the same code, with the processor's own instructions, but without a
// context on the heap and a look-up under a lock for each of the two hashes that an event costs.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "tree.h"

#include <assert.h>
#include <openssl/sha.h>
#include <string.h>

// SHA-256 over three parts.
static void digest(const void *first, size_t first_size, const void *second, size_t second_size,
                   const void *third, size_t third_size, uint8_t ret[TREE_HASH])
{
    SHA256_CTX context;

    SHA256_Init(&context);
    SHA256_Update(&context, first, first_size);
    SHA256_Update(&context, second, second_size);
    SHA256_Update(&context, third, third_size);
    SHA256_Final(ret, &context);
}

void tree_leaf(const void *bytes, size_t size, uint8_t ret[TREE_HASH])
{
    digest("\x00", 1, bytes, size, "", 0, ret);
}

void tree_node(const uint8_t left[TREE_HASH], const uint8_t right[TREE_HASH], uint8_t ret[TREE_HASH])
{
    digest("\x01", 1, left, TREE_HASH, right, TREE_HASH, ret);
}

int tree_add_tiles(struct tree *tree, const uint8_t leaf[TREE_HASH], uint8_t ret[TREE_TILES][TREE_HASH])
{
    int height = 0;

    assert(tree->count < TREE_LEVELS);
    memcpy(tree->hashes[tree->count++], leaf, TREE_HASH);
    // Each trailing one-bit of the old size is a subtree as large as the new one: the two become one.
    for (uint64_t bits = tree->size; bits & 1; bits >>= 1) {
        assert(tree->count >= 2);
        tree->count--;
        tree_node(tree->hashes[tree->count - 1], tree->hashes[tree->count], tree->hashes[tree->count - 1]);
        height++;
        if (height % 8 == 0)
            memcpy(ret[height / 8 - 1], tree->hashes[tree->count - 1], TREE_HASH);
    }
    tree->size++;
    assert(tree->count == __builtin_popcountll(tree->size));
    return height / 8;
}

void tree_add(struct tree *tree, const uint8_t leaf[TREE_HASH])
{
    uint8_t roots[TREE_TILES][TREE_HASH];

    tree_add_tiles(tree, leaf, roots);
}

void tree_root(const struct tree *tree, uint8_t ret[TREE_HASH])
{
    if (tree->count == 0) {
        digest("", 0, "", 0, "", 0, ret);
        return;
    }
    memcpy(ret, tree->hashes[tree->count - 1], TREE_HASH);
    for (int i = tree->count - 2; i >= 0; i--)
        tree_node(tree->hashes[i], ret, ret);
}

int tree_load(struct tree *tree, uint64_t size, const uint8_t *hashes, size_t bytes)
{
    int count = __builtin_popcountll(size);

    if (bytes != (size_t)count * TREE_HASH)
        return -1;
    *tree = (struct tree){.size = size, .count = count};
    if (bytes > 0)
        memcpy(tree->hashes, hashes, bytes);
    return 0;
}
