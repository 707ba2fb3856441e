// The strict decoding that every socket relies on, and the collecting of what rules say.
#include "message/message.h"
#include "all_descriptors.h"
#include "limits/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#undef fail  // cmocka's macro of that name would hide ours

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static int with_message(void **state)
{
    struct message *message = malloc(sizeof *message);
    assert_non_null(message);
    *message = message_new(arena_new(LIMIT_ARENA_BYTES));
    *state = message;
    return 0;
}

static int without_message(void **state)
{
    struct message *message = *state;
    arena_destroy(&message->arena);
    free(message);
    return 0;
}

// The bytes are refused, for a reason with this part in it, and nothing is handed out.
static void refuses(struct message *message, const ProtobufCMessageDescriptor *descriptor, const void *bytes,
                    size_t size, const char *part)
{
    const void *untouched = message;
    struct message fresh = message_new(message->arena);

    assert_int_equal(POISON, message_decode(&fresh, descriptor, bytes, size, &untouched));
    assert_ptr_equal(message, untouched);
    assert_non_null(fresh.reason);
    if (strstr(fresh.reason, part) == NULL) {
        print_error("\"%s\" does not say \"%s\"\n", fresh.reason, part);
        assert_true(false);
    }
}

static Intake__V1__Content an_application(void)
{
    static int purposes[] = {INTAKE__V1__CONTENT__PURPOSE__PREVENT, INTAKE__V1__CONTENT__PURPOSE__HANDLE};
    static Intake__V1__ProjectGoal goal = INTAKE__V1__PROJECT_GOAL__INIT;
    static Intake__V1__ProjectGoal *goals[] = {&goal};

    goal.text = "færre hendelser\n\tog tidligere hjelp";
    Intake__V1__Content content = INTAKE__V1__CONTENT__INIT;
    content.title = "Åpne dører";
    content.purposes = (Intake__V1__Content__Purpose *)purposes;
    content.n_purposes = 2;
    content.goals = goals;
    content.n_goals = 1;
    content.personal_data = true;
    return content;
}

// ------------------------------------------------------------------------------------------- decoding

static void what_was_encoded_is_decoded(void **state)
{
    struct message *message = *state;
    Intake__V1__Content content = an_application();
    const Intake__V1__Content *decoded = NULL;
    size_t size;

    const uint8_t *bytes = message_encode(message->arena, &content, &size);
    assert_int_equal(OK, message_decode(message, content.base.descriptor, bytes, size, &decoded));
    assert_string_equal("Åpne dører", decoded->title);
    assert_int_equal(2, decoded->n_purposes);
    assert_string_equal("færre hendelser\n\tog tidligere hjelp", decoded->goals[0]->text);
    assert_null(message->reason);
}

static void nothing_is_an_empty_message(void **state)
{
    struct message *message = *state;
    const Bus__V1__Heartbeat *heartbeat = NULL;
    assert_int_equal(OK, message_decode(message, &bus__v1__heartbeat__descriptor, NULL, 0, &heartbeat));
    assert_int_equal(0, heartbeat->calendar_at_us);
}

static void every_message_type_decodes_its_own_default(void **state)
{
    struct message *message = *state;
    for (size_t i = 0; i < COUNT(all_descriptors); i++) {
        const ProtobufCMessage *decoded = NULL;
        assert_int_equal(OK, message_decode(message, all_descriptors[i], "", 0, &decoded));
        assert_ptr_equal(all_descriptors[i], decoded->descriptor);
    }
}

static void bytes_that_are_no_message_are_refused(void **state)
{
    refuses(*state, &bus__v1__ready__descriptor, "\xFF\xFF\xFF", 3, "are not a bus.v1.Ready");
    refuses(*state, &bus__v1__ready__descriptor, "\x0A\x7F", 2, "are not a bus.v1.Ready");
}

