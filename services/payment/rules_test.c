// rules_test: when a payment may move on, what a bank's word means, and what is claimed back.
#include "payment.h"
#include "check/check.h"
#include "limits/limits.h"
#include "values/values.h"

#include <string.h>

#define APPLICATION   "0190aaaa-0000-7000-8000-000000000001"
#define KEY           APPLICATION "#2024#1"
#define AUGUST        INT64_C(1722844800000000)  // 2024-08-05 08:00 UTC
#define NEW_YEAR      INT64_C(1735720200000000)  // 2025-01-01 08:30 UTC
#define ROLE_OF(name) BUS__V1__ACTOR__ROLE__##name

// A payment that has been prepared; tests move it on or back.
static struct payment a_payment(enum payment_state state)
{
    struct payment payment = {.known = true,
                              .state = state,
                              .coding = (char *)"0671.62/6310/4200",
                              .value_date = (char *)"2024-08-07",
                              .content_sha256 = (char *)"c0ffee",
                              .prepared_by = (char *)"paula",
                              .disposed_by = (char *)(state >= DISPOSED ? "bodil" : ""),
                              .attested_by = (char *)(state >= ATTESTED ? "atle" : ""),
                              .authorised_by = (char *)(state >= AUTHORISED ? "aud" : ""),
                              .account_changed_by = (char *)"",
                              .stopped_by = (char *)"",
                              .end_to_end_id = (char *)"",
                              .message_id = (char *)"",
                              .last_text = (char *)"",
                              .attempt = state >= AUTHORISED ? 1 : 0,
                              .letter_version = 1};

    payment.due = (PaymentDue)PAYMENT__V1__PAYMENT_DUE__INIT;
    payment.due.payment_key = (char *)KEY;
    payment.due.application_id = (char *)APPLICATION;
    payment.due.call_id = (char *)"call";
    payment.due.year = 2024;
    payment.due.instalment = 1;
    payment.due.amount_ore = 190000000;
    payment.due.creditor_name = (char *)"Kommunen";
    payment.due.creditor_organisation_number = (char *)"974683520";
    payment.due.creditor_account = (char *)"76940512057";
    payment.due.kid = (char *)"12344";
    payment.due.letter_version = 1;
    return payment;
}

static GrantAccepted an_acceptance(uint32_t letter_version)
{
    GrantAccepted event = ALLOCATION__V1__GRANT_ACCEPTED__INIT;

    event.application_id = (char *)APPLICATION;
    event.call_id = (char *)"call";
    event.organisation_number = (char *)"974683520";
    event.name = (char *)"Kommunen";
    event.year = 2024;
    event.amount_ore = 190000000;
    event.letter_version = letter_version;
    event.account_number = (char *)"76940512057";
    event.kid = (char *)"12344";
    event.instalments = 1;
    return event;
}

static struct message by(const char *subject, Bus__V1__Actor__Role role)
{
    return check_message(AUGUST, subject, role, "");
}

// --------------------------------------------------------------------------------------------- names, hashes

static void the_end_to_end_id_is_26_characters_made_from_the_key_for_ever(void **state)
{
    struct message message = by("x", ROLE_OF(SERVICE));
    char *id = payment_end_to_end_id(message.arena, KEY);

    (void)state;
    assert_int_equal(26, strlen(id));
    assert_int_equal(26, strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"));
    assert_string_equal(id, payment_end_to_end_id(message.arena, KEY));
    assert_string_not_equal(id, payment_end_to_end_id(message.arena, APPLICATION "#2024#2"));
    // SHA-256("paykey") in base32, computed with Python's hashlib and base64.
    assert_string_equal("ABLUTUDYGEOVH7UBKYT4UVPZWN", payment_end_to_end_id(message.arena, "key"));
}

static void the_signed_hash_changes_with_every_part_of_the_content(void **state)
{
    struct message message = by("x", ROLE_OF(SERVICE));
    struct payment payment = a_payment(DUE);
    char *hash = payment_content_sha256(message.arena, &payment.due, "ab", "2024-08-07");

    (void)state;
    assert_string_equal(hash, payment_content_sha256(message.arena, &payment.due, "ab", "2024-08-07"));
    assert_string_not_equal(hash, payment_content_sha256(message.arena, &payment.due, "a", "b2024-08-07"));
    assert_string_not_equal(hash, payment_content_sha256(message.arena, &payment.due, "ab", "2024-08-08"));
    payment.due.creditor_account = (char *)"12345678903";
    assert_string_not_equal(hash, payment_content_sha256(message.arena, &payment.due, "ab", "2024-08-07"));
}

// ---------------------------------------------------------------------------------------------- becoming due

static void an_acceptance_makes_the_instalment_due(void **state)
{
    struct message message = by("allocation", ROLE_OF(SERVICE));
    struct payment unknown = {.known = false};  // given
    GrantAccepted event = an_acceptance(1);

    (void)state;
    assert_int_equal(OK, rule_accepted(&message, &unknown, &event, 1));                            // when
    const PaymentDue *due = check_emitted(&message, 1, 0, &payment__v1__payment_due__descriptor);  // then
    assert_string_equal(KEY, due->payment_key);
    assert_int_equal(190000000, due->amount_ore);
    assert_string_equal("76940512057", due->creditor_account);
}

static void instalments_add_up_to_the_grant(void **state)
{
    struct payment unknown = {.known = false};
    GrantAccepted event = an_acceptance(1);
    int64_t sum = 0;

    (void)state;
    event.instalments = 3;
    event.amount_ore = 100000000;
    for (uint32_t instalment = 1; instalment <= 3; instalment++) {
        struct message message = by("allocation", ROLE_OF(SERVICE));
        assert_int_equal(OK, rule_accepted(&message, &unknown, &event, instalment));
        const PaymentDue *due = check_emitted(&message, 1, 0, &payment__v1__payment_due__descriptor);
        assert_int_equal(0, due->amount_ore % 100);
        sum += due->amount_ore;
    }
    assert_int_equal(event.amount_ore, sum);
}

static void a_second_acceptance_never_makes_a_second_payment(void **state)
{
    static const enum payment_state all[] = {DUE,  PREPARED,  DISPOSED, ATTESTED, AUTHORISED,
                                             SENT, CONFIRMED, FAILED,   RETURNED, REFUSED_BY_FINANCE};
    static const enum payment_state gone[] = {AUTHORISED, SENT, CONFIRMED, RETURNED};

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct message message = by("allocation", ROLE_OF(SERVICE));
        struct payment payment = a_payment(all[i]);
        GrantAccepted same = an_acceptance(1);
        assert_int_equal(OK, rule_accepted(&message, &payment, &same, 1));
        assert_null(message.emitted);
    }
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++) {
        struct message message = by("allocation", ROLE_OF(SERVICE));
        struct payment payment = a_payment(gone[i]);
        GrantAccepted newer = an_acceptance(2);
        assert_int_equal(OK, rule_accepted(&message, &payment, &newer, 1));
        assert_null(message.emitted);
    }
}

