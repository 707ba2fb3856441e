// Tests of JSON in and out of the contract: what a person may write, and where each fault is said to stand.
#include "protojson.h"

#include "intake_v1.pb-c.h"
#include "limits/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include <unistd.h>

struct fixture {
    arena_t *arena;
    protojson_t *contract;
    uint8_t *bytes;
    size_t size;
    const char *why;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    fixture->arena = arena_new(LIMIT_ARENA_BYTES);
    fixture->contract = protojson_open(fixture->arena, PROTOSET, &fixture->why);
    assert_non_null(fixture->contract);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    protojson_close(&fixture->contract);
    arena_destroy(&fixture->arena);
    free(fixture);
    return 0;
}

// Whether the text says such a message; fixture->why tells why not.
static bool encode(struct fixture *fixture, const char *type, const char *text, const char *key)
{
    struct source source = {.name = "draft.json", .text = text, .size = strlen(text)};

    bool well = source_parse(fixture->arena, &source, &fixture->why) &&
                protojson_encode(fixture->contract, fixture->arena, type, &source, key, &fixture->bytes,
                                 &fixture->size, &fixture->why);
    source_close(&source);
    return well;
}

static void assert_fault(struct fixture *fixture, const char *type, const char *text, const char *why)
{
    assert_false(encode(fixture, type, text, NULL));
    assert_string_equal(fixture->why, why);
}

static void what_is_written_comes_back(void **state)
{
    struct fixture *fixture = *state;
    // given a message written in another order than its field numbers, with a camel-case name
    const char *text = "{\"content\": {\"goals\": [{\"text\": \"færre klager\"}], \"purposes\": "
                       "[\"COUNTER\", \"PREVENT\"]},\n"
                       " \"expectedVersion\": 7, \"application_id\": \"a-1\"}";
    // when
    assert_true(encode(fixture, "intake.v1.SaveDraft", text, NULL));
    // then protobuf-c reads it and would write the same bytes
    Intake__V1__SaveDraft *draft = intake__v1__save_draft__unpack(arena_allocator(fixture->arena),
                                                                  fixture->size, fixture->bytes);
    assert_non_null(draft);
    assert_string_equal(draft->application_id, "a-1");
    assert_int_equal(draft->expected_version, 7);
    assert_string_equal(draft->content->goals[0]->text, "færre klager");
    assert_int_equal(draft->content->purposes[1], INTAKE__V1__CONTENT__PURPOSE__PREVENT);
    uint8_t again[512];
    assert_int_equal(intake__v1__save_draft__pack(draft, again), fixture->size);
    assert_memory_equal(again, fixture->bytes, fixture->size);
    assert_true(protojson_canonical(fixture->contract, "intake.v1.SaveDraft", fixture->bytes, fixture->size));
    // and it is written out under the contract's own names, zeros included
    char *out = protojson_decode(fixture->contract, fixture->arena, "intake.v1.SaveDraft", fixture->bytes,
                                 fixture->size, false);
    assert_non_null(strstr(out, "\"application_id\":\"a-1\",\"expected_version\":7"));
    assert_non_null(strstr(out, "\"purposes\":[\"COUNTER\",\"PREVENT\"]"));
    assert_non_null(strstr(out, "\"special_category\":false"));
}

static void an_unknown_field_is_named_with_its_line(void **state)
{
    // the same word stands earlier, where it is right
    assert_fault(
        *state, "intake.v1.SaveDraft",
        "{\n  \"content\": {\n    \"title\": \"risk\",\n    \"goals\": [{\"text\": \"title\"},\n"
        "      {\"title\": \"x\"}]\n  }\n}",
        "draft.json line 5: content.goals[1].title is not a field of intake.v1.ProjectGoal, which has text, "
        "indicator, target");
}

static void an_unknown_field_of_the_outermost_message_is_named(void **state)
{
    assert_fault(
        *state, "intake.v1.Withdraw", "{\n\"application_id\": \"a\",\n\"why\": \"x\"}",
        "draft.json line 3: why is not a field of intake.v1.Withdraw, which has application_id, reason");
}

static void a_key_that_stands_twice_is_a_fault_of_syntax(void **state)
{
    assert_fault(*state, "intake.v1.Withdraw", "{\"reason\": \"a\",\n \"reason\": \"b\"}",
                 "draft.json line 2 column 9 is not JSON: duplicate object key near '\"reason\"'");
}

