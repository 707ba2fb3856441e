// operate: service.v1, which every service obeys besides its own contract. How it is, what stands still, and
// going on.
#include "service/loop.h"

#include "clock/clock.h"
#include "log/log.h"
#include "service_store.sql.h"
#include "service_v1.pb-c.h"

#include <stdlib.h>

#define STATUS_INCIDENTS 100
#define LIST_INCIDENTS   1000
#define WHY_BYTES        500
#define SKIP_EVENTS      500

// ---------------------------------------------------------------------------------------------- reading

static Service__V1__Incident *incident_of(struct message *message, const struct rows *rows, int row)
{
    Service__V1__Incident *incident = arena_alloc(message->arena, sizeof *incident);

    *incident = (Service__V1__Incident)SERVICE__V1__INCIDENT__INIT;
    incident->id = (char *)row_text(rows, row, 0);
    incident->kind = (Service__V1__Incident__Kind)row_int(rows, row, 1);
    incident->stream = (char *)row_text(rows, row, 2);
    incident->subject = (char *)row_text(rows, row, 3);
    incident->position = (uint64_t)row_int(rows, row, 4);
    incident->type = (char *)row_text(rows, row, 5);
    incident->reason = (char *)row_text(rows, row, 6);
    incident->parked = (uint32_t)row_int(rows, row, 7);
    incident->opened_at_us = row_int(rows, row, 8);
    incident->redriven = row_int(rows, row, 9);
    incident->skip_proposed_by = (char *)row_text(rows, row, 10);
    incident->skip_reason = (char *)row_text(rows, row, 11);
    incident->skip_events = (uint32_t)row_int(rows, row, 12);
    incident->skipped = row_int(rows, row, 13);
    return incident;
}

static status_t load_incidents(struct message *message, int limit, Service__V1__Incident ***ret,
                               size_t *ret_count)
{
    struct rows rows;

    status_t status = RUN(message, loop_list_incidents, &rows, INT(limit), TEXT(""));
    if (status != OK)
        return status;
    *ret = arena_alloc(message->arena, sizeof **ret * (size_t)(rows.count + 1));
    *ret_count = (size_t)rows.count;
    for (int row = 0; row < rows.count; row++)
        (*ret)[row] = incident_of(message, &rows, row);
    return OK;
}

static Service__V1__Status__Instance *instance_of(struct message *message, const struct rows *rows, int row)
{
    Service__V1__Status__Instance *instance = arena_alloc(message->arena, sizeof *instance);

    *instance = (Service__V1__Status__Instance)SERVICE__V1__STATUS__INSTANCE__INIT;
    instance->name = (char *)row_text(rows, row, 0);
    instance->leads = row_int(rows, row, 4);
    instance->broker_alive = row_int(rows, row, 5);
    instance->feed_alive = row_int(rows, row, 6);
    instance->commands = (uint64_t)row_int(rows, row, 7);
    instance->queries = (uint64_t)row_int(rows, row, 8);
    instance->batches = (uint64_t)row_int(rows, row, 9);
    instance->uptime_ms = (uint64_t)row_int(rows, row, 11);
    instance->reported_ms_ago = (uint32_t)row_int(rows, row, 12);
    return instance;
}

static status_t load_instances(struct message *message, Service__V1__Status *status_of)
{
    struct rows rows;

    status_t status = RUN0(message, loop_list_instances, &rows);
    if (status != OK)
        return status;
    status_of->instances = arena_alloc(message->arena,
                                       sizeof *status_of->instances * (size_t)(rows.count + 1));
    status_of->n_instances = (size_t)rows.count;
    for (int row = 0; row < rows.count; row++) {
        status_of->instances[row] = instance_of(message, &rows, row);
        status_of->service = (char *)row_text(&rows, row, 1);
        status_of->rule_set = (char *)row_text(&rows, row, 2);
        status_of->rehearsal = row_int(&rows, row, 3);
        if ((uint64_t)row_int(&rows, row, 10) > status_of->head)
            status_of->head = (uint64_t)row_int(&rows, row, 10);
    }
    return OK;
}

