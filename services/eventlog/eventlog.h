// eventlog: the one writer of the one log: a total order without gaps, each stream's versions in a row.
//
//   tree.c    the Merkle tree (RFC 9162), proof.c proofs from it
//   write.c   taking the log over, checking events, appending them in batches
//   recent.c  the last versions of streams that events came for lately
//   sign.c    checkpoints: what the log signs, and what it has signed
//   tiles.c   the tree's hashes in the database, by C2SP tlog-tiles
//   query.c   checkpoints, proofs and tiles for whoever asks
//   guard.c   what witnesses and consumers hold must be in the log before it goes on
//   repair.c  putting a lost end of the log back from a witness
//   read.c    pages and the head
//   verify.c  recomputing everything from the database
//   export.c  the log as files, by C2SP tlog-tiles (layout.c), straight from the database
//   main.c    the process: the bus, the feed, the turn
//
// One writer, fenced twice: an advisory lock keeps a second process waiting, and an epoch, checked inside the
// append transaction, stops one that was paused and wakes up after it was taken over.
#pragma once

#include "bus/bus.h"
#include "bus/registry.h"
#include "db/db.h"
#include "eventlog_v1.pb-c.h"
#include "layout.h"
#include "note/checkpoint.h"
#include "proof.h"
#include "tree.h"

#include <stdbool.h>
#include <stdint.h>

typedef Eventlog__V1__Event Event;
typedef Eventlog__V1__Append Append;
typedef Eventlog__V1__Appended Appended;
typedef Eventlog__V1__Entry Entry;
typedef Eventlog__V1__Page Page;
typedef Eventlog__V1__Head Head;

#define RECENT_STREAMS 16384

// The last versions of streams, those that events came for lately. Only what is committed is in here, and only this
// process appends, until the log is taken over anew.
struct recent {
    uint8_t key[16];
    struct {
        uint8_t stream[16];  // a hash of its name; all zeros: nothing is here
        int64_t last;
    } slots[RECENT_STREAMS];
};
void recent_forget(struct recent *recent);
int64_t recent_last(const struct recent *recent, const char *stream);  // 0: not known
void recent_note(struct recent *recent, const char *stream, int64_t last);

// The log as its writer holds it.
struct eventlog {
    db_t *db;
    bool rehearsal;  // this process belongs to a rehearsal; must be what the log was made as
    int64_t epoch;   // ours; every append is fenced by it
    char log_id[37];
    struct tree tree;  // its size is the last position
    int64_t room;      // positions below this have a partition
    struct recent recent;
    size_t entry_bytes;  // of an entry, in the page that was read last; 0: none was
    struct note_signer signer;  // a name of "": nothing is signed (tests of other things)
    uint64_t signed_size;       // the newest checkpoint's
    int64_t signed_ms;          // when it was signed; stopwatch
    char note[1024];            // the newest checkpoint, "" while there is none
};

// One Append on its way.
struct wish {
    const Bus__V1__Request *request;
    const Append *append;
    Eventlog__V1__Appended__One **results;  // one an event, in order
};

#define APPEND_WISHES      240                // Appends in one transaction
#define APPEND_BATCH_BYTES (2 * 1024 * 1024)  // and the bytes of their events

#define LOG_HELD "another writer holds the log"  // the reason of a RETRY for which the database is not to blame

// Take the log over: lock, check the mode, raise the epoch, recompute the end of the log. RETRY while another
// writer holds the lock or the database is away; REFUSED when the log is of the other mode (rehearsal or
// real); POISON when what is stored does not agree with itself. The reason says which.
status_t log_take_over(struct eventlog *log, struct message *message);

// Append the events of all wishes in one transaction, as far as they may stand in the log, and give each
// event its result. ret_entries gets what was added, in order. OK: durable. RETRY: nothing happened, or it is
// unknown whether it did; take over again. REFUSED: another writer has taken over; end.
status_t log_append(struct eventlog *log, struct message *message, struct wish wishes[], int count,
                    Entry ***ret_entries, size_t *ret_count);

// Read and GetHead: answer(message, ...) holds the Page or Head.
status_t log_read(struct eventlog *log, struct message *message, const Eventlog__V1__Read *query);
Head *log_head(const struct eventlog *log, arena_t *arena);

