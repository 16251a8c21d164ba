/* SPDX-License-Identifier: ISC */
/* attr.h - what the compiler is told. */
#ifndef SOMA_BASE_ATTR_H
#define SOMA_BASE_ATTR_H

#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* A fast path that must vanish into its caller, and a slow path that must stay out of it. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
#define COLD __attribute__((noinline, cold))

/* Two lines: x86 fetches lines in pairs, so records of different writers stand this far apart. */
#define APART 128
#define ALIGNED(n) __attribute__((aligned(n)))

/* Fetch a line for reading, or for writing; a hint, any address is fine. */
#define PREFETCH(address) __builtin_prefetch((address), 0, 3)

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif
#ifndef UNDER_ASAN
#define UNDER_ASAN 0
#endif

#endif
