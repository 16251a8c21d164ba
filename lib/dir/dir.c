/* SPDX-License-Identifier: ISC */
/* dir.c - setting buckets up, and growth.
 *
 * Source      Lazy initialisation: Shalev & Shavit 2006, section 3. Growth shared among updates: after ParlayHash and
 *             growt, but nothing has to move here and nobody waits.
 * Growth      One swap of the state word after the new level's pages are committed. A bucket of the new level is not
 *             set up (its word is 0): readers start from the bucket that it was split from, so nothing is ever missing,
 *             it is only a little further away. Updates set up the bucket that they need, and every few insertions a
 *             block of SET_UP_BLOCK more, so a level is complete long before the next one is due. Blocks are claimed by
 *             the run, from a cursor that all threads share; what is left of its run a thread keeps in a word of its
 *             stripe. A run that nobody goes on with is buckets that wait until somebody needs them, no more.
 * Set up      1. find the place of the sentinel in the list; 2. write its successor into the bucket word, TENTATIVE: the
 *             claim of the one thread that goes on; 3. swap it into the list; 4. take TENTATIVE off. Others who need
 *             the bucket before step 4 start from its parent. A walker that meets it in the list after step 3 does step
 *             4 itself.
 * Takes effect  A bucket is in the list at the swap of step 3. Growth, at DIR-2.
 * Progress    Lock-free. A thread that stops between 2 and 4 makes one bucket's walks longer, nothing else.
 * Staleness   Who read an older, smaller m starts further away. Who read an older, larger m: shrink.c.
 */
#include "dir/dir.h"

#include "mem/mem.h"

/* Buckets set up at a time. Their words share lines, and their first entries are fetched together. */
#define SET_UP_BLOCK SIZED(64, 2)
/* Buckets claimed at a time: this part of the table, log2, from one block up to so many. */
#define RUN_PART_LOG2 SIZED(9, 0)
#define RUN_MOST (UINT64_C(1) * SIZED(16, 2) * SET_UP_BLOCK)

/* Entries fetched ahead on each walk; more are rarely worth it. */
#define FETCH_DEPTH 2

/* More levels than any reservation has. */
#define LEVELS 64

/* Addresses are taken for a table of this share of the machine's memory: as much again in entries, or three times that, is
 * what it can lead to. More would leave no room for ten thousand maps. */
#define RANGE_SHARE 4
/* The fewest buckets a reservation is tried with where addresses are short (ulimit -v), log2. */
#define LEAST_LOG2 SIZED(14, 4)

/* ---- The reservation ---- */

static uint64_t range_bytes(unsigned cell_log2, unsigned most_log2)
{
    return DIR_PAGE + ((uint64_t)1 << (cell_log2 + most_log2));
}

struct soma__dir *soma__dir_new(unsigned cell_log2, bool huge)
{
    const unsigned wanted = bits_log2_ceil(soma__mem_physical() / RANGE_SHARE) - cell_log2;
    for (unsigned most = wanted > LEAST_LOG2 ? wanted : LEAST_LOG2; most >= LEAST_LOG2; most--) {
        struct soma__dir *dir = soma__range_reserve(range_bytes(cell_log2, most));
        if (!dir)
            continue;
        if (!soma__range_commit((char *)dir, (char *)dir + DIR_PAGE)) {
            soma__range_free(dir, range_bytes(cell_log2, most));
            return NULL;
        }
        dir->most_log2 = most;
        dir->range_bytes = range_bytes(cell_log2, most);
        dir->huge = huge;
        return dir;
    }
    return NULL;
}

void soma__dir_init(struct soma__dir *dir, const struct soma__shape *shape)
{
    dir->shape = *shape;
    soma__edge_init(soma__dir_bucket_at(dir, 0), EDGE_END);
    /* order DIR-3 relaxed | not yet shared: the map is handed out by other means | pairs: DIR-3 */
    atom_store_rlx(&dir->cursor, 1);                                                            /* DIR-3 */
    atom_store_rlx(&dir->state, dir_state(dir_first_log2(shape->cell_log2), 0, DIR_STEADY, 0)); /* DIR-3 */
}

void soma__dir_free_buckets(struct soma__dir *dir)
{
    char *behind = soma__page_up((char *)dir + DIR_PAGE);
    soma__range_free(behind, dir->range_bytes - (size_t)(behind - (char *)dir));
}

void soma__dir_free_page(struct soma__dir *dir)
{
    soma__range_free(dir, DIR_PAGE);
}

/* ---- Setting a bucket up ---- */

/* Walks from `start` to the place of a bucket's sentinel. SOMA_EXISTS: it is there already: the walk has stepped on it.
 * SOMA_OK: *place is where it belongs. Else as soma__dir_walk(). */
static enum soma_status find_bucket(const struct soma__dir *dir, struct soma__reader *self, struct atom *start,
                                    const struct atom *bucket, struct soma__place *place)
{
    const uint64_t position = soma__bucket_position(soma__dir_bucket_index(dir, bucket));
    place->prev = start;
    const enum soma_status status =
        soma__dir_walk(dir, dir->shape.cell_log2, self, position, NULL, soma__before_hash, place);
    return status == SOMA_OK && place->prev == bucket ? SOMA_EXISTS : status;
}

