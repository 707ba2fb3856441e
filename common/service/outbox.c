// outbox: own events on their way to the event log.
//
// Events are stored with the tables they changed, in one transaction; only after its COMMIT they are sent,
// and a row leaves the outbox when the log has acknowledged it. Whoever made an event sends it once at once.
// What then stays unacknowledged (a full window, a lost answer, a killed instance, a log that was away) is
// sent by the leader, who looks for rows of some age. Sending twice is harmless: the log acknowledges a
// repeat.
#include "service/loop.h"

#include "clock/clock.h"
#include "log/log.h"
#include "service_store.sql.h"
#include "service_v1.pb-c.h"
#include "values/values.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define APPENDS_UNDER_WAY 64  // more are left for the leader
#define HELD_TRIES        5   // after 20, 40, 80, 160 and 320 ms; then left for the leader
#define HELD_MS           20
#define HELD_EVENTS       500
#define ACKED_EVENTS      4096  // acknowledged rows that wait to be dropped
#define ACKED_MS          200   // and for how long, when no transaction comes by
#define BYTES_OF_EVENT    8     // what framing adds to one event in an Append
#define LOOK_AT_ALL_MS    60000  // between looks at the whole outbox while nothing is left behind in it
#define LOOK_BACK_US      INT64_C(60000000)  // what instances' clocks may differ, and a transaction may last

// An Append that is not answered yet.
struct append {
    char id[UUID_SIZE];
    int64_t sent_ms;
    bool sweep;  // of what was left behind
    int tries;   // of held back events
    int count;
    struct append *next;
    char events[][UUID_SIZE];
};

struct relay {
    struct append *appends;
    int under_way;
    bool sweeping;
    bool swept_full;  // the last sweep found as much as it may take: look again at once
    int64_t swept_ms;
    bool clean;                // nothing is left behind, as far as is known
    int64_t looked_ms;         // the whole outbox was looked at then
    char from[UUID_SIZE];      // what has an id before this was not left behind then
    char (*acked)[UUID_SIZE];  // acknowledged, still in the outbox
    int acked_count;
    int dropping;             // of those, how many the transaction under way drops
    int64_t acked_ms;         // since when
    char (*held)[UUID_SIZE];  // held back: to be sent again
    int held_count;
    int held_tries;
    int64_t held_ms;  // when
};

struct relay *relay_new(void)
{
    struct relay *relay = calloc(1, sizeof *relay);
    assert(relay);
    relay->acked = calloc(ACKED_EVENTS, sizeof *relay->acked);
    relay->held = calloc(HELD_EVENTS, sizeof *relay->held);
    assert(relay->acked && relay->held);
    return relay;
}

void relay_destroy(struct relay **relay_p)
{
    struct relay *relay = *relay_p;
    if (!relay)
        return;
    while (relay->appends) {
        struct append *append = relay->appends;
        relay->appends = append->next;
        free(append);
    }
    free(relay->acked);
    free(relay->held);
    free(relay);
    *relay_p = NULL;
}

static void uuid_set(char to[UUID_SIZE], const char *from)
{
    assert(strlen(from) == UUID_SIZE - 1);
    memcpy(to, from, UUID_SIZE);
}

// -------------------------------------------------------------------------------------- within a transaction

static status_t keep_events(struct message *message, const struct harvest *harvest)
{
    int count = harvest->made_count, i = 0;
    if (count == 0)
        return OK;
    const char **ids = arena_alloc(message->arena, sizeof *ids * (size_t)count);
    const char **streams = arena_alloc(message->arena, sizeof *streams * (size_t)count);
    int64_t *versions = arena_alloc(message->arena, sizeof *versions * (size_t)count);
    struct arg *bytes = arena_alloc(message->arena, sizeof *bytes * (size_t)count);

    for (const struct made *made = harvest->made; made; made = made->next, i++) {
        ids[i] = made->id;
        streams[i] = made->stream;
        versions[i] = (int64_t)made->version;
        bytes[i] = made->bytes;
    }
    return RUN(message, loop_keep_events, NULL, db_text_array(message, ids, count),
               db_text_array(message, streams, count), db_int_array(message, versions, count),
               db_bytes_array(message, bytes, count));
}

