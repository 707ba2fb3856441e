// registry: which public keys exist, what each may serve, whom it may ask and for whom it may speak.
//
// registry.zpl (ZPL, zeromq RFC 4), one section a key:
//     intake
//         public = "40 characters of Z85"
//         serves = "intake"                  names it may offer; "" none
//         asks = "eventlog"                  names it may send requests to; "*" all
//         feed = "yes"                       may follow the event log's feed
//         speaks = "self"                    words: self: as itself (role SERVICE, subject the key's name)
//                                            any: for any person; only in a rehearsal
//                                            a role, or one for an organisation: "READER EDITOR:958935420"
//         not_before = "2026-01-01T00:00:00Z"   optional, real clock
//         not_after = "2027-01-01T00:00:00Z"    optional
//
// A second key of the same name, so that a key can be changed while processes with either run (tildel-keys --rotate):
//     intake-1
//         public = "40 other characters"
//         of = "intake"                      it is intake, with intake's rights, whatever the section is called
//         not_after = "2026-01-02T00:00:00Z"    required: when the old key ends
// A changed file is read again within a second, as is the end of a date; a removed key is refused from its next message
// on. A file that is just being written, or was written only halfway, is not taken (see seal.h).
#pragma once

#include "bus_v1.pb-c.h"

#include <stdbool.h>

typedef struct registry registry_t;

// Does a field of names divided by spaces, such as `asks`, hold this one?
bool words_hold(const char *words, const char *wanted);

// One key's rights. Lives until the next registry_refresh.
struct registered {
    const char *name;        // of whom it is, also for a second key
    const char *public_key;  // Z85
    const char *serves;
    const char *asks;
    const char *speaks;
    bool feed;
};

// Read the file; ends the process with a sentence (file, section, what is wrong) when it is missing, malformed or has no
// key. Waits up to two seconds while it is being written.
registry_t *registry_load(const char *path, bool rehearsal);
void registry_destroy(registry_t **registry_p);

// Read the file again if it changed; true when it did and the new version is in force, or when a key's date has come. A
// malformed new version is alarmed and the old one stays. Costs one stat.
bool registry_refresh(registry_t *registry);

// The entry of a key that is valid now, by public key or by name; NULL when there is none. By name it is the newest key,
// never a second one.
const struct registered *registry_by_key(const registry_t *registry, const char *public_key);
const struct registered *registry_by_name(const registry_t *registry, const char *name);

// Does any key that is valid now serve this name?
bool registry_serves(const registry_t *registry, const char *service);

bool registered_serves(const struct registered *key, const char *service);
bool registered_asks(const struct registered *key, const char *service);
// May this key speak for this actor? On false *ret_why is a sentence, good until the next call.
bool registered_speaks(const registry_t *registry, const struct registered *key, const Bus__V1__Actor *actor,
                       const char **ret_why);
