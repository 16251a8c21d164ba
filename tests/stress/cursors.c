/* SPDX-License-Identifier: ISC */
/* cursors.c - cursors over a table that is filled and emptied over and over, so that it grows and shrinks and entries move,
 * while the values of keys that are always there are being replaced. Each pass must give each of these once, with a value
 * that was its own at some time of the pass, and no key at all twice: in one go, in parts by several cursors, or with a new
 * cursor at the token every now and then. */
#include <stdatomic.h>
#include <stdlib.h>

#include "kinds.h"
#include "support.h"

#define PERMANENT 1000
#define FILL_FAST 60000
#define FILL_SANITIZED 6000
#define FILLERS 2
#define WALKERS 2
/* A permanent key's value is the key plus a multiple of this. */
#define ROUND (UINT64_C(1) << 32)

struct run {
    const struct kind *kind;
    void *map;
    uint64_t fill;
    double end;
    atomic_bool done;
    atomic_uint_fast64_t rounds;
    atomic_uint_fast64_t begun; /* replacements: the n-th is of key n % PERMANENT */
    atomic_uint_fast64_t passes;
};

static void fill_and_empty(struct run *run, unsigned index)
{
    const uint64_t first = PERMANENT + index * run->fill;
    for (uint64_t i = 0; i < run->fill && !atomic_load(&run->done); i++)
        EXPECT_EQ(run->kind->put(run->map, first + i, i, NULL), SOMA_INSERTED);
    for (uint64_t i = 0; i < run->fill; i++)
        run->kind->remove(run->map, first + i, NULL);
    if (index == 0)
        EXPECT_EQ(run->kind->shrink(run->map), SOMA_OK);
}

static void replace_all(struct run *run)
{
    for (uint64_t n = 1; !atomic_load(&run->done) && failures() == 0; n++) {
        const uint64_t key = n % PERMANENT;
        atomic_store(&run->begun, n);
        EXPECT_EQ(run->kind->put(run->map, key, key + n / PERMANENT * ROUND, NULL), SOMA_REPLACED);
    }
}

/* ---- Passes ---- */

/* One pass: which keys it has given, and how far the replacements were when it began. */
struct pass {
    const struct run *run;
    unsigned char *given;
    uint64_t keys;
    uint64_t before;
};

static void check_entry(const struct pass *pass, uint64_t key, uint64_t value)
{
    if (!EXPECT(key < PERMANENT + FILLERS * pass->run->fill))
        return;
    EXPECT_EQ(pass->given[key]++, 0);
    if (key >= PERMANENT)
        return;
    /* Replacement pass->before may still be under way; those before it are done. */
    const uint64_t last = atomic_load(&pass->run->begun);
    const uint64_t n = value / ROUND * PERMANENT + key;
    EXPECT_EQ(value % ROUND, key);
    EXPECT((n <= last || value == key) && n + 2 * PERMANENT > pass->before);
}

/* To the end of the cursor, which is replaced each `pause` entries. */
static void walk(struct pass *pass, soma_cursor **cursor, uint64_t pause)
{
    const struct kind *kind = pass->run->kind;
    uint64_t key = 0;
    uint64_t value = 0;
    enum soma_status status;
    for (uint64_t n = 1; (status = kind->next(*cursor, &key, &value)) == SOMA_OK; n++) {
        check_entry(pass, key, value);
        if (pause && n % pause == 0) {
            const uint64_t token = soma_cursor_token(*cursor);
            soma_cursor_close(*cursor);
            EXPECT_EQ(kind->walk(pass->run->map, cursor), SOMA_OK);
            EXPECT_EQ(soma_cursor_seek(*cursor, token), SOMA_OK);
        }
    }
    EXPECT_EQ(status, SOMA_END);
}

static void pass_all(struct run *run, struct rng *rng)
{
    struct pass pass = {.run = run, .keys = PERMANENT + FILLERS * run->fill};
    soma_cursor *cursor = NULL;
    pass.given = need(pass.keys, 1);
    pass.before = atomic_load(&run->begun);
    EXPECT_EQ(run->kind->walk(run->map, &cursor), SOMA_OK);
    const uint32_t parts = (uint32_t)rng_below(rng, 4);
    for (uint32_t part = 0; part < parts; part++) {
        EXPECT_EQ(soma_cursor_part(cursor, part, parts), SOMA_OK);
        walk(&pass, &cursor, 0);
    }
    if (parts == 0)
        walk(&pass, &cursor, rng_below(rng, 2) ? 1 + rng_below(rng, 300) : 0);
    soma_cursor_close(cursor);
    for (uint64_t key = 0; key < PERMANENT; key++)
        EXPECT_EQ(pass.given[key], 1);
    free(pass.given);
    atomic_fetch_add(&run->passes, 1);
    verified(PERMANENT);
}

static void work(unsigned index, void *arg)
{
    struct run *run = arg;
    if (index < FILLERS) {
        do {
            fill_and_empty(run, index);
            atomic_fetch_add(&run->rounds, 1);
        } while (now_seconds() < run->end && failures() == 0);
        atomic_store(&run->done, true);
    } else if (index < FILLERS + WALKERS) {
        struct rng rng = rng_new(index);
        do
            pass_all(run, &rng);
        while (!atomic_load(&run->done) && failures() == 0);
    } else {
        replace_all(run);
    }
}

static void cursors(const void *arg)
{
    struct run run = {.kind = arg, .end = now_seconds() + test_seconds()};
    const struct kind_options options = {.reserve = 0};
    run.fill = under_sanitizer() ? FILL_SANITIZED : FILL_FAST;
    run.map = kind_open(run.kind, &options);
    for (uint64_t key = 0; key < PERMANENT; key++)
        EXPECT_EQ(run.kind->put(run.map, key, key, NULL), SOMA_INSERTED);
    crew_run(FILLERS + WALKERS + 1, work, &run);
    EXPECT_EQ(run.kind->count(run.map), PERMANENT);
    EXPECT(atomic_load(&run.passes) >= WALKERS);
    run.kind->close(run.map);
    soma_barrier_wait();
    EXPECT(!leaks_found());
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {{"u64", cursors, &kinds[0]}, {"map", cursors, &kinds[1]}};
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
