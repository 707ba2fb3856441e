// content: what a complete application says, field by field, as a table of checks. The same table measures a
// draft: then things may be missing, and only sizes and counts are looked at.
#include "intake.h"

#include "values/values.h"

#include <stddef.h>
#include <string.h>

// What a check looks at.
struct subject {
    const Content *content;
    const struct dossier
        *dossier;  // call, lead, registered partners, confirmations; not looked at for a draft
};

typedef void check_f(struct faults *faults, const struct subject *subject);

#define PATH(...) arena_printf(faults->arena, __VA_ARGS__)

// ------------------------------------------------------------------------------------------------- texts

static void check_title(struct faults *faults, const struct subject *subject)
{
    field_line(faults, "content.title", subject->content->title);
}

static void check_purpose_text(struct faults *faults, const struct subject *subject)
{
    field_prose(faults, "content.purpose_text", subject->content->purpose_text);
}

static void check_tested(struct faults *faults, const struct subject *subject)
{
    field_prose(faults, "content.tested", subject->content->tested);
}

static void check_staffing(struct faults *faults, const struct subject *subject)
{
    field_prose(faults, "content.staffing", subject->content->staffing);
}

static void check_risk(struct faults *faults, const struct subject *subject)
{
    field_prose(faults, "content.risk", subject->content->risk);
}

static void check_transfer(struct faults *faults, const struct subject *subject)
{
    const TransferPlan *transfer = subject->content->transfer;

    if (transfer == NULL) {
        lack(faults, "content.transfer is missing; product, recipients, channel and when are required");
        return;
    }
    field_prose(faults, "content.transfer.product", transfer->product);
    field_prose(faults, "content.transfer.recipients", transfer->recipients);
    field_prose(faults, "content.transfer.channel", transfer->channel);
    field_prose(faults, "content.transfer.when", transfer->when);
}

static void check_language(struct faults *faults, const struct subject *subject)
{
    const char *language = subject->content->language;

    if (*language != '\0' && strcmp(language, "nb") != 0 && strcmp(language, "nn") != 0)
        fault(faults, "content.language is \"%.20s\"; it must be nb, nn or empty for the municipality's own",
              language);
}

// ------------------------------------------------------------------------------------------------- codes

// A list of codes of one enum: at least one, none unspecified, each once.
static void check_codes(struct faults *faults, const char *path, const ProtobufCEnumDescriptor *type,
                        size_t count, const void *codes, size_t least)
{
    const int *code = codes;  // protobuf-c keeps every enum as an int

    field_count(faults, path, count, least, type->n_values - 1);
    for (size_t i = 0; i < count; i++) {
        if (code[i] == 0)
            lack(faults, "%s[%zu] is unspecified; one of its codes must be chosen", path, i);
        for (size_t earlier = 0; earlier < i; earlier++)
            if (code[i] != 0 && code[i] == code[earlier])
                lack(faults, "%s[%zu] is %s again; each code stands once", path, i,
                     protobuf_c_enum_descriptor_get_value(type, code[i])->name);
    }
}

static void check_purposes(struct faults *faults, const struct subject *subject)
{
    check_codes(faults, "content.purposes", &intake__v1__content__purpose__descriptor,
                subject->content->n_purposes, subject->content->purposes, 1);
}

static void check_directions(struct faults *faults, const struct subject *subject)
{
    check_codes(faults, "content.directions", &intake__v1__content__direction__descriptor,
                subject->content->n_directions, subject->content->directions, 1);
}

static void check_target_groups(struct faults *faults, const struct subject *subject)
{
    check_codes(faults, "content.target_groups", &intake__v1__content__target_group__descriptor,
                subject->content->n_target_groups, subject->content->target_groups, 1);
}

static void check_outputs(struct faults *faults, const struct subject *subject)
{
    check_codes(faults, "content.outputs", &intake__v1__content__output__descriptor,
                subject->content->n_outputs, subject->content->outputs, 1);
}

