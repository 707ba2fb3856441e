// scratch: a file for as long as this run needs it.
#pragma once

#include <stdio.h>

// A file without a name in TMPDIR, or /tmp, open for writing and reading: it goes with the process, however that ends. NULL
// with errno.
FILE *scratch_file(void);
