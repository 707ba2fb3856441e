// What is an identifier, what is money: facts in tables. Most numbers are public ones of real organisations or of the
// published specifications of the check digits.
#include "values/values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

struct verdict {
    const char *text;
    bool valid;
};

static int with_arena(void **state)
{
    *state = arena_new(1024 * 1024);
    return 0;
}

static int without_arena(void **state)
{
    arena_t *arena = *state;
    arena_destroy(&arena);
    return 0;
}

static void judge(const struct verdict *verdicts, size_t count, bool valid(const char *))
{
    for (size_t i = 0; i < count; i++)
        if (valid(verdicts[i].text) != verdicts[i].valid)
            fail_msg("\"%s\" should be %s", verdicts[i].text, verdicts[i].valid ? "valid" : "invalid");
    assert_false(valid(NULL));
    assert_false(valid(""));
}

static void organisation_numbers_have_their_check_digit(void **state)
{
    (void)state;
    static const struct verdict verdicts[] = {
        {"974683520", true},                         // the remainder is 10
        {"998447356", true},   {"987654090", true},  // the remainder is 0
        {"981566378", true},   {"915000126", true},   {"974605171", true},    {"910230158", true},
        {"917422575", true},   {"971527404", true},   {"986339523", true},    {"920415288", true},
        {"829912252", true},   {"958935420", true},   {"988077917", true},    {"974683521", false},
        {"123456789", false},  {"981566050", false},  // no digit fits this beginning, nor the next ten
        {"987654040", false},  {"987654041", false},  {"987654042", false},   {"987654043", false},
        {"987654044", false},  {"987654045", false},  {"987654046", false},   {"987654047", false},
        {"987654048", false},  {"987654049", false},  {"000000000", false},   {"97468352", false},
        {"9746835200", false}, {"abcdefghi", false},  {"988 077 917", false}, {"NO981566378MVA", false},
        {"-74683520", false},  {" 974683520", false}, {"974683520\n", false}, {"97468352\xD9\xA0", false},
    };
    judge(verdicts, COUNT(verdicts), organisation_number_valid);
}

static void account_numbers_have_their_check_digit(void **state)
{
    (void)state;
    static const struct verdict verdicts[] = {
        {"76940512057", true},  {"12345678903", true},    {"99990000006", true},   {"97104133219", true},
        {"97105302049", true},  {"86011117947", true},    {"15942287248", true},   {"00004090403", true},
        {"12345678904", false}, {"99990000005", false},   {"123456789012", false}, {"1234567890", false},
        {"00000000000", false}, {"8601 11 17947", false}, {"1234567890a", false},  {"15032080020", false},
        {"15032080021", false}, {"15032080022", false},   {"15032080023", false},  {"15032080024", false},
        {"15032080025", false}, {"15032080026", false},   {"15032080027", false},  {"15032080028", false},
        {"15032080029", false}, {"7694.05.12057", false},
    };
    judge(verdicts, COUNT(verdicts), account_number_valid);
}

static void kids_end_in_a_mod_10_or_mod_11_digit(void **state)
{
    (void)state;
    static const struct verdict verdicts[] = {
        {"12344", true},      {"12345678903", true}, {"2345676", true},       {"0000001230", true},
        {"0000001236", true}, {"0010017", true},     {"1234567890128", true}, {"123456782", true},
        {"2345674", false},   {"1", false},          {"12345", false},        {"-", false},
        {"12-", false},       {"1-2", false},        {"1 2344", false},       {"1234567890a", false},
        {"98765404-", true},  // what mod 11 leaves 10 for
        {"987654040", false}, {"98765404--", false},
    };
    judge(verdicts, COUNT(verdicts), kid_valid);
}

static void a_kid_has_2_to_25_digits(void **state)
{
    for (int length = 1; length <= 24; length++) {
        char digits[26] = "";
        for (int i = 0; i < length; i++)
            digits[i] = (char)('1' + i % 9);
        char *kid = kid_make(*state, digits);
        assert_int_equal(length + 1, strlen(kid));
        assert_true(kid_valid(kid));
    }
    assert_string_equal("123456782", kid_make(*state, "12345678"));
    assert_string_equal("12344", kid_make(*state, "1234"));
    assert_false(kid_valid("12345678901234567890123457"));  // 26 digits
    assert_false(kid_valid("1234567890123456789012346-"));
}

