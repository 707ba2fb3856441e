// replay: a service's tables, rebuilt from the event log alone into a schema of their own.
//
// Own events are applied by the very functions that applied them when they were made, others' are heard in
// log order, and nothing is decided again. What could not be heard is parked, as it was then, so that one
// poisoned case does not keep an auditor from all others.
#include "service/loop.h"

#include "clock/clock.h"
#include "log/log.h"
#include "env/env.h"
#include "service_store.sql.h"
#include "values/values.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define CHUNK       1000  // events in one transaction
#define PROGRESS_MS 1000
#define PATIENCE_MS 30000

struct replay {
    const struct service *service;
    bus_t *bus;
    db_t *db;
    arena_t *page;  // one page of the log
    arena_t *hand;  // one event
    struct held *held;
    uint64_t position;
    uint64_t until;    // 0: the head
    int64_t until_us;  // 0: no instant
    uint64_t head;
    uint64_t events;  // that concerned the service
    uint64_t parked;
    int64_t told_ms;
};

// ---------------------------------------------------------------------------------------------- entries

static status_t one(struct replay *replay, const Eventlog__V1__Entry *entry, bool *ret_parked,
                    const char **ret_reason)
{
    Eventlog__V1__Event *event = NULL;
    struct harvest harvest = harvest_new(replay->hand);

    arena_reset(replay->hand);
    struct message message = message_new(replay->hand);
    message.db = replay->db;
    status_t status = message_decode(&message, &eventlog__v1__event__descriptor, entry->event.data,
                                     entry->event.len, &event);
    bool own = status == OK && strcmp(event->source, replay->service->name) == 0;
    *ret_parked = status == OK && !own && held_behind(replay->held, event->stream, event->subject);
    if (status == OK && !*ret_parked && (own || service_hears(replay->service, event->type))) {
        status = follow_entry(replay->service, &message, entry->position, entry->event.data, entry->event.len,
                              &harvest, true);
        replay->events++;
    }
    if (status != OK)
        *ret_reason = arena_text(replay->page, message.reason);
    return status;
}

static status_t chunk(struct replay *replay, Eventlog__V1__Entry *const entries[], size_t count,
                      const char **ret_reason)
{
    struct message message = message_new(replay->page);
    uint64_t events = replay->events, parked = replay->parked;
    bool is_parked = false;

    message.db = replay->db;
    status_t status = db_begin(&message);
    for (size_t i = 0; status == OK && i < count; i++) {
        status = one(replay, entries[i], &is_parked, ret_reason);
        replay->parked += is_parked;
    }
    if (status == OK)
        status = db_commit(&message);
    if (status != OK) {
        db_rollback(&message);
        replay->events = events;
        replay->parked = parked;
        if (message.reason)
            *ret_reason = message.reason;
    } else {
        replay->position = entries[count - 1]->position;
    }
    return status;
}

// An own event that can not be applied again is a fault; another's that can not be heard is parked with its
// case.
static status_t alone(struct replay *replay, Eventlog__V1__Entry *entry, const char **ret_reason)
{
    Eventlog__V1__Event *event = NULL;
    struct message message = message_new(replay->page);

    status_t status = chunk(replay, &entry, 1, ret_reason);
    if (status == OK ||
        message_decode(&message, &eventlog__v1__event__descriptor, entry->event.data, entry->event.len,
                       &event) != OK ||
        strcmp(event->source, replay->service->name) == 0)
        return status;
    log_warn("an event can not be heard and is parked with its case", "position",
             log_number((int64_t)entry->position), "reason", *ret_reason, NULL);
    held_add(replay->held, event->stream, event->subject, event->stream);
    replay->parked++;
    replay->position = entry->position;
    return OK;
}

static status_t take(struct replay *replay, Eventlog__V1__Entry *const entries[], size_t count,
                     const char **ret_reason)
{
    status_t status = chunk(replay, entries, count, ret_reason);
    if (status == OK || count == 1)
        return status == OK ? OK : alone(replay, entries[0], ret_reason);
    status = OK;
    for (size_t i = 0; status == OK && i < count; i++)
        status = alone(replay, entries[i], ret_reason);
    return status;
}

// ---------------------------------------------------------------------------------------------- pages

static bool read_page(struct replay *replay, uint64_t after, const Eventlog__V1__Page **ret,
                      const char **ret_reason)
{
    Eventlog__V1__Read read = EVENTLOG__V1__READ__INIT;
    struct message message = message_new(replay->page);
    struct incoming incoming = {0};
    size_t size;

    read.after = after;
    read.limit = CHUNK;
    uint8_t *body = message_encode(replay->page, &read, &size);
    if (!bus_call(replay->bus, replay->page, "eventlog", uuid_new(replay->page, clock_real_us()),
                  eventlog__v1__read__descriptor.name, NULL, PATIENCE_MS, body, size, &incoming)) {
        *ret_reason = "the event log does not answer";
        return false;
    }
    if (incoming.reply->status != BUS__V1__REPLY__STATUS__OK) {
        *ret_reason = incoming.reply->reason;
        return false;
    }
    bool read_well = message_decode(&message, &eventlog__v1__page__descriptor, incoming.body,
                                    incoming.body_size, ret) == OK;
    if (!read_well)
        *ret_reason = message.reason;
    return read_well;
}

