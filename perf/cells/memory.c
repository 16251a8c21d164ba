/* SPDX-License-Identifier: ISC */
/* memory.c - what an entry costs, what an empty map costs, and what comes back when the entries go. */
#include "cells/cells.h"

#include <math.h>

#include "support/chart.h"
#include "support/fail.h"
#include "support/memory.h"
#include "support/progress.h"
#include "support/rng.h"

#define EMPTY_MAPS 10000

struct memory_result {
    double full;        /* bytes an entry */
    double page_tables; /* bytes an entry that the kernel spends on top */
    double left;        /* bytes in all, after the last entry is gone and the table has shrunk */
};

static void empty_out(const struct cell *cell, void *map)
{
    uint64_t keys[CHUNK];
    uint64_t removed = 0;
    cell->peer->thread_enter();
    for (uint64_t i = 0; i < cell->size;) {
        const size_t some = cell->size - i < CHUNK ? cell->size - i : CHUNK;
        for (size_t k = 0; k < some; k++)
            keys[k] = key_at(i + k);
        removed += cell->peer->remove_each(map, keys, some);
        i += some;
        if (i % QUIESCENT_OPS == 0)
            cell->peer->quiescent();
    }
    cell->peer->shrink(map);
    cell->peer->thread_leave();
    cell->peer->settle();
    if (removed != cell->size)
        fail("%s: removed %llu of %llu keys", cell->peer->name, (unsigned long long)removed,
             (unsigned long long)cell->size);
}

static void memory_child(const void *task, void *out)
{
    const struct cell *cell = task;
    struct memory_result *result = out;
    const struct memory before = memory_now();
    void *map = cell->peer->create(cell->size);
    fill(cell->peer, map, cell->size, 1);
    count_must_be(cell->peer, map, cell->size);
    cell->peer->settle();
    const struct memory full = memory_now();
    empty_out(cell, map);
    const struct memory left = memory_now();
    result->full = (double)(full.resident - before.resident) / (double)cell->size;
    result->page_tables = (double)(full.page_tables - before.page_tables) / (double)cell->size;
    result->left = (double)(left.resident - before.resident);
}

static void empty_child(const void *task, void *out)
{
    const struct cell *cell = task;
    struct memory_result *result = out;
    const struct memory before = memory_now();
    for (unsigned i = 0; i < EMPTY_MAPS; i++)
        cell->peer->create(0);
    const struct memory after = memory_now();
    result->full = (double)(after.resident - before.resident) / EMPTY_MAPS;
    result->page_tables = (double)(after.page_tables - before.page_tables) / EMPTY_MAPS;
}

static struct figure_key memory_key(const char *map, const char *metric, uint64_t size)
{
    return (struct figure_key){.bench = "memory", .map = map, .metric = metric, .size = size};
}

static void memory_cell(const struct bench *bench, const struct cell *cell)
{
    char text[FIGURE_TEXT];
    const char *name = cell->peer->name;
    struct memory_result result;
    progress_step("%s: %s, %s entries", bench->name, name, size_text(cell->size, text));
    child_run(name, memory_child, cell, &result, sizeof result);
    figures_add(memory_key(name, "bytes an entry", cell->size), result.full);
    figures_add(memory_key(name, "page table bytes an entry", cell->size), result.page_tables);
    figures_add(memory_key(name, "bytes left when emptied", cell->size), result.left);
}

/* A table that is made for a size cannot be made for none. */
static bool starts_empty(const struct peer_ops *peer)
{
    return peer != &peer_lfht;
}

static void memory_round(const struct bench *bench, const struct plan *plan, unsigned round)
{
    const struct plan one = {.sizes = plan->sizes, .threads = {{1}, 1}};
    for_each_cell(bench, &one, round, memory_cell);
    for (unsigned p = 0; bench->peers[p]; p++) {
        const struct cell cell = {.peer = bench->peers[p]};
        struct memory_result result;
        if (!starts_empty(cell.peer))
            continue;
        progress_step("memory: %s, empty", cell.peer->name);
        child_run(cell.peer->name, empty_child, &cell, &result, sizeof result);
        figures_add(memory_key(cell.peer->name, "bytes an empty map", 0), result.full);
        figures_add(memory_key(cell.peer->name, "page table bytes an empty map", 0), result.page_tables);
    }
}

