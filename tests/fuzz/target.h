/* SPDX-License-Identifier: ISC */
/* target.h - what fuzzers and the replayer share. */
#ifndef SOMA_TESTS_FUZZ_TARGET_H
#define SOMA_TESTS_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

#include "machine.h"

/* A seeded bug of the machine, for canaries. */
extern enum machine_bug target_bug;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#endif
