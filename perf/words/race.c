/* SPDX-License-Identifier: ISC */
#include "words/race.h"

#include <stdlib.h>
#include <string.h>

#include "support/child.h"
#include "support/clock.h"
#include "support/fail.h"
#include "support/memory.h"
#include "support/team.h"

/* What the threads of a phase share. */
struct phase {
    const struct race *race;
    void *map;
    struct hist *hists; /* one a thread */
};

/* Which keys are a thread's: slices of the corpus, side by side. */
static size_t slice_start(const struct race *race, unsigned index)
{
    return race->corpus->n / race->threads * index + race->corpus->n % race->threads * index / race->threads;
}

static void count_thread(void *shared, unsigned index)
{
    const struct phase *phase = shared;
    const struct counter_ops *ops = phase->race->ops;
    const struct key *keys = phase->race->corpus->keys;
    const size_t end = slice_start(phase->race, index + 1);
    ops->thread_enter();
    for (size_t i = slice_start(phase->race, index); i < end; i++) {
        if (i % SAMPLE_EVERY == 0) {
            const uint64_t start = clock_ns();
            ops->add(phase->map, &keys[i]);
            hist_add(&phase->hists[index], clock_ns() - start);
        } else {
            ops->add(phase->map, &keys[i]);
        }
        if (i % QUIESCENT_OPS == 0)
            ops->quiescent();
    }
    ops->thread_leave();
}

static void look_up_thread(void *shared, unsigned index)
{
    const struct phase *phase = shared;
    const struct counter_ops *ops = phase->race->ops;
    const struct key *keys = phase->race->corpus->keys;
    const size_t end = slice_start(phase->race, index + 1);
    uint64_t least = UINT64_MAX;
    ops->thread_enter();
    for (size_t i = slice_start(phase->race, index); i < end; i++) {
        uint64_t count;
        if (i % SAMPLE_EVERY == 0) {
            const uint64_t start = clock_ns();
            count = ops->get(phase->map, &keys[i]);
            hist_add(&phase->hists[index], clock_ns() - start);
        } else {
            count = ops->get(phase->map, &keys[i]);
        }
        least = count < least ? count : least;
        if (i % QUIESCENT_OPS == 0)
            ops->quiescent();
    }
    ops->thread_leave();
    if (least == 0)
        fail("%s: a look-up missed a key that is there", ops->name);
}

static void run_phase(const struct race *race, void *map, team_fn fn, struct race_phase *out)
{
    const size_t size = race->threads * sizeof(struct hist);
    struct phase phase = {.race = race, .map = map, .hists = alloc_or_fail(size)};
    memset(phase.hists, 0, size);
    const uint64_t ns = team_run(race->threads, fn, &phase);
    out->mops = (double)race->corpus->n * 1e3 / (double)ns;
    for (unsigned t = 0; t < race->threads; t++)
        hist_merge(&out->hist, &phase.hists[t]);
    free(phase.hists);
}

/* Every key has its count, and there are as many keys as there should be: then there is nothing else in the map. The
 * totals and the checksum follow from that; they are what is shown. */
static void counts_must_be_right(const struct race *race, void *map)
{
    const struct oracle *oracle = race->oracle;
    uint64_t total = 0;
    uint64_t checksum = 0;
    race->ops->thread_enter();
    for (size_t i = 0; i < oracle->n; i++) {
        const struct oracle_entry *entry = &oracle->entries[i];
        const uint64_t count = race->ops->get(map, &entry->key);
        if (count != entry->count)
            fail("%s: counts '%.*s' %llu times where %llu is right (%s, %u threads)", race->ops->name,
                 (int)(entry->key.len < 60 ? entry->key.len : 60), entry->key.text, (unsigned long long)count,
                 (unsigned long long)entry->count, race->corpus->name, race->threads);
        total += count;
        checksum += oracle_digest(&entry->key, count);
    }
    const uint64_t distinct = race->ops->distinct(map);
    race->ops->thread_leave();
    if (distinct != oracle->n || total != oracle->total || checksum != oracle->checksum)
        fail("%s: has %llu different keys where %zu are right (%s, %u threads)", race->ops->name,
             (unsigned long long)distinct, oracle->n, race->corpus->name, race->threads);
}

static void race_child(const void *task, void *out)
{
    const struct race *race = task;
    struct race_result *result = out;
    team_warm(race->threads);
    const struct memory before = memory_now();
    void *map = race->ops->create();
    run_phase(race, map, count_thread, &result->counting);
    const struct memory end = memory_now();
    race->ops->settle();
    const struct memory settled = memory_now();
    run_phase(race, map, look_up_thread, &result->looking_up);
    counts_must_be_right(race, map);
    result->end_bytes = (double)(end.resident - before.resident) / (double)race->oracle->n;
    result->settled_bytes = (double)(settled.resident - before.resident) / (double)race->oracle->n;
}

void race_run(const struct race *race, struct race_result *result)
{
    child_run(race->ops->name, race_child, race, result, sizeof *result);
}
