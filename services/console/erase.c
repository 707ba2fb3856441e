// erase: the personal text of a case is destroyed in every service.
//
// The order is written to the ledger of erasures first, and only then given. The ledger lies outside the database and
// its backups: a database that is put back from one made before the order has the text again, and applying the ledger
// (deploy/restore does) destroys it again. It is a file of one JSON object a line, its owner's alone:
//   {"case_id": ..., "ground": ..., "law": ..., "by": ..., "ordered_at_us": ...}
#include "console.h"
#include "source.h"
#include "table.h"

#include "clock/clock.h"
#include "env/env.h"
#include "service_v1.pb-c.h"
#include "values/text.h"
#include "values/values.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUND_BYTES 500
#define LAW_BYTES    500

struct order {
    const char *case_id;
    const char *ground;
    const char *law;
    const char *by;  // subject
    int64_t at_us;
};

// ------------------------------------------------------------------------------------------------- the ledger

// What no service would take must not get into the ledger: every restore would stumble over it.
static bool order_valid(arena_t *arena, const struct order *order, const char **ret_why)
{
    const char *texts[] = {order->ground, order->law, order->by};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (!text_valid(texts[i], strlen(texts[i]))) {
            *ret_why = "ground, law and who orders must be UTF-8 text";
            return false;
        }
    *ret_why = NULL;
    if (!uuid_valid(order->case_id))
        *ret_why = arena_printf(arena,
                                "the case is \"%.80s\"; it must be an application's id, a UUID in lower case",
                                order->case_id);
    else if (*order->ground == '\0' || strlen(order->ground) > GROUND_BYTES)
        *ret_why = arena_printf(arena, "the ground must say in 1 to %d bytes why the text is erased",
                                GROUND_BYTES);
    else if (strlen(order->law) > LAW_BYTES)
        *ret_why = arena_printf(arena, "the law must have at most %d bytes", LAW_BYTES);
    else if (*order->by == '\0')
        *ret_why = "it does not say who ordered it";
    return *ret_why == NULL;
}

static char *order_line(arena_t *arena, const struct order *order)
{
    json_t *line = json_pack("{s:s, s:s, s:s, s:s, s:I}", "case_id", order->case_id, "ground", order->ground,
                             "law", order->law, "by", order->by, "ordered_at_us", (json_int_t)order->at_us);
    char *dumped = json_dumps(line, JSON_COMPACT);
    char *text = arena_printf(arena, "%s\n", dumped);

    free(dumped);
    json_decref(line);
    return text;
}

static bool order_parse(arena_t *arena, const char *text, size_t size, struct order *ret,
                        const char **ret_why)
{
    json_t *line = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    const char *case_id, *ground, *law, *by;
    json_int_t at_us;

    *ret_why = "it is no order: {\"case_id\", \"ground\", \"law\", \"by\", \"ordered_at_us\"}";
    bool well = line != NULL &&
                json_unpack(line, "{s:s, s:s, s:s, s:s, s:I !}", "case_id", &case_id, "ground", &ground,
                            "law", &law, "by", &by, "ordered_at_us", &at_us) == 0;
    if (well) {
        *ret = (struct order){.case_id = arena_text(arena, case_id),
                              .ground = arena_text(arena, ground),
                              .law = arena_text(arena, law),
                              .by = arena_text(arena, by),
                              .at_us = at_us};
        well = order_valid(arena, ret, ret_why);
    }
    json_decref(line);
    return well;
}

// A file of its owner's alone, which nobody else is writing now; NULL, or why not.
static const char *ledger_hold(int file, struct stat *ret)
{
    if (fstat(file, ret) != 0)
        return strerror(errno);
    if (!S_ISREG(ret->st_mode))
        return "it is no file";
    if ((ret->st_mode & 077) != 0)
        return "others than its owner may use it; its mode must be 0600";
    return flock(file, LOCK_EX) != 0 || fstat(file, ret) != 0 ? strerror(errno) : NULL;
}

// On the disk, as a line of its own, or not at all.
static const char *ledger_write(int file, const struct stat *before, const char *line)
{
    char last = '\n';

    if (before->st_size > 0 && pread(file, &last, 1, before->st_size - 1) != 1)
        return strerror(errno);
    bool well = (last == '\n' || write(file, "\n", 1) == 1) &&
                write(file, line, strlen(line)) == (ssize_t)strlen(line) && fsync(file) == 0;
    if (well)
        return NULL;
    const char *why = errno != 0 ? strerror(errno) : "the disk is full";
    return ftruncate(file, before->st_size) == 0
               ? why
               : "a part of the order was written and can not be taken back";
}