// A page while its rows come: position, bytes, time, epoch. What is over LIMIT_BATCH_BYTES is left out, but never the first.
// A statement reads no more than `limit` rows, which is what was asked for or what may fit, by the size of the entries of the
// page before: the database does not read a thousand entries where two hundred are sent.
struct page_reading {
    arena_t *arena;
    Page *page;
    int64_t limit;
    size_t bytes;
    bool full;
};
struct page_reading page_begin(const struct eventlog *log, arena_t *arena, uint32_t limit);
status_t page_row(void *reading, const row_t *row);
void page_end(struct eventlog *log, struct message *message, const struct page_reading *reading);  // answers with it

// ------------------------------------------------------------------------------------------ tiles and proofs

// Hashes of subtrees, read from the database a tile at a time and kept for the message in hand. Whoever fails
// finds the status here.
struct tiles {
    struct message *message;
    status_t status;
    int count;
    struct tile {
        int level;
        uint64_t index;
        ProtobufCBinaryData hashes;
    } tiles[2 * TREE_TILES];
    int next;
};
struct proof_source tiles_source(struct tiles *tiles, struct message *message);

// The hashes that the tile has by now, 32 bytes each.
status_t tile_hashes(struct message *message, int level, uint64_t index, ProtobufCBinaryData *ret);

// Write down the tiles that are missing, as where an older program has appended, and prove that they lead to
// the tree that the head holds. POISON when they do not.
status_t tiles_fill(struct eventlog *log, struct message *message);

// Was the log once of this size with this root? REFUSED, saying what differs, when it holds less or something else;
// `who` says it ("the witness holds ...").
status_t log_extends(struct message *message, const struct tree *tree, uint64_t size,
                     const uint8_t root[TREE_HASH], const char *who);

// ------------------------------------------------------------------------------------------------ checkpoints

#define CHECKPOINT_EVENTS 1000  // a checkpoint at least so often ...
#define CHECKPOINT_MS     5000  // ... and so long after the last one, while events come

// The newest checkpoint that was signed must be of this log, by this name, and within it.
status_t sign_load(struct eventlog *log, struct message *message);

// A checkpoint for the tree that an append will make, when one is due by size or `now`; NULL when none is. It is
// stored by the append's own transaction; sign_done remembers it once that is durable.
const char *sign_due(const struct eventlog *log, arena_t *arena, const struct tree *tree);
void sign_done(struct eventlog *log, const char *note);

// Sign the head now, unless it is signed. At the end of traffic, and when somebody asks.
status_t sign_head(struct eventlog *log, struct message *message);

// Is there an event without a checkpoint, and the last one made CHECKPOINT_MS ago?
bool sign_waits(const struct eventlog *log);

// Checkpoints, proofs, tiles, streams: any query that is not Read or GetHead. POISON for an unknown type.
status_t log_query(struct eventlog *log, struct message *message, const char *type, const uint8_t *body,
                   size_t size);
Eventlog__V1__Checkpoint *log_checkpoint(const struct eventlog *log, arena_t *arena);

// ------------------------------------------------------------------------------------------- those who witness

// What the witness, and the services that answer at once, hold must be in the log. OK; REFUSED with what differs; RETRY
// when the registry names a witness and it does not answer: the log may not go on without it. Asks over a connection of
// its own, as the key "eventlog". *ret_stop: the process was asked to stop meanwhile.
status_t guard_check(const struct eventlog *log, struct message *message, const registry_t *registry, bool *ret_stop);

// Put the end of the log back that the witness holds and the database has lost, byte for byte, and verify the whole; prints
// what it did. The log is taken over already. The exit code: 0 well, 1 it could not be done, 4 the two differ in what
// both hold: the sentence names the first position.
int log_repair(struct eventlog *log, struct message *message);

// Recompute every leaf, every recorded root, tile and checkpoint, every stream's versions from the database; prints a
// JSON line with what was found. keys (may be NULL): every checkpoint must have the signature of one of them. The exit
// code: 0 all agrees, 1 the log could not be read, 4 a fault and its position. shown: how far it is.
int log_verify(struct message *message, const struct note_ring *keys, bool shown);

// Write the log into a folder, as layout.h says, up to the newest checkpoint that it has signed: straight from the
// database, beside a log that runs. A folder that holds an export of this log is brought up to date: what is there and full is not
// written again. The checkpoint is written last, and durably after all else, so that a folder is always what its
// checkpoint says. keys (may be NULL): the checkpoint must have the signature of one of them; they are written down too.
// The exit code: 0 well, and a JSON line; 1 it could not be done, told in one sentence; 4 the log is not what it has signed.
int log_export(struct message *message, const struct note_ring *keys, const char *folder);
