// Tests of what an auditor's package says of itself in its manifest, which nobody has signed: each claim that is not true is
// found in one sentence, by `tildel verify` and by the verify.py that is in the package, though every sum agrees.
#include "package.h"

#include "derive.h"
#include "limits/limits.h"
#include "note/checkpoint.h"
#include "selection.h"
#include "values/values.h"

#include "evaluation_v1.pb-c.h"
#include "intake_v1.pb-c.h"
#include "service_v1.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sys/wait.h>
#include <unistd.h>

#define EVENTS 12
#define BEGAN  INT64_C(1718400000000000)
#define SECOND INT64_C(1000000)
#define MADE   (BEGAN + 3600 * SECOND)  // an hour after the first event; the last came in its first minute

const struct command *const command_groups[] = {NULL};

// ------------------------------------------------------------------------------------------------------------ a log

static const struct row {
    const ProtobufCMessageDescriptor *type;
    const char *stream;
    uint64_t version;
    const char *subject, *call_id;  // call_id: that the data names, "" none
} rows[EVENTS + 1] = {
    {NULL},
    {&intake__v1__deadline_extended__descriptor, "intake/call/call-1", 1, "call-1", "call-1"},
    {&intake__v1__deadline_extended__descriptor, "intake/call/call-2", 1, "call-2", "call-2"},
    {&intake__v1__application_drafted__descriptor, "intake/application/a-1", 1, "a-1", "call-1"},
    {&intake__v1__application_drafted__descriptor, "intake/application/a-2", 1, "a-2", "call-2"},
    {&evaluation__v1__case_opened__descriptor, "evaluation/case/a-1", 1, "a-1", "call-1"},
    {&evaluation__v1__case_closed__descriptor, "evaluation/case/a-1", 2, "a-1", ""},
    {&evaluation__v1__case_opened__descriptor, "evaluation/case/a-2", 1, "a-2", "call-2"},
    {&intake__v1__deadline_extended__descriptor, "intake/call/call-1", 2, "call-1", "call-1"},
    {&intake__v1__application_withdrawn__descriptor, "intake/application/a-1", 2, "a-1", "call-1"},
    {&service__v1__case_erased__descriptor, "intake/erasure/a-1", 1, "a-1", ""},
    {&intake__v1__application_drafted__descriptor, "intake/application/a-3", 1, "a-3", "call-1"},
    {&intake__v1__call_closed__descriptor, "intake/call/call-1", 3, "call-1", "call-1"},
};

// What a package is made of; what is 0 or NULL is as it should be.
struct recipe {
    const char *call_id, *case_id;
    uint64_t first, last;
    uint64_t with, without;             // this position is here, or is not, whatever the selection says
    const char *said_call, *said_case;  // in the manifest
    uint64_t said_first, said_last;
    int64_t made_at_us;
    bool nothing, real, plain_ids;  // no event is here; no rehearsal; ids that tell no time
    int64_t witnessed_at_s;
    bool no_last;      // the manifest does not say it
    bool no_versions;  // the events have none
};

static struct {
    arena_t *arena;
    struct console console;
    char folder[64];
    const char *path;
    int sentences;
    char sentence[1024];
} self;

static Eventlog__V1__Event an_event(const struct recipe *recipe, uint64_t position)
{
    Eventlog__V1__Event event = EVENTLOG__V1__EVENT__INIT;
    const struct row *row = &rows[position];
    char *call_id = (char *)row->call_id;
    Intake__V1__DeadlineExtended extended = INTAKE__V1__DEADLINE_EXTENDED__INIT;
    Intake__V1__CallClosed closed = INTAKE__V1__CALL_CLOSED__INIT;
    Intake__V1__ApplicationDrafted drafted = INTAKE__V1__APPLICATION_DRAFTED__INIT;
    Intake__V1__ApplicationWithdrawn withdrawn = INTAKE__V1__APPLICATION_WITHDRAWN__INIT;
    Evaluation__V1__CaseOpened opened = EVALUATION__V1__CASE_OPENED__INIT;
    Evaluation__V1__CaseClosed case_closed = EVALUATION__V1__CASE_CLOSED__INIT;
    Service__V1__CaseErased erased = SERVICE__V1__CASE_ERASED__INIT;
    const void *bodies[] = {&extended, &closed, &drafted, &withdrawn, &opened, &case_closed, &erased};

    event.subject = (char *)row->subject;
    extended.call_id = closed.call_id = drafted.call_id = withdrawn.call_id = opened.call_id = call_id;
    drafted.application_id = withdrawn.application_id = opened.application_id = event.subject;
    case_closed.application_id = erased.case_id = event.subject;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        if (((const ProtobufCMessage *)bodies[i])->descriptor == row->type)
            event.data.data = message_encode(self.arena, bodies[i], &event.data.len);

    // A rehearsal's calendar stands in another year than its ids.
    uint64_t made_ms = (uint64_t)(BEGAN / 1000) + position * 1000;
    event.id = arena_printf(self.arena, "%08llx-%04llx-%d000-8000-%012llx",
                            (unsigned long long)(made_ms >> 16), (unsigned long long)(made_ms & 0xffff),
                            recipe->plain_ids ? 4 : 7, (unsigned long long)position);
    event.time_us = recipe->real ? (int64_t)made_ms * 1000 : BEGAN * 2;
    event.source = (char *)"intake";
    event.type = (char *)row->type->name;
    event.stream = (char *)row->stream;
    event.version = recipe->no_versions ? 0 : row->version;
    event.rule_set = (char *)"2024-1";
    event.rehearsal = !recipe->real;
    return event;
}

