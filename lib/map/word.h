/* SPDX-License-Identifier: ISC */
/* word.h - the entries of the word map, and where they live: in the cell of their bucket, while it has room, or in memory
 * of their own.
 *
 * Source      Entries in the bucket's own line: CLHT, ParlayHash. Here the list stays the truth, so nothing waits.
 * Shape       A cell is a line: the bucket's sentinel, its two homes, and a ledger of who has them.
 *                 0           8             32          40
 *                 | sentinel | hash edge value | ledger | hash edge value |
 *             An entry elsewhere is the same 24 bytes, 8 bytes into a piece of memory; a version, 24 bytes (version.h). Versions
 *             have no room at home; and what changes while views are open, is one.
 * Ledger      63 ......... 4 | resting, a bit a home | taken, a bit a home
 *             cookie
 *             A home is taken by who claims it; resting once its entry is out of the list. It may be claimed again when
 *             the grace period of the cookie has passed; the cookie is the later one of both homes.
 * Probing     A lookup reads both homes of its bucket before it walks anywhere. What it finds there may not be linked yet
 *             (TENTATIVE), not any more (FROZEN), or be no entry at all. So it believes an entry only if its edge is that
 *             of a settled, live entry: then it was linked at that read, and the hash and the value that are read after it
 *             are its own, for nobody gets the home before this section has ended. The value is the live one at its
 *             read or, if the entry was deleted in between, its last, which was live until then. Else the list tells.
 * Moving      An entry that is not in its bucket's cell moves there when the bucket is set up, and out of it before the
 *             bucket goes: a copy replaces it, with the same hash and value, by the swap that freezes it (REPLACED). Nobody
 *             sees both or neither, as with any replacement. home.c.
 * Invariants  H1. A home's hash changes only while its edge is not that of a live entry.
 *             H2. A cell is empty before its memory goes: see shrink.c, S1 and READERS.
 * Without     a 16-byte swap values cannot move, so there are no homes, and a bucket is its sentinel.
 */
#ifndef SOMA_MAP_WORD_H
#define SOMA_MAP_WORD_H

#include <stddef.h>
#include <stdint.h>

#include <soma/u64.h>

#include "base/atom.h"
#include "base/attr.h"
#include "dir/dir.h"
#include "map/version.h"
#include "order/order.h"
#include "rcu/rcu.h"

struct word_entry {
    struct atom mark; /* 0, or NODE_VERSION; constant */
    struct soma__node node;
} ALIGNED(16);

/* While views are open: see version.h. */
struct word_version {
    struct soma__stamps stamps;
    struct word_entry entry;
};

#define WORD_HOMES 2

/* The first word of the first half is the sentinel, that of the second the ledger. */
struct word_cell {
    struct {
        struct atom word;
        struct soma__node node;
    } halves[WORD_HOMES];
} ALIGNED(64);

_Static_assert(sizeof(struct word_entry) == 32, "two entries a line");
_Static_assert(sizeof(struct word_cell) == 64, "a cell is a line");
_Static_assert(offsetof(struct word_entry, node.edge) % 16 == 0, "edge and value are one 16-byte word");
_Static_assert(sizeof(struct word_version) == 48, "a version's edge and value are one 16-byte word");
_Static_assert(offsetof(struct word_cell, halves[1].node.edge) % 16 == 0, "edge and value are one 16-byte word");

#define WORD_CELL_LOG2 (HAVE_CAS16 ? 6 : 3)
#define WORD_LOAD_PERCENT (HAVE_CAS16 ? SIZED(SOMA_U64_LOAD_DEFAULT, 100) : 100)

/* ---- Values ---- */

/* order WORD-2 acquire | guarded by: value | pairs: ORDER-6, WORD-3
 * weaker: what the value points to is read before it is written; and the link is read before the value, so that a value
 * given after the entry's removal passes for live. */
ALWAYS_INLINE uint64_t soma__value_read(const struct soma__node *node)
{
    return atom_load_acq(&node->second);
}

