/* SPDX-License-Identifier: ISC */
/* stripes.c - what many processors do not meet in: the stripes that a large map gets, and the runs of buckets that growth is
 * claimed in. The number of processors is made up. */
#include <unistd.h>

#include <soma/digest.h>
#include <soma/soma.h>
#include <soma/stats.h>
#include <soma/view.h>

#include "dir/dir.h"
#include "map/map_internal.h"
#include "map/word.h"
#include "support.h"

static long processors = 64;

__attribute__((used)) long __wrap_sysconf(int name);
long __real_sysconf(int name);

long __wrap_sysconf(int name)
{
    return name == _SC_NPROCESSORS_ONLN ? processors : __real_sysconf(name);
}

static soma_u64 *map_of(uint64_t reserve)
{
    soma_u64 *map = NULL;
    EXPECT_EQ(soma_u64_new(&(struct soma_u64_options){.reserve = reserve, .flags = SOMA_DIGEST}, &map), SOMA_OK);
    return map;
}

static uint64_t room(const soma_u64 *map, unsigned buckets_log2)
{
    return dir_entries(&map->core.dir, buckets_log2);
}

/* How many stripes the map has beside those in its first page. */
static uint64_t wide(const soma_u64 *map)
{
    const uint64_t counting = core_counting(&map->core);
    const struct stripe *stripes = core_stripes_wide(&map->core, counting);
    EXPECT_EQ((uintptr_t)stripes % DIR_PAGE, 0);
    EXPECT_EQ(core_wide_bytes(&map->core), stripes ? core_stripes_of(counting) * APART : 0);
    return stripes ? core_stripes_of(counting) : 0;
}

/* ---- Stripes ---- */

struct machine {
    long processors;
    uint64_t stripes;
};

static const struct machine machines[] = {{-1, 0}, {2, 0}, {8, 0}, {9, 16}, {64, 64}, {100, 128}, {1000, 128}};

/* As many as processors, a power of two, but neither few nor too many. */
static void as_many_as_processors(const void *unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        processors = machines[i].processors;
        soma_u64 *map = map_of(0);
        const uint64_t large = room(map, CORE_WIDE_LOG2);
        EXPECT_EQ(soma_u64_reserve(map, large / 2), SOMA_OK);
        EXPECT_EQ(wide(map), 0);
        EXPECT_EQ(soma_u64_reserve(map, large), SOMA_OK);
        EXPECT_EQ(wide(map), machines[i].stripes);
        soma_u64_free(map);
        map = map_of(large);
        EXPECT_EQ(wide(map), machines[i].stripes);
        struct soma_stats stats = {.struct_size = sizeof stats};
        EXPECT_EQ(soma_u64_stats(map, &stats), SOMA_OK);
        EXPECT_EQ(stats.table_bytes,
                  dir_header_bytes(WORD_CELL_LOG2) + (stats.buckets << WORD_CELL_LOG2) + machines[i].stripes * APART);
        soma_u64_free(map);
        verified(2);
    }
    processors = 64;
}

static void check_sums(soma_u64 *map, uint64_t count)
{
    struct soma_digest summed;
    struct soma_digest seen;
    soma_view *view = NULL;
    EXPECT_EQ(soma_u64_view_open(map, &view), SOMA_OK);
    EXPECT_EQ(soma_view_digest(view, &seen), SOMA_OK);
    EXPECT_EQ(soma_u64_digest(map, &summed), SOMA_OK);
    EXPECT(soma_digest_equal(&summed, &seen));
    EXPECT_EQ(summed.count, count);
    EXPECT_EQ(soma_u64_count_approx(map), count);
    soma_view_close(view);
}

/* Some entries are counted before there are more stripes, and some after; then those go that were counted before. */
static void summed_up(const void *unused)
{
    (void)unused;
    soma_u64 *map = map_of(0);
    uint64_t n = 0;
    while (wide(map) == 0 && EXPECT(n < 100000))
        EXPECT_EQ(soma_u64_put(map, n++, 1, NULL), SOMA_INSERTED);
    EXPECT(dir_m(soma__dir_state(&map->core.dir)) == CORE_WIDE_LOG2);
    check_sums(map, n);
    for (uint64_t key = n; key < 2 * n; key++)
        EXPECT_EQ(soma_u64_put(map, key, 1, NULL), SOMA_INSERTED);
    check_sums(map, 2 * n);
    for (uint64_t key = 0; key < n; key++)
        EXPECT_EQ(soma_u64_remove(map, key, NULL), SOMA_REMOVED);
    check_sums(map, n);
    soma_u64_free(map);
    verified(n);
}

