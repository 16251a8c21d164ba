/* SPDX-License-Identifier: ISC */
/* forgery.c - what an adversary does to digests, so that nobody has to believe what docs/digests.md says of them.
 *
 * XOR of FNV-1a    Among any 65 entries there are some whose FNV-1a come to 0: elimination over GF(2) says which. They can be
 *                  added or left out unnoticed.
 * One FNV-1a       FNV-1a takes a byte by replacing the state's lowest byte x ^ byte, which may be any, and multiplying by P. So the
 *                  difference of two states goes from D to (D + e) * P, where e is the difference of what the two replacements
 *                  add, and after 8 bytes the difference is the sum of e[i] * P^(8 - i). That is 0 modulo 2^64 for the numbers
 *                  below, a short vector of a lattice of 8 dimensions (LLL finds it in a second), small enough for bytes to be
 *                  found, by trying, that make them: two values of 8 bytes under any key.
 *                  The digest key comes in after FNV-1a, so it is of no help. Strong digests tell the two apart.
 * The digest key   What finishes an FNV-1a can be undone, so the digest of a single entry that is known tells the key. */
#include <criterion/criterion.h>

#include <string.h>

#include <soma/soma.h>

#define PRIME UINT64_C(0x100000001b3)

static uint64_t drawn(void)
{
    static uint64_t state = 1;
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return state ^ state >> 29;
}

static uint64_t fnv_word(uint64_t word, uint64_t state)
{
    unsigned char bytes[8];
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(word >> (8 * i));
    return soma_fnv1a64(bytes, sizeof bytes, state);
}

static soma_u64 *words_with(unsigned flags)
{
    soma_u64 *map = NULL;
    cr_assert_eq(soma_u64_new(&(struct soma_u64_options){.flags = flags}, &map), SOMA_OK);
    return map;
}

static struct soma_digest of_words(const soma_u64 *map)
{
    struct soma_digest digest;
    cr_assert_eq(soma_u64_digest(map, &digest), SOMA_OK);
    return digest;
}

/* ---- XOR ---- */

#define ITEMS 65

struct row {
    uint64_t sum;        /* of the FNV-1a of some items, none of which has its highest bit but this row */
    uint64_t members[2]; /* which these are */
};

static void add_row(struct row *to, const struct row *row)
{
    to->sum ^= row->sum;
    to->members[0] ^= row->members[0];
    to->members[1] ^= row->members[1];
}

/* Of 65 numbers, some whose XOR is 0. */
static struct row vanishing(const uint64_t numbers[ITEMS])
{
    struct row rows[64] = {{.sum = 0}};
    for (unsigned i = 0; i < ITEMS; i++) {
        struct row row = {.sum = numbers[i]};
        row.members[i / 64] = UINT64_C(1) << i % 64;
        while (row.sum != 0) {
            struct row *same = &rows[63 - __builtin_clzll(row.sum)];
            if (same->sum == 0) {
                *same = row;
                break;
            }
            add_row(&row, same);
        }
        if (row.sum == 0)
            return row;
    }
    cr_assert_fail("65 numbers of 64 bits are dependent");
    return rows[0];
}

Test(forgery, a_xor_of_fnv1a_is_made_to_vanish)
{
    uint64_t keys[ITEMS];
    uint64_t values[ITEMS];
    uint64_t numbers[ITEMS];
    for (unsigned i = 0; i < ITEMS; i++) {
        keys[i] = drawn();
        values[i] = drawn();
        numbers[i] = fnv_word(values[i], fnv_word(keys[i], SOMA_FNV1A64_BASIS));
    }
    const struct row found = vanishing(numbers);
    soma_u64 *map[2] = {words_with(SOMA_DIGEST), words_with(SOMA_DIGEST | SOMA_DIGEST_KEYLESS)};
    uint64_t sum = 0;
    for (unsigned i = 0; i < ITEMS; i++) {
        if ((found.members[i / 64] >> i % 64 & 1) == 0)
            continue;
        sum ^= numbers[i];
        for (int m = 0; m < 2; m++)
            soma_u64_put(map[m], keys[i], values[i], NULL);
    }
    cr_assert_eq(sum, 0);
    for (int m = 0; m < 2; m++) {
        const struct soma_digest digest = of_words(map[m]);
        cr_assert_gt(digest.count, 0);
        cr_assert(digest.lane[0] != 0 && digest.lane[1] != 0, "the map's own does not vanish");
        soma_u64_free(map[m]);
    }
}

