/* SPDX-License-Identifier: ISC */
/* dual.c - an old map beside Soma (dual.h): a sound one, with many threads, has no differences; one that loses every thousandth key
 * and one that answers stale values have just theirs; answers, counts, samples, texts and checks. The old map is the mutex
 * back-end, behind a table of functions. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <soma/backend.h>
#include <soma/dual.h>
#include <soma/soma.h>

#include "refuse.h"
#include "soma_config.h"
#include "stalled.h"
#include "support.h"

#define KEYS UINT64_C(5000)
#define THREADS 4

/* ---- The old map, with what is wrong with it ---- */

enum fault {
    SOUND,
    LOSES,  /* every thousandth key that is put */
    STALE,  /* of every thousandth key, the value before */
    DOUBLE, /* a walk gives a key twice */
    ROTTEN, /* the statuses of put are wrong */
    FAILS,  /* get, of every thousandth key */
};

struct old {
    soma_any_u64 *words;
    soma_any_map *bytes;
    soma_any_u64 *before; /* values that were replaced */
    enum fault fault;
};

static struct old *old_new(enum fault fault)
{
    struct old *old = need(1, sizeof *old);
    old->fault = fault;
    if (soma_any_u64_new_on(SOMA_BACKEND_MUTEX, NULL, &old->words) != SOMA_OK ||
        soma_any_u64_new_on(SOMA_BACKEND_MUTEX, NULL, &old->before) != SOMA_OK ||
        soma_any_map_new_on(SOMA_BACKEND_MUTEX, NULL, &old->bytes) != SOMA_OK)
        abort();
    return old;
}

static void old_free(struct old *old)
{
    soma_any_u64_free(old->words);
    soma_any_u64_free(old->before);
    soma_any_map_free(old->bytes);
    free(old);
    soma_barrier_wait();
}

static enum soma_status get(void *arg, uint64_t key, uint64_t *value)
{
    struct old *old = arg;
    if (old->fault == FAILS && key % 1000 == 7)
        return SOMA_E_NOMEM;
    if (old->fault == STALE && key % 1000 == 7 && soma_any_u64_get(old->before, key, value) == SOMA_OK)
        return SOMA_OK;
    return soma_any_u64_get(old->words, key, value);
}

static enum soma_status put(void *arg, uint64_t key, uint64_t value, uint64_t *previous)
{
    struct old *old = arg;
    uint64_t was = 0;
    if (old->fault == LOSES && key % 1000 == 7)
        return SOMA_INSERTED;
    const enum soma_status status = soma_any_u64_put(old->words, key, value, &was);
    if (status == SOMA_REPLACED) {
        soma_any_u64_put(old->before, key, was, NULL);
        if (previous)
            *previous = was;
    }
    return old->fault == ROTTEN ? SOMA_INSERTED : status;
}

static enum soma_status drop(void *arg, uint64_t key, uint64_t *previous)
{
    return soma_any_u64_remove(((struct old *)arg)->words, key, previous);
}

static enum soma_status put_new(void *arg, uint64_t key, uint64_t value, uint64_t *present)
{
    return soma_any_u64_put_new(((struct old *)arg)->words, key, value, present);
}

static enum soma_status replace(void *arg, uint64_t key, uint64_t value, uint64_t *previous)
{
    return soma_any_u64_replace(((struct old *)arg)->words, key, value, previous);
}

static enum soma_status fetch_add(void *arg, uint64_t key, uint64_t delta, uint64_t *previous)
{
    return soma_any_u64_fetch_add(((struct old *)arg)->words, key, delta, previous);
}

static enum soma_status remove_if(void *arg, uint64_t key, uint64_t expected, uint64_t *actual)
{
    return soma_any_u64_remove_if(((struct old *)arg)->words, key, expected, actual);
}

static enum soma_status cas(void *arg, uint64_t key, uint64_t expected, uint64_t desired, uint64_t *actual)
{
    return soma_any_u64_cas(((struct old *)arg)->words, key, expected, desired, actual);
}

static uint64_t count(void *arg)
{
    return soma_any_u64_count_approx(((struct old *)arg)->words);
}

static enum soma_status clear(void *arg)
{
    return soma_any_u64_clear(((struct old *)arg)->words);
}

static enum soma_status walk(void *arg, soma_dual_u64_visit visit, void *ctx)
{
    struct old *old = arg;
    soma_cursor *cursor;
    enum soma_status status = soma_any_cursor_open_u64(old->words, &cursor);
    uint64_t key;
    uint64_t value;
    bool more = status == SOMA_OK;
    while (more && soma_cursor_next_u64(cursor, &key, &value) == SOMA_OK) {
        more = visit(key, value, ctx);
        if (old->fault == DOUBLE) {
            more = more && visit(key, value, ctx);
            old->fault = SOUND;
        }
    }
    if (status == SOMA_OK)
        soma_cursor_close(cursor);
    return status;
}

static const struct soma_dual_u64_old few = {.get = get, .put = put, .remove = drop, .walk = walk};
static const struct soma_dual_u64_old all = {.get = get,
                                             .put = put,
                                             .remove = drop,
                                             .put_new = put_new,
                                             .replace = replace,
                                             .fetch_add = fetch_add,
                                             .remove_if = remove_if,
                                             .cas = cas,
                                             .count = count,
                                             .clear = clear,
                                             .walk = walk};

static enum soma_status map_get(void *arg, struct soma_bytes key, void *buf, size_t cap, size_t *len)
{
    const struct old *old = arg;
    if (old->fault == FAILS && key.len > 0 && ((const char *)key.data)[key.len - 1] == '7')
        return SOMA_E_NOMEM;
    return soma_any_map_get_copy(((struct old *)arg)->bytes, key.data, key.len, buf, cap, len);
}

static enum soma_status map_put(void *arg, struct soma_bytes key, struct soma_bytes value)
{
    const struct old *old = arg;
    const bool lost = old->fault == LOSES && key.len > 0 && ((const char *)key.data)[key.len - 1] == '7';
    return lost ? SOMA_INSERTED : soma_any_map_put(old->bytes, key.data, key.len, value.data, value.len, NULL);
}

static enum soma_status map_remove(void *arg, struct soma_bytes key)
{
    return soma_any_map_remove(((struct old *)arg)->bytes, key.data, key.len, NULL);
}

static enum soma_status map_cas(void *arg, struct soma_bytes key, struct soma_bytes expected, struct soma_bytes desired)
{
    return soma_any_map_cas(((struct old *)arg)->bytes, key.data, key.len, expected.data, expected.len, desired.data,
                            desired.len, NULL);
}

static uint64_t map_count(void *arg)
{
    return soma_any_map_count_approx(((struct old *)arg)->bytes);
}

static enum soma_status map_walk(void *arg, soma_dual_map_visit visit, void *ctx)
{
    soma_cursor *cursor;
    const enum soma_status status = soma_any_cursor_open_map(((struct old *)arg)->bytes, &cursor);
    struct soma_bytes key;
    struct soma_bytes value;
    if (status != SOMA_OK)
        return status;
    while (soma_cursor_next_ref(cursor, &key, &value) == SOMA_OK && visit(key, value, ctx))
        ;
    soma_cursor_close(cursor);
    return SOMA_OK;
}

