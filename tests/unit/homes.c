/* SPDX-License-Identifier: ISC */
/* homes.c - where entries of the word map live: that they live at home when they can, whatever else would answer right. */
#include <soma/soma.h>

#include "dir/dir.h"
#include "map/map_internal.h"
#include "map/word.h"
#include "support.h"

#if HAVE_CAS16

/* In bucket 0, as the first of its level and behind the first sentinel of the level that growth makes; and far away. */
#define FIRST_LOG2 dir_first_log2(WORD_CELL_LOG2)
#define HASH_BEHIND ((UINT64_C(1) << (63 - FIRST_LOG2)) + 1)
#define HASH_APART (UINT64_C(1) << 63)
/* The last of all, and the first one in its bucket. */
#define HASH_LAST UINT64_MAX
#define HASH_LAST_BUCKET (UINT64_MAX << (64 - FIRST_LOG2))

static uint64_t key_of(const soma_u64 *map, uint64_t hash)
{
    return soma__mix_inverse(soma__u64_mix(map), hash);
}

static void ignore_value(uint64_t value, void *ctx)
{
    (void)value, (void)ctx;
}

static soma_u64 *map_of(const struct soma_u64_options *options)
{
    soma_u64 *map = NULL;
    EXPECT_EQ(soma_u64_new(options, &map), SOMA_OK);
    return map;
}

static void put(soma_u64 *map, uint64_t hash)
{
    EXPECT_EQ(soma_u64_put(map, key_of(map, hash), hash, NULL), SOMA_INSERTED);
}

static void remove_hash(soma_u64 *map, uint64_t hash)
{
    EXPECT_EQ(soma_u64_remove(map, key_of(map, hash), NULL), SOMA_REMOVED);
}

/* Finds the entry of a hash without changing anything. The caller is alone with the map. */
static struct soma__node *node_of(const soma_u64 *map, uint64_t hash)
{
    const struct soma__dir *dir = &map->core.dir;
    uint64_t edge = soma__dir_start(dir, WORD_CELL_LOG2, hash);
    while (soma__edge_onward(edge) != EDGE_END) {
        struct soma__node *node = soma__edge_node(edge);
        if ((edge & EDGE_BUCKET) == 0 && soma__hash_read(node) == hash)
            return node;
        edge = soma__edge_read(edge & EDGE_BUCKET ? soma__edge_bucket(edge) : &node->edge);
    }
    return NULL;
}

static bool at_home(const soma_u64 *map, uint64_t hash)
{
    const struct soma__node *node = node_of(map, hash);
    EXPECT(node);
    return node && soma__is_home(&map->core.dir, node);
}

/* Whether a lookup finds it there. */
static bool found_at_home(const soma_u64 *map, uint64_t hash)
{
    uint64_t value = 0;
    const struct soma__section section = soma__section_enter();
    const bool found = soma__cell_find(soma__dir_bucket_hint(&map->core.dir, WORD_CELL_LOG2, hash), hash, &value);
    soma__section_exit(section);
    return found && value == hash;
}

/* One more level, its buckets set up. */
static void grow(soma_u64 *map)
{
    EXPECT_EQ(soma_u64_reserve(map, dir_entries(&map->core.dir, FIRST_LOG2 + 1)), SOMA_OK);
    const struct soma__section section = soma__section_enter();
    soma__dir_help(&map->core.dir, section.self, &map->core.stripes[0].run);
    soma__section_exit(section);
    EXPECT(soma__edge_starts(soma__edge_read(soma__dir_bucket_at(&map->core.dir, UINT64_C(1) << FIRST_LOG2))));
}

/* Two entries of a bucket live at home and are found there; the third does not, and is found all the same. */
static void two_at_home(const void *unused)
{
    (void)unused;
    soma_u64 *map = map_of(NULL);
    for (uint64_t hash = 1; hash <= 3; hash++) {
        put(map, hash);
        EXPECT_EQ(at_home(map, hash), hash <= WORD_HOMES);
        EXPECT_EQ(found_at_home(map, hash), hash <= WORD_HOMES);
        EXPECT_EQ(soma_u64_get(map, key_of(map, hash), NULL), SOMA_OK);
    }
    soma_u64_free(map);
    verified(3);
}

/* A home is used again after a grace period, not before. */
static void used_again(const void *unused)
{
    (void)unused;
    soma_u64 *map = map_of(NULL);
    put(map, 1);
    put(map, 2);
    soma_read_enter();
    remove_hash(map, 2);
    put(map, 3);
    EXPECT(!at_home(map, 3));
    soma_read_exit();
    soma_synchronize_wait();
    put(map, 4);
    EXPECT(at_home(map, 4));
    soma_u64_free(map);
    verified(2);
}

