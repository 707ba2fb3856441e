// What happens to each message that reaches allocation: load, ask the rule. The tables stand at the end.
#include "allocation.h"

#include "allocation_store.sql.h"

// ------------------------------------------------------------------------- the frame and proposals

static status_t on_reserve_frame(struct message *message, const void *body)
{
    const ReserveFrame *command = body;
    struct call call;
    bool taken = false;

    status_t status = store_load_call(message, command->call_id, &call);
    if (status == OK)
        status = store_load_reservation(message, command->extra_call_id, &taken);
    if (status == OK)
        status = rule_reserve_frame(message, &call, taken, command);
    return status;
}

static status_t on_record_appropriation(struct message *message, const void *body)
{
    const RecordAppropriation *command = body;
    struct call call;

    status_t status = store_load_call(message, command->call_id, &call);
    if (status == OK)
        status = rule_record_appropriation(message, &call, command);
    return status;
}

static status_t on_propose(struct message *message, const void *body)
{
    const ProposeAllocation *command = body;
    struct round round;

    status_t status = store_load_round(message, command->round_id, command->call_id, &round);
    if (status == OK)
        status = rule_propose(message, &round, command);
    return status;
}

// ------------------------------------------------------------------- decisions, letter, acceptance

static status_t on_award(struct message *message, const void *body)
{
    const DecideAward *command = body;
    struct grant grant;

    status_t status = store_load_grant(message, command->application_id, &grant);
    if (status == OK)
        status = rule_award(message, &grant, command);
    return status;
}

static status_t on_refuse(struct message *message, const void *body)
{
    const DecideRefusal *command = body;
    struct grant grant;

    status_t status = store_load_grant(message, command->application_id, &grant);
    if (status == OK)
        status = rule_refuse(message, &grant, command);
    return status;
}

static status_t on_put_on_reserve(struct message *message, const void *body)
{
    const PutOnReserve *command = body;
    struct grant grant;
    const char *holder = "";

    status_t status = store_load_grant(message, command->application_id, &grant);
    if (status == OK && grant.known)
        status = store_load_rank(message, grant.call.id, command->rank, &holder);
    if (status == OK)
        status = rule_put_on_reserve(message, &grant, holder, command);
    return status;
}

static status_t on_issue_letter(struct message *message, const void *body)
{
    const IssueLetter *command = body;
    struct grant grant;

    status_t status = store_load_grant(message, command->application_id, &grant);
    if (status == OK)
        status = rule_issue_letter(message, &grant, command);
    return status;
}

static status_t on_accept(struct message *message, const void *body)
{
    const Accept *command = body;
    struct grant grant;

    status_t status = store_load_grant(message, command->application_id, &grant);
    if (status == OK)
        status = rule_accept(message, &grant, command);
    return status;
}

static status_t on_decline(struct message *message, const void *body)
{
    const Decline *command = body;
    struct grant grant;

    status_t status = store_load_grant(message, command->application_id, &grant);
    if (status == OK)
        status = rule_decline(message, &grant, command);
    return status;
}

static status_t on_extend(struct message *message, const void *body)
{
    const ExtendAcceptance *command = body;
    struct grant grant;

    status_t status = store_load_grant(message, command->application_id, &grant);
    if (status == OK)
        status = rule_extend(message, &grant, command);
    return status;
}

static status_t on_miss(struct message *message, const void *body)
{
    const MissAcceptance *command = body;
    struct grant grant;

    status_t status = store_load_grant(message, command->application_id, &grant);
    if (status == OK)
        status = rule_miss(message, &grant);
    return status;
}

static status_t on_lapse(struct message *message, const void *body)
{
    const ConfirmLapse *command = body;
    struct grant grant;

    status_t status = store_load_grant(message, command->application_id, &grant);
    if (status == OK)
        status = rule_lapse(message, &grant, command);
    return status;
}

static status_t on_renounce(struct message *message, const void *body)
{
    const Renounce *command = body;
    struct grant grant;

    status_t status = store_load_grant(message, command->application_id, &grant);
    if (status == OK)
        status = rule_renounce(message, &grant, command);
    return status;
}

// ---------------------------------------------------------------------------------- others' events

static status_t on_published(struct message *message, const void *body)
{
    const CallPublished *event = body;
    struct call call;

    status_t status = store_load_call(message, event->call_id, &call);
    if (status == OK)
        rule_open_frame(message, &call);
    return status;
}

static status_t on_signed_off(struct message *message, const void *body)
{
    const SignedOff *event = body;
    struct grant grant;

    status_t status = store_load_grant(message, event->application_id, &grant);
    if (status == OK)
        rule_signed_off(message, &grant, event);
    return status;
}

