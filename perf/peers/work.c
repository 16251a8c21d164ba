/* SPDX-License-Identifier: ISC */
#include "peers/work.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "peers/draws.h"
#include "support/clock.h"
#include "support/fail.h"
#include "support/hist.h"
#include "support/memory.h"
#include "support/team.h"

/* Operations that are drawn at once. Of these the lookups go to the map in one call, then the updates, so that no
 * indirect call is paid an operation, and a map that takes keys together can. */
#define STRETCH QUIESCENT_OPS

/* A value that was stored for a key differs from its peer_value_of() in these bits only. */
#define VERSIONS 0xffff

/* Of a thousand operations; the rest are lookups. */
struct mix {
    const char *name;
    unsigned inserts;
    unsigned removes;
    unsigned upserts;
    unsigned stride; /* 2: of two keys that are drawn one is there */
};

static const struct mix mixes[] = {
    {.name = "get-hit", .stride = 1},
    {.name = "get-half", .stride = 2},
    {.name = "mix95", .inserts = 25, .removes = 25, .stride = 2},
    {.name = "upsert90", .upserts = 100, .stride = 1},
    {.name = "mix50", .inserts = 250, .removes = 250, .stride = 2},
};
#define MIXES (sizeof mixes / sizeof mixes[0])

/* What "latency" times, one by one. */
static const struct mix *const latency_mix = &mixes[2];

struct shift {
    const struct job *job;
    const struct mix *mix;
    void *map;
    struct draws draws;
    atomic_bool stop;
    _Atomic uint64_t done;
    _Atomic uint64_t grown; /* entries more than at the start, modulo 2^64 */
    pthread_barrier_t start;
    pthread_mutex_t lock; /* of what stands below */
    uint64_t first_ns;
    uint64_t last_ns;
    struct hist hist;
};

static void figure(const char *name, double value)
{
    printf("%s %.6g\n", name, value);
}

/* ---- Before and after ---- */

/* Inserts the keys of n indexes, 0, stride, 2 * stride and so on. */
static void fill(const struct peer_ops *peer, void *map, uint64_t n, uint64_t stride)
{
    peer_key keys[STRETCH];
    peer->thread_enter();
    for (uint64_t i = 0; i < n; i += STRETCH) {
        const size_t some = n - i < STRETCH ? n - i : STRETCH;
        for (size_t k = 0; k < some; k++)
            keys[k] = peer_key_at((i + k) * stride);
        if (peer->put_each(map, keys, some) != some)
            fail("%s: a new key was taken for an old one", peer->name);
        peer->quiescent();
    }
    peer->thread_leave();
}

static void count_must_be(const struct peer_ops *peer, void *map, uint64_t expected)
{
    peer->thread_enter();
    const uint64_t count = peer->count(map);
    peer->thread_leave();
    if (count != expected)
        fail("%s: counts %llu entries where %llu are right", peer->name, (unsigned long long)count,
             (unsigned long long)expected);
}

/* ---- Mixes ---- */

/* The operations of one stretch, by kind. */
struct stretch {
    peer_key gets[STRETCH];
    peer_key inserts[STRETCH];
    peer_key removes[STRETCH];
    peer_key upserts[STRETCH];
    uint64_t values[STRETCH];
    size_t get_count;
    size_t insert_count;
    size_t remove_count;
    size_t upsert_count;
    size_t hits; /* of the lookups; right where nobody inserts or removes */
};

static inline void stretch_draw(struct stretch *stretch, const struct mix *mix, struct drawing *drawing, size_t n)
{
    stretch->get_count = stretch->insert_count = stretch->remove_count = stretch->upsert_count = stretch->hits = 0;
    for (size_t i = 0; i < n; i++) {
        const uint64_t index = drawing_next(drawing);
        const peer_key key = peer_key_at(index);
        const unsigned kind = (unsigned)rng_below(&drawing->rng, 1000);
        if (kind < mix->inserts) {
            stretch->inserts[stretch->insert_count++] = key;
        } else if (kind < mix->inserts + mix->removes) {
            stretch->removes[stretch->remove_count++] = key;
        } else if (kind < mix->inserts + mix->removes + mix->upserts) {
            stretch->values[stretch->upsert_count] = peer_value_of(&key) ^ (drawing->rng & VERSIONS);
            stretch->upserts[stretch->upsert_count++] = key;
        } else {
            stretch->gets[stretch->get_count++] = key;
            stretch->hits += index % mix->stride == 0;
        }
    }
}

