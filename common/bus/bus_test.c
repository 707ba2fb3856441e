// The bus against a broker of the test's own: a ROUTER socket in the same thread, whose ZAP handler turns in
// bus_next.
#include "bus/bus.h"

#include "bus/pages.h"
#include "clock/clock.h"
#include "limits/limits.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ID         "0190b2f0-0000-7000-8000-000000000001"
#define A_WHILE_MS 2000

struct world {
    char folder[64];
    char endpoint[96];
    struct key_pair broker_key;
    struct key_pair own_key;
    registry_t *registry;
    secure_t *secure;
    zsock_t *router;
    arena_t *arena;
    bus_t *bus;
};

// What the broker got: the peer, the packet and the size of the body.
struct got {
    uint8_t peer[5];
    const Bus__V1__Packet *packet;
    size_t body_size;
};

// ------------------------------------------------------------------ the world

__attribute__((format(printf, 3, 4), nonnull(3)))
static void text_write(const char *folder, const char *name, const char *format, ...)
{
    char path[160];
    va_list arguments;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    va_start(arguments, format);
    vfprintf(file, format, arguments);
    va_end(arguments);
    assert_int_equal(0, fclose(file));
    assert_int_equal(0, chmod(path, 0600));
}

static bool everyone(const struct registered *key)
{
    return key != NULL;
}

