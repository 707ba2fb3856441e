// The text to the byte, the endpoint against clients that mean no good, and what --health makes of it.
#include "metrics/endpoint.h"
#include "metrics/vitals.h"

#include "clock/clock.h"
#include "limits/limits.h"

#include <arpa/inet.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ANSWER_BYTES 65536

// ------------------------------------------------------------------------------------------------- the text

static char *text_of(metrics_t *metrics)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    metrics_write(metrics, to);
    fclose(to);
    metrics_destroy(&metrics);
    return text;
}

static void assert_text(const char *expected, metrics_t *metrics)
{
    char *text = text_of(metrics);

    assert_string_equal(expected, text);
    free(text);
}

static void a_counter_and_a_gauge_are_written_to_the_byte(void **state)
{
    metrics_t *metrics = metrics_new();
    series_t *counter = series_new(metrics, FAMILY_COUNTER, "taken_total", "Taken.");
    series_t *gauge = series_new(metrics, FAMILY_GAUGE, "age_seconds", "Age.");

    (void)state;
    series_add(counter, 1);
    series_add(counter, 2);
    series_set(gauge, 0.25);
    assert_text("# HELP taken_total Taken.\n# TYPE taken_total counter\ntaken_total 3\n"
                "# HELP age_seconds Age.\n# TYPE age_seconds gauge\nage_seconds 0.25\n",
                metrics);
}

static void labels_stand_in_their_order_and_the_same_values_are_the_same_series(void **state)
{
    metrics_t *metrics = metrics_new();
    family_t *family = family_new(metrics, FAMILY_COUNTER, "m_total", "M.", "type outcome");

    (void)state;
    series_add(SERIES(family, "Save", "OK"), 1);
    series_add(SERIES(family, "Save", "REFUSED"), 1);
    assert_ptr_equal(SERIES(family, "Save", "OK"), SERIES(family, "Save", "OK"));
    series_add(SERIES(family, "Save", "OK"), 1);
    assert_text("# HELP m_total M.\n# TYPE m_total counter\n"
                "m_total{type=\"Save\",outcome=\"OK\"} 2\nm_total{type=\"Save\",outcome=\"REFUSED\"} 1\n",
                metrics);
}

static void values_of_labels_and_help_are_escaped(void **state)
{
    metrics_t *metrics = metrics_new();
    family_t *family = family_new(metrics, FAMILY_GAUGE, "g", "a \"word\",\na \\ more", "reason");

    (void)state;
    series_set(SERIES(family, "say \"no\"\\\nand} x 1"), 1);
    assert_text("# HELP g a \"word\",\\na \\\\ more\n# TYPE g gauge\n"
                "g{reason=\"say \\\"no\\\"\\\\\\nand} x 1\"} 1\n",
                metrics);
}

static void buckets_are_cumulative_and_a_bound_belongs_to_its_bucket(void **state)
{
    static const double bounds[] = {0.1, 1, INFINITY};
    metrics_t *metrics = metrics_new();
    series_t *seen = SERIES(family_new_histogram(metrics, "s", "S.", "kind", bounds), "query");

    (void)state;
    series_observe(seen, 0.1);
    series_observe(seen, 0.125);
    series_observe(seen, 1);
    series_observe(seen, 1.5);
    assert_text("# HELP s S.\n# TYPE s histogram\ns_bucket{kind=\"query\",le=\"0.1\"} 1\n"
                "s_bucket{kind=\"query\",le=\"1\"} 3\ns_bucket{kind=\"query\",le=\"+Inf\"} 4\n"
                "s_sum{kind=\"query\"} 2.725\ns_count{kind=\"query\"} 4\n",
                metrics);
}

static void a_histogram_without_labels_has_the_bound_alone(void **state)
{
    static const double bounds[] = {1, INFINITY};
    metrics_t *metrics = metrics_new();

    (void)state;
    series_observe(family_only(family_new_histogram(metrics, "s", "S.", "", bounds)), 2);
    assert_text("# HELP s S.\n# TYPE s histogram\ns_bucket{le=\"1\"} 0\ns_bucket{le=\"+Inf\"} 1\n"
                "s_sum 2\ns_count 1\n",
                metrics);
}

