// status: who is up, how far everyone is, what stands still; the calendar of a rehearsal; incidents and going
// on after them.
#include "console.h"

#include "table.h"

#include "clock/clock.h"
#include "service_v1.pb-c.h"
#include "values/values.h"
#include "witness_v1.pb-c.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define PATIENCE_MS        3000  // for one service's status
#define UNSENT_TOO_LONG_MS 10000
#define LAG_TOO_LONG       1000   // events
#define GONE_MS            10000  // since an instance last reported
#define SETTLE_MS          60000
#define POLL_MS            100

typedef Service__V1__Status Status;

struct overview {
    struct console *console;
    Bus__V1__Peers *peers;
    const Eventlog__V1__Head *head;  // NULL: the event log does not answer
    const Witness__V1__Witnessed *witnessed;  // NULL: no witness, or it does not answer
    struct {
        const char *name;
        Status *status;  // NULL: not up, or did not answer
        json_t *json;
    } services[8];
    size_t count;
    json_t *faults;  // sentences; empty: all is well
};

static unsigned workers_of(const Bus__V1__Peers *peers, const char *service)
{
    unsigned count = 0;

    for (size_t i = 0; i < peers->n_workers; i++)
        count += strcmp(peers->workers[i]->service, service) == 0;
    return count;
}

static int get_peers(struct console *console, Bus__V1__Peers **ret)
{
    Bus__V1__GetPeers request = BUS__V1__GET_PEERS__INIT;

    return query(console, &request, &bus__v1__peers__descriptor, ret);
}

static int get_status(struct console *console, const char *service, Status **ret)
{
    Service__V1__GetStatus request = SERVICE__V1__GET_STATUS__INIT;

    return ask_message(console, service, uuid_new(console->arena, clock_real_us()), &request,
                       &service__v1__status__descriptor, ret);
}

// The last answer as a JSON value.
static json_t *answer_json(struct console *console)
{
    const struct incoming *answer = &console->answer;
    const char *text = protojson_decode(console_contract(console), console->arena, answer->reply->type,
                                        answer->body, answer->body_size, false);

    return text != NULL ? json_loads(text, 0, NULL) : json_null();
}

