/* SPDX-License-Identifier: ISC */
/**
 * uthash.h - tables in the manner of uthash that threads share without a lock, over Soma's maps.
 *
 *     struct user { int id; char name[16]; soma_hash_handle hh; };
 *     struct user *users = NULL;                               // the table's handle, not an element
 *     struct user *u = new_user(7), *present;
 *     SOMA_HASH_ADD_NEW(hh, users, id, sizeof u->id, u, present);  // present == NULL: u is in
 *     soma_read_enter();
 *     SOMA_HASH_FIND_INT(users, &id, u);                       // u stays whole until soma_read_exit()
 *     soma_read_exit();
 *     SOMA_HASH_DEL(users, u);
 *     SOMA_HASH_RETIRE(free, u);                               // not free(u): somebody may be reading it
 *     SOMA_HASH_CLEAR(hh, users);
 *
 * With SOMA_COMPAT_UTHASH_NAMES defined before the inclusion, everything has uthash's own name as well (HASH_FIND, UT_hash_handle),
 * and a later inclusion of <uthash.h> does nothing. docs/compat/uthash.md has the table of calls and all that differs.
 *
 * What holds for every macro below unless its page says otherwise:
 *   Elements:  the program's, as with uthash: each has a soma_hash_handle, and its key must not change while it is in. The table
 *              holds its address and a copy of the key.
 *   Handle:    `head` is a variable of type pointer to element, NULL at first, which the first add sets and SOMA_HASH_CLEAR() takes
 *              back. What it holds is no address of an element: reading through it faults at once. It is accessed atomically.
 *   Keys:      compared as bytes. Of 1 to 8 bytes they live in word maps, others in a byte map, so a table may mix lengths.
 *   Thread:    any thread, beside every other macro on the same table, also SOMA_HASH_CLEAR().
 *   Effect:    linearizable, one operation of Soma's each, but for walks.
 *   Progress:  lookups are wait-free but for growth, updates lock-free.
 *   Lifetime:  an element that was found may be freed by who removes it. So find and use it in one read section (rcu.h), and
 *              give removed ones to SOMA_HASH_RETIRE() in place of free().
 *   Failure:   SOMA_UTHASH_FAILED(element, status) is called; the table is as it was.
 *
 * Needs GNU C: __typeof__, the cleanup attribute and the atomic builtins of gcc and clang. Arguments are evaluated more than
 * once, as in uthash.
 */
#ifndef SOMA_COMPAT_UTHASH_H
#define SOMA_COMPAT_UTHASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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

/* ---- Types ---- */

struct soma_uthash_table;

/** What an element carries. Only these fields; there is no next and no prev, since the table keeps no order. */
typedef struct soma_hash_handle {
    struct soma_uthash_table *tbl; /**< NULL after an add that failed; not for dereferencing */
    const void *key;               /**< where the key is */
    unsigned keylen;               /**< bytes */
} soma_hash_handle;

/* ---- Failure ---- */

/** Says what failed and ends the program with exit(-1), as uthash does. */
static inline void soma_uthash_fatal(const char *text)
{
    fprintf(stderr, "soma/compat/uthash.h: %s\n", text);
    exit(-1);
}

/**
 * SOMA_UTHASH_FAILED - called when a macro without a way to answer could not do its work. Define it before the inclusion to go on
 * instead; the macro then leaves the table as it was, and after an add `element->hh.tbl` is NULL.
 * @element: the element, or a NULL of its type where there is none (SOMA_HASH_TAKE, SOMA_HASH_ITER, SOMA_HASH_SORTED,
 *           SOMA_HASH_CLEAR).
 * @status:  SOMA_E_NOMEM · SOMA_EXISTS: SOMA_HASH_ADD of a key that is there · SOMA_ABSENT or SOMA_CHANGED: SOMA_HASH_DEL of an
 *           element that is not in, or whose key belongs to another.
 *
 * If it is not defined, it is uthash_fatal(), with uthash's names and that defined, else soma_uthash_fatal(). With uthash's names and
 * HASH_NONFATAL_OOM, an add that gets no memory, and nothing else, calls uthash_nonfatal_oom() in its place, as with uthash: what
 * such a handler does, say free the element, is wrong for whatever else can fail.
 */
#ifndef SOMA_UTHASH_FAILED
#if defined(SOMA_COMPAT_UTHASH_NAMES) && defined(uthash_fatal)
#define SOMA_UTHASH_FAILED(element, status) uthash_fatal(soma_status_text(status))
#else
#define SOMA_UTHASH_FAILED(element, status) soma_uthash_fatal(soma_status_text(status))
#endif
#if defined(SOMA_COMPAT_UTHASH_NAMES) && defined(HASH_NONFATAL_OOM) && HASH_NONFATAL_OOM
#ifndef uthash_nonfatal_oom
#define uthash_nonfatal_oom(element) ((void)0)
#endif
#define SOMA_UTHASH_ADD_FAILED(element, status)                                                                        \
    do {                                                                                                               \
        if ((status) == SOMA_E_NOMEM) {                                                                                \
            uthash_nonfatal_oom(element);                                                                              \
        } else {                                                                                                       \
            SOMA_UTHASH_FAILED(element, status);                                                                       \
        }                                                                                                              \
    } while (0)
