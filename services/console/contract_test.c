// Tests of the messages this program was built with: their JSON is that of libprotobuf, for every type of the contract.
#include "contract.h"

#include "all_descriptors.h"
#include "intake_v1.pb-c.h"
#include "limits/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct fixture {
    struct console console;
};

// These tests call functions, not commands.
const struct command *const command_groups[] = {NULL};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    const char *why;

    fixture->console.arena = arena_new(LIMIT_ARENA_BYTES);
    fixture->console.ground = arena_new(LIMIT_ARENA_BYTES);
    fixture->console.contract = protojson_open(fixture->console.ground, PROTOSET, &why);
    assert_non_null(fixture->console.contract);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    protojson_close(&fixture->console.contract);
    arena_destroy(&fixture->console.arena);
    arena_destroy(&fixture->console.ground);
    arena_destroy(&fixture->console.hand);
    free(fixture);
    return 0;
}

// ------------------------------------------------------------------------------------------------ messages to try

static ProtobufCMessage *filled(arena_t *arena, const ProtobufCMessageDescriptor *type, unsigned seed);

static void fill_value(arena_t *arena, const ProtobufCFieldDescriptor *field, void *value, unsigned seed)
{
    static const char *const texts[] = {"plain", "with \"quotes\" \\ and\nlines\t", "på norsk: æøå €", "",
                                        "<b>&amp;</b>"};
    const ProtobufCEnumDescriptor *words = field->descriptor;

    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        *(const char **)value = texts[seed % 5];
        break;
    case PROTOBUF_C_TYPE_BYTES:
        *(ProtobufCBinaryData *)value = (ProtobufCBinaryData){
            .len = seed % 5, .data = arena_copy(arena, "\xFF\x00\x10\xFB\x7F", 5)};
        break;
    case PROTOBUF_C_TYPE_ENUM:
        *(int *)value = words->values[seed % words->n_values].value;
        break;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)value = seed % 2;
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)value = filled(arena, field->descriptor, seed + 1);
        break;
    case PROTOBUF_C_TYPE_INT64:
        *(int64_t *)value = seed % 3 == 0 ? INT64_MIN : (int64_t)seed * 1000000007;
        break;
    case PROTOBUF_C_TYPE_UINT64:
        *(uint64_t *)value = seed % 3 == 0 ? UINT64_MAX : seed;
        break;
    case PROTOBUF_C_TYPE_INT32:
        *(int32_t *)value = seed % 3 == 0 ? INT32_MIN : (int32_t)seed;
        break;
    case PROTOBUF_C_TYPE_UINT32:
        *(uint32_t *)value = seed % 3 == 0 ? UINT32_MAX : seed;
        break;
    default:
        fail_msg("%s is of a type that the contract did not have; message_json must be tried with it",
                 field->name);
    }
}

static size_t size_of_value(ProtobufCType type)
{
    return type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData)
           : type == PROTOBUF_C_TYPE_STRING || type == PROTOBUF_C_TYPE_MESSAGE ||
                   type == PROTOBUF_C_TYPE_INT64 || type == PROTOBUF_C_TYPE_UINT64
               ? 8
               : 4;
}

static ProtobufCMessage *filled(arena_t *arena, const ProtobufCMessageDescriptor *type, unsigned seed)
{
    ProtobufCMessage *body = arena_alloc(arena, type->sizeof_message);
    uint8_t *bytes = (uint8_t *)body;

    type->message_init(body);
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        seed = seed * 31 + 7;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            size_t count = seed % 4;
            uint8_t *values = arena_alloc(arena, count * size_of_value(field->type));
            for (size_t n = 0; n < count; n++)
                fill_value(arena, field, values + n * size_of_value(field->type), seed + (unsigned)n);
            *(size_t *)(bytes + field->quantifier_offset) = count;
            *(void **)(bytes + field->offset) = values;
        } else if (field->type != PROTOBUF_C_TYPE_MESSAGE || seed % 4 != 0) {
            fill_value(arena, field, bytes + field->offset, seed);
            if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)  // the last one counts
                *(uint32_t *)(bytes + field->quantifier_offset) = field->id;
        }
    }
    return body;
}

