// rules: when a payment may move on, what a bank's word means, and what is claimed back. Nothing here touches
// the database or a clock.
#include "payment.h"
#include "limits/limits.h"
#include "values/values.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define END_TO_END_CHARACTERS 26
#define CODING_CHARACTERS     100
#define KID_DIGITS            12

// ------------------------------------------------------------------------------------------ names and hashes

char *payment_key(arena_t *arena, const char *application_id, int32_t year, uint32_t instalment)
{
    return arena_printf(arena, "%s#%" PRId32 "#%" PRIu32, application_id, year, instalment);
}

char *claim_id(arena_t *arena, const char *application_id, int32_t year)
{
    return arena_printf(arena, "%s#%" PRId32 "#claim", application_id, year);
}

char *payment_end_to_end_id(arena_t *arena, const char *key)
{
    const char *named = arena_printf(arena, "pay%s", key);
    uint8_t digest[32];

    sha256(named, strlen(named), digest);
    return base32(arena, digest, sizeof digest, END_TO_END_CHARACTERS);
}

char *payment_content_sha256(arena_t *arena, const PaymentDue *due, const char *coding,
                             const char *value_date)
{
    size_t due_size, coding_size = strlen(coding), date_size = strlen(value_date);
    const uint8_t *due_bytes = message_encode(arena, due, &due_size);
    size_t size = due_size + 1 + coding_size + 1 + date_size;
    uint8_t *bytes = arena_alloc(arena, size);

    memcpy(bytes, due_bytes, due_size);
    memcpy(bytes + due_size + 1, coding, coding_size);
    memcpy(bytes + due_size + 1 + coding_size + 1, value_date, date_size);
    return sha256_text(arena, bytes, size);
}

// The digits of a claim's KID: from its id alone, so that a replayed decision makes the same reference.
static char *claim_kid(arena_t *arena, const char *id)
{
    uint8_t digest[32];
    uint64_t number = 0;

    sha256(id, strlen(id), digest);
    for (int i = 0; i < 8; i++)
        number = number << 8 | digest[i];
    return kid_make(arena, arena_printf(arena, "%0*" PRIu64, KID_DIGITS, number % UINT64_C(1000000000000)));
}

static char *today(struct message *message, int64_t at_us)
{
    int year, month, day;

    oslo_date(at_us, &year, &month, &day);
    return arena_printf(message->arena, "%04d-%02d-%02d", year, month, day);
}

// ---------------------------------------------------------------------------------------------- what all ask

static const char *state_name(enum payment_state state)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(
        &payment__v1__payment__state__descriptor, (int)state);
    assert(value != NULL);
    return value->name;
}

static status_t is_known(struct message *message, const struct payment *payment, const char *key)
{
    if (!payment->known)
        return fail(message, REFUSED,
                    "payment_key %s is not known; a payment is due when the letter is accepted", key);
    return OK;
}

static status_t is_free(struct message *message, const struct payment *payment, const char *key)
{
    status_t status = is_known(message, payment, key);

    if (status == OK && *payment->stopped_by != '\0')
        return fail(message, REFUSED, "payment %s is stopped by %s; the stop must be released first", key,
                    payment->stopped_by);
    return status;
}

static status_t has_reason(struct message *message, const char *reason, const char *key)
{
    if (*reason == '\0')
        return fail(message, REFUSED, "reason is missing for %s; say why", key);
    if (strlen(reason) > LIMIT_TEXT_BYTES)
        return fail(message, REFUSED, "reason for %s is %zu bytes long; at most %d are right", key,
                    strlen(reason), LIMIT_TEXT_BYTES);
    return OK;
}

// Money may go only on the letter that is current, to a grant that stands.
static status_t stands_on_current_letter(struct message *message, const struct payment *payment)
{
    if (payment->renounced)
        return fail(message, REFUSED, "the grant of application %s is renounced; payment %s can not go out",
                    payment->due.application_id, payment->due.payment_key);
    if (payment->letter_version > payment->due.letter_version)
        return fail(message, REFUSED,
                    "payment %s stands on letter version %u; version %u must be accepted first",
                    payment->due.payment_key, payment->due.letter_version, payment->letter_version);
    return OK;
}

