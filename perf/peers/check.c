/* SPDX-License-Identifier: ISC */
#include "peers/check.h"

#include <stdatomic.h>

#include "support/child.h"
#include "support/fail.h"
#include "support/team.h"

/* Each thread has keys of its own, so that it knows what is in the map; the buckets they share with all others. */
#define THREADS 4
#define KEYS 3000 /* a thread; enough that tables grow */
#define CALLS 20000
#define CALL_MAX 24
/* And there are a few keys for which all threads compete: of them only the sum is known. */
#define CONTESTED 8
#define CONTESTED_FROM (UINT64_C(1) << 32)
#define CONTESTS 100000

struct check {
    const struct peer_ops *peer;
    void *map;
    _Atomic uint64_t present; /* how many keys the threads left in the map, modulo 2^64 on the way */
    _Atomic uint64_t sum;     /* of their values */
};

/* One thread's own view of its keys. */
struct oracle {
    const struct peer_ops *peer;
    void *map;
    unsigned thread;
    bool present[KEYS];
    uint64_t values[KEYS];
    uint64_t rng;
};

/* Some keys of one call. */
struct draw {
    unsigned places[CALL_MAX];
    peer_key keys[CALL_MAX];
    size_t n;
    size_t present; /* how many of them are in the map */
};

static void wrong(const struct oracle *oracle, const char *what, size_t answer, size_t expected)
{
    if (answer != expected)
        fail("%s: %s answers %zu where %zu is right", oracle->peer->name, what, answer, expected);
}

static void draw_keys(struct oracle *oracle, struct draw *draw)
{
    const unsigned first = (unsigned)rng_below(&oracle->rng, KEYS);
    draw->n = 1 + rng_below(&oracle->rng, CALL_MAX);
    draw->present = 0;
    for (size_t i = 0; i < draw->n; i++) {
        draw->places[i] = (first + (unsigned)i * 7) % KEYS; /* 7 * CALL_MAX < KEYS, so no key comes twice */
        draw->keys[i] = peer_key_at((uint64_t)oracle->thread * KEYS + draw->places[i]);
        draw->present += oracle->present[draw->places[i]];
    }
}

static void check_get(const struct oracle *oracle, const struct draw *draw)
{
    uint64_t values[CALL_MAX];
    wrong(oracle, "get", oracle->peer->get_each(oracle->map, draw->keys, draw->n, values), draw->present);
    for (size_t i = 0; i < draw->n; i++) {
        const unsigned place = draw->places[i];
        if (values[i] != (oracle->present[place] ? oracle->values[place] : 0))
            fail("%s: get gives the wrong value", oracle->peer->name);
    }
}

static void check_put(struct oracle *oracle, const struct draw *draw)
{
    const bool batched = oracle->peer->batched;
    wrong(oracle, "put", oracle->peer->put_each(oracle->map, draw->keys, draw->n),
          batched ? draw->n : draw->n - draw->present);
    for (size_t i = 0; i < draw->n; i++) {
        const unsigned place = draw->places[i];
        if (batched || !oracle->present[place])
            oracle->values[place] = peer_value_of(&draw->keys[i]);
        oracle->present[place] = true;
    }
}

static void check_upsert(struct oracle *oracle, const struct draw *draw)
{
    uint64_t values[CALL_MAX];
    for (size_t i = 0; i < draw->n; i++)
        values[i] = rng_next(&oracle->rng);
    wrong(oracle, "upsert", oracle->peer->upsert_each(oracle->map, draw->keys, values, draw->n),
          draw->n - draw->present);
    for (size_t i = 0; i < draw->n; i++) {
        oracle->present[draw->places[i]] = true;
        oracle->values[draw->places[i]] = values[i];
    }
}

static void check_remove(struct oracle *oracle, const struct draw *draw)
{
    wrong(oracle, "remove", oracle->peer->remove_each(oracle->map, draw->keys, draw->n), draw->present);
    for (size_t i = 0; i < draw->n; i++)
        oracle->present[draw->places[i]] = false;
}

