/* SPDX-License-Identifier: ISC */
/* diff.c - one thread does random things to two maps of either kind, with good and with bad hashes, of one seed or of two, while up
 * to six views of them are open. An oracle, plain arrays, knows what is in the maps; each view gets a copy of it. Any two views
 * must differ as their copies do, and so must the patch between them say. It is read, turned round, put together with
 * others, applied to a map that has what the one view shows, which must then look like the other, and taken back; and to one
 * that has not, which must stay as it is. */
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#include "hash/hash.h"
#include "kinds.h"
#include "map/map_internal.h"
#include "support.h"

#define VIEWS 6

/* Which hashes the keys have. */
enum spread {
    GOOD,
    LOWEST,  /* words: 0, 1, 2, ... */
    SIXTEEN, /* bytes */
    ONE      /* bytes */
};

struct setup {
    int kind;
    size_t size;
    enum spread spread;
    bool one_seed;
};

/* A view, and what it shows: values by key, 0 for none. */
struct seen {
    soma_view *view;
    uint64_t *states;
};

struct model {
    const struct kind *kind;
    struct setup setup;
    struct rng rng;
    void *maps[2];
    uint64_t *states[2]; /* the oracle */
    struct seen views[VIEWS];
    uint64_t pairs; /* of views that were compared */
};

/* ---- Maps ---- */

static bool of_words(const struct model *m)
{
    return m->kind == &kinds[0];
}

static void *new_map(const struct model *m, uint64_t seed)
{
    const unsigned flags = m->setup.one_seed ? SOMA_DIGEST : 0; /* so that digests could be compared, too */
    const struct soma_u64_options word_options = {.seed = {seed, 5}, .flags = flags, .digest_key = {1, 2}};
    const struct soma_map_options byte_options = {.seed = {seed, 5}, .flags = flags, .digest_key = {1, 2}};
    soma_u64 *words = NULL;
    soma_map *bytes = NULL;
    const enum soma_status status =
        of_words(m) ? soma_u64_new(&word_options, &words) : soma_map_new(&byte_options, &bytes);
    if (!EXPECT_EQ(status, SOMA_OK))
        abort();
    if (m->setup.spread == SIXTEEN || m->setup.spread == ONE)
        soma__map_hash_mask(bytes, m->setup.spread == ONE ? 0 : UINT64_C(15) << 60);
    return of_words(m) ? (void *)words : (void *)bytes;
}

static uint64_t key_of(const struct model *m, size_t i)
{
    if (m->setup.spread == LOWEST)
        return soma__mix_inverse(soma__u64_mix(m->maps[0]), i);
    return i * 3 + 1;
}

static size_t index_of(const struct model *m, uint64_t key)
{
    const size_t i =
        m->setup.spread == LOWEST ? (size_t)soma__mix_hash(soma__u64_mix(m->maps[0]), key) : (size_t)(key / 3);
    if (!EXPECT(i < m->setup.size && key_of(m, i) == key))
        abort();
    return i;
}

/* A new map that shows what these states are. */
static void *map_like(struct model *m, const uint64_t *states)
{
    void *map = new_map(m, rng_next(&m->rng));
    for (size_t i = 0; i < m->setup.size; i++) {
        if (states[i])
            EXPECT_EQ(m->kind->put(map, key_of(m, i), states[i], NULL), SOMA_INSERTED);
    }
    return map;
}

static bool looks_like(const struct model *m, void *map, const soma_view *view)
{
    soma_view *now = NULL;
    bool equal = false;
    EXPECT_EQ(m->kind->view(map, &now), SOMA_OK);
    EXPECT_EQ(soma_view_equal(now, view, &equal), SOMA_OK);
    soma_view_close(now);
    return equal;
}

/* ---- What a difference says ---- */

static uint64_t id_of(const struct model *m, struct soma_bytes bytes, uint64_t word)
{
    return of_words(m) ? word : kind_id(bytes.data, bytes.len);
}

/* Whether it says of its key what the states do; *index is of the key. */
static bool says(const struct model *m, const struct soma_difference *d, const uint64_t *before, const uint64_t *after,
                 size_t *index)
{
    *index = index_of(m, id_of(m, d->key, d->word.key));
    const uint64_t was = before[*index];
    const uint64_t is = after[*index];
    if (was == is || d->what != (!was ? SOMA_INSERTED : !is ? SOMA_REMOVED : SOMA_REPLACED))
        return false;
    if (of_words(m) && (d->key.len != 8 || memcmp(d->key.data, &d->word.key, 8) != 0))
        return false;
    if ((d->before.len == 0) != (was == 0) || (d->after.len == 0) != (is == 0))
        return false;
    return (!was || id_of(m, d->before, d->word.before) == was) && (!is || id_of(m, d->after, d->word.after) == is);
}

