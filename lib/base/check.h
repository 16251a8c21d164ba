/* SPDX-License-Identifier: ISC */
/* check.h - what debug builds say. A broken invariant or a misuse is named on standard error, and the call goes on to
 * answer with a status; the program ends only if the environment asks for it (SOMA_MISUSE=abort). docs/misuse.md lists
 * what is said. Other builds contain nothing of it. */
#ifndef SOMA_BASE_CHECK_H
#define SOMA_BASE_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <soma_config.h>

/* Builds that explore schedules check invariants, but have no room for a register of what lives (guard.h, loan.h). */
#define HAVE_GUARD (HAVE_CHECKS && !SMALL_SIZES)

#if HAVE_CHECKS

/* Says "soma: <where>: <what>". */
void soma__complain(const char *where, const char *what);

/* Says that, with the thread's reason (soma__because) instead of `what` if there is one, and the public call instead of a
 * static function; then does what SOMA_MISUSE asks for. */
void soma__misuse(const char *where, const char *what);

#if HAVE_GUARD
#define SAY soma__misuse
#else
#define SAY soma__complain
#endif

#define MISUSE(what) SAY(__func__, (what))
#define ASSERT(invariant, condition)                                                                                   \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            SAY(__func__, "broken invariant " invariant ": " #condition);                                              \
    } while (0)

#else

#define MISUSE(what) ((void)0)
#define ASSERT(invariant, condition) ((void)0)

#endif

#if HAVE_GUARD

/* What the thread's next complaint says in the place of its own words. Whoever finds the reason is followed by a MISUSE(). */
void soma__because(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The public call that the thread is in, where a static function complains for several. */
extern __thread const char *soma__call __attribute__((tls_model("initial-exec")));
#define CALL() (soma__call = __func__)
const char *soma__caller(const char *where);

/* "main+0x1f (program+0x121f)"; the second is what addr2line wants. */
#define PLACE_BYTES 160
const char *soma__place(const void *code, char text[PLACE_BYTES]);

/* How long a section may be open before it is named, by SOMA_MISUSE=section=MILLISECONDS. 0: as long as it likes. */
uint64_t soma__section_limit_ns(void);

#else

#define CALL() ((void)0)

#endif

#endif
