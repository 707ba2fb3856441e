// inbox: what has arrived becomes one transaction, and after its COMMIT the answers.
//
// A command's id and what was answered to it are kept for ever: whoever asks again gets the same answer,
// whichever instance is asked and whatever died in between. When one command of a batch spoils the
// transaction, the batch is rolled back and taken one by one, so that nobody suffers for another's message.
#include "service/loop.h"

#include "clock/clock.h"
#include "log/log.h"
#include "service_store.sql.h"
#include "values/values.h"

#include <assert.h>
#include <time.h>

#define BATCH_BYTES  (LIMIT_ARENA_BYTES / 2)     // what one transaction may make before it is ended
#define ANSWER_BYTES (LIMIT_FRAME_BYTES - 1024)  // what fits into a frame

// ---------------------------------------------------------------------------------------------- answering

static void settle(struct work *work, Bus__V1__Reply__Status status, const char *reason)
{
    work->status = status;
    work->reason = reason;
    work->answer_type = "";
    work->answer = BYTES("", 0);
}

static void log_work(const struct work *work)
{
    const Bus__V1__Request *request = work->request;
    const ProtobufCEnumValue *outcome = protobuf_c_enum_descriptor_get_value(
        &bus__v1__reply__status__descriptor, (int)work->status);
    void (*level)(const char *what, ...) = work->status == BUS__V1__REPLY__STATUS__POISON ? log_alarm
                                                                                          : log_info;

    level(work->timer ? "timer" : "message", "type", request->type, "id", request->id, "subject",
          request->actor->subject, "cause", *request->correlation ? request->correlation : request->id,
          "outcome", outcome->name, "reason", work->reason, "again", work->known ? "yes" : "no", "ms",
          log_number(clock_stopwatch_ms() - work->began_ms), NULL);
}

static void give(struct loop *loop, const struct work *work)
{
    assert(work->status != BUS__V1__REPLY__STATUS__UNSPECIFIED);
    log_work(work);
    figures_message(loop->figures, work);
    if (work->timer)
        return;
    // A stored answer has only the name of its type, and the bus needs no more.
    ProtobufCMessageDescriptor type = {.magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
                                       .name = work->answer_type};
    bus_reply(loop->bus, work->request->ticket, work->request->id, work->status, work->reason,
              *work->answer_type ? &type : NULL, work->answer.bytes, work->answer.size);
}

// --------------------------------------------------------------------------------------- before the database

static struct arg digest_of(arena_t *arena, const struct work *work)
{
    size_t actor_size, type_size = strlen(work->request->type) + 1;
    uint8_t *actor = message_encode(arena, work->request->actor, &actor_size);
    uint8_t *all = arena_alloc(arena, type_size + sizeof actor_size + actor_size + work->body_size);

    memcpy(all, work->request->type, type_size);
    memcpy(all + type_size, &actor_size, sizeof actor_size);
    memcpy(all + type_size + sizeof actor_size, actor, actor_size);
    if (work->body_size > 0)
        memcpy(all + type_size + sizeof actor_size + actor_size, work->body, work->body_size);
    uint8_t *digest = arena_alloc(arena, 32);
    sha256(all, type_size + sizeof actor_size + actor_size + work->body_size, digest);
    return BYTES(digest, 32);
}

// What no transaction is needed for. Settled works are answered and not remembered.
static void check(const struct loop *loop, struct work *work)
{
    const Bus__V1__Request *request = work->request;

    settle(work, BUS__V1__REPLY__STATUS__UNSPECIFIED, "");
    if (!uuid_valid(request->id))
        settle(work, BUS__V1__REPLY__STATUS__POISON, "id: must be a UUID in lower case");
    else if (!request->actor)
        assert(!"the bus hands out no request without an actor");
    else if (request->actor->role == BUS__V1__ACTOR__ROLE__CLOCK && !work->timer)
        settle(work, BUS__V1__REPLY__STATUS__REFUSED, "actor: nobody may speak as the clock");
    else if (request->rehearsal != loop->rehearsal)
        settle(work, BUS__V1__REPLY__STATUS__REFUSED,
               loop->rehearsal
                   ? "rehearsal: this service belongs to a rehearsal, and the request is a real one"
                   : "rehearsal: this service is a real one, and the request comes from a rehearsal");
}

