/* SPDX-License-Identifier: ISC */
/**
 * map.h - the byte map: byte-string keys to byte-string values, both copied in, shared by any number of threads.
 *
 *     soma_map *map;
 *     if (soma_map_new(NULL, &map) != SOMA_OK) ...
 *     soma_map_put(map, "colour", 6, "teal", 4, NULL);             // INSERTED
 *     char buf[16]; size_t len;
 *     soma_map_get_copy(map, "colour", 6, buf, sizeof buf, &len);   // OK, len = 4
 *     soma_map_free(map);
 *
 * Keys and values are any bytes, also none at all, up to SOMA_LEN_MAX each. Values do not change in place: a put makes
 * a new entry, so what was borrowed stays as it was. The one exception is soma_map_fetch_add(), which changes a word of
 * 8 bytes where it stands: who has borrowed it may see it change, never torn.
 *
 * What holds for every call below unless its page says otherwise:
 *   Thread:    any thread, beside every other call but soma_map_free(); no registration.
 *   Effect:    linearizable; the old value it reports is exactly the one it replaced.
 *   Order:     what a thread wrote before it stored a value is seen by whoever reads that value from the map.
 *   Progress:  lookups are wait-free but for growth; updates are lock-free. Nothing waits for a resize. malloc is
 *              outside this promise.
 *   Borrowed:  a struct soma_bytes that comes out points into the map and is valid until the caller's read section
 *              (rcu.h) ends. Outside a section only its `len` may be used.
 *   Errors:    leave the map unchanged. Any out pointer may be NULL and is written only on the answers that name it.
 *              A NULL map, a NULL pointer with a length other than 0, or a length over SOMA_LEN_MAX is
 *              SOMA_E_INVALID, and debug builds name the mistake on standard error.
 *
 * See also: rcu.h for read sections, u64.h for words, typed.h for your own types.
 * Source: as u64.h; keys are hashed with SipHash-1-3 under a random key of the map's own (docs/decisions/).
 */
#ifndef SOMA_MAP_H
#define SOMA_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <soma/options.h>
#include <soma/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Types ---- */

/** The longest key and the longest value, in bytes. */
#define SOMA_LEN_MAX UINT32_C(0x7fffffff)

/** A byte map. Opaque; made by soma_map_new(). */
typedef struct soma_map soma_map;

/** Bytes that somebody else owns. `data` is aligned to 8 when it comes out of a map as a value. */
struct soma_bytes {
    const void *data;
    size_t len;
};

/** load_percent when the option is 0. */
#define SOMA_MAP_LOAD_DEFAULT 100

/** Options of soma_map_new(). All-zero is the default. */
struct soma_map_options {
    size_t struct_size; /**< sizeof(struct soma_map_options), or 0 */
    uint64_t reserve;   /**< entries to make room for at once; 0 = none. The table does not shrink below it */
    uint64_t seed[2];   /**< key of the hash; {0, 0} = random. Fix it only for reproducible runs */
    unsigned flags;     /**< enum soma_flag bits */
    /**
     * Called once for every value that leaves the map (replaced, removed, cleared, or left when the map is freed),
     * after every reader that could have seen it is gone, outside any read section, on any thread that uses Soma. For
     * values that hold something to be freed, say a pointer. The bytes are the map's and go after the call. It may use
     * any map, but this one only before that is freed; it must not free this one.
     * After soma_map_free() it may still be called until soma_barrier_wait() returns.
     * For values that are in the map when it is freed it is called at once, by the freeing thread.
     */
    void (*value_retire)(const void *value, size_t len, void *ctx);
    void *ctx;                   /**< handed to value_retire, value_bytes and stall */
    uint64_t deferred_bytes_max; /**< cap on memory waiting for readers, bytes; 0 = SOMA_DEFERRED_BYTES_DEFAULT */
    uint64_t stall_ns;           /**< a grace period longer than this is a stall; 0 = SOMA_STALL_NS_DEFAULT */
    soma_stall_fn stall;         /**< told of a stall; may be NULL */
    /**
     * Entries for each 100 buckets at which the table grows, so it is full to between half of this and all of it. A
     * bucket takes 8 bytes. 25 to 1000; 0 = SOMA_MAP_LOAD_DEFAULT.
     */
    unsigned load_percent;
    uint64_t digest_key[2]; /**< with digests: maps to be compared need the same; {0, 0} = random */
    /** How many bytes hang on a value, besides the entry's own. As in struct soma_u64_options; NULL = none. */
    uint64_t (*value_bytes)(const void *value, size_t len, void *ctx);
};

