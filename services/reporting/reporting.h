// reporting: what a grant was used for. Registers the duties of an accepted letter, takes in the final report
// and the accounts for two signatures, has them approved, decides what is repaid and closes the grant. It
// also keeps the read model of every case and call, which is fed by every event of the log and by nothing
// else.
#pragma once

#include "service/service.h"

#include "allocation_v1.pb-c.h"
#include "approval_v1.pb-c.h"
#include "evaluation_v1.pb-c.h"
#include "intake_v1.pb-c.h"
#include "payment_v1.pb-c.h"
#include "reporting_v1.pb-c.h"

// Heard.
typedef Intake__V1__CallPublished CallPublished;
typedef Approval__V1__SignedOff SignedOff;
typedef Evaluation__V1__RecommendationMade RecommendationMade;
typedef Allocation__V1__GrantLetter GrantLetter;
typedef Allocation__V1__GrantLetterIssued GrantLetterIssued;
typedef Allocation__V1__GrantAccepted GrantAccepted;
typedef Allocation__V1__GrantRenounced GrantRenounced;
typedef Payment__V1__PaymentAttested PaymentAttested;
typedef Payment__V1__AccountChanged AccountChanged;
typedef Payment__V1__PaymentConfirmed PaymentConfirmed;
typedef Payment__V1__PaymentReturned PaymentReturned;
typedef Payment__V1__ClaimIssued ClaimIssued;
typedef Payment__V1__RepaymentReceived RepaymentReceived;

// Commands.
typedef Reporting__V1__OpenReporting OpenReporting;
typedef Reporting__V1__MarkOverdue MarkOverdue;
typedef Reporting__V1__ExtendReport ExtendReport;
typedef Reporting__V1__SubmitReport SubmitReport;
typedef Reporting__V1__ReturnReport ReturnReport;
typedef Reporting__V1__ApproveReport ApproveReport;
typedef Reporting__V1__DecideRepayment DecideRepayment;
typedef Reporting__V1__CloseGrant CloseGrant;

// Events.
typedef Reporting__V1__DutyRegistered DutyRegistered;
typedef Reporting__V1__DutyCancelled DutyCancelled;
typedef Reporting__V1__ReportingOpened ReportingOpened;
typedef Reporting__V1__ReportOverdue ReportOverdue;
typedef Reporting__V1__ReportDeadlineExtended ReportDeadlineExtended;
typedef Reporting__V1__ReportPrepared ReportPrepared;
typedef Reporting__V1__ReportDelivered ReportDelivered;
typedef Reporting__V1__ReportReturned ReportReturned;
typedef Reporting__V1__ReportApproved ReportApproved;
typedef Reporting__V1__RepaymentDecided RepaymentDecided;
typedef Reporting__V1__GrantClosed GrantClosed;

// Queries, and what a report is made of.
typedef Reporting__V1__GetCase GetCase;
typedef Reporting__V1__GetCall GetCall;
typedef Reporting__V1__GetReport GetReport;
typedef Reporting__V1__Report Report;
typedef Reporting__V1__GoalAnswer GoalAnswer;
typedef Reporting__V1__AccountLine AccountLine;

// Where a duty stands. The numbers are those of ReportState.State.
enum duty_state {
    NOT_OPEN = REPORTING__V1__REPORT_STATE__STATE__NOT_OPEN,
    OPEN = REPORTING__V1__REPORT_STATE__STATE__OPEN,
    PREPARED = REPORTING__V1__REPORT_STATE__STATE__PREPARED,
    DELIVERED = REPORTING__V1__REPORT_STATE__STATE__DELIVERED,
    RETURNED = REPORTING__V1__REPORT_STATE__STATE__RETURNED,
    APPROVED = REPORTING__V1__REPORT_STATE__STATE__APPROVED,
    CLOSED = REPORTING__V1__REPORT_STATE__STATE__CLOSED,
    CANCELLED = REPORTING__V1__REPORT_STATE__STATE__CANCELLED,
};

