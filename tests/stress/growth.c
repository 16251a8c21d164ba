/* SPDX-License-Identifier: ISC */
/* growth.c - a table that is filled and emptied over and over, so that it grows and shrinks all the time, while readers
 * look for keys that are always there, and for keys that never are. No lookup may miss the ones or find the others,
 * also not while the values of the ones are being replaced. At rest the count is exact. */
#include <stdatomic.h>

#include "kinds.h"
#include "support.h"

#define PERMANENT 1000
#define FILL_FAST 200000
#define FILL_SANITIZED 20000
#define FILLERS 2
#define READERS 2
#define NEVER_FIRST (UINT64_C(1) << 40)
/* A permanent key's value is the key plus a multiple of this. */
#define ROUND (UINT64_C(1) << 32)

struct run {
    const struct kind *kind;
    void *map;
    uint64_t fill;
    double end;
    atomic_bool done;
    atomic_uint_fast64_t rounds;
};

static uint64_t filler_key(const struct run *run, unsigned index, uint64_t i)
{
    return PERMANENT + index * run->fill + i;
}

static void fill_and_empty(struct run *run, unsigned index)
{
    for (uint64_t i = 0; i < run->fill; i++)
        EXPECT_EQ(run->kind->put(run->map, filler_key(run, index, i), i, NULL), SOMA_INSERTED);
    for (uint64_t i = 0; i < run->fill; i++)
        EXPECT_EQ(run->kind->remove(run->map, filler_key(run, index, i), NULL), SOMA_REMOVED);
    if (index == 0)
        EXPECT_EQ(run->kind->shrink(run->map), SOMA_OK);
}

static void check_permanent(const struct run *run, uint64_t key)
{
    uint64_t value = 0;
    if (EXPECT_EQ(run->kind->get(run->map, key, &value), SOMA_OK))
        EXPECT_EQ(value % ROUND, key);
}

/* Permanent keys and others, in turn. */
static void check_many(const struct run *run, uint64_t from)
{
    uint64_t keys[32];
    uint64_t values[32];
    bool found[32];
    for (uint64_t i = 0; i < 32; i++)
        keys[i] = i % 2 ? NEVER_FIRST + from + i : (from + i) % PERMANENT;
    EXPECT_EQ(run->kind->get_many(run->map, keys, 32, values, found), 16);
    for (uint64_t i = 0; i < 32; i += 2)
        EXPECT(found[i] && !found[i + 1] && values[i] % ROUND == keys[i]);
}

static void read_all(struct run *run, unsigned index)
{
    struct rng rng = rng_new(index);
    uint64_t looked = 0;
    while (!atomic_load(&run->done) && failures() == 0) {
        check_permanent(run, rng_below(&rng, PERMANENT));
        EXPECT_EQ(run->kind->get(run->map, NEVER_FIRST + rng_below(&rng, NEVER_FIRST), NULL), SOMA_ABSENT);
        check_many(run, rng_below(&rng, PERMANENT));
        looked += 34;
    }
    verified(looked);
}

static void replace_all(struct run *run)
{
    for (uint64_t n = 1; !atomic_load(&run->done) && failures() == 0; n++) {
        const uint64_t key = n % PERMANENT;
        uint64_t old = 0;
        EXPECT_EQ(run->kind->put(run->map, key, key + n / PERMANENT * ROUND, &old), SOMA_REPLACED);
        EXPECT_EQ(old % ROUND, key);
    }
}

static void work(unsigned index, void *arg)
{
    struct run *run = arg;
    if (index < FILLERS) {
        do {
            fill_and_empty(run, index);
            atomic_fetch_add(&run->rounds, 1);
        } while (now_seconds() < run->end && failures() == 0);
        atomic_store(&run->done, true);
    } else if (index < FILLERS + READERS) {
        read_all(run, index);
    } else {
        replace_all(run);
    }
}

static void growth(const void *arg)
{
    struct run run = {.kind = arg, .end = now_seconds() + test_seconds()};
    const struct kind_options options = {.reserve = 0};
    run.fill = under_sanitizer() ? FILL_SANITIZED : FILL_FAST;
    run.map = kind_open(run.kind, &options);
    for (uint64_t key = 0; key < PERMANENT; key++)
        EXPECT_EQ(run.kind->put(run.map, key, key, NULL), SOMA_INSERTED);
    crew_run(FILLERS + READERS + 1, work, &run);
    EXPECT_EQ(run.kind->count(run.map), PERMANENT);
    for (uint64_t key = 0; key < PERMANENT; key++)
        check_permanent(&run, key);
    EXPECT(atomic_load(&run.rounds) >= FILLERS);
    run.kind->close(run.map);
    soma_barrier_wait();
    EXPECT(!leaks_found());
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {{"u64", growth, &kinds[0]}, {"map", growth, &kinds[1]}};
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