#define THREADS 16
#define EACH 4000

static pthread_barrier_t all_here;

/* Nobody ends before all have begun: records are used again. */
static void insert_some(unsigned thread, void *arg)
{
    soma_u64 *map = arg;
    soma_read_enter();
    soma_read_exit();
    pthread_barrier_wait(&all_here);
    for (uint64_t i = 0; i < EACH; i++) {
        EXPECT_EQ(soma_u64_put(map, i * THREADS + thread, i, NULL), SOMA_INSERTED);
        if (i % 4 == 3)
            EXPECT_EQ(soma_u64_remove(map, (i - 1) * THREADS + thread, NULL), SOMA_REMOVED);
    }
}

/* Threads that go on while the map gets more stripes; afterwards each counts in its own. */
static void threads_apart(const void *unused)
{
    (void)unused;
    soma_u64 *map = map_of(0);
    pthread_barrier_init(&all_here, NULL, THREADS);
    crew_run(THREADS, insert_some, map);
    pthread_barrier_destroy(&all_here);
    check_sums(map, THREADS * EACH * 3 / 4);
    EXPECT_EQ(wide(map), 64);
    const struct stripe *stripes = core_stripes_wide(&map->core, core_counting(&map->core));
    uint64_t used = 0;
    for (unsigned i = 0; i < 64; i++)
        used += atom_load_rlx(&stripes[i].count) != 0;
    EXPECT(used > CORE_STRIPES);
    soma_u64_free(map);
    verified(used);
}

/* ---- Turns ---- */

/* Counts in an empty map, as a thread with this number. */
static void counted(soma_u64 *map, uint64_t index)
{
    const struct soma__section section = soma__section_enter();
    struct soma__reader self = *section.self;
    self.index = index;
    core_counted(&map->core, &self, 1);
    soma__section_exit(section);
}

/* How many changes of one stripe come before it looks at the size of a table of 2^m buckets, which it then lets grow. */
static uint64_t changes_to_look(unsigned m)
{
    soma_u64 *map = map_of(0);
    EXPECT_EQ(soma_u64_reserve(map, room(map, m)), SOMA_OK);
    atom_add_rlx(&map->core.stripes[0].count, room(map, m) + 1);
    uint64_t changes = 0;
    while (dir_m(soma__dir_state(&map->core.dir)) == m && changes < 100000) {
        counted(map, 0);
        changes++;
    }
    soma_u64_free(map);
    return changes;
}

/* With eight times the stripes, one of them looks at the table's size an eighth as often; more often in tables that all
 * stripes would fill meanwhile. */
static void turns_rarer(const void *unused)
{
    (void)unused;
    EXPECT_EQ(changes_to_look(CORE_WIDE_LOG2 + 2), 64 * CORE_HELP_PERIOD);
    EXPECT_EQ(changes_to_look(CORE_WIDE_LOG2 + 1), 32 * CORE_HELP_PERIOD);
    EXPECT_EQ(changes_to_look(CORE_WIDE_LOG2), 16 * CORE_HELP_PERIOD);
    verified(3);
}

struct crowd {
    long processors;
    uint64_t threads;
};

static const struct crowd crowds[] = {{64, 64},  {64, 32},  {64, 8},   {64, 1},  {128, 128},
                                      {128, 96}, {128, 64}, {128, 32}, {128, 4}, {128, 1}};

/* Threads that insert side by side do not all look at once, and never for long, though other stripes stand still: the table
 * grows in time. */
static void turns_apart(const void *unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof crowds / sizeof *crowds; i++) {
        processors = crowds[i].processors;
        soma_u64 *map = map_of(0);
        EXPECT_EQ(soma_u64_reserve(map, room(map, CORE_WIDE_LOG2)), SOMA_OK);
        const uint64_t many = 20 * room(map, CORE_WIDE_LOG2);
        for (uint64_t n = 1; n <= many; n++) {
            counted(map, n % crowds[i].threads);
            const uint64_t fits = room(map, dir_m(soma__dir_state(&map->core.dir)));
            EXPECT(n <= fits + fits / 4);
        }
        soma_u64_free(map);
        verified(many);
    }
    processors = 64;
}

/* ---- Runs ---- */

