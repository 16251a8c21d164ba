/* SPDX-License-Identifier: ISC */
/* any_map.c - byte maps on any back-end: see backend.h. */
#include <soma/backend.h>
#include <soma/rcu.h>

#include "backend/backend.h"
#include "base/attr.h"
#include "base/check.h"
#include "map/map_internal.h"
#include "mem/mem.h"
#include "rcu/rcu.h"

struct soma_any_map {
    soma_map *lock_free;         /* or NULL, */
    struct soma__locked *locked; /* and then this one */
    enum soma_backend backend;
};

/* ---- Birth and death ---- */

static enum soma_status locked_new(enum soma_backend backend, const struct soma_map_options *options,
                                   struct soma__locked **out)
{
    soma_map *checked;
    enum soma_status status = soma_map_new(options, &checked);
    if (status != SOMA_OK)
        return status;
    struct soma__locked_options locked;
    status = soma__backend_options(backend, &checked->core, &locked);
    soma_map_free(checked);
    if (status != SOMA_OK)
        return status;
    if (options) {
        locked.seed[0] = options->seed[0];
        locked.seed[1] = options->seed[1];
        locked.retire.bytes = options->value_retire;
    }
    return soma__locked_new(&locked, out);
}

enum soma_status soma_any_map_new_on(enum soma_backend backend, const struct soma_map_options *options,
                                     soma_any_map **out)
{
    struct soma_any_map made = {.backend = SOMA_BACKEND_DEFAULT};
    enum soma_status status = soma__backend_choose(backend, &made.backend);
    if (status != SOMA_OK)
        return status;
    if (!out) {
        MISUSE("out is NULL");
        return SOMA_E_INVALID;
    }
    if (made.backend == SOMA_BACKEND_LOCK_FREE)
        status = soma_map_new(options, &made.lock_free);
    else
        status = locked_new(made.backend, options, &made.locked);
    if (status != SOMA_OK)
        return status;
    soma_any_map *map = soma__mem_alloc(sizeof *map);
    if (!map) {
        soma_map_free(made.lock_free);
        if (made.locked)
            soma__locked_free(made.locked);
        return SOMA_E_NOMEM;
    }
    *map = made;
    *out = map;
    return SOMA_OK;
}

enum soma_status soma_any_map_new(const struct soma_map_options *options, soma_any_map **out)
{
    return soma_any_map_new_on(SOMA_BACKEND_DEFAULT, options, out);
}

void soma_any_map_free(soma_any_map *map)
{
    if (!map)
        return;
    if (map->locked)
        soma__locked_free(map->locked);
    soma_map_free(map->lock_free);
    soma__mem_free(map, sizeof *map);
}

enum soma_backend soma_any_map_backend(const soma_any_map *map)
{
    return map ? map->backend : SOMA_BACKEND_DEFAULT;
}

soma_map *soma_any_map_raw(const soma_any_map *map)
{
    return map ? map->lock_free : NULL;
}

/* ---- One key ---- */

/* Whether the call goes to the lock-free map, which also knows what to say of no map at all. */
#define LOCK_FREE(map) LIKELY(!(map) || (map)->lock_free)
#define RAW(map) ((map) ? (map)->lock_free : NULL)

static enum soma_status ask(const soma_any_map *map, const struct soma__request *request,
                            const struct soma__reply *reply)
{
    if (!soma__request_ok(request)) {
        MISUSE("a key or value is NULL with a length, or longer than SOMA_LEN_MAX");
        return SOMA_E_INVALID;
    }
    return soma__locked_do(map->locked, request, reply);
}

/* Verbs that store a value, or none, and lend the one that was there. */
static enum soma_status ask_lent(const soma_any_map *map, enum soma__verb verb, struct soma_bytes key,
                                 struct soma_bytes value, struct soma_bytes expected, struct soma_bytes *out)
{
    const struct soma__request request = {.verb = verb, .key = key, .value = value, .expected = expected};
    const struct soma__reply reply = {.lent = out};
    return ask(map, &request, &reply);
}

