/* SPDX-License-Identifier: ISC */
/* flood.c - a million retired calls pile up behind one reader that does not leave. None runs while it is inside; all run
 * once when it has left; the memory that they waited in is given back, round after round. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kinds.h"
#include "stalled.h"
#include "torture.h"

static uint64_t calls = 1000000;
static uint64_t rounds = 2;
static uint64_t threads = 4;

#define DEPTH 4      /* how often a call of the chains retires itself */
#define DEPTH_LOG2 2 /* an index and a depth are one pointer */
#define KEYS 1000    /* of the maps: each value is replaced by the next */
#define CAP (UINT64_C(4) << 30)
/* What allocators keep for themselves, threads' stacks, and so on. */
#define SLACK_KIB (2 * 1024)
#define IN_USE_SLACK_KIB 256
/* What a flood took is to come back but for a part. */
#define KEPT_SHARE 4

struct flood {
    const struct kind *kind;
    void *map;
    atomic_uchar *runs; /* by call or value: how often it ran */
    atomic_uint_fast64_t ran;
    uint64_t base_kib; /* resident before the first flood */
    uint64_t kept_kib; /* the most that was above it after one */
    uint64_t base_in_use_kib;
    uint64_t peak_kib; /* and before its end */
};

static struct flood flood;

/* ---- What runs ---- */

static void note(uint64_t number)
{
    if (EXPECT(number < calls))
        atomic_fetch_add_explicit(&flood.runs[number], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&flood.ran, 1, memory_order_relaxed);
}

static void note_call(void *arg)
{
    note((uintptr_t)arg);
}

/* Retires itself again until it has run DEPTH times. */
static void note_chain(void *arg)
{
    const uint64_t word = (uintptr_t)arg;
    note(word >> DEPTH_LOG2);
    if ((word & (DEPTH - 1)) + 1 < DEPTH)
        EXPECT_EQ(soma_retire(note_chain, (void *)(uintptr_t)(word + 1)), SOMA_OK);
}

static void note_value(uint64_t value, void *ctx)
{
    (void)ctx;
    note(value);
}

/* ---- What retires: each thread its share of the numbers ---- */

static uint64_t share_first(unsigned index)
{
    return calls / threads * index;
}

static uint64_t share_end(unsigned index)
{
    return index + 1 == threads ? calls : share_first(index + 1);
}

static void retire_calls(unsigned index, void *unused)
{
    (void)unused;
    for (uint64_t i = share_first(index); i < share_end(index); i++)
        EXPECT_EQ(soma_retire(note_call, (void *)(uintptr_t)i), SOMA_OK);
}

static void retire_chains(unsigned index, void *unused)
{
    (void)unused;
    for (uint64_t i = share_first(index); i < share_end(index); i++)
        EXPECT_EQ(soma_retire(note_chain, (void *)(uintptr_t)(i << DEPTH_LOG2)), SOMA_OK);
}

static void retire_values(unsigned index, void *unused)
{
    (void)unused;
    for (uint64_t i = share_first(index); i < share_end(index); i++) {
        const enum soma_status status = flood.kind->put(flood.map, index * KEYS + i % KEYS, i, NULL);
        EXPECT(status == SOMA_REPLACED || status == SOMA_INSERTED);
    }
}

/* ---- The check, which the canary tries on a doctored account ---- */

static void check_runs(unsigned times)
{
    for (uint64_t i = 0; i < calls; i++) {
        if (!EXPECT_EQ(atomic_load_explicit(&flood.runs[i], memory_order_relaxed), times))
            return;
    }
}

static void check_none_ran(void)
{
    EXPECT_EQ(atomic_load(&flood.ran), 0);
}

/* ---- One flood ---- */

static void account_open(void)
{
    memset(&flood, 0, sizeof flood);
    flood.runs = need(calls, sizeof *flood.runs);
    memset(flood.runs, 0, calls); /* resident from here on */
}

static void account_clear(void)
{
    for (uint64_t i = 0; i < calls; i++)
        atomic_store_explicit(&flood.runs[i], 0, memory_order_relaxed);
    atomic_store(&flood.ran, 0);
}

static void rise_to(uint64_t *most, uint64_t now)
{
    if (now > flood.base_kib && now - flood.base_kib > *most)
        *most = now - flood.base_kib;
}

