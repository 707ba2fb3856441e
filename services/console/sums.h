// sums: the hash and name of every member of an auditor's package, a line each, as sha256sum -c reads them. They stand in a
// temporary file (see scratch.h), because a package may have millions of documents.
#pragma once

#include "arena/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SUMS_MEMBER "SHA256SUMS"  // what the package calls it

typedef struct sums sums_t;

// NULL with errno: no temporary file can be made.
sums_t *sums_new(void);
void sums_destroy(sums_t **sums_p);

// One more member. False with errno: the disk is full, for example.
bool sums_add(sums_t *sums, const char *name, const void *bytes, size_t size);

// The sentence for what has just failed with errno, for the package at path.
const char *sums_fault(arena_t *arena, const char *path);

// That was the last: what follows reads them from the beginning. False with errno.
bool sums_end(sums_t *sums, size_t *ret_size);

// The next bytes of the list, at most so many; 0 at its end.
size_t sums_take(sums_t *sums, void *ret, size_t most);

// Are these the next bytes of the list? After a false nothing but sums_name may be asked.
bool sums_agree(sums_t *sums, const void *bytes, size_t size);

// Has all of the list been compared?
bool sums_ended(sums_t *sums);

// The member in whose line the first byte lies that does not agree, or comes next; "its end" when that is behind the last.
const char *sums_name(sums_t *sums, arena_t *arena);
