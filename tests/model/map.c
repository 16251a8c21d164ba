/* SPDX-License-Identifier: ISC */
/* map.c - as u64.c, for the byte map. Each key's bytes follow from its place in the oracle, each value's from a number
 * and a length; lengths range from nothing to some kilobytes. The hash is cut down to a few bits, or to none, so that
 * keys collide. */
#include <stdlib.h>
#include <string.h>

#include <soma/soma.h>

#include "map/map_internal.h"
#include "support.h"

#define MANY 40
#define LONG 3000
#define UNTOUCHED UINT64_C(0x5eed5eed5eed5eed)

/* Values that left: how many, and how long. */
struct tally {
    uint64_t count;
    uint64_t bytes;
};

/* A value: its bytes follow from these. */
struct value {
    uint64_t number;
    size_t len;
};

struct model {
    soma_map *map;
    struct rng rng;
    size_t size;
    struct value *values; /* the oracle */
    bool *there;
    uint64_t count;
    struct tally left;
    struct tally retired;
};

/* ---- Bytes ---- */

struct text {
    unsigned char bytes[LONG + 8];
    size_t len;
};

/* The first 8 bytes are the number itself, as fetch_add needs it. */
static void fill(struct text *text, struct value value)
{
    uint64_t word = value.number;
    text->len = value.len;
    for (size_t i = 0; i < value.len; i += 8) {
        memcpy(text->bytes + i, &word, 8);
        word = word * UINT64_C(6364136223846793005) + 1;
    }
}

static struct soma_bytes bytes_of(const struct text *text)
{
    return (struct soma_bytes){text->len ? text->bytes : NULL, text->len};
}

/* Keys: the empty one, a long one, and others of 4 to 24 bytes that differ in their last ones only. */
static void make_key(struct text *text, size_t i)
{
    const uint32_t number = (uint32_t)i;
    text->len = i == 0 ? 0 : i == 1 ? LONG : 4 + i % 21;
    memset(text->bytes, 'k', text->len);
    if (text->len > 0)
        memcpy(text->bytes + text->len - sizeof number, &number, sizeof number);
}

