/* SPDX-License-Identifier: ISC */
/* runner.h - threads that do anything with a map, in rounds; after each, every key's history is checked.
 *
 * Recording takes no lock: a thread writes its calls into a log of its own, with times from one counter that all
 * increase (a read-modify-write each, so the order of times is an order of the calls). Between rounds nobody is at the
 * map, so what a round leaves behind is what the next one starts from, and any number of calls fits into the same
 * memory.
 */
#ifndef SOMA_TESTS_HISTORIES_RUNNER_H
#define SOMA_TESTS_HISTORIES_RUNNER_H

#include <stdbool.h>
#include <stdint.h>

#include "kinds.h"

enum hashes {
    HASHES_GOOD,
    HASHES_CLOSE, /* words: neighbours in one bucket; bytes: all the same */
    HASHES_FEW,   /* eight places, many keys at each */
};

struct setup {
    const char *name;
    const struct kind *kind;
    bool bytes;       /* the kind is the byte map, or wraps it */
    bool long_values; /* byte map: values of all lengths, and so no fetch_add */
    enum hashes hashes;
    uint32_t keys;
    unsigned threads;
    uint32_t round; /* calls of a thread in a round */
};

struct tally {
    uint64_t calls;
    uint64_t violations;
    uint64_t rounds;
    uint64_t graph_nodes; /* calls that went through the graph of dependencies as well */
};

#define THREADS_MAX 16

/* Goes on until so many calls are checked or the time is over or a violation was found, which is told on standard
 * error unless `quiet`. */
void run_setup(const struct setup *setup, uint64_t calls, double until, bool quiet, struct tally *tally);

#endif
