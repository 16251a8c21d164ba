/* SPDX-License-Identifier: ISC */
/* ck.c - Concurrency Kit's ck_ht: many readers without locks, one writer, so a mutex is around the updates.
 *
 * What it may have is given to it: words stand in the table itself; the value of a text stands beside the text and
 * changes there without the mutex; memory that readers may still use is freed by liburcu's qsbr flavor, whose read
 * sections cost nothing (ck_epoch's would cost a fence each). */
#define _LGPL_SOURCE
#include <urcu-qsbr.h>

#include <ck_ht.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

#include "peers/peer.h"
#include "support/fail.h"

#define FIRST_CAPACITY 64

struct locked {
    ck_ht_t table;
    pthread_mutex_t lock __attribute__((aligned(128)));
};

/* ---- Memory of the table ---- */

/* Stands before what ck_ht gets. */
struct block {
    struct rcu_head head;
    char memory[] __attribute__((aligned(64)));
};

static void *block_new(size_t size)
{
    struct block *block = aligned_alloc(64, (sizeof *block + size + 63) / 64 * 64);
    return block ? block->memory : NULL;
}

static void block_free_now(struct rcu_head *head)
{
    free(caa_container_of(head, struct block, head));
}

static void block_free(void *memory, size_t size, bool defer)
{
    (void)size;
    struct block *block = caa_container_of(memory, struct block, memory);
    if (defer)
        call_rcu(&block->head, block_free_now);
    else
        free(block);
}

static struct ck_malloc allocator = {.malloc = block_new, .free = block_free};

/* Under the mutex. Who calls has looked before: ck_ht_put_spmc() alone takes a key for absent if the place of a removed
 * one comes before the key's. */
static void put_absent(struct locked *map, ck_ht_hash_t hash, ck_ht_entry_t *entry)
{
    if (!ck_ht_put_spmc(&map->table, hash, entry))
        fail("ck: cannot grow");
}

/* ---- Texts: an entry points to text and value ---- */

#ifdef PEER_STRINGS

#define MODE CK_HT_MODE_BYTESTRING

struct stored {
    peer_key key;
    uint64_t value;
    struct rcu_head head;
};

/* The thread's next one; kept when its key turns out to be taken. */
static _Thread_local struct stored *spare;

static void stored_free(struct rcu_head *head)
{
    free(caa_container_of(head, struct stored, head));
}

static inline struct stored *lookup(struct locked *map, const peer_key *key, ck_ht_hash_t hash)
{
    ck_ht_entry_t entry;
    ck_ht_entry_key_set(&entry, key->at, (uint16_t)key->len);
    return ck_ht_get_spmc(&map->table, hash, &entry) ? ck_ht_entry_value(&entry) : NULL;
}

static inline bool find(void *map, const peer_key *key, uint64_t *value)
{
    const ck_ht_hash_t hash = {.value = peer_key_hash(key)};
    const struct stored *stored = lookup(map, key, hash);
    if (stored)
        *value = CMM_LOAD_SHARED(stored->value);
    return stored != NULL;
}

static bool insert(struct locked *map, const peer_key *key, uint64_t value, ck_ht_hash_t hash)
{
    if (!spare)
        spare = alloc_or_fail(sizeof *spare);
    spare->key = *key;
    spare->value = value;
    ck_ht_entry_t entry;
    ck_ht_entry_set(&entry, hash, spare->key.at, (uint16_t)key->len, spare);
    pthread_mutex_lock(&map->lock);
    const bool inserted = !lookup(map, key, hash);
    if (inserted)
        put_absent(map, hash, &entry);
    pthread_mutex_unlock(&map->lock);
    if (inserted)
        spare = NULL;
    return inserted;
}

static inline bool put(void *map, const peer_key *key)
{
    return insert(map, key, peer_value_of(key), (ck_ht_hash_t){.value = peer_key_hash(key)});
}

static inline bool upsert(void *map, const peer_key *key, uint64_t value)
{
    const ck_ht_hash_t hash = {.value = peer_key_hash(key)};
    for (;;) {
        struct stored *stored = lookup(map, key, hash);
        if (stored) {
            CMM_STORE_SHARED(stored->value, value);
            return false;
        }
        if (insert(map, key, value, hash))
            return true;
    }
}

static inline bool take(void *arg, const peer_key *key)
{
    struct locked *map = arg;
    const ck_ht_hash_t hash = {.value = peer_key_hash(key)};
    ck_ht_entry_t entry;
    ck_ht_entry_key_set(&entry, key->at, (uint16_t)key->len);
    pthread_mutex_lock(&map->lock);
    const bool removed = ck_ht_remove_spmc(&map->table, hash, &entry);
    pthread_mutex_unlock(&map->lock);
    if (removed) {
        struct stored *stored = ck_ht_entry_value(&entry);
        call_rcu(&stored->head, stored_free);
    }
    return removed;
}

