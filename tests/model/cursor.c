/* SPDX-License-Identifier: ISC */
/* cursor.c - one thread changes a map, of either kind, with good and with bad hashes, and goes on with a cursor in between.
 * An oracle, plain arrays, knows which keys are there, and which have been there since the walk began: each of these must
 * have been given once when it ends, and no key twice. Now and then the cursor is replaced by a new one at its token. A
 * pass without changes gives what is there, whole or in parts. Views are kept for a while, together with what the oracle said when
 * they were opened: that is what their cursors must give, and what their copies hold. An entry keeps the version that it was given
 * with. */
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#include "hash/hash.h"
#include "kinds.h"
#include "map/map_internal.h"
#include "support.h"

#define VIEWS 3

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
    bool views;
};

struct key {
    uint64_t value;
    uint64_t version; /* that the value was given with, or 0 */
    bool there;
    bool all_the_time; /* since the walk began */
    bool given;
};

struct model {
    const struct kind *kind;
    enum spread spread;
    void *map;
    struct rng rng;
    size_t size;
    struct key *keys;
    uint64_t count;
    soma_cursor *cursor; /* of the walk that is under way */
    uint64_t walks;
    struct kept {
        soma_view *view;
        struct key *keys;
        uint64_t count;
    } kept[VIEWS];
    uint64_t shown;
    bool views;
};

/* ---- Keys ---- */

static uint64_t key_of(const struct model *m, size_t i)
{
    if (m->spread == LOWEST || m->spread == HIGHEST)
        return soma__mix_inverse(soma__u64_mix(m->map), m->spread == LOWEST ? i : UINT64_MAX - i);
    return i * 3 + 1;
}

/* The index of a key that the map gave. */
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

/* Whether a token may lie before entries that were given. */
static bool tokens_repeat(const struct model *m)
{
    return m->spread == SIXTEEN || m->spread == ONE || m->spread == HIGHEST;
}

/* ---- Changes ---- */

static void change(struct model *m)
{
    const size_t i = (size_t)rng_below(&m->rng, m->size);
    struct key *key = &m->keys[i];
    if (rng_below(&m->rng, 2)) {
        key->value = rng_next(&m->rng);
        key->version = 0;
        EXPECT_EQ(m->kind->put(m->map, key_of(m, i), key->value, NULL), key->there ? SOMA_REPLACED : SOMA_INSERTED);
        m->count += !key->there;
        key->there = true;
    } else {
        EXPECT_EQ(m->kind->remove(m->map, key_of(m, i), NULL), key->there ? SOMA_REMOVED : SOMA_ABSENT);
        m->count -= key->there;
        key->there = false;
        key->all_the_time = false;
    }
}

static void fill(struct model *m, bool there)
{
    for (size_t i = 0; i < m->size; i++) {
        struct key *key = &m->keys[i];
        if (key->there == there)
            continue;
        key->version = 0;
        if (there)
            EXPECT_EQ(m->kind->put(m->map, key_of(m, i), key->value, NULL), SOMA_INSERTED);
        else
            EXPECT_EQ(m->kind->remove(m->map, key_of(m, i), NULL), SOMA_REMOVED);
        key->there = there;
        key->all_the_time &= there;
    }
    m->count = there ? m->size : 0;
}

static void upheaval(struct model *m)
{
    switch (rng_below(&m->rng, 5)) {
    case 0:
        fill(m, true);
        break;
    case 1:
        fill(m, false);
        break;
    case 2:
        EXPECT_EQ(m->kind->reserve(m->map, 1 + rng_below(&m->rng, 4 * m->size)), SOMA_OK);
        break;
    default:
        EXPECT_EQ(m->kind->shrink(m->map), SOMA_OK);
    }
}

/* ---- Versions ---- */

/* What the cursor has given, has a version; the same as before, if it was asked for before. */
static void check_version(const struct model *m, const soma_cursor *cursor, struct key *key)
{
    uint64_t version = 0;
    if (m->kind == &kinds[0]) {
        EXPECT_EQ(soma_cursor_version(cursor, &version), SOMA_E_INVALID);
        return;
    }
    EXPECT_EQ(soma_cursor_version(cursor, &version), SOMA_OK);
    EXPECT(version != 0 && (key->version == 0 || key->version == version));
    key->version = version;
}

