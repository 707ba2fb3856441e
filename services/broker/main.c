// tildel-broker: joins the broker's core to ZeroMQ, the environment and signals.
#include "broker.h"
#include "figures.h"

#include "bus/end.h"
#include "bus/secure.h"
#include "clock/clock.h"
#include "env/env.h"
#include "env/settings.h"
#include "stop/stop.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define ROUTING_ID_BYTES 5    // what ZeroMQ gives a peer that set none: a zero and a 32-bit number
#define TAKEN_AT_ONCE    256  // messages between two looks at ZAP, the clock and signals
#define FRAMES           3    // routing id, packet, body
#define KEY_NAME         "broker"

static const char usage[] =
    "tildel-broker: routes requests to services by name.\n"
    "\n"
    "  --health [live|ready]  ask the broker at METRICS_BIND; without a word: ready\n"
    "  --help                 this text\n"
    "\n"
    "It stops within a second after SIGTERM or SIGINT. Log lines are JSON on standard error.\n"
    "Exit codes: 0 stopped as asked; 1 a fault, told in one sentence; 2 wrong usage; 3 unhealthy.\n"
    "\n";

// ------------------------------------------------------------------ transport

static void routing_id_write(peer_t peer, uint8_t ret[ROUTING_ID_BYTES])
{
    ret[0] = 0;
    memcpy(ret + 1, &peer, sizeof peer);
}

// Send one message; a peer that has gone or takes nothing more is told as false, never waited for.
static bool router_send(void *self, peer_t peer, const uint8_t *packet, size_t size, zframe_t *body)
{
    void *socket = zsock_resolve(self);
    uint8_t id[ROUTING_ID_BYTES];

    routing_id_write(peer, id);
    if (zmq_send(socket, id, sizeof id, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_send(socket, packet, size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return false;
    if (!body)
        return zmq_send(socket, "", 0, ZMQ_DONTWAIT) == 0;
    return zframe_send(&body, self, ZFRAME_REUSE | ZFRAME_DONTWAIT) == 0;
}

// Receive one message: the first FRAMES frames are kept, others thrown away. Returns their number, 0 when
// nothing is there.
static int router_receive(zsock_t *router, zframe_t *ret[FRAMES])
{
    int count = 0;
    zframe_t *frame = zframe_recv(router);

    for (bool more = frame != NULL; more; count++) {
        more = zframe_more(frame);
        if (count < FRAMES)
            ret[count] = frame;
        else
            zframe_destroy(&frame);
        if (more)
            frame = zframe_recv(router);
        more = more && frame;
    }
    return count;
}

// The number of the peer. False when the peer chose its own name, which the contract forbids.
static bool peer_read(zframe_t *id, peer_t *ret)
{
    if (zframe_size(id) != ROUTING_ID_BYTES || zframe_data(id)[0] != 0)
        return false;
    memcpy(ret, zframe_data(id) + 1, sizeof *ret);
    return true;
}

static void message_take(struct broker *broker, zframe_t *frames[FRAMES], int count)
{
    struct arrival arrival = {.key = "", .body_p = &frames[2]};

    if (count != FRAMES || !peer_read(frames[0], &arrival.peer)) {
        broker_drop(broker, DROP_MALFORMED, count > 1 ? secure_peer(frames[1]) : "",
                    count != FRAMES ? "not exactly two frames" : "the peer set its own routing id");
        return;
    }
    arrival.key = secure_peer(frames[1]);  // not of the first frame: libzmq loses its properties
    arrival.packet = zframe_data(frames[1]);
    arrival.packet_size = zframe_size(frames[1]);
    broker_take(broker, clock_stopwatch_ms(), &arrival);
}

static void router_drain(struct broker *broker, zsock_t *router)
{
    for (int taken = 0; taken < TAKEN_AT_ONCE; taken++) {
        zframe_t *frames[FRAMES] = {NULL};
        int count = router_receive(router, frames);
        if (count == 0)
            return;
        message_take(broker, frames, count);
        for (int i = 0; i < FRAMES; i++)
            zframe_destroy(&frames[i]);
    }
}

// ------------------------------------------------------------------ the loop

// It needs no other process: it is ready when it listens.
static void show(struct broker *broker, struct broker_figures *figures, vitals_t *vitals)
{
    if (vitals_due_ms(vitals) > 0)
        return;
    broker_figures_show(figures, broker);
    vitals_publish(vitals);
}

static void serve(struct broker *broker, zsock_t *router, secure_t *secure, int stop_fd, vitals_t *vitals)
{
    struct broker_figures *figures = broker_figures_new(vitals);

    for (;;) {
        zmq_pollitem_t items[] = {
            {zsock_resolve(router), 0, ZMQ_POLLIN, 0},
            {zsock_resolve(secure_socket(secure)), 0, ZMQ_POLLIN, 0},
            {NULL, stop_fd, ZMQ_POLLIN, 0},
        };
        show(broker, figures, vitals);
        zmq_poll(items, 3, broker_turn(broker, clock_stopwatch_ms()));
        if (items[2].revents & ZMQ_POLLIN)
            break;
        if (registry_refresh(broker->registry))
            broker_registry_changed(broker);
        secure_turn(secure);
        router_drain(broker, router);
    }
    broker_figures_destroy(&figures);
}

// ------------------------------------------------------------------ start

static bool may_connect(const struct registered *key)
{
    (void)key;
    return true;  // every registered key has something to say here; what, is judged for each message
}

static registry_t *registry_open(const char *keys, bool rehearsal)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/registry.zpl", keys) >= (int)sizeof path)
        bus_end("BUS_KEYS is too long");
    return registry_load(path, rehearsal);
}

static int run(void)
{
    stop_at_once();
    const char *bind = env_required("BROKER_BIND");
    const char *keys = env_required("BUS_KEYS");
    struct calendar calendar = calendar_open(env_or("REHEARSAL", NULL));
    registry_t *registry = registry_open(keys, calendar.path != NULL);
    struct key_pair own = secure_own_key(keys, KEY_NAME, registry);

    int stop_fd = stop_open();
    vitals_t *vitals = vitals_start(KEY_NAME, "");
    secure_t *secure = secure_start(registry, may_connect);
    zsock_t *router = secure_bind(secure, ZMQ_ROUTER, bind, own.secret_key);
    secure_self_test(secure, bind, own.public_key);
    struct outlet outlet = {router_send, router};
    struct broker *broker = broker_new(registry, &calendar, outlet, clock_stopwatch_ms());

    log_info("the broker listens", "endpoint", bind, "rehearsal", calendar.path ? calendar.path : "no", NULL);
    serve(broker, router, secure, stop_fd, vitals);
    log_info("the broker stops", NULL);
    broker_stop(broker);
    zsock_set_linger(router, LIMIT_LINGER_MS / 2);
    vitals_destroy(&vitals);
    broker_destroy(&broker);
    zsock_destroy(&router);
    secure_destroy(&secure);
    registry_destroy(&registry);
    close(stop_fd);
    return 0;
}

static int help(FILE *to, int code)
{
    fputs(usage, to);
    settings_help(to, "broker");
    return code;
}

int main(int argc, char **argv)
{
    log_start("broker");
    if (argc == 1)
        return run();
    if (argc > 1 && streq(argv[1], "--health"))
        return health_main(argc - 2, argv + 2);
    if (argc == 2 && streq(argv[1], "--help"))
        return help(stdout, 0);
    return help(stderr, 2);
}