// A signature is given in its turn, over the hash that was read.
static status_t may_sign(struct message *message, const struct payment *payment, const char *key,
                         enum payment_state turn, const char *content_sha256)
{
    status_t status = is_free(message, payment, key);

    if (status == OK && payment->state != turn)
        return fail(message, REFUSED, "payment %s is %s; it must be %s", key, state_name(payment->state),
                    state_name(turn));
    if (status == OK)
        status = stands_on_current_letter(message, payment);
    if (status == OK && strcmp(content_sha256, payment->content_sha256) != 0)
        return fail(message, REFUSED, "content_sha256 of payment %s is %s now; read it again before signing",
                    key, payment->content_sha256);
    return status;
}

// Four eyes: who has done this may not also do that.
static status_t is_another(struct message *message, const struct payment *payment, const char *has_done,
                           const char *did, const char *must)
{
    if (*has_done != '\0' && strcmp(message->actor->subject, has_done) == 0)
        return fail(message, REFUSED, "%s has %s payment %s; someone else must %s it", has_done, did,
                    payment->due.payment_key, must);
    return OK;
}

static status_t is_not_decider(struct message *message, const struct payment *payment, const char *must)
{
    if (payment->actor_decided_award)
        return fail(message, REFUSED, "%s has decided the award behind payment %s; someone else must %s it",
                    message->actor->subject, payment->due.payment_key, must);
    return OK;
}

struct confirmation {
    const char *field;
    bool given;
};

static status_t all_confirmed(struct message *message, const char *key, const struct confirmation *all,
                              int count)
{
    for (int i = 0; i < count; i++)
        if (!all[i].given)
            return fail(message, REFUSED, "%s is not confirmed for payment %s; it must be true", all[i].field,
                        key);
    return OK;
}

static int character_count(const char *text)
{
    int count = 0;

    for (; *text != '\0'; text++)
        count += (*text & 0xC0) != 0x80;
    return count;
}

// ----------------------------------------------------------------------------------------------- instalments

// Nothing of it is under way and no money has left, so it may still fall.
static bool may_fall(const struct payment *payment)
{
    switch (payment->state) {
    case DUE:
    case PREPARED:
    case DISPOSED:
    case ATTESTED:
    case FAILED:
    case REFUSED_BY_FINANCE:
        return true;
    case AUTHORISED:
    case SENT:
    case CONFIRMED:
    case RETURNED:
    case VOIDED:
        return false;
    }
    return false;
}

static void emit_voided(struct message *message, const struct payment *payment, const char *reason)
{
    PaymentVoided event = PAYMENT__V1__PAYMENT_VOIDED__INIT;

    event.payment_key = payment->due.payment_key;
    event.application_id = payment->due.application_id;
    event.reason = (char *)reason;
    emit(message, &event);
}

// An instalment's part in whole kroner; the first takes what does not divide.
static int64_t part_of(const GrantAccepted *event, uint32_t instalment)
{
    int64_t count = event->instalments > 1 ? event->instalments : 1;
    int64_t part = event->amount_ore / count / 100 * 100;

    return instalment == 1 ? event->amount_ore - part * (count - 1) : part;
}

static void emit_due(struct message *message, const GrantAccepted *event, uint32_t instalment)
{
    PaymentDue due = PAYMENT__V1__PAYMENT_DUE__INIT;

    due.payment_key = payment_key(message->arena, event->application_id, event->year, instalment);
    due.application_id = event->application_id;
    due.call_id = event->call_id;
    due.year = event->year;
    due.instalment = instalment;
    due.amount_ore = part_of(event, instalment);
    due.creditor_name = event->name;
    due.creditor_organisation_number = event->organisation_number;
    due.creditor_account = event->account_number;
    due.kid = event->kid;
    due.letter_version = event->letter_version;
    emit(message, &due);
}

