// payment: sends each accepted instalment to the finance system exactly once, and claims back what is left
// unspent.
//
// An instalment becomes due when the current letter is accepted, is prepared with its coding, disposed,
// attested and authorised by different people over the same content hash, and then handed to the finance
// connector as an order (finance.v1.PayOrder). What the finance system says comes back as
// finance.v1.ReportStatus. A key is one payment for ever; each order under it is an attempt, and the next
// attempt exists only when the former is known not to have moved money. Claims follow
// reporting.v1.RepaymentDecided and are settled by receipts.
#pragma once

#include "service/service.h"

#include "allocation_v1.pb-c.h"
#include "finance_v1.pb-c.h"
#include "payment_v1.pb-c.h"
#include "reporting_v1.pb-c.h"

// Heard.
typedef Allocation__V1__AwardDecided AwardDecided;
typedef Allocation__V1__GrantLetterIssued GrantLetterIssued;
typedef Allocation__V1__GrantAccepted GrantAccepted;
typedef Allocation__V1__GrantRenounced GrantRenounced;
typedef Reporting__V1__RepaymentDecided RepaymentDecided;

// The finance contract.
typedef Finance__V1__PayOrder PayOrder;
typedef Finance__V1__OrderTaken OrderTaken;
typedef Finance__V1__ReportStatus ReportStatus;
typedef Finance__V1__StatusTaken StatusTaken;

// Commands.
typedef Payment__V1__PreparePayment PreparePayment;
typedef Payment__V1__Dispose Dispose;
typedef Payment__V1__Attest Attest;
typedef Payment__V1__Authorise Authorise;
typedef Payment__V1__RetryPayment RetryPayment;
typedef Payment__V1__StopPayment StopPayment;
typedef Payment__V1__ReleaseStop ReleaseStop;
typedef Payment__V1__RecordRepayment RecordRepayment;

// Events.
typedef Payment__V1__PaymentDue PaymentDue;
typedef Payment__V1__PaymentPrepared PaymentPrepared;
typedef Payment__V1__PaymentDisposed PaymentDisposed;
typedef Payment__V1__PaymentAttested PaymentAttested;
typedef Payment__V1__PaymentAuthorised PaymentAuthorised;
typedef Payment__V1__PaymentSent PaymentSent;
typedef Payment__V1__PaymentRefusedByFinance PaymentRefusedByFinance;
typedef Payment__V1__PaymentAcknowledged PaymentAcknowledged;
typedef Payment__V1__PaymentConfirmed PaymentConfirmed;
typedef Payment__V1__PaymentFailed PaymentFailed;
typedef Payment__V1__PaymentReturned PaymentReturned;
typedef Payment__V1__StatusQuestioned StatusQuestioned;
typedef Payment__V1__PaymentRetried PaymentRetried;
typedef Payment__V1__AccountChanged AccountChanged;
typedef Payment__V1__PaymentStopped PaymentStopped;
typedef Payment__V1__StopReleased StopReleased;
typedef Payment__V1__PaymentVoided PaymentVoided;
typedef Payment__V1__ClaimIssued ClaimIssued;
typedef Payment__V1__RepaymentReceived RepaymentReceived;

// Queries.
typedef Payment__V1__GetPayment GetPayment;
typedef Payment__V1__ListPayments ListPayments;
typedef Payment__V1__ListClaims ListClaims;

// Where a payment stands. The numbers are those of Payment.State. A stop is not a state here: it lies on top
// of one (stopped_by), so that what the bank says is still taken in while a payment is stopped.
enum payment_state {
    DUE = PAYMENT__V1__PAYMENT__STATE__DUE,
    PREPARED = PAYMENT__V1__PAYMENT__STATE__PREPARED,
    DISPOSED = PAYMENT__V1__PAYMENT__STATE__DISPOSED,
    ATTESTED = PAYMENT__V1__PAYMENT__STATE__ATTESTED,
    AUTHORISED = PAYMENT__V1__PAYMENT__STATE__AUTHORISED,
    SENT = PAYMENT__V1__PAYMENT__STATE__SENT,
    CONFIRMED = PAYMENT__V1__PAYMENT__STATE__CONFIRMED,
    FAILED = PAYMENT__V1__PAYMENT__STATE__FAILED,
    RETURNED = PAYMENT__V1__PAYMENT__STATE__RETURNED,
    VOIDED = PAYMENT__V1__PAYMENT__STATE__VOIDED,
    REFUSED_BY_FINANCE = PAYMENT__V1__PAYMENT__STATE__REFUSED_BY_FINANCE,
};

// One payment under its key. Absent texts are "".
struct payment {
    bool known;
    PaymentDue due;  // what the acceptance said, with the account number in force
    enum payment_state state;
    char *coding;
    char *value_date;
    char *content_sha256;  // what the three sign; "" until prepared
    char *prepared_by;
    char *disposed_by;
    char *attested_by;
    char *authorised_by;
    char *account_changed_by;
    char *stopped_by;  // "": not stopped
    char *end_to_end_id;
    char *message_id;  // of the last order taken
    char *last_text;
    uint32_t attempt;  // of the last order; 0: none yet
    uint32_t times_sent;
    uint32_t letter_version;   // the newest letter heard of
    bool renounced;            // the grant was renounced
    bool actor_decided_award;  // the one who acts decided the award
};