// ------------------------------------------------------------------------------------------------------- a package

static void add(package_t *package, const char *name, const void *bytes, size_t size)
{
    const char *why = "";

    if (!package_add(package, name, bytes, size, &why))
        fail_msg("%s", why);
}

static void put_number(FILE *out, uint64_t number, int bytes)
{
    while (bytes-- > 0)
        fputc((int)(number >> 8 * bytes & 0xff), out);
}

struct making {
    const struct recipe *recipe;
    selection_t *selection;
    derive_t *derive;
    struct tree tree;
    uint64_t selected;
    FILE *out;
};

static void put_record(struct making *making, uint64_t position)
{
    Eventlog__V1__Event event = an_event(making->recipe, position);
    uint8_t leaf[TREE_HASH];
    size_t size;
    const uint8_t *bytes = message_encode(self.arena, &event, &size);
    bool here = selection_holds(making->selection, &self.console, &event, position);

    here = !making->recipe->nothing && making->recipe->without != position &&
           (here || making->recipe->with == position);
    tree_leaf(bytes, size, leaf);
    tree_add(&making->tree, leaf);
    fputc(here ? 'E' : 'H', making->out);
    put_number(making->out, position, 8);
    if (!here) {
        fwrite(leaf, 1, TREE_HASH, making->out);
        return;
    }
    put_number(making->out, BEGAN, 8);
    put_number(making->out, 1, 8);
    put_number(making->out, size, 4);
    fwrite(bytes, 1, size, making->out);
    json_t *data = derive_reads(event.type) ? contract_json(&self.console, &event) : NULL;
    derive_event(making->derive, &event, position, data);
    json_decref(data);
    making->selected++;
}

static void add_checkpoint(package_t *package, const struct recipe *recipe, const uint8_t root[TREE_HASH])
{
    const uint8_t *seed = (const uint8_t *)"0123456789abcdef0123456789abcdef";
    struct note_signer log, witness;

    note_signer_make("log.example", NOTE_PLAIN, seed, &log);
    note_signer_make("witness.example", NOTE_COSIGNATURE, seed, &witness);
    const char *text = checkpoint_text(self.arena, "log.example", EVENTS, root);
    const char *note = arena_printf(self.arena, "%s%s", checkpoint_sign(self.arena, &log, EVENTS, root),
                                    note_cosign(self.arena, &witness, text, recipe->witnessed_at_s));
    const char *key = note_key_text(self.arena, &witness.key);
    add(package, "log/checkpoint", note, strlen(note));
    add(package, "log/witness", key, strlen(key));
}

static const char *or_else(const char *text, const char *otherwise)
{
    return text != NULL ? text : otherwise != NULL ? otherwise : "";
}

static uint64_t number_or(uint64_t number, uint64_t otherwise)
{
    return number != 0 ? number : otherwise;
}

