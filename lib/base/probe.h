/* SPDX-License-Identifier: ISC */
/* probe.h - USDT probes, for perf, bpftrace, SystemTap and perf/profile/run. docs/probes.md says what each tells.
 *
 * With -Dusdt=enabled a probe is a test of its semaphore, which listeners raise, and behind that one nop, and a note in the file
 * that says where it is and where its arguments are. So arguments are computed only when somebody listens. Without, it is nothing
 * at all. Arguments must do nothing either way. The provider is `soma`. */
#ifndef SOMA_BASE_PROBE_H
#define SOMA_BASE_PROBE_H

#include <soma_config.h>

#ifdef HAVE_USDT

#define _SDT_HAS_SEMAPHORES 1
#define STAP_SDT_ARG_CONSTRAINT nr /* in registers: not every listener can find an argument by a symbol */
#include <sys/sdt.h>

#include "base/attr.h"

/* Every probe that there is. */
#define PROBES(each)                                                                                                   \
    each(get_begin) each(get_end) each(update_begin) each(update_end) each(section_begin) each(section_end)            \
        each(cas_failed) each(update_retry) each(help_link) each(help_unlink) each(help_bucket) each(help_grow)        \
            each(grow_begin) each(grow_end) each(shrink_begin) each(shrink_end) each(retire) each(grace_begin)         \
                each(grace_wait) each(grace_end) each(stall) each(at_limit) each(view_open) each(view_close)

/* How many listen. The kernel or a debugger writes it. */
#define PROBE_SEMAPHORE(name)                                                                                          \
    extern volatile unsigned short soma_##name##_semaphore __attribute__((visibility("hidden")));
PROBES(PROBE_SEMAPHORE)
#undef PROBE_SEMAPHORE

#define SOMA_PROBE(name, count, ...)                                                                                   \
    do {                                                                                                               \
        if (UNLIKELY(soma_##name##_semaphore != 0))                                                                    \
            STAP_PROBE##count(soma, name, __VA_ARGS__);                                                                \
    } while (0)

#define SOMA_PROBE1(name, a) SOMA_PROBE(name, 1, a)
#define SOMA_PROBE2(name, a, b) SOMA_PROBE(name, 2, a, b)
#define SOMA_PROBE3(name, a, b, c) SOMA_PROBE(name, 3, a, b, c)
#define SOMA_PROBE4(name, a, b, c, d) SOMA_PROBE(name, 4, a, b, c, d)

#else

#define SOMA_PROBE1(name, a) ((void)0)
#define SOMA_PROBE2(name, a, b) ((void)0)
#define SOMA_PROBE3(name, a, b, c) ((void)0)
#define SOMA_PROBE4(name, a, b, c, d) ((void)0)

#endif

#endif