static int world_make(void **state)
{
    struct world *world = zmalloc(sizeof *world);
    char path[96];

    strcpy(world->folder, "/tmp/bus_test-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->endpoint, sizeof world->endpoint, "ipc://%s/socket", world->folder);
    snprintf(path, sizeof path, "%s/registry.zpl", world->folder);
    zmq_curve_keypair(world->broker_key.public_key, world->broker_key.secret_key);
    zmq_curve_keypair(world->own_key.public_key, world->own_key.secret_key);
    text_write(world->folder, "registry.zpl", "broker\n    public = \"%s\"\nintake\n    public = \"%s\"\n",
               world->broker_key.public_key, world->own_key.public_key);
    text_write(world->folder, "intake.secret.zpl",
               "curve\n    public-key = \"%s\"\n    secret-key = \"%s\"\n", world->own_key.public_key,
               world->own_key.secret_key);
    world->registry = registry_load(path, true);
    world->secure = secure_start(world->registry, everyone);
    world->router = secure_bind(world->secure, ZMQ_ROUTER, world->endpoint, world->broker_key.secret_key);
    world->arena = arena_new(LIMIT_ARENA_BYTES);
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;
    char command[128];

    bus_destroy(&world->bus);
    zsock_destroy(&world->router);
    secure_destroy(&world->secure);
    registry_destroy(&world->registry);
    arena_destroy(&world->arena);
    snprintf(command, sizeof command, "rm -r %s", world->folder);
    assert_int_equal(0, system(command));
    free(world);
    return 0;
}

static void bus_start(struct world *world, const char *serves)
{
    struct bus_config config = {
        .name = "intake", .broker = world->endpoint, .keys = world->folder, .serves = serves, .credit = 7};
    world->bus = bus_connect(&config);
    bus_turns(world->bus, world->secure);
}

static bool broker_receive(struct world *world, struct got *ret)
{
    struct message message = message_new(world->arena);
    Bus__V1__Packet *packet = NULL;
    zframe_t *peer = zframe_recv(world->router);

    if (!peer)
        return false;
    zframe_t *bytes = zframe_recv(world->router);
    zframe_t *body = zframe_recv(world->router);
    assert_false(zframe_more(body));
    assert_int_equal(5, zframe_size(peer));
    memcpy(ret->peer, zframe_data(peer), 5);
    assert_int_equal(OK, message_decode(&message, &bus__v1__packet__descriptor, zframe_data(bytes),
                                        zframe_size(bytes), &packet));
    ret->packet = packet;
    ret->body_size = zframe_size(body);
    zframe_destroy(&peer);
    zframe_destroy(&bytes);
    zframe_destroy(&body);
    return true;
}

// Let the bus run until the broker has a packet of this kind; others are passed over.
static struct got broker_expect(struct world *world, Bus__V1__Packet__KindCase kind, int64_t within_ms)
{
    int64_t until_ms = clock_stopwatch_ms() + within_ms;
    struct got got;

    while (clock_stopwatch_ms() < until_ms) {
        while (broker_receive(world, &got))
            if (got.packet->kind_case == kind)
                return got;
        assert_int_equal(INCOMING_NOTHING, bus_next(world->bus, world->arena, 10).kind);
    }
    fail_msg("no packet of kind %d came within %lld ms", kind, (long long)within_ms);
    return got;
}

static void broker_send(struct world *world, const struct got *to, const Bus__V1__Packet *packet,
                        const char *body)
{
    size_t size = 0;
    const uint8_t *bytes = message_encode(world->arena, packet, &size);
    void *socket = zsock_resolve(world->router);

    assert_int_equal(5, zmq_send(socket, to->peer, 5, ZMQ_SNDMORE));
    assert_int_equal(size, zmq_send(socket, bytes, size, ZMQ_SNDMORE));
    assert_int_equal(strlen(body), zmq_send(socket, body, strlen(body), 0));
}

static void broker_disconnects(struct world *world, const struct got *to, const char *reason)
{
    Bus__V1__Disconnect disconnect = BUS__V1__DISCONNECT__INIT;
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;

    disconnect.reason = (char *)reason;
    packet.kind_case = BUS__V1__PACKET__KIND_DISCONNECT;
    packet.disconnect = &disconnect;
    broker_send(world, to, &packet, "");
}

static void broker_requests(struct world *world, const struct got *to, uint64_t ticket, const char *body)
{
    Bus__V1__Request request = BUS__V1__REQUEST__INIT;
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;

    request.id = ID;
    request.ticket = ticket;
    packet.kind_case = BUS__V1__PACKET__KIND_REQUEST;
    packet.request = &request;
    broker_send(world, to, &packet, body);
}

static void broker_answers(struct world *world, const struct got *to, const char *id, Bus__V1__Reply__Status status,
                           const char *body)
{
    Bus__V1__Reply reply = BUS__V1__REPLY__INIT;
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;

    reply.id = (char *)id;
    reply.status = status;
    reply.reason = status == BUS__V1__REPLY__STATUS__OK ? "" : "later";
    packet.kind_case = BUS__V1__PACKET__KIND_REPLY;
    packet.reply = &reply;
    broker_send(world, to, &packet, body);
}

static void broker_replies(struct world *world, const struct got *to, Bus__V1__Reply__Status status, const char *body)
{
    broker_answers(world, to, ID, status, body);
}

// A worker that has said Ready.
static struct got worker_start(struct world *world)
{
    bus_start(world, "intake");
    return broker_expect(world, BUS__V1__PACKET__KIND_READY, A_WHILE_MS);
}

static struct got client_start(struct world *world)
{
    bus_start(world, NULL);
    return broker_expect(world, BUS__V1__PACKET__KIND_HEARTBEAT, A_WHILE_MS);
}

// ------------------------------------------------------------------ serving

static void a_worker_says_ready_when_it_is_connected(void **state)
{
    struct got got = worker_start(*state);  // when

    assert_string_equal("intake", got.packet->ready->service);  // then
    assert_int_equal(7, got.packet->ready->credit);
}

static void a_worker_says_ready_again_when_it_is_not_known(void **state)
{
    struct world *world = *state;
    struct got got = worker_start(world);  // given

    broker_disconnects(world, &got, "");  // when

    broker_expect(world, BUS__V1__PACKET__KIND_READY, 500);  // then
}

static void a_worker_that_is_refused_for_good_does_not_insist(void **state)
{
    struct world *world = *state;
    struct got got = worker_start(world);  // given

    broker_disconnects(world, &got, "key 'intake' may not serve 'intake'");  // when
    broker_disconnects(world, &got, "");

    int64_t until_ms = clock_stopwatch_ms() + 1200;
    int heartbeats = 0;
    while (clock_stopwatch_ms() < until_ms) {
        assert_int_equal(INCOMING_NOTHING, bus_next(world->bus, world->arena, 50).kind);
        for (; broker_receive(world, &got); heartbeats++) {  // then
            assert_int_equal(BUS__V1__PACKET__KIND_HEARTBEAT, got.packet->kind_case);
            broker_disconnects(world, &got, "");
        }
    }
    assert_in_range(heartbeats, 1, 2);  // it does not answer every Disconnect with another
}

static void a_request_is_handed_on_and_its_answer_goes_back(void **state)
{
    struct world *world = *state;
    struct got got = worker_start(world);  // given

    broker_requests(world, &got, 42, "a body");  // when
    struct incoming incoming = bus_next(world->bus, world->arena, A_WHILE_MS);
    bus_reply(world->bus, incoming.request->ticket, incoming.request->id, BUS__V1__REPLY__STATUS__REFUSED,
              "no", &bus__v1__peers__descriptor, incoming.body, incoming.body_size);

    assert_int_equal(INCOMING_REQUEST, incoming.kind);  // then
    assert_memory_equal("a body", incoming.body, 6);
    struct got reply = broker_expect(world, BUS__V1__PACKET__KIND_REPLY, A_WHILE_MS);
    assert_int_equal(42, reply.packet->reply->ticket);
    assert_string_equal(ID, reply.packet->reply->id);
    assert_string_equal("bus.v1.Peers", reply.packet->reply->type);
    assert_int_equal(BUS__V1__REPLY__STATUS__REFUSED, reply.packet->reply->status);
    assert_int_equal(6, reply.body_size);
}

static void an_answer_that_is_too_large_becomes_a_sentence(void **state)
{
    struct world *world = *state;
    struct got got = worker_start(world);
    uint8_t *large = zmalloc(LIMIT_FRAME_BYTES + 1);  // given
    broker_requests(world, &got, 42, "");
    bus_next(world->bus, world->arena, A_WHILE_MS);

    bus_reply(world->bus, 42, ID, BUS__V1__REPLY__STATUS__OK, "", &bus__v1__peers__descriptor, large,  // when
              LIMIT_FRAME_BYTES + 1);

    struct got reply = broker_expect(world, BUS__V1__PACKET__KIND_REPLY, A_WHILE_MS);  // then
    assert_int_equal(BUS__V1__REPLY__STATUS__POISON, reply.packet->reply->status);
    assert_int_equal(0, reply.body_size);
    free(large);
}

static void a_draining_worker_says_so_and_stays_silent_about_ready(void **state)
{
    struct world *world = *state;
    struct got got = worker_start(world);  // given

    bus_drain(world->bus);  // when

    struct got drained = broker_expect(world, BUS__V1__PACKET__KIND_DISCONNECT, A_WHILE_MS);  // then
    assert_true(drained.packet->disconnect->draining);
    broker_disconnects(world, &got, "");
    bus_next(world->bus, world->arena, 50);
    while (broker_receive(world, &got))
        assert_int_equal(BUS__V1__PACKET__KIND_HEARTBEAT, got.packet->kind_case);
}

static void a_worker_that_ends_says_goodbye(void **state)
{
    struct world *world = *state;
    struct got got = worker_start(world);  // given

    bus_destroy(&world->bus);  // when
    usleep(50000);

    while (broker_receive(world, &got) && got.packet->kind_case != BUS__V1__PACKET__KIND_DISCONNECT)
        continue;
    assert_int_equal(BUS__V1__PACKET__KIND_DISCONNECT, got.packet->kind_case);  // then
    assert_false(got.packet->disconnect->draining);
}

// ------------------------------------------------------------------ staying alive

static void heartbeats_go_out_and_the_brokers_are_followed(void **state)
{
    struct world *world = *state;
    Bus__V1__Heartbeat heartbeat = BUS__V1__HEARTBEAT__INIT;
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;
    struct got got = worker_start(world);  // given
    assert_false(bus_broker_alive(world->bus));
    heartbeat.calendar_at_us = 1718402400000000;
    heartbeat.stands_still = true;
    heartbeat.rehearsal = true;
    packet.kind_case = BUS__V1__PACKET__KIND_HEARTBEAT;
    packet.heartbeat = &heartbeat;

    broker_send(world, &got, &packet, "");  // when
    broker_expect(world, BUS__V1__PACKET__KIND_HEARTBEAT, LIMIT_HEARTBEAT_MS + 500);

    assert_int_equal(1718402400000000, clock_calendar_us());  // then
    assert_true(bus_rehearsal(world->bus));
    assert_true(bus_broker_alive(world->bus));
}

static void a_silent_broker_is_connected_to_again(void **state)
{
    struct world *world = *state;
    struct got first = worker_start(world);  // given

    struct got second = broker_expect(world, BUS__V1__PACKET__KIND_READY, LIMIT_SILENCE_MS + 3000);  // when

    assert_memory_not_equal(first.peer, second.peer, 5);  // then: a new connection
}

static void waiting_costs_no_processor_time(void **state)
{
    struct world *world = *state;
    struct timespec before, after;
    struct got got = worker_start(world);
    broker_expect(world, BUS__V1__PACKET__KIND_HEARTBEAT, 1500);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);  // given

    bus_next(world->bus, world->arena, 1000);  // when

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);  // then
    int64_t used_us = (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
    assert_in_range(used_us, 0, 50000);
    (void)got;
}

