/* SPDX-License-Identifier: ISC */
/* hsearch-after.c - hsearch-before.c without its mutex: the table is Soma's, under the C library's names. docs/compat/hsearch.md
 * shows what has changed. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

#define SOMA_COMPAT_HSEARCH_NAMES
#include <soma/compat/hsearch.h>

#define THREADS 4
#define ROUNDS 5000

static char words[][8] = {"one", "two", "three", "four", "five", "six", "seven"};
#define WORDS (sizeof words / sizeof words[0])

static struct hsearch_data table;

/* Find or enter, and change what is there, which others may do at the same time. Answers whether there was memory. */
static int count(char *word)
{
    ENTRY *entry;
    if (!hsearch_r((ENTRY){word, NULL}, ENTER, &entry, &table))
        return 0;
    void *number = soma_hsearch_load(entry);
    while (soma_hsearch_cas(entry, number, (void *)((uintptr_t)number + 1), &number) == SOMA_CHANGED)
        continue;
    return 1;
}

static uintptr_t counted(char *word)
{
    ENTRY *entry;
    return hsearch_r((ENTRY){word, NULL}, FIND, &entry, &table) ? (uintptr_t)soma_hsearch_load(entry) : 0;
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
