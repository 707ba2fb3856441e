// peers: what the programs that an engineer would otherwise pick do with events of 600 bytes.
//
//     peers append nats PORT OUTSTANDING SECONDS             JetStream, a stream called bench (made here)
//     peers append rabbit PORT OUTSTANDING SECONDS QUEUE     a durable queue of that type, publisher confirms
//     peers deliver redis PORT RATE SECONDS                  from publishing to a consumer on another connection, RATE
//     peers deliver nats PORT RATE SECONDS                   a second
//     peers deliver rabbit PORT RATE SECONDS QUEUE
//
// append keeps OUTSTANDING under way. Prints one line of JSON. (Redis appends by its own redis-benchmark, message-db's
// algorithm by pgbench and limits.c.)
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENT_BYTES 600
#define WINDOW      65536  // tags; more than may be outstanding

static int64_t now_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000) + time.tv_nsec / 1000;
}

static void give_up(const char *what)
{
    fprintf(stderr, "bench_peers: %s\n", what);
    exit(1);
}

static void report(long count, int64_t began_us)
{
    double seconds = (double)(now_us() - began_us) / 1e6;
    printf("{\"count\": %ld, \"seconds\": %.6f, \"rate\": %.1f}\n", count, seconds, (double)count / seconds);
}

// ------------------------------------------------------------------------------------------------ plain sockets

static int tcp_connect(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int at = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(at, (struct sockaddr *)&address, sizeof address) != 0)
        give_up("it cannot be reached");
    setsockopt(at, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return at;
}

static void tcp_write(int at, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(at, bytes, size);
        if (n <= 0)
            give_up("it has gone");
        bytes += n;
        size -= (size_t)n;
    }
}

// ------------------------------------------------------------------------------------------------ deliveries

#define MARK       "sent:"
#define MARK_BYTES (sizeof MARK - 1 + 16)  // and the time in 16 digits

// What the consumer has seen.
static struct {
    uint32_t *latencies;
    long room;
    atomic_long count;
} seen;

// An event that carries when it was sent.
static void event_fill(char body[EVENT_BYTES])
{
    memset(body, 'x', EVENT_BYTES);
    snprintf(body, MARK_BYTES + 1, MARK "%016lld", (long long)now_us());
    body[MARK_BYTES] = 'x';
}

static void event_seen(const char *body)
{
    char time[17] = "";

    memcpy(time, body + sizeof MARK - 1, 16);
    long count = atomic_load(&seen.count);
    if (count < seen.room)
        seen.latencies[count] = (uint32_t)(now_us() - atoll(time));
    atomic_store(&seen.count, count + 1);
}

// Read once, and see the events in what has come by their marks. Returns how many.
static int events_read(int at)
{
    static char bytes[65536 + 1];
    static size_t kept;
    int count = 0;
    ssize_t n = read(at, bytes + kept, sizeof bytes - 1 - kept);

    if (n <= 0)
        give_up("it has gone");
    kept += (size_t)n;
    bytes[kept] = '\0';
    char *from = bytes;
    for (char *mark; (mark = memmem(from, kept - (size_t)(from - bytes), MARK, sizeof MARK - 1)) != NULL;) {
        if ((size_t)(bytes + kept - mark) < MARK_BYTES)
            break;
        event_seen(mark);
        from = mark + MARK_BYTES;
        count++;
    }
    size_t rest = (size_t)(bytes + kept - from);
    if (rest > MARK_BYTES) {  // what could be the beginning of the next one
        from += rest - MARK_BYTES;
        rest = MARK_BYTES;
    }
    memmove(bytes, from, rest);
    kept = rest;
    return count;
}

static int by_size(const void *one, const void *other)
{
    uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
    return a < b ? -1 : a > b;
}

// Publish so many a second while another thread consumes.
static void deliver(double rate, double seconds, void *(*consume)(void *), void *consumer,
                    void (*publish)(void *publisher, const char *body), void *publisher)
{
    char body[EVENT_BYTES];
    long wanted = (long)(rate * seconds);
    pthread_t thread;

    seen.room = wanted;
    seen.latencies = calloc((size_t)wanted, sizeof *seen.latencies);
    assert(seen.latencies);
    if (pthread_create(&thread, NULL, consume, consumer) != 0)
        give_up("no thread can be made");
    usleep(200000);  // until it listens
    int64_t began_us = now_us();
    for (long n = 0; n < wanted; n++) {
        int64_t due_us = began_us + (int64_t)((double)n * 1e6 / rate);
        if (due_us > now_us())
            usleep((useconds_t)(due_us - now_us()));
        event_fill(body);
        publish(publisher, body);
    }
    double took = (double)(now_us() - began_us) / 1e6;
    for (int64_t end_us = now_us() + 10000000; atomic_load(&seen.count) < wanted && now_us() < end_us;)
        usleep(1000);
    if (atomic_load(&seen.count) != wanted)
        give_up("not everything that was published was delivered once");
    qsort(seen.latencies, (size_t)wanted, sizeof *seen.latencies, by_size);
    printf("{\"count\": %ld, \"seconds\": %.6f, \"rate\": %.1f, \"p50_us\": %u, \"p99_us\": %u}\n", wanted,
           took, (double)wanted / took, seen.latencies[(wanted - 1) / 2],
           seen.latencies[(long)((double)(wanted - 1) * 0.99)]);
    fflush(stdout);
    _exit(0);  // the consumer waits for more
}

