/* SPDX-License-Identifier: ISC */
/* stats.c - what maps say of themselves: each figure against what was done to the map. States that only a thread in the middle of a
 * call leaves behind are made through the rooms' doors. */
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <soma/soma.h>

#include "map/map_internal.h"
#include "map/word.h"
#include "support.h"

static struct soma_stats stats_of(const soma_u64 *map)
{
    struct soma_stats stats = {.struct_size = sizeof stats};
    EXPECT_EQ(soma_u64_stats(map, &stats), SOMA_OK);
    return stats;
}

static struct soma_stats byte_stats_of(const soma_map *map)
{
    struct soma_stats stats = {.struct_size = sizeof stats};
    EXPECT_EQ(soma_map_stats(map, &stats), SOMA_OK);
    return stats;
}

static soma_u64 *map_of(uint64_t n)
{
    soma_u64 *map = NULL;
    EXPECT_EQ(soma_u64_new(NULL, &map), SOMA_OK);
    for (uint64_t key = 0; key < n; key++)
        EXPECT_EQ(soma_u64_put(map, key, key, NULL), SOMA_INSERTED);
    return map;
}

static void arguments(const void *setup)
{
    (void)setup;
    soma_u64 *map = map_of(1);
    soma_map *bytes = NULL;
    EXPECT_EQ(soma_map_new(NULL, &bytes), SOMA_OK);
    struct soma_stats stats;
    memset(&stats, 0x5e, sizeof stats);
    const struct soma_stats before = stats;
    EXPECT_EQ(soma_u64_stats(map, &stats), SOMA_E_INVALID); /* of no known release */
    EXPECT_EQ(soma_map_stats(bytes, &stats), SOMA_E_INVALID);
    EXPECT(memcmp(&stats, &before, sizeof stats) == 0);
    stats.struct_size = 0;
    EXPECT_EQ(soma_u64_stats(NULL, &stats), SOMA_E_INVALID);
    EXPECT_EQ(soma_map_stats(NULL, &stats), SOMA_E_INVALID);
    EXPECT_EQ(soma_u64_stats(map, NULL), SOMA_E_INVALID);
    EXPECT_EQ(soma_map_stats(bytes, NULL), SOMA_E_INVALID);
    EXPECT_EQ(soma_u64_stats(map, &stats), SOMA_OK);
    EXPECT_EQ(stats.entries, 1);
    EXPECT_EQ(stats.struct_size, 0);
    EXPECT_EQ(soma_map_stats(bytes, &stats), SOMA_OK);
    EXPECT_EQ(stats.entries, 0);
    const uint64_t passed = stats.grace_periods;
    stats = (struct soma_stats){.entries = 1};
    EXPECT_EQ(soma_process_stats(&stats), SOMA_OK);
    EXPECT_EQ(stats.entries, 0);
    EXPECT(stats.grace_periods >= passed);
    EXPECT_EQ(soma_process_stats(NULL), SOMA_E_INVALID);
    stats.struct_size = sizeof stats - 1;
    EXPECT_EQ(soma_process_stats(&stats), SOMA_E_INVALID);
    soma_map_free(bytes);
    soma_u64_free(map);
    verified(15);
}

/* With at most 1024 buckets all are looked at, so that the sample is everything. */
static void chains(const void *setup)
{
    (void)setup;
    for (uint64_t n = 0; n <= 1000; n = n * 3 + 1) {
        soma_u64 *map = map_of(n);
        const struct soma_stats stats = stats_of(map);
        uint64_t buckets = 0;
        uint64_t least = 0;
        for (uint64_t i = 0; i < SOMA_STATS_CHAINS; i++) {
            buckets += stats.chain_lengths[i];
            least += i * stats.chain_lengths[i];
        }
        EXPECT_EQ(stats.entries, n);
        EXPECT_EQ(buckets, stats.chain_buckets);
        EXPECT_EQ(stats.chain_buckets + stats.chain_unready, stats.buckets);
        EXPECT_EQ(stats.chain_entries, n);
        EXPECT(stats.chain_longest >= SOMA_STATS_CHAINS || least == n);
        EXPECT_EQ(stats.load_percent, n * 100 / stats.buckets);
        EXPECT(stats.load_percent <= stats.load_percent_max + 100);
        EXPECT(stats.table_bytes >= stats.buckets * 8);
        soma_u64_free(map);
        verified(7);
    }
}

