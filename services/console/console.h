// console: the command `tildel`: one client for operators, for officers in the first releases, and for
// scripts.
//
// It keeps nothing. Each of its commands is a row in a table: what it is called, what it takes, what it says
// about itself, and the function that runs it. Whatever a person reads goes to standard output, every fault
// to standard error as one sentence, and the exit code tells a script which kind of fault it was.
#pragma once

#include "protojson.h"

#include "arena/arena.h"
#include "bus/bus.h"
#include "bus/pages.h"
#include "eventlog_v1.pb-c.h"
#include "message/message.h"
#include "progress/progress.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum exit_code {
    EXIT_DONE = 0,
    EXIT_REFUSED = 1,    // the rules said no, or a fault told in one sentence
    EXIT_USAGE = 2,      // the command line is wrong
    EXIT_SILENCE = 3,    // no answer in time; the outcome is unknown: ask again under the same --id
    EXIT_DIFFERENT = 4,  // differences were found, or verification failed
};

#define ARGUMENTS_MAX 8
#define OPTIONS_MAX   32

struct console;

// An option: --name VALUE, or --name alone when value is NULL.
struct option_row {
    const char *name;
    const char *value;  // what stands for the value in the help
    const char *help;
};

// One of tildel's commands.
struct command {
    const char *name;                  // one or two words, as typed
    const char *arguments;             // as the help shows them
    size_t least, most;                // how many of them
    const char *summary;               // one line
    const char *details;               // what a newcomer must know: paragraphs; examples begin with a space
    const struct option_row *options;  // ended by a NULL name; NULL: only the common ones
    int (*run)(struct console *console);  // returns an exit_code
};

// The rows of each group, ended by a NULL name; groups ended by NULL.
extern const struct command commands_send[];
extern const struct command commands_register[];
extern const struct command commands_call[];
extern const struct command commands_application[];
extern const struct command commands_case[];
extern const struct command commands_money[];
extern const struct command commands_audit[];
extern const struct command commands_log[];
extern const struct command commands_replay[];
extern const struct command commands_status[];
extern const struct command commands_settings[];
extern const struct command commands_incident[];
extern const struct command commands_receipt[];
extern const struct command commands_erase[];
extern const struct command *const command_groups[];
int run_verify(struct console *console);
int run_compare(struct console *console);

// Rebuild every service's tables under the prefix that --state names, up to the log's head, and compare them with the live
// ones: each event has changed the state as it must, and nothing else has. EXIT_DONE: equal, told, and what was rebuilt is
// dropped. EXIT_DIFFERENT: what differs was told, and what was rebuilt is left to be looked at. Or a fault, told.
int verify_state(struct console *console);

int run_verify_package(struct console *console);
int run_verify_folder(struct console *console);
int run_explain(struct console *console);

// One run of tildel.
struct console {
    const struct command *command;
    const char *arguments[ARGUMENTS_MAX];
    size_t n_arguments;
    struct {
        const char *name;
        const char *value;  // "" for a flag
    } options[OPTIONS_MAX];
    size_t n_options;

    arena_t *arena;          // of the command in hand; long ones reset it between pages
    arena_t *ground;         // of the whole run
    arena_t *hand;           // of one event's data: see contract.h; NULL until there is one
    struct message message;  // carries arena, db and reason for common/
    const actor_t *actor;    // who acts
    uint32_t timeout_ms;
    bool json;
    bus_t *bus;              // NULL until console_bus
    protojson_t *contract;   // NULL until console_contract
    const ProtobufCMessageDescriptor **types;  // see contract.h; NULL until one is looked up
    struct incoming answer;  // the last one; lives in arena
};

// ------------------------------------------------------------------------------------------ the command line

// Read the command line. EXIT_DONE with console->command set; else what to exit with, already told; *ret_help
// is true when help was asked for and has been printed.
int usage_parse(struct console *console, int argc, char **argv, bool *ret_help);

// The value of an option; NULL when it was not given. A flag given is "".
const char *option_text(const struct console *console, const char *name);
// The next value of an option that may be repeated; *index starts at 0. NULL: no more.
const char *option_next(const struct console *console, const char *name, size_t *index);

// "case.officer:CASE_OFFICER" or "per:EDITOR:958935420". False, with a sentence, when it is none.
bool actor_parse(arena_t *arena, const char *text, actor_t *ret, const char **ret_why);

// Tell a fault on standard error and return the code, so that `return fault(...)` reads well.
int fault(enum exit_code code, const char *format, ...) __attribute__((format(printf, 2, 3)));

// An instant given by a person on the command line; EXIT_USAGE with a sentence naming the option otherwise.
int instant_argument(const char *name, const char *text, int64_t *ret_us);

// -------------------------------------------------------------------------------------------------- asking

// The connection and the contract, opened at the first use. A fault ends the process with a sentence.
bus_t *console_bus(struct console *console);
protojson_t *console_contract(struct console *console);

// The id of a command: --id itself when step is NULL; for the further commands of one run a step of their
// own, made from --id so that a repeated run repeats the same ids. Without --id a new one. In the arena.
const char *command_id(struct console *console, const char *step);

// Ask service (NULL: the one of the type's package) and wait. EXIT_DONE: console->answer holds it. Anything
// else has been told as a sentence.
int ask_bytes(struct console *console, const char *service, const char *id, const char *type,
              const uint8_t *body, size_t size);
// The same with a message of the contract, and the answer decoded into the arena (type NULL: none is
// expected).
int ask_message(struct console *console, const char *service, const char *id, const void *request,
                const ProtobufCMessageDescriptor *type, void *ret);
// A query: ask_message under an id of its own.
int query(struct console *console, const void *request, const ProtobufCMessageDescriptor *type, void *ret);

// Ask now what ask_message, under this id and with the same words, will be called for later.
void query_ahead(struct console *console, const char *id, const void *request);

// Which service a type is addressed to: the first word of its package; bus.v1 is the broker's.
const char *service_of(arena_t *arena, const char *type);

// The last answer as JSON on standard output, indented; {} when it has no body.
int print_answer(struct console *console);

// The six services that keep a schema each; ended by NULL.
extern const char *const service_names[];

// The log's head, and its entries after a position, at most limit; both in the arena.
int read_head(struct console *console, const Eventlog__V1__Head **ret);
int read_page(struct console *console, uint64_t after, uint32_t limit, const Eventlog__V1__Page **ret);

// Much of the log, page by page: see bus/pages.h. pages_read resets the arena and then holds the page in it; a fault has been
// told.
pages_t *pages_begin(struct console *console, uint64_t after, uint64_t until);
int pages_read(struct console *console, pages_t *pages, const Eventlog__V1__Page **ret);

// Wait until all that `from` has decided is in the log and `to` has heard it; at most timeout_ms. False: it
// has not.
bool wait_heard(struct console *console, const char *from, const char *to, uint32_t timeout_ms);

// Read a file of the command line, parsed; the fault is told. close with source_close.
int source_argument(struct console *console, const char *path, struct source *ret);

// Has the process been asked to stop (SIGINT, SIGTERM)? Once the bus is connected neither ends it by itself, but whatever waits
// for an answer then waits no longer, and says so; commands with something to clean up look here.
bool stop_wanted(const struct console *console);
