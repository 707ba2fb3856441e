// park: what could not be handled stands still, with all that follows it in its stream and its case, until an
// operator lets it go on. Everything else goes on meanwhile.
#include "service/loop.h"

#include "log/log.h"
#include "service_store.sql.h"
#include "service_v1.pb-c.h"

#include <assert.h>
#include <stdlib.h>

// ----------------------------------------------------------------------------------------- what stands still

struct held_one {
    char *stream;
    char *subject;
    char *incident;  // the incident's stream
};

struct held {
    struct held_one *ones;
    int count;
};

static char *copy(const char *text)
{
    char *copied = strdup(text);
    assert(copied);
    return copied;
}

struct held *held_new(void)
{
    struct held *held = calloc(1, sizeof *held);
    assert(held);
    return held;
}

void held_forget(struct held *held)
{
    for (int i = 0; i < held->count; i++) {
        free(held->ones[i].stream);
        free(held->ones[i].subject);
        free(held->ones[i].incident);
    }
    free(held->ones);
    *held = (struct held){0};
}

void held_destroy(struct held **held_p)
{
    if (!*held_p)
        return;
    held_forget(*held_p);
    free(*held_p);
    *held_p = NULL;
}

const char *held_behind(const struct held *held, const char *stream, const char *subject)
{
    for (int i = 0; i < held->count; i++)
        if (strcmp(held->ones[i].stream, stream) == 0 || strcmp(held->ones[i].subject, subject) == 0)
            return held->ones[i].incident;
    return NULL;
}

void held_add(struct held *held, const char *stream, const char *subject, const char *incident_stream)
{
    for (int i = 0; i < held->count; i++)
        if (strcmp(held->ones[i].stream, stream) == 0 && strcmp(held->ones[i].subject, subject) == 0)
            return;
    held->ones = realloc(held->ones, sizeof *held->ones * (size_t)(held->count + 1));
    assert(held->ones);
    held->ones[held->count++] = (struct held_one){
        .stream = copy(stream), .subject = copy(subject), .incident = copy(incident_stream)};
}

// ---------------------------------------------------------------------------------------------- parking

status_t park_load(struct message *message, struct held *held)
{
    struct rows rows;

    status_t status = RUN0(message, loop_load_held, &rows);
    if (status != OK)
        return status;
    held_forget(held);
    for (int row = 0; row < rows.count; row++)
        held_add(held, row_text(&rows, row, 0), row_text(&rows, row, 1), row_text(&rows, row, 2));
    return OK;
}

status_t park_behind(struct message *message, struct held *held, const char *incident_stream,
                     uint64_t position, const Eventlog__V1__Event *event, const uint8_t *bytes, size_t size)
{
    status_t status = RUN(message, loop_park, NULL, INT((int64_t)position), TEXT(incident_stream),
                          TEXT(event->stream), TEXT(event->subject), BYTES(bytes, size));
    if (status == OK)
        held_add(held, event->stream, event->subject, incident_stream);
    return status;
}

status_t park_open(struct message *message, const char *id, int kind, const char *stream, const char *subject,
                   uint64_t position, const char *type, const char *reason)
{
    return RUN(message, loop_open_incident, NULL, TEXT(id), INT(kind), TEXT(stream), TEXT(subject),
               INT((int64_t)position), TEXT(type), TEXT(reason));
}

// ---------------------------------------------------------------------------------------------- going on

// An incident that an operator let go on.
struct redriven {
    const char *id;
    int kind;
    const char *stream;
    bool skip;  // two of them let what failed be left out
};

static status_t next_parked(struct loop *loop, struct message *message, const struct redriven *incident,
                            struct harvest *harvest, bool *ret_more)
{
    struct rows rows;

    status_t status = RUN(message, loop_load_parked, &rows, TEXT(incident->id));
    *ret_more = status == OK && rows.count > 0;
    if (!*ret_more)
        return status;
    ProtobufCBinaryData bytes = row_bytes(&rows, 0, 1);
    arena_reset(loop->hand);
    struct message hand = message_new(loop->hand);
    hand.db = loop->db;
    status = follow_entry(loop->service, &hand, (uint64_t)row_int(&rows, 0, 0), bytes.data, bytes.len,
                          harvest, FOLLOWING);
    if (status != OK)
        return fail(message, status, "%s", hand.reason);
    return RUN(message, loop_unpark, NULL, INT(row_int(&rows, 0, 0)));
}

