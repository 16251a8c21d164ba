/* SPDX-License-Identifier: ISC */
/* lib_reader.c - the library's file, a way to call what it does when it is loaded, and what is left out of it. */
#include "rcu/reader.c"

#include "map/sums.h"

void model_library_set_up(void)
{
    set_up();
}

/* No map here keeps digests. */
void soma__sums_fini(struct core *core)
{
    (void)core;
}
