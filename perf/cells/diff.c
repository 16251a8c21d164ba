/* SPDX-License-Identifier: ISC */
/* diff.c - finding what differs: between two views of one map, between two maps by the digests of ranges, and digests of views,
 * each beside a pass through a view. */
#include "cells/cells.h"

#include <soma/soma.h>

#include "support/clock.h"
#include "support/fail.h"
#include "support/progress.h"
#include "support/rng.h"

#define CHANGES 1000

static const char *const metrics[] = {
    "pass through a view, ms",    "diff of views, 1,000 changes, ms",
    "diff of views, none, ms",    "diff of maps, 1,000 differences, ms",
    "first digest of a view, ms", "digest of a view, 1,000 changes, ms",
    "changed since?, ns",
};
#define METRICS (sizeof metrics / sizeof metrics[0])

enum {
    PASS,
    DIFF,
    DIFF_NONE,
    DIFF_MAPS,
    DIGEST_FIRST,
    DIGEST,
    CHANGED
};

struct result {
    double of[METRICS];
};

static void must(enum soma_status status)
{
    if (status < 0)
        fail("soma: %s", soma_status_text(status));
}

static soma_u64 *filled(uint64_t size)
{
    const struct soma_u64_options options = {
        .reserve = size, .seed = {1, 2}, .flags = SOMA_DIGEST, .digest_key = {3, 4}};
    soma_u64 *map = NULL;
    must(soma_u64_new(&options, &map));
    for (uint64_t i = 0; i < size; i++)
        must(soma_u64_put(map, key_at(i), value_of(key_at(i)), NULL));
    return map;
}

static soma_view *opened(soma_u64 *map)
{
    soma_view *view = NULL;
    must(soma_u64_view_open(map, &view));
    return view;
}

static void change(soma_u64 *map, uint64_t size, uint64_t *rng)
{
    for (unsigned i = 0; i < CHANGES; i++) {
        const uint64_t key = key_at(rng_below(rng, size));
        must(soma_u64_fetch_add(map, key, 1, NULL));
    }
}

/* ---- Timing: each gives milliseconds ---- */

static double since_ms(uint64_t start)
{
    return (double)(clock_ns() - start) / 1e6;
}

static double pass_ms(const soma_view *view, uint64_t size)
{
    soma_cursor *cursor = NULL;
    uint64_t count = 0;
    const uint64_t start = clock_ns();
    must(soma_cursor_open_view(view, &cursor));
    while (soma_cursor_next_u64(cursor, NULL, NULL) == SOMA_OK)
        count++;
    soma_cursor_close(cursor);
    const double took = since_ms(start);
    if (count != size)
        fail("soma: a pass does not meet all entries");
    return took;
}

static enum soma_status count_one(const struct soma_difference *difference, void *ctx)
{
    (void)difference;
    ++*(uint64_t *)ctx;
    return SOMA_OK;
}

/* A few keys are changed twice, so there may be fewer differences than changes. */
static double diff_ms(const soma_view *a, const soma_view *b, uint64_t most)
{
    uint64_t count = 0;
    const uint64_t start = clock_ns();
    must(soma_diff_views(a, b, count_one, &count));
    const double took = since_ms(start);
    if (count > most || count < most / 2)
        fail("soma: %llu differences are found, of %llu", (unsigned long long)count, (unsigned long long)most);
    return took;
}

static double digest_ms(const soma_view *view, struct soma_digest *digest)
{
    const uint64_t start = clock_ns();
    must(soma_view_digest(view, digest));
    return since_ms(start);
}

static double changed_ns(soma_u64 *map)
{
    uint64_t token;
    must(soma_u64_change_token(map, &token));
    const unsigned asked = 100000;
    const uint64_t start = clock_ns();
    for (unsigned i = 0; i < asked; i++) {
        bool changed = false;
        must(soma_u64_changed_since(map, token, 0, 0, &changed));
        if (changed)
            fail("soma: a map at rest has changed");
    }
    return (double)(clock_ns() - start) / asked;
}

/* ---- One process ---- */

