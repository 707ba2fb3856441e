// checkpoints: every checkpoint that the log has signed must be what the tree then is.
#include "checkpoints.h"

#include "receipt.h"

#include "clock/clock.h"
#include "env/env.h"
#include "note/checkpoint.h"
#include "values/values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct checkpoints {
    struct console *console;
    struct note_ring log;  // without keys signatures are not checked
    uint64_t head;
    uint64_t asked;  // the next one covers this position
    uint64_t count;
    uint64_t size;  // the next one's, 0: not known yet
    uint8_t root[TREE_HASH];
    char ahead[UUID_SIZE];  // the question for the one after it, which is under way; "": none is
};

// Without --key and LOG_PUB there may be no key, as where the console runs on its own.
static bool key_is_there(struct console *console)
{
    const char *path = log_public_path(console);

    return option_text(console, "key") != NULL || env_or("LOG_PUB", NULL) != NULL ||
           (path != NULL && access(path, F_OK) == 0);
}

int checkpoints_new(struct console *console, uint64_t after, uint64_t head, checkpoints_t **ret)
{
    checkpoints_t *at = arena_alloc(console->ground, sizeof *at);

    *at = (checkpoints_t){.console = console, .head = head, .asked = after + 1};
    *ret = at;
    return key_is_there(console) ? log_public_keys(console, &at->log) : EXIT_DONE;
}

static int damaged(const checkpoints_t *at, const char *why)
{
    return fault(EXIT_DIFFERENT, "position %llu: its checkpoint is not the log's: %s",
                 (unsigned long long)at->asked, why);
}

static int open_next(checkpoints_t *at, const Eventlog__V1__Checkpoint *told)
{
    arena_t *arena = at->console->arena;
    struct checkpoint checkpoint;
    const char *why;

    if (!checkpoint_read(arena, told->note, strlen(told->note), &at->log, &checkpoint, &why))
        return damaged(at, why);
    if (checkpoint.size != told->size || told->size < at->asked)
        return damaged(at, "it says another size");
    at->size = checkpoint.size;
    memcpy(at->root, checkpoint.root, TREE_HASH);
    return EXIT_DONE;
}

// The one after this is asked for at once, so that nobody waits for it when the tree has come there.
static void ask_ahead(checkpoints_t *at)
{
    Eventlog__V1__GetCheckpoint request = EVENTLOG__V1__GET_CHECKPOINT__INIT;

    request.covers = at->size + 1;
    if (request.covers > at->head)
        return;
    snprintf(at->ahead, sizeof at->ahead, "%s", uuid_new(at->console->arena, clock_real_us()));
    query_ahead(at->console, at->ahead, &request);
}

static int ask_next(checkpoints_t *at)
{
    Eventlog__V1__GetCheckpoint request = EVENTLOG__V1__GET_CHECKPOINT__INIT;
    const Eventlog__V1__Checkpoint *told;
    arena_t *arena = at->console->arena;
    const char *id = at->ahead[0] != '\0' ? arena_text(arena, at->ahead) : uuid_new(arena, clock_real_us());

    request.covers = at->asked;
    at->ahead[0] = '\0';
    int code = ask_message(at->console, NULL, id, &request, &eventlog__v1__checkpoint__descriptor, &told);
    if (code == EXIT_DONE)
        code = open_next(at, told);
    if (code == EXIT_DONE)
        ask_ahead(at);
    return code;
}

int checkpoints_check(checkpoints_t *at, const struct tree *tree)
{
    uint8_t root[TREE_HASH];

    if (at->size == 0 && at->asked <= at->head) {
        int code = ask_next(at);
        if (code != EXIT_DONE)
            return code;
    }
    if (at->size != tree->size)
        return EXIT_DONE;
    tree_root(tree, root);
    if (memcmp(root, at->root, TREE_HASH) != 0)
        return fault(EXIT_DIFFERENT, "position %llu: the log has signed another tree than the one it holds",
                     (unsigned long long)tree->size);
    at->count++;
    at->asked = tree->size + 1;
    at->size = 0;
    return EXIT_DONE;
}

uint64_t checkpoints_count(const checkpoints_t *at)
{
    return at->count;
}

bool checkpoints_signed(const checkpoints_t *at)
{
    return at->log.count > 0;
}
