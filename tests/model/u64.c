/* SPDX-License-Identifier: ISC */
/* u64.c - one thread does random things to a word map and to an oracle, a plain array; every answer must agree. Keys
 * are random, or chosen so that their hashes collide. Growing, draining, clearing, reserving and shrinking alternate.
 * Every value that leaves the oracle must be retired, no more and no fewer. */
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#include "hash/hash.h"
#include "support.h"

#define UNTOUCHED UINT64_C(0x5eed5eed5eed5eed)
#define MANY 150

/* Values that left: how many, and their sum. */
struct tally {
    uint64_t count;
    uint64_t sum;
};

struct model {
    soma_u64 *map;
    struct rng rng;
    size_t size; /* of the arrays: the oracle */
    uint64_t *keys;
    uint64_t *values;
    bool *there;
    uint64_t count;
    struct tally left;
    struct tally retired;
};

static void tally_add(struct tally *tally, uint64_t value)
{
    tally->count++;
    tally->sum += value;
}

static void on_retire(uint64_t value, void *ctx)
{
    struct model *model = ctx;
    tally_add(&model->retired, value);
}

/* ---- The oracle's side ---- */

static void oracle_store(struct model *m, size_t i, uint64_t value)
{
    if (m->there[i])
        tally_add(&m->left, m->values[i]);
    else
        m->count++;
    m->there[i] = true;
    m->values[i] = value;
}

static void oracle_drop(struct model *m, size_t i)
{
    tally_add(&m->left, m->values[i]);
    m->there[i] = false;
    m->count--;
}

static uint64_t some_value(struct model *m)
{
    static const uint64_t special[] = {0, 1, UINT64_MAX, UINT64_C(1) << 63, UNTOUCHED - 1};
    const uint64_t word = rng_next(&m->rng);
    return word % 8 == 0 ? special[word / 8 % 5] : word == UNTOUCHED ? 0 : word;
}

static size_t some_key(struct model *m)
{
    return (size_t)rng_below(&m->rng, m->size);
}

/* The value that is there, or another one. */
static uint64_t guess(struct model *m, size_t i)
{
    return rng_below(&m->rng, 2) && m->there[i] ? m->values[i] : some_value(m);
}

/* An answer that names its out value must give the oracle's; any other must leave it alone. */
static void check_out(const struct model *m, size_t i, enum soma_status status, enum soma_status want, uint64_t out,
                      bool named)
{
    EXPECT_EQ(status, want);
    EXPECT_EQ(out, named ? m->values[i] : UNTOUCHED);
    verified(1);
}

/* ---- The verbs ---- */

static void do_get(struct model *m)
{
    const size_t i = some_key(m);
    uint64_t out = UNTOUCHED;
    const enum soma_status status = soma_u64_get(m->map, m->keys[i], &out);
    check_out(m, i, status, m->there[i] ? SOMA_OK : SOMA_ABSENT, out, m->there[i]);
}

static void see(uint64_t key, uint64_t value, void *ctx)
{
    uint64_t *seen = ctx;
    EXPECT_EQ(key, seen[0]);
    EXPECT_EQ(seen[1], UNTOUCHED);
    seen[1] = value;
}

static void do_get_with(struct model *m)
{
    const size_t i = some_key(m);
    uint64_t seen[2] = {m->keys[i], UNTOUCHED};
    const enum soma_status status = soma_u64_get_with(m->map, m->keys[i], see, seen);
    check_out(m, i, status, m->there[i] ? SOMA_OK : SOMA_ABSENT, seen[1], m->there[i]);
}

static void do_put(struct model *m)
{
    const size_t i = some_key(m);
    const uint64_t value = some_value(m);
    uint64_t out = UNTOUCHED;
    const enum soma_status status = soma_u64_put(m->map, m->keys[i], value, &out);
    check_out(m, i, status, m->there[i] ? SOMA_REPLACED : SOMA_INSERTED, out, m->there[i]);
    oracle_store(m, i, value);
}

static void do_put_new(struct model *m)
{
    const size_t i = some_key(m);
    const uint64_t value = some_value(m);
    uint64_t out = UNTOUCHED;
    const enum soma_status status = soma_u64_put_new(m->map, m->keys[i], value, &out);
    check_out(m, i, status, m->there[i] ? SOMA_EXISTS : SOMA_INSERTED, out, m->there[i]);
    if (!m->there[i])
        oracle_store(m, i, value);
}

static void do_replace(struct model *m)
{
    const size_t i = some_key(m);
    const uint64_t value = some_value(m);
    uint64_t out = UNTOUCHED;
    const enum soma_status status = soma_u64_replace(m->map, m->keys[i], value, &out);
    check_out(m, i, status, m->there[i] ? SOMA_REPLACED : SOMA_ABSENT, out, m->there[i]);
    if (m->there[i])
        oracle_store(m, i, value);
}