static void numbers_are_written_as_short_as_they_read_back(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0.1, "0.1"},
                 {1.0 / 3, "0.33333333333333331"},
                 {1732543984.75, "1732543984.75"},
                 {9007199254740991, "9007199254740991"},
                 {1e300, "1e+300"},
                 {-2, "-2"},
                 {INFINITY, "+Inf"},
                 {-INFINITY, "-Inf"},
                 {NAN, "NaN"}};
    char expected[128];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        metrics_t *metrics = metrics_new();
        series_set(series_new(metrics, FAMILY_GAUGE, "g", "G."), cases[i].value);
        snprintf(expected, sizeof expected, "# HELP g G.\n# TYPE g gauge\ng %s\n", cases[i].text);
        assert_text(expected, metrics);
    }
}

static void a_family_without_series_is_not_written(void **state)
{
    metrics_t *metrics = metrics_new();

    (void)state;
    family_new(metrics, FAMILY_GAUGE, "g", "G.", "service");
    assert_text("", metrics);
}

// --------------------------------------------------------------------------------------------- the endpoint

struct served {
    endpoint_t *endpoint;
    struct sockaddr_in address;
    char bind[32];
};

// A port that is free now.
static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(0, bind(fd, (struct sockaddr *)&address, size));
    assert_int_equal(0, getsockname(fd, (struct sockaddr *)&address, &size));
    close(fd);
    return ntohs(address.sin_port);
}

static int serve(void **state)
{
    struct served *served = calloc(1, sizeof *served);

    snprintf(served->bind, sizeof served->bind, "127.0.0.1:%d", free_port());
    assert_true(endpoint_address(served->bind, &served->address));
    served->endpoint = endpoint_start(served->bind);
    setenv("METRICS_BIND", served->bind, 1);
    *state = served;
    return 0;
}

static int unserve(void **state)
{
    struct served *served = *state;

    endpoint_destroy(&served->endpoint);
    unsetenv("METRICS_BIND");
    free(served);
    return 0;
}

static int connected(const struct served *served)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval limit = {.tv_sec = 10};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(0, connect(fd, (const struct sockaddr *)&served->address, sizeof served->address));
    return fd;
}

// Send these bytes and read until the other end closes; the status of the answer, 0 when there is none.
static int say(const struct served *served, const void *bytes, size_t size, char answer[static ANSWER_BYTES])
{
    int fd = connected(served), status = 0;
    size_t got = 0;

    send(fd, bytes, size, MSG_NOSIGNAL);
    for (ssize_t n = 1; n > 0 && got<ANSWER_BYTES - 1; got += n> 0 ? (size_t)n : 0)
        n = recv(fd, answer + got, ANSWER_BYTES - 1 - got, 0);
    answer[got] = '\0';
    close(fd);
    sscanf(answer, "HTTP/1.1 %d", &status);
    return status;
}

static int get(const struct served *served, const char *path, char answer[static ANSWER_BYTES])
{
    char request[256];
    int size = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);

    return say(served, request, (size_t)size, answer);
}

static void show(struct served *served, const char *text, const char *reasons)
{
    endpoint_show(served->endpoint, strdup(text), strlen(text), reasons);
}

static void what_was_shown_last_is_served_with_the_process_own_figures(void **state)
{
    static char answer[ANSWER_BYTES];

    show(*state, "one 1\n", NULL);
    show(*state, "two 2\n", NULL);
    assert_int_equal(200, get(*state, "/metrics", answer));
    assert_non_null(strstr(answer, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert_non_null(strstr(answer, "\r\n\r\ntwo 2\n# HELP"));
    assert_null(strstr(answer, "one 1"));
    assert_non_null(strstr(answer, "\nprocess_resident_memory_bytes "));
    assert_non_null(strstr(answer, "\nprocess_open_fds "));
}

static void a_process_that_starts_is_live_and_not_ready(void **state)
{
    static char answer[ANSWER_BYTES];

    assert_int_equal(200, get(*state, "/live", answer));
    assert_int_equal(503, get(*state, "/ready", answer));
    assert_non_null(strstr(answer, "\r\n\r\nnot ready: it is starting\n"));
}

static void ready_tells_the_reasons_why_not(void **state)
{
    static char answer[ANSWER_BYTES];

    show(*state, "", "the database does not answer");
    assert_int_equal(503, get(*state, "/ready", answer));
    assert_non_null(strstr(answer, "\r\n\r\nnot ready: the database does not answer\n"));
    show(*state, "", NULL);
    assert_int_equal(200, get(*state, "/ready", answer));
    assert_non_null(strstr(answer, "\r\n\r\nready\n"));
}

static int64_t ahead_ms;  // what the stopwatch is put forward by
int64_t __real_clock_stopwatch_ms(void);
int64_t __wrap_clock_stopwatch_ms(void);
int64_t __wrap_clock_stopwatch_ms(void)
{
    return __real_clock_stopwatch_ms() + __atomic_load_n(&ahead_ms, __ATOMIC_SEQ_CST);
}

static void a_loop_that_stands_still_is_neither_live_nor_ready(void **state)
{
    static char answer[ANSWER_BYTES];

    show(*state, "", NULL);
    __atomic_store_n(&ahead_ms, LIMIT_TURN_MS + 2000, __ATOMIC_SEQ_CST);
    assert_int_equal(503, get(*state, "/live", answer));
    assert_non_null(strstr(answer, "\r\n\r\nnot live: the loop has not turned for 17 seconds\n"));
    assert_int_equal(503, get(*state, "/ready", answer));
    assert_int_equal(200, get(*state, "/metrics", answer));
    assert_non_null(strstr(answer, "\ntildel_turn_age_seconds 17"));
    show(*state, "", NULL);  // it turns again
    assert_int_equal(200, get(*state, "/live", answer));
    __atomic_store_n(&ahead_ms, 0, __ATOMIC_SEQ_CST);
}

static void other_paths_are_not_found_and_other_methods_not_allowed(void **state)
{
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "BREW"};
    static char answer[ANSWER_BYTES];
    char request[128];

    assert_int_equal(404, get(*state, "/", answer));
    assert_int_equal(404, get(*state, "/metrics/", answer));
    assert_int_equal(404, get(*state, "/../etc/passwd", answer));
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        int size = snprintf(request, sizeof request,
                            "%s /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", methods[i]);
        assert_int_equal(405, say(*state, request, (size_t)size, answer));
        assert_non_null(strstr(answer, "Allow: GET, HEAD\r\n"));
    }
}

