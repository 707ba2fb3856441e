// The ledger: how postings are made, and what moves money beside decisions: frames, payments, claims.
#include "rules.h"

#include "values/values.h"

#include <assert.h>
#include <string.h>

// ---------------------------------------------------------------------------------------- postings

char *account_of(struct message *message, const char *kind, const struct grant *grant)
{
    return arena_printf(message->arena, "%s:%s", kind, grant->id);
}

static const char *year_account(struct message *message, const char *kind, const struct call *call,
                                int32_t year)
{
    return year == call->definition->year ? kind : arena_printf(message->arena, "%s:%d", kind, year);
}

// The frame that pays for a year; NULL when there is no appropriation for it.
const struct frame *frame_of(struct message *message, const struct call *call, int32_t year)
{
    const char *name = year_account(message, "FRAME", call, year);
    for (int i = 0; i < call->n_frames; i++)
        if (strcmp(call->frames[i].name, name) == 0)
            return &call->frames[i];
    return NULL;
}

// Every event of ours moves money between two accounts at most once, so its postings are a list of one.
Posting **post(struct message *message, const char *from, const char *to, int64_t amount_ore)
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
Posting **post_frame(struct message *message, const struct frame *frame, const char *from, const char *to,
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
Posting **post_release(struct message *message, const struct grant *grant)
{
    const struct frame *frame = frame_of(message, &grant->call, grant->award->year);
    assert(frame && "what was awarded came from a frame");
    return post_frame(message, frame, account_of(message, "COMMITTED", grant), frame->name,
                      grant->committed_ore);
}

// ------------------------------------------------------------------------------------------ frames

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
        return fail(message, REFUSED,
                    "extra_call_id %s is taken: a call is published or reserved for under it",
                    command->extra_call_id);
    if (command->amount_ore <= 0 || !money_whole(command->amount_ore))
        return fail(message, REFUSED,
                    "amount_ore %lld for call %s is not an amount in whole kroner above zero",
                    (long long)command->amount_ore, command->extra_call_id);
    int64_t residual_ore = frame ? frame->residual_ore : 0;
    if (command->amount_ore > residual_ore)
        return fail(message, REFUSED,
                    "amount_ore: %s for call %s is more than the residual of %s in the frame of call %s",
                    money(message, command->amount_ore), command->extra_call_id, money(message, residual_ore),
                    call->id);
    return needs_text(message, "reason", command->reason, command->extra_call_id);
}

status_t rule_reserve_frame(struct message *message, const struct call *call, bool taken,
                            const ReserveFrame *command)
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
        return fail(message, REFUSED, "year %d is not a later budget year than the %d that call %s is for",
                    command->year, first, call->id);
    if (frame_of(message, call, command->year))
        return fail(message, REFUSED, "year %d of call %s has its appropriation already", command->year,
                    call->id);
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
    event.postings = post_frame(message, &frame, year_account(message, "APPROPRIATION", call, command->year),
                                frame.name, command->amount_ore);
    emit(message, &event);
    return OK;
}

// ----------------------------------------------------------------------- what was paid and claimed

// A payment comes from what is committed and goes back there. Where the grant was given up while the money
// was on its way, nothing is committed any more, and the frame is the other side.
static status_t post_payment(struct message *message, const struct grant *grant, const char *payment_key,
                             int64_t amount_ore, bool back)
{
    if (!grant->known || !grant->award)
        return fail(message, POISON, "payment %s is of an application that nothing was awarded to",
                    payment_key);
    bool committed = LIVE & STATE(grant->state);
    const struct frame *frame = frame_of(message, &grant->call, grant->award->year);
    const char *home = committed ? account_of(message, "COMMITTED", grant) : frame->name;
    const char *paid = account_of(message, "PAID", grant);
    int64_t there_ore = back ? grant->paid_ore : committed ? grant->committed_ore : frame->residual_ore;
    if (amount_ore <= 0 || amount_ore > there_ore)
        return fail(message, POISON, "payment %s of %s moves money that is not there: account %s holds %s",
                    payment_key, money(message, amount_ore), back ? paid : home, money(message, there_ore));

    PaymentPosted event = ALLOCATION__V1__PAYMENT_POSTED__INIT;
    const char *from = back ? paid : home, *to = back ? home : paid;
    event.application_id = (char *)grant->id;
    event.call_id = (char *)grant->call.id;
    event.payment_key = (char *)payment_key;
    event.n_postings = 1;
    event.postings = committed ? post(message, from, to, amount_ore)
                               : post_frame(message, frame, from, to, amount_ore);
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
    event.postings = post(message, account_of(message, "PAID", grant), account_of(message, "CLAIMED", grant),
                          claim->amount_ore);
    emit(message, &event);
    return OK;
}

status_t rule_repaid(struct message *message, const struct grant *grant, const RepaymentReceived *receipt)
{
    if (receipt->amount_ore <= 0 || receipt->amount_ore > grant->claimed_ore)
        return fail(message, POISON, "repayment %s of %s is more than the %s that are claimed",
                    receipt->receipt_id, money(message, receipt->amount_ore),
                    money(message, grant->claimed_ore));
    RepaymentPosted event = ALLOCATION__V1__REPAYMENT_POSTED__INIT;
    event.application_id = (char *)grant->id;
    event.call_id = (char *)grant->call.id;
    event.claim_id = receipt->claim_id;
    event.n_postings = 1;
    event.postings = post(message, account_of(message, "CLAIMED", grant),
                          account_of(message, "REPAID", grant), receipt->amount_ore);
    emit(message, &event);
    return OK;
}
