// main: the witness's process: the feed, the bus, the turn.
#include "witness.h"

#include "clock/clock.h"
#include "env/env.h"
#include "env/settings.h"
#include "limits/limits.h"
#include "log/log.h"
#include "metrics/vitals.h"
#include "stop/stop.h"
#include "values/values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TURN_BYTES (32 * 1024 * 1024)
#define TURN_MS    1000
#define SYNC_MS    100  // what came is on the disk after so long; what is told or cosigned, before
#define FAR_BEHIND 2000  // events; then checkpoint after checkpoint, not only the newest

static const char usage[] = "usage: tildel-witness [--health | --help]\n"
                            "\n"
                            "Sees to it that the log is only added to: reads every event, recomputes the "
                            "tree, cosigns each checkpoint that\n"
                            "extends what it holds, and raises an alarm (log level \"alarm\") within a "
                            "minute when the log is cut, rewritten,\n"
                            "forked or silent. Keeps the events, so that a lost end of the log can be put "
                            "back. Run it on another machine.\n"
                            "\n"
                            "  --health    [live|ready]: ask the one at METRICS_BIND; without a word: ready, "
                            "that is, it has no alarm\n"
                            "\n"
                            "Exit codes: 0 well; 1 a fault, told in one sentence (the disk is damaged or "
                            "fails); 2 wrong usage; 3 unhealthy.\n\n";

// What it counts.
struct figures {
    series_t *size, *cosigned, *alarm;
};

// One thing asked of the log at a time, of each kind.
struct question {
    char id[37];
    int64_t asked_ms;  // 0: nothing is under way
};

struct process {
    struct store store;
    struct judge judge;
    bus_t *bus;
    arena_t *arena;
    struct question page, checkpoint, proof;
    int64_t turned_ms, synced_ms;
    vitals_t *vitals;
    struct figures figures;
};

// A witness that cannot store may not say anything.
static void end_unless(bool well, const char *const *why)
{
    if (!well)
        bus_end("%s", *why);
}

// ------------------------------------------------------------------------------------------- asking the log

static void ask_log(struct process *process, struct question *question, const void *query)
{
    const ProtobufCMessage *base = query;
    int64_t now_ms = clock_stopwatch_ms();
    size_t size;

    if (question->asked_ms != 0 && now_ms - question->asked_ms < LIMIT_RESEND_MS)
        return;
    const uint8_t *body = message_encode(process->arena, query, &size);
    snprintf(question->id, sizeof question->id, "%s", uuid_new(process->arena, clock_real_us()));
    if (bus_ask(process->bus, "eventlog", question->id, base->descriptor->name, NULL, "", LIMIT_TIMEOUT_MS,
                body, size))
        question->asked_ms = now_ms;
}

static void ask_what_is_missing(struct process *process)
{
    Eventlog__V1__Read read = EVENTLOG__V1__READ__INIT;
    Eventlog__V1__GetConsistencyProof prove = EVENTLOG__V1__GET_CONSISTENCY_PROOF__INIT;
    const struct judge *judge = &process->judge;
    uint64_t size = process->store.tree.size;

    if (judge->head > size && !judge->refusing) {
        read.after = size;
        read.limit = LIMIT_PAGE_ENTRIES;
        ask_log(process, &process->page, &read);
    }
    if (judge->refusing && size > 0 && judge->head > size) {
        prove.from = size;
        prove.to = judge->head;
        ask_log(process, &process->proof, &prove);
    }
}

static void ask_checkpoint(struct process *process)
{
    Eventlog__V1__GetCheckpoint query = EVENTLOG__V1__GET_CHECKPOINT__INIT;
    uint64_t confirmed = process->store.confirmed.size;

    if (process->judge.head > confirmed + FAR_BEHIND)
        query.covers = confirmed + 1;
    ask_log(process, &process->checkpoint, &query);
}

// ------------------------------------------------------------------------------------------------ what came in

static bool decoded(struct process *process, const struct incoming *incoming,
                    const ProtobufCMessageDescriptor *type, void *ret)
{
    struct message message = message_new(process->arena);

    return message_decode(&message, type, incoming->body, incoming->body_size, ret) == OK;
}

