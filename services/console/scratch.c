// scratch: a file for as long as this run needs it.
#include "scratch.h"

#include "env/env.h"

#include <fcntl.h>
#include <unistd.h>

FILE *scratch_file(void)
{
    int fd = open(env_or("TMPDIR", "/tmp"), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    FILE *file = fd >= 0 ? fdopen(fd, "w+") : NULL;

    if (fd >= 0 && file == NULL)
        close(fd);
    return file;
}
