/* SPDX-License-Identifier: ISC */
/* states.c - maps in states that last for a few instructions, or that only a thread that stops leaves behind: entries
 * deleted and still linked, counts that are seen in part, an update that is disturbed, a claim of another process. */
#include <semaphore.h>
#include <string.h>

#include <soma/soma.h>

#include "dir/dir.h"
#include "map/map_internal.h"
#include "map/word.h"
#include "support.h"
#include "versions.h"

/* ---- Entries that are deleted, and linked ---- */

#define KEYS 8

/* Freezes the entry of a hash, as a removal that stops in the middle. */
static void freeze_only(struct core *core, uint64_t hash)
{
    const struct soma__section section = soma__section_enter();
    const unsigned cell_log2 = core->dir.shape.cell_log2;
    struct soma__place place = {.prev = soma__dir_bucket(&core->dir, cell_log2, section.self, hash)};
    EXPECT_EQ(soma__dir_walk(&core->dir, cell_log2, section.self, hash, NULL, soma__before_hash, &place), SOMA_OK);
    struct soma__node *node = soma__edge_node(place.word);
    EXPECT_EQ(soma__hash_read(node), hash);
    uint64_t edge = soma__edge_read(&node->edge);
    EXPECT(soma__edge_swap(&node->edge, &edge, edge | EDGE_FROZEN));
    soma__section_exit(section);
}

static void word_gone(uint64_t value, void *ctx)
{
    (void)value;
    ++*(unsigned *)ctx;
}

static void bytes_gone(const void *value, size_t len, void *ctx)
{
    (void)value, (void)len;
    ++*(unsigned *)ctx;
}

/* The first in its bucket or behind others: no lookup finds it, and it is released with the map, once. */
static void deleted_words(const void *unused)
{
    (void)unused;
    unsigned gone = 0;
    soma_u64 *map = NULL;
    uint64_t keys[KEYS];
    bool found[KEYS];
    EXPECT_EQ(soma_u64_new(&(struct soma_u64_options){.value_retire = word_gone, .ctx = &gone}, &map), SOMA_OK);
    for (uint64_t i = 0; i < KEYS; i++) { /* one bucket's, in this order */
        keys[i] = soma__mix_inverse(soma__u64_mix(map), i);
        EXPECT_EQ(soma_u64_put(map, keys[i], i, NULL), SOMA_INSERTED);
    }
    for (uint64_t i = KEYS; i > 0; i -= 2) /* from behind: the walk to one takes out those before it */
        freeze_only(&map->core, i - 2);
    EXPECT_EQ(soma_u64_get_many(map, keys, KEYS, NULL, found), KEYS / 2);
    for (uint64_t i = 0; i < KEYS; i++) {
        EXPECT_EQ(soma_u64_get(map, keys[i], NULL), i % 2 == 0 ? SOMA_ABSENT : SOMA_OK);
        EXPECT_EQ(found[i], i % 2 == 1);
        verified(1);
    }
    soma_u64_free(map);
    EXPECT_EQ(gone, KEYS);
}

static void deleted_bytes(const void *unused)
{
    (void)unused;
    unsigned gone = 0;
    soma_map *map = NULL;
    struct soma_bytes keys[KEYS];
    uint64_t words[KEYS];
    bool found[KEYS];
    const struct soma_map_options options = {.seed = {1, 2}, .value_retire = bytes_gone, .ctx = &gone};
    EXPECT_EQ(soma_map_new(&options, &map), SOMA_OK);
    for (uint64_t i = 0; i < KEYS; i++) {
        words[i] = i;
        keys[i] = (struct soma_bytes){.data = &words[i], .len = sizeof words[i]};
        EXPECT_EQ(soma_map_put(map, &i, sizeof i, &i, i, NULL), SOMA_INSERTED);
    }
    for (uint64_t i = 0; i < KEYS; i += 2)
        freeze_only(&map->core, soma__siphash13(map->core.hash.sip.key, &i, sizeof i));
    EXPECT_EQ(soma_map_get_many(map, keys, KEYS, NULL, found), KEYS / 2);
    for (uint64_t i = 0; i < KEYS; i++) {
        const enum soma_status expected = i % 2 == 0 ? SOMA_ABSENT : SOMA_OK;
        EXPECT_EQ(soma_map_get_copy(map, &i, sizeof i, NULL, 0, NULL), expected);
        EXPECT_EQ(soma_map_get_ref(map, &i, sizeof i, NULL), expected);
        EXPECT_EQ(found[i], i % 2 == 1);
        verified(1);
    }
    soma_map_free(map);
    EXPECT_EQ(gone, KEYS);
}

/* ---- A dead version that a walk does not come to ---- */

enum {
    DELETED = 1, /* the hashes, in their order */
    BEFORE,
    BETWEEN,
    REMOVED,
    SPENT
};

static uint64_t key_of(const soma_u64 *map, uint64_t hash)
{
    return soma__mix_inverse(soma__u64_mix(map), hash);
}

