/* SPDX-License-Identifier: ISC */
/* frozen.c - frozen maps: lookups and bytes beside the live map that they were made of; and a small one that threads
 * read while another puts new ones in its place a thousand times a second, through a cell and behind a read-write lock.
 * Behind either stand the same tables, which are made beforehand: what is measured is the publishing. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include <soma/soma.h>

#include "cells/cells.h"
#include "support/clock.h"
#include "support/fail.h"
#include "support/memory.h"
#include "support/progress.h"
#include "support/rng.h"
#include "support/team.h"

static soma_frozen *freeze(soma_u64 *map)
{
    soma_view *view;
    soma_frozen *frozen;
    if (soma_u64_view_open(map, &view) != SOMA_OK || soma_frozen_build(view, &frozen) != SOMA_OK)
        fail("frozen: no frozen map");
    soma_view_close(view);
    return frozen;
}

/* ---- Lookups ---- */

static size_t frozen_get_each(void *map, const peer_key *keys, size_t n, uint64_t *values)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        values[i] = 0;
        found += soma_frozen_get_u64(map, keys[i], &values[i]) == SOMA_OK;
    }
    return found;
}

static size_t frozen_get_many(void *map, const peer_key *keys, size_t n, uint64_t *values)
{
    return soma_frozen_get_many_u64(map, keys, n, values, NULL);
}

static const struct peer_ops peer_frozen = {
    .name = "frozen",
    .about = "soma_frozen_get_u64()",
    .colour = 2,
    .thread_enter = peer_nothing,
    .thread_leave = peer_nothing,
    .quiescent = peer_nothing,
    .get_each = frozen_get_each,
};

static const struct peer_ops peer_frozen_batch = {
    .name = "frozen-batch",
    .about = "soma_frozen_get_many_u64()",
    .colour = 3,
    .batched = true,
    .thread_enter = peer_nothing,
    .thread_leave = peer_nothing,
    .quiescent = peer_nothing,
    .get_each = frozen_get_many,
};

struct hits_result {
    double mops;
    double bytes;    /* of a frozen map, an entry */
    double build_ns; /* an entry */
};

/* The live map goes before a frozen one is looked at, so that both have the machine for themselves. */
static void hits_child(const void *task, void *out)
{
    const struct cell *cell = task;
    struct hits_result *result = out;
    void *map = peer_soma.create(cell->size);
    fill(&peer_soma, map, cell->size, 1);
    count_must_be(&peer_soma, map, cell->size);
    if (cell->peer == &peer_frozen || cell->peer == &peer_frozen_batch) {
        const struct memory before = memory_now();
        const uint64_t start = clock_ns();
        soma_frozen *frozen = freeze(map);
        result->build_ns = (double)(clock_ns() - start) / (double)cell->size;
        result->bytes = (double)(memory_now().resident - before.resident) / (double)cell->size;
        soma_u64_free(map);
        map = frozen;
    }
    result->mops = lookup_mops(cell, map, cell->peer->batched ? BATCH : CHUNK);
}

static struct figure_key frozen_key(const char *map, const char *metric, uint64_t size, unsigned threads)
{
    return (struct figure_key){.bench = "frozen", .map = map, .metric = metric, .size = size, .threads = threads};
}

static void hits_cell(const struct bench *bench, const struct cell *cell)
{
    char text[FIGURE_TEXT];
    struct hits_result result = {0, 0, 0};
    progress_step("%s: %s, %s entries, threads: %u", bench->name, cell->peer->name, size_text(cell->size, text),
                  cell->threads);
    child_run(cell->peer->name, hits_child, cell, &result, sizeof result);
    figures_add(frozen_key(cell->peer->name, "Mops", cell->size, cell->threads), result.mops);
    if (cell->peer == &peer_frozen && cell->threads == 1) {
        figures_add(frozen_key("frozen", "bytes an entry", cell->size, 1), result.bytes);
        figures_add(frozen_key("frozen", "ns an entry to build", cell->size, 1), result.build_ns);
    }
}

/* ---- Publication ---- */

#define PUBLISHED_ENTRIES 1000
#define PUBLISH_EVERY_NS 1000000
#define READERS 2

enum way {
    CELL,
    LOCK,
    WAYS
};
static const char *const way_names[WAYS] = {"cell", "rwlock"};
static const char *const mops_metric[2] = {"Mops, never published", "Mops, published to"};

struct published_task {
    enum way way;
    bool publishing;
    double seconds;
};

