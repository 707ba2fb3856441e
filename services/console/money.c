// money: where every krone of a frame is, and the way it went: from chapter and post to the bank and back.
#include "console.h"
#include "ledger.h"
#include "table.h"
#include "walk.h"

#include "values/values.h"

#include <czmq.h>
#include <stdio.h>
#include <string.h>

// ------------------------------------------------------------------------------------------------------- the way

// The steps a krone takes, in the order it takes them. amount and reference are fields of the event.
static const struct way {
    const char *type, *words, *amount, *reference;
} way[] = {
    {"intake.v1.CallPublished", "call published", "definition.frame_ore", "definition.chapter_post"},
    {"allocation.v1.AppropriationRecorded", "later year's appropriation", "amount_ore", "chapter_post"},
    {"allocation.v1.FrameOpened", "frame opened", "frame_ore", NULL},
    {"allocation.v1.FrameReserved", "reserved for an extra call", "amount_ore", "extra_call_id"},
    {"allocation.v1.AwardDecided", "awarded", "amount_ore", "application_id"},
    {"allocation.v1.GrantLetterIssued", "letter issued", "letter.amount_ore", "letter_sha256"},
    {"allocation.v1.GrantAccepted", "accepted", "amount_ore", "account_number"},
    {"allocation.v1.GrantDeclined", "declined", NULL, "reason"},
    {"allocation.v1.GrantLapsed", "lapsed", NULL, "reason"},
    {"allocation.v1.GrantRenounced", "renounced", NULL, "reason"},
    {"payment.v1.PaymentDue", "payment due", "amount_ore", "payment_key"},
    {"payment.v1.PaymentPrepared", "prepared, coded", NULL, "coding"},
    {"payment.v1.PaymentDisposed", "disposed", NULL, "disposed_by"},
    {"payment.v1.PaymentAttested", "attested", NULL, "attested_by"},
    {"payment.v1.PaymentAuthorised", "authorised", NULL, "end_to_end_id"},
    {"payment.v1.PaymentSent", "sent to the bank", NULL, "message_id"},
    {"payment.v1.PaymentRefusedByFinance", "refused by finance", NULL, "reason"},
    {"payment.v1.PaymentAcknowledged", "taken by the bank", NULL, "status_id"},
    {"payment.v1.PaymentFailed", "rejected by the bank", NULL, "text"},
    {"payment.v1.PaymentRetried", "sent again", NULL, "reason"},
    {"payment.v1.AccountChanged", "account changed", NULL, "account_number"},
    {"payment.v1.PaymentStopped", "stopped", NULL, "reason"},
    {"payment.v1.PaymentVoided", "fell", NULL, "reason"},
    {"payment.v1.PaymentConfirmed", "confirmed by the bank", "amount_ore", "end_to_end_id"},
    {"payment.v1.PaymentReturned", "came back from the bank", "amount_ore", "code"},
    {"allocation.v1.PaymentPosted", "posted in the ledger", NULL, "payment_key"},
    {"reporting.v1.ReportApproved", "accounts approved", "cost_ore", "approved_by"},
    {"reporting.v1.RepaymentDecided", "repayment decided", "amount_ore", "decided_by"},
    {"payment.v1.ClaimIssued", "claimed back", "amount_ore", "kid"},
    {"allocation.v1.ClaimPosted", "claim posted in the ledger", NULL, "claim_id"},
    {"payment.v1.RepaymentReceived", "repaid", "amount_ore", "receipt_id"},
    {"allocation.v1.RepaymentPosted", "repayment posted in the ledger", NULL, "claim_id"},
};

static const struct way *step_of(const char *type)
{
    for (size_t i = 0; i < sizeof way / sizeof way[0]; i++)
        if (strcmp(way[i].type, type) == 0)
            return &way[i];
    return NULL;
}

// ------------------------------------------------------------------------------------------------------- asking

// Fields by which people know a piece of the way, from the narrowest to the widest.
static const char *const names[] = {"payment_key", "end_to_end_id", "message_id",     "claim_id",
                                    "kid",         "receipt_id",    "application_id", "call_id"};

struct trace {
    struct console *console;
    const char *what;                      // as it was asked for
    const char *known_as;                  // which field it is; NULL: not found yet
    const char *application_id, *call_id;  // "" when wider
    const char *payment_key, *claim_id;    // "" when the whole case is asked for
    uint64_t head;
    zhashx_t *calls;  // application: its call
    table_t *table;
    json_t *steps;
};

