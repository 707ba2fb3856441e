// verify: recompute all that the event log claims, from the stored bytes alone.
//
// The log is read as any client reads it. What is checked: positions without gap; every event canonical, its
// data too; the versions of every stream 1, 2, 3; no id twice; source, stream and type of one mind; rehearsal
// as the log says; epochs that never go back; and at the end the root of the tree over the leaf hashes
// against the root the event log tells.
#include "verify.h"

#include "checkpoints.h"
#include "contract.h"
#include "ids.h"
#include "resume.h"
#include "values/values.h"
#include "versions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct verification {
    struct console *console;
    const Eventlog__V1__Head *head;
    struct tree tree;
    uint64_t began;      // entries before were not read
    versions_t *versions;
    ids_t *ids;
    uint64_t epoch;
    const char *why;
    bool cannot;  // it is not the log that is to blame
};

// Always false, so that `return differs(...)` reads well.
static bool differs(verification_t *at, const char *what)
{
    at->why = arena_printf(at->console->arena, "position %llu: %s", (unsigned long long)at->tree.size + 1,
                           what);
    return false;
}

static bool parse_id(const char *text, uint8_t ret[ID_BYTES])
{
    if (!uuid_valid(text))
        return false;
    for (size_t i = 0; i < ID_BYTES; i++, text += 2) {
        text += *text == '-';
        ret[i] = (uint8_t)strtoul((const char[]){text[0], text[1], '\0'}, NULL, 16);
    }
    return true;
}

// Always false: the check cannot go on.
static bool no_room(verification_t *at)
{
    at->cannot = true;
    at->why = arena_printf(
        at->console->arena,
        "to find an id that is there twice, each event needs 24 bytes of disk in TMPDIR or /tmp: %s",
        strerror(errno));
    return false;
}

static bool check_id(verification_t *at, const Eventlog__V1__Event *event)
{
    uint8_t id[ID_BYTES];

    if (!parse_id(event->id, id))
        return differs(at, "the event's id is not a UUID");
    return ids_add(at->ids, id, at->tree.size + 1) || no_room(at);
}

static bool check_version(verification_t *at, const Eventlog__V1__Event *event)
{
    int64_t *last = versions_of(at->versions, versions_name(at->versions, event->stream));
    uint64_t before = (uint64_t)*last;

    if (at->began > 0 && before == 0 && event->version > 1)
        before = event->version - 1;
    if (event->version != before + 1)
        return differs(at, arena_printf(at->console->arena, "stream %s goes from version %llu to %llu",
                                        event->stream, (unsigned long long)before,
                                        (unsigned long long)event->version));
    *last = (int64_t)event->version;
    return true;
}

// Does the text begin with this word and then this mark?
static bool begins(const char *text, const char *word, char mark)
{
    size_t length = strlen(word);

    return strncmp(text, word, length) == 0 && text[length] == mark;
}

static bool check_source(verification_t *at, const Eventlog__V1__Event *event)
{
    arena_t *arena = at->console->arena;

    if (!begins(event->stream, event->source, '/'))
        return differs(
            at, arena_printf(arena, "stream %s is not of its source '%s'", event->stream, event->source));
    // service.v1 is what all services have in common.
    if (!begins(event->type, event->source, '.') && !begins(event->type, "service", '.'))
        return differs(at, arena_printf(arena, "a %s cannot come from %s", event->type, event->source));
    if (event->rehearsal != at->head->rehearsal)
        return differs(at, event->rehearsal ? "an event of a rehearsal in a real log"
                                            : "a real event in a rehearsal's log");
    if (!contract_holds(at->console, event))
        return differs(at, arena_printf(arena, "the event's data is not a %s of this contract", event->type));
    return true;
}

static bool check_ids_differ(verification_t *at)
{
    uint64_t again, first;

    if (!ids_twice(at->ids, &again, &first))
        return no_room(at);
    if (again == 0)
        return true;
    at->why = arena_printf(at->console->arena,
                           "position %llu: its event has the id of the one at position %llu",
                           (unsigned long long)again, (unsigned long long)first);
    return false;
}