static enum soma_status get_into(const soma_any_map *map, struct soma_bytes key, void *buf, size_t cap, size_t *len,
                                 uint64_t *version)
{
    const struct soma__request request = {.verb = VERB_GET, .key = key};
    const struct soma__reply reply = {.buf = buf, .cap = cap, .len = len, .version = version};
    if (!buf && cap > 0) {
        MISUSE("buf is NULL, but cap is not 0");
        return SOMA_E_INVALID;
    }
    return ask(map, &request, &reply);
}

static const struct soma_bytes none;

enum soma_status soma_any_map_get_copy(const soma_any_map *map, const void *key, size_t key_len, void *buf, size_t cap,
                                       size_t *len)
{
    return LOCK_FREE(map) ? soma_map_get_copy(RAW(map), key, key_len, buf, cap, len)
                          : get_into(map, soma__bytes_of(key, key_len), buf, cap, len, NULL);
}

enum soma_status soma_any_map_get_ref(const soma_any_map *map, const void *key, size_t key_len,
                                      struct soma_bytes *value)
{
    return LOCK_FREE(map) ? soma_map_get_ref(RAW(map), key, key_len, value)
                          : ask_lent(map, VERB_GET, soma__bytes_of(key, key_len), none, none, value);
}

enum soma_status soma_any_map_get_with(const soma_any_map *map, const void *key, size_t key_len, soma_map_with_fn fn,
                                       void *ctx)
{
    if (LOCK_FREE(map) || !fn)
        return soma_map_get_with(RAW(map), key, key_len, fn, ctx);
    struct soma_bytes value;
    soma_read_enter();
    const enum soma_status status = ask_lent(map, VERB_GET, soma__bytes_of(key, key_len), none, none, &value);
    if (status == SOMA_OK)
        fn(key, key_len, value, ctx);
    soma_read_exit();
    return status;
}

enum soma_status soma_any_map_get_version(const soma_any_map *map, const void *key, size_t key_len, void *buf,
                                          size_t cap, size_t *len, uint64_t *version)
{
    return LOCK_FREE(map) ? soma_map_get_version(RAW(map), key, key_len, buf, cap, len, version)
                          : get_into(map, soma__bytes_of(key, key_len), buf, cap, len, version);
}

enum soma_status soma_any_map_put(soma_any_map *map, const void *key, size_t key_len, const void *value,
                                  size_t value_len, struct soma_bytes *old)
{
    return LOCK_FREE(map)
               ? soma_map_put(RAW(map), key, key_len, value, value_len, old)
               : ask_lent(map, VERB_PUT, soma__bytes_of(key, key_len), soma__bytes_of(value, value_len), none, old);
}

enum soma_status soma_any_map_put_new(soma_any_map *map, const void *key, size_t key_len, const void *value,
                                      size_t value_len, struct soma_bytes *present)
{
    return LOCK_FREE(map) ? soma_map_put_new(RAW(map), key, key_len, value, value_len, present)
                          : ask_lent(map, VERB_PUT_NEW, soma__bytes_of(key, key_len), soma__bytes_of(value, value_len),
                                     none, present);
}

enum soma_status soma_any_map_replace(soma_any_map *map, const void *key, size_t key_len, const void *value,
                                      size_t value_len, struct soma_bytes *old)
{
    return LOCK_FREE(map)
               ? soma_map_replace(RAW(map), key, key_len, value, value_len, old)
               : ask_lent(map, VERB_REPLACE, soma__bytes_of(key, key_len), soma__bytes_of(value, value_len), none, old);
}

