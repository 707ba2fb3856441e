// view: the read model of every case and call. It hears every event of the log in order, keeps one line for
// people about each (the timeline), and moves a case's state and figures. Nothing else writes its tables, and
// nothing decides on them.
#include "reporting.h"
#include "reporting_store.sql.h"
#include "limits/limits.h"
#include "values/values.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// ------------------------------------------------------------------------------------------ lines for people

// A field by name, down through nested messages: "submission.applied_ore". NULL where a message on the way is
// absent.
static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessage **body, char *path)
{
    char *rest = NULL;
    const ProtobufCFieldDescriptor *field = NULL;

    for (char *name = strtok_r(path, ".", &rest); name != NULL; name = strtok_r(NULL, ".", &rest)) {
        if (field != NULL)
            *body = *(const ProtobufCMessage *const *)((const char *)*body + field->offset);
        if (*body == NULL)
            return NULL;
        field = protobuf_c_message_descriptor_get_field_by_name((*body)->descriptor, name);
        assert(field != NULL);  // the table below names a field that the contract does not have
    }
    return field;
}

static bool ends_with(const char *name, const char *end)
{
    size_t name_size = strlen(name), end_size = strlen(end);

    return name_size >= end_size && strcmp(name + name_size - end_size, end) == 0;
}

// What a 64-bit number is stands in its name: see the conventions in types_v1.proto.
static const char *show_number(arena_t *arena, const char *name, int64_t number)
{
    if (ends_with(name, "_ore") && money_valid(number))
        return money_text(arena, number);
    if (ends_with(name, "_at_us"))
        return oslo_text(arena, number);
    if (strcmp(name, "total") == 0)
        return arena_printf(arena, "%" PRId64 ".%02d", number / 100, abs((int)(number % 100)));
    return arena_printf(arena, "%" PRId64, number);
}

static const char *show_enum(const ProtobufCFieldDescriptor *field, int value)
{
    const ProtobufCEnumValue *known = protobuf_c_enum_descriptor_get_value(field->descriptor, value);

    return known != NULL ? known->name : "?";
}

static const char *show_field(arena_t *arena, const ProtobufCFieldDescriptor *field, const void *value)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        return *(const char *const *)value != NULL ? *(const char *const *)value : "";
    case PROTOBUF_C_TYPE_INT64:
        return show_number(arena, field->name, *(const int64_t *)value);
    case PROTOBUF_C_TYPE_INT32:
        return arena_printf(arena, "%" PRId32, *(const int32_t *)value);
    case PROTOBUF_C_TYPE_UINT32:
        return arena_printf(arena, "%" PRIu32, *(const uint32_t *)value);
    case PROTOBUF_C_TYPE_ENUM:
        return show_enum(field, *(const int *)value);
    case PROTOBUF_C_TYPE_BOOL:
        return *(const protobuf_c_boolean *)value ? "yes" : "no";
    default:
        assert(!"a field of this type has no place in a line for people");
        return "";
    }
}

static const char *show_path(arena_t *arena, const ProtobufCMessage *body, char *path)
{
    const ProtobufCFieldDescriptor *field = find_field(&body, path);

    return field != NULL ? show_field(arena, field, (const char *)body + field->offset) : "";
}

// One line: prose is cut and its line feeds become spaces.
static char *one_line(arena_t *arena, const char *text)
{
    char *line = arena_text(arena, text);
    size_t size = strlen(line);

    for (char *c = line; *c != '\0'; c++)
        if (*c == '\n' || *c == '\t')
            *c = ' ';
    if (size > LIMIT_LINE_BYTES) {
        size = LIMIT_LINE_BYTES;
        while (size > 0 && (line[size] & 0xC0) == 0x80)
            size--;
        line[size] = '\0';
    }
    return line;
}

