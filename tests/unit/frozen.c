/* SPDX-License-Identifier: ISC */
/* frozen.c - the table of frozen maps: entries far from home, equal hashes, seeds that are no good, and images of which
 * any one byte is wrong. */
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#include "frozen/frozen.h"
#include "support.h"

static const uint64_t seed[2] = {3, 4};

static struct frozen_builder begin(uint32_t kind, uint64_t expected)
{
    struct frozen_builder builder;
    if (soma__frozen_begin(&builder, kind, expected) != SOMA_OK)
        abort();
    return builder;
}

static soma_frozen *finish(struct frozen_builder *builder, unsigned seeds_tried)
{
    soma_frozen *frozen = NULL;
    if (soma__frozen_finish(builder, seed, seeds_tried, &frozen) != SOMA_OK)
        abort();
    soma__frozen_end(builder);
    return frozen;
}

static bool is_good(const soma_frozen *frozen)
{
    struct soma_frozen again;
    const uint64_t size = frozen->header->size;
    struct frozen_header *copy = need(1, size);
    memcpy(copy, frozen->header, size);
    copy->checksum = soma__frozen_checksum(copy, size);
    const enum soma_status status = soma__frozen_check(&again, copy, size);
    free(copy);
    return status == SOMA_OK;
}

/* The farthest that an entry is from its home, in lines. */
static uint64_t farthest(const soma_frozen *frozen)
{
    uint64_t most = 0;
    for (const struct frozen_slot *slot = frozen->table; slot != frozen->end; slot++) {
        const uint64_t line = (uint64_t)(slot - frozen->table) / LINE_SLOTS;
        const uint64_t home = soma__frozen_home(slot->hash, frozen->homes);
        most = line > home && line - home > most ? line - home : most;
    }
    return most;
}

/* ---- Crowds ---- */

#define CROWD 500

/* Keys whose hashes are neighbours under the seed, at either end of all hashes or in the middle. */
static uint64_t crowd_key(uint64_t first_hash, uint64_t i)
{
    struct soma__mix mix;
    soma__mix_init(&mix, seed);
    return soma__mix_inverse(&mix, first_hash + i);
}

static soma_frozen *crowd(uint64_t first_hash, unsigned seeds_tried)
{
    struct frozen_builder builder = begin(FROZEN_WORDS, 1); /* it has to grow */
    for (uint64_t i = 0; i < CROWD; i++)
        EXPECT_EQ(soma__frozen_add_word(&builder, crowd_key(first_hash, 2 * i), i), SOMA_OK);
    return finish(&builder, seeds_tried);
}

static void look_through_crowd(const soma_frozen *frozen, uint64_t first_hash)
{
    for (uint64_t i = 0; i < CROWD; i++) {
        uint64_t value = 0;
        EXPECT_EQ(soma_frozen_get_u64(frozen, crowd_key(first_hash, 2 * i), &value), SOMA_OK);
        EXPECT_EQ(value, i);
        EXPECT_EQ(soma_frozen_get_u64(frozen, crowd_key(first_hash, 2 * i + 1), &value), SOMA_ABSENT);
    }
    EXPECT_EQ(soma_frozen_get_u64(frozen, crowd_key(0, 0), NULL), first_hash == 0 ? SOMA_OK : SOMA_ABSENT);
    EXPECT(is_good(frozen));
    verified(CROWD);
}

/* With one seed there is no way out: the crowd is put up with, and found by searching. */
static void crowds_are_put_up_with(const void *unused)
{
    (void)unused;
    const uint64_t ends[] = {0, UINT64_C(1) << 63, UINT64_MAX - 2 * CROWD + 2, UINT64_MAX - 2 * CROWD + 1};
    for (int i = 0; i < 4; i++) {
        soma_frozen *frozen = crowd(ends[i], 1);
        EXPECT(memcmp(frozen->seed, seed, sizeof seed) == 0);
        EXPECT(farthest(frozen) > LINES_NEAR);
        look_through_crowd(frozen, ends[i]);
        soma_frozen_free(frozen);
    }
}

static void crowds_get_another_seed(const void *unused)
{
    (void)unused;
    soma_frozen *frozen = crowd(0, SEEDS_TRIED);
    EXPECT(memcmp(frozen->seed, seed, sizeof seed) != 0);
    EXPECT(farthest(frozen) < LINES_NEAR);
    look_through_crowd(frozen, 0);
    soma_frozen_free(frozen);
}

/* ---- Equal hashes ---- */

#define EQUALS 100

/* Byte strings that all stand under the hash of one of them: that one is found, wherever it stands among them. */
static void equal_hashes(const void *unused)
{
    (void)unused;
    for (uint64_t real = 0; real < EQUALS; real += 9) {
        struct frozen_builder builder = begin(FROZEN_BYTES, EQUALS);
        for (uint64_t i = 0; i < EQUALS; i++) {
            const struct soma_bytes bytes = {&i, sizeof i};
            EXPECT_EQ(soma__frozen_add_bytes(&builder, bytes, bytes), SOMA_OK);
            builder.entries[i].hash = soma__siphash13(seed, &real, sizeof real);
        }
        soma_frozen *frozen = soma__frozen_place(&builder, seed);
        soma__frozen_end(&builder);
        for (uint64_t i = 0; i < EQUALS; i++) {
            struct soma_bytes value = {NULL, 0};
            const bool is_found = soma_frozen_get_ref(frozen, &i, sizeof i, &value) == SOMA_OK;
            EXPECT(is_found == (i == real) && (!is_found || memcmp(value.data, &i, sizeof i) == 0));
            EXPECT_EQ(soma_frozen_at_ref(frozen, i, &value, NULL), SOMA_OK);
            EXPECT(value.len == sizeof i && memcmp(value.data, &i, sizeof i) == 0);
        }
        EXPECT(!is_good(frozen)); /* the others cannot be found */
        soma_frozen_free(frozen);
        verified(EQUALS);
    }
}

