// figures: what a service counts while it works, and how it is doing, told once a second (metrics/vitals.h).
//
// Types come from the service's own tables of rows; whatever else somebody asks for is counted as "other", so
// that nobody can make figures by sending words.
#include "service/loop.h"

#include "clock/clock.h"
#include "metrics/vitals.h"
#include "service_store.sql.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define COUNT_MS 5000  // between two looks into the loop's own tables
#define STATUSES (BUS__V1__REPLY__STATUS__POISON + 1)

static const double seconds_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                        0.25,  0.5,    1,     2.5,  5,     10,   INFINITY};
static const double batch_bounds[] = {1, 2, 4, 8, 16, 32, LIMIT_BATCH_MESSAGES, INFINITY};

// How a message of one type was answered.
struct type_figures {
    const char *type;
    bool query;
    series_t *by_status[STATUSES];  // NULL: a service never answers so
};

struct figures {
    struct type_figures *types;  // by name; the last one, "other", is not among the sorted
    size_t type_count;           // without it
    series_t *repeats, *command_seconds, *query_seconds, *batch;
    series_t *outbox_events, *outbox_age, *asked, *parked, *incidents;
    series_t *position, *head, *lag, *leads, *dropped;
    int64_t counted_ms;   // when the tables were looked into; 0: never
    uint64_t stored;      // the cursor then
    uint64_t lag_before;  // our own, a look ago
    bool gaining;         // and it has become less since
};

// -------------------------------------------------------------------------------------------------- making

static int by_name(const void *one, const void *other)
{
    const struct type_figures *a = one, *b = other;

    return strcmp(a->type, b->type);
}

static size_t add_commands(struct type_figures *types, size_t count, const struct command_row *rows)
{
    for (; rows != NULL && rows->on != NULL; rows++)
        types[count++] = (struct type_figures){.type = rows->on->name};
    return count;
}

static size_t add_queries(struct type_figures *types, size_t count, const struct query_row *rows)
{
    for (; rows != NULL && rows->on != NULL; rows++)
        types[count++] = (struct type_figures){.type = rows->on->name, .query = true};
    return count;
}

static size_t count_rows(const struct service *service)
{
    size_t count = 1;  // "other"

    for (const struct command_row *row = operate_commands; row->on != NULL; row++)
        count++;
    for (const struct query_row *row = operate_queries; row->on != NULL; row++)
        count++;
    for (const struct command_row *row = service->commands; row != NULL && row->on != NULL; row++)
        count++;
    for (const struct query_row *row = service->queries; row != NULL && row->on != NULL; row++)
        count++;
    return count;
}

static void make_types(struct figures *figures, const struct service *service, metrics_t *metrics)
{
    static const Bus__V1__Reply__Status statuses[] = {
        BUS__V1__REPLY__STATUS__OK, BUS__V1__REPLY__STATUS__REFUSED, BUS__V1__REPLY__STATUS__UNAVAILABLE,
        BUS__V1__REPLY__STATUS__POISON};
    family_t *messages = family_new(metrics, FAMILY_COUNTER, "tildel_messages_total",
                                    "Commands (own timers' too) and queries, by type and outcome.",
                                    "type outcome");
    struct type_figures *types = calloc(count_rows(service), sizeof *types);
    size_t count = 0;

    assert(types != NULL);
    count = add_commands(types, count, operate_commands);
    count = add_commands(types, count, service->commands);
    count = add_queries(types, count, operate_queries);
    count = add_queries(types, count, service->queries);
    qsort(types, count, sizeof *types, by_name);
    types[count].type = "other";
    for (size_t i = 0; i <= count; i++)
        for (size_t k = 0; k < sizeof statuses / sizeof statuses[0]; k++) {
            const char *outcome = protobuf_c_enum_descriptor_get_value(&bus__v1__reply__status__descriptor,
                                                                       (int)statuses[k])
                                      ->name;
            types[i].by_status[statuses[k]] = SERIES(messages, types[i].type, outcome);
        }
    figures->types = types;
    figures->type_count = count;
}

static void make_work(struct figures *figures, metrics_t *metrics)
{
    family_t *seconds = family_new_histogram(metrics, "tildel_message_seconds",
                                             "From taking a message in hand to its answer.", "kind",
                                             seconds_bounds);

    figures->command_seconds = SERIES(seconds, "command");
    figures->query_seconds = SERIES(seconds, "query");
    figures->batch = family_only(family_new_histogram(
        metrics, "tildel_batch_commands", "Commands that shared one transaction.", "", batch_bounds));
    figures->repeats = series_new(metrics, FAMILY_COUNTER, "tildel_repeats_total",
                                  "Commands that were answered from memory: the same id had been answered.");
    figures->dropped = series_new(metrics, FAMILY_COUNTER, "tildel_dropped_messages_total",
                                  "Messages of the bus that were not canonical, or of no kind we know.");
}

static void make_standing(struct figures *figures, metrics_t *metrics)
{
    const struct {
        series_t **series;
        const char *name, *help;
    } gauges[] = {
        {&figures->outbox_events, "tildel_outbox_events",
         "Events that the log has not acknowledged: this process's own; the leader also tells what others "
         "left."},
        {&figures->outbox_age, "tildel_outbox_age_seconds", "Age of the oldest of these."},
        {&figures->asked, "tildel_asked", "Requests to other processes that are not answered."},
        {&figures->parked, "tildel_parked", "Heard events that wait behind an incident."},
        {&figures->incidents, "tildel_incidents",
         "Open incidents: what stands still until an operator looks."},
        {&figures->position, "tildel_log_position", "How far the log has been heard."},
        {&figures->head, "tildel_log_head", "The last position of the log that this process knows of."},
        {&figures->lag, "tildel_log_lag_events", "How many positions are yet to be heard."},
        {&figures->leads, "tildel_leads", "1 for the instance that hears the log and fires timers."},
    };

    for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++)
        *gauges[i].series = series_new(metrics, FAMILY_GAUGE, gauges[i].name, gauges[i].help);
}

