// rules_test: what intake allows, and in which words it refuses. The contents of applications and calls are
// spoiled one field at a time; every refusal stands here once.
#include "check/check.h"

#include "example.h"
#include "values/values.h"

#include <string.h>

#define SHA "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"

// ------------------------------------------------------------------------------------------------- given

static struct message by(const char *organisation, int64_t at_us)
{
    return check_message(at_us, "editor.1", ROLE_OF(EDITOR), organisation);
}

static struct message by_head(int64_t at_us)
{
    return check_message(at_us, "head.1", ROLE_OF(UNIT_HEAD), "");
}

static struct call a_call(arena_t *arena)
{
    return (struct call){.known = true,
                         .id = CALL,
                         .definition = example_definition(arena),
                         .deadline_at_us = DEADLINE,
                         .expires_at_us = DEADLINE + 24 * HOUR,
                         .late_filing = true};
}

// An application with content version 3, whose partner is registered and has confirmed its share.
static struct dossier a_dossier(arena_t *arena, enum application_state state)
{
    static const struct confirmation confirmation = {PARTNER, 50000};
    Organisation *partner = example_organisation(arena, PARTNER, "Stavanger kommune", "KOMM", "1103");

    return (struct dossier){
        .application = {.known = true,
                        .id = APPLICATION,
                        .call_id = CALL,
                        .lead = LEAD,
                        .municipality_number = "0301",
                        .name = "Oslo kommune",
                        .state = state,
                        .content_version = 3,
                        .content_sha256 = SHA,
                        .content = example_content(arena),
                        .requested_version = state == AWAITING_APPROVAL ? 3 : 0,
                        .disregarded = ""},
        .call = a_call(arena),
        .organisations = {1, LIST(Organisation *, partner)},
        .n_confirmations = 1,
        .confirmations = &confirmation,
        .decision = "",
    };
}

static SaveDraft a_save(arena_t *arena, uint32_t expected_version)
{
    SaveDraft command = INTAKE__V1__SAVE_DRAFT__INIT;

    command.application_id = (char *)APPLICATION;
    command.expected_version = expected_version;
    command.content = example_content(arena);
    return command;
}

static RequestApproval a_request(uint32_t expected_version)
{
    RequestApproval command = INTAKE__V1__REQUEST_APPROVAL__INIT;

    command.application_id = (char *)APPLICATION;
    command.expected_version = expected_version;
    return command;
}

static SignedOff a_signature(arena_t *arena, uint32_t version, int64_t signed_at_us)
{
    Approval__V1__Signature *signature = arena_alloc(arena, sizeof *signature);
    SignedOff event = APPROVAL__V1__SIGNED_OFF__INIT;

    approval__v1__signature__init(signature);
    signature->person = (char *)"director.1";
    event.application_id = (char *)APPLICATION;
    event.kind = TYPES__V1__SIGN_OFF_KIND__APPLICATION;
    event.version = version;
    event.content_sha256 = (char *)SHA;
    event.n_signatures = 1;
    event.signatures = LIST(Approval__V1__Signature *, signature);
    event.signed_at_us = signed_at_us;
    return event;
}

// A text that is one byte too long.
static char *too_long(arena_t *arena, size_t most)
{
    char *text = arena_alloc(arena, most + 2);

    memset(text, 'x', most + 1);
    return text;
}

// A list with the same element so many times.
static void *many(arena_t *arena, const void *element, size_t count)
{
    char *all = arena_alloc(arena, count * sizeof element);

    for (size_t i = 0; i < count; i++)
        memcpy(all + i * sizeof element, &element, sizeof element);
    return all;
}

// Ten conditions that are each allowed and together too large.
static Types__V1__Condition **long_conditions(arena_t *arena)
{
    Types__V1__Condition **all = arena_alloc(arena, 10 * sizeof *all);

    for (int i = 0; i < 10; i++) {
        all[i] = arena_alloc(arena, sizeof *all[i]);
        types__v1__condition__init(all[i]);
        all[i]->id = arena_printf(arena, "C%d", i);
        all[i]->text = example_text(arena, too_long(arena, LIMIT_TEXT_BYTES - 1),
                                    too_long(arena, LIMIT_TEXT_BYTES - 1));
    }
    return all;
}

// Fifty goals that are each allowed and together too large.
static ProjectGoal **long_goals(arena_t *arena)
{
    ProjectGoal **all = arena_alloc(arena, 50 * sizeof *all);

    for (int i = 0; i < 50; i++) {
        all[i] = arena_alloc(arena, sizeof *all[i]);
        intake__v1__project_goal__init(all[i]);
        all[i]->text = too_long(arena, LIMIT_TEXT_BYTES - 1);
    }
    return all;
}

static YearBudget **eleven_years(arena_t *arena)
{
    YearBudget **all = arena_alloc(arena, 11 * sizeof *all);

    for (int i = 0; i < 11; i++)
        all[i] = example_year(arena, 2024 + i);
    return all;
}

// --------------------------------------------------------------------------------------------- organisations

static ImportOrganisations an_import(arena_t *arena, Organisation *organisation)
{
    ImportOrganisations command = INTAKE__V1__IMPORT_ORGANISATIONS__INIT;

    command.n_organisations = 1;
    command.organisations = LIST(Organisation *, organisation);
    return command;
}

static void new_and_changed_organisations_are_registered(void **state)
{
    (void)state;
    // given one known organisation
    struct message message = check_message(JANUARY, "officer.1", ROLE_OF(CASE_OFFICER), "");
    arena_t *arena = message.arena;
    Organisation *known = example_organisation(arena, LEAD, "Oslo kommune", "KOMM", "0301");
    struct organisations register_now = {1, LIST(Organisation *, known)};
    // when it comes again unchanged with a new one, and a third whose name has changed
    ImportOrganisations command = an_import(arena, known);
    command.n_organisations = 2;
    command.organisations = LIST(Organisation *, known,
                                 example_organisation(arena, PARTNER, "Stavanger kommune", "KOMM", "1103"));
    assert_int_equal(OK, rule_import(&message, &register_now, &command));
    // then only the new one is an event
    const OrganisationRegistered *event = check_emitted(&message, 1, 0,
                                                        &intake__v1__organisation_registered__descriptor);
    assert_string_equal(PARTNER, event->organisation->organisation_number);

    struct message again = check_message(JANUARY, "officer.1", ROLE_OF(CASE_OFFICER), "");
    command = an_import(arena, example_organisation(arena, LEAD, "Oslo by", "KOMM", "0301"));
    assert_int_equal(OK, rule_import(&again, &register_now, &command));
    event = check_emitted(&again, 1, 0, &intake__v1__organisation_registered__descriptor);
    assert_string_equal("Oslo by", event->organisation->name);
}

#define WRONG_ORGANISATION(change, part)                                                                     \
    do {                                                                                                     \
        struct message message = check_message(JANUARY, "officer.1", ROLE_OF(CASE_OFFICER), "");             \
        arena_t *arena = message.arena;                                                                      \
        Organisation *one = example_organisation(arena, LEAD, "Oslo kommune", "KOMM", "0301");               \
        struct organisations none = {0};                                                                     \
        ImportOrganisations command = an_import(arena, one);                                                 \
        change;                                                                                              \
        status_t status = rule_import(&message, &none, &command);                                            \
        check_refused(&message, status, part);                                                               \
    } while (0)

static void malformed_organisations_are_refused(void **state)
{
    (void)state;
    WRONG_ORGANISATION(
        one->organisation_number = (char *)"958935421",
        "organisations[0].organisation_number is \"958935421\"; it must be 9 digits with the right check");
    WRONG_ORGANISATION(one->name = (char *)" ", "organisations[0].name is missing");
    WRONG_ORGANISATION(one->form = (char *)"komm", "organisations[0].form is \"komm\"; it must be a form");
    WRONG_ORGANISATION(
        one->municipality_number = (char *)"301",
        "organisations[0].municipality_number is \"301\"; it must be the 4 digits of a municipality");
    WRONG_ORGANISATION(one->municipality_number = (char *)"", "municipality_number is \"\"");
    WRONG_ORGANISATION(one->language = (char *)"en", "language is \"en\"; it must be nb, nn or neutral");
    WRONG_ORGANISATION(command.n_organisations = 0, "organisations is empty; at least 1 is required");
    WRONG_ORGANISATION((command.n_organisations = 2, command.organisations = LIST(Organisation *, one, one)),
                       "organisations[1].organisation_number is 958935420, as is [0]; each stands once");
    WRONG_ORGANISATION((command.n_organisations = 501, command.organisations = many(arena, one, 501)),
                       "organisations has 501 entries; at most 500 are allowed");
}

// ----------------------------------------------------------------------------------------------------- calls

