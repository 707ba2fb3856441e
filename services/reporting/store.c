// store: loads duties with what others told about them, and writes each event into the tables. No decisions.
#include "reporting.h"
#include "reporting_store.sql.h"

#include <string.h>

// A cell as protobuf-c wants it: it never writes through its char pointers.
static char *cell(const struct rows *rows, int row, int column)
{
    return (char *)row_text(rows, row, column);
}

// A stored protobuf message; *ret stays NULL where the cell is NULL.
static status_t read_message(struct message *message, const struct rows *rows, int column,
                             const ProtobufCMessageDescriptor *descriptor, void **ret)
{
    *ret = NULL;
    if (row_null(rows, 0, column))
        return OK;
    ProtobufCBinaryData bytes = row_bytes(rows, 0, column);
    return message_decode(message, descriptor, bytes.data, bytes.len, ret);
}

static void read_fields(const struct rows *rows, struct duty *ret)
{
    *ret = (struct duty){
        .known = true,
        .application_id = cell(rows, 0, 0),
        .call_id = cell(rows, 0, 1),
        .organisation_number = cell(rows, 0, 2),
        .year = (int32_t)row_int(rows, 0, 3),
        .opens_at_us = row_int(rows, 0, 5),
        .due_at_us = row_int(rows, 0, 6),
        .state = (enum duty_state)row_int(rows, 0, 7),
        .overdue = row_int(rows, 0, 8) != 0,
        .report_version = (uint32_t)row_int(rows, 0, 9),
        .report_sha256 = cell(rows, 0, 10),
        .cost_ore = row_int(rows, 0, 12),
        .unspent_ore = row_int(rows, 0, 13),
        .own_contribution_short = row_int(rows, 0, 14) != 0,
        .first_delivered_at_us = row_int(rows, 0, 15),
        .approved_by = cell(rows, 0, 16),
        .repayment_decided_ore = row_int(rows, 0, 17),
    };
}

static status_t load_told(struct message *message, struct duty *duty)
{
    struct rows rows;
    status_t status = RUN(message, load_told, &rows, TEXT(duty->application_id), INT(duty->year),
                          TEXT(duty->call_id), TEXT(message->actor->subject));

    if (status != OK)
        return status;
    duty->paid_ore = row_int(&rows, 0, 0);
    duty->auditor_threshold_kroner = (int32_t)row_int(&rows, 0, 1);
    duty->claimed_ore = row_int(&rows, 0, 2);
    duty->outstanding_ore = row_int(&rows, 0, 3);
    duty->actor_has = cell(&rows, 0, 4);
    return OK;
}

static status_t read_duty(struct message *message, const struct rows *rows, struct duty *ret)
{
    void *letter = NULL, *report = NULL;
    status_t status = OK;

    *ret = (struct duty){.known = false};
    if (rows->count != 1)
        return OK;
    read_fields(rows, ret);
    status = read_message(message, rows, 4, &allocation__v1__grant_letter__descriptor, &letter);
    if (status == OK)
        status = read_message(message, rows, 11, &reporting__v1__report__descriptor, &report);
    ret->letter = letter;
    ret->report = report;
    if (status == OK)
        status = load_told(message, ret);
    return status;
}

status_t store_load_duty(struct message *message, const char *application_id, struct duty *ret)
{
    struct rows rows;
    status_t status = RUN(message, load_duty, &rows, TEXT(application_id));

    if (status == OK)
        status = read_duty(message, &rows, ret);
    return status;
}

status_t store_read_duty(struct message *message, const char *application_id, struct duty *ret)
{
    struct rows rows;
    status_t status = RUN(message, read_duty, &rows, TEXT(application_id));

    if (status == OK)
        status = read_duty(message, &rows, ret);
    return status;
}

status_t store_load_letter(struct message *message, const char *application_id, uint32_t letter_version,
                           GrantLetter **ret)
{
    struct rows rows;
    void *letter = NULL;
    status_t status = RUN(message, load_letter, &rows, TEXT(application_id), INT(letter_version));

    if (status == OK && rows.count == 1)
        status = read_message(message, &rows, 0, &allocation__v1__grant_letter__descriptor, &letter);
    *ret = letter;
    return status;
}

// ----------------------------------------------------------------------------------------------- heard facts

status_t store_hear_call_published(struct message *message, const void *body)
{
    const CallPublished *event = body;
    int32_t threshold = event->definition != NULL ? event->definition->auditor_threshold_kroner : 0;

    return RUN(message, hear_call, NULL, TEXT(event->call_id), INT(threshold));
}

status_t store_hear_letter_issued(struct message *message, const void *body)
{
    const GrantLetterIssued *event = body;
    size_t size;

    if (event->letter == NULL)
        return fail(message, POISON, "the letter of application %s is empty", event->application_id);
    const uint8_t *letter = message_encode(message->arena, event->letter, &size);
    return RUN(message, hear_letter, NULL, TEXT(event->application_id), INT(event->letter->letter_version),
               BYTES(letter, size));
}

status_t store_hear_recommendation(struct message *message, const void *body)
{
    const RecommendationMade *event = body;

    return RUN(message, hear_deed, NULL, TEXT(event->application_id), TEXT(event->recommended_by),
               TEXT("recommended the award"));
}