static inline void stretch_get(const struct shift *shift, const struct stretch *stretch)
{
    const struct peer_ops *peer = shift->job->peer;
    const struct mix *mix = shift->mix;
    uint64_t values[STRETCH];
    const size_t found = peer->get_each(shift->map, stretch->gets, stretch->get_count, values);
    size_t right = 0;
    for (size_t i = 0; i < stretch->get_count; i++)
        right += (values[i] ^ peer_value_of(&stretch->gets[i])) <= VERSIONS;
    if (right != found)
        fail("%s: a lookup gave the wrong value", peer->name);
    if (mix->inserts + mix->removes == 0 && found != stretch->hits)
        fail("%s: a lookup missed a key that is there, or found one that is not", peer->name);
}

/* By how much the map grew. */
static inline uint64_t stretch_update(const struct shift *shift, const struct stretch *stretch)
{
    const struct peer_ops *peer = shift->job->peer;
    /* Only Soma's put_many() cannot tell how many keys were new; its updates are done one by one. */
    size_t (*put_each)(void *, const peer_key *, size_t) = peer->batched ? peer_soma.put_each : peer->put_each;
    uint64_t grown = 0;
    if (stretch->insert_count > 0)
        grown += put_each(shift->map, stretch->inserts, stretch->insert_count);
    if (stretch->remove_count > 0)
        grown -= peer->remove_each(shift->map, stretch->removes, stretch->remove_count);
    if (stretch->upsert_count > 0)
        grown += peer->upsert_each(shift->map, stretch->upserts, stretch->values, stretch->upsert_count);
    return grown;
}

static void mix_thread(void *shared, unsigned index)
{
    struct shift *shift = shared;
    const struct peer_ops *peer = shift->job->peer;
    struct drawing drawing = drawing_start(&shift->draws, index);
    struct stretch stretch;
    uint64_t done = 0;
    uint64_t grown = 0;
    peer->thread_enter();
    while (!atomic_load_explicit(&shift->stop, memory_order_relaxed)) {
        stretch_draw(&stretch, shift->mix, &drawing, STRETCH);
        stretch_get(shift, &stretch);
        grown += stretch_update(shift, &stretch);
        done += STRETCH;
        peer->quiescent();
    }
    peer->thread_leave();
    atomic_fetch_add(&shift->done, done);
    atomic_fetch_add(&shift->grown, grown);
}

static void mix_start(struct shift *shift)
{
    const struct job *job = shift->job;
    shift->draws = draws_make(job->size * shift->mix->stride, job->zipf);
    shift->map = job->peer->create(job->size);
    fill(job->peer, shift->map, job->size, shift->mix->stride);
    count_must_be(job->peer, shift->map, job->size);
}

static void mix(struct shift *shift)
{
    const struct job *job = shift->job;
    mix_start(shift);
    const uint64_t ns = team_run_for(job->threads, mix_thread, shift, job->seconds, &shift->stop);
    count_must_be(job->peer, shift->map, job->size + shift->grown);
    figure("Mops", (double)shift->done * 1e3 / (double)ns);
}

/* ---- What histograms say ---- */

static void keep_hist(struct shift *shift, const struct hist *hist)
{
    pthread_mutex_lock(&shift->lock);
    hist_merge(&shift->hist, hist);
    pthread_mutex_unlock(&shift->lock);
}

static void percentiles(const struct hist *hist)
{
    figure("p50-ns", (double)hist_at(hist, 0.5));
    figure("p99-ns", (double)hist_at(hist, 0.99));
    figure("p99.9-ns", (double)hist_at(hist, 0.999));
    figure("p99.99-ns", (double)hist_at(hist, 0.9999));
    figure("longest-ns", (double)hist->longest);
}

/* How many are longer than 31 ns, 39 ns and so on: four steps from one power of two to the next, up to the longest. */
static void curve(const struct hist *hist)
{
    const unsigned octave = 1u << HIST_PARTS_LOG2;
    const unsigned last = hist_bucket(hist->longest);
    for (unsigned bucket = octave - 1; bucket < last; bucket += octave / 4) {
        char name[40];
        snprintf(name, sizeof name, "over-%llu-ns", (unsigned long long)hist_bucket_top(bucket));
        figure(name, (double)hist_above(hist, bucket));
    }
}

/* ---- Latency: every operation by itself, the clock read before and after it ---- */

