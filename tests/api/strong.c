/* SPDX-License-Identifier: ISC */
/* strong.c - strong digests against a second computation of their own: BLAKE2b written down from RFC 7693, and plain sums of the
 * entries that were put in. Both kinds of map, whatever their seeds and histories; parts, short forms, statuses. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#define LANES SOMA_DIGEST_STRONG_LANES
#define KEYS 40

#if SOMA_TEST_STRONG

static const uint64_t digest_key[2] = {4711, UINT64_C(0xf00dfeed12345678)};
static const uint64_t no_key[2] = {0, 0};

/* ---- BLAKE2b, of up to a kilobyte at once ---- */

static const uint64_t blake_start[8] = {
    UINT64_C(0x6a09e667f3bcc908), UINT64_C(0xbb67ae8584caa73b), UINT64_C(0x3c6ef372fe94f82b),
    UINT64_C(0xa54ff53a5f1d36f1), UINT64_C(0x510e527fade682d1), UINT64_C(0x9b05688c2b3e6c1f),
    UINT64_C(0x1f83d9abfb41bd6b), UINT64_C(0x5be0cd19137e2179),
};

static const unsigned char blake_order[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static uint64_t word_at(const unsigned char *bytes)
{
    uint64_t word = 0;
    for (unsigned i = 8; i-- > 0;)
        word = word << 8 | bytes[i];
    return word;
}

static uint64_t turned(uint64_t x, unsigned right)
{
    return x >> right | x << (64 - right);
}

static void blake_mix(uint64_t v[16], unsigned a, unsigned b, unsigned c, unsigned d, uint64_t x, uint64_t y)
{
    v[a] += v[b] + x;
    v[d] = turned(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = turned(v[b] ^ v[c], 24);
    v[a] += v[b] + y;
    v[d] = turned(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = turned(v[b] ^ v[c], 63);
}

static void blake_block(uint64_t h[8], const unsigned char block[128], uint64_t done, bool last)
{
    uint64_t v[16];
    memcpy(v, h, 64);
    memcpy(v + 8, blake_start, 64);
    v[12] ^= done;
    v[14] ^= last ? UINT64_MAX : 0;
    for (unsigned round = 0; round < 12; round++) {
        const unsigned char *order = blake_order[round % 10];
        for (unsigned i = 0; i < 8; i++) {
            const unsigned b = i < 4 ? 4 + i : 4 + (i + 1) % 4;
            const unsigned c = i < 4 ? 8 + i : 8 + (i + 2) % 4;
            const unsigned d = i < 4 ? 12 + i : 12 + (i + 3) % 4;
            blake_mix(v, i % 4, b, c, d, word_at(block + 8 * order[2 * i]), word_at(block + 8 * order[2 * i + 1]));
        }
    }
    for (unsigned i = 0; i < 8; i++)
        h[i] ^= v[i] ^ v[i + 8];
}

/* With a key of 16 bytes, or NULL. */
static void blake(const unsigned char *key, const char *use, const unsigned char *data, size_t len, unsigned char *out,
                  unsigned out_len)
{
    unsigned char message[128 * 20] = {0};
    size_t all = len;
    if (key) {
        memcpy(message, key, 16);
        all += 128;
    }
    memcpy(message + all - len, data, len);
    uint64_t h[8];
    memcpy(h, blake_start, sizeof h);
    h[0] ^= 0x01010000 ^ (key ? 16 << 8 : 0) ^ out_len;
    h[6] ^= word_at((const unsigned char *)use);
    h[7] ^= word_at((const unsigned char *)use + 8);
    size_t done = 0;
    for (; done + 128 < all; done += 128)
        blake_block(h, message + done, done + 128, false);
    blake_block(h, message + done, all, true);
    for (unsigned i = 0; i < out_len; i++)
        out[i] = (unsigned char)(h[i / 8] >> (8 * (i % 8)));
}

/* ---- Strong digests ---- */

static void put_word(unsigned char *at, uint64_t word)
{
    for (unsigned i = 0; i < 8; i++)
        at[i] = (unsigned char)(word >> (8 * i));
}

static void expect_entry(const uint64_t key[2], const char *use, const unsigned char *entry, size_t len,
                         struct soma_digest_strong *sum)
{
    unsigned char key_bytes[16];
    unsigned char seed[72];
    unsigned char block[64];
    put_word(key_bytes, key[0]);
    put_word(key_bytes + 8, key[1]);
    blake(key_bytes, use, entry, len, seed, 64);
    for (unsigned i = 0; i < LANES; i++) {
        if (i % 32 == 0) {
            put_word(seed + 64, i / 32);
            blake(NULL, "soma entry lanes", seed, sizeof seed, block, 64);
        }
        sum->lane[i] = (uint16_t)(sum->lane[i] + block[i % 32 * 2] + 256 * block[i % 32 * 2 + 1]);
    }
    sum->count++;
}

static void expect_words(const uint64_t with[2], uint64_t key, uint64_t value, struct soma_digest_strong *sum)
{
    unsigned char entry[16];
    put_word(entry, key);
    put_word(entry + 8, value);
    expect_entry(with, "soma entry words", entry, sizeof entry, sum);
}

static void expect_bytes(const uint64_t with[2], const void *key, size_t key_len, const void *value, size_t value_len,
                         struct soma_digest_strong *sum)
{
    unsigned char entry[1024];
    put_word(entry, key_len);
    memcpy(entry + 8, key, key_len);
    put_word(entry + 8 + key_len, value_len);
    memcpy(entry + 16 + key_len, value, value_len);
    expect_entry(with, "soma entry bytes", entry, 16 + key_len + value_len, sum);
}

/* ---- Maps ---- */

static soma_u64 *words_with(unsigned flags)
{
    soma_u64 *map = NULL;
    const struct soma_u64_options options = {.flags = flags, .digest_key = {digest_key[0], digest_key[1]}};
    cr_assert_eq(soma_u64_new(&options, &map), SOMA_OK);
    return map;
}

static soma_map *bytes_with(unsigned flags)
{
    soma_map *map = NULL;
    const struct soma_map_options options = {.flags = flags, .digest_key = {digest_key[0], digest_key[1]}};
    cr_assert_eq(soma_map_new(&options, &map), SOMA_OK);
    return map;
}

static struct soma_digest_strong of_view(soma_view *view)
{
    struct soma_digest_strong digest;
    cr_assert_eq(soma_view_digest_strong(view, &digest), SOMA_OK);
    soma_view_close(view);
    return digest;
}

static struct soma_digest_strong of_words(soma_u64 *map)
{
    soma_view *view = NULL;
    cr_assert_eq(soma_u64_view_open(map, &view), SOMA_OK);
    return of_view(view);
}

static struct soma_digest_strong of_bytes(soma_map *map)
{
    soma_view *view = NULL;
    cr_assert_eq(soma_map_view_open(map, &view), SOMA_OK);
    return of_view(view);
}

static void must_be(const struct soma_digest_strong *is, const struct soma_digest_strong *wanted)
{
    cr_assert_eq(is->count, wanted->count);
    cr_assert_arr_eq(is->lane, wanted->lane, sizeof is->lane);
    cr_assert(soma_digest_strong_equal(is, wanted));
}

/* ---- What a digest is ---- */

/* From RFC 7693, appendix A; the key and the use are checked against libsodium by all that follows. */
Test(strong, the_second_computation_meets_the_published_vector)
{
    static const unsigned char wanted[8] = {0xba, 0x80, 0xa5, 0x3f, 0x98, 0x1c, 0x4d, 0x0d};
    static const char use[17] = {0};
    unsigned char out[64];
    blake(NULL, use, (const unsigned char *)"abc", 3, out, 64);
    cr_assert_arr_eq(out, wanted, sizeof wanted);
}

Test(strong, words)
{
    for (unsigned keyless = 0; keyless < 2; keyless++) {
        soma_u64 *map = words_with(SOMA_DIGEST_STRONG | (keyless ? SOMA_DIGEST_KEYLESS : 0));
        struct soma_digest_strong wanted = {.count = 0};
        struct soma_digest_strong is = of_words(map);
        must_be(&is, &wanted);
        for (uint64_t key = 0; key < KEYS; key++) {
            cr_assert_eq(soma_u64_put(map, key << (key % 60), ~key, NULL), SOMA_INSERTED);
            expect_words(keyless ? no_key : digest_key, key << (key % 60), ~key, &wanted);
        }
        is = of_words(map);
        must_be(&is, &wanted);
        soma_u64_free(map);
    }
}

Test(strong, bytes_of_any_length)
{
    unsigned char data[700];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 7);
    soma_map *map = bytes_with(SOMA_DIGEST_STRONG);
    struct soma_digest_strong wanted = {.count = 0};
    for (size_t len = 0; len < 300; len += 13) {
        cr_assert_eq(soma_map_put(map, data, len, data + len, len + len % 9, NULL), SOMA_INSERTED);
        expect_bytes(digest_key, data, len, data + len, len + len % 9, &wanted);
    }
    cr_assert_eq(soma_map_put(map, "word", 4, data, 8, NULL), SOMA_INSERTED);
    expect_bytes(digest_key, "word", 4, data, 8, &wanted);
    const struct soma_digest_strong is = of_bytes(map);
    must_be(&is, &wanted);
    soma_map_free(map);
}

/* One map grows straight to its content, the other by detours; a view of either stays what it was. */
Test(strong, whatever_the_history)
{
    soma_u64 *straight = words_with(SOMA_DIGEST_STRONG);
    soma_u64 *detours = words_with(SOMA_DIGEST_STRONG | SOMA_DIGEST);
    for (uint64_t key = 0; key < 3 * KEYS; key++) {
        soma_u64_put(detours, key, 1, NULL);
        soma_u64_put(detours, key, key, NULL);
    }
    for (uint64_t key = KEYS; key < 3 * KEYS; key++)
        soma_u64_remove(detours, key, NULL);
    cr_assert_eq(soma_u64_shrink(detours), SOMA_OK);
    for (uint64_t key = KEYS; key-- > 0;)
        soma_u64_put(straight, key, key, NULL);
    soma_view *view = NULL;
    cr_assert_eq(soma_u64_view_open(detours, &view), SOMA_OK);
    struct soma_digest_strong is[2] = {of_words(straight), of_words(detours)};
    must_be(&is[1], &is[0]);
    soma_u64_put(detours, 7, 8, NULL);
    is[1] = of_words(detours);
    cr_assert(!soma_digest_strong_equal(&is[0], &is[1]));
    is[1] = of_view(view);
    must_be(&is[1], &is[0]);
    soma_u64_free(straight);
    soma_u64_free(detours);
}

Test(strong, parts_make_the_whole_and_its_short_form)
{
    soma_map *part[2] = {bytes_with(SOMA_DIGEST_STRONG), bytes_with(SOMA_DIGEST_STRONG)};
    soma_map *whole = bytes_with(SOMA_DIGEST_STRONG);
    for (unsigned char key = 0; key < KEYS; key++) {
        soma_map_put(part[key % 2], &key, 1, "value", key % 5, NULL);
        soma_map_put(whole, &key, 1, "value", key % 5, NULL);
    }
    const struct soma_digest_strong all = of_bytes(whole);
    const struct soma_digest_strong odd = of_bytes(part[1]);
    struct soma_digest_strong sum = of_bytes(part[0]);
    cr_assert(!soma_digest_strong_equal(&sum, &all));
    soma_digest_strong_combine(&sum, &odd, &sum);
    must_be(&sum, &all);

    unsigned char bytes[2 * LANES + 8];
    unsigned char wanted[SOMA_DIGEST_STRONG_HASH];
    unsigned char is[SOMA_DIGEST_STRONG_HASH];
    for (unsigned i = 0; i < 2 * LANES; i++)
        bytes[i] = (unsigned char)(all.lane[i / 2] >> (8 * (i % 2)));
    put_word(bytes + sizeof bytes - 8, all.count);
    blake(NULL, "soma digest hash", bytes, sizeof bytes, wanted, sizeof wanted);
    cr_assert_eq(soma_digest_strong_hash(&sum, is), SOMA_OK);
    cr_assert_arr_eq(is, wanted, sizeof is);
    sum.count++;
    cr_assert(!soma_digest_strong_equal(&sum, &all));
    cr_assert_eq(soma_digest_strong_hash(&sum, is), SOMA_OK);
    cr_assert_neq(memcmp(is, wanted, sizeof is), 0);
    for (int i = 0; i < 2; i++)
        soma_map_free(part[i]);
    soma_map_free(whole);
}

/* The same 16 bytes, as words and as byte strings. */
Test(strong, keys_and_kinds_give_others)
{
    soma_u64 *keyed = words_with(SOMA_DIGEST_STRONG);
    soma_u64 *random = NULL;
    soma_map *bytes = bytes_with(SOMA_DIGEST_STRONG);
    cr_assert_eq(soma_u64_new(&(struct soma_u64_options){.flags = SOMA_DIGEST_STRONG}, &random), SOMA_OK);
    soma_u64_put(keyed, 0, 0, NULL);
    soma_u64_put(random, 0, 0, NULL);
    soma_map_put(bytes, NULL, 0, NULL, 0, NULL);
    const struct soma_digest_strong digests[3] = {of_words(keyed), of_words(random), of_bytes(bytes)};
    for (int i = 0; i < 3; i++)
        cr_assert(!soma_digest_strong_equal(&digests[i], &digests[(i + 1) % 3]));
    soma_u64_free(keyed);
    soma_u64_free(random);
    soma_map_free(bytes);
}

/* ---- Statuses ---- */

Test(strong, statuses)
{
    soma_u64 *words = words_with(SOMA_DIGEST); /* that is another digest */
    soma_u64 *strong = words_with(SOMA_DIGEST_STRONG);
    soma_view *view = NULL;
    static struct soma_digest_strong digest = {.count = 77};
    struct soma_digest other;
    unsigned char hash[SOMA_DIGEST_STRONG_HASH];
    cr_assert_eq(soma_u64_view_open(words, &view), SOMA_OK);
    cr_assert_eq(soma_view_digest_strong(view, &digest), SOMA_E_UNSUPPORTED);
    cr_assert_eq(soma_view_digest_strong(view, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_view_digest_strong(NULL, &digest), SOMA_E_INVALID);
    cr_assert_eq(soma_digest_strong_hash(NULL, hash), SOMA_E_INVALID);
    cr_assert_eq(soma_digest_strong_hash(&digest, NULL), SOMA_E_INVALID);
    cr_assert_eq(digest.count, 77);
    soma_view_close(view);
    cr_assert_eq(soma_u64_digest(strong, &other), SOMA_E_UNSUPPORTED, "nothing is kept running");
    soma_u64_free(words);
    soma_u64_free(strong);
}

#else

Test(strong, is_refused_by_a_build_without)
{
    const struct soma_digest_strong nothing = {.count = 0};
    unsigned char hash[SOMA_DIGEST_STRONG_HASH];
    soma_u64 *words = NULL;
    soma_map *bytes = NULL;
    soma_view *view = NULL;
    struct soma_digest_strong digest;
    const struct soma_u64_options for_words = {.flags = SOMA_DIGEST_STRONG};
    const struct soma_map_options for_bytes = {.flags = SOMA_DIGEST_STRONG};
    cr_assert_eq(soma_u64_new(&for_words, &words), SOMA_E_UNSUPPORTED);
    cr_assert_eq(soma_map_new(&for_bytes, &bytes), SOMA_E_UNSUPPORTED);
    cr_assert(!words && !bytes);
    cr_assert_eq(soma_u64_new(NULL, &words), SOMA_OK);
    cr_assert_eq(soma_u64_view_open(words, &view), SOMA_OK);
    cr_assert_eq(soma_view_digest_strong(view, &digest), SOMA_E_UNSUPPORTED);
    cr_assert_eq(soma_digest_strong_hash(&nothing, hash), SOMA_E_UNSUPPORTED);
    soma_view_close(view);
    soma_u64_free(words);
}

#endif
