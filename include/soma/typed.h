/* SPDX-License-Identifier: ISC */
/**
 * typed.h - a map of your own types: define the parameters, include, and use the functions it emits.
 *
 *     #define SOMA_TYPED_NAME ages
 *     #define SOMA_TYPED_KEY uint32_t
 *     #define SOMA_TYPED_VALUE double
 *     #include <soma/typed.h>                  // struct ages, ages_new(), ages_put(), ...
 *     struct ages *map;
 *     if (ages_new(NULL, &map) == SOMA_OK)
 *         ages_put(map, 42, 7.5, NULL);        // INSERTED
 *     ages_free(map);
 *
 * Include it as often as you like, under different names; it takes its parameters back at the end. Two typed maps never
 * mix: each has a struct of its own. Everything emitted is a static inline function over the public headers.
 *
 * Parameters:
 *   SOMA_TYPED_NAME       prefix of all that is emitted, and the name of the struct.
 *   SOMA_TYPED_KEY        type of the keys.
 *   SOMA_TYPED_VALUE      type of the values.
 *   SOMA_TYPED_BYTES      defined: keys and values are types of any fixed size, over map.h, and go in by pointer.
 *                         Not defined: they are types of up to 8 bytes, over u64.h, and go in by value.
 *   SOMA_TYPED_FETCH_ADD  defined: emit NAME_fetch_add() too; values are integers.
 *
 * Statuses, threads, progress and ordering are those of the call of the same name in u64.h or map.h. What differs:
 *   - Out values are copied to the caller in both kinds; nothing is borrowed. With SOMA_TYPED_BYTES a call that was
 *     given an out pointer holds a read section while it copies, so under SOMA_WAIT_AT_LIMIT it answers SOMA_E_LIMIT
 *     where the same call without an out pointer would wait.
 *   - NAME_update() takes a NAME_update_fn, which sees the key and the value in their own types. *value is all zero
 *     bytes if the key is absent.
 *   - NAME_get_with(), not with SOMA_TYPED_BYTES, takes a NAME_with_fn, likewise.
 *   - NAME_take() takes a NAME_take_fn, likewise; with SOMA_TYPED_BYTES that gets pointers to copies, which go when it returns.
 *   - NAME_fetch_add() adds modulo two to the power of the type's bits, and the result is exactly that value: nothing
 *     carries over into what a later cas or get compares.
 *   - NAME_raw() is the map underneath, for calls that the template lacks. Keep the types yourself there.
 *
 * Caveats: keys and expected values are compared by their bytes. Padding inside a struct has any value unless you set
 * it, say with memset() on the whole struct first, and a struct with padding should use SOMA_TYPED_BYTES, since passing
 * it by value may drop the padding. 0.0 and -0.0 are two keys. A pointer as key is its address.
 * In C++ the types must be trivially copyable. To emit a map inside a namespace, include <string.h> and
 * <soma/soma.h> outside of it before.
 *
 * Values that are pointers: value_retire in the options gets the word or the bytes that left the map.
 * NAME_value_of(word), or NAME_value_of(data) with SOMA_TYPED_BYTES, turns them back into the value:
 *
 *     static void item_retire(uint64_t word, void *ctx) { free(items_value_of(word)); }
 *
 * See also: u64.h and map.h for what each call promises, rcu.h for read sections.
 */

/* What every inclusion shares; these stay. */
#ifndef SOMA_TYPED_H
#define SOMA_TYPED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <soma/map.h>
#include <soma/rcu.h>
#include <soma/status.h>
#include <soma/u64.h>

/** How many keys a typed get_many or put_many hands on at once: enough to keep the memory busy, small on the stack. */
#define SOMA_TYPED_CHUNK 64

#ifdef __cplusplus
#define SOMA_TYPED_ASSERT static_assert
#else
#define SOMA_TYPED_ASSERT _Static_assert
#endif

/* Pasted with the underscore, so that no word is a token of its own that somebody's macro could replace. */
#define SOMA_TYPED_PASTE(name, suffix) name##suffix
#define SOMA_TYPED_EXPAND(name, suffix) SOMA_TYPED_PASTE(name, suffix)
#define SOMA_TYPED_FN(suffix) SOMA_TYPED_EXPAND(SOMA_TYPED_NAME, suffix)
#define SOMA_TYPED_K SOMA_TYPED_FN(_key)
#define SOMA_TYPED_V SOMA_TYPED_FN(_value)

#endif

#if !defined(SOMA_TYPED_NAME) || !defined(SOMA_TYPED_KEY) || !defined(SOMA_TYPED_VALUE)
#error "define SOMA_TYPED_NAME, SOMA_TYPED_KEY and SOMA_TYPED_VALUE before including <soma/typed.h>"
#endif

/** A map of these types. Never defined: a pointer to it is all there is. */
struct SOMA_TYPED_NAME;

/** NAME_key, NAME_value - the types under one name each, so that const goes where it belongs even for pointers. */
typedef SOMA_TYPED_KEY SOMA_TYPED_K;
typedef SOMA_TYPED_VALUE SOMA_TYPED_V;

#ifdef __cplusplus
SOMA_TYPED_ASSERT(__is_trivially_copyable(SOMA_TYPED_K), "a key is copied as bytes");
SOMA_TYPED_ASSERT(__is_trivially_copyable(SOMA_TYPED_V), "a value is copied as bytes");
#endif

