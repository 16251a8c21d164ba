/* SPDX-License-Identifier: ISC */
/* hash.c - the room hash/: published vectors, inverses, and that no simple set of keys falls into few buckets. */
#include <criterion/criterion.h>

#include <stdlib.h>

#include "hash/hash.h"

/* ---- SipHash: the first, some middle and the last of the 64 vectors that its authors publish for SipHash-2-4, with
 * the key 00 01 .. 0f and the message 00 01 .. (n - 1) ---- */

static const struct {
    size_t len;
    uint64_t hash;
} published[] = {
    {0, UINT64_C(0x726fdb47dd0e0e31)},  {1, UINT64_C(0x74f839c593dc67fd)},  {2, UINT64_C(0x0d6c8009d9a94f5a)},
    {3, UINT64_C(0x85676696d7fb7e2d)},  {4, UINT64_C(0xcf2794e0277187b7)},  {5, UINT64_C(0x18765564cd99a68d)},
    {6, UINT64_C(0xcbc9466e58fee3ce)},  {7, UINT64_C(0xab0200f58b01d137)},  {8, UINT64_C(0x93f5f5799a932462)},
    {9, UINT64_C(0x9e0082df0ba9e4b0)},  {10, UINT64_C(0x7a5dbbc594ddb9f3)}, {11, UINT64_C(0xf4b32f46226bada7)},
    {12, UINT64_C(0x751e8fbc860ee5fb)}, {13, UINT64_C(0x14ea5627c0843d90)}, {14, UINT64_C(0xf723ca908e7af2ee)},
    {15, UINT64_C(0xa129ca6149be45e5)}, {63, UINT64_C(0x958a324ceb064572)},
};

static const uint64_t vector_key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};

Test(siphash, meets_the_published_vectors)
{
    unsigned char message[64];
    for (unsigned i = 0; i < sizeof message; i++)
        message[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++)
        cr_assert_eq(soma__siphash24(vector_key, message, published[i].len), published[i].hash, "length %zu",
                     published[i].len);
}

/* The message's word at `at`, byte by byte; behind its end the length, as section 2 of the paper pads it. */
static uint64_t padded_word(const unsigned char *message, size_t len, size_t at)
{
    uint64_t word = 0;
    for (size_t i = 0; i < 8; i++) {
        const size_t place = at + i;
        const uint64_t byte = place < len ? message[place] : i == 7 ? len & 0xff : 0;
        word |= byte << (8 * i);
    }
    return word;
}

static void plain_turn(uint64_t *word, unsigned left)
{
    *word = *word << left | *word >> (64 - left);
}

static void plain_round(uint64_t v[4])
{
    for (int half = 0; half < 2; half++) {
        uint64_t *one = &v[half * 2];
        uint64_t *other = &v[2 - half * 2];
        *one += v[1];
        *other += v[3];
        plain_turn(&v[1], half == 0 ? 13 : 17);
        plain_turn(&v[3], half == 0 ? 16 : 21);
        v[1] ^= *one;
        v[3] ^= *other;
        plain_turn(one, 32);
    }
}

