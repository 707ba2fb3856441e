// order_test: what may be ordered, and what the file says.
#include "connector.h"
#include "limits/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <libxml/parser.h>
#include <libxml/xpath.h>
#include <stdlib.h>
#include <string.h>

#define KEY "0190aaaa-0000-7000-8000-000000000001#2024#1"

static const struct debtor debtor = {
    .name = "Direktoratet for prøver & øvelser", .account = "12345678903", .bic = "DNBANOKK", .clearing = ""};

static PayOrder an_order(void)
{
    PayOrder order = FINANCE__V1__PAY_ORDER__INIT;

    order.order_id = (char *)KEY "#1";
    order.payment_key = (char *)KEY;
    order.attempt = 1;
    order.end_to_end_id = (char *)"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    order.amount_ore = 190000050;
    order.creditor_name = (char *)"Kommunen <Å> & co";
    order.creditor_organisation_number = (char *)"974683520";
    order.creditor_account = (char *)"76940512057";
    order.kid = (char *)"12344";
    order.text = (char *)"Tilskudd 2024";
    order.value_date = (char *)"2024-08-07";
    order.ordered_at_us = INT64_C(1722844800000000);
    return order;
}

static int make_arena(void **state)
{
    *state = arena_new(LIMIT_ARENA_BYTES);
    return 0;
}

static int drop_arena(void **state)
{
    arena_destroy((arena_t **)state);
    return 0;
}

// The text of the only node at a path of local names, "/Document/CstmrCdtTrfInitn/...".
static char *text_at(arena_t *arena, ProtobufCBinaryData file, const char *path)
{
    char expression[1024] = "", steps[512], *rest = NULL;

    snprintf(steps, sizeof steps, "%s", path);
    for (char *step = strtok_r(steps, "/", &rest); step != NULL; step = strtok_r(NULL, "/", &rest)) {
        size_t used = strlen(expression);
        snprintf(expression + used, sizeof expression - used, "/*[local-name()='%s']", step);
    }
    xmlDocPtr document = xmlReadMemory((const char *)file.data, (int)file.len, NULL, NULL, XML_PARSE_NONET);
    assert_non_null(document);
    xmlXPathContextPtr context = xmlXPathNewContext(document);
    xmlXPathObjectPtr found = xmlXPathEvalExpression((const xmlChar *)expression, context);
    assert_int_equal(1, found->nodesetval != NULL ? found->nodesetval->nodeNr : 0);
    xmlChar *content = xmlNodeGetContent(found->nodesetval->nodeTab[0]);
    char *text = arena_text(arena, (const char *)content);
    xmlFree(content);
    xmlXPathFreeObject(found);
    xmlXPathFreeContext(context);
    xmlFreeDoc(document);
    return text;
}

#define TRANSACTION "/Document/CstmrCdtTrfInitn/PmtInf/CdtTrfTxInf"

static void the_file_carries_the_order_unchanged(void **state)
{
    arena_t *arena = *state;
    PayOrder order = an_order();                                     // given
    ProtobufCBinaryData file = order_write(arena, &debtor, &order);  // when

    assert_string_equal("1900000.50", text_at(arena, file, TRANSACTION "/Amt/InstdAmt"));  // then
    assert_string_equal("1900000.50", text_at(arena, file, "/Document/CstmrCdtTrfInitn/GrpHdr/CtrlSum"));
    assert_string_equal("ABCDEFGHIJKLMNOPQRSTUVWXYZ", text_at(arena, file, TRANSACTION "/PmtId/EndToEndId"));
    assert_string_equal("Kommunen <Å> & co", text_at(arena, file, TRANSACTION "/Cdtr/Nm"));
    assert_string_equal("76940512057", text_at(arena, file, TRANSACTION "/CdtrAcct/Id/Othr/Id"));
    assert_string_equal("BBAN", text_at(arena, file, TRANSACTION "/CdtrAcct/Id/Othr/SchmeNm/Cd"));
    assert_string_equal("12344", text_at(arena, file, TRANSACTION "/RmtInf/Strd/CdtrRefInf/Ref"));
    assert_string_equal("SCOR", text_at(arena, file, TRANSACTION "/RmtInf/Strd/CdtrRefInf/Tp/CdOrPrtry/Cd"));
    assert_string_equal("2024-08-07",
                        text_at(arena, file, "/Document/CstmrCdtTrfInitn/PmtInf/ReqdExctnDt/Dt"));
    assert_string_equal("2024-08-05T08:00:00Z",
                        text_at(arena, file, "/Document/CstmrCdtTrfInitn/GrpHdr/CreDtTm"));
    assert_string_equal("DNBANOKK",
                        text_at(arena, file, "/Document/CstmrCdtTrfInitn/PmtInf/DbtrAgt/FinInstnId/BICFI"));
    assert_string_equal(order_message_id(arena, order.order_id),
                        text_at(arena, file, "/Document/CstmrCdtTrfInitn/GrpHdr/MsgId"));
}

static void without_a_kid_the_text_is_carried(void **state)
{
    arena_t *arena = *state;
    PayOrder order = an_order();
    order.kid = (char *)"";
    ProtobufCBinaryData file = order_write(arena, &debtor, &order);

    assert_string_equal("Tilskudd 2024", text_at(arena, file, TRANSACTION "/RmtInf/Ustrd"));
}

static void a_long_name_is_cut_at_seventy_characters_not_bytes(void **state)
{
    arena_t *arena = *state;
    PayOrder order = an_order();
    char name[2 * 80 + 1] = "", expected[2 * 70 + 1] = "";
    for (int i = 0; i < 80; i++)
        strcat(name, "ø");
    for (int i = 0; i < 70; i++)
        strcat(expected, "ø");
    order.creditor_name = name;

    assert_string_equal(expected,
                        text_at(arena, order_write(arena, &debtor, &order), TRANSACTION "/Cdtr/Nm"));
}

