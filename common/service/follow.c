// follow: the leader hears the event log, every position in order, each once.
//
// What the feed publishes is a hint and a short cut: entries are taken from it only when they continue where
// we stand, and whatever is missing is read from the log. The cursor moves in the transaction that holds the
// effects, and its row is locked and compared first, so that two processes that both believe to lead can not
// both hear.
#include "service/loop.h"

#include "clock/clock.h"
#include "log/log.h"
#include "service_store.sql.h"
#include "service_v1.pb-c.h"
#include "values/values.h"

#include <assert.h>
#include <stdlib.h>

#define READ_AGAIN_MS 5000  // a page that did not come is asked for again after this
#define RETRY_MS      100   // an event that must be tried again, doubled with each try
#define FULL_MS       1000  // the same, while the database is full
#define STORE_MS      1000  // how often the cursor is stored while nothing concerns us
#define ALARM_MS      60000
#define SHORT_MS      10000  // the feed may lag behind pages that came another way, but not for as long as this
#define ROOT_BYTES    32

struct follow {
    struct held *held;
    bool loaded;        // what follows is known from the database
    uint64_t position;  // heard up to here
    uint64_t stored;    // the cursor in the database; behind position only by what does not concern us
    int64_t stored_ms;
    char log_id[UUID_SIZE];  // of the log we have heard; "" none yet
    uint64_t head;           // the highest head seen, with its root
    uint8_t root[ROOT_BYTES];
    size_t root_size;
    bool halted;       // the log is not the one we have heard
    int64_t short_ms;  // since when the feed tells of a shorter log; 0: it does not
    int64_t alarmed_ms;
    char read_id[UUID_SIZE];  // the page asked for; "" none
    uint64_t read_after;
    int64_t read_ms;
    uint64_t failing;  // the position that could not be handled
    int tries;
    int64_t again_ms;  // when it is tried again
};

struct follow *follow_new(const struct service *service)
{
    if (!service->witness && !(service->heard && service->heard->on))
        return NULL;
    struct follow *follow = calloc(1, sizeof *follow);
    assert(follow);
    follow->held = held_new();
    return follow;
}

void follow_destroy(struct follow **follow_p)
{
    if (!*follow_p)
        return;
    held_destroy(&(*follow_p)->held);
    free(*follow_p);
    *follow_p = NULL;
}

// ---------------------------------------------------------------------------------------------- one entry

struct message follow_message(const struct service *service, const struct message *on, uint64_t position,
                              const Eventlog__V1__Event *event)
{
    struct message heard = message_new(on->arena);
    heard.db = on->db;
    heard.ahead = on->ahead;
    heard.id = event->id;
    heard.type = event->type;
    heard.at_us = event->time_us;
    heard.actor = event->actor ? event->actor : heard.actor;
    heard.sender = service->name;
    heard.correlation = event->correlation;
    heard.rehearsal = event->rehearsal;
    heard.stream = event->stream;
    heard.version = event->version;
    heard.subject = event->subject;
    heard.position = position;
    heard.data = event->data.data;
    heard.data_size = event->data.len;
    return heard;
}

static status_t own_event(const struct service *service, struct message *heard, enum following following)
{
    status_t status = service->witness && following != APPLYING ? service->witness(heard, NULL) : OK;
    if (status == OK && following != FOLLOWING) {
        heard->position = 0;  // as it was when the event was made
        status = dispatch_applied(service, heard);
    }
    return status == REFUSED ? POISON : status;
}

static status_t handle(const struct service *service, struct message *message, uint64_t position,
                       const Eventlog__V1__Event *event, struct harvest *harvest, enum following following)
{
    struct message heard = follow_message(service, message, position, event);
    actor_t self = BUS__V1__ACTOR__INIT;
    self.subject = (char *)service->name;
    self.role = BUS__V1__ACTOR__ROLE__SERVICE;

    status_t status = strcmp(event->source, service->name) == 0
                          ? own_event(service, &heard, following)
                          : dispatch_heard(service, &heard, &self, harvest, following != FOLLOWING);
    if (status != OK)
        fail(message, status, "%s", heard.reason ? heard.reason : "the event could not be handled");
    return status;
}

status_t follow_entry(const struct service *service, struct message *message, uint64_t position,
                      const uint8_t *bytes, size_t size, struct harvest *harvest, enum following following)
{
    Eventlog__V1__Event *event = NULL;
    status_t status = message_decode(message, &eventlog__v1__event__descriptor, bytes, size, &event);
    return status == OK ? handle(service, message, position, event, harvest, following) : status;
}