status_t store_hear_attested(struct message *message, const void *body)
{
    const PaymentAttested *event = body;

    return RUN(message, hear_deed, NULL, TEXT(event->application_id), TEXT(event->attested_by),
               TEXT("attested the payment"));
}

status_t store_hear_account_changed(struct message *message, const void *body)
{
    const AccountChanged *event = body;

    return RUN(message, hear_deed, NULL, TEXT(event->application_id), TEXT(event->changed_by),
               TEXT("changed the account"));
}

status_t store_hear_confirmed(struct message *message, const void *body)
{
    const PaymentConfirmed *event = body;

    return RUN(message, hear_paid, NULL, TEXT(event->payment_key), INT(event->amount_ore));
}

status_t store_hear_returned(struct message *message, const void *body)
{
    const PaymentReturned *event = body;

    return RUN(message, hear_paid, NULL, TEXT(event->payment_key), INT(0));
}

status_t store_hear_claim_issued(struct message *message, const void *body)
{
    const ClaimIssued *event = body;

    return RUN(message, hear_claim, NULL, TEXT(event->claim_id), INT(event->amount_ore));
}

status_t store_hear_repayment_received(struct message *message, const void *body)
{
    const RepaymentReceived *event = body;

    return RUN(message, hear_outstanding, NULL, TEXT(event->claim_id), INT(event->outstanding_ore));
}

// ------------------------------------------------------------------------------------------------ own events

// A write that must have met its row: another outcome means that someone was faster.
static status_t met(struct message *message, status_t status, const struct rows *rows, const char *id)
{
    if (status == OK && rows->affected != 1)
        return fail(message, RETRY, "the duty of application %s changed under us", id);
    return status;
}

static status_t put_state(struct message *message, const char *application_id, enum duty_state state)
{
    struct rows rows;
    status_t status = RUN(message, put_state, &rows, TEXT(application_id), INT(state));

    return met(message, status, &rows, application_id);
}

status_t store_duty_registered(struct message *message, const void *body)
{
    const DutyRegistered *event = body;
    size_t size;
    const uint8_t *letter = message_encode(message->arena, event->letter, &size);
    struct rows rows;
    status_t status = RUN(message, put_registered, &rows, TEXT(event->application_id), TEXT(event->call_id),
                          TEXT(event->organisation_number), INT(event->year), BYTES(letter, size),
                          INT(event->opens_at_us), INT(event->due_at_us));

    return met(message, status, &rows, event->application_id);
}

status_t store_duty_cancelled(struct message *message, const void *body)
{
    const DutyCancelled *event = body;

    return put_state(message, event->application_id, CANCELLED);
}

status_t store_reporting_opened(struct message *message, const void *body)
{
    const ReportingOpened *event = body;

    return put_state(message, event->application_id, OPEN);
}

status_t store_report_overdue(struct message *message, const void *body)
{
    const ReportOverdue *event = body;
    struct rows rows;
    status_t status = RUN(message, put_overdue, &rows, TEXT(event->application_id));

    return met(message, status, &rows, event->application_id);
}

status_t store_deadline_extended(struct message *message, const void *body)
{
    const ReportDeadlineExtended *event = body;
    struct rows rows;
    status_t status = RUN(message, put_due, &rows, TEXT(event->application_id), INT(event->due_at_us));

    return met(message, status, &rows, event->application_id);
}

status_t store_report_prepared(struct message *message, const void *body)
{
    const ReportPrepared *event = body;
    size_t size;
    const uint8_t *report = message_encode(message->arena, event->report, &size);
    struct rows rows;
    status_t status = RUN(message, put_prepared, &rows, TEXT(event->application_id),
                          INT(event->report_version), TEXT(event->report_sha256), BYTES(report, size),
                          INT(event->cost_ore), INT(event->unspent_ore), BOOL(event->own_contribution_short));

    return met(message, status, &rows, event->application_id);
}

status_t store_report_delivered(struct message *message, const void *body)
{
    const ReportDelivered *event = body;
    struct rows rows;
    status_t status = RUN(message, put_delivered, &rows, TEXT(event->application_id),
                          INT(event->signed_at_us));

    return met(message, status, &rows, event->application_id);
}

status_t store_report_returned(struct message *message, const void *body)
{
    const ReportReturned *event = body;

    return put_state(message, event->application_id, RETURNED);
}

status_t store_report_approved(struct message *message, const void *body)
{
    const ReportApproved *event = body;
    struct rows rows;
    status_t status = RUN(message, put_approved, &rows, TEXT(event->application_id), INT(event->cost_ore),
                          INT(event->unspent_ore), BOOL(event->own_contribution_short),
                          TEXT(event->approved_by));

    return met(message, status, &rows, event->application_id);
}

status_t store_repayment_decided(struct message *message, const void *body)
{
    const RepaymentDecided *event = body;
    struct rows rows;
    status_t status = RUN(message, put_repayment, &rows, TEXT(event->application_id), INT(event->amount_ore),
                          TEXT(event->decided_by));

    return met(message, status, &rows, event->application_id);
}

status_t store_grant_closed(struct message *message, const void *body)
{
    const GrantClosed *event = body;

    return put_state(message, event->application_id, CLOSED);
}
