// Schemas that are brought up to date: once, in order, whole, by one at a time, and never backwards.
// Needs CHECK_DATABASE_URL; ends with 77 without it.
#include "db/db.h"
#include "limits/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

// A role that every PostgreSQL has; stands for a service's login.
#define LOGIN "pg_monitor"

static const struct migration one_step[] = {{1, "CREATE TABLE a (x int); INSERT INTO a VALUES (1);"},
                                            {0, NULL}};
static const struct migration two_steps[] = {
    {1, "CREATE TABLE a (x int); INSERT INTO a VALUES (1);"}, {2, "UPDATE a SET x = x * 10;", 1}, {0, NULL}};
static const struct migration three_steps[] = {{1, "CREATE TABLE a (x int); INSERT INTO a VALUES (1);"},
                                               {2, "UPDATE a SET x = x * 10;", 1},
                                               {3, "ALTER TABLE a ADD COLUMN y int;", 2},
                                               {0, NULL}};
static const struct migration not_beside_one[] = {{1, "CREATE TABLE a (x int); INSERT INTO a VALUES (1);"},
                                                  {2, "ALTER TABLE a RENAME x TO z;", 2},
                                                  {0, NULL}};
static const struct migration bad_second[] = {{1, "CREATE TABLE a (x int); INSERT INTO a VALUES (1);"},
                                              {2, "UPDATE a SET x = 7; UPDATE a SET y = 7;"},
                                              {0, NULL}};
static const struct migration other_list[] = {{1, "CREATE TABLE b (y int); INSERT INTO b SELECT x FROM a;"},
                                              {0, NULL}};
static const struct migration revoking[] = {
    {1, "CREATE TABLE a (x int); CREATE TABLE kept (x int);"
        "DO $$ BEGIN"
        "    EXECUTE format('REVOKE UPDATE, DELETE ON kept FROM %I', current_setting('tildel.login'));"
        "END $$;"},
    {0, NULL}};
static const struct migration slow[] = {
    {1, "SELECT pg_sleep(0.2); CREATE TABLE a (x int); INSERT INTO a VALUES (1);"},
    {2, "UPDATE a SET x = x + 1;"},
    {0, NULL}};

static const struct sql sql_sum_a = {.name = "sum_a", .text = "SELECT sum(x) FROM a"};
static const struct sql sql_sum_b = {.name = "sum_b", .text = "SELECT sum(y) FROM b"};
static const struct sql sql_may = {.name = "may",
                                   .params = 2,
                                   .text = "SELECT has_table_privilege('" LOGIN
                                           "', quote_ident(current_schema()) || '.' || $1, $2)"};
static const struct sql sql_may_use = {
    .name = "may_use", .text = "SELECT has_schema_privilege('" LOGIN "', current_schema(), 'USAGE')"};
static const struct sql sql_drop = {
    .name = "drop",
    .text = "DO $$ BEGIN EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', current_schema()); END $$"};

static const struct sql sql_hold = {.name = "hold", .text = "LOCK TABLE a IN ACCESS SHARE MODE"};
static const struct sql sql_as_made_before = {.name = "as_made_before",
                                              .text = "ALTER TABLE schema_step DROP COLUMN oldest"};

static const struct sql *const drop_list[] = {&sql_drop, NULL};
static const struct sql *const a_list[] = {&sql_sum_a, &sql_may, &sql_may_use, NULL};
static const struct sql *const b_list[] = {&sql_sum_b, NULL};
static const struct sql *const hold_list[] = {&sql_hold, NULL};
static const struct sql *const before_list[] = {&sql_as_made_before, NULL};
static const struct sql *const *const on_hold[] = {hold_list, NULL};
static const struct sql *const *const on_before[] = {before_list, NULL};
static const struct sql *const *const only_drop[] = {drop_list, NULL};
static const struct sql *const *const on_a[] = {a_list, NULL};
static const struct sql *const *const on_b[] = {b_list, NULL};

struct bench {
    arena_t *arena;
    char schema[64];
};