static status_t keep_wanted(struct message *message, const struct harvest *harvest)
{
    int count = harvest->wanted_count, i = 0;
    if (count == 0)
        return OK;
    const char **columns[4];
    for (int column = 0; column < 4; column++)
        columns[column] = arena_alloc(message->arena, sizeof *columns[column] * (size_t)count);
    struct arg *bodies = arena_alloc(message->arena, sizeof *bodies * (size_t)count);

    for (const struct wanted *wanted = harvest->wanted; wanted; wanted = wanted->next, i++) {
        columns[0][i] = wanted->id;
        columns[1][i] = wanted->service;
        columns[2][i] = wanted->type;
        columns[3][i] = wanted->correlation;
        bodies[i] = wanted->body;
    }
    return RUN(message, loop_keep_asked, NULL, db_text_array(message, columns[0], count),
               db_text_array(message, columns[1], count), db_text_array(message, columns[2], count),
               db_bytes_array(message, bodies, count), db_text_array(message, columns[3], count));
}

status_t harvest_keep(struct message *message, const struct harvest *harvest)
{
    status_t status = streams_keep(message, harvest);
    if (status == OK)
        status = keep_events(message, harvest);
    return status == OK ? keep_wanted(message, harvest) : status;
}

static status_t drop_acked(struct relay *relay, struct message *message)
{
    int count = relay->acked_count;
    relay->dropping = count;
    if (count == 0)
        return OK;
    const char **ids = arena_alloc(message->arena, sizeof *ids * (size_t)count);
    for (int i = 0; i < count; i++)
        ids[i] = relay->acked[i];
    return RUN(message, loop_drop_events, NULL, db_text_array(message, ids, count));
}

static void dropped(struct relay *relay)
{
    relay->acked_count -= relay->dropping;
    memmove(relay->acked, relay->acked + relay->dropping, sizeof *relay->acked * (size_t)relay->acked_count);
    relay->dropping = 0;
}

status_t outbox_keep(struct loop *loop, struct message *message, const struct harvest *harvest)
{
    status_t status = drop_acked(loop->relay, message);
    return status == OK ? harvest_keep(message, harvest) : status;
}

// ---------------------------------------------------------------------------------------------- sending

// Send these as one Append and remember that it is under way.
static void send_append(struct loop *loop, const char *const ids[], const struct arg bytes[], int count,
                        bool sweep, int tries)
{
    struct relay *relay = loop->relay;
    struct append *append = calloc(1, sizeof *append + sizeof append->events[0] * (size_t)count);
    Eventlog__V1__Append body = EVENTLOG__V1__APPEND__INIT;

    assert(append && count > 0 && count <= LIMIT_APPEND_EVENTS);
    *append = (struct append){.sent_ms = clock_stopwatch_ms(),
                              .sweep = sweep,
                              .tries = tries,
                              .count = count,
                              .next = relay->appends};
    body.n_events = (size_t)count;
    body.events = arena_alloc(loop->batch, sizeof *body.events * (size_t)count);
    for (int i = 0; i < count; i++) {
        body.events[i] = (ProtobufCBinaryData){.data = (uint8_t *)bytes[i].bytes, .len = bytes[i].size};
        uuid_set(append->events[i], ids[i]);
    }
    uuid_set(append->id, uuid_new(loop->batch, clock_real_us()));
    relay->appends = append;
    relay->under_way++;
    relay->sweeping |= sweep;

    size_t size;
    uint8_t *packed = message_encode(loop->batch, &body, &size);
    bus_ask(loop->bus, "eventlog", append->id, eventlog__v1__append__descriptor.name, NULL, append->id,
            LIMIT_TIMEOUT_MS, packed, size);
}