__attribute__((format(printf, 2, 3))) static void complain(struct overview *at, const char *format, ...)
{
    char sentence[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    json_array_append_new(at->faults, json_string(sentence));
}

// ----------------------------------------------------------------------------------------------------- judge

static void judge_service(struct overview *at, const Status *status)
{
    const char *name = status->service;

    if (status->n_incidents > 0)
        complain(at, "%s has %zu incidents; tildel incident list tells them", name, status->n_incidents);
    if (status->oldest_unsent_ms > UNSENT_TOO_LONG_MS)
        complain(at, "%s has not got an event into the log for %llu seconds", name,
                 (unsigned long long)status->oldest_unsent_ms / 1000);
    if (status->lag > LAG_TOO_LONG)
        complain(at, "%s is %llu events behind the log", name, (unsigned long long)status->lag);
    bool leads = false;
    for (size_t i = 0; i < status->n_instances; i++) {
        const Service__V1__Status__Instance *instance = status->instances[i];
        if (instance->reported_ms_ago > GONE_MS)
            continue;
        leads = leads || instance->leads;
        if (!instance->broker_alive || !instance->feed_alive)
            complain(at, "%s (%s) does not hear from the %s", name, instance->name,
                     instance->broker_alive ? "event log" : "broker");
    }
    if (!leads)
        complain(at, "no instance of %s leads: none hears events and fires timers", name);
}

static void look_at_service(struct overview *at, const char *name)
{
    size_t index = at->count++;

    at->services[index].name = name;
    at->services[index].json = json_null();
    if (workers_of(at->peers, name) == 0) {
        complain(at, "%s is not up", name);
    } else if (get_status(at->console, name, &at->services[index].status) != EXIT_DONE) {
        at->services[index].status = NULL;
        complain(at, "%s does not tell how it is", name);
    } else {
        at->services[index].json = answer_json(at->console);
        judge_service(at, at->services[index].status);
    }
}

static void look_at_log(struct overview *at)
{
    at->head = NULL;
    if (workers_of(at->peers, "eventlog") == 0)
        complain(at, "eventlog is not up");
    else if (read_head(at->console, &at->head) != EXIT_DONE)
        complain(at, "eventlog does not tell its head");
    else if (at->head->rehearsal != at->peers->rehearsal)
        complain(at, "the broker and the event log disagree on whether this is a rehearsal");
}

static json_t *look_at_witness(struct overview *at)
{
    Witness__V1__GetWitnessed request = WITNESS__V1__GET_WITNESSED__INIT;
    Witness__V1__Witnessed *told;

    if (workers_of(at->peers, "witness") == 0) {
        complain(at, "no witness is up: nobody else holds what the log has said");
        return json_null();
    }
    if (ask_message(at->console, "witness", uuid_new(at->console->arena, clock_real_us()), &request,
                    &witness__v1__witnessed__descriptor, &told) != EXIT_DONE) {
        complain(at, "the witness does not tell what it holds");
        return json_null();
    }
    at->witnessed = told;
    if (told->alarm[0] != '\0')
        complain(at, "the witness is in alarm: %s", told->alarm);
    return answer_json(at->console);
}

// ----------------------------------------------------------------------------------------------------- print

static void print_json(const struct overview *at, json_t *peers, json_t *head, json_t *witness)
{
    json_t *services = json_object();

    for (size_t i = 0; i < at->count; i++)
        json_object_set(services, at->services[i].name, at->services[i].json);
    json_t *output = json_pack("{s:b, s:O, s:O, s:O, s:O, s:o}", "well", (int)(json_array_size(at->faults) == 0),
                               "faults", at->faults, "peers", peers, "head", head, "witness", witness, "services",
                               services);
    json_dumpf(output, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(output);
}

// The number as a cell; in a status every figure is one.
static const char *cell(const struct overview *at, uint64_t number)
{
    return arena_printf(at->console->arena, "%llu", (unsigned long long)number);
}

static const Bus__V1__Peers__Queue *queue_of(const struct overview *at, const char *service)
{
    static const Bus__V1__Peers__Queue none = BUS__V1__PEERS__QUEUE__INIT;

    for (size_t i = 0; i < at->peers->n_queues; i++)
        if (strcmp(at->peers->queues[i]->service, service) == 0)
            return at->peers->queues[i];
    return &none;
}

// status NULL: it tells nothing of itself, or did not answer.
static void print_service(const struct overview *at, table_t *table, const char *name, const Status *status)
{
    const Bus__V1__Peers__Queue *queue = queue_of(at, name);
    const char *up = cell(at, workers_of(at->peers, name)), *waiting = cell(at, queue->waiting),
               *waited = cell(at, queue->oldest_ms), *full = cell(at, queue->refused_full);

    if (status == NULL)
        table_row(table, (const char *[]){name, up, waiting, waited, full, "-", "-", "-", "-", "-", "-"});
    else
        table_row(table, (const char *[]){name, up, waiting, waited, full, cell(at, status->position),
                                          cell(at, status->lag), cell(at, status->unsent),
                                          cell(at, status->oldest_unsent_ms), cell(at, status->asked),
                                          cell(at, status->n_incidents)});
}

static void print_services(const struct overview *at)
{
    static const struct column columns[] = {{"service", false},  {"up", true},        {"waiting", true},
                                            {"waited ms", true}, {"full", true},      {"heard", true},
                                            {"lag", true},       {"unsent", true},    {"oldest ms", true},
                                            {"asked", true},     {"incidents", true}, {NULL, false}};
    table_t *table = table_new(at->console->arena, columns);

    print_service(at, table, "eventlog", NULL);
    for (size_t i = 0; i < at->count; i++)
        print_service(at, table, at->services[i].name, at->services[i].status);
    print_service(at, table, "witness", NULL);
    print_service(at, table, "finance", NULL);
    table_print(table, stdout);
}

static void print_instance(const struct overview *at, table_t *table, const char *service,
                           const Service__V1__Status__Instance *instance)
{
    const char *gone = instance->reported_ms_ago > GONE_MS ? "gone" : "yes";

    table_row(table,
              (const char *[]){service, instance->name, instance->leads ? "yes" : "",
                               instance->broker_alive ? gone : "no", instance->feed_alive ? gone : "no",
                               cell(at, instance->uptime_ms / 1000), cell(at, instance->commands),
                               cell(at, instance->queries), cell(at, instance->reported_ms_ago)});
}

static void print_instances(const struct overview *at)
{
    static const struct column columns[] = {
        {"service", false}, {"instance", false}, {"leads", false},  {"broker", false},     {"feed", false},
        {"up s", true},     {"commands", true},  {"queries", true}, {"told ms ago", true}, {NULL, false}};
    table_t *table = table_new(at->console->arena, columns);

    for (size_t i = 0; i < at->count; i++) {
        const Status *status = at->services[i].status;
        for (size_t k = 0; status != NULL && k < status->n_instances; k++)
            print_instance(at, table, at->services[i].name, status->instances[k]);
    }
    putchar('\n');
    table_print(table, stdout);
}

static void print_tables(const struct overview *at)
{
    arena_t *arena = at->console->arena;

    printf("%s, calendar %s\n", at->peers->rehearsal ? "REHEARSAL" : "real stack",
           moment_text(arena, at->peers->calendar_at_us));
    if (at->head != NULL)
        printf("log %s: %llu events, root %s, epoch %llu\n", at->head->log_id,
               (unsigned long long)at->head->position, hex(arena, at->head->root.data, at->head->root.len),
               (unsigned long long)at->head->epoch);
    if (at->witnessed != NULL)
        printf("witness: holds %llu events, cosigned %llu\n", (unsigned long long)at->witnessed->size,
               (unsigned long long)at->witnessed->cosigned);
    printf("broker: %llu packets dropped\n\n", (unsigned long long)at->peers->dropped);
    print_services(at);
    print_instances(at);
}

static int run_status(struct console *console)
{
    struct overview at = {.console = console, .faults = json_array()};

    if (option_text(console, "timeout") == NULL)
        console->timeout_ms = PATIENCE_MS;
    int code = get_peers(console, &at.peers);
    if (code != EXIT_DONE) {
        json_decref(at.faults);
        return code;
    }
    json_t *peers = answer_json(console);
    look_at_log(&at);
    json_t *head = at.head != NULL ? answer_json(console) : json_null();
    json_t *witness = look_at_witness(&at);
    for (size_t i = 0; service_names[i] != NULL; i++)
        look_at_service(&at, service_names[i]);
    if (workers_of(at.peers, "finance") == 0)
        complain(&at, "no finance connector is up: payments wait");
    if (console->json)
        print_json(&at, peers, head, witness);
    else
        print_tables(&at);
    size_t faults = json_array_size(at.faults);
    for (size_t i = 0; i < faults; i++)
        fault(EXIT_REFUSED, "%s", json_string_value(json_array_get(at.faults, i)));
    for (size_t i = 0; i < at.count; i++)
        json_decref(at.services[i].json);
    json_decref(peers);
    json_decref(head);
    json_decref(witness);
    json_decref(at.faults);
    return faults == 0 ? EXIT_DONE : EXIT_REFUSED;
}

// ---------------------------------------------------------------------------------------------------- settle

// Is every event in the log, and has everyone heard all of it? Looked at twice, since what is heard may lead
// to more.
static int look_if_settled(struct console *console, bool *ret_settled)
{
    const Eventlog__V1__Head *head, *after;
    Status *status;

    *ret_settled = true;
    int code = read_head(console, &head);
    for (size_t i = 0; code == EXIT_DONE && *ret_settled && service_names[i] != NULL; i++) {
        code = get_status(console, service_names[i], &status);
        if (code == EXIT_DONE)
            *ret_settled = status->unsent == 0 && status->position >= head->position;
    }
    if (code == EXIT_DONE && *ret_settled) {
        code = read_head(console, &after);
        if (code == EXIT_DONE)
            *ret_settled = after->position == head->position;
    }
    return code;
}

static int run_settle(struct console *console)
{
    uint32_t patience_ms = option_text(console, "timeout") != NULL ? console->timeout_ms : SETTLE_MS;
    int64_t until_ms = clock_stopwatch_ms() + patience_ms;
    bool settled = false;
    int code = EXIT_DONE;

    while (code == EXIT_DONE && !settled) {
        arena_reset(console->arena);
        code = look_if_settled(console, &settled);
        if (code == EXIT_DONE && !settled && clock_stopwatch_ms() > until_ms)
            return fault(EXIT_SILENCE, "not settled within %u seconds; tildel status tells who is behind",
                         patience_ms / 1000);
        if (!settled)
            nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    }
    return code;
}

// -------------------------------------------------------------------------------------------------- calendar

static int print_calendar(struct console *console)
{
    Bus__V1__Peers *peers;

    int code = get_peers(console, &peers);
    if (code != EXIT_DONE)
        return code;
    if (console->json)
        printf("{\"calendar_at_us\": \"%lld\", \"rehearsal\": %s}\n", (long long)peers->calendar_at_us,
               peers->rehearsal ? "true" : "false");
    else
        printf("%s  %s%s\n", instant_text(console->arena, peers->calendar_at_us),
               oslo_text(console->arena, peers->calendar_at_us), peers->rehearsal ? "  REHEARSAL" : "");
    return EXIT_DONE;
}

static int run_calendar_set(struct console *console)
{
    Bus__V1__MoveCalendar command = BUS__V1__MOVE_CALENDAR__INIT;
    const char *to = console->arguments[0];

    command.stand_still = option_text(console, "stand-still") != NULL;
    if (strcmp(to, "real") == 0 && command.stand_still)
        return fault(EXIT_USAGE, "the real clock does not stand still");
    int code = strcmp(to, "real") == 0 ? EXIT_DONE : instant_argument("INSTANT", to, &command.to_us);
    if (code == EXIT_DONE)
        code = ask_message(console, NULL, command_id(console, NULL), &command, NULL, NULL);
    return code == EXIT_DONE ? print_calendar(console) : code;
}

static const struct option_row calendar_options[] = {
    {"stand-still", NULL, "stay at that instant until moved again"},
    {NULL, NULL, NULL},
};
const struct command commands_status[] = {
    {"status", "", 0, 0, "show who is up, how far everyone is and what stands still",
     "Exit code 0 when all is well, 1 when something is not; each thing that is not is a sentence on "
     "standard error.",
     NULL, run_status},
    {"settle", "", 0, 0, "wait until every event is in the log and every service has heard it",
     "For scripts, before they look or compare. Waits at most --timeout seconds (60); exit code 3 when that "
     "was too short.",
     NULL, run_settle},
    {"calendar show", "", 0, 0, "show the instant that the stack goes by", NULL, NULL, print_calendar},
    {"calendar set", "INSTANT|real", 1, 1, "move the calendar of a rehearsal",
     "Every process follows within a second. Refused by a stack that was not started as a rehearsal. As "
     "OPERATOR.",
     calendar_options, run_calendar_set},
    {NULL},
};
