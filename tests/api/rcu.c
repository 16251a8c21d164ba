/* SPDX-License-Identifier: ISC */
/* rcu.c - read sections, deferred calls and statuses, from one thread; reclaim/ has the threads. */
#include <criterion/criterion.h>

#include <string.h>

#include <soma/soma.h>

Test(status, has_a_text_for_each)
{
    const int known[] = {SOMA_OK,      SOMA_INSERTED, SOMA_REPLACED,  SOMA_REMOVED, SOMA_ABSENT,
                         SOMA_EXISTS,  SOMA_CHANGED,  SOMA_END,       SOMA_E_NOMEM, SOMA_E_INVALID,
                         SOMA_E_LIMIT, SOMA_E_FROZEN, SOMA_E_CORRUPT, SOMA_E_IO,    SOMA_E_UNSUPPORTED};
    const size_t count = sizeof known / sizeof known[0];
    for (size_t i = 0; i < count; i++) {
        const char *one = soma_status_text((enum soma_status)known[i]);
        cr_assert_not_null(one);
        cr_assert_gt(strlen(one), 0);
        cr_assert_null(strchr(one, '\n'));
        for (size_t j = 0; j < i; j++)
            cr_assert_str_neq(one, soma_status_text((enum soma_status)known[j]));
    }
}

Test(status, says_so_if_it_is_unknown)
{
    const int unknown[] = {8, 9, 1000, -8, -1000, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        const char *one = soma_status_text((enum soma_status)unknown[i]);
        cr_assert_not_null(one);
        cr_assert_not_null(strstr(one, "unknown"));
    }
}

Test(status, answers_and_errors_have_their_signs)
{
    cr_assert(SOMA_OK == 0 && SOMA_INSERTED == 1 && SOMA_REPLACED == 2 && SOMA_REMOVED == 3);
    cr_assert(SOMA_ABSENT == 4 && SOMA_EXISTS == 5 && SOMA_CHANGED == 6 && SOMA_END == 7);
    cr_assert(SOMA_E_NOMEM == -1 && SOMA_E_INVALID == -2 && SOMA_E_LIMIT == -3 && SOMA_E_FROZEN == -4);
    cr_assert(SOMA_E_CORRUPT == -5 && SOMA_E_IO == -6 && SOMA_E_UNSUPPORTED == -7);
}

static void count_up(void *arg)
{
    ++*(int *)arg;
}

Test(retire, refuses_no_function)
{
    int count = 0;
    cr_assert_eq(soma_retire(NULL, &count), SOMA_E_INVALID);
    soma_barrier_wait();
    cr_assert_eq(count, 0);
}

Test(retire, runs_each_once)
{
    enum {
        CALLS = 10000
    };
    static int counts[CALLS];
    for (int i = 0; i < CALLS; i++)
        cr_assert_eq(soma_retire(count_up, &counts[i]), SOMA_OK);
    soma_barrier_wait();
    for (int i = 0; i < CALLS; i++)
        cr_assert_eq(counts[i], 1);
    soma_barrier_wait();
    for (int i = 0; i < CALLS; i++)
        cr_assert_eq(counts[i], 1);
}

Test(retire, never_runs_inside_the_section)
{
    enum {
        CALLS = 5000
    };
    static int count;
    soma_read_enter();
    for (int i = 0; i < CALLS; i++) {
        soma_read_enter();
        cr_assert_eq(soma_retire(count_up, &count), SOMA_OK);
        soma_read_exit();
        cr_assert_eq(count, 0);
    }
    soma_synchronize_wait(); /* inside a section: both return at once */
    soma_barrier_wait();
    cr_assert_eq(count, 0);
    soma_read_exit();
    soma_barrier_wait();
    cr_assert_eq(count, CALLS);
}

static void retire_again(void *arg)
{
    int *left = arg;
    soma_barrier_wait(); /* in a retired call: returns at once */
    if (--*left > 0)
        cr_assert_eq(soma_retire(retire_again, arg), SOMA_OK);
}

