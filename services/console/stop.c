// stop: has a command been asked to stop?
#include "console.h"

#include <signal.h>

// A signal is pending until the bus has read it; from then on the bus tells.
bool stop_wanted(const struct console *console)
{
    sigset_t pending;
    bool told = console->bus != NULL && bus_stopping(console->bus);

    return told || (sigpending(&pending) == 0 &&
                    (sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1));
}
