// How allocation's tables are read and written. One function a statement or an event; no decisions.
#include "allocation.h"

#include "allocation_store.sql.h"

#include <stdlib.h>
#include <string.h>

// ------------------------------------------------------------------------------------- loading

// A stored message, whole. NULL cells give NULL.
static status_t decode(struct message *message, const ProtobufCMessageDescriptor *descriptor,
                       const struct rows *rows, int column, void *ret)
{
    if (row_null(rows, 0, column))
        return OK;
    ProtobufCBinaryData bytes = row_bytes(rows, 0, column);
    return message_decode(message, descriptor, bytes.data, bytes.len, ret);
}

static status_t load_frames(struct message *message, struct call *call)
{
    struct rows rows;
    status_t status = RUN(message, load_frames, &rows, TEXT(call->id));
    if (status != OK)
        return status;
    struct frame *frames = arena_alloc(message->arena, sizeof *frames * (size_t)(rows.count + 1));
    for (int i = 0; i < rows.count; i++)
        frames[i] = (struct frame){.name = row_text(&rows, i, 0),
                                   .residual_ore = row_int(&rows, i, 1),
                                   .movements = (uint64_t)row_int(&rows, i, 2)};
    call->frames = frames;
    call->n_frames = rows.count;
    return OK;
}

static status_t read_call(struct message *message, const char *call_id, struct call *ret)
{
    struct rows rows;
    void *definition = NULL;
    *ret = (struct call){.id = arena_text(message->arena, call_id)};
    status_t status = RUN(message, load_call, &rows, TEXT(call_id));
    if (status == OK && rows.count == 1)
        status = decode(message, &types__v1__call_definition__descriptor, &rows, 0, &definition);
    ret->definition = definition;
    ret->known = definition != NULL;
    return status == OK && ret->known ? load_frames(message, ret) : status;
}

// The lock is a statement of its own, so that what is read after it is what the decision before ours has
// committed.
status_t store_load_call(struct message *message, const char *call_id, struct call *ret)
{
    status_t status = RUN(message, lock_frames, NULL, TEXT(call_id));
    return status == OK ? read_call(message, call_id, ret) : status;
}

static status_t load_application(struct message *message, struct grant *grant)
{
    struct rows rows;
    void *content = NULL;
    status_t status = RUN(message, load_application, &rows, TEXT(grant->id), TEXT(message->actor->subject));
    if (status == OK)
        status = decode(message, &intake__v1__content__descriptor, &rows, 2, &content);
    if (status != OK)
        return status;
    grant->organisation_number = row_text(&rows, 0, 0);
    grant->name = row_text(&rows, 0, 1);
    grant->content = content;
    grant->applied_ore = row_int(&rows, 0, 3);
    grant->withdrawn = row_int(&rows, 0, 4);
    grant->rejected = row_int(&rows, 0, 5);
    grant->nynorsk = row_int(&rows, 0, 6);
    grant->evaluation_version = (uint32_t)row_int(&rows, 0, 7);
    grant->handler = row_text(&rows, 0, 8);
    grant->actor_conflict = row_int(&rows, 0, 9);
    grant->payment_under_way = row_int(&rows, 0, 10);
    return OK;
}

static status_t load_recommendation(struct message *message, struct grant *grant)
{
    struct rows rows;
    status_t status = RUN(message, load_recommendation, &rows, TEXT(grant->id));
    grant->recommendation = (struct recommendation){.cuts = ""};
    if (status == OK && rows.count == 1)
        grant->recommendation = (struct recommendation){.version = (uint32_t)row_int(&rows, 0, 0),
                                                        .evaluation_version = (uint32_t)row_int(&rows, 0, 1),
                                                        .amount_ore = row_int(&rows, 0, 2),
                                                        .cuts = row_text(&rows, 0, 3)};
    return status;
}

static status_t load_hands(struct message *message, struct grant *grant)
{
    struct rows rows;
    status_t status = RUN(message, load_hands, &rows, TEXT(grant->id));
    if (status != OK)
        return status;
    const char **hands = arena_alloc(message->arena, sizeof *hands * (size_t)(rows.count + 1));
    for (int i = 0; i < rows.count; i++)
        hands[i] = row_text(&rows, i, 0);
    grant->hands = hands;
    grant->n_hands = rows.count;
    return OK;
}