/* Whether the bucket is ready to start from; if not, whoever needs it starts from its parent. */
static bool set_up(struct soma__dir *dir, struct soma__reader *self, struct atom *start, struct atom *bucket)
{
    uint64_t mine = 0; /* what this thread has written into the bucket word */
    for (;;) {
        struct soma__place place;
        const enum soma_status found = find_bucket(dir, self, start, bucket, &place);
        if (found != SOMA_OK) {
            if (mine != 0)
                soma__edge_swap(bucket, &mine, 0);
            return found == SOMA_EXISTS;
        }
        const uint64_t claim = soma__edge_onward(place.word) | EDGE_TENTATIVE;
        if (!soma__edge_swap(bucket, &mine, claim))
            return soma__edge_starts(mine);
        mine = claim;
        if (soma__edge_swap(place.prev, &place.word, soma__place_to(&place, soma__edge_to_bucket(bucket)))) {
            soma__edge_swap(bucket, &mine, soma__edge_onward(mine));
            return true;
        }
    }
}

struct atom *soma__dir_bucket_set_up(struct soma__dir *dir, struct soma__reader *self, uint64_t q)
{
    uint64_t missing[LEVELS];
    unsigned n = 0;
    const uint64_t state = soma__dir_state(dir);
    struct atom *start;
    for (;; q = soma__bucket_parent(q)) {
        const uint64_t index = soma__bucket_index(q);
        start = soma__dir_bucket_at(dir, index);
        if (soma__edge_starts(soma__edge_read(start)))
            break;
        if (soma__bucket_level(index) != dir_going(state)) /* S1 in shrink.c */
            missing[n++] = index;
    }
    while (n-- > 0) {
        struct atom *bucket = soma__dir_bucket_at(dir, missing[n]);
        if (set_up(dir, self, start, bucket))
            start = bucket;
    }
    return start;
}

/* ---- Growth ---- */

static char *level_at(const struct soma__dir *dir, unsigned m)
{
    return (char *)soma__dir_bucket_at(dir, (uint64_t)1 << m);
}

/* A huge page that two levels share is not asked for: the lower one has touched it already, and it would stay when the upper
 * one goes. */
static bool commit_levels(struct soma__dir *dir, unsigned from_m, unsigned to_m)
{
    SOMA_PROBE2(grow_begin, dir, to_m);
    if (!soma__range_commit(level_at(dir, from_m), level_at(dir, to_m)))
        return false;
    for (unsigned m = from_m; dir->huge && m < to_m; m++)
        soma__range_huge(level_at(dir, m), level_at(dir, m + 1));
    return true;
}

/* The state with 2^m buckets. A level that is only leaving stays after all: nobody has touched its sentinels yet. */
static uint64_t state_with_m(uint64_t state, unsigned m)
{
    const bool untouched = dir_phase(state) == DIR_LEAVING || dir_phase(state) == DIR_DRAIN;
    if (untouched && m >= dir_going(state))
        return dir_state(m, 0, DIR_STEADY, 0);
    return dir_state(m, dir_going(state), dir_phase(state), dir_number(state));
}

static bool grow_swap(struct soma__dir *dir, uint64_t state, unsigned m)
{
    if (!soma__dir_state_swap(dir, state, state_with_m(state, m)))
        return false;
    soma__tally_count(dir->shape.list.tally, 0, EVENT_GROW);
    return true;
}

static bool grow_to(struct soma__dir *dir, unsigned m)
{
    uint64_t state = soma__dir_state(dir);
    if (m > dir->most_log2)
        return false;
    if (dir_m(state) < m && !commit_levels(dir, dir_m(state), m))
        return false;
    while (dir_m(state) < m && !grow_swap(dir, state, m))
        state = soma__dir_state(dir);
    return true;
}

/* A level that is about to leave, for want of this floor, comes back: the floor is written in the section that has seen the
 * level in use, or has put it there, and DRAIN waits for that section before it looks.
 * order DIR-4 relaxed | hint, rechecked by: DRAIN, ordered by GRACE-4 | pairs: DIR-4 */
enum soma_status soma__dir_reserve(struct soma__dir *dir, uint64_t n)
{
    unsigned m = 0;
    while (m <= dir->most_log2 && dir_entries(dir, m) < n)
        m++;
    if (!grow_to(dir, m))
        return SOMA_E_NOMEM;
    uint64_t floor = atom_load_rlx(&dir->floor_log2);               /* DIR-4 */
    while (floor < m && !atom_cas_rlx(&dir->floor_log2, &floor, m)) /* DIR-4 */
        ;
    return SOMA_OK;
}

void soma__dir_unreserve(struct soma__dir *dir)
{
    atom_store_rlx(&dir->floor_log2, 0); /* DIR-4 */
}

/* ---- Sharing the work ---- */

/* What is left of a run, in one word: whole blocks, fewer than a run has, from this bucket up to that one. */
static uint64_t run_word(uint64_t first, uint64_t last)
{
    return first * (RUN_MOST / SET_UP_BLOCK) + (last - first) / SET_UP_BLOCK;
}

