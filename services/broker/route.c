// route: what each packet leads to. A packet is judged here once: its shape, then the rights of the key that
// sent it.
#include "broker.h"

#include "log/log.h"
#include "message/message.h"
#include "values/values.h"

#include <assert.h>
#include <string.h>

#define CREDIT_MAX    1024
#define TYPE_BYTES    100
#define SUBJECT_BYTES 64
#define SERVICE_BYTES 32
#define OWN_NAME      "broker"  // what is asked of the broker itself
#define LOWER         "abcdefghijklmnopqrstuvwxyz"
#define UPPER         "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS        "0123456789"

// ------------------------------------------------------------------ shapes

static bool text_of(const char *text, const char *allowed, size_t most)
{
    size_t length = strlen(text);
    return length >= 1 && length <= most && strspn(text, allowed) == length;
}

static bool service_valid(const char *service)
{
    return text_of(service, LOWER DIGITS "_-", SERVICE_BYTES);
}

static bool role_of_municipality(Bus__V1__Actor__Role role)
{
    return role >= BUS__V1__ACTOR__ROLE__EDITOR && role <= BUS__V1__ACTOR__ROLE__SUPERIOR_LEADER;
}

// Every check of a request's shape answers NULL or what is wrong and what would be right.
static const char *actor_fault(const Bus__V1__Actor *actor)
{
    if (!actor)
        return "actor is missing; name the person or process that asks";
    if (!text_of(actor->subject, UPPER LOWER DIGITS "._:-", SUBJECT_BYTES))
        return "actor.subject is not 1 to 64 of A-Z a-z 0-9 . _ : -";
    if (actor->role == BUS__V1__ACTOR__ROLE__UNSPECIFIED)
        return "actor.role is missing";
    if (actor->role == BUS__V1__ACTOR__ROLE__CLOCK)
        return "actor.role CLOCK is a service's own timer and is never taken from a socket";
    if (role_of_municipality(actor->role) && !*actor->organisation)
        return "actor.organisation is missing; a municipality's roles act for an organisation number of 9 "
               "digits";
    if (*actor->organisation && !organisation_number_valid(actor->organisation))
        return "actor.organisation is not an organisation number of 9 digits with a right check digit";
    return NULL;
}

static const char *request_fault(const Bus__V1__Request *request)
{
    if (!uuid_valid(request->id))
        return "id is not a UUID of 36 lower-case characters";
    if (!service_valid(request->service))
        return "service is not 1 to 32 of a-z 0-9 _ -";
    if (!text_of(request->type, UPPER LOWER DIGITS "._", TYPE_BYTES))
        return "type is not the full name of a message, like intake.v1.SaveDraft";
    if (*request->correlation && !uuid_valid(request->correlation))
        return "correlation is neither empty nor a UUID of 36 lower-case characters";
    if (request->timeout_ms > LIMIT_TIMEOUT_MAX_MS)
        return "timeout_ms is over 120000";
    return actor_fault(request->actor);
}

// ------------------------------------------------------------------ rights

static bool service_known(struct broker *broker, const char *service)
{
    return streq(service, OWN_NAME) || office_find(broker, service) ||
           registry_serves(broker->registry, service);
}

static const char *request_unlawful(struct broker *broker, const struct registered *key,
                                    const Bus__V1__Request *request)
{
    const char *why = NULL;

    if (!registered_asks(key, request->service))
        return arena_printf(broker->arena, "service: key '%s' may not ask '%s'; it may ask: %s", key->name,
                            request->service, *key->asks ? key->asks : "nobody");
    if (!registered_speaks(broker->registry, key, request->actor, &why))
        return why;
    if (!service_known(broker, request->service))
        return arena_printf(broker->arena, "service: no key in the registry serves '%s'", request->service);
    return NULL;
}

// NULL, or why there is no room for one more. Told before any work begins.
static const char *room_lacking(struct broker *broker, struct office *office, const struct arrival *arrival)
{
    const struct sender *sender = zhashx_lookup(broker->senders, arrival->key);

    if (zlistx_size(office->waiting) >= LIMIT_QUEUE_REQUESTS)
        return "the queue of this service is full; nothing was begun";
    if (zlistx_size(office->waiting) >= LIMIT_QUEUE_ALWAYS &&
        office_wait_ms(broker, office) > LIMIT_QUEUE_MS)
        return "this service has more to do than it can soon; nothing was begun";
    if (sender && sender->pending >= LIMIT_PENDING_PER_KEY)
        return "this key has too many requests under way; nothing was begun";
    if (broker->task_bytes + arrival->packet_size + zframe_size(*arrival->body_p) > LIMIT_QUEUE_BYTES)
        return "the broker's memory for requests is full; nothing was begun";
    return NULL;
}

// When to come back: not all at once, or they meet again.
static uint32_t retry_after_ms(void)
{
    return LIMIT_RETRY_MS + (uint32_t)random() % (4 * LIMIT_RETRY_MS);
}

