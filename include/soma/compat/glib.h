/* SPDX-License-Identifier: ISC */
/**
 * glib.h - the calls of GHashTable on a table that threads share without a lock. Header only; needs GLib's headers and libglib.
 *
 *     #define SOMA_COMPAT_GLIB_NAMES                  // GHashTable and g_hash_table_*() mean Soma's from here on
 *     #include <soma/compat/glib.h>                   // after every other header of GLib's
 *     GHashTable *table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
 *     g_hash_table_insert(table, g_strdup("colour"), g_strdup("teal"));
 *     soma_read_enter();
 *     puts((const char *)g_hash_table_lookup(table, "colour"));     // borrowed until soma_read_exit()
 *     soma_read_exit();
 *     g_hash_table_destroy(table);
 *
 * Without SOMA_COMPAT_GLIB_NAMES the same calls have the names soma_g_hash_table_*, and stand beside GLib's.
 *
 * What holds for every call below unless its page says otherwise:
 *   Thread:    any thread, beside every other call on a table that the caller holds a reference to; no registration.
 *   Effect:    linearizable: it takes place at one instant.  Order: what a thread wrote before it stored a pointer is seen by
 *              whoever looks the pointer up.
 *   Progress:  as the maps underneath: lookups never wait, updates are lock-free. malloc is outside this promise.
 *   Borrowed:  a key or value that comes out may be removed and destroyed by another thread. What was looked up inside a
 *              read section (rcu.h) is there until the section ends. Tables without destroy functions need none.
 *   Destroy:   the destroy functions of what leaves the table run once, after every section that was open then, outside every
 *              section, on any thread that uses Soma later. soma_barrier_wait() makes sure that they have.
 *   Errors:    a NULL table is a critical message, as GLib's. A call that gets no memory changes nothing, and what was to go in stays
 *              the caller's: calls of GLib's name report that to the table's error function, which by default ends the program
 *              with a message, as GLib does; calls that answer a status answer it.
 *
 * Which keys are equal is decided by the equality function alone; the hash function is called only if that is not one of GLib's.
 *
 * See also: docs/compat/glib.md for what differs from GLib, and for what replaces lock, look up, change, unlock.
 */
#ifndef SOMA_COMPAT_GLIB_H
#define SOMA_COMPAT_GLIB_H

#include <glib.h>

#include <soma/compat/pairs.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Types ---- */

/** A table. Only the calls below touch it. */
typedef struct soma_g_hash_table soma_g_hash_table;

/**
 * soma_g_hash_table_error_fn - told that a call of GLib's name was refused.
 * @status: SOMA_E_NOMEM, SOMA_E_LIMIT, or SOMA_E_INVALID for a string over SOMA_LEN_MAX.
 * @call:   the call's name, of static storage.
 * @data:   error_data of the options.
 *
 * Runs on the thread whose call it is, before that returns. Nothing has changed; what was to go in is the caller's. A call that works
 * through the table (foreach and the like) has come as far as it has.
 */
typedef void (*soma_g_hash_table_error_fn)(soma_g_hash_table *table, enum soma_status status, const char *call,
                                           gpointer data);

/** Options of soma_g_hash_table_try_new(). All-zero is the default. */
struct soma_g_hash_table_options {
    guint64 reserve;                  /**< entries to make room for at once; 0 = none */
    guint64 deferred_bytes_max;       /**< cap on what waits for readers, as in u64.h, but 0 = none */
    soma_g_hash_table_error_fn error; /**< NULL = g_error(), which ends the program */
    gpointer error_data;
};

struct soma_g_hash_table {
    struct soma_pairs pairs;
    GHashFunc hash;
    GEqualFunc equal;
    struct soma_g_hash_table_options options;
    gint references;
};

/** How many entries a walk takes up at once. */
#define SOMA_G_HASH_TABLE_BATCH 64

/** A walk over a table: the caller's storage, nothing to give back. Only the calls below touch it. */
typedef struct {
    soma_g_hash_table *table;
    struct soma_pairs_place place;
    gsize at;
    gsize count;
    struct soma_pairs_pair pairs[SOMA_G_HASH_TABLE_BATCH];
} soma_g_hash_table_iter;

/**
 * soma_g_hash_table_update_fn - what soma_g_hash_table_update() asks for a new value.
 * @present: whether the key is in the table.
 * @value:   in: the value that is there, or NULL. out: the value to store when the answer is SOMA_OK.
 *
 * It may run several times for one update, each time with what is there then, so it must have no effect of its own. It runs in a read
 * section and may look things up in any table.
 *
 * Return: SOMA_OK to store *value, SOMA_REMOVED to remove the key, SOMA_EXISTS to leave everything as it is.
 */
typedef enum soma_status (*soma_g_hash_table_update_fn)(gconstpointer key, gboolean present, gpointer *value,
                                                        gpointer data);

/* ---- What follows is made of ---- */

/** What an update is asked for; of its fields, those that the update needs. */
struct soma_g_hash_table_wish {
    struct soma_pairs_pair pair;
    gpointer expected;
    gpointer found;
    soma_g_hash_table_update_fn update;
    gpointer data;
    unsigned drop;
};

static inline enum soma_pairs_kind soma_g_hash_table_kind(GEqualFunc equal)
{
    if (!equal || equal == g_direct_equal)
        return SOMA_PAIRS_ADDRESS;
    if (equal == g_int_equal)
        return SOMA_PAIRS_INT;
    if (equal == g_int64_equal)
        return SOMA_PAIRS_INT64;
    if (equal == g_double_equal)
        return SOMA_PAIRS_DOUBLE;
    return equal == g_str_equal ? SOMA_PAIRS_STRING : SOMA_PAIRS_CUSTOM;
}

