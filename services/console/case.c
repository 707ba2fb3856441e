// case: what has become of a case; a call's payments and claims.
#include "asof.h"
#include "console.h"
#include "table.h"

#include "payment_v1.pb-c.h"
#include "reporting_v1.pb-c.h"
#include "values/values.h"

#include <stdio.h>

static void print_timeline(struct console *console, const Reporting__V1__Case *one)
{
    static const struct column columns[] = {{"position", true}, {"when (Oslo)", false}, {"who", false},
                                            {"what", false},    {"summary", false},     {NULL, false}};
    arena_t *arena = console->arena;
    table_t *table = table_new(arena, columns);

    for (size_t i = 0; i < one->n_timeline; i++) {
        const Reporting__V1__Moment *moment = one->timeline[i];
        table_row(table, (const char *[]){arena_printf(arena, "%llu", (unsigned long long)moment->position),
                                          moment_text(arena, moment->at_us),
                                          moment->actor != NULL ? moment->actor->subject : "", moment->type,
                                          moment->summary});
    }
    table_print(table, stdout);
}

static int run_show(struct console *console)
{
    Reporting__V1__GetCase request = REPORTING__V1__GET_CASE__INIT;
    Reporting__V1__Case *one;
    struct as_of as_of;

    request.application_id = (char *)console->arguments[0];
    int code = query_as_of(console, &request, &reporting__v1__case__descriptor, &one, &as_of);
    if (code != EXIT_DONE || console->json)
        return code == EXIT_DONE ? print_answer_as_of(console, &as_of) : code;
    const struct {
        const char *what;
        int64_t ore;
    } figures[] = {
        {"applied", one->applied_ore}, {"recommended", one->recommended_ore},
        {"awarded", one->awarded_ore}, {"accepted", one->accepted_ore},
        {"paid", one->paid_ore},       {"claimed", one->claimed_ore},
        {"repaid", one->repaid_ore},
    };
    printf("%s\n%s (%s) to %s: %s\n", one->application_id, one->applicant, one->organisation_number,
           one->call_id, one->state);
    const char *gap = "";
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        if (figures[i].ore == 0)
            continue;
        printf("%s%s %s", gap, figures[i].what, money_text(console->arena, figures[i].ore));
        gap = ", ";
    }
    printf("\n\n");
    print_timeline(console, one);
    print_as_of(console, &as_of);
    return EXIT_DONE;
}

static int run_payments(struct console *console)
{
    static const struct column columns[] = {{"payment", false},       {"amount", true}, {"account", false},
                                            {"end-to-end id", false}, {"sent", true},   {"state", false},
                                            {"the bank says", false}, {NULL, false}};
    Payment__V1__ListPayments request = PAYMENT__V1__LIST_PAYMENTS__INIT;
    Payment__V1__Payments *payments;

    request.call_id = (char *)console->arguments[0];
    int code = query(console, &request, &payment__v1__payments__descriptor, &payments);
    if (code != EXIT_DONE || console->json)
        return code == EXIT_DONE ? print_answer(console) : code;
    table_t *table = table_new(console->arena, columns);
    for (size_t i = 0; i < payments->n_payments; i++) {
        const Payment__V1__Payment *one = payments->payments[i];
        const ProtobufCEnumValue *state = protobuf_c_enum_descriptor_get_value(
            &payment__v1__payment__state__descriptor, one->state);
        table_row(table, (const char *[]){one->payment_key, amount_text(console->arena, one->amount_ore),
                                          one->creditor_account, one->end_to_end_id,
                                          arena_printf(console->arena, "%u", one->times_sent), state->name,
                                          one->last_text});
    }
    table_print(table, stdout);
    return EXIT_DONE;
}

static int run_claims(struct console *console)
{
    static const struct column columns[] = {{"claim", false},
                                            {"KID", false},
                                            {"amount", true},
                                            {"outstanding", true},
                                            {"due before (Oslo)", false},
                                            {NULL, false}};
    Payment__V1__ListClaims request = PAYMENT__V1__LIST_CLAIMS__INIT;
    Payment__V1__Claims *claims;

    request.call_id = (char *)console->arguments[0];
    int code = query(console, &request, &payment__v1__claims__descriptor, &claims);
    if (code != EXIT_DONE || console->json)
        return code == EXIT_DONE ? print_answer(console) : code;
    table_t *table = table_new(console->arena, columns);
    for (size_t i = 0; i < claims->n_claims; i++) {
        const Payment__V1__Claims__One *one = claims->claims[i];
        table_row(table,
                  (const char *[]){one->claim_id, one->kid, amount_text(console->arena, one->amount_ore),
                                   amount_text(console->arena, one->outstanding_ore),
                                   moment_text(console->arena, one->due_at_us)});
    }
    table_print(table, stdout);
    return EXIT_DONE;
}

static const struct option_row show_options[] = {AS_OF_OPTION, {NULL, NULL, NULL}};

const struct command commands_case[] = {
    {"case show", "APPLICATION", 1, 1, "show a case: its figures and everything that happened to it",
     AS_OF_DETAILS, show_options, run_show},
    {"case explain", "APPLICATION", 1, 1,
     "tell what led to a case's decisions and amounts, and compute it again",
     "Each event with its day, the person and role, what was done, its position, the rule set that decided "
     "it "
     "and the hash of what was signed; then what can be computed again from the log: hashes, totals, that "
     "nobody decided what they prepared, and the allocation (as AUDITOR, for example). Exit code 4 when "
     "something is not equal.",
     NULL, run_explain},
    {"payments", "CALL", 1, 1, "list a call's payments", NULL, NULL, run_payments},
    {"claims", "CALL", 1, 1, "list a call's claims for repayment", NULL, NULL, run_claims},
    {NULL},
};
