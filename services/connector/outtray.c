// outtray: hands an order's file to the bank exactly once, whatever dies when. The order of the steps is the
// point:
//
//     1  .making/ID.xml is written whole          (dies here: written again, the same bytes)
//     2  state/ID is written: the order is taken   (dies here: step 3 is done when it is asked again)
//     3  .making/ID.xml is renamed to out/ID.xml   (dies here: the record without the file says that it went out)
//
// A rename is one step for every observer and for the disk, so a file is never in both places and never in
// none.
#include "connector.h"
#include "values/values.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define RECORD_BYTES 4096
#define RECORD_FORM  "order %s\nbody %s\nfile %s\nend_to_end_id %s\n"

// A record, from the bytes of its file. Every field is a line of its own.
static const char *record_field(arena_t *arena, ProtobufCBinaryData record, const char *name)
{
    char *rest = NULL;
    char *text = arena_printf(arena, "%.*s", (int)record.len, (const char *)record.data);
    size_t name_size = strlen(name);

    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        if (strncmp(line, name, name_size) == 0 && line[name_size] == ' ')
            return line + name_size + 1;
    return "";
}

static char *body_sha256(arena_t *arena, const PayOrder *order)
{
    size_t size;
    const uint8_t *bytes = message_encode(arena, order, &size);

    return sha256_text(arena, bytes, size);
}

static status_t record_new(struct message *message, const struct trays *trays, const PayOrder *order,
                           const char *id, ProtobufCBinaryData file)
{
    const char *record = arena_printf(message->arena, RECORD_FORM, order->order_id,
                                      body_sha256(message->arena, order),
                                      sha256_text(message->arena, file.data, file.len), order->end_to_end_id);
    status_t status = file_write(message, trays->making, arena_printf(message->arena, "%s.xml", id),
                                 file.data, file.len);

    if (status == OK)
        status = file_write(message, trays->state, id, record, strlen(record));
    return status;
}

static status_t record_check(struct message *message, const struct trays *trays, const PayOrder *order,
                             const char *id)
{
    ProtobufCBinaryData record;
    status_t status = file_read(message, trays->state, id, RECORD_BYTES, &record);

    if (status != OK)
        return fail(message, RETRY, "the record of order %s can not be read", order->order_id);
    if (strcmp(record_field(message->arena, record, "order"), order->order_id) != 0 ||
        strcmp(record_field(message->arena, record, "body"), body_sha256(message->arena, order)) != 0)
        return fail(message, REFUSED,
                    "order_id %s was taken before with another content; take the next attempt",
                    order->order_id);
    return OK;
}

static status_t release(struct message *message, const struct trays *trays, const char *id)
{
    const char *name = arena_printf(message->arena, "%s.xml", id);

    switch (file_move(trays->making, name, trays->out, name)) {
    case MOVED:
    case MOVED_BEFORE:
        return OK;
    case MOVED_ON_ANOTHER:
        return fail(message, RETRY,
                    "%s/%s is there though this order was never handed over; an operator must look",
                    trays->out, name);
    case MOVED_NOT:
        return fail(message, RETRY, "%s can not be moved into %s", name, trays->out);
    }
    return RETRY;
}

status_t outtray_take(struct message *message, const struct trays *trays, const PayOrder *order,
                      ProtobufCBinaryData file)
{
    const char *id = order_message_id(message->arena, order->order_id);
    status_t status = file_exists(trays->state, id) ? record_check(message, trays, order, id)
                                                    : record_new(message, trays, order, id, file);

    if (status == OK)
        status = release(message, trays, id);
    return status;
}

// Only names that we make: what a bank's file says must not lead anywhere else.
static bool is_our_id(const char *message_id)
{
    return strlen(message_id) == 27 && message_id[0] == 'T' &&
           strspn(message_id + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == 26;
}

const char *outtray_end_to_end_id(struct message *message, const struct trays *trays, const char *message_id)
{
    ProtobufCBinaryData record;

    if (!is_our_id(message_id) || file_read(message, trays->state, message_id, RECORD_BYTES, &record) != OK)
        return NULL;
    return record_field(message->arena, record, "end_to_end_id");
}