static void head_has_no_body(void **state)
{
    static const char request[] = "HEAD /live HTTP/1.1\r\nHost: x\r\n\r\n";
    static char answer[ANSWER_BYTES];

    assert_int_equal(200, say(*state, request, sizeof request - 1, answer));
    assert_string_equal("\r\n\r\n", strstr(answer, "\r\n\r\n"));
}

static void long_requests_and_garbage_are_refused_and_the_next_is_served(void **state)
{
    static char answer[ANSWER_BYTES], request[4 * LIMIT_SCRAPE_BYTES];
    unsigned int seed = 20240614;

    memset(request, 'a', sizeof request);
    memcpy(request, "GET /", 5);
    assert_true(say(*state, request, sizeof request, answer) >= 400 || answer[0] == '\0');
    memcpy(request, "GET /live HTTP/1.1\r\nX: ", 23);
    assert_true(say(*state, request, sizeof request, answer) >= 400 || answer[0] == '\0');
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < 512; i++)
            request[i] = (char)rand_r(&seed);
        memcpy(request + 508, "\r\n\r\n", 4);
        assert_int_not_equal(200, say(*state, request, 512, answer));
    }
    assert_int_equal(200, get(*state, "/live", answer));
}

static void clients_that_say_nothing_do_not_stop_others_and_are_closed(void **state)
{
    static char answer[ANSWER_BYTES];
    int slow[LIMIT_SCRAPE_CONNECTIONS / 2 - 1];
    size_t count = sizeof slow / sizeof slow[0];
    int64_t began_ms = clock_stopwatch_ms();

    for (size_t i = 0; i < count; i++) {
        slow[i] = connected(*state);
        send(slow[i], "GET /li", i % 8, MSG_NOSIGNAL);
    }
    assert_int_equal(200, get(*state, "/live", answer));
    assert_true(clock_stopwatch_ms() - began_ms < 2000);
    for (size_t i = 0; i < count; i++) {
        while (recv(slow[i], answer, sizeof answer, 0) > 0)
            continue;
        close(slow[i]);
        assert_true(clock_stopwatch_ms() - began_ms < 2 * LIMIT_SCRAPE_MS - 1000);
    }
}

static void a_signal_is_the_loops_and_never_the_threads(void **state)
{
    sigset_t stops, waiting;

    (void)
        state;  // the endpoint's thread runs, and SIGTERM is blocked here only, as in a loop that reads a signalfd
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    assert_int_equal(0, pthread_sigmask(SIG_BLOCK, &stops, NULL));
    assert_int_equal(0, kill(getpid(), SIGTERM));
    usleep(100000);
    sigpending(&waiting);
    assert_true(sigismember(&waiting, SIGTERM));
    struct timespec now = {0};
    assert_int_equal(SIGTERM, sigtimedwait(&stops, NULL, &now));
}

