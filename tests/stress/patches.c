/* SPDX-License-Identifier: ISC */
/* patches.c - patches applied there and back beside other threads.
 *
 * others  Threads count on keys that no patch touches, and an auditor looks through views. Each patch is made, no count is lost,
 *         and each view has a beginning of the patch and nothing behind it.
 * same    Intruders take a key's value away, leave a word of their own, and put back what they took; and they hold the
 *         patch up, by a signal, wherever it is. Nobody may store over their word. A patch that meets one is not made: of
 *         its keys none has the value after, but for those that the outcome says were kept, which are just as many. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <soma/soma.h>

#include "kinds.h"
#include "support.h"

#define KEYS 300 /* in patches that nobody disturbs */
#define SAME 300 /* in those that somebody does */
#define COUNTERS UINT64_C(100000)
#define THREADS 3

static struct {
    const struct kind *kind;
    void *map;
    uint64_t keys;
    soma_patch *patches[2]; /* there, and back */
    uint64_t *order;        /* the keys, as the patch has them */
    double end;
    pthread_t patcher;
    pthread_barrier_t known; /* who that is */
    atomic_bool over;
    atomic_bool caught; /* somebody's word was stored over */
    uint64_t made;      /* patches */
    uint64_t met;       /* those that met somebody */
    uint64_t kept;
} run;

/* What a key has before the patch and after; 0: it is absent. So each third is inserted, removed, replaced. */
static uint64_t value_of(uint64_t key, int after)
{
    return key % 3 == (after ? 1 : 0) ? 0 : (after ? 2000 : 1000) + key;
}

/* ---- Both kinds ---- */

static enum soma_status apply_patch(int back, struct soma_patch_outcome *outcome)
{
    const struct soma_bytes bytes = soma_patch_bytes(run.patches[back]);
    return run.kind == &kinds[0] ? soma_patch_apply_u64_wait(run.map, bytes, outcome)
                                 : soma_patch_apply_map_wait(run.map, bytes, outcome);
}

/* From one value to another, if it is there; 0 is none. */
static bool change(uint64_t key, uint64_t from, uint64_t to)
{
    if (from == to)
        return run.kind->get(run.map, key, NULL) == SOMA_ABSENT;
    if (from == 0)
        return run.kind->put_new(run.map, key, to, NULL) == SOMA_INSERTED;
    if (to == 0)
        return run.kind->remove_if(run.map, key, from, NULL) == SOMA_REMOVED;
    return run.kind->cas(run.map, key, from, to, NULL) == SOMA_REPLACED;
}

static uint64_t now_at(uint64_t key)
{
    uint64_t value = 0;
    return run.kind->get(run.map, key, &value) == SOMA_OK ? value : 0;
}

static void open_run(int kind, uint64_t keys)
{
    static const struct kind_options options;
    memset(&run, 0, sizeof run);
    run.kind = &kinds[kind];
    run.keys = keys;
    run.map = kind_open(run.kind, &options);
    run.order = need(keys, sizeof *run.order);
    void *after = kind_open(run.kind, &options);
    soma_view *views[2] = {NULL, NULL};
    for (uint64_t key = 0; key < keys; key++) {
        EXPECT(change(key, 0, value_of(key, 0)));
        if (value_of(key, 1))
            EXPECT_EQ(run.kind->put(after, key, value_of(key, 1), NULL), SOMA_INSERTED);
    }
    EXPECT_EQ(run.kind->view(run.map, &views[0]), SOMA_OK);
    EXPECT_EQ(run.kind->view(after, &views[1]), SOMA_OK);
    EXPECT_EQ(soma_patch_make(views[0], views[1], &run.patches[0]), SOMA_OK);
    EXPECT_EQ(soma_patch_invert(soma_patch_bytes(run.patches[0]), &run.patches[1]), SOMA_OK);
    soma_view_close(views[0]);
    soma_view_close(views[1]);
    run.kind->close(after);
    struct soma_patch_reader reader;
    struct soma_difference d;
    uint64_t n = 0;
    EXPECT_EQ(soma_patch_begin(soma_patch_bytes(run.patches[0]), &reader), SOMA_OK);
    for (; soma_patch_next(&reader, &d) == SOMA_OK && n < keys; n++)
        run.order[n] = kind == 0 ? d.word.key : kind_id(d.key.data, d.key.len);
    EXPECT_EQ(n, keys);
    atomic_store(&run.over, false);
    run.end = now_seconds() + test_seconds();
}

