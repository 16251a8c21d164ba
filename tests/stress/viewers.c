/* SPDX-License-Identifier: ISC */
/* viewers.c - cursors over views while everything goes on. Each writer goes through its keys in order and gives each the number
 * of its round; so at any instant there is a key before which all have this round's number, and behind which all have the last one's.
 * In every eighth round it removes its keys instead, so that some are absent then. A pass over a view must show such an instant, and
 * a second pass, in the order of the keys, by parts, or by single lookups, the same. Between them a thread fills and empties the table. */
#include <stdatomic.h>
#include <stdlib.h>

#include "kinds.h"
#include "support.h"

#define WRITERS 2
#define VIEWERS 2
#define KEYS_EACH 300
#define FILL_FAST 20000
#define FILL_SANITIZED 2000
#define ROUNDS_CYCLE 8

struct run {
    const struct kind *kind;
    void *map;
    uint64_t fill;
    double end;
    atomic_bool done;
    atomic_uint_fast64_t passes;
};

static uint64_t key_at(unsigned writer, uint64_t i)
{
    return i * WRITERS + writer;
}

static bool absent_in(uint64_t round)
{
    return round % ROUNDS_CYCLE == 0;
}

static void write_rounds(struct run *run, unsigned writer)
{
    for (uint64_t round = 1; !atomic_load(&run->done) && failures() == 0; round++) {
        for (uint64_t i = 0; i < KEYS_EACH; i++) {
            const uint64_t key = key_at(writer, i);
            if (absent_in(round))
                EXPECT_EQ(run->kind->remove(run->map, key, NULL), SOMA_REMOVED);
            else
                EXPECT_EQ(run->kind->put(run->map, key, round, NULL),
                          absent_in(round - 1) ? SOMA_INSERTED : SOMA_REPLACED);
        }
    }
}

static void fill_and_empty(struct run *run)
{
    const uint64_t first = (uint64_t)WRITERS * KEYS_EACH;
    do {
        for (uint64_t i = 0; i < run->fill; i++)
            EXPECT_EQ(run->kind->put(run->map, first + i, i, NULL), SOMA_INSERTED);
        for (uint64_t i = 0; i < run->fill; i++)
            EXPECT_EQ(run->kind->remove(run->map, first + i, NULL), SOMA_REMOVED);
        EXPECT_EQ(run->kind->shrink(run->map), SOMA_OK);
    } while (now_seconds() < run->end && failures() == 0);
    atomic_store(&run->done, true);
}

/* ---- Passes ---- */

struct shown {
    uint64_t value[WRITERS * KEYS_EACH]; /* 0: absent */
    uint64_t others;
    uint64_t last; /* key */
};

static void show(const struct run *run, soma_cursor *cursor, struct shown *shown, bool sorted)
{
    uint64_t key = 0;
    uint64_t value = 0;
    while (run->kind->next(cursor, &key, &value) == SOMA_OK) {
        if (sorted && run->kind == &kinds[0])
            EXPECT(key >= shown->last);
        shown->last = key;
        if (key >= (uint64_t)WRITERS * KEYS_EACH) {
            shown->others++;
            continue;
        }
        EXPECT_EQ(shown->value[key], 0);
        shown->value[key] = value;
    }
}

/* What round a key has come to, if some have come to `round`: that one or the one before. No round at all, if it must be there. */
static uint64_t round_of(uint64_t value, uint64_t round)
{
    if (value != 0)
        return value;
    return absent_in(round) ? round : absent_in(round - 1) ? round - 1 : UINT64_MAX;
}

/* Whether a writer's keys are those of an instant. */
static void check_instant(const struct shown *shown, unsigned writer)
{
    /* The first key's round; if it is absent, it follows from the last one, which is behind or as far. */
    uint64_t first = shown->value[key_at(writer, 0)];
    const uint64_t last = shown->value[key_at(writer, KEYS_EACH - 1)];
    if (first == 0)
        first = last == 0 ? 0 : last + 1;
    if (first == 0) { /* a round of removals that is over, or has come to the last key */
        for (uint64_t i = 0; i < KEYS_EACH; i++)
            EXPECT_EQ(shown->value[key_at(writer, i)], 0);
        return;
    }
    bool behind = false;
    for (uint64_t i = 0; i < KEYS_EACH; i++) {
        const uint64_t round = round_of(shown->value[key_at(writer, i)], first);
        behind = behind || round != first;
        EXPECT_EQ(round, behind ? first - 1 : first);
    }
}

