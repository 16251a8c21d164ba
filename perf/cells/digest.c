/* SPDX-License-Identifier: ISC */
/* digest.c - what digests cost and save: updates of a map that keeps one against one that does not, reading it, telling whether
 * two maps are equal by it against locking, copying and comparing; FNV-1a, and strong digests. */
#include "cells/cells.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include <soma/soma.h>

#include "support/clock.h"
#include "support/fail.h"
#include "support/page.h"
#include "support/progress.h"
#include "support/rng.h"
#include "support/team.h"

static void must(enum soma_status status)
{
    if (status < 0)
        fail("soma: %s", soma_status_text(status));
}

static soma_u64 *made(unsigned flags)
{
    soma_u64 *map = NULL;
    must(soma_u64_new(&(struct soma_u64_options){.flags = flags, .digest_key = {4711, 815}}, &map));
    return map;
}

static soma_u64 *filled(unsigned flags, uint64_t size, uint64_t stride)
{
    soma_u64 *map = made(flags);
    for (uint64_t i = 0; i < size; i++)
        must(soma_u64_put(map, key_at(i * stride), value_of(key_at(i * stride)), NULL));
    return map;
}

/* ---- Upkeep ---- */

/* Sizes above say no more: the misses of the table itself hide more and more of it. */
#define UPKEEP_MOST 1000000
#define STRETCH 64
#define TURNS 5

static const struct mix {
    const char *name;
    const char *off; /* what the figures are called */
    const char *on;
    const char *upkeep;
    unsigned put; /* in 256; the rest are removals */
    unsigned replace;
    unsigned work; /* numbers drawn after each, as a program would do something */
    bool present;  /* only keys that are there */
    bool batches;  /* puts, STRETCH in a call */
} mixes[] = {
    {"put, replace, remove", "mix, off, ns", "mix, on, ns", "mix, upkeep ns", 86, 85, 0, false, false},
    {"the same, 50 draws between", "worked, off, ns", "worked, on, ns", "worked, upkeep ns", 86, 85, 50, false, false},
    {"puts over present keys", "over, off, ns", "over, on, ns", "over, upkeep ns", 256, 0, 0, true, false},
    {"the same, in batches of 64", "batch, off, ns", "batch, on, ns", "batch, upkeep ns", 256, 0, 0, true, true},
    {"insert and remove", "in and out, off, ns", "in and out, on, ns", "in and out, upkeep ns", 128, 0, 0, false,
     false},
};
#define MIXES (sizeof mixes / sizeof mixes[0])

struct load {
    soma_u64 *map;
    uint64_t size;
    const struct mix *mix;
    atomic_bool stop;
    _Atomic uint64_t changes;
    _Atomic uint64_t cpu_ns;
};

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t drawn_key(const struct load *load, uint64_t draw)
{
    const bool present = load->mix->present;
    const uint64_t index = (draw >> 32) * (present ? load->size : load->size * 2) >> 32;
    return key_at(present ? 2 * index : index);
}

static uint64_t change_many(const struct load *load, uint64_t *rng)
{
    uint64_t keys[STRETCH];
    uint64_t values[STRETCH];
    for (unsigned i = 0; i < STRETCH; i++) {
        values[i] = rng_next(rng);
        keys[i] = drawn_key(load, values[i]);
    }
    must(soma_u64_put_many(load->map, keys, values, STRETCH, NULL));
    return STRETCH;
}

/* Whether something changed. */
static bool change(const struct load *load, uint64_t draw)
{
    const struct mix *mix = load->mix;
    const uint64_t key = drawn_key(load, draw);
    const unsigned kind = (unsigned)(draw % 256);
    enum soma_status status;
    if (kind < mix->put)
        status = soma_u64_put(load->map, key, draw, NULL);
    else if (kind < mix->put + mix->replace)
        status = soma_u64_replace(load->map, key, draw, NULL);
    else
        status = soma_u64_remove(load->map, key, NULL);
    must(status);
    return status == SOMA_INSERTED || status == SOMA_REPLACED || status == SOMA_REMOVED;
}

