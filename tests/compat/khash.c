/* SPDX-License-Identifier: ISC */
/* khash.c - soma/compat/khash.h beside klib's own: the same random calls give the same answers, for every kind of key; threads that
 * count, enter and delete, with values that must be whole; and no memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <htslib/khash.h>

#include <soma/compat/khash.h>

#include "support.h"

/* ---- Memory that is refused ---- */

static bool armed;
static uint64_t asked;
static uint64_t first_refused;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
__attribute__((used)) void *__wrap_malloc(size_t size);
__attribute__((used)) void *__wrap_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size)
{
    return armed && ++asked >= first_refused ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return armed && ++asked >= first_refused ? NULL : __real_calloc(count, size);
}

static void refuse_from(uint64_t n)
{
    asked = 0;
    first_refused = n;
    armed = true;
}

/* ---- Keys of every kind ---- */

#define KEYS 300

struct point {
    int x;
    int y;
    int mark; /* not part of the key: tells which of equal keys is in the table */
};

#define point_hash(p) ((khint_t)(p).x * 2654435761u ^ (khint_t)(p).y)
#define point_hash_few(p) ((khint_t)(p).x % 5)
#define point_equal(a, b) ((a).x == (b).x && (a).y == (b).y)

static char texts[2][KEYS][16];

static void make_texts(void)
{
    for (unsigned copy = 0; copy < 2; copy++)
        for (unsigned i = 0; i < KEYS; i++)
            snprintf(texts[copy][i], sizeof texts[copy][i], "%u", i * i);
}

static khint32_t int_key(uint64_t number, uint64_t mark)
{
    (void)mark;
    return (khint32_t)number * 0x01000193u;
}

static khint64_t int64_key(uint64_t number, uint64_t mark)
{
    (void)mark;
    return number << 33;
}

static kh_cstr_t str_key(uint64_t number, uint64_t mark)
{
    return texts[mark % 2][number];
}

static struct point point_key(uint64_t number, uint64_t mark)
{
    return (struct point){(int)(number % 17), (int)(number / 17), (int)mark};
}

/* A word that tells keys apart, also equal ones. */
static uint64_t int_word(khint32_t key)
{
    return key;
}

static uint64_t int64_word(khint64_t key)
{
    return key;
}

static uint64_t str_word(kh_cstr_t key)
{
    return (uint64_t)(key - texts[0][0]);
}

static uint64_t point_word(struct point key)
{
    return (uint64_t)key.x << 40 ^ (uint64_t)key.y << 20 ^ (uint64_t)key.mark;
}

static bool seeded_bug;

