// compare: live tables beside rebuilt ones: what differs, row by row, and which events are behind it.
#pragma once

#include "tools.h"

struct comparison;

// Begin; what is found is gathered. Lives in console->arena; console->message speaks to PREFIX_tools. Destroy it
// before the arena is reset.
struct comparison *comparison_new(struct console *console, const char *prefix);
void comparison_destroy(struct comparison **at_p);

// Compare one service, at a moment of its own, with tables that were rebuilt up to this position. EXIT_DONE with
// *ret_why NULL: it was compared; with a sentence: its live tables do not stand there now. Otherwise the fault has
// been told.
int comparison_service(struct comparison *at, const char *service, uint64_t position, const char **ret_why);

// Tables that differ so far.
uint64_t comparison_different(const struct comparison *at);

// Print what was found. EXIT_DONE: all equal; EXIT_DIFFERENT: not.
int comparison_tell(struct comparison *at);

// The same as JSON, which the caller drops; and the sentence of what differs: EXIT_DIFFERENT.
json_t *comparison_json(const struct comparison *at);
int comparison_fault(const struct comparison *at);