static void a_key_that_fell_is_due_again_with_the_newer_letter(void **state)
{
    struct message message = by("allocation", ROLE_OF(SERVICE)), other = by("allocation", ROLE_OF(SERVICE));
    struct payment fell = a_payment(VOIDED), refused = a_payment(REFUSED_BY_FINANCE);
    GrantAccepted newer = an_acceptance(2);

    (void)state;
    assert_int_equal(OK, rule_accepted(&message, &fell, &newer, 1));
    check_emitted(&message, 1, 0, &payment__v1__payment_due__descriptor);
    assert_int_equal(OK, rule_accepted(&other, &refused, &newer, 1));
    check_emitted(&other, 2, 0, &payment__v1__payment_voided__descriptor);
    check_emitted(&other, 2, 1, &payment__v1__payment_due__descriptor);
}

static void a_newer_letter_or_a_renunciation_voids_what_has_not_left(void **state)
{
    GrantRenounced renounced = ALLOCATION__V1__GRANT_RENOUNCED__INIT;

    (void)state;
    renounced.reason = (char *)"no staff";
    for (int i = DUE; i <= REFUSED_BY_FINANCE; i++) {
        struct payment payment = a_payment((enum payment_state)i);
        struct message letter = by("allocation", ROLE_OF(SERVICE)), old = by("allocation", ROLE_OF(SERVICE)),
                       given_up = by("allocation", ROLE_OF(SERVICE));
        bool falls = i <= ATTESTED || i == FAILED || i == REFUSED_BY_FINANCE;
        if (i == PAYMENT__V1__PAYMENT__STATE__STOPPED)
            continue;
        assert_int_equal(OK, rule_letter_replaced(&letter, &payment, 2));
        assert_int_equal(OK, rule_letter_replaced(&old, &payment, 1));
        assert_int_equal(OK, rule_renounced(&given_up, &payment, &renounced));
        assert_int_equal(falls, letter.emitted != NULL);
        assert_int_equal(falls, given_up.emitted != NULL);
        assert_null(old.emitted);
    }
}

// ------------------------------------------------------------------------------------------------- preparing

static PreparePayment a_preparation(void)
{
    PreparePayment command = PAYMENT__V1__PREPARE_PAYMENT__INIT;

    command.payment_key = (char *)KEY;
    command.coding = (char *)"0671.62/6310/4200";
    command.value_date = (char *)"2024-08-07";
    return command;
}

static void preparing_says_what_the_three_will_sign(void **state)
{
    struct message message = by("paula", ROLE_OF(PAYMENT_OFFICER));
    struct payment payment = a_payment(DUE);
    PreparePayment command = a_preparation();

    (void)state;
    assert_int_equal(OK, rule_prepare(&message, &payment, &command));
    const PaymentPrepared *event = check_emitted(&message, 1, 0, &payment__v1__payment_prepared__descriptor);
    assert_string_equal("paula", event->prepared_by);
    assert_string_equal(
        payment_content_sha256(message.arena, &payment.due, command.coding, command.value_date),
        event->content_sha256);
}

static void a_value_date_must_lie_in_the_year_and_not_in_the_past(void **state)
{
    static const struct {
        const char *date, *reason;
    } wrongs[] = {{"2024-8-7", "not a date"},
                  {"2024-02-30", "not a date"},
                  {"2025-01-02", "outside 2024"},
                  {"2023-12-31", "outside 2024"},
                  {"2024-08-04", "has passed; today is 2024-08-05"}};
    struct payment payment = a_payment(DUE);
    PreparePayment command = a_preparation();

    (void)state;
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        struct message message = by("paula", ROLE_OF(PAYMENT_OFFICER));
        command.value_date = (char *)wrongs[i].date;
        check_refused(&message, rule_prepare(&message, &payment, &command), wrongs[i].reason);
    }
    struct message last_day = by("paula", ROLE_OF(PAYMENT_OFFICER));
    command.value_date = (char *)"2024-12-31";
    assert_int_equal(OK, rule_prepare(&last_day, &payment, &command));
}

// Today is the day in Oslo, which begins before that of UTC.
static void today_is_the_day_in_oslo(void **state)
{
    struct message message = check_message(INT64_C(1722981600000000) /* 2024-08-06 22:00 UTC */, "paula",
                                           ROLE_OF(PAYMENT_OFFICER), "");
    struct payment payment = a_payment(DUE);
    PreparePayment command = a_preparation();

    (void)state;
    command.value_date = (char *)"2024-08-06";
    check_refused(&message, rule_prepare(&message, &payment, &command), "today is 2024-08-07");
}