static bool names_it(const json_t *data, const char *what, const char **ret_name)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(data_text(data, names[i]), what) == 0) {
            *ret_name = names[i];
            return true;
        }
    return false;
}

// What was asked for, and what it is a piece of. The narrowest name counts: a KID is a claim's before a payment's.
static int resolve(void *context, struct console *console, const Eventlog__V1__Entry *entry,
                   const Eventlog__V1__Event *event)
{
    struct trace *trace = context;
    arena_t *ground = console->ground;
    const char *name;

    (void)entry;
    if (trace->known_as != NULL || step_of(event->type) == NULL)
        return EXIT_DONE;
    json_t *data = contract_json(console, event);
    if (names_it(data, trace->what, &name)) {
        bool whole = strcmp(name, "application_id") == 0 || strcmp(name, "call_id") == 0;
        trace->known_as = name;
        trace->call_id = arena_text(ground, data_text(data, "call_id"));
        if (strcmp(name, "call_id") != 0)
            trace->application_id = arena_text(ground, data_text(data, "application_id"));
        if (!whole) {
            trace->payment_key = arena_text(ground, data_text(data, "payment_key"));
            trace->claim_id = arena_text(ground, data_text(data, "claim_id"));
        }
    }
    json_decref(data);
    return EXIT_DONE;
}

// ------------------------------------------------------------------------------------------------------ the rows

// A payment is traced back without the claim, and a claim without the payment's handling: what leads to it is the
// award, and the money that was paid.
static bool belongs(const struct trace *trace, const json_t *data, const char *type)
{
    const char *payment_key = data_text(data, "payment_key"), *claim_id = data_text(data, "claim_id");

    if (trace->payment_key[0] != '\0')
        return claim_id[0] == '\0' &&
               (payment_key[0] == '\0' || strcmp(payment_key, trace->payment_key) == 0) &&
               strncmp(type, "reporting.", strlen("reporting.")) != 0;
    if (trace->claim_id[0] != '\0')
        return (claim_id[0] == '\0' || strcmp(claim_id, trace->claim_id) == 0) &&
               (payment_key[0] == '\0' || strcmp(type, "payment.v1.PaymentConfirmed") == 0 ||
                strcmp(type, "allocation.v1.PaymentPosted") == 0);
    return true;
}

static bool in_scope(const struct trace *trace, const json_t *data, const char *type)
{
    const char *application_id = data_text(data, "application_id"), *call_id = data_text(data, "call_id");

    // The frame itself, what was reserved for it, and of it.
    if (strcmp(data_text(data, "extra_call_id"), trace->call_id) == 0)
        return true;
    if (application_id[0] == '\0')
        return strcmp(call_id, trace->call_id) == 0 &&
               (trace->application_id[0] == '\0' || strcmp(type, "allocation.v1.FrameReserved") != 0);
    if (trace->application_id[0] != '\0')
        return strcmp(application_id, trace->application_id) == 0 && belongs(trace, data, type);
    const char *of = zhashx_lookup(trace->calls, application_id);
    return of != NULL && strcmp(of, trace->call_id) == 0;
}

static void add_step(struct trace *trace, const Eventlog__V1__Entry *entry, const Eventlog__V1__Event *event,
                     const struct way *step, const json_t *data)
{
    arena_t *ground = trace->console->ground;
    const json_t *posting = json_array_get(json_object_get(data, "postings"), 0);
    const char *from = data_text(posting, "from"), *to = data_text(posting, "to");
    const char *reference = step->reference != NULL ? data_text(data, step->reference) : "";
    int64_t ore = step->amount != NULL ? data_number(data, step->amount) : data_number(posting, "amount_ore");
    const char *who = event->actor != NULL ? event->actor->subject : "";

    table_row(trace->table,
              (const char *[]){arena_printf(ground, "%llu", (unsigned long long)entry->position),
                               moment_text(ground, event->time_us), step->words,
                               ore != 0 ? amount_text(ground, ore) : "",
                               posting != NULL ? arena_printf(ground, "%.*s → %.*s", (int)strcspn(from, ":"),
                                                              from, (int)strcspn(to, ":"), to)
                                               : "",
                               who, data_text(data, "application_id"), reference});
    json_array_append_new(trace->steps,
                          json_pack("{s:I, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:s, s:s}",
                                    "position", (json_int_t)entry->position, "id", event->id, "type",
                                    event->type, "step", step->words, "reference", reference, "amount_ore",
                                    (json_int_t)ore, "at_us", (json_int_t)event->time_us, "from", from, "to",
                                    to, "by", who, "application_id", data_text(data, "application_id"),
                                    "rule_set", event->rule_set));
}

