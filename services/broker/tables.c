// tables: the workers, the requests under way and their deadlines. All in memory, all bounded, each step
// O(1).
#include "broker.h"

#include "clock/clock.h"
#include "log/log.h"
#include "message/message.h"

#include <assert.h>
#include <string.h>

#define SECOND_MS 1000
#define PACE_MS   500  // how long answers are counted; without one for as long again, nothing is known

// ------------------------------------------------------------------ small helpers

static size_t peer_hash(const void *key)
{
    return *(const peer_t *)key;
}

static int peer_compare(const void *one, const void *other)
{
    peer_t a = *(const peer_t *)one;
    peer_t b = *(const peer_t *)other;
    return a < b ? -1 : a > b;
}

static size_t ticket_hash(const void *key)
{
    return (size_t) * (const uint64_t *)key;
}

static int ticket_compare(const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *)one;
    uint64_t b = *(const uint64_t *)other;
    return a < b ? -1 : a > b;
}

// A table whose keys are fields of its items.
static zhashx_t *table_new(zhashx_hash_fn *hash, zhashx_comparator_fn *compare)
{
    zhashx_t *table = zhashx_new();
    assert(table);
    zhashx_set_key_duplicator(table, NULL);
    zhashx_set_key_destructor(table, NULL);
    if (hash)
        zhashx_set_key_hasher(table, hash);
    if (compare)
        zhashx_set_key_comparator(table, compare);
    return table;
}

static void *zeroed(size_t size)
{
    void *memory = zmalloc(size);
    assert(memory);
    return memory;
}

static zlistx_t *list_new(void)
{
    zlistx_t *list = zlistx_new();
    assert(list);
    return list;
}

// ------------------------------------------------------------------ drops

static const struct {
    const char *name;
    bool alarming;  // somebody does what nobody should
} drops[DROPS] = {
    [DROP_MALFORMED] = {"malformed", false},
    [DROP_STRANGER] = {"key not in the registry", true},
    [DROP_NOT_PERMITTED] = {"not permitted", true},
    [DROP_LATE] = {"answer to nothing known", false},
    [DROP_FOREIGN] = {"answer by another worker", true},
    [DROP_UNDELIVERED] = {"receiver gone", false},
};

void broker_drop(struct broker *broker, enum drop why, const char *key_name, const char *what)
{
    broker->drops.counts[why]++;
    broker->drops.untold++;
    if (broker->now_ms - broker->drops.told_ms < SECOND_MS)
        return;
    (drops[why].alarming ? log_alarm : log_warn)("a packet was dropped", "why", drops[why].name, "key",
                                                 key_name, "what", what, "dropped",
                                                 log_number((int64_t)broker->drops.untold), NULL);
    broker->drops.told_ms = broker->now_ms;
    broker->drops.untold = 0;
}

uint64_t broker_dropped(const struct broker *broker)
{
    uint64_t sum = 0;
    for (int i = 0; i < DROPS; i++)
        sum += broker->drops.counts[i];
    return sum;
}

const char *drop_name(enum drop why)
{
    return drops[why].name;
}

static void drops_tell_rest(struct broker *broker)
{
    if (broker->drops.untold == 0 || broker->now_ms - broker->drops.told_ms < SECOND_MS)
        return;
    log_warn("more packets were dropped", "dropped", log_number((int64_t)broker->drops.untold), NULL);
    broker->drops.told_ms = broker->now_ms;
    broker->drops.untold = 0;
}

// ------------------------------------------------------------------ sending

bool packet_send(struct broker *broker, peer_t peer, const Bus__V1__Packet *packet, zframe_t *body)
{
    size_t size = 0;
    const uint8_t *bytes = message_encode(broker->packing, packet, &size);
    bool sent = broker->outlet.send(broker->outlet.self, peer, bytes, size, body);
    arena_reset(broker->packing);
    return sent;
}

