/* SPDX-License-Identifier: ISC */
/* seed.c - seeds, and the word mixer made from them. */
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/cancel.h"
#include "hash/hash.h"

/* The n-th of the independent-looking words that a seed stands for. */
static uint64_t seed_word(const uint64_t seed[2], unsigned char n)
{
    return soma__siphash24(seed, &n, sizeof n);
}

void soma__mix_init(struct soma__mix *mix, const uint64_t seed[2])
{
    mix->salt = seed_word(seed, 0);
    mix->first = seed_word(seed, 1) | 1;
    mix->second = seed_word(seed, 2) | 1;
}

/* The inverse of an odd number modulo 2^64. Newton: each step doubles the number of right bits; x is right in 3. */
static uint64_t odd_inverse(uint64_t x)
{
    uint64_t inverse = x;
    for (int right_bits = 3; right_bits < 64; right_bits *= 2)
        inverse *= 2 - x * inverse;
    return inverse;
}

uint64_t soma__mix_inverse(const struct soma__mix *mix, uint64_t hash)
{
    uint64_t h = hash * odd_inverse(mix->second);
    h ^= h >> 32;
    return (h * odd_inverse(mix->first)) ^ mix->salt;
}

void soma__seed_random(uint64_t seed[2])
{
    const size_t want = 2 * sizeof seed[0];
    const int cancel = soma__cancel_hold();
    const ssize_t got = getrandom(seed, want, GRND_NONBLOCK);
    soma__cancel_let(cancel);
    if (got == (ssize_t)want)
        return;
    /* Early in boot, or forbidden: the best that is left. Address layout and clocks differ between runs. */
    struct timespec now[2];
    clock_gettime(CLOCK_MONOTONIC, &now[0]);
    clock_gettime(CLOCK_REALTIME, &now[1]);
    const uint64_t key[2] = {(uintptr_t)&now, (uint64_t)getpid()};
    seed[0] = soma__siphash24(key, now, sizeof now);
    seed[1] = soma__siphash24((const uint64_t[2]){key[1], seed[0]}, now, sizeof now);
}
