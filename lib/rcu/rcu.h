/* SPDX-License-Identifier: ISC */
/* rcu.h - safe reclamation: read sections, grace periods that are polled instead of waited for, retired memory.
 *
 * A section is two plain stores to a word of the thread's own record: odd while the thread is inside, one more whenever
 * it enters or leaves. A grace period is over once every thread has been seen outside, or with another word, since it
 * started. The story is told in grace.c.
 *
 * Retired memory goes into chunks: one open chunk a thread and owner (a map is an owner), closed when full, released
 * when the grace period that started after the closing is over. The story is told in retire.c.
 *
 * The only room that knows liburcu: a section that the program opens (soma_read_enter) is also one of liburcu's, bp
 * flavor, so that what a program frees through liburcu is safe in it. The sections inside Soma's own calls lend nothing
 * to the program and are not: docs/decisions/0002-read-sections.md has the figures.
 */
#ifndef SOMA_RCU_RCU_H
#define SOMA_RCU_RCU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <soma/status.h>

#include "base/atom.h"
#include "base/attr.h"
#include "base/loan.h"
#include "base/size.h"

/* ---- Whom retired memory belongs to ---- */

/* Bytes are counted per owner and stay at or below deferred_max. The owner lives until its last chunk is released. */
struct soma__owner {
    void (*release)(struct soma__owner *owner, uint64_t a, uint64_t b); /* frees one retired item */
    void (*gone)(struct soma__owner *owner);                            /* the last reference went */
    const void *of;                                                     /* the map, for probes, or NULL */
    struct atom refs;                                                   /* one for the map, one a chunk */
    struct atom deferred;                                               /* bytes taken from the cap */
    uint64_t deferred_max;
};

void soma__owner_init(struct soma__owner *owner, uint64_t deferred_max);
void soma__owner_drop(struct soma__owner *owner);
uint64_t soma__owner_deferred(const struct soma__owner *owner);

/* ---- Threads ---- */

struct soma__chunk;

/* Open chunks are found by owner; a thread that works on more maps than this in turn closes chunks early. */
#define SOMA__OPEN_CHUNKS SIZED(4, 1)

/* Whether a thread has to move retired memory on once it is outside. */
enum soma__due {
    DUE_NOTHING,
    DUE_AGAIN, /* it was somebody else's turn: with the next update */
    DUE_NOW,   /* this section has closed a chunk, or come to the cap */
};

/* One thread's record. Records are never freed; the next thread that starts takes a free one over. */
struct soma__reader {
    /* Written by the thread, read by pollers. */
    struct atom word;   /* odd: inside a section; goes up by one on entry and on exit */
    struct atom busy;   /* odd while the thread runs retired calls */
    struct atom thread; /* kernel thread id */
    struct atom in_use; /* whether a thread holds this record */
#if HAVE_GUARD
    struct atom entered; /* where the program's section began: the address of code */
    struct atom since;   /* and when, in ns; 0: it has none open, or nobody wants to know, or it has been named */
#endif
    struct soma__reader *next; /* constant once the record is listed */
    uint64_t index;            /* constant: for picking a stripe */

    /* The thread's own. */
    uint64_t depth;               /* sections that the program has open */
    uint64_t outer;               /* what the word becomes when the last of them ends; 0: it is not theirs */
    uint64_t due;                 /* enum soma__due: work to be done outside the section */
    bool at_limit;                /* with that work, everybody's open chunks are to be collected */
    int64_t rest;                 /* sections with updates until one sees to its map whatever it has done; see core.h */
    uint64_t tended;              /* shares of growth that the thread has done; see core.c */
    uint64_t tickets[2];          /* numbers that it may give, from the first up to the second; see core.h */
    uint64_t side_word;           /* the thread's word when it last looked which side to use; see retire.c */
    uint64_t side;                /* the side it then saw */
    uint64_t wanted;              /* bytes that a call could not have under its owner's cap */
    struct soma__chunk *prepared; /* where the next soma__retire() goes, */
    uint64_t prepared_bytes;      /* and what it counts */
    struct soma__chunk **prepared_slot;
    struct soma__chunk *open[2][SOMA__OPEN_CHUNKS]; /* by side: see retire.c */
    struct soma__chunk *in_hand;                    /* what it is releasing, */
    uint64_t released;                              /* and how many items of the first of them it has begun with */

    /* The poller's own (whoever holds the claim). */
    uint64_t snapshot ALIGNED(APART);
    bool pending;
} ALIGNED(APART);

/* The calling thread's record. NULL: it has none yet, or this kernel needs barriers in every section; either way
 * soma__section_enter_slow() knows what to do. */
extern __thread struct soma__reader *soma__self __attribute__((tls_model("initial-exec")));

/* A thread without memory for a record shares this one: it can read, but not retire. */
extern struct soma__reader soma__reader_spare;

/* An open section: whose, and what the thread's word becomes when it ends; 0 if it is inside another and leaves the
 * word alone. */
