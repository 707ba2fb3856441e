// message: one message on its way through a service, what it emitted and why it failed.
#pragma once

#include "arena/arena.h"
#include "bus_v1.pb-c.h"
#include "types_v1.pb-c.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

// What the loop shall do next. A code exists only if the loop does something different for it.
typedef enum {
    OK = 0,   // go on; at the end: commit, publish, answer
    REFUSED,  // the rules say no: nothing of this message is stored but the answer, the sender is told
    RETRY,    // the world is not ready: roll back, try again
    POISON,   // this message can never succeed: an incident for operators
} status_t;

typedef Bus__V1__Actor actor_t;
typedef Types__V1__Private private_t;
typedef struct db db_t;

// An event that a rule emitted, already encoded; the loop numbers, applies, stores and publishes it.
struct emitted {
    const ProtobufCMessageDescriptor *descriptor;
    uint8_t *data;  // the encoded event
    size_t size;
    struct emitted *next;
};

// A request that a rule makes of another process (payment to the finance connector). It is stored with the
// events, sent until it is answered, and its answer comes back through the service's table of answers.
struct asked {
    const char *service;
    const char *key;  // makes the request's id: the same key is the same request for ever
    const ProtobufCMessageDescriptor *descriptor;
    uint8_t *data;
    size_t size;
    struct asked *next;
};

// The message in hand. Handlers and rules read the first group; emit, ask, answer and fail write the second.
struct message {
    arena_t *arena;
    db_t *db;                 // the connection in whose transaction the message is handled; NULL in tests of rules
    const char *id;           // of the command, or of the event reacted to
    const char *type;         // full name of its protobuf type
    int64_t at_us;            // THE time for every rule: received_at of a command, the calendar for a timer, the
                              // event's time for a reaction or an apply. UTC microseconds
    const actor_t *actor;     // never NULL
    const char *sender;       // name of the key that sent it; the service's own name for timers and reactions
    const char *correlation;
    bool rehearsal;
    // Only while an event is applied or reacted to:
    const char *stream;       // its stream, "service/kind/id"
    uint64_t version;         // its version in the stream
    const char *subject;      // its subject
    uint64_t position;        // its place in the log; 0 while own events are applied at commit
    const uint8_t *data;      // its encoded body, for read models that hear every event
    size_t data_size;
    bool opens;               // a query: its answer alone may hold personal text
    struct ahead *ahead;      // db.h: what was asked of the database before the message came in hand; NULL: nothing
    const char *adds_to;      // service.h: of which stream the version shall be asked as well, "kind/id"; NULL: none

    struct emitted *emitted;  // in the order of emit
    struct emitted **last_emitted;
    struct asked *asked;
    struct asked **last_asked;
    const ProtobufCMessageDescriptor *answer_descriptor;  // NULL: no body
    uint8_t *answer;
    size_t answer_size;
    const char *reason;       // why it failed; the first reason wins
};

// An empty message on an arena: no actor's rights, time zero. The caller fills in the first group.
struct message message_new(arena_t *arena);

// Put an event on the list. Its bytes are copied at once, without the texts of its types.v1.Private parts: what is stored
// has the seals. The event's first field is the id of its stream. An empty id,
// or more than LIMIT_EVENT_BYTES, is found by the loop and is POISON: a sender can bring both about, and must not be
// able to end the process.
void emit(struct message *message, const void *event);

// Ask another process for something, once this message is committed. Personal text is left out as in events.
void ask(struct message *message, const char *service, const char *key, const void *request);

// Give the sender a body with the answer. A command's is kept, and personal text is left out of it; a query's is not.
void answer(struct message *message, const void *body);

// Fail: remember why (only the first time) and return the status, so that `return fail(...)` reads well.
// The reason is one sentence for people: lower case, no full stop; it names the field, the fault and what
// would be right, with the id one would search for.
status_t fail(struct message *message, status_t status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Decode bytes strictly: the right size, no unknown fields, UTF-8 without control characters except line feed
// and tab, known enum values, at most LIMIT_DEPTH levels, and encoding again gives the same bytes
// ("canonical or refuse"). ret is the address of a pointer to the decoded struct (const Intake__V1__X **). On success
// what it points to lives in the arena. Otherwise POISON with the reason, and *ret is untouched.
status_t message_decode(struct message *message, const ProtobufCMessageDescriptor *descriptor,
                        const void *bytes, size_t size, void *ret);

// Encode any protobuf message into the arena.
uint8_t *message_encode(arena_t *arena, const void *body, size_t *ret_size);

// Every types.v1.Private of a message, however deep it stands, in the order of the fields. The list lives in the arena
// and names the parts themselves, so that they can be sealed or opened in place.
struct privates {
    private_t **all;
    size_t count;
};
struct privates message_privates(arena_t *arena, const void *body);

// Bytes that one value of a field of this type takes in a decoded message: the step from one to the next in a list.
size_t message_value_size(ProtobufCType type);

// The text of a string field by name ("" when the message has no such field): for subjects and streams.
const char *message_field(const void *body, const char *name);
