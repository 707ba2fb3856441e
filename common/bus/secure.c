// secure: sockets that only registered keys can talk to.
//
// libzmq asks over inproc://zeromq.zap.01 whether a key may come in, once a connection. We answer there
// ourselves, from the registry, and put the proven public key into the connection as User-Id. Nothing else
// may set it: a User-Id that a peer sends in its own handshake counts only when ours is missing, and ours
// never is.
#include "bus/secure.h"

#include "bus/end.h"
#include "clock/clock.h"
#include "limits/limits.h"

#include <assert.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

// The library accepts these numbers, its header hides them without the draft flag.
#define OPTION_ZAP_ENFORCE_DOMAIN 93

#define ZAP_ENDPOINT              "inproc://zeromq.zap.01"
#define ZAP_DOMAIN                "tildel"
#define KEY_BYTES                 32
#define KEY_TEXT                  41

// CURVE wraps a frame in 33 bytes before its size is compared with ZMQ_MAXMSGSIZE.
#define FRAME_BYTES_WRAPPED (LIMIT_FRAME_BYTES + 64)
#define SELF_TEST_MS        10000  // for each of its keys; a busy machine may need seconds
#define ZAP_FRAMES          7
#define FEED_THREAD         1  // the I/O thread of the feed; 0 has all else

struct secure {
    registry_t *registry;
    bool (*which_may)(const struct registered *key);
    zsock_t *zap;
    struct key_pair tester;  // known only while the self-test runs
    struct key_pair stranger;
    bool testing;
    int last_type;  // of the socket bound last: the self-test needs its counterpart
};

// ------------------------------------------------------------------ options

// An option that is set and must read back the same.
struct option {
    int number;
    int value;
};

static const struct option options_of_all[] = {
    {ZMQ_LINGER, 0},
    {ZMQ_SNDTIMEO, 0},  // no send and no receive ever waits: the loops wait in poll only
    {ZMQ_RCVTIMEO, 0},
    {ZMQ_SNDHWM, LIMIT_HWM_MESSAGES},
    {ZMQ_RCVHWM, LIMIT_HWM_MESSAGES},
    {ZMQ_HANDSHAKE_IVL, LIMIT_HANDSHAKE_MS},
    {ZMQ_HEARTBEAT_IVL, LIMIT_PING_MS},
    {ZMQ_HEARTBEAT_TIMEOUT, LIMIT_SILENCE_MS},
    {ZMQ_HEARTBEAT_TTL, 2 * LIMIT_PING_MS},  // as long as the interval, it would cut what is well
    {ZMQ_TCP_KEEPALIVE, 1},
    {ZMQ_TCP_KEEPALIVE_IDLE, 5},
    {ZMQ_TCP_KEEPALIVE_INTVL, 2},
    {ZMQ_TCP_KEEPALIVE_CNT, 3},
    {0, 0},
};

static const struct option options_of_server[] = {
    {ZMQ_CURVE_SERVER, 1},
    {OPTION_ZAP_ENFORCE_DOMAIN, 1},
    {0, 0},
};

static const struct option options_of_client[] = {
    {ZMQ_IMMEDIATE, 1},  // nothing queues up for a peer that is away: it would arrive stale
    {ZMQ_RECONNECT_IVL, 100},
    {ZMQ_RECONNECT_IVL_MAX, 1000},
    {0, 0},
};

static void options_set(void *socket, const struct option *options)
{
    for (const struct option *option = options; option->number != 0; option++) {
        int value = -1;
        size_t size = sizeof value;
        if (zmq_setsockopt(socket, option->number, &option->value, sizeof option->value) != 0 ||
            zmq_getsockopt(socket, option->number, &value, &size) != 0 || value != option->value)
            bus_end("ZeroMQ option %d cannot be set to %d (reads back %d): %s", option->number, option->value,
                    value, zmq_strerror(zmq_errno()));
    }
}

static void option_set_size(void *socket, int number, int64_t wanted)
{
    int64_t value = -1;
    size_t size = sizeof value;
    if (zmq_setsockopt(socket, number, &wanted, sizeof wanted) != 0 ||
        zmq_getsockopt(socket, number, &value, &size) != 0 || value != wanted)
        bus_end("ZeroMQ option %d cannot be set to %lld: %s", number, (long long)wanted,
                zmq_strerror(zmq_errno()));
}

static void option_set_text(void *socket, int number, const char *wanted)
{
    char value[KEY_TEXT] = "";
    size_t size = sizeof value;  // libzmq takes exactly 41 for the text of a key
    if (zmq_setsockopt(socket, number, wanted, strlen(wanted)) != 0 ||
        zmq_getsockopt(socket, number, value, &size) != 0 || !streq(value, wanted))
        bus_end("ZeroMQ option %d (a key or the ZAP domain) cannot be set: %s", number,
                zmq_strerror(zmq_errno()));
}

