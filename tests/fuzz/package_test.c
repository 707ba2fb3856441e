// package: an auditor's package that was changed at random on its way, or forged by somebody who makes its sums agree again.
// Whatever the bytes are: no crash, no leak, nothing undefined (the sanitizers watch), one sentence; what is taken tells of the
// log that was signed and holds its events, and what is refused was not right from the position that is named on.
//
// DAMAGE_SEED and DAMAGE_COUNT (packages in all, 10 000) choose another run; a failure prints the seed.
#include "chance.h"

#include "contract.h"
#include "derive.h"
#include "limits/limits.h"
#include "note/checkpoint.h"
#include "package.h"
#include "receipt.h"
#include "values/values.h"

#include "intake_v1.pb-c.h"

#include <archive.h>
#include <archive_entry.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS      60
#define PART        20  // records in one member of the log
#define RECORD_HEAD 29  // of an event's: kind, position, when it was stored, epoch, size
#define UNHASHED    9   // when it was stored and the epoch stand beside the hash, 16 bytes from here
#define MEMBERS     32
#define MORE        128  // a member may grow by so much
#define ARCHIVE     (256 * 1024)

const struct command *const command_groups[] = {NULL};

struct member {
    const char *name;
    uint8_t *bytes;
    size_t size;
};

static struct {
    arena_t *arena;
    struct note_signer signer;
    struct tree tree;
    uint8_t root[TREE_HASH];
    const char *manifest_root;
    struct member members[MEMBERS];
    int count, first_part, first_derived, n_derived;
    size_t starts[EVENTS + 1];  // of the records, in their members
    uint64_t versions[3];       // of the streams
    uint64_t selected, documents;
} made;

static struct run {
    const uint8_t *archive;
    size_t size;
    int sentences;
    char sentence[1024];
} run;

// --------------------------------------------------------------------------------------------------------- a package

static struct member *add(const char *name, const void *bytes, size_t size)
{
    assert_true(made.count < MEMBERS);
    made.members[made.count] = (struct member){name, arena_copy(made.arena, bytes, size), size};
    return &made.members[made.count++];
}

// Each seventh is of another call and is not selected; of the others each tenth delivers an application.
static Eventlog__V1__Event an_event(uint64_t position)
{
    Eventlog__V1__Event event = EVENTLOG__V1__EVENT__INIT;
    Intake__V1__ApplicationSubmitted submitted = INTAKE__V1__APPLICATION_SUBMITTED__INIT;
    Intake__V1__Content content = INTAKE__V1__CONTENT__INIT;
    Intake__V1__CallClosed closed = INTAKE__V1__CALL_CLOSED__INIT;
    bool other = position % 7 == 0, delivers = !other && position % 10 == 0;

    closed.call_id = (char *)(other ? "call-2" : "call-1");
    event.id = uuid_from(made.arena, arena_printf(made.arena, "%llu", (unsigned long long)position));
    event.source = (char *)"intake";
    event.subject = delivers ? (char *)"a-1" : closed.call_id;
    event.stream = arena_printf(made.arena, "intake/%s/%s", delivers ? "application" : "call", event.subject);
    event.version = ++made.versions[delivers ? 0 : other ? 1 : 2];
    event.rule_set = (char *)"2024-1";
    event.time_us = (int64_t)(1718400000000000 + position);
    event.rehearsal = true;
    if (delivers) {
        event.type = (char *)"intake.v1.ApplicationSubmitted";
        content.title = arena_printf(made.arena, "Kartlegging %llu", (unsigned long long)position);
        submitted.application_id = event.subject;
        submitted.call_id = closed.call_id;
        submitted.content = &content;
        size_t size;
        const uint8_t *bytes = message_encode(made.arena, &content, &size);
        submitted.content_sha256 = sha256_text(made.arena, bytes, size);
        event.data.data = message_encode(made.arena, &submitted, &event.data.len);
    } else {
        event.type = (char *)"intake.v1.CallClosed";
        event.data.data = message_encode(made.arena, &closed, &event.data.len);
    }
    return event;
}

static void put_number(FILE *out, uint64_t number, int bytes)
{
    while (bytes-- > 0)
        fputc((int)(number >> 8 * bytes & 0xff), out);
}

static void put_record(FILE *out, derive_t *derive, struct console *console, uint64_t position)
{
    Eventlog__V1__Event event = an_event(position);
    uint8_t leaf[TREE_HASH];
    size_t size;
    const uint8_t *bytes = message_encode(made.arena, &event, &size);

    tree_leaf(bytes, size, leaf);
    tree_add(&made.tree, leaf);
    fputc(position % 7 == 0 ? 'H' : 'E', out);
    put_number(out, position, 8);
    if (position % 7 == 0) {
        fwrite(leaf, 1, TREE_HASH, out);
        return;
    }
    put_number(out, 1718400000000000, 8);
    put_number(out, 1, 8);
    put_number(out, size, 4);
    fwrite(bytes, 1, size, out);
    json_t *data = derive_reads(event.type) ? contract_json(console, &event) : NULL;
    derive_event(derive, &event, position, data);
    json_decref(data);
    made.selected++;
}

