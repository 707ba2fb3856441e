// verify: recompute all that the event log claims, from the stored bytes alone.
//
// The log is read as any client reads it. What is checked: positions without gap; every event canonical, its data too; the
// versions of every stream 1, 2, 3; no id twice; source, stream and type of one mind; rehearsal as the log says; epochs that
// never go back; and at the end the root of the tree over the leaf hashes against the root the event log tells.
#include "console.h"

#include "tree.h"
#include "values/values.h"

#include <czmq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_BYTES 16

// Where an event's id stood.
struct seen {
    uint8_t id[ID_BYTES];
    uint64_t position;
};

struct verification {
    struct console *console;
    struct tree tree;
    zhashx_t *versions;   // stream: its last version
    struct seen *ids;
    size_t n_ids, room;
    uint64_t epoch;
    const Eventlog__V1__Head *head;  // on the ground: it outlives the pages
};

static int differs(const struct verification *at, const char *what)
{
    return fault(EXIT_DIFFERENT, "position %llu: %s", (unsigned long long)at->tree.size + 1, what);
}

static bool parse_id(const char *text, uint8_t ret[ID_BYTES])
{
    size_t bytes = 0;

    if (!uuid_valid(text))
        return false;
    for (; bytes < ID_BYTES; bytes++, text += 2) {
        text += *text == '-';
        ret[bytes] = (uint8_t)strtoul((const char[]){text[0], text[1], '\0'}, NULL, 16);
    }
    return true;
}

static int check_id(struct verification *at, const Eventlog__V1__Event *event)
{
    if (at->n_ids == at->room) {
        at->room = at->room == 0 ? 1024 : at->room * 2;
        at->ids = reallocarray(at->ids, at->room, sizeof at->ids[0]);
        assert(at->ids != NULL);
    }
    struct seen *seen = &at->ids[at->n_ids++];
    seen->position = at->tree.size + 1;
    return parse_id(event->id, seen->id) ? EXIT_DONE : differs(at, "the event's id is not a UUID");
}

static int check_version(struct verification *at, const Eventlog__V1__Event *event)
{
    uint64_t last = (uint64_t)(uintptr_t)zhashx_lookup(at->versions, event->stream);

    if (event->version != last + 1)
        return differs(at, arena_printf(at->console->arena, "stream %s goes from version %llu to %llu", event->stream,
                                        (unsigned long long)last, (unsigned long long)event->version));
    zhashx_update(at->versions, event->stream, (void *)(uintptr_t)event->version);
    return EXIT_DONE;
}

// Does the text begin with this word and then this mark?
static bool begins(const char *text, const char *word, char mark)
{
    size_t length = strlen(word);

    return strncmp(text, word, length) == 0 && text[length] == mark;
}

static int check_source(const struct verification *at, const Eventlog__V1__Event *event)
{
    arena_t *arena = at->console->arena;

    if (!begins(event->stream, event->source, '/'))
        return differs(at, arena_printf(arena, "stream %s is not of its source %s", event->stream, event->source));
    // service.v1 is what all services have in common.
    if (!begins(event->type, event->source, '.') && !begins(event->type, "service", '.'))
        return differs(at, arena_printf(arena, "a %s cannot come from %s", event->type, event->source));
    if (event->rehearsal != at->head->rehearsal)
        return differs(at, event->rehearsal ? "an event of a rehearsal in a real log" : "a real event in a rehearsal's log");
    if (!protojson_canonical(console_contract(at->console), event->type, event->data.data, event->data.len))
        return differs(at, arena_printf(arena, "the event's data is not a %s of this contract", event->type));
    return EXIT_DONE;
}

