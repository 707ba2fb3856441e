// package: the auditor's package, read and checked. Nothing that somebody else wrote is believed: sizes are
// bounded, names are ours or refused, and every claim is computed again.
#include "package.h"

#include "derive.h"
#include "document.h"
#include "env/env.h"
#include "limits/limits.h"
#include "note/checkpoint.h"
#include "values/values.h"
#include "receipt.h"
#include "selection.h"
#include "sums.h"
#include "versions.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMBER_BYTES (64 * 1024 * 1024)
#define PIECE_BYTES  (64 * 1024)
#define RECORD_HEAD  9   // kind and position
#define ENTRY_HEAD   20  // appended, epoch, size

// ------------------------------------------------------------------------------------------------------ members

static int read_member(struct archive *archive, struct archive_entry *entry, const char *path, uint8_t **ret,
                       size_t *ret_size)
{
    la_int64_t size = archive_entry_size(entry);
    const char *name = archive_entry_pathname(entry);

    if (name == NULL || archive_entry_filetype(entry) != AE_IFREG || size < 0 || size > MEMBER_BYTES)
        return fault(EXIT_REFUSED, "%s is no auditor's package: it holds what no package does", path);
    *ret = malloc((size_t)size + 1);
    assert(*ret != NULL);
    *ret_size = (size_t)size;
    (*ret)[size] = '\0';
    if (archive_read_data(archive, *ret, *ret_size) == size)
        return EXIT_DONE;
    free(*ret);
    *ret = NULL;
    return fault(EXIT_REFUSED, "%s ends within %s", path, name);
}

// The list of hashes comes in pieces: there may be millions.
static int read_sums(struct console *console, struct archive *archive, const char *path, member_f *visit,
                     void *context)
{
    uint8_t piece[PIECE_BYTES];
    la_ssize_t size;
    int code = EXIT_DONE;

    while (code == EXIT_DONE && (size = archive_read_data(archive, piece, sizeof piece)) != 0)
        code = size > 0 ? visit(context, console, SUMS_MEMBER, piece, (size_t)size)
                        : fault(EXIT_REFUSED, "%s ends within %s", path, SUMS_MEMBER);
    return code;
}

static int read_members(struct console *console, struct archive *archive, const char *path, member_f *visit,
                        void *context)
{
    struct archive_entry *entry;
    bool finished = false;
    int code = EXIT_DONE;

    for (int state;
         code == EXIT_DONE && (state = archive_read_next_header(archive, &entry)) != ARCHIVE_EOF;) {
        uint8_t *bytes = NULL;
        size_t size = 0;
        arena_reset(console->arena);
        if (state != ARCHIVE_OK)
            return fault(EXIT_REFUSED, "%s cannot be read: %s", path, archive_error_string(archive));
        if (finished)
            return fault(EXIT_DIFFERENT, "%s: %s comes after SHA256SUMS", path,
                         archive_entry_pathname(entry));
        finished = archive_entry_pathname(entry) != NULL &&
                   strcmp(archive_entry_pathname(entry), SUMS_MEMBER) == 0;
        if (finished) {
            code = read_sums(console, archive, path, visit, context);
            continue;
        }
        code = read_member(archive, entry, path, &bytes, &size);
        if (code != EXIT_DONE)
            break;
        const char *name = arena_text(console->arena, archive_entry_pathname(entry));
        code = visit(context, console, name, bytes, size);
        free(bytes);
    }
    if (code == EXIT_DONE && !finished)
        return fault(EXIT_REFUSED, "%s is no auditor's package, or was not finished: it has no SHA256SUMS",
                     path);
    return code;
}

int package_read(struct console *console, const char *path, member_f *visit, void *context)
{
    struct archive *archive = archive_read_new();
    int code;

    archive_read_support_format_tar(archive);
    if (archive_read_open_filename(archive, path, 64 * 1024) != ARCHIVE_OK)
        code = fault(EXIT_REFUSED, "%s cannot be read: %s", path, archive_error_string(archive));
    else
        code = read_members(console, archive, path, visit, context);
    archive_read_free(archive);
    return code;
}

// ------------------------------------------------------------------------------------------------------ records

// A record of the log.
struct record {
    uint64_t position;
    const uint8_t *event;  // NULL: only its leaf is here
    size_t event_size;
    const uint8_t *leaf;
    size_t used;  // bytes, head included
};

