// store: loads payments and claims, keeps what was heard, and writes each event into the tables. No
// decisions.
#include "payment.h"
#include "payment_store.sql.h"

// A cell as protobuf-c wants it: it never writes through its char pointers.
static char *cell(const struct rows *rows, int row, int column)
{
    return (char *)row_text(rows, row, column);
}

static void read_due(const struct rows *rows, int row, PaymentDue *due)
{
    *due = (PaymentDue)PAYMENT__V1__PAYMENT_DUE__INIT;
    due->payment_key = cell(rows, row, 0);
    due->application_id = cell(rows, row, 1);
    due->call_id = cell(rows, row, 2);
    due->year = (int32_t)row_int(rows, row, 3);
    due->instalment = (uint32_t)row_int(rows, row, 4);
    due->amount_ore = row_int(rows, row, 5);
    due->creditor_name = cell(rows, row, 6);
    due->creditor_organisation_number = cell(rows, row, 7);
    due->creditor_account = cell(rows, row, 8);
    due->kid = cell(rows, row, 9);
    due->letter_version = (uint32_t)row_int(rows, row, 10);
}

// The columns of load_payment and list_payments.
static void read_payment(const struct rows *rows, int row, struct payment *ret)
{
    *ret = (struct payment){
        .known = true,
        .state = (enum payment_state)row_int(rows, row, 11),
        .coding = cell(rows, row, 12),
        .value_date = cell(rows, row, 13),
        .content_sha256 = cell(rows, row, 14),
        .prepared_by = cell(rows, row, 15),
        .disposed_by = cell(rows, row, 16),
        .attested_by = cell(rows, row, 17),
        .authorised_by = cell(rows, row, 18),
        .account_changed_by = cell(rows, row, 19),
        .stopped_by = cell(rows, row, 20),
        .end_to_end_id = cell(rows, row, 21),
        .attempt = (uint32_t)row_int(rows, row, 22),
        .times_sent = (uint32_t)row_int(rows, row, 23),
        .message_id = cell(rows, row, 24),
        .last_text = cell(rows, row, 25),
        .letter_version = (uint32_t)row_int(rows, row, 26),
        .renounced = row_int(rows, row, 27) != 0,
        .actor_decided_award = row_int(rows, row, 28) != 0,
    };
    read_due(rows, row, &ret->due);
}

static void read_claim(const struct rows *rows, int row, struct claim *ret)
{
    *ret = (struct claim){
        .known = true,
        .claim_id = cell(rows, row, 0),
        .application_id = cell(rows, row, 1),
        .call_id = cell(rows, row, 2),
        .kid = cell(rows, row, 3),
        .amount_ore = row_int(rows, row, 4),
        .outstanding_ore = row_int(rows, row, 5),
        .due_at_us = row_int(rows, row, 6),
    };
}

static void read_first_claim(const struct rows *rows, struct claim *ret)
{
    *ret = (struct claim){.known = false};
    if (rows->count == 1)
        read_claim(rows, 0, ret);
}

status_t store_load_payment(struct message *message, const char *key, struct payment *ret)
{
    struct rows rows;
    status_t status = RUN(message, load_payment, &rows, TEXT(key), TEXT(message->actor->subject));

    *ret = (struct payment){.known = false};
    if (status == OK && rows.count == 1)
        read_payment(&rows, 0, ret);
    return status;
}

status_t store_load_payment_by_end_to_end_id(struct message *message, const char *end_to_end_id,
                                             struct payment *ret)
{
    struct rows rows;
    status_t status = RUN(message, find_payment_by_end_to_end_id, &rows, TEXT(end_to_end_id));

    *ret = (struct payment){.known = false};
    if (status == OK && rows.count == 1)
        status = store_load_payment(message, row_text(&rows, 0, 0), ret);
    return status;
}

status_t store_load_payments_of(struct message *message, const char *application_id, struct payment **ret,
                                int *ret_count)
{
    struct rows rows;
    status_t status = RUN(message, find_payments_of, &rows, TEXT(application_id));

    if (status != OK)
        return status;
    *ret_count = rows.count;
    *ret = arena_alloc(message->arena, (size_t)rows.count * sizeof **ret);
    for (int i = 0; i < rows.count && status == OK; i++)
        status = store_load_payment(message, row_text(&rows, i, 0), &(*ret)[i]);
    return status;
}