static void find_repeats(struct work works[], int count)
{
    for (int i = 0; i < count; i++)
        for (int j = 0; j < i && !works[i].same; j++)
            if (!works[j].same && strcmp(works[j].request->id, works[i].request->id) == 0)
                works[i].same = &works[j];
}

bool work_open(const struct work *work)
{
    return work->status == BUS__V1__REPLY__STATUS__UNSPECIFIED && !work->same;
}

static bool same_digest(const struct arg *one, const struct arg *other)
{
    return one->size == other->size && memcmp(one->bytes, other->bytes, one->size) == 0;
}

static const char *used_before(arena_t *arena, const char *id)
{
    return arena_printf(arena, "id: %s was used before with another type, actor or body; take a new id", id);
}

// ------------------------------------------------------------------------------------------- one transaction

static void know(struct loop *loop, struct work *work, const struct rows *rows, int row)
{
    ProtobufCBinaryData digest = row_bytes(rows, row, 1), body = row_bytes(rows, row, 5);
    struct arg stored = BYTES(digest.data, digest.len);

    work->known = true;
    if (stored.size > 0 && !same_digest(&stored, &work->digest)) {  // empty: blanked when its case was erased
        settle(work, BUS__V1__REPLY__STATUS__REFUSED, used_before(loop->turn, work->request->id));
        return;
    }
    settle(work, (Bus__V1__Reply__Status)row_int(rows, row, 2), row_text(rows, row, 3));
    work->answer_type = row_text(rows, row, 4);
    work->answer = BYTES(body.data, body.len);
}

static status_t find_answers(struct loop *loop, struct message *message, struct work works[], int count)
{
    const char *ids[LIMIT_BATCH_MESSAGES];
    int n = 0;
    for (int i = 0; i < count; i++)
        if (work_open(&works[i]) && !works[i].timer)
            ids[n++] = works[i].request->id;
    if (n == 0)
        return OK;

    struct message lasting = loop_message(loop);  // a stored answer is sent after the transaction
    struct rows rows;
    status_t status = RUN(&lasting, loop_find_answers, &rows, db_text_array(message, ids, n));
    if (status != OK)
        return fail(message, status, "%s", lasting.reason);
    for (int row = 0; row < rows.count; row++)
        for (int i = 0; i < count; i++)
            if (work_open(&works[i]) && strcmp(works[i].request->id, row_text(&rows, row, 0)) == 0)
                know(loop, &works[i], &rows, row);
    return status;
}

struct message work_message(const struct loop *loop, const struct work *work, arena_t *arena)
{
    const Bus__V1__Request *request = work->request;
    struct message message = message_new(arena);

    message.db = loop->db;
    message.id = request->id;
    message.type = request->type;
    message.at_us = request->received_at_us;
    message.actor = request->actor;
    message.sender = request->sender;
    message.correlation = *request->correlation ? request->correlation : request->id;
    message.rehearsal = request->rehearsal;
    return message;
}

static struct message take_in_hand(struct loop *loop, const struct work *work)
{
    arena_reset(loop->hand);
    return work_message(loop, work, loop->hand);
}

static void keep_answer(struct loop *loop, struct work *work, const struct message *message)
{
    settle(work, BUS__V1__REPLY__STATUS__OK, "");
    if (message->answer_size > ANSWER_BYTES) {
        settle(work, BUS__V1__REPLY__STATUS__POISON,
               arena_printf(loop->turn, "the answer of %zu bytes is over the limit of %d; ask for less",
                            message->answer_size, ANSWER_BYTES));
    } else if (message->answer_descriptor) {
        work->answer_type = message->answer_descriptor->name;
        work->answer = BYTES(arena_copy(loop->turn, message->answer, message->answer_size),
                             message->answer_size);
    }
}

// OK: settled as OK or REFUSED, the transaction is whole. Otherwise it must be rolled back.
static status_t decide(struct loop *loop, struct work *work, struct harvest *harvest)
{
    struct message message = take_in_hand(loop, work);

    message.ahead = work->ahead;
    status_t status = dispatch_command(loop->service, &message, work->command, work->body,
                                       work->body_size, harvest);

    switch (status) {
    case OK:
        keep_answer(loop, work, &message);
        break;
    case REFUSED:
        settle(work, BUS__V1__REPLY__STATUS__REFUSED, arena_text(loop->turn, message.reason));
        status = OK;
        break;
    case RETRY:
    case POISON:
        work->reason = arena_text(loop->turn, message.reason);
        break;
    }
    return status;
}

