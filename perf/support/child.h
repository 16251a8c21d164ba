/* SPDX-License-Identifier: ISC */
/* child.h - every measurement in a process of its own, so that memory, caches of the allocator and threads of the
 * libraries start clean each time, and a crash spoils one figure and not the report. */
#ifndef PERF_CHILD_H
#define PERF_CHILD_H

#include <stddef.h>

/* Runs in the child: reads what to do, writes what came out. */
typedef void (*child_fn)(const void *task, void *result);

/* Forks, runs fn(task, result) and waits for it. Ends the program with one line if the child does not end well;
 * `what` says who it was. `result` has `size` bytes. */
void child_run(const char *what, child_fn fn, const void *task, void *result, size_t size);

#endif
