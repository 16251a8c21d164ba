/* SPDX-License-Identifier: ISC */
/* reclaim.c - what is retired runs once, after its readers, and a barrier sees to it, whoever retired it; maps are
 * freed while others are busy. */
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kinds.h"
#include "stalled.h"
#include "support.h"

static void count_up(void *arg)
{
    atomic_uint *count = arg;
    atomic_fetch_add(count, 1);
}

static void wait_for(sem_t *sem)
{
    while (sem_wait(sem) != 0) {
    }
}

/* ---- Calls wait for sections ---- */

#define CALLS 3000 /* more than a batch */

static void retire_and_poll(atomic_uint *count)
{
    for (unsigned i = 0; i < CALLS; i++) {
        EXPECT_EQ(soma_retire(count_up, count), SOMA_OK);
        soma_read_enter();
        soma_read_exit();
    }
}

static void sections_hold_calls(const void *unused)
{
    (void)unused;
    atomic_uint count = 0;
    soma_read_enter();
    soma_read_enter();
    retire_and_poll(&count);
    soma_read_exit();
    EXPECT_EQ(atomic_load(&count), 0);
    soma_read_exit();
    soma_barrier_wait();
    EXPECT_EQ(atomic_load(&count), CALLS);

    struct stalled stalled;
    stalled_start(&stalled);
    atomic_store(&count, 0);
    retire_and_poll(&count);
    sleep_ms(50);
    retire_and_poll(&count);
    EXPECT_EQ(atomic_load(&count), 0);
    stalled_stop(&stalled);
    soma_barrier_wait();
    EXPECT_EQ(atomic_load(&count), 2 * CALLS);
    verified(3 * CALLS);
}

/* ---- What a retired call may do ---- */

#define DEPTH 600

struct chain {
    const struct kind *kind;
    void *map;
    unsigned left;
    unsigned wrong;
    atomic_uint values;
};

static void next_link(void *arg)
{
    struct chain *chain = arg;
    if (chain->left % 100 == 0)
        soma_barrier_wait(); /* here it must return at once */
    soma_read_enter();
    chain->wrong += chain->kind->put(chain->map, chain->left, chain->left, NULL) != SOMA_INSERTED;
    chain->wrong += chain->kind->put(chain->map, chain->left, chain->left + 1, NULL) != SOMA_REPLACED;
    chain->wrong += chain->kind->remove(chain->map, chain->left, NULL) != SOMA_REMOVED;
    soma_read_exit();
    if (--chain->left > 0)
        chain->wrong += soma_retire(next_link, chain) != SOMA_OK;
}

/* A value that leaves the map puts another key into it, up to a limit. */
static void value_gone(uint64_t value, void *ctx)
{
    struct chain *chain = ctx;
    if (value % 100 == 0)
        soma_barrier_wait();
    if (chain->map && atomic_fetch_add(&chain->values, 1) % 2 == 0)
        EXPECT(chain->kind->put(chain->map, 1000000 + value, value, NULL) >= 0);
}

static void calls_may_work(const void *arg)
{
    struct chain chain = {.kind = arg, .left = DEPTH};
    const struct kind_options options = {.retired = value_gone, .ctx = &chain};
    void *map = kind_open(chain.kind, &options);
    chain.map = map;
    EXPECT_EQ(soma_retire(next_link, &chain), SOMA_OK);
    unsigned rounds = 0;
    for (; rounds <= DEPTH && chain.left > 0; rounds++)
        soma_barrier_wait();
    EXPECT_EQ(chain.left, 0);
    EXPECT_EQ(chain.wrong, 0);
    for (int i = 0; i < 3; i++)
        soma_barrier_wait();
    EXPECT(atomic_load(&chain.values) >= 2 * DEPTH);
    chain.map = NULL; /* from here on the map takes no updates */
    chain.kind->close(map);
    soma_barrier_wait();
    verified(DEPTH);
}

/* ---- Maps are freed while others are busy ---- */

#define MAPS 150
#define MAP_KEYS 300
#define MAP_VALUES (3 * MAP_KEYS)

struct busy {
    const struct kind *kind;
    void *other;
    atomic_bool done;
    atomic_uchar *retired;
};

static void note_value(uint64_t value, void *ctx)
{
    const struct busy *busy = ctx;
    if (EXPECT(value < (uint64_t)MAPS * MAP_VALUES))
        atomic_fetch_add(&busy->retired[value], 1);
}

