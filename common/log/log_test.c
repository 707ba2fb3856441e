// A line of log is always one line of JSON, whatever is put into it. Read back with jansson, which shares no code with it.
#include "log/log.h"
#include "limits/limits.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

// What log_x writes comes back by this pipe.
struct caught {
    int pipe[2];
    int stderr_kept;
};

static int catch_stderr(void **state)
{
    struct caught *caught = malloc(sizeof *caught);
    assert_non_null(caught);
    assert_int_equal(0, pipe(caught->pipe));
    caught->stderr_kept = dup(STDERR_FILENO);
    dup2(caught->pipe[1], STDERR_FILENO);
    *state = caught;
    log_start("intake");
    return 0;
}

static int let_stderr_go(void **state)
{
    struct caught *caught = *state;
    dup2(caught->stderr_kept, STDERR_FILENO);
    close(caught->stderr_kept);
    close(caught->pipe[0]);
    close(caught->pipe[1]);
    free(caught);
    return 0;
}

static json_t *line(void **state)
{
    const struct caught *caught = *state;
    char text[PIPE_BUF + 1];
    ssize_t size = read(caught->pipe[0], text, sizeof text);
    assert_in_range(size, 2, PIPE_BUF);
    assert_int_equal('\n', text[size - 1]);
    assert_ptr_equal(text + size - 1, memchr(text, '\n', (size_t)size));

    json_error_t error;
    json_t *object = json_loadb(text, (size_t)size, JSON_REJECT_DUPLICATES, &error);
    if (object == NULL)
        fail_msg("%s at %d in %.*s", error.text, error.position, (int)size, text);
    return object;
}

static const char *field(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    assert_non_null(value);
    return value;
}

static void a_line_says_who_when_how_grave_and_what(void **state)
{
    log_alarm("a stream stands still", "stream", "intake/call/1", "tries", log_number(5), NULL);
    json_t *object = line(state);
    assert_string_equal("alarm", field(object, "level"));
    assert_string_equal("intake", field(object, "service"));
    assert_string_equal("a stream stands still", field(object, "what"));
    assert_string_equal("intake/call/1", field(object, "stream"));
    assert_string_equal("5", field(object, "tries"));
    assert_int_equal(getpid(), atoi(field(object, "pid")));
    assert_int_equal(strlen("2024-06-14T21:59:59.000000Z"), strlen(field(object, "time")));
    json_decref(object);
}

static void each_level_has_its_name(void **state)
{
    log_info("a", NULL);
    json_t *info = line(state);
    log_warn("b", NULL);
    json_t *warn = line(state);
    assert_string_equal("info", field(info, "level"));
    assert_string_equal("warn", field(warn, "level"));
    json_decref(info);
    json_decref(warn);
}

static void what_peers_sent_cannot_forge_a_line(void **state)
{
    log_info("refused", "reason", "\"}\n{\"level\":\"alarm\"} \\ \x01\x7F \xFF\xC3 å", "absent", NULL, NULL);
    json_t *object = line(state);
    assert_string_equal("\"}\n{\"level\":\"alarm\"} \\ \x01\x7F \xEF\xBF\xBD\xEF\xBF\xBD å",
                        field(object, "reason"));
    assert_string_equal("", field(object, "absent"));
    json_decref(object);
}

static void a_line_too_long_is_cut_and_still_json(void **state)
{
    char long_text[PIPE_BUF + 100] = "";
    for (size_t length = 3 * PIPE_BUF / 4; length < PIPE_BUF; length++) {
        memset(long_text, '"', length / 2);
        memset(long_text + length / 2, 'x', length - length / 2);
        log_info("long", "first", long_text, "second", "å\"å\"å", "third", "3", NULL);
        json_t *object = line(state);
        assert_int_equal('"', field(object, "first")[0]);
        // Nothing stands behind a cut.
        if (json_object_get(object, "third") != NULL)
            assert_string_equal("å\"å\"å", field(object, "second"));
        json_decref(object);
    }
}

static void eight_numbers_fit_into_one_line(void **state)
{
    log_info("numbers", "a", log_number(1), "b", log_number(-2), "c", log_number(INT64_MAX), "d",
             log_number(INT64_MIN), "e", log_number(5), "f", log_number(6), "g", log_number(7), "h",
             log_number(8), NULL);
    json_t *object = line(state);
    assert_string_equal("1", field(object, "a"));
    assert_string_equal("-9223372036854775808", field(object, "d"));
    assert_string_equal("8", field(object, "h"));
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_says_who_when_how_grave_and_what, catch_stderr, let_stderr_go),
        cmocka_unit_test_setup_teardown(each_level_has_its_name, catch_stderr, let_stderr_go),
        cmocka_unit_test_setup_teardown(what_peers_sent_cannot_forge_a_line, catch_stderr, let_stderr_go),
        cmocka_unit_test_setup_teardown(a_line_too_long_is_cut_and_still_json, catch_stderr, let_stderr_go),
        cmocka_unit_test_setup_teardown(eight_numbers_fit_into_one_line, catch_stderr, let_stderr_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
