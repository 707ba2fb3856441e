// Memory that is forgotten at once: its limit, its zeros, its alignment, and what protobuf-c may take of it.
#include "arena/arena.h"
#include "limits/limits.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#define LIMIT (1024 * 1024)

static int with_arena(void **state)
{
    *state = arena_new(LIMIT);
    return 0;
}

static int without_arena(void **state)
{
    arena_t *arena = *state;
    arena_destroy(&arena);
    assert_null(arena);
    arena_destroy(&arena);
    return 0;
}

// Does taking size bytes end the process?
static bool ends_the_process(arena_t *arena, size_t size)
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        arena_alloc(arena, size);
        _exit(0);
    }
    assert_int_equal(child, waitpid(child, &status, 0));
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

static void memory_is_zeroed_also_after_a_reset(void **state)
{
    for (int round = 0; round < 3; round++) {
        for (size_t size = 1; size < 100000; size = size * 3 + 1) {
            uint8_t *bytes = arena_alloc(*state, size);
            assert_true(all_zero(bytes, size));
            memset(bytes, 0xA5, size);
        }
        arena_reset(*state);
    }
}

static void memory_is_aligned_for_any_type(void **state)
{
    for (size_t size = 0; size < 200; size++)
        assert_int_equal(0, (uintptr_t)arena_alloc(*state, size) % _Alignof(max_align_t));
}

static void allocations_never_overlap(void **state)
{
    uint8_t *bytes[500];
    for (size_t i = 0; i < 500; i++)
        memset(bytes[i] = arena_alloc(*state, i), (int)(i % 251), i);
    for (size_t i = 0; i < 500; i++)
        for (size_t n = 0; n < i; n++)
            assert_int_equal(i % 251, bytes[i][n]);
}

static void nothing_still_has_an_address_of_its_own(void **state)
{
    assert_ptr_not_equal(arena_alloc(*state, 0), arena_alloc(*state, 0));
}

static void the_limit_is_reached_but_never_passed(void **state)
{
    // given an arena that is full to the last 16 bytes
    arena_alloc(*state, LIMIT - 16);
    // then what is over the limit ends the process, however the sizes are rounded or wrapped
    static const size_t over[] = {17, 32, LIMIT, SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 16};
    for (size_t i = 0; i < sizeof over / sizeof over[0]; i++)
        assert_true(ends_the_process(*state, over[i]));
    // and what fits does not
    assert_false(ends_the_process(*state, 16));
    arena_alloc(*state, 1);
    assert_int_equal(LIMIT, arena_used(*state));
    assert_true(ends_the_process(*state, 0));
    // and after a reset all of it can be had again
    arena_reset(*state);
    assert_int_equal(0, arena_used(*state));
    arena_alloc(*state, LIMIT);
}

static void text_and_bytes_are_copied(void **state)
{
    char original[] = "kommune";
    char *text = arena_text(*state, original), *bytes = arena_copy(*state, original, 3);
    original[0] = 'K';
    assert_string_equal("kommune", text);
    assert_memory_equal("kom", bytes, 3);
    assert_string_equal("", arena_text(*state, NULL));
    assert_non_null(arena_copy(*state, NULL, 0));
    assert_string_equal("7 of 12", arena_printf(*state, "%d of %s", 7, "12"));
    assert_string_equal("", arena_printf(*state, "%s", ""));
    assert_int_equal(70000, strlen(arena_printf(*state, "%070000d", 1)));
    for (int length = 250; length < 260; length++)
        assert_int_equal(length, strlen(arena_printf(*state, "%0*d", length, 1)));
}

static void an_unpacking_gets_a_budget_and_then_nothing(void **state)
{
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    ProtobufCAllocator *allocator = arena_allocator(arena);
    assert_non_null(allocator->alloc(allocator->allocator_data, LIMIT_DECODED_BYTES - 100));
    assert_null(allocator->alloc(allocator->allocator_data, 101));
    assert_null(allocator->alloc(allocator->allocator_data, SIZE_MAX));
    uint8_t *last = allocator->alloc(allocator->allocator_data, 100);
    assert_true(all_zero(last, 100));
    allocator->free(allocator->allocator_data, last);
    assert_null(allocator->alloc(allocator->allocator_data, 1));
    // The next unpacking has a budget of its own.
    allocator = arena_allocator(arena);
    assert_non_null(allocator->alloc(allocator->allocator_data, LIMIT_DECODED_BYTES));
    arena_destroy(&arena);
    // An arena with less room than the budget gives nothing, and lives.
    allocator = arena_allocator(*state);
    assert_null(allocator->alloc(allocator->allocator_data, LIMIT));
}

#if defined(__SANITIZE_ADDRESS__)
static void a_pointer_kept_too_long_is_found(void **state)
{
    char *kept = arena_text(*state, "kept");
    char *large = arena_alloc(*state, 200000);
    assert_false(__asan_address_is_poisoned(kept + 4));
    assert_true(__asan_address_is_poisoned(kept + 5));  // the byte behind the text
    assert_false(__asan_address_is_poisoned(large));
    arena_reset(*state);
    assert_true(__asan_address_is_poisoned(kept));
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(memory_is_zeroed_also_after_a_reset, with_arena, without_arena),
        cmocka_unit_test_setup_teardown(memory_is_aligned_for_any_type, with_arena, without_arena),
        cmocka_unit_test_setup_teardown(allocations_never_overlap, with_arena, without_arena),
        cmocka_unit_test_setup_teardown(nothing_still_has_an_address_of_its_own, with_arena, without_arena),
        cmocka_unit_test_setup_teardown(the_limit_is_reached_but_never_passed, with_arena, without_arena),
        cmocka_unit_test_setup_teardown(text_and_bytes_are_copied, with_arena, without_arena),
        cmocka_unit_test_setup_teardown(an_unpacking_gets_a_budget_and_then_nothing, with_arena,
                                        without_arena),
#if defined(__SANITIZE_ADDRESS__)
        cmocka_unit_test_setup_teardown(a_pointer_kept_too_long_is_found, with_arena, without_arena),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
