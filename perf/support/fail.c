/* SPDX-License-Identifier: ISC */
#include "support/fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Leaves at once: other threads may be running, and what they use must not be taken from under them. */
static _Noreturn void leave(enum exit_status status, const char *format, va_list args)
{
    char text[600];
    vsnprintf(text, sizeof text, format, args);
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, text);
    _exit(status);
}

void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    leave(EXIT_WRONG, format, args);
}

void fail_usage(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    leave(EXIT_USAGE, format, args);
}

void *alloc_or_fail(size_t size)
{
    return grow_or_fail(NULL, size);
}

void *grow_or_fail(void *memory, size_t size)
{
    void *grown = realloc(memory, size > 0 ? size : 1);
    if (!grown)
        fail("out of memory (%zu bytes)", size);
    return grown;
}

char *text_or_fail(const char *text)
{
    const size_t size = strlen(text) + 1;
    return memcpy(alloc_or_fail(size), text, size);
}