static int check_entry(struct verification *at, const Eventlog__V1__Entry *entry)
{
    const Eventlog__V1__Event *event;
    uint8_t leaf[TREE_HASH];

    if (entry->position != at->tree.size + 1)
        return differs(at, arena_printf(at->console->arena, "missing; position %llu came instead",
                                        (unsigned long long)entry->position));
    if (entry->epoch < at->epoch)
        return differs(at, "its epoch is older than that of the one before it");
    at->epoch = entry->epoch;
    at->console->message.reason = NULL;
    if (message_decode(&at->console->message, &eventlog__v1__event__descriptor, entry->event.data, entry->event.len,
                       &event) != OK)
        return differs(at, at->console->message.reason);
    int code = check_source(at, event);
    if (code == EXIT_DONE)
        code = check_version(at, event);
    if (code == EXIT_DONE)
        code = check_id(at, event);
    if (code != EXIT_DONE)
        return code;
    tree_leaf(entry->event.data, entry->event.len, leaf);
    tree_add(&at->tree, leaf);
    return EXIT_DONE;
}

static int check_pages(struct verification *at)
{
    const Eventlog__V1__Page *page;
    int code = EXIT_DONE;

    while (code == EXIT_DONE && at->tree.size < at->head->position) {
        arena_reset(at->console->arena);
        code = read_page(at->console, at->tree.size, LIMIT_PAGE_ENTRIES, &page);
        if (code == EXIT_DONE && page->n_entries == 0)
            code = differs(at, "missing; the log ends before the head it tells");
        for (size_t i = 0; code == EXIT_DONE && i < page->n_entries && at->tree.size < at->head->position; i++)
            code = check_entry(at, page->entries[i]);
        progress("verifying", at->tree.size, at->head->position);
    }
    return code;
}

static int compare_ids(const void *left, const void *right)
{
    return memcmp(((const struct seen *)left)->id, ((const struct seen *)right)->id, ID_BYTES);
}

static int check_ids_differ(struct verification *at)
{
    if (at->n_ids > 1)
        qsort(at->ids, at->n_ids, sizeof at->ids[0], compare_ids);
    for (size_t i = 1; i < at->n_ids; i++)
        if (compare_ids(&at->ids[i - 1], &at->ids[i]) == 0)
            return fault(EXIT_DIFFERENT, "positions %llu and %llu hold events of the same id",
                         (unsigned long long)at->ids[i - 1].position, (unsigned long long)at->ids[i].position);
    return EXIT_DONE;
}

static int check_root(struct verification *at, uint8_t root[TREE_HASH])
{
    arena_t *arena = at->console->ground;

    tree_root(&at->tree, root);
    if (at->head->root.len != TREE_HASH || memcmp(root, at->head->root.data, TREE_HASH) != 0)
        return fault(EXIT_DIFFERENT, "position %llu: the tree's root is %s, but the event log tells %s",
                     (unsigned long long)at->head->position, hex(arena, root, TREE_HASH),
                     hex(arena, at->head->root.data, at->head->root.len));
    return EXIT_DONE;
}

static int tell(const struct verification *at, const uint8_t root[TREE_HASH])
{
    const char *format = at->console->json
                             ? "{\"verified\": true, \"events\": %llu, \"streams\": %zu, \"root\": \"%s\", \"log_id\": \"%s\"}\n"
                             : "verified: %llu events in %zu streams, root %s of log %s\n";

    printf(format, (unsigned long long)at->tree.size, zhashx_size(at->versions),
           hex(at->console->ground, root, TREE_HASH), at->head->log_id);
    return EXIT_DONE;
}

static int keep_head(struct verification *at)
{
    struct console *console = at->console;
    arena_t *arena = console->arena;

    // Decoded onto the ground, since the arena is reset with every page.
    console->arena = console->message.arena = console->ground;
    int code = read_head(console, &at->head);
    console->arena = console->message.arena = arena;
    return code;
}

int run_verify(struct console *console)
{
    struct verification at = {.console = console, .versions = zhashx_new()};
    uint8_t root[TREE_HASH];

    int code = keep_head(&at);
    if (code == EXIT_DONE)
        code = check_pages(&at);
    progress_end();
    if (code == EXIT_DONE)
        code = check_ids_differ(&at);
    if (code == EXIT_DONE)
        code = check_root(&at, root);
    if (code == EXIT_DONE)
        code = tell(&at, root);
    free(at.ids);
    zhashx_destroy(&at.versions);
    return code;
}
