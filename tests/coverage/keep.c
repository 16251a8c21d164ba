/* SPDX-License-Identifier: ISC */
/* keep.c - part of a program that runs the library which counts its branches: the counts outlive each run, and are
 * written to the file that SOMA_COUNTS names when the program ends. */
#include <stdio.h>
#include <stdlib.h>

#include "counters.h"
#include "machine.h"
#include "run.h"

static void write_counts(void)
{
    const char *name = getenv("SOMA_COUNTS");
    if (!name)
        return;
    const uint64_t size = counters_size();
    char *buffer = malloc(size);
    FILE *file = fopen(name, "wb");
    if (!buffer || !file || counters_write(buffer) != 0 || fwrite(buffer, 1, size, file) != size || fclose(file) != 0) {
        fprintf(stderr, "sched-counted: cannot write the counts to %s\n", name);
        _Exit(2);
    }
    free(buffer);
}

/* Before main(), which looks for the library. */
__attribute__((constructor)) static void keep(void)
{
    machine_ignore(counters_begin(), counters_end());
    library_keep(counters_begin(), counters_end());
    atexit(write_counts);
}
