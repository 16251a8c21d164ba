/* SPDX-License-Identifier: ISC */
/**
 * dual.h - an old map and Soma side by side: every call is made on both, and what they disagree on is told.
 *
 *     static enum soma_status old_get(void *old, uint64_t key, uint64_t *value) { ... the program's own lookup ... }
 *     ...
 *     const struct soma_dual_u64_old table = {.get = old_get, .put = old_put, .remove = old_remove};
 *     struct soma_dual_options options = {.rate = 1, .difference = soma_dual_log};
 *     soma_dual_u64 *map;
 *     if (soma_dual_u64_new(&options, NULL, &table, the_old_map, &map) != SOMA_OK) ...
 *     soma_dual_u64_put(map, 42, 7, NULL);      // puts into the_old_map and into Soma; compares what they say
 *
 * For moving a program over by steps: first the old map answers and Soma shadows it, then Soma answers and the old map shadows it, then
 * soma_dual_ becomes soma_. docs/migration.md goes through it.
 *
 * This is a tool for migrations, and IT IS NOT LOCK-FREE. Two concurrent maps can only be compared if both see the calls for a
 * key in one order, so each compared call, and each that changes something, holds one of 32 mutexes, by key, while it is made on
 * both. Then a difference is a difference: never a race between the two sides, and none that a race could explain away.
 * Lookups that are not sampled take no mutex here and go to the answering side alone.
 *
 * What holds for every call below unless its page says otherwise:
 *   Thread:    any thread, beside every other call but the free. The old map's functions take whatever lock they take today; they
 *              are called under a mutex of this layer, so they must not call the dual map, nor wait for readers (who may be waiting for
 *              that mutex), and no lock that they take may be held around a call here. The stall function of Soma's options may be called under
 *              a mutex of this layer, too. Retired calls and value_retire functions never are, and may use the pair.
 *   Effect:    that of the answering side, which is what the call returns, errors too.
 *   Compared:  statuses; and values where both sides tell one. Of one call, the answering side's value is also what comes out.
 *   Blocks:    for other calls on keys of the same mutex; soma_dual_*_check(), _clear() and _count_approx() for all.
 *   Errors:    if one side fails (no memory, say) and the other does not, the two differ from then on, and that is told as any
 *              difference. If the old map's get fails where the pair needs it, that is the old side's answer; of a call that would change
 *              something and that the old side answers, neither side has changed then. A NULL map is SOMA_E_INVALID.
 *
 * Caveat: the old map must be changed through here only. What passes by is told as a difference, and rightly.
 * Caveat: values that are pointers are in both maps. Leave it to the old map's functions to free them, and value_retire NULL, as long
 * as there is an old map; once Soma answers, they have to free them through soma_retire(), since lookups hold no lock.
 * Caveat: Soma's part of a call runs inside a read section, so at the cap on deferred memory it answers SOMA_E_LIMIT, which is told as a
 * difference, also under SOMA_WAIT_AT_LIMIT. A clear is not refused at the cap: what it takes out waits until it is over, above the cap if need be.
 * fork: not beside calls of other threads.
 *
 * See also: backend.h.  Source: docs/decisions/0012-dual-run.md.
 */
#ifndef SOMA_DUAL_H
#define SOMA_DUAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <soma/attr.h>
#include <soma/map.h>
#include <soma/status.h>
#include <soma/u64.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- What is told ---- */

/** What was compared. Updates are lookups, then a cas, put_new or remove_if. */
enum soma_dual_verb {
    SOMA_DUAL_GET,
    SOMA_DUAL_PUT,
    SOMA_DUAL_PUT_NEW,
    SOMA_DUAL_REPLACE,
    SOMA_DUAL_CAS,
    SOMA_DUAL_REMOVE,
    SOMA_DUAL_REMOVE_IF,
    SOMA_DUAL_FETCH_ADD,
    SOMA_DUAL_CLEAR,
    SOMA_DUAL_COUNT,  /**< the answers' words are the counts */
    SOMA_DUAL_CHECK,  /**< an entry that soma_dual_*_check() found: what each side has under the key */
    SOMA_DUAL_DIGEST, /**< the answers' words are lanes of the digests */
    SOMA_DUAL_VERBS,  /**< how many there are */
};

/** soma_dual_verb_name() - "get", "put" and so on; NULL for none. */
SOMA_API const char *soma_dual_verb_name(enum soma_dual_verb verb);

/** What one side said. */
struct soma_dual_answer {
    enum soma_status status;
    bool told;               /**< whether it named a value */
    uint64_t word;           /**< of a word map, or a count */
    struct soma_bytes bytes; /**< of a byte map; of Soma's, the first 256 if there is no memory for a copy */
};

/** The frames of a difference's stack, at the most. */
#define SOMA_DUAL_STACK 32

