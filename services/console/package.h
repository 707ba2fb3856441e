// package: the auditor's package, written and read as FORMAT.md says: one tar archive, streamed through libarchive,
// which keeps nothing but the member in hand.
#pragma once

#include "console.h"

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

// ------------------------------------------------------------------------------------------------------- reading

// What a package says of itself.
struct package_facts {
    const char *log_id, *root, *call_id, *case_id;
    bool rehearsal, is_signed;
    bool is_checked;             // the checkpoint's signature, by a key that was given
    int64_t witnessed_at_s;      // seconds since 1970: a witness whose key was given has cosigned it then; else 0
    uint64_t size, selected, first, last, documents;
    int64_t made_at_us;
    uint64_t members, bytes;
};

// A member: its name, and its bytes until the next one.
typedef int member_f(void *context, struct console *console, const char *name, const uint8_t *bytes,
                     size_t size);

// Read a package from its beginning to its end, showing each member. EXIT_DONE, or what visit returned, or
// EXIT_REFUSED with a sentence when it cannot be read, is none, or was not finished.
int package_read(struct console *console, const char *path, member_f *visit, void *context);

// Check all that the package claims: every sum, every record, the tree, the streams, the documents' hashes, the
// timeline, the checkpoint; and its signatures by the keys that --key and --witness name. EXIT_DONE with the facts; EXIT_DIFFERENT with a sentence at the first fault.
int package_verify(struct console *console, const char *path, struct package_facts *ret);
