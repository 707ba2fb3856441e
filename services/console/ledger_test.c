// Tests of the fold over the ledger: money that goes its way is accounted for, and every way it must not go is
// found.
#include "ledger.h"

#include "console.h"
#include "limits/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

const struct command *const command_groups[] = {NULL};

struct fixture {
    arena_t *arena;
    ledger_t *ledger;
    const char *why;
};

// One event; its data written with ' for ".
static bool happens(struct fixture *fixture, const char *type, const char *data)
{
    char *text = arena_text(fixture->arena, data);

    for (char *c = text; *c != '\0'; c++)
        if (*c == '\'')
            *c = '"';
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    bool well = ledger_event(fixture->ledger, arena_printf(fixture->arena, "%s", type), json, &fixture->why);
    json_decref(json);
    return well;
}

#define OPENED(amount)                                                                                       \
    "{'call_id':'c','frame_ore':'" amount "','postings':[{'from':'APPROPRIATION','to':'FRAME',"              \
    "'amount_ore':'" amount "','frame_number':'1','residual_ore':'" amount "'}]}"
#define AWARD(id, amount, number, left)                                                                      \
    "{'call_id':'c','application_id':'" id "','amount_ore':'" amount                                         \
    "','postings':[{'from':'FRAME','to':'COMMITTED:" id "','amount_ore':'" amount                            \
    "','frame_number':'" number "','residual_ore':'" left "'}]}"
#define LAPSE(id, amount, number, left)                                                                      \
    "{'call_id':'c','application_id':'" id "','postings':[{'from':'COMMITTED:" id                            \
    "','to':'FRAME','amount_ore':'" amount "','frame_number':'" number "','residual_ore':'" left "'}]}"
#define MOVED(id, from, to, amount)                                                                          \
    "{'call_id':'c','application_id':'" id "','payment_key':'" id "#1','claim_id':'" id                      \
    "#claim','postings':[{'from':'" from ":" id "','to':'" to ":" id "','amount_ore':'" amount "'}]}"
#define SAID(id, amount)                                                                                     \
    "{'call_id':'c','application_id':'" id "','payment_key':'" id "#1','claim_id':'" id                      \
    "#claim','amount_ore':'" amount "'}"

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    fixture->arena = arena_new(LIMIT_ARENA_BYTES);
    fixture->ledger = ledger_new(fixture->arena);
    assert_true(happens(fixture, "allocation.v1.FrameOpened", OPENED("1000")));
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    ledger_destroy(&fixture->ledger);
    arena_destroy(&fixture->arena);
    free(fixture);
    return 0;
}

static void assert_why(const struct fixture *fixture, const char *words)
{
    if (strstr(fixture->why, words) == NULL)
        fail_msg("'%s' does not say '%s'", fixture->why, words);
}

static void money_that_goes_its_way_is_accounted_for(void **state)
{
    struct fixture *fixture = *state;
    struct ledger_call call;
    // when a case is awarded, paid, claimed back and repaid, and another lapses
    assert_true(happens(fixture, "allocation.v1.AwardDecided", AWARD("a", "600", "2", "400")));
    assert_true(happens(fixture, "allocation.v1.AwardDecided", AWARD("b", "400", "3", "0")));
    assert_true(happens(fixture, "payment.v1.PaymentConfirmed", SAID("a", "600")));
    assert_int_equal(ledger_unposted(fixture->ledger), 1);
    assert_true(happens(fixture, "allocation.v1.PaymentPosted", MOVED("a", "COMMITTED", "PAID", "600")));
    assert_true(happens(fixture, "allocation.v1.GrantLapsed", LAPSE("b", "400", "4", "400")));
    assert_true(happens(fixture, "payment.v1.ClaimIssued", SAID("a", "50")));
    assert_true(happens(fixture, "allocation.v1.ClaimPosted", MOVED("a", "PAID", "CLAIMED", "50")));
    assert_true(happens(fixture, "payment.v1.RepaymentReceived", SAID("a", "20")));
    assert_true(happens(fixture, "allocation.v1.RepaymentPosted", MOVED("a", "CLAIMED", "REPAID", "20")));
    // then
    assert_true(ledger_end(fixture->ledger, &fixture->why));
    assert_true(ledger_call(fixture->ledger, 0, &call));
    assert_false(ledger_call(fixture->ledger, 1, &call));
    assert_true(ledger_call(fixture->ledger, 0, &call));
    assert_int_equal(call.appropriated, 1000);
    assert_int_equal(call.residual, 400);
    assert_int_equal(call.committed, 0);
    assert_int_equal(call.paid, 550);
    assert_int_equal(call.claimed, 30);
    assert_int_equal(call.repaid, 20);
    assert_int_equal(ledger_unposted(fixture->ledger), 0);
    assert_int_equal(ledger_movements(fixture->ledger), 7);
}

