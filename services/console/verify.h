// verify: recompute all that the event log claims, from the stored bytes alone; entry by entry, so that tests
// can feed it.
#pragma once

#include "console.h"

#include "tree.h"

typedef struct verification verification_t;

// Begin after the entries that a tree is over (an empty one: at position 1) of a log with this head, which must outlive
// it. Of what is not read, the last versions of streams are not known: each may go on from any. Never NULL.
verification_t *verification_new(struct console *console, const Eventlog__V1__Head *head,
                                 const struct tree *before);
void verification_destroy(verification_t **at_p);

// The next entry; ret_leaf (may be NULL) takes its leaf. False, with a sentence that names the position, at the first fault; the arena is then still
// the page's.
bool verification_entry(verification_t *at, const Eventlog__V1__Entry *entry, uint8_t ret_leaf[TREE_HASH],
                        const char **ret_why);

// After the last entry: no id twice, and the root that the head tells. ret takes the root.
bool verification_end(verification_t *at, uint8_t ret[TREE_HASH], const char **ret_why);

// What a command ends with when one of the two was false: the log differs, or it could not be checked (no room on disk).
enum exit_code verification_exit(const verification_t *at);

const struct tree *verification_tree(const verification_t *at);
uint64_t verification_position(const verification_t *at);
size_t verification_streams(const verification_t *at);
