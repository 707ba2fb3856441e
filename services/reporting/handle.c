// handle: what happens to each message that reporting speaks or hears. Load, rule; the tables of rows stand
// last.
#include "reporting.h"
#include "reporting_store.sql.h"

// -------------------------------------------------------------------------------------------- others' events

static status_t on_grant_accepted(struct message *message, const void *body)
{
    const GrantAccepted *event = body;
    struct duty duty;
    GrantLetter *letter;
    status_t status = store_load_duty(message, event->application_id, &duty);

    if (status == OK)
        status = store_load_letter(message, event->application_id, event->letter_version, &letter);
    if (status == OK)
        status = rule_register(message, &duty, event, letter);
    return status;
}

static status_t on_signed_off(struct message *message, const void *body)
{
    const SignedOff *event = body;
    struct duty duty;
    status_t status = OK;

    if (event->kind != TYPES__V1__SIGN_OFF_KIND__REPORT)
        return OK;
    status = store_load_duty(message, event->application_id, &duty);
    if (status == OK)
        status = rule_signed_off(message, &duty, event);
    return status;
}

// ------------------------------------------------------------------ what concerns the duty of an application

// Load the duty of the message's application, then ask the rule.
#define ON_DUTY(name, Message)                                                                               \
    static status_t on_##name(struct message *message, const void *body)                                     \
    {                                                                                                        \
        const Message *said = body;                                                                          \
        struct duty duty;                                                                                    \
        status_t status = store_load_duty(message, said->application_id, &duty);                             \
                                                                                                             \
        if (status == OK)                                                                                    \
            status = rule_##name(message, &duty, said);                                                      \
        return status;                                                                                       \
    }

ON_DUTY(letter_replaced, GrantLetterIssued)
ON_DUTY(renounced, GrantRenounced)
ON_DUTY(open, OpenReporting)
ON_DUTY(overdue, MarkOverdue)
ON_DUTY(extend, ExtendReport)
ON_DUTY(submit, SubmitReport)
ON_DUTY(return, ReturnReport)
ON_DUTY(approve, ApproveReport)
ON_DUTY(decide_repayment, DecideRepayment)
ON_DUTY(close, CloseGrant)

// --------------------------------------------------------------------------------------------------- queries

static status_t read_report(struct message *message, const void *body)
{
    const GetReport *query = body;
    struct duty duty;
    status_t status = store_read_duty(message, query->application_id, &duty);

    if (status == OK && !duty.known)
        return fail(message, REFUSED,
                    "application_id %s has nothing to report; a duty begins with an accepted letter",
                    query->application_id);
    if (status == OK)
        status = rule_read(message, query->application_id, duty.organisation_number);
    if (status != OK)
        return status;

    Reporting__V1__ReportState shown = REPORTING__V1__REPORT_STATE__INIT;
    shown.application_id = duty.application_id;
    shown.state = (Reporting__V1__ReportState__State)duty.state;
    shown.report_version = duty.report_version;
    shown.report_sha256 = duty.report_sha256;
    shown.report = duty.report;
    shown.overdue = duty.overdue;
    shown.due_at_us = duty.due_at_us;
    shown.unspent_ore = duty.unspent_ore;
    answer(message, &shown);
    return OK;
}

// ---------------------------------------------------------------------------------------------------- tables

#define DIRECTORATE_READERS (ROLES_DIRECTORATE | ROLE(AUDITOR) | ROLE(OPERATOR))
#define ALL_READERS         (ROLES_MUNICIPALITY | DIRECTORATE_READERS)

static const struct command_row commands[] = {
    {&reporting__v1__open_reporting__descriptor, ROLES_CLOCK, on_open},
    {&reporting__v1__mark_overdue__descriptor, ROLES_CLOCK, on_overdue},
    {&reporting__v1__extend_report__descriptor, ROLE(CASE_OFFICER), on_extend},
    {&reporting__v1__submit_report__descriptor, ROLE(EDITOR) | ROLE(PROJECT_OWNER), on_submit},
    {&reporting__v1__return_report__descriptor, ROLE(CASE_OFFICER), on_return},
    {&reporting__v1__approve_report__descriptor, ROLE(CASE_OFFICER), on_approve},
    {&reporting__v1__decide_repayment__descriptor, ROLE(BUDGET_HOLDER), on_decide_repayment},
    {&reporting__v1__close_grant__descriptor, ROLE(CASE_OFFICER), on_close},
    {NULL},
};

static const struct event_row events[] = {
    {&reporting__v1__duty_registered__descriptor, "report", store_duty_registered},
    {&reporting__v1__duty_cancelled__descriptor, "report", store_duty_cancelled},
    {&reporting__v1__reporting_opened__descriptor, "report", store_reporting_opened},
    {&reporting__v1__report_overdue__descriptor, "report", store_report_overdue},
    {&reporting__v1__report_deadline_extended__descriptor, "report", store_deadline_extended},
    {&reporting__v1__report_prepared__descriptor, "report", store_report_prepared},
    {&reporting__v1__report_delivered__descriptor, "report", store_report_delivered},
    {&reporting__v1__report_returned__descriptor, "report", store_report_returned},
    {&reporting__v1__report_approved__descriptor, "report", store_report_approved},
    {&reporting__v1__repayment_decided__descriptor, "report", store_repayment_decided},
    {&reporting__v1__grant_closed__descriptor, "report", store_grant_closed},
    {NULL},
};

static const struct heard_row heard[] = {
    {&intake__v1__call_published__descriptor, store_hear_call_published, NULL},
    {&evaluation__v1__recommendation_made__descriptor, store_hear_recommendation, NULL},
    {&allocation__v1__grant_letter_issued__descriptor, store_hear_letter_issued, on_letter_replaced},
    {&allocation__v1__grant_accepted__descriptor, NULL, on_grant_accepted},
    {&allocation__v1__grant_renounced__descriptor, NULL, on_renounced},
    {&approval__v1__signed_off__descriptor, NULL, on_signed_off},
    {&payment__v1__payment_attested__descriptor, store_hear_attested, NULL},
    {&payment__v1__account_changed__descriptor, store_hear_account_changed, NULL},
    {&payment__v1__payment_confirmed__descriptor, store_hear_confirmed, NULL},
    {&payment__v1__payment_returned__descriptor, store_hear_returned, NULL},
    {&payment__v1__claim_issued__descriptor, store_hear_claim_issued, NULL},
    {&payment__v1__repayment_received__descriptor, store_hear_repayment_received, NULL},
    {NULL},
};

static const struct query_row queries[] = {
    {&reporting__v1__get_case__descriptor, ALL_READERS, view_read_case},
    {&reporting__v1__get_call__descriptor, DIRECTORATE_READERS, view_read_call},
    {&reporting__v1__get_report__descriptor, ALL_READERS, read_report},
    {NULL},
};

static const struct timer_row timers[] = {
    {&reporting__v1__open_reporting__descriptor, &sql_due_open},
    {&reporting__v1__mark_overdue__descriptor, &sql_due_overdue},
    {NULL},
};

const struct service reporting_service = {
    .name = "reporting",
    .rule_set = "2024-1",
    .commands = commands,
    .events = events,
    .heard = heard,
    .witness = view_witness,
    .queries = queries,
    .timers = timers,
    .statements = sql_reporting_all,
    .migrations = migrations_reporting,
};
