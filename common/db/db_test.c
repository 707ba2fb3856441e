// One connection to a real PostgreSQL: values there and back, what failures become, and what COMMIT really said.
// Needs CHECK_DATABASE_URL; ends with 77 without it.
#include "check/trace.h"
#include "db_test_store.sql.h"
#include "limits/limits.h"
#include "values/values.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#undef fail  // cmocka's macro of that name would hide ours

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const struct sql *const *const statements[] = {sql_db_test_all, NULL};
static const struct migration *const migrations[] = {migrations_db_test, NULL};
static char schema[64];

static db_t *open_database(const struct sql *const *const *lists)
{
    return db_new(&(struct db_config){.url = getenv("CHECK_DATABASE_URL"),
                                      .schema = schema,
                                      .statements = lists,
                                      .application_name = "db_test"});
}

static int make_schema(void **state)
{
    (void)state;
    snprintf(schema, sizeof schema, "check_db_%d \"ø\"", (int)getpid());
    struct message message = message_new(arena_new(LIMIT_ARENA_BYTES));
    message.db = open_database(NULL);
    status_t status = db_migrate(&message, NULL, migrations);
    if (status != OK)
        print_error("%s\n", message.reason);
    db_destroy(&message.db);
    arena_destroy(&message.arena);
    return status;
}

static int drop_schema(void **state)
{
    (void)state;
    struct message message = message_new(arena_new(LIMIT_ARENA_BYTES));
    message.db = open_database(statements);
    status_t status = db_connect(&message);
    if (status == OK)
        status = RUN0(&message, drop_schema, NULL);
    db_destroy(&message.db);
    arena_destroy(&message.arena);
    return status;
}

// A message with a connection, and empty tables.
static int with_message(void **state)
{
    struct message *message = malloc(sizeof *message);
    assert_non_null(message);
    *message = message_new(arena_new(LIMIT_ARENA_BYTES));
    message->db = open_database(statements);
    *state = message;
    status_t status = db_connect(message);
    return status == OK ? RUN0(message, drop_things, NULL) : status;
}

static int without_message(void **state)
{
    struct message *message = *state;
    db_rollback(message);
    db_destroy(&message->db);
    db_destroy(&message->db);
    arena_destroy(&message->arena);
    free(message);
    return 0;
}

// The same connection, as the next message sees it: with nothing having failed.
static struct message next(const struct message *message)
{
    struct message fresh = message_new(message->arena);
    fresh.db = message->db;
    return fresh;
}

static int64_t things(const struct message *message)
{
    struct message counting = next(message);
    struct rows rows;
    assert_int_equal(OK, db_connect(&counting));
    assert_int_equal(OK, RUN0(&counting, count_things, &rows));
    return row_int(&rows, 0, 0);
}

static void says(const struct message *message, const char *part)
{
    assert_non_null(message->reason);
    if (strstr(message->reason, part) == NULL) {
        print_error("\"%s\" does not say \"%s\"\n", message->reason, part);
        assert_true(false);
    }
}

// ------------------------------------------------------------------------------------------------ values

static void every_kind_of_value_goes_there_and_back(void **state)
{
    struct message *message = *state;
    static const struct {
        const char *text;
        int64_t number;
        bool truth;
        const char *bytes;
        size_t size;
    } values[] = {
        {"Bodø", 0, false, "\x00\x01\xFF\\x27'", 7},
        {"'; DROP TABLE thing; --", INT64_MAX, true, "", 0},
        {"", INT64_MIN, false, "\x00", 1},
        {"line\nline\ttab \\ \" $1", -1, true, "\\x00", 4},
    };
    for (size_t i = 0; i < COUNT(values); i++) {
        struct rows rows;
        assert_int_equal(OK, RUN(message, echo, &rows, TEXT(values[i].text), INT(values[i].number),
                                 BOOL(values[i].truth), BYTES(values[i].bytes, values[i].size)));
        assert_int_equal(1, rows.count);
        assert_string_equal(values[i].text, row_text(&rows, 0, 0));
        assert_true(values[i].number == row_int(&rows, 0, 1));
        assert_int_equal(values[i].truth, row_int(&rows, 0, 2));
        assert_int_equal(values[i].size, row_bytes(&rows, 0, 3).len);
        assert_memory_equal(values[i].bytes, row_bytes(&rows, 0, 3).data, values[i].size);
        assert_string_equal("$9", row_text(&rows, 0, 5));
        assert_false(row_null(&rows, 0, 0) || row_null(&rows, 0, 3));
    }
}

static void null_is_not_the_empty_string(void **state)
{
    struct message *message = *state;
    struct rows rows;
    assert_int_equal(OK, RUN(message, echo, &rows, TEXT(NULL), TEXT(NULL), TEXT(NULL), TEXT(NULL)));
    for (int column = 0; column < 5; column++)
        assert_true(row_null(&rows, 0, column));
    assert_string_equal("", row_text(&rows, 0, 0));
    assert_true(row_int(&rows, 0, 1) == 0);
    assert_int_equal(0, row_bytes(&rows, 0, 3).len);
    // What protobuf-c makes of an empty bytes field is empty, not NULL.
    assert_int_equal(OK, RUN(message, echo, &rows, TEXT(""), INT(0), BOOL(false), BYTES(NULL, 0)));
    assert_false(row_null(&rows, 0, 0) || row_null(&rows, 0, 3));
}

static void arrays_keep_odd_elements(void **state)
{
    struct message *message = *state;
    static const char *const texts[] = {"a", "", NULL, "NULL", "x,y", "{\"}", "back\\slash", "Tromsø \n"};
    static const int64_t numbers[] = {0, -1, INT64_MAX, INT64_MIN, 4, 5, 6, 7};
    const struct arg bytes[] = {BYTES("\x00\xFF", 2), BYTES("", 0),  {.bytes = NULL}, BYTES("\\", 1),
                                BYTES("4", 1),        BYTES("5", 1), BYTES("6", 1),   BYTES("7", 1)};
    struct rows rows;

    assert_int_equal(OK, RUN(message, echo_arrays, &rows, db_text_array(message, texts, COUNT(texts)),
                             db_int_array(message, numbers, COUNT(numbers)),
                             db_bytes_array(message, bytes, COUNT(bytes))));
    assert_int_equal(COUNT(texts), rows.count);
    for (int i = 0; i < rows.count; i++) {
        assert_int_equal(texts[i] == NULL, row_null(&rows, i, 0));
        assert_string_equal(texts[i] != NULL ? texts[i] : "", row_text(&rows, i, 0));
        assert_true(numbers[i] == row_int(&rows, i, 1));
        assert_int_equal(bytes[i].bytes == NULL, row_null(&rows, i, 2));
        assert_int_equal(bytes[i].size, row_bytes(&rows, i, 2).len);
        assert_memory_equal(bytes[i].size ? bytes[i].bytes : "", row_bytes(&rows, i, 2).data ?: (uint8_t *)"",
                            bytes[i].size);
    }
    assert_int_equal(OK, RUN(message, echo_arrays, &rows, db_text_array(message, NULL, 0),
                             db_int_array(message, NULL, 0), db_bytes_array(message, NULL, 0)));
    assert_int_equal(0, rows.count);
}

