// handle: what happens to each message that payment speaks or hears. Load, rule; the tables of rows stand
// last.
#include "payment.h"
#include "payment_store.sql.h"

// -------------------------------------------------------------------------------------------- others' events

static status_t on_grant_accepted(struct message *message, const void *body)
{
    const GrantAccepted *event = body;
    uint32_t count = event->instalments > 1 ? (uint32_t)event->instalments : 1;
    status_t status = OK;

    for (uint32_t instalment = 1; instalment <= count && status == OK; instalment++) {
        struct payment payment;
        char *key = payment_key(message->arena, event->application_id, event->year, instalment);
        status = store_load_payment(message, key, &payment);
        if (status == OK)
            status = rule_accepted(message, &payment, event, instalment);
    }
    return status;
}

static status_t on_letter_issued(struct message *message, const void *body)
{
    const GrantLetterIssued *event = body;
    struct payment *payments;
    int count = 0;
    status_t status = store_load_payments_of(message, event->application_id, &payments, &count);

    for (int i = 0; i < count && status == OK; i++)
        if (payments[i].due.year == event->letter->year)
            status = rule_letter_replaced(message, &payments[i], event->letter->letter_version);
    return status;
}

static status_t on_grant_renounced(struct message *message, const void *body)
{
    const GrantRenounced *event = body;
    struct payment *payments;
    int count = 0;
    status_t status = store_load_payments_of(message, event->application_id, &payments, &count);

    for (int i = 0; i < count && status == OK; i++)
        status = rule_renounced(message, &payments[i], event);
    return status;
}

static status_t on_repayment_decided(struct message *message, const void *body)
{
    const RepaymentDecided *event = body;
    struct claim claim;
    status_t status = store_load_claim(message, claim_id(message->arena, event->application_id, event->year),
                                       &claim);

    if (status == OK)
        status = rule_repayment_decided(message, &claim, event);
    return status;
}

// -------------------------------------------------------------------------------------------------- commands

// A command about one payment: load it under its key, then ask the rule.
#define ON_PAYMENT(name, Command)                                                                            \
    static status_t on_##name(struct message *message, const void *body)                                     \
    {                                                                                                        \
        const Command *command = body;                                                                       \
        struct payment payment;                                                                              \
        status_t status = store_load_payment(message, command->payment_key, &payment);                       \
                                                                                                             \
        if (status == OK)                                                                                    \
            status = rule_##name(message, &payment, command);                                                \
        return status;                                                                                       \
    }

ON_PAYMENT(prepare, PreparePayment)
ON_PAYMENT(dispose, Dispose)
ON_PAYMENT(attest, Attest)
ON_PAYMENT(authorise, Authorise)
ON_PAYMENT(retry, RetryPayment)
ON_PAYMENT(stop, StopPayment)
ON_PAYMENT(release, ReleaseStop)

static status_t on_report_status(struct message *message, const void *body)
{
    const ReportStatus *command = body;
    struct payment payment;
    struct order order;
    status_t status = store_load_payment_by_end_to_end_id(message, command->end_to_end_id, &payment);

    if (status == OK)
        status = store_load_order(message, payment.known ? payment.due.payment_key : "", command->message_id,
                                  command->status_id, &order);
    if (status == OK)
        status = rule_report_status(message, &payment, &order, command);
    return status;
}

static status_t on_record_repayment(struct message *message, const void *body)
{
    const RecordRepayment *command = body;
    struct claim claim;
    struct receipt receipt;
    status_t status = store_load_claim_by_kid(message, command->kid, &claim);

    if (status == OK)
        status = store_load_receipt(message, command->receipt_id, &receipt);
    if (status == OK)
        status = rule_record_repayment(message, &claim, &receipt, command);
    return status;
}

// ---------------------------------------------------------------------------------------- answers of finance

