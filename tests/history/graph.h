/* SPDX-License-Identifier: ISC */
/* graph.h - linearizability of calls that read many keys at one instant, as views do: a graph of what must come before
 * what. It also takes calls on single keys, so views and updates are held against each other.
 *
 *     graph_reset(g);
 *     graph_initial(g, 3, 7);                 // what keys held before; those not named were absent
 *     graph_add_call(g, &call);               // times are any numbers, no two the same
 *     graph_add_view(g, thread, begin, end, seen, 2);
 *     if (graph_check(g) != GRAPH_HOLDS)
 *         fputs(graph_why(g), stderr);
 */
#ifndef SOMA_TESTS_HISTORY_GRAPH_H
#define SOMA_TESTS_HISTORY_GRAPH_H

#include "history.h"

/* What a view saw of one key; HISTORY_ABSENT too. */
struct graph_seen {
    uint32_t key;
    uint64_t value;
};

enum graph_answer {
    GRAPH_HOLDS,
    GRAPH_IMPOSSIBLE,
    GRAPH_UNDECIDED /* calls that do not say what they replaced, values that are not unique, too many choices */
};

struct graph;

/* Room for so many calls and views, that look at or change so many keys in all. NULL: no memory. */
struct graph *graph_new(uint32_t nodes, uint32_t looks, bool (*is_word)(uint64_t value));
void graph_free(struct graph *graph);
void graph_reset(struct graph *graph);

void graph_initial(struct graph *graph, uint32_t key, uint64_t value);
void graph_add_call(struct graph *graph, const struct history_call *call);
void graph_add_view(struct graph *graph, unsigned thread, uint64_t begin, uint64_t end, const struct graph_seen *seen,
                    uint32_t count);

enum graph_answer graph_check(struct graph *graph);

/* The shortest cycle found, or why it is undecided. */
const char *graph_why(const struct graph *graph);

/* How many edges the last check had, and how often it had to try another order. */
uint64_t graph_edges(const struct graph *graph);
unsigned graph_retries(const struct graph *graph);

#endif
