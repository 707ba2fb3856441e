// store: the witness's disk.
#include "witness.h"

#include "limits/limits.h"
#include "values/values.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUM_BYTES    32
#define HEAD_BYTES   (4 + SUM_BYTES)
#define RECORD_BYTES (HEAD_BYTES + LIMIT_FRAME_BYTES)  // the largest
#define NOTE_RECORD  1024
#define NOTE_ROOM    (NOTE_RECORD - 8 - 1)

// A sentence that outlives the call; a witness has one disk and one thread.
static bool disk_failed(const struct store *store, const char *what, const char **ret_why)
{
    static char sentence[512];

    snprintf(sentence, sizeof sentence, "%.200s: %s: %s", store->folder, what, strerror(errno));
    *ret_why = sentence;
    return false;
}

static bool damaged(const struct store *store, const char *file, uint64_t number, const char *what,
                    const char **ret_why)
{
    static char sentence[512];

    snprintf(sentence, sizeof sentence, "%.200s/%s is damaged at %llu: %s", store->folder, file,
             (unsigned long long)number, what);
    *ret_why = sentence;
    return false;
}

static bool write_all(int file, const void *bytes, size_t size, uint64_t at)
{
    const uint8_t *next = bytes;

    while (size > 0) {
        ssize_t written = pwrite(file, next, size, (off_t)at);
        if (written <= 0)
            return false;
        next += written;
        at += (uint64_t)written;
        size -= (size_t)written;
    }
    return true;
}

static bool read_all(int file, void *bytes, size_t size, uint64_t at)
{
    uint8_t *next = bytes;

    while (size > 0) {
        ssize_t got = pread(file, next, size, (off_t)at);
        if (got <= 0)
            return false;
        next += got;
        at += (uint64_t)got;
        size -= (size_t)got;
    }
    return true;
}

// ------------------------------------------------------------------------------------------------- one entry

// The record at an offset: its Entry, checked against its own sum. NULL when it is not whole. ret_size is its length.
static Eventlog__V1__Entry *read_record(const struct store *store, arena_t *arena, uint64_t at,
                                        size_t *ret_size)
{
    uint8_t head[HEAD_BYTES], sum[SUM_BYTES];
    struct message message = message_new(arena);
    Eventlog__V1__Entry *entry;

    if (at + HEAD_BYTES > store->bytes || !read_all(store->entries, head, sizeof head, at))
        return NULL;
    size_t size = bytes_take(head, 4);
    if (size > LIMIT_FRAME_BYTES || at + HEAD_BYTES + size > store->bytes)
        return NULL;
    uint8_t *bytes = arena_alloc(arena, size + 1);
    if (!read_all(store->entries, bytes, size, at + HEAD_BYTES))
        return NULL;
    sha256(bytes, size, sum);
    if (memcmp(sum, head + 4, SUM_BYTES) != 0 ||
        message_decode(&message, &eventlog__v1__entry__descriptor, bytes, size, &entry) != OK)
        return NULL;
    *ret_size = HEAD_BYTES + size;
    return entry;
}

static size_t put_record(uint8_t *out, const Eventlog__V1__Entry *entry)
{
    size_t size = eventlog__v1__entry__pack(entry, out + HEAD_BYTES);

    bytes_put(out, size, 4);
    sha256(out + HEAD_BYTES, size, out + 4);
    return HEAD_BYTES + size;
}

static void add_leaf(struct tree *tree, const Eventlog__V1__Entry *entry)
{
    uint8_t leaf[TREE_HASH];

    tree_leaf(entry->event.data, entry->event.len, leaf);
    tree_add(tree, leaf);
}

// --------------------------------------------------------------------------------------------------- opening

static bool open_file(struct store *store, const char *name, int *ret, const char **ret_why)
{
    char path[4200];

    snprintf(path, sizeof path, "%s/%s", store->folder, name);
    *ret = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return *ret >= 0 || disk_failed(store, name, ret_why);
}

