/* SPDX-License-Identifier: ISC */
/* fail.h - how a measuring program gives up: one line on standard error, then the exit status. */
#ifndef PERF_FAIL_H
#define PERF_FAIL_H

#include <stddef.h>

enum exit_status {
    EXIT_WRONG = 1, /* an answer was wrong, or the machine would not do what was asked */
    EXIT_USAGE = 2, /* the command line makes no sense */
};

_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void fail_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Memory or the end of the program: a benchmark that runs short of memory has nothing left to measure. */
void *alloc_or_fail(size_t size);
void *grow_or_fail(void *memory, size_t size);
char *text_or_fail(const char *text);

#endif
