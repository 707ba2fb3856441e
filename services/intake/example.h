// example: a complete call, a complete application and the organisations in them, for tests to spoil.
#pragma once

#include "intake.h"

// A copy of a value that lives as long as the arena.
#define KEEP(type, ...) ((type *)arena_copy(arena, &(type){__VA_ARGS__}, sizeof(type)))
#define LIST(type, ...) ((type *)arena_copy(arena, (type[]){__VA_ARGS__}, sizeof((type[]){__VA_ARGS__})))

#define CALL            "tuki8-2024-main"
#define EXTRA_CALL      "tuki8-2024-extra"
#define APPLICATION     "0190aaaa-0000-7000-8000-000000000001"
#define LEAD            "958935420"                // Oslo
#define PARTNER         "964965226"                // Stavanger
#define STRANGER        "972418013"                // Bodø
#define COUNTY          "921707134"                // Agder
#define JANUARY         INT64_C(1705273200000000)  // 2024-01-15 00:00 in Oslo: the call opens
#define JUNE_1          INT64_C(1717192800000000)  // 2024-06-01 00:00 in Oslo
#define DEADLINE        INT64_C(1718402400000000)  // 2024-06-15 00:00 in Oslo
#define HOUR            INT64_C(3600000000)
#define ROLE_OF(name)   BUS__V1__ACTOR__ROLE__##name

static inline Text *example_text(arena_t *arena, const char *nb, const char *nn)
{
    return KEEP(Text, .base = PROTOBUF_C_MESSAGE_INIT(&types__v1__text__descriptor), .nb = (char *)nb,
                .nn = (char *)nn);
}

static inline Criterion *example_criterion(arena_t *arena, const char *id, int tie_order)
{
    Criterion *criterion = arena_alloc(arena, sizeof *criterion);

    types__v1__criterion__init(criterion);
    criterion->id = (char *)id;
    criterion->question = example_text(arena, "Hvor godt?", "Kor godt?");
    criterion->lowest = 0;
    criterion->highest = 6;
    criterion->weight = 1;
    criterion->tie_order = tie_order;
    criterion->source = (char *)"utlysningen";
    return criterion;
}

static inline void example_lists(arena_t *arena, CallDefinition *definition)
{
    Types__V1__Condition *condition = arena_alloc(arena, sizeof *condition);
    Types__V1__Goal *goal = arena_alloc(arena, sizeof *goal);

    types__v1__condition__init(condition);
    condition->id = (char *)"BRUK";
    condition->text = example_text(arena, "Brukes til prosjektet.", "Nyttast til prosjektet.");
    types__v1__goal__init(goal);
    goal->id = (char *)"M1";
    goal->text = example_text(arena, "Ny kunnskap.", "Ny kunnskap.");
    definition->n_eligible_forms = 1;
    definition->eligible_forms = LIST(char *, (char *)"KOMM");
    definition->n_criteria = 2;
    definition->criteria = LIST(Criterion *, example_criterion(arena, "F", 1),
                                example_criterion(arena, "O", 0));
    definition->n_conditions = 1;
    definition->conditions = LIST(Types__V1__Condition *, condition);
    definition->n_goals = 1;
    definition->goals = LIST(Types__V1__Goal *, goal);
}

static inline void example_texts(arena_t *arena, CallDefinition *definition)
{
    definition->scheme = (char *)"TUKI";
    definition->area = (char *)"8";
    definition->chapter_post = (char *)"671.62";
    definition->title = example_text(arena, "Mangfold", "Mangfald");
    definition->purpose = example_text(arena, "Fremme mangfold.", "Fremje mangfald.");
    definition->who_may_apply = example_text(arena, "Alle kommuner.", "Alle kommunar.");
    definition->no_appeal = example_text(arena, "Ikke klagerett.", "Ikkje klagerett.");
    definition->control_right = example_text(arena, "Kan kontrolleres.", "Kan kontrollerast.");
    definition->reservation = example_text(arena, "Med forbehold.", "Med atterhald.");
    definition->rule_document = (char *)"08/2024";
    definition->contact = (char *)"tuki@example.no";
}

