/* SPDX-License-Identifier: ISC */
/* rooms.c - what the rooms do where programs hardly get them: a table that cannot grow any more, a level that cannot go
 * on going, a fork while the claim is taken, room at the cap that others take each time, arguments at the edge. */
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <soma/soma.h>

#include "dir/dir.h"
#include "map/map_internal.h"
#include "map/word.h"
#include "mem/mem.h"
#include "rcu/private.h"
#include "support.h"

static soma_u64 *map_of(const struct soma_u64_options *options)
{
    soma_u64 *map = NULL;
    EXPECT_EQ(soma_u64_new(options, &map), SOMA_OK);
    return map;
}

/* ---- A table that cannot grow any more ---- */

/* Addresses that the process uses, in bytes; takes none itself. */
static uint64_t addresses_used(void)
{
    char text[64] = "";
    const int file = open("/proc/self/statm", O_RDONLY);
    EXPECT(file >= 0 && read(file, text, sizeof text - 1) > 0);
    close(file);
    unsigned long long pages = 0;
    EXPECT(sscanf(text, "%llu", &pages) == 1);
    return pages * 4096;
}

static void ignore_value(uint64_t value, void *ctx)
{
    (void)value, (void)ctx;
}

/* A map with room for 2^14 buckets and no more, since there were no addresses for a larger reservation. */
static soma_u64 *map_with_few_addresses(void)
{
    struct rlimit before;
    EXPECT_EQ(getrlimit(RLIMIT_AS, &before), 0);
    const uint64_t buckets = (uint64_t)1 << (14 + WORD_CELL_LOG2);
    const struct rlimit few = {.rlim_cur = addresses_used() + buckets + buckets / 2, .rlim_max = before.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_AS, &few), 0);
    soma_u64 *map = map_of(NULL);
    EXPECT_EQ(setrlimit(RLIMIT_AS, &before), 0);
    return map;
}

/* More entries than the buckets are for: the table stays as it is, and they are all there. */
static void full_table(const void *unused)
{
    (void)unused;
    const uint64_t entries = 40000;
    soma_u64 *map = map_with_few_addresses();
    EXPECT_EQ(map->core.dir.most_log2, 14);
    const uint64_t room = dir_entries(&map->core.dir, 14);
    EXPECT_EQ(soma_u64_reserve(map, room + 1), SOMA_E_NOMEM);
    for (uint64_t key = 0; key < entries; key++)
        EXPECT_EQ(soma_u64_put(map, key, ~key, NULL), SOMA_INSERTED);
    EXPECT_EQ(dir_m(soma__dir_state(&map->core.dir)), 14);
    EXPECT_EQ(soma_u64_count_approx(map), entries);
    for (uint64_t key = 0; key < entries; key++) {
        uint64_t value = 0;
        EXPECT_EQ(soma_u64_get(map, key, &value), SOMA_OK);
        EXPECT_EQ(value, ~key);
    }
    soma_u64_free(map);
    verified(entries);
}

/* Told first when the copy's map is there. */
static enum soma_status raise_limit(uint64_t done, uint64_t total, void *limit)
{
    (void)done, (void)total;
    EXPECT_EQ(setrlimit(RLIMIT_AS, limit), 0);
    return SOMA_OK;
}