static PublishCall a_publication(arena_t *arena)
{
    PublishCall command = INTAKE__V1__PUBLISH_CALL__INIT;

    command.definition = example_definition(arena);
    return command;
}

static void a_whole_definition_is_published(void **state)
{
    (void)state;
    struct message message = by_head(JANUARY);           // given
    PublishCall command = a_publication(message.arena);  // when
    assert_int_equal(OK, rule_publish(&message, &(struct call){0}, &command));
    const CallPublished *event = check_emitted(&message, 1, 0,
                                               &intake__v1__call_published__descriptor);  // then
    assert_string_equal(CALL, event->definition->call_id);
    assert_int_equal(DEADLINE, event->definition->deadline_at_us);
}

#define WRONG_CALL(change, part)                                                                             \
    do {                                                                                                     \
        struct message message = by_head(JANUARY);                                                           \
        arena_t *arena = message.arena;                                                                      \
        (void)arena;                                                                                         \
        PublishCall command = a_publication(message.arena);                                                  \
        CallDefinition *call = command.definition;                                                           \
        (void)call;                                                                                          \
        change;                                                                                              \
        status_t status = rule_publish(&message, &(struct call){0}, &command);                               \
        check_refused(&message, status, part);                                                               \
    } while (0)

static void a_number_out_of_its_range_is_refused(void **state)
{
    (void)state;
    WRONG_CALL(call->year = 1999, "definition.year is 1999; it must be 2000 to 2100");
    WRONG_CALL(call->frame_ore = 0, "definition.frame_ore is 0; it must be 100 to 10000000000000");
    WRONG_CALL(call->frame_ore = 150, "definition.frame_ore is 150; it must be whole kroner");
    WRONG_CALL(call->granularity_ore = 150, "definition.granularity_ore is 150; it must be whole kroner");
    WRONG_CALL(call->granularity_ore = 1000000100,
               "granularity_ore is 1000000100; it must be at most frame_ore");
    WRONG_CALL(call->draft_expires_hours = 721, "definition.draft_expires_hours is 721; it must be 1 to 720");
    WRONG_CALL(call->max_years = 4, "definition.max_years is 4; it must be 1 to 3");
    WRONG_CALL(call->instalments = 2, "definition.instalments is 2; it must be 1");
    WRONG_CALL(call->own_contribution_percent = 100, "own_contribution_percent is 100; it must be 0 to 99");
    WRONG_CALL(call->max_disagreement = -1, "definition.max_disagreement is -1; it must be 0 to 100");
    WRONG_CALL(call->accept_days = 91, "definition.accept_days is 91; it must be 1 to 90");
    WRONG_CALL(call->interim_reports = 1, "definition.interim_reports is 1; it must be 0");
    WRONG_CALL(call->repayment_days = 0, "definition.repayment_days is 0; it must be 1 to 180");
    WRONG_CALL(call->repayment_minimum_ore = -1, "definition.repayment_minimum_ore is -1");
    WRONG_CALL(call->deviation_explained_ore = -1, "definition.deviation_explained_ore is -1");
    WRONG_CALL(call->auditor_threshold_kroner = -1, "definition.auditor_threshold_kroner is -1");
    WRONG_CALL(call->opens_at_us = 0, "definition.opens_at_us is 0");
    WRONG_CALL(call->deadline_at_us = call->opens_at_us,
               "definition.deadline_at_us is 1705273200000000; it must be after");
    WRONG_CALL(call->report_due_at_us = 5,
               "definition.report_due_at_us is 5; it must be after report_opens_at_us");
}

static void a_text_of_a_call_must_be_there_in_both_languages(void **state)
{
    (void)state;
    WRONG_CALL(call->call_id = (char *)"Tuki 8",
               "definition.call_id is \"Tuki 8\"; it must be 3 to 64 of a-z, 0-9 and -");
    WRONG_CALL(call->scheme = (char *)"", "definition.scheme is missing");
    WRONG_CALL(call->chapter_post = (char *)"a\nb",
               "definition.chapter_post has line breaks; it must be one line");
    WRONG_CALL(call->title = NULL, "definition.title is missing; both nb and nn are required");
    WRONG_CALL(call->purpose->nn = (char *)" \n", "definition.purpose.nn is missing");
    WRONG_CALL(call->purpose->nb = too_long(arena, LIMIT_TEXT_BYTES),
               "definition.purpose.nb is 20001 bytes; at most 20000");
    WRONG_CALL(call->rule_document = (char *)"", "definition.rule_document is missing");
    WRONG_CALL(call->rule_document_sha256 = (char *)"ABC",
               "definition.rule_document_sha256 is \"ABC\"; it must be 64");
    WRONG_CALL(call->contact = (char *)"tuki", "definition.contact is \"tuki\"; it must be a mail address");
    WRONG_CALL(call->repayment_rule = 0, "definition.repayment_rule is missing");
}

static void a_list_of_a_call_must_be_whole(void **state)
{
    (void)state;
    WRONG_CALL(call->n_eligible_forms = 0, "definition.eligible_forms is empty; at least 1 is required");
    WRONG_CALL(call->eligible_forms[0] = (char *)"kommune", "definition.eligible_forms[0] is \"kommune\"");
    WRONG_CALL(
        (call->n_eligible_forms = 2, call->eligible_forms = LIST(char *, (char *)"KOMM", (char *)"KOMM")),
        "definition.eligible_forms[1] is KOMM again");
    WRONG_CALL(call->n_criteria = 0, "definition.criteria is empty; at least 1 is required");
    WRONG_CALL(call->criteria[1]->highest = 0,
               "definition.criteria[1].highest is 0; it must be above lowest (0) and at most 100");
    WRONG_CALL(call->criteria[1]->highest = 101,
               "definition.criteria[1].highest is 101; it must be above lowest");
    WRONG_CALL(call->criteria[0]->lowest = -1, "definition.criteria[0].lowest is -1");
    WRONG_CALL(call->criteria[0]->weight = 0, "definition.criteria[0].weight is 0; it must be 1 to 100");
    WRONG_CALL(call->criteria[0]->tie_order = -1, "definition.criteria[0].tie_order is -1");
    WRONG_CALL(call->criteria[1]->tie_order = 1, "criteria[1].tie_order is 1, as is [0].tie_order");
    WRONG_CALL(call->criteria[1]->id = (char *)"F",
               "definition.criteria[1].id is F, as is [0].id; each id stands once");
    WRONG_CALL(call->criteria[0]->id = (char *)"f",
               "definition.criteria[0].id is \"f\"; it must be 1 to 16 of A-Z");
    WRONG_CALL(call->criteria[0]->question = NULL, "definition.criteria[0].question is missing");
    WRONG_CALL(call->criteria[0]->source = (char *)"", "definition.criteria[0].source is missing");
    WRONG_CALL(call->conditions[0]->text = NULL, "definition.conditions[0].text is missing");
    WRONG_CALL(call->conditions[0]->id = (char *)"", "definition.conditions[0].id is \"\"");
    WRONG_CALL(call->goals[0]->text->nb = (char *)"", "definition.goals[0].text.nb is missing");
    WRONG_CALL(call->goals[0]->id = (char *)"", "definition.goals[0].id is \"\"");
    WRONG_CALL((call->n_conditions = 41, call->conditions = many(arena, call->conditions[0], 41)),
               "definition.conditions has 41 entries; at most 40 are allowed");
    WRONG_CALL((call->n_goals = 41, call->goals = many(arena, call->goals[0], 41)),
               "definition.goals has 41 entries; at most 40 are allowed");
}

static void a_definition_too_large_for_an_event_is_refused(void **state)
{
    (void)state;
    WRONG_CALL((call->n_conditions = 10, call->conditions = long_conditions(arena)), "definition is 40");
}

static void several_faults_are_told_at_once_and_counted(void **state)
{
    (void)state;
    WRONG_CALL(
        (call->year = 1999, call->max_years = 4),
        "definition.year is 1999; it must be 2000 to 2100; and definition.max_years is 4; it must be 1 to 3");
    char *form = (char *)"kommune";
    WRONG_CALL((call->n_eligible_forms = 9,
                call->eligible_forms = LIST(char *, form, form, form, form, form, form, form, form, form)),
               " more");
}

static void a_call_is_published_once_and_by_the_right_command(void **state)
{
    (void)state;
    struct message twice = by_head(JANUARY);
    struct call taken = a_call(twice.arena);
    PublishCall again = a_publication(twice.arena);
    check_refused(&twice, rule_publish(&twice, &taken, &again), "call tuki8-2024-main is published already");

    WRONG_CALL(command.definition = NULL, "definition is missing; a call is published whole");
    WRONG_CALL(call->type = TYPES__V1__CALL_DEFINITION__TYPE__EXTRA,
               "is not MAIN; an extra call is opened by OpenExtraCall");
    WRONG_CALL(call->parent_call_id = (char *)"other-call", "only an extra call has a parent");
}

