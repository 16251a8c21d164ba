/* SPDX-License-Identifier: ISC */
/* bytes.h - the hash of byte strings that is given to maps which bring none of their own: eight bytes a step, one
 * multiplication each. Unkeyed, so it is cheaper than what a map that faces strangers could use. */
#ifndef PERF_BYTES_H
#define PERF_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t bytes_mix(uint64_t hash, uint64_t word)
{
    const uint64_t product = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return product ^ product >> 32;
}

static inline uint64_t bytes_hash(const char *text, size_t len)
{
    uint64_t hash = len;
    uint64_t word;
    while (len >= sizeof word) {
        memcpy(&word, text, sizeof word);
        hash = bytes_mix(hash, word);
        text += sizeof word;
        len -= sizeof word;
    }
    word = 0;
    for (size_t i = 0; i < len; i++)
        word = word << 8 | (unsigned char)text[i];
    return bytes_mix(hash, word);
}

#endif