static void load_thread(void *shared, unsigned index)
{
    struct load *load = shared;
    uint64_t rng = key_at(index + 1);
    uint64_t changes = 0;
    const uint64_t start = cpu_ns();
    while (!atomic_load_explicit(&load->stop, memory_order_relaxed)) {
        if (load->mix->batches) {
            changes += change_many(load, &rng);
            continue;
        }
        for (unsigned i = 0; i < STRETCH; i++) {
            changes += change(load, rng_next(&rng));
            for (unsigned n = 0; n < load->mix->work; n++)
                (void)rng_next(&rng);
        }
    }
    atomic_fetch_add(&load->cpu_ns, cpu_ns() - start);
    atomic_fetch_add(&load->changes, changes);
}

static void run_load(struct load *load, const struct cell *cell, double seconds)
{
    atomic_store(&load->stop, false);
    team_run_for(cell->threads, load_thread, load, seconds, &load->stop);
}

struct upkeep_result {
    double off[MIXES];
    double on[MIXES];
};

/* Two maps in turns, which differ in nothing else. Time is the processor's, so that who else uses the machine takes none. */
static void upkeep_child(const void *task, void *out)
{
    const struct cell *cell = task;
    struct upkeep_result *result = out;
    for (unsigned m = 0; m < MIXES; m++) {
        struct load off = {.map = filled(0, cell->size, 2), .size = cell->size, .mix = &mixes[m]};
        struct load on = {.map = filled(SOMA_DIGEST, cell->size, 2), .size = cell->size, .mix = &mixes[m]};
        for (unsigned turn = 0; turn <= TURNS; turn++) {
            if (turn == 1) { /* what came first was for warming up */
                off.cpu_ns = off.changes = 0;
                on.cpu_ns = on.changes = 0;
            }
            run_load(turn % 2 == 0 ? &off : &on, cell, cell->seconds / TURNS);
            run_load(turn % 2 == 0 ? &on : &off, cell, cell->seconds / TURNS);
        }
        result->off[m] = (double)off.cpu_ns / (double)off.changes;
        result->on[m] = (double)on.cpu_ns / (double)on.changes;
        soma_u64_free(off.map);
        soma_u64_free(on.map);
    }
}

/* ---- Reading and comparing ---- */

#define READINGS 200000

struct equal_result {
    double read_ns;
    double equal_ns;
};

static bool equal_by_digest(const soma_u64 *a, const soma_u64 *b)
{
    struct soma_digest of_a;
    struct soma_digest of_b;
    must(soma_u64_digest(a, &of_a));
    must(soma_u64_digest(b, &of_b));
    return soma_digest_equal(&of_a, &of_b);
}

static void equal_child(const void *task, void *out)
{
    const struct cell *cell = task;
    struct equal_result *result = out;
    soma_u64 *a = filled(SOMA_DIGEST, cell->size, 1);
    soma_u64 *b = filled(SOMA_DIGEST, cell->size, 1);
    struct soma_digest digest;
    uint64_t start = clock_ns();
    for (unsigned i = 0; i < READINGS; i++)
        must(soma_u64_digest(a, &digest));
    result->read_ns = (double)(clock_ns() - start) / READINGS;
    start = clock_ns();
    for (unsigned i = 0; i < READINGS; i++) {
        if (!equal_by_digest(a, b))
            fail("soma: equal maps have different digests");
    }
    result->equal_ns = (double)(clock_ns() - start) / READINGS;
    must(soma_u64_fetch_add(b, key_at(cell->size / 2), 1, NULL));
    if (equal_by_digest(a, b))
        fail("soma: different maps have equal digests");
}

/* A table behind a mutex, as fast as such a thing gets: linear probing, half full at the most. Key 0 does not occur. */
struct slot {
    uint64_t key;
    uint64_t value;
};

struct locked {
    pthread_mutex_t lock;
    struct slot *slots;
    unsigned log2;
};

static struct slot *slot_of(const struct locked *table, uint64_t key)
{
    const uint64_t mask = (UINT64_C(1) << table->log2) - 1;
    uint64_t i = key * UINT64_C(0x9e3779b97f4a7c15) >> (64 - table->log2);
    while (table->slots[i].key != 0 && table->slots[i].key != key)
        i = (i + 1) & mask;
    return &table->slots[i];
}

