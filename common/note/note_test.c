// note: the examples that the C2SP texts print, what is refused, and that no flipped bit passes.
#include "note/checkpoint.h"
#include "note/note.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// From c2sp.org/signed-note.
static const char example_key[] = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
static const char example_note[] =
    "This is an example message.\n"
    "\n"
    "\xe2\x80\x94 example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

static arena_t *arena;
static const char *why;

static int set_up(void **state)
{
    (void)state;
    arena = arena_new(4 * 1024 * 1024);
    why = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_destroy(&arena);
    return 0;
}

static struct note_signer a_signer(enum note_type type, uint8_t seed_byte)
{
    uint8_t seed[NOTE_KEY];
    struct note_signer signer;

    memset(seed, seed_byte, sizeof seed);
    note_signer_make(type == NOTE_PLAIN ? "log.example/one" : "witness.example/w1", type, seed, &signer);
    return signer;
}

static void the_example_of_the_convention_verifies(void **state)
{
    (void)state;
    struct note_key key;
    struct note note;

    assert_true(note_key_parse(arena, example_key, &key, &why));  // given
    assert_string_equal(example_key, note_key_text(arena, &key));
    assert_true(note_parse(arena, example_note, strlen(example_note), &note, &why));  // when
    assert_string_equal("This is an example message.\n", note.text);                  // then
    assert_int_equal(3, note.signatures[0].line);
    assert_true(note_verify(arena, &note, &key, NULL, &why));
}

static void what_was_signed_verifies_and_another_key_does_not(void **state)
{
    (void)state;
    struct note_signer log = a_signer(NOTE_PLAIN, 7), other = a_signer(NOTE_PLAIN, 8);
    uint8_t root[CHECKPOINT_ROOT] = {1, 2, 3};
    struct checkpoint checkpoint;

    const char *text = checkpoint_sign(arena, &log, 42, root);                                   // when
    assert_true(checkpoint_open(arena, text, strlen(text), &log.key, &checkpoint, NULL, &why));  // then
    assert_string_equal("log.example/one", checkpoint.origin);
    assert_int_equal(42, checkpoint.size);
    assert_memory_equal(root, checkpoint.root, sizeof root);
    assert_false(checkpoint_open(arena, text, strlen(text), &other.key, &checkpoint, NULL, &why));
    assert_non_null(strstr(why, "no signature of log.example/one with the key id"));
}

static void a_cosignature_carries_its_instant(void **state)
{
    (void)state;
    struct note_signer log = a_signer(NOTE_PLAIN, 7), witness = a_signer(NOTE_COSIGNATURE, 9);
    uint8_t root[CHECKPOINT_ROOT] = {0};
    struct note note;
    int64_t at_s;

    const char *checkpoint = checkpoint_text(arena, "log.example/one", 1, root);  // given
    const char *text = arena_printf(arena, "%s\n%s%s", checkpoint, note_sign(arena, &log, checkpoint),
                                    note_cosign(arena, &witness, checkpoint, 1679315147));
    assert_true(note_parse(arena, text, strlen(text), &note, &why));    // when
    assert_true(note_verify(arena, &note, &witness.key, &at_s, &why));  // then
    assert_int_equal(1679315147, at_s);
    assert_true(note_verify(arena, &note, &log.key, NULL, &why));
}

static void a_secret_key_comes_back_from_its_text(void **state)
{
    (void)state;
    struct note_signer signer = a_signer(NOTE_COSIGNATURE, 3), again;

    assert_true(note_signer_parse(arena, note_signer_text(arena, &signer), &again, &why));
    assert_memory_equal(&signer, &again, sizeof signer);
}

static void a_secret_key_that_others_may_read_is_refused(void **state)
{
    (void)state;
    struct note_signer signer = a_signer(NOTE_PLAIN, 3), again;
    char path[] = "/tmp/note_test_XXXXXX";
    int file = mkstemp(path);

    dprintf(file, "%s\n", note_signer_text(arena, &signer));  // given
    close(file);
    assert_true(note_signer_load(arena, path, &again, &why));
    chmod(path, 0644);
    assert_false(note_signer_load(arena, path, &again, &why));  // when, then
    assert_non_null(strstr(why, "may be read by others"));
    unlink(path);
    assert_false(note_signer_load(arena, path, &again, &why));
}

