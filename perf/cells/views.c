/* SPDX-License-Identifier: ISC */
/* views.c - what views cost: operations while one is open against none, how long opening takes, going through one, what its old
 * versions take, and how long a writer stands still while somebody copies the map, beside a locked table that is walked
 * through under its lock. */
#include "cells/cells.h"

#include <stdatomic.h>
#include <stdlib.h>

#include <soma/soma.h>

#include "support/clock.h"
#include "support/fail.h"
#include "support/hist.h"
#include "support/memory.h"
#include "support/progress.h"
#include "support/rng.h"
#include "support/team.h"

/* Percent of operations that change something: half puts, half removals. */
static const unsigned mixes[] = {0, 5, 10, 50, 100};
#define MIXES (sizeof mixes / sizeof mixes[0])
static const char *const mix_metric[MIXES] = {"Mops, lookups only", "Mops, 95/5", "Mops, 90/10", "Mops, 50/50",
                                              "Mops, updates only"};

#define STRETCH 64
#define OPENINGS 1001
#define COLD_OPENINGS 51

static void must(enum soma_status status)
{
    if (status < 0)
        fail("soma: %s", soma_status_text(status));
}

static soma_view *opened(soma_u64 *map)
{
    soma_view *view = NULL;
    must(soma_u64_view_open(map, &view));
    return view;
}

/* ---- Operations beside a view ---- */

struct load {
    soma_u64 *map;
    uint64_t size;
    unsigned updates; /* percent */
    atomic_bool stop;
    _Atomic uint64_t done;
};

static void load_thread(void *shared, unsigned index)
{
    struct load *load = shared;
    uint64_t rng = key_at(index + 1);
    uint64_t done = 0;
    uint64_t value;
    while (!atomic_load_explicit(&load->stop, memory_order_relaxed)) {
        for (unsigned i = 0; i < STRETCH; i++) {
            const uint64_t draw = rng_next(&rng);
            const uint64_t key = key_at((draw >> 32) * (load->size * 2) >> 32);
            const unsigned kind = (unsigned)(draw % 200);
            if (kind < load->updates)
                must(soma_u64_put(load->map, key, value_of(key), NULL));
            else if (kind < 2 * load->updates)
                must(soma_u64_remove(load->map, key, NULL));
            else
                must(soma_u64_get(load->map, key, &value));
        }
        done += STRETCH;
    }
    atomic_fetch_add(&load->done, done);
}

static double load_mops(soma_u64 *map, const struct cell *cell, unsigned updates)
{
    struct load load = {.map = map, .size = cell->size, .updates = updates};
    const uint64_t ns = team_run_for(cell->threads, load_thread, &load, cell->seconds, &load.stop);
    return (double)load.done * 1e3 / (double)ns;
}

/* Every second key of twice as many. */
static soma_u64 *filled(uint64_t size)
{
    soma_u64 *map = NULL;
    must(soma_u64_new(NULL, &map));
    for (uint64_t i = 0; i < size; i++)
        must(soma_u64_put(map, key_at(2 * i), value_of(key_at(2 * i)), NULL));
    return map;
}

struct mix_result {
    double closed[MIXES];
    double open[MIXES];
};

/* Both on one map, so that they differ in nothing else; the first stretch of each is not counted. */
static void mix_child(const void *task, void *out)
{
    const struct cell *cell = task;
    struct mix_result *result = out;
    for (unsigned i = 0; i < MIXES; i++) {
        soma_u64 *map = filled(cell->size);
        load_mops(map, cell, mixes[i]);
        result->closed[i] = load_mops(map, cell, mixes[i]);
        soma_view *view = opened(map);
        load_mops(map, cell, mixes[i]);
        result->open[i] = load_mops(map, cell, mixes[i]);
        soma_view_close(view);
        soma_u64_free(map);
    }
}

/* ---- Opening, and going through ---- */

struct open_result {
    double warm_ns;
    double cold_ns;
    double close_ns;
    double scan_mops;
    double old_bytes; /* a changed key */
};

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static double median_of(uint64_t *samples, unsigned n)
{
    qsort(samples, n, sizeof *samples, by_value);
    return (double)samples[n / 2];
}

