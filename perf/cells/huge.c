/* SPDX-License-Identifier: ISC */
/* huge.c - SOMA_HUGE_PAGES: the word map and the frozen map made of it, each with and without. */
#include <soma/soma.h>

#include "cells/cells.h"
#include "support/clock.h"
#include "support/fail.h"
#include "support/hist.h"
#include "support/memory.h"
#include "support/progress.h"
#include "support/rng.h"

/* ---- Who takes part ---- */

static soma_u64 *map_with(unsigned flags)
{
    soma_u64 *map;
    if (soma_u64_new(&(struct soma_u64_options){.flags = flags}, &map) != SOMA_OK)
        fail("huge: no map");
    return map;
}

static soma_frozen *freeze(soma_u64 *map)
{
    soma_view *view;
    soma_frozen *frozen;
    if (soma_u64_view_open(map, &view) != SOMA_OK || soma_frozen_build(view, &frozen) != SOMA_OK)
        fail("huge: no frozen map");
    soma_view_close(view);
    return frozen;
}

static size_t frozen_get_each(void *map, const peer_key *keys, size_t n, uint64_t *values)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        values[i] = 0;
        found += soma_frozen_get_u64(map, keys[i], &values[i]) == SOMA_OK;
    }
    return found;
}

static const struct peer_ops peer_frozen = {
    .name = "frozen",
    .thread_enter = peer_nothing,
    .thread_leave = peer_nothing,
    .quiescent = peer_nothing,
    .get_each = frozen_get_each,
};

static const struct contestant {
    const char *name;
    unsigned flags;
    bool frozen;
} contestants[] = {
    {"soma", 0, false},
    {"soma, huge pages", SOMA_HUGE_PAGES, false},
    {"frozen", 0, true},
    {"frozen, huge pages", SOMA_HUGE_PAGES, true},
};
#define CONTESTANTS (sizeof contestants / sizeof contestants[0])

struct huge_task {
    const struct contestant *who;
    struct cell cell;
};

/* ---- Hits, load, memory ---- */

struct huge_result {
    double hits;  /* Mops */
    double load;  /* Mops: puts of the load, or entries of the building */
    double bytes; /* an entry */
    double huge;  /* of them in huge pages */
    double left;  /* bytes, when all is removed and the table has shrunk */
};

static void empty_out(soma_u64 *map, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++) {
        if (soma_u64_remove(map, key_at(i), NULL) != SOMA_REMOVED)
            fail("huge: a key that is there was not removed");
    }
    peer_soma.shrink(map);
}

static void huge_child(const void *in, void *out)
{
    const struct huge_task *task = in;
    const uint64_t size = task->cell.size;
    struct huge_result *result = out;
    struct memory before = memory_now();
    soma_u64 *live = map_with(task->who->flags);
    void *map = live;
    uint64_t start = clock_ns();
    fill(&peer_soma, live, size, 1);
    if (task->who->frozen) {
        before = memory_now();
        start = clock_ns();
        map = freeze(live);
    }
    result->load = (double)size * 1e3 / (double)(clock_ns() - start);
    const struct memory full = memory_now();
    result->bytes = (double)(full.resident - before.resident) / (double)size;
    result->huge = (double)(full.huge - before.huge) / (double)size;
    if (task->who->frozen)
        soma_u64_free(live); /* both have the machine for themselves */
    result->hits = lookup_mops(&task->cell, map, CHUNK);
    if (task->who->frozen)
        return;
    empty_out(live, size);
    result->left = (double)(memory_now().resident - before.resident);
}

/* ---- Every put ---- */

/* As in load.c: a put's time holds the making of the key, the histogram and one reading of the clock. */
static void puts_child(const void *in, void *out)
{
    const struct huge_task *task = in;
    struct hist *hist = out;
    soma_u64 *map = map_with(task->who->flags);
    uint64_t last = clock_ns();
    for (uint64_t i = 0; i < task->cell.size; i++) {
        const uint64_t key = key_at(i);
        if (soma_u64_put_new(map, key, value_of(key), NULL) != SOMA_INSERTED)
            fail("huge: a new key was taken for an old one");
        const uint64_t now = clock_ns();
        hist_add(hist, now - last);
        last = now;
    }
}

/* ---- Rounds and report ---- */

static struct figure_key huge_key(const char *map, const char *metric, uint64_t size, uint64_t threads)
{
    return (struct figure_key){
        .bench = "huge", .map = map, .metric = metric, .size = size, .threads = (unsigned)threads};
}

static void hits_turn(const struct huge_task *task)
{
    const char *name = task->who->name;
    const struct cell *cell = &task->cell;
    struct huge_result result = {0, 0, 0, 0, 0};
    char text[FIGURE_TEXT];
    progress_step("huge: %s, %s entries, threads: %u", name, size_text(cell->size, text), cell->threads);
    child_run(name, huge_child, task, &result, sizeof result);
    figures_add(huge_key(name, "Mops", cell->size, cell->threads), result.hits);
    figures_add(huge_key(name, "load Mops", cell->size, 1), result.load);
    figures_add(huge_key(name, "bytes an entry", cell->size, 1), result.bytes);
    figures_add(huge_key(name, "bytes an entry in huge pages", cell->size, 1), result.huge);
    if (!task->who->frozen)
        figures_add(huge_key(name, "bytes left when emptied", cell->size, 1), result.left);
}