// The first record of these bytes. False: there is no whole one; its position is read where there is room for one.
static bool record_read(const uint8_t *bytes, size_t size, struct record *ret)
{
    *ret = (struct record){0};
    if (size < RECORD_HEAD + ENTRY_HEAD)
        return false;
    ret->position = bytes_take(bytes + 1, 8);
    if (bytes[0] == 'H' && size >= RECORD_HEAD + TREE_HASH) {
        ret->leaf = bytes + RECORD_HEAD;
        ret->used = RECORD_HEAD + TREE_HASH;
    } else if (bytes[0] == 'E' &&
               bytes_take(bytes + RECORD_HEAD + 16, 4) <= size - RECORD_HEAD - ENTRY_HEAD) {
        ret->event = bytes + RECORD_HEAD + ENTRY_HEAD;
        ret->event_size = (size_t)bytes_take(bytes + RECORD_HEAD + 16, 4);
        ret->used = RECORD_HEAD + ENTRY_HEAD + ret->event_size;
    }
    return ret->used > 0;
}

static bool ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), tail = strlen(end);

    return length >= tail && strcmp(name + length - tail, end) == 0;
}

struct walk {
    const char *path;
    visit_f *visit;
    void *context;
};

static int walk_member(void *context, struct console *console, const char *name, const uint8_t *bytes,
                       size_t size)
{
    const struct walk *walk = context;
    int code = EXIT_DONE;

    if (strncmp(name, "log/", strlen("log/")) != 0 || !ends_with(name, ".records"))
        return EXIT_DONE;
    for (struct record record; code == EXIT_DONE && size > 0; bytes += record.used, size -= record.used) {
        Eventlog__V1__Entry entry = EVENTLOG__V1__ENTRY__INIT;
        const Eventlog__V1__Event *event;
        arena_reset(console->arena);
        if (!record_read(bytes, size, &record))
            return fault(EXIT_REFUSED, "%s: a record of its log is damaged", walk->path);
        if (record.event == NULL)
            continue;
        entry.position = record.position;
        if (message_decode(&console->message, &eventlog__v1__event__descriptor, record.event,
                           record.event_size, &event) != OK)
            return fault(EXIT_REFUSED, "%s: position %llu: it holds no event", walk->path,
                         (unsigned long long)record.position);
        code = walk->visit(walk->context, console, &entry, event);
    }
    return code;
}

int package_walk(struct console *console, const char *path, visit_f *visit, void *context)
{
    return package_read(console, path, walk_member, &(struct walk){path, visit, context});
}

// ------------------------------------------------------------------------------------------------------- checks

struct checking {
    struct package_facts *facts;
    const char *path;
    struct tree tree;
    versions_t *versions;
    uint64_t begun_late;  // the first event here whose stream begins before it; 0: there is none
    sums_t *sums;
    bool sums_here;  // the package's own list has begun
    derive_t *derive;
    const char *checkpoint_root;
    uint64_t checkpoint_size;
    const char *note;  // the whole checkpoint, "" none
    size_t note_size;
    const char *witness_key;  // that the package says has cosigned it
    struct package_time time;
    struct note_ring log, witness;  // whose signatures the checkpoint must have; without keys they are not looked at
    bool manifest;
    unsigned seen;  // a bit for each kind of member
    uint64_t rehearsed;    // events that say that they are of a rehearsal
    uint64_t first, last;  // positions whose events are here
};

static int differs(const struct checking *at, uint64_t position, const char *what)
{
    return fault(EXIT_DIFFERENT, "%s: position %llu: %s", at->path, (unsigned long long)position, what);
}

static int check_version(struct checking *at, struct console *console, const Eventlog__V1__Event *event,
                         uint64_t position)
{
    int64_t *last = versions_of(at->versions, versions_name(at->versions, event->stream));
    uint64_t before = (uint64_t)*last;

    if (before == 0 && event->version > 1 && at->begun_late == 0)
        at->begun_late = position;
    if (event->version == 0 || (before != 0 && event->version != before + 1))
        return differs(at, position,
                       arena_printf(console->arena, "stream %s goes from version %llu to %llu", event->stream,
                                    (unsigned long long)before, (unsigned long long)event->version));
    *last = (int64_t)event->version;
    return EXIT_DONE;
}

