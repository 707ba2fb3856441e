// export: the log as files, straight from the database.
//
// No file that the checkpoint of a folder covers is ever written again: a tile that has grown has another name until it is full.
// What is beyond the checkpoint is what a run that did not come to its end has left, and is written anew.
#include "eventlog.h"

#include "eventlog_store.sql.h"
#include "limits/limits.h"
#include "log/log.h"
#include "progress/progress.h"
#include "values/values.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPORT_CHUNK 65536  // entries in one statement

struct export
{
    struct message *message;
    const char *folder;
    int fd;  // of the folder, locked
    const struct note_ring *keys;
    arena_t *ground;               // what lives as long as the export
    struct checkpoint checkpoint;  // up to which the log is exported
    const char *note;
    uint64_t held;  // size of the checkpoint that the folder had; so much of it is not written again
    struct tiling tiling;
    uint8_t *bundle;  // the entries of the bundle under way
    size_t bundle_size;
    uint8_t beside[TILE * LAYOUT_BESIDE_BYTES];
    int width;        // entries in it
    status_t status;  // what a tile could not be written for
};

// --------------------------------------------------------------------------------------------------------------- files

static status_t not_written(const struct export *at, const char *path)
{
    return fail(at->message, REFUSED, "%s/%s cannot be written: %s", at->folder, path, strerror(errno));
}

// The folders on the way to a file.
static bool make_folders(const struct export *at, const char *path)
{
    char folder[LAYOUT_PATH];

    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
        if (mkdirat(at->fd, folder, 0700) != 0 && errno != EEXIST)
            return false;
    }
    return true;
}

static int open_file(const struct export *at, const char *path)
{
    const int how = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW;
    int file = openat(at->fd, path, how, 0600);

    return file < 0 && errno == ENOENT && make_folders(at, path) ? openat(at->fd, path, how, 0600) : file;
}

static bool write_all(int file, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(file, bytes, size);
        if (written < 0 && errno != EINTR)
            return false;
        bytes += written > 0 ? written : 0;
        size -= written > 0 ? (size_t)written : 0;
    }
    return true;
}

static status_t write_file(const struct export *at, const char *path, const void *bytes, size_t size)
{
    int file = open_file(at, path);
    bool well = file >= 0 && write_all(file, bytes, size);
    int fault = errno;

    if (file >= 0 && close(file) != 0 && well) {
        well = false;
        fault = errno;
    }
    errno = fault;
    return well ? OK : not_written(at, path);
}

// ------------------------------------------------------------------------------------------------------------- entries

static bool write_tile(void *context, int level, const struct growing_tile *tile)
{
    struct export *at = context;
    char path[LAYOUT_PATH];

    if (tile->index * TILE + (uint64_t)tile->width <= at->held >> 8 * level)
        return true;
    layout_path(LAYOUT_HASHES, level, tile->index, tile->width, path);
    at->status = write_file(at, path, tile->hashes, (size_t)tile->width * TREE_HASH);
    return at->status == OK;
}

// The entries that have gathered, and what stands beside them.
static status_t write_bundle(struct export *at)
{
    uint64_t size = at->tiling.tree.size, index = (size - 1) / TILE;
    char path[LAYOUT_PATH];
    status_t status = OK;

    if (size > at->held) {
        layout_path(LAYOUT_ENTRIES, 0, index, at->width, path);
        status = write_file(at, path, at->bundle, at->bundle_size);
        layout_path(LAYOUT_BESIDE, 0, index, at->width, path);
        if (status == OK)
            status = write_file(at, path, at->beside, (size_t)at->width * LAYOUT_BESIDE_BYTES);
    }
    at->bundle_size = 0;
    at->width = 0;
    return status;
}

static status_t write_large(const struct export *at, uint64_t position, ProtobufCBinaryData bytes)
{
    char path[LAYOUT_PATH];

    if (position <= at->held)
        return OK;
    layout_large_path(position, path);
    return write_file(at, path, bytes.data, bytes.len);
}

