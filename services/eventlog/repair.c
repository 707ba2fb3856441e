// repair: putting a lost end of the log back from the witness, byte for byte.
//
// Everything is one transaction: the entries that the witness holds beyond our end are added to the tree, and only when
// that leads to the witness's root (so that what both hold is the same too) is it committed.
#include "eventlog.h"

#include "clock/clock.h"
#include "eventlog_store.sql.h"
#include "limits/limits.h"
#include "values/values.h"
#include "witness_v1.pb-c.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PAGE_ENTRIES 500

// One repair. `page` is the arena of the page in hand.
struct repair {
    struct eventlog *log;
    bus_t *bus;
    arena_t *page;
    struct tree tree;  // with what was put back
    int64_t epoch;     // the highest of an entry that was put back
    char told[1024];   // why it cannot be done
};

static bool failed(struct repair *repair, const char *reason)
{
    snprintf(repair->told, sizeof repair->told, "%s", reason);
    return false;
}

static bool ask_witness(struct repair *repair, const void *query, const ProtobufCMessageDescriptor *type,
                        void *ret)
{
    const ProtobufCMessage *base = query;
    struct message message = message_new(repair->page);
    struct incoming answer;
    size_t size;
    const uint8_t *body = message_encode(repair->page, query, &size);

    if (!bus_call(repair->bus, repair->page, "witness", uuid_new(repair->page, clock_real_us()),
                  base->descriptor->name, NULL, LIMIT_TIMEOUT_MS, body, size, &answer))
        return failed(repair, "the witness does not answer");
    if (answer.reply->status != BUS__V1__REPLY__STATUS__OK)
        return failed(repair, answer.reply->reason);
    return message_decode(&message, type, answer.body, answer.body_size, ret) == OK ||
           failed(repair, message.reason);
}

static bool read_witnessed(struct repair *repair, uint64_t after, const Page **ret)
{
    Witness__V1__ReadWitnessed query = WITNESS__V1__READ_WITNESSED__INIT;

    query.after = after;
    query.limit = PAGE_ENTRIES;
    return ask_witness(repair, &query, &eventlog__v1__page__descriptor, ret);
}

static struct message page_message(struct repair *repair)
{
    struct message message = message_new(repair->page);

    message.db = repair->log->db;
    return message;
}

// ------------------------------------------------------------------------------------------------ putting back

// The columns of a page, as its bytes say them.
struct columns {
    const char **streams, **types;
    int64_t *versions, *times, *epochs;
    struct arg *bytes, *leaves;
};

static struct columns columns_new(arena_t *arena, size_t count)
{
    return (struct columns){
        .streams = arena_alloc(arena, count * sizeof(char *)),
        .types = arena_alloc(arena, count * sizeof(char *)),
        .versions = arena_alloc(arena, count * sizeof(int64_t)),
        .times = arena_alloc(arena, count * sizeof(int64_t)),
        .epochs = arena_alloc(arena, count * sizeof(int64_t)),
        .bytes = arena_alloc(arena, count * sizeof(struct arg)),
        .leaves = arena_alloc(arena, count * sizeof(struct arg)),
    };
}

static bool take_entry(struct repair *repair, struct message *message, const Entry *entry,
                       struct columns *columns, size_t n)
{
    const Event *event;
    uint8_t leaf[TREE_HASH];

    if (entry->position != repair->tree.size + 1)
        return failed(repair, "the witness's entries do not continue the log");
    if (message_decode(message, &eventlog__v1__event__descriptor, entry->event.data, entry->event.len,
                       &event) != OK)
        return failed(repair, message->reason);
    tree_leaf(entry->event.data, entry->event.len, leaf);
    tree_add(&repair->tree, leaf);
    columns->streams[n] = event->stream;
    columns->types[n] = event->type;
    columns->versions[n] = (int64_t)event->version;
    columns->times[n] = entry->appended_at_us;
    columns->epochs[n] = (int64_t)entry->epoch;
    columns->bytes[n] = BYTES(entry->event.data, entry->event.len);
    columns->leaves[n] = BYTES(arena_copy(repair->page, leaf, TREE_HASH), TREE_HASH);
    repair->epoch = columns->epochs[n] > repair->epoch ? columns->epochs[n] : repair->epoch;
    return true;
}

