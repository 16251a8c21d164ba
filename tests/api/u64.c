/* SPDX-License-Identifier: ISC */
/* u64.c - the word map, call by call: every status of every function, and what it leaves behind. SOMA_E_NOMEM is
 * reached in fault/, SOMA_E_LIMIT in limit.c. */
#include <limits.h>
#include <pthread.h>
#include <criterion/criterion.h>

#include <soma/soma.h>

#define UNTOUCHED UINT64_C(0x5eed5eed5eed5eed)

static const uint64_t extremes[] = {0, 1, 2, 7, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX - 1, UINT64_MAX};
#define EXTREMES (sizeof extremes / sizeof extremes[0])

static soma_u64 *fresh(void)
{
    soma_u64 *map = NULL;
    cr_assert_eq(soma_u64_new(NULL, &map), SOMA_OK);
    cr_assert_not_null(map);
    return map;
}

static void expect_value(const soma_u64 *map, uint64_t key, uint64_t want)
{
    uint64_t got = UNTOUCHED;
    cr_assert_eq(soma_u64_get(map, key, &got), SOMA_OK);
    cr_assert_eq(got, want);
}

/* ---- new, free ---- */

static enum soma_status new_with(const struct soma_u64_options *options)
{
    soma_u64 *map = NULL;
    const enum soma_status status = soma_u64_new(options, &map);
    cr_assert_eq(status == SOMA_OK, map != NULL, "written on SOMA_OK only");
    if (status == SOMA_OK) {
        cr_assert_eq(soma_u64_put(map, 1, 2, NULL), SOMA_INSERTED);
        expect_value(map, 1, 2);
    }
    soma_u64_free(map);
    return status;
}

Test(u64_new, takes_defaults)
{
    cr_assert_eq(new_with(NULL), SOMA_OK);
    cr_assert_eq(new_with(&(struct soma_u64_options){0}), SOMA_OK);
    cr_assert_eq(new_with(&(struct soma_u64_options){.struct_size = sizeof(struct soma_u64_options)}), SOMA_OK);
}