// Put an event's fields into a sentence: "awarded {amount_ore}: {reason}".
static char *say(arena_t *arena, const char *sentence, const ProtobufCMessage *body)
{
    char *said = arena_text(arena, "");

    while (*sentence != '\0') {
        size_t plain = strcspn(sentence, "{");
        size_t named = strcspn(sentence + plain, "}");
        said = arena_printf(arena, "%s%.*s", said, (int)plain, sentence);
        sentence += plain;
        if (*sentence == '{') {
            char *path = arena_printf(arena, "%.*s", (int)named - 1, sentence + 1);
            said = arena_printf(arena, "%s%s", said, show_path(arena, body, path));
            sentence += named + 1;
        }
    }
    return one_line(arena, said);
}

// --------------------------------------------------------------------------------- what events do to figures

static status_t see_call_published(struct message *message, const void *body)
{
    const CallPublished *event = body;
    const Types__V1__CallDefinition *definition = event->definition;

    if (definition == NULL)
        return fail(message, POISON, "call %s has no definition", event->call_id);
    return RUN(message, view_open_call, NULL, TEXT(event->call_id), INT(definition->year),
               INT(definition->frame_ore), INT(definition->deadline_at_us));
}

static status_t see_deadline(struct message *message, const void *body)
{
    const Intake__V1__DeadlineExtended *event = body;

    return RUN(message, view_set_deadline, NULL, TEXT(event->call_id), INT(event->deadline_at_us));
}

static status_t see_drafted(struct message *message, const void *body)
{
    const Intake__V1__ApplicationDrafted *event = body;

    return RUN(message, view_open_case, NULL, TEXT(event->application_id), TEXT(event->call_id),
               TEXT(event->organisation_number), TEXT(event->name));
}

static status_t see_requested(struct message *message, const void *body)
{
    const Intake__V1__ApprovalRequested *event = body;

    return RUN(message, view_set_applied, NULL, TEXT(event->application_id), INT(event->applied_ore));
}

static status_t see_formal_check(struct message *message, const void *body)
{
    const Evaluation__V1__FormalCheckAnswered *event = body;

    if (!event->passed)
        return OK;
    return RUN(message, view_set_state, NULL, TEXT(event->application_id), TEXT("ELIGIBLE"));
}

static status_t see_evaluated(struct message *message, const void *body)
{
    const Evaluation__V1__EvaluationCompleted *event = body;

    return RUN(message, view_set_total, NULL, TEXT(event->application_id), INT(event->total));
}

static status_t see_recommended(struct message *message, const void *body)
{
    const RecommendationMade *event = body;

    return RUN(message, view_set_recommended, NULL, TEXT(event->application_id), INT(event->amount_ore));
}

static status_t see_frame(struct message *message, const void *body)
{
    const Allocation__V1__FrameOpened *event = body;

    return RUN(message, view_set_frame, NULL, TEXT(event->call_id), INT(event->frame_ore));
}

static status_t see_reserved(struct message *message, const void *body)
{
    const Allocation__V1__FrameReserved *event = body;

    return RUN(message, view_add_reserved, NULL, TEXT(event->call_id), INT(event->amount_ore));
}

static status_t see_awarded(struct message *message, const void *body)
{
    const Allocation__V1__AwardDecided *event = body;

    return RUN(message, view_set_awarded, NULL, TEXT(event->application_id), INT(event->amount_ore),
               INT(event->year));
}

static status_t see_accepted(struct message *message, const void *body)
{
    const GrantAccepted *event = body;

    return RUN(message, view_set_accepted, NULL, TEXT(event->application_id), INT(event->amount_ore),
               INT(event->year));
}

// A new letter makes an earlier acceptance void.
static status_t see_letter(struct message *message, const void *body)
{
    const GrantLetterIssued *event = body;

    if (event->letter == NULL)
        return fail(message, POISON, "the letter of application %s is empty", event->application_id);
    return RUN(message, view_set_accepted, NULL, TEXT(event->application_id), INT(0),
               INT(event->letter->year));
}

static status_t see_released(struct message *message, const void *body)
{
    return RUN(message, view_release, NULL, TEXT(message_field(body, "application_id")));
}

