/* SPDX-License-Identifier: ISC */
/* counters.c - part of the library that counts its branches. Defining __llvm_profile_runtime keeps the compiler's
 * runtime from opening files by itself: here its calls for memory would lead to the scheduler's machine. */
#include "counters.h"

extern int __llvm_profile_runtime;
int __llvm_profile_runtime;

char *__llvm_profile_begin_counters(void);
char *__llvm_profile_end_counters(void);
uint64_t __llvm_profile_get_size_for_buffer(void);
int __llvm_profile_write_buffer(char *buffer);

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
