// incident: what stands still until a person has looked: whose it is, why, what waits behind it; letting it go on, or,
// by two persons, leaving out what can never be handled.
#include "console.h"
#include "table.h"

#include "clock/clock.h"
#include "service_v1.pb-c.h"
#include "values/values.h"

#include <stdio.h>
#include <string.h>

typedef Service__V1__Incident Incident;
typedef Service__V1__IncidentDetail Detail;

static json_t *answer_json(struct console *console)
{
    const struct incoming *answer = &console->answer;
    char *text = protojson_decode(console_contract(console), console->arena, answer->reply->type,
                                  answer->body, answer->body_size, false);

    return text != NULL ? json_loads(text, 0, NULL) : json_null();
}

static int ask_query(struct console *console, const char *service, const void *request,
                     const ProtobufCMessageDescriptor *type, void *ret)
{
    return ask_message(console, service, uuid_new(console->arena, clock_real_us()), request, type, ret);
}

static int list_incidents(struct console *console, const char *service, Service__V1__Incidents **ret)
{
    Service__V1__ListIncidents request = SERVICE__V1__LIST_INCIDENTS__INIT;

    return ask_query(console, service, &request, &service__v1__incidents__descriptor, ret);
}

// Walk the services that --service lets through, up or not.
static bool is_asked(const struct console *console, const char *service)
{
    const char *only = option_text(console, "service");

    return only == NULL || strcmp(only, service) == 0;
}

// -------------------------------------------------------------------------------------------------------- list

static const char *next_step(const Incident *incident)
{
    return incident->skipped                       ? " (to be skipped)"
           : incident->redriven                    ? " (to be tried again)"
           : incident->skip_proposed_by[0] != '\0' ? " (a skip is proposed)"
                                                   : "";
}

static const char *age_text(arena_t *arena, int64_t since_us)
{
    int64_t minutes = (clock_real_us() - since_us) / 60000000;

    if (minutes < 0)
        minutes = 0;
    return minutes < 60 ? arena_printf(arena, "%lld min", (long long)minutes)
           : minutes < 48 * 60
               ? arena_printf(arena, "%lld h %lld min", (long long)minutes / 60, (long long)minutes % 60)
               : arena_printf(arena, "%lld days", (long long)minutes / 60 / 24);
}

static void add_incident(struct console *console, table_t *table, const char *service,
                         const Incident *incident)
{
    arena_t *arena = console->arena;

    table_row(table, (const char *[]){service, incident->stream, incident->subject,
                                      arena_printf(arena, "%llu", (unsigned long long)incident->position),
                                      incident->type, arena_printf(arena, "%u", incident->parked),
                                      age_text(arena, incident->opened_at_us),
                                      arena_printf(arena, "%s%s", incident->reason, next_step(incident))});
}

static int run_list(struct console *console)
{
    static const struct column columns[] = {{"service", false}, {"stream", false}, {"case", false},
                                            {"position", true}, {"type", false},   {"parked", true},
                                            {"age", true},      {"reason", false}, {NULL, false}};
    table_t *table = table_new(console->arena, columns);
    json_t *all = json_object();
    Service__V1__Incidents *incidents;
    int code = EXIT_DONE;

    for (size_t i = 0; code == EXIT_DONE && service_names[i] != NULL; i++) {
        if (!is_asked(console, service_names[i]))
            continue;
        code = list_incidents(console, service_names[i], &incidents);
        if (code != EXIT_DONE)
            break;
        json_t *answer = answer_json(console);
        json_object_set(all, service_names[i], json_object_get(answer, "incidents"));
        json_decref(answer);
        for (size_t k = 0; k < incidents->n_incidents; k++)
            add_incident(console, table, service_names[i], incidents->incidents[k]);
    }
    if (code == EXIT_DONE && console->json) {
        json_dumpf(all, stdout, JSON_INDENT(1));
        putchar('\n');
    } else if (code == EXIT_DONE) {
        table_print(table, stdout);
    }
    json_decref(all);
    return code;
}

// --------------------------------------------------------------------------------- one stream, in whoever has it

// What is done in each service that has an incident on the stream. detail is in the arena.
typedef int each_f(struct console *console, const char *service, const Detail *detail, json_t *ret_told);