static void text_that_is_not_utf8_is_poison(void **state)
{
    struct message *message = *state;
    assert_int_equal(POISON, RUN(message, echo, NULL, TEXT("\xFF"), INT(0), BOOL(true), BYTES("", 0)));
    says(message, "the database failed to run echo");
    assert_string_equal("22021", db_sqlstate(message->db));
}

static void the_number_of_changed_rows_is_told(void **state)
{
    struct message *message = *state;
    struct rows rows;
    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, RUN(message, add_thing, &rows, TEXT("a"), INT(1)));
    assert_int_equal(1, rows.affected);
    assert_int_equal(0, rows.count);
    assert_int_equal(OK, RUN(message, add_thing, &rows, TEXT("b"), INT(1)));
    assert_int_equal(OK, RUN(message, renumber_things, &rows, INT(2)));
    assert_int_equal(2, rows.affected);
}

// ------------------------------------------------------------------------------------- rows as they come

struct counted {
    struct message *message;
    int64_t rows;
    int64_t enough;  // refuse this row; 0: none
};

static status_t count_row(void *context, const row_t *row)
{
    struct counted *counted = context;
    int64_t number = ++counted->rows;
    char text[32];

    assert_true(each_int(row, 0) == number);
    assert_true(each_int(row, 1) == number);
    assert_true(each_int(row, 2) == -number);
    assert_true(each_int(row, 3) == number % 2);
    snprintf(text, sizeof text, "nr. %lld", (long long)number);
    assert_string_equal(text, each_text(row, 4));
    ProtobufCBinaryData bytes = each_bytes(row, 5);
    assert_int_equal(8, bytes.len);
    assert_int_equal(number >> 8 & 0xFF, bytes.data[6]);
    assert_int_equal(number & 0xFF, bytes.data[7]);
    return number == counted->enough ? fail(counted->message, REFUSED, "row %lld is enough", (long long)number)
                                     : OK;
}

static status_t any_row(void *context, const row_t *row)
{
    *(int64_t *)context = each_int(row, 0);
    return OK;
}

static void rows_come_in_order_and_need_the_memory_of_one(void **state)
{
    struct message *message = *state;
    struct counted counted = {.message = message};
    size_t before = arena_used(message->arena);

    assert_int_equal(OK, EACH_ROW(message, count_up, count_row, &counted, INT(20000), INT(-1)));
    assert_true(counted.rows == 20000);
    assert_true(arena_used(message->arena) - before < 1000);
    counted.rows = 0;
    assert_int_equal(OK, EACH_ROW(message, count_up, count_row, &counted, INT(0), INT(-1)));
    assert_true(counted.rows == 0);
}

static void a_copy_gives_the_same_rows(void **state)
{
    struct message *message = *state;
    struct counted counted = {.message = message};
    size_t before = arena_used(message->arena);

    assert_int_equal(OK, EACH_ROW(message, copy_up, count_row, &counted, INT(20000), INT(-1)));
    assert_true(counted.rows == 20000);
    assert_true(arena_used(message->arena) - before < 2000);
    counted.rows = 0;
    assert_int_equal(OK, EACH_ROW(message, copy_up, count_row, &counted, INT(0), INT(-1)));
    assert_true(counted.rows == 0);
}

static void a_copy_stands_in_a_transaction_and_what_follows_it_goes_on(void **state)
{
    struct message *message = *state;
    int64_t seen = 0;

    int64_t before = things(message);
    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, RUN(message, add_thing, NULL, TEXT("copied"), INT(1)));
    assert_int_equal(OK, db_each(message, &sql_copy_things, NULL, 0, any_row, &seen));
    assert_true(seen == before + 1);
    assert_int_equal(OK, RUN(message, add_thing, NULL, TEXT("behind the copy"), INT(1)));
    assert_int_equal(OK, db_commit(message));
    assert_true(things(message) == before + 2);
    struct message later = next(message);
    assert_int_equal(OK, RUN0(&later, drop_things, NULL));
}

static void what_goes_wrong_in_a_copy_is_told_and_the_connection_goes_on(void **state)
{
    struct message *message = *state;
    struct counted counted = {.message = message, .enough = 7};

    assert_int_equal(REFUSED, EACH_ROW(message, copy_up, count_row, &counted, INT(5000), INT(-1)));
    says(message, "row 7 is enough");
    assert_true(counted.rows == 7);
    struct message second = next(message);
    counted = (struct counted){.message = &second};
    assert_int_equal(POISON, EACH_ROW(&second, copy_up, count_row, &counted, INT(5000), INT(1234)));
    says(&second, "the database failed to run copy_up: division by zero (22012)");
    assert_true(counted.rows == 1233);
    // In a transaction the rest of it is lost, as after any failure.
    struct message third = next(message);
    counted = (struct counted){.message = &third};
    assert_int_equal(OK, db_begin(&third));
    assert_int_equal(POISON, EACH_ROW(&third, copy_up, count_row, &counted, INT(5), INT(2)));
    struct message late = next(message);
    assert_int_equal(RETRY, db_commit(&late));
    things(message);
}

static void a_connection_lost_in_a_copy_is_retried_on_a_new_one(void **state)
{
    struct message *message = *state;
    int64_t last = 0;

    assert_int_equal(RETRY, EACH_ROW(message, copy_die_at, any_row, &last, INT(50000)));
    assert_true(last <= 50000);
    struct message again = next(message);
    assert_int_equal(OK, db_begin(&again));
    assert_int_equal(RETRY, EACH_ROW(&again, copy_die_at, any_row, &last, INT(50000)));
    db_rollback(&again);
    things(message);
}

