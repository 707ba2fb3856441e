// receipt_text: what a receipt is: a text that proves, with the log's public key alone, that a document was delivered.
// services/eventlog/FORMATS.md describes it line by line. Pure: no network, no clock, no files.
#pragma once

#include "arena/arena.h"
#include "message/message.h"
#include "note/checkpoint.h"
#include "proof.h"

#define RECEIPT_BYTES     (128 * 1024)
#define RECEIPT_WITNESSES 8

// What a receipt is made of.
struct receipt {
    ProtobufCBinaryData event;  // eventlog.v1.Event, whose data is an approval.v1.SignedOff
    uint64_t position;
    uint64_t size;  // of the tree the proof is in
    struct proof proof;
    const char *note;  // the checkpoint with all its signatures
    const char *log;   // public keys in text
    const char *witnesses[RECEIPT_WITNESSES];
    size_t n_witnesses;
};

// What a receipt that verified says.
struct receipt_facts {
    const char *application_id;
    const char *kind;  // APPLICATION, ACCEPTANCE or REPORT
    uint32_t version;
    const char *document_sha256;
    int64_t received_at_us;
    uint64_t position;
    uint64_t size;
    size_t n_witnesses;
    int64_t witnessed_at_s;  // the earliest cosignature; 0: none
};

// The text. NULL, with message->reason, when the event is not a delivery.
char *receipt_make(struct message *message, const struct receipt *receipt);

// Check everything against the log's public key: that every line says what the event says, that the event is in the
// tree that the log has signed, and every witness's signature. False, with a sentence that names the line.
bool receipt_verify(struct message *message, const void *bytes, size_t size, const struct note_key *log,
                    struct receipt_facts *ret, const char **ret_why);