// What was decided here; nothing yet: the row is not there.
static status_t load_decided(struct message *message, struct grant *grant)
{
    struct rows rows;
    void *award = NULL, *letter = NULL, *acceptance = NULL;
    status_t status = RUN(message, load_grant, &rows, TEXT(grant->id));
    grant->letter_sha256 = "";
    if (status != OK || rows.count == 0)
        return status;
    status = decode(message, &allocation__v1__award_decided__descriptor, &rows, 2, &award);
    if (status == OK)
        status = decode(message, &allocation__v1__grant_letter__descriptor, &rows, 4, &letter);
    if (status == OK)
        status = decode(message, &allocation__v1__acceptance_prepared__descriptor, &rows, 7, &acceptance);
    grant->state = (enum grant_state)row_int(&rows, 0, 0);
    grant->reserve_rank = (uint32_t)row_int(&rows, 0, 1);
    grant->award = award;
    grant->letter_version = (uint32_t)row_int(&rows, 0, 3);
    grant->letter = letter;
    grant->letter_sha256 = row_text(&rows, 0, 5);
    grant->accept_by_at_us = row_int(&rows, 0, 6);
    grant->acceptance = acceptance;
    return status;
}

static status_t load_accounts(struct message *message, struct grant *grant)
{
    struct rows rows;
    status_t status = RUN(message, load_accounts, &rows, TEXT(grant->call.id), TEXT(grant->id));
    if (status != OK)
        return status;
    grant->committed_ore = row_int(&rows, 0, 0);
    grant->paid_ore = row_int(&rows, 0, 1);
    grant->claimed_ore = row_int(&rows, 0, 2);
    return OK;
}

typedef status_t load_call_f(struct message *message, const char *call_id, struct call *ret);

static status_t load_grant(struct message *message, const char *application_id, load_call_f *load_call,
                           bool lock, struct grant *ret)
{
    struct rows rows;
    *ret = (struct grant){.id = arena_text(message->arena, application_id)};
    status_t status = RUN(message, find_call, &rows, TEXT(application_id));
    if (status != OK || rows.count == 0)
        return status;
    status = load_call(message, row_text(&rows, 0, 0), &ret->call);
    if (status == OK && !ret->call.known)
        status = fail(message, POISON, "call %s of application %s was never heard of", ret->call.id,
                      application_id);
    ret->known = status == OK;
    if (status == OK && lock)
        status = RUN(message, lock_grant, NULL, TEXT(application_id));
    if (status == OK)
        status = load_application(message, ret);
    if (status == OK)
        status = load_recommendation(message, ret);
    if (status == OK)
        status = load_hands(message, ret);
    if (status == OK)
        status = load_decided(message, ret);
    return status == OK ? load_accounts(message, ret) : status;
}

status_t store_load_grant(struct message *message, const char *application_id, struct grant *ret)
{
    return load_grant(message, application_id, store_load_call, true, ret);
}

status_t store_read_grant(struct message *message, const char *application_id, struct grant *ret)
{
    return load_grant(message, application_id, read_call, false, ret);
}

// "400 350" as it was heard.
static void add_tie_scores(struct message *message, const char *text, Candidate *candidate)
{
    candidate->tie_scores = arena_alloc(message->arena, sizeof(int64_t) * (strlen(text) / 2 + 1));
    for (char *end; *text; text = end + (*end == ' '))
        candidate->tie_scores[candidate->n_tie_scores++] = strtoll(text, &end, 10);
}

static status_t load_candidates(struct message *message, const char *call_id, struct round *round)
{
    struct rows rows;
    status_t status = RUN(message, load_candidates, &rows, TEXT(call_id));
    if (status != OK)
        return status;
    round->candidates = arena_alloc(message->arena, sizeof *round->candidates * (size_t)(rows.count + 1));
    for (int i = 0; i < rows.count; i++) {
        Candidate *candidate = arena_alloc(message->arena, sizeof *candidate);
        allocation__v1__proposal_input__candidate__init(candidate);
        candidate->application_id = (char *)row_text(&rows, i, 0);
        candidate->requested_ore = row_int(&rows, i, 1);
        candidate->total = row_int(&rows, i, 2);
        add_tie_scores(message, row_text(&rows, i, 3), candidate);
        round->candidates[round->n_candidates++] = candidate;
    }
    return OK;
}

