// dispatch: from a message's type to its row, and from what the row's function emitted to numbered, applied
// events.
//
// Everything here happens inside a transaction that the caller opened and will commit or roll back.
#include "service/loop.h"

#include "clock/clock.h"
#include "service_store.sql.h"
#include "values/values.h"

#include <assert.h>
#include <stdio.h>

#define STREAM_ID_BYTES (LIMIT_LINE_BYTES - 100)  // with service and kind before it, it is still a line

// ---------------------------------------------------------------------------------------------- rows

static const struct command_row *find_command(const struct command_row *rows, const char *type)
{
    for (const struct command_row *row = rows; row && row->on; row++)
        if (strcmp(row->on->name, type) == 0)
            return row;
    return NULL;
}

static const struct query_row *find_query(const struct query_row *rows, const char *type)
{
    for (const struct query_row *row = rows; row && row->on; row++)
        if (strcmp(row->on->name, type) == 0)
            return row;
    return NULL;
}

static const struct event_row *find_event(const struct event_row *rows, const char *type)
{
    for (const struct event_row *row = rows; row && row->on; row++)
        if (strcmp(row->on->name, type) == 0)
            return row;
    return NULL;
}

static const struct query_row *query_row_of(const struct service *service, const char *type)
{
    const struct query_row *row = find_query(operate_queries, type);
    return row ? row : find_query(service->queries, type);
}

static const struct event_row *event_row_of(const struct service *service, const char *type)
{
    const struct event_row *row = find_event(operate_events, type);
    return row ? row : find_event(service->events, type);
}

const struct heard_row *service_heard(const struct service *service, const char *type)
{
    for (const struct heard_row *row = service->heard; row && row->on; row++)
        if (strcmp(row->on->name, type) == 0)
            return row;
    return NULL;
}

const struct command_row *service_command(const struct service *service, const char *type)
{
    const struct command_row *row = find_command(operate_commands, type);
    return row ? row : find_command(service->commands, type);
}

bool service_asks_query(const struct service *service, const char *type)
{
    return query_row_of(service, type) != NULL;
}

bool service_hears(const struct service *service, const char *type)
{
    return service->witness || service_heard(service, type);
}

// ---------------------------------------------------------------------------------------------- roles

static const char *role_name(int role)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(&bus__v1__actor__role__descriptor,
                                                                           role);
    return value ? value->name : "an unknown role";
}

// "A, B or C"
static const char *role_list(arena_t *arena, uint64_t roles)
{
    const char *text = "";
    for (int role = 0; role < 64; role++) {
        uint64_t bit = UINT64_C(1) << role;
        if (!(roles & bit))
            continue;
        uint64_t earlier = roles & (bit - 1), later = roles & ~(bit - 1) & ~bit;
        text = arena_printf(arena, "%s%s%s", text, !earlier ? "" : later ? ", " : " or ", role_name(role));
    }
    return text;
}

bool role_among(const actor_t *actor, uint64_t roles)
{
    return actor->role >= 0 && actor->role < 64 && (roles & (UINT64_C(1) << actor->role));
}

static status_t check_role(struct message *message, const char *type, uint64_t roles)
{
    if (role_among(message->actor, roles))
        return OK;
    return fail(message, REFUSED, "actor: %s is for the role %s, not for %s acting as %s", type,
                role_list(message->arena, roles), message->actor->subject, role_name(message->actor->role));
}

// ------------------------------------------------------------------------------------------ what was emitted

// An emitted event while it is made ready.
struct ready {
    const struct event_row *row;
    const void *body;
    const char *id;
    const char *stream;
    const char *subject;
    uint64_t version;
};

// The first field of an event is the text id of its stream.
static const char *first_field(const ProtobufCMessageDescriptor *descriptor, const void *body)
{
    assert(descriptor->n_fields > 0 && descriptor->fields[0].type == PROTOBUF_C_TYPE_STRING);
    return *(char *const *)((const uint8_t *)body + descriptor->fields[0].offset);
}

static const char *subject_of(const void *body, const char *id)
{
    const char *application = message_field(body, "application_id");
    if (*application)
        return application;
    const char *call = message_field(body, "call_id");
    return *call ? call : id;
}

