/* SPDX-License-Identifier: ISC */
/* any_u64.c - word maps on any back-end: see backend.h. */
#include <soma/backend.h>
#include <soma/rcu.h>

#include "backend/backend.h"
#include "base/attr.h"
#include "base/check.h"
#include "map/map_internal.h"
#include "mem/mem.h"
#include "rcu/rcu.h"

struct soma_any_u64 {
    soma_u64 *lock_free;         /* or NULL, */
    struct soma__locked *locked; /* and then this one */
    enum soma_backend backend;
};

/* ---- Birth and death ---- */

static enum soma_status locked_new(enum soma_backend backend, const struct soma_u64_options *options,
                                   struct soma__locked **out)
{
    soma_u64 *checked;
    enum soma_status status = soma_u64_new(options, &checked);
    if (status != SOMA_OK)
        return status;
    struct soma__locked_options locked;
    status = soma__backend_options(backend, &checked->core, &locked);
    soma_u64_free(checked);
    if (status != SOMA_OK)
        return status;
    if (options) {
        locked.seed[0] = options->seed[0];
        locked.seed[1] = options->seed[1];
        locked.retire.word = options->value_retire;
    }
    return soma__locked_new(&locked, out);
}

enum soma_status soma_any_u64_new_on(enum soma_backend backend, const struct soma_u64_options *options,
                                     soma_any_u64 **out)
{
    struct soma_any_u64 made = {.backend = SOMA_BACKEND_DEFAULT};
    enum soma_status status = soma__backend_choose(backend, &made.backend);
    if (status != SOMA_OK)
        return status;
    if (!out) {
        MISUSE("out is NULL");
        return SOMA_E_INVALID;
    }
    if (made.backend == SOMA_BACKEND_LOCK_FREE)
        status = soma_u64_new(options, &made.lock_free);
    else
        status = locked_new(made.backend, options, &made.locked);
    if (status != SOMA_OK)
        return status;
    soma_any_u64 *map = soma__mem_alloc(sizeof *map);
    if (!map) {
        soma_u64_free(made.lock_free);
        if (made.locked)
            soma__locked_free(made.locked);
        return SOMA_E_NOMEM;
    }
    *map = made;
    *out = map;
    return SOMA_OK;
}

enum soma_status soma_any_u64_new(const struct soma_u64_options *options, soma_any_u64 **out)
{
    return soma_any_u64_new_on(SOMA_BACKEND_DEFAULT, options, out);
}

void soma_any_u64_free(soma_any_u64 *map)
{
    if (!map)
        return;
    if (map->locked)
        soma__locked_free(map->locked);
    soma_u64_free(map->lock_free);
    soma__mem_free(map, sizeof *map);
}

enum soma_backend soma_any_u64_backend(const soma_any_u64 *map)
{
    return map ? map->backend : SOMA_BACKEND_DEFAULT;
}

soma_u64 *soma_any_u64_raw(const soma_any_u64 *map)
{
    return map ? map->lock_free : NULL;
}

/* ---- One key ---- */

/* Whether the call goes to the lock-free map, which also knows what to say of no map at all. */
#define LOCK_FREE(map) LIKELY(!(map) || (map)->lock_free)
#define RAW(map) ((map) ? (map)->lock_free : NULL)

static enum soma_status ask(const soma_any_u64 *map, enum soma__verb verb, uint64_t key, uint64_t value,
                            uint64_t expected, uint64_t *out)
{
    const struct soma__request request = {.verb = verb,
                                          .key = {.data = &key, .len = sizeof key},
                                          .value = {.data = &value, .len = sizeof value},
                                          .expected = {.data = &expected, .len = sizeof expected},
                                          .number = value};
    const struct soma__reply reply = {.word = out};
    return soma__locked_do(map->locked, &request, &reply);
}

enum soma_status soma_any_u64_get(const soma_any_u64 *map, uint64_t key, uint64_t *value)
{
    return LOCK_FREE(map) ? soma_u64_get(RAW(map), key, value) : ask(map, VERB_GET, key, 0, 0, value);
}

enum soma_status soma_any_u64_get_with(const soma_any_u64 *map, uint64_t key, soma_u64_with_fn fn, void *ctx)
{
    if (LOCK_FREE(map) || !fn)
        return soma_u64_get_with(RAW(map), key, fn, ctx);
    uint64_t value;
    soma_read_enter();
    const enum soma_status status = ask(map, VERB_GET, key, 0, 0, &value);
    if (status == SOMA_OK)
        fn(key, value, ctx);
    soma_read_exit();
    return status;
}

enum soma_status soma_any_u64_put(soma_any_u64 *map, uint64_t key, uint64_t value, uint64_t *old)
{
    return LOCK_FREE(map) ? soma_u64_put(RAW(map), key, value, old) : ask(map, VERB_PUT, key, value, 0, old);
}

enum soma_status soma_any_u64_put_new(soma_any_u64 *map, uint64_t key, uint64_t value, uint64_t *present)
{
    return LOCK_FREE(map) ? soma_u64_put_new(RAW(map), key, value, present)
                          : ask(map, VERB_PUT_NEW, key, value, 0, present);
}

