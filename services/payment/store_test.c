// store_test: payment's statements against a real PostgreSQL, its constraints, two at once, and apply =
// replay.
#include "payment.h"
#include "check/check.h"
#include "payment_store.sql.h"
#include "service/loop.h"

#include <stdlib.h>
#include <string.h>

#define APPLICATION   "0190aaaa-0000-7000-8000-000000000001"
#define KEY           APPLICATION "#2024#1"
#define AUGUST        INT64_C(1722844800000000)  // 2024-08-05 08:00 UTC
#define ROLE_OF(name) BUS__V1__ACTOR__ROLE__##name

// A database of its own.
struct world {
    db_t *db;
    int count;  // events made in it
};

static int open_world(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    assert_non_null(world);
    world->db = check_db_open(&payment_service);
    *state = world;
    return 0;
}

static int close_world(void **state)
{
    struct world *world = *state;

    check_db_close(&world->db);
    free(world);
    return 0;
}

static struct message as(struct world *world, const char *subject, Bus__V1__Actor__Role role)
{
    struct message message = check_message(AUGUST, subject, role, "");

    message.db = world->db;
    message.sender = subject;
    return message;
}

static void count(struct world *world, const struct message *message)
{
    for (const struct emitted *one = message->emitted; one != NULL; one = one->next)
        world->count++;
}

// Give a command; it must come to this status.
static struct message gives(struct world *world, status_t expected, const char *subject,
                            Bus__V1__Actor__Role role, const void *command)
{
    struct message message = as(world, subject, role);
    status_t status = check_command(&payment_service, &message, command);

    if (status != expected)
        fail_msg("status %d, not %d: %s", status, expected, message.reason != NULL ? message.reason : "");
    if (status == OK)
        count(world, &message);
    return message;
}

static void hears(struct world *world, const void *event)
{
    struct message message = as(world, "allocation", ROLE_OF(SERVICE));

    message.subject = APPLICATION;
    if (check_heard(&payment_service, &message, event) != OK)
        fail_msg("not heard: %s", message.reason);
    count(world, &message);
}

// ---------------------------------------------------------------------------------------------- what is said

static GrantAccepted an_acceptance(uint32_t version)
{
    GrantAccepted event = ALLOCATION__V1__GRANT_ACCEPTED__INIT;

    event.application_id = (char *)APPLICATION;
    event.call_id = (char *)"call";
    event.organisation_number = (char *)"974683520";
    event.name = (char *)"Kommunen";
    event.year = 2024;
    event.amount_ore = 190000000;
    event.letter_version = version;
    event.account_number = (char *)"76940512057";
    event.kid = (char *)"12344";
    event.instalments = 1;
    return event;
}

static void hears_letter(struct world *world, uint32_t version)
{
    GrantLetterIssued event = ALLOCATION__V1__GRANT_LETTER_ISSUED__INIT;
    Allocation__V1__GrantLetter letter = ALLOCATION__V1__GRANT_LETTER__INIT;

    event.application_id = (char *)APPLICATION;
    letter.year = 2024;
    letter.letter_version = version;
    event.letter = &letter;
    hears(world, &event);
}

static void is_accepted(struct world *world)
{
    GrantAccepted accepted = an_acceptance(1);

    hears_letter(world, 1);
    hears(world, &accepted);
}

static struct payment load(struct world *world, const char *key)
{
    struct message message = as(world, "reader", ROLE_OF(AUDITOR));
    struct payment payment;

    assert_int_equal(OK, store_read_payment(&message, key, &payment));
    return payment;
}

static void is_prepared(struct world *world)
{
    PreparePayment command = PAYMENT__V1__PREPARE_PAYMENT__INIT;

    command.payment_key = (char *)KEY;
    command.coding = (char *)"0671.62";
    command.value_date = (char *)"2024-08-07";
    gives(world, OK, "paula", ROLE_OF(PAYMENT_OFFICER), &command);
}

static Dispose a_disposal(struct world *world)
{
    Dispose command = PAYMENT__V1__DISPOSE__INIT;

    command.payment_key = (char *)KEY;
    command.content_sha256 = load(world, KEY).content_sha256;
    command.legal_basis = command.budget_cover = command.financially_sound = true;
    return command;
}

static Attest an_attestation(struct world *world)
{
    Attest command = PAYMENT__V1__ATTEST__INIT;

    command.payment_key = (char *)KEY;
    command.content_sha256 = load(world, KEY).content_sha256;
    command.agrees_with_decision = command.acceptance_received = true;
    command.coding_right = command.account_belongs_to_recipient = true;
    return command;
}

static struct message is_authorised(struct world *world)
{
    Dispose dispose = a_disposal(world);
    Attest attest = an_attestation(world);
    Authorise authorise = PAYMENT__V1__AUTHORISE__INIT;

