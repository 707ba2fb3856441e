// settings: every setting there is, in one table: what the processes read from their environment, and what
// docker-compose and deploy/ put into files. --help of each process, `tildel settings` and the table in README.md are
// made from it, and a setting that is not in it cannot be read (see env.h).
#pragma once

#include <stdbool.h>
#include <stdio.h>

struct setting {
    const char *name;
    const char *who;        // words: broker eventlog services (the six) connector console postgres compose
    const char *otherwise;  // what holds when it is not set; "" nothing; NULL it must be set
    const char *means;
    const char *example;  // "" where none helps
};

extern const struct setting settings[];  // ended by a NULL name

// The row of a name; NULL when there is none.
const struct setting *setting_find(const char *name);

// Is this setting for that process?
bool setting_is_for(const struct setting *setting, const char *who);

// For --help: the settings of one kind of process, a paragraph of text.
void settings_help(FILE *to, const char *who);

// All of them, as a table in Markdown, with its head.
void settings_markdown(FILE *to);
