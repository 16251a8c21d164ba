/* SPDX-License-Identifier: ISC */
/**
 * backend_names.h - a program that is written to u64.h and map.h, on any back-end (backend.h), without a change to its lines.
 *
 *     #include <soma/backend_names.h>          // instead of <soma/soma.h>
 *
 * or, with no line changed at all, `cc -include soma/backend_names.h`. From here on in the file, soma_u64, soma_map and their calls mean
 * soma_any_u64, soma_any_map and theirs, also in typed.h if that is included later. Then SOMA_BACKEND=mutex runs the program
 * behind a mutex.
 *
 * All files of a program that hand maps to each other need it. Calls that backend.h does not have are not renamed, and the
 * compiler complains of the map that they are handed: use soma_any_u64_raw() or soma_any_map_raw() there.
 */
#ifndef SOMA_BACKEND_NAMES_H
#define SOMA_BACKEND_NAMES_H

#include <soma/backend.h>
#include <soma/soma.h>

#define soma_u64 soma_any_u64
#define soma_map soma_any_map
#define soma_u64_new soma_any_u64_new
#define soma_u64_free soma_any_u64_free
#define soma_u64_get soma_any_u64_get
#define soma_u64_get_with soma_any_u64_get_with
#define soma_u64_get_many soma_any_u64_get_many
#define soma_u64_put soma_any_u64_put
#define soma_u64_put_new soma_any_u64_put_new
#define soma_u64_replace soma_any_u64_replace
#define soma_u64_cas soma_any_u64_cas
#define soma_u64_remove soma_any_u64_remove
#define soma_u64_remove_if soma_any_u64_remove_if
#define soma_u64_fetch_add soma_any_u64_fetch_add
#define soma_u64_update soma_any_u64_update
#define soma_u64_put_many soma_any_u64_put_many
#define soma_u64_remove_many soma_any_u64_remove_many
#define soma_u64_take soma_any_u64_take
#define soma_u64_clear soma_any_u64_clear
#define soma_u64_count_approx soma_any_u64_count_approx
#define soma_u64_reserve soma_any_u64_reserve
#define soma_u64_shrink soma_any_u64_shrink
#define soma_u64_digest soma_any_u64_digest
#define soma_u64_view_open soma_any_u64_view_open
#define soma_cursor_open_u64 soma_any_cursor_open_u64
#define soma_map_new soma_any_map_new
#define soma_map_free soma_any_map_free
#define soma_map_get_copy soma_any_map_get_copy
#define soma_map_get_ref soma_any_map_get_ref
#define soma_map_get_with soma_any_map_get_with
#define soma_map_get_many soma_any_map_get_many
#define soma_map_put soma_any_map_put
#define soma_map_put_new soma_any_map_put_new
#define soma_map_replace soma_any_map_replace
#define soma_map_cas soma_any_map_cas
#define soma_map_get_version soma_any_map_get_version
#define soma_map_cas_version soma_any_map_cas_version
#define soma_map_remove soma_any_map_remove
#define soma_map_remove_if soma_any_map_remove_if
#define soma_map_fetch_add soma_any_map_fetch_add
#define soma_map_update soma_any_map_update
#define soma_map_put_many soma_any_map_put_many
#define soma_map_remove_many soma_any_map_remove_many
#define soma_map_take soma_any_map_take
#define soma_map_clear soma_any_map_clear
#define soma_map_count_approx soma_any_map_count_approx
#define soma_map_reserve soma_any_map_reserve
#define soma_map_shrink soma_any_map_shrink
#define soma_map_digest soma_any_map_digest
#define soma_map_view_open soma_any_map_view_open
#define soma_cursor_open_map soma_any_cursor_open_map

#endif