#define OPENING(change)                                                                                      \
    struct message message = by_head(JUNE_1);                                                                \
    OpenExtraCall command = INTAKE__V1__OPEN_EXTRA_CALL__INIT;                                               \
    struct opening opening = {.parent = a_call(message.arena), .reserved_ore = 700000000};                   \
    CallDefinition *call = command.definition = example_definition(message.arena);                           \
    call->call_id = (char *)EXTRA_CALL;                                                                      \
    call->type = TYPES__V1__CALL_DEFINITION__TYPE__EXTRA;                                                    \
    call->parent_call_id = (char *)CALL;                                                                     \
    call->frame_ore = 700000000;                                                                             \
    command.reason = (char *)"For få søkere.";                                                               \
    change

#define WRONG_OPENING(change, part)                                                                          \
    do {                                                                                                     \
        OPENING(change);                                                                                     \
        check_refused(&message, rule_open_extra(&message, &opening, &command), part);                        \
    } while (0)

static void an_extra_call_opens_within_what_is_reserved(void **state)
{
    (void)state;
    OPENING();
    assert_int_equal(OK, rule_open_extra(&message, &opening, &command));
    const CallPublished *event = check_emitted(&message, 1, 0, &intake__v1__call_published__descriptor);
    assert_string_equal(EXTRA_CALL, event->call_id);
    assert_string_equal("For få søkere.", event->reason);
}

static void an_extra_call_without_its_money_is_refused(void **state)
{
    (void)state;
    WRONG_OPENING(opening.reserved_ore = 0,
                  "nothing of the frame of call tuki8-2024-main is reserved for call tuki8-2024-extra");
    WRONG_OPENING(call->frame_ore = 700000100,
                  "definition.frame_ore of call tuki8-2024-extra is 7 000 001 kr; it must be "
                  "at most what is reserved");
    WRONG_OPENING(opening.parent.known = false,
                  "definition.parent_call_id is \"tuki8-2024-main\", which is not a published call");
    WRONG_OPENING(call->year = 2025,
                  "would spend 671.62 of 2025; its parent tuki8-2024-main has 671.62 of 2024");
    WRONG_OPENING(call->chapter_post = (char *)"291.62", "would spend 291.62 of 2024");
    WRONG_OPENING(opening.call.known = true, "call tuki8-2024-extra is published already");
    WRONG_OPENING(call->type = TYPES__V1__CALL_DEFINITION__TYPE__MAIN,
                  "is not EXTRA; a main call is published by PublishCall");
    WRONG_OPENING(command.definition = NULL, "definition is missing");
    WRONG_OPENING(command.reason = (char *)"", "a reason is needed: reason is missing");
    WRONG_OPENING(call->max_years = 0, "definition.max_years is 0");
}

// ------------------------------------------------------------------------------------- extending and closing

static ExtendDeadline an_extension(int64_t deadline_at_us)
{
    ExtendDeadline command = INTAKE__V1__EXTEND_DEADLINE__INIT;

    command.call_id = (char *)CALL;
    command.deadline_at_us = deadline_at_us;
    command.reason = (char *)"Portalen var nede.";
    return command;
}

static void before_the_deadline_it_can_be_moved_for_all(void **state)
{
    (void)state;
    struct message message = by_head(DEADLINE - 1);  // given
    struct extension extension = {.call = a_call(message.arena)};
    ExtendDeadline command = an_extension(DEADLINE + HOUR);  // when
    assert_int_equal(OK, rule_extend(&message, &extension, &command));
    const DeadlineExtended *event = check_emitted(&message, 1, 0, &intake__v1__deadline_extended__descriptor);
    assert_int_equal(DEADLINE, event->old_deadline_at_us);  // then
    assert_int_equal(DEADLINE + HOUR, event->deadline_at_us);
}

static void an_outage_moves_a_passed_deadline_and_late_ones_become_timely(void **state)
{
    (void)state;
    struct message message = by_head(DEADLINE + 24 * HOUR - 1);  // given
    const char *late[] = {APPLICATION, "0190aaaa-0000-7000-8000-000000000002"};
    struct extension extension = {.call = a_call(message.arena), .count = 2, .late = late};
    ExtendDeadline command = an_extension(DEADLINE + HOUR);  // when
    command.outage_from_at_us = DEADLINE - 1;
    command.outage_to_at_us = DEADLINE + 10;
    assert_int_equal(OK, rule_extend(&message, &extension, &command));
    const LateBecameTimely *event = check_emitted(&message, 3, 2,
                                                  &intake__v1__late_became_timely__descriptor);
    assert_string_equal(late[1], event->application_id);  // then
    assert_int_equal(DEADLINE + HOUR, event->deadline_at_us);
}

#define WRONG_EXTENSION(at_us, change, part)                                                                 \
    do {                                                                                                     \
        struct message message = by_head(at_us);                                                             \
        struct extension extension = {.call = a_call(message.arena)};                                        \
        ExtendDeadline command = an_extension(DEADLINE + HOUR);                                              \
        change;                                                                                              \
        check_refused(&message, rule_extend(&message, &extension, &command), part);                          \
    } while (0)

static void a_deadline_moves_only_later_and_only_with_cause(void **state)
{
    (void)state;
    WRONG_EXTENSION(JUNE_1, command.deadline_at_us = DEADLINE,
                    "must be later than the present deadline, 14. juni 2024 kl. 23.59");
    WRONG_EXTENSION(JUNE_1, command.deadline_at_us = DEADLINE + 367 * 24 * HOUR,
                    "must be within a year after");
    WRONG_EXTENSION(JUNE_1, extension.call.known = false, "call tuki8-2024-main does not exist");
    WRONG_EXTENSION(JUNE_1, command.reason = (char *)"", "reason is missing");
    WRONG_EXTENSION(
        DEADLINE, ,
        "passed 14. juni 2024 kl. 23.59 (norsk tid, UTC+2); only a logged outage can still move it");
    WRONG_EXTENSION(DEADLINE + 24 * HOUR,
                    (command.outage_from_at_us = DEADLINE - HOUR, command.outage_to_at_us = DEADLINE),
                    "an outage can move it within 24 hours");
    WRONG_EXTENSION(
        DEADLINE + HOUR,
        (command.outage_from_at_us = DEADLINE - 26 * HOUR, command.outage_to_at_us = DEADLINE - 24 * HOUR),
        "the outage is outside the last 24 hours before the deadline");
    WRONG_EXTENSION(DEADLINE + HOUR,
                    (command.outage_from_at_us = DEADLINE, command.outage_to_at_us = DEADLINE + 1),
                    "the outage is outside the last 24 hours before the deadline");
    WRONG_EXTENSION(JUNE_1, (command.outage_from_at_us = 5, command.outage_to_at_us = 5),
                    "outage_to_at_us of call tuki8-2024-main must be after outage_from_at_us");
    WRONG_EXTENSION(JUNE_1, (command.outage_from_at_us = 5, command.outage_to_at_us = JUNE_1 + 1),
                    "lies ahead; an outage is logged when it is over");
}

static void a_call_closes_at_its_deadline_and_not_before(void **state)
{
    (void)state;
    CloseCall command = INTAKE__V1__CLOSE_CALL__INIT;
    command.call_id = (char *)CALL;

    struct message message = by_head(DEADLINE);
    struct call call = a_call(message.arena);
    assert_int_equal(OK, rule_close(&message, &call, &command));
    const CallClosed *event = check_emitted(&message, 1, 0, &intake__v1__call_closed__descriptor);
    assert_int_equal(DEADLINE, event->deadline_at_us);

    struct message early = by_head(DEADLINE - 1);
    check_refused(&early, rule_close(&early, &call, &command),
                  "call tuki8-2024-main is open until 14. juni 2024 kl. 23.59");
    struct message twice = by_head(DEADLINE);
    call.closed = true;
    check_refused(&twice, rule_close(&twice, &call, &command), "call tuki8-2024-main is closed already");
    struct message unknown = by_head(DEADLINE);
    check_refused(&unknown, rule_close(&unknown, &(struct call){0}, &command),
                  "call tuki8-2024-main does not exist");
}

// ------------------------------------------------------------------------------------------------- beginning

#define STARTING(at_us, change)                                                                              \
    struct message message = by(LEAD, at_us);                                                                \
    arena_t *arena = message.arena;                                                                          \
    StartDraft command = INTAKE__V1__START_DRAFT__INIT;                                                      \
    Organisation *lead = example_organisation(arena, LEAD, "Oslo kommune", "KOMM", "0301");                  \
    struct dossier dossier = {.call = a_call(arena), .organisations = {1, LIST(Organisation *, lead)}};      \
    command.application_id = (char *)APPLICATION;                                                            \
    command.call_id = (char *)CALL;                                                                          \
    change