static const struct soma_dual_map_old map_table = {
    .get = map_get, .put = map_put, .remove = map_remove, .cas = map_cas, .count = map_count, .walk = map_walk};

/* ---- What is told ---- */

struct told {
    atomic_ullong count;
    atomic_ullong by_verb[SOMA_DUAL_VERBS];
    atomic_ullong strange; /* keys that no difference should name */
    atomic_ullong deep;    /* with a stack */
};

static soma_dual_map *bytes_pair_new(struct old *old, struct soma_dual_options options,
                                     const struct soma_map_options *soma)
{
    soma_dual_map *pair;
    if (soma_dual_map_new(&options, soma, &map_table, old, &pair) != SOMA_OK)
        abort();
    return pair;
}

static void note(const struct soma_dual_difference *difference, void *ctx)
{
    struct told *told = ctx;
    atomic_fetch_add(&told->count, 1);
    atomic_fetch_add(&told->by_verb[difference->verb], 1);
    atomic_fetch_add(&told->deep, difference->depth > 2);
    if (difference->words && difference->verb != SOMA_DUAL_COUNT && difference->verb != SOMA_DUAL_DIGEST)
        atomic_fetch_add(&told->strange, difference->key_word % 1000 != 7);
}

static soma_dual_u64 *pair_new(struct old *old, const struct soma_dual_u64_old *table, struct soma_dual_options options)
{
    const struct soma_u64_options soma = {.flags = SOMA_DIGEST};
    soma_dual_u64 *pair;
    if (soma_dual_u64_new(&options, &soma, table, old, &pair) != SOMA_OK)
        abort();
    return pair;
}

static uint64_t sum(const uint64_t counts[SOMA_DUAL_VERBS])
{
    uint64_t total = 0;
    for (int v = 0; v < SOMA_DUAL_VERBS; v++)
        total += counts[v];
    return total;
}

/* ---- Threads on a sound old map ---- */

static enum soma_status double_it(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    (void)key, (void)ctx;
    *value = present ? *value * 2 : 1;
    return SOMA_OK;
}

struct setup {
    const struct soma_dual_u64_old *table;
    enum soma_dual_mode mode;
};

static soma_dual_u64 *shared;
static atomic_ullong added;

static void some_calls(unsigned index, void *arg)
{
    (void)arg;
    struct rng rng = rng_new(index);
    uint64_t out;
    for (int i = 0; i < 15000; i++) {
        const uint64_t key = rng_below(&rng, 8);
        const uint64_t value = rng_below(&rng, 3);
        switch (rng_below(&rng, 9)) {
        case 0:
            soma_dual_u64_put(shared, key, value, &out);
            break;
        case 1:
            soma_dual_u64_put_new(shared, key, value, &out);
            break;
        case 2:
            soma_dual_u64_replace(shared, key, value, &out);
            break;
        case 3:
            soma_dual_u64_cas(shared, key, value, value + 1, &out);
            break;
        case 4:
            soma_dual_u64_remove(shared, key, &out);
            break;
        case 5:
            soma_dual_u64_remove_if(shared, key, value, &out);
            break;
        case 6:
            soma_dual_u64_update(shared, key, double_it, NULL);
            break;
        case 7:
            soma_dual_u64_get(shared, key, &out);
            break;
        default:
            soma_dual_u64_fetch_add(shared, 1000 + key, 1, &out);
            atomic_fetch_add(&added, 1);
        }
    }
}

static void sound(const void *arg)
{
    const struct setup *setup = arg;
    struct old *old = old_new(SOUND);
    struct told told = {.count = 0};
    shared = pair_new(old, setup->table,
                      (struct soma_dual_options){.mode = setup->mode, .rate = 1, .difference = note, .ctx = &told});
    atomic_store(&added, 0);
    crew_run(THREADS, some_calls, NULL);
    uint64_t total = 0;
    for (uint64_t key = 1000; key < 1008; key++) {
        uint64_t value = 0;
        soma_dual_u64_get(shared, key, &value);
        total += value;
    }
    EXPECT_EQ(total, atomic_load(&added));
    uint64_t differing = 99;
    EXPECT_EQ(soma_dual_u64_check(shared, SOMA_DUAL_BY_WALK, &differing), SOMA_OK);
    EXPECT_EQ(differing, 0);
    EXPECT_EQ(soma_dual_u64_check(shared, SOMA_DUAL_BY_DIGEST, &differing), SOMA_OK);
    EXPECT_EQ(differing, 0);
    struct soma_dual_counters counters;
    soma_dual_u64_counters(shared, &counters);
    EXPECT_EQ(sum(counters.differences), 0);
    EXPECT_EQ(atomic_load(&told.count), 0);
    EXPECT_EQ(counters.calls[SOMA_DUAL_PUT], counters.compared[SOMA_DUAL_PUT]);
    EXPECT_EQ(counters.calls[SOMA_DUAL_FETCH_ADD], atomic_load(&added));
    verified(sum(counters.compared));
    soma_dual_u64_free(shared);
    old_free(old);
}

/* ---- Seeded bugs ---- */

static void loses(const void *arg)
{
    const enum soma_dual_mode mode = *(const enum soma_dual_mode *)arg;
    struct old *old = old_new(LOSES);
    struct told told = {.count = 0};
    soma_dual_u64 *pair =
        pair_new(old, &few, (struct soma_dual_options){.mode = mode, .rate = 1, .difference = note, .ctx = &told});
    for (uint64_t key = 0; key < KEYS; key++)
        EXPECT_EQ(soma_dual_u64_put(pair, key, key + 1, NULL), SOMA_INSERTED);
    EXPECT_EQ(atomic_load(&told.count), 0); /* it says that it has put them */
    uint64_t found = 0;
    for (uint64_t key = 0; key < KEYS; key++)
        found += soma_dual_u64_get(pair, key, NULL) == SOMA_OK;
    EXPECT_EQ(found, mode == SOMA_DUAL_OLD_ANSWERS ? KEYS - KEYS / 1000 : KEYS);
    EXPECT_EQ(atomic_load(&told.by_verb[SOMA_DUAL_GET]), KEYS / 1000);
    uint64_t differing;
    EXPECT_EQ(soma_dual_u64_check(pair, SOMA_DUAL_BY_WALK, &differing), SOMA_OK);
    EXPECT_EQ(differing, KEYS / 1000);
    EXPECT_EQ(soma_dual_u64_check(pair, SOMA_DUAL_BY_DIGEST, &differing), SOMA_OK);
    EXPECT_EQ(differing, 1);
    EXPECT_EQ(atomic_load(&told.strange), 0);
    EXPECT_EQ(atomic_load(&told.deep), atomic_load(&told.count));
    verified(KEYS);
    soma_dual_u64_free(pair);
    old_free(old);
}

