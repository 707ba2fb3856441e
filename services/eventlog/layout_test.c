// layout: names by C2SP tlog-tiles, and the tiles of trees of every size.
#include "layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void assert_path(const char *expected, enum layout_kind kind, int level, uint64_t index, int width)
{
    char path[LAYOUT_PATH];

    layout_path(kind, level, index, width, path);
    assert_string_equal(expected, path);
}

static void a_path_is_that_of_the_convention(void **state)
{
    (void)state;
    assert_path("tile/0/x001/x234/067", LAYOUT_HASHES, 0, 1234067,
                256);  // the example of c2sp.org/tlog-tiles
    assert_path("tile/0/000", LAYOUT_HASHES, 0, 0, 256);
    assert_path("tile/1/999", LAYOUT_HASHES, 1, 999, 256);
    assert_path("tile/7/x001/000", LAYOUT_HASHES, 7, 1000, 256);
    assert_path("tile/3/x001/000.p/5", LAYOUT_HASHES, 3, 1000, 5);
    assert_path("tile/entries/042.p/255", LAYOUT_ENTRIES, 0, 42, 255);
    assert_path("tile/entries/x036/x028/x797/x018/963", LAYOUT_ENTRIES, 0, 36028797018963, 256);
    assert_path("beside/x001/234", LAYOUT_BESIDE, 0, 1234, 256);
    assert_path("tile/entries/x018/x446/x744/x073/x709/x551/615.p/255", LAYOUT_ENTRIES, 0, UINT64_MAX, 255);
}

#define MOST 70000  // two full tiles of level 1 are 131072; one and a part is enough

// What the tiles have shown, level by level, and how many of them there were.
struct shown {
    uint8_t (*hashes[3])[TREE_HASH];
    uint64_t count[3];
    int tiles;
};

static bool show(void *context, int level, const struct growing_tile *tile)
{
    struct shown *shown = context;

    assert_in_range(level, 0, 2);
    assert_in_range(tile->width, 1, TILE);
    assert_true(tile->index * TILE == shown->count[level]);
    memcpy(shown->hashes[level][shown->count[level]], tile->hashes, (size_t)tile->width * TREE_HASH);
    shown->count[level] += (uint64_t)tile->width;
    shown->tiles++;
    return true;
}

// Each hash above level 0 is the root of the tile below it.
static void assert_above(const struct shown *shown, int level)
{
    for (uint64_t i = 0; i < shown->count[level]; i++) {
        struct tree tree = {0};
        uint8_t root[TREE_HASH];
        for (uint64_t k = 0; k < TILE; k++)
            tree_add(&tree, shown->hashes[level - 1][i * TILE + k]);
        tree_root(&tree, root);
        assert_memory_equal(root, shown->hashes[level][i], TREE_HASH);
    }
}

static void the_tiles_of_a_tree_hold_all_its_hashes(void **state)
{
    static const uint64_t sizes[] = {0, 1, 255, 256, 257, 1000, 65535, 65536, 65537, MOST};

    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        struct tiling *tiling = calloc(1, sizeof *tiling);
        struct shown shown = {.tiles = 0};
        uint8_t leaf[TREE_HASH];
        for (int level = 0; level < 3; level++)
            shown.hashes[level] = calloc((MOST >> 8 * level) + TILE, TREE_HASH);
        for (uint64_t i = 0; i < sizes[s]; i++) {
            tree_leaf(&i, sizeof i, leaf);
            assert_true(tiling_add(tiling, leaf, show, &shown));
        }
        assert_true(tiling_rest(tiling, show, &shown));
        assert_true(tiling->tree.size == sizes[s]);
        for (int level = 0; level < 3; level++)
            assert_true(shown.count[level] == sizes[s] >> 8 * level);
        assert_above(&shown, 1);
        assert_above(&shown, 2);
        for (int level = 0; level < 3; level++)
            free(shown.hashes[level]);
        free(tiling);
    }
}

static bool refuse(void *context, int level, const struct growing_tile *tile)
{
    (void)tile;
    return level != *(int *)context;
}

static void a_tile_that_is_not_taken_is_told(void **state)
{
    (void)state;
    for (int level = 0; level < 2; level++) {
        struct tiling *tiling = calloc(1, sizeof *tiling);
        uint64_t first = 0;
        for (uint64_t i = 1; i <= 65536 && first == 0; i++) {
            uint8_t leaf[TREE_HASH] = {1};
            first = tiling_add(tiling, leaf, refuse, &level) ? 0 : i;
        }
        assert_int_equal(level == 0 ? 256 : 65536, first);
        assert_true(tiling_rest(tiling, refuse, &level));  // of that level nothing is left
        free(tiling);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_that_of_the_convention),
        cmocka_unit_test(the_tiles_of_a_tree_hold_all_its_hashes),
        cmocka_unit_test(a_tile_that_is_not_taken_is_told),
    };
    return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