#ifndef SOMA_TYPED_BYTES

SOMA_TYPED_ASSERT(sizeof(SOMA_TYPED_K) <= 8, "a key of more than 8 bytes needs SOMA_TYPED_BYTES");
SOMA_TYPED_ASSERT(sizeof(SOMA_TYPED_V) <= 8, "a value of more than 8 bytes needs SOMA_TYPED_BYTES");

/* ---- Types ---- */

/** As soma_u64_update_fn, in these types. */
typedef enum soma_status (*SOMA_TYPED_FN(_update_fn))(SOMA_TYPED_K key, bool present, SOMA_TYPED_V *value, void *ctx);

/** As soma_u64_with_fn, in these types. */
typedef void (*SOMA_TYPED_FN(_with_fn))(SOMA_TYPED_K key, SOMA_TYPED_V value, void *ctx);

/** As soma_u64_take_fn, in these types. */
typedef enum soma_status (*SOMA_TYPED_FN(_take_fn))(SOMA_TYPED_K key, SOMA_TYPED_V value, void *ctx);

/** NAME_raw() - the map underneath. */
static inline soma_u64 *SOMA_TYPED_FN(_raw)(struct SOMA_TYPED_NAME *map)
{
    return (soma_u64 *)map;
}

static inline const soma_u64 *SOMA_TYPED_FN(_raw_const)(const struct SOMA_TYPED_NAME *map)
{
    return (const soma_u64 *)map;
}

/** NAME_word_of_key() - the word that stands for a key underneath: its bytes, then zeros. */
static inline uint64_t SOMA_TYPED_FN(_word_of_key)(SOMA_TYPED_K key)
{
    uint64_t word = 0;
    memcpy(&word, &key, sizeof key);
    return word;
}

/** NAME_key_of() - the key that a word stands for. */
static inline SOMA_TYPED_K SOMA_TYPED_FN(_key_of)(uint64_t word)
{
    SOMA_TYPED_K key;
    memcpy(&key, &word, sizeof key);
    return key;
}

/** NAME_word_of() - the word that stands for a value underneath: its bytes, then zeros. */
static inline uint64_t SOMA_TYPED_FN(_word_of)(SOMA_TYPED_V value)
{
    uint64_t word = 0;
    memcpy(&word, &value, sizeof value);
    return word;
}

/** NAME_value_of() - the value that a word stands for; for value_retire. */
static inline SOMA_TYPED_V SOMA_TYPED_FN(_value_of)(uint64_t word)
{
    SOMA_TYPED_V value;
    memcpy(&value, &word, sizeof value);
    return value;
}

/* ---- Lifecycle ---- */

/** NAME_new() - see soma_u64_new(). value_retire gets words; see NAME_value_of(). */
SOMA_NODISCARD static inline enum soma_status SOMA_TYPED_FN(_new)(const struct soma_u64_options *options,
                                                                  struct SOMA_TYPED_NAME **out)
{
    soma_u64 *raw = NULL;
    const enum soma_status status = soma_u64_new(options, out ? &raw : NULL);
    if (status == SOMA_OK)
        *out = (struct SOMA_TYPED_NAME *)raw;
    return status;
}

/** NAME_free() - see soma_u64_free(). */
static inline void SOMA_TYPED_FN(_free)(struct SOMA_TYPED_NAME *map)
{
    soma_u64_free(SOMA_TYPED_FN(_raw)(map));
}

/* ---- Reading ---- */

/** NAME_get() - see soma_u64_get(). */
static inline enum soma_status SOMA_TYPED_FN(_get)(const struct SOMA_TYPED_NAME *map, SOMA_TYPED_K key,
                                                   SOMA_TYPED_V *value)
{
    uint64_t word = 0;
    const enum soma_status status =
        soma_u64_get(SOMA_TYPED_FN(_raw_const)(map), SOMA_TYPED_FN(_word_of_key)(key), &word);
    if (value && status == SOMA_OK)
        *value = SOMA_TYPED_FN(_value_of)(word);
    return status;
}

/* What travels through soma_u64_get_with() as its ctx. */
struct SOMA_TYPED_FN(_with_call) {
    SOMA_TYPED_FN(_with_fn) fn;
    void *ctx;
};

static inline void SOMA_TYPED_FN(_with_step)(uint64_t key, uint64_t word, void *ctx)
{
    const struct SOMA_TYPED_FN(_with_call) *call = (const struct SOMA_TYPED_FN(_with_call) *)ctx;
    call->fn(SOMA_TYPED_FN(_key_of)(key), SOMA_TYPED_FN(_value_of)(word), call->ctx);
}

/** NAME_get_with() - see soma_u64_get_with(). */
static inline enum soma_status SOMA_TYPED_FN(_get_with)(const struct SOMA_TYPED_NAME *map, SOMA_TYPED_K key,
                                                        SOMA_TYPED_FN(_with_fn) fn, void *ctx)
{
    struct SOMA_TYPED_FN(_with_call) call = {fn, ctx};
    return soma_u64_get_with(SOMA_TYPED_FN(_raw_const)(map), SOMA_TYPED_FN(_word_of_key)(key),
                             fn ? SOMA_TYPED_FN(_with_step) : NULL, &call);
}

