// verify: recompute everything the log claims, straight from the database.
#include "eventlog.h"

#include "clock/clock.h"
#include "eventlog_store.sql.h"
#include "values/values.h"

#include <czmq.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define VERIFY_PAGE 1000

// Where a verification stands.
struct verification {
    struct tree tree;
    uint8_t tiles[TREE_TILES][TREE_HASH];  // the roots of those that the last leaf completed
    zhashx_t *versions;                    // stream -> last version
    struct rows roots;                     // a page of recorded roots
    int root;                              // the next of them
    uint64_t rooted;                       // position of the last one checked
    struct rows notes;                     // a page of checkpoints
    int note;                              // the next of them
    uint64_t noted;                        // size of the last one checked
    const struct note_key *key;            // whose signature they must have; NULL: not looked at
    int64_t told_ms;
};

static status_t differs(struct message *message, uint64_t position, const char *what)
{
    return fail(message, POISON, "position %llu: %s", (unsigned long long)position, what);
}

static status_t check_stream(struct verification *at, struct message *message, const char *stream,
                             int64_t version)
{
    intptr_t last = (intptr_t)zhashx_lookup(at->versions, stream);

    if (version != (int64_t)last + 1)
        return differs(message, at->tree.size + 1,
                       arena_printf(message->arena, "stream %s goes from version %jd to %lld", stream,
                                    (intmax_t)last, (long long)version));
    zhashx_update(at->versions, stream, (void *)(intptr_t)version);
    return OK;
}

// The bytes must say the same as the columns beside them.
static status_t check_columns(struct message *message, uint64_t position, ProtobufCBinaryData bytes,
                              const char *stream, int64_t version)
{
    struct message own = message_new(message->arena);  // the first reason stays: it must be ours, with the position
    const Event *event;

    if (message_decode(&own, &eventlog__v1__event__descriptor, bytes.data, bytes.len, &event) != OK)
        return differs(message, position, arena_printf(message->arena, "not an event: %s", own.reason));
    if (strcmp(event->stream, stream) != 0 || (int64_t)event->version != version)
        return differs(message, position, "the bytes name another stream or version than the row");
    return OK;
}

// The tiles that the last leaf completed, each with its row.
static status_t check_tiles(struct verification *at, struct message *message, int full)
{
    struct rows rows;

    for (int level = 0; level < full; level++) {
        int64_t index = (int64_t)(at->tree.size >> 8 * (level + 1)) - 1;
        status_t status = RUN(message, read_tiles, &rows, INT(level), INT(index), INT(1));
        if (status != OK)
            return status;
        if (rows.count == 0 || row_int(&rows, 0, 0) != index)
            return differs(
                message, at->tree.size,
                arena_printf(message->arena, "tile %lld of level %d is missing", (long long)index, level));
        if (memcmp(at->tiles[level], row_bytes(&rows, 0, 1).data, TREE_HASH) != 0)
            return differs(message, at->tree.size,
                           arena_printf(message->arena, "tile %lld of level %d is not the tree's",
                                        (long long)index, level));
    }
    return OK;
}

static status_t check_note(struct verification *at, struct message *message, const char *text)
{
    struct checkpoint checkpoint;
    struct note note;
    uint8_t root[TREE_HASH];
    const char *why = NULL;

    bool well = note_parse(message->arena, text, strlen(text), &note, &why) &&
                checkpoint_parse(message->arena, note.text, &checkpoint, &why) &&
                (at->key == NULL || note_verify(message->arena, &note, at->key, NULL, &why));
    if (!well)
        return differs(message, at->tree.size,
                       arena_printf(message->arena, "its checkpoint is damaged: %s", why));
    tree_root(&at->tree, root);
    if (checkpoint.size != at->tree.size || memcmp(checkpoint.root, root, TREE_HASH) != 0)
        return differs(message, at->tree.size, "its checkpoint says another size or root than the tree's");
    return OK;
}

// Is there a checkpoint of this size? Then it must be the tree's.
static status_t check_checkpoint(struct verification *at, struct message *message)
{
    status_t status = OK;

    if (at->note == at->notes.count) {
        status = RUN(message, checkpoints, &at->notes, INT((int64_t)at->noted), INT(64));
        at->note = 0;
    }
    if (status != OK || at->notes.count == 0 || row_int(&at->notes, at->note, 0) != (int64_t)at->tree.size)
        return status;
    status = check_note(at, message, row_text(&at->notes, at->note, 1));
    at->noted = at->tree.size;
    at->note++;
    return status;
}

static status_t check_row(struct verification *at, struct message *message, const struct rows *rows, int row)
{
    ProtobufCBinaryData stored = row_bytes(rows, row, 1), bytes = row_bytes(rows, row, 2);
    uint8_t leaf[TREE_HASH];

    if (row_int(rows, row, 0) != (int64_t)at->tree.size + 1)
        return differs(message, at->tree.size + 1, "missing");
    tree_leaf(bytes.data, bytes.len, leaf);
    if (stored.len != TREE_HASH || memcmp(leaf, stored.data, TREE_HASH) != 0)
        return differs(message, at->tree.size + 1, "the bytes do not have the recorded leaf hash");
    status_t status = check_columns(message, at->tree.size + 1, bytes, row_text(rows, row, 3),
                                    row_int(rows, row, 4));
    if (status == OK)
        status = check_stream(at, message, row_text(rows, row, 3), row_int(rows, row, 4));
    if (status == OK)
        status = check_tiles(at, message, tree_add_tiles(&at->tree, leaf, at->tiles));
    return status;
}