status_t store_load_order(struct message *message, const char *key, const char *message_id,
                          const char *status_id, struct order *ret)
{
    struct rows orders, statuses;
    status_t status = RUN(message, load_order, &orders, TEXT(key), TEXT(message_id));

    *ret = (struct order){.known = false};
    if (status == OK)
        status = RUN(message, find_status, &statuses, TEXT(status_id));
    if (status != OK)
        return status;
    ret->status_known = statuses.count > 0;
    if (orders.count == 1)
        *ret = (struct order){.known = true,
                              .status_known = ret->status_known,
                              .attempt = (uint32_t)row_int(&orders, 0, 0),
                              .outcome = (enum order_outcome)row_int(&orders, 0, 1)};
    return OK;
}

status_t store_load_claim(struct message *message, const char *id, struct claim *ret)
{
    struct rows rows;
    status_t status = RUN(message, load_claim, &rows, TEXT(id));

    if (status == OK)
        read_first_claim(&rows, ret);
    return status;
}

status_t store_load_claim_by_kid(struct message *message, const char *kid, struct claim *ret)
{
    struct rows rows;
    status_t status = RUN(message, load_claim_by_kid, &rows, TEXT(kid));

    if (status == OK)
        read_first_claim(&rows, ret);
    return status;
}

status_t store_load_receipt(struct message *message, const char *receipt_id, struct receipt *ret)
{
    struct rows rows;
    status_t status = RUN(message, load_receipt, &rows, TEXT(receipt_id));

    *ret = (struct receipt){.claim_id = (char *)""};
    if (status == OK && rows.count == 1)
        *ret = (struct receipt){.claim_id = cell(&rows, 0, 0), .amount_ore = row_int(&rows, 0, 1)};
    return status;
}

static status_t list_payments(struct message *message, const char *key, const char *call_id,
                              struct payment **ret, int *ret_count)
{
    struct rows rows;
    status_t status = RUN(message, list_payments, &rows, TEXT(key), TEXT(call_id));

    if (status != OK)
        return status;
    *ret_count = rows.count;
    *ret = arena_alloc(message->arena, (size_t)rows.count * sizeof **ret);
    for (int i = 0; i < rows.count; i++)
        read_payment(&rows, i, &(*ret)[i]);
    return OK;
}

status_t store_read_payment(struct message *message, const char *key, struct payment *ret)
{
    struct payment *found;
    int count;
    status_t status = list_payments(message, key, NULL, &found, &count);

    *ret = (struct payment){.known = false};
    if (status == OK && count == 1)
        *ret = found[0];
    return status;
}

status_t store_list_payments(struct message *message, const char *call_id, struct payment **ret,
                             int *ret_count)
{
    return list_payments(message, NULL, call_id, ret, ret_count);
}

status_t store_list_claims(struct message *message, const char *call_id, struct claim **ret, int *ret_count)
{
    struct rows rows;
    status_t status = RUN(message, list_claims, &rows, TEXT(call_id));

    if (status != OK)
        return status;
    *ret_count = rows.count;
    *ret = arena_alloc(message->arena, (size_t)rows.count * sizeof **ret);
    for (int i = 0; i < rows.count; i++)
        read_claim(&rows, i, &(*ret)[i]);
    return OK;
}

// ----------------------------------------------------------------------------------------------- heard facts

status_t store_hear_award_decided(struct message *message, const void *body)
{
    const AwardDecided *event = body;

    return RUN(message, hear_award, NULL, TEXT(event->application_id), TEXT(event->decided_by));
}

status_t store_hear_letter_issued(struct message *message, const void *body)
{
    const GrantLetterIssued *event = body;

    if (event->letter == NULL)
        return fail(message, POISON, "the letter of application %s is empty", event->application_id);
    return RUN(message, hear_letter, NULL, TEXT(event->application_id), INT(event->letter->year),
               INT(event->letter->letter_version));
}