#define WRONG_START(at_us, change, part)                                                                     \
    do {                                                                                                     \
        STARTING(at_us, change);                                                                             \
        check_refused(&message, rule_start(&message, &dossier, &command), part);                             \
    } while (0)

static void a_municipality_may_begin_from_opening_until_drafts_expire(void **state)
{
    (void)state;
    const int64_t allowed[] = {JANUARY, DEADLINE - 1, DEADLINE, DEADLINE + 24 * HOUR - 1};

    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        STARTING(allowed[i], );
        assert_int_equal(OK, rule_start(&message, &dossier, &command));
        const ApplicationDrafted *event = check_emitted(&message, 1, 0,
                                                        &intake__v1__application_drafted__descriptor);
        assert_string_equal(LEAD, event->organisation_number);
        assert_string_equal("0301", event->municipality_number);
        assert_string_equal("Oslo kommune", event->name);
    }
}

static void who_may_not_begin_is_told_why(void **state)
{
    (void)state;
    WRONG_START(JUNE_1,
                (lead->organisation_number = (char *)COUNTY, lead->name = (char *)"Agder fylkeskommune",
                 lead->form = (char *)"FYLK"),
                "organisation 921707134 (Agder fylkeskommune) is a county (FYLK); only municipalities (KOMM) "
                "may apply");
    WRONG_START(JUNE_1, lead->form = (char *)"STI",
                "is of the form STI; only municipalities (KOMM) may apply");
    WRONG_START(JUNE_1,
                (lead->form = (char *)"AS", dossier.call.definition->n_eligible_forms = 2,
                 dossier.call.definition->eligible_forms = LIST(char *, (char *)"KOMM", (char *)"FYLK")),
                "is a limited company (AS); only municipalities (KOMM) and counties (FYLK) may apply");
    WRONG_START(JUNE_1, dossier.organisations.count = 0,
                "organisation 958935420 is not in the register of organisations");
    WRONG_START(JUNE_1, command.application_id = (char *)"one",
                "application_id is \"one\"; it must be a UUID in lower case");
    WRONG_START(JUNE_1, dossier.application.known = true, "application " APPLICATION " exists already");
    WRONG_START(JUNE_1, dossier.call.known = false, "call tuki8-2024-main does not exist");
    WRONG_START(JANUARY - 1, , "call tuki8-2024-main opens 15. januar 2024 kl. 00.00");
    WRONG_START(DEADLINE + 24 * HOUR, , "its drafts have expired");
    WRONG_START(DEADLINE, dossier.call.late_filing = false, "and it takes no late applications");
}

// --------------------------------------------------------------------------------------------------- saving

static void saving_makes_the_next_version(void **state)
{
    (void)state;
    struct message message = by(LEAD, JUNE_1);
    struct dossier dossier = a_dossier(message.arena, DRAFT);
    SaveDraft command = a_save(message.arena, 3);
    assert_int_equal(OK, rule_save(&message, &dossier, &command));
    const DraftSaved *event = check_emitted(&message, 1, 0, &intake__v1__draft_saved__descriptor);
    assert_int_equal(4, event->content_version);
    assert_false(event->voided_request);
}

static void saving_while_approval_is_awaited_voids_the_request(void **state)
{
    (void)state;
    struct message message = by(LEAD, JUNE_1);
    struct dossier dossier = a_dossier(message.arena, AWAITING_APPROVAL);
    SaveDraft command = a_save(message.arena, 3);
    assert_int_equal(OK, rule_save(&message, &dossier, &command));
    const DraftSaved *event = check_emitted(&message, 1, 0, &intake__v1__draft_saved__descriptor);
    assert_true(event->voided_request);
}

static void a_draft_may_be_incomplete(void **state)
{
    (void)state;
    struct message message = by(LEAD, JUNE_1);
    struct dossier dossier = a_dossier(message.arena, DRAFT);
    SaveDraft command = a_save(message.arena, 3);
    Content empty = INTAKE__V1__CONTENT__INIT;
    command.content = &empty;
    assert_int_equal(OK, rule_save(&message, &dossier, &command));
}

#define WRONG_SAVE(organisation, at_us, in_state, change, part)                                              \
    do {                                                                                                     \
        struct message message = by(organisation, at_us);                                                    \
        arena_t *arena = message.arena;                                                                      \
        struct dossier dossier = a_dossier(arena, in_state);                                                 \
        SaveDraft command = a_save(arena, 3);                                                                \
        Content *content = command.content;                                                                  \
        (void)content;                                                                                       \
        change;                                                                                              \
        check_refused(&message, rule_save(&message, &dossier, &command), part);                              \
    } while (0)

static void only_the_leads_people_save_and_only_the_version_they_saw(void **state)
{
    (void)state;
    WRONG_SAVE(PARTNER, JUNE_1, DRAFT, ,
               "organisation " PARTNER " is a partner in application " APPLICATION "; only its lead " LEAD);
    WRONG_SAVE(STRANGER, JUNE_1, DRAFT, , "organisation " STRANGER " is no part of application " APPLICATION);
    WRONG_SAVE(LEAD, JUNE_1, DRAFT, dossier.application.known = false,
               "application " APPLICATION " does not exist");
    WRONG_SAVE(LEAD, JUNE_1, DRAFT, command.expected_version = 2,
               "expected_version of application " APPLICATION " is 2; the present version is 3");
    WRONG_SAVE(LEAD, JUNE_1, SUBMITTED, , "is delivered; only an undelivered draft can be changed");
    WRONG_SAVE(LEAD, JUNE_1, SUBMITTED_LATE, , "is delivered after the deadline; only");
    WRONG_SAVE(LEAD, JUNE_1, WITHDRAWN, , "is withdrawn; only");
    WRONG_SAVE(LEAD, JUNE_1, EXPIRED, , "is an expired draft; only");
    WRONG_SAVE(LEAD, DEADLINE + 24 * HOUR, DRAFT, , "the draft has expired");
}

static void a_draft_is_never_malformed(void **state)
{
    (void)state;
    WRONG_SAVE(LEAD, JUNE_1, DRAFT, command.content = NULL,
               "content of application " APPLICATION " is missing");
    WRONG_SAVE(LEAD, JUNE_1, DRAFT, content->title = too_long(arena, LIMIT_LINE_BYTES),
               "content.title is 501 bytes; at most 500");
    WRONG_SAVE(LEAD, JUNE_1, DRAFT, content->title = (char *)"a\nb", "content.title has line breaks");
    WRONG_SAVE(LEAD, JUNE_1, DRAFT, content->risk = too_long(arena, LIMIT_TEXT_BYTES),
               "content.risk is 20001 bytes");
    WRONG_SAVE(LEAD, JUNE_1, DRAFT, content->plan[0]->activity = too_long(arena, LIMIT_TEXT_BYTES),
               "content.plan[0].activity is 20001 bytes");
    WRONG_SAVE(LEAD, JUNE_1, DRAFT, content->language = (char *)"se",
               "content.language is \"se\"; it must be nb, nn or empty");
    WRONG_SAVE(LEAD, JUNE_1, DRAFT, (content->n_budget = 11, content->budget = eleven_years(arena)),
               "content.budget has 11 entries; at most 10 are allowed");
    WRONG_SAVE(LEAD, JUNE_1, DRAFT, (content->n_goals = 50, content->goals = long_goals(arena)),
               "; at most 180224 are kept");
    WRONG_SAVE(LEAD, JUNE_1, DRAFT,
               (content->n_partners = 41, content->partners = many(arena, content->partners[0], 41)),
               "content.partners has 41 entries; at most 40 are allowed");
    WRONG_SAVE(LEAD, JUNE_1, DRAFT,
               (content->budget[0]->n_own = 42,
                content->budget[0]->own = many(arena, content->budget[0]->own[0], 42)),
               "content.budget[0].own has 42 entries; at most 41 are allowed");
    WRONG_SAVE(LEAD, JUNE_1, DRAFT,
               (content->budget[0]->n_other = 31,
                content->budget[0]->other = many(arena, content->budget[0]->other[0], 31)),
               "content.budget[0].other has 31 entries; at most 30 are allowed");
}

