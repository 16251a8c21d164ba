/* SPDX-License-Identifier: ISC */
/* shrink.c - taking a level of buckets out and giving its memory back.
 *
 * Phases, each entered by one swap of the state word and moved on by updates, a bounded step each; nobody waits:
 *   LEAVING   m is one less: who comes now does not use the level. The cookie of a grace period is drawn: only now, so that
 *             it waits for whoever has seen the level in use.
 *   DRAIN     Until it has passed, somebody may still set up one of the level's buckets, or reserve them, having found them
 *             there. Growing back is free, and what was reserved does.
 *   UNLINK    Block by block: freeze the bucket words, walk past them so that they are out of the list, move entries out
 *             of the buckets' cells. The cursor goes past a block only when it is done, so a block is done by whoever is
 *             there, and none is forgotten when a thread stops; two threads doing one block do no harm.
 *   UNLINKED  All sentinels and entries of the level are out. The cookie of a grace period is drawn: only now, so that it waits
 *             for whoever still takes the level to be in UNLINK.
 *   READERS   Until it has passed, walkers may stand on them.
 *   RELEASE   The words become 0 and whole pages go back to the system, a step at a time. One thread at a time, since
 *             a late step would wipe out buckets set up anew; who finds it taken leaves it.
 *   STEADY    The level may be used again.
 * Invariants  S1. While a level is going nobody sets up its buckets or puts entries into their cells: who would has read a
 *             state that says so, or was there before DRAIN passed.
 *             S2. A frozen bucket word is out of the list for good: only RELEASE changes it, a grace period later. (Were
 *             it linked again at once, a thread that is late in taking it out would take out the new one.)
 *             S3. Growth never waits for any of this: if the table grows over a going level, the walks of its buckets
 *             start at their parents' until it is gone.
 */
#include "dir/dir.h"

#include "mem/mem.h"

/* Buckets per step of UNLINK; memory per step of RELEASE, which costs some tens of microseconds. */
#define UNLINK_BLOCK SIZED(64, 2)
#define RELEASE_BYTES_LOG2 20

static uint64_t level_first(unsigned level)
{
    return (uint64_t)1 << (level - 1);
}

static uint64_t level_end(unsigned level)
{
    return (uint64_t)1 << level;
}

/* order SHRINK-1 release | guards: the block's words, frozen and unlinked | pairs: SHRINK-2 */
static void cursor_advance(struct soma__dir *dir, uint64_t from, uint64_t to)
{
    atom_cas_rel(&dir->shrink_cursor, &from, to);
}

/* order SHRINK-2 acquire | guarded by: shrink_cursor | pairs: SHRINK-1 */
static uint64_t cursor_read(const struct soma__dir *dir)
{
    return atom_load_acq(&dir->shrink_cursor);
}

/* Another thread may do so late, and set the cursor back: then some blocks are done twice. */
static void cursor_reset(struct soma__dir *dir, unsigned level)
{
    atom_store_rlx(&dir->shrink_cursor, level_first(level)); /* ordered by DIR-2 */
}

static bool enter_phase(struct soma__dir *dir, uint64_t state, enum dir_phase phase, uint64_t cookie)
{
    return soma__dir_state_swap(dir, state, dir_state(dir_m(state), dir_going(state), phase, cookie));
}

/* Each LEAVING has a number of its own, so no two of their words are equal. Whoever moves one on has drawn the cookie after it
 * began: were the word that of an earlier one, which growth has ended, the cookie could be of a grace period that began between
 * the two, and does not wait for who came then and saw the level in use.
 * order SHRINK-5 relaxed | value only, no data behind it | pairs: SHRINK-5 */
static uint64_t leaving_state(struct soma__dir *dir, unsigned m)
{
    return dir_state(m - 1, m, DIR_LEAVING, atom_add_rlx(&dir->leavings, 1) + 1);
}

