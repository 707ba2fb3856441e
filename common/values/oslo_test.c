// Oslo's calendar: instants, days, holidays and periods, as facts in tables.
#include "values/values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define SECOND       INT64_C(1000000)
#define DAY          (86400 * SECOND)

static int with_arena(void **state)
{
    *state = arena_new(1024 * 1024);
    return 0;
}

static int without_arena(void **state)
{
    arena_t *arena = *state;
    arena_destroy(&arena);
    return 0;
}

static int64_t instant(const char *text)
{
    int64_t at_us;
    if (!instant_parse(text, &at_us))
        fail_msg("\"%s\" should be an instant", text);
    return at_us;
}

static int64_t midnight(const char *text)
{
    int year, month, day;
    int64_t at_us;
    assert_true(date_parse(text, &year, &month, &day));
    assert_true(oslo_midnight(year, month, day, &at_us));
    return at_us;
}

static const char *date_text(arena_t *arena, int64_t at_us)
{
    int year, month, day;
    oslo_date(at_us, &year, &month, &day);
    return arena_printf(arena, "%04d-%02d-%02d", year, month, day);
}

static bool works(const char *text, bool banks_too)
{
    int year, month, day;
    assert_true(date_parse(text, &year, &month, &day));
    return oslo_working_day(year, month, day, banks_too);
}

static void a_local_day_begins_at_its_own_midnight(void **state)
{
    static const struct {
        const char *date, *begins;
    } days[] = {
        {"2024-06-15", "2024-06-14T22:00:00Z"},  // the call's deadline: the end of 14 June
        {"2024-02-15", "2024-02-14T23:00:00Z"}, {"2025-01-01", "2024-12-31T23:00:00Z"},
        {"2024-03-31", "2024-03-30T23:00:00Z"},                                          // a day of 23 hours
        {"2024-04-01", "2024-03-31T22:00:00Z"}, {"2024-10-27", "2024-10-26T22:00:00Z"},  // a day of 25 hours
        {"2024-10-28", "2024-10-27T23:00:00Z"}, {"2025-03-30", "2025-03-29T23:00:00Z"},
        {"2025-03-31", "2025-03-30T22:00:00Z"}, {"2025-10-26", "2025-10-25T22:00:00Z"},
        {"2025-10-27", "2025-10-26T23:00:00Z"}, {"1980-04-06", "1980-04-05T23:00:00Z"},
        {"1980-04-07", "1980-04-06T22:00:00Z"}, {"1980-09-29", "1980-09-28T23:00:00Z"},
        {"1995-09-25", "1995-09-24T23:00:00Z"}, {"1979-07-01", "1979-06-30T23:00:00Z"},
        {"9999-07-01", "9999-06-30T22:00:00Z"},
    };
    for (size_t i = 0; i < COUNT(days); i++) {
        assert_string_equal(
            arena_printf(*state, "%s = %lld", days[i].date, (long long)instant(days[i].begins)),
            arena_printf(*state, "%s = %lld", days[i].date, (long long)midnight(days[i].date)));
        assert_string_equal(days[i].date, date_text(*state, instant(days[i].begins)));
        assert_string_not_equal(days[i].date, date_text(*state, instant(days[i].begins) - 1));
    }
    assert_true(midnight("2024-06-15") == 1718402400 * SECOND);
}

static void dates_that_do_not_exist_are_refused(void **state)
{
    (void)state;
    static const int dates[][3] = {{2023, 2, 29}, {1900, 2, 29}, {2100, 2, 29}, {2024, 2, 30}, {2024, 4, 31},
                                   {2024, 0, 1},  {2024, 13, 1}, {2024, 1, 0},  {2024, 1, 32}, {1969, 12, 31},
                                   {10000, 1, 1}, {2024, 1, -1}, {2024, -1, 1}};
    for (size_t i = 0; i < COUNT(dates); i++) {
        int64_t untouched = 7;
        assert_false(oslo_midnight(dates[i][0], dates[i][1], dates[i][2], &untouched));
        assert_true(untouched == 7);
    }
    int64_t leap;
    assert_true(oslo_midnight(2000, 2, 29, &leap) && oslo_midnight(2024, 2, 29, &leap));
}

