// receipt_text: what a receipt is.
//
// Reading is strict in a simple way: what was understood is written again, and must be the same text. So there is
// no byte in a receipt that nobody looks at.
#include "receipt_text.h"

#include "approval_v1.pb-c.h"
#include "eventlog_v1.pb-c.h"
#include "values/values.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char first_line[] = "tildel receipt v1";
static const char proof_line[] = "c2sp.org/tlog-proof@v1";

// A receipt's text as it is taken apart: one line after the other.
struct reader {
    arena_t *arena;
    char *rest;
    size_t line;  // the one that comes next
    const char *why;
};

// Always false, so that `return wrong(...)` reads well.
static bool wrong(struct reader *reader, size_t line, const char *why)
{
    reader->why = arena_printf(reader->arena, "line %zu: %s", line, why);
    return false;
}

static const char *next_line(struct reader *reader)
{
    char *line = reader->rest, *end = strchr(line, '\n');

    if (end == NULL)
        return NULL;
    *end = '\0';
    reader->rest = end + 1;
    reader->line++;
    return line;
}

// ------------------------------------------------------------------------------------------------ what it says

static bool read_event(struct message *message, ProtobufCBinaryData bytes,
                       const Eventlog__V1__Event **ret_event, const Approval__V1__SignedOff **ret)
{
    if (message_decode(message, &eventlog__v1__event__descriptor, bytes.data, bytes.len, ret_event) != OK)
        return false;
    if (strcmp((*ret_event)->type, approval__v1__signed_off__descriptor.name) != 0) {
        fail(message, POISON, "the event is a %s and no delivery", (*ret_event)->type);
        return false;
    }
    return message_decode(message, &approval__v1__signed_off__descriptor, (*ret_event)->data.data,
                          (*ret_event)->data.len, ret) == OK;
}

static const char *kind_of(const Approval__V1__SignedOff *delivery)
{
    const ProtobufCEnumValue *kind = protobuf_c_enum_descriptor_get_value(
        &types__v1__sign_off_kind__descriptor, delivery->kind);

    return kind != NULL ? kind->name : "?";
}

// The lines that people read, before the proof.
static char *head_text(arena_t *arena, const struct receipt *receipt, const Approval__V1__SignedOff *delivery)
{
    uint8_t leaf[TREE_HASH];

    tree_leaf(receipt->event.data, receipt->event.len, leaf);
    char *text = arena_printf(
        arena,
        "%s\napplication %s\ndelivered %s version %u\ndocument sha256 %s\nreceived %s\nposition "
        "%llu\nleaf %s\nlog %s\n",
        first_line, delivery->application_id, kind_of(delivery), delivery->version, delivery->content_sha256,
        instant_text(arena, delivery->signed_at_us), (unsigned long long)receipt->position,
        note_base64(arena, leaf, TREE_HASH), receipt->log);
    for (size_t i = 0; i < receipt->n_witnesses; i++)
        text = arena_printf(arena, "%switness %s\n", text, receipt->witnesses[i]);
    return text;
}

char *receipt_make(struct message *message, const struct receipt *receipt)
{
    arena_t *arena = message->arena;
    const Eventlog__V1__Event *event;
    const Approval__V1__SignedOff *delivery;

    if (!read_event(message, receipt->event, &event, &delivery))
        return NULL;
    char *text = arena_printf(arena, "%s\n%s\nextra %s\nindex %llu\n", head_text(arena, receipt, delivery),
                              proof_line, note_base64(arena, receipt->event.data, receipt->event.len),
                              (unsigned long long)receipt->position - 1);
    for (int i = 0; i < receipt->proof.count; i++)
        text = arena_printf(arena, "%s%s\n", text, note_base64(arena, receipt->proof.hashes[i], TREE_HASH));
    return arena_printf(arena, "%s\n%s", text, receipt->note);
}

// ---------------------------------------------------------------------------------------------------- reading

// A line that begins with this word and a space; what follows, or NULL.
static const char *word_line(struct reader *reader, const char *word)
{
    const char *line = next_line(reader);
    size_t length = strlen(word);

    if (line == NULL || strncmp(line, word, length) != 0 || line[length] != ' ') {
        wrong(reader, reader->line + (line == NULL),
              arena_printf(reader->arena, "it must begin with '%s '", word));
        return NULL;
    }
    return line + length + 1;
}

// Where things stand, for sentences.
struct places {
    size_t leaf, extra, index, note;
};

static bool read_head(struct reader *reader, struct receipt *ret, uint8_t ret_leaf[TREE_HASH],
                      struct places *places)
{
    static const char *const words[] = {"application", "delivered", "document", "received", "position"};
    const char *line = next_line(reader);
    size_t size;