static void a_field_under_both_its_names_is_refused(void **state)
{
    assert_fault(*state, "intake.v1.Withdraw", "{\"application_id\": \"a\", \"applicationId\": \"b\"}",
                 "draft.json line 1: applicationId stands twice, under both its names");
}

static void broken_syntax_is_told_with_line_and_column(void **state)
{
    assert_fault(*state, "intake.v1.Withdraw", "{\"reason\": \"a\"\n  \"application_id\": \"b\"}",
                 "draft.json line 2 column 18 is not JSON: '}' expected near '\"application_id\"'");
}

static void an_instant_may_be_written_for_people(void **state)
{
    struct fixture *fixture = *state;
    // given the first instant that is too late, in Oslo, as text, as a number and as a string of digits
    static const char *const texts[] = {
        "{\"call_id\": \"c\", \"deadline_at_us\": \"2024-06-15T00:00:00+02:00\"}",
        "{\"call_id\": \"c\", \"deadline_at_us\": 1718402400000000}",
        "{\"call_id\": \"c\", \"deadline_at_us\": \"1718402400000000\"}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        // when
        assert_true(encode(fixture, "intake.v1.ExtendDeadline", texts[i], NULL));
        // then
        Intake__V1__ExtendDeadline *command = intake__v1__extend_deadline__unpack(
            arena_allocator(fixture->arena), fixture->size, fixture->bytes);
        assert_int_equal(command->deadline_at_us, INT64_C(1718402400000000));
    }
}

static void an_instant_without_zone_is_refused(void **state)
{
    assert_fault(*state, "intake.v1.ExtendDeadline", "{\"deadline_at_us\": \"2024-06-15T00:00:00\"}",
                 "draft.json line 1: deadline_at_us must be an instant with a zone such as "
                 "\"2024-06-15T00:00:00+02:00\", or microseconds since 1970, not \"2024-06-15T00:00:00\"");
}

static void values_of_another_kind_are_named(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"{\"content\": []}",
         "draft.json line 1: content must be an object in { }, a message intake.v1.Content"},
        {"{\"content\": {\"title\": 7}}", "draft.json line 1: content.title must be a string"},
        {"{\"content\": {\"goals\": {}}}", "draft.json line 1: content.goals must be a list in [ ]"},
        {"{\"content\": {\"personal_data\": 1}}",
         "draft.json line 1: content.personal_data must be true or false"},
        {"{\"content\": {\"purposes\": [\"HELP\"]}}",
         "draft.json line 1: content.purposes[0] must be one of PROMOTE, COUNTER, PREVENT, HANDLE"},
        {"{\"content\": {\"budget\": [{\"grant_ore\": 1.5}]}}",
         "draft.json line 1: content.budget[0].grant_ore must be a whole number"},
        {"{\"content\": {\"budget\": [{\"grant_ore\": \"1 000\"}]}}",
         "draft.json line 1: content.budget[0].grant_ore must be a whole number, not \"1 000\""},
        {"{\"expected_version\": -1}", "draft.json line 1: expected_version must be 0 or above"},
        {"{\"expected_version\": 4294967296}",
         "draft.json line 1: expected_version must be a number of at most 32 bits"},
        {"{\"content\": null}", "draft.json line 1: content is null; leave the field out instead"},
        {"{\"content\": {\"title\": \"a\\u0007\"}}", "draft.json line 1: content.title contains a control "
                                                     "character; only line feed and tab may stand in a text"},
        {"[]", "draft.json line 1: must be an object in { }, a message intake.v1.SaveDraft"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_fault(*state, "intake.v1.SaveDraft", cases[i].text, cases[i].why);
}

static void a_number_that_does_not_fit_64_bits_is_refused(void **state)
{
    struct fixture *fixture = *state;

    assert_false(
        encode(fixture, "intake.v1.ExtendDeadline", "{\"deadline_at_us\": 99999999999999999999}", NULL));
    assert_non_null(strstr(fixture->why, "too big integer"));
    assert_false(
        encode(fixture, "intake.v1.ExtendDeadline", "{\"deadline_at_us\": \"99999999999999999999\"}", NULL));
}

static void a_part_of_a_file_can_be_a_message(void **state)
{
    struct fixture *fixture = *state;
    const char *text = "{\"call_id\": \"c\",\n \"content\": {\n  \"titel\": \"x\"}}";

    assert_false(encode(fixture, "intake.v1.Content", text, "content"));
    assert_non_null(
        strstr(fixture->why, "draft.json line 3: content.titel is not a field of intake.v1.Content"));
    assert_false(encode(fixture, "intake.v1.Content", text, "contents"));
    assert_string_equal(fixture->why, "draft.json line 1: contents is missing");
}

