// rules: when a report may be made, what must stand in it, what is unspent and when a grant can close.
// Nothing here touches the database or a clock.
#include "reporting.h"
#include "limits/limits.h"
#include "values/values.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

// A report travels whole in one event, which has room for a little more.
#define REPORT_BYTES (LIMIT_EVENT_BYTES - 16 * 1024)

// ---------------------------------------------------------------------------------------------- what all ask

static const char *state_name(enum duty_state state)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(
        &reporting__v1__report_state__state__descriptor, (int)state);
    assert(value != NULL);
    return value->name;
}

static const char *code_name(Types__V1__LineCode code)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(&types__v1__line_code__descriptor,
                                                                           (int)code);
    assert(value != NULL);
    return value->name;
}

static status_t is_known(struct message *message, const struct duty *duty, const char *application_id)
{
    if (!duty->known)
        return fail(message, REFUSED,
                    "application_id %s has nothing to report; a duty begins with an accepted letter",
                    application_id);
    return OK;
}

static status_t is_in(struct message *message, const struct duty *duty, const char *application_id,
                      enum duty_state state)
{
    status_t status = is_known(message, duty, application_id);

    if (status == OK && duty->state != state)
        return fail(message, REFUSED, "the report of application %s is %s; it must be %s", application_id,
                    state_name(duty->state), state_name(state));
    return status;
}

// A text that must be there and may be long.
static status_t has_text(struct message *message, const char *field, const char *text, size_t most)
{
    if (*text == '\0')
        return fail(message, REFUSED, "%s is missing", field);
    if (strlen(text) > most)
        return fail(message, REFUSED, "%s is %zu bytes long; at most %zu are right", field, strlen(text),
                    most);
    return OK;
}

static status_t fits(struct message *message, const char *field, const char *text, size_t most)
{
    return *text == '\0' ? OK : has_text(message, field, text, most);
}

static bool is_municipal(const struct message *message)
{
    return message->actor->role >= BUS__V1__ACTOR__ROLE__EDITOR &&
           message->actor->role <= BUS__V1__ACTOR__ROLE__SUPERIOR_LEADER;
}

status_t rule_read(struct message *message, const char *application_id, const char *organisation_number)
{
    if (is_municipal(message) && strcmp(message->actor->organisation, organisation_number) != 0)
        return fail(message, REFUSED, "application %s belongs to another organisation than %s",
                    application_id, message->actor->organisation);
    return OK;
}

// ---------------------------------------------------------------------------------------------------- duties

status_t rule_register(struct message *message, const struct duty *duty, const GrantAccepted *event,
                       GrantLetter *letter)
{
    bool over = duty->known &&
                (duty->state == CANCELLED || (duty->state == CLOSED && duty->year != event->year));

    if (duty->known && !over)
        return OK;
    if (letter == NULL)
        return fail(message, POISON, "letter version %u of application %s was accepted but never heard of",
                    event->letter_version, event->application_id);

    DutyRegistered registered = REPORTING__V1__DUTY_REGISTERED__INIT;
    registered.application_id = event->application_id;
    registered.call_id = event->call_id;
    registered.organisation_number = event->organisation_number;
    registered.year = event->year;
    registered.letter = letter;
    registered.opens_at_us = letter->report_opens_at_us;
    registered.due_at_us = letter->report_due_at_us;
    emit(message, &registered);
    return OK;
}

static void cancel(struct message *message, const struct duty *duty, const char *reason)
{
    DutyCancelled event = REPORTING__V1__DUTY_CANCELLED__INIT;

    if (!duty->known || duty->state == APPROVED || duty->state == CLOSED || duty->state == CANCELLED)
        return;
    event.application_id = duty->application_id;
    event.reason = (char *)reason;
    emit(message, &event);
}

status_t rule_letter_replaced(struct message *message, const struct duty *duty,
                              const GrantLetterIssued *event)
{
    if (duty->known && duty->year == event->letter->year &&
        event->letter->letter_version > duty->letter->letter_version)
        cancel(message, duty,
               arena_printf(message->arena, "letter version %u replaces version %u",
                            event->letter->letter_version, duty->letter->letter_version));
    return OK;
}

