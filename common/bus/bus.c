// bus: one process's connection to the broker, and to the event log's feed.
//
// There is no thread: whatever keeps the connection alive (heartbeats, Ready, reconnecting, the calendar)
// happens while the process waits in bus_next. A process that is busy for longer than LIMIT_SILENCE_MS is
// therefore taken for gone by the broker, which hands its requests to another; the same id makes that
// harmless.
#include "bus/bus.h"

#include "bus/end.h"
#include "clock/clock.h"
#include "env/env.h"
#include "limits/limits.h"
#include "log/log.h"
#include "stop/stop.h"
#include "values/values.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>

#define FEED_TOPIC      "log"
#define FEED_KEY_NAME   "eventlog"
#define BROKER_KEY_NAME "broker"
#define UNSENT_RETRY_MS 20  // between tries while the broker is not connected
#define REFUSED_RETRY_MS                                                                                     \
    30000  // Ready is tried again this long after a final refusal: the registry may be mended

// A question that was asked before anybody waits for its answer.
struct early {
    char id[UUID_SIZE];  // "": this place is free
    int64_t asked_ms;
    uint8_t *bytes[2];  // the frames of the answer; NULL: it has not come
    size_t sizes[2];
};

struct bus {
    struct bus_config config;
    registry_t *registry;
    struct key_pair own;
    secure_t *secure;  // of a server socket in this process; NULL when there is none
    arena_t *scratch;  // for packing what is sent
    zsock_t *dealer;
    zsock_t *feed;  // NULL: not followed
    int stop_fd;
    bool stopping;
    bool announced;  // said Ready (or hello) on this connection
    bool draining;
    bool rehearsal;
    bool broker_gone;          // told so in the log
    bool feed_gone;            // told so in the log
    bool feed_turn;            // the feed is looked at first next time
    int64_t refused_until_ms;  // 0: not refused
    int64_t beat_ms;           // when the next heartbeat is due
    int64_t unanswered_ms;     // when the oldest heartbeat without any answer was due; 0: all answered
    int64_t heard_ms;          // from the broker; 0: never
    int64_t feed_heard_ms;
    int64_t feed_opened_ms;
    uint64_t dropped;
    struct early early[BUS_AHEAD];
};

// The frames of one ZeroMQ message. Every message of ours has two.
struct frames {
    int count;
    const uint8_t *bytes[2];
    size_t sizes[2];
};

// ------------------------------------------------------------------ sending

