/* SPDX-License-Identifier: ISC */
/* first.c - a first map: four threads count visits. The README shows it; docs/guide/first-map.md goes through it. */
#include <inttypes.h>
#include <pthread.h>
#include <soma/soma.h>
#include <stdio.h>

static soma_u64 *visits;

static void *visitor(void *arg)
{
    for (uint64_t i = 0; i < 100000; i++)
        soma_u64_fetch_add(visits, i % 10, 1, NULL); /* find or insert, and add: one atomic step */
    return arg;
}

int main(void)
{
    if (soma_u64_new(NULL, &visits) != SOMA_OK)
        return 1;
    pthread_t threads[4];
    for (int t = 0; t < 4; t++)
        pthread_create(&threads[t], NULL, visitor, NULL);
    for (int t = 0; t < 4; t++)
        pthread_join(threads[t], NULL);
    uint64_t count = 0;
    soma_u64_get(visits, 7, &count);
    printf("page 7 was visited %" PRIu64 " times\n", count);
    soma_u64_free(visits);
    return count == 40000 ? 0 : 1;
}
