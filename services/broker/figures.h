// figures: what the broker shows of itself (metrics/vitals.h): its queues, its workers, its answers.
//
// It counts in its own tables (broker.h); here they are only shown. Its services are those of the registry of keys,
// so their number is bounded by its operators.
#pragma once

#include "broker.h"

#include "metrics/vitals.h"

struct broker_figures;

struct broker_figures *broker_figures_new(vitals_t *vitals);
void broker_figures_destroy(struct broker_figures **figures_p);
// Bring the figures up to date. Walks all services and workers: once a second is enough.
void broker_figures_show(struct broker_figures *figures, const struct broker *broker);
