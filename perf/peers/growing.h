/* SPDX-License-Identifier: ISC */
/* growing.h - a cds_lfht of the qsbr flavor that grows by itself, as it comes up in both programs. */
#ifndef PERF_GROWING_H
#define PERF_GROWING_H

#define GROW_FROM_BUCKETS 64

struct cds_lfht;

/* AUTO_RESIZE and ACCOUNTING, from GROW_FROM_BUCKETS. Ends the program if it cannot be made. */
struct cds_lfht *growing_new(void);

#endif
