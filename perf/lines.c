/* SPDX-License-Identifier: ISC */
/* lines.c - threads that take turns, one call each, for perf/lines to see which cache lines move between them.
 *
 *     lines WORK THREADS CALLS PRESENT     WORK: insert, churn or get; PRESENT: keys that are there before
 *
 * The machine is said to have a processor a thread. Only what the first release of the maps had, so that older ones build it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <soma/soma.h>

#define THREADS_MAX 128

static unsigned threads;
static uint64_t calls; /* of each thread */
static uint64_t present;
static const char *work;
static soma_u64 *map;
static sem_t turns[THREADS_MAX];

/* Written as a thread's call begins, at its place, and as it ends, at the last. */
static volatile char marks[THREADS_MAX + 1];

long sysconf(int name)
{
    static long (*asked)(int name);
    if (name == _SC_NPROCESSORS_ONLN)
        return (long)threads;
    if (!asked)
        *(void **)&asked = dlsym(RTLD_NEXT, "sysconf");
    return asked(name);
}

static void call(uint64_t thread, uint64_t i)
{
    uint64_t value;
    const uint64_t own = i * threads + thread;
    if (strcmp(work, "insert") == 0)
        soma_u64_put(map, present + own, i, NULL);
    else if (strcmp(work, "get") == 0)
        soma_u64_get(map, own % present, &value);
    else if (i % 2 == 0)
        soma_u64_remove(map, i / 2 * threads + thread, NULL);
    else
        soma_u64_put(map, present + own, i, NULL);
}

static void *turns_of(void *arg)
{
    const uint64_t thread = (uint64_t)(uintptr_t)arg;
    for (uint64_t i = 0; i < calls; i++) {
        sem_wait(&turns[thread]);
        marks[thread] = 1;
        call(thread, i);
        marks[threads] = 1;
        sem_post(&turns[(thread + 1) % threads]);
    }
    sem_wait(&turns[thread]); /* records are not to change hands */
    sem_post(&turns[(thread + 1) % threads]);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    work = argv[1];
    threads = (unsigned)strtoul(argv[2], NULL, 10);
    calls = strtoull(argv[3], NULL, 10);
    present = strtoull(argv[4], NULL, 10);
    if (threads == 0 || threads > THREADS_MAX || soma_u64_new(NULL, &map) != SOMA_OK)
        return 2;
    for (uint64_t key = 0; key < present; key++)
        soma_u64_put(map, key, key, NULL);
    printf("%#lx %#lx\n", (unsigned long)(uintptr_t)marks, (unsigned long)(uintptr_t)map);
    fflush(stdout);
    pthread_t started[THREADS_MAX];
    for (unsigned t = 0; t < threads; t++)
        sem_init(&turns[t], 0, t == 0);
    for (unsigned t = 0; t < threads; t++)
        pthread_create(&started[t], NULL, turns_of, (void *)(uintptr_t)t);
    for (unsigned t = 0; t < threads; t++)
        pthread_join(started[t], NULL);
    soma_u64_free(map);
    return 0;
}
