/* SPDX-License-Identifier: ISC */
/* views.c - one view stays open from the beginning to the end while threads change every key over and over. It never
 * changes; one old version of each of its keys is all that is kept for it; what waits for readers stays under the cap; memory
 * does not grow. In half of the cases short views come and go beside it, each of which must find its own instant, twice. When all
 * are closed, the memory comes back. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "kinds.h"
#include "torture.h"
#include "versions.h"

#define WRITERS 2
#define CAP (UINT64_C(4) << 20)
/* Versions that are being linked or let go, a few a thread; those that there was no room for at the cap stay for a while. */
#define UNDER_WAY 256
#define SLACK_KIB (24 * 1024)

static uint64_t updates = 300000; /* a case */
static uint64_t keys = 4000;

struct setup {
    const struct kind *kind;
    bool shorts;
};

struct run {
    const struct kind *kind;
    void *map;
    atomic_bool done;
    atomic_uint_fast64_t updates;
    uint64_t most_dead;
    uint64_t most_kib;
    uint64_t shorts;
};

static void change(unsigned index, void *arg)
{
    struct run *run = arg;
    struct rng rng = rng_new(index);
    while (!atomic_load_explicit(&run->done, memory_order_relaxed)) {
        const uint64_t key = rng_below(&rng, keys + keys / 4);
        const uint64_t value = rng_next(&rng) >> 1;
        enum soma_status status;
        switch (rng_below(&rng, 4)) {
        case 0:
            status = run->kind->remove(run->map, key, NULL);
            break;
        case 1:
            status = run->kind->put_new(run->map, key, value, NULL);
            break;
        default:
            status = run->kind->put(run->map, key, value, NULL);
        }
        EXPECT(status >= 0 || status == SOMA_E_LIMIT);
        atomic_fetch_add_explicit(&run->updates, 1, memory_order_relaxed);
    }
}

static void check_long(const struct run *run, const soma_view *view)
{
    for (uint64_t key = 0; key < keys + keys / 4; key++) {
        uint64_t value = UINT64_MAX;
        EXPECT_EQ(run->kind->view_get(view, key, &value), key < keys ? SOMA_OK : SOMA_ABSENT);
        EXPECT_EQ(value, key < keys ? key * 5 : UINT64_MAX);
    }
}

/* The sum over all entries, in two ways; values are any numbers. */
static void check_short(struct run *run)
{
    soma_view *view = NULL;
    soma_cursor *cursor = NULL;
    uint64_t by_key = 0;
    uint64_t by_cursor = 0;
    uint64_t key = 0;
    uint64_t value = 0;
    EXPECT_EQ(run->kind->view(run->map, &view), SOMA_OK);
    for (key = 0; key < keys + keys / 4; key++) {
        if (run->kind->view_get(view, key, &value) == SOMA_OK)
            by_key += value * (key + 1);
    }
    EXPECT_EQ(soma_cursor_open_view(view, &cursor), SOMA_OK);
    while (run->kind->next(cursor, &key, &value) == SOMA_OK)
        by_cursor += value * (key + 1);
    EXPECT_EQ(by_key, by_cursor);
    soma_cursor_close(cursor);
    soma_view_close(view);
    run->shorts++;
}

static void check_kept(struct run *run, bool shorts)
{
    const struct versions versions = versions_of(run->map);
    EXPECT(versions.dead <= (shorts ? 3 : 1) * keys + UNDER_WAY);
    EXPECT(soma__owner_deferred(&((const struct core *)run->map)->owner) <= CAP);
    run->most_dead = versions.dead > run->most_dead ? versions.dead : run->most_dead;
    const uint64_t kib = memory_in_use_kib();
    run->most_kib = kib > run->most_kib ? kib : run->most_kib;
}

static void stays(const void *arg)
{
    const struct setup *setup = arg;
    const struct kind_options options = {.deferred_bytes_max = CAP};
    struct run run = {.kind = setup->kind};
    struct crew crew;
    soma_view *view = NULL;
    uint64_t told = 0;
    memory_settle();
    const uint64_t before = memory_in_use_kib();
    run.map = kind_open(run.kind, &options);
    for (uint64_t key = 0; key < keys; key++)
        EXPECT_EQ(run.kind->put(run.map, key, key * 5, NULL), SOMA_INSERTED);
    EXPECT_EQ(run.kind->view(run.map, &view), SOMA_OK);
    crew_start(&crew, WRITERS, change, &run);
    while (atomic_load(&run.updates) < updates && failures() == 0) {
        check_long(&run, view);
        if (setup->shorts)
            check_short(&run);
        check_kept(&run, setup->shorts);
        const uint64_t now = atomic_load(&run.updates);
        torture_did(now - told);
        told = now;
        torture_progress(now, updates, "updates");
    }
    atomic_store(&run.done, true);
    crew_join(&crew);
    check_long(&run, view);
    soma_view_close(view);
    EXPECT_EQ(run.kind->shrink(run.map), SOMA_OK);
    EXPECT_EQ(versions_of(run.map).dead, 0);
    run.kind->close(run.map);
    soma_barrier_wait();
    memory_settle();
    printf("# %s%s: %" PRIu64 " updates, %" PRIu64 " short views; at most %" PRIu64 " old versions of %" PRIu64
           " keys, %" PRIu64 " KiB in use\n",
           run.kind->name, setup->shorts ? " with short views" : "", atomic_load(&run.updates), run.shorts,
           run.most_dead, keys, run.most_kib);
    if (!under_sanitizer()) {
        EXPECT(run.most_kib < before + SLACK_KIB);
        EXPECT(memory_in_use_kib() < before + SLACK_KIB / 4);
    }
    EXPECT(!leaks_found());
}

/* A version more than may be is noticed. */
static void canary(const void *arg)
{
    const struct setup *setup = arg;
    const struct kind_options options = {.reserve = 0};
    struct run run = {.kind = setup->kind};
    soma_view *views[2] = {NULL, NULL};
    run.map = kind_open(run.kind, &options);
    for (int i = 0; i < 2; i++) {
        for (uint64_t key = 0; key < keys; key++)
            EXPECT(run.kind->put(run.map, key, key, NULL) >= 0);
        EXPECT_EQ(run.kind->view(run.map, &views[i]), SOMA_OK);
    }
    for (uint64_t key = 0; key < keys; key++)
        EXPECT_EQ(run.kind->remove(run.map, key, NULL), SOMA_REMOVED);
    canary_begin();
    check_kept(&run, false);
    EXPECT_EQ(canary_end(), 1);
    soma_view_close(views[0]);
    soma_view_close(views[1]);
    run.kind->close(run.map);
    torture_did(1);
}

int main(int argc, char **argv)
{
    const struct torture_option options[] = {
        {"updates", "updates a case", &updates, 100000000},
        {"keys", "keys of the long view", &keys, 0},
    };
    const struct test_case cases[] = {
        {"u64", stays, &(const struct setup){&kinds[0], false}},
        {"u64-short", stays, &(const struct setup){&kinds[0], true}},
        {"map", stays, &(const struct setup){&kinds[1], false}},
        {"map-short", stays, &(const struct setup){&kinds[1], true}},
        {"canary", canary, &(const struct setup){&kinds[0], false}},
    };
    const struct torture torture = {
        .part = "views",
        .unit = "updates",
        .about = "A view stays open under full load: it never changes, and memory stays bounded.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .cases = cases,
        .case_count = sizeof cases / sizeof cases[0],
    };
    return torture_main(argc, argv, &torture);
}