/** A difference. All of it is good until the callback returns. */
struct soma_dual_difference {
    uint64_t number; /**< of this map's differences, from 1 */
    enum soma_dual_verb verb;
    bool words; /**< of a word map: key_word is the key; or of a byte map: key is. Neither for clear, count, digest */
    uint64_t key_word;
    struct soma_bytes key;
    struct soma_dual_answer old;
    struct soma_dual_answer soma;
    void *const *stack; /**< return addresses of the call, innermost first, for backtrace_symbols(3) or addr2line(1) */
    int depth;          /**< how many; 0 where there is no backtrace(3) */
};

/**
 * soma_dual_fn - told of each difference, on the thread whose call it was, after the call has been made on both sides and outside all
 * mutexes and read sections of this layer, so it may use any map, and wait. In a call inside a read section of the caller's, and in
 * soma_dual_*_update(), which opens one, it must wait for nothing, and what is slow in it keeps memory from being freed. Exception: during
 * soma_dual_*_check() it runs under all mutexes, in a section and, it may be, under the old map's lock, and must not use either side.
 */
typedef void (*soma_dual_fn)(const struct soma_dual_difference *difference, void *ctx);

/**
 * soma_dual_format() - a difference as text, in lines: first `soma dual: difference 1: get 42: old SOMA_ABSENT, soma SOMA_OK 7`, then
 * `    #0 ./program(lookup+0x1c) [0x...]` for each frame, with the names that backtrace_symbols(3) finds (link with -rdynamic
 * for those of a program's own functions). Byte strings stand in quotes, with \x escapes, cut after 32 bytes.
 * @buf: out, @cap bytes; cut if need be, and ends with a zero if @cap is not 0.
 *
 * Allocates: for the names; without memory the frames are bare addresses.
 * Return: the text's full length.
 */
SOMA_API size_t soma_dual_format(const struct soma_dual_difference *difference, char *buf, size_t cap);

/**
 * soma_dual_log() - a soma_dual_fn that writes soma_dual_format()'s text to a file: of the first 100 differences of each map, and of those
 * behind them one a second, of whatever map, with a line `soma dual: 57 not shown` before it, which counts those of all maps, whatever file
 * each is logged to. A map's counters count all of its own.
 * @ctx: a FILE *; NULL: standard error.
 */
SOMA_API void soma_dual_log(const struct soma_dual_difference *difference, void *ctx);

/** What has happened so far. */
struct soma_dual_counters {
    uint64_t calls[SOMA_DUAL_VERBS];
    uint64_t compared[SOMA_DUAL_VERBS];    /**< of the calls; of checks, the entries that were looked at */
    uint64_t differences[SOMA_DUAL_VERBS]; /**< of those compared */
};

/* ---- Options ---- */

enum soma_dual_mode {
    SOMA_DUAL_OLD_ANSWERS = 0,  /**< Soma shadows */
    SOMA_DUAL_SOMA_ANSWERS = 1, /**< the old map shadows */
};

/** Options of soma_dual_u64_new() and soma_dual_map_new(). */
struct soma_dual_options {
    size_t struct_size; /**< sizeof(struct soma_dual_options), or 0 */
    enum soma_dual_mode mode;
    /**
     * Which part of the calls is compared, 0 to 1, by a pseudo-random choice. What changes something is done on both sides in any
     * case; a lookup that is not chosen is not.
     */
    double rate;
    uint64_t seed; /**< of the choice: one thread's calls are chosen alike with the same seed; 0 is one, too */
    soma_dual_fn difference; /**< NULL: only counted */
    void *ctx;               /**< handed to difference */
};

/** How soma_dual_u64_check() and soma_dual_map_check() compare. */
enum soma_dual_how {
    SOMA_DUAL_BY_DIGEST, /**< equal or not, by digests: soma_u64_digest() against that of a walk through the old map */
    SOMA_DUAL_BY_WALK,   /**< every entry of both, exactly */
};

/* ---- Word maps ---- */

typedef struct soma_dual_u64 soma_dual_u64;

/** What a walk through the old map calls for each entry. False: stop. */
typedef bool (*soma_dual_u64_visit)(uint64_t key, uint64_t value, void *ctx);

/**
 * The old map's calls, with the arguments and statuses of soma_u64_*(); `old` is what soma_dual_u64_new() was given. get, put and
 * remove must be there; of the others, cas and those above it are made of those three where they are NULL, under
 * the key's mutex. count: NULL, counts are Soma's and not compared. clear: NULL, clears are SOMA_E_UNSUPPORTED. walk: NULL, so are checks.
 */
