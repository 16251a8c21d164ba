/* SPDX-License-Identifier: ISC */
/* team.h - threads that start together. */
#ifndef PERF_TEAM_H
#define PERF_TEAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What one thread does; `index` counts from 0. */
typedef void (*team_fn)(void *shared, unsigned index);

/* Runs fn on so many threads; nanoseconds from the first one's start to the last one's end. */
uint64_t team_run(unsigned threads, team_fn fn, void *shared);

/* The same for a given time: sets *stop when it is over, and fn must look at it. Nanoseconds from the first start to
 * the stop, so that threads which get the processor only later do not stretch it. */
uint64_t team_run_for(unsigned threads, team_fn fn, void *shared, double seconds, atomic_bool *stop);

/* Starts and ends so many threads once, so that their stacks and the allocator's records of them are there before
 * memory is measured. */
void team_warm(unsigned threads);

#endif
