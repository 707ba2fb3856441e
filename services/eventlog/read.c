// read: pages of the log, and its head.
#include "eventlog.h"

#include "eventlog_store.sql.h"
#include "limits/limits.h"

#define BESIDE_BYTES 64   // what an entry has in a page beside its event, at most
#define GUESS_BYTES  256  // what an entry is before any was read

struct page_reading page_begin(const struct eventlog *log, arena_t *arena, uint32_t limit)
{
    size_t bytes = log->entry_bytes > 0 ? log->entry_bytes : GUESS_BYTES;
    size_t fits = LIMIT_BATCH_BYTES / bytes * 5 / 4 + 1;  // somewhat more than fits, so that pages are full
    struct page_reading reading = {.arena = arena,
                                   .page = arena_alloc(arena, sizeof *reading.page),
                                   .limit = (int64_t)(limit < fits ? limit : fits)};

    eventlog__v1__page__init(reading.page);
    reading.page->entries = arena_alloc(arena, (size_t)reading.limit * sizeof *reading.page->entries);
    reading.page->head = log->tree.size;
    return reading;
}

status_t page_row(void *context, const row_t *row)
{
    struct page_reading *reading = context;
    Page *page = reading->page;
    ProtobufCBinaryData event = each_bytes(row, 1);
    size_t bytes = event.len + BESIDE_BYTES;

    reading->full = reading->full || (page->n_entries > 0 && reading->bytes + bytes > LIMIT_BATCH_BYTES);
    if (reading->full)
        return OK;
    Entry *entry = arena_alloc(reading->arena, sizeof *entry);
    eventlog__v1__entry__init(entry);
    entry->position = (uint64_t)each_int(row, 0);
    entry->event.data = arena_copy(reading->arena, event.data, event.len);
    entry->event.len = event.len;
    entry->appended_at_us = each_int(row, 2);
    entry->epoch = (uint64_t)each_int(row, 3);
    page->entries[page->n_entries++] = entry;
    reading->bytes += bytes;
    return OK;
}

void page_end(struct eventlog *log, struct message *message, const struct page_reading *reading)
{
    if (reading->page->n_entries > 0)
        log->entry_bytes = reading->bytes / reading->page->n_entries;
    answer(message, reading->page);
}

status_t log_read(struct eventlog *log, struct message *message, const Eventlog__V1__Read *query)
{
    if (query->limit < 1 || query->limit > LIMIT_PAGE_ENTRIES)
        return fail(message, REFUSED, "limit is %u; it must be 1 to %d", query->limit, LIMIT_PAGE_ENTRIES);
    if (query->after > INT64_MAX)
        return fail(message, REFUSED, "after is too large for a position");
    struct page_reading reading = page_begin(log, message->arena, query->limit);
    status_t status = EACH_ROW(message, read_page, page_row, &reading, INT((int64_t)query->after),
                               INT(reading.limit));
    if (status == OK)
        page_end(log, message, &reading);
    return status;
}

Head *log_head(const struct eventlog *log, arena_t *arena)
{
    Head *head = arena_alloc(arena, sizeof *head);
    uint8_t root[TREE_HASH];

    eventlog__v1__head__init(head);
    tree_root(&log->tree, root);
    head->position = log->tree.size;
    head->root = (ProtobufCBinaryData){.len = TREE_HASH, .data = arena_copy(arena, root, TREE_HASH)};
    head->epoch = (uint64_t)log->epoch;
    head->rehearsal = log->rehearsal;
    head->log_id = arena_text(arena, log->log_id);
    return head;
}
