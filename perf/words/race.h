/* SPDX-License-Identifier: ISC */
/* race.h - one contestant, one corpus, so many threads: counting, then looking up, then the check of all answers. */
#ifndef PERF_RACE_H
#define PERF_RACE_H

#include "support/hist.h"
#include "words/counter.h"
#include "words/oracle.h"

/* Every so many operations one is timed: seldom enough to leave the throughput alone. */
#define SAMPLE_EVERY 32

struct race {
    const struct counter_ops *ops;
    const struct corpus *corpus;
    const struct oracle *oracle;
    unsigned threads;
};

struct race_phase {
    double mops;
    struct hist hist; /* of the sampled operations, ns */
};

struct race_result {
    struct race_phase counting;
    struct race_phase looking_up;
    double end_bytes;     /* an entry, when the last thread has ended, with what still waits to be freed */
    double settled_bytes; /* an entry, when that is freed */
};

/* In a process of its own. Ends the program with one line if any count is not the oracle's. */
void race_run(const struct race *race, struct race_result *result);

#endif
