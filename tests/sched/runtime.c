/* SPDX-License-Identifier: ISC */
/* runtime.c - what the library under test calls instead of the world.
 *
 * The library is the real one, compiled with the compiler's instrumentation for race detection, -fsanitize=thread: a
 * call in front of every plain access, a call in place of every atomic one. Here those calls lead to the machine
 * instead of to the sanitizer, and the library's own calls (memory, threads, time, barriers) are redirected by the
 * linker (--wrap). The names are given by the compiler and the linker.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "run.h"
#include "runtime.h"
#include "trace.h"

#define CALLER __builtin_return_address(0)

/* The machine as the library sees it: so much memory, time that goes on with the steps. */
#define MEMORY_PAGES 1
#define PROCESSORS 4 /* more than the stripes in a first page */
#define PAGE_BYTES 4096
#define STEP_NS 1000

static uint64_t *word_of(const volatile uint64_t *word)
{
    return (uint64_t *)(uintptr_t)word;
}

/* ---- Plain accesses ---- */

#define PLAIN(name, bytes)                                                                                             \
    void __tsan_read##name(const void *address)                                                                        \
    {                                                                                                                  \
        run_moment();                                                                                                  \
        machine_read(address, bytes);                                                                                  \
    }                                                                                                                  \
    void __tsan_write##name(const void *address)                                                                       \
    {                                                                                                                  \
        run_moment();                                                                                                  \
        machine_write(address, bytes);                                                                                 \
    }                                                                                                                  \
    void __tsan_unaligned_read##name(const void *address)                                                              \
    {                                                                                                                  \
        run_moment();                                                                                                  \
        machine_read(address, bytes);                                                                                  \
    }                                                                                                                  \
    void __tsan_unaligned_write##name(const void *address)                                                             \
    {                                                                                                                  \
        run_moment();                                                                                                  \
        machine_write(address, bytes);                                                                                 \
    }

PLAIN(1, 1)
PLAIN(2, 2)
PLAIN(4, 4)
PLAIN(8, 8)
PLAIN(16, 16)

void __tsan_read_range(const void *address, size_t size)
{
    machine_read(address, size);
}

void __tsan_write_range(const void *address, size_t size)
{
    machine_write(address, size);
}

void *__wrap_memcpy(void *to, const void *from, size_t size)
{
    machine_read(from, size);
    machine_write(to, size);
    return memcpy(to, from, size);
}

void *__wrap_memset(void *to, int byte, size_t size)
{
    machine_write(to, size);
    return memset(to, byte, size);
}

int __wrap_memcmp(const void *a, const void *b, size_t size)
{
    machine_read(a, size);
    machine_read(b, size);
    return memcmp(a, b, size);
}

void *__tsan_memcpy(void *to, const void *from, size_t size)
{
    return __wrap_memcpy(to, from, size);
}

void *__tsan_memset(void *to, int byte, size_t size)
{
    return __wrap_memset(to, byte, size);
}

void __tsan_init(void) {}

void __tsan_func_entry(void *pc)
{
    (void)pc;
}

void __tsan_func_exit(void) {}

/* ---- Atomic accesses ---- */

static const char *name_of_order(int order)
{
    static const char *const names[] = {"relaxed", "consume", "acquire", "release", "acq_rel", "seq_cst"};
    return names[order];
}

uint64_t __tsan_atomic64_load(const volatile uint64_t *word, int order)
{
    run_point();
    const uint64_t value = machine_load(word_of(word), order);
    if (trace_on)
        trace_access(CALLER, "load", word_of(word), value, name_of_order(order));
    return value;
}

void __tsan_atomic64_store(volatile uint64_t *word, uint64_t value, int order)
{
    run_point();
    machine_store(word_of(word), value, order);
    if (trace_on)
        trace_access(CALLER, "store", word_of(word), value, name_of_order(order));
}