static void open_times(soma_u64 *map, struct open_result *result)
{
    uint64_t opening[OPENINGS];
    uint64_t closing[OPENINGS];
    for (unsigned i = 0; i < COLD_OPENINGS; i++) {
        const uint64_t start = clock_ns();
        soma_view *view = opened(map);
        opening[i] = clock_ns() - start;
        soma_view_close(view);
    }
    result->cold_ns = median_of(opening, COLD_OPENINGS);
    soma_view *first = opened(map);
    for (unsigned i = 0; i < OPENINGS; i++) {
        const uint64_t start = clock_ns();
        soma_view *view = opened(map);
        const uint64_t middle = clock_ns();
        soma_view_close(view);
        closing[i] = clock_ns() - middle;
        opening[i] = middle - start;
    }
    soma_view_close(first);
    result->warm_ns = median_of(opening, OPENINGS);
    result->close_ns = median_of(closing, OPENINGS);
}

static double view_scan_mops(soma_u64 *map, uint64_t size, double seconds)
{
    soma_view *view = opened(map);
    uint64_t passes = 0;
    uint64_t took;
    const uint64_t start = clock_ns();
    do {
        soma_cursor *cursor = NULL;
        must(soma_cursor_open_view(view, &cursor));
        uint64_t key;
        uint64_t value;
        uint64_t count = 0;
        while (soma_cursor_next_u64(cursor, &key, &value) == SOMA_OK)
            count++;
        soma_cursor_close(cursor);
        if (count != size)
            fail("soma: a view of %llu entries gives %llu", (unsigned long long)size, (unsigned long long)count);
        passes++;
        took = clock_ns() - start;
    } while ((double)took < seconds * 1e9);
    soma_view_close(view);
    return (double)(passes * size) * 1e3 / (double)took;
}

/* Changes every key twice while a view is open. */
static double old_version_bytes(soma_u64 *map, uint64_t size)
{
    soma_view *view = opened(map);
    const struct memory before = memory_now();
    for (unsigned times = 0; times < 2; times++) {
        for (uint64_t i = 0; i < size; i++)
            must(soma_u64_put(map, key_at(2 * i), i + times, NULL));
    }
    soma_barrier_wait();
    const struct memory after = memory_now();
    soma_view_close(view);
    return (double)(after.resident - before.resident) / (double)size;
}

static void open_child(const void *task, void *out)
{
    const struct cell *cell = task;
    struct open_result *result = out;
    soma_u64 *map = filled(cell->size);
    open_times(map, result);
    result->scan_mops = view_scan_mops(map, cell->size, cell->seconds);
    result->old_bytes = old_version_bytes(map, cell->size);
}

/* ---- Standing still ---- */

struct pause {
    const struct peer_ops *peer;
    void *map;
    uint64_t size;
    unsigned writers;
    atomic_bool stop;
    _Atomic uint64_t copies;
    struct hist hists[2];
};

static uint64_t copy_all(struct pause *pause)
{
    uint64_t sum = 0;
    if (pause->peer != &peer_soma)
        return pause->peer->scan(pause->map, &sum);
    soma_view *view = opened(pause->map);
    soma_u64 *copy = NULL;
    must(soma_u64_copy(view, NULL, NULL, NULL, &copy));
    const uint64_t count = soma_u64_count_approx(copy);
    soma_view_close(view);
    soma_u64_free(copy);
    return count;
}

/* The last thread copies; the others write over what is there, and take the time of each write. */
static void pause_thread(void *shared, unsigned index)
{
    struct pause *pause = shared;
    uint64_t rng = key_at(index + 1);
    pause->peer->thread_enter();
    while (!atomic_load_explicit(&pause->stop, memory_order_relaxed)) {
        if (index == pause->writers) {
            if (copy_all(pause) != pause->size)
                fail("%s: a copy is not whole", pause->peer->name);
            atomic_fetch_add(&pause->copies, 1);
            continue;
        }
        const uint64_t key = key_at(2 * rng_below(&rng, pause->size));
        const uint64_t value = rng;
        const uint64_t start = clock_ns();
        pause->peer->upsert_each(pause->map, &key, &value, 1);
        hist_add(&pause->hists[index], clock_ns() - start);
    }
    pause->peer->thread_leave();
}

struct pause_result {
    double longest_us;
    double usual_us; /* p99.99 */
};

