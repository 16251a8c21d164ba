/* SPDX-License-Identifier: ISC */
/* probe.h - USDT probes, for perf, bpftrace, SystemTap and perf/profile/run.
 *
 * With -Dusdt=enabled a probe is one nop, and a note in the file that says where it is and where its arguments are.
 * Without, it is nothing at all, and its arguments are not looked at: they must do nothing. The provider is `soma`.
 *
 *   name            arguments                      when
 *   cas_failed      edge                           a swap of an edge found another edge than expected
 *   update_retry    map, hash                      an update starts again because another one got in its way
 *   help_unlink     entry                          a walk takes out an entry that is frozen but still linked, or tries to
 *   help_bucket     bucket, its word               a walk takes out a sentinel that is going, or finishes one that is coming
 *   help_grow       map, first and last bucket     an update sets up a block of new buckets
 *   grow_begin      map, log2 of the buckets       a thread commits memory for so many buckets; another may do so as well
 *   grow_end        map, log2 of the buckets       the last block of them is set up
 *   shrink_begin    map, log2 of the buckets       the upper half of so many buckets is on its way out; as grow_begin
 *   shrink_end      map, log2 of the buckets       its memory has been given back
 *   stall           waited in ns, reader's thread  a stall callback is called
 *   at_limit        map                            an update found the cap on deferred memory reached
 */
#ifndef SOMA_BASE_PROBE_H
#define SOMA_BASE_PROBE_H

#include <soma_config.h>

#ifdef HAVE_USDT

#include <sys/sdt.h>

#define SOMA_PROBE1(name, a) STAP_PROBE1(soma, name, a)
#define SOMA_PROBE2(name, a, b) STAP_PROBE2(soma, name, a, b)
#define SOMA_PROBE3(name, a, b, c) STAP_PROBE3(soma, name, a, b, c)

#else

#define SOMA_PROBE1(name, a) ((void)0)
#define SOMA_PROBE2(name, a, b) ((void)0)
#define SOMA_PROBE3(name, a, b, c) ((void)0)

#endif

#endif