void heartbeat_send(struct broker *broker, peer_t peer)
{
    Bus__V1__Heartbeat heartbeat = BUS__V1__HEARTBEAT__INIT;
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;

    heartbeat.calendar_at_us = calendar_now_us(broker->calendar);
    heartbeat.stands_still = broker->calendar->stands_still;
    heartbeat.rehearsal = broker->calendar->path != NULL;
    packet.kind_case = BUS__V1__PACKET__KIND_HEARTBEAT;
    packet.heartbeat = &heartbeat;
    packet_send(broker, peer, &packet, NULL);
}

void disconnect_send(struct broker *broker, peer_t peer, const char *reason)
{
    Bus__V1__Disconnect disconnect = BUS__V1__DISCONNECT__INIT;
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;

    disconnect.reason = (char *)reason;
    packet.kind_case = BUS__V1__PACKET__KIND_DISCONNECT;
    packet.disconnect = &disconnect;
    packet_send(broker, peer, &packet, NULL);
}

void reply_send(struct broker *broker, peer_t client, const char *id, Bus__V1__Reply__Status status,
                const char *reason, uint32_t retry_after_ms)
{
    Bus__V1__Reply reply = BUS__V1__REPLY__INIT;
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;

    reply.id = (char *)id;
    reply.status = status;
    reply.reason = (char *)reason;
    reply.retry_after_ms = retry_after_ms;
    packet.kind_case = BUS__V1__PACKET__KIND_REPLY;
    packet.reply = &reply;
    if (!packet_send(broker, client, &packet, NULL))
        broker_drop(broker, DROP_UNDELIVERED, "", "a reply of the broker");
}

// ------------------------------------------------------------------ offices

void tally_add(struct tally *tally, Bus__V1__Reply__Status status)
{
    if (status > BUS__V1__REPLY__STATUS__UNSPECIFIED && (int)status < TALLY_STATUSES)
        tally->by_status[status]++;
}

struct office *office_find(struct broker *broker, const char *name)
{
    return zhashx_lookup(broker->offices, name);
}

struct office *office_make(struct broker *broker, const char *name)
{
    struct office *office = office_find(broker, name);
    if (office)
        return office;
    office = zeroed(sizeof *office);
    office->name = strdup(name);
    assert(office->name);
    office->waiting = list_new();
    office->free = list_new();
    zhashx_insert(broker->offices, office->name, office);
    return office;
}

static void office_destroy(struct office *office)
{
    zlistx_destroy(&office->waiting);
    zlistx_destroy(&office->free);
    free(office->name);
    free(office);
}

// Measured is from the first that has to wait until none does: each request that finds nobody waiting begins anew, and what
// was measured before is kept for the next crowd.
static void measure_begin(struct broker *broker, struct office *office)
{
    office->measured_ms = broker->now_ms;
    office->measured = 0;
}

void office_forget_pace(struct broker *broker, struct office *office)
{
    office->answer_us = 0;
    measure_begin(broker, office);
}

void office_answered(struct broker *broker, struct office *office)
{
    int64_t took_ms = broker->now_ms - office->measured_ms;

    office->measured++;
    if (took_ms < PACE_MS)
        return;
    if (zlistx_size(office->waiting) > 0)
        office->answer_us = took_ms <= 2 * PACE_MS ? took_ms * 1000 / office->measured : 0;
    measure_begin(broker, office);
}

int64_t office_wait_ms(const struct broker *broker, const struct office *office)
{
    if (broker->now_ms - office->measured_ms > 2 * PACE_MS)
        return 0;
    return (int64_t)(zlistx_size(office->waiting) + office->handed) * office->answer_us / 1000;
}

static void asked_as(char name[ASKED_AS], peer_t peer, const char *id)
{
    snprintf(name, ASKED_AS, "%u %s", peer, id);
}

// Handed out or ended: the next of its name is work of its own. Only if it is this one that waits: the same id may
// have been asked with another body since.
static void task_waits_no_more(struct broker *broker, struct task *task)
{
    if (zhashx_lookup(broker->waits, task->asked_as) == task)
        zhashx_delete(broker->waits, task->asked_as);
}