enum soma_status soma_any_map_cas(soma_any_map *map, const void *key, size_t key_len, const void *expected,
                                  size_t expected_len, const void *desired, size_t desired_len,
                                  struct soma_bytes *actual)
{
    return LOCK_FREE(map) ? soma_map_cas(RAW(map), key, key_len, expected, expected_len, desired, desired_len, actual)
                          : ask_lent(map, VERB_CAS, soma__bytes_of(key, key_len), soma__bytes_of(desired, desired_len),
                                     soma__bytes_of(expected, expected_len), actual);
}

enum soma_status soma_any_map_cas_version(soma_any_map *map, const void *key, size_t key_len, uint64_t expected_version,
                                          const void *value, size_t value_len, uint64_t *version)
{
    if (LOCK_FREE(map))
        return soma_map_cas_version(RAW(map), key, key_len, expected_version, value, value_len, version);
    const struct soma__request request = {.verb = VERB_CAS_VERSION,
                                          .key = soma__bytes_of(key, key_len),
                                          .value = soma__bytes_of(value, value_len),
                                          .number = expected_version};
    const struct soma__reply reply = {.version = version};
    return ask(map, &request, &reply);
}

enum soma_status soma_any_map_remove(soma_any_map *map, const void *key, size_t key_len, struct soma_bytes *old)
{
    return LOCK_FREE(map) ? soma_map_remove(RAW(map), key, key_len, old)
                          : ask_lent(map, VERB_REMOVE, soma__bytes_of(key, key_len), none, none, old);
}

enum soma_status soma_any_map_remove_if(soma_any_map *map, const void *key, size_t key_len, const void *expected,
                                        size_t expected_len, struct soma_bytes *actual)
{
    return LOCK_FREE(map) ? soma_map_remove_if(RAW(map), key, key_len, expected, expected_len, actual)
                          : ask_lent(map, VERB_REMOVE_IF, soma__bytes_of(key, key_len), none,
                                     soma__bytes_of(expected, expected_len), actual);
}

enum soma_status soma_any_map_fetch_add(soma_any_map *map, const void *key, size_t key_len, uint64_t delta,
                                        uint64_t *old)
{
    if (LOCK_FREE(map))
        return soma_map_fetch_add(RAW(map), key, key_len, delta, old);
    const struct soma__request request = {.verb = VERB_FETCH_ADD, .key = soma__bytes_of(key, key_len), .number = delta};
    const struct soma__reply reply = {.word = old};
    return ask(map, &request, &reply);
}

/* ---- Updates ---- */

/* A copy of what a key had. */
struct before {
    bool present;
    size_t len;
    uint64_t room[32];
    void *large; /* if that is not enough */
    size_t cap;  /* of what is large */
};

static void before_fini(struct before *before)
{
    if (before->large)
        soma__mem_free(before->large, before->cap);
}

static void *before_data(struct before *before)
{
    return before->large ? before->large : before->room;
}

/* Copies what a key has, in as much memory as it takes. */
static enum soma_status before_get(const soma_any_map *map, struct soma_bytes key, struct before *before)
{
    for (;;) {
        const size_t cap = before->large ? before->cap : sizeof before->room;
        const enum soma_status status = get_into(map, key, before_data(before), cap, &before->len, NULL);
        before->present = status == SOMA_OK;
        if (status < 0 || !before->present || before->len <= cap)
            return status;
        before_fini(before);
        before->cap = before->len;
        before->large = soma__mem_alloc(before->cap);
        if (!before->large)
            return SOMA_E_NOMEM;
    }
}

/* One decision on what was found, one change if nothing has changed meanwhile; SOMA_CHANGED if something has. */
static enum soma_status decide(soma_any_map *map, struct soma_bytes key, struct before *before, soma_map_update_fn fn,
                               void *ctx)
{
    const struct soma_bytes found = before->present ? soma__bytes_of(before_data(before), before->len) : none;
    struct soma_bytes value = found;
    enum soma_status status = fn(key.data, key.len, before->present, &value, ctx);
    if (status == SOMA_OK)
        status = ask_lent(map, before->present ? VERB_CAS : VERB_PUT_NEW, key, value, found, NULL);
    else if (status == SOMA_REMOVED && before->present)
        status = ask_lent(map, VERB_REMOVE_IF, key, none, found, NULL);
    else if (status == SOMA_REMOVED || status == SOMA_EXISTS)
        return before->present ? status : SOMA_ABSENT;
    else
        return SOMA_E_INVALID;
    return status == SOMA_ABSENT || status == SOMA_EXISTS ? SOMA_CHANGED : status;
}