static void a_message_over_the_size_of_a_frame_is_not_even_looked_at(void **state)
{
    struct message *message = *state;
    void *bytes = arena_alloc(message->arena, LIMIT_FRAME_BYTES + 1);
    refuses(message, &bus__v1__ready__descriptor, bytes, LIMIT_FRAME_BYTES + 1, "larger than 262144");
}

// Each in the wire format of Ready {string service = 1; uint32 credit = 2}.
static void what_is_said_twice_or_oddly_is_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *reason;
    } odd[] = {
        {"\x0A\x01\x61\x0A\x01\x62", 6, "not canonical"},  // the same field twice
        {"\x10\x01\x0A\x01\x61", 5, "not canonical"},      // fields out of order
        {"\x10\x81\x00", 3, "not canonical"},              // a number longer than it need be
        {"\x10\x00", 2, "not canonical"},                  // a default spelled out
        {"\x0A\x00", 2, "not canonical"},
        {"\x0A\x03\x61\x00\x62", 5, "not canonical"},  // text that goes on behind a NUL
        {"\x0A\x01\x07", 3, "field service of a bus.v1.Ready is not UTF-8"},
        {"\x0A\x02\xC3\x28", 4, "field service of a bus.v1.Ready is not UTF-8"},
        {"\x0A\x03\xED\xA0\x80", 5, "field service of a bus.v1.Ready is not UTF-8"},
        {"\x18\x01", 2, "unknown field 3"},
        {"\x12\x01\x61", 3, "are not a bus.v1.Ready"},  // text where a number belongs
    };
    for (size_t i = 0; i < COUNT(odd); i++)
        refuses(*state, &bus__v1__ready__descriptor, odd[i].bytes, odd[i].size, odd[i].reason);
}

static void faults_are_found_at_any_depth_and_in_any_place(void **state)
{
    struct message *message = *state;
    size_t size;

    // in a message in a list
    Intake__V1__Content content = an_application();
    content.goals[0]->indicator = "\x1B[31m";
    const uint8_t *bytes = message_encode(message->arena, &content, &size);
    refuses(message, content.base.descriptor, bytes, size, "field indicator of a intake.v1.Content");
    content.goals[0]->indicator = "";
    // in a list of enum values
    content.purposes[1] = 77;
    bytes = message_encode(message->arena, &content, &size);
    refuses(message, content.base.descriptor, bytes, size, "field purposes of a intake.v1.Content holds 77");
    content.purposes[1] = INTAKE__V1__CONTENT__PURPOSE__HANDLE;
    // in a oneof
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;
    Bus__V1__Disconnect disconnect = BUS__V1__DISCONNECT__INIT;
    disconnect.reason = "\x7F";
    packet.kind_case = BUS__V1__PACKET__KIND_DISCONNECT;
    packet.disconnect = &disconnect;
    bytes = message_encode(message->arena, &packet, &size);
    refuses(message, packet.base.descriptor, bytes, size, "field reason of a bus.v1.Packet");
    // unknown fields of a message in a message: Packet{disconnect{7: 1}}
    refuses(message, packet.base.descriptor, "\x1A\x02\x38\x01", 4, "unknown field 7 in its Disconnect");
}

static void two_kinds_in_a_oneof_are_refused(void **state)
{
    refuses(*state, &bus__v1__packet__descriptor, "\x0A\x00\x12\x00", 4, "not canonical");
}

static void a_message_that_would_swell_is_refused_and_the_process_lives(void **state)
{
    struct message *message = *state;
    // given a list of empty messages, two bytes each, that decode to some hundred times as much
    uint8_t *bytes = arena_alloc(message->arena, LIMIT_FRAME_BYTES);
    for (size_t i = 0; i < LIMIT_FRAME_BYTES; i += 2)
        bytes[i] = 0x0A;
    // when, then
    refuses(message, &bus__v1__peers__descriptor, bytes, LIMIT_FRAME_BYTES, "decode to more than");
    assert_in_range(arena_used(message->arena), 0, LIMIT_FRAME_BYTES + LIMIT_DECODED_BYTES + 4096);
}

