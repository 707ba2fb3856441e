// The broker's core without sockets: packets and the time go in by hand, what comes out is caught.
#include "broker.h"

#include "clock/clock.h"
#include "message/message.h"
#include "values/values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

// Keys need not be a pair here, only 40 characters of Z85.
#define INTAKE_KEY     "intake0000intake0000intake0000intake0000"
#define PAYMENT_KEY    "payment000payment000payment000payment000"
#define CONSOLE_KEY    "console000console000console000console000"
#define OFFICER_KEY    "officer000officer000officer000officer000"
#define MUTE_KEY       "mute000000mute000000mute000000mute000000"

#define ID             "0190b2f0-0000-7000-8000-000000000001"
#define OTHER_ID       "0190b2f0-0000-7000-8000-000000000002"
#define CATCH_MOST     5000
#define FUZZED_PACKETS 100000

static const char registry_text[] = "intake\n"
                                    "    public = \"" INTAKE_KEY "\"\n"
                                    "    serves = \"intake\"\n"
                                    "    asks = \"payment\"\n"
                                    "    speaks = \"self\"\n"
                                    "payment\n"
                                    "    public = \"" PAYMENT_KEY "\"\n"
                                    "    serves = \"payment third\"\n"
                                    "    speaks = \"self\"\n"
                                    "console\n"
                                    "    public = \"" CONSOLE_KEY "\"\n"
                                    "    asks = \"*\"\n"
                                    "    speaks = \"OPERATOR AUDITOR CASE_OFFICER EDITOR:958935420\"\n"
                                    "mute\n"
                                    "    public = \"" MUTE_KEY "\"\n";

// One packet that the broker sent.
struct caught {
    peer_t peer;
    const Bus__V1__Packet *packet;
    char body[64];
};

struct world {
    char folder[64];
    char registry_path[96];
    char calendar_path[96];
    registry_t *registry;
    struct calendar calendar;
    struct broker *broker;
    arena_t *arena;
    int64_t now_ms;
    peer_t gone;  // this peer takes nothing
    peer_t last;  // who asked in a crowd
    struct caught *caught;
    int count;
};

// ------------------------------------------------------------------ the world

static bool catch (void *self, peer_t peer, const uint8_t *bytes, size_t size, zframe_t *body)
{
    struct world *world = self;
    struct message message = message_new(world->arena);
    Bus__V1__Packet *packet = NULL;

    if (peer == world->gone)
        return false;
    assert_int_equal(OK, message_decode(&message, &bus__v1__packet__descriptor, bytes, size, &packet));
    assert_in_range(world->count, 0, CATCH_MOST - 1);
    struct caught *caught = &world->caught[world->count++];
    *caught = (struct caught){.peer = peer, .packet = packet};
    if (body)
        memcpy(caught->body, zframe_data(body), zframe_size(body) < 63 ? zframe_size(body) : 63);
    return true;
}

static void file_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(strlen(text), fwrite(text, 1, strlen(text), file));
    assert_int_equal(0, fclose(file));
}

static void broker_start(struct world *world, bool rehearsal)
{
    struct outlet outlet = {catch, world};

    broker_destroy(&world->broker);
    world->calendar = calendar_open(rehearsal ? world->calendar_path : NULL);
    world->broker = broker_new(world->registry, &world->calendar, outlet, world->now_ms);
}

