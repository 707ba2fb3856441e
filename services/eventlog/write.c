// write: taking the log over, checking events, appending them in batches.
#include "eventlog.h"

#include "clock/clock.h"
#include "eventlog_store.sql.h"
#include "limits/limits.h"
#include "log/log.h"
#include "values/values.h"

#include <assert.h>
#include <czmq.h>
#include <string.h>

#define RECHECKED    10000  // events at the end of the log that are recomputed when it is taken over
#define RECHECK_PAGE 500

#define UNIQUE_VIOLATION "23505"  // PostgreSQL's manual, Appendix A

typedef Eventlog__V1__Appended__One One;

// One event that somebody wishes to have in the log.
struct candidate {
    const Event *event;
    ProtobufCBinaryData bytes;
    uint8_t leaf[TREE_HASH];
    One *result;
    bool judged;                 // malformed: not looked up
    int64_t last;                // last version of its stream in the database
    int64_t position;            // where this very version stands, 0: nowhere
    ProtobufCBinaryData stands;  // the leaf that stands there
};

// ----------------------------------------------------------------------------------------------- taking over

// The newest recorded tree some way back, brought forward over what is stored, must be the head's.
static status_t recompute_end(struct message *message, const struct tree *head)
{
    struct tree tree = {0};
    struct rows rows;
    int64_t back = (int64_t)head->size > RECHECKED ? (int64_t)head->size - RECHECKED : 0;

    status_t status = RUN(message, root_before, &rows, INT(back));
    if (status == OK && rows.count == 1) {
        ProtobufCBinaryData frontier = row_bytes(&rows, 0, 1);
        if (tree_load(&tree, (uint64_t)row_int(&rows, 0, 0), frontier.data, frontier.len) != 0)
            return fail(message, POISON, "the recorded tree at position %lld is damaged",
                        (long long)row_int(&rows, 0, 0));
    }
    while (status == OK && tree.size < head->size) {
        status = RUN(message, read_leaves, &rows, INT((int64_t)tree.size), INT(RECHECK_PAGE));
        if (status == OK && rows.count == 0)
            return fail(message, POISON, "the log ends at position %llu and its head says %llu",
                        (unsigned long long)tree.size, (unsigned long long)head->size);
        for (int i = 0; status == OK && i < rows.count; i++) {
            ProtobufCBinaryData stored = row_bytes(&rows, i, 1), bytes = row_bytes(&rows, i, 2);
            uint8_t leaf[TREE_HASH];
            tree_leaf(bytes.data, bytes.len, leaf);
            if (row_int(&rows, i, 0) != (int64_t)tree.size + 1 || memcmp(leaf, stored.data, TREE_HASH) != 0)
                return fail(message, POISON, "the log does not agree with its own hashes at position %llu",
                            (unsigned long long)tree.size + 1);
            tree_add(&tree, leaf);
        }
    }
    if (status == OK &&
        (tree.size != head->size || memcmp(tree.hashes, head->hashes, (size_t)tree.count * TREE_HASH) != 0))
        return fail(message, POISON, "the recomputed tree differs from the head at position %llu",
                    (unsigned long long)head->size);
    return status;
}

static status_t make_head(struct eventlog *log, struct message *message)
{
    struct tree empty = {0};
    uint8_t root[TREE_HASH];

    tree_root(&empty, root);
    return RUN(message, create_head, NULL, TEXT(uuid_new(message->arena, clock_real_us())),
               BOOL(log->rehearsal), BYTES(root, TREE_HASH));
}

static status_t load_head(struct eventlog *log, struct message *message)
{
    struct rows rows;

    status_t status = RUN0(message, load_head, &rows);
    if (status != OK)
        return status;
    assert(rows.count == 1);
    bool rehearsal = row_int(&rows, 0, 3) != 0;
    ProtobufCBinaryData frontier = row_bytes(&rows, 0, 5);
    if (rehearsal != log->rehearsal)
        return fail(message, REFUSED,
                    "this log was made by a %s and this process was started as a %s: set or unset "
                    "REHEARSAL, or use another database",
                    rehearsal ? "rehearsal" : "real stack", log->rehearsal ? "rehearsal" : "real stack");
    if (tree_load(&log->tree, (uint64_t)row_int(&rows, 0, 0), frontier.data, frontier.len) != 0)
        return fail(message, POISON, "the head's tree does not fit its position %lld",
                    (long long)row_int(&rows, 0, 0));
    snprintf(log->log_id, sizeof log->log_id, "%s", row_text(&rows, 0, 2));
    return OK;
}

