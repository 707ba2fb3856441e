// replay: a service's tables, rebuilt from the event log alone into a schema of their own.
//
// Own events are applied by the very functions that applied them when they were made, others' are heard in
// log order, and nothing is decided again. What could not be heard is parked, as it was then, so that one
// poisoned case does not keep an auditor from all others.
//
// What two operators let be skipped is left out here as well. The log tells it only afterwards, so a replay that
// meets such an event for the first time goes on to its end, to learn of all of them, and begins anew.
//
// How far the rebuilt tables are stands beside them, in their own loop_cursor, moved in the transaction that
// moved them; so a replay that was stopped, or one that follows the log, goes on where it stands. That holds when the
// database falls as well, and what it then lacks is made again: so a rebuild's commits do not wait for the disk.
//
// CATCHING UP is the same for the live tables of a database that came back older than the log: a backup was restored, and
// the end of the log was put back by the witness. Own events are applied that are beyond the last version of
// their stream. Others' are heard as far as they were reacted to, which the own events say that they caused; from there on
// the service itself hears and reacts, as it always does. These commits do wait: the log may be all that is left.
#include "service/loop.h"

#include "bus/pages.h"
#include "clock/clock.h"
#include "log/log.h"
#include "env/env.h"
#include "service_store.sql.h"
#include "service_v1.pb-c.h"
#include "values/values.h"

#include <assert.h>
#include <czmq.h>
#include <stdio.h>
#include <stdlib.h>

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
    uint64_t *skipped;  // positions that are left out, as far as they are known
    size_t n_skipped;
    bool surprised;  // some of them were met only after their place had passed
    bool live;         // catching up
    uint64_t heard;    // ... where the live tables stood
    uint64_t reacted;  // ... the last of others' events that an own event names as its cause; at least `heard`
};

// ---------------------------------------------------------------------------------------------- skipped

static bool is_skipped(const struct replay *replay, uint64_t position)
{
    for (size_t i = 0; i < replay->n_skipped; i++)
        if (replay->skipped[i] == position)
            return true;
    return false;
}

// An own event: does it tell of positions that were handled here and must not be?
static void learn_skipped(struct replay *replay, struct message *message, const Eventlog__V1__Event *event)
{
    Service__V1__IncidentSkipped *skip;

    if (strcmp(event->type, service__v1__incident_skipped__descriptor.name) != 0 ||
        message_decode(message, &service__v1__incident_skipped__descriptor, event->data.data, event->data.len,
                       &skip) != OK)
        return;
    for (size_t i = 0; i < skip->n_positions; i++) {
        if (is_skipped(replay, skip->positions[i]))
            continue;
        replay->skipped = reallocarray(replay->skipped, replay->n_skipped + 1, sizeof *replay->skipped);
        assert(replay->skipped);
        replay->skipped[replay->n_skipped++] = skip->positions[i];
        replay->surprised = true;
    }
}

// ---------------------------------------------------------------------------------------------- what is lacking

// What this process has decided since the database came back can differ from what it had decided before.
static status_t check_decided(struct message *message, const Eventlog__V1__Event *event,
                              const Eventlog__V1__Entry *entry)
{
    struct rows rows;

    status_t status = RUN(message, loop_own_bytes, &rows, TEXT(event->stream), INT((int64_t)event->version));
    if (status != OK || rows.count == 0)
        return status;
    ProtobufCBinaryData bytes = row_bytes(&rows, 0, 0);
    if (bytes.len == entry->event.len && memcmp(bytes.data, entry->event.data, bytes.len) == 0)
        return OK;
    return fail(message, POISON,
                "version %llu of %s was decided again, and otherwise, since this database came back; restore the "
                "backup once more and catch up before anything serves",
                (unsigned long long)event->version, event->stream);
}

