/* SPDX-License-Identifier: ISC */
/* load.c - from nothing to full: how fast, and how long the longest wait of a single put is while the table grows.
 *
 * Two runs each: one without clocks for the throughput, one with a reading of the clock between any two puts. Beside
 * the latter runs the clock alone: as many threads, as many intervals, the same time, and no map. What is long there is
 * the machine's doing (another process had the core), so it is the least that a map's longest put can be. */
#include "cells/cells.h"

#include <stdlib.h>
#include <string.h>

#include "support/chart.h"
#include "support/clock.h"
#include "support/fail.h"
#include "support/hist.h"
#include "support/page.h"
#include "support/progress.h"
#include "support/rng.h"
#include "support/team.h"

#define CLOCK_ONLY "clock only"

/* The sizes at which the longest put so far is noted. */
static const uint64_t stations[] = {10000, 100000, 1000000, 10000000};
#define STATIONS (sizeof stations / sizeof stations[0])

struct load_result {
    uint64_t ns;
    struct hist hist;
    uint64_t longest[STATIONS]; /* on the way from nothing to there */
};

struct load {
    const struct cell *cell;
    void *map;
    uint64_t interval_ps;        /* clock only: from one reading to be kept to the next */
    struct load_result *results; /* one a thread */
};

/* ---- Throughput ---- */

/* Indexes are dealt out in turns, so that all threads work at all table sizes. */
static void load_thread(void *shared, unsigned index)
{
    const struct load *load = shared;
    const struct peer_ops *peer = load->cell->peer;
    const uint64_t size = load->cell->size;
    const uint64_t stride = (uint64_t)load->cell->threads * CHUNK;
    uint64_t keys[CHUNK];
    uint64_t told = 0;
    peer->thread_enter();
    for (uint64_t i = (uint64_t)index * CHUNK; i < size; i += stride) {
        const size_t some = size - i < CHUNK ? size - i : CHUNK;
        for (size_t k = 0; k < some; k++)
            keys[k] = key_at(i + k);
        if (peer->put_each(load->map, keys, some) != some)
            fail("%s: a new key was taken for an old one", peer->name);
        told += some;
        if (told % QUIESCENT_OPS == 0)
            peer->quiescent();
    }
    peer->thread_leave();
}

static void load_child(const void *task, void *result)
{
    const struct cell *cell = task;
    struct load load = {.cell = cell, .map = cell->peer->create(cell->size)};
    const uint64_t ns = team_run(cell->threads, load_thread, &load);
    count_must_be(cell->peer, load.map, cell->size);
    *(double *)result = (double)cell->size * 1e3 / (double)ns;
}

/* ---- Latency ---- */

static void note(struct load_result *result, uint64_t ns, uint64_t size)
{
    hist_add(&result->hist, ns);
    for (unsigned s = 0; s < STATIONS; s++) {
        if (size <= stations[s] && ns > result->longest[s])
            result->longest[s] = ns;
    }
}

/* A put's time is from the clock's reading before it to the one behind it, which is the one before the next put: it
 * holds the making of the key, the histogram and one reading. */
static void latency_thread(void *shared, unsigned index)
{
    struct load *load = shared;
    const struct peer_ops *peer = load->cell->peer;
    const uint64_t threads = load->cell->threads;
    struct load_result *result = &load->results[index];
    uint64_t told = 0;
    free(alloc_or_fail(sizeof(uint64_t))); /* what the allocator sets up for a new thread is not the map's doing */
    peer->thread_enter();
    uint64_t last = clock_ns();
    for (uint64_t i = index; i < load->cell->size; i += threads) {
        const uint64_t key = key_at(i);
        if (peer->put_each(load->map, &key, 1) != 1)
            fail("%s: a new key was taken for an old one", peer->name);
        if (++told % QUIESCENT_OPS == 0)
            peer->quiescent();
        const uint64_t now = clock_ns();
        note(result, now - last, i + 1);
        last = now;
    }
    peer->thread_leave();
}