static void packets_that_are_not_the_contracts_are_passed_over(void **state)
{
    struct world *world = *state;
    void *socket = zsock_resolve(world->router);
    struct got got = worker_start(world);

    zmq_send(socket, got.peer, 5, ZMQ_SNDMORE);  // when: one frame only
    zmq_send(socket, "x", 1, 0);
    zmq_send(socket, got.peer, 5, ZMQ_SNDMORE);  // no protobuf
    zmq_send(socket, "\xff\xff", 2, ZMQ_SNDMORE);
    zmq_send(socket, "", 0, 0);
    zmq_send(socket, got.peer, 5, ZMQ_SNDMORE);  // a request of three frames
    zmq_send(socket, "\x22", 2, ZMQ_SNDMORE);
    zmq_send(socket, "", 0, ZMQ_SNDMORE);
    zmq_send(socket, "", 0, 0);
    broker_requests(world, &got, 1, "good");

    struct incoming incoming = bus_next(world->bus, world->arena, A_WHILE_MS);
    assert_int_equal(INCOMING_REQUEST, incoming.kind);  // then
    assert_int_equal(4, incoming.body_size);
}

static void a_stop_is_told_at_once_and_what_comes_after_is_still_handed_on(void **state)
{
    struct world *world = *state;
    struct got got = worker_start(world);
    raise(SIGTERM);  // given
    int64_t before_ms = clock_stopwatch_ms();

    assert_int_equal(INCOMING_STOP, bus_next(world->bus, world->arena, 10000).kind);  // when, then

    assert_in_range(clock_stopwatch_ms() - before_ms, 0, 200);
    broker_requests(world, &got, 1, "");
    assert_int_equal(INCOMING_REQUEST, bus_next(world->bus, world->arena, A_WHILE_MS).kind);
    assert_int_equal(INCOMING_STOP, bus_next(world->bus, world->arena, 20).kind);
}

