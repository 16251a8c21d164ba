/* SPDX-License-Identifier: ISC */
/**
 * lfht.h - the calls of liburcu's lock-free hash table (cds_lfht) over a word map of Soma's, with the same nodes inside the
 * program's structures.
 *
 *     struct item { int key; struct soma_lfht_node node; };
 *     static int same(struct soma_lfht_node *node, const void *key);
 *     struct soma_lfht *ht = soma_lfht_new(64, 1, 0, SOMA_LFHT_AUTO_RESIZE, NULL);
 *     struct soma_lfht_iter iter;
 *     rcu_read_lock();                                     // of any flavor of liburcu's, or soma_read_enter()
 *     soma_lfht_add_unique(ht, hash(key), same, &key, &item->node);
 *     soma_lfht_lookup(ht, hash(key), same, &key, &iter);
 *     if (soma_lfht_iter_get_node(&iter) && soma_lfht_del(ht, soma_lfht_iter_get_node(&iter)) == 0)
 *         call_rcu(...);                                   // of the same flavor, or soma_retire()
 *     rcu_read_unlock();
 *     soma_lfht_destroy(ht, NULL);
 *
 * With SOMA_COMPAT_LFHT_NAMES defined before the inclusion, everything has liburcu's own name as well (struct cds_lfht, cds_lfht_add),
 * and a later inclusion of <urcu/rculfhash.h> does nothing. docs/compat/lfht.md has the table of calls and all that differs.
 *
 * How: the map has one entry for each hash: the node, or, where several nodes have the same hash, the address of an array of them
 * that never changes. Every update makes the new state and swaps it in: one put_new, cas or remove_if of Soma's.
 *
 * What holds for every call below unless its page says otherwise:
 *   Nodes:     the program's. Call inside a read section of the flavor under which nodes are freed: it is what keeps the nodes
 *              that a call meets. The arrays are Soma's to keep; the calls open sections of their own for them.
 *   Thread:    any, beside every other call but soma_lfht_destroy().
 *   Effect:    linearizable: an update takes effect where it swaps the entry of its hash, a lookup where it reads it.
 *   Order:     an update that succeeds is a full barrier, before and after.
 *   Progress:  lookups are wait-free but for growth, updates lock-free; an update takes time in proportion to the nodes with
 *              its hash.
 *   Failure:   of calls that have no answer for it: SOMA_LFHT_FAILED(status) is called; the table is as it was. The calls with
 *              `try` answer a status instead.
 */
#ifndef SOMA_COMPAT_LFHT_H
#define SOMA_COMPAT_LFHT_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <soma/cursor.h>
#include <soma/rcu.h>
#include <soma/status.h>
#include <soma/u64.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Types ---- */

/** A table. Made by soma_lfht_new(). */
struct soma_lfht {
    soma_u64 *map;
    pthread_attr_t *attr;
    int flags;
    int64_t more; /* nodes beyond the first of their hash */
};

/** What a structure in the table carries. Aligned to 8 at least. */
struct soma_lfht_node {
    struct soma_lfht *table; /* where it was added last; SOMA_LFHT_LEFT behind that */
    unsigned long hash;
    unsigned long order; /* among the nodes of its hash: later ones have higher numbers */
} __attribute__((aligned(8)));

/** How many hashes a traversal fetches at a time. */
#define SOMA_LFHT_FETCH 128

/** A place in a table; on the caller's stack. It holds nothing that has to be given back. */
struct soma_lfht_iter {
    struct soma_lfht_node *node; /**< the node here, or NULL */
    bool walking;                /* set up by soma_lfht_first() */
    unsigned next, count;        /* of hashes[] */
    uint64_t token;              /* of the cursor behind them */
    unsigned long hashes[SOMA_LFHT_FETCH];
};

/** soma_lfht_match_fct - whether a node has a key. Called inside a read section of Soma's; it must not wait. */
typedef int (*soma_lfht_match_fct)(struct soma_lfht_node *node, const void *key);

/** Flags of soma_lfht_new(). */
enum {
    SOMA_LFHT_AUTO_RESIZE = 1 << 0, /**< no effect: the table always grows and shrinks */
    SOMA_LFHT_ACCOUNTING = 1 << 1,  /**< soma_lfht_count_nodes() also tells the counters */
};