static void add_manifest(package_t *package, const struct making *making, const uint8_t root[TREE_HASH])
{
    const struct recipe *recipe = making->recipe;
    uint64_t first = number_or(recipe->said_first, number_or(recipe->first, 1));
    uint64_t last = number_or(recipe->said_last, number_or(recipe->last, EVENTS));

    const char *text = arena_printf(
        self.arena,
        "{\"format\": \"" PACKAGE_FORMAT
        "\", \"log_id\": \"test\", \"rehearsal\": %s, \"size\": %d, \"root\": \"%s\", \"selected\": %llu, "
        "\"first\": %llu, \"%s\": %llu, \"call\": \"%s\", \"case\": \"%s\", \"made_at_us\": %lld, "
        "\"documents\": 0}",
        recipe->real ? "false" : "true", EVENTS, hex(self.arena, root, TREE_HASH),
        (unsigned long long)making->selected, (unsigned long long)first, recipe->no_last ? "least" : "last",
        (unsigned long long)last, or_else(recipe->said_call, recipe->call_id),
        or_else(recipe->said_case, recipe->case_id),
        (long long)(recipe->made_at_us != 0 ? recipe->made_at_us : MADE));
    add(package, "manifest.json", text, strlen(text));
}

// By the recipe; the sums agree whatever it says. Its path.
static void make(const struct recipe *recipe)
{
    const char *why = "";
    char *text = NULL;
    size_t size = 0;
    uint8_t root[TREE_HASH];
    package_t *package = package_new(self.arena, self.path, MADE, &why);
    struct making making = {
        .recipe = recipe,
        .derive = derive_new(&self.console),
        .selection = selection_new(or_else(recipe->call_id, NULL), or_else(recipe->case_id, NULL),
                                   recipe->case_id != NULL ? "call-1" : "", number_or(recipe->first, 1),
                                   number_or(recipe->last, EVENTS)),
        .out = open_memstream(&text, &size)};

    assert_true(package != NULL && making.out != NULL);
    for (uint64_t position = 1; position <= EVENTS; position++)
        put_record(&making, position);
    fclose(making.out);
    derive_part(making.derive, true);
    tree_root(&making.tree, root);
    if (recipe->witnessed_at_s != 0)
        add_checkpoint(package, recipe, root);
    add(package, "log/000000000001.records", text, size);
    for (struct derived *one; (one = derive_take(making.derive)) != NULL; derived_free(one))
        add(package, one->name, one->bytes, one->size);
    add_manifest(package, &making, root);
    if (!package_finish(package, &why))
        fail_msg("%s", why);
    package_destroy(&package);
    derive_destroy(&making.derive);
    selection_destroy(&making.selection);
    free(text);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(self.folder, sizeof self.folder, "/tmp/package-test-XXXXXX");
    assert_non_null(mkdtemp(self.folder));
    self.arena = arena_new(LIMIT_ARENA_BYTES);
    self.path = arena_printf(self.arena, "%s/package.tar", self.folder);
    self.console = (struct console){.arena = arena_new(LIMIT_ARENA_BYTES),
                                    .ground = arena_new(LIMIT_ARENA_BYTES)};
    self.console.message = message_new(self.console.arena);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(self.path);
    assert_int_equal(0, rmdir(self.folder));
    arena_destroy(&self.console.arena);
    arena_destroy(&self.console.ground);
    arena_destroy(&self.console.hand);
    arena_destroy(&self.arena);
    return 0;
}

// -------------------------------------------------------------------------------------------------- both verifiers

int __wrap_fault(enum exit_code code, const char *format, ...);

int __wrap_fault(enum exit_code code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(self.sentence, sizeof self.sentence, format, arguments);
    va_end(arguments);
    self.sentences++;
    return (int)code;
}

// As `tildel verify` does. part: of what is said, NULL nothing.
static void ours(int code, const char *part)
{
    struct package_facts facts;

    arena_reset(self.console.arena);
    self.sentences = 0;
    self.sentence[0] = '\0';
    int ended = package_verify(&self.console, self.path, &facts);
    if (ended != code || self.sentences != (part != NULL) ||
        (part != NULL && strstr(self.sentence, part) == NULL))
        fail_msg("tildel ended with %d: %s", ended, self.sentence);
}

static void theirs(int code, const char *part)
{
    char said[2048];
    FILE *script = popen(arena_printf(self.arena, PYTHON " -I -B " VERIFY_PY " %s 2>&1", self.path), "r");

    assert_non_null(script);
    said[fread(said, 1, sizeof said - 1, script)] = '\0';
    int status = pclose(script);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != code || strstr(said, part) == NULL ||
        strchr(said, '\n') != said + strlen(said) - 1)
        fail_msg("verify.py ended with %d: %s", status, said);
}

static void is_well(struct recipe recipe)
{
    make(&recipe);
    ours(EXIT_DONE, NULL);
    theirs(0, "verified: 12 positions");
    unlink(self.path);
}

static void is_found(struct recipe recipe, const char *part)
{
    make(&recipe);
    ours(EXIT_DIFFERENT, part);
    theirs(4, part);
    unlink(self.path);
}

