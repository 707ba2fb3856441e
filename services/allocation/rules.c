// What is allowed with a frame and with a grant. Each rule looks, refuses or emits; it knows no clock, database or network.
#include "allocation.h"

#include "values/values.h"

#include <assert.h>
#include <string.h>

#define STATE(name) (1u << (name))

static const char *const state_texts[] = {
    [GRANT_UNDECIDED] = "not decided",     [GRANT_ON_RESERVE] = "on the reserve list",
    [GRANT_REFUSED] = "refused",           [GRANT_AWARDED] = "awarded and has no letter yet",
    [GRANT_OFFERED] = "offered",           [GRANT_MISSED] = "offered and was not accepted in time",
    [GRANT_ACCEPTED] = "accepted",         [GRANT_DECLINED] = "declined",
    [GRANT_LAPSED] = "lapsed",             [GRANT_RENOUNCED] = "renounced",
};

static const unsigned undecided = STATE(GRANT_UNDECIDED) | STATE(GRANT_ON_RESERVE);
static const unsigned offered = STATE(GRANT_OFFERED) | STATE(GRANT_MISSED);
static const unsigned live = STATE(GRANT_AWARDED) | STATE(GRANT_OFFERED) | STATE(GRANT_MISSED) | STATE(GRANT_ACCEPTED);

// ------------------------------------------------------------------------------------- what many rules ask

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\n")] == '\0';
}

static status_t text_fits(struct message *message, const char *field, const char *text, size_t most, const char *id)
{
    if (strlen(text) > most)
        return fail(message, REFUSED, "%s for %s is %zu bytes long: at most %zu are allowed", field, id, strlen(text),
                    most);
    return OK;
}

static status_t needs_text(struct message *message, const char *field, const char *text, const char *id)
{
    if (is_blank(text))
        return fail(message, REFUSED, "%s is missing: say it in words for %s", field, id);
    return text_fits(message, field, text, LIMIT_TEXT_BYTES, id);
}

static status_t call_is_known(struct message *message, const struct call *call)
{
    if (!call->known)
        return fail(message, REFUSED, "call_id: %s is not the id of a published call", call->id);
    return OK;
}

static status_t grant_is_known(struct message *message, const struct grant *grant)
{
    if (!grant->known)
        return fail(message, REFUSED, "application_id: %s is not the id of a delivered application", grant->id);
    return OK;
}

static status_t is_in(struct message *message, const struct grant *grant, unsigned states, const char *what)
{
    status_t status = grant_is_known(message, grant);
    if (status == OK && !(states & STATE(grant->state)))
        status = fail(message, REFUSED, "the grant of application %s is %s, so it can not be %s", grant->id,
                      state_texts[grant->state], what);
    return status;
}

static bool from_municipality(const struct message *message)
{
    return message->actor->role < 64 && (ROLES_MUNICIPALITY & (UINT64_C(1) << message->actor->role));
}

static status_t is_lead(struct message *message, const struct grant *grant)
{
    status_t status = grant_is_known(message, grant);
    if (status == OK && strcmp(message->actor->organisation, grant->organisation_number) != 0)
        status = fail(message, REFUSED, "organisation %s is not the lead of application %s: %s is",
                      message->actor->organisation, grant->id, grant->organisation_number);
    return status;
}

static const char *money(struct message *message, int64_t ore)
{
    return money_text(message->arena, ore);
}

static const char *both_forms(const struct grant *grant, const Text *text)
{
    return !text ? "" : grant->nynorsk ? text->nn : text->nb;
}

// Is the event small enough to be stored?
static status_t event_fits(struct message *message, const ProtobufCMessage *event, const char *what, const char *id)
{
    size_t size = protobuf_c_message_get_packed_size(event);
    if (size > LIMIT_EVENT_BYTES - EVENT_ROOM)
        return fail(message, REFUSED, "%s of %s would be %zu bytes and at most %d are allowed: shorten its texts", what, id,
                    size, LIMIT_EVENT_BYTES - EVENT_ROOM);
    return OK;
}

// ------------------------------------------------------------------------------------- the ledger

static char *account_of(struct message *message, const char *kind, const struct grant *grant)
{
    return arena_printf(message->arena, "%s:%s", kind, grant->id);
}

