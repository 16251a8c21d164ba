/* SPDX-License-Identifier: ISC */
/* tally.h - how often a map's operations got in each other's way, and what else is rare. By stripes, so that counting moves no
 * line between cores, and only where something has happened that an operation which nothing gets in the way of never sees. */
#ifndef SOMA_BASE_TALLY_H
#define SOMA_BASE_TALLY_H

#include <stdint.h>

#include "base/atom.h"
#include "base/attr.h"
#include "base/size.h"

/* A power of two. */
#define TALLY_STRIPES SIZED(8, 2)

enum soma__event {
    EVENT_RETRY,       /* an update starts again because another one got in its way */
    EVENT_HELP_LINK,   /* a walk has taken the mark of an insertion off that was under way */
    EVENT_HELP_UNLINK, /* a walk takes out an entry that is deleted but still linked, or tries to */
    EVENT_HELP_BUCKET, /* a walk takes out a sentinel that is going, or finishes one that is coming */
    EVENT_HELP_GROW,   /* an update sets up a block of new buckets */
    EVENT_GROW,        /* the table has more buckets */
    EVENT_SHRINK,      /* a level of buckets has been given back */
    EVENT_LIMIT,       /* a try of an update found the cap on deferred memory reached */
    EVENT_STALL,       /* an update found a grace period that waits for too long */
    EVENTS
};

/* One stripe's. They stand APART, with other counters of the same stripe before them. */
struct soma__tally {
    struct atom events[EVENTS];
};

ALWAYS_INLINE struct atom *soma__tally_at(const struct soma__tally *first, uint64_t stripe, enum soma__event event)
{
    const uintptr_t tally = (uintptr_t)first + stripe % TALLY_STRIPES * APART;
    return &((struct soma__tally *)tally)->events[event];
}

/* Counts an event in a stripe; `first` is stripe 0's. Inline, since a call would cost the paths beside it registers.
 * order TALLY-1 relaxed | value only, no data behind it | pairs: TALLY-1 */
ALWAYS_INLINE void soma__tally_count(struct soma__tally *first, uint64_t stripe, enum soma__event event)
{
    atom_add_rlx(soma__tally_at(first, stripe, event), 1); /* TALLY-1 */
}

/* How often there was one, in all stripes. */
ALWAYS_INLINE uint64_t soma__tally_sum(const struct soma__tally *first, enum soma__event event)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < TALLY_STRIPES; i++)
        sum += atom_load_rlx(soma__tally_at(first, i, event)); /* TALLY-1 */
    return sum;
}

#endif
