/* SPDX-License-Identifier: ISC */
/* sync.c - two maps with random content and random differences, made equal over a stream that is cut into random
 * pieces: one way and both ways, whole and broken off and gone on with, in slices, with narrow windows. What each
 * holds afterwards is compared with arrays. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#include "map/map_internal.h"
#include "support.h"

#define KEYS 6000
#define ABSENT 0
#define VALUE_MAX 3000

/* ---- Maps of either kind, and what they should hold: by key, a number that the value is made of, or ABSENT ---- */

struct side {
    bool words;
    soma_u64 *u64;
    soma_map *map;
    uint64_t *values;
};

static struct soma_bytes value_bytes(uint64_t number, unsigned char *to)
{
    struct rng rng = {number};
    size_t len = rng_below(&rng, 40);
    if (number % 50 == 0)
        len = rng_below(&rng, VALUE_MAX);
    for (size_t i = 0; i < len; i++)
        to[i] = (unsigned char)rng_next(&rng);
    return (struct soma_bytes){to, len};
}

static struct soma_bytes key_bytes(uint64_t key, unsigned char *to)
{
    memset(to, 0, 16);
    for (unsigned i = 0; i < sizeof key; i++)
        to[i] = (unsigned char)(key >> 8 * i);
    return (struct soma_bytes){to, key == 0 ? 0 : 2 + key % 14};
}

static struct side open_side(bool words, uint64_t seed, uint64_t mask)
{
    struct side side = {.words = words, .values = need(KEYS, sizeof *side.values)};
    const struct soma_u64_options of_words = {.seed = {seed, 2}, .flags = SOMA_DIGEST, .digest_key = {seed, 4}};
    const struct soma_map_options of_bytes = {.seed = {seed, 2}, .flags = SOMA_DIGEST, .digest_key = {seed, 4}};
    if (words)
        EXPECT_EQ(soma_u64_new(&of_words, &side.u64), SOMA_OK);
    else
        EXPECT_EQ(soma_map_new(&of_bytes, &side.map), SOMA_OK);
    if (!words)
        soma__map_hash_mask(side.map, mask);
    return side;
}

static void close_side(struct side *side)
{
    soma_u64_free(side->u64);
    soma_map_free(side->map);
    free(side->values);
}

static void put(struct side *side, uint64_t key, uint64_t number)
{
    unsigned char key_room[16];
    static unsigned char value_room[VALUE_MAX];
    const struct soma_bytes k = key_bytes(key, key_room);
    const struct soma_bytes v = value_bytes(number, value_room);
    side->values[key] = number;
    if (side->words && number == ABSENT)
        soma_u64_remove(side->u64, key, NULL);
    else if (side->words)
        soma_u64_put(side->u64, key, number, NULL);
    else if (number == ABSENT)
        soma_map_remove(side->map, k.data, k.len, NULL);
    else
        soma_map_put(side->map, k.data, k.len, v.data, v.len, NULL);
}

static bool has(const struct side *side, uint64_t key, uint64_t number)
{
    unsigned char key_room[16];
    static unsigned char want[VALUE_MAX];
    static unsigned char got[VALUE_MAX];
    uint64_t word = 0;
    size_t len = 0;
    if (side->words) {
        const enum soma_status status = soma_u64_get(side->u64, key, &word);
        return number == ABSENT ? status == SOMA_ABSENT : status == SOMA_OK && word == number;
    }
    const struct soma_bytes k = key_bytes(key, key_room);
    const struct soma_bytes v = value_bytes(number, want);
    const enum soma_status status = soma_map_get_copy(side->map, k.data, k.len, got, sizeof got, &len);
    if (number == ABSENT)
        return status == SOMA_ABSENT;
    return status == SOMA_OK && len == v.len && memcmp(got, want, len) == 0;
}

static void expect_values(const struct side *side)
{
    uint64_t count = 0;
    for (uint64_t key = 0; key < KEYS; key++) {
        EXPECT(has(side, key, side->values[key]));
        count += side->values[key] != ABSENT;
    }
    EXPECT_EQ(side->words ? soma_u64_count_approx(side->u64) : soma_map_count_approx(side->map), count);
    verified(KEYS);
}

