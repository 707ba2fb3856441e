// db transaction: what is said between BEGIN and COMMIT, and how seldom the server is waited for.
//
// Within a transaction the connection is in libpq's pipeline mode (PostgreSQL manual, 34.5): statements go out one after
// the other, and their results are read when somebody needs one. Who asks for rows waits; who only writes does not, and
// learns from the next one who waits, at the latest from COMMIT, that a write has failed. That is early enough: a
// transaction in which anything failed is never committed.
//
// What libpq would let pass unseen is checked here: the tag of COMMIT, warnings during it, connections that are no longer
// there.
#include "db/connection.h"
#include "limits/limits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

// ------------------------------------------------------------------------------------------ sending and waiting

static void remember(db_t *db, const struct sent *sent)
{
    if (db->n_sent == db->sent_room) {
        db->sent_room = db->sent_room > 0 ? 2 * db->sent_room : 64;
        db->sent = realloc(db->sent, sizeof *db->sent * (size_t)db->sent_room);
        assert(db->sent != NULL);
    }
    db->sent[db->n_sent++] = *sent;
    db->expecting |= sent->changes > 0;
}

static status_t is_down(struct message *message)
{
    return fail(message, RETRY, "the database connection is down");
}

static const char *what_runs(struct message *message, const char *name)
{
    return arena_printf(message->arena, "run %s", name);
}

status_t db_send(struct message *message, const struct sql *sql, const struct arg args[], int n_args,
                 const struct sent *sent)
{
    db_t *db = message->db;

    if (!db_connected(db))
        return is_down(message);
    struct values values = values_of(message->arena, args, n_args);
    if (PQsendQueryPrepared(db->connection, sql->name, n_args, values.bytes, values.sizes, values.formats,
                            0) != 1)
        return db_failed(message, what_runs(message, sql->name), NULL);
    remember(db, sent);
    return OK;
}

// Behind what is gathered.
static status_t send_statement(struct message *message, const struct sql *sql, const struct arg args[],
                               int n_args, const struct sent *sent)
{
    status_t status = many_send(message);

    return status == OK ? db_send(message, sql, args, n_args, sent) : status;
}

// BEGIN, COMMIT, ROLLBACK.
static status_t send_word(struct message *message, const char *words, const char *what)
{
    db_t *db = message->db;

    if (PQsendQueryParams(db->connection, words, 0, NULL, NULL, NULL, NULL, 0) != 1)
        return db_failed(message, what, NULL);
    return OK;
}

static status_t settle_one(struct message *message, const struct sent *sent, const PGresult *result)
{
    ExecStatusType said = PQresultStatus(result);
    int changed = atoi(PQcmdTuples((PGresult *)result));

    if (said != PGRES_COMMAND_OK && said != PGRES_TUPLES_OK)
        return db_failed(message, what_runs(message, sent->name), result);
    for (const struct asker *asker = sent->askers; asker != NULL; asker = asker->next)
        *asker->rows = rows_copy(asker->arena, result, asker->key);
    if (sent->changes > 0 && changed != sent->changes)
        return fail(message, POISON, "%s changed %d rows instead of %d", sent->name, changed, sent->changes);
    return OK;
}

// Read the results of all that was sent. The first failure counts: the server has passed over what came after it.
static status_t settle_sent(struct message *message)
{
    db_t *db = message->db;
    status_t status = OK;

    for (int i = 0; i < db->n_sent && db_connected(db); i++) {
        PGresult *result = db_next_result(db);
        if (status == OK)
            status = settle_one(message, &db->sent[i], result);
        PQclear(result);
    }
    assert(db->n_groups == 0);
    db->n_sent = 0;
    db->expecting = false;
    arena_reset(db->gathered);
    return status;
}

static status_t sync_failed(struct message *message)
{
    return db_failed(message, "take what was said to it", NULL);
}

status_t db_wait(struct message *message)
{
    db_t *db = message->db;

    if (!db_connected(db))
        return is_down(message);
    status_t status = many_send(message);
    if (status != OK || db->n_sent == 0)
        return status;
    if (PQpipelineSync(db->connection) != 1)
        return sync_failed(message);
    status = settle_sent(message);
    if (db_connected(db))
        PQclear(db_next_result(db));  // of the Sync
    return status;
}

// -------------------------------------------------------------------------------------------- the transaction

// A server that has gone says so, if one listens; then nothing has begun, and a new connection may be tried at once.
static status_t listen_and_connect(struct message *message)
{
    db_t *db = message->db;

    if (db_connected(db) && PQconsumeInput(db->connection) != 1)
        db_disconnect(db);
    return db_connect(message);
}

