/* SPDX-License-Identifier: ISC */
#include "peers/check.h"

#include "support/child.h"
#include "support/fail.h"
#include "support/rng.h"
#include "support/team.h"

/* Each thread has keys of its own, so that it knows what is in the map; the buckets they share with all others. */
#define THREADS 4
#define KEYS 3000 /* a thread; enough that tables grow */
#define CALLS 20000
#define CALL_MAX 24

struct check {
    const struct peer_ops *peer;
    void *map;
    uint64_t present[THREADS]; /* how many keys a thread left in the map */
};

/* One thread's own view of its keys. */
struct oracle {
    const struct peer_ops *peer;
    void *map;
    unsigned thread;
    bool present[KEYS];
    uint64_t rng;
};

static void wrong(const struct oracle *oracle, const char *what, size_t answer, size_t expected)
{
    if (answer != expected)
        fail("%s: %s answers %zu where %zu is right", oracle->peer->name, what, answer, expected);
}

/* Draws different keys: their places, the keys themselves, and how many of them are in the map. */
static size_t draw(struct oracle *oracle, unsigned *places, uint64_t *keys, size_t n)
{
    const unsigned first = (unsigned)rng_below(&oracle->rng, KEYS);
    size_t present = 0;
    for (size_t i = 0; i < n; i++) {
        places[i] = (first + (unsigned)i * 7) % KEYS; /* 7 * CALL_MAX < KEYS, so no key comes twice */
        keys[i] = key_at((uint64_t)oracle->thread * KEYS + places[i]);
        present += oracle->present[places[i]];
    }
    return present;
}

static void check_get(const struct oracle *oracle, const unsigned *places, const uint64_t *keys, size_t n,
                      size_t present)
{
    uint64_t values[CALL_MAX];
    wrong(oracle, "get", oracle->peer->get_each(oracle->map, keys, n, values), present);
    for (size_t i = 0; i < n; i++) {
        if (values[i] != (oracle->present[places[i]] ? value_of(keys[i]) : 0))
            fail("%s: get gives the wrong value", oracle->peer->name);
    }
}

static void check_call(struct oracle *oracle)
{
    unsigned places[CALL_MAX];
    uint64_t keys[CALL_MAX];
    const size_t n = 1 + rng_below(&oracle->rng, CALL_MAX);
    const size_t present = draw(oracle, places, keys, n);
    const uint64_t kind = rng_below(&oracle->rng, 4);
    if (kind < 2) {
        check_get(oracle, places, keys, n, present);
        return;
    }
    const bool put = kind == 2;
    const size_t done = (put ? oracle->peer->put_each : oracle->peer->remove_each)(oracle->map, keys, n);
    if (!put)
        wrong(oracle, "remove", done, present);
    else
        wrong(oracle, "put", done, oracle->peer->batched ? n : n - present);
    for (size_t i = 0; i < n; i++)
        oracle->present[places[i]] = put;
}

static void check_thread(void *shared, unsigned index)
{
    struct check *check = shared;
    struct oracle oracle = {.peer = check->peer, .map = check->map, .thread = index, .rng = key_at(index)};
    oracle.peer->thread_enter();
    for (unsigned i = 0; i < CALLS; i++) {
        check_call(&oracle);
        if (i % (QUIESCENT_OPS / CALL_MAX) == 0)
            oracle.peer->quiescent();
    }
    oracle.peer->thread_leave();
    for (unsigned i = 0; i < KEYS; i++)
        check->present[index] += oracle.present[i];
}

static void check_count(const struct check *check)
{
    uint64_t expected = 0;
    for (unsigned i = 0; i < THREADS; i++)
        expected += check->present[i];
    check->peer->thread_enter();
    const uint64_t count = check->peer->count(check->map);
    check->peer->thread_leave();
    if (count != expected)
        fail("%s: counts %llu entries where %llu are right", check->peer->name, (unsigned long long)count,
             (unsigned long long)expected);
}

static void check_child(const void *task, void *result)
{
    (void)result;
    const struct peer_ops *peer = *(const struct peer_ops *const *)task;
    for (unsigned threads = 1; threads <= THREADS; threads += THREADS - 1) {
        struct check check = {.peer = peer, .map = peer->create((uint64_t)KEYS * threads)};
        team_run(threads, check_thread, &check);
        check_count(&check);
    }
}

void peer_check(const struct peer_ops *peer)
{
    char nothing;
    child_run(peer->name, check_child, &peer, &nothing, sizeof nothing);
}
