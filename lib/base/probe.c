/* SPDX-License-Identifier: ISC */
/* probe.c - the probes' semaphores, in the section where listeners look for them. Part of builds with probes only. */
#include "base/probe.h"

#ifdef HAVE_USDT

#define PROBE_SEMAPHORE(name) volatile unsigned short soma_##name##_semaphore __attribute__((section(".probes")));
PROBES(PROBE_SEMAPHORE)

#endif