static int world_make(void **state)
{
    struct world *world = zmalloc(sizeof *world);

    strcpy(world->folder, "/tmp/broker_test-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->registry_path, sizeof world->registry_path, "%s/registry.zpl", world->folder);
    snprintf(world->calendar_path, sizeof world->calendar_path, "%s/calendar", world->folder);
    file_write(world->registry_path, registry_text);
    world->registry = registry_load(world->registry_path, true);
    world->arena = arena_new(64 * 1024 * 1024);
    world->caught = zmalloc(CATCH_MOST * sizeof *world->caught);
    world->now_ms = 1000000;
    world->last = 9;
    broker_start(world, false);
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;

    broker_destroy(&world->broker);
    registry_destroy(&world->registry);
    arena_destroy(&world->arena);
    unlink(world->registry_path);
    unlink(world->calendar_path);
    rmdir(world->folder);
    free(world->caught);
    free(world);
    return 0;
}

static void forget_caught(struct world *world)
{
    world->count = 0;
}

static void arrive(struct world *world, peer_t peer, const char *key, const uint8_t *bytes, size_t size,
                   const char *body)
{
    zframe_t *frame = zframe_new(body, strlen(body));
    struct arrival arrival = {peer, key, bytes, size, &frame};

    broker_take(world->broker, world->now_ms, &arrival);
    zframe_destroy(&frame);
}

static void send_packet(struct world *world, peer_t peer, const char *key, const Bus__V1__Packet *packet,
                        const char *body)
{
    size_t size = 0;
    const uint8_t *bytes = message_encode(world->arena, packet, &size);
    arrive(world, peer, key, bytes, size, body);
}

static void send_ready(struct world *world, peer_t peer, const char *key, const char *service,
                       uint32_t credit)
{
    Bus__V1__Ready ready = BUS__V1__READY__INIT;
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;

    ready.service = (char *)service;
    ready.credit = credit;
    packet.kind_case = BUS__V1__PACKET__KIND_READY;
    packet.ready = &ready;
    send_packet(world, peer, key, &packet, "");
}

// A worker that is ready; the heartbeat that welcomes it is forgotten.
static void worker_ready(struct world *world, peer_t peer, uint32_t credit)
{
    send_ready(world, peer, INTAKE_KEY, "intake", credit);
    forget_caught(world);
}

static void send_heartbeat(struct world *world, peer_t peer, const char *key)
{
    Bus__V1__Heartbeat heartbeat = BUS__V1__HEARTBEAT__INIT;
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;

    packet.kind_case = BUS__V1__PACKET__KIND_HEARTBEAT;
    packet.heartbeat = &heartbeat;
    send_packet(world, peer, key, &packet, "");
}

static void send_disconnect(struct world *world, peer_t peer, bool draining)
{
    Bus__V1__Disconnect disconnect = BUS__V1__DISCONNECT__INIT;
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;

    disconnect.draining = draining;
    packet.kind_case = BUS__V1__PACKET__KIND_DISCONNECT;
    packet.disconnect = &disconnect;
    send_packet(world, peer, INTAKE_KEY, &packet, "");
}

// A request that is right in every way, for tests to spoil.
static Bus__V1__Request a_request(Bus__V1__Actor *actor)
{
    Bus__V1__Request request = BUS__V1__REQUEST__INIT;

    bus__v1__actor__init(actor);
    actor->subject = "p-1";
    actor->role = BUS__V1__ACTOR__ROLE__CASE_OFFICER;
    actor->organisation = "";
    request.service = "intake";
    request.id = ID;
    request.type = "intake.v1.SaveDraft";
    request.actor = actor;
    request.correlation = "";
    request.timeout_ms = 10000;
    return request;
}

static void send_request(struct world *world, peer_t peer, const char *key, Bus__V1__Request *request,
                         const char *body)
{
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;

    packet.kind_case = BUS__V1__PACKET__KIND_REQUEST;
    packet.request = request;
    send_packet(world, peer, key, &packet, body);
}

static void ask_intake(struct world *world, peer_t client, const char *body)
{
    Bus__V1__Actor actor;
    Bus__V1__Request request = a_request(&actor);
    send_request(world, client, CONSOLE_KEY, &request, body);
}

static void send_reply(struct world *world, peer_t peer, uint64_t ticket, const char *id)
{
    Bus__V1__Reply reply = BUS__V1__REPLY__INIT;
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;

    reply.id = (char *)id;
    reply.ticket = ticket;
    reply.status = BUS__V1__REPLY__STATUS__OK;
    reply.type = "intake.v1.Answer";
    packet.kind_case = BUS__V1__PACKET__KIND_REPLY;
    packet.reply = &reply;
    send_packet(world, peer, INTAKE_KEY, &packet, "answered");
}

static const Bus__V1__Request *handed(const struct world *world, int n, peer_t worker)
{
    assert_in_range(n, 0, world->count - 1);
    assert_int_equal(worker, world->caught[n].peer);
    assert_int_equal(BUS__V1__PACKET__KIND_REQUEST, world->caught[n].packet->kind_case);
    return world->caught[n].packet->request;
}

static const Bus__V1__Reply *replied(const struct world *world, int n, peer_t client, int status)
{
    assert_in_range(n, 0, world->count - 1);
    assert_int_equal(client, world->caught[n].peer);
    assert_int_equal(BUS__V1__PACKET__KIND_REPLY, world->caught[n].packet->kind_case);
    assert_int_equal(status, world->caught[n].packet->reply->status);
    return world->caught[n].packet->reply;
}

static void pass_ms(struct world *world, int64_t ms)
{
    world->now_ms += ms;
    broker_turn(world->broker, world->now_ms);
}

static uint64_t drops_of(const struct world *world, enum drop why)
{
    return world->broker->drops.counts[why];
}

// ------------------------------------------------------------------ routing

static void the_least_recently_used_worker_is_next(void **state)
{
    struct world *world = *state;
    worker_ready(world, 1, 10);  // given
    worker_ready(world, 2, 10);
    worker_ready(world, 3, 10);

    for (int i = 0; i < 4; i++)  // when
        ask_intake(world, 9, "");

    handed(world, 0, 1);  // then
    handed(world, 1, 2);
    handed(world, 2, 3);
    handed(world, 3, 1);
}

static void a_worker_never_holds_more_than_its_credit(void **state)
{
    struct world *world = *state;
    worker_ready(world, 1, 2);  // given
    ask_intake(world, 9, "one");
    ask_intake(world, 9, "two");

    ask_intake(world, 9, "three");  // when
    assert_int_equal(2, world->count);
    send_reply(world, 1, handed(world, 0, 1)->ticket, ID);

    assert_int_equal(4, world->count);  // then
    replied(world, 2, 9, BUS__V1__REPLY__STATUS__OK);
    handed(world, 3, 1);
    assert_string_equal("three", world->caught[3].body);
}

static void a_worker_is_given_no_more_than_its_connection_holds(void **state)
{
    struct world *world = *state;
    worker_ready(world, 1, 1024);  // given

    for (int i = 0; i < LIMIT_CREDIT + 20; i++)  // when
        ask_intake(world, 9, "one");

    assert_int_equal(LIMIT_CREDIT, world->count);  // then
}

static void an_answer_goes_back_to_who_asked(void **state)
{
    struct world *world = *state;
    worker_ready(world, 1, 1);  // given
    ask_intake(world, 9, "");

    send_reply(world, 1, handed(world, 0, 1)->ticket, ID);  // when

    const Bus__V1__Reply *reply = replied(world, 1, 9, BUS__V1__REPLY__STATUS__OK);  // then
    assert_string_equal(ID, reply->id);
    assert_string_equal("intake.v1.Answer", reply->type);
    assert_string_equal("answered", world->caught[1].body);
    assert_int_equal(0, reply->ticket);
    assert_int_equal(0, zhashx_size(world->broker->tasks));
    assert_int_equal(0, zhashx_size(world->broker->senders));
    assert_int_equal(0, world->broker->task_bytes);
}

static void what_the_broker_stamps_cannot_be_chosen_by_the_sender(void **state)
{
    struct world *world = *state;
    Bus__V1__Actor actor;
    Bus__V1__Request request = a_request(&actor);
    worker_ready(world, 1, 1);  // given
    request.ticket = 77;
    request.received_at_us = 5;
    request.sender = "payment";
    request.rehearsal = true;
    int64_t before_us = clock_real_us();

    send_request(world, 9, CONSOLE_KEY, &request, "");  // when

    const Bus__V1__Request *got = handed(world, 0, 1);  // then
    assert_int_not_equal(77, got->ticket);
    assert_in_range(got->received_at_us, before_us, clock_real_us());
    assert_string_equal("console", got->sender);
    assert_false(got->rehearsal);
}

static void waiting_does_not_change_when_a_request_was_received(void **state)
{
    struct world *world = *state;
    ask_intake(world, 9, "");  // given
    int64_t after_us = clock_real_us();

    usleep(2000);  // when
    send_ready(world, 1, INTAKE_KEY, "intake", 1);

    assert_true(handed(world, 1, 1)->received_at_us <= after_us);  // then
}

static void a_draining_worker_gets_nothing_new_and_may_still_answer(void **state)
{
    struct world *world = *state;
    worker_ready(world, 1, 10);  // given
    ask_intake(world, 9, "");

    send_disconnect(world, 1, true);  // when
    ask_intake(world, 9, "");
    send_reply(world, 1, handed(world, 0, 1)->ticket, ID);

    assert_int_equal(2, world->count);  // then
    replied(world, 1, 9, BUS__V1__REPLY__STATUS__OK);
}

// ------------------------------------------------------------------ workers that lie or leave

static void a_name_that_the_key_may_not_serve_is_refused(void **state)
{
    struct world *world = *state;

    send_ready(world, 1, INTAKE_KEY, "payment", 10);  // when
    ask_intake(world, 9, "");

    assert_int_equal(1, world->count);  // then
    assert_int_equal(BUS__V1__PACKET__KIND_DISCONNECT, world->caught[0].packet->kind_case);
    assert_string_equal("key 'intake' may not serve 'payment'", world->caught[0].packet->disconnect->reason);
    assert_int_equal(1, drops_of(world, DROP_NOT_PERMITTED));
    assert_int_equal(0, zhashx_size(world->broker->workers));
}

static void a_worker_that_says_a_forged_ready_loses_its_place(void **state)
{
    struct world *world = *state;
    worker_ready(world, 1, 10);  // given

    send_ready(world, 1, INTAKE_KEY, "payment", 10);  // when

    assert_int_equal(0, zhashx_size(world->broker->workers));  // then
    assert_null(zlistx_first(office_find(world->broker, "intake")->free));
}

static void nobody_serves_the_brokers_own_name(void **state)
{
    struct world *world = *state;

    send_ready(world, 1, INTAKE_KEY, "broker", 10);  // when

    assert_int_equal(0, zhashx_size(world->broker->workers));  // then
    assert_int_equal(1, drops_of(world, DROP_NOT_PERMITTED));
}

static void credit_must_be_in_its_range(void **state)
{
    struct world *world = *state;

    send_ready(world, 1, INTAKE_KEY, "intake", 0);  // when
    send_ready(world, 2, INTAKE_KEY, "intake", 1025);

    assert_int_equal(0, zhashx_size(world->broker->workers));  // then
    assert_string_equal("credit is not 1 to 1024", world->caught[0].packet->disconnect->reason);
}

static void there_are_only_so_many_workers(void **state)
{
    struct world *world = *state;

    for (peer_t peer = 1; peer <= LIMIT_WORKERS + 1; peer++)  // when
        send_ready(world, peer, INTAKE_KEY, "intake", 1);

    assert_int_equal(LIMIT_WORKERS, zhashx_size(world->broker->workers));  // then
}

static void an_answer_by_another_worker_is_dropped(void **state)
{
    struct world *world = *state;
    worker_ready(world, 1, 10);  // given
    worker_ready(world, 2, 10);
    ask_intake(world, 9, "");

    send_reply(world, 2, handed(world, 0, 1)->ticket, ID);  // when

    assert_int_equal(1, world->count);  // then
    assert_int_equal(1, drops_of(world, DROP_FOREIGN));
}

static void an_answer_with_another_id_is_dropped(void **state)
{
    struct world *world = *state;
    worker_ready(world, 1, 10);  // given
    ask_intake(world, 9, "");

    send_reply(world, 1, handed(world, 0, 1)->ticket, OTHER_ID);  // when

    assert_int_equal(1, world->count);  // then
    assert_int_equal(1, drops_of(world, DROP_FOREIGN));
}

static void an_answer_given_twice_reaches_the_client_once(void **state)
{
    struct world *world = *state;
    worker_ready(world, 1, 10);  // given
    ask_intake(world, 9, "");

    send_reply(world, 1, handed(world, 0, 1)->ticket, ID);  // when
    send_reply(world, 1, handed(world, 0, 1)->ticket, ID);

    assert_int_equal(2, world->count);  // then
    assert_int_equal(1, drops_of(world, DROP_LATE));
}

static void a_leaving_workers_requests_go_to_the_next_in_their_order(void **state)
{
    struct world *world = *state;
    worker_ready(world, 1, 10);  // given
    ask_intake(world, 9, "one");
    ask_intake(world, 9, "two");
    uint64_t ticket = handed(world, 0, 1)->ticket;
    worker_ready(world, 2, 10);

    send_disconnect(world, 1, false);  // when

    assert_int_equal(ticket, handed(world, 0, 2)->ticket);  // then
    assert_string_equal("one", world->caught[0].body);
    assert_string_equal("two", world->caught[1].body);
}

static void a_silent_workers_requests_go_to_the_next(void **state)
{
    struct world *world = *state;
    worker_ready(world, 1, 10);  // given
    ask_intake(world, 9, "");
    uint64_t ticket = handed(world, 0, 1)->ticket;
    pass_ms(world, LIMIT_SILENCE_MS - 1);
    worker_ready(world, 2, 10);

    pass_ms(world, LIMIT_HEARTBEAT_MS);  // when

    int n = world->caught[0].packet->kind_case == BUS__V1__PACKET__KIND_REQUEST ? 0
                                                                                : 1;  // beside a heartbeat
    assert_int_equal(ticket, handed(world, n, 2)->ticket);                            // then
    send_reply(world, 1, ticket, ID);  // too late: it is another's now
    assert_int_equal(1, drops_of(world, DROP_FOREIGN));
}

static void a_worker_that_takes_nothing_is_forgotten(void **state)
{
    struct world *world = *state;
    worker_ready(world, 1, 10);  // given
    worker_ready(world, 2, 10);
    world->gone = 1;

    ask_intake(world, 9, "");  // when

    handed(world, 0, 2);  // then
    assert_null(worker_find(world->broker, 1));
}

static void a_request_that_goes_down_with_every_worker_is_not_handed_out_for_ever(void **state)
{
    struct world *world = *state;
    ask_intake(world, 9, "");  // given

    for (peer_t peer = 1; peer <= LIMIT_TRIES; peer++) {  // when
        send_ready(world, peer, INTAKE_KEY, "intake", 1);
        send_disconnect(world, peer, false);
    }

    replied(world, world->count - 1, 9, BUS__V1__REPLY__STATUS__UNAVAILABLE);  // then
    assert_int_equal(0, zhashx_size(world->broker->tasks));
}

// ------------------------------------------------------------------ time and room

static void a_request_that_nobody_took_in_time_is_told_so(void **state)
{
    struct world *world = *state;
    ask_intake(world, 9, "");  // given

    pass_ms(world, 9999);  // when
    assert_int_equal(0, world->count);
    pass_ms(world, 1 + WHEEL_SLOT_MS);

    const Bus__V1__Reply *reply = replied(world, 0, 9, BUS__V1__REPLY__STATUS__UNAVAILABLE);  // then
    assert_string_equal("no worker was free in time; nothing was begun", reply->reason);
}

static void a_request_whose_time_passed_is_not_handed_out(void **state)
{
    struct world *world = *state;
    ask_intake(world, 9, "");  // given

    world->now_ms += 10000;  // when: a worker comes before the wheel has turned
    send_ready(world, 1, INTAKE_KEY, "intake", 1);

    replied(world, 1, 9, BUS__V1__REPLY__STATUS__UNAVAILABLE);  // then
    assert_int_equal(2, world->count);
}

static void a_request_without_answer_is_told_unavailable_and_frees_its_worker(void **state)
{
    struct world *world = *state;
    worker_ready(world, 1, 1);  // given
    ask_intake(world, 9, "");
    uint64_t ticket = handed(world, 0, 1)->ticket;
    for (int i = 0; i < 9; i++) {
        pass_ms(world, 1000);
        send_heartbeat(world, 1, INTAKE_KEY);
    }

    pass_ms(world, 1000 + WHEEL_SLOT_MS);  // when
    forget_caught(world);
    send_reply(world, 1, ticket, ID);
    ask_intake(world, 9, "next");

    assert_int_equal(1, drops_of(world, DROP_LATE));  // then
    assert_int_equal(1, world->count);
    handed(world, 0, 1);
}

static void a_full_queue_is_told_before_work_begins(void **state)
{
    struct world *world = *state;
    for (peer_t client = 10; client < 10 + LIMIT_QUEUE_REQUESTS; client++)  // given
        ask_intake(world, client, "");
    assert_int_equal(0, world->count);

    ask_intake(world, 9, "");  // when

    const Bus__V1__Reply *reply = replied(world, 0, 9, BUS__V1__REPLY__STATUS__RESOURCE_EXHAUSTED);  // then
    assert_in_range(reply->retry_after_ms, LIMIT_RETRY_MS, 5 * LIMIT_RETRY_MS);
    assert_int_equal(LIMIT_QUEUE_REQUESTS, zhashx_size(world->broker->tasks));
}

static void a_repeat_of_what_waits_takes_no_second_place(void **state)
{
    struct world *world = *state;
    ask_intake(world, 9, "body");  // given

    world->now_ms += 2000;  // when
    ask_intake(world, 9, "body");

    assert_int_equal(1, zhashx_size(world->broker->tasks));  // then
    worker_ready(world, 1, 10);
    assert_int_equal(1, zlistx_size(worker_find(world->broker, 1)->tasks));
}

static void a_repeat_prolongs_what_waits(void **state)
{
    struct world *world = *state;
    ask_intake(world, 9, "body");  // given: patience of ten seconds
    world->now_ms += 8000;
    ask_intake(world, 9, "body");  // when

    world->now_ms += 8000;  // then
    broker_turn(world->broker, world->now_ms);
    assert_int_equal(0, world->count);
    world->now_ms += 2200;
    broker_turn(world->broker, world->now_ms);
    replied(world, 0, 9, BUS__V1__REPLY__STATUS__UNAVAILABLE);
}

static void a_repeat_is_found_also_where_the_queue_is_full(void **state)
{
    struct world *world = *state;
    for (peer_t client = 10; client < 10 + LIMIT_QUEUE_REQUESTS; client++)  // given
        ask_intake(world, client, "");

    ask_intake(world, 10, "");  // when

    assert_int_equal(0, world->count);  // then
}

static void another_body_or_connection_or_what_was_handed_out_is_no_repeat(void **state)
{
    struct world *world = *state;
    Bus__V1__Actor actor;
    Bus__V1__Request request = a_request(&actor);
    ask_intake(world, 9, "body");  // given

    ask_intake(world, 9, "other body");  // when: refused by whoever knows the id
    ask_intake(world, 8, "body");        // perhaps the same sender, connected anew
    actor.subject = "p-2";
    send_request(world, 9, CONSOLE_KEY, &request, "other body");
    assert_int_equal(4, zhashx_size(world->broker->tasks));  // then
    worker_ready(world, 1, 10);                              // when: handed out; its answer may be lost
    ask_intake(world, 8, "body");
    assert_int_equal(5, zhashx_size(world->broker->tasks));  // then
}

static void what_a_lost_worker_gives_back_waits_again_as_one(void **state)
{
    struct world *world = *state;
    worker_ready(world, 1, 1);  // given
    ask_intake(world, 9, "body");
    send_disconnect(world, 1, false);

    ask_intake(world, 9, "body");  // when

    assert_int_equal(1, zhashx_size(world->broker->tasks));  // then
    worker_ready(world, 2, 10);
    ask_intake(world, 9, "body");
    assert_int_equal(2, zhashx_size(world->broker->tasks));
}

static void one_key_cannot_fill_every_queue(void **state)
{
    struct world *world = *state;
    Bus__V1__Actor actor;
    Bus__V1__Request request = a_request(&actor);
    for (int i = 0; i < LIMIT_PENDING_PER_KEY; i++) {  // given
        request.service = i % 2 ? "intake" : "payment";
        send_request(world, (peer_t)(10 + i), CONSOLE_KEY, &request, "");
    }
    assert_int_equal(0, world->count);

    request.service = "third";  // when
    send_request(world, 9, CONSOLE_KEY, &request, "");

    replied(world, 0, 9, BUS__V1__REPLY__STATUS__RESOURCE_EXHAUSTED);  // then
    actor.role = BUS__V1__ACTOR__ROLE__SERVICE;
    actor.subject = "intake";
    request.service = "payment";
    send_request(world, 8, INTAKE_KEY, &request, "");
    replied(world, 1, 8, BUS__V1__REPLY__STATUS__RESOURCE_EXHAUSTED);  // its queue is full, for all
}

static void large_requests_are_bounded_by_memory(void **state)
{
    struct world *world = *state;
    char *large = zmalloc(LIMIT_FRAME_BYTES + 1);
    memset(large, 'x', LIMIT_FRAME_BYTES);

    peer_t last = 10 + LIMIT_QUEUE_BYTES / LIMIT_FRAME_BYTES - 1;
    for (peer_t client = 10; client <= last; client++)  // when
        ask_intake(world, client, large);

    replied(world, 0, last, BUS__V1__REPLY__STATUS__RESOURCE_EXHAUSTED);  // then
    assert_in_range(world->broker->task_bytes, 1, LIMIT_QUEUE_BYTES);
    free(large);
}

// ------------------------------------------------------------------ a queue that is longer than it may last

// One worker that does one thing at a time, and so many who ask.
static void crowd_asks(struct world *world, int count)
{
    if (worker_find(world->broker, 1) == NULL)
        send_ready(world, 1, INTAKE_KEY, "intake", 1);
    while (count-- > 0)
        ask_intake(world, ++world->last, "");
}

// The worker answers so many, one after the other.
static void worker_answers(struct world *world, int count, int64_t ms_each)
{
    for (int i = 0; i < count; i++) {
        const struct task *task = zlistx_first(worker_find(world->broker, 1)->tasks);
        pass_ms(world, ms_each);
        send_reply(world, 1, task->ticket, ID);
        forget_caught(world);
    }
}

// Does one more get a place, or is it told to come back?
static bool place_is_given(struct world *world)
{
    size_t before = zhashx_size(world->broker->tasks);

    forget_caught(world);
    ask_intake(world, ++world->last, "");
    if (zhashx_size(world->broker->tasks) > before)
        return true;
    replied(world, 0, world->last, BUS__V1__REPLY__STATUS__RESOURCE_EXHAUSTED);
    return false;
}

static void who_would_wait_too_long_is_told_before_work_begins(void **state)
{
    struct world *world = *state;
    crowd_asks(world, 600);  // given
    worker_answers(world, 300, 2);

    assert_false(place_is_given(world));  // when: 300 before it, and 2 ms for each

    assert_string_equal("this service has more to do than it can soon; nothing was begun",  // then
                        world->caught[0].packet->reply->reason);
    assert_in_range(world->caught[0].packet->reply->retry_after_ms, LIMIT_RETRY_MS, 5 * LIMIT_RETRY_MS);
    assert_int_equal(1, office_find(world->broker, "intake")->refused_full);
}

static void a_queue_may_be_as_long_as_it_is_quick(void **state)
{
    struct world *world = *state;
    crowd_asks(world, 1500);  // given
    worker_answers(world, 1100, 0);
    worker_answers(world, 51, 10);

    int length = (int)zhashx_size(world->broker->tasks);  // when: some half a millisecond each
    while (place_is_given(world))
        length++;

    assert_in_range(length, 400, 500);  // then
}

static void what_workers_hold_is_waited_for_as_well(void **state)
{
    struct world *world = *state;
    send_ready(world, 1, INTAKE_KEY, "intake", LIMIT_CREDIT);  // given
    crowd_asks(world, LIMIT_CREDIT + LIMIT_QUEUE_ALWAYS + 1000);
    worker_answers(world, 900, 0);
    worker_answers(world, 50, 10);

    assert_int_equal(LIMIT_QUEUE_ALWAYS + 50, zlistx_size(office_find(world->broker, "intake")->waiting));
    assert_false(place_is_given(world));  // when, then: not 94 ms, but 346
    send_disconnect(world, 1, false);
    assert_int_equal(0, office_find(world->broker, "intake")->handed);
}

static void a_short_queue_is_given_to_the_slowest(void **state)
{
    struct world *world = *state;
    crowd_asks(world, LIMIT_QUEUE_ALWAYS + 11);  // given: 100 ms each
    worker_answers(world, 11, 100);

    assert_true(place_is_given(world));  // when: it waits for 12 seconds

    assert_false(place_is_given(world));  // then
}

static void when_nothing_is_answered_everybody_waits(void **state)
{
    struct world *world = *state;
    crowd_asks(world, 600);  // given
    worker_answers(world, 300, 2);
    assert_false(place_is_given(world));

    pass_ms(world, 1100);  // when: its database is away

    crowd_asks(world, LIMIT_QUEUE_REQUESTS - 300);  // then
    assert_int_equal(LIMIT_QUEUE_REQUESTS, zhashx_size(world->broker->tasks));
    worker_answers(world, 200, 2);  // and while it begins again
    assert_true(place_is_given(world));
    worker_answers(world, 100, 2);
    assert_false(place_is_given(world));
}

static void when_a_worker_goes_everybody_waits(void **state)
{
    struct world *world = *state;
    for (int draining = 0; draining < 2; draining++) {
        crowd_asks(world, 600);  // given
        worker_answers(world, 300, 2);
        assert_false(place_is_given(world));

        send_disconnect(world, 1, draining);  // when

        assert_true(place_is_given(world));  // then
        broker_stop(world->broker);
    }
}

static void when_a_worker_more_comes_everybody_waits(void **state)
{
    struct world *world = *state;
    crowd_asks(world, 600);  // given
    worker_answers(world, 300, 2);
    assert_false(place_is_given(world));

    send_ready(world, 2, INTAKE_KEY, "intake", 1);  // when

    assert_true(place_is_given(world));  // then
    crowd_asks(world, 300);
    worker_answers(world, 260, 2);
    send_ready(world, 2, INTAKE_KEY, "intake", 1);  // one that says it again is none more
    assert_false(place_is_given(world));
}

static void while_a_service_begins_again_everybody_waits(void **state)
{
    struct world *world = *state;
    crowd_asks(world, 600);  // given
    worker_answers(world, 300, 2);
    send_disconnect(world, 1, false);
    pass_ms(world, 3000);

    crowd_asks(world, 600);  // when: its worker has come again
    worker_answers(world, 200, 2);

    assert_true(place_is_given(world));  // then
    worker_answers(world, 100, 2);
    assert_false(place_is_given(world));
}

static void the_next_crowd_finds_known_how_fast_the_last_was_answered(void **state)
{
    struct world *world = *state;
    crowd_asks(world, 600);  // given
    worker_answers(world, 600, 2);
    pass_ms(world, 4000);
    crowd_asks(world, 1);
    worker_answers(world, 1, 20);

    crowd_asks(world, 600);  // when

    assert_int_equal(1 + LIMIT_QUEUE_ALWAYS, zhashx_size(world->broker->tasks));  // then
}

static void who_has_little_to_do_is_not_taken_for_slow(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 20; i++) {  // given: some three a second, for nobody asks for more
        crowd_asks(world, 2);
        worker_answers(world, 2, 300);
    }

    crowd_asks(world, 1000);  // when

    assert_int_equal(1000, zhashx_size(world->broker->tasks));  // then
}

