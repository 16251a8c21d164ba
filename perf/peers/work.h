/* SPDX-License-Identifier: ISC */
/* work.h - what a map is made to do while the clock runs. */
#ifndef PERF_WORK_H
#define PERF_WORK_H

#include "peers/peer.h"

struct job {
    const struct peer_ops *peer;
    const char *work; /* a mix by its name, "latency", "load", "growth", "scan" or "memory" */
    bool zipf;        /* else uniform */
    uint64_t size;    /* entries */
    unsigned threads;
    double seconds;
};

/* Does it and prints the figures. Ends the program if the map answers wrongly. */
void work(const struct job *job);

/* The clock beside growth: as many threads and readings, for `seconds`, and no map. What is long there is the machine's
 * doing. */
void clock_alone(const struct job *job);

#endif
