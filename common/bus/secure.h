// secure: sockets that only registered keys can talk to. Used by the broker and by the event log's feed.
//
// Traps of libzmq 4.3.4 that this module answers: CURVE without a ZAP handler lets everyone in; a routing id
// that a peer sets can squat a name; limits not read back may not hold; zauth overflows on long metadata.
#pragma once

#include "bus/registry.h"

#include <czmq.h>

typedef struct secure secure_t;

// One key pair in Z85, 40 characters each.
struct key_pair {
    char public_key[41];
    char secret_key[41];
};

// Read this process's own key pair from folder/NAME.secret.zpl (a CZMQ certificate). Ends the process with a
// sentence when it is missing, readable by group or others, malformed, or when its public half is not the one
// registered under name.
struct key_pair secure_own_key(const char *folder, const char *name, const registry_t *registry);

// Start our own ZAP handler (in this process's one ZeroMQ context, before any server socket; one per
// process). which_may says for each registered key whether it may connect here. Answers are drawn from
// registry, which must outlive it. secure_turn must be called whenever secure_socket (a readable socket) has
// input: there is no thread.
secure_t *secure_start(registry_t *registry, bool (*which_may)(const struct registered *key));
void secure_destroy(secure_t **secure_p);
zsock_t *secure_socket(secure_t *secure);
void secure_turn(secure_t *secure);

// Make a server socket of the given type with CURVE, ZAP enforced, every limit set and read back, and bind
// it. Ends the process with a sentence when any of this fails (port taken, option not honoured).
zsock_t *secure_bind(secure_t *secure, int type, const char *endpoint, const char *secret_key);

// Prove that the socket bound last refuses an unknown key and accepts a known one; ends the process if not.
// endpoint is where it was bound. Call it before the first receive. Takes milliseconds; where
// no answer comes, 10 s until the process ends.
void secure_self_test(secure_t *secure, const char *endpoint, const char *server_public_key);

// Make a client socket with CURVE and every limit set and read back, and connect it.
zsock_t *secure_connect(int type, const char *endpoint, const char *server_public_key, const char *public_key,
                        const char *secret_key);

// The public key (Z85) our ZAP handler proved for the peer that sent this frame; "" when there is none. Never
// use the first frame of a message: libzmq 4.3.4 loses its metadata after a poll.
const char *secure_peer(zframe_t *frame);
