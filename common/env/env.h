// env: settings of a process. The environment is the only place they come from; what is missing is named, and the
// process ends. Only names of the table in env/settings.h can be asked for, so that every setting is documented.
#pragma once

#include "arena/arena.h"
#include "bus/end.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// A setting, or what holds when it is not there or empty.
const char *env_or(const char *name, const char *otherwise);

// A setting that must be there.
const char *env_required(const char *name);

// A database's address: from NAME, or from the file that NAME_FILE names, a secret whose first line it is. NULL, with a
// sentence that names the setting, the file and what to do, when it is missing, empty, unreadable, open to others, or
// an address that db_address_fault refuses. Neither is ever quoted.
const char *env_url_or(arena_t *arena, const char *name, const char **ret_why);

// The same; the process ends with the sentence.
const char *env_url(arena_t *arena, const char *name);

// What is wrong with a file that holds a secret, completing "PATH ..."; NULL when nothing is. It must be a file with
// something in it that neither its group nor others may read or write.
const char *env_secret_fault(arena_t *arena, const char *path);

// Does this process belong to a rehearsal?
bool env_rehearsal(void);