/* Returns how long it took from the reader's leaving until all had run. */
static double flood_once(void (*retire)(unsigned index, void *arg), unsigned barriers)
{
    struct stalled stalled;
    account_clear();
    memory_settle();
    if (flood.base_kib == 0)
        flood.base_kib = resident_kib();
    if (flood.base_in_use_kib == 0)
        flood.base_in_use_kib = memory_in_use_kib();
    stalled_start(&stalled);
    crew_run((unsigned)threads, retire, NULL);
    sleep_ms(20);
    check_none_ran();
    rise_to(&flood.peak_kib, resident_kib());
    stalled_stop(&stalled);
    const double left = now_seconds();
    for (unsigned i = 0; i < barriers; i++)
        soma_barrier_wait();
    const double seconds = now_seconds() - left;
    memory_settle();
    rise_to(&flood.kept_kib, resident_kib());
    return seconds;
}

static void tell(const char *what, double slowest)
{
    printf("# %s: %" PRIu64 " pending, %" PRIu64 " rounds, all run within %.3f s, %" PRIu64 " KiB at the peak, %" PRIu64
           " KiB kept\n",
           what, calls, rounds, slowest, flood.peak_kib, flood.kept_kib);
    if (!under_sanitizer()) {
        EXPECT(flood.kept_kib < flood.peak_kib / KEPT_SHARE + SLACK_KIB);
        EXPECT(memory_in_use_kib() < flood.base_in_use_kib + IN_USE_SLACK_KIB);
    }
}

static void flood_calls(const void *arg)
{
    const unsigned times = *(const unsigned *)arg;
    double slowest = 0;
    account_open();
    for (uint64_t round = 0; round < rounds && failures() == 0; round++) {
        const double seconds = flood_once(times > 1 ? retire_chains : retire_calls, times);
        slowest = seconds > slowest ? seconds : slowest;
        check_runs(times);
        EXPECT_EQ(atomic_load(&flood.ran), calls * times);
        torture_did(calls * times);
        torture_progress(round + 1, rounds, "rounds");
    }
    tell(times > 1 ? "chains" : "calls", slowest);
    free(flood.runs);
    EXPECT(!leaks_found());
}

static void flood_values(const void *arg)
{
    const struct kind_options options = {.retired = note_value, .deferred_bytes_max = CAP};
    double slowest = 0;
    account_open();
    flood.kind = arg;
    for (uint64_t round = 0; round < rounds && failures() == 0; round++) {
        flood.map = kind_open(flood.kind, &options);
        const double seconds = flood_once(retire_values, 1);
        slowest = seconds > slowest ? seconds : slowest;
        EXPECT_EQ(atomic_load(&flood.ran), calls - flood.kind->count(flood.map));
        flood.kind->close(flood.map);
        soma_barrier_wait();
        check_runs(1);
        torture_did(calls);
        torture_progress(round + 1, rounds, "rounds");
    }
    tell(flood.kind->name, slowest);
    free(flood.runs);
    EXPECT(!leaks_found());
}

/* ---- Canaries: a call lost, one run twice, none held back ---- */

static void canary(const void *unused)
{
    (void)unused;
    account_open();
    retire_calls(0, NULL); /* and no reader inside */
    soma_barrier_wait();
    canary_begin();
    check_none_ran();
    EXPECT_EQ(canary_end(), 1);
    for (uint64_t i = 0; i < calls; i++)
        atomic_store(&flood.runs[i], 1);
    check_runs(1);
    for (unsigned bad = 0; bad <= 2; bad += 2) {
        atomic_store(&flood.runs[calls / 2], (unsigned char)bad);
        canary_begin();
        check_runs(1);
        EXPECT_EQ(canary_end(), 1);
    }
    free(flood.runs);
    torture_did(3);
}

int main(int argc, char **argv)
{
    static const unsigned once = 1;
    static const unsigned chain = DEPTH;
    const struct torture_option options[] = {
        {"calls", "calls that pile up", &calls, 0},
        {"rounds", "floods a case", &rounds, 200},
        {"threads", "threads that retire", &threads, 0},
    };
    const struct test_case cases[] = {
        {"calls", flood_calls, &once},
        {"chains", flood_calls, &chain},
        {"values-u64", flood_values, &kinds[0]},
        {"values-map", flood_values, &kinds[1]},
        {"canary", canary, NULL},
    };
    const struct torture torture = {
        .part = "flood",
        .unit = "calls",
        .about = "Retired calls pile up behind a reader; all run once when it has left, and memory comes back.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .cases = cases,
        .case_count = sizeof cases / sizeof cases[0],
    };
    return torture_main(argc, argv, &torture);
}
