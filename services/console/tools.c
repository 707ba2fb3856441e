// tools: the schema PREFIX_tools, in which replay notes what it has rebuilt, and from which compare works.
#include "tools.h"

#include "console_replay.sql.h"
#include "env/env.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX_BYTES 30

int tools_prefix(struct console *console, const char *option, const char **ret)
{
    const char *prefix = option_text(console, option);

    if (prefix == NULL)
        return fault(EXIT_USAGE, "'%s' needs --%s PREFIX", console->command->name, option);
    size_t length = strlen(prefix);
    if (length < 1 || length > PREFIX_BYTES || prefix[0] < 'a' || prefix[0] > 'z' ||
        strspn(prefix, "abcdefghijklmnopqrstuvwxyz0123456789_") != length)
        return fault(EXIT_USAGE, "--%s must be 1..%d of a-z, 0-9 and _, beginning with a letter, not '%s'",
                     option, PREFIX_BYTES, prefix);
    *ret = prefix;
    return EXIT_DONE;
}

// Connect as the owner. The statements need the schema's own functions, save the one that asks whether it is
// there.
static int connect_to(struct console *console, const char *schema, const struct sql *const *const *statements)
{
    const char *why = NULL;
    struct db_config config = {.url = env_url_or(console->ground, "MIGRATE_URL", &why),
                               .schema = schema,
                               .statements = statements,
                               .application_name = "tildel"};

    if (config.url == NULL)
        return fault(EXIT_REFUSED, "'%s' needs the owner's database: %s", console->command->name, why);
    console->message.db = db_new(&config);
    if (statements == NULL || db_connect(&console->message) == OK)
        return EXIT_DONE;
    int code = tools_fault(console);
    tools_close(console);
    return code;
}

int tools_exist(struct console *console, const char *prefix)
{
    static const struct sql *const asked[] = {&sql_find_schema, NULL};
    static const struct sql *const *const statements[] = {asked, NULL};
    struct message *message = &console->message;
    struct rows rows;

    int code = connect_to(console, "pg_catalog", statements);
    if (code != EXIT_DONE)
        return code;
    status_t status = db_begin(message);
    if (status == OK)
        status = RUN(message, find_schema, &rows, TEXT(tools_schema(console->arena, prefix, "tools")));
    db_rollback(message);
    if (status != OK)
        code = tools_fault(console);
    else if (rows.count == 0)
        code = fault(EXIT_REFUSED, "nothing has been rebuilt under the prefix %s: tildel replay --into %s",
                     prefix, prefix);
    tools_close(console);
    return code;
}

int tools_open(struct console *console, const char *prefix)
{
    static const struct sql *const *const statements[] = {sql_console_all, NULL};
    static const struct migration *const steps[] = {migrations_console, NULL};
    const char *schema = tools_schema(console->ground, prefix, "tools");

    int code = connect_to(console, schema, NULL);
    if (code != EXIT_DONE)
        return code;
    status_t status = db_migrate(&console->message, NULL, steps);
    tools_close(console);
    return status == OK ? connect_to(console, schema, statements) : tools_fault(console);
}

int tools_scratch(struct console *console)
{
    static const struct sql *const asked[] = {&sql_scratch_left, &sql_scratch_claim, NULL};
    static const struct sql *const *const statements[] = {asked, NULL};

    return connect_to(console, "pg_catalog", statements);
}

int tools_drop(struct console *console, const char *schema)
{
    // The name of a schema cannot be a value; it was made here or matched by scratch_left.
    assert(strspn(schema, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(schema));
    const struct sql drop = {
        .name = "drop_scratch",
        .text = arena_printf(console->arena, "DROP SCHEMA IF EXISTS %s CASCADE", schema)};
    const struct sql *const list[] = {&drop, NULL};
    const struct sql *const *const statements[] = {list, NULL};
    db_t *before = console->message.db;

    console->message.reason = NULL;
    int code = connect_to(console, "pg_catalog", statements);
    if (code == EXIT_DONE && db_run(&console->message, &drop, NULL, 0, NULL) != OK)
        code = tools_fault(console);
    if (console->message.db != NULL)
        tools_close(console);
    console->message.db = before;
    return code;
}

void tools_close(struct console *console)
{
    db_destroy(&console->message.db);
}

char *tools_schema(arena_t *arena, const char *prefix, const char *service)
{
    return arena_printf(arena, "%s_%s", prefix, service);
}

int tools_fault(const struct console *console)
{
    return fault(EXIT_REFUSED, "%s", console->message.reason);
}