static inline void soma_g_hash_table_refused(soma_g_hash_table *table, enum soma_status status, const char *call)
{
    if (table && table->options.error)
        table->options.error(table, status, call, table->options.error_data);
    else
        g_error("%s: %s", call, soma_status_text(status));
}

/** The key that is there stays, with a new value. */
static inline enum soma_status soma_g_hash_table_wish_insert(const struct soma_pairs_pair *now,
                                                             struct soma_pairs_pair *next, unsigned *drop, void *ctx)
{
    const struct soma_g_hash_table_wish *wish = (const struct soma_g_hash_table_wish *)ctx;
    *next = wish->pair;
    if (now)
        next->key = now->key;
    *drop = SOMA_PAIRS_DROP_VALUE;
    return SOMA_OK;
}

static inline enum soma_status soma_g_hash_table_wish_replace(const struct soma_pairs_pair *now,
                                                              struct soma_pairs_pair *next, unsigned *drop, void *ctx)
{
    (void)now;
    *next = ((const struct soma_g_hash_table_wish *)ctx)->pair;
    *drop = SOMA_PAIRS_DROP_BOTH;
    return SOMA_OK;
}

static inline enum soma_status soma_g_hash_table_wish_put_new(const struct soma_pairs_pair *now,
                                                              struct soma_pairs_pair *next, unsigned *drop, void *ctx)
{
    struct soma_g_hash_table_wish *wish = (struct soma_g_hash_table_wish *)ctx;
    (void)drop;
    *next = wish->pair;
    if (now)
        wish->found = now->value;
    return now ? SOMA_EXISTS : SOMA_OK;
}

/** Another value for a key that is there. */
static inline enum soma_status soma_g_hash_table_wish_swap(const struct soma_pairs_pair *now,
                                                           struct soma_pairs_pair *next, unsigned *drop, void *ctx)
{
    struct soma_g_hash_table_wish *wish = (struct soma_g_hash_table_wish *)ctx;
    if (!now)
        return SOMA_ABSENT;
    wish->found = now->value;
    next->key = now->key;
    next->value = wish->pair.value;
    *drop = wish->drop;
    return SOMA_OK;
}

static inline enum soma_status soma_g_hash_table_wish_cas(const struct soma_pairs_pair *now,
                                                          struct soma_pairs_pair *next, unsigned *drop, void *ctx)
{
    struct soma_g_hash_table_wish *wish = (struct soma_g_hash_table_wish *)ctx;
    const enum soma_status status = soma_g_hash_table_wish_swap(now, next, drop, ctx);
    return status == SOMA_OK && wish->found != wish->expected ? SOMA_CHANGED : status;
}

static inline enum soma_status soma_g_hash_table_wish_remove(const struct soma_pairs_pair *now,
                                                             struct soma_pairs_pair *next, unsigned *drop, void *ctx)
{
    (void)now;
    (void)next;
    *drop = ((const struct soma_g_hash_table_wish *)ctx)->drop;
    return SOMA_REMOVED;
}

static inline enum soma_status soma_g_hash_table_wish_remove_if(const struct soma_pairs_pair *now,
                                                                struct soma_pairs_pair *next, unsigned *drop, void *ctx)
{
    struct soma_g_hash_table_wish *wish = (struct soma_g_hash_table_wish *)ctx;
    if (!now)
        return SOMA_ABSENT;
    wish->found = now->value;
    return wish->found == wish->expected ? soma_g_hash_table_wish_remove(now, next, drop, ctx) : SOMA_CHANGED;
}

/** Only if it is the very pair that somebody has decided about. */
static inline enum soma_status soma_g_hash_table_wish_remove_pair(const struct soma_pairs_pair *now,
                                                                  struct soma_pairs_pair *next, unsigned *drop,
                                                                  void *ctx)
{
    const struct soma_g_hash_table_wish *wish = (const struct soma_g_hash_table_wish *)ctx;
    const gboolean same = now && now->key == wish->pair.key && now->value == wish->pair.value;
    return same ? soma_g_hash_table_wish_remove(now, next, drop, ctx) : SOMA_CHANGED;
}

static inline enum soma_status soma_g_hash_table_wish_update(const struct soma_pairs_pair *now,
                                                             struct soma_pairs_pair *next, unsigned *drop, void *ctx)
{
    const struct soma_g_hash_table_wish *wish = (const struct soma_g_hash_table_wish *)ctx;
    next->key = now ? now->key : wish->pair.key;
    next->value = now ? now->value : NULL;
    const enum soma_status answer = wish->update(wish->pair.key, now != NULL, &next->value, wish->data);
    if (answer == SOMA_EXISTS)
        return now ? SOMA_EXISTS : SOMA_ABSENT;
    if (answer == SOMA_OK)
        *drop = now && next->value == now->value ? SOMA_PAIRS_DROP_NOTHING : SOMA_PAIRS_DROP_VALUE;
    return answer == SOMA_OK || answer == SOMA_REMOVED ? answer : SOMA_E_INVALID;
}

/* ---- Lifecycle ---- */

/**
 * soma_g_hash_table_try_new() - make an empty table.
 * @hash, @equal, @key_destroy, @value_destroy: as for g_hash_table_new_full(); each may be NULL.
 * @options: NULL for the defaults.
 * @out:     out on SOMA_OK; the table, with one reference, which is the caller's.
 *
 * Return: SOMA_OK · SOMA_E_NOMEM · SOMA_E_INVALID @out is NULL.
 */