static void close_run(void)
{
    run.kind->close(run.map);
    soma_patch_free(run.patches[0]);
    soma_patch_free(run.patches[1]);
    free(run.order);
    soma_barrier_wait();
    EXPECT(!leaks_found());
}

/* ---- Other keys ---- */

static void patch_undisturbed(void)
{
    for (int back = 0; now_seconds() < run.end && failures() == 0; back = !back) {
        struct soma_patch_outcome outcome = {0, 0};
        EXPECT_EQ(apply_patch(back, &outcome), SOMA_OK);
        EXPECT(outcome.number == run.keys && outcome.kept == 0);
        run.made++;
    }
    atomic_store(&run.over, true);
}

/* Which of its two states a key has in a view. */
static int state_in(const soma_view *view, uint64_t key)
{
    uint64_t value = 0;
    if (run.kind->view_get(view, key, &value) != SOMA_OK)
        value = 0;
    EXPECT(value == value_of(key, 0) || value == value_of(key, 1));
    return value == value_of(key, 1);
}

static void audit(void)
{
    while (!atomic_load(&run.over)) {
        soma_view *view = NULL;
        if (!EXPECT_EQ(run.kind->view(run.map, &view), SOMA_OK))
            return;
        unsigned changes = 0;
        for (uint64_t i = 1; i < run.keys; i++)
            changes += state_in(view, run.order[i - 1]) != state_in(view, run.order[i]);
        EXPECT(changes <= 1);
        soma_view_close(view);
        verified(run.keys);
    }
}

/* A key of its own goes up, and others come and go. */
static void count_up(unsigned index)
{
    struct rng rng = rng_new(index);
    uint64_t value = 0;
    while (!atomic_load(&run.over)) {
        EXPECT(change(COUNTERS + index, value, value + 1));
        value++;
        const uint64_t key = 2 * COUNTERS + rng_below(&rng, 1000);
        EXPECT((rng_below(&rng, 2) ? run.kind->put(run.map, key, 7, NULL) : run.kind->remove(run.map, key, NULL)) >= 0);
    }
    EXPECT_EQ(now_at(COUNTERS + index), value);
    verified(value);
}

static void others_body(unsigned index, void *unused)
{
    (void)unused;
    if (index == 0)
        patch_undisturbed();
    else if (index == 1)
        audit();
    else
        count_up(index);
}

static void others(const void *kind)
{
    open_run(*(const int *)kind, KEYS);
    crew_run(2 + THREADS - 1, others_body, NULL);
    verified(run.made);
    close_run();
}

/* ---- The same keys ---- */

/* Brings every key that has the one state into the other, as soon as nobody else has it. Gives how many had to be. */
static uint64_t repair(int from)
{
    uint64_t repaired = 0;
    for (uint64_t key = 0; key < run.keys; key++) {
        for (;;) {
            const uint64_t value = now_at(key);
            if (value == value_of(key, !from))
                break;
            if (value == value_of(key, from) && change(key, value, value_of(key, !from))) {
                repaired++;
                break;
            }
            sched_yield();
        }
    }
    return repaired;
}

/* What a patch that does not look would do. */
static void store_all(int back)
{
    for (uint64_t key = 0; key < run.keys; key++) {
        const uint64_t value = value_of(key, !back);
        if (value)
            EXPECT(run.kind->put(run.map, key, value, NULL) >= 0);
        else
            EXPECT(run.kind->remove(run.map, key, NULL) >= 0);
    }
}