struct figures *figures_new(const struct service *service, vitals_t *vitals)
{
    struct figures *figures = calloc(1, sizeof *figures);
    metrics_t *metrics = vitals_metrics(vitals);

    assert(figures != NULL);
    make_types(figures, service, metrics);
    make_work(figures, metrics);
    make_standing(figures, metrics);
    return figures;
}

void figures_destroy(struct figures **figures_p)
{
    if (*figures_p == NULL)
        return;
    free((*figures_p)->types);
    free(*figures_p);
    *figures_p = NULL;
}

// ------------------------------------------------------------------------------------------------- counting

void figures_message(struct figures *figures, const struct work *work)
{
    const struct type_figures wanted = {.type = work->request->type};
    const struct type_figures *found = bsearch(&wanted, figures->types, figures->type_count, sizeof wanted,
                                               by_name);

    if (found == NULL)
        found = &figures->types[figures->type_count];
    assert(found->by_status[work->status] != NULL);
    series_add(found->by_status[work->status], 1);
    series_observe(found->query ? figures->query_seconds : figures->command_seconds,
                   (double)(clock_stopwatch_ms() - work->began_ms) / 1000);
    if (work->known && !work->timer)
        series_add(figures->repeats, 1);
}

void figures_batch(struct figures *figures, int commands)
{
    series_observe(figures->batch, commands);
}

// --------------------------------------------------------------------------------------------- once a second

// Own events that the log has not acknowledged. The table is asked when something stands still: it takes long on a busy day.
static void look_at_outbox(struct loop *loop, bool incidents)
{
    struct figures *figures = loop->figures;
    struct message message = loop_message(loop);
    int64_t age_ms;
    int events;
    struct rows rows;

    if (!relay_knows(loop, &events, &age_ms) || incidents) {
        if (RUN0(&message, loop_count_outbox, &rows) != OK)
            return;
        events = (int)row_int(&rows, 0, 0);
        age_ms = row_int(&rows, 0, 1);
    }
    series_set(figures->outbox_events, events);
    series_set(figures->outbox_age, (double)age_ms / 1000);
}

// What only the tables know: of the service, whichever instance is asked.
static void look(struct loop *loop)
{
    struct figures *figures = loop->figures;
    struct message message = loop_message(loop);
    int64_t now_ms = clock_stopwatch_ms();
    struct rows rows;

    if ((figures->counted_ms != 0 && now_ms - figures->counted_ms < COUNT_MS) || !loop_connected(loop))
        return;
    figures->counted_ms = now_ms;
    if (RUN0(&message, loop_count, &rows) != OK)
        return;
    series_set(figures->asked, (double)row_int(&rows, 0, 0));
    series_set(figures->parked, (double)row_int(&rows, 0, 1));
    series_set(figures->incidents, (double)row_int(&rows, 0, 3));
    figures->stored = (uint64_t)row_int(&rows, 0, 2);
    uint64_t position = follow_position(loop, figures->stored);
    uint64_t lag = loop->follow != NULL && loop->head > position ? loop->head - position : 0;
    figures->gaining = lag < figures->lag_before;
    figures->lag_before = lag;
    look_at_outbox(loop, row_int(&rows, 0, 3) > 0);
}

static void show(struct loop *loop, uint64_t position, uint64_t lag)
{
    struct figures *figures = loop->figures;

    series_set(figures->position, (double)position);
    series_set(figures->head, (double)(loop->head > position ? loop->head : position));
    series_set(figures->lag, (double)lag);
    series_set(figures->leads, loop_leads(loop));
    series_set(figures->dropped, (double)bus_dropped(loop->bus));
}

int figures_turn(struct loop *loop)
{
    vitals_t *vitals = loop->vitals;
    int due_ms = vitals_due_ms(vitals);

    if (due_ms > 0)
        return due_ms;
    look(loop);
    uint64_t position = follow_position(loop, loop->figures->stored);
    uint64_t lag = loop->follow != NULL && loop->head > position ? loop->head - position : 0;
    show(loop, position, lag);
    if (loop->stopping)
        vitals_doubt(vitals, "it is stopping and takes nothing new");
    vitals_database(vitals, loop->db,
                    loop->down_tries == 0 && loop->answered_ms != 0 &&
                        (loop->stopping || clock_stopwatch_ms() - loop->answered_ms <= LIMIT_SILENCE_MS),
                    loop->waits_for);
    vitals_broker(vitals, bus_broker_alive(loop->bus));
    vitals_feed(vitals, bus_feed_alive(loop->bus));
    if (loop_leads(loop) && lag > LIMIT_LAG_EVENTS && !loop->figures->gaining)
        vitals_doubt(vitals, "it is %llu events behind the log and does not gain on it",
                     (unsigned long long)lag);
    if (follow_halted(loop))
        vitals_doubt(vitals, "the log is not the one that this service has heard; see the alarms in its log");
    vitals_publish(vitals);
    return vitals_due_ms(vitals);
}

void figures_waiting(struct loop *loop)
{
    vitals_database(loop->vitals, loop->db, false, loop->waits_for);
    vitals_publish(loop->vitals);
}
