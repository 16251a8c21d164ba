/* SPDX-License-Identifier: ISC */
/* words.c - see words.h. */
#include <string.h>

#include "history.h"
#include "support.h"
#include "words.h"

#define TEXT_MAX 64

struct text {
    _Alignas(8) unsigned char bytes[TEXT_MAX];
    size_t len;
};

bool words_is_word(uint64_t value)
{
    return value % WORDS_EVERY == 0;
}

static struct text text_of(uint64_t id, size_t len)
{
    struct text text = {.len = len};
    memcpy(text.bytes, &id, 8);
    for (size_t i = 8; i < len; i++)
        text.bytes[i] = (unsigned char)(id * 13 + i * 5);
    return text;
}

static struct text key_text(uint64_t key)
{
    return text_of(key, 8 + key % 3 * 9);
}

static struct text value_text(uint64_t id)
{
    return text_of(id, 8 + id % WORDS_EVERY * 11);
}

static uint64_t read_value(const struct soma_bytes *value)
{
    uint64_t id = 0;
    if (!EXPECT(value->data && value->len >= 8 && value->len <= TEXT_MAX))
        return HISTORY_ABSENT;
    if (value->len == 8)
        return __atomic_load_n((const uint64_t *)value->data, __ATOMIC_RELAXED);
    memcpy(&id, value->data, 8);
    const struct text whole = value_text(id);
    EXPECT(whole.len == value->len && memcmp(whole.bytes, value->data, whole.len) == 0);
    return id;
}

static enum soma_status leave(enum soma_status status, bool named, const struct soma_bytes *borrowed, uint64_t *out)
{
    if (named)
        *out = read_value(borrowed);
    soma_read_exit();
    return status;
}

/* ---- Verbs ---- */

static enum soma_status words_get(void *map, uint64_t key, uint64_t *value)
{
    const struct text k = key_text(key);
    struct soma_bytes borrowed = {NULL, 0};
    soma_read_enter();
    const enum soma_status status = soma_map_get_ref(map, k.bytes, k.len, &borrowed);
    return leave(status, status == SOMA_OK, &borrowed, value);
}

static size_t words_get_many(void *map, const uint64_t *keys, size_t n, uint64_t *values, bool *found)
{
    struct text k[KIND_MANY];
    struct soma_bytes key_bytes[KIND_MANY];
    struct soma_bytes borrowed[KIND_MANY];
    for (size_t i = 0; i < n; i++) {
        k[i] = key_text(keys[i]);
        key_bytes[i] = (struct soma_bytes){k[i].bytes, k[i].len};
    }
    soma_read_enter();
    const size_t total = soma_map_get_many(map, key_bytes, n, borrowed, found);
    for (size_t i = 0; i < n; i++) {
        if (found[i])
            values[i] = read_value(&borrowed[i]);
    }
    soma_read_exit();
    return total;
}

static enum soma_status words_put(void *map, uint64_t key, uint64_t value, uint64_t *old)
{
    const struct text k = key_text(key);
    const struct text v = value_text(value);
    struct soma_bytes borrowed = {NULL, 0};
    soma_read_enter();
    const enum soma_status status = soma_map_put(map, k.bytes, k.len, v.bytes, v.len, &borrowed);
    return leave(status, status == SOMA_REPLACED, &borrowed, old);
}

static enum soma_status words_put_new(void *map, uint64_t key, uint64_t value, uint64_t *present)
{
    const struct text k = key_text(key);
    const struct text v = value_text(value);
    struct soma_bytes borrowed = {NULL, 0};
    soma_read_enter();
    const enum soma_status status = soma_map_put_new(map, k.bytes, k.len, v.bytes, v.len, &borrowed);
    return leave(status, status == SOMA_EXISTS, &borrowed, present);
}

static enum soma_status words_replace(void *map, uint64_t key, uint64_t value, uint64_t *old)
{
    const struct text k = key_text(key);
    const struct text v = value_text(value);
    struct soma_bytes borrowed = {NULL, 0};
    soma_read_enter();
    const enum soma_status status = soma_map_replace(map, k.bytes, k.len, v.bytes, v.len, &borrowed);
    return leave(status, status == SOMA_REPLACED, &borrowed, old);
}

static enum soma_status leave_compared(enum soma_status status, enum soma_status done, uint64_t expected,
                                       const struct soma_bytes *borrowed, uint64_t *actual)
{
    const bool named = status == done || status == SOMA_CHANGED;
    const enum soma_status left = leave(status, named, borrowed, actual);
    if (status == SOMA_CHANGED && *actual == expected && words_is_word(expected))
        *actual = HISTORY_UNKNOWN;
    return left;
}