static void a_municipality_number_is_text_of_four_digits(void **state)
{
    (void)state;
    static const struct verdict verdicts[] = {
        {"0301", true},   {"1103", true},  {"5601", true},  {"4601", true},  {"301", false},
        {"03010", false}, {"0300", false}, {"1100", false}, {"0201", false}, {"5701", false},
        {"0001", false},  {"03O1", false}, {" 301", false}, {"+301", false},
    };
    judge(verdicts, COUNT(verdicts), municipality_number_valid);
}

static void a_uuid_is_lower_case_with_dashes_in_their_places(void **state)
{
    (void)state;
    static const struct verdict verdicts[] = {
        {"017f22e2-79b0-7cc3-98c4-dc0c0c07398f", true},  {"00000000-0000-0000-0000-000000000000", true},
        {"017F22E2-79B0-7CC3-98C4-DC0C0C07398F", false}, {"017f22e279b07cc398c4dc0c0c07398f", false},
        {"017f22e2-79b0-7cc3-98c4-dc0c0c07398", false},  {"017f22e2-79b0-7cc3-98c4-dc0c0c07398fa", false},
        {"017f22e-279b0-7cc3-98c4-dc0c0c07398f", false}, {"017f22e2-79b0-7cc3-98c4_dc0c0c07398f", false},
        {"g17f22e2-79b0-7cc3-98c4-dc0c0c07398f", false}, {"------------------------------------", false},
    };
    judge(verdicts, COUNT(verdicts), uuid_valid);
}

