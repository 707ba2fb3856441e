// resume: a verification that begins where a checkpoint ends that is trusted.
#pragma once

#include "console.h"

#include "tree.h"

// The tree that a signed checkpoint in a file says, for a log that ends at `head`. The file must be signed by the log
// (--key, LOG_PUB, log.pub among BUS_KEYS). The tree is put together from the log's tiles and must have the checkpoint's
// root, so that nothing before it has to be read and nobody is believed. EXIT_DONE; EXIT_REFUSED, told: the file cannot be
// read or is no checkpoint of this log; EXIT_DIFFERENT, told: the log is not one that goes on from it.
int resume_tree(struct console *console, const char *path, uint64_t head, struct tree *ret);