static void pause_child(const void *task, void *out)
{
    const struct cell *cell = task;
    struct pause_result *result = out;
    struct pause *pause = calloc(1, sizeof *pause);
    if (!pause)
        fail("out of memory");
    *pause = (struct pause){.peer = cell->peer, .size = cell->size, .writers = 2};
    pause->map = cell->peer->create(cell->size);
    fill(cell->peer, pause->map, cell->size, 2);
    team_run_for(pause->writers + 1, pause_thread, pause, cell->seconds * 4, &pause->stop);
    hist_merge(&pause->hists[0], &pause->hists[1]);
    if (pause->copies == 0)
        fail("%s: no copy was finished", cell->peer->name);
    result->longest_us = (double)pause->hists[0].longest / 1e3;
    result->usual_us = (double)hist_at(&pause->hists[0], 0.9999) / 1e3;
}

/* ---- Rounds ---- */

#define PAUSE_SIZE 1000000

static struct figure_key views_key(const char *map, const char *metric, uint64_t size, uint64_t threads)
{
    return (struct figure_key){
        .bench = "views", .map = map, .metric = metric, .size = size, .threads = (unsigned)threads};
}

static void mix_cell(const struct bench *bench, const struct cell *cell)
{
    char text[FIGURE_TEXT];
    struct mix_result mix;
    progress_step("%s: beside a view, %s entries, threads: %u", bench->name, size_text(cell->size, text),
                  cell->threads);
    child_run("soma", mix_child, cell, &mix, sizeof mix);
    for (unsigned i = 0; i < MIXES; i++) {
        figures_add(views_key("no view", mix_metric[i], cell->size, cell->threads), mix.closed[i]);
        figures_add(views_key("one view", mix_metric[i], cell->size, cell->threads), mix.open[i]);
    }
}

static void open_cell(const struct bench *bench, const struct cell *cell)
{
    char text[FIGURE_TEXT];
    struct open_result result;
    progress_step("%s: opening, %s entries", bench->name, size_text(cell->size, text));
    child_run("soma", open_child, cell, &result, sizeof result);
    figures_add(views_key("soma", "opening, warm, ns", cell->size, 1), result.warm_ns);
    figures_add(views_key("soma", "opening, cold, ns", cell->size, 1), result.cold_ns);
    figures_add(views_key("soma", "closing, warm, ns", cell->size, 1), result.close_ns);
    figures_add(views_key("soma", "scan of a view, Mops", cell->size, 1), result.scan_mops);
    figures_add(views_key("soma", "bytes a changed key", cell->size, 1), result.old_bytes);
}

static void pause_cell(const struct bench *bench, const struct peer_ops *peer, double seconds)
{
    const struct cell cell = {.peer = peer, .size = PAUSE_SIZE, .threads = 2, .seconds = seconds};
    struct pause_result result;
    progress_step("%s: writers while %s is copied", bench->name, peer->name);
    child_run(peer->name, pause_child, &cell, &result, sizeof result);
    figures_add(views_key(peer->name, "longest write, us", PAUSE_SIZE, 2), result.longest_us);
    figures_add(views_key(peer->name, "write p99.99, us", PAUSE_SIZE, 2), result.usual_us);
}

static void views_round(const struct bench *bench, const struct plan *plan, unsigned round)
{
    (void)round;
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        struct cell cell = {.peer = &peer_soma, .size = plan->sizes.at[s], .threads = 1, .seconds = plan->seconds};
        open_cell(bench, &cell);
        for (unsigned t = 0; t < plan->threads.n; t++) {
            cell.threads = (unsigned)plan->threads.at[t];
            mix_cell(bench, &cell);
        }
    }
    pause_cell(bench, &peer_soma, plan->seconds);
    pause_cell(bench, &peer_mutex, plan->seconds);
}

static unsigned views_steps(const struct bench *bench, const struct plan *plan)
{
    (void)bench;
    return plan->sizes.n * (1 + plan->threads.n) + 2;
}

/* ---- Report ---- */

static void show_mixes(const struct plan *plan, FILE *page)
{
    static const char *const heads[] = {"entries", "threads", "mix", "no view, Mops", "one view, Mops", "of it"};
    struct table table = {.heads = heads, .columns = 6, .left = 3};
    char text[FIGURE_TEXT];
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        for (unsigned t = 0; t < plan->threads.n; t++) {
            for (unsigned i = 0; i < MIXES; i++) {
                const uint64_t size = plan->sizes.at[s];
                const double closed = figures_median(views_key("no view", mix_metric[i], size, plan->threads.at[t]));
                const double open = figures_median(views_key("one view", mix_metric[i], size, plan->threads.at[t]));
                table_cell(&table, "%s", size_text(size, text));
                table_cell(&table, "%llu", (unsigned long long)plan->threads.at[t]);
                table_cell(&table, "%s", mix_metric[i]);
                table_figure(&table, closed);
                table_figure(&table, open);
                table_cell(&table, "%.0f %%", 100 * open / closed);
            }
        }
    }
    show_table(&table, page);
}

