/* SPDX-License-Identifier: ISC */
/* fork.c - parent and child go on.
 *
 * Before: the claim is taken, so that no other thread is in the middle of moving chunks, and liburcu's own handlers
 * hold its registry. Both are short unless the program itself waits in liburcu. In the child the other threads are
 * gone: their records are free, their sections are over, and what they had retired is closed on their behalf. A chunk
 * that another thread was just releasing is lost to the child: at most WORK_CHUNKS a thread.
 */
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rcu/private.h"

/* A fork from a signal handler may have interrupted the claim's holder; then it is better to go on after this long. */
#define CLAIM_TRIES 1000
#define CLAIM_SLEEP_NS 100000

static __thread bool claimed; /* several threads may fork at once */
static struct atom generation;

/* order FORK-2 relaxed | value only, no data behind it | pairs: FORK-2 */
uint64_t soma__fork_generation(void)
{
    return atom_load_rlx(&generation);
}

static void before_fork(void)
{
    claimed = soma__claim_try();
    for (int i = 0; !claimed && i < CLAIM_TRIES; i++) {
        soma__sleep_ns(CLAIM_SLEEP_NS);
        claimed = soma__claim_try();
    }
    urcu_bp_before_fork();
}

static void after_fork_parent(void)
{
    urcu_bp_after_fork_parent();
    if (claimed)
        soma__claim_drop();
}

/* order FORK-1 relaxed | not yet shared: the child has one thread | pairs: FORK-1 */
static void after_fork_child(void)
{
    urcu_bp_after_fork_child();
    for (struct soma__reader *r = soma__readers(); r; r = r->next) {
        if (r == soma__reader_joined()) {
            atom_store_rlx(&r->thread, (uint64_t)syscall(SYS_gettid)); /* FORK-1 */
        } else if (atom_load_rlx(&r->in_use)) {                        /* FORK-1 */
            soma__chunks_bury(r);
            atom_store_rlx(&r->busy, 0); /* FORK-1 */
            atom_store_rlx(&r->word, 0); /* FORK-1 */
            r->depth = 0;
            r->outer = 0;
            r->due = DUE_NOTHING;
            r->at_limit = false;
            r->side_word = 0;
            r->in_hand = NULL;
            r->released = 0;
            atom_store_rlx(&r->in_use, 0); /* FORK-1 */
        }
    }
    soma__spare_reset();
    atom_add_rlx(&generation, 1); /* FORK-2 */
    soma__claim_drop();
}

void soma__fork_install(void)
{
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}
