/* SPDX-License-Identifier: ISC */
/* patch.c - what patches cost: a map of which one key in a hundred changes while a view is open, words and byte strings. The patch
 * between the two instants is made, checked, turned round, and applied there and back, with a view open beside it or none. */
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#include "cells/cells.h"
#include "support/clock.h"
#include "support/fail.h"
#include "support/progress.h"
#include "support/rng.h"

#define CHANGED 100 /* one key in so many */
#define TIMES 5

enum metric {
    DIFF_MS,
    MAKE_MS,
    CHECK_MS,
    INVERT_MS,
    APPLY_MS,
    APPLY_BESIDE_MS,
    BYTES,
    METRICS
};

static const char *const names[METRICS] = {
    [DIFF_MS] = "diff, ms",         [MAKE_MS] = "make, ms",   [CHECK_MS] = "check, ms",
    [INVERT_MS] = "invert, ms",     [APPLY_MS] = "apply, ms", [APPLY_BESIDE_MS] = "apply beside a view, ms",
    [BYTES] = "bytes a difference",
};

struct result {
    double of[METRICS];
};

static void must(enum soma_status status)
{
    if (status < 0 || status == SOMA_CHANGED)
        fail("soma: %s", soma_status_text(status));
}

/* ---- Both kinds ---- */

static bool is_words(const struct peer_ops *peer);

struct subject {
    soma_u64 *words; /* or */
    soma_map *bytes;
};

/* Byte values of 24 bytes. */
static void put(const struct subject *subject, uint64_t index, uint64_t value)
{
    const uint64_t key = key_at(index);
    const uint64_t text[3] = {value, value, value};
    must(subject->words ? soma_u64_put(subject->words, key, value, NULL)
                        : soma_map_put(subject->bytes, &key, sizeof key, text, sizeof text, NULL));
}

static void take(const struct subject *subject, uint64_t index)
{
    const uint64_t key = key_at(index);
    must(subject->words ? soma_u64_remove(subject->words, key, NULL)
                        : soma_map_remove(subject->bytes, &key, sizeof key, NULL));
}

static soma_view *look(const struct subject *subject)
{
    soma_view *view = NULL;
    must(subject->words ? soma_u64_view_open(subject->words, &view) : soma_map_view_open(subject->bytes, &view));
    return view;
}

static void apply(const struct subject *subject, const soma_patch *patch)
{
    const struct soma_bytes bytes = soma_patch_bytes(patch);
    must(subject->words ? soma_patch_apply_u64_wait(subject->words, bytes, NULL)
                        : soma_patch_apply_map_wait(subject->bytes, bytes, NULL));
}

static void change_some(const struct subject *subject, uint64_t size)
{
    for (uint64_t i = 0; i < size; i += CHANGED) {
        switch (i / CHANGED % 4) {
        case 0:
            take(subject, i);
            break;
        case 1:
            put(subject, size + i, i);
            break;
        default:
            put(subject, i, i);
            break;
        }
    }
}

/* ---- Measuring ---- */

static enum soma_status count_one(const struct soma_difference *difference, void *count)
{
    (void)difference;
    ++*(uint64_t *)count;
    return SOMA_OK;
}

static double ms_since(uint64_t start)
{
    return (double)(clock_ns() - start) / 1e6;
}

static void keep_least(double *least, double value, bool first)
{
    if (first || value < *least)
        *least = value;
}

static void measure_bytes(const soma_view *before, const soma_view *after, struct result *result, bool first)
{
    soma_patch *patch = NULL;
    soma_patch *inverse = NULL;
    uint64_t count = 0;
    uint64_t start = clock_ns();
    must(soma_diff_views(before, after, count_one, &count));
    keep_least(&result->of[DIFF_MS], ms_since(start), first);
    start = clock_ns();
    must(soma_patch_make(before, after, &patch));
    keep_least(&result->of[MAKE_MS], ms_since(start), first);
    const struct soma_bytes bytes = soma_patch_bytes(patch);
    start = clock_ns();
    must(soma_patch_check(bytes, NULL));
    keep_least(&result->of[CHECK_MS], ms_since(start), first);
    start = clock_ns();
    must(soma_patch_invert(bytes, &inverse));
    keep_least(&result->of[INVERT_MS], ms_since(start), first);
    result->of[BYTES] = (double)bytes.len / (double)count;
    soma_patch_free(patch);
    soma_patch_free(inverse);
}

