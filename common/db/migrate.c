// db migrate: bring a schema up to date. The only place where SQL is put together from pieces: names of schemas and roles
// cannot be values.
#include "db/connection.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

// One migrating process at a time; the lock falls with the transaction. Its number is made from the schema's name.
static const char lock[] = "SELECT pg_advisory_xact_lock(hashtextextended('schema ' || $1, 0))";

static const char numbers[] = "SELECT list, max(number) FROM schema_step GROUP BY list ORDER BY list";

static const char applied[] = "SELECT 1 FROM schema_step WHERE list = $1::int AND number = $2::int";

static const char remember[] = "INSERT INTO schema_step (list, number) VALUES ($1::int, $2::int)";

// For steps that take rights away from the service's own role again.
static const char tell_login[] = "SELECT set_config('tildel.login', coalesce($1, ''), true)";

static status_t script(struct message *message, const char *what, const char *text)
{
    // The simple protocol: a step is many statements. COMMIT within one would end our transaction; commit checks.
    return db_settle(message, what, PQexec(message->db->connection, text), NULL);
}

static const char *quoted(struct message *message, const char *name)
{
    char *text = PQescapeIdentifier(message->db->connection, name, strlen(name));
    assert(text != NULL);
    const char *copy = arena_text(message->arena, text);
    PQfreemem(text);
    return copy;
}

static status_t locked(struct message *message)
{
    status_t status = db_begin(message);
    if (status == OK)
        status = db_execute(message, "lock the schema", lock, (const struct arg[]){TEXT(message->db->schema)},
                            1, NULL);
    return status;
}

static status_t ended(struct message *message, status_t status)
{
    if (status == OK)
        status = db_commit(message);
    if (status != OK)
        db_rollback(message);
    return status;
}

static const char *make_schema(struct message *message)
{
    const char *schema = quoted(message, message->db->schema);
    return arena_printf(message->arena,
                        "CREATE SCHEMA IF NOT EXISTS %s;"
                        "CREATE TABLE IF NOT EXISTS %s.schema_step ("
                        "    list integer NOT NULL,"
                        "    number integer NOT NULL,"
                        "    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),"
                        "    PRIMARY KEY (list, number))",
                        schema, schema);
}

// Rights come with the making of a table, not after the steps: so what a step revokes stays revoked.
static const char *grant(struct message *message, const char *login)
{
    const char *schema = quoted(message, message->db->schema), *role = quoted(message, login);
    return arena_printf(message->arena,
                        "GRANT USAGE ON SCHEMA %s TO %s;"
                        "GRANT SELECT ON %s.schema_step TO %s;"
                        "ALTER DEFAULT PRIVILEGES IN SCHEMA %s"
                        "    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %s;"
                        "ALTER DEFAULT PRIVILEGES IN SCHEMA %s GRANT USAGE ON SEQUENCES TO %s",
                        schema, role, schema, role, schema, role, schema, role);
}

static status_t prepare_schema(struct message *message, const char *login)
{
    status_t status = locked(message);
    if (status == OK)
        status = script(message, "make the schema", make_schema(message));
    if (status == OK && login != NULL)
        status = script(message, "grant rights on the schema", grant(message, login));
    return ended(message, status);
}

static int highest(const struct migration *list)
{
    int number = 0;

    for (; list->text != NULL; list++) {
        assert(list->number == number + 1);
        number = list->number;
    }
    return number;
}

// A database that a newer program has already changed is not this program's to touch.
static status_t not_ahead(struct message *message, const struct migration *const *lists)
{
    struct rows rows;
    int count = 0;

    while (lists[count] != NULL)
        count++;
    status_t status = db_execute(message, "read the steps of the schema", numbers, NULL, 0, &rows);
    for (int row = 0; status == OK && row < rows.count; row++) {
        int64_t list = row_int(&rows, row, 0), number = row_int(&rows, row, 1);
        int known = list < count ? highest(lists[list]) : 0;
        if (number > known)
            status = fail(
                message, REFUSED,
                "schema %s is at step %lld of list %lld and this program knows %d: start a newer program",
                message->db->schema, (long long)number, (long long)list, known);
    }
    return status;
}

static status_t take_step(struct message *message, const char *login, const struct arg key[2],
                          const struct migration *step)
{
    const char *what = arena_printf(message->arena, "take step %d of schema %s", step->number,
                                    message->db->schema);
    struct rows rows;

    status_t status = db_execute(message, "look up a step", applied, key, 2, &rows);
    if (status != OK || rows.count > 0)
        return status;
    status = db_execute(message, "name the login", tell_login, (const struct arg[]){TEXT(login)}, 1, NULL);
    if (status == OK)
        status = script(message, what, step->text);
    if (status == OK)
        status = db_execute(message, "remember a step", remember, key, 2, NULL);
    return status;
}

static status_t take_list(struct message *message, const char *login, int list, const struct migration *steps)
{
    status_t status = OK;

    for (; status == OK && steps->text != NULL; steps++) {
        const struct arg key[2] = {INT(list), INT(steps->number)};
        status = locked(message);
        if (status == OK)
            status = take_step(message, login, key, steps);
        status = ended(message, status);
    }
    return status;
}

status_t db_migrate(struct message *message, const char *login, const struct migration *const *lists)
{
    assert(message->db != NULL && lists != NULL);
    assert(message->db->statements == NULL);
    status_t status = prepare_schema(message, login);
    if (status == OK)
        status = not_ahead(message, lists);
    for (int i = 0; status == OK && lists[i] != NULL; i++)
        status = take_list(message, login, i, lists[i]);
    return status;
}