static enum soma_status words_cas(void *map, uint64_t key, uint64_t expected, uint64_t desired, uint64_t *actual)
{
    const struct text k = key_text(key);
    const struct text e = value_text(expected);
    const struct text v = value_text(desired);
    struct soma_bytes borrowed = {NULL, 0};
    soma_read_enter();
    const enum soma_status status = soma_map_cas(map, k.bytes, k.len, e.bytes, e.len, v.bytes, v.len, &borrowed);
    return leave_compared(status, SOMA_REPLACED, expected, &borrowed, actual);
}

static enum soma_status words_remove(void *map, uint64_t key, uint64_t *old)
{
    const struct text k = key_text(key);
    struct soma_bytes borrowed = {NULL, 0};
    soma_read_enter();
    const enum soma_status status = soma_map_remove(map, k.bytes, k.len, &borrowed);
    return leave(status, status == SOMA_REMOVED, &borrowed, old);
}

static enum soma_status words_remove_if(void *map, uint64_t key, uint64_t expected, uint64_t *actual)
{
    const struct text k = key_text(key);
    const struct text e = value_text(expected);
    struct soma_bytes borrowed = {NULL, 0};
    soma_read_enter();
    const enum soma_status status = soma_map_remove_if(map, k.bytes, k.len, e.bytes, e.len, &borrowed);
    return leave_compared(status, SOMA_REMOVED, expected, &borrowed, actual);
}

struct words_update_call {
    kind_update_fn fn;
    void *ctx;
    uint64_t key;
    struct text next;
};

static enum soma_status words_update_step(const void *key, size_t key_len, bool present, struct soma_bytes *value,
                                          void *ctx)
{
    struct words_update_call *call = ctx;
    uint64_t id = present ? read_value(value) : 0;
    (void)key, (void)key_len;
    const enum soma_status answer = call->fn(call->key, present, &id, call->ctx);
    call->next = value_text(id);
    *value = (struct soma_bytes){call->next.bytes, call->next.len};
    return answer;
}

static enum soma_status words_update(void *map, uint64_t key, kind_update_fn fn, void *ctx)
{
    const struct text k = key_text(key);
    struct words_update_call call = {.fn = fn, .ctx = ctx, .key = key};
    return soma_map_update(map, k.bytes, k.len, words_update_step, &call);
}

static enum soma_status words_fetch_add(void *map, uint64_t key, uint64_t delta, uint64_t *old)
{
    const struct text k = key_text(key);
    return soma_map_fetch_add(map, k.bytes, k.len, delta, old);
}

static enum soma_status words_put_many(void *map, const uint64_t *keys, const uint64_t *values, size_t n, size_t *done)
{
    struct text k[KIND_MANY];
    struct text v[KIND_MANY];
    struct soma_bytes key_bytes[KIND_MANY];
    struct soma_bytes value_bytes[KIND_MANY];
    for (size_t i = 0; i < n; i++) {
        k[i] = key_text(keys[i]);
        v[i] = value_text(values[i]);
        key_bytes[i] = (struct soma_bytes){k[i].bytes, k[i].len};
        value_bytes[i] = (struct soma_bytes){v[i].bytes, v[i].len};
    }
    return soma_map_put_many(map, key_bytes, value_bytes, n, done);
}

/* ---- What the other byte map does as well ---- */

static enum soma_status words_open(const struct kind_options *options, void **map)
{
    return kinds[1].open(options, map);
}

static void words_close(void *map)
{
    soma_map_free(map);
}

static enum soma_status words_clear(void *map)
{
    return soma_map_clear(map);
}

static uint64_t words_count(void *map)
{
    return soma_map_count_approx(map);
}

static enum soma_status words_reserve(void *map, uint64_t n)
{
    return soma_map_reserve(map, n);
}

static enum soma_status words_shrink(void *map)
{
    return soma_map_shrink(map);
}

static enum soma_status words_view(void *map, soma_view **view)
{
    return soma_map_view_open(map, view);
}

static enum soma_status words_view_get(const soma_view *view, uint64_t key, uint64_t *value)
{
    const struct text k = key_text(key);
    struct text v;
    const enum soma_status status = soma_view_get_copy(view, k.bytes, k.len, v.bytes, sizeof v.bytes, &v.len);
    if (status == SOMA_OK)
        *value = read_value(&(struct soma_bytes){v.bytes, v.len});
    return status;
}

const struct kind words_kind = {"words",
                                words_open,
                                words_close,
                                words_get,
                                words_get_many,
                                words_put,
                                words_put_new,
                                words_replace,
                                words_cas,
                                words_remove,
                                words_remove_if,
                                words_update,
                                words_fetch_add,
                                words_put_many,
                                words_clear,
                                words_count,
                                words_reserve,
                                words_shrink,
                                NULL,
                                NULL,
                                words_view,
                                words_view_get,
                                NULL,
                                NULL,
                                NULL};