status_t rule_accepted(struct message *message, const struct payment *payment, const GrantAccepted *event,
                       uint32_t instalment)
{
    bool newer = payment->known && event->letter_version > payment->due.letter_version;

    if (newer && may_fall(payment))
        emit_voided(message, payment, "a newer letter is accepted");
    if (!payment->known || (newer && (may_fall(payment) || payment->state == VOIDED)))
        emit_due(message, event, instalment);
    return OK;
}

status_t rule_letter_replaced(struct message *message, const struct payment *payment, uint32_t letter_version)
{
    if (letter_version > payment->due.letter_version && may_fall(payment))
        emit_voided(message, payment,
                    arena_printf(message->arena, "letter version %u replaces version %u", letter_version,
                                 payment->due.letter_version));
    return OK;
}

status_t rule_renounced(struct message *message, const struct payment *payment, const GrantRenounced *event)
{
    if (may_fall(payment))
        emit_voided(message, payment,
                    arena_printf(message->arena, "the grant is renounced: %s", event->reason));
    return OK;
}

// ------------------------------------------------------------------------------------------------ signatures

static status_t check_value_date(struct message *message, const struct payment *payment,
                                 const char *value_date)
{
    const char *key = payment->due.payment_key, *now = today(message, message->at_us);
    int year, month, day;

    if (!date_parse(value_date, &year, &month, &day))
        return fail(message, REFUSED, "value_date \"%.20s\" of payment %s is not a date; write YYYY-MM-DD",
                    value_date, key);
    if (year != payment->due.year)
        return fail(message, REFUSED, "value_date %s is outside %d, the year of payment %s", value_date,
                    payment->due.year, key);
    // Both are YYYY-MM-DD, so text order is date order.
    if (strcmp(value_date, now) < 0)
        return fail(message, REFUSED, "value_date %s of payment %s has passed; today is %s", value_date, key,
                    now);
    return OK;
}

static status_t check_coding(struct message *message, const char *coding, const char *key)
{
    int count = character_count(coding);

    if (count < 1 || count > CODING_CHARACTERS)
        return fail(message, REFUSED, "coding of payment %s has %d characters; 1 to %d are right", key, count,
                    CODING_CHARACTERS);
    return OK;
}

status_t rule_prepare(struct message *message, const struct payment *payment, const PreparePayment *command)
{
    const char *key = command->payment_key;
    status_t status = is_free(message, payment, key);

    if (status == OK && (payment->state < DUE || payment->state > ATTESTED))
        return fail(message, REFUSED, "payment %s is %s; only one that is not authorised can be prepared",
                    key, state_name(payment->state));
    if (status == OK)
        status = stands_on_current_letter(message, payment);
    if (status == OK)
        status = check_coding(message, command->coding, key);
    if (status == OK)
        status = check_value_date(message, payment, command->value_date);
    if (status != OK)
        return status;

    PaymentPrepared event = PAYMENT__V1__PAYMENT_PREPARED__INIT;
    event.payment_key = payment->due.payment_key;
    event.application_id = payment->due.application_id;
    event.coding = command->coding;
    event.value_date = command->value_date;
    event.content_sha256 = payment_content_sha256(message->arena, &payment->due, command->coding,
                                                  command->value_date);
    event.prepared_by = message->actor->subject;
    emit(message, &event);
    return OK;
}

status_t rule_dispose(struct message *message, const struct payment *payment, const Dispose *command)
{
    const struct confirmation confirmations[] = {{"legal_basis", command->legal_basis},
                                                 {"budget_cover", command->budget_cover},
                                                 {"financially_sound", command->financially_sound}};
    status_t status = may_sign(message, payment, command->payment_key, PREPARED, command->content_sha256);

    if (status == OK)
        status = is_another(message, payment, payment->account_changed_by, "changed the account of",
                            "dispose of");
    if (status == OK)
        status = all_confirmed(message, command->payment_key, confirmations, 3);
    if (status != OK)
        return status;

    PaymentDisposed event = PAYMENT__V1__PAYMENT_DISPOSED__INIT;
    event.payment_key = payment->due.payment_key;
    event.application_id = payment->due.application_id;
    event.disposed_by = message->actor->subject;
    event.content_sha256 = payment->content_sha256;
    emit(message, &event);
    return OK;
}

