/* SPDX-License-Identifier: ISC */
/* trace.h - what happened in a run, step by step, for people. Only kept when a run is told again. */
#ifndef SOMA_TESTS_SCHED_TRACE_H
#define SOMA_TESTS_SCHED_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

extern bool trace_on;

void trace_begin(void);

/* An access from the code at `pc`: what it did, where, with which values. */
void trace_access(const void *pc, const char *what, const void *address, uint64_t value, const char *how);

/* A line of the program's own. */
void trace_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints the steps, one a line, with functions and lines of the sources. */
void trace_print(FILE *out);

#endif