// A message with a connection of its own to the test's schema.
static struct message open_database(const struct bench *bench, const struct sql *const *const *statements)
{
    struct message message = message_new(bench->arena);
    message.db = db_new(&(struct db_config){.url = getenv("CHECK_DATABASE_URL"),
                                            .schema = bench->schema,
                                            .statements = statements,
                                            .application_name = "migrate_test"});
    return message;
}

static int with_bench(void **state)
{
    static int made;
    struct bench *bench = malloc(sizeof *bench);
    assert_non_null(bench);
    bench->arena = arena_new(LIMIT_ARENA_BYTES);
    snprintf(bench->schema, sizeof bench->schema, "check \"%d\"; --%d", (int)getpid(), ++made);
    *state = bench;
    return 0;
}

static int without_bench(void **state)
{
    struct bench *bench = *state;
    struct message message = open_database(bench, only_drop);
    status_t status = db_connect(&message);
    if (status == OK)
        status = RUN0(&message, drop, NULL);
    db_destroy(&message.db);
    arena_destroy(&bench->arena);
    free(bench);
    return status;
}

static status_t migrate(const struct bench *bench, const char *login, const struct migration *first,
                        const struct migration *second, const char **ret_reason)
{
    const struct migration *const lists[] = {first, second, NULL};
    struct message message = open_database(bench, NULL);
    status_t status = db_migrate(&message, login, lists);
    *ret_reason = message.reason != NULL ? message.reason : "";
    db_destroy(&message.db);
    return status;
}

// The one number that a statement returns.
static int64_t number(const struct bench *bench, const struct sql *const *const *lists, const struct sql *sql,
                      const struct arg args[], int n_args)
{
    struct message message = open_database(bench, lists);
    struct rows rows;
    assert_int_equal(OK, db_connect(&message));
    assert_int_equal(OK, db_run(&message, sql, args, n_args, &rows));
    db_destroy(&message.db);
    return row_int(&rows, 0, 0);
}

static bool may(const struct bench *bench, const char *table, const char *right)
{
    return number(bench, on_a, &sql_may, (const struct arg[]){TEXT(table), TEXT(right)}, 2) == 1;
}

static void steps_are_taken_once_and_in_order(void **state)
{
    const struct bench *bench = *state;
    const char *reason;
    for (int round = 0; round < 3; round++)
        assert_int_equal(OK, migrate(bench, NULL, two_steps, other_list, &reason));
    assert_int_equal(10, number(bench, on_a, &sql_sum_a, NULL, 0));
    assert_int_equal(10, number(bench, on_b, &sql_sum_b, NULL, 0));
}

static void a_newer_program_takes_only_the_new_steps(void **state)
{
    const struct bench *bench = *state;
    const char *reason;
    assert_int_equal(OK, migrate(bench, NULL, one_step, NULL, &reason));
    assert_int_equal(OK, migrate(bench, NULL, two_steps, NULL, &reason));
    assert_int_equal(10, number(bench, on_a, &sql_sum_a, NULL, 0));
}

static void a_step_that_fails_leaves_nothing_and_can_be_mended(void **state)
{
    const struct bench *bench = *state;
    const char *reason;
    assert_int_equal(POISON, migrate(bench, NULL, bad_second, NULL, &reason));
    assert_non_null(strstr(reason, "take step 2 of schema check"));
    assert_non_null(strstr(reason, "column \"y\""));
    assert_int_equal(1, number(bench, on_a, &sql_sum_a, NULL, 0));
    assert_int_equal(OK, migrate(bench, NULL, two_steps, NULL, &reason));
    assert_int_equal(10, number(bench, on_a, &sql_sum_a, NULL, 0));
}

// How a program that knows these steps fares when it connects, and what it is told.
static status_t connects(const struct bench *bench, const struct migration *first, const struct migration *second,
                         const char **ret_reason)
{
    const struct migration *const lists[] = {first, second, NULL};
    struct message message = message_new(bench->arena);
    message.db = db_new(&(struct db_config){.url = getenv("CHECK_DATABASE_URL"),
                                            .schema = bench->schema,
                                            .statements = on_a,
                                            .migrations = lists,
                                            .application_name = "migrate_test"});
    status_t status = db_connect(&message);
    *ret_reason = message.reason != NULL ? message.reason : "";
    db_destroy(&message.db);
    return status;
}

