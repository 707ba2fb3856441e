// vitals: how a process is doing, for whoever watches it: its figures, whether it is live and whether it is ready.
//
// live:  its loop turned within LIMIT_TURN_MS. Restarting helps a process that is not live.
// ready: nothing that it needs is missing. Restarting helps no process that is live and not ready; it says on what
//        it waits.
//
// A loop asks vitals_due_ms once a turn; when it is due, it says what it doubts (why it may not be ready) and
// publishes. With METRICS_BIND not set there is no endpoint, nothing is due, and all of this costs nothing.
#pragma once

#include "db/db.h"
#include "metrics/metrics.h"

#include <stdbool.h>

typedef struct vitals vitals_t;

// Begin: figures that all processes have, and the endpoint at METRICS_BIND. Call early, so that a process that
// waits is seen. rule_set "" where there are no rules. Ends the process with a sentence when METRICS_BIND is
// malformed or taken.
vitals_t *vitals_start(const char *service, const char *rule_set);
void vitals_destroy(vitals_t **vitals_p);
metrics_t *vitals_metrics(vitals_t *vitals);

// In how many milliseconds shall the loop publish? 0: now; INT_MAX: never, without an endpoint. Once a
// second, and more often while it is not ready.
int vitals_due_ms(const vitals_t *vitals);

// What is known of the others it needs; a doubt when it is missing. Processes that need none of these do not call
// them, and have no such figures. reason may be NULL.
void vitals_broker(vitals_t *vitals, bool alive);
void vitals_feed(vitals_t *vitals, bool alive);
void vitals_database(vitals_t *vitals, const db_t *db, bool up, const char *reason);

// A reason why the process is not ready, in words for an operator: lower case, no full stop. Several are told one
// after the other.
void vitals_doubt(vitals_t *vitals, const char *format, ...) __attribute__((format(printf, 2, 3)));

// The turn's figures and doubts are told from now on; the doubts are forgotten. Every ten seconds the memory that a burst
// has needed and nobody uses any longer goes back to the system.
void vitals_publish(vitals_t *vitals);

// For loops that wait before they can serve: doubt and publish. Call at least every few seconds.
void vitals_waiting(vitals_t *vitals, const char *format, ...) __attribute__((format(printf, 2, 3)));

// A program's option --health [live|ready]: ask the process that serves METRICS_BIND (* is asked at 127.0.0.1),
// wait at most LIMIT_HEALTH_MS, print what it says. words are the arguments after --health. Exit codes: 0 it is,
// 2 wrong usage, 3 it is not, does not answer, or METRICS_BIND is not set.
int health_main(int count, char *words[]);
