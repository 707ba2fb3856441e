// settings: every setting there is, in one table: what the processes read from their environment, and what
// docker-compose and deploy/ read from .env. embed_settings.py makes it from deploy/settings, which is the one source, at
// build time. --help of each process, `tildel settings` and the table in README.md are made from it, and a setting that
// is not in it cannot be read (see env.h).
#pragma once

#include <stdbool.h>
#include <stdio.h>

struct setting {
    const char *name;
    const char *who;        // words of setting_readers, with a space between
    const char *otherwise;  // what holds when it is not set; "" nothing; NULL it must be set
    const char *means;
    const char *example;  // "" where none helps
};

extern const struct setting settings[];  // ended by a NULL name

// Who reads settings: broker, eventlog, services (the six) ...; deploy/settings says what each word means. Ended by NULL.
extern const char *const setting_readers[];

// The row of a name; NULL when there is none.
const struct setting *setting_find(const char *name);

// Is this setting for that process?
bool setting_is_for(const struct setting *setting, const char *who);

// For --help: the settings of one kind of process, a paragraph of text.
void settings_help(FILE *to, const char *who);

// All of them, as a table in Markdown, with its head.
void settings_markdown(FILE *to);