static void stale(const void *arg)
{
    (void)arg;
    struct old *old = old_new(STALE);
    struct told told = {.count = 0};
    soma_dual_u64 *pair = pair_new(old, &all, (struct soma_dual_options){.rate = 1, .difference = note, .ctx = &told});
    for (uint64_t key = 0; key < KEYS; key++)
        soma_dual_u64_put(pair, key, 1, NULL);
    for (uint64_t key = 0; key < KEYS; key++)
        soma_dual_u64_put(pair, key, 2, NULL);
    EXPECT_EQ(atomic_load(&told.count), 0);
    for (uint64_t key = 0; key < KEYS; key++) {
        uint64_t value = 0;
        EXPECT_EQ(soma_dual_u64_get(pair, key, &value), SOMA_OK);
        EXPECT_EQ(value, key % 1000 == 7 ? 1 : 2); /* the old map answers */
    }
    EXPECT_EQ(atomic_load(&told.by_verb[SOMA_DUAL_GET]), KEYS / 1000);
    EXPECT_EQ(atomic_load(&told.strange), 0);
    verified(KEYS);
    soma_dual_u64_free(pair);
    old_free(old);
}

/* What the old side cannot look up is its answer. A lookup's is compared with Soma's; what would change something changes neither
 * side if the old side answers and cannot do without, and else is done on both. */
static void fails(const void *arg)
{
    const enum soma_dual_mode mode = *(const enum soma_dual_mode *)arg;
    const bool old_answers = mode == SOMA_DUAL_OLD_ANSWERS;
    struct old *old = old_new(FAILS);
    struct told told = {.count = 0};
    const struct soma_dual_options options = {.mode = mode, .rate = 1, .difference = note, .ctx = &told};
    soma_dual_u64 *pair = pair_new(old, &few, options);
    for (uint64_t key = 0; key < KEYS; key++)
        EXPECT_EQ(soma_dual_u64_put(pair, key, key + 1, NULL), SOMA_INSERTED);
    for (uint64_t key = 0; key < KEYS; key++) {
        uint64_t value = 0;
        const enum soma_status status = soma_dual_u64_get(pair, key, &value);
        EXPECT_EQ(status, old_answers && key % 1000 == 7 ? SOMA_E_NOMEM : SOMA_OK);
        EXPECT_EQ(value, status == SOMA_OK ? key + 1 : 0);
    }
    EXPECT_EQ(atomic_load(&told.by_verb[SOMA_DUAL_GET]), KEYS / 1000);
    const uint64_t shadowed = old_answers ? 0 : 1;
    EXPECT_EQ(soma_dual_u64_put_new(pair, 7, 1, NULL), old_answers ? SOMA_E_NOMEM : SOMA_EXISTS);
    EXPECT_EQ(atomic_load(&told.by_verb[SOMA_DUAL_PUT_NEW]), shadowed);
    EXPECT_EQ(soma_dual_u64_put_new(pair, 8, 1, NULL), SOMA_EXISTS);
    EXPECT_EQ(soma_dual_u64_put_new(pair, 10007, 1, NULL), old_answers ? SOMA_E_NOMEM : SOMA_INSERTED);
    EXPECT_EQ(soma_u64_get(soma_dual_u64_raw(pair), 10007, NULL), old_answers ? SOMA_ABSENT : SOMA_OK);
    EXPECT_EQ(soma_any_u64_get(old->words, 10007, NULL), SOMA_ABSENT);
    EXPECT_EQ(atomic_load(&told.count), KEYS / 1000 + 2 * shadowed);
    uint64_t differing = 0;
    EXPECT_EQ(soma_dual_u64_check(pair, SOMA_DUAL_BY_WALK, &differing), SOMA_OK); /* goes on, too */
    EXPECT_EQ(differing, KEYS / 1000 + shadowed);
    EXPECT_EQ(atomic_load(&told.by_verb[SOMA_DUAL_CHECK]), differing);
    soma_dual_map *bytes = bytes_pair_new(old, options, NULL);
    EXPECT_EQ(soma_dual_map_put(bytes, "k7", 2, "v", 1, NULL),
              SOMA_INSERTED); /* the old side can do that without a look */
    EXPECT_EQ(soma_dual_map_get_copy(bytes, "k7", 2, NULL, 0, NULL), old_answers ? SOMA_E_NOMEM : SOMA_OK);
    EXPECT_EQ(atomic_load(&told.by_verb[SOMA_DUAL_GET]), KEYS / 1000 + 1);
    EXPECT_EQ(soma_dual_map_replace(bytes, "k7", 2, "w", 1, NULL), old_answers ? SOMA_E_NOMEM : SOMA_REPLACED);
    EXPECT_EQ(atomic_load(&told.by_verb[SOMA_DUAL_REPLACE]), shadowed);
    struct soma_bytes value = {.data = NULL, .len = 77};
    char now[2] = "";
    size_t len = 0;
    soma_read_enter();
    EXPECT_EQ(soma_dual_map_put(bytes, "k7", 2, "x", 1, &value), old_answers ? SOMA_E_NOMEM : SOMA_REPLACED);
    EXPECT_EQ(value.len, old_answers ? 77 : 1);
    EXPECT_EQ(soma_map_get_copy(soma_dual_map_raw(bytes), "k7", 2, now, 2, &len), SOMA_OK);
    EXPECT_EQ(now[0], old_answers ? 'v' : 'x');
    EXPECT_EQ(soma_any_map_get_copy(old->bytes, "k7", 2, now, 2, &len), SOMA_OK);
    EXPECT_EQ(now[0], old_answers ? 'v' : 'x');
    EXPECT_EQ(soma_dual_map_cas(bytes, "k7", 2, now, 1, "y", 1, &value), old_answers ? SOMA_E_NOMEM : SOMA_REPLACED);
    EXPECT_EQ(soma_dual_map_remove(bytes, "k7", 2, &value), old_answers ? SOMA_E_NOMEM : SOMA_REMOVED);
    soma_read_exit();
    EXPECT_EQ(soma_dual_map_remove(bytes, "k7", 2, NULL), old_answers ? SOMA_REMOVED : SOMA_ABSENT);
    EXPECT_EQ(atomic_load(&told.count), KEYS / 1000 + 1 + 3 * shadowed + differing);
    verified(KEYS);
    soma_dual_map_free(bytes);
    soma_dual_u64_free(pair);
    old_free(old);
}

