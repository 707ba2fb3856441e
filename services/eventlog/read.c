// read: pages of the log, and its head.
#include "eventlog.h"

#include "eventlog_store.sql.h"
#include "limits/limits.h"

Page *log_page(const struct eventlog *log, arena_t *arena, const struct rows *rows)
{
    Page *page = arena_alloc(arena, sizeof *page);

    eventlog__v1__page__init(page);
    page->n_entries = (size_t)rows->count;
    page->entries = arena_alloc(arena, ((size_t)rows->count + 1) * sizeof *page->entries);
    for (int i = 0; i < rows->count; i++) {
        page->entries[i] = arena_alloc(arena, sizeof *page->entries[i]);
        eventlog__v1__entry__init(page->entries[i]);
        page->entries[i]->position = (uint64_t)row_int(rows, i, 0);
        page->entries[i]->event = row_bytes(rows, i, 1);
        page->entries[i]->appended_at_us = row_int(rows, i, 2);
        page->entries[i]->epoch = (uint64_t)row_int(rows, i, 3);
    }
    page->head = log->tree.size;
    return page;
}

status_t log_read(struct eventlog *log, struct message *message, const Eventlog__V1__Read *query)
{
    struct rows rows;

    if (query->limit < 1 || query->limit > LIMIT_PAGE_ENTRIES)
        return fail(message, REFUSED, "limit is %u; it must be 1 to %d", query->limit, LIMIT_PAGE_ENTRIES);
    if (query->after > INT64_MAX)
        return fail(message, REFUSED, "after is too large for a position");
    status_t status = RUN(message, read_page, &rows, INT((int64_t)query->after), INT(query->limit),
                          INT(LIMIT_BATCH_BYTES));
    if (status == OK)
        answer(message, log_page(log, message->arena, &rows));
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
