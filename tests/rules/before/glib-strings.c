/* SPDX-License-Identifier: ISC */
/* Tables of glib's with string keys behind mutexes; and one with words, which is another kind of map. */
#include <glib.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static GHashTable *visits;
static GHashTable *titles;
static GHashTable *sizes;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void start(void)
{
    visits = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    titles = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    sizes = g_hash_table_new(g_direct_hash, g_direct_equal);
}

static void visited(const char *page)
{
    pthread_mutex_lock(&lock);
    guint n = GPOINTER_TO_UINT(g_hash_table_lookup(visits, page));
    g_hash_table_insert(visits, g_strdup(page), GUINT_TO_POINTER(n + 1));
    pthread_mutex_unlock(&lock);
}

static void first_seen(const char *page, unsigned when)
{
    pthread_mutex_lock(&lock);
    if (!g_hash_table_contains(visits, page))
        g_hash_table_insert(visits, g_strdup(page), GUINT_TO_POINTER(when));
    pthread_mutex_unlock(&lock);
}

static uint64_t how_often(const char *page)
{
    uint64_t n;
    pthread_mutex_lock(&lock);
    n = GPOINTER_TO_UINT(g_hash_table_lookup(visits, page));
    pthread_mutex_unlock(&lock);
    return n;
}

static void set_visits(const char *page, unsigned n)
{
    pthread_mutex_lock(&lock);
    g_hash_table_replace(visits, g_strdup(page), GUINT_TO_POINTER(n));
    pthread_mutex_unlock(&lock);
}

static void forget(const char *page)
{
    pthread_mutex_lock(&lock);
    g_hash_table_remove(visits, page);
    pthread_mutex_unlock(&lock);
}

static void name(const char *page, const char *title)
{
    pthread_mutex_lock(&lock);
    g_hash_table_insert(titles, g_strdup(page), g_strdup(title));
    pthread_mutex_unlock(&lock);
}

static void name_once(const char *page, const char *title)
{
    pthread_mutex_lock(&lock);
    if (!g_hash_table_lookup(titles, page))
        g_hash_table_insert(titles, g_strdup(page), g_strdup(title));
    pthread_mutex_unlock(&lock);
}

static char *title_of(const char *page)
{
    char *title;
    pthread_mutex_lock(&lock);
    title = g_strdup(g_hash_table_lookup(titles, page));
    pthread_mutex_unlock(&lock);
    return title;
}

static gboolean has_title(const char *page)
{
    gboolean has;
    pthread_mutex_lock(&lock);
    has = g_hash_table_contains(titles, page);
    pthread_mutex_unlock(&lock);
    return has;
}

static void set_size(unsigned page, unsigned size)
{
    pthread_mutex_lock(&lock);
    g_hash_table_insert(sizes, GUINT_TO_POINTER(page), GUINT_TO_POINTER(size));
    pthread_mutex_unlock(&lock);
}

static uint64_t size_of(unsigned page)
{
    uint64_t size;
    pthread_mutex_lock(&lock);
    size = GPOINTER_TO_UINT(g_hash_table_lookup(sizes, GUINT_TO_POINTER(page)));
    pthread_mutex_unlock(&lock);
    return size;
}

static void stop(void)
{
    g_hash_table_destroy(visits);
    g_hash_table_destroy(titles);
    g_hash_table_destroy(sizes);
}

int main(void)
{
    start();
    const char *pages[] = {"", "index", "about", "index"};
    for (unsigned i = 0; i < 4; i++) {
        char page[16];
        strcpy(page, pages[i]);
        first_seen(page, 10 * i);
        visited(page);
        name_once(page, i % 2 ? "A title" : "");
    }
    set_visits("new", 7);
    set_visits("index", 8);
    forget("about");
    forget("not there");
    name("new", "Old");
    name("new", "New, and longer");
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", how_often(""), how_often("index"), how_often("about"),
           how_often("new"));
    for (unsigned i = 0; i < 4; i++) {
        char *title = title_of(pages[i]);
        printf("'%s' %d\n", title, has_title(pages[i]));
        free(title);
    }
    char *title = title_of("new"), *none = title_of("ne");
    printf("'%s' %d %d\n", title, none == NULL, has_title("ne"));
    free(title);
    set_size(5, 50);
    set_size(5, 51);
    printf("%" PRIu64 " %" PRIu64 "\n", size_of(5), size_of(6));
    stop();
    return 0;
}
