// query: checkpoints, proofs, tiles and streams for whoever asks.
#include "eventlog.h"

#include "eventlog_store.sql.h"
#include "limits/limits.h"

#include <string.h>

typedef Eventlog__V1__Checkpoint Checkpoint;

Checkpoint *log_checkpoint(const struct eventlog *log, arena_t *arena)
{
    Checkpoint *checkpoint = arena_alloc(arena, sizeof *checkpoint);

    eventlog__v1__checkpoint__init(checkpoint);
    checkpoint->size = log->signed_size;
    checkpoint->note = arena_text(arena, log->note);
    checkpoint->key = log->signer.key.name[0] != '\0' ? note_key_text(arena, &log->signer.key) : (char *)"";
    return checkpoint;
}

static status_t beyond_head(const struct eventlog *log, struct message *message, const char *field,
                            uint64_t value)
{
    return fail(message, REFUSED, "%s is %llu and the log has %llu events", field, (unsigned long long)value,
                (unsigned long long)log->tree.size);
}

// The oldest checkpoint that covers a position, made now if there is none.
static status_t covering(struct eventlog *log, struct message *message, uint64_t position, Checkpoint **ret)
{
    struct rows rows = {0};
    status_t status = OK;

    if (position > log->tree.size)
        return beyond_head(log, message, "covers", position);
    if (position > log->signed_size)
        status = sign_head(log, message);
    *ret = log_checkpoint(log, message->arena);
    if (status == OK && position > 0 && position <= log->signed_size)
        status = RUN(message, covering_checkpoint, &rows, INT((int64_t)position));
    if (status == OK && rows.count == 1) {
        (*ret)->size = (uint64_t)row_int(&rows, 0, 0);
        (*ret)->note = (char *)row_text(&rows, 0, 1);
    }
    return status;
}

static status_t on_get_checkpoint(struct eventlog *log, struct message *message, const void *body)
{
    const Eventlog__V1__GetCheckpoint *query = body;
    Checkpoint *checkpoint = NULL;

    status_t status = covering(log, message, query->covers, &checkpoint);
    if (status == OK)
        answer(message, checkpoint);
    return status;
}

static ProtobufCBinaryData *hashes_of(arena_t *arena, const struct proof *proof)
{
    ProtobufCBinaryData *hashes = arena_alloc(arena, ((size_t)proof->count + 1) * sizeof *hashes);

    for (int i = 0; i < proof->count; i++)
        hashes[i] = (ProtobufCBinaryData){.len = TREE_HASH,
                                          .data = arena_copy(arena, proof->hashes[i], TREE_HASH)};
    return hashes;
}

static status_t on_get_inclusion_proof(struct eventlog *log, struct message *message, const void *body)
{
    const Eventlog__V1__GetInclusionProof *query = body;
    Eventlog__V1__InclusionProof told = EVENTLOG__V1__INCLUSION_PROOF__INIT;
    struct tiles tiles;
    struct proof_source source = tiles_source(&tiles, message);
    struct proof proof;
    ProtobufCBinaryData hashes;
    Checkpoint *checkpoint = NULL;
    status_t status = OK;

    if (query->position < 1 || query->position > log->tree.size)
        return beyond_head(log, message, "position", query->position);
    if (query->size > log->tree.size)
        return beyond_head(log, message, "size", query->size);
    if (query->size == 0)
        status = covering(log, message, query->position, &checkpoint);
    told.position = query->position;
    told.size = checkpoint != NULL ? checkpoint->size : query->size;
    if (status == OK && told.size < told.position)
        status = fail(message, REFUSED, "size is %llu: it must be at least the position %llu",
                      (unsigned long long)told.size, (unsigned long long)told.position);
    if (status == OK && !proof_inclusion(&source, told.position - 1, told.size, &proof))
        status = tiles.status;
    if (status != OK)
        return status;
    status = tile_hashes(message, 0, (told.position - 1) / TILE, &hashes);
    if (status != OK)
        return status;
    told.leaf = (ProtobufCBinaryData){.len = TREE_HASH,
                                      .data = hashes.data + (told.position - 1) % TILE * TREE_HASH};
    told.n_hashes = (size_t)proof.count;
    told.hashes = hashes_of(message->arena, &proof);
    answer(message, &told);
    return OK;
}

static status_t on_get_consistency_proof(struct eventlog *log, struct message *message, const void *body)
{
    const Eventlog__V1__GetConsistencyProof *query = body;
    Eventlog__V1__ConsistencyProof told = EVENTLOG__V1__CONSISTENCY_PROOF__INIT;
    struct tiles tiles;
    struct proof_source source = tiles_source(&tiles, message);
    struct proof proof;

    if (query->to > log->tree.size)
        return beyond_head(log, message, "to", query->to);
    if (query->from < 1 || query->from > query->to)
        return fail(message, REFUSED, "from is %llu: it must be 1 to %llu", (unsigned long long)query->from,
                    (unsigned long long)query->to);
    if (!proof_consistency(&source, query->from, query->to, &proof))
        return tiles.status;
    told.from = query->from;
    told.to = query->to;
    told.n_hashes = (size_t)proof.count;
    told.hashes = hashes_of(message->arena, &proof);
    answer(message, &told);
    return OK;
}

