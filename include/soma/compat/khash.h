/* SPDX-License-Identifier: ISC */
/**
 * khash.h - tables in the manner of klib's khash that threads share without a lock. Header only.
 *
 *     #define SOMA_COMPAT_KHASH_NAMES                 // khash's names mean Soma's: in the place of khash.h
 *     #include <soma/compat/khash.h>
 *     KHASH_MAP_INIT_INT(ages, double)
 *     khash_t(ages) *h = kh_init(ages);
 *     int ret;
 *     khiter_t k = kh_put(ages, h, 42, &ret);         // ret: 1 new, 0 there already, -1 no memory
 *     kh_value(h, k) = 7.5;                           // while other threads do not use the key; else:
 *     soma_kh_set(ages, h, 42, 8.5);                  // one atomic step
 *     kh_destroy(ages, h);
 *
 * Without SOMA_COMPAT_KHASH_NAMES the same macros are called SOMA_KHASH_MAP_INIT_INT(), soma_khash_t(), soma_kh_put() and so on, and
 * stand beside khash's.
 *
 * What holds for every call below unless its page says otherwise:
 *   Thread:    any thread, beside every other call on the table but destroy; no registration.
 *   Effect:    linearizable: it takes place at one instant.  Order: what a thread wrote before it stored an entry is seen by whoever
 *              finds it.
 *   Progress:  as the maps underneath: lookups never wait, updates are lock-free. malloc is outside this promise.
 *   Borrowed:  an iterator is the address of an entry. If other threads may delete or replace it, it is looked up and used in one
 *              read section (rcu.h). It cannot be counted up: loops are soma_kh_foreach().
 *   Errors:    leave the table unchanged.
 *
 * Keys and values are plain types, copied by their bytes. Strings as keys are the caller's, and stay while they are in the table.
 *
 * See also: docs/compat/khash.md for what differs, and for what replaces lock, look up, change, unlock.
 */
#ifndef SOMA_COMPAT_KHASH_H
#define SOMA_COMPAT_KHASH_H

#include <soma/compat/pairs.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Types ---- */

/** An iterator: an entry, or NULL. Never defined, so that nobody counts it up. */
typedef struct soma_kh_entry *soma_khiter_t;

/** What the tables of all types share. An entry is the key, the value at its offset, and what aligns them. */
struct soma_kh {
    struct soma_pairs pairs; /* to entries */
    size_t key_size;
    size_t value_offset;
    size_t value_size;
    size_t entry_size;
    int error; /* of a walk */
};

/** A walk over a table. */
struct soma_kh_walk {
    struct soma_pairs_place place;
    size_t at;
    size_t count;
};

/** How many entries of a size a walk copies at once. */
#define SOMA_KH_BATCH 64
#define SOMA_KH_ROOM(size) ((size) > 2048 / SOMA_KH_BATCH ? 1 + 2047 / (size) : SOMA_KH_BATCH)

/** soma_kh_update_fn - as soma_kh_NAME_update_fn, below, by address. */
typedef enum soma_status (*soma_kh_update_fn)(const void *key, bool present, void *value, void *ctx);

/** What an update is asked for; of its fields, those that the update needs. */
struct soma_kh_wish {
    const struct soma_kh *table;
    const void *key;
    const void *value;
    char *made;     /* an entry that is not in the table yet */
    void *expected; /* the entry that must be there */
    void *found;
    soma_kh_update_fn update;
    void *ctx;
};

/* ---- The calls of all types ---- */

/** What the table beneath knows a key by: its address, or the string. */
static inline const void *soma_kh_known(const struct soma_kh *table, const void *key)
{
    const void *string;
    if (table->pairs.kind != SOMA_PAIRS_STRING)
        return key;
    __asm__("" : "+r"(key)); /* or compilers warn of keys that are too short to be a string's address */
    memcpy(&string, key, sizeof string);
    return string;
}

static inline enum soma_status soma_kh_open(struct soma_kh *table, enum soma_pairs_kind kind,
                                            unsigned (*hash)(const void *), int (*equal)(const void *, const void *))
{
    table->pairs.kind = kind;
    table->pairs.hash = hash;
    table->pairs.equal = equal;
    table->pairs.value_destroy = free;
    return soma_pairs_open(&table->pairs, 0, 0);
}