// Before the first socket. Looking up a name holds up the I/O thread that does it, for as long as the resolver is patient; so
// the feed has a thread of its own: an event log that is away keeps nobody from the broker.
static void context_prepare(void)
{
    static bool prepared;

    if (prepared)
        return;
    prepared = true;
    zsys_set_io_threads(1 + FEED_THREAD);
    zsys_handler_set(NULL);      // signals are our own business
    zsys_set_logstream(stderr);  // standard output belongs to the program
}

static zsock_t *socket_new(int type)
{
    context_prepare();
    zsock_t *socket = zsock_new(type);
    if (!socket)
        bus_end("no ZeroMQ socket can be made: %s", zmq_strerror(zmq_errno()));
    options_set(zsock_resolve(socket), options_of_all);
    option_set_size(zsock_resolve(socket), ZMQ_MAXMSGSIZE, FRAME_BYTES_WRAPPED);
    return socket;
}

// ------------------------------------------------------------------ key files

static void key_file_check_mode(const char *path)
{
    struct stat file;
    if (stat(path, &file) != 0)
        bus_end("%s: the secret key cannot be read: %s; deploy/init makes it", path, strerror(errno));
    // What docker makes in the place of a file that was not there.
    if (!S_ISREG(file.st_mode))
        bus_end("%s: the secret key is not a file; deploy/init makes it", path);
    if (file.st_size == 0)
        bus_end("%s: the secret key is empty; remove it, deploy/init makes it again", path);
    if ((file.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        bus_end("%s: the secret key is open to group or others (mode %04o); make it 0600", path,
                (unsigned)(file.st_mode & 07777));
}

static void key_file_read(const char *path, struct key_pair *ret)
{
    zconfig_t *file = zconfig_load(path);
    if (!file)
        bus_end("%s: the secret key cannot be read as ZPL", path);
    snprintf(ret->public_key, sizeof ret->public_key, "%s", zconfig_get(file, "curve/public-key", ""));
    snprintf(ret->secret_key, sizeof ret->secret_key, "%s", zconfig_get(file, "curve/secret-key", ""));
    zconfig_destroy(&file);

    char derived[KEY_TEXT] = "";
    if (strlen(ret->secret_key) != KEY_TEXT - 1 || zmq_curve_public(derived, ret->secret_key) != 0)
        bus_end("%s: curve/secret-key is not 40 characters of Z85", path);
    if (!streq(derived, ret->public_key))
        bus_end("%s: curve/public-key does not belong to curve/secret-key", path);
}

struct key_pair secure_own_key(const char *folder, const char *name, const registry_t *registry)
{
    char path[PATH_MAX];
    struct key_pair own;

    if (snprintf(path, sizeof path, "%s/%s.secret.zpl", folder, name) >= (int)sizeof path)
        bus_end("the path of the secret key of '%.40s' is too long", name);
    key_file_check_mode(path);
    key_file_read(path, &own);

    // By key: while a key is changed, the old one is as good as the new.
    const struct registered *entry = registry_by_key(registry, own.public_key);
    bool registered = entry && streq(entry->name, name);
    if (!registered && !registry_by_name(registry, name))
        bus_end("the registry of keys in %s has no key '%s' that is valid now", folder, name);
    if (!registered)
        bus_end("%s: this key is not the one that the registry names '%s' now", path, name);
    return own;
}

// ------------------------------------------------------------------ ZAP (https://rfc.zeromq.org/spec/27)

// One question of libzmq: its frames, each cut to what we need of it.
struct zap_request {
    int frames;
    char version[8];
    uint8_t id[256];
    size_t id_size;
    char mechanism[16];
    uint8_t key[KEY_BYTES];
    size_t key_size;
};

static void frame_text(char *to, size_t room, const void *bytes, size_t size)
{
    size_t length = size < room - 1 ? size : room - 1;
    memcpy(to, bytes, length);
    to[length] = '\0';
}

// The frames are: version, request id, domain, address, identity, mechanism, credentials.
static void zap_frame_take(struct zap_request *request, int number, const void *bytes, size_t size)
{
    if (number == 0)
        frame_text(request->version, sizeof request->version, bytes, size);
    if (number == 1) {
        request->id_size = size < sizeof request->id ? size : sizeof request->id;
        memcpy(request->id, bytes, request->id_size);
    }
    if (number == 5)
        frame_text(request->mechanism, sizeof request->mechanism, bytes, size);
    if (number == 6) {
        request->key_size = size;
        memcpy(request->key, bytes, size < KEY_BYTES ? size : KEY_BYTES);
    }
}

// Take one question from the socket. False when there is none.
static bool zap_receive(void *socket, struct zap_request *ret)
{
    bool more = true;

    *ret = (struct zap_request){0};
    while (more) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&frame);
            return false;
        }
        zap_frame_take(ret, ret->frames++, zmq_msg_data(&frame), zmq_msg_size(&frame));
        more = zmq_msg_more(&frame);
        zmq_msg_close(&frame);
    }
    return true;
}