/* What stats.c goes through of a chain. */
#define CHAIN_MOST 4096

/* Entries that all have one hash: the chain is cut where it says. */
static void one_chain(const void *setup)
{
    (void)setup;
    soma_map *map = NULL;
    EXPECT_EQ(soma_map_new(NULL, &map), SOMA_OK);
    soma__map_hash_mask(map, 0);
    for (uint64_t key = 0; key < 20; key++)
        EXPECT_EQ(soma_map_put(map, &key, sizeof key, "v", 1, NULL), SOMA_INSERTED);
    const struct soma_stats stats = byte_stats_of(map);
    EXPECT_EQ(stats.chain_longest, 20);
    EXPECT_EQ(stats.chain_lengths[SOMA_STATS_CHAINS - 1], 1);
    EXPECT_EQ(stats.chain_entries, 20);
    soma_map_free(map);
    verified(3);
}

/* A chain too long to be gone through. In such an order that each entry comes first. */
static void long_chain(const void *setup)
{
    (void)setup;
    soma_map *map = NULL;
    EXPECT_EQ(soma_map_new(NULL, &map), SOMA_OK);
    soma__map_hash_mask(map, 0);
    for (unsigned i = CHAIN_MOST + 100; i-- > 0;) {
        const unsigned char key[] = {(unsigned char)(i >> 8), (unsigned char)i};
        EXPECT_EQ(soma_map_put(map, key, sizeof key, "v", 1, NULL), SOMA_INSERTED);
    }
    const struct soma_stats stats = byte_stats_of(map);
    EXPECT_EQ(stats.chain_longest, CHAIN_MOST);
    EXPECT(stats.chain_entries >= CHAIN_MOST);
    soma_map_free(map);
    verified(2);
}

static void large(const void *setup)
{
    (void)setup;
    const uint64_t n = 100000;
    soma_u64 *map = map_of(n);
    struct soma_stats stats = stats_of(map);
    EXPECT_EQ(stats.entries, n);
    EXPECT_EQ(stats.chain_buckets + stats.chain_unready, 1024);
    EXPECT(stats.chain_entries > 1024 * n / stats.buckets / 2);
    EXPECT(stats.chain_entries < 1024 * n / stats.buckets * 2);
    EXPECT(stats.grows >= 8);
    EXPECT(stats.helps_grow >= stats.buckets / 64 / 2);
    EXPECT_EQ(stats.shrinks, 0);
    EXPECT_EQ(soma_u64_clear(map), SOMA_OK);
    EXPECT_EQ(soma_u64_shrink(map), SOMA_OK);
    const uint64_t buckets = stats.buckets;
    stats = stats_of(map);
    EXPECT_EQ(stats.entries, 0);
    EXPECT(stats.shrinks >= 1);
    EXPECT(stats.buckets < buckets);
    EXPECT_EQ(stats.entries_bytes, 0);
    soma_u64_free(map);
    verified(9);
}

static void bytes(const void *setup)
{
    (void)setup;
    soma_map *map = NULL;
    EXPECT_EQ(soma_map_new(NULL, &map), SOMA_OK);
    char value[1000] = "";
    for (uint64_t key = 0; key < 50; key++)
        EXPECT_EQ(soma_map_put(map, &key, sizeof key, value, sizeof value, NULL), SOMA_INSERTED);
    const struct soma_stats stats = byte_stats_of(map);
    EXPECT(stats.entries_bytes >= 50 * 1008);
    EXPECT(stats.entries_bytes <= 50 * 1100);
    EXPECT_EQ(stats.deferred_bytes_max, SOMA_DEFERRED_BYTES_DEFAULT);
    soma_map_free(map);
    verified(3);
}

