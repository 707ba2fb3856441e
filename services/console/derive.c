// derive: documents, rules and the timeline of an auditor's package.
#include "derive.h"

#include "document.h"
#include "explain.h"
#include "table.h"
#include "values/values.h"
#include "walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_ROWS     1000
#define RULE_SETS_MAX 64
#define CELLS         10

struct derive {
    struct console *console;
    struct derived *first, **last;
    FILE *csv, *html;  // the page under way
    char *csv_text, *html_text;
    size_t csv_size, html_size;
    unsigned rows, page;
    struct {
        char *version;
        uint64_t first, last;
    } rule_sets[RULE_SETS_MAX];
    size_t n_rule_sets;
    uint64_t documents;
    bool ended;
};

// ------------------------------------------------------------------------------------------------------- members

// bytes become the member's own.
static void put(derive_t *derive, const char *name, char *bytes, size_t size)
{
    struct derived *one = calloc(1, sizeof *one);

    assert(one != NULL && bytes != NULL);
    one->name = strdup(name);
    one->bytes = bytes;
    one->size = size;
    *derive->last = one;
    derive->last = &one->next;
}

static void put_json(derive_t *derive, const char *name, const json_t *value)
{
    char *text = json_dumps(value, JSON_INDENT(1) | JSON_ENCODE_ANY);

    put(derive, name, text, strlen(text));
}

// Names are of letters, digits and marks that no file system and no shell takes for something else.
static const char *safe(arena_t *arena, const char *text)
{
    char *copy = arena_text(arena, text);

    for (char *c = copy; *c != '\0'; c++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", *c) == NULL)
            *c = '-';
    return copy;
}

// ------------------------------------------------------------------------------------------------------ timeline

static const char *const titles[CELLS] = {"position", "event id", "type", "instant", "when (Oslo)",
                                          "who",      "role",     "case", "what",    "rule set"};

// Write a text up to the next of these marks; where that stands. Most texts have none.
static const char *put_plain(FILE *file, const char *text, const char *marks)
{
    size_t plain = strcspn(text, marks);

    fwrite(text, 1, plain, file);
    return text + plain;
}

// RFC 4180, one line a row. A spreadsheet takes a cell for a formula that begins with one of these; behind an
// apostrophe it is text.
static void csv_cell(FILE *file, const char *text, bool last)
{
    bool formula = text[0] != '\0' && strchr("=+-@\t\r", text[0]) != NULL;
    bool quoted = formula || strpbrk(text, ",\"\n\r\t") != NULL;

    fputs(!quoted ? "" : formula ? "\"'" : "\"", file);
    while (*(text = put_plain(file, text, "\"\n\r\t")) != '\0')
        fputs(*text++ == '"' ? "\"\"" : " ", file);
    fputs(quoted ? "\"" : "", file);
    fputs(last ? "\r\n" : ",", file);
}

static const char *entity(char mark)
{
    switch (mark) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    default:
        return "&#39;";
    }
}

static void html_text(FILE *file, const char *text)
{
    while (*(text = put_plain(file, text, "&<>\"'")) != '\0')
        fputs(entity(*text++), file);
}

static void html_row(FILE *file, const char *tag, const char *const cells[CELLS])
{
    fputs("<tr>", file);
    for (size_t i = 0; i < CELLS; i++) {
        fprintf(file, "<%s>", tag);
        html_text(file, cells[i]);
        fprintf(file, "</%s>", tag);
    }
    fputs("</tr>\n", file);
}

static void begin_page(derive_t *derive)
{
    derive->csv = open_memstream(&derive->csv_text, &derive->csv_size);
    derive->html = open_memstream(&derive->html_text, &derive->html_size);
    assert(derive->csv != NULL && derive->html != NULL);
    derive->page++;
    derive->rows = 0;
    for (size_t i = 0; i < CELLS; i++)
        csv_cell(derive->csv, titles[i], i + 1 == CELLS);
    fputs(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
        "'unsafe-inline'\">\n<title>Timeline</title>\n<style>body{font:14px sans-serif}table{border-collapse:"
        "collapse}td,th{border:1px solid #bbb;padding:3px 6px;text-align:left;vertical-align:top}"
        "th{background:#eee}</style></head><body>\n<h1>Timeline",
        derive->html);
    fprintf(derive->html, ", page %u", derive->page);
    fputs("</h1>\n<p>For reading. What counts are the records of the log; see FORMAT.md.</p>\n<table>\n",
          derive->html);
    html_row(derive->html, "th", titles);
}

static void end_page(derive_t *derive)
{
    arena_t *arena = derive->console->arena;

    if (derive->csv == NULL)
        return;
    fputs("</table></body></html>\n", derive->html);
    fclose(derive->csv);
    fclose(derive->html);
    derive->csv = derive->html = NULL;
    put(derive, arena_printf(arena, "timeline/%04u.csv", derive->page), derive->csv_text, derive->csv_size);
    put(derive, arena_printf(arena, "timeline/%04u.html", derive->page), derive->html_text,
        derive->html_size);
}

