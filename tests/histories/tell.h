/* SPDX-License-Identifier: ISC */
/* tell.h - a history that does not hold, cut down to what makes it impossible, for people. */
#ifndef SOMA_TESTS_HISTORIES_TELL_H
#define SOMA_TESTS_HISTORIES_TELL_H

#include <stdio.h>

#include "linear.h"

/* Leaves out what does not matter to why calls on one key do not hold: all behind the first impossible answer, all
 * before the last moment at which the key's state is certain, and calls that changed nothing. Returns how many calls
 * are left, in calls[] and in the order of their beginnings; *state is the state before them, *bad the impossible
 * one. 0: the history holds after all. */
size_t history_cut(struct linear *linear, struct call *calls, size_t count, uint64_t *state, size_t *bad);

/* Prints calls on one key as bars on a line of time, and which answer is impossible. */
void history_tell(FILE *out, const struct call *calls, size_t count, uint64_t state, size_t bad);

#endif
