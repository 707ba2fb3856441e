// package: the auditor's package, written and read as FORMAT.md says: one tar archive, streamed through libarchive,
// which keeps nothing but the member in hand; the hashes of those before it stand in a temporary file (see sums.h).
#pragma once

#include "walk.h"

#include "tree.h"

#define PACKAGE_FORMAT "tildel-audit-1"

// ------------------------------------------------------------------------------------------------------- writing

typedef struct package package_t;

// Begin a package that will be called path. It is written beside it under another name and gets its own at
// package_finish; nothing is ever overwritten. NULL with a sentence.
package_t *package_new(arena_t *ground, const char *path, int64_t made_at_us, const char **ret_why);

// One member, whole. False with a sentence: the disk is full, for example.
bool package_add(package_t *package, const char *name, const void *bytes, size_t size, const char **ret_why);

// The sums, the end, all on disk, and the name. False with a sentence.
bool package_finish(package_t *package, const char **ret_why);

// Forget it; what was not finished is gone. NULL is allowed.
void package_destroy(package_t **package_p);

// ------------------------------------------------------------------------------------------------ when it was made

// No package was made before what it holds. The clocks of several machines may differ by a minute.
struct package_time {
    int64_t event_us;         // when the newest of its events was made; 0: none tells
    uint64_t event_position;  // and which it is
    int64_t witnessed_at_us;  // when a witness cosigned its checkpoint; 0: none did
};

// One more event is in it. It was made at its instant, and in the millisecond of its id where that is a UUIDv7; in a
// rehearsal, whose calendar is moved, the id alone counts.
void package_time_event(struct package_time *time, const Eventlog__V1__Event *event, uint64_t position);

// Its checkpoint, and the key of the witness that it names; what that key has not cosigned tells nothing.
void package_time_checkpoint(struct package_time *time, arena_t *arena, const void *note, size_t size,
                             const char *witness);

// Can it have been made at this instant, and not after now? False with a sentence.
bool package_time_allows(arena_t *arena, const struct package_time *time, int64_t made_at_us,
                         const char **ret_why);

// ------------------------------------------------------------------------------------------------------- reading

// What a package says of itself. FORMAT.md says what of it is proven.
struct package_facts {
    const char *log_id, *root, *call_id, *case_id;
    bool rehearsal, is_signed;
    bool is_checked;             // the checkpoint's signature, by a key that was given
    int64_t witnessed_at_s;      // seconds since 1970: a witness whose key was given has cosigned it then; else 0
    uint64_t size, selected, first, last, documents;
    int64_t made_at_us;
    uint64_t members, bytes;
};

// A member: its name, and its bytes until the next one. SHA256SUMS alone comes in pieces.
typedef int member_f(void *context, struct console *console, const char *name, const uint8_t *bytes,
                     size_t size);

// Read a package from its beginning to its end, showing each member. EXIT_DONE, or what visit returned, or
// EXIT_REFUSED with a sentence when it cannot be read, is none, or was not finished.
int package_read(struct console *console, const char *path, member_f *visit, void *context);

// Visit every event that is here in order, as log_walk does with the log's; its entry tells the position alone.
int package_walk(struct console *console, const char *path, visit_f *visit, void *context);

// Check all that the package claims: every sum, every record, the tree, the streams, the documents' hashes, the
// timeline, the checkpoint, what it was made of and when; and its signatures by the keys that --key and --witness name. Its
// log_id is bound to nothing that is signed and stays a label. EXIT_DONE with the facts; EXIT_DIFFERENT with a sentence at the
// first fault.
int package_verify(struct console *console, const char *path, struct package_facts *ret);
