/* SPDX-License-Identifier: ISC */
/* said.h - what a SOMA_BACKEND that cannot be had costs on standard error. */
#ifndef SOMA_TESTS_BACKEND_SAID_H
#define SOMA_TESTS_BACKEND_SAID_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <soma/backend.h>

#include "support.h"

/* By a thread that is cancelled, which no call is a point for. */
static void *refused_cancelled(void *status)
{
    soma_any_u64 *map;
    (void)pthread_cancel(pthread_self());
    *(enum soma_status *)status = soma_any_u64_new(NULL, &map);
    pthread_testcancel();
    return NULL;
}

/* Two maps that the environment refuses, with this answer; how many lines of text that costs on standard error, of which each has to be `line`. */
static uint64_t refused_lines(const char *line, enum soma_status want)
{
    enum soma_status first = SOMA_OK;
    pthread_t thread;
    soma_any_map *bytes;
    FILE *file = tmpfile();
    const int before = dup(STDERR_FILENO);
    if (!file || before < 0)
        abort();
    (void)fflush(stderr);
    dup2(fileno(file), STDERR_FILENO);
    if (pthread_create(&thread, NULL, refused_cancelled, &first) != 0)
        abort();
    (void)pthread_join(thread, NULL);
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
