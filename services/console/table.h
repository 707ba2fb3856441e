// table: rows under each other for people: columns as wide as what stands in them, whatever letters it has.
#pragma once

#include "arena/arena.h"

#include <stdint.h>
#include <stdio.h>

typedef struct table table_t;

struct column {
    const char *title;
    bool right;  // figures stand to the right
};

// A table with these columns (ended by a NULL title), in the arena; columns must outlive it.
table_t *table_new(arena_t *arena, const struct column columns[]);
// One row; as many cells as columns, each copied. Control characters become spaces.
void table_row(table_t *table, const char *const cells[]);
// Titles, rows. Nothing stands after the last column's text.
void table_print(const table_t *table, FILE *file);

// How many places a UTF-8 text takes on a screen: combining marks take none.
size_t text_width(const char *text);

// "7 000 000" or "1 284,25": kroner as in tables, without the unit.
char *amount_text(arena_t *arena, int64_t ore);
// "2024-06-14 23:59:59" in Oslo; "-" for no instant.
char *moment_text(arena_t *arena, int64_t at_us);
