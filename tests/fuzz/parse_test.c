// parse: what strangers may hand us as text: notes, checkpoints, keys and receipts, damaged at random. Whatever the bytes
// are, each parser says yes or no with a sentence: no crash, no leak, nothing undefined (the sanitizers watch), and what
// was changed is never taken for what was signed.
//
// DAMAGE_SEED and DAMAGE_COUNT (texts in all, 100 000) choose another run; a failure prints the seed.
#include "chance.h"

#include "limits/limits.h"
#include "note/checkpoint.h"
#include "receipt_text.h"

#include "approval_v1.pb-c.h"
#include "eventlog_v1.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM 8192

static struct note_signer log_key, witness_key;

static void make_keys(void)
{
    note_signer_make("log.example/fuzz", NOTE_PLAIN, (const uint8_t *)"0123456789abcdef0123456789abcdef",
                     &log_key);
    note_signer_make("witness.example/f", NOTE_COSIGNATURE,
                     (const uint8_t *)"abcdef0123456789abcdef0123456789", &witness_key);
}

// ---------------------------------------------------------------------------------------------- what is damaged

static char *a_checkpoint(arena_t *arena, const uint8_t root[TREE_HASH])
{
    const char *text = checkpoint_text(arena, log_key.key.name, 1, root);

    return arena_printf(arena, "%s\n%s%s", text, note_sign(arena, &log_key, text),
                        note_cosign(arena, &witness_key, text, 1700000000));
}

// Of a log with one event.
static char *a_receipt(arena_t *arena)
{
    Approval__V1__SignedOff delivery = APPROVAL__V1__SIGNED_OFF__INIT;
    Eventlog__V1__Event event = EVENTLOG__V1__EVENT__INIT;
    struct receipt receipt = {.position = 1, .size = 1, .n_witnesses = 1};
    struct message message = message_new(arena);
    uint8_t root[TREE_HASH];

    delivery.application_id = (char *)"0190163d-8740-7000-8000-000000000001";
    delivery.kind = TYPES__V1__SIGN_OFF_KIND__APPLICATION;
    delivery.content_sha256 = (char *)"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    event.type = (char *)"approval.v1.SignedOff";
    event.data.data = message_encode(arena, &delivery, &event.data.len);
    receipt.event.data = message_encode(arena, &event, &receipt.event.len);
    tree_leaf(receipt.event.data, receipt.event.len, root);
    receipt.note = a_checkpoint(arena, root);
    receipt.log = note_key_text(arena, &log_key.key);
    receipt.witnesses[0] = note_key_text(arena, &witness_key.key);
    return receipt_make(&message, &receipt);
}

// In one to four of seven ways; returns the new size.
static size_t damage(char *bytes, size_t size)
{
    static const char *const words[] = {"\n", "\n\n", "\xe2\x80\x94 ",        "+",
                                        "=",  "AAAA", "18446744073709551616", "c2sp.org/tlog-proof@v1"};

    for (size_t times = 1 + below(4); times > 0; times--) {
        size_t at = below(size), more = below(64);
        const char *word = words[below(sizeof words / sizeof words[0])];
        switch (below(7)) {
        case 0:
            bytes[at] ^= (char)(1 << below(8));
            break;
        case 1:
            bytes[at] = (char)below(256);
            break;
        case 2:
            size = at + 1;
            break;
        case 3:  // a stretch goes away
            more = more < size - at ? more : size - at;
            memmove(bytes + at, bytes + at + more, size - at - more);
            size -= more;
            break;
        case 4:  // a stretch comes twice
            more = more < size - at ? more : size - at;
            if (size + more > ROOM)
                break;
            memmove(bytes + at + more, bytes + at, size - at);
            size += more;
            break;
        case 5:
            if (size + strlen(word) > ROOM)
                break;
            memmove(bytes + at + strlen(word), bytes + at, size - at);
            memcpy(bytes + at, word, strlen(word));
            size += strlen(word);
            break;
        default:
            memset(bytes + at, (int)below(256), more < size - at ? more : size - at);
            break;
        }
        if (size == 0)
            bytes[size++] = 'x';
    }
    return size;
}

