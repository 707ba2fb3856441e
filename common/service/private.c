// private: personal text (types.v1.Private) on its way through the owner's transaction, and its destruction.
//
// A command brings texts; the case is its first field. Each text gets a seal, its HMAC under a key that the case has for
// itself, and the rules decide on text and seal together. What they emit has the seals alone (message.c). Only when the
// command has been accepted are the texts kept, encrypted under the same key, in loop_private.
//
// To erase is to delete the key; the texts go with it. Nothing that is stored anywhere else tells one text from another
// without the key: seals are under it, and digests of the commands that brought texts are blanked (loop_answered), since
// whoever has the rest of a command from the log could try telephone numbers until a digest fits.
//
// One transaction at a time has a case's key in hand (an advisory lock): two that both make the first key, or one that
// adds a text while another erases, would leave a text behind.
#include "service/loop.h"

#include "service_store.sql.h"
#include "service_v1.pb-c.h"
#include "values/values.h"

#include <assert.h>
#include <sodium.h>

#define CASE_BYTES   400  // with service and "erasure" before it, it is still the line that a stream is
#define GROUND_BYTES 500
#define LAW_BYTES    500
#define SEAL_BYTES   crypto_auth_hmacsha256_BYTES
#define NONCE_BYTES  crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_BYTES    crypto_aead_xchacha20poly1305_ietf_ABYTES

static_assert(PRIVATE_KEY_BYTES == crypto_kdf_KEYBYTES,
              "a key of a case is one that others are derived from");

// What a case's key is used for; each use has a key of its own, derived from it.
enum use { USE_SEAL = 1, USE_TEXT = 2 };

static void make_ready(void)
{
    int ready = sodium_init();
    assert(ready >= 0);
    (void)ready;
}

static void derive(const uint8_t key[PRIVATE_KEY_BYTES], enum use use, uint8_t ret[32])
{
    int derived = crypto_kdf_derive_from_key(ret, 32, use, "tildelpt", key);
    assert(derived == 0);
    (void)derived;
}

static void seal_of(const uint8_t key[PRIVATE_KEY_BYTES], const char *text, uint8_t ret[SEAL_BYTES])
{
    uint8_t own[32];

    derive(key, USE_SEAL, own);
    crypto_auth_hmacsha256(ret, (const uint8_t *)text, strlen(text), own);
    sodium_memzero(own, sizeof own);
}

// A ciphertext belongs to its seal in its case, and opens nowhere else.
static const uint8_t *place_of(arena_t *arena, const char *case_id, const uint8_t *seal, size_t *ret_size)
{
    uint8_t *place = arena_alloc(arena, SEAL_BYTES + strlen(case_id));

    memcpy(place, seal, SEAL_BYTES);
    memcpy(place + SEAL_BYTES, case_id, strlen(case_id));
    *ret_size = SEAL_BYTES + strlen(case_id);
    return place;
}

// A nonce, and the text encrypted under it.
static struct arg encrypt(arena_t *arena, const uint8_t key[PRIVATE_KEY_BYTES], const char *case_id,
                          const private_t *part)
{
    size_t length = strlen(part->text), place_size;
    uint8_t *bytes = arena_alloc(arena, NONCE_BYTES + length + TAG_BYTES), own[32];
    const uint8_t *place = place_of(arena, case_id, part->seal.data, &place_size);

    derive(key, USE_TEXT, own);
    randombytes_buf(bytes, NONCE_BYTES);
    crypto_aead_xchacha20poly1305_ietf_encrypt(bytes + NONCE_BYTES, NULL, (const uint8_t *)part->text, length,
                                               place, place_size, NULL, bytes, own);
    sodium_memzero(own, sizeof own);
    return BYTES(bytes, NONCE_BYTES + length + TAG_BYTES);
}

// NULL when it was not encrypted under this key for this seal of this case.
static char *decrypt(arena_t *arena, const uint8_t *key, const char *case_id, const uint8_t *seal,
                     ProtobufCBinaryData bytes)
{
    size_t place_size;
    const uint8_t *place = place_of(arena, case_id, seal, &place_size);
    uint8_t own[32];

    if (bytes.len < NONCE_BYTES + TAG_BYTES)
        return NULL;
    char *text = arena_alloc(arena, bytes.len - NONCE_BYTES - TAG_BYTES + 1);
    derive(key, USE_TEXT, own);
    int opened = crypto_aead_xchacha20poly1305_ietf_decrypt((uint8_t *)text, NULL, NULL,
                                                            bytes.data + NONCE_BYTES, bytes.len - NONCE_BYTES,
                                                            place, place_size, bytes.data, own);
    sodium_memzero(own, sizeof own);
    text[bytes.len - NONCE_BYTES - TAG_BYTES] = '\0';
    return opened == 0 ? text : NULL;
}

// What is kept of a case: its key, and that it was erased.
struct kept {
    const uint8_t *key;  // NULL: it has none
    struct erasure erasure;
    const char *law, *by;
};

