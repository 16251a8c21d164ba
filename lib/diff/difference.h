/* SPDX-License-Identifier: ISC */
/* difference.h - a difference of two maps, as a change to a map. */
#ifndef SOMA_DIFF_DIFFERENCE_H
#define SOMA_DIFF_DIFFERENCE_H

#include <soma/diff.h>

#include "map/core.h"

/* Fills `word` in from key and values as bytes. */
void soma__difference_words(struct soma_difference *difference);

/* The difference that takes this one back. */
struct soma_difference soma__difference_inverse(const struct soma_difference *difference);

/* Makes it, if the key has what it had before: `what` then. Another answer: the key has something else. An error: nothing has
 * changed. */
enum soma_status soma__difference_make(struct core *core, const struct soma_difference *difference);

#endif