// The names in the folder are durable too.
static bool sync_folder(const struct store *store, const char **ret_why)
{
    int folder = open(store->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool well = folder >= 0 && fsync(folder) == 0;

    if (folder >= 0)
        close(folder);
    return well || disk_failed(store, "the folder cannot be made durable", ret_why);
}

static bool open_files(struct store *store, const char **ret_why)
{
    struct stat about;

    if (mkdir(store->folder, 0700) != 0 && errno != EEXIST)
        return disk_failed(store, "the folder cannot be made", ret_why);
    if (!open_file(store, "entries", &store->entries, ret_why) ||
        !open_file(store, "offsets", &store->offsets, ret_why) ||
        !open_file(store, "cosigned", &store->cosigned, ret_why) || !sync_folder(store, ret_why))
        return false;
    if (flock(store->entries, LOCK_EX | LOCK_NB) != 0)
        return disk_failed(store, "another witness uses this folder", ret_why);
    if (fstat(store->entries, &about) != 0)
        return disk_failed(store, "entries", ret_why);
    store->bytes = (uint64_t)about.st_size;
    if (fstat(store->cosigned, &about) != 0)
        return disk_failed(store, "cosigned", ret_why);
    store->n_cosigned = (uint64_t)about.st_size / NOTE_RECORD;
    if (about.st_size % NOTE_RECORD != 0 &&
        ftruncate(store->cosigned, (off_t)(store->n_cosigned * NOTE_RECORD)) != 0)
        return disk_failed(store, "cosigned", ret_why);
    return true;
}

// One record of `cosigned`; NULL when it is none.
static const char *read_note(const struct store *store, arena_t *arena, uint64_t number, uint64_t *ret_size)
{
    char *record = arena_alloc(arena, NOTE_RECORD + 1);

    if (!read_all(store->cosigned, record, NOTE_RECORD, number * NOTE_RECORD))
        return NULL;
    *ret_size = bytes_take((const uint8_t *)record, 8);
    return record + 8;
}


// Where the recomputation of what is stored stands.
struct opening {
    const struct note_ring *log;
    const struct note_key *own;
    uint64_t at;             // bytes of `entries` that were read
    uint64_t number;         // the next of the cosigned checkpoints
    struct checkpoint next;  // and what it says
    bool has_next;
};

// ret_whole: our own cosignature stands under it and verifies, so no crash has cut it short.
static bool note_valid(arena_t *arena, const char *text, uint64_t size, struct opening *opening, bool *ret_whole,
                       const char **ret_why)
{
    struct note note;

    *ret_whole = note_parse(arena, text, strlen(text), &note, ret_why) &&
                 note_verify(arena, &note, opening->own, NULL, ret_why);
    if (!*ret_whole || !checkpoint_open_any(arena, text, strlen(text), opening->log, &opening->next, NULL, ret_why))
        return false;
    *ret_why = "its size is not the checkpoint's";
    return opening->next.size == size;
}

static bool take_note(struct store *store, arena_t *arena, struct opening *opening, const char **ret_why)
{
    const char *why = NULL;
    uint64_t size = 0, before = opening->next.size;
    bool whole = false;

    opening->has_next = opening->number < store->n_cosigned;
    if (!opening->has_next)
        return true;
    const char *text = read_note(store, arena, opening->number, &size);
    if (text != NULL && note_valid(arena, text, size, opening, &whole, &why) &&
        (opening->number == 0 || size > before))
        return true;
    // The last record may be one that a crash left half-written: nobody has seen it.
    if (whole || opening->number + 1 < store->n_cosigned)
        return damaged(store, "cosigned", opening->number, why != NULL ? why : "it cannot be read", ret_why);
    store->n_cosigned--;
    opening->has_next = false;
    return ftruncate(store->cosigned, (off_t)(store->n_cosigned * NOTE_RECORD)) == 0 ||
           disk_failed(store, "cosigned", ret_why);
}

// After each entry: is it the last of a cosigned checkpoint?
static bool check_note(struct store *store, arena_t *arena, struct opening *opening, const char **ret_why)
{
    uint8_t root[TREE_HASH];

    if (!opening->has_next || opening->next.size != store->tree.size)
        return true;
    tree_root(&store->tree, root);
    if (memcmp(root, opening->next.root, TREE_HASH) != 0)
        return damaged(store, "entries", store->tree.size,
                       "the entries do not have the root that was cosigned", ret_why);
    store->confirmed = store->tree;
    opening->number++;
    return take_note(store, arena, opening, ret_why);
}

static bool read_entries(struct store *store, arena_t *arena, struct opening *opening, const char **ret_why)
{
    uint8_t offset[8];
    size_t size;

    while (opening->at < store->bytes) {
        arena_reset(arena);
        const Eventlog__V1__Entry *entry = read_record(store, arena, opening->at, &size);
        if (entry == NULL || entry->position != store->tree.size + 1)
            break;
        bytes_put(offset, opening->at, sizeof offset);
        if (!write_all(store->offsets, offset, sizeof offset, store->tree.size * sizeof offset))
            return disk_failed(store, "offsets", ret_why);
        add_leaf(&store->tree, entry);
        opening->at += size;
        if (!check_note(store, arena, opening, ret_why))
            return false;
    }
    return true;
}

static bool recompute(struct store *store, arena_t *arena, struct opening *opening, const char **ret_why)
{
    if (!take_note(store, arena, opening, ret_why) || !read_entries(store, arena, opening, ret_why))
        return false;
    if (opening->has_next)
        return damaged(store, "entries", store->tree.size + 1, "an entry that was cosigned cannot be read",
                       ret_why);
    // What follows the last whole entry was never told to anybody.
    if (opening->at < store->bytes && (ftruncate(store->entries, (off_t)opening->at) != 0))
        return disk_failed(store, "entries", ret_why);
    store->bytes = opening->at;
    return fsync(store->entries) == 0 || disk_failed(store, "entries", ret_why);
}

bool store_open(struct store *store, const char *folder, const struct note_ring *log,
                const struct note_key *own, const char **ret_why)
{
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    struct opening opening = {.log = log, .own = own};

    *store = (struct store){.entries = -1, .offsets = -1, .cosigned = -1};
    snprintf(store->folder, sizeof store->folder, "%s", folder);
    bool well = open_files(store, ret_why) && recompute(store, arena, &opening, ret_why);
    arena_destroy(&arena);
    if (!well)
        store_close(store);
    return well;
}

void store_close(struct store *store)
{
    int *const files[] = {&store->entries, &store->offsets, &store->cosigned};

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (*files[i] >= 0)
            close(*files[i]);
        *files[i] = -1;
    }
}