static bool packet_send(bus_t *bus, const Bus__V1__Packet *packet, const uint8_t *body, size_t body_size)
{
    size_t size = 0;
    uint8_t *bytes = message_encode(bus->scratch, packet, &size);
    void *socket = zsock_resolve(bus->dealer);

    bool sent = zmq_send(socket, bytes, size, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0 &&
                zmq_send(socket, body, body_size, ZMQ_DONTWAIT) >= 0;
    arena_reset(bus->scratch);
    return sent;
}

static bool heartbeat_send(bus_t *bus)
{
    Bus__V1__Heartbeat heartbeat = BUS__V1__HEARTBEAT__INIT;
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;

    packet.kind_case = BUS__V1__PACKET__KIND_HEARTBEAT;
    packet.heartbeat = &heartbeat;
    return packet_send(bus, &packet, NULL, 0);
}

static bool ready_send(bus_t *bus)
{
    Bus__V1__Ready ready = BUS__V1__READY__INIT;
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;

    ready.service = (char *)bus->config.serves;
    ready.credit = bus->config.credit;
    packet.kind_case = BUS__V1__PACKET__KIND_READY;
    packet.ready = &ready;
    return packet_send(bus, &packet, NULL, 0);
}

static bool disconnect_send(bus_t *bus, bool draining)
{
    Bus__V1__Disconnect disconnect = BUS__V1__DISCONNECT__INIT;
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;

    disconnect.draining = draining;
    packet.kind_case = BUS__V1__PACKET__KIND_DISCONNECT;
    packet.disconnect = &disconnect;
    return packet_send(bus, &packet, NULL, 0);
}

static struct early *early_find(bus_t *bus, const char *id)
{
    for (int i = 0; i < BUS_AHEAD; i++)
        if (strcmp(bus->early[i].id, id) == 0)
            return &bus->early[i];
    return NULL;
}

static void early_free(struct early *early)
{
    for (int i = 0; i < 2; i++)
        free(early->bytes[i]);
    *early = (struct early){.id = ""};
}

// ------------------------------------------------------------------ connecting

static const char *key_of(const bus_t *bus, const char *name)
{
    const struct registered *entry = registry_by_name(bus->registry, name);
    if (!entry)
        bus_end("the registry of keys in %s has no key '%s' that is valid now", bus->config.keys, name);
    return entry->public_key;
}

static void dealer_open(bus_t *bus)
{
    zsock_destroy(&bus->dealer);
    bus->dealer = secure_connect(ZMQ_DEALER, bus->config.broker, key_of(bus, BROKER_KEY_NAME),
                                 bus->own.public_key, bus->own.secret_key);
    bus->announced = false;
    bus->unanswered_ms = 0;
}

static void feed_open(bus_t *bus)
{
    if (!bus->config.feed)
        return;
    zsock_destroy(&bus->feed);
    bus->feed = secure_connect(ZMQ_SUB, bus->config.feed, key_of(bus, FEED_KEY_NAME), bus->own.public_key,
                               bus->own.secret_key);
    zsock_set_subscribe(bus->feed, FEED_TOPIC);
    bus->feed_opened_ms = clock_stopwatch_ms();
}

struct bus_config bus_config_from_env(const char *default_name)
{
    return (struct bus_config){
        .name = default_name ? env_or("BUS_NAME", default_name) : env_required("BUS_NAME"),
        .broker = env_required("BUS_BROKER"),
        .feed = env_or("BUS_FEED", NULL),
        .keys = env_required("BUS_KEYS"),
        .credit = LIMIT_BATCH_MESSAGES,
    };
}

bus_t *bus_connect(const struct bus_config *config)
{
    char path[PATH_MAX];
    bus_t *bus = zmalloc(sizeof *bus);
    assert(bus);

    bus->config = *config;
    if (snprintf(path, sizeof path, "%s/registry.zpl", config->keys) >= (int)sizeof path)
        bus_end("BUS_KEYS is too long");
    // Read for the public keys only; what each may do is the broker's to judge, also whether this is a
    // rehearsal.
    bus->registry = registry_load(path, true);
    bus->own = secure_own_key(config->keys, config->name, bus->registry);
    bus->scratch = arena_new(LIMIT_ARENA_BYTES);
    bus->stop_fd = stop_open();
    bus->beat_ms = clock_stopwatch_ms();
    dealer_open(bus);
    feed_open(bus);
    return bus;
}

void bus_destroy(bus_t **bus_p)
{
    bus_t *bus = *bus_p;
    if (!bus)
        return;
    if (bus->config.serves)
        disconnect_send(bus, false);
    zsock_set_linger(bus->dealer, LIMIT_LINGER_MS);  // the last answers shall leave
    zsock_destroy(&bus->dealer);
    zsock_destroy(&bus->feed);
    close(bus->stop_fd);
    for (int i = 0; i < BUS_AHEAD; i++)
        early_free(&bus->early[i]);
    arena_destroy(&bus->scratch);
    registry_destroy(&bus->registry);
    free(bus);
    *bus_p = NULL;
}

void bus_turns(bus_t *bus, secure_t *secure)
{
    bus->secure = secure;
}

// ------------------------------------------------------------------ keeping alive

// The first word on a connection, once it stands: Ready from a worker, a heartbeat from a client.
static void announce(bus_t *bus)
{
    bool offers = bus->config.serves && !bus->draining && bus->refused_until_ms == 0;
    bus->announced = offers ? ready_send(bus) : heartbeat_send(bus);
}

static void beat(bus_t *bus, int64_t now_ms)
{
    if (now_ms < bus->beat_ms)
        return;
    bus->beat_ms = now_ms + LIMIT_HEARTBEAT_MS;
    if (bus->announced)
        heartbeat_send(bus);
    if (bus->unanswered_ms == 0)
        bus->unanswered_ms = now_ms;  // also when it could not be sent: silence is silence
    if (bus->refused_until_ms != 0 && now_ms >= bus->refused_until_ms) {
        bus->refused_until_ms = 0;
        bus->announced = false;
    }
}

// To be asked only when nothing is waiting to be read: after a long piece of work the answers may all be
// there already. A connection that was refused once is given up by libzmq for ever, hence new sockets.
static void silence_end(bus_t *bus, int64_t now_ms, bool with_feed)
{
    if (bus->unanswered_ms != 0 && now_ms - bus->unanswered_ms > LIMIT_SILENCE_MS) {
        if (!bus->broker_gone)
            log_warn("the broker is silent, connecting again until it answers", "broker", bus->config.broker,
                     NULL);
        bus->broker_gone = true;
        registry_refresh(bus->registry);
        dealer_open(bus);
    }
    int64_t feed_ms = bus->feed_heard_ms > bus->feed_opened_ms ? bus->feed_heard_ms : bus->feed_opened_ms;
    if (with_feed && bus->feed && now_ms - feed_ms > LIMIT_SILENCE_MS) {
        if (!bus->feed_gone)
            log_warn("the event log's feed is silent, connecting again until it speaks", "feed",
                     bus->config.feed, NULL);
        bus->feed_gone = true;
        registry_refresh(bus->registry);
        feed_open(bus);
    }
}

static void broker_heard(bus_t *bus)
{
    bus->heard_ms = clock_stopwatch_ms();
    bus->unanswered_ms = 0;
    if (bus->broker_gone)
        log_info("the broker answers again", "broker", bus->config.broker, NULL);
    bus->broker_gone = false;
}

static void feed_heard(bus_t *bus)
{
    bus->feed_heard_ms = clock_stopwatch_ms();
    if (bus->feed_gone)
        log_info("the event log's feed speaks again", "feed", bus->config.feed, NULL);
    bus->feed_gone = false;
}

static bool stop_asked(bus_t *bus)
{
    struct signalfd_siginfo info;
    if (bus->stopping || read(bus->stop_fd, &info, sizeof info) != sizeof info)
        return false;
    bus->stopping = true;
    return true;
}

// ------------------------------------------------------------------ receiving

// Take one message from the socket, of however many frames; the first two are kept. False when there is none.
static bool frames_receive(zsock_t *zsock, arena_t *arena, struct frames *ret)
{
    void *socket = zsock_resolve(zsock);
    struct frames frames = {0};

    for (bool more = true; more; frames.count++) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&frame);
            return false;
        }
        if (frames.count < 2) {
            frames.sizes[frames.count] = zmq_msg_size(&frame);
            frames.bytes[frames.count] = arena_copy(arena, zmq_msg_data(&frame), zmq_msg_size(&frame));
        }
        more = zmq_msg_more(&frame);
        zmq_msg_close(&frame);
    }
    *ret = frames;
    return true;
}