// Hand a task to a worker. False: the worker takes nothing, and is to be forgotten.
static bool task_hand(struct broker *broker, struct task *task, struct worker *worker)
{
    if (!broker->outlet.send(broker->outlet.self, worker->peer, task->packet, task->packet_size, task->body))
        return false;
    task_waits_no_more(broker, task);
    zlistx_detach(task->office->waiting, task->place);
    task->place = zlistx_add_end(worker->tasks, task);
    task->worker = worker;
    task->handed++;
    task->office->handed++;
    if (worker->free_place)
        zlistx_move_end(task->office->free, worker->free_place);
    worker_settle(worker);
    return true;
}

// ------------------------------------------------------------------ workers

struct worker *worker_find(struct broker *broker, peer_t peer)
{
    return zhashx_lookup(broker->workers, &peer);
}

struct worker *worker_add(struct broker *broker, peer_t peer, const struct registered *key,
                          struct office *office, uint32_t credit)
{
    struct worker *worker = zeroed(sizeof *worker);
    worker->peer = peer;
    worker->office = office;
    worker->credit = credit;
    worker->heard_ms = broker->now_ms;
    worker->key_name = strdup(key->name);
    assert(worker->key_name);
    snprintf(worker->key, sizeof worker->key, "%s", key->public_key);
    worker->tasks = list_new();
    int fault = zhashx_insert(broker->workers, &worker->peer, worker);
    assert(fault == 0);
    worker_settle(worker);
    office_forget_pace(broker, office);
    return worker;
}

void worker_settle(struct worker *worker)
{
    bool free_now = !worker->draining && zlistx_size(worker->tasks) < worker->credit;
    if (free_now && !worker->free_place)
        worker->free_place = zlistx_add_end(worker->office->free, worker);
    if (!free_now && worker->free_place) {
        zlistx_detach(worker->office->free, worker->free_place);
        worker->free_place = NULL;
    }
}

static void worker_free(struct worker *worker)
{
    zlistx_destroy(&worker->tasks);
    free(worker->key_name);
    free(worker);
}

// A lost worker's task goes back to the front of the queue. One that has gone down with many workers may be
// what brings them down, and is not given to another.
static void task_take_back(struct broker *broker, struct task *task)
{
    zlistx_detach(task->worker->tasks, task->place);
    task->worker = NULL;
    task->office->handed--;
    task->place = zlistx_add_start(task->office->waiting, task);
    zhashx_insert(broker->waits, task->asked_as, task);  // unless another of its name waits already
    if (task->handed < LIMIT_TRIES)
        return;
    log_alarm("a request was lost with every worker that got it", "service", task->office->name, "id",
              task->id, "tries", log_number(task->handed), NULL);
    reply_send(broker, task->client, task->id, BUS__V1__REPLY__STATUS__UNAVAILABLE,
               "the outcome is unknown: every worker that got the request was lost", LIMIT_TIMEOUT_MS);
    task_end(broker, task);
}

static void worker_forget(struct broker *broker, struct worker *worker)
{
    worker->draining = true;
    worker_settle(worker);
    office_forget_pace(broker, worker->office);
    for (struct task *task = zlistx_last(worker->tasks); task; task = zlistx_last(worker->tasks))
        task_take_back(broker, task);
    zhashx_delete(broker->workers, &worker->peer);
    worker_free(worker);
}

void worker_lost(struct broker *broker, struct worker *worker)
{
    struct office *office = worker->office;

    worker_forget(broker, worker);
    office_dispatch(broker, office);
}

// The peers of all workers at this moment, in the arena: for walks that may remove some.
static peer_t *worker_peers(struct broker *broker, size_t *ret_count)
{
    peer_t *peers = arena_alloc(broker->arena, (zhashx_size(broker->workers) + 1) * sizeof *peers);
    size_t count = 0;
    for (struct worker *worker = zhashx_first(broker->workers); worker; worker = zhashx_next(broker->workers))
        peers[count++] = worker->peer;
    *ret_count = count;
    return peers;
}

