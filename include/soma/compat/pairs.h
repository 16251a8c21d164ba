/* SPDX-License-Identifier: ISC */
/**
 * pairs.h - pointers to pointers under the program's own equality: what glib.h and khash.h stand on. Not for programs: the names
 * here may change in any release.
 *
 * A table is a map of Soma's from a key's word, or a string's bytes, to a chain: an array of (key, value) pairs that does not
 * change once it is in the map. Where equality is the program's own, the word is the program's hash, and a chain holds all pairs of
 * one hash; else it holds one pair. An update makes the next chain and swaps it in. The old one goes after its readers, and with
 * it what the update has said should: a key, a value, both or neither.
 *
 * What holds for every call but open and close:
 *   Thread:    any thread, beside every other call on the table; no registration.
 *   Effect:    linearizable: at the swap of the chain.
 *   Progress:  as the maps underneath: lookups never wait, updates are lock-free. malloc is outside this promise.
 *   Errors:    leave the table unchanged, and what was to go in the caller's.
 *   Borrowed:  keys and values that come out are there for certain until the caller's read section ends.
 */
#ifndef SOMA_COMPAT_PAIRS_H
#define SOMA_COMPAT_PAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <soma/cursor.h>
#include <soma/map.h>
#include <soma/rcu.h>
#include <soma/status.h>
#include <soma/u64.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The larger functions stand once in each file that uses them. */
#define SOMA_PAIRS_ONCE static __attribute__((noinline, unused))

/* ---- Types ---- */

/** What makes two keys the same key. */
enum soma_pairs_kind {
    SOMA_PAIRS_ADDRESS, /**< the same pointer */
    SOMA_PAIRS_INT,     /**< pointers to equal 32-bit words */
    SOMA_PAIRS_INT64,   /**< pointers to equal 64-bit words */
    SOMA_PAIRS_DOUBLE,  /**< pointers to equal doubles; a NaN equals itself */
    SOMA_PAIRS_STRING,  /**< equal strings */
    SOMA_PAIRS_CUSTOM,  /**< whatever `equal` says; equal keys have equal hashes */
};

struct soma_pairs_pair {
    void *key;
    void *value;
};

/** A table. The caller fills in what it wants before soma_pairs_open() and leaves the rest zero. */
struct soma_pairs {
    enum soma_pairs_kind kind;
    unsigned (*hash)(const void *key);              /**< SOMA_PAIRS_CUSTOM only */
    int (*equal)(const void *stored, const void *); /**< SOMA_PAIRS_CUSTOM only */
    void (*key_destroy)(void *key);                 /**< may be NULL */
    void (*value_destroy)(void *value);             /**< may be NULL */
    soma_u64 *words;                                /**< unless the keys are strings */
    soma_map *strings;                              /**< if they are */
    int64_t surplus;                                /**< pairs beyond the first of each chain */
};

/** What goes with a chain. The default, since it holds for a chain that is never replaced, is all. */
#define SOMA_PAIRS_ALL_GO (-1)
#define SOMA_PAIRS_NONE_GOES (-2)

/** The head of a chain; its pairs are behind it. Whoever replaces it says what goes; readers do not look at that. */
struct soma_pairs_chain {
    void (*key_destroy)(void *key);
    void (*value_destroy)(void *value);
    uint32_t count;
    int32_t gone; /**< SOMA_PAIRS_ALL_GO, SOMA_PAIRS_NONE_GOES, or the index of the pair that goes */
};

/** Where a key's chain is. */
struct soma_pairs_slot {
    uint64_t word;
    const void *bytes;
    size_t len;
};

/** Bits of what an update drops of the pair that it replaces or removes. */
enum soma_pairs_drop {
    SOMA_PAIRS_DROP_NOTHING = 0,
    SOMA_PAIRS_DROP_KEY = 1,
    SOMA_PAIRS_DROP_VALUE = 2,
    SOMA_PAIRS_DROP_BOTH = 3,
};

/**
 * soma_pairs_decide_fn - what an update wants, seeing what is there; it runs again when another thread got in between.
 * @now:  the pair that is there, or NULL.
 * @next: out for SOMA_OK: the pair to store.
 * @drop: out for SOMA_OK and SOMA_REMOVED: enum soma_pairs_drop bits, what is destroyed of @now. Preset to both.
 *
 * Return: SOMA_OK to store @next, SOMA_REMOVED to remove @now; anything else changes nothing and is the update's answer.
 */