static status_t may_attest(struct message *message, const struct payment *payment)
{
    status_t status = is_another(message, payment, payment->disposed_by, "disposed of", "attest");

    if (status == OK)
        status = is_another(message, payment, payment->account_changed_by, "changed the account of",
                            "attest");
    if (status == OK)
        status = is_not_decider(message, payment, "attest");
    return status;
}

status_t rule_attest(struct message *message, const struct payment *payment, const Attest *command)
{
    const struct confirmation confirmations[] = {
        {"agrees_with_decision", command->agrees_with_decision},
        {"acceptance_received", command->acceptance_received},
        {"coding_right", command->coding_right},
        {"account_belongs_to_recipient", command->account_belongs_to_recipient}};
    status_t status = may_sign(message, payment, command->payment_key, DISPOSED, command->content_sha256);

    if (status == OK)
        status = may_attest(message, payment);
    if (status == OK)
        status = all_confirmed(message, command->payment_key, confirmations, 4);
    if (status != OK)
        return status;

    PaymentAttested event = PAYMENT__V1__PAYMENT_ATTESTED__INIT;
    event.payment_key = payment->due.payment_key;
    event.application_id = payment->due.application_id;
    event.attested_by = message->actor->subject;
    event.content_sha256 = payment->content_sha256;
    emit(message, &event);
    return OK;
}

static status_t may_authorise(struct message *message, const struct payment *payment)
{
    const struct {
        const char *who, *did;
    } others[] = {{payment->prepared_by, "prepared"},
                  {payment->disposed_by, "disposed of"},
                  {payment->attested_by, "attested"},
                  {payment->account_changed_by, "changed the account of"}};
    status_t status = OK;

    for (int i = 0; i < 4 && status == OK; i++)
        status = is_another(message, payment, others[i].who, others[i].did, "authorise");
    if (status == OK)
        status = is_not_decider(message, payment, "authorise");
    return status;
}

// Hand the order to the finance system. Its date is the one that was signed, or today when that has passed.
static void ask_to_pay(struct message *message, const struct payment *payment, uint32_t attempt)
{
    const PaymentDue *due = &payment->due;
    char *now = today(message, message->at_us);
    PayOrder order = FINANCE__V1__PAY_ORDER__INIT;

    order.order_id = arena_printf(message->arena, "%s#%u", due->payment_key, attempt);
    order.payment_key = due->payment_key;
    order.attempt = attempt;
    order.end_to_end_id = payment_end_to_end_id(message->arena, due->payment_key);
    order.amount_ore = due->amount_ore;
    order.creditor_name = due->creditor_name;
    order.creditor_organisation_number = due->creditor_organisation_number;
    order.creditor_account = due->creditor_account;
    order.kid = due->kid;
    order.text = arena_printf(message->arena, "Tilskudd %d %s", due->year, due->application_id);
    order.value_date = strcmp(payment->value_date, now) < 0 ? now : payment->value_date;
    order.ordered_at_us = message->at_us;
    ask(message, "finance", order.order_id, &order);
}

status_t rule_authorise(struct message *message, const struct payment *payment, const Authorise *command)
{
    status_t status = may_sign(message, payment, command->payment_key, ATTESTED, command->content_sha256);

    if (status == OK)
        status = may_authorise(message, payment);
    if (status == OK)
        status = check_value_date(message, payment, payment->value_date);
    if (status != OK)
        return status;

    PaymentAuthorised event = PAYMENT__V1__PAYMENT_AUTHORISED__INIT;
    event.payment_key = payment->due.payment_key;
    event.application_id = payment->due.application_id;
    event.authorised_by = message->actor->subject;
    event.end_to_end_id = payment_end_to_end_id(message->arena, payment->due.payment_key);
    event.attempt = payment->attempt + 1;
    event.ordered_at_us = message->at_us;
    emit(message, &event);
    ask_to_pay(message, payment, event.attempt);
    return OK;
}

// ------------------------------------------------------------------------------------- what finance answered

