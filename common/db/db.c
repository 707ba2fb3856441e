// db: one connection to PostgreSQL, and what its errors mean for the loop. A connection that failed is finished and made
// anew, never mended.
#include "db/connection.h"
#include "limits/limits.h"
#include "log/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

// Said to every new connection. What is not safe to leave to the server's settings is set here; an operator may only
// make synchronous_commit stronger. The server looks after us as we look after it: it would keep the session of a
// network that was cut, and with it our advisory locks (who leads, who writes the log), for two hours.
static const char setup[] =
    "SELECT set_config('search_path', quote_ident($1) || ', pg_temp', false),"
    "       set_config('lock_timeout', '5s', false),"
    "       set_config('idle_in_transaction_session_timeout', '60s', false),"
    "       set_config('tcp_keepalives_idle', '5', false),"
    "       set_config('tcp_keepalives_interval', '2', false),"
    "       set_config('tcp_keepalives_count', '3', false),"
    "       set_config('tcp_user_timeout', '8000', false),"
    "       set_config('client_min_messages', 'warning', false),"
    "       set_config('timezone', 'UTC', false),"
    "       set_config('datestyle', 'ISO', false),"
    "       set_config('bytea_output', 'hex', false),"
    // What is said here goes by keys. A plan for any values is made once, for planning costs more than most statements, and
    // kept while a table grows from nothing; one that reads the whole table or index, cheap on the first day, must not be
    // among them, nor one that is worth compiling.
    "       set_config('plan_cache_mode', 'force_generic_plan', false),"
    "       set_config('enable_seqscan', 'off', false),"
    "       set_config('enable_hashjoin', 'off', false),"
    "       set_config('enable_mergejoin', 'off', false),"
    "       set_config('jit', 'off', false),"
    "       set_config('synchronous_commit',"
    "                  CASE WHEN current_setting('synchronous_commit') = 'remote_apply' THEN 'remote_apply'"
    "                       ELSE 'on' END, false)";

static char *kept(const char *text)
{
    char *copy = strdup(text);
    assert(copy != NULL);
    return copy;
}

// Class 08 connection, 53 resources, 57P shutdown; the rest by full code.
static bool heals_by_itself(const char *sqlstate)
{
    static const char *const begins[] = {"08", "53", "57P", "40001", "40P01", "23505", "55P03"};

    for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++)
        if (strncmp(sqlstate, begins[i], strlen(begins[i])) == 0)
            return true;
    return false;
}

// Class 53 without lack of memory and limits of a statement, which may be one statement's own fault.
static bool means_full(const char *sqlstate)
{
    return strcmp(sqlstate, "53100") == 0 || strcmp(sqlstate, "53300") == 0;
}

bool db_full(const db_t *db)
{
    return db->full;
}

bool db_connected(const db_t *db)
{
    return db->connection != NULL && PQstatus(db->connection) == CONNECTION_OK;
}

void db_disconnect(db_t *db)
{
    PQfinish(db->connection);
    db->connection = NULL;
    db->begun = false;
    db->n_sent = 0;
    db->n_groups = 0;
    db->expecting = false;
    steady_forget(db);
}

static void on_notice(void *data, const PGresult *notice)
{
    db_t *db = data;
    const char *sqlstate = PQresultErrorField(notice, PG_DIAG_SQLSTATE);
    const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *text = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);

    if (severity == NULL || strcmp(severity, "WARNING") != 0)
        return;
    db->warned = true;
    log_warn("the database warned", "database_message", text, "sqlstate", sqlstate, NULL);
}

// libpq ends its messages with a line feed, and some have several lines; a reason is one.
static const char *first_line(arena_t *arena, const char *text)
{
    return arena_printf(arena, "%.*s", (int)strcspn(text, "\n"), text);
}

status_t db_failed(struct message *message, const char *what, const PGresult *result)
{
    db_t *db = message->db;
    const char *sqlstate = result != NULL ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *text = result != NULL ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    bool lost = !db_connected(db);

    // The server's message without its details: those quote values, and reasons are read by many.
    text = first_line(message->arena, text != NULL ? text : PQerrorMessage(db->connection));
    db_keep_sqlstate(db, sqlstate != NULL ? sqlstate : lost ? "08006" : "XX000");
    db->full = db->full || means_full(db->sqlstate);
    if (lost)
        db_disconnect(db);
    return fail(message, lost || heals_by_itself(db->sqlstate) ? RETRY : POISON,
                "the database failed to %s: %s (%s)", what, text, db->sqlstate);
}

status_t db_settle(struct message *message, const char *what, PGresult *result, struct rows *ret)
{
    ExecStatusType said = PQresultStatus(result);
    status_t status = OK;

    if (said != PGRES_COMMAND_OK && said != PGRES_TUPLES_OK)
        status = db_failed(message, what, result);
    else if (ret != NULL)
        *ret = rows_copy(message->arena, result, NULL);
    PQclear(result);
    return status;
}

