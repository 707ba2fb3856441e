// tildel: one client for operators, officers and scripts. Where it starts: the groups of commands, and one
// run.
#include "console.h"

#include "limits/limits.h"
#include "log/log.h"

#include <stdio.h>

// Everything that one run may keep; a descriptor set and a page of the log need little of it.
#define GROUND_BYTES LIMIT_ARENA_BYTES

const struct command *const command_groups[] = {
    commands_send,     commands_register, commands_call,    commands_application, commands_case,
    commands_money,    commands_audit,    commands_log,     commands_replay,      commands_status,
    commands_settings, commands_incident, commands_receipt, commands_erase,       NULL,
};

int main(int argc, char **argv)
{
    struct console console = {.arena = arena_new(LIMIT_ARENA_BYTES), .ground = arena_new(GROUND_BYTES)};
    bool help;

    log_start("tildel");
    console.message = message_new(console.arena);
    int code = usage_parse(&console, argc, argv, &help);
    if (code == EXIT_DONE && !help)
        code = console.command->run(&console);
    progress_end();
    if (fflush(stdout) != 0 && code == EXIT_DONE)
        code = fault(EXIT_REFUSED, "standard output cannot be written");

    if (console.contract != NULL)
        protojson_close(&console.contract);
    if (console.bus != NULL)
        bus_destroy(&console.bus);
    arena_destroy(&console.arena);
    arena_destroy(&console.ground);
    arena_destroy(&console.hand);
    return code;
}