// An event says everything: a part that is missing is a fault of whoever made it, and must not be met by a
// handler. Only a personal text may be absent, as any text may.
static status_t decode_event(struct message *message, const ProtobufCMessageDescriptor *type,
                             const uint8_t *data, size_t size, void *ret)
{
    const ProtobufCMessage *event;

    status_t status = message_decode(message, type, data, size, &event);
    for (unsigned n = 0; status == OK && n < type->n_fields; n++) {
        const ProtobufCFieldDescriptor *field = &type->fields[n];
        const void *part = (const uint8_t *)event + field->offset;
        if (field->type == PROTOBUF_C_TYPE_MESSAGE && field->label == PROTOBUF_C_LABEL_NONE &&
            !(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
            field->descriptor != &types__v1__private__descriptor && *(void *const *)part == NULL)
            status = fail(message, POISON, "%s: %s is missing; an event has all its parts", type->name,
                          field->name);
    }
    if (status == OK)
        *(const void **)ret = event;
    return status;
}

static status_t ready_one(const struct service *service, struct message *message,
                          const struct emitted *emitted, struct ready *ret)
{
    const struct event_row *row = event_row_of(service, emitted->descriptor->name);
    assert(row && "a service emits only events of its table");

    void *body;
    status_t status = decode_event(message, row->on, emitted->data, emitted->size, &body);
    if (status != OK)
        return status;
    const char *id = first_field(row->on, body);
    if (!*id || strlen(id) > STREAM_ID_BYTES)
        return fail(message, POISON, "%s: the id of its stream must have 1 to %d bytes", row->on->name,
                    STREAM_ID_BYTES);
    *ret = (struct ready){.row = row,
                          .body = body,
                          .id = uuid_new(message->arena, clock_real_us()),
                          .stream = arena_printf(message->arena, "%s/%s/%s", service->name, row->kind, id),
                          .subject = subject_of(body, id)};
    return OK;
}

static status_t number(struct message *message, struct harvest *harvest, struct ready readies[], int count)
{
    const char **streams = arena_alloc(message->arena, sizeof *streams * (size_t)count);
    for (int i = 0; i < count; i++)
        streams[i] = readies[i].stream;

    status_t status = streams_know(message, harvest, streams, count);
    for (int i = 0; status == OK && i < count; i++)
        readies[i].version = streams_next(harvest, streams[i]);
    return status;
}

// What an apply sees, now and whenever the log is replayed: the event, and nothing of how it came about.
static status_t apply(const struct service *service, struct message *message,
                      const Eventlog__V1__Event *event, const struct event_row *row, const void *body)
{
    if (!row->apply)
        return OK;
    struct message applied = message_new(message->arena);
    applied.db = message->db;
    applied.id = event->id;
    applied.type = event->type;
    applied.at_us = event->time_us;
    applied.actor = event->actor;
    applied.sender = service->name;
    applied.correlation = event->correlation;
    applied.rehearsal = event->rehearsal;
    applied.stream = event->stream;
    applied.version = event->version;
    applied.subject = event->subject;
    applied.data = event->data.data;
    applied.data_size = event->data.len;

    status_t status = row->apply(&applied, body);
    assert(!applied.emitted && !applied.asked && !applied.answer_descriptor && "apply only writes");
    if (status == REFUSED)
        status = POISON;  // what has happened can not be refused
    if (status != OK)
        fail(message, status, "%s", applied.reason ? applied.reason : "an event could not be applied");
    return status;
}

static status_t record(const struct service *service, struct message *message, const struct emitted *emitted,
                       const struct ready *ready, struct harvest *harvest)
{
    Eventlog__V1__Event event = EVENTLOG__V1__EVENT__INIT;
    event.id = (char *)ready->id;
    event.source = (char *)service->name;
    event.type = (char *)ready->row->on->name;
    event.stream = (char *)ready->stream;
    event.version = ready->version;
    event.subject = (char *)ready->subject;
    event.time_us = message->at_us;
    event.actor = (actor_t *)message->actor;
    event.causation = (char *)message->id;
    event.correlation = (char *)message->correlation;
    event.rule_set = (char *)service->rule_set;
    event.rehearsal = message->rehearsal;
    event.data = (ProtobufCBinaryData){.data = emitted->data, .len = emitted->size};

    size_t size;
    uint8_t *bytes = message_encode(harvest->arena, &event, &size);
    if (size > LIMIT_EVENT_BYTES)
        return fail(message, POISON, "%s of %zu bytes is over the limit of %d", event.type, size,
                    LIMIT_EVENT_BYTES);

    struct made *made = arena_alloc(harvest->arena, sizeof *made);
    *made = (struct made){.id = arena_text(harvest->arena, ready->id),
                          .stream = arena_text(harvest->arena, ready->stream),
                          .version = ready->version,
                          .bytes = BYTES(bytes, size)};
    *(harvest->last_made ? harvest->last_made : &harvest->made) = made;
    harvest->last_made = &made->next;
    harvest->made_count++;
    return apply(service, message, &event, ready->row, ready->body);
}

static status_t take_emitted(const struct service *service, struct message *message, struct harvest *harvest)
{
    int count = 0;
    for (const struct emitted *one = message->emitted; one; one = one->next)
        count++;
    if (count == 0)
        return OK;

    struct ready *readies = arena_alloc(message->arena, sizeof *readies * (size_t)count);
    status_t status = OK;
    int i = 0;
    for (const struct emitted *one = message->emitted; status == OK && one; one = one->next)
        status = ready_one(service, message, one, &readies[i++]);
    if (status == OK)
        status = number(message, harvest, readies, count);
    i = 0;
    for (const struct emitted *one = message->emitted; status == OK && one; one = one->next)
        status = record(service, message, one, &readies[i++], harvest);
    return status;
}

static void take_asked(const struct service *service, struct message *message, struct harvest *harvest)
{
    for (const struct asked *one = message->asked; one; one = one->next) {
        struct wanted *wanted = arena_alloc(harvest->arena, sizeof *wanted);
        const char *name = arena_printf(message->arena, "%s|ask|%s", service->name, one->key);
        *wanted = (struct wanted){.id = uuid_from(harvest->arena, name),
                                  .service = arena_text(harvest->arena, one->service),
                                  .type = one->descriptor->name,
                                  .correlation = arena_text(harvest->arena, message->correlation),
                                  .body = BYTES(arena_copy(harvest->arena, one->data, one->size), one->size)};
        *(harvest->last_wanted ? harvest->last_wanted : &harvest->wanted) = wanted;
        harvest->last_wanted = &wanted->next;
        harvest->wanted_count++;
    }
}

static status_t take(const struct service *service, struct message *message, status_t status,
                     struct harvest *harvest)
{
    if (status == OK)
        status = take_emitted(service, message, harvest);
    if (status == OK)
        take_asked(service, message, harvest);
    return status;
}

// ------------------------------------------------------------------------------------------ the four ways in

struct harvest harvest_new(arena_t *arena)
{
    return (struct harvest){.arena = arena};
}

status_t dispatch_command(const struct service *service, struct message *message, const void *command,
                          const uint8_t *body, size_t size, struct harvest *harvest)
{
    const struct command_row *row = service_command(service, message->type);
    if (!row)
        return fail(message, POISON, "type: %s knows no command or query %s", service->name, message->type);

    // Whose personal text it is must be known of what is refused as well: hence the role comes third.
    struct personal personal = {.case_id = ""};
    status_t status = command ? OK : message_decode(message, row->on, body, size, &command);
    if (status == OK)
        status = private_find(message, command, &personal);
    if (status == OK)
        status = check_role(message, message->type, row->roles);
    if (status == OK)
        status = private_seal(message, &personal);
    if (status == OK)
        status = row->decide(message, command);
    status = take(service, message, status, harvest);
    if (status == OK && message->emitted != NULL)  // what changed nothing leaves nothing
        status = private_keep(message, &personal);
    return status;
}

status_t dispatch_query(const struct service *service, struct message *message, const uint8_t *body,
                        size_t size)
{
    const struct query_row *row = query_row_of(service, message->type);
    if (!row)
        return fail(message, POISON, "type: %s knows no query %s", service->name, message->type);

    void *query;
    message->opens = true;
    status_t status = check_role(message, message->type, row->roles);
    if (status == OK)
        status = message_decode(message, row->on, body, size, &query);
    if (status == OK)
        status = row->read(message, query);
    if (status == OK)
        status = db_wait(message);
    assert(!message->emitted && !message->asked && "a query only reads");
    return status;
}

status_t dispatch_answer(const struct service *service, struct message *message, const char *type,
                         const struct arg *request, const Bus__V1__Reply *reply, const uint8_t *body,
                         size_t size, struct harvest *harvest)
{
    const struct answer_row *row = service->answers;
    while (row && row->on && strcmp(row->on->name, type) != 0)
        row++;
    if (!row || !row->on)
        return fail(message, POISON, "%s takes no answer to %s", service->name, type);

    void *asked;
    status_t status = message_decode(message, row->on, request->bytes, request->size, &asked);
    if (status == OK)
        status = row->decide(message, asked, reply, body, size);
    if (status == REFUSED)
        status = POISON;  // what another has answered can not be refused; an operator must see it
    return take(service, message, status, harvest);
}

status_t dispatch_heard(const struct service *service, struct message *message, const actor_t *actor,
                        struct harvest *harvest, bool replaying)
{
    status_t status = service->witness ? service->witness(message, NULL) : OK;
    const struct heard_row *row = service_heard(service, message->type);
    if (status != OK || !row)
        return status == REFUSED ? POISON : status;

    void *body;
    status = decode_event(message, row->on, message->data, message->data_size, &body);
    if (status == OK && row->hear)
        status = row->hear(message, body);
    assert(!message->emitted && !message->asked && "hearing only writes; reacting emits");
    if (status == OK && row->react && !replaying) {
        message->actor = actor;
        status = row->react(message, body);
        status = take(service, message, status, harvest);
    }
    return status == REFUSED ? POISON : status;
}

status_t dispatch_applied(const struct service *service, struct message *message)
{
    const struct event_row *row = event_row_of(service, message->type);
    if (!row)
        return fail(message, POISON, "%s has no event %s any more", service->name, message->type);

    Eventlog__V1__Event event = EVENTLOG__V1__EVENT__INIT;
    event.id = (char *)message->id;
    event.type = (char *)message->type;
    event.time_us = message->at_us;
    event.actor = (actor_t *)message->actor;
    event.correlation = (char *)message->correlation;
    event.rehearsal = message->rehearsal;
    event.stream = (char *)message->stream;
    event.version = message->version;
    event.subject = (char *)message->subject;
    event.data = (ProtobufCBinaryData){.data = (uint8_t *)message->data, .len = message->data_size};

    void *body;
    status_t status = decode_event(message, row->on, message->data, message->data_size, &body);
    return status == OK ? apply(service, message, &event, row, body) : status;
}

// ------------------------------------------------------------------------------------- for tests of services

status_t service_decide(const struct service *service, struct message *message, const uint8_t *body,
                        size_t size)
{
    struct harvest harvest = harvest_new(message->arena);
    status_t status = dispatch_command(service, message, NULL, body, size, &harvest);
    if (status == OK)
        status = harvest_keep(message, &harvest);
    return status == OK ? db_wait(message) : status;
}

status_t service_hear(const struct service *service, struct message *message, const uint8_t *body,
                      size_t size)
{
    struct harvest harvest = harvest_new(message->arena);
    actor_t actor = BUS__V1__ACTOR__INIT;
    actor.subject = (char *)service->name;
    actor.role = BUS__V1__ACTOR__ROLE__SERVICE;

    message->data = body;
    message->data_size = size;
    status_t status = dispatch_heard(service, message, &actor, &harvest, false);
    if (status == OK)
        status = harvest_keep(message, &harvest);
    return status == OK ? db_wait(message) : status;
}

status_t service_read(const struct service *service, struct message *message, const uint8_t *body,
                      size_t size)
{
    return dispatch_query(service, message, body, size);
}

struct service_sql service_sql(const struct service *service)
{
    return (struct service_sql){.statements = {sql_service_all, service->statements},
                                .migrations = {migrations_service, service->migrations}};
}