static status_t long_row(void *context, const row_t *row)
{
    const char *text = each_text(row, 1);
    ++*(int *)context;
    assert_true(strlen(text) == (size_t)each_int(row, 0));
    assert_true(strspn(text, "x") == strlen(text));
    assert_string_equal("", each_text(row, 2));
    assert_string_equal("behind", each_text(row, 3));
    return OK;
}

static void a_text_of_any_length_ends_where_it_ends(void **state)
{
    static const int lengths[] = {0, 1, 255, 256, 65535, 65536, 5000000};
    struct message *message = *state;

    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        int rows = 0;
        assert_int_equal(OK, EACH_ROW(message, copy_long, long_row, &rows, INT(lengths[i])));
        assert_int_equal(3, rows);
    }
}

static status_t two_columns(void *context, const row_t *row)
{
    assert_true(each_int(row, 0) == 7);
    assert_string_equal("ab", each_text(row, 1));
    ++*(int *)context;
    return OK;
}

// Two rows of (7::smallint, 'ab') and the end, as the server writes them.
static const char copied[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\2xx"
                             "\0\2\0\0\0\2\0\7\0\0\0\2ab\0\2\0\0\0\2\0\7\0\0\0\2ab\377\377";

static status_t take_copied(struct message *message, const char *bytes, size_t size, int *rows)
{
    struct copying copying = {.message = message, .each = two_columns, .context = rows};
    uint8_t *own = malloc(size + 1);  // exactly, so that a byte too far is seen

    memcpy(own, bytes, size);
    own[size] = '\0';
    *rows = 0;
    status_t status = copy_piece(&copying, own, own + size);
    free(own);
    return status;
}

static void a_copy_that_is_damaged_is_poison(void **state)
{
    const size_t size = sizeof copied - 1, header = 21, row = 14;
    struct message *message = *state;
    int rows;

    assert_int_equal(OK, take_copied(message, copied, size, &rows));
    assert_int_equal(2, rows);
    for (size_t cut = 0; cut < size - 2; cut++) {
        bool whole = cut >= header && (cut - header) % row == 0;
        assert_int_equal(whole ? OK : POISON, take_copied(message, copied, cut, &rows));
        assert_int_equal(cut < header ? 0 : (cut - header) / row, rows);
    }
    static const char shorter_than_nothing[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"
                                               "\0\2\377\377\377\376\0\0\0\2ab\377\377";
    assert_int_equal(POISON,
                     take_copied(message, shorter_than_nothing, sizeof shorter_than_nothing - 1, &rows));
    char spoilt[sizeof copied];
    static const struct {
        size_t at;
        char byte;
    } faults[] = {{0, 'p'},     {10, 1}, {15, 1},   {15, '\377'}, {24, '\177'},
                  {23, '\376'}, {29, 1}, {32, 100}, {50, 0}};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        memcpy(spoilt, copied, sizeof spoilt);
        spoilt[faults[i].at] = faults[i].byte;
        assert_int_equal(POISON, take_copied(message, spoilt, size, &rows));
        says(message, "the database sent a copy that is damaged");
    }
}

static status_t copied_nothing(void *context, const row_t *row)
{
    for (int column = 0; column < 3; column++) {
        assert_true(each_int(row, column) == 0);
        assert_string_equal("", each_text(row, column));
        assert_int_equal(0, each_bytes(row, column).len);
    }
    assert_string_equal("", each_text(row, 3));
    assert_int_equal(0, each_bytes(row, 4).len);
    assert_string_equal("at the end", each_text(row, 5));
    ++*(int *)context;
    return OK;
}

static void what_is_null_or_empty_comes_out_of_a_copy_as_nothing(void **state)
{
    struct message *message = *state;
    int rows = 0;

    assert_int_equal(OK, db_each(message, &sql_copy_nothing_known, NULL, 0, copied_nothing, &rows));
    assert_int_equal(1, rows);
}

static status_t nothing(void *context, const row_t *row)
{
    assert_true(each_int(row, 0) == 0);
    assert_string_equal("", each_text(row, 1));
    assert_int_equal(0, each_bytes(row, 2).len);
    ++*(int *)context;
    return OK;
}

static void what_is_null_comes_as_nothing(void **state)
{
    struct message *message = *state;
    int rows = 0;
    assert_int_equal(OK, db_each(message, &sql_nothing_known, NULL, 0, nothing, &rows));
    assert_int_equal(1, rows);
}

static void rows_come_within_a_transaction_and_see_what_it_did(void **state)
{
    struct message *message = *state;
    int64_t seen = 0;

    int64_t before = things(message);
    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, RUN(message, add_thing, NULL, TEXT("each"), INT(1)));
    assert_int_equal(OK, db_each(message, &sql_count_things, NULL, 0, any_row, &seen));
    assert_true(seen == before + 1);
    db_rollback(message);
    assert_true(things(message) == before);
}

static void a_row_that_is_refused_ends_it_and_the_connection_goes_on(void **state)
{
    struct message *message = *state;
    struct counted counted = {.message = message, .enough = 7};

    assert_int_equal(REFUSED, EACH_ROW(message, count_up, count_row, &counted, INT(5000), INT(-1)));
    says(message, "row 7 is enough");
    assert_true(counted.rows == 7);
    things(message);
}

static void a_statement_that_fails_halfway_is_told_after_the_rows_before(void **state)
{
    struct message *message = *state;
    struct counted counted = {.message = message};

    assert_int_equal(POISON, EACH_ROW(message, count_up, count_row, &counted, INT(5000), INT(1234)));
    says(message, "the database failed to run count_up: division by zero (22012)");
    assert_true(counted.rows == 1233);
    things(message);
    // In a transaction the rest of it is lost, as after any failure.
    struct message again = next(message);
    counted = (struct counted){.message = &again};
    assert_int_equal(OK, db_begin(&again));
    assert_int_equal(POISON, EACH_ROW(&again, count_up, count_row, &counted, INT(5), INT(2)));
    struct message late = next(message);
    assert_int_equal(RETRY, db_commit(&late));
}