static void zap_answer(void *socket, const struct zap_request *request, bool welcome, const char *user_id)
{
    const char *code = welcome ? "200" : "400";
    const char *text = welcome ? "OK" : "no";

    zmq_send(socket, "1.0", 3, ZMQ_SNDMORE);
    zmq_send(socket, request->id, request->id_size, ZMQ_SNDMORE);
    zmq_send(socket, code, 3, ZMQ_SNDMORE);
    zmq_send(socket, text, 2, ZMQ_SNDMORE);
    zmq_send(socket, user_id, strlen(user_id), ZMQ_SNDMORE);
    zmq_send(socket, "", 0, 0);  // no metadata
}

static bool zap_welcome(const secure_t *secure, const struct zap_request *request, char key[KEY_TEXT])
{
    if (request->frames != ZAP_FRAMES || !streq(request->version, "1.0") ||
        !streq(request->mechanism, "CURVE") || request->key_size != KEY_BYTES ||
        !zmq_z85_encode(key, request->key, KEY_BYTES))
        return false;
    if (secure->testing && streq(key, secure->tester.public_key))
        return true;
    const struct registered *entry = registry_by_key(secure->registry, key);
    return entry && secure->which_may(entry);
}

static void key_pair_make(struct key_pair *ret)
{
    if (zmq_curve_keypair(ret->public_key, ret->secret_key) != 0)
        bus_end("this ZeroMQ library has no CURVE: %s", zmq_strerror(zmq_errno()));
}

secure_t *secure_start(registry_t *registry, bool (*which_may)(const struct registered *key))
{
    secure_t *secure = zmalloc(sizeof *secure);
    assert(secure);
    *secure = (struct secure){.registry = registry, .which_may = which_may};
    key_pair_make(
        &secure->tester);  // here, before there are sockets: making keys later is not safe in libzmq
    key_pair_make(&secure->stranger);

    context_prepare();
    secure->zap = zsock_new(ZMQ_REP);
    if (!secure->zap || zsock_bind(secure->zap, ZAP_ENDPOINT) < 0)
        bus_end("our own ZAP handler cannot be bound: %s", zmq_strerror(zmq_errno()));
    return secure;
}

void secure_destroy(secure_t **secure_p)
{
    if (!*secure_p)
        return;
    // Closing alone frees the name only when ZeroMQ's reaper gets to it, which may be after the next one wants it.
    zsock_unbind((*secure_p)->zap, "%s", ZAP_ENDPOINT);
    zsock_destroy(&(*secure_p)->zap);
    free(*secure_p);
    *secure_p = NULL;
}

zsock_t *secure_socket(secure_t *secure)
{
    return secure->zap;
}

void secure_turn(secure_t *secure)
{
    void *socket = zsock_resolve(secure->zap);
    struct zap_request request;

    while (zap_receive(socket, &request)) {
        char key[KEY_TEXT] = "";
        bool welcome = zap_welcome(secure, &request, key);
        zap_answer(socket, &request, welcome, welcome ? key : "");
    }
}

// ------------------------------------------------------------------ sockets

zsock_t *secure_bind(secure_t *secure, int type, const char *endpoint, const char *secret_key)
{
    zsock_t *socket = socket_new(type);
    void *handle = zsock_resolve(socket);

    options_set(handle, options_of_server);
    option_set_text(handle, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN);
    option_set_text(handle, ZMQ_CURVE_SECRETKEY, secret_key);
    if (type == ZMQ_ROUTER && zmq_setsockopt(handle, ZMQ_ROUTER_MANDATORY, &(int){1}, sizeof(int)) != 0)
        bus_end("ZeroMQ cannot be told to report lost peers: %s", zmq_strerror(zmq_errno()));
    if (zmq_bind(handle, endpoint) != 0)
        bus_end("%s cannot be bound: %s", endpoint, zmq_strerror(zmq_errno()));
    secure->last_type = type;
    return socket;
}