static void damaged_bytes_end_in_a_status(void **state)
{
    struct message *message = *state;
    Intake__V1__Content content = an_application();
    uint8_t damaged[512];
    size_t size;
    unsigned seed = 2024;
    int refused = 0;

    const uint8_t *bytes = message_encode(message->arena, &content, &size);
    memcpy(damaged, bytes, size);
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    for (int i = 0; i < 100000; i++) {
        size_t at = (size_t)rand_r(&seed) % size;
        uint8_t was = damaged[at];
        damaged[at] = (uint8_t)rand_r(&seed);
        const void *decoded;
        struct message fresh = message_new(arena);
        refused += message_decode(&fresh, content.base.descriptor, damaged,
                                  (size_t)rand_r(&seed) % (size + 1), &decoded) != OK;
        damaged[at] = was;
        arena_reset(arena);
    }
    arena_destroy(&arena);
    assert_in_range(refused, 1, 100000);
}

// ------------------------------------------------------------------------------------------- the contract's types

// Depth of a type; LIMIT_DEPTH + 1 when it is deeper, as a recursive one is.
static int depth(const ProtobufCMessageDescriptor *descriptor, int level)
{
    int deepest = level;

    for (unsigned i = 0; level <= LIMIT_DEPTH && i < descriptor->n_fields; i++)
        if (descriptor->fields[i].type == PROTOBUF_C_TYPE_MESSAGE) {
            int below = depth(descriptor->fields[i].descriptor, level + 1);
            deepest = below > deepest ? below : deepest;
        }
    return deepest;
}

static void no_message_type_is_recursive_or_too_deep(void **state)
{
    (void)state;
    assert_in_range(COUNT(all_descriptors), 100, 10000);
    for (size_t i = 0; i < COUNT(all_descriptors); i++)
        if (depth(all_descriptors[i], 1) > LIMIT_DEPTH) {
            print_error("%s\n", all_descriptors[i]->name);
            assert_true(false);
        }
}

static void no_message_type_has_floats_or_required_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(all_descriptors); i++)
        for (unsigned n = 0; n < all_descriptors[i]->n_fields; n++) {
            const ProtobufCFieldDescriptor *field = &all_descriptors[i]->fields[n];
            assert_int_not_equal(PROTOBUF_C_TYPE_FLOAT, field->type);
            assert_int_not_equal(PROTOBUF_C_TYPE_DOUBLE, field->type);
            assert_int_not_equal(PROTOBUF_C_LABEL_REQUIRED, field->label);
        }
}

// ------------------------------------------------------------------------------------------- what rules say

static void events_are_kept_in_the_order_they_were_emitted(void **state)
{
    struct message copy, *message = *state;
    Intake__V1__CallClosed closed = INTAKE__V1__CALL_CLOSED__INIT;

    // given a message that was copied, as tables of tests do
    copy = *message;
    // when
    closed.call_id = "c-1";
    emit(&copy, &closed);
    closed.call_id = "c-2";
    emit(&copy, &closed);
    // then the list is the copy's, and its bytes are those of the time they were emitted
    assert_null(message->emitted);
    assert_ptr_equal(&intake__v1__call_closed__descriptor, copy.emitted->descriptor);
    assert_memory_equal("c-1", copy.emitted->data + 2, 3);
    assert_memory_equal("c-2", copy.emitted->next->data + 2, 3);
    assert_null(copy.emitted->next->next);
}

static void an_event_too_large_is_for_the_loop_to_find(void **state)
{
    struct message *message = *state;
    Intake__V1__DeadlineExtended extended = INTAKE__V1__DEADLINE_EXTENDED__INIT;
    extended.reason = memset(arena_alloc(message->arena, LIMIT_EVENT_BYTES + 1), 'x', LIMIT_EVENT_BYTES);
    emit(message, &extended);
    assert_in_range(message->emitted->size, LIMIT_EVENT_BYTES + 1, LIMIT_FRAME_BYTES);
}

