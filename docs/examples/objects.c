/* SPDX-License-Identifier: ISC */
/* objects.c - a table of objects that are found by number, used without a lock, and freed behind their last reader.
 * docs/guide/ownership.md and docs/guide/errors.md tell the story. Answers 0 if every object was freed exactly once. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct session {
    uint64_t number;
    atomic_uint hits;
};

#define SOMA_TYPED_NAME sessions
#define SOMA_TYPED_KEY uint64_t
#define SOMA_TYPED_VALUE struct session *
#include <soma/typed.h>

#define THREADS 4
#define NUMBERS 64
#define CALLS 20000

static struct sessions *table;
static atomic_uint made;
static atomic_uint freed;
static atomic_uint errors;

/* Called once for each object that has left the map, when nobody can be using it any more. */
static void session_retire(uint64_t word, void *ctx)
{
    (void)ctx;
    free(sessions_value_of(word));
    atomic_fetch_add(&freed, 1);
}

/* The map owns the session from SOMA_INSERTED on; on every other answer it is still ours. */
static void open_session(uint64_t number)
{
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL)
        return;
    session->number = number;
    const enum soma_status status = sessions_put_new(table, number, session, NULL);
    if (status == SOMA_INSERTED) {
        atomic_fetch_add(&made, 1);
        return;
    }
    free(session); /* SOMA_EXISTS, or an error: nothing has changed */
    if (status < 0) {
        fprintf(stderr, "session %u: %s\n", (unsigned)number, soma_status_text(status));
        atomic_fetch_add(&errors, 1);
    }
}

/* While this runs the session cannot be freed, whoever removes it. */
static void count_hit(uint64_t number, struct session *session, void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&session->hits, session->number == number);
}

static void hit_shortly(uint64_t number)
{
    (void)sessions_get_with(table, number, count_hit, NULL);
}

/* Between enter and exit the session cannot be freed, whoever removes it. */
static void hit(uint64_t number)
{
    struct session *session;
    soma_read_enter();
    if (sessions_get(table, number, &session) == SOMA_OK)
        atomic_fetch_add(&session->hits, session->number == number);
    soma_read_exit();
}

static void *worker(void *arg)
{
    unsigned random = (unsigned)(uintptr_t)arg;
    for (int i = 0; i < CALLS; i++) {
        random = random * 1103515245 + 12345;
        const uint64_t number = (random >> 16) % NUMBERS;
        if (i % 8 == 0)
            open_session(number);
        else if (i % 8 == 1)
            (void)sessions_remove(table, number, NULL); /* value_retire gets it, later */
        else if (i % 8 == 2)
            hit(number);
        else
            hit_shortly(number);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    const struct soma_u64_options options = {.struct_size = sizeof options, .value_retire = session_retire};
    if (sessions_new(&options, &table) != SOMA_OK)
        return 1;
    for (int t = 0; t < THREADS; t++)
        if (pthread_create(&threads[t], NULL, worker, (void *)(uintptr_t)(t + 1)) != 0)
            return 1;
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    sessions_free(table); /* what is in it goes at once, */
    soma_barrier_wait();  /* and what had left it before is gone now, too */
    printf("%u sessions, %u freed\n", atomic_load(&made), atomic_load(&freed));
    return atomic_load(&made) == atomic_load(&freed) && atomic_load(&errors) == 0 ? 0 : 1;
}