// ------------------------------------------------------------------ asking

static void asking_while_nobody_is_there_is_told(void **state)
{
    struct world *world = *state;
    zsock_destroy(&world->router);  // given
    bus_start(world, NULL);
    bus_next(world->bus, world->arena, 50);

    assert_false(bus_ask(world->bus, "intake", ID, "intake.v1.X", NULL, NULL, 0, NULL, 0));  // when, then
}

static void a_process_asks_as_itself_unless_told(void **state)
{
    struct world *world = *state;
    client_start(world);  // given

    assert_true(
        bus_ask(world->bus, "eventlog", ID, "eventlog.v1.Read", NULL, NULL, 5, (uint8_t *)"xy", 2));  // when

    struct got got = broker_expect(world, BUS__V1__PACKET__KIND_REQUEST, A_WHILE_MS);  // then
    assert_string_equal("intake", got.packet->request->actor->subject);
    assert_int_equal(BUS__V1__ACTOR__ROLE__SERVICE, got.packet->request->actor->role);
    assert_int_equal(2, got.body_size);
}

static void a_call_asks_again_under_the_same_id_until_it_is_answered(void **state)
{
    struct world *world = *state;
    struct incoming incoming;
    struct got got = client_start(world);
    broker_replies(world, &got, BUS__V1__REPLY__STATUS__UNAVAILABLE, "");  // given
    broker_replies(world, &got, BUS__V1__REPLY__STATUS__OK, "done");

    assert_true(bus_call(world->bus, world->arena, "intake", ID, "intake.v1.X", NULL, 5000, NULL, 0,  // when
                         &incoming));

    assert_int_equal(BUS__V1__REPLY__STATUS__OK, incoming.reply->status);  // then
    assert_memory_equal("done", incoming.body, 4);
}