static uint64_t differences(const struct model *m, const uint64_t *before, const uint64_t *after)
{
    uint64_t n = 0;
    for (size_t i = 0; i < m->setup.size; i++)
        n += before[i] != after[i];
    return n;
}

struct told {
    const struct model *model;
    const uint64_t *before;
    const uint64_t *after;
    bool *keys;
    uint64_t count;
};

static enum soma_status on_difference(const struct soma_difference *difference, void *ctx)
{
    struct told *told = ctx;
    size_t i;
    EXPECT(says(told->model, difference, told->before, told->after, &i));
    EXPECT(!told->keys[i]);
    told->keys[i] = true;
    told->count++;
    return SOMA_OK;
}

static void check_diff(const struct model *m, const struct seen *a, const struct seen *b)
{
    struct told told = {.model = m, .before = a->states, .after = b->states};
    told.keys = need(m->setup.size, sizeof *told.keys);
    EXPECT_EQ(soma_diff_views(a->view, b->view, on_difference, &told), SOMA_OK);
    EXPECT_EQ(told.count, differences(m, a->states, b->states));
    free(told.keys);
    verified(m->setup.size);
}

/* ---- Patches ---- */

static soma_patch *make(const struct seen *a, const struct seen *b)
{
    soma_patch *patch = NULL;
    EXPECT_EQ(soma_patch_make(a->view, b->view, &patch), SOMA_OK);
    return patch;
}

static bool same_patch(const soma_patch *a, const soma_patch *b)
{
    const struct soma_bytes x = soma_patch_bytes(a);
    const struct soma_bytes y = soma_patch_bytes(b);
    return x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
}

static bool in_order(const struct model *m, struct soma_bytes before, uint64_t word_before,
                     const struct soma_difference *d)
{
    if (of_words(m))
        return word_before < d->word.key;
    const size_t shorter = before.len < d->key.len ? before.len : d->key.len;
    const int order = memcmp(before.data, d->key.data, shorter);
    return order < 0 || (order == 0 && before.len < d->key.len);
}

static void check_read(const struct model *m, const struct seen *a, const struct seen *b, const soma_patch *patch)
{
    struct soma_patch_reader reader;
    struct soma_difference difference;
    struct soma_patch_info info;
    struct soma_bytes key = {.data = NULL};
    uint64_t word = 0;
    uint64_t count = 0;
    EXPECT_EQ(soma_patch_check(soma_patch_bytes(patch), &info), SOMA_OK);
    EXPECT_EQ(info.words, of_words(m));
    EXPECT_EQ(soma_patch_begin(soma_patch_bytes(patch), &reader), SOMA_OK);
    for (; soma_patch_next(&reader, &difference) == SOMA_OK; count++) {
        size_t i;
        EXPECT(says(m, &difference, a->states, b->states, &i));
        EXPECT(count == 0 || in_order(m, key, word, &difference));
        key = difference.key;
        word = difference.word.key;
    }
    EXPECT_EQ(count, differences(m, a->states, b->states));
    EXPECT_EQ(info.inserted + info.replaced + info.removed, count);
    verified(count + 1);
}

static enum soma_status apply(const struct model *m, void *map, const soma_patch *patch, uint64_t *made)
{
    struct soma_patch_outcome outcome = {0, 0};
    const enum soma_status status = of_words(m) ? soma_patch_apply_u64_wait(map, soma_patch_bytes(patch), &outcome)
                                                : soma_patch_apply_map_wait(map, soma_patch_bytes(patch), &outcome);
    EXPECT_EQ(outcome.kept, 0);
    *made = outcome.number;
    return status;
}

/* Gives a key of a map another state than it has. */
static void spoil(struct model *m, void *map, size_t i)
{
    const uint64_t key = key_of(m, i);
    if (rng_below(&m->rng, 2) && m->kind->remove(map, key, NULL) == SOMA_REMOVED)
        return;
    EXPECT(m->kind->put(map, key, UINT64_MAX >> 1, NULL) >= 0);
}

/* To a map in which one key of the patch is another: it is refused, and what it has stays. */
static void check_refused(struct model *m, const struct seen *a, const struct seen *b, const soma_patch *patch)
{
    size_t i = (size_t)rng_below(&m->rng, m->setup.size);
    for (size_t n = 0; a->states[i] == b->states[i]; n++) {
        if (n == m->setup.size)
            return; /* they do not differ */
        i = (i + 1) % m->setup.size;
    }
    void *map = map_like(m, a->states);
    soma_view *before = NULL;
    uint64_t made;
    spoil(m, map, i);
    EXPECT_EQ(m->kind->view(map, &before), SOMA_OK);
    EXPECT_EQ(soma_patch_fits(before, soma_patch_bytes(patch), NULL), SOMA_CHANGED);
    EXPECT_EQ(apply(m, map, patch, &made), SOMA_CHANGED);
    EXPECT(looks_like(m, map, before));
    soma_view_close(before);
    m->kind->close(map);
    verified(1);
}