static uint64_t run_first(uint64_t word)
{
    return word / (RUN_MOST / SET_UP_BLOCK);
}

static uint64_t run_last(uint64_t word)
{
    return run_first(word) + word % (RUN_MOST / SET_UP_BLOCK) * SET_UP_BLOCK;
}

/* The buckets of a run in a table of this size. */
static uint64_t run_size(uint64_t buckets)
{
    const uint64_t part = buckets >> RUN_PART_LOG2;
    if (part < SET_UP_BLOCK)
        return SET_UP_BLOCK;
    return part < RUN_MOST ? part : RUN_MOST;
}

/* The next bucket behind this one at which such a block or run starts, or the table ends. */
static uint64_t behind(uint64_t index, uint64_t size, uint64_t end)
{
    const uint64_t next = index - index % size + size;
    return next < end ? next : end;
}

/* A new run, up to *last. */
static bool claim_run(struct soma__dir *dir, uint64_t end, uint64_t *first, uint64_t *last)
{
    uint64_t cursor = atom_load_rlx(&dir->cursor); /* DIR-5 */
    if (cursor >= end)
        return false;
    *first = cursor;
    *last = behind(cursor, run_size(end), end);
    return atom_cas_rlx(&dir->cursor, &cursor, *last); /* DIR-5 */
}

/* order DIR-5 relaxed | value only: buckets that two threads or none set up do no harm | pairs: DIR-5
 * The next block of the stripe's run, if the table still has it, or the first of a new one. If another thread of the stripe
 * has put a run there meanwhile, what is left of one of them is nobody's. */
static bool claim_block(struct soma__dir *dir, struct atom *run, uint64_t *first, uint64_t *last)
{
    const uint64_t end = (uint64_t)1 << dir_m(soma__dir_state(dir));
    uint64_t left = atom_load_rlx(run); /* DIR-5 */
    *first = run_first(left);
    *last = run_last(left);
    const bool has = *first < *last && *first < end;
    if (!has && !claim_run(dir, end, first, last))
        return false;
    const uint64_t run_end = *last;
    *last = behind(*first, SET_UP_BLOCK, run_end);
    return atom_cas_rlx(run, &left, run_word(*last, run_end)) || !has; /* DIR-5 */
}

/* The buckets of a block have parents all over the table. Each step of their walks is fetched for all before the first
 * is walked: the parents' words, their first entries, and the entries behind those. */
static void fetch_parents(const struct soma__dir *dir, uint64_t first, uint64_t last)
{
    const struct atom *steps[SET_UP_BLOCK];
    unsigned n = 0;
    for (uint64_t i = first; i < last; i++) {
        steps[n] = soma__dir_bucket_at(dir, soma__bucket_index(soma__bucket_parent(soma__bucket_form(i))));
        PREFETCH(steps[n++]);
    }
    for (int depth = 0; depth < FETCH_DEPTH; depth++) {
        for (unsigned i = 0; i < n; i++) {
            const uint64_t edge = soma__edge_read(steps[i]);
            if ((edge & EDGE_BUCKET) == 0 && soma__edge_starts(edge))
                steps[i] = &soma__edge_node(edge)->edge;
            PREFETCH(steps[i]);
        }
    }
}

/* Writes to the page before anybody reads it: a page that is read first is mapped twice, as a shared page of zeros and
 * then, by interrupting all cores, as one of its own. */
static void touch(struct atom *word)
{
    atom_add_rlx(word, 0); /* DIR-5 */
}

static void set_up_block(struct soma__dir *dir, struct soma__reader *self, struct atom *run)
{
    uint64_t first;
    uint64_t last;
    if (!claim_block(dir, run, &first, &last))
        return;
    SOMA_PROBE3(help_grow, dir, first, last - 1);
    soma__order_helped(&dir->shape.list, self, EVENT_HELP_GROW);
    fetch_parents(dir, first, last);
    touch(soma__dir_bucket_at(dir, first));
    for (uint64_t i = first; i < last; i++) {
        if (!soma__edge_starts(soma__edge_read(soma__dir_bucket_at(dir, i))))
            soma__dir_bucket_set_up(dir, self, soma__bucket_form(i));
        if (dir->shape.fill)
            dir->shape.fill(dir, self, i);
    }
    if ((last & (last - 1)) == 0)
        SOMA_PROBE2(grow_end, dir, bits_trailing(last));
}

void soma__dir_help(struct soma__dir *dir, struct soma__reader *self, struct atom *run)
{
    if (dir_phase(soma__dir_state(dir)) != DIR_STEADY)
        soma__dir_shrink_step(dir, self);
    set_up_block(dir, self, run);
}

/* An eighth of the load: after halving, a quarter, so the count must quadruple before it grows again. */
#define SHRINK_QUARTERS 1

bool soma__dir_fit(struct soma__dir *dir, uint64_t count)
{
    const unsigned m = dir_m(soma__dir_state(dir));
    if (count > dir_entries(dir, m))
        return grow_to(dir, m + 1);
    soma__dir_shrink_start(dir, count, SHRINK_QUARTERS);
    return false;
}