static bool to_remember(const struct work *work)
{
    return !work->known && !work->timer && !work->same && work->digest.size > 0;
}

static status_t keep_answers(struct message *message, const struct work works[], int count)
{
    const char *ids[LIMIT_BATCH_MESSAGES], *reasons[LIMIT_BATCH_MESSAGES], *types[LIMIT_BATCH_MESSAGES];
    struct arg digests[LIMIT_BATCH_MESSAGES], answers[LIMIT_BATCH_MESSAGES];
    int64_t statuses[LIMIT_BATCH_MESSAGES];
    int n = 0;

    for (int i = 0; i < count; i++) {
        if (!to_remember(&works[i]))
            continue;
        ids[n] = works[i].request->id;
        digests[n] = works[i].digest;
        statuses[n] = works[i].status;
        reasons[n] = works[i].reason;
        types[n] = works[i].answer_type;
        answers[n] = works[i].answer;
        n++;
    }
    if (n == 0)
        return OK;
    return RUN(message, loop_keep_answers, NULL, db_text_array(message, ids, n),
               db_bytes_array(message, digests, n), db_int_array(message, statuses, n),
               db_text_array(message, reasons, n), db_text_array(message, types, n),
               db_bytes_array(message, answers, n));
}

// Decide them in order, as many as fit; *ret_count says how many.
static status_t decide_all(struct loop *loop, struct work works[], int count, struct harvest *harvest,
                           int *ret_count)
{
    size_t before = arena_used(loop->batch);
    status_t status = OK;
    int n = 0;

    for (; status == OK && n < count && arena_used(loop->batch) - before < BATCH_BYTES; n++)
        if (work_open(&works[n]))
            status = decide(loop, &works[n], harvest);
    *ret_count = n;
    return status;
}

// Take these works, or the first *ret_count of them when they make too much for one, through one transaction.
// When it fails they are as open as before, and *ret_reason says why.
static status_t attempt(struct loop *loop, struct work works[], int count, int *ret_count,
                        const char **ret_reason)
{
    struct message message = loop_transaction(loop);
    struct harvest harvest = harvest_new(loop->batch);

    status_t status = db_begin(&message);
    if (status == OK)
        status = ahead_ask(loop, &message, works, count, &harvest);
    if (status == OK)
        status = find_answers(loop, &message, works, count);
    if (status == OK)
        status = decide_all(loop, works, count, &harvest, ret_count);
    if (status == OK)
        status = keep_answers(&message, works, *ret_count);
    if (status == OK)
        status = outbox_keep(loop, &message, &harvest);
    if (status == OK)
        status = db_commit(&message);
    if (status == OK) {
        figures_batch(loop->figures, *ret_count);
        outbox_sent(loop, &harvest);
        return OK;
    }
    db_rollback(&message);
    *ret_reason = loop_reason(loop, &message);
    return status;
}

// ---------------------------------------------------------------------------------------------- batches

// Forget what a rolled-back transaction has settled; what was settled before it stays.
static void reopen(struct work works[], int count)
{
    for (int i = 0; i < count; i++) {
        if (works[i].digest.size == 0 && !works[i].timer)
            continue;
        if (works[i].same == NULL)
            settle(&works[i], BUS__V1__REPLY__STATUS__UNSPECIFIED, works[i].reason);
        works[i].known = false;
    }
}