// Into the bundle, or beside it.
static status_t put_entry(struct export *at, uint64_t position, ProtobufCBinaryData bytes)
{
    bool fits = bytes.len <= ENTRY_MOST;

    bytes_put(at->bundle + at->bundle_size, fits ? bytes.len : 0, 2);
    at->bundle_size += 2;
    if (!fits)
        return write_large(at, position, bytes);
    memcpy(at->bundle + at->bundle_size, bytes.data, bytes.len);
    at->bundle_size += bytes.len;
    return OK;
}

// A row of export_entries.
static status_t take_entry(void *context, const row_t *row)
{
    struct export *at = context;
    uint64_t position = (uint64_t)each_int(row, 0);
    ProtobufCBinaryData bytes = each_bytes(row, 1);
    uint8_t leaf[TREE_HASH], *beside = at->beside + at->width++ * LAYOUT_BESIDE_BYTES;

    if (position != at->tiling.tree.size + 1)
        return fail(at->message, POISON, "position %" PRIu64 ": missing", at->tiling.tree.size + 1);
    bytes_put(beside, (uint64_t)each_int(row, 2), 8);
    bytes_put(beside + 8, (uint64_t)each_int(row, 3), 8);
    status_t status = put_entry(at, position, bytes);
    tree_leaf(bytes.data, bytes.len, leaf);
    if (!tiling_add(&at->tiling, leaf, write_tile, at) && status == OK)
        status = at->status;
    return status == OK && at->width == TILE ? write_bundle(at) : status;
}

static status_t write_entries(struct export *at)
{
    struct message *message = at->message;
    status_t status = OK;

    while (status == OK && at->tiling.tree.size < at->checkpoint.size) {
        uint64_t from = at->tiling.tree.size, rest = at->checkpoint.size - from;
        arena_reset(message->arena);
        status = EACH_ROW(message, export_entries, take_entry, at, INT((int64_t)from),
                          INT((int64_t)(rest < EXPORT_CHUNK ? rest : EXPORT_CHUNK)));
        if (status == OK && at->tiling.tree.size == from)
            status = fail(message, POISON, "position %" PRIu64 ": missing", from + 1);
        progress("exporting", at->tiling.tree.size, at->checkpoint.size);
    }
    if (status == OK && at->width > 0)
        status = write_bundle(at);
    if (status == OK && !tiling_rest(&at->tiling, write_tile, at))
        status = at->status;
    return status;
}

// -------------------------------------------------------------------------------------------------- where it begins

// The tiles that are not full at the beginning, above those that begin anew.
static status_t load_tiles(struct export *at, uint64_t begin)
{
    status_t status = OK;

    for (int level = 0; status == OK && level < TREE_TILES; level++) {
        uint64_t hashes = begin >> 8 * level;
        struct growing_tile *tile = &at->tiling.tiles[level];
        ProtobufCBinaryData held;
        tile->index = hashes / TILE;
        tile->width = (int)(hashes % TILE);
        if (tile->width == 0)
            continue;
        status = tile_hashes(at->message, level, tile->index, &held);
        if (status == OK && held.len < (size_t)tile->width * TREE_HASH)
            return fail(at->message, POISON, "tile %" PRIu64 " of level %d is not complete", tile->index,
                        level);
        if (status == OK)
            memcpy(tile->hashes, held.data, (size_t)tile->width * TREE_HASH);
    }
    return status;
}

// Go on after the last bundle that is full in the folder.
static status_t load_beginning(struct export *at)
{
    uint64_t begin = at->held / TILE * TILE;
    struct tiles tiles;
    struct proof_source source = tiles_source(&tiles, at->message);

    if (!proof_tree(&source, begin, &at->tiling.tree))
        return tiles.status;
    return load_tiles(at, begin);
}