status_t rule_order_taken(struct message *message, const struct payment *payment, const PayOrder *order,
                          const OrderTaken *taken)
{
    if (strcmp(taken->order_id, order->order_id) != 0)
        return fail(message, POISON, "order %s was answered for order %s", order->order_id, taken->order_id);
    // Only the order in hand is waiting for its answer; anything else has been answered before.
    if (payment->state != AUTHORISED || payment->attempt != order->attempt)
        return OK;

    PaymentSent event = PAYMENT__V1__PAYMENT_SENT__INIT;
    event.payment_key = payment->due.payment_key;
    event.application_id = payment->due.application_id;
    event.attempt = order->attempt;
    event.message_id = taken->message_id;
    emit(message, &event);
    return OK;
}

status_t rule_order_refused(struct message *message, const struct payment *payment, const PayOrder *order,
                            const char *reason)
{
    if (payment->state != AUTHORISED || payment->attempt != order->attempt)
        return OK;

    PaymentRefusedByFinance event = PAYMENT__V1__PAYMENT_REFUSED_BY_FINANCE__INIT;
    event.payment_key = payment->due.payment_key;
    event.application_id = payment->due.application_id;
    event.attempt = order->attempt;
    event.reason = (char *)reason;
    emit(message, &event);
    return OK;
}

// ---------------------------------------------------------------------------------------- what the bank says

// What a word about an order means, by how far the order has come. An order only goes forward: what is behind
// it changes nothing, and what contradicts it is for a person.
enum meaning {
    CONTRADICTS,
    NOTHING_NEW,
    NOW_ACKNOWLEDGED,
    NOW_CONFIRMED,
    NOW_FAILED,
    NOW_RETURNED,
    BOOKED_AND_BACK
};

static const enum meaning meanings[CAME_BACK + 1][FINANCE__V1__REPORT_STATUS__STATE__RETURNED + 1] = {
    //                ACCEPTED          SETTLED        REJECTED     RETURNED
    [TAKEN] = {0, NOW_ACKNOWLEDGED, NOW_CONFIRMED, NOW_FAILED, BOOKED_AND_BACK},
    [ACKNOWLEDGED] = {0, NOTHING_NEW, NOW_CONFIRMED, NOW_FAILED, BOOKED_AND_BACK},
    [SETTLED] = {0, NOTHING_NEW, NOTHING_NEW, CONTRADICTS, NOW_RETURNED},
    [REJECTED] = {0, NOTHING_NEW, CONTRADICTS, NOTHING_NEW, CONTRADICTS},
    [CAME_BACK] = {0, NOTHING_NEW, NOTHING_NEW, NOTHING_NEW, NOTHING_NEW},
};

static void emit_questioned(struct message *message, const struct payment *payment,
                            const ReportStatus *command, const char *reason)
{
    StatusQuestioned event = PAYMENT__V1__STATUS_QUESTIONED__INIT;

    // A status that fits no payment has a stream of its own.
    event.payment_key = payment->known ? payment->due.payment_key
                                       : uuid_from(message->arena, arena_printf(message->arena, "status %s",
                                                                                command->status_id));
    event.application_id = payment->known ? payment->due.application_id : (char *)"";
    event.status_id = command->status_id;
    event.reason = (char *)reason;
    emit(message, &event);
}

static void emit_acknowledged(struct message *message, const struct payment *payment,
                              const struct order *order, const ReportStatus *command)
{
    PaymentAcknowledged event = PAYMENT__V1__PAYMENT_ACKNOWLEDGED__INIT;

    event.payment_key = payment->due.payment_key;
    event.application_id = payment->due.application_id;
    event.attempt = order->attempt;
    event.status_id = command->status_id;
    emit(message, &event);
}

static void emit_confirmed(struct message *message, const struct payment *payment, const struct order *order,
                           const ReportStatus *command)
{
    PaymentConfirmed event = PAYMENT__V1__PAYMENT_CONFIRMED__INIT;

    event.payment_key = payment->due.payment_key;
    event.application_id = payment->due.application_id;
    event.call_id = payment->due.call_id;
    event.attempt = order->attempt;
    event.amount_ore = payment->due.amount_ore;
    event.end_to_end_id = command->end_to_end_id;
    event.status_id = command->status_id;
    emit(message, &event);
}

