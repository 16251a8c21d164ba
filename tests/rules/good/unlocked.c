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

/* Every call in the file is made with the lock held, by way of another function, too. */
static void *look_up(const char *name)
{
    return g_hash_table_lookup(names, name);
}

static int is_there(const char *name)
{
    return look_up(name) != NULL;
}

int add_if_absent(char *name)
{
    pthread_mutex_lock(&names_lock);
    int there = is_there(name);
    if (!there)
        g_hash_table_insert(names, name, look_up("first"));
    pthread_mutex_unlock(&names_lock);
    return there;
}

/* From the beginning, when there is one thread, and with the lock. */
static void fill(char *name)
{
    g_hash_table_insert(names, name, NULL);
}

void tables_init(void)
{
    fill("second");
}

void fill_more(void)
{
    pthread_mutex_lock(&names_lock);
    fill("third");
    pthread_mutex_unlock(&names_lock);
}

/* Other files call it. Called with names_lock held. */
void forget(const char *name)
{
    g_hash_table_remove(names, name);
}

/**
 * rename_to:
 * @name: what it was
 *
 * The caller must hold the lock.
 */
void rename_to(char *name, char *to)
{
    g_hash_table_remove(names, name);
    g_hash_table_insert(names, to, NULL);
}

/* What GLib calls for each entry, with the lock held. */
static void each(void *key, void *value, void *data)
{
    (void)value;
    if (g_hash_table_lookup(names, data))
        free(key);
}

void for_all(char *data)
{
    pthread_mutex_lock(&names_lock);
    g_hash_table_foreach(names, each, data);
    pthread_mutex_unlock(&names_lock);
}

/* Tables of their own, named as another. */
static unsigned size_of(GHashTable *names)
{
    return g_hash_table_size(names);
}

unsigned size_of_new(void)
{
    GHashTable *names = g_hash_table_new(g_str_hash, g_str_equal);
    unsigned size = g_hash_table_size(names) + size_of(names);
    g_hash_table_destroy(names);
    return size;
}

/* A function that takes the lock is as good as the lock. */
static void cache_lock(struct cache *cache)
{
    pthread_mutex_lock(&cache->lock);
}

static void cache_unlock(struct cache *cache)
{
    pthread_mutex_unlock(&cache->lock);
}

static void cache_put(struct cache *cache, char *name)
{
    g_hash_table_insert(cache->entries, name, NULL);
}

void cache_put_two(struct cache *cache, char *name, char *other)
{
    cache_lock(cache);
    g_hash_table_remove(cache->entries, name);
    cache_put(cache, name);
    cache_put(cache, other);
    cache_unlock(cache);
}