static status_t see_confirmed(struct message *message, const void *body)
{
    const PaymentConfirmed *event = body;

    return RUN(message, view_add_paid, NULL, TEXT(event->application_id), INT(event->amount_ore));
}

static status_t see_returned(struct message *message, const void *body)
{
    const PaymentReturned *event = body;

    return RUN(message, view_add_paid, NULL, TEXT(event->application_id), INT(-event->amount_ore));
}

static status_t see_claimed(struct message *message, const void *body)
{
    const ClaimIssued *event = body;

    return RUN(message, view_add_claimed, NULL, TEXT(event->application_id), INT(event->amount_ore));
}

static status_t see_repaid(struct message *message, const void *body)
{
    const RepaymentReceived *event = body;

    return RUN(message, view_add_repaid, NULL, TEXT(event->application_id), INT(event->amount_ore));
}

static status_t see_report_back(struct message *message, const void *body)
{
    const ReportReturned *event = body;

    return RUN(message, view_unreport, NULL, TEXT(event->application_id));
}

// ------------------------------------------------------------------------------------- what each event means

// internal: the directorate's own preparation, not shown to municipalities.
// state: what the case becomes; NULL: it stays. see: what moves besides; NULL: nothing.
struct view_row {
    const ProtobufCMessageDescriptor *on;
    bool internal;
    const char *state;
    handle_f *see;
    const char *sentence;
};

#define SHOWN            false
#define INTERNAL         true
#define INTAKE(name)     &intake__v1__##name##__descriptor
#define APPROVAL(name)   &approval__v1__##name##__descriptor
#define EVALUATION(name) &evaluation__v1__##name##__descriptor
#define ALLOCATION(name) &allocation__v1__##name##__descriptor
#define PAYMENT(name)    &payment__v1__##name##__descriptor
#define REPORTING(name)  &reporting__v1__##name##__descriptor