    authorise.payment_key = (char *)KEY;
    authorise.content_sha256 = dispose.content_sha256;
    gives(world, OK, "bodil", ROLE_OF(BUDGET_HOLDER), &dispose);
    gives(world, OK, "atle", ROLE_OF(ATTESTANT), &attest);
    return gives(world, OK, "aud", ROLE_OF(AUTHORISER), &authorise);
}

// The connector answers the order that this message asked.
static void is_answered(struct world *world, const struct message *asker, Bus__V1__Reply__Status said,
                        const char *message_id)
{
    struct message message = as(world, "payment", ROLE_OF(SERVICE));
    Bus__V1__Reply reply = BUS__V1__REPLY__INIT;
    OrderTaken taken = FINANCE__V1__ORDER_TAKEN__INIT;
    PayOrder *order;
    size_t size;

    assert_non_null(asker->asked);
    assert_int_equal(OK, message_decode(&message, asker->asked->descriptor, asker->asked->data,
                                        asker->asked->size, &order));
    taken.order_id = order->order_id;
    taken.message_id = (char *)message_id;
    reply.status = said;
    reply.reason = (char *)"no such account";
    const uint8_t *body = message_encode(message.arena, &taken, &size);
    struct arg request = BYTES(asker->asked->data, asker->asked->size);
    struct harvest harvest = harvest_new(message.arena);
    assert_int_equal(OK, db_begin(&message));
    assert_int_equal(OK, dispatch_answer(&payment_service, &message, asker->asked->descriptor->name, &request,
                                         &reply, body, size, &harvest));
    assert_int_equal(OK, harvest_keep(&message, &harvest));
    assert_int_equal(OK, db_commit(&message));
    count(world, &message);
}

static struct message bank_says(struct world *world, Finance__V1__ReportStatus__State said,
                                const char *message_id, const char *status_id)
{
    ReportStatus command = FINANCE__V1__REPORT_STATUS__INIT;

    command.status_id = (char *)status_id;
    command.end_to_end_id = load(world, KEY).end_to_end_id;
    command.message_id = (char *)message_id;
    command.state = said;
    command.code = (char *)"AC04";
    return gives(world, OK, "finance", ROLE_OF(SERVICE), &command);
}

#define SAYS(name) FINANCE__V1__REPORT_STATUS__STATE__##name

static void is_retried(struct world *world, const char *account, struct message *ret)
{
    RetryPayment command = PAYMENT__V1__RETRY_PAYMENT__INIT;

    command.payment_key = (char *)KEY;
    command.reason = (char *)"again";
    command.account_number = (char *)account;
    *ret = gives(world, OK, "paula", ROLE_OF(PAYMENT_OFFICER), &command);
}

// A whole life: rejected once, account changed, signed again, settled, returned, sent again, settled; a claim
// in parts.
static void lives(struct world *world)
{
    struct message retried, asker;
    RepaymentDecided decided = REPORTING__V1__REPAYMENT_DECIDED__INIT;
    RecordRepayment repay = PAYMENT__V1__RECORD_REPAYMENT__INIT;

    is_accepted(world);
    is_prepared(world);
    asker = is_authorised(world);
    is_answered(world, &asker, BUS__V1__REPLY__STATUS__OK, "T1");
    bank_says(world, SAYS(ACCEPTED), "T1", "S1");
    bank_says(world, SAYS(REJECTED), "T1", "S2");
    is_retried(world, "12345678903", &retried);
    is_prepared(world);
    asker = is_authorised(world);
    is_answered(world, &asker, BUS__V1__REPLY__STATUS__OK, "T2");
    bank_says(world, SAYS(SETTLED), "T2", "S3");
    bank_says(world, SAYS(RETURNED), "T2", "S4");
    is_retried(world, "", &retried);
    is_answered(world, &retried, BUS__V1__REPLY__STATUS__OK, "T3");
    bank_says(world, SAYS(SETTLED), "T3", "S5");

    decided.application_id = (char *)APPLICATION;
    decided.call_id = (char *)"call";
    decided.year = 2024;
    decided.amount_ore = 12000000;
    decided.due_at_us = AUGUST;
    hears(world, &decided);
    struct message reader = as(world, "x", ROLE_OF(AUDITOR));
    struct claim claim;
    assert_int_equal(OK, store_load_claim(&reader, APPLICATION "#2024#claim", &claim));
    repay.kid = claim.kid;
    repay.amount_ore = 10000000;
    repay.receipt_id = (char *)"R1";
    gives(world, OK, "paula", ROLE_OF(PAYMENT_OFFICER), &repay);
}

// ----------------------------------------------------------------------------------------------------- tests

