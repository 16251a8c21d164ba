/* SPDX-License-Identifier: ISC */
/* strong.c - strong digests: see strong.h. The one file that knows libsodium; without it, all that there is are refusals. */
#include <soma/strong.h>

#include <string.h>

#include <soma_config.h>

#include "base/bits.h"
#include "base/check.h"
#include "hash/hash.h"

_Static_assert(STRONG_LANES == SOMA_DIGEST_STRONG_LANES, "one number of lanes");

bool soma_digest_strong_equal(const struct soma_digest_strong *a, const struct soma_digest_strong *b)
{
    return a->count == b->count && memcmp(a->lane, b->lane, sizeof a->lane) == 0;
}

void soma_digest_strong_combine(const struct soma_digest_strong *a, const struct soma_digest_strong *b,
                                struct soma_digest_strong *out)
{
    for (unsigned i = 0; i < STRONG_LANES; i++)
        out->lane[i] = (uint16_t)(a->lane[i] + b->lane[i]);
    out->count = a->count + b->count;
}

#if HAVE_STRONG

#include <sodium.h>

typedef crypto_generichash_blake2b_state state;

/* What each use of the hash is for, so that none passes for another. */
#define FOR_WORDS "soma entry words"
#define FOR_BYTES "soma entry bytes"
#define FOR_LANES "soma entry lanes"
#define FOR_HASH "soma digest hash"

_Static_assert(sizeof FOR_WORDS == crypto_generichash_blake2b_PERSONALBYTES + 1, "and a zero that is not used");

#define BLOCK crypto_generichash_blake2b_BYTES_MAX
#define BLOCK_LANES (BLOCK / 2)
#define BLOCKS (STRONG_LANES / BLOCK_LANES)

/* Picks what suits the processor; hashing needs nothing else of it. */
enum soma_status soma__strong_status(void)
{
    return sodium_init() >= 0 ? SOMA_OK : SOMA_E_UNSUPPORTED;
}

/* libsodium fails only where lengths are wrong; these are constant. */
static void start(state *hash, const unsigned char *key, size_t key_len, size_t len, const char *use)
{
    (void)crypto_generichash_blake2b_init_salt_personal(hash, key, key_len, len, NULL, (const unsigned char *)use);
}

static void absorb(state *hash, const void *data, size_t len)
{
    if (len > 0)
        (void)crypto_generichash_blake2b_update(hash, data, len);
}

static void absorb_word(state *hash, uint64_t word)
{
    unsigned char bytes[8];
    bits_put_little(bytes, word, 8);
    absorb(hash, bytes, sizeof bytes);
}

static void start_entry(state *hash, const uint64_t digest_key[2], const char *use)
{
    unsigned char key[16];
    bits_put_little(key, digest_key[0], 8);
    bits_put_little(key + 8, digest_key[1], 8);
    start(hash, key, sizeof key, BLOCK, use);
}

/* Ends an entry's hash, which is the seed of its numbers. */
static void add_entry(state *hash, uint16_t lanes[STRONG_LANES])
{
    unsigned char seed[BLOCK];
    unsigned char block[BLOCK];
    (void)crypto_generichash_blake2b_final(hash, seed, sizeof seed);
    for (size_t b = 0; b < BLOCKS; b++) {
        start(hash, NULL, 0, BLOCK, FOR_LANES);
        absorb(hash, seed, sizeof seed);
        absorb_word(hash, b);
        (void)crypto_generichash_blake2b_final(hash, block, sizeof block);
        for (size_t i = 0; i < BLOCK_LANES; i++) {
            const unsigned number = block[2 * i] | (unsigned)block[2 * i + 1] << 8;
            uint16_t *lane = &lanes[b * BLOCK_LANES + i];
            *lane = (uint16_t)(*lane + number);
        }
    }
}

void soma__strong_add_words(const uint64_t digest_key[2], uint64_t key, uint64_t value, uint16_t lanes[STRONG_LANES])
{
    state hash;
    start_entry(&hash, digest_key, FOR_WORDS);
    absorb_word(&hash, key);
    absorb_word(&hash, value);
    add_entry(&hash, lanes);
}

void soma__strong_add_bytes(const uint64_t digest_key[2], const void *key, size_t key_len, const void *value,
                            size_t value_len, uint16_t lanes[STRONG_LANES])
{
    state hash;
    start_entry(&hash, digest_key, FOR_BYTES);
    absorb_word(&hash, key_len);
    absorb(&hash, key, key_len);
    absorb_word(&hash, value_len);
    absorb(&hash, value, value_len);
    add_entry(&hash, lanes);
}

enum soma_status soma_digest_strong_hash(const struct soma_digest_strong *digest,
                                         unsigned char out[SOMA_DIGEST_STRONG_HASH])
{
    if (!digest || !out) {
        MISUSE("digest or out is NULL");
        return SOMA_E_INVALID;
    }
    state hash;
    start(&hash, NULL, 0, SOMA_DIGEST_STRONG_HASH, FOR_HASH);
    for (unsigned i = 0; i < STRONG_LANES; i++) {
        const unsigned char bytes[2] = {(unsigned char)digest->lane[i], (unsigned char)(digest->lane[i] >> 8)};
        absorb(&hash, bytes, sizeof bytes);
    }
    absorb_word(&hash, digest->count);
    (void)crypto_generichash_blake2b_final(&hash, out, SOMA_DIGEST_STRONG_HASH);
    return SOMA_OK;
}

#else

enum soma_status soma__strong_status(void)
{
    return SOMA_E_UNSUPPORTED;
}

/* No map asks for these, since none could be made. */
void soma__strong_add_words(const uint64_t digest_key[2], uint64_t key, uint64_t value, uint16_t lanes[STRONG_LANES])
{
    (void)digest_key, (void)key, (void)value, (void)lanes;
}

void soma__strong_add_bytes(const uint64_t digest_key[2], const void *key, size_t key_len, const void *value,
                            size_t value_len, uint16_t lanes[STRONG_LANES])
{
    (void)digest_key, (void)key, (void)key_len, (void)value, (void)value_len, (void)lanes;
}

enum soma_status soma_digest_strong_hash(const struct soma_digest_strong *digest,
                                         unsigned char out[SOMA_DIGEST_STRONG_HASH])
{
    if (!digest || !out) {
        MISUSE("digest or out is NULL");
        return SOMA_E_INVALID;
    }
    return SOMA_E_UNSUPPORTED;
}

#endif