status_t rule_renounced(struct message *message, const struct duty *duty, const GrantRenounced *event)
{
    cancel(message, duty, arena_printf(message->arena, "the grant is renounced: %s", event->reason));
    return OK;
}

status_t rule_open(struct message *message, const struct duty *duty, const OpenReporting *command)
{
    ReportingOpened event = REPORTING__V1__REPORTING_OPENED__INIT;

    (void)command;
    if (!duty->known || duty->state != NOT_OPEN || message->at_us < duty->opens_at_us)
        return OK;  // something happened between the clock's look and its command
    event.application_id = duty->application_id;
    emit(message, &event);
    return OK;
}

static bool awaits_first_delivery(const struct duty *duty)
{
    return (duty->state == OPEN || duty->state == PREPARED) && duty->first_delivered_at_us == 0;
}

status_t rule_overdue(struct message *message, const struct duty *duty, const MarkOverdue *command)
{
    ReportOverdue event = REPORTING__V1__REPORT_OVERDUE__INIT;

    (void)command;
    if (!duty->known || !awaits_first_delivery(duty) || duty->overdue || message->at_us < duty->due_at_us)
        return OK;
    event.application_id = duty->application_id;
    event.due_at_us = duty->due_at_us;
    emit(message, &event);
    return OK;
}

static status_t may_extend(struct message *message, const struct duty *duty, const ExtendReport *command)
{
    status_t status = is_known(message, duty, command->application_id);

    if (status == OK && duty->state != NOT_OPEN && !awaits_first_delivery(duty))
        return fail(message, REFUSED, "the report of application %s is %s; there is nothing to extend",
                    command->application_id, state_name(duty->state));
    if (status == OK && message->at_us >= duty->due_at_us)
        return fail(message, REFUSED,
                    "the report of application %s was due %s; an extension must be asked for before that",
                    command->application_id, oslo_text(message->arena, duty->due_at_us));
    if (status == OK && command->due_at_us <= duty->due_at_us)
        return fail(message, REFUSED, "due_at_us of application %s is not later than %s",
                    command->application_id, oslo_text(message->arena, duty->due_at_us));
    return status;
}

status_t rule_extend(struct message *message, const struct duty *duty, const ExtendReport *command)
{
    status_t status = may_extend(message, duty, command);

    if (status == OK)
        status = has_text(message, "reason", command->reason, LIMIT_TEXT_BYTES);
    if (status != OK)
        return status;

    ReportDeadlineExtended event = REPORTING__V1__REPORT_DEADLINE_EXTENDED__INIT;
    event.application_id = duty->application_id;
    event.due_at_us = command->due_at_us;
    event.reason = command->reason;
    emit(message, &event);
    return OK;
}

// ------------------------------------------------------------------------------------ what a report must say

static status_t check_texts(struct message *message, const struct duty *duty, const Report *report)
{
    status_t status = has_text(message, "activities", report->activities, LIMIT_TEXT_BYTES);

    (void)duty;
    if (status == OK)
        status = has_text(message, "use_of_grant", report->use_of_grant, LIMIT_TEXT_BYTES);
    if (status == OK)
        status = fits(message, "lessons", report->lessons, LIMIT_TEXT_BYTES);
    for (size_t i = 0; i < report->n_products && status == OK; i++) {
        status = has_text(message, "products.title", report->products[i]->title, LIMIT_LINE_BYTES);
        if (status == OK)
            status = fits(message, "products.where", report->products[i]->where, LIMIT_LINE_BYTES);
        if (status == OK)
            status = fits(message, "products.audience", report->products[i]->audience, LIMIT_LINE_BYTES);
    }
    return status;
}

static bool letter_has_goal(const GrantLetter *letter, const char *goal)
{
    for (size_t i = 0; i < letter->n_goals; i++)
        if (strcmp(letter->goals[i]->id, goal) == 0)
            return true;
    return false;
}

static int answers_to(const Report *report, const char *goal)
{
    int count = 0;

    for (size_t i = 0; i < report->n_goals; i++)
        count += strcmp(report->goals[i]->goal, goal) == 0;
    return count;
}