static void a_call_without_answer_asks_more_than_once_and_gives_up_in_time(void **state)
{
    struct world *world = *state;
    struct incoming incoming;
    struct got got = client_start(world);
    broker_replies(world, &got, BUS__V1__REPLY__STATUS__UNAVAILABLE, "");  // given
    int64_t before_ms = clock_stopwatch_ms();

    assert_false(bus_call(world->bus, world->arena, "intake", ID, "intake.v1.X", NULL, 500, NULL, 0,  // when
                          &incoming));

    assert_in_range(clock_stopwatch_ms() - before_ms, 500, 700);  // then
    assert_string_equal("later", incoming.reply->reason);
    for (int i = 0; i < 2; i++) {
        got = broker_expect(world, BUS__V1__PACKET__KIND_REQUEST, 100);
        assert_string_equal(ID, got.packet->request->id);
        assert_in_range(got.packet->request->timeout_ms, 1, 500);
    }
}

// ------------------------------------------------------------------ asking ahead

#define ID_A "0190b2f0-0000-7000-8000-00000000000a"
#define ID_B "0190b2f0-0000-7000-8000-00000000000b"

static bool asks_ahead(struct world *world, const char *id)
{
    return bus_call_ahead(world->bus, "eventlog", id, "eventlog.v1.Read", NULL, 5000, (const uint8_t *)"?", 1);
}

static struct incoming calls(struct world *world, const char *id, uint32_t timeout_ms)
{
    struct incoming incoming;

    bus_call(world->bus, world->arena, "eventlog", id, "eventlog.v1.Read", NULL, timeout_ms, (const uint8_t *)"?", 1,
             &incoming);
    return incoming;
}

static int requests_sent(struct world *world)
{
    struct got got;
    int requests = 0;

    for (int64_t until_ms = clock_stopwatch_ms() + 50; clock_stopwatch_ms() < until_ms;) {
        bus_next(world->bus, world->arena, 5);
        while (broker_receive(world, &got))
            requests += got.packet->kind_case == BUS__V1__PACKET__KIND_REQUEST;
    }
    return requests;
}