static void show_opening(const struct plan *plan, FILE *page)
{
    static const char *const metrics[] = {"opening, warm, ns", "opening, cold, ns", "closing, warm, ns",
                                          "scan of a view, Mops", "bytes a changed key"};
    static const char *const heads[] = {"entries",           "opening, warm, ns",    "opening, cold, ns",
                                        "closing, warm, ns", "scan of a view, Mops", "bytes a changed key"};
    struct table table = {.heads = heads, .columns = 6, .left = 0};
    char text[FIGURE_TEXT];
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        table_cell(&table, "%s", size_text(plan->sizes.at[s], text));
        for (unsigned i = 0; i < 5; i++)
            table_figure(&table, figures_median(views_key("soma", metrics[i], plan->sizes.at[s], 1)));
    }
    show_table(&table, page);
}

static void show_pauses(FILE *page)
{
    static const struct peer_ops *const both[] = {&peer_soma, &peer_mutex};
    static const char *const heads[] = {"2 writers, 1M entries", "write p99.99, us", "longest write, us"};
    struct table table = {.heads = heads, .columns = 3, .left = 1};
    for (unsigned i = 0; i < 2; i++) {
        table_cell(&table, "%s", i == 0 ? "soma, copied from a view" : "mutex, walked through under the lock");
        table_figure(&table, figures_median(views_key(both[i]->name, "write p99.99, us", PAUSE_SIZE, 2)));
        table_figure(&table, figures_median(views_key(both[i]->name, "longest write, us", PAUSE_SIZE, 2)));
    }
    show_table(&table, page);
}

static void views_report(const struct bench *bench, const struct plan *plan, FILE *page)
{
    (void)bench;
    show_mixes(plan, page);
    show_opening(plan, page);
    show_pauses(page);
}

#define VIEWS(map_name, what, entries, on)                                                                             \
    {                                                                                                                  \
        .bench = "views", .map = map_name, .metric = what, .size = entries, .threads = on                              \
    }

static const struct target targets[] = {
    {.text = "views, 1M, 2 threads: updates beside a view over none",
     .figure = VIEWS("one view", "Mops, updates only", 1000000, 2),
     .against = VIEWS("no view", "Mops, updates only", 1000000, 2),
     .bound = 0.6},
    {.text = "views, 1M, 2 threads: lookups beside a view over none",
     .figure = VIEWS("one view", "Mops, lookups only", 1000000, 2),
     .against = VIEWS("no view", "Mops, lookups only", 1000000, 2),
     .bound = 0.95},
    {.text = "views, 10M: opening, warm, ns",
     .figure = VIEWS("soma", "opening, warm, ns", 10000000, 1),
     .at_most = true,
     .bound = 2000},
    {.text = "views, 1M: scan of a view, million entries a second",
     .figure = VIEWS("soma", "scan of a view, Mops", 1000000, 1),
     .bound = 20},
    {.text = "views, 1M: longest write, locked table over soma",
     .figure = VIEWS("mutex", "longest write, us", PAUSE_SIZE, 2),
     .against = VIEWS("soma", "longest write, us", PAUSE_SIZE, 2),
     .bound = 1000},
};

static const struct peer_ops *const peers[] = {&peer_soma, &peer_mutex, NULL};

const struct bench bench_views = {
    .name = "views",
    .about = "what views cost, and what a copy under a lock costs",
    .full = {.sizes = {{10000, 1000000, 10000000}, 3}, .threads = {{1, 2}, 2}, .rounds = 5, .seconds = 0.5},
    .quick = {.sizes = {{1000000}, 1}, .threads = {{2}, 1}, .rounds = 1, .seconds = 0.3},
    .peers = peers,
    .targets = targets,
    .target_count = sizeof targets / sizeof targets[0],
    .steps = views_steps,
    .round = views_round,
    .report = views_report,
};
