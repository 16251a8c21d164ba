/* SPDX-License-Identifier: ISC */
/**
 * u64.h - the word map: any 64-bit key to any 64-bit value, shared by any number of threads.
 *
 *     soma_u64 *map;
 *     if (soma_u64_new(NULL, &map) != SOMA_OK) ...
 *     soma_u64_put(map, 42, 7, NULL);                  // INSERTED
 *     soma_u64_fetch_add(map, 42, 1, NULL);            // REPLACED; now 8
 *     soma_u64_free(map);
 *
 * What holds for every call below unless its page says otherwise:
 *   Thread:    any thread, beside every other call but soma_u64_free(); no registration.
 *   Effect:    linearizable: it takes place at one instant between call and return, and the old value it reports is
 *              exactly the one it replaced.
 *   Order:     what a thread wrote before it stored a value is seen by whoever reads that value from the map.
 *   Progress:  lookups are wait-free but for growth (a lookup never retries; it walks one bucket's chain); updates
 *              are lock-free and may help growth or shrinking by a bounded number of buckets. Nothing waits for a
 *              resize. malloc is outside this promise.
 *   Errors:    leave the map unchanged. Any out pointer may be NULL and is written only on the answers that name it.
 *              A NULL map is SOMA_E_INVALID, and debug builds name the mistake on standard error.
 *
 * Caveats: a lookup may run in a signal handler once its thread has used Soma before; updates may not (they allocate).
 * Values that are pointers: set value_retire, or free them through soma_retire(); a reader may still be using them.
 *
 * See also: rcu.h for read sections, map.h for byte strings, typed.h for your own types.
 * Source: split-ordered lists (Shalev & Shavit 2006), list by Harris (2001) and Michael (2002); docs/architecture.md.
 */
#ifndef SOMA_U64_H
#define SOMA_U64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <soma/options.h>
#include <soma/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Types ---- */

/** A word map. Opaque; made by soma_u64_new(). */
typedef struct soma_u64 soma_u64;

/** load_percent when the option is 0. */
#define SOMA_U64_LOAD_DEFAULT 250

/** Options of soma_u64_new(). All-zero is the default. */
struct soma_u64_options {
    size_t struct_size; /**< sizeof(struct soma_u64_options), or 0 */
    uint64_t reserve;   /**< entries to make room for at once; 0 = none. The table does not shrink below it */
    uint64_t seed[2];   /**< seed of the hash; {0, 0} = random. Fix it only for reproducible runs */
    unsigned flags;     /**< enum soma_flag bits */
    /**
     * Called once for every value that leaves the map (replaced, removed, cleared, or left when the map is freed),
     * after every reader that could have read it is gone, outside any read section, on any thread that uses Soma.
     * NULL = values are plain words. After soma_u64_free() it may still be called until soma_barrier_wait() returns.
     * For values that are in the map when it is freed it is called at once, by the freeing thread. It may use any map,
     * but this one only before that is freed; it must not free this one.
     */
    void (*value_retire)(uint64_t value, void *ctx);
    void *ctx;                   /**< handed to value_retire, value_bytes and stall */
    uint64_t deferred_bytes_max; /**< cap on memory waiting for readers, bytes; 0 = SOMA_DEFERRED_BYTES_DEFAULT */
    uint64_t stall_ns;           /**< a grace period longer than this is a stall; 0 = SOMA_STALL_NS_DEFAULT */
    soma_stall_fn stall;         /**< told of a stall; may be NULL */
    /**
     * Entries for each 100 buckets at which the table grows, so it is full to between half of this and all of it. A
     * bucket is a line of 64 bytes that holds two entries; further ones take 32 bytes each and one cache miss more. Less
     * is faster, more is smaller: docs/performance.md has the curve. 25 to 1000; 0 = SOMA_U64_LOAD_DEFAULT. In builds
     * without a 16-byte swap a bucket takes 8 bytes and each entry 32, and the default is 100.
     */
    unsigned load_percent;
    uint64_t digest_key[2]; /**< with digests: maps to be compared need the same; {0, 0} = random */
    /**
     * How many bytes a value stands for while it waits for value_retire, without which this is SOMA_E_INVALID: the size of
     * the object that it points to, say. They count towards deferred_bytes_max, and in the deferred_bytes of stats.h and
     * of a stall, from when the value leaves the map until it has been retired; if a view keeps it for longer, from when
     * no view does. NULL = nothing.
     * Asked inside a read section, perhaps several times, of a value that may be about to leave, and perhaps stays, and of one
     * that has left and is not retired yet: by updates, also of other keys, by soma_u64_take() and soma_u64_clear(), by
     * soma_u64_shrink() and by soma_view_close(). So it only looks: it changes no map, does not wait, and answers for one
     * value always the same until that is retired. (Else the cap is kept by what it answered, and what was counted is what is
     * taken off again.)
     */
    uint64_t (*value_bytes)(uint64_t value, void *ctx);
};