// Catching up: is this own event beyond what the tables hold?
static status_t is_lacking(struct message *message, const Eventlog__V1__Event *event,
                           const Eventlog__V1__Entry *entry, bool *ret)
{
    struct rows rows;

    status_t status = RUN(message, loop_last_version, &rows, TEXT(event->stream));
    if (status != OK)
        return status;
    uint64_t last = rows.count > 0 ? (uint64_t)row_int(&rows, 0, 0) : 0;
    *ret = event->version > last;
    if (event->version > last + 1)
        return fail(message, POISON, "%s stands at version %llu and the log goes on with %llu", event->stream,
                    (unsigned long long)last, (unsigned long long)event->version);
    return *ret ? RUN(message, loop_catch_version, NULL, TEXT(event->stream), INT((int64_t)event->version))
                : check_decided(message, event, entry);
}

// What the live tables lack of an entry: *ret_following, or nothing.
static status_t lacking(const struct replay *replay, struct message *message, const Eventlog__V1__Event *event,
                        const Eventlog__V1__Entry *entry, bool own, bool *ret, enum following *ret_following)
{
    bool unheard = entry->position > replay->heard && entry->position <= replay->reacted, beyond = false;

    status_t status = own ? is_lacking(message, event, entry, &beyond) : OK;
    *ret = unheard || beyond;
    *ret_following = !own || (unheard && beyond) ? REPLAYING : beyond ? APPLYING : FOLLOWING;
    return status;
}

// ---------------------------------------------------------------------------------------------- entries

static status_t one(struct replay *replay, const Eventlog__V1__Entry *entry, bool *ret_parked,
                    const char **ret_reason)
{
    Eventlog__V1__Event *event = NULL;
    struct harvest harvest = harvest_new(replay->hand);

    arena_reset(replay->hand);
    struct message message = message_new(replay->hand);
    const char *stuck = NULL;
    enum following following = REPLAYING;
    bool wanted = true;
    message.db = replay->db;
    status_t status = message_decode(&message, &eventlog__v1__event__descriptor, entry->event.data,
                                     entry->event.len, &event);
    bool own = status == OK && strcmp(event->source, replay->service->name) == 0;
    if (own)
        learn_skipped(replay, &message, event);
    else if (status == OK && is_skipped(replay, entry->position))
        return OK;
    if (status == OK && replay->live)
        status = lacking(replay, &message, event, entry, own, &wanted, &following);
    if (status == OK && wanted && !own)
        stuck = held_behind(replay->held, event->stream, event->subject);
    *ret_parked = stuck != NULL;
    if (stuck != NULL) {
        status = park_behind(&message, replay->held, stuck, entry->position, event, entry->event.data,
                             entry->event.len);
    } else if (status == OK && wanted && (own || service_hears(replay->service, event->type))) {
        status = follow_entry(replay->service, &message, entry->position, entry->event.data, entry->event.len,
                              &harvest, following);
        replay->events++;
    }
    if (status != OK)
        *ret_reason = arena_text(replay->page, message.reason);
    return status;
}

static status_t move_cursor(const struct replay *replay, struct message *message, uint64_t position)
{
    if (replay->live && position > replay->reacted)
        position = replay->reacted;
    return RUN(message, loop_move_cursor, NULL, INT((int64_t)position), TEXT(""), INT(0), BYTES("", 0));
}

// What was held in a transaction that did not stand is held no longer.
static void undo(struct replay *replay)
{
    struct message message = message_new(replay->page);

    message.db = replay->db;
    db_rollback(&message);
    if (park_load(&message, replay->held) != OK)
        log_warn("what is parked could not be read again", "reason", message.reason, NULL);
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
        status = move_cursor(replay, &message, entries[count - 1]->position);
    if (status == OK)
        status = db_commit(&message);
    if (status != OK) {
        undo(replay);
        replay->events = events;
        replay->parked = parked;
        if (message.reason)
            *ret_reason = message.reason;
    } else {
        replay->position = entries[count - 1]->position;
    }
    return status;
}