// Is a root recorded for where the tree stands? Then it must be the tree's.
static status_t check_root(struct verification *at, struct message *message)
{
    uint8_t root[TREE_HASH];
    status_t status = OK;

    if (at->root == at->roots.count) {
        status = RUN(message, read_roots, &at->roots, INT((int64_t)at->rooted), INT(VERIFY_PAGE));
        at->root = 0;
    }
    if (status != OK || at->roots.count == 0 || row_int(&at->roots, at->root, 0) != (int64_t)at->tree.size)
        return status;
    tree_root(&at->tree, root);
    ProtobufCBinaryData recorded = row_bytes(&at->roots, at->root, 1);
    if (recorded.len != TREE_HASH || memcmp(root, recorded.data, TREE_HASH) != 0)
        return differs(message, at->tree.size, "the tree does not have the recorded root");
    at->rooted = at->tree.size;
    at->root++;
    return OK;
}

// Where each version of each stream is said to stand: a wrong place would let a version be stored twice.
static status_t check_places(struct message *message, uint64_t from, uint64_t to)
{
    struct rows rows;

    status_t status = RUN(message, misplaced, &rows, INT((int64_t)from), INT((int64_t)to));
    if (status == OK && rows.count > 0)
        return differs(message, (uint64_t)row_int(&rows, 0, 0),
                       "its stream and version are not recorded at its place");
    return status;
}

static status_t verify_page(struct verification *at, struct message *message, int *ret_count)
{
    struct rows rows;

    at->roots = (struct rows){0};  // the arena was reset: read again from the last one checked
    at->root = 0;
    at->notes = (struct rows){0};
    at->note = 0;
    status_t status = RUN(message, read_leaves, &rows, INT((int64_t)at->tree.size), INT(VERIFY_PAGE));
    for (int row = 0; status == OK && row < rows.count; row++) {
        status = check_row(at, message, &rows, row);
        if (status == OK)
            status = check_root(at, message);
        if (status == OK)
            status = check_checkpoint(at, message);
    }
    if (status == OK && rows.count > 0)
        status = check_places(message, at->tree.size - (uint64_t)rows.count, at->tree.size);
    *ret_count = status == OK ? rows.count : 0;
    return status;
}

// Nothing may be recorded beyond where the log ends.
static status_t verify_beyond(struct verification *at, struct message *message)
{
    struct rows rows;

    status_t status = RUN(message, checkpoints, &rows, INT((int64_t)at->tree.size), INT(1));
    if (status == OK && rows.count > 0)
        return differs(message, at->tree.size,
                       arena_printf(message->arena, "the log ends here and a checkpoint covers %lld",
                                    (long long)row_int(&rows, 0, 0)));
    if (status == OK)
        status = RUN(message, read_roots, &rows, INT((int64_t)at->tree.size), INT(1));
    if (status == OK && rows.count > 0)
        return differs(message, at->tree.size, "the log ends here and a root is recorded beyond it");
    if (status == OK)
        status = RUN0(message, count_places, &rows);
    if (status == OK && row_int(&rows, 0, 0) != (int64_t)at->tree.size)
        return differs(message, at->tree.size, "there are more places recorded than events");
    for (int level = 0; status == OK && level < TREE_TILES; level++) {
        status = RUN(message, tile_next, &rows, INT(level));
        uint64_t full = level < 7 ? at->tree.size >> 8 * (level + 1) : 0;
        if (status == OK && (uint64_t)row_int(&rows, 0, 0) > full)
            return differs(message, at->tree.size, "the log ends here and a tile is recorded beyond it");
    }
    return status;
}

static status_t verify_head(struct verification *at, struct message *message)
{
    struct rows rows;
    uint8_t root[TREE_HASH];

    status_t status = RUN0(message, load_head, &rows);
    if (status != OK || rows.count == 0)
        return status;
    tree_root(&at->tree, root);
    if (row_int(&rows, 0, 0) != (int64_t)at->tree.size)
        return differs(message, at->tree.size,
                       arena_printf(message->arena, "the log ends here and its head says %lld",
                                    (long long)row_int(&rows, 0, 0)));
    if (memcmp(root, row_bytes(&rows, 0, 4).data, TREE_HASH) != 0)
        return differs(message, at->tree.size, "the tree does not have the head's root");
    return verify_beyond(at, message);
}

static void tell(struct verification *at, int64_t head, bool progress)
{
    if (!progress || clock_stopwatch_ms() - at->told_ms < 1000)
        return;
    at->told_ms = clock_stopwatch_ms();
    fprintf(stderr, "\rverified %" PRIu64 " of %" PRId64, at->tree.size, head);
}

int log_verify(struct message *message, const struct note_key *key, bool progress)
{
    struct verification at = {.key = key, .versions = zhashx_new(), .told_ms = clock_stopwatch_ms()};
    struct rows rows;
    uint8_t root[TREE_HASH];
    int count = 1;

    status_t status = db_connect(message);
    if (status == OK)
        status = RUN0(message, load_head, &rows);
    int64_t head = status == OK && rows.count == 1 ? row_int(&rows, 0, 0) : 0;
    while (status == OK && count > 0) {
        arena_reset(message->arena);
        status = verify_page(&at, message, &count);
        tell(&at, head, progress);
    }
    if (status == OK)
        status = verify_head(&at, message);
    tree_root(&at.tree, root);
    if (status == OK)
        printf("{\"verified\":true,\"events\":%" PRIu64 ",\"streams\":%zu,\"root\":\"%s\"}\n", at.tree.size,
               zhashx_size(at.versions), hex(message->arena, root, TREE_HASH));
    else
        printf("{\"verified\":false,\"events\":%" PRIu64 ",\"fault\":\"%s\"}\n", at.tree.size,
               message->reason);
    zhashx_destroy(&at.versions);
    return status == OK ? 0 : status == POISON ? 4 : 1;
}
