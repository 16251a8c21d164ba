/* SPDX-License-Identifier: ISC */
/* Tables of uthash's behind mutexes. */
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>
#include <soma/soma.h>

struct visit {
    int page;
    uint64_t n;
    UT_hash_handle hh;
};

static soma_u64 *visits = to_be_made_with_soma_u64_new;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void visited(int page)
{
    (void)soma_u64_fetch_add(visits, page, 1, NULL);
}

static void spent(int page, uint64_t bytes)
{
    (void)soma_u64_fetch_add(visits, page, bytes, NULL);
}

static void first_seen(int page, uint64_t when)
{
    (void)soma_u64_put_new(visits, page, when, NULL);
}

static uint64_t how_often(int page)
{
    uint64_t n = 0;
    (void)soma_u64_get(visits, page, &n);
    return n;
}

static void forget(int page)
{
    (void)soma_u64_remove(visits, page, NULL);
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