struct rcu_flavor_struct;

/* ---- Failure ---- */

/** Says what failed and aborts. */
static inline void soma_lfht_fatal(enum soma_status status)
{
    fprintf(stderr, "soma/compat/lfht.h: %s\n", soma_status_text(status));
    abort();
}

/**
 * SOMA_LFHT_FAILED - called when a call without an answer for it could not do its work. Define it before the inclusion to go on
 * instead: the node was then not added, the traversal ends early, the count is too low.
 * @status: SOMA_E_NOMEM, or SOMA_E_UNSUPPORTED: soma_lfht_next() on an iterator that soma_lfht_first() has not set up.
 */
#ifndef SOMA_LFHT_FAILED
#define SOMA_LFHT_FAILED(status) soma_lfht_fatal(status)
#endif

/* ---- What follows up to the calls is not for callers ---- */

/* The original frees what was removed by call_rcu() without a cap, and del has no answer for one. */
#define SOMA_LFHT_DEFERRED_MAX (UINT64_C(1) << 62)

/* A value of the map with this bit is the address of an array, else that of a node. */
#define SOMA_LFHT_ARRAY UINT64_C(1)

/* Nodes of equal hash, in their order; their addresses follow. */
struct soma_lfht_array {
    size_t count;
};

/* In the place of a node's table: it has left that, which may be gone. */
#define SOMA_LFHT_LEFT ((struct soma_lfht *)(uintptr_t)1)

/* All nodes of a hash as they were at one instant; to be used inside the section that it was read in. */
struct soma_lfht_chain {
    uint64_t value; /* the map's */
    size_t count;   /* 0: the map has no such key */
    struct soma_lfht_node *one;
    struct soma_lfht_node **nodes;
};

static inline struct soma_lfht_node **soma_lfht_array_nodes(struct soma_lfht_array *array)
{
    return (struct soma_lfht_node **)(void *)(array + 1);
}

static inline struct soma_lfht_array *soma_lfht_array_of(uint64_t value)
{
    return (struct soma_lfht_array *)(uintptr_t)(value - SOMA_LFHT_ARRAY);
}

/* Of values that have left the map, after their readers. Nodes are the program's. */
static inline void soma_lfht_value_retire(uint64_t value, void *ctx)
{
    (void)ctx;
    if (value & SOMA_LFHT_ARRAY)
        free(soma_lfht_array_of(value));
}

/* Inside a section of Soma's. */
static inline void soma_lfht_read(const struct soma_lfht *ht, unsigned long hash, struct soma_lfht_chain *chain)
{
    chain->count = 0;
    if (soma_u64_get(ht->map, hash, &chain->value) != SOMA_OK)
        return;
    if (chain->value & SOMA_LFHT_ARRAY) {
        struct soma_lfht_array *array = soma_lfht_array_of(chain->value);
        chain->nodes = soma_lfht_array_nodes(array);
        chain->count = array->count;
        return;
    }
    chain->one = (struct soma_lfht_node *)(uintptr_t)chain->value;
    chain->nodes = &chain->one;
    chain->count = 1;
}

/* The place of the first node that has the key, or the count. */
static inline size_t soma_lfht_match(const struct soma_lfht_chain *chain, soma_lfht_match_fct match, const void *key)
{
    size_t i = 0;
    while (i < chain->count && !match(chain->nodes[i], key))
        i++;
    return i;
}

/* The place of a node, or the count. */
static inline size_t soma_lfht_place(const struct soma_lfht_chain *chain, const struct soma_lfht_node *node)
{
    size_t i = 0;
    while (i < chain->count && chain->nodes[i] != node)
        i++;
    return i;
}

/* The value for the chain's nodes before `at`, `node` if not NULL, and those from `from` on, `n` in all; 0: no memory. */
static inline uint64_t soma_lfht_compose(const struct soma_lfht_chain *chain, size_t at, size_t from,
                                         struct soma_lfht_node *node, size_t n)
{
    struct soma_lfht_array *array;
    struct soma_lfht_node **to;
    if (n == 1)
        return (uint64_t)(uintptr_t)(node ? node : chain->nodes[at == 0 ? from : 0]);
    array = (struct soma_lfht_array *)malloc(sizeof *array + n * sizeof node);
    if (!array)
        return 0;
    array->count = n;
    to = soma_lfht_array_nodes(array);
    for (size_t i = 0; i < at; i++)
        *to++ = chain->nodes[i];
    if (node)
        *to++ = node;
    for (size_t i = from; i < chain->count; i++)
        *to++ = chain->nodes[i];
    return (uint64_t)(uintptr_t)array + SOMA_LFHT_ARRAY;
}