/**
 * soma_map_update_fn - what soma_map_update() asks for a new value.
 * @key, @key_len: the key, as given to soma_map_update().
 * @present: whether the key is in the map.
 * @value:   in: the current value if @present, else {NULL, 0}. out: the bytes to store when the answer is SOMA_OK;
 *           they are copied before soma_map_update() returns and stay the caller's.
 * @ctx:     as given to soma_map_update().
 *
 * It may run several times for one update, so it must have no effect of its own. It runs inside a read section and may
 * look things up in any map.
 *
 * Return: SOMA_OK to store *value, SOMA_REMOVED to remove the key, SOMA_EXISTS to leave everything as it is.
 */
typedef enum soma_status (*soma_map_update_fn)(const void *key, size_t key_len, bool present, struct soma_bytes *value,
                                               void *ctx);

/**
 * soma_map_with_fn - what soma_map_get_with() calls on what it finds.
 * @key, @key_len: the key, as given to soma_map_get_with().
 * @value: the value, aligned to 8; borrowed until the function returns. A word of 8 bytes is a copy, which does not change.
 * @ctx:   as given to soma_map_get_with(); where it leaves what it finds out.
 *
 * What it may do: as soma_u64_with_fn.
 */
typedef void (*soma_map_with_fn)(const void *key, size_t key_len, struct soma_bytes value, void *ctx);

/**
 * soma_map_take_fn - what soma_map_take() asks of an entry.
 * @key, @key_len, @value: the entry; borrowed until the function returns, @value aligned to 8.
 * @ctx: as given to soma_map_take().
 *
 * What it may do, and its answers: as soma_u64_take_fn.
 */
typedef enum soma_status (*soma_map_take_fn)(const void *key, size_t key_len, struct soma_bytes value, void *ctx);

/* ---- Lifecycle ---- */

/**
 * soma_map_new() - make an empty map.
 * @options: NULL for the defaults.
 * @out:     out; the map, the caller's until soma_map_free().
 *
 * Return:
 *   SOMA_OK             *@out is the map.
 *   SOMA_E_INVALID      @out is NULL, struct_size is of no known release, a flag is unknown, load_percent is
 *                       out of its range, or value_bytes is there without value_retire.
 *   SOMA_E_NOMEM        no memory, no address space, or `reserve` is beyond what the machine can hold.
 *   SOMA_E_UNSUPPORTED  a flag names something this build lacks.
 */
SOMA_API SOMA_NODISCARD enum soma_status soma_map_new(const struct soma_map_options *options, soma_map **out);

/**
 * soma_map_free() - give the map back.
 * @map: no other call on it may be running or come later, and nothing borrowed from it may be used any more; NULL does
 *       nothing.
 *
 * Waits for nothing, whatever other maps are doing. See soma_u64_free() for the values.
 */
SOMA_API void soma_map_free(soma_map *map);

/* ---- Reading ---- */

/**
 * soma_map_get_copy() - look a key up and copy its value out.
 * @buf: out, @cap bytes; the first min(cap, length) bytes of the value. May be NULL when @cap is 0.
 * @len: out on SOMA_OK: the value's full length. Longer than @cap means that the copy is cut.
 *
 * Return: SOMA_OK found · SOMA_ABSENT · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_map_get_copy(const soma_map *map, const void *key, size_t key_len, void *buf, size_t cap,
                                            size_t *len);

/**
 * soma_map_get_ref() - look a key up and borrow its value.
 * @value: out on SOMA_OK; borrowed until soma_read_exit().
 *
 * State: inside a read section, if the bytes are to be looked at.
 * Return: SOMA_OK found · SOMA_ABSENT · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_map_get_ref(const soma_map *map, const void *key, size_t key_len,
                                           struct soma_bytes *value);

/**
 * soma_map_get_with() - look a key up, and call a function on its value, which is not copied and needs no section.
 * @fn:  called once if the key is there, else not; see soma_map_with_fn. Not NULL.
 * @ctx: handed to @fn.
 *
 * As soma_u64_get_with().
 * Return: SOMA_OK found, @fn has run · SOMA_ABSENT · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_map_get_with(const soma_map *map, const void *key, size_t key_len, soma_map_with_fn fn,
                                            void *ctx);

/**
 * soma_map_get_many() - look up n keys, overlapping their memory accesses.
 * @keys:   n keys.
 * @n:      up to SIZE_MAX / 64.
 * @values: out, n or NULL; values[i] is borrowed when keys[i] is found, else {NULL, 0}.
 * @found:  out, n flags or NULL.
 *
 * Each lookup takes effect on its own, in no particular order, as with soma_u64_get_many(). State: inside a read section, if the
 * values are to be looked at.
 * Return: how many were found; 0 if an argument makes no sense, @n is larger, or a key is too long.
 */