static soma_sync *open_sync(struct side *side, const struct soma_sync_options *options)
{
    soma_sync *sync = NULL;
    EXPECT_EQ(side->words ? soma_u64_sync_open(side->u64, options, &sync)
                          : soma_map_sync_open(side->map, options, &sync),
              SOMA_OK);
    return sync;
}

/* ---- The stream ---- */

/* Hands over some of what one side has to say, in one piece or two. True: there was something. */
static bool pass_on(struct rng *rng, soma_sync *from, soma_sync *to)
{
    static unsigned char bytes[100000];
    size_t len = 0;
    size_t used = 0;
    const size_t cap = rng_below(rng, 3) == 0 ? 1 + rng_below(rng, 100) : 1 + rng_below(rng, sizeof bytes);
    (void)soma_sync_drain(from, bytes, cap, &len);
    const size_t first = rng_below(rng, len + 1);
    (void)soma_sync_feed(to, bytes, first, &used);
    EXPECT_EQ(used, first);
    (void)soma_sync_feed(to, bytes + first, len - first, &used);
    EXPECT_EQ(used, len - first);
    return len > 0;
}

static bool is_over(soma_sync *sync)
{
    size_t len;
    return soma_sync_drain(sync, NULL, 0, &len) == SOMA_END;
}

/* Until both are at their end, or so many pieces have gone. */
static bool talk(struct rng *rng, soma_sync *a, soma_sync *b, uint64_t pieces)
{
    for (uint64_t i = 0, quiet = 0; i < pieces && quiet < 20; i++) {
        const bool spoken = rng_below(rng, 2) ? pass_on(rng, a, b) : pass_on(rng, b, a);
        quiet = spoken ? 0 : quiet + 1;
    }
    return is_over(a) && is_over(b);
}

/* ---- Cases ---- */

static void differ(struct rng *rng, struct side *a, struct side *b, uint64_t keys, uint64_t differences)
{
    for (uint64_t i = 0; i < keys; i++) {
        const uint64_t key = rng_below(rng, KEYS);
        const uint64_t number = 1 + rng_below(rng, 1000000);
        put(a, key, number);
        put(b, key, number);
    }
    for (uint64_t i = 0; i < differences; i++)
        put(rng_below(rng, 2) ? a : b, rng_below(rng, KEYS), rng_below(rng, 3) ? 1 + rng_below(rng, 1000000) : ABSENT);
}

static uint64_t number_of(struct soma_bytes value)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < value.len; i++)
        sum = sum * 31 + ((const unsigned char *)value.data)[i];
    return sum * 1000 + value.len;
}

struct plan {
    bool words;
    bool both;
    bool broken; /* off, before the session that is not */
    uint64_t keys;
    uint64_t differences;
    uint64_t mask;
};

/* The same answer whichever of two values is here: one of them, now and then both made into one. Not if the side that
 * gets it could be left without, and be asked again. */
static enum soma_status rule(struct soma_conflict *conflict, void *ctx)
{
    const struct plan *plan = ctx;
    const bool words = plan->words;
    const uint64_t mine = words ? conflict->word.mine : number_of(conflict->mine);
    const uint64_t theirs = words ? conflict->word.theirs : number_of(conflict->theirs);
    if (words && !plan->broken && (mine ^ theirs) % 4 == 0) {
        conflict->word.merged = mine + theirs;
        return SOMA_OK;
    }
    if (!words && (mine ^ theirs) % 4 == 0) {
        conflict->merged = mine > theirs ? conflict->mine : conflict->theirs;
        return SOMA_OK;
    }
    return mine > theirs ? SOMA_EXISTS : SOMA_REPLACED;
}

static uint64_t ruled(const struct plan *plan, uint64_t a, uint64_t b)
{
    static unsigned char rooms[2][VALUE_MAX];
    if (a == ABSENT || b == ABSENT || a == b)
        return a ? a : b;
    if (plan->words && !plan->broken && (a ^ b) % 4 == 0)
        return a + b;
    if (plan->words)
        return a > b ? a : b;
    return number_of(value_bytes(a, rooms[0])) > number_of(value_bytes(b, rooms[1])) ? a : b;
}

static struct soma_sync_options random_options(struct rng *rng, struct plan *plan)
{
    struct soma_sync_options options = {.role = SOMA_SYNC_BOTH, .rule = rule, .ctx = plan};
    if (rng_below(rng, 2))
        options.slice_entries = SOMA_SYNC_SLICE_LEAST << rng_below(rng, 5);
    if (rng_below(rng, 2))
        options.window_bytes = SOMA_SYNC_WINDOW_LEAST + (uint32_t)rng_below(rng, 1000);
    return options;
}