/* A copy of a map with more entries than the copy has buckets for is whole, too. */
static void full_copy(const void *unused)
{
    (void)unused;
    soma_u64 *map = map_of(NULL);
    soma_u64 *copy = NULL;
    soma_view *view = NULL;
    struct rlimit before;
    const uint64_t entries = (UINT64_C(5) << 14) / (HAVE_CAS16 ? 1 : 2);
    for (uint64_t key = 0; key < entries; key++)
        EXPECT_EQ(soma_u64_put(map, key, ~key, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_u64_view_open(map, &view), SOMA_OK);
    EXPECT_EQ(getrlimit(RLIMIT_AS, &before), 0);
    const uint64_t buckets = (uint64_t)1 << (14 + WORD_CELL_LOG2);
    const struct rlimit few = {.rlim_cur = addresses_used() + buckets + buckets / 2, .rlim_max = before.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_AS, &few), 0);
    const enum soma_status status = soma_u64_copy(view, NULL, raise_limit, &before, &copy);
    EXPECT_EQ(status, SOMA_OK);
    EXPECT_EQ(setrlimit(RLIMIT_AS, &before), 0);
    EXPECT(status == SOMA_OK && dir_entries(&copy->core.dir, copy->core.dir.most_log2) < entries);
    EXPECT(status == SOMA_OK && soma_u64_count_approx(copy) == entries);
    soma_view_close(view);
    soma_u64_free(copy);
    soma_u64_free(map);
    verified(entries);
}

/* ---- A level that cannot go on going ---- */

/* What a value counts that waits for its readers, as in u64.c. */
#define VALUE_BYTES 16
/* In bucket 0; before the first sentinel of the first level that is made by growth, and right behind it. */
#define FIRST_LOG2 dir_first_log2(WORD_CELL_LOG2)
#define HASH_BEFORE (UINT64_C(1) << (62 - FIRST_LOG2))
#define HASH_BEHIND ((UINT64_C(1) << (63 - FIRST_LOG2)) + 1)
/* Far away from both. */
#define HASH_APART (UINT64_C(1) << 63)

static uint64_t key_of(const soma_u64 *map, uint64_t hash)
{
    return soma__mix_inverse(soma__u64_mix(map), hash);
}

static bool step(soma_u64 *map)
{
    const struct soma__section section = soma__section_enter();
    const bool moved = soma__dir_shrink_step(&map->core.dir, section.self);
    soma__section_exit(section);
    return moved;
}

static void step_to(soma_u64 *map, enum dir_phase phase)
{
    for (int i = 0; i < 1000 && dir_phase(soma__dir_state(&map->core.dir)) != phase; i++)
        step(map);
    EXPECT_EQ(dir_phase(soma__dir_state(&map->core.dir)), phase);
}

/* Deletes an entry and leaves it linked, as a remove that stops in the middle. */
static void freeze_only(soma_u64 *map, uint64_t hash)
{
    const struct soma__section section = soma__section_enter();
    struct soma__place place = {.prev = soma__dir_bucket(&map->core.dir, WORD_CELL_LOG2, section.self, hash)};
    EXPECT_EQ(soma__dir_walk(&map->core.dir, WORD_CELL_LOG2, section.self, hash, NULL, soma__before_hash, &place),
              SOMA_OK);
    struct soma__node *node = soma__edge_node(place.word);
    EXPECT_EQ(soma__hash_read(node), hash);
    uint64_t edge = soma__edge_read(&node->edge);
    EXPECT(soma__edge_swap(&node->edge, &edge, edge | EDGE_FROZEN));
    soma__section_exit(section);
}

/* The walk past a sentinel meets a deleted entry for which there is no room under the cap: the level stays where it is,
 * what is linked stays, and all goes on once there is room. */
