// Tests of comparing live tables with rebuilt ones, against a real PostgreSQL: equal is equal, whatever
// differs is told.
#include "tools.h"

#include "limits/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

const struct command *const command_groups[] = {NULL};

// The shape of a service's schema, with names that must not be taken for words of SQL or of the comparison.
#define TABLES                                                                                               \
    "CREATE TABLE loop_cursor (position bigint); INSERT INTO loop_cursor VALUES (7);"                        \
    "CREATE TABLE loop_outbox (id int); CREATE TABLE loop_parked (id int);"                                  \
    "CREATE TABLE \"select\" (name text, line bigint, key bytea, \"Odd Value\" text, PRIMARY KEY (name, "    \
    "line));"                                                                                                \
    "INSERT INTO \"select\" VALUES ('b', 2, '\\x00ff', NULL), ('a', 10, '', 'x'), ('a', 9, '', '');"         \
    "CREATE TABLE empty (id text PRIMARY KEY);"
static const struct migration steps[] = {{1, TABLES}, {0, NULL}};

struct fixture {
    struct console console;
    const char *url, *live, *prefix, *rebuilt;
    char output[16384];
};

// Say one thing to the database, in this schema.
static void sql_run(struct fixture *fixture, const char *schema, const char *text)
{
    const struct sql statement = {.name = "test", .text = text, .params = 0};
    const struct sql *const list[] = {&statement, NULL};
    const struct sql *const *const lists[] = {list, NULL};
    struct db_config config = {.url = fixture->url, .schema = schema, .statements = lists};
    struct message message = message_new(fixture->console.ground);

    message.db = db_new(&config);
    if (db_begin(&message) != OK || db_run(&message, &statement, NULL, 0, NULL) != OK ||
        db_commit(&message) != OK)
        fail_msg("%s: %s", text, message.reason);
    db_destroy(&message.db);
}

static void make_schema(struct fixture *fixture, const char *schema)
{
    static const struct migration *const lists[] = {steps, NULL};
    struct db_config config = {.url = fixture->url, .schema = schema};
    struct message message = message_new(fixture->console.ground);

    message.db = db_new(&config);
    if (db_migrate(&message, NULL, lists) != OK)
        fail_msg("%s", message.reason);
    db_destroy(&message.db);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct console *console = &fixture->console;

    console->arena = arena_new(LIMIT_ARENA_BYTES);
    console->ground = arena_new(LIMIT_ARENA_BYTES);
    console->message = message_new(console->arena);
    console->command = &commands_replay[1];
    console->json = true;
    console->timeout_ms = 1;
    fixture->url = getenv("MIGRATE_URL");
    fixture->live = arena_printf(console->ground, "console_live_%d", (int)getpid());
    fixture->prefix = arena_printf(console->ground, "again_%d", (int)getpid());
    fixture->rebuilt = tools_schema(console->ground, fixture->prefix, fixture->live);
    console->options[0].name = "with";
    console->options[0].value = fixture->prefix;
    console->n_options = 1;
    // given two equal schemas, the second rebuilt up to where the first stands
    make_schema(fixture, fixture->live);
    make_schema(fixture, fixture->rebuilt);
    assert_int_equal(tools_open(console, fixture->prefix), EXIT_DONE);
    tools_close(console);
    sql_run(fixture, tools_schema(console->ground, fixture->prefix, "tools"),
            arena_printf(console->ground, "INSERT INTO rebuilt VALUES ('%s', 7)", fixture->live));
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    arena_t *ground = fixture->console.ground;

    sql_run(fixture, "pg_catalog",
            arena_printf(ground, "DROP SCHEMA IF EXISTS %s, %s, %s CASCADE", fixture->live, fixture->rebuilt,
                         tools_schema(ground, fixture->prefix, "tools")));
    arena_destroy(&fixture->console.arena);
    arena_destroy(&fixture->console.ground);
    free(fixture);
    return 0;
}

// Compare, and keep what was written.
static int compare(struct fixture *fixture)
{
    FILE *file = tmpfile();
    int standard = dup(STDOUT_FILENO);

    fflush(stdout);
    dup2(fileno(file), STDOUT_FILENO);
    int code = run_compare(&fixture->console);
    fflush(stdout);
    dup2(standard, STDOUT_FILENO);
    close(standard);
    rewind(file);
    fixture->output[fread(fixture->output, 1, sizeof fixture->output - 1, file)] = '\0';
    fclose(file);
    return code;
}

static void assert_told(struct fixture *fixture, const char *text)
{
    if (strstr(fixture->output, text) == NULL)
        fail_msg("this does not say '%s':\n%s", text, fixture->output);
}

static void equal_schemas_are_equal(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(compare(fixture), EXIT_DONE);
    assert_told(fixture, "\"equal\": true,\n \"tables\": 2,\n \"rows\": 3,\n \"different\": 0");
}

static void what_the_loop_remembers_is_not_compared(void **state)
{
    struct fixture *fixture = *state;

    sql_run(fixture, fixture->rebuilt, "INSERT INTO loop_parked VALUES (1)");
    assert_int_equal(compare(fixture), EXIT_DONE);
}