/** NAME_get_many() - see soma_u64_get_many(). */
static inline size_t SOMA_TYPED_FN(_get_many)(const struct SOMA_TYPED_NAME *map, const SOMA_TYPED_K *keys, size_t n,
                                              SOMA_TYPED_V *values, bool *found)
{
    size_t total = 0;
    if (!map || !keys)
        return 0;
    for (size_t from = 0; from < n; from += SOMA_TYPED_CHUNK) {
        const size_t some = n - from < SOMA_TYPED_CHUNK ? n - from : SOMA_TYPED_CHUNK;
        uint64_t key_words[SOMA_TYPED_CHUNK];
        uint64_t words[SOMA_TYPED_CHUNK];
        bool hits[SOMA_TYPED_CHUNK];
        for (size_t i = 0; i < some; i++)
            key_words[i] = SOMA_TYPED_FN(_word_of_key)(keys[from + i]);
        total += soma_u64_get_many(SOMA_TYPED_FN(_raw_const)(map), key_words, some, words, hits);
        for (size_t i = 0; i < some; i++) {
            if (values && hits[i])
                values[from + i] = SOMA_TYPED_FN(_value_of)(words[i]);
            if (found)
                found[from + i] = hits[i];
        }
    }
    return total;
}

/* ---- Writing ---- */

/** NAME_put() - see soma_u64_put(). */
static inline enum soma_status SOMA_TYPED_FN(_put)(struct SOMA_TYPED_NAME *map, SOMA_TYPED_K key, SOMA_TYPED_V value,
                                                   SOMA_TYPED_V *old)
{
    uint64_t word = 0;
    const enum soma_status status =
        soma_u64_put(SOMA_TYPED_FN(_raw)(map), SOMA_TYPED_FN(_word_of_key)(key), SOMA_TYPED_FN(_word_of)(value), &word);
    if (old && status == SOMA_REPLACED)
        *old = SOMA_TYPED_FN(_value_of)(word);
    return status;
}

/** NAME_put_new() - see soma_u64_put_new(). */
static inline enum soma_status SOMA_TYPED_FN(_put_new)(struct SOMA_TYPED_NAME *map, SOMA_TYPED_K key,
                                                       SOMA_TYPED_V value, SOMA_TYPED_V *present)
{
    uint64_t word = 0;
    const enum soma_status status = soma_u64_put_new(SOMA_TYPED_FN(_raw)(map), SOMA_TYPED_FN(_word_of_key)(key),
                                                     SOMA_TYPED_FN(_word_of)(value), &word);
    if (present && status == SOMA_EXISTS)
        *present = SOMA_TYPED_FN(_value_of)(word);
    return status;
}

/** NAME_replace() - see soma_u64_replace(). */
static inline enum soma_status SOMA_TYPED_FN(_replace)(struct SOMA_TYPED_NAME *map, SOMA_TYPED_K key,
                                                       SOMA_TYPED_V value, SOMA_TYPED_V *old)
{
    uint64_t word = 0;
    const enum soma_status status = soma_u64_replace(SOMA_TYPED_FN(_raw)(map), SOMA_TYPED_FN(_word_of_key)(key),
                                                     SOMA_TYPED_FN(_word_of)(value), &word);
    if (old && status == SOMA_REPLACED)
        *old = SOMA_TYPED_FN(_value_of)(word);
    return status;
}

/** NAME_cas() - see soma_u64_cas(). */
static inline enum soma_status SOMA_TYPED_FN(_cas)(struct SOMA_TYPED_NAME *map, SOMA_TYPED_K key, SOMA_TYPED_V expected,
                                                   SOMA_TYPED_V desired, SOMA_TYPED_V *actual)
{
    uint64_t word = 0;
    const enum soma_status status =
        soma_u64_cas(SOMA_TYPED_FN(_raw)(map), SOMA_TYPED_FN(_word_of_key)(key), SOMA_TYPED_FN(_word_of)(expected),
                     SOMA_TYPED_FN(_word_of)(desired), &word);
    if (actual && (status == SOMA_REPLACED || status == SOMA_CHANGED))
        *actual = SOMA_TYPED_FN(_value_of)(word);
    return status;
}

/** NAME_remove() - see soma_u64_remove(). */
static inline enum soma_status SOMA_TYPED_FN(_remove)(struct SOMA_TYPED_NAME *map, SOMA_TYPED_K key, SOMA_TYPED_V *old)
{
    uint64_t word = 0;
    const enum soma_status status = soma_u64_remove(SOMA_TYPED_FN(_raw)(map), SOMA_TYPED_FN(_word_of_key)(key), &word);
    if (old && status == SOMA_REMOVED)
        *old = SOMA_TYPED_FN(_value_of)(word);
    return status;
}

/** NAME_remove_if() - see soma_u64_remove_if(). */
static inline enum soma_status SOMA_TYPED_FN(_remove_if)(struct SOMA_TYPED_NAME *map, SOMA_TYPED_K key,
                                                         SOMA_TYPED_V expected, SOMA_TYPED_V *actual)
{
    uint64_t word = 0;
    const enum soma_status status = soma_u64_remove_if(SOMA_TYPED_FN(_raw)(map), SOMA_TYPED_FN(_word_of_key)(key),
                                                       SOMA_TYPED_FN(_word_of)(expected), &word);
    if (actual && (status == SOMA_REMOVED || status == SOMA_CHANGED))
        *actual = SOMA_TYPED_FN(_value_of)(word);
    return status;
}