static void do_cas(struct model *m)
{
    const size_t i = some_key(m);
    const uint64_t expected = guess(m, i);
    const uint64_t value = some_value(m);
    const bool hit = m->there[i] && m->values[i] == expected;
    uint64_t out = UNTOUCHED;
    const enum soma_status status = soma_u64_cas(m->map, m->keys[i], expected, value, &out);
    check_out(m, i, status, hit ? SOMA_REPLACED : m->there[i] ? SOMA_CHANGED : SOMA_ABSENT, out, m->there[i]);
    if (hit)
        oracle_store(m, i, value);
}

static void do_remove(struct model *m)
{
    const size_t i = some_key(m);
    uint64_t out = UNTOUCHED;
    const enum soma_status status = soma_u64_remove(m->map, m->keys[i], &out);
    check_out(m, i, status, m->there[i] ? SOMA_REMOVED : SOMA_ABSENT, out, m->there[i]);
    if (m->there[i])
        oracle_drop(m, i);
}

static void do_remove_if(struct model *m)
{
    const size_t i = some_key(m);
    const uint64_t expected = guess(m, i);
    const bool hit = m->there[i] && m->values[i] == expected;
    uint64_t out = UNTOUCHED;
    const enum soma_status status = soma_u64_remove_if(m->map, m->keys[i], expected, &out);
    check_out(m, i, status, hit ? SOMA_REMOVED : m->there[i] ? SOMA_CHANGED : SOMA_ABSENT, out, m->there[i]);
    if (hit)
        oracle_drop(m, i);
}

static void do_fetch_add(struct model *m)
{
    const size_t i = some_key(m);
    const uint64_t delta = some_value(m);
    const uint64_t before = m->there[i] ? m->values[i] : 0;
    uint64_t out = UNTOUCHED;
    const enum soma_status status = soma_u64_fetch_add(m->map, m->keys[i], delta, &out);
    EXPECT_EQ(status, m->there[i] ? SOMA_REPLACED : SOMA_INSERTED);
    EXPECT_EQ(out, before);
    verified(1);
    oracle_store(m, i, before + delta);
}

/* What an update should see and answer. */
struct plan {
    struct model *model;
    size_t i;
    enum soma_status answer;
    uint64_t value;
};

static enum soma_status follow_plan(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    const struct plan *plan = ctx;
    const struct model *m = plan->model;
    EXPECT_EQ(key, m->keys[plan->i]);
    EXPECT_EQ(present, m->there[plan->i]);
    EXPECT_EQ(*value, present ? m->values[plan->i] : 0);
    *value = plan->value;
    return plan->answer;
}

static void do_update(struct model *m)
{
    static const enum soma_status answers[] = {SOMA_OK, SOMA_OK, SOMA_REMOVED, SOMA_EXISTS, SOMA_CHANGED};
    const struct plan plan = {m, some_key(m), answers[rng_below(&m->rng, 5)], some_value(m)};
    const bool there = m->there[plan.i];
    enum soma_status want = SOMA_E_INVALID;
    if (plan.answer == SOMA_OK)
        want = there ? SOMA_REPLACED : SOMA_INSERTED;
    else if (plan.answer == SOMA_REMOVED || plan.answer == SOMA_EXISTS)
        want = there ? plan.answer : SOMA_ABSENT;
    struct plan copy = plan;
    EXPECT_EQ(soma_u64_update(m->map, m->keys[plan.i], follow_plan, &copy), want);
    verified(1);
    if (plan.answer == SOMA_OK)
        oracle_store(m, plan.i, plan.value);
    else if (want == SOMA_REMOVED)
        oracle_drop(m, plan.i);
}

static void do_get_many(struct model *m)
{
    uint64_t keys[MANY];
    uint64_t values[MANY];
    bool found[MANY];
    size_t picked[MANY];
    size_t want = 0;
    const size_t n = (size_t)rng_below(&m->rng, MANY + 1);
    for (size_t k = 0; k < n; k++) {
        picked[k] = some_key(m);
        keys[k] = m->keys[picked[k]];
        values[k] = UNTOUCHED;
        want += m->there[picked[k]];
    }
    EXPECT_EQ(soma_u64_get_many(m->map, keys, n, values, found), want);
    for (size_t k = 0; k < n; k++) {
        EXPECT_EQ(found[k], m->there[picked[k]]);
        EXPECT_EQ(values[k], found[k] ? m->values[picked[k]] : UNTOUCHED);
    }
    verified(n);
}

/* Takes some of what is there, wherever: the order is the table's. */
struct taking {
    struct model *model;
    uint64_t salt; /* some are left */
    uint64_t left;
};

