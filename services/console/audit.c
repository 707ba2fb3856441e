// audit: the auditor's package: one archive that can be checked without us, made from the log as it is read.
#include "console.h"
#include "derive.h"
#include "package.h"
#include "receipt.h"
#include "selection.h"
#include "table.h"

#include "clock/clock.h"
#include "limits/limits.h"
#include "package_texts.h"
#include "values/values.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PART_RECORDS 1000  // positions in one member of the log
#define PART_BYTES   (4 * 1024 * 1024)

struct export
{
    struct console *console;
    package_t *package;
    derive_t *derive;
    const char *path, *call_id, *case_id;  // "" for all
    const char *case_call_id;              // the case's call
    uint64_t first, last;                  // positions asked for
    const char *log_id;
    bool rehearsal;
    bool witnessed;           // the checkpoint is cosigned
    uint64_t size;            // of the tree that is exported
    char *root_base64;        // that the checkpoint tells for it
    uint8_t root[TREE_HASH];  // that was computed
    selection_t *selection;
    struct package_time time;
    struct tree tree;
    uint64_t selected;
    uint8_t *part;  // the member of the log under way
    size_t part_size;
    uint64_t part_first;
};

// --------------------------------------------------------------------------------------------------- the selection

static int position_option(struct console *console, const char *name, uint64_t otherwise, uint64_t size,
                           uint64_t *ret)
{
    const char *text = option_text(console, name);
    char *end;

    *ret = otherwise;
    if (text == NULL)
        return EXIT_DONE;
    *ret = strtoull(text, &end, 10);
    if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && *ret >= 1 && *ret <= size)
        return EXIT_DONE;
    return fault(EXIT_USAGE, "--%s %s is not a position of the log, which has 1..%llu", name, text,
                 (unsigned long long)size);
}

static int choose(struct export *at)
{
    struct console *console = at->console;

    at->call_id = option_text(console, "call") != NULL ? option_text(console, "call") : "";
    at->case_id = option_text(console, "case") != NULL ? option_text(console, "case") : "";
    if (at->call_id[0] != '\0' && at->case_id[0] != '\0')
        return fault(EXIT_USAGE, "--call and --case do not go together: a case is of one call");
    int code = position_option(console, "from", 1, at->size, &at->first);
    if (code == EXIT_DONE)
        code = position_option(console, "to", at->size, at->size, &at->last);
    if (code == EXIT_DONE && at->first > at->last)
        return fault(EXIT_USAGE, "--from %llu comes after --to %llu", (unsigned long long)at->first,
                     (unsigned long long)at->last);
    return code;
}

static int find_case_call(void *context, struct console *console, const Eventlog__V1__Entry *entry,
                          const Eventlog__V1__Event *event)
{
    struct export *at = context;

    (void)entry;
    if (at->case_call_id[0] != '\0' || strcmp(event->subject, at->case_id) != 0)
        return EXIT_DONE;
    at->case_call_id = arena_text(console->ground, contract_subject(console, event).call_id);
    return EXIT_DONE;
}

// -------------------------------------------------------------------------------------------------------- writing

static int add(struct export *at, const char *name, const void *bytes, size_t size)
{
    const char *why;

    return package_add(at->package, name, bytes, size, &why) ? EXIT_DONE : fault(EXIT_REFUSED, "%s", why);
}

static int write_derived(struct export *at)
{
    int code = EXIT_DONE;

    for (struct derived *one; code == EXIT_DONE && (one = derive_take(at->derive)) != NULL;) {
        code = add(at, one->name, one->bytes, one->size);
        derived_free(one);
    }
    return code;
}

// What has gathered of the log, and what came of it.
static int write_part(struct export *at, bool last)
{
    char *name = arena_printf(at->console->arena, "log/%012llu.records", (unsigned long long)at->part_first);
    int code = at->part_size > 0 ? add(at, name, at->part, at->part_size) : EXIT_DONE;

    at->part_size = 0;
    derive_part(at->derive, last);
    return code == EXIT_DONE ? write_derived(at) : code;
}

static void put_number(struct export *at, uint64_t number, size_t size)
{
    bytes_put(at->part + at->part_size, number, size);
    at->part_size += size;
}

static void put_bytes(struct export *at, const void *bytes, size_t size)
{
    memcpy(at->part + at->part_size, bytes, size);
    at->part_size += size;
}