static bool answers(struct question *question, const struct incoming *incoming)
{
    if (question->asked_ms == 0 || strcmp(question->id, incoming->reply->id) != 0)
        return false;
    question->asked_ms = 0;
    return incoming->reply->status == BUS__V1__REPLY__STATUS__OK;
}

static void on_reply(struct process *process, const struct incoming *incoming)
{
    const Eventlog__V1__Page *page;
    const Eventlog__V1__Checkpoint *checkpoint;
    const Eventlog__V1__ConsistencyProof *proof;
    struct judge *judge = &process->judge;
    const char *why = "";

    if (answers(&process->page, incoming)) {
        if (decoded(process, incoming, &eventlog__v1__page__descriptor, &page))
            end_unless(judge_page(judge, process->arena, page, clock_stopwatch_ms(), &why), &why);
    } else if (answers(&process->checkpoint, incoming)) {
        if (decoded(process, incoming, &eventlog__v1__checkpoint__descriptor, &checkpoint))
            end_unless(
                judge_checkpoint(judge, process->arena, checkpoint->note, clock_real_us() / 1000000, &why),
                &why);
        if (judge->head > process->store.confirmed.size + FAR_BEHIND && !judge->refusing)
            ask_checkpoint(process);
    } else if (answers(&process->proof, incoming)) {
        if (decoded(process, incoming, &eventlog__v1__consistency_proof__descriptor, &proof))
            judge_proof(judge, proof);
    }
}

static void on_feed(struct process *process, const struct incoming *incoming)
{
    const Eventlog__V1__Published *published;
    const char *why = "";

    if (decoded(process, incoming, &eventlog__v1__published__descriptor, &published))
        end_unless(judge_published(&process->judge, process->arena, published, clock_stopwatch_ms(), &why),
                   &why);
}

static void on_request(struct process *process, const struct incoming *incoming)
{
    const Bus__V1__Request *request = incoming->request;
    struct message message = message_new(process->arena);
    const char *why = "";

    end_unless(store_sync(&process->store, &why), &why);
    status_t status = witness_query(&process->judge, &message, request->type, incoming->body,
                                    incoming->body_size, clock_stopwatch_ms());
    static const Bus__V1__Reply__Status told[] = {
        [OK] = BUS__V1__REPLY__STATUS__OK,
        [REFUSED] = BUS__V1__REPLY__STATUS__REFUSED,
        [RETRY] = BUS__V1__REPLY__STATUS__UNAVAILABLE,
        [POISON] = BUS__V1__REPLY__STATUS__POISON,
    };
    bus_reply(process->bus, request->ticket, request->id, told[status], status == OK ? "" : message.reason,
              status == OK ? message.answer_descriptor : NULL, message.answer, message.answer_size);
}

// ---------------------------------------------------------------------------------------------------- the turn

// In how many milliseconds the disk is waited for; a process that asks it for each event slows the database down that
// shares it.
static int sync_due_ms(const struct process *process)
{
    int64_t due_ms = process->synced_ms + SYNC_MS - clock_stopwatch_ms();

    return !process->store.dirty ? TURN_MS / 2 : due_ms > 0 ? (int)due_ms : 0;
}

static void sync_when_due(struct process *process)
{
    const char *why = "";

    if (sync_due_ms(process) > 0)
        return;
    end_unless(store_sync(&process->store, &why), &why);
    process->synced_ms = clock_stopwatch_ms();
}

// Once a second, and whenever something came.
static void turn(struct process *process)
{
    int64_t now_ms = clock_stopwatch_ms();

    sync_when_due(process);
    ask_what_is_missing(process);
    if (now_ms - process->turned_ms < TURN_MS)
        return;
    process->turned_ms = now_ms;
    judge_time(&process->judge, now_ms);
    ask_checkpoint(process);
}