/* Interval k ends at the first reading at or after k times the interval; one that starts late is short. */
static void clock_thread(void *shared, unsigned index)
{
    struct load *load = shared;
    const uint64_t threads = load->cell->threads;
    struct load_result *result = &load->results[index];
    const uint64_t start = clock_ns();
    uint64_t last = start;
    uint64_t k = 0;
    for (uint64_t i = index; i < load->cell->size; i += threads) {
        const uint64_t due = start + ++k * load->interval_ps / 1000;
        uint64_t now;
        do {
            now = clock_ns();
        } while (now < due);
        note(result, now - last, i + 1);
        last = now;
    }
}

static void gather(const struct load *load, struct load_result *into)
{
    for (unsigned t = 0; t < load->cell->threads; t++) {
        hist_merge(&into->hist, &load->results[t].hist);
        for (unsigned s = 0; s < STATIONS; s++) {
            if (load->results[t].longest[s] > into->longest[s])
                into->longest[s] = load->results[t].longest[s];
        }
    }
}

static struct load load_timed(const struct cell *cell)
{
    const size_t size = cell->threads * sizeof(struct load_result);
    struct load load = {.cell = cell, .results = alloc_or_fail(size)};
    memset(load.results, 0, size);
    return load;
}

static void latency_child(const void *task, void *out)
{
    struct load load = load_timed(task);
    struct load_result *result = out;
    load.map = load.cell->peer->create(load.cell->size);
    result->ns = team_run(load.cell->threads, latency_thread, &load);
    count_must_be(load.cell->peer, load.map, load.cell->size);
    gather(&load, result);
}

/* `seconds` of the cell is how long it is to last. */
static void clock_child(const void *task, void *out)
{
    struct load load = load_timed(task);
    struct load_result *result = out;
    load.interval_ps = (uint64_t)(load.cell->seconds * 1e12 * load.cell->threads / (double)load.cell->size);
    result->ns = team_run(load.cell->threads, clock_thread, &load);
    gather(&load, result);
}

/* ---- Figures ---- */

static const struct quantile {
    const char *metric;
    double fraction;
} quantiles[] = {
    {"p50 ns", 0.5}, {"p99 ns", 0.99}, {"p99.9 ns", 0.999}, {"p99.99 ns", 0.9999}, {"longest ns", 1},
};
#define QUANTILES (sizeof quantiles / sizeof quantiles[0])

static struct figure_key load_key(const char *map, const char *metric, uint64_t size, uint64_t threads)
{
    return (struct figure_key){
        .bench = "load", .map = map, .metric = metric, .size = size, .threads = (unsigned)threads};
}

static void keep(const char *map, const struct cell *cell, const struct load_result *result)
{
    for (unsigned q = 0; q < QUANTILES; q++) {
        const double ns = (double)hist_at(&result->hist, quantiles[q].fraction);
        figures_add(load_key(map, quantiles[q].metric, cell->size, cell->threads), ns);
    }
    for (unsigned s = 0; s < STATIONS; s++) {
        if (stations[s] <= cell->size)
            figures_add(load_key(map, "longest so far ns", stations[s], cell->threads), (double)result->longest[s]);
    }
}

static void latency_of_peer(const struct bench *bench, const struct cell *cell, struct load_result *result)
{
    char text[FIGURE_TEXT];
    progress_step("%s: every put of %s, %s entries, threads: %u", bench->name, cell->peer->name,
                  size_text(cell->size, text), cell->threads);
    child_run(cell->peer->name, latency_child, cell, result, sizeof *result);
    keep(cell->peer->name, cell, result);
}

/* All contestants and then the clock alone, for as long as Soma took. A batch has no single put to time. */
static void latency_turn(const struct bench *bench, struct cell cell, unsigned round)
{
    struct load_result *result = alloc_or_fail(sizeof *result);
    const unsigned peers = peer_count(bench);
    for (unsigned p = 0; p < peers; p++) {
        cell.peer = bench->peers[(p + round) % peers];
        if (cell.peer->batched)
            continue;
        latency_of_peer(bench, &cell, result);
        if (cell.peer == &peer_soma)
            cell.seconds = (double)result->ns / 1e9;
    }
    progress_step("%s: the clock alone, threads: %u", bench->name, cell.threads);
    child_run(CLOCK_ONLY, clock_child, &cell, result, sizeof *result);
    keep(CLOCK_ONLY, &cell, result);
    free(result);
}

