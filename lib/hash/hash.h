/* SPDX-License-Identifier: ISC */
/* hash.h - from keys to 64-bit hashes, seeded per map.
 *
 * Words: an invertible mixer, so the stored hash is the key. h = ((x ^ s) * a), h ^= h >> 32, h *= b with s and odd
 * a, b from the seed. One odd multiplication already spreads any fixed set of keys over the top bits almost
 * universally (Dietzfelbinger et al. 1997: two keys share the top m bits with probability at most 2^(1-m) over a); the
 * second round lets the low half of the product reach the top, so that keys in arithmetic progression spread too. The
 * top bits are the good ones, and they are the ones that buckets use.
 *
 * Bytes: SipHash-1-3 (Aumasson & Bernstein 2012), a keyed pseudorandom function: who does not know the key cannot
 * choose keys that collide.
 */
#ifndef SOMA_HASH_HASH_H
#define SOMA_HASH_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <soma/digest.h>
#include <soma/status.h>

#include "base/attr.h"

struct soma__mix {
    uint64_t salt;
    uint64_t first;  /* odd */
    uint64_t second; /* odd */
};

ALWAYS_INLINE uint64_t soma__mix_hash(const struct soma__mix *mix, uint64_t key)
{
    uint64_t h = (key ^ mix->salt) * mix->first;
    h ^= h >> 32;
    return h * mix->second;
}

/* Sets a mixer up from a seed. Any seed will do; different seeds give different mixers. */
void soma__mix_init(struct soma__mix *mix, const uint64_t seed[2]);

/* The key with this hash. Not for hot paths: it divides out both factors. */
uint64_t soma__mix_inverse(const struct soma__mix *mix, uint64_t hash);

/* SipHash-1-3 of len bytes under a 128-bit key. */
uint64_t soma__siphash13(const uint64_t key[2], const void *data, size_t len);

/* SipHash-2-4, for which its authors published vectors; it shares all code with the above, so that they test both. */
uint64_t soma__siphash24(const uint64_t key[2], const void *data, size_t len);

/* ---- Digests: see digest.h. Inline, since each is a chain of multiplications, and chains side by side cost little more
 * than one ---- */

#define FNV1A64_PRIME UINT64_C(0x100000001b3)

/* FNV-1a 64 over a word's bytes, the lowest first. */
ALWAYS_INLINE uint64_t soma__fnv1a64_word(uint64_t word, uint64_t state)
{
    for (unsigned i = 0; i < sizeof word; i++, word >>= 8)
        state = (state ^ (word & 0xff)) * FNV1A64_PRIME;
    return state;
}

/* Over a word map's entry. */
ALWAYS_INLINE uint64_t soma__fnv1a64_words(uint64_t key, uint64_t value)
{
    return soma__fnv1a64_word(value, soma__fnv1a64_word(key, SOMA_FNV1A64_BASIS));
}

/* Over a byte string behind its length; over a byte map's entry: over the key, then from there over the value. */
ALWAYS_INLINE uint64_t soma__fnv1a64_bytes(const void *data, size_t len, uint64_t state)
{
    return soma_fnv1a64(data, len, soma__fnv1a64_word(len, state));
}

/* The finisher of MurmurHash3 (Appleby). */
ALWAYS_INLINE uint64_t soma__digest_finish(uint64_t x)
{
    x = (x ^ x >> 33) * UINT64_C(0xff51afd7ed558ccd);
    x = (x ^ x >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

/* An entry's part of a digest, from FNV-1a 64 over the entry. */
ALWAYS_INLINE void soma__digest_lanes(const uint64_t key[2], uint64_t fnv, uint64_t lanes[2])
{
    lanes[0] = soma__digest_finish(fnv + key[0]);
    lanes[1] = soma__digest_finish((fnv << 32 | fnv >> 32) ^ key[1]);
}

/* To what a digest changes by, such an entry comes (sign 1) or goes (-1). */
ALWAYS_INLINE void soma__digest_add(const uint64_t key[2], uint64_t fnv, uint64_t sign, uint64_t change[2])
{
    uint64_t lanes[2];
    soma__digest_lanes(key, fnv, lanes);
    change[0] += lanes[0] * sign;
    change[1] += lanes[1] * sign;
}

/* What soma_digest_combine() has added to b to get a. */
ALWAYS_INLINE struct soma_digest soma__digest_less(struct soma_digest a, struct soma_digest b)
{
    return (struct soma_digest){.lane = {a.lane[0] - b.lane[0], a.lane[1] - b.lane[1]}, .count = a.count - b.count};
}

/* ---- Strong digests: see strong.h. Each entry's words are added to all lanes ---- */

#define STRONG_LANES 1024

/* SOMA_OK, or SOMA_E_UNSUPPORTED: this build has none, or the library behind them does not work. */
enum soma_status soma__strong_status(void);

void soma__strong_add_words(const uint64_t digest_key[2], uint64_t key, uint64_t value, uint16_t lanes[STRONG_LANES]);
void soma__strong_add_bytes(const uint64_t digest_key[2], const void *key, size_t key_len, const void *value,
                            size_t value_len, uint16_t lanes[STRONG_LANES]);

/* ---- Prefixes: ranges of hashes that begin with the same bits ---- */

ALWAYS_INLINE bool soma__prefix_ok(unsigned bits, uint64_t prefix)
{
    return bits <= 64 && (bits == 64 || prefix >> bits == 0);
}

ALWAYS_INLINE uint64_t soma__prefix_first(unsigned bits, uint64_t prefix)
{
    return bits == 0 ? 0 : prefix << (64 - bits);
}

ALWAYS_INLINE uint64_t soma__prefix_last(unsigned bits, uint64_t prefix)
{
    return bits == 64 ? prefix : soma__prefix_first(bits, prefix) | UINT64_MAX >> bits;
}

/* A seed nobody can guess, as far as the system can give one: getrandom(), else addresses and clocks. */
void soma__seed_random(uint64_t seed[2]);

#endif
