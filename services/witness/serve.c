// serve: what others may ask of a witness.
#include "witness.h"

#include "limits/limits.h"

#include <string.h>

// What is not on the disk yet is not told either: main syncs before it answers.
static status_t on_get_witnessed(const struct judge *judge, struct message *message, const void *body,
                                 int64_t now_ms)
{
    Witness__V1__Witnessed told = WITNESS__V1__WITNESSED__INIT;
    uint8_t root[TREE_HASH];

    (void)body;
    tree_root(&judge->trusted, root);
    told.size = judge->trusted.size;
    told.root = (ProtobufCBinaryData){.data = root, .len = TREE_HASH};
    told.cosigned = judge->store->confirmed.size;
    told.alarm = (char *)judge->alarm;
    told.heard_ms_ago = now_ms - judge->heard_ms;
    told.key = note_key_text(message->arena, &judge->signer.key);
    answer(message, &told);
    return OK;
}

static status_t on_get_cosignature(const struct judge *judge, struct message *message, const void *body,
                                   int64_t now_ms)
{
    const Witness__V1__GetCosignature *query = body;
    Witness__V1__Cosignature told = WITNESS__V1__COSIGNATURE__INIT;

    (void)now_ms;
    const char *note = store_note(judge->store, message->arena, query->covers, &told.size);
    if (note == NULL)
        return fail(message, RETRY, "the witness's disk cannot be read");
    if (note[0] == '\0')
        return fail(message, REFUSED, "no checkpoint that covers position %llu has been cosigned yet",
                    (unsigned long long)query->covers);
    told.note = (char *)note;
    told.key = note_key_text(message->arena, &judge->signer.key);
    answer(message, &told);
    return OK;
}

static status_t on_read_witnessed(const struct judge *judge, struct message *message, const void *body,
                                  int64_t now_ms)
{
    const Witness__V1__ReadWitnessed *query = body;
    Eventlog__V1__Page page;
    const char *why;

    (void)now_ms;
    if (query->limit < 1 || query->limit > LIMIT_PAGE_ENTRIES)
        return fail(message, REFUSED, "limit is %u; it must be 1 to %d", query->limit, LIMIT_PAGE_ENTRIES);
    if (!store_read(judge->store, message->arena, query->after, query->limit, &page, &why))
        return fail(message, RETRY, "%s", why);
    page.head = judge->trusted.size;
    while (page.n_entries > 0 && page.entries[page.n_entries - 1]->position > page.head)
        page.n_entries--;
    answer(message, &page);
    return OK;
}

static const struct {
    const ProtobufCMessageDescriptor *on;
    status_t (*call)(const struct judge *judge, struct message *message, const void *body, int64_t now_ms);
} queries[] = {
    {&witness__v1__get_witnessed__descriptor, on_get_witnessed},
    {&witness__v1__get_cosignature__descriptor, on_get_cosignature},
    {&witness__v1__read_witnessed__descriptor, on_read_witnessed},
};

status_t witness_query(const struct judge *judge, struct message *message, const char *type,
                       const uint8_t *body, size_t size, int64_t now_ms)
{
    const void *query;

    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        if (strcmp(type, queries[i].on->name) != 0)
            continue;
        status_t status = message_decode(message, queries[i].on, body, size, &query);
        return status == OK ? queries[i].call(judge, message, query, now_ms) : status;
    }
    return fail(message, POISON, "the witness knows no '%s'", type);
}
