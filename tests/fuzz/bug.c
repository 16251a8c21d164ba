/* SPDX-License-Identifier: ISC */
/* bug.c - the seeded bug of a fuzzer that is a canary; none in the real one. */
#include "target.h"

#ifndef TARGET_BUG
#define TARGET_BUG BUG_NONE
#endif

enum machine_bug target_bug = TARGET_BUG;
