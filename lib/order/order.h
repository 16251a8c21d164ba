/* SPDX-License-Identifier: ISC */
/* order.h - the split-ordered list: one sorted lock-free list of all entries and all buckets' sentinels.
 *
 * Source      Lists: Harris 2001, Michael 2002. Split order: Shalev & Shavit 2006. Replacing by one swap: liburcu.
 * Changed     Sorted by the hash itself, not by its reversed bits: buckets are prefixes, numbered so that growth leaves
 *             every number as it is (bucket_index). Flags say what an edge points to, so a miss ends on an edge.
 * Shape       bucket word = sentinel = 8 bytes: its edge. Its place in the order follows from its address.
 *             An edge:  63 ......... 3 | BUCKET | REPLACED | FROZEN
 *                       address        | points to a sentinel; address 0: end of the list
 *             FROZEN on an entry's edge: the entry is deleted; the edge never changes again.
 *             FROZEN on a bucket word: the bucket is being taken out; never a place to start from.
 *             REPLACED (with FROZEN): deleted because the successor is its replacement.
 *             TENTATIVE (the same bit, without FROZEN): being linked; not yet to be started from, on a bucket word, or
 *             believed, on an entry that is found by its place (map/word.h). Who reaches it by an edge knows better.
 *             On a version of an entry: ask its stamps; it is new, or dead and kept for views (map/version.h). A dead one
 *             has a successor like any other, and keeps the mark when it gets a new one.
 *             0 on a bucket word: not set up.
 *      bucket 0          entries                    bucket
 *      [ edge ]--> {hash|edge|value} --> {...} ==BUCKET==> [ edge ] --> ... ==BUCKET==> end
 * Words       An entry before its linking is private; linked by a swap of its predecessor's edge (ORDER-3); frozen by a
 *             swap of its own edge; unlinked by a swap of its predecessor's edge; buried by whoever unlinked it.
 * Invariants  O1. Along the list hashes do not fall; a sentinel stands before the entries of its position.
 *             O2. A frozen edge never changes.
 *             O3. Only a sentinel or an unfrozen entry gets a new successor, so what is linked is reachable.
 *             O4. Every entry is buried once: by the thread whose swap took it out of its predecessor's edge.
 *             O5. Sentinels that readers start from are linked and unfrozen at that instant.
 *             O6. An entry is frozen only when it is settled: TENTATIVE and REPLACED are one bit, and an entry deleted with it
 *             would pass for one that has moved. Walks settle whatever they pass. A dead version is frozen with it: who finds
 *             it so goes on to its successor, as before.
 * Together    Everything may run beside everything, inside read sections.
 * Staleness   A walker may stand on deleted entries; their edges lead back to the list. What it answers was true when it
 *             read the edge that led it there (see the lookups in map/).
 * Not here    Keys (callers compare), buckets' numbers and growth (dir/), memory.
 */
#ifndef SOMA_ORDER_ORDER_H
#define SOMA_ORDER_ORDER_H

#include <stdint.h>

#include "base/atom.h"
#include "base/attr.h"
#include "base/bits.h"
#include "base/check.h"
#include "base/probe.h"
#include "base/tally.h"
#include "rcu/rcu.h"

enum {
    EDGE_FROZEN = 1,
    EDGE_REPLACED = 2,
    EDGE_TENTATIVE = 2,
    EDGE_BUCKET = 4,
    EDGE_FLAGS = 7,
};
#define EDGE_END ((uint64_t)EDGE_BUCKET)

/* What every entry has. The last word is the map's: a value, or part of one. */
struct soma__node {
    struct atom hash; /* constant while the entry is linked */
    struct atom edge;
    struct atom second;
};

/* A list and what is needed to take entries out of it. */
struct soma__list {
    struct soma__owner *owner;
    struct soma__tally *tally; /* stripe 0's */
    /* What the owner's cap has to have room for before the entry with this edge may be taken out. 0: it is not retired. */
    uint64_t (*node_bytes)(const struct soma__list *list, const struct soma__node *node, uint64_t edge);
    /* Makes up its mind on a linked entry whose edge, *edge, is TENTATIVE: takes the mark off, or freezes a dead version
     * that nobody needs any more, or leaves one that is needed. *edge is what its edge holds afterwards. */
    void (*settle)(const struct soma__list *list, struct soma__reader *self, struct soma__node *node, uint64_t *edge);
    /* Retires what was taken out, whose edge, `edge`, is frozen; room was made for node_bytes. */
    void (*bury)(const struct soma__list *list, struct soma__reader *self, struct soma__node *node, uint64_t edge);
};

