// protojson: any message of the contract, by its full name, from and to JSON.
//
// The contract is read at run time from tildel.protoset, which the build makes from proto/, so that a new
// message needs nothing here. JSON is ProtoJSON with the contract's own field names; 64-bit numbers are
// written as strings, as ProtoJSON says. One thing is added for people: an instant (a 64-bit field ending in
// _us) may be written as ISO 8601 with a zone, "2024-06-15T00:00:00+02:00".
//
// This is the only file of the house in C++: libprotobuf is the reference for ProtoJSON and has no C face.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

#include "source.h"

#include <stdint.h>

typedef struct protojson protojson_t;

// Read the descriptor set. NULL, with a sentence, when it is missing or broken. Owned by the caller.
protojson_t *protojson_open(arena_t *arena, const char *path, const char **ret_why);
void protojson_close(protojson_t **protojson_p);

// Is there a message of this full name?
bool protojson_knows(const protojson_t *protojson, const char *type);

// The canonical bytes of the message that the parsed source says; when key is not NULL: that the value of
// this key of its outermost object says. False, with a sentence naming line, field and fault: an unknown
// field, a value of another kind, a number out of range, an unknown word of an enum, a control character.
bool protojson_encode(protojson_t *protojson, arena_t *arena, const char *type, const struct source *source,
                      const char *key, uint8_t **ret, size_t *ret_size, const char **ret_why);

// The JSON of a message, on one line or indented. Every field is there, also when it is zero or empty, except
// messages that are absent. NULL when the bytes are not such a message.
char *protojson_decode(const protojson_t *protojson, arena_t *arena, const char *type, const void *bytes,
                       size_t size, bool indented);

// Is this how the contract would encode it: nothing unknown, nothing twice, in order of field numbers?
bool protojson_canonical(const protojson_t *protojson, const char *type, const void *bytes, size_t size);

#ifdef __cplusplus
}
#endif