static size_t index_of(const struct model *m, uint64_t key)
{
    size_t i = 0;
    while (i + 1 < m->size && m->keys[i] != key)
        i++;
    EXPECT_EQ(m->keys[i], key);
    return i;
}

static enum soma_status take_or_leave(uint64_t key, uint64_t value, void *ctx)
{
    struct taking *taking = ctx;
    const size_t i = index_of(taking->model, key);
    EXPECT(taking->model->there[i]);
    EXPECT_EQ(value, taking->model->values[i]);
    if ((key ^ taking->salt) % 3 != 0)
        return SOMA_REMOVED;
    taking->left++;
    return SOMA_EXISTS;
}

static void do_take(struct model *m)
{
    uint64_t keys[4];
    uint64_t values[4];
    size_t taken = 99;
    uint64_t place = rng_below(&m->rng, 4) ? rng_next(&m->rng) : 0;
    const bool from_start = place == 0;
    const size_t n = (size_t)rng_below(&m->rng, 5);
    struct taking taking = {.model = m, .salt = rng_next(&m->rng)};
    const uint64_t before = m->count;
    const enum soma_status status =
        soma_u64_take(m->map, &place, n, m->size < 1000 ? take_or_leave : NULL, &taking, keys, values, &taken);
    EXPECT(status == SOMA_OK ? taken == n : status == SOMA_END && place == 0 && taken <= n);
    EXPECT(status == SOMA_OK || !from_start || taken + taking.left == before);
    for (size_t k = 0; k < taken && k < 4; k++) {
        const size_t i = index_of(m, keys[k]);
        EXPECT(m->there[i]);
        EXPECT_EQ(values[k], m->values[i]);
        oracle_drop(m, i);
    }
    verified(taken);
}

static void do_put_many(struct model *m)
{
    uint64_t keys[MANY];
    uint64_t values[MANY];
    size_t done = MANY + 1;
    const size_t n = (size_t)rng_below(&m->rng, MANY + 1);
    for (size_t k = 0; k < n; k++) {
        const size_t i = some_key(m);
        keys[k] = m->keys[i];
        values[k] = some_value(m);
        oracle_store(m, i, values[k]);
    }
    EXPECT_EQ(soma_u64_put_many(m->map, keys, values, n, &done), SOMA_OK);
    EXPECT_EQ(done, n);
    verified(n);
}

static void do_remove_many(struct model *m)
{
    uint64_t keys[MANY];
    uint64_t old[MANY];
    uint64_t want[MANY];
    bool found[MANY];
    bool there[MANY];
    size_t done = MANY + 1;
    const size_t n = (size_t)rng_below(&m->rng, MANY + 1);
    for (size_t k = 0; k < n; k++) {
        const size_t i = some_key(m);
        keys[k] = m->keys[i];
        there[k] = m->there[i];
        want[k] = m->values[i];
        if (there[k])
            oracle_drop(m, i);
    }
    EXPECT_EQ(soma_u64_remove_many(m->map, keys, n, old, found, &done), SOMA_OK);
    EXPECT_EQ(done, n);
    for (size_t k = 0; k < n; k++) {
        EXPECT_EQ(found[k], there[k]);
        EXPECT(!found[k] || old[k] == want[k]);
    }
    verified(n);
}

/* ---- Runs ---- */

typedef void (*verb)(struct model *);

/* What a phase draws from; the same verb twice is twice as likely. */
static const verb growing[] = {do_put, do_put, do_put_new, do_put_new, do_put_many, do_fetch_add, do_update, do_get};
static const verb draining[] = {do_remove, do_remove, do_remove_many, do_remove_if,
                                do_get,    do_cas,    do_update,      do_get_many};
static const verb mixed[] = {do_put,       do_put_new,     do_replace,  do_cas, do_remove,
                             do_remove_if, do_fetch_add,   do_update,   do_get, do_get_many,
                             do_put_many,  do_remove_many, do_get_with, do_take};

static void draw(struct model *m, const verb *verbs, size_t count, size_t steps)
{
    for (size_t step = 0; step < steps; step++) {
        verbs[rng_below(&m->rng, count)](m);
        EXPECT_EQ(soma_u64_count_approx(m->map), m->count);
    }
}

/* Every key, one by one. */
static void audit(const struct model *m)
{
    for (size_t i = 0; i < m->size; i++) {
        uint64_t out = UNTOUCHED;
        const enum soma_status status = soma_u64_get(m->map, m->keys[i], &out);
        check_out(m, i, status, m->there[i] ? SOMA_OK : SOMA_ABSENT, out, m->there[i]);
    }
    EXPECT_EQ(soma_u64_count_approx(m->map), m->count);
}