static void level_waits_for_room(const void *unused)
{
    (void)unused;
    soma_u64 *map = map_of(&(struct soma_u64_options){.deferred_bytes_max = VALUE_BYTES, .value_retire = ignore_value});
    const uint64_t before = key_of(map, HASH_BEFORE);
    const uint64_t behind = key_of(map, HASH_BEHIND);
    const uint64_t apart = key_of(map, HASH_APART);
    EXPECT_EQ(soma_u64_reserve(map, dir_entries(&map->core.dir, FIRST_LOG2 + 1)), SOMA_OK);
    soma__dir_unreserve(&map->core.dir);
    EXPECT_EQ(soma_u64_put(map, before, 1, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_u64_put(map, behind, 2, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_u64_put(map, apart, 3, NULL), SOMA_INSERTED);
    EXPECT(soma__dir_shrink_start(&map->core.dir, 1, 4));
    step_to(map, DIR_UNLINK);

    soma_read_enter();
    EXPECT_EQ(soma_u64_remove(map, apart, NULL), SOMA_REMOVED);
    freeze_only(map, HASH_BEFORE);
    EXPECT(!step(map));
    EXPECT_EQ(dir_phase(soma__dir_state(&map->core.dir)), DIR_UNLINK);
    EXPECT_EQ(soma_u64_get(map, before, NULL), SOMA_ABSENT);
    EXPECT_EQ(soma_u64_get(map, behind, NULL), SOMA_OK);
    EXPECT_EQ(soma_u64_put(map, before, 4, NULL), SOMA_E_LIMIT);
    soma_read_exit();

    soma_barrier_wait();
    step_to(map, DIR_STEADY);
    EXPECT_EQ(soma_u64_put(map, before, 4, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_u64_get(map, behind, NULL), SOMA_OK);
    EXPECT_EQ(soma_u64_get(map, apart, NULL), SOMA_ABSENT);
    soma_u64_free(map);
    verified(1);
}

#if HAVE_CAS16

/* The same where the walk past the sentinel succeeds, and emptying the bucket's homes meets the deleted entry. */
static void homes_wait_for_room(const void *unused)
{
    (void)unused;
    soma_u64 *map = map_of(&(struct soma_u64_options){.deferred_bytes_max = VALUE_BYTES, .value_retire = ignore_value});
    const uint64_t first = key_of(map, HASH_BEHIND);
    const uint64_t second = key_of(map, HASH_BEHIND + 1);
    const uint64_t apart = key_of(map, HASH_APART);
    EXPECT_EQ(soma_u64_reserve(map, dir_entries(&map->core.dir, FIRST_LOG2 + 1)), SOMA_OK);
    soma__dir_unreserve(&map->core.dir);
    EXPECT_EQ(soma_u64_put(map, first, 1, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_u64_put(map, second, 2, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_u64_put(map, apart, 3, NULL), SOMA_INSERTED);
    EXPECT(soma__dir_shrink_start(&map->core.dir, 1, 4));
    step_to(map, DIR_UNLINK);

    soma_read_enter();
    EXPECT_EQ(soma_u64_remove(map, apart, NULL), SOMA_REMOVED);
    freeze_only(map, HASH_BEHIND + 1);
    EXPECT(!step(map));
    EXPECT_EQ(dir_phase(soma__dir_state(&map->core.dir)), DIR_UNLINK);
    EXPECT_EQ(soma_u64_get(map, first, NULL), SOMA_OK);
    EXPECT_EQ(soma_u64_get(map, second, NULL), SOMA_ABSENT);
    soma_read_exit();

    soma_barrier_wait();
    step_to(map, DIR_STEADY);
    EXPECT_EQ(soma_u64_get(map, first, NULL), SOMA_OK);
    EXPECT_EQ(soma_u64_put(map, second, 4, NULL), SOMA_INSERTED);
    soma_u64_free(map);
    verified(1);
}

/* ---- Entries that nobody has settled ---- */

static void count_value(uint64_t value, void *ctx)
{
    (void)value;
    ++*(unsigned *)ctx;
}

/* As the child of a fork finds an entry whose thread, now in the parent only, has linked it and not come further. */
static void unsettle(soma_u64 *map, uint64_t hash)
{
    const struct soma__section section = soma__section_enter();
    struct soma__place place = {.prev = soma__dir_bucket(&map->core.dir, WORD_CELL_LOG2, section.self, hash)};
    EXPECT_EQ(soma__dir_walk(&map->core.dir, WORD_CELL_LOG2, section.self, hash, NULL, soma__before_hash, &place),
              SOMA_OK);
    struct soma__node *node = soma__edge_node(place.word);
    EXPECT(soma__is_home(&map->core.dir, node));
    uint64_t edge = soma__edge_read(&node->edge);
    EXPECT(soma__edge_swap(&node->edge, &edge, edge | EDGE_TENTATIVE));
    soma__section_exit(section);
}

/* One more level of buckets, and two entries in its first that are not settled. */
static soma_u64 *map_with_unsettled(unsigned *retired)
{
    soma_u64 *map = map_of(&(struct soma_u64_options){.value_retire = count_value, .ctx = retired});
    EXPECT_EQ(soma_u64_reserve(map, dir_entries(&map->core.dir, FIRST_LOG2 + 1)), SOMA_OK);
    soma__dir_unreserve(&map->core.dir);
    EXPECT_EQ(soma_u64_put(map, key_of(map, HASH_BEHIND), 2, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_u64_put(map, key_of(map, HASH_BEHIND + 1), 3, NULL), SOMA_INSERTED);
    unsettle(map, HASH_BEHIND + 1); /* from behind: the walk to it settles those before it */
    unsettle(map, HASH_BEHIND);
    return map;
}

/* They are there, updates find them, they go when they are removed, cleared, or left in the map, and their values are told
 * once; and they move out of a bucket that goes, the one that the walk past the bucket settles and the other. */
static void unsettled(const void *unused)
{
    (void)unused;
    unsigned retired = 0;
    soma_u64 *map = map_with_unsettled(&retired);
    const uint64_t key = key_of(map, HASH_BEHIND);
    EXPECT_EQ(soma_u64_get(map, key, NULL), SOMA_OK);
    EXPECT_EQ(soma_u64_put_new(map, key, 3, NULL), SOMA_EXISTS);
    unsettle(map, HASH_BEHIND);
    EXPECT_EQ(soma_u64_remove(map, key, NULL), SOMA_REMOVED);
    soma_u64_free(map);
    soma_barrier_wait();
    EXPECT_EQ(retired, 2);

    map = map_with_unsettled(&retired);
    EXPECT_EQ(soma_u64_clear(map), SOMA_OK);
    soma_u64_free(map);
    soma_barrier_wait();
    EXPECT_EQ(retired, 4);

    map = map_with_unsettled(&retired);
    soma_u64_free(map);
    EXPECT_EQ(retired, 6);

    map = map_with_unsettled(&retired);
    EXPECT_EQ(soma_u64_shrink(map), SOMA_OK);
    EXPECT_EQ(dir_m(soma__dir_state(&map->core.dir)), FIRST_LOG2);
    EXPECT_EQ(soma_u64_get(map, key_of(map, HASH_BEHIND), NULL), SOMA_OK);
    EXPECT_EQ(soma_u64_get(map, key_of(map, HASH_BEHIND + 1), NULL), SOMA_OK);
    EXPECT_EQ(retired, 6);
    soma_u64_free(map);
    EXPECT_EQ(retired, 8);
    verified(4);
}

/* A home that was claimed by a thread that the fork left behind: the level goes all the same. */
static void claimed_for_good(const void *unused)
{
    (void)unused;
    soma_u64 *map = map_of(NULL);
    EXPECT_EQ(soma_u64_reserve(map, dir_entries(&map->core.dir, FIRST_LOG2 + 1)), SOMA_OK);
    soma__dir_unreserve(&map->core.dir);
    const struct soma__section section = soma__section_enter();
    struct soma__node *node = soma__word_new(&map->core.dir, HASH_BEHIND);
    EXPECT(soma__is_home(&map->core.dir, node));
    soma__word_fill(&map->core.dir, node, 7, EDGE_END);
    soma__section_exit(section);
    EXPECT_EQ(soma_u64_get(map, key_of(map, HASH_BEHIND), NULL), SOMA_ABSENT);
    EXPECT_EQ(soma_u64_shrink(map), SOMA_OK);
    EXPECT_EQ(dir_m(soma__dir_state(&map->core.dir)), FIRST_LOG2);
    EXPECT_EQ(soma_u64_get(map, key_of(map, HASH_BEHIND), NULL), SOMA_ABSENT);
    soma_u64_free(map);
    verified(1);
}

#endif

/* ---- Grace periods ---- */

/* A key that comes and goes: the count toggles, but grace periods start only now and then. */
static void periods_are_rare(const void *unused)
{
    (void)unused;
    soma_u64 *map = map_of(NULL);
    const uint64_t before = soma__grace_cookie();
    const uint64_t pairs = 10000;
    for (uint64_t i = 0; i < pairs; i++) {
        EXPECT_EQ(soma_u64_put(map, 1, i, NULL), SOMA_INSERTED);
        EXPECT_EQ(soma_u64_remove(map, 1, NULL), SOMA_REMOVED);
    }
    EXPECT(soma__grace_cookie() - before < pairs / 10);
    soma_u64_free(map);
    verified(pairs);
}

/* The state word keeps what it is given, for as many grace periods as there will be in years. */
static void state_keeps_all(const void *unused)
{
    (void)unused;
    const uint64_t cookie = (UINT64_C(1) << 49) - 1;
    const uint64_t state = dir_state(61, 62, DIR_RELEASE, cookie);
    EXPECT_EQ(dir_m(state), 61);
    EXPECT_EQ(dir_going(state), 62);
    EXPECT_EQ(dir_phase(state), DIR_RELEASE);
    EXPECT_EQ(dir_cookie(state), cookie);
    verified(1);
}

/* Pages that the system does not take back: the level goes, comes back and works all the same. */
static void locked_memory(const void *unused)
{
    (void)unused;
    soma_u64 *map = map_of(NULL);
    const struct soma__dir *dir = &map->core.dir;
    EXPECT_EQ(soma_u64_reserve(map, 4096), SOMA_OK);
    const unsigned m = dir_m(soma__dir_state(dir));
    char *from = soma__page_up((char *)soma__dir_bucket_at(dir, (uint64_t)1 << FIRST_LOG2));
    char *to = soma__page_down((char *)soma__dir_bucket_at(dir, (uint64_t)1 << m));
    for (uint64_t key = 0; key < 4096; key++)
        EXPECT_EQ(soma_u64_put(map, key, key, NULL), SOMA_INSERTED);
    const bool locked = mlock(from, (size_t)(to - from)) == 0;
    EXPECT_EQ(soma_u64_clear(map), SOMA_OK);
    EXPECT_EQ(soma_u64_shrink(map), SOMA_OK);
    EXPECT_EQ(dir_m(soma__dir_state(dir)), FIRST_LOG2);
    for (const char *byte = from; byte < to; byte++)
        EXPECT(*byte == 0);
    EXPECT_EQ(soma_u64_reserve(map, 4096), SOMA_OK);
    for (uint64_t key = 0; key < 4096; key++)
        EXPECT_EQ(soma_u64_put(map, key, key, NULL), SOMA_INSERTED);
    soma_u64_free(map);
    verified(locked);
}

/* ---- A fork while the claim is taken, and stays taken ---- */

/* Whether a map, retired memory and barriers work in the child. */
static bool child_works(void)
{
    soma_u64 *map = NULL;
    if (soma_u64_new(NULL, &map) != SOMA_OK || soma_u64_put(map, 1, 2, NULL) != SOMA_INSERTED ||
        soma_u64_remove(map, 1, NULL) != SOMA_REMOVED)
        return false;
    soma_u64_free(map);
    soma_barrier_wait();
    return true;
}

/* As a fork in a signal handler that has interrupted the holder: it goes on without the claim, and the parent's claim is
 * still the holder's. */
static void fork_without_claim(const void *unused)
{
    (void)unused;
    EXPECT(soma__claim_try());
    const pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0)
        _exit(child_works() ? 0 : 1);
    EXPECT(!soma__claim_try());
    soma__claim_drop();
    int status = -1;
    EXPECT(waitpid(child, &status, 0) == child);
    EXPECT_EQ(status, 0);
    EXPECT(child_works());
    verified(1);
}

/* ---- Room at the cap that others take each time ---- */

/* More than any update tries. */
#define TURNS_MAX 1000

struct thief {
    soma_u64 *map;
    sem_t turn;
    sem_t done;
    int turns; /* at which it has taken the room */
    bool over;
};

/* Fills the cap whenever it is its turn. */
static void take_room(unsigned index, void *arg)
{
    struct thief *thief = arg;
    (void)index;
    for (;;) {
        while (sem_wait(&thief->turn) != 0) {
        }
        if (thief->over)
            return;
        EXPECT_EQ(soma_u64_put(thief->map, 2, 2, NULL), SOMA_INSERTED);
        EXPECT_EQ(soma_u64_remove(thief->map, 2, NULL), SOMA_REMOVED);
        sem_post(&thief->done);
    }
}

/* Decides to remove, for which there would have been room until a moment ago. */
static enum soma_status decide_late(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    struct thief *thief = ctx;
    (void)key, (void)value;
    EXPECT(present);
    if (++thief->turns > TURNS_MAX)
        return SOMA_EXISTS;
    sem_post(&thief->turn);
    while (sem_wait(&thief->done) != 0) {
    }
    return SOMA_REMOVED;
}

/* An update that finds room at the cap again and again, and never gets it: it gives up with a status after some tries,
 * and changes nothing. */
static void cap_gives_up(const void *unused)
{
    (void)unused;
    struct thief thief = {
        .map = map_of(&(struct soma_u64_options){.deferred_bytes_max = VALUE_BYTES, .value_retire = ignore_value})};
    struct crew crew;
    sem_init(&thief.turn, 0, 0);
    sem_init(&thief.done, 0, 0);
    EXPECT_EQ(soma_u64_put(thief.map, 1, 1, NULL), SOMA_INSERTED);
    crew_start(&crew, 1, take_room, &thief);
    EXPECT_EQ(soma_u64_update(thief.map, 1, decide_late, &thief), SOMA_E_LIMIT);
    EXPECT(thief.turns > 1);
    thief.over = true;
    sem_post(&thief.turn);
    crew_join(&crew);
    EXPECT_EQ(soma_u64_get(thief.map, 1, NULL), SOMA_OK);
    EXPECT_EQ(soma_u64_remove(thief.map, 1, NULL), SOMA_REMOVED);
    soma_u64_free(thief.map);
    verified((uint64_t)thief.turns);
}

/* ---- Many puts at a cap that lets go again ---- */

#define PUTS 64

/* Every put retires what it replaces, and the cap has room for few: nothing is lost or left out. */
static void many_puts_at_cap(const void *unused)
{
    (void)unused;
    soma_u64 *words = map_of(&(struct soma_u64_options){.deferred_bytes_max = 64, .value_retire = ignore_value});
    soma_map *bytes = NULL;
    uint64_t keys[PUTS];
    uint64_t values[PUTS];
    struct soma_bytes byte_keys[PUTS];
    EXPECT_EQ(soma_map_new(&(struct soma_map_options){.deferred_bytes_max = 200}, &bytes), SOMA_OK);
    for (uint64_t i = 0; i < PUTS; i++) {
        keys[i] = i;
        byte_keys[i] = (struct soma_bytes){.data = &keys[i], .len = sizeof keys[i]};
    }
    for (uint64_t round = 1; round < 10; round++) {
        size_t done = 0;
        for (uint64_t i = 0; i < PUTS; i++)
            values[i] = i * round;
        EXPECT_EQ(soma_u64_put_many(words, keys, values, PUTS, &done), SOMA_OK);
        EXPECT_EQ(done, PUTS);
        EXPECT_EQ(soma_map_put_many(bytes, byte_keys, byte_keys, PUTS, &done), SOMA_OK);
        EXPECT_EQ(done, PUTS);
        for (uint64_t i = 0; i < PUTS; i++) {
            uint64_t value = 0;
            EXPECT_EQ(soma_u64_get(words, i, &value), SOMA_OK);
            EXPECT_EQ(value, i * round);
            EXPECT_EQ(soma_map_get_copy(bytes, &i, sizeof i, &value, sizeof value, NULL), SOMA_OK);
            EXPECT_EQ(value, i);
        }
        verified(PUTS);
    }
    soma_u64_free(words);
    soma_map_free(bytes);
    soma_barrier_wait();
}

/* ---- Arguments at the edge ---- */

static void leave_unentered(unsigned index, void *arg)
{
    (void)index, (void)arg;
    soma_read_exit(); /* a thread without a record */
    soma_read_enter();
    soma_read_exit();
    soma_read_exit(); /* and with one */
}

/* Mistakes are answered, whatever the thread has done before, and leave it as it was. */
static void mistakes(const void *unused)
{
    (void)unused;
    soma_u64 *words = map_of(NULL);
    soma_map *bytes = NULL;
    const uint64_t word = 1;
    const struct soma_bytes key = {.data = &word, .len = sizeof word};
    size_t done = 1;
    EXPECT_EQ(soma_map_new(NULL, &bytes), SOMA_OK);
    EXPECT_EQ(soma_u64_put(words, word, word, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_u64_get(NULL, word, NULL), SOMA_E_INVALID);
    EXPECT_EQ(soma_u64_get_many(words, &word, SIZE_MAX, NULL, NULL), 0);
    EXPECT_EQ(soma_u64_put_many(words, &word, &word, SIZE_MAX, NULL), SOMA_E_INVALID);
    EXPECT_EQ(soma_map_get_many(bytes, &key, SIZE_MAX, NULL, NULL), 0);
    EXPECT_EQ(soma_map_put_many(bytes, &key, &key, SIZE_MAX, &done), SOMA_E_INVALID);
    EXPECT_EQ(done, 1);
    crew_run(1, leave_unentered, NULL);
    soma_read_exit();
    EXPECT_EQ(soma_u64_remove(words, word, NULL), SOMA_REMOVED);
    soma_u64_free(words);
    soma_map_free(bytes);
    soma_barrier_wait(); /* would end at once if a section were open */
    verified(8);
}

/* A seed of which one half is 0 is a seed: two maps hash alike. */
static void half_seeds(const void *unused)
{
    (void)unused;
    for (int half = 0; half < 2; half++) {
        const uint64_t seed[2] = {half == 0, half == 1};
        soma_u64 *words[2];
        soma_map *bytes[2];
        for (int i = 0; i < 2; i++) {
            words[i] = map_of(&(struct soma_u64_options){.seed = {seed[0], seed[1]}});
            EXPECT_EQ(soma_map_new(&(struct soma_map_options){.seed = {seed[0], seed[1]}}, &bytes[i]), SOMA_OK);
        }
        EXPECT_EQ(key_of(words[0], 12345), key_of(words[1], 12345));
        for (int i = 0; i < 2; i++) {
            EXPECT(bytes[i]->core.hash.sip.key[0] == seed[0] && bytes[i]->core.hash.sip.key[1] == seed[1]);
            soma_u64_free(words[i]);
            soma_map_free(bytes[i]);
        }
        verified(2);
    }
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"full-table", full_table, NULL},
        {"full-copy", full_copy, NULL},
        {"level-waits-for-room", level_waits_for_room, NULL},
#if HAVE_CAS16
        {"homes-wait-for-room", homes_wait_for_room, NULL},
        {"unsettled", unsettled, NULL},
        {"claimed-for-good", claimed_for_good, NULL},
#endif

        {"periods-are-rare", periods_are_rare, NULL},
        {"state-keeps-all", state_keeps_all, NULL},
        {"locked-memory", locked_memory, NULL},
        {"fork-without-claim", fork_without_claim, NULL},
        {"cap-gives-up", cap_gives_up, NULL},
        {"many-puts-at-cap", many_puts_at_cap, NULL},
        {"mistakes", mistakes, NULL},
        {"half-seeds", half_seeds, NULL},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