static void add_derived(derive_t *derive)
{
    for (struct derived *one; (one = derive_take(derive)) != NULL; derived_free(one), made.n_derived++)
        add(arena_text(made.arena, one->name), one->bytes, one->size);
}

static void add_log(struct console *console)
{
    derive_t *derive = derive_new(console);

    made.first_part = made.count;
    for (uint64_t position = 1; position <= EVENTS; position += PART) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        assert_non_null(out);
        for (uint64_t at = position; at < position + PART; at++) {
            fflush(out);
            made.starts[at] = size;
            put_record(out, derive, console, at);
        }
        fclose(out);
        add(arena_printf(made.arena, "log/%012llu.records", (unsigned long long)position), text, size);
        free(text);
        derive_part(derive, false);
    }
    derive_part(derive, true);
    made.first_derived = made.count;
    made.documents = derive_documents(derive);
    add_derived(derive);
    derive_destroy(&derive);
}

static int make_package(void **unused)
{
    (void)unused;
    made.arena = arena_new(LIMIT_ARENA_BYTES);
    struct console console = {.arena = made.arena, .ground = made.arena, .message = message_new(made.arena)};

    note_signer_make("log.example/fuzz", NOTE_PLAIN, (const uint8_t *)"0123456789abcdef0123456789abcdef",
                     &made.signer);
    struct member *checkpoint = add("log/checkpoint", "", 0);
    add_log(&console);
    tree_root(&made.tree, made.root);
    made.manifest_root = hex(made.arena, made.root, TREE_HASH);
    const char *note = checkpoint_sign(made.arena, &made.signer, EVENTS, made.root);
    *checkpoint = (struct member){checkpoint->name, (uint8_t *)note, strlen(note)};
    const char *manifest = arena_printf(
        made.arena,
        "{\"format\": \"" PACKAGE_FORMAT
        "\", \"log_id\": \"fuzz\", \"rehearsal\": true, \"size\": %d, \"root\": \"%s\", "
        "\"selected\": %llu, \"first\": 1, \"last\": %d, \"call\": \"call-1\", \"case\": \"\", "
        "\"made_at_us\": 1, "
        "\"documents\": %llu}",
        EVENTS, made.manifest_root, (unsigned long long)made.selected, EVENTS,
        (unsigned long long)made.documents);
    add("manifest.json", manifest, strlen(manifest));
    arena_destroy(&console.hand);
    return 0;
}

static int remove_package(void **unused)
{
    (void)unused;
    arena_destroy(&made.arena);
    return 0;
}

static void write_member(struct archive *archive, const struct member *member)
{
    struct archive_entry *entry = archive_entry_new();

    archive_entry_set_pathname(entry, member->name);
    archive_entry_set_size(entry, (la_int64_t)member->size);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    assert_int_equal(ARCHIVE_OK, archive_write_header(archive, entry));
    assert_int_equal(member->size, archive_write_data(archive, member->bytes, member->size));
    archive_entry_free(entry);
}

// The members with sums that agree; its size.
static size_t write_package(arena_t *arena, const struct member members[], int count, uint8_t *to)
{
    struct archive *archive = archive_write_new();
    char *sums = arena_text(arena, "");
    size_t used = 0;

    archive_write_set_format_pax_restricted(archive);
    assert_int_equal(ARCHIVE_OK, archive_write_open_memory(archive, to, ARCHIVE, &used));
    for (int i = 0; i < count; i++) {
        write_member(archive, &members[i]);
        sums = arena_printf(arena, "%s%s  %s\n", sums, sha256_text(arena, members[i].bytes, members[i].size),
                            members[i].name);
    }
    write_member(archive, &(struct member){"SHA256SUMS", (uint8_t *)sums, strlen(sums)});
    assert_int_equal(ARCHIVE_OK, archive_write_close(archive));
    archive_write_free(archive);
    return used;
}

// ------------------------------------------------------------------------------------------------------------ damage

// In one of five ways; returns the new size, which is never 0.
static size_t damage(uint8_t *bytes, size_t size)
{
    size_t at = below(size), more = 1 + below(MORE - 1);

    switch (below(5)) {
    case 0:
        bytes[at] ^= (uint8_t)(1 << below(8));
        return size;
    case 1:
        bytes[at] = (uint8_t)below(256);
        return size;
    case 2:
        return at + 1;
    case 3:  // a stretch goes away
        more = more < size - at ? more : size - at;
        memmove(bytes + at, bytes + at + more, size - at - more);
        return size > more ? size - more : size;
    default:  // a stretch comes twice
        more = more < size - at ? more : size - at;
        memmove(bytes + at + more, bytes + at, size - at);
        return size + more;
    }
}

