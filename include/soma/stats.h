/* SPDX-License-Identifier: ISC */
/**
 * stats.h - what a map is doing: its size, its chains, how often its users met, what it holds back and why.
 *
 *     struct soma_stats stats = {.struct_size = sizeof stats};
 *     if (soma_u64_stats(map, &stats) == SOMA_OK)
 *         printf("%" PRIu64 " entries, %" PRIu64 " retries\n", stats.entries, stats.retries);
 *
 * Asking costs what a thousand lookups cost; being asked costs a map nothing: what is counted is counted where something rare
 * has happened, and the rest is looked at when somebody asks. See also: metrics.h writes all of it as text, http.h as pages.
 */
#ifndef SOMA_STATS_H
#define SOMA_STATS_H

#include <stddef.h>
#include <stdint.h>

#include <soma/attr.h>
#include <soma/map.h>
#include <soma/status.h>
#include <soma/u64.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Lengths of chains that are told apart. */
#define SOMA_STATS_CHAINS 16

/**
 * The answers. Each is exact at some moment of the call, not all at the same; what is of a sample or an estimate says so.
 * What is counted goes up from 0 while the map lives, but for a call beside updates, which may miss the latest.
 */
struct soma_stats {
    size_t struct_size; /**< in: sizeof of this structure, or 0: the fields of release 0.1. Left as it is */

    /* Size */
    uint64_t entries;          /**< as soma_u64_count_approx() */
    uint64_t buckets;          /**< a power of two */
    uint64_t load_percent;     /**< entries for each 100 buckets, now */
    uint64_t load_percent_max; /**< at which the table grows: the option load_percent */

    /* Chains: entries from a bucket to the next. Of a sample of at most 1024 buckets, spread evenly */
    uint64_t chain_buckets;                    /**< how many buckets were looked at and in use */
    uint64_t chain_unready;                    /**< looked at, but not set up yet: lookups start at another */
    uint64_t chain_entries;                    /**< entries in them */
    uint64_t chain_longest;                    /**< of the longest; 4096 stands for that many and more */
    uint64_t chain_lengths[SOMA_STATS_CHAINS]; /**< how many chains of 0, 1, 2 ... entries; the last: of 15 and more */

    /* Counted since the map was made */
    uint64_t grows;        /**< the table got more buckets */
    uint64_t shrinks;      /**< half of its buckets went, and their memory was given back */
    uint64_t retries;      /**< an update started again: another one had changed what its compare-and-swap expected */
    uint64_t helps_link;   /**< an operation found an insertion half done, and finished it */
    uint64_t helps_unlink; /**< one found a removed entry still linked, and took it out, or tried to */
    uint64_t helps_bucket; /**< one found a bucket half set up, or half taken out, and finished that */
    uint64_t helps_grow;   /**< an update set up a block of up to 64 new buckets */
    uint64_t limits;       /**< tries of updates that found the cap on deferred memory reached */
    uint64_t stalls;       /**< grace periods that updates of this map found to have waited for longer than stall_ns */

    /* Memory */
    uint64_t
        table_bytes; /**< the header, the buckets, a large map's counters; without pages that no bucket has used yet */
    uint64_t entries_bytes; /**< of entries outside the table, estimated from the sample; without malloc's overhead */
    uint64_t
        deferred_bytes; /**< taken from the cap: what waits, with its value_bytes, and what threads have in advance */
    uint64_t deferred_bytes_max; /**< the cap */

    /* Views */
    uint64_t views;        /**< open now */
    uint64_t old_versions; /**< kept for views, or not yet swept up behind them; estimated from the sample */

    /* Of the whole process */
    uint64_t grace_periods;    /**< that have passed */
    uint64_t grace_wait_ns;    /**< how long the pending one has been waiting for readers; 0: none is */
    uint64_t grace_longest_ns; /**< the longest that one was seen to wait so far */
    int64_t reader_thread;     /**< kernel thread id of a reader that the pending one waits for; 0: unknown, or none */
};

/**
 * soma_u64_stats() - ask a word map; soma_map_stats() a byte map.
 * @map: not NULL.
 * @out: written on SOMA_OK only; its struct_size must be set before.
 *
 * Starts a grace period if none is pending, and moves the pending one on: so a reader that stays inside its section is seen by the
 * second call, though nobody retires anything, and grace_periods goes up by the asking alone.
 *
 * Thread: any, many at a time, beside every operation but the map's free. Not for signal handlers.
 * Progress: waits for nothing. At most some 70 000 steps, in read sections of at most some 4000 each, so that grace periods go on.
 * Allocates: nothing.
 *
 * Return:
 *   SOMA_OK         *out has the answers.
 *   SOMA_E_INVALID  an argument is NULL, or out->struct_size is of no known release.
 */
SOMA_API enum soma_status soma_u64_stats(const soma_u64 *map, struct soma_stats *out);
SOMA_API enum soma_status soma_map_stats(const soma_map *map, struct soma_stats *out);

/**
 * soma_process_stats() - what is of the whole process alone: grace periods and readers. All else is 0 but struct_size.
 *
 * As soma_u64_stats(), in a few steps and one for each thread.
 */
SOMA_API enum soma_status soma_process_stats(struct soma_stats *out);

#ifdef __cplusplus
}
#endif

#endif
