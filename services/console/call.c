// call: publish a call from its definition file, look at it, extend its deadline.
#include "asof.h"
#include "console.h"
#include "table.h"

#include "allocation_v1.pb-c.h"
#include "intake_v1.pb-c.h"
#include "reporting_v1.pb-c.h"
#include "values/values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEARD_MS 10000  // patience for intake to hear of a reservation

typedef Types__V1__CallDefinition CallDefinition;

// --------------------------------------------------------------------------------------------------- publish

// The definition of the file, as bytes that have been through the contract once.
static int read_definition(struct console *console, CallDefinition **ret)
{
    struct source source;
    uint8_t *body;
    size_t size;
    const char *why;

    int code = source_argument(console, console->arguments[0], &source);
    if (code != EXIT_DONE)
        return code;
    bool well = protojson_encode(console_contract(console), console->arena,
                                 types__v1__call_definition__descriptor.name, &source, NULL, &body, &size,
                                 &why);
    source_close(&source);
    if (!well)
        return fault(EXIT_REFUSED, "%s", why);
    if (message_decode(&console->message, &types__v1__call_definition__descriptor, body, size, ret) != OK)
        return fault(EXIT_REFUSED, "%s: %s", source.name, console->message.reason);
    return EXIT_DONE;
}

// The frame of an extra call comes out of what its parent left: reserved by the budget holder, before the
// call is opened.
static int reserve_frame(struct console *console, const CallDefinition *definition, const char *reason)
{
    Allocation__V1__ReserveFrame command = ALLOCATION__V1__RESERVE_FRAME__INIT;
    actor_t holder = BUS__V1__ACTOR__INIT;
    const actor_t *actor = console->actor;

    holder.subject = (char *)option_text(console, "budget-holder");
    holder.role = BUS__V1__ACTOR__ROLE__BUDGET_HOLDER;
    command.call_id = definition->parent_call_id;
    command.extra_call_id = definition->call_id;
    command.amount_ore = definition->frame_ore;
    command.reason = (char *)reason;
    console->actor = &holder;
    int code = ask_message(console, NULL, command_id(console, "reserve"), &command, NULL, NULL);
    console->actor = actor;
    return code;
}

static int open_extra_call(struct console *console, CallDefinition *definition)
{
    Intake__V1__OpenExtraCall command = INTAKE__V1__OPEN_EXTRA_CALL__INIT;
    const char *reason = option_text(console, "reason");
    bool reserved = option_text(console, "reserved") != NULL;

    if (reason == NULL)
        return fault(EXIT_USAGE, "%s is an extra call: --reason must say why it is opened",
                     definition->call_id);
    if (!reserved && option_text(console, "budget-holder") == NULL)
        return fault(EXIT_USAGE,
                     "%s is an extra call: --budget-holder must name who reserves its frame, or --reserved "
                     "say that it is reserved",
                     definition->call_id);
    int code = reserved ? EXIT_DONE : reserve_frame(console, definition, reason);
    // Intake hears of the reservation through the log. When it does not in time, its own refusal says best
    // what is wrong.
    if (code == EXIT_DONE && !reserved)
        wait_heard(console, "allocation", "intake", HEARD_MS);
    command.definition = definition;
    command.reason = (char *)reason;
    return code == EXIT_DONE ? ask_message(console, NULL, command_id(console, NULL), &command, NULL, NULL)
                             : code;
}

static int publish_main_call(struct console *console, CallDefinition *definition)
{
    Intake__V1__PublishCall command = INTAKE__V1__PUBLISH_CALL__INIT;

    command.definition = definition;
    return ask_message(console, NULL, command_id(console, NULL), &command, NULL, NULL);
}

static int run_publish(struct console *console)
{
    CallDefinition *definition;

    int code = read_definition(console, &definition);
    if (code != EXIT_DONE)
        return code;
    code = definition->type == TYPES__V1__CALL_DEFINITION__TYPE__EXTRA
               ? open_extra_call(console, definition)
               : publish_main_call(console, definition);
    if (code != EXIT_DONE)
        return code;
    if (console->json)
        printf("{\"call_id\": \"%s\"}\n", definition->call_id);
    else
        printf("%s is published: %s to award, deadline %s\n", definition->call_id,
               money_text(console->arena, definition->frame_ore),
               oslo_text(console->arena, definition->deadline_at_us));
    return EXIT_DONE;
}

