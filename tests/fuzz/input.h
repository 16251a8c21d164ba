/* SPDX-License-Identifier: ISC */
/* input.h - a fuzzer's bytes as a map, operations for its threads, and a schedule.
 *
 *     byte 0       kind and options: bit 0: byte map; bits 1-7 as in option_bits[] (input.c)
 *     byte 1       bits 0-1: racing threads less 1, at most 3 more; bits 2-4: operations before; bit 5: weak;
 *                  bits 6-7: operations of a signal handler
 *     byte 2, 3    operations of each thread, 4 bits each, of which 3 count
 *     then         operations, a byte each: bits 0-4 the verb, bits 5-7 the key
 *     then         decisions, two bytes each: how many steps (loads, allocations) after the last one of its sort; bits
 *                  0-1 its sort (switch, older store, failed allocation, signal), bits 2-4 the thread or the store's age
 *
 * Any bytes are some input; what is missing is 0.
 */
#ifndef SOMA_TESTS_FUZZ_INPUT_H
#define SOMA_TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

#include "scenario.h"

struct input {
    unsigned flags;
    unsigned threads;
    struct script scripts[THREADS_MAX]; /* [0] is done before */
    struct script signal;
    struct schedule schedule;
};

void input_decode(const uint8_t *bytes, size_t size, struct input *input);

/* The schedule alone, for operations that were given otherwise. */
void input_decode_schedule(const uint8_t *bytes, size_t size, struct schedule *schedule);

/* The other way, without decisions; how many bytes, at most `size`. */
size_t input_encode(const struct input *input, uint8_t *bytes, size_t size);

#endif