// ---------------------------------------------------------------------------------------------------- the parsers

static bool parse_checkpoint(arena_t *arena, const char *bytes, size_t size)
{
    struct checkpoint checkpoint;
    struct note note;
    const char *why = NULL;
    bool well = checkpoint_open(arena, bytes, size, &log_key.key, &checkpoint, &note, &why) &&
                note_verify(arena, &note, &witness_key.key, NULL, &why);

    assert_true(well || why != NULL);
    return well;
}

static bool parse_receipt(arena_t *arena, const char *bytes, size_t size)
{
    struct message message = message_new(arena);
    struct receipt_facts facts;
    const char *why = NULL;
    bool well = receipt_verify(&message, bytes, size, &log_key.key, &facts, &why);

    assert_true(well || why != NULL);
    return well;
}

static bool parse_key(arena_t *arena, const char *bytes, size_t size)
{
    const char *text = arena_printf(arena, "%.*s", (int)size, bytes), *why = NULL;
    struct note_signer signer;
    struct note_key key;
    bool well = note_key_parse(arena, text, &key, &why);

    assert_true(well || why != NULL);
    note_signer_parse(arena, arena_printf(arena, "PRIVATE+KEY+%s", text), &signer, &why);
    // What was taken is written again as it was.
    if (well && strcmp(text, note_key_text(arena, &key)) != 0)
        print_error("taken: '%s'\nagain: '%s'\n", text, note_key_text(arena, &key));
    assert_true(!well || strcmp(text, note_key_text(arena, &key)) == 0);
    return well && strcmp(text, note_key_text(arena, &log_key.key)) == 0;
}

// Damaged texts of one kind. One that still verifies must be the text itself.
static void run(const char *text, bool (*parse)(arena_t *arena, const char *bytes, size_t size),
                bool signed_whole)
{
    const char *chosen = getenv("DAMAGE_SEED"), *count = getenv("DAMAGE_COUNT");
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    char bytes[ROOM];
    int each = (count != NULL ? atoi(count) : 100000) / 3;

    chance = chosen != NULL ? strtoull(chosen, NULL, 10) : 1;
    assert_true(parse(arena, text, strlen(text)));
    for (int n = 0; n < each; n++) {
        arena_reset(arena);
        uint64_t seed = chance;
        memcpy(bytes, text, strlen(text));
        size_t size = damage(bytes, strlen(text));
        bool same = size == strlen(text) && memcmp(bytes, text, size) == 0;
        bool well = parse(arena, bytes, size);
        if (well && !same && signed_whole)
            print_error("seed %llu: a changed text was taken:\n%.*s\n", (unsigned long long)seed, (int)size,
                        bytes);
        assert_true(!well || same || !signed_whole);
    }
    arena_destroy(&arena);
}

static void damaged_checkpoints_are_refused(void **unused)
{
    (void)unused;
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    uint8_t root[TREE_HASH] = {7};

    // A further signature by somebody unknown may be added to a note: that much the convention allows.
    run(a_checkpoint(arena, root), parse_checkpoint, false);
    arena_destroy(&arena);
}

static void damaged_receipts_are_refused(void **unused)
{
    (void)unused;
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);

    run(a_receipt(arena), parse_receipt, true);
    arena_destroy(&arena);
}

static void damaged_keys_are_refused(void **unused)
{
    (void)unused;
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);

    run(note_key_text(arena, &log_key.key), parse_key, false);
    arena_destroy(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_checkpoints_are_refused),
        cmocka_unit_test(damaged_receipts_are_refused),
        cmocka_unit_test(damaged_keys_are_refused),
    };

    make_keys();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