/* The grace periods that homes of one bucket wait for, as the ledger has them; see word.h and home.c. */
#define LEDGER_GRACE_PERIOD (UINT64_C(1) << 4)

/* Both homes wait for the later one, also if who gives a home back has seen an earlier one than who did before: here, as
 * if the other one had been so late that a hundred grace periods have begun meanwhile. */
static void later_grace_period(const void *unused)
{
    (void)unused;
    soma_u64 *map = map_of(NULL);
    put(map, 1);
    put(map, 2);
    struct word_cell *cell = soma__cell_of(node_of(map, 2));
    remove_hash(map, 2);
    atom_add_rlx(&cell->halves[1].word, 100 * LEDGER_GRACE_PERIOD);
    remove_hash(map, 1);
    soma_synchronize_wait();
    put(map, 3);
    EXPECT(!at_home(map, 3));
    for (int i = 0; i < 100; i++)
        soma_synchronize_wait();
    put(map, 4);
    EXPECT(at_home(map, 4));
    soma_u64_free(map);
    verified(2);
}

/* Changes of one stripe between looks, at the most. */
#define LOOKS (CORE_LOOK_PERIOD * CORE_HELP_PERIOD)

/* Removing looks for grace periods itself, though nothing that waits for one is left behind. */
static void used_again_unasked(const void *unused)
{
    (void)unused;
    soma_u64 *map = map_of(NULL);
    uint64_t home = 0;
    for (uint64_t hash = 1; hash <= 3 * LOOKS; hash++) {
        put(map, hash);
        home += at_home(map, hash);
        remove_hash(map, hash);
    }
    EXPECT(home > 16); /* some 8 if only closed chunks look */
    soma_u64_free(map);
    verified(home);
}

/* Growth takes entries home into their new buckets, and they are found there. No walk of growth's own comes behind the
 * last one of all, which would settle it. */
static void moved(const void *unused)
{
    (void)unused;
    soma_u64 *map = map_of(NULL);
    put(map, 1);
    put(map, 2);
    put(map, HASH_BEHIND);
    put(map, HASH_LAST_BUCKET);
    put(map, HASH_LAST_BUCKET + 1);
    put(map, HASH_LAST);
    EXPECT(!at_home(map, HASH_BEHIND));
    EXPECT(!at_home(map, HASH_LAST));
    grow(map);
    EXPECT(found_at_home(map, HASH_BEHIND));
    EXPECT(found_at_home(map, HASH_LAST));
    soma_u64_free(map);
    verified(2);
}

/* Not if there is no room under the cap to retire what it leaves behind: nobody is to be stopped by that. */
static void moved_if_room(const void *unused)
{
    (void)unused;
    soma_u64 *map = map_of(
        &(struct soma_u64_options){.deferred_bytes_max = sizeof(struct word_entry), .value_retire = ignore_value});
    put(map, 1);
    put(map, 2);
    put(map, HASH_BEHIND);
    put(map, HASH_APART);
    soma_read_enter();
    remove_hash(map, HASH_APART);
    grow(map);
    EXPECT(!at_home(map, HASH_BEHIND));
    put(map, HASH_BEHIND + 1);
    EXPECT_EQ(soma_u64_get(map, key_of(map, HASH_BEHIND), NULL), SOMA_OK);
    soma_read_exit();
    soma_u64_free(map);
    verified(1);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"two-at-home", two_at_home, NULL},
        {"used-again", used_again, NULL},
        {"later-grace-period", later_grace_period, NULL},
        {"used-again-unasked", used_again_unasked, NULL},
        {"moved", moved, NULL},
        {"moved-if-room", moved_if_room, NULL},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

#else

/* Without a 16-byte swap no entry lives at home, and no lookup looks there. */
static void none_at_home(const void *unused)
{
    (void)unused;
    soma_u64 *map = NULL;
    EXPECT_EQ(soma_u64_new(NULL, &map), SOMA_OK);
    const struct soma__section section = soma__section_enter();
    struct soma__node *node = soma__word_new(&map->core.dir, 1);
    EXPECT(node && !soma__is_home(&map->core.dir, node));
    soma__word_drop(&map->core.dir, node);
    soma__section_exit(section);
    soma_u64_free(map);
    verified(1);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {{"none-at-home", none_at_home, NULL}};
    return test_main(argc, argv, cases, 1);
}

#endif
