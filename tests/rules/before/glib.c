/* SPDX-License-Identifier: ISC */
/* Tables of glib's behind mutexes. */
#include <glib.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static GHashTable *visits;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void start(void)
{
    visits = g_hash_table_new(g_direct_hash, g_direct_equal);
}

static void visited(unsigned page)
{
    pthread_mutex_lock(&lock);
    guint n = GPOINTER_TO_UINT(g_hash_table_lookup(visits, GUINT_TO_POINTER(page)));
    g_hash_table_insert(visits, GUINT_TO_POINTER(page), GUINT_TO_POINTER(n + 1));
    pthread_mutex_unlock(&lock);
}

static void first_seen(unsigned page, unsigned when)
{
    pthread_mutex_lock(&lock);
    if (!g_hash_table_contains(visits, GUINT_TO_POINTER(page)))
        g_hash_table_insert(visits, GUINT_TO_POINTER(page), GUINT_TO_POINTER(when));
    pthread_mutex_unlock(&lock);
}

static uint64_t how_often(unsigned page)
{
    uint64_t n;
    pthread_mutex_lock(&lock);
    n = GPOINTER_TO_UINT(g_hash_table_lookup(visits, GUINT_TO_POINTER(page)));
    pthread_mutex_unlock(&lock);
    return n;
}

static void attach(void *object, void *what)
{
    pthread_mutex_lock(&lock);
    g_hash_table_insert(visits, object, what);
    pthread_mutex_unlock(&lock);
}

static void forget(unsigned page)
{
    pthread_mutex_lock(&lock);
    g_hash_table_remove(visits, GUINT_TO_POINTER(page));
    pthread_mutex_unlock(&lock);
}

static void stop(void)
{
    g_hash_table_destroy(visits);
}

int main(void)
{
    start();
    for (unsigned i = 0; i < 10; i++) {
        first_seen(i % 3, 10 * i);
        visited(i % 4);
    }
    forget(1);
    int object = 0;
    attach(&object, &object);
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", how_often(0), how_often(1), how_often(2), how_often(3));
    stop();
    return 0;
}
