/* SPDX-License-Identifier: ISC */
/* Tables of uthash's with string keys behind mutexes. */
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <soma/soma.h>

struct visit {
    char page[32];
    uint64_t n;
    UT_hash_handle hh;
};

struct size {
    char *name;
    uint64_t bytes;
    UT_hash_handle hh;
};

static soma_map *visits = to_be_made_with_soma_map_new;
static soma_map *sizes = to_be_made_with_soma_map_new;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void visited(const char *page)
{
    (void)soma_map_fetch_add(visits, page, strlen(page), 1, NULL);
}

static void first_seen(const char *page, uint64_t when)
{
    (void)soma_map_put_new(visits, page, strlen(page), &(uint64_t){when}, sizeof(uint64_t), NULL);
}

static uint64_t how_often(const char *page)
{
    uint64_t n = 0;
    (void)soma_map_get_copy(visits, page, strlen(page), &n, sizeof n, NULL);
    return n;
}

static void forget(const char *page)
{
    (void)soma_map_remove(visits, page, strlen(page), NULL);
}

static void grown(const char *name, uint64_t bytes)
{
    (void)soma_map_fetch_add(sizes, name, strlen(name), bytes, NULL);
}

static void measured(const char *name, uint64_t bytes)
{
    (void)soma_map_put(sizes, name, strlen(name), &(uint64_t){bytes}, sizeof(uint64_t), NULL);
}

static uint64_t size_of(const char *name)
{
    uint64_t bytes = 0;
    (void)soma_map_get_copy(sizes, name, strlen(name), &bytes, sizeof bytes, NULL);
    return bytes;
}

static void deleted(const char *name)
{
    (void)soma_map_remove(sizes, name, strlen(name), NULL);
}

int main(void)
{
    START /* what is done by hand: the maps are made */
        const char *names[] = {"", "index", "about", "index"};
    char name[32];
    for (size_t i = 0; i < 4; i++) {
        strcpy(name, names[i]);
        first_seen(name, 10 * i);
        visited(name);
        grown(name, i + 1);
    }
    visited("new");
    measured("new", 7);
    measured("about", 9);
    forget("about");
    deleted("");
    deleted("not there");
    strcpy(name, "gone");
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", how_often(""), how_often("index"), how_often("about"),
           how_often("new"));
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", size_of(""), size_of("index"), size_of("about"),
           size_of("new"));
    return 0;
}