static status_t load_kept(struct message *message, const char *case_id, struct kept *ret)
{
    struct rows rows;

    status_t status = RUN(message, loop_load_private_key, &rows, TEXT(case_id));
    if (status != OK)
        return status;
    ProtobufCBinaryData key = row_bytes(&rows, 0, 1);
    *ret = (struct kept){.key = row_null(&rows, 0, 1) ? NULL : key.data,
                         .erasure = {.at_us = row_int(&rows, 0, 2), .ground = row_text(&rows, 0, 3)},
                         .law = row_text(&rows, 0, 4),
                         .by = row_text(&rows, 0, 5)};
    return OK;
}

static status_t count_texts(struct message *message, const char *case_id, uint32_t *ret)
{
    struct rows rows;

    status_t status = RUN(message, loop_count_private, &rows, TEXT(case_id));
    if (status == OK)
        *ret = (uint32_t)row_int(&rows, 0, 0);
    return status;
}

static status_t hold(struct message *message, const char *case_id)
{
    return RUN(message, loop_hold_private, NULL, TEXT(case_id));
}

static status_t check_case(struct message *message, const char *field, const char *case_id)
{
    size_t size = strlen(case_id);

    if (size > 0 && size <= CASE_BYTES)
        return OK;
    return fail(message, REFUSED, "%s: must name the case in 1 to %d bytes, not in %zu", field, CASE_BYTES,
                size);
}

// ---------------------------------------------------------------------------------------------- commands

// Those that are not empty; the list is made shorter in place.
static struct privates with_text(struct privates all)
{
    size_t count = 0;

    for (size_t i = 0; i < all.count; i++)
        if (*all.all[i]->text)
            all.all[count++] = all.all[i];
    all.count = count;
    return all;
}

status_t private_find(struct message *message, const void *command, struct personal *ret)
{
    const ProtobufCMessageDescriptor *type = ((const ProtobufCMessage *)command)->descriptor;
    struct privates all = message_privates(message->arena, command);

    *ret = (struct personal){.case_id = ""};
    for (size_t i = 0; i < all.count; i++)
        if (!*all.all[i]->text && all.all[i]->seal.len > 0)
            return fail(
                message, REFUSED,
                "%s: holds the seal of a personal text without the text; send the text, or leave it out",
                type->name);
    ret->texts = with_text(all);
    if (ret->texts.count == 0)
        return OK;
    assert(type->fields[0].type == PROTOBUF_C_TYPE_STRING &&
           "whose text it is, a command's first field says");
    ret->case_id = message_field(command, type->fields[0].name);
    status_t status = check_case(message, type->fields[0].name, ret->case_id);
    if (status == OK && uuid_valid(message->id))
        status = RUN(message, loop_note_private, NULL, TEXT(ret->case_id), TEXT(message->id));
    return status;
}

status_t private_ahead(struct message *message, const void *command)
{
    const ProtobufCMessageDescriptor *type = ((const ProtobufCMessage *)command)->descriptor;
    struct privates texts = with_text(message_privates(message->arena, command));

    if (texts.count == 0)
        return OK;
    const char *case_id = message_field(command, type->fields[0].name);
    status_t status = AHEAD(message, loop_hold_private, TEXT(case_id));
    return status == OK ? AHEAD(message, loop_load_private_key, TEXT(case_id)) : status;
}

status_t private_seal(struct message *message, struct personal *personal)
{
    struct kept kept;

    if (personal->texts.count == 0)
        return OK;
    status_t status = hold(message, personal->case_id);
    if (status == OK)
        status = load_kept(message, personal->case_id, &kept);
    if (status == OK && kept.erasure.at_us != 0)
        status = fail(message, REFUSED,
                      "the personal text of case %s was erased %s and none is taken for it any more: %s",
                      personal->case_id, oslo_text(message->arena, kept.erasure.at_us), kept.erasure.ground);
    if (status != OK)
        return status;
    make_ready();
    personal->is_new = kept.key == NULL;
    if (personal->is_new)
        crypto_kdf_keygen(personal->key);
    else
        memcpy(personal->key, kept.key, sizeof personal->key);
    for (size_t i = 0; i < personal->texts.count; i++) {
        private_t *part = personal->texts.all[i];
        part->seal.len = SEAL_BYTES;
        part->seal.data = arena_alloc(message->arena, SEAL_BYTES);
        seal_of(personal->key, part->text, part->seal.data);
    }
    return OK;
}

status_t private_keep(struct message *message, const struct personal *personal)
{
    status_t status = OK;

    if (personal->texts.count > 0 && personal->is_new)
        status = CHANGE(message, loop_keep_private_key, TEXT(personal->case_id),
                        BYTES(personal->key, sizeof personal->key));
    for (size_t i = 0; status == OK && i < personal->texts.count; i++) {
        const private_t *part = personal->texts.all[i];
        status = RUN(message, loop_keep_private, NULL, TEXT(personal->case_id),
                     BYTES(part->seal.data, part->seal.len),
                     encrypt(message->arena, personal->key, personal->case_id, part));
    }
    return status;
}

