// checkpoint: what a log signs, by C2SP tlog-checkpoint (https://c2sp.org/tlog-checkpoint): the text of a note
// whose first three lines are the log's name, the number of its entries, and the root of its tree in base64.
#pragma once

#include "note/note.h"

#define CHECKPOINT_ROOT 32

struct checkpoint {
    const char *origin;
    uint64_t size;
    uint8_t root[CHECKPOINT_ROOT];
};

// The text, ending in a line feed.
char *checkpoint_text(arena_t *arena, const char *origin, uint64_t size, const uint8_t root[CHECKPOINT_ROOT]);

// The whole note, signed.
char *checkpoint_sign(arena_t *arena, const struct note_signer *signer, uint64_t size,
                      const uint8_t root[CHECKPOINT_ROOT]);

// Read a text. Further lines are allowed and without meaning here, none may be empty. False with a sentence
// that names the line.
bool checkpoint_parse(arena_t *arena, const char *text, struct checkpoint *ret, const char **ret_why);

// A note as it came: parsed, its origin the key's name, signed by the key. ret_note may be NULL.
// checkpoint_open_any: by any of these keys; when by none, the sentence is about the first.
bool checkpoint_open(arena_t *arena, const void *bytes, size_t size, const struct note_key *log,
                     struct checkpoint *ret, struct note *ret_note, const char **ret_why);
bool checkpoint_open_any(arena_t *arena, const void *bytes, size_t size, const struct note_ring *log,
                         struct checkpoint *ret, struct note *ret_note, const char **ret_why);

// The same for who may have no keys: with log NULL, or empty, it is only taken apart, and who signed it is not looked at.
bool checkpoint_read(arena_t *arena, const void *bytes, size_t size, const struct note_ring *log,
                     struct checkpoint *ret, const char **ret_why);
