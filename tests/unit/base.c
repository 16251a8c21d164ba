/* SPDX-License-Identifier: ISC */
/* base.c - the room base/: bits and atomics, against the plain definition of each. */
#include <criterion/criterion.h>

#include "base/atom.h"
#include "base/bits.h"

Test(bits, trailing_and_leading)
{
    for (unsigned i = 0; i < 64; i++) {
        const uint64_t bit = UINT64_C(1) << i;
        cr_assert_eq(bits_trailing(bit), i);
        cr_assert_eq(bits_trailing(bit | UINT64_C(1) << 63), i);
        cr_assert_eq(bits_leading(bit), 63 - i);
        cr_assert_eq(bits_leading(bit | 1), 63 - i);
    }
}

Test(bits, log2_ceil)
{
    cr_assert_eq(bits_log2_ceil(1), 0);
    cr_assert_eq(bits_log2_ceil(2), 1);
    cr_assert_eq(bits_log2_ceil(3), 2);
    for (unsigned n = 2; n < 63; n++) {
        const uint64_t power = UINT64_C(1) << n;
        cr_assert_eq(bits_log2_ceil(power - 1), n);
        cr_assert_eq(bits_log2_ceil(power), n);
        cr_assert_eq(bits_log2_ceil(power + 1), n + 1);
    }
    cr_assert_eq(bits_log2_ceil(UINT64_C(1) << 63), 63);
}

Test(atom, does_what_it_is_called)
{
    struct atom a = {5};
    uint64_t expected = 5;
    cr_assert_eq(atom_add_rlx(&a, 3), 5);
    cr_assert_eq(atom_add_acqrel(&a, 2), 8);
    cr_assert_eq(atom_sub_acqrel(&a, 5), 10);
    cr_assert_eq(atom_add_acq(&a, 0), 5);
    cr_assert(atom_cas_acqrel(&a, &expected, 7));
    cr_assert_not(atom_cas_rlx(&a, &expected, 8));
    cr_assert_eq(expected, 7, "a failed swap says what is there");
    cr_assert(atom_cas_rlx(&a, &expected, 8));
    cr_assert_eq(atom_xchg_acq(&a, 9), 8);
    cr_assert_eq(atom_xchg_rel(&a, 11), 9);
    cr_assert_eq(atom_load_rlx(&a), 11);
    atom_store_rel(&a, 10);
    cr_assert_eq(atom_load_acq(&a), 10);
    atom_store_rlx(&a, 12);
    cr_assert_eq(a.word, 12);
}

#if HAVE_CAS16

Test(atom, cas16_changes_both_or_none)
{
    struct atom pair[2] ALIGNED(16) = {{1}, {2}};
    cr_assert_not(atom_cas16_seq(pair, 1, 3, 7, 8));
    cr_assert_not(atom_cas16_seq(pair, 0, 2, 7, 8));
    cr_assert(pair[0].word == 1 && pair[1].word == 2);
    cr_assert(atom_cas16_seq(pair, 1, 2, UINT64_MAX, 0));
    cr_assert(pair[0].word == UINT64_MAX && pair[1].word == 0);
}

#endif
