// outtray_test: an order is handed over exactly once, also when the process ends between any two changes to
// the disk.
//
// The linker puts this file between the code and libc (--wrap): a countdown ends the process at the n-th
// change, before or after it has happened.
#include "connector.h"
#include "limits/limits.h"
#include "values/values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY   "0190aaaa-0000-7000-8000-000000000001#2024#1"
#define STEPS 64
#define DIED  42

static int countdown;      // 0: nobody dies
static int failing_errno;  // with a countdown of one: the change fails instead

static void step(void)
{
    if (countdown > 0 && --countdown == 0)
        _exit(DIED);
}

// Every change to the disk, with a death before and after it.
#define DISK_CHANGE(call)                                                                                         \
    step();                                                                                                  \
    if (failing_errno != 0) {                                                                                \
        errno = failing_errno;                                                                               \
        return -1;                                                                                           \
    }                                                                                                        \
    __typeof__(call) changed = call;                                                                         \
    step();                                                                                                  \
    return changed

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
ssize_t __real_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);

int __wrap_fsync(int fd)
{
    DISK_CHANGE(__real_fsync(fd));
}

int __wrap_rename(const char *from, const char *to)
{
    DISK_CHANGE(__real_rename(from, to));
}

int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    DISK_CHANGE(__real_renameat2(from_fd, from, to_fd, to, flags));
}

ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
    DISK_CHANGE(__real_write(fd, bytes, size));
}

// ------------------------------------------------------------------------------------------------- the world

struct world {
    arena_t *arena;
    char *root;
    struct trays trays;
};

static char *folder(struct world *world, const char *name)
{
    char *path = arena_printf(world->arena, "%s/%s", world->root, name);

    assert_int_equal(0, mkdir(path, 0700));
    return path;
}

static int make_world(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    char form[] = "/tmp/tildel-outtray-XXXXXX";

    assert_non_null(world);
    world->arena = arena_new(LIMIT_ARENA_BYTES);
    world->root = arena_text(world->arena, mkdtemp(form));
    world->trays.out = folder(world, "out");
    world->trays.making = folder(world, "out/.making");
    world->trays.state = folder(world, "state");
    world->trays.done = folder(world, "bank");  // what the bank has taken away
    *state = world;
    return 0;
}

static void empty(const char *path)
{
    DIR *found = opendir(path);

    assert_non_null(found);
    for (struct dirent *entry = readdir(found); entry != NULL; entry = readdir(found)) {
        char inner[4096];
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        unlink(inner);
    }
    closedir(found);
}

static void empty_all(struct world *world)
{
    empty(world->trays.out);
    empty(world->trays.making);
    empty(world->trays.state);
    empty(world->trays.done);
}

static int drop_world(void **state)
{
    struct world *world = *state;

    empty_all(world);
    rmdir(world->trays.making);
    rmdir(world->trays.out);
    rmdir(world->trays.state);
    rmdir(world->trays.done);
    rmdir(world->root);
    arena_destroy(&world->arena);
    free(world);
    return 0;
}

static int files_in(const char *path)
{
    DIR *found = opendir(path);
    int count = 0;

    for (struct dirent *entry = readdir(found); entry != NULL; entry = readdir(found))
        count += strstr(entry->d_name, ".xml") != NULL && entry->d_name[0] != '.';
    closedir(found);
    return count;
}

static PayOrder an_order(void)
{
    PayOrder order = FINANCE__V1__PAY_ORDER__INIT;

    order.order_id = (char *)KEY "#1";
    order.payment_key = (char *)KEY;
    order.attempt = 1;
    order.end_to_end_id = (char *)"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    order.amount_ore = 100;
    return order;
}

static const char bytes_of_file[] = "<Document>the whole file</Document>\n";
static const ProtobufCBinaryData file = {.data = (uint8_t *)bytes_of_file, .len = sizeof bytes_of_file - 1};