// ----------------------------------------------------------------------------------------------- what was asked for

static void a_log_a_call_a_case_and_a_stretch_are_well(void **state)
{
    (void)state;
    is_well((struct recipe){0});
    is_well((struct recipe){.real = true});
    is_well((struct recipe){.first = 4, .last = 9});
    is_well((struct recipe){.call_id = "call-1"});
    is_well((struct recipe){.call_id = "call-2"});
    is_well((struct recipe){.case_id = "a-1"});
    is_well((struct recipe){.call_id = "call-1", .first = 5, .last = 11});
    is_well((struct recipe){.call_id = "call-1", .first = 6});
    is_well((struct recipe){.case_id = "a-1", .first = 6});
}

static void of_a_call_is_what_is_about_it_or_its_applications(void **state)
{
    (void)state;
    static const bool of_call[EVENTS + 1] = {false, true, false, true, false, true, true,
                                             false, true, true,  true, true,  true};
    selection_t *selection = selection_new("call-1", "", "", 1, EVENTS);

    for (uint64_t position = 1; position <= EVENTS; position++) {
        Eventlog__V1__Event event = an_event(&(struct recipe){0}, position);
        assert_int_equal(of_call[position], selection_holds(selection, &self.console, &event, position));
    }
    selection_destroy(&selection);
}

static void of_a_case_is_what_is_about_it_and_what_its_call_says_to_all(void **state)
{
    (void)state;
    static const bool of_case[EVENTS + 1] = {false, true, false, true, false, true, true,
                                             false, true, true,  true, false, true};
    selection_t *selection = selection_new("", "a-1", "call-1", 1, EVENTS);

    for (uint64_t position = 1; position <= EVENTS; position++) {
        Eventlog__V1__Event event = an_event(&(struct recipe){0}, position);
        assert_int_equal(of_case[position], selection_holds(selection, &self.console, &event, position));
    }
    selection_destroy(&selection);
}

static void events_of_another_call_are_found(void **state)
{
    (void)state;
    const char *sentence = "which the manifest says it was selected by";

    is_found((struct recipe){.call_id = "call-1", .said_call = "call-2"}, sentence);
    is_found((struct recipe){.call_id = "call-1", .with = 2},
             "position 2: this event is not of the call call-1");
    is_found((struct recipe){.call_id = "call-1", .with = 4},
             "position 4: this event is not of the call call-1");
    is_found((struct recipe){.said_call = "call-1"}, sentence);
}

static void events_of_another_case_are_found(void **state)
{
    (void)state;
    const char *sentence = "which the manifest says it was selected by";

    is_found((struct recipe){.case_id = "a-1", .said_case = "a-3"}, sentence);
    is_found((struct recipe){.case_id = "a-1", .with = 11}, "position 11: this event is not of the case a-1");
    is_found((struct recipe){.case_id = "a-1", .with = 4}, "position 4: this event is not of the case a-1");
    is_found((struct recipe){.case_id = "a-1", .with = 2}, sentence);
    is_found((struct recipe){.case_id = "a-1", .first = 6, .with = 7},
             "position 7: this event is not of the case a-1");
    is_found((struct recipe){.said_case = "a-1"}, sentence);
}

// Where a package begins in the middle of a log, only the data tells: the script does not read it.
static void in_a_stretch_what_names_another_call_is_found_by_tildel(void **state)
{
    (void)state;
    struct recipe recipe = {.call_id = "call-1", .first = 5, .with = 7};

    make(&recipe);
    ours(EXIT_DIFFERENT, "position 7: this event is not of the call call-1");
    theirs(0, "verified");
    unlink(self.path);
    is_found((struct recipe){.call_id = "call-1", .first = 4, .with = 4},
             "position 4: this event is not of the call call-1");
}

static void an_event_that_is_missing_is_found(void **state)
{
    (void)state;
    is_found((struct recipe){.without = 7},
             "the manifest says that all events at 1..12 are here, and 11 of them are");
    is_found((struct recipe){.first = 4, .last = 9, .said_last = 10},
             "all events at 4..10 are here, and 6 of them are");
    is_found((struct recipe){.call_id = "call-1", .said_call = ""},
             "the manifest says that all events at 1..12 are here");
    is_found((struct recipe){.call_id = "call-1", .without = 8},
             "position 12: stream intake/call/call-1 goes from version 1 to 3");
    is_found((struct recipe){.call_id = "call-1", .without = 5},
             "position 6: events that came before this one in its stream are missing");
    is_found((struct recipe){.call_id = "call-1", .first = 6, .said_first = 1},
             "position 6: events that came before this one in its stream are missing");
    is_found((struct recipe){.call_id = "call-1", .nothing = true},
             "no event is here of what the manifest says");
    is_found((struct recipe){.case_id = "a-1", .nothing = true},
             "no event is here of what the manifest says");
}

