/* SPDX-License-Identifier: ISC */
/* chains.c - many threads, every verb, few or many keys, unique values: the ledger must add up. With one key all
 * updates meet in one entry, so an update in place runs into removals all the time; with many keys the table grows and
 * shrinks beside them. */

#include "kinds.h"
#include "ledger.h"
#include "support.h"

#define THREADS 4
#define VALUES_EACH ((uint64_t)1 << 19)

struct setup {
    int kind;
    uint64_t keys;
    bool clears; /* one thread clears now and then */
};

struct run {
    const struct setup *setup;
    const struct kind *kind;
    void *map;
    struct ledger ledger;
    double end;
};

/* One thread's. */
struct worker {
    struct run *run;
    struct rng rng;
    uint64_t next; /* its next value */
    uint64_t last; /* and the first that is not its own */
};

static uint64_t fresh_value(struct worker *w, uint64_t key)
{
    w->run->ledger.keys[w->next] = key;
    return w->next;
}

/* The value that was stored, if it was. */
static void settle(struct worker *w, enum soma_status status)
{
    EXPECT(status >= 0);
    if (status == SOMA_INSERTED || status == SOMA_REPLACED) {
        ledger_stored(&w->run->ledger, w->next);
        w->next++;
    }
}

static void do_put(struct worker *w, uint64_t key)
{
    uint64_t old = 0;
    const enum soma_status status = w->run->kind->put(w->run->map, key, fresh_value(w, key), &old);
    if (EXPECT(status == SOMA_INSERTED || status == SOMA_REPLACED) && status == SOMA_REPLACED)
        ledger_returned(&w->run->ledger, old, key);
    settle(w, status);
}

static void do_put_new(struct worker *w, uint64_t key)
{
    uint64_t present = 0;
    const enum soma_status status = w->run->kind->put_new(w->run->map, key, fresh_value(w, key), &present);
    if (EXPECT(status == SOMA_INSERTED || status == SOMA_EXISTS) && status == SOMA_EXISTS)
        ledger_seen(&w->run->ledger, present, key);
    settle(w, status);
}

static void do_replace(struct worker *w, uint64_t key)
{
    uint64_t old = 0;
    const enum soma_status status = w->run->kind->replace(w->run->map, key, fresh_value(w, key), &old);
    if (EXPECT(status == SOMA_REPLACED || status == SOMA_ABSENT) && status == SOMA_REPLACED)
        ledger_returned(&w->run->ledger, old, key);
    settle(w, status);
}

static void do_cas(struct worker *w, uint64_t key)
{
    uint64_t expected = 0;
    uint64_t actual = 0;
    if (w->run->kind->get(w->run->map, key, &expected) != SOMA_OK)
        return;
    const enum soma_status status = w->run->kind->cas(w->run->map, key, expected, fresh_value(w, key), &actual);
    EXPECT(status == SOMA_REPLACED || status == SOMA_CHANGED || status == SOMA_ABSENT);
    if (status == SOMA_REPLACED) {
        EXPECT_EQ(actual, expected);
        ledger_returned(&w->run->ledger, actual, key);
    } else if (status == SOMA_CHANGED) {
        EXPECT(actual != expected);
        ledger_seen(&w->run->ledger, actual, key);
    }
    settle(w, status);
}

static void do_remove(struct worker *w, uint64_t key)
{
    uint64_t old = 0;
    const enum soma_status status = w->run->kind->remove(w->run->map, key, &old);
    if (EXPECT(status == SOMA_REMOVED || status == SOMA_ABSENT) && status == SOMA_REMOVED)
        ledger_returned(&w->run->ledger, old, key);
}

static void do_remove_if(struct worker *w, uint64_t key)
{
    uint64_t expected = 0;
    uint64_t actual = 0;
    if (w->run->kind->get(w->run->map, key, &expected) != SOMA_OK)
        return;
    const enum soma_status status = w->run->kind->remove_if(w->run->map, key, expected, &actual);
    EXPECT(status == SOMA_REMOVED || status == SOMA_CHANGED || status == SOMA_ABSENT);
    if (status == SOMA_REMOVED) {
        EXPECT_EQ(actual, expected);
        ledger_returned(&w->run->ledger, actual, key);
    } else if (status == SOMA_CHANGED) {
        EXPECT(actual != expected);
    }
}

struct plan {
    enum soma_status answer;
    uint64_t store;
    uint64_t saw;
    bool present;
};

/* The last run of the function is the one that counts. */
static enum soma_status follow_plan(uint64_t key, bool present, uint64_t *value, void *ctx)
{
    struct plan *plan = ctx;
    (void)key;
    plan->saw = *value;
    plan->present = present;
    *value = plan->store;
    return plan->answer;
}

static void do_update(struct worker *w, uint64_t key)
{
    struct plan plan = {.answer = rng_below(&w->rng, 2) ? SOMA_OK : SOMA_REMOVED, .store = fresh_value(w, key)};
    const enum soma_status status = w->run->kind->update(w->run->map, key, follow_plan, &plan);
    EXPECT(status == (plan.answer == SOMA_OK ? plan.present ? SOMA_REPLACED : SOMA_INSERTED
                      : plan.present         ? SOMA_REMOVED
                                             : SOMA_ABSENT));
    if (plan.present)
        ledger_returned(&w->run->ledger, plan.saw, key);
    settle(w, status);
}

