// vitals: how a process is doing.
#include "metrics/vitals.h"

#include "clock/clock.h"
#include "env/env.h"
#include "limits/limits.h"
#include "metrics/endpoint.h"

#include <assert.h>
#include <limits.h>
#include <malloc.h>
#include <stdarg.h>
#include <string.h>

#define REASONS_BYTES 900
#define UNREADY_MS    100    // between two looks while something is missing: that it has come is told soon
#define GIVE_BACK_MS  10000  // between two times that memory is given back

struct vitals {
    metrics_t *metrics;
    endpoint_t *endpoint;  // NULL: METRICS_BIND is not set
    int64_t due_ms;        // by the stopwatch; 0: never published
    int64_t gave_back_ms;  // by the stopwatch
    char reasons[REASONS_BYTES];
    series_t *ready;
    series_t *broker, *feed, *database;  // NULL until known
    series_t *errors[DB_ERROR_CLASSES];
};

vitals_t *vitals_start(const char *service, const char *rule_set)
{
    const char *bind = env_or("METRICS_BIND", NULL);
    vitals_t *vitals = calloc(1, sizeof *vitals);

    assert(vitals != NULL);
    metrics_t *metrics = metrics_new();
    family_t *build = family_new(metrics, FAMILY_GAUGE, "tildel_build_info",
                                 "Always 1; its labels say what this process is.",
                                 "service version rule_set");
    *vitals = (vitals_t){.metrics = metrics,
                         .ready = series_new(metrics, FAMILY_GAUGE, "tildel_ready",
                                             "1 when nothing that the process needs is missing."),
                         .endpoint = bind != NULL ? endpoint_start(bind) : NULL};
    series_set(SERIES(build, service, VERSION, rule_set), 1);
    return vitals;
}

void vitals_destroy(vitals_t **vitals_p)
{
    vitals_t *vitals = *vitals_p;

    if (vitals == NULL)
        return;
    endpoint_destroy(&vitals->endpoint);
    metrics_destroy(&vitals->metrics);
    free(vitals);
    *vitals_p = NULL;
}

metrics_t *vitals_metrics(vitals_t *vitals)
{
    return vitals->metrics;
}

int vitals_due_ms(const vitals_t *vitals)
{
    int64_t left_ms = vitals->due_ms - clock_stopwatch_ms();

    if (vitals->endpoint == NULL)
        return INT_MAX;
    return left_ms > 0 ? (int)left_ms : 0;
}

// -------------------------------------------------------------------------------------------------- doubting

static void doubt(vitals_t *vitals, const char *format, va_list arguments)
{
    size_t used = strlen(vitals->reasons);

    if (used > 0 && used + 3 < sizeof vitals->reasons)
        used += (size_t)sprintf(vitals->reasons + used, "; ");
    vsnprintf(vitals->reasons + used, sizeof vitals->reasons - used, format, arguments);
}

void vitals_doubt(vitals_t *vitals, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    doubt(vitals, format, arguments);
    va_end(arguments);
}

void vitals_broker(vitals_t *vitals, bool alive)
{
    if (vitals->broker == NULL)
        vitals->broker = series_new(vitals->metrics, FAMILY_GAUGE, "tildel_broker_alive",
                                    "1 when the broker was heard within the last seconds.");
    series_set(vitals->broker, alive);
    if (!alive)
        vitals_doubt(vitals, "the broker has not been heard for %d seconds", LIMIT_SILENCE_MS / 1000);
}

void vitals_feed(vitals_t *vitals, bool alive)
{
    if (vitals->feed == NULL)
        vitals->feed = series_new(vitals->metrics, FAMILY_GAUGE, "tildel_feed_alive",
                                  "1 when the event log's feed was heard within the last seconds.");
    series_set(vitals->feed, alive);
    if (!alive)
        vitals_doubt(vitals, "the event log's feed has not been heard for %d seconds",
                     LIMIT_SILENCE_MS / 1000);
}

static void know_database(vitals_t *vitals)
{
    vitals->database = series_new(vitals->metrics, FAMILY_GAUGE, "tildel_database_up",
                                  "1 when the database answered a statement within the last seconds.");
    family_t *errors = family_new(vitals->metrics, FAMILY_COUNTER, "tildel_database_errors_total",
                                  "Errors of the database, by the class of their SQLSTATE.", "class");
    for (int i = 0; i < DB_ERROR_CLASSES; i++)
        vitals->errors[i] = SERIES(errors, db_error_class(i));
}

void vitals_database(vitals_t *vitals, const db_t *db, bool up, const char *reason)
{
    if (vitals->database == NULL)
        know_database(vitals);
    series_set(vitals->database, up);
    for (int i = 0; i < DB_ERROR_CLASSES; i++)
        series_set(vitals->errors[i], (double)db_errors(db, i));
    if (!up && reason != NULL && *reason != '\0')
        vitals_doubt(vitals, "%s", reason);
    else if (!up)
        vitals_doubt(vitals, "the database does not answer");
}

// ------------------------------------------------------------------------------------------------ publishing

// What malloc holds and nobody uses. It looks through all that is free, so this is not for every turn.
static void give_back(vitals_t *vitals, int64_t now_ms)
{
    if (now_ms - vitals->gave_back_ms < GIVE_BACK_MS)
        return;
    vitals->gave_back_ms = now_ms;
    malloc_trim(0);
}

void vitals_publish(vitals_t *vitals)
{
    bool ready = vitals->reasons[0] == '\0';
    int64_t now_ms = clock_stopwatch_ms();
    char *text = NULL;
    size_t size = 0;

    vitals->due_ms = now_ms + (ready ? LIMIT_HEARTBEAT_MS : UNREADY_MS);
    series_set(vitals->ready, ready);
    if (vitals->endpoint != NULL) {
        FILE *to = open_memstream(&text, &size);
        assert(to != NULL);
        metrics_write(vitals->metrics, to);
        int closed = fclose(to);
        assert(closed == 0);
        endpoint_show(vitals->endpoint, text, size, ready ? NULL : vitals->reasons);
    }
    give_back(vitals, now_ms);
    vitals->reasons[0] = '\0';
}

void vitals_waiting(vitals_t *vitals, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    doubt(vitals, format, arguments);
    va_end(arguments);
    vitals_publish(vitals);
}
