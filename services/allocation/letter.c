// How a letter of grant is written: structured data made of the call's definition, the application and the
// award, in the written form that the applicant chose or the municipality has adopted. A letter without one
// of its mandatory blocks is not written.
#include "rules.h"

#include "values/values.h"

#include <assert.h>
#include <string.h>

#define KRONE INT64_C(100)

// Our own sentences, in both written forms.
enum sentence {
    PROJECT,
    CUTS,
    ACCEPTANCE,
    PAYMENT,
    REPORTING,
    AUDITOR,
    RESIDUAL_RULE,
    PROPORTIONAL_RULE,
    REPAYMENT,
    PUBLICITY
};

static const struct {
    const char *nb, *nn;
} sentences[] = {
    [PROJECT] = {"Prosjekt: ", "Prosjekt: "},
    [CUTS] = {"Dette er kuttet: ", "Dette er kutta: "},
    [ACCEPTANCE] =
        {"Kommunen må akseptere tilskuddet innen %s. Akseptbrevet fylles ut i søknadsportalen, hvert vilkår "
         "godtas for seg, og det signeres av kommunedirektør, bydelsdirektør eller ansatt med fullmakt. "
         "Taushet "
         "er ikke aksept: svarer ikke kommunen innen fristen, faller tilbudet bort.",
         "Kommunen må akseptere tilskotet innan %s. Akseptbrevet blir fylt ut i søknadsportalen, kvart "
         "vilkår "
         "blir godteke for seg, og det blir signert av kommunedirektør, bydelsdirektør eller tilsett med "
         "fullmakt. Tagnad er ikkje aksept: svarar ikkje kommunen innan fristen, fell tilbodet bort."},
    [PAYMENT] = {"Tilskuddet betales ut etter at akseptbrevet er mottatt, til den kontoen kommunen oppgir "
                 "der, i så mange "
                 "terminer: %d.",
                 "Tilskotet blir betalt ut etter at akseptbrevet er motteke, til den kontoen kommunen "
                 "oppgjev der, i så "
                 "mange terminar: %d."},
    [REPORTING] =
        {"Kommunen leverer sluttrapport og regnskap for %d i søknadsportalen, tidligst %s og senest %s. "
         "Rapporten "
         "svarer på hvert av målene i dette brevet. Regnskapet viser bokførte inntekter og utgifter i %d "
         "etter "
         "linjene i det godkjente budsjettet. Begge godkjennes av prosjektansvarlig og av en overordnet "
         "leder.",
         "Kommunen leverer sluttrapport og rekneskap for %d i søknadsportalen, tidlegast %s og seinast %s. "
         "Rapporten svarer på kvart av måla i dette brevet. Rekneskapen viser bokførte inntekter og utgifter "
         "i %d "
         "etter linjene i det godkjende budsjettet. Begge blir godkjende av prosjektansvarleg og av ein "
         "overordna leiar."},
    [AUDITOR] = {" Regnskapet skal ha erklæring fra revisor.", " Rekneskapen skal ha fråsegn frå revisor."},
    [RESIDUAL_RULE] =
        {"Ubrukt tilskudd betales tilbake: det som utbetalt tilskudd, egenandel og annen finansiering til "
         "sammen utgjør ut over godkjente utgifter.",
         "Unytta tilskot skal betalast tilbake: det som utbetalt tilskot, eigendel og anna finansiering til "
         "saman utgjer ut over godkjende utgifter."},
    [PROPORTIONAL_RULE] =
        {"Ubrukt tilskudd betales tilbake: samme andel av tilskuddet som den del av de godkjente "
         "kostnadene som ikke er brukt.",
         "Unytta tilskot skal betalast tilbake: same del av tilskotet som den delen av dei godkjende "
         "kostnadene som ikkje er nytta."},
    [REPAYMENT] = {" Beløp under %s kreves ikke tilbake. Et krav betales innen %d dager. Blir vilkårene "
                   "brutt, kan utbetalingen "
                   "stanses og hele eller deler av tilskuddet kreves tilbake.",
                   " Beløp under %s blir ikkje kravde tilbake. Eit krav skal betalast innan %d dagar. Blir "
                   "vilkåra brotne, kan "
                   "utbetalinga stansast og heile eller delar av tilskotet krevjast tilbake."},
    [PUBLICITY] = {"Tildelingen og dette brevet er offentlige etter offentleglova § 3.",
                   "Tildelinga og dette brevet er offentlege etter offentleglova § 3."},
};

static const char *say(const struct grant *grant, enum sentence sentence)
{
    return grant->nynorsk ? sentences[sentence].nn : sentences[sentence].nb;
}

// Our sentences are formats of our own making; the compiler can not see that.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"