static void a_crowd_at_one_service_is_none_at_another(void **state)
{
    struct world *world = *state;
    Bus__V1__Actor actor;
    Bus__V1__Request request = a_request(&actor);
    crowd_asks(world, 600);  // given
    worker_answers(world, 300, 2);
    assert_false(place_is_given(world));
    forget_caught(world);

    request.service = "payment";  // when
    for (int i = 0; i < 600; i++)
        send_request(world, ++world->last, CONSOLE_KEY, &request, "");

    assert_int_equal(0, world->count);  // then
}

static void a_repeat_is_found_also_where_a_new_one_would_wait_too_long(void **state)
{
    struct world *world = *state;
    crowd_asks(world, 600);  // given
    worker_answers(world, 300, 2);
    assert_false(place_is_given(world));
    forget_caught(world);

    ask_intake(world, 609, "");  // when: the last of the crowd

    assert_int_equal(0, world->count);  // then
    assert_int_equal(300, zhashx_size(world->broker->tasks));
}

static void a_stopping_broker_tells_all_who_wait(void **state)
{
    struct world *world = *state;
    ask_intake(world, 9, "");  // given

    broker_stop(world->broker);  // when

    replied(world, 0, 9, BUS__V1__REPLY__STATUS__UNAVAILABLE);  // then
}