/* What a view had: words are asked for in the map as it is now. */
static void check_version_sorted(const struct model *m, const soma_cursor *cursor, const struct key *kept,
                                 const struct key *now)
{
    uint64_t version = 0;
    if (m->kind == &kinds[0])
        return;
    const enum soma_status status = soma_cursor_version(cursor, &version);
    const bool same = now->there && now->value == kept->value;
    if (status == SOMA_OK)
        EXPECT(version == kept->version || (same && (now->version == 0 || now->version == version)));
    else
        EXPECT(!same && status == (now->there ? SOMA_CHANGED : SOMA_ABSENT));
}

/* ---- A walk beside them ---- */

static void walk_begin(struct model *m)
{
    EXPECT_EQ(m->kind->walk(m->map, &m->cursor), SOMA_OK);
    EXPECT_EQ(soma_cursor_token(m->cursor), 0);
    for (size_t i = 0; i < m->size; i++) {
        m->keys[i].all_the_time = m->keys[i].there;
        m->keys[i].given = false;
    }
}

static void walk_end(struct model *m)
{
    for (size_t i = 0; i < m->size; i++)
        EXPECT(!m->keys[i].all_the_time || m->keys[i].given);
    uint64_t key = 0;
    uint64_t value = 0;
    EXPECT_EQ(m->kind->next(m->cursor, &key, &value), SOMA_END);
    soma_cursor_close(m->cursor);
    m->cursor = NULL;
    m->walks++;
    verified(m->size);
}

/* A new cursor where the old one is. */
static void walk_anew(struct model *m)
{
    const uint64_t token = soma_cursor_token(m->cursor);
    soma_cursor_close(m->cursor);
    EXPECT_EQ(m->kind->walk(m->map, &m->cursor), SOMA_OK);
    EXPECT_EQ(soma_cursor_seek(m->cursor, token), SOMA_OK);
    EXPECT_EQ(soma_cursor_token(m->cursor), token);
}

static void walk_some(struct model *m)
{
    bool anew = false;
    if (!m->cursor)
        walk_begin(m);
    else if ((anew = rng_below(&m->rng, 4) == 0 && !tokens_repeat(m)))
        walk_anew(m);
    for (uint64_t n = rng_below(&m->rng, 200); n > 0; n--) {
        uint64_t key = 0;
        uint64_t value = 0;
        const enum soma_status status = m->kind->next(m->cursor, &key, &value);
        if (status == SOMA_END) {
            walk_end(m);
            return;
        }
        EXPECT_EQ(status, SOMA_OK);
        struct key *given = &m->keys[index_of(m, key)];
        EXPECT(!given->given);
        EXPECT(!anew || given->there);
        given->given = true;
    }
}

/* ---- A pass while nothing changes ---- */

/* Goes on to the end, and at the first entry after each `pause` entries back to its token. */
static void pass(struct model *m, soma_cursor *cursor, uint64_t pause, bool *seen, uint64_t *count)
{
    uint64_t key = 0;
    uint64_t value = 0;
    for (uint64_t n = 1; m->kind->next(cursor, &key, &value) == SOMA_OK; n++) {
        const size_t i = index_of(m, key);
        EXPECT(m->keys[i].there && m->keys[i].value == value);
        check_version(m, cursor, &m->keys[i]);
        EXPECT(!seen[i] || tokens_repeat(m));
        *count += !seen[i];
        seen[i] = true;
        if (pause && n % pause == 0 && !tokens_repeat(m)) {
            const uint64_t token = soma_cursor_token(cursor);
            for (uint64_t further = rng_below(&m->rng, 200); further > 0; further--)
                EXPECT(m->kind->next(cursor, &key, &value) >= 0);
            EXPECT_EQ(soma_cursor_seek(cursor, token), SOMA_OK);
        }
    }
    EXPECT_EQ(m->kind->next(cursor, &key, &value), SOMA_END);
}

