/* SPDX-License-Identifier: ISC */
/* key.h - what the keys under measurement are: words, or with PEER_STRINGS short texts. Adapters are written once and
 * compiled for either. */
#ifndef PERF_KEY_H
#define PERF_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "support/bytes.h"
#include "support/rng.h"

#ifdef PEER_STRINGS

#define TEXT_MOST 28

/* 20 to 27 bytes. Peers keep them in place, behind no pointer, all of one size. */
struct text {
    uint32_t len;
    char at[TEXT_MOST];
};
typedef struct text peer_key;

/* Sixteen letters that stand for a word. */
static inline void text_of_word(char *at, uint64_t word)
{
    const uint64_t halves[2] = {(word & UINT64_C(0x0f0f0f0f0f0f0f0f)) + UINT64_C(0x6161616161616161),
                                (word >> 4 & UINT64_C(0x0f0f0f0f0f0f0f0f)) + UINT64_C(0x6161616161616161)};
    memcpy(at, halves, sizeof halves);
}

/* Different indexes are different keys: a few letters that many keys share, then the index, scattered. */
static inline peer_key peer_key_at(uint64_t index)
{
    const uint64_t word = key_at(index);
    const uint32_t shared = 4 + (uint32_t)(word >> 61);
    peer_key key;
    memset(&key, 0, sizeof key);
    memcpy(key.at, "user:name:", 10);
    text_of_word(key.at + shared, word);
    key.len = shared + 16;
    return key;
}

static inline uint64_t peer_key_hash(const peer_key *key)
{
    return bytes_hash(key->at, key->len);
}

static inline bool peer_key_equal(const peer_key *a, const peer_key *b)
{
    return a->len == b->len && memcmp(a->at, b->at, a->len) == 0;
}

/* The value that belongs to a key. */
static inline uint64_t peer_value_of(const peer_key *key)
{
    uint64_t halves[2];
    memcpy(halves, key->at + key->len - sizeof halves, sizeof halves);
    return value_of(halves[0] ^ halves[1] << 4);
}

#else

typedef uint64_t peer_key;

static inline peer_key peer_key_at(uint64_t index)
{
    return key_at(index);
}

/* The cheapest hash that spreads keys of any kind, high bits into low ones. */
static inline uint64_t peer_key_hash(const peer_key *key)
{
    const uint64_t product = *key * UINT64_C(0x9e3779b97f4a7c15);
    return product ^ product >> 32;
}

static inline bool peer_key_equal(const peer_key *a, const peer_key *b)
{
    return *a == *b;
}

static inline uint64_t peer_value_of(const peer_key *key)
{
    return value_of(*key);
}

#endif

#endif