static struct locked locked_filled(uint64_t size)
{
    struct locked table = {.lock = PTHREAD_MUTEX_INITIALIZER, .log2 = 1};
    while (UINT64_C(1) << table.log2 < 2 * size)
        table.log2++;
    table.slots = calloc(UINT64_C(1) << table.log2, sizeof *table.slots);
    if (!table.slots)
        fail("out of memory");
    for (uint64_t i = 0; i < size; i++)
        *slot_of(&table, key_at(i)) = (struct slot){key_at(i), value_of(key_at(i))};
    return table;
}

/* Under its lock, a table is copied; under the other's, each entry of the copy is looked up. */
static bool equal_by_copy(struct locked *a, struct locked *b, uint64_t size)
{
    struct slot *copy = alloc_or_fail(size * sizeof *copy);
    uint64_t n = 0;
    uint64_t same = 0;
    pthread_mutex_lock(&a->lock);
    for (uint64_t i = 0; i < UINT64_C(1) << a->log2; i++) {
        if (a->slots[i].key != 0)
            copy[n++] = a->slots[i];
    }
    pthread_mutex_unlock(&a->lock);
    pthread_mutex_lock(&b->lock);
    for (uint64_t i = 0; i < n; i++) {
        const struct slot *slot = slot_of(b, copy[i].key);
        same += slot->key == copy[i].key && slot->value == copy[i].value;
    }
    pthread_mutex_unlock(&b->lock);
    free(copy);
    return n == size && same == size;
}

static void copy_child(const void *task, void *out)
{
    const struct cell *cell = task;
    struct locked a = locked_filled(cell->size);
    struct locked b = locked_filled(cell->size);
    uint64_t passes = 0;
    uint64_t took;
    const uint64_t start = clock_ns();
    do {
        if (!equal_by_copy(&a, &b, cell->size))
            fail("locked: equal tables are different");
        passes++;
        took = clock_ns() - start;
    } while ((double)took < cell->seconds * 1e9);
    *(double *)out = (double)took / (double)passes;
}

/* ---- FNV-1a, and strong digests ---- */

#define FNV_BYTES (1 << 20)
#define STRONG_ENTRIES 10000

struct hash_result {
    double fnv_mbs;
    double strong_ns; /* an entry; 0: this build has none */
};

static void hash_child(const void *task, void *out)
{
    (void)task;
    struct hash_result *result = out;
    unsigned char *bytes = alloc_or_fail(FNV_BYTES);
    for (unsigned i = 0; i < FNV_BYTES; i++)
        bytes[i] = (unsigned char)key_at(i);
    uint64_t state = SOMA_FNV1A64_BASIS;
    uint64_t start = cpu_ns();
    for (unsigned i = 0; i < 16; i++)
        state = soma_fnv1a64(bytes, FNV_BYTES, state);
    result->fnv_mbs = 16.0 * FNV_BYTES * 1e3 / (double)(cpu_ns() - start + (state == 0));
    result->strong_ns = 0;
    soma_u64 *map = NULL;
    if (soma_u64_new(&(struct soma_u64_options){.flags = SOMA_DIGEST_STRONG}, &map) != SOMA_OK)
        return;
    for (uint64_t i = 0; i < STRONG_ENTRIES; i++)
        must(soma_u64_put(map, key_at(i), i, NULL));
    soma_view *view = NULL;
    struct soma_digest_strong digest;
    must(soma_u64_view_open(map, &view));
    start = cpu_ns();
    must(soma_view_digest_strong(view, &digest));
    result->strong_ns = (double)(cpu_ns() - start) / STRONG_ENTRIES;
    soma_view_close(view);
}

/* ---- Rounds ---- */

static struct figure_key digest_key(const char *map, const char *metric, uint64_t size, uint64_t threads)
{
    return (struct figure_key){
        .bench = "digest", .map = map, .metric = metric, .size = size, .threads = (unsigned)threads};
}