typedef enum soma_status (*soma_pairs_decide_fn)(const struct soma_pairs_pair *now, struct soma_pairs_pair *next,
                                                 unsigned *drop, void *ctx);

/** A place in a walk over a table; all-zero is the beginning. */
struct soma_pairs_place {
    uint64_t token;
    uint64_t word;   /**< of the chain that was given in part */
    uint32_t behind; /**< how many of its pairs, counted from its end, were not */
};

/* ---- Chains ---- */

static inline struct soma_pairs_pair *soma_pairs_of(struct soma_pairs_chain *chain)
{
    return (struct soma_pairs_pair *)(void *)(chain + 1);
}

static inline void soma_pairs_destroy_one(const struct soma_pairs_chain *chain, const struct soma_pairs_pair *pair)
{
    if (chain->key_destroy)
        chain->key_destroy(pair->key);
    if (chain->value_destroy)
        chain->value_destroy(pair->value);
}

/** A chain has no readers any more. */
SOMA_PAIRS_ONCE void soma_pairs_retire_word(uint64_t word, void *ctx)
{
    struct soma_pairs_chain *chain = (struct soma_pairs_chain *)(uintptr_t)word;
    (void)ctx;
    if (chain->gone >= 0)
        soma_pairs_destroy_one(chain, soma_pairs_of(chain) + chain->gone);
    for (uint32_t i = 0; chain->gone == SOMA_PAIRS_ALL_GO && i < chain->count; i++)
        soma_pairs_destroy_one(chain, soma_pairs_of(chain) + i);
    free(chain);
}

/** In a byte map, a chain's address is a value of 8 bytes. */
static inline struct soma_pairs_chain *soma_pairs_chain_in(const void *bytes)
{
    struct soma_pairs_chain *chain;
    memcpy(&chain, bytes, sizeof chain);
    return chain;
}

static inline void soma_pairs_retire_bytes(const void *value, size_t len, void *ctx)
{
    (void)len;
    soma_pairs_retire_word((uintptr_t)soma_pairs_chain_in(value), ctx);
}

/** A chain with room for some pairs; NULL without memory. */
static inline struct soma_pairs_chain *soma_pairs_chain_new(const struct soma_pairs *table, uint32_t count)
{
    struct soma_pairs_chain *chain =
        (struct soma_pairs_chain *)malloc(sizeof *chain + count * sizeof(struct soma_pairs_pair));
    if (chain) {
        chain->key_destroy = table->key_destroy;
        chain->value_destroy = table->value_destroy;
        chain->count = count;
        chain->gone = SOMA_PAIRS_ALL_GO;
    }
    return chain;
}

/** What stands in a chain, before an index and from another on. */
static inline struct soma_pairs_pair *soma_pairs_copy(struct soma_pairs_pair *out, struct soma_pairs_chain *from,
                                                      uint32_t begin, uint32_t end)
{
    if (begin < end)
        memcpy(out, soma_pairs_of(from) + begin, (end - begin) * sizeof *out);
    return out + (end - begin);
}

/** The chain that is to follow: with a pair more, in front; with the one at index replaced; or without that one. */
static inline struct soma_pairs_chain *soma_pairs_chain_next(const struct soma_pairs *table,
                                                             struct soma_pairs_chain *now, uint32_t index,
                                                             const struct soma_pairs_pair *pair)
{
    const uint32_t count = now ? now->count : 0;
    const uint32_t rest = index < count ? index + 1 : 0; /* a pair that is there gives way */
    struct soma_pairs_chain *next =
        soma_pairs_chain_new(table, count - (index < count ? 1u : 0u) + (pair != NULL ? 1u : 0u));
    if (!next)
        return NULL;
    struct soma_pairs_pair *out = soma_pairs_of(next);
    if (index < count)
        out = soma_pairs_copy(out, now, 0, index);
    if (pair)
        *out++ = *pair;
    if (now)
        soma_pairs_copy(out, now, rest, count);
    return next;
}