static bool put_page_back(struct repair *repair, const Page *page)
{
    struct message own = page_message(repair), *message = &own;
    struct columns columns = columns_new(repair->page, page->n_entries + 1);
    int64_t before = (int64_t)repair->tree.size;
    uint8_t root[TREE_HASH];
    struct rows rows;
    int count = (int)page->n_entries;

    for (size_t i = 0; i < page->n_entries; i++)
        if (!take_entry(repair, message, page->entries[i], &columns, i))
            return false;
    tree_root(&repair->tree, root);
    status_t status = RUN(
        message, put_back, &rows, INT((int64_t)repair->tree.size), BYTES(root, TREE_HASH),
        BYTES(repair->tree.hashes, (size_t)repair->tree.count * TREE_HASH), INT(repair->log->epoch),
        INT(before), db_text_array(message, columns.streams, count),
        db_int_array(message, columns.versions, count), db_text_array(message, columns.types, count),
        db_bytes_array(message, columns.bytes, count), db_bytes_array(message, columns.leaves, count),
        db_int_array(message, columns.times, count), db_int_array(message, columns.epochs, count));
    if (status == OK && rows.count != 1)
        return failed(repair, "another writer has taken the log over");
    return status == OK || failed(repair, message->reason);
}

static bool make_room(struct repair *repair, uint64_t size)
{
    struct message own = page_message(repair), *message = &own;

    return RUN(message, make_room, NULL, INT((int64_t)size)) == OK || failed(repair, message->reason);
}

static bool put_all_back(struct repair *repair, uint64_t size, const uint8_t goal[TREE_HASH])
{
    uint8_t root[TREE_HASH];
    const Page *page;

    if (!make_room(repair, size))
        return false;
    while (repair->tree.size < size) {
        arena_reset(repair->page);
        if (!read_witnessed(repair, repair->tree.size, &page))
            return false;
        if (page->n_entries == 0)
            return failed(repair, "the witness does not give the entries it holds");
        if (!put_page_back(repair, page))
            return false;
    }
    tree_root(&repair->tree, root);
    if (repair->tree.size != size)
        return failed(repair,
                      "the witness went on meanwhile: it must not hear another log; look at its alarm");
    return memcmp(root, goal, TREE_HASH) == 0 || failed(repair, "what both hold differs");
}

static bool raise_epoch(struct repair *repair)
{
    struct message own = page_message(repair), *message = &own;
    struct rows rows;

    if (RUN(message, raise_epoch_above, &rows, INT(repair->epoch)) != OK)
        return failed(repair, message->reason);
    repair->log->epoch = row_int(&rows, 0, 0);
    return true;
}

// ------------------------------------------------------------------------------------------------- checkpoints

// The log's own note again: the witness has added its line after the log's.
static const char *without_cosignatures(arena_t *arena, const char *text)
{
    const char *signatures = strstr(text, "\n\n");
    const char *end = signatures != NULL ? strchr(signatures + 2, '\n') : NULL;

    return end != NULL ? arena_printf(arena, "%.*s", (int)(end + 1 - text), text) : text;
}

static bool put_checkpoints_back(struct repair *repair, uint64_t after)
{
    Witness__V1__GetCosignature query = WITNESS__V1__GET_COSIGNATURE__INIT;
    const Witness__V1__Cosignature *told;

    for (query.covers = after + 1; query.covers <= repair->tree.size; query.covers = told->size + 1) {
        arena_reset(repair->page);
        struct message own = page_message(repair), *message = &own;
        if (!ask_witness(repair, &query, &witness__v1__cosignature__descriptor, &told))
            return true;  // the newest events had none yet
        if (RUN(message, put_back_checkpoint, NULL, INT((int64_t)told->size),
                TEXT(without_cosignatures(repair->page, told->note)), INT(clock_calendar_us())) != OK)
            return failed(repair, message->reason);
    }
    return true;
}