Test(u64_new, refuses_unknown_sizes)
{
    const size_t full = sizeof(struct soma_u64_options);
    const size_t wrong[] = {1, 8, full - 8, full - 1, full + 1, full + 8, SIZE_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_assert_eq(new_with(&(struct soma_u64_options){.struct_size = wrong[i]}), SOMA_E_INVALID);
}

Test(u64_new, knows_its_flags)
{
    cr_assert_eq(new_with(&(struct soma_u64_options){.flags = SOMA_WAIT_AT_LIMIT}), SOMA_OK);
    cr_assert_eq(new_with(&(struct soma_u64_options){.flags = SOMA_DIGEST}), SOMA_OK);
    cr_assert_eq(new_with(&(struct soma_u64_options){.flags = SOMA_HUGE_PAGES}), SOMA_OK);
    for (unsigned bit = 5; bit < 32; bit++)
        cr_assert_eq(new_with(&(struct soma_u64_options){.flags = 1u << bit}), SOMA_E_INVALID);
    cr_assert_eq(new_with(&(struct soma_u64_options){.flags = 1u << 31 | SOMA_DIGEST_STRONG}), SOMA_E_INVALID);
}

Test(u64_new, knows_what_load_makes_sense)
{
    const unsigned good[] = {25, SOMA_U64_LOAD_DEFAULT, 1000};
    const unsigned bad[] = {1, 24, 1001, UINT_MAX};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_assert_eq(new_with(&(struct soma_u64_options){.load_percent = good[i]}), SOMA_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(new_with(&(struct soma_u64_options){.load_percent = bad[i]}), SOMA_E_INVALID);
}

Test(u64_new, reserves)
{
    cr_assert_eq(new_with(&(struct soma_u64_options){.reserve = 1}), SOMA_OK);
    cr_assert_eq(new_with(&(struct soma_u64_options){.reserve = 1000000}), SOMA_OK);
    cr_assert_eq(new_with(&(struct soma_u64_options){.reserve = UINT64_MAX}), SOMA_E_NOMEM);
    cr_assert_eq(new_with(&(struct soma_u64_options){.reserve = UINT64_C(1) << 62}), SOMA_E_NOMEM);
}

Test(u64_new, refuses_no_out)
{
    cr_assert_eq(soma_u64_new(NULL, NULL), SOMA_E_INVALID);
}

Test(u64_new, takes_any_seed)
{
    for (uint64_t seed = 0; seed < 50; seed++)
        cr_assert_eq(new_with(&(struct soma_u64_options){.seed = {seed, seed << 40}}), SOMA_OK);
    cr_assert_eq(new_with(&(struct soma_u64_options){.seed = {UINT64_MAX, UINT64_MAX}}), SOMA_OK);
}

Test(u64_new, makes_many_maps)
{
    enum {
        MAPS = 500
    };
    soma_u64 *maps[MAPS];
    for (uint64_t i = 0; i < MAPS; i++) {
        maps[i] = fresh();
        cr_assert_eq(soma_u64_put(maps[i], i, i * 3, NULL), SOMA_INSERTED);
    }
    for (uint64_t i = 0; i < MAPS; i++) {
        expect_value(maps[i], i, i * 3);
        cr_assert_eq(soma_u64_get(maps[i], i + 1, NULL), SOMA_ABSENT, "maps do not mix");
        soma_u64_free(maps[i]);
    }
}

Test(u64_free, takes_null)
{
    soma_u64_free(NULL);
}

/* ---- NULL maps ---- */

static enum soma_status answer_ok(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    (void)key, (void)present, (void)value, (void)ctx;
    return SOMA_OK;
}

Test(u64_null, is_invalid_everywhere)
{
    uint64_t out = UNTOUCHED;
    size_t done = 77;
    cr_assert_eq(soma_u64_get(NULL, 1, &out), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_put(NULL, 1, 2, &out), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_put_new(NULL, 1, 2, &out), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_replace(NULL, 1, 2, &out), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_cas(NULL, 1, 2, 3, &out), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_remove(NULL, 1, &out), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_remove_if(NULL, 1, 2, &out), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_fetch_add(NULL, 1, 2, &out), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_update(NULL, 1, answer_ok, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_get_many(NULL, &out, 1, &out, NULL), 0);
    cr_assert_eq(soma_u64_put_many(NULL, &out, &out, 1, &done), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_put_many(NULL, NULL, NULL, 0, &done), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_clear(NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_count_approx(NULL), 0);
    cr_assert_eq(soma_u64_reserve(NULL, 1), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_shrink(NULL), SOMA_E_INVALID);
    cr_assert_eq(out, UNTOUCHED);
    cr_assert_eq(done, 77);
}

/* ---- One key ---- */

Test(u64_get, finds_or_not)
{
    soma_u64 *map = fresh();
    uint64_t value = UNTOUCHED;
    cr_assert_eq(soma_u64_get(map, 5, &value), SOMA_ABSENT);
    cr_assert_eq(value, UNTOUCHED);
    cr_assert_eq(soma_u64_put(map, 5, 6, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_u64_get(map, 5, NULL), SOMA_OK);
    cr_assert_eq(soma_u64_get(map, 5, &value), SOMA_OK);
    cr_assert_eq(value, 6);
    soma_u64_free(map);
}

Test(u64_put, takes_every_word)
{
    soma_u64 *map = fresh();
    for (size_t k = 0; k < EXTREMES; k++) {
        uint64_t old = UNTOUCHED;
        cr_assert_eq(soma_u64_put(map, extremes[k], extremes[0], &old), SOMA_INSERTED);
        cr_assert_eq(old, UNTOUCHED, "not named by SOMA_INSERTED");
        for (size_t v = 1; v < EXTREMES; v++) {
            cr_assert_eq(soma_u64_put(map, extremes[k], extremes[v], &old), SOMA_REPLACED);
            cr_assert_eq(old, extremes[v - 1]);
            expect_value(map, extremes[k], extremes[v]);
        }
        cr_assert_eq(soma_u64_count_approx(map), k + 1);
    }
    for (size_t k = 0; k < EXTREMES; k++)
        expect_value(map, extremes[k], UINT64_MAX);
    cr_assert_eq(soma_u64_put(map, 0, 1, NULL), SOMA_REPLACED);
    soma_u64_free(map);
}

Test(u64_put_new, never_replaces)
{
    soma_u64 *map = fresh();
    uint64_t present = UNTOUCHED;
    cr_assert_eq(soma_u64_put_new(map, 0, 10, &present), SOMA_INSERTED);
    cr_assert_eq(present, UNTOUCHED);
    cr_assert_eq(soma_u64_put_new(map, 0, 11, &present), SOMA_EXISTS);
    cr_assert_eq(present, 10);
    cr_assert_eq(soma_u64_put_new(map, 0, 12, NULL), SOMA_EXISTS);
    cr_assert_eq(soma_u64_put_new(map, 1, 12, NULL), SOMA_INSERTED);
    expect_value(map, 0, 10);
    expect_value(map, 1, 12);
    soma_u64_free(map);
}

Test(u64_replace, never_inserts)
{
    soma_u64 *map = fresh();
    uint64_t old = UNTOUCHED;
    cr_assert_eq(soma_u64_replace(map, 9, 1, &old), SOMA_ABSENT);
    cr_assert_eq(old, UNTOUCHED);
    cr_assert_eq(soma_u64_get(map, 9, NULL), SOMA_ABSENT);
    cr_assert_eq(soma_u64_put(map, 9, 1, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_u64_replace(map, 9, 2, &old), SOMA_REPLACED);
    cr_assert_eq(old, 1);
    cr_assert_eq(soma_u64_replace(map, 9, 3, NULL), SOMA_REPLACED);
    expect_value(map, 9, 3);
    soma_u64_free(map);
}

Test(u64_cas, compares)
{
    soma_u64 *map = fresh();
    uint64_t actual = UNTOUCHED;
    cr_assert_eq(soma_u64_cas(map, 3, 0, 1, &actual), SOMA_ABSENT, "absent is not 0");
    cr_assert_eq(actual, UNTOUCHED);
    cr_assert_eq(soma_u64_put(map, 3, 0, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_u64_cas(map, 3, 1, 2, &actual), SOMA_CHANGED);
    cr_assert_eq(actual, 0);
    expect_value(map, 3, 0);
    cr_assert_eq(soma_u64_cas(map, 3, 0, 2, &actual), SOMA_REPLACED);
    cr_assert_eq(actual, 0);
    cr_assert_eq(soma_u64_cas(map, 3, 2, 2, NULL), SOMA_REPLACED);
    cr_assert_eq(soma_u64_cas(map, 3, 0, 2, NULL), SOMA_CHANGED);
    expect_value(map, 3, 2);
    soma_u64_free(map);
}

Test(u64_remove, takes_out)
{
    soma_u64 *map = fresh();
    uint64_t old = UNTOUCHED;
    cr_assert_eq(soma_u64_remove(map, 3, &old), SOMA_ABSENT);
    cr_assert_eq(old, UNTOUCHED);
    for (uint64_t round = 0; round < 3; round++) {
        cr_assert_eq(soma_u64_put(map, 3, round, NULL), SOMA_INSERTED);
        cr_assert_eq(soma_u64_remove(map, 3, &old), SOMA_REMOVED);
        cr_assert_eq(old, round);
        cr_assert_eq(soma_u64_get(map, 3, NULL), SOMA_ABSENT);
        cr_assert_eq(soma_u64_count_approx(map), 0);
    }
    cr_assert_eq(soma_u64_put(map, 3, 1, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_u64_remove(map, 3, NULL), SOMA_REMOVED);
    soma_u64_free(map);
}

Test(u64_remove_if, compares)
{
    soma_u64 *map = fresh();
    uint64_t actual = UNTOUCHED;
    cr_assert_eq(soma_u64_remove_if(map, 4, 0, &actual), SOMA_ABSENT);
    cr_assert_eq(actual, UNTOUCHED);
    cr_assert_eq(soma_u64_put(map, 4, 44, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_u64_remove_if(map, 4, 45, &actual), SOMA_CHANGED);
    cr_assert_eq(actual, 44);
    cr_assert_eq(soma_u64_remove_if(map, 4, 45, NULL), SOMA_CHANGED);
    expect_value(map, 4, 44);
    actual = UNTOUCHED;
    cr_assert_eq(soma_u64_remove_if(map, 4, 44, &actual), SOMA_REMOVED);
    cr_assert_eq(actual, 44);
    cr_assert_eq(soma_u64_get(map, 4, NULL), SOMA_ABSENT);
    cr_assert_eq(soma_u64_put(map, 4, 0, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_u64_remove_if(map, 4, 0, NULL), SOMA_REMOVED);
    soma_u64_free(map);
}

Test(u64_fetch_add, wraps)
{
    soma_u64 *map = fresh();
    uint64_t old = UNTOUCHED;
    cr_assert_eq(soma_u64_fetch_add(map, 8, 5, &old), SOMA_INSERTED);
    cr_assert_eq(old, 0);
    cr_assert_eq(soma_u64_fetch_add(map, 8, (uint64_t)-7, &old), SOMA_REPLACED);
    cr_assert_eq(old, 5);
    expect_value(map, 8, (uint64_t)-2);
    cr_assert_eq(soma_u64_fetch_add(map, 8, 3, NULL), SOMA_REPLACED);
    expect_value(map, 8, 1);
    cr_assert_eq(soma_u64_fetch_add(map, 8, UINT64_MAX, &old), SOMA_REPLACED);
    cr_assert_eq(old, 1);
    expect_value(map, 8, 0);
    cr_assert_eq(soma_u64_fetch_add(map, 9, 0, NULL), SOMA_INSERTED, "adding 0 inserts all the same");
    expect_value(map, 9, 0);
    soma_u64_free(map);
}

/* ---- get_with ---- */

struct witness {
    const soma_u64 *map;
    uint64_t key;
    uint64_t value;
    int runs;
};

static void witness(uint64_t key, uint64_t value, void *ctx)
{
    struct witness *seen = ctx;
    uint64_t looked_up = UNTOUCHED;
    seen->key = key;
    seen->value = value;
    seen->runs++;
    cr_assert_eq(soma_u64_get(seen->map, key, &looked_up), SOMA_OK, "may look things up");
    cr_assert_eq(looked_up, value);
    soma_barrier_wait(); /* returns at once, since this is inside a read section */
}

Test(u64_get_with, shows_what_is_there_once)
{
    soma_u64 *map = fresh();
    struct witness seen = {.map = map};
    for (size_t i = 0; i < EXTREMES; i++) {
        seen.runs = 0;
        cr_assert_eq(soma_u64_get_with(map, extremes[i], witness, &seen), SOMA_ABSENT);
        cr_assert_eq(seen.runs, 0, "nothing to be shown");
        cr_assert_eq(soma_u64_put(map, extremes[i], ~extremes[i], NULL), SOMA_INSERTED);
        cr_assert_eq(soma_u64_get_with(map, extremes[i], witness, &seen), SOMA_OK);
        cr_assert(seen.runs == 1 && seen.key == extremes[i] && seen.value == ~extremes[i]);
    }
    soma_u64_free(map);
}

Test(u64_get_with, works_in_chains)
{
    soma_u64 *map = fresh();
    struct witness seen = {.map = map};
    for (uint64_t key = 0; key < 5000; key++)
        cr_assert_eq(soma_u64_put(map, key, key * 3, NULL), SOMA_INSERTED);
    soma_read_enter(); /* also in a section of the caller's own */
    for (uint64_t key = 0; key < 5000; key++)
        cr_assert_eq(soma_u64_get_with(map, key, witness, &seen), SOMA_OK);
    soma_read_exit();
    cr_assert(seen.runs == 5000 && seen.key == 4999 && seen.value == 4999 * 3);
    soma_u64_free(map);
}

Test(u64_get_with, refuses_nothing)
{
    soma_u64 *map = fresh();
    struct witness seen = {.map = map};
    cr_assert_eq(soma_u64_put(map, 1, 1, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_u64_get_with(map, 1, NULL, NULL), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_get_with(NULL, 1, witness, &seen), SOMA_E_INVALID);
    cr_assert_eq(seen.runs, 0);
    soma_u64_free(map);
}

/* What a function is shown is not retired before it returns, though it leaves the map meanwhile. */
static int retired;

static void count_retired(uint64_t value, void *ctx)
{
    (void)value, (void)ctx;
    retired++;
}

static void *remove_and_wait(void *map)
{
    cr_assert_eq(soma_u64_remove(map, 1, NULL), SOMA_REMOVED);
    for (uint64_t key = 100; key < 3000; key++) { /* work enough for what can be retired to be */
        (void)soma_u64_put(map, key, 0, NULL);
        (void)soma_u64_remove(map, key, NULL);
    }
    return NULL;
}

static void let_it_go(uint64_t key, uint64_t value, void *ctx)
{
    pthread_t thread;
    (void)key;
    cr_assert_eq(value, 7);
    cr_assert_eq(pthread_create(&thread, NULL, remove_and_wait, ctx), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(soma_u64_get(ctx, 1, NULL), SOMA_ABSENT);
    cr_assert_eq(retired, 0);
}

Test(u64_get_with, holds_what_it_shows)
{
    const struct soma_u64_options options = {.value_retire = count_retired};
    soma_u64 *map = NULL;
    cr_assert_eq(soma_u64_new(&options, &map), SOMA_OK);
    cr_assert_eq(soma_u64_put(map, 1, 7, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_u64_get_with(map, 1, let_it_go, map), SOMA_OK);
    soma_u64_free(map);
    soma_barrier_wait();
    cr_assert_eq(retired, 2901);
}

/* ---- update ---- */

struct script {
    const soma_u64 *map;
    enum soma_status answer;
    uint64_t store;
    uint64_t saw_key;
    uint64_t saw_value;
    bool saw_present;
    int runs;
};

static enum soma_status follow(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    struct script *script = ctx;
    uint64_t looked_up = 0;
    script->runs++;
    script->saw_key = key;
    script->saw_present = present;
    script->saw_value = *value;
    cr_assert_eq(soma_u64_get(script->map, key, &looked_up) == SOMA_OK, present, "may look things up");
    cr_assert_eq(looked_up, *value);
    soma_barrier_wait(); /* returns at once, since this is inside a read section */
    *value = script->store;
    return script->answer;
}

static enum soma_status run_script(soma_u64 *map, enum soma_status answer, bool present, uint64_t value, uint64_t store)
{
    struct script script = {.map = map, .answer = answer, .store = store};
    const enum soma_status status = soma_u64_update(map, 21, follow, &script);
    cr_assert_geq(script.runs, 1);
    cr_assert_eq(script.saw_key, 21);
    cr_assert_eq(script.saw_present, present);
    cr_assert_eq(script.saw_value, value, "0 if absent");
    return status;
}

Test(u64_update, does_what_it_is_told)
{
    soma_u64 *map = fresh();
    cr_assert_eq(run_script(map, SOMA_EXISTS, false, 0, 1), SOMA_ABSENT);
    cr_assert_eq(run_script(map, SOMA_REMOVED, false, 0, 1), SOMA_ABSENT);
    cr_assert_eq(soma_u64_count_approx(map), 0);
    cr_assert_eq(run_script(map, SOMA_OK, false, 0, 100), SOMA_INSERTED);
    cr_assert_eq(run_script(map, SOMA_EXISTS, true, 100, 7), SOMA_EXISTS);
    expect_value(map, 21, 100);
    cr_assert_eq(run_script(map, SOMA_OK, true, 100, UINT64_MAX), SOMA_REPLACED);
    expect_value(map, 21, UINT64_MAX);
    cr_assert_eq(run_script(map, SOMA_REMOVED, true, UINT64_MAX, 7), SOMA_REMOVED);
    cr_assert_eq(soma_u64_get(map, 21, NULL), SOMA_ABSENT);
    soma_u64_free(map);
}

Test(u64_update, refuses_other_answers)
{
    soma_u64 *map = fresh();
    const int answers[] = {SOMA_INSERTED, SOMA_REPLACED, SOMA_ABSENT,    SOMA_CHANGED, SOMA_END,
                           SOMA_E_NOMEM,  SOMA_E_LIMIT,  SOMA_E_INVALID, 42,           -42};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        cr_assert_eq(run_script(map, (enum soma_status)answers[i], false, 0, 5), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_count_approx(map), 0);
    cr_assert_eq(soma_u64_put(map, 21, 9, NULL), SOMA_INSERTED);
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        cr_assert_eq(run_script(map, (enum soma_status)answers[i], true, 9, 5), SOMA_E_INVALID);
    expect_value(map, 21, 9);
    soma_u64_free(map);
}

Test(u64_update, refuses_no_function)
{
    soma_u64 *map = fresh();
    cr_assert_eq(soma_u64_update(map, 1, NULL, NULL), SOMA_E_INVALID);
    soma_u64_free(map);
}

/* ---- take ---- */

struct picker {
    soma_u64 *map;
    uint64_t asked;       /* how often */
    uint64_t stop_after;  /* asks, if not 0 */
    uint64_t last;        /* the key that it was asked about last */
    enum soma_status odd; /* the answer for odd keys */
};

static enum soma_status pick(uint64_t key, uint64_t value, void *ctx)
{
    struct picker *picker = ctx;
    uint64_t looked_up = UNTOUCHED;
    picker->last = key;
    if (picker->stop_after && picker->asked == picker->stop_after)
        return SOMA_END;
    picker->asked++;
    cr_assert_eq(soma_u64_get(picker->map, key, &looked_up), SOMA_OK, "may look things up");
    cr_assert_eq(looked_up, value);
    return key % 2 ? picker->odd : SOMA_REMOVED;
}

static soma_u64 *filled(uint64_t n)
{
    soma_u64 *map = fresh();
    for (uint64_t key = 0; key < n; key++)
        cr_assert_eq(soma_u64_put(map, key, key * 3, NULL), SOMA_INSERTED);
    return map;
}

Test(u64_take, takes_each_once)
{
    const size_t sizes[] = {1, 7, 100, 5000};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        soma_u64 *map = filled(1000);
        static uint64_t keys[5000];
        static uint64_t values[5000];
        uint64_t place = 0;
        uint64_t sum = 0;
        size_t total = 0;
        size_t taken = 0;
        enum soma_status status;
        do {
            status = soma_u64_take(map, &place, sizes[s], NULL, NULL, keys, values, &taken);
            cr_assert(status == SOMA_END ? place == 0 : status == SOMA_OK && taken == sizes[s]);
            cr_assert_leq(taken, sizes[s]);
            total += taken;
            for (size_t i = 0; i < taken; i++) {
                cr_assert(keys[i] < 1000 && values[i] == keys[i] * 3);
                cr_assert_eq(soma_u64_get(map, keys[i], NULL), SOMA_ABSENT);
                sum += keys[i];
            }
            cr_assert_eq(soma_u64_count_approx(map), 1000 - total);
        } while (status == SOMA_OK);
        cr_assert(total == 1000 && sum == 999 * 1000 / 2);
        cr_assert_eq(soma_u64_take(map, &place, 1, NULL, NULL, NULL, NULL, NULL), SOMA_END);
        soma_u64_free(map);
    }
}

Test(u64_take, leaves_what_it_is_told_to)
{
    soma_u64 *map = filled(1000);
    struct picker picker = {.map = map, .odd = SOMA_EXISTS};
    uint64_t place = 0;
    size_t taken = 0;
    size_t total = 0;
    while (soma_u64_take(map, &place, 30, pick, &picker, NULL, NULL, &taken) == SOMA_OK)
        total += taken;
    cr_assert_eq(total + taken, 500);
    cr_assert_eq(picker.asked, 1000, "once about each");
    for (uint64_t key = 0; key < 1000; key++)
        cr_assert_eq(soma_u64_get(map, key, NULL), key % 2 ? SOMA_OK : SOMA_ABSENT);
    soma_u64_free(map);
}

Test(u64_take, stops_where_it_is_told_to)
{
    soma_u64 *map = filled(1000);
    struct picker picker = {.map = map, .odd = SOMA_EXISTS, .stop_after = 10};
    uint64_t place = 0;
    size_t taken = 99;
    cr_assert_eq(soma_u64_take(map, &place, 1000, pick, &picker, NULL, NULL, &taken), SOMA_OK);
    cr_assert(picker.asked == 10 && taken == 1000 - soma_u64_count_approx(map));
    const uint64_t in_front_of = picker.last;
    cr_assert_eq(soma_u64_take(map, &place, 1000, pick, &picker, NULL, NULL, &taken), SOMA_OK);
    cr_assert(picker.last == in_front_of && taken == 0);
    picker.stop_after = 0;
    cr_assert_eq(soma_u64_take(map, &place, 1000, pick, &picker, NULL, NULL, &taken), SOMA_END);
    cr_assert(picker.asked == 1000 && soma_u64_count_approx(map) == 500);
    soma_u64_free(map);
}

Test(u64_take, goes_on_in_a_table_that_has_changed)
{
    soma_u64 *map = filled(1000);
    struct picker picker = {.map = map, .odd = SOMA_REMOVED, .stop_after = 400};
    static bool seen[1000];
    uint64_t keys[1000];
    uint64_t place = 0;
    size_t taken = 0;
    cr_assert_eq(soma_u64_take(map, &place, 1000, pick, &picker, keys, NULL, &taken), SOMA_OK);
    cr_assert_eq(taken, 400);
    for (size_t i = 0; i < taken; i++)
        seen[keys[i]] = true;
    for (uint64_t key = 1000; key < 50000; key++)
        cr_assert_eq(soma_u64_put(map, key, key, NULL), SOMA_INSERTED);
    for (uint64_t key = 1000; key < 50000; key++)
        cr_assert_eq(soma_u64_remove(map, key, NULL), SOMA_REMOVED);
    cr_assert_eq(soma_u64_shrink(map), SOMA_OK);
    cr_assert_eq(soma_u64_take(map, &place, 1000, NULL, NULL, keys, NULL, &taken), SOMA_END);
    cr_assert_eq(taken, 600);
    for (size_t i = 0; i < taken; i++) {
        cr_assert_not(seen[keys[i]]);
        seen[keys[i]] = true;
    }
    soma_u64_free(map);
}

/* Another thread changes the value, or removes the key, while the program decides. */
static void *changes(void *map)
{
    cr_assert_eq(soma_u64_put(map, 1, 20, NULL), SOMA_REPLACED);
    return NULL;
}

static void *removes(void *map)
{
    cr_assert_eq(soma_u64_remove(map, 1, NULL), SOMA_REMOVED);
    return NULL;
}

struct slow {
    soma_u64 *map;
    void *(*meanwhile)(void *);
    enum soma_status then; /* the answer for the new value */
    int asked;
};

static enum soma_status decide_slowly(uint64_t key, uint64_t value, void *ctx)
{
    struct slow *slow = ctx;
    pthread_t thread;
    cr_assert_eq(key, 1);
    cr_assert_eq(value, slow->asked ? 20 : 10);
    if (slow->asked++)
        return slow->then;
    cr_assert_eq(pthread_create(&thread, NULL, slow->meanwhile, slow->map), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    return SOMA_REMOVED;
}

static void take_slowly(struct slow slow, int asked, size_t want)
{
    uint64_t place = 0;
    uint64_t key = UNTOUCHED;
    uint64_t value = UNTOUCHED;
    size_t taken = 9;
    slow.map = fresh();
    cr_assert_eq(soma_u64_put(slow.map, 1, 10, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_u64_take(slow.map, &place, 2, decide_slowly, &slow, &key, &value, &taken), SOMA_END);
    cr_assert(slow.asked == asked && taken == want);
    cr_assert(key == (want ? 1 : UNTOUCHED) && value == (want ? 20 : UNTOUCHED));
    soma_u64_free(slow.map);
}

Test(u64_take, takes_the_value_that_was_asked_about)
{
    take_slowly((struct slow){.meanwhile = changes, .then = SOMA_REMOVED}, 2, 1);
    take_slowly((struct slow){.meanwhile = changes, .then = SOMA_EXISTS}, 2, 0);
    take_slowly((struct slow){.meanwhile = removes}, 1, 0);
}

Test(u64_take, refuses)
{
    soma_u64 *map = filled(3);
    struct picker picker = {.map = map, .odd = SOMA_REPLACED};
    uint64_t place = 0;
    size_t taken = 7;
    cr_assert_eq(soma_u64_take(NULL, &place, 1, NULL, NULL, NULL, NULL, &taken), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_take(map, NULL, 1, NULL, NULL, NULL, NULL, &taken), SOMA_E_INVALID);
    uint64_t words[1];
    cr_assert_eq(soma_u64_take(map, &place, SIZE_MAX, NULL, NULL, words, NULL, &taken), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_take(map, &place, SIZE_MAX / 64 + 1, NULL, NULL, NULL, words, &taken), SOMA_E_INVALID);
    cr_assert(taken == 7 && place == 0);
    cr_assert_eq(soma_u64_take(map, &place, 0, NULL, NULL, NULL, NULL, &taken), SOMA_OK);
    cr_assert(taken == 0 && place == 0 && soma_u64_count_approx(map) == 3);
    cr_assert_eq(soma_u64_take(map, &place, 3, pick, &picker, NULL, NULL, &taken), SOMA_E_INVALID);
    cr_assert(picker.last == 1 && taken == 3 - soma_u64_count_approx(map));
    cr_assert_eq(soma_u64_get(map, 1, NULL), SOMA_OK);
    picker.odd = SOMA_REMOVED;
    cr_assert_eq(soma_u64_take(map, &place, SIZE_MAX, pick, &picker, NULL, NULL, &taken), SOMA_END);
    cr_assert_eq(soma_u64_count_approx(map), 0, "the place was in front of it");
    soma_u64_free(map);
}

/* The last hash of all, and the first one. */
Test(u64_take, comes_to_the_ends)
{
    soma_u64 *map = filled(5000);
    uint64_t place = UINT64_MAX;
    size_t taken = 9;
    cr_assert_eq(soma_u64_take(map, &place, 9, NULL, NULL, NULL, NULL, &taken), SOMA_END);
    cr_assert(taken <= 1 && place == 0);
    soma_u64_free(map);
}

/* ---- Many keys ---- */

enum {
    MANY = 5000
};

struct many {
    uint64_t keys[MANY];
    uint64_t values[MANY];
    bool found[MANY];
};

/* Asks for n keys of which every third is there with its value times 10. */
static void check_get_many(const soma_u64 *map, struct many *many, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        many->keys[i] = i;
        many->values[i] = UNTOUCHED;
        many->found[i] = i % 3 != 0;
    }
    const size_t there = (n + 2) / 3;
    cr_assert_eq(soma_u64_get_many(map, many->keys, n, many->values, many->found), there);
    for (size_t i = 0; i < n; i++) {
        cr_assert_eq(many->found[i], i % 3 == 0);
        cr_assert_eq(many->values[i], i % 3 == 0 ? i * 10 : UNTOUCHED);
    }
    cr_assert_eq(soma_u64_get_many(map, many->keys, n, NULL, many->found), there);
    cr_assert_eq(soma_u64_get_many(map, many->keys, n, many->values, NULL), there);
    cr_assert_eq(soma_u64_get_many(map, many->keys, n, NULL, NULL), there);
}

Test(u64_get_many, answers_each)
{
    soma_u64 *map = fresh();
    static struct many many;
    const size_t sizes[] = {0, 1, 2, 3, 15, 16, 17, 63, 64, 65, 100, 127, 128, 129, 1023, 1024, 1025, MANY};
    for (uint64_t key = 0; key < MANY; key += 3)
        cr_assert_eq(soma_u64_put(map, key, key * 10, NULL), SOMA_INSERTED);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        check_get_many(map, &many, sizes[i]);
    soma_u64_free(map);
}

/* Buckets of up to ten entries and more, so that a flight's lookups are over after different numbers of rounds. */
Test(u64_get_many, goes_through_long_chains)
{
    const struct soma_u64_options options = {.load_percent = 1000};
    soma_u64 *map;
    static struct many many;
    cr_assert_eq(soma_u64_new(&options, &map), SOMA_OK);
    for (uint64_t key = 0; key < MANY; key += 3)
        cr_assert_eq(soma_u64_put(map, key, key * 10, NULL), SOMA_INSERTED);
    for (size_t n = 1; n <= 1024; n += n < 130 ? 1 : 149)
        check_get_many(map, &many, n);
    soma_u64_free(map);
}

/* The same keys within a flight and beyond it, in the order asked for, some of them absent. */
Test(u64_get_many, answers_duplicates_wherever_they_stand)
{
    soma_u64 *map = fresh();
    static struct many many;
    size_t there = 0;
    for (uint64_t key = 0; key < 100; key += 2)
        cr_assert_eq(soma_u64_put(map, key, key + 1, NULL), SOMA_INSERTED);
    for (size_t i = 0; i < MANY; i++) {
        many.keys[i] = i * i % 101;
        many.values[i] = UNTOUCHED;
        there += many.keys[i] < 100 && many.keys[i] % 2 == 0;
    }
    cr_assert_eq(soma_u64_get_many(map, many.keys, MANY, many.values, many.found), there);
    for (size_t i = 0; i < MANY; i++) {
        cr_assert_eq(many.found[i], many.keys[i] < 100 && many.keys[i] % 2 == 0);
        cr_assert_eq(many.values[i], many.found[i] ? many.keys[i] + 1 : UNTOUCHED);
    }
    soma_u64_free(map);
}

Test(u64_get_many, takes_duplicates)
{
    soma_u64 *map = fresh();
    const uint64_t keys[5] = {7, 7, 8, 7, 8};
    uint64_t values[5] = {0};
    bool found[5];
    cr_assert_eq(soma_u64_put(map, 7, 70, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_u64_get_many(map, keys, 5, values, found), 3);
    cr_assert(found[0] && found[1] && !found[2] && found[3] && !found[4]);
    cr_assert(values[0] == 70 && values[1] == 70 && values[3] == 70);
    soma_u64_free(map);
}

Test(u64_get_many, refuses_no_keys)
{
    soma_u64 *map = fresh();
    bool found[2] = {true, true};
    cr_assert_eq(soma_u64_get_many(map, NULL, 2, NULL, found), 0);
    cr_assert_eq(soma_u64_get_many(map, NULL, 0, NULL, NULL), 0);
    soma_u64_free(map);
}

Test(u64_put_many, stores_in_order)
{
    soma_u64 *map = fresh();
    static struct many many;
    size_t done = 0;
    for (uint64_t i = 0; i < MANY; i++) {
        many.keys[i] = i % 1000;
        many.values[i] = i;
    }
    cr_assert_eq(soma_u64_put_many(map, many.keys, many.values, MANY, &done), SOMA_OK);
    cr_assert_eq(done, MANY);
    cr_assert_eq(soma_u64_count_approx(map), 1000);
    for (uint64_t key = 0; key < 1000; key++)
        expect_value(map, key, MANY - 1000 + key);
    cr_assert_eq(soma_u64_put_many(map, many.keys, many.values, 1, NULL), SOMA_OK);
    expect_value(map, 0, 0);
    soma_u64_free(map);
}

Test(u64_remove_many, removes_in_order)
{
    soma_u64 *map = fresh();
    static struct many many;
    static uint64_t old[MANY];
    static bool found[MANY];
    size_t done = 0;
    for (uint64_t i = 0; i < MANY; i++) {
        many.keys[i] = i;
        many.values[i] = i * 10;
    }
    cr_assert_eq(soma_u64_put_many(map, many.keys, many.values, MANY, NULL), SOMA_OK);
    cr_assert_eq(soma_u64_remove(map, many.keys[1], NULL), SOMA_REMOVED);
    cr_assert_eq(soma_u64_remove_many(map, many.keys, MANY, old, found, &done), SOMA_OK);
    cr_assert_eq(done, MANY);
    cr_assert_eq(soma_u64_count_approx(map), 0);
    for (size_t i = 0; i < MANY; i++) {
        cr_assert_eq(found[i], i != 1, "key %zu", i);
        cr_assert(!found[i] || old[i] == many.values[i], "key %zu", i);
    }
    cr_assert_eq(soma_u64_remove_many(map, many.keys, MANY, NULL, found, NULL), SOMA_OK);
    cr_assert(!found[0]);
    soma_u64_free(map);
}

Test(u64_remove_many, takes_none_and_refuses_nulls)
{
    soma_u64 *map = fresh();
    size_t done = 5;
    cr_assert_eq(soma_u64_remove_many(map, NULL, 0, NULL, NULL, &done), SOMA_OK);
    cr_assert_eq(done, 0);
    cr_assert_eq(soma_u64_remove_many(map, NULL, 1, NULL, NULL, &done), SOMA_E_INVALID);
    const uint64_t key = 1;
    cr_assert_eq(soma_u64_remove_many(map, &key, SIZE_MAX, NULL, NULL, &done), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_remove_many(NULL, NULL, 0, NULL, NULL, &done), SOMA_E_INVALID);
    cr_assert_eq(done, 0);
    soma_u64_free(map);
}

Test(u64_put_many, takes_none)
{
    soma_u64 *map = fresh();
    size_t done = 9;
    cr_assert_eq(soma_u64_put_many(map, NULL, NULL, 0, &done), SOMA_OK);
    cr_assert_eq(done, 0);
    cr_assert_eq(soma_u64_count_approx(map), 0);
    soma_u64_free(map);
}

Test(u64_put_many, refuses_nulls)
{
    soma_u64 *map = fresh();
    const uint64_t words[2] = {1, 2};
    size_t done = 9;
    cr_assert_eq(soma_u64_put_many(map, NULL, words, 2, &done), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_put_many(map, words, NULL, 2, &done), SOMA_E_INVALID);
    cr_assert_eq(done, 9);
    cr_assert_eq(soma_u64_count_approx(map), 0);
    soma_u64_free(map);
}

/* ---- Clear, size ---- */

Test(u64_clear, empties)
{
    soma_u64 *map = fresh();
    cr_assert_eq(soma_u64_clear(map), SOMA_OK);
    for (uint64_t size = 1; size <= 20000; size *= 20) {
        for (uint64_t key = 0; key < size; key++)
            cr_assert_eq(soma_u64_put(map, key, key, NULL), SOMA_INSERTED);
        cr_assert_eq(soma_u64_clear(map), SOMA_OK);
        cr_assert_eq(soma_u64_count_approx(map), 0);
        for (uint64_t key = 0; key < size; key++)
            cr_assert_eq(soma_u64_get(map, key, NULL), SOMA_ABSENT);
    }
    soma_u64_free(map);
}

Test(u64_reserve, refuses_what_cannot_be)
{
    soma_u64 *map = fresh();
    cr_assert_eq(soma_u64_put(map, 1, 2, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_u64_reserve(map, 0), SOMA_E_INVALID);
    cr_assert_eq(soma_u64_reserve(map, UINT64_MAX), SOMA_E_NOMEM);
    cr_assert_eq(soma_u64_reserve(map, UINT64_C(1) << 60), SOMA_E_NOMEM);
    expect_value(map, 1, 2);
    soma_u64_free(map);
}

Test(u64_reserve, keeps_what_is_there)
{
    soma_u64 *map = fresh();
    for (uint64_t key = 0; key < 3000; key++)
        cr_assert_eq(soma_u64_put(map, key, ~key, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_u64_reserve(map, 1), SOMA_OK);
    cr_assert_eq(soma_u64_reserve(map, 500000), SOMA_OK);
    for (uint64_t key = 0; key < 3000; key++)
        expect_value(map, key, ~key);
    cr_assert_eq(soma_u64_shrink(map), SOMA_OK);
    for (uint64_t key = 0; key < 3000; key++)
        expect_value(map, key, ~key);
    cr_assert_eq(soma_u64_count_approx(map), 3000);
    soma_u64_free(map);
}

Test(u64_shrink, keeps_what_is_there)
{
    soma_u64 *map = fresh();
    cr_assert_eq(soma_u64_shrink(map), SOMA_OK);
    for (uint64_t key = 0; key < 50000; key++)
        cr_assert_eq(soma_u64_put(map, key, key + 1, NULL), SOMA_INSERTED);
    for (uint64_t key = 100; key < 50000; key++)
        cr_assert_eq(soma_u64_remove(map, key, NULL), SOMA_REMOVED);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(soma_u64_shrink(map), SOMA_OK);
    for (uint64_t key = 0; key < 50000; key++)
        cr_assert_eq(soma_u64_get(map, key, NULL), key < 100 ? SOMA_OK : SOMA_ABSENT);
    for (uint64_t key = 100; key < 50000; key++)
        cr_assert_eq(soma_u64_put(map, key, key, NULL), SOMA_INSERTED);
    cr_assert_eq(soma_u64_count_approx(map), 50000);
    soma_u64_free(map);
}

Test(u64_sections, nest_around_everything)
{
    soma_u64 *map = fresh();
    soma_read_enter();
    soma_read_enter();
    cr_assert_eq(soma_u64_put(map, 1, 2, NULL), SOMA_INSERTED);
    soma_read_enter();
    cr_assert_eq(soma_u64_put(map, 1, 3, NULL), SOMA_REPLACED);
    soma_read_exit();
    expect_value(map, 1, 3);
    soma_read_exit();
    cr_assert_eq(soma_u64_remove(map, 1, NULL), SOMA_REMOVED);
    cr_assert_eq(soma_u64_clear(map), SOMA_OK);
    soma_read_exit();
    soma_barrier_wait();
    soma_u64_free(map);
}

/* An entry larger than the cap goes alone; nothing is refused for ever, and nobody waits for ever. */
static void ignore(uint64_t value, void *ctx)
{
    (void)value, (void)ctx;
}

Test(u64_cap, lets_an_entry_larger_than_it_through, .timeout = 10)
{
    for (unsigned flags = 0; flags <= SOMA_WAIT_AT_LIMIT; flags += SOMA_WAIT_AT_LIMIT) {
        const struct soma_u64_options options = {.flags = flags, .deferred_bytes_max = 1, .value_retire = ignore};
        soma_u64 *map = NULL;
        cr_assert_eq(soma_u64_new(&options, &map), SOMA_OK);
        for (uint64_t key = 0; key < 20; key++) {
            cr_assert_eq(soma_u64_put(map, key, 1, NULL), SOMA_INSERTED);
            cr_assert_eq(soma_u64_put(map, key, 2, NULL), SOMA_REPLACED);
            cr_assert_eq(soma_u64_remove(map, key, NULL), SOMA_REMOVED);
        }
        soma_u64_free(map);
    }
}
