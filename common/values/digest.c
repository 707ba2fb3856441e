// values: SHA-256.
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

char *sha256_text(arena_t *arena, const void *bytes, size_t size)
{
    uint8_t digest[32];

    sha256(bytes, size, digest);
    return hex(arena, digest, sizeof digest);
}
