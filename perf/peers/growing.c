/* SPDX-License-Identifier: ISC */
#include "peers/growing.h"

#include <sched.h>
#include <urcu/rculfhash.h>

#include "support/fail.h"

/* liburcu 0.13 queues a resize and only then notes that one is under way. If its worker thread gets in between and is
 * done before the note is written, the note stays for good and the table never grows again; with more threads than
 * cores that happens in most runs. A worker of the batch class, which it has from the thread that makes the first
 * table, does not take the core away from who wakes it, and so stays out of that gap. */
struct cds_lfht *growing_new(const struct rcu_flavor_struct *flavor)
{
    const struct sched_param none = {.sched_priority = 0};
    sched_setscheduler(0, SCHED_BATCH, &none);
    struct cds_lfht *table = cds_lfht_new_flavor(GROW_FROM_BUCKETS, GROW_FROM_BUCKETS, 0,
                                                 CDS_LFHT_AUTO_RESIZE | CDS_LFHT_ACCOUNTING, flavor, NULL);
    sched_setscheduler(0, SCHED_OTHER, &none);
    if (!table)
        fail("lfht: cannot make the table");
    return table;
}