static void emit_failed(struct message *message, const struct payment *payment, const struct order *order,
                        const ReportStatus *command)
{
    PaymentFailed event = PAYMENT__V1__PAYMENT_FAILED__INIT;

    event.payment_key = payment->due.payment_key;
    event.application_id = payment->due.application_id;
    event.attempt = order->attempt;
    event.code = command->code;
    event.text = command->text;
    event.status_id = command->status_id;
    emit(message, &event);
}

static void emit_returned(struct message *message, const struct payment *payment, const struct order *order,
                          const ReportStatus *command)
{
    PaymentReturned event = PAYMENT__V1__PAYMENT_RETURNED__INIT;

    event.payment_key = payment->due.payment_key;
    event.application_id = payment->due.application_id;
    event.call_id = payment->due.call_id;
    event.attempt = order->attempt;
    event.amount_ore = payment->due.amount_ore;
    event.code = command->code;
    event.status_id = command->status_id;
    emit(message, &event);
}

// True when the payment itself changed.
static bool emit_meaning(struct message *message, const struct payment *payment, const struct order *order,
                         const ReportStatus *command)
{
    switch (meanings[order->outcome][command->state]) {
    case NOTHING_NEW:
        return false;
    case CONTRADICTS:
        emit_questioned(message, payment, command,
                        arena_printf(message->arena, "attempt %u of payment %s was told otherwise before",
                                     order->attempt, payment->due.payment_key));
        return false;
    case NOW_ACKNOWLEDGED:
        emit_acknowledged(message, payment, order, command);
        return true;
    case NOW_CONFIRMED:
        emit_confirmed(message, payment, order, command);
        return true;
    case NOW_FAILED:
        emit_failed(message, payment, order, command);
        return true;
    case NOW_RETURNED:
        emit_returned(message, payment, order, command);
        return true;
    case BOOKED_AND_BACK:
        // What came back was booked, even if nobody told: the ledgers of others need both facts.
        emit_confirmed(message, payment, order, command);
        emit_returned(message, payment, order, command);
        return true;
    }
    return false;
}

static status_t check_status(struct message *message, const ReportStatus *command)
{
    size_t id_size = strlen(command->status_id);

    if (strcmp(message->sender, "finance") != 0)
        return fail(message, REFUSED,
                    "%s may not report a status; only the connector registered as finance may",
                    message->sender);
    if (id_size < 1 || id_size > 100)
        return fail(message, REFUSED, "status_id has %zu characters; 1 to 100 are right", id_size);
    if (command->state == FINANCE__V1__REPORT_STATUS__STATE__UNSPECIFIED)
        return fail(message, REFUSED, "state of status %s is missing", command->status_id);
    if (*command->message_id == '\0')
        return fail(message, REFUSED, "message_id of status %s is missing; name the order it answers",
                    command->status_id);
    if (strlen(command->text) > LIMIT_TEXT_BYTES || strlen(command->code) > LIMIT_LINE_BYTES)
        return fail(message, REFUSED, "text of status %s is too long; at most %d bytes are right",
                    command->status_id, LIMIT_TEXT_BYTES);
    if (!money_valid(command->amount_ore))
        return fail(message, REFUSED, "amount_ore of status %s is no amount", command->status_id);
    return OK;
}

// What makes a status doubtful before its meaning is looked at; NULL: nothing.
static const char *doubt(struct message *message, const struct payment *payment, const struct order *order,
                         const ReportStatus *command)
{
    if (!payment->known)
        return arena_printf(message->arena, "end_to_end_id %.40s belongs to no payment",
                            command->end_to_end_id);
    if (!order->known || order->outcome < TAKEN || order->outcome > CAME_BACK)
        return arena_printf(message->arena, "no order of payment %s was taken as %.40s",
                            payment->due.payment_key, command->message_id);
    if (command->amount_ore != 0 && command->amount_ore != payment->due.amount_ore)
        return arena_printf(message->arena, "the finance system saw %s where payment %s is %s",
                            money_text(message->arena, command->amount_ore), payment->due.payment_key,
                            money_text(message->arena, payment->due.amount_ore));
    return NULL;
}

