// Server sockets: who gets in, who does not, and what is proven about who did. All within one thread, but for a server that
// is slow.
#include "bus/secure.h"

#include "clock/clock.h"
#include "limits/limits.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define A_WHILE_MS 300

struct world {
    char folder[64];
    char endpoint[96];
    char registry_path[96];
    struct key_pair server;
    struct key_pair friend;  // registered, may connect
    struct key_pair barred;  // registered, may not
    struct key_pair stranger;
    registry_t *registry;
    secure_t *secure;
    zsock_t *router;
};

static bool may_connect(const struct registered *key)
{
    return key->feed;
}

static void pair_make(struct key_pair *ret)
{
    assert_int_equal(0, zmq_curve_keypair(ret->public_key, ret->secret_key));
}

static void registry_write(const struct world *world)
{
    FILE *file = fopen(world->registry_path, "w");
    assert_non_null(file);
    fprintf(file,
            "broker\n    public = \"%s\"\nfriend\n    public = \"%s\"\n    feed = \"yes\"\nbarred\n    "
            "public = \"%s\"\n",
            world->server.public_key, world->friend.public_key, world->barred.public_key);
    assert_int_equal(0, fclose(file));
}

static int folder_make(void **state)
{
    struct world *world = zmalloc(sizeof *world);
    strcpy(world->folder, "/tmp/secure_test-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->registry_path, sizeof world->registry_path, "%s/registry.zpl", world->folder);
    snprintf(world->endpoint, sizeof world->endpoint, "ipc://%s/socket", world->folder);
    pair_make(&world->server);
    pair_make(&world->friend);
    pair_make(&world->barred);
    pair_make(&world->stranger);
    registry_write(world);
    world->registry = registry_load(world->registry_path, false);
    *state = world;
    return 0;
}

static int world_make(void **state)
{
    folder_make(state);
    struct world *world = *state;
    world->secure = secure_start(world->registry, may_connect);
    world->router = secure_bind(world->secure, ZMQ_ROUTER, world->endpoint, world->server.secret_key);
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;
    char path[160];

    zsock_destroy(&world->router);
    secure_destroy(&world->secure);
    registry_destroy(&world->registry);
    snprintf(path, sizeof path, "rm -r %s", world->folder);
    assert_int_equal(0, system(path));
    free(world);
    return 0;
}

// Let things happen for a while, or until a message is there for the server.
static bool message_comes(struct world *world)
{
    int64_t until_ms = clock_stopwatch_ms() + A_WHILE_MS;

    while (clock_stopwatch_ms() < until_ms) {
        zmq_pollitem_t items[] = {{zsock_resolve(secure_socket(world->secure)), 0, ZMQ_POLLIN, 0},
                                  {zsock_resolve(world->router), 0, ZMQ_POLLIN, 0}};
        zmq_poll(items, 2, 20);
        secure_turn(world->secure);
        if (items[1].revents & ZMQ_POLLIN)
            return true;
    }
    return false;
}

static zsock_t *client_connect(struct world *world, const struct key_pair *pair)
{
    return secure_connect(ZMQ_DEALER, world->endpoint, world->server.public_key, pair->public_key,
                          pair->secret_key);
}

// Answer ZAP until the client's handshake is over. False: it never is, which is how a refusal looks.
static bool client_connected(struct world *world, zsock_t *client)
{
    int64_t until_ms = clock_stopwatch_ms() + A_WHILE_MS;

    while (clock_stopwatch_ms() < until_ms) {
        zmq_pollitem_t items[] = {{zsock_resolve(secure_socket(world->secure)), 0, ZMQ_POLLIN, 0},
                                  {zsock_resolve(client), 0, ZMQ_POLLOUT, 0}};
        zmq_poll(items, 2, 20);
        secure_turn(world->secure);
        if (items[1].revents & ZMQ_POLLOUT)
            return true;
    }
    return false;
}

// Connect with this key and say something. Does it arrive?
static bool word_arrives(struct world *world, const struct key_pair *pair)
{
    zsock_t *client = client_connect(world, pair);
    bool arrived = client_connected(world, client) && zstr_sendm(client, "packet") == 0 &&
                   zstr_send(client, "body") == 0 && message_comes(world);
    zsock_destroy(&client);
    return arrived;
}

static void the_self_test_passes_on_a_socket_that_is_guarded(void **state)
{
    struct world *world = *state;

    secure_self_test(world->secure, world->endpoint, world->server.public_key);  // when, then: it comes back
}

// A server on a busy machine: takes connections and is silent, then serves.
struct slow {
    struct world *world;
    struct sockaddr_un place;
    int silent;
};

static void *serve_late(void *argument)
{
    struct slow *slow = argument;

    zclock_sleep(LIMIT_HANDSHAKE_MS + LIMIT_HANDSHAKE_MS / 2);
    close(slow->silent);
    assert_int_equal(0, zsock_bind(slow->world->router, "ipc://%s", slow->place.sun_path));
    return NULL;
}

static void the_self_test_waits_for_a_server_that_is_slow(void **state)
{
    struct slow slow = {*state, {AF_UNIX, ""}, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};  // given
    char endpoint[128];
    pthread_t thread;
    snprintf(slow.place.sun_path, sizeof slow.place.sun_path, "%s/slow", slow.world->folder);
    snprintf(endpoint, sizeof endpoint, "ipc://%s", slow.place.sun_path);
    assert_int_equal(0, bind(slow.silent, (struct sockaddr *)&slow.place, sizeof slow.place));
    assert_int_equal(0, listen(slow.silent, 8));
    assert_int_equal(0, pthread_create(&thread, NULL, serve_late, &slow));

    secure_self_test(slow.world->secure, endpoint,
                     slow.world->server.public_key);  // when, then: it comes back

    assert_int_equal(0, pthread_join(thread, NULL));
}

static void a_registered_key_is_heard_and_proven(void **state)
{
    struct world *world = *state;

    assert_true(word_arrives(world, &world->friend));  // when

    zframe_t *id = zframe_recv(world->router);  // then
    zframe_t *packet = zframe_recv(world->router);
    zframe_t *body = zframe_recv(world->router);
    assert_string_equal(world->friend.public_key, secure_peer(packet));
    assert_string_equal(world->friend.public_key, secure_peer(body));
    zframe_destroy(&id);
    zframe_destroy(&packet);
    zframe_destroy(&body);
}

static void an_unknown_key_is_not_heard(void **state)
{
    assert_false(word_arrives(*state, &((struct world *)*state)->stranger));  // when, then
}

static void a_registered_key_without_the_right_to_connect_is_not_heard(void **state)
{
    assert_false(word_arrives(*state, &((struct world *)*state)->barred));  // when, then
}

static void a_connection_without_curve_is_not_heard(void **state)
{
    struct world *world = *state;
    zsock_t *client = zsock_new(ZMQ_DEALER);
    assert_int_equal(0, zsock_connect(client, "%s", world->endpoint));  // when
    zsock_set_linger(client, 0);
    zstr_sendm(client, "packet");
    zstr_send(client, "body");

    assert_false(message_comes(world));  // then
    zsock_destroy(&client);
}

static void nobody_is_heard_while_the_zap_handler_is_gone(void **state)
{
    struct world *world = *state;
    secure_destroy(&world->secure);  // given

    zsock_t *client = client_connect(world, &world->friend);  // when
    usleep(A_WHILE_MS * 1000);

    assert_false(zsock_events(client) & ZMQ_POLLOUT);  // then
    zsock_destroy(&client);
}

static void a_frame_over_the_limit_is_not_heard(void **state)
{
    struct world *world = *state;
    zsock_t *client = client_connect(world, &world->friend);
    uint8_t *large = zmalloc(LIMIT_FRAME_BYTES + 100);
    assert_true(client_connected(world, client));  // given

    zmq_send(zsock_resolve(client), "packet", 6, ZMQ_SNDMORE);  // when
    zmq_send(zsock_resolve(client), large, LIMIT_FRAME_BYTES + 100, 0);
    assert_false(message_comes(world));

    assert_true(client_connected(world, client));  // then: one of just the limit is
    zmq_send(zsock_resolve(client), "packet", 6, ZMQ_SNDMORE);
    zmq_send(zsock_resolve(client), large, LIMIT_FRAME_BYTES, 0);
    assert_true(message_comes(world));
    free(large);
    zsock_destroy(&client);
}

static void every_limit_holds_on_a_bound_socket(void **state)
{
    struct world *world = *state;

    assert_int_equal(LIMIT_HWM_MESSAGES, zsock_rcvhwm(world->router));  // when, then
    assert_int_equal(LIMIT_HWM_MESSAGES, zsock_sndhwm(world->router));
    assert_in_range(zsock_maxmsgsize(world->router), LIMIT_FRAME_BYTES, LIMIT_FRAME_BYTES + 64);
    assert_int_equal(LIMIT_HANDSHAKE_MS, zsock_handshake_ivl(world->router));
    assert_int_equal(LIMIT_PING_MS, zsock_heartbeat_ivl(world->router));
    assert_int_equal(1, zsock_curve_server(world->router));
}

// ------------------------------------------------------------------ what ends the process

// Do it in a child: how does it end, and what does it say?
static void ends_saying(void (*act)(struct world *world), struct world *world, const char *wanted)
{
    int ends[2];
    char said[2048];
    int status = 0;

    assert_int_equal(0, pipe(ends));
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        act(world);
        _exit(9);
    }
    close(ends[1]);
    ssize_t size = read(ends[0], said, sizeof said - 1);
    said[size > 0 ? size : 0] = '\0';
    close(ends[0]);
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_int_equal(1, WEXITSTATUS(status));
    if (!strstr(said, wanted))
        fail_msg("'%s' is not said in %s", wanted, said);
}