Test(retire, may_retire_again)
{
    int left = 10;
    cr_assert_eq(soma_retire(retire_again, &left), SOMA_OK);
    for (int i = 0; i < 10; i++)
        soma_barrier_wait();
    cr_assert_eq(left, 0);
}

Test(synchronize, returns_without_readers)
{
    for (int i = 0; i < 20; i++)
        soma_synchronize_wait();
}

/* ---- value_retire ---- */

enum {
    VALUES = 40000
};
static int retired[VALUES];
static soma_u64 *other_map;

static void note_word(uint64_t value, void *ctx)
{
    cr_assert_eq(ctx, retired);
    cr_assert_lt(value, VALUES);
    retired[value]++;
    cr_assert_geq(soma_u64_put(other_map, value, 1, NULL), 0, "may use other maps");
}

static void note_bytes(const void *value, size_t len, void *ctx)
{
    uint64_t word = VALUES;
    cr_assert_eq(len, sizeof word);
    memcpy(&word, value, sizeof word);
    note_word(word, ctx);
}

static void expect_retired(uint64_t from, uint64_t to, int times)
{
    for (uint64_t value = from; value < to; value++)
        cr_assert_eq(retired[value], times, "value %d was retired %d times", (int)value, retired[value]);
}

static enum soma_status answer_next(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    (void)key, (void)present;
    *value = *(const uint64_t *)ctx;
    return SOMA_OK;
}

static enum soma_status answer_removed(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    (void)key, (void)present, (void)value, (void)ctx;
    return SOMA_REMOVED;
}