static status_t load_counts(struct message *message, Service__V1__Status *status_of)
{
    struct rows outbox, rows;

    status_t status = RUN0(message, loop_count_outbox, &outbox);
    if (status == OK)
        status = RUN0(message, loop_count, &rows);
    if (status != OK)
        return status;
    status_of->unsent = (uint32_t)row_int(&outbox, 0, 0);
    status_of->oldest_unsent_ms = (uint64_t)row_int(&outbox, 0, 1);
    status_of->asked = (uint32_t)row_int(&rows, 0, 0);
    status_of->parked = (uint32_t)row_int(&rows, 0, 1);
    status_of->position = (uint64_t)row_int(&rows, 0, 2);
    // What is newer than the last report is no lag; a service that hears nothing stays at 0.
    if (status_of->position > status_of->head)
        status_of->head = status_of->position;
    if (status_of->position > 0)
        status_of->lag = status_of->head - status_of->position;
    return OK;
}

static status_t on_get_status(struct message *message, const void *body)
{
    Service__V1__Status status_of = SERVICE__V1__STATUS__INIT;
    (void)body;

    status_t status = load_instances(message, &status_of);
    if (status == OK)
        status = load_counts(message, &status_of);
    if (status == OK)
        status = load_incidents(message, STATUS_INCIDENTS, &status_of.incidents, &status_of.n_incidents);
    if (status == OK)
        answer(message, &status_of);
    return status;
}

static status_t on_list_incidents(struct message *message, const void *body)
{
    Service__V1__Incidents incidents = SERVICE__V1__INCIDENTS__INIT;
    (void)body;

    status_t status = load_incidents(message, LIST_INCIDENTS, &incidents.incidents, &incidents.n_incidents);
    if (status == OK)
        answer(message, &incidents);
    return status;
}

static status_t load_waiting(struct message *message, Service__V1__IncidentDetail *detail)
{
    struct rows rows;

    status_t status = RUN(message, loop_list_waiting, &rows, TEXT(detail->incident->id), INT(SKIP_EVENTS));
    if (status != OK)
        return status;
    detail->waiting = arena_alloc(message->arena, sizeof *detail->waiting * (size_t)(rows.count + 1));
    detail->n_waiting = (size_t)rows.count;
    for (int row = 0; row < rows.count; row++) {
        Service__V1__IncidentDetail__Waiting *one = arena_alloc(message->arena, sizeof *one);
        ProtobufCBinaryData bytes = row_bytes(&rows, row, 2);
        struct message own = message_new(message->arena);
        Eventlog__V1__Event *event;
        *one = (Service__V1__IncidentDetail__Waiting)SERVICE__V1__INCIDENT_DETAIL__WAITING__INIT;
        one->position = (uint64_t)row_int(&rows, row, 0);
        one->stream = (char *)row_text(&rows, row, 1);
        // What cannot even be read waits without a name.
        if (message_decode(&own, &eventlog__v1__event__descriptor, bytes.data, bytes.len, &event) == OK) {
            one->type = event->type;
            one->id = event->id;
        }
        detail->waiting[row] = one;
    }
    return OK;
}

static status_t on_get_incident(struct message *message, const void *body)
{
    const Service__V1__GetIncident *query = body;
    Service__V1__IncidentDetail detail = SERVICE__V1__INCIDENT_DETAIL__INIT;
    struct rows rows;

    // An empty stream would list them all.
    status_t status = RUN(message, loop_list_incidents, &rows, INT(1),
                          TEXT(*query->stream ? query->stream : "-"));
    if (status != OK)
        return status;
    if (rows.count == 0)
        return fail(message, REFUSED, "stream: %s has no open incident here", query->stream);
    detail.incident = incident_of(message, &rows, 0);
    status = load_waiting(message, &detail);
    if (status == OK)
        answer(message, &detail);
    return status;
}

// ---------------------------------------------------------------------------------------------- going on

// An incident, its row locked until the command is decided.
struct incident {
    const char *id;
    int kind;
    bool redriven, skipped;
    const char *proposed_by, *reason;
    const char *positions;  // that were proposed to be skipped and still wait: "17,18"
};

