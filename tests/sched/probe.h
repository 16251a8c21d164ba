/* SPDX-License-Identifier: ISC */
/* probe.h - what scenarios do inside the library. */
#ifndef SOMA_TESTS_SCHED_PROBE_H
#define SOMA_TESTS_SCHED_PROBE_H

#include "map/core.h"

/* One step of taking a level out, if one is going. */
void probe_shrink_step(struct core *core);

/* A share of growth, by a thread of each stripe. */
void probe_help(struct core *core);

#endif