/* Each verb that lets a value go, once, on key 1; values go up from `next`. */
static uint64_t let_go_in_every_way(soma_u64 *map, uint64_t next)
{
    const uint64_t key = 1;
    const uint64_t delta = 1;
    cr_assert_eq(soma_u64_put(map, key, next, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_u64_put(map, key, next + 1, NULL), SOMA_REPLACED);
    cr_assert_eq(soma_u64_replace(map, key, next + 2, NULL), SOMA_REPLACED);
    cr_assert_eq(soma_u64_cas(map, key, next + 2, next + 3, NULL), SOMA_REPLACED);
    cr_assert_eq(soma_u64_fetch_add(map, key, delta, NULL), SOMA_REPLACED);
    uint64_t stored = next + 5;
    cr_assert_eq(soma_u64_update(map, key, answer_next, &stored), SOMA_REPLACED);
    stored = next + 6;
    cr_assert_eq(soma_u64_put_many(map, &key, &stored, 1, NULL), SOMA_OK);
    cr_assert_eq(soma_u64_remove(map, key, NULL), SOMA_REMOVED);
    cr_assert_eq(soma_u64_put_new(map, key, next + 7, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_u64_remove_if(map, key, next + 7, NULL), SOMA_REMOVED);
    cr_assert_eq(soma_u64_put(map, key, next + 8, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_u64_update(map, key, answer_removed, NULL), SOMA_REMOVED);
    cr_assert_eq(soma_u64_put(map, key, next + 9, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_u64_clear(map), SOMA_OK);
    return next + 10;
}

/* Each verb that fails or leaves things alone: no value goes. */
static void let_nothing_go(soma_u64 *map, uint64_t key, uint64_t value)
{
    cr_assert_eq(soma_u64_put_new(map, key, 0, NULL), SOMA_EXISTS);
    cr_assert_eq(soma_u64_cas(map, key, value + 1, 0, NULL), SOMA_CHANGED);
    cr_assert_eq(soma_u64_remove_if(map, key, value + 1, NULL), SOMA_CHANGED);
    cr_assert_eq(soma_u64_replace(map, key + 1000000, 0, NULL), SOMA_ABSENT);
    cr_assert_eq(soma_u64_remove(map, key + 1000000, NULL), SOMA_ABSENT);
}

Test(value_retire, gets_each_word_once)
{
    const struct soma_u64_options options = {.value_retire = note_word, .ctx = retired};
    soma_u64 *map = NULL;
    uint64_t next = 0;
    cr_assert_eq(soma_u64_new(NULL, &other_map), SOMA_OK);
    cr_assert_eq(soma_u64_new(&options, &map), SOMA_OK);
    while (next < VALUES / 2)
        next = let_go_in_every_way(map, next);
    soma_barrier_wait();
    expect_retired(0, next, 1);
    const uint64_t first_left = next;
    for (; next < VALUES; next++)
        cr_assert_eq(soma_u64_put(map, next, next, NULL), SOMA_INSERTED);
    let_nothing_go(map, first_left, first_left);
    soma_barrier_wait();
    expect_retired(first_left, VALUES, 0);
    soma_u64_free(map);
    expect_retired(first_left, VALUES, 1); /* at once */
    soma_barrier_wait();
    expect_retired(0, VALUES, 1);
    soma_u64_free(other_map);
}

Test(value_retire, gets_words_that_left_before_free)
{
    const struct soma_u64_options options = {.value_retire = note_word, .ctx = retired};
    soma_u64 *map = NULL;
    cr_assert_eq(soma_u64_new(NULL, &other_map), SOMA_OK);
    cr_assert_eq(soma_u64_new(&options, &map), SOMA_OK);
    for (uint64_t value = 0; value < VALUES; value++)
        cr_assert_geq(soma_u64_put(map, value % 100, value, NULL), 0);
    soma_u64_free(map);
    soma_barrier_wait();
    expect_retired(0, VALUES, 1);
    soma_u64_free(other_map);
}

static void map_let_go(soma_map *map, uint64_t from)
{
    uint64_t word[5];
    for (uint64_t i = 0; i < 5; i++)
        word[i] = from + i;
    cr_assert_eq(soma_map_put(map, "k", 1, &word[0], 8, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_map_put(map, "k", 1, &word[1], 8, NULL), SOMA_REPLACED);
    cr_assert_eq(soma_map_cas(map, "k", 1, &word[1], 8, &word[2], 8, NULL), SOMA_REPLACED);
    cr_assert_eq(soma_map_fetch_add(map, "k", 1, 1, NULL), SOMA_REPLACED);
    cr_assert_eq(soma_map_remove(map, "k", 1, NULL), SOMA_REMOVED);
    cr_assert_eq(soma_map_put_new(map, "k", 1, &word[4], 8, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_map_clear(map), SOMA_OK);
}

Test(value_retire, gets_each_byte_string_once)
{
    const struct soma_map_options options = {.value_retire = note_bytes, .ctx = retired};
    soma_map *map = NULL;
    cr_assert_eq(soma_u64_new(NULL, &other_map), SOMA_OK);
    cr_assert_eq(soma_map_new(&options, &map), SOMA_OK);
    for (uint64_t next = 0; next < VALUES / 2; next += 5)
        map_let_go(map, next);
    soma_barrier_wait();
    expect_retired(0, VALUES / 2, 1);
    for (uint64_t value = VALUES / 2; value < VALUES; value++)
        cr_assert_eq(soma_map_put(map, &value, sizeof value, &value, sizeof value, NULL), SOMA_INSERTED);
    soma_map_free(map);
    soma_barrier_wait();
    expect_retired(0, VALUES, 1);
    soma_u64_free(other_map);
}

Test(value_retire, leaves_nothing_to_the_leak_checker)
{
    soma_map *map = NULL;
    cr_assert_eq(soma_map_new(NULL, &map), SOMA_OK);
    for (uint64_t i = 0; i < 3000; i++)
        cr_assert_geq(soma_map_put(map, &i, sizeof i, "value", 5, NULL), 0);
    for (uint64_t i = 0; i < 1000; i++)
        cr_assert_eq(soma_map_remove(map, &i, sizeof i, NULL), SOMA_REMOVED);
    soma_map_free(map);
    soma_barrier_wait();
#if defined(__SANITIZE_ADDRESS__)
    extern int __lsan_do_recoverable_leak_check(void);
    cr_assert_eq(__lsan_do_recoverable_leak_check(), 0);
#endif
}