struct published_result {
    double mops;
    double publishes; /* a second */
};

static struct {
    const struct published_task *task;
    struct soma_cell cell;
    pthread_rwlock_t lock;
    soma_frozen *table; /* behind the lock */
    soma_frozen **next; /* to be published */
    uint64_t next_count;
    atomic_bool stop;
    _Atomic uint64_t done;
    _Atomic uint64_t publishes;
} pub;

static uint64_t read_through_cell(uint64_t key)
{
    uint64_t value = 0;
    soma_read_enter();
    soma_frozen_get_u64(soma_cell_read(&pub.cell), key, &value);
    soma_read_exit();
    return value;
}

static uint64_t read_behind_lock(uint64_t key)
{
    uint64_t value = 0;
    pthread_rwlock_rdlock(&pub.lock);
    soma_frozen_get_u64(pub.table, key, &value);
    pthread_rwlock_unlock(&pub.lock);
    return value;
}

static void publish(soma_frozen *next)
{
    if (pub.task->way == CELL) {
        if (soma_cell_publish(&pub.cell, next, soma_frozen_retire) != SOMA_OK)
            fail("frozen: nothing can be published");
        return;
    }
    pthread_rwlock_wrlock(&pub.lock);
    soma_frozen *old = pub.table;
    pub.table = next;
    pthread_rwlock_unlock(&pub.lock);
    soma_frozen_free(old);
}

static void publisher(void)
{
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (uint64_t i = 0; i < pub.next_count && !atomic_load(&pub.stop); i++) {
        next.tv_nsec += PUBLISH_EVERY_NS;
        next.tv_sec += next.tv_nsec / 1000000000;
        next.tv_nsec %= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
        publish(pub.next[i]);
        atomic_fetch_add(&pub.publishes, 1);
    }
}

static void pub_thread(void *shared, unsigned index)
{
    uint64_t rng = key_at(index);
    uint64_t done = 0;
    uint64_t wrong = 0;
    (void)shared;
    if (index == READERS) {
        publisher();
        return;
    }
    while (!atomic_load_explicit(&pub.stop, memory_order_relaxed)) {
        for (int i = 0; i < CHUNK; i++) {
            const uint64_t key = key_at(rng_below(&rng, PUBLISHED_ENTRIES));
            wrong |= (pub.task->way == CELL ? read_through_cell(key) : read_behind_lock(key)) ^ value_of(key);
        }
        done += CHUNK;
    }
    if (wrong)
        fail("frozen: a lookup gave the wrong value");
    atomic_fetch_add(&pub.done, done);
}

static void pub_child(const void *task, void *out)
{
    struct published_result *result = out;
    pub.task = task;
    soma_u64 *source = peer_soma.create(0);
    fill(&peer_soma, source, PUBLISHED_ENTRIES, 1);
    pub.next_count = pub.task->publishing ? (uint64_t)(pub.task->seconds * 1e9 / PUBLISH_EVERY_NS) : 0;
    pub.next = calloc(pub.next_count + 1, sizeof(soma_frozen *));
    if (pthread_rwlock_init(&pub.lock, NULL) != 0 || !pub.next)
        fail("frozen: no lock or no memory");
    for (uint64_t i = 0; i < pub.next_count; i++)
        pub.next[i] = freeze(source);
    soma_cell_init(&pub.cell, freeze(source));
    pub.table = freeze(source);
    const uint64_t ns = team_run_for(READERS + 1, pub_thread, NULL, pub.task->seconds, &pub.stop);
    result->mops = (double)pub.done * 1e3 / (double)ns;
    result->publishes = (double)pub.publishes * 1e9 / (double)ns;
}

static void pub_round(const struct bench *bench, const struct plan *plan, unsigned round)
{
    for (unsigned i = 0; i < 2 * WAYS; i++) {
        const unsigned turn = (i + round) % (2 * WAYS);
        const struct published_task task = {(enum way)(turn / 2), turn % 2, plan->seconds};
        struct published_result result = {0, 0};
        progress_step("%s: %s, %s", bench->name, way_names[task.way], mops_metric[task.publishing]);
        child_run(way_names[task.way], pub_child, &task, &result, sizeof result);
        figures_add(frozen_key(way_names[task.way], mops_metric[task.publishing], PUBLISHED_ENTRIES, READERS),
                    result.mops);
        if (task.publishing)
            figures_add(frozen_key(way_names[task.way], "published a second", PUBLISHED_ENTRIES, READERS),
                        result.publishes);
    }
}

