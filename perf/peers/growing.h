/* SPDX-License-Identifier: ISC */
/* growing.h - a cds_lfht that grows by itself, as it comes up in all programs. */
#ifndef PERF_GROWING_H
#define PERF_GROWING_H

#define GROW_FROM_BUCKETS 64

struct cds_lfht;
struct rcu_flavor_struct;

/* AUTO_RESIZE and ACCOUNTING, from GROW_FROM_BUCKETS. Ends the program if it cannot be made. */
struct cds_lfht *growing_new(const struct rcu_flavor_struct *flavor);

#endif
