/* SPDX-License-Identifier: ISC */
/* lfht.c - liburcu's lock-free hash table with the qsbr flavor, growing by itself; a count is raised in its node. */
#define _LGPL_SOURCE
#include <urcu-qsbr.h>
#include <urcu/rculfhash.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "peers/growing.h"
#include "support/bytes.h"
#include "support/fail.h"
#include "words/counter.h"

struct node {
    struct cds_lfht_node node;
    _Atomic uint64_t count;
    uint32_t len;
    char text[];
};

static void *create(void)
{
    return growing_new(&rcu_flavor);
}

static void thread_enter(void)
{
    rcu_register_thread();
}

static void thread_leave(void)
{
    rcu_unregister_thread();
}

static void quiescent(void)
{
    rcu_quiescent_state();
}

static int match(struct cds_lfht_node *raw, const void *arg)
{
    const struct node *node = caa_container_of(raw, struct node, node);
    const struct key *key = arg;
    return node->len == key->len && memcmp(node->text, key->text, key->len) == 0;
}

static struct node *find(struct cds_lfht *table, const struct key *key, unsigned long hash)
{
    struct cds_lfht_iter iter;
    cds_lfht_lookup(table, hash, match, key, &iter);
    struct cds_lfht_node *node = cds_lfht_iter_get_node(&iter);
    return node ? caa_container_of(node, struct node, node) : NULL;
}

/* The node of a key that was absent a moment ago; somebody else's if that was faster. */
static struct node *insert(struct cds_lfht *table, const struct key *key, unsigned long hash)
{
    struct node *node = alloc_or_fail(sizeof *node + key->len);
    cds_lfht_node_init(&node->node);
    atomic_init(&node->count, 0);
    node->len = key->len;
    memcpy(node->text, key->text, key->len);
    struct cds_lfht_node *there = cds_lfht_add_unique(table, hash, match, key, &node->node);
    if (there != &node->node)
        free(node);
    return caa_container_of(there, struct node, node);
}

static void add(void *map, const struct key *key)
{
    const unsigned long hash = bytes_hash(key->text, key->len);
    rcu_read_lock();
    struct node *node = find(map, key, hash);
    if (!node)
        node = insert(map, key, hash);
    atomic_fetch_add_explicit(&node->count, 1, memory_order_relaxed);
    rcu_read_unlock();
}

static uint64_t get(void *map, const struct key *key)
{
    rcu_read_lock();
    struct node *node = find(map, key, bytes_hash(key->text, key->len));
    const uint64_t count = node ? atomic_load_explicit(&node->count, memory_order_relaxed) : 0;
    rcu_read_unlock();
    return count;
}

static uint64_t distinct(void *map)
{
    unsigned long exact;
    long before;
    long after;
    rcu_read_lock();
    cds_lfht_count_nodes(map, &before, &exact, &after);
    rcu_read_unlock();
    return exact;
}

static void settle(void)
{
    rcu_barrier();
}

const struct counter_ops counter_lfht = {
    .name = "lfht",
    .about =
        "liburcu cds_lfht, qsbr flavor, growing by itself from 64 buckets (AUTO_RESIZE, ACCOUNTING); atomic counts",
    .colour = 2,
    .create = create,
    .thread_enter = thread_enter,
    .thread_leave = thread_leave,
    .quiescent = quiescent,
    .add = add,
    .get = get,
    .distinct = distinct,
    .settle = settle,
};
