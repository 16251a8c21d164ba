/* SPDX-License-Identifier: ISC */
/**
 * rcu.h - read sections and deferred calls.
 *
 *     soma_read_enter();
 *     struct soma_bytes value;
 *     if (soma_map_get_ref(map, "key", 3, &value) == SOMA_OK)
 *         use(value.data, value.len);          // borrowed until soma_read_exit()
 *     soma_read_exit();
 *
 * Only borrowed pointers need a section; every other call protects itself. No thread registers, none unregisters,
 * and a thread may end at any point outside a Soma call. A section is also a read-side section of liburcu's bp flavor.
 * No call is a cancellation point, also where it waits: a thread that is cancelled in one goes on until it is through.
 *
 * Caveat: a section opened inside a callback (an update's, say) must be closed inside it.
 * Caveat: what is retired while a section is open cannot be freed before the section ends. Keep sections short;
 * a map's deferred_bytes_max bounds what a long one can hold back.
 *
 * fork: parent and child go on with every map. The child has only the calling thread's sections.
 */
#ifndef SOMA_RCU_H
#define SOMA_RCU_H

#include <soma/attr.h>
#include <soma/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * soma_read_enter() - open a read section; what is borrowed inside stays valid until the matching exit.
 *
 * Thread: any, also in a signal handler once the thread has used Soma before. Sections nest freely.
 * Progress: wait-free but for the thread's first section, which sets up a record and registers the thread with liburcu,
 * under a short lock of liburcu's.  Allocates: only then. If Soma's record cannot be had, the section still protects; if
 * the system refuses liburcu a page, liburcu aborts (the sections inside Soma's own calls do without liburcu).
 */
SOMA_API void soma_read_enter(void);

/**
 * soma_read_exit() - close the section that this thread opened last.
 *
 * State: inside a read section. Leaving the outermost one, if this thread has updated a map or retired something inside,
 * may run retired calls that are due; a section with lookups only never does.
 * Progress: wait-free but for the retired calls it runs.
 */
SOMA_API void soma_read_exit(void);

/**
 * soma_retire() - call fn(arg) once every read section that is open now has ended.
 * @fn:  not NULL. Runs once, on any thread that uses Soma later, outside every read section. It may use any map and
 *       retire again; it must not call soma_barrier_wait(). It is better not to end the thread (pthread_exit()) in it:
 *       the thread's other retired calls then run while it ends.
 * @arg: handed to @fn; the caller's until then.
 *
 * Thread: any; inside or outside a section.  Progress: lock-free.  Blocks: never.  Allocates: a batch now and then.
 * Effect: calls run in batches; soma_barrier_wait() makes sure that they have run.
 *
 * Return:
 *   SOMA_OK         @fn will be called.
 *   SOMA_E_INVALID  @fn is NULL; nothing changed.
 *   SOMA_E_NOMEM    no memory to remember the call; nothing changed, @fn will not be called.
 */
SOMA_API SOMA_NODISCARD enum soma_status soma_retire(void (*fn)(void *), void *arg);

/**
 * soma_synchronize_wait() - wait until every read section that was open at the call has ended.
 *
 * State: outside any read section of this thread; inside one it would wait for itself, so it returns at once (debug
 * builds say so).  Blocks: until the readers have left.
 */
SOMA_API void soma_synchronize_wait(void);

/**
 * soma_barrier_wait() - wait until all that was retired before the call, by any thread and by any map, has run.
 *
 * State: outside any read section of this thread and outside retired calls; there it returns at once without effect
 * (debug builds say so).  Blocks: until the readers have left and the calls have returned.
 */
SOMA_API void soma_barrier_wait(void);

#ifdef __cplusplus
}
#endif

#endif
