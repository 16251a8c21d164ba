/* SPDX-License-Identifier: ISC */
/* linear.h - the checker of one key: which states are possible after each event. */
#ifndef SOMA_TESTS_HISTORY_LINEAR_H
#define SOMA_TESTS_HISTORY_LINEAR_H

#include "spec.h"

#define LINEAR_SLOTS 64
#define LINEAR_CONFIGURATIONS_MAX 65536

/* A state of the key, and the pending calls, by slot, that have taken effect on the way to it. */
struct configuration {
    uint64_t state;
    uint64_t effected;
};

struct configurations {
    unsigned count;
    uint32_t generation; /* marks what in `table` is of this set */
    struct configuration *items;
    uint64_t *table; /* generation << 32 | index + 1 */
};

struct linear {
    bool (*is_word)(uint64_t value);
    struct step steps[LINEAR_SLOTS];
    unsigned entries[LINEAR_SLOTS];
    uint64_t slots;   /* calls that have begun and not ended */
    uint64_t readers; /* of these, those that change nothing; */
    uint64_t clears;  /* those that may remove at any time */
    bool drifts_out;  /* somebody unseen may remove what is not kept track of, */
    bool drifts_in;   /* or put it */
    struct configurations now;
    struct configurations next;
    unsigned most;
};

enum linear_answer {
    LINEAR_HOLDS,
    LINEAR_IMPOSSIBLE,
    LINEAR_TOO_MANY
};

bool linear_init(struct linear *linear, bool (*is_word)(uint64_t value));
void linear_fini(struct linear *linear);

/* From nothing pending and any of these states. */
void linear_start(struct linear *linear);
void linear_add_state(struct linear *linear, uint64_t state);

/* A call begins; it ends. `entry` is the caller's name for it. After anything but LINEAR_HOLDS: start again. */
enum linear_answer linear_begin(struct linear *linear, unsigned entry, const struct step *step);
enum linear_answer linear_end(struct linear *linear, unsigned entry);

/* Both, with nothing pending. */
enum linear_answer linear_alone(struct linear *linear, const struct step *step);

/* With nothing pending but calls that never end: what may be there. */
unsigned linear_states(struct linear *linear, const struct configuration **states);

#endif