static void latency_thread(void *shared, unsigned index)
{
    struct shift *shift = shared;
    const struct peer_ops *peer = shift->job->peer;
    struct drawing drawing = drawing_start(&shift->draws, index);
    struct stretch stretch;
    struct hist hist = {.total = 0};
    uint64_t done = 0;
    uint64_t grown = 0;
    peer->thread_enter();
    while (!atomic_load_explicit(&shift->stop, memory_order_relaxed)) {
        stretch_draw(&stretch, shift->mix, &drawing, 1);
        const uint64_t start = clock_ns();
        if (stretch.get_count > 0)
            stretch_get(shift, &stretch);
        else
            grown += stretch_update(shift, &stretch);
        hist_add(&hist, clock_ns() - start);
        if (++done % QUIESCENT_OPS == 0)
            peer->quiescent();
    }
    peer->thread_leave();
    atomic_fetch_add(&shift->grown, grown);
    keep_hist(shift, &hist);
}

static void latency(struct shift *shift)
{
    const struct job *job = shift->job;
    shift->mix = latency_mix;
    mix_start(shift);
    team_run_for(job->threads, latency_thread, shift, job->seconds, &shift->stop);
    count_must_be(job->peer, shift->map, job->size + shift->grown);
    percentiles(&shift->hist);
}

/* ---- Load: from nothing to full ---- */

/* A small map is filled so many times, each time a new one, that the clock can see it. */
#define LOAD_LEAST 1000000

/* From when the first thread has begun to when the last one is done; registering is not in it. */
static void clocked(struct shift *shift, uint64_t start, uint64_t end)
{
    pthread_mutex_lock(&shift->lock);
    shift->first_ns = start < shift->first_ns ? start : shift->first_ns;
    shift->last_ns = end > shift->last_ns ? end : shift->last_ns;
    pthread_mutex_unlock(&shift->lock);
}

/* Indexes are dealt out in turns, so that all threads work at all table sizes. */
static void load_thread(void *shared, unsigned index)
{
    struct shift *shift = shared;
    const struct peer_ops *peer = shift->job->peer;
    const uint64_t size = shift->job->size;
    peer_key keys[STRETCH];
    free(alloc_or_fail(sizeof(uint64_t))); /* what the allocator sets up for a new thread is not the map's doing */
    peer->thread_enter();
    pthread_barrier_wait(&shift->start);
    const uint64_t start = clock_ns();
    for (uint64_t i = (uint64_t)index * STRETCH; i < size; i += (uint64_t)shift->job->threads * STRETCH) {
        const size_t some = size - i < STRETCH ? size - i : STRETCH;
        for (size_t k = 0; k < some; k++)
            keys[k] = peer_key_at(i + k);
        if (peer->put_each(shift->map, keys, some) != some)
            fail("%s: a new key was taken for an old one", peer->name);
        peer->quiescent();
    }
    clocked(shift, start, clock_ns());
    peer->thread_leave();
}

static void load(struct shift *shift)
{
    const struct job *job = shift->job;
    uint64_t entries = 0;
    uint64_t ns = 0;
    pthread_barrier_init(&shift->start, NULL, job->threads);
    do {
        shift->map = job->peer->create(job->size);
        shift->first_ns = UINT64_MAX;
        shift->last_ns = 0;
        team_run(job->threads, load_thread, shift);
        count_must_be(job->peer, shift->map, job->size);
        ns += shift->last_ns - shift->first_ns;
        entries += job->size;
    } while (entries < LOAD_LEAST);
    figure("Mops", (double)entries * 1e3 / (double)ns);
}

/* ---- Growth: from nothing to full, every put by itself ---- */

/* What no put is wanted to take. */
#define LONG_NS 100000

/* Indexes are dealt out one by one, so that all threads work at all table sizes. The clock is read before and after a
 * put: neither the making of the key nor the noting is in it. */
static void growth_thread(void *shared, unsigned index)
{
    struct shift *shift = shared;
    const struct peer_ops *peer = shift->job->peer;
    struct hist hist = {.total = 0};
    free(alloc_or_fail(sizeof(uint64_t))); /* what the allocator sets up for a new thread is not the map's doing */
    peer->thread_enter();
    pthread_barrier_wait(&shift->start);
    const uint64_t began = clock_ns();
    for (uint64_t i = index; i < shift->job->size; i += shift->job->threads) {
        const peer_key key = peer_key_at(i);
        const uint64_t start = clock_ns();
        const size_t inserted = peer->put_each(shift->map, &key, 1);
        hist_add(&hist, clock_ns() - start);
        if (inserted != 1)
            fail("%s: a new key was taken for an old one", peer->name);
        if (hist.total % QUIESCENT_OPS == 0)
            peer->quiescent();
    }
    clocked(shift, began, clock_ns());
    peer->thread_leave();
    keep_hist(shift, &hist);
}

