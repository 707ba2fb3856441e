// Tests of what an auditor's package holds beside the log: nothing that somebody wrote into an event becomes a formula,
// a script or another file name, and the same events give the same bytes.
#include "derive.h"

#include "limits/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

const struct command *const command_groups[] = {NULL};

struct fixture {
    struct console console;
    derive_t *derive;
    Eventlog__V1__Event event;
    actor_t actor;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct console *console = &fixture->console;

    console->arena = arena_new(LIMIT_ARENA_BYTES);
    console->ground = arena_new(LIMIT_ARENA_BYTES);
    console->message = message_new(console->arena);
    fixture->derive = derive_new(console);
    fixture->actor = (actor_t)BUS__V1__ACTOR__INIT;
    fixture->actor.subject = (char *)"officer.1";
    fixture->actor.role = BUS__V1__ACTOR__ROLE__CASE_OFFICER;
    fixture->event = (Eventlog__V1__Event)EVENTLOG__V1__EVENT__INIT;
    fixture->event.id = (char *)"01a21316-4941-70b0-8d92-a6f51a01379a";
    fixture->event.type = (char *)"reporting.v1.GrantClosed";
    fixture->event.subject = (char *)"a-1";
    fixture->event.rule_set = (char *)"2024-1";
    fixture->event.time_us = 1718400000000000;
    fixture->event.actor = &fixture->actor;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    derive_destroy(&fixture->derive);
    arena_destroy(&fixture->console.arena);
    arena_destroy(&fixture->console.ground);
    free(fixture);
    return 0;
}

// The member of this name, of all that came of it; the rest is dropped.
static const char *member(struct fixture *fixture, const char *name)
{
    const char *found = "";

    for (struct derived *one; (one = derive_take(fixture->derive)) != NULL; derived_free(one))
        if (strcmp(one->name, name) == 0)
            found = arena_printf(fixture->console.arena, "%.*s", (int)one->size, one->bytes);
    assert_string_not_equal(found, "");
    return found;
}

static const char *page(struct fixture *fixture, const char *name)
{
    derive_event(fixture->derive, &fixture->event, 7, NULL);
    derive_part(fixture->derive, true);
    return member(fixture, name);
}

static void assert_holds(const char *text, const char *part)
{
    assert_non_null(text);
    assert_non_null(strstr(text, part));
}

static void a_cell_that_would_be_a_formula_is_text(void **state)
{
    struct fixture *fixture = *state;

    fixture->actor.subject = (char *)"=HYPERLINK(\"http://x\",\"y\")";
    fixture->event.subject = (char *)"@SUM(1)";
    const char *csv = page(fixture, "timeline/0001.csv");
    assert_holds(csv, ",\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\",");
    assert_holds(csv, ",\"'@SUM(1)\",");
}

static void a_cell_stays_one_cell_and_a_row_one_line(void **state)
{
    struct fixture *fixture = *state;

    fixture->actor.subject = (char *)"a,b\n\"c\"";
    const char *csv = page(fixture, "timeline/0001.csv");
    assert_holds(csv, ",\"a,b \"\"c\"\"\",CASE_OFFICER,");
    assert_ptr_equal(strchr(strchr(csv, '\n') + 1, '\n')[1] == '\0' ? csv : NULL, csv);
}

static void what_somebody_wrote_is_no_markup(void **state)
{
    struct fixture *fixture = *state;

    fixture->actor.subject = (char *)"<script>alert('x')</script>&\"";
    const char *html = page(fixture, "timeline/0001.html");
    assert_holds(html, "<td>&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;</td>");
    assert_null(strstr(html, "<script>"));
    assert_holds(html, "default-src 'none'");
}

static void the_rule_sets_are_told_with_the_positions_they_decided(void **state)
{
    struct fixture *fixture = *state;

    derive_event(fixture->derive, &fixture->event, 3, NULL);
    fixture->event.rule_set = (char *)"2025-1";
    derive_event(fixture->derive, &fixture->event, 4, NULL);
    derive_event(fixture->derive, &fixture->event, 9, NULL);
    derive_part(fixture->derive, true);
    json_t *sets = json_loads(member(fixture, "rules/rule_sets.json"), 0, NULL);
    assert_int_equal(json_array_size(sets), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(sets, 1), "rule_set")), "2025-1");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(sets, 1), "first")), 4);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(sets, 1), "last")), 9);
    json_decref(sets);
}

static void a_call_gets_no_file_name_of_its_own_making(void **state)
{
    struct fixture *fixture = *state;
    json_t *data = json_pack("{s:{s:s}}", "definition", "call_id", "x");

    fixture->event.type = (char *)"intake.v1.CallPublished";
    fixture->event.subject = (char *)"../../etc/passwd";
    derive_event(fixture->derive, &fixture->event, 12, data);
    json_decref(data);
    assert_holds(member(fixture, "rules/000000000012-call-------etc-passwd.json"), "\"call_id\": \"x\"");
}

static void a_page_ends_with_the_part_that_fills_it(void **state)
{
    struct fixture *fixture = *state;
    int members = 0;

    for (uint64_t i = 1; i <= 1500; i++)
        derive_event(fixture->derive, &fixture->event, i, NULL);
    assert_null(derive_take(fixture->derive));
    derive_part(fixture->derive, false);
    for (struct derived *one; (one = derive_take(fixture->derive)) != NULL; derived_free(one))
        members++;
    assert_int_equal(members, 2);
    derive_event(fixture->derive, &fixture->event, 1501, NULL);
    derive_part(fixture->derive, true);
    derive_part(fixture->derive, true);
    assert_holds(member(fixture, "timeline/0002.csv"), "1501,");
}

// What would be told of an event must not be left out because its data was not read.
static void the_data_is_read_of_all_that_something_comes_of(void **state)
{
    static const char *const read[] = {"intake.v1.CallPublished", "intake.v1.ApplicationSubmitted",
                                       "allocation.v1.GrantLetterIssued", "allocation.v1.AllocationProposed",
                                       "reporting.v1.ReportPrepared", "payment.v1.PaymentConfirmed"};
    static const char *const not_read[] = {"intake.v1.DraftSaved", "service.v1.CaseErased", "no.such.Type"};

    (void)state;
    for (size_t i = 0; i < sizeof read / sizeof read[0]; i++)
        assert_true(derive_reads(read[i]));
    for (size_t i = 0; i < sizeof not_read / sizeof not_read[0]; i++)
        assert_false(derive_reads(not_read[i]));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_cell_that_would_be_a_formula_is_text),
        TEST(a_cell_stays_one_cell_and_a_row_one_line),
        TEST(what_somebody_wrote_is_no_markup),
        TEST(the_rule_sets_are_told_with_the_positions_they_decided),
        TEST(a_call_gets_no_file_name_of_its_own_making),
        TEST(a_page_ends_with_the_part_that_fills_it),
        cmocka_unit_test(the_data_is_read_of_all_that_something_comes_of),
    };
    return cmocka_run_group_tests_name("derive", tests, NULL, NULL);
}