static void dropped(bus_t *bus, const char *why)
{
    bus->dropped++;
    log_warn("a message was dropped", "reason", why, "dropped", log_number((int64_t)bus->dropped), NULL);
}

static void on_heartbeat(bus_t *bus, const Bus__V1__Heartbeat *heartbeat)
{
    bus->rehearsal = heartbeat->rehearsal;
    if (heartbeat->calendar_at_us > 0)
        clock_set(heartbeat->calendar_at_us, heartbeat->stands_still);
}

static void on_disconnect(bus_t *bus, const Bus__V1__Disconnect *disconnect)
{
    if (!bus->config.serves || bus->draining || bus->refused_until_ms != 0)
        return;
    if (*disconnect->reason) {
        log_alarm("the broker does not let this process serve", "service", bus->config.serves, "reason",
                  disconnect->reason, NULL);
        bus->refused_until_ms = clock_stopwatch_ms() + REFUSED_RETRY_MS;
        return;
    }
    announce(bus);
}

// Handle a packet that keeps the connection alive, or hand it on as *ret. True when there is something to
// hand on.
static bool packet_take(bus_t *bus, const Bus__V1__Packet *packet, struct incoming *ret)
{
    switch (packet->kind_case) {
    case BUS__V1__PACKET__KIND_HEARTBEAT:
        on_heartbeat(bus, packet->heartbeat);
        return false;
    case BUS__V1__PACKET__KIND_DISCONNECT:
        on_disconnect(bus, packet->disconnect);
        return false;
    case BUS__V1__PACKET__KIND_REQUEST:
        ret->kind = INCOMING_REQUEST;
        ret->request = packet->request;
        return bus->config.serves != NULL;
    case BUS__V1__PACKET__KIND_REPLY:
        ret->kind = INCOMING_REPLY;
        ret->reply = packet->reply;
        return true;
    case BUS__V1__PACKET__KIND_READY:
    case BUS__V1__PACKET__KIND__NOT_SET:
    case _BUS__V1__PACKET__KIND__CASE_IS_INT_SIZE:
        break;
    }
    dropped(bus, "the packet is of no kind that a broker sends");
    return false;
}