/* Wrong statuses, a key twice in a walk, and what passes by the pair. */
static void others(const void *arg)
{
    (void)arg;
    struct old *old = old_new(ROTTEN);
    struct told told = {.count = 0};
    soma_dual_u64 *pair = pair_new(old, &all, (struct soma_dual_options){.rate = 1, .difference = note, .ctx = &told});
    for (uint64_t key = 0; key < 100; key++) {
        soma_dual_u64_put(pair, key, 1, NULL);
        soma_dual_u64_put(pair, key, 1, NULL);
    }
    EXPECT_EQ(atomic_load(&told.by_verb[SOMA_DUAL_PUT]), 100);
    old->fault = DOUBLE;
    uint64_t differing;
    EXPECT_EQ(soma_dual_u64_check(pair, SOMA_DUAL_BY_WALK, &differing), SOMA_OK);
    EXPECT_EQ(differing, 1);
    EXPECT_EQ(atomic_load(&told.by_verb[SOMA_DUAL_COUNT]), 1);
    soma_any_u64_remove(old->words, 7, NULL);
    old->fault = DOUBLE; /* as many entries as Soma has, and one key less */
    EXPECT_EQ(soma_dual_u64_check(pair, SOMA_DUAL_BY_WALK, &differing), SOMA_OK);
    EXPECT_EQ(differing, 1);
    EXPECT_EQ(atomic_load(&told.by_verb[SOMA_DUAL_CHECK]), 1);
    soma_any_u64_put(old->words, 1007, 1, NULL);
    soma_any_u64_put(old->words, 2007, 1, NULL);
    EXPECT_EQ(soma_dual_u64_check(pair, SOMA_DUAL_BY_WALK, &differing), SOMA_OK);
    EXPECT_EQ(differing, 3);
    EXPECT_EQ(soma_dual_u64_count_approx(pair), 101);
    EXPECT_EQ(atomic_load(&told.by_verb[SOMA_DUAL_COUNT]), 2);
    EXPECT_EQ(soma_dual_u64_clear(pair), SOMA_OK);
    EXPECT_EQ(soma_dual_u64_count_approx(pair), 0);
    EXPECT_EQ(soma_dual_u64_check(pair, SOMA_DUAL_BY_WALK, &differing), SOMA_OK);
    EXPECT_EQ(differing, 0);
    verified(200);
    soma_dual_u64_free(pair);
    old_free(old);
}

/* ---- Retired calls that use the pair ---- */

#define CLEARED UINT64_C(20000)

static atomic_ullong looked;

static void look(void *pair)
{
    (void)soma_dual_u64_get(pair, 1, NULL);
    (void)soma_dual_u64_remove(pair, CLEARED + 1, NULL);
    atomic_fetch_add(&looked, 1);
}

/* All mutexes of the pair are held while both sides are cleared: what others have retired waits until then, and at a cap too small
 * for what is cleared nothing is refused. */
static void clear_retires(const void *arg)
{
    const uint64_t cap = *(const uint64_t *)arg;
    struct old *old = old_new(SOUND);
    struct told told = {.count = 0};
    const struct soma_dual_options options = {.rate = 1, .difference = note, .ctx = &told};
    const struct soma_u64_options soma = {.deferred_bytes_max = cap};
    soma_dual_u64 *pair;
    if (soma_dual_u64_new(&options, &soma, &all, old, &pair) != SOMA_OK)
        abort();
    for (uint64_t key = 0; key < CLEARED; key++)
        soma_dual_u64_put(pair, key, key, NULL);
    struct stalled stalled;
    atomic_store(&looked, 0);
    stalled_start(&stalled);
    for (int i = 0; i < 1000; i++)
        EXPECT_EQ(soma_retire(look, pair), SOMA_OK);
    EXPECT_EQ(atomic_load(&looked), 0);
    stalled_stop(&stalled);
    watchdog(20);
    EXPECT_EQ(soma_dual_u64_clear(pair), SOMA_OK);
    EXPECT(atomic_load(&looked) > 0); /* behind the mutexes */
    struct soma_stats stats = {.struct_size = sizeof stats};
    EXPECT_EQ(soma_u64_stats(soma_dual_u64_raw(pair), &stats), SOMA_OK);
    EXPECT(stats.deferred_bytes <= cap);
    EXPECT_EQ(soma_dual_u64_count_approx(pair), 0);
    for (uint64_t key = 0; key < 1000; key++) {
        EXPECT_EQ(soma_dual_u64_put(pair, key, key, NULL), SOMA_INSERTED);
        EXPECT_EQ(soma_dual_u64_remove(pair, key, NULL), SOMA_REMOVED);
    }
    soma_barrier_wait();
    watchdog(0);
    EXPECT_EQ(atomic_load(&looked), 1000);
    EXPECT_EQ(atomic_load(&told.count), 0);
    verified(CLEARED);
    soma_dual_u64_free(pair);
    old_free(old);
}

/* The old map's lock is held while a new pair takes over what it has. */
static _Thread_local bool walking;
static atomic_ullong amid;

static void look_amid(void *arg)
{
    (void)arg;
    atomic_fetch_add(&looked, 1);
    atomic_fetch_add(&amid, walking);
}

static enum soma_status walk_locked(void *arg, soma_dual_u64_visit visit, void *ctx)
{
    walking = true;
    const enum soma_status status = walk(arg, visit, ctx);
    walking = false;
    return status;
}

static void fill_retires(const void *arg)
{
    (void)arg;
    struct old *old = old_new(SOUND);
    struct soma_dual_u64_old table = all;
    table.walk = walk_locked;
    for (uint64_t key = 0; key < CLEARED; key++)
        soma_any_u64_put(old->words, key, key, NULL);
    struct stalled stalled;
    atomic_store(&looked, 0);
    stalled_start(&stalled);
    for (int i = 0; i < 1000; i++)
        EXPECT_EQ(soma_retire(look_amid, NULL), SOMA_OK);
    stalled_stop(&stalled);
    soma_dual_u64 *pair = pair_new(old, &table, (struct soma_dual_options){.rate = 1});
    /* Words that are put into cells look for what is due: behind the walk. */
    EXPECT(!HAVE_CAS16 || atomic_load(&looked) > 0);
    EXPECT_EQ(atomic_load(&amid), 0);
    EXPECT_EQ(soma_u64_count_approx(soma_dual_u64_raw(pair)), CLEARED);
    soma_barrier_wait();
    EXPECT_EQ(atomic_load(&looked), 1000);
    verified(CLEARED);
    soma_dual_u64_free(pair);
    old_free(old);
}

/* ---- What may be done where a difference is told ---- */

static void open_view(const struct soma_dual_difference *difference, void *ctx)
{
    struct told *told = ctx;
    soma_u64 *map;
    soma_view *view;
    atomic_fetch_add(&told->count, 1);
    if (soma_u64_new(NULL, &map) != SOMA_OK)
        abort();
    const enum soma_status status = soma_u64_view_open(map, &view);
    EXPECT_EQ(status, SOMA_OK);
    if (status == SOMA_OK)
        soma_view_close(view);
    soma_u64_free(map);
    if (difference->words)
        return;
    EXPECT(difference->old.bytes.len == 3 && memcmp(difference->old.bytes.data, "two", 3) == 0);
    const char *bytes = difference->soma.bytes.data;
    atomic_fetch_add(&told->strange, difference->soma.bytes.len);
    for (size_t i = 0; i < difference->soma.bytes.len; i++)
        EXPECT_EQ(bytes[i], 'b');
}