/* Wait k ends at the first reading at or after k times the interval; one that begins late is short. */
static void clock_thread(void *shared, unsigned index)
{
    struct shift *shift = shared;
    const struct job *job = shift->job;
    const double interval_ns = job->seconds * 1e9 * job->threads / (double)job->size;
    struct hist hist = {.total = 0};
    pthread_barrier_wait(&shift->start);
    const uint64_t began = clock_ns();
    for (uint64_t i = index; i < job->size; i += job->threads) {
        const uint64_t due = began + (uint64_t)((double)(hist.total + 1) * interval_ns);
        const uint64_t start = clock_ns();
        uint64_t now;
        do {
            now = clock_ns();
        } while (now < due);
        hist_add(&hist, now - start);
    }
    clocked(shift, began, clock_ns());
    keep_hist(shift, &hist);
}

static void tail(struct shift *shift, team_fn fn)
{
    pthread_barrier_init(&shift->start, NULL, shift->job->threads);
    shift->first_ns = UINT64_MAX;
    team_run(shift->job->threads, fn, shift);
    if (shift->hist.total != shift->job->size)
        fail("%llu waits were timed where there are %llu", (unsigned long long)shift->hist.total,
             (unsigned long long)shift->job->size);
    percentiles(&shift->hist);
    figure("beyond-100us", (double)hist_above(&shift->hist, hist_bucket(LONG_NS)));
    figure("seconds", (double)(shift->last_ns - shift->first_ns) / 1e9);
    curve(&shift->hist);
}

static void growth(struct shift *shift)
{
    shift->map = shift->job->peer->create(shift->job->size);
    tail(shift, growth_thread);
    count_must_be(shift->job->peer, shift->map, shift->job->size);
}

void clock_alone(const struct job *job)
{
    struct shift shift = {.job = job, .lock = PTHREAD_MUTEX_INITIALIZER};
    tail(&shift, clock_thread);
}

/* ---- Scan: every thread goes through the whole map, again and again ---- */

static void scan_thread(void *shared, unsigned index)
{
    (void)index;
    struct shift *shift = shared;
    const struct job *job = shift->job;
    uint64_t done = 0;
    job->peer->thread_enter();
    pthread_barrier_wait(&shift->start);
    const uint64_t start = clock_ns();
    const uint64_t stop = start + (uint64_t)(job->seconds * 1e9);
    while (clock_ns() < stop) {
        uint64_t sum = 0;
        if (job->peer->scan(shift->map, &sum) != job->size)
            fail("%s: a scan does not meet all entries", job->peer->name);
        done += job->size;
        job->peer->quiescent();
    }
    clocked(shift, start, clock_ns());
    job->peer->thread_leave();
    atomic_fetch_add(&shift->done, done);
}

static void scan(struct shift *shift)
{
    const struct job *job = shift->job;
    if (!job->peer->scan)
        fail("%s cannot be scanned", job->peer->name);
    shift->map = job->peer->create(job->size);
    fill(job->peer, shift->map, job->size, 1);
    pthread_barrier_init(&shift->start, NULL, job->threads);
    shift->first_ns = UINT64_MAX;
    team_run(job->threads, scan_thread, shift);
    figure("Mops", (double)shift->done * 1e3 / (double)(shift->last_ns - shift->first_ns));
}

/* ---- Memory ---- */

static void memory(struct shift *shift)
{
    const struct job *job = shift->job;
    team_warm(1);
    const struct memory before = memory_now();
    shift->map = job->peer->create(job->size);
    fill(job->peer, shift->map, job->size, 1);
    count_must_be(job->peer, shift->map, job->size);
    job->peer->settle();
    const struct memory after = memory_now();
    figure("bytes", (double)(after.resident - before.resident) / (double)job->size);
}

/* ---- By name ---- */

void work(const struct job *job)
{
    static const struct {
        const char *name;
        void (*fn)(struct shift *shift);
    } works[] = {{"latency", latency}, {"load", load}, {"growth", growth}, {"scan", scan}, {"memory", memory}};
    struct shift shift = {.job = job, .lock = PTHREAD_MUTEX_INITIALIZER};
    for (unsigned i = 0; i < sizeof works / sizeof works[0]; i++) {
        if (strcmp(works[i].name, job->work) == 0) {
            works[i].fn(&shift);
            return;
        }
    }
    for (unsigned i = 0; i < MIXES; i++) {
        if (strcmp(mixes[i].name, job->work) == 0) {
            shift.mix = &mixes[i];
            mix(&shift);
            return;
        }
    }
    fail_usage("no work is called '%s'", job->work);
}
