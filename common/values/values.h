// values: identifiers, money and Oslo time, checked. Everything here is pure.
#pragma once

#include "arena/arena.h"

#include <stdbool.h>
#include <stdint.h>

// Organisation number: 9 digits, weights 3 2 7 6 5 4 3 2, mod 11 (Brønnøysundregistrene).
bool organisation_number_valid(const char *text);
// Norwegian account number: exactly 11 digits, weights 5 4 3 2 7 6 5 4 3 2, mod 11; 00000000000 is refused.
bool account_number_valid(const char *text);
// KID: 2..25 digits ending in a mod 10 (Luhn) or mod 11 check digit ("-" may stand for 10 in mod 11).
bool kid_valid(const char *text);
// Append the Luhn check digit to 1..24 digits. The result lives in the arena.
char *kid_make(arena_t *arena, const char *digits);
// Municipality number: exactly 4 digits, first two 03..56 (county), not a county's own number ("0300", "1100").
bool municipality_number_valid(const char *text);
// UUID text: 36 characters, lower-case hex and dashes in their places.
#define UUID_SIZE 37  // with the NUL that ends it
bool uuid_valid(const char *text);
// SHA-256 in 64 lower-case hex digits.
bool sha256_text_valid(const char *text);

// A new UUIDv7 (RFC 9562) for this instant; 36 characters in the arena. Rises within one process.
char *uuid_new(arena_t *arena, int64_t real_us);
// The least UUIDv7 of this instant's millisecond: uuid_new makes none before it from then on.
char *uuid_first(arena_t *arena, int64_t real_us);
// A UUID (version 8) made from a name: the same name gives the same id for ever (first 16 bytes of SHA-256).
char *uuid_from(arena_t *arena, const char *name);

// A number in so many bytes (at most 8), big-endian, and back.
void bytes_put(uint8_t *to, uint64_t number, size_t size);
uint64_t bytes_take(const uint8_t *from, size_t size);

// SHA-256 (OpenSSL).
void sha256(const void *bytes, size_t size, uint8_t ret[32]);
// Lower-case hex of size bytes, in the arena.
char *hex(arena_t *arena, const void *bytes, size_t size);
// The same as text of a SHA-256 at once.
char *sha256_text(arena_t *arena, const void *bytes, size_t size);
// The first characters of bytes in base32 (RFC 4648, A-Z2-7), in the arena. At most as many as the bytes give whole.
char *base32(arena_t *arena, const void *bytes, size_t size, size_t characters);

// Money is int64 øre, 0 .. MONEY_MAX. Sums that would leave that range are refused, never wrapped.
#define MONEY_MAX INT64_C(10000000000000)  // 10^13 øre, 100 billion kroner
bool money_valid(int64_t ore);
bool money_whole(int64_t ore);  // whole kroner: applications and awards are
bool money_add(int64_t *sum, int64_t ore);  // false (and sum untouched) when the result is not valid money
char *money_text(arena_t *arena, int64_t ore);  // "7 000 000 kr" or "1 284,25 kr"

// Oslo time. Instants are UTC microseconds; deadlines are exclusive instants.
// Midnight that begins a local date (year 1970..9999). False when the date does not exist.
bool oslo_midnight(int year, int month, int day, int64_t *ret_us);
// The local date of an instant.
void oslo_date(int64_t at_us, int *year, int *month, int *day);
// Parse "YYYY-MM-DD" strictly. False when it is not a date.
bool date_parse(const char *text, int *year, int *month, int *day);
// The exclusive end of a period of calendar days that begins with the day after from_us; when the last day is a
// Saturday, Sunday or Norwegian public holiday (also 24 and 31 December when banks_too) it is the next working day.
int64_t oslo_days_end(int64_t from_us, int days, bool banks_too);
bool oslo_working_day(int year, int month, int day, bool banks_too);
// "14. juni 2024 kl. 23.59" (nb) with the zone; for letters and refusals. An exclusive midnight is shown as the
// minute before it.
char *oslo_text(arena_t *arena, int64_t at_us);
// ISO 8601 UTC with microseconds: "2024-06-14T21:59:59.000000Z".
char *instant_text(arena_t *arena, int64_t at_us);
// Parse an instant: ISO 8601 with zone ("Z" or +02:00), or a plain number of seconds. False when it is neither.
bool instant_parse(const char *text, int64_t *ret_us);
