/* SPDX-License-Identifier: ISC */
/* counter.h - what every contestant of the word count looks like: byte strings to counts. The map keeps a copy of each
 * key. Contestants end the program when they are refused something. */
#ifndef PERF_COUNTER_H
#define PERF_COUNTER_H

#include "words/corpus.h"

struct counter_ops {
    const char *name;
    const char *about;
    unsigned colour;

    void *(*create)(void);
    void (*thread_enter)(void);
    void (*thread_leave)(void);
    void (*quiescent)(void); /* the thread holds nothing; called every QUIESCENT_OPS operations */

    void (*add)(void *map, const struct key *key);     /* one more */
    uint64_t (*get)(void *map, const struct key *key); /* 0 if the key is not there */
    uint64_t (*distinct)(void *map);                   /* keys; nobody changes the map meanwhile */
    void (*settle)(void);                              /* waits until what left the map is freed */
};

/* It costs next to nothing, and with more threads than cores a table whose grace periods wait longer than that cannot
 * grow in time. */
#define QUIESCENT_OPS 64

extern const struct counter_ops counter_soma;
extern const struct counter_ops counter_lfht;
extern const struct counter_ops counter_mutex;
extern const struct counter_ops counter_rwlock;

#endif
