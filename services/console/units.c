// units: the organisations of a file, one after the other: Enhetsregisteret's bulk JSON, or a CSV of our own.
#include "units.h"

#include "limits/limits.h"
#include "values/values.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MUNICIPALITY_FORM "KOMM"
#define FIELDS_MAX        32

// The fields of our CSV, in any order in the file. All but the last two are required.
enum field { NUMBER, NAME, FORM, MUNICIPALITY, LANGUAGE, FIELDS };
static const char *const field_names[FIELDS] = {"organisation_number", "name", "form", "municipality_number",
                                                "language"};

struct units {
    char *path;
    char *text;  // mapped
    size_t size;
    size_t offset;  // where the next unit begins
    size_t start;   // where the present one began
    bool json;
    bool ended;  // JSON: the closing bracket was met
    char field[LIMIT_LINE_BYTES + 1];
    size_t columns;      // CSV: in the header
    int places[FIELDS];  // CSV: in which column; -1 none
};

// The line of an offset: counted only when a fault must be told.
static size_t line_of(const units_t *units, size_t offset)
{
    size_t line = 1;

    for (size_t i = 0; i < offset; i++)
        line += units->text[i] == '\n';
    return line;
}

static const char *complain(const units_t *units, arena_t *arena, const char *what)
{
    return arena_printf(arena, "%s line %zu: %s", units->path, line_of(units, units->start), what);
}

// What a service would refuse anyway, told here with the line. NULL: well.
static const char *check_unit(arena_t *arena, const Intake__V1__Organisation *unit)
{
    if (!organisation_number_valid(unit->organisation_number))
        return arena_printf(arena, "organisation_number '%s' must be 9 digits with a right check digit",
                            unit->organisation_number);
    if (unit->name[0] == '\0')
        return arena_printf(arena, "name of %s must not be empty", unit->organisation_number);
    if (unit->form[0] == '\0')
        return arena_printf(arena, "form of %s must not be empty; KOMM is a municipality",
                            unit->organisation_number);
    if (strcmp(unit->form, MUNICIPALITY_FORM) == 0 && !municipality_number_valid(unit->municipality_number))
        return arena_printf(arena, "municipality_number '%s' of %s must be the 4 digits of a municipality",
                            unit->municipality_number, unit->organisation_number);
    if (strcmp(unit->language, "nb") != 0 && strcmp(unit->language, "nn") != 0 &&
        strcmp(unit->language, "neutral") != 0)
        return arena_printf(arena, "language '%s' of %s must be nb, nn or neutral", unit->language,
                            unit->organisation_number);
    return NULL;
}

// ------------------------------------------------------------------------------------------------------ JSON

static void skip_json_space(units_t *units)
{
    units->offset += strspn(units->text + units->offset, " \t\r\n,");
}

static char *json_text(arena_t *arena, const json_t *unit, const char *object, const char *key)
{
    const json_t *holder = object == NULL ? unit : json_object_get(unit, object);
    const char *text = json_string_value(json_object_get(holder, key));

    return arena_text(arena, text);
}

static char *language_of(arena_t *arena, const json_t *unit)
{
    const char *form = json_text(arena, unit, NULL, "maalform");

    return arena_text(arena, strcmp(form, "Bokmål") == 0    ? "nb"
                             : strcmp(form, "Nynorsk") == 0 ? "nn"
                                                            : "neutral");
}

static void fill_from_json(arena_t *arena, const json_t *unit, Intake__V1__Organisation *ret)
{
    ret->organisation_number = json_text(arena, unit, NULL, "organisasjonsnummer");
    ret->name = json_text(arena, unit, NULL, "navn");
    ret->form = json_text(arena, unit, "organisasjonsform", "kode");
    ret->municipality_number = json_text(arena, unit, "forretningsadresse", "kommunenummer");
    ret->language = language_of(arena, unit);
}

