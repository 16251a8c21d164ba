/* SPDX-License-Identifier: ISC */
/* script.h - histories written down by hand, calls parted by semicolons:
 *
 *     0 1-2 put@3 7 = inserted; 1 3-6 cas@3 7 8 = replaced 7; 2 4-? remove@3; 1 7-8 view 3:8 4:absent
 *
 * Thread, call and return (`?`: never), verb and key (key 0 if none is named), what goes in (of cas first what is
 * expected), then what came out. A clear without a key is one of all keys. Results may be `unknown`. */
#ifndef SOMA_TESTS_HISTORY_SCRIPT_H
#define SOMA_TESTS_HISTORY_SCRIPT_H

#include "graph.h"
#include "history.h"

#define SCRIPT_CALLS 24
#define SCRIPT_SEEN 4

struct script_call {
    struct history_call call;
    bool view;
    struct graph_seen seen[SCRIPT_SEEN];
    uint32_t seen_count;
};

/* Returns how many calls there are; ends the program if it cannot be read. */
uint32_t script_read(const char *text, struct script_call *calls);

#endif