static inline enum soma_status soma_g_hash_table_try_new(GHashFunc hash, GEqualFunc equal, GDestroyNotify key_destroy,
                                                         GDestroyNotify value_destroy,
                                                         const struct soma_g_hash_table_options *options,
                                                         soma_g_hash_table **out)
{
    if (!out)
        return SOMA_E_INVALID;
    soma_g_hash_table *table = (soma_g_hash_table *)calloc(1, sizeof *table);
    if (!table)
        return SOMA_E_NOMEM;
    table->hash = hash;
    table->equal = equal;
    table->references = 1;
    table->pairs.kind = soma_g_hash_table_kind(equal);
    table->pairs.hash = hash ? hash : g_direct_hash;
    table->pairs.equal = equal;
    table->pairs.key_destroy = key_destroy;
    table->pairs.value_destroy = value_destroy;
    if (options)
        table->options = *options;
    const enum soma_status status =
        soma_pairs_open(&table->pairs, table->options.reserve, table->options.deferred_bytes_max);
    if (status == SOMA_OK)
        *out = table;
    else
        free(table);
    return status;
}

/** As g_hash_table_new_full(). Return: the table; never NULL: without memory the program ends, as in GLib. */
static inline soma_g_hash_table *soma_g_hash_table_new_full(GHashFunc hash, GEqualFunc equal,
                                                            GDestroyNotify key_destroy, GDestroyNotify value_destroy)
{
    soma_g_hash_table *table = NULL;
    const enum soma_status status = soma_g_hash_table_try_new(hash, equal, key_destroy, value_destroy, NULL, &table);
    if (status != SOMA_OK)
        soma_g_hash_table_refused(NULL, status, "soma_g_hash_table_new");
    return table;
}

/** As g_hash_table_new(). */
static inline soma_g_hash_table *soma_g_hash_table_new(GHashFunc hash, GEqualFunc equal)
{
    return soma_g_hash_table_new_full(hash, equal, NULL, NULL);
}

/** As g_hash_table_new_similar(), with the other's options as well. Without memory, the other's error function is told; then NULL. */
static inline soma_g_hash_table *soma_g_hash_table_new_similar(soma_g_hash_table *other)
{
    soma_g_hash_table *table = NULL;
    g_return_val_if_fail(other != NULL, NULL);
    const enum soma_status status = soma_g_hash_table_try_new(other->hash, other->equal, other->pairs.key_destroy,
                                                              other->pairs.value_destroy, &other->options, &table);
    if (status != SOMA_OK)
        soma_g_hash_table_refused(other, status, "soma_g_hash_table_new_similar");
    return table;
}

/** As g_hash_table_ref(). */
static inline soma_g_hash_table *soma_g_hash_table_ref(soma_g_hash_table *table)
{
    g_return_val_if_fail(table != NULL, NULL);
    g_atomic_int_inc(&table->references);
    return table;
}

/**
 * soma_g_hash_table_unref() - as g_hash_table_unref(). With the last reference the table goes, and what is in it is destroyed before
 * the call returns; nothing borrowed from it may be in use any more. What left it earlier is destroyed after its readers, as
 * always: if destroy functions use the table, soma_barrier_wait() before the last reference is given back.
 *
 * Destroy functions that this call runs find an empty table, which takes nothing in any more (SOMA_E_NOMEM).
 */
static inline void soma_g_hash_table_unref(soma_g_hash_table *table)
{
    g_return_if_fail(table != NULL);
    if (g_atomic_int_dec_and_test(&table->references)) {
        soma_pairs_close(&table->pairs);
        free(table);
    }
}

/* ---- Reading ---- */

/** As g_hash_table_lookup_extended(); key and value are borrowed. Without the key, both are NULL. */
static inline gboolean soma_g_hash_table_lookup_extended(soma_g_hash_table *table, gconstpointer key,
                                                         gpointer *stored_key, gpointer *value)
{
    struct soma_pairs_pair pair = {NULL, NULL};
    g_return_val_if_fail(table != NULL, FALSE);
    const gboolean found = soma_pairs_get(&table->pairs, key, &pair) == SOMA_OK;
    if (stored_key)
        *stored_key = pair.key;
    if (value)
        *value = pair.value;
    return found;
}

/** As g_hash_table_lookup(); the value is borrowed. */
static inline gpointer soma_g_hash_table_lookup(soma_g_hash_table *table, gconstpointer key)
{
    gpointer value = NULL;
    g_return_val_if_fail(table != NULL, NULL);
    soma_g_hash_table_lookup_extended(table, key, NULL, &value);
    return value;
}

/** As g_hash_table_contains(). Another thread may have changed that before the caller looks at the answer. */
static inline gboolean soma_g_hash_table_contains(soma_g_hash_table *table, gconstpointer key)
{
    g_return_val_if_fail(table != NULL, FALSE);
    return soma_g_hash_table_lookup_extended(table, key, NULL, NULL);
}

/** As g_hash_table_size(); exact when no update is in flight, else off by at most the updates in flight. */
static inline guint soma_g_hash_table_size(soma_g_hash_table *table)
{
    g_return_val_if_fail(table != NULL, 0);
    return (guint)soma_pairs_count(&table->pairs);
}

/* ---- Writing, with a status ---- */