// ----------------------------------------------------------------------------------------- what stands in its place

int __wrap_archive_read_open_filename(struct archive *archive, const char *path, size_t block);
int __wrap_log_public_keys(struct console *console, struct note_ring *ret);
int __wrap_fault(enum exit_code code, const char *format, ...);

int __wrap_archive_read_open_filename(struct archive *archive, const char *path, size_t block)
{
    (void)path, (void)block;
    return archive_read_open_memory(archive, run.archive, run.size);
}

int __wrap_log_public_keys(struct console *console, struct note_ring *ret)
{
    (void)console;
    *ret = (struct note_ring){.count = 1, .keys = {made.signer.key}};
    return EXIT_DONE;
}

int __wrap_fault(enum exit_code code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(run.sentence, sizeof run.sentence, format, arguments);
    va_end(arguments);
    run.sentences++;
    return (int)code;
}

// --------------------------------------------------------------------------------------------------------- the tests

static struct console *console_begin(void)
{
    struct console *console = calloc(1, sizeof *console);
    const char *seed = getenv("DAMAGE_SEED"), *why = "";

    assert_non_null(console);
    console->arena = arena_new(LIMIT_ARENA_BYTES);
    console->ground = arena_new(LIMIT_ARENA_BYTES);
    console->message = message_new(console->arena);
    console->contract = protojson_open(made.arena, PROTOSET, &why);
    assert_non_null(console->contract);
    console->options[console->n_options++].name = "key";
    console->options[0].value = "log.pub";
    chance = seed != NULL ? strtoull(seed, NULL, 10) : 1;
    return console;
}

static void console_end(struct console *console)
{
    protojson_close(&console->contract);
    arena_destroy(&console->arena);
    arena_destroy(&console->ground);
    arena_destroy(&console->hand);
    free(console);
}

static int packages(void)
{
    const char *count = getenv("DAMAGE_COUNT");

    return (count != NULL ? atoi(count) : 10000) / 2;
}

static bool tells_the_same(const struct package_facts *facts)
{
    return facts->size == EVENTS && strcmp(facts->root, made.manifest_root) == 0 && facts->is_checked &&
           facts->selected == made.selected && facts->documents == made.documents && facts->rehearsal &&
           facts->first == 1 && facts->last == EVENTS && strcmp(facts->call_id, "call-1") == 0 &&
           facts->case_id[0] == '\0';
}

// Is it taken? Then what it tells is what was signed. The bytes are in a block of exactly their size.
static bool taken(struct console *console, const uint8_t *archive, size_t size, uint64_t seed)
{
    struct package_facts facts = {0};
    uint8_t *exact = malloc(size);

    assert_non_null(exact);
    memcpy(exact, archive, size);
    run = (struct run){.archive = exact, .size = size};
    arena_reset(console->arena);
    arena_reset(console->ground);
    console->types = NULL;  // they were in it
    int code = package_verify(console, "package", &facts);
    free(exact);
    bool well = code != EXIT_DONE ? run.sentences == 1 && strchr(run.sentence, '\n') == NULL
                                  : tells_the_same(&facts);
    if (!well)
        print_error("seed %llu: ended with %d after %d sentences: %s\n", (unsigned long long)seed, code,
                    run.sentences, run.sentence);
    assert_true(well);
    return code == EXIT_DONE;
}

static void a_package_damaged_on_its_way_is_refused_or_tells_the_same(void **unused)
{
    (void)unused;
    struct console *console = console_begin();
    uint8_t *archive = malloc(ARCHIVE + MORE), *changed = malloc(ARCHIVE + MORE);
    int refused = 0;

    assert_true(archive != NULL && changed != NULL);
    size_t size = write_package(made.arena, made.members, made.count, archive);
    assert_true(taken(console, archive, size, 0));
    for (int n = packages(); n > 0; n--) {
        uint64_t seed = chance;
        memcpy(changed, archive, size);
        refused += !taken(console, changed, damage(changed, size), seed);
    }
    print_message("# %d of %d were refused\n", refused, packages());
    free(archive);
    free(changed);
    console_end(console);
}

// The position of the record that the first changed byte of a part is in; 0: nothing that is hashed has changed.
static uint64_t changed_position(int part, const struct member *before, const struct member *after)
{
    uint64_t position = (uint64_t)part * PART + 1, last = position + PART - 1;

    for (size_t at = 0; at < before->size && at < after->size; at++) {
        while (position < last && at >= made.starts[position + 1])
            position++;
        size_t within = at - made.starts[position];
        bool hashed = before->bytes[made.starts[position]] != 'E' || within < UNHASHED ||
                      within >= UNHASHED + 16;
        if (before->bytes[at] != after->bytes[at] && hashed)
            return position;
    }
    return before->size == after->size ? 0 : position;
}