static bool has_incident(const Service__V1__Incidents *incidents, const char *stream)
{
    for (size_t i = 0; i < incidents->n_incidents; i++)
        if (strcmp(incidents->incidents[i]->stream, stream) == 0)
            return true;
    return false;
}

static int look_in(struct console *console, const char *service, each_f *each, json_t *told, int *found)
{
    Service__V1__GetIncident request = SERVICE__V1__GET_INCIDENT__INIT;
    Service__V1__Incidents *incidents;
    Detail *detail;

    request.stream = (char *)console->arguments[0];
    int code = list_incidents(console, service, &incidents);
    if (code != EXIT_DONE || !has_incident(incidents, request.stream))
        return code;
    code = ask_query(console, service, &request, &service__v1__incident_detail__descriptor, &detail);
    if (code != EXIT_DONE)
        return code;
    (*found)++;
    json_t *one = answer_json(console);
    json_object_set_new(told, service, one);
    return each(console, service, detail, one);
}

// The same stream may stand still in several services.
static int for_each(struct console *console, each_f *each)
{
    json_t *told = json_object();
    int code = EXIT_DONE, found = 0;

    for (size_t i = 0; code == EXIT_DONE && service_names[i] != NULL; i++)
        if (is_asked(console, service_names[i]))
            code = look_in(console, service_names[i], each, told, &found);
    if (code == EXIT_DONE && found == 0)
        code = fault(EXIT_REFUSED, "no service has an incident on %s", console->arguments[0]);
    if (code == EXIT_DONE && console->json) {
        json_dumpf(told, stdout, JSON_INDENT(1));
        putchar('\n');
    }
    json_decref(told);
    return code;
}

static void print_waiting(struct console *console, const Detail *detail, size_t most)
{
    static const struct column columns[] = {
        {"position", true}, {"stream", false}, {"type", false}, {"event", false}, {NULL, false}};
    table_t *table = table_new(console->arena, columns);

    for (size_t i = 0; i < detail->n_waiting && i < most; i++) {
        const Service__V1__IncidentDetail__Waiting *one = detail->waiting[i];
        table_row(table,
                  (const char *[]){arena_printf(console->arena, "%llu", (unsigned long long)one->position),
                                   one->stream, one->type, one->id});
    }
    table_print(table, stdout);
}

// -------------------------------------------------------------------------------------------------------- show

static int show(struct console *console, const char *service, const Detail *detail, json_t *told)
{
    const Incident *incident = detail->incident;
    arena_t *arena = console->arena;

    (void)told;
    if (console->json)
        return EXIT_DONE;
    printf("%s: %s (case %s) stands still since %s (%s)%s\n  because of position %llu, %s: %s\n", service,
           incident->stream, incident->subject, moment_text(arena, incident->opened_at_us),
           age_text(arena, incident->opened_at_us), next_step(incident),
           (unsigned long long)incident->position, incident->type, incident->reason);
    if (incident->skip_proposed_by[0] != '\0')
        printf("  %s proposes to skip %u of them: %s\n", incident->skip_proposed_by, incident->skip_events,
               incident->skip_reason);
    printf("  %zu events wait\n\n", detail->n_waiting);
    print_waiting(console, detail, detail->n_waiting);
    putchar('\n');
    return EXIT_DONE;
}

static int run_show(struct console *console)
{
    return for_each(console, show);
}

// ------------------------------------------------------------------------------------------------ redrive, skip

static bool is_dry(const struct console *console)
{
    return option_text(console, "dry-run") != NULL;
}

// --why, or --reason, which is the same.
static const char *reason_text(const struct console *console)
{
    const char *why = option_text(console, "why");

    return why != NULL ? why : option_text(console, "reason");
}

static int would(struct console *console, const char *service, const char *what, const Detail *detail,
                 size_t most, json_t *told)
{
    json_object_set_new(told, "dry_run", json_true());
    if (console->json)
        return EXIT_DONE;
    printf("%s would %s, in this order:\n\n", service, what);
    print_waiting(console, detail, most);
    putchar('\n');
    return EXIT_DONE;
}