static void a_program_ahead_of_its_database_waits_and_says_for_what(void **state)
{
    const struct bench *bench = *state;
    const char *reason;

    assert_int_equal(RETRY, connects(bench, two_steps, NULL, &reason));  // never made
    assert_non_null(strstr(reason, "is at step 0 and this program needs step 2: run --migrate (tildel-migrate)"));
    assert_int_equal(OK, migrate(bench, NULL, one_step, NULL, &reason));
    assert_int_equal(RETRY, connects(bench, two_steps, NULL, &reason));
    assert_non_null(strstr(reason, "is at step 1 and this program needs step 2"));
    assert_int_equal(OK, migrate(bench, NULL, two_steps, NULL, &reason));
    assert_int_equal(OK, connects(bench, two_steps, NULL, &reason));
    assert_int_equal(RETRY, connects(bench, two_steps, other_list, &reason));
    assert_non_null(strstr(reason, "is at step 0 of list 1 and this program needs step 1"));
}

static void the_program_before_runs_on_after_an_upgrade(void **state)
{
    const struct bench *bench = *state;
    const char *reason;

    assert_int_equal(OK, migrate(bench, NULL, two_steps, NULL, &reason));
    assert_int_equal(OK, connects(bench, one_step, NULL, &reason));
    // Its own --migrate, when an upgrade is taken back, leaves all as it is.
    assert_int_equal(OK, migrate(bench, NULL, one_step, NULL, &reason));
    assert_int_equal(OK, connects(bench, two_steps, NULL, &reason));
}

static void the_program_before_that_does_not(void **state)
{
    const struct bench *bench = *state;
    const char *reason;

    assert_int_equal(OK, migrate(bench, NULL, three_steps, NULL, &reason));
    assert_int_equal(OK, connects(bench, two_steps, NULL, &reason));
    assert_int_equal(REFUSED, connects(bench, one_step, NULL, &reason));
    assert_non_null(strstr(reason, "is at step 3, which needs a program that knows step 2, and this one knows 1: "
                                   "start the newer program"));
    assert_int_equal(REFUSED, migrate(bench, NULL, one_step, NULL, &reason));
    assert_non_null(strstr(reason, "is at step 3, which needs a program that knows step 2"));
}

static void a_step_may_say_that_the_program_before_can_not_stay(void **state)
{
    const struct bench *bench = *state;
    const char *reason;

    assert_int_equal(OK, migrate(bench, NULL, not_beside_one, NULL, &reason));
    assert_int_equal(REFUSED, connects(bench, one_step, NULL, &reason));
    assert_non_null(strstr(reason, "is at step 2, which needs a program that knows step 2, and this one knows 1"));
}

static void a_schema_made_before_steps_said_so_counts_and_learns_it(void **state)
{
    const struct bench *bench = *state;
    const char *reason;
    struct message message = open_database(bench, on_before);

    assert_int_equal(OK, migrate(bench, NULL, two_steps, NULL, &reason));
    assert_int_equal(OK, db_connect(&message));
    assert_int_equal(OK, RUN0(&message, as_made_before, NULL));
    db_destroy(&message.db);
    assert_int_equal(OK, connects(bench, one_step, NULL, &reason));
    assert_int_equal(RETRY, connects(bench, three_steps, NULL, &reason));
    assert_int_equal(OK, migrate(bench, NULL, three_steps, NULL, &reason));
    assert_int_equal(OK, connects(bench, three_steps, NULL, &reason));
    assert_int_equal(REFUSED, connects(bench, one_step, NULL, &reason));
}

