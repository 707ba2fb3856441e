// document: which events carry one, and its hash computed again.
#include "document.h"

#include "allocation_v1.pb-c.h"
#include "intake_v1.pb-c.h"
#include "reporting_v1.pb-c.h"
#include "values/values.h"

#include <string.h>

static const struct row {
    const ProtobufCMessageDescriptor *on;
    const char *field, *hash, *kind, *words;
} rows[] = {
    {&intake__v1__application_submitted__descriptor, "content", "content_sha256", "application",
     "the delivered application"},
    {&allocation__v1__grant_letter_issued__descriptor, "letter", "letter_sha256", "letter", "the letter"},
    {&allocation__v1__allocation_proposed__descriptor, "input", "input_sha256", "proposal",
     "the proposal's input"},
    {&reporting__v1__report_prepared__descriptor, "report", "report_sha256", "report", "report and accounts"},
};

static const struct row *row_of(const char *type)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].on->name, type) == 0)
            return &rows[i];
    return NULL;
}

bool document_carried(const char *type)
{
    return row_of(type) != NULL;
}

bool document_of(struct message *message, const Eventlog__V1__Event *event, struct document *ret)
{
    const struct row *row = row_of(event->type);
    const ProtobufCMessage *body, *part;
    size_t size;

    message->reason = NULL;
    if (row == NULL || message_decode(message, row->on, event->data.data, event->data.len, &body) != OK)
        return false;
    unsigned offset = protobuf_c_message_descriptor_get_field_by_name(row->on, row->field)->offset;
    memcpy(&part, (const char *)body + offset, sizeof part);
    if (part == NULL)
        return false;
    const uint8_t *bytes = message_encode(message->arena, part, &size);
    *ret = (struct document){.kind = row->kind,
                             .words = row->words,
                             .field = row->field,
                             .said = message_field(body, row->hash),
                             .computed = sha256_text(message->arena, bytes, size)};
    return true;
}
