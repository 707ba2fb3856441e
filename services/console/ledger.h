// ledger: every øre of every frame has exactly one place, at every position of the log.
//
// A fold over events, written again from the contract (allocation_v1.proto, "The ledger") and not from the
// service's code. A movement of a frame counts when all with lower numbers have come: between streams the log
// may hold an award before the release that paid for it. Pure: no bus, no clock, no database.
#pragma once

#include "arena/arena.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ledger ledger_t;

// The money of one call, in øre. appropriated = residual + reserved + committed + paid + claimed + repaid.
struct ledger_call {
    const char *call_id;
    int64_t appropriated, residual, reserved, committed, paid, claimed, repaid;
};

// Never NULL. Sentences are made in the arena, which must outlive it.
ledger_t *ledger_new(arena_t *arena);
void ledger_destroy(ledger_t **ledger_p);

// The next event of the log, its data as ProtoJSON. False, with a sentence, at the first fault: a movement that
// no rule has; more taken from a place than it holds; a frame's number that comes twice; a residual that is not
// what is left; an amount that is not the event's, the bank's or the claim's.
bool ledger_event(ledger_t *ledger, const char *type, const json_t *data, const char **ret_why);

// Does this event move money, or say what must be moved?
bool ledger_concerns(const char *type);

// After the last event: is each frame's money accounted for, and does no movement wait for one that never came?
bool ledger_end(ledger_t *ledger, const char **ret_why);

// Movements so far, and what the bank and the claims have told that is not in the ledger yet.
uint64_t ledger_movements(const ledger_t *ledger);
uint64_t ledger_unposted(const ledger_t *ledger);

// The calls, in order of their ids; index from 0. False: no more.
bool ledger_call(ledger_t *ledger, size_t index, struct ledger_call *ret);