/**
 * soma_u64_update_fn - what soma_u64_update() asks for a new value.
 * @key:     the key.
 * @present: whether the key is in the map.
 * @value:   in: the current value if @present, else 0. out: the value to store when the answer is SOMA_OK.
 * @ctx:     as given to soma_u64_update().
 *
 * It may run several times for one update, each time with a fresh value, so it must have no effect of its own. It runs
 * inside a read section and may look things up in any map.
 *
 * Return: SOMA_OK to store *value, SOMA_REMOVED to remove the key, SOMA_EXISTS to leave everything as it is.
 */
typedef enum soma_status (*soma_u64_update_fn)(uint64_t key, bool present, uint64_t *value, void *ctx);

/**
 * soma_u64_with_fn - what soma_u64_get_with() calls on what it finds.
 * @key, @value: the entry. What @value points to is not retired before the function returns.
 * @ctx:         as given to soma_u64_get_with(); where it leaves what it finds out.
 *
 * It runs once, so it may have effects: it may count a reference up, say. It runs inside a read section of the call's own, so it may
 * look things up in any map, but must not change one, wait or block; and it must return.
 */
typedef void (*soma_u64_with_fn)(uint64_t key, uint64_t value, void *ctx);

/**
 * soma_u64_take_fn - what soma_u64_take() asks of an entry.
 * @key, @value: the entry. What @value points to is not retired before the function returns.
 * @ctx:         as given to soma_u64_take().
 *
 * It is asked again about a key whose value has changed meanwhile; and about one whose removal the cap on deferred memory has
 * refused, when there is room again, since by then another object may stand at the same address. It runs inside a read section
 * of the call's own, so it may look things up in any map, but must not change one, wait or block.
 *
 * Return: SOMA_REMOVED to take the entry out, SOMA_EXISTS to leave it, SOMA_END to end the call in front of it.
 */
typedef enum soma_status (*soma_u64_take_fn)(uint64_t key, uint64_t value, void *ctx);

/* ---- Lifecycle ---- */

/**
 * soma_u64_new() - make an empty map.
 * @options: NULL for the defaults.
 * @out:     out; the map, the caller's until soma_u64_free().
 *
 * An empty map keeps one page resident and reserves address space in proportion to the machine's memory.
 *
 * Return:
 *   SOMA_OK             *@out is the map.
 *   SOMA_E_INVALID      @out is NULL, struct_size is of no known release, a flag is unknown, load_percent is
 *                       out of its range, or value_bytes is there without value_retire.
 *   SOMA_E_NOMEM        no memory, no address space, or `reserve` is beyond what the machine can hold.
 *   SOMA_E_UNSUPPORTED  a flag names something this build lacks.
 */
SOMA_API SOMA_NODISCARD enum soma_status soma_u64_new(const struct soma_u64_options *options, soma_u64 **out);

/**
 * soma_u64_free() - give the map back.
 * @map: no other call on it may be running or come later; NULL does nothing.
 *
 * Waits for nothing, whatever other maps are doing. Values still in the map are retired at once; those that had left
 * it earlier are retired when their readers are gone (soma_barrier_wait() makes sure).
 */
SOMA_API void soma_u64_free(soma_u64 *map);

/* ---- Reading ---- */

/**
 * soma_u64_get() - look a key up.
 * @value: out on SOMA_OK.
 *
 * Return: SOMA_OK found · SOMA_ABSENT · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_u64_get(const soma_u64 *map, uint64_t key, uint64_t *value);

/**
 * soma_u64_get_with() - look a key up, and call a function on what is found while it cannot be retired.
 * @fn:  called once if the key is there, else not; see soma_u64_with_fn. Not NULL.
 * @ctx: handed to @fn.
 *
 * As soma_read_enter(), soma_u64_get(), @fn and soma_read_exit(), at about half the instructions; what the program frees through
 * liburcu, and not through Soma, is not protected by it. The answer is that of the lookup, before @fn runs: the entry may
 * leave the map meanwhile.
 * Return: SOMA_OK found, @fn has run · SOMA_ABSENT · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_u64_get_with(const soma_u64 *map, uint64_t key, soma_u64_with_fn fn, void *ctx);

/**
 * soma_u64_get_many() - look up n keys, overlapping their memory accesses.
 * @keys:   n keys.
 * @n:      up to SIZE_MAX / 64; 16 and more pay off on maps larger than the cache.
 * @values: out, n words or NULL; values[i] is written when keys[i] is found.
 * @found:  out, n flags or NULL.
 *
 * Each lookup takes effect on its own, at an instant between call and return, and they do so in no particular order: beside
 * updates, a key in front may be given as it was later than one behind it; so may a key that stands there twice.
 * Return: how many were found; 0 if @map, or @keys with @n > 0, is NULL, or @n is larger.
 */
