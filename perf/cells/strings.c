/* SPDX-License-Identifier: ISC */
/* strings.c - what load_percent trades in a byte map, keys of 24 bytes to values of 8: hits and misses by how many entries
 * share a bucket, and what an entry takes beyond its key and value. The number of entries is the same throughout, and each
 * load has half the buckets of the one before. The fewer entries share a bucket, the fewer does a lookup touch that are not
 * its own: so this is also the bound on what a bucket that knows its entries' keys by hints could bring. */
#include "cells/cells.h"

#include <stdatomic.h>
#include <string.h>

#include <soma/soma.h>

#include "support/chart.h"
#include "support/fail.h"
#include "support/memory.h"
#include "support/progress.h"
#include "support/rng.h"
#include "support/team.h"

static const unsigned loads[] = {25, 50, 100, 200, 400};
#define LOADS (sizeof loads / sizeof loads[0])

#define STRING_LEN 24

enum {
    BYTES,
    HITS,
    MISSES,
    BATCH_HITS,
    BATCH_MISSES,
    METRICS
};

static const char *const metrics[METRICS] = {"bytes over key and value", "hits", "misses", "batch hits",
                                             "batch misses"};

struct strings_task {
    uint64_t entries;
    double seconds;
    unsigned load;
};

struct strings_result {
    double figures[METRICS];
};

struct string {
    char at[STRING_LEN];
};

/* Eight bytes that all keys share, then sixteen of their own. */
static struct string string_at(uint64_t index)
{
    struct string key;
    const uint64_t halves[2] = {key_at(index), index};
    memcpy(key.at, "strings:", 8);
    memcpy(key.at + 8, halves, sizeof halves);
    return key;
}

static void must(enum soma_status status)
{
    if (status < 0)
        fail("strings: %s", soma_status_text(status));
}

static soma_map *filled(const struct strings_task *task)
{
    soma_map *map = NULL;
    must(soma_map_new(&(struct soma_map_options){.load_percent = task->load}, &map));
    const uint64_t n = task->entries;
    for (uint64_t i = 0; i < n; i++) {
        const struct string key = string_at(i);
        const uint64_t value = value_of(i);
        must(soma_map_put_new(map, key.at, STRING_LEN, &value, sizeof value, NULL));
    }
    if (soma_map_count_approx(map) != n)
        fail("strings: an entry is missing");
    return map;
}

/* Lookups of `space` indexes from `first` on, all there or all not. */
struct lookups {
    const soma_map *map;
    uint64_t first;
    uint64_t space;
    bool there;
    bool batch;
    atomic_bool stop;
    uint64_t done;
};

static void look_up_each(const struct lookups *lookups, const struct string *keys, const uint64_t *indexes)
{
    for (unsigned i = 0; i < BATCH; i++) {
        uint64_t value = 0;
        size_t len;
        const enum soma_status status =
            soma_map_get_copy(lookups->map, keys[i].at, STRING_LEN, &value, sizeof value, &len);
        if ((status == SOMA_OK) != lookups->there || (lookups->there && value != value_of(indexes[i])))
            fail("strings: a wrong answer");
    }
}

static void look_up_batch(const struct lookups *lookups, const struct string *keys, const uint64_t *indexes)
{
    struct soma_bytes wanted[BATCH];
    struct soma_bytes values[BATCH];
    for (unsigned i = 0; i < BATCH; i++)
        wanted[i] = (struct soma_bytes){keys[i].at, STRING_LEN};
    soma_read_enter();
    if (soma_map_get_many(lookups->map, wanted, BATCH, values, NULL) != (lookups->there ? BATCH : 0))
        fail("strings: a wrong answer");
    for (unsigned i = 0; lookups->there && i < BATCH; i++) {
        uint64_t value;
        memcpy(&value, values[i].data, sizeof value);
        if (value != value_of(indexes[i]))
            fail("strings: a wrong value");
    }
    soma_read_exit();
}

static void look_up(void *shared, unsigned index)
{
    struct lookups *lookups = shared;
    uint64_t rng = key_at(index);
    while (!atomic_load_explicit(&lookups->stop, memory_order_relaxed)) {
        struct string keys[BATCH];
        uint64_t indexes[BATCH];
        for (unsigned i = 0; i < BATCH; i++) {
            indexes[i] = lookups->first + rng_below(&rng, lookups->space);
            keys[i] = string_at(indexes[i]);
        }
        (lookups->batch ? look_up_batch : look_up_each)(lookups, keys, indexes);
        lookups->done += BATCH;
    }
}