static void a_coding_has_1_to_100_characters(void **state)
{
    struct message none = by("paula", ROLE_OF(PAYMENT_OFFICER)),
                   long_one = by("paula", ROLE_OF(PAYMENT_OFFICER));
    struct payment payment = a_payment(DUE);
    PreparePayment command = a_preparation();
    char coding[102] = "";

    (void)state;
    command.coding = (char *)"";
    check_refused(&none, rule_prepare(&none, &payment, &command), "has 0 characters; 1 to 100");
    memset(coding, 'x', 101);
    command.coding = coding;
    check_refused(&long_one, rule_prepare(&long_one, &payment, &command), "has 101 characters");
}

static void nothing_is_prepared_without_acceptance_or_after_authorisation(void **state)
{
    struct message unknown = by("paula", ROLE_OF(PAYMENT_OFFICER));
    struct payment nothing = {.known = false};
    PreparePayment command = a_preparation();

    (void)state;
    check_refused(&unknown, rule_prepare(&unknown, &nothing, &command), "due when the letter is accepted");
    for (int i = AUTHORISED; i <= REFUSED_BY_FINANCE; i++) {
        struct message message = by("paula", ROLE_OF(PAYMENT_OFFICER));
        if (i == PAYMENT__V1__PAYMENT__STATE__STOPPED)
            continue;
        struct payment payment = a_payment((enum payment_state)i);
        check_refused(&message, rule_prepare(&message, &payment, &command),
                      "only one that is not authorised");
    }
}

static void money_goes_only_on_the_current_letter_of_a_grant_that_stands(void **state)
{
    struct message replaced = by("paula", ROLE_OF(PAYMENT_OFFICER)),
                   gone = by("paula", ROLE_OF(PAYMENT_OFFICER));
    struct payment payment = a_payment(DUE);
    PreparePayment command = a_preparation();

    (void)state;
    payment.letter_version = 2;
    check_refused(&replaced, rule_prepare(&replaced, &payment, &command), "version 2 must be accepted first");
    payment.renounced = true;
    check_refused(&gone, rule_prepare(&gone, &payment, &command), "is renounced");
}

// ------------------------------------------------------------------------------------------------ signatures

static Dispose a_disposal(void)
{
    Dispose command = PAYMENT__V1__DISPOSE__INIT;

    command.payment_key = (char *)KEY;
    command.content_sha256 = (char *)"c0ffee";
    command.legal_basis = command.budget_cover = command.financially_sound = true;
    return command;
}

static Attest an_attestation(void)
{
    Attest command = PAYMENT__V1__ATTEST__INIT;

    command.payment_key = (char *)KEY;
    command.content_sha256 = (char *)"c0ffee";
    command.agrees_with_decision = command.acceptance_received = true;
    command.coding_right = command.account_belongs_to_recipient = true;
    return command;
}

static Authorise an_authorisation(void)
{
    Authorise command = PAYMENT__V1__AUTHORISE__INIT;

    command.payment_key = (char *)KEY;
    command.content_sha256 = (char *)"c0ffee";
    return command;
}

static void three_people_release_one_order(void **state)
{
    struct message first = by("bodil", ROLE_OF(BUDGET_HOLDER)), second = by("atle", ROLE_OF(ATTESTANT)),
                   third = by("aud", ROLE_OF(AUTHORISER));
    struct payment prepared = a_payment(PREPARED), disposed = a_payment(DISPOSED),
                   attested = a_payment(ATTESTED);
    Dispose dispose = a_disposal();
    Attest attest = an_attestation();
    Authorise authorise = an_authorisation();

    (void)state;
    assert_int_equal(OK, rule_dispose(&first, &prepared, &dispose));
    check_emitted(&first, 1, 0, &payment__v1__payment_disposed__descriptor);
    assert_int_equal(OK, rule_attest(&second, &disposed, &attest));
    check_emitted(&second, 1, 0, &payment__v1__payment_attested__descriptor);
    assert_null(second.asked);
    assert_int_equal(OK, rule_authorise(&third, &attested, &authorise));
    const PaymentAuthorised *event = check_emitted(&third, 1, 0,
                                                   &payment__v1__payment_authorised__descriptor);
    assert_int_equal(1, event->attempt);
    assert_int_equal(AUGUST, event->ordered_at_us);
    assert_non_null(third.asked);
    assert_null(third.asked->next);
    assert_string_equal("finance", third.asked->service);
    assert_string_equal(KEY "#1", third.asked->key);
}

static void the_order_says_what_was_signed(void **state)
{
    struct message message = by("aud", ROLE_OF(AUTHORISER));
    struct payment payment = a_payment(ATTESTED);
    Authorise command = an_authorisation();
    PayOrder *order;

    (void)state;
    assert_int_equal(OK, rule_authorise(&message, &payment, &command));
    assert_int_equal(OK, message_decode(&message, &finance__v1__pay_order__descriptor, message.asked->data,
                                        message.asked->size, &order));
    assert_string_equal(KEY "#1", order->order_id);
    assert_string_equal(KEY, order->payment_key);
    assert_int_equal(1, order->attempt);
    assert_string_equal(payment_end_to_end_id(message.arena, KEY), order->end_to_end_id);
    assert_int_equal(190000000, order->amount_ore);
    assert_string_equal("76940512057", order->creditor_account);
    assert_string_equal("12344", order->kid);
    assert_string_equal("2024-08-07", order->value_date);
    assert_int_equal(AUGUST, order->ordered_at_us);
}

static void a_signature_out_of_turn_is_refused(void **state)
{
    struct message first = by("bodil", ROLE_OF(BUDGET_HOLDER)), second = by("atle", ROLE_OF(ATTESTANT)),
                   third = by("aud", ROLE_OF(AUTHORISER));
    struct payment due = a_payment(DUE), prepared = a_payment(PREPARED);
    Dispose dispose = a_disposal();
    Attest attest = an_attestation();
    Authorise authorise = an_authorisation();

    (void)state;
    check_refused(&first, rule_dispose(&first, &due, &dispose), "is DUE; it must be PREPARED");
    check_refused(&second, rule_attest(&second, &prepared, &attest), "is PREPARED; it must be DISPOSED");
    check_refused(&third, rule_authorise(&third, &prepared, &authorise), "is PREPARED; it must be ATTESTED");
}