static bool same(struct soma_bytes a, struct soma_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Mostly short, also empty, often exactly 8, seldom long. */
static struct value some_value(struct model *m)
{
    const uint64_t kind = rng_below(&m->rng, 128);
    size_t len = (size_t)rng_below(&m->rng, 64);
    if (kind == 0)
        len = LONG;
    else if (kind < 8)
        len = 0;
    else if (kind < 40)
        len = 8;
    return (struct value){rng_next(&m->rng), len};
}

/* ---- The oracle's side ---- */

static void tally_add(struct tally *tally, size_t len)
{
    tally->count++;
    tally->bytes += len;
}

static void on_retire(const void *value, size_t len, void *ctx)
{
    struct model *model = ctx;
    EXPECT(value != NULL || len == 0);
    tally_add(&model->retired, len);
}

static void oracle_store(struct model *m, size_t i, struct value value)
{
    if (m->there[i])
        tally_add(&m->left, m->values[i].len);
    else
        m->count++;
    m->there[i] = true;
    m->values[i] = value;
}

static void oracle_drop(struct model *m, size_t i)
{
    tally_add(&m->left, m->values[i].len);
    m->there[i] = false;
    m->count--;
}

static size_t some_key(struct model *m)
{
    return (size_t)rng_below(&m->rng, m->size);
}

/* ---- The verbs ---- */

static const struct soma_bytes untouched = {"untouched", 9};

/* What a verb is called with: a key, a new value and an expected one. */
struct draft {
    size_t i;
    bool there;
    bool hit; /* the expected value is the one that is there */
    struct value next;
    struct text key, value, expected;
    struct soma_bytes out;
};

/* Opens a section, which check_out() closes. */
static void make_draft(struct model *m, struct draft *d)
{
    struct text current;
    d->i = some_key(m);
    d->there = m->there[d->i];
    d->next = some_value(m);
    d->out = untouched;
    make_key(&d->key, d->i);
    fill(&d->value, d->next);
    fill(&d->expected, d->there && rng_below(&m->rng, 2) ? m->values[d->i] : some_value(m));
    fill(&current, m->values[d->i]);
    d->hit = d->there && same(bytes_of(&current), bytes_of(&d->expected));
    soma_read_enter();
}

/* An answer that names its out value, as all do if the key is there, must give the oracle's; others leave it alone. */
static void check_out(const struct model *m, const struct draft *d, enum soma_status status, enum soma_status want)
{
    struct text value;
    EXPECT_EQ(status, want);
    if (d->there) {
        fill(&value, m->values[d->i]);
        EXPECT(same(d->out, bytes_of(&value)));
    } else {
        EXPECT(d->out.data == untouched.data && d->out.len == untouched.len);
    }
    soma_read_exit();
    verified(1);
}

static void do_get(struct model *m)
{
    struct draft d;
    make_draft(m, &d);
    const enum soma_status status = soma_map_get_ref(m->map, d.key.bytes, d.key.len, &d.out);
    check_out(m, &d, status, d.there ? SOMA_OK : SOMA_ABSENT);
}

static void see(const void *key, size_t key_len, struct soma_bytes value, void *ctx)
{
    struct draft *d = ctx;
    EXPECT(same((struct soma_bytes){.data = key, .len = key_len}, bytes_of(&d->key)));
    EXPECT_EQ((uintptr_t)value.data % 8, 0);
    EXPECT(value.len <= sizeof d->value.bytes);
    memcpy(d->value.bytes, value.data, value.len); /* a word is a copy, which goes */
    d->out = (struct soma_bytes){.data = d->value.bytes, .len = value.len};
}

static void do_get_with(struct model *m)
{
    struct draft d;
    make_draft(m, &d);
    const enum soma_status status = soma_map_get_with(m->map, d.key.bytes, d.key.len, see, &d);
    check_out(m, &d, status, d.there ? SOMA_OK : SOMA_ABSENT);
}

static void do_get_copy(struct model *m)
{
    struct draft d;
    struct text copy;
    size_t len = LONG + 1;
    size_t copied = 0;
    make_draft(m, &d);
    const size_t cap = (size_t)rng_below(&m->rng, 100);
    memset(copy.bytes, 0x5a, sizeof copy.bytes);
    const enum soma_status status = soma_map_get_copy(m->map, d.key.bytes, d.key.len, copy.bytes, cap, &len);
    soma_read_exit();
    EXPECT_EQ(status, d.there ? SOMA_OK : SOMA_ABSENT);
    EXPECT_EQ(len, d.there ? m->values[d.i].len : LONG + 1);
    if (d.there) {
        fill(&d.value, m->values[d.i]);
        copied = d.value.len < cap ? d.value.len : cap;
        EXPECT(memcmp(copy.bytes, d.value.bytes, copied) == 0);
    }
    EXPECT_EQ(copy.bytes[copied], 0x5a);
    verified(1);
}

static void do_put(struct model *m)
{
    struct draft d;
    make_draft(m, &d);
    const enum soma_status status = soma_map_put(m->map, d.key.bytes, d.key.len, d.value.bytes, d.value.len, &d.out);
    check_out(m, &d, status, d.there ? SOMA_REPLACED : SOMA_INSERTED);
    oracle_store(m, d.i, d.next);
}

static void do_put_new(struct model *m)
{
    struct draft d;
    make_draft(m, &d);
    const enum soma_status status =
        soma_map_put_new(m->map, d.key.bytes, d.key.len, d.value.bytes, d.value.len, &d.out);
    check_out(m, &d, status, d.there ? SOMA_EXISTS : SOMA_INSERTED);
    if (!d.there)
        oracle_store(m, d.i, d.next);
}

static void do_replace(struct model *m)
{
    struct draft d;
    make_draft(m, &d);
    const enum soma_status status =
        soma_map_replace(m->map, d.key.bytes, d.key.len, d.value.bytes, d.value.len, &d.out);
    check_out(m, &d, status, d.there ? SOMA_REPLACED : SOMA_ABSENT);
    if (d.there)
        oracle_store(m, d.i, d.next);
}

static void do_cas(struct model *m)
{
    struct draft d;
    make_draft(m, &d);
    const enum soma_status status = soma_map_cas(m->map, d.key.bytes, d.key.len, d.expected.bytes, d.expected.len,
                                                 d.value.bytes, d.value.len, &d.out);
    check_out(m, &d, status, d.hit ? SOMA_REPLACED : d.there ? SOMA_CHANGED : SOMA_ABSENT);
    if (d.hit)
        oracle_store(m, d.i, d.next);
}

static void do_remove(struct model *m)
{
    struct draft d;
    make_draft(m, &d);
    const enum soma_status status = soma_map_remove(m->map, d.key.bytes, d.key.len, &d.out);
    check_out(m, &d, status, d.there ? SOMA_REMOVED : SOMA_ABSENT);
    if (d.there)
        oracle_drop(m, d.i);
}

static void do_remove_if(struct model *m)
{
    struct draft d;
    make_draft(m, &d);
    const enum soma_status status =
        soma_map_remove_if(m->map, d.key.bytes, d.key.len, d.expected.bytes, d.expected.len, &d.out);
    check_out(m, &d, status, d.hit ? SOMA_REMOVED : d.there ? SOMA_CHANGED : SOMA_ABSENT);
    if (d.hit)
        oracle_drop(m, d.i);
}

static void do_fetch_add(struct model *m)
{
    struct text key;
    const size_t i = some_key(m);
    const bool there = m->there[i];
    const bool word = there && m->values[i].len == 8;
    const uint64_t delta = rng_next(&m->rng);
    uint64_t old = UNTOUCHED;
    make_key(&key, i);
    const enum soma_status status = soma_map_fetch_add(m->map, key.bytes, key.len, delta, &old);
    EXPECT_EQ(status, word ? SOMA_REPLACED : there ? SOMA_E_INVALID : SOMA_INSERTED);
    EXPECT_EQ(old, word ? m->values[i].number : there ? UNTOUCHED : 0);
    verified(1);
    if (word || !there)
        oracle_store(m, i, (struct value){(word ? m->values[i].number : 0) + delta, 8});
}

/* What an update should see and answer. */
struct plan {
    struct model *model;
    const struct draft *draft;
    enum soma_status answer;
};

static enum soma_status follow_plan(const void *key, size_t key_len, bool present, struct soma_bytes *value, void *ctx)
{
    const struct plan *plan = ctx;
    const struct draft *d = plan->draft;
    struct text current;
    EXPECT(same((struct soma_bytes){key, key_len}, bytes_of(&d->key)));
    EXPECT_EQ(present, d->there);
    fill(&current, plan->model->values[d->i]);
    EXPECT(present ? same(*value, bytes_of(&current)) : value->data == NULL && value->len == 0);
    *value = bytes_of(&d->value);
    return plan->answer;
}

static void do_update(struct model *m)
{
    static const enum soma_status answers[] = {SOMA_OK, SOMA_OK, SOMA_REMOVED, SOMA_EXISTS, SOMA_CHANGED};
    struct draft d;
    make_draft(m, &d);
    soma_read_exit();
    struct plan plan = {m, &d, answers[rng_below(&m->rng, 5)]};
    enum soma_status want = SOMA_E_INVALID;
    if (plan.answer == SOMA_OK)
        want = d.there ? SOMA_REPLACED : SOMA_INSERTED;
    else if (plan.answer == SOMA_REMOVED || plan.answer == SOMA_EXISTS)
        want = d.there ? plan.answer : SOMA_ABSENT;
    EXPECT_EQ(soma_map_update(m->map, d.key.bytes, d.key.len, follow_plan, &plan), want);
    verified(1);
    if (plan.answer == SOMA_OK)
        oracle_store(m, d.i, d.next);
    else if (want == SOMA_REMOVED)
        oracle_drop(m, d.i);
}

/* Too large for a stack of a thread. */
static struct {
    struct text keys[MANY];
    struct text texts[MANY];
    struct soma_bytes key_bytes[MANY];
    struct soma_bytes value_bytes[MANY];
    bool found[MANY];
    size_t picked[MANY];
} many;

static void do_get_many(struct model *m)
{
    size_t want = 0;
    const size_t n = (size_t)rng_below(&m->rng, MANY + 1);
    for (size_t k = 0; k < n; k++) {
        many.picked[k] = some_key(m);
        make_key(&many.keys[k], many.picked[k]);
        many.key_bytes[k] = bytes_of(&many.keys[k]);
        many.value_bytes[k] = untouched;
        want += m->there[many.picked[k]];
    }
    soma_read_enter();
    EXPECT_EQ(soma_map_get_many(m->map, many.key_bytes, n, many.value_bytes, many.found), want);
    for (size_t k = 0; k < n; k++) {
        struct text value = {.len = 0};
        EXPECT_EQ(many.found[k], m->there[many.picked[k]]);
        if (many.found[k])
            fill(&value, m->values[many.picked[k]]);
        EXPECT(same(many.value_bytes[k], bytes_of(&value)));
    }
    soma_read_exit();
    verified(n);
}

static void do_put_many(struct model *m)
{
    size_t done = MANY + 1;
    const size_t n = (size_t)rng_below(&m->rng, MANY + 1);
    for (size_t k = 0; k < n; k++) {
        const size_t i = some_key(m);
        const struct value value = some_value(m);
        make_key(&many.keys[k], i);
        fill(&many.texts[k], value);
        many.key_bytes[k] = bytes_of(&many.keys[k]);
        many.value_bytes[k] = bytes_of(&many.texts[k]);
        oracle_store(m, i, value);
    }
    EXPECT_EQ(soma_map_put_many(m->map, many.key_bytes, many.value_bytes, n, &done), SOMA_OK);
    EXPECT_EQ(done, n);
    verified(n);
}

static void do_remove_many(struct model *m)
{
    bool there[MANY];
    size_t done = MANY + 1;
    const size_t n = (size_t)rng_below(&m->rng, MANY + 1);
    for (size_t k = 0; k < n; k++) {
        const size_t i = some_key(m);
        make_key(&many.keys[k], i);
        many.key_bytes[k] = bytes_of(&many.keys[k]);
        there[k] = m->there[i];
        if (there[k])
            oracle_drop(m, i);
    }
    EXPECT_EQ(soma_map_remove_many(m->map, many.key_bytes, n, NULL, many.found, &done), SOMA_OK);
    EXPECT_EQ(done, n);
    for (size_t k = 0; k < n; k++)
        EXPECT_EQ(many.found[k], there[k]);
    verified(n);
}

/* Takes some of what is there, wherever: the order is the table's. */
struct taking {
    struct model *model;
    size_t salt; /* some are left */
    uint64_t left;
};

static size_t index_of(const struct model *m, struct soma_bytes bytes)
{
    uint32_t number = 0;
    struct text key;
    if (bytes.len >= sizeof number)
        memcpy(&number, (const unsigned char *)bytes.data + bytes.len - sizeof number, sizeof number);
    const size_t i = number < m->size ? number : 0;
    make_key(&key, i);
    EXPECT(same(bytes, bytes_of(&key)));
    return i;
}

static void check_taken(const struct model *m, size_t i, struct soma_bytes value)
{
    struct text want;
    EXPECT(m->there[i]);
    fill(&want, m->values[i]);
    EXPECT(same(value, bytes_of(&want)));
}

static enum soma_status take_or_leave(const void *key, size_t key_len, struct soma_bytes value, void *ctx)
{
    struct taking *taking = ctx;
    const size_t i = index_of(taking->model, (struct soma_bytes){.data = key, .len = key_len});
    check_taken(taking->model, i, value);
    if ((i ^ taking->salt) % 3 != 0)
        return SOMA_REMOVED;
    taking->left++;
    return SOMA_EXISTS;
}

static void do_take(struct model *m)
{
    size_t taken = 99;
    uint64_t place = rng_below(&m->rng, 4) ? rng_next(&m->rng) : 0;
    const bool from_start = place == 0;
    const bool choosing = m->size < 1000 && rng_below(&m->rng, 4) != 0;
    const size_t n = (size_t)rng_below(&m->rng, 5);
    struct taking taking = {.model = m, .salt = (size_t)rng_next(&m->rng)};
    const uint64_t before = m->count;
    soma_read_enter();
    const enum soma_status status = soma_map_take(m->map, &place, n, choosing ? take_or_leave : NULL, &taking,
                                                  many.key_bytes, many.value_bytes, &taken);
    EXPECT(status == SOMA_OK ? taken == n : status == SOMA_END && place == 0 && taken <= n);
    EXPECT(status == SOMA_OK || !from_start || taken + taking.left == before);
    for (size_t k = 0; k < taken && k < n; k++) {
        const size_t i = index_of(m, many.key_bytes[k]);
        check_taken(m, i, many.value_bytes[k]);
        oracle_drop(m, i);
    }
    soma_read_exit();
    verified(taken);
}

/* ---- Runs ---- */

typedef void (*verb)(struct model *);

/* What a phase draws from; the same verb twice is twice as likely. */
static const verb growing[] = {do_put, do_put, do_put_new, do_put_new, do_put_many, do_fetch_add, do_update, do_get};
static const verb draining[] = {do_remove, do_remove, do_remove_many, do_remove_if, do_get,
                                do_cas,    do_update, do_get_many,    do_take};
static const verb mixed[] = {do_put,       do_put_new,  do_replace,     do_cas,      do_remove,
                             do_remove_if, do_get_copy, do_fetch_add,   do_update,   do_get,
                             do_get_many,  do_put_many, do_remove_many, do_get_with, do_take};

static void draw(struct model *m, const verb *verbs, size_t count, size_t steps)
{
    for (size_t step = 0; step < steps; step++) {
        verbs[rng_below(&m->rng, count)](m);
        EXPECT_EQ(soma_map_count_approx(m->map), m->count);
    }
}

/* Every key, one by one. */
static void audit(const struct model *m)
{
    struct text key, value;
    for (size_t i = 0; i < m->size; i++) {
        struct soma_bytes out = untouched;
        make_key(&key, i);
        fill(&value, m->values[i]);
        soma_read_enter();
        EXPECT_EQ(soma_map_get_ref(m->map, key.bytes, key.len, &out), m->there[i] ? SOMA_OK : SOMA_ABSENT);
        EXPECT(same(out, m->there[i] ? bytes_of(&value) : untouched));
        soma_read_exit();
    }
    EXPECT_EQ(soma_map_count_approx(m->map), m->count);
    verified(m->size);
}

static void upheaval(struct model *m)
{
    switch (rng_below(&m->rng, 6)) {
    case 0:
        EXPECT_EQ(soma_map_clear(m->map), SOMA_OK);
        for (size_t i = 0; i < m->size; i++) {
            if (m->there[i])
                oracle_drop(m, i);
        }
        break;
    case 1:
        EXPECT_EQ(soma_map_reserve(m->map, 1 + rng_below(&m->rng, 4 * m->size)), SOMA_OK);
        break;
    case 2:
    case 3:
        EXPECT_EQ(soma_map_shrink(m->map), SOMA_OK);
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
    soma_map_free(m->map);
    soma_barrier_wait();
    for (size_t i = 0; i < m->size; i++) {
        if (m->there[i])
            oracle_drop(m, i);
    }
    EXPECT_EQ(m->retired.count, m->left.count);
    EXPECT_EQ(m->retired.bytes, m->left.bytes);
    free(m->values);
    free(m->there);
}

static struct model *open_model(size_t size, uint64_t hash_mask)
{
    struct model *m = need(1, sizeof *m);
    m->rng = rng_new(size * 3 + hash_mask);
    m->size = size;
    m->values = need(size, sizeof *m->values);
    m->there = need(size, sizeof *m->there);
    const struct soma_map_options options = {
        .seed = {rng_next(&m->rng), 1}, .value_retire = on_retire, .ctx = m, .struct_size = sizeof options};
    if (soma_map_new(&options, &m->map) != SOMA_OK)
        abort();
#ifndef SOMA_BACKEND_NAMES_H /* a mutex knows no masks */
    soma__map_hash_mask(m->map, hash_mask);
#endif
    return m;
}

struct setup {
    size_t size;
    uint64_t hash_mask;
};

static void run(const void *arg)
{
    const struct setup *setup = arg;
    struct model *m = open_model(setup->size, setup->hash_mask);
    play(m);
    close_model(m);
    free(m);
    EXPECT(!leaks_found());
}

/* Seeded bugs: the map is changed behind the oracle's back. */
static void canary(const void *arg)
{
    (void)arg;
    struct model *m = open_model(100, UINT64_MAX);
    struct text key;
    draw(m, growing, sizeof growing / sizeof growing[0], 200);
    size_t i = 0;
    while (!m->there[i])
        i++;
    make_key(&key, i);
    EXPECT_EQ(soma_map_put(m->map, key.bytes, key.len, "another value", 13, NULL), SOMA_REPLACED);
    canary_begin();
    audit(m);
    EXPECT_EQ(canary_end(), 1);
    EXPECT_EQ(soma_map_remove(m->map, key.bytes, key.len, NULL), SOMA_REMOVED);
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
        {"good-few", run, &(const struct setup){6, UINT64_MAX}},
        {"good-some", run, &(const struct setup){500, UINT64_MAX}},
        {"good-many", run, &(const struct setup){20000, UINT64_MAX}},
        /* Sixteen hashes, all over the table; sixteen in one bucket; one. */
        {"truncated-high", run, &(const struct setup){400, UINT64_C(15) << 60}},
        {"truncated-low", run, &(const struct setup){400, 15}},
        {"constant", run, &(const struct setup){120, 0}},
        {"canary", canary, NULL},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