// ------------------------------------------------------------------------------------------------ Redis

#define STREAM "delivered"

static void *redis_consume(void *from)
{
    int at = *(int *)from;
    char line[160], last[32] = "$";

    for (long count = 0;;) {
        int size = snprintf(line, sizeof line,
                            "*8\r\n$5\r\nXREAD\r\n$5\r\nCOUNT\r\n$1\r\n1\r\n$5\r\nBLOCK\r\n$1\r\n0\r\n"
                            "$7\r\nSTREAMS\r\n$%zu\r\n" STREAM "\r\n",
                            strlen(STREAM));
        size += snprintf(line + size, sizeof line - (size_t)size, "$%zu\r\n%s\r\n", strlen(last), last);
        tcp_write(at, line, (size_t)size);
        while (events_read(at) == 0)
            continue;
        snprintf(last, sizeof last, "%ld-1", ++count);
    }
    return NULL;
}

// The answer comes when the event is synced.
static void redis_publish(void *to, const char *body)
{
    static long number;
    int at = *(int *)to;
    char line[EVENT_BYTES + 160], id[32], answer[64];

    snprintf(id, sizeof id, "%ld-1", ++number);
    int size = snprintf(line, sizeof line,
                        "*5\r\n$4\r\nXADD\r\n$%zu\r\n" STREAM "\r\n$%zu\r\n%s\r\n$1\r\nd\r\n$%d\r\n%.*s\r\n",
                        strlen(STREAM), strlen(id), id, EVENT_BYTES, EVENT_BYTES, body);
    tcp_write(at, line, (size_t)size);
    if (read(at, answer, sizeof answer) <= 0 || answer[0] != '$')
        give_up("Redis did not take an event");
}

static void redis_deliver(int port, double rate, double seconds)
{
    static const char forget[] = "*2\r\n$3\r\nDEL\r\n$9\r\n" STREAM "\r\n";
    int to = tcp_connect(port), from = tcp_connect(port);
    char answer[64];

    tcp_write(to, forget, strlen(forget));
    if (read(to, answer, sizeof answer) <= 0)
        give_up("Redis has gone");
    deliver(rate, seconds, redis_consume, &from, redis_publish, &to);
}

// ------------------------------------------------------------------------------------------------ NATS

// How many messages to inbox.r came in this read. Each acknowledgement is {"stream":"bench", "seq":N}.
static long nats_acks(int at)
{
    static char bytes[65536 + 1];
    static size_t kept;
    long acks = 0;
    ssize_t n = read(at, bytes + kept, sizeof bytes - 1 - kept);

    if (n <= 0)
        give_up("it has gone");
    kept += (size_t)n;
    bytes[kept] = '\0';
    if (strstr(bytes, "\"error\"") || strstr(bytes, "-ERR"))
        give_up(bytes);
    char *from = bytes;
    for (char *end; (end = strstr(from, "\"seq\":")) != NULL; from = end + 6)
        acks++;
    size_t rest = (size_t)(bytes + kept - from);
    if (rest > 16) {  // what could be the beginning of the next one
        from += rest - 16;
        rest = 16;
    }
    memmove(bytes, from, rest);
    kept = rest;
    return acks;
}

// A connection, and on it the stream, when it is not there yet.
static int nats_open(int port)
{
    static const char hello[] =
        "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\nSUB inbox.r 1\r\n";
    static const char make[] =
        "{\"name\":\"bench\",\"subjects\":[\"bench.in\"],\"storage\":\"file\",\"retention\":"
        "\"limits\",\"num_replicas\":1,\"max_msgs\":-1,\"max_bytes\":-1}";
    char line[1024], answer[65536] = "";
    int at = tcp_connect(port);

    tcp_write(at, hello, strlen(hello));
    int size = snprintf(line, sizeof line, "PUB $JS.API.STREAM.CREATE.bench inbox.r %zu\r\n%s\r\n",
                        strlen(make), make);
    tcp_write(at, line, (size_t)size);
    while (!strstr(answer, "stream_create_response")) {
        ssize_t n = read(at, answer + strlen(answer), sizeof answer - 1 - strlen(answer));
        if (n <= 0 || strlen(answer) > sizeof answer - 4096)
            give_up("NATS made no stream");
    }
    usleep(200000);
    while (recv(at, answer, sizeof answer, MSG_DONTWAIT) > 0)
        continue;
    return at;
}