// A file that was just made is there after a crash only when its folder has been written too.
static const char *folder_sync(arena_t *arena, const char *path)
{
    int folder = open(dirname(arena_text(arena, path)), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *why = folder >= 0 && fsync(folder) == 0 ? NULL : strerror(errno);

    if (folder >= 0)
        close(folder);
    return why;
}

static int ledger_add(struct console *console, const char *path, const struct order *order)
{
    struct stat before;
    int file = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    const char *why = file < 0 ? strerror(errno) : ledger_hold(file, &before);

    errno = 0;
    if (why == NULL)
        why = ledger_write(file, &before, order_line(console->arena, order));
    if (why == NULL)
        why = folder_sync(console->arena, path);
    if (file >= 0)
        close(file);
    if (why != NULL)
        return fault(EXIT_REFUSED, "nothing is erased: the order can not be written to the ledger %s: %s",
                     path, why);
    return EXIT_DONE;
}

// ------------------------------------------------------------------------------------------------------ orders

// Does anyone hold personal text of the case, or know that it was erased? A mistyped id must not get into ledger and log.
static int check_known(struct console *console, const char *case_id)
{
    Service__V1__GetErasure request = SERVICE__V1__GET_ERASURE__INIT;
    Service__V1__Erasure *erasure;
    bool known = false;

    request.case_id = (char *)case_id;
    for (size_t i = 0; service_names[i] != NULL; i++) {
        int code = ask_message(console, service_names[i], uuid_new(console->arena, clock_real_us()), &request,
                               &service__v1__erasure__descriptor, &erasure);
        if (code != EXIT_DONE)
            return code;
        known = known || erasure->texts > 0 || erasure->erased_at_us != 0;
    }
    return known ? EXIT_DONE : fault(EXIT_REFUSED, "no service holds personal text of case %s", case_id);
}

static int erase_in(struct console *console, const char *service, const struct order *order, table_t *table,
                    json_t *told)
{
    Service__V1__Erase command = SERVICE__V1__ERASE__INIT;
    Service__V1__Erased *erased;
    arena_t *arena = console->arena;

    command.case_id = (char *)order->case_id;
    command.ground = (char *)order->ground;
    command.law = (char *)order->law;
    // Always a new id: what was answered before a backup was put back says nothing about what is there now.
    int code = ask_message(console, service, uuid_new(arena, clock_real_us()), &command,
                           &service__v1__erased__descriptor, &erased);
    if (code != EXIT_DONE)
        return code;
    table_row(table,
              (const char *[]){order->case_id, service, arena_printf(arena, "%u", erased->texts),
                               erased->key ? "destroyed" : "none", moment_text(arena, erased->erased_at_us)});
    json_object_set_new(told, service,
                        json_pack("{s:i, s:b, s:I}", "texts", (int)erased->texts, "key", erased->key,
                                  "erased_at_us", (json_int_t)erased->erased_at_us));
    return EXIT_DONE;
}

// In every service, whichever of them fails: the first fault is the run's.
static int carry_out(struct console *console, const struct order *order, table_t *table, json_t *told)
{
    json_t *services = json_object();
    int code = EXIT_DONE;

    for (size_t i = 0; service_names[i] != NULL; i++) {
        int one = erase_in(console, service_names[i], order, table, services);
        code = code == EXIT_DONE ? one : code;
    }
    json_object_set_new(told, order->case_id, services);
    return code;
}

static table_t *new_table(arena_t *arena)
{
    static const struct column columns[] = {{"case", false}, {"service", false}, {"texts", true},
                                            {"key", false},  {"erased", false},  {NULL, false}};

    return table_new(arena, columns);
}

static void print_told(const struct console *console, const table_t *table, const json_t *told)
{
    if (!console->json) {
        table_print(table, stdout);
        return;
    }
    json_dumpf(told, stdout, JSON_INDENT(1));
    putchar('\n');
}

static int erase_case(struct console *console)
{
    const char *path = env_or("ERASURE_LEDGER", NULL), *law = option_text(console, "law"), *why;
    struct order order = {.case_id = console->arguments[0],
                          .ground = option_text(console, "ground"),
                          .law = law != NULL ? law : "",
                          .by = console->actor->subject,
                          .at_us = clock_real_us()};

    if (path == NULL)
        return fault(EXIT_REFUSED,
                     "ERASURE_LEDGER is not set: in which file, outside the database's backups, are "
                     "erasures written down?");
    if (console->actor->role != BUS__V1__ACTOR__ROLE__UNIT_HEAD)
        return fault(EXIT_REFUSED, "personal text is erased by a unit head: say --as SUBJECT:UNIT_HEAD");
    if (!order_valid(console->arena, &order, &why))
        return fault(EXIT_USAGE, "%s", why);
    int code = check_known(console, order.case_id);
    if (code == EXIT_DONE)
        code = ledger_add(console, path, &order);
    if (code != EXIT_DONE)
        return code;

    table_t *table = new_table(console->arena);
    json_t *told = json_object();
    code = carry_out(console, &order, table, told);
    print_told(console, table, told);
    json_decref(told);
    if (code != EXIT_DONE)
        fault(code,
              "the order stands in the ledger and is not carried out everywhere; do it again with: tildel "
              "erase "
              "--ledger %s",
              path);
    return code;
}

// --------------------------------------------------------------------------------------------- a ledger again

// An order is given again by who gave it, unless --as says another.
static int apply_line(struct console *console, const char *path, size_t number, const char *text, size_t size,
                      table_t *table, json_t *told)
{
    const actor_t *actor = console->actor;
    actor_t unit_head = BUS__V1__ACTOR__INIT;
    struct order order;
    const char *why;

    if (!order_parse(console->ground, text, size, &order, &why))
        return fault(EXIT_REFUSED, "%s line %zu is not applied: %s", path, number, why);
    unit_head.subject = (char *)order.by;
    unit_head.role = BUS__V1__ACTOR__ROLE__UNIT_HEAD;
    if (option_text(console, "as") == NULL)
        console->actor = &unit_head;
    int code = carry_out(console, &order, table, told);
    console->actor = actor;
    return code;
}

static int apply_ledger(struct console *console, const char *path)
{
    struct source source = {NULL};
    table_t *table = new_table(console->ground);
    json_t *told = json_object();
    size_t number = 0, orders = 0;
    int code = EXIT_DONE;
    const char *why;

    if (!source_read(console->ground, path, &source, &why))
        code = fault(EXIT_REFUSED, "%s", why);
    for (const char *line = source.text; code != EXIT_SILENCE && line != NULL && *line != '\0';) {
        size_t size = strcspn(line, "\n");
        number++;
        int one = size == 0 ? EXIT_DONE : apply_line(console, path, number, line, size, table, told);
        orders += size > 0;
        code = code == EXIT_DONE ? one : code;
        line += size + (line[size] == '\n');
        arena_reset(console->arena);
    }
    print_told(console, table, told);
    json_decref(told);
    if (code == EXIT_DONE && !console->json)
        printf("\n%zu orders of %s are carried out\n", orders, path);
    return code;
}

static int run_erase(struct console *console)
{
    const char *path = option_text(console, "ledger"), *ground = option_text(console, "ground");

    if (path != NULL && (console->n_arguments > 0 || ground != NULL || option_text(console, "law") != NULL))
        return fault(EXIT_USAGE,
                     "--ledger applies the orders of a file: it takes no CASE, --ground or --law");
    if (path != NULL)
        return apply_ledger(console, path);
    if (console->n_arguments == 0 || ground == NULL)
        return fault(EXIT_USAGE, "'erase' needs a CASE and --ground: why; or --ledger FILE");
    return erase_case(console);
}

static const struct option_row erase_options[] = {
    {"ground", "TEXT", "why; stands in the log for ever, so nothing about a person"},
    {"law", "TEXT", "the provision that demands it, such as \"GDPR art. 17 (1) (b)\""},
    {"ledger", "FILE", "carry out again every order of a ledger"},
    {NULL, NULL, NULL},
};

const struct command commands_erase[] = {
    {"erase", "[CASE]", 0, 1, "destroy the personal text of a case, in every service, for good",
     "The order is written to the ledger ERASURE_LEDGER first, and is not given when that fails. Each "
     "service then "
     "destroys the key of the case and the texts under it, as an event; what the log and the tables hold "
     "stays and "
     "no longer tells anything about a person, so the log verifies and replay makes the same tables. No more "
     "personal "
     "text is taken for the case. As UNIT_HEAD.\n"
     "A database put back from a backup has the texts again: --ledger destroys them again. deploy/restore "
     "does that. It "
     "changes nothing that is erased already, and gives each order as who gave it, unless --as is said.\n"
     "What stays in backups, in archived write-ahead log and in pages that PostgreSQL has not yet used "
     "again, this does "
     "not reach: see deploy/README.md.",
     erase_options, run_erase},
    {NULL},
};
