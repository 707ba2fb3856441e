// broker: hands each request to a free worker of the service it names, and each answer back to who asked.
//
// It keeps nothing that must outlive it: a sender whose answer did not come asks again under the same id. It
// is the one place where rights are judged (which key may serve, ask and speak for whom), where lateness is
// decided (received_at_us is stamped once, here) and where overload is told before any work begins.
//
// The core (tables.c, route.c, own.c) knows neither sockets nor clocks: messages and the time come in,
// packets go out through an outlet. main.c joins it to ZeroMQ.
#pragma once

#include "arena/arena.h"
#include "bus/registry.h"
#include "bus_v1.pb-c.h"
#include "limits/limits.h"

#include <czmq.h>
#include <stdbool.h>
#include <stdint.h>

// ------------------------------------------------------------------ calendar.c: what day it is

// The instant that the stack takes for now. In a real stack the real clock; in a rehearsal it can be moved,
// and a file keeps it over a restart.
struct calendar {
    const char *path;    // the file; NULL: a real stack, which cannot be moved
    bool stands_still;
    int64_t at_us;       // where it stands
    int64_t offset_us;   // how far it runs before the real clock
};

// Read the calendar from its file; one that is missing is the real clock. Ends the process with a sentence
// when malformed.
struct calendar calendar_open(const char *path);
int64_t calendar_now_us(const struct calendar *calendar);
// Set the calendar and keep it. to_us 0: back to the real clock. False (and unmoved) when it cannot be kept.
bool calendar_move(struct calendar *calendar, int64_t to_us, bool stand_still);

// ------------------------------------------------------------------ what the broker remembers

// Who is at the other end of a connection. Given by ZeroMQ for each connection, never chosen by the peer.
typedef uint32_t peer_t;

// Why a packet went nowhere.
enum drop {
    DROP_MALFORMED,      // not two canonical frames, or not what a peer may send
    DROP_STRANGER,       // the key is not, or no longer, in the registry
    DROP_NOT_PERMITTED,  // a Ready for a name the key may not serve
    DROP_LATE,           // an answer to nothing we know: given before, expired, or never asked
    DROP_FOREIGN,        // an answer by a worker that was not given the request
    DROP_UNDELIVERED,    // the peer it was for has gone
    DROPS,
};

// How requests were answered.
#define TALLY_STATUSES (BUS__V1__REPLY__STATUS__POISON + 1)
struct tally {
    uint64_t by_status[TALLY_STATUSES];
};

// A service name and who waits for it.
struct office {
    char *name;
    struct tally answers;
    zlistx_t *waiting;       // tasks, the one to hand out next first
    zlistx_t *free;          // workers with credit, the least recently used first
    size_t handed;           // tasks that its workers hold
    uint64_t refused_full;
    // How fast its workers answer while others wait; whoever has nothing to do shows nothing of it.
    int64_t measured_ms;     // since when it is measured
    int64_t measured;        // answers since
    int64_t answer_us;       // from one answer to the next, when it was last measured; 0: not known
};

struct worker {
    peer_t peer;
    struct office *office;
    char key[41];
    char *key_name;
    uint32_t credit;
    uint64_t answered;
    int64_t heard_ms;
    bool draining;
    zlistx_t *tasks;         // handed to it and not answered
    void *free_place;        // in office->free; NULL: not there
};

// How much one key has under way here.
struct sender {
    char key[41];
    uint32_t pending;
};

#define ASKED_AS 48  // characters of a peer's number and an id, with room

// A request between its arrival and its answer.
struct task {
    uint64_t ticket;
    peer_t client;
    struct sender *sender;
    struct office *office;
    struct worker *worker;   // who holds it; NULL: waiting
    char id[37];
    int64_t arrived_ms;
    int64_t deadline_ms;
    int handed;              // times handed out
    uint8_t *packet;         // as a worker gets it
    size_t packet_size;
    zframe_t *body;
    void *place;             // in worker->tasks or office->waiting
    void *wheel_place;
    char asked_as[ASKED_AS]; // who asked, and the id: its name in waits
};

// Where packets leave. False: the peer has gone or takes nothing more.
struct outlet {
    bool (*send)(void *self, peer_t peer, const uint8_t *packet, size_t size, zframe_t *body);
    void *self;
};

#define WHEEL_SLOTS 1024
#define WHEEL_SLOT_MS 128  // times slots: more than LIMIT_TIMEOUT_MAX_MS, so a slot holds one round

