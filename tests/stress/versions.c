/* SPDX-License-Identifier: ISC */
/* versions.c - versioned entries under load. Threads count up words that others add to in place, toggle back and forth, and
 * look at through views and cursors: with get_version and cas_version, which must not store over a word that has changed meanwhile,
 * not even if it has changed back. What was counted is there at the end. */
#include <stdatomic.h>
#include <string.h>

#include <soma/soma.h>

#include "support.h"

#define KEYS 3
#define THREADS 4

static struct {
    soma_map *map;
    double end;
    atomic_uint_fast64_t counted[KEYS];
} run;

/* Adds 1 to what was read, if the version is still the one that it was read with. The canary forgets to compare. */
static bool count_by_version(uint64_t key, bool compare)
{
    uint64_t word = 0;
    uint64_t version = 0;
    size_t len = 0;
    EXPECT_EQ(soma_map_get_version(run.map, &key, sizeof key, &word, sizeof word, &len, &version), SOMA_OK);
    EXPECT_EQ(len, sizeof word);
    word++;
    if (!compare)
        return soma_map_put(run.map, &key, sizeof key, &word, sizeof word, NULL) == SOMA_REPLACED;
    const enum soma_status status = soma_map_cas_version(run.map, &key, sizeof key, version, &word, sizeof word, NULL);
    EXPECT(status == SOMA_REPLACED || status == SOMA_CHANGED);
    return status == SOMA_REPLACED;
}

/* The value of a view's instant, which may be stored over only as long as it is there. */
static bool count_by_view(uint64_t key)
{
    soma_view *view = NULL;
    uint64_t word = 0;
    uint64_t version = 0;
    size_t len = 0;
    if (!EXPECT_EQ(soma_map_view_open(run.map, &view), SOMA_OK))
        return false;
    EXPECT_EQ(soma_view_get_version(view, &key, sizeof key, &word, sizeof word, &len, &version), SOMA_OK);
    soma_view_close(view);
    word++;
    return soma_map_cas_version(run.map, &key, sizeof key, version, &word, sizeof word, NULL) == SOMA_REPLACED;
}

/* The same by a cursor, over the live map or a view; of the keys that are counted it takes this one. */
static bool count_by_cursor(uint64_t key, bool through_view)
{
    soma_cursor *cursor = NULL;
    soma_view *view = NULL;
    struct soma_bytes found;
    struct soma_bytes value;
    bool counted = false;
    if (through_view && !EXPECT_EQ(soma_map_view_open(run.map, &view), SOMA_OK))
        return false;
    EXPECT_EQ(view ? soma_cursor_open_view(view, &cursor) : soma_cursor_open_map(run.map, &cursor), SOMA_OK);
    while (soma_cursor_next_ref(cursor, &found, &value) == SOMA_OK) {
        uint64_t word = 0;
        uint64_t version = 0;
        const enum soma_status status = soma_cursor_version(cursor, &version);
        EXPECT(status == SOMA_OK || (!view && (status == SOMA_CHANGED || status == SOMA_ABSENT)));
        if (status != SOMA_OK || memcmp(found.data, &key, sizeof key) != 0)
            continue;
        memcpy(&word, value.data, sizeof word);
        word++;
        counted = soma_map_cas_version(run.map, &key, sizeof key, version, &word, sizeof word, NULL) == SOMA_REPLACED;
    }
    soma_cursor_close(cursor);
    soma_view_close(view);
    return counted;
}

/* A word that comes and goes while it is asked for. */
static void ask_fleeting(uint64_t draw)
{
    const uint64_t key = KEYS;
    uint64_t version = 0;
    if (draw % 3 == 0)
        EXPECT(soma_map_put(run.map, &key, sizeof key, &draw, sizeof draw, NULL) >= 0);
    else if (draw % 3 == 1)
        EXPECT(soma_map_remove(run.map, &key, sizeof key, NULL) >= 0);
    else if (soma_map_get_version(run.map, &key, sizeof key, NULL, 0, NULL, &version) == SOMA_OK)
        EXPECT(version != 0);
}

static void step(uint64_t key, uint64_t draw, bool compare)
{
    switch (draw % 8) {
    case 4:
        ask_fleeting(draw / 8);
        return;
    case 0:
        atomic_fetch_add(&run.counted[key], count_by_view(key));
        return;
    case 5:
        atomic_fetch_add(&run.counted[key], count_by_cursor(key, draw / 8 % 2 == 0));
        return;
    case 1:
    case 2: /* in place, if nobody has asked */
        EXPECT_EQ(soma_map_fetch_add(run.map, &key, sizeof key, 1, NULL), SOMA_REPLACED);
        atomic_fetch_add(&run.counted[key], 1);
        return;
    case 3: /* up, and down again */
        EXPECT_EQ(soma_map_fetch_add(run.map, &key, sizeof key, 5, NULL), SOMA_REPLACED);
        EXPECT_EQ(soma_map_fetch_add(run.map, &key, sizeof key, (uint64_t)-5, NULL), SOMA_REPLACED);
        return;
    default:
        atomic_fetch_add(&run.counted[key], count_by_version(key, compare));
        return;
    }
}

static void work(unsigned index, void *compare)
{
    struct rng rng = rng_new(index);
    uint64_t steps = 0;
    while (failures() == 0 && (++steps % 64 || now_seconds() < run.end))
        step(rng_below(&rng, KEYS), rng_next(&rng), *(const bool *)compare);
    verified(steps);
}

/* Whether every count is there. */
static bool all_there(bool compare)
{
    bool there = true;
    if (!EXPECT_EQ(soma_map_new(NULL, &run.map), SOMA_OK))
        return false;
    for (uint64_t key = 0; key < KEYS; key++) {
        const uint64_t zero = 0;
        EXPECT_EQ(soma_map_put(run.map, &key, sizeof key, &zero, sizeof zero, NULL), SOMA_INSERTED);
        atomic_store(&run.counted[key], 0);
    }
    crew_run(THREADS, work, &compare);
    for (uint64_t key = 0; key < KEYS; key++) {
        uint64_t word = 0;
        EXPECT_EQ(soma_map_get_copy(run.map, &key, sizeof key, &word, sizeof word, NULL), SOMA_OK);
        there = there && word == atomic_load(&run.counted[key]);
    }
    soma_map_free(run.map);
    soma_barrier_wait();
    return there;
}

static void counts(const void *unused)
{
    (void)unused;
    run.end = now_seconds() + test_seconds();
    EXPECT(all_there(true));
}

/* Storing without a look at the version loses counts sooner or later. */
static void canary(const void *unused)
{
    (void)unused;
    bool lost = false;
    for (int round = 0; round < 50 && !lost; round++) {
        run.end = now_seconds() + 0.1;
        lost = !all_there(false);
    }
    EXPECT(lost);
}

static const struct test_case cases[] = {{"counts", counts, NULL}, {"canary", canary, NULL}};

int main(int argc, char **argv)
{
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
