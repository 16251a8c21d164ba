/* SPDX-License-Identifier: ISC */
/* counters.h - the counters of a library that counts its branches. */
#ifndef SOMA_TESTS_COVERAGE_COUNTERS_H
#define SOMA_TESTS_COVERAGE_COUNTERS_H

#include <stddef.h>
#include <stdint.h>

/* Where the counters stand. */
const void *counters_begin(void);
const void *counters_end(void);

/* The raw profile: how large it is; writes it. False: it could not be made. */
uint64_t counters_size(void);
int counters_write(char *buffer);

#endif
