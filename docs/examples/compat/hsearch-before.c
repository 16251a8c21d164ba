/* SPDX-License-Identifier: ISC */
/* hsearch-before.c - words are counted in a table of hcreate_r(), behind a mutex. hsearch-after.c is the same program on Soma;
 * docs/compat/hsearch.md shows what has changed. */
#define _GNU_SOURCE 1
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

#include <search.h>

#define THREADS 4
#define ROUNDS 5000

static char words[][8] = {"one", "two", "three", "four", "five", "six", "seven"};
#define WORDS (sizeof words / sizeof words[0])

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct hsearch_data table;

/* Find or enter, and change what is there. Answers whether there was room. */
static int count(char *word)
{
    ENTRY *entry;
    pthread_mutex_lock(&lock);
    const int there = hsearch_r((ENTRY){word, NULL}, ENTER, &entry, &table);
    if (there)
        entry->data = (void *)((uintptr_t)entry->data + 1);
    pthread_mutex_unlock(&lock);
    return there;
}

static uintptr_t counted(char *word)
{
    ENTRY *entry;
    pthread_mutex_lock(&lock);
    const uintptr_t number = hsearch_r((ENTRY){word, NULL}, FIND, &entry, &table) ? (uintptr_t)entry->data : 0;
    pthread_mutex_unlock(&lock);
    return number;
}

static void *reader(void *failed)
{
    for (unsigned i = 0; i < ROUNDS; i++)
        if (!count(words[i * 3 % WORDS]))
            *(int *)failed = 1;
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    int failed[THREADS] = {0};
    if (!hcreate_r(100, &table))
        return 1;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, reader, &failed[i]) != 0)
            return 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < WORDS; i++)
        printf("%s: %zu\n", words[i], (size_t)counted(words[i]));
    hdestroy_r(&table);
    return failed[0] || failed[1] || failed[2] || failed[3];
}