enum soma_status soma_any_u64_replace(soma_any_u64 *map, uint64_t key, uint64_t value, uint64_t *old)
{
    return LOCK_FREE(map) ? soma_u64_replace(RAW(map), key, value, old) : ask(map, VERB_REPLACE, key, value, 0, old);
}

enum soma_status soma_any_u64_cas(soma_any_u64 *map, uint64_t key, uint64_t expected, uint64_t desired,
                                  uint64_t *actual)
{
    return LOCK_FREE(map) ? soma_u64_cas(RAW(map), key, expected, desired, actual)
                          : ask(map, VERB_CAS, key, desired, expected, actual);
}

enum soma_status soma_any_u64_remove(soma_any_u64 *map, uint64_t key, uint64_t *old)
{
    return LOCK_FREE(map) ? soma_u64_remove(RAW(map), key, old) : ask(map, VERB_REMOVE, key, 0, 0, old);
}

enum soma_status soma_any_u64_remove_if(soma_any_u64 *map, uint64_t key, uint64_t expected, uint64_t *actual)
{
    return LOCK_FREE(map) ? soma_u64_remove_if(RAW(map), key, expected, actual)
                          : ask(map, VERB_REMOVE_IF, key, 0, expected, actual);
}

enum soma_status soma_any_u64_fetch_add(soma_any_u64 *map, uint64_t key, uint64_t delta, uint64_t *old)
{
    return LOCK_FREE(map) ? soma_u64_fetch_add(RAW(map), key, delta, old)
                          : ask(map, VERB_FETCH_ADD, key, delta, 0, old);
}

/* One look, one decision, one change if nothing has changed meanwhile; SOMA_CHANGED if something has. */
static enum soma_status try_update(soma_any_u64 *map, uint64_t key, soma_u64_update_fn fn, void *ctx)
{
    uint64_t before = 0;
    const bool present = soma_any_u64_get(map, key, &before) == SOMA_OK;
    uint64_t value = before;
    enum soma_status status = fn(key, present, &value, ctx);
    if (status == SOMA_OK)
        status =
            present ? soma_any_u64_cas(map, key, before, value, NULL) : soma_any_u64_put_new(map, key, value, NULL);
    else if (status == SOMA_REMOVED && present)
        status = soma_any_u64_remove_if(map, key, before, NULL);
    else if (status == SOMA_REMOVED || status == SOMA_EXISTS)
        return present ? status : SOMA_ABSENT;
    else
        return SOMA_E_INVALID;
    return status == SOMA_ABSENT || status == SOMA_EXISTS ? SOMA_CHANGED : status;
}

enum soma_status soma_any_u64_update(soma_any_u64 *map, uint64_t key, soma_u64_update_fn fn, void *ctx)
{
    if (LOCK_FREE(map) || !fn)
        return soma_u64_update(RAW(map), key, fn, ctx);
    enum soma_status status;
    soma_read_enter();
    do
        status = try_update(map, key, fn, ctx);
    while (status == SOMA_CHANGED);
    soma_read_exit();
    return status;
}

/* ---- Many keys ---- */

size_t soma_any_u64_get_many(const soma_any_u64 *map, const uint64_t *keys, size_t n, uint64_t *values, bool *found)
{
    if (LOCK_FREE(map) || (n > 0 && !keys) || n > CORE_MANY_MAX)
        return soma_u64_get_many(RAW(map), keys, n, values, found);
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        const bool hit = ask(map, VERB_GET, keys[i], 0, 0, values ? &values[i] : NULL) == SOMA_OK;
        total += hit;
        if (found)
            found[i] = hit;
    }
    return total;
}

enum soma_status soma_any_u64_put_many(soma_any_u64 *map, const uint64_t *keys, const uint64_t *values, size_t n,
                                       size_t *done)
{
    if (LOCK_FREE(map) || (n > 0 && (!keys || !values)) || n > CORE_MANY_MAX)
        return soma_u64_put_many(RAW(map), keys, values, n, done);
    enum soma_status status = SOMA_OK;
    size_t i = 0;
    for (; i < n && status >= 0; i += status >= 0)
        status = ask(map, VERB_PUT, keys[i], values[i], 0, NULL);
    if (done)
        *done = i;
    return status < 0 ? status : SOMA_OK;
}

enum soma_status soma_any_u64_remove_many(soma_any_u64 *map, const uint64_t *keys, size_t n, uint64_t *old, bool *found,
                                          size_t *done)
{
    if (LOCK_FREE(map) || (n > 0 && !keys) || n > CORE_MANY_MAX)
        return soma_u64_remove_many(RAW(map), keys, n, old, found, done);
    enum soma_status status = SOMA_OK;
    size_t i = 0;
    for (; i < n && status >= 0; i += status >= 0) {
        status = ask(map, VERB_REMOVE, keys[i], 0, 0, old ? &old[i] : NULL);
        if (found && status >= 0)
            found[i] = status == SOMA_REMOVED;
    }
    if (done)
        *done = i;
    return status < 0 ? status : SOMA_OK;
}

