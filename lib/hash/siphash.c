/* SPDX-License-Identifier: ISC */
/* siphash.c - SipHash-c-d (Aumasson & Bernstein, "SipHash: a fast short-input PRF", 2012), section 2. */
#include <stdint.h>
#include <string.h>

#include "hash/hash.h"

struct state {
    uint64_t v0, v1, v2, v3;
};

ALWAYS_INLINE uint64_t rotate(uint64_t x, unsigned left)
{
    return x << left | x >> (64 - left);
}

ALWAYS_INLINE uint64_t little_endian(uint64_t x)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap64(x);
#else
    return x;
#endif
}

ALWAYS_INLINE void rounds(struct state *s, int n)
{
    while (n-- > 0) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotate(s->v1, 13) ^ s->v0;
        s->v3 = rotate(s->v3, 16) ^ s->v2;
        s->v0 = rotate(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = rotate(s->v1, 17) ^ s->v2;
        s->v3 = rotate(s->v3, 21) ^ s->v0;
        s->v2 = rotate(s->v2, 32);
    }
}

ALWAYS_INLINE void absorb(struct state *s, uint64_t word, int compressions)
{
    s->v3 ^= word;
    rounds(s, compressions);
    s->v0 ^= word;
}

ALWAYS_INLINE uint64_t eight_bytes(const unsigned char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return little_endian(word);
}

ALWAYS_INLINE uint64_t four_bytes(const unsigned char *at)
{
    uint32_t half;
    memcpy(&half, at, sizeof half);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    half = __builtin_bswap32(half);
#endif
    return half;
}

/* Fewer than 8 bytes, the first one lowest. Pieces overlap, so that no loop runs for each byte. */
ALWAYS_INLINE uint64_t few_bytes(const unsigned char *at, size_t len)
{
    if (len >= 4)
        return four_bytes(at) | four_bytes(at + len - 4) << (8 * (len - 4));
    if (len == 0)
        return 0;
    return at[0] | (uint64_t)at[len / 2] << (8 * (len / 2)) | (uint64_t)at[len - 1] << (8 * (len - 1));
}

/* The last word: up to 7 bytes of tail, and the length modulo 256 in the top byte. The tail of what has 8 bytes is the
 * upper part of its last 8: shifted by those before it, which may be all 8, so in two steps. */
ALWAYS_INLINE uint64_t last_word(const unsigned char *bytes, size_t len)
{
    const uint64_t tail = len >= 8 ? eight_bytes(bytes + len - 8) >> 1 >> (~(8 * len) & 63) : few_bytes(bytes, len);
    return tail | (uint64_t)len << 56;
}

ALWAYS_INLINE uint64_t siphash(const uint64_t key[2], const void *data, size_t len, int compressions, int finals)
{
    struct state s = {key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
                      key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)};
    const unsigned char *bytes = data;
    const size_t whole = len & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8)
        absorb(&s, eight_bytes(bytes + i), compressions);
    absorb(&s, last_word(bytes, len), compressions);
    s.v2 ^= 0xff;
    rounds(&s, finals);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t soma__siphash13(const uint64_t key[2], const void *data, size_t len)
{
    return siphash(key, data, len, 1, 3);
}

uint64_t soma__siphash24(const uint64_t key[2], const void *data, size_t len)
{
    return siphash(key, data, len, 2, 4);
}