static void key_file_write(const struct world *world, const struct key_pair *pair, mode_t mode)
{
    char path[128];
    snprintf(path, sizeof path, "%s/friend.secret.zpl", world->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "curve\n    public-key = \"%s\"\n    secret-key = \"%s\"\n", pair->public_key,
            pair->secret_key);
    assert_int_equal(0, fclose(file));
    assert_int_equal(0, chmod(path, mode));
}

static void own_key_read(struct world *world)
{
    secure_own_key(world->folder, "friend", world->registry);
}

static void the_own_key_is_read(void **state)
{
    struct world *world = *state;
    key_file_write(world, &world->friend, 0600);  // given

    struct key_pair own = secure_own_key(world->folder, "friend", world->registry);  // when

    assert_string_equal(world->friend.secret_key, own.secret_key);  // then
}

static void a_secret_key_that_others_can_read_is_refused(void **state)
{
    struct world *world = *state;

    key_file_write(world, &world->friend, 0640);  // when
    ends_saying(own_key_read, world, "open to group or others (mode 0640)");
    key_file_write(world, &world->friend, 0604);
    ends_saying(own_key_read, world, "open to group or others (mode 0604)");
}

static void a_secret_key_that_is_not_the_registered_one_is_refused(void **state)
{
    struct world *world = *state;
    struct key_pair mixed = world->friend;

    ends_saying(own_key_read, world, "the secret key cannot be read");  // when
    key_file_write(world, &world->stranger, 0600);
    ends_saying(own_key_read, world, "is not the one that the registry names 'friend'");
    memcpy(mixed.secret_key, world->stranger.secret_key, sizeof mixed.secret_key);
    key_file_write(world, &mixed, 0600);
    ends_saying(own_key_read, world, "does not belong to curve/secret-key");
    mixed.secret_key[20] = '\0';
    key_file_write(world, &mixed, 0600);
    ends_saying(own_key_read, world, "is not 40 characters of Z85");
}

