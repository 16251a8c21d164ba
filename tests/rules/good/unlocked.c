/* SPDX-License-Identifier: ISC */
/* What unlocked passes over. */
#include <glib.h>
#include <pthread.h>
#include <stdlib.h>
#include <uthash.h>

static GHashTable *names;
static GHashTable *own; /* of one thread */
static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;

void names_init(void)
{
    names = g_hash_table_new(g_str_hash, g_str_equal);
    own = g_hash_table_new(g_str_hash, g_str_equal);
    g_hash_table_insert(names, "first", NULL);
}

void add_name(char *name, void *value)
{
    pthread_mutex_lock(&names_lock);
    g_hash_table_insert(names, name, value);
    pthread_mutex_unlock(&names_lock);
    g_hash_table_insert(own, name, value);
}

void *find_name(const char *name)
{
    pthread_mutex_lock(&names_lock);
    void *value = g_hash_table_lookup(names, name);
    pthread_mutex_unlock(&names_lock);
    return value;
}

void *find_or_make(char *name)
{
    pthread_mutex_lock(&names_lock);
    void *value = g_hash_table_lookup(names, name);
    if (!value) {
        value = malloc(1);
        g_hash_table_insert(names, name, value);
    }
    pthread_mutex_unlock(&names_lock);
    return value;
}

void *find_again(char *name)
{
    pthread_mutex_lock(&names_lock);
    void *value = g_hash_table_lookup(names, name);
    pthread_mutex_unlock(&names_lock);
    if (value)
        return value;
    pthread_mutex_lock(&names_lock);
    value = g_hash_table_lookup(names, name);
    if (!value)
        g_hash_table_insert(names, name, name);
    pthread_mutex_unlock(&names_lock);
    return name;
}

void remove_locked(const char *name)
{
    g_hash_table_remove(names, name);
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

int has_item(int id)
{
    struct item *found;
    pthread_mutex_lock(&items_lock);
    HASH_FIND_INT(items, &id, found);
    pthread_mutex_unlock(&items_lock);
    return found != NULL;
}

struct cache {
    GHashTable *entries;
    GHashTable *own;
    pthread_mutex_t lock;
};

void cache_free(struct cache *cache)
{
    g_hash_table_remove_all(cache->entries);
}

void cache_add(struct cache *cache, char *name, void *value)
{
    pthread_mutex_lock(&cache->lock);
    g_hash_table_insert(cache->entries, name, value);
    pthread_mutex_unlock(&cache->lock);
}

void cache_drop(struct cache *cache, const char *name)
{
    pthread_mutex_lock(&cache->lock);
    g_hash_table_remove(cache->entries, name);
    pthread_mutex_unlock(&cache->lock);
}

void cache_own(struct cache *cache, const char *name)
{
    g_hash_table_remove(cache->own, name);
}