static void a_connection_lost_while_rows_come_is_retried_on_a_new_one(void **state)
{
    struct message *message = *state;
    int64_t last = 0;

    assert_int_equal(RETRY, EACH_ROW(message, die_at, any_row, &last, INT(50000)));
    assert_true(last <= 50000);
    struct message again = next(message);
    assert_int_equal(RETRY, EACH_ROW(&again, die_at, any_row, &last, INT(50000)));
    says(&again, "the database connection is down");
    things(message);
}

// ------------------------------------------------------------------------------------------------ outcomes

static uint64_t errors_of(const db_t *db, const char *class)
{
    int number = 0;

    while (strcmp(class, db_error_class(number)) != 0)
        number++;
    return db_errors(db, number);
}

// An operator is called for class 23 at once, and not for who was faster under one key.
static void errors_are_counted_by_their_class(void **state)
{
    struct message *message = *state;
    static const char *const classes[][2] = {{"23505", "23505"}, {"23503", "23"}, {"40001", "40"},
                                             {"53100", "53"},    {"XX001", "XX"}, {"P0001", "other"}};

    for (size_t i = 0; i < COUNT(classes); i++) {
        struct message one = next(message);
        assert_int_equal(OK, db_connect(&one));
        assert_int_not_equal(OK, RUN(&one, fail_with, NULL, TEXT(classes[i][0])));
        for (size_t k = 0; k < COUNT(classes); k++)
            assert_int_equal(k <= i, errors_of(one.db, classes[k][1]));
    }
}

static void each_sqlstate_has_its_outcome(void **state)
{
    struct message *message = *state;
    static const struct {
        const char *sqlstate;
        status_t status;
    } outcomes[] = {
        {"40001", RETRY},  {"40P01", RETRY},  {"23505", RETRY},  {"55P03", RETRY},  {"53100", RETRY},
        {"53200", RETRY},  {"53300", RETRY},  {"23503", POISON}, {"23514", POISON}, {"23502", POISON},
        {"22003", POISON}, {"42501", POISON}, {"42P01", POISON}, {"57014", POISON}, {"40002", POISON},
        {"55000", POISON}, {"P0001", POISON}, {"08006", RETRY},  {"57P01", RETRY},  {"57P03", RETRY},
    };
    for (size_t i = 0; i < COUNT(outcomes); i++) {
        struct message one = next(message);
        assert_int_equal(OK, db_connect(&one));
        assert_int_equal(outcomes[i].status, RUN(&one, fail_with, NULL, TEXT(outcomes[i].sqlstate)));
        assert_string_equal(outcomes[i].sqlstate, db_sqlstate(one.db));
        says(&one,
             arena_printf(one.arena, "run fail_with: complained \"as asked\" (%s)", outcomes[i].sqlstate));
        assert_null(strstr(one.reason, "secret"));
    }
}

static void a_full_database_is_told_from_what_fails_by_itself_until_the_next_transaction(void **state)
{
    struct message *message = *state;
    static const struct {
        const char *sqlstate;
        bool full;
    } faults[] = {{"53100", true}, {"53300", true}, {"53200", false}, {"53400", false}, {"40001", false}};

    for (size_t i = 0; i < COUNT(faults); i++) {
        struct message one = next(message), other = next(message);
        assert_int_equal(OK, db_begin(&one));
        assert_false(db_full(one.db));
        assert_int_equal(OK,
                         RUN(&one, fail_with, NULL, TEXT(faults[i].sqlstate)));  // when: told by what waits
        assert_int_equal(RETRY, db_commit(&one));
        db_rollback(&one);
        assert_int_equal(faults[i].full, db_full(one.db));  // then
        assert_int_equal(RETRY, RUN(&other, fail_with, NULL, TEXT("40001")));
        assert_int_equal(faults[i].full, db_full(one.db));
    }
}

static void a_row_that_someone_was_faster_with_is_retried_and_a_broken_rule_is_poison(void **state)
{
    struct message *message = *state, again = next(message), broken = next(message);
    struct rows rows;

    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, RUN(message, add_thing, NULL, TEXT("a"), TEXT("1")));
    assert_int_equal(RETRY, RUN(&again, add_thing, &rows, TEXT("a"), TEXT("1")));
    says(&again, "thing_pkey");
    db_rollback(message);
    assert_int_equal(POISON, RUN(&broken, add_thing, NULL, TEXT("a"), TEXT("13")));
    assert_int_equal(0, things(message));
}

static void what_was_rolled_back_never_was(void **state)
{
    struct message *message = *state;
    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, RUN(message, add_thing, NULL, TEXT("a"), INT(1)));
    db_rollback(message);
    db_rollback(message);
    assert_int_equal(0, things(message));
}

static void a_failed_transaction_is_not_committed_though_the_server_says_ok(void **state)
{
    struct message *message = *state, failing = next(message);
    struct rows rows;

    // given a transaction in which something failed and nobody cared
    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, RUN(message, add_thing, NULL, TEXT("a"), INT(1)));
    assert_int_equal(POISON, RUN(&failing, fail_with, &rows, TEXT("P0001")));
    // when it is committed, then it is not
    assert_int_equal(RETRY, db_commit(message));
    says(message, "rolled the transaction back");
    assert_int_equal(0, things(message));
}

static void a_rule_checked_at_commit_refuses_the_commit(void **state)
{
    struct message *message = *state;
    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, RUN(message, add_orphan, NULL, TEXT("a")));
    assert_int_equal(POISON, db_commit(message));
    says(message, "the database failed to commit");
    assert_string_equal("23503", db_sqlstate(message->db));
    assert_int_equal(0, things(message));
}

static void a_warning_while_committing_leaves_the_outcome_unknown(void **state)
{
    struct message *message = *state, after = next(message);

    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, RUN(message, at_the_last_moment, NULL, TEXT("warn")));
    assert_int_equal(RETRY, db_commit(message));
    says(message, "the outcome is unknown");
    // A later commit is not suspected of it.
    assert_int_equal(OK, db_begin(&after));
    assert_int_equal(OK, RUN(&after, at_the_last_moment, NULL, TEXT("nothing")));
    assert_int_equal(OK, db_commit(&after));
}

static void a_connection_lost_while_committing_leaves_the_outcome_unknown(void **state)
{
    struct message *message = *state, after = next(message);

    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, RUN(message, at_the_last_moment, NULL, TEXT("die")));
    assert_int_equal(RETRY, db_commit(message));
    says(message, "the database failed to commit");
    assert_int_equal(OK, db_begin(&after));
}

