/* SPDX-License-Identifier: ISC */
/* What uthash-to-soma leaves alone: no line of it may change. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct visit {
    char page[8];
    unsigned n;
    UT_hash_handle hh;
};

static struct visit *visits;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

const char *page_of(int id);

/* The key is a call, which would be made twice. */
void forget(int id)
{
    struct visit *v;
    pthread_mutex_lock(&lock);
    HASH_FIND_STR(visits, page_of(id), v);
    if (v) {
        HASH_DEL(visits, v);
        free(v);
    }
    pthread_mutex_unlock(&lock);
}

/* Keys that are cut are others. */
void first_seen(const char *page, unsigned when)
{
    struct visit *v;
    pthread_mutex_lock(&lock);
    HASH_FIND_STR(visits, page, v);
    if (v == NULL) {
        v = malloc(sizeof *v);
        strncpy(v->page, page, sizeof v->page);
        v->n = when;
        HASH_ADD_STR(visits, page, v);
    }
    pthread_mutex_unlock(&lock);
}

/* What is read is no uint64_t. */
unsigned how_often(const char *page)
{
    struct visit *v;
    unsigned n = 0;
    pthread_mutex_lock(&lock);
    HASH_FIND_STR(visits, page, v);
    if (v)
        n = v->n;
    pthread_mutex_unlock(&lock);
    return n;
}
