/* SPDX-License-Identifier: ISC */
/* fnv1a.c - FNV-1a 64, and digests made of it: see digest.h. */
#include <soma/digest.h>

#include "hash/hash.h"

uint64_t soma_fnv1a64(const void *data, size_t len, uint64_t state)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i++)
        state = (state ^ bytes[i]) * FNV1A64_PRIME;
    return state;
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