// ----------------------------------------------------------------------------------------------- queries

status_t private_open(struct message *message, const char *case_id, const void *body)
{
    struct privates all = message_privates(message->arena, body);
    struct arg *seals = arena_alloc(message->arena, sizeof *seals * (all.count + 1));
    struct kept kept;
    struct rows rows;
    int count = 0;

    for (size_t i = 0; i < all.count; i++)
        if (all.all[i]->seal.len == SEAL_BYTES)
            seals[count++] = BYTES(all.all[i]->seal.data, SEAL_BYTES);
    if (count == 0)
        return OK;
    status_t status = load_kept(message, case_id, &kept);
    if (status == OK && kept.key == NULL)
        return OK;
    make_ready();
    if (status == OK)
        status = RUN(message, loop_open_private, &rows, TEXT(case_id), db_bytes_array(message, seals, count));
    for (int row = 0; status == OK && row < rows.count; row++) {
        ProtobufCBinaryData seal = row_bytes(&rows, row, 0);
        char *text = decrypt(message->arena, kept.key, case_id, seal.data, row_bytes(&rows, row, 1));
        if (text == NULL)
            return fail(message, POISON,
                        "a personal text of case %s can not be opened: what is kept of it is not "
                        "what was stored",
                        case_id);
        for (size_t i = 0; i < all.count; i++)
            if (all.all[i]->seal.len == SEAL_BYTES &&
                memcmp(all.all[i]->seal.data, seal.data, SEAL_BYTES) == 0)
                all.all[i]->text = text;
    }
    return status;
}

status_t private_erasure(struct message *message, const char *case_id, struct erasure *ret)
{
    struct kept kept;

    status_t status = load_kept(message, case_id, &kept);
    if (status == OK)
        *ret = kept.erasure;
    return status;
}

status_t private_on_get_erasure(struct message *message, const void *body)
{
    const Service__V1__GetErasure *query = body;
    Service__V1__Erasure erasure = SERVICE__V1__ERASURE__INIT;
    struct kept kept;

    status_t status = check_case(message, "case_id", query->case_id);
    if (status == OK)
        status = load_kept(message, query->case_id, &kept);
    if (status == OK)
        status = count_texts(message, query->case_id, &erasure.texts);
    if (status != OK)
        return status;
    erasure.case_id = query->case_id;
    erasure.erased_at_us = kept.erasure.at_us;
    erasure.ground = (char *)kept.erasure.ground;
    erasure.law = (char *)kept.law;
    erasure.erased_by = (char *)kept.by;
    answer(message, &erasure);
    return OK;
}

// ----------------------------------------------------------------------------------------------- erasing

status_t private_on_erase(struct message *message, const void *body)
{
    const Service__V1__Erase *erase = body;
    Service__V1__CaseErased event = SERVICE__V1__CASE_ERASED__INIT;
    Service__V1__Erased erased = SERVICE__V1__ERASED__INIT;
    struct kept kept;

    status_t status = check_case(message, "case_id", erase->case_id);
    if (status == OK && (!*erase->ground || strlen(erase->ground) > GROUND_BYTES))
        status = fail(message, REFUSED, "ground: must say in 1 to %d bytes why it is erased", GROUND_BYTES);
    if (status == OK && strlen(erase->law) > LAW_BYTES)
        status = fail(message, REFUSED, "law: must have at most %d bytes", LAW_BYTES);
    if (status == OK)
        status = hold(message, erase->case_id);
    if (status == OK)
        status = load_kept(message, erase->case_id, &kept);
    if (status == OK)
        status = count_texts(message, erase->case_id, &erased.texts);
    if (status != OK)
        return status;
    erased.key = kept.key != NULL;
    erased.erased_at_us = kept.erasure.at_us != 0 ? kept.erasure.at_us : message->at_us;
    answer(message, &erased);
    if (kept.erasure.at_us != 0 && kept.key == NULL)
        return OK;
    event.case_id = erase->case_id;
    event.ground = erase->ground;
    event.law = erase->law;
    event.erased_by = message->actor->subject;
    emit(message, &event);
    return OK;
}

status_t private_on_erased(struct message *message, const void *body)
{
    const Service__V1__CaseErased *event = body;

    status_t status = RUN(message, loop_drop_private, NULL, TEXT(event->case_id));
    if (status == OK)
        status = RUN(message, loop_blank_digests, NULL, TEXT(event->case_id));
    if (status == OK)
        status = RUN(message, loop_keep_erasure, NULL, TEXT(event->case_id), INT(message->at_us),
                     TEXT(event->ground), TEXT(event->law), TEXT(event->erased_by));
    return status;
}