static void help(soma_u64 *map, struct atom *run)
{
    const struct soma__section section = soma__section_enter();
    soma__dir_help(&map->core.dir, section.self, run);
    soma__section_exit(section);
}

static uint64_t cursor_of(const soma_u64 *map)
{
    return atom_load_rlx(&map->core.dir.cursor);
}

static uint64_t not_set_up(const soma_u64 *map, uint64_t end)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < end; i++)
        n += !soma__edge_starts(soma__edge_read(soma__dir_bucket_at(&map->core.dir, i)));
    return n;
}

#define RUN_TABLE_LOG2 17 /* a run is 4 blocks of 64 */
#define RUN 256
#define BLOCK 64

/* Two stripes set all of a table up; the cursor moves once for a run. */
static void runs_of_blocks(const void *unused)
{
    (void)unused;
    soma_u64 *map = map_of(0);
    EXPECT_EQ(soma_u64_reserve(map, room(map, RUN_TABLE_LOG2)), SOMA_OK);
    const uint64_t end = UINT64_C(1) << RUN_TABLE_LOG2;
    struct atom runs[2] = {{0}, {0}};
    uint64_t claims = 0;
    uint64_t helps = 0;
    for (; helps < end / BLOCK; helps++) {
        const uint64_t before = cursor_of(map);
        help(map, &runs[helps % 2]);
        claims += cursor_of(map) != before;
    }
    EXPECT_EQ(claims, end / RUN);
    EXPECT_EQ(not_set_up(map, end), 0);
    soma_u64_free(map);
    verified(helps);
}

#define HUGE_LOG2 21
#define RUN_LONGEST 1024

/* However large a table is, a run is no longer than this. */
static void longest_run(const void *unused)
{
    (void)unused;
    soma_u64 *map = map_of(0);
    EXPECT_EQ(soma_u64_reserve(map, room(map, HUGE_LOG2)), SOMA_OK);
    struct atom run = {0};
    help(map, &run);
    EXPECT_EQ(cursor_of(map), RUN_LONGEST);
    for (unsigned i = 1; i < RUN_LONGEST / BLOCK; i++)
        help(map, &run);
    EXPECT_EQ(cursor_of(map), RUN_LONGEST);
    EXPECT_EQ(not_set_up(map, RUN_LONGEST), 0);
    help(map, &run);
    EXPECT_EQ(cursor_of(map), 2 * RUN_LONGEST);
    soma_u64_free(map);
    verified(3);
}

/* What is left of a run in a level that has gone is not touched, and the next help begins a new one. */
static void run_of_level_gone(const void *unused)
{
    (void)unused;
    soma_u64 *map = map_of(0);
    const uint64_t first = UINT64_C(1) << (RUN_TABLE_LOG2 - 1);
    EXPECT_EQ(soma_u64_reserve(map, room(map, RUN_TABLE_LOG2)), SOMA_OK);
    struct atom run = {0};
    struct atom late = {0};
    while (cursor_of(map) < first)
        help(map, &run);
    for (unsigned i = 1; i < RUN / BLOCK; i++)
        help(map, &run);
    help(map, &late); /* its first block is the first of the upper half */
    EXPECT_EQ(cursor_of(map), first + RUN);
    EXPECT_EQ(not_set_up(map, first + BLOCK), 0);
    EXPECT_EQ(soma_u64_shrink(map), SOMA_OK);
    const uint64_t buckets = UINT64_C(1) << dir_m(soma__dir_state(&map->core.dir));
    EXPECT(buckets <= first);
    help(map, &late);
    EXPECT_EQ(soma__edge_read(soma__dir_bucket_at(&map->core.dir, first + BLOCK)), 0);
    EXPECT_EQ(soma_u64_reserve(map, room(map, RUN_TABLE_LOG2)), SOMA_OK);
    for (uint64_t i = 0; i < 3 * first / BLOCK; i++)
        help(map, i % 2 ? &late : &run);
    EXPECT_EQ(not_set_up(map, 2 * first), 0);
    soma_u64_free(map);
    verified(4);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"as-many-as-processors", as_many_as_processors, NULL},
        {"summed-up", summed_up, NULL},
        {"threads-apart", threads_apart, NULL},
        {"turns-rarer", turns_rarer, NULL},
        {"turns-apart", turns_apart, NULL},
        {"runs-of-blocks", runs_of_blocks, NULL},
        {"longest-run", longest_run, NULL},
        {"run-of-level-gone", run_of_level_gone, NULL},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
