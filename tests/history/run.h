/* SPDX-License-Identifier: ISC */
/* run.h - threads that do anything with a map, in rounds; after each, with all of them at rest, its history is checked,
 * and what the keys hold then is what the next round starts from. */
#ifndef SOMA_TESTS_HISTORY_RUN_H
#define SOMA_TESTS_HISTORY_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "history.h"
#include "kinds.h"

enum hashes {
    HASHES_GOOD,
    HASHES_SAME, /* byte map: all equal; word map: neighbours, which stay in one bucket as long as one can see */
    HASHES_FEW   /* eight places, many keys at each */
};

enum values {
    VALUES_ANY,  /* of all lengths, where there are lengths; the word map adds to all of them */
    VALUES_LONG, /* no additions */
    VALUES_WORDS /* half of them words, the others too long to be added to */
};

struct setup {
    const char *name;
    const struct kind *kind;
    bool bytes; /* the map is a soma_map */
    enum values values;
    enum hashes hashes;
    uint32_t keys;
    uint64_t cap;   /* deferred_bytes_max; a reader that stays sees to it that it is reached */
    unsigned views; /* how many in 65536 calls open a view or close it, in some rounds */
    bool says_all;  /* only calls that say what they replaced, as graph.h wants them */
};

struct run;

struct tally {
    uint64_t calls;
    uint64_t rounds;
    uint64_t violations;
    uint64_t undecided;
    uint64_t by_verb[HISTORY_VERBS];
    uint64_t effective[HISTORY_VERBS]; /* that changed something */
    uint64_t refused;                  /* for want of memory, or at the cap */
    uint64_t overlaps;                 /* calls beside others on their key */
    uint64_t views;
    double playing; /* seconds */
    double checking;
    unsigned most;
};

/* `stream` chooses among random runs of one seed. */
struct run *run_open(const struct setup *setup, unsigned threads, uint64_t stream);
void run_close(struct run *run);

/* Plays a round, and checks it. False if it does not hold: run_history() says why. */
void run_play(struct run *run, struct tally *tally);
bool run_check(struct run *run, struct tally *tally);
struct history *run_history(struct run *run);

/* A view of the round: these calls of the thread, which are lookups over the interval in which it was opened. */
struct run_view {
    uint32_t first;
    uint32_t count;
};

/* A thread's, in the order of their calls. To be asked for before run_check(). */
const struct run_view *run_views(const struct run *run, unsigned thread, uint32_t *count);

#endif
