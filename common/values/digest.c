// values: SHA-256 and hex.
// The hash functions of OpenSSL before its EVP, which are the same code: the first use of EVP makes two more megabytes of the
// library resident in every process.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "values/values.h"

#include <assert.h>
#include <openssl/sha.h>

void sha256(const void *bytes, size_t size, uint8_t ret[32])
{
    SHA256_CTX context;

    assert(bytes != NULL || size == 0);
    SHA256_Init(&context);
    SHA256_Update(&context, size > 0 ? bytes : "", size);
    SHA256_Final(ret, &context);
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

char *sha256_text(arena_t *arena, const void *bytes, size_t size)
{
    uint8_t digest[32];

    sha256(bytes, size, digest);
    return hex(arena, digest, sizeof digest);
}
