// definition: what the definition of a call must say, field by field. The ranges are those of
// proto/types_v1.proto.
#include "intake.h"

#include "values/values.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define ID_CHARACTERS   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
#define CALL_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789-"
#define INSTANT_MOST    INT64_C(4102444800000000)  // 2100-01-01

// Numbers that have a range of their own, whatever else the definition says.
static const struct {
    const char *path;
    size_t at;
    bool wide;  // int64, otherwise int32
    int64_t least;
    int64_t most;
} numbers[] = {
#define NARROW(field, least, most)                                                                           \
    {                                                                                                        \
        "definition." #field, offsetof(CallDefinition, field), false, least, most                            \
    }
#define WIDE(field, least, most)                                                                             \
    {                                                                                                        \
        "definition." #field, offsetof(CallDefinition, field), true, least, most                             \
    }
    NARROW(year, 2000, 2100),
    WIDE(frame_ore, 100, MONEY_MAX),
    WIDE(opens_at_us, 1, INSTANT_MOST),
    WIDE(deadline_at_us, 1, INSTANT_MOST),
    NARROW(draft_expires_hours, 1, 720),
    NARROW(max_years, 1, 3),
    NARROW(instalments, 1, 1),
    NARROW(own_contribution_percent, 0, 99),
    WIDE(granularity_ore, 100, MONEY_MAX),
    NARROW(max_disagreement, 0, 100),
    NARROW(accept_days, 1, 90),
    WIDE(report_opens_at_us, 1, INSTANT_MOST),
    WIDE(report_due_at_us, 1, INSTANT_MOST),
    NARROW(interim_reports, 0, 0),
    WIDE(repayment_minimum_ore, 0, MONEY_MAX),
    NARROW(repayment_days, 1, 180),
    WIDE(deviation_explained_ore, 0, MONEY_MAX),
    NARROW(auditor_threshold_kroner, 0, INT32_MAX),
#undef NARROW
#undef WIDE
};

// Texts of one line in one language.
static const struct {
    const char *path;
    size_t at;
} lines[] = {
    {"definition.scheme", offsetof(CallDefinition, scheme)},
    {"definition.area", offsetof(CallDefinition, area)},
    {"definition.chapter_post", offsetof(CallDefinition, chapter_post)},
    {"definition.rule_document", offsetof(CallDefinition, rule_document)},
};

// Texts in both written forms.
static const struct {
    const char *path;
    size_t at;
    size_t most;
} texts[] = {
    {"definition.title", offsetof(CallDefinition, title), LIMIT_LINE_BYTES},
    {"definition.purpose", offsetof(CallDefinition, purpose), LIMIT_TEXT_BYTES},
    {"definition.who_may_apply", offsetof(CallDefinition, who_may_apply), LIMIT_TEXT_BYTES},
    {"definition.no_appeal", offsetof(CallDefinition, no_appeal), LIMIT_TEXT_BYTES},
    {"definition.control_right", offsetof(CallDefinition, control_right), LIMIT_TEXT_BYTES},
    {"definition.reservation", offsetof(CallDefinition, reservation), LIMIT_TEXT_BYTES},
};

static const void *member(const CallDefinition *definition, size_t at)
{
    return (const char *)definition + at;
}

static void check_numbers(struct faults *faults, const CallDefinition *definition)
{
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const void *at = member(definition, numbers[i].at);
        int64_t value = numbers[i].wide ? *(const int64_t *)at : *(const int32_t *)at;
        field_range(faults, numbers[i].path, value, numbers[i].least, numbers[i].most);
    }
}

static void check_texts(struct faults *faults, const CallDefinition *definition)
{
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        field_line(faults, lines[i].path, *(char *const *)member(definition, lines[i].at));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        field_both(faults, texts[i].path, *(Text *const *)member(definition, texts[i].at), texts[i].most);
}

static void check_identity(struct faults *faults, const CallDefinition *definition)
{
    if (!field_made_of(definition->call_id, CALL_CHARACTERS, 3, 64))
        fault(faults, "definition.call_id is \"%.80s\"; it must be 3 to 64 of a-z, 0-9 and -",
              definition->call_id);
    if (*definition->rule_document_sha256 && !sha256_text_valid(definition->rule_document_sha256))
        fault(faults,
              "definition.rule_document_sha256 is \"%.80s\"; it must be 64 lower-case hex digits, or empty",
              definition->rule_document_sha256);
    if (strlen(definition->contact) > LIMIT_LINE_BYTES || strpbrk(definition->contact, " \t\n") != NULL ||
        strchr(definition->contact, '@') == NULL)
        fault(faults, "definition.contact is \"%.80s\"; it must be a mail address", definition->contact);
    if (definition->repayment_rule == TYPES__V1__REPAYMENT_RULE__REPAYMENT_RULE_UNSPECIFIED)
        fault(faults, "definition.repayment_rule is missing; it must be RESIDUAL or PROPORTIONAL");
}

static void check_money(struct faults *faults, const CallDefinition *definition)
{
    if (!money_whole(definition->frame_ore))
        fault(faults, "definition.frame_ore is %lld; it must be whole kroner, a multiple of 100",
              (long long)definition->frame_ore);
    if (!money_whole(definition->granularity_ore))
        fault(faults, "definition.granularity_ore is %lld; it must be whole kroner, a multiple of 100",
              (long long)definition->granularity_ore);
    if (definition->granularity_ore > definition->frame_ore)
        fault(faults, "definition.granularity_ore is %lld; it must be at most frame_ore (%lld)",
              (long long)definition->granularity_ore, (long long)definition->frame_ore);
}

