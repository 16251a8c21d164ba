/* SPDX-License-Identifier: ISC */
/**
 * cursor.h - going through all entries of a map while other threads change it.
 *
 *     soma_cursor *cursor;
 *     if (soma_cursor_open_u64(map, &cursor) != SOMA_OK) ...
 *     uint64_t key, value;
 *     while (soma_cursor_next_u64(cursor, &key, &value) == SOMA_OK)
 *         use(key, value);
 *     soma_cursor_close(cursor);
 *
 * What a cursor over a live map promises, whatever other threads do, and however often the table grows and shrinks:
 *   - a key that is in the map from before the first call to the end is given exactly once, also if its value is replaced;
 *   - no key is given twice;
 *   - a key that comes or goes meanwhile is given or not;
 *   - each value was the key's at some instant. Entries are fetched some hundred at a time, so a value may be as old as the
 *     call that fetched it.
 * The order is that of the hashes: it says nothing about the keys, and is another for each map.
 *
 * What holds for every call below unless its page says otherwise:
 *   Thread:    any, beside every other call on the map but its free; one thread at a time for each cursor.
 *   Progress:  as lookups; nothing waits. Between calls a cursor holds no read section, so it never keeps memory from
 *              being freed, however long it stays open.
 *   Errors:    leave the cursor where it is. Any out pointer may be NULL and is written only on SOMA_OK. A NULL cursor
 *              is SOMA_E_INVALID, and debug builds name the mistake on standard error.
 *
 * Caveat: close the cursors before the map is freed.
 * Caveat: a value that is a pointer may have left the map, and what it leads to been released by value_retire, between the call that
 * fetched it and the one that gives it. Take the keys from the cursor, and look each up in a read section of your own; or hold one
 * section from before the cursor is opened to the last use.
 *
 * See also: docs/cursors.md for how it works; u64.h and map.h for the maps.
 */
#ifndef SOMA_CURSOR_H
#define SOMA_CURSOR_H

#include <stdint.h>

#include <soma/map.h>
#include <soma/status.h>
#include <soma/u64.h>
#include <soma/view.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A place in a map. Opaque; made by soma_cursor_open_*(). */
typedef struct soma_cursor soma_cursor;

/* ---- Opening and closing ---- */

/**
 * soma_cursor_open_u64(), soma_cursor_open_map() - a cursor before the first entry of a live map.
 * @map: not to be freed before the cursor is closed.
 * @out: out; the cursor, the caller's until soma_cursor_close().
 *
 * Allocates: some KiB; a byte map's cursor also needs room for its largest entry, with the calls that meet it.
 *
 * Return:
 *   SOMA_OK         *@out is the cursor.
 *   SOMA_E_INVALID  @map or @out is NULL.
 *   SOMA_E_NOMEM    no memory.
 */
SOMA_API SOMA_NODISCARD enum soma_status soma_cursor_open_u64(const soma_u64 *map, soma_cursor **out);
SOMA_API SOMA_NODISCARD enum soma_status soma_cursor_open_map(const soma_map *map, soma_cursor **out);

/**
 * soma_cursor_open_view() - a cursor before the first entry of a view: it gives exactly the view's entries.
 * @view: of either kind of map; not to be closed before the cursor.
 * @out:  out; the cursor, the caller's until soma_cursor_close().
 *
 * Return: as soma_cursor_open_u64().
 */
SOMA_API SOMA_NODISCARD enum soma_status soma_cursor_open_view(const soma_view *view, soma_cursor **out);

/**
 * soma_cursor_open_sorted() - a cursor that gives a view's entries in the order of their keys: words as numbers, byte strings byte
 * by byte, a string before those that it begins.
 * @view: of either kind of map; it may be closed before the cursor.
 * @out:  out; the cursor, the caller's until soma_cursor_close().
 *
 * Copies the view and sorts the copy, so it needs memory in proportion to the view, 16 bytes an entry, and for byte maps 24 and the keys
 * and values as well; and time for n log n comparisons before it returns. Prefer the other cursors where the order does not matter.
 * Tokens are ranks, which are good for every sorted cursor over the same view; parts are ranges of ranks.
 *
 * Return: as soma_cursor_open_u64(); SOMA_E_NOMEM means that nothing is left behind.
 */
SOMA_API SOMA_NODISCARD enum soma_status soma_cursor_open_sorted(const soma_view *view, soma_cursor **out);

/**
 * soma_cursor_close() - give the cursor back, with all that was borrowed from it.
 * @cursor: NULL does nothing.
 */
SOMA_API void soma_cursor_close(soma_cursor *cursor);

/**
 * soma_cursor_part() - restrict a cursor to one of several parts of the map, and go to the part's beginning.
 * @part:  which; below @parts.
 * @parts: into how many parts of about the same size the map is divided; at least 1.
 *
 * The parts share no key, and together they are the map: so n threads with a cursor each, on parts 0 to n - 1 of n, give every
 * key once between them. Parts are ranges of hashes and do not depend on the map's size.
 *
 * Return: SOMA_OK · SOMA_E_INVALID: @cursor is NULL, or @part is not below @parts; nothing changed.
 */
