/* SPDX-License-Identifier: ISC */
/* sync.c - what crosses the wire when one map is made equal to another: bytes beyond the entries that differ, and
 * round trips, by how many differ; and of entries of 480 bytes, of which one in a hundred has changed. Both ends are
 * in one process; nothing waits for a wire. */
#include "cells/cells.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#include "support/chart.h"
#include "support/clock.h"
#include "support/fail.h"
#include "support/progress.h"
#include "support/rng.h"

#define SEED                                                                                                           \
    {                                                                                                                  \
        11, 12                                                                                                         \
    }
#define DIGEST_KEY                                                                                                     \
    {                                                                                                                  \
        13, 14                                                                                                         \
    }

static const uint64_t differences[] = {0, 1, 10, 100, 1000, 10000, 100000};
#define DIFFERENCES (sizeof differences / sizeof differences[0])

/* As names of metrics, which are constants. */
static const char *const beyond_at[DIFFERENCES] = {
    "bytes beyond the entries, 0 differ",      "bytes beyond the entries, 1 differs",
    "bytes beyond the entries, 10 differ",     "bytes beyond the entries, 100 differ",
    "bytes beyond the entries, 1000 differ",   "bytes beyond the entries, 10000 differ",
    "bytes beyond the entries, 100000 differ",
};
static const char *const trips_at[DIFFERENCES] = {
    "round trips, 0 differ",    "round trips, 1 differs",    "round trips, 10 differ",     "round trips, 100 differ",
    "round trips, 1000 differ", "round trips, 10000 differ", "round trips, 100000 differ",
};
static const char *const seconds_at[DIFFERENCES] = {
    "seconds, 0 differ",    "seconds, 1 differs",    "seconds, 10 differ",     "seconds, 100 differ",
    "seconds, 1000 differ", "seconds, 10000 differ", "seconds, 100000 differ",
};

/* Texts: keys of 16 bytes, values of 464; one in TEXT_CHANGED has another value. */
#define TEXTS 100000
#define TEXT_KEY 16
#define TEXT_VALUE 464
#define TEXT_CHANGED 100

struct sync_task {
    uint64_t size;
    uint64_t differences;
    bool target_begins; /* it is the initiator */
};

struct sync_result {
    double beyond;
    double all;
    double trips;
    double seconds;
};

static void must(enum soma_status status)
{
    if (status < 0)
        fail("soma: %s", soma_status_text(status));
}

/* ---- Talking ---- */

/* All that one has to say; whether that was something. */
static bool hand_over(soma_sync *from, soma_sync *to)
{
    static unsigned char bytes[1 << 16];
    size_t len = 0;
    bool any = false;
    do {
        must(soma_sync_drain(from, bytes, sizeof bytes, &len));
        must(soma_sync_feed(to, bytes, len, NULL));
        any |= len > 0;
    } while (len > 0);
    return any;
}

static struct sync_result talk(soma_sync *target, soma_sync *source)
{
    struct soma_sync_result result;
    const uint64_t start = clock_ns();
    while (hand_over(target, source) | hand_over(source, target))
        ;
    const uint64_t end = clock_ns();
    soma_sync_outcome(target, &result);
    if (!result.equal || result.kept > 0)
        fail("the maps are not equal: %s", soma_sync_reason(target));
    const double all = (double)(result.bytes_sent + result.bytes_received);
    soma_sync_close(target);
    soma_sync_close(source);
    return (struct sync_result){.beyond = all - (double)result.entries_received_bytes,
                                .all = all,
                                .trips = (double)result.round_trips,
                                .seconds = (double)(end - start) / 1e9};
}

static struct soma_sync_options role(bool source, bool target_begins)
{
    return (struct soma_sync_options){.role = source ? SOMA_SYNC_SOURCE : SOMA_SYNC_TARGET,
                                      .initiator = source != target_begins};
}

/* ---- Words ---- */

static soma_u64 *words_new(uint64_t size)
{
    const struct soma_u64_options options = {
        .reserve = size, .seed = SEED, .flags = SOMA_DIGEST, .digest_key = DIGEST_KEY};
    soma_u64 *map = NULL;
    must(soma_u64_new(&options, &map));
    for (uint64_t i = 0; i < size; i++)
        must(soma_u64_put(map, key_at(i), i, NULL));
    return map;
}