/** The entry to be stored in the place of another, or of none; NULL without memory. It has the key that is there. */
static inline char *soma_kh_make(struct soma_kh_wish *wish, const struct soma_pairs_pair *now)
{
    if (!wish->made)
        wish->made = (char *)calloc(1, wish->table->entry_size);
    if (wish->made)
        memcpy(wish->made, now ? now->value : wish->key, wish->table->key_size);
    return wish->made;
}

static inline enum soma_status soma_kh_store(struct soma_kh_wish *wish, struct soma_pairs_pair *next)
{
    next->key = (void *)(uintptr_t)soma_kh_known(wish->table, wish->made);
    next->value = wish->made;
    return SOMA_OK;
}

static inline enum soma_status soma_kh_wish_set(const struct soma_pairs_pair *now, struct soma_pairs_pair *next,
                                                unsigned *drop, void *ctx)
{
    struct soma_kh_wish *wish = (struct soma_kh_wish *)ctx;
    (void)drop;
    if (!soma_kh_make(wish, now))
        return SOMA_E_NOMEM;
    if (wish->value)
        memcpy(wish->made + wish->table->value_offset, wish->value, wish->table->value_size);
    return soma_kh_store(wish, next);
}

static inline enum soma_status soma_kh_wish_put_new(const struct soma_pairs_pair *now, struct soma_pairs_pair *next,
                                                    unsigned *drop, void *ctx)
{
    if (!now)
        return soma_kh_wish_set(now, next, drop, ctx);
    ((struct soma_kh_wish *)ctx)->found = now->value;
    return SOMA_EXISTS;
}

static inline enum soma_status soma_kh_wish_remove(const struct soma_pairs_pair *now, struct soma_pairs_pair *next,
                                                   unsigned *drop, void *ctx)
{
    struct soma_kh_wish *wish = (struct soma_kh_wish *)ctx;
    (void)next;
    (void)drop;
    wish->found = now ? now->value : NULL;
    return now && (!wish->expected || wish->expected == now->value) ? SOMA_REMOVED : SOMA_ABSENT;
}

static inline enum soma_status soma_kh_wish_update(const struct soma_pairs_pair *now, struct soma_pairs_pair *next,
                                                   unsigned *drop, void *ctx)
{
    struct soma_kh_wish *wish = (struct soma_kh_wish *)ctx;
    const size_t offset = wish->table->value_offset;
    (void)drop;
    if (!soma_kh_make(wish, now))
        return SOMA_E_NOMEM;
    if (now)
        memcpy(wish->made + offset, (const char *)now->value + offset, wish->table->value_size);
    else
        memset(wish->made + offset, 0, wish->table->value_size);
    const enum soma_status answer = wish->update(wish->made, now != NULL, wish->made + offset, wish->ctx);
    if (answer == SOMA_OK)
        return soma_kh_store(wish, next);
    if (answer == SOMA_EXISTS)
        return now ? SOMA_EXISTS : SOMA_ABSENT;
    return answer == SOMA_REMOVED ? SOMA_REMOVED : SOMA_E_INVALID;
}

/** An update; an entry that was made for it and not stored goes again. */
static inline enum soma_status soma_kh_edit(struct soma_kh *table, struct soma_kh_wish *wish,
                                            soma_pairs_decide_fn decide)
{
    const enum soma_status status = soma_pairs_edit(&table->pairs, soma_kh_known(table, wish->key), decide, wish, NULL);
    if (status == SOMA_INSERTED || status == SOMA_REPLACED)
        wish->found = wish->made;
    else
        free(wish->made);
    return status;
}

static inline soma_khiter_t soma_kh_lookup(const struct soma_kh *table, const void *key)
{
    struct soma_pairs_pair pair = {NULL, NULL};
    soma_pairs_get(&table->pairs, soma_kh_known(table, key), &pair);
    return (soma_khiter_t)pair.value;
}

static inline enum soma_status soma_kh_copy_value(const struct soma_kh *table, const void *key, void *value)
{
    soma_read_enter();
    const char *entry = (const char *)soma_kh_lookup(table, key);
    if (entry)
        memcpy(value, entry + table->value_offset, table->value_size);
    soma_read_exit();
    return entry ? SOMA_OK : SOMA_ABSENT;
}