static char *acceptance_text(struct message *message, const struct grant *grant, const GrantLetter *letter)
{
    return arena_printf(message->arena, say(grant, ACCEPTANCE),
                        oslo_text(message->arena, letter->accept_by_at_us));
}

static char *payment_text(struct message *message, const struct grant *grant)
{
    return arena_printf(message->arena, say(grant, PAYMENT), grant->call.definition->instalments);
}

static char *reporting_text(struct message *message, const struct grant *grant, const GrantLetter *letter)
{
    const char *text = arena_printf(message->arena, say(grant, REPORTING), letter->year,
                                    oslo_text(message->arena, letter->report_opens_at_us),
                                    oslo_text(message->arena, letter->report_due_at_us), letter->year);
    int64_t threshold_ore = grant->call.definition->auditor_threshold_kroner * KRONE;
    bool audited = threshold_ore > 0 && letter->amount_ore >= threshold_ore;
    return arena_printf(message->arena, "%s%s", text, audited ? say(grant, AUDITOR) : "");
}

static char *repayment_text(struct message *message, const struct grant *grant, const GrantLetter *letter)
{
    bool proportional = letter->repayment_rule == TYPES__V1__REPAYMENT_RULE__PROPORTIONAL;
    const char *rest = arena_printf(message->arena, say(grant, REPAYMENT),
                                    money_text(message->arena, letter->repayment_minimum_ore),
                                    letter->repayment_days);
    return arena_printf(message->arena, "%s%s", say(grant, proportional ? PROPORTIONAL_RULE : RESIDUAL_RULE),
                        rest);
}

#pragma GCC diagnostic pop

// ------------------------------------------------------------------------ the parts that are lists

static void add_item(struct message *message, char *id, char *text, LetterItem ***items, size_t *count)
{
    LetterItem *item = arena_alloc(message->arena, sizeof *item);
    allocation__v1__letter_item__init(item);
    item->id = id;
    item->text = text;
    (*items)[(*count)++] = item;
}

static void add_conditions_and_goals(struct message *message, const struct grant *grant, GrantLetter *letter)
{
    const CallDefinition *call = grant->call.definition;
    letter->conditions = arena_alloc(message->arena, sizeof *letter->conditions * (call->n_conditions + 1));
    letter->goals = arena_alloc(message->arena, sizeof *letter->goals * (call->n_goals + 1));
    for (size_t i = 0; i < call->n_conditions; i++)
        add_item(message, call->conditions[i]->id, written_form(grant, call->conditions[i]->text),
                 &letter->conditions, &letter->n_conditions);
    for (size_t i = 0; i < call->n_goals; i++)
        add_item(message, call->goals[i]->id, written_form(grant, call->goals[i]->text), &letter->goals,
                 &letter->n_goals);
}

static void add_partners(struct message *message, const struct grant *grant, GrantLetter *letter)
{
    letter->partners = arena_alloc(message->arena,
                                   sizeof *letter->partners * (grant->content->n_partners + 1));
    for (size_t i = 0; i < grant->content->n_partners; i++)
        letter->partners[letter->n_partners++] = grant->content->partners[i]->organisation_number;
}

// The approved budget balances: what was cut from the grant is cut from the lines, each by its share.
static void approve_lines(struct message *message, const YearBudget *year, GrantLetter *letter)
{
    int64_t *costs = arena_alloc(message->arena, sizeof *costs * (year->n_lines + 1));
    int64_t *approved = arena_alloc(message->arena, sizeof *approved * (year->n_lines + 1));
    int64_t cost = 0, total = letter->amount_ore + letter->own_ore + letter->other_ore;
    for (size_t i = 0; i < year->n_lines; i++)
        cost += approved[i] = costs[i] = year->lines[i]->cost_ore;
    if (cost > 0 && cost != total)
        apportion(message->arena, total, costs, year->n_lines, total % KRONE ? 1 : KRONE, approved);

    letter->lines = arena_alloc(message->arena, sizeof *letter->lines * (year->n_lines + 1));
    for (size_t i = 0; i < year->n_lines; i++) {
        LetterLine *line = arena_alloc(message->arena, sizeof *line);
        allocation__v1__letter_line__init(line);
        line->code = year->lines[i]->code;
        line->amount_ore = approved[i];
        letter->lines[letter->n_lines++] = line;
    }
}

static void add_budget(struct message *message, const struct grant *grant, GrantLetter *letter)
{
    for (size_t i = 0; i < grant->content->n_budget; i++) {
        const YearBudget *year = grant->content->budget[i];
        if (year->year != letter->year)
            continue;
        for (size_t j = 0; j < year->n_own; j++)
            letter->own_ore += year->own[j]->cash_ore + year->own[j]->work_ore;
        for (size_t j = 0; j < year->n_other; j++)
            letter->other_ore += year->other[j]->amount_ore;
        approve_lines(message, year, letter);
    }
}