static int check_event(struct checking *at, struct console *console, const uint8_t *bytes, size_t size,
                       uint64_t position)
{
    const Eventlog__V1__Event *event;
    struct document document;

    console->message.reason = NULL;
    if (message_decode(&console->message, &eventlog__v1__event__descriptor, bytes, size, &event) != OK)
        return differs(at, position, console->message.reason);
    if (document_of(&console->message, event, &document) && strcmp(document.computed, document.said) != 0)
        return differs(at, position, "its document does not have the hash it tells");
    json_t *data = derive_reads(event->type) ? contract_json(console, event) : NULL;
    derive_event(at->derive, event, position, data);
    json_decref(data);
    at->facts->selected++;
    at->rehearsed += event->rehearsal;
    package_time_event(&at->time, event, position);
    at->first = at->first == 0 ? position : at->first;
    at->last = position;
    return check_version(at, console, event, position);
}

static int check_record(struct checking *at, struct console *console, const uint8_t *bytes, size_t size,
                        struct record *ret)
{
    uint64_t next = at->tree.size + 1;
    uint8_t leaf[TREE_HASH];
    int code = EXIT_DONE;
    bool whole = record_read(bytes, size, ret);

    if (ret->position != next)
        return differs(at, next, "missing");
    if (!whole)
        return differs(at, next, "its record is damaged");
    if (ret->event != NULL) {
        tree_leaf(ret->event, ret->event_size, leaf);
        code = check_event(at, console, ret->event, ret->event_size, next);
    } else {
        memcpy(leaf, ret->leaf, TREE_HASH);
    }
    tree_add(&at->tree, leaf);
    return code;
}

static int check_records(struct checking *at, struct console *console, const char *name, const uint8_t *bytes,
                         size_t size)
{
    int code = EXIT_DONE;

    (void)name;
    for (struct record record; code == EXIT_DONE && size > 0; bytes += record.used, size -= record.used) {
        arena_reset(console->arena);
        code = check_record(at, console, bytes, size, &record);
    }
    derive_part(at->derive, false);
    return code;
}

// What is made from the events must be what comes of them when it is made again.
static int check_derived(struct checking *at, struct console *console, const char *name, const uint8_t *bytes,
                         size_t size)
{
    (void)console;
    struct derived *one = derive_take(at->derive);
    if (one == NULL) {  // then the last part of the log has been
        derive_part(at->derive, true);
        one = derive_take(at->derive);
    }
    bool same = one != NULL && strcmp(one->name, name) == 0 && one->size == size &&
                memcmp(one->bytes, bytes, size) == 0;
    const char *expected = one == NULL || strcmp(one->name, name) == 0 ? "" : one->name;

    if (same) {
        derived_free(one);
        return EXIT_DONE;
    }
    int code = fault(EXIT_DIFFERENT, "%s: %s is not what this program makes of the log that is here%s%s",
                     at->path, name, expected[0] != '\0' ? "; expected " : "", expected);
    if (one != NULL)
        derived_free(one);
    return code;
}

// With keys from elsewhere than the package: is it that log's, signed by it, and cosigned by that witness?
static int check_signatures(struct checking *at, struct console *console, const uint8_t *bytes, size_t size)
{
    struct checkpoint checkpoint;
    struct note note;
    const char *why = "";
    bool well = at->log.count == 0 ||
                checkpoint_open_any(console->arena, bytes, size, &at->log, &checkpoint, NULL, &why);

    if (well && at->witness.count > 0) {
        well = note_parse(console->arena, bytes, size, &note, &why);
        for (size_t i = 0; well && at->facts->witnessed_at_s == 0 && i < at->witness.count; i++)
            note_verify(console->arena, &note, &at->witness.keys[i], &at->facts->witnessed_at_s, &why);
        well = well && at->facts->witnessed_at_s != 0;
    }
    return well ? EXIT_DONE : fault(EXIT_DIFFERENT, "%s: log/checkpoint: %s", at->path, why);
}