status_t db_begin(struct message *message)
{
    static const char begin[] = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
    db_t *db = message->db;

    assert(db != NULL);
    db->full = false;
    status_t status = listen_and_connect(message);
    if (status != OK)
        return status;
    assert(!db->begun);
    if (PQenterPipelineMode(db->connection) != 1)
        return db_failed(message, "begin a transaction", NULL);
    db->begun = true;
    status = send_word(message, begin, "begin a transaction");
    if (status == OK)
        remember(db, &(struct sent){.name = "BEGIN"});
    return status;
}

// Out of the pipeline, when the server says that the transaction is over. All results have been read.
static void end_if_over(db_t *db)
{
    if (!db_connected(db) || PQtransactionStatus(db->connection) != PQTRANS_IDLE)
        return;
    assert(db->n_sent == 0);
    if (PQexitPipelineMode(db->connection) == 1)
        db->begun = false;
    else
        db_disconnect(db);
}

// What the server said to COMMIT, behind the results of all that was sent before it.
static status_t settle_commit(struct message *message)
{
    db_t *db = message->db;
    bool rolled_back = false;

    status_t status = settle_sent(message);
    if (!db_connected(db))
        return status;
    db->warned = false;
    PGresult *result = db_next_result(db);
    if (status == OK && PQresultStatus(result) != PGRES_COMMAND_OK)
        status = db_failed(message, "commit", result);
    else if (status == OK)
        rolled_back = strcmp(PQcmdStatus(result), "COMMIT") != 0;
    PQclear(result);
    if (db_connected(db))
        PQclear(db_next_result(db));  // of the Sync
    if (rolled_back)
        return fail(message, RETRY, "the database rolled the transaction back: a statement in it had failed");
    if (status == OK && db->warned)
        return fail(message, RETRY, "the database warned while it committed: the outcome is unknown");
    return status;
}

status_t db_commit(struct message *message)
{
    db_t *db = message->db;

    if (!db_connected(db) || !db->begun)
        return fail(message, RETRY, "the database connection was lost before the commit");
    status_t status = many_send(message);
    if (status == OK && db->expecting)
        status = db_wait(message);
    if (status == OK)
        status = send_word(message, "COMMIT", "commit");
    if (status == OK && PQpipelineSync(db->connection) != 1)
        status = sync_failed(message);
    if (status == OK) {
        status = settle_commit(message);
        end_if_over(db);
    }
    return status;
}

void db_rollback(struct message *message)
{
    db_t *db = message->db;
    struct message own = message_new(message->arena);

    if (!db_connected(db))
        db_disconnect(db);
    if (!db->begun)
        return;
    own.db = db;
    db->n_groups = 0;
    steady_forget(db);
    for (int i = 0; i < db->n_sent; i++)
        db->sent[i] = (struct sent){.name = db->sent[i].name};  // nobody asks any more
    db_wait(&own);
    end_if_over(db);
    if (!db->begun)
        return;
    if (send_word(&own, "ROLLBACK", "roll back") == OK)
        remember(db, &(struct sent){.name = "ROLLBACK"});
    db_wait(&own);
    end_if_over(db);
    // A connection that cannot even roll back is given up; the server rolls back for us.
    if (db->begun)
        db_disconnect(db);
}

// ------------------------------------------------------------------------------------------------- statements

// Outside a transaction a statement is one by itself. Not in a pipeline: there, what only the end of such a transaction
// finds would come as a notice, and be lost.
static status_t run_alone(struct message *message, const struct sql *sql, const struct arg args[], int n_args,
                          struct rows *ret)
{
    db_t *db = message->db;

    if (!db_connected(db))
        return is_down(message);
    struct values values = values_of(message->arena, args, n_args);
    return db_settle(
        message, what_runs(message, sql->name),
        PQexecPrepared(db->connection, sql->name, n_args, values.bytes, values.sizes, values.formats, 0),
        ret);
}

// Out of the pipeline for a moment: libpq's plain functions do not work in it. The transaction goes on meanwhile.
status_t db_execute(struct message *message, const char *what, const char *text, const struct arg args[],
                    int n_args, struct rows *ret)
{
    db_t *db = message->db;
    bool piped = db->begun;

    status_t status = piped ? db_wait(message) : OK;
    if (status == OK && piped && PQexitPipelineMode(db->connection) != 1)
        return db_failed(message, what, NULL);
    if (status != OK)
        return status;
    struct values values = values_of(message->arena, args, n_args);
    PGresult *result = n_args == 0 ? PQexec(db->connection, text)
                                   : PQexecParams(db->connection, text, n_args, NULL, values.bytes,
                                                  values.sizes, values.formats, 0);
    status = db_settle(message, what, result, ret);
    if (piped && db_connected(db) && PQenterPipelineMode(db->connection) != 1)
        status = db_failed(message, what, NULL);
    return status;
}