// The next object of the list; NULL at its end, or with *ret_why set.
static json_t *next_object(units_t *units, arena_t *arena, const char **ret_why)
{
    json_error_t error;

    skip_json_space(units);
    units->start = units->offset;
    units->ended = units->ended || units->text[units->offset] == ']';
    if (units->ended)
        return NULL;
    json_t *unit = json_loadb(units->text + units->offset, units->size - units->offset,
                              JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &error);
    if (unit == NULL)
        *ret_why = arena_printf(arena, "%s line %zu is not JSON: %s", units->path,
                                line_of(units, units->offset) + (size_t)error.line - 1, error.text);
    else
        units->offset += (size_t)error.position;
    return unit;
}

static bool next_json(units_t *units, arena_t *arena, Intake__V1__Organisation *ret, const char **ret_why)
{
    json_t *unit = next_object(units, arena, ret_why);

    // Units that have been deleted stay in the register's lists for a while.
    while (unit != NULL && json_object_get(unit, "slettedato") != NULL) {
        json_decref(unit);
        unit = next_object(units, arena, ret_why);
    }
    if (unit == NULL)
        return false;
    fill_from_json(arena, unit, ret);
    json_decref(unit);
    return true;
}

// To the list of units: the whole file, or what the register's API answers: {"_embedded": {"enheter":
// [...]}}.
static const char *open_json(units_t *units, arena_t *arena)
{
    static const struct step path[] = {{"_embedded", 0}, {"enheter", 0}, {NULL, 0}};

    if (units->text[units->offset] == '{') {
        struct source page = {.name = units->path, .text = units->text, .size = units->size};
        const char *why;
        if (!source_parse(arena, &page, &why))
            return why;
        const json_t *list = json_object_get(json_object_get(page.root, "_embedded"), "enheter");
        bool well = json_is_array(list);
        bool empty = json_array_size(list) == 0;
        source_close(&page);
        if (!well)
            return arena_printf(arena,
                                "%s is neither a list of units nor a page of Enhetsregisteret with "
                                "_embedded.enheter",
                                units->path);
        units->ended = empty;
        units->offset = source_find(&page, path, 3);
    } else {
        units->offset++;
    }
    return NULL;
}

// ------------------------------------------------------------------------------------------------------- CSV

// One field (RFC 4180: a quoted one may hold commas and line ends, and "" for a quote); *at moves behind it.
// NULL: well.
static const char *read_field(units_t *units, arena_t *arena, const char **at, char **ret)
{
    const char *end = units->text + units->size;
    size_t length = 0;
    bool quoted = *at < end && **at == '"';

    for (*at += quoted; *at < end && (quoted || strchr(",\r\n", **at) == NULL); (*at)++) {
        if (quoted && **at == '"') {
            quoted = *at + 1 < end && (*at)[1] == '"';
            *at += 1;
            if (!quoted)
                break;
        }
        if (length == sizeof units->field - 1)
            return "a field is too long";
        units->field[length++] = **at;
    }
    if (quoted)
        return "a quotation mark is not closed";
    if (*at < end && strchr(",\r\n", **at) == NULL)
        return "a comma or the end of the line must follow a closing quotation mark";
    units->field[length] = '\0';
    *ret = arena_text(arena, units->field);
    return NULL;
}

// One record. NULL: well.
static const char *read_record(units_t *units, arena_t *arena, char *ret[FIELDS_MAX], size_t *ret_count)
{
    const char *at = units->text + units->offset;
    const char *end = units->text + units->size;
    bool more = true;

    units->start = units->offset;
    for (*ret_count = 0; more; (*ret_count)++) {
        if (*ret_count == FIELDS_MAX)
            return "more than 32 fields";
        const char *why = read_field(units, arena, &at, &ret[*ret_count]);
        if (why != NULL)
            return why;
        more = at < end && *at == ',';
        at += more;
    }
    at += at < end && *at == '\r';
    at += at < end && *at == '\n';
    units->offset = (size_t)(at - units->text);
    return NULL;
}

