/* SPDX-License-Identifier: ISC */
/* views.c - what open views cost: which dead versions stay for them, and what closed ones leave behind. */
#include <soma/soma.h>

#include "dir/dir.h"
#include "map/map_internal.h"
#include "kinds.h"
#include "map/version.h"
#include "support.h"
#include "versions.h"

#define KEY 1

static soma_u64 *map_new(void)
{
    soma_u64 *map = NULL;
    EXPECT_EQ(soma_u64_new(NULL, &map), SOMA_OK);
    return map;
}

static soma_view *open_view(soma_u64 *map)
{
    soma_view *view = NULL;
    EXPECT_EQ(soma_u64_view_open(map, &view), SOMA_OK);
    return view;
}

static void put(soma_u64 *map, uint64_t value)
{
    EXPECT(soma_u64_put(map, KEY, value, NULL) >= 0);
}

static uint64_t seen(const soma_view *view)
{
    uint64_t value = 0;
    (void)soma_view_get_u64(view, KEY, &value);
    return value;
}

/* The caller is alone with the map. */
static unsigned dead(const soma_u64 *map)
{
    unsigned n = 0;
    uint64_t edge = soma__edge_read(soma__dir_bucket_at(&map->core.dir, 0));
    while (soma__edge_onward(edge) != EDGE_END) {
        const struct soma__node *node = soma__edge_node(edge);
        if ((edge & EDGE_BUCKET) == 0)
            n += soma__node_dead(node);
        edge = soma__edge_read(edge & EDGE_BUCKET ? soma__edge_bucket(edge) : &node->edge);
    }
    return n;
}

/* However often a key changes, each view has one version of it. */
static void one_each(const void *unused)
{
    (void)unused;
    soma_u64 *map = map_new();
    put(map, 1);
    soma_view *first = open_view(map);
    for (uint64_t value = 2; value < 10; value++)
        put(map, value);
    EXPECT_EQ(dead(map), 1);
    soma_view *second = open_view(map);
    for (uint64_t value = 10; value < 20; value++)
        put(map, value);
    EXPECT_EQ(dead(map), 2);
    EXPECT_EQ(seen(first), 1);
    EXPECT_EQ(seen(second), 9);
    soma_view_close(first);
    EXPECT_EQ(dead(map), 1);
    EXPECT_EQ(seen(second), 9);
    soma_view_close(second);
    EXPECT_EQ(dead(map), 0);
    soma_u64_free(map);
    verified(7);
}

/* What is born and dies after a view does not stay for it. */
static void not_after(const void *unused)
{
    (void)unused;
    soma_u64 *map = map_new();
    soma_view *view = open_view(map);
    put(map, 1);
    soma_view *later = open_view(map);
    soma_view_close(later);
    EXPECT_EQ(soma_u64_remove(map, KEY, NULL), SOMA_REMOVED);
    EXPECT_EQ(dead(map), 0);
    EXPECT_EQ(seen(view), 0);
    soma_view_close(view);
    soma_u64_free(map);
    verified(3);
}

/* What died before a view goes with the views from before. */
static void not_before(const void *unused)
{
    (void)unused;
    soma_u64 *map = map_new();
    put(map, 1);
    soma_view *view = open_view(map);
    put(map, 2);
    soma_view *later = open_view(map);
    EXPECT_EQ(dead(map), 1);
    soma_view_close(view);
    EXPECT_EQ(dead(map), 0);
    EXPECT_EQ(seen(later), 2);
    soma_view_close(later);
    soma_u64_free(map);
    verified(3);
}

/* While no view is open, nothing is kept, nor is it asked for. */
static void off(const void *unused)
{
    (void)unused;
    soma_u64 *map = map_new();
    soma_view *first = open_view(map);
    soma_view *second = open_view(map);
    soma_view_close(first);
    EXPECT(soma__clock_runs(&map->core.clock));
    soma_view_close(second);
    EXPECT(!soma__clock_runs(&map->core.clock));
    soma_read_enter();
    EXPECT_EQ(soma_u64_view_open(map, &first), SOMA_E_INVALID);
    soma_read_exit();
    EXPECT(!soma__clock_runs(&map->core.clock));
    soma_u64_free(map);
    verified(4);
}

static void count_value(const void *value, size_t len, void *ctx)
{
    (void)value, (void)len;
    ++*(unsigned *)ctx;
}