/* What travels through soma_u64_update() as its ctx. */
struct SOMA_TYPED_FN(_update_call) {
    SOMA_TYPED_FN(_update_fn) fn;
    void *ctx;
};

static inline enum soma_status SOMA_TYPED_FN(_update_step)(uint64_t key, bool present, uint64_t *word, void *ctx)
{
    const struct SOMA_TYPED_FN(_update_call) *call = (const struct SOMA_TYPED_FN(_update_call) *)ctx;
    SOMA_TYPED_V value = SOMA_TYPED_FN(_value_of)(*word);
    const enum soma_status answer = call->fn(SOMA_TYPED_FN(_key_of)(key), present, &value, call->ctx);
    *word = SOMA_TYPED_FN(_word_of)(value);
    return answer;
}

/** NAME_update() - see soma_u64_update(). */
static inline enum soma_status SOMA_TYPED_FN(_update)(struct SOMA_TYPED_NAME *map, SOMA_TYPED_K key,
                                                      SOMA_TYPED_FN(_update_fn) fn, void *ctx)
{
    struct SOMA_TYPED_FN(_update_call) call = {fn, ctx};
    return soma_u64_update(SOMA_TYPED_FN(_raw)(map), SOMA_TYPED_FN(_word_of_key)(key),
                           fn ? SOMA_TYPED_FN(_update_step) : NULL, &call);
}

#ifdef SOMA_TYPED_FETCH_ADD

/* What travels through soma_u64_update() when a sum must wrap before 64 bits. */
struct SOMA_TYPED_FN(_sum) {
    uint64_t delta;
    SOMA_TYPED_V old;
};

static inline enum soma_status SOMA_TYPED_FN(_sum_step)(uint64_t key, bool present, uint64_t *word, void *ctx)
{
    struct SOMA_TYPED_FN(_sum) *sum = (struct SOMA_TYPED_FN(_sum) *)ctx;
    (void)key;
    (void)present;
    sum->old = SOMA_TYPED_FN(_value_of)(*word);
    *word = SOMA_TYPED_FN(_word_of)((SOMA_TYPED_V)((uint64_t)sum->old + sum->delta));
    return SOMA_OK;
}

/** NAME_fetch_add() - see soma_u64_fetch_add(); exact in the type's own width. */
static inline enum soma_status SOMA_TYPED_FN(_fetch_add)(struct SOMA_TYPED_NAME *map, SOMA_TYPED_K key,
                                                         SOMA_TYPED_V delta, SOMA_TYPED_V *old)
{
    struct SOMA_TYPED_FN(_sum) sum = {(uint64_t)delta, 0};
    uint64_t word = 0;
    enum soma_status status;
    if (sizeof(SOMA_TYPED_V) == sizeof word) {
        status = soma_u64_fetch_add(SOMA_TYPED_FN(_raw)(map), SOMA_TYPED_FN(_word_of_key)(key), sum.delta, &word);
        sum.old = SOMA_TYPED_FN(_value_of)(word);
    } else {
        status =
            soma_u64_update(SOMA_TYPED_FN(_raw)(map), SOMA_TYPED_FN(_word_of_key)(key), SOMA_TYPED_FN(_sum_step), &sum);
    }
    if (old && (status == SOMA_REPLACED || status == SOMA_INSERTED))
        *old = sum.old;
    return status;
}

#endif

/** NAME_put_many() - see soma_u64_put_many(). */
static inline enum soma_status SOMA_TYPED_FN(_put_many)(struct SOMA_TYPED_NAME *map, const SOMA_TYPED_K *keys,
                                                        const SOMA_TYPED_V *values, size_t n, size_t *done)
{
    enum soma_status status = SOMA_OK;
    size_t total = 0;
    if (!map || (n > 0 && (!keys || !values)))
        return SOMA_E_INVALID;
    while (status == SOMA_OK && total < n) {
        const size_t some = n - total < SOMA_TYPED_CHUNK ? n - total : SOMA_TYPED_CHUNK;
        uint64_t key_words[SOMA_TYPED_CHUNK];
        uint64_t words[SOMA_TYPED_CHUNK];
        size_t stored = 0;
        for (size_t i = 0; i < some; i++) {
            key_words[i] = SOMA_TYPED_FN(_word_of_key)(keys[total + i]);
            words[i] = SOMA_TYPED_FN(_word_of)(values[total + i]);
        }
        status = soma_u64_put_many(SOMA_TYPED_FN(_raw)(map), key_words, words, some, &stored);
        total += stored;
    }
    if (done)
        *done = total;
    return status;
}

/** NAME_remove_many() - see soma_u64_remove_many(). */
static inline enum soma_status SOMA_TYPED_FN(_remove_many)(struct SOMA_TYPED_NAME *map, const SOMA_TYPED_K *keys,
                                                           size_t n, bool *found, size_t *done)
{
    enum soma_status status = SOMA_OK;
    size_t total = 0;
    if (!map || (n > 0 && !keys))
        return SOMA_E_INVALID;
    while (status == SOMA_OK && total < n) {
        const size_t some = n - total < SOMA_TYPED_CHUNK ? n - total : SOMA_TYPED_CHUNK;
        uint64_t key_words[SOMA_TYPED_CHUNK];
        size_t removed = 0;
        for (size_t i = 0; i < some; i++)
            key_words[i] = SOMA_TYPED_FN(_word_of_key)(keys[total + i]);
        status = soma_u64_remove_many(SOMA_TYPED_FN(_raw)(map), key_words, some, NULL, found ? found + total : NULL,
                                      &removed);
        total += removed;
    }
    if (done)
        *done = total;
    return status;
}