static void what_was_asked_ahead_is_there_when_it_is_waited_for(void **state)
{
    struct world *world = *state;
    struct got got = client_start(world);

    assert_true(asks_ahead(world, ID_A) && asks_ahead(world, ID_B));  // given: their answers come while another is waited
    broker_answers(world, &got, ID_B, BUS__V1__REPLY__STATUS__OK, "of b");  // for, and in another order
    broker_answers(world, &got, ID_A, BUS__V1__REPLY__STATUS__OK, "of a");
    broker_answers(world, &got, ID_A, BUS__V1__REPLY__STATUS__OK, "again");
    broker_replies(world, &got, BUS__V1__REPLY__STATUS__OK, "other");
    struct incoming other = calls(world, ID, 1000);
    assert_int_equal(3, requests_sent(world));

    struct incoming a = calls(world, ID_A, 1000), b = calls(world, ID_B, 1000);  // when

    assert_memory_equal("other", other.body, 5);  // then
    assert_memory_equal("of a", a.body, 4);
    assert_string_equal(ID_A, a.reply->id);
    assert_memory_equal("of b", b.body, 4);
    assert_int_equal(0, requests_sent(world));
}

static void what_was_asked_ahead_in_vain_is_asked_again(void **state)
{
    struct world *world = *state;
    struct got got = client_start(world);

    assert_true(asks_ahead(world, ID_A) && asks_ahead(world, ID_B));  // given
    broker_answers(world, &got, ID_B, BUS__V1__REPLY__STATUS__UNAVAILABLE, "");
    assert_int_equal(INCOMING_NOTHING, bus_next(world->bus, world->arena, 50).kind);
    assert_int_equal(2, requests_sent(world));
    assert_null(calls(world, ID_A, LIMIT_RESEND_MS - 500).reply);  // when: not yet
    assert_int_equal(0, requests_sent(world));
    assert_null(calls(world, ID_A, 300).reply);
    assert_int_equal(1, requests_sent(world));                      // then: what is not asked ahead is asked at once
    assert_string_equal("later", calls(world, ID_B, 600).reply->reason);
    assert_int_equal(1, requests_sent(world));
}

static void what_was_forgotten_makes_room(void **state)
{
    struct world *world = *state;
    char ids[BUS_AHEAD][37];
    struct got got = client_start(world);

    for (int i = 0; i < BUS_AHEAD; i++) {  // given: no room
        snprintf(ids[i], sizeof ids[i], "0190b2f0-0000-7000-8000-0000000001%02d", i);
        assert_true(asks_ahead(world, ids[i]));
    }
    assert_false(asks_ahead(world, ID_A));
    broker_answers(world, &got, ids[0], BUS__V1__REPLY__STATUS__OK, "early");
    assert_int_equal(INCOMING_NOTHING, bus_next(world->bus, world->arena, 50).kind);

    bus_forget(world->bus, ids[0]);  // when
    bus_forget(world->bus, ID);

    assert_true(asks_ahead(world, ID_A));  // then
    broker_answers(world, &got, ids[0], BUS__V1__REPLY__STATUS__OK, "late");
    assert_int_equal(INCOMING_REPLY, bus_next(world->bus, world->arena, A_WHILE_MS).kind);
}

// ------------------------------------------------------------------ pages of the log

// An event log in a thread: entries of so many bytes, told page by page as the real one does.
struct told_log {
    struct world *world;
    arena_t *arena;
    atomic_uint_fast64_t head;
    atomic_bool silent, enough;
    int most;  // questions that were waiting at once
    int pages;
};

static size_t size_of_entry(uint64_t position)
{
    return position % 97 == 0 ? 190000 : position % 3 * 1000 + 100;
}