static void do_get(struct worker *w, uint64_t key)
{
    uint64_t value = 0;
    if (w->run->kind->get(w->run->map, key, &value) == SOMA_OK)
        ledger_seen(&w->run->ledger, value, key);
}

static void do_get_many(struct worker *w, uint64_t key)
{
    uint64_t keys[20];
    uint64_t values[20];
    bool found[20];
    for (uint64_t i = 0; i < 20; i++)
        keys[i] = (key + i) % w->run->setup->keys;
    w->run->kind->get_many(w->run->map, keys, 20, values, found);
    for (int i = 0; i < 20; i++) {
        if (found[i])
            ledger_seen(&w->run->ledger, values[i], keys[i]);
    }
}

static void do_upheaval(struct worker *w, uint64_t key)
{
    if (w->run->setup->clears && key % 2)
        EXPECT_EQ(w->run->kind->clear(w->run->map), SOMA_OK);
    else
        EXPECT_EQ(w->run->kind->shrink(w->run->map), SOMA_OK);
}

static void work(unsigned index, void *arg)
{
    static void (*const verbs[])(struct worker *, uint64_t) = {
        do_put, do_put, do_put_new, do_replace, do_cas, do_remove, do_remove_if, do_update, do_get, do_get_many};
    struct run *run = arg;
    struct worker w = {run, rng_new(index), index * VALUES_EACH, (index + 1) * VALUES_EACH};
    uint64_t steps = 0;
    while (w.next < w.last && failures() == 0 && (++steps % 64 || now_seconds() < run->end)) {
        const uint64_t key = rng_below(&w.rng, run->setup->keys);
        if (steps % 8192 == 0)
            do_upheaval(&w, key);
        else
            verbs[rng_below(&w.rng, sizeof verbs / sizeof verbs[0])](&w, key);
    }
    EXPECT(w.next > index * VALUES_EACH);
}

/* What is left counts as returned, and count_approx, exact at rest, must agree. */
static void collect_rest(struct run *run)
{
    uint64_t there = 0;
    for (uint64_t key = 0; key < run->setup->keys; key++) {
        uint64_t value = 0;
        if (run->kind->get(run->map, key, &value) == SOMA_OK) {
            there++;
            ledger_returned(&run->ledger, value, key);
        }
    }
    EXPECT_EQ(run->kind->count(run->map), there);
}

static void round_of(const struct setup *setup, double end)
{
    struct run run = {.setup = setup, .kind = &kinds[setup->kind], .end = end};
    ledger_init(&run.ledger, THREADS * VALUES_EACH);
    const struct kind_options options = {.retired = ledger_retired, .ctx = &run.ledger};
    run.map = kind_open(run.kind, &options);
    crew_run(THREADS, work, &run);
    collect_rest(&run);
    ledger_audit_returned(&run.ledger, setup->clears);
    run.kind->close(run.map);
    soma_barrier_wait();
    ledger_audit_retired(&run.ledger);
    ledger_fini(&run.ledger);
}

/* A round ends when a thread has no more values. */
static void chains(const void *setup)
{
    const double end = now_seconds() + test_seconds();
    do {
        round_of(setup, end);
    } while (now_seconds() < end && failures() == 0);
    EXPECT(!leaks_found());
}

/* Wrong logs: the ledger must object to each. */
static void canary(const void *arg)
{
    (void)arg;
    struct ledger ledger;
    ledger_init(&ledger, 4);
    ledger.keys[1] = 7;
    ledger_stored(&ledger, 1);
    canary_begin();
    ledger_audit_returned(&ledger, false); /* never came back */
    EXPECT_EQ(canary_end(), 1);
    ledger_returned(&ledger, 1, 7);
    ledger_audit_returned(&ledger, false);
    canary_begin();
    ledger_returned(&ledger, 1, 8);       /* from another key, */
    ledger_audit_returned(&ledger, true); /* and twice */
    EXPECT_EQ(canary_end(), 2);
    canary_begin();
    ledger_audit_retired(&ledger); /* never retired */
    EXPECT_EQ(canary_end(), 1);
    ledger_fini(&ledger);
    ledger_init(&ledger, 4);
    ledger_returned(&ledger, 2, 0);
    canary_begin();
    ledger_audit_returned(&ledger, true); /* never stored */
    ledger_returned(&ledger, 99, 0);      /* no value at all */
    EXPECT(canary_end() >= 2);
    ledger_fini(&ledger);
    verified(1);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {
        {"u64-one-key", chains, &(const struct setup){0, 1, false}},
        {"u64-few-keys", chains, &(const struct setup){0, 5, false}},
        {"u64-many-keys", chains, &(const struct setup){0, 20000, false}},
        {"u64-clear", chains, &(const struct setup){0, 300, true}},
        {"map-one-key", chains, &(const struct setup){1, 1, false}},
        {"map-few-keys", chains, &(const struct setup){1, 5, false}},
        {"map-many-keys", chains, &(const struct setup){1, 20000, false}},
        {"map-clear", chains, &(const struct setup){1, 300, true}},
        {"canary", canary, NULL},
    };
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
