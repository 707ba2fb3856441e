// db values: between C and what travels to and from PostgreSQL.
#include "db/connection.h"
#include "limits/limits.h"
#include "values/values.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OID_BYTEA 17

// Writes the elements of an array literal: {"a","b"}.
struct literal {
    char *text;
    size_t used;
};

static void literal_add(struct literal *literal, char character)
{
    literal->text[literal->used++] = character;
}

static void literal_quote(struct literal *literal, const char *text)
{
    literal_add(literal, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            literal_add(literal, '\\');
        literal_add(literal, *text);
    }
    literal_add(literal, '"');
}

static void literal_null(struct literal *literal)
{
    memcpy(literal->text + literal->used, "NULL", 4);
    literal->used += 4;
}

static int hex_value(char digit)
{
    assert((digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f'));
    return digit <= '9' ? digit - '0' : digit - 'a' + 10;
}

static struct arg bytea(arena_t *arena, const char *text, size_t length)
{
    assert(length >= 2 && length % 2 == 0 && text[0] == '\\' && text[1] == 'x');
    size_t size = (length - 2) / 2;
    uint8_t *bytes = arena_alloc(arena, size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(hex_value(text[2 + 2 * i]) << 4 | hex_value(text[3 + 2 * i]));
    return (struct arg){.bytes = bytes, .size = size, .binary = true};
}

static struct arg cell_copy(arena_t *arena, const PGresult *result, int row, int column)
{
    if (PQgetisnull(result, row, column))
        return (struct arg){.bytes = NULL};
    const char *text = PQgetvalue(result, row, column);
    size_t length = (size_t)PQgetlength(result, row, column);
    if (PQftype(result, column) == OID_BYTEA)
        return bytea(arena, text, length);
    return (struct arg){.bytes = arena_copy(arena, text, length + 1), .size = length};
}

static const struct arg *cell(const struct rows *rows, int row, int column)
{
    assert(row >= 0 && row < rows->count);
    assert(column >= 0 && column < rows->columns);
    return &rows->cells[row * rows->columns + column];
}

static bool begins_with(const PGresult *result, int row, const struct arg *key)
{
    return key == NULL || ((size_t)PQgetlength(result, row, 0) == key->size &&
                           memcmp(PQgetvalue(result, row, 0), key->bytes, key->size) == 0);
}

struct rows rows_copy(arena_t *arena, const PGresult *result, const struct arg *key)
{
    int from = 0, count = 0;

    while (from < PQntuples(result) && !begins_with(result, from, key))
        from++;
    while (from + count < PQntuples(result) && begins_with(result, from + count, key))
        count++;
    struct rows rows = {.count = count,
                        .affected = key != NULL ? count : atoi(PQcmdTuples((PGresult *)result)),
                        .columns = PQnfields(result)};
    struct arg *cells = arena_alloc(arena, (size_t)rows.count * (size_t)rows.columns * sizeof *cells);
    for (int row = 0; row < rows.count; row++)
        for (int column = 0; column < rows.columns; column++)
            cells[row * rows.columns + column] = cell_copy(arena, result, from + row, column);
    rows.cells = cells;
    return rows;
}

struct values values_of(arena_t *arena, const struct arg args[], int n_args)
{
    size_t count = (size_t)n_args;
    struct values values = {.bytes = arena_alloc(arena, count * sizeof(char *)),
                            .sizes = arena_alloc(arena, count * sizeof(int)),
                            .formats = arena_alloc(arena, count * sizeof(int))};

    for (int i = 0; i < n_args; i++) {
        assert(args[i].size <= LIMIT_ARENA_BYTES);
        values.bytes[i] = args[i].bytes;
        values.sizes[i] = (int)args[i].size;
        values.formats[i] = args[i].binary;
    }
    return values;
}

const struct arg *values_copy(arena_t *arena, const struct arg args[], int n_args)
{
    struct arg *copy = arena_alloc(arena, sizeof *copy * (size_t)(n_args + 1));

    for (int i = 0; i < n_args; i++) {
        copy[i] = args[i];
        if (args[i].bytes == NULL)
            continue;
        char *bytes = arena_alloc(arena, args[i].size + 1);  // a text ends with a NUL
        memcpy(bytes, args[i].bytes, args[i].size);
        copy[i].bytes = bytes;
    }
    return copy;
}

bool values_same(const struct arg *one, const struct arg *other, int n_args)
{
    for (int i = 0; i < n_args; i++) {
        if ((one[i].bytes == NULL) != (other[i].bytes == NULL) || one[i].size != other[i].size)
            return false;
        if (one[i].size > 0 && memcmp(one[i].bytes, other[i].bytes, one[i].size) != 0)
            return false;
    }
    return true;
}

struct arg db_text(const char *text)
{
    return (struct arg){.bytes = text, .size = text != NULL ? strlen(text) : 0};
}

struct arg db_int(struct message *message, int64_t number)
{
    return db_text(arena_printf(message->arena, "%lld", (long long)number));
}

struct arg db_bytes(const void *bytes, size_t size)
{
    assert(bytes != NULL || size == 0);
    // No bytes are still bytes: what protobuf-c gives for an empty field is not NULL in SQL.
    return (struct arg){.bytes = bytes != NULL ? bytes : "", .size = size, .binary = true};
}

struct arg db_text_array(struct message *message, const char *const texts[], int count)
{
    size_t size = 3;

    assert(count >= 0);
    for (int i = 0; i < count; i++)
        size += 2 * (texts[i] != NULL ? strlen(texts[i]) : 2) + 3;
    struct literal literal = {.text = arena_alloc(message->arena, size)};
    literal_add(&literal, '{');
    for (int i = 0; i < count; i++) {
        if (i > 0)
            literal_add(&literal, ',');
        if (texts[i] != NULL)
            literal_quote(&literal, texts[i]);
        else
            literal_null(&literal);
    }
    literal_add(&literal, '}');
    return (struct arg){.bytes = literal.text, .size = literal.used};
}

struct arg db_int_array(struct message *message, const int64_t numbers[], int count)
{
    const char **texts = arena_alloc(message->arena, (size_t)count * sizeof *texts);

    assert(count >= 0);
    for (int i = 0; i < count; i++)
        texts[i] = arena_printf(message->arena, "%lld", (long long)numbers[i]);
    return db_text_array(message, texts, count);
}

static uint8_t *put_int(uint8_t *at, size_t number)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        *at++ = (uint8_t)(number >> shift);
    return at;
}

// As array_recv of PostgreSQL reads it: dimensions, whether there are NULLs, the element's type; of the one dimension its
// length and first index; then each element behind its length, -1 for NULL. Numbers are of four bytes, the highest first.
struct arg db_bytes_array(struct message *message, const struct arg bytes[], int count)
{
    size_t size = 20;

    assert(count >= 0);
    for (int i = 0; i < count; i++)
        size += 4 + bytes[i].size;
    uint8_t *array = arena_alloc(message->arena, size), *at = array;
    at = put_int(at, count > 0 ? 1 : 0);
    at = put_int(at, 1);
    at = put_int(at, OID_BYTEA);
    if (count > 0) {
        at = put_int(at, (size_t)count);
        at = put_int(at, 1);
    }
    for (int i = 0; i < count; i++) {
        at = put_int(at, bytes[i].bytes != NULL ? bytes[i].size : UINT32_MAX);
        if (bytes[i].bytes != NULL && bytes[i].size > 0)
            memcpy(at, bytes[i].bytes, bytes[i].size);
        at += bytes[i].bytes != NULL ? bytes[i].size : 0;
    }
    return BYTES(array, (size_t)(at - array));
}

const char *row_text(const struct rows *rows, int row, int column)
{
    const struct arg *value = cell(rows, row, column);
    assert(!value->binary);
    return value->bytes != NULL ? value->bytes : "";
}

int64_t row_int(const struct rows *rows, int row, int column)
{
    const char *text = row_text(rows, row, column);
    char *end;

    if (text[0] == '\0' || strcmp(text, "f") == 0)
        return 0;
    if (strcmp(text, "t") == 0)
        return 1;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    assert(errno == 0 && *end == '\0');
    return number;
}

ProtobufCBinaryData row_bytes(const struct rows *rows, int row, int column)
{
    const struct arg *value = cell(rows, row, column);
    assert(value->binary || value->bytes == NULL);
    // Rows are read only; protobuf-c's type has no word for it.
    return (ProtobufCBinaryData){.data = (uint8_t *)value->bytes, .len = value->size};
}

bool row_null(const struct rows *rows, int row, int column)
{
    return cell(rows, row, column)->bytes == NULL;
}
