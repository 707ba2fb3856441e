// values: bytes as text and as numbers.
#include "values/values.h"

#include <assert.h>

void bytes_put(uint8_t *to, uint64_t number, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)(number >> 8 * (size - 1 - i));
}

uint64_t bytes_take(const uint8_t *from, size_t size)
{
    uint64_t number = 0;

    for (size_t i = 0; i < size; i++)
        number = number << 8 | from[i];
    return number;
}

char *hex(arena_t *arena, const void *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *from = bytes;

    assert(bytes != NULL || size == 0);
    char *text = arena_alloc(arena, 2 * size + 1);
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[from[i] >> 4];
        text[2 * i + 1] = digits[from[i] & 0x0F];
    }
    return text;
}

char *base32(arena_t *arena, const void *bytes, size_t size, size_t characters)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    const uint8_t *from = bytes;

    assert(characters * 5 <= size * 8);
    char *text = arena_alloc(arena, characters + 1);
    for (size_t i = 0; i < characters; i++) {
        size_t byte = i * 5 / 8, bit = i * 5 % 8;
        unsigned pair = (unsigned)from[byte] << 8 | (byte + 1 < size ? from[byte + 1] : 0);
        text[i] = alphabet[pair >> (11 - bit) & 31];
    }
    return text;
}