// Guides, training and competence are for someone; the call's own list of activities is only examples.
static const size_t audiences_least[] = {
    [INTAKE__V1__ACTIVITY__CODE__GUIDE] = 1,
    [INTAKE__V1__ACTIVITY__CODE__TRAINING_MATERIAL] = 1,
    [INTAKE__V1__ACTIVITY__CODE__COMPETENCE] = 1,
    [INTAKE__V1__ACTIVITY__CODE__OTHER] = 0,
};

static void check_activity(struct faults *faults, const Activity *activity, const char *path)
{
    if (activity->code == INTAKE__V1__ACTIVITY__CODE__UNSPECIFIED)
        lack(faults, "%s.code is missing; one of its codes must be chosen", path);
    check_codes(faults, PATH("%s.audiences", path), &intake__v1__activity__audience__descriptor,
                activity->n_audiences, activity->audiences, audiences_least[activity->code]);
    if (activity->code == INTAKE__V1__ACTIVITY__CODE__OTHER || *activity->text != '\0')
        field_prose(faults, PATH("%s.text", path), activity->text);
}

static void check_activities(struct faults *faults, const struct subject *subject)
{
    const Content *content = subject->content;

    field_count(faults, "content.activities", content->n_activities, 1, 50);
    for (size_t i = 0; i < content->n_activities; i++)
        check_activity(faults, content->activities[i], PATH("content.activities[%zu]", i));
}

// ------------------------------------------------------------------------------------------ goals and plan

static void check_goals(struct faults *faults, const struct subject *subject)
{
    const Content *content = subject->content;

    field_count(faults, "content.goals", content->n_goals, 1, 50);
    for (size_t i = 0; i < content->n_goals; i++) {
        field_prose(faults, PATH("content.goals[%zu].text", i), content->goals[i]->text);
        field_prose(faults, PATH("content.goals[%zu].indicator", i), content->goals[i]->indicator);
        field_prose(faults, PATH("content.goals[%zu].target", i), content->goals[i]->target);
    }
}

static bool check_date(struct faults *faults, const char *path, const char *text)
{
    int year, month, day;

    field_line(faults, path, text);
    if (date_parse(text, &year, &month, &day))
        return true;
    if (*text != '\0')
        lack(faults, "%s is \"%.40s\"; it must be a date, YYYY-MM-DD", path, text);
    return false;
}

static void check_step(struct faults *faults, const PlanStep *step, const char *path)
{
    field_prose(faults, PATH("%s.activity", path), step->activity);
    field_line(faults, PATH("%s.responsible", path), step->responsible);
    bool from_is_date = check_date(faults, PATH("%s.from", path), step->from);
    bool to_is_date = check_date(faults, PATH("%s.to", path), step->to);
    if (from_is_date && to_is_date && strcmp(step->to, step->from) < 0)
        lack(faults, "%s.to is %s; it must not be before from (%s)", path, step->to, step->from);
}

static void check_plan(struct faults *faults, const struct subject *subject)
{
    const Content *content = subject->content;

    field_count(faults, "content.plan", content->n_plan, 1, 100);
    for (size_t i = 0; i < content->n_plan; i++)
        check_step(faults, content->plan[i], PATH("content.plan[%zu]", i));
}

static void check_earlier_project(struct faults *faults, const EarlierProject *project, const char *path)
{
    field_line(faults, PATH("%s.title", path), project->title);
    field_line(faults, PATH("%s.role", path), project->role);
    field_prose(faults, PATH("%s.result", path), project->result);
    field_line(faults, PATH("%s.reference", path), project->reference);
}

