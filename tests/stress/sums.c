/* SPDX-License-Identifier: ISC */
/* sums.c - no update is lost or doubled: sums are exact, of put_new() on one key one thread wins, of remove() too. */
#include <stdatomic.h>
#include <stdlib.h>

#include "kinds.h"
#include "support.h"

#define THREADS 4
#define KEYS 37
#define ROUNDS 3000

struct run {
    const struct kind *kind;
    void *map;
    double end;
    atomic_uint_fast64_t added[KEYS];
    atomic_uint_fast64_t winner[ROUNDS]; /* who inserted, plus one */
    atomic_uint_fast64_t removed[ROUNDS];
    atomic_uint_fast64_t changes; /* insertions minus removals */
    pthread_barrier_t barrier;
};

static struct run *open_run(const void *kind)
{
    const struct kind_options options = {.reserve = 0};
    struct run *run = need(1, sizeof *run);
    run->kind = kind;
    run->end = now_seconds() + test_seconds();
    run->map = kind_open(run->kind, &options);
    pthread_barrier_init(&run->barrier, NULL, THREADS);
    return run;
}

static void close_run(struct run *run)
{
    run->kind->close(run->map);
    soma_barrier_wait();
    pthread_barrier_destroy(&run->barrier);
    free(run);
    EXPECT(!leaks_found());
}

/* ---- fetch_add ---- */

static void add(unsigned index, void *arg)
{
    struct run *run = arg;
    struct rng rng = rng_new(index);
    uint64_t steps = 0;
    while (++steps % 64 || now_seconds() < run->end) {
        const uint64_t key = rng_below(&rng, KEYS);
        const uint64_t delta = rng_next(&rng);
        const enum soma_status status = run->kind->fetch_add(run->map, key, delta, NULL);
        EXPECT(status == SOMA_INSERTED || status == SOMA_REPLACED);
        atomic_fetch_add(&run->added[key], delta);
    }
    verified(steps);
}

static void sums(const void *kind)
{
    struct run *run = open_run(kind);
    crew_run(THREADS, add, run);
    for (uint64_t key = 0; key < KEYS; key++) {
        uint64_t sum = 0;
        run->kind->fetch_add(run->map, key, 0, &sum);
        EXPECT_EQ(sum, atomic_load(&run->added[key]));
    }
    EXPECT_EQ(run->kind->count(run->map), KEYS);
    close_run(run);
}

/* ---- update ---- */

static enum soma_status one_more(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    (void)key, (void)ctx;
    *value = present ? *value + 1 : 1;
    return SOMA_OK;
}

static void count_up(unsigned index, void *arg)
{
    struct run *run = arg;
    struct rng rng = rng_new(index);
    uint64_t steps = 0;
    while (++steps % 64 || now_seconds() < run->end) {
        const uint64_t key = rng_below(&rng, KEYS);
        const enum soma_status status = run->kind->update(run->map, key, one_more, NULL);
        EXPECT(status == SOMA_INSERTED || status == SOMA_REPLACED);
        atomic_fetch_add(&run->added[key], 1);
    }
    verified(steps);
}

static void updates(const void *kind)
{
    struct run *run = open_run(kind);
    crew_run(THREADS, count_up, run);
    for (uint64_t key = 0; key < KEYS; key++) {
        uint64_t count = 0;
        EXPECT_EQ(run->kind->get(run->map, key, &count), SOMA_OK);
        EXPECT_EQ(count, atomic_load(&run->added[key]));
    }
    close_run(run);
}

/* ---- put_new, remove ---- */

static void race_to_insert(struct run *run, uint64_t me, uint64_t round)
{
    uint64_t present = 0;
    const enum soma_status status = run->kind->put_new(run->map, round, me, &present);
    if (status == SOMA_INSERTED)
        EXPECT_EQ(atomic_exchange(&run->winner[round], me + 1), 0);
    pthread_barrier_wait(&run->barrier);
    EXPECT_EQ(atomic_load(&run->winner[round]), (status == SOMA_INSERTED ? me : present) + 1);
}

static void race_to_remove(struct run *run, uint64_t round)
{
    uint64_t old = 0;
    const enum soma_status status = run->kind->remove(run->map, round, &old);
    if (status == SOMA_REMOVED) {
        EXPECT_EQ(old + 1, atomic_load(&run->winner[round]));
        atomic_fetch_add(&run->removed[round], 1);
    }
    pthread_barrier_wait(&run->barrier);
    EXPECT_EQ(atomic_load(&run->removed[round]), 1);
}

static void race(unsigned index, void *arg)
{
    struct run *run = arg;
    uint64_t round = 0;
    bool go_on = true;
    for (; go_on && round < ROUNDS; round++) {
        race_to_insert(run, index, round);
        race_to_remove(run, round);
        if (index == 0)
            atomic_store(&run->changes, now_seconds() < run->end && failures() == 0);
        pthread_barrier_wait(&run->barrier);
        go_on = atomic_load(&run->changes) != 0;
        pthread_barrier_wait(&run->barrier);
    }
    verified(2 * round);
}

static void winners(const void *kind)
{
    struct run *run = open_run(kind);
    crew_run(THREADS, race, run);
    EXPECT_EQ(run->kind->count(run->map), 0);
    close_run(run);
}

/* ---- count_approx ---- */

static void come_and_go(unsigned index, void *arg)
{
    struct run *run = arg;
    struct rng rng = rng_new(index);
    uint64_t steps = 0;
    uint64_t changes = 0;
    while (++steps % 64 || now_seconds() < run->end) {
        const uint64_t key = rng_below(&rng, 5000);
        if (rng_below(&rng, 2))
            changes += run->kind->put(run->map, key, steps, NULL) == SOMA_INSERTED;
        else
            changes -= run->kind->remove(run->map, key, NULL) == SOMA_REMOVED;
        if (index == 0)
            EXPECT(run->kind->count(run->map) <= 5000 + THREADS);
    }
    atomic_fetch_add(&run->changes, changes);
    verified(steps);
}

static void counts(const void *kind)
{
    struct run *run = open_run(kind);
    crew_run(THREADS, come_and_go, run);
    EXPECT_EQ(run->kind->count(run->map), atomic_load(&run->changes));
    uint64_t there = 0;
    for (uint64_t key = 0; key < 5000; key++)
        there += run->kind->get(run->map, key, NULL) == SOMA_OK;
    EXPECT_EQ(run->kind->count(run->map), there);
    EXPECT_EQ(run->kind->clear(run->map), SOMA_OK);
    EXPECT_EQ(run->kind->count(run->map), 0);
    close_run(run);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"u64-fetch-add", sums, &kinds[0]},  {"u64-update", updates, &kinds[0]}, {"u64-winners", winners, &kinds[0]},
        {"u64-count", counts, &kinds[0]},    {"map-fetch-add", sums, &kinds[1]}, {"map-update", updates, &kinds[1]},
        {"map-winners", winners, &kinds[1]}, {"map-count", counts, &kinds[1]},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
