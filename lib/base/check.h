/* SPDX-License-Identifier: ISC */
/* check.h - what debug builds say. Nothing here ever ends the program: a broken invariant or a misuse is named on
 * standard error, and the call goes on to answer with a status. */
#ifndef SOMA_BASE_CHECK_H
#define SOMA_BASE_CHECK_H

#include <soma_config.h>

#if HAVE_CHECKS

/* Says "soma: <where>: <what>". */
void soma__complain(const char *where, const char *what);

#define MISUSE(what) soma__complain(__func__, (what))
#define ASSERT(invariant, condition)                                                                                   \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            soma__complain(__func__, "broken invariant " invariant ": " #condition);                                   \
    } while (0)

#else

#define MISUSE(what) ((void)0)
#define ASSERT(invariant, condition) ((void)0)

#endif

#endif