// ------------------------------------------------------------------------------------------- one transaction

// Does this event ask anything of us? Only its own words are looked at; a damaged one does, so that it is
// told.
static bool concerns(const struct loop *loop, const Eventlog__V1__Entry *entry, arena_t *arena)
{
    Eventlog__V1__Event *event = NULL;
    struct message message = message_new(arena);

    if (loop->service->witness || message_decode(&message, &eventlog__v1__event__descriptor,
                                                 entry->event.data, entry->event.len, &event) != OK)
        return true;
    return strcmp(event->source, loop->service->name) != 0 && service_hears(loop->service, event->type);
}

static status_t hear_one(struct loop *loop, struct message *message, const Eventlog__V1__Entry *entry,
                         struct ahead *ahead, struct harvest *harvest)
{
    struct follow *follow = loop->follow;
    Eventlog__V1__Event *event = NULL;

    arena_reset(loop->hand);
    struct message hand = message_new(loop->hand);
    hand.db = loop->db;
    hand.ahead = ahead;
    status_t status = message_decode(&hand, &eventlog__v1__event__descriptor, entry->event.data,
                                     entry->event.len, &event);
    if (status == OK) {
        const char *stuck = held_behind(follow->held, event->stream, event->subject);
        if (stuck)
            status = park_behind(&hand, follow->held, stuck, entry->position, event, entry->event.data,
                                 entry->event.len);
        else
            status = handle(loop->service, &hand, entry->position, event, harvest, FOLLOWING);
    }
    if (status != OK)
        fail(message, status, "%s", hand.reason);
    return status;
}

// The cursor's row, asked for and locked.
static status_t ask_cursor(struct message *message, struct rows *ret)
{
    return db_later(message, &sql_loop_take_cursor, NULL, 0, ret);
}

// It has come: RETRY when another process has moved it.
static status_t check_cursor(struct loop *loop, struct message *message, const struct rows *rows)
{
    struct follow *follow = loop->follow;

    status_t status = db_wait(message);
    if (status == OK && (uint64_t)row_int(rows, 0, 0) != follow->stored) {
        follow->loaded = false;
        status = fail(message, RETRY, "another process has heard up to position %lld",
                      (long long)row_int(rows, 0, 0));
    }
    return status;
}

static status_t take_cursor(struct loop *loop, struct message *message)
{
    struct rows rows;

    status_t status = ask_cursor(message, &rows);
    return status == OK ? check_cursor(loop, message, &rows) : status;
}

static status_t move_cursor(struct loop *loop, struct message *message, uint64_t position)
{
    const struct follow *follow = loop->follow;
    return RUN(message, loop_move_cursor, NULL, INT((int64_t)position), TEXT(follow->log_id),
               INT((int64_t)follow->head), BYTES(follow->root, follow->root_size));
}

static void moved(struct follow *follow, uint64_t position)
{
    follow->position = position;
    follow->stored = position;
    follow->stored_ms = clock_stopwatch_ms();
}

// Hear these entries, which continue where we stand, in one transaction.
static status_t hear(struct loop *loop, Eventlog__V1__Entry *const entries[], size_t count,
                     const char **ret_reason)
{
    struct message message = loop_transaction(loop);
    struct harvest harvest = harvest_new(loop->batch);
    struct ahead *asked[LIMIT_BATCH_EVENTS] = {NULL};
    uint64_t position = entries[count - 1]->position;
    struct rows cursor;

    assert(count <= LIMIT_BATCH_EVENTS);
    status_t status = db_begin(&message);
    if (status == OK)
        status = ask_cursor(&message, &cursor);
    if (status == OK)
        status = ahead_hear(loop, &message, entries, count, &harvest, asked);
    if (status == OK)
        status = check_cursor(loop, &message, &cursor);
    for (size_t i = 0; status == OK && i < count; i++)
        status = hear_one(loop, &message, entries[i], asked[i], &harvest);
    if (status == OK)
        status = outbox_keep(loop, &message, &harvest);
    if (status == OK)
        status = move_cursor(loop, &message, position);
    if (status == OK)
        status = db_commit(&message);
    if (status == OK) {
        moved(loop->follow, position);
        outbox_sent(loop, &harvest);
        return OK;
    }
    db_rollback(&message);
    follow_lead(loop);  // what was parked in vain is forgotten; a commit of unknown outcome is found
    *ret_reason = loop_reason(loop, &message);
    return status;
}