/**
 * soma_g_hash_table_try_insert() - store a value under a key; a key that is there stays, and @key is destroyed at once.
 * @key, @value: the table's, unless an error is answered.
 *
 * Return: SOMA_INSERTED · SOMA_REPLACED · SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID.
 */
static inline enum soma_status soma_g_hash_table_try_insert(soma_g_hash_table *table, gpointer key, gpointer value)
{
    struct soma_g_hash_table_wish wish = {{key, value}, NULL, NULL, NULL, NULL, 0};
    g_return_val_if_fail(table != NULL, SOMA_E_INVALID);
    const enum soma_status status = soma_pairs_edit(&table->pairs, key, soma_g_hash_table_wish_insert, &wish, NULL);
    if (status == SOMA_REPLACED && table->pairs.key_destroy)
        table->pairs.key_destroy(key); /* nobody else has seen it */
    return status;
}

/** soma_g_hash_table_try_replace() - the same, but @key takes the place of the key that is there, which goes as well. */
static inline enum soma_status soma_g_hash_table_try_replace(soma_g_hash_table *table, gpointer key, gpointer value)
{
    struct soma_g_hash_table_wish wish = {{key, value}, NULL, NULL, NULL, NULL, 0};
    g_return_val_if_fail(table != NULL, SOMA_E_INVALID);
    return soma_pairs_edit(&table->pairs, key, soma_g_hash_table_wish_replace, &wish, NULL);
}

/**
 * soma_g_hash_table_try_remove() - take a key out; key and value are destroyed.
 *
 * Return: SOMA_REMOVED · SOMA_ABSENT · SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID.
 */
static inline enum soma_status soma_g_hash_table_try_remove(soma_g_hash_table *table, gconstpointer key)
{
    struct soma_g_hash_table_wish wish = {{NULL, NULL}, NULL, NULL, NULL, NULL, SOMA_PAIRS_DROP_BOTH};
    g_return_val_if_fail(table != NULL, SOMA_E_INVALID);
    return soma_pairs_edit(&table->pairs, key, soma_g_hash_table_wish_remove, &wish, NULL);
}

/**
 * soma_g_hash_table_try_steal() - take a key out; key and value are the caller's.
 * @stolen_key, @stolen_value: out on SOMA_REMOVED; each may be NULL. Other threads may have borrowed them before: free them
 *               through soma_retire(), or behind soma_synchronize_wait().
 *
 * Return: as soma_g_hash_table_try_remove().
 */
static inline enum soma_status soma_g_hash_table_try_steal(soma_g_hash_table *table, gconstpointer key,
                                                           gpointer *stolen_key, gpointer *stolen_value)
{
    struct soma_g_hash_table_wish wish = {{NULL, NULL}, NULL, NULL, NULL, NULL, SOMA_PAIRS_DROP_NOTHING};
    struct soma_pairs_pair old = {NULL, NULL};
    g_return_val_if_fail(table != NULL, SOMA_E_INVALID);
    const enum soma_status status = soma_pairs_edit(&table->pairs, key, soma_g_hash_table_wish_remove, &wish, &old);
    if (status == SOMA_REMOVED && stolen_key)
        *stolen_key = old.key;
    if (status == SOMA_REMOVED && stolen_value)
        *stolen_value = old.value;
    return status;
}

/* ---- What lock, look up, change, unlock was for ---- */

/**
 * soma_g_hash_table_put_new() - store only if the key is absent.
 * @key, @value: the table's on SOMA_INSERTED only; else they stay the caller's, unlike with insert.
 * @present: out on SOMA_EXISTS: the value that is there; borrowed. May be NULL.
 *
 * Return: SOMA_INSERTED · SOMA_EXISTS · SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID.
 */
static inline enum soma_status soma_g_hash_table_put_new(soma_g_hash_table *table, gpointer key, gpointer value,
                                                         gpointer *present)
{
    struct soma_g_hash_table_wish wish = {{key, value}, NULL, NULL, NULL, NULL, 0};
    g_return_val_if_fail(table != NULL, SOMA_E_INVALID);
    const enum soma_status status = soma_pairs_edit(&table->pairs, key, soma_g_hash_table_wish_put_new, &wish, NULL);
    if (status == SOMA_EXISTS && present)
        *present = wish.found;
    return status;
}

/**
 * soma_g_hash_table_cas() - store a value only if the one that is there is the expected pointer, which is destroyed then
 * (unless it is @desired, too).
 * @expected: what was looked up inside the section that this call is made in.
 * @desired:  the table's on SOMA_REPLACED only.
 * @actual:   out on SOMA_REPLACED and SOMA_CHANGED: the value found; borrowed. May be NULL.
 *
 * Return: SOMA_REPLACED · SOMA_CHANGED · SOMA_ABSENT · SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID.
 */
static inline enum soma_status soma_g_hash_table_cas(soma_g_hash_table *table, gconstpointer key, gpointer expected,
                                                     gpointer desired, gpointer *actual)
{
    struct soma_g_hash_table_wish wish = {{NULL, desired}, expected, NULL, NULL, NULL, SOMA_PAIRS_DROP_VALUE};
    g_return_val_if_fail(table != NULL, SOMA_E_INVALID);
    if (desired == expected)
        wish.drop = SOMA_PAIRS_DROP_NOTHING;
    const enum soma_status status = soma_pairs_edit(&table->pairs, key, soma_g_hash_table_wish_cas, &wish, NULL);
    if (actual && (status == SOMA_REPLACED || status == SOMA_CHANGED))
        *actual = wish.found;
    return status;
}

