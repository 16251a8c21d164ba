/* SPDX-License-Identifier: ISC */
/* stamp.h - time for versions: a map's clock, the stamps that its versions get from it, the views that are open.
 *
 * Source      Stamps decided by whoever needs them first: versioned CAS (Wei et al., PPoPP 2021), Verlib (PPoPP 2024).
 *             A mode that costs nothing while it is off, entered by a grace period: rcu_sync of the Linux kernel.
 * Words       The clock is a number that only views move on: a view takes the number and leaves the next one. Updates get
 *             the number that is there; so those of one number stand between two views.
 *             A version is visible to the view `at` if birth <= at < death.
 * Stamps      A stamp is decided once, after the link that it describes, by a swap to the number just read. Who needs an
 *             undecided one decides it. So an update takes effect at the read of the number that won: who did not see its
 *             link is before it, and who saw it decided the stamp, and is after it.
 *             A version that follows another was born when that one died: the death is a reference to the birth, which
 *             is decided first.
 * Views       A view announces itself in a slot, then takes its number. Who wants to let a dead version go has the death
 *             first, then looks at the slots: either it sees the view, or the view has taken its number later, which
 *             then is no less than the death.
 * Marks       Who decides a stamp marks the stretch of hashes that it belongs to (marks.h): it reads the clock, marks, and reads the
 *             clock again, until both reads agree. So a mark stands before the read of the number that won, and who takes a later
 *             number sees it: a stretch that is not marked after the number of a view has not changed since for any
 *             view that is open now, and never will have.
 * Mode        OFF: nobody keeps versions. The first view turns the mode on and waits for a grace period: afterwards every
 *             update has read that it is on. The last view turns it off: who still keeps versions does no harm.
 */
#ifndef SOMA_STAMP_STAMP_H
#define SOMA_STAMP_STAMP_H

#include <stdbool.h>
#include <stdint.h>

#include <soma/status.h>

#include "base/atom.h"
#include "base/attr.h"
#include "stamp/marks.h"

/* A decided stamp is odd: the number, shifted. */
enum {
    STAMP_NONE = 0, /* as a death: alive */
    STAMP_OPEN = 2, /* to be decided */
};

struct soma__stamps {
    struct atom death;
    struct atom birth;
};

struct soma__slots;

struct soma__clock {
    struct atom mode;  /* views, shifted | OFF, OPENING or OPEN */
    struct atom now;   /* the number that updates get */
    struct atom slots; /* where views announce themselves: struct soma__slots, the newest, or 0 */
    struct atom marks; /* struct soma__marks, the newest, or 0: there are none */
};

void soma__clock_fini(struct soma__clock *clock);

/* order STAMP-1 acquire | guarded by: mode, with all that was read through views that have closed | pairs: STAMP-5
 * weaker: while no view is open, what a view has led to is released before the reads of its user. That the mode is on is known
 * by the grace period before the first view.
 * Whether updates have to keep versions. Inside a section, for which the answer holds if it is yes. */
ALWAYS_INLINE bool soma__clock_runs(const struct soma__clock *clock)
{
    return UNLIKELY(atom_load_acq(&clock->mode) != 0);
}

/* How many views are open, or being opened.
 * order STAMP-14 relaxed | value only, no data behind it | pairs: STAMP-5 */
uint64_t soma__clock_views(const struct soma__clock *clock);

/* Opens a view: its number, and the slot that stands for it until soma__clock_leave(). Marks are to have about so many
 * leaves; if there is no memory for them, changes are not found by them. May wait for a grace period.
 * SOMA_E_INVALID: it would have to wait inside the caller's own section. SOMA_E_NOMEM. Nothing changed then. */
enum soma_status soma__clock_enter_wait(struct soma__clock *clock, unsigned leaves_log2, struct atom **slot,
                                        uint64_t *at);
void soma__clock_leave(struct soma__clock *clock, struct atom *slot);

/* Whether an open view may see what was born and died at these numbers. */
bool soma__clock_needs(const struct soma__clock *clock, uint64_t birth, uint64_t death);

/* order STAMP-6 relaxed | not yet shared: ORDER-3 publishes them | pairs: STAMP-3 */
ALWAYS_INLINE void soma__stamps_init(struct soma__stamps *stamps, uint64_t birth, uint64_t death)
{
    atom_store_rlx(&stamps->birth, birth);
    atom_store_rlx(&stamps->death, death);
}

ALWAYS_INLINE uint64_t soma__stamp_of(uint64_t number)
{
    return number << 1 | 1;
}

/* For a death: when the other one is born. */
ALWAYS_INLINE uint64_t soma__stamp_birth_of(const struct soma__stamps *other)
{
    return (uintptr_t)other;
}

/* Whether it is the death of a version that was linked dead; alive ones have none. */
ALWAYS_INLINE bool soma__stamps_dead(const struct soma__stamps *stamps)
{
    return atom_load_rlx(&stamps->death) != STAMP_NONE; /* ordered by ORDER-1; what is NONE stays so */
}

/* The numbers, decided now if need be; of a dead one, in this order. `hash` is the entry's. Inside a section. */
uint64_t soma__stamp_birth(const struct soma__clock *clock, uint64_t hash, struct soma__stamps *stamps);
uint64_t soma__stamp_death(const struct soma__clock *clock, uint64_t hash, struct soma__stamps *stamps);

/* ---- Changes ---- */

/* Marks a change that has no stamp, after it was made. Inside the section in which it was. */
void soma__clock_changed(const struct soma__clock *clock, uint64_t hash);

/* The first stretch of hashes behind *first, or that has it, in which a view with this number and another, open now, may differ:
 * from *first to *last. False: there is none. */
bool soma__clock_changed_next(const struct soma__clock *clock, uint64_t after, uint64_t *first, uint64_t *last);

/* Whether something has changed there after this number: a view's, or one from soma__clock_token(). */
bool soma__clock_changed_any(const struct soma__clock *clock, uint64_t after, uint64_t first, uint64_t last);

/* A number that no change has had so far, nor a view. False: there is no memory for marks. */
bool soma__clock_token(struct soma__clock *clock, unsigned leaves_log2, uint64_t *token);

#endif
