/* SPDX-License-Identifier: ISC */
/* stamp.c - see stamp.h. */
#include "stamp/stamp.h"

#include "base/check.h"
#include "base/size.h"
#include "mem/mem.h"
#include "rcu/rcu.h"

/* ---- Stamps ---- */

/* order STAMP-2 seq_cst | guarded by: now | pairs: MARKS-1, ORDER-3, ORDER-6, STAMP-4
 * weaker: the number is read before the link stands, and a view with that number does not find it. */
static uint64_t number_now(const struct soma__clock *clock)
{
    return atom_load_seq(&clock->now);
}

/* order STAMP-11 acquire | guarded by: marks | pairs: STAMP-12 */
static struct soma__marks *marks_of(const struct soma__clock *clock)
{
    return (struct soma__marks *)(uintptr_t)atom_load_acq(&clock->marks); /* STAMP-11 */
}

/* The number now, with which the stretch of this hash has been marked before it was read. It takes another turn for each view
 * that is opened meanwhile. */
static uint64_t number_marked(const struct soma__clock *clock, uint64_t hash)
{
    struct soma__marks *marks = marks_of(clock);
    uint64_t number = number_now(clock);
    while (marks) {
        soma__marks_set(marks, hash, number);
        const uint64_t again = number_now(clock);
        if (LIKELY(again == number))
            break;
        number = again;
    }
    return number;
}

/* Makes an undecided stamp this number, if nobody was first.
 * order STAMP-3 acqrel | guards: the stamp; who reads it is behind the read of the number that won | pairs: STAMP-3, STAMP-6
 * weaker: who goes by a stamp looks at the slots as they were before it was decided. */
static uint64_t decide(struct atom *stamp, uint64_t undecided, uint64_t number)
{
    return atom_cas_acqrel(stamp, &undecided, soma__stamp_of(number)) ? number : undecided >> 1;
}

uint64_t soma__stamp_birth(const struct soma__clock *clock, uint64_t hash, struct soma__stamps *stamps)
{
    const uint64_t birth = atom_load_acq(&stamps->birth); /* STAMP-3 */
    return birth != STAMP_OPEN ? birth >> 1 : decide(&stamps->birth, birth, number_marked(clock, hash));
}

uint64_t soma__stamp_death(const struct soma__clock *clock, uint64_t hash, struct soma__stamps *stamps)
{
    const uint64_t death = atom_load_acq(&stamps->death); /* STAMP-3 */
    ASSERT("stamps: who is asked for a death is dead", death != STAMP_NONE);
    if (death & 1)
        return death >> 1;
    if (death == STAMP_OPEN)
        return decide(&stamps->death, death, number_marked(clock, hash));
    return decide(&stamps->death, death, soma__stamp_birth(clock, hash, (struct soma__stamps *)(uintptr_t)death));
}

/* ---- Slots ---- */

#define SLOTS SIZED(62, 2)

/* A slot: 0, or the number, shifted, SLOT_TAKEN and, while the view may still get a later number, SLOT_PENDING. */
enum {
    SLOT_TAKEN = 1,
    SLOT_PENDING = 2,
    SLOT_SHIFT = 2
};

struct soma__slots {
    struct soma__slots *next; /* constant once listed; only the clock's end frees slots */
    struct atom slot[SLOTS];
};

/* order STAMP-7 release | guards: the block's slots | pairs: STAMP-7, STAMP-8 */
static bool slots_add(struct soma__clock *clock)
{
    struct soma__slots *made = soma__mem_alloc(sizeof *made);
    if (!made)
        return false;
    for (unsigned i = 0; i < SLOTS; i++)
        atom_store_rlx(&made->slot[i], 0);         /* not yet shared: STAMP-7 publishes them */
    uint64_t first = atom_load_rlx(&clock->slots); /* STAMP-7: re-checked by the swap */
    do {
        made->next = (struct soma__slots *)(uintptr_t)first;
    } while (!atom_cas_rel(&clock->slots, &first, (uintptr_t)made)); /* STAMP-7 */
    return true;
}

static const struct soma__slots *slots_first(const struct soma__clock *clock)
{
    return (const struct soma__slots *)(uintptr_t)atom_load_acq(&clock->slots); /* STAMP-7 */
}

/* order STAMP-10 acquire | guarded by: the slot, with all that was read through the view before | pairs: STAMP-4, STAMP-9
 * weaker: who sees the slot of this view does not know of what the one before has read. */