static status_t raise_epoch(struct eventlog *log, struct message *message)
{
    struct rows rows;

    status_t status = db_begin(message);
    if (status == OK)
        status = make_head(log, message);
    if (status == OK)
        status = RUN0(message, raise_epoch, &rows);
    if (status == OK)
        log->epoch = row_int(&rows, 0, 0);
    if (status == OK)
        status = load_head(log, message);
    if (status == OK)
        status = db_commit(message);
    if (status != OK)
        db_rollback(message);
    return status;
}

static status_t make_room(struct eventlog *log, struct message *message)
{
    struct rows rows;

    if ((int64_t)log->tree.size + APPEND_WISHES * LIMIT_APPEND_EVENTS < log->room)
        return OK;
    status_t status = RUN(message, make_room, &rows, INT((int64_t)log->tree.size));
    if (status == OK)
        log->room = (row_int(&rows, 0, 0)) * INT64_C(10000000);
    return status;
}

// A database that was away may come back as an older copy of itself: we know how far it was.
static status_t check_not_behind(const struct eventlog *log, struct message *message,
                                 const struct tree *known)
{
    uint8_t root[TREE_HASH];

    if (known->size == 0)
        return OK;
    tree_root(known, root);
    return log_extends(message, &log->tree, known->size, root, "this process has stored");
}

status_t log_take_over(struct eventlog *log, struct message *message)
{
    struct rows rows;
    const struct tree known = log->tree;

    status_t status = db_connect(message);
    if (status == OK)
        status = RUN0(message, try_lock, &rows);
    if (status == OK && !row_int(&rows, 0, 0))
        status = fail(message, RETRY, LOG_HELD);
    if (status == OK)
        status = raise_epoch(log, message);
    if (status == OK)
        status = recompute_end(message, &log->tree);
    if (status == OK)
        status = tiles_fill(log, message);
    if (status == OK)
        status = check_not_behind(log, message, &known);
    if (status == OK)
        status = sign_load(log, message);
    if (status != OK)
        log->tree = known;
    recent_forget(&log->recent);
    log->room = 0;
    if (status == OK)
        status = make_room(log, message);
    return status;
}

// ------------------------------------------------------------------------------------------- checking events

static bool begins_with_word(const char *text, const char *word, char end)
{
    size_t size = strlen(word);

    return size > 0 && strncmp(text, word, size) == 0 && text[size] == end;
}

// A service's own package, or what all services have in common, in the stream that is for it.
static bool type_fits(const Event *event)
{
    if (begins_with_word(event->type, event->source, '.'))
        return true;
    const char *kind = strcmp(event->type, "service.v1.CaseErased") == 0 ? "erasure" : "incident";
    return begins_with_word(event->type, "service", '.') &&
           begins_with_word(event->stream + strlen(event->source) + 1, kind, '/');
}

static status_t check_event(const struct eventlog *log, struct message *message, const Event *event,
                            const char *sender)
{
    if (strcmp(event->source, sender) != 0)
        return fail(message, REFUSED, "source is '%s' and the sender is '%s': they must be the same",
                    event->source, sender);
    if (!begins_with_word(event->stream, event->source, '/') || strlen(event->stream) > LIMIT_LINE_BYTES)
        return fail(message, REFUSED, "stream '%s' must begin with '%s/'", event->stream, event->source);
    if (!type_fits(event))
        return fail(message, REFUSED, "type '%s' must belong to the package of '%s'", event->type,
                    event->source);
    if (!uuid_valid(event->id))
        return fail(message, REFUSED, "id '%s' must be a UUID in lower case", event->id);
    if (event->version < 1 || event->version > INT64_MAX)
        return fail(message, REFUSED, "version of stream %s must be 1 or more", event->stream);
    if (event->rehearsal != log->rehearsal)
        return fail(message, REFUSED, "the event is %s and this log is %s",
                    event->rehearsal ? "of a rehearsal" : "real", log->rehearsal ? "a rehearsal's" : "real");
    return OK;
}

