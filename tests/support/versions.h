/* SPDX-License-Identifier: ISC */
/* versions.h - how many dead versions a map keeps for views, counted by going through its list. */
#ifndef SOMA_TESTS_VERSIONS_H
#define SOMA_TESTS_VERSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <soma/rcu.h>

#include "map/bytes.h"
#include "map/core.h"
#include "map/version.h"

struct versions {
    uint64_t dead;
    uint64_t most; /* of one key */
    uint64_t live; /* entries that have stamps */
    uint64_t plain;
};

static inline bool versions_same_key(const struct core *core, const struct soma__node *a, const struct soma__node *b)
{
    if (!a || soma__hash_read(a) != soma__hash_read(b))
        return false;
    if (core->kind->words)
        return true;
    const struct soma_bytes key = soma__bytes_key(b);
    return soma__bytes_compare(a, key.data, key.len) == 0;
}

/* Frozen entries do not count. Beside other threads, what it counts was there at some time of the call. */
static inline struct versions versions_of(const void *map)
{
    const struct core *core = map;
    struct versions versions = {0, 0, 0, 0};
    const struct soma__node *before = NULL;
    uint64_t of_key = 0;
    soma_read_enter();
    uint64_t edge = soma__edge_read(soma__dir_bucket_at(&core->dir, 0));
    while (soma__edge_onward(edge) != EDGE_END) {
        if (edge & EDGE_BUCKET) {
            edge = soma__edge_read(soma__edge_bucket(edge));
            continue;
        }
        const struct soma__node *node = soma__edge_node(edge);
        edge = soma__edge_read(&node->edge);
        if (edge & EDGE_FROZEN)
            continue;
        if (soma__node_dead(node)) {
            of_key = versions_same_key(core, before, node) ? of_key + 1 : 1;
            before = node;
            versions.dead++;
            versions.most = of_key > versions.most ? of_key : versions.most;
        } else if (soma__node_versioned(node)) {
            versions.live++;
        } else {
            versions.plain++;
        }
    }
    soma_read_exit();
    return versions;
}

#endif
