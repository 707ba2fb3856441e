// log: the event log as it is, event by event, and as it grows.
#include "console.h"
#include "receipt.h"

#include "table.h"
#include "values/values.h"
#include "limits/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAST_EVENTS   20
#define LOOK_AGAIN_MS 1000

// One event as JSON, with what the log adds, and its data decoded by the contract.
static void print_json(struct console *console, const Eventlog__V1__Entry *entry,
                       const Eventlog__V1__Event *event)
{
    protojson_t *contract = console_contract(console);
    char *text = protojson_decode(contract, console->arena, eventlog__v1__event__descriptor.name,
                                  entry->event.data, entry->event.len, false);
    char *data = protojson_decode(contract, console->arena, event->type, event->data.data, event->data.len,
                                  false);
    json_t *output = text != NULL ? json_loads(text, 0, NULL) : json_object();

    // Data of a type that this contract does not know stays as it is, in base64.
    if (data != NULL)
        json_object_set_new(output, "data", json_loads(data, 0, NULL));
    json_object_set_new(
        output, "position",
        json_string(arena_printf(console->arena, "%llu", (unsigned long long)entry->position)));
    json_object_set_new(output, "appended_at_us",
                        json_string(arena_printf(console->arena, "%lld", (long long)entry->appended_at_us)));
    json_object_set_new(output, "epoch",
                        json_string(arena_printf(console->arena, "%llu", (unsigned long long)entry->epoch)));
    json_dumpf(output, stdout, JSON_COMPACT);
    fputc('\n', stdout);
    json_decref(output);
}

static void print_line(struct console *console, const Eventlog__V1__Entry *entry,
                       const Eventlog__V1__Event *event)
{
    const actor_t *actor = event->actor;
    const ProtobufCEnumValue *role = actor != NULL ? protobuf_c_enum_descriptor_get_value(
                                                         &bus__v1__actor__role__descriptor, actor->role)
                                                   : NULL;

    printf("%8llu  %s  %-36s  %-36s  %s%s%s\n", (unsigned long long)entry->position,
           moment_text(console->arena, event->time_us), event->type, event->subject,
           actor != NULL ? actor->subject : "-", role != NULL ? " " : "", role != NULL ? role->name : "");
}

static int print_entries(struct console *console, const Eventlog__V1__Page *page)
{
    for (size_t i = 0; i < page->n_entries; i++) {
        const Eventlog__V1__Entry *entry = page->entries[i];
        const Eventlog__V1__Event *event;
        console->message.reason = NULL;
        if (message_decode(&console->message, &eventlog__v1__event__descriptor, entry->event.data,
                           entry->event.len, &event) != OK)
            return fault(EXIT_REFUSED, "position %llu: %s", (unsigned long long)entry->position,
                         console->message.reason);
        if (console->json)
            print_json(console, entry, event);
        else
            print_line(console, entry, event);
    }
    return fflush(stdout) == 0 ? EXIT_DONE : fault(EXIT_REFUSED, "standard output cannot be written");
}

// The position to read after.
static int first_position(struct console *console, uint64_t *ret)
{
    const char *from = option_text(console, "from");
    const Eventlog__V1__Head *head;
    char *end;

    if (from != NULL) {
        *ret = strtoull(from, &end, 10);
        if (from[0] < '0' || from[0] > '9' || *end != '\0' || *ret < 1)
            return fault(EXIT_USAGE, "--from must be a position from 1, not '%s'", from);
        *ret -= 1;
        return EXIT_DONE;
    }
    int code = read_head(console, &head);
    if (code == EXIT_DONE)
        *ret = head->position > LAST_EVENTS ? head->position - LAST_EVENTS : 0;
    return code;
}

// Wait until the feed says something, or a second where it is not followed. False: asked to stop.
static bool wait_for_more(struct console *console)
{
    return bus_next(console_bus(console), console->arena, LOOK_AGAIN_MS).kind != INCOMING_STOP;
}

