// judge: does the log extend what we hold?
//
// Entries are taken as they come, but they are trusted only once the log has said a root that they lead to: by its head
// on the feed, or by a checkpoint. When it says another root, what was taken since is dropped (and kept aside as
// evidence), and nothing more is taken until the log proves that it extends what we hold.
#include "witness.h"

#include "clock/clock.h"
#include "limits/limits.h"
#include "log/log.h"
#include "proof.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TELL_AGAIN_MS 60000

// ---------------------------------------------------------------------------------------------------- alarms

void judge_alarm(struct judge *judge, const char *format, ...)
{
    char sentence[sizeof judge->alarm];
    va_list arguments;
    int64_t now_ms = clock_stopwatch_ms();

    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    bool known = strcmp(sentence, judge->alarm) == 0;
    snprintf(judge->alarm, sizeof judge->alarm, "%s", sentence);
    if (known && now_ms - judge->alarmed_ms < TELL_AGAIN_MS)
        return;
    judge->alarmed_ms = now_ms;
    log_alarm("the log cannot be witnessed", "reason", judge->alarm, "size",
              log_number((int64_t)judge->trusted.size), NULL);
}

static void calm(struct judge *judge)
{
    if (judge->alarm[0] != '\0')
        log_info("the log is as it must be again", "was", judge->alarm, NULL);
    judge->alarm[0] = '\0';
    judge->refusing = false;
}

// The log denies what was taken since it was trusted last.
static bool deny(struct judge *judge, const char *what, uint64_t at, const char **ret_why)
{
    judge->refusing = true;
    judge_alarm(judge, "%s at position %llu: the log has another tree than the one we hold", what,
                (unsigned long long)at);
    return store_drop(judge->store, &judge->trusted, ret_why);
}

static bool same_root(const struct tree *tree, const uint8_t root[TREE_HASH])
{
    uint8_t own[TREE_HASH];

    tree_root(tree, own);
    return memcmp(own, root, TREE_HASH) == 0;
}

// ---------------------------------------------------------------------------------------------------- entries

// Those of a row that continue what we hold. Others are no fault: the feed is a hint, and repeats are common.
static bool take(struct judge *judge, arena_t *arena, Eventlog__V1__Entry *const entries[], size_t count,
                 int64_t now_ms, const char **ret_why)
{
    size_t first = 0, n = 0;

    if (judge->refusing)
        return true;
    while (first < count && entries[first]->position <= judge->store->tree.size)
        first++;
    while (first + n < count && entries[first + n]->position == judge->store->tree.size + n + 1)
        n++;
    if (n == 0)
        return true;
    judge->added_ms = now_ms;
    return store_add(judge->store, arena, entries + first, n, ret_why);
}

// The head told the root of exactly what we hold: is it ours?
static bool compare_head(struct judge *judge, const char **ret_why)
{
    struct store *store = judge->store;

    if (!judge->heard || store->tree.size != judge->head)
        return true;
    if (same_root(&store->tree, judge->head_root)) {
        judge->trusted = store->tree;
        calm(judge);
        return true;
    }
    return deny(judge, "the head's root differs", judge->head, ret_why);
}

bool judge_published(struct judge *judge, arena_t *arena, const Eventlog__V1__Published *published,
                     int64_t now_ms, const char **ret_why)
{
    const Eventlog__V1__Head *head = published->head;

    if (head == NULL || head->root.len != TREE_HASH)
        return true;
    judge->heard = true;
    judge->heard_ms = now_ms;
    judge->head = head->position;
    memcpy(judge->head_root, head->root.data, TREE_HASH);
    return take(judge, arena, published->entries, published->n_entries, now_ms, ret_why) &&
           compare_head(judge, ret_why);
}

bool judge_page(struct judge *judge, arena_t *arena, const Eventlog__V1__Page *page, int64_t now_ms,
                const char **ret_why)
{
    return take(judge, arena, page->entries, page->n_entries, now_ms, ret_why) &&
           compare_head(judge, ret_why);
}

// ------------------------------------------------------------------------------------------------- checkpoints

