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

/* Called with a lock here, and without one there. */
static void *look_up(const char *name)
{
    return g_hash_table_lookup(names, name); /* finds: unlocked */
}

void *look_up_locking(const char *name)
{
    pthread_mutex_lock(&names_lock);
    void *value = look_up(name);
    pthread_mutex_unlock(&names_lock);
    return value;
}

int is_there(const char *name)
{
    return look_up(name) != NULL;
}

/* Called when the lock has been let go. */
static void drop(const char *name)
{
    g_hash_table_remove(names, name); /* finds: unlocked */
}

void drop_late(const char *name)
{
    pthread_mutex_lock(&names_lock);
    int there = g_hash_table_contains(names, name);
    pthread_mutex_unlock(&names_lock);
    if (there)
        drop(name);
}

/* Called behind another lock. */
static void clear(void)
{
    g_hash_table_remove_all(names); /* finds: unlocked */
}

void clear_behind_another(void)
{
    pthread_mutex_lock(&items_lock);
    clear();
    pthread_mutex_unlock(&items_lock);
}

/* Must not be called with names_lock held by another thread for long. Others have its address. */
static void note(void *name)
{
    g_hash_table_insert(names, name, name); /* finds: unlocked */
}

void note_now(char *name)
{
    pthread_mutex_lock(&names_lock);
    note(name);
    pthread_mutex_unlock(&names_lock);
}

void (*notes(void))(void *)
{
    return note;
}

/* Called by a function that is called by anybody. */
static unsigned count(void)
{
    return g_hash_table_size(names); /* finds: unlocked */
}

unsigned count_all(void)
{
    return count();
}

/* With the lock in every call of this file, but others may call it. */
void of_others(const char *name)
{
    g_hash_table_remove(names, name); /* finds: unlocked */
}

void drop_now(const char *name)
{
    pthread_mutex_lock(&names_lock);
    of_others(name);
    pthread_mutex_unlock(&names_lock);
}

/* In turns, and nobody begins with the lock. */
static void odd(unsigned n);

static void even(unsigned n)
{
    g_hash_table_remove(names, GUINT_TO_POINTER(n)); /* finds: unlocked */
    if (n)
        odd(n - 1);
}

static void odd(unsigned n)
{
    if (n)
        even(n - 1);
}

/* One table of its own, and the file's. */
unsigned sizes(void)
{
    unsigned n = 0;
    {
        GHashTable *others = g_hash_table_new(g_str_hash, g_str_equal);
        n += g_hash_table_size(others);
        g_hash_table_destroy(others);
    }
    return n + g_hash_table_size(names); /* finds: unlocked */
}
