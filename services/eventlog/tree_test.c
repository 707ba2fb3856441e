// tree: the known answers of RFC 6962's reference implementation, and a recursive reference for every size
// 1..300.
#include "tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

// The eight entries and their roots that Certificate Transparency's implementations share.
static const struct {
    const char *bytes;
    size_t size;
    const char *root;  // of the tree up to and including this entry
} known[] = {
    {"", 0, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
    {"\x00", 1, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"},
    {"\x10", 1, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"},
    {"\x20\x21", 2, "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"},
    {"\x30\x31", 2, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"},
    {"\x40\x41\x42\x43", 4, "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"},
    {"\x50\x51\x52\x53\x54\x55\x56\x57", 8,
     "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"},
    {"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16,
     "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"},
};

static void assert_hash(const uint8_t hash[TREE_HASH], const char *expected)
{
    char text[2 * TREE_HASH + 1];

    for (int i = 0; i < TREE_HASH; i++)
        snprintf(text + 2 * i, 3, "%02x", hash[i]);
    assert_string_equal(expected, text);
}

static void the_empty_tree_has_the_hash_of_nothing(void **state)
{
    (void)state;
    struct tree tree = {0};  // given
    uint8_t root[TREE_HASH];

    tree_root(&tree, root);                                                                 // when
    assert_hash(root, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");  // then
}

static void known_entries_have_known_roots(void **state)
{
    (void)state;
    struct tree tree = {0};  // given
    uint8_t leaf[TREE_HASH], root[TREE_HASH];

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        tree_leaf(known[i].bytes, known[i].size, leaf);  // when
        tree_add(&tree, leaf);
        tree_root(&tree, root);
        assert_hash(root, known[i].root);  // then
    }
}

// RFC 9162 2.1.1, word for word: split at the largest power of two below n.
static void reference(uint8_t leaves[][TREE_HASH], size_t n, uint8_t ret[TREE_HASH])
{
    uint8_t left[TREE_HASH], right[TREE_HASH];
    size_t split = 1;

    if (n == 1) {
        memcpy(ret, leaves[0], TREE_HASH);
        return;
    }
    while (split * 2 < n)
        split *= 2;
    reference(leaves, split, left);
    reference(leaves + split, n - split, right);
    tree_node(left, right, ret);
}

static void every_size_agrees_with_the_definition(void **state)
{
    (void)state;
    static uint8_t leaves[300][TREE_HASH];
    struct tree tree = {0};  // given

    for (size_t n = 1; n <= 300; n++) {
        uint8_t root[TREE_HASH], expected[TREE_HASH];
        char entry[16];
        tree_leaf(entry, (size_t)snprintf(entry, sizeof entry, "entry %zu", n), leaves[n - 1]);
        tree_add(&tree, leaves[n - 1]);  // when
        tree_root(&tree, root);
        reference(leaves, n, expected);
        assert_memory_equal(expected, root, TREE_HASH);  // then
    }
}

static void a_stored_tree_goes_on_where_it_was(void **state)
{
    (void)state;
    struct tree tree = {0}, loaded;  // given
    uint8_t leaf[TREE_HASH], root[TREE_HASH], again[TREE_HASH];

    for (int n = 0; n < 77; n++) {
        tree_leaf(&n, sizeof n, leaf);
        tree_add(&tree, leaf);
    }
    // when
    assert_int_equal(0, tree_load(&loaded, tree.size, tree.hashes[0], (size_t)tree.count * TREE_HASH));
    tree_add(&tree, leaf);
    tree_add(&loaded, leaf);
    // then
    tree_root(&tree, root);
    tree_root(&loaded, again);
    assert_memory_equal(root, again, TREE_HASH);
}

static void hashes_that_do_not_fit_the_size_are_refused(void **state)
{
    (void)state;
    uint8_t hashes[3 * TREE_HASH] = {0};
    struct tree tree;

    assert_int_equal(-1, tree_load(&tree, 3, hashes, sizeof hashes));  // 3 leaves have two hashes
    assert_int_equal(-1, tree_load(&tree, 7, hashes, 2 * TREE_HASH));
    assert_int_equal(0, tree_load(&tree, 7, hashes, sizeof hashes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_empty_tree_has_the_hash_of_nothing),
        cmocka_unit_test(known_entries_have_known_roots),
        cmocka_unit_test(every_size_agrees_with_the_definition),
        cmocka_unit_test(a_stored_tree_goes_on_where_it_was),
        cmocka_unit_test(hashes_that_do_not_fit_the_size_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
