/* SPDX-License-Identifier: ISC */
/* check.c - debug builds' one line on standard error. Alone in its file: tests that link the library statically put their
 * own in its place. */
#include "base/check.h"

#if HAVE_CHECKS

#include <stdio.h>
#include <unistd.h>

#include "base/cancel.h"

#define LINE_BYTES 1024

/* One write a line: threads do not mix theirs, and a handler may complain. */
void soma__complain(const char *where, const char *what)
{
    char line[LINE_BYTES];
    int len = snprintf(line, sizeof line, "soma: %s: %s\n", where, what);
    if (len >= (int)sizeof line) {
        len = sizeof line;
        line[len - 1] = '\n';
    }
    const int cancel = soma__cancel_hold();
    const ssize_t written = len > 0 ? write(STDERR_FILENO, line, (size_t)len) : 0;
    soma__cancel_let(cancel);
    (void)written; /* or nobody listens */
}

#endif
