/* SPDX-License-Identifier: ISC */
/* soma.c - Soma's word map, one key at a time and in batches. */
#include <soma/soma.h>

#include "peers/peer.h"
#include "support/fail.h"
#include "support/rng.h"

#define BATCH_MAX 256

static void must(enum soma_status status)
{
    if (status < 0)
        fail("soma: %s", soma_status_text(status));
}

static void *create(uint64_t size)
{
    (void)size; /* Soma starts empty and grows, as it does in use */
    soma_u64 *map = NULL;
    must(soma_u64_new(NULL, &map));
    return map;
}

static size_t get_each(void *map, const uint64_t *keys, size_t n, uint64_t *values)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        values[i] = 0;
        found += soma_u64_get(map, keys[i], &values[i]) == SOMA_OK;
    }
    return found;
}

static size_t put_each(void *map, const uint64_t *keys, size_t n)
{
    size_t inserted = 0;
    for (size_t i = 0; i < n; i++) {
        const enum soma_status status = soma_u64_put_new(map, keys[i], value_of(keys[i]), NULL);
        must(status);
        inserted += status == SOMA_INSERTED;
    }
    return inserted;
}

static size_t remove_each(void *map, const uint64_t *keys, size_t n)
{
    size_t removed = 0;
    for (size_t i = 0; i < n; i++) {
        const enum soma_status status = soma_u64_remove(map, keys[i], NULL);
        must(status);
        removed += status == SOMA_REMOVED;
    }
    return removed;
}

static size_t get_batch(void *map, const uint64_t *keys, size_t n, uint64_t *values)
{
    for (size_t i = 0; i < n; i++)
        values[i] = 0; /* a missed key leaves its place alone */
    return soma_u64_get_many(map, keys, n, values, NULL);
}

static size_t put_batch(void *map, const uint64_t *keys, size_t n)
{
    uint64_t values[BATCH_MAX];
    size_t stored = 0;
    while (stored < n) {
        const size_t some = n - stored < BATCH_MAX ? n - stored : BATCH_MAX;
        size_t done = 0;
        for (size_t i = 0; i < some; i++)
            values[i] = value_of(keys[stored + i]);
        must(soma_u64_put_many(map, keys + stored, values, some, &done));
        stored += done;
    }
    return stored;
}

static uint64_t count(void *map)
{
    return soma_u64_count_approx(map);
}

static void shrink(void *map)
{
    must(soma_u64_shrink(map));
    soma_barrier_wait();
    /* Readers that were in the way of the first call are gone now. */
    must(soma_u64_shrink(map));
    soma_barrier_wait();
}

const struct peer_ops peer_soma = {
    .name = "soma",
    .about = "soma_u64, made empty with default options",
    .colour = 0,
    .create = create,
    .thread_enter = peer_nothing,
    .thread_leave = peer_nothing,
    .quiescent = peer_nothing,
    .get_each = get_each,
    .put_each = put_each,
    .remove_each = remove_each,
    .count = count,
    .settle = soma_barrier_wait,
    .shrink = shrink,
};

const struct peer_ops peer_soma_batch = {
    .name = "soma-batch",
    .about = "the same through soma_u64_get_many() and soma_u64_put_many()",
    .colour = 1,
    .batched = true,
    .create = create,
    .thread_enter = peer_nothing,
    .thread_leave = peer_nothing,
    .quiescent = peer_nothing,
    .get_each = get_batch,
    .put_each = put_batch,
    .remove_each = remove_each,
    .count = count,
    .settle = soma_barrier_wait,
    .shrink = shrink,
};
