// walk: the log, event by event.
#include "walk.h"

#include <stdlib.h>
#include <string.h>

static int visit_page(struct console *console, const Eventlog__V1__Page *page, uint64_t *after, uint64_t to,
                      visit_f *visit, void *context)
{
    int code = EXIT_DONE;

    for (size_t i = 0; code == EXIT_DONE && i < page->n_entries && *after < to; i++) {
        const Eventlog__V1__Entry *entry = page->entries[i];
        const Eventlog__V1__Event *event;
        console->message.reason = NULL;
        if (entry->position != *after + 1)
            return fault(EXIT_DIFFERENT, "position %llu: missing; position %llu came instead",
                         (unsigned long long)*after + 1, (unsigned long long)entry->position);
        if (message_decode(&console->message, &eventlog__v1__event__descriptor, entry->event.data,
                           entry->event.len, &event) != OK)
            return fault(EXIT_DIFFERENT, "position %llu: %s", (unsigned long long)entry->position,
                         console->message.reason);
        code = visit(context, console, entry, event);
        *after = entry->position;
    }
    return code;
}

int log_walk(struct console *console, uint64_t after, uint64_t to, const char *what, visit_f *visit,
             void *context)
{
    pages_t *pages = pages_begin(console, after, to);
    const Eventlog__V1__Page *page;
    int code = EXIT_DONE;

    while (code == EXIT_DONE && after < to) {
        code = pages_read(console, pages, &page);
        if (code == EXIT_DONE && page->n_entries == 0)
            code = fault(EXIT_DIFFERENT, "position %llu: missing; the log ends before the head it tells",
                         (unsigned long long)after + 1);
        if (code == EXIT_DONE)
            code = visit_page(console, page, &after, to, visit, context);
        progress(what, after, to);
        if (code == EXIT_DONE && stop_wanted(console))
            code = fault(EXIT_REFUSED, "stopped at position %llu", (unsigned long long)after);
    }
    progress_end();
    pages_destroy(&pages);
    return code;
}

const json_t *data_find(const json_t *data, const char *path)
{
    char name[64];

    for (;;) {
        size_t length = strcspn(path, ".");
        if (length >= sizeof name)
            return NULL;
        memcpy(name, path, length);
        name[length] = '\0';
        data = json_is_array(data) ? json_array_get(data, strtoul(name, NULL, 10))
                                   : json_object_get(data, name);
        if (data == NULL || path[length] == '\0')
            return data;
        path += length + 1;
    }
}

const char *data_text(const json_t *data, const char *path)
{
    const char *text = json_string_value(data_find(data, path));

    return text != NULL ? text : "";
}

int64_t data_number(const json_t *data, const char *path)
{
    const json_t *value = data_find(data, path);

    return json_is_integer(value)  ? (int64_t)json_integer_value(value)
           : json_is_string(value) ? strtoll(json_string_value(value), NULL, 10)
                                   : 0;
}