static void add_row(derive_t *derive, const Eventlog__V1__Event *event, uint64_t position, const json_t *data)
{
    arena_t *arena = derive->console->arena;
    const actor_t *actor = event->actor;
    const ProtobufCEnumValue *role = actor != NULL ? protobuf_c_enum_descriptor_get_value(
                                                         &bus__v1__actor__role__descriptor, actor->role)
                                                   : NULL;
    const char *what = data != NULL ? explain_sentence(arena, event->type, data) : NULL;
    const char *const cells[CELLS] = {arena_printf(arena, "%llu", (unsigned long long)position),
                                      event->id,
                                      event->type,
                                      instant_text(arena, event->time_us),
                                      moment_text(arena, event->time_us),
                                      actor != NULL ? actor->subject : "",
                                      role != NULL ? role->name : "",
                                      event->subject,
                                      what != NULL ? what : "",
                                      event->rule_set};

    if (derive->csv == NULL)
        begin_page(derive);
    for (size_t i = 0; i < CELLS; i++)
        csv_cell(derive->csv, cells[i], i + 1 == CELLS);
    html_row(derive->html, "td", cells);
    derive->rows++;
}

// ---------------------------------------------------------------------------------------------- documents, rules

static const char rules_type[] = "intake.v1.CallPublished";  // whose definition is the rules in force

static void add_document(derive_t *derive, const Eventlog__V1__Event *event, uint64_t position,
                         const json_t *data)
{
    struct console *console = derive->console;
    arena_t *arena = console->arena;
    struct document document;

    if (strcmp(event->type, rules_type) == 0 && data != NULL)
        put_json(derive,
                 arena_printf(arena, "rules/%012llu-call-%s.json", (unsigned long long)position,
                              safe(arena, event->subject)),
                 json_object_get(data, "definition"));
    if (data == NULL || !document_of(&console->message, event, &document))
        return;
    put_json(derive,
             arena_printf(arena, "documents/%012llu-%s-%s.json", (unsigned long long)position, document.kind,
                          safe(arena, event->subject)),
             json_object_get(data, document.field));
    derive->documents++;
}

static void note_rule_set(derive_t *derive, const char *version, uint64_t position)
{
    size_t i = 0;

    while (i < derive->n_rule_sets && strcmp(derive->rule_sets[i].version, version) != 0)
        i++;
    if (i == RULE_SETS_MAX)
        return;
    if (i == derive->n_rule_sets) {
        derive->n_rule_sets++;
        derive->rule_sets[i].version = strdup(version);
        derive->rule_sets[i].first = position;
    }
    derive->rule_sets[i].last = position;
}

static void put_rule_sets(derive_t *derive)
{
    json_t *list = json_array();

    for (size_t i = 0; i < derive->n_rule_sets; i++)
        json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "rule_set", derive->rule_sets[i].version,
                                              "first", (json_int_t)derive->rule_sets[i].first, "last",
                                              (json_int_t)derive->rule_sets[i].last));
    put_json(derive, "rules/rule_sets.json", list);
    json_decref(list);
}

// -------------------------------------------------------------------------------------------------------- public

derive_t *derive_new(struct console *console)
{
    derive_t *derive = calloc(1, sizeof *derive);

    assert(derive != NULL);
    *derive = (derive_t){.console = console};
    derive->last = &derive->first;
    return derive;
}

void derived_free(struct derived *derived)
{
    free(derived->name);
    free(derived->bytes);
    free(derived);
}

void derive_destroy(derive_t **derive_p)
{
    derive_t *derive = *derive_p;

    if (derive->csv != NULL)
        end_page(derive);
    for (struct derived *one; (one = derive_take(derive)) != NULL;)
        derived_free(one);
    for (size_t i = 0; i < derive->n_rule_sets; i++)
        free(derive->rule_sets[i].version);
    free(derive);
    *derive_p = NULL;
}

bool derive_reads(const char *type)
{
    return explain_says(type) || document_carried(type) || strcmp(type, rules_type) == 0;
}

void derive_event(derive_t *derive, const Eventlog__V1__Event *event, uint64_t position, const json_t *data)
{
    add_document(derive, event, position, data);
    note_rule_set(derive, event->rule_set, position);
    add_row(derive, event, position, data);
}

void derive_part(derive_t *derive, bool last)
{
    if (last || derive->rows >= PAGE_ROWS)
        end_page(derive);
    if (last && !derive->ended)
        put_rule_sets(derive);
    derive->ended = derive->ended || last;
}

struct derived *derive_take(derive_t *derive)
{
    struct derived *one = derive->first;

    if (one == NULL)
        return NULL;
    derive->first = one->next;
    if (derive->first == NULL)
        derive->last = &derive->first;
    return one;
}

uint64_t derive_documents(const derive_t *derive)
{
    return derive->documents;
}