static status_t check_goal(struct message *message, const GoalAnswer *goal)
{
    const char *evidence = arena_printf(message->arena, "evidence of goal %.16s", goal->goal);
    const char *deviation = arena_printf(message->arena, "deviation of goal %.16s", goal->goal);
    status_t status = OK;

    if (goal->degree == REPORTING__V1__GOAL_ANSWER__DEGREE__DEGREE_UNSPECIFIED)
        return fail(message, REFUSED,
                    "degree of goal %s is missing; NOT_REACHED, PARTLY or REACHED are right", goal->goal);
    status = has_text(message, evidence, goal->evidence, LIMIT_TEXT_BYTES);
    if (status == OK && goal->degree != REPORTING__V1__GOAL_ANSWER__DEGREE__REACHED)
        return has_text(message, deviation, goal->deviation, LIMIT_TEXT_BYTES);
    if (status == OK)
        status = fits(message, deviation, goal->deviation, LIMIT_TEXT_BYTES);
    return status;
}

static status_t check_goals(struct message *message, const struct duty *duty, const Report *report)
{
    status_t status = OK;

    for (size_t i = 0; i < duty->letter->n_goals; i++) {
        const char *id = duty->letter->goals[i]->id;
        int count = answers_to(report, id);
        if (count != 1)
            return fail(message, REFUSED, "goal %s of the letter is answered %d times; it must be once", id,
                        count);
    }
    for (size_t i = 0; i < report->n_goals && status == OK; i++) {
        if (!letter_has_goal(duty->letter, report->goals[i]->goal))
            return fail(message, REFUSED, "goal %.40s is not in the letter", report->goals[i]->goal);
        status = check_goal(message, report->goals[i]);
    }
    return status;
}

static int lines_of(const Report *report, Types__V1__LineCode code)
{
    int count = 0;

    for (size_t i = 0; i < report->n_lines; i++)
        count += report->lines[i]->code == code;
    return count;
}

// What the letter's budget says for a line; 0 for a line it does not have.
static int64_t budget_of(const GrantLetter *letter, Types__V1__LineCode code)
{
    for (size_t i = 0; i < letter->n_lines; i++)
        if (letter->lines[i]->code == code)
            return letter->lines[i]->amount_ore;
    return 0;
}

static status_t check_line(struct message *message, const GrantLetter *letter, const AccountLine *line)
{
    const char *name = code_name(line->code);
    int64_t budget_ore = budget_of(letter, line->code);

    if (line->code == TYPES__V1__LINE_CODE__LINE_CODE_UNSPECIFIED)
        return fail(message, REFUSED, "code of a line is missing");
    if (!money_valid(line->booked_ore))
        return fail(message, REFUSED,
                    "booked_ore of line %s is %" PRId64 "; it must be an amount from zero up", name,
                    line->booked_ore);
    int64_t deviation_ore = line->booked_ore > budget_ore ? line->booked_ore - budget_ore
                                                          : budget_ore - line->booked_ore;
    if (deviation_ore > letter->deviation_explained_ore && *line->explanation == '\0')
        return fail(message, REFUSED,
                    "explanation of line %s is missing: it deviates by %s from the budget, more than %s",
                    name, money_text(message->arena, deviation_ore),
                    money_text(message->arena, letter->deviation_explained_ore));
    return fits(message, arena_printf(message->arena, "explanation of line %s", name), line->explanation,
                LIMIT_TEXT_BYTES);
}

static status_t check_lines(struct message *message, const struct duty *duty, const Report *report)
{
    status_t status = OK;

    for (size_t i = 0; i < duty->letter->n_lines; i++)
        if (lines_of(report, duty->letter->lines[i]->code) == 0)
            return fail(message, REFUSED, "line %s of the letter's budget is missing in the accounts",
                        code_name(duty->letter->lines[i]->code));
    for (size_t i = 0; i < report->n_lines && status == OK; i++) {
        if (lines_of(report, report->lines[i]->code) > 1)
            return fail(message, REFUSED, "line %s stands in the accounts more than once; it must be once",
                        code_name(report->lines[i]->code));
        status = check_line(message, duty->letter, report->lines[i]);
    }
    return status;
}