static struct atom *slot_take(struct soma__clock *clock)
{
    const uint64_t least = atom_load_rlx(&clock->now); /* STAMP-10: the number that is taken is no less */
    const uint64_t pending = least << SLOT_SHIFT | SLOT_PENDING | SLOT_TAKEN;
    for (const struct soma__slots *slots = slots_first(clock); slots; slots = slots->next) {
        for (unsigned i = 0; i < SLOTS; i++) {
            struct atom *slot = (struct atom *)(uintptr_t)&slots->slot[i];
            uint64_t word = atom_load_rlx(slot);                 /* STAMP-10: re-checked by the swap */
            if (word == 0 && atom_cas_acq(slot, &word, pending)) /* STAMP-10 */
                return slot;
        }
    }
    return NULL;
}

/* order STAMP-8 seq_cst | guarded by: the slots, with all that was read through views that have closed | pairs: STAMP-4, STAMP-7, STAMP-9
 * weaker: as STAMP-9. Who has a death later than a view's number has read the number that the view left (STAMP-2, STAMP-3,
 * STAMP-4), so it sees the view's slot. */
bool soma__clock_needs(const struct soma__clock *clock, uint64_t birth, uint64_t death)
{
    if (birth >= death)
        return false;
    for (const struct soma__slots *slots = slots_first(clock); slots; slots = slots->next) {
        for (unsigned i = 0; i < SLOTS; i++) {
            const uint64_t word = atom_load_seq(&slots->slot[i]); /* STAMP-8 */
            const uint64_t at = word >> SLOT_SHIFT;
            if (word != 0 && at < death && (at >= birth || (word & SLOT_PENDING) != 0))
                return true;
        }
    }
    return false;
}

/* ---- Mode ---- */

enum {
    MODE_OFF = 0,
    MODE_OPENING = 1, /* on, but some updates may not know */
    MODE_OPEN = 2,
    MODE_MASK = 3,
    MODE_VIEW = 4 /* one view */
};

/* order STAMP-5 release | guards: all that was read through a view that closes; once the mode is open, all updates that kept no versions | pairs: STAMP-1, STAMP-5, STAMP-14
 * Joining guards nothing: the grace period behind it does. */
static void mode_join(struct soma__clock *clock)
{
    uint64_t mode = atom_load_rlx(&clock->mode); /* STAMP-5: re-checked by the swap */
    uint64_t joined;
    do {
        joined = (mode & MODE_MASK) == MODE_OFF ? mode + MODE_VIEW + MODE_OPENING : mode + MODE_VIEW;
    } while (!atom_cas_rlx(&clock->mode, &mode, joined)); /* STAMP-5 */
}

static void mode_leave(struct soma__clock *clock)
{
    uint64_t mode = atom_load_rlx(&clock->mode); /* STAMP-5: re-checked by the swap */
    uint64_t left;
    do {
        left = mode - MODE_VIEW < MODE_VIEW ? MODE_OFF : mode - MODE_VIEW;
    } while (!atom_cas_rel(&clock->mode, &mode, left)); /* STAMP-5 */
}

uint64_t soma__clock_views(const struct soma__clock *clock)
{
    return atom_load_rlx(&clock->mode) / MODE_VIEW; /* STAMP-14 */
}

/* Waits until all updates know that the mode is on. It stays on, since the caller has joined. */
static bool mode_open_wait(struct soma__clock *clock)
{
    uint64_t mode = atom_load_acq(&clock->mode); /* STAMP-5 */
    if ((mode & MODE_MASK) == MODE_OPEN)
        return true;
    if (!soma__grace_wait())
        return false;
    while ((mode & MODE_MASK) == MODE_OPENING &&
           !atom_cas_rel(&clock->mode, &mode, mode - MODE_OPENING + MODE_OPEN)) /* STAMP-5 */
        ;
    return true;
}

/* ---- Marks ---- */

/* Leaves may be this much fewer than asked for, in log2, before they are replaced by more. */
#define MARKS_COARSE_LOG2 SIZED(3, 1)

/* order STAMP-12 release | guards: the marks' shape | pairs: STAMP-11 */
static struct soma__marks *marks_fit(struct soma__clock *clock, unsigned leaves_log2)
{
    struct soma__marks *marks = marks_of(clock);
    if (marks && marks->leaves_log2 + MARKS_COARSE_LOG2 >= leaves_log2)
        return marks;
    struct soma__marks *made = soma__marks_new(leaves_log2, marks);
    uint64_t expected = (uintptr_t)marks;
    if (!made)
        return marks;
    if (atom_cas_rel(&clock->marks, &expected, (uintptr_t)made)) /* STAMP-12 */
        return made;
    made->older = NULL;
    soma__marks_free(made);
    return marks_of(clock);
}

/* Sees to it that marks become complete; whether they are.
 * order STAMP-13 relaxed | value only: what has marked others has read a lower number, by the grace period (GRACE-6) | pairs: STAMP-13 */