/**
 * soma_g_hash_table_remove_if() - take a key out, as remove, only if its value is the expected pointer.
 * @expected, @actual: as for soma_g_hash_table_cas(), with SOMA_REMOVED.
 *
 * Return: SOMA_REMOVED · SOMA_CHANGED · SOMA_ABSENT · SOMA_E_NOMEM · SOMA_E_LIMIT · SOMA_E_INVALID.
 */
static inline enum soma_status soma_g_hash_table_remove_if(soma_g_hash_table *table, gconstpointer key,
                                                           gpointer expected, gpointer *actual)
{
    struct soma_g_hash_table_wish wish = {{NULL, NULL}, expected, NULL, NULL, NULL, SOMA_PAIRS_DROP_BOTH};
    g_return_val_if_fail(table != NULL, SOMA_E_INVALID);
    const enum soma_status status = soma_pairs_edit(&table->pairs, key, soma_g_hash_table_wish_remove_if, &wish, NULL);
    if (actual && (status == SOMA_REMOVED || status == SOMA_CHANGED))
        *actual = wish.found;
    return status;
}

/**
 * soma_g_hash_table_update() - atomic read-modify-write through a function.
 * @key:  the table's on SOMA_INSERTED only; else it stays the caller's.
 * @fn:   decides; see soma_g_hash_table_update_fn. The old value is destroyed, unless it is stored again.
 * @data: handed to @fn.
 *
 * Return: SOMA_INSERTED or SOMA_REPLACED if @fn said SOMA_OK · SOMA_REMOVED, or SOMA_ABSENT if there was nothing to remove, if it said
 *   SOMA_REMOVED · SOMA_EXISTS, or SOMA_ABSENT if the key was absent, if it said SOMA_EXISTS · SOMA_E_NOMEM ·
 *   SOMA_E_LIMIT · SOMA_E_INVALID, also when @fn is NULL or answers anything else.
 */
static inline enum soma_status soma_g_hash_table_update(soma_g_hash_table *table, gpointer key,
                                                        soma_g_hash_table_update_fn fn, gpointer data)
{
    struct soma_g_hash_table_wish wish = {{key, NULL}, NULL, NULL, fn, data, 0};
    g_return_val_if_fail(table != NULL && fn != NULL, SOMA_E_INVALID);
    return soma_pairs_edit(&table->pairs, key, soma_g_hash_table_wish_update, &wish, NULL);
}

/* ---- Writing, as GLib has it ---- */

/** As g_hash_table_insert(): FALSE if the key was there. */
static inline gboolean soma_g_hash_table_insert(soma_g_hash_table *table, gpointer key, gpointer value)
{
    g_return_val_if_fail(table != NULL, FALSE);
    const enum soma_status status = soma_g_hash_table_try_insert(table, key, value);
    if (status < 0)
        soma_g_hash_table_refused(table, status, "soma_g_hash_table_insert");
    return status == SOMA_INSERTED;
}

/** As g_hash_table_replace(). */
static inline gboolean soma_g_hash_table_replace(soma_g_hash_table *table, gpointer key, gpointer value)
{
    g_return_val_if_fail(table != NULL, FALSE);
    const enum soma_status status = soma_g_hash_table_try_replace(table, key, value);
    if (status < 0)
        soma_g_hash_table_refused(table, status, "soma_g_hash_table_replace");
    return status == SOMA_INSERTED;
}

/** As g_hash_table_add(): the key is its own value. */
static inline gboolean soma_g_hash_table_add(soma_g_hash_table *table, gpointer key)
{
    g_return_val_if_fail(table != NULL, FALSE);
    const enum soma_status status = soma_g_hash_table_try_replace(table, key, key);
    if (status < 0)
        soma_g_hash_table_refused(table, status, "soma_g_hash_table_add");
    return status == SOMA_INSERTED;
}

/** As g_hash_table_remove(): TRUE if this call took the key out. */
static inline gboolean soma_g_hash_table_remove(soma_g_hash_table *table, gconstpointer key)
{
    g_return_val_if_fail(table != NULL, FALSE);
    const enum soma_status status = soma_g_hash_table_try_remove(table, key);
    if (status < 0)
        soma_g_hash_table_refused(table, status, "soma_g_hash_table_remove");
    return status == SOMA_REMOVED;
}

/** As g_hash_table_steal_extended(); see soma_g_hash_table_try_steal() for when the stolen may be freed. */
static inline gboolean soma_g_hash_table_steal_extended(soma_g_hash_table *table, gconstpointer key,
                                                        gpointer *stolen_key, gpointer *stolen_value)
{
    g_return_val_if_fail(table != NULL, FALSE);
    if (stolen_key)
        *stolen_key = NULL;
    if (stolen_value)
        *stolen_value = NULL;
    const enum soma_status status = soma_g_hash_table_try_steal(table, key, stolen_key, stolen_value);
    if (status < 0)
        soma_g_hash_table_refused(table, status, "soma_g_hash_table_steal");
    return status == SOMA_REMOVED;
}

/** As g_hash_table_steal(). */
static inline gboolean soma_g_hash_table_steal(soma_g_hash_table *table, gconstpointer key)
{
    g_return_val_if_fail(table != NULL, FALSE);
    return soma_g_hash_table_steal_extended(table, key, NULL, NULL);
}

/* ---- Walking ---- */

/** What the walks below carry along; of its fields, those that the walk needs. */
struct soma_g_hash_table_visit {
    gboolean (*entry)(const struct soma_pairs_pair *pair, struct soma_g_hash_table_visit *visit); /* TRUE: enough */
    GHFunc each;
    GHRFunc test;
    gpointer data;
    guint count;
    guint room;
    gpointer found;
    gpointer *array;
    GList *list;
};