// ---------------------------------------------------------------------------------------------------- adding

static size_t records_size(Eventlog__V1__Entry *const entries[], size_t count)
{
    size_t size = 0;

    for (size_t i = 0; i < count; i++)
        size += HEAD_BYTES + eventlog__v1__entry__get_packed_size(entries[i]);
    return size;
}

bool store_add(struct store *store, arena_t *arena, Eventlog__V1__Entry *const entries[], size_t count,
               const char **ret_why)
{
    uint8_t *records = arena_alloc(arena, records_size(entries, count) + 1);
    uint8_t *offsets = arena_alloc(arena, 8 * count + 1);
    struct tree tree = store->tree;
    size_t size = 0;

    for (size_t i = 0; i < count; i++) {
        assert(entries[i]->position == tree.size + 1);
        bytes_put(offsets + 8 * i, store->bytes + size, 8);
        size += put_record(records + size, entries[i]);
        add_leaf(&tree, entries[i]);
    }
    if (!write_all(store->offsets, offsets, 8 * count, 8 * store->tree.size) ||
        !write_all(store->entries, records, size, store->bytes))
        return disk_failed(store, "entries cannot be written", ret_why);
    store->bytes += size;
    store->tree = tree;
    store->dirty = store->dirty || count > 0;
    return true;
}

bool store_sync(struct store *store, const char **ret_why)
{
    if (!store->dirty)
        return true;
    // After a failed fsync nothing is known about what is on the disk: the process ends, and the next one reads it.
    if (fdatasync(store->entries) != 0)
        return disk_failed(store, "entries cannot be made durable", ret_why);
    store->dirty = false;
    return true;
}

bool store_cosigned(struct store *store, const struct tree *tree, const char *note, const char **ret_why)
{
    uint8_t record[NOTE_RECORD] = {0};

    assert(!store->dirty && tree->size <= store->tree.size && tree->size > store->confirmed.size);
    assert(strlen(note) <= NOTE_ROOM);
    bytes_put(record, tree->size, 8);
    memcpy(record + 8, note, strlen(note));
    if (!write_all(store->cosigned, record, sizeof record, store->n_cosigned * NOTE_RECORD) ||
        fdatasync(store->cosigned) != 0)
        return disk_failed(store, "a cosigned checkpoint cannot be made durable", ret_why);
    store->n_cosigned++;
    store->confirmed = *tree;
    return true;
}