static void a_date_is_read_strictly(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "",          "2024-6-14",   "2024-06-14 ", " 2024-06-14", "2024/06/14",  "2024-06-31",  "24-06-14",
        "2024-06-1", "2024-06-141", "2024-06-14T", "+024-06-14",  "2024-06-+14", "２024-06-14", "1969-12-31"};
    int year = 1, month = 2, day = 3;
    for (size_t i = 0; i < COUNT(refused); i++)
        if (date_parse(refused[i], &year, &month, &day))
            fail_msg("\"%s\" should not be a date", refused[i]);
    assert_false(date_parse(NULL, &year, &month, &day));
    assert_true(year == 1 && month == 2 && day == 3);
    assert_true(date_parse("2024-06-14", &year, &month, &day));
    assert_true(year == 2024 && month == 6 && day == 14);
}

// Every midnight and noon of 130 years against the system's time zone data, where there is any.
static void every_day_agrees_with_the_time_zone_database(void **state)
{
    (void)state;
    setenv("TZ", "Europe/Oslo", 1);
    tzset();
    struct tm probe = {0};
    time_t summer = 1718402400;
    localtime_r(&summer, &probe);
    if (probe.tm_gmtoff != 7200) {
        print_message("# no time zone database on this machine\n");
        return;
    }
    for (int64_t at = 0; at < INT64_C(4102444800); at += 43200 / 2) {
        time_t seconds = at;
        int year, month, day;
        struct tm local;
        localtime_r(&seconds, &local);
        oslo_date(at * SECOND, &year, &month, &day);
        if (year != local.tm_year + 1900 || month != local.tm_mon + 1 || day != local.tm_mday)
            fail_msg("%lld is not %04d-%02d-%02d", (long long)at, year, month, day);
        struct tm begins = {
            .tm_year = local.tm_year, .tm_mon = local.tm_mon, .tm_mday = local.tm_mday, .tm_isdst = -1};
        int64_t ours;
        assert_true(oslo_midnight(year, month, day, &ours));
        assert_true(ours == mktime(&begins) * SECOND);
    }
}

static void public_holidays_are_no_working_days(void **state)
{
    (void)state;
    static const char *const holidays[] = {
        "2024-01-01", "2024-03-28", "2024-03-29", "2024-03-31", "2024-04-01",
        "2024-05-01", "2024-05-09", "2024-05-17", "2024-05-19", "2024-05-20",
        "2024-12-25", "2024-12-26", "2025-01-01", "2025-04-17", "2025-04-18",
        "2025-04-20", "2025-04-21", "2025-05-01", "2025-05-17", "2025-05-29",
        "2025-06-08", "2025-06-09", "2025-12-25", "2025-12-26", "2007-01-01",
        "2007-05-01", "2007-05-17", "2007-12-25", "2007-12-26", "2007-04-01",
        "2007-04-05", "2007-04-06", "2007-04-08", "2007-04-09", "2007-05-27",
        "2007-05-28", "2007-03-25", "2000-04-24", "2008-03-24", "2011-04-25",
        "2038-04-26", "2285-03-23",  // Easter Monday at its latest and at its earliest
    };
    static const char *const working[] = {"2007-03-26", "2024-03-27", "2024-04-02", "2024-05-02",
                                          "2024-05-10", "2024-05-21", "2024-12-23", "2024-12-27",
                                          "2025-06-10", "2038-04-27"};
    for (size_t i = 0; i < COUNT(holidays); i++)
        if (works(holidays[i], false) || works(holidays[i], true))
            fail_msg("%s should be free", holidays[i]);
    for (size_t i = 0; i < COUNT(working); i++)
        if (!works(working[i], false) || !works(working[i], true))
            fail_msg("%s should be a working day", working[i]);
}

