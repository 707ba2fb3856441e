// explain: events in words.
#pragma once

#include "arena/arena.h"

#include <jansson.h>
#include <stdbool.h>

// What an event of this type, with this data, means to a person: one line in the arena; NULL for types that say
// nothing on a decision or an amount.
const char *explain_sentence(arena_t *arena, const char *type, const json_t *data);

// Does an event of this type say something?
bool explain_says(const char *type);
