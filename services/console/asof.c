// asof: queries answered from replayed state.
#include "asof.h"

#include "rebuild.h"
#include "tools.h"

#include "clock/clock.h"
#include "console_replay.sql.h"
#include "values/values.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define NAME_HEX     16
#define ANSWER_BYTES (2 * LIMIT_FRAME_BYTES)

// ----------------------------------------------------------------------------------------------------- scratch

// A name nobody else has, locked as long as this process lives; what dead ones left is dropped on the way.
static status_t claim(struct console *console, const char *schema, struct rows *ret_left)
{
    struct message *message = &console->message;
    struct rows rows;

    status_t status = RUN0(message, scratch_left, ret_left);
    if (status == OK)
        status = RUN(message, scratch_claim, &rows, TEXT(schema));
    return status;
}

static int open_scratch(struct console *console, const char **ret)
{
    char *id = uuid_new(console->ground, clock_real_us());
    uint8_t digest[32];
    struct rows left;

    sha256(id, strlen(id), digest);
    *ret = arena_printf(console->ground, "asof_%.*s", NAME_HEX, hex(console->ground, digest, sizeof digest));
    int code = tools_scratch(console);
    if (code != EXIT_DONE)
        return code;
    if (claim(console, *ret, &left) != OK)
        code = tools_fault(console);
    for (int i = 0; code == EXIT_DONE && i < left.count; i++)
        code = tools_drop(console, row_text(&left, i, 0));
    if (code != EXIT_DONE)
        tools_close(console);
    return code;
}

// ------------------------------------------------------------------------------------------------------ asking

static size_t put_part(uint8_t *to, const uint8_t *bytes, size_t size)
{
    uint32_t length = htonl((uint32_t)size);

    memcpy(to, &length, sizeof length);
    if (size > 0)
        memcpy(to + sizeof length, bytes, size);
    return sizeof length + size;
}

static bool take_part(const uint8_t **at, size_t *left, const uint8_t **ret, size_t *ret_size)
{
    uint32_t length;

    if (*left < sizeof length)
        return false;
    memcpy(&length, *at, sizeof length);
    *ret_size = ntohl(length);
    *ret = *at + sizeof length;
    if (*left - sizeof length < *ret_size)
        return false;
    *at += sizeof length + *ret_size;
    *left -= sizeof length + *ret_size;
    return true;
}

static uint8_t *question(struct console *console, const ProtobufCMessage *query, const struct as_of *as_of,
                         size_t *ret_size)
{
    Bus__V1__Request request = BUS__V1__REQUEST__INIT;
    size_t head_size, body_size;
    uint8_t *body = message_encode(console->arena, query, &body_size);

    request.service = (char *)service_of(console->arena, query->descriptor->name);
    request.id = uuid_new(console->arena, clock_real_us());
    request.type = (char *)query->descriptor->name;
    request.actor = (actor_t *)(uintptr_t)console->actor;
    request.received_at_us = as_of->stored_at_us;
    uint8_t *head = message_encode(console->arena, &request, &head_size);
    uint8_t *both = arena_alloc(console->arena, head_size + body_size + 2 * sizeof(uint32_t));
    size_t used = put_part(both, head, head_size);
    *ret_size = used + put_part(both + used, body, body_size);
    return both;
}

// The answer becomes console->answer, as if it had come over the bus.
static int take_answer(struct console *console, const char *service, const uint8_t *bytes, size_t size)
{
    struct incoming *answer = &console->answer;
    const uint8_t *head;
    size_t head_size;

    *answer = (struct incoming){.kind = INCOMING_REPLY};
    console->message.reason = NULL;
    if (!take_part(&bytes, &size, &head, &head_size) ||
        !take_part(&bytes, &size, &answer->body, &answer->body_size) ||
        message_decode(&console->message, &bus__v1__reply__descriptor, head, head_size, &answer->reply) != OK)
        return fault(EXIT_REFUSED, "what %s answered from the past cannot be read", service);
    if (answer->reply->status != BUS__V1__REPLY__STATUS__OK)
        return fault(EXIT_REFUSED, "%s", answer->reply->reason);
    return EXIT_DONE;
}

