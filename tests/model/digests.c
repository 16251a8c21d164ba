/* SPDX-License-Identifier: ISC */
/* digests.c - one thread changes a map a little, then much, then not at all, while views open and close. The digests of views and of
 * ranges of hashes, which come from sums that earlier views have left, must be what a cursor over the range adds up to; and what
 * has changed must be told, of the map and of each key's own range. */
#include <string.h>

#include <soma/soma.h>

#include "hash/hash.h"
#include "kinds.h"
#include "map/map_internal.h"
#include "support.h"

#define VIEWS 3
#define BITS_MOST 14

struct setup {
    int kind;
    uint64_t size;
    unsigned turns;
};

struct model {
    const struct kind *kind;
    bool words;
    void *map;
    struct rng rng;
    uint64_t size;
    soma_view *views[VIEWS];
    uint64_t checked;
};

/* ---- What is right ---- */

static void add(const struct core *core, uint64_t fnv, struct soma_digest *sum)
{
    uint64_t lanes[2];
    soma__digest_lanes(core->digest_key, fnv, lanes);
    sum->lane[0] += lanes[0];
    sum->lane[1] += lanes[1];
    sum->count++;
}

static uint64_t fnv_of_bytes(struct soma_bytes bytes, uint64_t state)
{
    return soma_fnv1a64(bytes.data, bytes.len, soma__fnv1a64_word(bytes.len, state));
}

static struct soma_digest added_up(const struct model *m, const soma_view *view, unsigned bits, uint64_t prefix)
{
    const struct core *core = m->map;
    struct soma_digest sum = {.count = 0};
    soma_cursor *cursor = NULL;
    if (!EXPECT_EQ(soma_cursor_open_view(view, &cursor), SOMA_OK))
        return sum;
    EXPECT_EQ(soma_cursor_range(cursor, bits, prefix), SOMA_OK);
    uint64_t key;
    uint64_t value;
    while (m->words && soma_cursor_next_u64(cursor, &key, &value) == SOMA_OK)
        add(core, soma__fnv1a64_word(value, soma__fnv1a64_word(key, SOMA_FNV1A64_BASIS)), &sum);
    struct soma_bytes key_bytes;
    struct soma_bytes value_bytes;
    while (!m->words && soma_cursor_next_ref(cursor, &key_bytes, &value_bytes) == SOMA_OK)
        add(core, fnv_of_bytes(value_bytes, fnv_of_bytes(key_bytes, SOMA_FNV1A64_BASIS)), &sum);
    soma_cursor_close(cursor);
    return sum;
}

/* ---- Checks ---- */

static void check_range(struct model *m, const soma_view *view, unsigned bits)
{
    const uint64_t prefix = bits == 0 ? 0 : rng_next(&m->rng) >> (64 - bits);
    const struct soma_digest want = added_up(m, view, bits, prefix);
    struct soma_digest got;
    EXPECT_EQ(soma_view_range_digest(view, bits, prefix, &got), SOMA_OK);
    EXPECT(soma_digest_equal(&got, &want));
    EXPECT(got.count == want.count);
    m->checked++;
}

static void check_view(struct model *m, const soma_view *view)
{
    for (unsigned bits = 0; bits <= BITS_MOST; bits++)
        check_range(m, view, bits);
}

static struct soma_digest running(const struct model *m)
{
    struct soma_digest digest;
    EXPECT_EQ(m->words ? soma_u64_digest(m->map, &digest) : soma_map_digest(m->map, &digest), SOMA_OK);
    return digest;
}

/* ---- Changes ---- */

static uint64_t token(const struct model *m)
{
    uint64_t taken = 0;
    EXPECT_EQ(m->words ? soma_u64_change_token(m->map, &taken) : soma_map_change_token(m->map, &taken), SOMA_OK);
    return taken;
}

static bool changed(const struct model *m, uint64_t since, unsigned bits, uint64_t prefix)
{
    bool told = false;
    EXPECT_EQ(m->words ? soma_u64_changed_since(m->map, since, bits, prefix, &told)
                       : soma_map_changed_since(m->map, since, bits, prefix, &told),
              SOMA_OK);
    return told;
}

