/* SPDX-License-Identifier: ISC */
/* canary.c - counters of two threads, compiled as the library is: what the model must report, and what it must not. */
#include "base/atom.h"
#include "lines.h"

static struct {
    struct atom together[2];
    struct atom apart[2][64 / sizeof(struct atom)];
    struct atom one;
} counters __attribute__((aligned(64)));

void canary_step(enum canary canary, unsigned thread)
{
    switch (canary) {
    case CANARY_ONE_LINE:
        atom_add_rlx(&counters.together[thread], 1);
        break;
    case CANARY_APART:
        atom_add_rlx(&counters.apart[thread][7 * thread], 1);
        break;
    case CANARY_ONE_WORD:
        atom_add_rlx(&counters.one, 1);
        break;
    case CANARIES:
        break;
    }
}
