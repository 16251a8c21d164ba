/* SPDX-License-Identifier: ISC */
/* windows.c - linearizability of lookups. Each key has one writer, which takes it through states 1, 2, 3, ...: in
 * every fourth the key is absent, in the others it is there with the state as its value. The writer says before and
 * after each step which state it goes to. A lookup that ran while states n to m were possible may answer these and no
 * others. */
#include <stdatomic.h>

#include "kinds.h"
#include "support.h"

#define WRITERS 2
#define READERS 2
#define KEYS_MAX 64
#define CYCLE 4

struct setup {
    int kind;
    uint64_t keys;
};

struct key_state {
    atomic_uint_fast64_t begun;
    atomic_uint_fast64_t done;
};

struct run {
    const struct kind *kind;
    uint64_t keys;
    void *map;
    double end;
    atomic_bool stop;
    struct key_state states[KEYS_MAX];
};

static bool present_in(uint64_t state)
{
    return state % CYCLE != 0;
}

static void write_state(struct run *run, uint64_t key, uint64_t from)
{
    const uint64_t to = from + 1;
    uint64_t old = 0;
    atomic_store(&run->states[key].begun, to);
    if (present_in(to)) {
        const enum soma_status status = run->kind->put(run->map, key, to, &old);
        EXPECT_EQ(status, present_in(from) ? SOMA_REPLACED : SOMA_INSERTED);
    } else {
        EXPECT_EQ(run->kind->remove(run->map, key, &old), SOMA_REMOVED);
    }
    EXPECT_EQ(old, present_in(from) ? from : 0);
    atomic_store(&run->states[key].done, to);
}

static void write_keys(struct run *run, unsigned index)
{
    struct rng rng = rng_new(index);
    uint64_t steps = 0;
    while (failures() == 0 && (++steps % 64 || now_seconds() < run->end)) {
        const uint64_t key = rng_below(&rng, run->keys / WRITERS) * WRITERS + index;
        write_state(run, key, atomic_load(&run->states[key].done));
    }
    atomic_store(&run->stop, true);
    verified(steps);
}

/* Whether a lookup may answer so, if the states first to last were possible while it ran. */
static bool allowed(uint64_t first, uint64_t last, bool found, uint64_t value)
{
    if (found)
        return present_in(value) && value >= first && value <= last;
    return last / CYCLE * CYCLE >= first; /* a state of absence lies in between */
}

static void read_one(const struct run *run, uint64_t key, bool with)
{
    uint64_t value = 0;
    const uint64_t first = atomic_load(&run->states[key].done);
    const bool found = (with ? run->kind->get_with : run->kind->get)(run->map, key, &value) == SOMA_OK;
    const uint64_t last = atomic_load(&run->states[key].begun);
    EXPECT(allowed(first, last, found, value));
}

static void read_many(const struct run *run, uint64_t from)
{
    uint64_t keys[24];
    uint64_t first[24];
    uint64_t values[24];
    bool found[24];
    for (uint64_t i = 0; i < 24; i++) {
        keys[i] = (from + i) % run->keys;
        first[i] = atomic_load(&run->states[keys[i]].done);
    }
    run->kind->get_many(run->map, keys, 24, values, found);
    for (int i = 0; i < 24; i++)
        EXPECT(allowed(first[i], atomic_load(&run->states[keys[i]].begun), found[i], values[i]));
}

static void read_keys(const struct run *run, unsigned index)
{
    struct rng rng = rng_new(index);
    uint64_t looked = 0;
    while (failures() == 0 && !atomic_load(&run->stop)) {
        for (int i = 0; i < 8; i++)
            read_one(run, rng_below(&rng, run->keys), i % 2);
        read_many(run, rng_below(&rng, run->keys));
        looked += 32;
    }
    verified(looked);
}

static void work(unsigned index, void *arg)
{
    struct run *run = arg;
    if (index < WRITERS)
        write_keys(run, index);
    else
        read_keys(run, index);
}

static void windows(const void *arg)
{
    const struct setup *setup = arg;
    const struct kind_options options = {.reserve = 0};
    struct run run = {.kind = &kinds[setup->kind], .keys = setup->keys, .end = now_seconds() + test_seconds()};
    run.map = kind_open(run.kind, &options);
    crew_run(WRITERS + READERS, work, &run);
    run.kind->close(run.map);
    soma_barrier_wait();
}

/* Answers that no linearization explains, and some that one does. */
static void canary(const void *arg)
{
    (void)arg;
    EXPECT(allowed(3, 3, true, 3) && allowed(2, 6, true, 5) && allowed(4, 4, false, 0) && allowed(3, 5, false, 0));
    EXPECT(allowed(1, 3, true, 3) && allowed(1, 3, true, 1) && allowed(0, 0, false, 0));
    EXPECT(!allowed(1, 3, false, 0)); /* missed while it was replaced */
    EXPECT(!allowed(3, 3, false, 0)); /* missed */
    EXPECT(!allowed(5, 7, true, 3));  /* stale */
    EXPECT(!allowed(2, 3, true, 5));  /* from the future */
    EXPECT(!allowed(4, 4, true, 4));  /* resurrected */
    verified(1);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"u64-two-keys", windows, &(const struct setup){0, 2}},
        {"u64-some-keys", windows, &(const struct setup){0, KEYS_MAX}},
        {"map-two-keys", windows, &(const struct setup){1, 2}},
        {"map-some-keys", windows, &(const struct setup){1, KEYS_MAX}},
        {"canary", canary, NULL},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
