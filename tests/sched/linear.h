/* SPDX-License-Identifier: ISC */
/* linear.h - linearizability, one key at a time.
 *
 * Source   Wing & Gong 1993; Lowe 2017, just-in-time linearization; key by key, which is enough, since linearizability
 *          is local (Herlihy & Wing 1990; Horn & Kroening 2015).
 * How      The calls' beginnings and ends are one sequence. A configuration is a state of the key and the calls that
 *          have taken effect but not ended. At each end, every configuration is extended by pending calls in every
 *          possible order; those in which the ending call has taken effect go on. None left: no order explains it.
 * Cost     Linear in the length of the history; in the worst case exponential in the calls that overlap at a time
 *          (64 at most).
 */
#ifndef SOMA_TESTS_SCHED_LINEAR_H
#define SOMA_TESTS_SCHED_LINEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "call.h"

/* A checker's memory, to be used again and again. NULL: none to be had. */
struct linear;

struct linear *linear_new(void);
void linear_free(struct linear *linear);

/* A beginning or an end, in the order of time. */
struct event {
    uint32_t call; /* index of the call */
    bool end;
};

#define LINEAR_HOLDS (-1)
#define LINEAR_TOO_WIDE (-2) /* more overlapping calls, or more configurations, than the checker can follow */

/* Whether calls on one key, from a known state on, have answered as calls one after the other would: LINEAR_HOLDS, or
 * the index of the first call that no order explains. */
int64_t linear_check(struct linear *linear, const struct call *calls, const struct event *events, size_t count,
                     uint64_t state);

/* Whether a call may take effect on its key in this state; *after is the state then. One that failed has changed nothing,
 * and one that has not returned may answer anything. */
bool linear_takes_effect(uint64_t state, const struct call *call, uint64_t *after);

#endif
