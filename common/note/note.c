// note: signed notes.
#include "note/note.h"

#include "values/text.h"
#include "values/values.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ID_BYTES   4
#define TIME_BYTES 8

static const char dash[] = "\xe2\x80\x94 ";  // U+2014 and a space begin a signature line
static const char secret_prefix[] = "PRIVATE+KEY+";

static bool wrong(const char **ret_why, const char *why)
{
    *ret_why = why;
    return false;
}

// ---------------------------------------------------------------------------------------------------- base64

char *note_base64(arena_t *arena, const void *bytes, size_t size)
{
    size_t room = sodium_base64_encoded_len(size, sodium_base64_VARIANT_ORIGINAL);

    return sodium_bin2base64(arena_alloc(arena, room), room, bytes, size, sodium_base64_VARIANT_ORIGINAL);
}

// libsodium's decoder takes bytes beyond ASCII for some that are in the alphabet: found by damaged keys.
static bool in_alphabet(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=", text[i]) ||
            text[i] == '\0')
            return false;
    return true;
}

uint8_t *note_base64_parse(arena_t *arena, const char *text, size_t length, size_t *ret_size)
{
    uint8_t *bytes = arena_alloc(arena, length / 4 * 3 + 4);
    const char *end = NULL;

    if (length % 4 != 0 || !in_alphabet(text, length) ||
        sodium_base642bin(bytes, length / 4 * 3 + 4, text, length, NULL, ret_size, &end,
                          sodium_base64_VARIANT_ORIGINAL) != 0)
        return NULL;
    return end == text + length ? bytes : NULL;
}

// ------------------------------------------------------------------------------------------------------ keys

static bool name_valid(const char *name, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (name[i] <= ' ' || name[i] > '~' || name[i] == '+')
            return false;
    return length > 0 && length < NOTE_NAME;
}

bool note_name_valid(const char *name)
{
    return name_valid(name, strlen(name));
}

static uint32_t big_endian(const uint8_t bytes[ID_BYTES])
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

// SHA-256(name || line feed || type || key), its first four bytes.
static uint32_t id_of(const struct note_key *key)
{
    uint8_t said[NOTE_NAME + 2 + NOTE_KEY], digest[32];
    size_t length = strlen(key->name);

    memcpy(said, key->name, length);
    said[length] = '\n';
    said[length + 1] = (uint8_t)key->type;
    memcpy(said + length + 2, key->bytes, NOTE_KEY);
    sha256(said, length + 2 + NOTE_KEY, digest);
    return big_endian(digest);
}

static char *key_text(arena_t *arena, const char *prefix, const struct note_key *key,
                      const uint8_t bytes[NOTE_KEY])
{
    uint8_t typed[1 + NOTE_KEY] = {(uint8_t)key->type};

    memcpy(typed + 1, bytes, NOTE_KEY);
    char *text = arena_printf(arena, "%s%s+%08x+%s", prefix, key->name, key->id,
                              note_base64(arena, typed, sizeof typed));
    sodium_memzero(typed, sizeof typed);
    return text;
}

char *note_key_text(arena_t *arena, const struct note_key *key)
{
    return key_text(arena, "", key, key->bytes);
}

// NAME+ID+BASE64(type || 32 bytes): the three parts; whether the id is right depends on what the bytes are.
static bool parts_parse(arena_t *arena, const char *text, struct note_key *ret, uint8_t ret_bytes[NOTE_KEY],
                        const char **ret_why)
{
    size_t name = strcspn(text, "+"), size = 0;
    const char *id = text + name + 1;

    if (!name_valid(text, name) || text[name] != '+')
        return wrong(ret_why, "a key must begin with its name and a plus");
    if (strspn(id, "0123456789abcdef") != 8 || id[8] != '+')
        return wrong(ret_why, "a key's second part must be its id in 8 lower-case hex digits");
    const uint8_t *bytes = note_base64_parse(arena, id + 9, strlen(id + 9), &size);
    if (bytes == NULL || size != 1 + NOTE_KEY)
        return wrong(ret_why, "a key's third part must be base64 of a type and 32 bytes");
    if (bytes[0] != NOTE_PLAIN && bytes[0] != NOTE_COSIGNATURE)
        return wrong(ret_why, "a key's type must be 1 (Ed25519) or 4 (Ed25519 with an instant)");
    *ret = (struct note_key){.type = bytes[0], .id = (uint32_t)strtoul(id, NULL, 16)};
    memcpy(ret->name, text, name);
    memcpy(ret_bytes, bytes + 1, NOTE_KEY);
    return true;
}

