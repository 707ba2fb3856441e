// trees: what our code makes of trees whose entry i is the text "entry i" (from 0), for the verifier in Python to
// check: one line of JSON for each size that is given ("1..300" is each of them), with the root, the checkpoint
// signed and cosigned, and proofs of inclusion and consistency (for small trees all of them).
#include "note/checkpoint.h"
#include "proof.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL 300

// Hashes of whole subtrees by height: nodes[h][i] is that of leaves i << h to ((i + 1) << h) - 1.
static uint8_t (*nodes[40])[TREE_HASH];

static void build(uint64_t size)
{
    char entry[32];

    for (int height = 0; size >> height > 0; height++)
        nodes[height] = calloc(size >> height, TREE_HASH);
    for (uint64_t i = 0; i < size; i++)
        tree_leaf(entry, (size_t)snprintf(entry, sizeof entry, "entry %llu", (unsigned long long)i),
                  nodes[0][i]);
    for (int height = 1; size >> height > 0; height++)
        for (uint64_t i = 0; i < size >> height; i++)
            tree_node(nodes[height - 1][2 * i], nodes[height - 1][2 * i + 1], nodes[height][i]);
}

static bool node(void *context, unsigned height, uint64_t index, uint8_t ret[TREE_HASH])
{
    (void)context;
    memcpy(ret, nodes[height][index], TREE_HASH);
    return true;
}

static const struct proof_source source = {.hash = node};

static void print_hash(const uint8_t hash[TREE_HASH])
{
    putchar('"');
    for (int i = 0; i < TREE_HASH; i++)
        printf("%02x", hash[i]);
    putchar('"');
}

static void print_proof(const char *gap, uint64_t number, const struct proof *proof)
{
    printf("%s[%llu, [", gap, (unsigned long long)number);
    for (int i = 0; i < proof->count; i++) {
        printf("%s", i > 0 ? ", " : "");
        print_hash(proof->hashes[i]);
    }
    printf("]]");
}

// Every one for a small tree, else about fifty.
static uint64_t step_of(uint64_t size)
{
    return size <= SMALL ? 1 : size / 50;
}

static void print_tree(arena_t *arena, uint64_t size, const struct note_signer *log,
                       const struct note_signer *witness)
{
    uint8_t root[TREE_HASH];
    struct proof proof;

    proof_root(&source, size, root);
    printf("{\"size\": %llu, \"root\": ", (unsigned long long)size);
    print_hash(root);
    const char *text = checkpoint_text(arena, log->key.name, size, root);
    const char *note = arena_printf(arena, "%s\n%s%s", text, note_sign(arena, log, text),
                                    note_cosign(arena, witness, text, 1700000000 + (int64_t)size));
    printf(", \"checkpoint\": \"%s\", \"inclusion\": [", note_base64(arena, note, strlen(note)));
    for (uint64_t index = 0; index < size; index += step_of(size)) {
        proof_inclusion(&source, index, size, &proof);
        print_proof(index > 0 ? ", " : "", index, &proof);
    }
    printf("], \"consistency\": [");
    for (uint64_t from = 1; from <= size; from += step_of(size)) {
        proof_consistency(&source, from, size, &proof);
        print_proof(from > 1 ? ", " : "", from, &proof);
    }
    puts("]}");
}

int main(int argc, char **argv)
{
    arena_t *arena = arena_new(64 * 1024 * 1024);
    struct note_signer log, witness;
    uint64_t most = 0;

    note_signer_make("log.example/evidence", NOTE_PLAIN, (const uint8_t *)"the seed of a log, for evidence.",
                     &log);
    note_signer_make("witness.example/w1", NOTE_COSIGNATURE,
                     (const uint8_t *)"the seed of a witness, as well. ", &witness);
    printf("{\"log\": \"%s\", \"witness\": \"%s\"}\n", note_key_text(arena, &log.key),
           note_key_text(arena, &witness.key));
    for (int i = 1; i < argc; i++) {
        const char *dots = strstr(argv[i], "..");
        uint64_t last = strtoull(dots != NULL ? dots + 2 : argv[i], NULL, 10);
        most = last > most ? last : most;
    }
    build(most);
    for (int i = 1; i < argc; i++) {
        const char *dots = strstr(argv[i], "..");
        uint64_t size = strtoull(argv[i], NULL, 10),
                 last = strtoull(dots != NULL ? dots + 2 : argv[i], NULL, 10);
        for (; size <= last; size++) {
            print_tree(arena, size, &log, &witness);
            arena_reset(arena);
        }
    }
    arena_destroy(&arena);
    return 0;
}