    if (line == NULL || strcmp(line, first_line) != 0)
        return wrong(reader, 1, "a receipt begins with 'tildel receipt v1'");
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        line = word_line(reader, words[i]);  // what they say is compared with the event later
        if (line == NULL)
            return false;
    }
    line = word_line(reader, "leaf");
    places->leaf = reader->line;
    const uint8_t *leaf = line != NULL ? note_base64_parse(reader->arena, line, strlen(line), &size) : NULL;
    if (line != NULL && (leaf == NULL || size != TREE_HASH))
        return wrong(reader, reader->line, "the leaf must be 32 bytes in base64");
    if (line == NULL)
        return false;
    memcpy(ret_leaf, leaf, TREE_HASH);
    ret->log = word_line(reader, "log");
    return ret->log != NULL;
}

static bool read_witnesses(struct reader *reader, struct receipt *ret)
{
    for (;;) {
        const char *line = next_line(reader);
        if (line == NULL)
            return wrong(reader, reader->line + 1, "the receipt ends too early");
        if (line[0] == '\0')
            return true;
        if (strncmp(line, "witness ", 8) != 0 || ret->n_witnesses == RECEIPT_WITNESSES)
            return wrong(reader, reader->line, "it must name a witness, at most 8, or be empty");
        ret->witnesses[ret->n_witnesses++] = line + 8;
    }
}

static bool read_proof(struct reader *reader, struct receipt *ret, struct places *places)
{
    const char *line = next_line(reader);
    size_t size;

    if (line == NULL || strcmp(line, proof_line) != 0)
        return wrong(reader, reader->line, "the proof begins with 'c2sp.org/tlog-proof@v1'");
    line = word_line(reader, "extra");
    places->extra = reader->line;
    if (line == NULL)
        return false;
    ret->event.data = note_base64_parse(reader->arena, line, strlen(line), &ret->event.len);
    if (ret->event.data == NULL)
        return wrong(reader, reader->line, "the event must be in base64");
    line = word_line(reader, "index");
    places->index = reader->line;
    if (line == NULL)
        return false;
    if (strspn(line, "0123456789") != strlen(line) || strlen(line) > 18 || line[0] == '\0')
        return wrong(reader, reader->line, "the index must be a number");
    ret->position = strtoull(line, NULL, 10) + 1;
    while ((line = next_line(reader)) != NULL && line[0] != '\0') {
        const uint8_t *hash = note_base64_parse(reader->arena, line, strlen(line), &size);
        if (hash == NULL || size != TREE_HASH || ret->proof.count == PROOF_HASHES)
            return wrong(reader, reader->line, "a hash of the proof must be 32 bytes in base64");
        memcpy(ret->proof.hashes[ret->proof.count++], hash, TREE_HASH);
    }
    places->note = reader->line;  // the empty line before it
    ret->note = reader->rest;
    return line != NULL || wrong(reader, reader->line + 1, "the receipt ends too early");
}

// -------------------------------------------------------------------------------------------------- verifying

// Lines of the checkpoint are counted from where it begins.
static bool wrong_note(struct reader *reader, size_t before, const char *why)
{
    reader->why = arena_printf(reader->arena, "the checkpoint after line %zu: %s", before, why);
    return false;
}

static bool check_keys(struct reader *reader, const struct receipt *receipt, const struct note_key *log,
                       struct note_key witnesses[RECEIPT_WITNESSES])
{
    const char *why;
    size_t line = 8;  // of the log's key; the witnesses' follow

    if (strcmp(receipt->log, note_key_text(reader->arena, log)) != 0)
        return wrong(reader, line, "this is not the log's public key that was given");
    for (size_t i = 0; i < receipt->n_witnesses; i++)
        if (!note_key_parse(reader->arena, receipt->witnesses[i], &witnesses[i], &why) ||
            witnesses[i].type != NOTE_COSIGNATURE)
            return wrong(reader, line + 1 + i, "this is not the public key of a witness");
    // The same witness twice would look like two.
    for (size_t i = 1; i < receipt->n_witnesses; i++)
        for (size_t k = 0; k < i; k++)
            if (memcmp(witnesses[i].bytes, witnesses[k].bytes, NOTE_KEY) == 0)
                return wrong(reader, line + 1 + i, "this witness is named already");
    return true;
}