status_t store_read_proposal(struct message *message, const char *round_id, AllocationProposed **ret)
{
    struct rows rows;
    void *proposed = NULL;
    status_t status = RUN(message, load_proposal, &rows, TEXT(round_id));
    if (status == OK && rows.count == 1)
        status = decode(message, &allocation__v1__allocation_proposed__descriptor, &rows, 0, &proposed);
    *ret = proposed;
    return status;
}

status_t store_load_round(struct message *message, const char *round_id, const char *call_id,
                          struct round *ret)
{
    struct rows rows;
    *ret = (struct round){.used = false};
    status_t status = store_load_call(message, call_id, &ret->call);
    if (status == OK)
        status = RUN(message, load_proposal, &rows, TEXT(round_id));
    if (status != OK)
        return status;
    ret->used = rows.count > 0;
    return load_candidates(message, call_id, ret);
}

status_t store_load_reservation(struct message *message, const char *extra_call_id, bool *ret_taken)
{
    struct rows rows;
    status_t status = RUN(message, load_reservation, &rows, TEXT(extra_call_id));
    if (status == OK)
        *ret_taken = row_int(&rows, 0, 0);
    return status;
}

status_t store_load_rank(struct message *message, const char *call_id, uint32_t rank, const char **ret_holder)
{
    struct rows rows;
    status_t status = RUN(message, load_rank, &rows, TEXT(call_id), INT(rank));
    if (status == OK)
        *ret_holder = rows.count ? row_text(&rows, 0, 0) : "";
    return status;
}

// --------------------------------------------------------------------------- the frame, for people

// What kind of account a figure of the frame sums. An appropriation is negative by what it has given out.
static const struct {
    const char *kind;
    size_t figure;
    int sign;
} figures[] = {
    {"APPROPRIATION", offsetof(Frame, frame_ore), -1},
    {"FRAME", offsetof(Frame, residual_ore), 1},
    {"RESERVED", offsetof(Frame, reserved_ore), 1},
    {"COMMITTED", offsetof(Frame, committed_ore), 1},
    {"PAID", offsetof(Frame, paid_ore), 1},
    {"CLAIMED", offsetof(Frame, claimed_ore), 1},
    {"REPAID", offsetof(Frame, repaid_ore), 1},
};

static void add_balance(Frame *frame, const char *account, int64_t balance_ore)
{
    size_t length = strcspn(account, ":");
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        if (strlen(figures[i].kind) == length && strncmp(figures[i].kind, account, length) == 0)
            *(int64_t *)((char *)frame + figures[i].figure) += figures[i].sign * balance_ore;
}

status_t store_read_frame(struct message *message, const char *call_id, Frame *ret)
{
    struct rows rows;
    status_t status = RUN(message, load_balances, &rows, TEXT(call_id));
    if (status != OK)
        return status;
    ret->call_id = (char *)call_id;
    ret->balances = arena_alloc(message->arena, sizeof *ret->balances * (size_t)(rows.count + 1));
    for (int i = 0; i < rows.count; i++) {
        Posting *balance = arena_alloc(message->arena, sizeof *balance);
        allocation__v1__posting__init(balance);
        balance->to = (char *)row_text(&rows, i, 0);
        balance->amount_ore = row_int(&rows, i, 1);
        ret->balances[ret->n_balances++] = balance;
        add_balance(ret, balance->to, balance->amount_ore);
    }
    return OK;
}

// ------------------------------------------------------------------------------------- own events

static struct arg maybe_int(struct message *message, bool there, int64_t number)
{
    return there ? INT(number) : TEXT(NULL);
}