static void nap(int64_t ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

// A work that spoiled its batch, or may have: by itself, a few times.
static void alone(struct loop *loop, struct work *work)
{
    for (int tries = 0; tries < LIMIT_TRIES; tries++) {
        const char *reason = "";
        int count;
        if (!loop_connected(loop)) {
            settle(work, BUS__V1__REPLY__STATUS__UNAVAILABLE, "the service's database is away; ask again");
            return;
        }
        work->reason = NULL;
        status_t status = attempt(loop, work, 1, &count, &reason);
        if (status == OK)
            return;
        if (work->reason && *work->reason)
            reason = work->reason;  // the rule's own words
        reopen(work, 1);
        work->reason = *reason ? reason : "it could not be stored";
        if (status == POISON) {
            settle(work, BUS__V1__REPLY__STATUS__POISON, work->reason);
            return;
        }
        nap(INT64_C(5) << tries);
    }
    settle(work, BUS__V1__REPLY__STATUS__UNAVAILABLE, work->reason);
}

// The same id twice in one turn: the second gets what the first got.
static void repeat(struct loop *loop, struct work *work)
{
    const struct work *same = work->same;
    bool remembered = same->status == BUS__V1__REPLY__STATUS__OK ||
                      same->status == BUS__V1__REPLY__STATUS__REFUSED;

    work->known = true;
    if (work->status != BUS__V1__REPLY__STATUS__UNSPECIFIED)
        return;
    if (same_digest(&same->digest, &work->digest)) {
        settle(work, same->status, same->reason);
        work->answer_type = same->answer_type;
        work->answer = same->answer;
    } else if (remembered) {
        settle(work, BUS__V1__REPLY__STATUS__REFUSED, used_before(loop->turn, work->request->id));
    } else {
        settle(work, BUS__V1__REPLY__STATUS__UNAVAILABLE,
               "another request with this id is under way; ask again");
    }
}

static void prepare(struct loop *loop, struct work works[], int count)
{
    for (int i = 0; i < count; i++) {
        works[i].began_ms = clock_stopwatch_ms();
        check(loop, &works[i]);
        if (works[i].status == BUS__V1__REPLY__STATUS__UNSPECIFIED && !works[i].timer)
            works[i].digest = digest_of(loop->turn, &works[i]);
    }
    find_repeats(works, count);
}

static void decide_and_keep(struct loop *loop, struct work works[], int count)
{
    const char *reason;
    int taken;

    for (; count > 0; works += taken, count -= taken, loop->batches++)
        if (!loop_connected(loop) || attempt(loop, works, count, &taken, &reason) != OK)
            break;
    reopen(works, count);
    for (int i = 0; i < count; i++)
        if (work_open(&works[i]))
            alone(loop, &works[i]);
}

void inbox_commands(struct loop *loop, struct work works[], int count)
{
    assert(count <= LIMIT_BATCH_MESSAGES);
    prepare(loop, works, count);
    decide_and_keep(loop, works, count);
    loop->commands += (uint64_t)count;
    for (int i = 0; i < count; i++) {
        if (works[i].same)
            repeat(loop, &works[i]);
        give(loop, &works[i]);
    }
    timers_stir(loop);
}

// ---------------------------------------------------------------------------------------------- queries

static status_t read_one(struct loop *loop, struct work *work)
{
    struct message message = take_in_hand(loop, work);
    status_t status = dispatch_query(loop->service, &message, work->body, work->body_size);

    if (status == OK)
        keep_answer(loop, work, &message);
    else
        work->reason = arena_text(loop->turn, message.reason);
    if (status == REFUSED) {
        settle(work, BUS__V1__REPLY__STATUS__REFUSED, work->reason);
        status = OK;
    }
    return status;
}

// Queries of one turn share one snapshot, in a transaction that can write nothing.
static status_t try_read(struct loop *loop, struct work works[], int count)
{
    struct message message = loop_message(loop);

    status_t status = db_begin(&message);
    if (status == OK)
        status = RUN0(&message, loop_read_only, NULL);
    for (int i = 0; status == OK && i < count; i++)
        if (work_open(&works[i]))
            status = read_one(loop, &works[i]);
    db_rollback(&message);
    return status;
}

static void read_alone(struct loop *loop, struct work *work)
{
    status_t status = RETRY;

    work->reason = NULL;
    for (int tries = 0; status == RETRY && tries < LIMIT_TRIES && loop_connected(loop); tries++)
        status = try_read(loop, work, 1);
    if (status == RETRY)
        settle(work, BUS__V1__REPLY__STATUS__UNAVAILABLE, "the service's database is away; ask again");
    else if (status == POISON)
        settle(work, BUS__V1__REPLY__STATUS__POISON, work->reason ? work->reason : "it could not be read");
}

void inbox_queries(struct loop *loop, struct work works[], int count)
{
    for (int i = 0; i < count; i++) {
        works[i].began_ms = clock_stopwatch_ms();
        check(loop, &works[i]);
    }
    if (!loop_connected(loop) || try_read(loop, works, count) != OK)
        for (int i = 0; i < count; i++)
            if (work_open(&works[i]))
                read_alone(loop, &works[i]);
    loop->queries += (uint64_t)count;
    for (int i = 0; i < count; i++)
        give(loop, &works[i]);
}