status_t store_hear_grant_renounced(struct message *message, const void *body)
{
    const GrantRenounced *event = body;

    return RUN(message, hear_renounced, NULL, TEXT(event->application_id), INT(message->at_us));
}

// ------------------------------------------------------------------------------------------------ own events

// A write that must have met its row: another outcome means that someone was faster.
static status_t met(struct message *message, status_t status, const struct rows *rows, const char *id)
{
    if (status == OK && rows->affected != 1)
        return fail(message, RETRY, "%s changed under us", id);
    return status;
}

status_t store_payment_due(struct message *message, const void *body)
{
    const PaymentDue *event = body;
    struct rows rows;
    status_t status = RUN(message, put_due, &rows, TEXT(event->payment_key), TEXT(event->application_id),
                          TEXT(event->call_id), INT(event->year), INT(event->instalment),
                          INT(event->amount_ore), TEXT(event->creditor_name),
                          TEXT(event->creditor_organisation_number), TEXT(event->creditor_account),
                          TEXT(event->kid), INT(event->letter_version));

    return met(message, status, &rows, event->payment_key);
}

status_t store_payment_prepared(struct message *message, const void *body)
{
    const PaymentPrepared *event = body;
    struct rows rows;
    status_t status = RUN(message, put_prepared, &rows, TEXT(event->payment_key), TEXT(event->coding),
                          TEXT(event->value_date), TEXT(event->content_sha256), TEXT(event->prepared_by));

    return met(message, status, &rows, event->payment_key);
}

status_t store_payment_disposed(struct message *message, const void *body)
{
    const PaymentDisposed *event = body;
    struct rows rows;
    status_t status = RUN(message, put_disposed, &rows, TEXT(event->payment_key), TEXT(event->disposed_by));

    return met(message, status, &rows, event->payment_key);
}

status_t store_payment_attested(struct message *message, const void *body)
{
    const PaymentAttested *event = body;
    struct rows rows;
    status_t status = RUN(message, put_attested, &rows, TEXT(event->payment_key), TEXT(event->attested_by));

    return met(message, status, &rows, event->payment_key);
}

status_t store_payment_authorised(struct message *message, const void *body)
{
    const PaymentAuthorised *event = body;
    struct rows rows;
    status_t status = RUN(message, put_authorised, &rows, TEXT(event->payment_key),
                          TEXT(event->authorised_by), TEXT(event->end_to_end_id), INT(event->attempt));

    if (status == OK)
        status = RUN(message, put_order, NULL, TEXT(event->payment_key), INT(event->attempt),
                     INT(event->ordered_at_us));
    return met(message, status, &rows, event->payment_key);
}

status_t store_payment_retried(struct message *message, const void *body)
{
    const PaymentRetried *event = body;
    struct rows rows;
    status_t status = RUN(message, put_retried, &rows, TEXT(event->payment_key), INT(event->attempt));

    if (status == OK)
        status = RUN(message, put_order, NULL, TEXT(event->payment_key), INT(event->attempt),
                     INT(event->ordered_at_us));
    return met(message, status, &rows, event->payment_key);
}

status_t store_payment_sent(struct message *message, const void *body)
{
    const PaymentSent *event = body;
    struct rows rows;
    status_t status = RUN(message, put_order_taken, NULL, TEXT(event->payment_key), INT(event->attempt),
                          TEXT(event->message_id));

    if (status == OK)
        status = RUN(message, put_sent, &rows, TEXT(event->payment_key), TEXT(event->message_id));
    return met(message, status, &rows, event->payment_key);
}

// An order came this far, which puts the payment in this state.
static status_t put_outcome(struct message *message, const char *key, uint32_t attempt,
                            enum order_outcome outcome, enum payment_state state, const char *text)
{
    struct rows rows;
    status_t status = RUN(message, put_outcome, NULL, TEXT(key), INT(attempt), INT(outcome));

    if (status == OK)
        status = RUN(message, put_state, &rows, TEXT(key), INT(state), TEXT(text));
    return met(message, status, &rows, key);
}

