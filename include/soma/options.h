/* SPDX-License-Identifier: ISC */
/**
 * options.h - what the options of both kinds of map share.
 *
 * Every options structure starts with struct_size, so that it may grow: set it to sizeof of the structure, or leave
 * it 0, which means the fields of the first release, 0.1, whatever later ones add. All-zero is the default in every field.
 */
#ifndef SOMA_OPTIONS_H
#define SOMA_OPTIONS_H

#include <stdint.h>

#include <soma/attr.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bits of the field `flags`. An unknown bit is SOMA_E_INVALID. */
enum soma_flag {
    /** Keep a running digest: digest.h. */
    SOMA_DIGEST = 1u << 0,
    /**
     * At the cap on deferred memory, wait for readers instead of answering SOMA_E_LIMIT. An update inside the
     * caller's own read section, or inside a retired call, never waits, since it would wait for itself: it answers
     * SOMA_E_LIMIT as usual.
     */
    SOMA_WAIT_AT_LIMIT = 1u << 1,
    /** With either kind of digest: no digest key, so that programs which have agreed on nothing else get the same digests. */
    SOMA_DIGEST_KEYLESS = 1u << 2,
    /** Give the map a digest key for strong digests of its views: strong.h. Costs updates nothing. */
    SOMA_DIGEST_STRONG = 1u << 3,
    /**
     * Ask the system for huge pages (2 MiB) for the table, and for frozen maps that are built of the map's views. A lookup
     * in a table of hundreds of megabytes then misses fewer address translations; in one that fits into the cache nothing
     * is gained. What it costs: who touches a huge page first has all of it cleared, so while a table grows, or fills after
     * soma_*_reserve(), some puts take hundreds of microseconds to milliseconds; and memory becomes resident by 2 MiB, also
     * where few buckets are in use. Only the levels of the table that hold whole huge pages are asked for, so that small
     * maps stay what they are, and a table that shrinks gives all of them back. It is a wish: where the system has no
     * huge pages, or none left, the map works as without.
     */
    SOMA_HUGE_PAGES = 1u << 4,
};

/** deferred_bytes_max when the option is 0: 256 MiB. An entry larger than the cap is let through, but alone. */
#define SOMA_DEFERRED_BYTES_DEFAULT (UINT64_C(256) << 20)
/** stall_ns when the option is 0: one second. */
#define SOMA_STALL_NS_DEFAULT UINT64_C(1000000000)

/** What the stall callback is told: a read section has kept memory from being freed for too long. */
struct soma_stall {
    uint64_t waited_ns;      /**< how long the pending grace period has waited so far */
    uint64_t deferred_bytes; /**< what this map has deferred now */
    int64_t reader_thread;   /**< kernel thread id of one reader that is inside a section, or 0 if unknown */
};

/**
 * soma_stall_fn - told at most once a stall and map, by the thread whose update noticed, outside any read section of
 * Soma's own (the caller's own may be open). It may use any map; it must not wait for the stalled reader, nor free the map
 * that tells it.
 */
typedef void (*soma_stall_fn)(const struct soma_stall *stall, void *ctx);

#ifdef __cplusplus
}
#endif

#endif