/* order ORDER-4 relaxed | not yet shared: ORDER-3 publishes it | pairs: ORDER-5, WORD-4 */
ALWAYS_INLINE void soma__hash_init(struct soma__node *node, uint64_t hash)
{
    atom_store_rlx(&node->hash, hash);
}

/* order ORDER-5 relaxed | guarded by: edge, which led here (ORDER-1) | pairs: ORDER-4 */
ALWAYS_INLINE uint64_t soma__hash_read(const struct soma__node *node)
{
    return atom_load_rlx(&node->hash);
}

/* ---- Edges ---- */

ALWAYS_INLINE struct soma__node *soma__edge_node(uint64_t edge)
{
    return (struct soma__node *)(uintptr_t)(edge & ~(uint64_t)EDGE_FLAGS);
}

ALWAYS_INLINE struct atom *soma__edge_bucket(uint64_t edge)
{
    return (struct atom *)(uintptr_t)(edge & ~(uint64_t)EDGE_FLAGS);
}

/* The edge that leads past something whose own edge is this; and that edge itself, once it is known to be linked. */
ALWAYS_INLINE uint64_t soma__edge_onward(uint64_t edge)
{
    return edge & ~(uint64_t)(EDGE_FROZEN | EDGE_REPLACED);
}

ALWAYS_INLINE uint64_t soma__edge_to_node(const struct soma__node *node)
{
    return (uintptr_t)node;
}

ALWAYS_INLINE uint64_t soma__edge_to_bucket(const struct atom *bucket)
{
    return (uintptr_t)bucket | EDGE_BUCKET;
}

/* Whether a walk may start at the bucket with this word (O5). */
ALWAYS_INLINE bool soma__edge_starts(uint64_t word)
{
    return word != 0 && (word & (EDGE_FROZEN | EDGE_TENTATIVE)) == 0;
}

/* order ORDER-1 seq_cst | guarded by: edge, and all links with stamps from before a view that the thread has | pairs: ORDER-2, ORDER-3, ORDER-6, STAMP-4
 * weaker: an entry is reached before its hash and value are there to be read; or an update that a view has is not found, in
 * the view or, by who has the view, in the map. */
ALWAYS_INLINE uint64_t soma__edge_read(const struct atom *edge)
{
    return atom_load_seq(edge);
}

/* order ORDER-2 relaxed | not yet shared: ORDER-3 publishes it | pairs: ORDER-1 */
ALWAYS_INLINE void soma__edge_init(struct atom *edge, uint64_t word)
{
    atom_store_rlx(edge, word);
}

/* order ORDER-3 seq_cst | guards: the new successor's content; the link stands before the stamp that says when | pairs: ORDER-1, STAMP-2
 * weaker: as ORDER-1: an update gets the time of a view that does not find it. Buckets and entries that have moved, behind
 * which such an update is found, are links like any other. What a failed swap finds is read as by ORDER-1. */
ALWAYS_INLINE bool soma__edge_swap(struct atom *edge, uint64_t *expected, uint64_t desired)
{
    const bool done = atom_cas_seq(edge, expected, desired);
    if (!done)
        SOMA_PROBE1(cas_failed, edge);
    return done;
}

/* order ORDER-6 seq_cst | guards: as ORDER-3, and what the second word points to | pairs: BYTES-2, ORDER-1, STAMP-2, WORD-2
 * weaker: as ORDER-3; or what the second word points to is read before it is written.
 * Changes an entry's edge and second word together, if both are as expected. Without a 16-byte swap second words never change,
 * so the edge alone will do. */
ALWAYS_INLINE bool soma__node_swap(struct soma__node *node, uint64_t edge, uint64_t second, uint64_t to_edge,
                                   uint64_t to_second)
{
#if HAVE_CAS16
    const bool done = atom_cas16_seq(&node->edge, edge, second, to_edge, to_second);
    if (!done)
        SOMA_PROBE1(cas_failed, &node->edge);
    return done;
#else
    (void)second, (void)to_second;
    return soma__edge_swap(&node->edge, &edge, to_edge);
#endif
}

/* ---- Buckets' numbers ----
 *
 * With 2^m buckets, the bucket of a hash is its top m bits, p. Numbering them by p would renumber all when m grows, so
 * they are numbered by levels: bucket 0 is p = 0; the 2^(l-1) buckets that level l adds are those whose p, as a
 * fraction of the whole, has l digits. Written with a leading one, q = 1p, the number is q without its trailing zeros
 * and without the lowest one: then q and q0 (the same fraction, m + 1 bits) have the same number. */

/* The leading-one form of the bucket of a hash among 2^m. */
ALWAYS_INLINE uint64_t soma__bucket_of(uint64_t hash, unsigned m)
{
    return (hash >> 1 | UINT64_C(1) << 63) >> (63 - m);
}

