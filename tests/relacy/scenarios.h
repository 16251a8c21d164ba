/* SPDX-License-Identifier: ISC */
/* scenarios.h - what the simulated threads do. */
#ifndef SOMA_TESTS_SCENARIOS_H
#define SOMA_TESTS_SCENARIOS_H

#include <stdbool.h>
#include <stdint.h>

#include "model.h"

enum verb {
    END,
    /* On the map; `at` is the key's hash. */
    GET,
    PUT,
    PUT_NEW,
    REPLACE,
    CAS, /* from `expected` */
    REMOVE,
    ADD,
    /* A view, which has the whole map at one instant: open the thread's own; look a key up in it; close it. Close the one that has been
     * open from before, with VIEWED. */
    OPEN,
    SEE,
    SHUT,
    SHUT_FIRST,
    /* Whether marks say that a key has not changed between the view that has been open from before and the thread's own: then
     * it never will have. */
    COMPARE,
    /* What a thread wrote before it stored a value is seen by whoever finds that value: writes a plain word; reads it,
     * if the step before has found `value`. */
    WRITE,
    READ,
    /* Sections of the program. */
    ENTER,
    LEAVE,
    /* Retired memory: close the thread's open chunks and move on; move on; as at the cap. */
    CLOSE,
    WORK,
    RELIEVE,
    /* A call is retired; the barrier, after which the thread's own retired call has been made. */
    RETIRE,
    BARRIER,
    /* `at` steps of taking the highest level out. */
    SHRINK,
    /* Thread exit; it may come back. */
    EXIT,
    FREE,
};

struct step {
    enum verb verb;
    uint64_t at;
    uint64_t value;
    uint64_t expected;
};

enum setting {
    OWN_BARRIERS = 1, /* the kernel offers no barrier on all threads */
    LATE = 2,         /* threads get their records when they first need one, not before */
    TALL = 4,         /* one level of buckets more than the least */
    READY = 8,        /* with TALL: HIGH's bucket is set up */
    GOING = 16,       /* with TALL: the level has left, and its sentinels are about to be taken out */
    CROWDED = 32,     /* the next insertion makes the table grow */
    PENDING = 64,     /* a closed chunk waits, with two entries in it */
    SPARE = 128,      /* there is no memory for thread 0's record */
    VIEWED = 512,     /* a view is open */
    VIEWS = 1024,     /* there are views: all steps together are to be explained by one order */
    AWAY = 256,       /* the homes of the first bucket are taken by others: entries have memory of their own */
};

#define INITIAL_MOST 4
#define STEPS_MOST 6

struct scenario {
    const char *name;
    const char *what;
    unsigned settings;              /* enum setting */
    unsigned outcomes;              /* different ones that must come about, or the scenario has tried nothing */
    uint64_t initial[INITIAL_MOST]; /* hashes of entries that are there before; their values are BEFORE + position */
    struct step steps[MODEL_THREADS][STEPS_MOST];
};

#define BEFORE 100

extern const struct scenario scenarios[];
extern const unsigned scenario_count;

/* The scenario as the model wants it. */
struct model_scenario scenario_of(const struct scenario *scenario);

#endif