/* One map's life: as many values come as three puts a key make, some leave early, the rest when it is freed. */
static void live_and_die(struct busy *busy, const struct kind_options *options, uint64_t first)
{
    void *map = kind_open(busy->kind, options);
    for (uint64_t i = 0; i < MAP_VALUES; i++)
        EXPECT(busy->kind->put(map, i % MAP_KEYS, first + i, NULL) >= 0);
    for (uint64_t key = 0; key < MAP_KEYS; key += 3)
        EXPECT_EQ(busy->kind->remove(map, key, NULL), SOMA_REMOVED);
    busy->kind->close(map);
}

static void others_busy(unsigned index, void *arg)
{
    struct busy *busy = arg;
    for (uint64_t i = 0; !atomic_load(&busy->done); i++) {
        const uint64_t key = i % 5000 * 4 + index;
        EXPECT(busy->kind->put(busy->other, key, i, NULL) >= 0);
        if (i % 3 == 0)
            EXPECT_EQ(busy->kind->remove(busy->other, key, NULL), SOMA_REMOVED);
    }
}

static void freed_beside(const void *arg)
{
    struct busy busy = {.kind = arg};
    const struct kind_options options = {.retired = note_value, .ctx = &busy};
    const struct kind_options none = {.reserve = 0};
    struct crew crew;
    busy.retired = need((size_t)MAPS * MAP_VALUES, sizeof *busy.retired);
    busy.other = kind_open(busy.kind, &none);
    crew_start(&crew, 2, others_busy, &busy);
    for (uint64_t i = 0; i < MAPS && failures() == 0; i++)
        live_and_die(&busy, &options, i * MAP_VALUES);
    soma_barrier_wait();
    for (uint64_t value = 0; value < (uint64_t)MAPS * MAP_VALUES && failures() == 0; value++)
        EXPECT_EQ(atomic_load(&busy.retired[value]), 1);
    atomic_store(&busy.done, true);
    crew_join(&crew);
    busy.kind->close(busy.other);
    soma_barrier_wait();
    free(busy.retired);
    verified((uint64_t)MAPS * MAP_VALUES);
}

/* ---- Barriers beside barriers ---- */

#define BARRIER_MS 1000

struct barriers {
    double end;
    atomic_uint rounds;
};

/* Two threads retire and wait for their own calls, two only retire. */
static void retire_and_wait(unsigned index, void *arg)
{
    struct barriers *barriers = arg;
    atomic_uint count = 0;
    unsigned retired = 0;
    while (now_seconds() < barriers->end && failures() == 0) {
        for (unsigned i = 0; i < 100 + index; i++)
            retired += EXPECT_EQ(soma_retire(count_up, &count), SOMA_OK);
        if (index >= 2)
            continue;
        soma_barrier_wait();
        EXPECT_EQ(atomic_load(&count), retired);
        atomic_fetch_add(&barriers->rounds, 1);
    }
    soma_barrier_wait(); /* count goes out of scope */
    EXPECT_EQ(atomic_load(&count), retired);
}

static void barriers_beside(const void *unused)
{
    (void)unused;
    struct barriers barriers = {.end = now_seconds() + BARRIER_MS * 1e-3};
    crew_run(4, retire_and_wait, &barriers);
    EXPECT(atomic_load(&barriers.rounds) >= 2);
    verified(atomic_load(&barriers.rounds));
}

/* ---- soma_synchronize_wait ---- */

static void synchronize(unsigned index, void *arg)
{
    (void)index;
    soma_synchronize_wait();
    atomic_store((atomic_bool *)arg, true);
}

static void synchronize_waits(const void *unused)
{
    (void)unused;
    struct stalled stalled;
    struct crew crew;
    atomic_bool returned = false;
    stalled_start(&stalled);
    crew_start(&crew, 1, synchronize, &returned);
    sleep_ms(200);
    EXPECT(!atomic_load(&returned));
    stalled_stop(&stalled);
    crew_join(&crew);
    EXPECT(atomic_load(&returned));
    const double start = now_seconds();
    soma_synchronize_wait();
    EXPECT(now_seconds() - start < 1.0);
    verified(2);
}

/* ---- A thread that retired and then sits still outside Soma ---- */

#define IDLE_VALUES 10

struct idle {
    const struct kind *kind;
    void *map;
    atomic_uint calls;
    atomic_uint values;
    sem_t pending;
    sem_t leave;
};

static void idle_value(uint64_t value, void *ctx)
{
    struct idle *idle = ctx;
    EXPECT(value <= IDLE_VALUES);
    atomic_fetch_add(&idle->values, 1);
}

