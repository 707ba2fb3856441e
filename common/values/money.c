// values: money in øre.
#include "values/values.h"

#include <assert.h>
#include <stdio.h>

bool money_valid(int64_t ore)
{
    return ore >= 0 && ore <= MONEY_MAX;
}

bool money_whole(int64_t ore)
{
    return money_valid(ore) && ore % 100 == 0;
}

bool money_add(int64_t *sum, int64_t ore)
{
    int64_t result;

    assert(sum != NULL);
    // A sum that already left the range must not come back into it unseen.
    if (!money_valid(*sum) || __builtin_add_overflow(*sum, ore, &result) || !money_valid(result))
        return false;
    *sum = result;
    return true;
}

char *money_text(arena_t *arena, int64_t ore)
{
    // Negative amounts are not money, but differences are shown by the same function.
    uint64_t amount = ore < 0 ? -(uint64_t)ore : (uint64_t)ore;
    char kroner[32] = "", grouped[48] = "";
    int length = snprintf(kroner, sizeof kroner, "%llu", (unsigned long long)(amount / 100));
    char *to = grouped;

    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            *to++ = ' ';
        *to++ = kroner[i];
    }
    const char *sign = ore < 0 ? "-" : "";
    if (amount % 100 == 0)
        return arena_printf(arena, "%s%s kr", sign, grouped);
    return arena_printf(arena, "%s%s,%02d kr", sign, grouped, (int)(amount % 100));
}
