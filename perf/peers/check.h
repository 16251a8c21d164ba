/* SPDX-License-Identifier: ISC */
/* check.h - before a map is timed it has to answer rightly. */
#ifndef PERF_CHECK_H
#define PERF_CHECK_H

#include "peers/peer.h"

/* Random operations against a plain array, by one thread and then by several at once, each with its own keys; then all
 * threads at the same few keys. A limit is filled and looked up in, no more. Ends the program with one line at the first wrong answer. */
void peer_check(const struct peer_ops *peer);

#endif
