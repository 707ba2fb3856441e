// seal: a text file that is changed in place is read whole or not at all.
//
// A container sees a single file by its inode, so a registry that others have mounted cannot be replaced by rename: it
// is written over, and whoever reads meanwhile sees parts of two versions. A sealed text begins and ends with the same
// line, "# sealed " and the SHA-256 of what stands between, so that no mixture of an old and a new version, sealed or
// not, and no version that was cut short, can be taken for a whole one. A text without a seal is one that a person
// wrote, and is taken as it is.
#pragma once

#include <stdbool.h>

// Read a file of at most 1 MiB. NULL when it cannot be read (errno says why). The caller frees it.
char *seal_read(const char *path);

// Is it one whole version? A text without a seal is.
bool seal_whole(const char *text);

// The text without its seal, in place; what seal_whole has said yes to.
char *seal_open(char *text);

// Write the text, sealed, over the file; made with mode 0644 when it is not there. Durable on return. Ends the process
// with a sentence when it can not be written; before the first byte is changed, room for the new one is asked for.
void seal_write(const char *path, const char *text);