static status_t check_income(struct message *message, const struct duty *duty, const Report *report)
{
    (void)duty;
    if (!money_valid(report->own_delivered_ore))
        return fail(message, REFUSED, "own_delivered_ore is %" PRId64 "; it must be an amount from zero up",
                    report->own_delivered_ore);
    if (!money_valid(report->other_received_ore))
        return fail(message, REFUSED, "other_received_ore is %" PRId64 "; it must be an amount from zero up",
                    report->other_received_ore);
    return OK;
}

static status_t check_date(struct message *message, const char *date, int32_t grant_year)
{
    int year, month, day;

    if (!date_parse(date, &year, &month, &day))
        return fail(message, REFUSED, "voucher date \"%.20s\" is not a date; write YYYY-MM-DD", date);
    if (year != grant_year)
        return fail(message, REFUSED, "voucher date %s is outside %d", date, grant_year);
    return OK;
}

static status_t check_period(struct message *message, const struct duty *duty, const Report *report)
{
    status_t status = OK;

    if (report->year != duty->year)
        return fail(message, REFUSED, "year is %d; the grant of application %s is for %d", report->year,
                    duty->application_id, duty->year);
    if (report->n_voucher_dates != 2)
        return fail(message, REFUSED,
                    "voucher_dates has %zu dates; the first and the last date booked are right",
                    report->n_voucher_dates);
    for (size_t i = 0; i < 2 && status == OK; i++)
        status = check_date(message, report->voucher_dates[i], duty->year);
    // Both are YYYY-MM-DD, so text order is date order.
    if (status == OK && strcmp(report->voucher_dates[0], report->voucher_dates[1]) > 0)
        return fail(message, REFUSED, "voucher_dates: %s is after %s; the first date booked comes first",
                    report->voucher_dates[0], report->voucher_dates[1]);
    return status;
}

static status_t check_hashes(struct message *message, const struct duty *duty, const Report *report)
{
    int64_t threshold_ore = (int64_t)duty->auditor_threshold_kroner * 100;

    if (*report->ledger_export_sha256 != '\0' && !sha256_text_valid(report->ledger_export_sha256))
        return fail(message, REFUSED,
                    "ledger_export_sha256 is no SHA-256; 64 lower-case hex digits are right");
    if (*report->auditor_statement_sha256 != '\0' && !sha256_text_valid(report->auditor_statement_sha256))
        return fail(message, REFUSED,
                    "auditor_statement_sha256 is no SHA-256; 64 lower-case hex digits are right");
    if (threshold_ore > 0 && duty->letter->amount_ore >= threshold_ore &&
        *report->auditor_statement_sha256 == '\0')
        return fail(message, REFUSED,
                    "auditor_statement_sha256 is missing; a grant of %s or more needs an auditor's statement",
                    money_text(message->arena, threshold_ore));
    return OK;
}

typedef status_t check_f(struct message *message, const struct duty *duty, const Report *report);
static check_f *const checks[] = {check_texts,  check_goals,  check_lines,
                                  check_income, check_period, check_hashes};

static status_t check_report(struct message *message, const struct duty *duty, const Report *report)
{
    status_t status = OK;

    if (report == NULL)
        return fail(message, REFUSED, "report of application %s is missing", duty->application_id);
    for (size_t i = 0; i < sizeof checks / sizeof checks[0] && status == OK; i++)
        status = checks[i](message, duty, report);
    if (status == OK && protobuf_c_message_get_packed_size(&report->base) > REPORT_BYTES)
        return fail(message, REFUSED,
                    "report of application %s is longer than %d bytes in all; shorten its texts",
                    duty->application_id, REPORT_BYTES);
    return status;
}

// ---------------------------------------------------------------------------------------------- the accounts

// paid less its share of the cost, rounded to the recipient's favour. A product of two amounts needs 128
// bits.
static int64_t unspent_in_proportion(int64_t paid_ore, int64_t cost_ore, int64_t approved_ore)
{
    if (approved_ore == 0)
        return 0;
    __int128 used_ore = ((__int128)cost_ore * paid_ore + approved_ore - 1) / approved_ore;
    return used_ore >= paid_ore ? 0 : paid_ore - (int64_t)used_ore;
}

