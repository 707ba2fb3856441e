// The registry: what may stand in the file, and what it then allows.
#include "bus/registry.h"

#include "bus/seal.h"
#include "clock/clock.h"

#include "arena/arena.h"
#include "values/values.h"

#include <czmq.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define KEY_ONE                "oneone0000oneone0000oneone0000oneone0000"
#define KEY_TWO                "twotwo0000twotwo0000twotwo0000twotwo0000"

#define ENTRY(name, key, more) name "\n    public = \"" key "\"\n" more

struct world {
    char path[64];
    registry_t *registry;
};

static void file_write(const struct world *world, const char *text)
{
    FILE *file = fopen(world->path, "w");
    assert_non_null(file);
    assert_int_equal(strlen(text), fwrite(text, 1, strlen(text), file));
    assert_int_equal(0, fclose(file));
}

static int world_make(void **state)
{
    struct world *world = zmalloc(sizeof *world);
    strcpy(world->path, "/tmp/registry_test-XXXXXX");
    close(mkstemp(world->path));
    *state = world;
    return 0;
}

static int world_end(void **state)
{
    struct world *world = *state;
    registry_destroy(&world->registry);
    unlink(world->path);
    free(world);
    return 0;
}

static void load(struct world *world, const char *text)
{
    registry_destroy(&world->registry);
    file_write(world, text);
    world->registry = registry_load(world->path, true);
}

// Load in a child: how does it end, and what does it say?
static int load_outcome(struct world *world, bool rehearsal, char said[2048])
{
    int ends[2];
    assert_int_equal(0, pipe(ends));
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        registry_t *registry = registry_load(world->path, rehearsal);
        _exit(registry ? 0 : 9);
    }
    close(ends[1]);
    ssize_t size = read(ends[0], said, 2047);
    said[size > 0 ? size : 0] = '\0';
    close(ends[0]);
    int status = 0;
    assert_int_equal(child, waitpid(child, &status, 0));
    return WEXITSTATUS(status);
}

static void an_entry_is_found_by_key_and_by_name(void **state)
{
    struct world *world = *state;

    load(world, ENTRY("one", KEY_ONE, "    serves = \"intake\"\n    feed = \"yes\"\n"));  // when

    const struct registered *key = registry_by_key(world->registry, KEY_ONE);  // then
    assert_non_null(key);
    assert_ptr_equal(key, registry_by_name(world->registry, "one"));
    assert_string_equal("one", key->name);
    assert_true(key->feed);
    assert_null(registry_by_key(world->registry, KEY_TWO));
    assert_null(registry_by_name(world->registry, "two"));
}

static void a_key_serves_and_asks_only_what_its_entry_says(void **state)
{
    struct world *world = *state;
    load(world, ENTRY("one", KEY_ONE, "    serves = \"intake intake2\"\n    asks = \"eventlog\"\n")  // given
         ENTRY("two", KEY_TWO, "    asks = \"*\"\n"));
    const struct registered *one = registry_by_name(world->registry, "one");
    const struct registered *two = registry_by_name(world->registry, "two");

    assert_true(registered_serves(one, "intake"));  // when, then
    assert_true(registered_serves(one, "intake2"));
    assert_false(registered_serves(one, "intak"));
    assert_false(registered_serves(one, "intake intake2"));
    assert_false(registered_serves(one, ""));
    assert_false(registered_serves(two, "intake"));
    assert_true(registered_asks(one, "eventlog"));
    assert_false(registered_asks(one, "intake"));
    assert_true(registered_asks(two, "intake"));
    assert_false(registered_asks(two, ""));
    assert_true(registry_serves(world->registry, "intake2"));
    assert_false(registry_serves(world->registry, "eventlog"));
}

// Who may speak for whom, in rows.
static const struct speaking {
    const char *speaks;
    Bus__V1__Actor__Role role;
    const char *subject;
    const char *organisation;
    bool may;
} speakings[] = {
    {"self", BUS__V1__ACTOR__ROLE__SERVICE, "one", "", true},
    {"self", BUS__V1__ACTOR__ROLE__SERVICE, "two", "", false},
    {"self", BUS__V1__ACTOR__ROLE__OPERATOR, "one", "", false},
    {"any", BUS__V1__ACTOR__ROLE__APPROVER, "p-1", "958935420", true},
    {"any", BUS__V1__ACTOR__ROLE__SERVICE, "one", "", false},
    {"any self", BUS__V1__ACTOR__ROLE__SERVICE, "one", "", true},
    {"any self", BUS__V1__ACTOR__ROLE__CLOCK, "one", "", false},
    {"any", BUS__V1__ACTOR__ROLE__UNSPECIFIED, "p-1", "", false},
    {"CASE_OFFICER", BUS__V1__ACTOR__ROLE__CASE_OFFICER, "p-1", "", true},
    {"CASE_OFFICER", BUS__V1__ACTOR__ROLE__UNIT_HEAD, "p-1", "", false},
    {"READER CASE_OFFICER", BUS__V1__ACTOR__ROLE__CASE_OFFICER, "p-1", "", true},
    {"EDITOR:958935420", BUS__V1__ACTOR__ROLE__EDITOR, "p-1", "958935420", true},
    {"EDITOR:958935420", BUS__V1__ACTOR__ROLE__EDITOR, "p-1", "942110464", false},
    {"EDITOR:958935420", BUS__V1__ACTOR__ROLE__APPROVER, "p-1", "958935420", false},
    {"", BUS__V1__ACTOR__ROLE__SERVICE, "one", "", false},
    {NULL},
};

