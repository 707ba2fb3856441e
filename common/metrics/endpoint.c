// endpoint: what a process shows of itself over HTTP.
#include "metrics/endpoint.h"

#include "bus/end.h"
#include "clock/clock.h"
#include "limits/limits.h"
#include "metrics/metrics.h"

#include <arpa/inet.h>
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define STACK_BYTES    (256 * 1024)  // of the thread
#define BACKLOG        16
#define SENTENCE_BYTES 1024
#define METRICS_TYPE   "text/plain; version=0.0.4; charset=utf-8"
#define SENTENCE_TYPE  "text/plain; charset=utf-8"

struct endpoint {
    struct MHD_Daemon *daemon;
    pthread_mutex_t lock;  // of what the loop shows:
    char *text;
    size_t size;
    bool ready;
    char reasons[SENTENCE_BYTES];
    int64_t turned_ms;
    struct own {  // the thread's alone: what is read from the kernel when somebody asks
        metrics_t *metrics;
        series_t *turn_age, *resident, *most_memory, *cpu, *started, *open_files, *most_files;
    } own;
};

// ------------------------------------------------------------------------------------------ of the process

static struct own own_new(void)
{
    metrics_t *metrics = metrics_new();
    struct own own = {
        .metrics = metrics,
        .turn_age = series_new(metrics, FAMILY_GAUGE, "tildel_turn_age_seconds",
                               "Since the process's loop last came by; far over 1 it stands still."),
        .resident = series_new(metrics, FAMILY_GAUGE, "process_resident_memory_bytes",
                               "Resident memory size in bytes."),
        .most_memory = series_new(metrics, FAMILY_GAUGE, "tildel_memory_limit_bytes",
                                  "What the container may take in memory; +Inf where there is no limit."),
        .cpu = series_new(metrics, FAMILY_COUNTER, "process_cpu_seconds_total",
                          "Total user and system CPU time spent in seconds."),
        .started = series_new(metrics, FAMILY_GAUGE, "process_start_time_seconds",
                              "Start time of the process since unix epoch in seconds."),
        .open_files = series_new(metrics, FAMILY_GAUGE, "process_open_fds",
                                 "Number of open file descriptors."),
        .most_files = series_new(metrics, FAMILY_GAUGE, "process_max_fds",
                                 "Maximum number of open file descriptors."),
    };

    series_set(own.started, (double)clock_real_us() / 1e6);
    return own;
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

// The second number of /proc/self/statm counts pages. 0 when it cannot be read.
static double resident_bytes(void)
{
    long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file == NULL)
        return 0;
    if (fscanf(file, "%ld %ld", &all, &resident) != 2)
        resident = 0;
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

// Of control groups, version 2 or 1, as a container sees its own. Version 1 says "none" by a number near 2^63.
static double memory_limit_bytes(void)
{
    static const char *const paths[] = {"/sys/fs/cgroup/memory.max",
                                        "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    double limit = INFINITY;

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        FILE *file = fopen(paths[i], "re");
        if (file == NULL)
            continue;
        if (fscanf(file, "%lf", &limit) != 1 || limit > 1e18)  // "max" is no number
            limit = INFINITY;
        fclose(file);
        break;
    }
    return limit;
}

static int open_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    if (folder == NULL)
        return 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder))
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count - 1;  // the folder itself was one of them
}

static void own_read(struct own *own, int64_t turn_age_ms)
{
    struct rusage usage = {0};
    struct rlimit files = {0};

    getrusage(RUSAGE_SELF, &usage);
    getrlimit(RLIMIT_NOFILE, &files);
    series_set(own->turn_age, (double)turn_age_ms / 1000);
    series_set(own->resident, resident_bytes());
    series_set(own->most_memory, memory_limit_bytes());
    series_set(own->cpu, seconds(usage.ru_utime) + seconds(usage.ru_stime));
    series_set(own->open_files, open_files());
    series_set(own->most_files, (double)files.rlim_cur);
}

// ---------------------------------------------------------------------------------------------------- pages

// A page being made: what there is to say, and the status it is said with.
struct page {
    FILE *to;
    unsigned int status;
    const char *type;
};

static int64_t turn_age_ms(const endpoint_t *endpoint)
{
    return clock_stopwatch_ms() - endpoint->turned_ms;
}

static void refuse(struct page *page, const char *format, double number, const char *text)
{
    page->status = MHD_HTTP_SERVICE_UNAVAILABLE;
    fprintf(page->to, format, number, text);
}

static bool stands_still(const endpoint_t *endpoint, struct page *page)
{
    int64_t age_ms = turn_age_ms(endpoint);

    if (age_ms <= LIMIT_TURN_MS)
        return false;
    refuse(page, "not live: the loop has not turned for %.0f seconds%s\n", (double)age_ms / 1000, "");
    return true;
}

static void show_live(endpoint_t *endpoint, struct page *page)
{
    if (!stands_still(endpoint, page))
        fputs("live: the loop turns\n", page->to);
}

static void show_ready(endpoint_t *endpoint, struct page *page)
{
    if (stands_still(endpoint, page))
        return;
    if (endpoint->ready) {
        fputs("ready\n", page->to);
        return;
    }
    page->status = MHD_HTTP_SERVICE_UNAVAILABLE;
    fprintf(page->to, "not ready: %s\n", endpoint->reasons);
}

