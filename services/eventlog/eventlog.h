// eventlog: the one writer of the one log: a total order without gaps, each stream's versions in a row.
//
//   tree.c    the Merkle tree (RFC 9162)
//   write.c   taking the log over, checking events, appending them in batches
//   read.c    pages and the head
//   verify.c  recomputing everything from the database
//   main.c    the process: the bus, the feed, the turn
//
// One writer, fenced twice: an advisory lock keeps a second process waiting, and an epoch, checked inside the
// append transaction, stops one that was paused and wakes up after it was taken over.
#pragma once

#include "bus/bus.h"
#include "db/db.h"
#include "eventlog_v1.pb-c.h"
#include "tree.h"

#include <stdbool.h>
#include <stdint.h>

typedef Eventlog__V1__Event Event;
typedef Eventlog__V1__Append Append;
typedef Eventlog__V1__Appended Appended;
typedef Eventlog__V1__Entry Entry;
typedef Eventlog__V1__Page Page;
typedef Eventlog__V1__Head Head;

// The log as its writer holds it.
struct eventlog {
    db_t *db;
    bool rehearsal;  // this process belongs to a rehearsal; must be what the log was made as
    int64_t epoch;   // ours; every append is fenced by it
    char log_id[37];
    struct tree tree;  // its size is the last position
    int64_t room;      // positions below this have a partition
};

// One Append on its way.
struct wish {
    const Bus__V1__Request *request;
    const Append *append;
    Eventlog__V1__Appended__One **results;  // one an event, in order
};

#define APPEND_WISHES      64                 // Appends in one transaction
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

// Recompute every leaf, every recorded root, every stream's versions from the database; prints a JSON line
// with what was found. The exit code: 0 all agrees, 1 the log could not be read, 4 a fault and its position.
int log_verify(struct message *message, bool progress);