static const struct view_row view_rows[] = {
    {INTAKE(organisation_registered), SHOWN, NULL, NULL, "{organisation.name} is registered"},
    {INTAKE(call_published), SHOWN, NULL, see_call_published,
     "call published with a frame of {definition.frame_ore}, deadline {definition.deadline_at_us}"},
    {INTAKE(deadline_extended), SHOWN, NULL, see_deadline, "deadline extended to {deadline_at_us}: {reason}"},
    {INTAKE(call_closed), SHOWN, NULL, NULL, "call closed"},
    {INTAKE(application_drafted), SHOWN, NULL, see_drafted, "{name} began an application"},
    {INTAKE(draft_saved), SHOWN, "DRAFT", NULL, "draft saved, version {content_version}"},
    {INTAKE(participation_confirmed), SHOWN, NULL, NULL,
     "partner {organisation_number} takes part with {own_ore}"},
    {INTAKE(approval_requested), SHOWN, "AWAITING_APPROVAL", see_requested,
     "version {content_version} waits for approval, applies for {applied_ore}"},
    {INTAKE(approval_returned), SHOWN, "DRAFT", NULL, "returned for editing: {note}"},
    {INTAKE(application_submitted), SHOWN, "SUBMITTED", NULL, "delivered in time, signed by {signed_by}"},
    {INTAKE(application_submitted_late), SHOWN, "SUBMITTED_LATE", NULL,
     "delivered after the deadline {submission.deadline_at_us}"},
    {INTAKE(late_became_timely), SHOWN, "SUBMITTED", NULL,
     "in time after all: the deadline became {deadline_at_us}"},
    {INTAKE(sign_off_disregarded), SHOWN, NULL, NULL, "a sign-off had no effect: {reason}"},
    {INTAKE(application_withdrawn), SHOWN, "WITHDRAWN", NULL, "withdrawn: {reason}"},
    {INTAKE(draft_expired), SHOWN, "EXPIRED", NULL, "expired: never delivered"},

    {APPROVAL(signatory_registered), SHOWN, NULL, NULL,
     "{person} may sign for {organisation_number} as {capacity}"},
    {APPROVAL(signatory_revoked), SHOWN, NULL, NULL, "{person} may no longer sign: {reason}"},
    {APPROVAL(sign_off_opened), SHOWN, NULL, NULL, "{kind} version {version} waits for signatures"},
    {APPROVAL(signature_given), SHOWN, NULL, NULL, "{signature.person} signed {kind} version {version}"},
    {APPROVAL(signed_off), SHOWN, NULL, NULL, "{kind} version {version} is signed"},
    {APPROVAL(sign_off_returned), SHOWN, NULL, NULL, "{kind} version {version} returned for editing: {note}"},
    {APPROVAL(sign_off_voided), SHOWN, NULL, NULL, "sign-off of {kind} version {version} fell: {reason}"},

    {EVALUATION(case_opened), SHOWN, NULL, NULL, "case opened"},
    {EVALUATION(case_closed), SHOWN, NULL, NULL, "case closed: {reason}"},
    {EVALUATION(interest_declared), INTERNAL, NULL, NULL, "{person} declared interest; conflict: {conflict}"},
    {EVALUATION(late_admitted), SHOWN, "SUBMITTED", NULL, "admitted though late ({code}): {reason}"},
    {EVALUATION(formal_check_answered), INTERNAL, NULL, see_formal_check,
     "formal check answered; passed: {passed}"},
    {EVALUATION(application_rejected), SHOWN, "REJECTED", NULL, "rejected ({ground}): {reason}"},
    {EVALUATION(reader_assigned), INTERNAL, NULL, NULL, "{person} reads as number {place}"},
    {EVALUATION(score_given), INTERNAL, NULL, NULL, "{person} scored {criterion}: {value}"},
    {EVALUATION(evaluation_completed), INTERNAL, "EVALUATED", see_evaluated,
     "evaluation {evaluation_version} completed with a total of {total}"},
    {EVALUATION(recommendation_made), INTERNAL, "RECOMMENDED", see_recommended,
     "recommended {amount_ore} of {applied_ore}"},
    {EVALUATION(recommendation_returned), INTERNAL, "EVALUATED", NULL, "recommendation returned: {note}"},

    {ALLOCATION(frame_opened), SHOWN, NULL, see_frame, "frame of {frame_ore} opened"},
    {ALLOCATION(frame_reserved), SHOWN, NULL, see_reserved,
     "{amount_ore} reserved for {extra_call_id}, {residual_ore} left"},
    {ALLOCATION(appropriation_recorded), SHOWN, NULL, NULL,
     "appropriation of {amount_ore} for {year} recorded"},
    {ALLOCATION(allocation_proposed), INTERNAL, NULL, NULL, "allocation proposed, {residual_ore} left"},
    {ALLOCATION(award_decided), SHOWN, "AWARDED", see_awarded, "awarded {amount_ore} of {applied_ore}"},
    {ALLOCATION(application_refused), SHOWN, "REFUSED", NULL, "refused ({ground})"},
    {ALLOCATION(placed_on_reserve), SHOWN, "RESERVE", NULL, "number {rank} on the reserve list"},
    {ALLOCATION(grant_letter_issued), SHOWN, "OFFERED", see_letter,
     "letter version {letter.letter_version} offers {letter.amount_ore}, to be accepted before "
     "{letter.accept_by_at_us}"},
    {ALLOCATION(acceptance_prepared), SHOWN, NULL, NULL,
     "acceptance of letter version {letter_version} prepared"},
    {ALLOCATION(grant_accepted), SHOWN, "ACCEPTED", see_accepted,
     "accepted {amount_ore}, signed by {signed_by}"},
    {ALLOCATION(acceptance_disregarded), SHOWN, NULL, NULL, "an acceptance had no effect: {reason}"},
    {ALLOCATION(grant_declined), SHOWN, "DECLINED", see_released, "declined: {reason}"},
    {ALLOCATION(acceptance_extended), SHOWN, NULL, NULL, "may be accepted until {accept_by_at_us}: {reason}"},
    {ALLOCATION(acceptance_missed), SHOWN, NULL, NULL, "not accepted before {accept_by_at_us}"},
    {ALLOCATION(grant_lapsed), SHOWN, "LAPSED", see_released, "lapsed: {reason}"},
    {ALLOCATION(grant_renounced), SHOWN, "RENOUNCED", see_released, "renounced: {reason}"},
    {ALLOCATION(payment_posted), INTERNAL, NULL, NULL, "payment posted in the ledger"},
    {ALLOCATION(claim_posted), INTERNAL, NULL, NULL, "claim posted in the ledger"},
    {ALLOCATION(repayment_posted), INTERNAL, NULL, NULL, "repayment posted in the ledger"},

    {PAYMENT(payment_due), SHOWN, NULL, NULL, "{amount_ore} is due to account {creditor_account}"},
    {PAYMENT(payment_prepared), INTERNAL, NULL, NULL, "payment prepared for {value_date}"},
    {PAYMENT(payment_disposed), INTERNAL, NULL, NULL, "payment disposed"},
    {PAYMENT(payment_attested), INTERNAL, NULL, NULL, "payment attested"},
    {PAYMENT(payment_authorised), INTERNAL, NULL, NULL, "payment authorised"},
    {PAYMENT(payment_sent), SHOWN, NULL, NULL, "payment sent to the bank, attempt {attempt}"},
    {PAYMENT(payment_refused_by_finance), INTERNAL, NULL, NULL, "finance refused the order: {reason}"},
    {PAYMENT(payment_acknowledged), INTERNAL, NULL, NULL, "the bank has accepted the payment"},
    {PAYMENT(payment_confirmed), SHOWN, NULL, see_confirmed, "{amount_ore} is paid"},
    {PAYMENT(payment_failed), SHOWN, NULL, NULL, "the bank rejected the payment: {code} {text}"},
    {PAYMENT(payment_returned), SHOWN, NULL, see_returned, "{amount_ore} came back: {code}"},
    {PAYMENT(status_questioned), INTERNAL, NULL, NULL, "a bank status needs a person: {reason}"},
    {PAYMENT(payment_retried), SHOWN, NULL, NULL, "payment sent again, attempt {attempt}: {reason}"},
    {PAYMENT(account_changed), SHOWN, NULL, NULL, "account changed to {account_number}: {reason}"},
    {PAYMENT(payment_stopped), INTERNAL, NULL, NULL, "payment stopped by {stopped_by}: {reason}"},
    {PAYMENT(stop_released), INTERNAL, NULL, NULL, "payment released: {reason}"},
    {PAYMENT(payment_voided), SHOWN, NULL, NULL, "payment fell: {reason}"},
    {PAYMENT(claim_issued), SHOWN, NULL, see_claimed,
     "{amount_ore} claimed back, due {due_at_us}, KID {kid}"},
    {PAYMENT(repayment_received), SHOWN, NULL, see_repaid,
     "{amount_ore} repaid, {outstanding_ore} outstanding"},

    {REPORTING(duty_registered), SHOWN, NULL, NULL, "report and accounts for {year} are due {due_at_us}"},
    {REPORTING(duty_cancelled), SHOWN, NULL, NULL, "no report is due: {reason}"},
    {REPORTING(reporting_opened), SHOWN, NULL, NULL, "reporting opened"},
    {REPORTING(report_overdue), SHOWN, NULL, NULL, "the report was due {due_at_us} and is not delivered"},
    {REPORTING(report_deadline_extended), SHOWN, NULL, NULL,
     "the report may come until {due_at_us}: {reason}"},
    {REPORTING(report_prepared), SHOWN, NULL, NULL,
     "report version {report_version} waits for signatures: cost {cost_ore}, unspent {unspent_ore}"},
    {REPORTING(report_delivered), SHOWN, "REPORTED", NULL,
     "report version {report_version} delivered; late: {late}"},
    {REPORTING(report_returned), SHOWN, NULL, see_report_back, "report version {report_version} returned"},
    {REPORTING(report_approved), SHOWN, "REPORT_APPROVED", NULL, "report approved: {unspent_ore} unspent"},
    {REPORTING(repayment_decided), SHOWN, NULL, NULL, "{amount_ore} is to be repaid: {reason}"},
    {REPORTING(grant_closed), SHOWN, "CLOSED", NULL, "closed"},
};

