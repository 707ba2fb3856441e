// witness_steps: a witness that hears a small log and cosigns it, step by step, so that it can be killed at every system
// call. witness_steps DIR: goes on from what DIR holds to 12 events, and says "cosigned N" after each checkpoint.
// Exit codes: 0 all is cosigned, 1 the disk is refused or fails (a sentence on standard error).
#include "witness.h"

#include "limits/limits.h"
#include "values/values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EVENTS 12
#define STEP   4

static Eventlog__V1__Entry *an_entry(arena_t *arena, uint64_t position)
{
    Eventlog__V1__Event event = EVENTLOG__V1__EVENT__INIT;
    Eventlog__V1__Entry *entry = arena_alloc(arena, sizeof *entry);

    event.id = uuid_from(arena, arena_printf(arena, "%d", (int)position));
    event.version = position;
    eventlog__v1__entry__init(entry);
    entry->position = position;
    entry->event.data = message_encode(arena, &event, &entry->event.len);
    return entry;
}

// The sentence may be written by what makes `well`: hence its address.
static void fail_unless(bool well, const char *const *why)
{
    if (well)
        return;
    fprintf(stderr, "%s\n", *why);
    exit(1);
}

// One step of the log: its next events on the feed, its head, its checkpoint.
static void step(struct judge *judge, arena_t *arena, struct tree *tree, const struct note_signer *log)
{
    Eventlog__V1__Published published = EVENTLOG__V1__PUBLISHED__INIT;
    Eventlog__V1__Head head = EVENTLOG__V1__HEAD__INIT;
    Eventlog__V1__Entry *entries[STEP];
    uint8_t root[TREE_HASH];
    const char *why = "";

    for (int i = 0; i < STEP; i++) {
        uint8_t leaf[TREE_HASH];
        entries[i] = an_entry(arena, tree->size + 1);
        tree_leaf(entries[i]->event.data, entries[i]->event.len, leaf);
        tree_add(tree, leaf);
    }
    tree_root(tree, root);
    head.position = tree->size;
    head.root = (ProtobufCBinaryData){.data = root, .len = TREE_HASH};
    published.head = &head;
    published.entries = entries;
    published.n_entries = STEP;
    fail_unless(judge_published(judge, arena, &published, 1, &why), &why);
    fail_unless(judge_checkpoint(judge, arena, checkpoint_sign(arena, log, tree->size, root), 1, &why), &why);
}

static void tell(uint64_t size)
{
    char line[64];
    int length = snprintf(line, sizeof line, "cosigned %llu\n", (unsigned long long)size);

    fail_unless(write(STDOUT_FILENO, line, (size_t)length) == length,
                &(const char *){"standard output cannot be written"});
}

int main(int argc, char **argv)
{
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    struct note_signer log;
    struct store store;
    struct judge judge = {.store = &store};
    struct tree tree = {0};
    const char *why = "";

    fail_unless(argc == 2, &(const char *){"usage: witness_steps DIR"});
    note_signer_make("log.example/k", NOTE_PLAIN, (const uint8_t *)"0123456789abcdef0123456789abcdef", &log);
    note_signer_make("witness.example/k", NOTE_COSIGNATURE,
                     (const uint8_t *)"abcdef0123456789abcdef0123456789", &judge.signer);
    judge.log = (struct note_ring){.keys = {log.key}, .count = 1};
    fail_unless(store_open(&store, argv[1], &judge.log, &judge.signer.key, &why), &why);
    judge.trusted = store.tree;
    if (store.confirmed.size > 0)
        tell(store.confirmed.size);  // what an earlier run has told must be among it
    while (tree.size < EVENTS) {
        step(&judge, arena, &tree, &log);
        fail_unless(judge.alarm[0] == '\0', &(const char *){judge.alarm});
        if (tree.size == store.confirmed.size)
            tell(tree.size);
    }
    fail_unless(store.confirmed.size == EVENTS, &(const char *){"not everything was cosigned"});
    store_close(&store);
    arena_destroy(&arena);
    return 0;
}
