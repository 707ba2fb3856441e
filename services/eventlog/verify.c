// verify: recompute everything the log claims, straight from the database.
//
// The entries come as a stream, so a log of any length needs the memory of one entry, and of the streams' last versions. A
// chunk of them at a time is looked at as it stands in one instant, with what is recorded of the tree over it: the log may
// go on meanwhile. (One look at the whole would keep the server from clearing up behind the head's row until it ends; only
// the places, which are short, are read at once.)
#include "eventlog.h"

#include "eventlog_store.sql.h"
#include "limits/limits.h"
#include "progress/progress.h"
#include "values/values.h"
#include "versions.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERIFY_CHUNK 20000  // entries

// What is recorded of the tree over a chunk, in the order in which the entries reach it.
struct recorded {
    struct rows rows;
    int next;
    int64_t position;  // of the next, which is there; 0: there is none
};

// A set of places (where which version of which stream stands, with its leaf) in two numbers: the sums of keyed hashes,
// whatever their order. The key is made for this run, so nobody could choose places that come to the sums of others.
struct places {
    uint64_t sums[2];
};

// Where a verification stands.
struct verification {
    struct message *message;
    arena_t *hand;  // one entry
    struct tree tree;
    uint8_t tiles[TREE_TILES][TREE_HASH];  // the roots of those that the last leaf completed
    versions_t *versions;                  // of every stream
    uint8_t place_key[crypto_shorthash_siphashx24_KEYBYTES];
    struct places entered, placed;  // that the entries have, and that the table of places has
    struct recorded root, note, tile;
    const struct note_ring *keys;  // checkpoints must have the signature of one; NULL: not looked at
};

static status_t differs(struct message *message, uint64_t position, const char *what)
{
    return fail(message, POISON, "position %llu: %s", (unsigned long long)position, what);
}

static status_t check_stream(struct verification *at, const char *stream, struct name name, int64_t version)
{
    int64_t *last = versions_of(at->versions, name);

    if (version != *last + 1)
        return differs(at->message, at->tree.size + 1,
                       arena_printf(at->hand, "stream %s goes from version %lld to %lld", stream,
                                    (long long)*last, (long long)version));
    *last = version;
    return OK;
}

// Numbers of fields of an eventlog.v1.Event.
enum { FIELD_STREAM = 4, FIELD_VERSION = 5 };

// What an event says of its place.
struct said {
    ProtobufCBinaryData stream;
    uint64_t version;
};