static void sit_idle(unsigned index, void *arg)
{
    struct idle *idle = arg;
    (void)index;
    EXPECT_EQ(soma_retire(count_up, &idle->calls), SOMA_OK);
    for (uint64_t i = 0; i <= IDLE_VALUES; i++)
        EXPECT(idle->kind->put(idle->map, 1, i, NULL) >= 0);
    sem_post(&idle->pending);
    wait_for(&idle->leave);
}

static void idle_thread(const void *arg)
{
    struct idle idle = {.kind = arg};
    const struct kind_options options = {.retired = idle_value, .ctx = &idle};
    struct crew crew;
    sem_init(&idle.pending, 0, 0);
    sem_init(&idle.leave, 0, 0);
    idle.map = kind_open(idle.kind, &options);
    crew_start(&crew, 1, sit_idle, &idle);
    wait_for(&idle.pending);
    soma_barrier_wait();
    EXPECT_EQ(atomic_load(&idle.calls), 1);
    EXPECT_EQ(atomic_load(&idle.values), IDLE_VALUES);
    sem_post(&idle.leave);
    crew_join(&crew);
    EXPECT_EQ(idle.kind->put(idle.map, 1, 0, NULL), SOMA_REPLACED); /* the last value is no idle one */
    soma_barrier_wait();
    idle.kind->close(idle.map);
    soma_barrier_wait();
    verified(1 + IDLE_VALUES);
}

/* ---- A table that a reader keeps from shrinking ---- */

#define SHRINK_KEYS 20000
#define SHRINK_LEFT 5 /* the count does not come to a multiple of eight when it goes up by one and back */
#define SHRINK_ROUNDS 1000000

static uint64_t buckets(const struct kind *kind, const void *map)
{
    struct soma_stats stats = {.struct_size = 0};
    EXPECT_EQ(kind == &kinds[0] ? soma_u64_stats(map, &stats) : soma_map_stats(map, &stats), SOMA_OK);
    return stats.buckets;
}

static void come_and_go(const struct kind *kind, void *map, uint64_t round)
{
    EXPECT_EQ(kind->put_new(map, SHRINK_KEYS, round, NULL), SOMA_INSERTED);
    EXPECT_EQ(kind->remove(map, SHRINK_KEYS, NULL), SOMA_REMOVED);
}

static void put_again(const struct kind *kind, void *map, uint64_t round)
{
    EXPECT_EQ(kind->put(map, 0, round, NULL), SOMA_REPLACED);
}

/* "If readers hold it up, later updates finish the job", whatever these are. */
static void held_up(const struct kind *kind, void (*update)(const struct kind *kind, void *map, uint64_t round))
{
    void *map = kind_open(kind, &(struct kind_options){.reserve = 0});
    struct stalled stalled;
    const uint64_t least = buckets(kind, map);
    for (uint64_t key = 0; key < SHRINK_KEYS; key++)
        EXPECT_EQ(kind->put(map, key, 0, NULL), SOMA_INSERTED);
    stalled_start(&stalled);
    for (uint64_t key = SHRINK_LEFT; key < SHRINK_KEYS; key++)
        EXPECT_EQ(kind->remove(map, key, NULL), SOMA_REMOVED);
    EXPECT_EQ(kind->shrink(map), SOMA_OK);
    EXPECT(buckets(kind, map) > 4 * least);
    stalled_stop(&stalled);
    uint64_t round = 0;
    while (buckets(kind, map) > least && round < SHRINK_ROUNDS && failures() == 0) {
        for (int i = 0; i < 1000; i++)
            update(kind, map, round++);
    }
    EXPECT_EQ(buckets(kind, map), least);
    kind->close(map);
    soma_barrier_wait();
    verified(round);
}

static void shrinks_when_keys_come_and_go(const void *arg)
{
    held_up(arg, come_and_go);
}

static void shrinks_when_values_change(const void *arg)
{
    held_up(arg, put_again);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"sections", sections_hold_calls, NULL},
        {"calls-u64", calls_may_work, &kinds[0]},
        {"calls-map", calls_may_work, &kinds[1]},
        {"freed-u64", freed_beside, &kinds[0]},
        {"freed-map", freed_beside, &kinds[1]},
        {"barriers", barriers_beside, NULL},
        {"synchronize", synchronize_waits, NULL},
        {"idle-u64", idle_thread, &kinds[0]},
        {"idle-map", idle_thread, &kinds[1]},
        {"shrinks-keys-u64", shrinks_when_keys_come_and_go, &kinds[0]},
        {"shrinks-keys-map", shrinks_when_keys_come_and_go, &kinds[1]},
        {"shrinks-values-u64", shrinks_when_values_change, &kinds[0]},
        {"shrinks-values-map", shrinks_when_values_change, &kinds[1]},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
