/* SPDX-License-Identifier: ISC */
/* marks.c - see marks.h. */
#include "stamp/marks.h"

#include <string.h>

#include "mem/mem.h"

/* Up to this size they come from malloc, above it as pages that take no memory before they are touched. */
#define SMALL_BYTES 4096

/* Log2 of the words in the level that is so far above the leaves. */
static unsigned level_log2(const struct soma__marks *marks, unsigned above)
{
    const unsigned less = above * MARKS_FAN_LOG2;
    return marks->leaves_log2 > less ? marks->leaves_log2 - less : 0;
}

static unsigned levels_above(unsigned leaves_log2)
{
    return (leaves_log2 + MARKS_FAN_LOG2 - 1) / MARKS_FAN_LOG2;
}

struct soma__marks *soma__marks_new(unsigned leaves_log2, struct soma__marks *older)
{
    const struct soma__marks like = {.older = older, .leaves_log2 = leaves_log2};
    size_t leaves_at = 0;
    for (unsigned above = levels_above(leaves_log2); above > 0; above--)
        leaves_at += (size_t)1 << level_log2(&like, above);
    const size_t size = sizeof like + (leaves_at + ((size_t)1 << leaves_log2)) * sizeof(struct atom);
    struct soma__marks *marks = size <= SMALL_BYTES ? soma__mem_alloc(size) : soma__range_reserve(size);
    if (!marks)
        return NULL;
    if (size <= SMALL_BYTES) {
        memset(marks, 0, size);
    } else if (!soma__range_commit((char *)marks, (char *)marks + size)) {
        soma__range_free(marks, size);
        return NULL;
    }
    marks->older = older;
    marks->size = size;
    marks->leaves_log2 = leaves_log2;
    marks->leaves_at = leaves_at;
    return marks;
}

static void free_one(struct soma__marks *marks)
{
    if (marks->size <= SMALL_BYTES)
        soma__mem_free(marks, marks->size);
    else
        soma__range_free(marks, marks->size);
}

void soma__marks_free(struct soma__marks *marks)
{
    while (marks) {
        struct soma__marks *older = marks->older;
        free_one(marks);
        marks = older;
    }
}

static uint64_t word_of(uint64_t hash, unsigned log2)
{
    return hash >> 1 >> (63 - log2);
}

static void raise_one(struct atom *mark, uint64_t number)
{
    uint64_t seen = soma__mark_read(mark);
    while (seen < number && !atom_cas_seq(mark, &seen, number)) /* MARKS-1 */
        ;
}

void soma__marks_raise(struct soma__marks *marks, uint64_t hash, uint64_t number)
{
    size_t at = 0;
    for (unsigned above = levels_above(marks->leaves_log2) + 1; above-- > 0;) {
        const unsigned log2 = level_log2(marks, above);
        raise_one(&marks->words[at + word_of(hash, log2)], number);
        at += (size_t)1 << log2;
    }
}

/* How many of the leaves from this one on have surely not changed: those below the highest word above it that says so. 0: all
 * words above it have. */
static uint64_t leaves_unchanged(const struct soma__marks *marks, uint64_t after, uint64_t leaf)
{
    size_t at = 0;
    for (unsigned above = levels_above(marks->leaves_log2); above > 0; above--) {
        const unsigned log2 = level_log2(marks, above);
        const unsigned below_log2 = marks->leaves_log2 - log2;
        const uint64_t word = leaf >> below_log2;
        if (soma__mark_read(&marks->words[at + word]) <= after)
            return ((word + 1) << below_log2) - leaf;
        at += (size_t)1 << log2;
    }
    return 0;
}

static bool leaf_changed(const struct soma__marks *marks, uint64_t after, uint64_t leaf)
{
    return soma__mark_read(&marks->words[marks->leaves_at + leaf]) > after;
}

/* The first leaf from this one on, below `end`, that has changed; or `end`. It goes down only to what has. */
static uint64_t first_changed(const struct soma__marks *marks, uint64_t after, uint64_t leaf, uint64_t end)
{
    uint64_t looked_above = leaf; /* below this leaf, nothing above says that there is no change */
    while (leaf < end) {
        const uint64_t unchanged = leaf == looked_above ? leaves_unchanged(marks, after, leaf) : 0;
        if (unchanged == 0 && leaf_changed(marks, after, leaf))
            return leaf;
        if (leaf == looked_above)
            looked_above = unchanged > 0 ? leaf + unchanged : (leaf | (MARKS_FAN - 1)) + 1;
        leaf += unchanged > 0 ? unchanged : 1;
    }
    return end;
}

bool soma__marks_any(const struct soma__marks *marks, uint64_t after, uint64_t first, uint64_t last)
{
    const uint64_t end = word_of(last, marks->leaves_log2) + 1;
    return first_changed(marks, after, word_of(first, marks->leaves_log2), end) < end;
}

bool soma__marks_next(const struct soma__marks *marks, uint64_t after, uint64_t *first, uint64_t *last)
{
    const unsigned shift = 63 - marks->leaves_log2;
    const uint64_t end = UINT64_C(1) << marks->leaves_log2;
    uint64_t leaf = first_changed(marks, after, word_of(*first, marks->leaves_log2), end);
    if (leaf == end)
        return false;
    if (*first < leaf << 1 << shift)
        *first = leaf << 1 << shift;
    do
        leaf++;
    while (leaf < end && leaf_changed(marks, after, leaf));
    *last = (leaf << 1 << shift) - 1; /* behind the last leaf: 2^64 - 1 */
    return true;
}
