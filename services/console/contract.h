// contract: the messages of the contract that this program was built with, by their full names.
//
// protojson reads the contract at run time, and turns any message into text, by libprotobuf's reflection. That is for single
// messages. Whoever goes through a whole log has the messages here as protobuf-c knows them, a hundred times as fast; what
// protojson knows and this does not (a contract that is newer than the program) it still gets from there.
#pragma once

#include "console.h"

// Is this event's data a message of the contract, encoded as the contract would?
bool contract_holds(struct console *console, const Eventlog__V1__Event *event);

// The data as the tree of its ProtoJSON, the very one that protojson_decode's text has; the caller drops it. NULL when it is
// not a message of the contract.
json_t *contract_json(struct console *console, const Eventlog__V1__Event *event);

// The same of any message that was decoded.
json_t *message_json(const ProtobufCMessage *body);

// Which application and which call the data names in so many words, "" for none; lives until the next event is asked about.
struct contract_subject {
    const char *application_id, *call_id;
};
struct contract_subject contract_subject(struct console *console, const Eventlog__V1__Event *event);

