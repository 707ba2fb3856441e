// intray_test: what the bank says is told until it is answered, and what can not be read is laid aside with a
// reason.
#include "connector.h"
#include "limits/limits.h"
#include "values/values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NS "urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"
#define FILE_SAYING(id, rest)                                                                                \
    "<Document xmlns=\"" NS "\"><CstmrPmtStsRpt><GrpHdr><MsgId>" id "</MsgId></GrpHdr><OrgnlGrpInfAndSts>"   \
    "<OrgnlMsgId>TMESSAGE</OrgnlMsgId></OrgnlGrpInfAndSts><OrgnlPmtInfAndSts><OrgnlPmtInfId>P</"             \
    "OrgnlPmtInfId>" rest "</OrgnlPmtInfAndSts></CstmrPmtStsRpt></Document>"
#define SAID(id, code)                                                                                       \
    "<TxInfAndSts><OrgnlEndToEndId>" id "</OrgnlEndToEndId><TxSts>" code "</TxSts></TxInfAndSts>"

// The world, and what stands for the bus: the last question.
struct world {
    arena_t *arena;
    char *root;
    struct trays trays;
    struct intray *intray;
    int64_t now_ms;
    bool bus_away;
    int asked;
    char *id, *status_id, *end_to_end_id, *message_id;
    Finance__V1__ReportStatus__State state;
};

static bool hear(void *bus, const char *id, const ReportStatus *status)
{
    struct world *world = bus;

    if (world->bus_away)
        return false;
    world->asked++;
    world->id = arena_text(world->arena, id);
    world->status_id = arena_text(world->arena, status->status_id);
    world->end_to_end_id = arena_text(world->arena, status->end_to_end_id);
    world->message_id = arena_text(world->arena, status->message_id);
    world->state = status->state;
    return true;
}

static char *folder(struct world *world, const char *name)
{
    char *path = arena_printf(world->arena, "%s/%s", world->root, name);

    assert_int_equal(0, mkdir(path, 0700));
    return path;
}

static int make_world(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    char form[] = "/tmp/tildel-intray-XXXXXX";

    assert_non_null(world);
    world->arena = arena_new(LIMIT_ARENA_BYTES);
    world->root = arena_text(world->arena, mkdtemp(form));
    world->trays.in = folder(world, "in");
    world->trays.done = folder(world, "done");
    world->trays.rejected = folder(world, "rejected");
    world->trays.state = folder(world, "state");
    world->intray = intray_new(&world->trays, NULL, hear, world);
    world->now_ms = 1000;
    *state = world;
    return 0;
}

static void remove_folder(const char *path)
{
    DIR *found = opendir(path);

    assert_non_null(found);
    for (struct dirent *entry = readdir(found); entry != NULL; entry = readdir(found)) {
        char inner[4096];
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        unlink(inner);
    }
    closedir(found);
    rmdir(path);
}

static int drop_world(void **state)
{
    struct world *world = *state;

    intray_destroy(&world->intray);
    remove_folder(world->trays.in);
    remove_folder(world->trays.done);
    remove_folder(world->trays.rejected);
    remove_folder(world->trays.state);
    rmdir(world->root);
    arena_destroy(&world->arena);
    free(world);
    return 0;
}

static void put_file_fresh(struct world *world, const char *name, const char *text)
{
    struct message message = message_new(world->arena);

    assert_int_equal(OK, file_write(&message, world->trays.in, name, text, strlen(text)));
}

// A file that has lain there for a while.
static void put_file(struct world *world, const char *name, const char *text)
{
    const struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};

    put_file_fresh(world, name, text);
    assert_int_equal(
        0, utimensat(AT_FDCWD, arena_printf(world->arena, "%s/%s", world->trays.in, name), long_ago, 0));
}

// Let time pass and take a turn.
static void turn(struct world *world, int ms)
{
    world->now_ms += ms;
    intray_turn(world->intray, world->now_ms);
}

static bool answer_with(struct world *world, Bus__V1__Reply__Status status, const char *reason)
{
    Bus__V1__Reply reply = BUS__V1__REPLY__INIT;

    reply.id = world->id;
    reply.status = status;
    reply.reason = (char *)reason;
    return intray_answered(world->intray, &reply);
}

static char *reason_of(struct world *world, const char *name)
{
    struct message message = message_new(world->arena);
    ProtobufCBinaryData bytes;

    assert_int_equal(OK, file_read(&message, world->trays.rejected, name, 10000, &bytes));
    return arena_printf(world->arena, "%.*s", (int)bytes.len, (const char *)bytes.data);
}

