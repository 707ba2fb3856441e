// metrics: the figures of a process and their text. The format: Prometheus, "Exposition formats", text-based 0.0.4.
#include "metrics/metrics.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define EXACT_INTEGERS 9007199254740992.0  // 2^53: up to here a double holds every whole number

struct series {
    const family_t *family;
    char *labels;       // as written between the braces; "" none
    double value;       // of a histogram: the sum of what was seen
    uint64_t *buckets;  // of a histogram: how often, one for each bound, not yet cumulative
    series_t *next;
};

struct family {
    enum family_kind kind;
    const char *name;
    const char *help;
    const char *labels;
    const double *bounds;  // of a histogram
    int bound_count;
    series_t *first, **last;
    family_t *next;
};

struct metrics {
    family_t *first, **last;
};

static void *zeroed(size_t size)
{
    void *memory = calloc(1, size);

    assert(memory != NULL);
    return memory;
}

// -------------------------------------------------------------------------------------------------- making

metrics_t *metrics_new(void)
{
    metrics_t *metrics = zeroed(sizeof *metrics);

    metrics->last = &metrics->first;
    return metrics;
}

static void series_free(series_t *series)
{
    free(series->labels);
    free(series->buckets);
    free(series);
}

static void family_free(family_t *family)
{
    while (family->first != NULL) {
        series_t *series = family->first;
        family->first = series->next;
        series_free(series);
    }
    free(family);
}

void metrics_destroy(metrics_t **metrics_p)
{
    metrics_t *metrics = *metrics_p;

    if (metrics == NULL)
        return;
    while (metrics->first != NULL) {
        family_t *family = metrics->first;
        metrics->first = family->next;
        family_free(family);
    }
    free(metrics);
    *metrics_p = NULL;
}

family_t *family_new(metrics_t *metrics, enum family_kind kind, const char *name, const char *help,
                     const char *labels)
{
    family_t *family = zeroed(sizeof *family);

    for (const family_t *other = metrics->first; other != NULL; other = other->next)
        assert(strcmp(other->name, name) != 0);
    *family = (family_t){.kind = kind, .name = name, .help = help, .labels = labels};
    family->last = &family->first;
    *metrics->last = family;
    metrics->last = &family->next;
    return family;
}

family_t *family_new_histogram(metrics_t *metrics, const char *name, const char *help, const char *labels,
                               const double bounds[])
{
    family_t *family = family_new(metrics, FAMILY_HISTOGRAM, name, help, labels);

    family->bounds = bounds;
    family->bound_count = 1;
    while (!isinf(bounds[family->bound_count - 1])) {
        assert(bounds[family->bound_count] > bounds[family->bound_count - 1]);
        family->bound_count++;
    }
    return family;
}

// Backslash, line feed and, in a label's value, the quote would end what they stand in.
static void write_escaped(FILE *to, const char *text, bool quoted)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            fputs("\\n", to);
        else if (*text == '\\' || (quoted && *text == '"'))
            fprintf(to, "\\%c", *text);
        else
            fputc(*text, to);
    }
}

// name="value",name="value"
static char *labels_of(const family_t *family, const char *const values[])
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    assert(to != NULL);
    for (const char *name = family->labels; *name != '\0'; values++) {
        size_t length = strcspn(name, " ");
        fprintf(to, "%s%.*s=\"", name == family->labels ? "" : ",", (int)length, name);
        write_escaped(to, *values, true);
        fputc('"', to);
        name += length + (name[length] == ' ');
    }
    int closed = fclose(to);
    assert(closed == 0 && text != NULL);
    return text;
}

series_t *family_series(family_t *family, const char *const values[])
{
    char *labels = labels_of(family, values);

    for (series_t *series = family->first; series != NULL; series = series->next) {
        if (strcmp(series->labels, labels) == 0) {
            free(labels);
            return series;
        }
    }
    series_t *series = zeroed(sizeof *series);
    series->family = family;
    series->labels = labels;
    if (family->kind == FAMILY_HISTOGRAM)
        series->buckets = zeroed((size_t)family->bound_count * sizeof *series->buckets);
    *family->last = series;
    family->last = &series->next;
    return series;
}

series_t *family_only(family_t *family)
{
    assert(family->labels[0] == '\0');
    return family_series(family, NULL);
}

series_t *series_new(metrics_t *metrics, enum family_kind kind, const char *name, const char *help)
{
    return family_only(family_new(metrics, kind, name, help, ""));
}

// ------------------------------------------------------------------------------------------------- changing

void series_add(series_t *series, double amount)
{
    assert(series->family->kind == FAMILY_GAUGE || amount >= 0);
    assert(series->family->kind != FAMILY_HISTOGRAM);
    series->value += amount;
}

void series_set(series_t *series, double value)
{
    assert(series->family->kind != FAMILY_HISTOGRAM);
    series->value = value;
}

void series_observe(series_t *series, double value)
{
    const family_t *family = series->family;
    int bucket = 0;

    assert(family->kind == FAMILY_HISTOGRAM);
    while (bucket < family->bound_count - 1 && value > family->bounds[bucket])
        bucket++;
    series->buckets[bucket]++;
    series->value += value;
}

// -------------------------------------------------------------------------------------------------- writing

// The shortest text that reads back as the same number.
static void write_number(FILE *to, double value)
{
    char text[32];

    if (isnan(value)) {
        fputs("NaN", to);
    } else if (isinf(value)) {
        fputs(value > 0 ? "+Inf" : "-Inf", to);
    } else if (value == floor(value) && fabs(value) < EXACT_INTEGERS) {
        fprintf(to, "%.0f", value);
    } else {
        snprintf(text, sizeof text, "%.15g", value);
        fprintf(to, strtod(text, NULL) == value ? "%.15g" : "%.17g", value);
    }
}

static void write_line(FILE *to, const char *name, const char *suffix, const char *labels, double value)
{
    fprintf(to, *labels != '\0' ? "%s%s{%s} " : "%s%s%s ", name, suffix, labels);
    write_number(to, value);
    fputc('\n', to);
}

static void write_histogram(FILE *to, const series_t *series)
{
    const family_t *family = series->family;
    uint64_t so_far = 0;

    for (int i = 0; i < family->bound_count; i++) {
        so_far += series->buckets[i];
        fprintf(to, "%s_bucket{%s%sle=\"", family->name, series->labels, *series->labels != '\0' ? "," : "");
        write_number(to, family->bounds[i]);
        fprintf(to, "\"} %llu\n", (unsigned long long)so_far);
    }
    write_line(to, family->name, "_sum", series->labels, series->value);
    write_line(to, family->name, "_count", series->labels, (double)so_far);
}

static void write_family(FILE *to, const family_t *family)
{
    static const char *const kinds[] = {
        [FAMILY_COUNTER] = "counter", [FAMILY_GAUGE] = "gauge", [FAMILY_HISTOGRAM] = "histogram"};

    fprintf(to, "# HELP %s ", family->name);
    write_escaped(to, family->help, false);
    fprintf(to, "\n# TYPE %s %s\n", family->name, kinds[family->kind]);
    for (const series_t *series = family->first; series != NULL; series = series->next) {
        if (family->kind == FAMILY_HISTOGRAM)
            write_histogram(to, series);
        else
            write_line(to, family->name, "", series->labels, series->value);
    }
}

void metrics_write(const metrics_t *metrics, FILE *to)
{
    for (const family_t *family = metrics->first; family != NULL; family = family->next)
        if (family->first != NULL)
            write_family(to, family);
}