static bool check_root(verification_t *at, uint8_t root[TREE_HASH])
{
    arena_t *arena = at->console->arena;
    const ProtobufCBinaryData *told = &at->head->root;

    tree_root(&at->tree, root);
    if (told->len == TREE_HASH && memcmp(root, told->data, TREE_HASH) == 0)
        return true;
    at->why = arena_printf(arena, "position %llu: the tree's root is %s, but the event log tells '%s'",
                           (unsigned long long)at->head->position, hex(arena, root, TREE_HASH),
                           hex(arena, told->data, told->len));
    return false;
}

// -------------------------------------------------------------------------------------------- entry by entry

verification_t *verification_new(struct console *console, const Eventlog__V1__Head *head,
                                 const struct tree *before)
{
    verification_t *at = arena_alloc(console->ground, sizeof *at);

    *at = (verification_t){.console = console,
                           .head = head,
                           .tree = *before,
                           .began = before->size,
                           .versions = versions_new(),
                           .ids = ids_new()};
    return at;
}

void verification_destroy(verification_t **at_p)
{
    ids_destroy(&(*at_p)->ids);
    versions_destroy(&(*at_p)->versions);
    *at_p = NULL;
}

bool verification_entry(verification_t *at, const Eventlog__V1__Entry *entry, uint8_t ret_leaf[TREE_HASH],
                        const char **ret_why)
{
    struct message *message = &at->console->message;
    const Eventlog__V1__Event *event;
    uint8_t leaf[TREE_HASH];
    bool well = true;

    message->reason = NULL;
    if (entry->position != at->tree.size + 1)
        well = differs(at, arena_printf(at->console->arena, "missing; position %llu came instead",
                                        (unsigned long long)entry->position));
    else if (entry->epoch < at->epoch)
        well = differs(at, "its epoch is older than that of the one before it");
    else if (message_decode(message, &eventlog__v1__event__descriptor, entry->event.data, entry->event.len,
                            &event) != OK)
        well = differs(at, message->reason);
    well = well && check_source(at, event) && check_version(at, event) && check_id(at, event);
    *ret_why = at->why;
    if (!well)
        return false;
    at->epoch = entry->epoch;
    tree_leaf(entry->event.data, entry->event.len, leaf);
    tree_add(&at->tree, leaf);
    if (ret_leaf != NULL)
        memcpy(ret_leaf, leaf, TREE_HASH);
    return true;
}

bool verification_end(verification_t *at, uint8_t ret[TREE_HASH], const char **ret_why)
{
    bool well = check_ids_differ(at) && check_root(at, ret);

    *ret_why = at->why;
    return well;
}

enum exit_code verification_exit(const verification_t *at)
{
    return at->cannot ? EXIT_REFUSED : EXIT_DIFFERENT;
}

const struct tree *verification_tree(const verification_t *at)
{
    return &at->tree;
}

uint64_t verification_position(const verification_t *at)
{
    return at->tree.size;
}

size_t verification_streams(const verification_t *at)
{
    return versions_count(at->versions);
}

// --------------------------------------------------------------------------------------------------- the log

static int check_page(verification_t *at, checkpoints_t *checkpoints, const Eventlog__V1__Page *page,
                      uint64_t head)
{
    const char *why;
    int code = EXIT_DONE;

    for (size_t i = 0; code == EXIT_DONE && i < page->n_entries && verification_position(at) < head; i++) {
        if (!verification_entry(at, page->entries[i], NULL, &why))
            return fault(verification_exit(at), "%s", why);
        code = checkpoints_check(checkpoints, verification_tree(at));
    }
    return code;
}

