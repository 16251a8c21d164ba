/* SPDX-License-Identifier: ISC */
/**
 * hsearch.h - hcreate_r(), hsearch_r(), hdestroy_r() and their process-wide twins on a table that threads share without a lock.
 * Header only; ENTRY and ACTION are those of <search.h>.
 *
 *     #define SOMA_COMPAT_HSEARCH_NAMES              // the C library's names mean Soma's from here on
 *     #include <soma/compat/hsearch.h>
 *     static struct hsearch_data table;              // all-zero, as ever
 *     ENTRY item = {"colour", "teal"}, *entry;
 *     hcreate_r(100, &table);
 *     hsearch_r(item, ENTER, &entry, &table);
 *     hdestroy_r(&table);
 *
 * Without SOMA_COMPAT_HSEARCH_NAMES the same calls have soma_ before their names, and stand beside the C library's.
 *
 * What holds for every call below unless its page says otherwise:
 *   Thread:    any thread, beside every other call on the table but create and destroy; no registration.
 *   Effect:    linearizable: it takes place at one instant.  Order: what a thread wrote before it entered an entry is seen by
 *              whoever finds it.
 *   Progress:  as the byte map's: finding is wait-free but for growth, entering is lock-free. malloc is outside this promise.
 *   Borrowed:  entries stay where they are until the table is destroyed, so no read section is needed for them.
 *   Errors:    as the C library's: 0 and errno. They leave the table unchanged.
 *
 * Caveat: other threads have the same entries. `key` must not be changed, `data` only through the calls below.
 *
 * See also: docs/compat/hsearch.md for what differs.
 */
#ifndef SOMA_COMPAT_HSEARCH_H
#define SOMA_COMPAT_HSEARCH_H

#include <errno.h>
#include <search.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <soma/map.h>
#include <soma/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Types ---- */

/** A table. All-zero is one that is not created yet; only the calls below touch it. */
struct soma_hsearch_data {
    soma_map *map; /* a string to the address of an ENTRY */
};

/** The process-wide table: one for all the files of a program that include this. */
SOMA_API extern struct soma_hsearch_data soma_hsearch_shared;
__attribute__((weak)) struct soma_hsearch_data soma_hsearch_shared;

/* ---- Lifecycle ---- */

static inline void soma_hsearch_retire(const void *value, size_t len, void *ctx)
{
    void *entry;
    (void)len;
    (void)ctx;
    memcpy(&entry, value, sizeof entry);
    free(entry);
}

/**
 * soma_hcreate_r() - make a table.
 * @nel:  entries to make room for at once. More are no error: the table grows.
 * @htab: all-zero. No other thread uses it yet.
 *
 * Return: 1; or 0 with errno EINVAL (@htab is NULL), EBUSY (there is a table already) or ENOMEM (no memory, or @nel is beyond what
 *   the machine can hold).
 */
static inline int soma_hcreate_r(size_t nel, struct soma_hsearch_data *htab)
{
    struct soma_map_options options;
    if (!htab || htab->map) {
        errno = htab ? EBUSY : EINVAL;
        return 0;
    }
    memset(&options, 0, sizeof options);
    options.reserve = nel;
    options.value_retire = soma_hsearch_retire;
    if (soma_map_new(&options, &htab->map) != SOMA_OK) {
        errno = ENOMEM;
        return 0;
    }
    return 1;
}

/**
 * soma_hdestroy_r() - give a table and its entries back; keys and data stay the caller's.
 * @htab: no other call on it may be running, no entry may be in use any more. All-zero afterwards. NULL: errno is EINVAL.
 */
static inline void soma_hdestroy_r(struct soma_hsearch_data *htab)
{
    if (!htab) {
        errno = EINVAL;
        return;
    }
    soma_map_free(htab->map);
    htab->map = NULL;
}

/* ---- Entries ---- */

/** The entry of a key, or NULL. */
static inline ENTRY *soma_hsearch_find(const struct soma_hsearch_data *htab, const char *key)
{
    ENTRY *entry = NULL;
    const enum soma_status status = soma_map_get_copy(htab->map, key, strlen(key), &entry, sizeof entry, NULL);
    return status == SOMA_OK ? entry : NULL;
}