bool note_key_parse(arena_t *arena, const char *text, struct note_key *ret, const char **ret_why)
{
    struct note_key key;

    if (!parts_parse(arena, text, &key, key.bytes, ret_why))
        return false;
    if (key.id != id_of(&key))
        return wrong(ret_why, "the key's id is not the one its name and bytes have");
    *ret = key;
    return true;
}

void note_signer_make(const char *name, enum note_type type, const uint8_t seed[NOTE_KEY],
                      struct note_signer *ret)
{
    int ready = sodium_init();

    assert(ready >= 0 && note_name_valid(name));
    *ret = (struct note_signer){.key.type = type};
    strcpy(ret->key.name, name);
    crypto_sign_ed25519_seed_keypair(ret->key.bytes, ret->secret, seed);
    ret->key.id = id_of(&ret->key);
}

char *note_signer_text(arena_t *arena, const struct note_signer *signer)
{
    return key_text(arena, secret_prefix, &signer->key, signer->secret);
}

bool note_signer_parse(arena_t *arena, const char *text, struct note_signer *ret, const char **ret_why)
{
    struct note_signer signer;
    struct note_key told;
    uint8_t seed[NOTE_KEY];

    if (strncmp(text, secret_prefix, strlen(secret_prefix)) != 0)
        return wrong(ret_why, "a secret key must begin with PRIVATE+KEY+");
    if (!parts_parse(arena, text + strlen(secret_prefix), &told, seed, ret_why))
        return false;
    note_signer_make(told.name, told.type, seed, &signer);
    sodium_memzero(seed, sizeof seed);
    if (signer.key.id != told.id) {
        note_signer_wipe(&signer);
        return wrong(ret_why, "the key's id is not the one its name and bytes have");
    }
    *ret = signer;
    note_signer_wipe(&signer);
    return true;
}

void note_signer_wipe(struct note_signer *signer)
{
    sodium_memzero(signer, sizeof *signer);
}

// The text of a file of keys; NULL with a sentence.
static char *key_file(arena_t *arena, const char *path, bool secret, const char **ret_why)
{
    char text[4096];
    struct stat about;
    int file = open(path, O_RDONLY | O_CLOEXEC);

    if (file < 0 || fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) {
        *ret_why = arena_printf(arena, "%s cannot be read: %s", path,
                                file < 0 ? strerror(errno) : "it is no file");
        if (file >= 0)
            close(file);
        return NULL;
    }
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    if (secret && (about.st_mode & 077) != 0) {
        *ret_why = arena_printf(arena, "%s may be read by others: chmod 0600", path);
        return NULL;
    }
    text[size > 0 ? size : 0] = '\0';
    char *kept = arena_text(arena, text);
    sodium_memzero(text, sizeof text);
    return kept;
}

// Its first line.
static char *first_line(arena_t *arena, const char *path, const char **ret_why)
{
    char *text = key_file(arena, path, true, ret_why);

    if (text != NULL)
        text[strcspn(text, "\n")] = '\0';
    return text;
}