/* SipHash-c-d as the paper has it, word by word. */
static uint64_t plain_siphash(const unsigned char *message, size_t len, int c, int d)
{
    uint64_t v[4] = {vector_key[0] ^ UINT64_C(0x736f6d6570736575), vector_key[1] ^ UINT64_C(0x646f72616e646f6d),
                     vector_key[0] ^ UINT64_C(0x6c7967656e657261), vector_key[1] ^ UINT64_C(0x7465646279746573)};
    for (size_t at = 0; at <= len; at += 8) {
        const uint64_t word = padded_word(message, len, at);
        v[3] ^= word;
        for (int i = 0; i < c; i++)
            plain_round(v);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    for (int i = 0; i < d; i++)
        plain_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* Each length has the message at the end of its piece of memory, so that the address sanitizer sees a read beyond it, and
 * bytes before it that must not matter. */
Test(siphash, of_every_short_length_is_the_papers)
{
    for (size_t len = 0; len <= 300; len++) {
        unsigned char *space = malloc(len + 16);
        cr_assert_not_null(space);
        for (size_t i = 0; i < len + 16; i++)
            space[i] = (unsigned char)(i * 167 + len);
        const unsigned char *message = space + 16;
        cr_assert_eq(soma__siphash13(vector_key, message, len), plain_siphash(message, len, 1, 3), "length %zu", len);
        cr_assert_eq(soma__siphash24(vector_key, message, len), plain_siphash(message, len, 2, 4), "length %zu", len);
        free(space);
    }
}

Test(siphash, does_not_mind_alignment_or_null)
{
    unsigned char space[80];
    for (size_t shift = 0; shift < 8; shift++) {
        for (size_t i = 0; i < 64; i++)
            space[shift + i] = (unsigned char)i;
        cr_assert_eq(soma__siphash24(vector_key, space + shift, 63), UINT64_C(0x958a324ceb064572));
    }
    cr_assert_eq(soma__siphash13(vector_key, NULL, 0), soma__siphash13(vector_key, space, 0));
}

Test(siphash, short_form_differs_by_key_length_and_byte)
{
    const uint64_t other_key[2] = {vector_key[0], vector_key[1] ^ 1};
    unsigned char zeros[256] = {0};
    for (size_t len = 0; len < sizeof zeros; len++) {
        const uint64_t hash = soma__siphash13(vector_key, zeros, len);
        cr_assert_neq(hash, soma__siphash13(vector_key, zeros, len + 1 < sizeof zeros ? len + 1 : 0));
        cr_assert_neq(hash, soma__siphash13(other_key, zeros, len));
        if (len == 0)
            continue;
        zeros[len - 1] = 1;
        cr_assert_neq(hash, soma__siphash13(vector_key, zeros, len));
        zeros[len - 1] = 0;
    }
}

/* ---- The word mixer ---- */

static uint64_t step(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state ^ *state >> 29;
}

Test(mix, is_inverted_by_its_inverse)
{
    const uint64_t edges[] = {0, 1, 2, UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 63, UINT64_C(1) << 32};
    uint64_t state = 1;
    for (int seeds = 0; seeds < 200; seeds++) {
        struct soma__mix mix;
        const uint64_t seed[2] = {step(&state), step(&state)};
        soma__mix_init(&mix, seed);
        for (size_t i = 0; i < 100 + sizeof edges / sizeof edges[0]; i++) {
            const uint64_t word = i < sizeof edges / sizeof edges[0] ? edges[i] : step(&state);
            cr_assert_eq(soma__mix_inverse(&mix, soma__mix_hash(&mix, word)), word);
            cr_assert_eq(soma__mix_hash(&mix, soma__mix_inverse(&mix, word)), word);
        }
    }
}

Test(mix, differs_by_seed)
{
    struct soma__mix one, other;
    soma__mix_init(&one, (const uint64_t[2]){1, 2});
    soma__mix_init(&other, (const uint64_t[2]){2, 1});
    int same = 0;
    for (uint64_t key = 0; key < 1000; key++)
        same += soma__mix_hash(&one, key) == soma__mix_hash(&other, key);
    cr_assert_leq(same, 1);
}

/* The longest chain when 2^16 keys go into 2^16 buckets by their top bits. Random keys give 8 or 9; a bad hash gives
 * thousands. */
static unsigned longest_chain(const struct soma__mix *mix, uint64_t first, uint64_t stride)
{
    static unsigned char chains[1 << 16];
    unsigned longest = 0;
    for (size_t i = 0; i < sizeof chains; i++)
        chains[i] = 0;
    for (uint64_t i = 0; i < sizeof chains; i++) {
        unsigned char *chain = &chains[soma__mix_hash(mix, first + i * stride) >> 48];
        *chain = *chain == 255 ? 255 : (unsigned char)(*chain + 1);
        longest = *chain > longest ? *chain : longest;
    }
    return longest;
}

Test(mix, spreads_progressions_over_the_top_bits)
{
    uint64_t state = 7;
    for (int seeds = 0; seeds < 20; seeds++) {
        struct soma__mix mix;
        const uint64_t seed[2] = {step(&state), step(&state)};
        soma__mix_init(&mix, seed);
        for (unsigned shift = 0; shift < 48; shift += 3)
            cr_assert_lt(longest_chain(&mix, step(&state), UINT64_C(1) << shift), 40, "stride 2^%u", shift);
    }
}

Test(seed, differs_each_time)
{
    uint64_t one[2] = {0, 0};
    uint64_t other[2] = {0, 0};
    soma__seed_random(one);
    soma__seed_random(other);
    cr_assert(one[0] != other[0] && one[1] != other[1]);
    cr_assert(one[0] != 0 && one[1] != 0);
}
