/* SPDX-License-Identifier: ISC */
/* seed.c - seeds, and the word mixer made from them. */
#include <errno.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "hash/hash.h"

/* splitmix64 (Steele, Lea & Flood 2014): stretches a seed into independent-looking words. */
static uint64_t next_word(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void soma__mix_init(struct soma__mix *mix, const uint64_t seed[2])
{
    uint64_t left = seed[0];
    uint64_t right = seed[1];
    mix->salt = next_word(&left) + next_word(&right);
    mix->first = (next_word(&left) + next_word(&right)) | 1;
    mix->second = (next_word(&left) ^ next_word(&right)) | 1;
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
    if (getrandom(seed, want, GRND_NONBLOCK) == (ssize_t)want)
        return;
    /* Early in boot, or forbidden: the best that is left. Address layout and clocks differ between runs. */
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t state = (uint64_t)(uintptr_t)&now ^ (uint64_t)now.tv_nsec << 20 ^ (uint64_t)getpid();
    seed[0] = next_word(&state);
    clock_gettime(CLOCK_REALTIME, &now);
    state ^= (uint64_t)(uintptr_t)seed ^ (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec;
    seed[1] = next_word(&state);
}
