/* SPDX-License-Identifier: ISC */
/* glib.c - GHashTable behind a pthread mutex.
 *
 * What it may have is given to it: words stand in the table itself, as keys and as values, and are compared there; the
 * copy of a text is made outside the lock. */
#include <glib.h>
#include <pthread.h>
#include <stdlib.h>

#include "peers/peer.h"
#include "support/fail.h"

struct locked {
    pthread_mutex_t lock;
    GHashTable *table;
};

#ifdef PEER_STRINGS

/* The thread's copy for the next insertion; kept when the key turns out to be taken. */
static _Thread_local peer_key *spare;

static guint hash_of(gconstpointer key)
{
    return (guint)peer_key_hash(key);
}

static gboolean same(gconstpointer a, gconstpointer b)
{
    return peer_key_equal(a, b);
}

static GHashTable *table_new(void)
{
    return g_hash_table_new_full(hash_of, same, free, NULL);
}

static gconstpointer key_of(const peer_key *key)
{
    return key;
}

static void copy_prepare(const peer_key *key)
{
    if (!spare)
        spare = alloc_or_fail(sizeof *spare);
    *spare = *key;
}

static gpointer copy_take(const peer_key *key)
{
    (void)key;
    peer_key *copy = spare;
    spare = NULL;
    return copy;
}

static void thread_leave(void)
{
    free(spare);
    spare = NULL;
}

#else

static guint hash_of(gconstpointer key)
{
    const uint64_t word = GPOINTER_TO_SIZE(key);
    return (guint)peer_key_hash(&word);
}

static GHashTable *table_new(void)
{
    return g_hash_table_new(hash_of, NULL);
}

static gconstpointer key_of(const peer_key *key)
{
    return GSIZE_TO_POINTER(*key);
}

static void copy_prepare(const peer_key *key)
{
    (void)key;
}

static gpointer copy_take(const peer_key *key)
{
    return GSIZE_TO_POINTER(*key);
}

static void thread_leave(void) {}

#endif

static void *create(uint64_t size)
{
    (void)size; /* GHashTable knows no reservation */
    struct locked *map = alloc_or_fail(sizeof *map);
    pthread_mutex_init(&map->lock, NULL);
    map->table = table_new();
    return map;
}

static inline bool find(void *arg, const peer_key *key, uint64_t *value)
{
    struct locked *map = arg;
    gpointer there = NULL;
    pthread_mutex_lock(&map->lock);
    const bool found = g_hash_table_lookup_extended(map->table, key_of(key), NULL, &there);
    pthread_mutex_unlock(&map->lock);
    if (found)
        *value = GPOINTER_TO_SIZE(there);
    return found;
}

static inline bool put(void *arg, const peer_key *key)
{
    struct locked *map = arg;
    copy_prepare(key);
    pthread_mutex_lock(&map->lock);
    const bool absent = !g_hash_table_contains(map->table, key_of(key));
    if (absent)
        g_hash_table_insert(map->table, copy_take(key), GSIZE_TO_POINTER(peer_value_of(key)));
    pthread_mutex_unlock(&map->lock);
    return absent;
}

/* Where the key is there, the table frees the copy itself. */
static inline bool upsert(void *arg, const peer_key *key, uint64_t value)
{
    struct locked *map = arg;
    copy_prepare(key);
    pthread_mutex_lock(&map->lock);
    const bool absent = g_hash_table_insert(map->table, copy_take(key), GSIZE_TO_POINTER(value));
    pthread_mutex_unlock(&map->lock);
    return absent;
}

static inline bool take(void *arg, const peer_key *key)
{
    struct locked *map = arg;
    pthread_mutex_lock(&map->lock);
    const bool removed = g_hash_table_remove(map->table, key_of(key));
    pthread_mutex_unlock(&map->lock);
    return removed;
}

static uint64_t scan(void *arg, uint64_t *sum)
{
    struct locked *map = arg;
    GHashTableIter iter;
    gpointer value;
    uint64_t n = 0;
    pthread_mutex_lock(&map->lock);
    g_hash_table_iter_init(&iter, map->table);
    for (; g_hash_table_iter_next(&iter, NULL, &value); n++)
        *sum += GPOINTER_TO_SIZE(value);
    pthread_mutex_unlock(&map->lock);
    return n;
}

static uint64_t count(void *arg)
{
    const struct locked *map = arg;
    return g_hash_table_size(map->table);
}

#include "peers/loops.h"

const struct peer_ops peer_glib = {
    .name = "glib",
    .about = "GHashTable behind a pthread mutex, locked once an operation",
    .lacks = LACKS_FREE_READS | LACKS_FREE_WRITES,
    .create = create,
    .thread_enter = peer_nothing,
    .thread_leave = thread_leave,
    .quiescent = peer_nothing,
    .get_each = get_each,
    .put_each = put_each,
    .upsert_each = upsert_each,
    .remove_each = remove_each,
    .scan = scan,
    .count = count,
    .settle = peer_nothing,
};
