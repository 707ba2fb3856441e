// What is allowed with a call: proposals, awards, refusals, the reserve list. Each rule looks, refuses or
// emits; it knows no clock, database or network.
#include "rules.h"

#include "values/values.h"

#include <string.h>

// --------------------------------------------------------------------------------------- proposals

static status_t parameters_fit(struct message *message, const struct round *round,
                               const ProposeAllocation *command)
{
    bool capped = command->method == ALLOCATION__V1__METHOD__RANK_CAP;
    if (!uuid_valid(command->round_id))
        return fail(message, REFUSED, "round_id %s is no UUID", command->round_id);
    if (round->used)
        return fail(message, REFUSED, "round_id %s has a proposal already: make a new id", command->round_id);
    if (command->method == ALLOCATION__V1__METHOD__METHOD_UNSPECIFIED)
        return fail(message, REFUSED, "method is missing: DISCRETION, RANK_FULL, RANK_CAP or PROPORTIONAL");
    if (capped && (command->cap_ore <= 0 || command->cap_ore % round->call.definition->granularity_ore != 0))
        return fail(message, REFUSED,
                    "cap_ore %lld is not a whole multiple of %s above zero, as RANK_CAP needs",
                    (long long)command->cap_ore, money(message, round->call.definition->granularity_ore));
    if (!capped && command->cap_ore != 0)
        return fail(message, REFUSED, "cap_ore must be 0: only RANK_CAP has a cap");
    if (command->threshold < 0)
        return fail(message, REFUSED, "threshold %lld is below zero", (long long)command->threshold);
    if (round->n_candidates == 0)
        return fail(message, REFUSED, "call %s has no recommended application that is not decided",
                    round->call.id);
    return OK;
}

status_t rule_propose(struct message *message, const struct round *round, const ProposeAllocation *command)
{
    status_t status = call_is_known(message, &round->call);
    if (status == OK)
        status = parameters_fit(message, round, command);
    if (status != OK)
        return status;

    const struct frame *frame = frame_of(message, &round->call, round->call.definition->year);
    ProposalInput input = ALLOCATION__V1__PROPOSAL_INPUT__INIT;
    input.frame_ore = frame ? frame->residual_ore : 0;
    input.granularity_ore = round->call.definition->granularity_ore;
    input.method = command->method;
    input.cap_ore = command->cap_ore;
    input.threshold = command->threshold;
    input.n_candidates = round->n_candidates;
    input.candidates = round->candidates;
    struct proposal proposal = propose(message->arena, &input);

    size_t size;
    uint8_t *bytes = message_encode(message->arena, &input, &size);
    AllocationProposed event = ALLOCATION__V1__ALLOCATION_PROPOSED__INIT;
    event.round_id = command->round_id;
    event.call_id = command->call_id;
    event.input = &input;
    event.input_sha256 = sha256_text(message->arena, bytes, size);
    event.n_lines = proposal.n_lines;
    event.lines = proposal.lines;
    event.residual_ore = proposal.residual_ore;
    status = event_fits(message, &event.base, "the proposal", round->call.id);
    if (status == OK)
        emit(message, &event);
    return status;
}

void rule_recompute(struct message *message, const AllocationProposed *proposed, Recomputed *ret)
{
    struct proposal again = propose(message->arena, proposed->input);
    AllocationProposed other = *proposed;
    other.lines = again.lines;
    other.n_lines = again.n_lines;
    other.residual_ore = again.residual_ore;

    size_t size, other_size;
    const uint8_t *bytes = message_encode(message->arena, proposed, &size);
    const uint8_t *other_bytes = message_encode(message->arena, &other, &other_size);
    ret->equal = size == other_size && memcmp(bytes, other_bytes, size) == 0;
    ret->n_lines = again.n_lines;
    ret->lines = again.lines;
}

// --------------------------------------------------------------------------------------- decisions

static bool is_hand(const struct grant *grant, const char *person)
{
    for (int i = 0; i < grant->n_hands; i++)
        if (strcmp(grant->hands[i], person) == 0)
            return true;
    return false;
}

// The application can still be decided, by someone who did not prepare the decision.
static status_t may_decide(struct message *message, const struct grant *grant)
{
    status_t status = grant_is_known(message, grant);
    if (status != OK)
        return status;
    if (grant->withdrawn)
        return fail(message, REFUSED, "application %s is withdrawn: there is nothing to decide", grant->id);
    if (grant->rejected)
        return fail(message, REFUSED, "application %s is rejected: its content is not decided on", grant->id);
    if (is_hand(grant, message->actor->subject))
        return fail(message, REFUSED, "you have read or recommended application %s: another must decide it",
                    grant->id);
    if (grant->actor_conflict)
        return fail(message, REFUSED,
                    "you declared a conflict of interest in application %s: another must decide it",
                    grant->id);
    if (grant->evaluation_version == 0)
        return fail(message, REFUSED, "application %s is not evaluated yet", grant->id);
    return OK;
}

