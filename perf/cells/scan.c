/* SPDX-License-Identifier: ISC */
/* scan.c - going through all entries while nobody changes them: Soma's cursor beside the other maps' loops, and beside a pass
 * over an array. */
#include "cells/cells.h"

#include "support/clock.h"
#include "support/fail.h"

/* One pass: the number of entries and the sum of their values must be right. */
static void pass(const struct cell *cell, void *map, uint64_t want)
{
    uint64_t sum = 0;
    if (cell->peer->scan(map, &sum) != cell->size || sum != want)
        fail("%s: a scan does not meet all entries, once each", cell->peer->name);
    cell->peer->quiescent();
}

static void scan_child(const void *task, void *result)
{
    const struct cell *cell = task;
    void *map = cell->peer->create(cell->size);
    uint64_t want = 0;
    uint64_t passes = 0;
    uint64_t took;
    fill(cell->peer, map, cell->size, 1);
    for (uint64_t i = 0; i < cell->size; i++)
        want += value_of(key_at(i));
    cell->peer->thread_enter();
    pass(cell, map, want); /* what is set up at first use is set up */
    const uint64_t start = clock_ns();
    do {
        pass(cell, map, want);
        passes++;
        took = clock_ns() - start;
    } while ((double)took < cell->seconds * 1e9);
    cell->peer->thread_leave();
    *(double *)result = (double)(passes * cell->size) * 1e3 / (double)took;
}

static void scan_cell(const struct bench *bench, const struct cell *cell)
{
    mops_cell(bench, cell, scan_child);
}

static void scan_round(const struct bench *bench, const struct plan *plan, unsigned round)
{
    for_each_cell(bench, plan, round, scan_cell);
}

#define SCAN(map_name, entries)                                                                                        \
    {                                                                                                                  \
        .bench = "scan", .map = map_name, .metric = "Mops", .size = entries, .threads = 1                              \
    }

static const struct target targets[] = {
    {.text = "scan, 1M: soma, million entries a second", .figure = SCAN("soma", 1000000), .bound = 20},
    {.text = "scan, 1M: soma over lfht", .figure = SCAN("soma", 1000000), .against = SCAN("lfht", 1000000), .bound = 1},
    {.text = "scan, 10M: soma over lfht",
     .figure = SCAN("soma", 10000000),
     .against = SCAN("lfht", 10000000),
     .bound = 1},
};

static const struct peer_ops *const peers[] = {&peer_soma, &peer_lfht, &peer_mutex, &peer_array, NULL};

const struct bench bench_scan = {
    .name = "scan",
    .about = "going through all entries",
    .full = {.sizes = {{1000000, 10000000}, 2}, .threads = {{1}, 1}, .rounds = 5, .seconds = 1},
    .quick = {.sizes = {{1000000}, 1}, .threads = {{1}, 1}, .rounds = 3, .seconds = 0.3},
    .peers = peers,
    .targets = targets,
    .target_count = sizeof targets / sizeof targets[0],
    .steps = cell_count,
    .round = scan_round,
    .report = report_mops,
};
