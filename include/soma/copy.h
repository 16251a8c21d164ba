/* SPDX-License-Identifier: ISC */
/**
 * copy.h - copying maps as they were at one instant.
 *
 *     soma_view *view;
 *     soma_u64 *copy;
 *     if (soma_u64_view_open(map, &view) == SOMA_OK) {
 *         if (soma_u64_copy(view, NULL, NULL, NULL, &copy) == SOMA_OK) ...
 *         soma_view_close(view);
 *     }
 *
 * The map is read in short read sections: however large it is, its copying holds no memory back, and nobody waits for it.
 *
 * See also: view.h, cursor.h.
 */
#ifndef SOMA_COPY_H
#define SOMA_COPY_H

#include <stdint.h>

#include <soma/map.h>
#include <soma/status.h>
#include <soma/u64.h>
#include <soma/view.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * soma_copy_fn - told now and then how far a copy is.
 * @done, @total: entries. The first call has @done 0, the last one of a whole copy @done equal to @total.
 *
 * Runs outside any read section of Soma's; it may use any map.
 *
 * Return: SOMA_OK to go on. Anything else ends the copy, which answers just that; say, SOMA_END.
 */
typedef enum soma_status (*soma_copy_fn)(uint64_t done, uint64_t total, void *ctx);

/**
 * soma_u64_copy(), soma_map_copy() - a new map with what a view shows.
 * @view:     of a word map, or of a byte map.
 * @options:  of the new map, as for soma_u64_new() and soma_map_new(); NULL for the defaults. Its seed is its own.
 * @progress: told before the first entry and after every thousand; NULL if nobody wants to know.
 * @ctx:      handed to @progress.
 * @out:      out on SOMA_OK; the map, the caller's.
 *
 * Values are copied as they are. If they are pointers that value_retire frees, the program must see to it that two maps may hold
 * them. On any answer but SOMA_OK the new map is gone, and its value_retire was not called.
 *
 * Thread: any, one at a time for a view's closing.  Progress: waits for nothing.  Allocates: the map, and a cursor.
 *
 * Return:
 *   SOMA_OK             *@out is the copy.
 *   SOMA_E_INVALID      @view or @out is NULL, @view is of the other kind, or as soma_u64_new().
 *   SOMA_E_NOMEM        no memory; nothing is left behind.
 *   SOMA_E_UNSUPPORTED  as soma_u64_new().
 *   other               what @progress answered; nothing is left behind.
 */
SOMA_API SOMA_NODISCARD enum soma_status soma_u64_copy(const soma_view *view, const struct soma_u64_options *options,
                                                       soma_copy_fn progress, void *ctx, soma_u64 **out);
SOMA_API SOMA_NODISCARD enum soma_status soma_map_copy(const soma_view *view, const struct soma_map_options *options,
                                                       soma_copy_fn progress, void *ctx, soma_map **out);

#ifdef __cplusplus
}
#endif

#endif
