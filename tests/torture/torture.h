/* SPDX-License-Identifier: ISC */
/* torture.h - what the long-running tests share: sizes that options choose, progress, one line of result at the end.
 *
 * A torture program is a plain test program (support.h) whose cases have a size. Without options it is small enough for
 * tests/run; `--soak` runs it at the size that a release is held to; `--scale X` at X times that, or the small size. It
 * says how far it is every few seconds, and the hang watchdog starts anew with every sign of progress, however long the
 * whole may take. The last line of standard output is
 *
 *     RESULT <part> <n> <unit> <violations> violations
 *
 * A program that ends without this line, or not with status 0, has failed.
 */
#ifndef SOMA_TESTS_TORTURE_H
#define SOMA_TESTS_TORTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support.h"

/* --<name> N. With `soak` 0 the option is no size: neither --soak nor --scale changes it. */
struct torture_option {
    const char *name;
    const char *what;
    uint64_t *value;
    uint64_t soak;
};

struct torture {
    const char *part;
    const char *unit; /* what torture_did() counts */
    const char *about;
    double soak_seconds; /* a case that runs "for a while" in the soak; 0: none does */
    const struct torture_option *options;
    size_t option_count;
    const struct test_case *cases;
    size_t case_count;
};

int torture_main(int argc, char **argv, const struct torture *torture);

/* How long a case that runs for a while should do so. */
double torture_seconds(void);

/* Counts n units of the result; they are facts that were verified, too. */
void torture_did(uint64_t n);

/* A sign of life: keeps the watchdog away, and says every few seconds how far it is. From one thread. */
void torture_progress(uint64_t done, uint64_t goal, const char *unit);

/* Without progress for so long, the program has hung: instead of what --hang says. */
void torture_hang(unsigned seconds);

/* As much as the allocators can spare goes back to the system, so that the resident set says what is in use. */
void memory_settle(void);

/* What the program holds of the allocator's memory. Meaningless under a sanitizer. */
uint64_t memory_in_use_kib(void);

#endif