// An event that no row knows still stands in the log, so it stands in the timeline, under its type's name.
static const struct view_row *find_row(const char *type)
{
    for (size_t i = 0; i < sizeof view_rows / sizeof view_rows[0]; i++)
        if (strcmp(view_rows[i].on->name, type) == 0)
            return &view_rows[i];
    return NULL;
}

static status_t add_moment(struct message *message, const char *subject, bool internal, const char *summary)
{
    const actor_t *actor = message->actor;

    return RUN(message, view_add_moment, NULL, INT((int64_t)message->position), TEXT(subject),
               INT(message->at_us), TEXT(message->type), TEXT(actor->subject), INT(actor->role),
               TEXT(actor->organisation), BOOL(internal), TEXT(summary));
}

static status_t see_event(struct message *message, const struct view_row *row, const ProtobufCMessage *event)
{
    const char *application_id = message_field(event, "application_id");
    const char *subject = *application_id != '\0' ? application_id : message->subject;
    status_t status = add_moment(message, subject, row->internal, say(message->arena, row->sentence, event));

    if (status == OK && row->state != NULL)
        status = RUN(message, view_set_state, NULL, TEXT(application_id), TEXT(row->state));
    if (status == OK && row->see != NULL)
        status = row->see(message, event);
    return status;
}