static status_t open_connection(struct message *message)
{
    db_t *db = message->db;
    char timeout[16];

    snprintf(timeout, sizeof timeout, "%d", LIMIT_CONNECT_MS / 1000);
    // What stands before the URL may be changed by it, what stands behind may not.
    const struct {
        const char *name, *value;
    } options[] = {
        {"connect_timeout", timeout}, {"keepalives_idle", "5"},
        {"keepalives_interval", "2"}, {"keepalives_count", "3"},
        {"tcp_user_timeout", "8000"}, {"target_session_attrs", "read-write"},
        {"dbname", db->url},          {"application_name", db->application_name},
        {"client_encoding", "UTF8"},
    };
    const char *names[sizeof options / sizeof options[0] + 1] = {NULL};
    const char *values[sizeof options / sizeof options[0] + 1] = {NULL};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        names[i] = options[i].name;
        values[i] = options[i].value;
    }

    db->connection = PQconnectdbParams(names, values, 1);
    assert(db->connection != NULL);
    if (!db_connected(db)) {
        // Also a wrong password: the operator mends it while we try again. libpq gives no SQLSTATE here.
        db_keep_sqlstate(db, "08001");
        status_t status = fail(message, RETRY, "the database cannot be reached: %s",
                               first_line(message->arena, PQerrorMessage(db->connection)));
        db_disconnect(db);
        return status;
    }
    PQsetNoticeReceiver(db->connection, on_notice, db);
    return db_execute(message, "set up the connection", setup, (const struct arg[]){TEXT(db->schema)}, 1,
                      NULL);
}

static int send_statements(db_t *db, const struct sql *const *list)
{
    int sent = 0;

    while (list[sent] != NULL &&
           PQsendPrepare(db->connection, list[sent]->name, list[sent]->text, 0, NULL) == 1)
        sent++;
    return sent;
}

PGresult *db_next_result(db_t *db)
{
    PGresult *result = PQgetResult(db->connection);
    if (result != NULL && PQresultStatus(result) != PGRES_PIPELINE_SYNC)
        PQclear(PQgetResult(db->connection));
    return result;
}

static status_t settle_statements(struct message *message, const struct sql *const *list, int sent,
                                  status_t status)
{
    for (int i = 0; i < sent && db_connected(message->db); i++) {
        PGresult *result = db_next_result(message->db);
        if (status == OK)
            status = db_settle(message, arena_printf(message->arena, "prepare %s", list[i]->name), result,
                               NULL);
        else
            PQclear(result);
    }
    return status;
}

// All statements of one list in one round trip.
static status_t prepare_list(struct message *message, const struct sql *const *list)
{
    db_t *db = message->db;

    if (PQenterPipelineMode(db->connection) != 1)
        return db_failed(message, "begin preparing statements", NULL);
    int sent = send_statements(db, list);
    if (list[sent] != NULL || PQpipelineSync(db->connection) != 1)
        return db_failed(message, "take statements to prepare", NULL);
    status_t status = settle_statements(message, list, sent, OK);
    if (status != OK)
        return status;
    PGresult *sync = db_next_result(db);
    bool whole = PQresultStatus(sync) == PGRES_PIPELINE_SYNC && PQexitPipelineMode(db->connection) == 1;
    PQclear(sync);
    return whole ? OK : db_failed(message, "finish preparing statements", NULL);
}

static status_t prepare_all(struct message *message)
{
    status_t status = OK;

    for (const struct sql *const *const *list = message->db->statements;
         status == OK && list != NULL && *list != NULL; list++)
        status = prepare_list(message, *list);
    return status;
}

// The caller's list of lists may be on its stack; the lists themselves are static.
static const struct sql *const *const *kept_lists(const struct sql *const *const *lists)
{
    int count = 0;

    if (lists == NULL)
        return NULL;
    while (lists[count] != NULL)
        count++;
    const struct sql *const **copy = calloc((size_t)count + 1, sizeof *copy);
    assert(copy != NULL);
    for (int i = 0; i < count; i++)
        copy[i] = lists[i];
    return copy;
}

static const struct migration *const *kept_steps(const struct migration *const *lists)
{
    int count = 0;

    if (lists == NULL)
        return NULL;
    while (lists[count] != NULL)
        count++;
    const struct migration **copy = calloc((size_t)count + 1, sizeof *copy);
    assert(copy != NULL);
    for (int i = 0; i < count; i++)
        copy[i] = lists[i];
    return copy;
}

db_t *db_new(const struct db_config *config)
{
    db_t *db = calloc(1, sizeof *db);
    assert(db != NULL);
    assert(config->url != NULL && config->schema != NULL && config->schema[0] != '\0');
    *db = (db_t){
        .url = kept(config->url),
        .schema = kept(config->schema),
        .application_name = kept(config->application_name != NULL ? config->application_name : "tildel"),
        .gathered = arena_new(LIMIT_ARENA_BYTES),
        .steady = arena_new(LIMIT_ARENA_BYTES),
        .statements = kept_lists(config->statements),
        .migrations = kept_steps(config->migrations)};
    return db;
}

void db_destroy(db_t **db_p)
{
    db_t *db = *db_p;

    if (db == NULL)
        return;
    db_disconnect(db);
    free(db->url);
    free(db->schema);
    free(db->application_name);
    free((void *)db->statements);
    free((void *)db->migrations);
    free(db->sent);
    arena_destroy(&db->gathered);
    arena_destroy(&db->steady);
    free(db);
    *db_p = NULL;
}

status_t db_connect(struct message *message)
{
    db_t *db = message->db;

    assert(db != NULL);
    if (db_connected(db))
        return OK;
    db_disconnect(db);
    status_t status = open_connection(message);
    // Before the statements: those of a step that is missing could not be prepared.
    if (status == OK && db->migrations != NULL)
        status = db_fit(message, db->migrations, false);
    if (status == OK)
        status = prepare_all(message);
    // Half prepared is not connected: the next call begins again.
    if (status != OK && db->connection != NULL)
        db_disconnect(db);
    return status;
}
