// pages: the event log from one position on, page by page, with the next ones under way while one is in hand.
//
// A page ends before 240 KiB, so nobody knows beforehand where it does. Each is asked for as so many entries as are likely
// to fit; what one that was too large left out is asked for before all others. So the wait for a page costs nothing, and
// they come in order.
#pragma once

#include "bus/bus.h"
#include "eventlog_v1.pb-c.h"

typedef struct pages pages_t;

// Read after a position, up to and including `until` (UINT64_MAX: to the end), as the actor (NULL: the process itself;
// must live as long). A page is waited for at most timeout_ms. Never NULL. The bus serves nothing; it may be asked other things
// in between.
pages_t *pages_new(bus_t *bus, const actor_t *actor, uint64_t after, uint64_t until, uint32_t timeout_ms);
void pages_destroy(pages_t **pages_p);

// The next page, on the message's arena: what comes after the one before, as the log tells it (that its positions follow each
// other is for the caller to check). It may go beyond `until`, and is empty at the end of the log: then the same may be asked
// again later. RETRY: the log does not answer in time, or is not there; REFUSED: it refuses; POISON: what it says cannot be
// read. The reason says which.
status_t pages_next(pages_t *pages, struct message *message, const Eventlog__V1__Page **ret);