static struct figures figures_new(metrics_t *metrics)
{
    return (struct figures){
        .size = series_new(metrics, FAMILY_GAUGE, "tildel_witness_events",
                           "Events of the log that the witness holds."),
        .cosigned = series_new(metrics, FAMILY_GAUGE, "tildel_witness_cosigned_events",
                               "Events covered by the newest checkpoint that it has cosigned."),
        .alarm = series_new(metrics, FAMILY_GAUGE, "tildel_witness_alarm",
                            "1 while the log does not extend what the witness holds, or is silent."),
    };
}

static void show(struct process *process)
{
    const char *alarm = process->judge.alarm;

    if (vitals_due_ms(process->vitals) > 0)
        return;
    series_set(process->figures.size, (double)process->store.tree.size);
    series_set(process->figures.cosigned, (double)process->store.confirmed.size);
    series_set(process->figures.alarm, alarm[0] != '\0');
    vitals_broker(process->vitals, bus_broker_alive(process->bus));
    vitals_feed(process->vitals, bus_feed_alive(process->bus));
    if (alarm[0] != '\0')
        vitals_doubt(process->vitals, "%s", alarm);
    vitals_publish(process->vitals);
}

static void serve(struct process *process)
{
    const char *why = "";

    for (;;) {
        arena_reset(process->arena);
        struct incoming incoming = bus_next(process->bus, process->arena, sync_due_ms(process));
        switch (incoming.kind) {
        case INCOMING_STOP:
            end_unless(store_sync(&process->store, &why), &why);
            return;
        case INCOMING_REQUEST:
            on_request(process, &incoming);
            break;
        case INCOMING_REPLY:
            on_reply(process, &incoming);
            break;
        case INCOMING_FEED:
            on_feed(process, &incoming);
            break;
        case INCOMING_NOTHING:
            break;
        }
        turn(process);
        show(process);
    }
}

static void open_store(struct process *process)
{
    struct judge *judge = &process->judge;
    const char *why;

    if (!note_ring_load(process->arena, env_required("LOG_PUB_FILE"), &judge->log, &why))
        bus_end("LOG_PUB_FILE: %s", why);
    if (!note_signer_load(process->arena, env_required("WITNESS_KEY_FILE"), &judge->signer, &why))
        bus_end("WITNESS_KEY_FILE: %s", why);
    if (judge->log.keys[0].type != NOTE_PLAIN || judge->signer.key.type != NOTE_COSIGNATURE)
        bus_end("LOG_PUB_FILE must be the key of a log and WITNESS_KEY_FILE that of a witness");
    if (!store_open(&process->store, env_required("WITNESS_DIR"), &judge->log, &judge->signer.key, &why))
        bus_end("%s", why);
    judge->store = &process->store;
    judge->trusted = process->store.tree;
    judge->head = process->store.tree.size;  // until the log says it
    judge->heard_ms = judge->added_ms = clock_stopwatch_ms();
    log_info("what was witnessed is whole", "size", log_number((int64_t)process->store.tree.size), "cosigned",
             log_number((int64_t)process->store.confirmed.size), NULL);
}

static int run(void)
{
    stop_at_once();
    struct bus_config config = bus_config_from_env("witness");
    struct process process = {.arena = arena_new(TURN_BYTES)};

    process.vitals = vitals_start("witness", "");
    process.figures = figures_new(vitals_metrics(process.vitals));
    open_store(&process);
    env_required("BUS_FEED");
    config.serves = "witness";
    config.credit = 64;
    process.bus = bus_connect(&config);
    serve(&process);
    log_info("the witness stops", "size", log_number((int64_t)process.store.tree.size), NULL);
    bus_destroy(&process.bus);
    vitals_destroy(&process.vitals);
    store_close(&process.store);
    note_signer_wipe(&process.judge.signer);
    arena_destroy(&process.arena);
    return 0;
}

int main(int argc, char **argv)
{
    log_start("witness");
    if (argc == 1)
        return run();
    if (strcmp(argv[1], "--health") == 0)
        return health_main(argc - 2, argv + 2);
    bool asked = argc == 2 && strcmp(argv[1], "--help") == 0;
    fputs(usage, asked ? stdout : stderr);
    settings_help(asked ? stdout : stderr, "witness");
    return asked ? 0 : 2;
}
