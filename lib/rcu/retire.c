/* SPDX-License-Identifier: ISC */
/* retire.c - memory that waits for its readers.
 *
 * Shape       thread: open[side][slot] --close--> inbox (a stack) --claim--> queue (in order of closing) --> released
 * Chunks      A thread appends to its own open chunk without any shared write. A full chunk gets the cookie of a grace
 *             period and goes to the inbox, from which whoever holds the claim moves it to the queue, and out of the
 *             queue when its grace period has passed.
 * Credit      An owner's cap is kept by taking bytes from it before anything is unlinked, a quantum at a time, and giving
 *             them back when the chunk is released. So a thread pays one shared write a quantum, not one an item, and
 *             the cap holds at every instant, but for what threads retire that hold work back.
 * Sides       Open chunks of idle threads must be had too, without a lock for those who are not idle. So every thread
 *             has two sets and uses the one that a global word names, read inside its section. To collect, flip the
 *             word and let one grace period pass: then nobody is left on the old side, and it is the collector's.
 * Invariants  T1. A side's chunks are touched by their thread inside a section that saw the side named, or by the
 *             collector after a grace period that started after the side was left.
 *             T2. used <= credit, and the owner's deferred is the sum of the credits of its chunks.
 *             T3. Chunks leave the queue in the order in which they were closed.
 * Progress    Retiring is lock-free but for malloc. Collecting and releasing is done by whoever gets the claim.
 * Not here    When a grace period has passed (grace.c).
 */
#include <string.h>

#include <soma/rcu.h>

#include "base/cancel.h"
#include "base/check.h"
#include "base/probe.h"
#include "mem/mem.h"
#include "rcu/private.h"

#define CHUNK_BYTES (sizeof(struct soma__chunk) + CHUNK_ITEMS * sizeof(((struct soma__chunk *)0)->items[0]))

/* A chunk is closed at this many bytes even if it has room for items, so that large values do not linger. */
#define CHUNK_RETIRED_BYTES SOMA__CHUNK_RETIRED_BYTES
/* Bytes taken from an owner's cap at a time; less if the cap is small, so that threads do not sit on all of it. */
#define CREDIT_QUANTUM ((uint64_t)8 << 10)
#define CREDIT_SHARES 64
/* Owners stand in pages of their own. */
#define OWNERS_APART 4096

static struct {
    struct atom inbox ALIGNED(APART); /* struct soma__chunk *, latest first */
    struct atom side ALIGNED(APART);  /* which open chunks threads use: 0 or 1 */
    /* Behind the claim. */
    struct soma__chunk *first;
    struct soma__chunk **last;
    uint64_t queued;   /* chunks that have come into the queue */
    struct atom taken; /* and gone out of it; written behind the claim */
    bool collecting;   /* the other side waits for collect_cookie */
    uint64_t collect_cookie;
    struct atom collections; /* how many are done; written behind the claim */
} retired = {.last = &retired.first};

/* The thread's own. */
static __thread unsigned held; /* it holds work back, so many times over */
static __thread uint64_t
    owed; /* 0: no work. In a hold, 1: some. After it, a cookie: of what was closed before, some is left */

/* ---- Owners ---- */

void soma__owner_init(struct soma__owner *owner, uint64_t deferred_max)
{
    atom_store_rlx(&owner->refs, 1);     /* not yet shared */
    atom_store_rlx(&owner->deferred, 0); /* not yet shared */
    owner->deferred_max = deferred_max;
    owner->of = NULL;
}

/* order RETIRE-1 acqrel | guards: every use of the owner before | pairs: RETIRE-1
 * weaker: the owner goes while another thread's last use is still on its way. */
void soma__owner_drop(struct soma__owner *owner)
{
    if (atom_sub_acqrel(&owner->refs, 1) == 1)
        owner->gone(owner);
}

/* order RETIRE-2 relaxed | value only, no data behind it | pairs: RETIRE-2 */
uint64_t soma__owner_deferred(const struct soma__owner *owner)
{
    return atom_load_rlx(&owner->deferred);
}

/* Whether an owner has room. An item larger than the cap is let through alone: else it could never be removed. */
static bool credit_fits(const struct soma__owner *owner, uint64_t taken, uint64_t bytes)
{
    return taken == 0 || (bytes <= owner->deferred_max && taken <= owner->deferred_max - bytes);
}

static bool credit_take(struct soma__owner *owner, uint64_t bytes)
{
    uint64_t taken = atom_load_rlx(&owner->deferred); /* RETIRE-2 */
    do {
        if (!credit_fits(owner, taken, bytes) && held == 0)
            return false;
    } while (!atom_cas_rlx(&owner->deferred, &taken, taken + bytes)); /* RETIRE-2 */
    return true;
}