/* Some entries by one cursor, the rest by another from the first one's token: together all of them; twice only what tokens
 * are said to repeat. */
static void pass_in_two(struct model *m)
{
    bool *seen = need(m->size, sizeof *seen);
    uint64_t count = 0;
    uint64_t key = 0;
    uint64_t value = 0;
    soma_cursor *cursor = NULL;
    soma_cursor *other = NULL;
    EXPECT_EQ(m->kind->walk(m->map, &cursor), SOMA_OK);
    EXPECT_EQ(m->kind->walk(m->map, &other), SOMA_OK);
    for (uint64_t n = rng_below(&m->rng, 200); n > 0 && m->kind->next(cursor, &key, &value) == SOMA_OK; n--) {
        seen[index_of(m, key)] = true;
        count++;
    }
    EXPECT_EQ(soma_cursor_seek(other, soma_cursor_token(cursor)), SOMA_OK);
    pass(m, other, 0, seen, &count);
    EXPECT_EQ(count, m->count);
    soma_cursor_close(cursor);
    soma_cursor_close(other);
    free(seen);
    verified(m->size);
}

static void whole_pass(struct model *m)
{
    bool *seen = need(m->size, sizeof *seen);
    uint64_t count = 0;
    const uint32_t parts = (uint32_t)rng_below(&m->rng, 9);
    soma_cursor *cursor = NULL;
    EXPECT_EQ(m->kind->walk(m->map, &cursor), SOMA_OK);
    for (uint32_t part = 0; part < parts; part++) {
        EXPECT_EQ(soma_cursor_part(cursor, part, parts), SOMA_OK);
        pass(m, cursor, 0, seen, &count);
    }
    if (parts == 0)
        pass(m, cursor, rng_below(&m->rng, 300), seen, &count);
    EXPECT_EQ(count, m->count);
    soma_cursor_close(cursor);
    free(seen);
    verified(m->size);
}

/* ---- Views ---- */

static soma_view *view_of(const struct model *m, void *map)
{
    soma_view *view = NULL;
    EXPECT_EQ(m->kind == &kinds[0] ? soma_u64_view_open(map, &view) : soma_map_view_open(map, &view), SOMA_OK);
    return view;
}

static void keep_view(struct model *m, struct kept *kept)
{
    kept->view = view_of(m, m->map);
    kept->keys = need(m->size, sizeof *kept->keys);
    memcpy(kept->keys, m->keys, m->size * sizeof *kept->keys);
    kept->count = m->count;
}

/* Gives the entries that were there, each once; from the least to the greatest, if they are sorted and words. */
static void check_kept(const struct model *m, const struct kept *kept, soma_cursor *cursor, bool sorted)
{
    bool *seen = need(m->size, sizeof *seen);
    uint64_t key = 0;
    uint64_t value = 0;
    uint64_t before = 0;
    uint64_t count = 0;
    for (; m->kind->next(cursor, &key, &value) == SOMA_OK; count++) {
        const size_t i = index_of(m, key);
        EXPECT(kept->keys[i].there && kept->keys[i].value == value && !seen[i]);
        if (sorted)
            check_version_sorted(m, cursor, &kept->keys[i], &m->keys[i]);
        else
            check_version(m, cursor, &kept->keys[i]);
        EXPECT(!sorted || m->kind != &kinds[0] || count == 0 || key > before);
        seen[i] = true;
        before = key;
    }
    EXPECT_EQ(count, kept->count);
    free(seen);
    verified(count);
}

static void check_copied(const struct model *m, const struct kept *kept)
{
    soma_u64 *words = NULL;
    soma_map *bytes = NULL;
    EXPECT_EQ(m->kind == &kinds[0] ? soma_u64_copy(kept->view, NULL, NULL, NULL, &words)
                                   : soma_map_copy(kept->view, NULL, NULL, NULL, &bytes),
              SOMA_OK);
    void *copy = m->kind == &kinds[0] ? (void *)words : (void *)bytes;
    EXPECT_EQ(m->kind->count(copy), kept->count);
    soma_view *view = view_of(m, copy);
    bool equal = false;
    EXPECT_EQ(soma_view_equal(kept->view, view, &equal), SOMA_OK);
    EXPECT(equal);
    soma_view_close(view);
    m->kind->close(copy);
}

