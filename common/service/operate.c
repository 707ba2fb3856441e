// operate: service.v1, which every service obeys besides its own contract. How it is, what stands still, and
// going on.
#include "service/loop.h"

#include "clock/clock.h"
#include "log/log.h"
#include "service_store.sql.h"
#include "service_v1.pb-c.h"

#define STATUS_INCIDENTS 100
#define LIST_INCIDENTS   1000
#define WHY_BYTES        500

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
    return incident;
}

static status_t load_incidents(struct message *message, int limit, Service__V1__Incident ***ret,
                               size_t *ret_count)
{
    struct rows rows;

    status_t status = RUN(message, loop_list_incidents, &rows, INT(limit));
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
    struct rows rows;

    status_t status = RUN0(message, loop_count, &rows);
    if (status != OK)
        return status;
    status_of->unsent = (uint32_t)row_int(&rows, 0, 0);
    status_of->oldest_unsent_ms = (uint64_t)row_int(&rows, 0, 1);
    status_of->asked = (uint32_t)row_int(&rows, 0, 2);
    status_of->parked = (uint32_t)row_int(&rows, 0, 3);
    status_of->position = (uint64_t)row_int(&rows, 0, 4);
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

// ---------------------------------------------------------------------------------------------- going on

static status_t on_redrive(struct message *message, const void *body)
{
    const Service__V1__Redrive *redrive = body;
    Service__V1__IncidentRedriven event = SERVICE__V1__INCIDENT_REDRIVEN__INIT;
    struct rows rows;

    if (!*redrive->why || strlen(redrive->why) > WHY_BYTES)
        return fail(message, REFUSED, "why: must say in 1 to %d bytes what was mended", WHY_BYTES);
    status_t status = RUN(message, loop_find_incident, &rows, TEXT(redrive->stream));
    if (status != OK)
        return status;
    if (rows.count == 0)
        return fail(message, REFUSED, "stream: %s has no open incident here", redrive->stream);
    event.incident_id = (char *)row_text(&rows, 0, 0);
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
    {NULL, 0, NULL},
};

const struct event_row operate_events[] = {
    {&service__v1__incident_redriven__descriptor, "incident", on_redriven},
    {NULL, NULL, NULL},
};

const struct query_row operate_queries[] = {
    {&service__v1__get_status__descriptor, ROLES_LOOKING, on_get_status},
    {&service__v1__list_incidents__descriptor, ROLES_LOOKING, on_list_incidents},
    {NULL, 0, NULL},
};