struct soma_dual_u64_old {
    enum soma_status (*get)(void *old, uint64_t key, uint64_t *value);
    enum soma_status (*put)(void *old, uint64_t key, uint64_t value, uint64_t *previous);
    enum soma_status (*remove)(void *old, uint64_t key, uint64_t *previous);
    enum soma_status (*put_new)(void *old, uint64_t key, uint64_t value, uint64_t *present);
    enum soma_status (*replace)(void *old, uint64_t key, uint64_t value, uint64_t *previous);
    enum soma_status (*fetch_add)(void *old, uint64_t key, uint64_t delta, uint64_t *previous);
    enum soma_status (*remove_if)(void *old, uint64_t key, uint64_t expected, uint64_t *actual);
    enum soma_status (*cas)(void *old, uint64_t key, uint64_t expected, uint64_t desired, uint64_t *actual);
    uint64_t (*count)(void *old);
    enum soma_status (*clear)(void *old);
    enum soma_status (*walk)(void *old, soma_dual_u64_visit visit, void *ctx);
};

/**
 * soma_dual_u64_new() - put Soma beside an old map.
 * @options: NULL: the old map answers, nothing is compared.
 * @soma:    the options of the Soma map; NULL for the defaults. With SOMA_DIGEST, checks by digest are possible.
 * @table:   copied.
 * @old:     handed to the table's functions; the caller's. If the old map is not empty, its entries are put into Soma; that needs
 *           table->walk, without which it has to be empty. Nobody may be using it yet.
 *
 * Return:
 *   SOMA_OK         *@out is the pair.
 *   SOMA_E_INVALID  @table or @out is NULL, get, put or remove is missing, or an option makes no sense.
 *   SOMA_E_NOMEM    no memory.
 *   What soma_u64_new() and table->walk answer besides.
 */
SOMA_API SOMA_NODISCARD enum soma_status soma_dual_u64_new(const struct soma_dual_options *options,
                                                           const struct soma_u64_options *soma,
                                                           const struct soma_dual_u64_old *table, void *old,
                                                           soma_dual_u64 **out);

/** soma_dual_u64_free() - give the Soma map and what belongs to the pair back; the old map stays. NULL does nothing. */
SOMA_API void soma_dual_u64_free(soma_dual_u64 *map);

/** soma_dual_u64_raw() - the Soma map, for looking only: what changes it behind the pair's back is told as a difference. */
SOMA_API soma_u64 *soma_dual_u64_raw(const soma_dual_u64 *map);

/* As soma_u64_*(). An update's function runs under no mutex. Calls for many keys are not here: make one for each. */
SOMA_API enum soma_status soma_dual_u64_get(soma_dual_u64 *map, uint64_t key, uint64_t *value);
SOMA_API enum soma_status soma_dual_u64_put(soma_dual_u64 *map, uint64_t key, uint64_t value, uint64_t *old);
SOMA_API enum soma_status soma_dual_u64_put_new(soma_dual_u64 *map, uint64_t key, uint64_t value, uint64_t *present);
SOMA_API enum soma_status soma_dual_u64_replace(soma_dual_u64 *map, uint64_t key, uint64_t value, uint64_t *old);
SOMA_API enum soma_status soma_dual_u64_cas(soma_dual_u64 *map, uint64_t key, uint64_t expected, uint64_t desired,
                                            uint64_t *actual);
SOMA_API enum soma_status soma_dual_u64_remove(soma_dual_u64 *map, uint64_t key, uint64_t *old);
SOMA_API enum soma_status soma_dual_u64_remove_if(soma_dual_u64 *map, uint64_t key, uint64_t expected,
                                                  uint64_t *actual);
SOMA_API enum soma_status soma_dual_u64_fetch_add(soma_dual_u64 *map, uint64_t key, uint64_t delta, uint64_t *old);
SOMA_API enum soma_status soma_dual_u64_update(soma_dual_u64 *map, uint64_t key, soma_u64_update_fn fn, void *ctx);
SOMA_API enum soma_status soma_dual_u64_clear(soma_dual_u64 *map);
SOMA_API uint64_t soma_dual_u64_count_approx(soma_dual_u64 *map);

/**
 * soma_dual_u64_check() - compare all that both sides hold, while calls that change something wait.
 * @differing: out on SOMA_OK, may be NULL: by walk, how many keys differ, and for how many table->get fails; by digest, 0 or 1. Each is
 *             told and counted.
 *
 * Return: SOMA_OK compared · SOMA_E_UNSUPPORTED table->walk is NULL, or by digest without SOMA_DIGEST · SOMA_E_NOMEM ·
 *   SOMA_E_INVALID · an error of table->walk.
 */
SOMA_API enum soma_status soma_dual_u64_check(soma_dual_u64 *map, enum soma_dual_how how, uint64_t *differing);

/** soma_dual_u64_counters() - what has happened so far. Exact when no call is under way. All 0 for NULL. */
SOMA_API void soma_dual_u64_counters(const soma_dual_u64 *map, struct soma_dual_counters *out);

