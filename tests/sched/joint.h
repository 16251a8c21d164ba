/* SPDX-License-Identifier: ISC */
/* joint.h - linearizability of calls on single keys together with views, each of which is all keys at one instant.
 *
 * Source   As linear.h; but what takes effect at one instant on many keys needs one order for all of them, so a state is that of
 *          all keys.
 * How      As linear.h. What does not change the state takes effect as soon as it may: that leaves the others no less.
 */
#ifndef SOMA_TESTS_SCHED_JOINT_H
#define SOMA_TESTS_SCHED_JOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "call.h"
#include "linear.h"
#include "scenario.h"

/* What a view was seen to hold. */
struct capture {
    unsigned count; /* of known keys */
    bool known[KEYS];
    uint64_t value[KEYS]; /* 0: absent */
};

struct joint;

struct joint *joint_new(void);
void joint_free(struct joint *joint);

/* As linear_check(), from no keys on. */
int64_t joint_check(struct joint *joint, const struct call *calls, const struct capture *captures,
                    const struct event *events, size_t count);

#endif