static bool marks_settle(struct soma__clock *clock, struct soma__marks *marks)
{
    if (atom_load_rlx(&marks->since) != 0) /* STAMP-13 */
        return true;
    uint64_t cookie = 0;
    const uint64_t fresh = soma__grace_cookie();
    if (atom_cas_rlx(&marks->cookie, &cookie, fresh)) /* STAMP-13 */
        cookie = fresh;
    soma__grace_poll(cookie);
    if (!soma__grace_passed(cookie))
        return false;
    uint64_t none = 0;
    atom_cas_rlx(&marks->since, &none, number_now(clock) + 1); /* STAMP-13 */
    return true;
}

/* Whether all changes after this number are marked, or will be when they get theirs. */
static bool marks_complete(const struct soma__marks *marks, uint64_t after)
{
    const uint64_t since = marks ? atom_load_rlx(&marks->since) : 0; /* STAMP-13 */
    return since != 0 && since <= after + 1;
}

/* The number is read after the change, so it is later than that of every view and token that does not know of it. */
void soma__clock_changed(const struct soma__clock *clock, uint64_t hash)
{
    struct soma__marks *marks = marks_of(clock);
    if (marks)
        soma__marks_set(marks, hash, number_now(clock));
}

bool soma__clock_changed_next(const struct soma__clock *clock, uint64_t after, uint64_t *first, uint64_t *last)
{
    const struct soma__marks *marks = marks_of(clock);
    if (marks_complete(marks, after))
        return soma__marks_next(marks, after, first, last);
    *last = UINT64_MAX;
    return true;
}

bool soma__clock_changed_any(const struct soma__clock *clock, uint64_t after, uint64_t first, uint64_t last)
{
    const struct soma__marks *marks = marks_of(clock);
    return !marks_complete(marks, after) || soma__marks_any(marks, after, first, last);
}

/* Readers that are passing by let a grace period end within a few polls. Otherwise this token will be of little use. */
#define TOKEN_POLLS SIZED(64, 4)

bool soma__clock_token(struct soma__clock *clock, unsigned leaves_log2, uint64_t *token)
{
    struct soma__marks *marks = marks_fit(clock, leaves_log2);
    for (int i = 0; marks && i < TOKEN_POLLS && !marks_settle(clock, marks); i++)
        ;
    *token = atom_add_seq(&clock->now, 1); /* STAMP-4 */
    return marks != NULL;
}

/* ---- Views ---- */

/* order STAMP-4 seq_cst | guards: the slot, before the number is taken; a token: what its owner has read | pairs: MARKS-1, STAMP-2, STAMP-8, STAMP-10, ORDER-1
 * weaker: a version is let go by somebody who does not see the view that needs it; or the view does not find links with
 * stamps from before it. */
enum soma_status soma__clock_enter_wait(struct soma__clock *clock, unsigned leaves_log2, struct atom **slot,
                                        uint64_t *at)
{
    struct soma__marks *marks = marks_fit(clock, leaves_log2);
    if (marks)
        marks_settle(clock, marks); /* so that the grace period below is good for them */
    mode_join(clock);
    enum soma_status status = mode_open_wait(clock) ? SOMA_OK : SOMA_E_INVALID;
    struct atom *taken = NULL;
    while (status == SOMA_OK && !(taken = slot_take(clock))) {
        if (!slots_add(clock))
            status = SOMA_E_NOMEM;
    }
    if (status != SOMA_OK) {
        mode_leave(clock);
        return status;
    }
    if (marks)
        marks_settle(clock, marks);
    *at = atom_add_seq(&clock->now, 1);                    /* STAMP-4 */
    atom_store_rel(taken, *at << SLOT_SHIFT | SLOT_TAKEN); /* STAMP-4: no less than the number that was announced */
    *slot = taken;
    return SOMA_OK;
}

/* order STAMP-9 seq_cst | guards: all that was read through the view | pairs: STAMP-8, STAMP-10
 * weaker: an update keeps a version for the view that has closed, after the sweep that follows has been there. */
void soma__clock_leave(struct soma__clock *clock, struct atom *slot)
{
    uint64_t word = atom_load_rlx(slot); /* STAMP-9: nobody else changes it */
    atom_cas_seq(slot, &word, 0);        /* STAMP-9 */
    mode_leave(clock);
}

void soma__clock_fini(struct soma__clock *clock)
{
    soma__marks_free(marks_of(clock));
    struct soma__slots *slots =
        (struct soma__slots *)(uintptr_t)atom_load_rlx(&clock->slots); /* not shared any more: ordered by the caller */
    while (slots) {
        struct soma__slots *next = slots->next;
        soma__mem_free(slots, sizeof *slots);
        slots = next;
    }
}