static void check_earlier_projects(struct faults *faults, const struct subject *subject)
{
    const Content *content = subject->content;

    field_count(faults, "content.earlier_projects", content->n_earlier_projects, 1, 30);
    for (size_t i = 0; i < content->n_earlier_projects; i++) {
        const char *path = PATH("content.earlier_projects[%zu]", i);
        check_earlier_project(faults, content->earlier_projects[i], path);
        if (faults->complete)
            field_range(faults, PATH("%s.year", path), content->earlier_projects[i]->year, 1990,
                        subject->dossier->call.definition->year);
    }
}

// ---------------------------------------------------------------------------------------- declared things

static void check_personal_data(struct faults *faults, const struct subject *subject)
{
    const Content *content = subject->content;

    if (content->special_category && !content->personal_data)
        lack(faults, "content.personal_data is false; it must be true when special_category is");
    if (content->special_category || *content->personal_data_assessment != '\0')
        field_prose(faults, "content.personal_data_assessment", content->personal_data_assessment);
}

static void check_declarations(struct faults *faults, const struct subject *subject)
{
    if (!subject->content->not_ordinary_operation)
        lack(faults, "content.not_ordinary_operation is not declared; grants do not pay ordinary operation "
                     "or investment");
    if (!subject->content->net_of_vat)
        lack(faults, "content.net_of_vat is not declared; costs must be without compensated VAT");
}

// ------------------------------------------------------------------------------------------------ partners

static const Organisation *find_organisation(const struct organisations *organisations, const char *number)
{
    for (int i = 0; i < organisations->count; i++)
        if (strcmp(organisations->all[i]->organisation_number, number) == 0)
            return organisations->all[i];
    return NULL;
}

static void check_partner_register(struct faults *faults, const struct dossier *dossier, const char *number,
                                   const char *path)
{
    const Organisation *organisation = find_organisation(&dossier->organisations, number);

    if (strcmp(number, dossier->application.lead) == 0)
        fault(faults, "%s.organisation_number is %s, the lead; a partner must be another municipality", path,
              number);
    else if (organisation == NULL)
        fault(faults, "%s.organisation_number is %s, which is not in the register of organisations", path,
              number);
    else if (strcmp(organisation->form, "KOMM") != 0)
        fault(faults,
              "%s.organisation_number is %s (%.80s), of the form %s; a partner must be a municipality (KOMM)",
              path, number, organisation->name, organisation->form);
}

static void check_partner(struct faults *faults, const struct subject *subject, size_t i)
{
    const Partner *partner = subject->content->partners[i];
    const char *path = PATH("content.partners[%zu]", i);

    field_line(faults, PATH("%s.organisation_number", path), partner->organisation_number);
    field_line(faults, PATH("%s.role", path), partner->role);
    for (size_t earlier = 0; earlier < i; earlier++)
        if (strcmp(partner->organisation_number, subject->content->partners[earlier]->organisation_number) ==
            0)
            lack(faults, "%s.organisation_number is %.20s, as is [%zu]; each partner stands once", path,
                 partner->organisation_number, earlier);
    if (!faults->complete || *partner->organisation_number == '\0')
        return;
    if (organisation_number_valid(partner->organisation_number))
        check_partner_register(faults, subject->dossier, partner->organisation_number, path);
    else
        fault(faults, "%s.organisation_number is \"%.20s\"; it must be 9 digits with the right check digit",
              path, partner->organisation_number);
}

static void check_partners(struct faults *faults, const struct subject *subject)
{
    field_count(faults, "content.partners", subject->content->n_partners, 0, 40);
    for (size_t i = 0; i < subject->content->n_partners; i++)
        check_partner(faults, subject, i);
}

static void check_confirmations(struct faults *faults, const struct subject *subject)
{
    if (!faults->complete)
        return;
    for (size_t i = 0; i < subject->content->n_partners; i++) {
        const char *number = subject->content->partners[i]->organisation_number;
        if (!content_confirmed(subject->dossier, subject->content, number))
            fault(faults, "partner %.20s has not confirmed its participation with its present share", number);
    }
}

// -------------------------------------------------------------------------------------------------- budget