static int64_t unspent_as_residual(int64_t paid_ore, int64_t income_ore, int64_t cost_ore)
{
    int64_t left_ore = income_ore > cost_ore ? income_ore - cost_ore : 0;

    return left_ore < paid_ore ? left_ore : paid_ore;
}

bool accounts_make(const GrantLetter *letter, const Report *report, int64_t paid_ore, struct accounts *ret)
{
    int64_t cost_ore = 0, approved_ore = 0, income_ore = paid_ore;
    bool valid = money_add(&income_ore, report->own_delivered_ore) &&
                 money_add(&income_ore, report->other_received_ore);

    for (size_t i = 0; i < report->n_lines; i++)
        valid = valid && money_add(&cost_ore, report->lines[i]->booked_ore);
    for (size_t i = 0; i < letter->n_lines; i++)
        valid = valid && money_add(&approved_ore, letter->lines[i]->amount_ore);
    if (!valid)
        return false;
    ret->cost_ore = cost_ore;
    ret->own_contribution_short = report->own_delivered_ore < letter->own_ore;
    ret->unspent_ore = letter->repayment_rule == TYPES__V1__REPAYMENT_RULE__PROPORTIONAL
                           ? unspent_in_proportion(paid_ore, cost_ore, approved_ore)
                           : unspent_as_residual(paid_ore, income_ore, cost_ore);
    return true;
}

// ---------------------------------------------------------------------------------------- submit and deliver

static status_t is_own(struct message *message, const struct duty *duty)
{
    if (strcmp(message->actor->organisation, duty->organisation_number) != 0)
        return fail(message, REFUSED, "only the lead %s reports on application %s; you act for %s",
                    duty->organisation_number, duty->application_id, message->actor->organisation);
    return OK;
}

static status_t may_submit(struct message *message, const struct duty *duty, const SubmitReport *command)
{
    status_t status = is_known(message, duty, command->application_id);

    if (status == OK)
        status = is_own(message, duty);
    if (status == OK && duty->state == NOT_OPEN)
        return fail(message, REFUSED, "reporting on application %s opens %s", command->application_id,
                    oslo_text(message->arena, duty->opens_at_us));
    if (status == OK && duty->state != OPEN && duty->state != PREPARED && duty->state != RETURNED)
        return fail(message, REFUSED, "the report of application %s is %s and can not be changed",
                    command->application_id, state_name(duty->state));
    if (status == OK && command->expected_version != duty->report_version)
        return fail(message, REFUSED,
                    "expected_version of application %s is %u now, not %u; read the report again",
                    command->application_id, duty->report_version, command->expected_version);
    return status;
}

static void emit_prepared(struct message *message, const struct duty *duty, Report *report,
                          const struct accounts *accounts)
{
    size_t size;
    const uint8_t *bytes = message_encode(message->arena, report, &size);
    ReportPrepared event = REPORTING__V1__REPORT_PREPARED__INIT;

    event.application_id = duty->application_id;
    event.call_id = duty->call_id;
    event.organisation_number = duty->organisation_number;
    event.report_version = duty->report_version + 1;
    event.report_sha256 = sha256_text(message->arena, bytes, size);
    event.report = report;
    event.cost_ore = accounts->cost_ore;
    event.unspent_ore = accounts->unspent_ore;
    event.own_contribution_short = accounts->own_contribution_short;
    emit(message, &event);
}

status_t rule_submit(struct message *message, const struct duty *duty, const SubmitReport *command)
{
    struct accounts accounts;
    status_t status = may_submit(message, duty, command);

    if (status == OK)
        status = check_report(message, duty, command->report);
    if (status == OK && !accounts_make(duty->letter, command->report, duty->paid_ore, &accounts))
        return fail(message, REFUSED, "the sums of the accounts of application %s are above %s",
                    command->application_id, money_text(message->arena, MONEY_MAX));
    if (status == OK)
        emit_prepared(message, duty, command->report, &accounts);
    return status;
}