bool note_ring_load(arena_t *arena, const char *path, struct note_ring *ret, const char **ret_why)
{
    char *text = key_file(arena, path, false, ret_why), *rest = text;
    const char *why = "there is no line";

    ret->count = 0;
    if (text == NULL)
        return false;
    for (char *line; (line = strtok_r(rest, "\n", &rest)) != NULL; ret->count++) {
        if (ret->count == NOTE_KEYS)
            why = "there are too many";
        else if (note_key_parse(arena, line, &ret->keys[ret->count], &why))
            continue;
        return wrong(ret_why, arena_printf(arena, "%s, line %zu, is no public key of a log or witness: %s", path,
                                           ret->count + 1, why));
    }
    return ret->count > 0 ||
           wrong(ret_why, arena_printf(arena, "%s is no public key of a log or witness: %s", path, why));
}

bool note_signer_load(arena_t *arena, const char *path, struct note_signer *ret, const char **ret_why)
{
    char *line = first_line(arena, path, ret_why);
    const char *why;

    if (line == NULL)
        return false;
    bool well = note_signer_parse(arena, line, ret, &why);
    sodium_memzero(line, strlen(line));
    return well ||
           wrong(ret_why, arena_printf(arena, "%s is no secret key of a log or witness: %s", path, why));
}

// ------------------------------------------------------------------------------------------------ signatures

static char *signature_line(arena_t *arena, const struct note_key *key, const uint8_t *bytes, size_t size)
{
    uint8_t with_id[ID_BYTES + TIME_BYTES + crypto_sign_ed25519_BYTES];

    bytes_put(with_id, key->id, ID_BYTES);
    memcpy(with_id + ID_BYTES, bytes, size);
    return arena_printf(arena, "%s%s %s\n", dash, key->name, note_base64(arena, with_id, ID_BYTES + size));
}

char *note_sign(arena_t *arena, const struct note_signer *signer, const char *text)
{
    uint8_t signature[crypto_sign_ed25519_BYTES];
    size_t size = strlen(text);

    assert(signer->key.type == NOTE_PLAIN && size > 0 && text[size - 1] == '\n');
    crypto_sign_ed25519_detached(signature, NULL, (const uint8_t *)text, size, signer->secret);
    return signature_line(arena, &signer->key, signature, sizeof signature);
}

static char *timed_text(arena_t *arena, const char *text, int64_t at_s)
{
    return arena_printf(arena, "cosignature/v1\ntime %lld\n%s", (long long)at_s, text);
}

char *note_cosign(arena_t *arena, const struct note_signer *signer, const char *text, int64_t at_s)
{
    uint8_t signature[TIME_BYTES + crypto_sign_ed25519_BYTES];
    const char *timed = timed_text(arena, text, at_s);

    assert(signer->key.type == NOTE_COSIGNATURE && at_s >= 0 && text[0] != '\0' &&
           text[strlen(text) - 1] == '\n');
    bytes_put(signature, (uint64_t)at_s, TIME_BYTES);
    crypto_sign_ed25519_detached(signature + TIME_BYTES, NULL, (const uint8_t *)timed, strlen(timed),
                                 signer->secret);
    return signature_line(arena, &signer->key, signature, sizeof signature);
}

// No control characters but line feeds, and UTF-8 as the whole house reads it.
static bool characters_valid(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (((unsigned char)text[i] < ' ' && text[i] != '\n') || text[i] == 0x7f)
            return false;
    return text_valid(text, size);
}

static bool signature_parse(arena_t *arena, const char *line, size_t length, struct note_signature *ret)
{
    size_t name, size;

    if (length <= strlen(dash) || memcmp(line, dash, strlen(dash)) != 0)
        return false;
    line += strlen(dash);
    length -= strlen(dash);
    const char *space = memchr(line, ' ', length);
    name = space != NULL ? (size_t)(space - line) : 0;
    if (!name_valid(line, name))
        return false;
    const uint8_t *bytes = note_base64_parse(arena, space + 1, length - name - 1, &size);
    if (bytes == NULL || size <= ID_BYTES)
        return false;
    ret->name = arena_printf(arena, "%.*s", (int)name, line);
    ret->id = big_endian(bytes);
    ret->bytes = bytes + ID_BYTES;
    ret->size = size - ID_BYTES;
    return true;
}

