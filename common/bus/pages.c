// pages: the event log from one position on, page by page.
#include "bus/pages.h"

#include "clock/clock.h"
#include "limits/limits.h"
#include "values/values.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD         4    // pages under way
#define FIRST_ENTRIES 128  // of the first page, before it is known how large entries are

// A page that is under way.
struct page_asked {
    char id[UUID_SIZE];
    uint64_t after;
    uint32_t limit;
};

struct pages {
    bus_t *bus;
    const actor_t *actor;
    uint32_t timeout_ms;
    uint64_t until;
    uint64_t head;    // that the last page told; 0: none was read
    uint64_t read;    // entries up to here were handed on
    uint64_t wanted;  // entries up to here are asked for
    uint32_t limit;   // entries that are likely to fit on a page
    struct page_asked asked[AHEAD];
    int count;
};

static uint8_t *question(arena_t *arena, const struct page_asked *asked, size_t *ret_size)
{
    Eventlog__V1__Read read = EVENTLOG__V1__READ__INIT;

    read.after = asked->after;
    read.limit = asked->limit;
    return message_encode(arena, &read, ret_size);
}

// Ask for a page, to be taken as number `place` of those that are under way.
static void ask_at(pages_t *pages, arena_t *arena, int place, uint64_t after, uint32_t limit)
{
    struct page_asked *asked = &pages->asked[place];
    size_t size;

    assert(pages->count < AHEAD);
    memmove(asked + 1, asked, (size_t)(pages->count++ - place) * sizeof *asked);
    *asked = (struct page_asked){.after = after, .limit = limit};
    snprintf(asked->id, sizeof asked->id, "%s", uuid_new(arena, clock_real_us()));
    const uint8_t *body = question(arena, asked, &size);
    bus_call_ahead(pages->bus, "eventlog", asked->id, eventlog__v1__read__descriptor.name, pages->actor,
                   pages->timeout_ms, body, size);
}

// One at least, which tells where the log ends now; more as far as it is known to go.
static void ask_ahead(pages_t *pages, arena_t *arena)
{
    uint64_t end = pages->head < pages->until ? pages->head : pages->until;

    if (pages->count == 0)
        pages->wanted = pages->read;
    while (pages->count == 0 || (pages->count < AHEAD && pages->wanted < end)) {
        ask_at(pages, arena, pages->count, pages->wanted, pages->limit);
        pages->wanted += pages->limit;
    }
}

static status_t answered(struct message *message, const struct incoming *answer,
                         const Eventlog__V1__Page **ret)
{
    const Bus__V1__Reply *reply = answer->reply;

    if (!reply)
        return fail(message, RETRY, "the event log does not answer");
    if (reply->status == BUS__V1__REPLY__STATUS__UNAVAILABLE ||
        reply->status == BUS__V1__REPLY__STATUS__RESOURCE_EXHAUSTED)
        return fail(message, RETRY, "the event log cannot be read: %s", reply->reason);
    if (reply->status != BUS__V1__REPLY__STATUS__OK)
        return fail(message, REFUSED, "%s", reply->reason);
    return message_decode(message, &eventlog__v1__page__descriptor, answer->body, answer->body_size, ret);
}

// Where the page ended, and how many entries the next ones are likely to hold.
static void learn(pages_t *pages, arena_t *arena, const struct page_asked *asked,
                  const Eventlog__V1__Page *page)
{
    uint64_t end = asked->after + asked->limit;
    size_t bytes = 0;

    pages->head = page->head;
    if (page->n_entries == 0)
        return;
    for (size_t i = 0; i < page->n_entries; i++)
        bytes += page->entries[i]->event.len;
    pages->read = page->entries[page->n_entries - 1]->position;
    if (page->n_entries < asked->limit && pages->read < page->head && pages->read < end) {
        pages->limit = (uint32_t)(page->n_entries * 7 / 8 + 1);
        ask_at(pages, arena, 0, pages->read, (uint32_t)(end - pages->read));
    } else if (bytes < LIMIT_BATCH_BYTES * 3 / 4 && pages->limit < LIMIT_PAGE_ENTRIES) {
        pages->limit = pages->limit * 5 / 4 < LIMIT_PAGE_ENTRIES ? pages->limit * 5 / 4 : LIMIT_PAGE_ENTRIES;
    }
}

pages_t *pages_new(bus_t *bus, const actor_t *actor, uint64_t after, uint64_t until, uint32_t timeout_ms)
{
    pages_t *pages = malloc(sizeof *pages);

    assert(pages != NULL);
    *pages = (pages_t){.bus = bus,
                       .actor = actor,
                       .timeout_ms = timeout_ms,
                       .until = until,
                       .read = after,
                       .limit = FIRST_ENTRIES};
    return pages;
}

void pages_destroy(pages_t **pages_p)
{
    pages_t *pages = *pages_p;

    if (pages == NULL)
        return;
    for (int i = 0; i < pages->count; i++)
        bus_forget(pages->bus, pages->asked[i].id);
    free(pages);
    *pages_p = NULL;
}

status_t pages_next(pages_t *pages, struct message *message, const Eventlog__V1__Page **ret)
{
    struct incoming answer;
    size_t size;

    ask_ahead(pages, message->arena);
    struct page_asked asked = pages->asked[0];
    const uint8_t *body = question(message->arena, &asked, &size);
    bus_call(pages->bus, message->arena, "eventlog", asked.id, eventlog__v1__read__descriptor.name,
             pages->actor, pages->timeout_ms, body, size, &answer);
    status_t status = answered(message, &answer, ret);
    if (status != OK)
        return status;
    memmove(pages->asked, pages->asked + 1, (size_t)--pages->count * sizeof asked);
    learn(pages, message->arena, &asked, *ret);
    return OK;
}