static void upkeep_cell(const struct bench *bench, const struct cell *cell)
{
    char text[FIGURE_TEXT];
    struct upkeep_result result;
    progress_step("%s: upkeep, %s entries, threads: %u", bench->name, size_text(cell->size, text), cell->threads);
    child_run("soma", upkeep_child, cell, &result, sizeof result);
    for (unsigned m = 0; m < MIXES; m++) {
        figures_add(digest_key("soma", mixes[m].off, cell->size, cell->threads), result.off[m]);
        figures_add(digest_key("soma", mixes[m].on, cell->size, cell->threads), result.on[m]);
        figures_add(digest_key("soma", mixes[m].upkeep, cell->size, cell->threads), result.on[m] - result.off[m]);
    }
}

static void equal_cell(const struct bench *bench, const struct cell *cell)
{
    char text[FIGURE_TEXT];
    struct equal_result result;
    double copied_ns;
    progress_step("%s: reading and comparing, %s entries", bench->name, size_text(cell->size, text));
    child_run("soma", equal_child, cell, &result, sizeof result);
    figures_add(digest_key("soma", "reading, ns", cell->size, 1), result.read_ns);
    figures_add(digest_key("soma", "comparing, ns", cell->size, 1), result.equal_ns);
    progress_step("%s: copying and comparing, %s entries", bench->name, size_text(cell->size, text));
    child_run("locked", copy_child, cell, &copied_ns, sizeof copied_ns);
    figures_add(digest_key("locked", "comparing, ns", cell->size, 1), copied_ns);
}

static void hash_cell(const struct bench *bench)
{
    struct hash_result result;
    progress_step("%s: hashing", bench->name);
    child_run("soma", hash_child, NULL, &result, sizeof result);
    figures_add(digest_key("soma", "FNV-1a, MB/s", 0, 1), result.fnv_mbs);
    if (result.strong_ns > 0)
        figures_add(digest_key("soma", "strong, ns an entry", 0, 1), result.strong_ns);
}

static void digest_round(const struct bench *bench, const struct plan *plan, unsigned round)
{
    (void)round;
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        struct cell cell = {.size = plan->sizes.at[s], .threads = 1, .seconds = plan->seconds};
        equal_cell(bench, &cell);
        for (unsigned t = 0; t < plan->threads.n && cell.size <= UPKEEP_MOST; t++) {
            cell.threads = (unsigned)plan->threads.at[t];
            upkeep_cell(bench, &cell);
        }
    }
    hash_cell(bench);
}

static unsigned digest_steps(const struct bench *bench, const struct plan *plan)
{
    (void)bench;
    unsigned steps = 1;
    for (unsigned s = 0; s < plan->sizes.n; s++)
        steps += 2 + (plan->sizes.at[s] <= UPKEEP_MOST ? plan->threads.n : 0);
    return steps;
}

/* ---- Report ---- */

static void upkeep_rows(uint64_t size, uint64_t threads, struct table *table)
{
    char text[FIGURE_TEXT];
    for (unsigned m = 0; m < MIXES; m++) {
        const double off = figures_median(digest_key("soma", mixes[m].off, size, threads));
        const double on = figures_median(digest_key("soma", mixes[m].on, size, threads));
        table_cell(table, "%s", size_text(size, text));
        table_cell(table, "%llu", (unsigned long long)threads);
        table_cell(table, "%s", mixes[m].name);
        table_figure(table, off);
        table_figure(table, on);
        table_figure(table, figures_median(digest_key("soma", mixes[m].upkeep, size, threads)));
        table_cell(table, "%.2fx", on / off);
    }
}

static void show_upkeep(const struct plan *plan, FILE *page)
{
    static const char *const heads[] = {"entries", "threads",    "updates",    "off, ns",
                                        "on, ns",  "upkeep, ns", "on over off"};
    struct table table = {.heads = heads, .columns = 7, .left = 3};
    page_text(
        page,
        "Nanoseconds of the processor's time for an update that changed something, with and without a digest kept.");
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        for (unsigned t = 0; t < plan->threads.n && plan->sizes.at[s] <= UPKEEP_MOST; t++)
            upkeep_rows(plan->sizes.at[s], plan->threads.at[t], &table);
    }
    show_table(&table, page);
}