static const char *open_csv(units_t *units, arena_t *arena)
{
    char *titles[FIELDS_MAX];

    if (units->size >= 3 && memcmp(units->text, "\xEF\xBB\xBF", 3) == 0)
        units->offset = 3;
    const char *why = read_record(units, arena, titles, &units->columns);
    if (why != NULL)
        return complain(units, arena, why);
    for (int field = 0; field < FIELDS; field++) {
        units->places[field] = -1;
        for (size_t i = 0; i < units->columns; i++)
            if (strcmp(titles[i], field_names[field]) == 0)
                units->places[field] = (int)i;
        if (units->places[field] < 0 && field <= FORM)
            return complain(units, arena,
                            "the first line must be a header such as "
                            "organisation_number,name,form,municipality_number,language");
    }
    return NULL;
}

static bool next_csv(units_t *units, arena_t *arena, Intake__V1__Organisation *ret, const char **ret_why)
{
    char *cells[FIELDS_MAX];
    size_t count;

    units->offset += strspn(units->text + units->offset, "\r\n");
    units->start = units->offset;
    if (units->offset == units->size)
        return false;
    const char *why = read_record(units, arena, cells, &count);
    if (why == NULL && count != units->columns)
        why = arena_printf(arena, "has %zu fields, but the header has %zu", count, units->columns);
    if (why != NULL) {
        *ret_why = complain(units, arena, why);
        return false;
    }
    char **const to[FIELDS] = {&ret->organisation_number, &ret->name, &ret->form, &ret->municipality_number,
                               &ret->language};
    for (int field = 0; field < FIELDS; field++)
        if (units->places[field] >= 0)
            *to[field] = cells[units->places[field]];
    if (ret->language[0] == '\0')
        ret->language = arena_text(arena, "neutral");
    return true;
}

// ---------------------------------------------------------------------------------------------------- public

// Map the file, with a NUL behind it: the mapping is private and a page longer than the file.
static const char *map_file(units_t *units, arena_t *arena, const char *path)
{
    struct stat facts;
    int file = open(path, O_RDONLY | O_CLOEXEC);

    if (file < 0)
        return arena_printf(arena, "cannot open %s: %s", path, strerror(errno));
    if (fstat(file, &facts) != 0 || !S_ISREG(facts.st_mode)) {
        close(file);
        return arena_printf(arena, "%s is not a plain file", path);
    }
    units->size = (size_t)facts.st_size;
    // First the room, then the file over its front: so there are zeros behind it also when it fills its last
    // page.
    units->text = mmap(NULL, units->size + 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (units->text != MAP_FAILED && units->size > 0 &&
        mmap(units->text, units->size, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0) == MAP_FAILED) {
        munmap(units->text, units->size + 1);
        units->text = MAP_FAILED;
    }
    close(file);
    return units->text == MAP_FAILED ? arena_printf(arena, "cannot map %s: %s", path, strerror(errno)) : NULL;
}

units_t *units_open(arena_t *arena, const char *path, const char **ret_why)
{
    units_t *units = arena_alloc(arena, sizeof *units);

    units->path = arena_text(arena, path);
    *ret_why = map_file(units, arena, path);
    if (*ret_why != NULL)
        return NULL;
    units->offset = strspn(units->text, " \t\r\n");
    // The byte behind the last one is a zero, so looking there is always safe.
    units->json = units->text[units->offset] == '{' || units->text[units->offset] == '[';
    *ret_why = units->json ? open_json(units, arena) : open_csv(units, arena);
    if (*ret_why != NULL)
        units_close(&units);
    return units;
}

void units_close(units_t **units_p)
{
    munmap((*units_p)->text, (*units_p)->size + 1);
    *units_p = NULL;
}

bool units_next(units_t *units, arena_t *arena, Intake__V1__Organisation **ret, const char **ret_why)
{
    Intake__V1__Organisation *unit = arena_alloc(arena, sizeof *unit);

    intake__v1__organisation__init(unit);
    *ret_why = NULL;
    bool found = units->json ? next_json(units, arena, unit, ret_why) : next_csv(units, arena, unit, ret_why);
    const char *fault = found ? check_unit(arena, unit) : NULL;
    if (fault != NULL)
        *ret_why = complain(units, arena, fault);
    *ret = unit;
    return found && fault == NULL;
}

size_t units_offset(const units_t *units)
{
    return units->offset;
}

size_t units_size(const units_t *units)
{
    return units->size;
}
