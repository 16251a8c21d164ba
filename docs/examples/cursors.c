/* SPDX-License-Identifier: ISC */
/* cursors.c - a shop's stock while it is being sold: summed up by four threads, each on its part, and listed in pages, each
 * page by a cursor of its own. The keys that nobody sells out are counted once, however much goes on. */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include <soma/soma.h>

#define ARTICLES UINT64_C(100000)
#define KEPT UINT64_C(1000) /* articles below are never sold */
#define THREADS 4

static soma_u64 *stock;
static atomic_bool closing;

/* Sells articles out and buys them again. */
static void *shop(void *arg)
{
    for (uint64_t i = 0; !atomic_load(&closing); i++) {
        const uint64_t article = KEPT + i * 7919 % (ARTICLES - KEPT);
        if (soma_u64_remove(stock, article, NULL) == SOMA_ABSENT)
            (void)soma_u64_put(stock, article, 1, NULL);
    }
    return arg;
}

struct part {
    uint32_t number;
    uint64_t kept;
};

static void *count_part(void *arg)
{
    struct part *part = arg;
    soma_cursor *cursor;
    uint64_t article;
    if (soma_cursor_open_u64(stock, &cursor) != SOMA_OK)
        return NULL;
    soma_cursor_part(cursor, part->number, THREADS);
    while (soma_cursor_next_u64(cursor, &article, NULL) == SOMA_OK)
        part->kept += article < KEPT;
    soma_cursor_close(cursor);
    return arg;
}

static uint64_t count_by_parts(void)
{
    struct part parts[THREADS] = {{.number = 0}};
    pthread_t threads[THREADS];
    uint64_t kept = 0;
    for (uint32_t t = 0; t < THREADS; t++) {
        parts[t].number = t;
        pthread_create(&threads[t], NULL, count_part, &parts[t]);
    }
    for (uint32_t t = 0; t < THREADS; t++) {
        pthread_join(threads[t], NULL);
        kept += parts[t].kept;
    }
    return kept;
}

/* One page, as a server would make it: it knows of the pages before only their last token. */
static uint64_t page(uint64_t token, unsigned lines, uint64_t *kept)
{
    soma_cursor *cursor;
    uint64_t article;
    if (soma_cursor_open_u64(stock, &cursor) != SOMA_OK)
        return 0;
    soma_cursor_seek(cursor, token);
    for (; lines > 0; lines--) {
        if (soma_cursor_next_u64(cursor, &article, NULL) != SOMA_OK)
            break;
        *kept += article < KEPT;
    }
    token = lines > 0 ? 0 : soma_cursor_token(cursor); /* 0: this was the last page */
    soma_cursor_close(cursor);
    return token;
}

int main(void)
{
    pthread_t seller;
    if (soma_u64_new(NULL, &stock) != SOMA_OK)
        return 1;
    for (uint64_t article = 0; article < ARTICLES; article++)
        (void)soma_u64_put(stock, article, 1, NULL);
    pthread_create(&seller, NULL, shop, NULL);

    const uint64_t by_parts = count_by_parts();
    uint64_t by_pages = 0;
    uint64_t token = 0;
    unsigned pages = 0;
    do {
        token = page(token, 500, &by_pages);
        pages++;
    } while (token != 0);

    atomic_store(&closing, true);
    pthread_join(seller, NULL);
    soma_u64_free(stock);
    printf("%" PRIu64 " articles by parts, %" PRIu64 " on %u pages\n", by_parts, by_pages, pages);
    return by_parts == KEPT && by_pages == KEPT ? 0 : 1;
}