// The second and third lines of a checkpoint: how much it covers, and the root in base64.
static int check_checkpoint(struct checking *at, struct console *console, const char *name,
                            const uint8_t *bytes, size_t length)
{
    const char *text = (const char *)bytes;
    (void)name;
    const char *size = strchr(text, '\n'), *root = size != NULL ? strchr(size + 1, '\n') : NULL;

    if (root == NULL)
        return fault(EXIT_DIFFERENT, "%s: log/checkpoint is no checkpoint", at->path);
    at->note = arena_text(console->ground, text);
    at->note_size = length;
    at->facts->is_signed = true;
    at->facts->is_checked = at->log.count > 0;
    at->checkpoint_size = strtoull(size + 1, NULL, 10);
    at->checkpoint_root = arena_printf(console->ground, "%.*s", (int)strcspn(root + 1, "\n"), root + 1);
    return check_signatures(at, console, bytes, length);
}

static int check_witness(struct checking *at, struct console *console, const char *name, const uint8_t *bytes,
                         size_t size)
{
    (void)name, (void)size;
    at->witness_key = arena_text(console->ground, (const char *)bytes);
    return EXIT_DONE;
}

static int check_manifest(struct checking *at, struct console *console, const char *name,
                          const uint8_t *bytes, size_t size)
{
    json_t *manifest = json_loadb((const char *)bytes, size, 0, NULL);
    struct package_facts *facts = at->facts;
    const char *log_id, *root, *call_id, *case_id;
    json_int_t all, selected, first, last, made_at_us, documents;
    int rehearsal;

    (void)name;
    if (manifest == NULL || strcmp(data_text(manifest, "format"), PACKAGE_FORMAT) != 0) {
        json_decref(manifest);
        return fault(EXIT_REFUSED, "%s is a package of another format than " PACKAGE_FORMAT, at->path);
    }
    if (json_unpack(manifest, "{s:s, s:b, s:I, s:s, s:I, s:I, s:I, s:s, s:s, s:I, s:I}", "log_id", &log_id,
                    "rehearsal", &rehearsal, "size", &all, "root", &root, "selected", &selected, "first",
                    &first, "last", &last, "call", &call_id, "case", &case_id, "made_at_us", &made_at_us,
                    "documents", &documents) != 0) {
        json_decref(manifest);
        return fault(EXIT_REFUSED, "%s: manifest.json does not say all that FORMAT.md asks for", at->path);
    }
    at->manifest = true;
    facts->log_id = arena_text(console->ground, log_id);
    facts->root = arena_text(console->ground, root);
    facts->call_id = arena_text(console->ground, call_id);
    facts->case_id = arena_text(console->ground, case_id);
    facts->rehearsal = rehearsal != 0;
    facts->first = (uint64_t)first;
    facts->last = (uint64_t)last;
    facts->size = (uint64_t)all;
    facts->documents = (uint64_t)documents;
    facts->made_at_us = made_at_us;
    json_decref(manifest);
    return facts->selected == (uint64_t)selected
               ? EXIT_DONE
               : fault(EXIT_DIFFERENT, "%s: another number of events is here than the manifest says",
                       at->path);
}

static int sums_differ(struct checking *at, struct console *console)
{
    return fault(EXIT_DIFFERENT, "%s: %s does not agree with %s", at->path, SUMS_MEMBER,
                 sums_name(at->sums, console->arena));
}

static int no_sums(const struct checking *at, struct console *console)
{
    return fault(EXIT_REFUSED, "%s", sums_fault(console->arena, at->path));
}

// The next piece of the package's own list.
static int check_sums(struct checking *at, struct console *console, const uint8_t *bytes, size_t size)
{
    size_t own;

    if (!at->sums_here && !sums_end(at->sums, &own))
        return no_sums(at, console);
    at->sums_here = true;
    return sums_agree(at->sums, bytes, size) ? EXIT_DONE : sums_differ(at, console);
}

// The texts say how a package is checked; they are not checked themselves but for their sums.
static int check_text(struct checking *at, struct console *console, const char *name, const uint8_t *bytes,
                      size_t size)
{
    (void)at, (void)console, (void)name, (void)bytes, (void)size;
    return EXIT_DONE;
}