/** The index of a key in a chain; the chain's count if it is not there. Where equality is not the program's own, a chain is a key's. */
static inline uint32_t soma_pairs_index(const struct soma_pairs *table, struct soma_pairs_chain *chain, const void *key)
{
    uint32_t index = 0;
    while (chain && table->kind == SOMA_PAIRS_CUSTOM && index < chain->count &&
           !table->equal(soma_pairs_of(chain)[index].key, key))
        index++;
    return index;
}

/* ---- Slots ---- */

static inline uint64_t soma_pairs_double_word(const void *key)
{
    double number;
    uint64_t word;
    memcpy(&number, key, sizeof number);
    if (number == 0)
        number = 0; /* -0.0 is 0.0 */
    memcpy(&word, &number, sizeof word);
    return word;
}

static inline struct soma_pairs_slot soma_pairs_slot_of(const struct soma_pairs *table, const void *key)
{
    struct soma_pairs_slot slot = {0, NULL, 0};
    uint32_t narrow;
    __asm__("" : "+r"(key)); /* or compilers warn of the cases that the key, seen in the caller, is too short for */
    switch (table->kind) {
    case SOMA_PAIRS_ADDRESS:
        slot.word = (uintptr_t)key;
        break;
    case SOMA_PAIRS_INT:
        memcpy(&narrow, key, sizeof narrow);
        slot.word = narrow;
        break;
    case SOMA_PAIRS_INT64:
        memcpy(&slot.word, key, sizeof slot.word);
        break;
    case SOMA_PAIRS_DOUBLE:
        slot.word = soma_pairs_double_word(key);
        break;
    case SOMA_PAIRS_STRING:
        slot.bytes = key;
        slot.len = strlen((const char *)key);
        break;
    case SOMA_PAIRS_CUSTOM:
        slot.word = table->hash(key);
        break;
    }
    return slot;
}

/** A table whose map has been given back is empty, and takes nothing in. */
static inline bool soma_pairs_has_map(const struct soma_pairs *table)
{
    return table->words || table->strings;
}

/** The chain in a slot, or NULL; inside a section. */
static inline struct soma_pairs_chain *soma_pairs_slot_get(const struct soma_pairs *table,
                                                           const struct soma_pairs_slot *slot)
{
    if (table->strings) {
        struct soma_bytes bytes;
        return soma_map_get_ref(table->strings, slot->bytes, slot->len, &bytes) == SOMA_OK
                   ? soma_pairs_chain_in(bytes.data)
                   : NULL;
    }
    uint64_t word = 0;
    if (!table->words) /* see soma_pairs_close() */
        return NULL;
    return soma_u64_get(table->words, slot->word, &word) == SOMA_OK ? (struct soma_pairs_chain *)(uintptr_t)word : NULL;
}

static inline enum soma_status soma_pairs_swap_word(struct soma_pairs *table, uint64_t key, uint64_t now, uint64_t next,
                                                    uint64_t *found)
{
    if (!now)
        return soma_u64_put_new(table->words, key, next, found);
    if (!next)
        return soma_u64_remove_if(table->words, key, now, found);
    return soma_u64_cas(table->words, key, now, next, found);
}

static inline enum soma_status soma_pairs_swap_bytes(struct soma_pairs *table, const struct soma_pairs_slot *slot,
                                                     uint64_t now, uint64_t next, uint64_t *found)
{
    struct soma_bytes bytes = {NULL, 0};
    enum soma_status status;
    if (!now)
        status = soma_map_put_new(table->strings, slot->bytes, slot->len, &next, sizeof next, &bytes);
    else if (!next)
        status = soma_map_remove_if(table->strings, slot->bytes, slot->len, &now, sizeof now, &bytes);
    else
        status = soma_map_cas(table->strings, slot->bytes, slot->len, &now, sizeof now, &next, sizeof next, &bytes);
    if (bytes.data)
        memcpy(found, bytes.data, sizeof *found);
    return status;
}

/**
 * soma_pairs_swap() - put one chain in the place of another; NULL is none. Inside a section, the one in which *@now was read.
 * @now: in: what must be there; out on SOMA_CHANGED: what is there.
 *
 * Return: SOMA_OK · SOMA_CHANGED · SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID.
 */
