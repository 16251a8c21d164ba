/* SPDX-License-Identifier: ISC */
/* runtime.h - the calls that the compiler and the linker lead to runtime.c. */
#ifndef SOMA_TESTS_SCHED_RUNTIME_H
#define SOMA_TESTS_SCHED_RUNTIME_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct atom;

/* Whether the kernel has membarrier(2). */
void runtime_membarrier(bool works);

#define PLAIN_DECLARED(name)                                                                                           \
    void __tsan_read##name(const void *address);                                                                       \
    void __tsan_write##name(const void *address);                                                                      \
    void __tsan_unaligned_read##name(const void *address);                                                             \
    void __tsan_unaligned_write##name(const void *address);

PLAIN_DECLARED(1)
PLAIN_DECLARED(2)
PLAIN_DECLARED(4)
PLAIN_DECLARED(8)
PLAIN_DECLARED(16)

void __tsan_init(void);
void __tsan_func_entry(void *pc);
void __tsan_func_exit(void);
void __tsan_read_range(const void *address, size_t size);
void __tsan_write_range(const void *address, size_t size);
void *__tsan_memcpy(void *to, const void *from, size_t size);
void *__tsan_memset(void *to, int byte, size_t size);

uint64_t __tsan_atomic64_load(const volatile uint64_t *word, int order);
void __tsan_atomic64_store(volatile uint64_t *word, uint64_t value, int order);
uint64_t __tsan_atomic64_exchange(volatile uint64_t *word, uint64_t value, int order);
uint64_t __tsan_atomic64_fetch_add(volatile uint64_t *word, uint64_t delta, int order);
uint64_t __tsan_atomic64_fetch_sub(volatile uint64_t *word, uint64_t delta, int order);
uint64_t __tsan_atomic64_fetch_or(volatile uint64_t *word, uint64_t bits, int order);
int __tsan_atomic64_compare_exchange_strong(volatile uint64_t *word, uint64_t *expected, uint64_t desired, int order,
                                            int failure);
int __tsan_atomic64_compare_exchange_weak(volatile uint64_t *word, uint64_t *expected, uint64_t desired, int order,
                                          int failure);
uint64_t __tsan_atomic64_compare_exchange_val(volatile uint64_t *word, uint64_t expected, uint64_t desired, int order,
                                              int failure);
bool soma__scheduler_cas16(struct atom *pair, uint64_t expected0, uint64_t expected1, uint64_t desired0,
                           uint64_t desired1, int order);
void soma__complain(const char *where, const char *what);

void *__wrap_memcpy(void *to, const void *from, size_t size);
void *__wrap_memset(void *to, int byte, size_t size);
int __wrap_memcmp(const void *a, const void *b, size_t size);
void *__wrap_malloc(size_t size);
void __wrap_free(void *memory);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);
void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset);
int __wrap_mprotect(void *from, size_t size, int protection);
int __wrap_madvise(void *from, size_t size, int advice);
int __wrap_munmap(void *from, size_t size);
long __wrap_sysconf(int name);
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *before);
int __wrap_pthread_key_create(pthread_key_t *key, void (*destructor)(void *));
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_atfork(void (*before)(void), void (*parent)(void), void (*child)(void));
long __wrap_syscall(long number, long command);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left);
void __wrap_urcu_bp_read_lock(void);
void __wrap_urcu_bp_read_unlock(void);
void __wrap_urcu_bp_before_fork(void);
void __wrap_urcu_bp_after_fork_parent(void);
void __wrap_urcu_bp_after_fork_child(void);

#endif
