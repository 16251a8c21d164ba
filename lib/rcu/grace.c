/* SPDX-License-Identifier: ISC */
/* grace.c - grace periods, polled.
 *
 * Source      The Linux kernel's dynticks sampling: snapshot a counter of each CPU, odd or even, and come back to see
 *             whether it has moved. The asymmetric barrier is membarrier(2), as liburcu uses it.
 * Why         liburcu can wait for a grace period but, up to 0.13, not start one and come back. Waiting takes a mutex and
 *             a thread to wait in; a map operation may have neither. docs/decisions/0001-polled-grace-periods.md.
 * Shape       started, completed: numbers of grace periods. A grace period is pending while they differ.
 * Start       With the claim held: started goes up by one; a barrier makes all threads' sections visible and all
 *             unlinking visible to later sections; each thread's word is noted.
 * End         When every thread whose word was odd has been seen with another. Then completed = started.
 * Invariants  G1. Who unlinked something and then read started = k gets cookie k+1; that grace period starts later, so
 *             every section that could have found the thing is sampled inside, or is over.
 *             G2. A word changes last thing in a section, after its last read. A word that was odd and is another means
 *             that the section that was sampled is over.
 *             G3. completed never passes started, and started is at most one ahead.
 * Takes effect  A grace period is over at GRACE-3.
 * Progress    A poll is one bounded scan, and whoever finds another thread polling goes away. Grace periods as such
 *             depend on readers leaving, and on the claim's holder being scheduled.
 * Not here    Chunks (retire.c), records (reader.c).
 */
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <soma/rcu.h>

#include "base/cancel.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/probe.h"
#include "rcu/private.h"

static struct {
    struct atom claim ALIGNED(APART);
    struct atom started ALIGNED(APART);
    struct atom completed;
    struct atom start_ns; /* when the pending grace period started */
    struct atom seen_ns;  /* when it was last seen not to be over */
    struct atom blocker;  /* a thread that it waits for */
    struct atom longest;  /* the longest that one was seen to wait for, in ns */
} grace;

bool soma__claim_try(void)
{
    /* order GRACE-1 acquire | guarded by: claim | pairs: GRACE-2
     * weaker: the state behind the claim is seen half-written. */
    uint64_t unclaimed = 0;
    return atom_load_rlx(&grace.claim) == 0 && atom_cas_acq(&grace.claim, &unclaimed, 1);
}

void soma__claim_drop(void)
{
    /* order GRACE-2 release | guards: the pollers' state | pairs: GRACE-1 */
    atom_store_rel(&grace.claim, 0);
}

/* order GRACE-3 release | guards: the readers' last accesses, seen through RCU-8 | pairs: GRACE-4
 * weaker: memory is freed before its last reader's accesses. */
static void complete(uint64_t number)
{
    atom_store_rel(&grace.completed, number);
    SOMA_PROBE1(grace_end, number);
}

/* order GRACE-4 acquire | guarded by: completed | pairs: GRACE-3 */
bool soma__grace_passed(uint64_t cookie)
{
    return atom_load_acq(&grace.completed) >= cookie;
}

/* order GRACE-5 acqrel | guards: the unlinking before it | pairs: GRACE-6
 * weaker: a grace period that starts later does not know of the unlinking, and sections after it may still find what was
 * unlinked. A read-modify-write, though it changes nothing, so that the start that comes next reads from it. */
uint64_t soma__grace_cookie(void)
{
    return atom_add_acqrel(&grace.started, 0) + 1;
}

/* order GRACE-8 relaxed | guards: the unlinking before it, by the barrier of GRACE-6 | pairs: GRACE-6
 * If this read does not know of a start, the barrier that follows the start comes after this read in the thread, so the
 * unlinking is known to every section that the start does not sample. As in sections, the compiler must keep the order. */
uint64_t soma__grace_cookie_near(void)
{
    if (!soma__membarrier_works())
        return soma__grace_cookie();
    atom_compiler_barrier();
    return atom_load_rlx(&grace.started) + 1;
}

/* A full barrier on every running thread of the process, so that readers need none (RCU-7). Where the kernel has no
 * membarrier, entering is ordered by GRACE-5 itself (see joined_open). */