static status_t add_posting(struct message *message, const char *call_id, int line, const Posting *posting)
{
    bool frame = posting->frame_number > 0;
    const char *name = !frame ? NULL : strncmp(posting->from, "FRAME", 5) == 0 ? posting->from : posting->to;
    status_t status = RUN(message, open_accounts, NULL, TEXT(call_id), TEXT(posting->from),
                          TEXT(posting->to));
    if (status == OK)
        status = RUN(message, move_money, NULL, TEXT(call_id), TEXT(posting->from), TEXT(posting->to),
                     INT(posting->amount_ore));
    if (status == OK)
        status = RUN(message, add_posting, NULL, TEXT(message->stream), INT((int64_t)message->version),
                     INT(line), TEXT(call_id), TEXT(posting->from), TEXT(posting->to),
                     INT(posting->amount_ore), TEXT(name),
                     maybe_int(message, frame, (int64_t)posting->frame_number),
                     maybe_int(message, frame, posting->residual_ore), INT(message->at_us));
    return status;
}

// Into the ledger: every posting moves one amount from one account to another, so their sum is always zero.
static status_t add_postings(struct message *message, const char *call_id, size_t count,
                             Posting *const *postings)
{
    status_t status = OK;
    for (size_t i = 0; status == OK && i < count; i++)
        status = add_posting(message, call_id, (int)i + 1, postings[i]);
    return status;
}

static status_t set_state(struct message *message, const char *application_id, enum grant_state state)
{
    return RUN(message, set_state, NULL, TEXT(application_id), INT(state));
}

status_t store_frame_opened(struct message *message, const void *body)
{
    const FrameOpened *event = body;
    return add_postings(message, event->call_id, event->n_postings, event->postings);
}

status_t store_frame_reserved(struct message *message, const void *body)
{
    const FrameReserved *event = body;
    status_t status = RUN(message, add_reservation, NULL, TEXT(event->extra_call_id), TEXT(event->call_id),
                          INT(event->amount_ore));
    return status == OK ? add_postings(message, event->call_id, event->n_postings, event->postings) : status;
}

status_t store_appropriation(struct message *message, const void *body)
{
    const AppropriationRecorded *event = body;
    status_t status = RUN(message, add_appropriation, NULL, TEXT(event->call_id), INT(event->year),
                          TEXT(event->chapter_post), INT(event->amount_ore), TEXT(event->letter_reference));
    return status == OK ? add_postings(message, event->call_id, event->n_postings, event->postings) : status;
}

status_t store_proposed(struct message *message, const void *body)
{
    const AllocationProposed *event = body;
    size_t size;
    uint8_t *bytes = message_encode(message->arena, event, &size);
    return RUN(message, add_proposal, NULL, TEXT(event->round_id), TEXT(event->call_id), BYTES(bytes, size));
}

status_t store_awarded(struct message *message, const void *body)
{
    const AwardDecided *event = body;
    size_t size;
    uint8_t *bytes = message_encode(message->arena, event, &size);
    status_t status = RUN(
        message, decide, NULL, TEXT(event->application_id), TEXT(event->call_id), INT(GRANT_AWARDED),
        TEXT(event->decided_by),
        db_text_array(message, (const char *const *)event->prepared_by, (int)event->n_prepared_by),
        INT(event->amount_ore), BYTES(bytes, size));
    return status == OK ? add_postings(message, event->call_id, event->n_postings, event->postings) : status;
}

status_t store_refused(struct message *message, const void *body)
{
    const ApplicationRefused *event = body;
    return RUN(message, decide, NULL, TEXT(event->application_id), TEXT(event->call_id), INT(GRANT_REFUSED),
               TEXT(event->decided_by),
               db_text_array(message, (const char *const *)event->prepared_by, (int)event->n_prepared_by),
               INT(0), TEXT(NULL));
}

status_t store_on_reserve(struct message *message, const void *body)
{
    const PlacedOnReserve *event = body;
    return RUN(message, place_on_reserve, NULL, TEXT(event->application_id), TEXT(event->call_id),
               INT(GRANT_ON_RESERVE), INT(event->rank));
}

status_t store_letter(struct message *message, const void *body)
{
    const GrantLetterIssued *event = body;
    size_t size;
    uint8_t *bytes = message_encode(message->arena, event->letter, &size);
    return RUN(message, set_letter, NULL, TEXT(event->application_id), INT(GRANT_OFFERED),
               INT(event->letter->letter_version), BYTES(bytes, size), TEXT(event->letter_sha256),
               INT(event->letter->accept_by_at_us));
}

