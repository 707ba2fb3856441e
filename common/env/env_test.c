// Settings: only those of the table can be asked for, and a secret that is not one is refused with a sentence.
#include "env/env.h"

#include "env/settings.h"
#include "limits/limits.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define GOOD "postgresql://tildel_intake:5f0c9a7e1d3b4826@db/tildel"

struct bench {
    arena_t *arena;
    char path[64];
};

static int with_bench(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);

    bench->arena = arena_new(LIMIT_ARENA_BYTES);
    snprintf(bench->path, sizeof bench->path, "/tmp/env_test-XXXXXX");
    close(mkstemp(bench->path));
    unsetenv("DATABASE_URL");
    setenv("DATABASE_URL_FILE", bench->path, 1);
    *state = bench;
    return 0;
}

static int without_bench(void **state)
{
    struct bench *bench = *state;

    remove(bench->path);
    arena_destroy(&bench->arena);
    free(bench);
    return 0;
}

static void write_file(const struct bench *bench, const char *text, mode_t mode)
{
    FILE *file = fopen(bench->path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(0, fclose(file));
    assert_int_equal(0, chmod(bench->path, mode));
}

static void refused(const struct bench *bench, const char *said)
{
    const char *why = NULL;

    assert_null(env_url_or(bench->arena, "DATABASE_URL", &why));
    if (strstr(why, said) == NULL)
        fail_msg("'%s' is not said in '%s'", said, why);
}

static void a_secret_that_is_well_is_its_first_line(void **state)
{
    struct bench *bench = *state;
    const char *why = NULL;

    write_file(bench, GOOD "\nsomething else\n", 0600);
    assert_string_equal(GOOD, env_url_or(bench->arena, "DATABASE_URL", &why));
    write_file(bench, GOOD, 0400);
    assert_string_equal(GOOD, env_url_or(bench->arena, "DATABASE_URL", &why));
    setenv("DATABASE_URL", GOOD "?sslmode=require", 1);
    assert_string_equal(GOOD "?sslmode=require", env_url_or(bench->arena, "DATABASE_URL", &why));
}

static void a_secret_that_is_not_is_refused_with_what_to_do(void **state)
{
    struct bench *bench = *state;
    char said[256];

    write_file(bench, "", 0600);
    snprintf(said, sizeof said, "DATABASE_URL_FILE: %s is empty; remove it, deploy/init makes it again",
             bench->path);
    refused(bench, said);
    write_file(bench, "\n", 0600);
    refused(bench, "is no PostgreSQL address");
    write_file(bench, GOOD, 0640);
    refused(bench, "is open to group or others (mode 0640); make it 0600");
    write_file(bench, GOOD, 0604);
    refused(bench, "is open to group or others");
    write_file(bench, "postgresql://tildel_intake:postgres@db/tildel", 0600);
    refused(bench, "has a password of fewer than 16 characters; deploy/init makes good ones");
    remove(bench->path);
    refused(bench, "cannot be read: No such file or directory; deploy/init makes it");
    assert_int_equal(0, mkdir(bench->path, 0700));
    refused(bench, "is a folder: the secret was not there when the container was made");
    setenv("DATABASE_URL", "postgresql://tildel_intake:secret@db/tildel", 1);
    refused(bench, "DATABASE_URL has a password of fewer than 16 characters");
    unsetenv("DATABASE_URL");
    unsetenv("DATABASE_URL_FILE");
    refused(bench, "DATABASE_URL is not set, nor is DATABASE_URL_FILE; see --help");
}

static void a_setting_that_stands_in_no_table_can_not_be_read(void **state)
{
    (void)state;
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        fclose(stderr);
        env_or("A_SETTING_NOBODY_WROTE_DOWN", NULL);
        _exit(0);
    }
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void the_table_says_each_setting_once_and_for_somebody(void **state)
{
    (void)state;
    for (const struct setting *setting = settings; setting->name != NULL; setting++) {
        size_t words = 1, known = 0;
        for (const char *at = setting->who; *at != '\0'; at++)
            words += *at == ' ';
        for (size_t i = 0; setting_readers[i] != NULL; i++)
            known += setting_is_for(setting, setting_readers[i]);
        assert_ptr_equal(setting, setting_find(setting->name));
        if (words != known || *setting->means == '\0' || strchr(setting->means, '|') != NULL)
            fail_msg("the row of %s", setting->name);
    }
    assert_false(setting_is_for(setting_find("BUS_KEYS"), "con"));
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, with_bench, without_bench)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(a_secret_that_is_well_is_its_first_line),
        EACH(a_secret_that_is_not_is_refused_with_what_to_do),
        EACH(a_setting_that_stands_in_no_table_can_not_be_read),
        EACH(the_table_says_each_setting_once_and_for_somebody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
