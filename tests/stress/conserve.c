/* SPDX-License-Identifier: ISC */
/* conserve.c - nothing is made or lost. Threads put words in, add to them where they stand, and take them out again,
 * all on the same few keys. What was put in and added, less what came out, must be what is there at the end. An
 * addition in place that loses against a removal or a replacement, and yet answers that it was done, is missing from
 * the sum; one that wins after it was overtaken is in it twice. */
#include <stdatomic.h>
#include <string.h>

#include <soma/soma.h>

#include "support.h"

#define THREADS 4
#define SMALL 1000 /* sums of so small numbers do not wrap */

/* The verbs of a map of words, either kind. */
struct words {
    void *(*open)(void);
    void (*close)(void *map);
    enum soma_status (*get)(void *map, uint64_t key, uint64_t *word);
    enum soma_status (*add)(void *map, uint64_t key, uint64_t delta, uint64_t *old);
    enum soma_status (*put)(void *map, uint64_t key, uint64_t word, uint64_t *old);
    enum soma_status (*cas)(void *map, uint64_t key, uint64_t expected, uint64_t desired);
    enum soma_status (*take)(void *map, uint64_t key, uint64_t *old);
    enum soma_status (*take_if)(void *map, uint64_t key, uint64_t expected);
    uint64_t (*count)(void *map);
    /* Takes some out, from a place on; the sum of what went. */
    uint64_t (*take_from)(void *map, uint64_t *place);
};

#define TAKEN 16

/* ---- The word map ---- */

static void *word_open(void)
{
    soma_u64 *map = NULL;
    EXPECT_EQ(soma_u64_new(NULL, &map), SOMA_OK);
    return map;
}

static void word_close(void *map)
{
    soma_u64_free(map);
}

static enum soma_status word_get(void *map, uint64_t key, uint64_t *word)
{
    return soma_u64_get(map, key, word);
}

static enum soma_status word_add(void *map, uint64_t key, uint64_t delta, uint64_t *old)
{
    return soma_u64_fetch_add(map, key, delta, old);
}

static enum soma_status word_put(void *map, uint64_t key, uint64_t word, uint64_t *old)
{
    return soma_u64_put(map, key, word, old);
}

static enum soma_status word_cas(void *map, uint64_t key, uint64_t expected, uint64_t desired)
{
    return soma_u64_cas(map, key, expected, desired, NULL);
}

static enum soma_status word_take(void *map, uint64_t key, uint64_t *old)
{
    return soma_u64_remove(map, key, old);
}

static enum soma_status word_take_if(void *map, uint64_t key, uint64_t expected)
{
    return soma_u64_remove_if(map, key, expected, NULL);
}

static uint64_t word_count(void *map)
{
    return soma_u64_count_approx(map);
}

/* What it is shown it leaves now and then, and now and then it wants no more. */
static enum soma_status choose_word(uint64_t key, uint64_t word, void *ctx)
{
    uint64_t *asked = ctx;
    (void)key;
    const uint64_t draw = ++*asked * 7 + word;
    return draw % 5 == 0 ? SOMA_EXISTS : draw % 31 == 0 ? SOMA_END : SOMA_REMOVED;
}

static uint64_t sum_of(const uint64_t *words, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += words[i];
    return sum;
}

static uint64_t word_take_from(void *map, uint64_t *place)
{
    uint64_t words[TAKEN];
    uint64_t asked = *place;
    size_t taken = 0;
    EXPECT(soma_u64_take(map, place, TAKEN, choose_word, &asked, NULL, words, &taken) >= 0);
    return sum_of(words, taken);
}

/* ---- The byte map, with keys and values of 8 bytes ---- */

static void *byte_open(void)
{
    soma_map *map = NULL;
    EXPECT_EQ(soma_map_new(NULL, &map), SOMA_OK);
    return map;
}

static void byte_close(void *map)
{
    soma_map_free(map);
}

static enum soma_status byte_get(void *map, uint64_t key, uint64_t *word)
{
    return soma_map_get_copy(map, &key, sizeof key, word, sizeof *word, NULL);
}

static enum soma_status byte_add(void *map, uint64_t key, uint64_t delta, uint64_t *old)
{
    return soma_map_fetch_add(map, &key, sizeof key, delta, old);
}

/* Closes the section of a call whose old value has left the map, if `left`. */
static enum soma_status byte_out(enum soma_status status, bool left, struct soma_bytes borrowed, uint64_t *old)
{
    if (left && EXPECT_EQ(borrowed.len, sizeof *old))
        memcpy(old, borrowed.data, sizeof *old);
    soma_read_exit();
    return status;
}

static enum soma_status byte_put(void *map, uint64_t key, uint64_t word, uint64_t *old)
{
    struct soma_bytes borrowed = {NULL, 0};
    soma_read_enter();
    const enum soma_status status = soma_map_put(map, &key, sizeof key, &word, sizeof word, &borrowed);
    return byte_out(status, status == SOMA_REPLACED, borrowed, old);
}

static enum soma_status byte_cas(void *map, uint64_t key, uint64_t expected, uint64_t desired)
{
    return soma_map_cas(map, &key, sizeof key, &expected, sizeof expected, &desired, sizeof desired, NULL);
}

static enum soma_status byte_take(void *map, uint64_t key, uint64_t *old)
{
    struct soma_bytes borrowed = {NULL, 0};
    soma_read_enter();
    const enum soma_status status = soma_map_remove(map, &key, sizeof key, &borrowed);
    return byte_out(status, status == SOMA_REMOVED, borrowed, old);
}

static enum soma_status byte_take_if(void *map, uint64_t key, uint64_t expected)
{
    return soma_map_remove_if(map, &key, sizeof key, &expected, sizeof expected, NULL);
}

