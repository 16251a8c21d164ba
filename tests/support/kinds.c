/* SPDX-License-Identifier: ISC */
/* kinds.c - see kinds.h. fetch_add of the byte map works on plain 8-byte words, which are no ids: look at its sums with
 * fetch_add(0). */
#include <stdlib.h>
#include <string.h>

#include "kinds.h"
#include "support.h"

/* ---- Word map ---- */

static enum soma_status word_open(const struct kind_options *options, void **map)
{
    const struct soma_u64_options wanted = {
        .struct_size = sizeof wanted,
        .reserve = options->reserve,
        .flags = options->flags,
        .value_retire = options->retired,
        .ctx = options->ctx,
        .deferred_bytes_max = options->deferred_bytes_max,
        .stall_ns = options->stall_ns,
        .stall = options->stall,
    };
    soma_u64 *fresh = NULL;
    const enum soma_status status = soma_u64_new(&wanted, &fresh);
    *map = fresh;
    return status;
}

static void word_close(void *map)
{
    soma_u64_free(map);
}

static enum soma_status word_get(void *map, uint64_t key, uint64_t *value)
{
    return soma_u64_get(map, key, value);
}

static void word_seen(uint64_t key, uint64_t value, void *ctx)
{
    (void)key;
    *(uint64_t *)ctx = value;
}

static enum soma_status word_get_with(void *map, uint64_t key, uint64_t *value)
{
    return soma_u64_get_with(map, key, word_seen, value);
}

static size_t word_get_many(void *map, const uint64_t *keys, size_t n, uint64_t *values, bool *found)
{
    return soma_u64_get_many(map, keys, n, values, found);
}

static enum soma_status word_put(void *map, uint64_t key, uint64_t value, uint64_t *old)
{
    return soma_u64_put(map, key, value, old);
}

static enum soma_status word_put_new(void *map, uint64_t key, uint64_t value, uint64_t *present)
{
    return soma_u64_put_new(map, key, value, present);
}

static enum soma_status word_replace(void *map, uint64_t key, uint64_t value, uint64_t *old)
{
    return soma_u64_replace(map, key, value, old);
}

static enum soma_status word_cas(void *map, uint64_t key, uint64_t expected, uint64_t desired, uint64_t *actual)
{
    return soma_u64_cas(map, key, expected, desired, actual);
}

static enum soma_status word_remove(void *map, uint64_t key, uint64_t *old)
{
    return soma_u64_remove(map, key, old);
}

static enum soma_status word_remove_if(void *map, uint64_t key, uint64_t expected, uint64_t *actual)
{
    return soma_u64_remove_if(map, key, expected, actual);
}

static enum soma_status word_update(void *map, uint64_t key, kind_update_fn fn, void *ctx)
{
    return soma_u64_update(map, key, fn, ctx);
}

static enum soma_status word_fetch_add(void *map, uint64_t key, uint64_t delta, uint64_t *old)
{
    return soma_u64_fetch_add(map, key, delta, old);
}

static enum soma_status word_put_many(void *map, const uint64_t *keys, const uint64_t *values, size_t n, size_t *done)
{
    return soma_u64_put_many(map, keys, values, n, done);
}

static enum soma_status word_clear(void *map)
{
    return soma_u64_clear(map);
}

static uint64_t word_count(void *map)
{
    return soma_u64_count_approx(map);
}

static enum soma_status word_reserve(void *map, uint64_t n)
{
    return soma_u64_reserve(map, n);
}

static enum soma_status word_shrink(void *map)
{
    return soma_u64_shrink(map);
}

static enum soma_status word_walk(const void *map, soma_cursor **cursor)
{
    return soma_cursor_open_u64(map, cursor);
}

static enum soma_status word_view(void *map, soma_view **view)
{
    return soma_u64_view_open(map, view);
}

static enum soma_status word_remove_many(void *map, const uint64_t *keys, size_t n, bool *found, size_t *done)
{
    return soma_u64_remove_many(map, keys, n, NULL, found, done);
}

static enum soma_status word_take(void *map, uint64_t *place, size_t n, uint64_t *keys, uint64_t *values, size_t *taken)
{
    return soma_u64_take(map, place, n, NULL, NULL, keys, values, taken);
}

/* ---- Ids as bytes ---- */