// Is this the answer to what was asked ahead? Then it is kept until somebody waits for it; a second one is let go.
static bool early_keep(bus_t *bus, const struct incoming *incoming, const struct frames *frames)
{
    struct early *early = incoming->kind == INCOMING_REPLY && *incoming->reply->id != '\0'
                              ? early_find(bus, incoming->reply->id)
                              : NULL;

    for (int i = 0; early && !early->bytes[1] && i < 2; i++) {
        early->sizes[i] = frames->sizes[i];
        early->bytes[i] = malloc(frames->sizes[i] + 1);
        assert(early->bytes[i]);
        memcpy(early->bytes[i], frames->bytes[i], frames->sizes[i]);
    }
    return early != NULL;
}

// Take the answer to what was asked ahead. INCOMING_NOTHING when there is none; *ret_ask_ms: when to ask (again).
static struct incoming early_take(bus_t *bus, const char *id, arena_t *arena, int64_t *ret_ask_ms)
{
    struct incoming incoming = {.kind = INCOMING_NOTHING};
    struct early *early = early_find(bus, id);
    struct message message = message_new(arena);
    const Bus__V1__Packet *packet;

    *ret_ask_ms = early ? early->asked_ms + LIMIT_RESEND_MS : 0;
    if (!early || !early->bytes[1]) {
        bus_forget(bus, id);
        return incoming;
    }
    *ret_ask_ms = INT64_MAX;
    status_t status = message_decode(&message, &bus__v1__packet__descriptor, early->bytes[0], early->sizes[0],
                                     &packet);
    assert(status == OK);  // as it was when it came
    incoming = (struct incoming){.kind = INCOMING_REPLY,
                                 .reply = packet->reply,
                                 .body = arena_copy(arena, early->bytes[1], early->sizes[1]),
                                 .body_size = early->sizes[1]};
    early_free(early);
    return incoming;
}

// Read from the broker until there is something to hand on. False when nothing more is there.
static bool dealer_take(bus_t *bus, arena_t *arena, struct incoming *ret)
{
    struct frames frames;

    while (frames_receive(bus->dealer, arena, &frames)) {
        struct message message = message_new(arena);
        Bus__V1__Packet *packet = NULL;
        struct incoming incoming = {.body = frames.bytes[1], .body_size = frames.sizes[1]};

        broker_heard(bus);
        if (frames.count != 2)
            dropped(bus, "the message has not exactly two frames");
        else if (message_decode(&message, &bus__v1__packet__descriptor, frames.bytes[0], frames.sizes[0],
                                &packet) != OK)
            dropped(bus, message.reason);
        else if (packet_take(bus, packet, &incoming) && !early_keep(bus, &incoming, &frames)) {
            *ret = incoming;
            return true;
        }
    }
    return false;
}

static bool feed_take(bus_t *bus, arena_t *arena, struct incoming *ret)
{
    struct frames frames;

    while (bus->feed && frames_receive(bus->feed, arena, &frames)) {
        feed_heard(bus);
        if (frames.count == 2) {
            *ret = (struct incoming){
                .kind = INCOMING_FEED, .body = frames.bytes[1], .body_size = frames.sizes[1]};
            return true;
        }
        dropped(bus, "the message of the feed has not exactly two frames");
    }
    return false;
}

