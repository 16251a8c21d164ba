/* SPDX-License-Identifier: ISC */
/* scan.h - going through a map in the order of its list, a stretch at a time.
 *
 * A scan has a position, which outlives sections: hashes below `from` are done, and so are, if `after`, the entry with the hash
 * `from` (of a byte map: those up to the key). In each section it starts at the directory, as a lookup does, and
 * follows edges from there. It writes nothing.
 *
 * Visible     An entry that is not frozen, if it is part of the map at the instant asked for (soma__visible). At any
 *             instant a key has one such entry, or none.
 * Invariants  N1. What a scan follows: to each thing it stands on there is an instant, within the section and none before
 *             that of the thing before, at which the thing was linked and had the edge that the scan read. For the bucket
 *             that it starts from, it is the read (O5). For the next thing: it was linked at the instant of the one
 *             before, whose edge led to it. If it is unfrozen when its edge is read, it is linked then. If it was frozen after
 *             that earlier instant, it was linked when it was frozen, and its edge has not changed since (O2). If it was
 *             frozen before, its edge has been the same all the time.
 * None twice  Along the instants of N1 hashes do not fall, nor do keys of one hash (O1), so what stands before the position
 *             never comes again; what equals it is passed over: the replacement of an entry that was given, or another
 *             version of its key.
 * None missed Take a key that is there throughout, and the last thing X before its place that the scan stands on. At X's
 *             instant the list goes on, behind X, with entries of the key: the live one, and before it at the most some that
 *             are frozen and REPLACED, or versions that are dead, each of which leads to what took its place. So the scan comes
 *             to one of them. If it is the live one when its edge is read, it is given. If not, the key has moved on behind
 *             it, by the swap that made it what it is, so its edge leads to the next, whose instant is no earlier; and
 *             so on. The chain ends unless replacements are made faster than edges are read.
 *             A frozen entry that is not REPLACED was removed: its key was not there throughout.
 * Between     sections nothing is held. A key whose place is behind the position is met later, by the same argument; one before
 *             it has been met, or was not there all the time. Growth and shrinking change where a scan starts, not what is
 *             behind it; a home that an entry moves to is an entry like any other (REPLACED).
 * Value       It is read before the edge, so it was live at its read: as in the lookups.
 * Progress    As a lookup's, for each entry. A section passes SCAN_HOPS buckets at the most.
 */
#ifndef SOMA_MAP_SCAN_H
#define SOMA_MAP_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/size.h"
#include "dir/dir.h"
#include "map/bytes.h"
#include "map/core.h"
#include "map/version.h"
#include "map/word.h"
#include "order/order.h"

/* Known at compile time. */
enum soma__kind {
    KIND_WORDS,
    KIND_BYTES
};

/* Buckets that one section passes. */
#define SCAN_HOPS SIZED(1024, 2)

/* Buckets fetched ahead: first their cells; then what the cells lead to; then what that leads to. */
#define SCAN_FETCH_CELLS SIZED(32, 2)
#define SCAN_FETCH_FIRST SIZED(20, 1)
#define SCAN_FETCH_NEXT SIZED(10, 0)

struct soma__scan {
    /* The position. */
    uint64_t from;
    uint64_t to; /* the last hash to be visited */
    bool after;
    struct soma_bytes key; /* byte maps: if `after`; must stay readable */

    /* In a section. */
    bool ended;    /* there is nothing more, up to `to` */
    unsigned hops; /* left */
    unsigned m;
    uint64_t edge;  /* to follow */
    uint64_t ahead; /* buckets below, counted in the order of the list, have been fetched */

    /* What soma__scan_next() found. */
    uint64_t hash;
    uint64_t word; /* what stood beside its edge */
};

ALWAYS_INLINE unsigned soma__kind_cell_log2(enum soma__kind kind)
{
    return kind == KIND_WORDS ? WORD_CELL_LOG2 : BYTES_CELL_LOG2;
}

/* ---- Fetching ahead ---- */

/* The bucket that is the n-th in the list. */
ALWAYS_INLINE const struct atom *scan_bucket(const struct core *core, enum soma__kind kind,
                                             const struct soma__scan *scan, uint64_t n)
{
    const uint64_t q = UINT64_C(1) << scan->m | n;
    return soma__dir_cell_at(&core->dir, soma__kind_cell_log2(kind), soma__bucket_index(q));
}

/* Fetches what an edge in a bucket leads to or, `deeper`, what that leads to, if the edge is linked, so that it may be
 * followed. Few branches, since none could be predicted. */
ALWAYS_INLINE void scan_fetch_edge(const struct atom *bucket, uint64_t edge, bool deeper)
{
    const struct atom *next = (const struct atom *)(const void *)soma__edge_node(edge);
    if (deeper) {
        const bool follow = soma__edge_starts(edge) & ((edge & EDGE_BUCKET) == 0);
        const struct atom *from = follow ? &soma__edge_node(edge)->edge : bucket;
        next = (const struct atom *)(const void *)soma__edge_node(soma__edge_read(from));
    }
    PREFETCH(next);
}