SOMA_API size_t soma_u64_get_many(const soma_u64 *map, const uint64_t *keys, size_t n, uint64_t *values, bool *found);

/* ---- Writing ---- */

/**
 * soma_u64_put() - store a value, whether the key is there or not.
 * @old: out on SOMA_REPLACED: exactly the value that this call replaced.
 *
 * Allocates: one entry when the key is absent.
 * Return: SOMA_INSERTED · SOMA_REPLACED · SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_u64_put(soma_u64 *map, uint64_t key, uint64_t value, uint64_t *old);

/**
 * soma_u64_put_new() - store a value only if the key is absent.
 * @present: out on SOMA_EXISTS: the value that is there.
 *
 * Return: SOMA_INSERTED · SOMA_EXISTS · SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_u64_put_new(soma_u64 *map, uint64_t key, uint64_t value, uint64_t *present);

/**
 * soma_u64_replace() - store a value only if the key is there.
 * @old: out on SOMA_REPLACED.
 *
 * Return: SOMA_REPLACED · SOMA_ABSENT · SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_u64_replace(soma_u64 *map, uint64_t key, uint64_t value, uint64_t *old);

/**
 * soma_u64_cas() - store a value only if the current one is as expected.
 * @actual: out on SOMA_REPLACED and SOMA_CHANGED: the value found (on SOMA_REPLACED it equals @expected).
 *
 * Return: SOMA_REPLACED · SOMA_CHANGED · SOMA_ABSENT · SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_u64_cas(soma_u64 *map, uint64_t key, uint64_t expected, uint64_t desired,
                                       uint64_t *actual);

/**
 * soma_u64_remove() - take a key out.
 * @old: out on SOMA_REMOVED: exactly the value that went.
 *
 * Return: SOMA_REMOVED · SOMA_ABSENT · SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_u64_remove(soma_u64 *map, uint64_t key, uint64_t *old);

/**
 * soma_u64_remove_if() - take a key out only if its value is as expected.
 * @actual: out on SOMA_REMOVED and SOMA_CHANGED: the value found.
 *
 * Return: SOMA_REMOVED · SOMA_CHANGED · SOMA_ABSENT · SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_u64_remove_if(soma_u64 *map, uint64_t key, uint64_t expected, uint64_t *actual);

/**
 * soma_u64_fetch_add() - add to a value; an absent key counts as 0.
 * @delta: added modulo 2^64, so it may be a negative number cast to uint64_t.
 * @old:   out on SOMA_REPLACED and SOMA_INSERTED: the value before (0 when inserted).
 *
 * Return: SOMA_REPLACED · SOMA_INSERTED · SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_u64_fetch_add(soma_u64 *map, uint64_t key, uint64_t delta, uint64_t *old);

/**
 * soma_u64_update() - atomic read-modify-write through a function.
 * @fn:  decides; see soma_u64_update_fn. Not NULL. It may run again when another thread got in between.
 * @ctx: handed to @fn.
 *
 * Return: SOMA_INSERTED or SOMA_REPLACED if @fn said SOMA_OK · SOMA_REMOVED, or SOMA_ABSENT if there was nothing to
 *   remove, if it said SOMA_REMOVED · SOMA_EXISTS, or SOMA_ABSENT if the key was absent, if it said SOMA_EXISTS ·
 *   SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID, also when @fn answers anything else.
 */
SOMA_API enum soma_status soma_u64_update(soma_u64 *map, uint64_t key, soma_u64_update_fn fn, void *ctx);

/**
 * soma_u64_put_many() - store n pairs in order, overlapping their memory accesses.
 * @keys, @values: n words each.
 * @done: out always but on SOMA_E_INVALID: how many pairs, from the first, are stored.
 *
 * Each put takes effect on its own; the whole is not atomic.
 * Return: SOMA_OK all stored · SOMA_E_NOMEM or SOMA_E_LIMIT: the first *@done are stored, the rest not ·
 *   SOMA_E_INVALID nothing stored.
 */
