/* SPDX-License-Identifier: ISC */
/* dir.h - from a hash to the place in the list where its bucket starts; growth and shrinking.
 *
 * The bucket words stand in one reserved range of addresses, right behind the map's header, so a bucket's address is
 * one sum away and never changes. The first page of the range holds the header and the first DIR_FIRST buckets; an
 * empty map needs no more.
 *
 * The state word says all: how many buckets there are (2^m), and which level is being taken out, if any. Everybody
 * reads it inside a read section, so a grace period after a change nobody acts on the old one any more. Growth: dir.c.
 * Shrinking: shrink.c.
 */
#ifndef SOMA_DIR_DIR_H
#define SOMA_DIR_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atom.h"
#include "base/attr.h"
#include "base/bits.h"
#include "base/probe.h"
#include "base/size.h"
#include "order/order.h"
#include "rcu/rcu.h"

#define DIR_PAGE ((size_t)4096)
#define DIR_HEADER_LEAST ((size_t)2048) /* bytes before the buckets, at least */

struct soma__dir;

/* What a kind of map has chosen. */
struct soma__shape {
    struct soma__list list;
    unsigned cell_log2; /* bytes from a bucket to the next, log2; the sentinel is the first 8 of them */
    unsigned load;      /* entries for each 100 buckets at which the table grows */

    /* If entries live in the buckets' cells, else NULL: moves entries of a new bucket, never 0, into its cell, as far as is
     * convenient; moves all out of the cell of a bucket that goes (false: no memory, or no room to retire). */
    void (*fill)(struct soma__dir *dir, struct soma__reader *self, uint64_t index);
    bool (*empty)(struct soma__dir *dir, struct soma__reader *self, uint64_t index);
};

struct soma__dir {
    struct atom state;        /* see dir_m() and shrink.c */
    struct soma__shape shape; /* constant */
    uint64_t range_bytes;     /* constant: of the reservation, header and all */
    unsigned most_log2;       /* constant: the reservation has room for 2^most_log2 buckets */
    bool huge;                /* constant: huge pages are wanted */

    struct atom cursor ALIGNED(APART); /* buckets below it are set up, or somebody is at it */
    struct atom floor_log2;            /* do not shrink below */
    struct atom shrink_cursor;         /* progress in the level that is being taken out */
    struct atom release_claim;         /* who gives its memory back: 0, or a fork generation + 1 */
    struct atom leavings;              /* the last number that a LEAVING got */
};

/* ---- The state word: m | level going | phase | number: 6, 6, 3 and 49 bits, which last for years ----
 *
 * The number is the cookie of a grace period in DRAIN and READERS, one that no other has in LEAVING, and else 0. */

enum dir_phase {
    DIR_STEADY,   /* no level is going */
    DIR_LEAVING,  /* the level is out of use for who comes now */
    DIR_DRAIN,    /* until the cookie has passed, some may still use it */
    DIR_UNLINK,   /* its sentinels are being taken out of the list */
    DIR_UNLINKED, /* they are out */
    DIR_READERS,  /* until the cookie has passed, walkers may stand on them */
    DIR_RELEASE,  /* its memory is being given back */
};

ALWAYS_INLINE unsigned dir_m(uint64_t state)
{
    return state & 0x3f;
}

ALWAYS_INLINE unsigned dir_going(uint64_t state)
{
    return state >> 6 & 0x3f;
}

ALWAYS_INLINE enum dir_phase dir_phase(uint64_t state)
{
    return (enum dir_phase)(state >> 12 & 7);
}

ALWAYS_INLINE uint64_t dir_number(uint64_t state)
{
    return state >> 15;
}

/* The grace period that the level waits for; 0: none. */
ALWAYS_INLINE uint64_t dir_cookie(uint64_t state)
{
    return dir_phase(state) == DIR_LEAVING ? 0 : dir_number(state);
}

ALWAYS_INLINE uint64_t dir_state(unsigned m, unsigned going, enum dir_phase phase, uint64_t number)
{
    return m | (uint64_t)going << 6 | (uint64_t)phase << 12 | number << 15;
}

/* order DIR-1 acquire | guarded by: state | pairs: DIR-2
 * weaker: a bucket word is touched before its page is committed. */
ALWAYS_INLINE uint64_t soma__dir_state(const struct soma__dir *dir)
{
    return atom_load_acq(&dir->state);
}

/* order DIR-2 release | guards: the committed pages, the cursors of a phase | pairs: DIR-1 */
ALWAYS_INLINE bool soma__dir_state_swap(struct soma__dir *dir, uint64_t from, uint64_t to)
{
    return atom_cas_rel(&dir->state, &from, to);
}