static void while_a_key_is_changed_both_are_the_own_one(void **state)
{
    struct world *world = *state;
    FILE *file = fopen(world->registry_path, "a");
    fprintf(file, "friend-1\n    public = \"%s\"\n    of = \"friend\"\n    not_after = \"2999-01-01T00:00:00Z\"\n",
            world->stranger.public_key);
    assert_int_equal(0, fclose(file));
    assert_true(registry_refresh(world->registry));  // given

    key_file_write(world, &world->stranger, 0600);  // when, then
    assert_string_equal(world->stranger.secret_key,
                        secure_own_key(world->folder, "friend", world->registry).secret_key);
    key_file_write(world, &world->friend, 0600);
    assert_string_equal(world->friend.secret_key,
                        secure_own_key(world->folder, "friend", world->registry).secret_key);
    key_file_write(world, &world->barred, 0600);
    ends_saying(own_key_read, world, "is not the one that the registry names 'friend'");
}

static void bind_twice(struct world *world)
{
    secure_t *secure = secure_start(world->registry, may_connect);
    secure_bind(secure, ZMQ_ROUTER, "tcp://127.0.0.1:16191", world->server.secret_key);
    secure_bind(secure, ZMQ_ROUTER, "tcp://127.0.0.1:16191", world->server.secret_key);
}

