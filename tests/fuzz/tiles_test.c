// tiles: a log that is somebody's own, or was changed, tells whoever goes on from a kept checkpoint its tiles (C2SP
// tlog-tiles) damaged at random. Whatever the bytes are: no crash, no leak, nothing undefined (the sanitizers watch), one
// sentence; and the tree that is put together of them is the one that was signed, or there is none.
//
// DAMAGE_SEED and DAMAGE_COUNT (trees in all, 100 000) choose another run; a failure prints the seed.
#include "chance.h"

#include "limits/limits.h"
#include "note/checkpoint.h"
#include "receipt.h"
#include "resume.h"
#include "source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TILE   256
#define LEAVES (2 * TILE * TILE + 5 * TILE + 77)
#define ROOM   (TILE * TREE_HASH + 64)

const struct command *const command_groups[] = {NULL};

// Trees of these sizes are signed: without a full tile, with one level of them, with two.
static const uint64_t sizes[] = {1, 2, 255, 256, 257, 1023, 65535, 65536, 65537, LEAVES};
#define SIZES (sizeof sizes / sizeof sizes[0])

static struct {
    arena_t *arena;
    struct note_signer signer;
    struct tree trees[SIZES];
    const char *checkpoints[SIZES];
    uint8_t leaves[LEAVES][TREE_HASH];  // the three levels
    uint8_t full[LEAVES / TILE][TREE_HASH];
    uint8_t fuller[LEAVES / TILE / TILE][TREE_HASH];
} house_log;

static struct run {
    bool damaging, damaged, wrong_width;
    int sentences;
} run;

// ------------------------------------------------------------------------------------------------------- the log

static int make_log(void **unused)
{
    (void)unused;
    struct tree tree = {0};
    uint8_t roots[TREE_TILES][TREE_HASH], root[TREE_HASH];
    size_t next = 0;

    house_log.arena = arena_new(LIMIT_ARENA_BYTES);
    note_signer_make("log.example/fuzz", NOTE_PLAIN, (const uint8_t *)"0123456789abcdef0123456789abcdef",
                     &house_log.signer);
    for (uint64_t i = 0; i < LEAVES; i++) {
        tree_leaf(&i, sizeof i, house_log.leaves[i]);
        int full = tree_add_tiles(&tree, house_log.leaves[i], roots);
        if (full > 0)
            memcpy(house_log.full[i / TILE], roots[0], TREE_HASH);
        if (full > 1)
            memcpy(house_log.fuller[i / TILE / TILE], roots[1], TREE_HASH);
        if (tree.size != sizes[next])
            continue;
        tree_root(&tree, root);
        house_log.checkpoints[next] = checkpoint_sign(house_log.arena, &house_log.signer, tree.size, root);
        house_log.trees[next++] = tree;
    }
    return 0;
}

static int remove_log(void **unused)
{
    (void)unused;
    arena_destroy(&house_log.arena);
    return 0;
}

// The hashes of a level from an index on; *ret_count: how many there are.
static const uint8_t *hashes_from(uint32_t level, uint64_t first, size_t *ret_count)
{
    static const size_t counts[] = {LEAVES, LEAVES / TILE, LEAVES / TILE / TILE};
    const uint8_t *levels[] = {house_log.leaves[0], house_log.full[0], house_log.fuller[0]};

    assert_true(level < 3 && first < counts[level]);
    *ret_count = counts[level] - first;
    return levels[level] + first * TREE_HASH;
}

// -------------------------------------------------------------------------------------------------------- damage

// The hashes of a tile, in one of six ways; returns the new size.
static size_t damage_tile(uint8_t *bytes, size_t size)
{
    size_t hashes = size / TREE_HASH, at = below(size), more = 1 + below(64), there;
    uint8_t *one = bytes + below(hashes) * TREE_HASH, *other = bytes + below(hashes) * TREE_HASH,
            kept[TREE_HASH];

    switch (below(6)) {
    case 0:
        bytes[at] ^= (uint8_t)(1 << below(8));
        return size;
    case 1:
        return at;
    case 2:
        memset(bytes + size, (int)below(256), more);
        return size + more;
    case 3:  // two hashes change places
        memcpy(kept, one, TREE_HASH);
        memmove(one, other, TREE_HASH);
        memcpy(other, kept, TREE_HASH);
        return size;
    case 4: {  // that of another place or level
        const uint8_t *hash = hashes_from((uint32_t)below(3), 0, &there);
        memcpy(one, hash + below(there) * TREE_HASH, TREE_HASH);
        return size;
    }
    default:  // a stretch is gone, and what follows is not where it was
        more = more < size - at ? more : size - at;
        memmove(bytes + at, bytes + at + more, size - at - more);
        return size;
    }
}

// The whole message, however it is packed.
static size_t damage_message(uint8_t *bytes, size_t size)
{
    switch (below(3)) {
    case 0:  // its head
        bytes[below(size < 16 ? size : 16)] ^= (uint8_t)(1 << below(8));
        return size;
    case 1:
        return below(size);
    default:
        for (int i = 0; i < 8; i++)
            bytes[size++] = (uint8_t)below(256);
        return size;
    }
}

// ---------------------------------------------------------------------------------------- what stands in its place

bool __wrap_bus_call(bus_t *bus, arena_t *arena, const char *service, const char *id, const char *type,
                     const actor_t *actor, uint32_t timeout_ms, const uint8_t *body, size_t body_size,
                     struct incoming *ret);
