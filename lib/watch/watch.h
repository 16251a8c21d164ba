/* SPDX-License-Identifier: ISC */
/* watch.h - what the files of this room share. */
#ifndef SOMA_WATCH_WATCH_H
#define SOMA_WATCH_WATCH_H

#include <soma/stats.h>

/* Fills in what is of the whole process, after it has moved the pending grace period on. */
void soma__stats_of_process(struct soma_stats *stats);

#endif
