/* SPDX-License-Identifier: ISC */
/* backend.c - one program on three kinds of table. Threads count visits to pages and keep each page's last visitor; the sums must be
 * the same on every back-end, whatever the threads did. Without an argument all of them run, one after the other; with
 * `default`, the one that SOMA_BACKEND names. docs/migration.md tells what for.
 *
 * usage: backend [default | lock-free | sharded-mutex | mutex] */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include <soma/backend.h>

#define THREADS 4
#define VISITS 50000
#define PAGES UINT64_C(1000)

struct site {
    soma_any_u64 *visits; /* page to number */
    soma_any_map *last;   /* "page N" to the visitor's name */
};

static void *visitor(void *arg)
{
    const struct site *site = arg;
    uint64_t page = 0;
    for (int i = 0; i < VISITS; i++) {
        page = (page * 29 + 7) % PAGES;
        char key[32];
        char name[32];
        const int key_len = snprintf(key, sizeof key, "page %" PRIu64, page);
        const int name_len = snprintf(name, sizeof name, "visitor %d", i);
        if (soma_any_u64_fetch_add(site->visits, page, 1, NULL) < 0 ||
            soma_any_map_put(site->last, key, (size_t)key_len, name, (size_t)name_len, NULL) < 0)
            return NULL;
    }
    return arg;
}

static bool let_them_in(struct site *site)
{
    pthread_t threads[THREADS];
    bool good = true;
    for (int t = 0; t < THREADS; t++)
        if (pthread_create(&threads[t], NULL, visitor, site) != 0)
            return false;
    for (int t = 0; t < THREADS; t++) {
        void *result;
        pthread_join(threads[t], &result);
        good = good && result;
    }
    return good;
}

static uint64_t all_visits(const struct site *site)
{
    uint64_t total = 0;
    soma_cursor *cursor;
    if (soma_any_cursor_open_u64(site->visits, &cursor) != SOMA_OK)
        return 0;
    uint64_t page;
    uint64_t number;
    while (soma_cursor_next_u64(cursor, &page, &number) == SOMA_OK)
        total += number;
    soma_cursor_close(cursor);
    return total;
}

/* Whether the sums were right; true also where this build lacks the back-end. */
static bool run(enum soma_backend backend)
{
    struct site site = {.visits = NULL};
    if (!soma_backend_built(backend)) {
        printf("%-14s not built\n", soma_backend_name(backend));
        return true;
    }
    bool good = soma_any_u64_new_on(backend, NULL, &site.visits) == SOMA_OK &&
                soma_any_map_new_on(backend, NULL, &site.last) == SOMA_OK && let_them_in(&site);
    const uint64_t total = all_visits(&site);
    good = good && total == (uint64_t)THREADS * VISITS &&
           soma_any_map_count_approx(site.last) == soma_any_u64_count_approx(site.visits);
    printf("%-14s %" PRIu64 " visits to %" PRIu64 " pages%s\n", soma_backend_name(soma_any_u64_backend(site.visits)),
           total, soma_any_u64_count_approx(site.visits), good ? "" : ": WRONG");
    soma_any_u64_free(site.visits);
    soma_any_map_free(site.last);
    return good;
}

int main(int argc, char **argv)
{
    enum soma_backend backend;
    if (argc > 2 || (argc == 2 && soma_backend_parse(argv[1], &backend) != SOMA_OK)) {
        fprintf(stderr, "usage: %s [default | lock-free | sharded-mutex | mutex]\n", argv[0]);
        return 2;
    }
    if (argc == 2)
        return run(backend) ? 0 : 1;
    bool good = true;
    for (int b = SOMA_BACKEND_LOCK_FREE; b <= SOMA_BACKEND_MUTEX; b++)
        good = run((enum soma_backend)b) && good;
    return good ? 0 : 1;
}
