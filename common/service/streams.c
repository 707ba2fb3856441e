// streams: the versions of the streams that a transaction adds to.
//
// A stream is held by its row in loop_stream until the transaction ends, so versions are given in the order of commits.
// They are counted here and stored once, with everything else.
#include "service/loop.h"

#include "service_store.sql.h"

#include <assert.h>

static struct stream *find(const struct harvest *harvest, const char *id)
{
    for (struct stream *stream = harvest->streams; stream; stream = stream->next)
        if (strcmp(stream->id, id) == 0)
            return stream;
    return NULL;
}

static void add(struct harvest *harvest, const char *id, uint64_t version)
{
    struct stream *stream = arena_alloc(harvest->arena, sizeof *stream);

    *stream = (struct stream){.id = id, .stored = version, .version = version, .next = harvest->streams};
    harvest->streams = stream;
}

status_t streams_hold(struct message *message, struct harvest *harvest, const char *const ids[], int count)
{
    struct message lasting = message_new(harvest->arena);

    assert(!harvest->holding);
    if (count == 0)
        return OK;
    lasting.db = message->db;
    harvest->holding_count = count;
    harvest->holding = arena_alloc(harvest->arena, sizeof *harvest->holding * (size_t)count);
    for (int i = 0; i < count; i++)
        harvest->holding[i] = arena_text(harvest->arena, ids[i]);
    status_t status = LATER(&lasting, loop_hold_streams, &harvest->held,
                            db_text_array(&lasting, harvest->holding, count));
    return status == OK ? OK : fail(message, status, "%s", lasting.reason);
}

// Those that the database knows have a version; the others begin.
static status_t take_held(struct message *message, struct harvest *harvest)
{
    status_t status = rows_came(&harvest->held) ? OK : db_wait(message);

    if (status != OK)
        return status;
    for (int row = 0; row < harvest->held.count; row++)
        add(harvest, row_text(&harvest->held, row, 0), (uint64_t)row_int(&harvest->held, row, 1));
    for (int i = 0; i < harvest->holding_count; i++)
        if (!find(harvest, harvest->holding[i]))
            add(harvest, harvest->holding[i], 0);
    harvest->holding = NULL;
    return OK;
}

status_t streams_know(struct message *message, struct harvest *harvest, const char *const ids[], int count)
{
    const char **wanted = arena_alloc(message->arena, sizeof *wanted * (size_t)(count + 1));
    status_t status = harvest->holding ? take_held(message, harvest) : OK;
    int n = 0;

    for (int i = 0; i < count; i++)
        if (!find(harvest, ids[i]))
            wanted[n++] = ids[i];
    if (status == OK && n > 0)
        status = streams_hold(message, harvest, wanted, n);
    return status == OK && n > 0 ? take_held(message, harvest) : status;
}

uint64_t streams_next(struct harvest *harvest, const char *id)
{
    struct stream *stream = find(harvest, id);

    assert(stream && "it was made known");
    return ++stream->version;
}

// Store the versions given to streams that the database has known before, or has not.
static status_t keep(struct message *message, const struct harvest *harvest, const struct sql *sql,
                     bool known)
{
    size_t room = 0;
    int count = 0;

    for (const struct stream *stream = harvest->streams; stream; stream = stream->next)
        room++;
    const char **ids = arena_alloc(message->arena, sizeof *ids * (room + 1));
    int64_t *versions = arena_alloc(message->arena, sizeof *versions * (room + 1));
    for (const struct stream *stream = harvest->streams; stream; stream = stream->next)
        if (stream->version > stream->stored && (stream->stored > 0) == known) {
            ids[count] = stream->id;
            versions[count++] = (int64_t)stream->version;
        }
    const struct arg args[] = {db_text_array(message, ids, count), db_int_array(message, versions, count)};
    return count > 0 ? db_run(message, sql, args, 2, NULL) : OK;
}

status_t streams_keep(struct message *message, const struct harvest *harvest)
{
    status_t status = keep(message, harvest, &sql_loop_keep_versions, true);
    return status == OK ? keep(message, harvest, &sql_loop_begin_streams, false) : status;
}
