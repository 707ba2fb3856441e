// register: `tildel register import`: organisations from a file into intake's register, in batches.
#include "console.h"
#include "units.h"

#include "intake_v1.pb-c.h"
#include "limits/limits.h"

#include <stdio.h>
#include <string.h>

#define BATCH_UNITS 500
#define BATCH_BYTES (LIMIT_FRAME_BYTES / 2)  // a batch ends before it, so that envelope and all fit one frame

struct import {
    struct console *console;
    units_t *units;
    arena_t *kept;  // the units of the batch; all else that is read is forgotten at once
    Intake__V1__Organisation *batch[BATCH_UNITS];
    size_t in_batch;
    size_t bytes;
    uint64_t sent;
    uint64_t skipped;  // of other forms
    unsigned batches;
};

static bool is_wanted(const struct console *console, const Intake__V1__Organisation *unit)
{
    size_t index = 0;
    const char *form = option_next(console, "form", &index);

    if (form == NULL)
        return true;
    for (; form != NULL; form = option_next(console, "form", &index))
        if (strcmp(form, unit->form) == 0)
            return true;
    return false;
}

static int send_batch(struct import *import)
{
    struct console *console = import->console;
    Intake__V1__ImportOrganisations command = INTAKE__V1__IMPORT_ORGANISATIONS__INIT;
    const char *step = arena_printf(console->arena, "batch %u", ++import->batches);

    command.n_organisations = import->in_batch;
    command.organisations = import->batch;
    int code = ask_message(console, NULL, command_id(console, step), &command, NULL, NULL);
    if (code == EXIT_DONE)
        import->sent += import->in_batch;
    import->in_batch = 0;
    import->bytes = 0;
    arena_reset(import->kept);
    progress("importing", units_offset(import->units), units_size(import->units));
    return code;
}

static void keep_unit(struct import *import, const Intake__V1__Organisation *unit)
{
    Intake__V1__Organisation *kept = arena_copy(import->kept, unit, sizeof *unit);

    kept->organisation_number = arena_text(import->kept, unit->organisation_number);
    kept->name = arena_text(import->kept, unit->name);
    kept->form = arena_text(import->kept, unit->form);
    kept->municipality_number = arena_text(import->kept, unit->municipality_number);
    kept->language = arena_text(import->kept, unit->language);
    import->batch[import->in_batch++] = kept;
    import->bytes += intake__v1__organisation__get_packed_size(kept);
}

static int import_all(struct import *import)
{
    struct console *console = import->console;
    Intake__V1__Organisation *unit;
    const char *why;
    int code = EXIT_DONE;

    while (code == EXIT_DONE && units_next(import->units, console->arena, &unit, &why)) {
        if (is_wanted(console, unit))
            keep_unit(import, unit);
        else
            import->skipped++;
        if (import->in_batch == BATCH_UNITS || import->bytes > BATCH_BYTES)
            code = send_batch(import);
        arena_reset(console->arena);
    }
    if (code == EXIT_DONE && why != NULL)
        return fault(EXIT_REFUSED, "%s; %llu organisations before it were imported", why,
                     (unsigned long long)import->sent);
    return code == EXIT_DONE && import->in_batch > 0 ? send_batch(import) : code;
}

static int run_import(struct console *console)
{
    struct import import = {.console = console};
    const char *why;

    import.units = units_open(console->ground, console->arguments[0], &why);
    if (import.units == NULL)
        return fault(EXIT_REFUSED, "%s", why);
    import.kept = arena_new(LIMIT_ARENA_BYTES);
    int code = import_all(&import);
    arena_destroy(&import.kept);
    units_close(&import.units);
    progress_end();
    if (code != EXIT_DONE)
        return code;
    if (console->json)
        printf("{\"imported\": %llu, \"skipped\": %llu}\n", (unsigned long long)import.sent,
               (unsigned long long)import.skipped);
    else
        printf("%llu organisations are in the register, %llu of other forms were skipped\n",
               (unsigned long long)import.sent, (unsigned long long)import.skipped);
    return EXIT_DONE;
}

static const struct option_row import_options[] = {
    {"form", "FORM", "only organisations of this form, such as KOMM; may be repeated"},
    {NULL, NULL, NULL},
};

const struct command commands_register[] = {
    {"register import", "FILE", 1, 1, "bring organisations into the register",
     "FILE is Enhetsregisteret's bulk JSON (a list of units, or a page of its API with _embedded.enheter), "
     "or a CSV with the header organisation_number,name,form,municipality_number,language. Known "
     "organisations that are equal change nothing, so a file may be imported again. As CASE_OFFICER or "
     "OPERATOR.",
     import_options, run_import},
    {NULL},
};
