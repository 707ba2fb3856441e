// witness: sees to it that the log is only added to, from another machine with a disk of its own.
//
//   store.c   the disk: entries as the log told them, and the checkpoints that were cosigned
//   judge.c   does the log extend what we hold? cosigns, refuses, raises alarms
//   serve.c   what others may ask
//   main.c    the process: the feed, the bus, the turn
//
// Stored before told: entries reach the disk before their checkpoint is cosigned, and the cosigned checkpoint
// reaches it before anybody can have it. So whatever a witness has said, it can prove again after any crash.
#pragma once

#include "arena/arena.h"
#include "bus/bus.h"
#include "eventlog_v1.pb-c.h"
#include "note/checkpoint.h"
#include "tree.h"
#include "witness_v1.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

// -------------------------------------------------------------------------------------------------- the disk

// A folder: `entries` (records of 4 bytes size, 32 bytes SHA-256, the Entry; big-endian), `offsets` (8 bytes for each
// entry: where its record begins; made again at every start), `cosigned` (records of 1024 bytes: 8 bytes size of the
// tree, the note, zeros), and `refused-N`: entries that were dropped because the log denied them, as evidence.
struct store {
    char folder[4096];
    int entries, offsets, cosigned;  // file descriptors
    uint64_t bytes;                  // of `entries`
    struct tree tree;                // over all entries
    struct tree confirmed;           // over those that the newest cosigned checkpoint covers
    uint64_t n_cosigned;             // records
    bool dirty;                      // entries are written and not yet on the disk
};

// Open and recompute everything; what a crash left half-written is cut off. The folder is locked while it is open.
// False, with a sentence, when it cannot be used, is another witness's, or is damaged: the sentence says where.
bool store_open(struct store *store, const char *folder, const struct note_ring *log,
                const struct note_key *own, const char **ret_why);
void store_close(struct store *store);

// Add entries that continue what is there (asserted). False, with a sentence, when the disk fails: end the process then.
bool store_add(struct store *store, arena_t *arena, Eventlog__V1__Entry *const entries[], size_t count,
               const char **ret_why);
bool store_sync(struct store *store, const char **ret_why);

// Remember a cosigned checkpoint, durably; the entries it covers must be on the disk. tree is the one it says.
bool store_cosigned(struct store *store, const struct tree *tree, const char *note, const char **ret_why);

// Drop entries after `size`, which must not be covered by a cosigned checkpoint, into a file refused-N.
bool store_drop(struct store *store, const struct tree *tree, const char **ret_why);

// Entries after a position, at most `limit` and about LIMIT_BATCH_BYTES, at least one where there is one. False when the
// disk fails or an entry is damaged.
bool store_read(const struct store *store, arena_t *arena, uint64_t after, size_t limit,
                Eventlog__V1__Page *ret, const char **ret_why);

// The oldest cosigned checkpoint that covers a position (0: the newest); "" when there is none. NULL: the disk fails.
const char *store_note(const struct store *store, arena_t *arena, uint64_t covers, uint64_t *ret_size);

// ------------------------------------------------------------------------------------------------ the judgement

// What the log said last, and what we think of it. Pure but for the store.
struct judge {
    struct store *store;
    struct note_ring log;
    struct note_signer signer;
    struct tree trusted;  // over the entries that the log has confirmed by a head or a checkpoint
    bool heard;           // the feed has told a head since the start
    uint64_t head;        // as the feed told it last
    uint8_t head_root[TREE_HASH];
    int64_t heard_ms;    // stopwatch: when the feed was heard
    int64_t added_ms;    // ... and when entries came
    char alarm[512];     // "": all is well
    bool refusing;       // the log does not extend what we hold: nothing is taken until it does again
    int64_t alarmed_ms;  // when the alarm was told last
};

// How long a log may be silent, or behind what it has told, before that is an alarm.
#define JUDGE_SILENCE_MS 15000
#define JUDGE_BEHIND_MS  5000

// Each takes what came and says it is well, or false: the disk fails, end the process; *ret_why is a sentence then.
bool judge_published(struct judge *judge, arena_t *arena, const Eventlog__V1__Published *published,
                     int64_t now_ms, const char **ret_why);
bool judge_page(struct judge *judge, arena_t *arena, const Eventlog__V1__Page *page, int64_t now_ms,
                const char **ret_why);
bool judge_checkpoint(struct judge *judge, arena_t *arena, const char *note, int64_t now_s,
                      const char **ret_why);
// While refusing: does this proof lead from what we hold to the head?
void judge_proof(struct judge *judge, const Eventlog__V1__ConsistencyProof *proof);
// Once a turn: silence, and a head that stays behind.
void judge_time(struct judge *judge, int64_t now_ms);
void judge_alarm(struct judge *judge, const char *format, ...) __attribute__((format(printf, 2, 3)));

// ---------------------------------------------------------------------------------------------------- serving

// Answer a query: message holds the answer. POISON for an unknown type.
status_t witness_query(const struct judge *judge, struct message *message, const char *type,
                       const uint8_t *body, size_t size, int64_t now_ms);
