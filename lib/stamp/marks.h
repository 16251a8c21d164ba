/* SPDX-License-Identifier: ISC */
/* marks.h - when each stretch of a map changed last, in numbers of its clock.
 *
 * Shape       A tree of numbers. The leaves stand for equal stretches of hashes; a word above stands for 64 below it, up to
 *             one for all.
 *             A map that outgrows its marks gets new ones, with more leaves; the old ones stay until its end.
 *
 *               root       [ 7 ]
 *               level 1    [ 7 ][ 5 ]  ...             number of the latest change in each stretch, or a later one
 *               leaves     [0][0][7][3] ...  [5]
 *
 * Marking     From the root down, so that what stands above a leaf is no less.
 * Complete    New marks are complete from the first number on that is read when a grace period has passed behind their
 *             installing: who still marks the old ones, or none, has ended.
 */
#ifndef SOMA_STAMP_MARKS_H
#define SOMA_STAMP_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atom.h"
#include "base/attr.h"
#include "base/size.h"

/* How many are below one. */
#define MARKS_FAN_LOG2 SIZED(6, 1)
#define MARKS_FAN (UINT64_C(1) << MARKS_FAN_LOG2)

struct soma__marks {
    struct soma__marks *older; /* constant: what these have replaced, or NULL */
    size_t size;               /* constant: bytes of all this */
    unsigned leaves_log2;      /* constant */
    size_t leaves_at;          /* constant: the first leaf's place among the words */
    struct atom cookie;        /* of the grace period behind the installing; 0: not known yet */
    struct atom since;         /* 0: not complete; else for changes after the number before this */
    struct atom words[];       /* root first */
};

/* Unmarked. NULL: no memory. */
struct soma__marks *soma__marks_new(unsigned leaves_log2, struct soma__marks *older);

/* These, and all older ones. */
void soma__marks_free(struct soma__marks *marks);

/* order MARKS-1 seq_cst | guards: nothing, but stands before the read of the clock that says which number a change gets | pairs: MARKS-1, STAMP-2, STAMP-4
 * weaker: who has opened a view does not see the mark of a change that the view has. */
ALWAYS_INLINE uint64_t soma__mark_read(const struct atom *mark)
{
    return atom_load_seq(mark);
}

/* The slow part of soma__marks_set(). */
void soma__marks_raise(struct soma__marks *marks, uint64_t hash, uint64_t number);

/* The stretch that a hash is in has changed at this number. */
ALWAYS_INLINE void soma__marks_set(struct soma__marks *marks, uint64_t hash, uint64_t number)
{
    const uint64_t leaf = hash >> 1 >> (63 - marks->leaves_log2);
    if (UNLIKELY(soma__mark_read(&marks->words[marks->leaves_at + leaf]) < number))
        soma__marks_raise(marks, hash, number);
}

/* Whether a leaf that has a hash from `first` to `last` has changed after this number. */
bool soma__marks_any(const struct soma__marks *marks, uint64_t after, uint64_t first, uint64_t last);

/* The first leaf behind *first, or that has it, with a change after this number, and those behind it that have one, too: their
 * hashes go from *first to *last. False: there is none. */
bool soma__marks_next(const struct soma__marks *marks, uint64_t after, uint64_t *first, uint64_t *last);

#endif
