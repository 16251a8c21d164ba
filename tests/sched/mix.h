/* SPDX-License-Identifier: ISC */
/* mix.h - a user's own operations: "before | thread | thread ... [| ! handler]", and options by name. */
#ifndef SOMA_TESTS_SCHED_MIX_H
#define SOMA_TESTS_SCHED_MIX_H

#include "scenario.h"

/* False, with a message, if the text cannot be read. scripts has THREADS_MAX places. */
bool mix_parse(const char *text, const char *options, unsigned *flags, struct script *scripts, unsigned *threads,
               struct script *signal);

#endif