// ------------------------------------------------------------------ rights

static void a_key_taken_from_the_registry_is_refused_from_its_next_message(void **state)
{
    struct world *world = *state;
    worker_ready(world, 1, 10);  // given
    ask_intake(world, 9, "");
    forget_caught(world);
    file_write(world->registry_path, strstr(registry_text, "payment\n"));

    assert_true(registry_refresh(world->registry));  // when
    send_heartbeat(world, 1, INTAKE_KEY);

    assert_int_equal(0, world->count);  // then
    assert_int_equal(1, drops_of(world, DROP_STRANGER));
    assert_null(worker_find(world->broker, 1));
    assert_int_equal(1, zlistx_size(office_find(world->broker, "intake")->waiting));
}

static void a_worker_that_loses_its_right_is_sent_away_at_once(void **state)
{
    struct world *world = *state;
    worker_ready(world, 1, 10);  // given
    file_write(world->registry_path, strstr(registry_text, "payment\n"));

    assert_true(registry_refresh(world->registry));  // when
    broker_registry_changed(world->broker);

    assert_int_equal(BUS__V1__PACKET__KIND_DISCONNECT, world->caught[0].packet->kind_case);  // then
    assert_null(worker_find(world->broker, 1));
}

// While a key is changed: the old one as a second key of the same name.
static void second_key(struct world *world, const char *until)
{
    char text[2048];

    snprintf(text, sizeof text,
             "%spayment-1\n    public = \"" OFFICER_KEY "\"\n    of = \"payment\"\n    not_after = \"%s\"\n",
             registry_text, until);
    file_write(world->registry_path, text);
    assert_true(registry_refresh(world->registry));
    broker_registry_changed(world->broker);
}

