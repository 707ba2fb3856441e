// health: ask a process how it is, over its own endpoint, from a process of its own.
#include "clock/clock.h"
#include "env/env.h"
#include "limits/limits.h"
#include "metrics/endpoint.h"
#include "metrics/vitals.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_BYTES 4096
#define UNHEALTHY    3

// A question on its way: the socket, and when we have waited long enough.
struct question {
    int fd;
    int64_t until_ms;
};

// NULL, or what went wrong.
static const char *await(const struct question *question, short events)
{
    struct pollfd one = {.fd = question->fd, .events = events};
    int64_t left_ms = question->until_ms - clock_stopwatch_ms();
    int came = left_ms > 0 ? poll(&one, 1, (int)left_ms) : 0;

    return came > 0 ? NULL : came == 0 ? "no answer in time" : strerror(errno);
}

static const char *reach(const struct question *question, const struct sockaddr_in *address)
{
    int fault = 0;
    socklen_t size = sizeof fault;

    if (question->fd < 0)
        return strerror(errno);
    if (connect(question->fd, (const struct sockaddr *)address, sizeof *address) != 0 && errno != EINPROGRESS)
        return strerror(errno);
    const char *wrong = await(question, POLLOUT);
    if (wrong == NULL && getsockopt(question->fd, SOL_SOCKET, SO_ERROR, &fault, &size) == 0 && fault != 0)
        wrong = strerror(fault);
    return wrong;
}

// Until the other end closes, or there is no more room.
static const char *receive(const struct question *question, char answer[ANSWER_BYTES])
{
    size_t size = 0;

    while (size < ANSWER_BYTES - 1) {
        const char *wrong = await(question, POLLIN);
        if (wrong != NULL)
            return wrong;
        ssize_t got = recv(question->fd, answer + size, ANSWER_BYTES - 1 - size, 0);
        if (got == 0)
            break;
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            return strerror(errno);
        size += got > 0 ? (size_t)got : 0;
    }
    answer[size] = '\0';
    return NULL;
}

static const char *exchange(const struct sockaddr_in *address, const char *path, char answer[ANSWER_BYTES])
{
    struct question question = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
                                .until_ms = clock_stopwatch_ms() + LIMIT_HEALTH_MS};
    char request[128];
    int size = snprintf(request, sizeof request,
                        "GET /%s HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n", path);

    const char *wrong = reach(&question, address);
    if (wrong == NULL && send(question.fd, request, (size_t)size, MSG_NOSIGNAL) != size)
        wrong = strerror(errno);
    if (wrong == NULL)
        wrong = receive(&question, answer);
    if (question.fd >= 0)
        close(question.fd);
    return wrong;
}

// Print the sentence of an answer; its status is the exit code.
static int told(const char *bind, const char *answer)
{
    const char *body = strstr(answer, "\r\n\r\n");
    int status = 0;

    if (body == NULL || sscanf(answer, "HTTP/1.%*d %d", &status) != 1) {
        fprintf(stderr, "not healthy: what answers at METRICS_BIND %s is no process of this house\n", bind);
        return UNHEALTHY;
    }
    fputs(body + 4, stdout);
    return status == 200 ? 0 : UNHEALTHY;
}

int health_main(int count, char *words[])
{
    const char *what = count == 0 ? "ready" : words[0], *bind = env_or("METRICS_BIND", NULL);
    struct sockaddr_in address;
    char answer[ANSWER_BYTES];

    if (count > 1 || (strcmp(what, "ready") != 0 && strcmp(what, "live") != 0)) {
        fputs("--health takes nothing, live or ready; see --help\n", stderr);
        return 2;
    }
    if (bind == NULL || !endpoint_address(bind, &address)) {
        fprintf(stderr,
                "not healthy: METRICS_BIND is %s, so there is no endpoint to ask; set it to address:port\n",
                bind == NULL ? "not set" : "malformed");
        return UNHEALTHY;
    }
    if (address.sin_addr.s_addr == htonl(INADDR_ANY))
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const char *wrong = exchange(&address, what, answer);
    if (wrong == NULL)
        return told(bind, answer);
    fprintf(stderr, "not healthy: the process at METRICS_BIND %s does not answer: %s\n", bind, wrong);
    return UNHEALTHY;
}