status_t rule_signed_off(struct message *message, const struct duty *duty, const SignedOff *event)
{
    ReportDelivered delivered = REPORTING__V1__REPORT_DELIVERED__INIT;
    int64_t first_at_us = duty->first_delivered_at_us != 0 ? duty->first_delivered_at_us
                                                           : event->signed_at_us;

    if (!duty->known || duty->state != PREPARED || event->version != duty->report_version ||
        strcmp(event->content_sha256, duty->report_sha256) != 0)
        return OK;  // over something that has changed since; approval has voided or will void it
    delivered.application_id = duty->application_id;
    delivered.report_version = duty->report_version;
    delivered.signed_at_us = event->signed_at_us;
    delivered.late = first_at_us >= duty->due_at_us;
    delivered.n_signed_by = event->n_signatures;
    delivered.signed_by = arena_alloc(message->arena, event->n_signatures * sizeof *delivered.signed_by);
    for (size_t i = 0; i < event->n_signatures; i++)
        delivered.signed_by[i] = event->signatures[i]->person;
    emit(message, &delivered);
    return OK;
}

// ----------------------------------------------------------------------------- return, approve, repay, close

static status_t check_faults(struct message *message, const ReturnReport *command)
{
    status_t status = OK;

    if (command->n_faults == 0)
        return fail(message, REFUSED,
                    "faults is empty; name at least one fault in the report of application %s",
                    command->application_id);
    for (size_t i = 0; i < command->n_faults && status == OK; i++)
        status = has_text(message, "a fault", command->faults[i], LIMIT_TEXT_BYTES);
    if (status == OK && command->reply_by_at_us <= message->at_us)
        return fail(message, REFUSED,
                    "reply_by_at_us for application %s has passed; it must be in the future",
                    command->application_id);
    return status;
}

status_t rule_return(struct message *message, const struct duty *duty, const ReturnReport *command)
{
    status_t status = is_in(message, duty, command->application_id, DELIVERED);

    if (status == OK)
        status = check_faults(message, command);
    if (status != OK)
        return status;

    ReportReturned event = REPORTING__V1__REPORT_RETURNED__INIT;
    event.application_id = duty->application_id;
    event.report_version = duty->report_version;
    event.n_faults = command->n_faults;
    event.faults = command->faults;
    event.reply_by_at_us = command->reply_by_at_us;
    emit(message, &event);
    return OK;
}

static status_t may_approve(struct message *message, const struct duty *duty, const ApproveReport *command,
                            struct accounts *ret)
{
    status_t status = is_in(message, duty, command->application_id, DELIVERED);

    if (status == OK && command->report_version != duty->report_version)
        return fail(message, REFUSED,
                    "report_version of application %s is %u now, not %u; read the report again",
                    command->application_id, duty->report_version, command->report_version);
    // What was paid may have changed since the report was frozen.
    if (status == OK && !accounts_make(duty->letter, duty->report, duty->paid_ore, ret))
        return fail(message, POISON, "the accounts of application %s do not add up", command->application_id);
    if (status == OK && (ret->own_contribution_short || ret->unspent_ore > 0) && *command->note == '\0')
        return fail(
            message, REFUSED,
            "note is missing: application %s has %s unspent and its own contribution %s; say what follows",
            command->application_id, money_text(message->arena, ret->unspent_ore),
            ret->own_contribution_short ? "is short" : "is whole");
    if (status == OK)
        status = fits(message, "note", command->note, LIMIT_TEXT_BYTES);
    return status;
}

status_t rule_approve(struct message *message, const struct duty *duty, const ApproveReport *command)
{
    struct accounts accounts;
    status_t status = may_approve(message, duty, command, &accounts);

    if (status != OK)
        return status;

    ReportApproved event = REPORTING__V1__REPORT_APPROVED__INIT;
    event.application_id = duty->application_id;
    event.call_id = duty->call_id;
    event.report_version = duty->report_version;
    event.cost_ore = accounts.cost_ore;
    event.unspent_ore = accounts.unspent_ore;
    event.own_contribution_short = accounts.own_contribution_short;
    event.approved_by = message->actor->subject;
    emit(message, &event);
    return OK;
}