static double mops(const struct strings_task *task, const soma_map *map, bool there, bool batch)
{
    const uint64_t n = task->entries;
    struct lookups lookups = {.map = map, .first = there ? 0 : n, .space = n, .there = there, .batch = batch};
    const uint64_t ns = team_run_for(1, look_up, &lookups, task->seconds, &lookups.stop);
    return (double)lookups.done * 1e3 / (double)ns;
}

static void strings_child(const void *given, void *out)
{
    const struct strings_task *task = given;
    struct strings_result *result = out;
    team_warm(1);
    const struct memory before = memory_now();
    const soma_map *map = filled(task);
    soma_barrier_wait();
    const struct memory full = memory_now();
    const double entries = (double)task->entries;
    result->figures[BYTES] =
        (double)(full.resident - before.resident) / entries - (double)(STRING_LEN + sizeof(uint64_t));
    result->figures[HITS] = mops(task, map, true, false);
    result->figures[MISSES] = mops(task, map, false, false);
    result->figures[BATCH_HITS] = mops(task, map, true, true);
    result->figures[BATCH_MISSES] = mops(task, map, false, true);
}

/* The contestants are the loads. */
static struct figure_key strings_key(unsigned metric, uint64_t entries, unsigned load)
{
    static const char *const names[LOADS] = {"load 25", "load 50", "load 100", "load 200", "load 400"};
    unsigned i = 0;
    while (loads[i] != load)
        i++;
    return (struct figure_key){
        .bench = "strings", .map = names[i], .metric = metrics[metric], .size = entries, .threads = 1};
}

static void strings_round(const struct bench *bench, const struct plan *plan, unsigned round)
{
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        for (unsigned i = 0; i < LOADS; i++) {
            const unsigned load = loads[(i + round) % LOADS];
            const struct strings_task task = {.entries = plan->sizes.at[s], .seconds = plan->seconds, .load = load};
            struct strings_result result;
            progress_step("%s: load_percent %u", bench->name, load);
            child_run("strings", strings_child, &task, &result, sizeof result);
            for (unsigned m = 0; m < METRICS; m++)
                figures_add(strings_key(m, task.entries, load), result.figures[m]);
        }
    }
}

static unsigned strings_steps(const struct bench *bench, const struct plan *plan)
{
    (void)bench;
    return plan->sizes.n * LOADS;
}

static void strings_chart(uint64_t entries, FILE *page)
{
    struct chart speed = {.title = "lookups by load_percent",
                          .unit = "million operations a second",
                          .series = BATCH_HITS - HITS,
                          .series_names = {"hits", "misses"},
                          .colours = {0, 1},
                          .groups = LOADS};
    for (unsigned i = 0; i < LOADS; i++) {
        snprintf(speed.group_names[i], sizeof speed.group_names[0], "%u %%", loads[i]);
        for (unsigned m = HITS; m < BATCH_HITS; m++)
            speed.values[i][m - HITS] = figures_median(strings_key(m, entries, loads[i]));
    }
    charts_start(page);
    chart_draw(page, &speed);
    charts_end(page);
}

static void strings_report(const struct bench *bench, const struct plan *plan, FILE *page)
{
    (void)bench;
    static const char *const heads[] = {"entries",    "load_percent", "bytes over key and value",
                                        "hits, Mops", "misses, Mops", "in batches: hits",
                                        "misses"};
    struct table table = {.heads = heads, .columns = 2 + METRICS, .left = 0};
    char text[FIGURE_TEXT];
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        const uint64_t entries = plan->sizes.at[s];
        strings_chart(entries, page);
        for (unsigned i = 0; i < LOADS; i++) {
            table_cell(&table, "%s", size_text(entries, text));
            table_cell(&table, "%u", loads[i]);
            for (unsigned m = 0; m < METRICS; m++)
                table_figure(&table, figures_median(strings_key(m, entries, loads[i])));
        }
    }
    show_table(&table, page);
}

static const struct peer_ops *const peers[] = {&peer_soma, NULL};

const struct bench bench_strings = {
    .name = "strings",
    .about = "byte maps: lookups and bytes by load_percent",
    .full = {.sizes = {{1000000}, 1}, .threads = {{1}, 1}, .rounds = 5, .seconds = 0.5},
    .quick = {.sizes = {{250000}, 1}, .threads = {{1}, 1}, .rounds = 1, .seconds = 0.2},
    .peers = peers,
    .steps = strings_steps,
    .round = strings_round,
    .report = strings_report,
};