// The sums of one year.
struct sums {
    int64_t cost;
    int64_t own;
    int64_t other;
    int64_t financing;  // grant + own + other
};

// False when an amount or a sum is no valid money; that is told elsewhere.
static bool sum_year(const YearBudget *year, struct sums *ret)
{
    bool valid = money_valid(year->grant_ore);

    *ret = (struct sums){0};
    for (size_t i = 0; i < year->n_lines && valid; i++)
        valid = money_valid(year->lines[i]->cost_ore) && money_add(&ret->cost, year->lines[i]->cost_ore);
    for (size_t i = 0; i < year->n_own && valid; i++)
        valid = money_valid(year->own[i]->cash_ore) && money_valid(year->own[i]->work_ore) &&
                money_add(&ret->own, year->own[i]->cash_ore) && money_add(&ret->own, year->own[i]->work_ore);
    for (size_t i = 0; i < year->n_other && valid; i++)
        valid = money_valid(year->other[i]->amount_ore) && money_add(&ret->other, year->other[i]->amount_ore);
    return valid && money_add(&ret->financing, year->grant_ore) && money_add(&ret->financing, ret->own) &&
           money_add(&ret->financing, ret->other);
}

static void check_amount(struct faults *faults, const char *path, int64_t ore, int64_t least)
{
    if (!money_valid(ore) || ore < least)
        lack(faults, "%s is %lld; it must be %s0 and at most %lld", path, (long long)ore,
             least > 0 ? "above " : "at least ", (long long)MONEY_MAX);
}

static void check_lines(struct faults *faults, const YearBudget *year, const char *path)
{
    field_count(faults, PATH("%s.lines", path), year->n_lines, 1, 8);
    for (size_t i = 0; i < year->n_lines; i++) {
        const BudgetLine *line = year->lines[i];
        const char *at = PATH("%s.lines[%zu]", path, i);
        if (line->code == TYPES__V1__LINE_CODE__LINE_CODE_UNSPECIFIED)
            lack(faults, "%s.code is missing; one of its codes must be chosen", at);
        for (size_t earlier = 0; earlier < i; earlier++)
            if (line->code == year->lines[earlier]->code)
                lack(faults, "%s.code is %s, as is [%zu].code; each code stands once a year", at,
                     protobuf_c_enum_descriptor_get_value(&types__v1__line_code__descriptor, (int)line->code)
                         ->name,
                     earlier);
        check_amount(faults, PATH("%s.cost_ore", at), line->cost_ore, 1);
        if (line->code == TYPES__V1__LINE_CODE__OTHER_COST || *line->description != '\0')
            field_prose(faults, PATH("%s.description", at), line->description);
    }
}

static void check_grant(struct faults *faults, const struct subject *subject, size_t i, const char *path)
{
    const YearBudget *year = subject->content->budget[i];

    check_amount(faults, PATH("%s.grant_ore", path), year->grant_ore, 1);
    if (!money_whole(year->grant_ore))
        lack(faults, "%s.grant_ore is %lld; it must be whole kroner, a multiple of 100", path,
             (long long)year->grant_ore);
    if (faults->complete && i == 0 && year->grant_ore > subject->dossier->call.definition->frame_ore)
        fault(faults, "%s.grant_ore is %lld; it must be at most the call's frame (%lld)", path,
              (long long)year->grant_ore, (long long)subject->dossier->call.definition->frame_ore);
}

