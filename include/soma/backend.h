/* SPDX-License-Identifier: ISC */
/**
 * backend.h - the same program on three kinds of table, chosen when it starts: to find out whether a problem is in Soma or
 * beside it, and to compare speed honestly.
 *
 *     soma_any_u64 *map;
 *     if (soma_any_u64_new(NULL, &map) != SOMA_OK) ...       // SOMA_BACKEND=mutex ./program
 *     soma_any_u64_put(map, 42, 7, NULL);                    // INSERTED
 *     soma_any_u64_free(map);
 *
 *   lock-free       u64.h and map.h: each call is two branches that are always the same and a jump there. The default.
 *   sharded-mutex   32 tables of uthash, each behind a mutex of its own.
 *   mutex           one table of uthash behind one mutex.
 *
 * The verbs, statuses, arguments and options are those of u64.h and map.h with soma_any_ in place of soma_. A program that is
 * written to those includes backend_names.h instead of soma.h, and is not changed otherwise.
 *
 * What the two mutex back-ends promise as well: each call takes effect at one instant, old values are exact, errors change
 * nothing, value_retire is called after all read sections that could have seen the value. What differs there:
 *   - Progress: every call may wait for another thread's, which holds the mutex. They are the only maps here that lock.
 *   - Borrowed values (soma_any_map_get_ref(), soma_any_map_get_with(), what soma_any_map_take() shows and gives, `old`, `present`, `actual`, get_many) are copies made under the lock, which
 *     are given back when the caller's read section has ended. So these calls allocate, and may answer SOMA_E_NOMEM. In a section of the
 *     caller's, soma_any_map_take() keeps a copy of every key and value that it looks at until that ends; outside of one they go as it
 *     goes on.
 *   - Cursors go through a copy of the map, made under all its locks, in the order of the keys; their tokens are places in that
 *     copy and good for that cursor only. They cannot be opened inside the caller's own read section (SOMA_E_INVALID).
 *   - No views: SOMA_E_UNSUPPORTED, and so is SOMA_DIGEST_STRONG, which is for views.
 *   - Digests are summed when they are asked for, in a pass.
 *   - No cap on deferred memory, no stall reports: deferred_bytes_max, value_bytes, SOMA_WAIT_AT_LIMIT, stall_ns and stall have no effect,
 *     and nothing answers SOMA_E_LIMIT. Neither have reserve, load_percent, SOMA_HUGE_PAGES and shrink any: uthash knows no such thing.
 *   - Not in signal handlers, and not in a child that was forked while another thread was in a call.
 * They are there if uthash was found when Soma was built (-Dbackends); else they are SOMA_E_UNSUPPORTED.
 *
 * See also: dual.h runs an old map and Soma side by side; docs/migration.md.
 * Source: uthash by Troy D. Hanson, behind POSIX mutexes.
 */
#ifndef SOMA_BACKEND_H
#define SOMA_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <soma/attr.h>
#include <soma/cursor.h>
#include <soma/digest.h>
#include <soma/map.h>
#include <soma/status.h>
#include <soma/u64.h>
#include <soma/view.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Which ---- */

enum soma_backend {
    SOMA_BACKEND_DEFAULT =
        0, /**< what the environment variable SOMA_BACKEND names; lock-free if it is unset or empty */
    SOMA_BACKEND_LOCK_FREE = 1,
    SOMA_BACKEND_SHARDED_MUTEX = 2,
    SOMA_BACKEND_MUTEX = 3,
};

/**
 * soma_backend_name() - "default", "lock-free", "sharded-mutex" or "mutex"; NULL for anything else.
 * Any thread, any time; wait-free.
 */
SOMA_API const char *soma_backend_name(enum soma_backend backend);

/**
 * soma_backend_parse() - the back-end with that name, for a program's own option.
 * @out: out on SOMA_OK.
 *
 * Return: SOMA_OK · SOMA_E_INVALID: @name is none of the names, or an argument is NULL.
 */
SOMA_API enum soma_status soma_backend_parse(const char *name, enum soma_backend *out);

/** soma_backend_built() - whether this build has it. The default and the lock-free one: always. */
SOMA_API bool soma_backend_built(enum soma_backend backend);

/* ---- Word maps ---- */

/** A word map on some back-end. Opaque; made by soma_any_u64_new(). */
typedef struct soma_any_u64 soma_any_u64;

/**
 * soma_any_u64_new_on(), soma_any_u64_new() - make an empty map; the second means SOMA_BACKEND_DEFAULT.
 * @backend: SOMA_BACKEND_DEFAULT reads the environment with each call: do not change it meanwhile. Programs with more rights
 *           than their caller ignore it.
 *
 * What SOMA_BACKEND names and cannot be had is said in a line on standard error, in every build, once a process.
 *
 * Return: as soma_u64_new(), and
 *   SOMA_E_INVALID      @backend is none, or SOMA_BACKEND names none.
 *   SOMA_E_UNSUPPORTED  this build lacks the back-end.
 */
