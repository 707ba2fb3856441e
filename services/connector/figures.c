// figures: how the connector is doing, for whoever watches it (metrics/vitals.h).
#include "connector.h"

#include "limits/limits.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LEAST_BYTES (1024 * 1024)  // a tray with less room than a file may take is full

struct connector_figures {
    series_t *orders[POISON + 1];
    series_t *told, *refused, *poison, *rejected, *files, *oldest;
};

struct connector_figures *connector_figures_new(vitals_t *vitals)
{
    metrics_t *metrics = vitals_metrics(vitals);
    family_t *orders = family_new(metrics, FAMILY_COUNTER, "tildel_orders_total",
                                  "Orders of the payment service, by what it was answered.", "outcome");
    family_t *statuses = family_new(
        metrics, FAMILY_COUNTER, "tildel_statuses_total",
        "What the bank said about payments, by what the payment service answered.", "outcome");
    struct connector_figures *figures = calloc(1, sizeof *figures);

    assert(figures != NULL);
    *figures = (struct connector_figures){
        .orders = {[OK] = SERIES(orders, "OK"),
                   [REFUSED] = SERIES(orders, "REFUSED"),
                   [RETRY] = SERIES(orders, "UNAVAILABLE"),
                   [POISON] = SERIES(orders, "POISON")},
        .told = SERIES(statuses, "OK"),
        .refused = SERIES(statuses, "REFUSED"),
        .poison = SERIES(statuses, "POISON"),
        .rejected = series_new(metrics, FAMILY_COUNTER, "tildel_rejected_files_total",
                               "Files of the bank that were laid under rejected."),
        .files = series_new(metrics, FAMILY_GAUGE, "tildel_intray_files", "Files that wait in the in-tray."),
        .oldest = series_new(metrics, FAMILY_GAUGE, "tildel_intray_oldest_seconds",
                             "Since the oldest of them was written."),
    };
    return figures;
}

void connector_figures_destroy(struct connector_figures **figures_p)
{
    free(*figures_p);
    *figures_p = NULL;
}

void connector_figures_order(struct connector_figures *figures, status_t outcome)
{
    series_add(figures->orders[outcome], 1);
}

const char *trays_fault(arena_t *arena, const struct trays *trays)
{
    const char *const folders[] = {trays->out,  trays->making,   trays->in,
                                   trays->done, trays->rejected, trays->state};

    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        struct statvfs volume;
        if (access(folders[i], R_OK | W_OK | X_OK) != 0 || statvfs(folders[i], &volume) != 0)
            return arena_printf(arena, "the folder %s cannot be written: %s", folders[i], strerror(errno));
        if (volume.f_bavail * volume.f_frsize < LEAST_BYTES)
            return arena_printf(arena, "the volume of %s is full", folders[i]);
    }
    return NULL;
}

void connector_figures_show(struct connector_figures *figures, vitals_t *vitals, const struct trays *trays,
                            const struct intray_counts *counts)
{
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    const char *fault = trays_fault(arena, trays);

    series_set(figures->told, (double)counts->told);
    series_set(figures->refused, (double)counts->refused);
    series_set(figures->poison, (double)counts->poison);
    series_set(figures->rejected, (double)counts->rejected);
    series_set(figures->files, counts->files);
    series_set(figures->oldest, (double)counts->oldest_ms / 1000);
    if (fault != NULL)
        vitals_doubt(vitals, "%s", fault);
    arena_destroy(&arena);
}
