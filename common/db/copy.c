// db copy: the rows of a statement through COPY, PostgreSQL's own way to take a whole table out.
//
// The format is that of the PostgreSQL manual, COPY, "Binary Format": a header; for each row the number of its fields (16
// bits), and for each field its size (32 bits, -1 for NULL) and its bytes; -1 at the end; all big-endian.
#include "db/connection.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

static const char signature[] = "PGCOPY\n\377\r\n";  // with the NUL at its end

// The statement with its values instead of $1, $2 ...: whole numbers, which need no quotes.
static const char *copy_text(arena_t *arena, const struct sql *sql, const struct arg args[])
{
    size_t room = strlen(sql->text) + 1;

    for (int i = 0; i < sql->params; i++)
        room += args[i].size * strlen(sql->text);
    char *text = arena_alloc(arena, room), *to = text;
    for (const char *from = sql->text; *from != '\0';) {
        if (from[0] != '$' || !isdigit((unsigned char)from[1])) {
            *to++ = *from++;
            continue;
        }
        const struct arg *arg = &args[from[1] - '1'];
        assert(from[1] - '1' < sql->params && !isdigit((unsigned char)from[2]));
        assert(arg->size > 0 && strspn(arg->bytes, "-0123456789") == arg->size);
        memcpy(to, arg->bytes, arg->size);
        to += arg->size;
        from += 2;
    }
    *to = '\0';
    return arena_printf(arena, "COPY (%s\n) TO STDOUT (FORMAT binary)", text);
}

static int take_number(const uint8_t *at, int size)
{
    uint32_t number = at[0] >= 0x80 ? UINT32_MAX : 0;

    for (int i = 0; i < size; i++)
        number = number << 8 | at[i];
    return (int)number;
}

// Behind the header, or NULL: there is none.
static uint8_t *pass_header(uint8_t *at, const uint8_t *end)
{
    const size_t size = sizeof signature + 8;  // its flags, and the size of what may follow

    if ((size_t)(end - at) < size || memcmp(at, signature, sizeof signature) != 0)
        return NULL;
    int more = take_number(at + size - 4, 4);
    return more >= 0 && more <= end - at - (int)size ? at + size + more : NULL;
}

// The fields of a row. Behind the row, or NULL: these bytes are no row.
static uint8_t *take_fields(uint8_t *at, uint8_t *end, struct row *row)
{
    for (int i = 0; i < row->columns; i++) {
        if (end - at < 4)
            return NULL;
        int size = take_number(at, 4);
        at += 4;
        if (size > end - at || size < -1)
            return NULL;
        row->cells[i] = (struct row_cell){.bytes = size < 0 ? "" : (char *)at, .size = size < 0 ? 0 : size};
        at += row->cells[i].size;
    }
    return at;
}

// Each gets the NUL behind it, where the size of the next one stood.
static void end_fields(struct row *row)
{
    for (int i = 0; i < row->columns; i++)
        if (row->cells[i].size > 0)
            ((char *)row->cells[i].bytes)[row->cells[i].size] = '\0';
        else
            row->cells[i].bytes = "";
}

status_t copy_piece(struct copying *copying, uint8_t *at, uint8_t *end)
{
    status_t status = OK;
    struct row row;

    if (!copying->begun)
        at = pass_header(at, end);
    copying->begun = true;
    while (status == OK && at != NULL && end - at >= 2 && (row.columns = take_number(at, 2)) >= 0) {
        assert(row.columns <= ROW_COLUMNS);
        uint8_t *next = take_fields(at + 2, end, &row), kept;
        if (next == NULL)
            break;
        kept = *next;  // the next row's first byte makes room for a NUL while this one is taken
        end_fields(&row);
        status = copying->each(copying->context, &row);
        *next = kept;
        at = next;
    }
    bool whole = status != OK || (at != NULL && (at == end || take_number(at, 2) == -1));
    return whole ? status : fail(copying->message, POISON, "the database sent a copy that is damaged");
}

// All that comes, to the end in any case.
static status_t take_pieces(struct copying *copying, const char *what)
{
    db_t *db = copying->message->db;
    status_t status = OK;
    char *piece;
    int size;

    while ((size = PQgetCopyData(db->connection, &piece, 0)) > 0) {
        if (status == OK)
            status = copy_piece(copying, (uint8_t *)piece, (uint8_t *)piece + size);
        PQfreemem(piece);
    }
    return size == -1 || status != OK ? status : db_failed(copying->message, what, NULL);
}

static status_t copy_all(struct copying *copying, const char *what, const char *text)
{
    struct message *message = copying->message;
    db_t *db = message->db;
    status_t status = OK;

    if (PQsendQuery(db->connection, text) != 1)
        return db_failed(message, what, NULL);
    for (PGresult *result; db_connected(db) && (result = PQgetResult(db->connection)) != NULL;
         PQclear(result)) {
        ExecStatusType said = PQresultStatus(result);
        if (said == PGRES_COPY_OUT)
            status = take_pieces(copying, what);
        else if (said != PGRES_COMMAND_OK && status == OK)
            status = db_failed(message, what, result);
    }
    return status;
}

status_t copy_each(struct message *message, const char *what, const struct sql *sql, const struct arg args[],
                   each_f *each, void *context)
{
    struct copying copying = {.message = message, .each = each, .context = context};
    db_t *db = message->db;
    const char *text = copy_text(message->arena, sql, args);

    // A transaction is in a pipeline, and a pipeline takes no COPY.
    if (db->begun && PQexitPipelineMode(db->connection) != 1)
        return db_failed(message, what, NULL);
    db->busy = true;
    status_t status = copy_all(&copying, what, text);
    db->busy = false;
    if (db->begun && db_connected(db) && PQenterPipelineMode(db->connection) != 1)
        return db_failed(message, what, NULL);
    return status;
}
