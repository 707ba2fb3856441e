// text: UTF-8 as Tildel accepts it.
#include "values/text.h"

#include <stdint.h>

// The well-formed sequences of two and more bytes (Unicode 15, table 3-7): what may begin one, and what the second byte
// may then be. All further bytes are 80..BF. C2 begins at A0: U+0080..U+009F are control characters.
static const struct {
    uint8_t first_from, first_to, second_from, second_to;
    size_t size;
} sequences[] = {
    {0xC2, 0xC2, 0xA0, 0xBF, 2}, {0xC3, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
    {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
    {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
};

static bool between(uint8_t byte, uint8_t from, uint8_t to)
{
    return byte >= from && byte <= to;
}

static bool tail_fits(const uint8_t *bytes, size_t size)
{
    for (size_t i = 2; i < size; i++)
        if (!between(bytes[i], 0x80, 0xBF))
            return false;
    return true;
}

size_t text_character(const char *text, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)text;

    if (size == 0)
        return 0;
    if (bytes[0] < 0x80)
        return between(bytes[0], 0x20, 0x7E) || bytes[0] == '\n' || bytes[0] == '\t';
    for (size_t i = 0; i < sizeof sequences / sizeof sequences[0]; i++)
        if (between(bytes[0], sequences[i].first_from, sequences[i].first_to))
            return size >= sequences[i].size &&
                           between(bytes[1], sequences[i].second_from, sequences[i].second_to) &&
                           tail_fits(bytes, sequences[i].size)
                       ? sequences[i].size
                       : 0;
    return 0;
}

bool text_valid(const char *text, size_t size)
{
    while (size > 0) {
        // Nearly all of it is plain ASCII, which needs no second look.
        size_t length = between((uint8_t)text[0], 0x20, 0x7E) ? 1 : text_character(text, size);
        if (length == 0)
            return false;
        text += length;
        size -= length;
    }
    return true;
}
