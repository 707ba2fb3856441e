// units: the organisations of a file, one after the other: Enhetsregisteret's bulk JSON, or a CSV of our own.
//
// The bulk file has more than a million units, so it is neither read into memory nor parsed as a whole: it is
// mapped, and each unit is parsed by itself.
#pragma once

#include "source.h"

#include "intake_v1.pb-c.h"

typedef struct units units_t;

// Open a file; its kind is seen from its first character: { or [ is JSON. NULL with a sentence when it cannot
// be read or is neither.
units_t *units_open(arena_t *arena, const char *path, const char **ret_why);
void units_close(units_t **units_p);

// The next unit, in the arena. False at the end; then *ret_why is NULL, or a sentence naming line, field and
// fault.
bool units_next(units_t *units, arena_t *arena, Intake__V1__Organisation **ret, const char **ret_why);

// How far in the file we are, and how long it is, in bytes: for progress.
size_t units_offset(const units_t *units);
size_t units_size(const units_t *units);