uint64_t __tsan_atomic64_exchange(volatile uint64_t *word, uint64_t value, int order)
{
    run_point();
    const uint64_t before = machine_rmw_begin(word_of(word), order);
    machine_rmw_end(word_of(word), value, order);
    if (trace_on)
        trace_access(CALLER, "exchange", word_of(word), value, name_of_order(order));
    return before;
}

static uint64_t add(const void *pc, volatile uint64_t *word, uint64_t delta, int order)
{
    run_point();
    const uint64_t before = machine_rmw_begin(word_of(word), order);
    if (machine_bug() == BUG_TORN_CAS)
        run_point();
    machine_rmw_end(word_of(word), before + delta, order);
    if (trace_on)
        trace_access(pc, "add", word_of(word), before + delta, name_of_order(order));
    return before;
}

uint64_t __tsan_atomic64_fetch_add(volatile uint64_t *word, uint64_t delta, int order)
{
    return add(CALLER, word, delta, order);
}

uint64_t __tsan_atomic64_fetch_sub(volatile uint64_t *word, uint64_t delta, int order)
{
    return add(CALLER, word, -delta, order);
}

/* What clang makes of an addition of nothing. */
uint64_t __tsan_atomic64_fetch_or(volatile uint64_t *word, uint64_t bits, int order)
{
    run_point();
    const uint64_t before = machine_rmw_begin(word_of(word), order);
    machine_rmw_end(word_of(word), before | bits, order);
    if (trace_on)
        trace_access(CALLER, "or", word_of(word), before | bits, name_of_order(order));
    return before;
}

static int swap(const void *pc, volatile uint64_t *word, uint64_t *expected, uint64_t desired, int order, int failure)
{
    run_point();
    const uint64_t before = machine_rmw_begin(word_of(word), *word_of(word) == *expected ? order : failure);
    const bool equal = before == *expected;
    if (machine_bug() == BUG_TORN_CAS)
        run_point();
    if (equal)
        machine_rmw_end(word_of(word), desired, order);
    *expected = before;
    if (trace_on)
        trace_access(pc, equal ? "swap" : "swap fails, found", word_of(word), equal ? desired : before,
                     name_of_order(order));
    return equal;
}

int __tsan_atomic64_compare_exchange_strong(volatile uint64_t *word, uint64_t *expected, uint64_t desired, int order,
                                            int failure)
{
    return swap(CALLER, word, expected, desired, order, failure);
}

int __tsan_atomic64_compare_exchange_weak(volatile uint64_t *word, uint64_t *expected, uint64_t desired, int order,
                                          int failure)
{
    return swap(CALLER, word, expected, desired, order, failure);
}

uint64_t __tsan_atomic64_compare_exchange_val(volatile uint64_t *word, uint64_t expected, uint64_t desired, int order,
                                              int failure)
{
    swap(CALLER, word, &expected, desired, order, failure);
    return expected;
}

/* Changes both words in one step. */
bool soma__scheduler_cas16(struct atom *pair, uint64_t expected0, uint64_t expected1, uint64_t desired0,
                           uint64_t desired1, int order)
{
    uint64_t *words = (uint64_t *)(void *)pair;
    run_point();
    const uint64_t before0 = machine_rmw_begin(&words[0], order);
    const uint64_t before1 = machine_rmw_begin(&words[1], order);
    const bool equal = before0 == expected0 && before1 == expected1;
    if (machine_bug() == BUG_TORN_CAS)
        run_point();
    if (equal) {
        machine_rmw_end(&words[0], desired0, order);
        machine_rmw_end(&words[1], desired1, order);
        machine_written_as_one(&words[0], &words[1], order);
    }
    if (trace_on) {
        trace_access(CALLER, equal ? "swap" : "swap fails, found", &words[0], equal ? desired0 : before0, "pair");
        trace_access(CALLER, "       and", &words[1], equal ? desired1 : before1, "pair");
    }
    return equal;
}

/* ---- Memory ---- */

