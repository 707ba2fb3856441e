// timers: what the calendar has made due becomes commands of the clock, decided like any other command.
//
// The leader asks the database what is due: once a second, soon after something was committed, and at once
// when the calendar was moved. A clock command is not remembered: what it led to makes it no longer due, and
// that is the memory.
#include "service/loop.h"

#include "clock/clock.h"
#include "log/log.h"
#include "values/values.h"

#include <assert.h>
#include <stdlib.h>

#define IDLE_MS          1000     // between two looks when nothing happens
#define STIRRED_MS       100      // between two looks when something does
#define JUMP_US          2000000  // more than this between two turns: the calendar was moved
#define AGAIN_MS         1000     // a command that was given is not given again before this
#define REFUSED_AGAIN_MS 10000    // nor one that was refused
#define ALARM_MS         60000    // a refused one is told about this often
#define DUE_ROWS         100      // what a due statement may return
#define FIRED            1024

// What was given lately, in the slot of its hash.
struct fired {
    uint64_t hash;
    int64_t not_before_ms;
    int64_t alarmed_ms;
};

struct timers {
    int64_t looked_ms;
    int64_t turned_ms;
    int64_t turned_us;
    bool stirred;
    struct fired fired[FIRED];
};

struct timers *timers_new(void)
{
    struct timers *timers = calloc(1, sizeof *timers);
    assert(timers);
    return timers;
}

void timers_destroy(struct timers **timers_p)
{
    free(*timers_p);
    *timers_p = NULL;
}

void timers_stir(struct loop *loop)
{
    loop->timers->stirred = true;
}

static struct fired *fired_slot(struct loop *loop, const char *type, const char *id)
{
    uint8_t digest[32];
    uint64_t hash;
    const char *name = arena_printf(loop->turn, "%s|%s", type, id);

    sha256(name, strlen(name), digest);
    memcpy(&hash, digest, sizeof hash);
    struct fired *slot = &loop->timers->fired[hash % FIRED];
    if (slot->hash != hash)
        *slot = (struct fired){.hash = hash};
    return slot;
}

static Bus__V1__Request *clock_request(struct loop *loop, const char *type, const char *id, int64_t now_us)
{
    Bus__V1__Request *request = arena_alloc(loop->turn, sizeof *request);
    actor_t *actor = arena_alloc(loop->turn, sizeof *actor);
    const char *name = arena_printf(loop->turn, "%s|%s|%lld", type, id, (long long)now_us);

    *actor = (actor_t)BUS__V1__ACTOR__INIT;
    actor->subject = (char *)loop->service->name;
    actor->role = BUS__V1__ACTOR__ROLE__CLOCK;
    *request = (Bus__V1__Request)BUS__V1__REQUEST__INIT;
    request->service = (char *)loop->service->name;
    request->sender = (char *)loop->service->name;
    request->id = uuid_from(loop->turn, name);
    request->type = (char *)type;
    request->actor = actor;
    request->received_at_us = now_us;
    request->rehearsal = loop->rehearsal;
    return request;
}

static struct work clock_work(struct loop *loop, const struct timer_row *row, const char *id, int64_t now_us)
{
    const ProtobufCFieldDescriptor *field = &row->command->fields[0];
    uint8_t *command = arena_alloc(loop->turn, row->command->sizeof_message);
    struct work work = {.timer = true, .request = clock_request(loop, row->command->name, id, now_us)};

    assert(field->type == PROTOBUF_C_TYPE_STRING && field->label != PROTOBUF_C_LABEL_REPEATED);
    protobuf_c_message_init(row->command, command);
    *(char **)(command + field->offset) = arena_text(loop->turn, id);
    work.body = message_encode(loop->turn, command, &work.body_size);
    return work;
}

static void settled(struct loop *loop, const struct work *work, struct fired *slot)
{
    int64_t now_ms = clock_stopwatch_ms();

    slot->not_before_ms = now_ms + AGAIN_MS;
    if (work->status == BUS__V1__REPLY__STATUS__OK)
        return;
    slot->not_before_ms = now_ms + REFUSED_AGAIN_MS;
    if (slot->alarmed_ms != 0 && now_ms - slot->alarmed_ms < ALARM_MS)
        return;
    slot->alarmed_ms = now_ms;
    log_alarm("a timer's command was not obeyed", "service", loop->service->name, "type", work->request->type,
              "reason", work->reason, NULL);
}

static void fire(struct loop *loop, const struct timer_row *row, const struct rows *rows, int64_t now_us)
{
    struct work works[LIMIT_BATCH_MESSAGES];
    struct fired *slots[LIMIT_BATCH_MESSAGES];
    int count = 0;

    for (int i = 0; i < rows->count; i++) {
        struct fired *slot = fired_slot(loop, row->command->name, row_text(rows, i, 0));
        if (slot->not_before_ms <= clock_stopwatch_ms() && count < LIMIT_BATCH_MESSAGES) {
            slots[count] = slot;
            works[count++] = clock_work(loop, row, row_text(rows, i, 0), now_us);
        }
    }
    if (count == 0)
        return;
    inbox_commands(loop, works, count);
    for (int i = 0; i < count; i++)
        settled(loop, &works[i], slots[i]);
}

static void look(struct loop *loop, int64_t now_us)
{
    loop->timers->stirred = false;
    for (const struct timer_row *row = loop->service->timers; row && row->command; row++) {
        struct message own = loop_message(loop), *message = &own;
        struct rows rows;
        if (!loop_connected(loop) ||
            db_run(message, row->due, (const struct arg[]){INT(now_us)}, 1, &rows) != OK) {
            log_warn("what is due could not be read", "type", row->command->name, "reason",
                     message->reason ? message->reason : "the database is away", NULL);
            return;
        }
        assert(rows.count <= DUE_ROWS);
        fire(loop, row, &rows, now_us);
    }
}

int timers_turn(struct loop *loop)
{
    struct timers *timers = loop->timers;
    int64_t now_ms = clock_stopwatch_ms(), now_us = clock_calendar_us();
    int64_t moved_us = now_us - (timers->turned_us + (now_ms - timers->turned_ms) * 1000);

    if (moved_us > JUMP_US || moved_us < -JUMP_US)
        timers->looked_ms = 0;
    timers->turned_ms = now_ms;
    timers->turned_us = now_us;
    if (!loop->service->timers || !loop_leads(loop) || loop->stopping || !clock_told())
        return IDLE_MS;

    int64_t pause_ms = timers->stirred ? STIRRED_MS : IDLE_MS;
    if (timers->looked_ms != 0 && now_ms - timers->looked_ms < pause_ms)
        return (int)(timers->looked_ms + pause_ms - now_ms);
    look(loop, now_us);
    timers->looked_ms = clock_stopwatch_ms();
    return timers->stirred ? STIRRED_MS : IDLE_MS;
}
