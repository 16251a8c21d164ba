/* SPDX-License-Identifier: ISC */
/* frozen.c - frozen maps against plain arrays: keys at random and in patterns, some thousand to some hundred thousand of
 * them, both kinds, every key and as many that are not there; and that no entry is far from its home. */
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#include "frozen/frozen.h"
#include "support.h"

#define COUNT_MAX 200000

/* Keys that programs have; all different. */
static uint64_t key_of(int pattern, uint64_t i, uint64_t salt)
{
    switch (pattern) {
    case 0:
        return i; /* numbers */
    case 1:
        return UINT64_C(0x7f0000000000) + i * 64; /* addresses */
    case 2:
        return i << 44; /* high bits only */
    case 3:
        return (i ^ salt) * UINT64_C(0x9e3779b97f4a7c15); /* as good as random */
    default:
        return i * UINT64_C(1000003) << 20 ^ i; /* a grid */
    }
}

#define PATTERNS 5

/* The last of all stands at the end, too, wherever its home is. */
static void expect_close(const soma_frozen *frozen)
{
    for (const struct frozen_slot *slot = frozen->table; slot + 1 < frozen->end; slot++) {
        const uint64_t line = (uint64_t)(slot - frozen->table) / LINE_SLOTS;
        if (slot->hash != slot[1].hash)
            EXPECT(line < soma__frozen_home(slot->hash, frozen->homes) + LINES_NEAR);
    }
}

static soma_frozen *freeze(soma_view *view)
{
    soma_frozen *frozen = NULL;
    if (soma_frozen_build(view, &frozen) != SOMA_OK)
        abort();
    soma_view_close(view);
    return frozen;
}

/* The bytes that stand for a number: of any length from 0 to 40, at random places zero. */
static struct soma_bytes bytes_of(uint64_t number, unsigned char bytes[48])
{
    struct rng rng = {number};
    const size_t len = 8 + rng_below(&rng, 33);
    memset(bytes, 0, 48);
    memcpy(bytes, &number, sizeof number);
    for (size_t i = sizeof number; i < len; i++)
        bytes[i] = (unsigned char)rng_next(&rng);
    return (struct soma_bytes){bytes, len};
}

static void words(const void *unused)
{
    (void)unused;
    struct rng rng = rng_new(1);
    uint64_t *values = need(COUNT_MAX, sizeof *values);
    for (int pattern = 0; pattern < PATTERNS; pattern++) {
        const uint64_t n = 1000 + rng_below(&rng, COUNT_MAX - 1000);
        const uint64_t salt = rng_next(&rng);
        soma_u64 *map = NULL;
        soma_view *view = NULL;
        EXPECT_EQ(soma_u64_new(NULL, &map), SOMA_OK);
        for (uint64_t i = 0; i < n; i++) {
            values[i] = rng_next(&rng);
            EXPECT_EQ(soma_u64_put(map, key_of(pattern, i, salt), values[i], NULL), SOMA_INSERTED);
        }
        EXPECT_EQ(soma_u64_view_open(map, &view), SOMA_OK);
        soma_frozen *frozen = freeze(view);
        soma_u64_free(map);
        EXPECT_EQ(soma_frozen_count(frozen), n);
        expect_close(frozen);
        for (uint64_t i = 0; i < n; i++) {
            uint64_t value = 0;
            EXPECT(soma_frozen_get_u64(frozen, key_of(pattern, i, salt), &value) == SOMA_OK && value == values[i]);
            EXPECT_EQ(soma_frozen_get_u64(frozen, key_of(pattern, COUNT_MAX + i, salt), NULL), SOMA_ABSENT);
        }
        soma_frozen_free(frozen);
        verified(n);
    }
    free(values);
}

static void strings(const void *unused)
{
    (void)unused;
    struct rng rng = rng_new(2);
    for (int pattern = 0; pattern < PATTERNS; pattern++) {
        const uint64_t n = 100 + rng_below(&rng, COUNT_MAX / 10);
        unsigned char key_bytes[48];
        unsigned char value_bytes[48];
        soma_map *map = NULL;
        soma_view *view = NULL;
        EXPECT_EQ(soma_map_new(NULL, &map), SOMA_OK);
        for (uint64_t i = 0; i < n; i++) {
            const struct soma_bytes key = bytes_of(key_of(pattern, i, 5), key_bytes);
            const struct soma_bytes value = bytes_of(i, value_bytes);
            EXPECT_EQ(soma_map_put(map, key.data, key.len, value.data, value.len, NULL), SOMA_INSERTED);
        }
        EXPECT_EQ(soma_map_view_open(map, &view), SOMA_OK);
        soma_frozen *frozen = freeze(view);
        soma_map_free(map);
        EXPECT_EQ(soma_frozen_count(frozen), n);
        expect_close(frozen);
        for (uint64_t i = 0; i < n; i++) {
            struct soma_bytes key = bytes_of(key_of(pattern, i, 5), key_bytes);
            const struct soma_bytes value = bytes_of(i, value_bytes);
            struct soma_bytes got = {NULL, 0};
            EXPECT_EQ(soma_frozen_get_ref(frozen, key.data, key.len, &got), SOMA_OK);
            EXPECT(got.len == value.len && memcmp(got.data, value.data, value.len) == 0);
            key = bytes_of(key_of(pattern, COUNT_MAX + i, 5), key_bytes);
            EXPECT_EQ(soma_frozen_get_ref(frozen, key.data, key.len, &got), SOMA_ABSENT);
        }
        soma_frozen_free(frozen);
        verified(n);
    }
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {{"words", words, NULL}, {"strings", strings, NULL}};
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
