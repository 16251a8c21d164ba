/* SPDX-License-Identifier: ISC */
/* machine.h - the memory that the library's threads share under the scheduler.
 *
 * It knows, of every 8-byte word of the library's heap, maps and globals, whether it is alive, who wrote it last and
 * who has read it since, by vector clocks (FastTrack, Flanagan & Freund 2009); and, of every atomic one, its last
 * stores, so that a load may answer an older one where C11 allows it (as CDSChecker and C11Tester do).
 *
 * What it finds    plain accesses that race; accesses to freed, unallocated or uncommitted memory; reads of memory that
 *                  nobody has written; memory that is freed twice or while somebody may still be reading it; leaks.
 * What it allows   In weak runs a load may answer any store that is not yet known to be overwritten: happens-before,
 *                  coherence and the single order of sequentially consistent accesses hold; nothing else does.
 * What it leaves out  Stores take effect in the order in which they are executed, so load buffering (reading what is
 *                  written later) never happens. Failed compare-and-swaps answer the newest value. A store becomes known
 *                  to everybody after PROPAGATION steps, so that nobody waits for ever.
 */
#ifndef SOMA_TESTS_SCHED_MACHINE_H
#define SOMA_TESTS_SCHED_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Thread 0 sets up and checks; the others race. */
#define THREADS_MAX 6

/* Seeded bugs of the machine itself: with each, some scenario must fail. */
enum machine_bug {
    BUG_NONE,
    BUG_RELAXED,    /* every access is as if its order were relaxed */
    BUG_NO_BARRIER, /* the barrier on all threads does nothing */
    BUG_TORN_CAS,   /* a compare-and-swap compares, lets others run, and swaps */
    BUG_LEAK,       /* freeing does not */
};

/* A new run: all memory is new. `weak`: loads may answer older stores. */
void machine_begin(bool weak, enum machine_bug bug);

/* The thread that executes what comes. */
void machine_thread(unsigned thread);

/* Threads begin with what thread 0 knows; it ends with what they know. */
void machine_fork(unsigned threads);
void machine_join(unsigned threads);

/* An order between calls: who enters a call knows all that those who left one before knew. */
void machine_call_entered(void);
void machine_call_left(void);

/* A barrier on all threads (membarrier). */
void machine_barrier(void);

/* ---- Accesses ---- */

void machine_read(const void *address, size_t size);
void machine_write(const void *address, size_t size);

uint64_t machine_load(uint64_t *word, int order);
void machine_store(uint64_t *word, uint64_t value, int order);
/* The value that a read-modify-write finds; machine_rmw_end() writes, or does not. */
uint64_t machine_rmw_begin(uint64_t *word, int order);
void machine_rmw_end(uint64_t *word, uint64_t value, int order);
/* Both newest stores are one: if it releases, who acquires either knows both. */
void machine_written_as_one(uint64_t *first, uint64_t *second, int order);

enum machine_bug machine_bug(void);

/* ---- Memory ---- */

/* A place in the heap, or NULL if the heap of this run is used up. `zeroed`: reading it is fine. */
void *machine_alloc(size_t size, size_t alignment);
void machine_free(void *memory);

/* Blocks and map ranges that are alive. */
size_t machine_blocks(void);
size_t machine_ranges(void);

/* Reservations of addresses, as mmap(), mprotect(), madvise() and munmap(). */
void *machine_reserve(size_t size);
bool machine_commit(void *from, size_t size);
bool machine_is_committed(const void *address);
void machine_forget(void *from, size_t size);
void machine_unreserve(void *from, size_t size);

/* The library's writable data, what tools add to it included, is smaller. */
#define GLOBALS_MAX ((size_t)1 << 18)

/* The library's writable globals. */
void machine_globals(void *from, size_t size);
bool machine_is_global(const void *address);
/* A part of them that is none of the library's business: counters of coverage. */
void machine_ignore(const void *from, const void *to);

/* Writes where an address is, in words that do not change from run to run. */
void machine_name(const void *address, char *text, size_t size);

/* ---- What the machine asks ---- */

/* Which of n candidates a load answers: 0 is the newest. */
unsigned decide_stale(unsigned n);

/* Ends the run as failed. */
_Noreturn void run_failed(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The step that is being executed. */
uint32_t run_step(void);

#endif
