/* SPDX-License-Identifier: ISC */
/* rng.h - the stream of keys and the order of accesses; the same for every map that is measured. */
#ifndef PERF_RNG_H
#define PERF_RNG_H

#include <stdint.h>

/* SplitMix64 (Steele, Lea, Flood 2014): a permutation of the 64-bit words, so different indexes are different keys. */
static inline uint64_t key_at(uint64_t index)
{
    uint64_t z = (index + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* The value that belongs to a key: a function of it, so that whoever reads a value can tell whether it is right. */
static inline uint64_t value_of(uint64_t key)
{
    return ~key;
}

/* xorshift64* (Vigna 2014). The state must not be 0: start it from key_at() of anything. */
static inline uint64_t rng_next(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

/* Below n, which is at most 2^32; a multiplication in place of a division. */
static inline uint64_t rng_below(uint64_t *state, uint64_t n)
{
    return (rng_next(state) >> 32) * n >> 32;
}

#endif