static void credit_give(struct soma__owner *owner, uint64_t bytes)
{
    atom_add_rlx(&owner->deferred, -bytes); /* RETIRE-2 */
}

/* ---- Chunks ---- */

static struct soma__chunk *chunk_open(struct soma__owner *owner)
{
    struct soma__chunk *chunk = soma__mem_alloc(CHUNK_BYTES);
    if (!chunk)
        return NULL;
    memset(chunk, 0, sizeof *chunk);
    chunk->owner = owner;
    atom_add_rlx(&owner->refs, 1); /* RETIRE-1: the caller uses the owner, so it has a reference */
    return chunk;
}

/* order RETIRE-3 release | guards: the chunk's items and cookie | pairs: RETIRE-4
 * weaker: the chunk is moved on before its items are written. */
static void inbox_put(struct soma__chunk *chunk)
{
    uint64_t head = atom_load_rlx(&retired.inbox); /* RETIRE-3: re-checked by the swap */
    do {
        chunk->next = (struct soma__chunk *)(uintptr_t)head;
    } while (!atom_cas_rel(&retired.inbox, &head, (uintptr_t)chunk));
}

static void chunk_free(struct soma__chunk *chunk)
{
    struct soma__owner *owner = chunk->owner;
    credit_give(owner, chunk->credit);
    soma__mem_free(chunk, CHUNK_BYTES);
    soma__owner_drop(owner);
}

/* An empty chunk waits for nobody. */
static void chunk_close(struct soma__chunk **slot)
{
    struct soma__chunk *chunk = *slot;
    *slot = NULL;
    ASSERT("T2", chunk->used <= chunk->credit);
    if (chunk->count == 0) {
        chunk_free(chunk);
        return;
    }
    credit_give(chunk->owner, chunk->credit - chunk->used);
    chunk->credit = chunk->used;
    chunk->cookie = soma__grace_cookie();
    inbox_put(chunk);
}

/* order RETIRE-5 acquire | guarded by: side | pairs: RETIRE-6
 * weaker: a thread that comes back to a side sees its slots as they were before they were collected.
 * A section that began after the collector's grace period did sees the new side: all that was before the cookie is
 * known to it (GRACE-5). */
static uint64_t side_in_use(void)
{
    return atom_load_acq(&retired.side);
}

/* The side that the thread uses in this section: it looks once, so that what one call has prepared, the next one finds.
 */
static uint64_t side_of_section(struct soma__reader *self)
{
    const uint64_t word = atom_load_rlx(&self->word); /* RCU-7 */
    if (self->side_word != word) {
        self->side = side_in_use();
        self->side_word = word;
    }
    return self->side;
}

/* The owner's slot; else a free one; else one that the owner has to share. */
static struct soma__chunk **chunk_slot(struct soma__reader *self, const struct soma__owner *owner)
{
    struct soma__chunk **slots = self->open[side_of_section(self)];
    struct soma__chunk **best = &slots[(uintptr_t)owner / OWNERS_APART % SOMA__OPEN_CHUNKS];
    for (int i = 0; i < SOMA__OPEN_CHUNKS; i++) {
        if (slots[i] && slots[i]->owner == owner)
            return &slots[i];
        if (!slots[i])
            best = &slots[i];
    }
    return best;
}

/* An open chunk of the owner in this slot, with room for an item; NULL if there is no memory for one. */
static struct soma__chunk *chunk_with_room(struct soma__reader *self, struct soma__chunk **slot,
                                           struct soma__owner *owner)
{
    if (*slot && ((*slot)->owner != owner || (*slot)->count == CHUNK_ITEMS)) {
        chunk_close(slot);
        self->due = DUE_NOW;
    }
    if (!*slot)
        *slot = chunk_open(owner);
    return *slot;
}

static bool chunk_extend_credit(struct soma__chunk *chunk, uint64_t bytes)
{
    const uint64_t share = chunk->owner->deferred_max / CREDIT_SHARES;
    const uint64_t quantum = share < CREDIT_QUANTUM ? share : CREDIT_QUANTUM;
    if (quantum > bytes && credit_take(chunk->owner, quantum)) {
        chunk->credit += quantum;
        return true;
    }
    if (!credit_take(chunk->owner, bytes))
        return false;
    chunk->credit += bytes;
    return true;
}