bool soma__dir_shrink_start(struct soma__dir *dir, uint64_t count, unsigned quarters)
{
    const uint64_t state = soma__dir_state(dir);
    const unsigned m = dir_m(state);
    const uint64_t floor = atom_load_rlx(&dir->floor_log2); /* DIR-4 */
    if (dir_phase(state) != DIR_STEADY || m <= dir_first_log2(dir->shape.cell_log2) || m <= floor)
        return false;
    if (count > dir_entries(dir, m - 1) / 4 * quarters)
        return false;
    return soma__dir_state_swap(dir, state, leaving_state(dir, m));
}

/* ---- UNLINK ---- */

static bool freeze(struct atom *bucket)
{
    uint64_t word = soma__edge_read(bucket);
    while (word != 0 && (word & EDGE_FROZEN) == 0) {
        if (soma__edge_swap(bucket, &word, word | EDGE_FROZEN))
            return true;
    }
    return word != 0;
}

/* Walks from the nearest bucket that stays past the position of a frozen one, which takes it out of the list. */
static bool pass_over(struct soma__dir *dir, struct soma__reader *self, uint64_t index)
{
    struct soma__place place;
    enum soma_status status;
    do {
        place.prev = soma__dir_bucket_set_up(dir, self, soma__bucket_form(index));
        status = soma__dir_walk(dir, dir->shape.cell_log2, self, soma__bucket_position(index), NULL, soma__before_hash,
                                &place);
    } while (status == SOMA_CHANGED);
    return status == SOMA_OK;
}

static bool unlink_step(struct soma__dir *dir, struct soma__reader *self, uint64_t state)
{
    const uint64_t end = level_end(dir_going(state));
    const uint64_t first = cursor_read(dir);
    if (first >= end)
        return enter_phase(dir, state, DIR_UNLINKED, 0);
    const uint64_t last = first + UNLINK_BLOCK < end ? first + UNLINK_BLOCK : end;
    for (uint64_t i = first; i < last; i++) {
        if (freeze(soma__dir_bucket_at(dir, i)) && !pass_over(dir, self, i))
            return false;
        if (dir->shape.empty && !dir->shape.empty(dir, self, i))
            return false;
    }
    cursor_advance(dir, first, last);
    return true;
}

/* ---- RELEASE ---- */

static void zero_words(char *from, char *to)
{
    for (struct atom *word = (struct atom *)(void *)from; word < (struct atom *)(void *)to; word++)
        atom_store_rlx(word, 0); /* S2; ordered by DIR-2 */
}

/* Whole pages at once, the words before and after them one by one: those pages are shared with levels that stay. */
static void release_words(struct soma__dir *dir, uint64_t first, uint64_t last)
{
    char *from = (char *)soma__dir_bucket_at(dir, first);
    char *to = (char *)soma__dir_bucket_at(dir, last);
    char *page_from = soma__page_up(from);
    char *page_to = soma__page_down(to);
    if (page_from >= page_to) {
        zero_words(from, to);
        return;
    }
    zero_words(from, page_from);
    if (!soma__range_release(page_from, page_to))
        zero_words(page_from, page_to);
    zero_words(page_to, to);
}

/* Where a step that begins at a bucket ends: at the boundary of a page, of a huge one if there are. A page that two steps share
 * would stay, and the huge page with it that it is a part of. */
static uint64_t release_end(const struct soma__dir *dir, uint64_t first, uint64_t end)
{
    const uintptr_t bytes = (uintptr_t)1 << (dir->huge ? MEM_HUGE_LOG2 : RELEASE_BYTES_LOG2);
    const uintptr_t here = (uintptr_t)soma__dir_bucket_at(dir, first) & (bytes - 1);
    (void)bytes, (void)here; /* where tables are small */
    const uint64_t last = first + SIZED((bytes - here) >> dir->shape.cell_log2, 2);
    return last < end ? last : end;
}

