// arena: memory that lives exactly as long as one message (or one batch of messages).
//
// Nothing taken from an arena is ever freed by itself; arena_reset forgets it all at once. What must live
// longer goes to the database or onto the bus.
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct arena arena_t;

// Make an arena that hands out at most limit bytes between two resets. Never NULL; owned by the caller.
arena_t *arena_new(size_t limit);

// Destroy the arena and everything in it; sets the caller's pointer to NULL. NULL is allowed.
void arena_destroy(arena_t **arena_p);

// Take size bytes, zeroed, aligned for any type. Going over the limit ends the process with a sentence.
void *arena_alloc(arena_t *arena, size_t size) __attribute__((returns_nonnull));

// Format a string into the arena.
char *arena_printf(arena_t *arena, const char *format, ...) __attribute__((format(printf, 2, 3), returns_nonnull));

// Copy size bytes (arena_copy) or a C string (arena_text; NULL becomes "") into the arena.
void *arena_copy(arena_t *arena, const void *bytes, size_t size);
char *arena_text(arena_t *arena, const char *text);

// Forget everything, keep the first block for the next message. Under AddressSanitizer the forgotten memory
// is poisoned, so a pointer that was kept too long is found.
void arena_reset(arena_t *arena);

// Bytes handed out since the last reset.
size_t arena_used(const arena_t *arena);

// An allocator for protobuf-c that takes zeroed memory from the arena, at most LIMIT_DECODED_BYTES for each
// call of this function, and then returns NULL, so that unpacking fails instead of growing. Its free does nothing.
ProtobufCAllocator *arena_allocator(arena_t *arena);
