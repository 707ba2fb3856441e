// package: the auditor's package, written.
#include "package.h"

#include "limits/limits.h"
#include "sums.h"
#include "values/values.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct package {
    arena_t *ground;
    const char *path, *part;  // its name, and the one it has until it is finished
    int file;
    struct archive *archive;
    int64_t made_at_us;
    sums_t *sums;
};

static bool wrong(arena_t *ground, const char **ret_why, const char *what, const char *path, const char *why)
{
    *ret_why = arena_printf(ground, "%s cannot be %s: %s", path, what, why);
    return false;
}

static bool no_sums(package_t *package, const char **ret_why)
{
    *ret_why = sums_fault(package->ground, package->path);
    return false;
}

package_t *package_new(arena_t *ground, const char *path, int64_t made_at_us, const char **ret_why)
{
    package_t *package = arena_alloc(ground, sizeof *package);

    *package = (package_t){.ground = ground, .path = path, .file = -1, .made_at_us = made_at_us};
    package->part = arena_printf(ground, "%s.part-%d", path, (int)getpid());
    if (access(path, F_OK) == 0) {
        *ret_why = arena_printf(ground, "%s is there already; nothing is overwritten", path);
        return NULL;
    }
    package->file = open(package->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (package->file < 0) {
        wrong(ground, ret_why, "made", path, strerror(errno));
        return NULL;
    }
    package->sums = sums_new();
    if (package->sums == NULL) {
        no_sums(package, ret_why);
        package_destroy(&package);
        return NULL;
    }
    package->archive = archive_write_new();
    assert(package->archive != NULL);
    archive_write_set_format_pax_restricted(package->archive);
    if (archive_write_open_fd(package->archive, package->file) == ARCHIVE_OK)
        return package;
    wrong(ground, ret_why, "written", path, archive_error_string(package->archive));
    package_destroy(&package);
    return NULL;
}

static bool not_written(package_t *package, const char **ret_why)
{
    const char *why = archive_error_string(package->archive);

    return wrong(package->ground, ret_why, "written", package->path,
                 why != NULL ? why : "its bytes were not taken");
}

static bool begin_member(package_t *package, const char *name, size_t size, const char **ret_why)
{
    struct archive_entry *entry = archive_entry_new();

    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, (la_int64_t)size);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_mtime(entry, (time_t)(package->made_at_us / 1000000), 0);
    bool well = archive_write_header(package->archive, entry) == ARCHIVE_OK;
    archive_entry_free(entry);
    return well || not_written(package, ret_why);
}

static bool put(package_t *package, const void *bytes, size_t size, const char **ret_why)
{
    return archive_write_data(package->archive, bytes, size) == (la_ssize_t)size ||
           not_written(package, ret_why);
}

static bool end_member(package_t *package, const char **ret_why)
{
    return archive_write_finish_entry(package->archive) == ARCHIVE_OK || not_written(package, ret_why);
}

bool package_add(package_t *package, const char *name, const void *bytes, size_t size, const char **ret_why)
{
    if (!sums_add(package->sums, name, bytes, size))
        return no_sums(package, ret_why);
    return begin_member(package, name, size, ret_why) && put(package, bytes, size, ret_why) &&
           end_member(package, ret_why);
}

static bool add_sums(package_t *package, const char **ret_why)
{
    char piece[4096];
    size_t size;

    if (!sums_end(package->sums, &size))
        return no_sums(package, ret_why);
    bool well = begin_member(package, SUMS_MEMBER, size, ret_why);
    for (size_t n; well && (n = sums_take(package->sums, piece, sizeof piece)) > 0;)
        well = put(package, piece, n, ret_why);
    return well && end_member(package, ret_why);
}

static bool sync_folder(const char *path)
{
    char *copy = strdup(path);
    int folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool well = folder >= 0 && fsync(folder) == 0;

    if (folder >= 0)
        close(folder);
    free(copy);
    return well;
}

bool package_finish(package_t *package, const char **ret_why)
{
    if (!add_sums(package, ret_why))
        return false;
    if (archive_write_close(package->archive) != ARCHIVE_OK)
        return wrong(package->ground, ret_why, "written", package->path,
                     archive_error_string(package->archive));
    // A link fails where a name is taken, which a rename does not.
    if (fsync(package->file) != 0 || link(package->part, package->path) != 0)
        return wrong(package->ground, ret_why, "finished", package->path, strerror(errno));
    unlink(package->part);
    if (!sync_folder(package->path))
        return wrong(package->ground, ret_why, "made durable", package->path, strerror(errno));
    return true;
}

void package_destroy(package_t **package_p)
{
    package_t *package = *package_p;

    if (package == NULL)
        return;
    // Freeing closes the archive first, which writes its end into a file that is gone at once.
    if (package->archive != NULL)
        archive_write_free(package->archive);
    sums_destroy(&package->sums);
    if (package->file >= 0) {
        close(package->file);
        unlink(package->part);
    }
    *package_p = NULL;
}
