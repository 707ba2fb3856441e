// end: give up at start with one sentence, when going on would be unsafe (a key is missing, a port is taken).
#pragma once

#include "log/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

// Log the sentence as an alarm and end the process with exit code 1. Not exit(): CZMQ's own handler at exit
// would wait for sockets that are still open.
__attribute__((noreturn, format(printf, 1, 2))) static inline void bus_end(const char *format, ...)
{
    char sentence[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    log_alarm(sentence, NULL);
    fflush(NULL);
    _exit(1);
}
