// recent: the last versions of the streams that events came for lately. Most events continue such a stream, and then
// nothing has to be looked up before they are appended.
//
// A stream is known by a hash under a key of this process, so nobody can choose two streams that are taken for one. Of two
// streams that want one slot the later has it; the other is looked up again.
#include "eventlog.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

static_assert(sizeof((struct recent){0}.key) == crypto_shorthash_siphashx24_KEYBYTES, "the key is SipHash's");
static_assert(sizeof((struct recent){0}.slots[0].stream) == crypto_shorthash_siphashx24_BYTES,
              "so is the hash");

static size_t slot_of(const struct recent *recent, const char *stream, uint8_t hash[16])
{
    uint32_t number;

    crypto_shorthash_siphashx24(hash, (const uint8_t *)stream, strlen(stream), recent->key);
    memcpy(&number, hash, sizeof number);
    return number % RECENT_STREAMS;
}

void recent_forget(struct recent *recent)
{
    memset(recent, 0, sizeof *recent);
    randombytes_buf(recent->key, sizeof recent->key);
}

int64_t recent_last(const struct recent *recent, const char *stream)
{
    uint8_t hash[16];
    size_t slot = slot_of(recent, stream, hash);

    return memcmp(recent->slots[slot].stream, hash, sizeof hash) == 0 ? recent->slots[slot].last : 0;
}

void recent_note(struct recent *recent, const char *stream, int64_t last)
{
    uint8_t hash[16];
    size_t slot = slot_of(recent, stream, hash);

    memcpy(recent->slots[slot].stream, hash, sizeof hash);
    recent->slots[slot].last = last;
}