static uint64_t mix(uint64_t key, uint64_t value)
{
    return (key + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ value * UINT64_C(0xbf58476d1ce4e5b9);
}

/* One random call on both, and all of them again and again, for one type of table. */
#define SAME_AS_KHASH(name, kind, key_type)                                                                            \
    static enum soma_status name##_plus(const key_type *key, bool present, uint64_t *value, void *ctx)                 \
    {                                                                                                                  \
        (void)key;                                                                                                     \
        *value += present ? *(uint64_t *)ctx : 1;                                                                      \
        return *value % 16 == 0 ? SOMA_REMOVED : SOMA_OK;                                                              \
    }                                                                                                                  \
    static void name##_look(soma_khash_t(name) * ours, khash_t(name) * theirs, key_type key)                           \
    {                                                                                                                  \
        uint64_t value = 0;                                                                                            \
        const khint_t k = kh_get(name, theirs, key);                                                                   \
        soma_read_enter();                                                                                             \
        const soma_khiter_t s = soma_kh_get(name, ours, key);                                                          \
        const bool there = k != kh_end(theirs);                                                                        \
        EXPECT_EQ(s != soma_kh_end(ours), there);                                                                      \
        EXPECT_EQ(soma_kh_copy(name, ours, key, &value), there ? SOMA_OK : SOMA_ABSENT);                               \
        EXPECT_EQ(soma_kh_exist(ours, s), there);                                                                      \
        if (there && s) {                                                                                              \
            EXPECT_EQ(kind##_word(soma_kh_key(ours, s)), kind##_word(kh_key(theirs, k)));                              \
            EXPECT_EQ(soma_kh_value(ours, s), kh_value(theirs, k));                                                    \
            EXPECT_EQ(value, kh_value(theirs, k));                                                                     \
        }                                                                                                              \
        soma_read_exit();                                                                                              \
        verified(1);                                                                                                   \
    }                                                                                                                  \
    static void name##_put(soma_khash_t(name) * ours, khash_t(name) * theirs, key_type key, uint64_t value)            \
    {                                                                                                                  \
        int their_ret;                                                                                                 \
        int our_ret;                                                                                                   \
        const khint_t k = kh_put(name, theirs, key, &their_ret);                                                       \
        const soma_khiter_t s = soma_kh_put(name, ours, key, &our_ret);                                                \
        EXPECT_EQ(our_ret, their_ret != 0);                                                                            \
        if (their_ret) {                                                                                               \
            EXPECT_EQ(soma_kh_value(ours, s), 0);                                                                      \
            soma_kh_value(ours, s) = value + (seeded_bug && value % 64 == 0);                                          \
            kh_value(theirs, k) = value;                                                                               \
        }                                                                                                              \
        EXPECT_EQ(soma_kh_value(ours, s), kh_value(theirs, k));                                                        \
    }                                                                                                                  \
    static void name##_store(soma_khash_t(name) * ours, khash_t(name) * theirs, key_type key, uint64_t value)          \
    {                                                                                                                  \
        int ret;                                                                                                       \
        const khint_t k = kh_put(name, theirs, key, &ret);                                                             \
        if (value % 2 == 0) {                                                                                          \
            EXPECT_EQ(soma_kh_set(name, ours, key, value), ret ? SOMA_INSERTED : SOMA_REPLACED);                       \
            kh_value(theirs, k) = value;                                                                               \
        } else {                                                                                                       \
            const uint64_t next = ret ? 1 : kh_value(theirs, k) + value;                                               \
            const bool gone = next % 16 == 0;                                                                          \
            kh_value(theirs, k) = next;                                                                                \
            if (gone)                                                                                                  \
                kh_del(name, theirs, k);                                                                               \
            EXPECT_EQ(soma_kh_update(name, ours, key, name##_plus, &value), gone  ? SOMA_REMOVED                       \
                                                                            : ret ? SOMA_INSERTED                      \
                                                                                  : SOMA_REPLACED);                    \
        }                                                                                                              \
        verified(1);                                                                                                   \
    }                                                                                                                  \
    static void name##_take(soma_khash_t(name) * ours, khash_t(name) * theirs, key_type key, uint64_t dice)            \
    {                                                                                                                  \
        const khint_t k = kh_get(name, theirs, key);                                                                   \
        const bool there = k != kh_end(theirs);                                                                        \
        uint64_t old = 0;                                                                                              \
        if (dice % 2) {                                                                                                \
            soma_read_enter();                                                                                         \
            const soma_khiter_t s = soma_kh_get(name, ours, key);                                                      \
            EXPECT_EQ(soma_kh_del(name, ours, s), there ? SOMA_REMOVED : SOMA_ABSENT);                                 \
            EXPECT(!soma_kh_exist(ours, s));                                                                           \
            EXPECT_EQ(soma_kh_del(name, ours, s), SOMA_ABSENT);                                                        \
            soma_read_exit();                                                                                          \
        } else {                                                                                                       \
            EXPECT_EQ(soma_kh_remove(name, ours, key, &old), there ? SOMA_REMOVED : SOMA_ABSENT);                      \
            EXPECT(!there || old == kh_value(theirs, k));                                                              \
        }                                                                                                              \
        kh_del(name, theirs, k);                                                                                       \
        verified(1);                                                                                                   \
    }                                                                                                                  \
    static void name##_walk(soma_khash_t(name) * ours, khash_t(name) * theirs)                                         \
    {                                                                                                                  \
        uint64_t sums[4] = {0};                                                                                        \
        unsigned until = 0;                                                                                            \
        key_type key;                                                                                                  \
        uint64_t value;                                                                                                \
        kh_foreach(theirs, key, value, sums[0] += mix(kind##_word(key), value););                                      \
        soma_kh_foreach(ours, key, value, sums[1] += mix(kind##_word(key), value));                                    \
        soma_kh_foreach_value(ours, value, sums[2] += value; sums[3]++);                                               \
        soma_kh_foreach_key(ours, key, {                                                                               \
            (void)key;                                                                                                 \
            if (++until == 2)                                                                                          \
                break;                                                                                                 \
            continue;                                                                                                  \
        });                                                                                                            \
        EXPECT_EQ(sums[1], sums[0]);                                                                                   \
        EXPECT_EQ(sums[3], kh_size(theirs));                                                                           \
        EXPECT_EQ(soma_kh_size(ours), kh_size(theirs));                                                                \
        EXPECT_EQ(until, kh_size(theirs) < 2 ? kh_size(theirs) : 2);                                                   \
        kh_foreach_value(theirs, value, sums[2] -= value;);                                                            \
        EXPECT_EQ(sums[2], 0);                                                                                         \
        EXPECT_EQ(soma_kh_error(ours), SOMA_OK);                                                                       \
        verified(1);                                                                                                   \
    }                                                                                                                  \
    static void name##_same(const void *setup)                                                                         \
    {                                                                                                                  \
        khash_t(name) *theirs = kh_init(name);                                                                         \
        soma_khash_t(name) *ours = soma_kh_init(name);                                                                 \
        struct rng rng = rng_new(1);                                                                                   \
        make_texts();                                                                                                  \
        seeded_bug = setup != NULL;                                                                                    \
        if (seeded_bug)                                                                                                \
            canary_begin();                                                                                            \
        EXPECT_EQ(soma_kh_resize(name, ours, 100), 0);                                                                 \
        for (uint64_t i = 0; i < 6000; i++) {                                                                          \
            const key_type key = kind##_key(rng_below(&rng, KEYS), i);                                                 \
            const uint64_t dice = rng_below(&rng, 1000);                                                               \
            const uint64_t value = rng_below(&rng, 1000);                                                              \
            if (dice < 250)                                                                                            \
                name##_put(ours, theirs, key, value);                                                                  \
            else if (dice < 500)                                                                                       \
                name##_store(ours, theirs, key, value);                                                                \
            else if (dice < 750)                                                                                       \
                name##_take(ours, theirs, key, value);                                                                 \
            else if (dice < 990)                                                                                       \
                name##_look(ours, theirs, key);                                                                        \
            else if (dice < 999)                                                                                       \
                name##_walk(ours, theirs);                                                                             \
            else {                                                                                                     \
                kh_clear(name, theirs);                                                                                \
                EXPECT_EQ(soma_kh_clear(name, ours), SOMA_OK);                                                         \
            }                                                                                                          \
        }                                                                                                              \
        kh_destroy(name, theirs);                                                                                      \
        soma_kh_destroy(name, ours);                                                                                   \
        soma_barrier_wait();                                                                                           \
        if (seeded_bug)                                                                                                \
            EXPECT(canary_end() > 0);                                                                                  \
        seeded_bug = false;                                                                                            \
    }

KHASH_MAP_INIT_INT(ints, uint64_t)
SOMA_KHASH_MAP_INIT_INT(ints, uint64_t)
SAME_AS_KHASH(ints, int, khint32_t)

KHASH_MAP_INIT_INT64(longs, uint64_t)
SOMA_KHASH_MAP_INIT_INT64(longs, uint64_t)
SAME_AS_KHASH(longs, int64, khint64_t)

KHASH_MAP_INIT_STR(strings, uint64_t)
SOMA_KHASH_MAP_INIT_STR(strings, uint64_t)
SAME_AS_KHASH(strings, str, kh_cstr_t)

KHASH_INIT(points, struct point, uint64_t, 1, point_hash, point_equal)
SOMA_KHASH_INIT(points, struct point, uint64_t, 1, point_hash, point_equal)
SAME_AS_KHASH(points, point, struct point)

KHASH_INIT(few, struct point, uint64_t, 1, point_hash_few, point_equal)
SOMA_KHASH_INIT(few, struct point, uint64_t, 1, point_hash_few, point_equal)
SAME_AS_KHASH(few, point, struct point)

SOMA_KHASH_INIT(own_ints, uint32_t, char, 0, soma_kh_int_hash_func, soma_kh_int_hash_equal)
SOMA_KHASH_INIT(own_longs, uint64_t, char, 0, soma_kh_int64_hash_func, soma_kh_int64_hash_equal)
SOMA_KHASH_INIT(own_strings, soma_kh_cstr_t, char, 0, soma_kh_str_hash_func, soma_kh_str_hash_equal)
SOMA_KHASH_SET_INIT_INT(set32)
SOMA_KHASH_SET_INIT_INT64(set64)
SOMA_KHASH_SET_INIT_STR(set)

/* Sets, with khash's hashes spelled out and without. */
#define SET_WORKS(name, one, two, one_again)                                                                           \
    do {                                                                                                               \
        soma_khash_t(name) *set = soma_kh_init(name);                                                                  \
        int ret = 5;                                                                                                   \
        EXPECT(soma_kh_put(name, set, one, &ret) != soma_kh_end(set) && ret == 1);                                     \
        EXPECT(soma_kh_put(name, set, two, &ret) != soma_kh_end(set) && ret == 1);                                     \
        EXPECT(soma_kh_put(name, set, one_again, &ret) != soma_kh_end(set) && ret == 0);                               \
        EXPECT_EQ(soma_kh_size(set), 2);                                                                               \
        soma_kh_destroy(name, set);                                                                                    \
        verified(3);                                                                                                   \
    } while (0)

static void sets(const void *setup)
{
    (void)setup;
    make_texts();
    SET_WORKS(own_ints, 1, 2, 1);
    SET_WORKS(own_longs, 1, UINT64_C(1) << 32, 1);
    SET_WORKS(own_strings, texts[0][1], texts[0][2], texts[1][1]);
    SET_WORKS(set32, 1, 2, 1);
    SET_WORKS(set64, 1, UINT64_C(1) << 32, 1);
    SET_WORKS(set, texts[0][1], texts[0][2], texts[1][1]);
    soma_kh_destroy(set, NULL);
}

/* An update that is overtaken by the key's removal sees a fresh value. */
static enum soma_status overtaken(const khint32_t *key, bool present, uint64_t *value, void *ctx)
{
    if (present)
        EXPECT_EQ(soma_kh_remove(ints, ctx, *key, NULL), SOMA_REMOVED);
    else
        EXPECT_EQ(*value, 0);
    *value += 1;
    return SOMA_OK;
}

/* An iterator is to an entry, not to a key. */
static void entries(const void *setup)
{
    soma_khash_t(ints) *h = soma_kh_init(ints);
    uint64_t value = 0;
    (void)setup;
    EXPECT_EQ(soma_kh_set(ints, h, 1, 10), SOMA_INSERTED);
    soma_read_enter();
    const soma_khiter_t old = soma_kh_get(ints, h, 1);
    EXPECT_EQ(soma_kh_set(ints, h, 1, 11), SOMA_REPLACED);
    EXPECT(!soma_kh_exist(h, old) && soma_kh_exist(h, soma_kh_get(ints, h, 1)));
    EXPECT_EQ(soma_kh_del(ints, h, old), SOMA_ABSENT);
    EXPECT_EQ(soma_kh_value(h, old), 10);
    soma_read_exit();
    EXPECT_EQ(soma_kh_copy(ints, h, 1, &value), SOMA_OK);
    EXPECT_EQ(value, 11);
    EXPECT_EQ(soma_kh_update(ints, h, 1, overtaken, h), SOMA_INSERTED);
    EXPECT_EQ(soma_kh_copy(ints, h, 1, &value), SOMA_OK);
    EXPECT_EQ(value, 1);
    EXPECT_EQ(soma_kh_resize(ints, h, 0), 0);
    EXPECT_EQ(soma_kh_resize(ints, h, UINT64_MAX), -1);
    soma_kh_destroy(ints, h);
    verified(10);
}

/* Strings that are the program's own go behind the call that looks at them: here those of every second key, by each way. */
static void strings_are_freed_behind(const void *setup)
{
    (void)setup;
    soma_khash_t(strings) *h = soma_kh_init(strings);
    make_texts();
    for (unsigned i = 0; i < KEYS; i++)
        EXPECT_EQ(soma_kh_set(strings, h, strcpy(need(1, sizeof texts[0][i]), texts[0][i]), i), SOMA_INSERTED);
    soma_kh_cstr_t text;
    uint64_t value;
    soma_read_enter();
    soma_kh_foreach(
        h, text, value, if (value % 2 == 0) {
            const soma_khiter_t k = soma_kh_get(strings, h, text);
            char *const key = (char *)(uintptr_t)soma_kh_key(h, k);
            EXPECT(key == text);
            EXPECT_EQ(soma_kh_del(strings, h, k), SOMA_REMOVED);
            EXPECT(!soma_kh_exist(h, k)); /* inside the section, and before the key goes */
            EXPECT_EQ(soma_retire(free, key), SOMA_OK);
        });
    soma_read_exit();
    EXPECT_EQ(soma_kh_error(h), SOMA_OK);
    EXPECT_EQ(soma_kh_size(h), KEYS / 2);
    soma_kh_foreach(h, text, value, EXPECT(value % 2 == 1); free((char *)(uintptr_t)text));
    soma_kh_destroy(strings, h); /* looks at no key */
    soma_barrier_wait();
    verified(KEYS);
}

/* ---- Threads ---- */

#define THREADS 4
#define ROUNDS 8000
#define NUMBERS 50

/* Larger than a batch, and whole if both halves agree. */
struct value {
    uint64_t number;
    uint64_t filler[20];
    uint64_t inverse;
};

SOMA_KHASH_MAP_INIT_INT(values, struct value)

static struct value value_of(uint64_t number)
{
    return (struct value){.number = number, .inverse = ~number};
}

static bool whole(const struct value *value)
{
    return value->inverse == ~value->number;
}

static soma_khash_t(strings) * counted;
static soma_khash_t(values) * shared;
static uint64_t entered;
static uint64_t removed;

static enum soma_status plus_one(const soma_kh_cstr_t *key, bool present, uint64_t *value, void *ctx)
{
    (void)key;
    (void)present;
    (void)ctx;
    ++*value;
    return SOMA_OK;
}

static void count_up(unsigned index, void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        const enum soma_status status = soma_kh_update(strings, counted, texts[index % 2][i % NUMBERS], plus_one, NULL);
        EXPECT(status == SOMA_INSERTED || status == SOMA_REPLACED);
        __atomic_fetch_add(&entered, status == SOMA_INSERTED, __ATOMIC_RELAXED);
        verified(1);
    }
}

static void counts_are_exact(const void *setup)
{
    uint64_t sum = 0;
    uint64_t value;
    (void)setup;
    make_texts();
    entered = 0;
    counted = soma_kh_init(strings);
    crew_run(THREADS, count_up, NULL);
    soma_kh_foreach_value(counted, value, sum += value);
    EXPECT_EQ(sum, THREADS * ROUNDS);
    EXPECT_EQ(entered, NUMBERS);
    soma_kh_destroy(strings, counted);
    soma_barrier_wait();
}

static void churn_once(struct rng *rng)
{
    const uint32_t key = (uint32_t)rng_below(rng, NUMBERS);
    struct value value;
    soma_khiter_t entry;
    switch (rng_below(rng, 5)) {
    case 0:
        if (soma_kh_put_new(values, shared, key, value_of(key), &entry) == SOMA_INSERTED)
            __atomic_fetch_add(&entered, 1, __ATOMIC_RELAXED);
        break;
    case 1:
        if (soma_kh_set(values, shared, key, value_of(rng_next(rng))) == SOMA_INSERTED)
            __atomic_fetch_add(&entered, 1, __ATOMIC_RELAXED);
        break;
    case 2:
        soma_read_enter();
        entry = soma_kh_get(values, shared, key);
        if (entry != soma_kh_end(shared))
            EXPECT(soma_kh_key(shared, entry) == key && whole(&soma_kh_value(shared, entry)));
        if (soma_kh_del(values, shared, entry) == SOMA_REMOVED)
            __atomic_fetch_add(&removed, 1, __ATOMIC_RELAXED);
        soma_read_exit();
        break;
    case 3:
        if (soma_kh_remove(values, shared, key, &value) == SOMA_REMOVED) {
            EXPECT(whole(&value));
            __atomic_fetch_add(&removed, 1, __ATOMIC_RELAXED);
        }
        break;
    default:
        if (soma_kh_copy(values, shared, key, &value) == SOMA_OK)
            EXPECT(whole(&value));
        break;
    }
    verified(1);
}

static void churn(unsigned index, void *arg)
{
    struct rng rng = rng_new(10 + index);
    struct value value;
    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        churn_once(&rng);
        if (i % 128 == 0)
            soma_kh_foreach_value(shared, value, EXPECT(whole(&value)));
    }
}

static void books_balance(const void *setup)
{
    (void)setup;
    entered = removed = 0;
    shared = soma_kh_init(values);
    crew_run(THREADS, churn, NULL);
    EXPECT_EQ(soma_kh_size(shared), entered - removed);
    EXPECT(removed > 0);
    soma_kh_destroy(values, shared);
    soma_barrier_wait();
}

/* ---- No memory ---- */

static enum soma_status one_call(soma_khash_t(few) * h, unsigned verb)
{
    const struct point old = point_key(20, 0);
    const struct point new = point_key(250, 0);
    uint64_t value = 4;
    int ret = 0;
    switch (verb) {
    case 0:
        soma_kh_put(few, h, new, &ret);
        return ret == -1 ? SOMA_E_NOMEM : SOMA_INSERTED;
    case 1:
        return soma_kh_put_new(few, h, new, 5, NULL);
    case 2:
        return soma_kh_set(few, h, old, 5);
    case 3:
        return soma_kh_update(few, h, old, few_plus, &value);
    case 4:
        return soma_kh_remove(few, h, old, NULL);
    case 5:
        return soma_kh_clear(few, h);
    default:
        soma_kh_foreach_value(h, value, value++);
        return soma_kh_error(h);
    }
}

static bool refuse(unsigned verb, uint64_t n)
{
    soma_khash_t(few) *h = soma_kh_init(few);
    uint64_t sum = 0;
    uint64_t value;
    for (uint64_t i = 0; i < 40; i++)
        EXPECT_EQ(soma_kh_set(few, h, point_key(i, 0), 100 + i), SOMA_INSERTED);
    refuse_from(n);
    const enum soma_status status = one_call(h, verb);
    armed = false;
    EXPECT(status >= 0 || status == SOMA_E_NOMEM);
    soma_kh_foreach_value(h, value, sum += value);
    if (status < 0 && verb != 5) {
        EXPECT_EQ(sum, 40 * 100 + 39 * 20);
        EXPECT_EQ(soma_kh_size(h), 40);
    }
    EXPECT_EQ(soma_kh_error(h), SOMA_OK);
    soma_kh_destroy(few, h);
    verified(1);
    return status < 0;
}

static void without_memory(const void *setup)
{
    (void)setup;
    for (unsigned verb = 0; verb <= 6; verb++) {
        unsigned hits = 0;
        for (uint64_t n = 1; refuse(verb, n); n++)
            hits++;
        EXPECT(hits > 0);
    }
    refuse_from(1);
    soma_khash_t(few) *none = soma_kh_init(few);
    armed = false;
    EXPECT(none == NULL);
    soma_barrier_wait();
}

int main(int argc, char **argv)
{
    static const int bug = 1;
    static const struct test_case cases[] = {
        {"ints", ints_same, NULL},
        {"int64s", longs_same, NULL},
        {"strings", strings_same, NULL},
        {"custom", points_same, NULL},
        {"custom-few-hashes", few_same, NULL},
        {"canary", ints_same, &bug},
        {"sets", sets, NULL},
        {"entries", entries, NULL},
        {"own-strings", strings_are_freed_behind, NULL},
        {"counts", counts_are_exact, NULL},
        {"churn", books_balance, NULL},
        {"no-memory", without_memory, NULL},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