static bool wanted(const struct replay *replay, const Eventlog__V1__Entry *entry)
{
    return (replay->until == 0 || entry->position <= replay->until) &&
           (replay->until_us == 0 || entry->appended_at_us <= replay->until_us);
}

static void tell(struct replay *replay, bool at_end)
{
    int64_t now_ms = clock_stopwatch_ms();

    if (!at_end && now_ms - replay->told_ms < PROGRESS_MS)
        return;
    replay->told_ms = now_ms;
    fprintf(at_end ? stdout : stderr,
            "{\"service\":\"%s\",\"events\":%llu,\"position\":%llu,\"head\":%llu,\"parked\":%llu}\n",
            replay->service->name, (unsigned long long)replay->events, (unsigned long long)replay->position,
            (unsigned long long)replay->head, (unsigned long long)replay->parked);
    fflush(at_end ? stdout : stderr);
}

static bool pages(struct replay *replay, const char **ret_reason)
{
    const Eventlog__V1__Page *page;

    for (;;) {
        arena_reset(replay->page);
        if (!read_page(replay, replay->position, &page, ret_reason))
            return false;
        replay->head = page->head;
        size_t count = 0;
        while (count < page->n_entries && wanted(replay, page->entries[count]) &&
               page->entries[count]->position == replay->position + 1 + count)
            count++;
        if (count == 0)
            return true;
        if (take(replay, page->entries, count, ret_reason) != OK) {
            log_alarm("an event can not be replayed", "position", log_number((int64_t)replay->position + 1),
                      "reason", *ret_reason, NULL);
            return false;
        }
        tell(replay, false);
    }
}

// ---------------------------------------------------------------------------------------------- the schema

static bool schema_exists(const char *url, const char *into, struct message *message)
{
    static const struct sql *const list[] = {&sql_loop_schema_exists, NULL};
    static const struct sql *const *const lists[] = {list, NULL};
    struct db_config config = {
        .url = url, .schema = "public", .statements = lists, .application_name = "replay"};
    struct rows rows = {0};

    message->db = db_new(&config);
    status_t status = db_connect(message);
    if (status == OK)
        status = RUN(message, loop_schema_exists, &rows, TEXT(into));
    if (status == OK && row_int(&rows, 0, 0) > 0)
        status = fail(message, REFUSED, "schema %s exists already; drop it or name another", into);
    db_destroy(&message->db);
    return status != OK;
}

static status_t make_schema(const struct service *service, const char *url, const char *into,
                            struct message *message)
{
    struct service_sql sql = service_sql(service);
    struct db_config config = {.url = url, .schema = into, .application_name = "replay"};

    message->db = db_new(&config);
    status_t status = db_migrate(message, NULL, sql.migrations);
    db_destroy(&message->db);
    return status;
}

static bool parse_until(struct replay *replay, const char *until)
{
    char *end;

    if (!until)
        return true;
    replay->until = strtoull(until, &end, 10);
    if (*end == '\0' && end != until)
        return replay->until > 0;
    replay->until = 0;
    return instant_parse(until, &replay->until_us);
}

static int run(struct replay *replay, const char *url, const char *into)
{
    struct service_sql sql = service_sql(replay->service);
    struct db_config config = {
        .url = url, .schema = into, .statements = sql.statements, .application_name = "replay"};
    struct bus_config bus = bus_config_from_env(replay->service->name);
    struct message message = message_new(replay->page);
    const char *reason = "";

    if (schema_exists(url, into, &message) || make_schema(replay->service, url, into, &message) != OK) {
        fprintf(stderr, "the tables can not be rebuilt: %s\n", message.reason);
        return 1;
    }
    bus.feed = NULL;
    bus.serves = NULL;
    replay->db = db_new(&config);
    replay->bus = bus_connect(&bus);
    bool well = pages(replay, &reason);
    if (well)
        tell(replay, true);
    else
        fprintf(stderr, "the tables can not be rebuilt: %s\n", reason);
    bus_destroy(&replay->bus);
    db_destroy(&replay->db);
    return well ? 0 : 1;
}

int replay_main(const struct service *service, const char *into, const char *until)
{
    struct replay replay = {.service = service,
                            .page = arena_new(LIMIT_ARENA_BYTES),
                            .hand = arena_new(LIMIT_ARENA_BYTES),
                            .held = held_new()};

    if (!parse_until(&replay, until)) {
        fprintf(stderr,
                "UNTIL must be a position from 1 or an instant such as 2024-06-14T22:00:00Z, not %s\n",
                until);
        return 2;
    }
    int code = run(&replay, env_url(replay.hand, "MIGRATE_URL"), into);
    held_destroy(&replay.held);
    arena_destroy(&replay.page);
    arena_destroy(&replay.hand);
    return code;
}
