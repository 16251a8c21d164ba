/* SPDX-License-Identifier: ISC */
/* counters.c - words of a text, counted by several threads in one byte map, then the most frequent ones.
 * docs/guide/first-map.md tells the story. Answers 0 if the counts add up. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <soma/soma.h>

#define THREADS 4
#define ROUNDS 1000

static const char text[] = "one for sorrow two for joy three for a girl four for a boy";
static soma_map *counts;

static void *count_words(void *failed)
{
    for (int round = 0; round < ROUNDS; round++) {
        for (const char *word = text; *word != '\0';) {
            const size_t len = strcspn(word, " ");
            if (soma_map_fetch_add(counts, word, len, 1, NULL) < 0)
                *(bool *)failed = true;
            word += len + (word[len] == ' ');
        }
    }
    return NULL;
}

/* All words with what they have come to; returns the sum. */
static uint64_t print_counts(void)
{
    soma_cursor *cursor;
    struct soma_bytes word;
    struct soma_bytes value;
    uint64_t sum = 0;
    if (soma_cursor_open_map(counts, &cursor) != SOMA_OK)
        return 0;
    while (soma_cursor_next_ref(cursor, &word, &value) == SOMA_OK) {
        uint64_t count;
        memcpy(&count, value.data, sizeof count);
        printf("%6" PRIu64 " %.*s\n", count, (int)word.len, (const char *)word.data);
        sum += count;
    }
    soma_cursor_close(cursor);
    return sum;
}

int main(void)
{
    pthread_t threads[THREADS];
    bool failed[THREADS] = {false};
    if (soma_map_new(NULL, &counts) != SOMA_OK)
        return 1;
    for (int t = 0; t < THREADS; t++)
        if (pthread_create(&threads[t], NULL, count_words, &failed[t]) != 0)
            return 1;
    bool all = true;
    for (int t = 0; t < THREADS; t++) {
        pthread_join(threads[t], NULL);
        all &= !failed[t];
    }
    const uint64_t sum = print_counts();
    soma_map_free(counts);
    return all && sum == UINT64_C(14) * ROUNDS * THREADS ? 0 : 1;
}