/* There and back; with a view open beside it, or not. */
static void check_apply(struct model *m, const struct seen *a, const struct seen *b, const soma_patch *patch)
{
    void *map = map_like(m, a->states);
    soma_view *beside = NULL;
    soma_patch *back = NULL;
    uint64_t made = 0;
    if (rng_below(&m->rng, 2))
        EXPECT_EQ(m->kind->view(map, &beside), SOMA_OK);
    EXPECT_EQ(soma_patch_fits(a->view, soma_patch_bytes(patch), NULL), SOMA_OK);
    EXPECT_EQ(apply(m, map, patch, &made), SOMA_OK);
    EXPECT_EQ(made, differences(m, a->states, b->states));
    EXPECT(looks_like(m, map, b->view));
    EXPECT_EQ(soma_patch_invert(soma_patch_bytes(patch), &back), SOMA_OK);
    EXPECT_EQ(apply(m, map, back, &made), SOMA_OK);
    EXPECT(looks_like(m, map, a->view));
    if (beside) {
        EXPECT(looks_like(m, map, beside));
        soma_view_close(beside);
    }
    m->kind->close(map);
    soma_patch_free(back);
    verified(2);
}

/* The same from other views: of the inverse; by way of a third; of maps that only look alike. */
static void check_one_form(struct model *m, const struct seen *a, const struct seen *b, const struct seen *by,
                           const soma_patch *patch)
{
    soma_patch *inverse = NULL;
    soma_patch *composed = NULL;
    soma_patch *there = make(a, by);
    soma_patch *onward = make(by, b);
    soma_patch *back = make(b, a);
    EXPECT_EQ(soma_patch_invert(soma_patch_bytes(back), &inverse), SOMA_OK);
    EXPECT(same_patch(inverse, patch));
    EXPECT_EQ(soma_patch_compose(soma_patch_bytes(there), soma_patch_bytes(onward), &composed), SOMA_OK);
    EXPECT(same_patch(composed, patch));
    void *map = map_like(m, a->states);
    struct seen alike = {.states = a->states};
    EXPECT_EQ(m->kind->view(map, &alike.view), SOMA_OK);
    soma_patch *again = make(&alike, b);
    EXPECT(same_patch(again, patch));
    soma_view_close(alike.view);
    m->kind->close(map);
    soma_patch_free(inverse);
    soma_patch_free(composed);
    soma_patch_free(there);
    soma_patch_free(onward);
    soma_patch_free(back);
    soma_patch_free(again);
    verified(3);
}

static void check_pair(struct model *m, const struct seen *a, const struct seen *b, const struct seen *by)
{
    check_diff(m, a, b);
    soma_patch *patch = make(a, b);
    check_read(m, a, b, patch);
    check_apply(m, a, b, patch);
    check_refused(m, a, b, patch);
    check_one_form(m, a, b, by, patch);
    soma_patch_free(patch);
    m->pairs++;
}

/* ---- Histories ---- */

/* Nearly always few keys change, so that the views are like each other. */
static void change(struct model *m, int which, uint64_t changes)
{
    uint64_t *states = m->states[which];
    void *map = m->maps[which];
    for (; changes > 0; changes--) {
        const size_t i = (size_t)rng_below(&m->rng, m->setup.size);
        const uint64_t key = key_of(m, i);
        const uint64_t value = 1 + rng_below(&m->rng, 50);
        switch (rng_below(&m->rng, 4)) {
        case 0:
            EXPECT_EQ(m->kind->remove(map, key, NULL), states[i] ? SOMA_REMOVED : SOMA_ABSENT);
            states[i] = 0;
            break;
        case 1:
            EXPECT_EQ(m->kind->put_new(map, key, value, NULL), states[i] ? SOMA_EXISTS : SOMA_INSERTED);
            states[i] = states[i] ? states[i] : value;
            break;
        default:
            EXPECT_EQ(m->kind->put(map, key, value, NULL), states[i] ? SOMA_REPLACED : SOMA_INSERTED);
            states[i] = value;
            break;
        }
    }
}

static void look(struct model *m, struct seen *seen, int which)
{
    EXPECT_EQ(m->kind->view(m->maps[which], &seen->view), SOMA_OK);
    memcpy(seen->states, m->states[which], m->setup.size * sizeof *seen->states);
}

static struct seen *some_view(struct model *m)
{
    return &m->views[rng_below(&m->rng, VIEWS)];
}

/* Sometimes one map starts anew, or gives its memory back. */
static void upheaval(struct model *m, int which)
{
    if (rng_below(&m->rng, 8) == 0) {
        EXPECT_EQ(m->kind->clear(m->maps[which]), SOMA_OK);
        memset(m->states[which], 0, m->setup.size * sizeof *m->states[which]);
    }
    if (rng_below(&m->rng, 4) == 0)
        EXPECT_EQ(m->kind->shrink(m->maps[which]), SOMA_OK);
}