static void a_payment_lives_through_rejection_new_account_and_return(void **state)
{
    struct world *world = *state;
    struct claim *claims;
    int found;

    lives(world);
    struct payment payment = load(world, KEY);
    assert_int_equal(CONFIRMED, payment.state);
    assert_int_equal(3, payment.attempt);
    assert_int_equal(3, payment.times_sent);
    assert_string_equal("T3", payment.message_id);
    assert_string_equal("12345678903", payment.due.creditor_account);
    assert_string_equal(payment_end_to_end_id(as(world, "x", ROLE_OF(AUDITOR)).arena, KEY),
                        payment.end_to_end_id);
    struct message message = as(world, "x", ROLE_OF(AUDITOR));
    assert_int_equal(OK, store_list_claims(&message, "call", &claims, &found));
    assert_int_equal(1, found);
    assert_int_equal(2000000, claims[0].outstanding_ore);
}

static void a_second_acceptance_makes_no_second_payment_after_confirmation(void **state)
{
    struct world *world = *state;
    GrantAccepted newer = an_acceptance(2);
    struct payment *payments;
    int found, events;

    lives(world);
    events = world->count;
    hears_letter(world, 2);
    hears(world, &newer);
    assert_int_equal(events, world->count);
    struct message message = as(world, "x", ROLE_OF(AUDITOR));
    assert_int_equal(OK, store_list_payments(&message, "call", &payments, &found));
    assert_int_equal(1, found);
    assert_int_equal(CONFIRMED, payments[0].state);
}

static void a_newer_letter_voids_and_its_acceptance_makes_due_again(void **state)
{
    struct world *world = *state;
    GrantAccepted newer = an_acceptance(2);

    is_accepted(world);
    is_prepared(world);
    hears_letter(world, 2);
    assert_int_equal(VOIDED, load(world, KEY).state);
    newer.account_number = (char *)"12345678903";
    hears(world, &newer);
    struct payment payment = load(world, KEY);
    assert_int_equal(DUE, payment.state);
    assert_string_equal("12345678903", payment.due.creditor_account);
    assert_string_equal("", payment.prepared_by);
}

static void a_status_told_twice_is_one_status(void **state)
{
    struct world *world = *state;

    is_accepted(world);
    is_prepared(world);
    struct message asker = is_authorised(world);
    is_answered(world, &asker, BUS__V1__REPLY__STATUS__OK, "T1");
    bank_says(world, SAYS(SETTLED), "T1", "S1");
    int events = world->count;
    bank_says(world, SAYS(SETTLED), "T1", "S1");
    bank_says(world, SAYS(SETTLED), "T1", "S1-in-another-file");
    assert_int_equal(events, world->count);
}

static void a_contradiction_stops_the_payment_for_a_person(void **state)
{
    struct world *world = *state;
    RetryPayment retry = PAYMENT__V1__RETRY_PAYMENT__INIT;

    is_accepted(world);
    is_prepared(world);
    struct message asker = is_authorised(world);
    is_answered(world, &asker, BUS__V1__REPLY__STATUS__OK, "T1");
    bank_says(world, SAYS(REJECTED), "T1", "S1");
    bank_says(world, SAYS(SETTLED), "T1", "S2");  // rejected, and yet booked: sending again could pay twice
    retry.payment_key = (char *)KEY;
    retry.reason = (char *)"again";
    struct message message = gives(world, REFUSED, "paula", ROLE_OF(PAYMENT_OFFICER), &retry);
    check_refused(&message, REFUSED, "is stopped by finance");
}

static void an_order_that_finance_refuses_may_be_sent_again(void **state)
{
    struct world *world = *state;
    struct message retried;

    is_accepted(world);
    is_prepared(world);
    struct message asker = is_authorised(world);
    is_answered(world, &asker, BUS__V1__REPLY__STATUS__REFUSED, "");
    assert_int_equal(REFUSED_BY_FINANCE, load(world, KEY).state);
    assert_string_equal("no such account", load(world, KEY).last_text);
    is_retried(world, "", &retried);
    assert_int_equal(AUTHORISED, load(world, KEY).state);
    assert_int_equal(2, load(world, KEY).attempt);
}

static void the_wrong_role_is_refused(void **state)
{
    struct world *world = *state;

    is_accepted(world);
    is_prepared(world);
    Dispose command = a_disposal(world);
    struct message message = gives(world, REFUSED, "paula", ROLE_OF(PAYMENT_OFFICER), &command);
    check_refused(&message, REFUSED, "BUDGET_HOLDER");
}

// Run a statement in a transaction of its own that the database must refuse.
#define REFUSED_BY_DATABASE(world, statement, ...)                                                           \
    do {                                                                                                     \
        struct message refused = as(world, "intruder", ROLE_OF(OPERATOR)), *message = &refused;              \
        struct rows rows;                                                                                    \
        assert_int_equal(OK, db_begin(message));                                                             \
        assert_int_not_equal(OK, RUN(message, statement, &rows, __VA_ARGS__));                               \
        db_rollback(message);                                                                                \
    } while (0)

