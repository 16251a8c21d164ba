/* SPDX-License-Identifier: ISC */
/* oracle.h - whether the calls of one run have answered as calls one after the other would. */
#ifndef SOMA_TESTS_SCHED_ORACLE_H
#define SOMA_TESTS_SCHED_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <soma/status.h>

#include "scenario.h"

/* What a call answered that nobody can know; any will do. */
#define RESULT_UNKNOWN UINT64_MAX

struct oracle;

struct oracle *oracle_new(void);
void oracle_free(struct oracle *oracle);
void oracle_begin(struct oracle *oracle);

/* A call begins; a call ends, with what it was and what it answered. */
unsigned oracle_call(struct oracle *oracle, unsigned thread);
void oracle_return(struct oracle *oracle, unsigned entry, enum verb verb, unsigned key, uint64_t value,
                   uint64_t expected, enum soma_status status, uint64_t result);

/* False, with a reason, if no order of the calls that keeps to real time explains the answers. */
bool oracle_holds(struct oracle *oracle, char *why, size_t size);

#endif