static void play(struct model *m)
{
    const double end = now_seconds() + test_seconds();
    do {
        const int which = (int)rng_below(&m->rng, 2);
        struct seen *seen = some_view(m);
        upheaval(m, which);
        change(m, which, rng_below(&m->rng, 2) ? 1 + rng_below(&m->rng, 10) : rng_below(&m->rng, 2 * m->setup.size));
        soma_view_close(seen->view);
        look(m, seen, which);
        const struct seen *a = some_view(m);
        const struct seen *b = some_view(m);
        check_pair(m, a, b, some_view(m));
    } while (now_seconds() < end && failures() == 0);
}

static struct model *open_model(const struct setup *setup)
{
    struct model *m = need(1, sizeof *m);
    *m = (struct model){.kind = &kinds[setup->kind], .setup = *setup};
    m->rng = rng_new(setup->size * 16 + setup->spread * 2 + setup->one_seed);
    for (int which = 0; which < 2; which++) {
        m->maps[which] = new_map(m, setup->one_seed ? 7 : 7 + which);
        m->states[which] = need(setup->size, sizeof *m->states[which]);
        change(m, which, setup->size);
    }
    for (int v = 0; v < VIEWS; v++) {
        m->views[v].states = need(setup->size, sizeof *m->views[v].states);
        look(m, &m->views[v], v % 2);
    }
    return m;
}

static void close_model(struct model *m)
{
    for (int v = 0; v < VIEWS; v++) {
        soma_view_close(m->views[v].view);
        free(m->views[v].states);
    }
    for (int which = 0; which < 2; which++) {
        m->kind->close(m->maps[which]);
        free(m->states[which]);
    }
    free(m);
    soma_barrier_wait();
    EXPECT(!leaks_found());
}

static void run(const void *arg)
{
    struct model *m = open_model(arg);
    play(m);
    close_model(m);
}

/* ---- Seeded bugs ---- */

/* What a view is said to show is not what it shows: a key too many, one too few, another value. Or the map is not what it
 * should be. Each part of the check must see it. */
static void canary(const void *arg)
{
    struct model *m = open_model(arg);
    struct seen *a = &m->views[0];
    struct seen *b = &m->views[1];
    soma_patch *patch = make(a, b);
    const uint64_t bugs[] = {0, 77};
    for (size_t bug = 0; bug < sizeof bugs / sizeof bugs[0]; bug++) {
        size_t i = 0;
        while (a->states[i] == 0 || b->states[i] == 0 || a->states[i] == b->states[i])
            i++;
        const uint64_t was = b->states[i];
        b->states[i] = bugs[bug];
        canary_begin();
        check_diff(m, a, b);
        EXPECT(canary_end() >= 1);
        canary_begin();
        check_read(m, a, b, patch);
        EXPECT(canary_end() >= 1);
        b->states[i] = was;
        const uint64_t is = a->states[i];
        a->states[i] = bugs[bug];
        canary_begin();
        check_apply(m, a, b, patch); /* to a map that it does not fit */
        EXPECT(canary_end() >= 3);
        a->states[i] = is;
    }
    canary_begin();
    check_refused(m, b, a,
                  patch); /* the wrong way: the map is spoilt, but it had not fitted anyway; the patch is for a */
    check_one_form(m, b, a, a, patch);
    EXPECT(canary_end() >= 2);
    soma_patch_free(patch);
    close_model(m);
    verified(1);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"u64-few", run, &(const struct setup){0, 6, GOOD, true}},
        {"u64-some", run, &(const struct setup){0, 300, GOOD, true}},
        {"u64-seeds", run, &(const struct setup){0, 300, GOOD, false}},
        {"u64-many", run, &(const struct setup){0, 5000, GOOD, true}},
        {"u64-lowest", run, &(const struct setup){0, 300, LOWEST, true}},
        {"map-few", run, &(const struct setup){1, 6, GOOD, true}},
        {"map-some", run, &(const struct setup){1, 300, GOOD, true}},
        {"map-seeds", run, &(const struct setup){1, 300, GOOD, false}},
        {"map-many", run, &(const struct setup){1, 3000, GOOD, true}},
        {"map-sixteen", run, &(const struct setup){1, 200, SIXTEEN, true}},
        {"map-sixteen-seeds", run, &(const struct setup){1, 200, SIXTEEN, false}},
        {"map-one", run, &(const struct setup){1, 80, ONE, false}},
        {"canary-u64", canary, &(const struct setup){0, 200, GOOD, true}},
        {"canary-map", canary, &(const struct setup){1, 200, GOOD, false}},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
