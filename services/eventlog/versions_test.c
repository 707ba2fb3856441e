// versions: what was set for a stream is what is found, among any number of them.
#include "versions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static int64_t *of(versions_t *versions, int number)
{
    char stream[64];

    snprintf(stream, sizeof stream, "intake/application/%d", number);
    return versions_of(versions, versions_name(versions, stream));
}

static void a_stream_that_was_not_asked_for_has_no_version(void **state)
{
    versions_t *versions = versions_new();

    (void)state;
    assert_int_equal(0, versions_count(versions));
    assert_int_equal(0, *of(versions, 1));
    assert_int_equal(1, versions_count(versions));
    versions_destroy(&versions);
    assert_null(versions);
    versions_destroy(&versions);
}

static void each_stream_keeps_its_own_while_the_table_grows(void **state)
{
    versions_t *versions = versions_new();
    const int streams = 100000;

    (void)state;
    for (int round = 1; round <= 2; round++)
        for (int i = 0; i < streams; i++) {
            int64_t *last = of(versions, i);
            assert_int_equal((round - 1) * (i + 1), *last);
            *last += i + 1;
        }
    assert_int_equal(streams, versions_count(versions));
    versions_destroy(&versions);
}

static void two_tables_do_not_know_each_others_names(void **state)
{
    versions_t *one = versions_new(), *other = versions_new();
    struct name a = versions_name(one, "intake/call/a"), again = versions_name(one, "intake/call/a"),
                b = versions_name(one, "intake/call/b"), elsewhere = versions_name(other, "intake/call/a");

    (void)state;
    assert_memory_equal(&a, &again, sizeof a);
    assert_memory_not_equal(&a, &b, sizeof a);
    assert_memory_not_equal(&a, &elsewhere, sizeof a);
    versions_destroy(&one);
    versions_destroy(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_that_was_not_asked_for_has_no_version),
        cmocka_unit_test(each_stream_keeps_its_own_while_the_table_grows),
        cmocka_unit_test(two_tables_do_not_know_each_others_names),
    };
    return cmocka_run_group_tests_name("versions", tests, NULL, NULL);
}