// Names, addresses and numbers are seen when they are saved, and not again.
static void a_contact_is_right_from_the_first_draft_on(void **state)
{
    (void)state;
#define WRONG_CONTACT(change, part)                                                                          \
    WRONG_SAVE(LEAD, JUNE_1, DRAFT, Contact *contact = content->contacts[0]; change, part)
    static const char *const no_emails[] = {"aase",    "@example.no", "aase@",    "aase@example", "aase@.no",
                                            "aase@b.", "a@b@c.no",    "a a@b.no", "aase@b.no\n"};
    for (size_t i = 0; i < sizeof no_emails / sizeof no_emails[0]; i++)
        WRONG_CONTACT(contact->email->text = (char *)no_emails[i],
                      "content.contacts[0].email is no e-mail address; right is name@host.domain");
    WRONG_CONTACT(contact->name->text = (char *)" ",
                  "content.contacts[0].name is blank; write it, or leave it out");
    WRONG_CONTACT(contact->phone->text = too_long(arena, LIMIT_LINE_BYTES),
                  "content.contacts[0].phone is 501 bytes; at most 500");
    WRONG_CONTACT(contact->name->text = (char *)"a\nb", "content.contacts[0].name has line breaks");
    WRONG_CONTACT(contact->role = (char *)"a\nb", "content.contacts[0].role has line breaks");
    WRONG_SAVE(LEAD, JUNE_1, DRAFT,
               (content->n_contacts = 6, content->contacts = many(arena, content->contacts[0], 6)),
               "content.contacts has 6 entries; at most 5 are allowed");
}

// A refusal is kept for ever and stands in logs.
static void a_fault_of_a_contact_does_not_quote_it(void **state)
{
    (void)state;
    struct message message = by(LEAD, JUNE_1);
    struct dossier dossier = a_dossier(message.arena, DRAFT);
    SaveDraft command = a_save(message.arena, 3);
    command.content->contacts[0]->email->text = (char *)"aase.oevreboe";
    check_refused(&message, rule_save(&message, &dossier, &command), "contacts[0].email is no");
    assert_null(strstr(message.reason, "oevreboe"));
}

static void an_event_has_no_text_of_a_contact(void **state)
{
    (void)state;
    struct message message = by(LEAD, JUNE_1);
    struct dossier dossier = a_dossier(message.arena, DRAFT);
    SaveDraft command = a_save(message.arena, 3);
    assert_int_equal(OK, rule_save(&message, &dossier, &command));
    const DraftSaved *event = check_emitted(&message, 1, 0, &intake__v1__draft_saved__descriptor);
    assert_string_equal("", event->content->contacts[0]->name->text);
    assert_string_equal("prosjektleder", event->content->contacts[0]->role);
    assert_string_equal("Åse Øvrebø", command.content->contacts[0]->name->text);
}

// ------------------------------------------------------------------------------------------------ confirming

static ConfirmParticipation a_confirmation(uint32_t version)
{
    ConfirmParticipation command = INTAKE__V1__CONFIRM_PARTICIPATION__INIT;

    command.application_id = (char *)APPLICATION;
    command.content_version = version;
    return command;
}

static void a_partner_confirms_its_share_once(void **state)
{
    (void)state;
    struct message message = by(PARTNER, JUNE_1);  // given nobody has confirmed
    struct dossier dossier = a_dossier(message.arena, DRAFT);
    dossier.n_confirmations = 0;
    ConfirmParticipation command = a_confirmation(3);  // when
    assert_int_equal(OK, rule_confirm(&message, &dossier, &command));
    const ParticipationConfirmed *event = check_emitted(&message, 1, 0,
                                                        &intake__v1__participation_confirmed__descriptor);
    assert_string_equal(PARTNER, event->organisation_number);  // then
    assert_int_equal(50000, event->own_ore);

    struct message again = by(PARTNER, JUNE_1);  // and once it stands, nothing changes
    dossier.n_confirmations = 1;
    assert_int_equal(OK, rule_confirm(&again, &dossier, &command));
    assert_null(again.emitted);
}

#define WRONG_CONFIRMATION(organisation, in_state, change, part)                                             \
    do {                                                                                                     \
        struct message message = by(organisation, JUNE_1);                                                   \
        struct dossier dossier = a_dossier(message.arena, in_state);                                         \
        ConfirmParticipation command = a_confirmation(3);                                                    \
        dossier.n_confirmations = 0;                                                                         \
        change;                                                                                              \
        check_refused(&message, rule_confirm(&message, &dossier, &command), part);                           \
    } while (0)

static void only_a_partner_confirms_and_only_what_it_has_seen(void **state)
{
    (void)state;
    WRONG_CONFIRMATION(STRANGER, DRAFT, ,
                       "organisation " STRANGER " is not a partner in application " APPLICATION);
    WRONG_CONFIRMATION(LEAD, DRAFT, , "organisation " LEAD " is not a partner");
    WRONG_CONFIRMATION(PARTNER, DRAFT, command.content_version = 2,
                       "content_version of application " APPLICATION " is 2; the present version is 3");
    WRONG_CONFIRMATION(PARTNER, SUBMITTED, , "is delivered; only an undelivered draft");
    WRONG_CONFIRMATION(PARTNER, DRAFT, dossier.application.known = false, "does not exist");
    WRONG_CONFIRMATION(PARTNER, DRAFT, dossier.application.content->budget[0]->own[1]->cash_ore = -1,
                       "the own contribution of " PARTNER " in application " APPLICATION
                       " is no valid amount");
}

// --------------------------------------------------------------------------------------- asking for approval

static void a_complete_application_is_frozen_for_approval(void **state)
{
    (void)state;
    struct message message = by(LEAD, JUNE_1);
    struct dossier dossier = a_dossier(message.arena, DRAFT);
    RequestApproval command = a_request(3);
    assert_int_equal(OK, rule_request(&message, &dossier, &command));
    const ApprovalRequested *event = check_emitted(&message, 1, 0,
                                                   &intake__v1__approval_requested__descriptor);
    assert_int_equal(3, event->content_version);
    assert_string_equal(SHA, event->content_sha256);
    assert_int_equal(750000, event->applied_ore);
    assert_string_equal(LEAD, event->organisation_number);
}

static void own_contribution_of_exactly_the_least_share_is_enough(void **state)
{
    (void)state;
    struct message message = by(LEAD, JUNE_1);
    struct dossier dossier = a_dossier(message.arena, DRAFT);
    YearBudget *year = dossier.application.content->budget[0];
    year->own[0]->cash_ore -= 40;  // own 2 000,10 kr is 20 % of costs 10 000,50 kr
    year->other[0]->amount_ore += 40;
    RequestApproval command = a_request(3);
    assert_int_equal(OK, rule_request(&message, &dossier, &command));
}

#define WRONG_REQUEST(organisation, at_us, in_state, change, part)                                           \
    do {                                                                                                     \
        struct message message = by(organisation, at_us);                                                    \
        struct dossier dossier = a_dossier(message.arena, in_state);                                         \
        RequestApproval command = a_request(3);                                                              \
        change;                                                                                              \
        check_refused(&message, rule_request(&message, &dossier, &command), part);                           \
    } while (0)

static void approval_is_requested_by_the_lead_in_time(void **state)
{
    (void)state;
    WRONG_REQUEST(PARTNER, JUNE_1, DRAFT, , "only its lead " LEAD " may do this");
    WRONG_REQUEST(LEAD, JUNE_1, DRAFT, command.expected_version = 4,
                  "expected_version of application " APPLICATION " is 4");
    WRONG_REQUEST(LEAD, JUNE_1, AWAITING_APPROVAL, ,
                  "version 3 of application " APPLICATION " awaits approval already");
    WRONG_REQUEST(LEAD, JUNE_1, SUBMITTED, , "is delivered");
    WRONG_REQUEST(LEAD, JUNE_1, DRAFT,
                  (dossier.application.content_version = 0, dossier.application.content = NULL,
                   command.expected_version = 0),
                  "application " APPLICATION " has no content yet; save it first");
    WRONG_REQUEST(LEAD, DEADLINE, DRAFT, dossier.call.late_filing = false,
                  "the deadline of call tuki8-2024-main was 14. juni 2024 kl. 23.59 (norsk tid, UTC+2), and "
                  "it takes no late "
                  "applications");
    WRONG_REQUEST(LEAD, DEADLINE + 24 * HOUR, DRAFT, , "the draft has expired");
}

#define WRONG(change, part)                                                                                  \
    do {                                                                                                     \
        struct message message = by(LEAD, JUNE_1);                                                           \
        arena_t *arena = message.arena;                                                                      \
        (void)arena;                                                                                         \
        struct dossier dossier = a_dossier(message.arena, DRAFT);                                            \
        Content *content = dossier.application.content;                                                      \
        YearBudget *year = content->budget[0];                                                               \
        (void)year;                                                                                          \
        RequestApproval command = a_request(3);                                                              \
        change;                                                                                              \
        check_refused(&message, rule_request(&message, &dossier, &command), part);                           \
    } while (0)