static void a_sha256_is_64_lower_case_hex_digits(void **state)
{
    (void)state;
    static const struct verdict verdicts[] = {
        {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", true},
        {"E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", false},
        {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85", false},
        {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8555", false},
        {"g3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", false},
    };
    judge(verdicts, COUNT(verdicts), sha256_text_valid);
}

static void a_new_uuid_carries_its_instant_and_is_version_7(void **state)
{
    const int64_t late_us = INT64_C(0x7FFFFFFFFFFF) * 1000;  // so that no other test's id came after it
    const char *id = uuid_new(*state, late_us);
    assert_true(uuid_valid(id));
    assert_memory_equal("7fffffff-ffff-7", id, 15);
    assert_non_null(strchr("89ab", id[19]));
}

static void new_uuids_rise_also_when_the_clock_stands_or_goes_back(void **state)
{
    const char *last = uuid_new(*state, INT64_C(1718402400000000));
    for (int i = 0; i < 10000; i++) {
        arena_t *arena = arena_new(4096);
        const char *next = uuid_new(arena, INT64_C(1718402400000000) - i % 3 * 1000000);
        assert_true(strcmp(last, next) < 0);
        last = arena_text(*state, next);
        arena_destroy(&arena);
    }
}

static void the_first_uuid_of_an_instant_is_before_all_new_ones(void **state)
{
    const int64_t late_us = INT64_C(0x7FFFFFFFFFFE) * 1000;  // before the test of what a uuid carries
    const char *first = uuid_first(*state, late_us + 999);
    assert_true(uuid_valid(first));
    assert_true(strcmp(first, uuid_new(*state, late_us)) < 0);
    assert_true(strcmp(uuid_new(*state, late_us + 999), uuid_first(*state, late_us + 1000)) < 0);
}

static void the_same_name_gives_the_same_uuid_for_ever(void **state)
{
    const char *id = uuid_from(*state, "abc");
    // SHA-256 of "abc" begins ba7816bf 8f01 cfea 4141 40de5dae2223
    assert_string_equal("ba7816bf-8f01-8fea-8141-40de5dae2223", id);
    assert_string_equal(id, uuid_from(*state, "abc"));
    assert_string_not_equal(id, uuid_from(*state, "abd"));
}

static void sha256_is_that_of_fips_180(void **state)
{
    assert_string_equal("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                        sha256_text(*state, NULL, 0));
    assert_string_equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                        sha256_text(*state, "abc", 3));
    assert_string_equal("00ff10", hex(*state, "\x00\xff\x10", 3));
}

static void money_is_never_negative_and_never_wraps(void **state)
{
    (void)state;
    int64_t sum = 0;
    assert_true(money_add(&sum, 700000000));
    assert_true(money_add(&sum, MONEY_MAX - 700000000));
    assert_true(sum == MONEY_MAX);
    static const int64_t refused[] = {1, -MONEY_MAX - 1, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < COUNT(refused); i++) {
        assert_false(money_add(&sum, refused[i]));
        assert_true(sum == MONEY_MAX);
    }
    assert_true(money_add(&sum, -MONEY_MAX));
    assert_true(sum == 0);
    int64_t spoilt = -1;
    assert_false(money_add(&spoilt, 1));
    assert_true(spoilt == -1);
    assert_true(money_valid(0) && money_valid(MONEY_MAX));
    assert_false(money_valid(-1) || money_valid(MONEY_MAX + 1));
}

static void applications_and_awards_are_whole_kroner(void **state)
{
    (void)state;
    assert_true(money_whole(700000000) && money_whole(0));
    assert_false(money_whole(700000001) || money_whole(50) || money_whole(-100));
}

static void money_is_shown_in_groups_of_three(void **state)
{
    static const struct {
        int64_t ore;
        const char *text;
    } shown[] = {
        {700000000, "7 000 000 kr"},
        {128425, "1 284,25 kr"},
        {0, "0 kr"},
        {5, "0,05 kr"},
        {99900, "999 kr"},
        {100000, "1 000 kr"},
        {100, "1 kr"},
        {-128425, "-1 284,25 kr"},
        {MONEY_MAX, "100 000 000 000 kr"},
        {INT64_MIN, "-92 233 720 368 547 758,08 kr"},
    };
    for (size_t i = 0; i < COUNT(shown); i++)
        assert_string_equal(shown[i].text, money_text(*state, shown[i].ore));
}

static void a_number_goes_into_bytes_and_back(void **state)
{
    uint8_t bytes[8];

    (void)state;
    bytes_put(bytes, 0x0102030405060708, 8);
    assert_memory_equal("\x01\x02\x03\x04\x05\x06\x07\x08", bytes, 8);
    assert_true(bytes_take(bytes, 8) == 0x0102030405060708);
    bytes_put(bytes, 65535, 2);
    assert_int_equal(65535, bytes_take(bytes, 2));
    bytes_put(bytes, (uint64_t)INT64_C(-5), 8);
    assert_true((int64_t)bytes_take(bytes, 8) == -5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_goes_into_bytes_and_back),
        cmocka_unit_test(organisation_numbers_have_their_check_digit),
        cmocka_unit_test(account_numbers_have_their_check_digit),
        cmocka_unit_test(kids_end_in_a_mod_10_or_mod_11_digit),
        cmocka_unit_test(a_kid_has_2_to_25_digits),
        cmocka_unit_test(a_municipality_number_is_text_of_four_digits),
        cmocka_unit_test(a_uuid_is_lower_case_with_dashes_in_their_places),
        cmocka_unit_test(a_sha256_is_64_lower_case_hex_digits),
        cmocka_unit_test(new_uuids_rise_also_when_the_clock_stands_or_goes_back),
        cmocka_unit_test(the_first_uuid_of_an_instant_is_before_all_new_ones),
        cmocka_unit_test(a_new_uuid_carries_its_instant_and_is_version_7),
        cmocka_unit_test(the_same_name_gives_the_same_uuid_for_ever),
        cmocka_unit_test(sha256_is_that_of_fips_180),
        cmocka_unit_test(money_is_never_negative_and_never_wraps),
        cmocka_unit_test(applications_and_awards_are_whole_kroner),
        cmocka_unit_test(money_is_shown_in_groups_of_three),
    };
    return cmocka_run_group_tests(tests, with_arena, without_arena);
}
