// db migrate: bring a schema up to date. The only place where SQL is put together from pieces: names of schemas and roles
// cannot be values.
#include "db/connection.h"
#include "log/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// One migrating process at a time; the lock falls with the transaction. Its number is made from the schema's name.
static const char lock[] = "SELECT pg_advisory_xact_lock(hashtextextended('schema ' || $1, 0))";

static const char applied[] = "SELECT 1 FROM schema_step WHERE list = $1::int AND number = $2::int";

static const char remember[] =
    "INSERT INTO schema_step (list, number, oldest) VALUES ($1::int, $2::int, $3::int)";

// While a step waits for a lock, whoever comes later waits behind it; so it soon gives way, and tries again.
static const char short_waits[] = "SELECT set_config('lock_timeout', '500ms', true)";

#define TRIES    40
#define PAUSE_MS 1000

// For steps that take rights away from the service's own role again.
static const char tell_login[] = "SELECT set_config('tildel.login', coalesce($1, ''), true)";

// COMMIT among the statements of a step would end our transaction; commit checks.
static status_t script(struct message *message, const char *what, const char *text)
{
    return db_execute(message, what, text, NULL, 0, NULL);
}

static const char *quoted(struct message *message, const char *name)
{
    char *text = PQescapeIdentifier(message->db->connection, name, strlen(name));
    assert(text != NULL);
    const char *copy = arena_text(message->arena, text);
    PQfreemem(text);
    return copy;
}

static const char *literal(struct message *message, const char *name)
{
    char *text = PQescapeLiteral(message->db->connection, name, strlen(name));
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
    const char *table = literal(message, arena_printf(message->arena, "%s.schema_step", schema));
    return arena_printf(
        message->arena,
        "CREATE SCHEMA IF NOT EXISTS %s;"
        "CREATE TABLE IF NOT EXISTS %s.schema_step ("
        "    list integer NOT NULL,"
        "    number integer NOT NULL,"
        "    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),"
        "    oldest integer,"
        "    PRIMARY KEY (list, number));"
        // Tables made before steps said so lack the column; no lock is taken where it is there.
        "DO $$ BEGIN"
        "    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = %s::regclass"
        "                   AND attname = 'oldest') THEN"
        "        ALTER TABLE %s.schema_step ADD COLUMN oldest integer;"
        "    END IF;"
        "END $$",
        schema, schema, table, schema);
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

static status_t take_step(struct message *message, const char *login, int list, const struct migration *step)
{
    const char *what = arena_printf(message->arena, "take step %d of schema %s", step->number,
                                    message->db->schema);
    const struct arg key[3] = {INT(list), INT(step->number), INT(step->oldest)};
    struct rows rows;

    status_t status = db_execute(message, "look up a step", applied, key, 2, &rows);
    if (status != OK || rows.count > 0)
        return status;
    status = db_execute(message, "name the login", tell_login, (const struct arg[]){TEXT(login)}, 1, NULL);
    if (status == OK)
        status = db_execute(message, "wait for locks only shortly", short_waits, NULL, 0, NULL);
    if (status == OK)
        status = script(message, what, step->text);
    if (status == OK)
        status = db_execute(message, "remember a step", remember, key, 3, NULL);
    return status;
}

// One thing that a migration does, in a transaction of its own.
struct turn {
    const char *login;
    int list;
    const struct migration *step;  // NULL: make the schema
};

static status_t take_turn(struct message *message, const struct turn *turn)
{
    status_t status = locked(message);

    if (status == OK && turn->step != NULL) {
        status = take_step(message, turn->login, turn->list, turn->step);
    } else if (status == OK) {
        status = script(message, "make the schema", make_schema(message));
        if (status == OK && turn->login != NULL)
            status = script(message, "grant rights on the schema", grant(message, turn->login));
    }
    return ended(message, status);
}

// Try until it is done: a lock that somebody holds and a database that is away are waited for.
static status_t take(struct message *message, const struct turn *turn)
{
    status_t status = take_turn(message, turn);

    for (int tries = 1; status == RETRY && tries < TRIES; tries++) {
        if (tries == 1)
            log_warn("the schema is waited for", "schema", message->db->schema, "reason", message->reason,
                     NULL);
        message->reason = NULL;  // of a try that is over
        nanosleep(&(struct timespec){.tv_sec = PAUSE_MS / 1000}, NULL);
        status = take_turn(message, turn);
    }
    return status;
}

status_t db_migrate(struct message *message, const char *login, const struct migration *const *lists)
{
    assert(message->db != NULL && lists != NULL);
    assert(message->db->statements == NULL && message->db->migrations == NULL);
    status_t status = take(message, &(struct turn){.login = login});
    if (status == OK)
        status = db_fit(message, lists, true);
    for (int i = 0; status == OK && lists[i] != NULL; i++)
        for (const struct migration *step = lists[i]; status == OK && step->text != NULL; step++)
            status = take(message, &(struct turn){.login = login, .list = i, .step = step});
    return status;
}