static void check_call(struct oracle *oracle)
{
    struct draw draw;
    draw_keys(oracle, &draw);
    switch (rng_below(&oracle->rng, 5)) {
    case 0:
        check_put(oracle, &draw);
        break;
    case 1:
        check_upsert(oracle, &draw);
        break;
    case 2:
        check_remove(oracle, &draw);
        break;
    default:
        check_get(oracle, &draw);
    }
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
    for (unsigned i = 0; i < KEYS; i++) {
        check->present += oracle.present[i];
        check->sum += oracle.present[i] ? oracle.values[i] : 0;
    }
}

/* Whoever is told that it inserted or removed a key did so alone. */
static void contest_thread(void *shared, unsigned index)
{
    struct check *check = shared;
    const struct peer_ops *peer = check->peer;
    uint64_t rng = key_at(index);
    uint64_t present = 0;
    uint64_t sum = 0;
    peer->thread_enter();
    for (unsigned i = 0; i < CONTESTS; i++) {
        const peer_key key = peer_key_at(CONTESTED_FROM + rng_below(&rng, CONTESTED));
        const uint64_t value = peer_value_of(&key);
        uint64_t got = value;
        const bool inserts = rng_next(&rng) >> 63;
        const uint64_t change =
            inserts ? peer->put_each(check->map, &key, 1) : 0 - peer->remove_each(check->map, &key, 1);
        present += change;
        sum += change * value;
        if (peer->get_each(check->map, &key, 1, &got) == 1 && got != value)
            fail("%s: get gives the wrong value of a contested key", peer->name);
        if (i % QUIESCENT_OPS == 0)
            peer->quiescent();
    }
    peer->thread_leave();
    check->present += present;
    check->sum += sum;
}

static void check_total(const struct check *check)
{
    const struct peer_ops *peer = check->peer;
    uint64_t sum = 0;
    peer->thread_enter();
    const uint64_t count = peer->count(check->map);
    const uint64_t scanned = peer->scan ? peer->scan(check->map, &sum) : count;
    peer->thread_leave();
    if (count != check->present)
        fail("%s: counts %llu entries where %llu are right", peer->name, (unsigned long long)count,
             (unsigned long long)check->present);
    if (scanned != count)
        fail("%s: a scan meets %llu entries where %llu are right", peer->name, (unsigned long long)scanned,
             (unsigned long long)count);
    if (peer->scan && sum != check->sum)
        fail("%s: a scan meets the wrong values", peer->name);
}

/* ---- Limits: filled by one thread, then only read ---- */

static void fill_even(struct oracle *oracle)
{
    for (unsigned i = 0; i < KEYS; i += 2) {
        const peer_key key = peer_key_at(i);
        wrong(oracle, "put", oracle->peer->put_each(oracle->map, &key, 1), 1);
        oracle->present[i] = true;
        oracle->values[i] = peer_value_of(&key);
    }
}

static void limit_thread(void *shared, unsigned index)
{
    struct oracle oracle = *(const struct oracle *)shared;
    struct draw draw;
    oracle.rng = key_at(index);
    for (unsigned i = 0; i < CALLS; i++) {
        draw_keys(&oracle, &draw);
        check_get(&oracle, &draw);
    }
}

static void check_limit(const struct peer_ops *peer)
{
    struct oracle oracle = {.peer = peer, .map = peer->create(KEYS / 2)};
    fill_even(&oracle);
    wrong(&oracle, "count", peer->count(oracle.map), KEYS / 2);
    for (unsigned threads = 1; threads <= THREADS; threads += THREADS - 1)
        team_run(threads, limit_thread, &oracle);
}

static void check_child(const void *task, void *result)
{
    (void)result;
    const struct peer_ops *peer = *(const struct peer_ops *const *)task;
    if (peer->lacks & LACKS_BEING_A_MAP) {
        check_limit(peer);
        return;
    }
    for (unsigned threads = 1; threads <= THREADS; threads += THREADS - 1) {
        struct check check = {.peer = peer, .map = peer->create((uint64_t)KEYS * threads)};
        team_run(threads, check_thread, &check);
        check_total(&check);
        if (!peer->batched)
            team_run(threads, contest_thread, &check);
        check_total(&check);
    }
}

void peer_check(const struct peer_ops *peer)
{
    char nothing;
    child_run(peer->name, check_child, &peer, &nothing, sizeof nothing);
}