enum soma_status soma__retire_prepare(struct soma__reader *self, struct soma__owner *owner, uint64_t bytes)
{
    if (UNLIKELY(self == &soma__reader_spare))
        return SOMA_E_NOMEM;
    struct soma__chunk **slot = chunk_slot(self, owner);
    struct soma__chunk *chunk = *slot;
    if (UNLIKELY(!chunk || chunk->owner != owner || chunk->count == CHUNK_ITEMS)) {
        chunk = chunk_with_room(self, slot, owner);
        if (!chunk)
            return SOMA_E_NOMEM;
    }
    if (UNLIKELY(chunk->credit - chunk->used < bytes) && !chunk_extend_credit(chunk, bytes)) {
        self->wanted = bytes;
        self->at_limit = true;
        self->due = DUE_NOW;
        return SOMA_E_LIMIT;
    }
    self->prepared = chunk;
    self->prepared_bytes = bytes;
    self->prepared_slot = slot;
    return SOMA_OK;
}

void soma__retire(struct soma__reader *self, uint64_t a, uint64_t b)
{
    struct soma__chunk *chunk = self->prepared;
    const uint64_t bytes = self->prepared_bytes;
    ASSERT("T2", chunk->count < CHUNK_ITEMS && chunk->credit - chunk->used >= bytes);
    SOMA_PROBE3(retire, chunk->owner->of, a, bytes);
    chunk->items[chunk->count].a = a;
    chunk->items[chunk->count].b = b;
    chunk->count++;
    chunk->used += bytes;
    if (chunk->count == CHUNK_ITEMS || chunk->used >= CHUNK_RETIRED_BYTES) {
        chunk_close(self->prepared_slot);
        self->due = DUE_NOW;
    }
}

static void side_close(struct soma__reader *reader, uint64_t side)
{
    for (int slot = 0; slot < SOMA__OPEN_CHUNKS; slot++) {
        if (reader->open[side][slot])
            chunk_close(&reader->open[side][slot]);
    }
}

void soma__chunks_close(struct soma__reader *self)
{
    side_close(self, side_of_section(self));
}

void soma__chunks_bury(struct soma__reader *dead)
{
    side_close(dead, 0);
    side_close(dead, 1);
}

/* ---- Moving on, behind the claim ---- */

/* order RETIRE-4 acquire | guarded by: inbox | pairs: RETIRE-3 */
static void inbox_to_queue(void)
{
    struct soma__chunk *latest = (struct soma__chunk *)(uintptr_t)atom_xchg_acq(&retired.inbox, 0);
    struct soma__chunk *in_order = NULL;
    struct soma__chunk **end = latest ? &latest->next : NULL;
    while (latest) {
        struct soma__chunk *earlier = latest->next;
        latest->next = in_order;
        in_order = latest;
        latest = earlier;
        retired.queued++;
    }
    if (end) {
        *retired.last = in_order;
        retired.last = end;
    }
}

/* order RETIRE-9 release | guards: that the taker is busy | pairs: RETIRE-10
 * The first chunk in the queue, if its grace period has passed. */
static struct soma__chunk *queue_take(void)
{
    struct soma__chunk *chunk = retired.first;
    if (!chunk || !soma__grace_passed(chunk->cookie))
        return NULL;
    retired.first = chunk->next;
    if (!retired.first)
        retired.last = &retired.first;
    atom_store_rel(&retired.taken, atom_load_rlx(&retired.taken) + 1); /* RETIRE-9 */
    return chunk;
}

/* order RETIRE-6 release | guards: the slots of the side that is to be used, emptied when it was last left | pairs: RETIRE-5 */
static void side_flip(void)
{
    atom_store_rel(&retired.side, side_in_use() ^ 1);
    retired.collect_cookie = soma__grace_cookie();
    retired.collecting = true;
}

/* One step of collecting every thread's open chunks: flip, or take the old side if its grace period has passed. */
static void collect_step(void)
{
    if (!retired.collecting) {
        side_flip();
        return;
    }
    if (!soma__grace_passed(retired.collect_cookie))
        return;
    const uint64_t left = side_in_use() ^ 1;
    for (struct soma__reader *r = soma__readers(); r; r = r->next)
        side_close(r, left);
    retired.collecting = false;
    /* order RETIRE-7 release | guards: the chunks in the inbox | pairs: RETIRE-8 */
    atom_store_rel(&retired.collections, atom_load_rlx(&retired.collections) + 1);
}

/* order RETIRE-8 acquire | guarded by: collections | pairs: RETIRE-7 */
static uint64_t collections_done(void)
{
    return atom_load_acq(&retired.collections);
}

/* ---- Releasing ---- */