static void what_fails_only_when_its_own_transaction_ends_has_failed(void **state)
{
    struct message *message = *state;
    assert_int_equal(POISON, RUN(message, add_orphan, NULL, TEXT("a")));
    assert_string_equal("23503", db_sqlstate(message->db));
    assert_int_equal(0, things(message));
}

// ------------------------------------------------------------------------------------------------ not waiting

// How often somebody waited; ends the trace.
static int waits(const struct message *message, FILE *trace)
{
    int count = trace_count(trace, TRACE_WAIT, NULL);

    trace_end(message->db, trace);
    return count;
}

static void a_transaction_waits_once_for_each_answer_and_once_to_commit(void **state)
{
    struct message *message = *state;
    struct rows rows;

    FILE *trace = trace_begin(message->db);
    assert_int_equal(OK, db_begin(message));
    for (int i = 0; i < 1000; i++)
        assert_int_equal(OK, RUN(message, add_thing, NULL, INT(i), INT(1)));
    assert_int_equal(OK, RUN0(message, count_things, &rows));
    assert_int_equal(1000, row_int(&rows, 0, 0));
    assert_int_equal(OK, RUN(message, renumber_things, NULL, INT(2)));
    assert_int_equal(OK, db_commit(message));
    assert_int_equal(2, waits(message, trace));
    assert_int_equal(1000, things(message));
}

static void a_write_that_failed_is_told_by_whoever_waits_next(void **state)
{
    struct message *message = *state, reading = next(message), after = next(message);
    struct rows rows;

    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, RUN(message, add_thing, NULL, TEXT("a"), INT(13)));
    assert_int_equal(OK, RUN(message, add_thing, NULL, TEXT("b"), INT(1)));
    assert_int_equal(POISON, RUN0(&reading, count_things, &rows));
    says(&reading, "run add_thing");
    db_rollback(message);
    // and the connection is as good as before
    assert_int_equal(OK, db_begin(&after));
    assert_int_equal(OK, RUN(&after, add_thing, NULL, TEXT("a"), INT(1)));
    assert_int_equal(OK, db_commit(&after));
    assert_int_equal(1, things(message));
}

static void a_write_that_failed_and_nobody_waited_for_stops_the_commit(void **state)
{
    struct message *message = *state;

    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, RUN(message, add_thing, NULL, TEXT("a"), INT(1)));
    assert_int_equal(OK, RUN(message, add_thing, NULL, TEXT("b"), INT(13)));
    assert_int_equal(POISON, db_commit(message));
    says(message, "run add_thing");
    db_rollback(message);
    assert_int_equal(0, things(message));
}

static void a_change_that_met_no_row_is_poison_before_anything_is_committed(void **state)
{
    struct message *message = *state, after = next(message);

    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, CHANGE(message, add_thing, TEXT("a"), INT(1)));
    assert_int_equal(OK, CHANGE(message, renumber_thing, TEXT("nobody"), INT(1)));
    assert_int_equal(POISON, db_commit(message));
    says(message, "renumber_thing changed 0 rows instead of 1");
    db_rollback(message);
    assert_int_equal(0, things(message));
    // A change outside a transaction could not be taken back.
    assert_int_equal(POISON, CHANGE(&after, add_thing, TEXT("a"), INT(1)));
    assert_int_equal(0, things(message));
}

static void what_is_asked_for_later_is_there_when_the_commit_is(void **state)
{
    struct message *message = *state;
    struct rows added, counted;

    FILE *trace = trace_begin(message->db);
    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, LATER(message, add_thing, &added, TEXT("a"), INT(1)));
    assert_int_equal(OK, db_later(message, &sql_count_things, NULL, 0, &counted));
    assert_int_equal(OK, db_commit(message));
    assert_int_equal(1, waits(message, trace));
    assert_int_equal(1, added.affected);
    assert_int_equal(1, row_int(&counted, 0, 0));
}

static void rows_that_nobody_asks_for_any_more_are_not_filled(void **state)
{
    struct message *message = *state;
    struct rows counted;

    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, db_later(message, &sql_count_things, NULL, 0, &counted));
    db_rollback(message);
    assert_false(rows_came(&counted));
}

static void what_was_asked_ahead_is_there_for_its_message_and_once(void **state)
{
    struct message *message = *state, other = next(message);
    struct rows rows;

    FILE *trace = trace_begin(message->db);
    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, RUN(message, add_thing, NULL, TEXT("a"), INT(1)));
    assert_int_equal(OK, AHEAD(message, find_thing, TEXT("a")));
    assert_int_equal(OK, AHEAD(message, find_thing, TEXT("b")));
    assert_int_equal(OK, RUN(message, renumber_thing, NULL, TEXT("a"), INT(2)));
    // another value is another question
    assert_int_equal(OK, RUN(message, find_thing, &rows, TEXT("ab")));
    assert_int_equal(0, rows.count);
    // one wait for both, whatever happened since they were asked
    assert_int_equal(OK, RUN(message, find_thing, &rows, TEXT("b")));
    assert_int_equal(0, rows.count);
    assert_int_equal(OK, RUN(message, find_thing, &rows, TEXT("a")));
    assert_int_equal(1, row_int(&rows, 0, 0));
    // who asks again, and who is another, sees what is there now
    assert_int_equal(OK, RUN(message, find_thing, &rows, TEXT("a")));
    assert_int_equal(2, row_int(&rows, 0, 0));
    assert_int_equal(OK, RUN(&other, find_thing, &rows, TEXT("a")));
    assert_int_equal(2, row_int(&rows, 0, 0));
    assert_int_equal(OK, db_commit(message));
    assert_int_equal(4, waits(message, trace));
}

static void what_failed_ahead_fails_whoever_waits(void **state)
{
    struct message *message = *state, after = next(message);
    struct rows rows;

    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, AHEAD(message, find_thing, TEXT("\xFF")));
    assert_int_equal(POISON, RUN(message, find_thing, &rows, TEXT("\xFF")));
    says(message, "run find_thing");
    db_rollback(message);
    assert_int_equal(OK, db_begin(&after));
    assert_int_equal(OK, db_commit(&after));
}

// ------------------------------------------------------------------------------------------ statements of many

