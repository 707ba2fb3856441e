// Tests of tables and of the command line: columns that stand straight, actors, options.
#include "console.h"
#include "table.h"

#include "limits/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static int run_nothing(struct console *console)
{
    (void)console;
    return EXIT_DONE;
}

static const struct option_row example_options[] = {
    {"until", "INSTANT", "when"},
    {"late", NULL, "a flag"},
    {NULL, NULL, NULL},
};
static const struct command example_group[] = {
    {"call show", "CALL", 1, 1, "show", NULL, NULL, run_nothing},
    {"call extend", "CALL", 1, 1, "extend", NULL, example_options, run_nothing},
    {"verify", "", 0, 0, "verify", NULL, NULL, run_nothing},
    {NULL},
};
const struct command *const command_groups[] = {example_group, NULL};

static int set_up(void **state)
{
    struct console *console = calloc(1, sizeof *console);

    console->arena = arena_new(LIMIT_ARENA_BYTES);
    console->ground = arena_new(LIMIT_ARENA_BYTES);
    *state = console;
    unsetenv("TILDEL_ACTOR");
    return 0;
}

static int tear_down(void **state)
{
    struct console *console = *state;

    arena_destroy(&console->arena);
    arena_destroy(&console->ground);
    free(console);
    return 0;
}

static int parse(struct console *console, char **words)
{
    int count = 0;
    bool help;

    while (words[count] != NULL)
        count++;
    return usage_parse(console, count, words, &help);
}

#define PARSE(console, ...) parse(console, (char *[]){"tildel", __VA_ARGS__, NULL})

static void columns_stand_straight_with_norwegian_letters(void **state)
{
    struct console *console = *state;
    static const struct column columns[] = {
        {"applicant", false}, {"applied", true}, {"state", false}, {NULL, false}};
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    // given
    table_t *table = table_new(console->arena, columns);
    table_row(table, (const char *[]){"Tromsø", amount_text(console->arena, 120000000), "PAID"});
    table_row(table, (const char *[]){"Sør-Varanger", "7", "LAPSED"});
    table_row(table,
              (const char *[]){"A\xCC\x8As", "", "a\tb\x1b[2J"});  // A with a ring as a mark of its own
    // when
    table_print(table, file);
    fclose(file);
    // then
    assert_string_equal(text, "applicant       applied  state\n"
                              "Tromsø        1 200 000  PAID\n"
                              "Sør-Varanger          7  LAPSED\n"
                              "A\xCC\x8As                       a b [2J\n");
    free(text);
}

static void amounts_stand_in_groups_of_three(void **state)
{
    struct console *console = *state;

    assert_string_equal(amount_text(console->arena, 700000000), "7 000 000");
    assert_string_equal(amount_text(console->arena, 128425), "1 284,25");
    assert_string_equal(amount_text(console->arena, 0), "0");
}

static void moments_are_shown_in_oslo_also_when_clocks_change(void **state)
{
    struct console *console = *state;

    assert_string_equal(moment_text(console->arena, INT64_C(1718402400000000) - 1), "2024-06-14 23:59:59");
    assert_string_equal(moment_text(console->arena, INT64_C(1718402400000000)), "2024-06-15 00:00:00");
    // 31 March 2024, 01:00 UTC: 02:00 becomes 03:00
    assert_string_equal(moment_text(console->arena, INT64_C(1711846799000000)), "2024-03-31 01:59:59");
    assert_string_equal(moment_text(console->arena, INT64_C(1711846800000000)), "2024-03-31 03:00:00");
    // 27 October 2024, 01:00 UTC: 03:00 becomes 02:00
    assert_string_equal(moment_text(console->arena, INT64_C(1729990799000000)), "2024-10-27 02:59:59");
    assert_string_equal(moment_text(console->arena, INT64_C(1729990800000000)), "2024-10-27 02:00:00");
    assert_string_equal(moment_text(console->arena, 0), "-");
}

static void an_actor_is_read_from_its_end(void **state)
{
    struct console *console = *state;
    actor_t actor;
    const char *why;

    assert_true(actor_parse(console->arena, "per:EDITOR:958935420", &actor, &why));
    assert_string_equal(actor.subject, "per");
    assert_int_equal(actor.role, BUS__V1__ACTOR__ROLE__EDITOR);
    assert_string_equal(actor.organisation, "958935420");
    assert_true(actor_parse(console->arena, "id:7:UNIT_HEAD", &actor, &why));
    assert_string_equal(actor.subject, "id:7");
    assert_string_equal(actor.organisation, "");
}