static inline uint64_t entry_value(ck_ht_entry_t *entry)
{
    const struct stored *stored = ck_ht_entry_value(entry);
    return CMM_LOAD_SHARED(stored->value);
}

static void thread_leave(void)
{
    free(spare);
    spare = NULL;
    rcu_unregister_thread();
}

/* ---- Words: an entry is key and value ---- */

#else

#define MODE CK_HT_MODE_DIRECT

static inline ck_ht_hash_t entry_set(ck_ht_entry_t *entry, const peer_key *key, uint64_t value)
{
    const ck_ht_hash_t hash = {.value = peer_key_hash(key)};
    ck_ht_entry_set_direct(entry, hash, *key, value);
    return hash;
}

static inline bool find(void *arg, const peer_key *key, uint64_t *value)
{
    struct locked *map = arg;
    ck_ht_entry_t entry;
    const ck_ht_hash_t hash = entry_set(&entry, key, 0);
    const bool found = ck_ht_get_spmc(&map->table, hash, &entry);
    if (found)
        *value = ck_ht_entry_value_direct(&entry);
    return found;
}

static inline bool put(void *arg, const peer_key *key)
{
    struct locked *map = arg;
    ck_ht_entry_t entry;
    const ck_ht_hash_t hash = entry_set(&entry, key, peer_value_of(key));
    ck_ht_entry_t there = entry;
    pthread_mutex_lock(&map->lock);
    const bool inserted = !ck_ht_get_spmc(&map->table, hash, &there);
    if (inserted)
        put_absent(map, hash, &entry);
    pthread_mutex_unlock(&map->lock);
    return inserted;
}

static inline bool upsert(void *arg, const peer_key *key, uint64_t value)
{
    struct locked *map = arg;
    ck_ht_entry_t entry;
    const ck_ht_hash_t hash = entry_set(&entry, key, value);
    pthread_mutex_lock(&map->lock);
    const bool done = ck_ht_set_spmc(&map->table, hash, &entry);
    pthread_mutex_unlock(&map->lock);
    if (!done)
        fail("ck: cannot grow");
    return ck_ht_entry_empty(&entry); /* what was there before */
}

static inline bool take(void *arg, const peer_key *key)
{
    struct locked *map = arg;
    ck_ht_entry_t entry;
    const ck_ht_hash_t hash = entry_set(&entry, key, 0);
    pthread_mutex_lock(&map->lock);
    const bool removed = ck_ht_remove_spmc(&map->table, hash, &entry);
    pthread_mutex_unlock(&map->lock);
    return removed;
}

static inline uint64_t entry_value(ck_ht_entry_t *entry)
{
    return ck_ht_entry_value_direct(entry);
}

static void thread_leave(void)
{
    rcu_unregister_thread();
}

#endif

/* ---- Both ---- */

/* The table keeps each hash, so it never asks for one. */
static void no_hash(ck_ht_hash_t *hash, const void *key, size_t len, uint64_t seed)
{
    (void)hash;
    (void)key;
    (void)len;
    (void)seed;
    fail("ck: asks for a hash");
}

static void *create(uint64_t size)
{
    (void)size;
    struct locked *map = aligned_alloc(_Alignof(struct locked), sizeof *map);
    if (!map || !ck_ht_init(&map->table, MODE | CK_HT_WORKLOAD_DELETE, no_hash, &allocator, FIRST_CAPACITY, 0))
        fail("ck: cannot make the table");
    pthread_mutex_init(&map->lock, NULL);
    return map;
}

static void thread_enter(void)
{
    rcu_register_thread();
}

static void quiescent(void)
{
    rcu_quiescent_state();
}

static uint64_t scan(void *arg, uint64_t *sum)
{
    struct locked *map = arg;
    ck_ht_iterator_t iterator = CK_HT_ITERATOR_INITIALIZER;
    ck_ht_entry_t *entry;
    uint64_t n = 0;
    pthread_mutex_lock(&map->lock);
    for (; ck_ht_next(&map->table, &iterator, &entry); n++)
        *sum += entry_value(entry);
    pthread_mutex_unlock(&map->lock);
    return n;
}

static uint64_t count(void *arg)
{
    struct locked *map = arg;
    return ck_ht_count(&map->table);
}

static void settle(void)
{
    rcu_barrier();
}

#include "peers/loops.h"

const struct peer_ops peer_ck = {
    .name = "ck",
    .about = "Concurrency Kit ck_ht with a mutex around updates, growing from 64, qsbr flavor of liburcu for memory",
    .lacks = LACKS_FREE_WRITES | LACKS_MANY_WRITERS | LACKS_ANY_THREAD | LACKS_REST | LACKS_ALL_KEYS,
    .create = create,
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
};
