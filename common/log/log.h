// log: one JSON object a line on stderr, for people and machines alike.
#pragma once

#include <stdint.h>

// Say which process this is; stands in every line. Call once, first thing in main.
void log_start(const char *service);

// The levels: info for what an operator wants to see, warn for what heals by itself, alarm for what needs a person.
// Fields are pairs "name", "value", ended by NULL: log_info("log is caught up", "position", "17", NULL);
void log_info(const char *what, ...) __attribute__((sentinel));
void log_warn(const char *what, ...) __attribute__((sentinel));
void log_alarm(const char *what, ...) __attribute__((sentinel));

// Text of a number for a field; good until the eighth next call.
const char *log_number(int64_t number);
