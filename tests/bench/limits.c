// limits: what the machine can do without us: bare inserts over libpq, fdatasync, COPY, COPY with SHA-256; and an append
// without its tree.
//
//     limits insert URL BATCH SECONDS [RATE]   events, BATCH to a transaction, by unnest of binary arrays
//     limits append URL BATCH SECONDS          the same by the log's own statement into tables like its own, a transaction
//                                              with hashes and one without them in turn
//     limits fdatasync FILE SECONDS            600 bytes written and synced, one after the other
//     limits copy URL SECONDS [sha | FILE]     COPY of the log's bytes in binary, and hashed by OpenSSL on the way, or written
//                                              into a new file each pass, synced at its end; all removed at last
//     limits message-db URL RATE SECONDS       message-db's algorithm: from writing to a consumer that polls every ms
//
// Prints one line of JSON. insert needs the table bench.event and message-db bench.message, which the harness makes;
// append makes schemas of its own.
#include "eventlog.h"
#include "eventlog_store.sql.h"
#include "limits/limits.h"
#include "note/checkpoint.h"

#include <assert.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EVENT_BYTES 600
#define LEAF_BYTES  32
#define STREAM_SIZE 64
#define MEASURED    10000000

static int64_t now_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000) + time.tv_nsec / 1000;
}

static void give_up(const char *what)
{
    fprintf(stderr, "bench_limits: %s\n", what);
    exit(1);
}

// ----------------------------------------------------------------------------------------- what was measured

static struct {
    uint32_t *latencies;
    long count;
    long things;
    int64_t began_us;
} measured;

static void measure_begin(void)
{
    measured.latencies = malloc(MEASURED * sizeof *measured.latencies);
    assert(measured.latencies);
    measured.began_us = now_us();
}

static void measure(int64_t began_us, long things)
{
    if (measured.count < MEASURED)
        measured.latencies[measured.count++] = (uint32_t)(now_us() - began_us);
    measured.things += things;
}

static int by_size(const void *one, const void *other)
{
    uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
    return a < b ? -1 : a > b;
}

static void measure_end(void)
{
    double seconds = (double)(now_us() - measured.began_us) / 1e6;
    if (measured.count == 0)
        give_up("nothing was measured");
    qsort(measured.latencies, (size_t)measured.count, sizeof *measured.latencies, by_size);
    printf("{\"count\": %ld, \"seconds\": %.6f, \"rate\": %.1f, \"p50_us\": %u, \"p99_us\": %u}\n",
           measured.things, seconds, (double)measured.things / seconds,
           measured.latencies[(measured.count - 1) / 2],
           measured.latencies[(long)((double)(measured.count - 1) * 0.99)]);
    free(measured.latencies);
}

// ------------------------------------------------------------------------------------------ arrays for libpq

struct array {
    uint8_t *bytes;
    size_t size;
    int count;
};

static void put_number(uint8_t *to, uint64_t number, int bytes)
{
    while (bytes-- > 0)
        *to++ = (uint8_t)(number >> (8 * bytes));
}

static void add_number(struct array *array, uint64_t number, int bytes)
{
    put_number(array->bytes + array->size, number, bytes);
    array->size += (size_t)bytes;
}

#define ARRAY_COUNT_AT 12

// PostgreSQL's array_recv: dimensions, nulls, element type, length, lower bound; then each element with its
// length.
static void array_begin(struct array *array, int type)
{
    array->size = 0;
    array->count = 0;
    add_number(array, 1, 4);
    add_number(array, 0, 4);
    add_number(array, (uint64_t)type, 4);
    add_number(array, 0, 4);
    add_number(array, 1, 4);
}

static void array_add(struct array *array, const void *bytes, size_t size)
{
    add_number(array, size, 4);
    memcpy(array->bytes + array->size, bytes, size);
    array->size += size;
    array->count++;
}

static void array_add_number(struct array *array, int64_t number)
{
    add_number(array, 8, 4);
    add_number(array, (uint64_t)number, 8);
    array->count++;
}

