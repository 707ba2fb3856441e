// source: a JSON text that somebody wrote: where its syntax breaks, and on which line a value stands.
#pragma once

#include "arena/arena.h"
#include "limits/limits.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

// A text and what it says. The tree must be dropped by source_close.
struct source {
    const char *name;  // of the file, for sentences; "" for an argument
    const char *text;  // NUL-terminated
    size_t size;
    json_t *root;  // NULL until source_parse
};

// One step from a value to a value inside it: the key of an object, or (key NULL) the index of an array.
struct step {
    const char *key;
    size_t index;
};

// Read a whole file into the arena, "-" is standard input; at most LIMIT_ARENA_BYTES / 4. False, with a
// sentence, when it cannot be read.
bool source_read(arena_t *arena, const char *path, struct source *ret, const char **ret_why);

// Parse. False, with a sentence naming line and column, on any fault of syntax; a key that stands twice in
// one object is one.
bool source_parse(arena_t *arena, struct source *source, const char **ret_why);
void source_close(struct source *source);

// Where the value at the end of this path begins (of a member: where its key does), as an offset into a text
// that parses. When a step leads nowhere: where the last one found begins.
size_t source_find(const struct source *source, const struct step path[], size_t steps);

// The line, from 1, of an offset into the text.
size_t source_line(const struct source *source, size_t offset);

// "call.json line 7", or "line 7" for a text without a name.
const char *source_place(arena_t *arena, const struct source *source, size_t line);