static void check_own(struct faults *faults, const struct subject *subject, const YearBudget *year,
                      const char *path)
{
    field_count(faults, PATH("%s.own", path), year->n_own, 1, 41);
    for (size_t i = 0; i < year->n_own; i++) {
        const OwnShare *share = year->own[i];
        const char *at = PATH("%s.own[%zu]", path, i);
        field_line(faults, PATH("%s.organisation_number", at), share->organisation_number);
        check_amount(faults, PATH("%s.cash_ore", at), share->cash_ore, 0);
        check_amount(faults, PATH("%s.work_ore", at), share->work_ore, 0);
        if (faults->complete && strcmp(share->organisation_number, subject->dossier->application.lead) != 0 &&
            !content_has_partner(subject->content, share->organisation_number))
            fault(faults, "%s.organisation_number is \"%.20s\"; it must be the lead (%s) or a partner", at,
                  share->organisation_number, subject->dossier->application.lead);
        for (size_t earlier = 0; earlier < i; earlier++)
            if (strcmp(share->organisation_number, year->own[earlier]->organisation_number) == 0)
                lack(faults, "%s.organisation_number is %.20s, as is [%zu]; each stands once a year", at,
                     share->organisation_number, earlier);
    }
}

static void check_other(struct faults *faults, const YearBudget *year, const char *path)
{
    field_count(faults, PATH("%s.other", path), year->n_other, 0, 30);
    for (size_t i = 0; i < year->n_other; i++) {
        field_line(faults, PATH("%s.other[%zu].source", path, i), year->other[i]->source);
        check_amount(faults, PATH("%s.other[%zu].amount_ore", path, i), year->other[i]->amount_ore, 1);
    }
}

// What must hold between the amounts of a year, to the øre.
static void check_sums(struct faults *faults, const struct subject *subject, const YearBudget *year,
                       const char *path)
{
    struct sums sums;
    int percent = subject->dossier->call.definition->own_contribution_percent;

    if (!sum_year(year, &sums)) {
        fault(faults, "%s has a sum outside 0 to %lld øre", path, (long long)MONEY_MAX);
        return;
    }
    if (sums.cost != sums.financing)
        fault(faults,
              "%s (%d) does not balance: costs are %s, grant, own and other funding are %s, the difference "
              "is %s",
              path, year->year, money_text(faults->arena, sums.cost),
              money_text(faults->arena, sums.financing),
              money_text(faults->arena, sums.cost > sums.financing ? sums.cost - sums.financing
                                                                   : sums.financing - sums.cost));
    if (sums.own == 0)
        fault(faults, "%s.own adds up to 0; the municipalities must contribute of their own", path);
    else if (sums.own * 100 < sums.cost * percent)
        fault(faults, "%s.own adds up to %s; it must be at least %d %% of the costs (%s)", path,
              money_text(faults->arena, sums.own), percent, money_text(faults->arena, sums.cost));
}

static void check_year(struct faults *faults, const struct subject *subject, size_t i)
{
    const YearBudget *year = subject->content->budget[i];
    const char *path = PATH("content.budget[%zu]", i);

    check_lines(faults, year, path);
    check_grant(faults, subject, i, path);
    check_own(faults, subject, year, path);
    check_other(faults, year, path);
    if (!faults->complete)
        return;
    if (year->year != subject->dossier->call.definition->year + (int)i)
        fault(faults, "%s.year is %d; it must be %d, years run without a gap from the call's year", path,
              year->year, subject->dossier->call.definition->year + (int)i);
    check_sums(faults, subject, year, path);
}

static void check_budget(struct faults *faults, const struct subject *subject)
{
    size_t count = subject->content->n_budget;

    field_count(faults, "content.budget", count, 1, 10);
    if (faults->complete && count > (size_t)subject->dossier->call.definition->max_years)
        fault(faults, "content.budget has %zu years; this call allows 1 to %d", count,
              subject->dossier->call.definition->max_years);
    for (size_t i = 0; i < count; i++)
        check_year(faults, subject, i);
}

// ---------------------------------------------------------------------------------------------- contacts

// A personal text is seen here when it is saved, and never again: so whatever is wrong with it is wrong at once, in a
// draft as well. Its faults do not quote it; a refusal is kept for ever.
static void check_private(struct faults *faults, const char *path, const private_t *part)
{
    if (part == NULL || *part->text == '\0')
        return;
    field_line(faults, path, part->text);
    if (part->text[strspn(part->text, " \t\n")] == '\0')
        fault(faults, "%s is blank; write it, or leave it out", path);
}