#define ENCODED_MAX 64

struct encoded {
    unsigned char bytes[ENCODED_MAX];
    size_t len;
};

static unsigned char filling(uint64_t id, size_t i)
{
    return (unsigned char)(id * 31 + i * 7);
}

/* 8 bytes of id and 0 to 48 bytes that follow from it. */
static struct encoded encode(uint64_t id)
{
    struct encoded e;
    e.len = 8 + id % 5 * 12;
    memcpy(e.bytes, &id, 8);
    for (size_t i = 8; i < e.len; i++)
        e.bytes[i] = filling(id, i);
    return e;
}

static uint64_t decode(const void *data, size_t len)
{
    uint64_t id = 0;
    if (!EXPECT(data && len >= 8 && len <= ENCODED_MAX))
        return UINT64_MAX;
    memcpy(&id, data, 8);
    const struct encoded whole = encode(id);
    /* A word may change where it stands, so it is looked at once. */
    EXPECT(whole.len == len && (len == 8 || memcmp(whole.bytes, data, len) == 0));
    return id;
}

uint64_t kind_id(const void *data, size_t len)
{
    return decode(data, len);
}

/* ---- Byte map ---- */

static void byte_retired(const void *value, size_t len, void *ctx)
{
    const struct kind_options *options = ctx;
    options->retired(decode(value, len), options->ctx);
}

static void byte_stall(const struct soma_stall *stall, void *ctx)
{
    const struct kind_options *options = ctx;
    options->stall(stall, options->ctx);
}

static enum soma_status byte_open(const struct kind_options *options, void **map)
{
    struct soma_map_options wanted = {
        .struct_size = sizeof wanted,
        .reserve = options->reserve,
        .flags = options->flags,
        .value_retire = options->retired ? byte_retired : NULL,
        .deferred_bytes_max = options->deferred_bytes_max,
        .stall_ns = options->stall_ns,
        .stall = options->stall ? byte_stall : NULL,
    };
    const void *const ctx = options; /* never written through: both callbacks take it as const again */
    memcpy(&wanted.ctx, &ctx, sizeof ctx);
    soma_map *fresh = NULL;
    const enum soma_status status = soma_map_new(&wanted, &fresh);
    *map = fresh;
    return status;
}

static void byte_close(void *map)
{
    soma_map_free(map);
}

/* Decodes what a verb borrowed, if its answer names it, and leaves the section. */
static enum soma_status byte_out(enum soma_status status, bool named, const struct soma_bytes *borrowed, uint64_t *out)
{
    if (named) {
        const uint64_t id = decode(borrowed->data, borrowed->len);
        if (out)
            *out = id;
    }
    soma_read_exit();
    return status;
}

static enum soma_status byte_get(void *map, uint64_t key, uint64_t *value)
{
    const struct encoded k = encode(key);
    struct soma_bytes borrowed = {NULL, 0};
    soma_read_enter();
    const enum soma_status status = soma_map_get_ref(map, k.bytes, k.len, &borrowed);
    return byte_out(status, status == SOMA_OK, &borrowed, value);
}

static void byte_seen(const void *key, size_t key_len, struct soma_bytes value, void *ctx)
{
    (void)decode(key, key_len);
    *(uint64_t *)ctx = decode(value.data, value.len);
}

static enum soma_status byte_get_with(void *map, uint64_t key, uint64_t *value)
{
    const struct encoded k = encode(key);
    return soma_map_get_with(map, k.bytes, k.len, byte_seen, value);
}

static size_t byte_get_many(void *map, const uint64_t *keys, size_t n, uint64_t *values, bool *found)
{
    struct encoded k[KIND_MANY];
    struct soma_bytes key_bytes[KIND_MANY];
    struct soma_bytes borrowed[KIND_MANY];
    for (size_t i = 0; i < n; i++) {
        k[i] = encode(keys[i]);
        key_bytes[i] = (struct soma_bytes){k[i].bytes, k[i].len};
    }
    soma_read_enter();
    const size_t total = soma_map_get_many(map, key_bytes, n, borrowed, found);
    for (size_t i = 0; i < n; i++) {
        EXPECT(found[i] || (borrowed[i].data == NULL && borrowed[i].len == 0));
        if (found[i])
            values[i] = decode(borrowed[i].data, borrowed[i].len);
    }
    soma_read_exit();
    return total;
}

