/* SPDX-License-Identifier: ISC */
/* said.h - what a SOMA_BACKEND that cannot be had costs on standard error. */
#ifndef SOMA_TESTS_BACKEND_SAID_H
#define SOMA_TESTS_BACKEND_SAID_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <soma/backend.h>

#include "support.h"

/* Two maps that the environment refuses, with this answer; how many lines of text that costs on standard error, of which each has to be `line`. */
static uint64_t refused_lines(const char *line, enum soma_status want)
{
    soma_any_u64 *map;
    soma_any_map *bytes;
    FILE *file = tmpfile();
    const int before = dup(STDERR_FILENO);
    if (!file || before < 0)
        abort();
    (void)fflush(stderr);
    dup2(fileno(file), STDERR_FILENO);
    const enum soma_status first = soma_any_u64_new(NULL, &map);
    const enum soma_status second = soma_any_map_new(NULL, &bytes);
    dup2(before, STDERR_FILENO);
    close(before);
    EXPECT_EQ(first, want);
    EXPECT_EQ(second, want);
    rewind(file);
    char text[256];
    uint64_t lines = 0;
    for (; fgets(text, sizeof text, file); lines++)
        EXPECT_EQ(strcmp(text, line), 0);
    (void)fclose(file);
    return lines;
}

#endif