static void addresses_are_an_ipv4_address_or_a_star_and_a_port(void **state)
{
    static const char *const good[] = {"127.0.0.1:9464", "*:1", "0.0.0.0:65535"};
    static const char *const bad[] = {"",
                                      ":",
                                      "9464",
                                      "*:",
                                      "*:0",
                                      "*:65536",
                                      "*:99999999999999999999",
                                      "*:+5",
                                      "*: 5",
                                      "*:5x",
                                      "localhost:9464",
                                      "::1:9464",
                                      "1.2.3:9464",
                                      "1.2.3.4.5.6.7.8.9.1:9464",
                                      "*:-1",
                                      ":9464"};
    struct sockaddr_in address;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(endpoint_address(good[i], &address));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(endpoint_address(bad[i], &address));
}

// Run in a process of its own; its exit code.
static int exit_code_of(void (*call)(void))
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        call();
        _exit(0);
    }
    assert_int_equal(child, waitpid(child, &status, 0));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void start_another(void)
{
    vitals_start("trial", "");
}

static void a_second_process_on_one_port_ends_with_a_sentence(void **state)
{
    (void)state;  // METRICS_BIND names the port that is served
    assert_int_equal(1, exit_code_of(start_another));
    setenv("METRICS_BIND", "localhost", 1);
    assert_int_equal(1, exit_code_of(start_another));
    unsetenv("METRICS_BIND");
    assert_int_equal(0, exit_code_of(start_another));
}

// ---------------------------------------------------------------------------------------------------- health

// Run --health and keep what it prints; the exit code.
static int health_said(int count, char *words[], char said[static 256])
{
    FILE *kept = tmpfile();

    assert_non_null(kept);
    fflush(stdout);
    int before = dup(STDOUT_FILENO);
    dup2(fileno(kept), STDOUT_FILENO);
    int code = health_main(count, words);
    fflush(stdout);
    dup2(before, STDOUT_FILENO);
    close(before);
    rewind(kept);
    said[fread(said, 1, 255, kept)] = '\0';
    fclose(kept);
    return code;
}

static void health_tells_live_and_ready_apart(void **state)
{
    struct served *served = *state;
    char *live[] = {"live"}, *ready[] = {"ready"}, said[256];

    show(served, "", "the database does not answer");
    assert_int_equal(0, health_said(1, live, said));
    assert_string_equal("live: the loop turns\n", said);
    assert_int_equal(3, health_said(1, ready, said));
    assert_string_equal("not ready: the database does not answer\n", said);
    assert_int_equal(3, health_said(0, NULL, said));
    show(served, "", NULL);
    assert_int_equal(0, health_said(0, NULL, said));
    assert_string_equal("ready\n", said);
    snprintf(served->bind, sizeof served->bind, "*:%d", ntohs(served->address.sin_port));
    setenv("METRICS_BIND", served->bind, 1);
    assert_int_equal(0, health_said(1, ready, said));
}

static void health_is_3_when_nobody_can_be_asked_and_2_for_wrong_words(void **state)
{
    char *wrong[] = {"well"}, *two[] = {"live", "ready"}, place[32];

    (void)state;
    assert_int_equal(2, health_main(1, wrong));
    assert_int_equal(2, health_main(2, two));
    unsetenv("METRICS_BIND");
    assert_int_equal(3, health_main(0, NULL));
    setenv("METRICS_BIND", "nowhere", 1);
    assert_int_equal(3, health_main(0, NULL));
    snprintf(place, sizeof place, "127.0.0.1:%d", free_port());
    setenv("METRICS_BIND", place, 1);
    assert_int_equal(3, health_main(0, NULL));
}