static void everybody_barrier(void)
{
    if (soma__membarrier_works())
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

/* order RCU-8 acquire | guarded by: word | pairs: RCU-1, RCU-7, RCU-13, RCU-15
 * weaker: memory is freed before the reads of a section that is seen to be over. */
static uint64_t reader_word(const struct soma__reader *reader)
{
    return atom_load_acq(&reader->word);
}

static bool reader_done(struct soma__reader *reader)
{
    if (reader->pending)
        reader->pending = reader_word(reader) == reader->snapshot;
    return !reader->pending;
}

#if HAVE_GUARD
#define WATCH(reader) soma__section_watch(reader)
#else
#define WATCH(reader) ((void)0)
#endif

/* Whether every sampled reader has left; remembers one that has not. */
static bool all_done(void)
{
    if (soma__spare_inside() != 0) {
        atom_store_rlx(&grace.blocker, 0); /* order GRACE-7 relaxed | a hint for people | pairs: GRACE-7, RCU-14 */
        return false;
    }
    for (struct soma__reader *r = soma__readers(); r; r = r->next) {
        if (!reader_done(r)) {
            WATCH(r);
            atom_store_rlx(&grace.blocker, atom_load_rlx(&r->thread)); /* GRACE-7 */
            return false;
        }
    }
    return true;
}

static void start(void)
{
    atom_store_rlx(&grace.start_ns, soma__now_ns()); /* GRACE-7 */
    /* order GRACE-6 acquire | guarded by: started | pairs: GRACE-5, GRACE-8
     * weaker: the sampling below misses a section that took its place before (see joined_open). Nothing is released:
     * who comes later knows what cookies before it were taken for, since all of them are one release sequence. */
    atom_add_acq(&grace.started, 1);
    everybody_barrier();
    for (struct soma__reader *r = soma__readers(); r; r = r->next) {
        r->snapshot = reader_word(r);
        r->pending = (r->snapshot & 1) != 0;
    }
    atom_store_rlx(&grace.start_ns, soma__now_ns());         /* GRACE-7: from here on readers are waited for */
    SOMA_PROBE1(grace_begin, atom_load_rlx(&grace.started)); /* ordered by GRACE-1 */
}

static bool pending(void)
{
    return atom_load_rlx(&grace.started) != atom_load_rlx(&grace.completed); /* ordered by GRACE-1 */
}

static void still_pending(uint64_t now)
{
    const uint64_t waited = now - atom_load_rlx(&grace.start_ns); /* GRACE-7 */
    atom_store_rlx(&grace.seen_ns, now);                          /* GRACE-7 */
    if (waited > atom_load_rlx(&grace.longest))                   /* GRACE-7: written behind the claim */
        atom_store_rlx(&grace.longest, waited);                   /* GRACE-7 */
    SOMA_PROBE3(grace_wait, atom_load_rlx(&grace.started), waited, atom_load_rlx(&grace.blocker)); /* GRACE-7 */
}

static void finish_if_done(void)
{
    if (!all_done()) {
        still_pending(soma__now_ns());
        return;
    }
    complete(atom_load_rlx(&grace.started)); /* ordered by GRACE-1 */
}

void soma__grace_step(uint64_t cookie)
{
    if (pending())
        finish_if_done();
    if (!pending() && !soma__grace_passed(cookie)) {
        start();
        finish_if_done();
    }
}

void soma__grace_poll(uint64_t cookie)
{
    if (soma__grace_passed(cookie) || !soma__claim_try())
        return;
    soma__grace_step(cookie);
    soma__claim_drop();
}

struct soma__stall soma__grace_stall(void)
{
    struct soma__stall stall = {.grace = atom_load_rlx(&grace.started)}; /* GRACE-7 */
    if (!soma__grace_passed(stall.grace)) {
        /* Up to when somebody looked, not to now: while nobody did, readers may have left long ago. */
        const uint64_t since = atom_load_rlx(&grace.start_ns); /* GRACE-7 */
        const uint64_t seen = atom_load_rlx(&grace.seen_ns);   /* GRACE-7 */
        stall.waited_ns = seen > since ? seen - since : 0;
        stall.thread = (int64_t)atom_load_rlx(&grace.blocker); /* GRACE-7 */
        if (soma__grace_passed(stall.grace))
            stall.waited_ns = 0; /* over meanwhile: what was read may be the next one's */
    }
    return stall;
}

struct soma__grace_past soma__grace_past(void)
{
    return (struct soma__grace_past){.passed = atom_load_rlx(&grace.completed),    /* GRACE-7 */
                                     .longest_ns = atom_load_rlx(&grace.longest)}; /* GRACE-7 */
}

/* Who sleeps may have more to do than its caller knows: a view to open, say, that updates already keep versions for. */
void soma__sleep_ns(long ns)
{
    const int cancel = soma__cancel_hold();
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
    soma__cancel_let(cancel);
}

bool soma__grace_may_wait(void)
{
    const struct soma__section section = soma__section_enter();
    const bool nested = soma__section_nested(section);
    soma__section_exit(section);
    if (nested) {
        MISUSE("called inside a read section or a callback, where it would wait for itself: call it outside");
        return false;
    }
    if (IN_CALLOUT_OF_STALL()) {
        MISUSE("called by a stall function, which must not wait for the reader that it is told of: note it, and wait "
               "elsewhere");
        return false;
    }
    return true;
}

bool soma__grace_wait(void)
{
    if (!soma__grace_may_wait())
        return false;
    const uint64_t cookie = soma__grace_cookie();
    for (long ns = 1000; !soma__grace_passed(cookie); ns = ns < 1000000 ? ns * 2 : ns) {
        soma__grace_poll(cookie);
        if (!soma__grace_passed(cookie))
            soma__sleep_ns(ns);
    }
    return true;
}

void soma_synchronize_wait(void)
{
    CALL();
    soma__grace_wait();
}
