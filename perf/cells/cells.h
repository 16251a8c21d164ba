/* SPDX-License-Identifier: ISC */
/* cells.h - the benchmarks: what each of them measures, aims at and shows. */
#ifndef PERF_CELLS_H
#define PERF_CELLS_H

#include <stdio.h>

#include "peers/peer.h"
#include "support/child.h"
#include "support/figures.h"
#include "support/options.h"
#include "support/table.h"

/* How much is to be measured. */
struct plan {
    struct list sizes;
    struct list threads;
    uint64_t rounds;
    double seconds; /* a measurement, where it is time that ends it */
};

/* What a figure should reach. */
struct target {
    const char *text;
    struct figure_key figure;
    struct figure_key against; /* the figure is divided by this one; .map NULL: it stands for itself */
    bool at_most;
    double bound;
};

struct bench {
    const char *name;
    const char *about;
    struct plan full;
    struct plan quick;
    const struct peer_ops *const *peers; /* as they are shown; ends with NULL */
    const struct target *targets;
    unsigned target_count;

    unsigned (*steps)(const struct bench *bench, const struct plan *plan); /* processes a round */
    void (*round)(const struct bench *bench, const struct plan *plan, unsigned round);
    void (*report)(const struct bench *bench, const struct plan *plan, FILE *page);
};

extern const struct bench bench_hits;
extern const struct bench bench_updates;
extern const struct bench bench_load;
extern const struct bench bench_batch;
extern const struct bench bench_memory;
extern const struct bench bench_space;
extern const struct bench bench_scan;
extern const struct bench bench_views;
extern const struct bench bench_frozen;
extern const struct bench bench_huge;
extern const struct bench bench_diff;
extern const struct bench bench_digest;
extern const struct bench bench_patch;
extern const struct bench bench_sync;
extern const struct bench bench_strings;

/* One measurement: who, how much. What the child processes are told. */
struct cell {
    const struct peer_ops *peer;
    uint64_t size;
    unsigned threads;
    double seconds;
};

/* Keys to a call where the map sees them one by one, and where it gets them at once. */
#define CHUNK 256
#define BATCH 64

/* ---- Work that several benchmarks share ---- */

/* Inserts the keys of n indexes, 0, stride, 2 * stride and so on, by the calling thread. */
void fill(const struct peer_ops *peer, void *map, uint64_t n, uint64_t stride);

/* Uniform random hits on a map that was filled with stride 1; million operations a second. */
double lookup_mops(const struct cell *cell, void *map, unsigned batch);

/* Runs a child that gives million operations a second, and keeps the figure. */
void mops_cell(const struct bench *bench, const struct cell *cell, child_fn child);

/* Ends the program unless the map holds so many entries. */
void count_must_be(const struct peer_ops *peer, void *map, uint64_t expected);

/* ---- Going through a plan ---- */

unsigned peer_count(const struct bench *bench);

/* Runs fn for every size, number of threads and contestant; whose turn is first goes round by the round. */
void for_each_cell(const struct bench *bench, const struct plan *plan, unsigned round,
                   void (*fn)(const struct bench *bench, const struct cell *cell));
unsigned cell_count(const struct bench *bench, const struct plan *plan);

/* ---- Showing ---- */

/* Figures of "Mops" for every size, number of threads and contestant: a table with ratios, and charts. */
void report_mops(const struct bench *bench, const struct plan *plan, FILE *page);

/* A table on standard output and on the page, then freed. */
void show_table(struct table *table, FILE *page);

/* Wanted against measured. */
void report_targets(const struct bench *bench, FILE *page);

/* 1000000 as 1M. */
const char *size_text(uint64_t size, char text[FIGURE_TEXT]);

#endif