status_t store_prepared(struct message *message, const void *body)
{
    const AcceptancePrepared *event = body;
    size_t size;
    uint8_t *bytes = message_encode(message->arena, event, &size);
    return RUN(message, set_acceptance, NULL, TEXT(event->application_id), BYTES(bytes, size));
}

status_t store_accepted(struct message *message, const void *body)
{
    const GrantAccepted *event = body;
    return set_state(message, event->application_id, GRANT_ACCEPTED);
}

status_t store_declined(struct message *message, const void *body)
{
    const GrantDeclined *event = body;
    status_t status = set_state(message, event->application_id, GRANT_DECLINED);
    return status == OK ? add_postings(message, event->call_id, event->n_postings, event->postings) : status;
}

status_t store_extended(struct message *message, const void *body)
{
    const AcceptanceExtended *event = body;
    return RUN(message, set_accept_by, NULL, TEXT(event->application_id), INT(event->accept_by_at_us));
}

status_t store_missed(struct message *message, const void *body)
{
    const AcceptanceMissed *event = body;
    return set_state(message, event->application_id, GRANT_MISSED);
}

status_t store_lapsed(struct message *message, const void *body)
{
    const GrantLapsed *event = body;
    status_t status = set_state(message, event->application_id, GRANT_LAPSED);
    return status == OK ? add_postings(message, event->call_id, event->n_postings, event->postings) : status;
}

status_t store_renounced(struct message *message, const void *body)
{
    const GrantRenounced *event = body;
    status_t status = set_state(message, event->application_id, GRANT_RENOUNCED);
    return status == OK ? add_postings(message, event->call_id, event->n_postings, event->postings) : status;
}

status_t store_payment(struct message *message, const void *body)
{
    const PaymentPosted *event = body;
    return add_postings(message, event->call_id, event->n_postings, event->postings);
}

status_t store_claim(struct message *message, const void *body)
{
    const ClaimPosted *event = body;
    return add_postings(message, event->call_id, event->n_postings, event->postings);
}

status_t store_repayment(struct message *message, const void *body)
{
    const RepaymentPosted *event = body;
    return add_postings(message, event->call_id, event->n_postings, event->postings);
}

// ---------------------------------------------------------------------------------- others' events

status_t store_hear_organisation(struct message *message, const void *body)
{
    const OrganisationRegistered *event = body;
    return RUN(message, hear_organisation, NULL, TEXT(event->organisation_number),
               TEXT(event->organisation->language));
}

status_t store_hear_call(struct message *message, const void *body)
{
    const CallPublished *event = body;
    size_t size;
    uint8_t *definition = message_encode(message->arena, event->definition, &size);
    return RUN(message, hear_call, NULL, TEXT(event->call_id), BYTES(definition, size));
}

status_t store_hear_submitted(struct message *message, const void *body)
{
    const ApplicationSubmitted *event = body;
    size_t size;
    if (!event->content)  // reached from a late submission, whose parts the loop does not look into
        return fail(message, POISON, "application %s was submitted without content", event->application_id);
    uint8_t *content = message_encode(message->arena, event->content, &size);
    return RUN(message, hear_application, NULL, TEXT(event->application_id), TEXT(event->call_id),
               TEXT(event->organisation_number), TEXT(event->name), TEXT(event->content->language),
               BYTES(content, size), INT(event->applied_ore));
}

status_t store_hear_late(struct message *message, const void *body)
{
    const ApplicationSubmittedLate *event = body;
    return store_hear_submitted(message, event->submission);
}

status_t store_hear_withdrawn(struct message *message, const void *body)
{
    const ApplicationWithdrawn *event = body;
    return RUN(message, hear_withdrawn, NULL, TEXT(event->application_id));
}

status_t store_hear_interest(struct message *message, const void *body)
{
    const InterestDeclared *event = body;
    return event->conflict
               ? RUN(message, hear_conflict, NULL, TEXT(event->application_id), TEXT(event->person))
               : OK;
}