static void arrays_new(struct array arrays[], int count, int batch)
{
    for (int i = 0; i < count; i++) {
        arrays[i].bytes = malloc(64 + (size_t)batch * (EVENT_BYTES + 8));
        assert(arrays[i].bytes);
    }
}

static void arrays_free(struct array arrays[], int count)
{
    for (int i = 0; i < count; i++)
        free(arrays[i].bytes);
}

// -------------------------------------------------------------------------------------- statements for libpq

#define PARAMETERS_MAX 16

struct parameters {
    const char *values[PARAMETERS_MAX];
    int sizes[PARAMETERS_MAX], formats[PARAMETERS_MAX], count;
    uint8_t numbers[PARAMETERS_MAX][8];
};

// value NULL: SQL NULL.
static void pass(struct parameters *to, const void *value, size_t size)
{
    assert(to->count < PARAMETERS_MAX);
    to->values[to->count] = value;
    to->sizes[to->count] = (int)size;
    to->formats[to->count++] = 1;
}

static void pass_number(struct parameters *to, int64_t number)
{
    put_number(to->numbers[to->count], (uint64_t)number, 8);
    pass(to, to->numbers[to->count], 8);
}

static void pass_array(struct parameters *to, struct array *array)
{
    put_number(array->bytes + ARRAY_COUNT_AT, (uint64_t)array->count, 4);
    pass(to, array->bytes, array->size);
}

// ------------------------------------------------------------------------------------------------ insert

enum { AT_POSITION, AT_STREAM, AT_VERSION, AT_BYTES, AT_LEAF, COLUMNS };

static PGconn *connect_to(const char *url)
{
    PGconn *connection = PQconnectdb(url);
    if (PQstatus(connection) != CONNECTION_OK)
        give_up(PQerrorMessage(connection));
    return connection;
}

static void expect(PGresult *result, ExecStatusType status)
{
    if (PQresultStatus(result) != status)
        give_up(PQresultErrorMessage(result));
    PQclear(result);
}

// One that writes something.
static void run(PGconn *connection, const char *statement, const struct parameters *with)
{
    PGresult *result = PQexecPrepared(connection, statement, with->count, with->values, with->sizes,
                                      with->formats, 0);

    if (PQresultStatus(result) == PGRES_COMMAND_OK && strcmp(PQcmdTuples(result), "0") == 0)
        give_up("nothing was written");
    expect(result, PGRES_COMMAND_OK);
}

static int64_t last_position(PGconn *connection)
{
    PGresult *result = PQexec(connection, "SELECT coalesce(max(position), 0) FROM bench.event");
    int64_t position = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    expect(result, PGRES_TUPLES_OK);
    return position;
}

static void make_event(int64_t number, uint8_t event[EVENT_BYTES], char stream[STREAM_SIZE])
{
    memset(event, 0, EVENT_BYTES);
    memcpy(event, &number, sizeof number);
    snprintf(stream, STREAM_SIZE, "intake/application/018f0000-0000-7000-8000-%012lld",
             (long long)(number % 1000));
}

static void fill(struct array columns[], int batch, int64_t position)
{
    static const int types[COLUMNS] = {20, 25, 20, 17, 17};
    uint8_t event[EVENT_BYTES];
    char stream[STREAM_SIZE];

    for (int column = 0; column < COLUMNS; column++)
        array_begin(&columns[column], types[column]);
    for (int i = 0; i < batch; i++) {
        int64_t number = position + i + 1;
        make_event(number, event, stream);
        array_add_number(&columns[AT_POSITION], number);
        array_add(&columns[AT_STREAM], stream, strlen(stream));
        array_add_number(&columns[AT_VERSION], number / 1000 + 1);
        array_add(&columns[AT_BYTES], event, EVENT_BYTES);
        array_add(&columns[AT_LEAF], event, LEAF_BYTES);
    }
}

