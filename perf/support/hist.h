/* SPDX-License-Identifier: ISC */
/* hist.h - a histogram of nanoseconds: exact below 64, within 3 % above, and the longest one exactly.
 *
 * A value of e bits falls into one of the 32 equal parts of [2^(e-1), 2^e). */
#ifndef PERF_HIST_H
#define PERF_HIST_H

#include <stdint.h>

#define HIST_PARTS_LOG2 5
#define HIST_BUCKETS ((65 - HIST_PARTS_LOG2) << HIST_PARTS_LOG2)

struct hist {
    uint64_t counts[HIST_BUCKETS];
    uint64_t total;
    uint64_t longest;
};

static inline unsigned hist_bucket(uint64_t ns)
{
    if (ns < UINT64_C(2) << HIST_PARTS_LOG2)
        return (unsigned)ns;
    const unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - HIST_PARTS_LOG2;
    return (shift << HIST_PARTS_LOG2) + (unsigned)(ns >> shift);
}

static inline void hist_add(struct hist *hist, uint64_t ns)
{
    hist->counts[hist_bucket(ns)]++;
    hist->total++;
    if (ns > hist->longest)
        hist->longest = ns;
}

void hist_merge(struct hist *into, const struct hist *from);

/* The largest value that falls into a bucket. */
uint64_t hist_bucket_top(unsigned bucket);

/* How many are longer than what falls into a bucket; HIST_BUCKETS - 1 is the last one. */
uint64_t hist_above(const struct hist *hist, unsigned bucket);

/* The latency that a fraction of all does not exceed; 0.99 is p99. 0 if the histogram is empty. */
uint64_t hist_at(const struct hist *hist, double fraction);

#endif
