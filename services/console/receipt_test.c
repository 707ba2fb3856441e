// receipt: what was made verifies, and nothing about it may be changed: every bit, every line, every cut.
#include "receipt_text.h"

#include "approval_v1.pb-c.h"
#include "eventlog_v1.pb-c.h"
#include "limits/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef fail_msg
#define ENTRIES  300
#define POSITION 137

static uint8_t leaves[ENTRIES][TREE_HASH];
static struct note_signer log_key, witness_key, other_key;
static arena_t *ground, *arena;
static char *whole;  // a receipt with a witness

static bool subtree(void *context, unsigned height, uint64_t index, uint8_t ret[TREE_HASH])
{
    (void)context;
    struct tree tree = {0};

    for (uint64_t i = index << height; i < (index + 1) << height; i++)
        tree_add(&tree, leaves[i]);
    tree_root(&tree, ret);
    return true;
}

static ProtobufCBinaryData a_delivery(void)
{
    Approval__V1__SignedOff delivery = APPROVAL__V1__SIGNED_OFF__INIT;
    Eventlog__V1__Event event = EVENTLOG__V1__EVENT__INIT;
    ProtobufCBinaryData bytes;

    delivery.sign_off_id = (char *)"0190163d-8740-7000-8000-000000000001:application";
    delivery.application_id = (char *)"0190163d-8740-7000-8000-000000000001";
    delivery.kind = TYPES__V1__SIGN_OFF_KIND__APPLICATION;
    delivery.version = 3;
    delivery.content_sha256 = (char *)"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    delivery.signed_at_us = INT64_C(1718402399000000);
    event.id = (char *)"0190163d-8740-7000-8000-00000000000a";
    event.source = (char *)"approval";
    event.type = (char *)"approval.v1.SignedOff";
    event.stream = (char *)"approval/signoff/0190163d-8740-7000-8000-000000000001:application";
    event.version = 2;
    event.data.data = message_encode(ground, &delivery, &event.data.len);
    bytes.data = message_encode(ground, &event, &bytes.len);
    return bytes;
}

static char *make(bool witnessed)
{
    struct receipt receipt = {.event = a_delivery(), .position = POSITION, .size = ENTRIES};
    struct proof_source source = {.hash = subtree};
    struct message message = message_new(ground);
    uint8_t root[TREE_HASH];

    for (int i = 0; i < ENTRIES; i++)
        tree_leaf(&i, sizeof i, leaves[i]);
    tree_leaf(receipt.event.data, receipt.event.len, leaves[POSITION - 1]);
    assert_true(proof_root(&source, ENTRIES, root));
    assert_true(proof_inclusion(&source, POSITION - 1, ENTRIES, &receipt.proof));
    const char *text = checkpoint_text(ground, log_key.key.name, ENTRIES, root);
    receipt.note = arena_printf(ground, "%s\n%s%s", text, note_sign(ground, &log_key, text),
                                witnessed ? note_cosign(ground, &witness_key, text, 1718402400) : "");
    receipt.log = note_key_text(ground, &log_key.key);
    receipt.witnesses[0] = note_key_text(ground, &witness_key.key);
    receipt.n_witnesses = witnessed;
    char *made = receipt_make(&message, &receipt);
    assert_non_null(made);
    return made;
}

