/* SPDX-License-Identifier: ISC */
/* views.c - views that outlive the threads that opened them, or that are cancelled while they do; views beside a reader that does not leave, with the cap on
 * deferred memory reached; a view that stays open while everything changes over and over: one old version a key is all
 * that is kept for it. */
#include <stdatomic.h>
#include <stdio.h>

#include "kinds.h"
#include "stalled.h"
#include "support.h"
#include "versions.h"

#define THREADS 40
#define KEYS 500
#define WRITERS 3
#define CAP (UINT64_C(1) << 18)

struct run {
    const struct kind *kind;
    void *map;
    soma_view *views[THREADS];
    atomic_bool done;
    atomic_uint_fast64_t rounds;
    atomic_uint_fast64_t refused;
};

static void fill(const struct run *run, uint64_t add)
{
    for (uint64_t key = 0; key < KEYS; key++)
        EXPECT(run->kind->put(run->map, key, key + add, NULL) >= 0);
}

static void has(const struct run *run, const soma_view *view, uint64_t add)
{
    for (uint64_t key = 0; key < KEYS; key++) {
        uint64_t value = 0;
        EXPECT_EQ(run->kind->view_get(view, key, &value), SOMA_OK);
        EXPECT_EQ(value, key + add);
    }
    EXPECT_EQ(soma_view_count(view), KEYS);
    verified(KEYS);
}

/* ---- Threads that end ---- */

/* One after the other opens a view and ends, in one way or another. */
static void open_and_end(unsigned index, void *arg)
{
    struct run *run = arg;
    (void)index;
    unsigned next = 0;
    while (run->views[next])
        next++;
    fill(run, next);
    EXPECT_EQ(run->kind->view(run->map, &run->views[next]), SOMA_OK);
    if (next % 2)
        pthread_exit(NULL);
}

static void check_and_close(unsigned index, void *arg)
{
    const struct run *run = arg;
    for (unsigned i = index; i < THREADS; i += WRITERS) {
        has(run, run->views[i], i);
        soma_view_close(run->views[i]);
    }
}

static void threads_end(const void *arg)
{
    const struct kind_options options = {.reserve = 0};
    struct run run = {.kind = arg};
    run.map = kind_open(run.kind, &options);
    for (unsigned i = 0; i < THREADS; i++)
        crew_run(1, open_and_end, &run);
    crew_run(WRITERS, check_and_close, &run);
    EXPECT_EQ(run.kind->shrink(run.map), SOMA_OK);
    EXPECT_EQ(versions_of(run.map).dead, 0);
    run.kind->close(run.map);
    soma_barrier_wait();
    EXPECT(!leaks_found());
}

/* ---- A thread that is cancelled while it opens one ---- */

/* Ends where the program lets itself be cancelled, and nowhere else. */
static void *open_cancelled(void *arg)
{
    struct run *run = arg;
    EXPECT_EQ(run->kind->view(run->map, &run->views[0]), SOMA_OK);
    soma_view_close(run->views[0]);
    atomic_store(&run->done, true);
    while (atomic_load(&run->done))
        pthread_testcancel(); /* and not in a call that the thread sanitizer wraps: it loses track of the thread */
    return NULL;
}

static void cancelled(const void *arg)
{
    const struct kind_options options = {.reserve = 0};
    struct run run = {.kind = arg};
    struct stalled stalled;
    pthread_t opener;
    void *ended = NULL;
    run.map = kind_open(run.kind, &options);
    const struct core *core = run.map;
    fill(&run, 0);
    stalled_start(&stalled);
    EXPECT_EQ(pthread_create(&opener, NULL, open_cancelled, &run), 0);
    while (soma__clock_views(&core->clock) == 0)
        sleep_ms(1);
    sleep_ms(5);
    EXPECT_EQ(pthread_cancel(opener), 0);
    sleep_ms(5);
    EXPECT_EQ(soma__clock_views(&core->clock), 1);
    stalled_stop(&stalled);
    EXPECT_EQ(pthread_join(opener, &ended), 0);
    EXPECT(ended == PTHREAD_CANCELED);
    EXPECT(atomic_load(&run.done));
    EXPECT_EQ(soma__clock_views(&core->clock), 0);
    EXPECT(!soma__clock_runs(&core->clock));
    fill(&run, 1);
    EXPECT_EQ(versions_of(run.map).dead, 0);
    EXPECT_EQ(run.kind->view(run.map, &run.views[0]), SOMA_OK);
    has(&run, run.views[0], 1);
    soma_view_close(run.views[0]);
    run.kind->close(run.map);
    soma_barrier_wait();
    EXPECT(!leaks_found());
}

/* ---- At the cap ---- */