#endif
#endif
#ifndef SOMA_UTHASH_ADD_FAILED
#define SOMA_UTHASH_ADD_FAILED(element, status) SOMA_UTHASH_FAILED(element, status)
#endif

/* ---- What follows up to the macros is not for callers ---- */

/* Keys of 1 to 7 bytes are words with the length in their last byte, keys of 8 bytes are words, and all others are bytes. Each
 * kind has a map of its own, made when its first key comes. */
enum {
    SOMA_UTHASH_SHORT,
    SOMA_UTHASH_EIGHT,
    SOMA_UTHASH_WORDS
};

struct soma_uthash_table {
    soma_u64 *words[SOMA_UTHASH_WORDS];
    soma_map *bytes;
};

/* Removed elements wait for their readers without a cap in any program that frees them by soma_retire(); the table's own share is
 * smaller, and a macro has no answer for a cap. */
#define SOMA_UTHASH_DEFERRED_MAX (UINT64_C(1) << 62)

/* A key, and the map that it belongs in: words if not NULL, else bytes; neither if the map is not there. */
struct soma_uthash_place {
    soma_u64 *words;
    soma_map *bytes;
    uint64_t word;
    const void *key;
    size_t len;
};

/* The handle's value is the address negated: aligned, never NULL, and in the half of the address space that no program has. */
static inline void *soma_uthash_hide(const struct soma_uthash_table *table)
{
    return (void *)(0 - (uintptr_t)table);
}

static inline struct soma_uthash_table *soma_uthash_show(const void *handle)
{
    return (struct soma_uthash_table *)(0 - (uintptr_t)handle);
}

static inline struct soma_uthash_table *soma_uthash_new(void)
{
    return (struct soma_uthash_table *)calloc(1, sizeof(struct soma_uthash_table));
}

static inline void soma_uthash_free(void *arg)
{
    struct soma_uthash_table *table = (struct soma_uthash_table *)arg;
    for (int kind = 0; kind < SOMA_UTHASH_WORDS; kind++)
        soma_u64_free(table->words[kind]);
    soma_map_free(table->bytes);
    free(table);
}

/* Acquire, so that who sees a map sees it set up: pairs with the release of the swaps in the two functions below. */
static inline soma_u64 *soma_uthash_words(struct soma_uthash_table *table, int kind)
{
    return __atomic_load_n(&table->words[kind], __ATOMIC_ACQUIRE);
}

static inline soma_map *soma_uthash_bytes(struct soma_uthash_table *table)
{
    return __atomic_load_n(&table->bytes, __ATOMIC_ACQUIRE);
}

