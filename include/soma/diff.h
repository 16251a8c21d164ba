/* SPDX-License-Identifier: ISC */
/**
 * diff.h - where two maps differ, or one map at two instants.
 *
 *     static enum soma_status show(const struct soma_difference *d, void *ctx)
 *     {
 *         (void)ctx;
 *         printf("%" PRIu64 ": %s\n", d->word.key, soma_status_text(d->what));
 *         return SOMA_OK;
 *     }
 *     ...
 *     soma_diff_views(before, after, show, NULL);
 *
 * See also: view.h for views, cursor.h for the order in which differences come; docs/diffs.md.
 */
#ifndef SOMA_DIFF_H
#define SOMA_DIFF_H

#include <stdint.h>

#include <soma/attr.h>
#include <soma/map.h>
#include <soma/status.h>
#include <soma/view.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One key that two views do not agree on. */
struct soma_difference {
    /** What has to be done to the first for it to become the second: SOMA_INSERTED, SOMA_REPLACED or SOMA_REMOVED. */
    enum soma_status what;
    /** Of word maps. `before` is 0 if SOMA_INSERTED, `after` is 0 if SOMA_REMOVED. */
    struct {
        uint64_t key;
        uint64_t before;
        uint64_t after;
    } word;
    /** Of byte maps; of word maps, the words above, 8 bytes each. What is missing has length 0. Borrowed for the call. */
    struct soma_bytes key;
    struct soma_bytes before;
    struct soma_bytes after;
};

/**
 * soma_diff_fn - told of a difference, outside of any read section of Soma's; it may use any map.
 *
 * Return: SOMA_OK to go on. Anything else ends the comparison, which answers just that; say, SOMA_END.
 */
typedef enum soma_status (*soma_diff_fn)(const struct soma_difference *difference, void *ctx);

/**
 * soma_diff_views() - tell of every key that two views do not agree on, once.
 * @a, @b: of the same kind of map, but of any map and instant.
 * @fn:   told; not NULL.
 * @ctx:  handed to @fn.
 *
 * Cost. Two views of one map: in proportion to what was changed between them, wherever the map has marks (always, but for lack
 * of memory, or if the map has grown eightfold meanwhile). Of two maps with SOMA_DIGEST, one digest key and one seed: in
 * proportion to their differences, once each has sums (soma_view_range_digest()); ranges with equal digests are taken for equal,
 * see digest.h for the odds. Of other maps with one seed: both are gone through side by side. With two seeds: each entry is
 * looked up in the other.
 *
 * Thread: any, beside everything but the views' closing.  Progress: waits for nothing.
 * Allocates: two cursors, and for byte maps room for the largest entries.
 *
 * Return:
 *   SOMA_OK         @fn knows all.
 *   SOMA_E_INVALID  a view or @fn is NULL, or the views are of different kinds.
 *   SOMA_E_NOMEM    no memory; @fn was told of some, perhaps.
 *   other           what @fn answered.
 */
SOMA_API enum soma_status soma_diff_views(const soma_view *a, const soma_view *b, soma_diff_fn fn, void *ctx);

#ifdef __cplusplus
}
#endif

#endif
