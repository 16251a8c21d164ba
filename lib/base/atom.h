/* SPDX-License-Identifier: ISC */
/* atom.h - the only door to atomic memory. Every operation carries its order in its name.
 *
 * A `struct atom` is a 64-bit word that threads share; nothing but these functions touches it. There is no fence here:
 * sanitizers cannot see fences, so every ordering is attached to an access. The asymmetric barrier between readers and
 * reclamation lives in rcu/, which is the only room that needs one.
 */
#ifndef SOMA_BASE_ATOM_H
#define SOMA_BASE_ATOM_H

#include <stdbool.h>
#include <stdint.h>

#include <soma_config.h>

#include "base/attr.h"

struct atom {
    uint64_t word;
};

/* Keeps the compiler from moving accesses across; the processor may still. Only for the reader's half of the asymmetric
 * barrier in rcu/. */
ALWAYS_INLINE void atom_compiler_barrier(void)
{
    __asm__ __volatile__("" ::: "memory");
}

ALWAYS_INLINE uint64_t atom_load_rlx(const struct atom *a)
{
    return __atomic_load_n(&a->word, __ATOMIC_RELAXED);
}

ALWAYS_INLINE uint64_t atom_load_acq(const struct atom *a)
{
    return __atomic_load_n(&a->word, __ATOMIC_ACQUIRE);
}

ALWAYS_INLINE uint64_t atom_load_seq(const struct atom *a)
{
    return __atomic_load_n(&a->word, __ATOMIC_SEQ_CST);
}

ALWAYS_INLINE void atom_store_rlx(struct atom *a, uint64_t word)
{
    __atomic_store_n(&a->word, word, __ATOMIC_RELAXED);
}

ALWAYS_INLINE void atom_store_rel(struct atom *a, uint64_t word)
{
    __atomic_store_n(&a->word, word, __ATOMIC_RELEASE);
}

ALWAYS_INLINE uint64_t atom_add_acq(struct atom *a, uint64_t delta)
{
    return __atomic_fetch_add(&a->word, delta, __ATOMIC_ACQUIRE);
}

ALWAYS_INLINE uint64_t atom_add_acqrel(struct atom *a, uint64_t delta)
{
    return __atomic_fetch_add(&a->word, delta, __ATOMIC_ACQ_REL);
}

ALWAYS_INLINE uint64_t atom_add_rlx(struct atom *a, uint64_t delta)
{
    return __atomic_fetch_add(&a->word, delta, __ATOMIC_RELAXED);
}

ALWAYS_INLINE uint64_t atom_add_seq(struct atom *a, uint64_t delta)
{
    return __atomic_fetch_add(&a->word, delta, __ATOMIC_SEQ_CST);
}

ALWAYS_INLINE uint64_t atom_sub_acqrel(struct atom *a, uint64_t delta)
{
    return __atomic_fetch_sub(&a->word, delta, __ATOMIC_ACQ_REL);
}

ALWAYS_INLINE uint64_t atom_xchg_acq(struct atom *a, uint64_t word)
{
    return __atomic_exchange_n(&a->word, word, __ATOMIC_ACQUIRE);
}

ALWAYS_INLINE uint64_t atom_xchg_rel(struct atom *a, uint64_t word)
{
    return __atomic_exchange_n(&a->word, word, __ATOMIC_RELEASE);
}

/* The failure order of every compare-and-swap below is the load part of its success order; *expected gets what was
 * there. */
ALWAYS_INLINE bool atom_cas_rlx(struct atom *a, uint64_t *expected, uint64_t desired)
{
    return __atomic_compare_exchange_n(&a->word, expected, desired, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

ALWAYS_INLINE bool atom_cas_acq(struct atom *a, uint64_t *expected, uint64_t desired)
{
    return __atomic_compare_exchange_n(&a->word, expected, desired, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE);
}

ALWAYS_INLINE bool atom_cas_rel(struct atom *a, uint64_t *expected, uint64_t desired)
{
    return __atomic_compare_exchange_n(&a->word, expected, desired, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

ALWAYS_INLINE bool atom_cas_acqrel(struct atom *a, uint64_t *expected, uint64_t desired)
{
    return __atomic_compare_exchange_n(&a->word, expected, desired, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

ALWAYS_INLINE bool atom_cas_seq(struct atom *a, uint64_t *expected, uint64_t desired)
{
    return __atomic_compare_exchange_n(&a->word, expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

#if HAVE_CAS16

/* Two neighbouring words, 16-byte aligned, change together or not at all. */
#if UNDER_SCHEDULER

/* The scheduler of tests/sched sees every other access through what the compiler puts in front of it. */
bool soma__scheduler_cas16(struct atom *pair, uint64_t expected0, uint64_t expected1, uint64_t desired0,
                           uint64_t desired1, int order);

ALWAYS_INLINE bool atom_cas16_seq(struct atom *pair, uint64_t expected0, uint64_t expected1, uint64_t desired0,
                                  uint64_t desired1)
{
    return soma__scheduler_cas16(pair, expected0, expected1, desired0, desired1, __ATOMIC_SEQ_CST);
}

#else

#if UNDER_TSAN
void __tsan_acquire(void *);
void __tsan_release(void *);
#endif

/* The instruction is written out because compilers turn the builtin into a library call that may take a lock. The
 * sanitizer does not see the instruction, so it is told of the ordering on both words. */
ALWAYS_INLINE bool atom_cas16_seq(struct atom *pair, uint64_t expected0, uint64_t expected1, uint64_t desired0,
                                  uint64_t desired1)
{
    bool done;
#if UNDER_TSAN
    __tsan_release(&pair[0]);
    __tsan_release(&pair[1]);
#endif
    __asm__ __volatile__("lock cmpxchg16b %1"
                         : "=@ccz"(done), "+m"(*(struct atom(*)[2])pair), "+a"(expected0), "+d"(expected1)
                         : "b"(desired0), "c"(desired1)
                         : "memory");
#if UNDER_TSAN
    __tsan_acquire(&pair[0]);
    __tsan_acquire(&pair[1]);
#endif
    return done;
}

#endif
#endif

#endif