static void views_of_one(soma_u64 *map, uint64_t size, struct result *result)
{
    struct soma_digest digest;
    struct soma_digest running;
    uint64_t rng = 1;
    soma_view *before = opened(map);
    result->of[DIGEST_FIRST] = digest_ms(before, &digest);
    result->of[PASS] = pass_ms(before, size);
    change(map, size, &rng);
    soma_view *after = opened(map);
    soma_view *again = opened(map);
    result->of[DIFF] = diff_ms(before, after, CHANGES);
    result->of[DIFF_NONE] = diff_ms(after, again, 0);
    result->of[DIGEST] = digest_ms(after, &digest);
    must(soma_u64_digest(map, &running));
    if (!soma_digest_equal(&digest, &running))
        fail("soma: a view's digest is not that of the map");
    result->of[CHANGED] = changed_ns(map);
    soma_view_close(again);
    soma_view_close(after);
    soma_view_close(before);
}

static void views_of_two(soma_u64 *map, uint64_t size, struct result *result)
{
    uint64_t rng = 2;
    struct soma_digest digests[2];
    soma_u64 *other = filled(size);
    soma_view *a = opened(map);
    soma_view *b = opened(other);
    (void)digest_ms(a, &digests[0]);
    (void)digest_ms(b, &digests[1]);
    soma_view_close(b);
    change(other, size, &rng);
    b = opened(other);
    result->of[DIFF_MAPS] = diff_ms(a, b, 2 * CHANGES);
    soma_view_close(a);
    soma_view_close(b);
    soma_u64_free(other);
}

static void diff_child(const void *task, void *out)
{
    const struct cell *cell = task;
    struct result *result = out;
    soma_u64 *map = filled(cell->size);
    views_of_one(map, cell->size, result);
    views_of_two(map, cell->size, result);
    soma_u64_free(map);
}

/* ---- Rounds ---- */

static struct figure_key diff_key(unsigned metric, uint64_t size)
{
    return (struct figure_key){.bench = "diff", .map = "soma", .metric = metrics[metric], .size = size, .threads = 1};
}

static void diff_round(const struct bench *bench, const struct plan *plan, unsigned round)
{
    (void)round;
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        const struct cell cell = {.peer = &peer_soma, .size = plan->sizes.at[s], .threads = 1};
        char text[FIGURE_TEXT];
        struct result result;
        progress_step("%s: %s entries", bench->name, size_text(cell.size, text));
        child_run("soma", diff_child, &cell, &result, sizeof result);
        for (unsigned i = 0; i < METRICS; i++)
            figures_add(diff_key(i, cell.size), result.of[i]);
    }
}

static unsigned diff_steps(const struct bench *bench, const struct plan *plan)
{
    (void)bench;
    return plan->sizes.n;
}

static void diff_report(const struct bench *bench, const struct plan *plan, FILE *page)
{
    static const char *const heads[] = {"entries", "what", "time", "of a pass"};
    struct table table = {.heads = heads, .columns = 4, .left = 2};
    char text[FIGURE_TEXT];
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        const uint64_t size = plan->sizes.at[s];
        for (unsigned i = 0; i < METRICS; i++) {
            const double time = figures_median(diff_key(i, size));
            table_cell(&table, "%s", size_text(size, text));
            table_cell(&table, "%s", metrics[i]);
            table_figure(&table, time);
            if (i == CHANGED)
                table_cell(&table, "-");
            else
                table_cell(&table, "%.2f %%", 100 * time / figures_median(diff_key(PASS, size)));
        }
    }
    show_table(&table, page);
    report_targets(bench, page);
}

#define OF(metric_name, entries)                                                                                       \
    {                                                                                                                  \
        .bench = "diff", .map = "soma", .metric = metric_name, .size = entries, .threads = 1                           \
    }

static const struct target targets[] = {
    {.text = "diff of views, 10M, 1,000 changes, of a pass",
     .figure = OF("diff of views, 1,000 changes, ms", 10000000),
     .against = OF("pass through a view, ms", 10000000),
     .at_most = true,
     .bound = 0.01},
};

static const struct peer_ops *const peers[] = {&peer_soma, NULL};

const struct bench bench_diff = {
    .name = "diff",
    .about = "finding what differs",
    .full = {.sizes = {{1000000, 10000000}, 2}, .threads = {{1}, 1}, .rounds = 5, .seconds = 1},
    .quick = {.sizes = {{1000000}, 1}, .threads = {{1}, 1}, .rounds = 3, .seconds = 0.3},
    .peers = peers,
    .targets = targets,
    .target_count = sizeof targets / sizeof targets[0],
    .steps = diff_steps,
    .round = diff_round,
    .report = diff_report,
};
