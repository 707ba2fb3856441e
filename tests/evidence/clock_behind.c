// A machine whose clock is a day behind: loaded before a program (LD_PRELOAD), it answers for the C library.
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *ret)
{
    int failed = (int)syscall(SYS_clock_gettime, id, ret);

    if (!failed && id == CLOCK_REALTIME)
        ret->tv_sec -= 24 * 60 * 60;
    return failed;
}