/* What travels through soma_u64_take() as its ctx. */
struct SOMA_TYPED_FN(_take_call) {
    SOMA_TYPED_FN(_take_fn) fn;
    void *ctx;
};

static inline enum soma_status SOMA_TYPED_FN(_take_step)(uint64_t key, uint64_t word, void *ctx)
{
    const struct SOMA_TYPED_FN(_take_call) *call = (const struct SOMA_TYPED_FN(_take_call) *)ctx;
    return call->fn(SOMA_TYPED_FN(_key_of)(key), SOMA_TYPED_FN(_value_of)(word), call->ctx);
}

/** NAME_take() - see soma_u64_take(). */
static inline enum soma_status SOMA_TYPED_FN(_take)(struct SOMA_TYPED_NAME *map, uint64_t *place, size_t n,
                                                    SOMA_TYPED_FN(_take_fn) fn, void *ctx, SOMA_TYPED_K *keys,
                                                    SOMA_TYPED_V *values, size_t *taken)
{
    struct SOMA_TYPED_FN(_take_call) call = {fn, ctx};
    const size_t most = keys || values ? SOMA_TYPED_CHUNK : n;
    enum soma_status status;
    size_t total = 0;
    size_t some;
    size_t got;
    if (!map || !place)
        return SOMA_E_INVALID;
    do {
        uint64_t key_words[SOMA_TYPED_CHUNK];
        uint64_t words[SOMA_TYPED_CHUNK];
        some = n - total < most ? n - total : most;
        got = 0;
        status = soma_u64_take(SOMA_TYPED_FN(_raw)(map), place, some, fn ? SOMA_TYPED_FN(_take_step) : NULL, &call,
                               keys ? key_words : NULL, values ? words : NULL, &got);
        for (size_t i = 0; i < got; i++) {
            if (keys)
                keys[total + i] = SOMA_TYPED_FN(_key_of)(key_words[i]);
            if (values)
                values[total + i] = SOMA_TYPED_FN(_value_of)(words[i]);
        }
        total += got;
    } while (status == SOMA_OK && got == some && total < n); /* fewer: fn has ended it */
    if (taken)
        *taken = total;
    return status;
}

/** NAME_clear() - see soma_u64_clear(). */
static inline enum soma_status SOMA_TYPED_FN(_clear)(struct SOMA_TYPED_NAME *map)
{
    return soma_u64_clear(SOMA_TYPED_FN(_raw)(map));
}

/* ---- Size ---- */

/** NAME_count_approx() - see soma_u64_count_approx(). */
static inline uint64_t SOMA_TYPED_FN(_count_approx)(const struct SOMA_TYPED_NAME *map)
{
    return soma_u64_count_approx(SOMA_TYPED_FN(_raw_const)(map));
}

/** NAME_reserve() - see soma_u64_reserve(). */
static inline enum soma_status SOMA_TYPED_FN(_reserve)(struct SOMA_TYPED_NAME *map, uint64_t n)
{
    return soma_u64_reserve(SOMA_TYPED_FN(_raw)(map), n);
}

/** NAME_shrink() - see soma_u64_shrink(). */
static inline enum soma_status SOMA_TYPED_FN(_shrink)(struct SOMA_TYPED_NAME *map)
{
    return soma_u64_shrink(SOMA_TYPED_FN(_raw)(map));
}

#else /* SOMA_TYPED_BYTES */

/* ---- Types ---- */

/** As soma_map_update_fn, in these types. */
typedef enum soma_status (*SOMA_TYPED_FN(_update_fn))(const SOMA_TYPED_K *key, bool present, SOMA_TYPED_V *value,
                                                      void *ctx);

/** As soma_map_take_fn, in these types. */
typedef enum soma_status (*SOMA_TYPED_FN(_take_fn))(const SOMA_TYPED_K *key, const SOMA_TYPED_V *value, void *ctx);

/** NAME_raw() - the map underneath. */
static inline soma_map *SOMA_TYPED_FN(_raw)(struct SOMA_TYPED_NAME *map)
{
    return (soma_map *)map;
}

static inline const soma_map *SOMA_TYPED_FN(_raw_const)(const struct SOMA_TYPED_NAME *map)
{
    return (const soma_map *)map;
}

/** NAME_value_of() - the value whose bytes start at data; for value_retire. */
static inline SOMA_TYPED_V SOMA_TYPED_FN(_value_of)(const void *data)
{
    SOMA_TYPED_V value;
    memcpy(&value, data, sizeof value);
    return value;
}

/* What comes out is borrowed until the section that this opens is closed by NAME_out(). */
static inline struct soma_bytes *SOMA_TYPED_FN(_in)(struct soma_bytes *borrowed, const SOMA_TYPED_V *out)
{
    if (!out)
        return NULL;
    borrowed->data = NULL;
    borrowed->len = 0;
    soma_read_enter();
    return borrowed;
}

static inline void SOMA_TYPED_FN(_out)(const struct soma_bytes *borrowed, SOMA_TYPED_V *out, bool named)
{
    if (!out)
        return;
    if (named)
        memcpy(out, borrowed->data, sizeof *out);
    soma_read_exit();
}

