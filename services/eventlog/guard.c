// guard: what witnesses and consumers hold must be in the log before it goes on.
//
// A database may come back as an older copy of itself: restored, or failed over to a standby that lagged. Whoever
// appended then would give positions out a second time. So the writer asks those who remember. The witness must answer,
// for it may be the only one; the services are asked as well and whoever is up answers within milliseconds.
#include "eventlog.h"

#include "clock/clock.h"
#include "limits/limits.h"
#include "log/log.h"
#include "service_v1.pb-c.h"
#include "values/values.h"
#include "witness_v1.pb-c.h"

#include <string.h>

#define WITNESS_MS  5000  // one try
#define SERVICES_MS 500   // all of them together

static const char *const consumers[] = {"intake",     "approval", "evaluation",
                                        "allocation", "payment",  "reporting"};
#define CONSUMERS (sizeof consumers / sizeof consumers[0])

static status_t ask_witness(const struct eventlog *log, struct message *message, bus_t *bus)
{
    const Witness__V1__Witnessed *told;
    struct incoming answer;

    if (!bus_call(bus, message->arena, "witness", uuid_new(message->arena, clock_real_us()),
                  witness__v1__get_witnessed__descriptor.name, NULL, WITNESS_MS, NULL, 0, &answer) ||
        answer.reply->status != BUS__V1__REPLY__STATUS__OK)
        return fail(message, RETRY,
                    "the witness does not answer, and without it nobody can say whether the database is "
                    "the newest copy of the log");
    status_t status = message_decode(message, &witness__v1__witnessed__descriptor, answer.body,
                                     answer.body_size, &told);
    if (status == OK && told->root.len != TREE_HASH)
        status = fail(message, POISON, "the witness tells a root of %zu bytes", told->root.len);
    if (status == OK)
        status = log_extends(message, &log->tree, told->size, told->root.data, "the witness holds");
    return status;
}

static status_t judge_service(const struct eventlog *log, struct message *message,
                              const struct incoming *answer)
{
    struct message own = message_new(message->arena);
    const Service__V1__Status *told;

    if (answer->reply->status != BUS__V1__REPLY__STATUS__OK ||
        message_decode(&own, &service__v1__status__descriptor, answer->body, answer->body_size, &told) !=
            OK ||
        told->position <= log->tree.size)
        return OK;
    return fail(message, REFUSED,
                "the service '%s' has heard position %llu and the database ends at %llu: is this an older "
                "copy? bring the "
                "newer one, or run tildel-eventlog --repair",
                told->service, (unsigned long long)told->position, (unsigned long long)log->tree.size);
}

static status_t ask_services(const struct eventlog *log, struct message *message, bus_t *bus)
{
    int64_t until_ms = clock_stopwatch_ms() + SERVICES_MS;
    size_t waiting = 0;
    status_t status = OK;

    for (size_t i = 0; i < CONSUMERS; i++)
        waiting += bus_ask(bus, consumers[i], uuid_new(message->arena, clock_real_us()),
                           service__v1__get_status__descriptor.name, NULL, "", SERVICES_MS, NULL, 0);
    while (status == OK && waiting > 0 && clock_stopwatch_ms() < until_ms) {
        struct incoming incoming = bus_next(bus, message->arena, (int)(until_ms - clock_stopwatch_ms()));
        if (incoming.kind == INCOMING_STOP)
            break;
        if (incoming.kind != INCOMING_REPLY)
            continue;
        waiting--;
        status = judge_service(log, message, &incoming);
    }
    return status;
}

// A registry of an older stack may not let the log ask: that is told, and no reason to stand still.
static bool may_ask(const registry_t *registry, const char *service)
{
    const struct registered *own = registry_by_name(registry, "eventlog");

    if (!registry_serves(registry, service))
        return false;
    if (own != NULL && registered_asks(own, service))
        return true;
    log_alarm("the registry does not let the event log ask those who could know better", "service", service,
              "remedy", "add it to the line 'asks' of eventlog in registry.zpl", NULL);
    return false;
}

status_t guard_check(const struct eventlog *log, struct message *message, const registry_t *registry,
                     bool *ret_stop)
{
    struct bus_config config = bus_config_from_env("eventlog");
    bool witness = may_ask(registry, "witness"), services = may_ask(registry, consumers[0]);
    status_t status = OK;

    *ret_stop = false;
    if (!witness && !services)
        return OK;
    config.feed = NULL;
    bus_t *bus = bus_connect(&config);
    if (witness)
        status = ask_witness(log, message, bus);
    if (status == OK && services)
        status = ask_services(log, message, bus);
    *ret_stop = bus_next(bus, message->arena, 0).kind == INCOMING_STOP;
    bus_destroy(&bus);
    return status;
}