/* ---- Buckets ----
 *
 * What is asked in every call takes the size of a cell, which is known where the kind of map is. */

/* The buckets that share the first page with the header, log2. */
ALWAYS_INLINE unsigned dir_first_log2(unsigned cell_log2)
{
    (void)cell_log2; /* where tables are small */
    return SIZED(bits_log2_ceil(DIR_PAGE - DIR_HEADER_LEAST) - cell_log2, 1);
}

ALWAYS_INLINE size_t dir_header_bytes(unsigned cell_log2)
{
    return DIR_PAGE - ((size_t)1 << (cell_log2 + dir_first_log2(cell_log2)));
}

ALWAYS_INLINE struct atom *soma__dir_cell_at(const struct soma__dir *dir, unsigned cell_log2, uint64_t index)
{
    return (struct atom *)((uintptr_t)dir + dir_header_bytes(cell_log2) + (index << cell_log2));
}

ALWAYS_INLINE uint64_t soma__dir_cell_index(const struct soma__dir *dir, unsigned cell_log2, const struct atom *bucket)
{
    return ((uintptr_t)bucket - (uintptr_t)dir - dir_header_bytes(cell_log2)) >> cell_log2;
}

ALWAYS_INLINE struct atom *soma__dir_bucket_at(const struct soma__dir *dir, uint64_t index)
{
    return soma__dir_cell_at(dir, dir->shape.cell_log2, index);
}

ALWAYS_INLINE uint64_t soma__dir_bucket_index(const struct soma__dir *dir, const struct atom *bucket)
{
    return soma__dir_cell_index(dir, dir->shape.cell_log2, bucket);
}

/* Whether the end of a bucket is reached: `edge` leads to the end of the list, or to a sentinel after this hash. */
ALWAYS_INLINE bool soma__dir_edge_ends(const struct soma__dir *dir, unsigned cell_log2, uint64_t edge, uint64_t hash)
{
    const struct atom *bucket = soma__edge_bucket(edge);
    return !bucket || soma__bucket_position(soma__dir_cell_index(dir, cell_log2, bucket)) > hash;
}

/* The nearest bucket at or before a hash that is set up, and its edge. Never writes: a bucket that is not set up, or on its
 * way out, is passed over for the one that it was split from. */
ALWAYS_INLINE struct atom *soma__dir_bucket_near(const struct soma__dir *dir, unsigned cell_log2, uint64_t hash,
                                                 uint64_t *edge)
{
    uint64_t q = soma__bucket_of(hash, dir_m(soma__dir_state(dir)));
    for (;;) {
        struct atom *bucket = soma__dir_cell_at(dir, cell_log2, soma__bucket_index(q));
        *edge = soma__edge_read(bucket);
        if (LIKELY(soma__edge_starts(*edge)))
            return bucket;
        q = soma__bucket_parent(q);
    }
}

/* For readers: the first edge to follow on the way to a hash. */
ALWAYS_INLINE uint64_t soma__dir_start(const struct soma__dir *dir, unsigned cell_log2, uint64_t hash)
{
    uint64_t edge;
    soma__dir_bucket_near(dir, cell_log2, hash, &edge);
    return edge;
}

/* The bucket of a hash, set up or not. */
ALWAYS_INLINE const struct atom *soma__dir_bucket_hint(const struct soma__dir *dir, unsigned cell_log2, uint64_t hash)
{
    return soma__dir_cell_at(dir, cell_log2, soma__bucket_index(soma__bucket_of(hash, dir_m(soma__dir_state(dir)))));
}

/* For writers: sets up the bucket of the leading-one form q, and those it was split from, as far as it can; the last
 * one that a walk may start from. */
struct atom *soma__dir_bucket_set_up(struct soma__dir *dir, struct soma__reader *self, uint64_t q);

/* For writers: where a walk to a hash starts. */
ALWAYS_INLINE struct atom *soma__dir_bucket(struct soma__dir *dir, unsigned cell_log2, struct soma__reader *self,
                                            uint64_t hash)
{
    const uint64_t q = soma__bucket_of(hash, dir_m(soma__dir_state(dir)));
    struct atom *bucket = soma__dir_cell_at(dir, cell_log2, soma__bucket_index(q));
    if (LIKELY(soma__edge_starts(soma__edge_read(bucket))))
        return bucket;
    return soma__dir_bucket_set_up(dir, self, q);
}

/* ---- Walking, for writers ---- */

/* Whether an entry stands before a key; known at compile time, so that each kind of map gets a straight walk. `dead`: it
 * is a dead version, which stands before the live one of its key. */