/* ---- Lifecycle ---- */

/** NAME_new() - see soma_map_new(). value_retire gets bytes; see NAME_value_of(). */
SOMA_NODISCARD static inline enum soma_status SOMA_TYPED_FN(_new)(const struct soma_map_options *options,
                                                                  struct SOMA_TYPED_NAME **out)
{
    soma_map *raw = NULL;
    const enum soma_status status = soma_map_new(options, out ? &raw : NULL);
    if (status == SOMA_OK)
        *out = (struct SOMA_TYPED_NAME *)raw;
    return status;
}

/** NAME_free() - see soma_map_free(). */
static inline void SOMA_TYPED_FN(_free)(struct SOMA_TYPED_NAME *map)
{
    soma_map_free(SOMA_TYPED_FN(_raw)(map));
}

/* ---- Reading ---- */

/** NAME_get() - see soma_map_get_copy(). */
static inline enum soma_status SOMA_TYPED_FN(_get)(const struct SOMA_TYPED_NAME *map, const SOMA_TYPED_K *key,
                                                   SOMA_TYPED_V *value)
{
    return soma_map_get_copy(SOMA_TYPED_FN(_raw_const)(map), key, sizeof *key, value, value ? sizeof *value : 0, NULL);
}

/** NAME_get_many() - see soma_map_get_many(). values[i] is written when keys[i] is found. */
static inline size_t SOMA_TYPED_FN(_get_many)(const struct SOMA_TYPED_NAME *map, const SOMA_TYPED_K *keys, size_t n,
                                              SOMA_TYPED_V *values, bool *found)
{
    size_t total = 0;
    if (!map || !keys)
        return 0;
    for (size_t from = 0; from < n; from += SOMA_TYPED_CHUNK) {
        const size_t some = n - from < SOMA_TYPED_CHUNK ? n - from : SOMA_TYPED_CHUNK;
        struct soma_bytes key_bytes[SOMA_TYPED_CHUNK];
        struct soma_bytes bytes[SOMA_TYPED_CHUNK];
        bool hits[SOMA_TYPED_CHUNK];
        for (size_t i = 0; i < some; i++) {
            key_bytes[i].data = &keys[from + i];
            key_bytes[i].len = sizeof keys[0];
        }
        soma_read_enter();
        total += soma_map_get_many(SOMA_TYPED_FN(_raw_const)(map), key_bytes, some, bytes, hits);
        for (size_t i = 0; i < some; i++) {
            if (values && hits[i])
                memcpy(&values[from + i], bytes[i].data, sizeof values[0]);
            if (found)
                found[from + i] = hits[i];
        }
        soma_read_exit();
    }
    return total;
}

/* ---- Writing ---- */

/** NAME_put() - see soma_map_put(). */
static inline enum soma_status SOMA_TYPED_FN(_put)(struct SOMA_TYPED_NAME *map, const SOMA_TYPED_K *key,
                                                   const SOMA_TYPED_V *value, SOMA_TYPED_V *old)
{
    struct soma_bytes bytes;
    const enum soma_status status =
        soma_map_put(SOMA_TYPED_FN(_raw)(map), key, sizeof *key, value, sizeof *value, SOMA_TYPED_FN(_in)(&bytes, old));
    SOMA_TYPED_FN(_out)(&bytes, old, status == SOMA_REPLACED);
    return status;
}

/** NAME_put_new() - see soma_map_put_new(). */
static inline enum soma_status SOMA_TYPED_FN(_put_new)(struct SOMA_TYPED_NAME *map, const SOMA_TYPED_K *key,
                                                       const SOMA_TYPED_V *value, SOMA_TYPED_V *present)
{
    struct soma_bytes bytes;
    const enum soma_status status = soma_map_put_new(SOMA_TYPED_FN(_raw)(map), key, sizeof *key, value, sizeof *value,
                                                     SOMA_TYPED_FN(_in)(&bytes, present));
    SOMA_TYPED_FN(_out)(&bytes, present, status == SOMA_EXISTS);
    return status;
}

/** NAME_replace() - see soma_map_replace(). */
static inline enum soma_status SOMA_TYPED_FN(_replace)(struct SOMA_TYPED_NAME *map, const SOMA_TYPED_K *key,
                                                       const SOMA_TYPED_V *value, SOMA_TYPED_V *old)
{
    struct soma_bytes bytes;
    const enum soma_status status = soma_map_replace(SOMA_TYPED_FN(_raw)(map), key, sizeof *key, value, sizeof *value,
                                                     SOMA_TYPED_FN(_in)(&bytes, old));
    SOMA_TYPED_FN(_out)(&bytes, old, status == SOMA_REPLACED);
    return status;
}

/** NAME_cas() - see soma_map_cas(). */
static inline enum soma_status SOMA_TYPED_FN(_cas)(struct SOMA_TYPED_NAME *map, const SOMA_TYPED_K *key,
                                                   const SOMA_TYPED_V *expected, const SOMA_TYPED_V *desired,
                                                   SOMA_TYPED_V *actual)
{
    struct soma_bytes bytes;
    const enum soma_status status = soma_map_cas(SOMA_TYPED_FN(_raw)(map), key, sizeof *key, expected, sizeof *expected,
                                                 desired, sizeof *desired, SOMA_TYPED_FN(_in)(&bytes, actual));
    SOMA_TYPED_FN(_out)(&bytes, actual, status == SOMA_REPLACED || status == SOMA_CHANGED);
    return status;
}

