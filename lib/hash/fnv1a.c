/* SPDX-License-Identifier: ISC */
/* fnv1a.c - FNV-1a 64, and digests made of it: see digest.h. */
#include <soma/digest.h>

#include "hash/hash.h"

#define PRIME UINT64_C(0x100000001b3)

uint64_t soma_fnv1a64(const void *data, size_t len, uint64_t state)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i++)
        state = (state ^ bytes[i]) * PRIME;
    return state;
}

uint64_t soma__fnv1a64_word(uint64_t word, uint64_t state)
{
    for (unsigned i = 0; i < sizeof word; i++, word >>= 8)
        state = (state ^ (word & 0xff)) * PRIME;
    return state;
}

/* The finisher of MurmurHash3 (Appleby). */
static uint64_t finish(uint64_t x)
{
    x = (x ^ x >> 33) * UINT64_C(0xff51afd7ed558ccd);
    x = (x ^ x >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

void soma__digest_lanes(const uint64_t key[2], uint64_t fnv, uint64_t lanes[2])
{
    lanes[0] = finish(fnv + key[0]);
    lanes[1] = finish((fnv << 32 | fnv >> 32) ^ key[1]);
}

bool soma_digest_equal(const struct soma_digest *a, const struct soma_digest *b)
{
    return a->lane[0] == b->lane[0] && a->lane[1] == b->lane[1] && a->count == b->count;
}

struct soma_digest soma_digest_combine(const struct soma_digest *a, const struct soma_digest *b)
{
    return (struct soma_digest){.lane = {a->lane[0] + b->lane[0], a->lane[1] + b->lane[1]},
                                .count = a->count + b->count};
}
