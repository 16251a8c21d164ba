/* SPDX-License-Identifier: ISC */
#include "peers/draws.h"

#include <math.h>

#include "support/fail.h"

#define EXPONENT 0.99
/* A prime larger than any space, so that multiplying by it shuffles a space. */
#define SHUFFLE UINT64_C(4294967291)

/* Terms of the harmonic sum that are added one by one; the rest is an integral, off by less than a millionth. */
#define TERMS 100000

static double harmonic(uint64_t n)
{
    double sum = 0;
    const uint64_t exact = n < TERMS ? n : TERMS;
    for (uint64_t i = 1; i <= exact; i++)
        sum += pow((double)i, -EXPONENT);
    const double rest = 1 - EXPONENT;
    return n > exact ? sum + (pow((double)n + 0.5, rest) - pow((double)exact + 0.5, rest)) / rest : sum;
}

/* Gray, Sundaresan, Englert, Baclawski, Weinberger: Quickly generating billion-record synthetic databases (1994). The
 * ranks are shuffled, so that what is drawn often does not stand together in memory. */
struct draws draws_make(uint64_t space, bool zipf)
{
    struct draws draws = {.space = space};
    if (!zipf)
        return draws;
    draws.ranks = alloc_or_fail(DRAWS * sizeof *draws.ranks);
    const double sum = harmonic(space);
    const double second = 1 + pow(0.5, EXPONENT);
    const double eta = (1 - pow(2.0 / (double)space, 1 - EXPONENT)) / (1 - second / sum);
    uint64_t rng = key_at(space);
    for (uint64_t i = 0; i < DRAWS; i++) {
        const double u = (double)(rng_next(&rng) >> 11) / (double)(UINT64_C(1) << 53);
        const double at = (double)space * pow(eta * u - eta + 1, 1 / (1 - EXPONENT));
        uint64_t rank = u * sum < 1 ? 0 : u * sum < second ? 1 : (uint64_t)at;
        rank = rank < space ? rank : space - 1;
        draws.ranks[i] = (uint32_t)(rank * SHUFFLE % space);
    }
    return draws;
}
