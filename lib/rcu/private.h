/* SPDX-License-Identifier: ISC */
/* private.h - what the files of this room share among themselves; not a door. */
#ifndef SOMA_RCU_PRIVATE_H
#define SOMA_RCU_PRIVATE_H

#define URCU_NO_COMPAT_IDENTIFIERS /* urcu_bp_ names only */
#include <urcu/urcu-bp.h>

#include "base/size.h"
#include "rcu/rcu.h"

/* A batch of retired items of one owner. 4 KiB with its items. */
#define CHUNK_ITEMS SOMA__CHUNK_ITEMS

struct soma__chunk {
    struct soma__chunk *next;
    struct soma__owner *owner;
    uint64_t cookie; /* the grace period that must have passed, from closing on */
    uint64_t credit; /* bytes taken from the owner's cap */
    uint64_t used;   /* of which items have been retired */
    uint64_t count;
    struct {
        uint64_t a;
        uint64_t b;
    } items[];
};

/* All records, newest first; the list only grows. */
struct soma__reader *soma__readers(void);

/* The calling thread's record, or NULL. */
struct soma__reader *soma__reader_joined(void);

/* For a call that waits and needs a record: without memory for one, the thread gets the reserve, of which there is one,
 * and has to return it; whether it has. Not inside a section that was entered through the spare record. */
bool soma__reserve_borrow_wait(void);
void soma__reserve_return(void);

/* Whether a section that has just been entered is inside another. */
bool soma__section_nested(struct soma__section section);

/* Whether the kernel can execute a barrier on all threads. */
bool soma__membarrier_works(void);

/* One thread at a time moves grace periods and chunks on; who finds the claim taken goes away. */
bool soma__claim_try(void);
void soma__claim_drop(void);

/* How many threads without a record are inside a section. */
uint64_t soma__spare_inside(void);

/* In a forked child: only the calling thread is left to be inside. */
void soma__spare_reset(void);

/* The step behind soma__grace_poll(), with the claim held. */
void soma__grace_step(uint64_t cookie);

/* Closes the calling thread's open chunks. Inside a section. */
void soma__chunks_close(struct soma__reader *self);

/* Closes all open chunks of a thread that is no more. With the claim held, as only in a forked child. */
void soma__chunks_bury(struct soma__reader *dead);

/* Polls, and releases some chunks whose grace period has passed. Outside every section. */
void soma__chunks_work(struct soma__reader *self);

/* Whether the thread is in a retired call. If it ends there, what it has left in hand is to be released, outside every section: others
 * wait for that. */
bool soma__chunks_in_hand(const struct soma__reader *self);
void soma__chunks_finish(struct soma__reader *self);

/* Chunks that one visit releases. One is closed a visit, so this catches up with what other visits had to leave, and
 * the visit stays short: some tens of microseconds. */
#define WORK_CHUNKS SIZED(4, 1)

/* Makes room for one call of the program's, so that the soma__call_retire() that follows in the same section cannot
 * fail: soma_retire() in two halves. */
enum soma_status soma__call_prepare(struct soma__reader *self);
void soma__call_retire(struct soma__reader *self, void (*fn)(void *), void *arg);

/* Called once, when the library is loaded. */
void soma__fork_install(void);

void soma__sleep_ns(long ns);

#endif