static inline enum soma_status soma_pairs_swap(struct soma_pairs *table, const struct soma_pairs_slot *slot,
                                               struct soma_pairs_chain **now, struct soma_pairs_chain *next)
{
    uint64_t found = 0;
    if (!soma_pairs_has_map(table))
        return SOMA_E_NOMEM;
    const enum soma_status status =
        table->strings ? soma_pairs_swap_bytes(table, slot, (uintptr_t)*now, (uintptr_t)next, &found)
                       : soma_pairs_swap_word(table, slot->word, (uintptr_t)*now, (uintptr_t)next, &found);
    if (status < 0)
        return status;
    if (status == SOMA_INSERTED || status == SOMA_REPLACED || status == SOMA_REMOVED)
        return SOMA_OK;
    *now = (struct soma_pairs_chain *)(uintptr_t)found; /* none on SOMA_ABSENT */
    return SOMA_CHANGED;
}

/* ---- Lifecycle ---- */

/**
 * soma_pairs_open() - make the map of a table that is filled in otherwise.
 * @reserve:            pairs to make room for at once; 0 = none.
 * @deferred_bytes_max: cap on what waits for readers, as in u64.h, but 0 is no cap.
 *
 * Return: as soma_u64_new().
 */
SOMA_PAIRS_ONCE enum soma_status soma_pairs_open(struct soma_pairs *table, uint64_t reserve,
                                                 uint64_t deferred_bytes_max)
{
    if (table->kind == SOMA_PAIRS_STRING) {
        struct soma_map_options options;
        memset(&options, 0, sizeof options);
        options.reserve = reserve;
        options.deferred_bytes_max = deferred_bytes_max ? deferred_bytes_max : UINT64_MAX;
        options.value_retire = soma_pairs_retire_bytes;
        return soma_map_new(&options, &table->strings);
    }
    struct soma_u64_options options;
    memset(&options, 0, sizeof options);
    options.reserve = reserve;
    options.deferred_bytes_max = deferred_bytes_max ? deferred_bytes_max : UINT64_MAX;
    options.value_retire = soma_pairs_retire_word;
    return soma_u64_new(&options, &table->words);
}

/**
 * soma_pairs_close() - give the map back. No other thread's call on the table may be running or come later.
 *
 * What is in the table is destroyed before this returns, by functions that may use the table: they find it empty, and what they would
 * put in is refused with SOMA_E_NOMEM. What left it earlier is destroyed when its readers are gone, which does not need the table;
 * soma_barrier_wait() makes sure.
 */
static inline void soma_pairs_close(struct soma_pairs *table)
{
    soma_u64 *const words = table->words;
    soma_map *const strings = table->strings;
    table->words = NULL; /* a map that is being freed is not to be looked at */
    table->strings = NULL;
    table->surplus = 0;
    soma_u64_free(words);
    soma_map_free(strings);
}

/**
 * soma_pairs_renew() - the same, but the table has another, empty map from the beginning of the call on, which the functions may fill. Without
 * memory for that it is as after close.
 * @deferred_bytes_max: as for soma_pairs_open().
 */
SOMA_PAIRS_ONCE void soma_pairs_renew(struct soma_pairs *table, uint64_t deferred_bytes_max)
{
    struct soma_pairs old = *table;
    table->words = NULL;
    table->strings = NULL;
    table->surplus = 0;
    (void)soma_pairs_open(table, 0, deferred_bytes_max);
    soma_pairs_close(&old);
}

/* ---- Reading ---- */

/** soma_pairs_get() - look a key up. Return: SOMA_OK, with *@out · SOMA_ABSENT. */
static inline enum soma_status soma_pairs_get(const struct soma_pairs *table, const void *key,
                                              struct soma_pairs_pair *out)
{
    const struct soma_pairs_slot slot = soma_pairs_slot_of(table, key);
    soma_read_enter();
    struct soma_pairs_chain *chain = soma_pairs_slot_get(table, &slot);
    const uint32_t index = soma_pairs_index(table, chain, key);
    const bool found = chain && index < chain->count;
    if (found)
        *out = soma_pairs_of(chain)[index];
    soma_read_exit();
    return found ? SOMA_OK : SOMA_ABSENT;
}

/** soma_pairs_count() - how many pairs there are; exact when no update is in flight. */
static inline uint64_t soma_pairs_count(const struct soma_pairs *table)
{
    if (!soma_pairs_has_map(table))
        return 0;
    const uint64_t chains =
        table->strings ? soma_map_count_approx(table->strings) : soma_u64_count_approx(table->words);
    /* A pair that has gone may be taken off before the update that put it in has counted it. */
    const int64_t count = (int64_t)chains + __atomic_load_n(&table->surplus, __ATOMIC_RELAXED);
    return count > 0 ? (uint64_t)count : 0;
}

