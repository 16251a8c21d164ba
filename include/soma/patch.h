/* SPDX-License-Identifier: ISC */
/**
 * patch.h - a difference as bytes: for a file, for another process, for taking a change back.
 *
 *     soma_patch *patch;
 *     if (soma_patch_make(before, after, &patch) != SOMA_OK) ...
 *     const struct soma_bytes bytes = soma_patch_bytes(patch);     // to be written, sent, kept
 *     ...
 *     if (soma_patch_apply_u64_wait(copy, bytes, NULL) == SOMA_OK)      // what had the keys of `before` has those of `after`
 *         puts("as after");
 *     soma_patch_free(patch);
 *
 * A patch has every key that two views do not agree on, with the value before and the value after: so whoever applies it knows
 * whether it fits, and it can be turned round. It stands in the order of the keys and has one form: the same difference gives the
 * same bytes, whatever maps it was between. docs/spec/patch.md has every byte.
 *
 * What holds for every call below unless its page says otherwise:
 *   Bytes:   a `struct soma_bytes` that comes in may be anything; it is checked whole before anything is done, and no
 *            memory is had by what it says, only by what is there. It must not change during the call.
 *   Thread:  any, beside everything but the closing of the views and the map's free.
 *   Errors:  change nothing. Out pointers are written only on the answers that name them. NULL where it is not allowed is
 *            SOMA_E_INVALID, and debug builds name the mistake on standard error.
 *
 * See also: diff.h; docs/diffs.md.
 */
#ifndef SOMA_PATCH_H
#define SOMA_PATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <soma/attr.h>
#include <soma/diff.h>
#include <soma/map.h>
#include <soma/status.h>
#include <soma/u64.h>
#include <soma/view.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Types ---- */

/** A patch that Soma has made, and owns the bytes of. Opaque. */
typedef struct soma_patch soma_patch;

/** What a patch does. */
struct soma_patch_info {
    bool words;        /**< it is for word maps; else for byte maps */
    uint64_t inserted; /**< how many keys it inserts, */
    uint64_t replaced; /**< gives another value, */
    uint64_t removed;  /**< removes */
};

/** A place in a patch. The caller's, to be set up by soma_patch_begin(); there is nothing to give back. Its fields are Soma's. */
struct soma_patch_reader {
    const unsigned char *at;
    const unsigned char *end;
    uint64_t key;
    bool begun;
    bool words;
};

/** What became of an attempt to apply a patch. */
struct soma_patch_outcome {
    /** Which difference, counted from 0 in the patch's order, did not fit or could not be made; their number if all were made. */
    uint64_t number;
    /** Differences that were made, taken back, and found changed again by another thread: those keys have what it gave them. */
    uint64_t kept;
};

/* ---- Making ---- */

/**
 * soma_patch_make() - the patch that leads from one view to another.
 * @a, @b: of the same kind of map, but of any map and instant.
 * @out:   out on SOMA_OK; the caller's until soma_patch_free(). It needs neither view.
 *
 * Compares as soma_diff_views() does. Allocates: while it works, some three times the patch's bytes, and 16 more a difference.
 *
 * Return:
 *   SOMA_OK         *@out is the patch; an empty one if nothing differs.
 *   SOMA_E_NOMEM    no memory.
 *   SOMA_E_INVALID  an argument is NULL, or the views are of different kinds.
 */
SOMA_API SOMA_NODISCARD enum soma_status soma_patch_make(const soma_view *a, const soma_view *b, soma_patch **out);

/** soma_patch_free() - give a patch back, with its bytes. NULL does nothing. */
SOMA_API void soma_patch_free(soma_patch *patch);

/** soma_patch_bytes() - the bytes of a patch; borrowed until soma_patch_free(). {NULL, 0} of NULL. */
SOMA_API struct soma_bytes soma_patch_bytes(const soma_patch *patch);

/**
 * soma_patch_invert() - the patch that takes another one back.
 * @bytes: a patch.
 * @out:   out on SOMA_OK; the caller's until soma_patch_free(). Inverted again, it has the bytes that it came from.
 *
 * Return:
 *   SOMA_OK · SOMA_E_CORRUPT, SOMA_E_UNSUPPORTED: as soma_patch_check() · SOMA_E_NOMEM · SOMA_E_INVALID @out is NULL.
 */
SOMA_API SOMA_NODISCARD enum soma_status soma_patch_invert(struct soma_bytes bytes, soma_patch **out);

/**
 * soma_patch_compose() - one patch that does what two do one after the other.
 * @first, @second: patches for the same kind of map.
 * @out:            out on SOMA_OK; the caller's until soma_patch_free().
 *
 * Return:
 *   SOMA_OK
 *   SOMA_CHANGED                         the second does not fit what the first leaves; nothing was made.
 *   SOMA_E_CORRUPT, SOMA_E_UNSUPPORTED   one of them; as soma_patch_check().
 *   SOMA_E_NOMEM                         no memory.
 *   SOMA_E_INVALID                       they are for different kinds of map, or @out is NULL.
 */
SOMA_API SOMA_NODISCARD enum soma_status soma_patch_compose(struct soma_bytes first, struct soma_bytes second,
                                                            soma_patch **out);

/* ---- Reading ---- */

