/* SPDX-License-Identifier: ISC */
/* view.c - one thread does random things to a map, of either kind, with good and with bad hashes, while up to eight views
 * of it are open. An oracle, plain arrays, knows what is there; each view gets a copy of it when it is opened, and must
 * agree with that in every key, in its count and in what its cursors give, until it is closed.
 *
 * The oracle numbers what is put in. So it knows which versions the open views need: after a shrink the map must keep these, one
 * for each number that is no longer there and that a view has, and no other; and none at all when the last view is closed. */
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#include "hash/hash.h"
#include "kinds.h"
#include "map/map_internal.h"
#include "support.h"
#include "versions.h"

#define VIEWS 8
#define UNTOUCHED UINT64_C(0x5eed5eed5eed5eed)

/* Which hashes the keys have. */
enum spread {
    GOOD,
    LOWEST,  /* words: 0, 1, 2, ... */
    HIGHEST, /* words: 2^64 - 1, ... */
    SIXTEEN, /* bytes */
    ONE      /* bytes */
};

struct setup {
    int kind;
    size_t size;
    enum spread spread;
};

/* What is, or was, under a key. */
struct state {
    uint64_t value;
    uint64_t number; /* of all that were put in; 0: absent */
};

struct seen {
    soma_view *view;
    struct state *states;
    uint64_t count;
};

struct model {
    const struct kind *kind;
    enum spread spread;
    void *map;
    struct rng rng;
    size_t size;
    struct state *states; /* the oracle */
    uint64_t count;
    uint64_t number;
    struct seen views[VIEWS];
    uint64_t in; /* values that were put in, and that have left */
    uint64_t left;
    uint64_t retired;
    uint64_t checked; /* views, whole */
};

static void on_retire(uint64_t value, void *ctx)
{
    struct model *m = ctx;
    (void)value;
    m->retired++;
}

/* ---- Keys and values ---- */

static uint64_t key_of(const struct model *m, size_t i)
{
    if (m->spread == LOWEST || m->spread == HIGHEST)
        return soma__mix_inverse(soma__u64_mix(m->map), m->spread == LOWEST ? i : UINT64_MAX - i);
    return i * 3 + 1;
}

static size_t index_of(const struct model *m, uint64_t key)
{
    size_t i = (size_t)(key / 3);
    if (m->spread == LOWEST || m->spread == HIGHEST) {
        const uint64_t hash = soma__mix_hash(soma__u64_mix(m->map), key);
        i = (size_t)(m->spread == LOWEST ? hash : UINT64_MAX - hash);
    }
    if (!EXPECT(i < m->size && key_of(m, i) == key))
        abort();
    return i;
}

static size_t some_key(struct model *m)
{
    return (size_t)rng_below(&m->rng, m->size);
}

/* Byte maps take ids whose texts are 8 bytes long, which are words, or longer. */
static uint64_t some_value(struct model *m)
{
    const uint64_t value = rng_next(&m->rng) >> 1;
    return rng_below(&m->rng, 3) ? value : value - value % 5;
}

/* ---- The oracle's side ---- */

static void store(struct model *m, size_t i, uint64_t value)
{
    m->in++;
    m->left += m->states[i].number != 0;
    m->count += m->states[i].number == 0;
    m->states[i] = (struct state){value, ++m->number};
}

static void drop(struct model *m, size_t i)
{
    m->left++;
    m->count--;
    m->states[i].number = 0;
}

static bool there(const struct model *m, size_t i)
{
    return m->states[i].number != 0;
}

/* ---- The verbs ---- */

static void do_put(struct model *m)
{
    const size_t i = some_key(m);
    const uint64_t value = some_value(m);
    EXPECT_EQ(m->kind->put(m->map, key_of(m, i), value, NULL), there(m, i) ? SOMA_REPLACED : SOMA_INSERTED);
    store(m, i, value);
}

static void do_put_new(struct model *m)
{
    const size_t i = some_key(m);
    const uint64_t value = some_value(m);
    EXPECT_EQ(m->kind->put_new(m->map, key_of(m, i), value, NULL), there(m, i) ? SOMA_EXISTS : SOMA_INSERTED);
    if (!there(m, i))
        store(m, i, value);
}