static void a_key_speaks_only_for_whom_its_entry_says(void **state)
{
    struct world *world = *state;

    for (const struct speaking *row = speakings; row->speaks; row++) {
        char text[256];
        const char *why = NULL;
        Bus__V1__Actor actor = BUS__V1__ACTOR__INIT;
        actor.subject = (char *)row->subject;
        actor.role = row->role;
        actor.organisation = (char *)row->organisation;
        snprintf(text, sizeof text, ENTRY("one", KEY_ONE, "    speaks = \"%s\"\n"), row->speaks);  // given
        load(world, text);

        bool may = registered_speaks(world->registry, registry_by_name(world->registry, "one"), &actor, &why);

        if (may != row->may)  // then
            fail_msg("speaks %s: role %d as %s of %s", row->speaks, row->role, row->subject,
                     row->organisation);
        if (!may)
            assert_non_null(strstr(why, "key 'one' may not speak for"));
    }
}

static void a_key_counts_only_between_its_dates(void **state)
{
    struct world *world = *state;

    load(world, ENTRY("one", KEY_ONE, "    not_after = \"2020-01-01T00:00:00Z\"\n")  // when
         ENTRY("two", KEY_TWO, "    not_before = \"2999-01-01T00:00:00Z\"\n"));

    assert_null(registry_by_key(world->registry, KEY_ONE));  // then
    assert_null(registry_by_name(world->registry, "two"));
    load(world,
         ENTRY("one", KEY_ONE,
               "    not_before = \"2020-01-01T00:00:00Z\"\n    not_after = \"2999-01-01T00:00:00Z\"\n"));
    assert_non_null(registry_by_key(world->registry, KEY_ONE));
}

static void a_changed_file_is_read_again(void **state)
{
    struct world *world = *state;
    load(world, ENTRY("one", KEY_ONE, ""));  // given
    assert_false(registry_refresh(world->registry));

    file_write(world, ENTRY("two", KEY_TWO, ""));  // when

    assert_true(registry_refresh(world->registry));  // then
    assert_null(registry_by_key(world->registry, KEY_ONE));
    assert_non_null(registry_by_key(world->registry, KEY_TWO));
}

static void a_malformed_new_version_leaves_the_old_in_force(void **state)
{
    struct world *world = *state;
    load(world, ENTRY("one", KEY_ONE, ""));  // given

    file_write(world, ENTRY("one", "short", ""));  // when

    assert_false(registry_refresh(world->registry));  // then
    assert_non_null(registry_by_key(world->registry, KEY_ONE));
}

static void a_file_that_is_away_for_a_moment_changes_nothing(void **state)
{
    struct world *world = *state;
    load(world, ENTRY("one", KEY_ONE, ""));  // given

    unlink(world->path);  // when

    assert_false(registry_refresh(world->registry));  // then
    assert_non_null(registry_by_key(world->registry, KEY_ONE));
}

#define SECOND(key, more) "one-1\n    public = \"" key "\"\n    of = \"one\"\n" more

static void a_second_key_is_the_same_name_with_the_same_rights_until_its_end(void **state)
{
    struct world *world = *state;
    const char *why = NULL;
    Bus__V1__Actor actor = BUS__V1__ACTOR__INIT;
    actor.role = BUS__V1__ACTOR__ROLE__SERVICE;
    actor.subject = "one";

    load(world, SECOND(KEY_TWO, "    not_after = \"2999-01-01T00:00:00Z\"\n")  // when
         ENTRY("one", KEY_ONE, "    serves = \"intake\"\n    asks = \"eventlog\"\n    speaks = \"self\"\n"));

    const struct registered *second = registry_by_key(world->registry, KEY_TWO);  // then
    assert_non_null(second);
    assert_string_equal("one", second->name);
    assert_string_equal(KEY_TWO, second->public_key);
    assert_true(registered_serves(second, "intake") && registered_asks(second, "eventlog"));
    assert_true(registered_speaks(world->registry, second, &actor, &why));
    assert_string_equal(KEY_ONE, registry_by_name(world->registry, "one")->public_key);
    assert_null(registry_by_name(world->registry, "one-1"));
    load(world, ENTRY("one", KEY_ONE, "") SECOND(KEY_TWO, "    not_after = \"2020-01-01T00:00:00Z\"\n"));
    assert_null(registry_by_key(world->registry, KEY_TWO));
    assert_non_null(registry_by_key(world->registry, KEY_ONE));
}