/** Enters an entry, unless there is one. Return: the one that is there now; NULL with errno set. */
static inline ENTRY *soma_hsearch_enter(struct soma_hsearch_data *htab, ENTRY item)
{
    ENTRY *entry = (ENTRY *)malloc(sizeof *entry);
    if (!entry) {
        errno = ENOMEM;
        return NULL;
    }
    *entry = item;
    const enum soma_status status = soma_map_put_new(htab->map, item.key, strlen(item.key), &entry, sizeof entry, NULL);
    if (status == SOMA_INSERTED)
        return entry;
    free(entry);
    if (status == SOMA_EXISTS)
        return soma_hsearch_find(htab, item.key); /* it does not go any more */
    errno = status == SOMA_E_INVALID ? EINVAL : ENOMEM;
    return NULL;
}

/**
 * soma_hsearch_r() - find an entry, or enter one if there is none: one atomic step.
 * @item:   its key is what is looked for; with ENTER, key and data of the new entry. The key is not copied and stays where it is.
 * @retval: out; the entry, or NULL. With ENTER, an entry whose key is the very pointer in @item is the one that this call entered:
 *          so of several threads one knows that it was first.
 *
 * Allocates: with ENTER, an entry.
 * Return: 1; or 0 with *@retval NULL and errno ESRCH (FIND: it is not there), ENOMEM (no memory; nothing entered) or EINVAL (no table;
 *   ENTER: the key is longer than SOMA_LEN_MAX).
 */
static inline int soma_hsearch_r(ENTRY item, ACTION action, ENTRY **retval, struct soma_hsearch_data *htab)
{
    *retval = NULL;
    if (!htab || !htab->map) {
        errno = EINVAL;
        return 0;
    }
    *retval = soma_hsearch_find(htab, item.key);
    if (!*retval && action == FIND)
        errno = ESRCH;
    if (!*retval && action == ENTER)
        *retval = soma_hsearch_enter(htab, item);
    return *retval != NULL;
}

/* ---- Data of entries that threads share ---- */

/** soma_hsearch_load() - an entry's data, with what was written before it was stored. */
static inline void *soma_hsearch_load(const ENTRY *entry)
{
    return __atomic_load_n(&entry->data, __ATOMIC_ACQUIRE);
}

/**
 * soma_hsearch_exchange() - store data in an entry. Return: exactly what it replaced, which readers may still be using: free it through
 * soma_retire(), and let them read in a section.
 */
static inline void *soma_hsearch_exchange(ENTRY *entry, void *data)
{
    return __atomic_exchange_n(&entry->data, data, __ATOMIC_ACQ_REL);
}

/**
 * soma_hsearch_cas() - store data in an entry only if what is there is as expected.
 * @actual: out; the data found. May be NULL.
 *
 * Return: SOMA_REPLACED · SOMA_CHANGED.
 */
static inline enum soma_status soma_hsearch_cas(ENTRY *entry, void *expected, void *desired, void **actual)
{
    const bool stored =
        __atomic_compare_exchange_n(&entry->data, &expected, desired, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    if (actual)
        *actual = expected;
    return stored ? SOMA_REPLACED : SOMA_CHANGED;
}

/* ---- The process-wide table ---- */

/** As soma_hcreate_r(), for the process-wide table. */
static inline int soma_hcreate(size_t nel)
{
    return soma_hcreate_r(nel, &soma_hsearch_shared);
}

/** As soma_hsearch_r(), for the process-wide table. Return: the entry, or NULL with errno. */
static inline ENTRY *soma_hsearch(ENTRY item, ACTION action)
{
    ENTRY *entry;
    soma_hsearch_r(item, action, &entry, &soma_hsearch_shared);
    return entry;
}

/** As soma_hdestroy_r(), for the process-wide table. */
static inline void soma_hdestroy(void)
{
    soma_hdestroy_r(&soma_hsearch_shared);
}

#ifdef __cplusplus
}
#endif

#endif

/* ---- The C library's names ---- */

#if defined(SOMA_COMPAT_HSEARCH_NAMES) && !defined(SOMA_COMPAT_HSEARCH_NAMED)
#define SOMA_COMPAT_HSEARCH_NAMED
#define hsearch_data soma_hsearch_data
#define hcreate_r soma_hcreate_r
#define hsearch_r soma_hsearch_r
#define hdestroy_r soma_hdestroy_r
#define hcreate soma_hcreate
#define hsearch soma_hsearch
#define hdestroy soma_hdestroy
#endif