static int put_record(struct export *at, const Eventlog__V1__Entry *entry, const uint8_t leaf[TREE_HASH],
                      bool whole)
{
    // The part has room for one more of the largest.
    if (at->part_size == 0)
        at->part_first = entry->position;
    at->part[at->part_size++] = whole ? 'E' : 'H';
    put_number(at, entry->position, 8);
    if (whole) {
        put_number(at, (uint64_t)entry->appended_at_us, 8);
        put_number(at, entry->epoch, 8);
        put_number(at, entry->event.len, 4);
        put_bytes(at, entry->event.data, entry->event.len);
    } else {
        put_bytes(at, leaf, TREE_HASH);
    }
    bool full = entry->position - at->part_first + 1 >= PART_RECORDS || at->part_size > PART_BYTES;
    return full && entry->position < at->size ? write_part(at, false) : EXIT_DONE;
}

static int take(void *context, struct console *console, const Eventlog__V1__Entry *entry,
                const Eventlog__V1__Event *event)
{
    struct export *at = context;
    uint8_t leaf[TREE_HASH];

    if (entry->event.len > LIMIT_EVENT_BYTES)
        return fault(EXIT_DIFFERENT, "position %llu: its event is larger than one may be",
                     (unsigned long long)entry->position);
    tree_leaf(entry->event.data, entry->event.len, leaf);
    tree_add(&at->tree, leaf);
    bool selected = selection_holds(at->selection, console, event, entry->position);
    if (selected) {
        json_t *data = derive_reads(event->type) ? contract_json(console, event) : NULL;
        derive_event(at->derive, event, entry->position, data);
        json_decref(data);
        package_time_event(&at->time, event, entry->position);
        at->selected++;
    }
    return put_record(at, entry, leaf, selected);
}

// ----------------------------------------------------------------------------------------- what the log promises

// What is exported ends where a checkpoint ends that covers the head; cosigned, where there is a witness.
static int take_checkpoint(struct export *at, struct signed_checkpoint *ret)
{
    arena_t *ground = at->console->ground;

    int code = checkpoint_fetch(at->console, at->size, ret);
    if (code != EXIT_DONE)
        return code;
    at->size = ret->size;
    ret->note = arena_text(ground, ret->note);
    ret->log = arena_text(ground, ret->log);
    ret->witness = arena_text(ground, ret->witness);
    return EXIT_DONE;
}

// The third line of a checkpoint is its root.
static int take_root(struct export *at, const char *note)
{
    const char *line = note;

    for (int i = 0; i < 2 && line != NULL; i++)
        line = strchr(line, '\n') != NULL ? strchr(line, '\n') + 1 : NULL;
    if (line == NULL)
        return fault(EXIT_DIFFERENT, "what the event log signs is no checkpoint");
    at->root_base64 = arena_printf(at->console->ground, "%.*s", (int)strcspn(line, "\n"), line);
    return EXIT_DONE;
}

static int look_at_log(struct export *at, struct signed_checkpoint *ret)
{
    const Eventlog__V1__Head *head;

    int code = read_head(at->console, &head);
    if (code != EXIT_DONE)
        return code;
    if (head->position == 0)
        return fault(EXIT_REFUSED, "the log is empty: there is nothing to export");
    at->size = head->position;
    at->log_id = arena_text(at->console->ground, head->log_id);
    at->rehearsal = head->rehearsal;
    code = take_checkpoint(at, ret);
    return code == EXIT_DONE ? take_root(at, ret->note) : code;
}

// What was read must be what the log promised; otherwise there is no package.
static int compare_root(struct export *at)
{
    char encoded[64];

    tree_root(&at->tree, at->root);
    EVP_EncodeBlock((unsigned char *)encoded, at->root, TREE_HASH);
    return strcmp(encoded, at->root_base64) == 0
               ? EXIT_DONE
               : fault(EXIT_DIFFERENT, "position %llu: the log does not have the root that it has signed",
                       (unsigned long long)at->size);
}

// ---------------------------------------------------------------------------------------------------- the package

static int write_manifest(struct export *at, int64_t made_at_us)
{
    arena_t *arena = at->console->arena;
    json_t *manifest = json_pack(
        "{s:s, s:s, s:b, s:I, s:s, s:I, s:I, s:I, s:s, s:s, s:I, s:I, s:s}", "format", PACKAGE_FORMAT,
        "log_id", at->log_id, "rehearsal", (int)at->rehearsal, "size", (json_int_t)at->size, "root",
        hex(arena, at->root, TREE_HASH), "selected", (json_int_t)at->selected, "first", (json_int_t)at->first,
        "last", (json_int_t)at->last, "call", at->call_id, "case", at->case_id, "made_at_us",
        (json_int_t)made_at_us, "documents", (json_int_t)derive_documents(at->derive), "program", VERSION);
    char *text = json_dumps(manifest, JSON_INDENT(1));
    int code = add(at, "manifest.json", text, strlen(text));

    free(text);
    json_decref(manifest);
    return code;
}