status_t view_witness(struct message *message, const void *body)
{
    const struct view_row *row = find_row(message->type);

    (void)body;
    if (row == NULL)
        return add_moment(message, message->subject, true, message->type);
    ProtobufCMessage *event;
    status_t status = message_decode(message, row->on, message->data, message->data_size, &event);
    if (status == OK)
        status = see_event(message, row, event);
    return status;
}

// --------------------------------------------------------------------------------------------------- showing

static char *cell(const struct rows *rows, int row, int column)
{
    return (char *)row_text(rows, row, column);
}

static void show_case(const struct rows *rows, int row, Reporting__V1__Case *ret)
{
    *ret = (Reporting__V1__Case)REPORTING__V1__CASE__INIT;
    ret->application_id = cell(rows, row, 0);
    ret->call_id = cell(rows, row, 1);
    ret->organisation_number = cell(rows, row, 2);
    ret->applicant = cell(rows, row, 3);
    ret->state = cell(rows, row, 4);
    ret->applied_ore = row_int(rows, row, 5);
    ret->total = row_int(rows, row, 6);
    ret->recommended_ore = row_int(rows, row, 7);
    ret->awarded_ore = row_int(rows, row, 8);
    ret->accepted_ore = row_int(rows, row, 9);
    ret->paid_ore = row_int(rows, row, 10);
    ret->claimed_ore = row_int(rows, row, 11);
    ret->repaid_ore = row_int(rows, row, 12);
}

// An applicant sees decisions, not how they are prepared.
static void hide_preparation(Reporting__V1__Case *shown)
{
    static const char *const prepared[] = {"ELIGIBLE", "EVALUATED", "RECOMMENDED"};

    shown->total = 0;
    shown->recommended_ore = 0;
    for (size_t i = 0; i < sizeof prepared / sizeof prepared[0]; i++)
        if (strcmp(shown->state, prepared[i]) == 0)
            shown->state = (char *)"SUBMITTED";
}

static void show_moment(struct message *message, const struct rows *rows, int row, Reporting__V1__Moment *ret)
{
    Bus__V1__Actor *actor = arena_alloc(message->arena, sizeof *actor);

    *actor = (Bus__V1__Actor)BUS__V1__ACTOR__INIT;
    actor->subject = cell(rows, row, 3);
    actor->role = (Bus__V1__Actor__Role)row_int(rows, row, 4);
    actor->organisation = cell(rows, row, 5);
    *ret = (Reporting__V1__Moment)REPORTING__V1__MOMENT__INIT;
    ret->position = (uint64_t)row_int(rows, row, 0);
    ret->at_us = row_int(rows, row, 1);
    ret->type = cell(rows, row, 2);
    ret->actor = actor;
    ret->summary = cell(rows, row, 6);
}

