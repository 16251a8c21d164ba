/* SPDX-License-Identifier: ISC */
/* draws.h - which entry comes next: uniform, or by Zipf's law. */
#ifndef PERF_DRAWS_H
#define PERF_DRAWS_H

#include <stdbool.h>
#include <stdint.h>

#include "support/rng.h"

/* Zipf's law takes powers, which cost more than a lookup. So so many draws are made beforehand, and every thread goes
 * round through them from a place of its own; reading them on costs a cache line every 16 operations. */
#define DRAWS_LOG2 20
#define DRAWS (UINT64_C(1) << DRAWS_LOG2)

struct draws {
    uint64_t space;  /* below this */
    uint32_t *ranks; /* NULL: uniform */
};

struct draws draws_make(uint64_t space, bool zipf);

/* A thread's way through them. */
struct drawing {
    const struct draws *draws;
    uint64_t rng;
    uint64_t at;
};

static inline struct drawing drawing_start(const struct draws *draws, unsigned thread)
{
    const uint64_t rng = key_at(thread);
    return (struct drawing){.draws = draws, .rng = rng, .at = rng};
}

static inline uint64_t drawing_next(struct drawing *drawing)
{
    const struct draws *draws = drawing->draws;
    return draws->ranks ? draws->ranks[drawing->at++ & (DRAWS - 1)] : rng_below(&drawing->rng, draws->space);
}

#endif