static enum soma_status byte_put(void *map, uint64_t key, uint64_t value, uint64_t *old)
{
    const struct encoded k = encode(key);
    const struct encoded v = encode(value);
    struct soma_bytes borrowed = {NULL, 0};
    soma_read_enter();
    const enum soma_status status = soma_map_put(map, k.bytes, k.len, v.bytes, v.len, &borrowed);
    return byte_out(status, status == SOMA_REPLACED, &borrowed, old);
}

static enum soma_status byte_put_new(void *map, uint64_t key, uint64_t value, uint64_t *present)
{
    const struct encoded k = encode(key);
    const struct encoded v = encode(value);
    struct soma_bytes borrowed = {NULL, 0};
    soma_read_enter();
    const enum soma_status status = soma_map_put_new(map, k.bytes, k.len, v.bytes, v.len, &borrowed);
    return byte_out(status, status == SOMA_EXISTS, &borrowed, present);
}

static enum soma_status byte_replace(void *map, uint64_t key, uint64_t value, uint64_t *old)
{
    const struct encoded k = encode(key);
    const struct encoded v = encode(value);
    struct soma_bytes borrowed = {NULL, 0};
    soma_read_enter();
    const enum soma_status status = soma_map_replace(map, k.bytes, k.len, v.bytes, v.len, &borrowed);
    return byte_out(status, status == SOMA_REPLACED, &borrowed, old);
}

static enum soma_status byte_cas(void *map, uint64_t key, uint64_t expected, uint64_t desired, uint64_t *actual)
{
    const struct encoded k = encode(key);
    const struct encoded e = encode(expected);
    const struct encoded v = encode(desired);
    struct soma_bytes borrowed = {NULL, 0};
    soma_read_enter();
    const enum soma_status status = soma_map_cas(map, k.bytes, k.len, e.bytes, e.len, v.bytes, v.len, &borrowed);
    return byte_out(status, status == SOMA_REPLACED || status == SOMA_CHANGED, &borrowed, actual);
}

static enum soma_status byte_remove(void *map, uint64_t key, uint64_t *old)
{
    const struct encoded k = encode(key);
    struct soma_bytes borrowed = {NULL, 0};
    soma_read_enter();
    const enum soma_status status = soma_map_remove(map, k.bytes, k.len, &borrowed);
    return byte_out(status, status == SOMA_REMOVED, &borrowed, old);
}

static enum soma_status byte_remove_if(void *map, uint64_t key, uint64_t expected, uint64_t *actual)
{
    const struct encoded k = encode(key);
    const struct encoded e = encode(expected);
    struct soma_bytes borrowed = {NULL, 0};
    soma_read_enter();
    const enum soma_status status = soma_map_remove_if(map, k.bytes, k.len, e.bytes, e.len, &borrowed);
    return byte_out(status, status == SOMA_REMOVED || status == SOMA_CHANGED, &borrowed, actual);
}

struct byte_update_call {
    kind_update_fn fn;
    void *ctx;
    struct encoded next;
};

static enum soma_status byte_update_step(const void *key, size_t key_len, bool present, struct soma_bytes *value,
                                         void *ctx)
{
    struct byte_update_call *call = ctx;
    uint64_t id = present ? decode(value->data, value->len) : 0;
    const enum soma_status answer = call->fn(decode(key, key_len), present, &id, call->ctx);
    call->next = encode(id);
    value->data = call->next.bytes;
    value->len = call->next.len;
    return answer;
}

static enum soma_status byte_update(void *map, uint64_t key, kind_update_fn fn, void *ctx)
{
    const struct encoded k = encode(key);
    struct byte_update_call call = {.fn = fn, .ctx = ctx};
    return soma_map_update(map, k.bytes, k.len, byte_update_step, &call);
}

static enum soma_status byte_fetch_add(void *map, uint64_t key, uint64_t delta, uint64_t *old)
{
    const struct encoded k = encode(key);
    return soma_map_fetch_add(map, k.bytes, k.len, delta, old);
}

