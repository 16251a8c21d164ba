/* SPDX-License-Identifier: ISC */
/* clock.h - the one clock of all measurements: monotonic, nanoseconds. */
#ifndef PERF_CLOCK_H
#define PERF_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* What one reading of the clock costs here. It is part of every latency that is reported, and nowhere subtracted. */
double clock_cost_ns(void);

#endif
