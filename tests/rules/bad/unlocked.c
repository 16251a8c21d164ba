/* SPDX-License-Identifier: ISC */
/* What unlocked finds, and check-then-act with a mutex. */
#include <glib.h>
#include <pthread.h>
#include <stdlib.h>
#include <uthash.h>

static GHashTable *names;
static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;

void add_name(char *name, void *value)
{
    pthread_mutex_lock(&names_lock);
    g_hash_table_insert(names, name, value);
    pthread_mutex_unlock(&names_lock);
}

void *find_name(const char *name)
{
    return g_hash_table_lookup(names, name); /* finds: unlocked */
}

void *find_or_make(char *name)
{
    pthread_mutex_lock(&names_lock);
    void *value = g_hash_table_lookup(names, name);
    pthread_mutex_unlock(&names_lock);
    if (value)
        return value;
    value = malloc(1);
    pthread_mutex_lock(&names_lock);
    g_hash_table_insert(names, name, value); /* finds: check-then-act */
    pthread_mutex_unlock(&names_lock);
    return value;
}

struct item {
    int id;
    UT_hash_handle hh;
};

static struct item *items;
static pthread_mutex_t items_lock = PTHREAD_MUTEX_INITIALIZER;

void add_item(struct item *item)
{
    pthread_mutex_lock(&items_lock);
    HASH_ADD_INT(items, id, item);
    pthread_mutex_unlock(&items_lock);
}

struct item *find_item(int id)
{
    struct item *found;
    HASH_FIND_INT(items, &id, found); /* finds: unlocked */
    return found;
}

struct cache {
    GHashTable *entries;
    pthread_mutex_t lock;
};

void cache_add(struct cache *cache, char *name, void *value)
{
    pthread_mutex_lock(&cache->lock);
    g_hash_table_insert(cache->entries, name, value);
    pthread_mutex_unlock(&cache->lock);
}

void cache_drop(struct cache *cache, const char *name)
{
    g_hash_table_remove(cache->entries, name); /* finds: unlocked */
}