enum soma_status soma_any_map_update(soma_any_map *map, const void *key, size_t key_len, soma_map_update_fn fn,
                                     void *ctx)
{
    if (LOCK_FREE(map) || !fn)
        return soma_map_update(RAW(map), key, key_len, fn, ctx);
    struct before before = {.large = NULL};
    enum soma_status status;
    soma_read_enter();
    do {
        status = before_get(map, soma__bytes_of(key, key_len), &before);
        if (status >= 0)
            status = decide(map, soma__bytes_of(key, key_len), &before, fn, ctx);
    } while (status == SOMA_CHANGED);
    soma_read_exit();
    before_fini(&before);
    return status;
}

/* ---- Many keys ---- */

static bool all_ok(const struct soma_bytes *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!soma__bytes_ok(bytes[i].data, bytes[i].len))
            return false;
    }
    return true;
}

static bool many_ok(const struct soma_bytes *bytes, size_t n)
{
    return n == 0 || (bytes && n <= CORE_MANY_MAX && all_ok(bytes, n));
}

size_t soma_any_map_get_many(const soma_any_map *map, const struct soma_bytes *keys, size_t n,
                             struct soma_bytes *values, bool *found)
{
    if (LOCK_FREE(map) || !many_ok(keys, n))
        return soma_map_get_many(RAW(map), keys, n, values, found);
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        const bool hit = ask_lent(map, VERB_GET, keys[i], none, none, values ? &values[i] : NULL) == SOMA_OK;
        total += hit;
        if (values && !hit)
            values[i] = none;
        if (found)
            found[i] = hit;
    }
    return total;
}

enum soma_status soma_any_map_put_many(soma_any_map *map, const struct soma_bytes *keys,
                                       const struct soma_bytes *values, size_t n, size_t *done)
{
    if (LOCK_FREE(map) || !many_ok(keys, n) || !many_ok(values, n))
        return soma_map_put_many(RAW(map), keys, values, n, done);
    enum soma_status status = SOMA_OK;
    size_t i = 0;
    for (; i < n && status >= 0; i += status >= 0)
        status = ask_lent(map, VERB_PUT, keys[i], values[i], none, NULL);
    if (done)
        *done = i;
    return status < 0 ? status : SOMA_OK;
}

enum soma_status soma_any_map_remove_many(soma_any_map *map, const struct soma_bytes *keys, size_t n,
                                          struct soma_bytes *old, bool *found, size_t *done)
{
    if (LOCK_FREE(map) || !many_ok(keys, n))
        return soma_map_remove_many(RAW(map), keys, n, old, found, done);
    enum soma_status status = SOMA_OK;
    size_t i = 0;
    for (; i < n && status >= 0; i += status >= 0) {
        status = ask_lent(map, VERB_REMOVE, keys[i], none, none, old ? &old[i] : NULL);
        if (found && status >= 0)
            found[i] = status == SOMA_REMOVED;
    }
    if (done)
        *done = i;
    return status < 0 ? status : SOMA_OK;
}

/* ---- Taking from a place on ---- */

static enum soma_status take_one(soma_any_map *map, struct soma_bytes key, struct soma_bytes *value,
                                 soma_map_take_fn fn, void *ctx)
{
    for (;;) {
        const enum soma_status answer = fn ? fn(key.data, key.len, *value, ctx) : SOMA_REMOVED;
        if (answer != SOMA_REMOVED)
            return answer == SOMA_EXISTS || answer == SOMA_END ? answer : SOMA_E_INVALID;
        const enum soma_status status = ask_lent(map, VERB_REMOVE_IF, key, none, *value, value);
        if (status != SOMA_CHANGED)
            return status;
    }
}