static inline enum soma_status soma_g_hash_table_visit_slot(struct soma_pairs *pairs,
                                                            const struct soma_pairs_slot *slot, void *ctx)
{
    struct soma_g_hash_table_visit *visit = (struct soma_g_hash_table_visit *)ctx;
    struct soma_pairs_chain *const chain = soma_pairs_slot_get(pairs, slot);
    gboolean enough = FALSE;
    for (guint i = 0; chain && i < chain->count && !enough; i++)
        enough = visit->entry(soma_pairs_of(chain) + i, visit);
    return enough ? SOMA_END : SOMA_OK;
}

static inline void soma_g_hash_table_walk(soma_g_hash_table *table, struct soma_g_hash_table_visit *visit,
                                          const char *call)
{
    const enum soma_status status = soma_pairs_walk(&table->pairs, soma_g_hash_table_visit_slot, visit);
    if (status < 0)
        soma_g_hash_table_refused(table, status, call);
}

static inline gboolean soma_g_hash_table_visit_each(const struct soma_pairs_pair *pair,
                                                    struct soma_g_hash_table_visit *visit)
{
    visit->each(pair->key, pair->value, visit->data);
    return FALSE;
}

static inline gboolean soma_g_hash_table_visit_find(const struct soma_pairs_pair *pair,
                                                    struct soma_g_hash_table_visit *visit)
{
    if (!visit->test(pair->key, pair->value, visit->data))
        return FALSE;
    visit->found = pair->value;
    return TRUE;
}

static inline gboolean soma_g_hash_table_visit_key(const struct soma_pairs_pair *pair,
                                                   struct soma_g_hash_table_visit *visit)
{
    visit->list = g_list_prepend(visit->list, pair->key);
    return FALSE;
}

static inline gboolean soma_g_hash_table_visit_value(const struct soma_pairs_pair *pair,
                                                     struct soma_g_hash_table_visit *visit)
{
    visit->list = g_list_prepend(visit->list, pair->value);
    return FALSE;
}

/** One place stays free, for the NULL at the end. */
static inline gboolean soma_g_hash_table_visit_array(const struct soma_pairs_pair *pair,
                                                     struct soma_g_hash_table_visit *visit)
{
    if (visit->count + 1 >= visit->room) {
        visit->room = 2 * visit->room;
        visit->array = g_renew(gpointer, visit->array, visit->room);
    }
    visit->array[visit->count++] = pair->key;
    return FALSE;
}

static inline struct soma_g_hash_table_visit
soma_g_hash_table_visit_of(gboolean (*entry)(const struct soma_pairs_pair *, struct soma_g_hash_table_visit *))
{
    struct soma_g_hash_table_visit visit = {entry, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL};
    return visit;
}

/**
 * soma_g_hash_table_foreach() - as g_hash_table_foreach(), and @func may change the table.
 *
 * A key that is there throughout is shown once, whatever changes meanwhile; one that comes or goes is shown or not; none is shown
 * twice. @func runs in a read section: what takes or waits long should be done elsewhere.
 */
static inline void soma_g_hash_table_foreach(soma_g_hash_table *table, GHFunc func, gpointer data)
{
    struct soma_g_hash_table_visit visit = soma_g_hash_table_visit_of(soma_g_hash_table_visit_each);
    g_return_if_fail(table != NULL && func != NULL);
    visit.each = func;
    visit.data = data;
    soma_g_hash_table_walk(table, &visit, "soma_g_hash_table_foreach");
}

/** As g_hash_table_find(), with the promises of foreach; the value is borrowed. */
static inline gpointer soma_g_hash_table_find(soma_g_hash_table *table, GHRFunc predicate, gpointer data)
{
    struct soma_g_hash_table_visit visit = soma_g_hash_table_visit_of(soma_g_hash_table_visit_find);
    g_return_val_if_fail(table != NULL && predicate != NULL, NULL);
    visit.test = predicate;
    visit.data = data;
    soma_g_hash_table_walk(table, &visit, "soma_g_hash_table_find");
    return visit.found;
}

/** Removes what @func says, or all. */
static inline guint soma_g_hash_table_sweep(soma_g_hash_table *table, GHRFunc func, gpointer data, unsigned drop,
                                            const char *call)
{
    struct soma_pairs_wanted sweep = {func, data, drop, 0};
    const enum soma_status status = soma_pairs_sweep(&table->pairs, &sweep);
    if (status < 0)
        soma_g_hash_table_refused(table, status, call);
    return (guint)sweep.removed;
}

/**
 * soma_g_hash_table_foreach_remove() - as g_hash_table_foreach_remove(), with the promises of foreach.
 *
 * @func is asked once for each entry that is shown. What it has said holds for just that key and value: if another thread has
 * replaced either meanwhile, the entry stays. @func may free a key and value that no other thread can have.
 * Return: how many entries this call has removed.
 */
static inline guint soma_g_hash_table_foreach_remove(soma_g_hash_table *table, GHRFunc func, gpointer data)
{
    g_return_val_if_fail(table != NULL && func != NULL, 0);
    return soma_g_hash_table_sweep(table, func, data, SOMA_PAIRS_DROP_BOTH, "soma_g_hash_table_foreach_remove");
}

