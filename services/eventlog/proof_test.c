// proof: the known answers of RFC 6962's reference implementation, every proof of every tree up to 130 leaves,
// and that what does not fit is refused.
#include "proof.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define MOST 130

static uint8_t leaves[MOST][TREE_HASH];

// The definition, leaf by leaf.
static bool subtree(void *context, unsigned height, uint64_t index, uint8_t ret[TREE_HASH])
{
    (void)context;
    struct tree tree = {0};

    for (uint64_t i = index << height; i < (index + 1) << height; i++)
        tree_add(&tree, leaves[i]);
    tree_root(&tree, ret);
    return true;
}

static bool nothing(void *context, unsigned height, uint64_t index, uint8_t ret[TREE_HASH])
{
    (void)context;
    (void)height;
    (void)index;
    (void)ret;
    return false;
}

static const struct proof_source source = {.hash = subtree};

static void root_of(size_t size, uint8_t ret[TREE_HASH])
{
    struct tree tree = {0};

    for (size_t i = 0; i < size; i++)
        tree_add(&tree, leaves[i]);
    tree_root(&tree, ret);
}

static int number_leaves(void **state)
{
    (void)state;
    for (int i = 0; i < MOST; i++)
        tree_leaf(&i, sizeof i, leaves[i]);
    return 0;
}

