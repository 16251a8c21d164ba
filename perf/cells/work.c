/* SPDX-License-Identifier: ISC */
/* work.c - filling a map and looking things up in it. */
#include "cells/cells.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "support/fail.h"
#include "support/progress.h"
#include "support/rng.h"
#include "support/team.h"

void fill(const struct peer_ops *peer, void *map, uint64_t n, uint64_t stride)
{
    uint64_t keys[CHUNK];
    uint64_t inserted = 0;
    peer->thread_enter();
    for (uint64_t i = 0; i < n;) {
        const size_t some = n - i < CHUNK ? n - i : CHUNK;
        for (size_t k = 0; k < some; k++)
            keys[k] = key_at((i + k) * stride);
        inserted += peer->put_each(map, keys, some);
        i += some;
        if (i % QUIESCENT_OPS == 0)
            peer->quiescent();
    }
    peer->thread_leave();
    if (inserted != n)
        fail("%s: inserted %llu of %llu keys", peer->name, (unsigned long long)inserted, (unsigned long long)n);
}

struct lookup {
    const struct cell *cell;
    void *map;
    unsigned batch;
    atomic_bool stop;
    _Atomic uint64_t done;
};

static void values_must_be(const struct peer_ops *peer, const uint64_t *keys, const uint64_t *values, size_t n)
{
    uint64_t different = 0;
    for (size_t i = 0; i < n; i++)
        different |= values[i] ^ value_of(keys[i]);
    if (different)
        fail("%s: a lookup gave the wrong value", peer->name);
}

static void lookup_thread(void *shared, unsigned index)
{
    struct lookup *lookup = shared;
    const struct peer_ops *peer = lookup->cell->peer;
    const uint64_t size = lookup->cell->size;
    const unsigned batch = lookup->batch;
    uint64_t keys[CHUNK];
    uint64_t values[CHUNK];
    uint64_t rng = key_at(index);
    uint64_t done = 0;
    uint64_t told = 0;
    peer->thread_enter();
    while (!atomic_load_explicit(&lookup->stop, memory_order_relaxed)) {
        for (unsigned i = 0; i < batch; i++)
            keys[i] = key_at(rng_below(&rng, size));
        if (peer->get_each(lookup->map, keys, batch, values) != batch)
            fail("%s: a lookup missed a key that is there", peer->name);
        values_must_be(peer, keys, values, batch);
        done += batch;
        if (done - told >= QUIESCENT_OPS) {
            peer->quiescent();
            told = done;
        }
    }
    peer->thread_leave();
    atomic_fetch_add(&lookup->done, done);
}

double lookup_mops(const struct cell *cell, void *map, unsigned batch)
{
    struct lookup lookup = {.cell = cell, .map = map, .batch = batch};
    const uint64_t ns = team_run_for(cell->threads, lookup_thread, &lookup, cell->seconds, &lookup.stop);
    return (double)lookup.done * 1e3 / (double)ns;
}

void count_must_be(const struct peer_ops *peer, void *map, uint64_t expected)
{
    peer->thread_enter();
    const uint64_t count = peer->count(map);
    peer->thread_leave();
    if (count != expected)
        fail("%s: counts %llu entries where %llu are right", peer->name, (unsigned long long)count,
             (unsigned long long)expected);
}

void mops_cell(const struct bench *bench, const struct cell *cell, child_fn child)
{
    char text[FIGURE_TEXT];
    double mops;
    progress_step("%s: %s, %s entries, threads: %u", bench->name, cell->peer->name, size_text(cell->size, text),
                  cell->threads);
    child_run(cell->peer->name, child, cell, &mops, sizeof mops);
    const struct figure_key key = {
        .bench = bench->name, .map = cell->peer->name, .metric = "Mops", .size = cell->size, .threads = cell->threads};
    figures_add(key, mops);
}