// The duty to report on one grant, and the report. Absent texts are "".
struct duty {
    bool known;
    char *application_id;
    char *call_id;
    char *organisation_number;
    int32_t year;
    GrantLetter *letter;  // as it was accepted; the duty follows it whatever happens to the call
    int64_t opens_at_us;
    int64_t due_at_us;
    enum duty_state state;
    bool overdue;
    uint32_t report_version;  // 0: none yet
    char *report_sha256;
    Report *report;  // NULL: none yet
    int64_t cost_ore;
    int64_t unspent_ore;
    bool own_contribution_short;
    int64_t first_delivered_at_us;  // decides whether it was late; 0: not delivered yet
    char *approved_by;
    int64_t repayment_decided_ore;  // 0: none decided
    // What others have told.
    int64_t paid_ore;  // confirmed by the bank less returned
    int32_t auditor_threshold_kroner;
    int64_t claimed_ore;      // claims issued
    int64_t outstanding_ore;  // of them
    char *actor_has;  // what the one who acts did before in this case, "attested the payment"; "": nothing
};

// What a report comes to under a letter.
struct accounts {
    int64_t cost_ore;
    int64_t unspent_ore;
    bool own_contribution_short;
};

// Sum the lines and compute what is unspent of what was paid, by the letter's rule. False when a sum is no
// amount.
bool accounts_make(const GrantLetter *letter, const Report *report, int64_t paid_ore, struct accounts *ret);

// An accepted letter makes the duty to report; a repeat changes nothing. letter is the one accepted.
status_t rule_register(struct message *message, const struct duty *duty, const GrantAccepted *event,
                       GrantLetter *letter);
// A newer letter or a renunciation ends a duty that is not yet approved.
status_t rule_letter_replaced(struct message *message, const struct duty *duty,
                              const GrantLetterIssued *event);
status_t rule_renounced(struct message *message, const struct duty *duty, const GrantRenounced *event);
// The clock.
status_t rule_open(struct message *message, const struct duty *duty, const OpenReporting *command);
status_t rule_overdue(struct message *message, const struct duty *duty, const MarkOverdue *command);
// A later due date, asked for before the present one.
status_t rule_extend(struct message *message, const struct duty *duty, const ExtendReport *command);
// Freeze a version of report and accounts for the two signatures; every field rule must hold.
status_t rule_submit(struct message *message, const struct duty *duty, const SubmitReport *command);
// Both have signed: the version that waits is delivered; a sign-off of another version does nothing.
status_t rule_signed_off(struct message *message, const struct duty *duty, const SignedOff *event);
status_t rule_return(struct message *message, const struct duty *duty, const ReturnReport *command);
status_t rule_approve(struct message *message, const struct duty *duty, const ApproveReport *command);
// What the approved accounts leave unspent is repaid; decided by someone other than who approved.
status_t rule_decide_repayment(struct message *message, const struct duty *duty,
                               const DecideRepayment *command);
// Nothing is left to do or to pay.
status_t rule_close(struct message *message, const struct duty *duty, const CloseGrant *command);
// May the actor read what belongs to this organisation?
status_t rule_read(struct message *message, const char *application_id, const char *organisation_number);

// Load a duty with what others have told about it; hold its row when told to. known is false when there is
// none.
status_t store_load_duty(struct message *message, const char *application_id, struct duty *ret);
status_t store_read_duty(struct message *message, const char *application_id, struct duty *ret);
// Load a letter that was heard; *ret is NULL when it was not.
status_t store_load_letter(struct message *message, const char *application_id, uint32_t letter_version,
                           GrantLetter **ret);

// Heard facts.
handle_f store_hear_call_published, store_hear_recommendation, store_hear_letter_issued, store_hear_attested,
    store_hear_account_changed, store_hear_confirmed, store_hear_returned, store_hear_claim_issued,
    store_hear_repayment_received;
// One apply for each event.
handle_f store_duty_registered, store_duty_cancelled, store_reporting_opened, store_report_overdue,
    store_deadline_extended, store_report_prepared, store_report_delivered, store_report_returned,
    store_report_approved, store_repayment_decided, store_grant_closed;

// The read model (view.c): what every event says, and how cases and calls are shown.
status_t view_witness(struct message *message, const void *body);
status_t view_read_case(struct message *message, const void *body);
status_t view_read_call(struct message *message, const void *body);

extern const struct service reporting_service;