static inline CallDefinition *example_definition(arena_t *arena)
{
    CallDefinition *definition = arena_alloc(arena, sizeof *definition);

    types__v1__call_definition__init(definition);
    definition->call_id = (char *)CALL;
    definition->type = TYPES__V1__CALL_DEFINITION__TYPE__MAIN;
    definition->year = 2024;
    definition->frame_ore = 1000000000;
    definition->opens_at_us = JANUARY;
    definition->deadline_at_us = DEADLINE;
    definition->late_filing = true;
    definition->draft_expires_hours = 24;
    definition->max_years = 3;
    definition->instalments = 1;
    definition->own_contribution_percent = 20;
    definition->granularity_ore = 100;
    definition->accept_days = 21;
    definition->report_opens_at_us = INT64_C(1733007600000000);
    definition->report_due_at_us = INT64_C(1740783600000000);
    definition->repayment_rule = TYPES__V1__REPAYMENT_RULE__RESIDUAL;
    definition->repayment_days = 30;
    example_texts(arena, definition);
    example_lists(arena, definition);
    return definition;
}

static inline Organisation *example_organisation(arena_t *arena, const char *number, const char *name,
                                                 const char *form, const char *municipality_number)
{
    Organisation *organisation = arena_alloc(arena, sizeof *organisation);

    intake__v1__organisation__init(organisation);
    organisation->organisation_number = (char *)number;
    organisation->name = (char *)name;
    organisation->form = (char *)form;
    organisation->municipality_number = (char *)municipality_number;
    organisation->language = (char *)"neutral";
    return organisation;
}

static inline OwnShare *example_share(arena_t *arena, const char *number, int64_t cash_ore, int64_t work_ore)
{
    OwnShare *share = arena_alloc(arena, sizeof *share);

    intake__v1__own_share__init(share);
    share->organisation_number = (char *)number;
    share->cash_ore = cash_ore;
    share->work_ore = work_ore;
    return share;
}

static inline BudgetLine *example_line(arena_t *arena, Types__V1__LineCode code, int64_t cost_ore)
{
    BudgetLine *line = arena_alloc(arena, sizeof *line);

    intake__v1__budget_line__init(line);
    line->code = code;
    line->cost_ore = cost_ore;
    return line;
}

// Costs 10 000,50 kr: grant 7 500 kr, own 2 000,50 kr (the partner 500 kr of it), other 500 kr.
static inline YearBudget *example_year(arena_t *arena, int year)
{
    YearBudget *budget = arena_alloc(arena, sizeof *budget);
    OtherFunding *other = arena_alloc(arena, sizeof *other);

    intake__v1__other_funding__init(other);
    other->source = (char *)"Fylket";
    other->amount_ore = 50000;
    intake__v1__year_budget__init(budget);
    budget->year = year;
    budget->n_lines = 2;
    budget->lines = LIST(BudgetLine *, example_line(arena, TYPES__V1__LINE_CODE__SALARY, 800000),
                         example_line(arena, TYPES__V1__LINE_CODE__TRAVEL, 200050));
    budget->grant_ore = 750000;
    budget->n_own = 2;
    budget->own = LIST(OwnShare *, example_share(arena, LEAD, 50050, 100000),
                       example_share(arena, PARTNER, 50000, 0));
    budget->n_other = 1;
    budget->other = LIST(OtherFunding *, other);
    return budget;
}

