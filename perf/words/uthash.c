/* SPDX-License-Identifier: ISC */
/* uthash.c - uthash behind a lock, once a mutex and once a readers-writer lock. Hashes are computed before the lock is
 * taken; under the latter, a count that exists is raised atomically while others do the same. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define uthash_fatal(message) fail("uthash: %s", message)
#include "support/fail.h"
#include <uthash.h>

#include "support/bytes.h"
#include "words/counter.h"

struct node {
    UT_hash_handle hh;
    _Atomic uint64_t count;
    char text[];
};

struct locked {
    pthread_mutex_t mutex;
    pthread_rwlock_t rwlock;
    struct node *head;
};

static void *create(void)
{
    struct locked *map = alloc_or_fail(sizeof *map);
    pthread_mutex_init(&map->mutex, NULL);
    pthread_rwlock_init(&map->rwlock, NULL);
    map->head = NULL;
    return map;
}

static void nothing(void) {}

static unsigned hash_of(const struct key *key)
{
    return (unsigned)(bytes_hash(key->text, key->len) >> 32);
}

static struct node *find(const struct locked *map, const struct key *key, unsigned hash)
{
    struct node *node;
    HASH_FIND_BYHASHVALUE(hh, map->head, key->text, key->len, hash, node);
    return node;
}

static struct node *insert(struct locked *map, const struct key *key, unsigned hash)
{
    struct node *node = alloc_or_fail(sizeof *node + key->len);
    atomic_init(&node->count, 0);
    memcpy(node->text, key->text, key->len);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, map->head, node->text, key->len, hash, node);
    return node;
}

static uint64_t count_of(struct node *node)
{
    return node ? atomic_load_explicit(&node->count, memory_order_relaxed) : 0;
}

/* ---- Mutex ---- */

static void mutex_add(void *arg, const struct key *key)
{
    struct locked *map = arg;
    const unsigned hash = hash_of(key);
    pthread_mutex_lock(&map->mutex);
    struct node *node = find(map, key, hash);
    if (!node)
        node = insert(map, key, hash);
    /* The mutex keeps others out, so no locked instruction is needed. */
    atomic_store_explicit(&node->count, count_of(node) + 1, memory_order_relaxed);
    pthread_mutex_unlock(&map->mutex);
}

static uint64_t mutex_get(void *arg, const struct key *key)
{
    struct locked *map = arg;
    const unsigned hash = hash_of(key);
    pthread_mutex_lock(&map->mutex);
    const uint64_t count = count_of(find(map, key, hash));
    pthread_mutex_unlock(&map->mutex);
    return count;
}

/* ---- Readers-writer lock ---- */

static bool rwlock_add_present(struct locked *map, const struct key *key, unsigned hash)
{
    pthread_rwlock_rdlock(&map->rwlock);
    struct node *node = find(map, key, hash);
    if (node)
        atomic_fetch_add_explicit(&node->count, 1, memory_order_relaxed);
    pthread_rwlock_unlock(&map->rwlock);
    return node != NULL;
}

static void rwlock_add(void *arg, const struct key *key)
{
    struct locked *map = arg;
    const unsigned hash = hash_of(key);
    if (rwlock_add_present(map, key, hash))
        return;
    pthread_rwlock_wrlock(&map->rwlock);
    struct node *node = find(map, key, hash);
    if (!node)
        node = insert(map, key, hash);
    atomic_fetch_add_explicit(&node->count, 1, memory_order_relaxed);
    pthread_rwlock_unlock(&map->rwlock);
}

static uint64_t rwlock_get(void *arg, const struct key *key)
{
    struct locked *map = arg;
    const unsigned hash = hash_of(key);
    pthread_rwlock_rdlock(&map->rwlock);
    const uint64_t count = count_of(find(map, key, hash));
    pthread_rwlock_unlock(&map->rwlock);
    return count;
}

static uint64_t distinct(void *arg)
{
    const struct locked *map = arg;
    return HASH_COUNT(map->head);
}

const struct counter_ops counter_mutex = {
    .name = "mutex",
    .about = "uthash behind a pthread mutex",
    .colour = 4,
    .create = create,
    .thread_enter = nothing,
    .thread_leave = nothing,
    .quiescent = nothing,
    .add = mutex_add,
    .get = mutex_get,
    .distinct = distinct,
    .settle = nothing,
};

const struct counter_ops counter_rwlock = {
    .name = "rwlock",
    .about = "uthash behind a pthread readers-writer lock; atomic counts, so only new keys lock for writing",
    .colour = 1,
    .create = create,
    .thread_enter = nothing,
    .thread_leave = nothing,
    .quiescent = nothing,
    .add = rwlock_add,
    .get = rwlock_get,
    .distinct = distinct,
    .settle = nothing,
};