static int set_up(void **state)
{
    (void)state;
    ground = arena_new(LIMIT_ARENA_BYTES);
    arena = arena_new(LIMIT_ARENA_BYTES);
    note_signer_make("log.example/one", NOTE_PLAIN, (const uint8_t *)"0123456789abcdef0123456789abcdef",
                     &log_key);
    note_signer_make("log.example/one", NOTE_PLAIN, (const uint8_t *)"fedcba98765432100123456789abcdef",
                     &other_key);
    note_signer_make("witness.example/w", NOTE_COSIGNATURE,
                     (const uint8_t *)"abcdef0123456789abcdef0123456789", &witness_key);
    whole = make(true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_destroy(&arena);
    arena_destroy(&ground);
    return 0;
}

static bool verifies(const char *text, size_t size, const char **ret_why)
{
    struct message message = message_new(arena);
    struct receipt_facts facts;

    return receipt_verify(&message, text, size, &log_key.key, &facts, ret_why);
}

// The line a byte stands in, from 1.
static size_t line_of(const char *text, size_t at)
{
    size_t line = 1;

    for (size_t i = 0; i < at; i++)
        line += text[i] == '\n';
    return line;
}

static void a_receipt_verifies_and_says_what_was_delivered(void **state)
{
    (void)state;
    struct message message = message_new(arena);
    struct receipt_facts facts;
    const char *why = "";
    bool well = receipt_verify(&message, whole, strlen(whole), &log_key.key, &facts, &why);  // when

    if (!well)
        print_error("%s\n%s", why, whole);
    assert_true(well);  // then
    assert_string_equal("0190163d-8740-7000-8000-000000000001", facts.application_id);
    assert_string_equal("APPLICATION", facts.kind);
    assert_int_equal(3, facts.version);
    assert_true(facts.received_at_us == INT64_C(1718402399000000));
    assert_int_equal(POSITION, facts.position);
    assert_int_equal(1, facts.n_witnesses);
    assert_int_equal(1718402400, facts.witnessed_at_s);
}

static void a_receipt_without_a_witness_verifies_too(void **state)
{
    (void)state;
    const char *why = "", *alone = make(false);

    assert_true(verifies(alone, strlen(alone), &why));
}

static void another_logs_key_does_not_verify_it(void **state)
{
    (void)state;
    struct message message = message_new(arena);
    struct receipt_facts facts;
    const char *why = "";

    assert_false(receipt_verify(&message, whole, strlen(whole), &other_key.key, &facts, &why));
    assert_non_null(strstr(why, "line 8"));
}

// The numbers that a sentence names: "line 7", "lines 13 to 21", "the checkpoint after line 22".
static bool names_line(const char *why, size_t line)
{
    unsigned long first = 0, last = 0;
    const char *at;

    if ((at = strstr(why, "after line ")) != NULL)
        return line > strtoul(at + 11, NULL, 10);
    if (sscanf(why, "lines %lu to %lu", &first, &last) == 2)
        return line >= first && line <= last;
    return sscanf(why, "line %lu", &first) == 1 && first == line;
}

static void every_flipped_bit_is_found_and_its_line_is_named(void **state)
{
    (void)state;
    size_t size = strlen(whole), missed = 0, lines = line_of(whole, size);
    char *copy = arena_copy(ground, whole, size + 1);
    const char *why;

    for (size_t bit = 0; bit < 8 * size; bit++) {
        arena_reset(arena);
        copy[bit / 8] ^= (char)(1 << bit % 8);
        why = "";
        if (verifies(copy, size, &why))
            print_error("bit %zu of byte %zu was not found\n", bit % 8, bit / 8);
        assert_false(verifies(copy, size, &why));
        // A line feed more or less, or a byte that no text has, makes other lines of what follows.
        char was = whole[bit / 8], is = copy[bit / 8];
        bool text = was != '\n' && is != '\n' && is >= ' ' && (unsigned char)is < 0x7f && was > 0;
        if (text && !names_line(why, line_of(whole, bit / 8))) {
            print_error("line %zu of %zu: '%s'\n", line_of(whole, bit / 8), lines, why);
            missed++;
        }
        copy[bit / 8] = was;
    }
    assert_int_equal(0, missed);
}

static void every_cut_and_every_byte_more_is_found(void **state)
{
    (void)state;
    size_t size = strlen(whole);
    const char *why;

    for (size_t cut = 0; cut < size; cut++) {
        arena_reset(arena);
        assert_false(verifies(whole, cut, &why));
        assert_false(verifies(whole + cut + 1, size - cut - 1, &why));
    }
    const char *more = arena_printf(ground, "%s\n", whole);
    assert_false(verifies(more, size + 1, &why));
}

// Take line n out, double it, or swap it with the next.
static char *rearranged(size_t n, int how)
{
    char *copy = arena_text(arena, whole), *out = arena_alloc(arena, 2 * strlen(whole)), *rest = copy, *line,
         *held = NULL;

    for (size_t number = 1; (line = strsep(&rest, "\n")) != NULL && rest != NULL; number++) {
        if (number == n && how == 2) {
            held = line;
            continue;
        }
        if (number != n || how == 1)
            strcat(strcat(out, line), "\n");
        if (number == n && how == 1)
            strcat(strcat(out, line), "\n");
        if (held != NULL && number == n + 1)
            strcat(strcat(out, held), "\n");
    }
    return out;
}

static void lines_taken_out_doubled_or_swapped_are_found(void **state)
{
    (void)state;
    size_t lines = line_of(whole, strlen(whole)) - 1;
    const char *why;

    for (size_t n = 1; n <= lines; n++)
        for (int how = 0; how < 3; how++) {
            arena_reset(arena);
            char *text = rearranged(n, how);
            // Two signatures may stand in either order: both are of keys that the receipt names.
            bool signatures = how == 2 && n == lines - 1;
            bool well = strcmp(text, whole) != 0 && !signatures && verifies(text, strlen(text), &why);
            if (well)
                print_error("line %zu, way %d:\n%s", n, how, text);
            assert_false(well);
        }
}

static void a_witness_that_did_not_sign_is_found(void **state)
{
    (void)state;
    const char *why = "", *alone = make(false);
    char *line = strstr(alone, "\n\nc2sp.org");
    char *text = arena_printf(ground, "%.*s\nwitness %s%s", (int)(line - alone), alone,
                              note_key_text(ground, &witness_key.key), line);

    assert_false(verifies(text, strlen(text), &why));
    assert_non_null(strstr(why, "no signature of witness.example/w"));
}

static void what_is_no_delivery_makes_no_receipt(void **state)
{
    (void)state;
    struct message message = message_new(arena);
    Eventlog__V1__Event event = EVENTLOG__V1__EVENT__INIT;
    struct receipt receipt = {.position = 1, .size = 1, .note = "", .log = ""};

    event.type = (char *)"intake.v1.CallClosed";
    receipt.event.data = message_encode(arena, &event, &receipt.event.len);
    assert_null(receipt_make(&message, &receipt));
    assert_non_null(strstr(message.reason, "no delivery"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_receipt_verifies_and_says_what_was_delivered),
        cmocka_unit_test(a_receipt_without_a_witness_verifies_too),
        cmocka_unit_test(another_logs_key_does_not_verify_it),
        cmocka_unit_test(every_flipped_bit_is_found_and_its_line_is_named),
        cmocka_unit_test(every_cut_and_every_byte_more_is_found),
        cmocka_unit_test(lines_taken_out_doubled_or_swapped_are_found),
        cmocka_unit_test(a_witness_that_did_not_sign_is_found),
        cmocka_unit_test(what_is_no_delivery_makes_no_receipt),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
