// values: Oslo time, without the C library's time zones: those hang on the TZ of the process, are not pure, and read files.
//
// The rule is small. Standard time is UTC+1. Summer time, UTC+2, runs from the last Sunday of March to the last Sunday
// of October, both at 01:00 UTC (EU since 1996); it ended in September from 1980 to 1995, began on 6 April in 1980, and
// there was none from 1970 to 1979. Should the law change, this file and the tests' table of days change with it.
#include "values/values.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define SECOND_US   INT64_C(1000000)
#define HOUR_US     (3600 * SECOND_US)
#define DAY_US      (24 * HOUR_US)
#define YEAR_MIN    1970
#define YEAR_MAX    9999
#define SECONDS_MAX INT64_C(253402300799)  // 9999-12-31T23:59:59Z

struct date {
    int year, month, day;
};

static bool leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int month_days(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && leap(year));
}

static bool date_exists(int year, int month, int day)
{
    return year >= YEAR_MIN && year <= YEAR_MAX && month >= 1 && month <= 12 && day >= 1 &&
           day <= month_days(year, month);
}

static int64_t floor_div(int64_t number, int64_t by)
{
    return number / by - (number % by < 0);
}

// Days since 1970-01-01 of a date in the Gregorian calendar. Years begin in March here, so that the leap day comes last and
// the days before a month are (153 * month + 2) / 5.
static int64_t day_number(int year, int month, int day)
{
    int64_t y = year - (month <= 2);
    int64_t from_march = (month + 9) % 12;
    return 365 * y + floor_div(y, 4) - floor_div(y, 100) + floor_div(y, 400) + (153 * from_march + 2) / 5 +
           day - 1 - 719468;
}

// The reverse. 146097 days are 400 years.
static struct date day_date(int64_t number)
{
    int64_t since = number + 719468;
    int64_t era = floor_div(since, 146097);
    int64_t of_era = since - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t from_march = (5 * of_year + 2) / 153;
    int month = (int)(from_march < 10 ? from_march + 3 : from_march - 9);
    return (struct date){.year = (int)(year + era * 400) + (month <= 2),
                         .month = month,
                         .day = (int)(of_year - (153 * from_march + 2) / 5) + 1};
}

// 0 Sunday .. 6 Saturday. Day 0 was a Thursday.
static int weekday(int64_t number)
{
    return (int)((number % 7 + 11) % 7);
}

static int64_t last_sunday(int year, int month)
{
    int64_t last = day_number(year, month, month_days(year, month));
    return last - weekday(last);
}

// What Oslo is ahead of UTC at this instant.
static int64_t offset_us(int64_t at_us)
{
    int year = day_date(floor_div(at_us, DAY_US)).year;

    if (year < 1980)
        return HOUR_US;
    int64_t begins = year == 1980 ? day_number(1980, 4, 6) : last_sunday(year, 3);
    int64_t ends = last_sunday(year, year < 1996 ? 9 : 10);
    bool summer = at_us >= begins * DAY_US + HOUR_US && at_us < ends * DAY_US + HOUR_US;
    return summer ? 2 * HOUR_US : HOUR_US;
}

// The instant a local day begins. Clocks are never changed at midnight, so either guess of the offset settles it.
static int64_t day_begins_us(int64_t number)
{
    return number * DAY_US - offset_us(number * DAY_US - HOUR_US);
}

static int64_t local_day(int64_t at_us)
{
    return floor_div(at_us + offset_us(at_us), DAY_US);
}

// Easter Sunday by the anonymous Gregorian computus.
static int64_t easter(int year)
{
    int golden = year % 19, century = year / 100, of_century = year % 100;
    int epact = (19 * golden + century - century / 4 - (century - (century + 8) / 25 + 1) / 3 + 15) % 30;
    int sunday = (32 + 2 * (century % 4) + 2 * (of_century / 4) - epact - of_century % 4) % 7;
    int late = (golden + 11 * epact + 22 * sunday) / 451;
    int days = epact + sunday - 7 * late + 114;
    return day_number(year, days / 31, days % 31 + 1);
}

static bool fixed_holiday(struct date date, bool banks_too)
{
    static const struct {
        int month, day;
        bool banks_only;
    } holidays[] = {{1, 1, false},   {5, 1, false},  {5, 17, false}, {12, 25, false},
                    {12, 26, false}, {12, 24, true}, {12, 31, true}};

    for (size_t i = 0; i < sizeof holidays / sizeof holidays[0]; i++)
        if (holidays[i].month == date.month && holidays[i].day == date.day)
            return banks_too || !holidays[i].banks_only;
    return false;
}

static bool easter_holiday(int64_t number, int year)
{
    // Maundy Thursday, Good Friday, Easter Sunday and Monday, Ascension, Whit Sunday and Monday.
    static const int after_easter[] = {-3, -2, 0, 1, 39, 49, 50};

    for (size_t i = 0; i < sizeof after_easter / sizeof after_easter[0]; i++)
        if (number - easter(year) == after_easter[i])
            return true;
    return false;
}

static bool working_day(int64_t number, bool banks_too)
{
    struct date date = day_date(number);
    int of_week = weekday(number);
    return of_week != 0 && of_week != 6 && !fixed_holiday(date, banks_too) &&
           !easter_holiday(number, date.year);
}

bool oslo_midnight(int year, int month, int day, int64_t *ret_us)
{
    if (!date_exists(year, month, day))
        return false;
    *ret_us = day_begins_us(day_number(year, month, day));
    return true;
}

void oslo_date(int64_t at_us, int *year, int *month, int *day)
{
    struct date date = day_date(local_day(at_us));
    *year = date.year;
    *month = date.month;
    *day = date.day;
}