static void banks_are_closed_on_two_more_days(void **state)
{
    (void)state;
    static const char *const days[] = {"2024-12-24", "2024-12-31", "2025-12-24", "2025-12-31"};
    for (size_t i = 0; i < COUNT(days); i++) {
        assert_true(works(days[i], false));
        assert_false(works(days[i], true));
    }
}

static void working_days_are_counted_over_weekends_and_holidays(void **state)
{
    static const struct {
        const char *from;
        int days;
        const char *to;
    } spans[] = {{"2007-03-21", 2, "2007-03-23"},
                 {"2007-02-28", 2, "2007-03-02"},
                 {"2007-03-21", 5, "2007-03-28"},
                 {"2007-05-16", 5, "2007-05-24"}};
    for (size_t i = 0; i < COUNT(spans); i++) {
        const char *day = spans[i].from;
        for (int left = spans[i].days; left > 0; left -= works(day, false))
            day = date_text(*state, midnight(day) + DAY + DAY / 8);
        assert_string_equal(spans[i].to, day);
    }
}

static void a_period_ends_with_its_last_day_or_the_next_working_day(void **state)
{
    static const struct {
        const char *from;
        int days;
        bool banks_too;
        const char *end;
    } periods[] = {
        {"2024-08-20T14:03:00+02:00", 14, false, "2024-09-04T00:00:00+02:00"},  // a letter, and its answer
        {"2024-08-20T00:00:00+02:00", 14, false, "2024-09-04T00:00:00+02:00"},
        {"2024-08-20T23:59:59.999999+02:00", 14, false, "2024-09-04T00:00:00+02:00"},
        {"2024-08-21T00:00:00+02:00", 14, false, "2024-09-05T00:00:00+02:00"},
        {"2024-06-01T12:00:00+02:00", 14, false,
         "2024-06-18T00:00:00+02:00"},  // a Saturday: the Monday after
        {"2024-03-14T12:00:00+01:00", 14, false,
         "2024-04-03T00:00:00+02:00"},  // into Easter, and over the spring change
        {"2024-10-20T12:00:00+02:00", 7, false, "2024-10-29T00:00:00+01:00"},  // over the autumn change
        {"2024-12-17T12:00:00+01:00", 7, false, "2024-12-25T00:00:00+01:00"},
        {"2024-12-17T12:00:00+01:00", 7, true, "2024-12-28T00:00:00+01:00"},
        {"2024-12-17T12:00:00+01:00", 14, true, "2025-01-03T00:00:00+01:00"},  // into another year
    };
    for (size_t i = 0; i < COUNT(periods); i++)
        assert_string_equal(instant_text(*state, instant(periods[i].end)),
                            instant_text(*state, oslo_days_end(instant(periods[i].from), periods[i].days,
                                                               periods[i].banks_too)));
    assert_true(oslo_days_end(instant("2024-08-20T12:03:00Z"), 14, false) == 1725400800 * SECOND);
}

static void an_instant_is_shown_in_the_hour_of_oslo(void **state)
{
    static const struct {
        const char *at, *text;
    } shown[] = {
        {"1718402400", "14. juni 2024 kl. 23.59 (norsk tid, UTC+2)"},  // an exclusive midnight
        {"2024-06-14T21:59:59Z", "14. juni 2024 kl. 23.59 (norsk tid, UTC+2)"},
        {"2024-06-14T22:00:00.000001Z", "15. juni 2024 kl. 00.00 (norsk tid, UTC+2)"},
        {"2024-12-31T23:00:00Z", "31. desember 2024 kl. 23.59 (norsk tid, UTC+1)"},
        {"2024-01-01T08:05:00Z", "1. januar 2024 kl. 09.05 (norsk tid, UTC+1)"},
        {"2024-03-31T00:59:59Z", "31. mars 2024 kl. 01.59 (norsk tid, UTC+1)"},
        {"2024-03-31T01:00:00Z", "31. mars 2024 kl. 03.00 (norsk tid, UTC+2)"},
        {"2024-10-27T00:59:59Z", "27. oktober 2024 kl. 02.59 (norsk tid, UTC+2)"},
        {"2024-10-27T01:00:00Z", "27. oktober 2024 kl. 02.00 (norsk tid, UTC+1)"},
        {"2024-10-27T23:00:00Z", "27. oktober 2024 kl. 23.59 (norsk tid, UTC+1)"},
    };
    for (size_t i = 0; i < COUNT(shown); i++)
        assert_string_equal(shown[i].text, oslo_text(*state, instant(shown[i].at)));
}

