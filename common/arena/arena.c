// arena: memory that lives exactly as long as one message. Blocks in a list; the newest is filled from its start.
#include "arena/arena.h"
#include "limits/limits.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, size)   ((void)(start), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#endif

#define ALIGNMENT   16
#define BLOCK_BYTES (64 * 1024)  // what most messages need; a service keeps one for ever

struct block {
    struct block *older;
    size_t size;  // of bytes
    size_t used;
    _Alignas(ALIGNMENT) uint8_t bytes[];
};

struct arena {
    struct block *newest;
    size_t limit;
    size_t used;  // handed out since the last reset, rounded up to the alignment
};

// Budget of one unpacking, see arena_allocator.
struct budget {
    ProtobufCAllocator allocator;
    arena_t *arena;
    size_t left;
};

// Nothing is still something: two allocations never share an address.
static size_t rounded(size_t size)
{
    size = size > 0 ? size : 1;
    return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static bool fits(const arena_t *arena, size_t size)
{
    // The first test also keeps rounded() from wrapping.
    return size <= arena->limit && rounded(size) <= arena->limit - arena->used;
}

static void out_of_memory(const char *why, size_t size)
{
    fprintf(stderr, "arena: %s (%zu bytes asked for)\n", why, size);
    abort();
}

static struct block *block_new(struct block *older, size_t size)
{
    struct block *block = malloc(sizeof(struct block) + size);
    if (block == NULL)
        out_of_memory("the machine is out of memory", size);
    *block = (struct block){.older = older, .size = size};
    ASAN_POISON_MEMORY_REGION(block->bytes, size);
    return block;
}

static void block_free(struct block *block)
{
    ASAN_UNPOISON_MEMORY_REGION(block->bytes, block->size);
    free(block);
}

static void *budget_alloc(void *data, size_t size)
{
    struct budget *budget = data;

    // Out of room in the whole arena is the sender's doing as well: unpacking fails, the process lives.
    if (size > budget->left || !fits(budget->arena, size))
        return NULL;
    budget->left -= size;
    return arena_alloc(budget->arena, size);
}

static void budget_free(void *data, void *pointer)
{
    (void)data;
    (void)pointer;
}

arena_t *arena_new(size_t limit)
{
    arena_t *arena = malloc(sizeof *arena);
    if (arena == NULL)
        out_of_memory("the machine is out of memory", sizeof *arena);
    assert(limit > 0);
    *arena = (arena_t){.newest = block_new(NULL, BLOCK_BYTES), .limit = limit};
    return arena;
}

void arena_destroy(arena_t **arena_p)
{
    assert(arena_p != NULL);
    if (*arena_p == NULL)
        return;
    arena_reset(*arena_p);
    block_free((*arena_p)->newest);
    free(*arena_p);
    *arena_p = NULL;
}

void *arena_alloc(arena_t *arena, size_t size)
{
    assert(arena != NULL);
    if (!fits(arena, size))
        out_of_memory("one message needs more than its limit", size);

    size_t taken = rounded(size);
    if (taken > arena->newest->size - arena->newest->used)
        arena->newest = block_new(arena->newest, taken > BLOCK_BYTES ? taken : BLOCK_BYTES);

    void *memory = arena->newest->bytes + arena->newest->used;
    arena->newest->used += taken;
    arena->used += taken;
    // Only what was asked for: the rest of the last 16 bytes stays forbidden.
    ASAN_UNPOISON_MEMORY_REGION(memory, size);
    return memset(memory, 0, size);
}

char *arena_printf(arena_t *arena, const char *format, ...)
{
    char line[256];  // most texts are shorter: they are made once, not once to be measured and once more
    va_list args;

    assert(format != NULL);
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    assert(length >= 0);
    char *text = arena_alloc(arena, (size_t)length + 1);
    if ((size_t)length < sizeof line)
        return memcpy(text, line, (size_t)length + 1);
    va_start(args, format);
    int written = vsnprintf(text, (size_t)length + 1, format, args);
    va_end(args);
    assert(written == length);
    return text;
}

void *arena_copy(arena_t *arena, const void *bytes, size_t size)
{
    assert(bytes != NULL || size == 0);
    void *copy = arena_alloc(arena, size);
    return size > 0 ? memcpy(copy, bytes, size) : copy;
}

char *arena_text(arena_t *arena, const char *text)
{
    return text != NULL ? arena_copy(arena, text, strlen(text) + 1) : arena_alloc(arena, 1);
}

void arena_reset(arena_t *arena)
{
    assert(arena != NULL);
    while (arena->newest->older != NULL) {
        struct block *gone = arena->newest;
        arena->newest = gone->older;
        block_free(gone);
    }
    ASAN_POISON_MEMORY_REGION(arena->newest->bytes, arena->newest->size);
    arena->newest->used = 0;
    arena->used = 0;
}

size_t arena_used(const arena_t *arena)
{
    assert(arena != NULL);
    return arena->used;
}

ProtobufCAllocator *arena_allocator(arena_t *arena)
{
    struct budget *budget = arena_alloc(arena, sizeof *budget);
    budget->arena = arena;
    budget->left = LIMIT_DECODED_BYTES;
    budget->allocator = (ProtobufCAllocator){
        .alloc = budget_alloc, .free = budget_free, .allocator_data = budget};
    return &budget->allocator;
}