static void a_signature_over_a_stale_hash_is_refused(void **state)
{
    struct message first = by("bodil", ROLE_OF(BUDGET_HOLDER)), second = by("atle", ROLE_OF(ATTESTANT)),
                   third = by("aud", ROLE_OF(AUTHORISER));
    struct payment prepared = a_payment(PREPARED), disposed = a_payment(DISPOSED),
                   attested = a_payment(ATTESTED);
    Dispose dispose = a_disposal();
    Attest attest = an_attestation();
    Authorise authorise = an_authorisation();

    (void)state;
    dispose.content_sha256 = attest.content_sha256 = authorise.content_sha256 = (char *)"stale";
    check_refused(&first, rule_dispose(&first, &prepared, &dispose), "content_sha256");
    check_refused(&second, rule_attest(&second, &disposed, &attest), "content_sha256");
    check_refused(&third, rule_authorise(&third, &attested, &authorise), "read it again before signing");
}

static void every_confirmation_is_needed_and_named(void **state)
{
    struct payment prepared = a_payment(PREPARED), disposed = a_payment(DISPOSED);
    static const char *const fields[] = {
        "legal_basis",         "budget_cover", "financially_sound",           "agrees_with_decision",
        "acceptance_received", "coding_right", "account_belongs_to_recipient"};

    (void)state;
    for (int i = 0; i < 7; i++) {
        struct message message = by(i < 3 ? "bodil" : "atle",
                                    i < 3 ? ROLE_OF(BUDGET_HOLDER) : ROLE_OF(ATTESTANT));
        Dispose dispose = a_disposal();
        Attest attest = an_attestation();
        protobuf_c_boolean *given[] = {&dispose.legal_basis,
                                       &dispose.budget_cover,
                                       &dispose.financially_sound,
                                       &attest.agrees_with_decision,
                                       &attest.acceptance_received,
                                       &attest.coding_right,
                                       &attest.account_belongs_to_recipient};
        *given[i] = false;
        check_refused(&message,
                      i < 3 ? rule_dispose(&message, &prepared, &dispose)
                            : rule_attest(&message, &disposed, &attest),
                      fields[i]);
    }
}

static void four_eyes_hold_in_every_pair(void **state)
{
    static const struct {
        const char *who, *reason;
        enum payment_state turn;
    } pairs[] = {
        {"bodil", "bodil has disposed of payment", DISPOSED},  // attests what one disposed of
        {"paula", "paula has prepared payment", ATTESTED},     // authorises what one prepared
        {"bodil", "bodil has disposed of payment", ATTESTED},
        {"atle", "atle has attested payment", ATTESTED},
    };
    Attest attest = an_attestation();
    Authorise authorise = an_authorisation();

    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct payment payment = a_payment(pairs[i].turn);
        struct message message = by(pairs[i].who, ROLE_OF(AUTHORISER));
        check_refused(&message,
                      pairs[i].turn == DISPOSED ? rule_attest(&message, &payment, &attest)
                                                : rule_authorise(&message, &payment, &authorise),
                      pairs[i].reason);
        assert_null(message.asked);
    }
}

static void who_changed_the_account_signs_nothing(void **state)
{
    struct message first = by("karl", ROLE_OF(BUDGET_HOLDER)), second = by("karl", ROLE_OF(ATTESTANT)),
                   third = by("karl", ROLE_OF(AUTHORISER));
    struct payment prepared = a_payment(PREPARED), disposed = a_payment(DISPOSED),
                   attested = a_payment(ATTESTED);
    Dispose dispose = a_disposal();
    Attest attest = an_attestation();
    Authorise authorise = an_authorisation();

    (void)state;
    prepared.account_changed_by = disposed.account_changed_by = attested.account_changed_by = (char *)"karl";
    check_refused(&first, rule_dispose(&first, &prepared, &dispose), "karl has changed the account of");
    check_refused(&second, rule_attest(&second, &disposed, &attest), "karl has changed the account of");
    check_refused(&third, rule_authorise(&third, &attested, &authorise), "karl has changed the account of");
}

static void who_decided_the_award_neither_attests_nor_authorises(void **state)
{
    struct message second = by("berit", ROLE_OF(ATTESTANT)), third = by("berit", ROLE_OF(AUTHORISER));
    struct payment disposed = a_payment(DISPOSED), attested = a_payment(ATTESTED);
    Attest attest = an_attestation();
    Authorise authorise = an_authorisation();

    (void)state;
    disposed.actor_decided_award = attested.actor_decided_award = true;
    check_refused(&second, rule_attest(&second, &disposed, &attest), "berit has decided the award");
    check_refused(&third, rule_authorise(&third, &attested, &authorise), "berit has decided the award");
}

static void a_value_date_that_passed_must_be_prepared_anew(void **state)
{
    struct message message = check_message(NEW_YEAR, "aud", ROLE_OF(AUTHORISER), "");
    struct payment payment = a_payment(ATTESTED);
    Authorise command = an_authorisation();

    (void)state;
    check_refused(&message, rule_authorise(&message, &payment, &command), "has passed");
}

// ----------------------------------------------------------------------------------------- answers, statuses

static PayOrder the_order(uint32_t attempt)
{
    PayOrder order = FINANCE__V1__PAY_ORDER__INIT;

    order.order_id = (char *)(attempt == 1 ? KEY "#1" : KEY "#2");
    order.payment_key = (char *)KEY;
    order.attempt = attempt;
    return order;
}

