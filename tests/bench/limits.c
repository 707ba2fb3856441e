// limits: what the machine can do without us: bare inserts over libpq, fdatasync, COPY, COPY with SHA-256.
//
//     limits insert URL BATCH SECONDS [RATE]   events, BATCH to a transaction, by unnest of binary arrays
//     limits fdatasync FILE SECONDS            600 bytes written and synced, one after the other
//     limits copy URL SECONDS [sha]            COPY of the log's bytes in binary, and hashed by OpenSSL on the way
//     limits message-db URL RATE SECONDS       message-db's algorithm: from writing to a consumer that polls every ms
//
// Prints one line of JSON. insert needs the table bench.event and message-db bench.message, which the harness makes.
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
};

static void add_number(struct array *array, uint64_t number, int bytes)
{
    while (bytes-- > 0)
        array->bytes[array->size++] = (uint8_t)(number >> (8 * bytes));
}

// PostgreSQL's array_recv: dimensions, nulls, element type, length, lower bound; then each element with its
// length.
static void array_begin(struct array *array, int count, int type)
{
    array->size = 0;
    add_number(array, 1, 4);
    add_number(array, 0, 4);
    add_number(array, (uint64_t)type, 4);
    add_number(array, (uint64_t)count, 4);
    add_number(array, 1, 4);
}

static void array_add(struct array *array, const void *bytes, size_t size)
{
    add_number(array, size, 4);
    memcpy(array->bytes + array->size, bytes, size);
    array->size += size;
}

static void array_add_number(struct array *array, int64_t number)
{
    add_number(array, 8, 4);
    add_number(array, (uint64_t)number, 8);
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

static int64_t last_position(PGconn *connection)
{
    PGresult *result = PQexec(connection, "SELECT coalesce(max(position), 0) FROM bench.event");
    int64_t position = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
    expect(result, PGRES_TUPLES_OK);
    return position;
}

static void fill(struct array columns[], int batch, int64_t position)
{
    static const int types[COLUMNS] = {20, 25, 20, 17, 17};
    static uint8_t event[EVENT_BYTES];
    char stream[STREAM_SIZE];

    for (int column = 0; column < COLUMNS; column++)
        array_begin(&columns[column], batch, types[column]);
    for (int i = 0; i < batch; i++) {
        int64_t number = position + i + 1;
        memcpy(event, &number, sizeof number);
        snprintf(stream, sizeof stream, "intake/application/018f0000-0000-7000-8000-%012lld",
                 (long long)(number % 1000));
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
    const char *values[COLUMNS];
    int sizes[COLUMNS], formats[COLUMNS];
    int64_t position = last_position(connection);

    for (int column = 0; column < COLUMNS; column++) {
        columns[column].bytes = malloc(64 + (size_t)batch * (EVENT_BYTES + 8));
        assert(columns[column].bytes);
        formats[column] = 1;
    }
    expect(PQprepare(connection, "insert",
                     "INSERT INTO bench.event (position, stream, version, bytes, leaf) "
                     "SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bytea[], $5::bytea[])",
                     0, NULL),
           PGRES_COMMAND_OK);
    measure_begin();
    for (long n = 0; now_us() - measured.began_us < (int64_t)(seconds * 1e6); n++, position += batch) {
        int64_t due_us = rate > 0 ? measured.began_us + (int64_t)((double)n * 1e6 / rate) : 0;
        if (due_us > now_us())
            usleep((useconds_t)(due_us - now_us()));
        int64_t began_us = now_us();
        fill(columns, batch, position);
        for (int column = 0; column < COLUMNS; column++) {
            values[column] = (const char *)columns[column].bytes;
            sizes[column] = (int)columns[column].size;
        }
        expect(PQexecPrepared(connection, "insert", COLUMNS, values, sizes, formats, 0), PGRES_COMMAND_OK);
        measure(began_us, batch);
    }
    measure_end();
    for (int column = 0; column < COLUMNS; column++)
        free(columns[column].bytes);
    PQfinish(connection);
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
static long copy_once(PGconn *connection, EVP_MD_CTX *context, long *ret_bytes)
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
        }
        PQfreemem(row);
    }
    if (size != -1)
        give_up(PQerrorMessage(connection));
    for (PGresult *result; (result = PQgetResult(connection)) != NULL;)
        expect(result, PGRES_COMMAND_OK);
    return rows;
}

static void copy(const char *url, double seconds, int hashed)
{
    PGconn *connection = connect_to(url);
    EVP_MD_CTX *context = hashed ? EVP_MD_CTX_new() : NULL;
    long bytes = 0;

    measure_begin();
    do {
        int64_t began_us = now_us();
        measure(began_us, copy_once(connection, context, &bytes));
    } while (now_us() - measured.began_us < (int64_t)(seconds * 1e6));
    measure_end();
    EVP_MD_CTX_free(context);
    PQfinish(connection);
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
    else if (argc == 4 && strcmp(argv[1], "fdatasync") == 0)
        sync_file(argv[2], atof(argv[3]));
    else if (argc >= 4 && strcmp(argv[1], "copy") == 0)
        copy(argv[2], atof(argv[3]), argc > 4);
    else if (argc == 5 && strcmp(argv[1], "message-db") == 0)
        message_db(argv[2], atof(argv[3]), atof(argv[4]));
    else
        give_up("see the head of limits.c");
    return 0;
}
