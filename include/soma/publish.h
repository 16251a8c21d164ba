/* SPDX-License-Identifier: ISC */
/**
 * publish.h - a cell: an atomic pointer to something that does not change once it is published.
 *
 *     struct soma_cell current;
 *     soma_cell_init(&current, first);
 *     soma_read_enter();
 *     const struct config *config = (const struct config *)soma_cell_read(&current);
 *     serve(config);                                            // borrowed until soma_read_exit()
 *     soma_read_exit();
 *     soma_cell_publish(&current, next, free_config);           // free_config(old) once its readers are gone
 *     soma_cell_fini(&current, free_config);
 *
 * What holds for every call below unless its page says otherwise:
 *   Thread:    any thread, beside every other call on the cell but init and fini; no registration.
 *   Effect:    linearizable: it takes place at one instant between call and return.
 *   Order:     what a thread wrote before it published an object is seen by whoever reads the object from the cell, and
 *              by the function that retires it.
 *   Progress:  reading is wait-free; publishing is lock-free, malloc aside. Neither waits for readers.
 *   Errors:    leave the cell as it was, and both objects whose they were. A NULL cell is SOMA_E_INVALID, and debug
 *              builds name the mistake on standard error.
 *
 * Sections: what soma_cell_read() gives is borrowed inside a read section of the caller's: soma_read_enter() stands
 * before the read, soma_read_exit() behind the last use. The sections inside Soma's own calls end when the call returns,
 * so they lend nothing: two lookups in an object from a cell need one section around all three calls. A function that
 * Soma calls inside a section of its own (soma_u64_update_fn, soma_map_update_fn) may read a cell as well; there the
 * object is borrowed until the function returns.
 *
 * Retiring: the `retire` of a call is called once with the object that left the cell, after every section that was open
 * at that time has ended, outside any section, on any thread that uses Soma later, exactly as by soma_retire();
 * soma_barrier_wait() makes sure that it has been. NULL = the object stays the caller's, who may free it behind
 * soma_synchronize_wait(), or never. Nothing bounds what publishers may pile up behind a reader that stays inside.
 *
 * See also: rcu.h for sections; docs/publication.md.
 */
#ifndef SOMA_PUBLISH_H
#define SOMA_PUBLISH_H

#include <stdint.h>

#include <soma/attr.h>
#include <soma/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Types ---- */

/** A cell, 8 bytes, in the caller's storage. All-zero is a cell that holds NULL. Only the calls below touch it. */
struct soma_cell {
    uint64_t word;
};

/* ---- Lifecycle ---- */

/**
 * soma_cell_init() - make a cell that holds an object.
 * @cell:    the caller's storage; nobody else uses it yet.
 * @initial: the object, or NULL.
 */
SOMA_API void soma_cell_init(struct soma_cell *cell, void *initial);

/**
 * soma_cell_fini() - retire what the cell holds, at once. The cell holds NULL afterwards.
 * @cell:   no other call on it may be running or come later, and nothing borrowed from it may be used any more; NULL does
 *          nothing.
 * @retire: called before this returns, unless the cell holds NULL; NULL = the object stays the caller's.
 *
 * Where readers may still be inside, soma_cell_publish(cell, NULL, retire) takes the object out first.
 */
SOMA_API void soma_cell_fini(struct soma_cell *cell, void (*retire)(void *));

/* ---- Reading ---- */

/**
 * soma_cell_read() - the object that was published last.
 *
 * State: inside a read section, which the object is borrowed for.  Progress: wait-free, one load.
 * Also in a signal handler once its thread has used Soma.
 * Return: the object, or NULL if there is none, or if @cell is NULL.
 */
SOMA_API void *soma_cell_read(const struct soma_cell *cell);

/* ---- Writing ---- */

/**
 * soma_cell_publish() - put an object in the place of the one that is there, which is retired.
 * @next:   the object, which does not change from now on; the cell's on SOMA_OK only. May be NULL.
 * @retire: what happens to the old one, see the head of publish.h; NULL = it stays the caller's.
 *
 * An old NULL is not retired. Nor is @next if it is there already: then nothing changes.
 * Allocates: a batch now and then, never with a NULL @retire. May run retired calls that are due, outside every section.
 *
 * Return:
 *   SOMA_OK         @next is published.
 *   SOMA_E_NOMEM    no memory to remember the old object; nothing changed.
 *   SOMA_E_INVALID  @cell is NULL.
 */
SOMA_API SOMA_NODISCARD enum soma_status soma_cell_publish(struct soma_cell *cell, void *next, void (*retire)(void *));

/**
 * soma_cell_publish_if() - publish only in the place of a certain object.
 * @expected: what must be there, say what was read before @next was made from it; NULL = nothing.
 *            Call this inside the section in which it was read: outside, its memory may have been freed, and another
 *            object may have come to the same address.
 * @next, @retire: as soma_cell_publish(); @retire is for @expected.
 *
 * Return:
 *   SOMA_OK         @next is published, @expected retired.
 *   SOMA_CHANGED    another object is there; nothing changed. Read again, or give up.
 *   SOMA_E_NOMEM    no memory to remember the old object; nothing changed.
 *   SOMA_E_INVALID  @cell is NULL.
 */
SOMA_API SOMA_NODISCARD enum soma_status soma_cell_publish_if(struct soma_cell *cell, void *expected, void *next,
                                                              void (*retire)(void *));

#ifdef __cplusplus
}
#endif

#endif
