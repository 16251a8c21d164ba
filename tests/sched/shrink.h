/* SPDX-License-Identifier: ISC */
/* shrink.h - from a run that failed to a short one that fails too. */
#ifndef SOMA_TESTS_SCHED_SHRINK_H
#define SOMA_TESTS_SCHED_SHRINK_H

#include "run.h"

/* Takes decisions out of a schedule as long as the run still fails; *outcome is the last failure. */
void schedule_shrink(const struct program *program, enum machine_bug bug, struct schedule *schedule,
                     struct outcome *outcome);

/* Runs the schedule again and prints what happened. */
void schedule_tell(const struct program *program, enum machine_bug bug, const struct schedule *schedule);

#endif