static void a_port_that_is_taken_ends_the_process(void **state)
{
    ends_saying(bind_twice, *state, "tcp://127.0.0.1:16191 cannot be bound");  // when, then
}

// A server whose guard is missing: CURVE, but nobody asks who comes.
static void self_test_unguarded(struct world *world)
{
    secure_t *secure = secure_start(world->registry, may_connect);
    zsock_t *socket = secure_bind(secure, ZMQ_ROUTER, world->endpoint, world->server.secret_key);
    zsock_destroy(&socket);
    socket = zsock_new(ZMQ_ROUTER);
    zsock_set_curve_server(socket, 1);
    zsock_set_curve_secretkey(socket, world->server.secret_key);
    zsock_bind(socket, "%s-2", world->endpoint);
    zsock_t *zap = secure_socket(secure);
    zsock_unbind(zap, "inproc://zeromq.zap.01");
    char endpoint[128];
    snprintf(endpoint, sizeof endpoint, "%s-2", world->endpoint);
    secure_self_test(secure, endpoint, world->server.public_key);
}

static void the_self_test_finds_a_server_that_lets_everyone_in(void **state)
{
    ends_saying(self_test_unguarded, *state, "self-test: an unknown key was not refused");  // when, then
}

static void self_test_nobody_there(struct world *world)
{
    secure_t *secure = secure_start(world->registry, may_connect);
    secure_self_test(secure, world->endpoint, world->server.public_key);
}

static void the_self_test_does_not_take_silence_for_a_refusal(void **state)
{
    ends_saying(self_test_nobody_there, *state, "self-test: an unknown key was not refused");  // when, then
}

#define IN_FOLDER(name) cmocka_unit_test_setup_teardown(name, folder_make, world_end)
#define A_TEST(name)    cmocka_unit_test_setup_teardown(name, world_make, world_end)

int main(void)
{
    // Those that fork come first: ZeroMQ does not survive a fork.
    const struct CMUnitTest tests[] = {
        IN_FOLDER(the_own_key_is_read),
        IN_FOLDER(a_secret_key_that_others_can_read_is_refused),
        IN_FOLDER(a_secret_key_that_is_not_the_registered_one_is_refused),
        IN_FOLDER(while_a_key_is_changed_both_are_the_own_one),
        IN_FOLDER(a_port_that_is_taken_ends_the_process),
        IN_FOLDER(the_self_test_finds_a_server_that_lets_everyone_in),
        IN_FOLDER(the_self_test_does_not_take_silence_for_a_refusal),
        A_TEST(the_self_test_passes_on_a_socket_that_is_guarded),
        A_TEST(the_self_test_waits_for_a_server_that_is_slow),
        A_TEST(a_registered_key_is_heard_and_proven),
        A_TEST(an_unknown_key_is_not_heard),
        A_TEST(a_registered_key_without_the_right_to_connect_is_not_heard),
        A_TEST(a_connection_without_curve_is_not_heard),
        A_TEST(nobody_is_heard_while_the_zap_handler_is_gone),
        A_TEST(a_frame_over_the_limit_is_not_heard),
        A_TEST(every_limit_holds_on_a_bound_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
