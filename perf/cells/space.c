/* SPDX-License-Identifier: ISC */
/* space.c - what load_percent trades: lookups by how full the buckets are, and what an entry takes then. The table has the
 * same number of buckets throughout and is as full as it gets before it grows; right after, it is half as full. */
#include "cells/cells.h"

#include "support/chart.h"
#include "support/memory.h"
#include "support/progress.h"

static const unsigned loads[] = {50, 75, 100, 125, 150, 200, 250, 300, 400};
#define LOADS (sizeof loads / sizeof loads[0])

/* As names of metrics, which are constants. */
static const char *const bytes_at[LOADS] = {
    "bytes an entry, load 50",  "bytes an entry, load 75",  "bytes an entry, load 100",
    "bytes an entry, load 125", "bytes an entry, load 150", "bytes an entry, load 200",
    "bytes an entry, load 250", "bytes an entry, load 300", "bytes an entry, load 400",
};
static const char *const mops_at[LOADS] = {
    "Mops, load 50",  "Mops, load 75",  "Mops, load 100", "Mops, load 125", "Mops, load 150",
    "Mops, load 200", "Mops, load 250", "Mops, load 300", "Mops, load 400",
};

struct space_task {
    struct cell cell; /* size is the number of buckets */
    unsigned load;
};

struct space_result {
    double bytes;
    double mops;
    double batch_mops;
};

static uint64_t entries_of(uint64_t buckets, unsigned load)
{
    return buckets * load / 100;
}

static void space_child(const void *task, void *out)
{
    const struct space_task *space = task;
    struct space_result *result = out;
    struct cell cell = space->cell;
    cell.size = entries_of(space->cell.size, space->load);
    const struct memory before = memory_now();
    void *map = peer_soma_with_load(space->load);
    fill(cell.peer, map, cell.size, 1);
    count_must_be(cell.peer, map, cell.size);
    cell.peer->settle();
    const struct memory full = memory_now();
    result->bytes = (double)(full.resident - before.resident) / (double)cell.size;
    result->mops = lookup_mops(&cell, map, CHUNK);
    cell.peer = &peer_soma_batch;
    result->batch_mops = lookup_mops(&cell, map, BATCH);
}

static struct figure_key space_key(const char *map, const char *metric, uint64_t buckets)
{
    return (struct figure_key){.bench = "space", .map = map, .metric = metric, .size = buckets, .threads = 1};
}

static void space_round(const struct bench *bench, const struct plan *plan, unsigned round)
{
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        const uint64_t buckets = plan->sizes.at[s];
        for (unsigned i = 0; i < LOADS; i++) {
            const unsigned turn = (i + round) % LOADS;
            const struct space_task task = {
                .cell = {.peer = &peer_soma, .size = buckets, .threads = 1, .seconds = plan->seconds},
                .load = loads[turn]};
            struct space_result result;
            progress_step("%s: %u entries for 100 buckets", bench->name, loads[turn]);
            child_run("soma", space_child, &task, &result, sizeof result);
            figures_add(space_key("soma", bytes_at[turn], buckets), result.bytes);
            figures_add(space_key("soma", mops_at[turn], buckets), result.mops);
            figures_add(space_key("soma-batch", mops_at[turn], buckets), result.batch_mops);
        }
    }
}

static unsigned space_steps(const struct bench *bench, const struct plan *plan)
{
    (void)bench;
    return plan->sizes.n * LOADS;
}

static void space_charts(uint64_t buckets, FILE *page)
{
    struct chart speed = {
        .title = "hits by how full the buckets are", .unit = "million operations a second", .series = 2};
    struct chart space = {.title = "memory by how full the buckets are", .unit = "bytes an entry", .series = 1};
    speed.series_names[0] = space.series_names[0] = "soma";
    speed.series_names[1] = "soma-batch";
    speed.colours[1] = 1;
    for (unsigned i = 0; i < LOADS; i++) {
        snprintf(speed.group_names[i], sizeof speed.group_names[0], "%u %%", loads[i]);
        snprintf(space.group_names[i], sizeof space.group_names[0], "%u %%", loads[i]);
        speed.values[i][0] = figures_median(space_key("soma", mops_at[i], buckets));
        speed.values[i][1] = figures_median(space_key("soma-batch", mops_at[i], buckets));
        space.values[i][0] = figures_median(space_key("soma", bytes_at[i], buckets));
    }
    speed.groups = space.groups = LOADS;
    charts_start(page);
    chart_draw(page, &speed);
    chart_draw(page, &space);
    charts_end(page);
}

static void space_report(const struct bench *bench, const struct plan *plan, FILE *page)
{
    (void)bench;
    static const char *const heads[] = {"buckets",        "entries", "entries for 100 buckets",
                                        "bytes an entry", "Mops",    "batch Mops"};
    struct table table = {.heads = heads, .columns = 6, .left = 0};
    char text[FIGURE_TEXT];
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        const uint64_t buckets = plan->sizes.at[s];
        space_charts(buckets, page);
        for (unsigned i = 0; i < LOADS; i++) {
            table_cell(&table, "%s", size_text(buckets, text));
            table_cell(&table, "%llu", (unsigned long long)entries_of(buckets, loads[i]));
            table_cell(&table, "%u", loads[i]);
            table_figure(&table, figures_median(space_key("soma", bytes_at[i], buckets)));
            table_figure(&table, figures_median(space_key("soma", mops_at[i], buckets)));
            table_figure(&table, figures_median(space_key("soma-batch", mops_at[i], buckets)));
        }
    }
    show_table(&table, page);
}

static const struct peer_ops *const peers[] = {&peer_soma, &peer_soma_batch, NULL};

const struct bench bench_space = {
    .name = "space",
    .about = "what load_percent trades: lookups and bytes by how full the buckets are",
    .full = {.sizes = {{1 << 22}, 1}, .threads = {{1}, 1}, .rounds = 5, .seconds = 0.5},
    .quick = {.sizes = {{1 << 20}, 1}, .threads = {{1}, 1}, .rounds = 1, .seconds = 0.2},
    .peers = peers,
    .steps = space_steps,
    .round = space_round,
    .report = space_report,
};
