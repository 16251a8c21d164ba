/* SPDX-License-Identifier: ISC */
/* array.c - no map: entries one behind the other, filled by one thread. A pass over it is the least that going through all
 * entries can cost. It cannot look up, remove or store over. */
#include <stdlib.h>

#include "peers/peer.h"
#include "support/fail.h"

struct array {
    uint64_t count;
    uint64_t room;
    struct pair {
        peer_key key;
        uint64_t value;
    } pairs[];
};

static void *create(uint64_t size)
{
    struct array *array = alloc_or_fail(sizeof *array + size * sizeof array->pairs[0]);
    array->count = 0;
    array->room = size;
    return array;
}

static size_t put_each(void *map, const peer_key *keys, size_t n)
{
    struct array *array = map;
    if (n > array->room - array->count)
        fail("array: it is full");
    for (size_t i = 0; i < n; i++)
        array->pairs[array->count++] = (struct pair){.key = keys[i], .value = peer_value_of(&keys[i])};
    return n;
}

/* Keys are looked at as well as values, as who goes through a map would. */
static uint64_t scan(void *map, uint64_t *sum)
{
    const struct array *array = map;
    uint64_t keys = 0;
    uint64_t values = 0;
    for (uint64_t i = 0; i < array->count; i++) {
        keys ^= array->pairs[i].key;
        values += array->pairs[i].value;
    }
    *(volatile uint64_t *)&keys;
    *sum += values;
    return array->count;
}

static uint64_t count(void *map)
{
    return ((const struct array *)map)->count;
}

const struct peer_ops peer_array = {
    .name = "array",
    .about = "keys and values one behind the other: no map",
    .colour = 5,
    .create = create,
    .thread_enter = peer_nothing,
    .thread_leave = peer_nothing,
    .quiescent = peer_nothing,
    .put_each = put_each,
    .scan = scan,
    .count = count,
    .settle = peer_nothing,
};