static void insert(const char *url, int batch, double seconds, double rate)
{
    PGconn *connection = connect_to(url);
    struct array columns[COLUMNS];
    int64_t position = last_position(connection);

    arrays_new(columns, COLUMNS, batch);
    expect(PQprepare(connection, "insert",
                     "INSERT INTO bench.event (position, stream, version, bytes, leaf) "
                     "SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bytea[], $5::bytea[])",
                     0, NULL),
           PGRES_COMMAND_OK);
    measure_begin();
    for (long n = 0; now_us() - measured.began_us < (int64_t)(seconds * 1e6); n++, position += batch) {
        struct parameters with = {.count = 0};
        int64_t due_us = rate > 0 ? measured.began_us + (int64_t)((double)n * 1e6 / rate) : 0;
        if (due_us > now_us())
            usleep((useconds_t)(due_us - now_us()));
        int64_t began_us = now_us();
        fill(columns, batch, position);
        for (int column = 0; column < COLUMNS; column++)
            pass_array(&with, &columns[column]);
        run(connection, "insert", &with);
        measure(began_us, batch);
    }
    measure_end();
    arrays_free(columns, COLUMNS);
    PQfinish(connection);
}

// ------------------------------------------------------------------------------------------------ append

#define NEW_SCHEMA(name)                                                                                     \
    "SET client_min_messages = warning; DROP SCHEMA IF EXISTS " name " CASCADE; CREATE SCHEMA " name         \
    "; SET search_path = " name

// What the tree costs: the log's own tables and statement, with leaves, tree, roots, tiles and signed checkpoints; against
// the same tables and statement without whatever is or holds a hash. What an append costs besides (broker, CURVE, decoding,
// looking for repeats) is left out of both: it would only bring the two closer.
static const char no_hashes[] =
    "ALTER TABLE log DROP COLUMN leaf; ALTER TABLE place DROP COLUMN leaf;"
    "ALTER TABLE head DROP COLUMN root, DROP COLUMN frontier; DROP TABLE root, tile, checkpoint";
static const char append_without[] =
    "WITH fenced AS ("
    "    UPDATE head SET position = $1::bigint WHERE epoch = $2::bigint AND position = $3::bigint"
    "    RETURNING epoch"
    "), added AS ("
    "    INSERT INTO log (position, stream, version, type, bytes, appended_at_us, epoch)"
    "    SELECT $3::bigint + e.n, e.stream, e.version, e.type, e.bytes, $4::bigint, f.epoch"
    "      FROM fenced f, unnest($5::text[], $6::bigint[], $7::text[], $8::bytea[])"
    "           WITH ORDINALITY AS e (stream, version, type, bytes, n)"
    ")"
    "INSERT INTO place (stream, version, position) SELECT e.stream, e.version, $3::bigint + e.n"
    "  FROM fenced f, unnest($5::text[], $6::bigint[]) WITH ORDINALITY AS e (stream, version, n)";

enum { STREAMS, VERSIONS, TYPES, EVENTS, LEAVES, LEVELS, INDICES, ROOTS, ARRAYS };

struct appending {
    PGconn *connection;
    bool hashed;
    struct tree tree;  // only its size, when nothing is hashed
    struct array arrays[ARRAYS];
    struct note_signer signer;
    uint64_t signed_size;
    arena_t *arena;
    int64_t spent_us;
};

static void make_log(struct appending *at)
{
    PGconn *connection = at->connection;

    expect(PQexec(connection, at->hashed ? NEW_SCHEMA("bench_hashed") : NEW_SCHEMA("bench_bare")),
           PGRES_COMMAND_OK);
    for (const struct migration *step = migrations_eventlog; step->text != NULL; step++) {
        PGresult *made = PQexec(connection, step->text);
        expect(made, PQresultStatus(made) == PGRES_TUPLES_OK ? PGRES_TUPLES_OK : PGRES_COMMAND_OK);
    }
    expect(PQexec(connection, "INSERT INTO head (position, epoch, log_id, rehearsal, root, frontier)"
                              "VALUES (0, 1, gen_random_uuid(), true, '', '')"),
           PGRES_COMMAND_OK);
    if (!at->hashed)
        expect(PQexec(connection, no_hashes), PGRES_COMMAND_OK);
    expect(PQprepare(connection, "append", at->hashed ? sql_append.text : append_without, 0, NULL),
           PGRES_COMMAND_OK);
    if (at->hashed)
        expect(PQprepare(connection, "append_signed", sql_append_signed.text, 0, NULL), PGRES_COMMAND_OK);
}

