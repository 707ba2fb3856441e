// versions: the last version of every stream of a log, for whoever reads it from the start.
//
// A stream is known by a hash of its name, so that it takes 24 bytes however long that is, 32 to 64 with the free places of
// the table: a million streams are 64 MB at most. The hash is SipHash-2-4 with 128 bits (libsodium) under a key that is
// made anew for each table, so nobody can choose names that come to the same.
#pragma once

#include <stddef.h>
#include <stdint.h>

// A stream's name, in the table that made it.
struct name {
    uint64_t hash[2];
};

typedef struct versions versions_t;
versions_t *versions_new(void);
void versions_destroy(versions_t **versions_p);

struct name versions_name(const versions_t *versions, const char *stream);

// The stream's last version, to be read and set: 0 when it was not asked for before. Good until the next call.
int64_t *versions_of(versions_t *versions, struct name name);

// How many streams were asked for.
size_t versions_count(const versions_t *versions);