static struct soma__place place_of(soma_u64 *map, struct soma__reader *self, uint64_t hash)
{
    const struct soma__dir *dir = &map->core.dir;
    struct soma__place place = {.prev = soma__dir_bucket(&map->core.dir, WORD_CELL_LOG2, self, hash)};
    EXPECT_EQ(soma__dir_walk(dir, WORD_CELL_LOG2, self, hash, NULL, soma__before_word, &place), SOMA_OK);
    EXPECT_EQ(soma__hash_read(soma__edge_node(place.word)), hash);
    return place;
}

/* A removal of which the place changes; and there is no more room to retire what stands before that. */
static void remove_disturbed(soma_u64 *map)
{
    const struct soma__section section = soma__section_enter();
    struct soma__place place = place_of(map, section.self, REMOVED);
    const struct soma__node *node = soma__edge_node(place.word);
    EXPECT_EQ(soma__is_home(&map->core.dir, node), HAVE_CAS16);
    EXPECT_EQ(soma_u64_put(map, key_of(map, BETWEEN), 0, NULL), SOMA_INSERTED);
    freeze_only(&map->core, DELETED);
    EXPECT_EQ(
        soma__version_remove(&map->core, section.self, &place, soma__edge_read(&node->edge), soma__value_read(node)),
        SOMA_OK);
    soma__section_exit(section);
}

/* The view's dead version stands behind what there was no room for: it goes when the view has closed and there is room. */
static void dead_not_come_to(const void *unused)
{
    const uint64_t hashes[] = {REMOVED, BEFORE, DELETED, SPENT}; /* two have room in their bucket */
    (void)unused;
    soma_u64 *map = NULL;
    soma_view *view = NULL;
    EXPECT_EQ(soma_u64_new(&(struct soma_u64_options){.deferred_bytes_max = 1}, &map), SOMA_OK);
    for (unsigned i = 0; i < 4; i++)
        EXPECT_EQ(soma_u64_put(map, key_of(map, hashes[i]), 0, NULL), SOMA_INSERTED);
    if (HAVE_CAS16) /* else the removal itself takes all that the cap has */
        EXPECT_EQ(soma_u64_remove(map, key_of(map, SPENT), NULL), SOMA_REMOVED);
    EXPECT_EQ(soma_u64_view_open(map, &view), SOMA_OK);
    remove_disturbed(map);
    EXPECT_EQ(versions_of(map).dead, 1);
    soma_view_close(view);
    soma_barrier_wait();
    EXPECT_EQ(soma_u64_shrink(map), SOMA_OK);
    EXPECT_EQ(versions_of(map).dead, 0);
    soma_u64_free(map);
    soma_barrier_wait();
    verified(2);
}

/* ---- A count that is seen in part ---- */

/* The stripes are read one after the other; here, a removal without its insertion. */
static void count_in_part(const void *unused)
{
    (void)unused;
    soma_u64 *map = NULL;
    EXPECT_EQ(soma_u64_new(NULL, &map), SOMA_OK);
    atom_store_rlx(&map->core.stripes[0].count, (uint64_t)-1);
    EXPECT_EQ(soma_u64_count_approx(map), 0);
    soma_u64_free(map);
    verified(1);
}

/* ---- An update that is disturbed ---- */

struct disturbed {
    soma_map *map;
    size_t first_len; /* of the value that the first attempt wants */
    size_t then_len;  /* and the others */
    unsigned attempts;
    sem_t turn;
    sem_t done;
};

static const char text[] = "a value that is longer than the other one";

/* Stores under the key while the update's callback runs. */
static void disturb(unsigned index, void *arg)
{
    struct disturbed *disturbed = arg;
    (void)index;
    while (sem_wait(&disturbed->turn) != 0) {
    }
    EXPECT_EQ(soma_map_put(disturbed->map, "key", 3, "between", 7, NULL), SOMA_REPLACED);
    sem_post(&disturbed->done);
}

static enum soma_status decide_len(const void *key, size_t key_len, bool present, struct soma_bytes *value, void *ctx)
{
    struct disturbed *disturbed = ctx;
    (void)key, (void)key_len;
    EXPECT(present);
    const bool first = disturbed->attempts++ == 0;
    EXPECT(first || (value->len == 7 && memcmp(value->data, "between", 7) == 0));
    if (first) {
        sem_post(&disturbed->turn);
        while (sem_wait(&disturbed->done) != 0) {
        }
    }
    *value = (struct soma_bytes){.data = text, .len = first ? disturbed->first_len : disturbed->then_len};
    return SOMA_OK;
}

/* The second attempt may want a value of another size: it is what is stored. */
static void another_size(const void *setup)
{
    const size_t *lens = setup;
    struct disturbed disturbed = {.first_len = lens[0], .then_len = lens[1]};
    struct crew crew;
    char value[sizeof text] = "";
    size_t len = 0;
    sem_init(&disturbed.turn, 0, 0);
    sem_init(&disturbed.done, 0, 0);
    EXPECT_EQ(soma_map_new(NULL, &disturbed.map), SOMA_OK);
    EXPECT_EQ(soma_map_put(disturbed.map, "key", 3, "before", 6, NULL), SOMA_INSERTED);
    crew_start(&crew, 1, disturb, &disturbed);
    EXPECT_EQ(soma_map_update(disturbed.map, "key", 3, decide_len, &disturbed), SOMA_REPLACED);
    crew_join(&crew);
    EXPECT_EQ(disturbed.attempts, 2);
    EXPECT_EQ(soma_map_get_copy(disturbed.map, "key", 3, value, sizeof value, &len), SOMA_OK);
    EXPECT_EQ(len, lens[1]);
    EXPECT(memcmp(value, text, lens[1]) == 0);
    soma_map_free(disturbed.map);
    verified(1);
}

