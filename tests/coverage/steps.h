/* SPDX-License-Identifier: ISC */
/* steps.h - what races.c does inside the library. */
#ifndef SOMA_TESTS_COVERAGE_STEPS_H
#define SOMA_TESTS_COVERAGE_STEPS_H

#include "map/core.h"

/* Moves a level that is going on to this phase; nobody else is at it. */
void step_to_phase(struct core *core, enum dir_phase phase);

/* Takes a bucket out of the list which stands right behind another, as if it had never been set up. */
void step_unset(struct core *core, uint64_t before, uint64_t index);

#endif