static int collect(void *context, struct console *console, const Eventlog__V1__Entry *entry,
                   const Eventlog__V1__Event *event)
{
    struct trace *trace = context;
    const struct way *step = step_of(event->type);

    if (step == NULL)
        return EXIT_DONE;
    json_t *data = contract_json(console, event);
    const char *application_id = data_text(data, "application_id"), *call_id = data_text(data, "call_id");
    if (application_id[0] != '\0' && call_id[0] != '\0' &&
        zhashx_lookup(trace->calls, application_id) == NULL)
        zhashx_insert(trace->calls, application_id, arena_text(console->ground, call_id));
    if (in_scope(trace, data, event->type))
        add_step(trace, entry, event, step, data);
    json_decref(data);
    return EXIT_DONE;
}

// An event of a payment names no call; the case's award does.
static int find_call(void *context, struct console *console, const Eventlog__V1__Entry *entry,
                     const Eventlog__V1__Event *event)
{
    struct trace *trace = context;

    (void)entry;
    if (trace->call_id[0] != '\0' || strcmp(event->subject, trace->application_id) != 0 ||
        step_of(event->type) == NULL)
        return EXIT_DONE;
    json_t *data = contract_json(console, event);
    trace->call_id = arena_text(console->ground, data_text(data, "call_id"));
    json_decref(data);
    return EXIT_DONE;
}