// What the log has signed last.
static status_t load_checkpoint(struct export *at)
{
    struct message *message = at->message;
    struct rows rows;
    const char *why;

    status_t status = RUN0(message, newest_checkpoint, &rows);
    if (status == OK && rows.count == 0)
        return fail(message, REFUSED, "the log has signed no checkpoint: there is nothing to export");
    if (status != OK)
        return status;
    at->note = arena_text(at->ground, row_text(&rows, 0, 1));
    return checkpoint_read(at->ground, at->note, strlen(at->note), at->keys, &at->checkpoint, &why)
               ? OK
               : fail(message, POISON, "position %lld: its checkpoint is damaged: %s",
                      (long long)row_int(&rows, 0, 0), why);
}

// ----------------------------------------------------------------------------------------------------------- the folder

static bool is_ours(const char *name)
{
    static const char *const names[] = {".",     "..",      "tile",       "beside",
                                        "large", "log.pub", "checkpoint", "checkpoint.part"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

// Nothing may be in it that no export has made.
static status_t look_around(const struct export *at)
{
    status_t status = OK;
    DIR *folder = opendir(at->folder);

    if (folder == NULL)
        return fail(at->message, REFUSED, "%s cannot be read: %s", at->folder, strerror(errno));
    for (const struct dirent *entry; status == OK && (entry = readdir(folder)) != NULL;)
        if (!is_ours(entry->d_name))
            status = fail(at->message, REFUSED,
                          "%s is not empty and no export of a log: it holds %s; name another folder",
                          at->folder, entry->d_name);
    closedir(folder);
    return status;
}

static status_t open_folder(struct export *at)
{
    if (mkdir(at->folder, 0700) != 0 && errno != EEXIST)
        return fail(at->message, REFUSED, "%s cannot be made: %s", at->folder, strerror(errno));
    at->fd = open(at->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at->fd < 0)
        return fail(at->message, REFUSED, "%s cannot be opened: %s", at->folder, strerror(errno));
    if (flock(at->fd, LOCK_EX | LOCK_NB) != 0)
        return fail(at->message, REFUSED, "%s is being written by another export", at->folder);
    return look_around(at);
}

// The checkpoint that the folder holds, if it does: "" without one.
static status_t read_held(const struct export *at, const char **ret)
{
    char *text = arena_alloc(at->ground, NOTE_BYTES + 1);
    int file = openat(at->fd, "checkpoint", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t size = file >= 0 ? read(file, text, NOTE_BYTES) : errno == ENOENT ? 0 : -1;

    if (size < 0)
        fail(at->message, REFUSED, "%s/checkpoint cannot be read: %s", at->folder, strerror(errno));
    if (file >= 0)
        close(file);
    text[size > 0 ? size : 0] = '\0';
    *ret = text;
    return size < 0 ? REFUSED : OK;
}

// A folder that holds something must hold the beginning of this log.
static status_t check_held(struct export *at)
{
    struct message *message = at->message;
    struct tree tree = {.size = at->checkpoint.size};
    struct checkpoint held;
    const char *text, *why;

    status_t status = read_held(at, &text);
    if (status != OK || text[0] == '\0')
        return status;
    if (!checkpoint_read(at->ground, text, strlen(text), NULL, &held, &why))
        return fail(message, REFUSED, "%s/checkpoint is damaged: %s; name another folder", at->folder, why);
    if (strcmp(held.origin, at->checkpoint.origin) != 0)
        return fail(message, REFUSED, "%s holds the log %s, and this is %s; name another folder", at->folder,
                    held.origin, at->checkpoint.origin);
    at->held = held.size;
    return log_extends(message, &tree, held.size, held.root,
                       arena_printf(message->arena, "%s holds", at->folder));
}

// ----------------------------------------------------------------------------------------------------------- the end

static status_t compare_root(const struct export *at)
{
    uint8_t root[TREE_HASH];

    tree_root(&at->tiling.tree, root);
    if (memcmp(root, at->checkpoint.root, TREE_HASH) == 0)
        return OK;
    return fail(at->message, POISON,
                "position %" PRIu64 ": the log does not have the root that it has signed",
                at->checkpoint.size);
}

static status_t write_keys(const struct export *at)
{
    const char *text = "";

    if (at->keys == NULL)
        return OK;
    for (size_t i = 0; i < at->keys->count; i++)
        text = arena_printf(at->ground, "%s%s\n", text, note_key_text(at->ground, &at->keys->keys[i]));
    return write_file(at, "log.pub", text, strlen(text));
}

// All else is on disk before the checkpoint says that it is there, and the checkpoint is before this returns.
static status_t write_checkpoint(const struct export *at)
{
    status_t status = write_file(at, "checkpoint.part", at->note, strlen(at->note));

    if (status == OK &&
        (syncfs(at->fd) != 0 || renameat(at->fd, "checkpoint.part", at->fd, "checkpoint") != 0 ||
         fsync(at->fd) != 0))
        status = not_written(at, "checkpoint");
    return status;
}

// Forget a tile or bundle that was not full when the folder was written before, and is now or is longer.
static void drop(const struct export *at, enum layout_kind kind, int level, uint64_t hashes, uint64_t now)
{
    char path[LAYOUT_PATH];

    if (hashes % TILE == 0 || hashes == now)
        return;
    layout_path(kind, level, hashes / TILE, (int)(hashes % TILE), path);
    unlinkat(at->fd, path, 0);
    *strrchr(path, '/') = '\0';
    unlinkat(at->fd, path, AT_REMOVEDIR);  // as long as nothing else is in it
}

static void drop_old(const struct export *at)
{
    drop(at, LAYOUT_ENTRIES, 0, at->held, at->checkpoint.size);
    drop(at, LAYOUT_BESIDE, 0, at->held, at->checkpoint.size);
    for (int level = 0; level < TREE_TILES; level++)
        drop(at, LAYOUT_HASHES, level, at->held >> 8 * level, at->checkpoint.size >> 8 * level);
}

static status_t finish(const struct export *at)
{
    status_t status = compare_root(at);

    if (status == OK)
        status = write_keys(at);
    if (status == OK)
        status = write_checkpoint(at);
    if (status == OK)
        drop_old(at);
    return status;
}

// --------------------------------------------------------------------------------------------------------- the whole

static status_t export_all(struct export *at)
{
    status_t status = db_connect(at->message);

    if (status == OK)
        status = load_checkpoint(at);
    if (status == OK)
        status = open_folder(at);
    if (status == OK)
        status = check_held(at);
    if (status == OK)
        status = load_beginning(at);
    if (status == OK)
        status = write_entries(at);
    return status == OK ? finish(at) : status;
}

static void tell_end(const struct export *at, status_t status)
{
    uint64_t size = at->checkpoint.size;

    if (status == OK)
        printf("{\"exported\":true,\"events\":%" PRIu64 ",\"new\":%" PRIu64 ",\"root\":\"%s\"}\n", size,
               size - at->held, hex(at->ground, at->checkpoint.root, TREE_HASH));
    else
        log_alarm("the log could not be exported", "reason", at->message->reason, NULL);
}

int log_export(struct message *message, const struct note_ring *keys, const char *folder)
{
    struct export *at = calloc(1, sizeof *at);

    assert(at != NULL);
    *at = (struct export){.message = message,
                          .folder = folder,
                          .fd = -1,
                          .keys = keys,
                          .ground = arena_new(LIMIT_ARENA_BYTES),
                          .bundle = malloc(BUNDLE_BYTES)};
    assert(at->bundle != NULL);
    status_t status = export_all(at);
    progress_end();
    tell_end(at, status);
    if (at->fd >= 0)
        close(at->fd);
    arena_destroy(&at->ground);
    free(at->bundle);
    free(at);
    return status == OK ? 0 : status == POISON ? 4 : 1;
}