static void the_end_of_a_key_is_told_as_a_change(void **state)
{
    struct world *world = *state;
    arena_t *arena = arena_new(4096);
    char text[512];

    snprintf(text, sizeof text, ENTRY("one", KEY_ONE, "") SECOND(KEY_TWO, "    not_after = \"%s\"\n"),
             instant_text(arena, clock_real_us() + 300000));
    load(world, text);  // given
    assert_false(registry_refresh(world->registry));
    assert_non_null(registry_by_key(world->registry, KEY_TWO));

    zclock_sleep(400);  // when

    assert_true(registry_refresh(world->registry));  // then
    assert_null(registry_by_key(world->registry, KEY_TWO));
    assert_false(registry_refresh(world->registry));
    arena_destroy(&arena);
}

// The bytes of a sealed version.
static char *sealed(const struct world *world, const char *text)
{
    seal_write(world->path, text);
    char *bytes = seal_read(world->path);
    assert_non_null(bytes);
    return bytes;
}

static void a_sealed_version_is_taken_whole(void **state)
{
    struct world *world = *state;
    load(world, ENTRY("one", KEY_ONE, ""));  // given

    free(sealed(world, ENTRY("two", KEY_TWO, "")));  // when

    assert_true(registry_refresh(world->registry));  // then
    assert_null(registry_by_key(world->registry, KEY_ONE));
    assert_non_null(registry_by_key(world->registry, KEY_TWO));
}

// Each first part of the new version over the old one, as a reader may see it while it is written in place: from a
// version that a person wrote and from a sealed one, onto a longer and onto a shorter one.
static void no_mixture_of_two_versions_is_taken(void **state)
{
    struct world *world = *state;
    static const char one[] = ENTRY("one", KEY_ONE, "    serves = \"intake\"\n");
    static const char two[] = ENTRY("two", KEY_TWO, "") ENTRY("one", KEY_ONE, "");
    static const char *const changes[][2] = {{one, two}, {two, one}};
    size_t wrong = 0;

    for (int i = 0; i < 4; i++) {
        char *new = sealed(world, changes[i % 2][1]), *whole = sealed(world, changes[i % 2][0]);
        char *old = i < 2 ? seal_open(whole) : whole;
        size_t new_size = strlen(new), old_size = strlen(old);
        for (size_t cut = 1; cut < new_size; cut++) {
            char *mixed = zmalloc(new_size + old_size + 1);
            memcpy(mixed, new, cut);
            if (cut < old_size)
                strcpy(mixed + cut, old + cut);
            wrong += seal_whole(mixed) && strcmp(mixed, old) != 0;
            free(mixed);
        }
        free(new);
        free(whole);
    }

    // Of a version without a seal, a first part so short that no mark is in it yet can not be told from what a person
    // would write: it begins with "# sealed" letter by letter, which ZPL takes for a comment, or for no section.
    assert_in_range(wrong, 0, 2 * strlen("# sealed "));
    load(world, one);
    char *new = sealed(world, two);
    new[strlen(new) / 2] = '\0';
    file_write(world, new);
    assert_false(registry_refresh(world->registry));
    assert_non_null(registry_by_key(world->registry, KEY_ONE));
    assert_null(registry_by_key(world->registry, KEY_TWO));
    free(new);
    free(sealed(world, two));
    zclock_sleep(60);
    assert_true(registry_refresh(world->registry));
    assert_non_null(registry_by_key(world->registry, KEY_TWO));
}

static void an_empty_version_leaves_the_old_in_force(void **state)
{
    struct world *world = *state;
    load(world, ENTRY("one", KEY_ONE, ""));  // given

    file_write(world, "");  // when

    assert_false(registry_refresh(world->registry));  // then
    assert_non_null(registry_by_key(world->registry, KEY_ONE));
}

static void a_version_that_stays_half_written_ends_the_start_with_a_sentence(void **state)
{
    struct world *world = *state;
    char said[2048];
    char *new = sealed(world, ENTRY("one", KEY_ONE, ""));

    new[strlen(new) - 30] = '\0';
    file_write(world, new);  // given

    assert_int_equal(1, load_outcome(world, true, said));  // when

    assert_non_null(strstr(said, "it was written only halfway, or edited by hand"));  // then
    free(new);
}

