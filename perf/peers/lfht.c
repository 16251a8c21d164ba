/* SPDX-License-Identifier: ISC */
/* lfht.c - liburcu's lock-free hash table with the qsbr flavor, whose read sections cost nothing; with PEER_MEMB, the
 * flavor that asks nothing of threads but to register.
 *
 * What it may have is given to it: inlined read-side primitives (_LGPL_SOURCE), the cheapest hash that spreads keys of
 * any kind, an entry that is allocated once and kept when an insertion finds its key taken, a value that changes where
 * it stands. */
#define _LGPL_SOURCE
#ifdef PEER_MEMB
#include <urcu.h>
#else
#include <urcu-qsbr.h>
#endif
#include <urcu/rculfhash.h>

#include <stdlib.h>

#include "peers/growing.h"
#include "peers/peer.h"
#include "support/fail.h"

struct entry {
    struct cds_lfht_node node;
    peer_key key; /* beside the node: a lookup reads both */
    uint64_t value;
    struct rcu_head head;
};

/* An entry that was not needed; the thread's next insertion takes it. */
static _Thread_local struct entry *spare;

static int match(struct cds_lfht_node *node, const void *key)
{
    return peer_key_equal(&caa_container_of(node, struct entry, node)->key, key);
}

/* Given its final size and that as its maximum, the table is one array: no lookup searches for a bucket's segment. With
 * two buckets an entry, lookups are some 10 to 20 % faster than with one. */
static void *create_presized(uint64_t size)
{
    uint64_t buckets = GROW_FROM_BUCKETS;
    while (buckets < size * 2)
        buckets *= 2;
    struct cds_lfht *table = cds_lfht_new(buckets, buckets, buckets, 0, NULL);
    if (!table)
        fail("lfht: cannot make the table");
    return table;
}

static void *create_growing(uint64_t size)
{
    (void)size;
    return growing_new(&rcu_flavor);
}

static void thread_enter(void)
{
    rcu_register_thread();
}

static void thread_leave(void)
{
    free(spare);
    spare = NULL;
    rcu_unregister_thread();
}

static void quiescent(void)
{
    rcu_quiescent_state();
}

static inline struct entry *entry_of(struct cds_lfht_node *node)
{
    return node ? caa_container_of(node, struct entry, node) : NULL;
}

static inline struct entry *lookup(struct cds_lfht *table, const peer_key *key, unsigned long hash)
{
    struct cds_lfht_iter iter;
    cds_lfht_lookup(table, hash, match, key, &iter);
    return entry_of(cds_lfht_iter_get_node(&iter));
}

static inline bool find(void *map, const peer_key *key, uint64_t *value)
{
    rcu_read_lock();
    const struct entry *entry = lookup(map, key, peer_key_hash(key));
    if (entry)
        *value = CMM_LOAD_SHARED(entry->value);
    rcu_read_unlock();
    return entry != NULL;
}

static struct entry *entry_new(const peer_key *key, uint64_t value)
{
    struct entry *entry = spare ? spare : alloc_or_fail(sizeof *entry);
    cds_lfht_node_init(&entry->node);
    entry->key = *key;
    entry->value = value;
    return entry;
}

/* Within a read section: the entry of a key that was absent a moment ago; somebody else's if that was faster. */
static struct entry *insert(struct cds_lfht *table, const peer_key *key, unsigned long hash, uint64_t value,
                            bool *inserted)
{
    struct entry *entry = entry_new(key, value);
    struct entry *there = entry_of(cds_lfht_add_unique(table, hash, match, key, &entry->node));
    *inserted = there == entry;
    spare = *inserted ? NULL : entry;
    return there;
}

static inline bool put(void *map, const peer_key *key)
{
    bool inserted;
    rcu_read_lock();
    insert(map, key, peer_key_hash(key), peer_value_of(key), &inserted);
    rcu_read_unlock();
    return inserted;
}

static inline bool upsert(void *map, const peer_key *key, uint64_t value)
{
    const unsigned long hash = peer_key_hash(key);
    bool inserted = false;
    rcu_read_lock();
    struct entry *entry = lookup(map, key, hash);
    if (!entry)
        entry = insert(map, key, hash, value, &inserted);
    if (!inserted)
        CMM_STORE_SHARED(entry->value, value);
    rcu_read_unlock();
    return inserted;
}

static void free_entry(struct rcu_head *head)
{
    free(caa_container_of(head, struct entry, head));
}

static inline bool take(void *map, const peer_key *key)
{
    rcu_read_lock();
    struct entry *entry = lookup(map, key, peer_key_hash(key));
    const bool removed = entry && cds_lfht_del(map, &entry->node) == 0;
    if (removed)
        call_rcu(&entry->head, free_entry);
    rcu_read_unlock();
    return removed;
}

static uint64_t scan(void *map, uint64_t *sum)
{
    struct cds_lfht_iter iter;
    struct entry *entry;
    uint64_t n = 0;
    rcu_read_lock();
    cds_lfht_for_each_entry(map, &iter, entry, node)
    {
        *sum += CMM_LOAD_SHARED(entry->value);
        n++;
    }
    rcu_read_unlock();
    return n;
}

static uint64_t count(void *map)
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

/* A presized table stays as it is: it was given its size for good. */
static void shrink(void *map)
{
    rcu_thread_offline();
    cds_lfht_resize(map, GROW_FROM_BUCKETS);
    rcu_thread_online();
}

#include "peers/loops.h"

#ifdef PEER_MEMB
#define FLAVOR "memb"
#define LACKS (LACKS_ANY_THREAD | LACKS_OLD_VALUES)
#define PRESIZED peer_memb
#define GROWING peer_memb_grow
#define NAME "lfht-memb"
#else
#define FLAVOR "qsbr"
#define LACKS (LACKS_ANY_THREAD | LACKS_OLD_VALUES | LACKS_REST)
#define PRESIZED peer_lfht
#define GROWING peer_lfht_grow
#define NAME "lfht"
#endif

const struct peer_ops PRESIZED = {
    .name = NAME,
    .about = "liburcu cds_lfht, " FLAVOR " flavor, made with two to four buckets an entry and never resized",
    .colour = 2,
    .lacks = LACKS | LACKS_GROWTH,
    .create = create_presized,
    .thread_enter = thread_enter,
    .thread_leave = thread_leave,
    .quiescent = quiescent,
    .get_each = get_each,
    .put_each = put_each,
    .upsert_each = upsert_each,
    .remove_each = remove_each,
    .scan = scan,
    .count = count,
    .settle = settle,
    .shrink = shrink,
};

const struct peer_ops GROWING = {
    .name = NAME "-grow",
    .about = "liburcu cds_lfht, " FLAVOR " flavor, growing by itself from 64 buckets (AUTO_RESIZE, ACCOUNTING)",
    .colour = 3,
    .lacks = LACKS,
    .create = create_growing,
    .thread_enter = thread_enter,
    .thread_leave = thread_leave,
    .quiescent = quiescent,
    .get_each = get_each,
    .put_each = put_each,
    .upsert_each = upsert_each,
    .remove_each = remove_each,
    .scan = scan,
    .count = count,
    .settle = settle,
    .shrink = shrink,
};