/* Each value of a byte map is told once: not with the entry that its dead version is a copy of. */
static void told_once(const void *unused)
{
    (void)unused;
    unsigned told = 0;
    const struct soma_map_options options = {.value_retire = count_value, .ctx = &told};
    soma_map *map = NULL;
    soma_view *view = NULL;
    EXPECT_EQ(soma_map_new(&options, &map), SOMA_OK);
    EXPECT_EQ(soma_map_put(map, "k", 1, "zeroth", 6, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_map_put(map, "k", 1, "first", 5, NULL), SOMA_REPLACED);
    EXPECT_EQ(soma_map_view_open(map, &view), SOMA_OK);
    EXPECT_EQ(soma_map_put(map, "k", 1, "second", 6, NULL), SOMA_REPLACED);
    EXPECT_EQ(soma_map_put(map, "k", 1, "third", 5, NULL), SOMA_REPLACED);
    EXPECT_EQ(soma_map_remove(map, "k", 1, NULL), SOMA_REMOVED);
    soma_barrier_wait();
    EXPECT_EQ(told, 3);
    soma_view_close(view);
    soma_barrier_wait();
    EXPECT_EQ(told, 4);
    soma_map_free(map);
    soma_barrier_wait();
    EXPECT_EQ(told, 4);
    verified(3);
}

/* More than closing lets go at once; updates elsewhere do the rest. */
static void swept(const void *unused)
{
    enum {
        KEYS = 4000
    };
    (void)unused;
    soma_u64 *map = map_new();
    for (uint64_t key = KEY; key <= KEYS; key++)
        EXPECT_EQ(soma_u64_put(map, key, 1, NULL), SOMA_INSERTED);
    soma_view *view = open_view(map);
    for (uint64_t key = KEY; key <= KEYS; key++)
        EXPECT_EQ(soma_u64_put(map, key, 2, NULL), SOMA_REPLACED);
    EXPECT_EQ(dead(map), KEYS);
    soma_view_close(view);
    EXPECT(dead(map) > 0);
    for (int i = 0; i < KEYS; i++) {
        EXPECT_EQ(soma_u64_put(map, 0, 1, NULL), SOMA_INSERTED);
        EXPECT_EQ(soma_u64_remove(map, 0, NULL), SOMA_REMOVED);
    }
    EXPECT_EQ(dead(map), 0);
    soma_u64_free(map);
    verified(3);
}

/* A program that does one thing and no other, so that all that a view has left is for these updates to let go. */
struct rhythm {
    const struct kind *kind;
    void (*update)(const struct kind *kind, void *map, uint64_t round);
    uint64_t rounds;
};

static void come_and_go(const struct kind *kind, void *map, uint64_t round)
{
    EXPECT_EQ(kind->put_new(map, 0, round, NULL), SOMA_INSERTED);
    EXPECT_EQ(kind->remove(map, 0, NULL), SOMA_REMOVED);
}

static void put_again(const struct kind *kind, void *map, uint64_t round)
{
    EXPECT_EQ(kind->put(map, KEY, round, NULL), SOMA_REPLACED);
}

/* A lookup between any two updates, as in a program that decides by what it finds. */
static void look_and_put(const struct kind *kind, void *map, uint64_t round)
{
    uint64_t value = 0;
    EXPECT_EQ(kind->get(map, KEY, &value), SOMA_OK);
    put_again(kind, map, round);
}

/* Inside one section, as long as it lasts. */
static void put_together(const struct kind *kind, void *map, uint64_t round)
{
    soma_read_enter();
    for (uint64_t key = KEY; key < KEY + 10; key++)
        EXPECT_EQ(kind->put(map, key, round, NULL), SOMA_REPLACED);
    soma_read_exit();
}

/* In batches, each in a section or a few. */
static void put_many(const struct kind *kind, void *map, uint64_t round)
{
    uint64_t keys[KIND_MANY];
    uint64_t values[KIND_MANY];
    for (uint64_t i = 0; i < KIND_MANY; i++) {
        keys[i] = KEY + i;
        values[i] = round;
    }
    EXPECT_EQ(kind->put_many(map, keys, values, KIND_MANY, NULL), SOMA_OK);
}

/* Each time a batch of retired memory is full, so that the thread always has something else to do, too. */
static void put_large(const struct kind *kind, void *map, uint64_t round)
{
    static const char large[SOMA__CHUNK_RETIRED_BYTES];
    (void)kind;
    EXPECT_EQ(soma_map_put(map, "large", 5, large, sizeof large, NULL), round == 0 ? SOMA_INSERTED : SOMA_REPLACED);
}

#define OLD 2005 /* so many old versions; closing lets some of them go */

/* A map that a view has left old versions in. Its count does not come to a multiple of CORE_HELP_PERIOD when it goes up by one
 * and back. */
static void *map_left(const struct kind *kind)
{
    soma_view *view = NULL;
    void *map = kind_open(kind, &(struct kind_options){.reserve = 0});
    for (uint64_t key = KEY; key < KEY + OLD; key++)
        EXPECT_EQ(kind->put(map, key, 1, NULL), SOMA_INSERTED);
    EXPECT_EQ(kind->view(map, &view), SOMA_OK);
    for (uint64_t key = KEY; key < KEY + OLD; key++)
        EXPECT_EQ(kind->put(map, key, 2, NULL), SOMA_REPLACED);
    soma_view_close(view);
    EXPECT(versions_of(map).dead > 0);
    return map;
}

static void swept_by(const void *arg)
{
    const struct rhythm *rhythm = arg;
    void *map = map_left(rhythm->kind);
    for (uint64_t round = 0; round < rhythm->rounds && failures() == 0; round++)
        rhythm->update(rhythm->kind, map, round);
    EXPECT_EQ(versions_of(map).dead, 0);
    rhythm->kind->close(map);
    soma_barrier_wait();
    verified(2);
}

/* Maps in turn: no rhythm leaves one out. */
static void swept_in_turn(const void *arg)
{
    const struct kind *kind = arg;
    void *maps[16];
    const unsigned n = sizeof maps / sizeof maps[0];
    for (unsigned i = 0; i < n; i++)
        maps[i] = map_left(kind);
    for (uint64_t round = 0; round < n * UINT64_C(20000) && failures() == 0; round++)
        put_again(kind, maps[round % n], round);
    for (unsigned i = 0; i < n; i++) {
        EXPECT_EQ(versions_of(maps[i]).dead, 0);
        kind->close(maps[i]);
    }
    soma_barrier_wait();
    verified(n);
}

/* ---- Differences ---- */

static enum soma_status count_one(const struct soma_difference *difference, void *ctx)
{
    EXPECT_EQ(difference->what, SOMA_INSERTED);
    ++*(unsigned *)ctx;
    return SOMA_OK;
}

/* Two maps in one order with digests, in which all hashes are one: no range is smaller than all. */
static void one_hash(const void *unused)
{
    (void)unused;
    const struct soma_map_options options = {
        .seed = {1, 2}, .flags = SOMA_DIGEST, .digest_key = {3, 4}}; /* as compared maps need them */
    soma_map *maps[2] = {NULL, NULL};
    soma_view *views[2] = {NULL, NULL};
    for (unsigned i = 0; i < 2; i++) {
        EXPECT_EQ(soma_map_new(&options, &maps[i]), SOMA_OK);
        soma__map_hash_mask(maps[i], 0);
        for (uint32_t key = 0; key < 200 + i; key++)
            EXPECT_EQ(soma_map_put(maps[i], &key, sizeof key, "v", 1, NULL), SOMA_INSERTED);
        EXPECT_EQ(soma_map_view_open(maps[i], &views[i]), SOMA_OK);
    }
    unsigned told = 0;
    EXPECT_EQ(soma_diff_views(views[0], views[1], count_one, &told), SOMA_OK);
    EXPECT_EQ(told, 1);
    for (unsigned i = 0; i < 2; i++) {
        soma_view_close(views[i]);
        soma_map_free(maps[i]);
    }
    verified(2);
}

int main(int argc, char **argv)
{
    static const struct rhythm rhythms[] = {
        {&kinds[0], come_and_go, 3000}, {&kinds[1], come_and_go, 3000},  {&kinds[0], put_again, 3000},
        {&kinds[1], put_again, 3000},   {&kinds[0], look_and_put, 3000}, {&kinds[1], look_and_put, 3000},
        {&kinds[0], put_together, 300}, {&kinds[1], put_together, 300},  {&kinds[0], put_many, 150},
        {&kinds[1], put_many, 150},     {&kinds[1], put_large, 3000},
    };
    const struct test_case cases[] = {
        {"one-each", one_each, NULL},
        {"not-after", not_after, NULL},
        {"not-before", not_before, NULL},
        {"off", off, NULL},
        {"told-once", told_once, NULL},
        {"swept", swept, NULL},
        {"one-hash", one_hash, NULL},
        {"swept-come-and-go-u64", swept_by, &rhythms[0]},
        {"swept-come-and-go-map", swept_by, &rhythms[1]},
        {"swept-put-again-u64", swept_by, &rhythms[2]},
        {"swept-put-again-map", swept_by, &rhythms[3]},
        {"swept-look-and-put-u64", swept_by, &rhythms[4]},
        {"swept-look-and-put-map", swept_by, &rhythms[5]},
        {"swept-put-together-u64", swept_by, &rhythms[6]},
        {"swept-put-together-map", swept_by, &rhythms[7]},
        {"swept-put-many-u64", swept_by, &rhythms[8]},
        {"swept-put-many-map", swept_by, &rhythms[9]},
        {"swept-put-large", swept_by, &rhythms[10]},
        {"swept-in-turn-u64", swept_in_turn, &kinds[0]},
        {"swept-in-turn-map", swept_in_turn, &kinds[1]},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