static void a_second_key_serves_and_speaks_as_the_first(void **state)
{
    struct world *world = *state;
    Bus__V1__Actor actor;
    Bus__V1__Request request = a_request(&actor);
    second_key(world, "2999-01-01T00:00:00Z");  // given

    send_ready(world, 1, OFFICER_KEY, "payment", 10);  // when
    forget_caught(world);
    request.service = "payment";
    send_request(world, 9, CONSOLE_KEY, &request, "");

    handed(world, 0, 1);  // then
    assert_string_equal("payment", worker_find(world->broker, 1)->key_name);
}

static void a_worker_is_sent_away_when_its_second_key_ends(void **state)
{
    struct world *world = *state;
    char *until = instant_text(world->arena, clock_real_us() + 300000);
    second_key(world, until);  // given
    send_ready(world, 1, OFFICER_KEY, "payment", 10);
    send_ready(world, 2, PAYMENT_KEY, "payment", 10);
    forget_caught(world);

    zclock_sleep(400);  // when
    assert_true(registry_refresh(world->registry));
    broker_registry_changed(world->broker);

    assert_int_equal(BUS__V1__PACKET__KIND_DISCONNECT, world->caught[0].packet->kind_case);  // then
    assert_null(worker_find(world->broker, 1));
    assert_non_null(worker_find(world->broker, 2));
}