/* The one swap of every update: the nodes from `at` to before `from` give way to `node`, or to nothing. OK, CHANGED if the
 * hash has other nodes than in the chain by now, or an error. */
static inline enum soma_status soma_lfht_splice(struct soma_lfht *ht, unsigned long hash,
                                                const struct soma_lfht_chain *chain, size_t at, size_t from,
                                                struct soma_lfht_node *node)
{
    const size_t n = at + (node ? 1 : 0) + (chain->count - from);
    const int64_t more = (n > 1 ? (int64_t)n - 1 : 0) - (chain->count > 1 ? (int64_t)chain->count - 1 : 0);
    enum soma_status status;
    uint64_t value = 0;
    if (n > 0) {
        value = soma_lfht_compose(chain, at, from, node, n);
        if (value == 0)
            return SOMA_E_NOMEM;
    }
    if (n == 0)
        status = soma_u64_remove_if(ht->map, hash, chain->value, NULL);
    else if (chain->count == 0)
        status = soma_u64_put_new(ht->map, hash, value, NULL);
    else
        status = soma_u64_cas(ht->map, hash, chain->value, value, NULL);
    if (status == SOMA_INSERTED || status == SOMA_REPLACED || status == SOMA_REMOVED) {
        if (more != 0) /* relaxed: a counter */
            (void)__atomic_fetch_add(&ht->more, more, __ATOMIC_RELAXED);
        return SOMA_OK;
    }
    if (n > 0)
        soma_lfht_value_retire(value, NULL); /* nobody has seen it */
    return status < 0 ? status : SOMA_CHANGED;
}

/* Adds the node behind all of its hash, or in place of the one at `at`. A node that was not added has no table. */
static inline enum soma_status soma_lfht_put(struct soma_lfht *ht, unsigned long hash,
                                             const struct soma_lfht_chain *chain, size_t at,
                                             struct soma_lfht_node *node)
{
    const bool instead = at < chain->count;
    enum soma_status status;
    node->table = ht;
    node->hash = hash;
    node->order = instead ? chain->nodes[at]->order : chain->count ? chain->nodes[chain->count - 1]->order + 1 : 0;
    status = soma_lfht_splice(ht, hash, chain, at, instead ? at + 1 : at, node);
    if (status != SOMA_OK)
        node->table = NULL;
    return status;
}

/* A node has left its table. Who took it out says so before the call returns; until then asking the table is safe, and tells the
 * same. Relaxed: nothing stands behind it; that all this was before the table was destroyed is up to the program. */
static inline void soma_lfht_leave(struct soma_lfht_node *node)
{
    __atomic_store_n(&node->table, SOMA_LFHT_LEFT, __ATOMIC_RELAXED);
}