// ------------------------------------------------------------------------------------------------------ show

// Best first; those without a score in order of their ids.
static int compare_cases(const void *left, const void *right)
{
    const Reporting__V1__Case *a = *(Reporting__V1__Case *const *)left;
    const Reporting__V1__Case *b = *(Reporting__V1__Case *const *)right;

    if (a->total != b->total)
        return a->total < b->total ? 1 : -1;
    return strcmp(a->application_id, b->application_id);
}

static char *score_text(arena_t *arena, int64_t hundredths)
{
    if (hundredths == 0)
        return arena_text(arena, "-");
    return arena_printf(arena, "%lld,%02lld", (long long)(hundredths / 100), (long long)(hundredths % 100));
}

static void print_cases(struct console *console, const Reporting__V1__Call *call)
{
    static const struct column columns[] = {{"application", false}, {"applicant", false},  {"score", true},
                                            {"applied", true},      {"recommended", true}, {"awarded", true},
                                            {"accepted", true},     {"paid", true},        {"state", false},
                                            {NULL, false}};
    arena_t *arena = console->arena;
    table_t *table = table_new(arena, columns);

    qsort(call->cases, call->n_cases, sizeof call->cases[0], compare_cases);
    for (size_t i = 0; i < call->n_cases; i++) {
        const Reporting__V1__Case *one = call->cases[i];
        table_row(table, (const char *[]){
                             one->application_id, one->applicant, score_text(arena, one->total),
                             amount_text(arena, one->applied_ore), amount_text(arena, one->recommended_ore),
                             amount_text(arena, one->awarded_ore), amount_text(arena, one->accepted_ore),
                             amount_text(arena, one->paid_ore), one->state});
    }
    table_print(table, stdout);
}

static void print_frame(struct console *console, const Reporting__V1__Call *call)
{
    const struct {
        const char *what;
        int64_t ore;
    } figures[] = {
        {"awarded", call->awarded_ore},   {"reserved", call->reserved_ore}, {"residual", call->residual_ore},
        {"accepted", call->accepted_ore}, {"lapsed", call->lapsed_ore},     {"paid", call->paid_ore},
        {"claimed", call->claimed_ore},   {"repaid", call->repaid_ore},
    };

    printf("\nframe %s:", money_text(console->arena, call->frame_ore));
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        printf("%s %s %s", i == 0 ? "" : ",", figures[i].what, amount_text(console->arena, figures[i].ore));
    printf("\nat log position %llu\n", (unsigned long long)call->position);
}

static int run_show(struct console *console)
{
    Reporting__V1__GetCall request = REPORTING__V1__GET_CALL__INIT;
    Reporting__V1__Call *call;
    struct as_of as_of;

    request.call_id = (char *)console->arguments[0];
    int code = query_as_of(console, &request, &reporting__v1__call__descriptor, &call, &as_of);
    if (code != EXIT_DONE || console->json)
        return code == EXIT_DONE ? print_answer_as_of(console, &as_of) : code;
    printf("%s, deadline %s\n\n", call->call_id, oslo_text(console->arena, call->deadline_at_us));
    print_cases(console, call);
    print_frame(console, call);
    print_as_of(console, &as_of);
    return EXIT_DONE;
}

// ------------------------------------------------------------------------------------------------------ list

static int list_one(struct console *console, table_t *table, char *call_id)
{
    Intake__V1__GetCall request = INTAKE__V1__GET_CALL__INIT;
    Intake__V1__Call *call;

    request.call_id = call_id;
    int code = query(console, &request, &intake__v1__call__descriptor, &call);
    if (code != EXIT_DONE)
        return code;
    const CallDefinition *definition = call->definition;
    const char *state = call->closed                             ? "closed"
                        : call->now_us < definition->opens_at_us ? "not open yet"
                                                                 : "open";
    table_row(table, (const char *[]){call_id, amount_text(console->arena, definition->frame_ore),
                                      moment_text(console->arena, definition->opens_at_us),
                                      moment_text(console->arena, definition->deadline_at_us), state,
                                      definition->title->nb});
    return EXIT_DONE;
}

