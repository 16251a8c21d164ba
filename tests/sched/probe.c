/* SPDX-License-Identifier: ISC */
/* probe.c - what scenarios do inside the library. Compiled with it, so that the scheduler sees every access. */
#include "probe.h"

void probe_shrink_step(struct core *core)
{
    const struct soma__section section = soma__section_enter();
    (void)soma__dir_shrink_step(&core->dir, section.self);
    core_exit(core, section);
}

void probe_help(struct core *core)
{
    const uint64_t counting = core_counting(core);
    for (uint64_t i = 0; i < core_stripes_of(counting); i++) {
        const struct soma__section section = soma__section_enter();
        soma__dir_help(&core->dir, section.self, &core_stripes_at(counting)[i].run);
        core_exit(core, section);
    }
}
