// metrics: the figures of a process: counters, gauges and histograms with labels, and their text as Prometheus
// reads it (text exposition format 0.0.4).
//
// A figure is found once, when it is made, and then changed through its pointer: counting costs an addition, and
// no memory. A label's value must come from a list of our own (the rows of a table, a SQLSTATE class), never
// from a message, or whoever sends messages decides how much memory this takes.
//
// Not shared between threads: one thread makes, changes and writes them.
#pragma once

#include <stdint.h>
#include <stdio.h>

typedef struct metrics metrics_t;  // all figures of a process
typedef struct family family_t;    // all figures of one name
typedef struct series series_t;    // one figure: a family and its labels' values

enum family_kind {
    FAMILY_COUNTER,    // only grows; its name ends in _total
    FAMILY_GAUGE,      // goes up and down
    FAMILY_HISTOGRAM,  // how often which size was seen
};

// Never NULL.
metrics_t *metrics_new(void);
void metrics_destroy(metrics_t **metrics_p);

// A new family. name and labels are kept as pointers and must outlive it: literals. labels: the names in their
// order, separated by one space; "" none. A second family of the same name is a fault of the program (asserted).
// Families are written in the order in which they were made, those without a series not at all.
family_t *family_new(metrics_t *metrics, enum family_kind kind, const char *name, const char *help,
                     const char *labels);
// A histogram's family: bounds are the upper bounds of its buckets, ascending, the last one INFINITY. A value
// equal to a bound is within it. Kept as a pointer.
family_t *family_new_histogram(metrics_t *metrics, const char *name, const char *help, const char *labels,
                               const double bounds[]);

// The series with these values, one for each label in their order; made at 0 when it is not there. The values
// are copied. Not for the hot path.
series_t *family_series(family_t *family, const char *const values[]);
#define SERIES(family, ...) family_series(family, (const char *const[]){__VA_ARGS__})
// For a family without labels.
series_t *family_only(family_t *family);
// A family without labels and its one series.
series_t *series_new(metrics_t *metrics, enum family_kind kind, const char *name, const char *help);

// Counters and gauges. series_set on a counter is for what is counted elsewhere and only shown here.
void series_add(series_t *series, double amount);
void series_set(series_t *series, double value);
// Histograms.
void series_observe(series_t *series, double value);

// Write everything.
void metrics_write(const metrics_t *metrics, FILE *to);