// NULL when nobody asks.
static const struct asker *asker_new(struct message *message, struct rows *rows)
{
    if (rows == NULL)
        return NULL;
    struct asker *asker = arena_alloc(message->db->gathered, sizeof *asker);
    *asker = (struct asker){.arena = message->arena, .rows = rows};
    return asker;
}

status_t db_later(struct message *message, const struct sql *sql, const struct arg args[], int n_args,
                  struct rows *ret)
{
    assert(message->db != NULL && n_args == sql->params && !message->db->busy);
    if (!message->db->begun)
        return run_alone(message, sql, sql->many ? many_of_one(message, args, n_args) : args, n_args, ret);
    if (ret != NULL)
        *ret = (struct rows){.columns = ROWS_NOT_YET};
    if (sql->many)
        return many_gather(message, sql, args, n_args, false, ret);
    return send_statement(message, sql, args, n_args,
                          &(struct sent){.name = sql->name, .askers = asker_new(message, ret)});
}

status_t db_change(struct message *message, const struct sql *sql, const struct arg args[], int n_args)
{
    assert(message->db != NULL && n_args == sql->params && !message->db->busy);
    if (!message->db->begun)
        return db_connected(message->db) ? fail(message, POISON, "%s stands in no transaction", sql->name)
                                         : is_down(message);
    if (sql->many)
        return many_gather(message, sql, args, n_args, true, NULL);
    return send_statement(message, sql, args, n_args, &(struct sent){.name = sql->name, .changes = 1});
}

// ------------------------------------------------------------------------------------------------------- ahead

// What was asked for a message before it came in hand.
struct ahead {
    const struct sql *sql;
    const struct arg *args;
    int n_args;
    struct rows rows;
    struct ahead *next;
};

status_t db_ahead(struct message *message, const struct sql *sql, const struct arg args[], int n_args)
{
    struct ahead *ahead = arena_alloc(message->arena, sizeof *ahead), **last = &message->ahead;

    assert(message->db->begun);
    *ahead = (struct ahead){.sql = sql,
                            .args = values_copy(message->arena, args, n_args),
                            .n_args = n_args};
    status_t status = db_later(message, sql, args, n_args, &ahead->rows);
    while (*last != NULL)
        last = &(*last)->next;
    *last = ahead;
    return status;
}

// Was this asked ahead for the message in hand? Each answer is given once: who asks again wants to know what has become
// of it since.
static struct ahead *take_ahead(struct message *message, const struct sql *sql, const struct arg args[],
                                int n_args)
{
    // Every file has its own copy of a statement; the name is what they share.
    for (struct ahead **link = &message->ahead; *link != NULL; link = &(*link)->next)
        if (strcmp((*link)->sql->name, sql->name) == 0 && values_same((*link)->args, args, n_args)) {
            struct ahead *ahead = *link;
            *link = ahead->next;
            return ahead;
        }
    return NULL;
}

static status_t run_now(struct message *message, const struct sql *sql, const struct arg args[], int n_args,
                        struct rows *ret)
{
    struct ahead *ahead = take_ahead(message, sql, args, n_args);
    status_t status = ahead != NULL ? OK : db_later(message, sql, args, n_args, ret);

    if (status != OK || ret == NULL || !message->db->begun)
        return status;
    if (ahead == NULL || !rows_came(&ahead->rows))
        status = db_wait(message);
    if (ahead != NULL)
        *ret = ahead->rows;
    return status;
}

static status_t run_steady(struct message *message, const struct sql *sql, const struct arg args[], int n_args,
                           struct rows *ret)
{
    const struct rows *known = steady_find(message->db, sql, args, n_args);

    if (known != NULL) {
        *ret = *known;
        ret->cells = values_copy(message->arena, known->cells, known->count * known->columns);
        return OK;
    }
    status_t status = run_now(message, sql, args, n_args, ret);
    if (status == OK)
        steady_keep(message->db, sql, args, n_args, ret);
    return status;
}

status_t db_run(struct message *message, const struct sql *sql, const struct arg args[], int n_args,
                struct rows *ret)
{
    assert(message->db != NULL && n_args == sql->params);
    return sql->steady ? run_steady(message, sql, args, n_args, ret)
                       : run_now(message, sql, args, n_args, ret);
}