static void patch_disturbed(void)
{
    for (int back = 0; now_seconds() < run.end && failures() == 0;) {
        struct soma_patch_outcome outcome = {0, 0};
        const enum soma_status status = apply_patch(back, &outcome);
        EXPECT(status == SOMA_OK || status == SOMA_CHANGED);
        if (status == SOMA_OK) {
            EXPECT(outcome.number == run.keys && outcome.kept == 0);
            run.made++;
            back = !back;
        } else {
            EXPECT(outcome.number < run.keys && outcome.kept <= outcome.number);
            EXPECT_EQ(repair(!back), outcome.kept);
            run.met += outcome.number > 0;
            run.kept += outcome.kept;
        }
    }
    atomic_store(&run.over, true);
}

/* A key that an intruder has. */
struct held {
    uint64_t key;
    uint64_t taken;
    uint64_t word;
    bool is;
};

static struct held take(uint64_t key, int state, uint64_t word)
{
    struct held held = {.key = key, .taken = value_of(key, state), .word = word};
    held.is = change(key, held.taken, word);
    return held;
}

static void put_back(const struct held *held)
{
    if (!held->is)
        return;
    if (!EXPECT(change(held->key, held->word, held->taken)))
        atomic_store(&run.caught, true);
    verified(1);
}

static void doze(int signal)
{
    (void)signal;
    (void)nanosleep(&(const struct timespec){.tv_nsec = 200000}, NULL);
}

/* Holds the patch up wherever it is, takes some keys, and keeps them for about as long as it may take to be gone on with. */
static void ambush(struct rng *rng, uint64_t word)
{
    struct held held[4];
    pthread_kill(run.patcher, SIGUSR1);
    for (uint64_t i = 0; i < 4; i++)
        held[i] = take(rng_below(rng, run.keys), (int)rng_below(rng, 2), word + i);
    (void)nanosleep(&(const struct timespec){.tv_nsec = (long)rng_below(rng, 600000)}, NULL);
    for (uint64_t i = 0; i < 4; i++)
        put_back(&held[i]);
}

static void intrude(unsigned index)
{
    struct rng rng = rng_new(index);
    uint64_t word = (uint64_t)index << 32;
    for (; !atomic_load(&run.over); word += 4) {
        if (rng_below(&rng, 16) == 0) {
            ambush(&rng, word);
            continue;
        }
        const struct held held = take(rng_below(&rng, run.keys), (int)rng_below(&rng, 2), word);
        for (uint64_t i = rng_below(&rng, 30); i > 0; i--)
            (void)now_at(held.key);
        put_back(&held);
    }
}

static void patch_carelessly(void)
{
    for (int back = 0; now_seconds() < run.end && !atomic_load(&run.caught); back = !back)
        store_all(back);
    atomic_store(&run.over, true);
}

static void same_body(unsigned index, void *careless)
{
    if (index == 0)
        run.patcher = pthread_self();
    pthread_barrier_wait(&run.known);
    if (index == 0 && careless)
        patch_carelessly();
    else if (index == 0)
        patch_disturbed();
    else
        intrude(index);
    pthread_barrier_wait(&run.known); /* nobody is sent a signal who is no more */
}

static void run_same(int kind, bool careless)
{
    open_run(kind, SAME);
    if (careless)
        run.end = now_seconds() + 60; /* it ends as soon as somebody's word is gone */
    signal(SIGUSR1, doze);
    pthread_barrier_init(&run.known, NULL, THREADS);
    crew_run(THREADS, same_body, careless ? &run : NULL);
    pthread_barrier_destroy(&run.known);
}

static void same(const void *kind)
{
    run_same(*(const int *)kind, false);
    printf("# %llu patches made, %llu met somebody, %llu keys kept\n", (unsigned long long)run.made,
           (unsigned long long)run.met, (unsigned long long)run.kept);
    verified(run.made);
    close_run();
}

/* ---- A seeded bug ---- */

static void canary(const void *kind)
{
    canary_begin();
    run_same(*(const int *)kind, true);
    EXPECT(canary_end() >= 1);
    verified(1);
    close_run();
}

int main(int argc, char **argv)
{
    static const int words = 0;
    static const int bytes = 1;
    const struct test_case cases[] = {
        {"others-u64", others, &words}, {"others-map", others, &bytes}, {"same-u64", same, &words},
        {"same-map", same, &bytes},     {"canary-u64", canary, &words}, {"canary-map", canary, &bytes},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