// ------------------------------------------------------------------------------------------------------ tiles

// Entries, each with its size before it, big-endian.
static status_t bundle(struct message *message, const Eventlog__V1__GetTile *query, ProtobufCBinaryData *ret)
{
    int64_t from = (int64_t)query->index * TILE, to = from + query->width;
    struct rows rows;

    status_t status = RUN(message, bundle_size, &rows, INT(from), INT(to));
    if (status != OK)
        return status;
    if (row_int(&rows, 0, 0) != query->width)
        return fail(message, REFUSED, "the bundle %llu has no %u entries yet",
                    (unsigned long long)query->index, query->width);
    if (row_int(&rows, 0, 1) > LIMIT_BATCH_BYTES || row_int(&rows, 0, 2) > ENTRY_MOST)
        return fail(message, REFUSED,
                    "the bundle %llu does not fit into one message: read its entries with Read",
                    (unsigned long long)query->index);
    uint8_t *out = arena_alloc(message->arena, (size_t)row_int(&rows, 0, 1) + 1);
    *ret = (ProtobufCBinaryData){.data = out};
    status = RUN(message, bundle, &rows, INT(from), INT(to));
    for (int i = 0; status == OK && i < rows.count; i++) {
        ProtobufCBinaryData entry = row_bytes(&rows, i, 0);
        out[ret->len++] = (uint8_t)(entry.len >> 8);
        out[ret->len++] = (uint8_t)entry.len;
        memcpy(out + ret->len, entry.data, entry.len);
        ret->len += entry.len;
    }
    return status;
}

static status_t on_get_tile(struct eventlog *log, struct message *message, const void *body)
{
    const Eventlog__V1__GetTile *query = body;
    Eventlog__V1__Tile told = EVENTLOG__V1__TILE__INIT;
    size_t size = (size_t)query->width * TREE_HASH;

    (void)log;
    if (query->level >= TREE_TILES || (query->entries && query->level != 0))
        return fail(message, REFUSED, "level is %u: it must be 0 to 7, and 0 for entries", query->level);
    if (query->width < 1 || query->width > TILE || query->index > (uint64_t)INT64_MAX / TILE / TILE)
        return fail(message, REFUSED, "width must be 1 to 256, and index that of a tile");
    status_t status = query->entries ? bundle(message, query, &told.data)
                                     : tile_hashes(message, (int)query->level, query->index, &told.data);
    if (status == OK && !query->entries && told.data.len < size)
        status = fail(message, REFUSED, "tile %llu of level %u has %zu hashes",
                      (unsigned long long)query->index, query->level, told.data.len / TREE_HASH);
    if (status != OK)
        return status;
    if (!query->entries)
        told.data.len = size;
    answer(message, &told);
    return OK;
}

// ---------------------------------------------------------------------------------------------------- streams

static status_t on_read_stream(struct eventlog *log, struct message *message, const void *body)
{
    const Eventlog__V1__ReadStream *query = body;

    if (query->limit < 1 || query->limit > LIMIT_PAGE_ENTRIES || query->after > INT64_MAX)
        return fail(message, REFUSED, "limit must be 1 to %d, and after a version", LIMIT_PAGE_ENTRIES);
    struct page_reading reading = page_begin(log, message->arena, query->limit);
    status_t status = EACH_ROW(message, read_stream, page_row, &reading, TEXT(query->stream),
                               INT((int64_t)query->after), INT(reading.limit));
    if (status == OK)
        page_end(log, message, &reading);
    return status;
}

// ---------------------------------------------------------------------------------------------------- the table

static const struct {
    const ProtobufCMessageDescriptor *on;
    status_t (*call)(struct eventlog *log, struct message *message, const void *body);
} queries[] = {
    {&eventlog__v1__get_checkpoint__descriptor, on_get_checkpoint},
    {&eventlog__v1__get_inclusion_proof__descriptor, on_get_inclusion_proof},
    {&eventlog__v1__get_consistency_proof__descriptor, on_get_consistency_proof},
    {&eventlog__v1__get_tile__descriptor, on_get_tile},
    {&eventlog__v1__read_stream__descriptor, on_read_stream},
};

status_t log_query(struct eventlog *log, struct message *message, const char *type, const uint8_t *body,
                   size_t size)
{
    const void *query;

    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        if (strcmp(type, queries[i].on->name) != 0)
            continue;
        status_t status = message_decode(message, queries[i].on, body, size, &query);
        return status == OK ? queries[i].call(log, message, query) : status;
    }
    return fail(message, POISON, "the event log knows no '%s'", type);
}