static void an_answer_moves_only_the_order_in_hand(void **state)
{
    struct message taken_message = by("payment", ROLE_OF(SERVICE)), late = by("payment", ROLE_OF(SERVICE)),
                   refused = by("payment", ROLE_OF(SERVICE)), wrong = by("payment", ROLE_OF(SERVICE));
    struct payment payment = a_payment(AUTHORISED), failed = a_payment(FAILED);
    PayOrder order = the_order(1);
    OrderTaken taken = FINANCE__V1__ORDER_TAKEN__INIT, other = FINANCE__V1__ORDER_TAKEN__INIT;

    (void)state;
    taken.order_id = order.order_id;
    taken.message_id = (char *)"T1";
    other.order_id = (char *)"another";
    assert_int_equal(OK, rule_order_taken(&taken_message, &payment, &order, &taken));
    const PaymentSent *sent = check_emitted(&taken_message, 1, 0, &payment__v1__payment_sent__descriptor);
    assert_string_equal("T1", sent->message_id);
    assert_int_equal(OK, rule_order_taken(&late, &failed, &order, &taken));
    assert_null(late.emitted);
    assert_int_equal(POISON, rule_order_taken(&wrong, &payment, &order, &other));
    assert_int_equal(OK, rule_order_refused(&refused, &payment, &order, "no such account"));
    const PaymentRefusedByFinance *event = check_emitted(
        &refused, 1, 0, &payment__v1__payment_refused_by_finance__descriptor);
    assert_string_equal("no such account", event->reason);
}

#define SAYS(name) FINANCE__V1__REPORT_STATUS__STATE__##name

static ReportStatus a_status(Finance__V1__ReportStatus__State said)
{
    ReportStatus command = FINANCE__V1__REPORT_STATUS__INIT;

    command.status_id = (char *)"BANK-7/E/S";
    command.end_to_end_id = (char *)"E";
    command.message_id = (char *)"T1";
    command.state = said;
    command.amount_ore = 190000000;
    return command;
}

static struct message from_finance(void)
{
    struct message message = by("finance", ROLE_OF(SERVICE));

    message.sender = "finance";
    return message;
}

static bool changed(struct message *message)
{
    StatusTaken *taken;

    assert_ptr_equal(&finance__v1__status_taken__descriptor, message->answer_descriptor);
    assert_int_equal(OK, message_decode(message, message->answer_descriptor, message->answer,
                                        message->answer_size, &taken));
    return taken->changed;
}

#define EVENT(name) &payment__v1__payment_##name##__descriptor
#define QUESTIONED  &payment__v1__status_questioned__descriptor

// What each word does to an order that has come so far. NULL: nothing.
static void an_order_only_goes_forward(void **state)
{
    static const struct {
        enum order_outcome outcome;
        Finance__V1__ReportStatus__State said;
        const ProtobufCMessageDescriptor *event;
    } all[] = {
        {TAKEN, SAYS(ACCEPTED), EVENT(acknowledged)},
        {TAKEN, SAYS(SETTLED), EVENT(confirmed)},
        {TAKEN, SAYS(REJECTED), EVENT(failed)},
        {ACKNOWLEDGED, SAYS(ACCEPTED), NULL},
        {ACKNOWLEDGED, SAYS(SETTLED), EVENT(confirmed)},
        {ACKNOWLEDGED, SAYS(REJECTED), EVENT(failed)},
        {SETTLED, SAYS(ACCEPTED), NULL},
        {SETTLED, SAYS(SETTLED), NULL},
        {SETTLED, SAYS(REJECTED), QUESTIONED},
        {SETTLED, SAYS(RETURNED), EVENT(returned)},
        {REJECTED, SAYS(ACCEPTED), NULL},
        {REJECTED, SAYS(SETTLED), QUESTIONED},
        {REJECTED, SAYS(REJECTED), NULL},
        {REJECTED, SAYS(RETURNED), QUESTIONED},
        {CAME_BACK, SAYS(ACCEPTED), NULL},
        {CAME_BACK, SAYS(SETTLED), NULL},
        {CAME_BACK, SAYS(REJECTED), NULL},
        {CAME_BACK, SAYS(RETURNED), NULL},
    };
    struct payment payment = a_payment(SENT);

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct message message = from_finance();
        struct order order = {.known = true, .attempt = 1, .outcome = all[i].outcome};
        ReportStatus command = a_status(all[i].said);
        assert_int_equal(OK, rule_report_status(&message, &payment, &order, &command));
        if (all[i].event != NULL)
            check_emitted(&message, 1, 0, all[i].event);
        else
            assert_null(message.emitted);
        assert_int_equal(all[i].event != NULL && all[i].event != QUESTIONED, changed(&message));
    }
}

static void money_that_came_back_untold_was_booked_first(void **state)
{
    struct message message = from_finance();
    struct payment payment = a_payment(SENT);
    struct order order = {.known = true, .attempt = 1, .outcome = TAKEN};
    ReportStatus command = a_status(SAYS(RETURNED));

    (void)state;
    assert_int_equal(OK, rule_report_status(&message, &payment, &order, &command));
    check_emitted(&message, 2, 0, EVENT(confirmed));
    check_emitted(&message, 2, 1, EVENT(returned));
}

static void a_status_told_before_changes_nothing(void **state)
{
    struct message message = from_finance();
    struct payment payment = a_payment(SENT);
    struct order order = {.known = true, .status_known = true, .attempt = 1, .outcome = TAKEN};
    ReportStatus command = a_status(SAYS(SETTLED));

    (void)state;
    assert_int_equal(OK, rule_report_status(&message, &payment, &order, &command));
    assert_null(message.emitted);
    assert_false(changed(&message));
}