static enum soma_status byte_put_many(void *map, const uint64_t *keys, const uint64_t *values, size_t n, size_t *done)
{
    struct encoded k[KIND_MANY];
    struct encoded v[KIND_MANY];
    struct soma_bytes key_bytes[KIND_MANY];
    struct soma_bytes value_bytes[KIND_MANY];
    for (size_t i = 0; i < n; i++) {
        k[i] = encode(keys[i]);
        v[i] = encode(values[i]);
        key_bytes[i] = (struct soma_bytes){k[i].bytes, k[i].len};
        value_bytes[i] = (struct soma_bytes){v[i].bytes, v[i].len};
    }
    return soma_map_put_many(map, key_bytes, value_bytes, n, done);
}

static enum soma_status byte_clear(void *map)
{
    return soma_map_clear(map);
}

static uint64_t byte_count(void *map)
{
    return soma_map_count_approx(map);
}

static enum soma_status byte_reserve(void *map, uint64_t n)
{
    return soma_map_reserve(map, n);
}

static enum soma_status byte_shrink(void *map)
{
    return soma_map_shrink(map);
}

static enum soma_status byte_walk(const void *map, soma_cursor **cursor)
{
    return soma_cursor_open_map(map, cursor);
}

static enum soma_status byte_next(soma_cursor *cursor, uint64_t *key, uint64_t *value)
{
    struct soma_bytes k;
    struct soma_bytes v;
    const enum soma_status status = soma_cursor_next_ref(cursor, &k, &v);
    if (status != SOMA_OK)
        return status;
    *key = decode(k.data, k.len);
    *value = decode(v.data, v.len);
    return SOMA_OK;
}

static enum soma_status byte_view(void *map, soma_view **view)
{
    return soma_map_view_open(map, view);
}

static enum soma_status byte_view_get(const soma_view *view, uint64_t key, uint64_t *value)
{
    const struct encoded k = encode(key);
    struct encoded v;
    const enum soma_status status = soma_view_get_copy(view, k.bytes, k.len, v.bytes, sizeof v.bytes, &v.len);
    if (status == SOMA_OK) {
        const uint64_t id = decode(v.bytes, v.len);
        if (value)
            *value = id;
    }
    return status;
}

static enum soma_status byte_remove_many(void *map, const uint64_t *keys, size_t n, bool *found, size_t *done)
{
    struct encoded k[KIND_MANY];
    struct soma_bytes key_bytes[KIND_MANY];
    for (size_t i = 0; i < n; i++) {
        k[i] = encode(keys[i]);
        key_bytes[i] = (struct soma_bytes){k[i].bytes, k[i].len};
    }
    return soma_map_remove_many(map, key_bytes, n, NULL, found, done);
}

static enum soma_status byte_take(void *map, uint64_t *place, size_t n, uint64_t *keys, uint64_t *values, size_t *taken)
{
    struct soma_bytes k[KIND_MANY];
    struct soma_bytes v[KIND_MANY];
    soma_read_enter();
    const enum soma_status status = soma_map_take(map, place, n, NULL, NULL, k, v, taken);
    for (size_t i = 0; i < *taken; i++) {
        keys[i] = decode(k[i].data, k[i].len);
        values[i] = decode(v[i].data, v[i].len);
    }
    soma_read_exit();
    return status;
}

const struct kind kinds[2] = {
    {"u64",          word_open,         word_close,       word_get,      word_get_many,
     word_put,       word_put_new,      word_replace,     word_cas,      word_remove,
     word_remove_if, word_update,       word_fetch_add,   word_put_many, word_clear,
     word_count,     word_reserve,      word_shrink,      word_walk,     soma_cursor_next_u64,
     word_view,      soma_view_get_u64, word_remove_many, word_get_with, word_take},
    {"map",         byte_open,        byte_close,    byte_get,       byte_get_many, byte_put,       byte_put_new,
     byte_replace,  byte_cas,         byte_remove,   byte_remove_if, byte_update,   byte_fetch_add, byte_put_many,
     byte_clear,    byte_count,       byte_reserve,  byte_shrink,    byte_walk,     byte_next,      byte_view,
     byte_view_get, byte_remove_many, byte_get_with, byte_take},
};

void *kind_open(const struct kind *kind, const struct kind_options *options)
{
    void *map = NULL;
    if (kind->open(options, &map) != SOMA_OK)
        abort();
    return map;
}
