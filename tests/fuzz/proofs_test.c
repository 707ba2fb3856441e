// proofs: a log that lies, or an answer that was changed, shows the witness damaged proofs that one tree begins another, and
// whoever holds a receipt damaged paths from an event to a root (RFC 9162). Whatever the bytes are: no crash, no leak, nothing
// undefined (the sanitizers watch); and what is taken is the very proof of what is true.
//
// DAMAGE_SEED and DAMAGE_COUNT (proofs in all, 100 000) choose another run; a failure prints the seed.
#include "chance.h"

#include "limits/limits.h"
#include "message/message.h"
#include "proof.h"
#include "witness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define LEAVES 600
#define LEVELS 11  // of subtrees: 1, 2, 4 ... leaves
#define MORE   4   // hashes that a proof may grow by
#define ROOM   ((PROOF_HASHES + MORE) * (TREE_HASH + 4) + 64)

static struct {
    uint8_t hashes[LEVELS][LEAVES][TREE_HASH];  // of the whole subtrees
    uint8_t roots[LEAVES + 1][TREE_HASH];
    struct tree trees[LEAVES + 1];
} made;

static bool subtree(void *context, unsigned height, uint64_t index, uint8_t ret[TREE_HASH])
{
    (void)context;
    assert_true(height < LEVELS && (index + 1) << height <= LEAVES);
    memcpy(ret, made.hashes[height][index], TREE_HASH);
    return true;
}

static const struct proof_source source = {subtree, NULL};

static int make_log(void **unused)
{
    (void)unused;
    struct tree tree = {0};

    for (uint64_t i = 0; i < LEAVES; i++)
        tree_leaf(&i, sizeof i, made.hashes[0][i]);
    for (unsigned height = 1; height < LEVELS; height++)
        for (uint64_t i = 0; (i + 1) << height <= LEAVES; i++)
            tree_node(made.hashes[height - 1][2 * i], made.hashes[height - 1][2 * i + 1],
                      made.hashes[height][i]);
    for (uint64_t size = 0; size <= LEAVES; size++) {
        if (size > 0)
            tree_add(&tree, made.hashes[0][size - 1]);
        made.trees[size] = tree;
        tree_root(&tree, made.roots[size]);
    }
    return 0;
}

static uint64_t any_size(void)
{
    return 1 + below(LEAVES);
}

// A hash that is in the log, somewhere.
static const uint8_t *any_hash(void)
{
    unsigned height = (unsigned)below(10);

    return made.hashes[height][below(LEAVES >> height)];
}

// The hashes of a proof, in one of six ways; where it has none, some come.
static void damage_hashes(struct proof *proof)
{
    size_t count = (size_t)proof->count, at = below(count), other = below(count);
    uint8_t kept[TREE_HASH];

    switch (count == 0 ? 3 : below(6)) {
    case 0:
        proof->hashes[at][below(TREE_HASH)] ^= (uint8_t)(1 << below(8));
        break;
    case 1:  // one is gone
        memmove(proof->hashes[at], proof->hashes[at + 1], (count - at - 1) * TREE_HASH);
        proof->count--;
        break;
    case 2:  // one comes twice
        memmove(proof->hashes[at + 1], proof->hashes[at], (count - at) * TREE_HASH);
        proof->count++;
        break;
    case 3:  // some more follow
        for (size_t more = 1 + below(MORE - 1); more > 0; more--)
            memcpy(proof->hashes[proof->count++], any_hash(), TREE_HASH);
        break;
    case 4:  // two change places
        memcpy(kept, proof->hashes[at], TREE_HASH);
        memmove(proof->hashes[at], proof->hashes[other], TREE_HASH);
        memcpy(proof->hashes[other], kept, TREE_HASH);
        break;
    default:
        memcpy(proof->hashes[at], any_hash(), TREE_HASH);
    }
}

static bool same(const struct proof *one, const struct proof *other)
{
    return one->count == other->count &&
           memcmp(one->hashes, other->hashes, (size_t)one->count * TREE_HASH) == 0;
}