static void nats_append(int port, long outstanding, double seconds)
{
    char line[1024];
    int at = nats_open(port);
    int size = snprintf(line, sizeof line, "PUB bench.in inbox.r %d\r\n%0*d\r\n", EVENT_BYTES, EVENT_BYTES,
                        0);
    long count = 0, sent = 0;

    int64_t began_us = now_us();
    while (now_us() - began_us < (int64_t)(seconds * 1e6)) {
        for (; sent - count < outstanding; sent++)
            tcp_write(at, line, (size_t)size);
        count += nats_acks(at);
    }
    report(count, began_us);
    close(at);
}

static void *nats_consume(void *from)
{
    for (;;)
        events_read(*(int *)from);
    return NULL;
}

static void nats_publish(void *to, const char *body)
{
    char line[1024];
    int size = snprintf(line, sizeof line, "PUB bench.in %d\r\n%.*s\r\n", EVENT_BYTES, EVENT_BYTES, body);

    tcp_write(*(int *)to, line, (size_t)size);
}

static void nats_deliver(int port, double rate, double seconds)
{
    static const char want[] =
        "{\"stream_name\":\"bench\",\"config\":{\"deliver_subject\":\"bench.out\",\"ack_policy\":"
        "\"none\",\"deliver_policy\":\"new\"}}";
    char line[1024];
    int to = nats_open(port), from = nats_open(port);
    int size = snprintf(line, sizeof line,
                        "SUB bench.out 2\r\nPUB $JS.API.CONSUMER.CREATE.bench inbox.c %zu\r\n%s\r\n",
                        strlen(want), want);

    tcp_write(from, line, (size_t)size);
    deliver(rate, seconds, nats_consume, &from, nats_publish, &to);
}

// ------------------------------------------------------------------------------------------------ RabbitMQ

static void rabbit_good(amqp_connection_state_t connection, const char *what)
{
    if (amqp_get_rpc_reply(connection).reply_type != AMQP_RESPONSE_NORMAL)
        give_up(what);
}

// What has been confirmed: everything up to floor, and some tags above it, each singly.
struct confirmed {
    uint64_t floor;
    long above;
    bool single[WINDOW];
};

static long confirmed_count(const struct confirmed *confirmed)
{
    return (long)confirmed->floor + confirmed->above;
}

static void confirm(struct confirmed *confirmed, uint64_t tag, bool all_before)
{
    if (!all_before && tag > confirmed->floor && !confirmed->single[tag % WINDOW]) {
        confirmed->single[tag % WINDOW] = true;
        confirmed->above++;
    }
    while ((all_before && confirmed->floor < tag) || confirmed->single[(confirmed->floor + 1) % WINDOW]) {
        bool *single = &confirmed->single[++confirmed->floor % WINDOW];
        confirmed->above -= *single;
        *single = false;
    }
}

static void rabbit_wait(amqp_connection_state_t connection, struct confirmed *confirmed)
{
    amqp_frame_t frame;

    amqp_maybe_release_buffers(connection);
    if (amqp_simple_wait_frame(connection, &frame) != AMQP_STATUS_OK)
        give_up("RabbitMQ has gone");
    if (frame.frame_type != AMQP_FRAME_METHOD || frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
        give_up("RabbitMQ did not confirm");
    const amqp_basic_ack_t *ack = frame.payload.method.decoded;
    confirm(confirmed, ack->delivery_tag, ack->multiple);
}

// A connection with one channel, and the queue, when it is not there yet.
static amqp_connection_state_t rabbit_open(int port, const char *type, char name[64])
{
    amqp_connection_state_t connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);
    amqp_table_entry_t entry = {
        .key = amqp_cstring_bytes("x-queue-type"),
        .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(type)}};
    amqp_table_t arguments = {.num_entries = 1, .entries = &entry};

    if (!socket || amqp_socket_open(socket, "127.0.0.1", port) != 0)
        give_up("RabbitMQ cannot be reached");
    if (amqp_login(connection, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest").reply_type !=
        AMQP_RESPONSE_NORMAL)
        give_up("RabbitMQ does not know us");
    amqp_channel_open(connection, 1);
    rabbit_good(connection, "RabbitMQ opens no channel");
    amqp_queue_declare(connection, 1, amqp_cstring_bytes(name), 0, 1, 0, 0, arguments);
    rabbit_good(connection, "RabbitMQ makes no queue of this type");
    return connection;
}