// ------------------------------------------------------------------------------------- the letter

static void add_decision(struct message *message, const struct grant *grant, GrantLetter *letter)
{
    const AwardDecided *award = grant->award;
    letter->case_number = arena_printf(message->arena, "%s/%s", grant->call.id, grant->id);
    letter->year = award->year;
    letter->amount_ore = award->amount_ore;
    letter->planned = award->planned;
    letter->n_planned = award->n_planned;
    letter->decider = award->decided_by;
    letter->handler = (char *)grant->handler;
    bool cut = !award->full && *grant->recommendation.cuts;
    letter->reasons = arena_printf(message->arena, "%s%s%s%s", award->reason, cut ? "\n\n" : "",
                                   cut ? say(grant, CUTS) : "", cut ? grant->recommendation.cuts : "");
}

static void add_terms(struct message *message, const struct grant *grant, GrantLetter *letter)
{
    const CallDefinition *call = grant->call.definition;
    letter->chapter_post = call->chapter_post;
    letter->instalments = call->instalments;
    letter->report_opens_at_us = call->report_opens_at_us;
    letter->report_due_at_us = call->report_due_at_us;
    letter->repayment_rule = call->repayment_rule;
    letter->repayment_minimum_ore = call->repayment_minimum_ore;
    letter->repayment_days = call->repayment_days;
    letter->deviation_explained_ore = call->deviation_explained_ore;
    letter->reservation = letter->n_planned ? written_form(grant, call->reservation) : "";
    letter->control_right = written_form(grant, call->control_right);
    letter->no_appeal = written_form(grant, call->no_appeal);
    letter->contact = call->contact;
    letter->accept_by_at_us = oslo_days_end(message->at_us, call->accept_days, false);
    letter->publicity = (char *)say(grant, PUBLICITY);
    letter->acceptance = acceptance_text(message, grant, letter);
    letter->payment = payment_text(message, grant);
    letter->reporting = reporting_text(message, grant, letter);
    letter->repayment = repayment_text(message, grant, letter);
}

#define BLOCK(field)                                                                                         \
    {                                                                                                        \
#field, offsetof(GrantLetter, field)                                                                 \
    }
static const struct {
    const char *name;
    size_t offset;
} blocks[] = {
    BLOCK(recipient), BLOCK(organisation_number), BLOCK(case_number), BLOCK(chapter_post), BLOCK(purpose),
    BLOCK(reasons),   BLOCK(acceptance),          BLOCK(payment),     BLOCK(reporting),    BLOCK(repayment),
    BLOCK(no_appeal), BLOCK(control_right),       BLOCK(publicity),   BLOCK(handler),      BLOCK(decider),
    BLOCK(contact),
};

// The first mandatory block that is empty; NULL when none is.
static const char *empty_block(const GrantLetter *letter)
{
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (!**(char *const *)((const char *)letter + blocks[i].offset))
            return blocks[i].name;
    for (size_t i = 0; i < letter->n_conditions; i++)
        if (!*letter->conditions[i]->text)
            return "conditions";
    for (size_t i = 0; i < letter->n_goals; i++)
        if (!*letter->goals[i]->text)
            return "goals";
    if (letter->n_planned && !*letter->reservation)
        return "reservation";
    return !letter->n_conditions ? "conditions"
           : !letter->n_goals    ? "goals"
           : !letter->n_lines    ? "lines"
                                 : NULL;
}

status_t letter_write(struct message *message, const struct grant *grant, GrantLetter *ret)
{
    assert(grant->award && grant->content);
    GrantLetter letter = ALLOCATION__V1__GRANT_LETTER__INIT;
    letter.application_id = (char *)grant->id;
    letter.letter_version = grant->letter_version + 1;
    letter.language = grant->nynorsk ? "nn" : "nb";
    letter.recipient = (char *)grant->name;
    letter.organisation_number = (char *)grant->organisation_number;
    const char *purpose = written_form(grant, grant->call.definition->purpose);
    letter.purpose = *purpose && *grant->content->title
                         ? arena_printf(message->arena, "%s\n\n%s%s", purpose, say(grant, PROJECT),
                                        grant->content->title)
                         : "";
    add_decision(message, grant, &letter);
    add_terms(message, grant, &letter);
    add_partners(message, grant, &letter);
    add_conditions_and_goals(message, grant, &letter);
    add_budget(message, grant, &letter);

    const char *empty = empty_block(&letter);
    if (empty)
        return fail(message, REFUSED,
                    "the letter of application %s can not be written: its block %s is empty, and every "
                    "letter must have it",
                    grant->id, empty);
    *ret = letter;
    return OK;
}
