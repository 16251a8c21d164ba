/* SPDX-License-Identifier: ISC */
/* uthash-before.c - sessions of a server in a uthash table behind a mutex: found or begun, counted, ended, listed. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <uthash.h>

#define THREADS 4
#define REQUESTS 40000
#define CLIENTS 1000

struct session {
    int client;
    unsigned long requests;
    UT_hash_handle hh;
};

static struct session *sessions;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Finds the client's session, or begins one. */
static void request(int client)
{
    struct session *session;
    pthread_mutex_lock(&lock);
    HASH_FIND_INT(sessions, &client, session);
    if (!session) {
        session = calloc(1, sizeof *session);
        if (!session)
            exit(1);
        session->client = client;
        HASH_ADD_INT(sessions, client, session);
    }
    session->requests++;
    pthread_mutex_unlock(&lock);
}

/* Ends a session; returns how many requests it had. */
static unsigned long end(int client)
{
    struct session *session;
    unsigned long requests = 0;
    pthread_mutex_lock(&lock);
    HASH_FIND_INT(sessions, &client, session);
    if (session) {
        HASH_DEL(sessions, session);
        requests = session->requests;
        free(session);
    }
    pthread_mutex_unlock(&lock);
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

    struct session *session, *tmp;
    HASH_SORT(sessions, by_client);
    for (session = sessions; session && session->client < 10; session = session->hh.next)
        printf("  client %d: %lu requests\n", session->client, session->requests);

    unsigned long requests = 0;
    HASH_ITER(hh, sessions, session, tmp) {
        requests += session->requests;
        HASH_DEL(sessions, session);
        free(session);
    }
    printf("%lu requests in the rest\n", requests);
    return 0;
}