static size_t lines_of(const char *text, size_t size)
{
    size_t lines = 0;

    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    return lines;
}

// Where the signatures begin: after the last empty line; NULL when there is none.
static const char *signatures_begin(const char *text, size_t size)
{
    for (size_t i = size; i >= 2; i--)
        if (text[i - 1] == '\n' && text[i - 2] == '\n')
            return text + i;
    return NULL;
}

bool note_parse(arena_t *arena, const void *bytes, size_t size, struct note *ret, const char **ret_why)
{
    struct note note = {0};

    if (size > NOTE_BYTES)
        return wrong(ret_why, "a note may have 65536 bytes");
    const char *text = arena_printf(arena, "%.*s", (int)size, (const char *)bytes);
    if (strlen(text) != size || !characters_valid(text, size))
        return wrong(ret_why, "a note must be UTF-8 without control characters");
    const char *line = signatures_begin(text, size);
    if (line == NULL || line == text + 1)
        return wrong(ret_why, "a note must have a text, an empty line, and signatures");
    note.size = (size_t)(line - text) - 1;
    note.text = arena_printf(arena, "%.*s", (int)note.size, text);
    note.lines = lines_of(note.text, note.size);
    for (const char *end; *line != '\0'; line = end + 1, note.count++) {
        size_t number = note.lines + 2 + note.count;
        end = strchr(line, '\n');
        if (note.count == NOTE_SIGNATURES)
            return wrong(ret_why, "a note may have 16 signatures");
        if (end == NULL || !signature_parse(arena, line, (size_t)(end - line), &note.signatures[note.count]))
            return wrong(ret_why, arena_printf(arena, "line %zu is no signature", number));
        note.signatures[note.count].line = number;
    }
    if (note.count == 0)
        return wrong(ret_why, "a note must have a text, an empty line, and signatures");
    *ret = note;
    return true;
}

bool note_signature_of(const struct note_signature *signature, const struct note_key *key)
{
    return signature->id == key->id && strcmp(signature->name, key->name) == 0;
}

// The instant is read from the signature itself, and signed with the text.
static bool signature_verifies(arena_t *arena, const struct note *note,
                               const struct note_signature *signature, const struct note_key *key,
                               int64_t *ret_at_s)
{
    const uint8_t *bytes = signature->bytes;
    const char *text = note->text;
    size_t timed = key->type == NOTE_COSIGNATURE ? TIME_BYTES : 0;
    uint64_t at_s = 0;
    int ready = sodium_init();

    assert(ready >= 0);
    if (signature->size != timed + crypto_sign_ed25519_BYTES)
        return false;
    for (size_t i = 0; i < timed; i++)
        at_s = at_s << 8 | bytes[i];
    if (at_s > INT64_MAX)
        return false;
    if (timed > 0)
        text = timed_text(arena, text, (int64_t)at_s);
    *ret_at_s = (int64_t)at_s;
    return crypto_sign_ed25519_verify_detached(bytes + timed, (const uint8_t *)text, strlen(text),
                                               key->bytes) == 0;
}

bool note_verify(arena_t *arena, const struct note *note, const struct note_key *key, int64_t *ret_at_s,
                 const char **ret_why)
{
    int64_t at_s = 0;
    bool found = false;

    for (size_t i = 0; i < note->count; i++) {
        if (!note_signature_of(&note->signatures[i], key))
            continue;
        found = true;
        if (!signature_verifies(arena, note, &note->signatures[i], key, &at_s))
            return wrong(ret_why, arena_printf(arena, "the signature of %s in line %zu does not fit the text",
                                               key->name, note->signatures[i].line));
    }
    if (!found)
        return wrong(ret_why, arena_printf(arena, "there is no signature of %s with the key id %08x",
                                           key->name, key->id));
    if (ret_at_s != NULL)
        *ret_at_s = at_s;
    return true;
}