static status_t is_recommended(struct message *message, const struct grant *grant)
{
    if (grant->recommendation.version == 0 ||
        grant->recommendation.evaluation_version != grant->evaluation_version)
        return fail(message, REFUSED,
                    "application %s has no recommendation that stands on its latest evaluation", grant->id);
    return OK;
}

// The three questions of Bestemmelsene 2.5.2.1, each answered yes.
static status_t is_confirmed(struct message *message, const DecideAward *command)
{
    const char *missing = !command->legal_basis         ? "legal_basis"
                          : !command->budget_cover      ? "budget_cover"
                          : !command->financially_sound ? "financially_sound"
                                                        : NULL;
    if (missing)
        return fail(message, REFUSED, "%s must be confirmed before application %s can be awarded", missing,
                    command->application_id);
    return OK;
}

static const YearBudget *budget_of(const struct grant *grant, int32_t year)
{
    for (size_t i = 0; i < grant->content->n_budget; i++)
        if (grant->content->budget[i]->year == year)
            return grant->content->budget[i];
    return NULL;
}

// What was applied for in a year, and the frame that pays it.
static status_t need_year(struct message *message, const struct grant *grant, int32_t year,
                          int64_t *ret_applied_ore, const struct frame **ret_frame)
{
    int32_t first = grant->call.definition->year;
    if (year < first)
        return fail(message, REFUSED, "year %d is before the %d that call %s is for", year, first,
                    grant->call.id);
    *ret_frame = frame_of(message, &grant->call, year);
    if (!*ret_frame)
        return fail(message, REFUSED,
                    "year %d has no appropriation for call %s: nothing can be awarded for it", year,
                    grant->call.id);
    const YearBudget *budget = budget_of(grant, year);
    if (!budget)
        return fail(message, REFUSED, "year %d is not in the budget of application %s", year, grant->id);
    *ret_applied_ore = year == first ? grant->applied_ore : budget->grant_ore;
    return OK;
}

static status_t amount_fits(struct message *message, const struct grant *grant, int64_t amount_ore,
                            int64_t applied_ore, const struct frame *frame)
{
    int64_t granularity_ore = grant->call.definition->granularity_ore;
    if (amount_ore <= 0 || !money_whole(amount_ore))
        return fail(message, REFUSED,
                    "amount_ore %lld for application %s is not an amount in whole kroner above zero",
                    (long long)amount_ore, grant->id);
    if (amount_ore > applied_ore)
        return fail(message, REFUSED,
                    "amount_ore: %s for application %s is more than the %s that were applied for",
                    money(message, amount_ore), grant->id, money(message, applied_ore));
    if (amount_ore % granularity_ore != 0)
        return fail(message, REFUSED, "amount_ore: %s for application %s is no whole multiple of %s",
                    money(message, amount_ore), grant->id, money(message, granularity_ore));
    if (amount_ore > frame->residual_ore)
        return fail(message, REFUSED,
                    "amount_ore: %s for application %s is %s more than the residual of %s in the frame of "
                    "call %s",
                    money(message, amount_ore), grant->id, money(message, amount_ore - frame->residual_ore),
                    money(message, frame->residual_ore), grant->call.id);
    return OK;
}

// Later years are intentions, and stand outside the ledger.
static void add_planned(struct message *message, const struct grant *grant, AwardDecided *event)
{
    event->planned = arena_alloc(message->arena, sizeof *event->planned * (grant->content->n_budget + 1));
    for (size_t i = 0; i < grant->content->n_budget; i++) {
        if (grant->content->budget[i]->year <= event->year)
            continue;
        PlannedYear *planned = arena_alloc(message->arena, sizeof *planned);
        allocation__v1__planned_year__init(planned);
        planned->year = grant->content->budget[i]->year;
        planned->amount_ore = grant->content->budget[i]->grant_ore;
        event->planned[event->n_planned++] = planned;
    }
}

static status_t award_fits(struct message *message, const struct grant *grant, const DecideAward *command,
                           int64_t *ret_applied_ore, const struct frame **ret_frame)
{
    status_t status = may_decide(message, grant);
    if (status == OK)
        status = is_confirmed(message, command);
    if (status == OK)
        status = need_year(message, grant, command->year, ret_applied_ore, ret_frame);
    if (status == OK)
        status = grant_is_in(message, grant, UNDECIDED, "awarded");
    if (status == OK)
        status = is_recommended(message, grant);
    if (status == OK && command->evaluation_version != grant->evaluation_version)
        status = fail(message, REFUSED,
                      "evaluation_version %u of application %s is not the latest, which is %u",
                      command->evaluation_version, grant->id, grant->evaluation_version);
    if (status == OK)
        status = needs_text(message, "reason", command->reason, grant->id);
    return status == OK ? amount_fits(message, grant, command->amount_ore, *ret_applied_ore, *ret_frame)
                        : status;
}