typedef bool (*soma__before_fn)(const struct soma__node *node, uint64_t hash, const void *key, bool dead);

ALWAYS_INLINE bool soma__before_hash(const struct soma__node *node, uint64_t hash, const void *key, bool dead)
{
    (void)key, (void)dead;
    return soma__hash_read(node) < hash;
}

/* Walks on from place->prev, which must be a bucket's word, to the first thing that is not before the key, taking out
 * every frozen entry and sentinel on the way (Michael 2002, find). SOMA_OK: *place is there. SOMA_CHANGED: something on
 * the way was frozen, start again. Errors: a frozen entry could not be taken out; nothing changed. */
ALWAYS_INLINE enum soma_status soma__dir_walk(const struct soma__dir *dir, unsigned cell_log2,
                                              struct soma__reader *self, uint64_t hash, const void *key,
                                              soma__before_fn before, struct soma__place *place)
{
    place->word = soma__edge_read(place->prev);
    for (;;) {
        if (UNLIKELY(place->word & EDGE_FROZEN))
            return SOMA_CHANGED;
        if (place->word & EDGE_BUCKET) {
            if (LIKELY(soma__dir_edge_ends(dir, cell_log2, place->word, hash)))
                return SOMA_OK;
            if (!soma__order_step_bucket(&dir->shape.list, self, place))
                return SOMA_CHANGED;
            continue;
        }
        struct soma__node *node = soma__edge_node(place->word);
        uint64_t edge = soma__edge_read(&node->edge);
        if (UNLIKELY(edge & (EDGE_FROZEN | EDGE_TENTATIVE))) {
            if ((edge & EDGE_FROZEN) == 0)
                dir->shape.list.settle(&dir->shape.list, self, node, &edge);
            if ((edge & (EDGE_FROZEN | EDGE_TENTATIVE)) == 0) {
                SOMA_PROBE1(help_link, node);
                soma__order_helped(&dir->shape.list, self, EVENT_HELP_LINK);
                continue;
            }
            if ((edge & EDGE_FROZEN) == 0) {
                if (!before(node, hash, key, true))
                    return SOMA_OK;
                place->prev = &node->edge;
                place->word = edge;
                continue;
            }
            SOMA_PROBE1(help_unlink, node);
            soma__order_helped(&dir->shape.list, self, EVENT_HELP_UNLINK);
            const enum soma_status status = soma__order_unlink(&dir->shape.list, self, place->prev, &place->word, edge);
            if (status < 0)
                return status;
        } else if (!before(node, hash, key, false)) {
            return SOMA_OK;
        } else {
            place->prev = &node->edge;
            place->word = edge;
        }
    }
}

/* ---- Size ---- */

/* How many entries 2^m buckets hold before there should be more. */
ALWAYS_INLINE uint64_t dir_entries(const struct soma__dir *dir, unsigned m)
{
    return ((uint64_t)dir->shape.load << m) / 100;
}

/* A reservation for a map's header and buckets of this size; its first page is committed and zero. NULL if there is no
 * room. huge: levels that hold whole huge pages shall get them. */
struct soma__dir *soma__dir_new(unsigned cell_log2, bool huge);

/* Sets up the header's part of a fresh reservation: an empty list. */
void soma__dir_init(struct soma__dir *dir, const struct soma__shape *shape);

/* Ends the reservation but for the first page; then the first page. */
void soma__dir_free_buckets(struct soma__dir *dir);
void soma__dir_free_page(struct soma__dir *dir);

/* Makes at least 2^m buckets for n entries at once, and keeps them. SOMA_E_NOMEM: more than can be. Inside a section, if the map
 * is shared. */
enum soma_status soma__dir_reserve(struct soma__dir *dir, uint64_t n);
void soma__dir_unreserve(struct soma__dir *dir);

/* A bounded share of pending growth or shrinking. `run` is a word, 0 at first, that few threads share, for what this
 * thread's next shares are to be. Inside a section. */
void soma__dir_help(struct soma__dir *dir, struct soma__reader *self, struct atom *run);

/* Starts to grow or to shrink if this many entries call for it. Inside a section. Whether the table has grown. */
bool soma__dir_fit(struct soma__dir *dir, uint64_t count);

/* One step of taking a level out; false if there is nothing to do but wait. Inside a section. */
bool soma__dir_shrink_step(struct soma__dir *dir, struct soma__reader *self);

/* Starts to take the highest level out, if the buckets left will be full to `quarters` quarters of their load or less. */
bool soma__dir_shrink_start(struct soma__dir *dir, uint64_t count, unsigned quarters);

#endif