/* ---- Rounds and report ---- */

static void frozen_round(const struct bench *bench, const struct plan *plan, unsigned round)
{
    for_each_cell(bench, plan, round, hits_cell);
    pub_round(bench, plan, round);
}

static unsigned frozen_steps(const struct bench *bench, const struct plan *plan)
{
    return cell_count(bench, plan) + 2 * WAYS;
}

static void report_sizes(const struct plan *plan, FILE *page)
{
    static const char *const heads[] = {"entries", "bytes an entry", "ns an entry to build"};
    struct table table = {.heads = heads, .columns = 3, .left = 0};
    char text[FIGURE_TEXT];
    for (unsigned s = 0; s < plan->sizes.n; s++) {
        const uint64_t size = plan->sizes.at[s];
        table_cell(&table, "%s", size_text(size, text));
        table_figure(&table, figures_median(frozen_key("frozen", "bytes an entry", size, 1)));
        table_figure(&table, figures_median(frozen_key("frozen", "ns an entry to build", size, 1)));
    }
    show_table(&table, page);
}

static void report_published(FILE *page)
{
    static const char *const heads[] = {"readers go", "threads", "Mops, never published", "Mops, published to",
                                        "published a second"};
    struct table table = {.heads = heads, .columns = 5, .left = 1};
    for (int way = 0; way < WAYS; way++) {
        table_cell(&table, way == CELL ? "through a cell" : "behind a rwlock");
        table_cell(&table, "%d", READERS);
        for (int publishing = 0; publishing < 2; publishing++)
            table_figure(&table, figures_median(
                                     frozen_key(way_names[way], mops_metric[publishing], PUBLISHED_ENTRIES, READERS)));
        table_figure(&table,
                     figures_median(frozen_key(way_names[way], "published a second", PUBLISHED_ENTRIES, READERS)));
    }
    show_table(&table, page);
}

static void frozen_report(const struct bench *bench, const struct plan *plan, FILE *page)
{
    report_mops(bench, plan, page);
    report_sizes(plan, page);
    report_published(page);
}

#define KEY(map_name, what, entries, thread_count)                                                                     \
    {                                                                                                                  \
        .bench = "frozen", .map = map_name, .metric = what, .size = entries, .threads = thread_count                   \
    }

static const struct target targets[] = {
    {.text = "hits, 1M, 1 thread: frozen over soma",
     .figure = KEY("frozen", "Mops", 1000000, 1),
     .against = KEY("soma", "Mops", 1000000, 1),
     .bound = 1.3},
    {.text = "hits, 10M, 1 thread: frozen over soma",
     .figure = KEY("frozen", "Mops", 10000000, 1),
     .against = KEY("soma", "Mops", 10000000, 1),
     .bound = 1.3},
    {.text = "bytes an entry, 1M words",
     .figure = KEY("frozen", "bytes an entry", 1000000, 1),
     .at_most = true,
     .bound = 24},
    {.text = "bytes an entry, 10M words",
     .figure = KEY("frozen", "bytes an entry", 10000000, 1),
     .at_most = true,
     .bound = 24},
    {.text = "2 readers, published to: cell over rwlock",
     .figure = KEY("cell", "Mops, published to", PUBLISHED_ENTRIES, READERS),
     .against = KEY("rwlock", "Mops, published to", PUBLISHED_ENTRIES, READERS),
     .bound = 5},
    {.text = "2 readers through a cell: published to over not",
     .figure = KEY("cell", "Mops, published to", PUBLISHED_ENTRIES, READERS),
     .against = KEY("cell", "Mops, never published", PUBLISHED_ENTRIES, READERS),
     .bound = 0.9},
};

static const struct peer_ops *const peers[] = {&peer_soma, &peer_frozen, &peer_soma_batch, &peer_frozen_batch, NULL};

const struct bench bench_frozen = {
    .name = "frozen",
    .about = "frozen maps beside the live one; readers of a small one that is published anew",
    .full = {.sizes = {{1000000, 10000000}, 2}, .threads = {{1, 2}, 2}, .rounds = 5, .seconds = 1},
    .quick = {.sizes = {{1000000}, 1}, .threads = {{1, 2}, 2}, .rounds = 3, .seconds = 0.3},
    .peers = peers,
    .targets = targets,
    .target_count = sizeof targets / sizeof targets[0],
    .steps = frozen_steps,
    .round = frozen_round,
    .report = frozen_report,
};
