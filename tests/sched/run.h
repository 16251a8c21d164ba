/* SPDX-License-Identifier: ISC */
/* run.h - one run: threads as coroutines, of which one at a time executes, and who goes on at each step.
 *
 * A step is an atomic access, an allocation, a system call or the end of a thread. A schedule is all that was decided:
 * at which steps another thread went on than the one before, which loads answered an older store, which allocations
 * failed, where the signal came. It says all that there is to say about a run, so a run can be had again from it.
 */
#ifndef SOMA_TESTS_SCHED_RUN_H
#define SOMA_TESTS_SCHED_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine.h"

#define DECISIONS_MAX 4096

struct decisions {
    unsigned count;
    struct decision {
        uint32_t at;   /* the step, or the number of the load or allocation */
        uint8_t value; /* the thread that goes on; how much older the store is; 1 */
    } list[DECISIONS_MAX];
};

struct schedule {
    bool weak;
    bool calls_ordered; /* who enters a call knows all that those who left one knew */
    struct decisions switches;
    struct decisions stale;
    struct decisions failed;
    struct decisions signals;
};

/* What runs. */
struct program {
    unsigned threads;
    void (*set_up)(void *arg);
    void (*body)(unsigned thread, void *arg);
    void (*signal)(unsigned thread, void *arg); /* a handler that may interrupt a thread once; may be NULL */
    bool (*may_signal)(unsigned thread, void *arg);
    void (*check)(void *arg);
    void *arg;
    uint32_t steps_max; /* more is a run that does not end */
    bool faults;        /* allocations may fail */
    bool no_membarrier; /* the kernel has none */
};

enum strategy_kind {
    STRATEGY_RANDOM, /* another thread goes on now and then */
    STRATEGY_PCT,    /* priorities, lowered at depth - 1 random steps (Burckhardt et al. 2010) */
    STRATEGY_BOUND,  /* every schedule with at most `depth` preemptions, one after the other */
    STRATEGY_REPLAY, /* a given schedule */
};

struct strategy {
    enum strategy_kind kind;
    unsigned depth;
    uint64_t seed;
    bool weak;      /* half of the runs are weak */
    uint32_t steps; /* how many a run has, about; for PCT and signals */
    unsigned stale; /* one load in so many that may answer an older store does */
    const struct schedule *replay;

    /* STRATEGY_BOUND's own: the preemptions of this run, and how many threads come in which order. */
    struct decisions preemptions;
    unsigned order;
};

struct outcome {
    bool failed;
    uint32_t steps;
    char why[400];
};

/* Runs the program once; *schedule is what was decided. */
void run_once(const struct program *program, const struct strategy *strategy, enum machine_bug bug,
              struct schedule *schedule, struct outcome *outcome);

/* The next run of STRATEGY_BOUND after one with this outcome; false: there is none. */
bool strategy_advance(struct strategy *strategy, unsigned threads, uint32_t steps);

/* ---- For the library's calls (runtime.c) ---- */

/* Another thread may go on before what comes next. */
void run_point(void);
/* A signal may come before a plain access, too. */
void run_moment(void);
/* Whether the thread that executes is in the handler. */
bool run_in_handler(void);
/* Another thread has to go on, if there is one. */
void run_yield(void);
bool run_should_fail(void);
void run_signals_blocked(bool blocked);
void *run_exit_value(void);
void run_set_exit_value(void *value);
void run_on_exit(void (*destructor)(void *value));

/* ---- For programs ---- */

/* The thread that runs; 0 sets up and checks. */
unsigned run_thread(void);

/* Around each call of a program: an order in real time, if this run has one. */
void run_call_entered(void);
void run_call_left(void);
bool run_calls_ordered(void);
/* Whether loads may answer older stores in this run. */
bool run_is_weak(void);

/* A crash of the library is a failure of the run, and not of the scheduler. */
void run_catch_crashes(void);

/* ---- The library under test (library.c) ---- */

void library_find(void);
/* A part of the library's globals that stays as it is from run to run: counters of coverage. */
void library_keep(const void *from, const void *to);
/* As it was when it was loaded, on a kernel with or without membarrier(2). */
void library_reset(bool membarrier);
size_t library_tls_size(void);
void *library_tls(void);
const void *library_tls_initial(void);

#endif
