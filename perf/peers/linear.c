/* SPDX-License-Identifier: ISC */
/* linear.c - no map: words in one array of slots, found by linear probing. Filled by one thread to a load of one half,
 * in a size that it is told, and never changed while it is read: nothing of it is for more than one thread. One lookup
 * is one cache line as a rule, so this is the least that a lookup of a key in memory can cost, one by one and with the
 * lines of a whole group asked for before the first is looked at. */
#include <stdlib.h>
#include <string.h>

#include "peers/peer.h"
#include "support/fail.h"

/* Keys whose lines are on the way at once; as many as a thread draws together. */
#define GROUP 64

/* A key of 0 is an empty slot; key_at() has none within 2^64 - 1 indexes. */
struct linear {
    uint64_t count;
    uint64_t slots; /* below 2^32 */
    struct slot {
        uint64_t key;
        uint64_t value;
    } * at;
};

static void *create(uint64_t size)
{
    struct linear *linear = alloc_or_fail(sizeof *linear);
    linear->count = 0;
    linear->slots = 2 * (size > 0 ? size : 1);
    linear->at = alloc_or_fail(linear->slots * sizeof *linear->at);
    memset(linear->at, 0, linear->slots * sizeof *linear->at);
    return linear;
}

/* The upper half of one product, spread over the slots: no power of two, so that the load is what it says. */
static inline uint64_t home(const struct linear *linear, uint64_t key)
{
    return (key * UINT64_C(0x9e3779b97f4a7c15) >> 32) * linear->slots >> 32;
}

/* The slot of a key, or the empty one where it would be. */
static inline struct slot *seek(const struct linear *linear, uint64_t key, uint64_t place)
{
    while (linear->at[place].key != key && linear->at[place].key != 0)
        place = place + 1 < linear->slots ? place + 1 : 0;
    return &linear->at[place];
}

/* An empty slot has the value 0, which is what a missed key is to give. */
static size_t get_each(void *map, const peer_key *keys, size_t n, uint64_t *values)
{
    const struct linear *linear = map;
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        const struct slot *slot = seek(linear, keys[i], home(linear, keys[i]));
        values[i] = slot->value;
        found += slot->key != 0;
    }
    return found;
}

static size_t get_group(const struct linear *linear, const peer_key *keys, size_t n, uint64_t *values)
{
    uint64_t places[GROUP];
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        places[i] = home(linear, keys[i]);
        __builtin_prefetch(&linear->at[places[i]]);
    }
    for (size_t i = 0; i < n; i++) {
        const struct slot *slot = seek(linear, keys[i], places[i]);
        values[i] = slot->value;
        found += slot->key != 0;
    }
    return found;
}

static size_t get_batch(void *map, const peer_key *keys, size_t n, uint64_t *values)
{
    size_t found = 0;
    for (size_t from = 0; from < n; from += GROUP)
        found += get_group(map, keys + from, n - from < GROUP ? n - from : GROUP, values + from);
    return found;
}

static size_t put_each(void *map, const peer_key *keys, size_t n)
{
    struct linear *linear = map;
    size_t inserted = 0;
    for (size_t i = 0; i < n; i++) {
        struct slot *slot = seek(linear, keys[i], home(linear, keys[i]));
        if (slot->key != 0)
            continue;
        if (keys[i] == 0 || linear->count == linear->slots / 2)
            fail("linear: it is full, or a key is 0");
        *slot = (struct slot){.key = keys[i], .value = peer_value_of(&keys[i])};
        linear->count++;
        inserted++;
    }
    return inserted;
}

static uint64_t count(void *map)
{
    return ((const struct linear *)map)->count;
}

const struct peer_ops peer_linear = {
    .name = "linear",
    .about = "linear probing in an array that is half full and only read: no map, but the least that a lookup can cost",
    .lacks = LACKS_BEING_A_MAP,
    .create = create,
    .thread_enter = peer_nothing,
    .thread_leave = peer_nothing,
    .quiescent = peer_nothing,
    .get_each = get_each,
    .put_each = put_each,
    .count = count,
    .settle = peer_nothing,
};

const struct peer_ops peer_linear_batch = {
    .name = "linear-batch",
    .about = "the same, the cache lines of up to 64 keys asked for before the first is looked at",
    .lacks = LACKS_BEING_A_MAP,
    .create = create,
    .thread_enter = peer_nothing,
    .thread_leave = peer_nothing,
    .quiescent = peer_nothing,
    .get_each = get_batch,
    .put_each = put_each,
    .count = count,
    .settle = peer_nothing,
};
