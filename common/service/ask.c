// ask: requests to other processes that a rule wanted, sent by the leader until they are answered.
//
// A request's id comes from its key, so it is the same request however often it is sent, and whoever is asked
// answers it once. The answer is decided like a command, in the transaction that forgets the request.
#include "service/loop.h"

#include "clock/clock.h"
#include "log/log.h"
#include "service_store.sql.h"
#include "service_v1.pb-c.h"

#define LOOK_MS 1000

void ask_turn(struct loop *loop)
{
    struct message own = loop_message(loop), *message = &own;
    int64_t now_ms = clock_stopwatch_ms();
    struct rows rows;

    if (!loop->service->answers || !loop_leads(loop) ||
        (loop->asked_ms != 0 && now_ms - loop->asked_ms < LOOK_MS))
        return;
    loop->asked_ms = now_ms;
    if (!loop_connected(loop) || RUN(message, loop_take_asked, &rows, INT(LIMIT_RESEND_MS)) != OK)
        return;
    for (int row = 0; row < rows.count; row++) {
        ProtobufCBinaryData body = row_bytes(&rows, row, 3);
        bus_ask(loop->bus, row_text(&rows, row, 1), row_text(&rows, row, 0), row_text(&rows, row, 2), NULL,
                row_text(&rows, row, 4), LIMIT_TIMEOUT_MS, body.data, body.len);
    }
}

// What is answered for good is handled; anything else is asked again when its time comes.
static bool is_final(const Bus__V1__Reply *reply)
{
    switch (reply->status) {
    case BUS__V1__REPLY__STATUS__OK:
    case BUS__V1__REPLY__STATUS__REFUSED:
    case BUS__V1__REPLY__STATUS__POISON:
        return true;
    case BUS__V1__REPLY__STATUS__UNAVAILABLE:
    case BUS__V1__REPLY__STATUS__RESOURCE_EXHAUSTED:
    case BUS__V1__REPLY__STATUS__UNSPECIFIED:
    case _BUS__V1__REPLY__STATUS_IS_INT_SIZE:
        return false;
    }
    return false;
}

static status_t decide(struct loop *loop, struct message *message, const struct rows *rows,
                       const struct incoming *incoming, struct harvest *harvest)
{
    actor_t actor = BUS__V1__ACTOR__INIT;
    actor.subject = (char *)row_text(rows, 0, 0);
    actor.role = BUS__V1__ACTOR__ROLE__SERVICE;
    ProtobufCBinaryData body = row_bytes(rows, 0, 2);
    struct arg request = BYTES(body.data, body.len);

    arena_reset(loop->hand);
    struct message answer = message_new(loop->hand);
    answer.db = loop->db;
    answer.id = incoming->reply->id;
    answer.type = row_text(rows, 0, 1);
    answer.at_us = clock_calendar_us();
    answer.actor = &actor;
    answer.sender = row_text(rows, 0, 0);
    answer.correlation = row_text(rows, 0, 3);
    answer.rehearsal = loop->rehearsal;
    status_t status = dispatch_answer(loop->service, &answer, answer.type, &request, incoming->reply,
                                      incoming->body, incoming->body_size, harvest);
    if (status != OK)
        fail(message, status, "%s", answer.reason);
    return status;
}

static status_t attempt(struct loop *loop, const struct incoming *incoming, const char **ret_type,
                        const char **ret_reason)
{
    struct message message = loop_transaction(loop);
    struct harvest harvest = harvest_new(loop->batch);
    struct rows rows;

    status_t status = db_begin(&message);
    if (status == OK)
        status = RUN(&message, loop_drop_asked, &rows, TEXT(incoming->reply->id));
    if (status == OK && rows.count == 0) {
        db_rollback(&message);  // answered before
        return OK;
    }
    if (status == OK) {
        *ret_type = arena_text(loop->turn, row_text(&rows, 0, 1));
        status = decide(loop, &message, &rows, incoming, &harvest);
    }
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

// The answer can not be handled: the request waits for an operator, and is then asked again.
static void park(struct loop *loop, const char *id, const char *type, const char *reason)
{
    struct message message = loop_message(loop);
    const char *stream = arena_printf(loop->turn, "%s/asked/%s", loop->service->name, id);

    log_alarm("an answer can not be handled", "id", id, "type", type, "reason", reason, NULL);
    status_t status = db_begin(&message);
    if (status == OK)
        status = RUN(&message, loop_park_asked, NULL, TEXT(id));
    if (status == OK)
        status = park_open(&message, id, SERVICE__V1__INCIDENT__KIND__ASKED, stream, id, 0, type, reason);
    if (status == OK)
        status = db_commit(&message);
    if (status != OK)
        db_rollback(&message);  // it is asked again, answered the same and comes here again
}

void ask_reply(struct loop *loop, const struct incoming *incoming)
{
    const char *type = "", *reason = "";
    int64_t began_ms = clock_stopwatch_ms();
    status_t status = RETRY;

    if (!is_final(incoming->reply))
        return;
    for (int tries = 0; status == RETRY && tries < LIMIT_TRIES && loop_connected(loop); tries++)
        status = attempt(loop, incoming, &type, &reason);
    if (status == POISON)
        park(loop, incoming->reply->id, type, reason);
    if (status == OK && *type) {
        log_info("answer", "type", type, "id", incoming->reply->id, "outcome", "OK", "reason",
                 incoming->reply->reason, "ms", log_number(clock_stopwatch_ms() - began_ms), NULL);
        timers_stir(loop);
    }
}