static soma_view *open_view(const struct run *run)
{
    soma_view *view = NULL;
    const enum soma_status status =
        run->kind == &kinds[0] ? soma_u64_view_open(run->map, &view) : soma_map_view_open(run->map, &view);
    EXPECT_EQ(status, SOMA_OK);
    return view;
}

static void show_again(const struct run *run, const soma_view *view, struct rng *rng, struct shown *again)
{
    soma_cursor *cursor = NULL;
    const bool sorted = rng_below(rng, 2) == 0;
    EXPECT_EQ(sorted ? soma_cursor_open_sorted(view, &cursor) : soma_cursor_open_view(view, &cursor), SOMA_OK);
    const uint32_t parts = 1 + (uint32_t)rng_below(rng, 3);
    for (uint32_t part = 0; part < parts; part++) {
        EXPECT_EQ(soma_cursor_part(cursor, part, parts), SOMA_OK);
        show(run, cursor, again, sorted);
    }
    soma_cursor_close(cursor);
}

static void pass(struct run *run, struct rng *rng)
{
    struct shown *shown = need(2, sizeof *shown);
    soma_cursor *cursor = NULL;
    soma_view *view = open_view(run);
    EXPECT_EQ(soma_cursor_open_view(view, &cursor), SOMA_OK);
    show(run, cursor, &shown[0], false);
    soma_cursor_close(cursor);
    for (unsigned writer = 0; writer < WRITERS; writer++)
        check_instant(&shown[0], writer);
    show_again(run, view, rng, &shown[1]);
    uint64_t count = shown[0].others;
    for (uint64_t key = 0; key < WRITERS * KEYS_EACH; key++) {
        EXPECT_EQ(shown[1].value[key], shown[0].value[key]);
        count += shown[0].value[key] != 0;
    }
    EXPECT_EQ(shown[1].others, shown[0].others);
    EXPECT_EQ(soma_view_count(view), count);
    bool equal = false;
    EXPECT_EQ(soma_view_equal(view, view, &equal), SOMA_OK);
    EXPECT(equal);
    soma_view_close(view);
    free(shown);
    atomic_fetch_add(&run->passes, 1);
    verified(WRITERS);
}

static void work(unsigned index, void *arg)
{
    struct run *run = arg;
    if (index < WRITERS) {
        write_rounds(run, index);
    } else if (index < WRITERS + VIEWERS) {
        struct rng rng = rng_new(index);
        do
            pass(run, &rng);
        while (!atomic_load(&run->done) && failures() == 0);
    } else {
        fill_and_empty(run);
    }
}

static void viewers(const void *arg)
{
    struct run run = {.kind = arg, .end = now_seconds() + test_seconds()};
    const struct kind_options options = {.reserve = 0};
    run.fill = under_sanitizer() ? FILL_SANITIZED : FILL_FAST;
    run.map = kind_open(run.kind, &options);
    crew_run(WRITERS + VIEWERS + 1, work, &run);
    EXPECT(atomic_load(&run.passes) >= VIEWERS);
    run.kind->close(run.map);
    soma_barrier_wait();
    EXPECT(!leaks_found());
}

/* Whether the checker finds fault with the first keys in the one state and the others in the next. */
static bool refused(uint64_t round, uint64_t next, uint64_t turn)
{
    struct shown *shown = need(1, sizeof *shown);
    for (uint64_t i = 0; i < KEYS_EACH; i++)
        shown->value[key_at(0, i)] = i < turn ? round : next;
    canary_begin();
    check_instant(shown, 0);
    free(shown);
    return canary_end() > 0;
}

/* Views that are of an instant, and some that are of none. */
static void canary(const void *arg)
{
    (void)arg;
    EXPECT(!refused(3, 2, 0) && !refused(3, 2, 1) && !refused(3, 2, KEYS_EACH / 2) && !refused(3, 2, KEYS_EACH));
    EXPECT(!refused(0, 7, 1) && !refused(0, 7, KEYS_EACH) && !refused(9, 0, 1) && !refused(9, 0, KEYS_EACH));
    EXPECT(refused(2, 3, 5)); /* the other way round */
    EXPECT(refused(4, 2, 5)); /* two rounds apart */
    EXPECT(refused(3, 0, 5)); /* absent too early */
    EXPECT(refused(0, 6, 5));
    verified(1);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"u64", viewers, &kinds[0]}, {"map", viewers, &kinds[1]}, {"canary", canary, NULL}};
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