static status_t take(struct world *world, struct message *message, const PayOrder *order)
{
    *message = message_new(world->arena);
    return outtray_take(message, &world->trays, order, file);
}

// The bank takes away what it sees, and what it sees must be whole.
static void bank_takes(struct world *world)
{
    DIR *found = opendir(world->trays.out);

    for (struct dirent *entry = readdir(found); entry != NULL; entry = readdir(found)) {
        struct message message = message_new(world->arena);
        ProtobufCBinaryData seen;
        if (entry->d_name[0] == '.')
            continue;
        assert_int_equal(OK, file_read(&message, world->trays.out, entry->d_name, PAIN_BYTES, &seen));
        assert_int_equal(file.len, seen.len);
        assert_memory_equal(file.data, seen.data, seen.len);
        assert_int_equal(MOVED, file_move(world->trays.out, entry->d_name, world->trays.done, entry->d_name));
    }
    closedir(found);
}

// ----------------------------------------------------------------------------------------------------- tests

static void an_order_becomes_one_whole_file(void **state)
{
    struct world *world = *state;
    struct message message;
    PayOrder order = an_order();  // given

    assert_int_equal(OK, take(world, &message, &order));  // when
    assert_int_equal(1, files_in(world->trays.out));      // then
    assert_int_equal(0, files_in(world->trays.making));
    bank_takes(world);
}

static void an_order_asked_again_makes_no_second_file(void **state)
{
    struct world *world = *state;
    struct message message;
    PayOrder order = an_order();

    assert_int_equal(OK, take(world, &message, &order));  // given
    bank_takes(world);
    assert_int_equal(OK, take(world, &message, &order));  // when the bank has it already
    assert_int_equal(OK, take(world, &message, &order));
    assert_int_equal(0, files_in(world->trays.out));  // then
    assert_int_equal(1, files_in(world->trays.done));
}

static void the_same_order_with_another_content_is_refused(void **state)
{
    struct world *world = *state;
    struct message message;
    PayOrder order = an_order();

    assert_int_equal(OK, take(world, &message, &order));
    order.amount_ore = 200;
    assert_int_equal(REFUSED, take(world, &message, &order));
    assert_non_null(strstr(message.reason, "taken before with another content"));
    assert_int_equal(1, files_in(world->trays.out));
}

static void the_next_attempt_is_a_file_of_its_own(void **state)
{
    struct world *world = *state;
    struct message message;
    PayOrder order = an_order();

    assert_int_equal(OK, take(world, &message, &order));
    order.order_id = (char *)KEY "#2";
    order.attempt = 2;
    assert_int_equal(OK, take(world, &message, &order));
    assert_int_equal(2, files_in(world->trays.out));
}

static void the_record_knows_the_end_to_end_id(void **state)
{
    struct world *world = *state;
    struct message message;
    PayOrder order = an_order();

    assert_int_equal(OK, take(world, &message, &order));
    assert_string_equal(
        order.end_to_end_id,
        outtray_end_to_end_id(&message, &world->trays, order_message_id(world->arena, order.order_id)));
    assert_null(outtray_end_to_end_id(&message, &world->trays, "TAAAAAAAAAAAAAAAAAAAAAAAAAA"));
    assert_null(outtray_end_to_end_id(&message, &world->trays, "../../../../../../etc/passwd"));
}

// Ends a child at the n-th step of taking an order. False when it came to its end before.
static bool dies_at(struct world *world, const PayOrder *order, int n)
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        struct message message;
        countdown = n;
        _exit(take(world, &message, order) == OK ? 0 : 1);
    }
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFEXITED(status));
    assert_true(WEXITSTATUS(status) == DIED || WEXITSTATUS(status) == 0);
    return WEXITSTATUS(status) == DIED;
}