static struct candidate take_candidate(const struct eventlog *log, struct message *message,
                                       ProtobufCBinaryData bytes, const char *sender)
{
    struct candidate candidate = {.bytes = bytes};
    struct message own = message_new(message->arena);
    status_t status = OK;

    candidate.result = arena_alloc(message->arena, sizeof *candidate.result);
    eventlog__v1__appended__one__init(candidate.result);
    if (bytes.len > LIMIT_EVENT_BYTES)
        status = fail(&own, REFUSED, "an event of %zu bytes is too large; at most %d", bytes.len,
                      LIMIT_EVENT_BYTES);
    if (status == OK)
        status = message_decode(&own, &eventlog__v1__event__descriptor, bytes.data, bytes.len,
                                &candidate.event);
    if (status == OK)
        status = check_event(log, &own, candidate.event, sender);
    if (status != OK) {
        candidate.judged = true;
        candidate.result->result = EVENTLOG__V1__APPENDED__RESULT__REFUSED;
        candidate.result->reason = (char *)own.reason;
        log_alarm("an event was refused", "sender", sender, "reason", own.reason, NULL);
        return candidate;
    }
    tree_leaf(bytes.data, bytes.len, candidate.leaf);
    return candidate;
}

static struct candidate *take_candidates(const struct eventlog *log, struct message *message,
                                         struct wish wishes[], int count, int *ret_count)
{
    size_t total = 0, n = 0;

    for (int i = 0; i < count; i++)
        total += wishes[i].append->n_events;
    struct candidate *candidates = arena_alloc(message->arena, (total + 1) * sizeof *candidates);
    for (int i = 0; i < count; i++) {
        const Append *append = wishes[i].append;
        wishes[i].results = arena_alloc(message->arena, (append->n_events + 1) * sizeof *wishes[i].results);
        for (size_t k = 0; k < append->n_events; k++, n++) {
            candidates[n] = take_candidate(log, message, append->events[k], wishes[i].request->sender);
            wishes[i].results[k] = candidates[n].result;
        }
    }
    *ret_count = (int)n;
    return candidates;
}

// Does nothing stand in this one's place, as far as is known? It goes on where its stream ended lately, or further on; or it
// is the first of a stream of which nothing came lately: mostly a new one. Where that is not so, the key of the places
// says it, and then it is looked up.
static bool goes_on(const struct eventlog *log, struct candidate *candidate)
{
    candidate->last = recent_last(&log->recent, candidate->event->stream);
    if (candidate->last == 0)
        return candidate->event->version == 1;
    return (int64_t)candidate->event->version > candidate->last;
}

// What stands in the database already, in one statement: for candidates of which it is not known, or for all.
static status_t find_places(struct eventlog *log, struct message *message, struct candidate *candidates,
                            int count, bool all)
{
    size_t room = (size_t)count + 1;
    struct candidate **wanted = arena_alloc(message->arena, room * sizeof *wanted);
    const char **streams = arena_alloc(message->arena, room * sizeof *streams);
    int64_t *versions = arena_alloc(message->arena, room * sizeof *versions);
    struct rows rows;
    int n = 0;

    for (int i = 0; i < count; i++) {
        if (candidates[i].judged || (!all && goes_on(log, &candidates[i])))
            continue;
        streams[n] = candidates[i].event->stream;
        versions[n] = (int64_t)candidates[i].event->version;
        wanted[n++] = &candidates[i];
    }
    if (n == 0)
        return OK;
    status_t status = RUN(message, find_places, &rows, db_text_array(message, streams, n),
                          db_int_array(message, versions, n));
    for (int i = 0; status == OK && i < n; i++) {
        wanted[i]->last = row_int(&rows, i, 0);
        wanted[i]->position = row_int(&rows, i, 1);
        wanted[i]->stands = row_bytes(&rows, i, 2);
    }
    return status;
}

// ------------------------------------------------------------------------------------------- judging a batch

static void store_at(One *result, int64_t position)
{
    result->result = EVENTLOG__V1__APPENDED__RESULT__STORED;
    result->position = (uint64_t)position;
}

