/* SPDX-License-Identifier: ISC */
/* graph.h - the graph of dependencies: linearizability of calls that read many keys at one instant.
 *
 * Source   Kingsbury & Alvaro 2020 (Elle): with unique values, and with updates that answer what they replaced, the
 *          order of a key's versions is known, not guessed, and a history holds only if the graph has no cycle.
 * Nodes    Updates (with what they replaced and what they left), and views: lookups of any number of keys.
 * Edges    Real time: who ended before another began. Versions: who made a value, then who replaced it. Reads: who made
 *          a value, then who read it, then who replaced it.
 * Absence  Values are unique, absence is not. Stretches in which a key is there, from an insertion to a removal, are
 *          put in order only where real time leaves no choice; a read of absence is put between two stretches only
 *          if there is one place for it. So no alarm is false; what is undecided is left to linear.h, key by key.
 */
#ifndef SOMA_TESTS_HISTORIES_GRAPH_H
#define SOMA_TESTS_HISTORIES_GRAPH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "call.h"

struct graph;

/* Room for so many calls, and for views besides. NULL: no memory. */
struct graph *graph_new(uint32_t calls);
void graph_free(struct graph *graph);

/* A call on one key. Calls that answer nothing certain (clears, put_many, borrowed words) only count with their time. */
void graph_add_call(struct graph *graph, const struct call *call);

/* What a view saw of one key: 0 is absent. */
struct seen {
    uint64_t key;
    uint64_t value;
};

/* A view of many keys, at one instant between its beginning and its end. seen[] must live until the check. */
void graph_add_view(struct graph *graph, uint64_t begin, uint64_t end, const struct seen *seen, uint32_t count);

/* Whether there is no cycle; else prints one to `out`, which may be NULL. */
bool graph_check(struct graph *graph, FILE *out);

#endif