static void do_replace(struct model *m)
{
    const size_t i = some_key(m);
    const uint64_t value = some_value(m);
    EXPECT_EQ(m->kind->replace(m->map, key_of(m, i), value, NULL), there(m, i) ? SOMA_REPLACED : SOMA_ABSENT);
    if (there(m, i))
        store(m, i, value);
}

static void do_cas(struct model *m)
{
    const size_t i = some_key(m);
    const uint64_t value = some_value(m);
    const bool hit = there(m, i) && rng_below(&m->rng, 2);
    const uint64_t expected = hit ? m->states[i].value : UNTOUCHED;
    EXPECT_EQ(m->kind->cas(m->map, key_of(m, i), expected, value, NULL), hit           ? SOMA_REPLACED
                                                                         : there(m, i) ? SOMA_CHANGED
                                                                                       : SOMA_ABSENT);
    if (hit)
        store(m, i, value);
}

static void do_remove(struct model *m)
{
    const size_t i = some_key(m);
    uint64_t old = UNTOUCHED;
    EXPECT_EQ(m->kind->remove(m->map, key_of(m, i), &old), there(m, i) ? SOMA_REMOVED : SOMA_ABSENT);
    EXPECT_EQ(old, there(m, i) ? m->states[i].value : UNTOUCHED);
    if (there(m, i))
        drop(m, i);
}

static void do_remove_if(struct model *m)
{
    const size_t i = some_key(m);
    const bool hit = there(m, i) && rng_below(&m->rng, 2);
    const uint64_t expected = hit ? m->states[i].value : UNTOUCHED;
    EXPECT_EQ(m->kind->remove_if(m->map, key_of(m, i), expected, NULL), hit           ? SOMA_REMOVED
                                                                        : there(m, i) ? SOMA_CHANGED
                                                                                      : SOMA_ABSENT);
    if (hit)
        drop(m, i);
}

/* Adds 0 or a multiple of 5 to a multiple of 5, which is a word in both kinds of map, and stays one. */
static void do_fetch_add(struct model *m)
{
    const size_t i = some_key(m);
    const uint64_t delta = rng_below(&m->rng, 4) * 5;
    const bool was_there = there(m, i);
    const bool word = m->kind == &kinds[0] || !was_there || m->states[i].value % 5 == 0;
    uint64_t old = UNTOUCHED;
    const enum soma_status status = m->kind->fetch_add(m->map, key_of(m, i), delta, &old);
    EXPECT_EQ(status, !word ? SOMA_E_INVALID : was_there ? SOMA_REPLACED : SOMA_INSERTED);
    EXPECT_EQ(old, !word ? UNTOUCHED : was_there ? m->states[i].value : 0);
    if (word)
        store(m, i, (was_there ? m->states[i].value : 0) + delta);
}

struct plan {
    enum soma_status answer;
    uint64_t value;
};

static enum soma_status follow_plan(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    const struct plan *plan = ctx;
    (void)key, (void)present;
    *value = plan->value;
    return plan->answer;
}

static void do_update(struct model *m)
{
    static const enum soma_status answers[] = {SOMA_OK, SOMA_OK, SOMA_REMOVED, SOMA_EXISTS};
    struct plan plan = {answers[rng_below(&m->rng, 4)], some_value(m)};
    const size_t i = some_key(m);
    enum soma_status want = there(m, i) ? plan.answer : SOMA_ABSENT;
    if (plan.answer == SOMA_OK)
        want = there(m, i) ? SOMA_REPLACED : SOMA_INSERTED;
    EXPECT_EQ(m->kind->update(m->map, key_of(m, i), follow_plan, &plan), want);
    if (plan.answer == SOMA_OK)
        store(m, i, plan.value);
    else if (want == SOMA_REMOVED)
        drop(m, i);
}

static void do_put_many(struct model *m)
{
    uint64_t keys[KIND_MANY];
    uint64_t values[KIND_MANY];
    size_t done = 0;
    const size_t n = (size_t)rng_below(&m->rng, KIND_MANY + 1);
    for (size_t k = 0; k < n; k++) {
        const size_t i = some_key(m);
        keys[k] = key_of(m, i);
        values[k] = some_value(m);
        store(m, i, values[k]);
    }
    EXPECT_EQ(m->kind->put_many(m->map, keys, values, n, &done), SOMA_OK);
    EXPECT_EQ(done, n);
}

