/* SPDX-License-Identifier: ISC */
/* cases.h - the test cases that driver.c runs beside its own. */
#ifndef SOMA_TESTS_HISTORY_CASES_H
#define SOMA_TESTS_HISTORY_CASES_H

#include <stdint.h>

/* canary.c: wrong histories, each with a right twin; maps with seeded bugs. */
void canary_answers(const void *setup);
void canary_map(const void *setup);
extern const void *const canary_maps[];
extern const char *const canary_map_names[];
#define CANARY_MAPS 6

/* small.c: the checkers against a search through all orders, on small random histories. */
void small_keys(const void *setup);
void small_parts(const void *setup);
void small_rate(const void *setup);

/* views.c: the graph of dependencies. */
void views_by_hand(const void *setup);
void views_small(const void *setup);
void views_real(const void *setup);
void views_canary(const void *setup); /* maps whose views are wrong */

/* Views to be checked by each views_real(); 0: for a while. What they have checked. */
extern uint64_t views_goal;
extern uint64_t views_checked;
extern uint64_t views_violations;

#endif
