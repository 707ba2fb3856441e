// tools: the schema PREFIX_tools, in which replay notes what it has rebuilt, and from which compare works.
#pragma once

#include "console.h"

#include "db/db.h"

// The prefix of rebuilt schemas: 1..30 of [a-z0-9_], beginning with a letter. EXIT_USAGE with a sentence
// otherwise.
int tools_prefix(struct console *console, const char *option, const char **ret);

// Has anything been rebuilt under this prefix? EXIT_DONE, or EXIT_REFUSED with a sentence.
int tools_exist(struct console *console, const char *prefix);

// Make the schema where it is missing and connect to it as the owner; console->message speaks to it from then
// on.
int tools_open(struct console *console, const char *prefix);
void tools_close(struct console *console);

// Connect as the owner for schemas that live only as long as this run; close it likewise. Only the statements
// scratch_* may be used.
int tools_scratch(struct console *console);

// Drop a schema whose name is of [a-z0-9_], over a connection of its own; one that is not there is no fault.
int tools_drop(struct console *console, const char *schema);

// The schema that a service's tables are rebuilt in.
char *tools_schema(arena_t *arena, const char *prefix, const char *service);

// Tell why the database failed.
int tools_fault(const struct console *console);