static void what_is_no_actor_is_refused(void **state)
{
    struct console *console = *state;
    static const char *const texts[] = {
        "per", "per:KING", ":EDITOR", "per:EDITOR:95893542", "per:UNSPECIFIED", ""};
    actor_t actor;
    const char *why;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_false(actor_parse(console->arena, texts[i], &actor, &why));
        assert_non_null(strstr(why, "must be SUBJECT:ROLE"));
    }
}

static void options_may_stand_anywhere_and_the_last_counts(void **state)
{
    struct console *console = *state;

    assert_int_equal(PARSE(console, "call", "extend", "--until=a", "c-1", "--late", "--until", "b", "--json",
                           "--timeout", "3", "--as", "x:UNIT_HEAD"),
                     EXIT_DONE);
    assert_string_equal(console->command->name, "call extend");
    assert_string_equal(console->arguments[0], "c-1");
    assert_string_equal(option_text(console, "until"), "b");
    assert_string_equal(option_text(console, "late"), "");
    assert_true(console->json);
    assert_int_equal(console->timeout_ms, 3000);
    assert_string_equal(console->actor->subject, "x");
    size_t index = 0;
    assert_string_equal(option_next(console, "until", &index), "a");
    assert_string_equal(option_next(console, "until", &index), "b");
    assert_null(option_next(console, "until", &index));
}

static void a_wrong_command_line_is_wrong_usage(void **state)
{
    struct console *console = *state;
    static char *const lines[][6] = {
        {"tildel", "call", "burn", NULL},
        {"tildel", "call", "show", NULL},
        {"tildel", "call", "show", "a", "b", NULL},
        {"tildel", "verify", "--until", "x", NULL},
        {"tildel", "call", "extend", "c", "--until", NULL},
        {"tildel", "call", "extend", "c", "--late=yes", NULL},
        {"tildel", "verify", "--timeout", "0", NULL},
        {"tildel", "verify", "--timeout", "1s", NULL},
        {"tildel", "verify", "--id", "7", NULL},
        {"tildel", "verify", "--as", "nobody", NULL},
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        *console = (struct console){.arena = console->arena, .ground = console->ground};
        assert_int_equal(parse(console, (char **)lines[i]), EXIT_USAGE);
    }
}

static void a_double_dash_ends_the_options(void **state)
{
    struct console *console = *state;

    assert_int_equal(PARSE(console, "call", "show", "--", "--json"), EXIT_DONE);
    assert_string_equal(console->arguments[0], "--json");
    assert_false(console->json);
}

static void ids_of_further_steps_follow_from_the_first(void **state)
{
    struct console *console = *state;
    char *words[] = {"tildel", "verify", "--id", "0190a000-0000-7000-8000-000000000001", NULL};
    // given
    assert_int_equal(parse(console, words), EXIT_DONE);
    // when
    const char *save = command_id(console, "save");
    // then
    assert_string_equal(command_id(console, NULL), words[3]);
    assert_string_equal(command_id(console, "save"), save);
    assert_string_not_equal(command_id(console, "start"), save);
    assert_int_equal(strlen(save), 36);
}

static void types_are_addressed_by_their_package(void **state)
{
    struct console *console = *state;

    assert_string_equal(service_of(console->arena, "intake.v1.Withdraw"), "intake");
    assert_string_equal(service_of(console->arena, "bus.v1.GetPeers"), "broker");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(columns_stand_straight_with_norwegian_letters),
        TEST(amounts_stand_in_groups_of_three),
        TEST(moments_are_shown_in_oslo_also_when_clocks_change),
        TEST(an_actor_is_read_from_its_end),
        TEST(what_is_no_actor_is_refused),
        TEST(options_may_stand_anywhere_and_the_last_counts),
        TEST(a_wrong_command_line_is_wrong_usage),
        TEST(a_double_dash_ends_the_options),
        TEST(ids_of_further_steps_follow_from_the_first),
        TEST(types_are_addressed_by_their_package),
    };
    return cmocka_run_group_tests_name("console", tests, NULL, NULL);
}