SOMA_API size_t soma_map_get_many(const soma_map *map, const struct soma_bytes *keys, size_t n,
                                  struct soma_bytes *values, bool *found);

/* ---- Writing ---- */

/**
 * soma_map_put() - store a value, whether the key is there or not.
 * @old: out on SOMA_REPLACED: exactly the value that this call replaced; borrowed.
 *
 * Allocates: one entry.
 * Return: SOMA_INSERTED · SOMA_REPLACED · SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_map_put(soma_map *map, const void *key, size_t key_len, const void *value,
                                       size_t value_len, struct soma_bytes *old);

/**
 * soma_map_put_new() - store a value only if the key is absent.
 * @present: out on SOMA_EXISTS: the value that is there; borrowed.
 *
 * Return: SOMA_INSERTED · SOMA_EXISTS · SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_map_put_new(soma_map *map, const void *key, size_t key_len, const void *value,
                                           size_t value_len, struct soma_bytes *present);

/**
 * soma_map_replace() - store a value only if the key is there.
 * @old: out on SOMA_REPLACED; borrowed.
 *
 * Return: SOMA_REPLACED · SOMA_ABSENT · SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_map_replace(soma_map *map, const void *key, size_t key_len, const void *value,
                                           size_t value_len, struct soma_bytes *old);

/**
 * soma_map_cas() - store a value only if the current one has the expected bytes.
 * @actual: out on SOMA_REPLACED and SOMA_CHANGED: the value found; borrowed.
 *
 * Compares bytes, so a value that changed and changed back counts as unchanged.
 * Return: SOMA_REPLACED · SOMA_CHANGED · SOMA_ABSENT · SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_map_cas(soma_map *map, const void *key, size_t key_len, const void *expected,
                                       size_t expected_len, const void *desired, size_t desired_len,
                                       struct soma_bytes *actual);

/**
 * soma_map_get_version() - as soma_map_get_copy(), with the version of the entry that the value was in.
 * @version: out on SOMA_OK, never 0: no other entry of any map has it, before or after, not even one with the same value. As
 *           long as the key has this version, it has this value.
 *
 * Allocates: if the value is a word of 8 bytes, which soma_map_fetch_add() could change in place, the entry is replaced by one
 * that does not, once.
 * Return: SOMA_OK · SOMA_ABSENT · SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_map_get_version(const soma_map *map, const void *key, size_t key_len, void *buf,
                                               size_t cap, size_t *len, uint64_t *version);

/**
 * soma_map_cas_version() - store a value only if the key still has the version that its value was read with.
 * @expected_version: from soma_map_get_version(), or from this call; 0: the key must be absent.
 * @version: out on SOMA_REPLACED and SOMA_INSERTED: the new entry's version.
 *
 * A value that changed and changed back has another version. Progress: lock-free.
 * Return: SOMA_REPLACED · SOMA_CHANGED · SOMA_ABSENT, for a version; SOMA_INSERTED · SOMA_CHANGED, for 0; SOMA_E_NOMEM ·
 * SOMA_E_LIMIT · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_map_cas_version(soma_map *map, const void *key, size_t key_len,
                                               uint64_t expected_version, const void *value, size_t value_len,
                                               uint64_t *version);

/**
 * soma_map_remove() - take a key out.
 * @old: out on SOMA_REMOVED: exactly the value that went; borrowed.
 *
 * Return: SOMA_REMOVED · SOMA_ABSENT · SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_map_remove(soma_map *map, const void *key, size_t key_len, struct soma_bytes *old);

/**
 * soma_map_remove_if() - take a key out only if its value has the expected bytes.
 * @actual: out on SOMA_REMOVED and SOMA_CHANGED: the value found; borrowed.
 *
 * Return: SOMA_REMOVED · SOMA_CHANGED · SOMA_ABSENT · SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_map_remove_if(soma_map *map, const void *key, size_t key_len, const void *expected,
                                             size_t expected_len, struct soma_bytes *actual);

/**
 * soma_map_fetch_add() - add to a value that is a native 64-bit word; an absent key counts as 0.
 * @delta: added modulo 2^64.
 * @old:   out on SOMA_REPLACED and SOMA_INSERTED: the word before (0 when inserted).
 *
 * Return: SOMA_REPLACED · SOMA_INSERTED · SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID, also when the value there is
 *   not 8 bytes long.
 */