static status_t on_withdrawn(struct message *message, const void *body)
{
    const ApplicationWithdrawn *event = body;
    struct grant grant;

    status_t status = store_load_grant(message, event->application_id, &grant);
    if (status == OK)
        rule_withdrawn(message, &grant, event);
    return status;
}

static status_t on_confirmed(struct message *message, const void *body)
{
    const PaymentConfirmed *event = body;
    struct grant grant;

    status_t status = store_load_grant(message, event->application_id, &grant);
    if (status == OK)
        status = rule_confirmed(message, &grant, event);
    return status;
}

static status_t on_returned(struct message *message, const void *body)
{
    const PaymentReturned *event = body;
    struct grant grant;

    status_t status = store_load_grant(message, event->application_id, &grant);
    if (status == OK)
        status = rule_returned(message, &grant, event);
    return status;
}

static status_t on_claimed(struct message *message, const void *body)
{
    const ClaimIssued *event = body;
    struct grant grant;

    status_t status = store_load_grant(message, event->application_id, &grant);
    if (status == OK)
        status = rule_claimed(message, &grant, event);
    return status;
}

static status_t on_repaid(struct message *message, const void *body)
{
    const RepaymentReceived *event = body;
    struct grant grant;

    status_t status = store_load_grant(message, event->application_id, &grant);
    if (status == OK)
        status = rule_repaid(message, &grant, event);
    return status;
}

// ------------------------------------------------------------------------------------- queries

static status_t on_get_frame(struct message *message, const void *body)
{
    const GetFrame *query = body;
    Frame frame = ALLOCATION__V1__FRAME__INIT;

    status_t status = store_read_frame(message, query->call_id, &frame);
    if (status == OK && frame.n_balances == 0)
        status = fail(message, REFUSED, "call_id: %s is not the id of a published call", query->call_id);
    if (status == OK)
        answer(message, &frame);
    return status;
}

static status_t on_get_letter(struct message *message, const void *body)
{
    const GetLetter *query = body;
    struct grant grant;
    Letter letter = ALLOCATION__V1__LETTER__INIT;

    status_t status = store_read_grant(message, query->application_id, &grant);
    if (status == OK)
        status = rule_show_letter(message, &grant, &letter);
    if (status == OK)
        answer(message, &letter);
    return status;
}

static status_t read_proposal(struct message *message, const char *round_id, AllocationProposed **ret)
{
    status_t status = store_read_proposal(message, round_id, ret);
    if (status == OK && !*ret)
        status = fail(message, REFUSED, "round_id: %s is not the id of a proposal", round_id);
    return status;
}

static status_t on_get_proposal(struct message *message, const void *body)
{
    const GetProposal *query = body;
    AllocationProposed *proposed = NULL;

    status_t status = read_proposal(message, query->round_id, &proposed);
    if (status == OK)
        answer(message, proposed);
    return status;
}

static status_t on_recompute(struct message *message, const void *body)
{
    const RecomputeProposal *query = body;
    AllocationProposed *proposed = NULL;
    Recomputed recomputed = ALLOCATION__V1__RECOMPUTED__INIT;

    status_t status = read_proposal(message, query->round_id, &proposed);
    if (status != OK)
        return status;
    rule_recompute(message, proposed, &recomputed);
    answer(message, &recomputed);
    return OK;
}

// ------------------------------------------------------------------------------------- the tables

#define APPLICANT (ROLE(EDITOR) | ROLE(APPROVER))

static const struct command_row commands[] = {
    {&allocation__v1__reserve_frame__descriptor, ROLE(BUDGET_HOLDER), on_reserve_frame},
    {&allocation__v1__record_appropriation__descriptor, ROLE(BUDGET_HOLDER), on_record_appropriation},
    {&allocation__v1__propose_allocation__descriptor, ROLE(BUDGET_HOLDER) | ROLE(CASE_OFFICER), on_propose},
    {&allocation__v1__decide_award__descriptor, ROLE(BUDGET_HOLDER), on_award},
    {&allocation__v1__decide_refusal__descriptor, ROLE(BUDGET_HOLDER), on_refuse},
    {&allocation__v1__put_on_reserve__descriptor, ROLE(BUDGET_HOLDER), on_put_on_reserve},
    {&allocation__v1__issue_letter__descriptor, ROLE(CASE_OFFICER), on_issue_letter},
    {&allocation__v1__accept__descriptor, APPLICANT, on_accept},
    {&allocation__v1__decline__descriptor, ROLE(APPROVER), on_decline},
    {&allocation__v1__extend_acceptance__descriptor, ROLE(CASE_OFFICER), on_extend},
    {&allocation__v1__miss_acceptance__descriptor, ROLES_CLOCK, on_miss},
    {&allocation__v1__confirm_lapse__descriptor, ROLE(CASE_OFFICER), on_lapse},
    {&allocation__v1__renounce__descriptor, ROLE(APPROVER), on_renounce},
    {NULL},
};