static void a_missing_text_is_named(void **state)
{
    (void)state;
    WRONG(content->title = (char *)"  ",
          "application " APPLICATION " is not complete: content.title is missing");
    WRONG(content->purpose_text = (char *)"", "content.purpose_text is missing");
    WRONG(content->tested = (char *)"", "content.tested is missing");
    WRONG(content->staffing = (char *)"", "content.staffing is missing");
    WRONG(content->risk = (char *)"", "content.risk is missing");
    WRONG(content->transfer = NULL,
          "content.transfer is missing; product, recipients, channel and when are required");
    WRONG(content->transfer->product = (char *)"", "content.transfer.product is missing");
    WRONG(content->transfer->recipients = (char *)"", "content.transfer.recipients is missing");
    WRONG(content->transfer->channel = (char *)"", "content.transfer.channel is missing");
    WRONG(content->transfer->when = (char *)"", "content.transfer.when is missing");
    WRONG(content->not_ordinary_operation = false, "content.not_ordinary_operation is not declared");
    WRONG(content->net_of_vat = false, "content.net_of_vat is not declared");
}

static void a_contact_has_a_name_and_its_seal_is_enough(void **state)
{
    (void)state;
    WRONG(content->contacts[0]->name = NULL, "content.contacts[0].name is missing");
    WRONG(content->contacts[0]->name->text = (char *)"", "content.contacts[0].name is missing");

    struct message message = by(LEAD, JUNE_1);
    struct dossier dossier = a_dossier(message.arena, DRAFT);
    Contact *contact = dossier.application.content->contacts[0];
    contact->name->text = contact->email->text = contact->phone->text = (char *)"";  // as the tables have it
    contact->name->seal = (ProtobufCBinaryData){.data = (uint8_t[32]){1}, .len = 32};
    RequestApproval command = a_request(3);
    assert_int_equal(OK, rule_request(&message, &dossier, &command));
}

static void codes_are_chosen_and_each_once(void **state)
{
    (void)state;
    WRONG(content->n_purposes = 0, "content.purposes is empty; at least 1 is required");
    WRONG(content->n_directions = 0, "content.directions is empty");
    WRONG(content->n_target_groups = 0, "content.target_groups is empty");
    WRONG(content->n_outputs = 0, "content.outputs is empty");
    WRONG(content->purposes[0] = 0, "content.purposes[0] is unspecified");
    WRONG((content->n_outputs = 2, content->outputs = LIST(Intake__V1__Content__Output, 1, 1)),
          "content.outputs[1] is METHOD again; each code stands once");
    WRONG(content->n_activities = 0, "content.activities is empty");
    WRONG(content->activities[0]->code = 0, "content.activities[0].code is missing");
    WRONG(content->activities[0]->n_audiences = 0, "content.activities[0].audiences is empty");
    WRONG(content->activities[0]->code = INTAKE__V1__ACTIVITY__CODE__OTHER,
          "content.activities[0].text is missing");
}

static void goals_plan_and_earlier_projects_are_whole(void **state)
{
    (void)state;
    WRONG(content->n_goals = 0, "content.goals is empty");
    WRONG(content->goals[0]->text = (char *)"", "content.goals[0].text is missing");
    WRONG(content->goals[0]->indicator = (char *)"", "content.goals[0].indicator is missing");
    WRONG(content->goals[0]->target = (char *)"", "content.goals[0].target is missing");
    WRONG(content->n_plan = 0, "content.plan is empty");
    WRONG(content->plan[0]->activity = (char *)"", "content.plan[0].activity is missing");
    WRONG(content->plan[0]->responsible = (char *)"", "content.plan[0].responsible is missing");
    WRONG(content->plan[0]->from = (char *)"", "content.plan[0].from is missing");
    WRONG(content->plan[0]->to = (char *)"2024-02-30",
          "content.plan[0].to is \"2024-02-30\"; it must be a date, YYYY-MM-DD");
    WRONG(content->plan[0]->to = (char *)"2024-07-31",
          "content.plan[0].to is 2024-07-31; it must not be before from (2024-08-01)");
    WRONG(content->n_earlier_projects = 0, "content.earlier_projects is empty");
    WRONG(content->earlier_projects[0]->title = (char *)"", "content.earlier_projects[0].title is missing");
    WRONG(content->earlier_projects[0]->role = (char *)"", "content.earlier_projects[0].role is missing");
    WRONG(content->earlier_projects[0]->result = (char *)"", "content.earlier_projects[0].result is missing");
    WRONG(content->earlier_projects[0]->reference = (char *)"",
          "content.earlier_projects[0].reference is missing");
    WRONG(content->earlier_projects[0]->year = 2025,
          "content.earlier_projects[0].year is 2025; it must be 1990 to 2024");
}

static void special_personal_data_needs_an_assessment(void **state)
{
    (void)state;
    WRONG((content->personal_data = true, content->special_category = true),
          "content.personal_data_assessment is missing");
    WRONG((content->special_category = true, content->personal_data_assessment = (char *)"Vurdert."),
          "content.personal_data is false; it must be true when special_category is");
}

static void partners_are_municipalities_that_have_confirmed(void **state)
{
    (void)state;
    WRONG(dossier.n_confirmations = 0,
          "partner " PARTNER " has not confirmed its participation with its present share");
    WRONG((year->own[0]->cash_ore -= 100, year->own[1]->cash_ore += 100),
          "partner " PARTNER " has not confirmed");
    WRONG(content->partners[0]->role = (char *)"", "content.partners[0].role is missing");
    WRONG(content->partners[0]->organisation_number = (char *)"",
          "content.partners[0].organisation_number is missing");
    WRONG(content->partners[0]->organisation_number = (char *)"964965227",
          "content.partners[0].organisation_number is \"964965227\"; it must be 9 digits with the right "
          "check digit");
    WRONG(content->partners[0]->organisation_number = (char *)LEAD,
          "is 958935420, the lead; a partner must be another municipality");
    WRONG(content->partners[0]->organisation_number = (char *)STRANGER,
          "is 972418013, which is not in the register");
    WRONG(dossier.organisations.all[0]->form = (char *)"FYLK",
          "of the form FYLK; a partner must be a municipality (KOMM)");
    WRONG((content->n_partners = 2,
           content->partners = LIST(Partner *, content->partners[0], content->partners[0])),
          "content.partners[1].organisation_number is 964965226, as is [0]; each partner stands once");
}

static void a_budget_balances_to_the_ore(void **state)
{
    (void)state;
    WRONG(year->lines[0]->cost_ore += 1, "content.budget[0] (2024) does not balance: costs are 10 000,51 kr");
    WRONG(year->lines[0]->cost_ore += 1, "the difference is 0,01 kr");
    WRONG(year->other[0]->amount_ore += 7, "the difference is 0,07 kr");
    WRONG(year->n_own = 0,
          "content.budget[0].own adds up to 0; the municipalities must contribute of their own");
    WRONG((year->own[0]->cash_ore -= 41, year->other[0]->amount_ore += 41),
          "own adds up to 2 000,09 kr; it must be at least 20 % of the costs (10 000,50 kr)");
    WRONG(year->lines[0]->cost_ore = MONEY_MAX, "has a sum outside 0 to 10000000000000");
    WRONG(year->lines[0]->cost_ore = 0, "content.budget[0].lines[0].cost_ore is 0; it must be above 0");
    WRONG(year->own[0]->work_ore = -1, "content.budget[0].own[0].work_ore is -1; it must be at least 0");
    WRONG(year->own[0]->cash_ore = -1, "content.budget[0].own[0].cash_ore is -1");
    WRONG(year->other[0]->amount_ore = 0, "content.budget[0].other[0].amount_ore is 0; it must be above 0");
    WRONG(year->other[0]->source = (char *)"", "content.budget[0].other[0].source is missing");
    WRONG(year->grant_ore += 50, "content.budget[0].grant_ore is 750050; it must be whole kroner");
    WRONG(year->grant_ore = 0, "content.budget[0].grant_ore is 0; it must be above 0");
    WRONG(dossier.call.definition->frame_ore = 749900,
          "content.budget[0].grant_ore is 750000; it must be at most the call's frame (749900)");
}