static int proofs(void)
{
    const char *seed = getenv("DAMAGE_SEED"), *count = getenv("DAMAGE_COUNT");

    chance = seed != NULL ? strtoull(seed, NULL, 10) : 1;
    return (count != NULL ? atoi(count) : 100000) / 2;
}

// ------------------------------------------------------------------------------------------------------ the witness

// What the log answers, as bytes of exactly their size.
static uint8_t *an_answer(uint64_t from, uint64_t to, const struct proof *proof, bool damaged,
                          size_t *ret_size)
{
    Eventlog__V1__ConsistencyProof told = EVENTLOG__V1__CONSISTENCY_PROOF__INIT;
    ProtobufCBinaryData hashes[PROOF_HASHES + MORE];
    uint8_t packed[ROOM];
    bool endless = below(64) == 0;  // more than any proof has

    told.from = from;
    told.to = to;
    told.n_hashes = (size_t)proof->count;
    told.hashes = hashes;
    for (size_t i = 0; i < told.n_hashes; i++)
        hashes[i] = (ProtobufCBinaryData){.len = TREE_HASH, .data = (uint8_t *)proof->hashes[i]};
    while (damaged && endless && told.n_hashes < PROOF_HASHES + MORE)
        hashes[told.n_hashes++] = (ProtobufCBinaryData){.len = TREE_HASH, .data = (uint8_t *)any_hash()};
    if (damaged && told.n_hashes > 0 && below(4) == 0)
        hashes[below(told.n_hashes)].len = below(TREE_HASH);
    size_t size = eventlog__v1__consistency_proof__pack(&told, packed);
    if (damaged && below(4) == 0)
        packed[below(size)] ^= (uint8_t)(1 << below(8));
    if (damaged && below(8) == 0)
        size = below(size);
    uint8_t *bytes = malloc(size + (size == 0));
    assert_non_null(bytes);
    memcpy(bytes, packed, size);
    *ret_size = size;
    return bytes;
}

// The hashes that came out of the bytes.
static bool told_truly(const Eventlog__V1__ConsistencyProof *told, const struct proof *truth)
{
    bool well = told->n_hashes == (size_t)truth->count;

    for (size_t i = 0; well && i < told->n_hashes; i++)
        well = told->hashes[i].len == TREE_HASH &&
               memcmp(told->hashes[i].data, truth->hashes[i], TREE_HASH) == 0;
    return well;
}

// What the witness is asked to believe.
struct claim {
    uint64_t from, to;
    struct tree own;      // that it holds, of `from` events
    const uint8_t *root;  // that the log says it has of `to` events
    struct proof proof;
    bool damaged;
};

// Does it? *ret_true: it is true, and is proved by the very proof.
static bool believed(arena_t *arena, const struct claim *claim, bool *ret_true)
{
    struct store store = {.tree = claim->own};
    struct judge judge = {.store = &store, .head = claim->to, .refusing = true};
    const Eventlog__V1__ConsistencyProof *told;
    struct message message = message_new(arena);
    struct proof truth;
    size_t size;
    uint8_t *bytes = an_answer(claim->from, claim->to, &claim->proof, claim->damaged, &size), own[TREE_HASH];

    memcpy(judge.head_root, claim->root, TREE_HASH);
    tree_root(&claim->own, own);
    *ret_true = false;
    if (message_decode(&message, &eventlog__v1__consistency_proof__descriptor, bytes, size, &told) == OK) {
        judge_proof(&judge, told);
        assert_true(proof_consistency(&source, claim->from, claim->to, &truth));
        *ret_true = memcmp(claim->root, made.roots[claim->to], TREE_HASH) == 0 &&
                    memcmp(own, made.roots[claim->from], TREE_HASH) == 0 && told->from == claim->from &&
                    told->to == claim->to && told_truly(told, &truth);
    }
    free(bytes);
    assert_true(judge.refusing || judge.trusted.size == claim->from);
    return !judge.refusing;
}

