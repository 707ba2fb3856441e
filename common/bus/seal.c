// seal: a text file that is changed in place is read whole or not at all. See seal.h.
#include "bus/seal.h"

#include "bus/end.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_BYTES (1024 * 1024)
#define MARK       "# sealed "
#define MARK_SIZE  (sizeof MARK - 1)
#define LINE_SIZE  (MARK_SIZE + 64 + 1)  // mark, digest, line feed

static void seal_line(const char *text, size_t size, char ret[LINE_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[32];

    // libsodium's, as in uuid_from: the broker reads seals, and shall not carry OpenSSL for them.
    crypto_hash_sha256(digest, (const uint8_t *)text, size);
    memcpy(ret, MARK, MARK_SIZE);
    for (size_t i = 0; i < sizeof digest; i++) {
        ret[MARK_SIZE + 2 * i] = digits[digest[i] >> 4];
        ret[MARK_SIZE + 2 * i + 1] = digits[digest[i] & 15];
    }
    ret[LINE_SIZE - 1] = '\n';
}

char *seal_read(const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    char *text = malloc(TEXT_BYTES + 1);
    size_t size = 0;
    ssize_t got = file < 0 ? -1 : 1;

    assert(text != NULL);
    while (got > 0 && size < TEXT_BYTES) {
        got = read(file, text + size, TEXT_BYTES - size);
        size += got > 0 ? (size_t)got : 0;
    }
    int fault = got < 0 ? errno : size == TEXT_BYTES ? EFBIG : 0;
    if (file >= 0)
        close(file);
    text[size] = '\0';
    if (fault != 0) {
        free(text);
        errno = fault;
        return NULL;
    }
    return text;
}

// A mark at the beginning of any line: then there must be a seal, and the whole of it.
static bool marked(const char *text)
{
    return strncmp(text, MARK, MARK_SIZE) == 0 || strstr(text, "\n" MARK) != NULL;
}

bool seal_whole(const char *text)
{
    size_t size = strlen(text);
    char line[LINE_SIZE];

    if (!marked(text))
        return true;
    if (size < 2 * LINE_SIZE)
        return false;
    seal_line(text + LINE_SIZE, size - 2 * LINE_SIZE, line);
    return memcmp(text, line, LINE_SIZE) == 0 && memcmp(text + size - LINE_SIZE, line, LINE_SIZE) == 0;
}

char *seal_open(char *text)
{
    assert(seal_whole(text));
    if (!marked(text))
        return text;
    size_t size = strlen(text) - 2 * LINE_SIZE;
    memmove(text, text + LINE_SIZE, size);
    text[size] = '\0';
    return text;
}

static bool write_all(int file, const char *text, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t wrote = pwrite(file, text + done, size - done, (off_t)done);
        if (wrote <= 0)
            return false;
        done += (size_t)wrote;
    }
    return true;
}

void seal_write(const char *path, const char *text)
{
    size_t size = strlen(text), whole = size + 2 * LINE_SIZE;
    char *bytes = malloc(whole + 1);

    assert(bytes != NULL && whole < TEXT_BYTES);
    memcpy(bytes + LINE_SIZE, text, size);
    seal_line(text, size, bytes);
    memcpy(bytes + LINE_SIZE + size, bytes, LINE_SIZE);
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0 || (errno = posix_fallocate(file, 0, (off_t)whole)) != 0)
        bus_end("%s cannot be written, it is as it was: %s", path, strerror(errno));
    if (!write_all(file, bytes, whole) || ftruncate(file, (off_t)whole) != 0 || fsync(file) != 0 ||
        close(file) != 0)
        bus_end("%s cannot be written; until it is, nobody takes it: %s", path, strerror(errno));
    free(bytes);
}