static void budget_lines_and_shares_stand_once(void **state)
{
    (void)state;
    WRONG(year->n_lines = 0, "content.budget[0].lines is empty");
    WRONG(year->lines[1]->code = year->lines[0]->code,
          "content.budget[0].lines[1].code is SALARY, as is [0].code");
    WRONG(year->lines[1]->code = 0, "content.budget[0].lines[1].code is missing");
    WRONG(year->lines[1]->code = TYPES__V1__LINE_CODE__OTHER_COST,
          "content.budget[0].lines[1].description is missing");
    WRONG(year->own[1]->organisation_number = (char *)STRANGER,
          "content.budget[0].own[1].organisation_number is \"972418013\"; it must be the lead");
    WRONG(year->own[1]->organisation_number = (char *)LEAD,
          "content.budget[0].own[1].organisation_number is 958935420, as is [0]");
    WRONG(year->own[1]->organisation_number = (char *)"",
          "content.budget[0].own[1].organisation_number is missing");
}

static void a_project_plans_one_to_three_years_without_a_gap(void **state)
{
    (void)state;
    WRONG(content->n_budget = 0, "content.budget is empty");
    WRONG(year->year = 2025, "content.budget[0].year is 2025; it must be 2024");
    WRONG((content->n_budget = 2, content->budget = LIST(YearBudget *, year, example_year(arena, 2026))),
          "content.budget[1].year is 2026; it must be 2025, years run without a gap from the call's year");
    WRONG(
        (content->n_budget = 4, content->budget = LIST(YearBudget *, year, example_year(arena, 2025),
                                                       example_year(arena, 2026), example_year(arena, 2027))),
        "content.budget has 4 years; this call allows 1 to 3");
}

// ------------------------------------------------------------------------------------- delivering and ending

static void a_signature_before_the_deadline_delivers_in_time(void **state)
{
    (void)state;
    struct message message = by("",
                                DEADLINE + HOUR);  // heard an hour later: what counts is when it was signed
    struct dossier dossier = a_dossier(message.arena, AWAITING_APPROVAL);
    SignedOff event = a_signature(message.arena, 3, DEADLINE - 1);
    assert_int_equal(OK, rule_signed_off(&message, &dossier, &event));
    const ApplicationSubmitted *submitted = check_emitted(&message, 1, 0,
                                                          &intake__v1__application_submitted__descriptor);
    assert_int_equal(DEADLINE - 1, submitted->signed_at_us);
    assert_int_equal(DEADLINE, submitted->deadline_at_us);
    assert_string_equal("director.1", submitted->signed_by);
    assert_string_equal("Oslo kommune", submitted->name);
    assert_string_equal("Veileder mot rasisme", submitted->content->title);
    assert_int_equal(750000, submitted->applied_ore);
}

static void a_signature_at_the_deadline_delivers_late_and_is_kept(void **state)
{
    (void)state;
    struct message message = by("", DEADLINE + HOUR);
    struct dossier dossier = a_dossier(message.arena, AWAITING_APPROVAL);
    SignedOff event = a_signature(message.arena, 3, DEADLINE);
    assert_int_equal(OK, rule_signed_off(&message, &dossier, &event));
    const ApplicationSubmittedLate *late = check_emitted(&message, 1, 0,
                                                         &intake__v1__application_submitted_late__descriptor);
    assert_int_equal(0, late->late_us);
    assert_int_equal(3, late->submission->content_version);
}

static void a_draft_that_expired_before_its_signature_was_heard_is_delivered(void **state)
{
    (void)state;
    struct message message = by("", DEADLINE + 25 * HOUR);
    struct dossier dossier = a_dossier(message.arena, EXPIRED);
    dossier.application.requested_version = 3;
    SignedOff event = a_signature(message.arena, 3, DEADLINE + 24 * HOUR - 1);
    assert_int_equal(OK, rule_signed_off(&message, &dossier, &event));
    check_emitted(&message, 1, 0, &intake__v1__application_submitted_late__descriptor);
}

#define DISREGARDED(in_state, change, why)                                                                   \
    do {                                                                                                     \
        struct message message = by("", DEADLINE);                                                           \
        struct dossier dossier = a_dossier(message.arena, in_state);                                         \
        SignedOff event = a_signature(message.arena, 3, DEADLINE - 1);                                       \
        change;                                                                                              \
        assert_int_equal(OK, rule_signed_off(&message, &dossier, &event));                                   \
        const SignOffDisregarded *disregarded = check_emitted(                                               \
            &message, 1, 0, &intake__v1__sign_off_disregarded__descriptor);                                  \
        assert_string_equal(why, disregarded->reason);                                                       \
        assert_int_equal(event.version, disregarded->content_version);                                       \
    } while (0)

static void a_signature_that_no_longer_fits_is_disregarded_with_a_reason(void **state)
{
    (void)state;
    DISREGARDED(DRAFT, , "the application was edited or returned after approval was requested");
    DISREGARDED(WITHDRAWN, , "the application is withdrawn");
    DISREGARDED(SUBMITTED, , "the application is delivered");
    DISREGARDED(EXPIRED, , "the application was edited or returned after approval was requested");
    DISREGARDED(AWAITING_APPROVAL, event.version = 2, "version 2 was signed, but version 3 awaits approval");
    DISREGARDED(AWAITING_APPROVAL, event.content_sha256 = (char *)"other",
                "version 3 was signed, but version 3 awaits approval");
    DISREGARDED(AWAITING_APPROVAL, event.signed_at_us = DEADLINE + 24 * HOUR,
                "the draft expired 15. juni 2024 kl. 23.59 (norsk tid, UTC+2), before it was signed");
    DISREGARDED(AWAITING_APPROVAL, (event.signed_at_us = DEADLINE, dossier.call.late_filing = false),
                "it was signed after the deadline, 14. juni 2024 kl. 23.59 (norsk tid, UTC+2), and the call "
                "takes no late applications");
}

static void signatures_of_other_things_do_not_concern_intake(void **state)
{
    (void)state;
    struct message message = by("", DEADLINE);
    struct dossier dossier = a_dossier(message.arena, AWAITING_APPROVAL);
    SignedOff event = a_signature(message.arena, 3, DEADLINE - 1);
    event.kind = TYPES__V1__SIGN_OFF_KIND__REPORT;
    assert_int_equal(OK, rule_signed_off(&message, &dossier, &event));
    event.kind = TYPES__V1__SIGN_OFF_KIND__APPLICATION;
    dossier.application.known = false;
    assert_int_equal(OK, rule_signed_off(&message, &dossier, &event));
    assert_null(message.emitted);
}

static void a_returned_request_is_a_draft_again(void **state)
{
    (void)state;
    struct message message = by("", JUNE_1);
    struct dossier dossier = a_dossier(message.arena, AWAITING_APPROVAL);
    SignOffReturned event = APPROVAL__V1__SIGN_OFF_RETURNED__INIT;
    event.application_id = (char *)APPLICATION;
    event.kind = TYPES__V1__SIGN_OFF_KIND__APPLICATION;
    event.version = 2;  // an earlier request: nothing happens
    assert_int_equal(OK, rule_returned(&message, &dossier, &event));
    assert_null(message.emitted);
    event.version = 3;
    event.note = (char *)"Budsjettet må sees på.";
    assert_int_equal(OK, rule_returned(&message, &dossier, &event));
    const ApprovalReturned *returned = check_emitted(&message, 1, 0,
                                                     &intake__v1__approval_returned__descriptor);
    assert_string_equal("Budsjettet må sees på.", returned->note);
}

#define WITHDRAWING(organisation, in_state, change)                                                          \
    struct message message = check_message(JUNE_1, "director.1", ROLE_OF(APPROVER), organisation);           \
    struct dossier dossier = a_dossier(message.arena, in_state);                                             \
    Withdraw command = INTAKE__V1__WITHDRAW__INIT;                                                           \
    command.application_id = (char *)APPLICATION;                                                            \
    command.reason = (char *)"Ikke aktuelt lenger.";                                                         \
    change

#define WRONG_WITHDRAWAL(organisation, in_state, change, part)                                               \
    do {                                                                                                     \
        WITHDRAWING(organisation, in_state, change);                                                         \
        check_refused(&message, rule_withdraw(&message, &dossier, &command), part);                          \
    } while (0)

static void an_application_is_taken_back_until_it_is_decided(void **state)
{
    (void)state;
    const enum application_state allowed[] = {DRAFT, AWAITING_APPROVAL, SUBMITTED, SUBMITTED_LATE};

    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        WITHDRAWING(LEAD, allowed[i], );
        assert_int_equal(OK, rule_withdraw(&message, &dossier, &command));
        const ApplicationWithdrawn *event = check_emitted(&message, 1, 0,
                                                          &intake__v1__application_withdrawn__descriptor);
        assert_int_equal(i >= 2, event->delivered);
    }
    WRONG_WITHDRAWAL(LEAD, SUBMITTED, dossier.decision = "awarded",
                     "application " APPLICATION " is awarded; it could be withdrawn until it was decided");
    WRONG_WITHDRAWAL(LEAD, WITHDRAWN, , "is withdrawn; there is nothing to withdraw");
    WRONG_WITHDRAWAL(LEAD, EXPIRED, , "is an expired draft; there is nothing to withdraw");
    WRONG_WITHDRAWAL(PARTNER, SUBMITTED, , "only its lead " LEAD);
    WRONG_WITHDRAWAL(LEAD, SUBMITTED, command.reason = (char *)"", "reason is missing");
}

