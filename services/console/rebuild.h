// rebuild: services' tables made again from the log, each by its own program and its own apply functions, side
// by side. The console knows nothing of what they do: it starts them, shows how far they are, and keeps what
// came of it.
#pragma once

#include "console.h"

#include <sys/types.h>

#define REBUILD_LINE_BYTES 4096

// One service's program at work.
struct rebuild {
    // What is wanted.
    const char *service;
    const char *schema;  // made by it, or (again) gone on with
    uint64_t until;      // position; 0: nothing is in the log
    bool again;
    // What came of it.
    bool well;
    uint64_t position, events, parked;  // where it stands; events that concerned it in this run
    char why[REBUILD_LINE_BYTES];       // when not well: one sentence
    // While it runs.
    pid_t pid;
    int output;  // its standard output and error; -1 when it has ended
    char line[REBUILD_LINE_BYTES];
    size_t used;
};

// Run them all until each has ended. EXIT_DONE: each is well and stands at its `until`. Otherwise every fault
// has been told, one sentence each. None is left running, also when this process is asked to stop.
int rebuild_all(struct console *console, struct rebuild all[], size_t count);

// Where the program of a service is: beside this one, one folder up as in the build tree, or wherever PATH
// finds it. In the arena.
const char *rebuild_program(arena_t *arena, const char *service);

// Run a service's program with these words (ended by NULL, the first is replaced), give it `input`, and take all
// it writes to standard output, at most *ret_size bytes, into ret; NULL: it is thrown away. False, with a
// sentence, when it cannot be started, ends with another code than 0, or writes more.
bool rebuild_run(struct console *console, const char *service, const char *const words[],
                 const uint8_t *input, size_t size, uint8_t *ret, size_t *ret_size, const char **ret_why);

// --until or --as-of: a position of the log, or an instant between its first and its last event. *ret is the
// position. A fault names the option.
int position_argument(struct console *console, const char *option, const char *text, uint64_t *ret);