static int check_pages(struct console *console, verification_t *at, checkpoints_t *checkpoints, uint64_t head)
{
    pages_t *pages = pages_begin(console, verification_position(at), head);
    const Eventlog__V1__Page *page;
    int code = EXIT_DONE;

    while (code == EXIT_DONE && verification_position(at) < head) {
        code = pages_read(console, pages, &page);
        if (code == EXIT_DONE && page->n_entries == 0)
            code = fault(EXIT_DIFFERENT, "position %llu: missing; the log ends before the head it tells",
                         (unsigned long long)verification_position(at) + 1);
        if (code == EXIT_DONE)
            code = check_page(at, checkpoints, page, head);
        if (code == EXIT_DONE)
            progress("verifying", verification_position(at), head);
    }
    if (code == EXIT_DONE)
        progress_end();
    pages_destroy(&pages);
    return code;
}

// The head is decoded onto the ground, since the arena is reset with every page.
static int keep_head(struct console *console, const Eventlog__V1__Head **ret)
{
    arena_t *arena = console->arena;

    console->arena = console->message.arena = console->ground;
    int code = read_head(console, ret);
    console->arena = console->message.arena = arena;
    return code;
}

static int verify_to(struct console *console, verification_t *at, const Eventlog__V1__Head *head)
{
    uint8_t root[TREE_HASH];
    const char *why;

    checkpoints_t *checkpoints;
    unsigned long long began = verification_position(at);
    int code = checkpoints_new(console, began, head->position, &checkpoints);
    if (code == EXIT_DONE)
        code = check_pages(console, at, checkpoints, head->position);
    if (code != EXIT_DONE)
        return code;
    if (!verification_end(at, root, &why))
        return fault(verification_exit(at), "%s", why);
    unsigned long long events = verification_position(at);
    const char *root_text = hex(console->ground, root, TREE_HASH);
    if (console->json)
        printf("{\"verified\": true, \"events\": %llu, \"streams\": %zu, \"root\": \"%s\", \"log_id\": "
               "\"%s\", \"checkpoints\": %llu, \"signatures\": %s, \"since\": %llu}\n",
               events, verification_streams(at), root_text, head->log_id,
               (unsigned long long)checkpoints_count(checkpoints),
               checkpoints_signed(checkpoints) ? "true" : "false", began);
    else
        printf("verified: %llu events%s in %zu streams, root %s of log %s; %llu checkpoints, %s\n", events,
               began == 0 ? ""
                          : arena_printf(console->ground,
                                         ", the first %llu by their checkpoint alone, the others", began),
               verification_streams(at), root_text, head->log_id,
               (unsigned long long)checkpoints_count(checkpoints),
               checkpoints_signed(checkpoints) ? "each signed by the log"
                                               : "signatures unchecked: no log.pub");
    return EXIT_DONE;
}

static bool is_folder(const char *path)
{
    struct stat found;

    return stat(path, &found) == 0 && S_ISDIR(found.st_mode);
}

int run_verify(struct console *console)
{
    const char *since = option_text(console, "since"), *state = option_text(console, "state");
    const Eventlog__V1__Head *head;
    struct tree before = {0};

    if (state == NULL && option_text(console, "again") != NULL)
        return fault(EXIT_USAGE, "--again drops what an earlier --state PREFIX has left; say which PREFIX");
    if (console->n_arguments == 1 && (since != NULL || state != NULL))
        return fault(EXIT_USAGE,
                     "--since and --state are for the live log: a package or an export is always checked "
                     "whole, and has no state");
    if (console->n_arguments == 1)
        return is_folder(console->arguments[0]) ? run_verify_folder(console) : run_verify_package(console);
    int code = keep_head(console, &head);
    if (code == EXIT_DONE && since != NULL)
        code = resume_tree(console, since, head->position, &before);
    if (code != EXIT_DONE)
        return code;
    verification_t *at = verification_new(console, head, &before);
    code = verify_to(console, at, head);
    verification_destroy(&at);
    return code == EXIT_DONE && state != NULL ? verify_state(console) : code;
}