// The eight entries that Certificate Transparency's implementations share.
static int known_leaves(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } entries[] = {{"", 0},
                   {"\x00", 1},
                   {"\x10", 1},
                   {"\x20\x21", 2},
                   {"\x30\x31", 2},
                   {"\x40\x41\x42\x43", 4},
                   {"\x50\x51\x52\x53\x54\x55\x56\x57", 8},
                   {"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16}};

    for (int i = 0; i < 8; i++)
        tree_leaf(entries[i].bytes, entries[i].size, leaves[i]);
    return 0;
}

static void assert_proof(const struct proof *proof, int count, const char *const expected[])
{
    assert_int_equal(count, proof->count);
    for (int n = 0; n < count; n++) {
        char text[2 * TREE_HASH + 1];
        for (int i = 0; i < TREE_HASH; i++)
            snprintf(text + 2 * i, 3, "%02x", proof->hashes[n][i]);
        assert_string_equal(expected[n], text);
    }
}

static void known_inclusion_proofs(void **state)
{
    (void)state;
    struct proof proof;

    assert_true(proof_inclusion(&source, 0, 8, &proof));
    assert_proof(&proof, 3,
                 (const char *const[]){"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                                       "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                                       "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"});
    assert_true(proof_inclusion(&source, 5, 8, &proof));
    assert_proof(&proof, 3,
                 (const char *const[]){"bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                                       "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                                       "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"});
    assert_true(proof_inclusion(&source, 2, 3, &proof));
    assert_proof(&proof, 1,
                 (const char *const[]){"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"});
}

static void known_consistency_proofs(void **state)
{
    (void)state;
    struct proof proof;

    assert_true(proof_consistency(&source, 1, 8, &proof));
    assert_proof(&proof, 3,
                 (const char *const[]){"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                                       "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                                       "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"});
    assert_true(proof_consistency(&source, 6, 8, &proof));
    assert_proof(&proof, 3,
                 (const char *const[]){"0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                                       "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                                       "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"});
    assert_true(proof_consistency(&source, 8, 8, &proof));
    assert_int_equal(0, proof.count);
}

static void every_inclusion_proof_leads_to_the_root_and_no_other_does(void **state)
{
    (void)state;
    struct proof proof;
    uint8_t root[TREE_HASH], found[TREE_HASH];

    for (size_t size = 1; size <= MOST; size++) {
        root_of(size, root);
        for (size_t index = 0; index < size; index++) {
            assert_true(proof_inclusion(&source, index, size, &proof));
            size_t count = (size_t)proof.count;
            assert_true(proof_inclusion_root(leaves[index], index, size, proof.hashes, count, found));
            assert_memory_equal(root, found, TREE_HASH);
            // One hash more, one less, another index of the same path length, another leaf.
            assert_false(proof_inclusion_root(leaves[index], index, size, proof.hashes, count + 1, found));
            if (count > 0)
                assert_false(
                    proof_inclusion_root(leaves[index], index, size, proof.hashes, count - 1, found));
            if ((index ^ 1) < size &&
                proof_inclusion_root(leaves[index], index ^ 1, size, proof.hashes, count, found))
                assert_memory_not_equal(root, found, TREE_HASH);
        }
        assert_false(proof_inclusion(&source, size, size, &proof));
    }
}

static void every_consistency_proof_holds_and_a_changed_one_does_not(void **state)
{
    (void)state;
    struct proof proof;
    uint8_t first[TREE_HASH], second[TREE_HASH];

    for (size_t to = 1; to <= MOST; to++) {
        root_of(to, second);
        for (size_t from = 1; from <= to; from++) {
            root_of(from, first);
            assert_true(proof_consistency(&source, from, to, &proof));
            size_t count = (size_t)proof.count;
            assert_true(proof_consistent(from, first, to, second, proof.hashes, count));
            assert_false(proof_consistent(from, first, to, second, proof.hashes, count + 1));
            first[0] ^= 1;
            assert_false(proof_consistent(from, first, to, second, proof.hashes, count));
            first[0] ^= 1;
            for (size_t i = 0; i < count; i++) {
                proof.hashes[i][31] ^= 0x80;
                assert_false(proof_consistent(from, first, to, second, proof.hashes, count));
                proof.hashes[i][31] ^= 0x80;
            }
        }
    }
    assert_false(proof_consistency(&source, 0, 5, &proof));
    assert_false(proof_consistency(&source, 6, 5, &proof));
}

static void a_source_that_fails_makes_no_proof(void **state)
{
    (void)state;
    static const struct proof_source broken = {.hash = nothing};
    struct proof proof;
    uint8_t root[TREE_HASH];

    assert_false(proof_inclusion(&broken, 1, 5, &proof));
    assert_false(proof_consistency(&broken, 1, 5, &proof));
    assert_false(proof_root(&broken, 5, root));
}

// What completes a tile, height 8 and 16, comes out as it is completed.
static void tiles_come_out_as_they_are_completed(void **state)
{
    (void)state;
    struct tree tree = {0}, plain = {0}, second = {0};
    uint8_t roots[TREE_TILES][TREE_HASH], leaf[TREE_HASH], root[TREE_HASH];

    for (uint32_t n = 1; n <= 2 * 65536; n++) {
        tree_leaf(&n, sizeof n, leaf);
        int full = tree_add_tiles(&tree, leaf, roots);
        tree_add(&plain, leaf);
        assert_int_equal(n % 65536 == 0 ? 2 : n % 256 == 0 ? 1 : 0, full);
        if (full > 0) {
            tree_root(&plain, root);
            assert_memory_equal(root, roots[0], TREE_HASH);
            plain = (struct tree){0};
            tree_add(&second, roots[0]);
        }
        if (full > 1) {
            tree_root(&second, root);
            assert_memory_equal(root, roots[1], TREE_HASH);
            second = (struct tree){0};
        }
    }
}

static void a_tree_goes_on_from_where_it_was_taken_up(void **state)
{
    (void)state;
    for (size_t size = 0; size <= MOST; size++) {
        struct tree tree;
        uint8_t expected[TREE_HASH], root[TREE_HASH];
        assert_true(proof_tree(&source, size, &tree));
        for (size_t i = size; i < MOST; i++)
            tree_add(&tree, leaves[i]);
        tree_root(&tree, root);
        root_of(MOST, expected);
        assert_memory_equal(expected, root, TREE_HASH);
    }
    struct tree none;
    assert_false(proof_tree(&(struct proof_source){.hash = nothing}, 3, &none));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(known_inclusion_proofs, known_leaves),
        cmocka_unit_test_setup(known_consistency_proofs, known_leaves),
        cmocka_unit_test_setup(every_inclusion_proof_leads_to_the_root_and_no_other_does, number_leaves),
        cmocka_unit_test_setup(every_consistency_proof_holds_and_a_changed_one_does_not, number_leaves),
        cmocka_unit_test_setup(a_tree_goes_on_from_where_it_was_taken_up, number_leaves),
        cmocka_unit_test(a_source_that_fails_makes_no_proof),
        cmocka_unit_test(tiles_come_out_as_they_are_completed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
