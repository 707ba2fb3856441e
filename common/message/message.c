// message: collecting what a rule says, and decoding strictly what others say.
#include "message/message.h"
#include "limits/limits.h"
#include "values/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// A walk through a decoded message.
struct walk {
    struct message *message;
    const ProtobufCMessageDescriptor *root;
    int depth;
};

static const void *member(const void *body, unsigned offset)
{
    return (const char *)body + offset;
}

size_t message_value_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_ENUM:
        return sizeof(int);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return 4;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    }
    assert(!"a protobuf type that libprotobuf-c does not have");
    return 0;
}

// How many values the field holds, and where they stand.
static size_t field_values(const void *body, const ProtobufCFieldDescriptor *field, const void **ret_first)
{
    *ret_first = member(body, field->offset);
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        *ret_first = *(void *const *)*ret_first;
        return *(const size_t *)member(body, field->quantifier_offset);
    }
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
        return *(const uint32_t *)member(body, field->quantifier_offset) == field->id;
    return 1;
}

static status_t walk_message(struct walk walk, const ProtobufCMessage *body);

static status_t walk_string(struct walk walk, const char *text, const ProtobufCFieldDescriptor *field)
{
    if (text == NULL || text_valid(text, strlen(text)))
        return OK;
    return fail(walk.message, POISON, "field %s of a %s is not UTF-8 text without control characters",
                field->name, walk.root->name);
}

static status_t walk_enum(struct walk walk, int value, const ProtobufCFieldDescriptor *field)
{
    if (protobuf_c_enum_descriptor_get_value(field->descriptor, value) != NULL)
        return OK;
    return fail(walk.message, POISON, "field %s of a %s holds %d, which %s does not have", field->name,
                walk.root->name, value, ((const ProtobufCEnumDescriptor *)field->descriptor)->name);
}

static status_t walk_value(struct walk walk, const void *value, const ProtobufCFieldDescriptor *field)
{
    if (field->type == PROTOBUF_C_TYPE_STRING)
        return walk_string(walk, *(const char *const *)value, field);
    if (field->type == PROTOBUF_C_TYPE_ENUM)
        return walk_enum(walk, *(const int *)value, field);
    if (field->type == PROTOBUF_C_TYPE_MESSAGE && *(void *const *)value != NULL)
        return walk_message(walk, *(const ProtobufCMessage *const *)value);
    return OK;
}

static status_t walk_message(struct walk walk, const ProtobufCMessage *body)
{
    status_t status = OK;

    if (++walk.depth > LIMIT_DEPTH)
        return fail(walk.message, POISON, "a %s is nested deeper than %d levels", walk.root->name,
                    LIMIT_DEPTH);
    if (body->n_unknown_fields > 0)
        return fail(walk.message, POISON, "a %s has the unknown field %u in its %s", walk.root->name,
                    body->unknown_fields[0].tag, body->descriptor->short_name);
    for (unsigned i = 0; status == OK && i < body->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &body->descriptor->fields[i];
        const void *first;
        size_t count = field_values(body, field, &first);
        for (size_t n = 0; status == OK && n < count; n++)
            status = walk_value(walk, (const char *)first + n * message_value_size(field->type), field);
    }
    return status;
}

static void find_privates(struct privates *found, arena_t *arena, const ProtobufCMessage *body);

static void find_private(struct privates *found, arena_t *arena, const ProtobufCMessage *part)
{
    if (part->descriptor != &types__v1__private__descriptor) {
        find_privates(found, arena, part);
        return;
    }
    if ((found->count & (found->count - 1)) == 0) {  // full at each power of two
        private_t **all = arena_alloc(arena, sizeof *all * (found->count > 0 ? 2 * found->count : 1));
        if (found->count > 0)
            memcpy(all, found->all, sizeof *all * found->count);
        found->all = all;
    }
    found->all[found->count++] = (private_t *)part;
}

static void find_privates(struct privates *found, arena_t *arena, const ProtobufCMessage *body)
{
    for (unsigned i = 0; i < body->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &body->descriptor->fields[i];
        const void *first;
        if (field->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        size_t count = field_values(body, field, &first);
        for (size_t n = 0; n < count; n++)
            if (((const ProtobufCMessage *const *)first)[n] != NULL)
                find_private(found, arena, ((const ProtobufCMessage *const *)first)[n]);
    }
}

// "Canonical or refuse": what we would say is what was said. Finds a field sent twice, fields out of order, defaults
// spelled out, numbers longer than they need be and text that ended early at a NUL.
static bool canonical(arena_t *arena, const ProtobufCMessage *body, const void *bytes, size_t size)
{
    if (protobuf_c_message_get_packed_size(body) != size)
        return false;
    if (size == 0)
        return true;
    uint8_t *again = arena_alloc(arena, size);
    return protobuf_c_message_pack(body, again) == size && memcmp(again, bytes, size) == 0;
}

// A reason travels as a protobuf string: what another program's text may have brought in is made harmless.
static void mend(char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        size_t length = text_character(text, left);
        if (length == 0)
            *text = '?';
        text += length > 0 ? length : 1;
        left -= length > 0 ? length : 1;
    }
}

// Cut at most the last character in half, and then take it away.
static void cut(char *text, size_t size)
{
    if (strlen(text) <= size)
        return;
    while (size > 0 && ((unsigned char)text[size] & 0xC0) == 0x80)
        size--;
    text[size] = '\0';
}