// ------------------------------------------------------------------ tasks

struct sender *sender_of(struct broker *broker, const char *key)
{
    struct sender *sender = zhashx_lookup(broker->senders, key);
    if (sender)
        return sender;
    sender = zeroed(sizeof *sender);
    snprintf(sender->key, sizeof sender->key, "%s", key);
    zhashx_insert(broker->senders, sender->key, sender);
    return sender;
}

static zlistx_t *wheel_of(struct broker *broker, const struct task *task)
{
    return broker->wheel[task->deadline_ms / WHEEL_SLOT_MS % WHEEL_SLOTS];
}

struct task *task_add(struct broker *broker, struct office *office, const struct arrival *arrival,
                      const Bus__V1__Request *request, uint32_t timeout_ms)
{
    Bus__V1__Request stamped = *request;
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;
    struct task *task = zeroed(sizeof *task);

    stamped.ticket = task->ticket = ++broker->last_ticket;
    packet.kind_case = BUS__V1__PACKET__KIND_REQUEST;
    packet.request = &stamped;
    const uint8_t *bytes = message_encode(broker->packing, &packet, &task->packet_size);
    task->packet = zeroed(task->packet_size);
    memcpy(task->packet, bytes, task->packet_size);
    arena_reset(broker->packing);
    task->body = *arrival->body_p;
    *arrival->body_p = NULL;

    task->client = arrival->peer;
    task->office = office;
    task->sender = sender_of(broker, arrival->key);
    task->sender->pending++;
    snprintf(task->id, sizeof task->id, "%s", request->id);
    task->arrived_ms = broker->now_ms;
    task->deadline_ms = broker->now_ms + timeout_ms;
    if (zlistx_size(office->waiting) == 0)
        measure_begin(broker, office);
    task->place = zlistx_add_end(office->waiting, task);
    task->wheel_place = zlistx_add_end(wheel_of(broker, task), task);
    broker->task_bytes += task->packet_size + zframe_size(task->body);
    zhashx_insert(broker->tasks, &task->ticket, task);
    asked_as(task->asked_as, arrival->peer, task->id);
    zhashx_delete(broker->waits, task->asked_as);  // the same id with another body: the last asked counts
    zhashx_insert(broker->waits, task->asked_as, task);
    return task;
}

static bool same_actor(const Bus__V1__Actor *one, const Bus__V1__Actor *other)
{
    return streq(one->subject, other->subject) && one->role == other->role &&
           streq(one->organisation, other->organisation);
}

// All that the sender chose, but for its patience.
static bool same_request(const Bus__V1__Request *one, const Bus__V1__Request *other)
{
    return streq(one->service, other->service) && streq(one->id, other->id) &&
           streq(one->type, other->type) && streq(one->correlation, other->correlation) &&
           same_actor(one->actor, other->actor);
}

struct task *task_repeated(struct broker *broker, const struct arrival *arrival,
                           const Bus__V1__Request *request)
{
    struct message message = message_new(broker->packing);
    Bus__V1__Packet *packet = NULL;
    char name[ASKED_AS];

    asked_as(name, arrival->peer, request->id);
    struct task *task = zhashx_lookup(broker->waits, name);
    if (!task || !zframe_eq(task->body, *arrival->body_p))
        return NULL;
    status_t status = message_decode(&message, &bus__v1__packet__descriptor, task->packet, task->packet_size,
                                     &packet);
    assert(status == OK);  // it was packed here
    bool same = same_request(packet->request, request);
    arena_reset(broker->packing);
    return same ? task : NULL;
}

void task_prolong(struct broker *broker, struct task *task, uint32_t timeout_ms)
{
    int64_t deadline_ms = broker->now_ms + timeout_ms;

    if (deadline_ms <= task->deadline_ms)
        return;
    zlistx_detach(wheel_of(broker, task), task->wheel_place);
    task->deadline_ms = deadline_ms;
    task->wheel_place = zlistx_add_end(wheel_of(broker, task), task);
}