static Eventlog__V1__Event event_of(arena_t *arena, const char *type, const ProtobufCMessage *body)
{
    Eventlog__V1__Event event = EVENTLOG__V1__EVENT__INIT;

    event.type = (char *)type;
    event.data.data = message_encode(arena, body, &event.data.len);
    return event;
}

// The text that libprotobuf makes, read and written again by jansson: the order of the fields counts too.
static char *reference(struct console *console, const Eventlog__V1__Event *event)
{
    char *text = protojson_decode(console->contract, console->arena, event->type, event->data.data,
                                  event->data.len, false);
    json_t *tree = text != NULL ? json_loads(text, 0, NULL) : NULL;
    char *again = tree != NULL ? json_dumps(tree, JSON_COMPACT) : NULL;

    json_decref(tree);
    return again;
}

static void every_message_has_the_json_of_libprotobuf(void **state)
{
    struct fixture *fixture = *state;
    struct console *console = &fixture->console;

    for (size_t i = 0; i < sizeof all_descriptors / sizeof all_descriptors[0]; i++)
        for (unsigned seed = 0; seed < 12; seed++) {
            const ProtobufCMessageDescriptor *type = all_descriptors[i];
            arena_reset(console->arena);
            ProtobufCMessage *body = arena_alloc(console->arena,
                                                 type->sizeof_message);  // given: an empty one, and others
            type->message_init(body);
            body = seed > 0 ? filled(console->arena, type, seed) : body;
            Eventlog__V1__Event event = event_of(console->arena, type->name, body);
            json_t *tree = contract_json(console, &event);  // when
            char *ours = json_dumps(tree, JSON_COMPACT), *theirs = reference(console, &event);
            assert_non_null(theirs);
            assert_string_equal(theirs, ours);  // then
            json_t *direct = message_json(body);
            assert_true(json_equal(direct, tree));
            assert_true(contract_holds(console, &event));
            json_decref(direct);
            json_decref(tree);
            free(ours);
            free(theirs);
        }
}

static void what_is_not_canonical_or_not_known_does_not_hold(void **state)
{
    struct fixture *fixture = *state;
    Intake__V1__Withdraw body = INTAKE__V1__WITHDRAW__INIT;

    body.application_id = (char *)"a";
    Eventlog__V1__Event event = event_of(fixture->console.arena, "intake.v1.Withdraw", &body.base);
    assert_true(contract_holds(&fixture->console, &event));
    event.type = (char *)"intake.v1.Nothing";
    assert_false(contract_holds(&fixture->console, &event));
    assert_null(contract_json(&fixture->console, &event));
    event.type = (char *)"intake.v1.Withdraw";
    event.data = (ProtobufCBinaryData){.data = (uint8_t *)"\x0A\x01z\x0A\x01z", .len = 6};  // a field twice
    assert_false(contract_holds(&fixture->console, &event));
    event.data = (ProtobufCBinaryData){.data = (uint8_t *)"\x0A\x05", .len = 2};  // cut off
    assert_false(contract_holds(&fixture->console, &event));
    assert_null(contract_json(&fixture->console, &event));
}

static void what_the_data_names_is_told(void **state)
{
    struct fixture *fixture = *state;
    Intake__V1__ApplicationDrafted drafted = INTAKE__V1__APPLICATION_DRAFTED__INIT;
    Intake__V1__CallClosed closed = INTAKE__V1__CALL_CLOSED__INIT;

    drafted.application_id = (char *)"an application";
    drafted.call_id = closed.call_id = (char *)"a call";
    Eventlog__V1__Event event = event_of(fixture->console.arena, drafted.base.descriptor->name,
                                         &drafted.base);
    struct contract_subject subject = contract_subject(&fixture->console, &event);
    assert_string_equal("an application", subject.application_id);
    assert_string_equal("a call", subject.call_id);
    event = event_of(fixture->console.arena, closed.base.descriptor->name, &closed.base);
    subject = contract_subject(&fixture->console, &event);
    assert_string_equal("", subject.application_id);
    assert_string_equal("a call", subject.call_id);
    event.type = (char *)"intake.v1.Nothing";
    assert_string_equal("", contract_subject(&fixture->console, &event).call_id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_message_has_the_json_of_libprotobuf, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_the_data_names_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_canonical_or_not_known_does_not_hold, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