// The tree over the first `size` entries, read back from the disk on top of what was cosigned last.
static bool tree_at(const struct store *store, uint64_t size, struct tree *ret, const char **ret_why)
{
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    Eventlog__V1__Page page;
    bool well = true;

    *ret = store->confirmed;
    while (well && ret->size < size) {
        uint8_t leaf[TREE_HASH];
        arena_reset(arena);
        well = store_read(store, arena, ret->size, LIMIT_PAGE_ENTRIES, &page, ret_why);
        for (size_t i = 0; well && i < page.n_entries && ret->size < size; i++) {
            tree_leaf(page.entries[i]->event.data, page.entries[i]->event.len, leaf);
            tree_add(ret, leaf);
        }
    }
    arena_destroy(&arena);
    return well;
}

// Stored before it is told: the entries, then the cosigned checkpoint.
static bool cosign(struct judge *judge, arena_t *arena, const struct tree *tree, const struct note *note,
                   const char *text, int64_t now_s, const char **ret_why)
{
    const char *line = note_cosign(arena, &judge->signer, note->text, now_s);

    if (tree->size > judge->trusted.size)
        judge->trusted = *tree;
    return store_sync(judge->store, ret_why) &&
           store_cosigned(judge->store, tree, arena_printf(arena, "%s%s", text, line), ret_why);
}

bool judge_checkpoint(struct judge *judge, arena_t *arena, const char *text, int64_t now_s,
                      const char **ret_why)
{
    struct store *store = judge->store;
    struct checkpoint checkpoint;
    struct note note;
    struct tree tree;
    const char *why;

    if (text[0] == '\0' && store->confirmed.size == 0)
        return true;  // the log is new
    if (text[0] == '\0' ||
        !checkpoint_open_any(arena, text, strlen(text), &judge->log, &checkpoint, &note, &why)) {
        judge_alarm(judge, "the log's checkpoint does not verify: %s",
                    text[0] == '\0' ? "there is none" : why);
        judge->refusing = true;
        return true;
    }
    if (checkpoint.size > store->tree.size || judge->refusing || checkpoint.size < store->confirmed.size)
        return true;  // not yet, not now, or told before
    if (checkpoint.size == store->confirmed.size) {
        if (!same_root(&store->confirmed, checkpoint.root))
            return deny(judge, "a checkpoint differs from one that we have cosigned", checkpoint.size,
                        ret_why);
        return true;
    }
    if (!tree_at(store, checkpoint.size, &tree, ret_why))
        return false;
    if (!same_root(&tree, checkpoint.root))
        return deny(judge, "a checkpoint's root differs", checkpoint.size, ret_why);
    return cosign(judge, arena, &tree, &note, text, now_s, ret_why);
}

void judge_proof(struct judge *judge, const Eventlog__V1__ConsistencyProof *proof)
{
    const struct tree *own = &judge->store->tree;
    uint8_t hashes[PROOF_HASHES][TREE_HASH], root[TREE_HASH];

    if (!judge->refusing || proof->from != own->size || proof->to != judge->head ||
        proof->n_hashes > PROOF_HASHES)
        return;
    for (size_t i = 0; i < proof->n_hashes; i++) {
        if (proof->hashes[i].len != TREE_HASH)
            return;
        memcpy(hashes[i], proof->hashes[i].data, TREE_HASH);
    }
    tree_root(own, root);
    if (proof_consistent(proof->from, root, proof->to, judge->head_root, hashes, proof->n_hashes)) {
        judge->trusted = *own;
        calm(judge);
    }
}

// -------------------------------------------------------------------------------------------------------- time

void judge_time(struct judge *judge, int64_t now_ms)
{
    uint64_t size = judge->store->tree.size;
    int64_t silent_ms = now_ms - judge->heard_ms;

    if (silent_ms > JUDGE_SILENCE_MS) {
        judge_alarm(judge, "the log has been silent for more than %d seconds", JUDGE_SILENCE_MS / 1000);
        return;
    }
    // Pages may be ahead of the feed for a moment, but not for long.
    if (judge->heard && judge->head < size && now_ms - judge->added_ms > JUDGE_BEHIND_MS) {
        judge->refusing = true;
        judge_alarm(
            judge,
            "the log ends at position %llu and we hold %llu events: its end was cut off, or it is an older "
            "copy; tildel-eventlog --repair puts the end back",
            (unsigned long long)judge->head, (unsigned long long)size);
        return;
    }
    if (judge->refusing)
        judge_alarm(judge, "%s", judge->alarm);  // told again every minute
    else
        calm(judge);
}