static void a_doubtful_status_is_questioned_not_believed(void **state)
{
    struct message stray = from_finance(), nameless = from_finance(), amount = from_finance();
    struct payment payment = a_payment(SENT), unknown = {.known = false};
    struct order order = {.known = true, .attempt = 1, .outcome = TAKEN}, none = {.known = false};
    ReportStatus command = a_status(SAYS(SETTLED)), less = a_status(SAYS(SETTLED));

    (void)state;
    assert_int_equal(OK, rule_report_status(&stray, &unknown, &none, &command));
    const StatusQuestioned *event = check_emitted(&stray, 1, 0, QUESTIONED);
    assert_non_null(strstr(event->reason, "belongs to no payment"));
    assert_true(uuid_valid(event->payment_key));
    assert_int_equal(OK, rule_report_status(&nameless, &payment, &none, &command));
    event = check_emitted(&nameless, 1, 0, QUESTIONED);
    assert_non_null(strstr(event->reason, "no order of payment"));
    less.amount_ore = 189999999;
    assert_int_equal(OK, rule_report_status(&amount, &payment, &order, &less));
    event = check_emitted(&amount, 1, 0, QUESTIONED);
    assert_non_null(strstr(event->reason, "1 899 999,99 kr"));
    assert_false(changed(&amount));
}

static void a_status_faster_than_our_answer_waits(void **state)
{
    struct message message = from_finance();
    struct payment payment = a_payment(AUTHORISED);
    struct order none = {.known = false};
    ReportStatus command = a_status(SAYS(SETTLED));

    (void)state;
    assert_int_equal(RETRY, rule_report_status(&message, &payment, &none, &command));
}

static void a_status_not_from_finance_or_without_names_is_refused(void **state)
{
    struct payment payment = a_payment(SENT);
    struct order order = {.known = true, .attempt = 1, .outcome = TAKEN};
    struct message stranger = by("intake", ROLE_OF(SERVICE)), no_id = from_finance(),
                   no_state = from_finance(), no_order = from_finance(), no_amount = from_finance(),
                   long_text = from_finance();
    ReportStatus command = a_status(SAYS(SETTLED));
    char text[LIMIT_TEXT_BYTES + 2] = "";

    (void)state;
    check_refused(&stranger, rule_report_status(&stranger, &payment, &order, &command),
                  "may not report a status");
    command.status_id = (char *)"";
    check_refused(&no_id, rule_report_status(&no_id, &payment, &order, &command), "status_id has 0");
    command = a_status(SAYS(UNSPECIFIED));
    check_refused(&no_state, rule_report_status(&no_state, &payment, &order, &command), "state of status");
    command = a_status(SAYS(SETTLED));
    command.message_id = (char *)"";
    check_refused(&no_order, rule_report_status(&no_order, &payment, &order, &command), "message_id");
    command = a_status(SAYS(SETTLED));
    command.amount_ore = -1;
    check_refused(&no_amount, rule_report_status(&no_amount, &payment, &order, &command), "no amount");
    command = a_status(SAYS(SETTLED));
    memset(text, 'x', LIMIT_TEXT_BYTES + 1);
    command.text = text;
    check_refused(&long_text, rule_report_status(&long_text, &payment, &order, &command), "too long");
}

// -------------------------------------------------------------------------------------- again, stop, release

static RetryPayment a_retry(const char *account)
{
    RetryPayment command = PAYMENT__V1__RETRY_PAYMENT__INIT;

    command.payment_key = (char *)KEY;
    command.reason = (char *)"the bank says try again";
    command.account_number = (char *)account;
    return command;
}

static void a_retry_is_the_next_attempt_under_the_same_key(void **state)
{
    static const enum payment_state may[] = {FAILED, RETURNED, REFUSED_BY_FINANCE};
    RetryPayment command = a_retry("");
    PayOrder *order;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct message message = check_message(AUGUST + INT64_C(5) * 86400 * 1000000, "paula",
                                               ROLE_OF(PAYMENT_OFFICER), "");
        struct payment payment = a_payment(may[i]);
        assert_int_equal(OK, rule_retry(&message, &payment, &command));
        const PaymentRetried *event = check_emitted(&message, 1, 0,
                                                    &payment__v1__payment_retried__descriptor);
        assert_int_equal(2, event->attempt);
        assert_int_equal(OK, message_decode(&message, &finance__v1__pay_order__descriptor,
                                            message.asked->data, message.asked->size, &order));
        assert_string_equal(KEY "#2", order->order_id);
        assert_string_equal(payment_end_to_end_id(message.arena, KEY), order->end_to_end_id);
        assert_string_equal("2024-08-10", order->value_date);  // the signed date has passed
    }
}

static void a_retry_before_the_bank_has_spoken_is_refused(void **state)
{
    RetryPayment command = a_retry("");

    (void)state;
    for (int i = DUE; i <= CONFIRMED; i++) {
        struct message message = by("paula", ROLE_OF(PAYMENT_OFFICER));
        struct payment payment = a_payment((enum payment_state)i);
        check_refused(&message, rule_retry(&message, &payment, &command),
                      "only one that finance rejected, returned or refused");
        assert_null(message.asked);
    }
}

static void a_retry_needs_a_reason_the_year_and_the_current_letter(void **state)
{
    struct message silent = by("paula", ROLE_OF(PAYMENT_OFFICER)),
                   replaced = by("paula", ROLE_OF(PAYMENT_OFFICER)),
                   late = check_message(NEW_YEAR, "paula", ROLE_OF(PAYMENT_OFFICER), "");
    struct payment payment = a_payment(FAILED);
    RetryPayment command = a_retry("");

    (void)state;
    check_refused(&late, rule_retry(&late, &payment, &command), "can not be sent again in 2025");
    command.reason = (char *)"";
    check_refused(&silent, rule_retry(&silent, &payment, &command), "reason is missing");
    payment.letter_version = 2;
    check_refused(&replaced, rule_retry(&replaced, &payment, &command), "must be accepted first");
}

