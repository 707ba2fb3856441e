// own: what the broker itself is asked, as the service "broker": who is connected, and what day it is.
#include "broker.h"

#include "log/log.h"
#include "message/message.h"

#include <string.h>

#define CALENDAR_LAST_US INT64_C(253402300799999999)  // the last instant of the year 9999
#define ROLE_BIT(name)   (UINT64_C(1) << BUS__V1__ACTOR__ROLE__##name)

// A question in hand: decoded, and the answer being made.
struct question {
    struct broker *broker;
    const struct arrival *arrival;
    const Bus__V1__Request *request;
    struct message *message;
};

// ------------------------------------------------------------------ GetPeers

static Bus__V1__Peers__Worker *worker_described(arena_t *arena, const struct worker *worker)
{
    Bus__V1__Peers__Worker *described = arena_alloc(arena, sizeof *described);

    bus__v1__peers__worker__init(described);
    described->service = worker->office->name;
    described->key = worker->key_name;
    described->credit = worker->credit;
    described->outstanding = (uint32_t)zlistx_size(worker->tasks);
    described->answered = worker->answered;
    described->draining = worker->draining;
    return described;
}

static Bus__V1__Peers__Queue *queue_described(const struct broker *broker, const struct office *office)
{
    Bus__V1__Peers__Queue *described = arena_alloc(broker->arena, sizeof *described);
    const struct task *oldest = zlistx_head(office->waiting);

    bus__v1__peers__queue__init(described);
    described->service = office->name;
    described->waiting = (uint32_t)zlistx_size(office->waiting);
    described->oldest_ms = oldest ? (uint32_t)(broker->now_ms - oldest->arrived_ms) : 0;
    described->refused_full = office->refused_full;
    return described;
}

static status_t on_get_peers(struct question *question, const void *body)
{
    struct broker *broker = question->broker;
    Bus__V1__Peers peers = BUS__V1__PEERS__INIT;

    (void)body;
    peers.workers = arena_alloc(broker->arena, (zhashx_size(broker->workers) + 1) * sizeof *peers.workers);
    for (struct worker *worker = zhashx_first(broker->workers); worker; worker = zhashx_next(broker->workers))
        peers.workers[peers.n_workers++] = worker_described(broker->arena, worker);
    peers.queues = arena_alloc(broker->arena, (zhashx_size(broker->offices) + 1) * sizeof *peers.queues);
    for (struct office *office = zhashx_first(broker->offices); office; office = zhashx_next(broker->offices))
        peers.queues[peers.n_queues++] = queue_described(broker, office);
    peers.dropped = broker_dropped(broker);
    peers.calendar_at_us = calendar_now_us(broker->calendar);
    peers.rehearsal = broker->calendar->path != NULL;
    answer(question->message, &peers);
    return OK;
}

// ------------------------------------------------------------------ MoveCalendar

static status_t rule_move_calendar(struct question *question, const Bus__V1__MoveCalendar *command)
{
    if (!question->broker->calendar->path)
        return fail(question->message, REFUSED,
                    "this stack is real and its calendar cannot be moved; only a stack "
                    "started as a rehearsal can");
    if (command->to_us < 0 || command->to_us > CALENDAR_LAST_US)
        return fail(question->message, REFUSED,
                    "to_us is %lld, which is not an instant between the years 1970 and "
                    "9999 in microseconds",
                    (long long)command->to_us);
    return OK;
}

static void workers_tell_calendar(struct broker *broker)
{
    for (struct worker *worker = zhashx_first(broker->workers); worker; worker = zhashx_next(broker->workers))
        heartbeat_send(broker, worker->peer);
}

static status_t on_move_calendar(struct question *question, const void *body)
{
    const Bus__V1__MoveCalendar *command = body;
    struct broker *broker = question->broker;

    status_t status = rule_move_calendar(question, command);
    if (status != OK || streq(broker->last_move, question->request->id))
        return status;
    if (!calendar_move(broker->calendar, command->to_us, command->stand_still))
        return fail(question->message, REFUSED, "the calendar cannot be kept in %s: %s",
                    broker->calendar->path, strerror(errno));
    snprintf(broker->last_move, sizeof broker->last_move, "%s", question->request->id);
    log_info("the rehearsal's calendar was moved", "by", question->request->actor->subject, "to_us",
             log_number(command->to_us), NULL);
    workers_tell_calendar(broker);
    return OK;
}

// ------------------------------------------------------------------ the table

static const struct own_row {
    const ProtobufCMessageDescriptor *on;
    uint64_t roles;
    const char *roles_told;
    status_t (*call)(struct question *question, const void *body);
} rows[] = {
    {&bus__v1__get_peers__descriptor, ROLE_BIT(OPERATOR) | ROLE_BIT(AUDITOR) | ROLE_BIT(SERVICE),
     "OPERATOR, AUDITOR or SERVICE", on_get_peers},
    {&bus__v1__move_calendar__descriptor, ROLE_BIT(OPERATOR), "OPERATOR", on_move_calendar},
    {NULL, 0, NULL, NULL},
};

static status_t question_answer(struct question *question)
{
    const struct own_row *row = rows;
    const Bus__V1__Request *request = question->request;
    zframe_t *frame = *question->arrival->body_p;
    void *body = NULL;

    while (row->on && !streq(row->on->name, request->type))
        row++;
    if (!row->on)
        return fail(question->message, REFUSED,
                    "type: the broker does not know %s; it knows bus.v1.GetPeers and "
                    "bus.v1.MoveCalendar",
                    request->type);
    if (!(row->roles & UINT64_C(1) << request->actor->role))
        return fail(question->message, REFUSED, "actor.role: %s is for %s", request->type, row->roles_told);
    status_t status = message_decode(question->message, row->on, zframe_data(frame), zframe_size(frame),
                                     &body);
    return status == OK ? row->call(question, body) : status;
}

void own_request(struct broker *broker, const struct arrival *arrival, const Bus__V1__Request *request)
{
    struct message message = message_new(broker->arena);
    struct question question = {broker, arrival, request, &message};
    Bus__V1__Reply reply = BUS__V1__REPLY__INIT;
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;

    status_t status = question_answer(&question);
    reply.id = request->id;
    reply.status = status == OK        ? BUS__V1__REPLY__STATUS__OK
                   : status == REFUSED ? BUS__V1__REPLY__STATUS__REFUSED
                                       : BUS__V1__REPLY__STATUS__POISON;
    reply.reason = (char *)(status == OK ? "" : message.reason);
    tally_add(&broker->own_answers, reply.status);
    if (message.answer_descriptor)
        reply.type = (char *)message.answer_descriptor->name;
    packet.kind_case = BUS__V1__PACKET__KIND_REPLY;
    packet.reply = &reply;
    zframe_t *body = zframe_new(message.answer, message.answer_size);
    if (!packet_send(broker, arrival->peer, &packet, body))
        broker_drop(broker, DROP_UNDELIVERED, request->sender, request->type);
    zframe_destroy(&body);
}
