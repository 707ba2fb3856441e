// ids: is an id among those of a log's events twice? For any number of events in the same memory.
//
// The first 65 536 are kept in memory; with more, they go into 256 temporary files (in TMPDIR, or /tmp; without names, so
// that they are gone with the process), 24 bytes each, and at the end one file after the other is looked at. Which file an
// id goes into is told by a keyed hash, so nobody can choose ids that fill one. A hundred million events need
// 2.4 GB of disk for the time of the check, and 10 MB of memory.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ID_BYTES 16

typedef struct ids ids_t;
ids_t *ids_new(void);
void ids_destroy(ids_t **ids_p);

// An event's id, and where the event stands. False: there is no room for it on disk; errno tells why.
bool ids_add(ids_t *ids, const uint8_t id[ID_BYTES], uint64_t position);

// After the last: *ret_again is the first position whose id another event before it has, at *ret_first; 0: there is none.
// False: what was put on disk cannot be read again; errno tells why.
bool ids_twice(ids_t *ids, uint64_t *ret_again, uint64_t *ret_first);
