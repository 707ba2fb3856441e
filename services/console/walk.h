// walk: the log from one position to another, event by event, for commands that fold it.
#pragma once

#include "contract.h"

// One event. EXIT_DONE: go on; else what the walk ends with, already told. console->arena lives until the page ends.
typedef int visit_f(void *context, struct console *console, const Eventlog__V1__Entry *entry,
                    const Eventlog__V1__Event *event);

// Visit the events after a position, up to and including `to`, a page at a time; what is read lives in
// console->arena, which is reset between pages. what is said in the progress. Also ends, with a sentence, when
// the log has a gap, cannot be read, or the process is asked to stop.
int log_walk(struct console *console, uint64_t after, uint64_t to, const char *what, visit_f *visit,
             void *context);

// Fields of an event's data as JSON (contract_json): text ("" when absent) and 64-bit numbers, which ProtoJSON writes as
// text (0 when absent). A path goes down by dots, into lists by index: "definition.frame_ore", "signatures.0.person". data_find:
// NULL when it leads nowhere.
const json_t *data_find(const json_t *data, const char *path);
const char *data_text(const json_t *data, const char *path);
int64_t data_number(const json_t *data, const char *path);