status_t rule_award(struct message *message, const struct grant *grant, const DecideAward *command)
{
    int64_t applied_ore = 0;
    const struct frame *frame = NULL;
    status_t status = award_fits(message, grant, command, &applied_ore, &frame);
    if (status != OK)
        return status;

    AwardDecided event = ALLOCATION__V1__AWARD_DECIDED__INIT;
    event.application_id = command->application_id;
    event.call_id = (char *)grant->call.id;
    event.organisation_number = (char *)grant->organisation_number;
    event.year = command->year;
    event.amount_ore = command->amount_ore;
    event.applied_ore = applied_ore;
    event.full = command->amount_ore == applied_ore;
    event.reason = command->reason;
    event.evaluation_version = command->evaluation_version;
    event.decided_by = message->actor->subject;
    event.from_reserve = grant->state == GRANT_ON_RESERVE;
    event.n_prepared_by = (size_t)grant->n_hands;
    event.prepared_by = (char **)grant->hands;
    event.n_postings = 1;
    event.postings = post_frame(message, frame, frame->name, account_of(message, "COMMITTED", grant),
                                command->amount_ore);
    add_planned(message, grant, &event);
    emit(message, &event);
    return OK;
}

static status_t refusal_fits(struct message *message, const struct grant *grant, const DecideRefusal *command)
{
    status_t status = may_decide(message, grant);
    if (status == OK)
        status = grant_is_in(message, grant, UNDECIDED, "refused");
    if (status == OK && command->ground == ALLOCATION__V1__REFUSAL_GROUND__REFUSAL_GROUND_UNSPECIFIED)
        status = fail(message, REFUSED,
                      "ground is missing: QUALITY, FRAME_EXHAUSTED or RESERVE_EXPIRED for application %s",
                      grant->id);
    if (status == OK && command->ground == ALLOCATION__V1__REFUSAL_GROUND__RESERVE_EXPIRED &&
        grant->state != GRANT_ON_RESERVE)
        status = fail(message, REFUSED,
                      "ground: application %s is not on the reserve list, so no reserve has expired",
                      grant->id);
    if (status == OK)
        status = needs_text(message, "rules", command->rules, grant->id);
    if (status == OK)
        status = needs_text(message, "facts", command->facts, grant->id);
    return status == OK ? needs_text(message, "considerations", command->considerations, grant->id) : status;
}

status_t rule_refuse(struct message *message, const struct grant *grant, const DecideRefusal *command)
{
    status_t status = refusal_fits(message, grant, command);
    if (status != OK)
        return status;

    ApplicationRefused event = ALLOCATION__V1__APPLICATION_REFUSED__INIT;
    event.application_id = command->application_id;
    event.call_id = (char *)grant->call.id;
    event.ground = command->ground;
    event.rules = command->rules;
    event.facts = command->facts;
    event.considerations = command->considerations;
    event.decided_by = message->actor->subject;
    event.no_appeal = written_form(grant, grant->call.definition->no_appeal);
    event.contact = grant->call.definition->contact;
    event.n_prepared_by = (size_t)grant->n_hands;
    event.prepared_by = (char **)grant->hands;
    emit(message, &event);
    return OK;
}

status_t rule_put_on_reserve(struct message *message, const struct grant *grant, const char *holder,
                             const PutOnReserve *command)
{
    status_t status = may_decide(message, grant);
    if (status == OK)
        status = grant_is_in(message, grant, STATE(GRANT_UNDECIDED), "put on the reserve list");
    if (status == OK)
        status = is_recommended(message, grant);
    if (status == OK && command->rank == 0)
        status = fail(message, REFUSED, "rank is missing: 1 is first on the reserve list of call %s",
                      grant->call.id);
    if (status == OK && *holder)
        status = fail(message, REFUSED,
                      "rank %u of the reserve list of call %s was given to application %s: each is given "
                      "once",
                      command->rank, grant->call.id, holder);
    if (status == OK)
        status = needs_text(message, "reason", command->reason, grant->id);
    if (status != OK)
        return status;

    PlacedOnReserve event = ALLOCATION__V1__PLACED_ON_RESERVE__INIT;
    event.application_id = command->application_id;
    event.call_id = (char *)grant->call.id;
    event.rank = command->rank;
    event.reason = command->reason;
    emit(message, &event);
    return OK;
}
