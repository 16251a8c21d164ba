/* SPDX-License-Identifier: ISC */
/**
 * frozen.h - a map that does not change any more: one block of memory, built from a view, made for lookups.
 *
 *     soma_view *view;
 *     soma_frozen *frozen;
 *     if (soma_u64_view_open(map, &view) != SOMA_OK) ...
 *     if (soma_frozen_build(view, &frozen) != SOMA_OK) ...
 *     soma_view_close(view);                                    // a frozen map needs neither view nor map
 *     soma_frozen_get_u64(frozen, 42, &value);
 *     soma_frozen_free(frozen);
 *
 * A lookup of a word touches one cache line, or two neighbours; an entry of words takes some 22 bytes. A frozen map can be
 * written to a file and used straight from a mapping of it.
 *
 * What holds for every call below unless its page says otherwise:
 *   Thread:    any, any number at a time, beside every other call but soma_frozen_free(). No read section, no atomic
 *              access: nothing changes.
 *   Progress:  wait-free; a lookup takes a bounded number of steps, logarithmic at the worst, whatever the keys are.
 *   Borrowed:  a struct soma_bytes that comes out points into the frozen map and is valid until it is freed.
 *   Errors:    change nothing. Any out pointer may be NULL and is written only on the answers that name it. A NULL map, or
 *              one of the other kind, is SOMA_E_INVALID, and debug builds name the mistake on standard error.
 *
 * To put a new one in the place of one that threads are using, publish it in a cell (publish.h), with
 * soma_frozen_retire(). Then readers need a section around their use of it, as for everything in a cell.
 *
 * See also: docs/frozen.md; docs/spec/frozen.md for the file; view.h, publish.h.
 */
#ifndef SOMA_FROZEN_H
#define SOMA_FROZEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <soma/attr.h>
#include <soma/map.h>
#include <soma/status.h>
#include <soma/view.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Types ---- */

/** A frozen map, of words or of byte strings. Opaque; made by soma_frozen_build() or soma_frozen_open(). */
typedef struct soma_frozen soma_frozen;

/* ---- Lifecycle ---- */

/**
 * soma_frozen_build() - make a frozen map of all that a view sees.
 * @view: of either kind of map; may be closed afterwards.
 * @out:  out on SOMA_OK; the caller's until soma_frozen_free().
 *
 * Goes through the view once or twice, in short read sections. While it works it needs about twice the memory of what it makes.
 * Of a map that was made with SOMA_HUGE_PAGES it asks for huge pages as well; one from a file never does.
 *
 * Return:
 *   SOMA_OK         *@out is the frozen map.
 *   SOMA_E_NOMEM    no memory.
 *   SOMA_E_INVALID  @view or @out is NULL.
 */
SOMA_API SOMA_NODISCARD enum soma_status soma_frozen_build(const soma_view *view, soma_frozen **out);

/**
 * soma_frozen_open() - use a frozen map straight from its file.
 * @fd:  a regular file that soma_frozen_write() wrote from its beginning, open for reading. It may be closed afterwards. Not to
 *       be changed while the frozen map lives: put a new file in its place by rename().
 * @out: out on SOMA_OK; the caller's until soma_frozen_free().
 *
 * Maps the file and looks through all of it first: its checksum, and that each entry can be found. So bytes that are not
 * what was written are refused, and no bytes whatever make a later lookup fail. No memory is had by what the file says.
 *
 * Return:
 *   SOMA_OK             *@out is the frozen map.
 *   SOMA_E_CORRUPT      the file does not hold a frozen map, or not all of one, or more than that.
 *   SOMA_E_IO           @fd cannot be mapped, or is no regular file; errno says why.
 *   SOMA_E_NOMEM        no memory, or no addresses.
 *   SOMA_E_UNSUPPORTED  the file is of a later version, or this machine is big-endian.
 *   SOMA_E_INVALID      @out is NULL.
 */
SOMA_API SOMA_NODISCARD enum soma_status soma_frozen_open(int fd, soma_frozen **out);

/**
 * soma_frozen_write() - write a frozen map to a file, as docs/spec/frozen.md has it.
 * @fd: open for writing; a file, a pipe, a socket. For soma_frozen_open() an empty file.
 *
 * Writes at the descriptor's place until all is written; does not fsync. The file holds the seed of the frozen map's hash,
 * which is its own; who reads the file can choose keys that are slow to look up in it, no more.
 *
 * Return:
 *   SOMA_OK             all is written.
 *   SOMA_E_IO           write() failed; errno says why. Some bytes may have been written.
 *   SOMA_E_UNSUPPORTED  this machine is big-endian.
 *   SOMA_E_INVALID      @frozen is NULL.
 */
SOMA_API SOMA_NODISCARD enum soma_status soma_frozen_write(const soma_frozen *frozen, int fd);

/**
 * soma_frozen_free() - give a frozen map back, and all that was borrowed from it.
 * @frozen: no other call on it may be running or come later; NULL does nothing.
 */
SOMA_API void soma_frozen_free(soma_frozen *frozen);

/** soma_frozen_retire() - soma_frozen_free() for soma_cell_publish() and soma_retire(), which hand out a void pointer. */
SOMA_API void soma_frozen_retire(void *frozen);

/* ---- Reading ---- */

/**
 * soma_frozen_get_u64() - look a key up in a frozen map of words.
 * @value: out on SOMA_OK.
 *
 * Return: SOMA_OK found · SOMA_ABSENT · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_frozen_get_u64(const soma_frozen *frozen, uint64_t key, uint64_t *value);

/**
 * soma_frozen_get_many_u64() - look up n keys, overlapping their memory accesses.
 * @keys:   n keys.
 * @n:      any number; 8 and more pay off on maps larger than the cache.
 * @values: out, n words or NULL; values[i] is written when keys[i] is found.
 * @found:  out, n flags or NULL.
 *
 * Return: how many were found; 0 if @frozen is not of words, or @keys with @n > 0 is NULL.
 */
SOMA_API size_t soma_frozen_get_many_u64(const soma_frozen *frozen, const uint64_t *keys, size_t n, uint64_t *values,
                                         bool *found);

/**
 * soma_frozen_get_ref() - look a key up in a frozen map of byte strings.
 * @key:   @key_len bytes; may be NULL if that is 0.
 * @value: out on SOMA_OK: borrowed until soma_frozen_free(); aligned to 8.
 *
 * Return: SOMA_OK found · SOMA_ABSENT · SOMA_E_INVALID, also for a NULL @key with a length.
 */
SOMA_API enum soma_status soma_frozen_get_ref(const soma_frozen *frozen, const void *key, size_t key_len,
                                              struct soma_bytes *value);

/* ---- Iterating ---- */

/** soma_frozen_count() - how many entries there are. O(1). 0 for NULL. */
SOMA_API uint64_t soma_frozen_count(const soma_frozen *frozen);

/**
 * soma_frozen_at_u64() - the entry of a number, in a frozen map of words; soma_frozen_at_ref() of byte strings.
 * @index:       from 0. The order says nothing about the keys; it is the same for a frozen map and its file.
 * @key, @value: out on SOMA_OK; bytes are borrowed until soma_frozen_free().
 *
 * Return: SOMA_OK · SOMA_END @index is soma_frozen_count() or more · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_frozen_at_u64(const soma_frozen *frozen, uint64_t index, uint64_t *key, uint64_t *value);
SOMA_API enum soma_status soma_frozen_at_ref(const soma_frozen *frozen, uint64_t index, struct soma_bytes *key,
                                             struct soma_bytes *value);

#ifdef __cplusplus
}
#endif

#endif
