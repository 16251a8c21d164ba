/* SPDX-License-Identifier: ISC */
/* hits.c - the plainest question: how fast is a key found that is there? */
#include "cells/cells.h"

static void hits_child(const void *task, void *result)
{
    const struct cell *cell = task;
    void *map = cell->peer->create(cell->size);
    fill(cell->peer, map, cell->size, 1);
    count_must_be(cell->peer, map, cell->size);
    *(double *)result = lookup_mops(cell, map, cell->peer->batched ? BATCH : CHUNK);
}

static void hits_cell(const struct bench *bench, const struct cell *cell)
{
    mops_cell(bench, cell, hits_child);
}

static void hits_round(const struct bench *bench, const struct plan *plan, unsigned round)
{
    for_each_cell(bench, plan, round, hits_cell);
}

#define HITS(map_name, entries, thread_count)                                                                          \
    {                                                                                                                  \
        .bench = "hits", .map = map_name, .metric = "Mops", .size = entries, .threads = thread_count                   \
    }
#define HITS_TARGET(name, peer, entries, thread_count, least)                                                          \
    {                                                                                                                  \
        .text = name, .figure = HITS("soma", entries, thread_count), .against = HITS(peer, entries, thread_count),     \
        .bound = least                                                                                                 \
    }

static const struct target targets[] = {
    HITS_TARGET("hits, 1M, 1 thread: soma over lfht", "lfht", 1000000, 1, 3),
    HITS_TARGET("hits, 1M, 2 threads: soma over lfht", "lfht", 1000000, 2, 3),
    HITS_TARGET("hits, 10M, 1 thread: soma over lfht", "lfht", 10000000, 1, 3),
    HITS_TARGET("hits, 10M, 2 threads: soma over lfht", "lfht", 10000000, 2, 3),
    HITS_TARGET("hits, 1M, 1 thread: soma over mutex", "mutex", 1000000, 1, 2),
    HITS_TARGET("hits, 1M, 2 threads: soma over mutex", "mutex", 1000000, 2, 3),
    HITS_TARGET("hits, 10M, 1 thread: soma over mutex", "mutex", 10000000, 1, 2),
    HITS_TARGET("hits, 10M, 2 threads: soma over mutex", "mutex", 10000000, 2, 3),
};

static const struct peer_ops *const peers[] = {&peer_soma, &peer_soma_batch, &peer_lfht, &peer_mutex, NULL};

const struct bench bench_hits = {
    .name = "hits",
    .about = "uniform random lookups of keys that are there",
    .full = {.sizes = {{1000000, 10000000}, 2}, .threads = {{1, 2}, 2}, .rounds = 5, .seconds = 2},
    .quick = {.sizes = {{1000000}, 1}, .threads = {{1, 2}, 2}, .rounds = 3, .seconds = 0.3},
    .peers = peers,
    .targets = targets,
    .target_count = sizeof targets / sizeof targets[0],
    .steps = cell_count,
    .round = hits_round,
    .report = report_mops,
};