static void add_leaf(struct appending *at, const uint8_t event[EVENT_BYTES])
{
    uint8_t leaf[TREE_HASH], roots[TREE_TILES][TREE_HASH];

    tree_leaf(event, EVENT_BYTES, leaf);
    array_add(&at->arrays[LEAVES], leaf, TREE_HASH);
    int full = tree_add_tiles(&at->tree, leaf, roots);
    for (int level = 0; level < full; level++) {
        array_add_number(&at->arrays[LEVELS], level);
        array_add_number(&at->arrays[INDICES], (int64_t)(at->tree.size >> 8 * (level + 1)) - 1);
        array_add(&at->arrays[ROOTS], roots[level], TREE_HASH);
    }
}

static void add_events(struct appending *at, int batch)
{
    static const int types[ARRAYS] = {25, 20, 25, 17, 17, 20, 20, 17};
    static const char type[] = "intake.v1.DraftSaved";
    uint8_t event[EVENT_BYTES];
    char stream[STREAM_SIZE];

    for (int i = 0; i < ARRAYS; i++)
        array_begin(&at->arrays[i], types[i]);
    for (int i = 0; i < batch; i++) {
        int64_t number = (int64_t)at->tree.size + 1;
        make_event(number, event, stream);
        array_add(&at->arrays[STREAMS], stream, strlen(stream));
        array_add_number(&at->arrays[VERSIONS], number / 1000 + 1);
        array_add(&at->arrays[TYPES], type, strlen(type));
        array_add(&at->arrays[EVENTS], event, EVENT_BYTES);
        if (at->hashed)
            add_leaf(at, event);
        else
            at->tree.size++;
    }
}

// The checkpoint that is due; NULL: none is.
static const char *sign(struct appending *at, const uint8_t root[TREE_HASH])
{
    if (at->tree.size - at->signed_size < CHECKPOINT_EVENTS)
        return NULL;
    at->signed_size = at->tree.size;
    arena_reset(at->arena);
    return checkpoint_sign(at->arena, &at->signer, at->tree.size, root);
}

static void append_batch(struct appending *at, int batch)
{
    int64_t before = (int64_t)at->tree.size;
    struct parameters with = {.count = 0};
    uint8_t root[TREE_HASH];
    const char *note = NULL;

    add_events(at, batch);
    pass_number(&with, (int64_t)at->tree.size);
    if (at->hashed) {
        tree_root(&at->tree, root);
        note = sign(at, root);
        pass(&with, root, TREE_HASH);
        pass(&with, at->tree.hashes, (size_t)at->tree.count * TREE_HASH);
    }
    pass_number(&with, 1);
    pass_number(&with, before);
    pass_number(&with, now_us());
    for (int i = STREAMS; i <= EVENTS; i++)
        pass_array(&with, &at->arrays[i]);
    if (at->hashed)
        pass_array(&with, &at->arrays[LEAVES]);
    bool more = note != NULL || at->arrays[ROOTS].count > 0;
    for (int i = LEVELS; more && i <= ROOTS; i++)
        pass_array(&with, &at->arrays[i]);
    if (more)
        pass(&with, note, note != NULL ? strlen(note) : 0);
    run(at->connection, more ? "append_signed" : "append", &with);
}

static struct appending *append_begin(const char *url, int batch, bool hashed)
{
    struct appending *at = calloc(1, sizeof *at);

    assert(at);
    at->connection = connect_to(url);
    at->hashed = hashed;
    at->arena = arena_new(LIMIT_ARENA_BYTES);
    note_signer_make("log.example/bench", NOTE_PLAIN, (const uint8_t *)"0123456789abcdef0123456789abcdef",
                     &at->signer);
    arrays_new(at->arrays, ARRAYS, batch);
    make_log(at);
    return at;
}

static void append_end(struct appending *at)
{
    arrays_free(at->arrays, ARRAYS);
    arena_destroy(&at->arena);
    PQfinish(at->connection);
    free(at);
}

