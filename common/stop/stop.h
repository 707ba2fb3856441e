// stop: how a process learns that it shall end: SIGTERM (docker stop, systemd) or SIGINT.
//
// A process is in one of two states. While it waits for what it depends on, nothing has begun that needs an end:
// a signal ends it at once, with exit code 0, also in the middle of a blocking connect or name lookup. From
// stop_open on, a signal is readable input, never cuts into work, and is told by bus_next.
#pragma once

// From now until stop_open: SIGTERM and SIGINT end the process with 0.
void stop_at_once(void);

// From now on signals are input of the descriptor returned (a signalfd, not blocking; close it). A signal that
// came before ended the process, one that comes later is read: none falls in between. Ends the process with a
// sentence when the kernel has no descriptor for it.
int stop_open(void);