/* Back and there again, so many times. */
static double apply_ms(const struct subject *subject, const soma_patch *forth, const soma_patch *back)
{
    double least = 0;
    for (unsigned i = 0; i < TIMES; i++) {
        const uint64_t start = clock_ns();
        apply(subject, back);
        apply(subject, forth);
        keep_least(&least, ms_since(start) / 2, i == 0);
    }
    return least;
}

static void must_look_like(const struct subject *subject, const soma_view *view)
{
    soma_view *now = look(subject);
    bool equal = false;
    must(soma_view_equal(now, view, &equal));
    if (!equal)
        fail("soma: a patch does not lead where it should");
    soma_view_close(now);
}

static void patch_child(const void *task, void *out)
{
    const struct cell *cell = task;
    struct result *result = out;
    struct subject subject = {.words = NULL};
    soma_patch *forth = NULL;
    soma_patch *back = NULL;
    if (is_words(cell->peer))
        must(soma_u64_new(NULL, &subject.words));
    else
        must(soma_map_new(NULL, &subject.bytes));
    for (uint64_t i = 0; i < cell->size; i++)
        put(&subject, i, value_of(key_at(i)));
    soma_view *before = look(&subject);
    change_some(&subject, cell->size);
    soma_view *after = look(&subject);
    for (unsigned i = 0; i < TIMES; i++)
        measure_bytes(before, after, result, i == 0);
    must(soma_patch_make(before, after, &forth));
    must(soma_patch_invert(soma_patch_bytes(forth), &back));
    soma_view_close(before);
    result->of[APPLY_BESIDE_MS] = apply_ms(&subject, forth, back);
    must_look_like(&subject, after);
    soma_view_close(after);
    result->of[APPLY_MS] = apply_ms(&subject, forth, back);
    soma_patch_free(forth);
    soma_patch_free(back);
}

/* ---- Rounds ---- */

static const struct peer_ops peer_words = {.name = "words", .about = "soma_u64", .colour = 2};
static const struct peer_ops peer_bytes = {.name = "bytes", .about = "soma_map, keys of 8, values of 24", .colour = 3};

static bool is_words(const struct peer_ops *peer)
{
    return peer == &peer_words;
}

static struct figure_key patch_key(const char *map, enum metric metric, uint64_t size)
{
    return (struct figure_key){.bench = "patch", .map = map, .metric = names[metric], .size = size, .threads = 1};
}

static void patch_cell(const struct bench *bench, const struct cell *cell)
{
    char text[FIGURE_TEXT];
    struct result result;
    progress_step("%s: %s, %s entries", bench->name, cell->peer->name, size_text(cell->size, text));
    child_run("soma", patch_child, cell, &result, sizeof result);
    for (int metric = 0; metric < METRICS; metric++)
        figures_add(patch_key(cell->peer->name, (enum metric)metric, cell->size), result.of[metric]);
}

static void patch_round(const struct bench *bench, const struct plan *plan, unsigned round)
{
    for_each_cell(bench, plan, round, patch_cell);
}

/* ---- Report ---- */

static void patch_report(const struct bench *bench, const struct plan *plan, FILE *page)
{
    const char *heads[2 + METRICS] = {"entries", "map"};
    struct table table = {.heads = heads, .columns = 2 + METRICS, .left = 2};
    char text[FIGURE_TEXT];
    for (int metric = 0; metric < METRICS; metric++)
        heads[2 + metric] = names[metric];
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        for (unsigned p = 0; bench->peers[p]; p++) {
            table_cell(&table, "%s", size_text(plan->sizes.at[s], text));
            table_cell(&table, "%s", bench->peers[p]->name);
            for (int metric = 0; metric < METRICS; metric++)
                table_figure(&table,
                             figures_median(patch_key(bench->peers[p]->name, (enum metric)metric, plan->sizes.at[s])));
        }
    }
    show_table(&table, page);
}

static const struct peer_ops *const peers[] = {&peer_words, &peer_bytes, NULL};

const struct bench bench_patch = {
    .name = "patch",
    .about = "patches of 1 % of a map: made, checked, turned round, applied",
    .full = {.sizes = {{1000000}, 1}, .threads = {{1}, 1}, .rounds = 5, .seconds = 0.5},
    .quick = {.sizes = {{100000}, 1}, .threads = {{1}, 1}, .rounds = 1, .seconds = 0.3},
    .peers = peers,
    .steps = cell_count,
    .round = patch_round,
    .report = patch_report,
};
