/* SPDX-License-Identifier: ISC */
/* batch.c - what soma_u64_get_many() gains over single lookups: both on the same map, in one process. */
#include "cells/cells.h"

#include "support/chart.h"
#include "support/progress.h"

/* Keys a call; 1 stands for soma_u64_get(). */
static const unsigned batches[] = {1, 16, 64, 256};
#define BATCHES (sizeof batches / sizeof batches[0])

static void batch_child(const void *task, void *result)
{
    struct cell cell = *(const struct cell *)task;
    double *mops = result;
    void *map = cell.peer->create(cell.size);
    fill(cell.peer, map, cell.size, 1);
    for (unsigned i = 0; i < BATCHES; i++) {
        cell.peer = batches[i] == 1 ? &peer_soma : &peer_soma_batch;
        mops[i] = lookup_mops(&cell, map, batches[i] == 1 ? CHUNK : batches[i]);
    }
}

static struct figure_key batch_key(uint64_t size, uint64_t threads, unsigned batch)
{
    return (struct figure_key){
        .bench = "batch", .map = "soma", .metric = "Mops", .size = size, .threads = (unsigned)threads, .batch = batch};
}

static void batch_cell(const struct bench *bench, const struct cell *cell)
{
    char text[FIGURE_TEXT];
    double mops[BATCHES];
    progress_step("%s: %s entries, threads: %u", bench->name, size_text(cell->size, text), cell->threads);
    child_run(cell->peer->name, batch_child, cell, mops, sizeof mops);
    for (unsigned i = 0; i < BATCHES; i++)
        figures_add(batch_key(cell->size, cell->threads, batches[i]), mops[i]);
}

static void batch_round(const struct bench *bench, const struct plan *plan, unsigned round)
{
    for_each_cell(bench, plan, round, batch_cell);
}

static void batch_rows(uint64_t size, uint64_t threads, struct table *table)
{
    char text[FIGURE_TEXT];
    const double single = figures_median(batch_key(size, threads, 1));
    for (unsigned i = 0; i < BATCHES; i++) {
        const double mops = figures_median(batch_key(size, threads, batches[i]));
        table_cell(table, "%s", size_text(size, text));
        table_cell(table, "%llu", (unsigned long long)threads);
        table_cell(table, "%s", batches[i] == 1 ? "soma_u64_get" : "soma_u64_get_many");
        table_cell(table, "%u", batches[i]);
        table_figure(table, mops);
        table_figure(table, (double)threads * 1e3 / mops);
        table_cell(table, "%.2fx", mops / single);
    }
}

static void batch_chart(const struct plan *plan, FILE *page)
{
    struct chart chart = {.title = "lookups by keys a call", .unit = "million operations a second", .series = 1};
    chart.series_names[0] = "soma";
    char text[FIGURE_TEXT];
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        for (unsigned i = 0; i < BATCHES && chart.groups < CHART_GROUPS; i++) {
            snprintf(chart.group_names[chart.groups], sizeof chart.group_names[0], "%s, %u a call",
                     size_text(plan->sizes.at[s], text), batches[i]);
            chart.values[chart.groups][0] =
                figures_median(batch_key(plan->sizes.at[s], plan->threads.at[0], batches[i]));
            chart.groups++;
        }
    }
    charts_start(page);
    chart_draw(page, &chart);
    charts_end(page);
}

static void batch_report(const struct bench *bench, const struct plan *plan, FILE *page)
{
    (void)bench;
    static const char *const heads[] = {"entries", "threads", "call", "keys", "Mops", "ns a thread's op", "gain"};
    struct table table = {.heads = heads, .columns = 7, .left = 3};
    batch_chart(plan, page);
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        for (unsigned t = 0; t < plan->threads.n; t++)
            batch_rows(plan->sizes.at[s], plan->threads.at[t], &table);
    }
    show_table(&table, page);
}

#define LOOKUPS(keys)                                                                                                  \
    {                                                                                                                  \
        .bench = "batch", .map = "soma", .metric = "Mops", .size = 10000000, .threads = 1, .batch = keys               \
    }

static const struct target targets[] = {
    {.text = "batch, 10M, 1 thread: 16 keys a call over 1", .figure = LOOKUPS(16), .against = LOOKUPS(1), .bound = 1.5},
    {.text = "batch, 10M, 1 thread: 64 keys a call over 1", .figure = LOOKUPS(64), .against = LOOKUPS(1), .bound = 1.5},
    {.text = "batch, 10M, 1 thread: 256 keys a call over 1",
     .figure = LOOKUPS(256),
     .against = LOOKUPS(1),
     .bound = 1.5},
};

static const struct peer_ops *const peers[] = {&peer_soma, NULL};

const struct bench bench_batch = {
    .name = "batch",
    .about = "lookups in batches against lookups one by one",
    .full = {.sizes = {{1000000, 10000000}, 2}, .threads = {{1, 2}, 2}, .rounds = 5, .seconds = 1},
    .quick = {.sizes = {{10000000}, 1}, .threads = {{1}, 1}, .rounds = 3, .seconds = 0.3},
    .peers = peers,
    .targets = targets,
    .target_count = sizeof targets / sizeof targets[0],
    .steps = cell_count,
    .round = batch_round,
    .report = batch_report,
};
