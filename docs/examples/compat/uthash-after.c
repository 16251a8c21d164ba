/* SPDX-License-Identifier: ISC */
/* uthash-after.c - the program of uthash-before.c without its mutex: the same elements and macros, in a table that threads share. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define SOMA_COMPAT_UTHASH_NAMES
#include <soma/compat/uthash.h>

#define THREADS 4
#define REQUESTS 40000
#define CLIENTS 1000

struct session {
    int client;
    atomic_ulong requests; /* the mutex guarded this field, too */
    UT_hash_handle hh;
};

static struct session *sessions;

/* Finds the client's session, or begins one. Of several threads that begin one, the first wins. */
static void request(int client)
{
    struct session *session, *fresh;
    soma_read_enter();
    HASH_FIND_INT(sessions, &client, session);
    if (!session) {
        fresh = calloc(1, sizeof *fresh);
        if (!fresh)
            exit(1);
        fresh->client = client;
        SOMA_HASH_ADD_NEW(hh, sessions, client, sizeof client, fresh, session);
        if (session)
            free(fresh);
        else
            session = fresh;
    }
    session->requests++;
    soma_read_exit();
}

/* Ends a session; returns how many requests it had. */
static unsigned long end(int client)
{
    struct session *session;
    unsigned long requests = 0;
    soma_read_enter();
    SOMA_HASH_TAKE(hh, sessions, &client, sizeof client, session);
    if (session) {
        requests = session->requests;
        SOMA_HASH_RETIRE(free, session); /* somebody may be using it: freed when all have left their sections */
    }
    soma_read_exit();
    return requests;
}

static void *worker(void *arg)
{
    for (int i = 0; i < REQUESTS; i++)
        request(i % CLIENTS);
    return arg;
}

static int by_client(const struct session *a, const struct session *b)
{
    return a->client - b->client;
}

int main(void)
{
    pthread_t threads[THREADS];
    for (int t = 0; t < THREADS; t++)
        pthread_create(&threads[t], NULL, worker, NULL);
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    printf("client 7 had %lu requests\n", end(7));
    printf("%u sessions are open; the first ones:\n", HASH_COUNT(sessions));

    struct session *session, *tmp, **sorted;
    size_t count;
    SOMA_HASH_SORTED(hh, sessions, by_client, sorted, count);
    for (size_t i = 0; i < count && sorted[i]->client < 10; i++)
        printf("  client %d: %lu requests\n", sorted[i]->client, sorted[i]->requests);
    free(sorted);

    unsigned long requests = 0;
    HASH_ITER(hh, sessions, session, tmp) {
        requests += session->requests;
        HASH_DEL(sessions, session);
        free(session); /* at once: no other thread is left */
    }
    printf("%lu requests in the rest\n", requests);
    HASH_CLEAR(hh, sessions);
    soma_barrier_wait(); /* what was retired is freed: nothing is left for a leak checker to find */
    return 0;
}