static void requests_and_answers_are_encoded_at_once(void **state)
{
    struct message *message = *state;
    Intake__V1__CloseCall request = INTAKE__V1__CLOSE_CALL__INIT;
    char key[] = "2024:1";

    request.call_id = "c-1";
    ask(message, "finance", key, &request);
    ask(message, "finance", "2024:2", &request);
    answer(message, &request);
    request.call_id = "c-9";
    key[0] = 'X';
    assert_string_equal("finance", message->asked->service);
    assert_string_equal("2024:1", message->asked->key);
    assert_string_equal("2024:2", message->asked->next->key);
    assert_null(message->asked->next->next);
    assert_memory_equal("c-1", message->asked->data + 2, 3);
    assert_ptr_equal(&intake__v1__close_call__descriptor, message->answer_descriptor);
    assert_memory_equal("c-1", message->answer + 2, 3);
}

static void the_first_reason_is_the_one_that_is_told(void **state)
{
    struct message *message = *state;
    assert_int_equal(REFUSED, fail(message, REFUSED, "application %s is not open", "a-1"));
    assert_int_equal(RETRY, fail(message, RETRY, "the clean-up failed too"));
    assert_string_equal("application a-1 is not open", message->reason);
}

static void a_reason_is_short_and_clean_text(void **state)
{
    struct message *message = *state;
    char text[4 * LIMIT_REASON_BYTES + 1] = "";

    for (int i = 0; i < 2 * LIMIT_REASON_BYTES; i++)
        memcpy(text + 2 * i, "å", 2);
    fail(message, REFUSED, "x%s", text);
    assert_int_equal(LIMIT_REASON_BYTES - 1,
                     strlen(message->reason));  // an å more would have been cut in half
    assert_memory_equal("xåå", message->reason, 5);
    assert_int_equal((char)0xA5, message->reason[LIMIT_REASON_BYTES - 2]);

    struct message other = message_new(message->arena);
    fail(&other, POISON, "from elsewhere: \x01 \xFF ok");
    assert_string_equal("from elsewhere: ? ? ok", other.reason);
}

static void a_string_field_is_found_by_name(void **state)
{
    (void)state;
    Intake__V1__CallClosed closed = INTAKE__V1__CALL_CLOSED__INIT;
    assert_string_equal("", message_field(&closed, "call_id"));
    closed.call_id = "c-1";
    assert_string_equal("c-1", message_field(&closed, "call_id"));
    assert_string_equal("", message_field(&closed, "application_id"));
    assert_string_equal("", message_field(&closed, "deadline_at_us"));  // no string
    closed.call_id = NULL;
    assert_string_equal("", message_field(&closed, "call_id"));
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, with_message, without_message)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(what_was_encoded_is_decoded),
        EACH(nothing_is_an_empty_message),
        EACH(every_message_type_decodes_its_own_default),
        EACH(bytes_that_are_no_message_are_refused),
        EACH(a_message_over_the_size_of_a_frame_is_not_even_looked_at),
        EACH(what_is_said_twice_or_oddly_is_refused),
        EACH(faults_are_found_at_any_depth_and_in_any_place),
        EACH(two_kinds_in_a_oneof_are_refused),
        EACH(a_message_that_would_swell_is_refused_and_the_process_lives),
        EACH(damaged_bytes_end_in_a_status),
        EACH(no_message_type_is_recursive_or_too_deep),
        EACH(no_message_type_has_floats_or_required_fields),
        EACH(events_are_kept_in_the_order_they_were_emitted),
        EACH(an_event_too_large_is_for_the_loop_to_find),
        EACH(requests_and_answers_are_encoded_at_once),
        EACH(the_first_reason_is_the_one_that_is_told),
        EACH(a_reason_is_short_and_clean_text),
        EACH(a_string_field_is_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