// Both sockets, the other one first each time, so that neither starves the other.
static bool sockets_take(bus_t *bus, arena_t *arena, bool with_feed, struct incoming *ret)
{
    if (!with_feed)
        return dealer_take(bus, arena, ret);
    bus->feed_turn = !bus->feed_turn;
    if (bus->feed_turn)
        return feed_take(bus, arena, ret) || dealer_take(bus, arena, ret);
    return dealer_take(bus, arena, ret) || feed_take(bus, arena, ret);
}

// Sleep until something can be read, a stop is asked for, a heartbeat is due or until_ms.
static void sockets_wait(bus_t *bus, int64_t now_ms, int64_t until_ms, bool with_feed)
{
    zmq_pollitem_t items[4] = {
        {zsock_resolve(bus->dealer), 0, bus->announced ? ZMQ_POLLIN : ZMQ_POLLIN | ZMQ_POLLOUT, 0},
        {NULL, bus->stop_fd, bus->stopping ? 0 : ZMQ_POLLIN, 0},
    };
    int count = 2;
    int64_t wake_ms = until_ms < bus->beat_ms ? until_ms : bus->beat_ms;

    if (bus->feed && with_feed)
        items[count++] = (zmq_pollitem_t){zsock_resolve(bus->feed), 0, ZMQ_POLLIN, 0};
    if (bus->secure)
        items[count++] = (zmq_pollitem_t){zsock_resolve(secure_socket(bus->secure)), 0, ZMQ_POLLIN, 0};
    zmq_poll(items, count, wake_ms > now_ms ? wake_ms - now_ms : 0);
    if (items[0].revents & ZMQ_POLLOUT)
        announce(bus);
}

static struct incoming next(bus_t *bus, arena_t *arena, int64_t timeout_ms, bool with_feed)
{
    struct incoming incoming = {.kind = INCOMING_STOP};
    int64_t until_ms = clock_stopwatch_ms() + timeout_ms;

    for (;;) {
        beat(bus, clock_stopwatch_ms());
        if (bus->secure)
            secure_turn(bus->secure);
        if (stop_asked(bus) || sockets_take(bus, arena, with_feed, &incoming))
            return incoming;
        int64_t now_ms = clock_stopwatch_ms();
        silence_end(bus, now_ms, with_feed);
        if (now_ms >= until_ms)
            return (struct incoming){.kind = bus->stopping ? INCOMING_STOP : INCOMING_NOTHING};
        sockets_wait(bus, now_ms, until_ms, with_feed);
    }
}

struct incoming bus_next(bus_t *bus, arena_t *arena, int timeout_ms)
{
    assert(timeout_ms >= 0);
    return next(bus, arena, timeout_ms, true);
}

// ------------------------------------------------------------------ asking and answering

void bus_reply(bus_t *bus, uint64_t ticket, const char *id, Bus__V1__Reply__Status status, const char *reason,
               const ProtobufCMessageDescriptor *type, const uint8_t *body, size_t body_size)
{
    Bus__V1__Reply reply = BUS__V1__REPLY__INIT;
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;
    bool fits = body_size <= LIMIT_FRAME_BYTES;

    reply.id = (char *)id;
    reply.ticket = ticket;
    reply.status = fits ? status : BUS__V1__REPLY__STATUS__POISON;
    reply.reason = (char *)(!fits ? "the answer is larger than 256 KiB; ask for less" : reason ? reason : "");
    reply.type = (char *)(type && fits ? type->name : "");
    packet.kind_case = BUS__V1__PACKET__KIND_REPLY;
    packet.reply = &reply;
    packet_send(bus, &packet, fits ? body : NULL, fits ? body_size : 0);
}

bool bus_ask(bus_t *bus, const char *service, const char *id, const char *type, const actor_t *actor,
             const char *correlation, uint32_t timeout_ms, const uint8_t *body, size_t body_size)
{
    Bus__V1__Request request = BUS__V1__REQUEST__INIT;
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;
    Bus__V1__Actor self = BUS__V1__ACTOR__INIT;

    assert(body_size <= LIMIT_FRAME_BYTES);
    self.subject = (char *)bus->config.name;
    self.role = BUS__V1__ACTOR__ROLE__SERVICE;
    request.service = (char *)service;
    request.id = (char *)id;
    request.type = (char *)type;
    request.actor = actor ? (actor_t *)actor : &self;
    request.correlation = (char *)(correlation ? correlation : "");
    request.timeout_ms = timeout_ms;
    packet.kind_case = BUS__V1__PACKET__KIND_REQUEST;
    packet.request = &request;
    return packet_send(bus, &packet, body, body_size);
}