static uint64_t byte_count(void *map)
{
    return soma_map_count_approx(map);
}

static enum soma_status choose_bytes(const void *key, size_t key_len, struct soma_bytes value, void *ctx)
{
    uint64_t word = 0;
    EXPECT(key_len == sizeof(uint64_t) && value.len == sizeof word && key);
    memcpy(&word, value.data, sizeof word);
    return choose_word(0, word, ctx);
}

static uint64_t byte_take_from(void *map, uint64_t *place)
{
    struct soma_bytes values[TAKEN];
    uint64_t words[TAKEN];
    uint64_t asked = *place;
    size_t taken = 0;
    soma_read_enter();
    EXPECT(soma_map_take(map, place, TAKEN, choose_bytes, &asked, NULL, values, &taken) >= 0);
    for (size_t i = 0; i < taken; i++)
        memcpy(&words[i], values[i].data, sizeof words[i]);
    soma_read_exit();
    return sum_of(words, taken);
}

static const struct words both[2] = {
    {word_open, word_close, word_get, word_add, word_put, word_cas, word_take, word_take_if, word_count,
     word_take_from},
    {byte_open, byte_close, byte_get, byte_add, byte_put, byte_cas, byte_take, byte_take_if, byte_count,
     byte_take_from},
};

/* ---- The threads ---- */

struct setup {
    int kind;
    uint64_t keys;
};

struct run {
    const struct words *words;
    uint64_t keys;
    void *map;
    double end;
    atomic_uint_fast64_t in;  /* put or added */
    atomic_uint_fast64_t out; /* taken or replaced */
};

struct worker {
    struct run *run;
    struct rng rng;
    uint64_t in;
    uint64_t out;
    uint64_t place; /* where the thread goes on taking */
};

static void do_add(struct worker *w, uint64_t key)
{
    const uint64_t delta = 1 + rng_below(&w->rng, SMALL);
    uint64_t old = 1;
    const enum soma_status status = w->run->words->add(w->run->map, key, delta, &old);
    EXPECT(status == SOMA_REPLACED || (status == SOMA_INSERTED && old == 0));
    w->in += delta;
}

static void do_put(struct worker *w, uint64_t key)
{
    const uint64_t word = rng_below(&w->rng, SMALL);
    uint64_t old = 0;
    const enum soma_status status = w->run->words->put(w->run->map, key, word, &old);
    EXPECT(status == SOMA_REPLACED || status == SOMA_INSERTED);
    w->in += word;
    w->out += status == SOMA_REPLACED ? old : 0;
}

static void do_cas(struct worker *w, uint64_t key)
{
    uint64_t expected = 0;
    const uint64_t desired = rng_below(&w->rng, SMALL);
    if (w->run->words->get(w->run->map, key, &expected) != SOMA_OK)
        return;
    if (w->run->words->cas(w->run->map, key, expected, desired) == SOMA_REPLACED) {
        w->in += desired;
        w->out += expected;
    }
}

static void do_take(struct worker *w, uint64_t key)
{
    uint64_t old = 0;
    if (w->run->words->take(w->run->map, key, &old) == SOMA_REMOVED)
        w->out += old;
}

static void do_take_if(struct worker *w, uint64_t key)
{
    uint64_t expected = 0;
    if (w->run->words->get(w->run->map, key, &expected) != SOMA_OK)
        return;
    if (w->run->words->take_if(w->run->map, key, expected) == SOMA_REMOVED)
        w->out += expected;
}

static void do_take_from(struct worker *w, uint64_t key)
{
    if (key % 16 == 0) /* it takes more than the others put in */
        w->out += w->run->words->take_from(w->run->map, &w->place);
}

static void work(unsigned index, void *arg)
{
    static void (*const verbs[])(struct worker *, uint64_t) = {do_add, do_add,  do_add,     do_put,
                                                               do_cas, do_take, do_take_if, do_take_from};
    struct run *run = arg;
    struct worker w = {run, rng_new(index), 0, 0, 0};
    uint64_t steps = 0;
    while (++steps % 64 || (now_seconds() < run->end && failures() == 0))
        verbs[rng_below(&w.rng, sizeof verbs / sizeof verbs[0])](&w, rng_below(&w.rng, run->keys));
    atomic_fetch_add(&run->in, w.in);
    atomic_fetch_add(&run->out, w.out);
    verified(steps);
}

static uint64_t what_is_left(const struct run *run)
{
    uint64_t left = 0;
    uint64_t there = 0;
    for (uint64_t key = 0; key < run->keys; key++) {
        uint64_t word = 0;
        there += run->words->get(run->map, key, &word) == SOMA_OK;
        left += word;
    }
    EXPECT_EQ(run->words->count(run->map), there);
    return left;
}

static void conserve(const void *arg)
{
    const struct setup *setup = arg;
    struct run run = {.words = &both[setup->kind], .keys = setup->keys, .end = now_seconds() + test_seconds()};
    run.map = run.words->open();
    crew_run(THREADS, work, &run);
    EXPECT_EQ(atomic_load(&run.in) - atomic_load(&run.out), what_is_left(&run));
    /* The sum would notice: one more in the map than the books say. */
    run.words->add(run.map, 0, 1, NULL);
    EXPECT(atomic_load(&run.in) - atomic_load(&run.out) != what_is_left(&run));
    run.words->close(run.map);
    soma_barrier_wait();
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"u64-one-key", conserve, &(const struct setup){0, 1}},
        {"u64-few-keys", conserve, &(const struct setup){0, 7}},
        {"u64-many-keys", conserve, &(const struct setup){0, 3000}},
        {"map-one-key", conserve, &(const struct setup){1, 1}},
        {"map-few-keys", conserve, &(const struct setup){1, 7}},
        {"map-many-keys", conserve, &(const struct setup){1, 3000}},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
