// note: signed notes, by C2SP signed-note (https://c2sp.org/signed-note): a text, an empty line, signature lines.
//
// Two kinds of signature: Ed25519 over the text (type 0x01), which the log makes, and Ed25519 over the text and
// an instant (type 0x04, https://c2sp.org/tlog-cosignature), which witnesses make. Stricter than the convention
// in one thing: names are printable ASCII. Pure but for the two functions that read a file; nothing here logs.
#pragma once

#include "arena/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NOTE_BYTES      (64 * 1024)  // the largest note that is read
#define NOTE_NAME       128          // the longest name and its NUL
#define NOTE_SIGNATURES 16           // the most signatures on a note
#define NOTE_KEYS       8            // the most keys in a file
#define NOTE_KEY        32           // bytes of a public key, and of the seed of a secret one

enum note_type {
    NOTE_PLAIN = 0x01,        // Ed25519 over the text
    NOTE_COSIGNATURE = 0x04,  // Ed25519 over the text and an instant
};

// A key that verifies. Its name and id together say which key signed; the id is made from name, type and key.
struct note_key {
    char name[NOTE_NAME];
    uint32_t id;
    enum note_type type;
    uint8_t bytes[NOTE_KEY];
};

// The keys that one name has had: the one of today, then those that it replaced.
struct note_ring {
    struct note_key keys[NOTE_KEYS];
    size_t count;
};

// A key that signs. Wipe with note_signer_wipe.
struct note_signer {
    struct note_key key;
    uint8_t secret[64];  // seed and public key
};

// One signature line. Everything lives in the note's arena.
struct note_signature {
    const char *name;
    uint32_t id;
    const uint8_t *bytes;  // without the id
    size_t size;
    size_t line;  // of the note, from 1
};

struct note {
    const char *text;  // with its last line feed; NUL-terminated beyond it
    size_t size;
    size_t lines;
    struct note_signature signatures[NOTE_SIGNATURES];
    size_t count;
};

// ------------------------------------------------------------------------------------------------------ keys

// 1 to 127 printable ASCII characters, no space, no plus.
bool note_name_valid(const char *name);

// NAME+ID+BASE64, and back. False, with a sentence, for anything else: an id that is not the key's own, too.
char *note_key_text(arena_t *arena, const struct note_key *key);
bool note_key_parse(arena_t *arena, const char *text, struct note_key *ret, const char **ret_why);

// A signer from a name that is valid and 32 random bytes.
void note_signer_make(const char *name, enum note_type type, const uint8_t seed[NOTE_KEY],
                      struct note_signer *ret);
// PRIVATE+KEY+NAME+ID+BASE64, the form of golang.org/x/mod/sumdb/note, and back.
char *note_signer_text(arena_t *arena, const struct note_signer *signer);
bool note_signer_parse(arena_t *arena, const char *text, struct note_signer *ret, const char **ret_why);
void note_signer_wipe(struct note_signer *signer);

// Every line of a file, 1 to NOTE_KEYS. False with a sentence that names the line.
bool note_ring_load(arena_t *arena, const char *path, struct note_ring *ret, const char **ret_why);
// The first line of a file, which must be readable by its owner alone. False with a sentence.
bool note_signer_load(arena_t *arena, const char *path, struct note_signer *ret, const char **ret_why);

// ------------------------------------------------------------------------------------------------ signatures

// A signature line, line feed included, over a text that ends in a line feed. note_cosign signs that the text
// was the newest at that instant (seconds since 1970). Each takes a signer of its own type.
char *note_sign(arena_t *arena, const struct note_signer *signer, const char *text);
char *note_cosign(arena_t *arena, const struct note_signer *signer, const char *text, int64_t at_s);

// Take a note apart, strictly: UTF-8, no control characters but line feeds, canonical base64, 1 to 16
// signatures. False, with a sentence that names the line. The signatures are not verified.
bool note_parse(arena_t *arena, const void *bytes, size_t size, struct note *ret, const char **ret_why);

// Was the note signed by this key? False, with a sentence, when no line is of this key or one that is does not
// verify. ret_at_s (may be NULL) takes the instant of a cosignature, else 0.
bool note_verify(arena_t *arena, const struct note *note, const struct note_key *key, int64_t *ret_at_s,
                 const char **ret_why);

// Is this line of the key that its name and id say?
bool note_signature_of(const struct note_signature *signature, const struct note_key *key);

// ----------------------------------------------------------------------------------------------------- base64

// RFC 4648 section 4, with padding. note_base64_parse takes canonical text alone; NULL for anything else.
char *note_base64(arena_t *arena, const void *bytes, size_t size);
uint8_t *note_base64_parse(arena_t *arena, const char *text, size_t length, size_t *ret_size);
