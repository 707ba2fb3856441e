// plain: what a process is started with (LD_PRELOAD) to speak without encryption, so that the price of CURVE is seen.
//
// The programs that are measured know no such mode and must not. Here CURVE's options become those of ZeroMQ's PLAIN
// mechanism, with the public key as the user's name, and what libzmq then asks the ZAP handler is turned back into the
// question about a key that it expects. Everything else is the same, the registry of keys included.
#include <assert.h>
#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>
#include <zmq.h>

#define KEY_TEXT  41
#define KEY_BYTES 32
#define KEPT      256

// The texts of keys, as they were set, to be read back. By socket and option; the oldest is forgotten.
static struct kept {
    void *socket;
    int option;
    char text[KEY_TEXT];
} kept[KEPT];
static int next_kept;

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    assert(found);
    return found;
}

static int set(void *socket, int option, const void *value, size_t size)
{
    static int (*real_set)(void *, int, const void *, size_t);
    if (!real_set)
        *(void **)&real_set = real("zmq_setsockopt");
    return real_set(socket, option, value, size);
}

static int keep(void *socket, int option, const char *value, size_t size)
{
    struct kept *one = &kept[next_kept++ % KEPT];
    *one = (struct kept){.socket = socket, .option = option};
    memcpy(one->text, value, size < KEY_TEXT ? size : KEY_TEXT - 1);
    // Only clients set their public key.
    if (option != ZMQ_CURVE_PUBLICKEY)
        return 0;
    return set(socket, ZMQ_PLAIN_USERNAME, one->text, strlen(one->text)) == 0
               ? set(socket, ZMQ_PLAIN_PASSWORD, "-", 1)
               : -1;
}

static bool is_key(int option)
{
    return option == ZMQ_CURVE_PUBLICKEY || option == ZMQ_CURVE_SECRETKEY || option == ZMQ_CURVE_SERVERKEY;
}

int zmq_setsockopt(void *socket, int option, const void *value, size_t size)
{
    if (is_key(option))
        return keep(socket, option, value, size);
    return set(socket, option == ZMQ_CURVE_SERVER ? ZMQ_PLAIN_SERVER : option, value, size);
}

int zmq_getsockopt(void *socket, int option, void *value, size_t *size)
{
    static int (*real_get)(void *, int, void *, size_t *);
    if (!real_get)
        *(void **)&real_get = real("zmq_getsockopt");
    for (int i = 0; is_key(option) && i < KEPT; i++) {
        const struct kept *one = &kept[(next_kept + KEPT - 1 - i) % KEPT];
        if (one->socket == socket && one->option == option) {
            memcpy(value, one->text, KEY_TEXT);
            *size = KEY_TEXT;
            return 0;
        }
    }
    return real_get(socket, option == ZMQ_CURVE_SERVER ? ZMQ_PLAIN_SERVER : option, value, size);
}

static int receive(zmq_msg_t *message, void *socket, int flags)
{
    static int (*real_receive)(zmq_msg_t *, void *, int);
    if (!real_receive)
        *(void **)&real_receive = real("zmq_msg_recv");
    return real_receive(message, socket, flags);
}

static bool is(zmq_msg_t *message, const char *text)
{
    return zmq_msg_size(message) == strlen(text) && memcmp(zmq_msg_data(message), text, strlen(text)) == 0;
}

// The ZAP handler's sixth frame is the mechanism, the seventh and eighth are name and password.
int zmq_msg_recv(zmq_msg_t *message, void *socket, int flags)
{
    static __thread void *asking;  // the socket whose next frame is a name
    int size = receive(message, socket, flags);

    if (size < 0)
        return size;
    if (asking == socket) {
        char name[KEY_TEXT] = "";
        zmq_msg_t password;
        asking = NULL;
        memcpy(name, zmq_msg_data(message), (size_t)size < KEY_TEXT ? (size_t)size : KEY_TEXT - 1);
        zmq_msg_init(&password);
        receive(&password, socket, 0);
        zmq_msg_close(&password);
        zmq_msg_close(message);
        zmq_msg_init_size(message, KEY_BYTES);
        if (strlen(name) != KEY_TEXT - 1 || !zmq_z85_decode(zmq_msg_data(message), name))
            memset(zmq_msg_data(message), 0, KEY_BYTES);
        return KEY_BYTES;
    }
    if (is(message, "PLAIN") && zmq_msg_more(message)) {
        memcpy(zmq_msg_data(message), "CURVE", 5);
        asking = socket;
    }
    return size;
}
