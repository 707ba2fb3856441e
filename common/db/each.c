// db each: the rows of one statement, one after the other as the server sends them.
//
// libpq's single-row mode, with the values in binary: bytes are not written out as hexadecimal by the server and read
// again here, and nothing is kept of a row once it was taken. copy.c does the same for statements of a copy.
#include "db/connection.h"

#include <assert.h>

// Types of PostgreSQL, by their numbers in pg_type.
enum { OID_BOOL = 16, OID_BYTEA = 17, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_TEXT = 25 };

static bool is_number(Oid type)
{
    return type == OID_INT8 || type == OID_INT4 || type == OID_INT2 || type == OID_BOOL;
}

static status_t take_row(const PGresult *result, each_f *each, void *context)
{
    struct row row;

    row.columns = PQnfields(result);
    assert(row.columns <= ROW_COLUMNS);
    for (int i = 0; i < row.columns; i++)
        row.cells[i] = (struct row_cell){.bytes = PQgetvalue(result, 0, i),  // libpq ends each with a NUL
                                         .size = PQgetlength(result, 0, i),
                                         .type = PQftype(result, i)};
    return each(context, &row);
}

// One result of those that a statement in single-row mode gives: a row each, and an empty one, or an error, at the end.
static status_t take(struct message *message, const char *what, const PGresult *result, each_f *each,
                     void *context)
{
    switch (PQresultStatus(result)) {
    case PGRES_SINGLE_TUPLE:
        return take_row(result, each, context);
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
        return OK;
    default:
        return db_failed(message, what, result);
    }
}

status_t db_each(struct message *message, const struct sql *sql, const struct arg args[], int n_args,
                 each_f *each, void *context)
{
    db_t *db = message->db;
    status_t status = OK;

    assert(db != NULL && !db->busy);
    assert(n_args == sql->params);
    // Within a transaction what was sent before is settled first: its results come before these rows.
    status = db_wait(message);
    if (status != OK)
        return status;
    const char *what = arena_printf(message->arena, "run %s", sql->name);
    if (sql->copy)
        return copy_each(message, what, sql, args, each, context);
    struct values values = values_of(message->arena, args, n_args);
    if (PQsendQueryPrepared(db->connection, sql->name, n_args, values.bytes, values.sizes, values.formats,
                            1) != 1)
        return db_failed(message, what, NULL);
    int single = PQsetSingleRowMode(db->connection);
    assert(single == 1);
    if (db->begun && PQpipelineSync(db->connection) != 1)
        return db_failed(message, what, NULL);
    db->busy = true;
    // To the end in any case: the connection takes nothing new before.
    for (PGresult *result; (result = PQgetResult(db->connection)) != NULL; PQclear(result))
        if (status == OK)
            status = take(message, what, result, each, context);
    if (db->begun && db_connected(db))
        PQclear(db_next_result(db));  // of the Sync
    db->busy = false;
    return status;
}

// A cell that may be read as one of a kind. What a copy sends does not tell its kinds.
static const struct row_cell *cell_of(const row_t *row, int column, bool kind)
{
    assert(column >= 0 && column < row->columns);
    assert(kind || row->cells[column].type == InvalidOid);
    return &row->cells[column];
}

int64_t each_int(const row_t *row, int column)
{
    const struct row_cell *cell = cell_of(row, column, is_number(row->cells[column].type));
    const uint8_t *bytes = (const uint8_t *)cell->bytes;
    uint64_t number = cell->size > 0 && bytes[0] >= 0x80 ? UINT64_MAX : 0;

    assert(cell->size <= (int)sizeof number);
    for (int i = 0; i < cell->size; i++)  // none for NULL
        number = number << 8 | bytes[i];
    return (int64_t)number;
}

const char *each_text(const row_t *row, int column)
{
    return cell_of(row, column, row->cells[column].type == OID_TEXT)->bytes;
}

ProtobufCBinaryData each_bytes(const row_t *row, int column)
{
    const struct row_cell *cell = cell_of(row, column, row->cells[column].type == OID_BYTEA);

    return (ProtobufCBinaryData){.data = (uint8_t *)cell->bytes, .len = (size_t)cell->size};
}