static void a_new_account_goes_back_to_the_signatures(void **state)
{
    struct message message = by("paula", ROLE_OF(PAYMENT_OFFICER)),
                   wrong = by("paula", ROLE_OF(PAYMENT_OFFICER)),
                   same = by("paula", ROLE_OF(PAYMENT_OFFICER));
    struct payment payment = a_payment(FAILED);
    RetryPayment command = a_retry("12345678903"), invalid = a_retry("12345678904"),
                 known = a_retry("76940512057");

    (void)state;
    assert_int_equal(OK, rule_retry(&message, &payment, &command));
    const AccountChanged *event = check_emitted(&message, 1, 0, &payment__v1__account_changed__descriptor);
    assert_string_equal("paula", event->changed_by);
    assert_int_equal(2, event->attempt);
    assert_null(message.asked);
    check_refused(&wrong, rule_retry(&wrong, &payment, &invalid), "right check digit");
    check_refused(&same, rule_retry(&same, &payment, &known), "leave it out");
}

static StopPayment a_stop(const char *reason)
{
    StopPayment command = PAYMENT__V1__STOP_PAYMENT__INIT;

    command.payment_key = (char *)KEY;
    command.reason = (char *)reason;
    return command;
}

static void a_stopped_payment_does_nothing_until_another_releases_it(void **state)
{
    struct message stop = by("ulla", ROLE_OF(UNIT_HEAD)), again = by("bodil", ROLE_OF(BUDGET_HOLDER)),
                   prepare = by("paula", ROLE_OF(PAYMENT_OFFICER)),
                   retry = by("paula", ROLE_OF(PAYMENT_OFFICER)), self = by("ulla", ROLE_OF(UNIT_HEAD)),
                   other = by("bodil", ROLE_OF(BUDGET_HOLDER)), free = by("bodil", ROLE_OF(BUDGET_HOLDER)),
                   silent = by("bodil", ROLE_OF(BUDGET_HOLDER));
    struct payment payment = a_payment(DUE), failed = a_payment(FAILED);
    StopPayment command = a_stop("a tip");
    PreparePayment preparation = a_preparation();
    RetryPayment another_try = a_retry("");
    ReleaseStop release = PAYMENT__V1__RELEASE_STOP__INIT;

    (void)state;
    release.payment_key = (char *)KEY;
    release.reason = (char *)"looked into";
    check_refused(&free, rule_release(&free, &payment, &release), "is not stopped");
    assert_int_equal(OK, rule_stop(&stop, &payment, &command));
    check_emitted(&stop, 1, 0, &payment__v1__payment_stopped__descriptor);
    payment.stopped_by = failed.stopped_by = (char *)"ulla";
    check_refused(&again, rule_stop(&again, &payment, &command), "is stopped by ulla");
    check_refused(&prepare, rule_prepare(&prepare, &payment, &preparation), "is stopped by ulla");
    check_refused(&retry, rule_retry(&retry, &failed, &another_try), "is stopped by ulla");
    check_refused(&self, rule_release(&self, &payment, &release), "ulla has stopped payment");
    assert_int_equal(OK, rule_release(&other, &payment, &release));
    check_emitted(&other, 1, 0, &payment__v1__stop_released__descriptor);
    release.reason = (char *)"";
    check_refused(&silent, rule_release(&silent, &payment, &release), "reason is missing");
}

static void what_is_sent_can_not_be_stopped(void **state)
{
    struct message sent = by("ulla", ROLE_OF(UNIT_HEAD)), silent = by("ulla", ROLE_OF(UNIT_HEAD)),
                   wordy = by("ulla", ROLE_OF(UNIT_HEAD));
    struct payment gone = a_payment(SENT), payment = a_payment(DUE);
    StopPayment command = a_stop("a tip"), nothing = a_stop("");
    char text[LIMIT_TEXT_BYTES + 2] = "";

    (void)state;
    check_refused(&sent, rule_stop(&sent, &gone, &command), "only one that is not sent can be stopped");
    check_refused(&silent, rule_stop(&silent, &payment, &nothing), "reason is missing");
    memset(text, 'x', LIMIT_TEXT_BYTES + 1);
    nothing.reason = text;
    check_refused(&wordy, rule_stop(&wordy, &payment, &nothing), "at most 20000");
}

// ---------------------------------------------------------------------------------------------------- claims

static struct claim a_claim(int64_t outstanding_ore)
{
    return (struct claim){.known = true,
                          .claim_id = (char *)APPLICATION "#2024#claim",
                          .application_id = (char *)APPLICATION,
                          .call_id = (char *)"call",
                          .kid = (char *)"12344",
                          .amount_ore = 12000000,
                          .outstanding_ore = outstanding_ore};
}

static RecordRepayment a_repayment(int64_t amount_ore)
{
    RecordRepayment command = PAYMENT__V1__RECORD_REPAYMENT__INIT;

    command.kid = (char *)"12344";
    command.amount_ore = amount_ore;
    command.receipt_id = (char *)"bank-1";
    return command;
}

static const struct receipt no_receipt = {.claim_id = (char *)""};

static void a_decided_repayment_becomes_one_claim_with_a_kid(void **state)
{
    struct message message = by("reporting", ROLE_OF(SERVICE)), repeated = by("reporting", ROLE_OF(SERVICE));
    struct claim none = {.known = false}, known = a_claim(12000000);
    RepaymentDecided decided = REPORTING__V1__REPAYMENT_DECIDED__INIT;

    (void)state;
    decided.application_id = (char *)APPLICATION;
    decided.year = 2024;
    decided.amount_ore = 12000000;
    decided.due_at_us = 77;
    assert_int_equal(OK, rule_repayment_decided(&message, &none, &decided));
    const ClaimIssued *event = check_emitted(&message, 1, 0, &payment__v1__claim_issued__descriptor);
    assert_string_equal(APPLICATION "#2024#claim", event->claim_id);
    assert_true(kid_valid(event->kid));
    assert_int_equal(13, strlen(event->kid));
    assert_int_equal(77, event->due_at_us);
    assert_int_equal(OK, rule_repayment_decided(&repeated, &known, &decided));
    assert_null(repeated.emitted);
}