static void tell_page(struct told_log *log, const struct got *got, const Eventlog__V1__Read *read)
{
    Eventlog__V1__Page page = EVENTLOG__V1__PAGE__INIT;
    Bus__V1__Reply reply = BUS__V1__REPLY__INIT;
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;
    Eventlog__V1__Entry *entries[1000];
    void *socket = zsock_resolve(log->world->router);
    size_t bytes = 0, size;

    page.head = log->head;
    page.entries = entries;
    for (uint64_t at = read->after + 1; at <= page.head && page.n_entries < read->limit; at++) {
        size_t more = size_of_entry(at) + 64;
        if (page.n_entries > 0 && bytes + more > LIMIT_BATCH_BYTES)
            break;
        bytes += more;
        Eventlog__V1__Entry *entry = arena_alloc(log->arena, sizeof *entry);
        eventlog__v1__entry__init(entry);
        entry->position = at;
        entry->event = (ProtobufCBinaryData){.len = more - 64, .data = arena_alloc(log->arena, more - 64)};
        entries[page.n_entries++] = entry;
    }
    reply.id = got->packet->request->id;
    reply.status = BUS__V1__REPLY__STATUS__OK;
    reply.type = (char *)"eventlog.v1.Page";
    packet.kind_case = BUS__V1__PACKET__KIND_REPLY;
    packet.reply = &reply;
    const uint8_t *head = message_encode(log->arena, &packet, &size);
    zmq_send(socket, got->peer, 5, ZMQ_SNDMORE);
    zmq_send(socket, head, size, ZMQ_SNDMORE);
    const uint8_t *body = message_encode(log->arena, &page, &size);
    zmq_send(socket, body, size, 0);
    log->pages++;
}

// Everything that waits, taken first, so that it is known how much was asked at once.
static void tell_pages(struct told_log *log)
{
    struct {
        struct got got;
        const Eventlog__V1__Read *read;
    } waiting[16];
    int count = 0;
    zframe_t *frames[3];

    while (count < 16 && (frames[0] = zframe_recv_nowait(log->world->router)) != NULL) {
        frames[1] = zframe_recv(log->world->router);
        frames[2] = zframe_recv(log->world->router);
        struct message message = message_new(log->arena);
        memcpy(waiting[count].got.peer, zframe_data(frames[0]), 5);
        assert_int_equal(OK, message_decode(&message, &bus__v1__packet__descriptor, zframe_data(frames[1]),
                                            zframe_size(frames[1]), &waiting[count].got.packet));
        if (waiting[count].got.packet->kind_case == BUS__V1__PACKET__KIND_REQUEST && !log->silent)
            assert_int_equal(OK, message_decode(&message, &eventlog__v1__read__descriptor, zframe_data(frames[2]),
                                                zframe_size(frames[2]), &waiting[count++].read));
        for (int i = 0; i < 3; i++)
            zframe_destroy(&frames[i]);
    }
    log->most = count > log->most ? count : log->most;
    for (int i = 0; i < count; i++)
        tell_page(log, &waiting[i].got, waiting[i].read);
}

static void *log_runs(void *context)
{
    struct told_log *log = context;

    while (!log->enough) {
        usleep(3000);
        tell_pages(log);
        arena_reset(log->arena);
    }
    return NULL;
}

static pthread_t log_start_telling(struct told_log *log, struct world *world, uint64_t head)
{
    pthread_t thread;

    client_start(world);
    log->world = world;
    log->head = head;
    log->arena = arena_new(LIMIT_ARENA_BYTES);
    assert_int_equal(0, pthread_create(&thread, NULL, log_runs, log));
    return thread;
}

static void log_stop_telling(struct told_log *log, pthread_t thread)
{
    log->enough = true;
    pthread_join(thread, NULL);
    arena_destroy(&log->arena);
}

// Read to the first empty page, or beyond `until`; each entry must follow the one before. Where it ended.
static uint64_t read_on(struct world *world, pages_t *pages, uint64_t after, uint64_t until)
{
    const Eventlog__V1__Page *page;

    do {
        struct message message = message_new(world->arena);
        arena_reset(world->arena);
        assert_int_equal(OK, pages_next(pages, &message, &page));
        for (size_t i = 0; i < page->n_entries; i++) {
            assert_int_equal(++after, page->entries[i]->position);
            assert_int_equal(size_of_entry(after), page->entries[i]->event.len);
        }
    } while (page->n_entries > 0 && after < until);
    return after;
}