/* order SHRINK-3 acquire | guards: the steps of RELEASE | pairs: SHRINK-4
 * A claim of another fork generation is nobody's: its thread stayed behind in the parent. */
static bool release_claim(struct soma__dir *dir)
{
    const uint64_t mine = soma__fork_generation() + 1;
    uint64_t claim = atom_load_rlx(&dir->release_claim); /* SHRINK-3: re-checked by the swap */
    return claim != mine && atom_cas_acq(&dir->release_claim, &claim, mine);
}

/* order SHRINK-4 release | guards: the steps of RELEASE | pairs: SHRINK-3 */
static void release_unclaim(struct soma__dir *dir)
{
    atom_store_rel(&dir->release_claim, 0);
}

/* The cursor is set back when the level is steady, not before: if the table has grown over it, who helps meanwhile would claim
 * its buckets, and pass over them (S1). Between the two, buckets are set up as they are needed. */
static void release_finish(struct soma__dir *dir, unsigned level)
{
    uint64_t state;
    do {
        state = soma__dir_state(dir);
    } while (!soma__dir_state_swap(dir, state, dir_state(dir_m(state), 0, DIR_STEADY, 0)));
    const uint64_t first = level_first(level);
    if (atom_load_rlx(&dir->cursor) > first) /* DIR-5 */
        atom_store_rlx(&dir->cursor, first); /* DIR-5 */
    SOMA_PROBE2(shrink_end, dir, level);
    soma__tally_count(dir->shape.list.tally, 0, EVENT_SHRINK);
}

static bool release_step(struct soma__dir *dir)
{
    if (!release_claim(dir))
        return false;
    const uint64_t state = soma__dir_state(dir);
    if (dir_phase(state) == DIR_RELEASE) {
        const uint64_t first = cursor_read(dir);
        const uint64_t end = level_end(dir_going(state));
        const uint64_t last = release_end(dir, first, end);
        release_words(dir, first, last);
        cursor_advance(dir, first, last);
        if (last == end)
            release_finish(dir, dir_going(state));
    }
    release_unclaim(dir);
    return true;
}

/* ---- All phases ---- */

/* Whether the grace period that the phase waits for has passed. */
static bool waited(uint64_t state)
{
    soma__grace_poll(dir_cookie(state));
    return soma__grace_passed(dir_cookie(state));
}

static bool begin_phase(struct soma__dir *dir, uint64_t state, enum dir_phase phase)
{
    cursor_reset(dir, dir_going(state));
    return enter_phase(dir, state, phase, 0);
}

/* If the level has been reserved meanwhile, it comes back: who let it go had not heard of that. */
static bool drain_end(struct soma__dir *dir, uint64_t state)
{
    if (atom_load_rlx(&dir->floor_log2) <= dir_m(state)) /* DIR-4 */
        return begin_phase(dir, state, DIR_UNLINK);
    if (!soma__dir_state_swap(dir, state, dir_state(dir_going(state), 0, DIR_STEADY, 0)))
        return false;
    soma__tally_count(dir->shape.list.tally, 0, EVENT_GROW);
    return true;
}

bool soma__dir_shrink_step(struct soma__dir *dir, struct soma__reader *self)
{
    const uint64_t state = soma__dir_state(dir);
    switch (dir_phase(state)) {
    case DIR_STEADY:
        return false;
    case DIR_LEAVING:
        SOMA_PROBE2(shrink_begin, dir, dir_going(state));
        return enter_phase(dir, state, DIR_DRAIN, soma__grace_cookie());
    case DIR_DRAIN:
        return waited(state) && drain_end(dir, state);
    case DIR_UNLINK:
        return unlink_step(dir, self, state);
    case DIR_UNLINKED:
        return enter_phase(dir, state, DIR_READERS, soma__grace_cookie());
    case DIR_READERS:
        return waited(state) && begin_phase(dir, state, DIR_RELEASE);
    case DIR_RELEASE:
        return release_step(dir);
    }
    return false;
}