static const char *year_account(struct message *message, const char *kind, const struct call *call, int32_t year)
{
    return year == call->definition->year ? kind : arena_printf(message->arena, "%s:%d", kind, year);
}

// The frame that pays for a year; NULL when there is no appropriation for it.
static const struct frame *frame_of(struct message *message, const struct call *call, int32_t year)
{
    const char *name = year_account(message, "FRAME", call, year);
    for (int i = 0; i < call->n_frames; i++)
        if (strcmp(call->frames[i].name, name) == 0)
            return &call->frames[i];
    return NULL;
}

// Every event of ours moves money between two accounts at most once, so its postings are a list of one.
static Posting **post(struct message *message, const char *from, const char *to, int64_t amount_ore)
{
    assert(amount_ore > 0);
    Posting *posting = arena_alloc(message->arena, sizeof *posting);
    allocation__v1__posting__init(posting);
    posting->from = (char *)from;
    posting->to = (char *)to;
    posting->amount_ore = amount_ore;
    Posting **list = arena_alloc(message->arena, sizeof *list);
    *list = posting;
    return list;
}

// The same where a frame is one side: the movement gets its number, and tells what is left.
static Posting **post_frame(struct message *message, const struct frame *frame, const char *from, const char *to,
                            int64_t amount_ore)
{
    Posting **list = post(message, from, to, amount_ore);
    bool out = strcmp(frame->name, from) == 0;
    assert(out || strcmp(frame->name, to) == 0);
    list[0]->frame_number = frame->movements + 1;
    list[0]->residual_ore = frame->residual_ore + (out ? -amount_ore : amount_ore);
    return list;
}

// What is committed goes back to the frame that it came from.
static Posting **release(struct message *message, const struct grant *grant)
{
    const struct frame *frame = frame_of(message, &grant->call, grant->award->year);
    assert(frame && "what was awarded came from a frame");
    return post_frame(message, frame, account_of(message, "COMMITTED", grant), frame->name, grant->committed_ore);
}

// ------------------------------------------------------------------------------------- frames

void rule_open_frame(struct message *message, const struct call *call)
{
    if (!call->known || call->n_frames > 0)
        return;
    struct frame frame = {.name = "FRAME"};
    FrameOpened event = ALLOCATION__V1__FRAME_OPENED__INIT;
    event.call_id = (char *)call->id;
    event.frame_ore = call->definition->frame_ore;
    event.n_postings = 1;
    event.postings = post_frame(message, &frame, "APPROPRIATION", frame.name, event.frame_ore);
    emit(message, &event);
}