static void versions(const void *setup)
{
    (void)setup;
    soma_u64 *map = map_of(200);
    soma_view *view = NULL;
    EXPECT_EQ(stats_of(map).views, 0);
    EXPECT_EQ(stats_of(map).old_versions, 0);
    EXPECT_EQ(soma_u64_view_open(map, &view), SOMA_OK);
    for (uint64_t key = 0; key < 200; key++)
        EXPECT_EQ(soma_u64_put(map, key, 7, NULL), SOMA_REPLACED);
    struct soma_stats stats = stats_of(map);
    EXPECT_EQ(stats.views, 1);
    EXPECT_EQ(stats.old_versions, 200);
    EXPECT_EQ(soma_u64_clear(map), SOMA_OK);
    stats = stats_of(map);
    EXPECT_EQ(stats.entries, 0);
    EXPECT_EQ(stats.old_versions, 200);
    EXPECT(stats.entries_bytes > 0);
    soma_view_close(view);
    EXPECT_EQ(soma_u64_shrink(map), SOMA_OK);
    stats = stats_of(map);
    EXPECT_EQ(stats.views, 0);
    EXPECT_EQ(stats.old_versions, 0);
    soma_u64_free(map);
    verified(9);
}

/* ---- Meetings ---- */

static void meddle(unsigned index, void *map)
{
    (void)index;
    EXPECT_EQ(soma_u64_put(map, 1, 99, NULL), SOMA_REPLACED);
}

/* The first time, another thread changes the value while the update decides. */
static enum soma_status disturbed(uint64_t key, bool present, uint64_t *value, void *map)
{
    (void)key, (void)present;
    if (*value != 99)
        crew_run(1, meddle, map);
    *value += 1;
    return SOMA_OK;
}

static void retries(const void *setup)
{
    (void)setup;
    soma_u64 *map = map_of(3);
    EXPECT_EQ(stats_of(map).retries, 0);
    EXPECT_EQ(soma_u64_update(map, 1, disturbed, map), SOMA_REPLACED);
    EXPECT_EQ(stats_of(map).retries, 1);
    uint64_t value = 0;
    EXPECT_EQ(soma_u64_get(map, 1, &value), SOMA_OK);
    EXPECT_EQ(value, 100);
    soma_u64_free(map);
    verified(3);
}

/* The edge of the entry of a key. */
static struct soma__node *node_of(soma_u64 *map, uint64_t key)
{
    struct core *core = &map->core;
    const struct soma__section section = soma__section_enter();
    const uint64_t hash = soma__mix_hash(soma__u64_mix(map), key);
    struct soma__place place = {.prev = soma__dir_bucket(&core->dir, WORD_CELL_LOG2, section.self, hash)};
    EXPECT_EQ(soma__dir_walk(&core->dir, WORD_CELL_LOG2, section.self, hash, NULL, soma__before_hash, &place), SOMA_OK);
    soma__section_exit(section);
    return soma__edge_node(place.word);
}

static void change_edge(struct atom *edge, uint64_t flag)
{
    uint64_t word = soma__edge_read(edge);
    EXPECT(soma__edge_swap(edge, &word, word | flag));
}

/* Each half-done state is met once, by an update on its key. */
static void helps(const void *setup)
{
    (void)setup;
    soma_u64 *map = map_of(100);
    const struct soma_stats before = stats_of(map);
    change_edge(&node_of(map, 5)->edge, EDGE_TENTATIVE);
    EXPECT_EQ(soma_u64_put(map, 5, 1, NULL), SOMA_REPLACED);
    EXPECT_EQ(stats_of(map).helps_link, before.helps_link + 1);
    change_edge(&node_of(map, 6)->edge, EDGE_FROZEN);
    EXPECT_EQ(soma_u64_put(map, 6, 1, NULL), SOMA_INSERTED);
    EXPECT_EQ(stats_of(map).helps_unlink, before.helps_unlink + 1);
    const uint64_t hash = soma__mix_hash(soma__u64_mix(map), 7);
    const uint64_t q = soma__bucket_of(hash, dir_m(soma__dir_state(&map->core.dir)));
    const uint64_t index = soma__bucket_index(q);
    if (index != 0)
        change_edge(soma__dir_bucket_at(&map->core.dir, index), EDGE_TENTATIVE);
    EXPECT_EQ(soma_u64_put(map, 7, 1, NULL), SOMA_REPLACED);
    EXPECT_EQ(stats_of(map).helps_bucket, before.helps_bucket + (index != 0));
    soma_u64_free(map);
    verified(3);
}

/* ---- Readers ---- */

struct reader {
    pthread_barrier_t inside;
    pthread_barrier_t leave;
    int64_t thread;
};

static void stay_inside(unsigned index, void *arg)
{
    (void)index;
    struct reader *reader = arg;
    soma_read_enter();
    reader->thread = syscall(SYS_gettid);
    pthread_barrier_wait(&reader->inside);
    pthread_barrier_wait(&reader->leave);
    soma_read_exit();
}

