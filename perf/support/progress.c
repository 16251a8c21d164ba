/* SPDX-License-Identifier: ISC */
#include "support/progress.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

static struct {
    unsigned steps;
    unsigned done;
    bool terminal;
} progress;

void progress_start(unsigned steps)
{
    progress.steps = steps;
    progress.done = 0;
    progress.terminal = isatty(STDERR_FILENO) == 1;
}

void progress_step(const char *format, ...)
{
    char text[160];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    progress.done++;
    fprintf(stderr, progress.terminal ? "\r\033[K[%u/%u] %s" : "[%u/%u] %s\n", progress.done, progress.steps, text);
}

void progress_end(void)
{
    if (progress.terminal)
        fputs("\r\033[K", stderr);
}