/* Deals with the next entry, in a section of its own: what is lent and what leaves does not wait for the rest of the call. *last: there
 * is none. */
static enum soma_status take_next(soma_any_map *map, uint64_t *place, soma_map_take_fn fn, void *ctx,
                                  struct soma_bytes *key, struct soma_bytes *value, bool *last)
{
    soma_read_enter();
    enum soma_status status = soma__locked_next(map->locked, place, &(const struct soma__reply){.lent = key},
                                                &(const struct soma__reply){.lent = value});
    *last = status == SOMA_END;
    if (status == SOMA_OK)
        status = take_one(map, *key, value, fn, ctx);
    soma_read_exit();
    return status;
}

enum soma_status soma_any_map_take(soma_any_map *map, uint64_t *place, size_t n, soma_map_take_fn fn, void *ctx,
                                   struct soma_bytes *keys, struct soma_bytes *values, size_t *taken)
{
    if (LOCK_FREE(map) || !place || (n > CORE_MANY_MAX && (keys || values)))
        return soma_map_take(RAW(map), place, n, fn, ctx, keys, values, taken);
    enum soma_status status = SOMA_OK;
    bool last = false;
    size_t done = 0;
    while (done < n && !last) {
        struct soma_bytes key;
        struct soma_bytes value;
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

enum soma_status soma_any_map_clear(soma_any_map *map)
{
    return LOCK_FREE(map) ? soma_map_clear(RAW(map)) : soma__locked_clear(map->locked);
}

uint64_t soma_any_map_count_approx(const soma_any_map *map)
{
    return LOCK_FREE(map) ? soma_map_count_approx(RAW(map)) : soma__locked_count(map->locked);
}

enum soma_status soma_any_map_reserve(soma_any_map *map, uint64_t n)
{
    return LOCK_FREE(map) || n == 0 ? soma_map_reserve(RAW(map), n) : soma__locked_reserve(n);
}

enum soma_status soma_any_map_shrink(soma_any_map *map)
{
    return LOCK_FREE(map) ? soma_map_shrink(RAW(map)) : SOMA_OK;
}

enum soma_status soma_any_map_digest(const soma_any_map *map, struct soma_digest *out)
{
    return LOCK_FREE(map) || !out ? soma_map_digest(RAW(map), out) : soma__locked_digest(map->locked, out);
}

enum soma_status soma_any_map_view_open(soma_any_map *map, soma_view **out)
{
    return LOCK_FREE(map) || !out ? soma_map_view_open(RAW(map), out) : SOMA_E_UNSUPPORTED;
}

/* A sorted cursor has a copy of its own, so what it was made from can go. */
static enum soma_status open_copy(const soma_any_map *map, soma_map *copy, soma_cursor **out)
{
    enum soma_status status = soma__locked_copy(map->locked, NULL, copy);
    if (status != SOMA_OK)
        return status;
    soma_view *view;
    status = soma_map_view_open(copy, &view);
    if (status != SOMA_OK)
        return status;
    status = soma_cursor_open_sorted(view, out);
    soma_view_close(view);
    return status;
}

enum soma_status soma_any_cursor_open_map(const soma_any_map *map, soma_cursor **out)
{
    if (LOCK_FREE(map) || !out)
        return soma_cursor_open_map(RAW(map), out);
    CALL();
    if (!soma__grace_may_wait())
        return SOMA_E_INVALID;
    soma_map *copy;
    enum soma_status status = soma_map_new(NULL, &copy);
    if (status != SOMA_OK)
        return status;
    status = open_copy(map, copy, out);
    soma_map_free(copy);
    return status;
}