static void a_value_that_differs_is_told_with_its_key(void **state)
{
    struct fixture *fixture = *state;
    // when an empty text stands where there was none, and a byte differs
    sql_run(fixture, fixture->rebuilt,
            "UPDATE \"select\" SET \"Odd Value\" = '', key = '\\x00fe' WHERE name = 'b'");
    // then
    assert_int_equal(compare(fixture), EXIT_DIFFERENT);
    assert_told(
        fixture,
        "\"key\": \"b/2\",\n   \"column\": \"Odd Value\",\n   \"live\": \"NULL\",\n   \"rebuilt\": \"\"");
    assert_told(fixture, "\"column\": \"key\",\n   \"live\": \"\\\\x00ff\",\n   \"rebuilt\": \"\\\\x00fe\"");
}

static void a_row_that_one_side_lacks_is_told_once(void **state)
{
    struct fixture *fixture = *state;

    sql_run(fixture, fixture->live, "DELETE FROM \"select\" WHERE line = 10");
    sql_run(fixture, fixture->rebuilt, "INSERT INTO empty VALUES ('x')");
    sql_run(fixture, fixture->live, "INSERT INTO empty VALUES ('y')");
    assert_int_equal(compare(fixture), EXIT_DIFFERENT);
    assert_told(fixture, "\"different\": 2");
    assert_told(
        fixture,
        "\"key\": \"a/10\",\n   \"column\": \"(row)\",\n   \"live\": \"absent\",\n   \"rebuilt\": \"there\"");
    assert_told(fixture, "\"key\": \"x\",\n   \"column\": \"(row)\",\n   \"live\": \"absent\"");
    assert_told(fixture, "\"key\": \"y\",\n   \"column\": \"(row)\",\n   \"live\": \"there\"");
}

static void columns_and_tables_that_differ_are_told(void **state)
{
    struct fixture *fixture = *state;

    sql_run(fixture, fixture->live, "ALTER TABLE empty ADD COLUMN more int");
    sql_run(fixture, fixture->rebuilt, "CREATE TABLE later (id int PRIMARY KEY)");
    assert_int_equal(compare(fixture), EXIT_DIFFERENT);
    assert_told(fixture, "\"table\": \"empty\",\n   \"key\": \"(column)\",\n   \"column\": \"more\",\n   "
                         "\"live\": \"integer\"");
    assert_told(fixture, "\"table\": \"later\",\n   \"key\": \"(table)\"");
}

static void a_table_without_primary_key_is_a_difference(void **state)
{
    struct fixture *fixture = *state;

    sql_run(fixture, fixture->live, "CREATE TABLE heap (id int)");
    sql_run(fixture, fixture->rebuilt, "CREATE TABLE heap (id int)");
    assert_int_equal(compare(fixture), EXIT_DIFFERENT);
    assert_told(fixture, "\"column\": \"(primary key)\"");
}

static void many_differences_are_cut_at_twenty_a_table(void **state)
{
    struct fixture *fixture = *state;

    sql_run(fixture, fixture->live, "INSERT INTO empty SELECT g::text FROM generate_series(1, 100) AS g");
    assert_int_equal(compare(fixture), EXIT_DIFFERENT);
    json_t *output = json_loads(fixture->output, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(output, "differences")), 20);
    json_decref(output);
}

static void a_live_service_that_lags_is_refused(void **state)
{
    struct fixture *fixture = *state;

    sql_run(fixture, fixture->live, "UPDATE loop_cursor SET position = 6");
    assert_int_equal(compare(fixture), EXIT_REFUSED);
    sql_run(fixture, fixture->live, "UPDATE loop_cursor SET position = 8");
    assert_int_equal(compare(fixture), EXIT_REFUSED);
    sql_run(fixture, fixture->live, "UPDATE loop_cursor SET position = 7");
    sql_run(fixture, fixture->live, "INSERT INTO loop_outbox VALUES (1)");
    assert_int_equal(compare(fixture), EXIT_REFUSED);
}

static void a_prefix_under_which_nothing_was_rebuilt_is_refused(void **state)
{
    struct fixture *fixture = *state;

    fixture->console.options[0].value = "never";
    assert_int_equal(compare(fixture), EXIT_REFUSED);
    fixture->console.options[0].value = "Never; drop";
    assert_int_equal(compare(fixture), EXIT_USAGE);
}

int main(void)
{
    const char *url = getenv("CHECK_DATABASE_URL");

    if (url == NULL || url[0] == '\0') {
        puts("1..0 # SKIP CHECK_DATABASE_URL names no PostgreSQL for tests");
        return 0;
    }
    setenv("MIGRATE_URL", url, 1);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(equal_schemas_are_equal),
        TEST(what_the_loop_remembers_is_not_compared),
        TEST(a_value_that_differs_is_told_with_its_key),
        TEST(a_row_that_one_side_lacks_is_told_once),
        TEST(columns_and_tables_that_differ_are_told),
        TEST(a_table_without_primary_key_is_a_difference),
        TEST(many_differences_are_cut_at_twenty_a_table),
        TEST(a_live_service_that_lags_is_refused),
        TEST(a_prefix_under_which_nothing_was_rebuilt_is_refused),
    };
    return cmocka_run_group_tests_name("compare", tests, NULL, NULL);
}