static int number_of(struct message *message, const char *id)
{
    struct message own = next(message);
    struct rows rows;

    assert_int_equal(OK, RUN(&own, find_many, &rows, TEXT(id)));
    return rows.count == 1 ? (int)row_int(&rows, 0, 1) : 0;
}

// How often this statement was sent; ends the trace.
static int sent(const struct message *message, FILE *trace, const char *name)
{
    int count = trace_count(trace, arena_printf(message->arena, "\tBind\t%*s \"\" \"%s\"", 0, "", name), NULL);

    trace_end(message->db, trace);
    return count;
}

static void what_is_said_for_each_row_goes_out_once_for_all(void **state)
{
    struct message *message = *state;

    FILE *trace = trace_begin(message->db);
    assert_int_equal(OK, db_begin(message));
    for (int i = 0; i < 100; i++) {
        const char *id = arena_printf(message->arena, "%d \"{,}\\", i);
        assert_int_equal(OK, CHANGE(message, add_many, TEXT(id), i == 7 ? TEXT(NULL) : INT(-i)));
        assert_int_equal(OK, CHANGE(message, renumber_many, TEXT(id), INT(-i - 1)));
    }
    assert_int_equal(OK, db_commit(message));
    assert_int_equal(1, sent(message, trace, "add_many"));
    assert_int_equal(100, things(message));
    assert_int_equal(-100, number_of(message, "99 \"{,}\\"));
}

static void rows_under_one_key_take_a_statement_each_for_all_keys(void **state)
{
    struct message *message = *state;

    FILE *trace = trace_begin(message->db);
    assert_int_equal(OK, db_begin(message));
    for (int i = 0; i < 50; i++)
        for (int k = 0; k < 3; k++)
            assert_int_equal(OK, RUN(message, renumber_many, NULL, INT(i), INT(k)));
    assert_int_equal(OK, db_commit(message));
    assert_int_equal(3, sent(message, trace, "renumber_many"));
}

static void under_one_key_all_is_done_in_the_order_in_which_it_was_said(void **state)
{
    struct message *message = *state;

    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, CHANGE(message, add_many, TEXT("a"), INT(1)));
    assert_int_equal(OK, CHANGE(message, renumber_many, TEXT("a"), INT(2)));
    assert_int_equal(OK, CHANGE(message, add_many, TEXT("b"), INT(1)));
    assert_int_equal(OK, CHANGE(message, renumber_many, TEXT("b"), INT(2)));
    assert_int_equal(OK, CHANGE(message, renumber_many, TEXT("a"), INT(3)));  // and not both in one UPDATE
    assert_int_equal(3, number_of(message, "a"));
    for (int i = 0; i < 10; i++)
        assert_int_equal(OK, RUN(message, renumber_many, NULL, TEXT("a"), INT(100 - i)));
    assert_int_equal(91, number_of(message, "a"));
    assert_int_equal(2, number_of(message, "b"));
    assert_int_equal(OK, CHANGE(message, add_many, TEXT("d"), INT(1)));
    assert_int_equal(OK, CHANGE(message, renumber_many, TEXT("c"), INT(4)));
    assert_int_equal(OK, CHANGE(message, add_many, TEXT("c"), INT(5)));  // may not pass the one before it
    assert_int_equal(POISON, db_commit(message));
    says(message, "renumber_many changed 0 rows instead of 1");
    db_rollback(message);
}

static void what_is_gathered_goes_before_whatever_is_said_next(void **state)
{
    struct message *message = *state;
    struct rows rows;

    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, CHANGE(message, add_many, TEXT("a"), INT(1)));
    assert_int_equal(OK, RUN(message, renumber_thing, NULL, TEXT("a"), INT(2)));
    assert_int_equal(OK, CHANGE(message, add_many, TEXT("b"), INT(1)));
    assert_int_equal(OK, RUN0(message, count_things, &rows));
    assert_int_equal(2, row_int(&rows, 0, 0));
    assert_int_equal(OK, db_commit(message));
    assert_int_equal(2, number_of(message, "a"));
}

static void each_who_asks_gets_the_rows_of_his_key(void **state)
{
    static const uint8_t bytes[] = {0, 1, 255};
    struct message *message = *state, own = next(message);
    struct rows rows[4], nothing;

    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, CHANGE(message, add_many, TEXT("a"), INT(1)));
    assert_int_equal(OK, CHANGE(message, add_many, TEXT("ab"), INT(2)));
    FILE *trace = trace_begin(message->db);
    assert_int_equal(OK, LATER(message, find_many, &rows[0], TEXT("b")));
    assert_int_equal(OK, LATER(message, find_many, &rows[1], TEXT("ab")));
    assert_int_equal(OK, LATER(message, find_many, &rows[2], TEXT("a")));
    assert_int_equal(OK, LATER(message, find_many, &rows[3], TEXT("a")));
    assert_false(rows_came(&rows[0]));
    assert_int_equal(OK, AHEAD(&own, find_many, TEXT("ab")));
    assert_int_equal(OK, db_wait(message));
    assert_int_equal(2, sent(message, trace, "find_many"));  // "a" twice
    assert_true(rows_came(&rows[0]));
    assert_int_equal(0, rows[0].count);
    assert_int_equal(1, rows[1].count);
    assert_int_equal(2, row_int(&rows[1], 0, 1));
    for (int i = 2; i < 4; i++) {
        assert_int_equal(1, rows[i].count);
        assert_int_equal(1, row_int(&rows[i], 0, 1));
    }
    assert_int_equal(OK, RUN(&own, find_many, &rows[0], TEXT("ab")));
    assert_int_equal(2, row_int(&rows[0], 0, 1));
    // no bytes are bytes, also when another row has some
    assert_int_equal(OK, LATER(message, echo_many, &nothing, TEXT("a"), BYTES("", 0)));
    assert_int_equal(OK, RUN(message, echo_many, &rows[0], TEXT("b"), BYTES(bytes, sizeof bytes)));
    assert_memory_equal(bytes, row_bytes(&rows[0], 0, 1).data, sizeof bytes);
    assert_false(row_null(&nothing, 0, 1));
    assert_int_equal(OK, db_commit(message));
}