/* ---- One FNV-1a ---- */

#define BYTES 8
static const int vanishing_steps[BYTES] = {131, -138, -113, 44, -58, 28, 54, -16};

/* Two different strings of 8 bytes that lead from a state to one other. */
static void twins(uint64_t state, unsigned char a[BYTES], unsigned char b[BYTES])
{
    for (;;) {
        uint64_t s = state;
        uint64_t t = state;
        unsigned i = 0;
        for (; i < BYTES; i++) {
            const int apart = vanishing_steps[i] + (int)(s & 0xff) - (int)(t & 0xff);
            const int x = (int)(drawn() & 0xff);
            const int y = x - apart;
            if (y < 0 || y > 255)
                break;
            a[i] = (unsigned char)((s & 0xff) ^ (uint64_t)x);
            b[i] = (unsigned char)((t & 0xff) ^ (uint64_t)y);
            s = (s ^ a[i]) * PRIME;
            t = (t ^ b[i]) * PRIME;
        }
        if (i == BYTES)
            return;
    }
}

static uint64_t word_of(const unsigned char bytes[BYTES])
{
    uint64_t word = 0;
    for (unsigned i = BYTES; i-- > 0;)
        word = word << 8 | bytes[i];
    return word;
}

Test(forgery, two_strings_have_one_fnv1a)
{
    for (int i = 0; i < 1000; i++) {
        unsigned char a[BYTES];
        unsigned char b[BYTES];
        const uint64_t state = drawn();
        twins(state, a, b);
        cr_assert_neq(memcmp(a, b, BYTES), 0);
        cr_assert_eq(soma_fnv1a64(a, BYTES, state), soma_fnv1a64(b, BYTES, state));
    }
}

#if SOMA_TEST_STRONG
#define BOTH (SOMA_DIGEST | SOMA_DIGEST_STRONG)
#else
#define BOTH SOMA_DIGEST
#endif

static void strong_of(soma_view *view, struct soma_digest_strong *digest)
{
    *digest = (struct soma_digest_strong){.count = 0};
#if SOMA_TEST_STRONG
    cr_assert_eq(soma_view_digest_strong(view, digest), SOMA_OK);
#endif
    soma_view_close(view);
}

static void strong_of_words(soma_u64 *map, struct soma_digest_strong *digest)
{
    soma_view *view = NULL;
    cr_assert_eq(soma_u64_view_open(map, &view), SOMA_OK);
    strong_of(view, digest);
}

static void strong_of_bytes(soma_map *map, struct soma_digest_strong *digest)
{
    soma_view *view = NULL;
    cr_assert_eq(soma_map_view_open(map, &view), SOMA_OK);
    strong_of(view, digest);
}

/* Every value of a map is another, under a key that nobody knows, and its digest is the same. */
static void words_forged(unsigned flags)
{
    soma_u64 *map = words_with(flags);
    struct soma_digest_strong before;
    struct soma_digest_strong after;
    uint64_t keys[100];
    uint64_t others[100];
    for (unsigned i = 0; i < 100; i++) {
        unsigned char a[BYTES];
        unsigned char b[BYTES];
        keys[i] = drawn();
        twins(fnv_word(keys[i], SOMA_FNV1A64_BASIS), a, b);
        others[i] = word_of(b);
        soma_u64_put(map, keys[i], word_of(a), NULL);
    }
    const struct soma_digest honest = of_words(map);
    strong_of_words(map, &before);
    for (unsigned i = 0; i < 100; i++) {
        uint64_t was;
        cr_assert_eq(soma_u64_replace(map, keys[i], others[i], &was), SOMA_REPLACED);
        cr_assert_neq(was, others[i]);
    }
    const struct soma_digest forged = of_words(map);
    strong_of_words(map, &after);
    cr_assert(soma_digest_equal(&honest, &forged));
    cr_assert_eq(soma_digest_strong_equal(&before, &after), !SOMA_TEST_STRONG);
    soma_u64_free(map);
}

static enum soma_status count_one(const struct soma_difference *difference, void *ctx)
{
    (void)difference;
    ++*(unsigned *)ctx;
    return SOMA_OK;
}