/* ---- Writing ---- */

/** An update has put next in the place of old: says what goes with old, and counts. */
static inline void soma_pairs_swapped(struct soma_pairs *table, struct soma_pairs_chain *old,
                                      const struct soma_pairs_chain *next, int32_t gone, unsigned drop)
{
    const int64_t before = old ? (int64_t)old->count - 1 : 0;
    const int64_t after = next ? (int64_t)next->count - 1 : 0;
    if (before != after)
        __atomic_fetch_add(&table->surplus, after - before, __ATOMIC_RELAXED);
    if (!old)
        return;
    old->gone = gone;
    if (!(drop & SOMA_PAIRS_DROP_KEY))
        old->key_destroy = NULL;
    if (!(drop & SOMA_PAIRS_DROP_VALUE))
        old->value_destroy = NULL;
}

/**
 * soma_pairs_attempt() - one try of an update: SOMA_OK, SOMA_CHANGED with what is there in *@now, or an error.
 * @index: where in *@now the pair is that is replaced or removed; its count if there is none.
 * @pair:  what to store; NULL to remove.
 */
SOMA_PAIRS_ONCE enum soma_status soma_pairs_attempt(struct soma_pairs *table, const struct soma_pairs_slot *slot,
                                                    struct soma_pairs_chain **now, uint32_t index,
                                                    const struct soma_pairs_pair *pair, unsigned drop)
{
    struct soma_pairs_chain *const old = *now;
    struct soma_pairs_chain *next = NULL;
    if (pair || old->count > 1) {
        next = soma_pairs_chain_next(table, old, index, pair);
        if (!next)
            return SOMA_E_NOMEM;
    }
    const enum soma_status status = soma_pairs_swap(table, slot, now, next);
    if (status == SOMA_OK)
        soma_pairs_swapped(table, old, next, old && index < old->count ? (int32_t)index : SOMA_PAIRS_NONE_GOES, drop);
    else
        free(next);
    return status;
}

/**
 * soma_pairs_edit() - atomic read-modify-write of a key's pair.
 * @key:    the key that is looked for; the one to be stored is in the pair that @decide gives.
 * @decide: see soma_pairs_decide_fn.
 * @old:    out on SOMA_REPLACED and SOMA_REMOVED: the pair that was there. May be NULL.
 *
 * Return: SOMA_INSERTED or SOMA_REPLACED if @decide said SOMA_OK · SOMA_REMOVED, or SOMA_ABSENT, if it said SOMA_REMOVED · what
 *   else it said · SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID.
 */
SOMA_PAIRS_ONCE enum soma_status soma_pairs_edit(struct soma_pairs *table, const void *key, soma_pairs_decide_fn decide,
                                                 void *ctx, struct soma_pairs_pair *old)
{
    const struct soma_pairs_slot slot = soma_pairs_slot_of(table, key);
    struct soma_pairs_pair before = {NULL, NULL};
    struct soma_pairs_pair next = {NULL, NULL};
    enum soma_status status;
    soma_read_enter(); /* what is compared by its address is not freed meanwhile */
    struct soma_pairs_chain *now = soma_pairs_slot_get(table, &slot);
    do {
        const uint32_t index = soma_pairs_index(table, now, key);
        const bool present = now && index < now->count;
        unsigned drop = SOMA_PAIRS_DROP_BOTH;
        if (present)
            before = soma_pairs_of(now)[index];
        const enum soma_status answer = decide(present ? &before : NULL, &next, &drop, ctx);
        if (answer == SOMA_REMOVED && !present)
            status = SOMA_ABSENT;
        else if (answer == SOMA_OK || answer == SOMA_REMOVED) {
            status = soma_pairs_attempt(table, &slot, &now, index, answer == SOMA_OK ? &next : NULL, drop);
            if (status == SOMA_CHANGED)
                continue;
            if (status == SOMA_OK)
                status = answer == SOMA_REMOVED ? SOMA_REMOVED : present ? SOMA_REPLACED : SOMA_INSERTED;
        } else {
            status = answer;
        }
        break;
    } while (true);
    soma_read_exit();
    if (old && (status == SOMA_REPLACED || status == SOMA_REMOVED))
        *old = before;
    return status;
}