static void a_client_taken_from_the_registry_gets_no_answer(void **state)
{
    struct world *world = *state;
    worker_ready(world, 1, 10);  // given
    ask_intake(world, 9, "");
    char *without = strdup(registry_text);
    memcpy(strstr(without, CONSOLE_KEY), OFFICER_KEY, 40);
    file_write(world->registry_path, without);

    assert_true(registry_refresh(world->registry));  // when
    send_reply(world, 1, handed(world, 0, 1)->ticket, ID);

    assert_int_equal(1, world->count);  // then
    assert_int_equal(0, zhashx_size(world->broker->tasks));
    free(without);
}

static void a_message_without_a_proven_key_is_dropped(void **state)
{
    struct world *world = *state;

    send_ready(world, 1, "", "intake", 10);  // when

    assert_int_equal(0, world->count);  // then
    assert_int_equal(1, drops_of(world, DROP_STRANGER));
}

// Each row spoils one thing of a right request and says what the refusal must tell.
static const struct spoilt {
    const char *told;
    void (*spoil)(Bus__V1__Request *request);
    const char *key;
} spoilt[];

static void every_wrong_request_is_refused_with_a_sentence(void **state)
{
    struct world *world = *state;
    worker_ready(world, 1, 100);  // given

    for (const struct spoilt *row = spoilt; row->told; row++) {
        Bus__V1__Actor actor;
        Bus__V1__Request request = a_request(&actor);
        forget_caught(world);

        row->spoil(&request);  // when
        send_request(world, 9, row->key ? row->key : CONSOLE_KEY, &request, "");

        assert_int_equal(1, world->count);  // then
        const Bus__V1__Reply *reply = replied(world, 0, 9, BUS__V1__REPLY__STATUS__REFUSED);
        if (!strstr(reply->reason, row->told))
            fail_msg("'%s' does not tell '%s'", reply->reason, row->told);
    }
    assert_int_equal(0, zhashx_size(world->broker->tasks));
}

static void spoil_id(Bus__V1__Request *request)
{
    request->id = "1";
}

static void spoil_service(Bus__V1__Request *request)
{
    request->service = "In take";
}

static void spoil_unknown_service(Bus__V1__Request *request)
{
    request->service = "nobody";
}

static void spoil_type(Bus__V1__Request *request)
{
    request->type = "intake/SaveDraft";
}

static void spoil_correlation(Bus__V1__Request *request)
{
    request->correlation = "x";
}

static void spoil_timeout(Bus__V1__Request *request)
{
    request->timeout_ms = LIMIT_TIMEOUT_MAX_MS + 1;
}

static void spoil_actor(Bus__V1__Request *request)
{
    request->actor = NULL;
}

static void spoil_subject(Bus__V1__Request *request)
{
    request->actor->subject = "ola nordmann";
}

static void spoil_role(Bus__V1__Request *request)
{
    request->actor->role = BUS__V1__ACTOR__ROLE__UNSPECIFIED;
}

static void spoil_clock(Bus__V1__Request *request)
{
    request->actor->role = BUS__V1__ACTOR__ROLE__CLOCK;
}

static void spoil_no_organisation(Bus__V1__Request *request)
{
    request->actor->role = BUS__V1__ACTOR__ROLE__EDITOR;
}

static void spoil_organisation(Bus__V1__Request *request)
{
    request->actor->role = BUS__V1__ACTOR__ROLE__EDITOR;
    request->actor->organisation = "958935421";
}

static void spoil_other_organisation(Bus__V1__Request *request)
{
    request->actor->role = BUS__V1__ACTOR__ROLE__EDITOR;
    request->actor->organisation = "942110464";
}

static void spoil_other_role(Bus__V1__Request *request)
{
    request->actor->role = BUS__V1__ACTOR__ROLE__BUDGET_HOLDER;
}

static void spoil_self(Bus__V1__Request *request)
{
    request->actor->role = BUS__V1__ACTOR__ROLE__SERVICE;
    request->actor->subject = "payment";
    request->service = "payment";
}

static void spoil_nothing(Bus__V1__Request *request)
{
    (void)request;
}

static const struct spoilt spoilt[] = {
    {"id is not a UUID", spoil_id, NULL},
    {"service is not 1 to 32", spoil_service, NULL},
    {"no key in the registry serves 'nobody'", spoil_unknown_service, NULL},
    {"type is not the full name", spoil_type, NULL},
    {"correlation is neither empty nor a UUID", spoil_correlation, NULL},
    {"timeout_ms is over 120000", spoil_timeout, NULL},
    {"actor is missing", spoil_actor, NULL},
    {"actor.subject", spoil_subject, NULL},
    {"actor.role is missing", spoil_role, NULL},
    {"actor.role CLOCK", spoil_clock, NULL},
    {"actor.organisation is missing", spoil_no_organisation, NULL},
    {"actor.organisation is not an organisation number", spoil_organisation, NULL},
    {"key 'console' may not speak for p-1 as EDITOR of organisation 942110464", spoil_other_organisation,
     NULL},
    {"key 'console' may not speak for p-1 as BUDGET_HOLDER", spoil_other_role, NULL},
    {"key 'intake' may not speak for payment as SERVICE", spoil_self, INTAKE_KEY},
    {"key 'intake' may not ask 'intake'; it may ask: payment", spoil_nothing, INTAKE_KEY},
    {"key 'mute' may not ask 'intake'; it may ask: nobody", spoil_nothing, MUTE_KEY},
    {NULL, NULL, NULL},
};

static void a_service_may_speak_for_itself(void **state)
{
    struct world *world = *state;
    Bus__V1__Actor actor;
    Bus__V1__Request request = a_request(&actor);
    send_ready(world, 1, PAYMENT_KEY, "payment", 1);  // given
    forget_caught(world);
    actor.role = BUS__V1__ACTOR__ROLE__SERVICE;
    actor.subject = "intake";
    request.service = "payment";

    send_request(world, 9, INTAKE_KEY, &request, "");  // when

    assert_string_equal("intake", handed(world, 0, 1)->sender);  // then
}

// ------------------------------------------------------------------ keeping alive

static void a_worker_hears_a_heartbeat_every_second(void **state)
{
    struct world *world = *state;
    pass_ms(world, 0);
    worker_ready(world, 1, 1);  // given

    pass_ms(world, LIMIT_HEARTBEAT_MS);  // when

    assert_int_equal(1, world->count);  // then
    assert_int_equal(1, world->caught[0].peer);
    assert_int_equal(BUS__V1__PACKET__KIND_HEARTBEAT, world->caught[0].packet->kind_case);
    assert_false(world->caught[0].packet->heartbeat->rehearsal);
}