static void show_equal(const struct plan *plan, FILE *page)
{
    static const char *const heads[] = {"entries", "reading, ns", "two maps by digest, ns", "lock, copy, compare, ns",
                                        "over digest"};
    struct table table = {.heads = heads, .columns = 5, .left = 0};
    char text[FIGURE_TEXT];
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        const uint64_t size = plan->sizes.at[s];
        const double soma = figures_median(digest_key("soma", "comparing, ns", size, 1));
        const double locked = figures_median(digest_key("locked", "comparing, ns", size, 1));
        table_cell(&table, "%s", size_text(size, text));
        table_figure(&table, figures_median(digest_key("soma", "reading, ns", size, 1)));
        table_figure(&table, soma);
        table_figure(&table, locked);
        table_cell(&table, "%.0fx", locked / soma);
    }
    show_table(&table, page);
}

static void digest_report(const struct bench *bench, const struct plan *plan, FILE *page)
{
    (void)bench;
    static const char *const heads[] = {"FNV-1a, MB/s", "strong digest, ns an entry"};
    struct table table = {.heads = heads, .columns = 2, .left = 0};
    show_upkeep(plan, page);
    show_equal(plan, page);
    table_figure(&table, figures_median(digest_key("soma", "FNV-1a, MB/s", 0, 1)));
    table_figure(&table, figures_median(digest_key("soma", "strong, ns an entry", 0, 1)));
    show_table(&table, page);
}

#define DIGEST(map_name, what, entries, on)                                                                            \
    {                                                                                                                  \
        .bench = "digest", .map = map_name, .metric = what, .size = entries, .threads = on                             \
    }

#define UPKEEP_MET(size_name, entries, on, what, metric_name)                                                          \
    {                                                                                                                  \
        .text = "digest, " size_name ", threads: " #on ": upkeep of an " what ", ns",                                  \
        .figure = DIGEST("soma", metric_name, entries, on), .at_most = true, .bound = 25                               \
    }

static const struct target targets[] = {
    UPKEEP_MET("10k", 10000, 1, "update", "mix, upkeep ns"),
    UPKEEP_MET("10k", 10000, 2, "update", "mix, upkeep ns"),
    UPKEEP_MET("1M", 1000000, 1, "update", "mix, upkeep ns"),
    UPKEEP_MET("1M", 1000000, 2, "update", "mix, upkeep ns"),
    UPKEEP_MET("1M", 1000000, 1, "update among other work", "worked, upkeep ns"),
    UPKEEP_MET("1M", 1000000, 2, "update among other work", "worked, upkeep ns"),
    UPKEEP_MET("1M", 1000000, 1, "update in a batch", "batch, upkeep ns"),
    UPKEEP_MET("1M", 1000000, 2, "update in a batch", "batch, upkeep ns"),
    {.text = "digest, 10M: reading, ns",
     .figure = DIGEST("soma", "reading, ns", 10000000, 1),
     .at_most = true,
     .bound = 2000},
    {.text = "digest, 1M: lock, copy and compare over two digests",
     .figure = DIGEST("locked", "comparing, ns", 1000000, 1),
     .against = DIGEST("soma", "comparing, ns", 1000000, 1),
     .bound = 1000},
};

static const struct peer_ops *const peers[] = {&peer_soma, NULL};

const struct bench bench_digest = {
    .name = "digest",
    .about = "what digests cost updates, reading one, and comparing maps by it",
    .full = {.sizes = {{10000, 100000, 1000000, 10000000}, 4}, .threads = {{1, 2}, 2}, .rounds = 5, .seconds = 0.5},
    .quick = {.sizes = {{10000, 1000000}, 2}, .threads = {{1, 2}, 2}, .rounds = 3, .seconds = 0.2},
    .peers = peers,
    .targets = targets,
    .target_count = sizeof targets / sizeof targets[0],
    .steps = digest_steps,
    .round = digest_round,
    .report = digest_report,
};