/* It is not inside a section any more, so it may wait; and what Soma has said is there all the same. */
static void told_outside(const void *arg)
{
    const enum soma_dual_mode mode = *(const enum soma_dual_mode *)arg;
    struct old *old = old_new(LOSES);
    struct told told = {.count = 0};
    const struct soma_dual_options options = {.mode = mode, .rate = 1, .difference = open_view, .ctx = &told};
    soma_dual_u64 *pair = pair_new(old, &few, options);
    soma_dual_u64_put(pair, 7, 1, NULL);
    soma_dual_u64_get(pair, 7, NULL);
    EXPECT_EQ(atomic_load(&told.count), 1);
    soma_dual_map *bytes = bytes_pair_new(old, options, NULL);
    char big[1500];
    memset(big, 'b', sizeof big);
    soma_dual_map_put(bytes, "k", 1, "two", 3, NULL);
    soma_map_put(soma_dual_map_raw(bytes), "k", 1, big, sizeof big, NULL); /* behind the pair's back */
    char out[1500] = "";
    size_t len = 0;
    EXPECT_EQ(soma_dual_map_get_copy(bytes, "k", 1, out, sizeof out, &len), SOMA_OK);
    EXPECT_EQ(len, mode == SOMA_DUAL_OLD_ANSWERS ? 3 : sizeof big);
    EXPECT(memcmp(out, mode == SOMA_DUAL_OLD_ANSWERS ? "two" : big, len) == 0);
    EXPECT_EQ(atomic_load(&told.strange), sizeof big);
    EXPECT_EQ(atomic_load(&told.count), 2);
    verified(3);
    soma_dual_map_free(bytes);
    soma_dual_u64_free(pair);
    old_free(old);
}

static void note_len(const struct soma_dual_difference *difference, void *ctx)
{
    *(size_t *)ctx = difference->soma.bytes.len;
}

/* Without memory for a copy, what is told is cut. */
static void told_without_memory(const void *arg)
{
    (void)arg;
    struct old *old = old_new(SOUND);
    size_t told = 0;
    const struct soma_dual_options options = {.rate = 1, .difference = note_len, .ctx = &told};
    soma_dual_map *bytes = bytes_pair_new(old, options, NULL);
    char big[1500];
    memset(big, 'b', sizeof big);
    soma_dual_map_put(bytes, "k", 1, "two", 3, NULL);
    soma_map_put(soma_dual_map_raw(bytes), "k", 1, big, sizeof big, NULL);
    atomic_store(&left, 0);
    const enum soma_status status = soma_dual_map_get_copy(bytes, "k", 1, NULL, 0, NULL);
    atomic_store(&left, -1);
    EXPECT_EQ(status, SOMA_OK);
    EXPECT_EQ(told, 256);
    EXPECT_EQ(soma_dual_map_get_copy(bytes, "k", 1, NULL, 0, NULL), SOMA_OK);
    EXPECT_EQ(told, sizeof big);
    verified(2);
    soma_dual_map_free(bytes);
    old_free(old);
}

/* ---- Samples ---- */

static uint64_t compared_of(double rate, uint64_t seed)
{
    struct old *old = old_new(SOUND);
    soma_dual_u64 *pair = pair_new(old, &few, (struct soma_dual_options){.rate = rate, .seed = seed});
    for (uint64_t key = 0; key < 20000; key++)
        soma_dual_u64_get(pair, key, NULL);
    struct soma_dual_counters counters;
    soma_dual_u64_counters(pair, &counters);
    EXPECT_EQ(counters.calls[SOMA_DUAL_GET], 20000);
    soma_dual_u64_free(pair);
    old_free(old);
    return counters.compared[SOMA_DUAL_GET];
}

static void rates(const void *arg)
{
    (void)arg;
    compared_of(1, 0); /* this thread has its record from here on */
    EXPECT_EQ(compared_of(0, 1), 0);
    EXPECT_EQ(compared_of(1, 1), 20000);
    const uint64_t tenth = compared_of(0.1, 1);
    EXPECT(tenth > 1800 && tenth < 2200); /* 2000, give or take four and a half standard deviations */
    EXPECT_EQ(compared_of(0.1, 1), tenth);
    EXPECT(compared_of(0.01, 2) < 300);
    verified(6);
}

/* What changes something is done on both sides, whatever the rate; where nothing is compared, nothing is told. */
static void unsampled(const void *arg)
{
    (void)arg;
    struct old *old = old_new(LOSES);
    struct told told = {.count = 0};
    soma_dual_u64 *pair = pair_new(old, &few, (struct soma_dual_options){.rate = 0, .difference = note, .ctx = &told});
    for (uint64_t key = 0; key < KEYS; key++)
        soma_dual_u64_put(pair, key, 1, NULL);
    EXPECT_EQ(soma_u64_count_approx(soma_dual_u64_raw(pair)), KEYS);
    EXPECT_EQ(soma_any_u64_count_approx(old->words), KEYS - KEYS / 1000);
    EXPECT_EQ(soma_dual_u64_get(pair, 7, NULL), SOMA_ABSENT);
    EXPECT_EQ(atomic_load(&told.count), 0);
    verified(KEYS);
    soma_dual_u64_free(pair);
    old_free(old);
}

/* ---- Byte maps ---- */

static enum soma_status append(const void *key, size_t key_len, bool present, struct soma_bytes *value, void *ctx)
{
    (void)key, (void)key_len;
    char *room = ctx;
    if (present && value->len >= 900)
        return SOMA_REMOVED;
    if (present && value->len > 0)
        memcpy(room, value->data, value->len);
    memset(room + (present ? value->len : 0), 'a', 300);
    *value = (struct soma_bytes){.data = room, .len = (present ? value->len : 0) + 300};
    return SOMA_OK;
}

