/* SPDX-License-Identifier: ISC */
/* bits.h - small questions about 64-bit words. */
#ifndef SOMA_BASE_BITS_H
#define SOMA_BASE_BITS_H

#include <stdint.h>

#include "base/attr.h"

/* The number of zero bits below the lowest one; x must not be 0. */
ALWAYS_INLINE unsigned bits_trailing(uint64_t x)
{
    return (unsigned)__builtin_ctzll(x);
}

/* The number of zero bits above the highest one; x must not be 0. */
ALWAYS_INLINE unsigned bits_leading(uint64_t x)
{
    return (unsigned)__builtin_clzll(x);
}

/* The smallest n with 2^n >= x; x from 1 to 2^63. */
ALWAYS_INLINE unsigned bits_log2_ceil(uint64_t x)
{
    return x <= 1 ? 0 : 64 - bits_leading(x - 1);
}

/* x of 2^64, scaled to n: the high half of their product, which is below n. */
ALWAYS_INLINE uint64_t bits_scale(uint64_t x, uint64_t n)
{
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)((wide)x * n >> 64);
}

/* Writes the word's lowest bytes, the lowest first. */
ALWAYS_INLINE void bits_put_little(unsigned char *to, uint64_t word, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        to[i] = (unsigned char)(word >> 8 * i);
}

#endif