static int print_trace(struct trace *trace)
{
    if (!trace->console->json) {
        printf("%s is the %s of %s%scall %s; the log holds %llu events\n\n", trace->what, trace->known_as,
               trace->application_id, trace->application_id[0] != '\0' ? " to " : "", trace->call_id,
               (unsigned long long)trace->head);
        table_print(trace->table, stdout);
        return EXIT_DONE;
    }
    json_t *output = json_pack("{s:s, s:s, s:s, s:s, s:I, s:O}", "what", trace->what, "known_as",
                               trace->known_as, "call_id", trace->call_id, "application_id",
                               trace->application_id, "head", (json_int_t)trace->head, "steps", trace->steps);
    json_dumpf(output, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(output);
    return EXIT_DONE;
}

static int trace_what(struct trace *trace)
{
    struct console *console = trace->console;

    int code = log_walk(console, 0, trace->head, "looking for it", resolve, trace);
    if (code == EXIT_DONE && trace->known_as == NULL)
        return fault(EXIT_REFUSED,
                     "the log knows no call, application, payment, end-to-end id, claim or KID '%s'",
                     trace->what);
    if (code == EXIT_DONE && trace->call_id[0] == '\0')
        code = log_walk(console, 0, trace->head, "looking for its call", find_call, trace);
    if (code == EXIT_DONE)
        code = log_walk(console, 0, trace->head, "tracing", collect, trace);
    return code == EXIT_DONE ? print_trace(trace) : code;
}

static int run_what(struct console *console, uint64_t head)
{
    static const struct column columns[] = {{"position", true}, {"when (Oslo)", false}, {"step", false},
                                            {"amount", true},   {"place", false},       {"by", false},
                                            {"case", false},    {"reference", false},   {NULL, false}};
    struct trace trace = {.console = console,
                          .what = console->arguments[0],
                          .application_id = "",
                          .call_id = "",
                          .payment_key = "",
                          .claim_id = "",
                          .head = head,
                          .calls = zhashx_new(),
                          .table = table_new(console->ground, columns),
                          .steps = json_array()};

    int code = trace_what(&trace);
    json_decref(trace.steps);
    zhashx_destroy(&trace.calls);
    return code;
}

// -------------------------------------------------------------------------------------------------------- check

static int check_event(void *context, struct console *console, const Eventlog__V1__Entry *entry,
                       const Eventlog__V1__Event *event)
{
    ledger_t *ledger = context;
    const char *why = NULL;

    if (!ledger_concerns(event->type))
        return EXIT_DONE;
    json_t *data = contract_json(console, event);
    if (data == NULL)
        return fault(EXIT_DIFFERENT, "position %llu: the event's data is not a %s of this contract",
                     (unsigned long long)entry->position, event->type);
    bool well = ledger_event(ledger, event->type, data, &why);
    json_decref(data);
    return well ? EXIT_DONE
                : fault(EXIT_DIFFERENT, "position %llu: %s: %s", (unsigned long long)entry->position,
                        event->type, why);
}

static void print_calls(struct console *console, ledger_t *ledger, uint64_t head)
{
    static const struct column columns[] = {{"call", false},    {"appropriated", true}, {"residual", true},
                                            {"reserved", true}, {"committed", true},    {"paid", true},
                                            {"claimed", true},  {"repaid", true},       {NULL, false}};
    arena_t *arena = console->arena;
    table_t *table = table_new(arena, columns);
    json_t *list = json_array();
    struct ledger_call call;

    for (size_t i = 0; ledger_call(ledger, i, &call); i++) {
        table_row(table,
                  (const char *[]){call.call_id, amount_text(arena, call.appropriated),
                                   amount_text(arena, call.residual), amount_text(arena, call.reserved),
                                   amount_text(arena, call.committed), amount_text(arena, call.paid),
                                   amount_text(arena, call.claimed), amount_text(arena, call.repaid)});
        json_array_append_new(
            list, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "call_id", call.call_id,
                            "appropriated_ore", (json_int_t)call.appropriated, "residual_ore",
                            (json_int_t)call.residual, "reserved_ore", (json_int_t)call.reserved,
                            "committed_ore", (json_int_t)call.committed, "paid_ore", (json_int_t)call.paid,
                            "claimed_ore", (json_int_t)call.claimed, "repaid_ore", (json_int_t)call.repaid));
    }
    unsigned long long moved = ledger_movements(ledger), unposted = ledger_unposted(ledger);
    if (console->json) {
        json_t *output = json_pack("{s:b, s:I, s:I, s:I, s:O}", "accounted", 1, "positions", (json_int_t)head,
                                   "movements", (json_int_t)moved, "unposted", (json_int_t)unposted, "calls",
                                   list);
        json_dumpf(output, stdout, JSON_INDENT(1));
        putchar('\n');
        json_decref(output);
    } else {
        printf("every øre has one place at each of %llu positions: %llu movements; %llu not posted yet\n\n",
               (unsigned long long)head, moved, unposted);
        table_print(table, stdout);
    }
    json_decref(list);
}

static int run_check(struct console *console, uint64_t head)
{
    ledger_t *ledger = ledger_new(console->ground);
    const char *why;

    int code = log_walk(console, 0, head, "following the money", check_event, ledger);
    if (code == EXIT_DONE && !ledger_end(ledger, &why))
        code = fault(EXIT_DIFFERENT, "position %llu: %s", (unsigned long long)head, why);
    if (code == EXIT_DONE)
        print_calls(console, ledger, head);
    ledger_destroy(&ledger);
    return code;
}

static int run_trace(struct console *console)
{
    bool check = option_text(console, "check") != NULL;
    const Eventlog__V1__Head *head;

    if (check == (console->n_arguments == 1))
        return fault(EXIT_USAGE, "'money trace' takes either what is traced or --check");
    int code = read_head(console, &head);
    if (code != EXIT_DONE)
        return code;
    return check ? run_check(console, head->position) : run_what(console, head->position);
}

static const struct option_row trace_options[] = {
    {"check", NULL, "prove for the whole log that every øre of every frame has exactly one place"},
    {NULL, NULL, NULL},
};

const struct command commands_money[] = {
    {"money trace", "[WHAT]", 0, 1, "follow the krone: frame, award, payment, bank, accounts, claim",
     "WHAT is a call, an application, a payment key, an end-to-end id or message id of the bank, a claim, a "
     "KID or a receipt: from a call or application the whole way is shown, from anything else the way back "
     "to the frame and its chapter and post.\n"
     "With --check the ledger is folded again from the log, and at each position every movement must have a "
     "rule, take no more than is there, leave what it says is left, and be what the bank or the claim said. "
     "Exit code 4 names the first position that is wrong.",
     trace_options, run_trace},
    {NULL},
};