static void show_metrics(endpoint_t *endpoint, struct page *page)
{
    page->type = METRICS_TYPE;
    if (endpoint->text != NULL)
        fwrite(endpoint->text, 1, endpoint->size, page->to);
    own_read(&endpoint->own, turn_age_ms(endpoint));
    metrics_write(endpoint->own.metrics, page->to);
}

static const struct {
    const char *path;
    void (*show)(endpoint_t *endpoint, struct page *page);
} pages[] = {{"/metrics", show_metrics}, {"/live", show_live}, {"/ready", show_ready}};

static void page_make(endpoint_t *endpoint, const char *path, const char *method, struct page *page)
{
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        page->status = MHD_HTTP_METHOD_NOT_ALLOWED;
        fputs("only GET and HEAD are answered here\n", page->to);
        return;
    }
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        if (strcmp(pages[i].path, path) == 0) {
            pthread_mutex_lock(&endpoint->lock);
            pages[i].show(endpoint, page);
            pthread_mutex_unlock(&endpoint->lock);
            return;
        }
    }
    page->status = MHD_HTTP_NOT_FOUND;
    fputs("there is nothing here; /metrics, /live and /ready are\n", page->to);
}

// libmicrohttpd calls this when a request's header is whole. A body is never waited for: the connection closes.
static enum MHD_Result on_request(void *self, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **request)
{
    struct page page = {.status = MHD_HTTP_OK, .type = SENTENCE_TYPE};
    char *text = NULL;
    size_t size = 0;

    (void)version, (void)upload, (void)upload_size, (void)request;
    page.to = open_memstream(&text, &size);
    assert(page.to != NULL);
    page_make(self, path, method, &page);
    int closed = fclose(page.to);
    assert(closed == 0);
    struct MHD_Response *response = MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(text);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, page.type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    if (page.status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result queued = MHD_queue_response(connection, page.status, response);
    MHD_destroy_response(response);
    return queued;
}

// ---------------------------------------------------------------------------------------------------- start

bool endpoint_address(const char *bind, struct sockaddr_in *ret)
{
    const char *colon = strrchr(bind, ':');
    char host[INET_ADDRSTRLEN] = "", *end;

    *ret = (struct sockaddr_in){.sin_family = AF_INET};
    if (colon == NULL || colon - bind >= (ptrdiff_t)sizeof host || colon[1] < '1' || colon[1] > '9')
        return false;
    memcpy(host, bind, (size_t)(colon - bind));
    long port = strtol(colon + 1, &end, 10);
    if (*end != '\0' || port > UINT16_MAX)
        return false;
    ret->sin_port = htons((uint16_t)port);
    return strcmp(host, "*") == 0 || inet_pton(AF_INET, host, &ret->sin_addr) == 1;
}

static int listener(const char *place)
{
    struct sockaddr_in address;
    int yes = 1;

    if (!endpoint_address(place, &address))
        bus_end(
            "METRICS_BIND is '%s'; it must be an IPv4 address or *, a colon and a port, like 127.0.0.1:9464",
            place);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    // Not SO_REUSEPORT: a second process on the same port must be refused.
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, BACKLOG) != 0)
        bus_end("METRICS_BIND %s cannot be listened on: %s", place, strerror(errno));
    return fd;
}

// The thread inherits a mask that blocks everything: SIGTERM is the loop's to read, by signalfd, and would end the
// process if any thread could take it.
static struct MHD_Daemon *daemon_start(endpoint_t *endpoint, int fd)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL, on_request, endpoint,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned int)LIMIT_SCRAPE_CONNECTIONS,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned int)LIMIT_SCRAPE_CONNECTIONS / 2,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)LIMIT_SCRAPE_MS / 1000,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)LIMIT_SCRAPE_BYTES, MHD_OPTION_THREAD_STACK_SIZE,
        (size_t)STACK_BYTES, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return daemon;
}

endpoint_t *endpoint_start(const char *bind)
{
    int fd = listener(bind);
    endpoint_t *endpoint = calloc(1, sizeof *endpoint);

    assert(endpoint != NULL);
    *endpoint = (endpoint_t){.lock = PTHREAD_MUTEX_INITIALIZER,
                             .reasons = "it is starting",
                             .turned_ms = clock_stopwatch_ms(),
                             .own = own_new()};
    endpoint->daemon = daemon_start(endpoint, fd);
    if (endpoint->daemon == NULL)
        bus_end("METRICS_BIND %s cannot be served: libmicrohttpd does not start", bind);
    return endpoint;
}

void endpoint_destroy(endpoint_t **endpoint_p)
{
    endpoint_t *endpoint = *endpoint_p;

    if (endpoint == NULL)
        return;
    MHD_stop_daemon(endpoint->daemon);  // closes the socket, and ends the thread
    metrics_destroy(&endpoint->own.metrics);
    pthread_mutex_destroy(&endpoint->lock);
    free(endpoint->text);
    free(endpoint);
    *endpoint_p = NULL;
}

void endpoint_show(endpoint_t *endpoint, char *text, size_t size, const char *reasons)
{
    pthread_mutex_lock(&endpoint->lock);
    char *before = endpoint->text;
    endpoint->text = text;
    endpoint->size = size;
    endpoint->ready = reasons == NULL;
    snprintf(endpoint->reasons, sizeof endpoint->reasons, "%s", reasons != NULL ? reasons : "");
    endpoint->turned_ms = clock_stopwatch_ms();
    pthread_mutex_unlock(&endpoint->lock);
    free(before);
}
