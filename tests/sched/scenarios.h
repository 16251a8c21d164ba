/* SPDX-License-Identifier: ISC */
/* scenarios.h - the races that are explored, by name. */
#ifndef SOMA_TESTS_SCHED_SCENARIOS_H
#define SOMA_TESTS_SCHED_SCENARIOS_H

#include "scenario.h"

extern const struct scenario scenarios[];
extern const unsigned scenario_count;

#endif
