// damage: well-formed messages of every row of a service, damaged at random, through its dispatcher.
//
// Whatever the bytes are, the dispatcher must end in one of the four outcomes: no crash, no leak, no undefined
// behaviour (the sanitizers watch), no growth beyond the arena. The database is one that does not answer, so a message
// that survives its damage ends in RETRY at its first statement.
//
// DAMAGE_SEED and DAMAGE_COUNT (messages in all, 100 000) choose another run; a failure prints the seed.
#include "check/check.h"
#include "limits/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct service SERVICE;

// A small generator of our own, so that a seed means the same bytes on every machine (splitmix64).
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static size_t random_below(uint64_t *state, size_t limit)
{
    return limit == 0 ? 0 : (size_t)(random_next(state) % limit);
}

// Append a varint.
static size_t put_varint(uint8_t *out, uint64_t value)
{
    size_t size = 0;

    do {
        out[size++] = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        value >>= 7;
    } while (value != 0);
    return size;
}

#define SEED_BYTES 4096

static const char *const plausible[] = {
    "0190163d-8740-7000-8000-000000000001", "imdi-tuki8-2024-extra", "958935420", "F", "2024-08-01", "nb",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "Kartlegging i kommunen", "",
    "0190163d-8740-7000-8000-000000000001#2024#1", "76940512057",
};

static size_t fill(const ProtobufCMessageDescriptor *type, uint8_t *out, size_t room, uint64_t *state, int depth);

// One field, by its wire form; 0 when there is no room.
static size_t fill_field(const ProtobufCFieldDescriptor *field, uint8_t *out, size_t room, uint64_t *state, int depth)
{
    uint8_t body[SEED_BYTES];
    size_t body_size = 0;
    uint8_t *end = out;

    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        body_size = fill(field->descriptor, body, sizeof body / 4, state, depth + 1);
        break;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES: {
        const char *text = plausible[random_below(state, sizeof plausible / sizeof plausible[0])];
        body_size = strlen(text);
        memcpy(body, text, body_size);
        break;
    }
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
        if (room < 20)
            return 0;
        end += put_varint(end, (uint64_t)field->id << 3);
        end += put_varint(end, field->type == PROTOBUF_C_TYPE_BOOL ? 1 : 1 + random_below(state, 3));
        return (size_t)(end - out);
    }
    if (room < body_size + 20)
        return 0;
    end += put_varint(end, ((uint64_t)field->id << 3) | 2);
    end += put_varint(end, body_size);
    memcpy(end, body, body_size);
    return (size_t)(end - out) + body_size;
}

// A plausible message: every field, the repeated ones once or twice.
static size_t fill(const ProtobufCMessageDescriptor *type, uint8_t *out, size_t room, uint64_t *state, int depth)
{
    size_t size = 0;

    for (unsigned n = 0; n < type->n_fields && depth < LIMIT_DEPTH; n++) {
        const ProtobufCFieldDescriptor *field = &type->fields[n];
        size_t times = field->label == PROTOBUF_C_LABEL_REPEATED ? 1 + random_below(state, 2) : 1;

        while (times-- > 0)
            size += fill_field(field, out + size, room - size, state, depth);
    }
    return size;
}

// Damage it in one of six ways; returns the new size, at most room.
static size_t damage(uint8_t *bytes, size_t size, size_t room, uint64_t *state)
{
    size_t at = random_below(state, size);

    switch (random_below(state, 6)) {
    case 0:  // a bit flips
        if (size > 0)
            bytes[at] ^= (uint8_t)(1u << random_below(state, 8));
        return size;
    case 1:  // the rest is missing
        return at;
    case 2:  // a byte becomes any byte
        if (size > 0)
            bytes[at] = (uint8_t)random_next(state);
        return size;
    case 3: {  // a piece comes twice
        size_t piece = random_below(state, size - at);

        if (size + piece > room)
            return size;
        memmove(bytes + at + piece, bytes + at, size - at);
        return size + piece;
    }
    case 4:  // noise at the end
        for (int n = 0; n < 8 && size < room; n++)
            bytes[size++] = (uint8_t)random_next(state);
        return size;
    case 5:  // left as it is
        return size;
    }
    return size;
}

typedef status_t dispatch_f(const struct service *service, struct message *message, const uint8_t *body, size_t size);

// One damaged message of one row through the dispatcher.
static void one(dispatch_f *dispatch, const ProtobufCMessageDescriptor *type, uint64_t roles, uint64_t *state, db_t *db,
                arena_t *arena)
{
    // exact-size blocks on the heap, so that a read past the end is seen
    uint8_t room[2 * SEED_BYTES];
    size_t size = fill(type, room, SEED_BYTES, state, 0);
    size = damage(room, size, sizeof room, state);
    uint8_t *exact = malloc(size + (size == 0));
    actor_t actor = BUS__V1__ACTOR__INIT;
    struct message message = message_new(arena);

    assert_non_null(exact);
    memcpy(exact, room, size);
    actor.subject = (char *)"person.1";
    actor.organisation = (char *)"958935420";
    while ((roles & (UINT64_C(1) << actor.role)) == 0 && actor.role < 63)
        actor.role++;
    message.db = db;
    message.id = "0190163d-8740-7000-8000-000000000002";
    message.type = type->name;
    message.at_us = INT64_C(1718000000000000);
    message.actor = &actor;
    message.sender = "test";
    message.stream = "test/case/1";
    message.subject = "1";
    message.version = 1;
    message.correlation = message.id;
    status_t status = dispatch(&SERVICE, &message, exact, size);
    assert_true(status == OK || status == REFUSED || status == RETRY || status == POISON);
    assert_true(status == OK || message.reason != NULL);
    free(exact);
    arena_reset(arena);
}

static int rows(void)
{
    int count = 0;

    for (const struct command_row *row = SERVICE.commands; row != NULL && row->on != NULL; row++)
        count++;
    for (const struct query_row *row = SERVICE.queries; row != NULL && row->on != NULL; row++)
        count++;
    for (const struct heard_row *row = SERVICE.heard; row != NULL && row->on != NULL; row++)
        count++;
    return count;
}

static void damaged_messages_end_in_an_outcome(void **unused)
{
    (void)unused;
    const char *seed_text = getenv("DAMAGE_SEED");
    const char *count_text = getenv("DAMAGE_COUNT");
    uint64_t state = seed_text != NULL ? strtoull(seed_text, NULL, 10) : 20240614;
    int each = (count_text != NULL ? atoi(count_text) : 100000) / rows() + 1;
    const struct sql *const *const statements[] = {SERVICE.statements, NULL};
    struct db_config nowhere = {.url = "host=/nonexistent", .schema = SERVICE.name, .statements = statements,
                                .application_name = "damage"};
    db_t *db = db_new(&nowhere);
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);

    print_message("# seed %llu, %d of each of %d rows\n", (unsigned long long)state, each, rows());
    for (int n = 0; n < each; n++) {
        for (const struct command_row *row = SERVICE.commands; row != NULL && row->on != NULL; row++)
            one(service_decide, row->on, row->roles, &state, db, arena);
        for (const struct query_row *row = SERVICE.queries; row != NULL && row->on != NULL; row++)
            one(service_read, row->on, row->roles, &state, db, arena);
        for (const struct heard_row *row = SERVICE.heard; row != NULL && row->on != NULL; row++)
            one(service_hear, row->on, ROLE(SERVICE), &state, db, arena);
    }
    arena_destroy(&arena);
    db_destroy(&db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(damaged_messages_end_in_an_outcome)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