static const struct {
    const char *begins, *ends;
    int (*check)(struct checking *at, struct console *console, const char *name, const uint8_t *bytes,
                 size_t size);
    bool many;  // else it is there once
} kinds[] = {
    {"FORMAT", ".md", check_text, false},
    {"verify", ".py", check_text, false},
    {"log/checkpoint", "", check_checkpoint, false},
    {"log/key", "", check_text, false},
    {"log/witness", "", check_witness, false},
    {"log/", ".records", check_records, true},
    {"documents/", ".json", check_derived, true},
    {"rules/", ".json", check_derived, true},
    {"timeline/", "", check_derived, true},
    {"manifest", ".json", check_manifest, false},
};

static int check_member(void *context, struct console *console, const char *name, const uint8_t *bytes,
                        size_t size)
{
    struct checking *at = context;

    at->facts->members += !at->sums_here;
    at->facts->bytes += size;
    if (strcmp(name, SUMS_MEMBER) == 0)
        return check_sums(at, console, bytes, size);
    if (!sums_add(at->sums, name, bytes, size))
        return no_sums(at, console);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strncmp(name, kinds[i].begins, strlen(kinds[i].begins)) != 0 || !ends_with(name, kinds[i].ends))
            continue;
        if ((at->seen & 1u << i) != 0 && !kinds[i].many)
            return fault(EXIT_DIFFERENT, "%s holds %s twice", at->path, name);
        at->seen |= 1u << i;
        return kinds[i].check(at, console, name, bytes, size);
    }
    return fault(EXIT_REFUSED, "%s is no auditor's package: it holds %s", at->path, name);
}

// ----------------------------------------------------------------------------------------------------- the whole

struct selecting {
    const struct checking *at;
    selection_t *selection;
};

static int check_selected(void *context, struct console *console, const Eventlog__V1__Entry *entry,
                          const Eventlog__V1__Event *event)
{
    const struct selecting *selecting = context;
    const struct package_facts *facts = selecting->at->facts;

    if (selection_may_hold(selecting->selection, console, event, entry->position))
        return EXIT_DONE;
    bool by_call = facts->call_id[0] != '\0';
    return differs(selecting->at, entry->position,
                   arena_printf(console->arena,
                                "this event is not of the %s %s, which the manifest says it was selected by",
                                by_call ? "call" : "case", by_call ? facts->call_id : facts->case_id));
}

// What the manifest says was asked for is what is here; where something is asked for, as far as can be told.
static int check_selection(const struct checking *at, struct console *console)
{
    const struct package_facts *facts = at->facts;
    bool by_call = facts->call_id[0] != '\0', by_case = facts->case_id[0] != '\0';

    if (facts->first < 1 || facts->first > facts->last || facts->last > facts->size)
        return fault(EXIT_DIFFERENT, "%s: the manifest says the positions %llu..%llu of %llu, which are none",
                     at->path, (unsigned long long)facts->first, (unsigned long long)facts->last,
                     (unsigned long long)facts->size);
    if (facts->selected > 0 && (at->first < facts->first || at->last > facts->last))
        return fault(EXIT_DIFFERENT,
                     "%s: an event is here that is not of the positions which the manifest says", at->path);
    if (by_call && by_case)
        return fault(EXIT_DIFFERENT,
                     "%s: the manifest says both a call and a case, and a case is of one call", at->path);
    if (!by_call && !by_case && facts->selected != facts->last - facts->first + 1)
        return fault(EXIT_DIFFERENT,
                     "%s: the manifest says that all events at %llu..%llu are here, and %llu of them are",
                     at->path, (unsigned long long)facts->first, (unsigned long long)facts->last,
                     (unsigned long long)facts->selected);
    if (facts->selected == 0)
        return fault(EXIT_DIFFERENT, "%s: no event is here of what the manifest says was selected", at->path);
    if (facts->first == 1 && at->begun_late != 0)
        return differs(at, at->begun_late, "events that came before this one in its stream are missing");
    if (!by_call && !by_case)
        return EXIT_DONE;
    struct selecting selecting = {
        at, selection_new(facts->call_id, facts->case_id, "", facts->first, facts->last)};
    int code = package_walk(console, at->path, check_selected, &selecting);
    selection_destroy(&selecting.selection);
    return code;
}