static void an_event_without_a_version_is_found(void **state)
{
    (void)state;
    is_found((struct recipe){.no_versions = true},
             "position 1: stream intake/call/call-1 goes from version 0 to 0");
    is_found((struct recipe){.no_versions = true, .first = 4},
             "position 4: stream intake/application/a-2 goes from");
}

static void positions_that_cannot_have_been_asked_for_are_found(void **state)
{
    (void)state;
    is_found((struct recipe){.call_id = "call-1", .said_last = 13},
             "the manifest says the positions 1..13 of 12");
    is_found((struct recipe){.call_id = "call-1", .first = 5, .said_first = 13},
             "the manifest says the positions 13..12 of 12");
    is_found((struct recipe){.call_id = "call-1", .said_last = 11},
             "not of the positions which the manifest says");
    is_found((struct recipe){.call_id = "call-1", .said_first = 2},
             "not of the positions which the manifest says");
    is_found((struct recipe){.call_id = "call-1", .said_case = "a-1"},
             "the manifest says both a call and a case");
}

static void a_manifest_that_leaves_something_out_is_no_manifest(void **state)
{
    (void)state;
    struct recipe recipe = {.call_id = "call-1", .no_last = true};

    make(&recipe);
    ours(EXIT_REFUSED, "manifest.json does not say all that FORMAT.md asks for");
    theirs(1, "cannot be read");
    unlink(self.path);
}

// ------------------------------------------------------------------------------------------------ when it was made

static void a_package_older_than_an_event_in_it_is_found(void **state)
{
    (void)state;
    int64_t newest_us = BEGAN + EVENTS * SECOND;
    const char *sentence = "position 12: this event was made at 2024-06-14T21:20:12";

    // A rehearsal's instants may be of another year; its ids are not.
    is_well((struct recipe){.made_at_us = newest_us - 59 * SECOND});
    is_found((struct recipe){.made_at_us = newest_us - 61 * SECOND}, sentence);
    is_well((struct recipe){.plain_ids = true, .made_at_us = newest_us - 61 * SECOND});
    is_well((struct recipe){.plain_ids = true, .real = true, .made_at_us = newest_us - 59 * SECOND});
    is_found((struct recipe){.plain_ids = true, .real = true, .made_at_us = newest_us - 61 * SECOND},
             sentence);
}

static void a_package_older_than_its_cosignature_is_found(void **state)
{
    (void)state;
    is_well((struct recipe){.witnessed_at_s = (MADE + 59 * SECOND) / SECOND});
    is_found((struct recipe){.witnessed_at_s = (MADE + 61 * SECOND) / SECOND},
             "its checkpoint was cosigned at 2024-06-14T22:21:01");
}

static void a_package_made_at_no_instant_or_in_the_future_is_found(void **state)
{
    (void)state;
    is_found((struct recipe){.plain_ids = true, .made_at_us = -1}, "made_at_us -1 is no instant up to now");
    is_found((struct recipe){.made_at_us = INT64_MAX},
             "made_at_us 9223372036854775807 is no instant up to now");
    is_found((struct recipe){.made_at_us = INT64_MIN}, "made_at_us -9223372036854775808");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_a_call_a_case_and_a_stretch_are_well),
        cmocka_unit_test(of_a_call_is_what_is_about_it_or_its_applications),
        cmocka_unit_test(of_a_case_is_what_is_about_it_and_what_its_call_says_to_all),
        cmocka_unit_test(events_of_another_call_are_found),
        cmocka_unit_test(events_of_another_case_are_found),
        cmocka_unit_test(in_a_stretch_what_names_another_call_is_found_by_tildel),
        cmocka_unit_test(an_event_that_is_missing_is_found),
        cmocka_unit_test(an_event_without_a_version_is_found),
        cmocka_unit_test(positions_that_cannot_have_been_asked_for_are_found),
        cmocka_unit_test(a_manifest_that_leaves_something_out_is_no_manifest),
        cmocka_unit_test(a_package_older_than_an_event_in_it_is_found),
        cmocka_unit_test(a_package_older_than_its_cosignature_is_found),
        cmocka_unit_test(a_package_made_at_no_instant_or_in_the_future_is_found),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
