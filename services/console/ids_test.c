// ids: an id that is there twice is found, however many there are.
#include "ids.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <errno.h>

// An id that no other number has.
static bool add(ids_t *ids, uint64_t number, uint64_t position)
{
    uint8_t id[ID_BYTES] = {0};

    memcpy(id, &number, sizeof number);
    return ids_add(ids, id, position);
}

static ids_t *ids_of(uint64_t count)
{
    ids_t *ids = ids_new();

    for (uint64_t i = 1; i <= count; i++)
        assert_true(add(ids, i, i));
    return ids;
}

static void assert_twice(ids_t *ids, uint64_t again, uint64_t first)
{
    uint64_t found, before;

    assert_true(ids_twice(ids, &found, &before));
    assert_int_equal(again, found);
    assert_int_equal(first, before);
    ids_destroy(&ids);
}

static const uint64_t sizes[] = {0, 1, 2, 1000, 65536, 65537, 300000};

static void ids_that_all_differ_are_well(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        assert_twice(ids_of(sizes[i]), 0, 0);
}

static void an_id_that_comes_again_is_found_with_both_its_positions(void **state)
{
    (void)state;
    for (size_t i = 2; i < sizeof sizes / sizeof sizes[0]; i++) {
        ids_t *ids = ids_of(sizes[i]);
        assert_true(add(ids, 2, sizes[i] + 1));
        assert_twice(ids, sizes[i] + 1, 2);
    }
}

static void of_several_the_one_that_comes_again_first_is_told(void **state)
{
    (void)state;
    for (size_t i = 3; i < sizeof sizes / sizeof sizes[0]; i++) {
        ids_t *ids = ids_of(sizes[i]);
        assert_true(add(ids, 900, sizes[i] + 1));
        assert_true(add(ids, 3, sizes[i] + 2));
        assert_true(add(ids, 900, sizes[i] + 3));
        assert_twice(ids, sizes[i] + 1, 900);
    }
}

static void without_room_on_disk_it_says_so_instead_of_well(void **state)
{
    ids_t *ids = ids_of(65536);

    (void)state;
    setenv("TMPDIR", "/there/is/no/such/folder", 1);
    assert_false(add(ids, 65537, 65537));
    assert_int_equal(ENOENT, errno);
    unsetenv("TMPDIR");
    ids_destroy(&ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_that_all_differ_are_well),
        cmocka_unit_test(an_id_that_comes_again_is_found_with_both_its_positions),
        cmocka_unit_test(of_several_the_one_that_comes_again_first_is_told),
        cmocka_unit_test(without_room_on_disk_it_says_so_instead_of_well),
    };
    return cmocka_run_group_tests_name("ids", tests, NULL, NULL);
}