static void a_worker_from_before_is_told_to_say_ready_again(void **state)
{
    struct world *world = *state;

    send_heartbeat(world, 1, INTAKE_KEY);  // when

    assert_int_equal(2, world->count);  // then
    assert_int_equal(BUS__V1__PACKET__KIND_HEARTBEAT, world->caught[0].packet->kind_case);
    assert_int_equal(BUS__V1__PACKET__KIND_DISCONNECT, world->caught[1].packet->kind_case);
    assert_string_equal("", world->caught[1].packet->disconnect->reason);
}

static void a_client_hears_a_heartbeat_for_each_of_its_own(void **state)
{
    struct world *world = *state;

    send_heartbeat(world, 1, CONSOLE_KEY);  // when

    assert_int_equal(1, world->count);  // then
    assert_int_equal(BUS__V1__PACKET__KIND_HEARTBEAT, world->caught[0].packet->kind_case);
}

// ------------------------------------------------------------------ what the broker is asked

static void ask_broker(struct world *world, Bus__V1__Actor__Role role, const char *id, const void *body)
{
    Bus__V1__Actor actor;
    Bus__V1__Request request = a_request(&actor);
    char text[64] = "";

    actor.role = role;
    request.service = "broker";
    request.id = (char *)id;
    request.type = (char *)((const ProtobufCMessage *)body)->descriptor->name;
    size_t size = protobuf_c_message_pack(body, (uint8_t *)text);
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;
    packet.kind_case = BUS__V1__PACKET__KIND_REQUEST;
    packet.request = &request;

    size_t packet_size = 0;
    const uint8_t *bytes = message_encode(world->arena, &packet, &packet_size);
    zframe_t *frame = zframe_new(text, size);
    struct arrival arrival = {9, CONSOLE_KEY, bytes, packet_size, &frame};
    broker_take(world->broker, world->now_ms, &arrival);
    zframe_destroy(&frame);
}

static void move_calendar(struct world *world, Bus__V1__Actor__Role role, const char *id, int64_t to_us,
                          bool stand)
{
    Bus__V1__MoveCalendar command = BUS__V1__MOVE_CALENDAR__INIT;
    command.to_us = to_us;
    command.stand_still = stand;
    ask_broker(world, role, id, &command);
}

static void the_calendar_of_a_real_stack_cannot_be_moved(void **state)
{
    struct world *world = *state;

    move_calendar(world, BUS__V1__ACTOR__ROLE__OPERATOR, ID, 1718402400000000, true);  // when

    const Bus__V1__Reply *reply = replied(world, 0, 9, BUS__V1__REPLY__STATUS__REFUSED);  // then
    assert_non_null(strstr(reply->reason, "this stack is real"));
    assert_in_range(calendar_now_us(&world->calendar), clock_real_us() - 1000000, clock_real_us() + 1000000);
}

static void a_moved_calendar_is_told_at_once_and_kept_over_a_restart(void **state)
{
    struct world *world = *state;
    broker_start(world, true);  // given
    worker_ready(world, 1, 1);

    move_calendar(world, BUS__V1__ACTOR__ROLE__OPERATOR, ID, 1718402400000000, true);  // when

    assert_int_equal(BUS__V1__PACKET__KIND_HEARTBEAT, world->caught[0].packet->kind_case);  // then
    assert_int_equal(1718402400000000, world->caught[0].packet->heartbeat->calendar_at_us);
    assert_true(world->caught[0].packet->heartbeat->stands_still);
    assert_true(world->caught[0].packet->heartbeat->rehearsal);
    replied(world, 1, 9, BUS__V1__REPLY__STATUS__OK);
    broker_start(world, true);
    assert_int_equal(1718402400000000, calendar_now_us(&world->calendar));
}

static void a_moved_calendar_can_run_on_and_go_back(void **state)
{
    struct world *world = *state;
    broker_start(world, true);  // given

    move_calendar(world, BUS__V1__ACTOR__ROLE__OPERATOR, ID, 1718402400000000, false);  // when
    broker_start(world, true);

    int64_t now_us = calendar_now_us(&world->calendar);  // then
    assert_in_range(now_us, 1718402400000000, 1718402410000000);
    move_calendar(world, BUS__V1__ACTOR__ROLE__OPERATOR, OTHER_ID, 0, false);
    assert_in_range(calendar_now_us(&world->calendar), clock_real_us() - 1000000, clock_real_us() + 1000000);
}

static void a_repeated_move_does_not_move_again(void **state)
{
    struct world *world = *state;
    broker_start(world, true);  // given
    move_calendar(world, BUS__V1__ACTOR__ROLE__OPERATOR, ID, 1718402400000000, true);

    move_calendar(world, BUS__V1__ACTOR__ROLE__OPERATOR, ID, 1718402500000000, true);  // when

    replied(world, 1, 9, BUS__V1__REPLY__STATUS__OK);  // then
    assert_int_equal(1718402400000000, calendar_now_us(&world->calendar));
}

static void only_an_operator_moves_the_calendar_and_only_within_the_centuries(void **state)
{
    struct world *world = *state;
    broker_start(world, true);  // given

    move_calendar(world, BUS__V1__ACTOR__ROLE__CASE_OFFICER, ID, 1718402400000000, true);  // when
    move_calendar(world, BUS__V1__ACTOR__ROLE__OPERATOR, ID, -1, true);

    assert_non_null(strstr(replied(world, 0, 9, BUS__V1__REPLY__STATUS__REFUSED)->reason, "is for OPERATOR"));
    assert_non_null(strstr(replied(world, 1, 9, BUS__V1__REPLY__STATUS__REFUSED)->reason, "to_us is -1"));
    assert_int_not_equal(0, access(world->calendar_path, F_OK));
}

static void the_broker_tells_who_is_there(void **state)
{
    struct world *world = *state;
    Bus__V1__GetPeers query = BUS__V1__GET_PEERS__INIT;
    worker_ready(world, 1, 1);  // given
    ask_intake(world, 9, "");
    ask_intake(world, 9, "");
    send_ready(world, 2, INTAKE_KEY, "payment", 1);
    world->now_ms += 70;
    forget_caught(world);

    ask_broker(world, BUS__V1__ACTOR__ROLE__AUDITOR, ID, &query);  // when

    assert_string_equal("bus.v1.Peers", replied(world, 0, 9, BUS__V1__REPLY__STATUS__OK)->type);  // then
    Bus__V1__Peers *peers = bus__v1__peers__unpack(NULL, strlen(world->caught[0].body),
                                                   (uint8_t *)world->caught[0].body);
    assert_non_null(peers);
    assert_int_equal(1, peers->n_workers);
    assert_string_equal("intake", peers->workers[0]->key);
    assert_int_equal(1, peers->workers[0]->outstanding);
    assert_int_equal(1, peers->queues[0]->waiting);
    assert_int_equal(70, peers->queues[0]->oldest_ms);
    assert_int_equal(1, peers->dropped);
    bus__v1__peers__free_unpacked(peers, NULL);
}