static int run_list(struct console *console)
{
    static const struct column columns[] = {{"call", false},     {"frame", true},  {"opens", false},
                                            {"deadline", false}, {"state", false}, {"title", false},
                                            {NULL, false}};
    Intake__V1__ListCalls request = INTAKE__V1__LIST_CALLS__INIT;
    Intake__V1__Calls *calls;

    int code = query(console, &request, &intake__v1__calls__descriptor, &calls);
    if (code != EXIT_DONE || console->json)
        return code == EXIT_DONE ? print_answer(console) : code;
    table_t *table = table_new(console->arena, columns);
    for (size_t i = 0; code == EXIT_DONE && i < calls->n_call_ids; i++)
        code = list_one(console, table, calls->call_ids[i]);
    table_print(table, stdout);
    return code;
}

// ---------------------------------------------------------------------------------------------------- extend

static int instant_option(struct console *console, const char *name, int64_t *ret_us)
{
    const char *text = option_text(console, name);

    *ret_us = 0;
    return text == NULL ? EXIT_DONE
                        : instant_argument(arena_printf(console->arena, "--%s", name), text, ret_us);
}

static int run_extend(struct console *console)
{
    Intake__V1__ExtendDeadline command = INTAKE__V1__EXTEND_DEADLINE__INIT;

    command.call_id = (char *)console->arguments[0];
    command.reason = (char *)option_text(console, "reason");
    if (command.reason == NULL || option_text(console, "until") == NULL)
        return fault(EXIT_USAGE, "'call extend' needs --until and --reason");
    int code = instant_option(console, "until", &command.deadline_at_us);
    if (code == EXIT_DONE)
        code = instant_option(console, "outage-from", &command.outage_from_at_us);
    if (code == EXIT_DONE)
        code = instant_option(console, "outage-to", &command.outage_to_at_us);
    if (code == EXIT_DONE)
        code = ask_message(console, NULL, command_id(console, NULL), &command, NULL, NULL);
    if (code != EXIT_DONE || console->json)
        return code == EXIT_DONE ? print_answer(console) : code;
    printf("the deadline of %s is now %s\n", command.call_id,
           oslo_text(console->arena, command.deadline_at_us));
    return EXIT_DONE;
}

static const struct option_row publish_options[] = {
    {"budget-holder", "SUBJECT", "extra call: who reserves its frame from what the parent left"},
    {"reason", "TEXT", "extra call: why it is opened"},
    {"reserved", NULL, "extra call: its frame is reserved already"},
    {NULL, NULL, NULL},
};
static const struct option_row show_options[] = {AS_OF_OPTION, {NULL, NULL, NULL}};
static const struct option_row extend_options[] = {
    {"until", "INSTANT",
     "the new deadline, such as 2024-06-18T00:00:00+02:00; the first instant that is too late"},
    {"reason", "TEXT", "why"},
    {"outage-from", "INSTANT", "the logged outage that lets a passed deadline be extended"},
    {"outage-to", "INSTANT", ""},
    {NULL, NULL, NULL},
};

const struct command commands_call[] = {
    {"call publish", "FILE", 1, 1, "publish a call from its definition file",
     "FILE is a types.v1.CallDefinition as JSON. A main call is published as UNIT_HEAD. An extra call also "
     "needs a budget holder: its frame is reserved from the residual of its parent first, then the call is "
     "opened.",
     publish_options, run_publish},
    {"call list", "", 0, 0, "list the calls", NULL, NULL, run_list},
    {"call show", "CALL", 1, 1, "show a call's applications, scores, amounts, states and frame",
     AS_OF_DETAILS, show_options, run_show},
    {"call extend", "CALL", 1, 1, "give everyone a later deadline", NULL, extend_options, run_extend},
    {NULL},
};