// The first of the parked events, in a transaction of its own.
static status_t redrive_one(struct loop *loop, const struct redriven *incident, bool *ret_more,
                            const char **ret_reason)
{
    struct message message = loop_transaction(loop);
    struct harvest harvest = harvest_new(loop->batch);

    status_t status = db_begin(&message);
    if (status == OK)
        status = next_parked(loop, &message, incident, &harvest, ret_more);
    if (status == OK)
        status = outbox_keep(loop, &message, &harvest);
    if (status == OK)
        status = db_commit(&message);
    if (status == OK)
        outbox_sent(loop, &harvest);
    else
        db_rollback(&message);
    *ret_reason = loop_reason(loop, &message);
    return status;
}

static status_t redrive_heard(struct loop *loop, const struct redriven *incident, const char **ret_reason)
{
    status_t status = OK;
    int tries = 0;

    for (bool more = true; status == OK && more; tries = 0)
        do
            status = redrive_one(loop, incident, &more, ret_reason);
        while (status == RETRY && ++tries < LIMIT_TRIES && loop_same_connection(loop));
    return status;
}

// What two persons gave up is dropped, each event with a line of its own; what waits behind it is tried.
static status_t drop_skipped(struct loop *loop, const struct redriven *incident, const char **ret_reason)
{
    struct message own = loop_transaction(loop), *message = &own;
    struct rows rows;

    status_t status = db_begin(message);
    if (status == OK)
        status = RUN(message, loop_drop_skipped, &rows, TEXT(incident->id));
    if (status == OK)
        status = db_commit(message);
    else
        db_rollback(message);
    *ret_reason = loop_reason(loop, message);
    for (int row = 0; status == OK && row < rows.count; row++)
        log_warn("an event is skipped, as two operators decided", "stream", incident->stream, "position",
                 log_number(row_int(&rows, row, 0)), NULL);
    return status;
}

static status_t redrive(struct loop *loop, struct message *message, const struct redriven *incident,
                        const char **ret_reason)
{
    switch ((Service__V1__Incident__Kind)incident->kind) {
    case SERVICE__V1__INCIDENT__KIND__HEARD:
        if (incident->skip) {
            status_t status = drop_skipped(loop, incident, ret_reason);
            if (status != OK)
                return status;
        }
        return redrive_heard(loop, incident, ret_reason);
    case SERVICE__V1__INCIDENT__KIND__UNSENT:
        return RUN(message, loop_resend_events, NULL, TEXT(incident->stream));
    case SERVICE__V1__INCIDENT__KIND__ASKED:
        return RUN(message, loop_ask_again, NULL, TEXT(incident->id));
    case SERVICE__V1__INCIDENT__KIND__UNSPECIFIED:
    case _SERVICE__V1__INCIDENT__KIND_IS_INT_SIZE:
        break;
    }
    return OK;
}

static void go_on(struct loop *loop, const struct redriven *incident)
{
    struct message message = loop_message(loop);
    const char *reason = "it could not be tried now";

    status_t status = redrive(loop, &message, incident, &reason);
    if (status == OK) {
        log_info("an incident is closed", "stream", incident->stream, NULL);
        RUN(&message, loop_close_incident, NULL, TEXT(incident->id));
    } else if (loop_connected(loop)) {
        log_alarm("an incident stays open", "stream", incident->stream, "reason", reason, NULL);
        RUN(&message, loop_reopen_incident, NULL, TEXT(incident->id), TEXT(reason));
    }
}

void park_redrive(struct loop *loop, struct held *held)
{
    struct message message = loop_message(loop);
    struct rows rows;

    if (RUN0(&message, loop_load_redriven, &rows) != OK)
        return;
    for (int row = 0; row < rows.count; row++) {
        struct redriven incident = {.id = row_text(&rows, row, 0),
                                    .kind = (int)row_int(&rows, row, 1),
                                    .stream = row_text(&rows, row, 2),
                                    .skip = row_int(&rows, row, 3)};
        go_on(loop, &incident);
    }
    if (held)
        park_load(&message, held);
}
