// witness: what it stores, what it cosigns, what it refuses; on a disk of its own, without a bus.
#include "witness.h"

#include "limits/limits.h"
#include "log/log.h"
#include "values/values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST 400

static struct note_signer log_key, witness_key;
static struct note_ring log_ring;

// A log that the test plays, and the witness that hears it.
struct fixture {
    char folder[64];
    arena_t *arena, *ground;
    struct judge judge;
    struct store store;
    Eventlog__V1__Entry *entries[MOST];
    struct tree trees[MOST + 1];  // of the honest log
    int64_t now_ms;
};

static Eventlog__V1__Entry *an_entry(struct fixture *fixture, uint64_t position, const char *mark)
{
    Eventlog__V1__Event event = EVENTLOG__V1__EVENT__INIT;
    Eventlog__V1__Entry *entry = arena_alloc(fixture->ground, sizeof *entry);

    event.id = uuid_from(fixture->ground, arena_printf(fixture->ground, "%s %d", mark, (int)position));
    event.stream = (char *)"intake/call/a";
    event.version = position;
    eventlog__v1__entry__init(entry);
    entry->position = position;
    entry->event.data = message_encode(fixture->ground, &event, &entry->event.len);
    entry->appended_at_us = (int64_t)position * 1000;
    entry->epoch = 3;
    return entry;
}

static void add(struct tree *tree, const Eventlog__V1__Entry *entry)
{
    uint8_t leaf[TREE_HASH];

    tree_leaf(entry->event.data, entry->event.len, leaf);
    tree_add(tree, leaf);
}