static void a_file_of_keys_holds_the_earlier_ones_and_any_of_them_may_have_signed(void **state)
{
    (void)state;
    struct note_signer newer = a_signer(NOTE_PLAIN, 3), older = a_signer(NOTE_PLAIN, 4),
                       stranger = a_signer(NOTE_PLAIN, 5);
    struct note_ring ring;
    struct checkpoint checkpoint;
    uint8_t root[CHECKPOINT_ROOT] = {1};
    char path[] = "/tmp/note_test_XXXXXX";
    int file = mkstemp(path);

    dprintf(file, "%s\n%s\n", note_key_text(arena, &newer.key), note_key_text(arena, &older.key));  // given
    assert_true(note_ring_load(arena, path, &ring, &why));                                          // when
    assert_int_equal(2, ring.count);
    char *note = checkpoint_sign(arena, &older, 7, root);
    assert_true(checkpoint_open_any(arena, note, strlen(note), &ring, &checkpoint, NULL, &why));  // then
    ring.count = 1;
    assert_false(checkpoint_open_any(arena, note, strlen(note), &ring, &checkpoint, NULL, &why));
    ring.count = 2;
    note = checkpoint_sign(arena, &stranger, 7, root);
    assert_false(checkpoint_open_any(arena, note, strlen(note), &ring, &checkpoint, NULL, &why));

    dprintf(file, "no key\n");
    close(file);
    assert_false(note_ring_load(arena, path, &ring, &why));
    assert_non_null(strstr(why, "line 3"));
    unlink(path);
}

static void malformed_keys_are_refused_with_the_part_that_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } keys[] = {
        {"", "begin with its name"},
        {"+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "begin with its name"},
        {"a b+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "begin with its name"},
        {"example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "8 lower-case hex digits"},
        {"example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2", "base64"},
        {"example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "type must be"},
        {"example.com/fop+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "the key's id is not"},
        {"example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "the key's id is not"},
    };
    struct note_key key;

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        assert_false(note_key_parse(arena, keys[i].text, &key, &why));
        assert_non_null(strstr(why, keys[i].why));
    }
}

static void bytes_beyond_ascii_are_no_base64(void **state)
{
    (void)state;
    size_t size;

    assert_non_null(note_base64_parse(arena, "AAA/", 4, &size));
    for (int c = 0x80; c < 0x100; c++)
        assert_null(note_base64_parse(arena, (const char[]){'A', 'A', 'A', (char)c}, 4, &size));
    assert_null(note_base64_parse(arena, "AAA\0", 4, &size));
}

static void malformed_notes_are_refused_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } notes[] = {
        {"", "a text, an empty line"},
        {"text\n", "a text, an empty line"},
        {"\n\n\xe2\x80\x94 a AAAAAAA=\n", NULL},  // an empty line is a text
        {"text\n\n", "a text, an empty line"},
        {"text\n\nno signature\n", "line 3 is no signature"},
        {"text\n\n\xe2\x80\x94 a AAAAAAA=\n\xe2\x80\x94 a AAAA\n", "line 4 is no signature"},
        {"text\n\n\xe2\x80\x94 a AAAAAAA=", "line 3 is no signature"},
        {"text\n\n\xe2\x80\x94 a AAAAAAB=\n", "line 3 is no signature"},  // bits left over
        {"te\xc0xt\n\n\xe2\x80\x94 a AAAAAAA=\n", "UTF-8"},
        {"te\txt\n\n\xe2\x80\x94 a AAAAAAA=\n", "control characters"},
    };
    struct note note;

    for (size_t i = 0; i < sizeof notes / sizeof notes[0]; i++) {
        bool well = note_parse(arena, notes[i].text, strlen(notes[i].text), &note, &why);
        assert_int_equal(notes[i].why == NULL, well);
        if (notes[i].why != NULL)
            assert_non_null(strstr(why, notes[i].why));
    }
    assert_false(note_parse(arena, "a\0b\n\n\xe2\x80\x94 a AAAAAAA=\n", 19, &note, &why));
}

static void seventeen_signatures_are_too_many(void **state)
{
    (void)state;
    char text[1024] = "text\n\n";
    struct note note;

    for (int i = 0; i < 16; i++)
        strcat(text, "\xe2\x80\x94 a AAAAAAA=\n");
    assert_true(note_parse(arena, text, strlen(text), &note, &why));
    strcat(text, "\xe2\x80\x94 a AAAAAAA=\n");
    assert_false(note_parse(arena, text, strlen(text), &note, &why));
}

static void malformed_checkpoints_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "log\n",
        "log\n1\n",
        "log\n01\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "log\n-1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "log\n9999999999999999999\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I\n",
        "log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
        "log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n",
        "log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\nmore",
        "\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
    };
    struct checkpoint checkpoint;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_false(checkpoint_parse(arena, texts[i], &checkpoint, &why));
    assert_true(checkpoint_parse(arena, "log\n0\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\nmore\n",
                                 &checkpoint, &why));
}

