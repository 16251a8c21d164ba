/* SPDX-License-Identifier: ISC */
/* publish.c - cells: an atomic pointer, and the retirement of what leaves it.
 *
 * Publishing prepares the retirement before it swaps, both in one section, so that nothing can fail once the cell has
 * changed. Grace periods and batches are told in grace.c and retire.c. */
#include <soma/publish.h>

#include "base/check.h"
#include "rcu/private.h"

/* The public header knows no atomics. */
_Static_assert(sizeof(struct soma_cell) == sizeof(struct atom), "a cell is one atomic word");

static struct atom *word_of(struct soma_cell *cell)
{
    return (struct atom *)(void *)cell;
}

/* order PUBLISH-1 acquire | guarded by: cell | pairs: PUBLISH-2
 * weaker: a reader sees the object as it was before it was written. */
static void *object_read(const struct soma_cell *cell)
{
    return (void *)(uintptr_t)atom_load_acq((const struct atom *)(const void *)cell);
}

/* order PUBLISH-2 release | guards: the object's content | pairs: PUBLISH-1
 * weaker: as PUBLISH-1. It need not acquire: who retires the old object knows what was written to it by the grace period,
 * since it was published in a section, too (RCU-8). */
static void *object_swap(struct soma_cell *cell, void *next)
{
    return (void *)(uintptr_t)atom_xchg_rel(word_of(cell), (uintptr_t)next);
}

static bool object_swap_if(struct soma_cell *cell, void *expected, void *next)
{
    uint64_t found = (uintptr_t)expected;
    return atom_cas_rel(word_of(cell), &found, (uintptr_t)next); /* PUBLISH-2 */
}

/* An object that is there is not retired by being put there once more. */
static bool leaves(const void *old, const void *next)
{
    return old && old != next;
}

void soma_cell_init(struct soma_cell *cell, void *initial)
{
    if (!cell) {
        MISUSE("cell is NULL");
        return;
    }
    atom_store_rlx(word_of(cell), (uintptr_t)initial); /* not yet shared */
}

void soma_cell_fini(struct soma_cell *cell, void (*retire)(void *))
{
    if (!cell)
        return;
    void *last = object_swap(cell, NULL);
    if (last && retire)
        retire(last);
}

#if HAVE_GUARD
static void needs_section(const char *where)
{
    if (!soma__section_inside())
        soma__misuse(where, "no read section is open, so what it gives may be retired before it is used: call "
                            "soma_read_enter() before, and soma_read_exit() after the last use");
}
#define NEEDS_SECTION() needs_section(__func__)
#else
#define NEEDS_SECTION() ((void)0)
#endif

void *soma_cell_read(const struct soma_cell *cell)
{
    if (UNLIKELY(!cell)) {
        MISUSE("cell is NULL");
        return NULL;
    }
    NEEDS_SECTION();
    return object_read(cell);
}

enum soma_status soma_cell_publish(struct soma_cell *cell, void *next, void (*retire)(void *))
{
    if (!cell) {
        MISUSE("cell is NULL");
        return SOMA_E_INVALID;
    }
    const struct soma__section section = soma__section_enter();
    const enum soma_status status = retire ? soma__call_prepare(section.self) : SOMA_OK;
    if (status == SOMA_OK) {
        void *old = object_swap(cell, next);
        if (retire && leaves(old, next))
            soma__call_retire(section.self, retire, old);
    }
    if (UNLIKELY(soma__section_end(section)))
        soma__section_work(section.self);
    return status;
}

enum soma_status soma_cell_publish_if(struct soma_cell *cell, void *expected, void *next, void (*retire)(void *))
{
    if (!cell) {
        MISUSE("cell is NULL");
        return SOMA_E_INVALID;
    }
    const bool retires = retire && leaves(expected, next);
    const struct soma__section section = soma__section_enter();
    enum soma_status status = retires ? soma__call_prepare(section.self) : SOMA_OK;
    if (status == SOMA_OK && !object_swap_if(cell, expected, next))
        status = SOMA_CHANGED;
    if (status == SOMA_OK && retires)
        soma__call_retire(section.self, retire, expected);
    if (UNLIKELY(soma__section_end(section)))
        soma__section_work(section.self);
    return status;
}