struct task *task_find(struct broker *broker, uint64_t ticket)
{
    return zhashx_lookup(broker->tasks, &ticket);
}

void task_end(struct broker *broker, struct task *task)
{
    broker->task_bytes -= task->packet_size + zframe_size(task->body);
    if (--task->sender->pending == 0) {
        zhashx_delete(broker->senders, task->sender->key);
        free(task->sender);
    }
    zlistx_detach(wheel_of(broker, task), task->wheel_place);
    zlistx_detach(task->worker ? task->worker->tasks : task->office->waiting, task->place);
    if (task->worker) {
        task->office->handed--;
        worker_settle(task->worker);
    }
    task_waits_no_more(broker, task);
    zhashx_delete(broker->tasks, &task->ticket);
    zframe_destroy(&task->body);
    free(task->packet);
    free(task);
}

// ------------------------------------------------------------------ time

// Nobody took it, or nobody answered: the sender decides whether to ask again. The worker gets its credit
// back, for a request that it lost must not hold it for ever.
static void task_expire(struct broker *broker, struct task *task)
{
    const char *reason = task->worker
                             ? "no answer in time; the outcome is unknown: ask again under the same id"
                         : task->handed
                             ? "its worker was lost and no other took it in time; ask again under the same id"
                             : "no worker was free in time; nothing was begun";
    reply_send(broker, task->client, task->id, BUS__V1__REPLY__STATUS__UNAVAILABLE, reason, LIMIT_RETRY_MS);
    tally_add(&task->office->answers, BUS__V1__REPLY__STATUS__UNAVAILABLE);
    task_end(broker, task);
}

void office_dispatch(struct broker *broker, struct office *office)
{
    for (;;) {
        struct task *task = zlistx_first(office->waiting);
        struct worker *worker = zlistx_first(office->free);
        if (!task || !worker)
            return;
        if (task->deadline_ms <= broker->now_ms) {
            task_expire(broker, task);
        } else if (!task_hand(broker, task, worker)) {
            log_warn("a worker takes nothing and is forgotten", "service", office->name, "key",
                     worker->key_name, NULL);
            worker_forget(broker, worker);
        }
    }
}

static void slot_expire(struct broker *broker, zlistx_t *slot)
{
    for (struct task *task = zlistx_first(slot); task && task->deadline_ms <= broker->now_ms;
         task = zlistx_first(slot)) {
        struct office *office = task->office;
        task_expire(broker, task);
        office_dispatch(broker, office);  // the worker that held it may be free now
    }
}

static void wheel_turn(struct broker *broker)
{
    int64_t until = broker->now_ms / WHEEL_SLOT_MS;
    if (until - broker->wheel_slot > WHEEL_SLOTS)
        broker->wheel_slot = until - WHEEL_SLOTS;  // the process slept: one round shows every slot
    for (; broker->wheel_slot < until; broker->wheel_slot++)
        slot_expire(broker, broker->wheel[broker->wheel_slot % WHEEL_SLOTS]);
}

static void workers_beat(struct broker *broker)
{
    size_t count = 0;
    const peer_t *peers = worker_peers(broker, &count);

    for (size_t i = 0; i < count; i++) {
        struct worker *worker = worker_find(broker, peers[i]);
        if (!worker)
            continue;
        if (broker->now_ms - worker->heard_ms <= LIMIT_SILENCE_MS) {
            heartbeat_send(broker, worker->peer);
            continue;
        }
        log_warn("a worker is silent and forgotten", "service", worker->office->name, "key", worker->key_name,
                 "outstanding", log_number((int64_t)zlistx_size(worker->tasks)), NULL);
        worker_lost(broker, worker);
    }
}