/* ---- Walking ---- */

/** SOMA_END: there is nothing to go through. */
static inline enum soma_status soma_pairs_cursor_open(const struct soma_pairs *table, soma_cursor **cursor)
{
    if (!soma_pairs_has_map(table))
        return SOMA_END;
    return table->strings ? soma_cursor_open_map(table->strings, cursor) : soma_cursor_open_u64(table->words, cursor);
}

/** The next chain of a cursor, and where it is; a string's bytes are borrowed from the cursor. */
static inline enum soma_status soma_pairs_cursor_next(const struct soma_pairs *table, soma_cursor *cursor,
                                                      struct soma_pairs_slot *slot, struct soma_pairs_chain **chain)
{
    enum soma_status status;
    if (table->strings) {
        struct soma_bytes key;
        struct soma_bytes value;
        status = soma_cursor_next_ref(cursor, &key, &value);
        if (status == SOMA_OK) {
            slot->bytes = key.data;
            slot->len = key.len;
            *chain = soma_pairs_chain_in(value.data);
        }
    } else {
        uint64_t value = 0;
        status = soma_cursor_next_u64(cursor, &slot->word, &value);
        *chain = (struct soma_pairs_chain *)(uintptr_t)value;
    }
    return status;
}

/**
 * soma_pairs_fetch() - the next pairs of a walk. Inside a section, which the pairs are borrowed for.
 * @place: in, out: where the walk is.
 * @out:   room for @room pairs, at least 1.
 * @count: out on SOMA_OK: how many came; at least 1.
 *
 * Over all calls of a walk a key that stays comes once, and none twice, as with a cursor. (Of keys with one and the same custom hash,
 * more than fit into @room, one may come again or be left out if another of them is removed between two calls.)
 * Allocates: a cursor, which is gone when this returns.
 *
 * Return: SOMA_OK · SOMA_END there are no more · SOMA_E_NOMEM no memory for a cursor; *@place as it was.
 */
SOMA_PAIRS_ONCE enum soma_status soma_pairs_fetch(const struct soma_pairs *table, struct soma_pairs_place *place,
                                                  struct soma_pairs_pair *out, size_t room, size_t *count)
{
    soma_cursor *cursor;
    enum soma_status status = soma_pairs_cursor_open(table, &cursor);
    size_t n = 0;
    if (status != SOMA_OK)
        return status;
    soma_cursor_seek(cursor, place->token);
    while (n < room) {
        struct soma_pairs_chain *chain = NULL;
        struct soma_pairs_slot slot = {0, NULL, 0};
        status = soma_pairs_cursor_next(table, cursor, &slot, &chain);
        if (status != SOMA_OK)
            break;
        /* New pairs come in front and those that were given may be removed, so the rest is counted from the end. */
        const bool begun = place->behind != 0 && slot.word == place->word;
        const uint32_t behind = begun && place->behind < chain->count ? place->behind : chain->count;
        const uint32_t fits = room - n < behind ? (uint32_t)(room - n) : behind;
        soma_pairs_copy(out + n, chain, chain->count - behind, chain->count - behind + fits);
        n += fits;
        place->behind = behind - fits;
        place->word = slot.word;
        if (place->behind == 0)
            place->token = soma_cursor_token(cursor);
    }
    soma_cursor_close(cursor);
    *count = n;
    return n > 0 ? SOMA_OK : status;
}

/* ---- Going through whole chains ---- */

/** What a walk does in a slot, inside a section: SOMA_OK to go on, SOMA_END for enough, or an error. */
typedef enum soma_status (*soma_pairs_visit_fn)(struct soma_pairs *table, const struct soma_pairs_slot *slot,
                                                void *ctx);

/**
 * soma_pairs_walk() - visit all slots, each in a section of its own.
 *
 * A key that is there throughout is in a slot that is visited once, one that comes or goes is or is not, none is in two.
 * Allocates: a cursor.
 * Return: SOMA_OK · SOMA_E_NOMEM no memory for the cursor · an error of @visit's, which ends the walk.
 */