/* A third is changed, a third is missing at the target, a third at the source; scattered over all. */
static void words_child(const void *task, void *out)
{
    const struct sync_task *sync = task;
    soma_u64 *source = words_new(sync->size);
    soma_u64 *target = words_new(sync->size);
    for (uint64_t i = 0; i < sync->differences; i++) {
        const uint64_t key = key_at(i * (sync->size / sync->differences));
        if (i % 3 == 0)
            must(soma_u64_put(target, key, ~i, NULL));
        else
            must(soma_u64_remove(i % 3 == 1 ? target : source, key, NULL));
    }
    const struct soma_sync_options of_source = role(true, sync->target_begins);
    const struct soma_sync_options of_target = role(false, sync->target_begins);
    soma_sync *a = NULL;
    soma_sync *b = NULL;
    must(soma_u64_sync_open(target, &of_target, &a));
    must(soma_u64_sync_open(source, &of_source, &b));
    *(struct sync_result *)out = talk(a, b);
}

/* ---- Texts ---- */

static void text_put(soma_map *map, uint64_t i, uint64_t version)
{
    unsigned char key[TEXT_KEY];
    uint64_t value[TEXT_VALUE / sizeof(uint64_t)];
    snprintf((char *)key, sizeof key, "text %010llu", (unsigned long long)i);
    for (uint64_t w = 0; w < TEXT_VALUE / sizeof(uint64_t); w++)
        value[w] = key_at(i * 64 + w + version * 7);
    must(soma_map_put(map, key, sizeof key, value, sizeof value, NULL));
}

static soma_map *texts_new(uint64_t size)
{
    const struct soma_map_options options = {
        .reserve = size, .seed = SEED, .flags = SOMA_DIGEST, .digest_key = DIGEST_KEY};
    soma_map *map = NULL;
    must(soma_map_new(&options, &map));
    for (uint64_t i = 0; i < size; i++)
        text_put(map, i, 0);
    return map;
}

static void texts_child(const void *task, void *out)
{
    const struct sync_task *sync = task;
    soma_map *source = texts_new(sync->size);
    soma_map *target = texts_new(sync->differences > 0 ? sync->size : 0);
    for (uint64_t i = 0; i < sync->differences; i++)
        text_put(source, i * (sync->size / sync->differences), 1);
    const struct soma_sync_options of_source = role(true, sync->target_begins);
    const struct soma_sync_options of_target = role(false, sync->target_begins);
    soma_sync *a = NULL;
    soma_sync *b = NULL;
    must(soma_map_sync_open(target, &of_target, &a));
    must(soma_map_sync_open(source, &of_source, &b));
    *(struct sync_result *)out = talk(a, b);
}

/* ---- A round ---- */

static struct figure_key sync_key(const char *metric, uint64_t size)
{
    return (struct figure_key){.bench = "sync", .map = "soma", .metric = metric, .size = size, .threads = 1};
}

static void texts_cell(const struct bench *bench, bool changed, bool target_begins)
{
    const struct sync_task task = {
        .size = TEXTS, .differences = changed ? TEXTS / TEXT_CHANGED : 0, .target_begins = target_begins};
    struct sync_result result;
    progress_step("%s: %d entries of 480 bytes", bench->name, TEXTS);
    child_run("soma", texts_child, &task, &result, sizeof result);
    if (!changed) {
        figures_add(sync_key("texts, all bytes of a full copy", TEXTS), result.all);
        figures_add(sync_key("texts, seconds of a full copy", TEXTS), result.seconds);
        return;
    }
    figures_add(sync_key("texts, bytes beyond the entries", TEXTS), result.beyond);
    figures_add(sync_key("texts, all bytes", TEXTS), result.all);
    figures_add(
        sync_key(target_begins ? "texts, round trips, target begins" : "texts, round trips, source begins", TEXTS),
        result.trips);
    figures_add(sync_key("texts, seconds", TEXTS), result.seconds);
}

static void words_cells(const struct bench *bench, uint64_t size)
{
    for (unsigned i = 0; i < DIFFERENCES; i++) {
        const struct sync_task task = {.size = size, .differences = differences[i], .target_begins = true};
        struct sync_result result;
        char text[FIGURE_TEXT];
        progress_step("%s: %s words, %llu differ", bench->name, size_text(size, text),
                      (unsigned long long)differences[i]);
        child_run("soma", words_child, &task, &result, sizeof result);
        figures_add(sync_key(beyond_at[i], size), result.beyond);
        figures_add(sync_key(trips_at[i], size), result.trips);
        figures_add(sync_key(seconds_at[i], size), result.seconds);
    }
}

static void sync_round(const struct bench *bench, const struct plan *plan, unsigned round)
{
    (void)round;
    texts_cell(bench, true, true);
    texts_cell(bench, true, false);
    texts_cell(bench, false, true);
    for (unsigned s = 0; s < plan->sizes.n; s++)
        words_cells(bench, plan->sizes.at[s]);
}

static unsigned sync_steps(const struct bench *bench, const struct plan *plan)
{
    (void)bench;
    return 3 + plan->sizes.n * (unsigned)DIFFERENCES;
}

