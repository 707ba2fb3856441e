// ahead: what a batch of commands will ask of the database, asked at once.
//
// By itself each command waits for what it loads: with the database some milliseconds away that is all that a service
// does. So before the first command is decided, those whose row says how (service.h) ask for what they will load, and the
// batch waits once for all of it, together with the answers that were given before and the versions of the streams.
// Decide knows nothing of this: db_run finds the answer where it was put.
//
// What was asked ahead must still be true when its command's turn comes. So a case is asked for once, for the first
// command about it, and nothing is asked behind a command that has no ahead, since that may change anything.
//
// Rows are locked as they are loaded. Two instances with many cases each lock them in the same order, by the name of the
// case, and so never wait for one another in a circle.
#include "service/loop.h"

#include <assert.h>
#include <stdlib.h>

// What was asked and decoded ahead stays until the batch is done, beside what that makes.
#define AHEAD_BYTES (LIMIT_ARENA_BYTES / 2)

// A command that something is asked for.
struct asking {
    struct work *work;
    const struct command_row *row;
    struct message message;  // in hand, to ask with
    const char *case_id;
    int place;  // in the batch
};

static int by_case(const void *one, const void *other)
{
    const struct asking *a = one, *b = other;
    int order = strcmp(a->case_id, b->case_id);

    return order != 0 ? order : a->place - b->place;
}

// False when this one asks for nothing: it will be refused.
static bool decode(struct loop *loop, struct work *work, const struct command_row *row, struct asking *ret)
{
    ret->message = work_message(loop, work, loop->batch);
    if (!role_among(ret->message.actor, row->roles) ||
        message_decode(&ret->message, row->on, work->body, work->body_size, &work->command) != OK)
        return false;
    ret->work = work;
    ret->row = row;
    ret->case_id = message_field(work->command, row->on->fields[0].name);
    return true;
}

static int find_asking(struct loop *loop, struct work works[], int count, struct asking *ret)
{
    int n = 0;

    for (int i = 0; i < count && arena_used(loop->batch) < AHEAD_BYTES; i++) {
        if (!work_open(&works[i]))
            continue;
        const struct command_row *row = service_command(loop->service, works[i].request->type);
        if (row && !row->ahead)
            break;
        ret[n].place = i;
        if (row && decode(loop, &works[i], row, &ret[n]))
            n++;
    }
    qsort(ret, (size_t)n, sizeof *ret, by_case);
    return n;
}

// Only the first about each case; they are sorted.
static int first_of_each(struct asking askings[], int count)
{
    int n = 0;

    for (int i = 0; i < count; i++)
        if (n == 0 || strcmp(askings[n - 1].case_id, askings[i].case_id) != 0)
            askings[n++] = askings[i];
    return n;
}

// Ask in the name of the message in hand; message gets the reason of a failure.
static status_t ask_by(handle_f *ahead, struct message *own, const void *body, struct message *message)
{
    status_t status = ahead(own, body);

    assert(!own->emitted && !own->asked && !own->answer_descriptor && "an ahead only asks");
    return status == OK ? OK : fail(message, status, "%s", own->reason);
}

void will_add(struct message *message, const char *kind, const char *id)
{
    message->adds_to = arena_printf(message->arena, "%s/%s", kind, id);
}

// The stream that was named, among those to hold.
static void note_stream(struct loop *loop, const struct message *own, const char *streams[], int *count)
{
    if (own->adds_to != NULL)
        streams[(*count)++] = arena_printf(loop->batch, "%s/%s", loop->service->name, own->adds_to);
}

status_t ahead_ask(struct loop *loop, struct message *message, struct work works[], int count,
                   struct harvest *harvest)
{
    struct asking askings[LIMIT_BATCH_MESSAGES];
    const char *streams[LIMIT_BATCH_MESSAGES];
    status_t status = OK;
    int adding = 0;

    for (int i = 0; i < count; i++) {
        works[i].ahead = NULL;
        works[i].command = NULL;
    }
    int n = first_of_each(askings, find_asking(loop, works, count, askings));
    // All keys before all rows, as a command by itself does it: so that no two wait for one another.
    for (int i = 0; status == OK && i < n; i++)
        status = ask_by(private_ahead, &askings[i].message, askings[i].work->command, message);
    for (int i = 0; status == OK && i < n; i++) {
        status = ask_by(askings[i].row->ahead, &askings[i].message, askings[i].work->command, message);
        askings[i].work->ahead = askings[i].message.ahead;
        note_stream(loop, &askings[i].message, streams, &adding);
    }
    return status == OK ? streams_hold(message, harvest, streams, adding) : status;
}

// ------------------------------------------------------------------------------------------------ entries of the log

// An event that something may be asked for: the row it is heard by, decoded.
struct hearing {
    const struct heard_row *row;
    struct message message;
    void *body;
};

// False when nothing may be asked for it and what comes behind it. Nothing is found for what asks for nothing.
static bool find_hearing(struct loop *loop, const Eventlog__V1__Entry *entry, struct hearing *ret)
{
    struct message on = message_new(loop->batch);
    Eventlog__V1__Event *event = NULL;

    on.db = loop->db;
    if (message_decode(&on, &eventlog__v1__event__descriptor, entry->event.data, entry->event.len, &event) != OK)
        return false;
    const struct heard_row *row = service_heard(loop->service, event->type);
    if (row == NULL)
        return true;
    ret->message = follow_message(loop->service, &on, entry->position, event);
    ret->row = row;
    return row->ahead != NULL && message_decode(&ret->message, row->on, event->data.data, event->data.len,
                                                &ret->body) == OK;
}

// Only the first about each subject.
static bool is_first(const struct hearing *all, int count, const char *subject)
{
    for (int i = 0; i < count; i++)
        if (strcmp(all[i].message.subject, subject) == 0)
            return false;
    return true;
}

status_t ahead_hear(struct loop *loop, struct message *message, Eventlog__V1__Entry *const entries[], size_t count,
                    struct harvest *harvest, struct ahead *ret[])
{
    struct hearing *all = arena_alloc(loop->batch, sizeof *all * (count + 1));
    const char *streams[LIMIT_BATCH_EVENTS];
    status_t status = OK;
    int n = 0, adding = 0;

    for (size_t i = 0; status == OK && i < count && arena_used(loop->batch) < AHEAD_BYTES; i++) {
        struct hearing *one = &all[n];
        *one = (struct hearing){.row = NULL};
        if (!find_hearing(loop, entries[i], one))
            break;
        if (one->row == NULL || !is_first(all, n, one->message.subject))
            continue;
        status = ask_by(one->row->ahead, &one->message, one->body, message);
        ret[i] = one->message.ahead;
        note_stream(loop, &one->message, streams, &adding);
        n++;
    }
    return status == OK ? streams_hold(message, harvest, streams, adding) : status;
}