/** As soma_g_hash_table_foreach_remove(), but keys and values are the caller's, who learns of them in @func. */
static inline guint soma_g_hash_table_foreach_steal(soma_g_hash_table *table, GHRFunc func, gpointer data)
{
    g_return_val_if_fail(table != NULL && func != NULL, 0);
    return soma_g_hash_table_sweep(table, func, data, SOMA_PAIRS_DROP_NOTHING, "soma_g_hash_table_foreach_steal");
}

/** As g_hash_table_remove_all(), key by key: not one instant. A key that is put meanwhile may stay. */
static inline void soma_g_hash_table_remove_all(soma_g_hash_table *table)
{
    g_return_if_fail(table != NULL);
    soma_g_hash_table_sweep(table, NULL, NULL, SOMA_PAIRS_DROP_BOTH, "soma_g_hash_table_remove_all");
}

/** As g_hash_table_steal_all(), key by key: not one instant. */
static inline void soma_g_hash_table_steal_all(soma_g_hash_table *table)
{
    g_return_if_fail(table != NULL);
    soma_g_hash_table_sweep(table, NULL, NULL, SOMA_PAIRS_DROP_NOTHING, "soma_g_hash_table_steal_all");
}

/**
 * soma_g_hash_table_destroy() - as g_hash_table_destroy(): removes all, and gives the caller's reference back.
 *
 * If it is the only one, what is in the table is destroyed before the call returns, and its destroy functions may use the table, also take
 * references to it: they find it empty. What they put in goes with the last reference. (Without memory for that it is refused,
 * SOMA_E_NOMEM.) What they replace or remove of what others have put in meanwhile is destroyed after its readers, as always, which may be
 * when the table is gone: if those functions use it, too, hold a reference around the call, and before it is given back soma_barrier_wait()
 * twice, for what was in the table and for what its functions took out.
 */
static inline void soma_g_hash_table_destroy(soma_g_hash_table *table)
{
    g_return_if_fail(table != NULL);
    if (g_atomic_int_get(&table->references) > 1)
        soma_g_hash_table_remove_all(table);
    else if (table->pairs.key_destroy || table->pairs.value_destroy)
        soma_pairs_renew(&table->pairs, table->options.deferred_bytes_max);
    soma_g_hash_table_unref(table);
}

/** As g_hash_table_get_keys(), with the promises of foreach; the keys are borrowed, the list is the caller's. */
static inline GList *soma_g_hash_table_get_keys(soma_g_hash_table *table)
{
    struct soma_g_hash_table_visit visit = soma_g_hash_table_visit_of(soma_g_hash_table_visit_key);
    g_return_val_if_fail(table != NULL, NULL);
    soma_g_hash_table_walk(table, &visit, "soma_g_hash_table_get_keys");
    return visit.list;
}

/** As g_hash_table_get_values(). */
static inline GList *soma_g_hash_table_get_values(soma_g_hash_table *table)
{
    struct soma_g_hash_table_visit visit = soma_g_hash_table_visit_of(soma_g_hash_table_visit_value);
    g_return_val_if_fail(table != NULL, NULL);
    soma_g_hash_table_walk(table, &visit, "soma_g_hash_table_get_values");
    return visit.list;
}

/** As g_hash_table_get_keys_as_array(): NULL-terminated, to be freed with g_free(); the keys are borrowed. */
static inline gpointer *soma_g_hash_table_get_keys_as_array(soma_g_hash_table *table, guint *length)
{
    struct soma_g_hash_table_visit visit = soma_g_hash_table_visit_of(soma_g_hash_table_visit_array);
    g_return_val_if_fail(table != NULL, NULL);
    visit.room = 16;
    visit.array = g_new(gpointer, visit.room);
    soma_g_hash_table_walk(table, &visit, "soma_g_hash_table_get_keys_as_array");
    visit.array[visit.count] = NULL;
    if (length)
        *length = visit.count;
    return visit.array;
}

/* ---- Iterators ---- */

/**
 * soma_g_hash_table_iter_init() - as g_hash_table_iter_init(), and the table may be changed during the iteration, with the
 * promises of foreach. Nothing has to be given back; the loop may be left at any point.
 *
 * Entries are taken up SOMA_G_HASH_TABLE_BATCH at a time. If the table destroys keys or values, and anybody may remove some meanwhile,
 * the whole iteration stands in one read section: also if the loop itself removes others than the one that was given last.
 */
static inline void soma_g_hash_table_iter_init(soma_g_hash_table_iter *iter, soma_g_hash_table *table)
{
    g_return_if_fail(iter != NULL);
    memset(iter, 0, sizeof *iter);
    g_return_if_fail(table != NULL);
    iter->table = table;
}

/** As g_hash_table_iter_next(); key and value are borrowed. */
static inline gboolean soma_g_hash_table_iter_next(soma_g_hash_table_iter *iter, gpointer *key, gpointer *value)
{
    g_return_val_if_fail(iter != NULL && iter->table != NULL, FALSE);
    if (iter->at == iter->count) {
        iter->at = iter->count = 0;
        soma_read_enter();
        const enum soma_status status =
            soma_pairs_fetch(&iter->table->pairs, &iter->place, iter->pairs, SOMA_G_HASH_TABLE_BATCH, &iter->count);
        soma_read_exit();
        if (status < 0)
            soma_g_hash_table_refused(iter->table, status, "soma_g_hash_table_iter_next");
        if (status != SOMA_OK)
            return FALSE;
    }
    const struct soma_pairs_pair *pair = &iter->pairs[iter->at++];
    if (key)
        *key = pair->key;
    if (value)
        *value = pair->value;
    return TRUE;
}