// ------------------------------------------------------------------ packets

static void refuse(struct broker *broker, const struct arrival *arrival, const Bus__V1__Request *request,
                   const char *reason)
{
    // An id that is none is not sent back: it may be of any length.
    reply_send(broker, arrival->peer, uuid_valid(request->id) ? request->id : "",
               BUS__V1__REPLY__STATUS__REFUSED, reason, 0);
    struct office *office = office_find(broker, request->service);
    tally_add(office ? &office->answers : &broker->other_answers, BUS__V1__REPLY__STATUS__REFUSED);
}

static void request_queue(struct broker *broker, const struct arrival *arrival,
                          const Bus__V1__Request *request)
{
    struct office *office = office_make(broker, request->service);
    uint32_t timeout_ms = request->timeout_ms ? request->timeout_ms : LIMIT_TIMEOUT_MS;
    struct task *repeated = task_repeated(broker, arrival, request);
    const char *lacking = repeated ? NULL : room_lacking(broker, office, arrival);

    // Senders ask again while they wait. Each repeat as work of its own would make a slow service slower still,
    // and the queue would stay long after the peak.
    if (repeated) {
        task_prolong(broker, repeated, timeout_ms);
        return;
    }
    if (lacking) {
        office->refused_full++;
        tally_add(&office->answers, BUS__V1__REPLY__STATUS__RESOURCE_EXHAUSTED);
        reply_send(broker, arrival->peer, request->id, BUS__V1__REPLY__STATUS__RESOURCE_EXHAUSTED, lacking,
                   retry_after_ms());
        return;
    }
    task_add(broker, office, arrival, request, timeout_ms);
    office_dispatch(broker, office);
}

static void on_request(struct broker *broker, const struct registered *key, const struct arrival *arrival,
                       const Bus__V1__Packet *packet)
{
    Bus__V1__Request request = *packet->request;
    const char *fault = request_fault(&request);

    if (!fault)
        fault = request_unlawful(broker, key, &request);
    if (fault) {
        refuse(broker, arrival, &request, fault);
        return;
    }
    // From here on these are ours, whatever the sender wrote; so is the ticket, which comes with the queue.
    request.received_at_us = calendar_now_us(broker->calendar);
    request.sender = (char *)key->name;
    request.rehearsal = broker->calendar->path != NULL;
    if (streq(request.service, OWN_NAME))
        own_request(broker, arrival, &request);
    else
        request_queue(broker, arrival, &request);
}

static void on_reply(struct broker *broker, const struct registered *key, const struct arrival *arrival,
                     const Bus__V1__Packet *packet)
{
    Bus__V1__Reply reply = *packet->reply;
    Bus__V1__Packet forward = BUS__V1__PACKET__INIT;
    struct task *task = task_find(broker, reply.ticket);

    if (!task) {
        broker_drop(broker, DROP_LATE, key->name, reply.type);
        return;
    }
    if (!task->worker || task->worker->peer != arrival->peer || !streq(reply.id, task->id)) {
        broker_drop(broker, DROP_FOREIGN, key->name, reply.type);
        return;
    }
    if (reply.status == BUS__V1__REPLY__STATUS__UNSPECIFIED) {
        broker_drop(broker, DROP_MALFORMED, key->name, "a reply without status");
        return;
    }
    struct office *office = task->office;
    reply.ticket = 0;
    forward.kind_case = BUS__V1__PACKET__KIND_REPLY;
    forward.reply = &reply;
    task->worker->answered++;
    tally_add(&office->answers, reply.status);
    // A key that was taken out of the registry meanwhile is told nothing more.
    if (!registry_by_key(broker->registry, task->sender->key) ||
        !packet_send(broker, task->client, &forward, *arrival->body_p))
        broker_drop(broker, DROP_UNDELIVERED, key->name, reply.type);
    task_end(broker, task);
    office_answered(broker, office);
    office_dispatch(broker, office);
}

static void ready_refuse(struct broker *broker, const struct registered *key, const struct arrival *arrival,
                         const char *reason)
{
    struct worker *worker = worker_find(broker, arrival->peer);

    broker_drop(broker, DROP_NOT_PERMITTED, key->name, reason);
    disconnect_send(broker, arrival->peer, reason);
    if (worker)
        worker_lost(broker, worker);
}

static const char *ready_fault(struct broker *broker, const struct registered *key,
                               const struct worker *worker, const Bus__V1__Ready *ready)
{
    if (!service_valid(ready->service) || streq(ready->service, OWN_NAME))
        return "service is not a name that can be served: 1 to 32 of a-z 0-9 _ -, and not broker";
    if (!registered_serves(key, ready->service))
        return arena_printf(broker->arena, "key '%s' may not serve '%s'", key->name, ready->service);
    if (ready->credit < 1 || ready->credit > CREDIT_MAX)
        return "credit is not 1 to 1024";
    if (worker && !streq(worker->office->name, ready->service))
        return "this connection serves another name already; use one connection a name";
    if (!worker && zhashx_size(broker->workers) >= LIMIT_WORKERS)
        return "the broker has as many workers as it takes";
    return NULL;
}