ALWAYS_INLINE void scan_fetch_entries(const struct core *core, enum soma__kind kind, const struct soma__scan *scan,
                                      uint64_t n, bool deeper)
{
    const struct atom *bucket = scan_bucket(core, kind, scan, n);
    scan_fetch_edge(bucket, soma__edge_read(bucket), deeper);
    if (kind == KIND_WORDS && HAVE_CAS16) {
        const struct word_cell *cell = (const struct word_cell *)(const void *)bucket;
        for (unsigned home = 0; home < WORD_HOMES; home++)
            scan_fetch_edge(bucket, soma__edge_read(&cell->halves[home].node.edge), deeper);
    }
}

/* The buckets in the list's order lie all over the directory, and their entries all over memory. At the bucket of this hash,
 * fetches for those behind it. */
ALWAYS_INLINE void scan_fetch(const struct core *core, enum soma__kind kind, struct soma__scan *scan, uint64_t hash)
{
    const unsigned shift = 63 - scan->m;
    const uint64_t here = hash >> 1 >> shift;
    const uint64_t last = scan->to >> 1 >> shift;
    if (scan->ahead <= here)
        scan->ahead = here + 1;
    for (; scan->ahead <= last && scan->ahead <= here + SCAN_FETCH_CELLS; scan->ahead++) {
        const uint64_t n = scan->ahead;
        PREFETCH(scan_bucket(core, kind, scan, n));
        if (n > here + SCAN_FETCH_CELLS - SCAN_FETCH_FIRST)
            scan_fetch_entries(core, kind, scan, n - (SCAN_FETCH_CELLS - SCAN_FETCH_FIRST), false);
        if (n > here + SCAN_FETCH_CELLS - SCAN_FETCH_NEXT)
            scan_fetch_entries(core, kind, scan, n - (SCAN_FETCH_CELLS - SCAN_FETCH_NEXT), true);
    }
}

/* ---- Steps ---- */

/* To the beginning of a part: of the hashes from `from` to `to`. */
ALWAYS_INLINE void soma__scan_init(struct soma__scan *scan, uint64_t from, uint64_t to)
{
    *scan = (struct soma__scan){.from = from, .to = to, .ended = from > to};
}

/* At the beginning of each section. */
ALWAYS_INLINE void soma__scan_enter(const struct core *core, enum soma__kind kind, struct soma__scan *scan)
{
    const unsigned m = dir_m(soma__dir_state(&core->dir));
    if (m != scan->m)
        scan->ahead = 0;
    scan->m = m;
    scan->hops = SCAN_HOPS;
    scan_fetch(core, kind, scan, scan->from);
    scan->edge = soma__dir_start(&core->dir, soma__kind_cell_log2(kind), scan->from);
}

/* Whether an entry whose hash is not behind `from` is done with. */
ALWAYS_INLINE bool scan_passed(enum soma__kind kind, const struct soma__scan *scan, const struct soma__node *node,
                               uint64_t hash)
{
    if (hash < scan->from || !scan->after)
        return hash < scan->from;
    return kind == KIND_WORDS || soma__bytes_compare(node, scan->key.data, scan->key.len) <= 0;
}

/* Steps onto a bucket. False: it is the end, or far enough for one section. */
ALWAYS_INLINE bool scan_bucket_step(const struct core *core, enum soma__kind kind, struct soma__scan *scan)
{
    const struct atom *bucket = soma__edge_bucket(scan->edge);
    const uint64_t index = bucket ? soma__dir_cell_index(&core->dir, soma__kind_cell_log2(kind), bucket) : 0;
    if (!bucket || soma__bucket_position(index) > scan->to) {
        scan->ended = true;
        return false;
    }
    const uint64_t position = soma__bucket_position(index);
    /* A section may have to start far in front of the position; it ends only when it has come behind. */
    if (position > scan->from) {
        scan->from = position;
        scan->after = false;
        if (scan->hops-- == 0)
            return false;
    }
    scan_fetch(core, kind, scan, position);
    scan->edge = soma__edge_read(bucket);
    return true;
}

/* The next visible entry, to which the position stays in front; NULL if the scan has ended, or the section should. */
ALWAYS_INLINE const struct soma__node *soma__scan_next(struct core *core, enum soma__kind kind, struct soma__scan *scan,
                                                       uint64_t at)
{
    for (;;) {
        if (scan->edge & EDGE_BUCKET) {
            if (!scan_bucket_step(core, kind, scan))
                return NULL;
            continue;
        }
        const struct soma__node *node = soma__edge_node(scan->edge);
        scan->hash = soma__hash_read(node);
        if (UNLIKELY(scan->hash > scan->to)) {
            scan->ended = true;
            return NULL;
        }
        scan->word = kind == KIND_WORDS ? soma__value_read(node) : soma__bytes_word(node);
        scan->edge = soma__edge_read(&node->edge);
        if (UNLIKELY(scan->hash <= scan->from) && scan_passed(kind, scan, node, scan->hash))
            continue;
        if (LIKELY((scan->edge & EDGE_FROZEN) == 0) && soma__visible(core, node, scan->edge, at))
            return node;
    }
}

/* Moves the position past the entry that was found. */
ALWAYS_INLINE void soma__scan_pass(struct soma__scan *scan, struct soma_bytes key)
{
    scan->from = scan->hash;
    scan->after = true;
    scan->key = key;
}

#endif
