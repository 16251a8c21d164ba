/* SPDX-License-Identifier: ISC */
/* spec.h - what a call's answer says about its key: what must have been there, and what is there afterwards. This is
 * the sequential map that all histories are held against. */
#ifndef SOMA_TESTS_HISTORY_SPEC_H
#define SOMA_TESTS_HISTORY_SPEC_H

#include "history.h"

/* Some value that is not kept track of (explain.h). */
#define STATE_OTHER (UINT64_MAX - 1)

struct step {
    enum {
        WHEN_NEVER, /* no map answers so */
        WHEN_ANY,
        WHEN_IS, /* `when`, which may be absence */
        WHEN_PRESENT,
        WHEN_NOT,  /* present, but not `when` */
        WHEN_WORD, /* absent, or a value that can be added to */
        WHEN_PRESENT_WORD,
        WHEN_NO_WORD
    } guard;
    enum {
        THEN_SAME,
        THEN_SET, /* `then`, which may be absence */
        THEN_ADD
    } effect;
    bool clears;   /* and may remove at any time before it ends */
    bool optional; /* never ended: may as well not take effect */
    uint64_t when;
    uint64_t then;
};

struct step step_of(const struct history_call *call, bool (*is_word)(uint64_t value));

/* Whether the step can be taken on this state; *after is the state then. */
bool step_takes(const struct step *step, bool (*is_word)(uint64_t value), uint64_t state, uint64_t *after);

/* Whether it ever leaves another state. */
static inline bool step_changes(const struct step *step)
{
    return step->effect != THEN_SAME || step->clears;
}

/* Names for people. */
const char *spec_status_name(int status);

#endif
