/* SPDX-License-Identifier: ISC */
/* threads.c - threads that come and go, and end in every way they may: by returning, inside an open section, cancelled,
 * with a destructor of the program's own that uses Soma after Soma's has run. Nothing may be held up or lost. */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kinds.h"
#include "support.h"

#define THREADS 2000
#define AT_ONCE 8
#define KEYS 50
#define VALUES (2 * KEYS) /* a thread's puts: each key twice */

struct run {
    const struct kind *kind;
    void *map;
    atomic_uchar *retired; /* by value */
    atomic_uint calls;
    atomic_uint destructions;
    pthread_key_t key;
};

struct short_lived {
    struct run *run;
    pthread_t thread;
    uint64_t number;
    sem_t worked;
};

static void count_up(void *arg)
{
    atomic_fetch_add((atomic_uint *)arg, 1);
}

static void note_value(uint64_t value, void *ctx)
{
    const struct run *run = ctx;
    if (EXPECT(value < (uint64_t)THREADS * VALUES))
        atomic_fetch_add(&run->retired[value], 1);
}

static void work(const struct short_lived *self)
{
    struct run *run = self->run;
    for (uint64_t i = 0; i < VALUES; i++) {
        const enum soma_status want = i < KEYS ? SOMA_INSERTED : SOMA_REPLACED;
        EXPECT_EQ(run->kind->put(run->map, self->number * KEYS + i % KEYS, self->number * VALUES + i, NULL), want);
    }
    EXPECT_EQ(soma_retire(count_up, &run->calls), SOMA_OK);
}

/* Of each four threads, one each: returns, ends inside a section, ends inside two, is cancelled outside Soma. */
static void *live(void *arg)
{
    struct short_lived *self = arg;
    if (pthread_setspecific(self->run->key, self) != 0)
        abort();
    work(self);
    switch (self->number % 4) {
    case 1:
        soma_read_enter();
        pthread_exit(NULL);
    case 2:
        soma_read_enter();
        soma_read_enter();
        EXPECT_EQ(soma_retire(count_up, &self->run->calls), SOMA_OK);
        pthread_exit(NULL);
    case 3:
        sem_post(&self->worked);
        for (;;) {
            pthread_testcancel(); /* and not in a call that the thread sanitizer wraps: it loses track of the thread */
            sched_yield();
        }
    default:
        return NULL;
    }
}

/* The program's own destructor: in its second round surely after Soma's, since the rounds take turns. */
static void use_at_exit(void *arg)
{
    static __thread int round;
    struct short_lived *self = arg;
    struct run *run = self->run;
    const uint64_t first = self->number * KEYS;
    uint64_t value = 0;
    EXPECT_EQ(run->kind->get(run->map, first + 1, &value), SOMA_OK);
    EXPECT_EQ(value, self->number * VALUES + KEYS + 1);
    if (++round < 2) {
        if (pthread_setspecific(run->key, self) != 0)
            abort();
        return;
    }
    EXPECT_EQ(run->kind->remove(run->map, first, NULL), SOMA_REMOVED);
    EXPECT_EQ(soma_retire(count_up, &run->calls), SOMA_OK);
    atomic_fetch_add(&run->destructions, 1);
}

static void start(struct short_lived *one, struct run *run, uint64_t number)
{
    one->run = run;
    one->number = number;
    sem_init(&one->worked, 0, 0);
    if (pthread_create(&one->thread, NULL, live, one) != 0)
        abort();
}

static void finish(struct short_lived *one)
{
    if (one->number % 4 == 3) {
        while (sem_wait(&one->worked) != 0) {
        }
        pthread_cancel(one->thread);
    }
    pthread_join(one->thread, NULL);
    sem_destroy(&one->worked);
}

/* Values that were replaced or removed have gone, and the others not. */
static void check_gone(const struct run *run)
{
    for (uint64_t value = 0; value < (uint64_t)THREADS * VALUES && failures() == 0; value++) {
        const uint64_t i = value % VALUES;
        EXPECT_EQ(atomic_load(&run->retired[value]), i < KEYS || i == KEYS);
    }
}

static void short_lives(const void *arg)
{
    struct run run = {.kind = arg};
    const struct kind_options options = {.retired = note_value, .ctx = &run};
    struct short_lived lives[AT_ONCE];
    run.retired = need((size_t)THREADS * VALUES, sizeof *run.retired);
    run.map = kind_open(run.kind, &options);
    if (pthread_key_create(&run.key, use_at_exit) != 0)
        abort();
    for (uint64_t number = 0; number < THREADS && failures() == 0; number += AT_ONCE) {
        for (unsigned i = 0; i < AT_ONCE; i++)
            start(&lives[i], &run, number + i);
        for (unsigned i = 0; i < AT_ONCE; i++)
            finish(&lives[i]);
    }
    const double before = now_seconds();
    soma_synchronize_wait();
    EXPECT(now_seconds() - before < 1.0);
    soma_barrier_wait();
    EXPECT_EQ(atomic_load(&run.destructions), THREADS);
    EXPECT_EQ(atomic_load(&run.calls), 2 * THREADS + THREADS / 4);
    check_gone(&run);
    EXPECT_EQ(run.kind->count(run.map), THREADS * (KEYS - 1));
    run.kind->close(run.map);
    soma_barrier_wait();
    for (uint64_t value = 0; value < (uint64_t)THREADS * VALUES && failures() == 0; value++)
        EXPECT_EQ(atomic_load(&run.retired[value]), 1);
    pthread_key_delete(run.key);
    free(run.retired);
    verified((uint64_t)THREADS * VALUES);
}

int main(int argc, char **argv)
{
    const struct test_case cases[] = {{"u64", short_lives, &kinds[0]}, {"map", short_lives, &kinds[1]}};
    return test_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
