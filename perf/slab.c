/* SPDX-License-Identifier: ISC */
/* slab.c - what an allocator of its own could give the maps: a load, or half updates, for perf/slab to run with the process's
 * malloc and, built with SLAB, with the best that there could be: lists of free pieces by size, a thread's own, no header, nothing
 * ever given back, nothing shared. Built with COUNT it counts what is asked for.
 *
 *     slab load|half words|bytes ENTRIES LOAD_PERCENT THREADS
 *
 * Prints million operations, their processor time in ns each, and pieces had from the allocator for each insertion. */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <soma/soma.h>

#include "mem/mem.h"

/* ---- Allocators ---- */

static uint64_t asked;

#ifdef SLAB

#define STEP 16
#define CLASSES 1024
#define SLAB_BYTES ((size_t)8 << 20)

struct piece {
    struct piece *next;
};
static __thread struct piece *pieces[CLASSES];
static __thread char *fresh;
static __thread char *fresh_end;

void *__real_soma__mem_alloc(size_t size);
void __real_soma__mem_free(void *memory, size_t size);
void *__wrap_soma__mem_alloc(size_t size);
void __wrap_soma__mem_free(void *memory, size_t size);

void *__wrap_soma__mem_alloc(size_t size)
{
    const size_t class = (size + STEP - 1) / STEP;
    if (class >= CLASSES)
        return __real_soma__mem_alloc(size);
    struct piece *piece = pieces[class];
    if (piece) {
        pieces[class] = piece->next;
        return piece;
    }
    if ((size_t)(fresh_end - fresh) < class * STEP) {
        fresh = mmap(NULL, SLAB_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (fresh == MAP_FAILED)
            exit(1);
        fresh_end = fresh + SLAB_BYTES;
    }
    char *memory = fresh;
    fresh += class * STEP;
    return memory;
}

void __wrap_soma__mem_free(void *memory, size_t size)
{
    const size_t class = (size + STEP - 1) / STEP;
    if (class >= CLASSES) {
        __real_soma__mem_free(memory, size);
        return;
    }
    struct piece *piece = memory;
    piece->next = pieces[class];
    pieces[class] = piece;
}

#elif defined COUNT

void *__real_soma__mem_alloc(size_t size);
void *__wrap_soma__mem_alloc(size_t size);

void *__wrap_soma__mem_alloc(size_t size)
{
    __atomic_fetch_add(&asked, 1, __ATOMIC_RELAXED);
    return __real_soma__mem_alloc(size);
}

#endif

/* ---- The work ---- */

#define THREADS_MOST 64

static soma_u64 *words;
static soma_map *bytes;
static uint64_t entries;
static unsigned threads;
static bool half;
static uint64_t insertions;

static uint64_t key_at(uint64_t i)
{
    i *= UINT64_C(0x9e3779b97f4a7c15);
    return i ^ i >> 29;
}

static bool put(uint64_t key)
{
    return (words ? soma_u64_put_new(words, key, key, NULL)
                  : soma_map_put_new(bytes, &key, sizeof key, &key, sizeof key, NULL)) == SOMA_INSERTED;
}

static void take(uint64_t key)
{
    if ((words ? soma_u64_remove(words, key, NULL) : soma_map_remove(bytes, &key, sizeof key, NULL)) < 0)
        exit(1);
}

static void get(uint64_t key)
{
    uint64_t value;
    size_t len;
    if (words)
        (void)soma_u64_get(words, key, &value);
    else
        (void)soma_map_get_copy(bytes, &key, sizeof key, &value, sizeof value, &len);
}

static void *work(void *arg)
{
    uint64_t rng = (uintptr_t)arg + 1;
    uint64_t inserted = 0;
    for (uint64_t i = (uintptr_t)arg; i < entries; i += threads) {
        if (!half) {
            inserted += put(key_at(i));
            continue;
        }
        rng = rng * UINT64_C(6364136223846793005) + 1442695040888963407;
        const uint64_t key = key_at((rng >> 32) % (2 * entries));
        const unsigned what = (unsigned)(rng >> 30) & 3;
        if (what < 2)
            get(key);
        else if (what == 2)
            inserted += put(key);
        else
            take(key);
    }
    __atomic_fetch_add(&insertions, inserted, __ATOMIC_RELAXED);
    return NULL;
}

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv)
{
    pthread_t crew[THREADS_MOST];
    if (argc != 6)
        return 2;
    half = strcmp(argv[1], "half") == 0;
    entries = strtoull(argv[3], NULL, 10);
    threads = (unsigned)strtoul(argv[5], NULL, 10);
    const unsigned load = (unsigned)strtoul(argv[4], NULL, 10);
    if (threads == 0 || threads > THREADS_MOST || entries == 0)
        return 2;
    const bool of_words = strcmp(argv[2], "words") == 0;
    if ((of_words ? soma_u64_new(&(struct soma_u64_options){.load_percent = load}, &words)
                  : soma_map_new(&(struct soma_map_options){.load_percent = load}, &bytes)) != SOMA_OK)
        return 1;
    for (uint64_t i = 0; half && i < 2 * entries; i += 2)
        put(key_at(i));
    asked = 0;
    const uint64_t start = cpu_ns();
    for (unsigned t = 1; t < threads; t++) {
        if (pthread_create(&crew[t], NULL, work, (void *)(uintptr_t)t) != 0)
            return 1;
    }
    work(NULL);
    for (unsigned t = 1; t < threads; t++)
        pthread_join(crew[t], NULL);
    const uint64_t ns = cpu_ns() - start;
    printf("%.3f %.1f %.4f\n", (double)entries / 1e6, (double)ns / (double)entries, (double)asked / (double)insertions);
    return 0;
}