static void do_remove_many(struct model *m)
{
    uint64_t keys[KIND_MANY];
    bool want[KIND_MANY];
    bool found[KIND_MANY];
    size_t done = 0;
    const size_t n = (size_t)rng_below(&m->rng, KIND_MANY + 1);
    for (size_t k = 0; k < n; k++) {
        const size_t i = some_key(m);
        keys[k] = key_of(m, i);
        want[k] = there(m, i);
        if (want[k])
            drop(m, i);
    }
    EXPECT_EQ(m->kind->remove_many(m->map, keys, n, found, &done), SOMA_OK);
    EXPECT_EQ(done, n);
    for (size_t k = 0; k < n; k++)
        EXPECT_EQ(found[k], want[k]);
}

static void do_get(struct model *m)
{
    const size_t i = some_key(m);
    uint64_t value = UNTOUCHED;
    EXPECT_EQ(m->kind->get(m->map, key_of(m, i), &value), there(m, i) ? SOMA_OK : SOMA_ABSENT);
    EXPECT_EQ(value, there(m, i) ? m->states[i].value : UNTOUCHED);
}

/* ---- Views ---- */

static void check_key(const struct model *m, const struct seen *seen, size_t i)
{
    const bool want = seen->states[i].number != 0;
    uint64_t value = UNTOUCHED;
    EXPECT_EQ(m->kind->view_get(seen->view, key_of(m, i), &value), want ? SOMA_OK : SOMA_ABSENT);
    EXPECT_EQ(value, want ? seen->states[i].value : UNTOUCHED);
}

/* A cursor from the beginning to the end, or through so many parts. */
static void check_walk(struct model *m, const struct seen *seen, uint32_t parts)
{
    bool *given = need(m->size, sizeof *given);
    soma_cursor *cursor = NULL;
    uint64_t count = 0;
    EXPECT_EQ(soma_cursor_open_view(seen->view, &cursor), SOMA_OK);
    for (uint32_t part = 0; part < (parts ? parts : 1); part++) {
        uint64_t key = 0;
        uint64_t value = 0;
        if (parts)
            EXPECT_EQ(soma_cursor_part(cursor, part, parts), SOMA_OK);
        while (m->kind->next(cursor, &key, &value) == SOMA_OK) {
            const size_t i = index_of(m, key);
            EXPECT(!given[i] && seen->states[i].number != 0 && seen->states[i].value == value);
            given[i] = true;
            count++;
        }
    }
    EXPECT_EQ(count, seen->count);
    soma_cursor_close(cursor);
    free(given);
}

static void check_view(struct model *m, const struct seen *seen)
{
    if (rng_below(&m->rng, 2))
        EXPECT_EQ(soma_view_count(seen->view), seen->count);
    for (size_t i = 0; i < m->size; i++)
        check_key(m, seen, i);
    check_walk(m, seen, (uint32_t)rng_below(&m->rng, 4));
    EXPECT_EQ(soma_view_count(seen->view), seen->count);
    m->checked++;
    verified(m->size);
}

static void open_view(struct model *m, struct seen *seen)
{
    EXPECT_EQ(m->kind->view(m->map, &seen->view), SOMA_OK);
    memcpy(seen->states, m->states, m->size * sizeof *m->states);
    seen->count = m->count;
}

static void close_view(struct seen *seen)
{
    soma_view_close(seen->view);
    seen->view = NULL;
}

/* Opens, looks into or closes one. */
static void do_view(struct model *m)
{
    struct seen *seen = &m->views[rng_below(&m->rng, VIEWS)];
    if (!seen->view)
        open_view(m, seen);
    else if (rng_below(&m->rng, 3) == 0)
        close_view(seen);
    else
        check_key(m, seen, some_key(m));
}

/* ---- What is kept ---- */

/* How many versions the open views need: numbers, each once, that they have and the map has no more. */
static uint64_t versions_needed(const struct model *m)
{
    uint64_t needed = 0;
    for (size_t i = 0; i < m->size; i++) {
        uint64_t numbers[VIEWS];
        unsigned n = 0;
        for (unsigned v = 0; v < VIEWS; v++) {
            const uint64_t number = m->views[v].view ? m->views[v].states[i].number : 0;
            bool counted = number == 0 || number == m->states[i].number;
            for (unsigned k = 0; k < n; k++)
                counted |= numbers[k] == number;
            if (!counted)
                numbers[n++] = number;
        }
        needed += n;
    }
    return needed;
}

