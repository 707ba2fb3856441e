// files: files that are whole or not there, whatever dies when.
#include "connector.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE 4096

// False when the path would be too long; errno then says so.
static bool path_of(char path[PATH_SIZE], const char *folder, const char *name, const char *end)
{
    int size = snprintf(path, PATH_SIZE, "%s/%s%s", folder, name, end);

    errno = ENAMETOOLONG;
    return size > 0 && size < PATH_SIZE;
}

static bool sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool synced = fsync(fd) == 0;
    close(fd);
    return synced;
}

static bool write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, bytes, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        size -= (size_t)written;
    }
    return true;
}

static bool write_synced(const char *path, const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0)
        return false;
    bool written = write_all(fd, bytes, size) && fsync(fd) == 0;
    int why = errno;
    close(fd);
    errno = why;
    return written;
}

status_t file_write(struct message *message, const char *folder, const char *name, const void *bytes,
                    size_t size)
{
    char part[PATH_SIZE], whole[PATH_SIZE];

    if (path_of(part, folder, name, ".part") && path_of(whole, folder, name, "") &&
        write_synced(part, bytes, size) && rename(part, whole) == 0 && sync_folder(folder))
        return OK;
    return fail(message, RETRY, "%s/%s can not be written: %s", folder, name, strerror(errno));
}

// Until the end or until there is no more room; one byte more than fits shows that it is too large.
static ssize_t read_all(int fd, uint8_t *bytes, size_t room)
{
    size_t size = 0;

    while (size < room) {
        ssize_t got = read(fd, bytes + size, room - size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        size += (size_t)got;
    }
    return (ssize_t)size;
}

static status_t read_open(struct message *message, int fd, const char *name, size_t most,
                          ProtobufCBinaryData *ret)
{
    struct stat found;

    if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode))
        return fail(message, REFUSED, "%s is not a file", name);
    if ((uint64_t)found.st_size > most)
        return fail(message, REFUSED, "%s is larger than %zu bytes", name, most);
    uint8_t *bytes = arena_alloc(message->arena, (size_t)found.st_size + 1);
    ssize_t size = read_all(fd, bytes, (size_t)found.st_size + 1);
    if (size < 0)
        return fail(message, RETRY, "%s can not be read: %s", name, strerror(errno));
    if (size > found.st_size)
        return fail(message, RETRY, "%s grew while it was read", name);
    *ret = (ProtobufCBinaryData){.data = bytes, .len = (size_t)size};
    return OK;
}

status_t file_read(struct message *message, const char *folder, const char *name, size_t most,
                   ProtobufCBinaryData *ret)
{
    char path[PATH_SIZE];
    int fd = path_of(path, folder, name, "") ? open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
                                             : -1;

    if (fd < 0)
        return fail(message, errno == ELOOP || errno == ENXIO ? REFUSED : RETRY, "%s can not be opened: %s",
                    name, strerror(errno));
    status_t status = read_open(message, fd, name, most, ret);
    close(fd);
    return status;
}

bool file_exists(const char *folder, const char *name)
{
    char path[PATH_SIZE];
    struct stat found;

    return path_of(path, folder, name, "") && lstat(path, &found) == 0;
}

// Some file systems (NFS) can not refuse to cover. Then look first: nobody else makes files of our names.
static int rename_uncovering(const char *from, const char *to)
{
    struct stat found;
    int moved = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);

    if (moved == 0 || errno != EINVAL)
        return moved;
    errno = EEXIST;
    return lstat(to, &found) == 0 ? -1 : rename(from, to);
}

enum moved file_move(const char *from, const char *name, const char *to, const char *to_name)
{
    char old[PATH_SIZE], new[PATH_SIZE];

    if (!path_of(old, from, name, "") || !path_of(new, to, to_name, ""))
        return MOVED_NOT;
    enum moved moved = MOVED;
    if (rename_uncovering(old, new) != 0)
        moved = errno == ENOENT ? MOVED_BEFORE : errno == EEXIST ? MOVED_ON_ANOTHER : MOVED_NOT;
    // Whoever moved it before may have died before this.
    if (moved <= MOVED_BEFORE && !(sync_folder(to) && sync_folder(from)))
        return MOVED_NOT;
    return moved;
}