static void the_database_itself_keeps_four_eyes_apart(void **state)
{
    struct world *world = *state;

    is_accepted(world);
    is_prepared(world);
    Dispose dispose = a_disposal(world);
    REFUSED_BY_DATABASE(world, put_attested, TEXT(KEY), TEXT("atle"));  // nobody has disposed
    gives(world, OK, "bodil", ROLE_OF(BUDGET_HOLDER), &dispose);
    REFUSED_BY_DATABASE(world, put_attested, TEXT(KEY), TEXT("bodil"));
    REFUSED_BY_DATABASE(world, put_authorised, TEXT(KEY), TEXT("aud"), TEXT("E"),
                        INT(1));  // nobody has attested
    Attest attest = an_attestation(world);
    gives(world, OK, "atle", ROLE_OF(ATTESTANT), &attest);
    REFUSED_BY_DATABASE(world, put_authorised, TEXT(KEY), TEXT("paula"), TEXT("E"), INT(1));
    REFUSED_BY_DATABASE(world, put_authorised, TEXT(KEY), TEXT("bodil"), TEXT("E"), INT(1));
    REFUSED_BY_DATABASE(world, put_authorised, TEXT(KEY), TEXT("atle"), TEXT("E"), INT(1));
}

static void the_database_itself_keeps_orders_and_claims_single(void **state)
{
    struct world *world = *state;

    lives(world);
    REFUSED_BY_DATABASE(world, put_order, TEXT(KEY), INT(4),
                        INT(1));  // a second order beside the settled one
    REFUSED_BY_DATABASE(world, put_outstanding, TEXT(APPLICATION "#2024#claim"), INT(-1));
    REFUSED_BY_DATABASE(world, put_receipt, TEXT("R1"), TEXT(APPLICATION "#2024#claim"), INT(1), INT(1));
    REFUSED_BY_DATABASE(world, put_claim, TEXT(APPLICATION "#2024#claim"), TEXT(APPLICATION), TEXT("call"),
                        TEXT("o"), TEXT("1"), INT(1), INT(1));
}

// The second of two who sign at once must see what the first did.
static void of_two_who_attest_at_once_one_is_refused(void **state)
{
    struct world *world = *state;
    status_t first_status, second_status;

    is_accepted(world);
    is_prepared(world);
    Dispose dispose = a_disposal(world);
    gives(world, OK, "bodil", ROLE_OF(BUDGET_HOLDER), &dispose);
    Attest attest = an_attestation(world);
    struct message first = as(world, "atle", ROLE_OF(ATTESTANT)),
                   second = as(world, "anna", ROLE_OF(ATTESTANT));
    check_race(&payment_service, world->db, &first, &attest, &second, &attest, &first_status, &second_status);
    assert_int_equal(OK, first_status);
    check_refused(&second, second_status, "is ATTESTED; it must be DISPOSED");
}

static void of_two_receipts_at_once_none_overpays(void **state)
{
    struct world *world = *state;
    status_t first_status, second_status;
    RecordRepayment one = PAYMENT__V1__RECORD_REPAYMENT__INIT, other;

    lives(world);
    struct message reader = as(world, "x", ROLE_OF(AUDITOR));
    struct claim claim;
    assert_int_equal(OK, store_load_claim(&reader, APPLICATION "#2024#claim", &claim));
    one.kid = claim.kid;
    one.amount_ore = claim.outstanding_ore;
    other = one;
    one.receipt_id = (char *)"R2";
    other.receipt_id = (char *)"R3";
    struct message first = as(world, "paula", ROLE_OF(PAYMENT_OFFICER)),
                   second = as(world, "petter", ROLE_OF(PAYMENT_OFFICER));
    check_race(&payment_service, world->db, &first, &one, &second, &other, &first_status, &second_status);
    assert_int_equal(OK, first_status);
    check_refused(&second, second_status, "outstanding");
}

static void replaying_the_events_makes_the_same_tables(void **state)
{
    struct world *world = *state;

    lives(world);
    check_replay(&payment_service, world->db);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_payment_lives_through_rejection_new_account_and_return),
        TEST(a_second_acceptance_makes_no_second_payment_after_confirmation),
        TEST(a_newer_letter_voids_and_its_acceptance_makes_due_again),
        TEST(a_status_told_twice_is_one_status),
        TEST(a_contradiction_stops_the_payment_for_a_person),
        TEST(an_order_that_finance_refuses_may_be_sent_again),
        TEST(the_wrong_role_is_refused),
        TEST(the_database_itself_keeps_four_eyes_apart),
        TEST(the_database_itself_keeps_orders_and_claims_single),
        TEST(of_two_who_attest_at_once_one_is_refused),
        TEST(of_two_receipts_at_once_none_overpays),
        TEST(replaying_the_events_makes_the_same_tables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