static status_t load_incident(struct message *message, const char *stream, struct incident *ret)
{
    struct rows rows;

    status_t status = RUN(message, loop_find_incident, &rows, TEXT(stream));
    if (status != OK)
        return status;
    if (rows.count == 0)
        return fail(message, REFUSED, "stream: %s has no open incident here", stream);
    *ret = (struct incident){.id = row_text(&rows, 0, 0),
                             .kind = (int)row_int(&rows, 0, 1),
                             .redriven = row_int(&rows, 0, 2),
                             .skipped = row_int(&rows, 0, 3),
                             .proposed_by = row_text(&rows, 0, 4),
                             .reason = row_text(&rows, 0, 5),
                             .positions = row_text(&rows, 0, 6)};
    return OK;
}

static status_t on_redrive(struct message *message, const void *body)
{
    const Service__V1__Redrive *redrive = body;
    Service__V1__IncidentRedriven event = SERVICE__V1__INCIDENT_REDRIVEN__INIT;
    struct incident incident;

    if (!*redrive->why || strlen(redrive->why) > WHY_BYTES)
        return fail(message, REFUSED, "why: must say in 1 to %d bytes what was mended", WHY_BYTES);
    status_t status = load_incident(message, redrive->stream, &incident);
    if (status != OK)
        return status;
    if (incident.skipped)
        return fail(message, REFUSED, "stream: %s is being skipped", redrive->stream);
    event.incident_id = (char *)incident.id;
    event.stream = redrive->stream;
    event.why = redrive->why;
    emit(message, &event);
    return OK;
}

static status_t on_redriven(struct message *message, const void *body)
{
    const Service__V1__IncidentRedriven *event = body;
    return RUN(message, loop_redrive, NULL, TEXT(event->incident_id));
}

// ---------------------------------------------------------------------------------------------- skipping

static status_t on_propose_skip(struct message *message, const void *body)
{
    const Service__V1__ProposeSkip *skip = body;
    Service__V1__IncidentSkipProposed event = SERVICE__V1__INCIDENT_SKIP_PROPOSED__INIT;
    struct incident incident;
    struct rows rows;

    if (!*skip->reason || strlen(skip->reason) > WHY_BYTES)
        return fail(message, REFUSED, "reason: must say in 1 to %d bytes why it is skipped", WHY_BYTES);
    status_t status = load_incident(message, skip->stream, &incident);
    if (status == OK && incident.kind != SERVICE__V1__INCIDENT__KIND__HEARD)
        return fail(message, REFUSED,
                    "stream: the incident on %s is no heard event, and only those can be skipped",
                    skip->stream);
    if (status == OK && (incident.redriven || incident.skipped))
        return fail(message, REFUSED, "stream: %s is being tried or skipped now", skip->stream);
    if (status == OK)
        status = RUN(message, loop_list_waiting, &rows, TEXT(incident.id),
                     INT(skip->only_failed ? 1 : SKIP_EVENTS));
    if (status != OK)
        return status;
    event.incident_id = (char *)incident.id;
    event.stream = skip->stream;
    event.reason = skip->reason;
    event.proposed_by = message->actor->subject;
    event.n_positions = (size_t)rows.count;
    event.positions = arena_alloc(message->arena, sizeof *event.positions * (size_t)(rows.count + 1));
    for (int row = 0; row < rows.count; row++)
        event.positions[row] = (uint64_t)row_int(&rows, row, 0);
    emit(message, &event);
    return OK;
}

static struct arg positions_arg(struct message *message, const uint64_t positions[], size_t count)
{
    int64_t *numbers = arena_alloc(message->arena, sizeof *numbers * (count + 1));

    for (size_t i = 0; i < count; i++)
        numbers[i] = (int64_t)positions[i];
    return db_int_array(message, numbers, (int)count);
}

static status_t on_skip_proposed(struct message *message, const void *body)
{
    const Service__V1__IncidentSkipProposed *event = body;
    return RUN(message, loop_propose_skip, NULL, TEXT(event->incident_id), TEXT(event->proposed_by),
               TEXT(event->reason), positions_arg(message, event->positions, event->n_positions));
}