// --------------------------------------------------------------------------------------------------- the whole

// The first position at which what both hold differs; 0: none does.
static uint64_t first_difference(struct repair *repair, uint64_t size)
{
    uint64_t at = 0;
    const Page *theirs;
    struct rows rows;

    while (at < size) {
        arena_reset(repair->page);
        struct message own = page_message(repair), *message = &own;
        if (!read_witnessed(repair, at, &theirs) || theirs->n_entries == 0 ||
            RUN(message, read_leaves, &rows, INT((int64_t)at), INT((int64_t)theirs->n_entries)) != OK)
            return 0;
        for (size_t i = 0; i < theirs->n_entries && at < size; i++, at++) {
            ProtobufCBinaryData ours = (int)i < rows.count ? row_bytes(&rows, (int)i, 2)
                                                           : (ProtobufCBinaryData){0};
            if (ours.len != theirs->entries[i]->event.len ||
                memcmp(ours.data, theirs->entries[i]->event.data, ours.len) != 0)
                return at + 1;
        }
    }
    return 0;
}

static int tell_difference(struct repair *repair, uint64_t size)
{
    uint64_t position = first_difference(repair,
                                         size < repair->log->tree.size ? size : repair->log->tree.size);

    if (position == 0)
        printf("{\"repaired\":false,\"reason\":\"%s\"}\n", repair->told);
    else
        printf("{\"repaired\":false,\"position\":%" PRIu64 ",\"reason\":\"position %" PRIu64
               ": the database and the witness hold different events\"}\n",
               position, position);
    return position == 0 ? 1 : 4;
}

static bool put_back(struct repair *repair, struct message *message, uint64_t size,
                     const uint8_t goal[TREE_HASH])
{
    bool well = db_begin(message) == OK && put_all_back(repair, size, goal) && raise_epoch(repair);

    if (well && db_commit(message) == OK)
        return true;
    db_rollback(message);
    return well ? failed(repair, message->reason) : false;
}

static int repair_from(struct repair *repair, struct message *message, uint64_t size,
                       const uint8_t root[TREE_HASH])
{
    uint64_t before = repair->log->tree.size;

    if (size <= before) {
        if (log_extends(message, &repair->log->tree, size, root, "the witness holds") != OK) {
            failed(repair, message->reason);
            return tell_difference(repair, size);
        }
        printf("{\"repaired\":true,\"put_back\":0,\"position\":%" PRIu64 "}\n", before);
        return 0;
    }
    if (!put_back(repair, message, size, root))
        return tell_difference(repair, before);
    repair->log->tree = repair->tree;
    if (!put_checkpoints_back(repair, before) || tiles_fill(repair->log, message) != OK) {
        printf("{\"repaired\":false,\"reason\":\"%s\"}\n",
               message->reason != NULL ? message->reason : repair->told);
        return 1;
    }
    printf("{\"repaired\":true,\"put_back\":%" PRIu64 ",\"position\":%" PRIu64 "}\n", size - before, size);
    return 0;
}

int log_repair(struct eventlog *log, struct message *message)
{
    struct bus_config config = bus_config_from_env("eventlog");
    Witness__V1__GetWitnessed query = WITNESS__V1__GET_WITNESSED__INIT;
    struct repair repair = {
        .log = log, .page = arena_new(64 * 1024 * 1024), .tree = log->tree, .epoch = log->epoch};
    const Witness__V1__Witnessed *told;
    uint8_t root[TREE_HASH];
    int code = 1;

    config.feed = NULL;
    repair.bus = bus_connect(&config);
    if (!ask_witness(&repair, &query, &witness__v1__witnessed__descriptor, &told))
        printf("{\"repaired\":false,\"reason\":\"%s\"}\n", repair.told);
    else if (told->root.len != TREE_HASH)
        printf("{\"repaired\":false,\"reason\":\"the witness tells no root\"}\n");
    else
        code = repair_from(&repair, message, told->size, memcpy(root, told->root.data, TREE_HASH));
    bus_destroy(&repair.bus);
    arena_destroy(&repair.page);
    return code;
}