status_t store_hear_admitted(struct message *message, const void *body)
{
    const LateAdmitted *event = body;
    return RUN(message, hear_rejected, NULL, TEXT(event->application_id), BOOL(false));
}

status_t store_hear_rejected(struct message *message, const void *body)
{
    const ApplicationRejected *event = body;
    return RUN(message, hear_rejected, NULL, TEXT(event->application_id), BOOL(true));
}

status_t store_hear_reader(struct message *message, const void *body)
{
    const ReaderAssigned *event = body;
    status_t status = RUN(message, hear_reader, NULL, TEXT(event->application_id), INT(event->place),
                          TEXT(event->person));
    return status == OK ? RUN(message, hear_hand, NULL, TEXT(event->application_id), TEXT(event->person))
                        : status;
}

// The next criterion that decides ties after this order; NULL: no more.
static const Evaluation__V1__CriterionResult *next_tie(const EvaluationCompleted *event, int32_t after)
{
    const Evaluation__V1__CriterionResult *next = NULL;
    for (size_t i = 0; i < event->n_results; i++)
        if (event->results[i]->tie_order > after && (!next || event->results[i]->tie_order < next->tie_order))
            next = event->results[i];
    return next;
}

status_t store_hear_evaluation(struct message *message, const void *body)
{
    const EvaluationCompleted *event = body;
    const char *scores = "";
    for (const Evaluation__V1__CriterionResult *tie = next_tie(event, 0); tie;
         tie = next_tie(event, tie->tie_order))
        scores = arena_printf(message->arena, "%s%s%lld", scores, *scores ? " " : "",
                              (long long)tie->hundredths);
    return RUN(message, hear_evaluation, NULL, TEXT(event->application_id), INT(event->evaluation_version),
               INT(event->total), TEXT(scores));
}

status_t store_hear_recommendation(struct message *message, const void *body)
{
    const RecommendationMade *event = body;
    status_t status = RUN(message, hear_recommendation, NULL, TEXT(event->application_id),
                          INT(event->recommendation_version), INT(event->evaluation_version),
                          BOOL(event->award), INT(event->amount_ore), TEXT(event->cuts));
    return status == OK
               ? RUN(message, hear_hand, NULL, TEXT(event->application_id), TEXT(event->recommended_by))
               : status;
}

status_t store_hear_returned(struct message *message, const void *body)
{
    const RecommendationReturned *event = body;
    return RUN(message, hear_returned, NULL, TEXT(event->application_id));
}

static status_t hear_payment(struct message *message, const char *payment_key, const char *application_id,
                             bool under_way)
{
    return RUN(message, hear_payment, NULL, TEXT(payment_key), TEXT(application_id), BOOL(under_way));
}

status_t store_hear_authorised(struct message *message, const void *body)
{
    const PaymentAuthorised *event = body;
    return hear_payment(message, event->payment_key, event->application_id, true);
}

status_t store_hear_retried(struct message *message, const void *body)
{
    const PaymentRetried *event = body;
    return hear_payment(message, event->payment_key, event->application_id, true);
}

status_t store_hear_failed(struct message *message, const void *body)
{
    const PaymentFailed *event = body;
    return hear_payment(message, event->payment_key, event->application_id, false);
}

status_t store_hear_refused_by_finance(struct message *message, const void *body)
{
    const PaymentRefusedByFinance *event = body;
    return hear_payment(message, event->payment_key, event->application_id, false);
}

status_t store_hear_voided(struct message *message, const void *body)
{
    const PaymentVoided *event = body;
    return hear_payment(message, event->payment_key, event->application_id, false);
}

status_t store_hear_account(struct message *message, const void *body)
{
    const AccountChanged *event = body;
    return hear_payment(message, event->payment_key, event->application_id, false);
}

status_t store_hear_confirmed(struct message *message, const void *body)
{
    const PaymentConfirmed *event = body;
    return hear_payment(message, event->payment_key, event->application_id, false);
}

status_t store_hear_sent_back(struct message *message, const void *body)
{
    const PaymentReturned *event = body;
    return hear_payment(message, event->payment_key, event->application_id, false);
}