// Whether the bank is quick (takes what it sees at once) or slow, whoever dies once or twice.
static int deaths(struct world *world, bool quick_bank, int second)
{
    PayOrder order = an_order();
    int count = 0;

    for (int n = 1; n < STEPS; n++) {
        struct message message;
        empty_all(world);
        if (!dies_at(world, &order, n))
            break;
        count++;
        if (quick_bank)
            bank_takes(world);
        if (second > 0)
            dies_at(world, &order, second);
        if (quick_bank)
            bank_takes(world);
        assert_int_equal(OK, take(world, &message, &order));
        bank_takes(world);
        assert_int_equal(1, files_in(world->trays.done));
        arena_reset(world->arena);
    }
    return count;
}

static void whoever_dies_when_the_bank_has_the_file_once(void **state)
{
    struct world *world = *state, kept = *world;
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    int points = 0;

    world->arena = arena;  // the paths stay in the world's own
    points += deaths(world, true, 0);
    points += deaths(world, false, 0);
    for (int second = 1; second <= 8; second++) {
        points += deaths(world, true, second);
        points += deaths(world, false, second);
    }
    *world = kept;
    arena_destroy(&arena);
    print_message("# ended at %d points\n", points);
    assert_true(points > 100);
}

static void a_disk_that_fails_is_told_and_nothing_is_seen(void **state)
{
    struct world *world = *state;
    struct message message;
    PayOrder order = an_order();

    failing_errno = ENOSPC;                           // given
    status_t status = take(world, &message, &order);  // when
    failing_errno = 0;
    assert_int_equal(RETRY, status);  // then
    assert_non_null(strstr(message.reason, "No space left"));
    assert_int_equal(0, files_in(world->trays.out));
    assert_int_equal(OK, take(world, &message, &order));
    assert_int_equal(1, files_in(world->trays.out));
}

static void a_file_that_lies_in_the_way_is_not_covered(void **state)
{
    struct world *world = *state;
    struct message message, scratch = message_new(world->arena);
    PayOrder order = an_order();
    const char *name = arena_printf(world->arena, "%s.xml", order_message_id(world->arena, order.order_id));
    ProtobufCBinaryData seen;

    assert_int_equal(OK, file_write(&scratch, world->trays.out, name, "theirs", 6));
    assert_int_equal(RETRY, take(world, &message, &order));
    assert_non_null(strstr(message.reason, "an operator must look"));
    assert_int_equal(OK, file_read(&scratch, world->trays.out, name, 100, &seen));
    assert_memory_equal("theirs", seen.data, 6);
}

static void what_is_no_file_is_not_read(void **state)
{
    struct world *world = *state;
    struct message message = message_new(world->arena);
    ProtobufCBinaryData seen;
    char *link = arena_printf(world->arena, "%s/link", world->trays.state);
    char *pipe = arena_printf(world->arena, "%s/pipe", world->trays.state);

    assert_int_equal(0, symlink("/etc/passwd", link));
    assert_int_equal(0, mkfifo(pipe, 0600));
    assert_int_equal(REFUSED, file_read(&message, world->trays.state, "link", 100000, &seen));
    assert_int_equal(REFUSED, file_read(&message, world->trays.state, "pipe", 100000, &seen));
    assert_int_equal(OK, file_write(&message, world->trays.state, "five", "12345", 5));
    assert_int_equal(OK, file_read(&message, world->trays.state, "five", 5, &seen));
    assert_int_equal(REFUSED, file_read(&message, world->trays.state, "five", 4, &seen));
    assert_int_equal(RETRY, file_read(&message, world->trays.state, "none", 4, &seen));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, drop_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_order_becomes_one_whole_file),
        TEST(an_order_asked_again_makes_no_second_file),
        TEST(the_same_order_with_another_content_is_refused),
        TEST(the_next_attempt_is_a_file_of_its_own),
        TEST(the_record_knows_the_end_to_end_id),
        TEST(whoever_dies_when_the_bank_has_the_file_once),
        TEST(a_disk_that_fails_is_told_and_nothing_is_seen),
        TEST(a_file_that_lies_in_the_way_is_not_covered),
        TEST(what_is_no_file_is_not_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