/** NAME_remove() - see soma_map_remove(). */
static inline enum soma_status SOMA_TYPED_FN(_remove)(struct SOMA_TYPED_NAME *map, const SOMA_TYPED_K *key,
                                                      SOMA_TYPED_V *old)
{
    struct soma_bytes bytes;
    const enum soma_status status =
        soma_map_remove(SOMA_TYPED_FN(_raw)(map), key, sizeof *key, SOMA_TYPED_FN(_in)(&bytes, old));
    SOMA_TYPED_FN(_out)(&bytes, old, status == SOMA_REMOVED);
    return status;
}

/** NAME_remove_if() - see soma_map_remove_if(). */
static inline enum soma_status SOMA_TYPED_FN(_remove_if)(struct SOMA_TYPED_NAME *map, const SOMA_TYPED_K *key,
                                                         const SOMA_TYPED_V *expected, SOMA_TYPED_V *actual)
{
    struct soma_bytes bytes;
    const enum soma_status status = soma_map_remove_if(SOMA_TYPED_FN(_raw)(map), key, sizeof *key, expected,
                                                       sizeof *expected, SOMA_TYPED_FN(_in)(&bytes, actual));
    SOMA_TYPED_FN(_out)(&bytes, actual, status == SOMA_REMOVED || status == SOMA_CHANGED);
    return status;
}

/* What travels through soma_map_update() as its ctx. */
struct SOMA_TYPED_FN(_update_call) {
    SOMA_TYPED_FN(_update_fn) fn;
    void *ctx;
    SOMA_TYPED_V value;
};

static inline enum soma_status SOMA_TYPED_FN(_update_step)(const void *key, size_t key_len, bool present,
                                                           struct soma_bytes *bytes, void *ctx)
{
    struct SOMA_TYPED_FN(_update_call) *call = (struct SOMA_TYPED_FN(_update_call) *)ctx;
    (void)key_len;
    if (present)
        memcpy(&call->value, bytes->data, sizeof call->value);
    else
        memset(&call->value, 0, sizeof call->value);
    bytes->data = &call->value;
    bytes->len = sizeof call->value;
    return call->fn((const SOMA_TYPED_K *)key, present, &call->value, call->ctx);
}

/** NAME_update() - see soma_map_update(). */
static inline enum soma_status SOMA_TYPED_FN(_update)(struct SOMA_TYPED_NAME *map, const SOMA_TYPED_K *key,
                                                      SOMA_TYPED_FN(_update_fn) fn, void *ctx)
{
    struct SOMA_TYPED_FN(_update_call) call;
    call.fn = fn;
    call.ctx = ctx;
    return soma_map_update(SOMA_TYPED_FN(_raw)(map), key, sizeof *key, fn ? SOMA_TYPED_FN(_update_step) : NULL, &call);
}

#ifdef SOMA_TYPED_FETCH_ADD

/* What travels through NAME_update() for a sum. */
struct SOMA_TYPED_FN(_sum) {
    uint64_t delta;
    SOMA_TYPED_V old;
};

static inline enum soma_status SOMA_TYPED_FN(_sum_step)(const SOMA_TYPED_K *key, bool present, SOMA_TYPED_V *value,
                                                        void *ctx)
{
    struct SOMA_TYPED_FN(_sum) *sum = (struct SOMA_TYPED_FN(_sum) *)ctx;
    (void)key;
    (void)present;
    sum->old = *value;
    *value = (SOMA_TYPED_V)((uint64_t)sum->old + sum->delta);
    return SOMA_OK;
}

/** NAME_fetch_add() - see soma_map_fetch_add(); for integers of any width, exact in it. */
static inline enum soma_status SOMA_TYPED_FN(_fetch_add)(struct SOMA_TYPED_NAME *map, const SOMA_TYPED_K *key,
                                                         SOMA_TYPED_V delta, SOMA_TYPED_V *old)
{
    struct SOMA_TYPED_FN(_sum) sum = {(uint64_t)delta, 0};
    const enum soma_status status = SOMA_TYPED_FN(_update)(map, key, SOMA_TYPED_FN(_sum_step), &sum);
    if (old && (status == SOMA_REPLACED || status == SOMA_INSERTED))
        *old = sum.old;
    return status;
}

#endif

/** NAME_put_many() - see soma_map_put_many(). */
static inline enum soma_status SOMA_TYPED_FN(_put_many)(struct SOMA_TYPED_NAME *map, const SOMA_TYPED_K *keys,
                                                        const SOMA_TYPED_V *values, size_t n, size_t *done)
{
    enum soma_status status = SOMA_OK;
    size_t total = 0;
    if (!map || (n > 0 && (!keys || !values)))
        return SOMA_E_INVALID;
    while (status == SOMA_OK && total < n) {
        const size_t some = n - total < SOMA_TYPED_CHUNK ? n - total : SOMA_TYPED_CHUNK;
        struct soma_bytes key_bytes[SOMA_TYPED_CHUNK];
        struct soma_bytes bytes[SOMA_TYPED_CHUNK];
        size_t stored = 0;
        for (size_t i = 0; i < some; i++) {
            key_bytes[i].data = &keys[total + i];
            key_bytes[i].len = sizeof keys[0];
            bytes[i].data = &values[total + i];
            bytes[i].len = sizeof values[0];
        }
        status = soma_map_put_many(SOMA_TYPED_FN(_raw)(map), key_bytes, bytes, some, &stored);
        total += stored;
    }
    if (done)
        *done = total;
    return status;
}