SOMA_API enum soma_status soma_cursor_part(soma_cursor *cursor, uint32_t part, uint32_t parts);

/**
 * soma_cursor_range() - restrict a cursor to the entries whose hashes begin with these bits, and go to the first of them.
 * @bits:   how many; 0 to 64.
 * @prefix: what they are, below 2^bits; as for soma_view_range_digest().
 *
 * Return: SOMA_OK · SOMA_E_INVALID: @cursor is NULL or sorted, @bits is over 64, or @prefix has more bits; nothing changed.
 */
SOMA_API enum soma_status soma_cursor_range(soma_cursor *cursor, unsigned bits, uint64_t prefix);

/* ---- Going on ---- */

/**
 * soma_cursor_next_u64() - the next entry of a word map.
 * @key, @value: out on SOMA_OK.
 *
 * Return:
 *   SOMA_OK         an entry.
 *   SOMA_END        there is none; so say all later calls until soma_cursor_seek() or soma_cursor_part().
 *   SOMA_E_INVALID  @cursor is NULL, or goes through a byte map.
 */
SOMA_API enum soma_status soma_cursor_next_u64(soma_cursor *cursor, uint64_t *key, uint64_t *value);

/**
 * soma_cursor_next_ref() - the next entry of a byte map.
 * @key, @value: out on SOMA_OK; borrowed from the cursor until the next call on it but soma_cursor_token() and
 *               soma_cursor_version(). No read section is needed. The value is aligned to 8.
 *
 * Allocates: when it meets an entry that is larger than all before.
 *
 * Return:
 *   SOMA_OK         an entry.
 *   SOMA_END        as soma_cursor_next_u64().
 *   SOMA_E_INVALID  @cursor is NULL, or goes through a word map.
 *   SOMA_E_NOMEM    no memory for a copy of the next entry: nothing changed, and the next call tries again.
 */
SOMA_API enum soma_status soma_cursor_next_ref(soma_cursor *cursor, struct soma_bytes *key, struct soma_bytes *value);

/**
 * soma_cursor_version() - the version of the entry that soma_cursor_next_ref() has given, as soma_map_get_version(): as long as
 * the key has this version, it has the value that was given.
 * @cursor:  the last call on it that moves it was a soma_cursor_next_ref() that gave an entry.
 * @version: out on SOMA_OK; for soma_map_cas_version().
 *
 * Over a view: what soma_view_get_version() gives, always. Over a live map, or sorted: the version that the entry had when it was
 * fetched, of which the key may have another by now. The exception are words of 8 bytes there, which soma_map_fetch_add() may
 * have changed in place: it is now that their version is asked for, by key, and given if the value is still the one that
 * was given.
 *
 * Allocates: such a word's first version, as soma_map_get_version(). A word of a view, and such a word, cost a lookup; others
 * nothing.
 * Return:
 *   SOMA_OK         *@version is the version.
 *   SOMA_CHANGED    a word over a live map, or sorted: the key has another value now.
 *   SOMA_ABSENT     a word over a live map, or sorted: the key is not there any more.
 *   SOMA_E_INVALID  @cursor is NULL, goes through a word map, or has not given an entry.
 *   SOMA_E_NOMEM, SOMA_E_LIMIT  as soma_map_get_version().
 */
SOMA_API enum soma_status soma_cursor_version(const soma_cursor *cursor, uint64_t *version);

/* ---- Remembering a place ---- */

/**
 * soma_cursor_token() - a word that stands for the place behind the last entry given; 0 before the first of a map.
 *
 * It stays good when the map grows or shrinks and when the cursor is closed, for as long as the map lives. A process that reads a map
 * in pages can hand it out with each page.
 *
 * Return: the word; 0 if @cursor is NULL.
 */
SOMA_API uint64_t soma_cursor_token(const soma_cursor *cursor);

/**
 * soma_cursor_seek() - go to the place of a token: the next call gives the first entry behind it.
 * @token: from soma_cursor_token() of this or another cursor over the same map; 0 is the beginning. For a cursor on a part of
 *         the map, a place before the part is its beginning, a place behind it its end.
 *
 * Entries that were given before the token was taken are not given again, with one exception: an entry whose hash is equal to that of
 * the entry behind the token, in all 64 bits, or is the highest there is, may come a second time. In a word map hashes are
 * never equal, so that is one key in 2^64; in a byte map a billion keys have an equal pair in three maps of a hundred.
 * None is left out.
 *
 * Return: SOMA_OK · SOMA_E_INVALID: @cursor is NULL.
 */
SOMA_API enum soma_status soma_cursor_seek(soma_cursor *cursor, uint64_t token);

#ifdef __cplusplus
}
#endif

#endif