static void bytes_calls(const void *arg)
{
    const enum soma_dual_mode mode = *(const enum soma_dual_mode *)arg;
    struct old *old = old_new(SOUND);
    struct told told = {.count = 0};
    const struct soma_dual_options options = {.mode = mode, .rate = 1, .difference = note, .ctx = &told};
    const struct soma_map_options soma = {.flags = SOMA_DIGEST};
    soma_dual_map *pair = bytes_pair_new(old, options, &soma);
    char big[1500];
    memset(big, 'b', sizeof big);
    soma_read_enter();
    struct soma_bytes out = {.len = 77};
    EXPECT_EQ(soma_dual_map_put(pair, "k", 1, big, sizeof big, &out), SOMA_INSERTED);
    EXPECT_EQ(out.len, 77);
    EXPECT_EQ(soma_dual_map_get_ref(pair, "k", 1, &out), SOMA_OK);
    EXPECT(out.len == sizeof big && memcmp(out.data, big, sizeof big) == 0);
    EXPECT_EQ(soma_dual_map_put(pair, "k", 1, "two", 3, &out), SOMA_REPLACED);
    EXPECT(out.len == sizeof big && memcmp(out.data, big, sizeof big) == 0);
    EXPECT_EQ(soma_dual_map_cas(pair, "k", 1, "one", 3, "x", 1, &out), SOMA_CHANGED);
    EXPECT(out.len == 3 && memcmp(out.data, "two", 3) == 0);
    EXPECT_EQ(soma_dual_map_cas(pair, "k", 1, "two", 3, "", 0, NULL), SOMA_REPLACED);
    EXPECT_EQ(soma_dual_map_put_new(pair, "k", 1, "x", 1, &out), SOMA_EXISTS);
    EXPECT_EQ(out.len, 0);
    EXPECT_EQ(soma_dual_map_replace(pair, "", 0, "x", 1, NULL), SOMA_ABSENT);
    EXPECT_EQ(soma_dual_map_put_new(pair, "", 0, "x", 1, NULL), SOMA_INSERTED);
    EXPECT_EQ(soma_dual_map_remove_if(pair, "", 0, "y", 1, &out), SOMA_CHANGED);
    EXPECT_EQ(soma_dual_map_remove_if(pair, "", 0, "x", 1, NULL), SOMA_REMOVED);
    EXPECT_EQ(soma_dual_map_fetch_add(pair, "k", 1, 1, NULL), SOMA_E_INVALID);
    uint64_t word = 5;
    EXPECT_EQ(soma_dual_map_fetch_add(pair, "n", 1, 3, &word), SOMA_INSERTED);
    EXPECT_EQ(word, 0);
    EXPECT_EQ(soma_dual_map_fetch_add(pair, "n", 1, 3, &word), SOMA_REPLACED);
    EXPECT_EQ(word, 3);
    for (int i = 0; i < 4; i++)
        EXPECT_EQ(soma_dual_map_update(pair, "u", 1, append, big), i == 0  ? SOMA_INSERTED
                                                                   : i < 3 ? SOMA_REPLACED
                                                                           : SOMA_REMOVED);
    EXPECT_EQ(soma_dual_map_remove(pair, "k", 1, &out), SOMA_REMOVED);
    soma_read_exit();
    size_t len = 0;
    EXPECT_EQ(soma_dual_map_get_copy(pair, "n", 1, &word, 4, &len), SOMA_OK);
    EXPECT_EQ(len, 8);
    EXPECT_EQ(soma_dual_map_get_copy(pair, NULL, 1, &word, 4, &len), SOMA_E_INVALID);
    EXPECT_EQ(soma_dual_map_clear(pair), SOMA_E_UNSUPPORTED);
    EXPECT_EQ(soma_dual_map_count_approx(pair), 1);
    uint64_t differing = 9;
    EXPECT_EQ(soma_dual_map_check(pair, SOMA_DUAL_BY_DIGEST, &differing), SOMA_OK);
    EXPECT_EQ(differing, 0);
    EXPECT_EQ(atomic_load(&told.count), 0);
    soma_any_map_put(old->bytes, "n", 1, "other", 5, NULL);
    EXPECT_EQ(soma_dual_map_check(pair, SOMA_DUAL_BY_WALK, &differing), SOMA_OK);
    EXPECT_EQ(differing, 1);
    struct soma_dual_counters counters;
    soma_dual_map_counters(pair, &counters);
    EXPECT_EQ(counters.differences[SOMA_DUAL_CHECK], 1);
    verified(sum(counters.compared));
    soma_dual_map_free(pair);
    old_free(old);
}

/* ---- Words that change where they stand ---- */

struct between {
    soma_dual_map *pair;
    pthread_t thread;
    unsigned runs;
    bool removes;
};

static void *add_three(void *arg)
{
    const struct between *between = arg;
    uint64_t old = 0;
    EXPECT_EQ(soma_dual_map_fetch_add(between->pair, "n", 1, 3, &old), SOMA_REPLACED);
    EXPECT_EQ(old, 5);
    return NULL;
}

/* Once, another thread gets between what it is shown and what it answers. */
static enum soma_status double_or_remove(const void *key, size_t key_len, bool present, struct soma_bytes *value,
                                         void *ctx)
{
    (void)key, (void)key_len;
    struct between *between = ctx;
    static uint64_t word;
    EXPECT(present && value->len == sizeof word);
    memcpy(&word, value->data, sizeof word);
    if (between->runs++ == 0) {
        if (pthread_create(&between->thread, NULL, add_three, between) != 0)
            abort();
        (void)pthread_join(between->thread, NULL);
    }
    if (between->removes)
        return word == 5 ? SOMA_REMOVED : SOMA_EXISTS;
    word *= 2;
    *value = (struct soma_bytes){.data = &word, .len = sizeof word};
    return SOMA_OK;
}

/* An update does not take a word that an addition has changed in place for the one that its function was shown. */
static void update_beside_add(const void *arg)
{
    const enum soma_dual_mode mode = *(const enum soma_dual_mode *)arg;
    struct old *old = old_new(SOUND);
    struct told told = {.count = 0};
    const struct soma_dual_options options = {.mode = mode, .rate = 1, .difference = note, .ctx = &told};
    for (int removes = 0; removes < 2; removes++) {
        struct between between = {.removes = removes};
        between.pair = bytes_pair_new(old, options, NULL);
        uint64_t word = 5;
        size_t len = 0;
        soma_dual_map_put(between.pair, "n", 1, &word, sizeof word, NULL);
        EXPECT_EQ(soma_dual_map_update(between.pair, "n", 1, double_or_remove, &between),
                  removes ? SOMA_EXISTS : SOMA_REPLACED);
        EXPECT_EQ(between.runs, 2);
        EXPECT_EQ(soma_dual_map_get_copy(between.pair, "n", 1, &word, sizeof word, &len), SOMA_OK);
        EXPECT_EQ(word, removes ? 8 : 16);
        soma_dual_map_free(between.pair);
    }
    EXPECT_EQ(atomic_load(&told.count), 0);
    verified(2);
    old_free(old);
}

static soma_dual_map *counted;
static atomic_ullong additions;

#define ADDITIONS 100000

static enum soma_status add_one(const void *key, size_t key_len, bool present, struct soma_bytes *value, void *ctx)
{
    (void)key, (void)key_len;
    uint64_t *word = ctx;
    *word = 0;
    if (present)
        memcpy(word, value->data, sizeof *word);
    ++*word;
    *value = (struct soma_bytes){.data = word, .len = sizeof *word};
    return SOMA_OK;
}

static void add_or_look(unsigned index, void *arg)
{
    (void)arg;
    uint64_t last = 0;
    while (atomic_load(&additions) < ADDITIONS) {
        uint64_t word = 0;
        size_t len = 0;
        if (index % 2 == 0) {
            soma_dual_map_fetch_add(counted, "n", 1, 1, &word);
            atomic_fetch_add(&additions, 1);
        } else if (index == 1) {
            soma_dual_map_update(counted, "n", 1, add_one, &word);
            atomic_fetch_add(&additions, 1);
        } else if (soma_dual_map_get_copy(counted, "n", 1, &word, sizeof word, &len) == SOMA_OK) {
            EXPECT(word >= last);
            last = word;
        }
    }
}

/* Nor does a lookup tell a difference because its word goes on changing; and every addition counts. */
static void look_beside_add(const void *arg)
{
    const enum soma_dual_mode mode = *(const enum soma_dual_mode *)arg;
    struct old *old = old_new(SOUND);
    struct told told = {.count = 0};
    const struct soma_dual_options options = {.mode = mode, .rate = 1, .difference = note, .ctx = &told};
    counted = bytes_pair_new(old, options, NULL);
    atomic_store(&additions, 0);
    crew_run(THREADS, add_or_look, NULL);
    EXPECT_EQ(atomic_load(&told.count), 0);
    uint64_t word = 0;
    size_t len = 0;
    EXPECT_EQ(soma_dual_map_get_copy(counted, "n", 1, &word, sizeof word, &len), SOMA_OK);
    EXPECT_EQ(word, atomic_load(&additions));
    verified(atomic_load(&additions));
    soma_dual_map_free(counted);
    old_free(old);
}