SOMA_API enum soma_status soma_map_fetch_add(soma_map *map, const void *key, size_t key_len, uint64_t delta,
                                             uint64_t *old);

/**
 * soma_map_update() - atomic read-modify-write through a function.
 * @fn:  decides; see soma_map_update_fn. Not NULL. It may run again when another thread got in between.
 * @ctx: handed to @fn.
 *
 * Return: SOMA_INSERTED or SOMA_REPLACED if @fn said SOMA_OK · SOMA_REMOVED, or SOMA_ABSENT if there was nothing to
 *   remove, if it said SOMA_REMOVED · SOMA_EXISTS, or SOMA_ABSENT if the key was absent, if it said SOMA_EXISTS ·
 *   SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID, also when @fn answers anything else or hands out bad bytes.
 */
SOMA_API enum soma_status soma_map_update(soma_map *map, const void *key, size_t key_len, soma_map_update_fn fn,
                                          void *ctx);

/**
 * soma_map_put_many() - store n pairs in order, overlapping their memory accesses.
 * @done: out always but on SOMA_E_INVALID: how many pairs, from the first, are stored.
 *
 * Each put takes effect on its own; the whole is not atomic.
 * Return: SOMA_OK all stored · SOMA_E_NOMEM or SOMA_E_LIMIT: the first *@done are stored, the rest not ·
 *   SOMA_E_INVALID nothing stored.
 */
SOMA_API enum soma_status soma_map_put_many(soma_map *map, const struct soma_bytes *keys,
                                            const struct soma_bytes *values, size_t n, size_t *done);

/**
 * soma_map_remove_many() - remove n keys in order, overlapping their memory accesses.
 * @keys:  n keys; one that stands there twice is found once.
 * @old:   out, n values or NULL; old[i] is written when keys[i] was there. Borrowed: call in a read section to use them.
 * @found: out, n flags or NULL.
 * @done:  out always but on SOMA_E_INVALID: how many keys, from the first, are dealt with.
 *
 * Each removal takes effect on its own; the whole is not atomic.
 * Return: SOMA_OK none of the keys is there any more · SOMA_E_NOMEM or SOMA_E_LIMIT: the first *@done are gone, the
 *   rest as they were · SOMA_E_INVALID nothing removed.
 */
SOMA_API enum soma_status soma_map_remove_many(soma_map *map, const struct soma_bytes *keys, size_t n,
                                               struct soma_bytes *old, bool *found, size_t *done);

/**
 * soma_map_take() - take up to n entries out, from a place in the table on.
 * @keys, @values: out, n each or NULL. Borrowed: call in a read section to use them.
 *
 * As soma_u64_take(), also in the answers. Only if two keys have the same hash of 64 bits, @fn may be asked about one of them by
 * two calls, though it has not changed.
 */
SOMA_API enum soma_status soma_map_take(soma_map *map, uint64_t *place, size_t n, soma_map_take_fn fn, void *ctx,
                                        struct soma_bytes *keys, struct soma_bytes *values, size_t *taken);

/** soma_map_clear() - remove every key, beside other threads if need be. As soma_u64_clear(). */
SOMA_API enum soma_status soma_map_clear(soma_map *map);

/* ---- Size ---- */

/** soma_map_count_approx() - how many keys there are. As soma_u64_count_approx(). */
SOMA_API uint64_t soma_map_count_approx(const soma_map *map);

/** soma_map_reserve() - make room for n keys. As soma_u64_reserve(). */
SOMA_API enum soma_status soma_map_reserve(soma_map *map, uint64_t n);

/** soma_map_shrink() - forget what was reserved and give memory back now. As soma_u64_shrink(). */
SOMA_API enum soma_status soma_map_shrink(soma_map *map);

#ifdef __cplusplus
}
#endif

#endif