static void on_ready(struct broker *broker, const struct registered *key, const struct arrival *arrival,
                     const Bus__V1__Packet *packet)
{
    const Bus__V1__Ready *ready = packet->ready;
    struct worker *worker = worker_find(broker, arrival->peer);
    const char *fault = ready_fault(broker, key, worker, ready);

    if (fault) {
        ready_refuse(broker, key, arrival, fault);
        return;
    }
    struct office *office = office_make(broker, ready->service);
    uint32_t credit = ready->credit < LIMIT_CREDIT ? ready->credit : LIMIT_CREDIT;
    if (worker) {  // said again, perhaps because our Disconnect and its Ready crossed
        worker->credit = credit;
        worker->draining = false;
        worker_settle(worker);
    } else {
        worker_add(broker, arrival->peer, key, office, credit);
        log_info("a worker is ready", "service", office->name, "key", key->name, "credit",
                 log_number(credit), NULL);
    }
    heartbeat_send(broker, arrival->peer);  // it knows the calendar before its first request
    office_dispatch(broker, office);
}

static void on_heartbeat(struct broker *broker, const struct registered *key, const struct arrival *arrival,
                         const Bus__V1__Packet *packet)
{
    (void)packet;
    if (worker_find(broker, arrival->peer))
        return;  // it gets its heartbeats by the clock
    heartbeat_send(broker, arrival->peer);
    if (*key->serves)
        disconnect_send(broker, arrival->peer,
                        "");  // perhaps a worker from before our start: say Ready again
}

static void on_disconnect(struct broker *broker, const struct registered *key, const struct arrival *arrival,
                          const Bus__V1__Packet *packet)
{
    struct worker *worker = worker_find(broker, arrival->peer);

    if (!worker)
        return;
    if (packet->disconnect->draining) {
        log_info("a worker drains", "service", worker->office->name, "key", key->name, NULL);
        worker->draining = true;
        worker_settle(worker);
        office_forget_pace(broker, worker->office);
        return;
    }
    log_info("a worker left", "service", worker->office->name, "key", key->name, NULL);
    worker_lost(broker, worker);
}

typedef void on_packet_f(struct broker *broker, const struct registered *key, const struct arrival *arrival,
                         const Bus__V1__Packet *packet);

static const struct {
    Bus__V1__Packet__KindCase kind;
    on_packet_f *call;
} routes[] = {
    {BUS__V1__PACKET__KIND_READY, on_ready},           {BUS__V1__PACKET__KIND_HEARTBEAT, on_heartbeat},
    {BUS__V1__PACKET__KIND_DISCONNECT, on_disconnect}, {BUS__V1__PACKET__KIND_REQUEST, on_request},
    {BUS__V1__PACKET__KIND_REPLY, on_reply},           {BUS__V1__PACKET__KIND__NOT_SET, NULL},
};

static void packet_route(struct broker *broker, const struct registered *key, const struct arrival *arrival,
                         const Bus__V1__Packet *packet)
{
    for (int i = 0; routes[i].call; i++) {
        if (routes[i].kind == packet->kind_case) {
            routes[i].call(broker, key, arrival, packet);
            return;
        }
    }
    broker_drop(broker, DROP_MALFORMED, key->name, "a packet of no kind");
}

// A key that is no longer registered is heard no more, from its next message on: libzmq asks only once a
// connection.
static void stranger_drop(struct broker *broker, const struct arrival *arrival)
{
    struct worker *worker = worker_find(broker, arrival->peer);

    broker_drop(broker, DROP_STRANGER, arrival->key, "a message of a key that is not in the registry now");
    if (worker)
        worker_lost(broker, worker);
}

void broker_take(struct broker *broker, int64_t now_ms, const struct arrival *arrival)
{
    const struct registered *key = *arrival->key ? registry_by_key(broker->registry, arrival->key) : NULL;
    struct message message = message_new(broker->arena);
    Bus__V1__Packet *packet = NULL;

    broker->now_ms = now_ms;
    if (!key) {
        stranger_drop(broker, arrival);
    } else if (arrival->packet_size > LIMIT_FRAME_BYTES ||
               zframe_size(*arrival->body_p) > LIMIT_FRAME_BYTES) {
        broker_drop(broker, DROP_MALFORMED, key->name, "a frame over 256 KiB");
    } else if (message_decode(&message, &bus__v1__packet__descriptor, arrival->packet, arrival->packet_size,
                              &packet) != OK) {
        broker_drop(broker, DROP_MALFORMED, key->name, message.reason);
    } else {
        struct worker *worker = worker_find(broker, arrival->peer);
        if (worker)
            worker->heard_ms = now_ms;
        packet_route(broker, key, arrival, packet);
    }
    arena_reset(broker->arena);
}