static void bytes_lost(const void *arg)
{
    (void)arg;
    struct old *old = old_new(LOSES);
    struct told told = {.count = 0};
    const struct soma_dual_options options = {.rate = 1, .difference = note, .ctx = &told};
    soma_dual_map *pair = bytes_pair_new(old, options, NULL);
    for (int i = 0; i < 100; i++) {
        char key[16];
        const size_t len = (size_t)snprintf(key, sizeof key, "key-%d", i);
        soma_dual_map_put(pair, key, len, "v", 1, NULL);
        soma_dual_map_get_copy(pair, key, len, NULL, 0, NULL);
    }
    EXPECT_EQ(atomic_load(&told.by_verb[SOMA_DUAL_GET]), 10);
    uint64_t differing;
    EXPECT_EQ(soma_dual_map_check(pair, SOMA_DUAL_BY_WALK, &differing), SOMA_OK);
    EXPECT_EQ(differing, 10);
    EXPECT_EQ(soma_dual_map_check(pair, SOMA_DUAL_BY_DIGEST, &differing), SOMA_E_UNSUPPORTED);
    verified(100);
    soma_dual_map_free(pair);
    old_free(old);
}

/* ---- Without memory ---- */

/* What fails on both sides changes neither, and what fails on one is told: the n-th allocation of a put fails, for every n. */
static void refused(const void *arg)
{
    const enum soma_dual_mode mode = *(const enum soma_dual_mode *)arg;
    uint64_t refusals = 0;
    for (int n = 0; n < 24; n++) {
        struct old *old = old_new(SOUND);
        struct told told = {.count = 0};
        const struct soma_dual_options options = {.mode = mode, .rate = 1, .difference = note, .ctx = &told};
        char big[600] = "of which a copy needs memory";
        soma_dual_map *pair = NULL;
        atomic_store(&left, n / 2);
        enum soma_status status = soma_dual_map_new(&options, NULL, &map_table, old, &pair);
        atomic_store(&left, -1);
        refusals += status == SOMA_E_NOMEM;
        EXPECT(status == SOMA_OK || status == SOMA_E_NOMEM);
        if (!pair && soma_dual_map_new(&options, NULL, &map_table, old, &pair) != SOMA_OK)
            abort();
        if (n % 2)
            soma_dual_map_put(pair, "k", 1, big, sizeof big, NULL);
        struct soma_bytes out;
        atomic_store(&left, n / 2);
        status = soma_dual_map_put(pair, "k", 1, big, sizeof big - 1, &out);
        atomic_store(&left, -1);
        refusals += status == SOMA_E_NOMEM;
        EXPECT(status == SOMA_INSERTED || status == SOMA_REPLACED || status == SOMA_E_NOMEM);
        const uint64_t by_put = atomic_load(&told.count);
        uint64_t differing = 9;
        EXPECT_EQ(soma_dual_map_check(pair, SOMA_DUAL_BY_WALK, &differing), SOMA_OK);
        EXPECT_EQ(differing, by_put);
        soma_dual_map_free(pair);
        old_free(old);
    }
    verified(refusals);
    EXPECT(!leaks_found());
}

/* ---- Text, arguments, what the old map holds already ---- */

static void texts(const void *arg)
{
    (void)arg;
    char text[8192];
    struct soma_dual_difference difference = {.number = 3,
                                              .verb = SOMA_DUAL_PUT,
                                              .words = true,
                                              .key_word = 42,
                                              .old = {.status = SOMA_REPLACED, .told = true, .word = 7},
                                              .soma = {.status = SOMA_INSERTED}};
    const char *want = "soma dual: difference 3: put 42: old SOMA_REPLACED 7, soma SOMA_INSERTED\n";
    EXPECT_EQ(soma_dual_format(&difference, text, sizeof text), strlen(want));
    EXPECT_EQ(strcmp(text, want), 0);
    EXPECT_EQ(soma_dual_format(&difference, NULL, 0), strlen(want));
    EXPECT_EQ(soma_dual_format(&difference, text, 5), strlen(want));
    EXPECT_EQ(strcmp(text, "soma"), 0);
    difference.words = false;
    difference.verb = SOMA_DUAL_GET;
    difference.key = (struct soma_bytes){.data = "a\"\n", .len = 3};
    difference.old.bytes = (struct soma_bytes){.data = "0123456789012345678901234567890123456789", .len = 40};
    want =
        "soma dual: difference 3: get \"a\\x22\\x0a\": old SOMA_REPLACED \"01234567890123456789012345678901\"... of 40 "
        "bytes, soma SOMA_INSERTED\n";
    soma_dual_format(&difference, text, sizeof text);
    EXPECT_EQ(strcmp(text, want), 0);
    difference.verb = SOMA_DUAL_COUNT;
    difference.old = (struct soma_dual_answer){.told = true, .word = 5};
    difference.soma = (struct soma_dual_answer){.told = true, .word = 6};
    soma_dual_format(&difference, text, sizeof text);
    EXPECT_EQ(strcmp(text, "soma dual: difference 3: count: old 5, soma 6\n"), 0);
    for (int v = 0; v < SOMA_DUAL_VERBS; v++)
        EXPECT(soma_dual_verb_name((enum soma_dual_verb)v) != NULL);
    EXPECT(soma_dual_verb_name(SOMA_DUAL_VERBS) == NULL);
    verified(8);
}

/* A log of a real difference names the call. */
static void logs(const void *arg)
{
    (void)arg;
    FILE *file = tmpfile();
    if (!file)
        abort();
    struct old *old = old_new(LOSES);
    soma_dual_u64 *pair =
        pair_new(old, &few, (struct soma_dual_options){.rate = 1, .difference = soma_dual_log, .ctx = file});
    soma_dual_u64_put(pair, 7, 9, NULL);
    soma_dual_u64_get(pair, 7, NULL);
    rewind(file);
    char line[512] = "";
    EXPECT(fgets(line, sizeof line, file) != NULL);
    EXPECT_EQ(strcmp(line, "soma dual: difference 1: get 7: old SOMA_ABSENT, soma SOMA_OK 9\n"), 0);
    EXPECT(fgets(line, sizeof line, file) != NULL);
    EXPECT_EQ(strncmp(line, "    #0 ", 7), 0);
    (void)fclose(file);
    soma_dual_u64_free(pair);
    old_free(old);
    verified(2);
}

static void *log_cancelled(void *pair)
{
    (void)pthread_cancel(pthread_self());
    soma_dual_u64_get(pair, 7, NULL);
    atomic_fetch_add(&looked, 1);
    pthread_testcancel();
    return NULL;
}

