/* SPDX-License-Identifier: ISC */
/* clock.h - the time that passes, for stalls and for sections that are open too long. */
#ifndef SOMA_BASE_CLOCK_H
#define SOMA_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "base/attr.h"

/* From some moment on, never backwards. */
ALWAYS_INLINE uint64_t soma__now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

#endif