static status_t put_status(struct message *message, status_t status, const char *status_id, const char *key)
{
    if (status == OK)
        status = RUN(message, put_status, NULL, TEXT(status_id), TEXT(key), INT(message->at_us));
    return status;
}

status_t store_payment_refused_by_finance(struct message *message, const void *body)
{
    const PaymentRefusedByFinance *event = body;

    return put_outcome(message, event->payment_key, event->attempt, NOT_TAKEN, REFUSED_BY_FINANCE,
                       event->reason);
}

status_t store_payment_acknowledged(struct message *message, const void *body)
{
    const PaymentAcknowledged *event = body;
    status_t status = put_outcome(message, event->payment_key, event->attempt, ACKNOWLEDGED, SENT,
                                  "accepted");

    return put_status(message, status, event->status_id, event->payment_key);
}

status_t store_payment_confirmed(struct message *message, const void *body)
{
    const PaymentConfirmed *event = body;
    status_t status = put_outcome(message, event->payment_key, event->attempt, SETTLED, CONFIRMED, "settled");

    return put_status(message, status, event->status_id, event->payment_key);
}

status_t store_payment_failed(struct message *message, const void *body)
{
    const PaymentFailed *event = body;
    const char *text = arena_printf(message->arena, "rejected: %s %s", event->code, event->text);
    status_t status = put_outcome(message, event->payment_key, event->attempt, REJECTED, FAILED, text);

    return put_status(message, status, event->status_id, event->payment_key);
}

status_t store_payment_returned(struct message *message, const void *body)
{
    const PaymentReturned *event = body;
    const char *text = arena_printf(message->arena, "returned: %s", event->code);
    status_t status = put_outcome(message, event->payment_key, event->attempt, CAME_BACK, RETURNED, text);

    return put_status(message, status, event->status_id, event->payment_key);
}

status_t store_status_questioned(struct message *message, const void *body)
{
    const StatusQuestioned *event = body;
    // It may fit no payment at all, so that no row is met.
    status_t status = RUN(message, put_questioned, NULL, TEXT(event->payment_key), TEXT(event->reason));

    return put_status(message, status, event->status_id, event->payment_key);
}

status_t store_account_changed(struct message *message, const void *body)
{
    const AccountChanged *event = body;
    struct rows rows;
    status_t status = RUN(message, put_account, &rows, TEXT(event->payment_key), TEXT(event->account_number),
                          TEXT(event->changed_by));

    return met(message, status, &rows, event->payment_key);
}

status_t store_payment_stopped(struct message *message, const void *body)
{
    const PaymentStopped *event = body;
    struct rows rows;
    status_t status = RUN(message, put_stopped, &rows, TEXT(event->payment_key), TEXT(event->stopped_by),
                          TEXT(event->reason));

    return met(message, status, &rows, event->payment_key);
}

status_t store_stop_released(struct message *message, const void *body)
{
    const StopReleased *event = body;
    struct rows rows;
    status_t status = RUN(message, put_released, &rows, TEXT(event->payment_key));

    return met(message, status, &rows, event->payment_key);
}

status_t store_payment_voided(struct message *message, const void *body)
{
    const PaymentVoided *event = body;
    struct rows rows;
    status_t status = RUN(message, put_voided, &rows, TEXT(event->payment_key), TEXT(event->reason));

    return met(message, status, &rows, event->payment_key);
}

status_t store_claim_issued(struct message *message, const void *body)
{
    const ClaimIssued *event = body;

    return RUN(message, put_claim, NULL, TEXT(event->claim_id), TEXT(event->application_id),
               TEXT(event->call_id), TEXT(event->organisation_number), TEXT(event->kid),
               INT(event->amount_ore), INT(event->due_at_us));
}

status_t store_repayment_received(struct message *message, const void *body)
{
    const RepaymentReceived *event = body;
    struct rows rows;
    status_t status = RUN(message, put_receipt, NULL, TEXT(event->receipt_id), TEXT(event->claim_id),
                          INT(event->amount_ore), INT(message->at_us));

    if (status == OK)
        status = RUN(message, put_outstanding, &rows, TEXT(event->claim_id), INT(event->outstanding_ore));
    return met(message, status, &rows, event->claim_id);
}