static uint64_t views_open(const struct model *m)
{
    uint64_t n = 0;
    for (unsigned v = 0; v < VIEWS; v++)
        n += m->views[v].view != NULL;
    return n;
}

/* Whatever has been closed meanwhile: what the map keeps it has kept for a view, and what is needed it has. */
static void check_kept(const struct model *m)
{
    const struct versions versions = versions_of(m->map);
    EXPECT(versions.dead >= versions_needed(m));
    EXPECT_EQ(versions.live + versions.plain, m->count);
    verified(1);
}

static void shrink(struct model *m)
{
    EXPECT_EQ(m->kind->shrink(m->map), SOMA_OK);
    const struct versions versions = versions_of(m->map);
    const uint64_t needed = versions_needed(m);
    EXPECT_EQ(versions.dead, needed);
    EXPECT(versions.most <= views_open(m));
    verified(1);
}

/* ---- Runs ---- */

typedef void (*verb)(struct model *);

static const verb growing[] = {do_put, do_put, do_put_new, do_put_new, do_put_many, do_fetch_add, do_update, do_view};
static const verb draining[] = {do_remove, do_remove, do_remove_many, do_remove_if, do_get, do_cas, do_update, do_view};
static const verb mixed[] = {do_put,       do_put_new, do_replace, do_cas,      do_remove,      do_remove_if,
                             do_fetch_add, do_update,  do_get,     do_put_many, do_remove_many, do_view};

static void draw(struct model *m, const verb *verbs, size_t count, size_t steps)
{
    for (size_t step = 0; step < steps; step++)
        verbs[rng_below(&m->rng, count)](m);
    EXPECT_EQ(m->kind->count(m->map), m->count);
}

static void clear(struct model *m)
{
    EXPECT_EQ(m->kind->clear(m->map), SOMA_OK);
    for (size_t i = 0; i < m->size; i++) {
        if (there(m, i))
            drop(m, i);
    }
}

/* No view, no versions; and what has left, has been retired. */
static void rest(struct model *m)
{
    for (unsigned v = 0; v < VIEWS; v++) {
        if (m->views[v].view)
            close_view(&m->views[v]);
    }
    shrink(m);
    soma_barrier_wait();
    EXPECT_EQ(versions_of(m->map).dead, 0);
    EXPECT_EQ(m->retired, m->left);
}

static void upheaval(struct model *m)
{
    switch (rng_below(&m->rng, 8)) {
    case 0:
        clear(m);
        break;
    case 1:
        clear(m);
        shrink(m);
        break;
    case 2:
        EXPECT_EQ(m->kind->reserve(m->map, 1 + rng_below(&m->rng, 4 * m->size)), SOMA_OK);
        break;
    case 3:
    case 4:
        shrink(m);
        break;
    case 5:
        rest(m);
        break;
    default:
        break;
    }
}

static void play(struct model *m)
{
    const double end = now_seconds() + test_seconds();
    const size_t steps = m->size < 64 ? 256 : m->size;
    do {
        switch (rng_below(&m->rng, 3)) {
        case 0:
            draw(m, growing, sizeof growing / sizeof growing[0], steps);
            break;
        case 1:
            draw(m, draining, sizeof draining / sizeof draining[0], steps);
            break;
        default:
            draw(m, mixed, sizeof mixed / sizeof mixed[0], steps);
            break;
        }
        check_kept(m);
        upheaval(m);
        for (unsigned v = 0; v < VIEWS; v++) {
            if (m->views[v].view && rng_below(&m->rng, 2))
                check_view(m, &m->views[v]);
        }
    } while (now_seconds() < end && failures() == 0);
}

