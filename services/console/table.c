// table: rows under each other for people: columns as wide as what stands in them, whatever letters it has.
#include "table.h"

#include "values/values.h"

#include <string.h>

#define GAP "  "

struct row {
    struct row *next;
    char *cells[];
};

struct table {
    arena_t *arena;
    const struct column *columns;
    size_t n_columns;
    struct row *rows;
    struct row **last;
    size_t widths[];
};

// The character that begins here, and how many bytes it has. Bytes that are not UTF-8 count one by one.
static uint32_t next_character(const unsigned char *text, size_t *ret_size)
{
    size_t size = text[0] < 0x80 ? 1 : (text[0] & 0xE0) == 0xC0 ? 2 : (text[0] & 0xF0) == 0xE0 ? 3 : 4;
    uint32_t character = size == 1 ? text[0] : text[0] & (0x7Fu >> size);

    *ret_size = 1;
    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xC0) != 0x80)
            return text[0];
        character = character << 6 | (text[i] & 0x3F);
    }
    *ret_size = size;
    return character;
}

// Marks that stand on the letter before them, and the ones that only join or direct.
static bool takes_no_place(uint32_t character)
{
    return (character >= 0x0300 && character <= 0x036F) || (character >= 0x200B && character <= 0x200F) ||
           (character >= 0xFE00 && character <= 0xFE0F) || character == 0xFEFF;
}

// What may not reach a terminal: control characters (also the eight-bit ones) and marks that turn the
// direction of text.
static bool is_control(uint32_t character)
{
    return character < 0x20 || (character >= 0x7F && character <= 0x9F) ||
           (character >= 0x202A && character <= 0x202E) || (character >= 0x2066 && character <= 0x2069);
}

static char *clean_copy(arena_t *arena, const char *text)
{
    char *copy = arena_text(arena, text);
    char *to = copy;
    size_t size;

    for (const char *from = copy; *from != '\0'; from += size) {
        uint32_t character = next_character((const unsigned char *)from, &size);
        if (is_control(character)) {
            *to++ = ' ';
        } else {
            memmove(to, from, size);
            to += size;
        }
    }
    *to = '\0';
    return copy;
}

static void print_cell(const table_t *table, size_t column, const char *text, FILE *file)
{
    int missing = (int)(table->widths[column] - text_width(text));
    bool last = column + 1 == table->n_columns;

    if (table->columns[column].right)
        fprintf(file, "%*s%s", missing, "", text);
    else
        fprintf(file, "%s%*s", text, last ? 0 : missing, "");
    fputs(last ? "\n" : GAP, file);
}

// ---------------------------------------------------------------------------------------------------- public

table_t *table_new(arena_t *arena, const struct column columns[])
{
    size_t count = 0;

    while (columns[count].title != NULL)
        count++;
    table_t *table = arena_alloc(arena, sizeof *table + count * sizeof table->widths[0]);
    *table = (table_t){.arena = arena, .columns = columns, .n_columns = count};
    table->last = &table->rows;
    for (size_t i = 0; i < count; i++)
        table->widths[i] = text_width(columns[i].title);
    return table;
}

void table_row(table_t *table, const char *const cells[])
{
    struct row *row = arena_alloc(table->arena, sizeof *row + table->n_columns * sizeof row->cells[0]);

    for (size_t i = 0; i < table->n_columns; i++) {
        row->cells[i] = clean_copy(table->arena, cells[i]);
        size_t width = text_width(row->cells[i]);
        if (width > table->widths[i])
            table->widths[i] = width;
    }
    *table->last = row;
    table->last = &row->next;
}

void table_print(const table_t *table, FILE *file)
{
    for (size_t i = 0; i < table->n_columns; i++)
        print_cell(table, i, table->columns[i].title, file);
    for (const struct row *row = table->rows; row != NULL; row = row->next)
        for (size_t i = 0; i < table->n_columns; i++)
            print_cell(table, i, row->cells[i], file);
}

size_t text_width(const char *text)
{
    size_t width = 0;
    size_t size;

    for (; *text != '\0'; text += size)
        width += !takes_no_place(next_character((const unsigned char *)text, &size));
    return width;
}

char *amount_text(arena_t *arena, int64_t ore)
{
    char *text = money_text(arena, ore);

    *strrchr(text, ' ') = '\0';  // the unit
    return text;
}

char *moment_text(arena_t *arena, int64_t at_us)
{
    const int64_t second_us = 1000000, hour_us = 3600 * second_us;
    int year, month, day;
    int64_t begins_us, ends_us;

    if (at_us <= 0)
        return arena_text(arena, "-");
    oslo_date(at_us, &year, &month, &day);
    oslo_midnight(year, month, day, &begins_us);
    ends_us = begins_us + 30 * hour_us;  // within the next day, however long this one is
    int next_year, next_month, next_day;
    oslo_date(ends_us, &next_year, &next_month, &next_day);
    oslo_midnight(next_year, next_month, next_day, &ends_us);

    int64_t since_us = at_us - begins_us;
    // On the two days that the clocks are changed: 02 becomes 03 in March, 03 becomes 02 in October.
    if (ends_us - begins_us == 23 * hour_us && since_us >= 2 * hour_us)
        since_us += hour_us;
    else if (ends_us - begins_us == 25 * hour_us && since_us >= 3 * hour_us)
        since_us -= hour_us;
    int seconds = (int)(since_us / second_us);
    return arena_printf(arena, "%04d-%02d-%02d %02d:%02d:%02d", year, month, day, seconds / 3600,
                        seconds / 60 % 60, seconds % 60);
}
