// sign: checkpoints: what the log signs, and what it has signed.
//
// A checkpoint is stored in the transaction of the events it covers, or in one that finds the head where it was; it
// leaves the process only after that transaction. So nothing is ever signed that is not in the log, and two
// checkpoints never contradict each other.
#include "eventlog.h"

#include "clock/clock.h"
#include "eventlog_store.sql.h"
#include "log/log.h"

#include <string.h>

static bool signs(const struct eventlog *log)
{
    return log->signer.key.name[0] != '\0';
}

static void remember(struct eventlog *log, uint64_t size, const char *note)
{
    log->signed_size = size;
    log->signed_ms = clock_stopwatch_ms();
    snprintf(log->note, sizeof log->note, "%s", note);
}

// A note by an earlier key of the same name still says what the log was.
static status_t check_note(struct eventlog *log, struct message *message, uint64_t size, const char *text)
{
    struct checkpoint checkpoint;
    struct note note;
    const char *why;

    if (!note_parse(message->arena, text, strlen(text), &note, &why) ||
        !checkpoint_parse(message->arena, note.text, &checkpoint, &why))
        return fail(message, POISON, "the stored checkpoint of size %llu is damaged: %s",
                    (unsigned long long)size, why);
    if (strcmp(checkpoint.origin, log->signer.key.name) != 0)
        return fail(message, REFUSED, "this log is called %s and LOG_KEY_FILE holds the key of %s",
                    checkpoint.origin, log->signer.key.name);
    for (size_t i = 0; i < note.count; i++)
        if (note_signature_of(&note.signatures[i], &log->signer.key) &&
            !note_verify(message->arena, &note, &log->signer.key, NULL, &why))
            return fail(message, POISON, "the stored checkpoint of size %llu is forged: %s",
                        (unsigned long long)size, why);
    if (checkpoint.size != size)
        return fail(message, POISON, "the stored checkpoint of size %llu says %llu", (unsigned long long)size,
                    (unsigned long long)checkpoint.size);
    return log_extends(message, &log->tree, checkpoint.size, checkpoint.root,
                       "the newest stored checkpoint covers");
}

status_t sign_load(struct eventlog *log, struct message *message)
{
    struct rows rows;

    if (!signs(log))
        return OK;
    status_t status = RUN0(message, newest_checkpoint, &rows);
    remember(log, 0, "");
    log->signed_ms = 0;  // long ago: the first event to come is signed at once
    if (status != OK || rows.count == 0)
        return status;
    uint64_t size = (uint64_t)row_int(&rows, 0, 0);
    status = check_note(log, message, size, row_text(&rows, 0, 1));
    if (status != OK)
        return status;
    remember(log, size, row_text(&rows, 0, 1));
    log->signed_ms = 0;
    return OK;
}

static char *sign(const struct eventlog *log, arena_t *arena, const struct tree *tree)
{
    uint8_t root[TREE_HASH];

    tree_root(tree, root);
    return checkpoint_sign(arena, &log->signer, tree->size, root);
}

bool sign_waits(const struct eventlog *log)
{
    return signs(log) && log->tree.size > log->signed_size &&
           clock_stopwatch_ms() - log->signed_ms >= CHECKPOINT_MS;
}

const char *sign_due(const struct eventlog *log, arena_t *arena, const struct tree *tree)
{
    if (!signs(log) || (tree->size - log->signed_size < CHECKPOINT_EVENTS &&
                        clock_stopwatch_ms() - log->signed_ms < CHECKPOINT_MS))
        return NULL;
    return sign(log, arena, tree);
}

void sign_done(struct eventlog *log, const char *note)
{
    if (note != NULL)
        remember(log, log->tree.size, note);
}

status_t sign_head(struct eventlog *log, struct message *message)
{
    struct rows rows;

    if (!signs(log) || log->tree.size == log->signed_size)
        return OK;
    const char *note = sign(log, message->arena, &log->tree);
    status_t status = RUN(message, add_checkpoint, &rows, INT((int64_t)log->tree.size), TEXT(note),
                          INT(clock_calendar_us()), INT(log->epoch));
    if (status == OK && rows.affected != 1)
        status = fail(message, RETRY, "the log is not ours any more, or this size is signed already");
    if (status == OK)
        remember(log, log->tree.size, note);
    return status;
}
