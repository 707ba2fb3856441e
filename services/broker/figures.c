// figures: what the broker shows of itself.
#include "figures.h"

#include <assert.h>
#include <stdlib.h>

struct broker_figures {
    family_t *requests, *waiting, *oldest, *refused_full, *workers, *outstanding, *dropped;
    series_t *bytes;
};

struct broker_figures *broker_figures_new(vitals_t *vitals)
{
    metrics_t *metrics = vitals_metrics(vitals);
    struct broker_figures *figures = calloc(1, sizeof *figures);

    assert(figures != NULL);
    *figures = (struct broker_figures){
        .requests = family_new(metrics, FAMILY_COUNTER, "tildel_requests_total",
                               "Requests by their service and the answer that went back, whoever gave it.",
                               "service status"),
        .waiting = family_new(metrics, FAMILY_GAUGE, "tildel_queue_requests",
                              "Requests that wait for a free worker.", "service"),
        .oldest = family_new(metrics, FAMILY_GAUGE, "tildel_queue_oldest_seconds",
                             "How long the first of them has waited.", "service"),
        .refused_full = family_new(metrics, FAMILY_COUNTER, "tildel_queue_full_total",
                                   "Requests told to come back, for want of room or of time, before any work.", "service"),
        .workers = family_new(metrics, FAMILY_GAUGE, "tildel_workers",
                              "Workers that serve this name and take requests.", "service"),
        .outstanding = family_new(metrics, FAMILY_GAUGE, "tildel_worker_outstanding",
                                  "Requests handed to workers and not answered.", "service"),
        .dropped = family_new(metrics, FAMILY_COUNTER, "tildel_packets_dropped_total",
                              "Packets that went nowhere, by the reason.", "reason"),
        .bytes = series_new(metrics, FAMILY_GAUGE, "tildel_queue_bytes",
                            "What all requests under way take in memory."),
    };
    return figures;
}

void broker_figures_destroy(struct broker_figures **figures_p)
{
    free(*figures_p);
    *figures_p = NULL;
}

static void show_answers(struct broker_figures *figures, const char *service, const struct tally *tally)
{
    for (int status = BUS__V1__REPLY__STATUS__OK; status < TALLY_STATUSES; status++) {
        const char *name = protobuf_c_enum_descriptor_get_value(&bus__v1__reply__status__descriptor, status)
                               ->name;
        series_set(SERIES(figures->requests, service, name), (double)tally->by_status[status]);
    }
}

static void show_queue(struct broker_figures *figures, const struct broker *broker,
                       const struct office *office)
{
    const struct task *oldest = zlistx_head(office->waiting);

    series_set(SERIES(figures->waiting, office->name), (double)zlistx_size(office->waiting));
    series_set(SERIES(figures->oldest, office->name),
               oldest != NULL ? (double)(broker->now_ms - oldest->arrived_ms) / 1000 : 0);
    series_set(SERIES(figures->refused_full, office->name), (double)office->refused_full);
}

static void show_workers(struct broker_figures *figures, const struct broker *broker,
                         const struct office *office)
{
    size_t workers = 0, outstanding = 0;

    for (struct worker *worker = zhashx_first(broker->workers); worker;
         worker = zhashx_next(broker->workers)) {
        if (worker->office != office)
            continue;
        workers += !worker->draining;
        outstanding += zlistx_size(worker->tasks);
    }
    series_set(SERIES(figures->workers, office->name), (double)workers);
    series_set(SERIES(figures->outstanding, office->name), (double)outstanding);
}

void broker_figures_show(struct broker_figures *figures, const struct broker *broker)
{
    for (struct office *office = zhashx_first(broker->offices); office;
         office = zhashx_next(broker->offices)) {
        show_answers(figures, office->name, &office->answers);
        show_queue(figures, broker, office);
        show_workers(figures, broker, office);
    }
    show_answers(figures, "broker", &broker->own_answers);
    show_answers(figures, "other", &broker->other_answers);
    for (int why = 0; why < DROPS; why++)
        series_set(SERIES(figures->dropped, drop_name(why)), (double)broker->drops.counts[why]);
    series_set(figures->bytes, (double)broker->task_bytes);
}