static status_t on_order_answered(struct message *message, const void *request, const Bus__V1__Reply *reply,
                                  const uint8_t *body, size_t body_size)
{
    const PayOrder *order = request;
    OrderTaken *taken;
    struct payment payment;
    status_t status = store_load_payment(message, order->payment_key, &payment);

    if (status == OK && reply->status == BUS__V1__REPLY__STATUS__REFUSED)
        return rule_order_refused(message, &payment, order, reply->reason);
    if (status == OK && reply->status != BUS__V1__REPLY__STATUS__OK)
        return fail(message, POISON, "order %s can not be handled by finance: %s", order->order_id,
                    reply->reason);
    if (status == OK)
        status = message_decode(message, &finance__v1__order_taken__descriptor, body, body_size, &taken);
    if (status == OK)
        status = rule_order_taken(message, &payment, order, taken);
    return status;
}

// --------------------------------------------------------------------------------------------------- queries

// A stop shows as a state of its own while it holds something back.
static Payment__V1__Payment__State shown_state(const struct payment *payment)
{
    bool moving = payment->state == AUTHORISED || payment->state == SENT || payment->state == CONFIRMED ||
                  payment->state == VOIDED;

    if (*payment->stopped_by != '\0' && !moving)
        return PAYMENT__V1__PAYMENT__STATE__STOPPED;
    return (Payment__V1__Payment__State)payment->state;
}

static void show_payment(const struct payment *payment, Payment__V1__Payment *ret)
{
    *ret = (Payment__V1__Payment)PAYMENT__V1__PAYMENT__INIT;
    ret->payment_key = payment->due.payment_key;
    ret->application_id = payment->due.application_id;
    ret->call_id = payment->due.call_id;
    ret->state = shown_state(payment);
    ret->amount_ore = payment->due.amount_ore;
    ret->creditor_account = payment->due.creditor_account;
    ret->end_to_end_id = payment->end_to_end_id;
    ret->content_sha256 = payment->content_sha256;
    ret->times_sent = payment->times_sent;
    ret->message_id = payment->message_id;
    ret->last_text = payment->last_text;
}

static status_t read_payment(struct message *message, const void *body)
{
    const GetPayment *query = body;
    struct payment payment;
    Payment__V1__Payment shown;
    status_t status = store_read_payment(message, query->payment_key, &payment);

    if (status == OK && !payment.known)
        return fail(message, REFUSED, "payment_key %s is not known", query->payment_key);
    if (status == OK) {
        show_payment(&payment, &shown);
        answer(message, &shown);
    }
    return status;
}

static status_t read_payments(struct message *message, const void *body)
{
    const ListPayments *query = body;
    struct payment *payments;
    int count;
    status_t status = store_list_payments(message, query->call_id, &payments, &count);

    if (status != OK)
        return status;
    Payment__V1__Payments shown = PAYMENT__V1__PAYMENTS__INIT;
    Payment__V1__Payment *each = arena_alloc(message->arena, (size_t)count * sizeof *each);
    shown.payments = arena_alloc(message->arena, (size_t)count * sizeof *shown.payments);
    shown.n_payments = (size_t)count;
    for (int i = 0; i < count; i++) {
        show_payment(&payments[i], &each[i]);
        shown.payments[i] = &each[i];
    }
    answer(message, &shown);
    return OK;
}

static status_t read_claims(struct message *message, const void *body)
{
    const ListClaims *query = body;
    struct claim *claims;
    int count;
    status_t status = store_list_claims(message, query->call_id, &claims, &count);

    if (status != OK)
        return status;
    Payment__V1__Claims shown = PAYMENT__V1__CLAIMS__INIT;
    Payment__V1__Claims__One *each = arena_alloc(message->arena, (size_t)count * sizeof *each);
    shown.claims = arena_alloc(message->arena, (size_t)count * sizeof *shown.claims);
    shown.n_claims = (size_t)count;
    for (int i = 0; i < count; i++) {
        each[i] = (Payment__V1__Claims__One)PAYMENT__V1__CLAIMS__ONE__INIT;
        each[i].claim_id = claims[i].claim_id;
        each[i].application_id = claims[i].application_id;
        each[i].kid = claims[i].kid;
        each[i].amount_ore = claims[i].amount_ore;
        each[i].outstanding_ore = claims[i].outstanding_ore;
        each[i].due_at_us = claims[i].due_at_us;
        shown.claims[i] = &each[i];
    }
    answer(message, &shown);
    return OK;
}

// ---------------------------------------------------------------------------------------------------- tables

