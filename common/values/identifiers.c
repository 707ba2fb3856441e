// values: identifiers with check digits, and ids.
#include "values/values.h"

#include <assert.h>
#include <ctype.h>
#include <stdatomic.h>
#include <sodium.h>
#include <string.h>

// Between min and max digits and nothing else? Returns how many, 0 when not.
static size_t digits(const char *text, size_t min, size_t max)
{
    size_t length = text != NULL ? strspn(text, "0123456789") : 0;
    return length >= min && length <= max && text[length] == '\0' ? length : 0;
}

// The mod 11 check digit of the first count digits: weights 2 3 4 5 6 7, again and again, from the right. 10: there is none.
static int mod11(const char *text, size_t count)
{
    int sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += (text[count - 1 - i] - '0') * (2 + (int)(i % 6));
    return (11 - sum % 11) % 11;
}

// The mod 10 (Luhn) check digit of the first count digits.
static int mod10(const char *text, size_t count)
{
    int sum = 0;

    for (size_t i = 0; i < count; i++) {
        int digit = text[count - 1 - i] - '0';
        sum += i % 2 == 0 ? digit * 2 / 10 + digit * 2 % 10 : digit;
    }
    return (10 - sum % 10) % 10;
}

bool organisation_number_valid(const char *text)
{
    // A leading zero is refused because 000000000 would pass the arithmetic; the register has none.
    return digits(text, 9, 9) && text[0] != '0' && mod11(text, 8) == text[8] - '0';
}

bool account_number_valid(const char *text)
{
    return digits(text, 11, 11) && strcmp(text, "00000000000") != 0 && mod11(text, 10) == text[10] - '0';
}

bool kid_valid(const char *text)
{
    size_t length = text != NULL ? strspn(text, "0123456789") : 0;
    bool dash = length > 0 && strcmp(text + length, "-") == 0;

    if (dash)
        return length <= 24 && mod11(text, length) == 10;
    if (digits(text, 2, 25) == 0)
        return false;
    int check = text[length - 1] - '0';
    return mod10(text, length - 1) == check || mod11(text, length - 1) == check;
}

char *kid_make(arena_t *arena, const char *text)
{
    size_t length = digits(text, 1, 24);
    assert(length > 0);
    return arena_printf(arena, "%s%d", text, mod10(text, length));
}

bool municipality_number_valid(const char *text)
{
    if (digits(text, 4, 4) == 0)
        return false;
    int county = (text[0] - '0') * 10 + text[1] - '0';
    return county >= 3 && county <= 56 && strcmp(text + 2, "00") != 0;
}

static bool hex_digits(const char *text, size_t count)
{
    return strspn(text, "0123456789abcdef") >= count;
}

bool uuid_valid(const char *text)
{
    static const size_t groups[] = {8, 4, 4, 4, 12};

    if (text == NULL || strlen(text) != 36)
        return false;
    for (size_t i = 0; i < 5; i++) {
        if (!hex_digits(text, groups[i]))
            return false;
        text += groups[i];
        if (*text++ != (i < 4 ? '-' : '\0'))
            return false;
    }
    return true;
}

bool sha256_text_valid(const char *text)
{
    return text != NULL && strlen(text) == 64 && hex_digits(text, 64);
}

// Set version and variant in 16 bytes, and write them out.
static char *uuid_text(arena_t *arena, uint8_t bytes[16], uint8_t version)
{
    bytes[6] = (uint8_t)(version << 4 | (bytes[6] & 0x0F));
    bytes[8] = 0x80 | (bytes[8] & 0x3F);
    const char *text = hex(arena, bytes, 16);
    return arena_printf(arena, "%.8s-%.4s-%.4s-%.4s-%s", text, text + 8, text + 12, text + 16, text + 20);
}

char *uuid_new(arena_t *arena, int64_t real_us)
{
    static _Atomic uint64_t
        last;  // milliseconds, and 12 bits of what is below them (RFC 9562, 6.2, method 3)
    uint8_t bytes[16];

    assert(real_us >= 0);
    uint64_t now = (uint64_t)(real_us / 1000) << 12 | (uint64_t)(real_us % 1000) * 4096 / 1000;
    uint64_t before = atomic_load(&last);
    while (!atomic_compare_exchange_weak(&last, &before, now > before ? now : before + 1))
        continue;
    if (now <= before)
        now = before + 1;

    randombytes_buf(bytes, sizeof bytes);
    for (int i = 0; i < 6; i++)
        bytes[i] = (uint8_t)(now >> (52 - 8 * i));
    bytes[6] = now >> 8 & 0x0F;
    bytes[7] = now & 0xFF;
    return uuid_text(arena, bytes, 7);
}

char *uuid_first(arena_t *arena, int64_t real_us)
{
    uint8_t bytes[16] = {0};

    for (int i = 0; i < 6; i++)
        bytes[i] = (uint8_t)((uint64_t)(real_us / 1000) >> (40 - 8 * i));
    return uuid_text(arena, bytes, 7);
}

char *uuid_from(arena_t *arena, const char *name)
{
    uint8_t digest[32];

    assert(name != NULL);
    // libsodium's: who needs no more than this, as the broker, shall not carry OpenSSL.
    crypto_hash_sha256(digest, (const uint8_t *)name, strlen(name));
    return uuid_text(arena, digest, 8);
}