void *__wrap_malloc(size_t size)
{
    run_point();
    if (run_should_fail())
        return NULL;
    void *memory = machine_alloc(size, 16);
    if (trace_on)
        trace_access(CALLER, "malloc", memory, size, "bytes");
    return memory;
}

void __wrap_free(void *memory)
{
    run_point();
    if (run_in_handler())
        run_failed("memory is freed in a handler");
    if (trace_on && memory)
        trace_access(CALLER, "free", memory, 0, "");
    machine_free(memory);
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t size)
{
    run_point();
    if (run_should_fail())
        return ENOMEM;
    *memory = machine_alloc(size, alignment);
    if (trace_on)
        trace_access(CALLER, "malloc", *memory, size, "bytes");
    return 0;
}

void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    (void)address, (void)protection, (void)flags, (void)file, (void)offset;
    run_point();
    return run_should_fail() ? MAP_FAILED : machine_reserve(size);
}

int __wrap_mprotect(void *from, size_t size, int protection)
{
    (void)protection;
    run_point();
    return !run_should_fail() && machine_commit(from, size) ? 0 : -1;
}

int __wrap_madvise(void *from, size_t size, int advice)
{
    (void)advice;
    run_point();
    machine_forget(from, size);
    return 0;
}

int __wrap_munmap(void *from, size_t size)
{
    run_point();
    if (trace_on)
        trace_access(CALLER, "munmap", from, size, "bytes");
    machine_unreserve(from, size);
    return 0;
}

long __wrap_sysconf(int name)
{
    if (name == _SC_NPROCESSORS_ONLN)
        return PROCESSORS;
    return name == _SC_PHYS_PAGES ? MEMORY_PAGES : PAGE_BYTES;
}

/* ---- Threads ---- */

int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *before)
{
    (void)how, (void)set;
    run_signals_blocked(before != NULL); /* the library asks for the old mask when it blocks */
    return 0;
}

int __wrap_pthread_key_create(pthread_key_t *key, void (*destructor)(void *))
{
    *key = 0;
    run_on_exit(destructor);
    return 0;
}

int __wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
    (void)key;
    run_point();
    if (!machine_is_global(value) && run_should_fail()) /* the first keys need no memory; for a record it may fail */
        return ENOMEM;
    run_set_exit_value((void *)(uintptr_t)value);
    return 0;
}

int __wrap_pthread_atfork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    (void)before, (void)parent, (void)child;
    return 0;
}

static bool membarrier_missing;

void runtime_membarrier(bool works)
{
    membarrier_missing = !works;
}

long __wrap_syscall(long number, long command)
{
    if (number == SYS_gettid)
        return (long)run_thread();
    if (number != SYS_membarrier || membarrier_missing)
        return -1;
    if (command == MEMBARRIER_CMD_PRIVATE_EXPEDITED) {
        run_point();
        machine_barrier();
        if (trace_on)
            trace_access(CALLER, "barrier on all threads", NULL, 0, "");
    }
    return 0;
}

/* ---- Time ---- */

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    (void)clock;
    const uint64_t ns = (uint64_t)run_step() * STEP_NS;
    *now = (struct timespec){.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    return 0;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
    (void)time, (void)left;
    run_yield();
    return 0;
}

/* ---- liburcu: the program's sections, which lend nothing of Soma's ---- */

#define NOTHING(name)                                                                                                  \
    void name(void) {}

NOTHING(__wrap_urcu_bp_read_lock)
NOTHING(__wrap_urcu_bp_read_unlock)
NOTHING(__wrap_urcu_bp_before_fork)
NOTHING(__wrap_urcu_bp_after_fork_parent)
NOTHING(__wrap_urcu_bp_after_fork_child)

/* ---- Broken invariants ---- */

void soma__complain(const char *where, const char *what)
{
    if (strstr(what, "broken invariant"))
        run_failed("%s: %s", where, what);
}
