/* SPDX-License-Identifier: ISC */
/* What glib-to-soma leaves alone: no line of it may change. */
#include <glib.h>
#include <pthread.h>
#include <stdint.h>

static GHashTable *by_number; /* keys are compared by what they point to */
static GHashTable *objects;   /* values are destroyed with more than g_free() */
static GHashTable *parts;     /* values are pointers to the program's objects */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void destroy_object(void *object);
char *key_of(const void *object);

void start(void)
{
    by_number = g_hash_table_new(g_int64_hash, g_int64_equal);
    objects = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, destroy_object);
    parts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

void number(gint64 *key, void *value)
{
    pthread_mutex_lock(&lock);
    g_hash_table_insert(by_number, key, value);
    pthread_mutex_unlock(&lock);
}

void forget_number(gint64 *key)
{
    pthread_mutex_lock(&lock);
    g_hash_table_remove(by_number, key);
    pthread_mutex_unlock(&lock);
}

void keep(void *key, void *object)
{
    pthread_mutex_lock(&lock);
    g_hash_table_insert(objects, key, object);
    pthread_mutex_unlock(&lock);
}

void add_part(const char *name, void *part)
{
    pthread_mutex_lock(&lock);
    g_hash_table_insert(parts, g_strdup(name), part);
    pthread_mutex_unlock(&lock);
}

void remove_part(const void *part)
{
    pthread_mutex_lock(&lock);
    g_hash_table_remove(parts, key_of(part));
    pthread_mutex_unlock(&lock);
}

unsigned narrow(const char *name)
{
    unsigned n;
    pthread_mutex_lock(&lock);
    n = GPOINTER_TO_UINT(g_hash_table_lookup(parts, name));
    pthread_mutex_unlock(&lock);
    return n;
}