// ------------------------------------------------------------------------------------- what can not be heard

static status_t park_failed(struct loop *loop, struct message *message, const Eventlog__V1__Entry *entry,
                            const char *reason)
{
    Eventlog__V1__Event *event = NULL, unreadable = EVENTLOG__V1__EVENT__INIT;
    struct message own = loop_message(loop);

    if (message_decode(&own, &eventlog__v1__event__descriptor, entry->event.data, entry->event.len, &event) !=
        OK) {
        unreadable.stream = arena_printf(loop->turn, "log/position/%llu",
                                         (unsigned long long)entry->position);
        unreadable.subject = unreadable.stream;
        event = &unreadable;
    }
    status_t status = park_open(message, uuid_new(loop->turn, clock_real_us()),
                                SERVICE__V1__INCIDENT__KIND__HEARD, event->stream, event->subject,
                                entry->position, event->type, reason);
    if (status == OK)
        status = park_behind(message, loop->follow->held, event->stream, entry->position, event,
                             entry->event.data, entry->event.len);
    return status;
}

// This event can not be handled: park it and what will follow it, and go on with all others.
static status_t give_up(struct loop *loop, const Eventlog__V1__Entry *entry, const char *reason)
{
    struct message message = loop_message(loop);

    log_alarm("an event can not be handled and is parked with what follows it", "position",
              log_number((int64_t)entry->position), "reason", reason, NULL);
    status_t status = db_begin(&message);
    if (status == OK)
        status = take_cursor(loop, &message);
    if (status == OK)
        status = park_failed(loop, &message, entry, reason);
    if (status == OK)
        status = move_cursor(loop, &message, entry->position);
    if (status == OK)
        status = db_commit(&message);
    if (status == OK) {
        moved(loop->follow, entry->position);
        return OK;
    }
    db_rollback(&message);
    follow_lead(loop);
    return RETRY;
}

// One entry by itself. False: not now.
static bool hear_alone(struct loop *loop, Eventlog__V1__Entry *entry)
{
    struct follow *follow = loop->follow;
    const char *reason = "";

    status_t status = hear(loop, &entry, 1, &reason);
    if (status == OK)
        return true;
    if (follow->failing != entry->position) {
        follow->failing = entry->position;
        follow->tries = 0;
    }
    // What was lost with the connection, or to another process, or for want of room, is not this event's fault.
    if (status == RETRY && (!follow->loaded || !loop_same_connection(loop)))
        follow->again_ms = clock_stopwatch_ms() + RETRY_MS;
    else if (status == RETRY && db_full(loop->db))
        follow->again_ms = clock_stopwatch_ms() + FULL_MS;
    else if (status == POISON || ++follow->tries >= LIMIT_TRIES)
        return give_up(loop, entry, reason) == OK;
    else
        follow->again_ms = clock_stopwatch_ms() + ((int64_t)RETRY_MS << follow->tries);
    log_warn("an event must be tried again", "position", log_number((int64_t)entry->position), "reason",
             reason, NULL);
    return false;
}

// ---------------------------------------------------------------------------------------------- entries

// Nothing of this concerns us: the cursor moves in memory, and in the database once in a while.
static bool skip(struct loop *loop, Eventlog__V1__Entry *const entries[], size_t count)
{
    struct follow *follow = loop->follow;

    for (size_t i = 0; i < count; i++) {
        arena_reset(loop->hand);
        if (concerns(loop, entries[i], loop->hand))
            return false;
    }
    follow->position = entries[count - 1]->position;
    return true;
}

// Does this entry continue where we stand?
static bool is_next(const struct loop *loop, const Eventlog__V1__Entry *entry)
{
    const struct follow *follow = loop->follow;
    return loop_leads(loop) && follow->loaded && entry->position == follow->position + 1;
}

static bool take_chunk(struct loop *loop, Eventlog__V1__Entry *const entries[], size_t count)
{
    const char *reason;

    if (skip(loop, entries, count) || hear(loop, entries, count, &reason) == OK)
        return true;
    // The cursor was read again: it may stand elsewhere now, because another process has moved it.
    for (size_t i = 0; i < count; i++)
        if (!is_next(loop, entries[i]) || !hear_alone(loop, entries[i]))
            return false;
    return true;
}

