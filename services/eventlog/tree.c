// tree: the Merkle tree of RFC 9162, kept as its compact range.
#include "tree.h"

#include <assert.h>
#include <openssl/evp.h>
#include <string.h>

// SHA-256 over a prefix byte and up to two parts. OpenSSL's, because it uses the processor's own
// instructions.
static void digest(int prefix, const void *first, size_t first_size, const void *second, size_t second_size,
                   uint8_t ret[TREE_HASH])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t byte = (uint8_t)prefix;
    int fine = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;

    if (prefix >= 0)
        fine = fine && EVP_DigestUpdate(context, &byte, 1) == 1;
    fine = fine && EVP_DigestUpdate(context, first, first_size) == 1;
    fine = fine && EVP_DigestUpdate(context, second, second_size) == 1;
    fine = fine && EVP_DigestFinal_ex(context, ret, NULL) == 1;
    EVP_MD_CTX_free(context);
    assert(fine);
}

void tree_leaf(const void *bytes, size_t size, uint8_t ret[TREE_HASH])
{
    digest(0x00, bytes, size, "", 0, ret);
}

void tree_node(const uint8_t left[TREE_HASH], const uint8_t right[TREE_HASH], uint8_t ret[TREE_HASH])
{
    digest(0x01, left, TREE_HASH, right, TREE_HASH, ret);
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
        digest(-1, "", 0, "", 0, ret);
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