static inline enum soma_status soma_kh_put_entry(struct soma_kh *table, const void *key, const void *value,
                                                 soma_khiter_t *entry)
{
    struct soma_kh_wish wish = {table, key, value, NULL, NULL, NULL, NULL, NULL};
    const enum soma_status status = soma_kh_edit(table, &wish, soma_kh_wish_put_new);
    if (entry)
        *entry = (soma_khiter_t)wish.found;
    return status;
}

static inline soma_khiter_t soma_kh_put_key(struct soma_kh *table, const void *key, int *ret)
{
    soma_khiter_t entry = NULL;
    const enum soma_status status = soma_kh_put_entry(table, key, NULL, &entry);
    *ret = status == SOMA_INSERTED ? 1 : status == SOMA_EXISTS ? 0 : -1;
    return entry;
}

static inline enum soma_status soma_kh_set_value(struct soma_kh *table, const void *key, const void *value)
{
    struct soma_kh_wish wish = {table, key, value, NULL, NULL, NULL, NULL, NULL};
    return soma_kh_edit(table, &wish, soma_kh_wish_set);
}

static inline enum soma_status soma_kh_update_value(struct soma_kh *table, const void *key, soma_kh_update_fn update,
                                                    void *ctx)
{
    struct soma_kh_wish wish = {table, key, NULL, NULL, NULL, NULL, update, ctx};
    return soma_kh_edit(table, &wish, soma_kh_wish_update);
}

static inline enum soma_status soma_kh_remove_key(struct soma_kh *table, const void *key, void *old)
{
    struct soma_kh_wish wish = {table, key, NULL, NULL, NULL, NULL, NULL, NULL};
    soma_read_enter();
    const enum soma_status status = soma_kh_edit(table, &wish, soma_kh_wish_remove);
    if (status == SOMA_REMOVED && old)
        memcpy(old, (const char *)wish.found + table->value_offset, table->value_size);
    soma_read_exit();
    return status;
}

/** Only if it is still that entry. */
static inline enum soma_status soma_kh_remove_entry(struct soma_kh *table, soma_khiter_t entry)
{
    struct soma_kh_wish wish = {table, entry, NULL, NULL, entry, NULL, NULL, NULL};
    return entry ? soma_kh_edit(table, &wish, soma_kh_wish_remove) : SOMA_ABSENT;
}

static inline bool soma_kh_holds(const struct soma_kh *table, soma_khiter_t entry)
{
    return entry && soma_kh_lookup(table, entry) == entry;
}

static inline enum soma_status soma_kh_remove_all(struct soma_kh *table)
{
    struct soma_pairs_wanted wanted = {NULL, NULL, SOMA_PAIRS_DROP_BOTH, 0};
    return soma_pairs_sweep(&table->pairs, &wanted);
}

static inline int soma_kh_reserve(struct soma_kh *table, uint64_t n)
{
    if (n == 0)
        return 0;
    const enum soma_status status =
        table->pairs.strings ? soma_map_reserve(table->pairs.strings, n) : soma_u64_reserve(table->pairs.words, n);
    return status == SOMA_OK ? 0 : -1;
}

/** Goes to the next entry of a walk: a copy, entries[walk->at]. */
static inline bool soma_kh_next(struct soma_kh *table, struct soma_kh_walk *walk, void *entries, size_t room)
{
    struct soma_pairs_pair pairs[SOMA_KH_BATCH];
    if (++walk->at < walk->count)
        return true;
    walk->at = walk->count = 0;
    soma_read_enter();
    const enum soma_status status = soma_pairs_fetch(&table->pairs, &walk->place, pairs, room, &walk->count);
    for (size_t i = 0; i < walk->count; i++)
        memcpy((char *)entries + i * table->entry_size, pairs[i].value, table->entry_size);
    soma_read_exit();
    if (status < 0)
        __atomic_store_n(&table->error, (int)status, __ATOMIC_RELAXED);
    return status == SOMA_OK;
}

/* ---- Tables of one type each ---- */

#define SOMA_KH_OWN static inline __attribute__((unused))