static bool offset_of(const struct store *store, uint64_t position, uint64_t *ret)
{
    uint8_t offset[8];

    if (position > store->tree.size) {
        *ret = store->bytes;
        return true;
    }
    if (!read_all(store->offsets, offset, sizeof offset, (position - 1) * 8))
        return false;
    *ret = bytes_take(offset, 8);
    return true;
}

// Copy the end of `entries` into a new file refused-N.
static bool keep_refused(const struct store *store, uint64_t from, const char **ret_why)
{
    char path[4200];
    uint8_t bytes[65536];
    int file = -1;

    for (int n = 1; n < 10000 && file < 0; n++) {
        snprintf(path, sizeof path, "%s/refused-%d", store->folder, n);
        file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (file < 0 && errno != EEXIST)
            break;
    }
    bool well = file >= 0;
    for (uint64_t at = from; well && at < store->bytes;) {
        size_t size = store->bytes - at < sizeof bytes ? (size_t)(store->bytes - at) : sizeof bytes;
        well = read_all(store->entries, bytes, size, at) && write_all(file, bytes, size, at - from);
        at += size;
    }
    well = well && fsync(file) == 0;
    if (file >= 0)
        close(file);
    return (well || disk_failed(store, "what was refused cannot be kept", ret_why)) &&
           sync_folder(store, ret_why);
}

bool store_drop(struct store *store, const struct tree *tree, const char **ret_why)
{
    uint64_t at;

    assert(tree->size >= store->confirmed.size && tree->size <= store->tree.size);
    if (tree->size == store->tree.size)
        return true;
    if (!offset_of(store, tree->size + 1, &at))
        return disk_failed(store, "offsets", ret_why);
    if (!keep_refused(store, at, ret_why))
        return false;
    if (ftruncate(store->entries, (off_t)at) != 0 || fsync(store->entries) != 0)
        return disk_failed(store, "entries cannot be cut", ret_why);
    store->bytes = at;
    store->tree = *tree;
    store->dirty = false;
    return true;
}

// --------------------------------------------------------------------------------------------------- reading

bool store_read(const struct store *store, arena_t *arena, uint64_t after, size_t limit,
                Eventlog__V1__Page *ret, const char **ret_why)
{
    size_t bytes = 0, size, left = after < store->tree.size ? (size_t)(store->tree.size - after) : 0;
    uint64_t at = 0;

    eventlog__v1__page__init(ret);
    ret->head = store->tree.size;
    limit = left < limit ? left : limit;
    ret->entries = arena_alloc(arena, (limit + 1) * sizeof *ret->entries);
    if (limit > 0 && !offset_of(store, after + 1, &at))
        return disk_failed(store, "offsets", ret_why);
    while (ret->n_entries < limit) {
        Eventlog__V1__Entry *entry = read_record(store, arena, at, &size);
        if (entry == NULL || entry->position != after + ret->n_entries + 1)
            return damaged(store, "entries", after + ret->n_entries + 1, "it cannot be read back", ret_why);
        bytes += entry->event.len + 64;
        if (bytes > LIMIT_BATCH_BYTES && ret->n_entries > 0)
            break;
        ret->entries[ret->n_entries++] = entry;
        at += size;
    }
    return true;
}

const char *store_note(const struct store *store, arena_t *arena, uint64_t covers, uint64_t *ret_size)
{
    uint64_t low = 0, high = store->n_cosigned;
    const char *text = "";

    if (store->n_cosigned == 0)
        return "";
    if (covers == 0)
        return read_note(store, arena, store->n_cosigned - 1, ret_size);
    while (low < high) {
        uint64_t middle = low + (high - low) / 2, size;
        if (read_note(store, arena, middle, &size) == NULL)
            return NULL;
        if (size >= covers)
            high = middle;
        else
            low = middle + 1;
    }
    if (low < store->n_cosigned)
        text = read_note(store, arena, low, ret_size);
    return text;
}
