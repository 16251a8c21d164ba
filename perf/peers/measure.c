/* SPDX-License-Identifier: ISC */
/* measure.c - one measurement of one map in a process that does nothing else; perf/peers/run starts it many times.
 *
 *     measure list                                    name, what it lacks, what it is; a line a map, tabs between
 *     measure check PEER                              status 0 if it answers rightly
 *     measure run PEER WORK DRAW ENTRIES THREADS SECONDS
 *                                                     "figure value" lines
 *     measure clock ENTRIES THREADS SECONDS           the same of growth without a map */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peers/canary.h"
#include "peers/check.h"
#include "peers/work.h"
#include "support/fail.h"

static const struct peer_ops *const peers[] = {
    &peer_soma,    &peer_soma_spacious, &peer_soma_batch,  &peer_memb_grow, &peer_memb,   &peer_lfht_grow,
    &peer_lfht,    &peer_cds_split,     &peer_cds_michael, &peer_ck,        &peer_tbb,    &peer_cuckoo,
    &peer_stripes, &peer_std,           &peer_glib,        &peer_mutex,     &peer_rwlock,
};
#define PEERS (sizeof peers / sizeof peers[0])

/* No maps, but the least that a lookup can cost. */
static const struct peer_ops *const limits[] = {
#ifndef PEER_STRINGS
    &peer_linear,
    &peer_linear_batch,
#endif
    NULL,
};

static const struct peer_ops *const canaries[] = {
    &peer_canary_value,
    &peer_canary_keep,
    &peer_canary_race,
#ifndef PEER_STRINGS
    &peer_canary_limit,
#endif
};
#define CANARIES (sizeof canaries / sizeof canaries[0])

static const struct peer_ops *peer_named(const char *name)
{
    for (unsigned i = 0; i < PEERS; i++) {
        if (strcmp(peers[i]->name, name) == 0)
            return peers[i];
    }
    for (unsigned i = 0; limits[i]; i++) {
        if (strcmp(limits[i]->name, name) == 0)
            return limits[i];
    }
    for (unsigned i = 0; i < CANARIES; i++) {
        if (strcmp(canaries[i]->name, name) == 0)
            return canaries[i];
    }
    fail_usage("no map is called '%s'", name);
}

static void list_one(const struct peer_ops *peer)
{
    static const char *const lacks[] = {"reads-lock", "writes-lock", "one-writer", "fixed-size", "register",
                                        "rest",       "no-old",      "some-keys",  "no-map"};
    printf("%s\t", peer->name);
    for (unsigned bit = 0; bit < sizeof lacks / sizeof lacks[0]; bit++) {
        if (peer->lacks >> bit & 1)
            printf("%s ", lacks[bit]);
    }
    printf("%s\t%s\n", peer->scan ? "" : "no-scan", peer->about);
}

static void list(void)
{
    for (unsigned i = 0; i < PEERS; i++)
        list_one(peers[i]);
    for (unsigned i = 0; limits[i]; i++)
        list_one(limits[i]);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        list();
    } else if (argc == 3 && strcmp(argv[1], "check") == 0) {
        peer_check(peer_named(argv[2]));
    } else if (argc == 8 && strcmp(argv[1], "run") == 0) {
        const struct job job = {.peer = peer_named(argv[2]),
                                .work = argv[3],
                                .zipf = strcmp(argv[4], "zipf") == 0,
                                .size = strtoull(argv[5], NULL, 10),
                                .threads = (unsigned)strtoul(argv[6], NULL, 10),
                                .seconds = strtod(argv[7], NULL)};
        work(&job);
    } else if (argc == 5 && strcmp(argv[1], "clock") == 0) {
        const struct job job = {.size = strtoull(argv[2], NULL, 10),
                                .threads = (unsigned)strtoul(argv[3], NULL, 10),
                                .seconds = strtod(argv[4], NULL)};
        clock_alone(&job);
    } else {
        fail_usage("wants 'list', 'check PEER', 'run PEER WORK DRAW ENTRIES THREADS SECONDS' or 'clock ENTRIES THREADS "
                   "SECONDS'");
    }
    return EXIT_SUCCESS;
}