static int rabbit_send(amqp_connection_state_t connection, const char *name, const char *body)
{
    amqp_basic_properties_t durable = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = 2};
    amqp_bytes_t bytes = {.len = EVENT_BYTES, .bytes = (void *)body};

    return amqp_basic_publish(connection, 1, amqp_empty_bytes, amqp_cstring_bytes(name), 0, 0, &durable,
                              bytes);
}

static void rabbit_append(int port, long outstanding, double seconds, const char *type)
{
    static const char body[EVENT_BYTES];
    static struct confirmed confirmed;
    char name[64];
    long sent = 0;

    snprintf(name, sizeof name, "bench-%s", type);
    amqp_connection_state_t connection = rabbit_open(port, type, name);
    amqp_confirm_select(connection, 1);
    rabbit_good(connection, "RabbitMQ confirms nothing");
    int64_t began_us = now_us();
    while (now_us() - began_us < (int64_t)(seconds * 1e6)) {
        for (; sent - confirmed_count(&confirmed) < outstanding; sent++)
            if (rabbit_send(connection, name, body) != 0)
                give_up("RabbitMQ has gone");
        rabbit_wait(connection, &confirmed);
    }
    report(confirmed_count(&confirmed), began_us);
    amqp_destroy_connection(connection);
}

struct rabbit {
    amqp_connection_state_t connection;
    char name[64];
};

static void *rabbit_consume(void *from)
{
    struct rabbit *rabbit = from;
    amqp_envelope_t envelope;

    for (;;) {
        amqp_maybe_release_buffers(rabbit->connection);
        if (amqp_consume_message(rabbit->connection, &envelope, NULL, 0).reply_type != AMQP_RESPONSE_NORMAL ||
            envelope.message.body.len != EVENT_BYTES)
            give_up("RabbitMQ delivers nothing");
        event_seen(envelope.message.body.bytes);
        amqp_basic_ack(rabbit->connection, 1, envelope.delivery_tag, 0);
        amqp_destroy_envelope(&envelope);
    }
    return NULL;
}

static void rabbit_publish(void *to, const char *body)
{
    struct rabbit *rabbit = to;
    if (rabbit_send(rabbit->connection, rabbit->name, body) != 0)
        give_up("RabbitMQ has gone");
}

// A queue of its own each time: what is in it was sent now.
static void rabbit_deliver(int port, double rate, double seconds, const char *type)
{
    struct rabbit to, from;
    amqp_table_entry_t entry = {
        .key = amqp_cstring_bytes("x-stream-offset"),
        .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes("first")}};
    amqp_table_t first = {.num_entries = strcmp(type, "stream") == 0, .entries = &entry};

    snprintf(to.name, sizeof to.name, "deliver-%s-%lld", type, (long long)now_us());
    snprintf(from.name, sizeof from.name, "%s", to.name);
    to.connection = rabbit_open(port, type, to.name);
    from.connection = rabbit_open(port, type, from.name);
    amqp_basic_qos(from.connection, 1, 0, 1000, 0);
    amqp_basic_consume(from.connection, 1, amqp_cstring_bytes(from.name), amqp_empty_bytes, 0, 0, 0, first);
    rabbit_good(from.connection, "RabbitMQ lets nobody consume");
    deliver(rate, seconds, rabbit_consume, &from, rabbit_publish, &to);
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "", *whom = argc > 2 ? argv[2] : "";
    const char *type = argc > 6 ? argv[6] : "quorum";
    bool append = strcmp(what, "append") == 0;

    if (argc < 6 || (!append && strcmp(what, "deliver") != 0))
        give_up("see the head of peers.c");
    int port = atoi(argv[3]);
    double seconds = atof(argv[5]);
    if (append && strcmp(whom, "nats") == 0)
        nats_append(port, atol(argv[4]), seconds);
    else if (append && strcmp(whom, "rabbit") == 0)
        rabbit_append(port, atol(argv[4]), seconds, type);
    else if (!append && strcmp(whom, "redis") == 0)
        redis_deliver(port, atof(argv[4]), seconds);
    else if (!append && strcmp(whom, "nats") == 0)
        nats_deliver(port, atof(argv[4]), seconds);
    else if (!append && strcmp(whom, "rabbit") == 0)
        rabbit_deliver(port, atof(argv[4]), seconds, type);
    else
        give_up("see the head of peers.c");
    return 0;
}
