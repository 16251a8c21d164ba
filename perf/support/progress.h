/* SPDX-License-Identifier: ISC */
/* progress.h - how far we are, on standard error: one line that changes on a terminal, plain lines elsewhere. */
#ifndef PERF_PROGRESS_H
#define PERF_PROGRESS_H

void progress_start(unsigned steps);

/* The next step begins. */
void progress_step(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Nothing is left to do; clears the line. */
void progress_end(void);

#endif