// How many of these, from the first, fit into one Append.
static int fitting(const struct arg bytes[], int count)
{
    size_t size = 0;
    int n = 0;
    while (n < count && n < LIMIT_APPEND_EVENTS) {
        size += bytes[n].size + BYTES_OF_EVENT;
        if (n > 0 && size > LIMIT_BATCH_BYTES)
            break;
        n++;
    }
    return n;
}

static void send_all(struct loop *loop, const char *const ids[], const struct arg bytes[], int count,
                     bool sweep, int tries)
{
    while (count > 0 && loop->relay->under_way < APPENDS_UNDER_WAY) {
        int n = fitting(bytes, count);
        send_append(loop, ids, bytes, n, sweep, tries);
        ids += n;
        bytes += n;
        count -= n;
    }
}

void outbox_sent(struct loop *loop, const struct harvest *harvest)
{
    dropped(loop->relay);
    if (harvest->wanted_count > 0)
        loop->asked_ms = 0;
    int count = harvest->made_count, i = 0;
    if (count == 0)
        return;
    const char **ids = arena_alloc(loop->batch, sizeof *ids * (size_t)count);
    struct arg *bytes = arena_alloc(loop->batch, sizeof *bytes * (size_t)count);
    for (const struct made *made = harvest->made; made; made = made->next, i++) {
        ids[i] = made->id;
        bytes[i] = made->bytes;
    }
    send_all(loop, ids, bytes, count, false, 0);
}

static void send_rows(struct loop *loop, const struct rows *rows, bool sweep, int tries)
{
    const char **ids = arena_alloc(loop->turn, sizeof *ids * (size_t)(rows->count + 1));
    struct arg *bytes = arena_alloc(loop->turn, sizeof *bytes * (size_t)(rows->count + 1));
    for (int row = 0; row < rows->count; row++) {
        ProtobufCBinaryData data = row_bytes(rows, row, 1);
        ids[row] = row_text(rows, row, 0);
        bytes[row] = BYTES(data.data, data.len);
    }
    send_all(loop, ids, bytes, rows->count, sweep, tries);
}

// ---------------------------------------------------------------------------------------- answers of the log

static void acked(struct relay *relay, const char *id)
{
    if (relay->acked_count == ACKED_EVENTS)
        return;  // the leader will send it again, and it will be acknowledged again
    if (relay->acked_count == 0)
        relay->acked_ms = clock_stopwatch_ms();
    uuid_set(relay->acked[relay->acked_count++], id);
}

static void held_back(struct relay *relay, const struct append *append, const char *id)
{
    if (append->sweep || append->tries >= HELD_TRIES || relay->held_count == HELD_EVENTS)
        return;  // for the leader
    if (relay->held_count == 0) {
        relay->held_tries = append->tries;
        relay->held_ms = clock_stopwatch_ms() + ((int64_t)HELD_MS << append->tries);
    }
    uuid_set(relay->held[relay->held_count++], id);
}

static status_t open_unsent(struct loop *loop, struct message *message, const char *id, const char *reason)
{
    struct rows rows;
    status_t status = RUN(message, loop_refuse_event, &rows, TEXT(id), TEXT(reason));
    if (status != OK || rows.count == 0)
        return status;

    Eventlog__V1__Event *event = NULL;
    ProtobufCBinaryData bytes = row_bytes(&rows, 0, 1);
    status = message_decode(message, &eventlog__v1__event__descriptor, bytes.data, bytes.len, &event);
    if (status == OK)
        status = park_open(message, uuid_new(loop->turn, clock_real_us()),
                           SERVICE__V1__INCIDENT__KIND__UNSENT, event->stream, event->subject, 0, event->type,
                           reason);
    return status;
}