static void puts_turn(const struct huge_task *task)
{
    static struct hist hist;
    const char *name = task->who->name;
    const uint64_t size = task->cell.size;
    char text[FIGURE_TEXT];
    progress_step("huge: every put of %s, %s entries", name, size_text(size, text));
    child_run(name, puts_child, task, &hist, sizeof hist);
    figures_add(huge_key(name, "p99.9 ns", size, 1), (double)hist_at(&hist, 0.999));
    figures_add(huge_key(name, "p99.99 ns", size, 1), (double)hist_at(&hist, 0.9999));
    figures_add(huge_key(name, "longest ns", size, 1), (double)hist_at(&hist, 1));
}

static void huge_round(const struct bench *bench, const struct plan *plan, unsigned round)
{
    (void)bench;
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        for (unsigned c = 0; c < CONTESTANTS; c++) {
            struct huge_task task = {&contestants[(c + round) % CONTESTANTS],
                                     {.size = plan->sizes.at[s], .threads = 1, .seconds = plan->seconds}};
            if (!task.who->frozen)
                puts_turn(&task);
            for (unsigned t = 0; t < plan->threads.n; t++) {
                const struct peer_ops *peer = task.who->frozen ? &peer_frozen : &peer_soma;
                task.cell.peer = peer;
                task.cell.threads = (unsigned)plan->threads.at[t];
                hits_turn(&task);
            }
        }
    }
}

static unsigned huge_steps(const struct bench *bench, const struct plan *plan)
{
    (void)bench;
    unsigned steps = 0;
    for (unsigned c = 0; c < CONTESTANTS; c++)
        steps += plan->sizes.n * (plan->threads.n + !contestants[c].frozen);
    return steps;
}

static double median(const struct contestant *who, const char *metric, uint64_t size, uint64_t threads)
{
    return figures_median(huge_key(who->name, metric, size, threads));
}

/* Each contestant with huge pages stands behind the one without. */
static void hits_rows(uint64_t size, uint64_t threads, struct table *table)
{
    char text[FIGURE_TEXT];
    for (unsigned c = 0; c < CONTESTANTS; c++) {
        const struct contestant *who = &contestants[c];
        const double mops = median(who, "Mops", size, threads);
        table_cell(table, "%s", size_text(size, text));
        table_cell(table, "%llu", (unsigned long long)threads);
        table_cell(table, "%s", who->name);
        table_figure(table, mops);
        table_cell(table, "%.2fx", who->flags ? mops / median(who - 1, "Mops", size, threads) : 1.0);
    }
}

static void other_rows(uint64_t size, struct table *table)
{
    char text[FIGURE_TEXT];
    for (unsigned c = 0; c < CONTESTANTS; c++) {
        const struct contestant *who = &contestants[c];
        table_cell(table, "%s", size_text(size, text));
        table_cell(table, "%s", who->name);
        table_figure(table, median(who, "load Mops", size, 1));
        table_figure(table, median(who, "p99.9 ns", size, 1));
        table_figure(table, median(who, "p99.99 ns", size, 1));
        table_figure(table, median(who, "longest ns", size, 1));
        table_figure(table, figures_least(huge_key(who->name, "longest ns", size, 1)));
        table_figure(table, median(who, "bytes an entry", size, 1));
        table_figure(table, median(who, "bytes an entry in huge pages", size, 1));
        table_figure(table, median(who, "bytes left when emptied", size, 1) / 1e6);
    }
}

static void huge_report(const struct bench *bench, const struct plan *plan, FILE *page)
{
    static const char *const hits_heads[] = {"entries", "threads", "map", "hits Mops", "over without"};
    static const char *const heads[] = {
        "entries",        "map",           "load Mops",      "p99.9 ns",      "p99.99 ns",
        "longest put ns", "in best round", "bytes an entry", "in huge pages", "emptied MB"};
    struct table hits = {.heads = hits_heads, .columns = 5, .left = 3};
    struct table other = {.heads = heads, .columns = 10, .left = 2};
    (void)bench;
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        for (unsigned t = 0; t < plan->threads.n; t++)
            hits_rows(plan->sizes.at[s], plan->threads.at[t], &hits);
        other_rows(plan->sizes.at[s], &other);
    }
    show_table(&hits, page);
    show_table(&other, page);
}

static const struct peer_ops *const peers[] = {&peer_soma, NULL};

const struct bench bench_huge = {
    .name = "huge",
    .about = "huge pages for tables and frozen maps, with and without",
    .full = {.sizes = {{1000000, 10000000}, 2}, .threads = {{1, 2}, 2}, .rounds = 5, .seconds = 1},
    .quick = {.sizes = {{1000000}, 1}, .threads = {{1}, 1}, .rounds = 3, .seconds = 0.3},
    .peers = peers,
    .steps = huge_steps,
    .round = huge_round,
    .report = huge_report,
};