static void each_statement_is_told_in_turn_and_the_file_is_laid_away(void **state)
{
    struct world *world = *state;
    put_file(world, "a.xml", FILE_SAYING("B1", SAID("E1", "ACSC") SAID("E2", "RJCT")));  // given

    turn(world, 1000);                  // when
    assert_int_equal(1, world->asked);  // then
    assert_string_equal("B1/E1/SETTLED", world->status_id);
    assert_string_equal(uuid_from(world->arena, "B1/E1/SETTLED"), world->id);
    assert_string_equal("TMESSAGE", world->message_id);
    assert_true(answer_with(world, BUS__V1__REPLY__STATUS__OK, ""));
    turn(world, 1);
    assert_int_equal(2, world->asked);
    assert_string_equal("B1/E2/REJECTED", world->status_id);
    assert_true(file_exists(world->trays.in, "a.xml"));
    assert_true(answer_with(world, BUS__V1__REPLY__STATUS__OK, ""));
    turn(world, 1);
    assert_false(file_exists(world->trays.in, "a.xml"));
    assert_true(file_exists(world->trays.done, "a.xml"));
    turn(world, 5000);
    assert_int_equal(2, world->asked);
}

static void what_nobody_answers_is_told_again_under_the_same_id(void **state)
{
    struct world *world = *state;
    put_file(world, "a.xml", FILE_SAYING("B1", SAID("E1", "ACSC")));

    turn(world, 1000);
    char *first = world->id;
    turn(world, LIMIT_RESEND_MS - 1);
    assert_int_equal(1, world->asked);
    turn(world, 1);
    assert_int_equal(2, world->asked);
    assert_string_equal(first, world->id);
    assert_true(answer_with(world, BUS__V1__REPLY__STATUS__UNAVAILABLE, "ask again"));
    turn(world, LIMIT_RESEND_MS);
    assert_int_equal(3, world->asked);
    assert_true(file_exists(world->trays.in, "a.xml"));
}

static void a_broker_that_is_away_is_waited_for(void **state)
{
    struct world *world = *state;
    put_file(world, "a.xml", FILE_SAYING("B1", SAID("E1", "ACSC")));

    world->bus_away = true;
    turn(world, 1000);
    world->bus_away = false;
    turn(world, LIMIT_RESEND_MS);
    assert_int_equal(1, world->asked);
}

static void a_restart_tells_the_same_again(void **state)
{
    struct world *world = *state;
    put_file(world, "a.xml", FILE_SAYING("B1", SAID("E1", "ACSC") SAID("E2", "ACSC")));

    turn(world, 1000);
    char *first = world->id;
    answer_with(world, BUS__V1__REPLY__STATUS__OK, "");
    turn(world, 1);                  // given that one of two is told
    intray_destroy(&world->intray);  // when
    world->intray = intray_new(&world->trays, NULL, hear, world);
    turn(world, 1000);
    assert_string_equal(first, world->id);  // then
}

static void an_answer_to_something_else_is_not_ours(void **state)
{
    struct world *world = *state;
    world->id = (char *)"somebody-else";
    assert_false(answer_with(world, BUS__V1__REPLY__STATUS__OK, ""));
    put_file(world, "a.xml", FILE_SAYING("B1", SAID("E1", "ACSC")));
    turn(world, 1000);
    world->id = (char *)"somebody-else";
    assert_false(answer_with(world, BUS__V1__REPLY__STATUS__OK, ""));
}

static void a_file_that_can_not_be_read_is_laid_aside_with_its_reason(void **state)
{
    struct world *world = *state;
    put_file(world, "a.xml", "<!DOCTYPE a><a/>");
    put_file(world, "b.xml", FILE_SAYING("B1", SAID("E1", "ACSC")));

    turn(world, 1000);
    assert_false(file_exists(world->trays.in, "a.xml"));
    assert_true(file_exists(world->trays.rejected, "a.xml"));
    assert_non_null(strstr(reason_of(world, "a.xml.reason"), "DOCTYPE"));
    turn(world, 0);
    assert_int_equal(1, world->asked);  // and the next is not held up
}

static void a_statement_that_payment_refuses_lays_the_file_aside(void **state)
{
    struct world *world = *state;
    put_file(world, "a.xml", FILE_SAYING("B1", SAID("E1", "ACSC") SAID("E2", "ACSC")));

    turn(world, 1000);
    answer_with(world, BUS__V1__REPLY__STATUS__REFUSED, "because");
    turn(world, 1);
    assert_int_equal(2, world->asked);  // the others are told all the same
    answer_with(world, BUS__V1__REPLY__STATUS__OK, "");
    turn(world, 1);
    assert_true(file_exists(world->trays.rejected, "a.xml"));
    assert_non_null(strstr(reason_of(world, "a.xml.reason"), "statement 1: because"));
}