SOMA_PAIRS_ONCE enum soma_status soma_pairs_walk(struct soma_pairs *table, soma_pairs_visit_fn visit, void *ctx)
{
    struct soma_pairs_slot slot = {0, NULL, 0};
    struct soma_pairs_chain *chain = NULL; /* may be gone: what counts is what the slot has */
    soma_cursor *cursor;
    enum soma_status status = soma_pairs_cursor_open(table, &cursor);
    if (status != SOMA_OK)
        return status == SOMA_END ? SOMA_OK : status;
    while (status == SOMA_OK) {
        status = soma_pairs_cursor_next(table, cursor, &slot, &chain);
        if (status != SOMA_OK)
            break;
        soma_read_enter();
        status = visit(table, &slot, ctx);
        soma_read_exit();
    }
    soma_cursor_close(cursor);
    return status == SOMA_END ? SOMA_OK : status;
}

/** What a sweep is to do, and what it has done. */
struct soma_pairs_wanted {
    int (*wanted)(void *key, void *value, void *ctx); /**< NULL: all */
    void *ctx;
    unsigned drop;
    uint64_t removed; /**< of those that were asked for */
};

/** Takes a whole chain out, without a look at its keys. */
static inline enum soma_status soma_pairs_take_chain(struct soma_pairs *table, const struct soma_pairs_slot *slot,
                                                     struct soma_pairs_chain *now, struct soma_pairs_wanted *sweep)
{
    while (now) {
        struct soma_pairs_chain *const old = now;
        const enum soma_status status = soma_pairs_swap(table, slot, &now, NULL);
        if (status < 0)
            return status;
        if (status == SOMA_OK) {
            soma_pairs_swapped(table, old, NULL, SOMA_PAIRS_ALL_GO, sweep->drop);
            break;
        }
    }
    return SOMA_OK;
}

/** Takes out the very pair that somebody has decided about, if it is still there; its key may be freed already. */
static inline enum soma_status soma_pairs_take_pair(struct soma_pairs *table, const struct soma_pairs_slot *slot,
                                                    const struct soma_pairs_pair *pair, struct soma_pairs_wanted *sweep)
{
    struct soma_pairs_chain *now = soma_pairs_slot_get(table, slot);
    while (now) {
        uint32_t index = 0;
        while (index < now->count &&
               (soma_pairs_of(now)[index].key != pair->key || soma_pairs_of(now)[index].value != pair->value))
            index++;
        if (index == now->count)
            break;
        const enum soma_status status = soma_pairs_attempt(table, slot, &now, index, NULL, sweep->drop);
        if (status != SOMA_CHANGED) {
            sweep->removed += status == SOMA_OK ? 1u : 0u;
            return status;
        }
    }
    return SOMA_OK;
}

/** One chain of a sweep; inside a section. */
static inline enum soma_status soma_pairs_sweep_slot(struct soma_pairs *table, const struct soma_pairs_slot *slot,
                                                     void *ctx)
{
    struct soma_pairs_wanted *sweep = (struct soma_pairs_wanted *)ctx;
    struct soma_pairs_chain *const chain = soma_pairs_slot_get(table, slot);
    enum soma_status status = SOMA_OK;
    if (!sweep->wanted)
        return soma_pairs_take_chain(table, slot, chain, sweep);
    for (uint32_t i = 0; chain && i < chain->count && status == SOMA_OK; i++) {
        const struct soma_pairs_pair *pair = soma_pairs_of(chain) + i;
        if (sweep->wanted(pair->key, pair->value, sweep->ctx))
            status = soma_pairs_take_pair(table, slot, pair, sweep);
    }
    return status;
}

/**
 * soma_pairs_sweep() - remove all pairs that are wanted, one by one.
 * @sweep: in: what is wanted, asked once for each pair that the walk meets, inside a section; and what is dropped of those. The answer
 *         holds for just that key and value: if either has been replaced meanwhile, the pair stays. out: how many were removed.
 *
 * Does not look at a key that was wanted. Allocates: a cursor; a chain where a pair goes and others stay.
 * Return: SOMA_OK · SOMA_E_NOMEM · SOMA_E_LIMIT: what is removed stays so, the rest remains.
 */
static inline enum soma_status soma_pairs_sweep(struct soma_pairs *table, struct soma_pairs_wanted *sweep)
{
    return soma_pairs_walk(table, soma_pairs_sweep_slot, sweep);
}

#ifdef __cplusplus
}
#endif

#endif