// A number of protobuf's wire format: seven bits a byte, the lowest first. False when it does not end within the bytes.
static bool take_number(const uint8_t **at, const uint8_t *end, uint64_t *ret)
{
    *ret = 0;
    for (int shift = 0; *at < end && shift < 64; shift += 7) {
        uint8_t byte = *(*at)++;
        *ret |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

// Read the fields stream and version among an event's own, which stand in the order of their numbers, without decoding
// the others: that costs more than all the rest of an entry. That they are in order was seen when the event was appended;
// here its leaf tells that it is the same. False: these bytes are no event.
static bool read_said(ProtobufCBinaryData bytes, struct said *ret)
{
    const uint8_t *at = bytes.data, *end = bytes.data + bytes.len;
    uint64_t key, value, last = 0;

    *ret = (struct said){.stream.data = (uint8_t *)""};
    while (at < end) {
        if (!take_number(&at, end, &key) || key >> 3 <= last || !take_number(&at, end, &value))
            return false;
        last = key >> 3;
        if ((key & 7) == 0) {  // a number
            ret->version = last == FIELD_VERSION ? value : ret->version;
        } else if ((key & 7) == 2 && value <= (size_t)(end - at)) {  // bytes, with their size before them
            if (last == FIELD_STREAM)
                ret->stream = (ProtobufCBinaryData){.data = (uint8_t *)at, .len = (size_t)value};
            at += value;
        } else {
            return false;
        }
    }
    return true;
}

// The bytes must say the same as the columns beside them.
static status_t check_columns(struct verification *at, ProtobufCBinaryData bytes, const char *stream,
                              int64_t version)
{
    uint64_t position = at->tree.size + 1;
    size_t length = strlen(stream);
    struct said said;

    if (!read_said(bytes, &said))
        return differs(at->message, position, "not an event");
    if (said.stream.len != length || memcmp(said.stream.data, stream, length) != 0 ||
        (int64_t)said.version != version)
        return differs(at->message, position, "the bytes name another stream or version than the row");
    return OK;
}

// The tiles that the last leaf completed, each with its row.
static status_t check_tiles(struct verification *at, int full)
{
    const struct rows *rows = &at->tile.rows;

    for (int level = 0; level < full; level++) {
        int64_t index = (int64_t)(at->tree.size >> 8 * (level + 1)) - 1;
        int row = at->tile.next;
        if (row == rows->count || row_int(rows, row, 0) != level || row_int(rows, row, 1) != index)
            return differs(
                at->message, at->tree.size,
                arena_printf(at->hand, "tile %lld of level %d is missing", (long long)index, level));
        if (memcmp(at->tiles[level], row_bytes(rows, row, 2).data, TREE_HASH) != 0)
            return differs(
                at->message, at->tree.size,
                arena_printf(at->hand, "tile %lld of level %d is not the tree's", (long long)index, level));
        at->tile.next++;
    }
    return OK;
}

static void point_to(struct recorded *recorded, int next)
{
    recorded->next = next;
    recorded->position = next < recorded->rows.count ? row_int(&recorded->rows, next, 0) : 0;
}

// The next of these rows, when it is of where the tree stands; else -1.
static int recorded_here(struct recorded *recorded, const struct tree *tree)
{
    int here = recorded->next;

    if (recorded->position != (int64_t)tree->size)
        return -1;
    point_to(recorded, here + 1);
    return here;
}

// Is there a checkpoint of this size? Then it must be the tree's.
static status_t check_checkpoint(struct verification *at)
{
    struct message *message = at->message;
    struct checkpoint checkpoint;
    uint8_t root[TREE_HASH];
    const char *why = NULL;
    int row = recorded_here(&at->note, &at->tree);

    if (row < 0)
        return OK;
    const char *text = row_text(&at->note.rows, row, 1);
    if (!checkpoint_read(at->hand, text, strlen(text), at->keys, &checkpoint, &why))
        return differs(message, at->tree.size, arena_printf(at->hand, "its checkpoint is damaged: %s", why));
    tree_root(&at->tree, root);
    if (checkpoint.size != at->tree.size || memcmp(checkpoint.root, root, TREE_HASH) != 0)
        return differs(message, at->tree.size, "its checkpoint says another size or root than the tree's");
    return OK;
}

// Is a root recorded for where the tree stands? Then it must be the tree's.
static status_t check_root(struct verification *at)
{
    uint8_t root[TREE_HASH];
    int row = recorded_here(&at->root, &at->tree);

    if (row < 0)
        return OK;
    tree_root(&at->tree, root);
    ProtobufCBinaryData recorded = row_bytes(&at->root.rows, row, 1);
    if (recorded.len != TREE_HASH || memcmp(root, recorded.data, TREE_HASH) != 0)
        return differs(at->message, at->tree.size, "the tree does not have the recorded root");
    return OK;
}

static void add_place(const struct verification *at, struct places *places, int64_t position, int64_t version,
                      ProtobufCBinaryData leaf, struct name name)
{
    struct {
        int64_t position, version;
        struct name name;
        uint8_t leaf[TREE_HASH];
    } place = {.position = position, .version = version, .name = name};
    uint64_t hash[2];

    if (leaf.len == TREE_HASH)  // with another size it is another place than any entry has
        memcpy(place.leaf, leaf.data, TREE_HASH);
    crypto_shorthash_siphashx24((uint8_t *)hash, (const uint8_t *)&place, sizeof place, at->place_key);
    places->sums[0] += hash[0];
    places->sums[1] += hash[1];
}

// A row of read_leaves.
static status_t check_entry(void *context, const row_t *row)
{
    struct verification *at = context;
    ProtobufCBinaryData stored = each_bytes(row, 1), bytes = each_bytes(row, 2);
    const char *stream = each_text(row, 3);
    int64_t position = each_int(row, 0), version = each_int(row, 4);
    struct name name = versions_name(at->versions, stream);
    uint8_t leaf[TREE_HASH];

    arena_reset(at->hand);
    if (position != (int64_t)at->tree.size + 1)
        return differs(at->message, at->tree.size + 1, "missing");
    tree_leaf(bytes.data, bytes.len, leaf);
    if (stored.len != TREE_HASH || memcmp(leaf, stored.data, TREE_HASH) != 0)
        return differs(at->message, at->tree.size + 1, "the bytes do not have the recorded leaf hash");
    status_t status = check_columns(at, bytes, stream, version);
    if (status == OK)
        status = check_stream(at, stream, name, version);
    add_place(at, &at->entered, position, version, stored, name);
    if (status == OK)
        status = check_tiles(at, tree_add_tiles(&at->tree, leaf, at->tiles));
    if (status == OK)
        status = check_root(at);
    return status == OK ? check_checkpoint(at) : status;
}

// A row of verify_places.
static status_t take_place(void *context, const row_t *row)
{
    struct verification *at = context;

    add_place(at, &at->placed, each_int(row, 0), each_int(row, 1), each_bytes(row, 2),
              versions_name(at->versions, each_text(row, 3)));
    return OK;
}

// Each entry must have its place and no other: a wrong place would let a version be stored twice.
static status_t verify_places(struct verification *at)
{
    struct message *message = at->message;
    struct rows rows;

    at->placed = (struct places){{0}};
    status_t status = db_each(message, &sql_verify_places, NULL, 0, take_place, at);
    if (status != OK || memcmp(&at->placed, &at->entered, sizeof at->placed) == 0)
        return status;
    status = RUN0(message, misplaced, &rows);
    if (status == OK && rows.count > 0)
        return differs(message, (uint64_t)row_int(&rows, 0, 0),
                       "its stream and version are not recorded at its place");
    return status == OK ? differs(message, at->tree.size, "there are more places recorded than events")
                        : status;
}

// Nothing may be recorded beyond where the log ends.
static status_t verify_beyond(const struct verification *at)
{
    struct message *message = at->message;
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
    for (int level = 0; status == OK && level < TREE_TILES; level++) {
        status = RUN(message, tile_next, &rows, INT(level));
        uint64_t full = level < 7 ? at->tree.size >> 8 * (level + 1) : 0;
        if (status == OK && (uint64_t)row_int(&rows, 0, 0) > full)
            return differs(message, at->tree.size, "the log ends here and a tile is recorded beyond it");
    }
    return status;
}

// The tree has all entries: is it the head's?
static status_t verify_head(struct verification *at, const struct rows *head)
{
    struct message *message = at->message;
    uint8_t root[TREE_HASH];

    if (head->count == 0)
        return OK;
    tree_root(&at->tree, root);
    if (row_int(head, 0, 0) != (int64_t)at->tree.size)
        return differs(message, at->tree.size,
                       arena_printf(message->arena, "the log ends here and its head says %lld",
                                    (long long)row_int(head, 0, 0)));
    ProtobufCBinaryData told = row_bytes(head, 0, 4);
    if (told.len != TREE_HASH || memcmp(root, told.data, TREE_HASH) != 0)
        return differs(message, at->tree.size, "the tree does not have the head's root");
    status_t status = verify_places(at);
    return status == OK ? verify_beyond(at) : status;
}

static status_t read_recorded(struct verification *at)
{
    struct message *message = at->message;
    int64_t from = (int64_t)at->tree.size, to = from + VERIFY_CHUNK;

    status_t status = LATER(message, verify_roots, &at->root.rows, INT(from), INT(to));
    if (status == OK)
        status = LATER(message, verify_checkpoints, &at->note.rows, INT(from), INT(to));
    if (status == OK)
        status = LATER(message, verify_tiles, &at->tile.rows, INT(from), INT(to));
    if (status == OK)
        status = db_wait(message);
    if (status == OK) {
        point_to(&at->root, 0);
        point_to(&at->note, 0);
        at->tile.next = 0;
    }
    return status;
}

// The next chunk of entries; when there are no more, what stands about the whole. *ret_more: there may be more.
static status_t verify_chunk(struct verification *at, bool shown, bool *ret_more)
{
    struct message *message = at->message;
    uint64_t from = at->tree.size;
    struct rows head;

    status_t status = db_begin(message);
    if (status == OK)
        status = RUN0(message, verify_snapshot, NULL);
    if (status == OK)
        status = db_later(message, &sql_load_head, NULL, 0, &head);
    if (status == OK)
        status = read_recorded(at);
    if (status == OK)
        status = EACH_ROW(message, read_leaves, check_entry, at, INT((int64_t)from), INT(VERIFY_CHUNK));
    *ret_more = at->tree.size > from;
    if (status == OK && !*ret_more)
        status = verify_head(at, &head);
    if (status == OK && shown && head.count > 0)
        progress("verifying", at->tree.size, (uint64_t)row_int(&head, 0, 0));
    if (status == OK)
        return db_commit(message);
    db_rollback(message);
    return status;
}

int log_verify(struct message *message, const struct note_ring *keys, bool shown)
{
    struct verification at = {
        .message = message, .hand = arena_new(LIMIT_ARENA_BYTES), .versions = versions_new(), .keys = keys};
    uint8_t root[TREE_HASH];
    status_t status = OK;

    randombytes_buf(at.place_key, sizeof at.place_key);
    for (bool more = true; status == OK && more;) {
        arena_reset(message->arena);
        status = verify_chunk(&at, shown, &more);
    }
    progress_end();
    tree_root(&at.tree, root);
    if (status == OK)
        printf("{\"verified\":true,\"events\":%" PRIu64 ",\"streams\":%zu,\"root\":\"%s\"}\n", at.tree.size,
               versions_count(at.versions), hex(message->arena, root, TREE_HASH));
    else
        printf("{\"verified\":false,\"events\":%" PRIu64 ",\"fault\":\"%s\"}\n", at.tree.size,
               message->reason);
    versions_destroy(&at.versions);
    arena_destroy(&at.hand);
    return status == OK ? 0 : status == POISON ? 4 : 1;
}