SOMA_API SOMA_NODISCARD enum soma_status
soma_any_u64_new_on(enum soma_backend backend, const struct soma_u64_options *options, soma_any_u64 **out);
SOMA_API SOMA_NODISCARD enum soma_status soma_any_u64_new(const struct soma_u64_options *options, soma_any_u64 **out);

/** soma_any_u64_backend() - which one it is; SOMA_BACKEND_DEFAULT for NULL. */
SOMA_API enum soma_backend soma_any_u64_backend(const soma_any_u64 *map);

/** soma_any_u64_raw() - the map underneath, for calls that are not here; NULL unless it is the lock-free one. */
SOMA_API soma_u64 *soma_any_u64_raw(const soma_any_u64 *map);

/**
 * soma_any_u64_free() - as soma_u64_free(); and so all that follow: each as the call of soma_u64_ with its name, but for what is
 * said at the head of this file. soma_any_u64_update(), soma_any_u64_get_with() and soma_any_u64_take() run their functions never under a lock, so that it may look things
 * up in any map; it runs again if the value has changed meanwhile.
 */
SOMA_API void soma_any_u64_free(soma_any_u64 *map);
SOMA_API enum soma_status soma_any_u64_get(const soma_any_u64 *map, uint64_t key, uint64_t *value);
SOMA_API enum soma_status soma_any_u64_get_with(const soma_any_u64 *map, uint64_t key, soma_u64_with_fn fn, void *ctx);
SOMA_API size_t soma_any_u64_get_many(const soma_any_u64 *map, const uint64_t *keys, size_t n, uint64_t *values,
                                      bool *found);
SOMA_API enum soma_status soma_any_u64_put(soma_any_u64 *map, uint64_t key, uint64_t value, uint64_t *old);
SOMA_API enum soma_status soma_any_u64_put_new(soma_any_u64 *map, uint64_t key, uint64_t value, uint64_t *present);
SOMA_API enum soma_status soma_any_u64_replace(soma_any_u64 *map, uint64_t key, uint64_t value, uint64_t *old);
SOMA_API enum soma_status soma_any_u64_cas(soma_any_u64 *map, uint64_t key, uint64_t expected, uint64_t desired,
                                           uint64_t *actual);
SOMA_API enum soma_status soma_any_u64_remove(soma_any_u64 *map, uint64_t key, uint64_t *old);
SOMA_API enum soma_status soma_any_u64_remove_if(soma_any_u64 *map, uint64_t key, uint64_t expected, uint64_t *actual);
SOMA_API enum soma_status soma_any_u64_fetch_add(soma_any_u64 *map, uint64_t key, uint64_t delta, uint64_t *old);
SOMA_API enum soma_status soma_any_u64_update(soma_any_u64 *map, uint64_t key, soma_u64_update_fn fn, void *ctx);
SOMA_API enum soma_status soma_any_u64_put_many(soma_any_u64 *map, const uint64_t *keys, const uint64_t *values,
                                                size_t n, size_t *done);
SOMA_API enum soma_status soma_any_u64_remove_many(soma_any_u64 *map, const uint64_t *keys, size_t n, uint64_t *old,
                                                   bool *found, size_t *done);
SOMA_API enum soma_status soma_any_u64_take(soma_any_u64 *map, uint64_t *place, size_t n, soma_u64_take_fn fn,
                                            void *ctx, uint64_t *keys, uint64_t *values, size_t *taken);
SOMA_API enum soma_status soma_any_u64_clear(soma_any_u64 *map);
SOMA_API uint64_t soma_any_u64_count_approx(const soma_any_u64 *map);
SOMA_API enum soma_status soma_any_u64_reserve(soma_any_u64 *map, uint64_t n);
SOMA_API enum soma_status soma_any_u64_shrink(soma_any_u64 *map);
SOMA_API enum soma_status soma_any_u64_digest(const soma_any_u64 *map, struct soma_digest *out);
SOMA_API SOMA_NODISCARD enum soma_status soma_any_u64_view_open(soma_any_u64 *map, soma_view **out);
SOMA_API SOMA_NODISCARD enum soma_status soma_any_cursor_open_u64(const soma_any_u64 *map, soma_cursor **out);

/* ---- Byte maps ---- */

/** A byte map on some back-end. Opaque; made by soma_any_map_new(). */
typedef struct soma_any_map soma_any_map;

/** soma_any_map_new_on(), soma_any_map_new() - as soma_any_u64_new_on() and soma_any_u64_new(). */
SOMA_API SOMA_NODISCARD enum soma_status
soma_any_map_new_on(enum soma_backend backend, const struct soma_map_options *options, soma_any_map **out);
SOMA_API SOMA_NODISCARD enum soma_status soma_any_map_new(const struct soma_map_options *options, soma_any_map **out);