static bool call_id_valid(const char *id)
{
    size_t length = strlen(id);
    return length >= 3 && length <= 64 && strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

static status_t reservation_fits(struct message *message, const struct call *call, bool taken,
                                 const ReserveFrame *command)
{
    const struct frame *frame = frame_of(message, call, call->definition->year);
    if (!call_id_valid(command->extra_call_id))
        return fail(message, REFUSED, "extra_call_id %s is no id of a call: 3 to 64 of a-z, 0-9 and -",
                    command->extra_call_id);
    if (taken)
        return fail(message, REFUSED, "extra_call_id %s is taken: a call is published or reserved for under it",
                    command->extra_call_id);
    if (command->amount_ore <= 0 || !money_whole(command->amount_ore))
        return fail(message, REFUSED, "amount_ore %lld for call %s is not an amount in whole kroner above zero",
                    (long long)command->amount_ore, command->extra_call_id);
    int64_t residual_ore = frame ? frame->residual_ore : 0;
    if (command->amount_ore > residual_ore)
        return fail(message, REFUSED, "amount_ore: %s for call %s is more than the residual of %s in the frame of call %s",
                    money(message, command->amount_ore), command->extra_call_id, money(message, residual_ore), call->id);
    return needs_text(message, "reason", command->reason, command->extra_call_id);
}

status_t rule_reserve_frame(struct message *message, const struct call *call, bool taken, const ReserveFrame *command)
{
    status_t status = call_is_known(message, call);
    if (status == OK)
        status = reservation_fits(message, call, taken, command);
    if (status != OK)
        return status;

    FrameReserved event = ALLOCATION__V1__FRAME_RESERVED__INIT;
    event.call_id = command->call_id;
    event.extra_call_id = command->extra_call_id;
    event.amount_ore = command->amount_ore;
    event.reason = command->reason;
    event.n_postings = 1;
    event.postings = post_frame(message, frame_of(message, call, call->definition->year), "FRAME", "RESERVED",
                                command->amount_ore);
    event.residual_ore = event.postings[0]->residual_ore;
    emit(message, &event);
    return OK;
}

static status_t appropriation_fits(struct message *message, const struct call *call,
                                   const RecordAppropriation *command)
{
    int32_t first = call->definition->year;
    if (command->year <= first || command->year > 2100)
        return fail(message, REFUSED, "year %d is not a later budget year than the %d that call %s is for", command->year,
                    first, call->id);
    if (frame_of(message, call, command->year))
        return fail(message, REFUSED, "year %d of call %s has its appropriation already", command->year, call->id);
    if (command->amount_ore <= 0 || command->amount_ore > MONEY_MAX || !money_whole(command->amount_ore))
        return fail(message, REFUSED, "amount_ore %lld for %d is not an amount in whole kroner above zero",
                    (long long)command->amount_ore, command->year);
    status_t status = needs_text(message, "chapter_post", command->chapter_post, call->id);
    if (status == OK)
        status = needs_text(message, "letter_reference", command->letter_reference, call->id);
    if (status == OK)
        status = text_fits(message, "chapter_post", command->chapter_post, LIMIT_LINE_BYTES, call->id);
    return status == OK
               ? text_fits(message, "letter_reference", command->letter_reference, LIMIT_LINE_BYTES, call->id)
               : status;
}

status_t rule_record_appropriation(struct message *message, const struct call *call,
                                   const RecordAppropriation *command)
{
    status_t status = call_is_known(message, call);
    if (status == OK)
        status = appropriation_fits(message, call, command);
    if (status != OK)
        return status;

    struct frame frame = {.name = year_account(message, "FRAME", call, command->year)};
    AppropriationRecorded event = ALLOCATION__V1__APPROPRIATION_RECORDED__INIT;
    event.call_id = command->call_id;
    event.year = command->year;
    event.chapter_post = command->chapter_post;
    event.amount_ore = command->amount_ore;
    event.letter_reference = command->letter_reference;
    event.n_postings = 1;
    event.postings = post_frame(message, &frame, year_account(message, "APPROPRIATION", call, command->year), frame.name,
                                command->amount_ore);
    emit(message, &event);
    return OK;
}

// ------------------------------------------------------------------------------------- proposals

static status_t parameters_fit(struct message *message, const struct round *round, const ProposeAllocation *command)
{
    bool capped = command->method == ALLOCATION__V1__METHOD__RANK_CAP;
    if (!uuid_valid(command->round_id))
        return fail(message, REFUSED, "round_id %s is no UUID", command->round_id);
    if (round->used)
        return fail(message, REFUSED, "round_id %s has a proposal already: make a new id", command->round_id);
    if (command->method == ALLOCATION__V1__METHOD__METHOD_UNSPECIFIED)
        return fail(message, REFUSED, "method is missing: DISCRETION, RANK_FULL, RANK_CAP or PROPORTIONAL");
    if (capped && (command->cap_ore <= 0 || command->cap_ore % round->call.definition->granularity_ore != 0))
        return fail(message, REFUSED, "cap_ore %lld is not a whole multiple of %s above zero, as RANK_CAP needs",
                    (long long)command->cap_ore, money(message, round->call.definition->granularity_ore));
    if (!capped && command->cap_ore != 0)
        return fail(message, REFUSED, "cap_ore must be 0: only RANK_CAP has a cap");
    if (command->threshold < 0)
        return fail(message, REFUSED, "threshold %lld is below zero", (long long)command->threshold);
    if (round->n_candidates == 0)
        return fail(message, REFUSED, "call %s has no recommended application that is not decided", round->call.id);
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

// ------------------------------------------------------------------------------------- decisions

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
        return fail(message, REFUSED, "you have read or recommended application %s: another must decide it", grant->id);
    if (grant->actor_conflict)
        return fail(message, REFUSED, "you declared a conflict of interest in application %s: another must decide it",
                    grant->id);
    if (grant->evaluation_version == 0)
        return fail(message, REFUSED, "application %s is not evaluated yet", grant->id);
    return OK;
}

static status_t is_recommended(struct message *message, const struct grant *grant)
{
    if (grant->recommendation.version == 0 || grant->recommendation.evaluation_version != grant->evaluation_version)
        return fail(message, REFUSED, "application %s has no recommendation that stands on its latest evaluation",
                    grant->id);
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
static status_t need_year(struct message *message, const struct grant *grant, int32_t year, int64_t *ret_applied_ore,
                          const struct frame **ret_frame)
{
    int32_t first = grant->call.definition->year;
    if (year < first)
        return fail(message, REFUSED, "year %d is before the %d that call %s is for", year, first, grant->call.id);
    *ret_frame = frame_of(message, &grant->call, year);
    if (!*ret_frame)
        return fail(message, REFUSED, "year %d has no appropriation for call %s: nothing can be awarded for it", year,
                    grant->call.id);
    const YearBudget *budget = budget_of(grant, year);
    if (!budget)
        return fail(message, REFUSED, "year %d is not in the budget of application %s", year, grant->id);
    *ret_applied_ore = year == first ? grant->applied_ore : budget->grant_ore;
    return OK;
}

static status_t amount_fits(struct message *message, const struct grant *grant, int64_t amount_ore, int64_t applied_ore,
                            const struct frame *frame)
{
    int64_t granularity_ore = grant->call.definition->granularity_ore;
    if (amount_ore <= 0 || !money_whole(amount_ore))
        return fail(message, REFUSED, "amount_ore %lld for application %s is not an amount in whole kroner above zero",
                    (long long)amount_ore, grant->id);
    if (amount_ore > applied_ore)
        return fail(message, REFUSED, "amount_ore: %s for application %s is more than the %s that were applied for",
                    money(message, amount_ore), grant->id, money(message, applied_ore));
    if (amount_ore % granularity_ore != 0)
        return fail(message, REFUSED, "amount_ore: %s for application %s is no whole multiple of %s",
                    money(message, amount_ore), grant->id, money(message, granularity_ore));
    if (amount_ore > frame->residual_ore)
        return fail(message, REFUSED, "amount_ore: %s for application %s is %s more than the residual of %s in the frame of "
                    "call %s", money(message, amount_ore), grant->id,
                    money(message, amount_ore - frame->residual_ore), money(message, frame->residual_ore),
                    grant->call.id);
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
        status = is_in(message, grant, undecided, "awarded");
    if (status == OK)
        status = is_recommended(message, grant);
    if (status == OK && command->evaluation_version != grant->evaluation_version)
        status = fail(message, REFUSED, "evaluation_version %u of application %s is not the latest, which is %u",
                      command->evaluation_version, grant->id, grant->evaluation_version);
    if (status == OK)
        status = needs_text(message, "reason", command->reason, grant->id);
    return status == OK ? amount_fits(message, grant, command->amount_ore, *ret_applied_ore, *ret_frame) : status;
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
    event.postings =
        post_frame(message, frame, frame->name, account_of(message, "COMMITTED", grant), command->amount_ore);
    add_planned(message, grant, &event);
    emit(message, &event);
    return OK;
}

static status_t refusal_fits(struct message *message, const struct grant *grant, const DecideRefusal *command)
{
    status_t status = may_decide(message, grant);
    if (status == OK)
        status = is_in(message, grant, undecided, "refused");
    if (status == OK && command->ground == ALLOCATION__V1__REFUSAL_GROUND__REFUSAL_GROUND_UNSPECIFIED)
        status = fail(message, REFUSED, "ground is missing: QUALITY, FRAME_EXHAUSTED or RESERVE_EXPIRED for application %s",
                      grant->id);
    if (status == OK && command->ground == ALLOCATION__V1__REFUSAL_GROUND__RESERVE_EXPIRED &&
        grant->state != GRANT_ON_RESERVE)
        status = fail(message, REFUSED, "ground: application %s is not on the reserve list, so no reserve has expired",
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
    event.no_appeal = (char *)both_forms(grant, grant->call.definition->no_appeal);
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
        status = is_in(message, grant, STATE(GRANT_UNDECIDED), "put on the reserve list");
    if (status == OK)
        status = is_recommended(message, grant);
    if (status == OK && command->rank == 0)
        status = fail(message, REFUSED, "rank is missing: 1 is first on the reserve list of call %s", grant->call.id);
    if (status == OK && *holder)
        status = fail(message, REFUSED, "rank %u of the reserve list of call %s was given to application %s: each is given "
                      "once", command->rank, grant->call.id, holder);
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

// ------------------------------------------------------------------------------------- letter and acceptance

// Nothing has been paid, and nothing is on its way to be.
static status_t is_unpaid(struct message *message, const struct grant *grant, const char *what)
{
    if (grant->paid_ore > 0 || grant->claimed_ore > 0)
        return fail(message, REFUSED, "the grant of application %s is paid, so it can not be %s", grant->id, what);
    if (grant->payment_under_way)
        return fail(message, REFUSED, "a payment of the grant of application %s is under way, so it can not be %s: wait for "
                    "what the bank says", grant->id, what);
    return OK;
}

status_t rule_issue_letter(struct message *message, const struct grant *grant, const IssueLetter *command)
{
    GrantLetter letter = ALLOCATION__V1__GRANT_LETTER__INIT;
    status_t status = is_in(message, grant, live, "given a letter");
    if (status == OK)
        status = is_unpaid(message, grant, "given a new letter");
    if (status == OK && grant->letter_version > 0)
        status = needs_text(message, "reason", command->reason, grant->id);
    if (status == OK)
        status = text_fits(message, "reason", command->reason, LIMIT_TEXT_BYTES, grant->id);
    if (status == OK)
        status = letter_write(message, grant, &letter);
    if (status != OK)
        return status;

    size_t size;
    uint8_t *bytes = message_encode(message->arena, &letter, &size);
    GrantLetterIssued event = ALLOCATION__V1__GRANT_LETTER_ISSUED__INIT;
    event.application_id = command->application_id;
    event.call_id = (char *)grant->call.id;
    event.letter = &letter;
    event.letter_sha256 = sha256_text(message->arena, bytes, size);
    event.reason = command->reason;
    status = event_fits(message, &event.base, "the letter", grant->id);
    if (status == OK)
        emit(message, &event);
    return status;
}

static bool is_among(char *const texts[], size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(texts[i], text) == 0)
            return true;
    return false;
}

// Every condition of the letter, each once, and no other.
static status_t conditions_fit(struct message *message, const struct grant *grant, const Accept *command)
{
    const GrantLetter *letter = grant->letter;
    for (size_t i = 0; i < letter->n_conditions; i++)
        if (!is_among(command->conditions, command->n_conditions, letter->conditions[i]->id))
            return fail(message, REFUSED, "condition %s of the letter of application %s is not accepted, and every one must "
                        "be", letter->conditions[i]->id, grant->id);
    if (command->n_conditions != letter->n_conditions)
        return fail(message, REFUSED, "conditions of application %s are %zu, and the letter has %zu: accept each once",
                    grant->id, command->n_conditions, letter->n_conditions);
    return OK;
}

static status_t letter_fits(struct message *message, const struct grant *grant, const Accept *command)
{
    if (message->at_us >= grant->accept_by_at_us)
        return fail(message, REFUSED, "the grant of application %s had to be accepted before %s", grant->id,
                    oslo_text(message->arena, grant->accept_by_at_us));
    if (command->letter_version != grant->letter_version)
        return fail(message, REFUSED, "letter_version %u of application %s is not the current one, which is %u",
                    command->letter_version, grant->id, grant->letter_version);
    if (strcmp(command->letter_sha256, grant->letter_sha256) != 0)
        return fail(message, REFUSED, "letter_sha256 is not that of letter %u of application %s, which is %s",
                    grant->letter_version, grant->id, grant->letter_sha256);
    return conditions_fit(message, grant, command);
}

static status_t account_fits(struct message *message, const struct grant *grant, const Accept *command)
{
    if (!account_number_valid(command->account_number))
        return fail(message, REFUSED, "account_number %s for application %s is none: 11 digits with a right check digit",
                    command->account_number, grant->id);
    if (*command->kid && !kid_valid(command->kid))
        return fail(message, REFUSED, "kid %s for application %s is none: 2 to 25 digits with a right check digit, or empty",
                    command->kid, grant->id);
    if (!is_blank(command->remark))
        return fail(message, REFUSED, "remark on application %s must be empty: a remark that changes a condition is not an "
                    "acceptance", grant->id);
    return text_fits(message, "project_number", command->project_number, LIMIT_LINE_BYTES, grant->id);
}

status_t rule_accept(struct message *message, const struct grant *grant, const Accept *command)
{
    status_t status = is_lead(message, grant);
    if (status == OK)
        status = is_in(message, grant, offered, "accepted");
    if (status == OK)
        status = letter_fits(message, grant, command);
    if (status == OK)
        status = account_fits(message, grant, command);
    if (status != OK)
        return status;

    size_t size;
    uint8_t *bytes = message_encode(message->arena, command, &size);
    AcceptancePrepared event = ALLOCATION__V1__ACCEPTANCE_PREPARED__INIT;
    event.application_id = command->application_id;
    event.call_id = (char *)grant->call.id;
    event.organisation_number = (char *)grant->organisation_number;
    event.letter_version = command->letter_version;
    event.acceptance_sha256 = sha256_text(message->arena, bytes, size);
    event.acceptance = (Accept *)command;
    event.acceptance_version = (grant->acceptance ? grant->acceptance->acceptance_version : 0) + 1;
    event.amount_ore = grant->award->amount_ore;
    emit(message, &event);
    return OK;
}

// Why a signature does not make the acceptance count; NULL when it does.
static const char *why_disregarded(struct message *message, const struct grant *grant, const SignedOff *event)
{
    const AcceptancePrepared *acceptance = grant->acceptance;
    if (!(offered & STATE(grant->state)))
        return arena_printf(message->arena, "the grant is %s", state_texts[grant->state]);
    if (!acceptance || event->version != acceptance->acceptance_version ||
        strcmp(event->content_sha256, acceptance->acceptance_sha256) != 0)
        return "another acceptance was prepared since the one that was signed";
    if (acceptance->letter_version != grant->letter_version)
        return arena_printf(message->arena, "letter %u was signed, and letter %u is the current one",
                            acceptance->letter_version, grant->letter_version);
    if (event->signed_at_us >= grant->accept_by_at_us)
        return "it was signed after the time to accept had passed";
    return NULL;
}

void rule_signed_off(struct message *message, const struct grant *grant, const SignedOff *signed_off)
{
    if (!grant->known || signed_off->kind != TYPES__V1__SIGN_OFF_KIND__ACCEPTANCE)
        return;
    const char *why = why_disregarded(message, grant, signed_off);
    if (why) {
        AcceptanceDisregarded event = ALLOCATION__V1__ACCEPTANCE_DISREGARDED__INIT;
        event.application_id = signed_off->application_id;
        event.reason = (char *)why;
        emit(message, &event);
        return;
    }
    GrantAccepted event = ALLOCATION__V1__GRANT_ACCEPTED__INIT;
    event.application_id = signed_off->application_id;
    event.call_id = (char *)grant->call.id;
    event.organisation_number = (char *)grant->organisation_number;
    event.name = (char *)grant->name;
    event.year = grant->award->year;
    event.amount_ore = grant->award->amount_ore;
    event.letter_version = grant->letter_version;
    event.account_number = grant->acceptance->acceptance->account_number;
    event.kid = grant->acceptance->acceptance->kid;
    event.signed_by = signed_off->n_signatures ? signed_off->signatures[0]->person : "";
    event.instalments = grant->letter->instalments;
    emit(message, &event);
}

static void emit_declined(struct message *message, const struct grant *grant, char *reason)
{
    GrantDeclined event = ALLOCATION__V1__GRANT_DECLINED__INIT;
    event.application_id = (char *)grant->id;
    event.call_id = (char *)grant->call.id;
    event.reason = reason;
    event.n_postings = 1;
    event.postings = release(message, grant);
    emit(message, &event);
}

status_t rule_decline(struct message *message, const struct grant *grant, const Decline *command)
{
    status_t status = is_lead(message, grant);
    if (status == OK)
        status = is_in(message, grant, offered, "declined");
    if (status == OK)
        status = needs_text(message, "reason", command->reason, grant->id);
    if (status == OK)
        emit_declined(message, grant, command->reason);
    return status;
}

// Withdrawn before anyone had heard of the award: the money goes back at once.
void rule_withdrawn(struct message *message, const struct grant *grant, const ApplicationWithdrawn *event)
{
    (void)event;
    if (grant->known && ((offered | STATE(GRANT_AWARDED)) & STATE(grant->state)))
        emit_declined(message, grant, "the application was withdrawn");
}

status_t rule_extend(struct message *message, const struct grant *grant, const ExtendAcceptance *command)
{
    status_t status = is_in(message, grant, offered, "given more time");
    if (status != OK)
        return status;
    int64_t year_end_us = 0;
    bool exists = oslo_midnight(grant->award->year + 1, 1, 1, &year_end_us);
    assert(exists && "a year has an end");
    if (message->at_us >= grant->accept_by_at_us)
        return fail(message, REFUSED, "the time to accept the grant of application %s has passed, and more can not be given "
                    "after that", grant->id);
    if (command->accept_by_at_us <= grant->accept_by_at_us)
        return fail(message, REFUSED, "accept_by_at_us of application %s is not later than the present one, %s", grant->id,
                    oslo_text(message->arena, grant->accept_by_at_us));
    if (command->accept_by_at_us > year_end_us)
        return fail(message, REFUSED, "accept_by_at_us of application %s is after the end of %d, whose money it is",
                    grant->id, grant->award->year);
    status = needs_text(message, "reason", command->reason, grant->id);
    if (status != OK)
        return status;

    AcceptanceExtended event = ALLOCATION__V1__ACCEPTANCE_EXTENDED__INIT;
    event.application_id = command->application_id;
    event.accept_by_at_us = command->accept_by_at_us;
    event.reason = command->reason;
    emit(message, &event);
    return OK;
}

status_t rule_miss(struct message *message, const struct grant *grant)
{
    status_t status = is_in(message, grant, STATE(GRANT_OFFERED), "missed");
    if (status == OK && message->at_us < grant->accept_by_at_us)
        status = fail(message, REFUSED, "the time to accept the grant of application %s has not passed", grant->id);
    if (status != OK)
        return status;

    AcceptanceMissed event = ALLOCATION__V1__ACCEPTANCE_MISSED__INIT;
    event.application_id = (char *)grant->id;
    event.accept_by_at_us = grant->accept_by_at_us;
    emit(message, &event);
    return OK;
}

status_t rule_lapse(struct message *message, const struct grant *grant, const ConfirmLapse *command)
{
    status_t status = grant_is_known(message, grant);
    if (status == OK && grant->state == GRANT_OFFERED)
        return fail(message, REFUSED, "the time to accept the grant of application %s has not passed: it runs until %s",
                    grant->id, oslo_text(message->arena, grant->accept_by_at_us));
    if (status == OK)
        status = is_in(message, grant, STATE(GRANT_MISSED), "lapsed");
    if (status == OK)
        status = needs_text(message, "reason", command->reason, grant->id);
    if (status != OK)
        return status;

    GrantLapsed event = ALLOCATION__V1__GRANT_LAPSED__INIT;
    event.application_id = command->application_id;
    event.call_id = (char *)grant->call.id;
    event.reason = command->reason;
    event.n_postings = 1;
    event.postings = release(message, grant);
    emit(message, &event);
    return OK;
}

status_t rule_renounce(struct message *message, const struct grant *grant, const Renounce *command)
{
    status_t status = is_lead(message, grant);
    if (status == OK)
        status = is_in(message, grant, STATE(GRANT_ACCEPTED), "renounced");
    if (status == OK)
        status = is_unpaid(message, grant, "renounced");
    if (status == OK)
        status = needs_text(message, "reason", command->reason, grant->id);
    if (status != OK)
        return status;

    GrantRenounced event = ALLOCATION__V1__GRANT_RENOUNCED__INIT;
    event.application_id = command->application_id;
    event.call_id = (char *)grant->call.id;
    event.reason = command->reason;
    event.n_postings = 1;
    event.postings = release(message, grant);
    emit(message, &event);
    return OK;
}

// ------------------------------------------------------------------------------------- what was paid and claimed

// A payment comes from what is committed and goes back there. Where the grant was given up while the money was on its
// way, nothing is committed any more, and the frame is the other side.
static status_t post_payment(struct message *message, const struct grant *grant, const char *payment_key,
                             int64_t amount_ore, bool back)
{
    if (!grant->known || !grant->award)
        return fail(message, POISON, "payment %s is of an application that nothing was awarded to", payment_key);
    bool committed = live & STATE(grant->state);
    const struct frame *frame = frame_of(message, &grant->call, grant->award->year);
    const char *home = committed ? account_of(message, "COMMITTED", grant) : frame->name;
    const char *paid = account_of(message, "PAID", grant);
    int64_t there_ore = back ? grant->paid_ore : committed ? grant->committed_ore : frame->residual_ore;
    if (amount_ore <= 0 || amount_ore > there_ore)
        return fail(message, POISON, "payment %s of %s moves money that is not there: account %s holds %s", payment_key,
                    money(message, amount_ore), back ? paid : home, money(message, there_ore));

    PaymentPosted event = ALLOCATION__V1__PAYMENT_POSTED__INIT;
    const char *from = back ? paid : home, *to = back ? home : paid;
    event.application_id = (char *)grant->id;
    event.call_id = (char *)grant->call.id;
    event.payment_key = (char *)payment_key;
    event.n_postings = 1;
    event.postings = committed ? post(message, from, to, amount_ore) : post_frame(message, frame, from, to, amount_ore);
    emit(message, &event);
    return OK;
}

status_t rule_confirmed(struct message *message, const struct grant *grant, const PaymentConfirmed *event)
{
    return post_payment(message, grant, event->payment_key, event->amount_ore, false);
}

status_t rule_returned(struct message *message, const struct grant *grant, const PaymentReturned *event)
{
    return post_payment(message, grant, event->payment_key, event->amount_ore, true);
}

status_t rule_claimed(struct message *message, const struct grant *grant, const ClaimIssued *claim)
{
    if (claim->amount_ore <= 0 || claim->amount_ore > grant->paid_ore)
        return fail(message, POISON, "claim %s of %s is more than the %s that were paid", claim->claim_id,
                    money(message, claim->amount_ore), money(message, grant->paid_ore));
    ClaimPosted event = ALLOCATION__V1__CLAIM_POSTED__INIT;
    event.application_id = (char *)grant->id;
    event.call_id = (char *)grant->call.id;
    event.claim_id = claim->claim_id;
    event.n_postings = 1;
    event.postings =
        post(message, account_of(message, "PAID", grant), account_of(message, "CLAIMED", grant), claim->amount_ore);
    emit(message, &event);
    return OK;
}

status_t rule_repaid(struct message *message, const struct grant *grant, const RepaymentReceived *receipt)
{
    if (receipt->amount_ore <= 0 || receipt->amount_ore > grant->claimed_ore)
        return fail(message, POISON, "repayment %s of %s is more than the %s that are claimed", receipt->receipt_id,
                    money(message, receipt->amount_ore), money(message, grant->claimed_ore));
    RepaymentPosted event = ALLOCATION__V1__REPAYMENT_POSTED__INIT;
    event.application_id = (char *)grant->id;
    event.call_id = (char *)grant->call.id;
    event.claim_id = receipt->claim_id;
    event.n_postings = 1;
    event.postings =
        post(message, account_of(message, "CLAIMED", grant), account_of(message, "REPAID", grant), receipt->amount_ore);
    emit(message, &event);
    return OK;
}

// ------------------------------------------------------------------------------------- who sees what

status_t rule_show_letter(struct message *message, const struct grant *grant, Letter *ret)
{
    status_t status = from_municipality(message) ? is_lead(message, grant) : grant_is_known(message, grant);
    if (status == OK && !grant->letter)
        status = fail(message, REFUSED, "application %s has no letter", grant->id);
    if (status != OK)
        return status;

    const AcceptancePrepared *acceptance = grant->acceptance;
    ret->letter = (GrantLetter *)grant->letter;
    ret->letter_sha256 = (char *)grant->letter_sha256;
    ret->current = live & STATE(grant->state);
    if (acceptance && (offered & STATE(grant->state)) && acceptance->letter_version == grant->letter_version) {
        ret->acceptance_version = acceptance->acceptance_version;
        ret->acceptance_sha256 = acceptance->acceptance_sha256;
    }
    return OK;
}