static void a_change_of_many_that_met_too_few_rows_is_poison(void **state)
{
    struct message *message = *state;

    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, CHANGE(message, add_many, TEXT("a"), INT(1)));
    assert_int_equal(OK, RUN(message, renumber_many, NULL, TEXT("nobody"), INT(2)));  // may meet none
    assert_int_equal(OK, CHANGE(message, renumber_many, TEXT("a"), INT(2)));
    assert_int_equal(OK, CHANGE(message, renumber_many, TEXT("no one"), INT(2)));
    assert_int_equal(POISON, db_commit(message));
    says(message, "renumber_many changed 1 rows instead of 2");
    db_rollback(message);
    assert_int_equal(0, things(message));
}

static void what_was_gathered_is_rolled_back_with_the_rest(void **state)
{
    struct message *message = *state, after = next(message);

    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, CHANGE(message, add_many, TEXT("a"), INT(1)));
    db_rollback(message);
    assert_int_equal(OK, db_begin(&after));
    assert_int_equal(OK, CHANGE(&after, add_many, TEXT("b"), INT(1)));
    assert_int_equal(OK, db_commit(&after));
    assert_int_equal(1, things(message));
}

static void more_than_may_be_kept_is_sent_in_parts(void **state)
{
    static uint8_t bytes[LIMIT_EVENT_BYTES];
    struct message *message = *state;

    FILE *trace = trace_begin(message->db);
    assert_int_equal(OK, db_begin(message));
    for (int i = 0; i < 60; i++)
        assert_int_equal(OK, RUN(message, echo_many, NULL, INT(i), BYTES(bytes, sizeof bytes)));
    assert_int_equal(OK, db_commit(message));
    assert_int_equal(3, sent(message, trace, "echo_many"));
}

static void by_itself_a_statement_of_many_is_of_one(void **state)
{
    struct message *message = *state;

    assert_int_equal(OK, RUN(message, add_many, NULL, TEXT("a"), INT(1)));
    assert_int_equal(1, number_of(message, "a"));
    assert_int_equal(0, number_of(message, "b"));
}

// --------------------------------------------------------------------------------------------- steady statements

static int steady(struct message *message, const char *id)
{
    struct message own = next(message);
    struct rows rows;

    assert_int_equal(OK, RUN(&own, find_steady, &rows, TEXT(id)));
    return rows.count == 1 ? (int)row_int(&rows, 0, 0) : 0;
}

static void what_is_steady_is_asked_for_once(void **state)
{
    struct message *message = *state;

    assert_int_equal(0, steady(message, "a"));  // that there is none may change
    assert_int_equal(OK, RUN(message, add_thing, NULL, TEXT("a"), INT(1)));
    assert_int_equal(OK, RUN(message, add_thing, NULL, TEXT("b"), INT(2)));
    FILE *trace = trace_begin(message->db);
    assert_int_equal(OK, db_begin(message));
    assert_int_equal(1, steady(message, "a"));
    assert_int_equal(2, steady(message, "b"));
    assert_int_equal(OK, db_commit(message));
    assert_int_equal(1, steady(message, "a"));
    assert_int_equal(2, steady(message, "b"));
    assert_int_equal(2, sent(message, trace, "find_steady"));
}

static void what_a_rolled_back_transaction_has_read_is_not_known(void **state)
{
    struct message *message = *state;

    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, RUN(message, add_thing, NULL, TEXT("a"), INT(1)));
    assert_int_equal(1, steady(message, "a"));
    db_rollback(message);
    assert_int_equal(OK, RUN(message, add_thing, NULL, TEXT("a"), INT(2)));
    assert_int_equal(2, steady(message, "a"));
}

static void what_is_known_has_its_limit(void **state)
{
    struct message *message = *state;

    assert_int_equal(OK, RUN0(message, add_ten_thousand, NULL));
    for (int i = 0; i < 10000; i++)
        assert_int_equal(i + 20, steady(message, arena_printf(message->arena, "%d", i + 20)));
    assert_in_range(arena_used(message->db->steady), 1, LIMIT_ARENA_BYTES / 15);
    assert_int_equal(20, steady(message, "20"));
}

// ------------------------------------------------------------------------------------------------ the connection

static void a_connection_lost_in_a_transaction_is_retried_on_a_new_one(void **state)
{
    struct message *message = *state, after = next(message);

    assert_int_equal(OK, db_begin(message));
    assert_int_equal(OK, RUN(message, add_thing, NULL, TEXT("a"), INT(1)));
    struct message dying = next(message);
    struct rows rows;
    assert_int_equal(RETRY, RUN0(&dying, die_now, &rows));
    // Until someone begins again, everything says that it is down, and nothing crashes.
    struct message down = next(message);
    assert_int_equal(RETRY, RUN(&down, add_thing, NULL, TEXT("a"), INT(1)));
    says(&down, "connection is down");
    struct message committing = next(message);
    assert_int_equal(RETRY, db_commit(&committing));
    db_rollback(message);
    assert_int_equal(OK, db_begin(&after));
    assert_int_equal(OK, RUN(&after, add_thing, NULL, TEXT("a"), INT(1)));
    db_rollback(&after);
    assert_int_equal(0, things(message));
}

static void a_connection_lost_while_idle_is_made_anew_without_a_word(void **state)
{
    struct message *message = *state, killer = message_new(message->arena);
    struct rows rows;

    assert_int_equal(OK, RUN0(message, whoami, &rows));
    killer.db = open_database(statements);
    assert_int_equal(OK, db_connect(&killer));
    assert_int_equal(OK, RUN(&killer, kill_other, NULL, TEXT(row_text(&rows, 0, 0))));
    db_destroy(&killer.db);
    usleep(100000);
    assert_int_equal(OK, db_begin(message));
    assert_null(message->reason);
}

static void a_connection_is_set_up_as_it_must_be(void **state)
{
    struct message *message = *state;
    struct rows rows;
    assert_int_equal(OK, RUN0(message, whoami, &rows));
    assert_string_equal(schema, row_text(&rows, 0, 1));
    assert_string_equal("on", row_text(&rows, 0, 2));
    assert_string_equal("db_test", row_text(&rows, 0, 3));
    assert_string_equal("off off off off force_generic_plan", row_text(&rows, 0, 4));
}