/* A comparison by digests is blind to a twin; whether views are equal is not asked of digests. */
Test(forgery, views_with_twins_are_not_equal)
{
    const struct soma_u64_options options = {.seed = {1, 2}, .flags = SOMA_DIGEST, .digest_key = {3, 4}};
    soma_u64 *map[2] = {NULL, NULL};
    soma_view *view[2] = {NULL, NULL};
    unsigned char value[2][BYTES];
    unsigned differences = 0;
    bool equal = true;
    twins(fnv_word(7, SOMA_FNV1A64_BASIS), value[0], value[1]);
    for (int m = 0; m < 2; m++) {
        cr_assert_eq(soma_u64_new(&options, &map[m]), SOMA_OK);
        for (uint64_t key = 0; key < 500; key++)
            soma_u64_put(map[m], key, key == 7 ? word_of(value[m]) : key, NULL);
        cr_assert_eq(soma_u64_view_open(map[m], &view[m]), SOMA_OK);
    }
    cr_assert_eq(soma_diff_views(view[0], view[1], count_one, &differences), SOMA_OK);
    cr_assert_eq(differences, 0);
    cr_assert_eq(soma_view_equal(view[0], view[1], &equal), SOMA_OK);
    cr_assert(!equal);
    for (int m = 0; m < 2; m++) {
        soma_view_close(view[m]);
        soma_u64_free(map[m]);
    }
}

Test(forgery, a_digest_of_words_stays_and_the_strong_one_does_not)
{
    words_forged(BOTH);
    words_forged(BOTH | SOMA_DIGEST_KEYLESS);
}

Test(forgery, a_digest_of_bytes_stays_and_the_strong_one_does_not)
{
    soma_map *map = NULL;
    struct soma_digest honest;
    struct soma_digest forged;
    struct soma_digest_strong before;
    struct soma_digest_strong after;
    char a[] = "pay ........ to me";
    char b[] = "pay ........ to me";
    uint64_t state = fnv_word(sizeof a, soma_fnv1a64("order", 5, fnv_word(5, SOMA_FNV1A64_BASIS)));
    state = soma_fnv1a64(a, 4, state);
    twins(state, (unsigned char *)a + 4, (unsigned char *)b + 4);
    cr_assert_eq(soma_map_new(&(struct soma_map_options){.flags = BOTH}, &map), SOMA_OK);
    soma_map_put(map, "order", 5, a, sizeof a, NULL);
    cr_assert_eq(soma_map_digest(map, &honest), SOMA_OK);
    strong_of_bytes(map, &before);
    soma_map_put(map, "order", 5, b, sizeof b, NULL);
    cr_assert_eq(soma_map_digest(map, &forged), SOMA_OK);
    strong_of_bytes(map, &after);
    cr_assert_neq(memcmp(a, b, sizeof a), 0);
    cr_assert(soma_digest_equal(&honest, &forged));
    cr_assert_eq(soma_digest_strong_equal(&before, &after), !SOMA_TEST_STRONG);
    soma_map_free(map);
}

/* ---- The digest key ---- */

/* The inverse of an odd number modulo 2^64. */
static uint64_t inverse(uint64_t x)
{
    uint64_t y = x;
    for (int i = 0; i < 5; i++)
        y *= 2 - x * y;
    return y;
}

/* Undoes MurmurHash3's finisher, with which digest.h mixes. */
static uint64_t unfinished(uint64_t x)
{
    x = (x ^ x >> 33) * inverse(UINT64_C(0xc4ceb9fe1a85ec53));
    x = (x ^ x >> 33) * inverse(UINT64_C(0xff51afd7ed558ccd));
    return x ^ x >> 33;
}

Test(forgery, a_digest_of_one_known_entry_tells_the_key)
{
    soma_u64 *secret = words_with(SOMA_DIGEST);
    soma_u64 *mine = NULL;
    soma_u64_put(secret, 1, 2, NULL);
    const struct soma_digest seen = of_words(secret);
    const uint64_t fnv = fnv_word(2, fnv_word(1, SOMA_FNV1A64_BASIS));
    const struct soma_u64_options options = {
        .flags = SOMA_DIGEST,
        .digest_key = {unfinished(seen.lane[0]) - fnv, unfinished(seen.lane[1]) ^ (fnv << 32 | fnv >> 32)},
    };
    cr_assert_eq(soma_u64_new(&options, &mine), SOMA_OK);
    for (uint64_t key = 0; key < 10; key++) {
        soma_u64_put(secret, key, ~key, NULL);
        soma_u64_put(mine, key, ~key, NULL);
    }
    const struct soma_digest theirs = of_words(secret);
    const struct soma_digest guessed = of_words(mine);
    cr_assert(soma_digest_equal(&theirs, &guessed));
    soma_u64_free(secret);
    soma_u64_free(mine);
}