/* The full barrier around updates that liburcu promises. The thread sanitizer of gcc knows no fences, and needs none here. */
static inline void soma_lfht_barrier(void)
{
#ifndef __SANITIZE_THREAD__
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

static inline bool soma_lfht_power(unsigned long n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

/* ---- Lifecycle ---- */

/** soma_lfht_node_init() - as the original: before a node's first use. */
static inline void soma_lfht_node_init(struct soma_lfht_node *node)
{
    node->table = NULL;
}

/**
 * soma_lfht_new(), soma_lfht_new_flavor() - make an empty table.
 * @init_size:            a power of two: nodes to make room for at once. The table does not shrink below it.
 * @min_nr_alloc_buckets: a power of two; no effect.
 * @max_nr_buckets:       a power of two, or 0; no effect: the table is as large as its nodes need.
 * @flags:                SOMA_LFHT_AUTO_RESIZE, SOMA_LFHT_ACCOUNTING.
 * @flavor:               no effect: every flavor will do.
 * @attr:                 no effect, since no thread is started; soma_lfht_destroy() gives it back.
 *
 * Return: the table, or NULL: no memory, or a number is no power of two.
 */
static inline struct soma_lfht *soma_lfht_new(unsigned long init_size, unsigned long min_nr_alloc_buckets,
                                              unsigned long max_nr_buckets, int flags, pthread_attr_t *attr)
{
    struct soma_u64_options options;
    struct soma_lfht *ht;
    if (!soma_lfht_power(init_size) || !soma_lfht_power(min_nr_alloc_buckets) ||
        (max_nr_buckets != 0 && !soma_lfht_power(max_nr_buckets)))
        return NULL;
    ht = (struct soma_lfht *)calloc(1, sizeof *ht);
    if (!ht)
        return NULL;
    memset(&options, 0, sizeof options);
    options.reserve = max_nr_buckets != 0 && max_nr_buckets < init_size ? max_nr_buckets : init_size;
    options.value_retire = soma_lfht_value_retire;
    options.deferred_bytes_max = SOMA_LFHT_DEFERRED_MAX;
    if (soma_u64_new(&options, &ht->map) != SOMA_OK) {
        free(ht);
        return NULL;
    }
    ht->attr = attr;
    ht->flags = flags;
    return ht;
}

static inline struct soma_lfht *soma_lfht_new_flavor(unsigned long init_size, unsigned long min_nr_alloc_buckets,
                                                     unsigned long max_nr_buckets, int flags,
                                                     const struct rcu_flavor_struct *flavor, pthread_attr_t *attr)
{
    (void)flavor;
    return soma_lfht_new(init_size, min_nr_alloc_buckets, max_nr_buckets, flags, attr);
}

/**
 * soma_lfht_destroy() - give an empty table back.
 * @ht:   no other call on it may be running or come later.
 * @attr: out, may be NULL; what soma_lfht_new() was given.
 *
 * State: in or outside a read section.  Blocks: never.
 * Return: 0 · -EPERM: there are nodes in it; it is as it was.
 */
static inline int soma_lfht_destroy(struct soma_lfht *ht, pthread_attr_t **attr)
{
    if (soma_u64_count_approx(ht->map) != 0)
        return -EPERM;
    if (attr)
        *attr = ht->attr;
    soma_u64_free(ht->map);
    free(ht);
    return 0;
}

/** soma_lfht_resize() - make room for that many nodes, below which the table will not shrink. A hint: failure changes nothing. */
static inline void soma_lfht_resize(struct soma_lfht *ht, unsigned long new_size)
{
    (void)soma_u64_shrink(ht->map);
    (void)soma_u64_reserve(ht->map, new_size ? new_size : 1);
}

/* ---- Finding ---- */

/** soma_lfht_iter_get_node() - the node where the iterator is, or NULL. */
static inline struct soma_lfht_node *soma_lfht_iter_get_node(struct soma_lfht_iter *iter)
{
    return iter->node;
}

/** soma_lfht_lookup() - set the iterator to the node with the key that was added first, or to NULL. */
static inline void soma_lfht_lookup(struct soma_lfht *ht, unsigned long hash, soma_lfht_match_fct match,
                                    const void *key, struct soma_lfht_iter *iter)
{
    struct soma_lfht_chain chain;
    size_t i;
    iter->walking = false;
    soma_read_enter();
    soma_lfht_read(ht, hash, &chain);
    i = soma_lfht_match(&chain, match, key);
    iter->node = i < chain.count ? chain.nodes[i] : NULL;
    soma_read_exit();
}

/* The first node of the iterator's hash behind its node, with the key if there is a `match`; NULL if there is none. */
static inline struct soma_lfht_node *soma_lfht_behind(struct soma_lfht *ht, const struct soma_lfht_node *node,
                                                      soma_lfht_match_fct match, const void *key)
{
    struct soma_lfht_chain chain;
    struct soma_lfht_node *found = NULL;
    soma_read_enter();
    soma_lfht_read(ht, node->hash, &chain);
    for (size_t i = 0; i < chain.count && !found; i++)
        if (chain.nodes[i]->order > node->order && (!match || match(chain.nodes[i], key)))
            found = chain.nodes[i];
    soma_read_exit();
    return found;
}

/**
 * soma_lfht_next_duplicate() - go on to the next node with the key, or to NULL.
 *
 * State: in the read section in which the iterator was set to its node. The node may have been removed or replaced meanwhile. A node that
 * was there from the lookup on comes exactly once; of one and its replacement, one.
 */
static inline void soma_lfht_next_duplicate(struct soma_lfht *ht, soma_lfht_match_fct match, const void *key,
                                            struct soma_lfht_iter *iter)
{
    if (iter->node)
        iter->node = soma_lfht_behind(ht, iter->node, match, key);
}

/* ---- Going through all ---- */

/* Fetches the next hashes: OK, END, or an error. */
static inline enum soma_status soma_lfht_fetch(struct soma_lfht *ht, struct soma_lfht_iter *iter)
{
    soma_cursor *cursor;
    uint64_t hash;
    enum soma_status status = soma_cursor_open_u64(ht->map, &cursor);
    iter->next = 0;
    iter->count = 0;
    if (status != SOMA_OK)
        return status;
    (void)soma_cursor_seek(cursor, iter->token);
    while (iter->count < SOMA_LFHT_FETCH && soma_cursor_next_u64(cursor, &hash, NULL) == SOMA_OK)
        iter->hashes[iter->count++] = hash;
    iter->token = soma_cursor_token(cursor);
    soma_cursor_close(cursor);
    return iter->count > 0 ? SOMA_OK : SOMA_END;
}

/* The first node of the next hash that has any. */
static inline void soma_lfht_advance(struct soma_lfht *ht, struct soma_lfht_iter *iter)
{
    struct soma_lfht_chain chain;
    iter->node = NULL;
    while (!iter->node) {
        if (iter->next == iter->count) {
            const enum soma_status status = soma_lfht_fetch(ht, iter);
            if (status < 0) {
                SOMA_LFHT_FAILED(status);
            }
            if (status != SOMA_OK)
                return;
        }
        soma_read_enter();
        soma_lfht_read(ht, iter->hashes[iter->next++], &chain);
        if (chain.count > 0)
            iter->node = chain.nodes[0];
        soma_read_exit();
    }
}

/**
 * soma_lfht_first(), soma_lfht_next() - set the iterator to the first node, or to the next; NULL at the end.
 *
 * State: in one read section, from the first call to the last. A node that is in from beginning to end comes exactly once; of one and
 * its replacement, one; a node that comes or goes meanwhile comes or not. Any update may run beside it, also the caller's.
 * Allocates: a cursor for each 128 hashes, given back before return.
 */
static inline void soma_lfht_first(struct soma_lfht *ht, struct soma_lfht_iter *iter)
{
    iter->walking = true;
    iter->token = 0;
    iter->next = 0;
    iter->count = 0;
    soma_lfht_advance(ht, iter);
}

static inline void soma_lfht_next(struct soma_lfht *ht, struct soma_lfht_iter *iter)
{
    struct soma_lfht_node *behind;
    if (!iter->node)
        return;
    if (!iter->walking) {
        iter->node = NULL;
        SOMA_LFHT_FAILED(SOMA_E_UNSUPPORTED);
        return;
    }
    behind = soma_lfht_behind(ht, iter->node, NULL, NULL);
    if (behind)
        iter->node = behind;
    else
        soma_lfht_advance(ht, iter);
}

static inline long soma_lfht_counters(const struct soma_lfht *ht)
{
    if (!(ht->flags & SOMA_LFHT_ACCOUNTING))
        return 0;
    return (long)soma_u64_count_approx(ht->map) + (long)__atomic_load_n(&ht->more, __ATOMIC_RELAXED); /* a counter */
}

/**
 * soma_lfht_count_nodes() - count the nodes by going through all.
 * @split_count_before, @split_count_after: out; what the table's counters say before and after, with SOMA_LFHT_ACCOUNTING, else 0.
 * @count: out; nodes met.
 */
static inline void soma_lfht_count_nodes(struct soma_lfht *ht, long *split_count_before, unsigned long *count,
                                         long *split_count_after)
{
    soma_cursor *cursor;
    struct soma_lfht_chain chain;
    uint64_t hash;
    const enum soma_status status = soma_cursor_open_u64(ht->map, &cursor);
    *split_count_before = soma_lfht_counters(ht);
    *count = 0;
    if (status == SOMA_OK) {
        while (soma_cursor_next_u64(cursor, &hash, NULL) == SOMA_OK) {
            soma_read_enter();
            soma_lfht_read(ht, hash, &chain);
            *count += chain.count;
            soma_read_exit();
        }
        soma_cursor_close(cursor);
    } else {
        SOMA_LFHT_FAILED(status);
    }
    *split_count_after = soma_lfht_counters(ht);
}

/* ---- Updating ---- */

/**
 * soma_lfht_try_add() - add a node, whether or not there are others with its key.
 * @node: in no table. On SOMA_INSERTED it must not change or be freed before it has left the table and a grace period is over.
 *
 * Return: SOMA_INSERTED · SOMA_E_NOMEM: nothing changed.
 */
static inline enum soma_status soma_lfht_try_add(struct soma_lfht *ht, unsigned long hash, struct soma_lfht_node *node)
{
    struct soma_lfht_chain chain;
    enum soma_status status;
    soma_lfht_barrier();
    soma_read_enter();
    do {
        soma_lfht_read(ht, hash, &chain);
        status = soma_lfht_put(ht, hash, &chain, chain.count, node);
    } while (status == SOMA_CHANGED);
    soma_read_exit();
    soma_lfht_barrier();
    return status == SOMA_OK ? SOMA_INSERTED : status;
}

/**
 * soma_lfht_try_add_unique() - add a node if no other has its key.
 * @present: out on SOMA_EXISTS; the node that has the key.
 *
 * Return: SOMA_INSERTED · SOMA_EXISTS: @node is the caller's alone, as before · SOMA_E_NOMEM: nothing changed.
 */
static inline enum soma_status soma_lfht_try_add_unique(struct soma_lfht *ht, unsigned long hash,
                                                        soma_lfht_match_fct match, const void *key,
                                                        struct soma_lfht_node *node, struct soma_lfht_node **present)
{
    struct soma_lfht_chain chain;
    enum soma_status status;
    size_t i;
    soma_lfht_barrier();
    soma_read_enter();
    do {
        soma_lfht_read(ht, hash, &chain);
        i = soma_lfht_match(&chain, match, key);
        if (i < chain.count) {
            *present = chain.nodes[i];
            status = SOMA_EXISTS;
        } else {
            status = soma_lfht_put(ht, hash, &chain, i, node);
        }
    } while (status == SOMA_CHANGED);
    soma_read_exit();
    soma_lfht_barrier();
    return status == SOMA_OK ? SOMA_INSERTED : status;
}

/**
 * soma_lfht_try_add_replace() - put a node in the place of the first one with its key, or add it.
 * @replaced: out on SOMA_REPLACED; the node that went. Nobody else is given it. To be freed after a grace period.
 *
 * Return: SOMA_INSERTED · SOMA_REPLACED · SOMA_E_NOMEM: nothing changed.
 */
static inline enum soma_status soma_lfht_try_add_replace(struct soma_lfht *ht, unsigned long hash,
                                                         soma_lfht_match_fct match, const void *key,
                                                         struct soma_lfht_node *node, struct soma_lfht_node **replaced)
{
    struct soma_lfht_chain chain;
    struct soma_lfht_node *there;
    enum soma_status status;
    size_t i;
    soma_lfht_barrier();
    soma_read_enter();
    do {
        soma_lfht_read(ht, hash, &chain);
        i = soma_lfht_match(&chain, match, key);
        there = i < chain.count ? chain.nodes[i] : NULL;
        status = soma_lfht_put(ht, hash, &chain, i, node);
    } while (status == SOMA_CHANGED);
    if (status == SOMA_OK && there)
        soma_lfht_leave(there);
    soma_read_exit();
    soma_lfht_barrier();
    if (status != SOMA_OK)
        return status;
    if (!there)
        return SOMA_INSERTED;
    *replaced = there;
    return SOMA_REPLACED;
}

/** soma_lfht_add() - as soma_lfht_try_add(), with SOMA_LFHT_FAILED. */
static inline void soma_lfht_add(struct soma_lfht *ht, unsigned long hash, struct soma_lfht_node *node)
{
    const enum soma_status status = soma_lfht_try_add(ht, hash, node);
    if (status < 0) {
        SOMA_LFHT_FAILED(status);
    }
}

/** soma_lfht_add_unique() - as soma_lfht_try_add_unique(). Return: @node if it is in now, else the node that has the key; NULL on
 * failure. */
static inline struct soma_lfht_node *soma_lfht_add_unique(struct soma_lfht *ht, unsigned long hash,
                                                          soma_lfht_match_fct match, const void *key,
                                                          struct soma_lfht_node *node)
{
    struct soma_lfht_node *present = NULL;
    const enum soma_status status = soma_lfht_try_add_unique(ht, hash, match, key, node, &present);
    if (status < 0) {
        SOMA_LFHT_FAILED(status);
    }
    return status == SOMA_INSERTED ? node : present;
}

/** soma_lfht_add_replace() - as soma_lfht_try_add_replace(). Return: the node that went, or NULL; NULL also on failure. */
static inline struct soma_lfht_node *soma_lfht_add_replace(struct soma_lfht *ht, unsigned long hash,
                                                           soma_lfht_match_fct match, const void *key,
                                                           struct soma_lfht_node *node)
{
    struct soma_lfht_node *replaced = NULL;
    const enum soma_status status = soma_lfht_try_add_replace(ht, hash, match, key, node, &replaced);
    if (status < 0) {
        SOMA_LFHT_FAILED(status);
    }
    return replaced;
}

/* Takes a node out, or puts another in its place. */
static inline int soma_lfht_exchange(struct soma_lfht *ht, struct soma_lfht_node *node, struct soma_lfht_node *other)
{
    struct soma_lfht_chain chain;
    enum soma_status status;
    size_t i;
    soma_lfht_barrier();
    soma_read_enter();
    do {
        soma_lfht_read(ht, node->hash, &chain);
        i = soma_lfht_place(&chain, node);
        if (i == chain.count)
            status = SOMA_ABSENT;
        else if (other)
            status = soma_lfht_put(ht, node->hash, &chain, i, other);
        else
            status = soma_lfht_splice(ht, node->hash, &chain, i, i + 1, NULL);
    } while (status == SOMA_CHANGED);
    if (status == SOMA_OK)
        soma_lfht_leave(node);
    soma_read_exit();
    soma_lfht_barrier();
    if (status == SOMA_OK)
        return 0;
    return status == SOMA_ABSENT ? -ENOENT : -ENOMEM;
}

/**
 * soma_lfht_replace() - put a node in the place of the one where the iterator is.
 *
 * Return: 0: the iterator's node is to be freed after a grace period · -ENOENT: it is NULL, or not in the table any more · -EINVAL: it
 *   has another hash or key · -ENOMEM: nothing changed.
 */
static inline int soma_lfht_replace(struct soma_lfht *ht, struct soma_lfht_iter *old_iter, unsigned long hash,
                                    soma_lfht_match_fct match, const void *key, struct soma_lfht_node *new_node)
{
    if (!old_iter->node)
        return -ENOENT;
    if (old_iter->node->hash != hash || !match(old_iter->node, key))
        return -EINVAL;
    return soma_lfht_exchange(ht, old_iter->node, new_node);
}

/**
 * soma_lfht_del() - take a node out: of several threads, one is told 0.
 *
 * Return: 0: the node is to be freed after a grace period · -ENOENT: @node is NULL, or not in the table any more · -ENOMEM:
 *   it still is.
 */
static inline int soma_lfht_del(struct soma_lfht *ht, struct soma_lfht_node *node)
{
    return node ? soma_lfht_exchange(ht, node, NULL) : -ENOENT;
}

/**
 * soma_lfht_is_node_deleted() - whether a node that was added to a table has left it. The table may be destroyed by now, if the node's removal
 * had returned before.
 */
static inline int soma_lfht_is_node_deleted(const struct soma_lfht_node *node)
{
    struct soma_lfht *const table = __atomic_load_n(&node->table, __ATOMIC_RELAXED);
    struct soma_lfht_chain chain;
    int deleted;
    if (!table || table == SOMA_LFHT_LEFT)
        return table != NULL;
    soma_read_enter();
    soma_lfht_read(table, node->hash, &chain);
    deleted = soma_lfht_place(&chain, node) == chain.count;
    soma_read_exit();
    return deleted;
}

/* ---- Loops ---- */

/** The structure around the iterator's node, of pos's type; pos keeps its last value behind the loops. */
#define SOMA_LFHT_ENTRY(iter, pos, member)                                                                             \
    ((__typeof__(pos))(void *)((char *)soma_lfht_iter_get_node(iter) - __builtin_offsetof(__typeof__(*(pos)), member)))

/** Each node, and each structure: as soma_lfht_first() and soma_lfht_next(). */
#define soma_lfht_for_each(ht, iter, node)                                                                             \
    for (soma_lfht_first(ht, iter), (node) = soma_lfht_iter_get_node(iter); (node) != NULL;                            \
         soma_lfht_next(ht, iter), (node) = soma_lfht_iter_get_node(iter))
#define soma_lfht_for_each_entry(ht, iter, pos, member)                                                                \
    for (soma_lfht_first(ht, iter);                                                                                    \
         soma_lfht_iter_get_node(iter) && ((pos) = SOMA_LFHT_ENTRY(iter, pos, member), true);                          \
         soma_lfht_next(ht, iter))

/** Each node and each structure with a key: as soma_lfht_lookup() and soma_lfht_next_duplicate(). */
#define soma_lfht_for_each_duplicate(ht, hash, match, key, iter, node)                                                 \
    for (soma_lfht_lookup(ht, hash, match, key, iter), (node) = soma_lfht_iter_get_node(iter); (node) != NULL;         \
         soma_lfht_next_duplicate(ht, match, key, iter), (node) = soma_lfht_iter_get_node(iter))
#define soma_lfht_for_each_entry_duplicate(ht, hash, match, key, iter, pos, member)                                    \
    for (soma_lfht_lookup(ht, hash, match, key, iter);                                                                 \
         soma_lfht_iter_get_node(iter) && ((pos) = SOMA_LFHT_ENTRY(iter, pos, member), true);                          \
         soma_lfht_next_duplicate(ht, match, key, iter))

#ifdef __cplusplus
}
#endif

/* ---- liburcu's own names ---- */

#ifdef SOMA_COMPAT_LFHT_NAMES
#ifdef _URCU_RCULFHASH_H
#error "soma/compat/lfht.h with SOMA_COMPAT_LFHT_NAMES takes the place of urcu/rculfhash.h: include it first, or alone"
#endif
#define _URCU_RCULFHASH_H /* so that the original is not read after this */
#define cds_lfht soma_lfht
#define cds_lfht_node soma_lfht_node
#define cds_lfht_iter soma_lfht_iter
#define cds_lfht_match_fct soma_lfht_match_fct
#define CDS_LFHT_AUTO_RESIZE SOMA_LFHT_AUTO_RESIZE
#define CDS_LFHT_ACCOUNTING SOMA_LFHT_ACCOUNTING
#define cds_lfht_node_init soma_lfht_node_init
#define cds_lfht_new soma_lfht_new
#define cds_lfht_new_flavor soma_lfht_new_flavor
#define cds_lfht_destroy soma_lfht_destroy
#define cds_lfht_resize soma_lfht_resize
#define cds_lfht_count_nodes soma_lfht_count_nodes
#define cds_lfht_iter_get_node soma_lfht_iter_get_node
#define cds_lfht_lookup soma_lfht_lookup
#define cds_lfht_next_duplicate soma_lfht_next_duplicate
#define cds_lfht_first soma_lfht_first
#define cds_lfht_next soma_lfht_next
#define cds_lfht_add soma_lfht_add
#define cds_lfht_add_unique soma_lfht_add_unique
#define cds_lfht_add_replace soma_lfht_add_replace
#define cds_lfht_replace soma_lfht_replace
#define cds_lfht_del soma_lfht_del
#define cds_lfht_is_node_deleted soma_lfht_is_node_deleted
#define cds_lfht_for_each soma_lfht_for_each
#define cds_lfht_for_each_duplicate soma_lfht_for_each_duplicate
#define cds_lfht_for_each_entry soma_lfht_for_each_entry
#define cds_lfht_for_each_entry_duplicate soma_lfht_for_each_entry_duplicate
#endif

#endif