static void the_database_being_away_is_retried(void **state)
{
    const struct message *message = *state;
    struct message away = message_new(message->arena);
    // Port 9 of this machine: nobody lives there.
    away.db = db_new(&(struct db_config){.url = "postgresql://nobody@127.0.0.1:9/nothing", .schema = "x"});
    assert_int_equal(RETRY, db_connect(&away));
    says(&away, "the database cannot be reached");
    assert_string_equal("08001", db_sqlstate(away.db));
    struct message again = next(&away);
    assert_int_equal(RETRY, db_begin(&again));
    db_rollback(&again);
    db_destroy(&away.db);
}

static void a_wrong_column_stops_the_service_at_start(void **state)
{
    static const struct sql right = {.name = "right", .text = "SELECT 1"};
    static const struct sql wrong = {.name = "wrong", .text = "SELECT versoin FROM thing"};
    static const struct sql *const list[] = {&right, &wrong, &right, NULL};
    static const struct sql *const *const lists[] = {sql_db_test_all, list, sql_db_test_all, NULL};
    const struct message *message = *state;
    struct message starting = message_new(message->arena);

    starting.db = open_database(lists);
    assert_int_equal(POISON, db_connect(&starting));
    says(&starting, "the database failed to prepare wrong: column \"versoin\" does not exist (42703)");
    struct message again = next(&starting);
    assert_int_equal(POISON, db_begin(&again));
    db_destroy(&starting.db);
}

static void parameters_are_counted_outside_quotes_and_comments(void **state)
{
    (void)state;
    assert_int_equal(4, sql_echo.params);
    assert_int_equal(0, sql_drop_schema.params);
    assert_int_equal(2, sql_add_thing.params);
    assert_string_equal("add_thing", sql_add_thing.name);
}

// libpq would let the rows that still come fall without a word.
static status_t ask_for_more(void *context, const row_t *row)
{
    (void)row;
    return RUN0(context, count_things, NULL);
}

static void whoever_takes_a_row_and_asks_the_database_is_stopped(void **state)
{
    struct message *message = *state;
    int status;

    // given: a connection of its own, since the child shares the parent's
    struct message own = message_new(message->arena);
    own.db = open_database(statements);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        if (db_connect(&own) == OK)
            EACH_ROW(&own, count_up, ask_for_more, &own, INT(3), INT(-1));
        _exit(0);
    }
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    db_destroy(&own.db);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, with_message, without_message)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(every_kind_of_value_goes_there_and_back),
        EACH(null_is_not_the_empty_string),
        EACH(arrays_keep_odd_elements),
        EACH(text_that_is_not_utf8_is_poison),
        EACH(rows_come_in_order_and_need_the_memory_of_one),
        EACH(what_is_null_comes_as_nothing),
        EACH(rows_come_within_a_transaction_and_see_what_it_did),
        EACH(a_row_that_is_refused_ends_it_and_the_connection_goes_on),
        EACH(a_statement_that_fails_halfway_is_told_after_the_rows_before),
        EACH(a_connection_lost_while_rows_come_is_retried_on_a_new_one),
        EACH(a_copy_gives_the_same_rows),
        EACH(a_copy_stands_in_a_transaction_and_what_follows_it_goes_on),
        EACH(what_goes_wrong_in_a_copy_is_told_and_the_connection_goes_on),
        EACH(a_connection_lost_in_a_copy_is_retried_on_a_new_one),
        EACH(a_text_of_any_length_ends_where_it_ends),
        EACH(a_copy_that_is_damaged_is_poison),
        EACH(what_is_null_or_empty_comes_out_of_a_copy_as_nothing),
        EACH(whoever_takes_a_row_and_asks_the_database_is_stopped),
        EACH(the_number_of_changed_rows_is_told),
        EACH(each_sqlstate_has_its_outcome),
        EACH(a_full_database_is_told_from_what_fails_by_itself_until_the_next_transaction),
        EACH(errors_are_counted_by_their_class),
        EACH(a_row_that_someone_was_faster_with_is_retried_and_a_broken_rule_is_poison),
        EACH(what_was_rolled_back_never_was),
        EACH(a_failed_transaction_is_not_committed_though_the_server_says_ok),
        EACH(a_rule_checked_at_commit_refuses_the_commit),
        EACH(a_warning_while_committing_leaves_the_outcome_unknown),
        EACH(a_connection_lost_while_committing_leaves_the_outcome_unknown),
        EACH(what_fails_only_when_its_own_transaction_ends_has_failed),
        EACH(a_transaction_waits_once_for_each_answer_and_once_to_commit),
        EACH(a_write_that_failed_is_told_by_whoever_waits_next),
        EACH(a_write_that_failed_and_nobody_waited_for_stops_the_commit),
        EACH(a_change_that_met_no_row_is_poison_before_anything_is_committed),
        EACH(what_is_asked_for_later_is_there_when_the_commit_is),
        EACH(rows_that_nobody_asks_for_any_more_are_not_filled),
        EACH(what_was_asked_ahead_is_there_for_its_message_and_once),
        EACH(what_failed_ahead_fails_whoever_waits),
        EACH(what_is_said_for_each_row_goes_out_once_for_all),
        EACH(rows_under_one_key_take_a_statement_each_for_all_keys),
        EACH(under_one_key_all_is_done_in_the_order_in_which_it_was_said),
        EACH(what_is_gathered_goes_before_whatever_is_said_next),
        EACH(each_who_asks_gets_the_rows_of_his_key),
        EACH(a_change_of_many_that_met_too_few_rows_is_poison),
        EACH(what_was_gathered_is_rolled_back_with_the_rest),
        EACH(more_than_may_be_kept_is_sent_in_parts),
        EACH(by_itself_a_statement_of_many_is_of_one),
        EACH(what_is_steady_is_asked_for_once),
        EACH(what_a_rolled_back_transaction_has_read_is_not_known),
        EACH(what_is_known_has_its_limit),
        EACH(a_connection_lost_in_a_transaction_is_retried_on_a_new_one),
        EACH(a_connection_lost_while_idle_is_made_anew_without_a_word),
        EACH(a_connection_is_set_up_as_it_must_be),
        EACH(the_database_being_away_is_retried),
        EACH(a_wrong_column_stops_the_service_at_start),
        EACH(parameters_are_counted_outside_quotes_and_comments),
    };
    if (getenv("CHECK_DATABASE_URL") == NULL)
        return 77;
    return cmocka_run_group_tests(tests, make_schema, drop_schema);
}