// Take what continues where we stand.
static void take_entries(struct loop *loop, Eventlog__V1__Entry *const entries[], size_t count)
{
    struct follow *follow = loop->follow;
    size_t first = 0;

    while (first < count && entries[first]->position <= follow->position)
        first++;
    while (first < count && is_next(loop, entries[first])) {
        size_t n = count - first < LIMIT_BATCH_EVENTS ? count - first : LIMIT_BATCH_EVENTS;
        if (!take_chunk(loop, entries + first, n))
            return;
        first += n;
        timers_stir(loop);
    }
}

// The log gives positions without gaps; whatever does not is not taken.
static bool gapless(Eventlog__V1__Entry *const entries[], size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (entries[i]->position != entries[i - 1]->position + 1)
            return false;
    return true;
}

// -------------------------------------------------------------------------------------------- the log's head

static bool too_short(struct follow *follow, const Eventlog__V1__Head *head)
{
    int64_t now_ms = clock_stopwatch_ms();

    if (head->position >= follow->position && head->position >= follow->head)
        follow->short_ms = 0;
    else if (follow->short_ms == 0)
        follow->short_ms = now_ms;
    return follow->short_ms != 0 && now_ms - follow->short_ms > SHORT_MS;
}

static const char *what_is_wrong(struct follow *follow, const Eventlog__V1__Head *head)
{
    if (follow->log_id[0] && strcmp(follow->log_id, head->log_id) != 0)
        return "this is another log than the one this service has heard";
    if (too_short(follow, head))
        return "the log is shorter than what this service has heard";
    if (head->position == follow->head && follow->root_size == head->root.len && follow->root_size > 0 &&
        memcmp(follow->root, head->root.data, head->root.len) != 0)
        return "the log has been rewritten: its root differs from the one this service has seen";
    return NULL;
}

// Each service that hears the log is a witness: it will not follow one that went back or was rewritten.
static void see_head(struct loop *loop, const Eventlog__V1__Head *head)
{
    struct follow *follow = loop->follow;
    const char *wrong = what_is_wrong(follow, head);
    int64_t now_ms = clock_stopwatch_ms();

    follow->halted = wrong != NULL;
    if (wrong && (follow->alarmed_ms == 0 || now_ms - follow->alarmed_ms > ALARM_MS)) {
        log_alarm(wrong, "position", log_number((int64_t)head->position), "seen",
                  log_number((int64_t)follow->head), "log", head->log_id, NULL);
        follow->alarmed_ms = now_ms;
    }
    if (wrong || head->position < follow->head || head->root.len != ROOT_BYTES ||
        strlen(head->log_id) != UUID_SIZE - 1)
        return;
    memcpy(follow->log_id, head->log_id, UUID_SIZE);
    memcpy(follow->root, head->root.data, ROOT_BYTES);
    follow->root_size = ROOT_BYTES;
    follow->head = head->position;
}

static bool may_hear(const struct loop *loop)
{
    const struct follow *follow = loop->follow;
    return loop_leads(loop) && follow->loaded && !follow->halted && clock_stopwatch_ms() >= follow->again_ms;
}

void follow_feed(struct loop *loop, const struct incoming *incoming)
{
    Eventlog__V1__Published *published = NULL;
    struct message message = loop_message(loop);

    if (message_decode(&message, &eventlog__v1__published__descriptor, incoming->body, incoming->body_size,
                       &published) != OK ||
        !published->head || !gapless(published->entries, published->n_entries)) {
        log_warn("a message of the feed can not be read", "reason", message.reason, NULL);
        return;
    }
    if (published->head->position > loop->head)
        loop->head = published->head->position;
    if (!loop->follow || !loop_leads(loop) || !loop->follow->loaded)
        return;
    see_head(loop, published->head);
    if (may_hear(loop))
        take_entries(loop, published->entries, published->n_entries);
}

// ---------------------------------------------------------------------------------------------- pages

static void ask_page(struct loop *loop, uint64_t after)
{
    struct follow *follow = loop->follow;
    Eventlog__V1__Read read = EVENTLOG__V1__READ__INIT;
    size_t size;

    read.after = after;
    read.limit = LIMIT_PAGE_ENTRIES;
    uint8_t *body = message_encode(loop->turn, &read, &size);
    memcpy(follow->read_id, uuid_new(loop->turn, clock_real_us()), UUID_SIZE);
    follow->read_after = after;
    follow->read_ms = clock_stopwatch_ms();
    bus_ask(loop->bus, "eventlog", follow->read_id, eventlog__v1__read__descriptor.name, NULL,
            follow->read_id, LIMIT_TIMEOUT_MS, body, size);
}