static const ProtobufCMessageDescriptor *descriptor_of(const void *body)
{
    assert(body != NULL);
    const ProtobufCMessageDescriptor *descriptor = ((const ProtobufCMessage *)body)->descriptor;
    assert(descriptor != NULL && descriptor->magic == PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC);
    return descriptor;
}

struct privates message_privates(arena_t *arena, const void *body)
{
    struct privates found = {NULL, 0};

    (void)descriptor_of(body);
    find_privates(&found, arena, body);
    return found;
}

// What is stored has no personal text: it is taken out for as long as the bytes are made. The rules, and a query's
// answer, still see it.
static uint8_t *encode_sealed(arena_t *arena, const void *body, size_t *ret_size)
{
    struct privates found = message_privates(arena, body);
    char **texts = arena_alloc(arena, sizeof *texts * (found.count + 1));

    for (size_t i = 0; i < found.count; i++) {
        texts[i] = found.all[i]->text;
        found.all[i]->text = (char *)protobuf_c_empty_string;
    }
    uint8_t *bytes = message_encode(arena, body, ret_size);
    for (size_t i = 0; i < found.count; i++)
        found.all[i]->text = texts[i];
    return bytes;
}

struct message message_new(arena_t *arena)
{
    static const actor_t nobody = BUS__V1__ACTOR__INIT;

    assert(arena != NULL);
    // The tails of the lists stay NULL, meaning the head: a struct that is copied must not point into itself.
    return (struct message){.arena = arena,
                            .id = "",
                            .type = "",
                            .actor = &nobody,
                            .sender = "",
                            .correlation = "",
                            .stream = "",
                            .subject = ""};
}

void emit(struct message *message, const void *event)
{
    const ProtobufCMessageDescriptor *descriptor = descriptor_of(event);
    struct emitted *emitted = arena_alloc(message->arena, sizeof *emitted);

    assert(descriptor->n_fields > 0 && descriptor->fields[0].type == PROTOBUF_C_TYPE_STRING);
    emitted->descriptor = descriptor;
    emitted->data = encode_sealed(message->arena, event, &emitted->size);

    *(message->last_emitted != NULL ? message->last_emitted : &message->emitted) = emitted;
    message->last_emitted = &emitted->next;
}

void ask(struct message *message, const char *service, const char *key, const void *request)
{
    struct asked *asked = arena_alloc(message->arena, sizeof *asked);

    assert(service != NULL && service[0] != '\0');
    assert(key != NULL && key[0] != '\0');
    asked->service = arena_text(message->arena, service);
    asked->key = arena_text(message->arena, key);
    asked->descriptor = descriptor_of(request);
    asked->data = encode_sealed(message->arena, request, &asked->size);

    *(message->last_asked != NULL ? message->last_asked : &message->asked) = asked;
    message->last_asked = &asked->next;
}

void answer(struct message *message, const void *body)
{
    assert(message->answer_descriptor == NULL);
    message->answer_descriptor = descriptor_of(body);
    message->answer = message->opens ? message_encode(message->arena, body, &message->answer_size)
                                     : encode_sealed(message->arena, body, &message->answer_size);
}

status_t fail(struct message *message, status_t status, const char *format, ...)
{
    char reason[2 * LIMIT_REASON_BYTES];

    assert(status != OK);
    if (message->reason != NULL)
        return status;  // the first reason is the real one; what follows is clean-up
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    cut(reason, LIMIT_REASON_BYTES);
    mend(reason);
    message->reason = arena_text(message->arena, reason);
    return status;
}

status_t message_decode(struct message *message, const ProtobufCMessageDescriptor *descriptor,
                        const void *bytes, size_t size, void *ret)
{
    assert(descriptor != NULL && ret != NULL);
    if (size > LIMIT_FRAME_BYTES)
        return fail(message, POISON, "a %s of %zu bytes is larger than %d", descriptor->name, size,
                    LIMIT_FRAME_BYTES);

    ProtobufCMessage *body = protobuf_c_message_unpack(descriptor, arena_allocator(message->arena), size,
                                                       bytes);
    if (body == NULL)
        return fail(message, POISON, "these %zu bytes are not a %s, or would decode to more than %d bytes",
                    size, descriptor->name, LIMIT_DECODED_BYTES);
    status_t status = walk_message((struct walk){.message = message, .root = descriptor}, body);
    if (status == OK && !canonical(message->arena, body, bytes, size))
        status = fail(message, POISON, "a %s is not canonical: encoding it again gives other bytes",
                      descriptor->name);
    if (status == OK)
        *(const void **)ret = body;
    return status;
}

uint8_t *message_encode(arena_t *arena, const void *body, size_t *ret_size)
{
    const ProtobufCMessageDescriptor *descriptor = descriptor_of(body);
    assert(descriptor->sizeof_message >= sizeof(ProtobufCMessage));
    size_t size = protobuf_c_message_get_packed_size(body);
    uint8_t *bytes = arena_alloc(arena, size);
    size_t written = protobuf_c_message_pack(body, bytes);
    assert(written == size);
    *ret_size = size;
    return bytes;
}

const char *message_field(const void *body, const char *name)
{
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(
        descriptor_of(body), name);
    const void *first;

    if (field == NULL || field->type != PROTOBUF_C_TYPE_STRING || field->label == PROTOBUF_C_LABEL_REPEATED ||
        field_values(body, field, &first) == 0)
        return "";
    const char *text = *(const char *const *)first;
    return text != NULL ? text : "";
}