// A machine whose clock is behind makes no package: nobody could believe when it was made.
static int check_clock(struct export *at, const struct signed_checkpoint *checkpoint, int64_t made_at_us)
{
    arena_t *arena = at->console->arena;
    const char *why;

    package_time_checkpoint(&at->time, arena, checkpoint->note, strlen(checkpoint->note),
                            checkpoint->witness);
    return package_time_allows(arena, &at->time, made_at_us, &why)
               ? EXIT_DONE
               : fault(EXIT_REFUSED, "%s: does this machine's clock go right? Nothing is exported", why);
}

static int write_all(struct export *at, const struct signed_checkpoint *checkpoint, int64_t made_at_us)
{
    const char *why;

    int code = add(at, "FORMAT.md", package_format, sizeof package_format);
    if (code == EXIT_DONE)
        code = add(at, "verify.py", package_verify_py, sizeof package_verify_py);
    if (code == EXIT_DONE)
        code = add(at, "log/checkpoint", checkpoint->note, strlen(checkpoint->note));
    if (code == EXIT_DONE)
        code = add(at, "log/key", checkpoint->log, strlen(checkpoint->log));
    if (code == EXIT_DONE && checkpoint->witness[0] != '\0')
        code = add(at, "log/witness", checkpoint->witness, strlen(checkpoint->witness));
    at->witnessed = checkpoint->witness[0] != '\0';
    if (code == EXIT_DONE)
        code = log_walk(at->console, 0, at->size, "exporting", take, at);
    if (code == EXIT_DONE)
        code = write_part(at, true);
    if (code == EXIT_DONE && at->selected == 0)
        return fault(EXIT_REFUSED, "the log knows nothing of %s%s: nothing is exported", at->call_id,
                     at->case_id);
    if (code == EXIT_DONE)
        code = compare_root(at);
    if (code == EXIT_DONE)
        code = check_clock(at, checkpoint, made_at_us);
    if (code == EXIT_DONE)
        code = write_manifest(at, made_at_us);
    if (code == EXIT_DONE && !package_finish(at->package, &why))
        code = fault(EXIT_REFUSED, "%s", why);
    return code;
}

static int export_all(struct export *at)
{
    struct signed_checkpoint checkpoint;
    const char *why;

    int code = look_at_log(at, &checkpoint);
    if (code == EXIT_DONE)
        code = choose(at);
    if (code == EXIT_DONE && at->case_id[0] != '\0')
        code = log_walk(at->console, 0, at->size, "looking for the case", find_case_call, at);
    if (code == EXIT_DONE && at->case_id[0] != '\0' && at->case_call_id[0] == '\0')
        code = fault(EXIT_REFUSED, "the log knows nothing of %s: nothing is exported", at->case_id);
    if (code != EXIT_DONE)
        return code;
    at->selection = selection_new(at->call_id, at->case_id, at->case_call_id, at->first, at->last);
    int64_t made_at_us = clock_real_us();  // after the checkpoint was signed
    at->package = package_new(at->console->ground, at->path, made_at_us, &why);
    if (at->package == NULL)
        return fault(EXIT_REFUSED, "%s", why);
    return write_all(at, &checkpoint, made_at_us);
}

static void tell_export(const struct export *at)
{
    unsigned long long selected = at->selected, size = at->size, documents = derive_documents(at->derive);
    const char *root = hex(at->console->ground, at->root, TREE_HASH);

    if (at->console->json)
        printf(
            "{\"size\": %llu, \"selected\": %llu, \"documents\": %llu, \"root\": \"%s\", \"witnessed\": %s}\n",
            size, selected, documents, root, at->witnessed ? "true" : "false");
    else
        printf("%s: %llu of %llu events, %llu documents, root %s%s\n", at->path, selected, size, documents,
               root, at->witnessed ? ", signed by the log and its witness" : ", signed by the log");
}

static int run_export(struct console *console)
{
    struct export *at = arena_alloc(console->ground, sizeof *at);

    *at = (struct export){.console = console,
                          .path = console->arguments[0],
                          .case_call_id = "",
                          .derive = derive_new(console),
                          .part = malloc(PART_BYTES + LIMIT_EVENT_BYTES + 4096)};
    assert(at->part != NULL);
    int code = export_all(at);
    package_destroy(&at->package);
    if (code == EXIT_DONE)
        tell_export(at);
    derive_destroy(&at->derive);
    selection_destroy(&at->selection);
    free(at->part);
    return code;
}

// ------------------------------------------------------------------------------------------------------- show, verify