static void stalls(const void *setup)
{
    (void)setup;
    soma_map *map = NULL;
    const struct soma_map_options options = {.deferred_bytes_max = 4096, .stall_ns = 1000000};
    EXPECT_EQ(soma_map_new(&options, &map), SOMA_OK);
    struct reader reader;
    struct crew crew;
    pthread_barrier_init(&reader.inside, NULL, 2);
    pthread_barrier_init(&reader.leave, NULL, 2);
    soma_synchronize_wait();
    crew_start(&crew, 1, stay_inside, &reader);
    pthread_barrier_wait(&reader.inside);

    struct soma_stats stats = byte_stats_of(map);
    const uint64_t passed = stats.grace_periods;
    sleep_ms(20);
    stats = byte_stats_of(map);
    if (stats.grace_periods != passed) { /* the first one had started before the reader was inside */
        sleep_ms(20);
        stats = byte_stats_of(map);
    }
    EXPECT(stats.grace_wait_ns >= 15000000);
    EXPECT(stats.grace_longest_ns >= stats.grace_wait_ns);
    EXPECT_EQ(stats.reader_thread, reader.thread);
    EXPECT_EQ(stats.limits, 0);
    EXPECT_EQ(stats.stalls, 0);

    enum soma_status status = SOMA_OK;
    for (int i = 0; i < 1000 && status != SOMA_E_LIMIT; i++)
        status = soma_map_put(map, "k", 1, "a value of some length", 22, NULL);
    EXPECT_EQ(status, SOMA_E_LIMIT);
    stats = byte_stats_of(map);
    EXPECT(stats.limits > 0);
    EXPECT_EQ(stats.stalls, 1);
    EXPECT(stats.deferred_bytes > 0 && stats.deferred_bytes <= 4096);

    pthread_barrier_wait(&reader.leave);
    crew_join(&crew);
    soma_synchronize_wait();
    stats = byte_stats_of(map);
    EXPECT_EQ(stats.grace_wait_ns, 0);
    EXPECT_EQ(stats.reader_thread, 0);
    EXPECT(stats.grace_longest_ns >= 15000000);
    EXPECT(stats.grace_periods > passed);
    soma_map_free(map);
    pthread_barrier_destroy(&reader.inside);
    pthread_barrier_destroy(&reader.leave);
    soma_barrier_wait();
    verified(12);
}

/* ---- Beside updates ---- */

struct shared {
    soma_u64 *map;
    struct atom over;
};

/* The last of the crew asks; the others insert and remove, so that the table grows and shrinks. */
static void churn(unsigned index, void *arg)
{
    struct shared *shared = arg;
    if (index < 2) {
        for (uint64_t turn = 0; atom_load_acq(&shared->over) == 0; turn++) {
            for (uint64_t key = 0; key < 5000; key++) {
                if (turn % 2 == 0)
                    soma_u64_put(shared->map, key * 2 + index, key, NULL);
                else
                    soma_u64_remove(shared->map, key * 2 + index, NULL);
            }
        }
        return;
    }
    uint64_t asked = 0;
    uint64_t grows = 0;
    for (const double end = now_seconds() + test_seconds() / 4; now_seconds() < end; asked++) {
        const struct soma_stats stats = stats_of(shared->map);
        EXPECT(stats.entries <= 10002);
        EXPECT(stats.chain_buckets + stats.chain_unready <= 1024);
        EXPECT(stats.grows >= grows);
        grows = stats.grows;
    }
    atom_store_rel(&shared->over, 1);
    verified(asked);
}

static void beside(const void *setup)
{
    (void)setup;
    struct shared shared = {.map = map_of(0)};
    crew_run(3, churn, &shared);
    soma_u64_free(shared.map);
}

static const struct test_case cases[] = {
    {"arguments", arguments, NULL},   {"chains", chains, NULL},   {"one chain", one_chain, NULL},
    {"long-chain", long_chain, NULL}, {"large", large, NULL},     {"bytes", bytes, NULL},
    {"versions", versions, NULL},     {"retries", retries, NULL}, {"helps", helps, NULL},
    {"stalls", stalls, NULL},         {"beside", beside, NULL},
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
