// progress: how far a long command is, for whoever waits for it.
#pragma once

#include <stdint.h>

// How far a long command is, on standard error: a bar with the rate for people, wiped by progress_end; a plain
// line every two seconds where it is no terminal, so that short commands say nothing there. done of all; all 0:
// no end is known.
void progress(const char *what, uint64_t done, uint64_t all);
void progress_end(void);