static int check_made_at(struct checking *at, struct console *console)
{
    const char *why;

    at->time.witnessed_at_us = at->facts->witnessed_at_s * 1000000;
    if (at->time.witnessed_at_us == 0)
        package_time_checkpoint(&at->time, console->arena, at->note, at->note_size, at->witness_key);
    return package_time_allows(console->arena, &at->time, at->facts->made_at_us, &why)
               ? EXIT_DONE
               : fault(EXIT_DIFFERENT, "%s: %s", at->path, why);
}

// What the manifest claims of the events that are here.
static int check_claims(struct checking *at, struct console *console)
{
    const struct package_facts *facts = at->facts;

    if (facts->documents != derive_documents(at->derive))
        return fault(EXIT_DIFFERENT, "%s: another number of documents is here than the manifest says",
                     at->path);
    if (at->rehearsed != (facts->rehearsal ? facts->selected : 0))
        return fault(EXIT_DIFFERENT, "%s: the manifest says that this %s a rehearsal, and an event says otherwise",
                     at->path, facts->rehearsal ? "is" : "is not");
    int code = check_selection(at, console);
    return code == EXIT_DONE ? check_made_at(at, console) : code;
}

static int check_end(struct checking *at, struct console *console)
{
    uint8_t root[TREE_HASH];
    char encoded[64];

    if (!at->sums_here || !sums_ended(at->sums))
        return sums_differ(at, console);
    if (at->log.count + at->witness.count > 0 && !at->facts->is_signed)
        return fault(EXIT_DIFFERENT,
                     "%s has no checkpoint, so nothing in it is signed by the key that was given", at->path);
    if (!at->manifest)
        return fault(EXIT_REFUSED, "%s is no auditor's package: it has no manifest.json", at->path);
    derive_part(at->derive, true);
    struct derived *missing = derive_take(at->derive);
    if (missing != NULL) {
        int code = fault(EXIT_DIFFERENT, "%s: %s is missing", at->path, missing->name);
        derived_free(missing);
        return code;
    }
    tree_root(&at->tree, root);
    const char *text = hex(console->ground, root, TREE_HASH);
    if (at->tree.size != at->facts->size || strcmp(text, at->facts->root) != 0)
        return differs(at, at->tree.size,
                       arena_printf(console->arena, "the tree's root is %s, but the manifest says %s of %llu",
                                    text, at->facts->root, (unsigned long long)at->facts->size));
    EVP_EncodeBlock((unsigned char *)encoded, root, TREE_HASH);
    if (at->facts->is_signed &&
        (at->checkpoint_size != at->tree.size || strcmp(encoded, at->checkpoint_root) != 0))
        return differs(at, at->tree.size,
                       arena_printf(console->arena,
                                    "the tree's root is %s, but the checkpoint says %s of %llu", encoded,
                                    at->checkpoint_root, (unsigned long long)at->checkpoint_size));
    return check_claims(at, console);
}

static void checking_end(struct checking *at)
{
    derive_destroy(&at->derive);
    sums_destroy(&at->sums);
    versions_destroy(&at->versions);
}

// Only keys that were given for it: another stack's may lie among BUS_KEYS.
static int load_keys(struct console *console, struct checking *at)
{
    const char *witness = option_text(console, "witness"), *why;

    if (witness != NULL && !note_ring_load(console->arena, witness, &at->witness, &why))
        return fault(EXIT_REFUSED, "%s", why);
    if (witness != NULL && at->witness.keys[0].type != NOTE_COSIGNATURE)
        return fault(EXIT_REFUSED, "%s holds the key of a log, not of a witness", witness);
    if (option_text(console, "key") == NULL && env_or("LOG_PUB", NULL) == NULL)
        return EXIT_DONE;
    return log_public_keys(console, &at->log);
}

int package_verify(struct console *console, const char *path, struct package_facts *ret)
{
    struct checking at = {.facts = ret, .path = path, .checkpoint_root = "", .note = "", .witness_key = ""};

    int unread = load_keys(console, &at);
    if (unread != EXIT_DONE)
        return unread;
    at.sums = sums_new();
    if (at.sums == NULL)
        return no_sums(&at, console);
    at.versions = versions_new();
    *ret = (struct package_facts){.log_id = "", .root = "", .call_id = "", .case_id = ""};
    at.derive = derive_new(console);
    int code = package_read(console, path, check_member, &at);
    if (code == EXIT_DONE)
        code = check_end(&at, console);
    checking_end(&at);
    return code;
}