/* ---- Byte maps ---- */

typedef struct soma_dual_map soma_dual_map;

typedef bool (*soma_dual_map_visit)(struct soma_bytes key, struct soma_bytes value, void *ctx);

/**
 * The old map's calls. get copies out as soma_map_get_copy() does. The others answer the statuses of soma_map_*() but no value, since
 * values in an old map are good only under its lock; where one is to be told or compared, it is asked for with get, just before and
 * under the key's mutex. Which must be there, and what is made of the others: as for soma_dual_u64_old.
 */
struct soma_dual_map_old {
    enum soma_status (*get)(void *old, struct soma_bytes key, void *buf, size_t cap, size_t *len);
    enum soma_status (*put)(void *old, struct soma_bytes key, struct soma_bytes value);
    enum soma_status (*remove)(void *old, struct soma_bytes key);
    enum soma_status (*put_new)(void *old, struct soma_bytes key, struct soma_bytes value);
    enum soma_status (*replace)(void *old, struct soma_bytes key, struct soma_bytes value);
    enum soma_status (*fetch_add)(void *old, struct soma_bytes key, uint64_t delta);
    enum soma_status (*remove_if)(void *old, struct soma_bytes key, struct soma_bytes expected);
    enum soma_status (*cas)(void *old, struct soma_bytes key, struct soma_bytes expected, struct soma_bytes desired);
    uint64_t (*count)(void *old);
    enum soma_status (*clear)(void *old);
    enum soma_status (*walk)(void *old, soma_dual_map_visit visit, void *ctx);
};

/** soma_dual_map_new(), soma_dual_map_free(), soma_dual_map_raw() - as for word maps. */
SOMA_API SOMA_NODISCARD enum soma_status soma_dual_map_new(const struct soma_dual_options *options,
                                                           const struct soma_map_options *soma,
                                                           const struct soma_dual_map_old *table, void *old,
                                                           soma_dual_map **out);
SOMA_API void soma_dual_map_free(soma_dual_map *map);
SOMA_API soma_map *soma_dual_map_raw(const soma_dual_map *map);

/*
 * As soma_map_*(). What is borrowed of the old side is a copy that goes when the caller's read section has ended, so these calls may
 * answer SOMA_E_NOMEM, as all do that need the old side's value; then nothing has changed on either side. An update's function may run
 * again. Versions, which old maps do not have, and calls for many keys are not here.
 */
SOMA_API enum soma_status soma_dual_map_get_copy(soma_dual_map *map, const void *key, size_t key_len, void *buf,
                                                 size_t cap, size_t *len);
SOMA_API enum soma_status soma_dual_map_get_ref(soma_dual_map *map, const void *key, size_t key_len,
                                                struct soma_bytes *value);
SOMA_API enum soma_status soma_dual_map_put(soma_dual_map *map, const void *key, size_t key_len, const void *value,
                                            size_t value_len, struct soma_bytes *old);
SOMA_API enum soma_status soma_dual_map_put_new(soma_dual_map *map, const void *key, size_t key_len, const void *value,
                                                size_t value_len, struct soma_bytes *present);
SOMA_API enum soma_status soma_dual_map_replace(soma_dual_map *map, const void *key, size_t key_len, const void *value,
                                                size_t value_len, struct soma_bytes *old);
SOMA_API enum soma_status soma_dual_map_cas(soma_dual_map *map, const void *key, size_t key_len, const void *expected,
                                            size_t expected_len, const void *desired, size_t desired_len,
                                            struct soma_bytes *actual);
SOMA_API enum soma_status soma_dual_map_remove(soma_dual_map *map, const void *key, size_t key_len,
                                               struct soma_bytes *old);
SOMA_API enum soma_status soma_dual_map_remove_if(soma_dual_map *map, const void *key, size_t key_len,
                                                  const void *expected, size_t expected_len, struct soma_bytes *actual);
SOMA_API enum soma_status soma_dual_map_fetch_add(soma_dual_map *map, const void *key, size_t key_len, uint64_t delta,
                                                  uint64_t *old);
SOMA_API enum soma_status soma_dual_map_update(soma_dual_map *map, const void *key, size_t key_len,
                                               soma_map_update_fn fn, void *ctx);
SOMA_API enum soma_status soma_dual_map_clear(soma_dual_map *map);
SOMA_API uint64_t soma_dual_map_count_approx(soma_dual_map *map);

/** soma_dual_map_check(), soma_dual_map_counters() - as for word maps. */
SOMA_API enum soma_status soma_dual_map_check(soma_dual_map *map, enum soma_dual_how how, uint64_t *differing);
SOMA_API void soma_dual_map_counters(const soma_dual_map *map, struct soma_dual_counters *out);

#ifdef __cplusplus
}
#endif

#endif
