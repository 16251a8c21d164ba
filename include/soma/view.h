/* SPDX-License-Identifier: ISC */
/**
 * view.h - a map as it was at one instant, readable while it goes on changing.
 *
 *     soma_view *view;
 *     if (soma_u64_view_open(map, &view) == SOMA_OK) {
 *         uint64_t a, b;
 *         soma_view_get_u64(view, 1, &a);      // both as they were at the same instant,
 *         soma_view_get_u64(view, 2, &b);      // whatever other threads have done since
 *         soma_view_close(view);
 *     }
 *
 * A view is the whole map at one instant between the call that opens it and that call's return: linearizable. Nothing is
 * copied: while views are open, an update leaves the old version of the entry behind, once for each view at the most, and
 * only for views that may see it. While none is open, updates leave nothing behind.
 *
 * Cost: memory for the keys that change while a view is open, one old version each, given back bit by bit after it
 * closes. Updates of keys that have changed are slower than in place. A view does not hold back the release of
 * memory otherwise: it may stay open for hours, and outlive the thread that opened it.
 *
 * Caveat: a view must be closed before its map is freed.
 * fork: views that were open stay open in both, each to be closed in both. If another thread was opening one, the child
 * goes on keeping old versions for it.
 *
 * See also: cursor.h walks through a view.
 */
#ifndef SOMA_VIEW_H
#define SOMA_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <soma/attr.h>
#include <soma/digest.h>
#include <soma/map.h>
#include <soma/status.h>
#include <soma/u64.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct soma_view soma_view;

/**
 * soma_u64_view_open() - open a view of a word map; soma_map_view_open() of a byte map.
 * @map: not NULL.
 * @out: the view; the caller's, to be closed with soma_view_close(). Written on SOMA_OK only.
 *
 * Thread: any; beside every operation but the map's free.
 * State: outside of read sections, unless another view of the map is open already.
 * Progress: with another view open, wait-free but for looking for a free slot among the open views, whatever the size of the
 * map. The first one waits for a grace period: for the read sections that are open now. Updates and lookups never
 * wait for either.
 * Allocates: the handle, and room for many views' slots now and then.
 * Effect: the map's content is that at the instant at which the view takes its number (STAMP-4 in docs/memory-orders.md).
 * Source: docs/views.md.
 *
 * Return:
 *   SOMA_OK         *out is open.
 *   SOMA_E_NOMEM    no memory; nothing changed.
 *   SOMA_E_INVALID  an argument is NULL; or it would have to wait for a grace period inside the caller's own read section.
 *                   Nothing changed.
 */
SOMA_API SOMA_NODISCARD enum soma_status soma_u64_view_open(soma_u64 *map, soma_view **out);
SOMA_API SOMA_NODISCARD enum soma_status soma_map_view_open(soma_map *map, soma_view **out);

/**
 * soma_view_close() - close a view. NULL is allowed and does nothing.
 *
 * Thread: any one; nobody may use the view any more.
 * Progress: bounded steps: some of the old versions that only this view needed go at once, the others with the map's later
 * updates, or at once in soma_u64_shrink() or soma_map_shrink().
 */
SOMA_API void soma_view_close(soma_view *view);

/**
 * soma_view_get_u64() - look a key up in a view of a word map.
 * @value: out, may be NULL; written on SOMA_OK only.
 *
 * Thread: any, many at a time.  Progress: as soma_u64_get(), and one step for each version of the key.  Blocks: never.
 *
 * Return:
 *   SOMA_OK         it was there.
 *   SOMA_ABSENT     it was not.
 *   SOMA_E_INVALID  @view is NULL, or of a byte map.
 */
SOMA_API enum soma_status soma_view_get_u64(const soma_view *view, uint64_t key, uint64_t *value);

