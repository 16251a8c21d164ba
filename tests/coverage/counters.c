/* SPDX-License-Identifier: ISC */
/* counters.c - part of the library that counts its branches; not compiled as the rest of it is. Defining
 * __llvm_profile_runtime keeps the compiler's runtime from opening files by itself: here its calls for memory would lead
 * to the scheduler's machine. */
#include "counters.h"

extern int __llvm_profile_runtime;
int __llvm_profile_runtime;

char *__llvm_profile_begin_counters(void);
char *__llvm_profile_end_counters(void);
uint64_t __llvm_profile_get_size_for_buffer(void);
int __llvm_profile_write_buffer(char *buffer);

uint64_t __real___tsan_atomic64_fetch_add(volatile uint64_t *word, uint64_t delta, int order);
uint64_t __wrap___tsan_atomic64_fetch_add(volatile uint64_t *word, uint64_t delta, int order);

const void *counters_begin(void)
{
    return __llvm_profile_begin_counters();
}

const void *counters_end(void)
{
    return __llvm_profile_end_counters();
}

uint64_t counters_size(void)
{
    return __llvm_profile_get_size_for_buffer();
}

int counters_write(char *buffer)
{
    return __llvm_profile_write_buffer(buffer);
}

/* Under race detection the compiler counts by atomic additions. Counting is no step of the library's. */
uint64_t __wrap___tsan_atomic64_fetch_add(volatile uint64_t *word, uint64_t delta, int order)
{
    const volatile char *at = (const volatile char *)word;
    if (at < __llvm_profile_begin_counters() || at >= __llvm_profile_end_counters())
        return __real___tsan_atomic64_fetch_add(word, delta, order);
    *word += delta;
    return *word - delta;
}