/** soma_any_map_backend(), soma_any_map_raw() - as soma_any_u64_backend() and soma_any_u64_raw(). */
SOMA_API enum soma_backend soma_any_map_backend(const soma_any_map *map);
SOMA_API soma_map *soma_any_map_raw(const soma_any_map *map);

/**
 * soma_any_map_free() - as soma_map_free(); and so all that follow: each as the call of soma_map_ with its name, but for what is
 * said at the head of this file. soma_any_map_get_many() counts a key as not found if there is no memory for a copy;
 * soma_any_map_update() is as soma_any_u64_update(), and allocates a copy of values over 256 bytes.
 */
SOMA_API void soma_any_map_free(soma_any_map *map);
SOMA_API enum soma_status soma_any_map_get_copy(const soma_any_map *map, const void *key, size_t key_len, void *buf,
                                                size_t cap, size_t *len);
SOMA_API enum soma_status soma_any_map_get_ref(const soma_any_map *map, const void *key, size_t key_len,
                                               struct soma_bytes *value);
SOMA_API enum soma_status soma_any_map_get_with(const soma_any_map *map, const void *key, size_t key_len,
                                                soma_map_with_fn fn, void *ctx);
SOMA_API size_t soma_any_map_get_many(const soma_any_map *map, const struct soma_bytes *keys, size_t n,
                                      struct soma_bytes *values, bool *found);
SOMA_API enum soma_status soma_any_map_put(soma_any_map *map, const void *key, size_t key_len, const void *value,
                                           size_t value_len, struct soma_bytes *old);
SOMA_API enum soma_status soma_any_map_put_new(soma_any_map *map, const void *key, size_t key_len, const void *value,
                                               size_t value_len, struct soma_bytes *present);
SOMA_API enum soma_status soma_any_map_replace(soma_any_map *map, const void *key, size_t key_len, const void *value,
                                               size_t value_len, struct soma_bytes *old);
SOMA_API enum soma_status soma_any_map_cas(soma_any_map *map, const void *key, size_t key_len, const void *expected,
                                           size_t expected_len, const void *desired, size_t desired_len,
                                           struct soma_bytes *actual);
SOMA_API enum soma_status soma_any_map_get_version(const soma_any_map *map, const void *key, size_t key_len, void *buf,
                                                   size_t cap, size_t *len, uint64_t *version);
SOMA_API enum soma_status soma_any_map_cas_version(soma_any_map *map, const void *key, size_t key_len,
                                                   uint64_t expected_version, const void *value, size_t value_len,
                                                   uint64_t *version);
SOMA_API enum soma_status soma_any_map_remove(soma_any_map *map, const void *key, size_t key_len,
                                              struct soma_bytes *old);
SOMA_API enum soma_status soma_any_map_remove_if(soma_any_map *map, const void *key, size_t key_len,
                                                 const void *expected, size_t expected_len, struct soma_bytes *actual);
SOMA_API enum soma_status soma_any_map_fetch_add(soma_any_map *map, const void *key, size_t key_len, uint64_t delta,
                                                 uint64_t *old);
SOMA_API enum soma_status soma_any_map_update(soma_any_map *map, const void *key, size_t key_len, soma_map_update_fn fn,
                                              void *ctx);
SOMA_API enum soma_status soma_any_map_put_many(soma_any_map *map, const struct soma_bytes *keys,
                                                const struct soma_bytes *values, size_t n, size_t *done);
SOMA_API enum soma_status soma_any_map_remove_many(soma_any_map *map, const struct soma_bytes *keys, size_t n,
                                                   struct soma_bytes *old, bool *found, size_t *done);
SOMA_API enum soma_status soma_any_map_take(soma_any_map *map, uint64_t *place, size_t n, soma_map_take_fn fn,
                                            void *ctx, struct soma_bytes *keys, struct soma_bytes *values,
                                            size_t *taken);
SOMA_API enum soma_status soma_any_map_clear(soma_any_map *map);
SOMA_API uint64_t soma_any_map_count_approx(const soma_any_map *map);
SOMA_API enum soma_status soma_any_map_reserve(soma_any_map *map, uint64_t n);
SOMA_API enum soma_status soma_any_map_shrink(soma_any_map *map);
SOMA_API enum soma_status soma_any_map_digest(const soma_any_map *map, struct soma_digest *out);
SOMA_API SOMA_NODISCARD enum soma_status soma_any_map_view_open(soma_any_map *map, soma_view **out);
SOMA_API SOMA_NODISCARD enum soma_status soma_any_cursor_open_map(const soma_any_map *map, soma_cursor **out);

#ifdef __cplusplus
}
#endif

#endif
