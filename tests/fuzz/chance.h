// chance: a small generator of our own, so that a seed means the same bytes on every machine (splitmix64).
#pragma once

#include <stddef.h>
#include <stdint.h>

static uint64_t chance;  // the seed

static size_t below(size_t limit)
{
    uint64_t z = (chance += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return limit == 0 ? 0 : (size_t)((z ^ (z >> 31)) % limit);
}