static void a_bank_without_bic_is_named_by_its_clearing_number(void **state)
{
    arena_t *arena = *state;
    PayOrder order = an_order();
    struct debtor clearing = {.name = "D", .account = "12345678903", .bic = "", .clearing = "1234"};

    assert_string_equal("1234",
                        text_at(arena, order_write(arena, &clearing, &order),
                                "/Document/CstmrCdtTrfInitn/PmtInf/DbtrAgt/FinInstnId/ClrSysMmbId/MmbId"));
}

static void equal_orders_are_equal_bytes_and_ids_fit(void **state)
{
    arena_t *arena = *state;
    PayOrder order = an_order(), other = an_order();
    other.attempt = 2;
    other.order_id = (char *)KEY "#2";
    ProtobufCBinaryData one = order_write(arena, &debtor, &order), two = order_write(arena, &debtor, &order);

    assert_int_equal(one.len, two.len);
    assert_memory_equal(one.data, two.data, one.len);
    assert_int_equal(27, strlen(order_message_id(arena, order.order_id)));
    assert_string_not_equal(order_message_id(arena, order.order_id), order_message_id(arena, other.order_id));
}

struct wrong {
    const char *reason;
    void (*spoil)(PayOrder *order);
};

static void spoil_id(PayOrder *order)
{
    order->order_id = (char *)KEY "#2";
}
static void spoil_end_to_end_id(PayOrder *order)
{
    order->end_to_end_id = (char *)"ABCDEFGHIJKLMNOPQRSTUVWXY1";
}
static void spoil_name(PayOrder *order)
{
    order->creditor_name = (char *)"";
}
static void spoil_name_line(PayOrder *order)
{
    order->creditor_name = (char *)"two\nlines";
}
static void spoil_name_xml(PayOrder *order)
{
    order->creditor_name = (char *)"no \xEF\xBF\xBF character";
}
static void spoil_organisation(PayOrder *order)
{
    order->creditor_organisation_number = (char *)"974683521";
}
static void spoil_account(PayOrder *order)
{
    order->creditor_account = (char *)"12345678904";
}
static void spoil_kid(PayOrder *order)
{
    order->kid = (char *)"12345";
}
static void spoil_text(PayOrder *order)
{
    order->kid = order->text = (char *)"";
}
static void spoil_amount(PayOrder *order)
{
    order->amount_ore = 0;
}
static void spoil_negative(PayOrder *order)
{
    order->amount_ore = -1;
}
static void spoil_date(PayOrder *order)
{
    order->value_date = (char *)"2024-02-30";
}
static void spoil_instant(PayOrder *order)
{
    order->ordered_at_us = 0;
}

static void an_order_that_no_bank_could_carry_out_is_refused(void **state)
{
    static const struct wrong wrongs[] = {
        {"order_id", spoil_id},
        {"end_to_end_id", spoil_end_to_end_id},
        {"creditor_name", spoil_name},
        {"creditor_name", spoil_name_line},
        {"creditor_name", spoil_name_xml},
        {"creditor_organisation_number", spoil_organisation},
        {"creditor_account", spoil_account},
        {"kid", spoil_kid},
        {"text", spoil_text},
        {"amount_ore 0", spoil_amount},
        {"amount_ore -1", spoil_negative},
        {"value_date", spoil_date},
        {"ordered_at_us", spoil_instant},
    };
    PayOrder right = an_order();
    struct message fine = message_new(*state);
    assert_int_equal(OK, order_check(&fine, &right));

    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        struct message message = message_new(*state);
        PayOrder order = an_order();  // given
        wrongs[i].spoil(&order);
        assert_int_equal(REFUSED, order_check(&message, &order));  // when, then
        assert_non_null(strstr(message.reason, wrongs[i].reason));
    }
}

static void the_file_is_valid_by_the_official_schema(void **state)
{
    arena_t *arena = *state;
    schema_t *schema = schema_load(getenv("ISO20022_SCHEMAS"), "pain.001.001.09.xsd");
    PayOrder with_kid = an_order(), without = an_order();
    struct debtor clearing = {.name = "D", .account = "12345678903", .bic = "", .clearing = "1234"};

    if (schema == NULL) {
        print_message("# ISO20022_SCHEMAS holds no pain.001.001.09.xsd: not checked against it\n");
        return;  // not skip(): cmocka tells that as "not ok", which no reader of TAP takes for a skip
    }
    without.kid = (char *)"";
    const char *faults[] = {schema_check_bytes(schema, arena, order_write(arena, &debtor, &with_kid)),
                            schema_check_bytes(schema, arena, order_write(arena, &clearing, &without))};
    schema_destroy(&schema);
    for (int i = 0; i < 2; i++)
        if (faults[i] != NULL)
            fail_msg("%s", faults[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_file_carries_the_order_unchanged, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(without_a_kid_the_text_is_carried, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(a_long_name_is_cut_at_seventy_characters_not_bytes, make_arena,
                                        drop_arena),
        cmocka_unit_test_setup_teardown(a_bank_without_bic_is_named_by_its_clearing_number, make_arena,
                                        drop_arena),
        cmocka_unit_test_setup_teardown(equal_orders_are_equal_bytes_and_ids_fit, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(an_order_that_no_bank_could_carry_out_is_refused, make_arena,
                                        drop_arena),
        cmocka_unit_test_setup_teardown(the_file_is_valid_by_the_official_schema, make_arena, drop_arena),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