// A forged part of the log: what is refused with a position names this one or a later one, for all before it is right.
static bool forge_records(struct console *console, arena_t *arena, struct member members[], uint8_t *archive)
{
    int part = (int)below(EVENTS / PART), i = made.first_part + part;
    uint64_t seed = chance;
    unsigned long long named = 0;

    members[i].size = damage(members[i].bytes, members[i].size);
    uint64_t changed = changed_position(part, &made.members[i], &members[i]);
    bool well = taken(console, archive, write_package(arena, members, made.count, archive), seed);
    const char *place = strstr(run.sentence, ": position ");
    bool right = well ? changed == 0
                      : place == NULL || (sscanf(place, ": position %llu", &named) == 1 && named >= changed);
    if (!right)
        print_error("seed %llu: changed at %llu: %s\n", (unsigned long long)seed, (unsigned long long)changed,
                    well ? "taken" : run.sentence);
    assert_true(right);
    return well;
}

// Whatever was made from the events for reading is made again.
static bool forge_derived(struct console *console, arena_t *arena, struct member members[], uint8_t *archive)
{
    int i = made.first_derived + (int)below((size_t)made.n_derived);
    uint64_t seed = chance;

    members[i].size = damage(members[i].bytes, members[i].size);
    bool same = members[i].size == made.members[i].size &&
                memcmp(members[i].bytes, made.members[i].bytes, members[i].size) == 0;
    bool well = taken(console, archive, write_package(arena, members, made.count, archive), seed);
    assert_true(well == same);
    return well;
}

// Well-formed as before: another digit, or what is true is left open.
static void change_claim(struct member *manifest)
{
    char *text = (char *)manifest->bytes, *digit = text + below(manifest->size);

    digit += strcspn(digit, "0123456789");
    if (below(8) == 0)
        memcpy(strstr(text, "true"), "null", 4);
    else if (*digit != '\0')
        *digit = (char)('0' + below(10));
}

// The checkpoint or the manifest.
static bool forge_claims(struct console *console, arena_t *arena, struct member members[], uint8_t *archive)
{
    uint64_t seed = chance;
    int i = below(2) == 0 ? 0 : made.count - 1;

    if (i > 0 && below(2) == 0)
        change_claim(&members[i]);
    else
        members[i].size = damage(members[i].bytes, members[i].size);
    return taken(console, archive, write_package(arena, members, made.count, archive), seed);
}

// A member is left out, or comes twice, or goes to another place.
static bool forge_order(struct console *console, arena_t *arena, struct member members[], uint8_t *archive)
{
    int from = (int)below((size_t)made.count), to = (int)below((size_t)made.count), count = made.count;
    struct member one = members[from];
    uint64_t seed = chance;
    size_t how = below(3);

    if (how != 1) {
        memmove(&members[from], &members[from + 1], (size_t)(count - from - 1) * sizeof one);
        count--;
    }
    if (how != 0) {
        to = to < count ? to : count;
        memmove(&members[to + 1], &members[to], (size_t)(count - to) * sizeof one);
        members[to] = one;
        count++;
    }
    bool well = taken(console, archive, write_package(arena, members, count, archive), seed);
    if (well && how != 2)
        print_error("seed %llu: taken %s %s\n", (unsigned long long)seed,
                    how == 0 ? "without" : "with a second", one.name);
    assert_true(!well || how == 2);
    return well;
}

static void a_package_forged_with_sums_that_agree_is_refused_or_tells_the_same(void **unused)
{
    (void)unused;
    static bool (*const forge[])(struct console * console, arena_t * arena, struct member members[],
                                 uint8_t * archive) = {forge_records, forge_derived, forge_claims,
                                                       forge_order};
    struct console *console = console_begin();
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    uint8_t *archive = malloc(ARCHIVE);
    int refused = 0;

    assert_non_null(archive);
    for (int n = packages(); n > 0; n--) {
        struct member members[MEMBERS + 1] = {0};
        arena_reset(arena);
        for (int i = 0; i < made.count; i++) {
            members[i] = made.members[i];
            members[i].bytes = arena_alloc(arena, members[i].size + MORE);
            memcpy(members[i].bytes, made.members[i].bytes, members[i].size);
        }
        refused += !forge[n % 4](console, arena, members, archive);
    }
    print_message("# %d of %d were refused\n", refused, packages());
    free(archive);
    arena_destroy(&arena);
    console_end(console);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_package_damaged_on_its_way_is_refused_or_tells_the_same),
        cmocka_unit_test(a_package_forged_with_sums_that_agree_is_refused_or_tells_the_same),
    };

    return cmocka_run_group_tests(tests, make_package, remove_package);
}