/**
 * soma_patch_check() - whether some bytes are a patch, whole and well formed, and what it does.
 * @bytes: any.
 * @info:  out on SOMA_OK; may be NULL.
 *
 * Allocates: nothing.
 *
 * Return:
 *   SOMA_OK             they are.
 *   SOMA_E_CORRUPT      they are not: not a patch, not all of one, more than one, or not as written.
 *   SOMA_E_UNSUPPORTED  a patch of another version.
 *   SOMA_E_INVALID      @bytes.data is NULL, and @bytes.len is not 0.
 */
SOMA_API enum soma_status soma_patch_check(struct soma_bytes bytes, struct soma_patch_info *info);

/**
 * soma_patch_begin() - go before the first difference of a patch.
 * @bytes:  not to be changed or given back while the reader is used.
 * @reader: out on SOMA_OK.
 *
 * Return: as soma_patch_check(); SOMA_E_INVALID also if @reader is NULL.
 */
SOMA_API enum soma_status soma_patch_begin(struct soma_bytes bytes, struct soma_patch_reader *reader);

/**
 * soma_patch_next() - the next difference of a patch, in the order of their keys: words as numbers, byte strings byte by byte, a
 * string before those that it begins.
 * @reader:     set up by soma_patch_begin().
 * @difference: out on SOMA_OK. Byte strings point into the patch, words into *@difference; neither is aligned to more than a byte.
 *
 * Return:
 *   SOMA_OK         a difference.
 *   SOMA_END        there is none.
 *   SOMA_E_CORRUPT  the bytes have changed since soma_patch_begin(), to what is none.
 *   SOMA_E_INVALID  an argument is NULL.
 */
SOMA_API enum soma_status soma_patch_next(struct soma_patch_reader *reader, struct soma_difference *difference);

/* ---- Applying ---- */

/**
 * soma_patch_fits() - whether a view has what a patch wants to find: a dry run.
 * @view:   of the patch's kind of map.
 * @bytes:  a patch.
 * @number: out on SOMA_CHANGED; may be NULL: which difference, counted from 0, is the first that does not fit.
 *
 * Allocates: for byte maps, room for the largest value that the patch wants to find.
 *
 * Return:
 *   SOMA_OK                             each key that it inserts is absent, and each other has the value before.
 *   SOMA_CHANGED                        not so.
 *   SOMA_E_CORRUPT, SOMA_E_UNSUPPORTED  as soma_patch_check().
 *   SOMA_E_NOMEM                        no memory.
 *   SOMA_E_INVALID                      @view is NULL, or of the other kind of map.
 */
SOMA_API enum soma_status soma_patch_fits(const soma_view *view, struct soma_bytes bytes, uint64_t *number);

/**
 * soma_patch_apply_u64_wait(), soma_patch_apply_map_wait() - make all differences of a patch in a map, or none.
 * @map:     not made with value_retire.
 * @bytes:   a patch of the map's kind.
 * @outcome: out unless SOMA_E_INVALID, SOMA_E_CORRUPT or SOMA_E_UNSUPPORTED is answered; may be NULL.
 *
 * First the bytes are checked, then that the map, as it is in a view, has what the patch wants to find; only then is it changed, key by
 * key in the patch's order, each by a compare-and-swap that expects the value before. If another thread has changed a key
 * meanwhile, or memory or the cap on deferred memory runs out, what was done is taken back in reverse order, by the same
 * means: no update of another thread is ever overwritten.
 *
 * Not one instant: at each instant the map has the patch's differences up to some number and none behind it, and a view that
 * is opened meanwhile may show that. A key that another thread has changed between its being changed and its being taken back
 * keeps what that thread gave it; outcome->kept counts those, and only if it is 0 is the map as if nothing had been done.
 *
 * State: outside of read sections and of retired calls.
 * Progress: a view is opened and closed, which may wait for a grace period. Taking back waits for readers if it comes to the cap on
 * deferred memory.
 * Allocates: the view; some 24 bytes a difference; and, so that taking back does not fail for want of memory, what it may need is had
 * before the first change: an entry's memory for each value in the patch. All that is given back before the call returns.
 *
 * Return:
 *   SOMA_OK             all differences are made.
 *   SOMA_CHANGED        the map has not what the patch wants to find, or no longer; nothing changed.
 *   SOMA_E_NOMEM        no memory; nothing changed. (If memory has run out so far that not even what was put aside sufficed,
 *                       outcome->kept counts the keys that could not be taken back. Nothing is known to lead there.)
 *   SOMA_E_LIMIT        the cap on deferred memory; nothing changed.
 *   SOMA_E_CORRUPT      as soma_patch_check(); nothing changed.
 *   SOMA_E_UNSUPPORTED  a patch of another version; or the map was made with value_retire, so that what has left it could not come back;
 *                       nothing changed.
 *   SOMA_E_INVALID      @map is NULL, the patch is for the other kind, or the caller is inside a read section or a retired call.
 */
SOMA_API SOMA_NODISCARD enum soma_status soma_patch_apply_u64_wait(soma_u64 *map, struct soma_bytes bytes,
                                                                   struct soma_patch_outcome *outcome);
SOMA_API SOMA_NODISCARD enum soma_status soma_patch_apply_map_wait(soma_map *map, struct soma_bytes bytes,
                                                                   struct soma_patch_outcome *outcome);

#ifdef __cplusplus
}
#endif

#endif