/* Nor is that a cancellation point, though it writes. */
static void logs_cancelled(const void *arg)
{
    (void)arg;
    FILE *file = tmpfile();
    if (!file || setvbuf(file, NULL, _IONBF, 0) != 0)
        abort();
    struct old *old = old_new(LOSES);
    soma_dual_u64 *pair =
        pair_new(old, &few, (struct soma_dual_options){.rate = 1, .difference = soma_dual_log, .ctx = file});
    soma_dual_u64_put(pair, 7, 9, NULL);
    pthread_t thread;
    void *end = NULL;
    atomic_store(&looked, 0);
    EXPECT_EQ(pthread_create(&thread, NULL, log_cancelled, pair), 0);
    EXPECT_EQ(pthread_join(thread, &end), 0);
    EXPECT(end == PTHREAD_CANCELED);
    EXPECT_EQ(atomic_load(&looked), 1);
    EXPECT(ftell(file) > 0);
    (void)fclose(file);
    soma_dual_u64_free(pair);
    old_free(old);
    verified(1);
}

#define LOGGED 10000

/* A log of very many is bounded in its lines; those left out are counted in it, and all in the counters. */
static void logs_few(const void *arg)
{
    (void)arg;
    FILE *file = tmpfile();
    if (!file)
        abort();
    struct old *old = old_new(LOSES);
    soma_dual_u64 *pair =
        pair_new(old, &few, (struct soma_dual_options){.rate = 1, .difference = soma_dual_log, .ctx = file});
    soma_dual_u64_put(pair, 7, 9, NULL);
    const double start = now_seconds();
    for (int i = 0; i < LOGGED; i++)
        soma_dual_u64_get(pair, 7, NULL);
    const double seconds = now_seconds() - start;
    sleep_ms(1100);
    soma_dual_u64_get(pair, 7, NULL);
    struct soma_dual_counters counters;
    soma_dual_u64_counters(pair, &counters);
    EXPECT_EQ(counters.differences[SOMA_DUAL_GET], LOGGED + 1);
    rewind(file);
    char line[512];
    uint64_t shown = 0;
    uint64_t missing = 0;
    while (fgets(line, sizeof line, file)) {
        shown += strncmp(line, "soma dual: difference ", 22) == 0;
        if (strstr(line, " not shown\n"))
            missing += strtoull(line + strlen("soma dual: "), NULL, 10);
    }
    EXPECT(shown >= 101 && (double)shown <= 102 + seconds);
    EXPECT_EQ(shown + missing, LOGGED + 1);
    (void)fclose(file);
    soma_dual_u64_free(pair);
    old_free(old);
    verified(shown);
}

static void arguments(const void *arg)
{
    (void)arg;
    struct old *old = old_new(SOUND);
    soma_any_u64_put(old->words, 5, 6, NULL);
    soma_dual_u64 *pair = NULL;
    const struct soma_dual_u64_old lacking = {.get = get, .put = put};
    EXPECT_EQ(soma_dual_u64_new(NULL, NULL, &lacking, old, &pair), SOMA_E_INVALID);
    EXPECT_EQ(soma_dual_u64_new(NULL, NULL, NULL, old, &pair), SOMA_E_INVALID);
    EXPECT_EQ(soma_dual_u64_new(NULL, NULL, &few, old, NULL), SOMA_E_INVALID);
    const struct soma_dual_options bad[] = {
        {.rate = 1.5}, {.rate = -1}, {.mode = (enum soma_dual_mode)7}, {.struct_size = 3}};
    for (int i = 0; i < 4; i++)
        EXPECT_EQ(soma_dual_u64_new(&bad[i], NULL, &few, old, &pair), SOMA_E_INVALID);
    EXPECT_EQ(soma_dual_u64_new(&(struct soma_dual_options){.rate = 1}, NULL, &few, old, &pair), SOMA_OK);
    EXPECT_EQ(soma_u64_get(soma_dual_u64_raw(pair), 5, NULL), SOMA_OK); /* what was there was taken over */
    EXPECT_EQ(soma_dual_u64_clear(pair), SOMA_E_UNSUPPORTED);
    EXPECT_EQ(soma_dual_u64_count_approx(pair), 1);
    struct soma_dual_counters counters;
    soma_dual_u64_counters(pair, &counters);
    EXPECT_EQ(counters.calls[SOMA_DUAL_COUNT], 1);
    EXPECT_EQ(counters.compared[SOMA_DUAL_COUNT], 0); /* there is nothing to compare it with */
    EXPECT_EQ(soma_dual_u64_check(pair, (enum soma_dual_how)9, NULL), SOMA_E_INVALID);
    EXPECT_EQ(soma_dual_u64_check(pair, SOMA_DUAL_BY_DIGEST, NULL), SOMA_E_UNSUPPORTED);
    EXPECT_EQ(soma_dual_u64_update(pair, 1, NULL, NULL), SOMA_E_INVALID);
    EXPECT_EQ(soma_dual_u64_get(NULL, 1, NULL), SOMA_E_INVALID);
    EXPECT_EQ(soma_dual_u64_count_approx(NULL), 0);
    soma_dual_u64_free(NULL);
    soma_dual_map_free(NULL);
    soma_dual_u64_free(pair);
    old_free(old);
    verified(14);
}

int main(int argc, char **argv)
{
    static const enum soma_dual_mode old_answers = SOMA_DUAL_OLD_ANSWERS;
    static const enum soma_dual_mode soma_answers = SOMA_DUAL_SOMA_ANSWERS;
    const struct test_case cases[] = {
        {"sound-all", sound, &(const struct setup){&all, SOMA_DUAL_OLD_ANSWERS}},
        {"sound-few", sound, &(const struct setup){&few, SOMA_DUAL_OLD_ANSWERS}},
        {"sound-soma", sound, &(const struct setup){&all, SOMA_DUAL_SOMA_ANSWERS}},
        {"loses-old", loses, &old_answers},
        {"loses-soma", loses, &soma_answers},
        {"stale", stale, NULL},
        {"fails-old", fails, &old_answers},
        {"fails-soma", fails, &soma_answers},
        {"others", others, NULL},
        {"clear-retires", clear_retires, &(const uint64_t){SOMA_DEFERRED_BYTES_DEFAULT}},
        {"clear-at-cap", clear_retires, &(const uint64_t){UINT64_C(64) << 10}},
        {"fill-retires", fill_retires, NULL},
        {"told-outside-old", told_outside, &old_answers},
        {"told-outside-soma", told_outside, &soma_answers},
        {"told-without-memory", told_without_memory, NULL},
        {"rates", rates, NULL},
        {"unsampled", unsampled, NULL},
        {"bytes-old", bytes_calls, &old_answers},
        {"bytes-soma", bytes_calls, &soma_answers},
        {"bytes-lost", bytes_lost, NULL},
        {"update-beside-add-old", update_beside_add, &old_answers},
        {"update-beside-add-soma", update_beside_add, &soma_answers},
        {"look-beside-add-old", look_beside_add, &old_answers},
        {"look-beside-add-soma", look_beside_add, &soma_answers},
        {"refused-old", refused, &old_answers},
        {"refused-soma", refused, &soma_answers},
        {"texts", texts, NULL},
        {"logs", logs, NULL},
        {"logs-cancelled", logs_cancelled, NULL},
        {"logs-few", logs_few, NULL},
        {"arguments", arguments, NULL},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
