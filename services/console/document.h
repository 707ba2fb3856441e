// document: events that carry a document and the hash that was signed or decided on.
#pragma once

#include "eventlog_v1.pb-c.h"
#include "message/message.h"

struct document {
    const char *kind;      // "application", "letter", "proposal", "report"
    const char *words;     // for sentences
    const char *field;     // of the event's data, as JSON names it
    const char *said;      // the hash that the event tells, in hex
    const char *computed;  // the hash over the document's canonical bytes
};

// The document of an event, in message->arena. False when its type carries none.
bool document_of(struct message *message, const Eventlog__V1__Event *event, struct document *ret);

// Do events of this type carry one?
bool document_carried(const char *type);