// name@host.domain: one @ with something before it, and a dot within what stands after it.
static bool email_shaped(const char *text)
{
    const char *at = strchr(text, '@'), *dot = at != NULL ? strchr(at, '.') : NULL;

    return at != NULL && at > text && strchr(at + 1, '@') == NULL && strpbrk(text, " \t\n") == NULL &&
           dot > at + 1 && text[strlen(text) - 1] != '.';
}

static void check_contact(struct faults *faults, const Contact *contact, const char *path)
{
    const private_t *name = contact->name, *email = contact->email;

    if (name == NULL || (*name->text == '\0' && name->seal.len == 0))
        lack(faults, "%s.name is missing", path);
    check_private(faults, PATH("%s.name", path), name);
    check_private(faults, PATH("%s.email", path), email);
    if (email != NULL && *email->text != '\0' && !email_shaped(email->text))
        fault(faults, "%s.email is no e-mail address; right is name@host.domain", path);
    check_private(faults, PATH("%s.phone", path), contact->phone);
    if (*contact->role != '\0')
        field_line(faults, PATH("%s.role", path), contact->role);
}

static void check_contacts(struct faults *faults, const struct subject *subject)
{
    const Content *content = subject->content;

    field_count(faults, "content.contacts", content->n_contacts, 0, CONTACTS_MOST);
    for (size_t i = 0; i < content->n_contacts; i++)
        check_contact(faults, content->contacts[i], PATH("content.contacts[%zu]", i));
}

// ------------------------------------------------------------------------------------------ public part

bool content_has_partner(const Content *content, const char *organisation_number)
{
    for (size_t i = 0; content != NULL && i < content->n_partners; i++)
        if (strcmp(content->partners[i]->organisation_number, organisation_number) == 0)
            return true;
    return false;
}

bool content_share(const Content *content, const char *organisation_number, int64_t *ret_ore)
{
    int64_t sum = 0;
    bool valid = true;

    for (size_t year = 0; year < content->n_budget; year++) {
        for (size_t i = 0; i < content->budget[year]->n_own && valid; i++) {
            const OwnShare *share = content->budget[year]->own[i];
            if (strcmp(share->organisation_number, organisation_number) == 0)
                valid = money_valid(share->cash_ore) && money_valid(share->work_ore) &&
                        money_add(&sum, share->cash_ore) && money_add(&sum, share->work_ore);
        }
    }
    if (valid)
        *ret_ore = sum;
    return valid;
}

bool content_confirmed(const struct dossier *dossier, const Content *content, const char *organisation_number)
{
    int64_t share = 0;

    if (!content_share(content, organisation_number, &share))
        return false;
    for (int i = 0; i < dossier->n_confirmations; i++)
        if (strcmp(dossier->confirmations[i].organisation_number, organisation_number) == 0)
            return dossier->confirmations[i].own_ore == share;
    return false;
}

// In the order of the form.
static check_f *const checks[] = {
    check_title,        check_purposes,         check_purpose_text,
    check_directions,   check_target_groups,    check_outputs,
    check_activities,   check_tested,           check_goals,
    check_plan,         check_staffing,         check_risk,
    check_transfer,     check_earlier_projects, check_partners,
    check_budget,       check_personal_data,    check_language,
    check_declarations, check_contacts,         check_confirmations,
};

void content_check(struct faults *faults, const struct dossier *dossier, const Content *content)
{
    struct subject subject = {.content = content, .dossier = dossier};
    size_t size = protobuf_c_message_get_packed_size(&content->base);

    if (size > CONTENT_BYTES)
        fault(faults, "content is %zu bytes; at most %d are kept", size, CONTENT_BYTES);
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++)
        checks[i](faults, &subject);
}