static void an_unknown_type_is_a_fault(void **state)
{
    assert_fault(*state, "intake.v1.Nothing", "{}",
                 "draft.json line 1: there is no message intake.v1.Nothing in the "
                 "contract");
}

static void bytes_that_are_not_canonical_are_known(void **state)
{
    struct fixture *fixture = *state;
    static const uint8_t twice[] = {0x0A, 1, 'a', 0x0A, 1, 'b'};    // the same field twice
    static const uint8_t unknown[] = {0x0A, 1, 'a', 0x7A, 1, 'b'};  // a field of tomorrow
    static const uint8_t once[] = {0x0A, 1, 'a'};

    assert_true(protojson_canonical(fixture->contract, "intake.v1.Withdraw", once, sizeof once));
    assert_false(protojson_canonical(fixture->contract, "intake.v1.Withdraw", twice, sizeof twice));
    assert_false(protojson_canonical(fixture->contract, "intake.v1.Withdraw", unknown, sizeof unknown));
    assert_false(protojson_canonical(fixture->contract, "intake.v1.Nothing", once, sizeof once));
    assert_null(
        protojson_decode(fixture->contract, fixture->arena, "intake.v1.Withdraw", "\x0A\x05", 2, false));
}

// Whoever asked tells a fault in one sentence.
static void libprotobuf_writes_nothing_of_its_own(void **state)
{
    struct fixture *fixture = *state;
    FILE *caught = tmpfile();
    int kept = dup(STDERR_FILENO);

    assert_true(caught != NULL && kept >= 0);
    dup2(fileno(caught), STDERR_FILENO);
    const char *text =
        protojson_decode(fixture->contract, fixture->arena, "intake.v1.Withdraw", "\x0A\x01\xFF", 3, false);
    dup2(kept, STDERR_FILENO);
    close(kept);
    assert_null(text);
    assert_int_equal(0, lseek(fileno(caught), 0, SEEK_END));
    fclose(caught);
}

static void a_missing_contract_is_told(void **state)
{
    struct fixture *fixture = *state;

    assert_null(protojson_open(fixture->arena, "/nowhere/tildel.protoset", &fixture->why));
    assert_string_equal(fixture->why,
                        "cannot open the contract /nowhere/tildel.protoset: No such file or directory");
    assert_null(protojson_open(fixture->arena, "/proc/self/exe", &fixture->why));
    assert_string_equal(fixture->why, "the contract /proc/self/exe is not a protobuf descriptor set");
}

static void values_are_found_behind_strings_with_brackets(void **state)
{
    (void)state;
    const char *text = "{ \"a\\\"}\": [1, {\"b\": \"]}\"}],\n \"c\" : [[],\n {\"d\":\n 5}] }";
    struct source source = {.name = "", .text = text, .size = strlen(text)};
    const struct step to_d[] = {{"c", 0}, {NULL, 1}, {"d", 0}};
    const struct step to_nothing[] = {{"c", 0}, {NULL, 9}};

    assert_int_equal(source_line(&source, source_find(&source, to_d, 3)), 3);
    assert_int_equal(source_line(&source, source_find(&source, to_nothing, 2)), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_comes_back),
        cmocka_unit_test(an_unknown_field_is_named_with_its_line),
        cmocka_unit_test(an_unknown_field_of_the_outermost_message_is_named),
        cmocka_unit_test(a_key_that_stands_twice_is_a_fault_of_syntax),
        cmocka_unit_test(a_field_under_both_its_names_is_refused),
        cmocka_unit_test(broken_syntax_is_told_with_line_and_column),
        cmocka_unit_test(an_instant_may_be_written_for_people),
        cmocka_unit_test(an_instant_without_zone_is_refused),
        cmocka_unit_test(values_of_another_kind_are_named),
        cmocka_unit_test(a_number_that_does_not_fit_64_bits_is_refused),
        cmocka_unit_test(a_part_of_a_file_can_be_a_message),
        cmocka_unit_test(an_unknown_type_is_a_fault),
        cmocka_unit_test(bytes_that_are_not_canonical_are_known),
        cmocka_unit_test(libprotobuf_writes_nothing_of_its_own),
        cmocka_unit_test(a_missing_contract_is_told),
        cmocka_unit_test(values_are_found_behind_strings_with_brackets),
    };
    return cmocka_run_group_tests_name("protojson", tests, set_up, tear_down);
}