static status_t may_confirm(struct message *message, const char *stream, const struct incident *incident)
{
    if (incident->skipped)
        return fail(message, REFUSED, "stream: %s is being skipped already", stream);
    if (!*incident->proposed_by)
        return fail(message, REFUSED, "stream: nobody has proposed to skip %s", stream);
    if (strcmp(incident->proposed_by, message->actor->subject) == 0)
        return fail(message, REFUSED, "actor: %s proposed to skip %s; another person confirms it",
                    message->actor->subject, stream);
    if (incident->redriven)
        return fail(message, REFUSED, "stream: %s is being tried again now", stream);
    if (!*incident->positions)
        return fail(message, REFUSED,
                    "stream: nothing of what was proposed to be skipped waits behind %s any more", stream);
    return OK;
}

static status_t on_confirm_skip(struct message *message, const void *body)
{
    const Service__V1__ConfirmSkip *confirm = body;
    Service__V1__IncidentSkipped event = SERVICE__V1__INCIDENT_SKIPPED__INIT;
    struct incident incident;

    status_t status = load_incident(message, confirm->stream, &incident);
    if (status == OK)
        status = may_confirm(message, confirm->stream, &incident);
    if (status != OK)
        return status;
    event.incident_id = (char *)incident.id;
    event.stream = confirm->stream;
    event.reason = (char *)incident.reason;
    event.proposed_by = (char *)incident.proposed_by;
    event.confirmed_by = message->actor->subject;
    event.positions = arena_alloc(message->arena, sizeof *event.positions * SKIP_EVENTS);
    for (char *at = (char *)incident.positions; *at && event.n_positions < SKIP_EVENTS; at += *at == ',')
        event.positions[event.n_positions++] = strtoull(at, &at, 10);
    emit(message, &event);
    return OK;
}

static status_t on_skipped(struct message *message, const void *body)
{
    const Service__V1__IncidentSkipped *event = body;
    return RUN(message, loop_skip, NULL, TEXT(event->incident_id),
               positions_arg(message, event->positions, event->n_positions));
}

// ---------------------------------------------------------------------------------------------- reporting

void operate_report(struct loop *loop)
{
    struct message own = loop_message(loop), *message = &own;

    status_t status = RUN(message, loop_report, NULL, TEXT(loop->instance), TEXT(loop->service->name),
                          TEXT(loop->service->rule_set), BOOL(loop->rehearsal), BOOL(loop_leads(loop)),
                          BOOL(bus_broker_alive(loop->bus)), BOOL(bus_feed_alive(loop->bus)),
                          INT((int64_t)loop->commands), INT((int64_t)loop->queries),
                          INT((int64_t)loop->batches), INT((int64_t)loop->head),
                          INT(clock_stopwatch_ms() - loop->started_ms));
    if (status != OK)
        log_warn("how this instance is doing could not be reported", "reason", message->reason, NULL);
}

// ---------------------------------------------------------------------------------------------- tables

#define ROLES_LOOKING (ROLES_DIRECTORATE | ROLE(AUDITOR) | ROLE(OPERATOR) | ROLE(SERVICE))

const struct command_row operate_commands[] = {
    {&service__v1__redrive__descriptor, ROLE(OPERATOR), on_redrive},
    {&service__v1__propose_skip__descriptor, ROLE(OPERATOR), on_propose_skip},
    {&service__v1__confirm_skip__descriptor, ROLE(OPERATOR), on_confirm_skip},
    {&service__v1__erase__descriptor, ROLE(UNIT_HEAD), private_on_erase},
    {NULL, 0, NULL},
};

const struct event_row operate_events[] = {
    {&service__v1__incident_redriven__descriptor, "incident", on_redriven},
    {&service__v1__incident_skip_proposed__descriptor, "incident", on_skip_proposed},
    {&service__v1__incident_skipped__descriptor, "incident", on_skipped},
    {&service__v1__case_erased__descriptor, "erasure", private_on_erased},
    {NULL, NULL, NULL},
};

const struct query_row operate_queries[] = {
    {&service__v1__get_status__descriptor, ROLES_LOOKING, on_get_status},
    {&service__v1__list_incidents__descriptor, ROLES_LOOKING, on_list_incidents},
    {&service__v1__get_incident__descriptor, ROLES_LOOKING, on_get_incident},
    {&service__v1__get_erasure__descriptor, ROLES_LOOKING, private_on_get_erasure},
    {NULL, 0, NULL},
};
