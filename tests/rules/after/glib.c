/* SPDX-License-Identifier: ISC */
/* Tables of glib's behind mutexes. */
#include <glib.h>
#include <soma/soma.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static soma_u64 *visits;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void start(void)
{
    if (soma_u64_new(NULL, &visits) != SOMA_OK)
        abort();
}

static void visited(unsigned page)
{
    (void)soma_u64_fetch_add(visits, page, 1, NULL);
}

static void first_seen(unsigned page, unsigned when)
{
    (void)soma_u64_put_new(visits, page, when, NULL);
}

static uint64_t how_often(unsigned page)
{
    uint64_t n;
    n = 0;
    (void)soma_u64_get(visits, page, &n);
    return n;
}

static void attach(void *object, void *what)
{
    (void)soma_u64_put(visits, (uint64_t)(uintptr_t)object, (uint64_t)(uintptr_t)what, NULL);
}

static void forget(unsigned page)
{
    (void)soma_u64_remove(visits, page, NULL);
}

static void stop(void)
{
    soma_u64_free(visits);
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
