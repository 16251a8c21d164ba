/* SPDX-License-Identifier: ISC */
/* Tables of uthash's behind mutexes. */
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

struct visit {
    int page;
    uint64_t n;
    UT_hash_handle hh;
};

static struct visit *visits = NULL;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void visited(int page)
{
    struct visit *v;
    pthread_mutex_lock(&lock);
    HASH_FIND_INT(visits, &page, v);
    if (v) {
        v->n++;
    } else {
        v = malloc(sizeof *v);
        v->page = page;
        v->n = 1;
        HASH_ADD_INT(visits, page, v);
    }
    pthread_mutex_unlock(&lock);
}

static void spent(int page, uint64_t bytes)
{
    struct visit *v;
    pthread_mutex_lock(&lock);
    HASH_FIND_INT(visits, &page, v);
    if (!v) {
        v = calloc(1, sizeof *v);
        v->page = page;
        HASH_ADD_INT(visits, page, v);
    }
    v->n += bytes;
    pthread_mutex_unlock(&lock);
}

static void first_seen(int page, uint64_t when)
{
    struct visit *v;
    pthread_mutex_lock(&lock);
    HASH_FIND_INT(visits, &page, v);
    if (v == NULL) {
        v = malloc(sizeof *v);
        v->page = page;
        v->n = when;
        HASH_ADD_INT(visits, page, v);
    }
    pthread_mutex_unlock(&lock);
}

static uint64_t how_often(int page)
{
    struct visit *v;
    uint64_t n = 0;
    pthread_mutex_lock(&lock);
    HASH_FIND_INT(visits, &page, v);
    if (v)
        n = v->n;
    pthread_mutex_unlock(&lock);
    return n;
}

static void forget(int page)
{
    struct visit *v;
    pthread_mutex_lock(&lock);
    HASH_FIND_INT(visits, &page, v);
    if (v) {
        HASH_DEL(visits, v);
        free(v);
    }
    pthread_mutex_unlock(&lock);
}

int main(void)
{
    START /* what is done by hand: the map is made */
        for (int i = 0; i < 10; i++)
    {
        first_seen(i % 3, 10 * i);
        visited(i % 4);
        spent(i % 5, 100);
    }
    forget(1);
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", how_often(0), how_often(1), how_often(2), how_often(4));
    return 0;
}