/* Takes some chunks that are due out of the queue, after one step of everything that may be pending. With the claim held. */
static struct soma__chunk *due_chunks(bool collect)
{
    struct soma__chunk *due = NULL;
    struct soma__chunk **end = &due;
    if (collect)
        collect_step();
    inbox_to_queue();
    soma__grace_step(retired.collecting ? retired.collect_cookie : 0);
    if (retired.first)
        soma__grace_step(retired.first->cookie);
    for (unsigned most = WORK_CHUNKS; most > 0 && (*end = queue_take()); most--)
        end = &(*end)->next;
    *end = NULL;
    if (!retired.first || retired.first->cookie > owed)
        owed = 0;
    return due;
}

/* Releases what the thread has in hand. Its record says how far it has come: a retired call may end the thread. */
static bool release_all(struct soma__reader *self)
{
    const bool any = self->in_hand != NULL;
    while (self->in_hand) {
        struct soma__chunk *chunk = self->in_hand;
        struct soma__owner *owner = chunk->owner;
        for (uint64_t i = self->released; i < chunk->count; i++) {
            self->released = i + 1;
            owner->release(owner, chunk->items[i].a, chunk->items[i].b);
        }
        self->in_hand = chunk->next;
        self->released = 0;
        chunk_free(chunk);
    }
    return any;
}

/* order RETIRE-11 release | guards: the retired calls that ran | pairs: RETIRE-12 */
static void busy_change(struct soma__reader *self)
{
    atom_store_rel(&self->busy, atom_load_rlx(&self->busy) + 1);
}

/* order RETIRE-12 acquire | guarded by: busy | pairs: RETIRE-11
 * A thread is busy from before it takes chunks out of the queue (both under one claim) until they are released. */
static uint64_t busy_count(const struct soma__reader *reader)
{
    return atom_load_acq(&reader->busy);
}

bool soma__chunks_in_hand(const struct soma__reader *self)
{
    return (busy_count(self) & 1) != 0;
}

/* Whether anything was released. A retired call that gets here again leaves the work to the one it is part of; what it
 * has retired itself is for later visits. */
static bool work(struct soma__reader *self, bool collect)
{
    if (soma__chunks_in_hand(self))
        return false;
    const int cancel = soma__cancel_hold();
    busy_change(self);
    const bool mine = soma__claim_try();
    if (mine) {
        self->in_hand = due_chunks(collect);
        soma__claim_drop();
    }
    const bool any = release_all(self);
    self->due = mine && owed == 0 ? DUE_NOTHING : DUE_AGAIN;
    busy_change(self);
    soma__cancel_let(cancel);
    return any;
}

void soma__chunks_finish(struct soma__reader *self)
{
    release_all(self);
    busy_change(self);
}

/* How often a thread that wants memory to be released polls in vain before it gives up. Each poll is a scan of all records. */
#define RELIEF_POLLS SIZED(8, 2)

/* Releases what is owed: it may be much more than the visits of later updates see to. What readers are still in the way of stays
 * owed. */
static void pay(struct soma__reader *self)
{
    for (int idle = 0; owed != 0 && idle < RELIEF_POLLS;)
        idle = work(self, true) ? 0 : idle + 1;
}

void soma__chunks_work(struct soma__reader *self)
{
    if (held > 0) {
        owed = 1;
        return;
    }
    const bool collect = self->at_limit;
    self->at_limit = false;
    work(self, collect);
    pay(self);
}

size_t soma__chunk_bytes(void)
{
    return CHUNK_BYTES;
}

enum soma_status soma__retire_may_wait(void)
{
    const struct soma__section section = soma__section_enter();
    const bool spare = section.self == &soma__reader_spare;
    const bool inside = soma__section_nested(section) || (!spare && soma__chunks_in_hand(section.self));
    soma__section_exit(section);
    return inside ? SOMA_E_INVALID : spare ? SOMA_E_NOMEM : SOMA_OK;
}

/* Closes the thread's open chunks and gives its record. NULL inside a section of the caller's own, or inside a retired call. For
 * a thread that has one: who has borrowed the reserve, or has come to a cap with what it wanted to retire. */
static struct soma__reader *outside_self(void)
{
    const struct soma__section section = soma__section_enter();
    const bool outside = !soma__section_nested(section) && !soma__chunks_in_hand(section.self);
    if (outside)
        soma__chunks_close(section.self);
    soma__section_exit(section);
    return outside ? section.self : NULL;
}

/* How long a thread at its cap that may wait sleeps before it looks again. */
#define RELIEF_SLEEP_NS 100000