/* Whether something was changed. */
static bool change(struct model *m)
{
    uint64_t key = rng_below(&m->rng, m->size);
    if (m->words && rng_below(&m->rng, 8) == 0) /* in the last stretch of all */
        key = soma__mix_inverse(soma__u64_mix(m->map), UINT64_MAX - rng_below(&m->rng, 3));
    switch (rng_below(&m->rng, 4)) {
    case 0:
        return m->kind->remove(m->map, key, NULL) == SOMA_REMOVED;
    case 1:
        return m->words ? m->kind->fetch_add(m->map, key, 1, NULL) >= 0
                        : m->kind->replace(m->map, key, key + 2, NULL) == SOMA_REPLACED;
    case 2:
        return m->kind->put_new(m->map, key, key + 1, NULL) == SOMA_INSERTED;
    default:
        return m->kind->put(m->map, key, rng_next(&m->rng) >> 1, NULL) >= 0;
    }
}

static void changes(struct model *m, uint64_t n)
{
    const uint64_t before = token(m);
    EXPECT(!changed(m, before, 0, 0));
    bool any = false;
    for (uint64_t i = 0; i < n; i++)
        any |= change(m);
    EXPECT(changed(m, before, 0, 0) == any);
    EXPECT(!changed(m, token(m), 0, 0));
}

/* ---- Turns ---- */

static void fill(struct model *m)
{
    for (uint64_t key = 0; key < m->size; key += 2)
        m->kind->put(m->map, key, key, NULL);
}

static void look(struct model *m)
{
    soma_view *view = NULL;
    EXPECT_EQ(m->kind->view(m->map, &view), SOMA_OK);
    check_view(m, view);
    soma_view_close(view);
}

/* No view is open, so the table shrinks, and what is kept is of a larger one. */
static void empty_and_fill(struct model *m)
{
    for (unsigned i = 0; i < VIEWS; i++) {
        soma_view_close(m->views[i]);
        m->views[i] = NULL;
    }
    look(m);
    EXPECT_EQ(m->kind->clear(m->map), SOMA_OK);
    EXPECT_EQ(m->kind->shrink(m->map), SOMA_OK);
    look(m);
    fill(m);
}

static void turn(struct model *m)
{
    soma_view **view = &m->views[rng_below(&m->rng, VIEWS)];
    const uint64_t plenty = rng_below(&m->rng, 8) == 0 ? m->size / 4 : 12;
    if (rng_below(&m->rng, 40) == 0)
        empty_and_fill(m);
    changes(m, rng_below(&m->rng, plenty));
    if (*view) {
        if (rng_below(&m->rng, 2) == 0)
            check_view(m, *view);
        soma_view_close(*view);
        *view = NULL;
        return;
    }
    const struct soma_digest now = running(m);
    if (!EXPECT_EQ(m->kind->view(m->map, view), SOMA_OK))
        return;
    if (rng_below(&m->rng, 3) == 0)
        return;
    struct soma_digest seen;
    EXPECT_EQ(soma_view_digest(*view, &seen), SOMA_OK);
    EXPECT(soma_digest_equal(&seen, &now));
    check_view(m, *view);
}

static void run(const void *arg)
{
    const struct setup *setup = arg;
    const struct kind_options options = {.flags = SOMA_DIGEST};
    struct model m = {.kind = &kinds[setup->kind], .words = setup->kind == 0, .rng = rng_new(3), .size = setup->size};
    m.map = kind_open(m.kind, &options);
    fill(&m);
    for (unsigned i = 0; i < setup->turns; i++)
        turn(&m);
    for (unsigned i = 0; i < VIEWS; i++)
        soma_view_close(m.views[i]);
    m.kind->close(m.map);
    soma_barrier_wait();
    verified(m.checked);
}

static const struct setup few_words = {0, 300, 1500};
static const struct setup few_bytes = {1, 300, 1500};
static const struct setup many_words = {0, 30000, 150};
static const struct setup many_bytes = {1, 30000, 100};

static const struct test_case cases[] = {
    {"few-words", run, &few_words},
    {"few-bytes", run, &few_bytes},
    {"many-words", run, &many_words},
    {"many-bytes", run, &many_bytes},
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