static double rate_of(const struct appending *at)
{
    return (double)at->tree.size * 1e6 / (double)at->spent_us;
}

// In turn, so that what else the machine does falls on both.
static void append(const char *url, int batch, double seconds)
{
    struct appending *both[] = {append_begin(url, batch, true), append_begin(url, batch, false)};
    int64_t end_us = now_us() + (int64_t)(seconds * 1e6);

    while (now_us() < end_us)
        for (int i = 0; i < 2; i++) {
            int64_t began_us = now_us();
            append_batch(both[i], batch);
            both[i]->spent_us += now_us() - began_us;
        }
    printf("{\"hashed\": %.1f, \"bare\": %.1f}\n", rate_of(both[0]), rate_of(both[1]));
    append_end(both[0]);
    append_end(both[1]);
}

// ------------------------------------------------------------------------------------------------ the others

static void sync_file(const char *path, double seconds)
{
    static const char record[EVENT_BYTES];
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    if (file < 0)
        give_up("the file cannot be made");
    measure_begin();
    while (now_us() - measured.began_us < (int64_t)(seconds * 1e6)) {
        int64_t began_us = now_us();
        if (write(file, record, sizeof record) != sizeof record || fdatasync(file) != 0)
            give_up("the file cannot be written");
        measure(began_us, 1);
    }
    measure_end();
    close(file);
    unlink(path);
}

// A binary COPY of (position, bytes): after a header of 19 bytes each row is a count of fields, then each
// field's length and bytes.
static long copy_once(PGconn *connection, EVP_MD_CTX *context, FILE *file, long *ret_bytes)
{
    char *row;
    long rows = 0;
    int size;
    uint8_t digest[EVP_MAX_MD_SIZE];

    expect(PQexec(connection, "COPY (SELECT position, bytes FROM eventlog.log ORDER BY position) TO STDOUT "
                              "(FORMAT binary)"),
           PGRES_COPY_OUT);
    while ((size = PQgetCopyData(connection, &row, 0)) > 0) {
        const char *first = rows == 0 ? row + 19 : row;
        if (size - (first - row) > 18) {
            rows++;
            *ret_bytes += size;
            if (context) {
                EVP_DigestInit_ex(context, EVP_sha256(), NULL);
                EVP_DigestUpdate(context, "", 1);
                EVP_DigestUpdate(context, first + 18, (size_t)(row + size - first - 18));
                EVP_DigestFinal_ex(context, digest, NULL);
            }
            if (file && fwrite(first + 18, (size_t)(row + size - first - 18), 1, file) != 1)
                give_up("the file cannot be written");
        }
        PQfreemem(row);
    }
    if (size != -1)
        give_up(PQerrorMessage(connection));
    for (PGresult *result; (result = PQgetResult(connection)) != NULL;)
        expect(result, PGRES_COMMAND_OK);
    return rows;
}

// A new file each pass: over an old one the memory would be there already, which it is not for who writes one.
static void file_name(const char *path, int pass, char ret[4096])
{
    snprintf(ret, 4096, "%s.%d", path, pass);
}

// One pass; its file, when there is one, is on disk when it returns.
static long copy_all(PGconn *connection, EVP_MD_CTX *context, const char *path, int pass, long *ret_bytes)
{
    char name[4096];

    file_name(path ? path : "", pass, name);
    FILE *file = path ? fopen(name, "w") : NULL;
    if (path && !file)
        give_up("the file cannot be made");
    if (file)
        setvbuf(file, NULL, _IOFBF, 256 * 1024);
    long rows = copy_once(connection, context, file, ret_bytes);
    if (file && (fflush(file) != 0 || fdatasync(fileno(file)) != 0 || fclose(file) != 0))
        give_up("the file cannot be made durable");
    return rows;
}