// Of a note with one signature nothing may change: not a bit.
static void no_flipped_bit_of_a_checkpoint_verifies(void **state)
{
    (void)state;
    struct note_signer log = a_signer(NOTE_PLAIN, 7);
    uint8_t root[CHECKPOINT_ROOT] = {1, 2, 3};
    struct checkpoint checkpoint;
    char *text = checkpoint_sign(arena, &log, 1234567, root);
    size_t size = strlen(text);
    char *copy = malloc(size);

    for (size_t bit = 0; bit < 8 * size; bit++) {
        arena_t *own = arena_new(1024 * 1024);
        memcpy(copy, text, size);
        copy[bit / 8] ^= (char)(1 << bit % 8);
        assert_false(checkpoint_open(own, copy, size, &log.key, &checkpoint, NULL, &why));
        arena_destroy(&own);
    }
    for (size_t cut = 0; cut < size; cut++)
        assert_false(checkpoint_open(arena, text, cut, &log.key, &checkpoint, NULL, &why));
    free(copy);
}

static void without_keys_a_checkpoint_is_only_taken_apart(void **state)
{
    (void)state;
    struct note_signer signer = a_signer(NOTE_PLAIN, 6), stranger = a_signer(NOTE_PLAIN, 7);
    const struct note_ring own = {.keys = {signer.key}, .count = 1},
                           others = {.keys = {stranger.key}, .count = 1},
                           empty = {.count = 0}, *const without[] = {NULL, &empty};
    struct checkpoint checkpoint;
    uint8_t root[CHECKPOINT_ROOT] = {1};
    char *note = checkpoint_sign(arena, &signer, 7, root);
    size_t size = strlen(note);

    for (size_t i = 0; i < 2; i++) {
        assert_true(checkpoint_read(arena, note, size, without[i], &checkpoint, &why));
        assert_true(checkpoint.size == 7);
        assert_false(checkpoint_read(arena, note, size - 1, without[i], &checkpoint, &why));
        assert_false(checkpoint_read(arena, note, size + 1, without[i], &checkpoint, &why));  // with its NUL
    }
    assert_true(checkpoint_read(arena, note, size, &own, &checkpoint, &why));
    assert_false(checkpoint_read(arena, note, size, &others, &checkpoint, &why));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_example_of_the_convention_verifies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_signed_verifies_and_another_key_does_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cosignature_carries_its_instant, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_secret_key_comes_back_from_its_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_secret_key_that_others_may_read_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_keys_a_checkpoint_is_only_taken_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_of_keys_holds_the_earlier_ones_and_any_of_them_may_have_signed,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(malformed_keys_are_refused_with_the_part_that_is_wrong, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(bytes_beyond_ascii_are_no_base64, set_up, tear_down),
        cmocka_unit_test_setup_teardown(malformed_notes_are_refused_with_their_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(seventeen_signatures_are_too_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(malformed_checkpoints_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_flipped_bit_of_a_checkpoint_verifies, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