static void check_times(struct faults *faults, const CallDefinition *definition)
{
    if (definition->deadline_at_us <= definition->opens_at_us)
        fault(faults, "definition.deadline_at_us is %lld; it must be after opens_at_us (%lld)",
              (long long)definition->deadline_at_us, (long long)definition->opens_at_us);
    if (definition->report_due_at_us <= definition->report_opens_at_us)
        fault(faults, "definition.report_due_at_us is %lld; it must be after report_opens_at_us (%lld)",
              (long long)definition->report_due_at_us, (long long)definition->report_opens_at_us);
}

static void check_forms(struct faults *faults, const CallDefinition *definition)
{
    field_count(faults, "definition.eligible_forms", definition->n_eligible_forms, 1, 20);
    for (size_t i = 0; i < definition->n_eligible_forms; i++) {
        const char *form = definition->eligible_forms[i];
        if (!field_made_of(form, ID_CHARACTERS, 1, 16))
            fault(faults,
                  "definition.eligible_forms[%zu] is \"%.40s\"; it must be a form of the register, for "
                  "example KOMM",
                  i, form);
        for (size_t earlier = 0; earlier < i; earlier++)
            if (strcmp(form, definition->eligible_forms[earlier]) == 0)
                fault(faults, "definition.eligible_forms[%zu] is %s again; each form stands once", i, form);
    }
}

// The ids of a list: each of the right characters, each once.
static void check_ids(struct faults *faults, const CallDefinition *definition, const char *list, size_t count,
                      const char *(*id_of)(const CallDefinition *definition, size_t i))
{
    for (size_t i = 0; i < count; i++) {
        const char *id = id_of(definition, i);
        if (!field_made_of(id, ID_CHARACTERS, 1, 16))
            fault(faults, "definition.%s[%zu].id is \"%.40s\"; it must be 1 to 16 of A-Z, 0-9 and _", list, i,
                  id);
        for (size_t earlier = 0; earlier < i; earlier++)
            if (strcmp(id, id_of(definition, earlier)) == 0)
                fault(faults, "definition.%s[%zu].id is %s, as is [%zu].id; each id stands once", list, i, id,
                      earlier);
    }
}

static const char *criterion_id(const CallDefinition *definition, size_t i)
{
    return definition->criteria[i]->id;
}

static const char *condition_id(const CallDefinition *definition, size_t i)
{
    return definition->conditions[i]->id;
}

static const char *goal_id(const CallDefinition *definition, size_t i)
{
    return definition->goals[i]->id;
}

static void check_criterion(struct faults *faults, const CallDefinition *definition, size_t i)
{
    const Criterion *criterion = definition->criteria[i];
    const char *path = arena_printf(faults->arena, "definition.criteria[%zu]", i);

    field_both(faults, arena_printf(faults->arena, "%s.question", path), criterion->question,
               LIMIT_TEXT_BYTES);
    field_line(faults, arena_printf(faults->arena, "%s.source", path), criterion->source);
    field_range(faults, arena_printf(faults->arena, "%s.lowest", path), criterion->lowest, 0, 99);
    field_range(faults, arena_printf(faults->arena, "%s.weight", path), criterion->weight, 1, 100);
    field_range(faults, arena_printf(faults->arena, "%s.tie_order", path), criterion->tie_order, 0, 100);
    if (criterion->highest <= criterion->lowest || criterion->highest > 100)
        fault(faults, "%s.highest is %d; it must be above lowest (%d) and at most 100", path,
              criterion->highest, criterion->lowest);
    for (size_t earlier = 0; earlier < i; earlier++)
        if (criterion->tie_order > 0 && criterion->tie_order == definition->criteria[earlier]->tie_order)
            fault(faults, "%s.tie_order is %d, as is [%zu].tie_order; each place in the order stands once",
                  path, criterion->tie_order, earlier);
}

static void check_criteria(struct faults *faults, const CallDefinition *definition)
{
    field_count(faults, "definition.criteria", definition->n_criteria, 1, 20);
    check_ids(faults, definition, "criteria", definition->n_criteria, criterion_id);
    for (size_t i = 0; i < definition->n_criteria; i++)
        check_criterion(faults, definition, i);
}

static void check_conditions(struct faults *faults, const CallDefinition *definition)
{
    field_count(faults, "definition.conditions", definition->n_conditions, 0, 40);
    check_ids(faults, definition, "conditions", definition->n_conditions, condition_id);
    for (size_t i = 0; i < definition->n_conditions; i++)
        field_both(faults, arena_printf(faults->arena, "definition.conditions[%zu].text", i),
                   definition->conditions[i]->text, LIMIT_TEXT_BYTES);
}

static void check_goals(struct faults *faults, const CallDefinition *definition)
{
    field_count(faults, "definition.goals", definition->n_goals, 0, 40);
    check_ids(faults, definition, "goals", definition->n_goals, goal_id);
    for (size_t i = 0; i < definition->n_goals; i++)
        field_both(faults, arena_printf(faults->arena, "definition.goals[%zu].text", i),
                   definition->goals[i]->text, LIMIT_TEXT_BYTES);
}

static void check_whole(struct faults *faults, const CallDefinition *definition)
{
    size_t size = protobuf_c_message_get_packed_size(&definition->base);

    if (size > DEFINITION_BYTES)
        fault(faults, "definition is %zu bytes; at most %d are kept", size, DEFINITION_BYTES);
}

// In the order in which a person would fill in the definition.
static void (*const checks[])(struct faults *faults, const CallDefinition *definition) = {
    check_identity, check_texts,    check_numbers,    check_money, check_times,
    check_forms,    check_criteria, check_conditions, check_goals, check_whole,
};

void definition_check(struct faults *faults, const CallDefinition *definition)
{
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++)
        checks[i](faults, definition);
}
