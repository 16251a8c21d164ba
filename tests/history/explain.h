/* SPDX-License-Identifier: ISC */
/* explain.h - a history of one key that no order explains, cut down to what makes it impossible, drawn for people. */
#ifndef SOMA_TESTS_HISTORY_EXPLAIN_H
#define SOMA_TESTS_HISTORY_EXPLAIN_H

#include "history.h"

#define EXPLANATION_SIZE 24576

struct explanation {
    char text[EXPLANATION_SIZE];
    size_t sentence; /* where the last line begins */
    size_t calls;    /* that were left */
};

/* `calls` are all of one key's, in the order of their beginnings, and change; `states` is what it may have held before.
 * False if the history holds after all, or there is no memory. */
bool explain(struct explanation *out, uint32_t key, struct history_call *calls, uint32_t count, const uint64_t *states,
             uint32_t state_count, bool (*is_word)(uint64_t value));

/* Whether the part of the calls that `kept` names is impossible whatever the others did: for trying the projection that
 * explain() relies on. */
bool explain_part_is_impossible(const struct history_call *calls, uint32_t count, const bool *kept,
                                const uint64_t *states, uint32_t state_count, bool (*is_word)(uint64_t value));

#endif
