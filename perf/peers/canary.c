/* SPDX-License-Identifier: ISC */
/* canary.c - the mutex map and a limit, put into the wrong. */
#include "peers/canary.h"

#include <sched.h>

/* Every so many operations go wrong. */
#define SELDOM 500

static _Thread_local unsigned calls;

static bool now_wrong(void)
{
    return ++calls % SELDOM == 0;
}

static size_t upsert_seldom(void *map, const peer_key *keys, const uint64_t *values, size_t n)
{
    return now_wrong() ? peer_mutex.put_each(map, keys, n) : peer_mutex.upsert_each(map, keys, values, n);
}

static size_t remove_seldom(void *map, const peer_key *keys, size_t n)
{
    uint64_t value;
    size_t removed = 0;
    for (size_t i = 0; i < n; i++)
        removed +=
            now_wrong() ? peer_mutex.get_each(map, &keys[i], 1, &value) : peer_mutex.remove_each(map, &keys[i], 1);
    return removed;
}

/* Says of a key that it was inserted if it was not there a moment ago. */
static size_t put_racing(void *map, const peer_key *keys, size_t n)
{
    uint64_t value;
    size_t inserted = 0;
    for (size_t i = 0; i < n; i++) {
        const bool absent = peer_mutex.get_each(map, &keys[i], 1, &value) == 0;
        if (absent)
            sched_yield();
        peer_mutex.put_each(map, &keys[i], 1);
        inserted += absent;
    }
    return inserted;
}

/* ---- What is right about them ---- */

static void *create(uint64_t size)
{
    return peer_mutex.create(size);
}

static void thread_leave(void)
{
    peer_mutex.thread_leave();
}

static size_t get_each(void *map, const peer_key *keys, size_t n, uint64_t *values)
{
    return peer_mutex.get_each(map, keys, n, values);
}

static size_t put_each(void *map, const peer_key *keys, size_t n)
{
    return peer_mutex.put_each(map, keys, n);
}

static size_t upsert_each(void *map, const peer_key *keys, const uint64_t *values, size_t n)
{
    return peer_mutex.upsert_each(map, keys, values, n);
}

static size_t remove_each(void *map, const peer_key *keys, size_t n)
{
    return peer_mutex.remove_each(map, keys, n);
}

static uint64_t scan(void *map, uint64_t *sum)
{
    return peer_mutex.scan(map, sum);
}

static uint64_t count(void *map)
{
    return peer_mutex.count(map);
}

const struct peer_ops peer_canary_value = {
    .name = "canary-value",
    .about = "wrong: sometimes leaves an old value",
    .create = create,
    .thread_enter = peer_nothing,
    .thread_leave = thread_leave,
    .quiescent = peer_nothing,
    .get_each = get_each,
    .put_each = put_each,
    .upsert_each = upsert_seldom,
    .remove_each = remove_each,
    .scan = scan,
    .count = count,
    .settle = peer_nothing,
};

const struct peer_ops peer_canary_keep = {
    .name = "canary-keep",
    .about = "wrong: sometimes keeps what it says it removed",
    .create = create,
    .thread_enter = peer_nothing,
    .thread_leave = thread_leave,
    .quiescent = peer_nothing,
    .get_each = get_each,
    .put_each = put_each,
    .upsert_each = upsert_each,
    .remove_each = remove_seldom,
    .scan = scan,
    .count = count,
    .settle = peer_nothing,
};

const struct peer_ops peer_canary_race = {
    .name = "canary-race",
    .about = "wrong: two threads may insert one key",
    .create = create,
    .thread_enter = peer_nothing,
    .thread_leave = thread_leave,
    .quiescent = peer_nothing,
    .get_each = get_each,
    .put_each = put_racing,
    .upsert_each = upsert_each,
    .remove_each = remove_each,
    .scan = scan,
    .count = count,
    .settle = peer_nothing,
};

#ifndef PEER_STRINGS

/* As a lookup would that stops at the first slot which is taken. */
static size_t get_neighbour(void *map, const peer_key *keys, size_t n, uint64_t *values)
{
    const size_t found = peer_linear.get_each(map, keys, n, values);
    if (n > 1 && now_wrong())
        values[0] = values[1];
    return found;
}

static void *create_limit(uint64_t size)
{
    return peer_linear.create(size);
}

static size_t put_limit(void *map, const peer_key *keys, size_t n)
{
    return peer_linear.put_each(map, keys, n);
}

static uint64_t count_limit(void *map)
{
    return peer_linear.count(map);
}

const struct peer_ops peer_canary_limit = {
    .name = "canary-limit",
    .about = "wrong: sometimes gives the value of another key",
    .lacks = LACKS_BEING_A_MAP,
    .create = create_limit,
    .thread_enter = peer_nothing,
    .thread_leave = peer_nothing,
    .quiescent = peer_nothing,
    .get_each = get_neighbour,
    .put_each = put_limit,
    .count = count_limit,
    .settle = peer_nothing,
};

#endif
