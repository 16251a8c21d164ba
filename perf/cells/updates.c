/* SPDX-License-Identifier: ISC */
/* updates.c - half lookups, a quarter insertions, a quarter removals; half of the keys are there at any time. */
#include "cells/cells.h"

#include <stdatomic.h>

#include "support/fail.h"
#include "support/rng.h"
#include "support/team.h"

/* Operations between two looks at the stop flag. */
#define STRETCH 64

struct mix {
    const struct cell *cell;
    void *map;
    atomic_bool stop;
    _Atomic uint64_t done;
    _Atomic uint64_t grown; /* entries more than at the start, modulo 2^64 */
};

/* One operation; by how much the map grew. */
static inline uint64_t mix_step(const struct mix *mix, uint64_t *rng)
{
    const struct peer_ops *peer = mix->cell->peer;
    const uint64_t draw = rng_next(rng);
    /* The kind is in low bits, the key in high ones. */
    const uint64_t key = key_at((draw >> 32) * (mix->cell->size * 2) >> 32);
    uint64_t value;
    switch (draw & 3) {
    case 0:
        return peer->put_each(mix->map, &key, 1);
    case 1:
        return 0 - peer->remove_each(mix->map, &key, 1);
    default:
        if (peer->get_each(mix->map, &key, 1, &value) == 1 && value != value_of(key))
            fail("%s: a lookup gave the wrong value", peer->name);
        return 0;
    }
}

static void mix_thread(void *shared, unsigned index)
{
    struct mix *mix = shared;
    const struct peer_ops *peer = mix->cell->peer;
    uint64_t rng = key_at(index);
    uint64_t done = 0;
    uint64_t grown = 0;
    peer->thread_enter();
    while (!atomic_load_explicit(&mix->stop, memory_order_relaxed)) {
        for (unsigned i = 0; i < STRETCH; i++)
            grown += mix_step(mix, &rng);
        done += STRETCH;
        if (done % QUIESCENT_OPS == 0)
            peer->quiescent();
    }
    peer->thread_leave();
    atomic_fetch_add(&mix->done, done);
    atomic_fetch_add(&mix->grown, grown);
}

static void updates_child(const void *task, void *result)
{
    const struct cell *cell = task;
    void *map = cell->peer->create(cell->size);
    fill(cell->peer, map, cell->size, 2);
    struct mix mix = {.cell = cell, .map = map};
    const uint64_t ns = team_run_for(cell->threads, mix_thread, &mix, cell->seconds, &mix.stop);
    count_must_be(cell->peer, map, cell->size + mix.grown);
    *(double *)result = (double)mix.done * 1e3 / (double)ns;
}

static void updates_cell(const struct bench *bench, const struct cell *cell)
{
    mops_cell(bench, cell, updates_child);
}

static void updates_round(const struct bench *bench, const struct plan *plan, unsigned round)
{
    for_each_cell(bench, plan, round, updates_cell);
}

#define UPDATES(map_name, thread_count)                                                                                \
    {                                                                                                                  \
        .bench = "updates", .map = map_name, .metric = "Mops", .size = 1000000, .threads = thread_count                \
    }

static const struct target targets[] = {
    {.text = "updates, 1M, 2 threads: soma over lfht",
     .figure = UPDATES("soma", 2),
     .against = UPDATES("lfht", 2),
     .bound = 2},
    {.text = "updates, 1M, 2 threads: soma over mutex",
     .figure = UPDATES("soma", 2),
     .against = UPDATES("mutex", 2),
     .bound = 4},
    {.text = "updates, 1M: soma with 8 threads over soma with 2",
     .figure = UPDATES("soma", 8),
     .against = UPDATES("soma", 2),
     .bound = 0.9},
    {.text = "updates, 1M: soma with 32 threads over soma with 2",
     .figure = UPDATES("soma", 32),
     .against = UPDATES("soma", 2),
     .bound = 0.9},
};

static const struct peer_ops *const peers[] = {&peer_soma, &peer_lfht, &peer_mutex, NULL};

const struct bench bench_updates = {
    .name = "updates",
    .about = "50 % lookups, 25 % insertions, 25 % removals; twice as many keys as entries",
    .full = {.sizes = {{1000000}, 1}, .threads = {{1, 2, 8, 32}, 4}, .rounds = 5, .seconds = 2},
    .quick = {.sizes = {{1000000}, 1}, .threads = {{2, 8, 32}, 3}, .rounds = 3, .seconds = 0.3},
    .peers = peers,
    .targets = targets,
    .target_count = sizeof targets / sizeof targets[0],
    .steps = cell_count,
    .round = updates_round,
    .report = report_mops,
};
