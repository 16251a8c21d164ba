/* SPDX-License-Identifier: ISC */
/* map_internal.h - what the other rooms and tests may reach into. Not installed. */
#ifndef SOMA_MAP_MAP_INTERNAL_H
#define SOMA_MAP_MAP_INTERNAL_H

#include <soma/map.h>
#include <soma/u64.h>

#include "map/core.h"

struct soma_u64 {
    struct core core;
};

struct soma_map {
    struct core core;
};

/* The mixer of a word map, so that tests can choose keys by their hashes. */
ALWAYS_INLINE const struct soma__mix *soma__u64_mix(const soma_u64 *map)
{
    return &map->core.hash.mix;
}

/* Keeps only these bits of every hash of an empty byte map: 0 makes all keys collide. */
void soma__map_hash_mask(soma_map *map, uint64_t mask);

#endif