ALWAYS_INLINE uint64_t soma__bucket_index(uint64_t q)
{
    return q >> 1 >> bits_trailing(q);
}

/* The shortest leading-one form of the bucket with this number. */
ALWAYS_INLINE uint64_t soma__bucket_form(uint64_t index)
{
    return 2 * index + 1;
}

/* The bucket that contained this one before it was split off: q must not be bucket 0's. */
ALWAYS_INLINE uint64_t soma__bucket_parent(uint64_t q)
{
    return q & (q - 1);
}

/* The lowest hash of the bucket with this number, which must not be 0. */
ALWAYS_INLINE uint64_t soma__bucket_position(uint64_t index)
{
    return soma__bucket_form(index) << bits_leading(index);
}

/* The level that added the bucket with this number: 0 for bucket 0. */
ALWAYS_INLINE unsigned soma__bucket_level(uint64_t index)
{
    return index == 0 ? 0 : 64 - bits_leading(index);
}

/* ---- Changing the list; inside a read section ---- */

/* Makes room to retire an entry with this edge. An error: there is none; nothing changed. */
ALWAYS_INLINE enum soma_status soma__order_room(const struct soma__list *list, struct soma__reader *self,
                                                const struct soma__node *node, uint64_t edge)
{
    const uint64_t bytes = list->node_bytes(list, node, edge);
    return bytes ? soma__retire_prepare(self, list->owner, bytes) : SOMA_OK;
}

/* Takes out an entry whose edge, `edge`, is frozen, from prev, which led to it by `word`. SOMA_OK: done, and the entry
 * is buried (O4); *word is what prev leads to now. SOMA_CHANGED: prev has changed; *word is what it holds now. An
 * error: there is no room to retire it; nothing changed. */
ALWAYS_INLINE enum soma_status soma__order_unlink(const struct soma__list *list, struct soma__reader *self,
                                                  struct atom *prev, uint64_t *word, uint64_t edge)
{
    struct soma__node *node = soma__edge_node(*word);
    const enum soma_status room = soma__order_room(list, self, node, edge);
    if (UNLIKELY(room != SOMA_OK))
        return room;
    const uint64_t onward = soma__edge_onward(edge) | (*word & EDGE_TENTATIVE);
    if (!soma__edge_swap(prev, word, onward))
        return SOMA_CHANGED;
    *word = onward;
    list->bury(list, self, node, edge);
    return SOMA_OK;
}

/* Takes TENTATIVE off an entry that is linked. *edge is what its edge holds afterwards. */
ALWAYS_INLINE void soma__order_settle(struct soma__node *node, uint64_t *edge)
{
    while ((*edge & (EDGE_TENTATIVE | EDGE_FROZEN)) == EDGE_TENTATIVE) {
        const uint64_t settled = soma__edge_onward(*edge);
        if (soma__edge_swap(&node->edge, edge, settled))
            *edge = settled;
    }
}

/* Where a walk has come to: *prev held `word`, which is unfrozen and leads to the first thing not before the key. */
struct soma__place {
    struct atom *prev;
    uint64_t word;
};

/* What prev has to hold to lead elsewhere: a dead version keeps its mark. */
ALWAYS_INLINE uint64_t soma__place_to(const struct soma__place *place, uint64_t edge)
{
    return edge | (place->word & EDGE_TENTATIVE);
}

/* Notes that a walk has helped. */
ALWAYS_INLINE void soma__order_helped(const struct soma__list *list, const struct soma__reader *self,
                                      enum soma__event event)
{
    soma__tally_count(list->tally, self->index, event);
}

/* Steps from a place onto the bucket that its edge leads to. Takes a frozen one out instead; finishes a tentative one,
 * which is linked, since it was reached. False: prev is frozen now, so the walk must start again. */
ALWAYS_INLINE bool soma__order_step_bucket(const struct soma__list *list, const struct soma__reader *self,
                                           struct soma__place *place)
{
    struct atom *bucket = soma__edge_bucket(place->word);
    uint64_t edge = soma__edge_read(bucket);
    if (LIKELY(soma__edge_starts(edge))) {
        place->prev = bucket;
        place->word = edge;
        return true;
    }
    SOMA_PROBE2(help_bucket, bucket, edge);
    soma__order_helped(list, self, EVENT_HELP_BUCKET);
    if (edge & EDGE_FROZEN) {
        const uint64_t onward = soma__place_to(place, soma__edge_onward(edge));
        if (soma__edge_swap(place->prev, &place->word, onward))
            place->word = onward;
        return (place->word & EDGE_FROZEN) == 0;
    }
    soma__edge_swap(bucket, &edge, soma__edge_onward(edge));
    return true;
}

#endif