static status_t park(struct replay *replay, const Eventlog__V1__Entry *entry,
                     const Eventlog__V1__Event *event, const char *reason)
{
    struct message message = message_new(replay->page);

    message.db = replay->db;
    status_t status = db_begin(&message);
    if (status == OK)
        status = park_open(&message, uuid_new(replay->page, clock_real_us()),
                           SERVICE__V1__INCIDENT__KIND__HEARD, event->stream, event->subject, entry->position,
                           event->type, reason);
    if (status == OK)
        status = park_behind(&message, replay->held, event->stream, entry->position, event, entry->event.data,
                             entry->event.len);
    if (status == OK)
        status = move_cursor(replay, &message, entry->position);
    if (status == OK)
        status = db_commit(&message);
    if (status != OK)
        undo(replay);
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
    status = park(replay, entry, event, *ret_reason);
    if (status == OK) {
        replay->parked++;
        replay->position = entry->position;
    }
    return status;
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

static bool read_page(struct replay *replay, pages_t *pages, const Eventlog__V1__Page **ret, const char **ret_reason)
{
    arena_reset(replay->page);
    struct message message = message_new(replay->page);
    bool read_well = pages_next(pages, &message, ret) == OK;

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

// Take what is wanted of a page. *ret_more: there may be more.
static bool take_page(struct replay *replay, const Eventlog__V1__Page *page, bool *ret_more, const char **ret_reason)
{
    size_t count = 0;

    replay->head = page->head;
    if (page->head < replay->position) {
        *ret_reason = arena_printf(replay->page, "the log ends at %llu and these tables stand at %llu",
                                   (unsigned long long)page->head, (unsigned long long)replay->position);
        return false;
    }
    while (count < page->n_entries && wanted(replay, page->entries[count]) &&
           page->entries[count]->position == replay->position + 1 + count)
        count++;
    *ret_more = count > 0;
    if (count > 0 && take(replay, page->entries, count, ret_reason) != OK) {
        log_alarm("an event can not be replayed", "position", log_number((int64_t)replay->position + 1),
                  "reason", *ret_reason, NULL);
        return false;
    }
    return true;
}

static bool take_pages(struct replay *replay, const char **ret_reason)
{
    uint64_t until = replay->until > 0 ? replay->until : UINT64_MAX;
    pages_t *pages = pages_new(replay->bus, NULL, replay->position, until, PATIENCE_MS);
    const Eventlog__V1__Page *page = NULL;
    bool well = true;

    for (bool more = true; well && more;) {
        well = read_page(replay, pages, &page, ret_reason) && take_page(replay, page, &more, ret_reason);
        tell(replay, false);
    }
    pages_destroy(&pages);
    return well;
}

// ---------------------------------------------------------------------------------------------- the schema

// Nothing of ours stands in a schema that a replay makes; and one that goes on needs the schema that was made.
static status_t look_at_schema(const char *url, const char *into, bool again, struct message *message)
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
    if (status == OK && !again && row_int(&rows, 0, 0) > 0)
        status = fail(message, REFUSED, "schema %s exists already; drop it or name another", into);
    if (status == OK && again && row_int(&rows, 0, 0) == 0)
        status = fail(message, REFUSED, "schema %s does not exist; --replay makes it", into);
    db_destroy(&message->db);
    return status;
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

// Where the tables stand, and what is parked beside them.
static status_t load(struct replay *replay, struct message *message)
{
    struct rows rows;

    message->db = replay->db;
    status_t status = db_connect(message);
    if (status == OK)
        status = RUN0(message, loop_load_cursor, &rows);
    if (status == OK)
        replay->position = (uint64_t)row_int(&rows, 0, 0);
    return status == OK ? park_load(message, replay->held) : status;
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

static bool rebuild(struct replay *replay, const char **ret_reason)
{
    struct message message = message_new(replay->page);

    replay->surprised = false;
    status_t status = load(replay, &message);
    if (status == OK)
        status = RUN0(&message, loop_rebuild, NULL);
    if (status != OK) {
        *ret_reason = message.reason;
        return false;
    }
    return take_pages(replay, ret_reason);
}

// Drop what was made: it holds what should have been left out, or what may not be.
static status_t drop_schema(const char *url, const char *into, struct message *message)
{
    // The name of a schema cannot be a value; replay_main has looked at it.
    const struct sql drop = {.name = "drop_rebuilt",
                             .text = arena_printf(message->arena, "DROP SCHEMA %s CASCADE", into)};
    const struct sql *const list[] = {&drop, NULL};
    const struct sql *const *const lists[] = {list, NULL};
    struct db_config config = {
        .url = url, .schema = "public", .statements = lists, .application_name = "replay"};

    message->db = db_new(&config);
    status_t status = db_connect(message);
    if (status == OK)
        status = db_run(message, &drop, NULL, 0, NULL);
    db_destroy(&message->db);
    return status;
}

// One pass over the log, in a schema that is made or gone on with.
static bool pass(struct replay *replay, const char *url, const char *into, const char **ret_reason)
{
    struct service_sql sql = service_sql(replay->service);
    struct db_config config = {
        .url = url, .schema = into, .statements = sql.statements, .application_name = "replay"};
    struct message message = message_new(replay->page);

    if (make_schema(replay->service, url, into, &message) != OK) {
        *ret_reason = message.reason;
        return false;
    }
    replay->events = replay->parked = 0;
    replay->db = db_new(&config);
    bool well = rebuild(replay, ret_reason);
    db_destroy(&replay->db);
    return well;
}

static bool passes(struct replay *replay, const char *url, const char *into, const char **ret_reason)
{
    struct bus_config bus = bus_config_from_env(replay->service->name);

    bus.feed = NULL;
    bus.serves = NULL;
    replay->bus = bus_connect(&bus);
    bool well = pass(replay, url, into, ret_reason);
    // Again, to leave out what is skipped.
    if (well && replay->surprised) {
        struct message message = message_new(replay->page);
        held_forget(replay->held);
        well = drop_schema(url, into, &message) == OK;
        *ret_reason = message.reason;
        well = well && pass(replay, url, into, ret_reason);
    }
    bus_destroy(&replay->bus);
    return well;
}

static int run(struct replay *replay, const char *url, const char *into, bool again)
{
    struct message message = message_new(replay->page);
    const char *reason = "";

    bool well = look_at_schema(url, into, again, &message) == OK;
    if (!well)
        reason = message.reason;
    well = well && passes(replay, url, into, &reason);
    if (well)
        tell(replay, true);
    else
        fprintf(stderr, "the tables can not be rebuilt: %s\n", reason);
    return well ? 0 : 1;
}

// A name that can stand in SQL as it is.
static bool is_name(const char *into)
{
    size_t length = strlen(into);

    return length >= 1 && length <= 63 && into[0] >= 'a' && into[0] <= 'z' &&
           strspn(into, "abcdefghijklmnopqrstuvwxyz0123456789_") == length;
}

// ---------------------------------------------------------------------------------------------- catching up

// Others' events by their ids, and with them the last that an own event names as its cause.
static void scan_entry(struct replay *replay, zhashx_t *others, const Eventlog__V1__Entry *entry)
{
    struct message message = message_new(replay->page);
    Eventlog__V1__Event *event;

    if (message_decode(&message, &eventlog__v1__event__descriptor, entry->event.data, entry->event.len, &event) !=
        OK)
        return;  // what cannot be read is parked when it is its turn
    if (strcmp(event->source, replay->service->name) != 0) {
        zhashx_insert(others, event->id, (void *)(uintptr_t)entry->position);
        return;
    }
    learn_skipped(replay, &message, event);
    uint64_t cause = (uint64_t)(uintptr_t)zhashx_lookup(others, event->causation);
    replay->reacted = cause > replay->reacted ? cause : replay->reacted;
}

static bool scan(struct replay *replay, const char **ret_reason)
{
    zhashx_t *others = zhashx_new();
    pages_t *pages = pages_new(replay->bus, NULL, replay->heard, UINT64_MAX, PATIENCE_MS);
    const Eventlog__V1__Page *page = NULL;
    uint64_t at = replay->heard;
    bool well = true;

    do {
        well = read_page(replay, pages, &page, ret_reason);
        for (size_t i = 0; well && i < page->n_entries; i++, at++)
            scan_entry(replay, others, page->entries[i]);
    } while (well && page->n_entries > 0);
    pages_destroy(&pages);
    zhashx_destroy(&others);
    replay->surprised = false;
    replay->until = at;
    return well;
}

static status_t take_lease(struct message *message, const struct service *service)
{
    struct rows rows;

    status_t status = RUN(message, loop_lease, &rows, INT(0));
    if (status == OK && !row_int(&rows, 0, 1))
        status = fail(message, REFUSED, "an instance of %s is at work; stop all of them first", service->name);
    return status;
}

static bool catch_up(struct replay *replay, const char **ret_reason)
{
    struct message message = message_new(replay->hand);

    if (load(replay, &message) != OK || take_lease(&message, replay->service) != OK) {
        *ret_reason = arena_text(replay->page, message.reason);
        return false;
    }
    replay->heard = replay->reacted = replay->position;
    return scan(replay, ret_reason) && (replay->until == replay->heard || take_pages(replay, ret_reason));
}

static struct replay replay_begin(const struct service *service)
{
    return (struct replay){.service = service,
                           .page = arena_new(LIMIT_ARENA_BYTES),
                           .hand = arena_new(LIMIT_ARENA_BYTES),
                           .held = held_new()};
}

static void replay_end(struct replay *replay)
{
    held_destroy(&replay->held);
    free(replay->skipped);
    arena_destroy(&replay->page);
    arena_destroy(&replay->hand);
}

int catch_up_main(const struct service *service)
{
    arena_t *kept = arena_new(LIMIT_ARENA_BYTES);
    struct service_sql sql = service_sql(service);
    struct bus_config bus = bus_config_from_env(service->name);
    struct db_config config = {.url = env_url(kept, "DATABASE_URL"),
                               .schema = service->name,
                               .statements = sql.statements,
                               .application_name = "catch-up"};
    struct replay replay = replay_begin(service);
    const char *reason = "";

    replay.live = true;
    bus.feed = NULL;
    bus.serves = NULL;
    replay.bus = bus_connect(&bus);
    replay.db = db_new(&config);
    bool well = catch_up(&replay, &reason);
    if (well)
        tell(&replay, true);
    else
        fprintf(stderr, "the tables can not be brought up to the log: %s\n", reason);
    db_destroy(&replay.db);
    bus_destroy(&replay.bus);
    replay_end(&replay);
    arena_destroy(&kept);
    return well ? 0 : 1;
}

// ---------------------------------------------------------------------------------------------- rebuilding

int replay_main(const struct service *service, const char *into, const char *until, bool again)
{
    struct replay replay = replay_begin(service);
    arena_t *kept = arena_new(LIMIT_ARENA_BYTES);  // the others are reset while the log is read
    int code = 2;

    // The live schema has a cursor too: going on from there would write others' events into it twice.
    if (!is_name(into))
        fprintf(stderr, "INTO must be 1..63 of a-z, 0-9 and _, beginning with a letter, not %s\n", into);
    else if (strcmp(into, service->name) == 0)
        fprintf(stderr, "INTO must not be %s, the live schema\n", into);
    else if (!parse_until(&replay, until))
        fprintf(stderr,
                "UNTIL must be a position from 1 or an instant such as 2024-06-14T22:00:00Z, not %s\n",
                until);
    else
        code = run(&replay, env_url(kept, "MIGRATE_URL"), into, again);
    replay_end(&replay);
    arena_destroy(&kept);
    return code;
}