void bus_drain(bus_t *bus)
{
    if (bus->config.serves && !bus->draining)
        disconnect_send(bus, true);
    bus->draining = true;
}

static bool heard_lately(int64_t heard_ms)
{
    return heard_ms != 0 && clock_stopwatch_ms() - heard_ms <= LIMIT_SILENCE_MS;
}

bool bus_broker_alive(const bus_t *bus)
{
    return heard_lately(bus->heard_ms);
}

bool bus_feed_alive(const bus_t *bus)
{
    return !bus->config.feed || heard_lately(bus->feed_heard_ms);
}

uint64_t bus_dropped(const bus_t *bus)
{
    return bus->dropped;
}

bool bus_rehearsal(const bus_t *bus)
{
    return bus->rehearsal;
}

// Shall the same be asked again later?
static bool reply_passing(const Bus__V1__Reply *reply)
{
    return reply->status == BUS__V1__REPLY__STATUS__UNAVAILABLE ||
           reply->status == BUS__V1__REPLY__STATUS__RESOURCE_EXHAUSTED;
}

static int64_t lesser(int64_t one, int64_t other)
{
    return one < other ? one : other;
}

bool bus_stopping(const bus_t *bus)
{
    return bus->stopping;
}

// The broker gives up a little before we do, so that its sentence still arrives.
static uint32_t patience(int64_t timeout_ms)
{
    return (uint32_t)lesser(timeout_ms * 9 / 10 + 1, LIMIT_TIMEOUT_MAX_MS);
}

bool bus_call(bus_t *bus, arena_t *arena, const char *service, const char *id, const char *type,
              const actor_t *actor, uint32_t timeout_ms, const uint8_t *body, size_t body_size,
              struct incoming *ret)
{
    int64_t until_ms = clock_stopwatch_ms() + timeout_ms;
    int64_t ask_ms;

    assert(!bus->config.serves);
    *ret = (struct incoming){.kind = INCOMING_NOTHING};
    struct incoming early = early_take(bus, id, arena, &ask_ms);
    for (int64_t now_ms = clock_stopwatch_ms(); now_ms < until_ms; now_ms = clock_stopwatch_ms()) {
        if (now_ms >= ask_ms) {
            bool asked = bus_ask(bus, service, id, type, actor, NULL, patience(until_ms - now_ms), body,
                                 body_size);
            ask_ms = now_ms + (asked ? LIMIT_RESEND_MS : UNSENT_RETRY_MS);
        }
        struct incoming incoming = early.kind == INCOMING_REPLY
                                       ? early
                                       : next(bus, arena, lesser(until_ms, ask_ms) - now_ms, false);
        early.kind = INCOMING_NOTHING;
        if (incoming.kind == INCOMING_STOP)
            return false;
        if (incoming.kind != INCOMING_REPLY || strcmp(incoming.reply->id, id) != 0)
            continue;
        *ret = incoming;
        if (!reply_passing(incoming.reply))
            return true;
        ask_ms = clock_stopwatch_ms() + LIMIT_RETRY_MS + incoming.reply->retry_after_ms;
    }
    return false;
}

bool bus_call_ahead(bus_t *bus, const char *service, const char *id, const char *type, const actor_t *actor,
                    uint32_t timeout_ms, const uint8_t *body, size_t body_size)
{
    struct early *early = early_find(bus, "");

    assert(strlen(id) < UUID_SIZE && !early_find(bus, id));
    if (!early || !bus_ask(bus, service, id, type, actor, NULL, patience(timeout_ms), body, body_size))
        return false;
    snprintf(early->id, sizeof early->id, "%s", id);
    early->asked_ms = clock_stopwatch_ms();
    return true;
}

void bus_forget(bus_t *bus, const char *id)
{
    struct early *early = early_find(bus, id);

    if (early)
        early_free(early);
}