static void take_page(struct loop *loop, const Eventlog__V1__Page *page)
{
    struct follow *follow = loop->follow;

    loop->head = page->head > loop->head ? page->head : loop->head;
    if (page->n_entries == 0 || !gapless(page->entries, page->n_entries))
        return;
    uint64_t last = page->entries[page->n_entries - 1]->position;
    if (last < page->head && last > follow->position)
        ask_page(loop, last);  // it comes while we work on this one
    take_entries(loop, page->entries, page->n_entries);
}

bool follow_reply(struct loop *loop, const struct incoming *incoming)
{
    struct follow *follow = loop->follow;
    Eventlog__V1__Page *page = NULL;
    struct message message = loop_message(loop);

    if (!follow || !follow->read_id[0] || strcmp(follow->read_id, incoming->reply->id) != 0)
        return false;
    follow->read_id[0] = '\0';
    if (incoming->reply->status != BUS__V1__REPLY__STATUS__OK) {
        follow->again_ms = clock_stopwatch_ms() + LIMIT_RETRY_MS;
        return true;
    }
    if (message_decode(&message, &eventlog__v1__page__descriptor, incoming->body, incoming->body_size,
                       &page) != OK)
        log_alarm("the event log's page can not be read", "reason", message.reason, NULL);
    else if (may_hear(loop))
        take_page(loop, page);
    return true;
}

// ---------------------------------------------------------------------------------------------- turns

static status_t load(struct loop *loop, struct message *message)
{
    struct follow *follow = loop->follow;
    struct rows rows;

    status_t status = RUN0(message, loop_load_cursor, &rows);
    if (status == OK)
        status = park_load(message, follow->held);
    if (status != OK)
        return status;
    ProtobufCBinaryData root = row_bytes(&rows, 0, 3);
    assert(rows.count == 1 && (root.len == 0 || root.len == ROOT_BYTES));
    follow->position = follow->stored = (uint64_t)row_int(&rows, 0, 0);
    if (strlen(row_text(&rows, 0, 1)) == UUID_SIZE - 1)
        memcpy(follow->log_id, row_text(&rows, 0, 1), UUID_SIZE);
    if ((uint64_t)row_int(&rows, 0, 2) >= follow->head && root.len == ROOT_BYTES) {
        follow->head = (uint64_t)row_int(&rows, 0, 2);
        memcpy(follow->root, root.data, ROOT_BYTES);
        follow->root_size = ROOT_BYTES;
    }
    follow->loaded = true;
    return OK;
}

void follow_lead(struct loop *loop)
{
    struct message message = loop_message(loop);

    if (!loop->follow)
        return;
    loop->follow->loaded = false;
    if (loop_leads(loop) && loop_connected(loop) && load(loop, &message) != OK)
        log_warn("the cursor could not be read yet", "reason", message.reason, NULL);
}

// Store a cursor that moved over what does not concern us.
static void store(struct loop *loop)
{
    struct follow *follow = loop->follow;
    struct message message = loop_message(loop);

    status_t status = db_begin(&message);
    if (status == OK)
        status = take_cursor(loop, &message);
    if (status == OK)
        status = move_cursor(loop, &message, follow->position);
    if (status == OK)
        status = db_commit(&message);
    if (status == OK)
        moved(follow, follow->position);
    else
        db_rollback(&message);
}

int follow_turn(struct loop *loop)
{
    struct follow *follow = loop->follow;
    int64_t now_ms = clock_stopwatch_ms();

    if (!follow || !loop_leads(loop) || !loop_connected(loop))
        return LIMIT_HEARTBEAT_MS;
    if (!follow->loaded)
        follow_lead(loop);
    if (follow->loaded && follow->position > follow->stored && now_ms - follow->stored_ms > STORE_MS)
        store(loop);
    if (follow->read_id[0] && now_ms - follow->read_ms > READ_AGAIN_MS)
        follow->read_id[0] = '\0';
    if (may_hear(loop) && !follow->read_id[0] && loop->head > follow->position)
        ask_page(loop, follow->position);
    if (follow->again_ms > now_ms)
        return (int)(follow->again_ms - now_ms);
    return LIMIT_HEARTBEAT_MS;
}

uint64_t follow_position(const struct loop *loop, uint64_t stored)
{
    return loop->follow && loop_leads(loop) && loop->follow->loaded ? loop->follow->position : stored;
}

bool follow_halted(const struct loop *loop)
{
    return loop->follow && loop_leads(loop) && loop->follow->halted;
}

void follow_redrive(struct loop *loop)
{
    park_redrive(loop, loop->follow ? loop->follow->held : NULL);
}