// Is there something to repay that the letter's minimum lets us claim?
static bool owes(const struct duty *duty)
{
    return duty->unspent_ore > 0 && duty->unspent_ore >= duty->letter->repayment_minimum_ore;
}

static status_t may_decide_repayment(struct message *message, const struct duty *duty,
                                     const DecideRepayment *command)
{
    const char *id = command->application_id;
    status_t status = is_in(message, duty, id, APPROVED);

    if (status == OK && strcmp(message->actor->subject, duty->approved_by) == 0)
        return fail(message, REFUSED,
                    "%s has approved the report of application %s; someone else must decide",
                    message->actor->subject, id);
    if (status == OK && *duty->actor_has != '\0')
        return fail(message, REFUSED, "%s has %s of application %s; someone else must decide",
                    message->actor->subject, duty->actor_has, id);
    if (status == OK && duty->repayment_decided_ore != 0)
        return fail(message, REFUSED, "repayment of %s by application %s is decided already",
                    money_text(message->arena, duty->repayment_decided_ore), id);
    if (status == OK && !money_valid(command->amount_ore))
        return fail(message, REFUSED, "amount_ore %" PRId64 " of application %s is no amount",
                    command->amount_ore, id);
    if (status == OK && command->amount_ore != duty->unspent_ore)
        return fail(message, REFUSED,
                    "amount_ore is %s; the approved accounts of application %s leave %s unspent",
                    money_text(message->arena, command->amount_ore), id,
                    money_text(message->arena, duty->unspent_ore));
    if (status == OK && !owes(duty))
        return fail(message, REFUSED,
                    "amount_ore %s of application %s is below %s, the least that is claimed",
                    money_text(message->arena, command->amount_ore), id,
                    money_text(message->arena, duty->letter->repayment_minimum_ore));
    return status;
}

status_t rule_decide_repayment(struct message *message, const struct duty *duty,
                               const DecideRepayment *command)
{
    status_t status = may_decide_repayment(message, duty, command);

    if (status == OK)
        status = has_text(message, "reason", command->reason, LIMIT_TEXT_BYTES);
    if (status != OK)
        return status;

    RepaymentDecided event = REPORTING__V1__REPAYMENT_DECIDED__INIT;
    event.application_id = duty->application_id;
    event.call_id = duty->call_id;
    event.organisation_number = duty->organisation_number;
    event.year = duty->year;
    event.amount_ore = command->amount_ore;
    event.due_at_us = oslo_days_end(message->at_us, duty->letter->repayment_days, false);
    event.reason = command->reason;
    event.decided_by = message->actor->subject;
    emit(message, &event);
    return OK;
}

// What still stands between a grant and its end.
static status_t nothing_is_left(struct message *message, const struct duty *duty, const char *id)
{
    if (duty->paid_ore != duty->letter->amount_ore)
        return fail(message, REFUSED, "%s of %s is paid to application %s; it closes when all is paid",
                    money_text(message->arena, duty->paid_ore),
                    money_text(message->arena, duty->letter->amount_ore), id);
    if (owes(duty) && duty->repayment_decided_ore == 0)
        return fail(message, REFUSED, "%s of application %s is unspent; repayment must be decided first",
                    money_text(message->arena, duty->unspent_ore), id);
    if (duty->repayment_decided_ore != duty->claimed_ore)
        return fail(message, REFUSED, "the claim of %s on application %s is not issued yet",
                    money_text(message->arena, duty->repayment_decided_ore), id);
    if (duty->outstanding_ore > 0)
        return fail(message, REFUSED, "%s of the claim on application %s is outstanding",
                    money_text(message->arena, duty->outstanding_ore), id);
    return OK;
}

status_t rule_close(struct message *message, const struct duty *duty, const CloseGrant *command)
{
    status_t status = is_in(message, duty, command->application_id, APPROVED);

    if (status == OK)
        status = nothing_is_left(message, duty, command->application_id);
    if (status != OK)
        return status;

    GrantClosed event = REPORTING__V1__GRANT_CLOSED__INIT;
    event.application_id = duty->application_id;
    event.call_id = duty->call_id;
    emit(message, &event);
    return OK;
}