// The log will never take this event. Its row stays, with the reason, until an operator has mended what is
// wrong.
static void refused(struct loop *loop, const char *id, const char *reason)
{
    struct message message = loop_message(loop);

    log_alarm("the event log refuses an event", "event", id, "reason", reason, NULL);
    if (!loop_connected(loop))
        return;  // the leader will hear it again
    status_t status = db_begin(&message);
    if (status == OK)
        status = open_unsent(loop, &message, id, reason);
    if (status == OK)
        status = db_commit(&message);
    if (status != OK) {
        db_rollback(&message);
        log_warn("the incident could not be stored yet", "event", id, "reason", message.reason, NULL);
    }
}

static void appended(struct loop *loop, const struct append *append, const struct incoming *incoming)
{
    struct message message = loop_message(loop);
    Eventlog__V1__Appended *answer = NULL;

    if (incoming->reply->status != BUS__V1__REPLY__STATUS__OK) {
        loop->relay->swept_full = false;
        log_warn("the event log did not take an append", "id", append->id, "reason", incoming->reply->reason,
                 NULL);
        return;  // for the leader
    }
    status_t status = message_decode(&message, &eventlog__v1__appended__descriptor, incoming->body,
                                     incoming->body_size, &answer);
    if (status != OK || answer->n_results != (size_t)append->count) {
        log_alarm("the event log's answer can not be read", "id", append->id, "reason", message.reason, NULL);
        return;
    }
    for (int i = 0; i < append->count; i++) {
        switch (answer->results[i]->result) {
        case EVENTLOG__V1__APPENDED__RESULT__STORED:
            acked(loop->relay, append->events[i]);
            break;
        case EVENTLOG__V1__APPENDED__RESULT__HELD_BACK:
            loop->relay->swept_full = false;
            held_back(loop->relay, append, append->events[i]);
            break;
        case EVENTLOG__V1__APPENDED__RESULT__REFUSED:
            refused(loop, append->events[i], answer->results[i]->reason);
            break;
        case EVENTLOG__V1__APPENDED__RESULT__UNSPECIFIED:
        case _EVENTLOG__V1__APPENDED__RESULT_IS_INT_SIZE:
            break;
        }
    }
}

static void forget(struct relay *relay, struct append **link)
{
    struct append *append = *link;
    *link = append->next;
    relay->under_way--;
    if (append->sweep) {
        relay->sweeping = false;
        for (const struct append *other = relay->appends; other; other = other->next)
            relay->sweeping |= other->sweep;
    }
    free(append);
}

bool relay_reply(struct loop *loop, const struct incoming *incoming)
{
    for (struct append **link = &loop->relay->appends; *link; link = &(*link)->next) {
        if (strcmp((*link)->id, incoming->reply->id) != 0)
            continue;
        appended(loop, *link, incoming);
        forget(loop->relay, link);
        return true;
    }
    return false;
}

// ---------------------------------------------------------------------------------------------- what is due

static void forget_unanswered(struct relay *relay, int64_t now_ms)
{
    struct append **link = &relay->appends;
    while (*link) {
        if (now_ms - (*link)->sent_ms > LIMIT_TIMEOUT_MS) {
            forget(relay, link);
            relay->swept_full = false;
        } else {
            link = &(*link)->next;
        }
    }
}

static void send_held(struct loop *loop)
{
    struct relay *relay = loop->relay;
    struct message message = loop_message(loop);
    const char *ids[HELD_EVENTS];
    struct rows rows;

    for (int i = 0; i < relay->held_count; i++)
        ids[i] = relay->held[i];
    if (RUN(&message, loop_load_events, &rows, db_text_array(&message, ids, relay->held_count)) == OK)
        send_rows(loop, &rows, false, relay->held_tries + 1);
    relay->held_count = 0;
}

static void drop_now(struct loop *loop)
{
    struct message message = loop_message(loop);
    if (drop_acked(loop->relay, &message) == OK)
        dropped(loop->relay);
}

