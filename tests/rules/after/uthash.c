/* SPDX-License-Identifier: ISC */
/* Tables of uthash's behind mutexes. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <uthash.h>
#include <soma/soma.h>

struct visit {
    int page;
    uint64_t n;
    UT_hash_handle hh;
};

static soma_u64 *visits;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void visited(int page)
{
    (void)soma_u64_fetch_add(visits, page, 1, NULL);
}

void spent(int page, uint64_t bytes)
{
    (void)soma_u64_fetch_add(visits, page, bytes, NULL);
}

void first_seen(int page, uint64_t when)
{
    (void)soma_u64_put_new(visits, page, when, NULL);
}

uint64_t how_often(int page)
{
    uint64_t n = 0;
    (void)soma_u64_get(visits, page, &n);
    return n;
}

void forget(int page)
{
    (void)soma_u64_remove(visits, page, NULL);
}
