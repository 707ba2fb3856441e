// checkpoints: while the log is recomputed: every checkpoint that the log has signed must be what the tree then is.
#pragma once

#include "console.h"

#include "tree.h"

typedef struct checkpoints checkpoints_t;

// Begin after a position, for a log that ends at `head`. The signatures are checked with the log's public keys (--key, LOG_PUB, log.pub
// among BUS_KEYS); where BUS_KEYS has none they are not, and checkpoints_signed says so. EXIT_DONE, or told: a key that was
// given cannot be read.
int checkpoints_new(struct console *console, uint64_t after, uint64_t head, checkpoints_t **ret);

// After each entry: is there a checkpoint of this size? EXIT_DONE; EXIT_DIFFERENT, told, when it is not the tree's or not
// signed by the log. Asks the log for the next one now and then.
int checkpoints_check(checkpoints_t *at, const struct tree *tree);

// How many there were.
uint64_t checkpoints_count(const checkpoints_t *at);
bool checkpoints_signed(const checkpoints_t *at);