static int run_tail(struct console *console)
{
    bool follow = option_text(console, "follow") != NULL;
    const Eventlog__V1__Page *page;
    uint64_t after;

    int code = first_position(console, &after);
    for (bool more = true; code == EXIT_DONE && more;) {
        arena_reset(console->arena);
        code = read_page(console, after, LIMIT_PAGE_ENTRIES, &page);
        if (code == EXIT_DONE)
            code = print_entries(console, page);
        if (code != EXIT_DONE)
            break;
        if (page->n_entries > 0)
            after = page->entries[page->n_entries - 1]->position;
        more = after < page->head || (follow && wait_for_more(console));
    }
    return code;
}

static const struct option_row tail_options[] = {
    {"from", "POSITION", "begin at this position; else with the last twenty events"},
    {"follow", NULL, "go on as the log grows, until stopped"},
    {NULL, NULL, NULL},
};

static int run_checkpoint(struct console *console)
{
    const Eventlog__V1__Head *head;
    struct signed_checkpoint found;

    int code = read_head(console, &head);
    if (code == EXIT_DONE && head->position == 0)
        return fault(EXIT_REFUSED, "the log is empty: there is nothing to sign");
    if (code == EXIT_DONE)
        code = checkpoint_fetch(console, head->position, &found);
    if (code == EXIT_DONE)
        fputs(found.note, stdout);
    return code;
}

static const struct option_row verify_options[] = {
    {"key", "FILE", "the log's public key, log.pub; else LOG_PUB, else log.pub among BUS_KEYS"},
    {"since", "FILE", "a signed checkpoint that is trusted: what it covers is not read again"},
    {"state", "PREFIX",
     "then rebuild every service's tables as PREFIX_intake ... and compare them with the live ones"},
    {"again", NULL, "with --state: drop what an earlier run has left, because something differed"},
    {"witness", "FILE", "of a package: the witness's public key, witness.pub; its cosignature must be there"},
    {NULL, NULL, NULL},
};

const struct command commands_log[] = {
    {"log tail", "", 0, 0, "show the events of the log",
     "One line an event: position, time in Oslo, type, subject, actor. With --json one object a line, with "
     "the event's data decoded.",
     tail_options, run_tail},
    {"log checkpoint", "", 0, 0, "write what the log signs now, cosigned where a witness is in time",
     "A signed note (c2sp.org/tlog-checkpoint) over the whole log. Keep it elsewhere: with it and log.pub "
     "anybody can tell "
     "later that nothing was taken out or changed; and tildel verify --since goes on from it.",
     NULL, run_checkpoint},
    {"verify", "[FILE | FOLDER]", 0, 1,
     "recompute the whole log, or check an auditor's package or an exported log",
     "Reads every event, recomputes each leaf hash and the tree root of RFC 9162, and checks positions, the "
     "versions of every stream, that each event's id is its own, that source, stream and type agree, and "
     "that each event's data is a message of the contract, and that every checkpoint the log has signed is "
     "the "
     "tree as it then was. Exit code 4 names the first position that is wrong.\n"
     "With --since, goes on from a checkpoint of the log (tildel log checkpoint writes one): the log must be "
     "one "
     "that begins as it says, and what it covers is not read again.\n"
     "With --state, also that the state is what the events say: every service's tables are rebuilt from the "
     "log, as by "
     "tildel replay, compared with the live ones, and dropped when they are equal. Needs MIGRATE_URL, the "
     "owner's "
     "database.\n"
     "With FILE, a package of audit export: every sum, every event that is there, the tree, the documents' "
     "hashes, and that documents and timeline are what comes of the events; with --key or LOG_PUB, that the "
     "log signed it. Needs no stack.\n"
     "With FOLDER, a log that tildel-eventlog --export has written: every entry and tile, and with --key or "
     "LOG_PUB the "
     "checkpoint's signature. Needs no stack either.\n"
     "To find an id that is there twice, a log of more than 65 536 events needs 24 bytes of disk for each of "
     "them in TMPDIR "
     "or /tmp.",
     verify_options, run_verify},
    {NULL},
};
