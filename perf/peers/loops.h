/* SPDX-License-Identifier: ISC */
/* loops.h - the calls of peer.h over one key each. To be included by an adapter behind its find(), put(), upsert() and
 * take(), which the compiler then sees and puts into the loops. */
#ifndef PERF_LOOPS_H
#define PERF_LOOPS_H

#include "peers/peer.h"

static size_t get_each(void *map, const peer_key *keys, size_t n, uint64_t *values)
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        values[i] = 0;
        found += find(map, &keys[i], &values[i]);
    }
    return found;
}

static size_t put_each(void *map, const peer_key *keys, size_t n)
{
    size_t inserted = 0;
    for (size_t i = 0; i < n; i++)
        inserted += put(map, &keys[i]);
    return inserted;
}

static size_t upsert_each(void *map, const peer_key *keys, const uint64_t *values, size_t n)
{
    size_t inserted = 0;
    for (size_t i = 0; i < n; i++)
        inserted += upsert(map, &keys[i], values[i]);
    return inserted;
}

static size_t remove_each(void *map, const peer_key *keys, size_t n)
{
    size_t removed = 0;
    for (size_t i = 0; i < n; i++)
        removed += take(map, &keys[i]);
    return removed;
}

#endif