static void health_waits_three_seconds_for_one_who_does_not_answer(void **state)
{
    struct served mute = {.address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof mute.address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    assert_int_equal(0, bind(fd, (struct sockaddr *)&mute.address, size));
    assert_int_equal(0, listen(fd, 4));
    getsockname(fd, (struct sockaddr *)&mute.address, &size);
    snprintf(mute.bind, sizeof mute.bind, "127.0.0.1:%d", ntohs(mute.address.sin_port));
    setenv("METRICS_BIND", mute.bind, 1);
    int64_t began_ms = clock_stopwatch_ms();
    assert_int_equal(3, health_main(0, NULL));
    assert_in_range(clock_stopwatch_ms() - began_ms, LIMIT_HEALTH_MS - 50, LIMIT_HEALTH_MS + 1500);
    close(fd);
}

// ---------------------------------------------------------------------------------------------------- vitals

static int live_vitals(void **state)
{
    struct served *served = calloc(1, sizeof *served);

    snprintf(served->bind, sizeof served->bind, "127.0.0.1:%d", free_port());
    assert_true(endpoint_address(served->bind, &served->address));
    setenv("METRICS_BIND", served->bind, 1);
    *state = served;
    return 0;
}

static void doubts_are_told_together_and_forgotten_with_the_turn(void **state)
{
    static char answer[ANSWER_BYTES];
    vitals_t *vitals = vitals_start("trial", "2024-1");

    assert_int_equal(0, vitals_due_ms(vitals));
    vitals_broker(vitals, false);
    vitals_doubt(vitals, "it is %d events behind", 7);
    vitals_publish(vitals);
    assert_in_range(vitals_due_ms(vitals), 1, 100);  // what is missing is looked for often
    assert_int_equal(503, get(*state, "/ready", answer));
    assert_non_null(
        strstr(answer, "not ready: the broker has not been heard for 5 seconds; it is 7 events behind\n"));
    assert_int_equal(200, get(*state, "/metrics", answer));
    assert_non_null(strstr(answer, "\ntildel_ready 0\n"));
    assert_non_null(strstr(answer, "tildel_build_info{service=\"trial\",version=\"" VERSION
                                   "\",rule_set=\"2024-1\"} 1\n"));
    vitals_broker(vitals, true);
    vitals_publish(vitals);
    assert_in_range(vitals_due_ms(vitals), 101, 1000);
    assert_int_equal(200, get(*state, "/ready", answer));
    assert_int_equal(200, get(*state, "/metrics", answer));
    assert_non_null(strstr(answer, "\ntildel_ready 1\n"));
    vitals_destroy(&vitals);
}

static void doubts_without_end_stay_within_their_room(void **state)
{
    static char answer[ANSWER_BYTES];
    vitals_t *vitals = vitals_start("trial", "");

    for (int i = 0; i < 1000; i++)
        vitals_doubt(vitals, "reason %d of very many that there are", i);
    vitals_waiting(vitals, "%s", "the last");
    assert_int_equal(503, get(*state, "/ready", answer));
    assert_non_null(strstr(answer, "not ready: reason 0 of very many that there are; reason 1"));
    vitals_destroy(&vitals);
}

static void without_an_address_nothing_is_due(void **state)
{
    (void)state;
    unsetenv("METRICS_BIND");
    vitals_t *vitals = vitals_start("trial", "");
    assert_int_equal(INT_MAX, vitals_due_ms(vitals));
    vitals_waiting(vitals, "the database: %s", "away");
    vitals_destroy(&vitals);
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, serve, unserve)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_counter_and_a_gauge_are_written_to_the_byte),
        cmocka_unit_test(labels_stand_in_their_order_and_the_same_values_are_the_same_series),
        cmocka_unit_test(values_of_labels_and_help_are_escaped),
        cmocka_unit_test(buckets_are_cumulative_and_a_bound_belongs_to_its_bucket),
        cmocka_unit_test(a_histogram_without_labels_has_the_bound_alone),
        cmocka_unit_test(numbers_are_written_as_short_as_they_read_back),
        cmocka_unit_test(a_family_without_series_is_not_written),
        cmocka_unit_test(addresses_are_an_ipv4_address_or_a_star_and_a_port),
        SERVED(what_was_shown_last_is_served_with_the_process_own_figures),
        SERVED(a_process_that_starts_is_live_and_not_ready),
        SERVED(ready_tells_the_reasons_why_not),
        SERVED(a_loop_that_stands_still_is_neither_live_nor_ready),
        SERVED(other_paths_are_not_found_and_other_methods_not_allowed),
        SERVED(head_has_no_body),
        SERVED(long_requests_and_garbage_are_refused_and_the_next_is_served),
        SERVED(clients_that_say_nothing_do_not_stop_others_and_are_closed),
        SERVED(a_signal_is_the_loops_and_never_the_threads),
        SERVED(a_second_process_on_one_port_ends_with_a_sentence),
        SERVED(health_tells_live_and_ready_apart),
        SERVED(health_is_3_when_nobody_can_be_asked_and_2_for_wrong_words),
        cmocka_unit_test(health_waits_three_seconds_for_one_who_does_not_answer),
        cmocka_unit_test_setup_teardown(doubts_are_told_together_and_forgotten_with_the_turn, live_vitals,
                                        unserve),
        cmocka_unit_test_setup_teardown(doubts_without_end_stay_within_their_room, live_vitals, unserve),
        cmocka_unit_test(without_an_address_nothing_is_due),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