static inline soma_u64 *soma_uthash_words_made(struct soma_uthash_table *table, int kind)
{
    soma_u64 *there = soma_uthash_words(table, kind), *fresh;
    struct soma_u64_options options;
    if (there)
        return there;
    memset(&options, 0, sizeof options);
    options.deferred_bytes_max = SOMA_UTHASH_DEFERRED_MAX;
    if (soma_u64_new(&options, &fresh) != SOMA_OK)
        return NULL;
    if (__atomic_compare_exchange_n(&table->words[kind], &there, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return fresh;
    soma_u64_free(fresh);
    return there;
}

static inline soma_map *soma_uthash_bytes_made(struct soma_uthash_table *table)
{
    soma_map *there = soma_uthash_bytes(table), *fresh;
    struct soma_map_options options;
    if (there)
        return there;
    memset(&options, 0, sizeof options);
    options.deferred_bytes_max = SOMA_UTHASH_DEFERRED_MAX;
    if (soma_map_new(&options, &fresh) != SOMA_OK)
        return NULL;
    if (__atomic_compare_exchange_n(&table->bytes, &there, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return fresh;
    soma_map_free(fresh);
    return there;
}

static inline uint64_t soma_uthash_word(const void *key, size_t len)
{
    unsigned char bytes[8] = {0};
    uint64_t word;
    memcpy(bytes, key, len);
    if (len < sizeof bytes)
        bytes[7] = (unsigned char)len;
    memcpy(&word, bytes, sizeof word);
    return word;
}

/* With `make`, the map is made if need be; it may still be NULL, for want of memory. */
static inline struct soma_uthash_place soma_uthash_place_of(struct soma_uthash_table *table, const void *key,
                                                            size_t len, bool make)
{
    struct soma_uthash_place place = {NULL, NULL, 0, key, len};
    const int kind = len == sizeof place.word ? SOMA_UTHASH_EIGHT : SOMA_UTHASH_SHORT;
    if (len == 0 || len > sizeof place.word) {
        place.bytes = make ? soma_uthash_bytes_made(table) : soma_uthash_bytes(table);
        return place;
    }
    place.words = make ? soma_uthash_words_made(table, kind) : soma_uthash_words(table, kind);
    place.word = soma_uthash_word(key, len);
    return place;
}

static inline uint64_t soma_uthash_value(const void *element)
{
    return (uint64_t)(uintptr_t)element;
}

static inline void *soma_uthash_element(uint64_t value)
{
    return (void *)(uintptr_t)value;
}

/* A value that the byte map has handed out; inside a section. */
static inline void *soma_uthash_borrowed(struct soma_bytes value)
{
    uint64_t word;
    memcpy(&word, value.data, sizeof word);
    return soma_uthash_element(word);
}

/* The functions below run inside a section of the macro's: it keeps the table while somebody clears it. */

static inline void *soma_uthash_find(const void *handle, const void *key, size_t len)
{
    struct soma_uthash_place place;
    uint64_t value;
    struct soma_bytes bytes;
    if (!handle)
        return NULL;
    place = soma_uthash_place_of(soma_uthash_show(handle), key, len, false);
    if (place.words)
        return soma_u64_get(place.words, place.word, &value) == SOMA_OK ? soma_uthash_element(value) : NULL;
    if (place.bytes && soma_map_get_ref(place.bytes, key, len, &bytes) == SOMA_OK)
        return soma_uthash_borrowed(bytes);
    return NULL;
}

/* Makes an element ready to be put under its key. */
static inline struct soma_uthash_place soma_uthash_prepare(struct soma_uthash_table *table, soma_hash_handle *hh,
                                                           const void *key, size_t len)
{
    struct soma_uthash_place place = {NULL, NULL, 0, key, len};
    hh->tbl = table;
    hh->key = key;
    hh->keylen = (unsigned)len;
    if (table)
        place = soma_uthash_place_of(table, key, len, true);
    return place;
}

/* INSERTED, EXISTS with *present, or an error. */
static inline enum soma_status soma_uthash_add(struct soma_uthash_table *table, soma_hash_handle *hh, const void *key,
                                               size_t len, const void *element, void **present)
{
    const struct soma_uthash_place place = soma_uthash_prepare(table, hh, key, len);
    uint64_t value = soma_uthash_value(element);
    enum soma_status status = SOMA_E_NOMEM;
    *present = NULL;
    if (place.words) {
        status = soma_u64_put_new(place.words, place.word, value, &value);
        if (status == SOMA_EXISTS)
            *present = soma_uthash_element(value);
    } else if (place.bytes) {
        struct soma_bytes bytes;
        status = soma_map_put_new(place.bytes, key, len, &value, sizeof value, &bytes);
        if (status == SOMA_EXISTS)
            *present = soma_uthash_borrowed(bytes);
    }
    if (status != SOMA_INSERTED)
        hh->tbl = NULL;
    return status;
}

/* INSERTED, REPLACED with *replaced, or an error. */
static inline enum soma_status soma_uthash_replace(struct soma_uthash_table *table, soma_hash_handle *hh,
                                                   const void *key, size_t len, const void *element, void **replaced)
{
    const struct soma_uthash_place place = soma_uthash_prepare(table, hh, key, len);
    uint64_t value = soma_uthash_value(element);
    enum soma_status status = SOMA_E_NOMEM;
    *replaced = NULL;
    if (place.words) {
        status = soma_u64_put(place.words, place.word, value, &value);
        if (status == SOMA_REPLACED)
            *replaced = soma_uthash_element(value);
    } else if (place.bytes) {
        struct soma_bytes bytes;
        status = soma_map_put(place.bytes, key, len, &value, sizeof value, &bytes);
        if (status == SOMA_REPLACED)
            *replaced = soma_uthash_borrowed(bytes);
    }
    if (status < 0)
        hh->tbl = NULL;
    return status;
}

/* Just this element: REMOVED, ABSENT, CHANGED (the key has another), or an error. */
static inline enum soma_status soma_uthash_del(const void *handle, const soma_hash_handle *hh, const void *element)
{
    struct soma_uthash_place place;
    const uint64_t value = soma_uthash_value(element);
    if (!handle)
        return SOMA_ABSENT;
    place = soma_uthash_place_of(soma_uthash_show(handle), hh->key, hh->keylen, false);
    if (place.words)
        return soma_u64_remove_if(place.words, place.word, value, NULL);
    if (place.bytes)
        return soma_map_remove_if(place.bytes, place.key, place.len, &value, sizeof value, NULL);
    return SOMA_ABSENT;
}

/* Whoever has the key: REMOVED with *element, ABSENT, or an error. */
static inline enum soma_status soma_uthash_take(const void *handle, const void *key, size_t len, void **element)
{
    struct soma_uthash_place place;
    enum soma_status status = SOMA_ABSENT;
    uint64_t value;
    struct soma_bytes bytes;
    *element = NULL;
    if (!handle)
        return SOMA_ABSENT;
    place = soma_uthash_place_of(soma_uthash_show(handle), key, len, false);
    if (place.words) {
        status = soma_u64_remove(place.words, place.word, &value);
        if (status == SOMA_REMOVED)
            *element = soma_uthash_element(value);
    } else if (place.bytes) {
        status = soma_map_remove(place.bytes, key, len, &bytes);
        if (status == SOMA_REMOVED)
            *element = soma_uthash_borrowed(bytes);
    }
    return status;
}

/* Ends the section that SOMA_HASH_CNT() has opened. */
static inline unsigned soma_uthash_count(const void *handle)
{
    uint64_t count = 0;
    if (handle) {
        struct soma_uthash_table *table = soma_uthash_show(handle);
        for (int kind = 0; kind < SOMA_UTHASH_WORDS; kind++)
            count += soma_uthash_words(table, kind) ? soma_u64_count_approx(soma_uthash_words(table, kind)) : 0;
        count += soma_uthash_bytes(table) ? soma_map_count_approx(soma_uthash_bytes(table)) : 0;
    }
    soma_read_exit();
    return (unsigned)count;
}

/* A table that no handle leads to any more: freed when those who have read the handle before are done. */
static inline enum soma_status soma_uthash_clear(const void *handle)
{
    return handle ? soma_retire(soma_uthash_free, soma_uthash_show(handle)) : SOMA_OK;
}

/* ---- Walks ---- */

/* A walk goes through the maps of a table, one after the other, inside a section of its own. */
struct soma_uthash_walk {
    struct soma_uthash_table *table;
    soma_cursor *cursor; /* over the map of `kind`; NULL: none was opened there yet */
    int kind;            /* SOMA_UTHASH_WORDS stands for the byte map, what is more for the end */
    enum soma_status status;
};

/* Ends with soma_uthash_walk_end(), inside the section that the macro opens. */
static inline struct soma_uthash_walk soma_uthash_walk_begin(const void *handle)
{
    struct soma_uthash_walk walk = {NULL, NULL, 0, SOMA_OK};
    if (handle)
        walk.table = soma_uthash_show(handle);
    return walk;
}

static inline void soma_uthash_walk_end(struct soma_uthash_walk *walk)
{
    soma_cursor_close(walk->cursor);
    soma_read_exit();
}

/* OK with a cursor, END if the map was never made, or an error. */
static inline enum soma_status soma_uthash_walk_open(struct soma_uthash_walk *walk)
{
    soma_map *bytes;
    if (walk->kind < SOMA_UTHASH_WORDS) {
        soma_u64 *words = soma_uthash_words(walk->table, walk->kind);
        return words ? soma_cursor_open_u64(words, &walk->cursor) : SOMA_END;
    }
    bytes = soma_uthash_bytes(walk->table);
    return bytes ? soma_cursor_open_map(bytes, &walk->cursor) : SOMA_END;
}

/* The element that has the cursor's next key now: a cursor's values may be older than the body's last removal. NULL if the
 * key has gone. */
static inline enum soma_status soma_uthash_walk_step(struct soma_uthash_walk *walk, void **element)
{
    uint64_t word, value;
    struct soma_bytes key, bytes;
    enum soma_status status;
    *element = NULL;
    if (walk->kind < SOMA_UTHASH_WORDS) {
        status = soma_cursor_next_u64(walk->cursor, &word, NULL);
        if (status == SOMA_OK && soma_u64_get(soma_uthash_words(walk->table, walk->kind), word, &value) == SOMA_OK)
            *element = soma_uthash_element(value);
        return status;
    }
    status = soma_cursor_next_ref(walk->cursor, &key, NULL);
    if (status == SOMA_OK && soma_map_get_ref(soma_uthash_bytes(walk->table), key.data, key.len, &bytes) == SOMA_OK)
        *element = soma_uthash_borrowed(bytes);
    return status;
}

/* The next element, or NULL at the end and, with walk->status < 0, on failure. */
static inline void *soma_uthash_walk_next(struct soma_uthash_walk *walk)
{
    void *element = NULL;
    while (!element && walk->table && walk->kind <= SOMA_UTHASH_WORDS) {
        walk->status = walk->cursor ? SOMA_OK : soma_uthash_walk_open(walk);
        if (walk->status == SOMA_OK)
            walk->status = soma_uthash_walk_step(walk, &element);
        if (walk->status < 0)
            return NULL;
        if (walk->status == SOMA_END) {
            soma_cursor_close(walk->cursor);
            walk->cursor = NULL;
            walk->kind++;
        }
    }
    walk->status = SOMA_OK;
    return element;
}

/* All elements in an array from malloc(). Opens and closes the walk. */
static inline enum soma_status soma_uthash_gather(const void *handle, void ***array, size_t *count)
{
    struct soma_uthash_walk walk = soma_uthash_walk_begin(handle);
    void **elements = NULL, *element;
    size_t room = 0, n = 0;
    while ((element = soma_uthash_walk_next(&walk)) != NULL) {
        if (n == room) {
            void **larger;
            room = room ? 2 * room : 64;
            larger = (void **)realloc((void *)elements, room * sizeof *elements);
            if (!larger) {
                walk.status = SOMA_E_NOMEM;
                break;
            }
            elements = larger;
        }
        elements[n++] = element;
    }
    if (walk.status < 0) {
        free((void *)elements);
        elements = NULL;
        n = 0;
    }
    soma_uthash_walk_end(&walk);
    *array = elements;
    *count = n;
    return walk.status;
}

#define SOMA_UTHASH_PASTE_(name, line) name##line
#define SOMA_UTHASH_PASTE(name, line) SOMA_UTHASH_PASTE_(name, line)

/* Acquire: pairs with the release of the swap in SOMA_UTHASH_TABLE() that published the table. */
#define SOMA_UTHASH_LOAD(head) __atomic_load_n(&(head), __ATOMIC_ACQUIRE)

/* Does not compile, or not without a warning, if `other` is no element of head's type, or it has no handle `hh`. */
#define SOMA_UTHASH_TYPES(hh, head, other) ((void)sizeof((head) == (other)), (void)sizeof((head)->hh.tbl))

/* The table behind `head`, made if there is none: NULL for want of memory. Inside a section. */
#define SOMA_UTHASH_TABLE(head, table)                                                                                 \
    do {                                                                                                               \
        __typeof__(head) soma_found_ = SOMA_UTHASH_LOAD(head);                                                         \
        (table) = soma_found_ ? soma_uthash_show(soma_found_) : soma_uthash_new();                                     \
        if (!soma_found_ && (table) &&                                                                                 \
            !__atomic_compare_exchange_n(&(head), &soma_found_, (__typeof__(head))soma_uthash_hide(table), false,      \
                                         __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {                                        \
            soma_uthash_free(table);                                                                                   \
            (table) = soma_uthash_show(soma_found_);                                                                   \
        }                                                                                                              \
    } while (0)

/* One of the two calls above that put an element; `other` is set to whom it met, `status` to the answer. */
#define SOMA_UTHASH_PUT(call, hh, head, keyptr, keylen_in, add, other, status)                                         \
    do {                                                                                                               \
        struct soma_uthash_table *soma_table_;                                                                         \
        void *soma_other_;                                                                                             \
        SOMA_UTHASH_TYPES(hh, head, add);                                                                              \
        soma_read_enter();                                                                                             \
        SOMA_UTHASH_TABLE(head, soma_table_);                                                                          \
        (status) = call(soma_table_, &(add)->hh, (keyptr), (size_t)(keylen_in), (add), &soma_other_);                  \
        (other) = (__typeof__(other))soma_other_;                                                                      \
        soma_read_exit();                                                                                              \
    } while (0)

/* ---- Finding ---- */

/**
 * SOMA_HASH_FIND() - look a key up.
 * @keyptr, @keylen_in: the key's bytes.
 * @out: set to the element, or to NULL. Of head's type.
 *
 * State: the element may be used in the read section that was open before the call, or for as long as the program knows by other
 * means that nobody frees it.
 */
#define SOMA_HASH_FIND(hh, head, keyptr, keylen_in, out)                                                               \
    do {                                                                                                               \
        SOMA_UTHASH_TYPES(hh, head, out);                                                                              \
        soma_read_enter();                                                                                             \
        (out) = (__typeof__(out))soma_uthash_find(SOMA_UTHASH_LOAD(head), (keyptr), (size_t)(keylen_in));              \
        soma_read_exit();                                                                                              \
    } while (0)

#define SOMA_HASH_FIND_INT(head, findint, out) SOMA_HASH_FIND(hh, head, findint, sizeof(int), out)
#define SOMA_HASH_FIND_PTR(head, findptr, out) SOMA_HASH_FIND(hh, head, findptr, sizeof(void *), out)
#define SOMA_HASH_FIND_STR(head, findstr, out) SOMA_HASH_FIND(hh, head, findstr, strlen(findstr), out)

/** SOMA_HASH_COUNT(), SOMA_HASH_CNT() - how many elements there are; as soma_u64_count_approx(), so exact when no update is in flight. */
#define SOMA_HASH_CNT(hh, head)                                                                                        \
    ((void)sizeof((head)->hh.tbl), soma_read_enter(), soma_uthash_count(SOMA_UTHASH_LOAD(head)))
#define SOMA_HASH_COUNT(head) SOMA_HASH_CNT(hh, head)

/* ---- Adding ---- */

/**
 * SOMA_HASH_ADD_KEYPTR_NEW(), SOMA_HASH_ADD_NEW() - add an element if nobody has its key: find, and add if absent, in one step.
 * @add:     the element; still the caller's alone if it was not added.
 * @present: set to NULL if @add is in now (or if it failed, when add->hh.tbl is NULL), else to who has the key. Of head's type.
 *
 * SOMA_HASH_ADD_NEW() takes the key from a field of @add, SOMA_HASH_ADD_KEYPTR_NEW() from elsewhere.
 */
#define SOMA_HASH_ADD_KEYPTR_NEW(hh, head, keyptr, keylen_in, add, present)                                            \
    do {                                                                                                               \
        enum soma_status soma_status_;                                                                                 \
        SOMA_UTHASH_TYPES(hh, head, present);                                                                          \
        SOMA_UTHASH_PUT(soma_uthash_add, hh, head, keyptr, keylen_in, add, present, soma_status_);                     \
        if (soma_status_ < 0) {                                                                                        \
            SOMA_UTHASH_ADD_FAILED((add), soma_status_);                                                               \
        }                                                                                                              \
    } while (0)
#define SOMA_HASH_ADD_NEW(hh, head, fieldname, keylen_in, add, present)                                                \
    SOMA_HASH_ADD_KEYPTR_NEW(hh, head, &((add)->fieldname), keylen_in, add, present)

/**
 * SOMA_HASH_ADD_KEYPTR(), SOMA_HASH_ADD() and the three short ones - add an element whose key nobody has.
 *
 * A key that is there is a failure, SOMA_EXISTS. Where threads may race for a key, use SOMA_HASH_ADD_NEW().
 */
#define SOMA_HASH_ADD_KEYPTR(hh, head, keyptr, keylen_in, add)                                                         \
    do {                                                                                                               \
        enum soma_status soma_status_;                                                                                 \
        void *soma_present_;                                                                                           \
        SOMA_UTHASH_PUT(soma_uthash_add, hh, head, keyptr, keylen_in, add, soma_present_, soma_status_);               \
        (void)soma_present_;                                                                                           \
        if (soma_status_ != SOMA_INSERTED) {                                                                           \
            SOMA_UTHASH_ADD_FAILED((add), soma_status_);                                                               \
        }                                                                                                              \
    } while (0)
#define SOMA_HASH_ADD(hh, head, fieldname, keylen_in, add)                                                             \
    SOMA_HASH_ADD_KEYPTR(hh, head, &((add)->fieldname), keylen_in, add)
#define SOMA_HASH_ADD_INT(head, intfield, add) SOMA_HASH_ADD(hh, head, intfield, sizeof(int), add)
#define SOMA_HASH_ADD_PTR(head, ptrfield, add) SOMA_HASH_ADD(hh, head, ptrfield, sizeof(void *), add)
#define SOMA_HASH_ADD_STR(head, strfield, add)                                                                         \
    SOMA_HASH_ADD_KEYPTR(hh, head, (add)->strfield, strlen((add)->strfield), add)

/**
 * SOMA_HASH_REPLACE_KEYPTR(), SOMA_HASH_REPLACE() and the three short ones - put an element in its key's place, whoever has it.
 * @replaced: set to the element that went, or to NULL. Of head's type. Nobody else is given it.
 */
#define SOMA_HASH_REPLACE_KEYPTR(hh, head, keyptr, keylen_in, add, replaced)                                           \
    do {                                                                                                               \
        enum soma_status soma_status_;                                                                                 \
        SOMA_UTHASH_TYPES(hh, head, replaced);                                                                         \
        SOMA_UTHASH_PUT(soma_uthash_replace, hh, head, keyptr, keylen_in, add, replaced, soma_status_);                \
        if (soma_status_ < 0) {                                                                                        \
            SOMA_UTHASH_ADD_FAILED((add), soma_status_);                                                               \
        }                                                                                                              \
    } while (0)
#define SOMA_HASH_REPLACE(hh, head, fieldname, keylen_in, add, replaced)                                               \
    SOMA_HASH_REPLACE_KEYPTR(hh, head, &((add)->fieldname), keylen_in, add, replaced)
#define SOMA_HASH_REPLACE_INT(head, intfield, add, replaced)                                                           \
    SOMA_HASH_REPLACE(hh, head, intfield, sizeof(int), add, replaced)
#define SOMA_HASH_REPLACE_PTR(head, ptrfield, add, replaced)                                                           \
    SOMA_HASH_REPLACE(hh, head, ptrfield, sizeof(void *), add, replaced)
#define SOMA_HASH_REPLACE_STR(head, strfield, add, replaced)                                                           \
    SOMA_HASH_REPLACE_KEYPTR(hh, head, (add)->strfield, strlen((add)->strfield), add, replaced)

/* ---- Removing ---- */

/**
 * SOMA_HASH_TRY_DELETE() - remove an element if it is still in: of several threads, one is told.
 * @el:      the element, not to be freed by anybody meanwhile (a read section sees to that).
 * @removed: set to whether this call removed it, and the caller is who gives it to SOMA_HASH_RETIRE().
 */
#define SOMA_HASH_TRY_DELETE(hh, head, el, removed)                                                                    \
    do {                                                                                                               \
        enum soma_status soma_status_;                                                                                 \
        SOMA_UTHASH_TYPES(hh, head, el);                                                                               \
        soma_read_enter();                                                                                             \
        soma_status_ = soma_uthash_del(SOMA_UTHASH_LOAD(head), &(el)->hh, (el));                                       \
        soma_read_exit();                                                                                              \
        (removed) = soma_status_ == SOMA_REMOVED;                                                                      \
        if (soma_status_ < 0) {                                                                                        \
            SOMA_UTHASH_FAILED((el), soma_status_);                                                                    \
        }                                                                                                              \
    } while (0)

/** SOMA_HASH_DELETE(), SOMA_HASH_DEL() - remove an element that is in; that it is not is a failure, SOMA_ABSENT or SOMA_CHANGED. */
#define SOMA_HASH_DELETE(hh, head, delptr)                                                                             \
    do {                                                                                                               \
        enum soma_status soma_status_;                                                                                 \
        SOMA_UTHASH_TYPES(hh, head, delptr);                                                                           \
        soma_read_enter();                                                                                             \
        soma_status_ = soma_uthash_del(SOMA_UTHASH_LOAD(head), &(delptr)->hh, (delptr));                               \
        soma_read_exit();                                                                                              \
        if (soma_status_ != SOMA_REMOVED) {                                                                            \
            SOMA_UTHASH_FAILED((delptr), soma_status_);                                                                \
        }                                                                                                              \
    } while (0)
#define SOMA_HASH_DEL(head, delptr) SOMA_HASH_DELETE(hh, head, delptr)

/**
 * SOMA_HASH_TAKE() - find and remove in one step.
 * @out: set to the element that went, or to NULL. Of head's type. Nobody else is given it.
 */
#define SOMA_HASH_TAKE(hh, head, keyptr, keylen_in, out)                                                               \
    do {                                                                                                               \
        void *soma_taken_;                                                                                             \
        enum soma_status soma_status_;                                                                                 \
        SOMA_UTHASH_TYPES(hh, head, out);                                                                              \
        soma_read_enter();                                                                                             \
        soma_status_ = soma_uthash_take(SOMA_UTHASH_LOAD(head), (keyptr), (size_t)(keylen_in), &soma_taken_);          \
        soma_read_exit();                                                                                              \
        (out) = (__typeof__(out))soma_taken_;                                                                          \
        if (soma_status_ < 0) {                                                                                        \
            SOMA_UTHASH_FAILED((out), soma_status_);                                                                   \
        }                                                                                                              \
    } while (0)

/**
 * SOMA_HASH_RETIRE() - free a removed element when nobody reads it any more: as soma_retire().
 * @fn: void fn(void *), say free.
 * @el: an element that this thread removed or replaced.
 *
 * Failure: SOMA_E_NOMEM: the element is out of the table, and not freed.
 */
#define SOMA_HASH_RETIRE(fn, el)                                                                                       \
    do {                                                                                                               \
        const enum soma_status soma_status_ = soma_retire((fn), (el));                                                 \
        if (soma_status_ < 0) {                                                                                        \
            SOMA_UTHASH_FAILED((el), soma_status_);                                                                    \
        }                                                                                                              \
    } while (0)

/**
 * SOMA_HASH_CLEAR() - forget all elements at one instant, and give the table's own memory back; head is NULL again.
 *
 * The elements are not freed, as in uthash. The memory goes after a grace period; soma_barrier_wait() makes sure.
 * Failure: SOMA_E_NOMEM: the table is empty, but its memory is lost.
 */
#define SOMA_HASH_CLEAR(hh, head)                                                                                      \
    do {                                                                                                               \
        enum soma_status soma_status_;                                                                                 \
        (void)sizeof((head)->hh.tbl);                                                                                  \
        soma_status_ = soma_uthash_clear(__atomic_exchange_n(&(head), (__typeof__(head))NULL, __ATOMIC_ACQ_REL));      \
        if (soma_status_ < 0) {                                                                                        \
            __typeof__(head) soma_none_ = NULL;                                                                        \
            (void)soma_none_;                                                                                          \
            SOMA_UTHASH_FAILED(soma_none_, soma_status_);                                                              \
        }                                                                                                              \
    } while (0)

/* ---- Going through all ---- */

/**
 * SOMA_HASH_ITER() - a loop over all elements, in no order, beside any updates. A statement follows, as after for().
 * @el:  set to each element, and to NULL at the end.
 * @tmp: a second variable of the same type, as uthash wants it; set to NULL.
 *
 * An element that is in from beginning to end comes exactly once; one that comes or goes meanwhile comes or not; none comes after
 * it was removed, but by SOMA_HASH_CLEAR(). The body may remove any element, add others, break and return, but
 * not longjmp() out. The loop holds a read section, body
 * included, so an element given to SOMA_HASH_RETIRE() stays readable.
 * Failure: SOMA_E_NOMEM: the loop ends early.
 */
#define SOMA_HASH_ITER(hh, head, el, tmp) SOMA_UTHASH_LOOP(hh, head, el, tmp, SOMA_UTHASH_PASTE(soma_walk_, __LINE__))
#define SOMA_UTHASH_LOOP(hh, head, el, tmp, walk)                                                                      \
    for (struct soma_uthash_walk walk __attribute__((cleanup(soma_uthash_walk_end))) =                                 \
             (soma_read_enter(), soma_uthash_walk_begin(SOMA_UTHASH_LOAD(head)));                                      \
         SOMA_UTHASH_TYPES(hh, head, el), (tmp) = NULL, (void)(tmp),                                                   \
                                      (el) = (__typeof__(el))soma_uthash_walk_next(&(walk)),                           \
                                      (el) || (walk).status < 0;)                                                      \
        if (!(el)) {                                                                                                   \
            SOMA_UTHASH_FAILED((el), (walk).status);                                                                   \
            break;                                                                                                     \
        } else

/**
 * SOMA_HASH_SORTED() - all elements in an order, in place of HASH_SORT(), since the table has none.
 * @cmpfcn: int cmpfcn(a, b) on two elements; the sort is stable, but on no particular order.
 * @array:  set to an array from malloc() of @count pointers to elements, the caller's; NULL if there are none. A pointer to
 *          head's type.
 * @count:  a size_t.
 *
 * Which elements: as SOMA_HASH_ITER(). Call it in a read section to use them.
 */
#define SOMA_HASH_SORTED(hh, head, cmpfcn, array, count)                                                               \
    do {                                                                                                               \
        void **soma_all_;                                                                                              \
        enum soma_status soma_status_;                                                                                 \
        SOMA_UTHASH_TYPES(hh, head, *(array));                                                                         \
        soma_read_enter();                                                                                             \
        soma_status_ = soma_uthash_gather(SOMA_UTHASH_LOAD(head), &soma_all_, &(count));                               \
        (array) = (__typeof__(array))(void *)soma_all_;                                                                \
        for (size_t soma_each_ = 0; soma_each_ < (count); soma_each_++) {                                              \
            (array)[soma_each_] = (__typeof__(head))soma_all_[soma_each_];                                             \
        }                                                                                                              \
        SOMA_UTHASH_SORT(array, count, cmpfcn, soma_status_);                                                          \
        if (soma_status_ < 0) {                                                                                        \
            __typeof__(head) soma_none_ = NULL;                                                                        \
            free((void *)(array));                                                                                     \
            (array) = NULL;                                                                                            \
            (count) = 0;                                                                                               \
            (void)soma_none_;                                                                                          \
            SOMA_UTHASH_FAILED(soma_none_, soma_status_);                                                              \
        }                                                                                                              \
    } while (0)

/* Merges runs of 1, 2, 4 and more from the array into a second one, and lets the two change places. */
#define SOMA_UTHASH_SORT(array, count, cmpfcn, status)                                                                 \
    do {                                                                                                               \
        const size_t soma_n_ = (count);                                                                                \
        __typeof__(array) soma_from_ = (array), soma_to_ = NULL;                                                       \
        if (soma_n_ > 1 && !(soma_to_ = (__typeof__(array))malloc(soma_n_ * sizeof *soma_to_))) {                      \
            (status) = SOMA_E_NOMEM;                                                                                   \
        }                                                                                                              \
        for (size_t soma_run_ = 1; soma_to_ && soma_run_ < soma_n_; soma_run_ *= 2) {                                  \
            __typeof__(array) soma_swap_ = soma_from_;                                                                 \
            for (size_t soma_at_ = 0; soma_at_ < soma_n_; soma_at_ += 2 * soma_run_) {                                 \
                const size_t soma_mid_ = soma_at_ + soma_run_ < soma_n_ ? soma_at_ + soma_run_ : soma_n_;              \
                const size_t soma_end_ = soma_mid_ + soma_run_ < soma_n_ ? soma_mid_ + soma_run_ : soma_n_;            \
                size_t soma_i_ = soma_at_, soma_j_ = soma_mid_;                                                        \
                for (size_t soma_k_ = soma_at_; soma_k_ < soma_end_; soma_k_++) {                                      \
                    const bool soma_left_ =                                                                            \
                        soma_i_ < soma_mid_ &&                                                                         \
                        (soma_j_ == soma_end_ || cmpfcn(soma_from_[soma_i_], soma_from_[soma_j_]) <= 0);               \
                    soma_to_[soma_k_] = soma_left_ ? soma_from_[soma_i_++] : soma_from_[soma_j_++];                    \
                }                                                                                                      \
            }                                                                                                          \
            soma_from_ = soma_to_;                                                                                     \
            soma_to_ = soma_swap_;                                                                                     \
        }                                                                                                              \
        free((void *)soma_to_);                                                                                        \
        (array) = soma_from_;                                                                                          \
    } while (0)

#ifdef __cplusplus
}
#endif

/* ---- uthash's own names ---- */

#ifdef SOMA_COMPAT_UTHASH_NAMES
#ifdef UTHASH_H
#error "soma/compat/uthash.h with SOMA_COMPAT_UTHASH_NAMES takes the place of uthash.h: include it first, or alone"
#endif
#define UTHASH_H /* so that the original is not read after this */
typedef soma_hash_handle UT_hash_handle;
#define HASH_FIND SOMA_HASH_FIND
#define HASH_FIND_INT SOMA_HASH_FIND_INT
#define HASH_FIND_PTR SOMA_HASH_FIND_PTR
#define HASH_FIND_STR SOMA_HASH_FIND_STR
#define HASH_CNT SOMA_HASH_CNT
#define HASH_COUNT SOMA_HASH_COUNT
#define HASH_ADD_KEYPTR SOMA_HASH_ADD_KEYPTR
#define HASH_ADD SOMA_HASH_ADD
#define HASH_ADD_INT SOMA_HASH_ADD_INT
#define HASH_ADD_PTR SOMA_HASH_ADD_PTR
#define HASH_ADD_STR SOMA_HASH_ADD_STR
#define HASH_REPLACE SOMA_HASH_REPLACE
#define HASH_REPLACE_INT SOMA_HASH_REPLACE_INT
#define HASH_REPLACE_PTR SOMA_HASH_REPLACE_PTR
#define HASH_REPLACE_STR SOMA_HASH_REPLACE_STR
#define HASH_DELETE SOMA_HASH_DELETE
#define HASH_DEL SOMA_HASH_DEL
#define HASH_CLEAR SOMA_HASH_CLEAR
#define HASH_ITER SOMA_HASH_ITER
/* Names of what cannot be had stop the compiler, and say what to use. */
#define HASH_SORT(head, cmpfcn) soma_uthash_has_no_order__use_SOMA_HASH_SORTED
#define HASH_SRT(hh, head, cmpfcn) soma_uthash_has_no_order__use_SOMA_HASH_SORTED
#define HASH_SELECT(hh_dst, dst, hh_src, src, cond) soma_uthash_has_no_select__use_SOMA_HASH_ITER_and_SOMA_HASH_ADD
#endif

#endif