static void the_broker_refuses_what_it_does_not_know(void **state)
{
    struct world *world = *state;
    Bus__V1__Ready ready = BUS__V1__READY__INIT;

    ask_broker(world, BUS__V1__ACTOR__ROLE__OPERATOR, ID, &ready);  // when

    const Bus__V1__Reply *reply = replied(world, 0, 9, BUS__V1__REPLY__STATUS__REFUSED);  // then
    assert_non_null(strstr(reply->reason, "does not know bus.v1.Ready"));
}

// ------------------------------------------------------------------ hostile bytes

static void bytes_that_are_no_packet_are_dropped_and_never_answered(void **state)
{
    struct world *world = *state;
    static const char *const bytes[] = {"", "\xff\xff\xff", "\x22", "\x12\x00\x12\x00", "\x7a\x01x"};

    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++)  // when
        arrive(world, 1, CONSOLE_KEY, (const uint8_t *)bytes[i], strlen(bytes[i]), "");

    assert_int_equal(0, world->count);  // then
    assert_int_equal(sizeof bytes / sizeof *bytes, broker_dropped(world->broker));
}

static void no_damaged_packet_harms_the_broker(void **state)
{
    struct world *world = *state;
    Bus__V1__Actor actor;
    Bus__V1__Request request = a_request(&actor);
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;
    uint8_t damaged[512];
    size_t size = 0;
    packet.kind_case = BUS__V1__PACKET__KIND_REQUEST;  // given
    packet.request = &request;
    request.timeout_ms = 1;
    const uint8_t *bytes = message_encode(world->arena, &packet, &size);
    const uint8_t *kept = memcpy(zmalloc(size), bytes, size);
    srandom(2);

    for (int i = 0; i < FUZZED_PACKETS; i++) {  // when
        memcpy(damaged, kept, size);
        for (int hits = 1 + (int)random() % 4; hits > 0; hits--)
            damaged[(size_t)random() % size] = (uint8_t)random();
        arrive(world, 1 + (peer_t)random() % 4, random() % 2 ? CONSOLE_KEY : INTAKE_KEY, damaged,
               random() % 8 ? size : (size_t)random() % size, "");
        pass_ms(world, 200);
        forget_caught(world);
        arena_reset(world->arena);
    }

    pass_ms(world, LIMIT_TIMEOUT_MAX_MS + 1000);  // then
    assert_int_equal(0, zhashx_size(world->broker->tasks));
    assert_int_equal(0, world->broker->task_bytes);
    worker_ready(world, 1, 1);
    ask_intake(world, 9, "");
    handed(world, 0, 1);
    free((void *)kept);
}

#define A_TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        A_TEST(the_least_recently_used_worker_is_next),
        A_TEST(a_worker_never_holds_more_than_its_credit),
        A_TEST(a_worker_is_given_no_more_than_its_connection_holds),
        A_TEST(an_answer_goes_back_to_who_asked),
        A_TEST(what_the_broker_stamps_cannot_be_chosen_by_the_sender),
        A_TEST(waiting_does_not_change_when_a_request_was_received),
        A_TEST(a_draining_worker_gets_nothing_new_and_may_still_answer),
        A_TEST(a_name_that_the_key_may_not_serve_is_refused),
        A_TEST(a_worker_that_says_a_forged_ready_loses_its_place),
        A_TEST(nobody_serves_the_brokers_own_name),
        A_TEST(credit_must_be_in_its_range),
        A_TEST(there_are_only_so_many_workers),
        A_TEST(an_answer_by_another_worker_is_dropped),
        A_TEST(an_answer_with_another_id_is_dropped),
        A_TEST(an_answer_given_twice_reaches_the_client_once),
        A_TEST(a_leaving_workers_requests_go_to_the_next_in_their_order),
        A_TEST(a_silent_workers_requests_go_to_the_next),
        A_TEST(a_worker_that_takes_nothing_is_forgotten),
        A_TEST(a_request_that_goes_down_with_every_worker_is_not_handed_out_for_ever),
        A_TEST(a_request_that_nobody_took_in_time_is_told_so),
        A_TEST(a_request_whose_time_passed_is_not_handed_out),
        A_TEST(a_request_without_answer_is_told_unavailable_and_frees_its_worker),
        A_TEST(a_full_queue_is_told_before_work_begins),
        A_TEST(a_repeat_of_what_waits_takes_no_second_place),
        A_TEST(a_repeat_prolongs_what_waits),
        A_TEST(a_repeat_is_found_also_where_the_queue_is_full),
        A_TEST(another_body_or_connection_or_what_was_handed_out_is_no_repeat),
        A_TEST(what_a_lost_worker_gives_back_waits_again_as_one),
        A_TEST(one_key_cannot_fill_every_queue),
        A_TEST(large_requests_are_bounded_by_memory),
        A_TEST(who_would_wait_too_long_is_told_before_work_begins),
        A_TEST(a_queue_may_be_as_long_as_it_is_quick),
        A_TEST(what_workers_hold_is_waited_for_as_well),
        A_TEST(a_short_queue_is_given_to_the_slowest),
        A_TEST(when_nothing_is_answered_everybody_waits),
        A_TEST(when_a_worker_goes_everybody_waits),
        A_TEST(when_a_worker_more_comes_everybody_waits),
        A_TEST(while_a_service_begins_again_everybody_waits),
        A_TEST(the_next_crowd_finds_known_how_fast_the_last_was_answered),
        A_TEST(who_has_little_to_do_is_not_taken_for_slow),
        A_TEST(a_crowd_at_one_service_is_none_at_another),
        A_TEST(a_repeat_is_found_also_where_a_new_one_would_wait_too_long),
        A_TEST(a_stopping_broker_tells_all_who_wait),
        A_TEST(a_key_taken_from_the_registry_is_refused_from_its_next_message),
        A_TEST(a_worker_that_loses_its_right_is_sent_away_at_once),
        A_TEST(a_second_key_serves_and_speaks_as_the_first),
        A_TEST(a_worker_is_sent_away_when_its_second_key_ends),
        A_TEST(a_client_taken_from_the_registry_gets_no_answer),
        A_TEST(a_message_without_a_proven_key_is_dropped),
        A_TEST(every_wrong_request_is_refused_with_a_sentence),
        A_TEST(a_service_may_speak_for_itself),
        A_TEST(a_worker_hears_a_heartbeat_every_second),
        A_TEST(a_worker_from_before_is_told_to_say_ready_again),
        A_TEST(a_client_hears_a_heartbeat_for_each_of_its_own),
        A_TEST(the_calendar_of_a_real_stack_cannot_be_moved),
        A_TEST(a_moved_calendar_is_told_at_once_and_kept_over_a_restart),
        A_TEST(a_moved_calendar_can_run_on_and_go_back),
        A_TEST(a_repeated_move_does_not_move_again),
        A_TEST(only_an_operator_moves_the_calendar_and_only_within_the_centuries),
        A_TEST(the_broker_tells_who_is_there),
        A_TEST(the_broker_refuses_what_it_does_not_know),
        A_TEST(bytes_that_are_no_packet_are_dropped_and_never_answered),
        A_TEST(no_damaged_packet_harms_the_broker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
