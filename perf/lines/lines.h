/* SPDX-License-Identifier: ISC */
/* lines.h - which cache lines go from thread to thread, and why: a model of caches fed with every access that the compiler
 * shows. */
#ifndef PERF_LINES_H
#define PERF_LINES_H

enum canary {
    CANARY_ONE_LINE, /* two threads' counters on one line */
    CANARY_APART,    /* on two */
    CANARY_ONE_WORD, /* one counter of both */
    CANARIES
};

/* One addition to a thread's counter. */
void canary_step(enum canary canary, unsigned thread);

#endif
