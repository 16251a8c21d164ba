/* SPDX-License-Identifier: ISC */
/* canary.h - maps that are wrong on purpose: the check must say so of each, or it checks nothing. */
#ifndef PERF_CANARY_H
#define PERF_CANARY_H

#include "peers/peer.h"

extern const struct peer_ops peer_canary_value; /* now and then leaves the old value where a new one belongs */
extern const struct peer_ops peer_canary_keep;  /* now and then keeps an entry that it says is removed */
extern const struct peer_ops
    peer_canary_race; /* two threads may insert one key: looks without the lock it writes with */
extern const struct peer_ops peer_canary_limit; /* words only: a limit that now and then takes one key for another */

#endif