static zsock_t *client_new(int type, const char *server_public_key, const char *public_key,
                           const char *secret_key)
{
    zsock_t *socket = socket_new(type);
    void *handle = zsock_resolve(socket);

    options_set(handle, options_of_client);
    zsock_set_affinity(socket, 1 << (type == ZMQ_SUB ? FEED_THREAD : 0));
    option_set_text(handle, ZMQ_CURVE_SERVERKEY, server_public_key);
    option_set_text(handle, ZMQ_CURVE_PUBLICKEY, public_key);
    option_set_text(handle, ZMQ_CURVE_SECRETKEY, secret_key);
    return socket;
}

static void client_connect(zsock_t *socket, const char *endpoint)
{
    if (zmq_connect(zsock_resolve(socket), endpoint) != 0)
        bus_end("%s cannot be connected to: %s", endpoint, zmq_strerror(zmq_errno()));
}

zsock_t *secure_connect(int type, const char *endpoint, const char *server_public_key, const char *public_key,
                        const char *secret_key)
{
    zsock_t *socket = client_new(type, server_public_key, public_key, secret_key);
    client_connect(socket, endpoint);
    return socket;
}

const char *secure_peer(zframe_t *frame)
{
    const char *key = zframe_meta(frame, "User-Id");
    return key ? key : "";
}

// ------------------------------------------------------------------ self-test

// What a client's monitor tells of its handshake: an event number, or 0 when nothing came in time. A handshake that was
// cut short says nothing: the client tries again by itself.
static int handshake_outcome(secure_t *secure, zsock_t *monitor, int64_t deadline_ms)
{
    for (;;) {
        int64_t left_ms = deadline_ms - clock_stopwatch_ms();
        zmq_pollitem_t items[] = {{zsock_resolve(secure->zap), 0, ZMQ_POLLIN, 0},
                                  {zsock_resolve(monitor), 0, ZMQ_POLLIN, 0}};
        if (left_ms <= 0 || zmq_poll(items, 2, left_ms) <= 0)
            return 0;
        secure_turn(secure);
        if (items[1].revents & ZMQ_POLLIN) {
            uint8_t event[6] = {
                0};  // number (16 bits, this machine's order), value; then a frame with the address
            uint16_t number = 0;
            zmq_recv(zsock_resolve(monitor), event, sizeof event, 0);
            zmq_recv(zsock_resolve(monitor), NULL, 0, 0);
            memcpy(&number, event, sizeof number);
            if (number != ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)
                return number;
        }
    }
}

// How does this key's handshake end?
static int handshake_try(secure_t *secure, const char *endpoint, const char *server_public_key,
                         const struct key_pair *pair)
{
    int type = secure->last_type == ZMQ_ROUTER ? ZMQ_DEALER : ZMQ_SUB;
    zsock_t *client = client_new(type, server_public_key, pair->public_key, pair->secret_key);
    zsock_t *monitor = zsock_new(ZMQ_PAIR);
    char watch[120];

    // The name of a watch is given back some time after it ends; a second client may lie where the first one
    // lay.
    snprintf(watch, sizeof watch, "inproc://secure-%p-%s", (void *)client, pair->public_key);
    if (zmq_socket_monitor(zsock_resolve(client), watch,
                           ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                               ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL) !=
            0 ||
        zmq_connect(zsock_resolve(monitor), watch) != 0)
        bus_end("a connection cannot be watched: %s", zmq_strerror(zmq_errno()));
    client_connect(client, endpoint);
    int outcome = handshake_outcome(secure, monitor, clock_stopwatch_ms() + SELF_TEST_MS);
    zmq_socket_monitor(zsock_resolve(client), NULL, 0);
    zsock_destroy(&monitor);
    zsock_destroy(&client);
    return outcome;
}

// Where to connect to for a socket that was bound to all interfaces.
static void endpoint_of_self(const char *endpoint, char *ret, size_t room)
{
    const char *colon = strrchr(endpoint, ':');
    bool all = strncmp(endpoint, "tcp://*", 7) == 0 || strncmp(endpoint, "tcp://0.0.0.0", 13) == 0;
    if (all && colon)
        snprintf(ret, room, "tcp://127.0.0.1%s", colon);
    else
        snprintf(ret, room, "%s", endpoint);
}

void secure_self_test(secure_t *secure, const char *endpoint, const char *server_public_key)
{
    char here[PATH_MAX];
    endpoint_of_self(endpoint, here, sizeof here);

    secure->testing = true;
    int stranger = handshake_try(secure, here, server_public_key, &secure->stranger);
    if (stranger != ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
        bus_end("%s: self-test: an unknown key was not refused (handshake event %d); serving nobody",
                endpoint, stranger);
    int tester = handshake_try(secure, here, server_public_key, &secure->tester);
    if (tester != ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
        bus_end("%s: self-test: a known key was not accepted (handshake event %d); serving nobody", endpoint,
                tester);
    secure->testing = false;
}