/** As g_hash_table_iter_get_hash_table(). */
static inline soma_g_hash_table *soma_g_hash_table_iter_get_hash_table(soma_g_hash_table_iter *iter)
{
    g_return_val_if_fail(iter != NULL, NULL);
    return iter->table;
}

static inline void soma_g_hash_table_iter_drop(soma_g_hash_table_iter *iter, unsigned drop, const char *call)
{
    struct soma_g_hash_table_wish wish = {iter->pairs[iter->at - 1], NULL, NULL, NULL, NULL, drop};
    const enum soma_status status =
        soma_pairs_edit(&iter->table->pairs, wish.pair.key, soma_g_hash_table_wish_remove_pair, &wish, NULL);
    if (status < 0)
        soma_g_hash_table_refused(iter->table, status, call);
}

/**
 * As g_hash_table_iter_remove(): takes out the entry that was given last, unless another thread has changed it since. Looks at
 * its key, which GLib does not: what the program frees by itself, it frees behind this call.
 */
static inline void soma_g_hash_table_iter_remove(soma_g_hash_table_iter *iter)
{
    g_return_if_fail(iter != NULL && iter->at > 0);
    soma_g_hash_table_iter_drop(iter, SOMA_PAIRS_DROP_BOTH, "soma_g_hash_table_iter_remove");
}

/** As g_hash_table_iter_steal(), unless another thread has changed the entry since. Looks at its key, as iter_remove. */
static inline void soma_g_hash_table_iter_steal(soma_g_hash_table_iter *iter)
{
    g_return_if_fail(iter != NULL && iter->at > 0);
    soma_g_hash_table_iter_drop(iter, SOMA_PAIRS_DROP_NOTHING, "soma_g_hash_table_iter_steal");
}

/**
 * soma_g_hash_table_iter_replace() - as g_hash_table_iter_replace(): another value for the key that was given last.
 * @value: the table's, unless the table's error function is told. If another thread has removed the key, @value is destroyed
 *         as well, as if it had been stored just before.
 */
static inline void soma_g_hash_table_iter_replace(soma_g_hash_table_iter *iter, gpointer value)
{
    g_return_if_fail(iter != NULL && iter->at > 0);
    struct soma_pairs_pair *pair = &iter->pairs[iter->at - 1];
    struct soma_g_hash_table_wish wish = {{NULL, value}, NULL, NULL, NULL, NULL, SOMA_PAIRS_DROP_VALUE};
    const enum soma_status status =
        soma_pairs_edit(&iter->table->pairs, pair->key, soma_g_hash_table_wish_swap, &wish, NULL);
    if (status < 0)
        soma_g_hash_table_refused(iter->table, status, "soma_g_hash_table_iter_replace");
    else if (status == SOMA_REPLACED)
        pair->value = value;
    else if (iter->table->pairs.value_destroy)
        iter->table->pairs.value_destroy(value);
}

/* For g_autoptr(soma_g_hash_table). */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(soma_g_hash_table, soma_g_hash_table_unref)

#ifdef __cplusplus
}
#endif

#endif

/* ---- GLib's names ---- */

#if defined(SOMA_COMPAT_GLIB_NAMES) && !defined(SOMA_COMPAT_GLIB_NAMED)
#define SOMA_COMPAT_GLIB_NAMED
#define GHashTable soma_g_hash_table
#define GHashTableIter soma_g_hash_table_iter
#define g_hash_table_new soma_g_hash_table_new
#define g_hash_table_new_full soma_g_hash_table_new_full
#define g_hash_table_new_similar soma_g_hash_table_new_similar
#define g_hash_table_ref soma_g_hash_table_ref
#define g_hash_table_unref soma_g_hash_table_unref
#define g_hash_table_destroy soma_g_hash_table_destroy
#define g_hash_table_insert soma_g_hash_table_insert
#define g_hash_table_replace soma_g_hash_table_replace
#define g_hash_table_add soma_g_hash_table_add
#define g_hash_table_remove soma_g_hash_table_remove
#define g_hash_table_remove_all soma_g_hash_table_remove_all
#define g_hash_table_steal soma_g_hash_table_steal
#define g_hash_table_steal_extended soma_g_hash_table_steal_extended
#define g_hash_table_steal_all soma_g_hash_table_steal_all
#define g_hash_table_lookup soma_g_hash_table_lookup
#define g_hash_table_lookup_extended soma_g_hash_table_lookup_extended
#define g_hash_table_contains soma_g_hash_table_contains
#define g_hash_table_size soma_g_hash_table_size
#define g_hash_table_foreach soma_g_hash_table_foreach
#define g_hash_table_find soma_g_hash_table_find
#define g_hash_table_foreach_remove soma_g_hash_table_foreach_remove
#define g_hash_table_foreach_steal soma_g_hash_table_foreach_steal
#define g_hash_table_get_keys soma_g_hash_table_get_keys
#define g_hash_table_get_values soma_g_hash_table_get_values
#define g_hash_table_get_keys_as_array soma_g_hash_table_get_keys_as_array
#define g_hash_table_iter_init soma_g_hash_table_iter_init
#define g_hash_table_iter_next soma_g_hash_table_iter_next
#define g_hash_table_iter_get_hash_table soma_g_hash_table_iter_get_hash_table
#define g_hash_table_iter_remove soma_g_hash_table_iter_remove
#define g_hash_table_iter_replace soma_g_hash_table_iter_replace
#define g_hash_table_iter_steal soma_g_hash_table_iter_steal
#endif
