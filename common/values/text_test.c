// What is acceptable text, byte by byte.
#include "values/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static void letters_of_all_who_live_here_are_text(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "Blåbærgrød på Ærø",
                                        "Kárášjohka, čakča, ŋ đ ŧ ž ǩ š",
                                        "\t\n",
                                        "€ 𝄞 \xF4\x8F\xBF\xBF",
                                        "\xEF\xBF\xBD",
                                        "\xC2\xA0",
                                        "~"};
    for (size_t i = 0; i < COUNT(texts); i++)
        if (!text_valid(texts[i], strlen(texts[i])))
            fail_msg("\"%s\" should be text", texts[i]);
}

static void what_no_one_writes_is_not_text(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } refused[] = {
        {"\0", 1},
        {"a\0b", 3},
        {"\x01", 1},
        {"\x1F", 1},
        {"\r", 1},
        {"\x7F", 1},
        {"\xC2\x80", 2},
        {"\xC2\x9F", 2},  // control characters
        {"\xC0\x80", 2},
        {"\xC1\xBF", 2},
        {"\xE0\x9F\xBF", 3},
        {"\xF0\x8F\xBF\xBF", 4},  // not the shortest
        {"\xED\xA0\x80", 3},
        {"\xED\xBF\xBF", 3},
        {"\xF4\x90\x80\x80", 4},
        {"\xF5\x80\x80\x80", 4},
        {"\x80", 1},
        {"\xFF", 1},
        {"\xC3", 1},
        {"\xE2\x82", 2},
        {"\xF0\x9D\x84", 3},
        {"\xC3\x28", 2},
        {"\xE2\x82\x28", 3},
        {"\xF0\x9D\x84\x28", 4},
        {"\xC3\xA5\xC3", 3},
    };
    for (size_t i = 0; i < COUNT(refused); i++)
        if (text_valid(refused[i].bytes, refused[i].size))
            fail_msg("row %zu should not be text", i);
}

// Against the definition, for every sequence of three bytes.
static void each_character_of_three_bytes_is_judged_by_its_number(void **state)
{
    (void)state;
    for (uint32_t bytes = 0xE00000; bytes <= 0xEFFFFF; bytes++) {
        const char text[3] = {(char)(bytes >> 16), (char)(bytes >> 8), (char)bytes};
        uint32_t number = (bytes >> 16 & 0x0F) << 12 | (bytes >> 8 & 0x3F) << 6 | (bytes & 0x3F);
        bool formed = (bytes & 0xC0C0) == 0x8080;
        bool character = formed && number >= 0x800 && (number < 0xD800 || number > 0xDFFF);
        if (text_valid(text, 3) != character)
            fail_msg("%06x", bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_of_all_who_live_here_are_text),
        cmocka_unit_test(what_no_one_writes_is_not_text),
        cmocka_unit_test(each_character_of_three_bytes_is_judged_by_its_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