/* ---- Sizes ---- */

/* What was reserved is kept, however few entries there are, until shrink() gives it up. */
static void reserved_stays(const void *unused)
{
    (void)unused;
    soma_u64 *map = NULL;
    EXPECT_EQ(soma_u64_new(&(struct soma_u64_options){.reserve = 2048}, &map), SOMA_OK);
    const unsigned m = dir_m(soma__dir_state(&map->core.dir));
    EXPECT(dir_entries(&map->core.dir, m) >= 2048);
    for (uint64_t key = 0; key < 2000; key++) {
        EXPECT_EQ(soma_u64_put(map, key, key, NULL), SOMA_INSERTED);
        EXPECT_EQ(soma_u64_remove(map, key, NULL), SOMA_REMOVED);
        EXPECT_EQ(dir_m(soma__dir_state(&map->core.dir)), m);
    }
    soma_u64_free(map);
    verified(1);
}

/* A table at the end of its reservation stays there, though what stands behind it could be written. */
static void reservation_ends(const void *unused)
{
    (void)unused;
    soma_u64 *map = NULL;
    EXPECT_EQ(soma_u64_new(NULL, &map), SOMA_OK);
    struct soma__dir *dir = &map->core.dir;
    const uint64_t fits = dir_entries(dir, 12);
    EXPECT_EQ(soma_u64_reserve(map, fits), SOMA_OK);
    const unsigned most = dir->most_log2;
    dir->most_log2 = 12; /* as if that were all */
    for (uint64_t key = 0; key < 3 * fits; key++)
        EXPECT_EQ(soma_u64_put(map, key, key, NULL), SOMA_INSERTED);
    EXPECT_EQ(dir_m(soma__dir_state(dir)), 12);
    EXPECT_EQ(soma_u64_reserve(map, fits + 1), SOMA_E_NOMEM);
    dir->most_log2 = most;
    soma_u64_free(map);
    verified(1);
}

/* ---- Sentinels ---- */

/* Who sets a bucket up finishes it, also if it stores further on: lookups start there at once. */
static void bucket_is_ready(const void *unused)
{
    (void)unused;
    soma_u64 *map = NULL;
    EXPECT_EQ(soma_u64_new(NULL, &map), SOMA_OK);
    const uint64_t hash = UINT64_MAX;
    EXPECT_EQ(soma_u64_put(map, soma__mix_inverse(soma__u64_mix(map), hash - 1), 1, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_u64_reserve(map, 4096), SOMA_OK);
    const struct atom *bucket = soma__dir_bucket_hint(&map->core.dir, WORD_CELL_LOG2, hash);
    EXPECT(soma__edge_read(bucket) == 0);
    EXPECT_EQ(soma_u64_put(map, soma__mix_inverse(soma__u64_mix(map), hash), 2, NULL), SOMA_INSERTED);
    EXPECT(soma__edge_starts(soma__edge_read(bucket)));
    soma_u64_free(map);
    verified(1);
}

/* ---- A claim of another process ---- */

/* A thread that was giving memory back stayed behind in the parent: its claim holds nobody up. */
static void claim_left_behind(const void *unused)
{
    (void)unused;
    soma_u64 *map = NULL;
    EXPECT_EQ(soma_u64_new(&(struct soma_u64_options){.reserve = 4096}, &map), SOMA_OK);
    atom_store_rlx(&map->core.dir.release_claim, soma__fork_generation() + 2);
    const unsigned first = dir_first_log2(WORD_CELL_LOG2);
    for (int i = 0; i < 1000 && dir_m(soma__dir_state(&map->core.dir)) != first; i++)
        EXPECT_EQ(soma_u64_shrink(map), SOMA_OK);
    EXPECT_EQ(soma__dir_state(&map->core.dir), dir_state(first, 0, DIR_STEADY, 0));
    soma_u64_free(map);
    verified(1);
}

int main(int argc, char **argv)
{
    static const size_t longer[2] = {8, sizeof text};
    static const size_t shorter[2] = {sizeof text, 8};
    const struct test_case cases[] = {
        {"deleted-words", deleted_words, NULL},          {"deleted-bytes", deleted_bytes, NULL},
        {"count-in-part", count_in_part, NULL},          {"another-size-longer", another_size, longer},
        {"another-size-shorter", another_size, shorter}, {"reserved-stays", reserved_stays, NULL},
        {"reservation-ends", reservation_ends, NULL},    {"bucket-is-ready", bucket_is_ready, NULL},
        {"claim-left-behind", claim_left_behind, NULL},  {"dead-not-come-to", dead_not_come_to, NULL},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