static inline void example_plan(arena_t *arena, Content *content)
{
    Activity *activity = arena_alloc(arena, sizeof *activity);
    ProjectGoal *goal = arena_alloc(arena, sizeof *goal);
    PlanStep *step = arena_alloc(arena, sizeof *step);

    intake__v1__activity__init(activity);
    activity->code = INTAKE__V1__ACTIVITY__CODE__GUIDE;
    activity->n_audiences = 1;
    activity->audiences = LIST(Intake__V1__Activity__Audience, INTAKE__V1__ACTIVITY__AUDIENCE__LEADERS);
    intake__v1__project_goal__init(goal);
    goal->text = goal->indicator = goal->target = (char *)"Alle ledere har brukt veilederen";
    intake__v1__plan_step__init(step);
    step->activity = (char *)"Skrive veileder";
    step->from = (char *)"2024-08-01";
    step->to = (char *)"2024-12-01";
    step->responsible = (char *)"Mangfoldsenheten";
    content->n_activities = content->n_goals = content->n_plan = 1;
    content->activities = LIST(Activity *, activity);
    content->goals = LIST(ProjectGoal *, goal);
    content->plan = LIST(PlanStep *, step);
}

static inline void example_people(arena_t *arena, Content *content)
{
    TransferPlan *transfer = arena_alloc(arena, sizeof *transfer);
    EarlierProject *earlier = arena_alloc(arena, sizeof *earlier);
    Partner *partner = arena_alloc(arena, sizeof *partner);

    intake__v1__transfer_plan__init(transfer);
    transfer->product = transfer->recipients = transfer->channel = transfer
                                                                       ->when = (char *)"Nettkurs for alle";
    intake__v1__earlier_project__init(earlier);
    earlier->title = earlier->role = earlier->result = earlier->reference = (char *)"Velkommen til byen";
    earlier->year = 2021;
    intake__v1__partner__init(partner);
    partner->organisation_number = (char *)PARTNER;
    partner->role = (char *)"prøver ut";
    content->transfer = transfer;
    content->n_earlier_projects = content->n_partners = 1;
    content->earlier_projects = LIST(EarlierProject *, earlier);
    content->partners = LIST(Partner *, partner);
}

static inline private_t *example_private(arena_t *arena, const char *text)
{
    private_t *part = arena_alloc(arena, sizeof *part);

    types__v1__private__init(part);
    part->text = (char *)text;
    return part;
}

static inline Contact *example_contact(arena_t *arena)
{
    Contact *contact = arena_alloc(arena, sizeof *contact);

    intake__v1__contact__init(contact);
    contact->name = example_private(arena, "Åse Øvrebø");
    contact->email = example_private(arena, "aase.oevreboe@example.no");
    contact->phone = example_private(arena, "+47 000 00 001");
    contact->role = (char *)"prosjektleder";
    return contact;
}

static inline Content *example_content(arena_t *arena)
{
    Content *content = arena_alloc(arena, sizeof *content);

    intake__v1__content__init(content);
    content->title = (char *)"Veileder mot rasisme";
    content->purpose_text = content->tested = content->staffing = content->risk =
        (char *)"Én setning på bokmål.";
    content->n_purposes = content->n_directions = content->n_target_groups = content->n_outputs = 1;
    content->purposes = LIST(Intake__V1__Content__Purpose, INTAKE__V1__CONTENT__PURPOSE__COUNTER);
    content->directions = LIST(Intake__V1__Content__Direction, INTAKE__V1__CONTENT__DIRECTION__EMPLOYER);
    content->target_groups = LIST(Intake__V1__Content__TargetGroup,
                                  INTAKE__V1__CONTENT__TARGET_GROUP__EMPLOYEES);
    content->outputs = LIST(Intake__V1__Content__Output, INTAKE__V1__CONTENT__OUTPUT__METHOD);
    content->n_budget = 1;
    content->budget = LIST(YearBudget *, example_year(arena, 2024));
    content->not_ordinary_operation = content->net_of_vat = true;
    content->n_contacts = 1;
    content->contacts = LIST(Contact *, example_contact(arena));
    example_plan(arena, content);
    example_people(arena, content);
    return content;
}