struct broker {
    registry_t *registry;
    struct calendar *calendar;
    struct outlet outlet;
    arena_t *arena;          // of the message in hand
    arena_t *packing;        // of the packet being sent
    int64_t now_ms;          // the stopwatch, at the last turn or take
    int64_t second_ms;       // when the next heartbeats are due
    uint64_t last_ticket;
    size_t task_bytes;       // held by all tasks
    char last_move[37];      // id of the last MoveCalendar: a repeat must not move again
    zhashx_t *offices;       // by name
    zhashx_t *workers;       // by peer
    zhashx_t *senders;       // by key
    zhashx_t *tasks;         // by ticket
    zhashx_t *waits;         // tasks that wait, by who asked and the request's id
    zlistx_t *wheel[WHEEL_SLOTS];  // tasks by deadline
    struct tally own_answers;      // to what the broker itself was asked
    struct tally other_answers;    // to requests for a name that nobody serves
    int64_t wheel_slot;      // the next to look at, counted from the stopwatch's zero
    struct {
        uint64_t counts[DROPS];
        uint64_t untold;     // since the last line in the log
        int64_t told_ms;
    } drops;
};

// One message as it arrived. The body is taken over when the broker keeps it.
struct arrival {
    peer_t peer;
    const char *key;         // proven by CURVE; "" when there is none
    const uint8_t *packet;
    size_t packet_size;
    zframe_t **body_p;
};

// ------------------------------------------------------------------ tables.c: workers, tasks and time

struct broker *broker_new(registry_t *registry, struct calendar *calendar, struct outlet outlet,
                          int64_t now_ms);
void broker_destroy(struct broker **broker_p);

// Count a packet that goes nowhere; at most one line a second in the log tells of it.
void broker_drop(struct broker *broker, enum drop why, const char *key_name, const char *what);
uint64_t broker_dropped(const struct broker *broker);
const char *drop_name(enum drop why);

// Pack and send. An undelivered packet is the caller's to count.
bool packet_send(struct broker *broker, peer_t peer, const Bus__V1__Packet *packet, zframe_t *body);
void heartbeat_send(struct broker *broker, peer_t peer);
void disconnect_send(struct broker *broker, peer_t peer, const char *reason);
// Answer a client. type NULL: no body. retry_after_ms only where coming back makes sense.
void reply_send(struct broker *broker, peer_t client, const char *id, Bus__V1__Reply__Status status,
                const char *reason, uint32_t retry_after_ms);

// Count an answer; a status of no meaning is not counted.
void tally_add(struct tally *tally, Bus__V1__Reply__Status status);

struct office *office_find(struct broker *broker, const char *name);
struct office *office_make(struct broker *broker, const char *name);
// Give out what waits while workers are free.
void office_dispatch(struct broker *broker, struct office *office);
// A worker has answered one of its requests.
void office_answered(struct broker *broker, struct office *office);
// How long one more request would wait for its answer. 0 where that cannot be told: nothing was answered lately, or
// somebody who answers has come or gone.
int64_t office_wait_ms(const struct broker *broker, const struct office *office);
// A worker has come or is going: how fast they are now will be seen.
void office_forget_pace(struct broker *broker, struct office *office);

struct worker *worker_find(struct broker *broker, peer_t peer);
struct worker *worker_add(struct broker *broker, peer_t peer, const struct registered *key,
                          struct office *office, uint32_t credit);
// Put the worker among the free ones, or take it out, as its credit says.
void worker_settle(struct worker *worker);
// Forget a worker; what it held is handed to others.
void worker_lost(struct broker *broker, struct worker *worker);

struct sender *sender_of(struct broker *broker, const char *key);
// A new task at the end of its office's queue. Takes over *body_p.
struct task *task_add(struct broker *broker, struct office *office, const struct arrival *arrival,
                      const Bus__V1__Request *request, uint32_t timeout_ms);
struct task *task_find(struct broker *broker, uint64_t ticket);
// The very same request, asked on the same connection and still waiting for a worker; NULL: there is none.
struct task *task_repeated(struct broker *broker, const struct arrival *arrival,
                           const Bus__V1__Request *request);
// The sender will wait this long from now on.
void task_prolong(struct broker *broker, struct task *task, uint32_t timeout_ms);
void task_end(struct broker *broker, struct task *task);

// Do what is due by now: heartbeats, lost workers, passed deadlines. Returns the milliseconds until something
// is due again.
int64_t broker_turn(struct broker *broker, int64_t now_ms);
// The registry was read again: whoever lost a right loses it now.
void broker_registry_changed(struct broker *broker);
// Tell all who wait that nobody will take their requests.
void broker_stop(struct broker *broker);

// ------------------------------------------------------------------ route.c, own.c: what a packet leads to

// Handle one message.
void broker_take(struct broker *broker, int64_t now_ms, const struct arrival *arrival);

// A request to the broker itself (service "broker"), already judged as all requests are.
void own_request(struct broker *broker, const struct arrival *arrival, const Bus__V1__Request *request);