static void an_award_that_overtook_the_release_it_needs_waits_for_it(void **state)
{
    struct fixture *fixture = *state;
    struct ledger_call call;

    assert_true(happens(fixture, "allocation.v1.AwardDecided", AWARD("a", "900", "2", "100")));
    assert_true(happens(fixture, "allocation.v1.AwardDecided", AWARD("b", "800", "4", "200")));
    assert_true(ledger_call(fixture->ledger, 0, &call));
    assert_int_equal(call.residual, 100);  // nothing stands in two places
    assert_false(ledger_end(fixture->ledger, &fixture->why));
    assert_why(fixture, "an earlier movement of its frame is missing");
    assert_true(happens(fixture, "allocation.v1.GrantLapsed", LAPSE("a", "900", "3", "1000")));
    assert_true(ledger_end(fixture->ledger, &fixture->why));
    assert_true(ledger_call(fixture->ledger, 0, &call));
    assert_int_equal(call.residual, 200);
    assert_int_equal(call.committed, 800);
}

static void more_than_the_frame_holds_is_found(void **state)
{
    struct fixture *fixture = *state;

    assert_false(happens(fixture, "allocation.v1.AwardDecided", AWARD("a", "1001", "2", "-1")));
    assert_why(fixture, "there are 1000 there");
}

static void a_number_that_comes_twice_is_found(void **state)
{
    struct fixture *fixture = *state;

    assert_true(happens(fixture, "allocation.v1.AwardDecided", AWARD("a", "100", "2", "900")));
    assert_false(happens(fixture, "allocation.v1.AwardDecided", AWARD("b", "100", "2", "800")));
    assert_why(fixture, "movement 2 again");
}

static void a_residual_that_is_not_what_is_left_is_found(void **state)
{
    struct fixture *fixture = *state;

    assert_false(happens(fixture, "allocation.v1.AwardDecided", AWARD("a", "100", "2", "899")));
    assert_why(fixture, "says that 899 are left and 900 are");
}

static void money_paid_out_of_nothing_is_found(void **state)
{
    struct fixture *fixture = *state;

    assert_true(happens(fixture, "payment.v1.PaymentConfirmed", SAID("a", "100")));
    assert_false(happens(fixture, "allocation.v1.PaymentPosted", MOVED("a", "COMMITTED", "PAID", "100")));
    assert_why(fixture, "there are 0 there");
}

static void a_posting_that_the_bank_did_not_confirm_is_found(void **state)
{
    struct fixture *fixture = *state;

    assert_true(happens(fixture, "allocation.v1.AwardDecided", AWARD("a", "100", "2", "900")));
    assert_true(happens(fixture, "payment.v1.PaymentConfirmed", SAID("a", "99")));
    assert_false(happens(fixture, "allocation.v1.PaymentPosted", MOVED("a", "COMMITTED", "PAID", "100")));
    assert_why(fixture, "nobody said so");
}

static void a_payment_that_is_posted_twice_is_found(void **state)
{
    struct fixture *fixture = *state;

    assert_true(happens(fixture, "allocation.v1.AwardDecided", AWARD("a", "200", "2", "800")));
    assert_true(happens(fixture, "payment.v1.PaymentConfirmed", SAID("a", "100")));
    assert_true(happens(fixture, "allocation.v1.PaymentPosted", MOVED("a", "COMMITTED", "PAID", "100")));
    assert_false(happens(fixture, "allocation.v1.PaymentPosted", MOVED("a", "COMMITTED", "PAID", "100")));
    assert_why(fixture, "nobody said so");
}

static void a_movement_that_no_rule_has_is_found(void **state)
{
    struct fixture *fixture = *state;

    assert_true(happens(fixture, "allocation.v1.AwardDecided", AWARD("a", "100", "2", "900")));
    assert_true(happens(fixture, "payment.v1.ClaimIssued", SAID("a", "100")));
    assert_false(happens(fixture, "allocation.v1.ClaimPosted", MOVED("a", "COMMITTED", "CLAIMED", "100")));
    assert_why(fixture, "no rule moves money so");
}

static void a_posting_of_another_amount_or_case_is_found(void **state)
{
    struct fixture *fixture = *state;

    assert_false(happens(fixture, "allocation.v1.AwardDecided",
                         "{'call_id':'c','application_id':'a','amount_ore':'100','postings':[{'from':'FRAME',"
                         "'to':'COMMITTED:a','amount_ore':'90','frame_number':'2','residual_ore':'910'}]}"));
    assert_why(fixture, "its posting of 90 øre is not its 100");
    assert_false(happens(fixture, "allocation.v1.AwardDecided",
                         "{'call_id':'c','application_id':'a','amount_ore':'100','postings':[{'from':'FRAME',"
                         "'to':'COMMITTED:b','amount_ore':'100','frame_number':'2','residual_ore':'900'}]}"));
    assert_why(fixture, "of another case");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(money_that_goes_its_way_is_accounted_for),
        TEST(an_award_that_overtook_the_release_it_needs_waits_for_it),
        TEST(more_than_the_frame_holds_is_found),
        TEST(a_number_that_comes_twice_is_found),
        TEST(a_residual_that_is_not_what_is_left_is_found),
        TEST(money_paid_out_of_nothing_is_found),
        TEST(a_posting_that_the_bank_did_not_confirm_is_found),
        TEST(a_payment_that_is_posted_twice_is_found),
        TEST(a_movement_that_no_rule_has_is_found),
        TEST(a_posting_of_another_amount_or_case_is_found),
    };
    return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