/**
 * SOMA_KHASH_INIT_OF - what the macros below emit, thin functions on those above.
 * @kind: enum soma_pairs_kind of the keys; @hash and @equal are its.
 */
#define SOMA_KHASH_INIT_OF(name, key_type, value_type, kind, hash, equal)                                              \
    struct soma_kh_##name##_entry {                                                                                    \
        key_type key;                                                                                                  \
        value_type val;                                                                                                \
    };                                                                                                                 \
    typedef struct {                                                                                                   \
        struct soma_kh table;                                                                                          \
        struct soma_kh_##name##_entry *type; /* for the macros that get no name; NULL */                               \
    } soma_kh_##name##_t;                                                                                              \
    typedef enum soma_status (*soma_kh_##name##_update_fn)(const key_type *key, bool present, value_type *value,       \
                                                           void *ctx);                                                 \
    struct soma_kh_##name##_call {                                                                                     \
        soma_kh_##name##_update_fn fn;                                                                                 \
        void *ctx;                                                                                                     \
    };                                                                                                                 \
    SOMA_KH_OWN soma_kh_##name##_t *soma_kh_init_##name(void)                                                          \
    {                                                                                                                  \
        soma_kh_##name##_t *h = (soma_kh_##name##_t *)calloc(1, sizeof *h);                                            \
        if (!h)                                                                                                        \
            return NULL;                                                                                               \
        h->table.key_size = sizeof h->type->key;                                                                       \
        h->table.value_offset = offsetof(struct soma_kh_##name##_entry, val);                                          \
        h->table.value_size = sizeof h->type->val;                                                                     \
        h->table.entry_size = sizeof *h->type;                                                                         \
        if (soma_kh_open(&h->table, kind, hash, equal) == SOMA_OK)                                                     \
            return h;                                                                                                  \
        free(h);                                                                                                       \
        return NULL;                                                                                                   \
    }                                                                                                                  \
    SOMA_KH_OWN void soma_kh_destroy_##name(soma_kh_##name##_t *h)                                                     \
    {                                                                                                                  \
        if (h)                                                                                                         \
            soma_pairs_close(&h->table.pairs);                                                                         \
        free(h);                                                                                                       \
    }                                                                                                                  \
    SOMA_KH_OWN soma_khiter_t soma_kh_put_##name(soma_kh_##name##_t *h, key_type key, int *ret)                        \
    {                                                                                                                  \
        return soma_kh_put_key(&h->table, &key, ret);                                                                  \
    }                                                                                                                  \
    SOMA_KH_OWN enum soma_status soma_kh_put_new_##name(soma_kh_##name##_t *h, key_type key, value_type value,         \
                                                        soma_khiter_t *entry)                                          \
    {                                                                                                                  \
        return soma_kh_put_entry(&h->table, &key, &value, entry);                                                      \
    }                                                                                                                  \
    SOMA_KH_OWN enum soma_status soma_kh_set_##name(soma_kh_##name##_t *h, key_type key, value_type value)             \
    {                                                                                                                  \
        return soma_kh_set_value(&h->table, &key, &value);                                                             \
    }                                                                                                                  \
    SOMA_KH_OWN enum soma_status soma_kh_call_##name(const void *key, bool present, void *value, void *ctx)            \
    {                                                                                                                  \
        const struct soma_kh_##name##_call *call = (const struct soma_kh_##name##_call *)ctx;                          \
        return call->fn((const key_type *)key, present, (value_type *)value, call->ctx);                               \
    }                                                                                                                  \
    SOMA_KH_OWN enum soma_status soma_kh_update_##name(soma_kh_##name##_t *h, key_type key,                            \
                                                       soma_kh_##name##_update_fn fn, void *ctx)                       \
    {                                                                                                                  \
        struct soma_kh_##name##_call call = {fn, ctx};                                                                 \
        return soma_kh_update_value(&h->table, &key, soma_kh_call_##name, &call);                                      \
    }                                                                                                                  \
    SOMA_KH_OWN soma_khiter_t soma_kh_get_##name(const soma_kh_##name##_t *h, key_type key)                            \
    {                                                                                                                  \
        return soma_kh_lookup(&h->table, &key);                                                                        \
    }                                                                                                                  \
    SOMA_KH_OWN enum soma_status soma_kh_copy_##name(const soma_kh_##name##_t *h, key_type key, value_type *value)     \
    {                                                                                                                  \
        return soma_kh_copy_value(&h->table, &key, value);                                                             \
    }                                                                                                                  \
    SOMA_KH_OWN enum soma_status soma_kh_remove_##name(soma_kh_##name##_t *h, key_type key, value_type *old)           \
    {                                                                                                                  \
        return soma_kh_remove_key(&h->table, &key, old);                                                               \
    }

/**
 * SOMA_KHASH_INIT() - a table type with the program's own hash and equality, as KHASH_INIT().
 * @name:  of the type: soma_khash_t(name).
 * @is_map: not looked at; a set's values are there and all-zero.
 * @hash_func, @hash_equal: of keys by value. Of the hash, 32 bits count; equal keys have equal hashes.
 */
#define SOMA_KHASH_INIT(name, key_type, value_type, is_map, hash_func, hash_equal)                                     \
    SOMA_KH_OWN unsigned soma_kh_hash_##name(const void *key)                                                          \
    {                                                                                                                  \
        return (unsigned)(hash_func(*(const key_type *)key));                                                          \
    }                                                                                                                  \
    SOMA_KH_OWN int soma_kh_equal_##name(const void *stored, const void *key)                                          \
    {                                                                                                                  \
        return (hash_equal(*(const key_type *)stored, *(const key_type *)key)) != 0;                                   \
    }                                                                                                                  \
    SOMA_KHASH_INIT_OF(name, key_type, value_type, SOMA_PAIRS_CUSTOM, soma_kh_hash_##name, soma_kh_equal_##name)

/** As KHASH_MAP_INIT_INT() and its like: maps and sets of 32-bit words, 64-bit words, and strings. */
#define SOMA_KHASH_MAP_INIT_INT(name, value_type)                                                                      \
    SOMA_KHASH_INIT_OF(name, uint32_t, value_type, SOMA_PAIRS_INT, NULL, NULL)
#define SOMA_KHASH_MAP_INIT_INT64(name, value_type)                                                                    \
    SOMA_KHASH_INIT_OF(name, uint64_t, value_type, SOMA_PAIRS_INT64, NULL, NULL)
#define SOMA_KHASH_MAP_INIT_STR(name, value_type)                                                                      \
    SOMA_KHASH_INIT_OF(name, soma_kh_cstr_t, value_type, SOMA_PAIRS_STRING, NULL, NULL)
#define SOMA_KHASH_SET_INIT_INT(name) SOMA_KHASH_MAP_INIT_INT(name, char)
#define SOMA_KHASH_SET_INIT_INT64(name) SOMA_KHASH_MAP_INIT_INT64(name, char)
#define SOMA_KHASH_SET_INIT_STR(name) SOMA_KHASH_MAP_INIT_STR(name, char)

typedef const char *soma_kh_cstr_t;

/** Hashes and equalities for SOMA_KHASH_INIT(), as khash's of these names. */
static inline uint32_t soma_kh_str_hash_func(const char *string)
{
    uint32_t hash = 0;
    while (*string)
        hash = hash * 31 + (uint32_t)(unsigned char)*string++;
    return hash;
}
#define soma_kh_str_hash_equal(a, b) (strcmp(a, b) == 0)
#define soma_kh_int_hash_func(key) ((uint32_t)(key))
#define soma_kh_int_hash_equal(a, b) ((a) == (b))
#define soma_kh_int64_hash_func(key) ((uint32_t)((key) ^ (key) >> 32))
#define soma_kh_int64_hash_equal(a, b) ((a) == (b))

/* ---- Lifecycle ---- */

#define soma_khash_t(name) soma_kh_##name##_t

/** soma_kh_init() - an empty table; NULL without memory. */
#define soma_kh_init(name) soma_kh_init_##name()

/** soma_kh_destroy() - give a table back. No other call on it may be running, no iterator in use. NULL does nothing. */
#define soma_kh_destroy(name, h) soma_kh_destroy_##name(h)

/** soma_kh_resize() - make room for n entries. Return: 0, or -1 if it is beyond what the machine can hold. Tables grow by themselves. */
#define soma_kh_resize(name, h, n) soma_kh_reserve(&(h)->table, n)

/* ---- Reading ---- */

/** soma_kh_get() - an iterator to a key, or soma_kh_end(). */
#define soma_kh_get(name, h, key) soma_kh_get_##name(h, key)

/** soma_kh_copy() - copy a key's value out; needs no read section. Return: SOMA_OK · SOMA_ABSENT. */
#define soma_kh_copy(name, h, key, value) soma_kh_copy_##name(h, key, value)

/** soma_kh_end() - the iterator to nothing. */
#define soma_kh_end(h) ((void)(h), (soma_khiter_t)NULL)

/**
 * soma_kh_exist() - whether an iterator's entry is in the table still. Looks at the entry and its key: if that may be deleted meanwhile, inside
 * the section that it was looked up in.
 */
#define soma_kh_exist(h, x) soma_kh_holds(&(h)->table, x)

/**
 * soma_kh_key(), soma_kh_value() - an iterator's key and value, which may be assigned to: a value while no other thread uses the key;
 * a string's key, to equal bytes, likewise.
 */
#define soma_kh_key(h, x) (((__typeof__((h)->type))(void *)(x))->key)
#define soma_kh_value(h, x) (((__typeof__((h)->type))(void *)(x))->val)
#define soma_kh_val(h, x) soma_kh_value(h, x)

/** soma_kh_size() - how many entries; exact when no update is in flight. */
#define soma_kh_size(h) soma_pairs_count(&(h)->table.pairs)

/* ---- Writing ---- */

/**
 * soma_kh_put() - find a key, or enter it with an all-zero value, as kh_put().
 * @ret: out; 1 entered, 0 it was there, -1 no memory; nothing changed. (2 does not occur.)
 *
 * Return: an iterator; soma_kh_end() with -1.
 */
#define soma_kh_put(name, h, key, ret) soma_kh_put_##name(h, key, ret)

/**
 * soma_kh_put_new() - enter a key with its value, unless it is there.
 * @entry: out; an iterator to what is there now. May be NULL.
 *
 * Return: SOMA_INSERTED · SOMA_EXISTS · SOMA_E_NOMEM · SOMA_E_INVALID.
 */
#define soma_kh_put_new(name, h, key, value, entry) soma_kh_put_new_##name(h, key, value, entry)

/** soma_kh_set() - store a value; a key that is there stays. Return: SOMA_INSERTED · SOMA_REPLACED · SOMA_E_NOMEM · SOMA_E_INVALID. */
#define soma_kh_set(name, h, key, value) soma_kh_set_##name(h, key, value)

/**
 * soma_kh_update() - atomic read-modify-write through a function.
 * @fn: a soma_kh_NAME_update_fn: (const key *, bool present, value *, void *ctx), which sees the value, or all zeros, and answers SOMA_OK
 *      to store what it has made of it, SOMA_REMOVED to remove the key, SOMA_EXISTS to leave all as it is. It may run again with a
 *      fresh value, so it has no effect of its own.
 *
 * Return: SOMA_INSERTED · SOMA_REPLACED · SOMA_REMOVED · SOMA_EXISTS · SOMA_ABSENT, as soma_u64_update() · SOMA_E_NOMEM ·
 *   SOMA_E_INVALID.
 */
#define soma_kh_update(name, h, key, fn, ctx) soma_kh_update_##name(h, key, fn, ctx)

/**
 * soma_kh_del() - take an iterator's entry out, if it is there still; soma_kh_end() does nothing. Looks at its key, which khash does not: a
 * string of the program's own is freed behind this call.
 *
 * Return: SOMA_REMOVED · SOMA_ABSENT · SOMA_E_NOMEM.
 */
#define soma_kh_del(name, h, x) soma_kh_remove_entry(&(h)->table, x)

/** soma_kh_remove() - take a key out. @old: out; a copy of the value. May be NULL. Return: as soma_kh_del(). */
#define soma_kh_remove(name, h, key, old) soma_kh_remove_##name(h, key, old)

/** soma_kh_clear() - take all keys out, one by one. Return: SOMA_OK · SOMA_E_NOMEM: some remain. */
#define soma_kh_clear(name, h) soma_kh_remove_all(&(h)->table)

/* ---- Walking ---- */

/**
 * soma_kh_foreach() - code for every entry, with copies of its key and value; break, continue and return do what they do in a loop.
 *
 * A key that is there throughout comes once, whatever changes meanwhile, also by the code; one that comes or goes comes or does not. No
 * read section is needed, but for what the copies point to. Allocates a cursor; without memory for it the loop ends early, and
 * soma_kh_error() says so.
 */
#define soma_kh_foreach(h, key_variable, value_variable, ...)                                                          \
    SOMA_KH_LOOP(h, (key_variable) = soma_kh_entries[soma_kh_walk.at].key;                                             \
                 (value_variable) = soma_kh_entries[soma_kh_walk.at].val; __VA_ARGS__)

/** soma_kh_foreach_key(), soma_kh_foreach_value() - the same with one of the two. */
#define soma_kh_foreach_key(h, key_variable, ...)                                                                      \
    SOMA_KH_LOOP(h, (key_variable) = soma_kh_entries[soma_kh_walk.at].key; __VA_ARGS__)
#define soma_kh_foreach_value(h, value_variable, ...)                                                                  \
    SOMA_KH_LOOP(h, (value_variable) = soma_kh_entries[soma_kh_walk.at].val; __VA_ARGS__)

#define SOMA_KH_LOOP(h, ...)                                                                                           \
    do {                                                                                                               \
        struct soma_kh_walk soma_kh_walk = {{0, 0, 0}, 0, 0};                                                          \
        __typeof__(*(h)->type) soma_kh_entries[SOMA_KH_ROOM(sizeof *(h)->type)];                                       \
        while (soma_kh_next(&(h)->table, &soma_kh_walk, soma_kh_entries, SOMA_KH_ROOM(sizeof *(h)->type))) {           \
            __VA_ARGS__;                                                                                               \
        }                                                                                                              \
    } while (0)

/** soma_kh_error() - the last error that ended a loop early since this was asked before; SOMA_OK if none. */
#define soma_kh_error(h) ((enum soma_status)__atomic_exchange_n(&(h)->table.error, 0, __ATOMIC_RELAXED))

#ifdef __cplusplus
}
#endif

#endif

/* ---- khash's names ---- */

#if defined(SOMA_COMPAT_KHASH_NAMES) && !defined(SOMA_COMPAT_KHASH_NAMED)
#define SOMA_COMPAT_KHASH_NAMED
#define KHASH_INIT SOMA_KHASH_INIT
#define KHASH_MAP_INIT_INT SOMA_KHASH_MAP_INIT_INT
#define KHASH_MAP_INIT_INT64 SOMA_KHASH_MAP_INIT_INT64
#define KHASH_MAP_INIT_STR SOMA_KHASH_MAP_INIT_STR
#define KHASH_SET_INIT_INT SOMA_KHASH_SET_INIT_INT
#define KHASH_SET_INIT_INT64 SOMA_KHASH_SET_INIT_INT64
#define KHASH_SET_INIT_STR SOMA_KHASH_SET_INIT_STR
#define khash_t soma_khash_t
#define khint32_t uint32_t
#define khint64_t uint64_t
#define khiter_t soma_khiter_t
#define kh_cstr_t soma_kh_cstr_t
#define kh_str_hash_func soma_kh_str_hash_func
#define kh_str_hash_equal soma_kh_str_hash_equal
#define kh_int_hash_func soma_kh_int_hash_func
#define kh_int_hash_equal soma_kh_int_hash_equal
#define kh_int64_hash_func soma_kh_int64_hash_func
#define kh_int64_hash_equal soma_kh_int64_hash_equal
#define kh_init soma_kh_init
#define kh_destroy soma_kh_destroy
#define kh_clear soma_kh_clear
#define kh_resize soma_kh_resize
#define kh_put soma_kh_put
#define kh_get soma_kh_get
#define kh_del soma_kh_del
#define kh_exist soma_kh_exist
#define kh_end soma_kh_end
#define kh_key soma_kh_key
#define kh_val soma_kh_val
#define kh_value soma_kh_value
#define kh_size soma_kh_size
#define kh_foreach soma_kh_foreach
#define kh_foreach_value soma_kh_foreach_value
#endif