/* With nothing left to be deferred, an update is refused, or keeps a version; either way the views stay as they were. */
static void at_the_cap(const void *arg)
{
    const struct kind_options options = {.deferred_bytes_max = CAP};
    struct run run = {.kind = arg};
    struct stalled stalled;
    uint64_t last[KEYS];
    uint64_t refused = 0;
    run.map = kind_open(run.kind, &options);
    fill(&run, 0);
    EXPECT_EQ(run.kind->view(run.map, &run.views[0]), SOMA_OK);
    for (uint64_t key = 0; key < KEYS; key++)
        last[key] = key;
    stalled_start(&stalled);
    for (uint64_t i = 0; i < 100 * KEYS && refused < 10 * KEYS; i++) {
        const uint64_t key = i % KEYS;
        const enum soma_status status = run.kind->put(run.map, key, i, NULL);
        uint64_t value = 0;
        EXPECT(status == SOMA_REPLACED || status == SOMA_E_LIMIT);
        refused += status == SOMA_E_LIMIT;
        last[key] = status == SOMA_REPLACED ? i : last[key];
        EXPECT_EQ(run.kind->get(run.map, key, &value), SOMA_OK);
        EXPECT_EQ(value, last[key]);
        EXPECT(soma__owner_deferred(&((const struct core *)run.map)->owner) <= CAP);
    }
    EXPECT(refused > 0);
    EXPECT_EQ(run.kind->view(run.map, &run.views[1]), SOMA_OK); /* the mode is on, so it does not wait for the reader */
    has(&run, run.views[0], 0);
    soma_view_close(run.views[0]);
    stalled_stop(&stalled);
    soma_barrier_wait();
    fill(&run, 7);
    for (uint64_t key = 0; key < KEYS; key++) {
        uint64_t value = 0;
        EXPECT_EQ(run.kind->view_get(run.views[1], key, &value), SOMA_OK);
        EXPECT_EQ(value, last[key]);
    }
    soma_view_close(run.views[1]);
    EXPECT_EQ(run.kind->shrink(run.map), SOMA_OK);
    EXPECT_EQ(versions_of(run.map).dead, 0);
    run.kind->close(run.map);
    soma_barrier_wait();
    verified(refused);
    EXPECT(!leaks_found());
}

/* ---- A long view ---- */

static void change_all(unsigned index, void *arg)
{
    struct run *run = arg;
    struct rng rng = rng_new(index);
    while (!atomic_load(&run->done)) {
        const uint64_t key = rng_below(&rng, 2 * KEYS);
        enum soma_status status;
        if (rng_below(&rng, 3))
            status = run->kind->put(run->map, key, rng_below(&rng, 1000), NULL);
        else
            status = run->kind->remove(run->map, key, NULL);
        EXPECT(status >= 0 || status == SOMA_E_LIMIT);
        atomic_fetch_add(&run->rounds, 1);
    }
}

/* Versions that a writer has just linked may not have been let go yet. */
#define UNDER_WAY (4 * WRITERS)

static void long_view(const void *arg)
{
    const struct kind_options options = {.deferred_bytes_max = 4 * CAP};
    struct run run = {.kind = arg};
    struct crew crew;
    uint64_t most = 0;
    uint64_t looks = 0;
    run.map = kind_open(run.kind, &options);
    fill(&run, 0);
    EXPECT_EQ(run.kind->view(run.map, &run.views[0]), SOMA_OK);
    crew_start(&crew, WRITERS, change_all, &run);
    const double end = now_seconds() + test_seconds();
    do {
        has(&run, run.views[0], 0);
        const struct versions versions = versions_of(run.map);
        EXPECT(versions.dead <= KEYS + UNDER_WAY);
        EXPECT(versions.plain <= KEYS && versions.live <= 2 * KEYS + UNDER_WAY);
        EXPECT(soma__owner_deferred(&((const struct core *)run.map)->owner) <= 4 * CAP);
        most = versions.dead > most ? versions.dead : most;
        looks++;
    } while (now_seconds() < end && failures() == 0);
    atomic_store(&run.done, true);
    crew_join(&crew);
    printf("# %lu updates, %lu looks; at most %lu old versions of %d keys\n", (unsigned long)atomic_load(&run.rounds),
           (unsigned long)looks, (unsigned long)most, KEYS);
    soma_barrier_wait();
    for (uint64_t key = 0; key < 2 * KEYS; key++) /* what there was no room for at the cap goes now */
        EXPECT(run.kind->put(run.map, key, 0, NULL) >= 0);
    EXPECT_EQ(versions_of(run.map).dead, KEYS);
    soma_view_close(run.views[0]);
    EXPECT_EQ(run.kind->shrink(run.map), SOMA_OK);
    EXPECT_EQ(versions_of(run.map).dead, 0);
    run.kind->close(run.map);
    soma_barrier_wait();
    EXPECT(!leaks_found());
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"threads-end-u64", threads_end, &kinds[0]}, {"threads-end-map", threads_end, &kinds[1]},
        {"cancelled-u64", cancelled, &kinds[0]},     {"cancelled-map", cancelled, &kinds[1]},
        {"at-the-cap-u64", at_the_cap, &kinds[0]},   {"at-the-cap-map", at_the_cap, &kinds[1]},
        {"long-view-u64", long_view, &kinds[0]},     {"long-view-map", long_view, &kinds[1]},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