#define READERS (ROLES_DIRECTORATE | ROLE(AUDITOR) | ROLE(OPERATOR))

static const struct command_row commands[] = {
    {&payment__v1__prepare_payment__descriptor, ROLE(PAYMENT_OFFICER), on_prepare},
    {&payment__v1__dispose__descriptor, ROLE(BUDGET_HOLDER), on_dispose},
    {&payment__v1__attest__descriptor, ROLE(ATTESTANT), on_attest},
    {&payment__v1__authorise__descriptor, ROLE(AUTHORISER), on_authorise},
    {&finance__v1__report_status__descriptor, ROLE(SERVICE), on_report_status},
    {&payment__v1__retry_payment__descriptor, ROLE(PAYMENT_OFFICER), on_retry},
    {&payment__v1__stop_payment__descriptor, ROLE(UNIT_HEAD) | ROLE(BUDGET_HOLDER), on_stop},
    {&payment__v1__release_stop__descriptor, ROLE(UNIT_HEAD) | ROLE(BUDGET_HOLDER), on_release},
    {&payment__v1__record_repayment__descriptor, ROLE(PAYMENT_OFFICER) | ROLE(SERVICE), on_record_repayment},
    {NULL},
};

static const struct event_row events[] = {
    {&payment__v1__payment_due__descriptor, "instalment", store_payment_due},
    {&payment__v1__payment_prepared__descriptor, "instalment", store_payment_prepared},
    {&payment__v1__payment_disposed__descriptor, "instalment", store_payment_disposed},
    {&payment__v1__payment_attested__descriptor, "instalment", store_payment_attested},
    {&payment__v1__payment_authorised__descriptor, "instalment", store_payment_authorised},
    {&payment__v1__payment_sent__descriptor, "instalment", store_payment_sent},
    {&payment__v1__payment_refused_by_finance__descriptor, "instalment", store_payment_refused_by_finance},
    {&payment__v1__payment_acknowledged__descriptor, "instalment", store_payment_acknowledged},
    {&payment__v1__payment_confirmed__descriptor, "instalment", store_payment_confirmed},
    {&payment__v1__payment_failed__descriptor, "instalment", store_payment_failed},
    {&payment__v1__payment_returned__descriptor, "instalment", store_payment_returned},
    {&payment__v1__status_questioned__descriptor, "instalment", store_status_questioned},
    {&payment__v1__payment_retried__descriptor, "instalment", store_payment_retried},
    {&payment__v1__account_changed__descriptor, "instalment", store_account_changed},
    {&payment__v1__payment_stopped__descriptor, "instalment", store_payment_stopped},
    {&payment__v1__stop_released__descriptor, "instalment", store_stop_released},
    {&payment__v1__payment_voided__descriptor, "instalment", store_payment_voided},
    {&payment__v1__claim_issued__descriptor, "claim", store_claim_issued},
    {&payment__v1__repayment_received__descriptor, "claim", store_repayment_received},
    {NULL},
};

static const struct heard_row heard[] = {
    {&allocation__v1__award_decided__descriptor, store_hear_award_decided, NULL},
    {&allocation__v1__grant_letter_issued__descriptor, store_hear_letter_issued, on_letter_issued},
    {&allocation__v1__grant_accepted__descriptor, NULL, on_grant_accepted},
    {&allocation__v1__grant_renounced__descriptor, store_hear_grant_renounced, on_grant_renounced},
    {&reporting__v1__repayment_decided__descriptor, NULL, on_repayment_decided},
    {NULL},
};

static const struct query_row queries[] = {
    {&payment__v1__get_payment__descriptor, READERS, read_payment},
    {&payment__v1__list_payments__descriptor, READERS, read_payments},
    {&payment__v1__list_claims__descriptor, READERS, read_claims},
    {NULL},
};

static const struct answer_row answers[] = {
    {&finance__v1__pay_order__descriptor, on_order_answered},
    {NULL},
};

const struct service payment_service = {
    .name = "payment",
    .rule_set = "2024-1",
    .commands = commands,
    .events = events,
    .heard = heard,
    .queries = queries,
    .answers = answers,
    .statements = sql_payment_all,
    .migrations = migrations_payment,
};