static void an_instant_is_read_back_as_it_was_written(void **state)
{
    static const struct {
        const char *text, *utc;
    } read[] = {
        {"0", "1970-01-01T00:00:00.000000Z"},
        {"1718402400", "2024-06-14T22:00:00.000000Z"},
        {"2024-06-14T23:59:59+02:00", "2024-06-14T21:59:59.000000Z"},
        {"2024-06-14T21:59:59.5Z", "2024-06-14T21:59:59.500000Z"},
        {"2024-06-14T21:59:59.999999Z", "2024-06-14T21:59:59.999999Z"},
        {"2024-01-01T00:00:00-03:30", "2024-01-01T03:30:00.000000Z"},
        {"2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z"},
        {"9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000000Z"},
        {"253402300799", "9999-12-31T23:59:59.000000Z"},
    };
    for (size_t i = 0; i < COUNT(read); i++) {
        assert_string_equal(read[i].utc, instant_text(*state, instant(read[i].text)));
        assert_true(instant(read[i].utc) == instant(read[i].text));
    }
    assert_string_equal("1969-12-31T23:59:59.999999Z", instant_text(*state, -1));
}

static void what_is_no_instant_is_refused(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "",
        "-1",
        "253402300800",
        "99999999999999999999999",
        "1718402400 ",
        "1718402400.5",
        "0x10",
        "2024-06-14",
        "2024-06-14T23:59:59",
        "2024-06-14 23:59:59Z",
        "2024-06-14T24:00:00Z",
        "2024-06-14T23:60:00Z",
        "2024-06-14T23:59:60Z",
        "2024-06-14T23:59Z",
        "2024-06-14T23:59:59.Z",
        "2024-06-14T23:59:59.9999995Z",
        "2024-06-14T23:59:59+0200",
        "2024-06-14T23:59:59+02",
        "2024-06-14T23:59:59+15:00",
        "2024-06-14T23:59:59Zx",
        "2024-06-31T00:00:00Z",
        "1970-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2024-06-14T23:59:59z",
    };
    for (size_t i = 0; i < COUNT(refused); i++) {
        int64_t untouched = 7;
        if (instant_parse(refused[i], &untouched))
            fail_msg("\"%s\" should not be an instant", refused[i]);
        assert_true(untouched == 7);
    }
    int64_t untouched;
    assert_false(instant_parse(NULL, &untouched));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_local_day_begins_at_its_own_midnight),
        cmocka_unit_test(dates_that_do_not_exist_are_refused),
        cmocka_unit_test(a_date_is_read_strictly),
        cmocka_unit_test(every_day_agrees_with_the_time_zone_database),
        cmocka_unit_test(public_holidays_are_no_working_days),
        cmocka_unit_test(banks_are_closed_on_two_more_days),
        cmocka_unit_test(working_days_are_counted_over_weekends_and_holidays),
        cmocka_unit_test(a_period_ends_with_its_last_day_or_the_next_working_day),
        cmocka_unit_test(an_instant_is_shown_in_the_hour_of_oslo),
        cmocka_unit_test(an_instant_is_read_back_as_it_was_written),
        cmocka_unit_test(what_is_no_instant_is_refused),
    };
    return cmocka_run_group_tests(tests, with_arena, without_arena);
}