bool soma__retire_relieve(struct soma__owner *owner, bool wait)
{
    struct soma__reader *self = held > 0 ? NULL : outside_self();
    if (!self)
        return false;
    for (int idle = 0; idle < RELIEF_POLLS;) {
        idle = work(self, true) ? 0 : idle + 1;
        if (credit_fits(owner, soma__owner_deferred(owner), self->wanted))
            return true;
    }
    if (wait)
        soma__sleep_ns(RELIEF_SLEEP_NS);
    return wait;
}

/* ---- Holding work back ---- */

void soma__work_hold(void)
{
    held++;
}

bool soma__work_held(void)
{
    return held > 0;
}

void soma__work_resume(void)
{
    if (--held > 0 || owed == 0)
        return;
    struct soma__reader *self = outside_self();
    owed = soma__grace_cookie();
    if (self)
        pay(self);
    else
        soma__reader_joined()->due = DUE_NOW; /* when the caller's section ends */
}

/* ---- The public calls ---- */

static void user_release(struct soma__owner *owner, uint64_t a, uint64_t b)
{
    (void)owner;
    CALLOUT_BEGINS(NULL);
    ((void (*)(void *))(uintptr_t)a)((void *)(uintptr_t)b);
    CALLOUT_ENDS("soma_retire");
}

static void user_gone(struct soma__owner *owner)
{
    (void)owner; /* never: the static reference stays */
}

static struct soma__owner user_owner = {
    .release = user_release, .gone = user_gone, .refs = {1}, .deferred_max = UINT64_MAX};

enum soma_status soma__call_prepare(struct soma__reader *self)
{
    return soma__retire_prepare(self, &user_owner, 1);
}

void soma__call_retire(struct soma__reader *self, void (*fn)(void *), void *arg)
{
    soma__retire(self, (uintptr_t)fn, (uintptr_t)arg);
}

enum soma_status soma_retire(void (*fn)(void *), void *arg)
{
    if (!fn) {
        MISUSE("fn is NULL: pass what is to be called, say free");
        return SOMA_E_INVALID;
    }
    const struct soma__section section = soma__section_enter();
    const enum soma_status status = soma__call_prepare(section.self);
    if (status == SOMA_OK)
        soma__call_retire(section.self, fn, arg);
    if (UNLIKELY(soma__section_end(section)))
        soma__section_work(section.self);
    return status;
}

/* order RETIRE-10 acquire | guarded by: taken | pairs: RETIRE-9
 * weaker: the taker is seen idle though it has not begun to release what it took. */
static uint64_t chunks_taken(void)
{
    return atom_load_acq(&retired.taken);
}

/* How many chunks have come into the queue, all closed ones included. */
static uint64_t chunks_queued_wait(void)
{
    while (!soma__claim_try())
        soma__sleep_ns(1000);
    inbox_to_queue();
    const uint64_t queued = retired.queued;
    soma__claim_drop();
    return queued;
}

/* Waits until the work that other threads have in hand now is done. */
static void others_finish_wait(const struct soma__reader *self)
{
    for (const struct soma__reader *r = soma__readers(); r; r = r->next) {
        const uint64_t count = busy_count(r);
        while (r != self && (count & 1) && busy_count(r) == count)
            soma__sleep_ns(50000);
    }
}

/* Works until a counter has come far enough; sleeps where there is nothing to do. */
static void work_until_wait(struct soma__reader *self, uint64_t (*counter)(void), uint64_t goal, bool collect)
{
    for (long ns = 1000; counter() < goal; ns = ns < 1000000 ? ns * 2 : ns) {
        if (work(self, collect))
            ns = 1000;
        else
            soma__sleep_ns(ns);
    }
}

/* All open chunks are collected by a collection that starts after the call; the second from now surely does. Then all that
 * is in the queue has to go out of it, and out of the hands of whoever took it. */
static void barrier_wait(struct soma__reader *self)
{
    work_until_wait(self, collections_done, collections_done() + 2, true);
    work_until_wait(self, chunks_taken, chunks_queued_wait(), false);
    others_finish_wait(self);
}

void soma_barrier_wait(void)
{
    if (IN_CALLOUT_OF_STALL()) {
        MISUSE("called by a stall function, which must not wait for the reader that it is told of: note it, and wait "
               "elsewhere");
        return;
    }
    if (held > 0) {
        MISUSE("called by a function of an old map's, under locks that retired calls may want: call it elsewhere");
        return;
    }
    const bool borrowed = soma__reserve_borrow_wait();
    struct soma__reader *self = outside_self();
    if (self)
        barrier_wait(self);
    else
        MISUSE("called inside a read section or a retired call, where it would wait for itself: call it outside");
    if (borrowed)
        soma__reserve_return();
}