/** NAME_remove_many() - see soma_map_remove_many(). */
static inline enum soma_status SOMA_TYPED_FN(_remove_many)(struct SOMA_TYPED_NAME *map, const SOMA_TYPED_K *keys,
                                                           size_t n, bool *found, size_t *done)
{
    enum soma_status status = SOMA_OK;
    size_t total = 0;
    if (!map || (n > 0 && !keys))
        return SOMA_E_INVALID;
    while (status == SOMA_OK && total < n) {
        const size_t some = n - total < SOMA_TYPED_CHUNK ? n - total : SOMA_TYPED_CHUNK;
        struct soma_bytes key_bytes[SOMA_TYPED_CHUNK];
        size_t removed = 0;
        for (size_t i = 0; i < some; i++) {
            key_bytes[i].data = &keys[total + i];
            key_bytes[i].len = sizeof keys[0];
        }
        status = soma_map_remove_many(SOMA_TYPED_FN(_raw)(map), key_bytes, some, NULL, found ? found + total : NULL,
                                      &removed);
        total += removed;
    }
    if (done)
        *done = total;
    return status;
}

/* What travels through soma_map_take() as its ctx. */
struct SOMA_TYPED_FN(_take_call) {
    SOMA_TYPED_FN(_take_fn) fn;
    void *ctx;
    SOMA_TYPED_K key;
    SOMA_TYPED_V value;
};

static inline enum soma_status SOMA_TYPED_FN(_take_step)(const void *key, size_t key_len, struct soma_bytes value,
                                                         void *ctx)
{
    struct SOMA_TYPED_FN(_take_call) *call = (struct SOMA_TYPED_FN(_take_call) *)ctx;
    (void)key_len;
    memcpy(&call->key, key, sizeof call->key);
    memcpy(&call->value, value.data, sizeof call->value);
    return call->fn(&call->key, &call->value, call->ctx);
}

/** NAME_take() - see soma_map_take(). */
static inline enum soma_status SOMA_TYPED_FN(_take)(struct SOMA_TYPED_NAME *map, uint64_t *place, size_t n,
                                                    SOMA_TYPED_FN(_take_fn) fn, void *ctx, SOMA_TYPED_K *keys,
                                                    SOMA_TYPED_V *values, size_t *taken)
{
    struct SOMA_TYPED_FN(_take_call) call;
    const bool copies = keys || values;
    const size_t most = copies ? SOMA_TYPED_CHUNK : n;
    enum soma_status status;
    size_t total = 0;
    size_t some;
    size_t got;
    if (!map || !place)
        return SOMA_E_INVALID;
    call.fn = fn;
    call.ctx = ctx;
    do {
        struct soma_bytes key_bytes[SOMA_TYPED_CHUNK];
        struct soma_bytes bytes[SOMA_TYPED_CHUNK];
        some = n - total < most ? n - total : most;
        got = 0;
        if (copies)
            soma_read_enter();
        status = soma_map_take(SOMA_TYPED_FN(_raw)(map), place, some, fn ? SOMA_TYPED_FN(_take_step) : NULL, &call,
                               keys ? key_bytes : NULL, values ? bytes : NULL, &got);
        for (size_t i = 0; i < got; i++) {
            if (keys)
                memcpy(&keys[total + i], key_bytes[i].data, sizeof keys[0]);
            if (values)
                memcpy(&values[total + i], bytes[i].data, sizeof values[0]);
        }
        if (copies)
            soma_read_exit();
        total += got;
    } while (status == SOMA_OK && got == some && total < n); /* fewer: fn has ended it */
    if (taken)
        *taken = total;
    return status;
}

/** NAME_clear() - see soma_map_clear(). */
static inline enum soma_status SOMA_TYPED_FN(_clear)(struct SOMA_TYPED_NAME *map)
{
    return soma_map_clear(SOMA_TYPED_FN(_raw)(map));
}

/* ---- Size ---- */

/** NAME_count_approx() - see soma_map_count_approx(). */
static inline uint64_t SOMA_TYPED_FN(_count_approx)(const struct SOMA_TYPED_NAME *map)
{
    return soma_map_count_approx(SOMA_TYPED_FN(_raw_const)(map));
}

/** NAME_reserve() - see soma_map_reserve(). */
static inline enum soma_status SOMA_TYPED_FN(_reserve)(struct SOMA_TYPED_NAME *map, uint64_t n)
{
    return soma_map_reserve(SOMA_TYPED_FN(_raw)(map), n);
}

/** NAME_shrink() - see soma_map_shrink(). */
static inline enum soma_status SOMA_TYPED_FN(_shrink)(struct SOMA_TYPED_NAME *map)
{
    return soma_map_shrink(SOMA_TYPED_FN(_raw)(map));
}

#endif /* SOMA_TYPED_BYTES */

/* The parameters go back, so that the next inclusion starts clean. */
#undef SOMA_TYPED_NAME
#undef SOMA_TYPED_KEY
#undef SOMA_TYPED_VALUE
#undef SOMA_TYPED_BYTES
#undef SOMA_TYPED_FETCH_ADD