/**
 * soma_view_get_copy() - look a key up in a view of a byte map, as soma_map_get_copy().
 * @key:  @key_len bytes; NULL if that is 0.
 * @buf:  gets the first @cap bytes of the value; NULL if @cap is 0.
 * @len:  out, may be NULL: the value's full length.
 *
 * Return: as soma_view_get_u64(); SOMA_E_INVALID also if a pointer is NULL that must not be, or a length is over SOMA_LEN_MAX.
 */
SOMA_API enum soma_status soma_view_get_copy(const soma_view *view, const void *key, size_t key_len, void *buf,
                                             size_t cap, size_t *len);

/**
 * soma_view_get_version() - the same with the entry's version, as soma_map_get_version(): what the map had at the view's
 * instant may be replaced with soma_map_cas_version() if it is still there.
 */
SOMA_API enum soma_status soma_view_get_version(const soma_view *view, const void *key, size_t key_len, void *buf,
                                                size_t cap, size_t *len, uint64_t *version);

/**
 * soma_view_digest() - the digest of what the view shows, exact (digest.h).
 * @out: out on SOMA_OK.
 *
 * As soma_view_range_digest() with 0 bits.
 *
 * Return:
 *   SOMA_OK             *@out is the digest.
 *   SOMA_E_UNSUPPORTED  the map was made without SOMA_DIGEST.
 *   SOMA_E_INVALID      an argument is NULL.
 */
SOMA_API enum soma_status soma_view_digest(const soma_view *view, struct soma_digest *out);

/**
 * soma_view_range_digest() - the digest, with its count, of the entries whose hashes begin with these bits.
 * @bits:   how many; 0 to 64. With 0 it is the digest of the whole view.
 * @prefix: what they are, as a number below 2^bits: of 4 bits, 5 stands for the hashes from 5/16 to 6/16 of all.
 * @out:    out on SOMA_OK.
 *
 * The ranges of one length share no entry, and their digests add up to the view's (soma_digest_combine()). An entry is in the
 * same range of two maps if both have the same seed. In a table in use, a range has about count / 2^bits entries.
 *
 * Thread: any, many at a time.  Progress: waits for nothing.
 * Cost: the first call for a map goes through all of it, in short read sections, and keeps sums with the map. The first call
 * for a later view goes through what has changed since then; once that is much, through all. All other calls are two
 * searches in what is kept, whatever the size; but ranges of fewer than some forty entries are gone through.
 * Allocates: sums, under a byte an entry; where there is no memory the range is gone through instead.
 *
 * Return:
 *   SOMA_OK             *@out is the digest.
 *   SOMA_E_UNSUPPORTED  the map was made without SOMA_DIGEST.
 *   SOMA_E_INVALID      @view or @out is NULL, @bits is over 64, or @prefix has more bits.
 */
SOMA_API enum soma_status soma_view_range_digest(const soma_view *view, unsigned bits, uint64_t prefix,
                                                 struct soma_digest *out);

/**
 * soma_view_count() - how many entries the view has; exact. 0 for NULL.
 *
 * The first call goes through the map, in short read sections; the answer is kept. Of a map with SOMA_DIGEST it is read off the
 * view's digest.
 */
SOMA_API uint64_t soma_view_count(const soma_view *view);

/**
 * soma_view_equal() - whether two views show the same keys with the same values.
 * @a, @b:  of the same kind of map, but of any map and instant.
 * @equal:  out on SOMA_OK.
 *
 * Compares as soma_diff_views() does (diff.h), up to the first difference, and never goes by digests: the answer is exact.
 *
 * Thread: any.  Progress: waits for nothing.  Allocates: two cursors, and for byte maps room for the largest entries.
 *
 * Return:
 *   SOMA_OK         *@equal says it.
 *   SOMA_E_INVALID  an argument is NULL, or the views are of different kinds.
 *   SOMA_E_NOMEM    no memory.
 */
SOMA_API enum soma_status soma_view_equal(const soma_view *a, const soma_view *b, bool *equal);

#ifdef __cplusplus
}
#endif

#endif