static int redrive(struct console *console, const char *service, const Detail *detail, json_t *told)
{
    Service__V1__Redrive command = SERVICE__V1__REDRIVE__INIT;

    if (is_dry(console))
        return would(console, service, "try", detail, detail->n_waiting, told);
    command.stream = detail->incident->stream;
    command.why = (char *)reason_text(console);
    int code = ask_message(console, service, command_id(console, service), &command, NULL, NULL);
    if (code == EXIT_DONE && !console->json)
        printf("%s tries %s again\n", service, command.stream);
    return code;
}

static int run_redrive(struct console *console)
{
    if (reason_text(console) == NULL && !is_dry(console))
        return fault(EXIT_USAGE, "'incident redrive' needs --why: what was mended");
    return for_each(console, redrive);
}

static int propose(struct console *console, const char *service, const Detail *detail, json_t *told)
{
    Service__V1__ProposeSkip command = SERVICE__V1__PROPOSE_SKIP__INIT;

    command.only_failed = option_text(console, "only-failed") != NULL;
    size_t most = command.only_failed ? 1 : detail->n_waiting;
    if (is_dry(console))
        return would(console, service, "skip", detail, most, told);
    command.stream = detail->incident->stream;
    command.reason = (char *)option_text(console, "reason");
    int code = ask_message(console, service, command_id(console, service), &command, NULL, NULL);
    if (code == EXIT_DONE && !console->json)
        printf("%s: it is proposed to skip %zu events of %s; another operator confirms it with --confirm\n",
               service, most, command.stream);
    return code;
}

static int confirm(struct console *console, const char *service, const Detail *detail, json_t *told)
{
    Service__V1__ConfirmSkip command = SERVICE__V1__CONFIRM_SKIP__INIT;
    const Incident *incident = detail->incident;

    if (is_dry(console))
        return would(console, service, "skip what was proposed, of these", detail, detail->n_waiting, told);
    command.stream = incident->stream;
    int code = ask_message(console, service, command_id(console, service), &command, NULL, NULL);
    if (code == EXIT_DONE && !console->json)
        printf("%s skips %u events of %s, which %s proposed: %s\n", service, incident->skip_events,
               command.stream, incident->skip_proposed_by, incident->skip_reason);
    return code;
}

static int run_skip(struct console *console)
{
    bool confirms = option_text(console, "confirm") != NULL, gives = option_text(console, "reason") != NULL;

    if (confirms && (gives || option_text(console, "only-failed") != NULL))
        return fault(EXIT_USAGE,
                     "--confirm confirms what was proposed: it takes no --reason and no --only-failed");
    if (!confirms && !gives && !is_dry(console))
        return fault(EXIT_USAGE, "'incident skip' needs --reason to propose it, or --confirm");
    return for_each(console, confirms ? confirm : propose);
}

static const struct option_row look_options[] = {
    {"service", "NAME", "only this service"},
    {NULL, NULL, NULL},
};
static const struct option_row redrive_options[] = {
    {"why", "TEXT", "what was mended; stands in the log (also --reason)"},
    {"reason", "TEXT", "the same"},
    {"dry-run", NULL, "only tell what would be tried"},
    {"service", "NAME", "only this service"},
    {NULL, NULL, NULL},
};
static const struct option_row skip_options[] = {
    {"reason", "TEXT", "propose it, and why; stands in the log"},
    {"only-failed", NULL, "skip the event that failed; what waits behind it is tried"},
    {"confirm", NULL, "confirm what another operator proposed"},
    {"dry-run", NULL, "only tell what would be skipped"},
    {"service", "NAME", "only this service"},
    {NULL, NULL, NULL},
};

const struct command commands_incident[] = {
    {"incident list", "", 0, 0, "list what stands still until a person has looked", NULL, look_options,
     run_list},
    {"incident show", "STREAM", 1, 1, "show an incident: whose, why, since when, and what waits behind it",
     NULL, look_options, run_show},
    {"incident redrive", "STREAM", 1, 1, "let a stream go on after what was wrong has been mended",
     "The tries follow within about a second; one that fails again leaves the incident open. As OPERATOR.",
     redrive_options, run_redrive},
    {"incident skip", "STREAM", 1, 1, "leave out what can never be handled, by two persons",
     "One operator proposes it with --reason; it is done when another one confirms it. The waiting events "
     "are "
     "dropped by the services that have the incident, for good, each told in their logs; both steps are "
     "events, and replay leaves out the same. Only heard events can be skipped. As OPERATOR.",
     skip_options, run_skip},
    {NULL},
};
