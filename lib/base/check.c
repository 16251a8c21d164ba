/* SPDX-License-Identifier: ISC */
/* check.c - debug builds' one line on standard error. */
#include <stdio.h>

#include "base/check.h"

#if HAVE_CHECKS

void soma__complain(const char *where, const char *what)
{
    (void)fprintf(stderr, "soma: %s: %s\n", where, what);
}

#endif
