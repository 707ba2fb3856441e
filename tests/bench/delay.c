// delay: a proxy that makes a database seem far away. What a client sends arrives DELAY_MS later, answers at
// once.
//
//     delay LISTEN CONNECT DELAY_MS     both are paths of unix sockets
//
// Order is kept and nothing is lost; how much may be under way is not limited. Runs until SIGTERM.
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PAIRS       128
#define CHUNK_BYTES 65536

struct chunk {
    struct chunk *next;
    int64_t due_us;
    size_t size, sent;
    char bytes[];
};

// One client and its connection to the database.
struct pair {
    int client, server;
    struct chunk *first, **last;  // on the way to the database
};

static int64_t now_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000) + time.tv_nsec / 1000;
}

static void give_up(const char *what)
{
    fprintf(stderr, "bench_delay: %s: %s\n", what, strerror(errno));
    exit(1);
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        give_up(path);
    }
    strcpy(address.sun_path, path);
    return address;
}

static void pair_close(struct pair *pair)
{
    close(pair->client);
    close(pair->server);
    while (pair->first) {
        struct chunk *chunk = pair->first;
        pair->first = chunk->next;
        free(chunk);
    }
}

static bool write_all(int to, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(to, bytes, size);
        if (n <= 0)
            return false;
        bytes += n;
        size -= (size_t)n;
    }
    return true;
}

static bool take(struct pair *pair, int64_t delay_us)
{
    struct chunk *chunk = malloc(sizeof *chunk + CHUNK_BYTES);
    assert(chunk);
    ssize_t n = read(pair->client, chunk->bytes, CHUNK_BYTES);
    if (n <= 0) {
        free(chunk);
        return false;
    }
    chunk->next = NULL;
    chunk->due_us = now_us() + delay_us;
    chunk->size = (size_t)n;
    *(pair->first ? pair->last : &pair->first) = chunk;
    pair->last = &chunk->next;
    return true;
}

static bool pass_back(struct pair *pair)
{
    static char bytes[CHUNK_BYTES];
    ssize_t n = read(pair->server, bytes, sizeof bytes);
    return n > 0 && write_all(pair->client, bytes, (size_t)n);
}

static bool pass_due(struct pair *pair)
{
    while (pair->first && pair->first->due_us <= now_us()) {
        struct chunk *chunk = pair->first;
        bool written = write_all(pair->server, chunk->bytes, chunk->size);
        pair->first = chunk->next;
        free(chunk);
        if (!written)
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct pair pairs[PAIRS];
    int count = 0, listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (argc != 4) {
        fputs("usage: delay LISTEN CONNECT DELAY_MS\n", stderr);
        return 2;
    }
    struct sockaddr_un here = address_of(argv[1]), there = address_of(argv[2]);
    int64_t delay_us = (int64_t)(atof(argv[3]) * 1000);
    unlink(argv[1]);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) != 0 || listen(listener, PAIRS) != 0)
        give_up(argv[1]);
    for (;;) {
        struct pollfd polled[1 + 2 * PAIRS] = {{.fd = count < PAIRS ? listener : -1, .events = POLLIN}};
        int64_t next_us = INT64_MAX;
        for (int i = 0; i < count; i++) {
            polled[1 + 2 * i] = (struct pollfd){.fd = pairs[i].client, .events = POLLIN};
            polled[2 + 2 * i] = (struct pollfd){.fd = pairs[i].server, .events = POLLIN};
            if (pairs[i].first && pairs[i].first->due_us < next_us)
                next_us = pairs[i].first->due_us;
        }
        int64_t wait_us = next_us == INT64_MAX ? 1000000 : next_us - now_us();
        struct timespec wait = {.tv_nsec = wait_us > 0 ? (wait_us % 1000000) * 1000 : 0,
                                .tv_sec = wait_us > 0 ? wait_us / 1000000 : 0};
        int before = count;
        ppoll(polled, (nfds_t)(1 + 2 * count), &wait, NULL);
        for (int i = before - 1; i >= 0; i--) {
            bool good = !(polled[1 + 2 * i].revents && !take(&pairs[i], delay_us));
            good = good && !(polled[2 + 2 * i].revents && !pass_back(&pairs[i]));
            good = good && pass_due(&pairs[i]);
            if (!good) {
                pair_close(&pairs[i]);
                pairs[i] = pairs[--count];
            }
        }
        if (polled[0].revents & POLLIN) {
            struct pair pair = {.client = accept4(listener, NULL, NULL, SOCK_CLOEXEC),
                                .server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
            if (pair.client >= 0 && connect(pair.server, (struct sockaddr *)&there, sizeof there) == 0)
                pairs[count++] = pair;
            else
                pair_close(&pair);
        }
    }
}