static void load_cell(const struct bench *bench, const struct cell *cell)
{
    mops_cell(bench, cell, load_child);
}

static void load_round(const struct bench *bench, const struct plan *plan, unsigned round)
{
    for_each_cell(bench, plan, round, load_cell);
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        for (unsigned t = 0; t < plan->threads.n; t++) {
            const struct cell cell = {.size = plan->sizes.at[s], .threads = (unsigned)plan->threads.at[t]};
            latency_turn(bench, cell, round);
        }
    }
}

/* The clock alone takes the place of the one contestant that is not timed. */
static unsigned load_steps(const struct bench *bench, const struct plan *plan)
{
    return 2 * cell_count(bench, plan);
}

/* ---- Showing ---- */

/* Who has latencies, as shown. */
static const struct latency_line {
    const char *map;
    unsigned colour;
} lines[] = {{"soma", 0}, {"lfht-grow", 3}, {"mutex", 4}, {CLOCK_ONLY, 5}};
#define LINES (sizeof lines / sizeof lines[0])

static void latency_chart(uint64_t size, uint64_t threads, FILE *page)
{
    char title[80];
    char text[FIGURE_TEXT];
    snprintf(title, sizeof title, "one put, 0 to %s entries, %llu thread%s", size_text(size, text),
             (unsigned long long)threads, threads == 1 ? "" : "s");
    struct chart chart = {.title = title, .unit = "ns", .log = true, .groups = QUANTILES, .series = LINES};
    for (unsigned l = 0; l < LINES; l++) {
        chart.series_names[l] = lines[l].map;
        chart.colours[l] = lines[l].colour;
        for (unsigned q = 0; q < QUANTILES; q++)
            chart.values[q][l] = figures_median(load_key(lines[l].map, quantiles[q].metric, size, threads));
    }
    for (unsigned q = 0; q < QUANTILES; q++)
        snprintf(chart.group_names[q], sizeof chart.group_names[q], "%.*s", (int)strcspn(quantiles[q].metric, " "),
                 quantiles[q].metric);
    chart_draw(page, &chart);
}

static void latency_rows(uint64_t size, uint64_t threads, struct table *table)
{
    char text[FIGURE_TEXT];
    for (unsigned l = 0; l < LINES; l++) {
        table_cell(table, "%s", size_text(size, text));
        table_cell(table, "%llu", (unsigned long long)threads);
        table_cell(table, "%s", lines[l].map);
        for (unsigned q = 0; q < QUANTILES; q++)
            table_figure(table, figures_median(load_key(lines[l].map, quantiles[q].metric, size, threads)));
    }
}

static void longest_chart(uint64_t most, uint64_t threads, FILE *page)
{
    char title[80];
    char text[FIGURE_TEXT];
    snprintf(title, sizeof title, "longest put on the way to a size, %llu thread%s", (unsigned long long)threads,
             threads == 1 ? "" : "s");
    struct chart chart = {.title = title, .unit = "ns, best round", .log = true, .series = LINES};
    for (unsigned s = 0; s < STATIONS && stations[s] <= most; s++) {
        snprintf(chart.group_names[s], sizeof chart.group_names[s], "%s entries", size_text(stations[s], text));
        for (unsigned l = 0; l < LINES; l++)
            chart.values[s][l] = figures_least(load_key(lines[l].map, "longest so far ns", stations[s], threads));
        chart.groups = s + 1;
    }
    for (unsigned l = 0; l < LINES; l++) {
        chart.series_names[l] = lines[l].map;
        chart.colours[l] = lines[l].colour;
    }
    chart_draw(page, &chart);
}

