// stop: how a process learns that it shall end. See stop.h.
#include "stop/stop.h"

#include "bus/end.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static sigset_t stops(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    return set;
}

// Only what a signal handler may call.
static void end_well(int number)
{
    (void)number;
    _exit(0);
}

void stop_at_once(void)
{
    struct sigaction action = {.sa_handler = end_well};

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

int stop_open(void)
{
    sigset_t set = stops();

    // Blocked first: from here on a signal waits to be read.
    int fd = sigprocmask(SIG_BLOCK, &set, NULL) == 0 ? signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC) : -1;
    if (fd < 0)
        bus_end("signals cannot be waited for: %s", strerror(errno));
    return fd;
}