static void a_step_that_fails_leaves_the_program_before_running(void **state)
{
    const struct bench *bench = *state;
    const char *reason;

    assert_int_equal(OK, migrate(bench, NULL, one_step, NULL, &reason));
    assert_int_equal(POISON, migrate(bench, NULL, bad_second, NULL, &reason));
    assert_int_equal(OK, connects(bench, one_step, NULL, &reason));
    assert_int_equal(RETRY, connects(bench, bad_second, NULL, &reason));
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// Keep a step from its lock for a while.
static int hold_a_lock(const struct bench *bench)
{
    struct message message = open_database(bench, on_hold);
    status_t status = db_begin(&message);
    if (status == OK)
        status = RUN0(&message, hold, NULL);
    usleep(2500000);
    return status == OK ? (int)db_commit(&message) : (int)status;
}

// Ask again and again, as a running service does. How long did the slowest take?
static int ask_meanwhile(const struct bench *bench)
{
    struct message message = open_database(bench, on_a);
    int64_t slowest_ms = 0;
    status_t status = db_connect(&message);

    for (int64_t end_ms = now_ms() + 2000; status == OK && now_ms() < end_ms;) {
        int64_t began_ms = now_ms();
        status = RUN0(&message, sum_a, NULL);
        if (now_ms() - began_ms > slowest_ms)
            slowest_ms = now_ms() - began_ms;
        usleep(10000);
    }
    return status == OK && slowest_ms < 1200 ? 0 : 1;
}

static void a_step_that_waits_for_a_lock_does_not_hold_up_the_others(void **state)
{
    const struct bench *bench = *state;
    const char *reason;
    int (*const work[])(const struct bench *) = {hold_a_lock, ask_meanwhile};
    pid_t children[2];

    assert_int_equal(OK, migrate(bench, NULL, two_steps, NULL, &reason));
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        if (children[i] == 0)
            _exit(work[i](bench));
    }
    usleep(300000);
    assert_int_equal(OK, migrate(bench, NULL, three_steps, NULL, &reason));
    for (int i = 0; i < 2; i++) {
        int status;
        assert_int_equal(children[i], waitpid(children[i], &status, 0));
        assert_int_equal(0, status);
    }
}

static void processes_that_start_together_take_each_step_once(void **state)
{
    const struct bench *bench = *state;
    const char *reason;
    pid_t children[4];

    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i] == 0)
            _exit(migrate(bench, NULL, slow, NULL, &reason));
    }
    for (int i = 0; i < 4; i++) {
        int status;
        assert_int_equal(children[i], waitpid(children[i], &status, 0));
        assert_int_equal(OK, status);
    }
    assert_int_equal(2, number(bench, on_a, &sql_sum_a, NULL, 0));
}

static void the_login_gets_rows_and_no_more_than_a_step_leaves_it(void **state)
{
    const struct bench *bench = *state;
    const char *reason;

    // Twice: a second start must not give back what a step took away.
    for (int round = 0; round < 2; round++)
        assert_int_equal(OK, migrate(bench, LOGIN, revoking, NULL, &reason));
    assert_int_equal(1, number(bench, on_a, &sql_may_use, NULL, 0));
    assert_true(may(bench, "a", "SELECT") && may(bench, "a", "INSERT"));
    assert_true(may(bench, "a", "UPDATE") && may(bench, "a", "DELETE"));
    assert_false(may(bench, "a", "TRUNCATE") || may(bench, "a", "REFERENCES"));
    assert_true(may(bench, "kept", "SELECT") && may(bench, "kept", "INSERT"));
    assert_false(may(bench, "kept", "UPDATE") || may(bench, "kept", "DELETE"));
    assert_true(may(bench, "schema_step", "SELECT"));
    assert_false(may(bench, "schema_step", "INSERT") || may(bench, "schema_step", "UPDATE"));
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, with_bench, without_bench)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(steps_are_taken_once_and_in_order),
        EACH(a_newer_program_takes_only_the_new_steps),
        EACH(a_step_that_fails_leaves_nothing_and_can_be_mended),
        EACH(a_program_ahead_of_its_database_waits_and_says_for_what),
        EACH(the_program_before_runs_on_after_an_upgrade),
        EACH(the_program_before_that_does_not),
        EACH(a_step_may_say_that_the_program_before_can_not_stay),
        EACH(a_schema_made_before_steps_said_so_counts_and_learns_it),
        EACH(a_step_that_fails_leaves_the_program_before_running),
        EACH(a_step_that_waits_for_a_lock_does_not_hold_up_the_others),
        EACH(processes_that_start_together_take_each_step_once),
        EACH(the_login_gets_rows_and_no_more_than_a_step_leaves_it),
    };
    if (getenv("CHECK_DATABASE_URL") == NULL)
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
