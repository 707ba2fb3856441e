// bus: one process's connection to the broker, and to the event log's feed. The only caller of ZeroMQ outside
// the broker and the event log's own PUB socket.
//
// CURVE both ways; heartbeats, reconnecting and saying Ready again happen inside bus_next. A process may
// serve a name, ask others, and follow the feed, all over this one handle. Not shared between threads.
#pragma once

#include "arena/arena.h"
#include "bus/secure.h"
#include "bus_v1.pb-c.h"
#include "message/message.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct bus bus_t;

// Where and as whom. bus_config_from_env fills it; the process ends with a sentence when something is
// missing.
struct bus_config {
    const char *name;        // BUS_NAME: the name of this process's key in the registry
    const char *broker;      // BUS_BROKER: tcp://host:port or ipc://path
    const char *feed;        // BUS_FEED: the event log's PUB endpoint; NULL: do not follow
    const char *keys;        // BUS_KEYS: folder with registry.zpl (public) and NAME.secret.zpl (0600)
    const char *serves;      // service name to offer; NULL: client only
    uint32_t credit;         // requests to hold at once
};
struct bus_config bus_config_from_env(const char *default_name);

// Connect (never waits) and check the own key file against the registry. Never NULL: ends the process with a
// sentence when a key is missing, readable by others, or not the registry's.
bus_t *bus_connect(const struct bus_config *config);
void bus_destroy(bus_t **bus_p);

// For a process that also has a server socket (the event log's feed): answer its ZAP handler inside bus_next
// and bus_call. secure must outlive the bus.
void bus_turns(bus_t *bus, secure_t *secure);

// What came in. Everything pointed to lives in the arena given to bus_next.
struct incoming {
    enum incoming_kind {
        INCOMING_NOTHING,  // the time is up
        INCOMING_STOP,     // SIGTERM or SIGINT: finish what is in hand
        INCOMING_REQUEST,  // a command or query for the name we serve
        INCOMING_REPLY,    // an answer to something we asked
        INCOMING_FEED,     // the event log has published
    } kind;
    const Bus__V1__Request *request;
    const Bus__V1__Reply *reply;
    const uint8_t *body;       // of the request or the reply, or the Published message of the feed
    size_t body_size;
};

// Wait at most timeout_ms (0: only look) for the next thing that came in; handles heartbeats, calendar and
// reconnects on the way. Packets that are not canonical are dropped and counted. The first stop is told at
// once; after that INCOMING_STOP stands in the place of INCOMING_NOTHING until the process ends, so that a
// loop can drain.
struct incoming bus_next(bus_t *bus, arena_t *arena, int timeout_ms);

// Has a stop been told, by bus_next or by a bus_call that it ended?
bool bus_stopping(const bus_t *bus);

// Answer a request that was taken with bus_next. ticket and id are the request's; type NULL: no body. When
// the broker is away the answer is lost and the sender asks again. A body over LIMIT_FRAME_BYTES is answered
// POISON instead.
void bus_reply(bus_t *bus, uint64_t ticket, const char *id, Bus__V1__Reply__Status status, const char *reason,
               const ProtobufCMessageDescriptor *type, const uint8_t *body, size_t body_size);

// Ask a service; the answer comes by bus_next as INCOMING_REPLY with the same id, or never: ask again under
// the same id. actor may be NULL: the process itself (role SERVICE). At most LIMIT_FRAME_BYTES. False: the
// broker is away or its queue is full, nothing was sent.
bool bus_ask(bus_t *bus, const char *service, const char *id, const char *type, const actor_t *actor,
             const char *correlation, uint32_t timeout_ms, const uint8_t *body, size_t body_size);

// Take no new requests from now on (drain before stopping).
void bus_drain(bus_t *bus);

// Have we heard from the broker (and, where followed, the feed) within LIMIT_SILENCE_MS?
bool bus_broker_alive(const bus_t *bus);
bool bus_feed_alive(const bus_t *bus);
uint64_t bus_dropped(const bus_t *bus);  // messages that were not canonical, or of no kind we know
bool bus_rehearsal(const bus_t *bus);  // the broker said this stack is a rehearsal

// Wait for exactly one answer, for clients that serve nothing and do one thing at a time: asks, asks again
// under the same id every LIMIT_RESEND_MS while silent, UNAVAILABLE or RESOURCE_EXHAUSTED, until timeout_ms
// is over or the process is asked to stop. False: no answer in time; ret->reply is then the last UNAVAILABLE
// or RESOURCE_EXHAUSTED one, or NULL.
bool bus_call(bus_t *bus, arena_t *arena, const char *service, const char *id, const char *type,
              const actor_t *actor, uint32_t timeout_ms, const uint8_t *body, size_t body_size,
              struct incoming *ret);

// Ask now what bus_call will be called for later, under the same id and with the same words: it then waits only for what
// has not come, and asks again when that was long ago. At most BUS_AHEAD at a time. False: not asked; bus_call does it.
#define BUS_AHEAD 8
bool bus_call_ahead(bus_t *bus, const char *service, const char *id, const char *type, const actor_t *actor,
                    uint32_t timeout_ms, const uint8_t *body, size_t body_size);

// The answer is not wanted any more. An id that was never asked ahead is allowed.
void bus_forget(bus_t *bus, const char *id);
