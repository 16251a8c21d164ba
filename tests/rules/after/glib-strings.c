/* SPDX-License-Identifier: ISC */
/* Tables of glib's with string keys behind mutexes; and one with words, which is another kind of map. */
#include <glib.h>
#include <soma/soma.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static soma_map *visits;
static soma_map *titles;
static soma_u64 *sizes;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void start(void)
{
    if (soma_map_new(NULL, &visits) != SOMA_OK)
        abort();
    if (soma_map_new(NULL, &titles) != SOMA_OK)
        abort();
    if (soma_u64_new(NULL, &sizes) != SOMA_OK)
        abort();
}

static void visited(const char *page)
{
    (void)soma_map_fetch_add(visits, page, strlen(page), 1, NULL);
}

static void first_seen(const char *page, unsigned when)
{
    (void)soma_map_put_new(visits, page, strlen(page), &(uint64_t){when}, sizeof(uint64_t), NULL);
}

static uint64_t how_often(const char *page)
{
    uint64_t n;
    n = 0;
    (void)soma_map_get_copy(visits, page, strlen(page), &n, sizeof n, NULL);
    return n;
}

static void set_visits(const char *page, unsigned n)
{
    (void)soma_map_put(visits, page, strlen(page), &(uint64_t){n}, sizeof(uint64_t), NULL);
}

static void forget(const char *page)
{
    (void)soma_map_remove(visits, page, strlen(page), NULL);
}

static void name(const char *page, const char *title)
{
    (void)soma_map_put(titles, page, strlen(page), title, strlen(title) + 1, NULL);
}

static void name_once(const char *page, const char *title)
{
    (void)soma_map_put_new(titles, page, strlen(page), title, strlen(title) + 1, NULL);
}

static char *title_of(const char *page)
{
    char *title;
    {
        struct soma_bytes found = {0};
        soma_read_enter();
        (void)soma_map_get_ref(titles, page, strlen(page), &found);
        title = g_strdup(found.data);
        soma_read_exit();
    }
    return title;
}

static gboolean has_title(const char *page)
{
    gboolean has;
    has = soma_map_get_copy(titles, page, strlen(page), NULL, 0, NULL) == SOMA_OK;
    return has;
}

static void set_size(unsigned page, unsigned size)
{
    (void)soma_u64_put(sizes, page, size, NULL);
}

static uint64_t size_of(unsigned page)
{
    uint64_t size;
    size = 0;
    (void)soma_u64_get(sizes, page, &size);
    return size;
}

static void stop(void)
{
    soma_map_free(visits);
    soma_map_free(titles);
    soma_u64_free(sizes);
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