static void print_facts(struct console *console, const char *path, const struct package_facts *facts)
{
    arena_t *arena = console->arena;

    printf("%s: auditor's package%s, made %s\n", path, facts->rehearsal ? " of a rehearsal" : "",
           oslo_text(arena, facts->made_at_us));
    printf("log_id %s: a label that nothing here proves; the log is known by its key\n", facts->log_id);
    if (facts->call_id[0] != '\0' || facts->case_id[0] != '\0')
        printf("selected: %s%s\n", facts->call_id[0] != '\0' ? "call " : "case ",
               facts->call_id[0] != '\0' ? facts->call_id : facts->case_id);
    printf("positions %llu..%llu asked for; %llu events of %llu are here, %llu documents; %llu members, %llu "
           "bytes\nroot %s%s\n",
           (unsigned long long)facts->first, (unsigned long long)facts->last,
           (unsigned long long)facts->selected, (unsigned long long)facts->size,
           (unsigned long long)facts->documents, (unsigned long long)facts->members,
           (unsigned long long)facts->bytes, facts->root, facts->is_signed ? ", signed by the log" : "");
}

static void print_facts_json(const struct package_facts *facts)
{
    json_t *output = json_pack(
        "{s:b, s:s, s:b, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:b, s:b, s:b, s:I, s:[s]}", "verified", 1,
        "log_id", facts->log_id, "rehearsal", (int)facts->rehearsal, "call", facts->call_id, "case",
        facts->case_id, "first", (json_int_t)facts->first, "last", (json_int_t)facts->last, "size",
        (json_int_t)facts->size, "selected", (json_int_t)facts->selected, "documents",
        (json_int_t)facts->documents, "root", facts->root, "signed", (int)facts->is_signed,
        "signature_checked", (int)facts->is_checked, "witnessed", (int)(facts->witnessed_at_s != 0),
        "members", (json_int_t)facts->members, "unproved", "log_id");
    json_dumpf(output, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(output);
}

// Documents by their names, the timeline line by line.
static int show_member(void *context, struct console *console, const char *name, const uint8_t *bytes,
                       size_t size)
{
    size_t length = strlen(name);

    (void)context, (void)console;
    if (strncmp(name, "timeline/", strlen("timeline/")) == 0 && strcmp(name + length - 4, ".csv") == 0)
        fwrite(bytes, 1, size, stdout);
    else if (strncmp(name, "documents/", strlen("documents/")) == 0 ||
             strncmp(name, "rules/", strlen("rules/")) == 0)
        printf("%s (%zu bytes)\n", name, size);
    return EXIT_DONE;
}

static int run_show(struct console *console)
{
    struct package_facts facts;
    const char *path = console->arguments[0];

    int code = package_verify(console, path, &facts);
    if (code != EXIT_DONE)
        return code;
    if (console->json) {
        print_facts_json(&facts);
        return EXIT_DONE;
    }
    print_facts(console, path, &facts);
    putchar('\n');
    return package_read(console, path, show_member, NULL);
}

int run_verify_package(struct console *console)
{
    struct package_facts facts;
    const char *path = console->arguments[0];

    int code = package_verify(console, path, &facts);
    if (code != EXIT_DONE)
        return code;
    if (console->json)
        print_facts_json(&facts);
    else
        printf("verified: %llu positions, %llu of them here, %llu documents, root %s; %s%s\n",
               (unsigned long long)facts.size, (unsigned long long)facts.selected,
               (unsigned long long)facts.documents, facts.root,
               facts.is_checked  ? "signed by the log"
               : facts.is_signed ? "its checkpoint's signature unchecked: give --key log.pub"
                                 : "no checkpoint",
               facts.witnessed_at_s == 0
                   ? ""
                   : arena_printf(console->arena, ", and cosigned by the witness at %s",
                                  instant_text(console->arena, facts.witnessed_at_s * 1000000)));
    return EXIT_DONE;
}

static const struct option_row export_options[] = {
    {"call", "CALL", "only what concerns this call"},
    {"case", "APPLICATION", "only this case, and what its call says to everyone"},
    {"from", "POSITION", "from this position"},
    {"to", "POSITION", "up to this position"},
    {NULL, NULL, NULL},
};

const struct command commands_audit[] = {
    {"audit export", "FILE", 1, 1, "write an archive that an auditor can check without us",
     "The log segment with every event as it is stored, documents, rules in force, a timeline as HTML and "
     "CSV, "
     "the checkpoint that the log, and its witness where there is one, have signed, a small verifier and a description of the format. Events "
     "that "
     "are not selected are there as hashes only, so that the tree's root proves those that are. FILE must "
     "not "
     "be there; nothing is left of an export that does not end well.",
     export_options, run_export},
    {"audit show", "FILE", 1, 1, "open a package: what it is, its documents, its timeline",
     "The package is checked first, as by tildel verify FILE. Needs no stack.", NULL, run_show},
    {NULL},
};
