// folder: a log that tildel-eventlog --export has written (layout.h), checked file by file. Nothing that somebody else wrote is
// believed: sizes are bounded, and every claim is computed again.
#include "console.h"

#include "env/env.h"
#include "layout.h"
#include "limits/limits.h"
#include "note/checkpoint.h"
#include "receipt.h"
#include "values/values.h"
#include "verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct folder {
    struct console *console;
    const char *path;
    int fd;
    bool is_checked;  // the checkpoint's signature, by a key that was given
    struct checkpoint checkpoint;
    Eventlog__V1__Head head;  // as the checkpoint says it
    verification_t *verification;
    struct tiling tiling;
    uint8_t *bundle;  // the bundle in hand
    size_t bundle_size, taken;
    uint8_t beside[TILE * LAYOUT_BESIDE_BYTES + 1], hashes[TILE * TREE_HASH + 1];
    uint8_t large[LIMIT_EVENT_BYTES + 1];
    int code;  // what a tile was refused for
};

static int differs(const struct folder *at, uint64_t position, const char *what)
{
    return fault(EXIT_DIFFERENT, "%s: position %llu: %s", at->path, (unsigned long long)position, what);
}

// -------------------------------------------------------------------------------------------------------------- files

// A whole file of less than `room` bytes. position: of which it is told when it is missing or wrong.
static int read_file(const struct folder *at, const char *name, uint64_t position, uint8_t *to, size_t room,
                     size_t *ret_size)
{
    arena_t *arena = at->console->arena;
    int file = openat(at->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t got = 0;

    *ret_size = 0;
    if (file < 0 && errno == ENOENT)
        return differs(at, position, arena_printf(arena, "%s is missing", name));
    while (file >= 0 && *ret_size < room && (got = read(file, to + *ret_size, room - *ret_size)) > 0)
        *ret_size += (size_t)got;
    int fault_number = errno;
    if (file >= 0)
        close(file);
    if (file < 0 || got < 0)
        return fault(EXIT_REFUSED, "%s/%s cannot be read: %s", at->path, name, strerror(fault_number));
    return *ret_size < room ? EXIT_DONE : differs(at, position, arena_printf(arena, "%s is too long", name));
}

// A file that must have just so many bytes; `to` has room for one more.
static int read_sized(const struct folder *at, const char *name, uint64_t position, uint8_t *to, size_t size)
{
    size_t found;

    int code = read_file(at, name, position, to, size + 1, &found);
    if (code == EXIT_DONE && found != size)
        code = differs(at, position,
                       arena_printf(at->console->arena, "%s has %zu bytes, not %zu", name, found, size));
    return code;
}

// ------------------------------------------------------------------------------------------------------------ entries

// The next entry of the bundle in hand.
static int take_entry(struct folder *at, uint64_t position, ProtobufCBinaryData *ret)
{
    const uint8_t *from = at->bundle + at->taken;
    size_t rest = at->bundle_size - at->taken, size = rest >= 2 ? (size_t)bytes_take(from, 2) : 0;
    char name[LAYOUT_PATH];

    if (rest < 2 || size > rest - 2)
        return differs(at, position, "its bundle ends before it does");
    at->taken += 2 + size;
    *ret = (ProtobufCBinaryData){.data = (uint8_t *)from + 2, .len = size};
    if (size > 0)
        return EXIT_DONE;
    ret->data = at->large;
    layout_large_path(position, name);
    return read_file(at, name, position, at->large, sizeof at->large, &ret->len);
}

// A tile that is full, or does not become it. Those of level 0 are compared leaf by leaf.
static bool compare_tile(void *context, int level, const struct growing_tile *tile)
{
    struct folder *at = context;
    size_t size = (size_t)tile->width * TREE_HASH;
    uint8_t found[TILE * TREE_HASH + 1];
    char name[LAYOUT_PATH];

    if (level == 0)
        return true;
    layout_path(LAYOUT_HASHES, level, tile->index, tile->width, name);
    at->code = read_sized(at, name, at->tiling.tree.size, found, size);
    if (at->code == EXIT_DONE && memcmp(found, tile->hashes, size) != 0)
        at->code = differs(at, at->tiling.tree.size,
                           arena_printf(at->console->arena, "%s is not the tree's", name));
    return at->code == EXIT_DONE;
}

// Whether this is a rehearsal the first event tells; all others must say the same.
static int look_at_first(struct folder *at, ProtobufCBinaryData bytes)
{
    struct message *message = &at->console->message;
    const Eventlog__V1__Event *event;

    message->reason = NULL;
    if (message_decode(message, &eventlog__v1__event__descriptor, bytes.data, bytes.len, &event) != OK)
        return differs(at, 1, message->reason);
    at->head.rehearsal = event->rehearsal;
    return EXIT_DONE;
}

static int check_entry(struct folder *at, int number)
{
    Eventlog__V1__Entry entry = EVENTLOG__V1__ENTRY__INIT;
    const uint8_t *beside = at->beside + number * LAYOUT_BESIDE_BYTES;
    uint8_t leaf[TREE_HASH];
    const char *why;

    arena_reset(at->console->arena);
    entry.position = at->tiling.tree.size + 1;
    entry.appended_at_us = (int64_t)bytes_take(beside, 8);
    entry.epoch = bytes_take(beside + 8, 8);
    int code = take_entry(at, entry.position, &entry.event);
    if (code != EXIT_DONE)
        return code;
    if (entry.position == 1)
        code = look_at_first(at, entry.event);
    if (code == EXIT_DONE && !verification_entry(at->verification, &entry, leaf, &why))
        code = fault(verification_exit(at->verification), "%s: %s", at->path, why);
    if (code == EXIT_DONE && memcmp(leaf, at->hashes + number * TREE_HASH, TREE_HASH) != 0)
        code = differs(at, entry.position, "it does not have the hash that its tile says");
    if (code == EXIT_DONE && !tiling_add(&at->tiling, leaf, compare_tile, at))
        code = at->code;
    return code;
}

static int read_bundle(struct folder *at, uint64_t index, int width)
{
    uint64_t position = index * TILE + 1;
    char name[LAYOUT_PATH];

    arena_reset(at->console->arena);
    at->taken = 0;
    layout_path(LAYOUT_ENTRIES, 0, index, width, name);
    int code = read_file(at, name, position, at->bundle, BUNDLE_BYTES + 1, &at->bundle_size);
    layout_path(LAYOUT_BESIDE, 0, index, width, name);
    if (code == EXIT_DONE)
        code = read_sized(at, name, position, at->beside, (size_t)width * LAYOUT_BESIDE_BYTES);
    layout_path(LAYOUT_HASHES, 0, index, width, name);
    if (code == EXIT_DONE)
        code = read_sized(at, name, position, at->hashes, (size_t)width * TREE_HASH);
    return code;
}

static int check_bundle(struct folder *at, uint64_t index)
{
    uint64_t rest = at->checkpoint.size - index * TILE;
    int width = rest < TILE ? (int)rest : TILE;

    int code = read_bundle(at, index, width);
    for (int i = 0; code == EXIT_DONE && i < width; i++)
        code = check_entry(at, i);
    if (code == EXIT_DONE && at->taken != at->bundle_size)
        code = differs(at, at->tiling.tree.size, "its bundle has more than its entries");
    return code;
}

// ---------------------------------------------------------------------------------------------------------- the whole

// Only a key that was given for it: another log's may lie among BUS_KEYS.
static int load_keys(struct console *console, struct note_ring *ret)
{
    *ret = (struct note_ring){.count = 0};
    if (option_text(console, "witness") != NULL)
        return fault(EXIT_USAGE,
                     "--witness is for a package: an exported log has the log's own checkpoint alone");
    if (option_text(console, "key") == NULL && env_or("LOG_PUB", NULL) == NULL)
        return EXIT_DONE;
    return log_public_keys(console, ret);
}

static int open_checkpoint(struct folder *at)
{
    arena_t *ground = at->console->ground;
    uint8_t *text = arena_alloc(ground, NOTE_BYTES);
    struct note_ring keys;
    const char *why;
    size_t size;

    int code = load_keys(at->console, &keys);
    if (code != EXIT_DONE)
        return code;
    at->fd = open(at->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at->fd < 0)
        return fault(EXIT_REFUSED, "%s cannot be opened: %s", at->path, strerror(errno));
    if (faccessat(at->fd, "checkpoint", F_OK, 0) != 0)
        return fault(EXIT_REFUSED,
                     "%s is no exported log, or one whose export did not end: it has no checkpoint",
                     at->path);
    code = read_file(at, "checkpoint", 0, text, NOTE_BYTES, &size);
    if (code != EXIT_DONE)
        return code;
    at->is_checked = keys.count > 0;
    return checkpoint_read(ground, text, size, &keys, &at->checkpoint, &why)
               ? EXIT_DONE
               : fault(EXIT_DIFFERENT, "%s: its checkpoint is not the log's: %s", at->path, why);
}

static int check_all(struct folder *at)
{
    static const struct tree none = {0};
    const char *why;
    uint8_t root[TREE_HASH];
    int code = EXIT_DONE;

    at->head = (Eventlog__V1__Head)EVENTLOG__V1__HEAD__INIT;
    at->head.position = at->checkpoint.size;
    at->head.root = (ProtobufCBinaryData){.data = at->checkpoint.root, .len = TREE_HASH};
    at->verification = verification_new(at->console, &at->head, &none);
    for (uint64_t index = 0; code == EXIT_DONE && at->tiling.tree.size < at->checkpoint.size; index++) {
        code = check_bundle(at, index);
        progress("verifying", at->tiling.tree.size, at->checkpoint.size);
        if (code == EXIT_DONE && stop_wanted(at->console))
            code = fault(EXIT_REFUSED, "stopped at position %llu", (unsigned long long)at->tiling.tree.size);
    }
    progress_end();
    if (code == EXIT_DONE && !tiling_rest(&at->tiling, compare_tile, at))
        code = at->code;
    if (code == EXIT_DONE && !verification_end(at->verification, root, &why))
        code = fault(verification_exit(at->verification), "%s: %s", at->path, why);
    return code;
}

static void print_facts(const struct folder *at)
{
    const char *root = hex(at->console->ground, at->checkpoint.root, TREE_HASH);
    unsigned long long size = at->checkpoint.size;
    size_t streams = verification_streams(at->verification);

    if (at->console->json)
        printf("{\"verified\": true, \"log\": \"%s\", \"events\": %llu, \"streams\": %zu, \"root\": \"%s\", "
               "\"rehearsal\": %s, \"signature_checked\": %s}\n",
               at->checkpoint.origin, size, streams, root, at->head.rehearsal ? "true" : "false",
               at->is_checked ? "true" : "false");
    else
        printf("verified: %llu events in %zu streams, root %s of log %s%s; %s\n", size, streams, root,
               at->checkpoint.origin, at->head.rehearsal ? " (a rehearsal)" : "",
               at->is_checked ? "signed by the log"
                              : "its checkpoint's signature unchecked: give --key log.pub");
}

int run_verify_folder(struct console *console)
{
    struct folder *at = calloc(1, sizeof *at);

    assert(at != NULL);
    *at = (struct folder){
        .console = console, .path = console->arguments[0], .fd = -1, .bundle = malloc(BUNDLE_BYTES + 1)};
    assert(at->bundle != NULL);
    int code = open_checkpoint(at);
    if (code == EXIT_DONE)
        code = check_all(at);
    if (code == EXIT_DONE)
        print_facts(at);
    if (at->verification != NULL)
        verification_destroy(&at->verification);
    if (at->fd >= 0)
        close(at->fd);
    free(at->bundle);
    free(at);
    return code;
}