SOMA_API enum soma_status soma_u64_put_many(soma_u64 *map, const uint64_t *keys, const uint64_t *values, size_t n,
                                            size_t *done);

/**
 * soma_u64_remove_many() - remove n keys in order, overlapping their memory accesses.
 * @keys:  n keys; one that stands there twice is found once.
 * @old:   out, n words or NULL; old[i] is written when keys[i] was there.
 * @found: out, n flags or NULL.
 * @done:  out always but on SOMA_E_INVALID: how many keys, from the first, are dealt with.
 *
 * Each removal takes effect on its own; the whole is not atomic.
 * Return: SOMA_OK none of the keys is there any more · SOMA_E_NOMEM or SOMA_E_LIMIT: the first *@done are gone, the
 *   rest as they were · SOMA_E_INVALID nothing removed.
 */
SOMA_API enum soma_status soma_u64_remove_many(soma_u64 *map, const uint64_t *keys, size_t n, uint64_t *old,
                                               bool *found, size_t *done);

/**
 * soma_u64_take() - take up to n entries out, from a place in the table on: for caches that make room.
 * @place:  in: 0, the beginning, or what an earlier call left here. out always but on SOMA_E_INVALID: where to go on; 0, the
 *          beginning again, on SOMA_END.
 * @n:      how many at the most; SIZE_MAX: all, or, with @keys or @values, up to SIZE_MAX / 64.
 * @fn:     which ones; see soma_u64_take_fn. NULL: all.
 * @ctx:    handed to @fn.
 * @keys:   out, n words or NULL: the keys that were taken, in the order of the table.
 * @values: out, n words or NULL: exactly the values that went with them. Values with a value_retire are looked at in a read
 *          section around the call.
 * @taken:  out always but on SOMA_E_INVALID: how many.
 *
 * Each entry goes at an instant of its own, if its value is still the one that @fn was asked about; two threads never take the same.
 * The whole is not atomic. An entry that is there all the time, between the place where the call begins and that where it ends, is
 * asked about. The order is that of cursors, by hash, so a place says nothing about keys; it is good for any call on the map, in any
 * thread, whatever has happened to the map since, and nothing is kept for it.
 * Allocates: nothing but what removals do. Works in short read sections; each looks at a bounded number of entries and buckets.
 * Source: the walk is a cursor's, docs/cursors.md.
 *
 * Return: SOMA_OK: n are taken, or @fn has ended it · SOMA_END: the end of the table is reached; the last of the n may have been
 *   taken all the same · SOMA_E_NOMEM or SOMA_E_LIMIT: *@taken are gone, the next is at *@place · SOMA_E_INVALID: nothing
 *   taken; if @fn answered anything else, as SOMA_E_NOMEM.
 */
SOMA_API enum soma_status soma_u64_take(soma_u64 *map, uint64_t *place, size_t n, soma_u64_take_fn fn, void *ctx,
                                        uint64_t *keys, uint64_t *values, size_t *taken);

/**
 * soma_u64_clear() - remove every key, beside other threads if need be.
 *
 * Not one instant: each key goes by itself. A key that is there from call to return of everybody's is removed; one
 * that is put meanwhile may stay. Works in short read sections.
 * Return: SOMA_OK · SOMA_E_NOMEM or SOMA_E_LIMIT: some keys are gone, the rest remain; call again · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_u64_clear(soma_u64 *map);

/* ---- Size ---- */

/**
 * soma_u64_count_approx() - how many keys there are.
 *
 * Exact when no update is in flight; otherwise off by at most the updates in flight. O(1), wait-free. 0 for NULL.
 */
SOMA_API uint64_t soma_u64_count_approx(const soma_u64 *map);

/**
 * soma_u64_reserve() - make room for n keys, so that the table does not grow on the way there.
 * @n: not 0.
 *
 * O(1): buckets are still set up as they are first used. The table does not shrink below it until soma_u64_shrink().
 * Return: SOMA_OK · SOMA_E_INVALID @n is 0 · SOMA_E_NOMEM beyond what the machine can hold.
 */
SOMA_API enum soma_status soma_u64_reserve(soma_u64 *map, uint64_t n);

/**
 * soma_u64_shrink() - forget what was reserved and give memory back to the system now.
 *
 * Does as much as it can without waiting; if readers hold it up, later updates finish the job. Tables also shrink by
 * themselves as keys are removed.
 * Return: SOMA_OK · SOMA_E_INVALID.
 */
SOMA_API enum soma_status soma_u64_shrink(soma_u64 *map);

#ifdef __cplusplus
}
#endif

#endif
