// asof: what a service would have answered at an earlier position of the log.
//
// The tables the query reads are rebuilt up to there, in a schema that only this run knows, by the service's own
// program, which then answers from them with the very function that answers live. The schema is dropped whatever
// happens; one that a killed run left behind is dropped by the next.
#pragma once

#include "console.h"

// Where an answer comes from.
struct as_of {
    bool asked;  // false: it is the live answer, and nothing below is set
    uint64_t position, head;
    int64_t stored_at_us;  // when the log stored the event at this position
    const char *rule_set;  // that decided that event
};

// The option row for commands that know --as-of.
#define AS_OF_OPTION                                                                                         \
    {                                                                                                        \
        "as-of", "INSTANT|POSITION", "as it was then, from state replayed up to there"                       \
    }

#define AS_OF_DETAILS                                                                                        \
    "With --as-of it is answered from state that is rebuilt from the log up to there, in a schema that is "  \
    "dropped afterwards, and tells the position and the rule set it stands on. Needs MIGRATE_URL, the "      \
    "owner's database."

// A query, live, or with --as-of from the past. Like query().
int query_as_of(struct console *console, const void *request, const ProtobufCMessageDescriptor *type,
                void *ret, struct as_of *ret_as_of);

// The last answer as JSON with its origin under "as_of"; the origin as a line for people. Nothing is added to a
// live answer.
int print_answer_as_of(struct console *console, const struct as_of *as_of);
void print_as_of(struct console *console, const struct as_of *as_of);