// Every signature must be of a key that the receipt names, and every key that it names must have signed.
static bool check_signatures(struct reader *reader, const struct receipt *receipt, const struct note *note,
                             const struct places *places, const struct note_key *log,
                             const struct note_key witnesses[RECEIPT_WITNESSES], struct receipt_facts *facts)
{
    const char *why;

    for (size_t i = 0; i < note->count; i++) {
        const struct note_signature *signature = &note->signatures[i];
        bool known = note_signature_of(signature, log);
        for (size_t k = 0; k < receipt->n_witnesses; k++)
            known = known || note_signature_of(signature, &witnesses[k]);
        if (!known)
            return wrong(reader, places->note + signature->line,
                         "this signature is of none of the receipt's keys");
    }
    for (size_t k = 0; k < receipt->n_witnesses; k++) {
        int64_t at_s;
        if (!note_verify(reader->arena, note, &witnesses[k], &at_s, &why))
            return wrong_note(reader, places->note, why);
        if (facts->witnessed_at_s == 0 || at_s < facts->witnessed_at_s)
            facts->witnessed_at_s = at_s;
    }
    if (note->count != 1 + receipt->n_witnesses)
        return wrong_note(reader, places->note,
                          "it must have one signature for each key that the receipt names");
    return true;
}

static bool check_path(struct reader *reader, const struct receipt *receipt, const struct places *places,
                       const uint8_t told[TREE_HASH], const struct checkpoint *checkpoint)
{
    const uint8_t(*hashes)[TREE_HASH] = receipt->proof.hashes;
    size_t count = (size_t)receipt->proof.count;
    uint8_t leaf[TREE_HASH], root[TREE_HASH];

    tree_leaf(receipt->event.data, receipt->event.len, leaf);
    bool same = memcmp(leaf, told, TREE_HASH) == 0;
    bool leads = proof_inclusion_root(told, receipt->position - 1, checkpoint->size, hashes, count, root) &&
                 memcmp(root, checkpoint->root, TREE_HASH) == 0;
    if (same && leads)
        return true;
    if (leads)
        return wrong(reader, places->extra, "the event was changed: it does not have the leaf of the proof");
    if (!same && proof_inclusion_root(leaf, receipt->position - 1, checkpoint->size, hashes, count, root) &&
        memcmp(root, checkpoint->root, TREE_HASH) == 0)
        return wrong(reader, places->leaf, "this is not the leaf of the event");
    reader->why = arena_printf(reader->arena,
                               "lines %zu to %zu: the proof does not lead to the root of the checkpoint",
                               places->index, places->note - 1);
    return false;
}

// What was understood, written again, must be the text that was given: else the first line that differs is wrong.
static bool check_text(struct reader *reader, struct message *message, const struct receipt *receipt,
                       const char *given)
{
    const char *again = receipt_make(message, receipt);
    size_t line = 1;

    if (again == NULL)
        return wrong(reader, 11, message->reason);
    for (; *given != '\0' && *given == *again; given++, again++)
        line += *given == '\n';
    return *given == *again || wrong(reader, line, "it does not say what the event says");
}

static bool verify(struct reader *reader, struct message *message, const char *given,
                   const struct note_key *log, struct receipt *receipt, struct receipt_facts *facts)
{
    uint8_t leaf[TREE_HASH];
    struct places places;
    struct checkpoint checkpoint;
    struct note note;
    struct note_key witnesses[RECEIPT_WITNESSES];
    const char *why;

    if (!read_head(reader, receipt, leaf, &places) || !read_witnesses(reader, receipt) ||
        !read_proof(reader, receipt, &places) || !check_keys(reader, receipt, log, witnesses))
        return false;
    if (!checkpoint_open(reader->arena, receipt->note, strlen(receipt->note), log, &checkpoint, &note, &why))
        return wrong_note(reader, places.note, why);
    facts->size = checkpoint.size;
    return check_signatures(reader, receipt, &note, &places, log, witnesses, facts) &&
           check_path(reader, receipt, &places, leaf, &checkpoint) &&
           check_text(reader, message, receipt, given);
}

bool receipt_verify(struct message *message, const void *bytes, size_t size, const struct note_key *log,
                    struct receipt_facts *ret, const char **ret_why)
{
    struct receipt receipt = {0};
    struct receipt_facts facts = {0};
    const Eventlog__V1__Event *event;
    const Approval__V1__SignedOff *delivery;

    *ret_why = "a receipt is a text of at most 131072 bytes";
    if (size > RECEIPT_BYTES || memchr(bytes, '\0', size) != NULL)
        return false;
    const char *given = arena_printf(message->arena, "%.*s", (int)size, (const char *)bytes);
    struct reader reader = {.arena = message->arena, .rest = arena_text(message->arena, given)};
    if (!verify(&reader, message, given, log, &receipt, &facts) ||
        !read_event(message, receipt.event, &event, &delivery)) {
        *ret_why = reader.why != NULL ? reader.why : message->reason;
        return false;
    }
    facts.application_id = delivery->application_id;
    facts.kind = kind_of(delivery);
    facts.version = delivery->version;
    facts.document_sha256 = delivery->content_sha256;
    facts.received_at_us = delivery->signed_at_us;
    facts.position = receipt.position;
    facts.n_witnesses = receipt.n_witnesses;
    *ret = facts;
    return true;
}