static void a_file_that_is_still_written_is_left_until_it_is_whole(void **state)
{
    struct world *world = *state;
    const char whole[] = FILE_SAYING("B1", SAID("E1", "ACSC"));

    put_file_fresh(world, "a.xml", arena_printf(world->arena, "%.40s", whole));
    turn(world, 1000);
    assert_true(file_exists(world->trays.in, "a.xml"));
    assert_int_equal(0, world->asked);
    put_file_fresh(world, "a.xml", whole);  // and no moment is lost then
    turn(world, 1000);
    assert_int_equal(1, world->asked);
}

static void only_plain_files_named_xml_are_taken(void **state)
{
    struct world *world = *state;
    put_file(world, "a.txt", "x");
    put_file(world, ".hidden.xml", "x");
    assert_int_equal(0, symlink("/etc/passwd", arena_printf(world->arena, "%s/link.xml", world->trays.in)));
    const struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    utimensat(AT_FDCWD, arena_printf(world->arena, "%s/link.xml", world->trays.in), long_ago,
              AT_SYMLINK_NOFOLLOW);

    turn(world, 1000);
    turn(world, 1000);
    assert_true(file_exists(world->trays.in, "a.txt"));
    assert_true(file_exists(world->trays.in, ".hidden.xml"));
    assert_true(file_exists(world->trays.rejected, "link.xml"));
    assert_non_null(strstr(reason_of(world, "link.xml.reason"), "opened"));
}

static void a_name_used_twice_covers_nothing(void **state)
{
    struct world *world = *state;

    for (int i = 0; i < 2; i++) {
        put_file(world, "a.xml",
                 i == 0 ? FILE_SAYING("B1", SAID("E1", "ACSC")) : FILE_SAYING("B2", SAID("E1", "ACSC")));
        turn(world, 1000);
        answer_with(world, BUS__V1__REPLY__STATUS__OK, "");
        turn(world, 1);
    }
    assert_true(file_exists(world->trays.done, "a.xml"));
    assert_true(file_exists(world->trays.done, "a.xml.2.xml"));
}

static void what_is_said_of_a_whole_file_is_about_the_order_in_it(void **state)
{
    struct world *world = *state;
    char *id = order_message_id(world->arena, "key#1");
    struct message message = message_new(world->arena);
    const char form[] =
        "<Document xmlns=\"" NS "\"><CstmrPmtStsRpt><GrpHdr><MsgId>B1</MsgId></GrpHdr><OrgnlGrpInfAndSts>"
        "<OrgnlMsgId>%s</OrgnlMsgId><GrpSts>RJCT</GrpSts></OrgnlGrpInfAndSts></CstmrPmtStsRpt></Document>";
    const char record[] = "order key#1\nbody b\nfile f\nend_to_end_id E2E\n";

    assert_int_equal(OK, file_write(&message, world->trays.state, id, record, strlen(record)));
    put_file(world, "a.xml", arena_printf(world->arena, form, id));
    put_file(world, "b.xml", arena_printf(world->arena, form, "TAAAAAAAAAAAAAAAAAAAAAAAAAA"));
    turn(world, 1000);
    assert_string_equal("E2E", world->end_to_end_id);
    answer_with(world, BUS__V1__REPLY__STATUS__OK, "");
    turn(world, 1);
    turn(world, 1);
    assert_true(file_exists(world->trays.rejected, "b.xml"));
    assert_non_null(strstr(reason_of(world, "b.xml.reason"), "never went out from here"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, drop_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_statement_is_told_in_turn_and_the_file_is_laid_away),
        TEST(what_nobody_answers_is_told_again_under_the_same_id),
        TEST(a_broker_that_is_away_is_waited_for),
        TEST(a_restart_tells_the_same_again),
        TEST(an_answer_to_something_else_is_not_ours),
        TEST(a_file_that_can_not_be_read_is_laid_aside_with_its_reason),
        TEST(a_statement_that_payment_refuses_lays_the_file_aside),
        TEST(a_file_that_is_still_written_is_left_until_it_is_whole),
        TEST(only_plain_files_named_xml_are_taken),
        TEST(a_name_used_twice_covers_nothing),
        TEST(what_is_said_of_a_whole_file_is_about_the_order_in_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