status_t rule_report_status(struct message *message, const struct payment *payment, const struct order *order,
                            const ReportStatus *command)
{
    StatusTaken taken = FINANCE__V1__STATUS_TAKEN__INIT;
    status_t status = check_status(message, command);

    if (status != OK)
        return status;
    if (!order->status_known) {
        // The bank may be faster than the connector's answer to us; then the order's name is not known yet.
        if (payment->known && !order->known && payment->state == AUTHORISED)
            return fail(message, RETRY, "order %s#%u is not answered yet", payment->due.payment_key,
                        payment->attempt);
        const char *why = doubt(message, payment, order, command);
        if (why != NULL)
            emit_questioned(message, payment, command, why);
        else
            taken.changed = emit_meaning(message, payment, order, command);
    }
    answer(message, &taken);
    return OK;
}

// -------------------------------------------------------------------------------------- again, stop, release

static status_t may_retry(struct message *message, const struct payment *payment, const RetryPayment *command)
{
    const char *key = command->payment_key;
    status_t status = is_free(message, payment, key);
    int year, month, day;

    oslo_date(message->at_us, &year, &month, &day);
    if (status == OK && payment->state != FAILED && payment->state != RETURNED &&
        payment->state != REFUSED_BY_FINANCE)
        return fail(message, REFUSED,
                    "payment %s is %s; only one that finance rejected, returned or refused can be sent again",
                    key, state_name(payment->state));
    if (status == OK)
        status = stands_on_current_letter(message, payment);
    if (status == OK)
        status = has_reason(message, command->reason, key);
    if (status == OK && year != payment->due.year)
        return fail(message, REFUSED, "payment %s is of %d and can not be sent again in %d", key,
                    payment->due.year, year);
    return status;
}

static status_t rule_change_account(struct message *message, const struct payment *payment,
                                    const RetryPayment *command)
{
    if (!account_number_valid(command->account_number))
        return fail(
            message, REFUSED,
            "account_number \"%.20s\" for payment %s is no account; 11 digits with a right check digit are",
            command->account_number, command->payment_key);
    if (strcmp(command->account_number, payment->due.creditor_account) == 0)
        return fail(message, REFUSED, "account_number %s is the account that payment %s has; leave it out",
                    command->account_number, command->payment_key);

    AccountChanged event = PAYMENT__V1__ACCOUNT_CHANGED__INIT;
    event.payment_key = payment->due.payment_key;
    event.application_id = payment->due.application_id;
    event.account_number = command->account_number;
    event.reason = command->reason;
    event.attempt = payment->attempt + 1;
    event.changed_by = message->actor->subject;
    emit(message, &event);
    return OK;
}

status_t rule_retry(struct message *message, const struct payment *payment, const RetryPayment *command)
{
    status_t status = may_retry(message, payment, command);

    if (status != OK)
        return status;
    if (*command->account_number != '\0')
        return rule_change_account(message, payment, command);

    PaymentRetried event = PAYMENT__V1__PAYMENT_RETRIED__INIT;
    event.payment_key = payment->due.payment_key;
    event.application_id = payment->due.application_id;
    event.attempt = payment->attempt + 1;
    event.reason = command->reason;
    event.ordered_at_us = message->at_us;
    emit(message, &event);
    ask_to_pay(message, payment, event.attempt);
    return OK;
}

status_t rule_stop(struct message *message, const struct payment *payment, const StopPayment *command)
{
    const char *key = command->payment_key;
    status_t status = is_free(message, payment, key);

    if (status == OK && !may_fall(payment) && payment->state != RETURNED)
        return fail(message, REFUSED, "payment %s is %s; only one that is not sent can be stopped", key,
                    state_name(payment->state));
    if (status == OK)
        status = has_reason(message, command->reason, key);
    if (status != OK)
        return status;

    PaymentStopped event = PAYMENT__V1__PAYMENT_STOPPED__INIT;
    event.payment_key = payment->due.payment_key;
    event.application_id = payment->due.application_id;
    event.reason = command->reason;
    event.stopped_by = message->actor->subject;
    emit(message, &event);
    return OK;
}