static void pages_come_in_order_with_the_next_ones_under_way(void **state)
{
    struct world *world = *state;
    struct told_log log = {0};
    pthread_t thread = log_start_telling(&log, world, 3000);  // given

    pages_t *pages = pages_new(world->bus, NULL, 0, UINT64_MAX, 5000);
    assert_int_equal(3000, read_on(world, pages, 0, UINT64_MAX));  // when, then
    log.head = 3005;                                               // the log grows
    assert_int_equal(3005, read_on(world, pages, 3000, UINT64_MAX));
    pages_destroy(&pages);

    pages = pages_new(world->bus, NULL, 100, 2000, 5000);  // from and to somewhere
    assert_true(read_on(world, pages, 100, 2000) >= 2000);
    pages_destroy(&pages);
    pages_destroy(&pages);
    log_stop_telling(&log, thread);
    assert_true(log.most >= 3);
    assert_true(log.pages < 250);  // two hundred entries of a thousand bytes, or one of 190 000, on each
}

static void a_page_that_did_not_come_is_not_left_out(void **state)
{
    struct world *world = *state;
    struct told_log log = {0};
    pthread_t thread = log_start_telling(&log, world, 1000);
    pages_t *pages = pages_new(world->bus, NULL, 0, UINT64_MAX, LIMIT_RESEND_MS + 500);
    const Eventlog__V1__Page *page;
    struct message message = message_new(world->arena);

    assert_int_equal(OK, pages_next(pages, &message, &page));  // given
    uint64_t after = page->entries[page->n_entries - 1]->position;
    log.silent = true;
    status_t status = OK;
    for (int i = 0; i < 10 && status == OK; i++) {
        struct message more = message_new(world->arena);
        status = pages_next(pages, &more, &page);  // when
        if (status == OK)
            after = page->entries[page->n_entries - 1]->position;
        else
            assert_string_equal("the event log does not answer", more.reason);
    }
    assert_int_equal(RETRY, status);
    log.silent = false;
    assert_int_equal(1000, read_on(world, pages, after, UINT64_MAX));  // then
    pages_destroy(&pages);
    log_stop_telling(&log, thread);
}

#define A_TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        A_TEST(a_worker_says_ready_when_it_is_connected),
        A_TEST(a_worker_says_ready_again_when_it_is_not_known),
        A_TEST(a_worker_that_is_refused_for_good_does_not_insist),
        A_TEST(a_request_is_handed_on_and_its_answer_goes_back),
        A_TEST(an_answer_that_is_too_large_becomes_a_sentence),
        A_TEST(a_draining_worker_says_so_and_stays_silent_about_ready),
        A_TEST(a_worker_that_ends_says_goodbye),
        A_TEST(heartbeats_go_out_and_the_brokers_are_followed),
        A_TEST(a_silent_broker_is_connected_to_again),
        A_TEST(waiting_costs_no_processor_time),
        A_TEST(packets_that_are_not_the_contracts_are_passed_over),
        A_TEST(a_stop_is_told_at_once_and_what_comes_after_is_still_handed_on),
        A_TEST(asking_while_nobody_is_there_is_told),
        A_TEST(a_process_asks_as_itself_unless_told),
        A_TEST(a_call_asks_again_under_the_same_id_until_it_is_answered),
        A_TEST(a_call_without_answer_asks_more_than_once_and_gives_up_in_time),
        A_TEST(what_was_asked_ahead_is_there_when_it_is_waited_for),
        A_TEST(what_was_asked_ahead_in_vain_is_asked_again),
        A_TEST(what_was_forgotten_makes_room),
        A_TEST(pages_come_in_order_with_the_next_ones_under_way),
        A_TEST(a_page_that_did_not_come_is_not_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