/* One session; false if it was broken off, with `from` where to go on. */
static bool session(struct rng *rng, struct plan *plan, struct side sides[2], uint64_t *from, uint64_t pieces)
{
    soma_sync *syncs[2];
    const unsigned initiator = (unsigned)rng_below(rng, 2);
    for (unsigned i = 0; i < 2; i++) {
        struct soma_sync_options options = random_options(rng, plan);
        options.initiator = i == initiator;
        options.from = *from;
        if (!plan->both)
            options.role = i == 0 ? SOMA_SYNC_SOURCE : SOMA_SYNC_TARGET;
        syncs[i] = open_sync(&sides[i], &options);
    }
    const bool done = talk(rng, syncs[0], syncs[1], pieces);
    struct soma_sync_result results[2];
    for (unsigned i = 0; i < 2; i++) {
        soma_sync_outcome(syncs[i], &results[i]);
        EXPECT(!done || results[i].equal);
        if (!EXPECT(strcmp(soma_sync_reason(syncs[i]), "ok") == 0))
            fprintf(stderr, "# %s\n", soma_sync_reason(syncs[i]));
    }
    if (done) {
        EXPECT(soma_digest_equal(&results[0].mine, &results[1].mine));
        EXPECT_EQ(results[0].bytes_sent, results[1].bytes_received);
        EXPECT_EQ(results[0].entries_sent, results[1].entries_received);
        EXPECT_EQ(results[0].kept, 0);
    }
    *from = soma_sync_token(syncs[initiator]);
    soma_sync_close(syncs[0]);
    soma_sync_close(syncs[1]);
    return done;
}

static void one_plan(struct rng *rng, struct plan *plan)
{
    const uint64_t seed = 1 + rng_next(rng) % 1000;
    struct side sides[2] = {open_side(plan->words, seed, plan->mask), open_side(plan->words, seed, plan->mask)};
    uint64_t from = 0;
    differ(rng, &sides[0], &sides[1], plan->keys, plan->differences);
    for (unsigned i = 0; i < 5 && plan->broken; i++)
        (void)session(rng, plan, sides, &from, 1 + rng_below(rng, 30));
    EXPECT(session(rng, plan, sides, &from, UINT64_MAX));
    for (uint64_t key = 0; key < KEYS; key++) {
        sides[1].values[key] =
            plan->both ? ruled(plan, sides[0].values[key], sides[1].values[key]) : sides[0].values[key];
        sides[0].values[key] = sides[1].values[key];
    }
    expect_values(&sides[0]);
    expect_values(&sides[1]);
    close_side(&sides[0]);
    close_side(&sides[1]);
}

static void plans(bool both, bool broken, uint64_t mask)
{
    struct rng rng = rng_new(1);
    const double end = now_seconds() + test_seconds();
    do {
        struct plan plan = {
            .words = mask == UINT64_MAX && rng_below(&rng, 2), .both = both, .broken = broken, .mask = mask};
        plan.keys = rng_below(&rng, 4) ? rng_below(&rng, mask ? 2 * KEYS : 60) : 0;
        plan.differences = rng_below(&rng, 3) ? rng_below(&rng, 100) : rng_below(&rng, mask ? 2 * KEYS : 60);
        one_plan(&rng, &plan);
    } while (now_seconds() < end && failures() == 0);
}

static void one_way(const void *unused)
{
    (void)unused;
    plans(false, false, UINT64_MAX);
}

static void both_ways(const void *unused)
{
    (void)unused;
    plans(true, false, UINT64_MAX);
}

static void broken_off(const void *unused)
{
    (void)unused;
    plans(false, true, UINT64_MAX);
    plans(true, true, UINT64_MAX);
}

static void equal_hashes(const void *unused)
{
    (void)unused;
    plans(false, false, UINT64_C(3) << 62);
    plans(true, false, UINT64_C(3) << 62);
    plans(true, false, 0);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {{"one way", one_way, NULL},
                                      {"both ways", both_ways, NULL},
                                      {"broken off and gone on with", broken_off, NULL},
                                      {"equal hashes", equal_hashes, NULL}};
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