static struct model *open_model(const struct setup *setup)
{
    static struct kind_options options; /* must outlive the map */
    struct model *m = need(1, sizeof *m);
    *m = (struct model){.kind = &kinds[setup->kind], .spread = setup->spread, .size = setup->size};
    m->rng = rng_new(setup->size * 8 + setup->spread);
    m->states = need(m->size, sizeof *m->states);
    for (unsigned v = 0; v < VIEWS; v++)
        m->views[v].states = need(m->size, sizeof *m->states);
    options = (struct kind_options){.retired = on_retire, .ctx = m};
    m->map = kind_open(m->kind, &options);
    if (setup->spread == SIXTEEN || setup->spread == ONE)
        soma__map_hash_mask(m->map, setup->spread == ONE ? 0 : UINT64_C(15) << 60);
    return m;
}

static void close_model(struct model *m)
{
    rest(m);
    m->kind->close(m->map);
    soma_barrier_wait();
    EXPECT_EQ(m->retired, m->in);
    for (unsigned v = 0; v < VIEWS; v++)
        free(m->views[v].states);
    free(m->states);
    free(m);
    EXPECT(!leaks_found());
}

static void run(const void *arg)
{
    struct model *m = open_model(arg);
    play(m);
    for (unsigned v = 0; v < VIEWS; v++) {
        if (m->views[v].view)
            check_view(m, &m->views[v]);
    }
    close_model(m);
}

/* A table that is cleared while a view is open keeps its size: dead versions stand in its buckets, too. */
static void size(const void *arg)
{
    struct model *m = open_model(arg);
    const struct soma__dir *dir = &((const struct core *)m->map)->dir;
    for (size_t i = 0; i < m->size; i++) {
        EXPECT_EQ(m->kind->put(m->map, key_of(m, i), i, NULL), SOMA_INSERTED);
        store(m, i, i);
    }
    EXPECT_EQ(m->kind->shrink(m->map), SOMA_OK);
    const unsigned before = dir_m(soma__dir_state(dir));
    open_view(m, &m->views[0]);
    clear(m);
    shrink(m);
    open_view(m, &m->views[1]);
    EXPECT_EQ(dir_m(soma__dir_state(dir)), before);
    close_view(&m->views[0]);
    shrink(m);
    EXPECT_EQ(dir_m(soma__dir_state(dir)), before);
    close_view(&m->views[1]);
    shrink(m);
    EXPECT(dir_m(soma__dir_state(dir)) + 4 < before);
    close_model(m);
}

/* Seeded bugs: the view's copy, or what is needed, is another than the map knows of. */
static void canary(const void *arg)
{
    struct model *m = open_model(arg);
    for (size_t i = 0; i < m->size; i++) {
        EXPECT_EQ(m->kind->put(m->map, key_of(m, i), 5 * i, NULL), SOMA_INSERTED);
        store(m, i, 5 * i);
    }
    open_view(m, &m->views[0]);
    canary_begin();
    m->views[0].states[3].value++;
    check_view(m, &m->views[0]);
    EXPECT(canary_end() >= 2);
    m->views[0].states[3].value--;
    do_remove_many(m);
    canary_begin();
    size_t stays = 0;
    while (m->states[stays].number == 0)
        stays++;
    m->views[0].states[stays].number = UINT64_MAX; /* one more is needed, it says */
    shrink(m);
    EXPECT(canary_end() >= 1);
    close_model(m);
    verified(1);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"u64-few", run, &(const struct setup){0, 6, GOOD}},
        {"u64-some", run, &(const struct setup){0, 500, GOOD}},
        {"u64-many", run, &(const struct setup){0, 20000, GOOD}},
        {"u64-lowest", run, &(const struct setup){0, 300, LOWEST}},
        {"u64-highest", run, &(const struct setup){0, 300, HIGHEST}},
        {"map-few", run, &(const struct setup){1, 6, GOOD}},
        {"map-some", run, &(const struct setup){1, 500, GOOD}},
        {"map-many", run, &(const struct setup){1, 20000, GOOD}},
        {"map-sixteen", run, &(const struct setup){1, 400, SIXTEEN}},
        {"map-one", run, &(const struct setup){1, 150, ONE}},
        {"size-u64", size, &(const struct setup){0, 20000, GOOD}},
        {"size-map", size, &(const struct setup){1, 20000, GOOD}},
        {"canary-u64", canary, &(const struct setup){0, 200, GOOD}},
        {"canary-map", canary, &(const struct setup){1, 200, GOOD}},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