static const struct event_row events[] = {
    {&allocation__v1__frame_opened__descriptor, "frame", store_frame_opened},
    {&allocation__v1__frame_reserved__descriptor, "frame", store_frame_reserved},
    {&allocation__v1__appropriation_recorded__descriptor, "frame", store_appropriation},
    {&allocation__v1__allocation_proposed__descriptor, "round", store_proposed},
    {&allocation__v1__award_decided__descriptor, "case", store_awarded},
    {&allocation__v1__application_refused__descriptor, "case", store_refused},
    {&allocation__v1__placed_on_reserve__descriptor, "case", store_on_reserve},
    {&allocation__v1__grant_letter_issued__descriptor, "case", store_letter},
    {&allocation__v1__acceptance_prepared__descriptor, "case", store_prepared},
    {&allocation__v1__grant_accepted__descriptor, "case", store_accepted},
    {&allocation__v1__acceptance_disregarded__descriptor, "case", NULL},
    {&allocation__v1__grant_declined__descriptor, "case", store_declined},
    {&allocation__v1__acceptance_extended__descriptor, "case", store_extended},
    {&allocation__v1__acceptance_missed__descriptor, "case", store_missed},
    {&allocation__v1__grant_lapsed__descriptor, "case", store_lapsed},
    {&allocation__v1__grant_renounced__descriptor, "case", store_renounced},
    {&allocation__v1__payment_posted__descriptor, "case", store_payment},
    {&allocation__v1__claim_posted__descriptor, "case", store_claim},
    {&allocation__v1__repayment_posted__descriptor, "case", store_repayment},
    {NULL},
};

static const struct heard_row heard[] = {
    {&intake__v1__organisation_registered__descriptor, store_hear_organisation, NULL},
    {&intake__v1__call_published__descriptor, store_hear_call, on_published},
    {&intake__v1__application_submitted__descriptor, store_hear_submitted, NULL},
    {&intake__v1__application_submitted_late__descriptor, store_hear_late, NULL},
    {&intake__v1__application_withdrawn__descriptor, store_hear_withdrawn, on_withdrawn},
    {&evaluation__v1__interest_declared__descriptor, store_hear_interest, NULL},
    {&evaluation__v1__late_admitted__descriptor, store_hear_admitted, NULL},
    {&evaluation__v1__reader_assigned__descriptor, store_hear_reader, NULL},
    {&evaluation__v1__evaluation_completed__descriptor, store_hear_evaluation, NULL},
    {&evaluation__v1__recommendation_made__descriptor, store_hear_recommendation, NULL},
    {&evaluation__v1__recommendation_returned__descriptor, store_hear_returned, NULL},
    {&evaluation__v1__application_rejected__descriptor, store_hear_rejected, NULL},
    {&approval__v1__signed_off__descriptor, NULL, on_signed_off},
    {&payment__v1__payment_authorised__descriptor, store_hear_authorised, NULL},
    {&payment__v1__payment_retried__descriptor, store_hear_retried, NULL},
    {&payment__v1__payment_failed__descriptor, store_hear_failed, NULL},
    {&payment__v1__payment_refused_by_finance__descriptor, store_hear_refused_by_finance, NULL},
    {&payment__v1__payment_voided__descriptor, store_hear_voided, NULL},
    {&payment__v1__account_changed__descriptor, store_hear_account, NULL},
    {&payment__v1__payment_confirmed__descriptor, store_hear_confirmed, on_confirmed},
    {&payment__v1__payment_returned__descriptor, store_hear_sent_back, on_returned},
    {&payment__v1__claim_issued__descriptor, NULL, on_claimed},
    {&payment__v1__repayment_received__descriptor, NULL, on_repaid},
    {NULL},
};

static const struct query_row queries[] = {
    {&allocation__v1__get_frame__descriptor, ROLES_DIRECTORATE | ROLE(AUDITOR) | ROLE(OPERATOR),
     on_get_frame},
    {&allocation__v1__get_letter__descriptor, ROLES_MUNICIPALITY | ROLES_DIRECTORATE | ROLE(AUDITOR),
     on_get_letter},
    {&allocation__v1__get_proposal__descriptor, ROLES_DIRECTORATE | ROLE(AUDITOR), on_get_proposal},
    {&allocation__v1__recompute_proposal__descriptor, ROLES_DIRECTORATE | ROLE(AUDITOR), on_recompute},
    {NULL},
};

static const struct timer_row timers[] = {
    {&allocation__v1__miss_acceptance__descriptor, &sql_due_acceptances},
    {NULL},
};

const struct service allocation_service = {
    .name = "allocation",
    .rule_set = "2024-1",
    .commands = commands,
    .events = events,
    .heard = heard,
    .queries = queries,
    .timers = timers,
    .statements = sql_allocation_all,
    .migrations = migrations_allocation,
};
