/* SPDX-License-Identifier: ISC */
/* lib_reader.c - the library's file, and a way to call what it does when it is loaded. */
#include "rcu/reader.c"

void model_library_set_up(void)
{
    set_up();
}