static unsigned memory_steps(const struct bench *bench, const struct plan *plan)
{
    unsigned steps = plan->sizes.n * peer_count(bench);
    for (unsigned p = 0; bench->peers[p]; p++)
        steps += starts_empty(bench->peers[p]);
    return steps;
}

static void memory_rows(const struct bench *bench, uint64_t size, struct table *table)
{
    char text[FIGURE_TEXT];
    for (unsigned p = 0; bench->peers[p]; p++) {
        const char *name = bench->peers[p]->name;
        const double full = figures_median(memory_key(name, "bytes an entry", size));
        const double left = figures_median(memory_key(name, "bytes left when emptied", size));
        table_cell(table, "%s", size_text(size, text));
        table_cell(table, "%s", name);
        table_figure(table, full);
        table_figure(table, figures_median(memory_key(name, "page table bytes an entry", size)));
        table_figure(table, full * (double)size / 1e6);
        table_figure(table, left / 1e6);
        table_cell(table, "%.1f %%", 100 * (1 - left / (full * (double)size)));
    }
}

static void empty_rows(const struct bench *bench, struct table *table)
{
    for (unsigned p = 0; bench->peers[p]; p++) {
        const char *name = bench->peers[p]->name;
        if (!starts_empty(bench->peers[p]))
            continue;
        table_cell(table, "%s", name);
        table_figure(table, figures_median(memory_key(name, "bytes an empty map", 0)));
        table_figure(table, figures_median(memory_key(name, "page table bytes an empty map", 0)));
    }
}

static void memory_chart(const struct bench *bench, const struct plan *plan, FILE *page)
{
    struct chart chart = {.title = "memory of a full map", .unit = "bytes an entry"};
    char text[FIGURE_TEXT];
    for (unsigned p = 0; bench->peers[p]; p++) {
        chart.series_names[p] = bench->peers[p]->name;
        chart.colours[p] = bench->peers[p]->colour;
        chart.series = p + 1;
    }
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        snprintf(chart.group_names[s], sizeof chart.group_names[s], "%s entries", size_text(plan->sizes.at[s], text));
        for (unsigned p = 0; p < chart.series; p++)
            chart.values[s][p] = figures_median(memory_key(chart.series_names[p], "bytes an entry", plan->sizes.at[s]));
        chart.groups = s + 1;
    }
    charts_start(page);
    chart_draw(page, &chart);
    charts_end(page);
}

static void memory_report(const struct bench *bench, const struct plan *plan, FILE *page)
{
    static const char *const heads[] = {"entries", "map",        "bytes an entry", "page tables",
                                        "full MB", "emptied MB", "given back"};
    static const char *const empty_heads[] = {"map", "bytes an empty map", "page tables"};
    struct table table = {.heads = heads, .columns = 7, .left = 2};
    struct table empty = {.heads = empty_heads, .columns = 3, .left = 1};
    memory_chart(bench, plan, page);
    for (unsigned s = 0; s < plan->sizes.n; s++)
        memory_rows(bench, plan->sizes.at[s], &table);
    show_table(&table, page);
    empty_rows(bench, &empty);
    show_table(&empty, page);
}

static const struct target targets[] = {
    {.text = "memory, 10M: bytes an entry of soma",
     .figure = {.bench = "memory", .map = "soma", .metric = "bytes an entry", .size = 10000000},
     .at_most = true,
     .bound = 48},
    {.text = "memory: bytes an empty map of soma",
     .figure = {.bench = "memory", .map = "soma", .metric = "bytes an empty map"},
     .at_most = true,
     .bound = 4096},
};

static const struct peer_ops *const peers[] = {&peer_soma, &peer_lfht, &peer_lfht_grow, &peer_mutex, NULL};

const struct bench bench_memory = {
    .name = "memory",
    .about = "bytes an entry, an empty map, and what is given back",
    .full = {.sizes = {{1000000, 10000000}, 2}, .threads = {{1}, 1}, .rounds = 3, .seconds = 1},
    .quick = {.sizes = {{10000000}, 1}, .threads = {{1}, 1}, .rounds = 1, .seconds = 1},
    .peers = peers,
    .targets = targets,
    .target_count = sizeof targets / sizeof targets[0],
    .steps = memory_steps,
    .round = memory_round,
    .report = memory_report,
};