// What may not stand in a registry, and what is said of it.
static const struct {
    const char *text;
    const char *said;
} malformed[] = {
    {ENTRY("one", "short", ""), "key 'one': public is not 40 characters of Z85"},
    {ENTRY("one", "oneone0000oneone0000oneone0000oneone000~", ""), "public is not 40 characters of Z85"},
    {ENTRY("One", KEY_ONE, ""), "the name is not 1 to 32"},
    {ENTRY("one", KEY_ONE, "    serves = \"In,take\"\n"), "serves is 'In,take'"},
    {ENTRY("one", KEY_ONE, "    asks = \"in/take\"\n"), "asks is 'in/take'"},
    {ENTRY("one", KEY_ONE, "    feed = \"perhaps\"\n"), "feed is 'perhaps'"},
    {ENTRY("one", KEY_ONE, "    speaks = \"CLOCK\"\n"), "speaks has the word 'CLOCK'"},
    {ENTRY("one", KEY_ONE, "    speaks = \"SERVICE\"\n"), "speaks has the word 'SERVICE'"},
    {ENTRY("one", KEY_ONE, "    speaks = \"UNSPECIFIED\"\n"), "speaks has the word 'UNSPECIFIED'"},
    {ENTRY("one", KEY_ONE, "    speaks = \"EDITOR:958935421\"\n"), "speaks has the word 'EDITOR:958935421'"},
    {ENTRY("one", KEY_ONE, "    speaks = \"EDITOR:\"\n"), "speaks has the word 'EDITOR:'"},
    {ENTRY("one", KEY_ONE, "    not_after = \"tomorrow\"\n"), "not_after is 'tomorrow'"},
    {ENTRY("one", KEY_ONE, "    serve = \"intake\"\n"), "the field 'serve' is not known"},
    {ENTRY("one", KEY_ONE, "") SECOND(KEY_TWO, ""), "a second key of 'one' needs not_after"},
    {ENTRY("two", KEY_ONE, "") SECOND(KEY_TWO, "    not_after = \"2999-01-01T00:00:00Z\"\n"),
     "key 'one-1': of is 'one', which is no first key"},
    {ENTRY("one", KEY_ONE, "") SECOND(KEY_TWO, "    serves = \"payment\"\n"),
     "the field 'serves' is not known in a second key"},
    {"", "there is no key in it"},
    {ENTRY("one", KEY_ONE, "") ENTRY("two", KEY_ONE, ""), "key 'two': its public key already stands"},
    {ENTRY("one", KEY_ONE, "") ENTRY("one", KEY_TWO, ""), "key 'one': the name stands twice"},
};

static void a_malformed_registry_ends_the_process_with_a_sentence(void **state)
{
    struct world *world = *state;
    char said[2048];

    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        file_write(world, malformed[i].text);  // given

        assert_int_equal(1, load_outcome(world, true, said));  // when

        if (!strstr(said, malformed[i].said))  // then
            fail_msg("'%s' is not said in %s", malformed[i].said, said);
    }
}

static void a_missing_registry_ends_the_process_with_a_sentence(void **state)
{
    struct world *world = *state;
    char said[2048];
    unlink(world->path);  // given

    assert_int_equal(1, load_outcome(world, true, said));  // when

    assert_non_null(strstr(said, "the registry of keys cannot be read"));  // then
}

static void a_key_that_speaks_for_anyone_exists_only_in_a_rehearsal(void **state)
{
    struct world *world = *state;
    char said[2048];
    file_write(world, ENTRY("one", KEY_ONE, "    speaks = \"any\"\n"));  // given

    assert_int_equal(0, load_outcome(world, true, said));  // when
    assert_int_equal(1, load_outcome(world, false, said));

    assert_non_null(strstr(said, "speaks any is allowed only in a rehearsal"));  // then
}

#define A_TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        A_TEST(an_entry_is_found_by_key_and_by_name),
        A_TEST(a_key_serves_and_asks_only_what_its_entry_says),
        A_TEST(a_key_speaks_only_for_whom_its_entry_says),
        A_TEST(a_key_counts_only_between_its_dates),
        A_TEST(a_changed_file_is_read_again),
        A_TEST(a_malformed_new_version_leaves_the_old_in_force),
        A_TEST(a_file_that_is_away_for_a_moment_changes_nothing),
        A_TEST(a_second_key_is_the_same_name_with_the_same_rights_until_its_end),
        A_TEST(the_end_of_a_key_is_told_as_a_change),
        A_TEST(a_sealed_version_is_taken_whole),
        A_TEST(no_mixture_of_two_versions_is_taken),
        A_TEST(an_empty_version_leaves_the_old_in_force),
        A_TEST(a_version_that_stays_half_written_ends_the_start_with_a_sentence),
        A_TEST(a_malformed_registry_ends_the_process_with_a_sentence),
        A_TEST(a_missing_registry_ends_the_process_with_a_sentence),
        A_TEST(a_key_that_speaks_for_anyone_exists_only_in_a_rehearsal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
