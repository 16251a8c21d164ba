/* SPDX-License-Identifier: ISC */
/* oracle.h - whether the calls of one run have answered as calls one after the other would (linear.h). */
#ifndef SOMA_TESTS_SCHED_ORACLE_H
#define SOMA_TESTS_SCHED_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "call.h"
#include "joint.h"

struct oracle;

struct oracle *oracle_new(void);
void oracle_free(struct oracle *oracle);
void oracle_begin(struct oracle *oracle);

/* A call begins. What it is and what it answers is filled in until it ends. */
struct call *oracle_call(struct oracle *oracle, unsigned thread, enum verb_of_key verb, unsigned key);
void oracle_return(struct oracle *oracle, struct call *call);

/* The opening of a view begins. What it has captured is filled in as far as it is seen, at any time. */
struct call *oracle_view(struct oracle *oracle, unsigned thread, struct capture **capture);

/* False, with a reason, if no order of the calls that keeps to real time explains the answers. */
bool oracle_holds(struct oracle *oracle, char *why, size_t size);

#endif
