/* SPDX-License-Identifier: ISC */
#include "support/team.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "support/clock.h"
#include "support/fail.h"

struct team {
    team_fn fn;
    void *shared;
    pthread_barrier_t start;
};

struct member {
    struct team *team;
    unsigned index;
    pthread_t thread;
    uint64_t start_ns;
    uint64_t end_ns;
};

static void *member_main(void *arg)
{
    struct member *member = arg;
    pthread_barrier_wait(&member->team->start);
    member->start_ns = clock_ns();
    member->team->fn(member->team->shared, member->index);
    member->end_ns = clock_ns();
    return NULL;
}

static struct member *team_start(struct team *team, unsigned threads)
{
    struct member *members = alloc_or_fail(threads * sizeof *members);
    pthread_barrier_init(&team->start, NULL, threads + 1);
    for (unsigned i = 0; i < threads; i++) {
        members[i].team = team;
        members[i].index = i;
        if (pthread_create(&members[i].thread, NULL, member_main, &members[i]) != 0)
            fail("cannot start %u threads", threads);
    }
    pthread_barrier_wait(&team->start);
    return members;
}

/* Waits for all; the first start and the last end. */
static void team_join(struct team *team, struct member *members, unsigned threads, uint64_t *first, uint64_t *last)
{
    *first = UINT64_MAX;
    *last = 0;
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(members[i].thread, NULL);
        *first = members[i].start_ns < *first ? members[i].start_ns : *first;
        *last = members[i].end_ns > *last ? members[i].end_ns : *last;
    }
    pthread_barrier_destroy(&team->start);
    free(members);
}

uint64_t team_run(unsigned threads, team_fn fn, void *shared)
{
    struct team team = {.fn = fn, .shared = shared};
    struct member *members = team_start(&team, threads);
    uint64_t first;
    uint64_t last;
    team_join(&team, members, threads, &first, &last);
    return last - first;
}

uint64_t team_run_for(unsigned threads, team_fn fn, void *shared, double seconds, atomic_bool *stop)
{
    struct team team = {.fn = fn, .shared = shared};
    struct member *members = team_start(&team, threads);
    struct timespec rest = {.tv_sec = (time_t)seconds};
    rest.tv_nsec = (long)((seconds - (double)rest.tv_sec) * 1e9);
    nanosleep(&rest, NULL);
    atomic_store_explicit(stop, true, memory_order_relaxed);
    const uint64_t stopped = clock_ns();
    uint64_t first;
    uint64_t last;
    team_join(&team, members, threads, &first, &last);
    return stopped - first;
}

static void touch(void *shared, unsigned index)
{
    (void)shared;
    (void)index;
    free(alloc_or_fail(1));
}

void team_warm(unsigned threads)
{
    team_run(threads, touch, NULL);
}