static void open_store(struct fixture *fixture)
{
    const char *why = "";
    bool well = store_open(&fixture->store, fixture->folder, &log_ring, &witness_key.key, &why);

    if (!well)
        print_error("%s\n", why);
    assert_true(well);
    fixture->judge = (struct judge){.store = &fixture->store,
                                    .log = log_ring,
                                    .signer = witness_key,
                                    .trusted = fixture->store.tree,
                                    .head = fixture->store.tree.size,
                                    .heard_ms = fixture->now_ms,
                                    .added_ms = fixture->now_ms};
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    strcpy(fixture->folder, "/tmp/witness_test_XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    fixture->arena = arena_new(LIMIT_ARENA_BYTES);
    fixture->ground = arena_new(LIMIT_ARENA_BYTES);
    fixture->now_ms = 1000000;
    note_signer_make("log.example/one", NOTE_PLAIN, (const uint8_t *)"0123456789abcdef0123456789abcdef",
                     &log_key);
    log_ring = (struct note_ring){.keys = {log_key.key}, .count = 1};
    note_signer_make("witness.example/w", NOTE_COSIGNATURE,
                     (const uint8_t *)"abcdef0123456789abcdef0123456789", &witness_key);
    for (uint64_t i = 0; i < MOST; i++) {
        fixture->entries[i] = an_entry(fixture, i + 1, "honest");
        fixture->trees[i + 1] = fixture->trees[i];
        add(&fixture->trees[i + 1], fixture->entries[i]);
    }
    open_store(fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    char command[128];

    store_close(&fixture->store);
    snprintf(command, sizeof command, "rm -rf %s", fixture->folder);
    assert_int_equal(0, system(command));
    arena_destroy(&fixture->arena);
    arena_destroy(&fixture->ground);
    free(fixture);
    return 0;
}

// The log publishes entries (from 1) first .. last, and a head with this tree.
static void publish(struct fixture *fixture, Eventlog__V1__Entry **entries, uint64_t first, uint64_t last,
                    const struct tree *tree)
{
    Eventlog__V1__Published published = EVENTLOG__V1__PUBLISHED__INIT;
    Eventlog__V1__Head head = EVENTLOG__V1__HEAD__INIT;
    uint8_t root[TREE_HASH];
    const char *why = "";

    tree_root(tree, root);
    head.position = tree->size;
    head.root = (ProtobufCBinaryData){.data = root, .len = TREE_HASH};
    published.head = &head;
    published.entries = entries + first - 1;
    published.n_entries = last >= first ? (size_t)(last - first + 1) : 0;
    assert_true(judge_published(&fixture->judge, fixture->arena, &published, fixture->now_ms, &why));
}

static void publish_honest(struct fixture *fixture, uint64_t last)
{
    publish(fixture, fixture->entries, fixture->store.tree.size + 1, last, &fixture->trees[last]);
}

static void sign_tree(struct fixture *fixture, const struct tree *tree)
{
    uint8_t root[TREE_HASH];
    const char *why = "";

    tree_root(tree, root);
    assert_true(judge_checkpoint(&fixture->judge, fixture->arena,
                                 checkpoint_sign(fixture->arena, &log_key, tree->size, root), 1700000000,
                                 &why));
}

static void sign(struct fixture *fixture, uint64_t size)
{
    sign_tree(fixture, &fixture->trees[size]);
}

// The newest cosigned checkpoint verifies by both keys and is of this size.
static void assert_cosigned(struct fixture *fixture, uint64_t size)
{
    uint64_t told = 0;
    struct checkpoint checkpoint;
    struct note note;
    const char *why = "";
    const char *text = store_note(&fixture->store, fixture->arena, 0, &told);

    assert_int_equal(size, told);
    assert_true(checkpoint_open(fixture->arena, text, strlen(text), &log_key.key, &checkpoint, &note, &why));
    assert_true(note_verify(fixture->arena, &note, &witness_key.key, NULL, &why));
    assert_int_equal(size, checkpoint.size);
}

static void a_checkpoint_that_extends_is_cosigned(void **state)
{
    struct fixture *fixture = *state;

    publish_honest(fixture, 10);
    sign(fixture, 7);  // when: an older one than the head
    assert_cosigned(fixture, 7);
    publish_honest(fixture, 300);
    sign(fixture, 300);
    assert_cosigned(fixture, 300);  // then
    assert_string_equal("", fixture->judge.alarm);
    uint64_t size;
    store_note(&fixture->store, fixture->arena, 7, &size);
    assert_int_equal(7, size);
    store_note(&fixture->store, fixture->arena, 8, &size);
    assert_int_equal(300, size);
    assert_string_equal("", store_note(&fixture->store, fixture->arena, 301, &size));
}

static void a_checkpoint_of_another_tree_is_never_cosigned(void **state)
{
    struct fixture *fixture = *state;
    struct tree other = fixture->trees[9];

    publish_honest(fixture, 20);
    add(&other, an_entry(fixture, 10, "forged"));
    sign_tree(fixture, &other);                          // when
    assert_int_equal(0, fixture->store.confirmed.size);  // then
    assert_non_null(strstr(fixture->judge.alarm, "a checkpoint's root differs at position 10"));
    assert_true(fixture->judge.refusing);
    assert_int_equal(20, fixture->store.tree.size);  // what the head confirmed stays
}

static void a_second_checkpoint_of_a_size_that_differs_is_an_alarm(void **state)
{
    struct fixture *fixture = *state;
    struct tree other = fixture->trees[9];

    publish_honest(fixture, 10);
    sign(fixture, 10);
    add(&other, an_entry(fixture, 10, "forged"));
    sign_tree(fixture, &other);
    assert_non_null(strstr(fixture->judge.alarm, "differs from one that we have cosigned"));
    assert_cosigned(fixture, 10);
}

static void a_forged_signature_is_an_alarm(void **state)
{
    struct fixture *fixture = *state;
    struct note_signer forger;
    uint8_t root[TREE_HASH];
    const char *why = "";

    note_signer_make("log.example/one", NOTE_PLAIN, (const uint8_t *)"another seed for another secret.",
                     &forger);
    publish_honest(fixture, 10);
    tree_root(&fixture->trees[10], root);
    assert_true(judge_checkpoint(&fixture->judge, fixture->arena,
                                 checkpoint_sign(fixture->arena, &forger, 10, root), 1, &why));
    assert_non_null(strstr(fixture->judge.alarm, "does not verify"));
    assert_int_equal(0, fixture->store.n_cosigned);
}

static void a_cut_end_is_an_alarm_within_seconds_and_nothing_is_forgotten(void **state)
{
    struct fixture *fixture = *state;

    publish_honest(fixture, 50);
    sign(fixture, 50);
    publish(fixture, fixture->entries, 1, 0, &fixture->trees[40]);  // when: the head goes back
    judge_time(&fixture->judge, fixture->now_ms + JUDGE_BEHIND_MS + 1);
    assert_non_null(strstr(fixture->judge.alarm, "ends at position 40 and we hold 50"));  // then
    assert_int_equal(50, fixture->store.tree.size);
    publish(fixture, fixture->entries, 51, 60,
            &fixture->trees[60]);  // and a log that goes on is not believed at once
    assert_int_equal(50, fixture->store.tree.size);
}

static void a_fork_is_an_alarm_and_what_it_brought_is_dropped_and_kept_aside(void **state)
{
    struct fixture *fixture = *state;
    Eventlog__V1__Entry *forged[MOST];
    struct tree other = fixture->trees[40];
    char path[128];

    publish_honest(fixture, 50);
    sign(fixture, 45);
    for (uint64_t i = 40; i < 60; i++) {  // given: rewritten from 41 on
        forged[i] = an_entry(fixture, i + 1, "forged");
        add(&other, forged[i]);
    }
    publish(fixture, forged, 51, 60, &other);                                                 // when
    assert_non_null(strstr(fixture->judge.alarm, "the head's root differs at position 60"));  // then
    assert_int_equal(50, fixture->store.tree.size);
    snprintf(path, sizeof path, "%s/refused-1", fixture->folder);
    assert_int_equal(0, access(path, R_OK));
}

static void a_rewritten_log_of_the_same_length_is_an_alarm(void **state)
{
    struct fixture *fixture = *state;
    struct tree other = fixture->trees[49];

    publish_honest(fixture, 50);
    add(&other, an_entry(fixture, 50, "forged"));
    publish(fixture, fixture->entries, 1, 0, &other);
    assert_non_null(strstr(fixture->judge.alarm, "the head's root differs at position 50"));
}

static void silence_is_an_alarm_and_ends_when_the_log_is_heard(void **state)
{
    struct fixture *fixture = *state;

    publish_honest(fixture, 5);
    judge_time(&fixture->judge, fixture->now_ms + JUDGE_SILENCE_MS);
    assert_string_equal("", fixture->judge.alarm);
    judge_time(&fixture->judge, fixture->now_ms + JUDGE_SILENCE_MS + 1);
    assert_non_null(strstr(fixture->judge.alarm, "silent"));
    fixture->now_ms += JUDGE_SILENCE_MS + 2;
    publish_honest(fixture, 6);
    assert_string_equal("", fixture->judge.alarm);
}

static void a_log_that_was_put_right_is_witnessed_again(void **state)
{
    struct fixture *fixture = *state;
    Eventlog__V1__ConsistencyProof told = EVENTLOG__V1__CONSISTENCY_PROOF__INIT;
    uint8_t lefts[TREE_LEVELS][TREE_HASH];
    ProtobufCBinaryData hashes[8];

    publish_honest(fixture, 64);
    publish(fixture, fixture->entries, 1, 0, &fixture->trees[40]);
    judge_time(&fixture->judge, fixture->now_ms + JUDGE_BEHIND_MS + 1);  // given: cut
    assert_true(fixture->judge.refusing);
    publish(fixture, fixture->entries, 1, 0, &fixture->trees[128]);  // when: put back, and gone on
    struct tree right = {0};
    for (int i = 64; i < 128; i++)
        add(&right, fixture->entries[i]);
    tree_root(&right, lefts[0]);
    hashes[0] = (ProtobufCBinaryData){.data = lefts[0], .len = TREE_HASH};
    told.from = 64;
    told.to = 128;
    told.n_hashes = 1;
    told.hashes = hashes;
    lefts[0][0] ^= 1;
    judge_proof(&fixture->judge, &told);
    assert_true(fixture->judge.refusing);  // not by a false proof
    lefts[0][0] ^= 1;
    judge_proof(&fixture->judge, &told);
    assert_false(fixture->judge.refusing);  // then
    publish_honest(fixture, 128);
    sign(fixture, 128);
    assert_cosigned(fixture, 128);
}

static void entries_come_back_byte_for_byte(void **state)
{
    struct fixture *fixture = *state;
    Eventlog__V1__Page page;
    const char *why = "";

    publish_honest(fixture, 30);
    assert_true(store_read(&fixture->store, fixture->arena, 10, 100, &page, &why));
    assert_int_equal(20, page.n_entries);
    for (size_t i = 0; i < 20; i++) {
        const Eventlog__V1__Entry *one = page.entries[i], *honest = fixture->entries[10 + i];
        assert_int_equal(honest->position, one->position);
        assert_int_equal(honest->appended_at_us, one->appended_at_us);
        assert_int_equal(honest->epoch, one->epoch);
        assert_int_equal(honest->event.len, one->event.len);
        assert_memory_equal(honest->event.data, one->event.data, one->event.len);
    }
}

static void everything_is_there_after_a_restart(void **state)
{
    struct fixture *fixture = *state;

    publish_honest(fixture, 200);
    sign(fixture, 150);
    store_close(&fixture->store);
    open_store(fixture);                              // when
    assert_int_equal(200, fixture->store.tree.size);  // then
    assert_int_equal(150, fixture->store.confirmed.size);
    assert_cosigned(fixture, 150);
    publish_honest(fixture, 210);
    sign(fixture, 210);
    assert_cosigned(fixture, 210);
}

static void file_of(const struct fixture *fixture, const char *name, char path[128])
{
    snprintf(path, 128, "%s/%s", fixture->folder, name);
}

// Cut each file anywhere: what was cosigned is there, or the disk is refused; never anything in between.
static void a_file_cut_anywhere_is_mended_or_refused(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    const char *why;
    struct stat about;

    publish_honest(fixture, 12);
    sign(fixture, 8);
    publish_honest(fixture, 14);
    store_close(&fixture->store);
    file_of(fixture, "entries", path);
    assert_int_equal(0, stat(path, &about));
    for (off_t size = about.st_size; size > 0; size -= 7) {
        assert_int_equal(0, truncate(path, size));
        why = "";
        if (store_open(&fixture->store, fixture->folder, &log_ring, &witness_key.key, &why)) {
            assert_true(fixture->store.tree.size >= 8 && fixture->store.confirmed.size == 8);
            store_close(&fixture->store);
        } else {
            assert_non_null(strstr(why, "an entry that was cosigned cannot be read"));
        }
    }
}

static void a_flipped_bit_of_what_was_cosigned_is_refused_with_its_position(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    const char *why = "";
    uint8_t byte;
    struct stat about;

    publish_honest(fixture, 12);
    sign(fixture, 12);
    store_close(&fixture->store);
    file_of(fixture, "entries", path);
    assert_int_equal(0, stat(path, &about));
    int file = open(path, O_RDWR);
    for (off_t at = 0; at < about.st_size; at += 3) {
        assert_int_equal(1, pread(file, &byte, 1, at));
        byte ^= 0x10;
        assert_int_equal(1, pwrite(file, &byte, 1, at));
        assert_false(
            store_open(&fixture->store, fixture->folder, &log_ring, &witness_key.key, &why));  // when
        char expected[64];
        snprintf(expected, sizeof expected, "damaged at %d", (int)(at * 12 / about.st_size) + 1);
        if (strstr(why, expected) == NULL)
            print_error("%s, not %s\n", why, expected);
        assert_non_null(strstr(why, expected));  // then: all records are equally long
        byte ^= 0x10;
        assert_int_equal(1, pwrite(file, &byte, 1, at));  // a disk that was refused is left as it was
    }
    close(file);
}

static void a_half_written_cosignature_was_never_told_and_is_dropped(void **state)
{
    struct fixture *fixture = *state;
    char path[128], rubbish[1024];
    int file;

    memset(rubbish, 'x', sizeof rubbish);
    publish_honest(fixture, 12);
    sign(fixture, 8);
    store_close(&fixture->store);
    file_of(fixture, "cosigned", path);
    for (size_t size = 1; size <= 1024; size += 341) {
        file = open(path, O_WRONLY | O_APPEND);
        assert_int_equal((ssize_t)size, write(file, rubbish, size));
        close(file);
        open_store(fixture);
        assert_cosigned(fixture, 8);
        store_close(&fixture->store);
    }
    open_store(fixture);
}

static void a_log_that_lost_its_key_is_witnessed_on_with_the_old_one_in_the_second_line(void **state)
{
    struct fixture *fixture = *state;
    struct note_key old = log_key.key;
    const char *why = "";

    publish_honest(fixture, 8);
    sign(fixture, 8);
    store_close(&fixture->store);
    note_signer_make("log.example/one", NOTE_PLAIN, (const uint8_t *)"fedcba9876543210fedcba9876543210",
                     &log_key);
    log_ring = (struct note_ring){.keys = {log_key.key}, .count = 1};  // when: the new one alone
    assert_false(store_open(&fixture->store, fixture->folder, &log_ring, &witness_key.key, &why));
    assert_non_null(strstr(why, "cosigned is damaged at 0"));  // then: and what was cosigned stays where it is
    log_ring = (struct note_ring){.keys = {log_key.key, old}, .count = 2};  // when: both
    open_store(fixture);
    assert_int_equal(8, fixture->store.confirmed.size);  // then
    publish_honest(fixture, 12);
    sign(fixture, 12);
    assert_cosigned(fixture, 12);
}

static void a_folder_serves_one_witness(void **state)
{
    struct fixture *fixture = *state;
    struct store second;
    const char *why = "";

    assert_false(store_open(&second, fixture->folder, &log_ring, &witness_key.key, &why));
    assert_non_null(strstr(why, "another witness uses this folder"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_checkpoint_that_extends_is_cosigned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_checkpoint_of_another_tree_is_never_cosigned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_second_checkpoint_of_a_size_that_differs_is_an_alarm, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_forged_signature_is_an_alarm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cut_end_is_an_alarm_within_seconds_and_nothing_is_forgotten, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_fork_is_an_alarm_and_what_it_brought_is_dropped_and_kept_aside,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_rewritten_log_of_the_same_length_is_an_alarm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(silence_is_an_alarm_and_ends_when_the_log_is_heard, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_log_that_was_put_right_is_witnessed_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(entries_come_back_byte_for_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(everything_is_there_after_a_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_cut_anywhere_is_mended_or_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flipped_bit_of_what_was_cosigned_is_refused_with_its_position,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_half_written_cosignature_was_never_told_and_is_dropped, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            a_log_that_lost_its_key_is_witnessed_on_with_the_old_one_in_the_second_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_serves_one_witness, set_up, tear_down),
    };

    log_start("witness_test");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
