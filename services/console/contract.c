// contract: the messages of the contract that this program was built with.
#include "contract.h"

#include "all_descriptors.h"
#include "limits/limits.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define TYPES (sizeof all_descriptors / sizeof all_descriptors[0])

static int compare_names(const void *left, const void *right)
{
    const ProtobufCMessageDescriptor *const *one = left, *const *other = right;

    return strcmp((*one)->name, (*other)->name);
}

static int compare_to_name(const void *name, const void *type)
{
    return strcmp(name, (*(const ProtobufCMessageDescriptor *const *)type)->name);
}

// Those of the console, in order of their names; put in order at the first use.
static const ProtobufCMessageDescriptor *find_type(struct console *console, const char *name)
{
    if (console->types == NULL) {
        console->types = arena_copy(console->ground, all_descriptors, sizeof all_descriptors);
        qsort(console->types, TYPES, sizeof console->types[0], compare_names);
    }
    const ProtobufCMessageDescriptor **found = bsearch(name, console->types, TYPES, sizeof console->types[0],
                                                       compare_to_name);
    return found != NULL ? *found : NULL;
}

// An event's data, until the next one is decoded. NULL: it is no message of a type that we know.
static const ProtobufCMessage *decode(struct console *console, const Eventlog__V1__Event *event)
{
    const ProtobufCMessageDescriptor *type = find_type(console, event->type);
    const ProtobufCMessage *body;

    if (console->hand == NULL)
        console->hand = arena_new(LIMIT_ARENA_BYTES);
    arena_reset(console->hand);
    struct message message = message_new(console->hand);
    return type != NULL && message_decode(&message, type, event->data.data, event->data.len, &body) == OK
               ? body
               : NULL;
}

// ---------------------------------------------------------------------------------------------------- to JSON

static json_t *number_json(int64_t number, bool wide)
{
    char text[24];

    if (!wide)
        return json_integer((json_int_t)number);
    snprintf(text, sizeof text, "%lld", (long long)number);
    return json_string(text);
}

static json_t *unsigned_json(uint64_t number)
{
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    return json_string(text);
}

static json_t *bytes_json(const ProtobufCBinaryData *bytes)
{
    size_t room = (bytes->len + 2) / 3 * 4 + 1;
    char *text = malloc(room);

    assert(text != NULL);
    int length = EVP_EncodeBlock((unsigned char *)text, bytes->data, (int)bytes->len);
    json_t *value = json_stringn(text, (size_t)length);
    free(text);
    return value;
}

static json_t *enum_json(const ProtobufCFieldDescriptor *field, int number)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(field->descriptor, number);

    return value != NULL ? json_string(value->name) : json_integer(number);
}

// The contract has no floating point: tests of the contract see to that.
static json_t *value_json(const ProtobufCFieldDescriptor *field, const void *value)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING: {
        const char *text = *(const char *const *)value;
        return json_string(text != NULL ? text : "");
    }
    case PROTOBUF_C_TYPE_BYTES:
        return bytes_json(value);
    case PROTOBUF_C_TYPE_ENUM:
        return enum_json(field, *(const int *)value);
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean(*(const protobuf_c_boolean *)value);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return number_json(*(const int32_t *)value, false);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return number_json(*(const uint32_t *)value, false);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return number_json(*(const int64_t *)value, true);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return unsigned_json(*(const uint64_t *)value);
    case PROTOBUF_C_TYPE_MESSAGE:
        return message_json(*(const ProtobufCMessage *const *)value);
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
        break;
    }
    assert(!"a type that the contract does not have");
    return NULL;
}

// A list, also when it is empty.
static json_t *list_json(const ProtobufCFieldDescriptor *field, const uint8_t *body)
{
    size_t count = *(const size_t *)(body + field->quantifier_offset);
    const uint8_t *values = *(const uint8_t *const *)(body + field->offset);
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, value_json(field, values + i * message_value_size(field->type)));
    return list;
}

// Is the field absent? Others are there also when they are zero or empty.
static bool is_absent(const ProtobufCFieldDescriptor *field, const uint8_t *body)
{
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
        return *(const uint32_t *)(body + field->quantifier_offset) != field->id;
    return field->type == PROTOBUF_C_TYPE_MESSAGE && *(void *const *)(body + field->offset) == NULL;
}

json_t *message_json(const ProtobufCMessage *body)
{
    const uint8_t *bytes = (const uint8_t *)body;
    json_t *object = json_object();

    for (unsigned i = 0; i < body->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &body->descriptor->fields[i];
        if (field->label == PROTOBUF_C_LABEL_REPEATED)
            json_object_set_new_nocheck(object, field->name, list_json(field, bytes));
        else if (!is_absent(field, bytes))
            json_object_set_new_nocheck(object, field->name, value_json(field, bytes + field->offset));
    }
    return object;
}

// ---------------------------------------------------------------------------------------------------- public

bool contract_holds(struct console *console, const Eventlog__V1__Event *event)
{
    return decode(console, event) != NULL ||
           protojson_canonical(console_contract(console), event->type, event->data.data, event->data.len);
}

json_t *contract_json(struct console *console, const Eventlog__V1__Event *event)
{
    const ProtobufCMessage *body = decode(console, event);

    if (body != NULL)
        return message_json(body);
    char *text = protojson_decode(console_contract(console), console->arena, event->type, event->data.data,
                                  event->data.len, false);
    return text != NULL ? json_loads(text, 0, NULL) : NULL;
}

struct contract_subject contract_subject(struct console *console, const Eventlog__V1__Event *event)
{
    const ProtobufCMessage *body = decode(console, event);

    if (body != NULL)
        return (struct contract_subject){message_field(body, "application_id"),
                                         message_field(body, "call_id")};
    json_t *data = contract_json(console, event);
    struct contract_subject subject = {
        arena_text(console->hand, json_string_value(json_object_get(data, "application_id"))),
        arena_text(console->hand, json_string_value(json_object_get(data, "call_id")))};
    json_decref(data);
    return subject;
}