/* ---- Taking from a place on ---- */

/* Deals with a key that had this value, as take_one() in map/u64.c. SOMA_REMOVED: taken, with *value. */
static enum soma_status take_one(soma_any_u64 *map, uint64_t key, uint64_t *value, soma_u64_take_fn fn, void *ctx)
{
    for (;;) {
        const enum soma_status answer = fn ? fn(key, *value, ctx) : SOMA_REMOVED;
        if (answer != SOMA_REMOVED)
            return answer == SOMA_EXISTS || answer == SOMA_END ? answer : SOMA_E_INVALID;
        const enum soma_status status = ask(map, VERB_REMOVE_IF, key, 0, *value, value);
        if (status != SOMA_CHANGED)
            return status;
    }
}

/* Deals with the next entry, in a section of its own: what is lent and what leaves does not wait for the rest of the call. *last: there
 * is none. */
static enum soma_status take_next(soma_any_u64 *map, uint64_t *place, soma_u64_take_fn fn, void *ctx, uint64_t *key,
                                  uint64_t *value, bool *last)
{
    soma_read_enter();
    enum soma_status status = soma__locked_next(map->locked, place, &(const struct soma__reply){.word = key},
                                                &(const struct soma__reply){.word = value});
    *last = status == SOMA_END;
    if (status == SOMA_OK)
        status = take_one(map, *key, value, fn, ctx);
    soma_read_exit();
    return status;
}

enum soma_status soma_any_u64_take(soma_any_u64 *map, uint64_t *place, size_t n, soma_u64_take_fn fn, void *ctx,
                                   uint64_t *keys, uint64_t *values, size_t *taken)
{
    if (LOCK_FREE(map) || !place || (n > CORE_MANY_MAX && (keys || values)))
        return soma_u64_take(RAW(map), place, n, fn, ctx, keys, values, taken);
    enum soma_status status = SOMA_OK;
    bool last = false;
    size_t done = 0;
    while (done < n && !last) {
        uint64_t key;
        uint64_t value;
        status = take_next(map, place, fn, ctx, &key, &value, &last);
        if (status < 0 || status == SOMA_END)
            break;
        if (status == SOMA_REMOVED && keys)
            keys[done] = key;
        if (status == SOMA_REMOVED && values)
            values[done] = value;
        done += status == SOMA_REMOVED;
        last = ++*place == 0;
    }
    if (last)
        *place = 0;
    if (taken)
        *taken = done;
    return status < 0 ? status : last ? SOMA_END : SOMA_OK;
}

/* ---- All of it ---- */

enum soma_status soma_any_u64_clear(soma_any_u64 *map)
{
    return LOCK_FREE(map) ? soma_u64_clear(RAW(map)) : soma__locked_clear(map->locked);
}

uint64_t soma_any_u64_count_approx(const soma_any_u64 *map)
{
    return LOCK_FREE(map) ? soma_u64_count_approx(RAW(map)) : soma__locked_count(map->locked);
}

enum soma_status soma_any_u64_reserve(soma_any_u64 *map, uint64_t n)
{
    return LOCK_FREE(map) || n == 0 ? soma_u64_reserve(RAW(map), n) : soma__locked_reserve(n);
}

enum soma_status soma_any_u64_shrink(soma_any_u64 *map)
{
    return LOCK_FREE(map) ? soma_u64_shrink(RAW(map)) : SOMA_OK;
}

enum soma_status soma_any_u64_digest(const soma_any_u64 *map, struct soma_digest *out)
{
    return LOCK_FREE(map) || !out ? soma_u64_digest(RAW(map), out) : soma__locked_digest(map->locked, out);
}

enum soma_status soma_any_u64_view_open(soma_any_u64 *map, soma_view **out)
{
    return LOCK_FREE(map) || !out ? soma_u64_view_open(RAW(map), out) : SOMA_E_UNSUPPORTED;
}

/* A sorted cursor has a copy of its own, so what it was made from can go. */
static enum soma_status open_copy(const soma_any_u64 *map, soma_u64 *copy, soma_cursor **out)
{
    enum soma_status status = soma__locked_copy(map->locked, copy, NULL);
    if (status != SOMA_OK)
        return status;
    soma_view *view;
    status = soma_u64_view_open(copy, &view);
    if (status != SOMA_OK)
        return status;
    status = soma_cursor_open_sorted(view, out);
    soma_view_close(view);
    return status;
}

enum soma_status soma_any_cursor_open_u64(const soma_any_u64 *map, soma_cursor **out)
{
    if (LOCK_FREE(map) || !out)
        return soma_cursor_open_u64(RAW(map), out);
    CALL();
    if (!soma__grace_may_wait())
        return SOMA_E_INVALID;
    soma_u64 *copy;
    enum soma_status status = soma_u64_new(NULL, &copy);
    if (status != SOMA_OK)
        return status;
    status = open_copy(map, copy, out);
    soma_u64_free(copy);
    return status;
}