struct soma__section {
    struct soma__reader *self;
    uint64_t after;
};

struct soma__section soma__section_enter_slow(void);

/* Ends a section of a thread without a record of its own. */
void soma__section_spare_left(void);

/* What an update's section leaves behind: if the thread is outside every section, some retired memory is released.
 * Never called for lookups: they may run in signal handlers, where nothing may be freed. */
void soma__section_work(struct soma__reader *self);

/* order RCU-7 relaxed | guards: the section (store, then loads), by the barrier of GRACE-6 | pairs: RCU-8
 * Single writer. The compiler must keep the order; the processor is made to by whoever starts a grace period. */
ALWAYS_INLINE struct soma__section soma__section_open(struct soma__reader *self)
{
    const uint64_t word = atom_load_rlx(&self->word); /* RCU-7 */
    if (UNLIKELY(word & 1))
        return (struct soma__section){.self = self, .after = 0};
    /* order RCU-15 release | guards: all that the thread's sections before this one read | pairs: RCU-8
     * weaker: a poll that finds the thread in its next section already takes the sampled one to be over, as it is, but
     * does not know of its last reads. (C11's release sequences would do, C++20's and C23's would not.) */
    atom_store_rel(&self->word, word + 1);
    atom_compiler_barrier();
    return (struct soma__section){.self = self, .after = word + 2};
}

ALWAYS_INLINE struct soma__section soma__section_enter(void)
{
    struct soma__reader *self = soma__self;
    return LIKELY(self != NULL) ? soma__section_open(self) : soma__section_enter_slow();
}

/* order RCU-1 release | guards: all that the section read | pairs: RCU-8
 * weaker: memory is freed while the section's last reads are still on their way. */
ALWAYS_INLINE void soma__section_close(struct soma__section section)
{
    if (LIKELY(section.after != 0))
        atom_store_rel(&section.self->word, section.after);
}

/* A number that goes on with each of the thread's sections; 0 without a record. Inside one. */
ALWAYS_INLINE uint64_t soma__section_number(const struct soma__reader *self)
{
    return atom_load_rlx(&self->word); /* RCU-7 */
}

/* Ends a lookup's section. */
ALWAYS_INLINE void soma__section_exit(struct soma__section section)
{
    soma__section_close(section);
    if (UNLIKELY(section.self == &soma__reader_spare))
        soma__section_spare_left();
}

/* Ends an update's section; whether there is work to be done now (soma__section_work). The thread is told before it is
 * outside, so that no signal handler takes the work over. */
ALWAYS_INLINE bool soma__section_end(struct soma__section section)
{
    struct soma__reader *self = section.self;
    bool due = false;
    if (UNLIKELY(self->due != DUE_NOTHING)) {
        due = section.after != 0 || self == &soma__reader_spare;
        if (self != &soma__reader_spare)
            self->due = due ? DUE_NOTHING : DUE_NOW; /* inside the program's section: when that ends */
    }
    soma__section_close(section);
    return due;
}

/* ---- What debug builds watch over ---- */

#if HAVE_GUARD

/* Whether the thread is inside a section, the program's or one of a call of Soma's. */
bool soma__section_inside(void);

/* What a call lends: a copy for as long as the program's section. Complains if there is none. Behind the call's own
 * section. */
const void *soma__section_lend(const void *bytes, size_t len, const char *by);

/* Around the callback of an update or a lookup: it writes nothing (guard.h), and closes the sections that it opens. What it calls is
 * over when it returns: then the thread is in the call that it was in before. */
struct soma__callback {
    uint64_t depth;
    const char *call;
};

struct soma__callback soma__callback_begins(void);
void soma__callback_ends(const struct soma__callback *callback, const char *where);

/* Around any other function of the program's: it closes the sections that it opens, does not free the map that calls it (NULL: none does),
 * and, when it is told of a stall, waits for nobody. `from` is where the program has named it. */
struct soma__callout {
    struct soma__callback base;
    const void *of;
    bool stalled;
};

struct soma__callout soma__callout_begins(const void *map, bool of_stall);
void soma__callout_ends(const struct soma__callout *callout, const char *from);

/* Whether the thread is in a function that is told of a stall. */
bool soma__callout_stalled(void);

/* Whether an update that wants to wait at the cap may; names the call if not, the `first` time. */
bool soma__callout_may_wait(bool wants, bool first, const char *where);

/* Names a section that is open for too long. */
void soma__section_watch(struct soma__reader *reader);

/* `bytes` is a struct soma_bytes *, or NULL. */
#define LEND(bytes)                                                                                                    \
    ((bytes) ? (void)((bytes)->data = soma__section_lend((bytes)->data, (bytes)->len, __func__)) : (void)0)

/* An array of them, or NULL. */
#define LEND_MANY(array, n)                                                                                            \
    do {                                                                                                               \
        for (size_t lent_ = 0; (array) && lent_ < (n); lent_++)                                                        \
            LEND(&(array)[lent_]);                                                                                     \
    } while (0)

