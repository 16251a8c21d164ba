/* SPDX-License-Identifier: ISC */
/* probe.c - what scenarios do inside the library. Compiled with it, so that the scheduler sees every access. */
#include "probe.h"

void probe_shrink_step(struct core *core)
{
    const struct soma__section section = soma__section_enter();
    (void)soma__dir_shrink_step(&core->dir, section.self);
    core_exit(core, section);
}