/* order WORD-3 relaxed | not yet shared: ORDER-3 publishes it | pairs: WORD-2 */
ALWAYS_INLINE void soma__value_init(struct soma__node *node, uint64_t value)
{
    atom_store_rlx(&node->second, value);
}

/* ---- Homes ---- */

/* Whether an entry lives in a cell. */
ALWAYS_INLINE bool soma__is_home(const struct soma__dir *dir, const struct soma__node *node)
{
    return HAVE_CAS16 && (uintptr_t)node - (uintptr_t)dir < dir->range_bytes;
}

ALWAYS_INLINE struct word_cell *soma__cell_at(const struct soma__dir *dir, uint64_t index)
{
    return (struct word_cell *)(void *)soma__dir_cell_at(dir, WORD_CELL_LOG2, index);
}

/* The cell of an entry that lives in one. */
ALWAYS_INLINE struct word_cell *soma__cell_of(const struct soma__node *node)
{
    return (struct word_cell *)((uintptr_t)node & ~(uintptr_t)(sizeof(struct word_cell) - 1));
}

/* Looks a hash up among the homes of a bucket: see Probing. False: ask the list. */
ALWAYS_INLINE bool soma__cell_find(const struct atom *bucket, uint64_t hash, uint64_t *value)
{
#if HAVE_CAS16
    const struct word_cell *cell = (const struct word_cell *)(const void *)bucket;
    /* order WORD-4 relaxed | hint, rechecked by: the read of the hash after the edge | pairs: ORDER-4 */
    const bool second = atom_load_rlx(&cell->halves[1].node.hash) == hash; /* WORD-4 */
    const struct soma__node *node = &cell->halves[second].node;
    const uint64_t edge = soma__edge_read(&node->edge);
    /* One branch, since each alone is hard to predict. */
    if (!((edge != 0) & ((edge & (EDGE_FROZEN | EDGE_TENTATIVE)) == 0) & (soma__hash_read(node) == hash)))
        return false;
    *value = soma__value_read(node);
    return true;
#else
    (void)bucket, (void)hash, (void)value;
    return false;
#endif
}

/* Dead versions of a hash stand before its live entry. */
ALWAYS_INLINE bool soma__before_word(const struct soma__node *node, uint64_t hash, const void *key, bool dead)
{
    (void)key;
    const uint64_t node_hash = soma__hash_read(node);
    return node_hash < hash || (dead && node_hash == hash);
}

/* Walks to a hash, which takes out every deleted entry on the way. False: one could not be, for want of room or memory. */
bool soma__word_walk_past(struct soma__dir *dir, struct soma__reader *self, uint64_t hash);

/* A new entry for this hash, at home if there is room, else in memory of its own; not linked. NULL: no memory. Inside a
 * section, to which it belongs until it is linked or dropped. */
struct soma__node *soma__word_new(const struct soma__dir *dir, uint64_t hash);
void soma__word_drop(const struct soma__dir *dir, struct soma__node *node);

/* A version for this hash, not linked; its stamps, value and successor are to be given. NULL: no memory. */
struct soma__node *soma__word_version(uint64_t hash);

/* Gives the value and the successor; linking publishes both. */
ALWAYS_INLINE void soma__word_fill(const struct soma__dir *dir, struct soma__node *node, uint64_t value,
                                   uint64_t successor)
{
    soma__value_init(node, value);
    soma__edge_init(&node->edge, successor | (soma__is_home(dir, node) ? EDGE_TENTATIVE : 0));
}

/* After the swap that linked it: from now on probing finds it. */
ALWAYS_INLINE void soma__word_linked(const struct soma__dir *dir, struct soma__node *node, uint64_t successor)
{
    uint64_t edge = successor | EDGE_TENTATIVE;
    if (soma__is_home(dir, node))
        soma__order_settle(node, &edge);
}

/* The home of an entry that was taken out of the list may be claimed again after a grace period. */
void soma__home_rest(struct soma__node *node);

/* For struct soma__shape. */
void soma__cell_fill(struct soma__dir *dir, struct soma__reader *self, uint64_t index);
bool soma__cell_empty(struct soma__dir *dir, struct soma__reader *self, uint64_t index);

#endif
