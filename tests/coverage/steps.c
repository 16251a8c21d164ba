/* SPDX-License-Identifier: ISC */
/* steps.c - see steps.h. Compiled with the library, so that the scheduler sees every access. */
#include "steps.h"
#include "probe.h"

void step_to_phase(struct core *core, enum dir_phase phase)
{
    while (dir_phase(soma__dir_state(&core->dir)) != phase)
        probe_shrink_step(core);
}

void step_unset(struct core *core, uint64_t before, uint64_t index)
{
    struct atom *prev = soma__dir_bucket_at(&core->dir, before);
    struct atom *bucket = soma__dir_bucket_at(&core->dir, index);
    uint64_t edge = soma__edge_to_bucket(bucket);
    uint64_t word = soma__edge_read(bucket);
    if (soma__edge_swap(prev, &edge, word))
        soma__edge_swap(bucket, &word, 0);
}