bool __wrap_source_read(arena_t *arena, const char *path, struct source *ret, const char **ret_why);
int __wrap_log_public_keys(struct console *console, struct note_ring *ret);
int __wrap_fault(enum exit_code code, const char *format, ...);

// The log's answer. The bytes are of exactly their size, so that a look beyond is seen.
bool __wrap_bus_call(bus_t *bus, arena_t *arena, const char *service, const char *id, const char *type,
                     const actor_t *actor, uint32_t timeout_ms, const uint8_t *body, size_t body_size,
                     struct incoming *ret)
{
    (void)bus, (void)actor, (void)timeout_ms, (void)id;
    uint8_t hashes[ROOM], packed[ROOM + 64];
    struct message message = message_new(arena);
    Eventlog__V1__Tile tile = EVENTLOG__V1__TILE__INIT;
    Bus__V1__Reply *reply = arena_alloc(arena, sizeof *reply);
    const Eventlog__V1__GetTile *asked;
    size_t there;

    assert_string_equal(service, "eventlog");
    assert_string_equal(type, eventlog__v1__get_tile__descriptor.name);
    assert_int_equal(OK,
                     message_decode(&message, &eventlog__v1__get_tile__descriptor, body, body_size, &asked));
    const uint8_t *true_hashes = hashes_from(asked->level, asked->index * TILE, &there);
    assert_true(asked->width >= 1 && asked->width <= TILE && asked->width <= there);
    tile.data = (ProtobufCBinaryData){.len = asked->width * TREE_HASH, .data = hashes};
    memcpy(hashes, true_hashes, tile.data.len);

    size_t how = run.damaging ? below(6) : 0;  // most answers are true, so that one alone must be found
    if (how == 1 || how == 2)
        tile.data.len = damage_tile(hashes, tile.data.len);
    run.wrong_width |= tile.data.len != asked->width * TREE_HASH;
    size_t size = eventlog__v1__tile__pack(&tile, packed);
    if (how == 3)
        size = damage_message(packed, size);
    run.damaged |= how >= 1 && how <= 3;

    bus__v1__reply__init(reply);
    reply->status = BUS__V1__REPLY__STATUS__OK;
    reply->type = (char *)eventlog__v1__tile__descriptor.name;
    *ret = (struct incoming){
        .kind = INCOMING_REPLY, .reply = reply, .body = arena_copy(arena, packed, size), .body_size = size};
    return true;
}

// The kept checkpoint; its path is its number.
bool __wrap_source_read(arena_t *arena, const char *path, struct source *ret, const char **ret_why)
{
    (void)ret_why;
    *ret = (struct source){.text = arena_text(arena, house_log.checkpoints[atoi(path)])};
    return true;
}

int __wrap_log_public_keys(struct console *console, struct note_ring *ret)
{
    (void)console;
    *ret = (struct note_ring){.count = 1, .keys = {house_log.signer.key}};
    return EXIT_DONE;
}

int __wrap_fault(enum exit_code code, const char *format, ...)
{
    char sentence[1024];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    assert_true(length > 0 && strchr(sentence, '\n') == NULL);
    run.sentences++;
    return (int)code;
}

// --------------------------------------------------------------------------------------------------------- the test

static bool same(const struct tree *one, const struct tree *other)
{
    return one->size == other->size && one->count == other->count &&
           memcmp(one->hashes, other->hashes, (size_t)one->count * TREE_HASH) == 0;
}

// Put the tree of one of the sizes together; whether there is one.
static bool resume(struct console *console, size_t of, bool damaging)
{
    struct tree tree = {0};
    uint64_t seed = chance;

    arena_reset(console->arena);
    arena_reset(console->ground);
    run = (struct run){.damaging = damaging};
    int code = resume_tree(console, arena_printf(console->ground, "%zu", of), LEAVES, &tree);
    bool well = code == EXIT_DONE
                    ? same(&tree, &house_log.trees[of]) && !run.wrong_width && run.sentences == 0
                    : run.damaged && run.sentences == 1;
    if (!well)
        print_error("seed %llu, size %llu: ended with %d after %d sentences\n", (unsigned long long)seed,
                    (unsigned long long)sizes[of], code, run.sentences);
    assert_true(well);
    return code == EXIT_DONE;
}

static void damaged_tiles_lead_to_the_signed_root_or_to_none(void **unused)
{
    (void)unused;
    const char *seed = getenv("DAMAGE_SEED"), *count = getenv("DAMAGE_COUNT");
    struct console console = {.arena = arena_new(LIMIT_ARENA_BYTES), .ground = arena_new(LIMIT_ARENA_BYTES)};
    int trees = 0, damaged = 0;

    console.message = message_new(console.arena);
    console.bus = (bus_t *)&console;  // nobody looks into it
    chance = seed != NULL ? strtoull(seed, NULL, 10) : 1;
    for (size_t of = 0; of < SIZES; of++)
        assert_true(resume(&console, of, false));
    for (int n = count != NULL ? atoi(count) : 100000; n > 0; n--) {
        trees += resume(&console, below(SIZES), true);
        damaged += run.damaged;
    }
    print_message("# %d were damaged, and %d trees were put together\n", damaged, trees);
    arena_destroy(&console.arena);
    arena_destroy(&console.ground);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(damaged_tiles_lead_to_the_signed_root_or_to_none)};

    return cmocka_run_group_tests(tests, make_log, remove_log);
}