// how: NULL, "sha", or a file's path.
static void copy(const char *url, double seconds, const char *how)
{
    bool hashed = how && strcmp(how, "sha") == 0;
    PGconn *connection = connect_to(url);
    EVP_MD_CTX *context = hashed ? EVP_MD_CTX_new() : NULL;
    const char *path = hashed ? NULL : how;
    long bytes = 0;
    int passes = 0;

    measure_begin();
    do {
        int64_t began_us = now_us();
        measure(began_us, copy_all(connection, context, path, passes++, &bytes));
    } while (now_us() - measured.began_us < (int64_t)(seconds * 1e6));
    measure_end();
    EVP_MD_CTX_free(context);
    PQfinish(connection);
    for (int pass = 0; path && pass < passes; pass++) {
        char name[4096];
        file_name(path, pass, name);
        unlink(name);
    }
}

// ------------------------------------------------------------------------------------------------ message-db

#define POLL_US 1000

struct consumer {
    PGconn *connection;
    long wanted;
};

static void *consume(void *context)
{
    const struct consumer *consumer = context;
    char position[32] = "0";

    for (long count = 0; count < consumer->wanted;) {
        const char *values[] = {position};
        PGresult *result = PQexecPrepared(consumer->connection, "read", 1, values, NULL, NULL, 0);
        int rows = PQntuples(result);
        for (int row = 0; row < rows; row++, count++) {
            measure(strtoll(PQgetvalue(result, row, 1), NULL, 10), 1);
            snprintf(position, sizeof position, "%s", PQgetvalue(result, row, 0));
        }
        expect(result, PGRES_TUPLES_OK);
        if (rows == 0)
            usleep(POLL_US);
    }
    return NULL;
}

// The time of writing is the first 20 of the event's 600 bytes.
static void message_db(const char *url, double rate, double seconds)
{
    struct consumer consumer = {.connection = connect_to(url), .wanted = (long)(rate * seconds)};
    PGconn *writer = connect_to(url);
    char event[EVENT_BYTES + 1];
    const char *values[] = {event};
    pthread_t thread;

    expect(PQexec(writer, "TRUNCATE bench.message RESTART IDENTITY"), PGRES_COMMAND_OK);
    expect(PQprepare(writer, "write", "SELECT bench.write_message('category-1', convert_to($1, 'UTF8'))", 0,
                     NULL),
           PGRES_COMMAND_OK);
    expect(PQprepare(consumer.connection, "read",
                     "SELECT global_position, convert_from(substr(data, 1, 20), 'UTF8') FROM bench.message "
                     "WHERE global_position > $1::bigint ORDER BY global_position LIMIT 1000",
                     0, NULL),
           PGRES_COMMAND_OK);
    memset(event, 'x', EVENT_BYTES);
    event[EVENT_BYTES] = '\0';
    measure_begin();
    if (pthread_create(&thread, NULL, consume, &consumer) != 0)
        give_up("no thread can be made");
    int64_t began_us = now_us();
    for (long n = 0; n < consumer.wanted; n++) {
        int64_t due_us = began_us + (int64_t)((double)n * 1e6 / rate);
        if (due_us > now_us())
            usleep((useconds_t)(due_us - now_us()));
        char time[24];
        snprintf(time, sizeof time, "%020lld", (long long)now_us());
        memcpy(event, time, 20);
        expect(PQexecPrepared(writer, "write", 1, values, NULL, NULL, 0), PGRES_TUPLES_OK);
    }
    pthread_join(thread, NULL);
    measure_end();
    PQfinish(writer);
    PQfinish(consumer.connection);
}

int main(int argc, char **argv)
{
    if (argc >= 5 && strcmp(argv[1], "insert") == 0)
        insert(argv[2], atoi(argv[3]), atof(argv[4]), argc > 5 ? atof(argv[5]) : 0);
    else if (argc == 5 && strcmp(argv[1], "append") == 0)
        append(argv[2], atoi(argv[3]), atof(argv[4]));
    else if (argc == 4 && strcmp(argv[1], "fdatasync") == 0)
        sync_file(argv[2], atof(argv[3]));
    else if (argc >= 4 && strcmp(argv[1], "copy") == 0)
        copy(argv[2], atof(argv[3]), argc > 4 ? argv[4] : NULL);
    else if (argc == 5 && strcmp(argv[1], "message-db") == 0)
        message_db(argv[2], atof(argv[3]), atof(argv[4]));
    else
        give_up("see the head of limits.c");
    return 0;
}