/* Those of them whose bits are set: the others are not the map's to lend. */
#define LEND_SOME(array, n, bits)                                                                                      \
    do {                                                                                                               \
        for (size_t lent_ = 0; (array) && lent_ < (n); lent_++) {                                                      \
            if (((bits) >> lent_ & 1) != 0)                                                                            \
                LEND(&(array)[lent_]);                                                                                 \
        }                                                                                                              \
    } while (0)

#define CALLBACK_BEGINS() const struct soma__callback callback = soma__callback_begins()
#define CALLBACK_ENDS() soma__callback_ends(&callback, __func__)
#define CALLOUT_BEGINS(map) const struct soma__callout callout = soma__callout_begins((map), false)
#define CALLOUT_OF_STALL_BEGINS(map) const struct soma__callout callout = soma__callout_begins((map), true)
#define CALLOUT_ENDS(from) soma__callout_ends(&callout, (from))
#define IN_CALLOUT_OF_STALL() soma__callout_stalled()
#define MAY_WAIT(wants, first) soma__callout_may_wait((wants), (first), __func__)

#else

#define LEND(bytes) ((void)0)
#define LEND_MANY(array, n) ((void)0)
#define LEND_SOME(array, n, bits) ((void)0)
#define CALLBACK_BEGINS() ((void)0)
#define CALLBACK_ENDS() ((void)0)
#define CALLOUT_BEGINS(map) ((void)0)
#define CALLOUT_OF_STALL_BEGINS(map) ((void)0)
#define CALLOUT_ENDS(from) ((void)0)
#define IN_CALLOUT_OF_STALL() false
#define MAY_WAIT(wants, first) (wants)

#endif

/* ---- Grace periods ---- */

/* What must have passed before memory unlinked by now may be freed. Never 0. */
uint64_t soma__grace_cookie(void);

/* The same for what this thread itself has unlinked, without a write that all threads share. */
uint64_t soma__grace_cookie_near(void);

bool soma__grace_passed(uint64_t cookie);

/* Moves grace periods on towards the cookie, without waiting; does nothing if another thread is at it. Any state. */
void soma__grace_poll(uint64_t cookie);

/* Waits until a grace period that starts now is over. False: inside a section it would wait for itself; it has not. */
bool soma__grace_wait(void);

/* Whether it would, now. */
bool soma__grace_may_wait(void);

struct soma__stall {
    uint64_t grace;     /* the number of the grace period */
    uint64_t waited_ns; /* 0: none is pending */
    int64_t thread;     /* a reader that it waits for, or 0 */
};

/* The pending grace period, as the last poll saw it. */
struct soma__stall soma__grace_stall(void);

/* What has been so far. */
struct soma__grace_past {
    uint64_t passed;     /* grace periods */
    uint64_t longest_ns; /* that one of them, or the pending one, was seen to wait for readers */
};

struct soma__grace_past soma__grace_past(void);

/* Goes up in every forked child: work that a thread had claimed under another number was never finished. */
uint64_t soma__fork_generation(void);

/* ---- Retiring ---- */

/* Makes room for one item of this many bytes, so that the soma__retire() that follows in the same section cannot
 * fail. SOMA_E_NOMEM: no memory for a chunk. SOMA_E_LIMIT: the owner's cap is reached. */
enum soma_status soma__retire_prepare(struct soma__reader *self, struct soma__owner *owner, uint64_t bytes);

/* Hands (a, b) to owner->release() after a grace period. Right after soma__retire_prepare(), whose bytes it counts. */
void soma__retire(struct soma__reader *self, uint64_t a, uint64_t b);

/* The memory that a batch of retired items takes, and how many items it takes at the most; it is also closed when it has so many
 * bytes of them. */
#define SOMA__CHUNK_ITEMS SIZED(252, 2)
#define SOMA__CHUNK_RETIRED_BYTES ((uint64_t)64 << 10)
size_t soma__chunk_bytes(void);

/* Whether the thread can retire, and may wait for readers. SOMA_E_INVALID: it is inside a section of its own, or a retired
 * call. SOMA_E_NOMEM: it has no record. */
enum soma_status soma__retire_may_wait(void);

/* Tries to get an owner below its cap: closes chunks, polls, releases. Outside of Soma's own sections. Whether another
 * try is worth it: there is room, or, with `wait`, it has slept a little. Never so if the caller's own section is open, or the
 * thread holds work back. */
bool soma__retire_relieve(struct soma__owner *owner, bool wait);

/* ---- Holding work back ----
 *
 * For who holds locks that functions of the program's may want: between the two, which nest, the thread's updates run no retired
 * calls of anybody's and wait for no readers, and no cap refuses what they retire, since they cannot get below one. What is due
 * waits, and is done when the last of the two is over, or, inside the caller's own section, when that is. */
void soma__work_hold(void);
void soma__work_resume(void);
bool soma__work_held(void);

#endif