static void drop_view(struct model *m, struct kept *kept)
{
    soma_cursor *cursor = NULL;
    EXPECT_EQ(soma_view_count(kept->view), kept->count);
    EXPECT_EQ(soma_cursor_open_view(kept->view, &cursor), SOMA_OK);
    check_kept(m, kept, cursor, false);
    soma_cursor_close(cursor);
    EXPECT_EQ(soma_cursor_open_sorted(kept->view, &cursor), SOMA_OK);
    check_kept(m, kept, cursor, true);
    soma_cursor_close(cursor);
    check_copied(m, kept);
    soma_view_close(kept->view);
    free(kept->keys);
    kept->view = NULL;
    m->shown++;
}

static void some_view(struct model *m)
{
    struct kept *kept = &m->kept[rng_below(&m->rng, VIEWS)];
    if (kept->view)
        drop_view(m, kept);
    else
        keep_view(m, kept);
}

/* ---- Runs ---- */

static void play(struct model *m)
{
    const double end = now_seconds() + test_seconds();
    do {
        for (size_t step = rng_below(&m->rng, 200); step > 0; step--) {
            for (uint64_t n = rng_below(&m->rng, m->size); n > 0; n--)
                change(m);
            walk_some(m);
            if (m->views && rng_below(&m->rng, 8) == 0)
                some_view(m);
        }
        upheaval(m);
        whole_pass(m);
        pass_in_two(m);
    } while ((now_seconds() < end || m->walks == 0) && failures() == 0);
}

static void run(const void *arg)
{
    const struct setup *setup = arg;
    const struct kind_options options = {.reserve = 0};
    struct model m = {.kind = &kinds[setup->kind], .spread = setup->spread, .rng = rng_new(setup->size)};
    m.size = setup->size;
    m.keys = need(m.size, sizeof *m.keys);
    m.map = kind_open(m.kind, &options);
    if (setup->spread == SIXTEEN || setup->spread == ONE)
        soma__map_hash_mask(m.map, setup->spread == ONE ? 0 : UINT64_C(15) << 60);
    m.views = setup->views;
    play(&m);
    soma_cursor_close(m.cursor);
    for (int i = 0; i < VIEWS; i++) {
        if (m.kept[i].view)
            drop_view(&m, &m.kept[i]);
    }
    EXPECT_EQ(m.shown > 0, m.views);
    m.kind->close(m.map);
    EXPECT(m.walks > 0);
    free(m.keys);
    EXPECT(!leaks_found());
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"u64-few", run, &(const struct setup){0, 6, GOOD, false}},
        {"u64-some", run, &(const struct setup){0, 500, GOOD, false}},
        {"u64-many", run, &(const struct setup){0, 20000, GOOD, false}},
        {"u64-lowest", run, &(const struct setup){0, 300, LOWEST, false}},
        {"u64-highest", run, &(const struct setup){0, 300, HIGHEST, false}},
        {"map-few", run, &(const struct setup){1, 6, GOOD, false}},
        {"map-some", run, &(const struct setup){1, 500, GOOD, false}},
        {"map-many", run, &(const struct setup){1, 20000, GOOD, false}},
        {"map-sixteen", run, &(const struct setup){1, 400, SIXTEEN, false}},
        {"map-one", run, &(const struct setup){1, 150, ONE, false}},
        {"u64-few-views", run, &(const struct setup){0, 6, GOOD, true}},
        {"u64-views", run, &(const struct setup){0, 500, GOOD, true}},
        {"u64-highest-views", run, &(const struct setup){0, 300, HIGHEST, true}},
        {"map-few-views", run, &(const struct setup){1, 6, GOOD, true}},
        {"map-views", run, &(const struct setup){1, 500, GOOD, true}},
        {"map-one-views", run, &(const struct setup){1, 150, ONE, true}},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