// A version that stands already: the same bytes are acknowledged again, others are an alarm.
static void judge_repeat(struct message *message, struct candidate *candidate, int64_t position,
                         const uint8_t *leaf)
{
    if (memcmp(leaf, candidate->leaf, TREE_HASH) == 0) {
        store_at(candidate->result, position);
        return;
    }
    candidate->result->result = EVENTLOG__V1__APPENDED__RESULT__REFUSED;
    candidate->result->reason = arena_printf(
        message->arena, "version %llu of stream %s stands at position %lld with other content",
        (unsigned long long)candidate->event->version, candidate->event->stream, (long long)position);
    log_alarm("two events claim one version", "stream", candidate->event->stream, "reason",
              candidate->result->reason, NULL);
}

// In the order they came. added[] gets those that are new, and their places; this batch's own additions are
// found again by stream (the last one) and by stream and version.
static int judge(const struct eventlog *log, struct message *message, struct candidate *candidates, int count,
                 struct candidate **added)
{
    zhashx_t *last = zhashx_new(), *versions = zhashx_new();
    int n = 0;

    assert(last != NULL && versions != NULL);
    for (int i = 0; i < count; i++) {
        struct candidate *candidate = &candidates[i];
        if (candidate->judged)
            continue;
        eventlog__v1__appended__one__init(candidate->result);  // it may be judged for the second time
        const char *stream = candidate->event->stream;
        const char *key = arena_printf(message->arena, "%llu %s",
                                       (unsigned long long)candidate->event->version, stream);
        const struct candidate *newest = zhashx_lookup(last, stream), *same = zhashx_lookup(versions, key);
        uint64_t next = (newest ? newest->event->version : (uint64_t)candidate->last) + 1;

        if (same) {
            judge_repeat(message, candidate, (int64_t)same->result->position, same->leaf);
        } else if (candidate->position > 0) {
            judge_repeat(message, candidate, candidate->position, candidate->stands.data);
        } else if (candidate->event->version > next) {
            candidate->result->result = EVENTLOG__V1__APPENDED__RESULT__HELD_BACK;
        } else {
            store_at(candidate->result, (int64_t)log->tree.size + n + 1);
            added[n++] = candidate;
            zhashx_update(last, stream, candidate);
            zhashx_update(versions, key, candidate);
        }
    }
    zhashx_destroy(&last);
    zhashx_destroy(&versions);
    return n;
}

// ------------------------------------------------------------------------------------------------- appending

// The tiles that a batch completes. None, mostly.
struct completed {
    int count;
    int64_t *levels;
    int64_t *indices;
    struct arg *roots;
};

static struct completed add_to_tree(struct message *message, struct tree *tree, struct candidate **added,
                                    int count)
{
    size_t room = 2 * (size_t)count / TILE + TREE_TILES;
    struct completed completed = {.levels = arena_alloc(message->arena, room * sizeof *completed.levels),
                                  .indices = arena_alloc(message->arena, room * sizeof *completed.indices),
                                  .roots = arena_alloc(message->arena, room * sizeof *completed.roots)};
    uint8_t roots[TREE_TILES][TREE_HASH];

    for (int i = 0; i < count; i++) {
        int full = tree_add_tiles(tree, added[i]->leaf, roots);
        for (int level = 0; level < full; level++) {
            int n = completed.count++;
            assert(n < (int)room);
            completed.levels[n] = level;
            completed.indices[n] = (int64_t)(tree->size >> 8 * (level + 1)) - 1;
            completed.roots[n] = BYTES(arena_copy(message->arena, roots[level], TREE_HASH), TREE_HASH);
        }
    }
    return completed;
}