static void a_draft_expires_at_its_hour_and_not_before(void **state)
{
    (void)state;
    ExpireDraft command = INTAKE__V1__EXPIRE_DRAFT__INIT;
    command.application_id = (char *)APPLICATION;

    struct message message = by("", DEADLINE + 24 * HOUR);
    struct dossier dossier = a_dossier(message.arena, AWAITING_APPROVAL);
    assert_int_equal(OK, rule_expire(&message, &dossier, &command));
    check_emitted(&message, 1, 0, &intake__v1__draft_expired__descriptor);

    struct message early = by("", DEADLINE + 24 * HOUR - 1);
    check_refused(&early, rule_expire(&early, &dossier, &command),
                  "application " APPLICATION " expires 15. juni 2024 kl. 23.59");
    struct message delivered = by("", DEADLINE + 24 * HOUR);
    dossier.application.state = SUBMITTED;
    check_refused(&delivered, rule_expire(&delivered, &dossier, &command),
                  "is delivered; only an undelivered draft expires");
}

// --------------------------------------------------------------------------------------------------- seeing

static void an_application_is_seen_by_its_own_side_only(void **state)
{
    (void)state;
    struct message lead = by(LEAD, JUNE_1), partner = by(PARTNER, JUNE_1), stranger = by(STRANGER, JUNE_1);
    struct message auditor = check_message(JUNE_1, "auditor.1", ROLE_OF(AUDITOR), "");
    struct dossier dossier = a_dossier(lead.arena, DRAFT);

    assert_int_equal(OK, rule_see(&lead, &dossier.application, APPLICATION));
    assert_int_equal(OK, rule_see(&partner, &dossier.application, APPLICATION));
    assert_int_equal(OK, rule_see(&auditor, &dossier.application, APPLICATION));
    check_refused(&stranger, rule_see(&stranger, &dossier.application, APPLICATION),
                  "application " APPLICATION " is not organisation " STRANGER
                  "'s; only its lead and partners see it");
}

static const Application *shown(struct message *message, const struct dossier *dossier)
{
    const Application *application = NULL;

    assert_int_equal(OK, rule_show(message, dossier));
    assert_int_equal(OK, message_decode(message, &intake__v1__application__descriptor, message->answer,
                                        message->answer_size, &application));
    return application;
}

static void what_is_missing_is_listed_by_the_rules_of_the_request(void **state)
{
    (void)state;
    struct message message = by(LEAD, JUNE_1);
    struct dossier dossier = a_dossier(message.arena, DRAFT);
    dossier.n_confirmations = 0;
    dossier.application.content->title = (char *)"";
    dossier.application.disregarded = "the application was edited";
    const Application *application = shown(&message, &dossier);
    assert_int_equal(3, application->n_missing);
    assert_string_equal("the last signature did not count: the application was edited",
                        application->missing[0]);
    assert_string_equal("content.title is missing", application->missing[1]);
    assert_string_equal("partner " PARTNER " has not confirmed its participation with its present share",
                        application->missing[2]);
    assert_int_equal(0, application->n_confirmed_partners);
}

static void a_complete_application_misses_nothing(void **state)
{
    (void)state;
    struct message message = by(LEAD, JUNE_1);
    struct dossier dossier = a_dossier(message.arena, DRAFT);
    const Application *application = shown(&message, &dossier);
    assert_int_equal(0, application->n_missing);
    assert_int_equal(1, application->n_confirmed_partners);
    assert_string_equal(PARTNER, application->confirmed_partners[0]);
}

static void a_quoted_text_cut_within_a_letter_stays_text(void **state)
{
    (void)state;
    struct message message = by(LEAD, JUNE_1);
    struct dossier dossier = a_dossier(message.arena, DRAFT);
    dossier.application.content->plan[0]->from = (char *)"xøøøøøøøøøøøøøøøøøøøøøøøøøøøøøøøøøøø";
    assert_int_equal(1, shown(&message, &dossier)->n_missing);  // decoding refuses what is not UTF-8
}

static void a_draft_without_content_says_so(void **state)
{
    (void)state;
    struct message message = by(LEAD, JUNE_1);
    struct dossier dossier = a_dossier(message.arena, DRAFT);
    dossier.application.content = NULL;
    dossier.application.content_version = 0;
    const Application *application = shown(&message, &dossier);
    assert_int_equal(1, application->n_missing);
    assert_string_equal("content is missing; nothing has been saved yet", application->missing[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_and_changed_organisations_are_registered),
        cmocka_unit_test(malformed_organisations_are_refused),
        cmocka_unit_test(a_whole_definition_is_published),
        cmocka_unit_test(a_number_out_of_its_range_is_refused),
        cmocka_unit_test(a_text_of_a_call_must_be_there_in_both_languages),
        cmocka_unit_test(a_list_of_a_call_must_be_whole),
        cmocka_unit_test(a_definition_too_large_for_an_event_is_refused),
        cmocka_unit_test(several_faults_are_told_at_once_and_counted),
        cmocka_unit_test(a_call_is_published_once_and_by_the_right_command),
        cmocka_unit_test(an_extra_call_opens_within_what_is_reserved),
        cmocka_unit_test(an_extra_call_without_its_money_is_refused),
        cmocka_unit_test(before_the_deadline_it_can_be_moved_for_all),
        cmocka_unit_test(an_outage_moves_a_passed_deadline_and_late_ones_become_timely),
        cmocka_unit_test(a_deadline_moves_only_later_and_only_with_cause),
        cmocka_unit_test(a_call_closes_at_its_deadline_and_not_before),
        cmocka_unit_test(a_municipality_may_begin_from_opening_until_drafts_expire),
        cmocka_unit_test(who_may_not_begin_is_told_why),
        cmocka_unit_test(saving_makes_the_next_version),
        cmocka_unit_test(saving_while_approval_is_awaited_voids_the_request),
        cmocka_unit_test(a_draft_may_be_incomplete),
        cmocka_unit_test(only_the_leads_people_save_and_only_the_version_they_saw),
        cmocka_unit_test(a_draft_is_never_malformed),
        cmocka_unit_test(a_contact_is_right_from_the_first_draft_on),
        cmocka_unit_test(a_fault_of_a_contact_does_not_quote_it),
        cmocka_unit_test(an_event_has_no_text_of_a_contact),
        cmocka_unit_test(a_partner_confirms_its_share_once),
        cmocka_unit_test(only_a_partner_confirms_and_only_what_it_has_seen),
        cmocka_unit_test(a_complete_application_is_frozen_for_approval),
        cmocka_unit_test(own_contribution_of_exactly_the_least_share_is_enough),
        cmocka_unit_test(approval_is_requested_by_the_lead_in_time),
        cmocka_unit_test(a_missing_text_is_named),
        cmocka_unit_test(a_contact_has_a_name_and_its_seal_is_enough),
        cmocka_unit_test(codes_are_chosen_and_each_once),
        cmocka_unit_test(goals_plan_and_earlier_projects_are_whole),
        cmocka_unit_test(special_personal_data_needs_an_assessment),
        cmocka_unit_test(partners_are_municipalities_that_have_confirmed),
        cmocka_unit_test(a_budget_balances_to_the_ore),
        cmocka_unit_test(budget_lines_and_shares_stand_once),
        cmocka_unit_test(a_project_plans_one_to_three_years_without_a_gap),
        cmocka_unit_test(a_signature_before_the_deadline_delivers_in_time),
        cmocka_unit_test(a_signature_at_the_deadline_delivers_late_and_is_kept),
        cmocka_unit_test(a_draft_that_expired_before_its_signature_was_heard_is_delivered),
        cmocka_unit_test(a_signature_that_no_longer_fits_is_disregarded_with_a_reason),
        cmocka_unit_test(signatures_of_other_things_do_not_concern_intake),
        cmocka_unit_test(a_returned_request_is_a_draft_again),
        cmocka_unit_test(an_application_is_taken_back_until_it_is_decided),
        cmocka_unit_test(a_draft_expires_at_its_hour_and_not_before),
        cmocka_unit_test(an_application_is_seen_by_its_own_side_only),
        cmocka_unit_test(what_is_missing_is_listed_by_the_rules_of_the_request),
        cmocka_unit_test(a_complete_application_misses_nothing),
        cmocka_unit_test(a_quoted_text_cut_within_a_letter_stays_text),
        cmocka_unit_test(a_draft_without_content_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