static status_t show_timeline(struct message *message, bool internal_too, Reporting__V1__Case *ret)
{
    struct rows rows;
    status_t status = RUN(message, view_load_moments, &rows, TEXT(ret->application_id), BOOL(internal_too));

    if (status != OK)
        return status;
    Reporting__V1__Moment *each = arena_alloc(message->arena, (size_t)rows.count * sizeof *each);
    ret->timeline = arena_alloc(message->arena, (size_t)rows.count * sizeof *ret->timeline);
    ret->n_timeline = (size_t)rows.count;
    for (int i = 0; i < rows.count; i++) {
        show_moment(message, &rows, i, &each[i]);
        ret->timeline[i] = &each[i];
    }
    return OK;
}

status_t view_read_case(struct message *message, const void *body)
{
    const GetCase *query = body;
    Reporting__V1__Case shown;
    struct rows rows;
    bool municipal = message->actor->role <= BUS__V1__ACTOR__ROLE__SUPERIOR_LEADER;
    status_t status = RUN(message, view_load_case, &rows, TEXT(query->application_id));

    if (status == OK && rows.count == 0)
        return fail(message, REFUSED, "application_id %s is not known", query->application_id);
    if (status == OK)
        status = rule_read(message, query->application_id, row_text(&rows, 0, 2));
    if (status != OK)
        return status;
    show_case(&rows, 0, &shown);
    if (municipal)
        hide_preparation(&shown);
    status = show_timeline(message, !municipal, &shown);
    if (status == OK)
        answer(message, &shown);
    return status;
}

static void show_cases(struct message *message, const struct rows *rows, Reporting__V1__Call *ret)
{
    Reporting__V1__Case *each = arena_alloc(message->arena, (size_t)rows->count * sizeof *each);

    ret->cases = arena_alloc(message->arena, (size_t)rows->count * sizeof *ret->cases);
    ret->n_cases = (size_t)rows->count;
    for (int i = 0; i < rows->count; i++) {
        show_case(rows, i, &each[i]);
        ret->cases[i] = &each[i];
    }
}

static void show_call(const struct rows *rows, Reporting__V1__Call *ret)
{
    *ret = (Reporting__V1__Call)REPORTING__V1__CALL__INIT;
    ret->call_id = cell(rows, 0, 0);
    ret->frame_ore = row_int(rows, 0, 1);
    ret->reserved_ore = row_int(rows, 0, 2);
    ret->deadline_at_us = row_int(rows, 0, 3);
    ret->position = (uint64_t)row_int(rows, 0, 4);
    ret->awarded_ore = row_int(rows, 0, 5);
    ret->accepted_ore = row_int(rows, 0, 6);
    ret->lapsed_ore = row_int(rows, 0, 7);
    ret->paid_ore = row_int(rows, 0, 8);
    ret->claimed_ore = row_int(rows, 0, 9);
    ret->repaid_ore = row_int(rows, 0, 10);
    // What is awarded stays bound until it lapses; what is repaid is the state's and does not come back.
    ret->residual_ore = ret->frame_ore - ret->reserved_ore - ret->awarded_ore;
}

status_t view_read_call(struct message *message, const void *body)
{
    const GetCall *query = body;
    Reporting__V1__Call shown;
    struct rows call, cases;
    status_t status = RUN(message, view_load_call, &call, TEXT(query->call_id));

    if (status == OK && call.count == 0)
        return fail(message, REFUSED, "call_id %s is not known", query->call_id);
    if (status == OK)
        status = RUN(message, view_list_cases, &cases, TEXT(query->call_id));
    if (status != OK)
        return status;
    show_call(&call, &shown);
    show_cases(message, &cases, &shown);
    answer(message, &shown);
    return OK;
}