status_t rule_release(struct message *message, const struct payment *payment, const ReleaseStop *command)
{
    const char *key = command->payment_key;
    status_t status = is_known(message, payment, key);

    if (status == OK && *payment->stopped_by == '\0')
        return fail(message, REFUSED, "payment %s is not stopped", key);
    if (status == OK)
        status = is_another(message, payment, payment->stopped_by, "stopped", "release");
    if (status == OK)
        status = has_reason(message, command->reason, key);
    if (status != OK)
        return status;

    StopReleased event = PAYMENT__V1__STOP_RELEASED__INIT;
    event.payment_key = payment->due.payment_key;
    event.application_id = payment->due.application_id;
    event.reason = command->reason;
    emit(message, &event);
    return OK;
}

// ---------------------------------------------------------------------------------------------------- claims

status_t rule_repayment_decided(struct message *message, const struct claim *claim,
                                const RepaymentDecided *event)
{
    if (claim->known)
        return OK;

    ClaimIssued issued = PAYMENT__V1__CLAIM_ISSUED__INIT;
    issued.claim_id = claim_id(message->arena, event->application_id, event->year);
    issued.application_id = event->application_id;
    issued.call_id = event->call_id;
    issued.amount_ore = event->amount_ore;
    issued.kid = claim_kid(message->arena, issued.claim_id);
    issued.due_at_us = event->due_at_us;
    issued.organisation_number = event->organisation_number;
    emit(message, &issued);
    return OK;
}

static status_t check_receipt(struct message *message, const RecordRepayment *command)
{
    size_t id_size = strlen(command->receipt_id);

    if (message->actor->role == BUS__V1__ACTOR__ROLE__SERVICE && strcmp(message->sender, "finance") != 0)
        return fail(message, REFUSED, "%s may not record a repayment; of the processes only finance may",
                    message->sender);
    if (id_size < 1 || id_size > 100)
        return fail(message, REFUSED, "receipt_id has %zu characters; 1 to 100 are right", id_size);
    if (!money_valid(command->amount_ore) || command->amount_ore == 0)
        return fail(message, REFUSED, "amount_ore of receipt %s is %" PRId64 "; it must be above zero",
                    command->receipt_id, command->amount_ore);
    return OK;
}

static bool is_repeat(const struct claim *claim, const struct receipt *receipt,
                      const RecordRepayment *command)
{
    return strcmp(receipt->claim_id, claim->claim_id) == 0 && receipt->amount_ore == command->amount_ore;
}

status_t rule_record_repayment(struct message *message, const struct claim *claim,
                               const struct receipt *receipt, const RecordRepayment *command)
{
    status_t status = check_receipt(message, command);

    if (status != OK)
        return status;
    if (!claim->known)
        return fail(message, REFUSED, "kid %.30s belongs to no claim", command->kid);
    if (*receipt->claim_id != '\0' && is_repeat(claim, receipt, command))
        return OK;
    if (*receipt->claim_id != '\0')
        return fail(message, REFUSED, "receipt_id %s was recorded before: %s on claim %s",
                    command->receipt_id, money_text(message->arena, receipt->amount_ore), receipt->claim_id);
    if (command->amount_ore > claim->outstanding_ore)
        return fail(message, REFUSED, "amount_ore %s is more than the %s outstanding on claim %s",
                    money_text(message->arena, command->amount_ore),
                    money_text(message->arena, claim->outstanding_ore), claim->claim_id);

    RepaymentReceived event = PAYMENT__V1__REPAYMENT_RECEIVED__INIT;
    event.claim_id = claim->claim_id;
    event.application_id = claim->application_id;
    event.call_id = claim->call_id;
    event.amount_ore = command->amount_ore;
    event.outstanding_ore = claim->outstanding_ore - command->amount_ore;
    event.receipt_id = command->receipt_id;
    emit(message, &event);
    return OK;
}
