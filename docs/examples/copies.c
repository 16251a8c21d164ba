/* SPDX-License-Identifier: ISC */
/* copies.c - a price list that is being changed all the time: copied as it was at one instant, with somebody who watches and may
 * end it, and printed in the order of its keys. Each change raises one price by a cent and lowers another, so at any instant the sum
 * is off by one cent at the most; so it is in the copy. */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include <soma/soma.h>

#define ARTICLES UINT64_C(20000)
#define PRICE UINT64_C(1000)

static soma_u64 *prices;
static atomic_bool closing;

static void *reprice(void *arg)
{
    for (uint64_t i = 0; !atomic_load(&closing); i++) {
        (void)soma_u64_fetch_add(prices, i * 7919 % ARTICLES, 1, NULL);
        (void)soma_u64_fetch_add(prices, i * 6101 % ARTICLES, (uint64_t)-1, NULL);
    }
    return arg;
}

/* Ends a copy after half of it. */
static enum soma_status half(uint64_t done, uint64_t total, void *ctx)
{
    (void)ctx;
    return done < total / 2 ? SOMA_OK : SOMA_END;
}

static uint64_t sum_of(soma_cursor *cursor, uint64_t *entries)
{
    uint64_t key;
    uint64_t value;
    uint64_t sum = 0;
    for (*entries = 0; soma_cursor_next_u64(cursor, &key, &value) == SOMA_OK; ++*entries)
        sum += value;
    return sum;
}

/* Whether a cursor's entries are those of an instant. */
static int is_of_an_instant(soma_cursor *cursor)
{
    uint64_t entries;
    const uint64_t sum = sum_of(cursor, &entries);
    soma_cursor_close(cursor);
    return entries == ARTICLES && (sum == ARTICLES * PRICE || sum == ARTICLES * PRICE + 1);
}

int main(void)
{
    pthread_t thread;
    soma_view *view;
    soma_u64 *copy;
    soma_cursor *cursor;
    uint64_t key = 0;
    uint64_t value = 0;
    if (soma_u64_new(NULL, &prices) != SOMA_OK)
        return 1;
    for (uint64_t article = 0; article < ARTICLES; article++)
        (void)soma_u64_put(prices, article, PRICE, NULL);
    pthread_create(&thread, NULL, reprice, NULL);
    if (soma_u64_view_open(prices, &view) != SOMA_OK)
        return 1;

    const int ended = soma_u64_copy(view, NULL, half, NULL, &copy) == SOMA_END; /* there is no copy now */
    int good = ended && soma_u64_copy(view, NULL, NULL, NULL, &copy) == SOMA_OK;
    good = good && soma_cursor_open_u64(copy, &cursor) == SOMA_OK && is_of_an_instant(cursor);
    good = good && soma_cursor_open_sorted(view, &cursor) == SOMA_OK;
    for (uint64_t article = 0; good && article < 3; article++) {
        good = soma_cursor_next_u64(cursor, &key, &value) == SOMA_OK && key == article;
        printf("article %" PRIu64 ": %" PRIu64 "\n", key, value);
    }
    good = good && soma_cursor_seek(cursor, 0) == SOMA_OK && is_of_an_instant(cursor);

    atomic_store(&closing, true);
    pthread_join(thread, NULL);
    soma_view_close(view);
    soma_u64_free(prices);
    soma_u64_free(copy);
    return good ? 0 : 1;
}
