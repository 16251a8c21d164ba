/* SPDX-License-Identifier: ISC */
/* digests.c - digests of views and differences of views while threads change the map with every verb, and clear it, and the table grows.
 *
 *   digests  What sums say of a view is what the running digest of a copy of the view says, which was put in one by one.
 *   diffs    A copy of the earlier of two views, with their differences put into it, has the digest of the later one.
 *   tokens   A writer asks for each of its own changes, and is told.
 *
 * Views overlap, and some times there is none, so that changes come with stamps and without. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kinds.h"
#include "support.h"

#define WRITERS 2
#define LOOKERS 2
#define KEYS 3000
#define FILLING 4000

struct run {
    bool words;
    const struct kind *kind;
    void *map;
    atomic_bool stop;
    atomic_uint_fast64_t digests; /* checked */
    atomic_uint_fast64_t told;
};

static uint64_t digests_checked; /* by all cases */

/* ---- Writers ---- */

static void put_told(struct run *run, uint64_t key)
{
    uint64_t token;
    bool told = false;
    if (!EXPECT_EQ(run->words ? soma_u64_change_token(run->map, &token) : soma_map_change_token(run->map, &token),
                   SOMA_OK))
        return;
    EXPECT(run->kind->put(run->map, key, key + 1, NULL) >= 0);
    EXPECT_EQ(run->words ? soma_u64_changed_since(run->map, token, 0, 0, &told)
                         : soma_map_changed_since(run->map, token, 0, 0, &told),
              SOMA_OK);
    EXPECT(told);
    atomic_fetch_add(&run->told, 1);
}

static void write_one(struct run *run, struct rng *rng)
{
    const uint64_t key = rng_below(rng, KEYS);
    switch (rng_below(rng, 8)) {
    case 0:
    case 1:
        run->kind->remove(run->map, key, NULL);
        break;
    case 2:
        run->kind->cas(run->map, key, key + 1, key + 2, NULL);
        break;
    case 3:
        put_told(run, key);
        break;
    case 4:
        if (rng_below(rng, 2000) == 0)
            run->kind->clear(run->map);
        break;
    case 5:
        for (uint64_t i = 0; i < FILLING && rng_below(rng, 20000) == 0; i++)
            run->kind->put(run->map, KEYS + i, i, NULL);
        break;
    default:
        run->kind->put(run->map, key, rng_next(rng) >> 1, NULL);
    }
}

/* ---- Who looks ---- */

static soma_view *opened(struct run *run)
{
    soma_view *view = NULL;
    EXPECT_EQ(run->kind->view(run->map, &view), SOMA_OK);
    return view;
}

/* A map of its own with what the view shows, under the same digest key. */
static void *copied(const struct run *run, const soma_view *view)
{
    const struct soma_u64_options of_words = {.flags = SOMA_DIGEST | SOMA_DIGEST_KEYLESS};
    const struct soma_map_options of_bytes = {.flags = SOMA_DIGEST | SOMA_DIGEST_KEYLESS};
    soma_u64 *words = NULL;
    soma_map *bytes = NULL;
    if (run->words)
        EXPECT_EQ(soma_u64_copy(view, &of_words, NULL, NULL, &words), SOMA_OK);
    else
        EXPECT_EQ(soma_map_copy(view, &of_bytes, NULL, NULL, &bytes), SOMA_OK);
    return run->words ? (void *)words : (void *)bytes;
}

static struct soma_digest digest_of(const struct run *run, const void *map)
{
    struct soma_digest digest = {.count = 0};
    EXPECT_EQ(run->words ? soma_u64_digest(map, &digest) : soma_map_digest(map, &digest), SOMA_OK);
    return digest;
}

struct patching {
    bool words;
    void *map;
};

static enum soma_status put_difference(const struct soma_difference *difference, void *ctx)
{
    const struct patching *patching = ctx;
    const struct soma_bytes key = difference->key;
    const struct soma_bytes after = difference->after;
    enum soma_status status;
    if (difference->what == SOMA_REMOVED)
        status = patching->words ? soma_u64_remove(patching->map, difference->word.key, NULL)
                                 : soma_map_remove(patching->map, key.data, key.len, NULL);
    else
        status = patching->words ? soma_u64_put(patching->map, difference->word.key, difference->word.after, NULL)
                                 : soma_map_put(patching->map, key.data, key.len, after.data, after.len, NULL);
    EXPECT_EQ(status, difference->what);
    return SOMA_OK;
}

static struct soma_digest view_digest(const soma_view *view)
{
    struct soma_digest digest = {.count = 0};
    EXPECT_EQ(soma_view_digest(view, &digest), SOMA_OK);
    return digest;
}

static void must_be_equal(struct run *run, const struct soma_digest *a, const struct soma_digest *b)
{
    EXPECT(soma_digest_equal(a, b));
    EXPECT_EQ(a->count, b->count);
    atomic_fetch_add(&run->digests, 1);
}

static void look(struct run *run, struct rng *rng)
{
    soma_view *before = opened(run);
    if (!before)
        return;
    struct patching patching = {.words = run->words, .map = copied(run, before)};
    const struct soma_digest of_copy = digest_of(run, patching.map);
    const struct soma_digest of_before = view_digest(before);
    must_be_equal(run, &of_before, &of_copy);
    for (uint64_t i = rng_below(rng, 3); i > 0; i--) {
        soma_view *after = opened(run);
        if (!after)
            break;
        EXPECT_EQ(soma_diff_views(before, after, put_difference, &patching), SOMA_OK);
        soma_view_close(before);
        before = after;
        const struct soma_digest of_after = view_digest(after);
        const struct soma_digest of_patched = digest_of(run, patching.map);
        must_be_equal(run, &of_after, &of_patched);
    }
    soma_view_close(before);
    if (run->words)
        soma_u64_free(patching.map);
    else
        soma_map_free(patching.map);
}

/* ---- Both ---- */

static void body(unsigned index, void *arg)
{
    struct run *run = arg;
    struct rng rng = rng_new(index);
    while (!atomic_load(&run->stop)) {
        if (index >= WRITERS)
            look(run, &rng);
        else
            write_one(run, &rng);
    }
}

static void run_for(const void *setup)
{
    struct run run = {.words = *(const int *)setup == 0, .kind = &kinds[*(const int *)setup]};
    const struct kind_options options = {.flags = SOMA_DIGEST | SOMA_DIGEST_KEYLESS};
    struct crew crew;
    run.map = kind_open(run.kind, &options);
    crew_start(&crew, WRITERS + LOOKERS, body, &run);
    sleep_ms((unsigned)(test_seconds() * 1000));
    atomic_store(&run.stop, true);
    crew_join(&crew);
    soma_view *view = opened(&run);
    const struct soma_digest at_rest = digest_of(&run, run.map);
    const struct soma_digest seen = view_digest(view);
    must_be_equal(&run, &at_rest, &seen);
    soma_view_close(view);
    run.kind->close(run.map);
    soma_barrier_wait();
    verified(atomic_load(&run.digests) + atomic_load(&run.told));
    digests_checked += atomic_load(&run.digests);
}

static const int of_words = 0;
static const int of_bytes = 1;

static const struct test_case cases[] = {
    {"words", run_for, &of_words},
    {"bytes", run_for, &of_bytes},
};

int main(int argc, char **argv)
{
    const int status = test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
    printf("%sRESULT digests %" PRIu64 " digests %d violations\n", getenv("MESON_TEST_ITERATION") ? "# " : "",
           digests_checked, status != 0);
    return status;
}