int64_t broker_turn(struct broker *broker, int64_t now_ms)
{
    broker->now_ms = now_ms;
    wheel_turn(broker);
    if (now_ms >= broker->second_ms) {
        broker->second_ms = now_ms + LIMIT_HEARTBEAT_MS;
        workers_beat(broker);
        drops_tell_rest(broker);
    }
    arena_reset(broker->arena);

    int64_t due_ms = broker->second_ms;
    int64_t slot_ms = (broker->wheel_slot + 1) * WHEEL_SLOT_MS;
    if (zhashx_size(broker->tasks) > 0 && slot_ms < due_ms)
        due_ms = slot_ms;
    return due_ms > now_ms ? due_ms - now_ms : 0;
}

void broker_registry_changed(struct broker *broker)
{
    size_t count = 0;
    const peer_t *peers = worker_peers(broker, &count);

    for (size_t i = 0; i < count; i++) {
        struct worker *worker = worker_find(broker, peers[i]);
        const struct registered *key = worker ? registry_by_key(broker->registry, worker->key) : NULL;
        if (!worker || (key && registered_serves(key, worker->office->name)))
            continue;
        log_alarm("a worker lost its right to serve", "service", worker->office->name, "key",
                  worker->key_name, NULL);
        disconnect_send(broker, worker->peer, "the registry no longer lets this key serve this name");
        worker_lost(broker, worker);
    }
    arena_reset(broker->arena);
}

void broker_stop(struct broker *broker)
{
    for (struct task *task = zhashx_first(broker->tasks); task; task = zhashx_first(broker->tasks)) {
        reply_send(broker, task->client, task->id, BUS__V1__REPLY__STATUS__UNAVAILABLE,
                   "the broker is stopping; ask again under the same id", LIMIT_RETRY_MS);
        task_end(broker, task);
    }
    arena_reset(broker->arena);
}

// ------------------------------------------------------------------ life

struct broker *broker_new(registry_t *registry, struct calendar *calendar, struct outlet outlet,
                          int64_t now_ms)
{
    struct broker *broker = zeroed(sizeof *broker);

    static_assert((int64_t)WHEEL_SLOTS * WHEEL_SLOT_MS > LIMIT_TIMEOUT_MAX_MS + 2 * WHEEL_SLOT_MS,
                  "one round a slot");
    broker->registry = registry;
    broker->calendar = calendar;
    broker->outlet = outlet;
    broker->arena = arena_new(LIMIT_ARENA_BYTES);
    broker->packing = arena_new(LIMIT_ARENA_BYTES);
    broker->now_ms = now_ms;
    broker->second_ms = now_ms;
    broker->wheel_slot = now_ms / WHEEL_SLOT_MS;
    broker->drops.told_ms = now_ms - SECOND_MS;
    // An answer to the broker before this one must not fit a ticket of ours.
    broker->last_ticket = (uint64_t)clock_real_us();
    broker->offices = table_new(NULL, NULL);
    broker->senders = table_new(NULL, NULL);
    broker->workers = table_new(peer_hash, peer_compare);
    broker->tasks = table_new(ticket_hash, ticket_compare);
    broker->waits = table_new(NULL, NULL);
    for (int i = 0; i < WHEEL_SLOTS; i++)
        broker->wheel[i] = list_new();
    return broker;
}

void broker_destroy(struct broker **broker_p)
{
    struct broker *broker = *broker_p;
    if (!broker)
        return;
    for (struct task *task = zhashx_first(broker->tasks); task; task = zhashx_first(broker->tasks))
        task_end(broker, task);
    for (struct worker *worker = zhashx_first(broker->workers); worker; worker = zhashx_next(broker->workers))
        worker_free(worker);
    for (struct office *office = zhashx_first(broker->offices); office; office = zhashx_next(broker->offices))
        office_destroy(office);
    for (int i = 0; i < WHEEL_SLOTS; i++)
        zlistx_destroy(&broker->wheel[i]);
    zhashx_destroy(&broker->waits);
    zhashx_destroy(&broker->tasks);
    zhashx_destroy(&broker->workers);
    zhashx_destroy(&broker->senders);
    zhashx_destroy(&broker->offices);
    arena_destroy(&broker->packing);
    arena_destroy(&broker->arena);
    free(broker);
    *broker_p = NULL;
}
