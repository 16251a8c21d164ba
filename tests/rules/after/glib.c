/* SPDX-License-Identifier: ISC */
/* Tables of glib's behind mutexes. */
#include <glib.h>
#include <soma/soma.h>
#include <pthread.h>
#include <stdlib.h>

static soma_u64 *visits;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void start(void)
{
    if (soma_u64_new(NULL, &visits) != SOMA_OK)
        abort();
}

void visited(unsigned page)
{
    (void)soma_u64_fetch_add(visits, page, 1, NULL);
}

void first_seen(unsigned page, unsigned when)
{
    (void)soma_u64_put_new(visits, page, when, NULL);
}

uint64_t how_often(unsigned page)
{
    uint64_t n;
    n = 0;
    (void)soma_u64_get(visits, page, &n);
    return n;
}

void attach(void *object, void *what)
{
    (void)soma_u64_put(visits, (uint64_t)(uintptr_t)object, (uint64_t)(uintptr_t)what, NULL);
}

void forget(unsigned page)
{
    (void)soma_u64_remove(visits, page, NULL);
}

void stop(void)
{
    soma_u64_free(visits);
}
