// The bus against a broker of the test's own: a ROUTER socket in the same thread, whose ZAP handler turns in
// bus_next.
#include "bus/bus.h"

#include "clock/clock.h"
#include "limits/limits.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
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

static void broker_replies(struct world *world, const struct got *to, Bus__V1__Reply__Status status,
                           const char *body)
{
    Bus__V1__Reply reply = BUS__V1__REPLY__INIT;
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;

    reply.id = ID;
    reply.status = status;
    reply.reason = status == BUS__V1__REPLY__STATUS__OK ? "" : "later";
    packet.kind_case = BUS__V1__PACKET__KIND_REPLY;
    packet.reply = &reply;
    broker_send(world, to, &packet, body);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