/* ---- Wrong images ---- */

static soma_frozen *small_words(uint64_t n)
{
    struct frozen_builder builder = begin(FROZEN_WORDS, n);
    for (uint64_t i = 0; i < n; i++)
        EXPECT_EQ(soma__frozen_add_word(&builder, i, i), SOMA_OK);
    return finish(&builder, 1);
}

static soma_frozen *small_strings(uint64_t n)
{
    struct frozen_builder builder = begin(FROZEN_BYTES, n);
    for (uint64_t i = 0; i < n; i++) {
        const struct soma_bytes key = {"abcdefghijklmnopqrstuvwxyz0123456789....", i};
        EXPECT_EQ(soma__frozen_add_bytes(&builder, key, (struct soma_bytes){key.data, i % 7}), SOMA_OK);
    }
    return finish(&builder, 1);
}

/* Looks everything up; whatever the answers are, nothing may be touched that is not there (sanitizers see it). */
static void use(const soma_frozen *frozen)
{
    uint64_t word;
    struct soma_bytes bytes;
    for (uint64_t i = 0; i < 40; i++) {
        if (frozen->kind == FROZEN_WORDS) {
            (void)soma_frozen_get_u64(frozen, i, &word);
            (void)soma_frozen_at_u64(frozen, i, &word, NULL);
        } else {
            (void)soma_frozen_get_ref(frozen, "abcdefghijklmnopqrstuvwxyz0123456789....", i, &bytes);
            (void)soma_frozen_at_ref(frozen, i, NULL, &bytes);
        }
    }
}

/* In memory of its very size. With the checksum put right, some changes are another good image: a value, say. */
static bool accepted(const void *image, uint64_t size, uint64_t at, unsigned char flip, bool resum)
{
    struct soma_frozen frozen;
    unsigned char *copy = need(1, size > 0 ? size : 1);
    memcpy(copy, image, size);
    if (at < size)
        copy[at] ^= flip;
    if (resum && size >= sizeof(struct frozen_header))
        ((struct frozen_header *)(void *)copy)->checksum = soma__frozen_checksum((const void *)copy, size);
    const bool good = soma__frozen_check(&frozen, copy, size) == SOMA_OK;
    if (good)
        use(&frozen);
    free(copy);
    return good;
}

static void wrong_images(soma_frozen *frozen)
{
    const uint64_t size = frozen->header->size;
    struct frozen_header *image = need(1, size);
    memcpy(image, frozen->header, size);
    image->checksum = soma__frozen_checksum(image, size);
    soma_frozen_free(frozen);
    EXPECT(accepted(image, size, size, 0, false));
    for (uint64_t at = 0; at < size; at++) {
        EXPECT(!accepted(image, at, size, 0, false));
        EXPECT(!accepted(image, at, size, 0, true));
        for (unsigned flip = 1; flip < 256; flip++)
            EXPECT(!accepted(image, size, at, (unsigned char)flip, false));
        for (unsigned bit = 0; bit < 8; bit++)
            (void)accepted(image, size, at, (unsigned char)(1u << bit), true);
    }
    free(image);
    verified(size);
}

static void any_byte_wrong(const void *unused)
{
    (void)unused;
    wrong_images(small_words(0));
    wrong_images(small_words(1));
    wrong_images(small_words(33));
    wrong_images(small_strings(1));
    wrong_images(small_strings(9));
}

#define CLAIMS 8

/* What the header claims is compared with the size that there is before anything is computed with it. */
static void huge_claims(const void *unused)
{
    (void)unused;
    const uint64_t claims[CLAIMS] = {
        0, 1000, UINT64_C(1) << 32, UINT64_C(1) << 58, UINT64_C(1) << 62, UINT64_MAX - 63, UINT64_MAX - 7, UINT64_MAX};
    const size_t fields[] = {offsetof(struct frozen_header, size), offsetof(struct frozen_header, count),
                             offsetof(struct frozen_header, homes), offsetof(struct frozen_header, lines),
                             offsetof(struct frozen_header, records)};
    soma_frozen *frozen = small_strings(9);
    const uint64_t size = frozen->header->size;
    struct frozen_header *image = need(1, size);
    for (size_t a = 0; a < 5; a++) {
        for (size_t b = 0; b < 5; b++) {
            for (size_t claim = 0; claim < CLAIMS * CLAIMS; claim++) {
                memcpy(image, frozen->header, size);
                memcpy((char *)image + fields[a], &claims[claim / CLAIMS], sizeof claims[0]);
                memcpy((char *)image + fields[b], &claims[claim % CLAIMS], sizeof claims[0]);
                EXPECT(!accepted(image, size, size, 0, true));
                verified(1);
            }
        }
    }
    free(image);
    soma_frozen_free(frozen);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"crowds-are-put-up-with", crowds_are_put_up_with, NULL},
        {"crowds-get-another-seed", crowds_get_another_seed, NULL},
        {"equal-hashes", equal_hashes, NULL},
        {"any-byte-wrong", any_byte_wrong, NULL},
        {"huge-claims", huge_claims, NULL},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
