// Tests of the list of a package's hashes: what is taken from it is what sha256sum would print, and a list that is not the
// same is told by the member where it differs, wherever the pieces end.
#include "sums.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define MEMBERS 300  // their lines are more than a piece of 4096 bytes
#define LINE    (64 + 2 + 3 + 1)

// Of the word "abc": FIPS 180-4, example B.1.
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static sums_t *sums_of(int members)
{
    sums_t *sums = sums_new();
    char name[16];

    assert_non_null(sums);
    for (int i = 0; i < members; i++) {
        snprintf(name, sizeof name, "%03d", i);
        assert_true(sums_add(sums, name, "abc", 3));
    }
    size_t size;
    assert_true(sums_end(sums, &size));
    assert_int_equal(members * LINE, size);
    return sums;
}

// The list as it should be, of so many bytes that more is read than it has.
static char *text_of(int members)
{
    char *text = calloc(1, (size_t)(members + 2) * LINE + 1);

    assert_non_null(text);
    for (int i = 0; i < members + 2; i++)
        snprintf(text + i * LINE, LINE + 1, ABC "  %03d\n", i);
    return text;
}

static void what_is_taken_is_what_sha256sum_prints(void **state)
{
    sums_t *sums = sums_of(MEMBERS);
    char *text = text_of(MEMBERS), taken[1000];
    size_t at = 0;

    (void)state;
    for (size_t size; (size = sums_take(sums, taken, sizeof taken)) > 0; at += size)
        assert_memory_equal(text + at, taken, size);
    assert_int_equal(MEMBERS * LINE, at);
    free(text);
    sums_destroy(&sums);
}

// Compare in pieces of so many bytes, up to the first that does not agree.
static bool agrees(sums_t *sums, const char *text, size_t size, size_t piece)
{
    for (size_t at = 0; at < size; at += piece)
        if (!sums_agree(sums, text + at, size - at < piece ? size - at : piece))
            return false;
    return sums_ended(sums);
}

static const size_t pieces[] = {1, LINE, 4095, 4096, 4097, 65536};

static void the_same_list_agrees_in_pieces_of_any_size(void **state)
{
    char *text = text_of(MEMBERS);

    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        sums_t *sums = sums_of(MEMBERS);
        assert_true(agrees(sums, text, MEMBERS * LINE, pieces[i]));
        sums_destroy(&sums);
    }
    free(text);
}

static void where_a_list_differs_is_told_by_its_member(void **state)
{
    static const struct {
        size_t flipped, size;  // this byte is another; so long is the list
        const char *name;
    } faults[] = {
        {0, MEMBERS * LINE, "000"},
        {LINE - 1, MEMBERS * LINE, "000"},  // the end of its line
        {LINE, MEMBERS * LINE, "001"},
        {4096, MEMBERS * LINE, "058"},
        {MEMBERS * LINE - 1, MEMBERS * LINE, "299"},
        {MEMBERS * LINE, 0, "000"},
        {MEMBERS * LINE, (MEMBERS - 1) * LINE, "299"},      // a line is missing
        {MEMBERS * LINE, MEMBERS * LINE - 2, "299"},        // it ends within the last
        {MEMBERS * LINE, (MEMBERS + 1) * LINE, "its end"},  // one is too many
        {MEMBERS * LINE, MEMBERS * LINE + 1, "its end"},
    };

    arena_t *arena = arena_new(4096);

    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        for (size_t k = 0; k < sizeof pieces / sizeof pieces[0]; k++) {
            sums_t *sums = sums_of(MEMBERS);
            char *text = text_of(MEMBERS);
            text[faults[i].flipped] ^= 1;
            assert_false(agrees(sums, text, faults[i].size, pieces[k]));  // when
            assert_string_equal(faults[i].name, sums_name(sums, arena));  // then
            free(text);
            sums_destroy(&sums);
        }
    arena_destroy(&arena);
}

static void without_a_folder_for_it_there_is_no_list(void **state)
{
    (void)state;
    setenv("TMPDIR", "/there/is/no/such/folder", 1);
    assert_null(sums_new());
    assert_int_equal(ENOENT, errno);
    unsetenv("TMPDIR");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_is_what_sha256sum_prints),
        cmocka_unit_test(the_same_list_agrees_in_pieces_of_any_size),
        cmocka_unit_test(where_a_list_differs_is_told_by_its_member),
        cmocka_unit_test(without_a_folder_for_it_there_is_no_list),
    };
    return cmocka_run_group_tests_name("sums", tests, NULL, NULL);
}