static bool may_sweep(const struct loop *loop)
{
    return loop_leads(loop) && !loop->relay->sweeping && loop->relay->under_way < APPENDS_UNDER_WAY;
}

static bool some_left(struct loop *loop)
{
    struct message own = loop_message(loop), *message = &own;
    struct rows rows;

    return RUN(message, loop_some_left, &rows, TEXT(loop->relay->from), INT(LIMIT_RESEND_MS)) == OK &&
           row_int(&rows, 0, 0) != 0;
}

static void note_looked(struct relay *relay, arena_t *arena, int64_t now_ms, bool clean)
{
    relay->clean = clean;
    relay->looked_ms = now_ms;
    uuid_set(relay->from, uuid_first(arena, clock_real_us() - LOOK_BACK_US));
}

// Send what is left behind. All is looked through only when some is: see loop_some_left.
static void sweep(struct loop *loop, int64_t now_ms)
{
    struct relay *relay = loop->relay;
    struct message own = loop_message(loop), *message = &own;
    struct rows rows;

    if (relay->acked_count > 0)
        drop_now(loop);
    relay->swept_ms = now_ms;
    if (relay->clean && now_ms - relay->looked_ms < LOOK_AT_ALL_MS && !some_left(loop))
        return;
    relay->swept_full = false;
    if (RUN(message, loop_load_left_events, &rows, INT(LIMIT_RESEND_MS)) != OK)
        return;
    note_looked(relay, message->arena, now_ms, rows.count == 0);
    relay->swept_full = rows.count == LIMIT_APPEND_EVENTS;
    if (rows.count > 0)
        log_info("sending what was left in the outbox", "events", log_number(rows.count), NULL);
    send_rows(loop, &rows, true, 0);
}

static int until(int64_t at_ms, int64_t now_ms)
{
    return at_ms <= now_ms ? 0 : (int)(at_ms - now_ms);
}

int relay_turn(struct loop *loop)
{
    struct relay *relay = loop->relay;
    int64_t now_ms = clock_stopwatch_ms();
    int due_ms = LIMIT_HEARTBEAT_MS;

    forget_unanswered(relay, now_ms);
    relay->clean &= loop_leads(loop);  // who leads does not know what the one before had found
    if (!loop_connected(loop))
        return due_ms;
    if (relay->held_count > 0 && until(relay->held_ms, now_ms) == 0)
        send_held(loop);
    if (relay->acked_count > 0 && (loop->stopping || relay->acked_count > ACKED_EVENTS / 2 ||
                                   until(relay->acked_ms + ACKED_MS, now_ms) == 0))
        drop_now(loop);
    if (may_sweep(loop) && (relay->swept_full || until(relay->swept_ms + LIMIT_RESEND_MS, now_ms) == 0))
        sweep(loop, now_ms);

    if (relay->held_count > 0)
        due_ms = until(relay->held_ms, now_ms);
    if (relay->acked_count > 0 && until(relay->acked_ms + ACKED_MS, now_ms) < due_ms)
        due_ms = until(relay->acked_ms + ACKED_MS, now_ms);
    if (relay->swept_full && may_sweep(loop))
        due_ms = 0;
    return due_ms;
}

bool relay_knows(const struct loop *loop, int *ret_events, int64_t *ret_age_ms)
{
    const struct relay *relay = loop->relay;
    int64_t first_ms = clock_stopwatch_ms(), now_ms = first_ms;

    *ret_events = relay->held_count;
    for (const struct append *append = relay->appends; append; append = append->next) {
        *ret_events += append->count;
        first_ms = append->sent_ms < first_ms ? append->sent_ms : first_ms;
    }
    *ret_age_ms = now_ms - first_ms;
    return relay->clean || !loop_leads(loop);
}

bool relay_idle(const struct loop *loop)
{
    return loop->relay->under_way == 0 && loop->relay->acked_count == 0 && loop->relay->held_count == 0;
}
