/* SPDX-License-Identifier: ISC */
/* mutex.c - what most programs do: uthash behind a mutex.
 *
 * What it may have is given to it: the hash is one multiplication and is computed before the lock is taken, keys are
 * compared as words, entries are allocated and freed outside the lock. */
#include <pthread.h>
#include <stdlib.h>

#define HASH_KEYCMP(a, b, n) (*(const uint64_t *)(a) != *(const uint64_t *)(b))
#define uthash_fatal(message) fail("mutex: %s", message)
#include "support/fail.h"
#include <uthash.h>

#include "peers/peer.h"
#include "support/rng.h"

struct entry {
    uint64_t key;
    uint64_t value;
    UT_hash_handle hh;
};

struct locked {
    pthread_mutex_t lock;
    struct entry *head;
};

static inline unsigned hash_of(uint64_t key)
{
    return (unsigned)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

static void *create(uint64_t size)
{
    (void)size; /* uthash knows no reservation */
    struct locked *map = alloc_or_fail(sizeof *map);
    pthread_mutex_init(&map->lock, NULL);
    map->head = NULL;
    return map;
}

static struct entry *find(struct locked *map, const uint64_t *key, unsigned hash)
{
    struct entry *entry;
    HASH_FIND_BYHASHVALUE(hh, map->head, key, sizeof *key, hash, entry);
    return entry;
}

static size_t get_each(void *arg, const uint64_t *keys, size_t n, uint64_t *values)
{
    struct locked *map = arg;
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        const unsigned hash = hash_of(keys[i]);
        pthread_mutex_lock(&map->lock);
        const struct entry *entry = find(map, &keys[i], hash);
        values[i] = entry ? entry->value : 0;
        found += entry != NULL;
        pthread_mutex_unlock(&map->lock);
    }
    return found;
}

/* The thread's entry for the next insertion; kept when the key turns out to be taken. */
static _Thread_local struct entry *spare;

static bool put(struct locked *map, uint64_t key)
{
    const unsigned hash = hash_of(key);
    struct entry *entry = spare ? spare : alloc_or_fail(sizeof *entry);
    entry->key = key;
    entry->value = value_of(key);
    pthread_mutex_lock(&map->lock);
    const bool absent = !find(map, &key, hash);
    if (absent)
        HASH_ADD_KEYPTR_BYHASHVALUE(hh, map->head, &entry->key, sizeof entry->key, hash, entry);
    pthread_mutex_unlock(&map->lock);
    spare = absent ? NULL : entry;
    return absent;
}

static size_t put_each(void *map, const uint64_t *keys, size_t n)
{
    size_t inserted = 0;
    for (size_t i = 0; i < n; i++)
        inserted += put(map, keys[i]);
    return inserted;
}

static bool remove_key(struct locked *map, uint64_t key)
{
    const unsigned hash = hash_of(key);
    pthread_mutex_lock(&map->lock);
    struct entry *entry = find(map, &key, hash);
    if (entry)
        HASH_DEL(map->head, entry);
    pthread_mutex_unlock(&map->lock);
    free(entry);
    return entry != NULL;
}

static size_t remove_each(void *map, const uint64_t *keys, size_t n)
{
    size_t removed = 0;
    for (size_t i = 0; i < n; i++)
        removed += remove_key(map, keys[i]);
    return removed;
}

static uint64_t count(void *arg)
{
    const struct locked *map = arg;
    return HASH_COUNT(map->head);
}

static void thread_leave(void)
{
    free(spare);
    spare = NULL;
}

/* uthash keeps its table until the last entry goes, and frees it then. */
static void shrink(void *map)
{
    (void)map;
}

void peer_nothing(void) {}

const struct peer_ops peer_mutex = {
    .name = "mutex",
    .about = "uthash behind a pthread mutex, locked once an operation",
    .colour = 4,
    .create = create,
    .thread_enter = peer_nothing,
    .thread_leave = thread_leave,
    .quiescent = peer_nothing,
    .get_each = get_each,
    .put_each = put_each,
    .remove_each = remove_each,
    .count = count,
    .settle = peer_nothing,
    .shrink = shrink,
};