static void longest_rows(uint64_t threads, struct table *table)
{
    for (unsigned l = 0; l < LINES; l++) {
        table_cell(table, "%llu", (unsigned long long)threads);
        table_cell(table, "%s", lines[l].map);
        for (unsigned s = 0; s < STATIONS; s++)
            table_figure(table, figures_median(load_key(lines[l].map, "longest so far ns", stations[s], threads)));
        for (unsigned s = 0; s < STATIONS; s++)
            table_figure(table, figures_least(load_key(lines[l].map, "longest so far ns", stations[s], threads)));
    }
}

static void latency_report(const struct plan *plan, FILE *page)
{
    static const char *const heads[] = {"entries", "threads", "one put, ns", "p50",
                                        "p99",     "p99.9",   "p99.99",      "longest"};
    struct table table = {.heads = heads, .columns = 8, .left = 3};
    charts_start(page);
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        for (unsigned t = 0; t < plan->threads.n; t++) {
            latency_chart(plan->sizes.at[s], plan->threads.at[t], page);
            latency_rows(plan->sizes.at[s], plan->threads.at[t], &table);
        }
    }
    charts_end(page);
    show_table(&table, page);
}

static uint64_t greatest(const struct list *list)
{
    uint64_t most = 0;
    for (unsigned i = 0; i < list->n; i++)
        most = list->at[i] > most ? list->at[i] : most;
    return most;
}

static void longest_report(const struct plan *plan, FILE *page)
{
    static const char *const heads[] = {
        "threads", "longest put so far, ns", "10k", "100k", "1M", "10M", "best 10k", "best 100k", "best 1M",
        "best 10M"};
    struct table table = {.heads = heads, .columns = 10, .left = 2};
    page_text(page, "The longest put on the way from nothing to a size; left the median of the rounds, right the best "
                    "round. A pause of the machine hits some rounds and longer runs more often; what belongs to the "
                    "table would come in every round. The clock alone shows the machine's part.");
    charts_start(page);
    for (unsigned t = 0; t < plan->threads.n; t++) {
        longest_chart(greatest(&plan->sizes), plan->threads.at[t], page);
        longest_rows(plan->threads.at[t], &table);
    }
    charts_end(page);
    show_table(&table, page);
}

static void load_report(const struct bench *bench, const struct plan *plan, FILE *page)
{
    report_mops(bench, plan, page);
    latency_report(plan, page);
    longest_report(plan, page);
}

#define LOAD(map_name, metric_name, thread_count)                                                                      \
    {                                                                                                                  \
        .bench = "load", .map = map_name, .metric = metric_name, .size = 10000000, .threads = thread_count             \
    }

static const struct target targets[] = {
    {.text = "load, 10M, 1 thread: soma over lfht-grow",
     .figure = LOAD("soma", "Mops", 1),
     .against = LOAD("lfht-grow", "Mops", 1),
     .bound = 2},
    {.text = "load, 10M, 2 threads: soma over lfht-grow",
     .figure = LOAD("soma", "Mops", 2),
     .against = LOAD("lfht-grow", "Mops", 2),
     .bound = 2},
    {.text = "load, 10M, 1 thread: p99.99 of a put of soma, ns",
     .figure = LOAD("soma", "p99.99 ns", 1),
     .at_most = true,
     .bound = 100000},
    {.text = "load, 10M, 2 threads: p99.99 of a put of soma, ns",
     .figure = LOAD("soma", "p99.99 ns", 2),
     .at_most = true,
     .bound = 100000},
};

static const struct peer_ops *const peers[] = {&peer_soma, &peer_soma_batch, &peer_lfht_grow, &peer_mutex, NULL};

const struct bench bench_load = {
    .name = "load",
    .about = "different keys into an empty map, and how long a single put takes while it grows",
    .full = {.sizes = {{10000000}, 1}, .threads = {{1, 2}, 2}, .rounds = 5, .seconds = 1},
    .quick = {.sizes = {{1000000}, 1}, .threads = {{1, 2}, 2}, .rounds = 3, .seconds = 1},
    .peers = peers,
    .targets = targets,
    .target_count = sizeof targets / sizeof targets[0],
    .steps = load_steps,
    .round = load_round,
    .report = load_report,
};