static int ask_scratch(struct console *console, const char *schema, const ProtobufCMessage *query,
                       const struct as_of *as_of)
{
    const char *service = service_of(console->arena, query->descriptor->name), *why;
    const char *const words[] = {"", "--query", schema, NULL};
    size_t size, answer_size = ANSWER_BYTES;
    uint8_t *asked = question(console, query, as_of, &size);
    uint8_t *answered = arena_alloc(console->arena, answer_size);

    if (!rebuild_run(console, service, words, asked, size, answered, &answer_size, &why))
        return fault(EXIT_REFUSED, "%s", why);
    return take_answer(console, service, answered, answer_size);
}

static int ask_past(struct console *console, const ProtobufCMessage *query, const struct as_of *as_of)
{
    struct rebuild *one = arena_alloc(console->ground, sizeof *one);
    const char *schema;

    int code = open_scratch(console, &schema);
    if (code != EXIT_DONE)
        return code;
    *one = (struct rebuild){.service = service_of(console->ground, query->descriptor->name),
                            .schema = schema,
                            .until = as_of->position};
    code = rebuild_all(console, one, 1);
    if (code == EXIT_DONE)
        code = ask_scratch(console, schema, query, as_of);
    int dropped = tools_drop(console, schema);
    tools_close(console);
    return code == EXIT_DONE ? dropped : code;
}

// ----------------------------------------------------------------------------------------------------- the past

static int find_moment(struct console *console, const char *text, struct as_of *ret)
{
    const Eventlog__V1__Page *page;
    const Eventlog__V1__Event *event;

    int code = position_argument(console, "as-of", text, &ret->position);
    if (code == EXIT_DONE)
        code = read_page(console, ret->position - 1, 1, &page);
    if (code != EXIT_DONE)
        return code;
    if (page->n_entries != 1)
        return fault(EXIT_REFUSED, "position %llu cannot be read", (unsigned long long)ret->position);
    console->message.reason = NULL;
    if (message_decode(&console->message, &eventlog__v1__event__descriptor, page->entries[0]->event.data,
                       page->entries[0]->event.len, &event) != OK)
        return fault(EXIT_REFUSED, "position %llu: %s", (unsigned long long)ret->position,
                     console->message.reason);
    ret->head = page->head;
    ret->stored_at_us = page->entries[0]->appended_at_us;
    ret->rule_set = arena_text(console->ground, event->rule_set);
    ret->asked = true;
    return EXIT_DONE;
}

int query_as_of(struct console *console, const void *request, const ProtobufCMessageDescriptor *type,
                void *ret, struct as_of *ret_as_of)
{
    const char *text = option_text(console, "as-of");

    *ret_as_of = (struct as_of){0};
    if (text == NULL)
        return query(console, request, type, ret);
    int code = find_moment(console, text, ret_as_of);
    if (code == EXIT_DONE)
        code = ask_past(console, request, ret_as_of);
    if (code != EXIT_DONE)
        return code;
    console->message.reason = NULL;
    if (message_decode(&console->message, type, console->answer.body, console->answer.body_size, ret) != OK)
        return fault(EXIT_REFUSED, "the answer from the past cannot be read: %s", console->message.reason);
    return EXIT_DONE;
}

int print_answer_as_of(struct console *console, const struct as_of *as_of)
{
    const struct incoming *answered = &console->answer;

    if (!as_of->asked)
        return print_answer(console);
    char *text = protojson_decode(console_contract(console), console->arena, answered->reply->type,
                                  answered->body, answered->body_size, false);
    json_t *output = text != NULL ? json_loads(text, 0, NULL) : NULL;
    if (output == NULL)
        return fault(EXIT_REFUSED, "the answer is a %s, which this contract cannot read",
                     answered->reply->type);
    json_object_set_new(output, "as_of",
                        json_pack("{s:I, s:I, s:s, s:s}", "position", (json_int_t)as_of->position, "head",
                                  (json_int_t)as_of->head, "stored_at_us",
                                  arena_printf(console->arena, "%lld", (long long)as_of->stored_at_us),
                                  "rule_set", as_of->rule_set));
    json_dumpf(output, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(output);
    return EXIT_DONE;
}

void print_as_of(struct console *console, const struct as_of *as_of)
{
    if (as_of->asked)
        printf("\nas of position %llu of %llu, stored %s; rule set %s\n", (unsigned long long)as_of->position,
               (unsigned long long)as_of->head, oslo_text(console->arena, as_of->stored_at_us),
               as_of->rule_set);
}