// One order under a key: how far it came. The numbers stand in the database.
enum order_outcome {
    ORDERED = 1,  // asked of the connector
    TAKEN = 2,
    ACKNOWLEDGED = 3,
    SETTLED = 4,
    REJECTED = 5,
    CAME_BACK = 6,
    NOT_TAKEN = 7,  // the connector refused it
};

// What a status is about.
struct order {
    bool known;         // an order of this payment was taken under this message_id
    bool status_known;  // this status_id has been taken in before
    uint32_t attempt;
    enum order_outcome outcome;
};

// One claim under its id.
struct claim {
    bool known;
    char *claim_id;
    char *application_id;
    char *call_id;
    char *kid;
    int64_t amount_ore;
    int64_t outstanding_ore;
    int64_t due_at_us;
};

// A receipt that is already recorded; claim_id is "" when there is none.
struct receipt {
    char *claim_id;
    int64_t amount_ore;
};

// The key of an instalment, "<application id>#<year>#<instalment>".
char *payment_key(arena_t *arena, const char *application_id, int32_t year, uint32_t instalment);
// The id of a claim, "<application id>#<year>#claim".
char *claim_id(arena_t *arena, const char *application_id, int32_t year);
// The end-to-end id of a key for ever: base32 of SHA-256("pay" || key), 26 characters.
char *payment_end_to_end_id(arena_t *arena, const char *key);
// The hash the three sign: SHA-256 over the canonical bytes of PaymentDue, then a zero byte and the coding,
// then a zero byte and the value date.
char *payment_content_sha256(arena_t *arena, const PaymentDue *due, const char *coding,
                             const char *value_date);

// A part of an accepted grant becomes due; a repeat, or an acceptance after the money has left, changes
// nothing.
status_t rule_accepted(struct message *message, const struct payment *payment, const GrantAccepted *event,
                       uint32_t instalment);
// A payment that has not left falls when its letter is replaced or its grant renounced.
status_t rule_letter_replaced(struct message *message, const struct payment *payment,
                              uint32_t letter_version);
status_t rule_renounced(struct message *message, const struct payment *payment, const GrantRenounced *event);
// Prepare, or prepare again (the signatures given so far then fall).
status_t rule_prepare(struct message *message, const struct payment *payment, const PreparePayment *command);
// The three signatures, in order, over the same hash.
status_t rule_dispose(struct message *message, const struct payment *payment, const Dispose *command);
status_t rule_attest(struct message *message, const struct payment *payment, const Attest *command);
status_t rule_authorise(struct message *message, const struct payment *payment, const Authorise *command);
// What the connector answered to an order.
status_t rule_order_taken(struct message *message, const struct payment *payment, const PayOrder *order,
                          const OrderTaken *taken);
status_t rule_order_refused(struct message *message, const struct payment *payment, const PayOrder *order,
                            const char *reason);
// What the finance system says about an order; forward only, contradictions are for people.
status_t rule_report_status(struct message *message, const struct payment *payment, const struct order *order,
                            const ReportStatus *command);
// Send again, or take a new account and let the three sign again.
status_t rule_retry(struct message *message, const struct payment *payment, const RetryPayment *command);
// Hold a payment that is not under way; release by someone else.
status_t rule_stop(struct message *message, const struct payment *payment, const StopPayment *command);
status_t rule_release(struct message *message, const struct payment *payment, const ReleaseStop *command);
// A repayment that was decided becomes a claim, once.
status_t rule_repayment_decided(struct message *message, const struct claim *claim,
                                const RepaymentDecided *event);
// Money came in on a claim.
status_t rule_record_repayment(struct message *message, const struct claim *claim,
                               const struct receipt *receipt, const RecordRepayment *command);

// Load a payment and hold its row, by key or by end-to-end id. known is false when there is none.
status_t store_load_payment(struct message *message, const char *key, struct payment *ret);
status_t store_load_payment_by_end_to_end_id(struct message *message, const char *end_to_end_id,
                                             struct payment *ret);
// Load every payment of an application and hold the rows.
status_t store_load_payments_of(struct message *message, const char *application_id, struct payment **ret,
                                int *ret_count);
// The order of a payment that was taken under a message id, and whether the status has been taken in before.
status_t store_load_order(struct message *message, const char *key, const char *message_id,
                          const char *status_id, struct order *ret);
// Load a claim and hold its row, by id or by KID.
status_t store_load_claim(struct message *message, const char *id, struct claim *ret);
status_t store_load_claim_by_kid(struct message *message, const char *kid, struct claim *ret);
status_t store_load_receipt(struct message *message, const char *receipt_id, struct receipt *ret);
// For the queries: nothing is held. One payment, or all of a call.
status_t store_read_payment(struct message *message, const char *key, struct payment *ret);
status_t store_list_payments(struct message *message, const char *call_id, struct payment **ret,
                             int *ret_count);
status_t store_list_claims(struct message *message, const char *call_id, struct claim **ret, int *ret_count);

// Heard facts.
handle_f store_hear_award_decided, store_hear_letter_issued, store_hear_grant_renounced;
// One apply for each event.
handle_f store_payment_due, store_payment_prepared, store_payment_disposed, store_payment_attested,
    store_payment_authorised, store_payment_sent, store_payment_refused_by_finance,
    store_payment_acknowledged, store_payment_confirmed, store_payment_failed, store_payment_returned,
    store_status_questioned, store_payment_retried, store_account_changed, store_payment_stopped,
    store_stop_released, store_payment_voided, store_claim_issued, store_repayment_received;

extern const struct service payment_service;