// Read exactly count digits.
static bool read_digits(const char **text, int count, int *ret)
{
    *ret = 0;
    for (int i = 0; i < count; i++, (*text)++) {
        if (!isdigit((unsigned char)**text))
            return false;
        *ret = *ret * 10 + **text - '0';
    }
    return true;
}

static bool read_mark(const char **text, char mark)
{
    return *(*text)++ == mark;
}

static bool read_date(const char **text, struct date *ret)
{
    return read_digits(text, 4, &ret->year) && read_mark(text, '-') && read_digits(text, 2, &ret->month) &&
           read_mark(text, '-') && read_digits(text, 2, &ret->day) &&
           date_exists(ret->year, ret->month, ret->day);
}

bool date_parse(const char *text, int *year, int *month, int *day)
{
    struct date date;

    if (text == NULL || !read_date(&text, &date) || *text != '\0')
        return false;
    *year = date.year;
    *month = date.month;
    *day = date.day;
    return true;
}

int64_t oslo_days_end(int64_t from_us, int days, bool banks_too)
{
    assert(days > 0);
    int64_t last = local_day(from_us) + days;
    while (!working_day(last, banks_too))
        last++;
    return day_begins_us(last + 1);
}

bool oslo_working_day(int year, int month, int day, bool banks_too)
{
    assert(date_exists(year, month, day));
    return working_day(day_number(year, month, day), banks_too);
}

char *oslo_text(arena_t *arena, int64_t at_us)
{
    static const char *const months[] = {"januar", "februar", "mars",      "april",   "mai",      "juni",
                                         "juli",   "august",  "september", "oktober", "november", "desember"};

    // Midnight belongs to two days; as the end of a period it is said as the last minute before it.
    if ((at_us + offset_us(at_us)) % DAY_US == 0)
        at_us--;
    struct date date = day_date(local_day(at_us));
    int64_t minutes = (at_us - day_begins_us(local_day(at_us)));
    // On the days the clocks change, hours since midnight and the clock on the wall differ.
    minutes = (minutes + offset_us(at_us) - offset_us(day_begins_us(local_day(at_us)))) / (60 * SECOND_US);
    return arena_printf(arena, "%d. %s %d kl. %02d.%02d (norsk tid, UTC+%d)", date.day,
                        months[date.month - 1], date.year, (int)(minutes / 60), (int)(minutes % 60),
                        (int)(offset_us(at_us) / HOUR_US));
}

char *instant_text(arena_t *arena, int64_t at_us)
{
    int64_t number = floor_div(at_us, DAY_US);
    struct date date = day_date(number);
    int64_t of_day = at_us - number * DAY_US;
    int seconds = (int)(of_day / SECOND_US);

    return arena_printf(arena, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", date.year, date.month, date.day,
                        seconds / 3600, seconds / 60 % 60, seconds % 60, (int)(of_day % SECOND_US));
}

// Up to six digits after the point. More are refused: rounding could carry an instant over its deadline.
static bool read_fraction(const char **text, int64_t *ret_us)
{
    int64_t unit = SECOND_US;

    *ret_us = 0;
    if (**text != '.')
        return true;
    (*text)++;
    while (isdigit((unsigned char)**text) && unit > 1) {
        unit /= 10;
        *ret_us += (*(*text)++ - '0') * unit;
    }
    return unit < SECOND_US;
}

static bool read_zone(const char **text, int64_t *ret_us)
{
    int hours, minutes;
    char sign = *(*text)++;

    *ret_us = 0;
    if (sign == 'Z')
        return true;
    if ((sign != '+' && sign != '-') || !read_digits(text, 2, &hours) || !read_mark(text, ':') ||
        !read_digits(text, 2, &minutes) || hours > 14 || minutes > 59)
        return false;
    *ret_us = (hours * HOUR_US + minutes * 60 * SECOND_US) * (sign == '+' ? 1 : -1);
    return true;
}

// "hh:mm:ss", with or without a fraction.
static bool read_time(const char **text, int64_t *ret_us)
{
    int hours, minutes, seconds;
    int64_t fraction_us;

    if (!read_digits(text, 2, &hours) || !read_mark(text, ':') || !read_digits(text, 2, &minutes) ||
        !read_mark(text, ':') || !read_digits(text, 2, &seconds) || !read_fraction(text, &fraction_us))
        return false;
    *ret_us = hours * HOUR_US + (minutes * 60 + seconds) * SECOND_US + fraction_us;
    return hours < 24 && minutes < 60 && seconds < 60;
}

static bool parse_seconds(const char *text, int64_t *ret_us)
{
    int64_t seconds = 0;

    for (; isdigit((unsigned char)*text) && seconds <= SECONDS_MAX; text++)
        seconds = seconds * 10 + *text - '0';
    if (*text != '\0' || seconds > SECONDS_MAX)
        return false;
    *ret_us = seconds * SECOND_US;
    return true;
}

bool instant_parse(const char *text, int64_t *ret_us)
{
    struct date date;
    int64_t time_us, zone_us;

    if (text == NULL || *text == '\0')
        return false;
    if (strchr(text, '-') == NULL)
        return parse_seconds(text, ret_us);
    if (!read_date(&text, &date) || !read_mark(&text, 'T') || !read_time(&text, &time_us) ||
        !read_zone(&text, &zone_us) || *text != '\0')
        return false;
    int64_t at_us = day_number(date.year, date.month, date.day) * DAY_US + time_us - zone_us;
    if (at_us < 0 || at_us / SECOND_US > SECONDS_MAX)
        return false;
    *ret_us = at_us;
    return true;
}
