// checkpoints: while the log is recomputed: every checkpoint that the log has signed must be what the tree then is.
#pragma once

#include "console.h"

#include "tree.h"

typedef struct checkpoints checkpoints_t;

// Begin, for a log that ends at `head`. The signatures are checked with the log's public key (--key, LOG_PUB, log.pub
// among BUS_KEYS); without one they are not, and checkpoints_end says so. Never NULL.
checkpoints_t *checkpoints_new(struct console *console, uint64_t head);

// After each entry: is there a checkpoint of this size? EXIT_DONE; EXIT_DIFFERENT, told, when it is not the tree's or not
// signed by the log. Asks the log for the next one now and then.
int checkpoints_check(checkpoints_t *at, const struct tree *tree);

// How many there were.
uint64_t checkpoints_count(const checkpoints_t *at);
bool checkpoints_signed(const checkpoints_t *at);