// A proof says that one tree begins another, but not how large the other is: that is signed with its root. So a root of the
// same log may pass for that of another size; one of another log never.
static bool extends(const struct claim *claim)
{
    uint8_t own[TREE_HASH];
    bool found = false;

    tree_root(&claim->own, own);
    for (uint64_t size = claim->from; size <= LEAVES; size++)
        found = found || (size != claim->to && memcmp(claim->root, made.roots[size], TREE_HASH) == 0);
    return found && memcmp(own, made.roots[claim->from], TREE_HASH) == 0;
}

static struct claim a_claim(void)
{
    uint64_t from = any_size(), to = from + below(LEAVES + 1 - from);
    struct claim claim = {.from = from, .to = below(16) == 0 ? from : to, .own = made.trees[from]};

    claim.root = below(4) == 0 ? made.roots[any_size()] : below(8) == 0 ? any_hash() : made.roots[claim.to];
    claim.damaged = below(4) != 0;
    if (below(8) == 0)  // the witness holds something else
        claim.own.hashes[below((size_t)claim.own.count)][below(TREE_HASH)] ^= 1;
    assert_true(proof_consistency(&source, claim.from, claim.to, &claim.proof));
    if (claim.damaged && below(2) == 0)
        damage_hashes(&claim.proof);
    return claim;
}

static void the_witness_believes_a_head_that_extends_what_it_holds_and_no_other(void **unused)
{
    (void)unused;
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    int taken = 0, all = proofs();

    for (int n = all; n > 0; n--) {
        uint64_t seed = chance;
        struct claim claim = a_claim();
        bool is_true;
        arena_reset(arena);
        bool well = believed(arena, &claim, &is_true), right = is_true ? well : !well || extends(&claim);
        if (!right)
            print_error("seed %llu: from %llu to %llu was %s\n", (unsigned long long)seed,
                        (unsigned long long)claim.from, (unsigned long long)claim.to,
                        well ? "believed" : "not believed");
        assert_true(right);
        taken += well;
    }
    print_message("# %d of %d were believed\n", taken, all);
    arena_destroy(&arena);
}

// --------------------------------------------------------------------------------------------- a path to the root

static void a_path_leads_from_its_own_leaf_to_its_own_root_and_from_no_other(void **unused)
{
    (void)unused;
    int taken = 0, all = proofs();

    for (int n = all; n > 0; n--) {
        uint64_t seed = chance, size = any_size(), index = below(size);
        struct proof proof, truth = {0};
        uint8_t root[TREE_HASH];
        assert_true(proof_inclusion(&source, index, size, &proof));
        const uint8_t *leaf = below(4) == 0 ? any_hash() : made.hashes[0][index];
        if (below(2) == 0)
            damage_hashes(&proof);
        if (below(4) == 0)
            size = any_size();
        if (below(4) == 0)
            index = below(LEAVES + 8);
        bool well = proof_inclusion_root(leaf, index, size, proof.hashes, (size_t)proof.count, root) &&
                    memcmp(root, made.roots[size], TREE_HASH) == 0;
        bool is_true = index < size && memcmp(leaf, made.hashes[0][index], TREE_HASH) == 0 &&
                       proof_inclusion(&source, index, size, &truth) && same(&proof, &truth);
        if (well != is_true)
            print_error("seed %llu: leaf %llu of %llu was %s\n", (unsigned long long)seed,
                        (unsigned long long)index, (unsigned long long)size, well ? "taken" : "not taken");
        assert_int_equal(is_true, well);
        taken += well;
    }
    print_message("# %d of %d were taken\n", taken, all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_witness_believes_a_head_that_extends_what_it_holds_and_no_other),
        cmocka_unit_test(a_path_leads_from_its_own_leaf_to_its_own_root_and_from_no_other),
    };

    return cmocka_run_group_tests(tests, make_log, NULL);
}
