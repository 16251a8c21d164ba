/* SPDX-License-Identifier: ISC */
/* Tables of uthash's behind mutexes. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <uthash.h>

struct visit {
    int page;
    uint64_t n;
    UT_hash_handle hh;
};

static struct visit *visits = NULL;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void visited(int page)
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

void spent(int page, uint64_t bytes)
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

void first_seen(int page, uint64_t when)
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

uint64_t how_often(int page)
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

void forget(int page)
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