/* ---- Report ---- */

static void words_charts(uint64_t size, FILE *page)
{
    char title[80];
    char text[FIGURE_TEXT];
    snprintf(title, sizeof title, "bytes beyond the entries, for each of them, %s words", size_text(size, text));
    struct chart cost = {.title = title, .unit = "bytes a difference", .log = true, .series = 1};
    struct chart trips = {.title = "round trips", .unit = "round trips", .series = 1};
    cost.series_names[0] = trips.series_names[0] = "soma";
    for (unsigned i = 0; i < DIFFERENCES; i++) {
        const double beyond = figures_median(sync_key(beyond_at[i], size));
        snprintf(cost.group_names[i], sizeof cost.group_names[0], "%s",
                 differences[i] > 0 ? size_text(differences[i], text) : "none");
        memcpy(trips.group_names[i], cost.group_names[i], sizeof trips.group_names[0]);
        cost.values[i][0] = beyond / (double)(differences[i] > 0 ? differences[i] : 1);
        trips.values[i][0] = figures_median(sync_key(trips_at[i], size));
    }
    cost.groups = trips.groups = DIFFERENCES;
    charts_start(page);
    chart_draw(page, &cost);
    chart_draw(page, &trips);
    charts_end(page);
}

static void words_report(const struct plan *plan, FILE *page)
{
    static const char *const heads[] = {"words",        "differ",      "bytes beyond the entries",
                                        "a difference", "round trips", "seconds"};
    struct table table = {.heads = heads, .columns = 6, .left = 0};
    char text[FIGURE_TEXT];
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        const uint64_t size = plan->sizes.at[s];
        words_charts(size, page);
        for (unsigned i = 0; i < DIFFERENCES; i++) {
            const double beyond = figures_median(sync_key(beyond_at[i], size));
            table_cell(&table, "%s", size_text(size, text));
            table_cell(&table, "%llu", (unsigned long long)differences[i]);
            table_cell(&table, "%.0f", beyond);
            table_figure(&table, differences[i] > 0 ? beyond / (double)differences[i] : NAN);
            table_figure(&table, figures_median(sync_key(trips_at[i], size)));
            table_figure(&table, figures_median(sync_key(seconds_at[i], size)));
        }
    }
    show_table(&table, page);
}

static void sync_report(const struct bench *bench, const struct plan *plan, FILE *page)
{
    (void)bench;
    static const char *const metrics[] = {
        "texts, bytes beyond the entries",   "texts, all bytes", "texts, round trips, target begins",
        "texts, round trips, source begins", "texts, seconds",   "texts, all bytes of a full copy",
        "texts, seconds of a full copy"};
    static const char *const heads[] = {"100,000 entries of 480 bytes, 1,000 changed", "is"};
    struct table table = {.heads = heads, .columns = 2, .left = 1};
    for (unsigned i = 0; i < sizeof metrics / sizeof metrics[0]; i++) {
        const double figure = figures_median(sync_key(metrics[i], TEXTS));
        table_cell(&table, "%s", metrics[i]);
        table_cell(&table, figure < 100 ? "%.2f" : "%.0f", figure);
    }
    show_table(&table, page);
    words_report(plan, page);
}

/* Three round trips are the least: hello and checks; lists and entries; digests. */
static const struct target targets[] = {
    {.text = "sync, 100k of 480 bytes, 1 % changed: bytes beyond the entries",
     .figure =
         {.bench = "sync", .map = "soma", .metric = "texts, bytes beyond the entries", .size = TEXTS, .threads = 1},
     .at_most = true,
     .bound = 156000},
    {.text = "sync, the same: round trips, the target begins",
     .figure =
         {.bench = "sync", .map = "soma", .metric = "texts, round trips, target begins", .size = TEXTS, .threads = 1},
     .at_most = true,
     .bound = 4},
    {.text = "sync, the same: round trips, the source begins",
     .figure =
         {.bench = "sync", .map = "soma", .metric = "texts, round trips, source begins", .size = TEXTS, .threads = 1},
     .at_most = true,
     .bound = 4},
};

static const struct peer_ops *const peers[] = {&peer_soma, NULL};

const struct bench bench_sync = {
    .name = "sync",
    .about = "what crosses the wire when a map is made equal to another",
    .full = {.sizes = {{1000000}, 1}, .threads = {{1}, 1}, .rounds = 3, .seconds = 1},
    .quick = {.sizes = {{1000000}, 1}, .threads = {{1}, 1}, .rounds = 1, .seconds = 1},
    .peers = peers,
    .targets = targets,
    .target_count = sizeof targets / sizeof targets[0],
    .steps = sync_steps,
    .round = sync_round,
    .report = sync_report,
};