// Goes out with the COMMIT. It writes nothing at all when another writer has taken over, which *ret_stored tells then.
static status_t write_added(const struct eventlog *log, struct message *message, struct candidate **added,
                            int count, const struct tree *tree, const struct completed *tiles,
                            const char *note, int64_t now_us, struct rows *ret_stored)
{
    size_t room = (size_t)count;
    const char **streams = arena_alloc(message->arena, room * sizeof *streams);
    const char **types = arena_alloc(message->arena, room * sizeof *types);
    int64_t *versions = arena_alloc(message->arena, room * sizeof *versions);
    struct arg *bytes = arena_alloc(message->arena, room * sizeof *bytes);
    struct arg *leaves = arena_alloc(message->arena, room * sizeof *leaves);
    uint8_t root[TREE_HASH];

    for (int i = 0; i < count; i++) {
        streams[i] = added[i]->event->stream;
        types[i] = added[i]->event->type;
        versions[i] = (int64_t)added[i]->event->version;
        bytes[i] = BYTES(added[i]->bytes.data, added[i]->bytes.len);
        leaves[i] = BYTES(added[i]->leaf, TREE_HASH);
    }
    tree_root(tree, root);
    const struct arg args[] = {INT((int64_t)tree->size),
                               BYTES(root, TREE_HASH),
                               BYTES(tree->hashes, (size_t)tree->count * TREE_HASH),
                               INT(log->epoch),
                               INT((int64_t)log->tree.size),
                               INT(now_us),
                               db_text_array(message, streams, count),
                               db_int_array(message, versions, count),
                               db_text_array(message, types, count),
                               db_bytes_array(message, bytes, count),
                               db_bytes_array(message, leaves, count),
                               db_int_array(message, tiles->levels, tiles->count),
                               db_int_array(message, tiles->indices, tiles->count),
                               db_bytes_array(message, tiles->roots, tiles->count),
                               TEXT(note)};
    bool more = tiles->count > 0 || note != NULL;
    return more ? db_later(message, &sql_append_signed, args, 15, ret_stored)
                : db_later(message, &sql_append, args, 11, ret_stored);
}

static Entry **entries_of(const struct eventlog *log, arena_t *arena, struct candidate **added, int count,
                          int64_t now_us)
{
    Entry **entries = arena_alloc(arena, ((size_t)count + 1) * sizeof *entries);

    for (int i = 0; i < count; i++) {
        entries[i] = arena_alloc(arena, sizeof *entries[i]);
        eventlog__v1__entry__init(entries[i]);
        entries[i]->position = added[i]->result->position;
        entries[i]->event = added[i]->bytes;
        entries[i]->appended_at_us = now_us;
        entries[i]->epoch = (uint64_t)log->epoch;
    }
    return entries;
}

// What comes of the wishes of one transaction.
struct batch {
    struct candidate *candidates;
    int count;
    struct candidate **added;  // those that are new, in order
    int n_added;
    struct tree tree;  // with them
    const char *note;  // the checkpoint that was due, or NULL
    int64_t now_us;
};

// One transaction. RETRY, with UNIQUE_VIOLATION: something stands that was not looked for.
static status_t store(struct eventlog *log, struct message *message, struct batch *batch, bool look_for_all)
{
    struct rows stored = {.affected = 1};  // also when there is nothing to store

    batch->tree = log->tree;
    batch->note = NULL;
    batch->n_added = 0;
    status_t status = db_begin(message);
    if (status == OK)
        status = find_places(log, message, batch->candidates, batch->count, look_for_all);
    if (status == OK)
        batch->n_added = judge(log, message, batch->candidates, batch->count, batch->added);
    if (status == OK && batch->n_added > 0) {
        const struct completed tiles = add_to_tree(message, &batch->tree, batch->added, batch->n_added);
        batch->note = sign_due(log, message->arena, &batch->tree);
        status = write_added(log, message, batch->added, batch->n_added, &batch->tree, &tiles, batch->note,
                             batch->now_us, &stored);
    }
    if (status == OK)
        status = db_commit(message);
    if (status == OK && stored.affected != 1)
        status = fail(message, REFUSED, "another writer has taken the log over from epoch %lld",
                      (long long)log->epoch);
    if (status != OK)
        db_rollback(message);
    return status;
}

status_t log_append(struct eventlog *log, struct message *message, struct wish wishes[], int count,
                    Entry ***ret_entries, size_t *ret_count)
{
    struct batch batch = {.now_us = clock_calendar_us()};

    batch.candidates = take_candidates(log, message, wishes, count, &batch.count);
    batch.added = arena_alloc(message->arena, ((size_t)batch.count + 1) * sizeof *batch.added);
    status_t status = make_room(log, message);
    if (status == OK)
        status = store(log, message, &batch, false);
    if (status == RETRY && strcmp(db_sqlstate(log->db), UNIQUE_VIOLATION) == 0)
        status = store(log, message, &batch, true);
    if (status != OK)
        return status;
    log->tree = batch.tree;
    sign_done(log, batch.note);
    for (int i = 0; i < batch.n_added; i++)
        recent_note(&log->recent, batch.added[i]->event->stream, (int64_t)batch.added[i]->event->version);
    *ret_entries = entries_of(log, message->arena, batch.added, batch.n_added, batch.now_us);
    *ret_count = (size_t)batch.n_added;
    return OK;
}