static void receipts_reduce_a_claim_to_nothing_but_not_below(void **state)
{
    struct message part = by("paula", ROLE_OF(PAYMENT_OFFICER)), rest = by("paula", ROLE_OF(PAYMENT_OFFICER)),
                   more = by("paula", ROLE_OF(PAYMENT_OFFICER));
    struct claim whole = a_claim(12000000), left = a_claim(2000000);
    RecordRepayment ten = a_repayment(10000000), two = a_repayment(2000000), three = a_repayment(3000000);

    (void)state;
    assert_int_equal(OK, rule_record_repayment(&part, &whole, &no_receipt, &ten));
    const RepaymentReceived *event = check_emitted(&part, 1, 0, &payment__v1__repayment_received__descriptor);
    assert_int_equal(2000000, event->outstanding_ore);
    assert_int_equal(OK, rule_record_repayment(&rest, &left, &no_receipt, &two));
    event = check_emitted(&rest, 1, 0, &payment__v1__repayment_received__descriptor);
    assert_int_equal(0, event->outstanding_ore);
    check_refused(&more, rule_record_repayment(&more, &left, &no_receipt, &three),
                  "30 000 kr is more than the 20 000 kr outstanding");
}

static void a_receipt_counts_once(void **state)
{
    struct message repeated = by("paula", ROLE_OF(PAYMENT_OFFICER)),
                   other = by("paula", ROLE_OF(PAYMENT_OFFICER));
    struct claim claim = a_claim(2000000);
    struct receipt known = {.claim_id = claim.claim_id, .amount_ore = 2000000};
    RecordRepayment same = a_repayment(2000000), another = a_repayment(1000000);

    (void)state;
    assert_int_equal(OK, rule_record_repayment(&repeated, &claim, &known, &same));
    assert_null(repeated.emitted);
    check_refused(&other, rule_record_repayment(&other, &claim, &known, &another), "was recorded before");
}

static void a_receipt_that_fits_nothing_is_refused(void **state)
{
    struct message stray = by("paula", ROLE_OF(PAYMENT_OFFICER)),
                   nameless = by("paula", ROLE_OF(PAYMENT_OFFICER)),
                   nothing = by("paula", ROLE_OF(PAYMENT_OFFICER)), stranger = by("intake", ROLE_OF(SERVICE));
    struct claim unknown = {.known = false}, claim = a_claim(2000000);
    RecordRepayment command = a_repayment(100), zero = a_repayment(0), no_id = a_repayment(100);

    (void)state;
    no_id.receipt_id = (char *)"";
    check_refused(&stray, rule_record_repayment(&stray, &unknown, &no_receipt, &command),
                  "belongs to no claim");
    check_refused(&nameless, rule_record_repayment(&nameless, &claim, &no_receipt, &no_id),
                  "receipt_id has 0");
    check_refused(&nothing, rule_record_repayment(&nothing, &claim, &no_receipt, &zero),
                  "must be above zero");
    check_refused(&stranger, rule_record_repayment(&stranger, &claim, &no_receipt, &command),
                  "only finance may");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_to_end_id_is_26_characters_made_from_the_key_for_ever),
        cmocka_unit_test(the_signed_hash_changes_with_every_part_of_the_content),
        cmocka_unit_test(an_acceptance_makes_the_instalment_due),
        cmocka_unit_test(instalments_add_up_to_the_grant),
        cmocka_unit_test(a_second_acceptance_never_makes_a_second_payment),
        cmocka_unit_test(a_key_that_fell_is_due_again_with_the_newer_letter),
        cmocka_unit_test(a_newer_letter_or_a_renunciation_voids_what_has_not_left),
        cmocka_unit_test(preparing_says_what_the_three_will_sign),
        cmocka_unit_test(a_value_date_must_lie_in_the_year_and_not_in_the_past),
        cmocka_unit_test(today_is_the_day_in_oslo),
        cmocka_unit_test(a_coding_has_1_to_100_characters),
        cmocka_unit_test(nothing_is_prepared_without_acceptance_or_after_authorisation),
        cmocka_unit_test(money_goes_only_on_the_current_letter_of_a_grant_that_stands),
        cmocka_unit_test(three_people_release_one_order),
        cmocka_unit_test(the_order_says_what_was_signed),
        cmocka_unit_test(a_signature_out_of_turn_is_refused),
        cmocka_unit_test(a_signature_over_a_stale_hash_is_refused),
        cmocka_unit_test(every_confirmation_is_needed_and_named),
        cmocka_unit_test(four_eyes_hold_in_every_pair),
        cmocka_unit_test(who_changed_the_account_signs_nothing),
        cmocka_unit_test(who_decided_the_award_neither_attests_nor_authorises),
        cmocka_unit_test(a_value_date_that_passed_must_be_prepared_anew),
        cmocka_unit_test(an_answer_moves_only_the_order_in_hand),
        cmocka_unit_test(an_order_only_goes_forward),
        cmocka_unit_test(money_that_came_back_untold_was_booked_first),
        cmocka_unit_test(a_status_told_before_changes_nothing),
        cmocka_unit_test(a_doubtful_status_is_questioned_not_believed),
        cmocka_unit_test(a_status_faster_than_our_answer_waits),
        cmocka_unit_test(a_status_not_from_finance_or_without_names_is_refused),
        cmocka_unit_test(a_retry_is_the_next_attempt_under_the_same_key),
        cmocka_unit_test(a_retry_before_the_bank_has_spoken_is_refused),
        cmocka_unit_test(a_retry_needs_a_reason_the_year_and_the_current_letter),
        cmocka_unit_test(a_new_account_goes_back_to_the_signatures),
        cmocka_unit_test(a_stopped_payment_does_nothing_until_another_releases_it),
        cmocka_unit_test(what_is_sent_can_not_be_stopped),
        cmocka_unit_test(a_decided_repayment_becomes_one_claim_with_a_kid),
        cmocka_unit_test(receipts_reduce_a_claim_to_nothing_but_not_below),
        cmocka_unit_test(a_receipt_counts_once),
        cmocka_unit_test(a_receipt_that_fits_nothing_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