static void upheaval(struct model *m)
{
    switch (rng_below(&m->rng, 6)) {
    case 0:
        EXPECT_EQ(soma_u64_clear(m->map), SOMA_OK);
        for (size_t i = 0; i < m->size; i++) {
            if (m->there[i])
                oracle_drop(m, i);
        }
        break;
    case 1:
        EXPECT_EQ(soma_u64_reserve(m->map, 1 + rng_below(&m->rng, 4 * m->size)), SOMA_OK);
        break;
    case 2:
    case 3:
        EXPECT_EQ(soma_u64_shrink(m->map), SOMA_OK);
        break;
    case 4:
        soma_barrier_wait();
        EXPECT_EQ(m->retired.count, m->left.count);
        break;
    default:
        break;
    }
}

static void play(struct model *m)
{
    const double end = now_seconds() + test_seconds();
    const size_t steps = m->size < 64 ? 256 : m->size * 2;
    do {
        switch (rng_below(&m->rng, 3)) {
        case 0:
            draw(m, growing, sizeof growing / sizeof growing[0], steps);
            break;
        case 1:
            draw(m, draining, sizeof draining / sizeof draining[0], steps);
            break;
        default:
            draw(m, mixed, sizeof mixed / sizeof mixed[0], steps);
            break;
        }
        audit(m);
        upheaval(m);
        audit(m);
    } while (now_seconds() < end && failures() == 0);
}

static void close_model(struct model *m)
{
    soma_u64_free(m->map);
    soma_barrier_wait();
    for (size_t i = 0; i < m->size; i++) {
        if (m->there[i])
            oracle_drop(m, i);
    }
    EXPECT_EQ(m->retired.count, m->left.count);
    EXPECT_EQ(m->retired.sum, m->left.sum);
    free(m->keys);
    free(m->values);
    free(m->there);
}

/* Where the hashes of the keys go: everywhere; to a few spots; to one spot. */
enum spread {
    GOOD,
    TRUNCATED,
    CONSTANT
};

static void choose_keys(struct model *m, enum spread spread, const uint64_t seed[2])
{
    static const uint64_t special[] = {0, UINT64_MAX, 1, UINT64_C(1) << 63, UINT64_C(0xffffffff)};
    struct soma__mix mix;
    soma__mix_init(&mix, seed);
    for (size_t i = 0; i < m->size; i++) {
        const uint64_t low = i * 3 + 1;
        if (spread == GOOD)
            m->keys[i] = i < 5 ? special[i] : rng_next(&m->rng) << 8 | i;
        else if (spread == TRUNCATED)
            m->keys[i] = soma__mix_inverse(&mix, rng_next(&m->rng) >> 61 << 61 | low);
        else
            m->keys[i] = soma__mix_inverse(&mix, UINT64_C(0xb0) << 56 | low);
    }
}

static struct model *open_model(size_t size, enum spread spread)
{
    struct model *m = need(1, sizeof *m);
    m->rng = rng_new(size * 3 + spread);
    m->size = size;
    m->keys = need(size, sizeof *m->keys);
    m->values = need(size, sizeof *m->values);
    m->there = need(size, sizeof *m->there);
    const struct soma_u64_options options = {
        .seed = {rng_next(&m->rng), 1}, .value_retire = on_retire, .ctx = m, .struct_size = sizeof options};
    if (soma_u64_new(&options, &m->map) != SOMA_OK)
        abort();
    choose_keys(m, spread, options.seed);
    return m;
}

struct setup {
    size_t size;
    enum spread spread;
};

static void run(const void *arg)
{
    const struct setup *setup = arg;
    struct model *m = open_model(setup->size, setup->spread);
    play(m);
    close_model(m);
    free(m);
    EXPECT(!leaks_found());
}

/* Seeded bugs: the map is changed behind the oracle's back. */
static void canary(const void *arg)
{
    (void)arg;
    struct model *m = open_model(100, GOOD);
    draw(m, growing, sizeof growing / sizeof growing[0], 200);
    size_t i = 0;
    while (!m->there[i])
        i++;
    uint64_t before = 0;
    EXPECT_EQ(soma_u64_put(m->map, m->keys[i], m->values[i] ^ 1, &before), SOMA_REPLACED);
    canary_begin();
    audit(m);
    EXPECT_EQ(canary_end(), 1);
    EXPECT_EQ(soma_u64_remove(m->map, m->keys[i], NULL), SOMA_REMOVED);
    canary_begin();
    audit(m);
    EXPECT(canary_end() >= 2);
    canary_begin();
    close_model(m);
    EXPECT(canary_end() >= 1);
    free(m);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"good-few", run, &(const struct setup){6, GOOD}},
        {"good-some", run, &(const struct setup){500, GOOD}},
        {"good-many", run, &(const struct setup){40000, GOOD}},
        {"truncated", run, &(const struct setup){1200, TRUNCATED}},
        {"constant", run, &(const struct setup){150, CONSTANT}},
        {"canary", canary, NULL},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
